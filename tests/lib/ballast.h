/*
 * Large states that can be checked: behind the text of a fake child's state stand a number and
 * bytes that follow from it. With each next number some of their blocks change, and the length.
 */
#ifndef PH_TESTS_LIB_BALLAST_H
#define PH_TESTS_LIB_BALLAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/text.h"

/* Appends a NUL, then about so many bytes. */
void ballast_put(struct ph_text *state, uint64_t number, size_t bytes);
/* Reads the number back; false: some byte is not what `ballast_put` has written. */
bool ballast_get(const char *state, size_t length, size_t bytes, uint64_t *number);

#endif
