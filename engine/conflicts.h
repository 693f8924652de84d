/*
 * The conflict store: states that had to give way and that nobody joined.
 *
 * When two halves of a hub meet, of each child that ran in both one instance stays. What the other
 * one leaves and nothing can be done with is kept here until people look at it and drop it. In
 * memory only: it ends with its hub.
 *
 * Owner: the hub's actor. Bounded: PH_CONFLICTS_MAX states of PH_CONFLICT_BYTES_MAX together; what
 * is put in drives out the oldest ones.
 */
#ifndef PH_ENGINE_CONFLICTS_H
#define PH_ENGINE_CONFLICTS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/limits.h"
#include "engine/text.h"

struct ph_legacy;

struct ph_conflict {
    struct ph_conflict *next;
    uint64_t number; /* rises; never used again in this hub's life */
    uint64_t now_ms; /* when it came */
    uint64_t checksum;
    char *id, *why;
    struct ph_legacy *legacy;
};

struct ph_conflicts {
    struct ph_conflict *first, **last; /* oldest first */
    uint64_t next_number, bytes;
    uint32_t count;
};

void ph_conflicts_init(struct ph_conflicts *);
void ph_conflicts_fini(struct ph_conflicts *);

/* Keeps a state; the legacy is referenced, the texts are copied. May exceed the bounds:
 * ph_conflicts_over says what has to go. Borrowed. */
const struct ph_conflict *ph_conflicts_put(struct ph_conflicts *, const char *id,
                                           struct ph_legacy *, const char *why, uint64_t now_ms);

/* The oldest one if there are too many or too large ones, or NULL. */
const struct ph_conflict *ph_conflicts_over(const struct ph_conflicts *);

/* NULL: there is none of that number. */
const struct ph_conflict *ph_conflicts_find(const struct ph_conflicts *, uint64_t number);

/* Drops the one of that number. False: there is none. */
bool ph_conflicts_drop(struct ph_conflicts *, uint64_t number);

/* Rows for `conflicts`, oldest first: number, id, from, now_ms, bytes, ran_ms, updates, checksum
 * (hexadecimal), why. */
void ph_conflicts_print(const struct ph_conflicts *, struct ph_text *out);

#endif
