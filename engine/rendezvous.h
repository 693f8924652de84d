/*
 * Who owns an id: weighted rendezvous hashing (highest random weight).
 *
 * D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM ToN 1998;
 * weights as in J. Resch, "New Hashing Algorithms for Data Storage", SDC 2015. Every node scores
 * every id by a mixed hash of (id, node); the highest scores own it. So all nodes with the same
 * list agree without a ring to build or publish, a node that joins takes exactly its share from the
 * others, and one that leaves gives its share away; nothing else moves. Ties go to the lower index.
 *
 * Pure functions over a list that the caller keeps; any thread. Nodes are in ascending order of
 * their hash. A weight of 0 owns nothing; equal weights (the normal case) take a fast way. Integers
 * only: machines of all sorts agree. What the scores are is part of the protocol between nodes.
 */
#ifndef PH_ENGINE_RENDEZVOUS_H
#define PH_ENGINE_RENDEZVOUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"

enum { PH_OWNERS_MAX = 256 };

struct ph_owners {
    uint32_t count;
    uint32_t weighted;             /* not all weights are equal */
    uint64_t nodes[PH_OWNERS_MAX]; /* ph_name_hash of each */
    uint32_t weights[PH_OWNERS_MAX];
    uint32_t halves[2][PH_OWNERS_MAX]; /* of `nodes`, low and high, for loops of equal lanes */
};

/* The same hash of a node's name / of a child's id on every node (XXH3). Never 0. */
uint64_t ph_name_hash(const char *text, size_t length);

/* Fills the list from `count` node hashes (any order, at most PH_OWNERS_MAX) and weights (NULL: all
 * 1). The order that results is that of the hashes; `order[i]` (may be NULL) is the place in
 * `hashes` of nodes[i]. */
void ph_owners_init(struct ph_owners *, const uint64_t *hashes, const uint32_t *weights,
                    uint32_t count, uint32_t *order);

/* A pin is the hash of a node's name (ph_name_hash) with the mode in its last two bits. */
static inline uint64_t ph_pin(uint64_t name_hash, enum ph_move_mode mode)
{
    return (name_hash & ~UINT64_C(3)) | (uint64_t)mode;
}

static inline bool ph_pin_is_to(uint64_t pin, uint64_t name_hash)
{
    return pin && (pin | 3) == (name_hash | 3);
}

static inline enum ph_move_mode ph_pin_mode(uint64_t pin)
{
    return (enum ph_move_mode)(pin & 3);
}

/* The index of the owner of an id; count when there is none. */
uint32_t ph_owner_of(const struct ph_owners *, uint64_t id_hash);
/* The same for a child with a pin (0: none), which counts while its node is among them. */
uint32_t ph_owner_pinned(const struct ph_owners *, uint64_t id_hash, uint64_t pin);

/* The indices of the `factor` best owners, best first; returns how many (fewer when fewer nodes
 * have a weight). */
uint32_t ph_owners_of(const struct ph_owners *, uint64_t id_hash, uint32_t factor, uint32_t *out);

/* The rank of a node for an id: 0 owns it; count when the node owns nothing at all. */
uint32_t ph_owner_rank(const struct ph_owners *, uint64_t id_hash, uint32_t node);

#endif
