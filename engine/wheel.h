/*
 * A hierarchical timing wheel (Varghese and Lauck 1987): 4 levels of 256 slots of 1 ms.
 *
 * Pure data: the time is passed in, so the hub uses it on virtual time and the timer service
 * (timer.h) on the real clock. Timers are embedded in what they belong to; adding and cancelling
 * cost a few nanoseconds, whatever the number of timers. Owner thread only. A deadline beyond
 * 2^32 - 1 ms (49 days) ahead is kept in a list of its own until it comes within reach.
 */
#ifndef PH_ENGINE_WHEEL_H
#define PH_ENGINE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { PH_WHEEL_LEVELS = 4, PH_WHEEL_SLOTS = 256 };

#define PH_NEVER UINT64_MAX

struct ph_wheel_timer {
    struct ph_wheel_timer *next, **link; /* link is NULL while the timer is not armed */
    uint64_t deadline_ms;
};

/* Timers in the order in which they were armed; `last` makes that order cheap. */
struct ph_wheel_list {
    struct ph_wheel_timer *first, **last;
};

struct ph_wheel {
    uint64_t now_ms;
    uint64_t armed; /* number of armed timers */
    uint64_t used[PH_WHEEL_LEVELS][PH_WHEEL_SLOTS / 64];
    struct ph_wheel_list slot[PH_WHEEL_LEVELS][PH_WHEEL_SLOTS];
    struct ph_wheel_list due; /* deadline <= now_ms, by deadline */
    struct ph_wheel_list far; /* beyond the last level */
    uint64_t far_turn_ms;     /* when `far` is looked at again */
};

void ph_wheel_init(struct ph_wheel *, uint64_t now_ms);

/* Arms `timer` (re-arms it when it is armed). A deadline in the past fires at the next advance.
 * The wheel borrows the timer until it fires or is cancelled. */
void ph_wheel_add(struct ph_wheel *, struct ph_wheel_timer *timer, uint64_t deadline_ms);

/* Disarms; a timer that is not armed is left alone. A zeroed timer is a timer that is not armed. */
void ph_wheel_cancel(struct ph_wheel *, struct ph_wheel_timer *timer);

bool ph_wheel_is_armed(const struct ph_wheel_timer *timer);

/* Moves the time on and takes out one timer whose deadline is at most `now_ms`, earliest first
 * (ties: by the order in which they were armed): NULL when none is left. Call until NULL. */
struct ph_wheel_timer *ph_wheel_expire(struct ph_wheel *, uint64_t now_ms);

/* A time at or before the earliest deadline: wake then and call ph_wheel_expire. It is the deadline
 * itself unless very many timers share a slot of a higher level, where it may be the time at which
 * that slot turns. PH_NEVER when nothing is armed. */
uint64_t ph_wheel_next(const struct ph_wheel *);

#endif
