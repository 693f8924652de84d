/*
 * What tests of the command language stand on: a small command table, fields of made-up children
 * and of a made-up hub. Linked before ph_ipc it takes the place of the real table. cmocka asserts
 * inside: main thread only.
 */
#ifndef PH_TESTS_LANG_FAKE_H
#define PH_TESTS_LANG_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/text.h"
#include "ipc/script.h"

struct ph_lang_child {
    const char *id, *state, *tags, *role; /* tags joined by '\x1f' */
    uint64_t restarts;
};

struct ph_lang_hub {
    const struct ph_lang_child *children;
    size_t count;
    uint64_t nodes;
    bool locked;
};

/* The script `text`, which must be well formed. */
struct ph_script *ph_lang_parse(const char *text);

/* Parses and checks; appends the first error as "LINE:COLUMN: TEXT". */
void ph_lang_check(const char *text, size_t length, struct ph_text *out);

/* What ph_lang_check says about `text` is `expected`. */
void ph_lang_assert_says(const char *text, const char *expected);

#endif
