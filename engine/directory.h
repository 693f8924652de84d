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

#include "engine/prochub.h"
#include "engine/rcu.h"
#include "engine/rendezvous.h"
#include <urcu/rculfhash.h>

struct ph_child;
struct ph_own;
struct ph_directory;
struct ph_entry;
struct ph_spec;

enum {
    PH_MEMBERS_MAX = 256, /* slots: members and those that were; see members.h */
    PH_NO_MEMBER = 0xffff,
    PH_BUCKETS = 256,
};

/* When and by whom an intent was written: the higher clock wins, then the higher author. */
struct ph_version {
    uint64_t clock;
    uint64_t author; /* hash of the node's name (ph_name_hash) */
};

static inline int ph_version_compare(struct ph_version a, struct ph_version b)
{
    if (a.clock != b.clock)
        return a.clock < b.clock ? -1 : 1;
    return (a.author > b.author) - (a.author < b.author);
}

/* What a placement's owner says of it. */
struct ph_placed {
    enum ph_state state;
    uint64_t epoch;    /* hub clock of its activation */
    uint64_t pid;      /* of an OS process; 0: none */
    uint64_t since_ms; /* on the reader's clock, about */
    uint32_t instance, restarts;
};

struct ph_placement {
    /* Constant. */
    struct ph_entry *entry;
    uint16_t member; /* slot of the node that has the child */

    /* The hub writes, any thread reads. */
    _Atomic(struct ph_placement *) next; /* of the same entry */
    _Atomic uint64_t epoch, pid, since_ms;
    _Atomic uint32_t instance, restarts;
    _Atomic uint8_t state;
    _Atomic(char *) reason; /* why it failed or waits, or NULL */

    uint32_t round; /* the hub's actor: see ph_directory_round */
};

struct ph_entry {
    struct cds_lfht_node node;
    uint64_t hash; /* of the id, the same on every node: for placement and buckets */

    /* The hub writes, any thread reads. */
    _Atomic(struct ph_spec *) spec;            /* what is wanted; NULL: stopped */
    _Atomic(struct ph_placement *) placements; /* list */
    _Atomic uint64_t pin;                      /* ph_name_hash of the node, 0: none */
    _Atomic uint64_t mark;                     /* of hub-wide intents, see ph_directory_mark */

    /* The hub's actor only. */
    struct ph_version version;
    struct ph_child *child;        /* the one here, or NULL */
    struct ph_pending *pending;    /* requests of this node that wait for it */
    struct ph_transfer *move;      /* a move from or to this node, or NULL */
    struct ph_held *held;          /* messages that wait for it to start here */
    uint64_t stopped_ms;           /* tombstones: when it came here */
    struct ph_entry *stone_next;   /* tombstones in the order they came */
    struct ph_entry *next_waiting; /* for the budget of moves */
    bool waiting;
    struct ph_entry *next_push;  /* in the list of intents to push */
    struct ph_entry *next_dirty; /* in one of the hub's work lists */
    bool queued;                 /* for the reconciler */
    bool pushing;                /* in the list of intents to push */
    bool misplaced;              /* counted: it is not where it should be */
    bool ran;                    /* some instance of this intent has run somewhere */
    bool in_stones;
    uint8_t shown;      /* state it is counted under; PH_STATES: none */
    uint32_t index;     /* in the walk */
    struct ph_own *own; /* its entry in the own log, also when the placement is gone */
    uint64_t retry_ms;  /* do not try to move it before */

    uint8_t id_length;
    char id[]; /* and a NUL */
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

static inline struct ph_spec *ph_entry_spec_rcu(const struct ph_entry *entry)
{
    return atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->spec, memory_order_acquire);
}

static inline struct ph_placement *ph_entry_first_rcu(const struct ph_entry *entry)
{
    return atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->placements,
                                memory_order_acquire);
}

static inline struct ph_placement *ph_placement_next_rcu(const struct ph_placement *placement)
{
    return atomic_load_explicit(&((struct ph_placement *)(uintptr_t)placement)->next,
                                memory_order_acquire);
}

void ph_placement_read_rcu(const struct ph_placement *, struct ph_placed *);

/* ---- Writing: the hub's actor, in a step ----------------------------------------------------- */

/* The entry of that id, made when it is new (a tombstone of version 0). NULL: the hub has
 * PH_CHILDREN_MAX entries, or there is no memory. */
struct ph_entry *ph_directory_make(struct ph_directory *, const char *id, size_t length);

/* An intent as it is written or comes from elsewhere. */
struct ph_intent {
    struct ph_version version;
    struct ph_spec *spec; /* borrowed, referenced when kept; NULL: stopped */
    uint64_t pin, mark;
};

/* Takes over an intent that is newer than what is there: false when it is not. */
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

/* The valid placement of a member, or NULL. */
struct ph_placement *ph_directory_placement(const struct ph_directory *, const struct ph_entry *,
                                            uint16_t member);

/* Frees entries that nobody needs: tombstones that came before `before_ms`, without placement,
 * child, or anything that waits. Looks at no more than `limit`. */
void ph_directory_purge(struct ph_directory *, uint64_t before_ms, unsigned limit);

/* Ends a step: hands what was taken out to RCU. */
void ph_directory_reclaim(struct ph_directory *);

/* Should the table grow, and to how many buckets? 0: no. And a pool thread does it. */
size_t ph_directory_wanted(const struct ph_directory *, size_t entries);
void ph_directory_grow(struct ph_directory *, size_t buckets);

/* Walks all entries in slices: up to `limit` from the cursor on, in the order they were made.
 * False: the walk is over. Entries made meanwhile are seen. */
struct ph_cursor {
    uint64_t at;
};
unsigned ph_directory_walk(struct ph_directory *, struct ph_cursor *, struct ph_entry **entries,
                           unsigned limit);

/* ---- Sums, O(1) ------------------------------------------------------------------------------ */

uint64_t ph_directory_wanted_count(const struct ph_directory *); /* wanted children */
uint64_t ph_directory_entries(const struct ph_directory *);      /* with tombstones and marks */
uint64_t ph_directory_placed(const struct ph_directory *, uint16_t member);
uint64_t ph_directory_hash(const struct ph_directory *); /* of what is wanted */
uint64_t ph_directory_bucket(const struct ph_directory *, unsigned bucket);
static inline unsigned ph_entry_bucket(const struct ph_entry *entry)
{
    return (unsigned)(entry->hash >> 56);
}

#endif
