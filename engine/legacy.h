/*
 * A legacy: what an instance that gives way to another one leaves to it, and what is told of it.
 *
 * Made by the hub of the instance that stays. Immutable but for its count of references: the hub
 * holds one until the state is joined or stored, the kind one while it joins it; any thread.
 */
#ifndef PH_ENGINE_LEGACY_H
#define PH_ENGINE_LEGACY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/limits.h"
#include "engine/prochub.h"

struct ph_legacy {
    atomic_uint references;
    char from[PH_NAME_MAX + 1]; /* the node that it ran on */
    uint64_t ran_ms;            /* how long it has run */
    uint64_t updates;           /* messages that it has handled */
    uint64_t stays_ms;          /* how long the instance that stays has run by then */
    size_t length;
    char state[]; /* and a NUL */
};

/* With one reference, the node `from` and the state copied; NULL: no memory for it. */
struct ph_legacy *ph_legacy_create(const char *from, const void *state, size_t length);
struct ph_legacy *ph_legacy_get(struct ph_legacy *);
void ph_legacy_put(struct ph_legacy *); /* NULL is fine */

#endif
