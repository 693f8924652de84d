/*
 * One word of a TARGET: an id, a glob, a range, tag:NAME, node:NAME or all.
 *
 * Read from a word, then matched against ids. A quoted word is an id, whatever it looks like; one
 * that holds a '[' is a range; else a '*' or '?' makes it a glob. Borrows the word's text. Any
 * thread.
 */
#ifndef PH_IPC_TARGET_WORD_H
#define PH_IPC_TARGET_WORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/script.h"

enum ph_target_form {
    PH_TARGET_ID,
    PH_TARGET_GLOB,
    PH_TARGET_RANGE, /* PREFIX[FIRST..LAST]SUFFIX */
    PH_TARGET_TAG,
    PH_TARGET_NODE,
    PH_TARGET_ALL,
};

struct ph_target_word {
    enum ph_target_form form;
    const char *text; /* the id, glob or range; behind `tag:` or `node:` the name */
    size_t length;
    size_t prefix_length; /* of ranges, as the rest */
    const char *suffix;
    uint64_t first, last;
    size_t width; /* digits, with leading zeros; 0: without */
};

/* Reads a word without variables; PH_EUSAGE with a text that says how it is written. */
PH_MUST_CHECK int ph_target_word_read(const struct ph_word *, struct ph_target_word *,
                                      struct ph_script_error *);

/* Is `id` named by the word? ID, GLOB, RANGE and ALL only. */
bool ph_target_word_matches(const struct ph_target_word *, const char *id, size_t length);

#endif
