/*
 * Timers on the real clock: one thread, one wheel, one lock held for nanoseconds.
 *
 * A timer is embedded in its owner. `fire` runs on the timer thread and must not block: it posts an
 * event or wakes an actor. After ph_timer_cancel returned, `fire` neither runs nor will run.
 */
#ifndef PH_ENGINE_TIMER_H
#define PH_ENGINE_TIMER_H

#include "engine/prochub.h"
#include "engine/wheel.h"

struct ph_timers;

struct ph_timers_alarm {
    struct ph_wheel_timer timer;
    void (*fire)(struct ph_timers_alarm *); /* set by the owner before the first set */
};

PH_MUST_CHECK int ph_timers_create(struct ph_timers **);
void ph_timers_destroy(struct ph_timers *); /* no alarm may be set */

/* Any thread. (Re)arms; a deadline of ph_now_ms(). */
void ph_timers_set(struct ph_timers *, struct ph_timers_alarm *, uint64_t deadline_ms);

/* Any thread but `fire` itself. Waits for a running `fire` of this alarm. */
void ph_timers_cancel(struct ph_timers *, struct ph_timers_alarm *);

#endif
