/*
 * The registry of a hub: child id -> child, an RCU hash table (liburcu's cds_lfht).
 *
 * One writer, the hub's actor, inside a hub step; any thread reads inside a read section and never
 * waits. A child is published once and retracted once; between the two its identity (id, hub, kind)
 * is constant and what changes are the atomic fields of group 2. Retracted children are reclaimed
 * in batches, one grace period each.
 *
 * The table is sized by hand: liburcu 0.13's automatic growth can stop for good. When it gets dense
 * the hub asks its `work` port for ph_registry_grow on the pool.
 *
 * Ids are hashed by XXH3 with a secret of the process, so that nobody outside can choose
 * collisions.
 */
#ifndef PH_ENGINE_REGISTRY_H
#define PH_ENGINE_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kind/kind.h"
#include "engine/prochub.h"
#include "engine/rcu.h"
#include <urcu/rculfhash.h>

struct ph_care;
struct ph_entry;
struct ph_spec;

struct ph_child {
    /* 1. Constant while published. */
    struct cds_lfht_node node;
    struct ph_hub *hub;
    const struct ph_kind *kind;
    struct ph_entry *entry; /* in the hub's directory; the hub's actor only; NULL: it has none */

    /* 2. The hub writes, any thread reads. */
    _Atomic(struct ph_spec *) spec;      /* replaced by a start with if_exists=replace */
    _Atomic(struct ph_exit *) last_exit; /* NULL: it never ended */
    _Atomic uint64_t since_ms;           /* when it entered its state */
    _Atomic uint64_t epoch;
    _Atomic uint64_t detour; /* not 0 below: its node's messages go through the hub, see
                              * ph_detour_enter */
    _Atomic uint32_t restarts;
    _Atomic uint32_t instance; /* number of its starts */
    _Atomic uint8_t state;     /* enum ph_state */

    /* 3. Constant. */
    uint8_t id_length;
    uint16_t tail_offset; /* of the kind's part, from the start of the child */

    /* 4. The hub's actor only; after retraction the registry's. */
    union {
        struct {
            struct ph_care *care; /* what only troubled or changing children have (super.c) */
            uint64_t cause;       /* seq of the event that led to the present state */
            bool announced;       /* registry_pid_insert was fired; it ran at least once */
        };
        struct {
            struct rcu_head rcu;
            struct ph_child *next_retracted;
        };
    };

    char id[]; /* id_length bytes and a NUL; the kind's tail follows, aligned */
};

/* The lower half of a detour counts messages that go through the hub and have not arrived; a bit of
 * it says that new ones have to. The upper half is a key of the child, never used again, by which
 * such a message is known to be of that child and not of a later one with its id. */
#define PH_DETOUR_CLOSED UINT64_C(0x80000000)

static inline uint32_t ph_detour_key(_Atomic uint64_t *detour)
{
    return (uint32_t)(atomic_load_explicit(detour, memory_order_relaxed) >> 32);
}

/* Any thread: 0 when a message may go straight into the mailbox. Else it is counted, and its event
 * has to carry the key that is returned. */
static inline uint32_t ph_detour_enter(_Atomic uint64_t *detour)
{
    /* Acquire: what was on its way before is in the mailbox. */
    if (!(uint32_t)atomic_load_explicit(detour, memory_order_acquire))
        return 0;
    return (uint32_t)(atomic_fetch_add_explicit(detour, 1, memory_order_relaxed) >> 32);
}

/* Such a message has arrived. */
static inline void ph_detour_leave(_Atomic uint64_t *detour, uint32_t key)
{
    /* Release: whoever finds the detour open finds the message in the mailbox. */
    if (key == ph_detour_key(detour))
        atomic_fetch_sub_explicit(detour, 1, memory_order_release);
}

struct ph_registry;

struct ph_registry *ph_registry_create(uint64_t secret);

/* No reader, no writer left; frees what is still published. */
void ph_registry_destroy(struct ph_registry *);

/* Any thread, in a read section: the child, or NULL. */
struct ph_child *ph_registry_find_rcu(const struct ph_registry *, const char *id, size_t length);

/* Any thread, in a read section: calls `fn` for each child, in no order, until it returns false. A
 * child published or retracted meanwhile may or may not be seen. */
void ph_registry_each_rcu(const struct ph_registry *, bool (*fn)(void *arg, struct ph_child *),
                          void *arg);

/* Hub's actor: a child of `kind`, its tail initialised, not yet published. `spec` is referenced. */
struct ph_child *ph_child_create(struct ph_hub *, const struct ph_kind *kind, const char *id,
                                 size_t length, struct ph_spec *spec);

/* The last step of a kind's fini: frees the child itself. */
void ph_child_free(struct ph_child *);

/* Hub's actor: gives a child another spec (the reference is taken); readers of the old one are
 * waited for. */
void ph_child_replace_spec(struct ph_child *, struct ph_spec *spec);

/* Hub's actor, in a step: PH_EEXISTS when the id is taken (the child stays the caller's). */
PH_MUST_CHECK int ph_registry_publish(struct ph_registry *, struct ph_child *);

/* Hub's actor, in a step: takes it out. It stays readable until ph_registry_reclaim's grace period
 * is over; then its kind's fini is called. */
void ph_registry_retract(struct ph_registry *, struct ph_child *);
/* The same in two parts: from the first on nobody finds it, from the second on it may be freed. */
void ph_registry_remove(struct ph_registry *, struct ph_child *);
void ph_registry_release(struct ph_registry *, struct ph_child *);

/* Hub's actor: hands everything retracted since the last call to RCU. Cheap when there is
 * nothing. */
void ph_registry_reclaim(struct ph_registry *);

/* Should the table grow, and to how many buckets? 0: no. */
size_t ph_registry_wanted(const struct ph_registry *, size_t children);

/* A pool thread, outside read sections: grows the table while readers and the hub go on. */
void ph_registry_grow(struct ph_registry *, size_t buckets);

/* Writes are counted as stray when they happen outside a hub step; it must stay 0. */
void ph_registry_open(struct ph_registry *);  /* a step begins */
void ph_registry_close(struct ph_registry *); /* a step ends */
uint64_t ph_registry_stray_writes(const struct ph_registry *);

/* The kind's part of a child. */
static inline void *ph_child_tail(const struct ph_child *child)
{
    return (char *)(uintptr_t)child + child->tail_offset;
}

/* Fills what the child itself knows and what its kind adds. In a read section. */
void ph_child_inspect_rcu(const struct ph_child *, struct ph_child_info *);

static inline enum ph_state ph_child_state(const struct ph_child *child)
{
    return (enum ph_state)atomic_load_explicit(&child->state, memory_order_relaxed);
}

/* The spec, valid inside the read section (or for the hub until it replaces it). */
static inline struct ph_spec *ph_child_spec_rcu(const struct ph_child *child)
{
    return atomic_load_explicit(&((struct ph_child *)(uintptr_t)child)->spec, memory_order_acquire);
}

#endif
