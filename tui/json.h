/*
 * A reader for one JSON object: a row as commands print it in JSON lines.
 *
 * The object is flattened: `{"id":"a","spec":{"restart":"permanent"},"tags":["x","y"]}` has the
 * fields id, spec.restart and tags ("x,y"); an array that holds objects has tags.0.name and so on.
 * Values are kept as text. The input comes from another process and is not trusted: lines of at
 * most PH_JSON_LINE_MAX bytes, PH_JSON_FIELDS_MAX fields, PH_JSON_DEPTH_MAX levels; everything else
 * is refused with its position. One thread.
 */
#ifndef PH_TUI_JSON_H
#define PH_TUI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/text.h"

enum {
    PH_JSON_LINE_MAX = 1024 * 1024,
    PH_JSON_FIELDS_MAX = 1024,
    PH_JSON_DEPTH_MAX = 16,
};

enum ph_json_type { PH_JSON_NULL, PH_JSON_BOOL, PH_JSON_NUMBER, PH_JSON_TEXT, PH_JSON_LIST };

struct ph_json_field {
    uint32_t key, value; /* where they begin in `text`; both end in NUL */
    enum ph_json_type type;
};

struct ph_json {
    struct ph_text text;
    struct ph_json_field *fields;
    size_t count, capacity;
};

/* Reads one object. On failure `json` is empty. Either way: ph_json_fini. */
PH_MUST_CHECK int ph_json_read(const char *line, size_t length, struct ph_json *json,
                               struct ph_error *error);
void ph_json_fini(struct ph_json *);

const char *ph_json_key_at(const struct ph_json *, size_t index);
const char *ph_json_value_at(const struct ph_json *, size_t index); /* "" for null */

/* The value's text, or NULL when there is no such field or it is null. Dies with the object. */
const char *ph_json_text(const struct ph_json *, const char *key);
/* `fallback` when there is none, or it is not an unsigned number. */
uint64_t ph_json_uint(const struct ph_json *, const char *key, uint64_t fallback);
bool ph_json_bool(const struct ph_json *, const char *key); /* true only if it is true */

#endif
