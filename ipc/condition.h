/*
 * Conditions of `wait` and `assert`: what ph_condition_resolver compares.
 *
 * All fields of one evaluation come from one picture of the hub; `count(…)` and `child ID FIELD`
 * look into the registry or the directory. Some fields change without a new picture (a child's
 * queue, an uptime): `timed` says that the evaluation asked for one, so that a wait has to look
 * again by itself.
 */
#ifndef PH_IPC_CONDITION_H
#define PH_IPC_CONDITION_H

#include "engine/prochub.h"
#include "ipc/expr.h"
#include "ipc/subject.h"

/* The subject of ph_condition_resolver. */
struct ph_condition {
    struct ph_hub *hub;
    struct ph_status status;
    struct ph_subject child;
    struct ph_text text; /* of the child's field asked for last */
    bool timed;
};

void ph_condition_init(struct ph_condition *, struct ph_hub *);
void ph_condition_fini(struct ph_condition *);

/* Does it hold now? Takes a new picture first. */
bool ph_condition_holds(struct ph_condition *, const struct ph_expr *);

/* What it saw, in words. */
void ph_condition_explain(struct ph_condition *, const struct ph_expr *, struct ph_text *out);

#endif
