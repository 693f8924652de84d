/*
 * The view: which of the nodes that know each other form this side of the hub.
 *
 * Input is the reachability matrix: who hears whom, one row from each node's beat. A link counts
 * when both ends hear each other. The view is the largest set in which every two nodes are linked,
 * found greedily: of the nodes that `self` can reach over links, the one with the most missing
 * links goes, until none is missing; among equals one that is not to be preferred, of these the one
 * with the highest index. Of those that went, the ones that are linked to all that are left come
 * back, the lowest index first. Nodes are in the order of a hash of their names, the same
 * everywhere, so nodes with the same matrix agree on the view without talking. When `self` is not
 * in it, it is alone. A node of which no row is known has no links: its row is zero.
 *
 * Pure function; any thread. At most PH_VIEW_MAX nodes, O(nodes²).
 */
#ifndef PH_ENGINE_VIEW_H
#define PH_ENGINE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

enum { PH_VIEW_MAX = 256, PH_VIEW_WORDS = PH_VIEW_MAX / 64 };

struct ph_view_set {
    uint64_t words[PH_VIEW_WORDS];
};

struct ph_view_matrix {
    uint32_t count;
    struct ph_view_set preferred;          /* to be preferred; may be empty */
    struct ph_view_set hears[PH_VIEW_MAX]; /* row i: whom node i hears; its own bit is ignored */
};

static inline bool ph_view_has(const struct ph_view_set *set, uint32_t node)
{
    return set->words[node / 64] >> (node % 64) & 1;
}

static inline void ph_view_add(struct ph_view_set *set, uint32_t node)
{
    set->words[node / 64] |= UINT64_C(1) << (node % 64);
}

/* Fills `view`, which always holds `self`. True: `self` was left out of a larger view that it can
 * reach, and is alone although it is not cut off. */
bool ph_view_compute(const struct ph_view_matrix *, uint32_t self, struct ph_view_set *view);

#endif
