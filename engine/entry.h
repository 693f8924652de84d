/*
 * An entry of the directory: what is wanted of one child of the hub, and where it runs.
 *
 * The intent (wanted with a spec, or stopped; a pin) and the placements: one for each node that has
 * the child. The hub's actor writes (directory.h); any thread reads inside a read section and sees
 * each field as it is at that moment. An entry's id and a placement's member never change.
 */
#ifndef PH_ENGINE_ENTRY_H
#define PH_ENGINE_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/rcu.h"
#include "engine/rendezvous.h"
#include <urcu/rculfhash.h>

struct ph_child;
struct ph_entry;
struct ph_own;
struct ph_spec;

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
    _Atomic uint64_t pin;                      /* see ph_pin; 0: none */
    _Atomic uint64_t mark;                     /* of hub-wide intents, see ph_directory_mark */

    /* The hub's actor only. */
    struct ph_version version;     /* of spec and mark */
    struct ph_version pinned;      /* of the pin */
    struct ph_child *child;        /* the one here, or NULL */
    struct ph_pending *pending;    /* requests of this node that wait for it */
    struct ph_transfer *move;      /* a move from or to this node, or NULL */
    struct ph_merge *merge;        /* of its state here, or of another one into it; NULL: none */
    struct ph_transfer *kept;      /* one that is done and whose state is kept for a while */
    struct ph_mail *mail;          /* what its messages need here, or NULL */
    uint64_t seen_epoch;           /* of the youngest instance that was ever seen */
    uint64_t moved_epoch;          /* one of that epoch went from here or elsewhere … */
    uint64_t moved_ms;             /* when we heard so */
    uint64_t moved_to, moved_life; /* … to that node (hash of its name, generation); 0: to none */
    uint64_t came_epoch;           /* of the instance that the last one here came from by a move */
    uint64_t stopped_ms;           /* tombstones: when it came here */
    struct ph_entry *stone_next;   /* tombstones in the order they came */
    struct ph_entry *next_waiting; /* for the budget of moves */
    bool waiting;
    struct ph_entry *next_push;  /* in the list of intents to push */
    struct ph_entry *next_noted; /* in the list of those that the journal lacks */
    struct ph_entry *next_dirty; /* in one of the hub's work lists */
    bool queued;                 /* for the reconciler */
    bool pushing;                /* in the list of intents to push */
    bool noted;                  /* in the list of the journal */
    bool misplaced;              /* counted: it is not where it should be */
    uint32_t parting;            /* instances that have gone and whose last messages are to come */
    bool moved_here;             /* its child here came with the order of its messages */
    bool sole;                   /* no other instance was seen than those that it came from */
    bool copies_not;             /* its next move sends its state as a whole */
    bool ran;                    /* some instance of this intent has run somewhere */
    bool in_stones;
    uint8_t shown;      /* state it is counted under; PH_STATES: none */
    uint32_t index;     /* in the walk */
    struct ph_own *own; /* its entry in the own log, also when the placement is gone */
    uint64_t retry_ms;  /* do not try to move it before */

    uint8_t id_length;
    char id[]; /* and a NUL */
};

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

static inline unsigned ph_entry_bucket(const struct ph_entry *entry)
{
    return (unsigned)(entry->hash >> 56);
}

#endif
