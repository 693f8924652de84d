/*
 * From a row of the key table to the field of a spec, and back; the sorted lists of pairs.
 *
 * Used by spec.c and spec_print.c only. No locking: a spec has one maker, then only readers.
 */
#ifndef PH_ENGINE_SPEC_FIELD_H
#define PH_ENGINE_SPEC_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/spec.h"
#include "engine/spec_keys.h"

/* A text row's field; its value. */
char **ph_spec_field_text(struct ph_spec *, const struct ph_spec_key *);
const char *ph_spec_text_in(const struct ph_spec *, const struct ph_spec_key *);

/* A number row's value; the default where the row is not stored. */
void ph_spec_store_number(struct ph_spec *, const struct ph_spec_key *, uint64_t number);
uint64_t ph_spec_load_number(const struct ph_spec *, const struct ph_spec_key *);

/* A pair row's list. */
const struct ph_pair *ph_spec_pairs_in(const struct ph_spec *, const struct ph_spec_key *,
                                       size_t *count);

/* Where `key` is in a sorted list, or where it belongs; its value, or NULL. */
size_t ph_spec_pair_place(const struct ph_pair *, size_t count, const char *key, bool *found);
const char *ph_spec_pair_value(const struct ph_pair *, size_t count, const char *key);

#endif
