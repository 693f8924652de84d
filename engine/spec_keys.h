/*
 * The table of the spec's keys: for each one its type, default, range, values and kind of child.
 *
 * spec.c reads, writes, compares, copies and prints specs by walking it; error texts are made from
 * it. Constant data, any thread.
 */
#ifndef PH_ENGINE_SPEC_KEYS_H
#define PH_ENGINE_SPEC_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"

enum ph_key_type {
    PH_KEY_TEXT,     /* char * */
    PH_KEY_CHOICE,   /* index into `choices` */
    PH_KEY_NUMBER,   /* of at least `min`, at most `max` */
    PH_KEY_DURATION, /* milliseconds */
    PH_KEY_SIZE,     /* bytes */
    PH_KEY_SIGNAL,   /* a signal number */
    PH_KEY_TAGS,     /* the spec's tags */
    PH_KEY_PAIR,     /* NAME. with a list of pairs: env.PATH */
};

enum ph_key_kind { PH_KEY_ANY, PH_KEY_MODULE, PH_KEY_PROCESS };

struct ph_spec_key {
    const char *name; /* of PH_KEY_PAIR: up to and with the dot */
    enum ph_key_type type;
    enum ph_key_kind kind;
    size_t offset, size;    /* of the field in struct ph_spec; size 0: not stored */
    uint64_t min, max;      /* of numbers */
    uint64_t fallback;      /* default of numbers and choices */
    const char *choices[4]; /* of PH_KEY_CHOICE, ends with NULL */
    const char *use;        /* "use …": what a wrong value is answered with; NULL: made by type */
    bool (*valid)(const char *text); /* of texts, pairs' names and each of the tags */
};

size_t ph_spec_key_count(void);
const struct ph_spec_key *ph_spec_key_at(size_t index);
size_t ph_spec_key_index(const struct ph_spec_key *);

/* The row of `key` ("restart", "env.PATH"), or NULL; `*name` is what follows the dot of a pair. */
const struct ph_spec_key *ph_spec_key_find(const char *key, const char **name);

/* Answers for a key that has no row: reserved, the request's, or unknown (with the nearest key). */
int ph_spec_key_unknown(const char *key, struct ph_error *error);

/* Reads a number of any type; false when it is malformed or out of range. */
bool ph_spec_key_read(const struct ph_spec_key *, const char *value, uint64_t *number);

/* Appends a number as a value that ph_spec_key_read reads back. */
void ph_spec_key_write(const struct ph_spec_key *, uint64_t number, struct ph_text *out);

/* PH_EUSAGE: "restart=sometimes: use permanent, transient or temporary". */
int ph_spec_key_refuse(const struct ph_spec_key *, const char *key, const char *value,
                       struct ph_error *error);

/* Appends `text` as it may stand in a message: printable, cut after 60 bytes. */
void ph_spec_key_quote(struct ph_text *out, const char *text);

#endif
