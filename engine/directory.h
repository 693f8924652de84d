/*
 * The directory of a hub that spans nodes: what is wanted of every child, and where it runs.
 *
 * One `struct ph_entry` for each id, found in an RCU hash table. An entry holds the *intent*
 * (wanted with a spec, or stopped; a pin) and the *placements*: one for each node that has the
 * child. The same data, by two rules:
 *
 *  - Intents are a map in which the highest version (hub clock, author) wins, whoever delivers it;
 *    merging is commutative and idempotent, so any member can repair any other. Stopped ones stay
 * as tombstones until every known member has been seen without the child. They are not in the hash,
 *    which covers what is wanted; 256 bucket hashes say where two maps differ.
 *  - Placements of a node are written by that node alone, into its own log: one entry per child, in
 *    the order of change, numbered. A member that has everything up to number `hi` of generation
 *    `gen` asks for what comes after it. Nobody answers for another one.
 *
 * Threads. One writer, the hub's actor, inside a step. Any thread reads inside a read section; an
 * entry's id is constant, what changes is atomic. Entries and placements are freed after a grace
 * period. Bounded by PH_CHILDREN_MAX wanted children.
 */
#ifndef PH_ENGINE_DIRECTORY_H
#define PH_ENGINE_DIRECTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/entry.h"
#include "engine/prochub.h"
#include "engine/rcu.h"
#include "engine/rendezvous.h"
#include <urcu/rculfhash.h>

struct ph_directory;

enum {
    PH_MEMBERS_MAX = 256, /* slots: members and those that were; see members.h */
    PH_NO_MEMBER = 0xffff,
    PH_BUCKETS = 256,
};

struct ph_directory *ph_directory_create(uint64_t secret);
void ph_directory_destroy(struct ph_directory *); /* no reader, no writer left */

/* ---- Reading: any thread, in a read section -------------------------------------------------- */

/* The entry, or NULL. It may be a tombstone: see ph_entry_spec_rcu. */
struct ph_entry *ph_directory_find_rcu(const struct ph_directory *, const char *id, size_t length);

/* Calls `fn` for each wanted child (no tombstones, no marks), in no order, until it returns
 * false. */
void ph_directory_each_rcu(const struct ph_directory *, bool (*fn)(void *arg, struct ph_entry *),
                           void *arg);

/* ---- Writing: the hub's actor, in a step ----------------------------------------------------- */

/* The entry of that id, made when it is new (a tombstone of version 0). NULL: the hub has
 * PH_CHILDREN_MAX entries, or there is no memory. */
struct ph_entry *ph_directory_make(struct ph_directory *, const char *id, size_t length);

/* An intent as it is written or comes from elsewhere. */
struct ph_intent {
    struct ph_version version; /* of what follows: */
    struct ph_spec *spec;      /* borrowed, referenced when kept; NULL: stopped */
    uint64_t mark;
    struct ph_version pinned; /* of the pin, which is a thing of its own: who pins wants nothing */
    uint64_t pin;
};

/* Takes over what is newer than what is there, the pin apart from the rest: false when neither
 * is. */
bool ph_directory_want(struct ph_directory *, struct ph_entry *, const struct ph_intent *,
                       uint64_t now_ms);

/* Forgets an intent and all placements, as if none had ever come. */
void ph_directory_forget(struct ph_directory *, struct ph_entry *);

/* Sets a node's placement / takes it away (NULL `placed`). Reports whether anything changed.
 * `reason` is copied. For the own slot it goes into the own log. */
bool ph_directory_place(struct ph_directory *, struct ph_entry *, uint16_t member,
                        const struct ph_placed *placed, const char *reason);

/* Placements of a member carry the round in which they came. A new generation of the member, or the
 * end of a snapshot of its log, makes older rounds void: ph_directory_is_void tells, and whoever
 * walks the directory takes void ones away. */
uint32_t ph_directory_next_round(struct ph_directory *, uint16_t member);
void ph_directory_void_before(struct ph_directory *, uint16_t member, uint32_t round);
bool ph_directory_is_void(const struct ph_directory *, const struct ph_placement *);

/* An instance of that epoch was there: one that is younger than one that went to another node has
 * come out of that move. */
static inline void ph_entry_saw(struct ph_entry *entry, uint64_t epoch)
{
    if (epoch > entry->seen_epoch)
        entry->seen_epoch = epoch;
    if (epoch > entry->moved_epoch)
        entry->moved_to = 0;
}

/* The instance of that epoch went to a node. */
static inline void ph_entry_moved(struct ph_entry *entry, uint64_t epoch, uint64_t to,
                                  uint64_t life, uint64_t now_ms)
{
    if (epoch < entry->seen_epoch)
        return;
    entry->moved_epoch = epoch;
    entry->moved_to = to;
    entry->moved_life = life;
    entry->moved_ms = now_ms;
}

/* The valid placement of a member, or NULL. */
struct ph_placement *ph_directory_placement(const struct ph_directory *, const struct ph_entry *,
                                            uint16_t member);

/* Frees entries that nobody needs: tombstones that came before `before_ms`, without placement,
 * child, or anything that waits. Looks at no more than `limit`; true: there may be more. */
bool ph_directory_purge(struct ph_directory *, uint64_t before_ms, unsigned limit);

/* Ends a step: hands what was taken out to RCU. */
void ph_directory_reclaim(struct ph_directory *);

/* Should the table grow, and to how many buckets? 0: no. And a pool thread does it. */
size_t ph_directory_wanted(const struct ph_directory *, size_t entries);
void ph_directory_grow(struct ph_directory *, size_t buckets);

/* Walks all entries in slices: up to `limit` from the cursor on, in no order; fewer: the walk is
 * over. What is there from its begin to its end is seen, seldom twice; what is made or freed
 * meanwhile may be seen or not. A cursor of zeros begins. */
struct ph_cursor {
    uint64_t left;
    bool begun;
};
unsigned ph_directory_walk(struct ph_directory *, struct ph_cursor *, struct ph_entry **entries,
                           unsigned limit);

/* ---- Sums, O(1) ------------------------------------------------------------------------------ */

uint64_t ph_directory_wanted_count(const struct ph_directory *); /* wanted children */
uint64_t ph_directory_entries(const struct ph_directory *);      /* with tombstones and marks */
uint64_t ph_directory_placed(const struct ph_directory *, uint16_t member);
uint64_t ph_directory_hash(const struct ph_directory *); /* of what is wanted */
uint64_t ph_directory_bucket(const struct ph_directory *, unsigned bucket);

#endif
