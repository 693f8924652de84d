/*
 * Picking children for a list: those that a target means, sorted by a field, from `offset`, at most
 * `limit` of them.
 *
 * With a limit the best offset + limit so far stand in a heap, so a screenful of a million children
 * costs one walk and no sort of everything. What is kept are ids; whoever shows them reads the rows
 * anew and skips those that are gone. One thread.
 */
#ifndef PH_IPC_PICK_H
#define PH_IPC_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/target.h"

struct ph_pick_entry {
    uint64_t number; /* the field's value: a number, or */
    char *text;      /* a text (in natural order); numbers stand before texts, nothing last */
    char *id;
};

struct ph_pick {
    const char *field; /* NULL: the id */
    bool descending;
    struct ph_pick_entry *entries;
    size_t count, capacity;
    size_t keep;    /* offset + limit; SIZE_MAX: all */
    uint64_t total; /* children that the target means */
};

/* `field` is one that ph_child_resolver knows, or NULL. `limit` 0: no limit. */
void ph_pick_run(struct ph_pick *, const struct ph_target *, const char *field, bool descending,
                 uint64_t offset, uint64_t limit);
void ph_pick_fini(struct ph_pick *);

#endif
