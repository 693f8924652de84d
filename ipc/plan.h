/*
 * A plan: what would move if the members of a hub changed. Nothing happens.
 *
 * It walks the directory once and asks the distribution for each child's owner before and after;
 * both answers are pure functions of the members, so the plan is what the hub itself would come to.
 * Any thread. PH_PLAN_ROWS_MAX moves are listed, in natural order of their ids, all are counted.
 */
#ifndef PH_IPC_PLAN_H
#define PH_IPC_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "engine/limits.h"
#include "engine/text.h"

enum { PH_PLAN_ROWS_MAX = 1000 };

enum ph_plan_kind { PH_PLAN_JOIN, PH_PLAN_LEAVE, PH_PLAN_DRAIN };

struct ph_plan_row {
    char *id;
    char from[PH_NAME_MAX + 1], to[PH_NAME_MAX + 1]; /* "": nowhere */
};

struct ph_plan {
    uint64_t moves;       /* children whose owner changes */
    uint64_t unavailable; /* of them those that would have none */
    struct ph_plan_row *rows;
    size_t count;
};

/* PH_ENOTFOUND: no member has that name (leave, drain); PH_EEXISTS: one has it (join). */
PH_MUST_CHECK int ph_plan_make(struct ph_hub *, enum ph_plan_kind, const char *node,
                               struct ph_plan *plan, struct ph_error *);
void ph_plan_fini(struct ph_plan *);

#endif
