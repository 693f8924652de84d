/*
 * A subject: one child as commands see it, wherever it runs.
 *
 * On a node without links that is the child of the registry. On a node with links it is the
 * directory's entry, which every node of the hub has: its spec, and its placements with what their
 * nodes say of them. What only the node knows where the child runs (its queue, how it ended last)
 * comes from the child of the registry, and only here.
 *
 * An entry speaks through one placement at a time: at first the one that people are shown (it runs
 * in the view; else one that was lost, which is `unknown`; else none, it is `starting`).
 * ph_subject_holds_rcu tries one after the other, since an expression about a child holds when it
 * holds for one of its placements.
 *
 * A subject is for one thread and valid inside the read section in which it was opened; nothing is
 * allocated from child to child but the text of a list, which is used again.
 */
#ifndef PH_IPC_SUBJECT_H
#define PH_IPC_SUBJECT_H

#include "engine/directory.h"
#include "engine/members.h"
#include "engine/registry.h"
#include "engine/text.h"
#include "ipc/expr.h"

struct ph_subject {
    const struct ph_hub *hub;
    const struct ph_members *members; /* NULL: the node has no links */
    const struct ph_entry *entry;     /* NULL: only `child` counts */
    const struct ph_placement *placement;
    enum ph_state state; /* of `placement` */
    /* The one here; of an entry: looked for once it is asked for. */
    const struct ph_child *child;
    bool looked;

    struct ph_text scratch; /* texts of the value asked for last */
    uint64_t now_ms;        /* for `uptime`; 0: read the clock */
};

/* In a read section: for children of that hub from now on. Keeps `scratch` and `now_ms`. */
void ph_subject_open_rcu(struct ph_subject *, struct ph_hub *);
void ph_subject_fini(struct ph_subject *);

/* Makes it the child of that id: false when no such child is wanted. */
bool ph_subject_find_rcu(struct ph_subject *, const char *id, size_t length);
/* Makes it that entry / that child of this node's registry. */
void ph_subject_set_entry_rcu(struct ph_subject *, const struct ph_entry *);
void ph_subject_set_child_rcu(struct ph_subject *, const struct ph_child *);

/* Makes it each child of the hub (`local`: each that this node has) and calls `fn`, in no order,
 * until that returns false. */
typedef bool (*ph_subject_fn)(void *arg, struct ph_subject *);
void ph_subject_each_rcu(struct ph_subject *, bool local, ph_subject_fn fn, void *arg);

const char *ph_subject_id(const struct ph_subject *, size_t *length);
const struct ph_spec *ph_subject_spec_rcu(const struct ph_subject *);
const char *ph_subject_kind(const struct ph_subject *);

/* The child here, if the placement that speaks is of this node; or NULL. */
const struct ph_child *ph_subject_local_rcu(struct ph_subject *);

/* The name of the node where it runs, or NULL. */
const char *ph_subject_node_rcu(const struct ph_subject *);
/* Is a placement of it on the node of that name? */
bool ph_subject_is_on_rcu(const struct ph_subject *, const char *node);

/* Does the expression (of ph_child_resolver) hold for one of its placements? */
bool ph_subject_holds_rcu(struct ph_subject *, const struct ph_expr *);

/* Lets the first / the next placement speak, the lost ones only when there are no others. False:
 * there is none (more); the subject is then as it was set. */
bool ph_subject_first_rcu(struct ph_subject *);
bool ph_subject_next_rcu(struct ph_subject *);

/* What the placement that speaks is. `pid`, `since_ms` 0: not known here. */
void ph_subject_info_rcu(struct ph_subject *, struct ph_child_info *info);

/* How people read an epoch: "17.n1". */
void ph_subject_put_epoch(const struct ph_subject *, uint64_t epoch, struct ph_text *out);

#endif
