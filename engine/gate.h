/*
 * The gate: the timed queue lock in front of a hub.
 *
 * Every event is admitted by the gate before the hub sees it. Priority at or above the level
 * passes; below, it is held in arrival order, or discarded when the event or a lock says so. The
 * level is the maximum over the live locks. Locks are owned and counted: each has a name, a reason,
 * a level and a deadline, and only its own release or its own deadline ends it; releasing a stale
 * token changes nothing. When the level falls, held events that pass now come out in their original
 * order.
 *
 * Pure data, the hub's actor only; time is passed in. Bounded: PH_LOCKS_MAX locks, PH_GATE_HELD_MAX
 * held events; what is refused is counted.
 *
 * Invariants: (1) level == max(level of live locks), 0 without one. (2) No held event has a
 * priority at or above the level once ph_gate_next returned NULL. (3) Held events are in arrival
 * order.
 */
#ifndef PH_ENGINE_GATE_H
#define PH_ENGINE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/limits.h"
#include "engine/prochub.h"

/* What the gate needs of an event; embedded in struct ph_event. */
struct ph_gated {
    struct ph_gated *next;
    uint64_t arrival; /* number in arrival order, set by admit */
    uint64_t since_ms;
    uint8_t priority;
    bool discard; /* drop it rather than hold it */
};

enum ph_gate_verdict { PH_GATE_PASS, PH_GATE_HELD, PH_GATE_DISCARD, PH_GATE_REFUSED };

struct ph_lock {
    struct ph_lock *next; /* newest first */
    uint64_t token;       /* never used twice */
    uint64_t since_ms;
    uint64_t deadline_ms; /* PH_NEVER: it never opens by itself */
    uint8_t level;
    bool discard;
    bool user; /* taken by ph_lock: `unlock all` releases it */
    char name[PH_NAME_MAX + 1];
    char reason[PH_NAME_MAX + 1];
};

struct ph_gate {
    uint8_t level;
    bool discard; /* a live lock discards what is below its own level */
    struct ph_lock *locks;
    uint32_t lock_count;
    uint64_t next_token, next_arrival;
    struct ph_gated *held_first, **held_last; /* arrival order */
    struct ph_gated **cursor; /* where ph_gate_next goes on; reset when level falls */
    uint32_t held_count;
    uint64_t held_total, discarded, refused, expired;
};

void ph_gate_init(struct ph_gate *);
/* Frees the locks. The caller took out the held events before (ph_gate_take_all). */
void ph_gate_fini(struct ph_gate *);

/* Decides about one event; with PH_GATE_HELD the gate borrows it until ph_gate_next returns it. An
 * event must not overtake held ones of its own right to pass: call ph_gate_next until NULL first.
 */
enum ph_gate_verdict ph_gate_admit(struct ph_gate *, struct ph_gated *event, uint64_t now_ms);

/* The oldest held event that passes at the present level, or NULL. Amortised O(1). */
struct ph_gated *ph_gate_next(struct ph_gate *);

/* Might ph_gate_next return an event? */
static inline bool ph_gate_releasing(const struct ph_gate *gate)
{
    return gate->held_count && *gate->cursor;
}

/* Any held event, whatever the level (for shutdown), or NULL. */
struct ph_gated *ph_gate_take_all(struct ph_gate *);

/* What a lock is asked for with. */
struct ph_lock_request {
    const char *name;   /* "" or NULL: the gate makes one up ("lock-TOKEN") */
    const char *reason; /* for people; a long one is cut; NULL: "" */
    uint8_t level;      /* 1..PH_PRIORITY_USER_MAX */
    bool discard;       /* drops what is below its level instead of holding it */
    bool user;          /* `unlock all` releases it */
    uint64_t deadline_ms;
};

/* Takes a lock. PH_ELIMIT; PH_EUSAGE for a level out of range or too long a name; PH_EEXISTS when a
 * live lock has that name. `*lock` (may be NULL) is borrowed until the gate changes. */
PH_MUST_CHECK int ph_gate_lock(struct ph_gate *, const struct ph_lock_request *, uint64_t now_ms,
                               const struct ph_lock **lock);

/* Releases the lock with that token: false when it is not live, and nothing changes. */
bool ph_gate_unlock(struct ph_gate *, uint64_t token);

const struct ph_lock *ph_gate_find(const struct ph_gate *, const char *name);

/* The lock that demands the level (the one with the latest deadline among equals), or NULL. */
const struct ph_lock *ph_gate_holder(const struct ph_gate *);

/* The earliest deadline, PH_NEVER without one. */
uint64_t ph_gate_deadline(const struct ph_gate *);

/* Takes away one lock whose deadline has passed and copies it to `*expired`; false: none left. */
bool ph_gate_expire(struct ph_gate *, uint64_t now_ms, struct ph_lock *expired);

#endif
