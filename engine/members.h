/*
 * The members of a hub, as readers see them: one immutable list, published by the hub's actor when
 * it changes, read by any thread in a read section.
 *
 * Members have *slots*: small numbers that placements refer to. The own node is slot 0. A slot
 * belongs to one node name for the life of the hub on this node; its generation tells one life of
 * that node's hub from the next.
 */
#ifndef PH_ENGINE_MEMBERS_H
#define PH_ENGINE_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/directory.h"
#include "engine/limits.h"
#include "engine/prochub.h"
#include "engine/rendezvous.h"

/* name, text for people. */
#define PH_MEMBER_STATE_MAP(X)                                                       \
    X(PH_MEMBER_JOINING, "joining") /* linked, and being brought up to date */       \
    X(PH_MEMBER_UP, "up")                                                            \
    X(PH_MEMBER_SUSPECT, "suspect") /* silent, but not long enough to be dead */     \
    X(PH_MEMBER_LEAVING, "leaving") /* up, and handing its children over */          \
    X(PH_MEMBER_DOWN, "down")       /* dead, cut off, or outside this side's view */ \
    X(PH_MEMBER_LEFT, "left")       /* gone with a goodbye; kept for its name only */

enum ph_member_state {
#define PH_MEMBER_STATE_ENUM(name, text) name,
    PH_MEMBER_STATE_MAP(PH_MEMBER_STATE_ENUM)
#undef PH_MEMBER_STATE_ENUM
        PH_MEMBER_STATES
};

const char *ph_member_state_name(enum ph_member_state);

struct ph_member_info {
    char name[PH_NAME_MAX + 1];
    char endpoint[PH_ENDPOINT_MAX + 1]; /* "" for a node without links */
    uint64_t name_hash;
    uint64_t generation;
    uint64_t peer; /* its session; 0: none, or the own node */
    enum ph_member_state state;
    bool self;
    bool in_view; /* its placements count; children may be placed there */
    bool draining;
    uint64_t since_ms;   /* when it entered its state */
    uint64_t started_ms; /* when its hub started, on our clock, about */
};

struct ph_members {
    uint16_t count; /* slots 0 .. count - 1 */
    uint16_t in_view;
    uint64_t view;    /* hash of the view: names and generations */
    uint64_t version; /* rises with each list */
    bool partitioned;
    uint32_t quorum_seen, quorum_needed; /* needed 0: the strategy wants none */
    uint32_t quorum_max;                 /* the largest size that counts */
    struct ph_owners owners;             /* where children may be placed: for ph_owner_of */
    uint16_t owner_slot[PH_MEMBERS_MAX]; /* slot of owners.nodes[i] */
    struct ph_member_info list[];
};

/* In a read section: the list, valid until its end; NULL when the node has no links. */
const struct ph_members *ph_members_rcu(const struct ph_hub *);

/* In a read section: the slot of that node, or PH_NO_MEMBER. */
uint16_t ph_members_find(const struct ph_members *, const char *name, size_t length);

/* In a read section: the slot of the node where that child belongs (it need not exist): its pin, if
 * the pinned node may have children, else the first of the rendezvous order. PH_NO_MEMBER: nowhere
 * (every node drains). `entry` may be NULL. */
uint16_t ph_members_owner(const struct ph_members *, uint64_t id_hash, const struct ph_entry *);

/* In a read section: the placement that speaks for a child: the one that runs in the view, else any
 * in the view, else one that was lost; NULL: none. `*state` is what people are shown. */
const struct ph_placement *ph_entry_shown_rcu(const struct ph_members *, const struct ph_entry *,
                                              enum ph_state *state);

#endif
