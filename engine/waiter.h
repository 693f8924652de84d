/*
 * Where threads wait: `struct ph_waiter` is one thread's bed, `struct ph_waitlist` is the list of
 * those who want to hear of a change (of a hub's picture, of an op, of a log).
 *
 *     ph_waitlist_join(&list, &entry, waiter);
 *     while (!condition() && (rc = ph_waiter_sleep(waiter, deadline_ms)) == 0) {}
 *     ph_waitlist_leave(&list, &entry);
 *
 * Nobody is lost: a wake between the test of the condition and the sleep ends the sleep at once. A
 * wake costs one atomic load while nobody waits. ph_waitlist_wake may be called anywhere, also by a
 * hub's actor: it takes only short locks.
 */
#ifndef PH_ENGINE_WAITER_H
#define PH_ENGINE_WAITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/prochub.h"

struct ph_waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
    bool woken;
    bool canceled;
};

struct ph_wait_entry {
    struct ph_waiter *waiter;
    struct ph_wait_entry *next, **link;
};

struct ph_waitlist {
    pthread_mutex_t lock;
    struct ph_wait_entry *first;
    atomic_uint count;
};

void ph_waiter_init(struct ph_waiter *);
void ph_waiter_fini(struct ph_waiter *);
void ph_waiter_wake(struct ph_waiter *); /* any thread */

/* Sleeps until a wake (0), until `deadline_ms` of ph_now_ms() (PH_ETIMEOUT; UINT64_MAX: never) or
 * until cancelled (PH_ECANCELED, also if it happened before). A wake that came earlier counts. */
PH_MUST_CHECK int ph_waiter_sleep(struct ph_waiter *, uint64_t deadline_ms);

void ph_waitlist_init(struct ph_waitlist *);
void ph_waitlist_fini(struct ph_waitlist *); /* nobody waits any more */
void ph_waitlist_join(struct ph_waitlist *, struct ph_wait_entry *, struct ph_waiter *);
void ph_waitlist_leave(struct ph_waitlist *, struct ph_wait_entry *);
void ph_waitlist_wake(struct ph_waitlist *); /* any thread */

/* Milliseconds of CLOCK_MONOTONIC / of the wall clock since 1970. Not for the hub: it gets its time
 * with its events. */
uint64_t ph_now_ms(void);
uint64_t ph_now_ns(void);
/* Processor time that the calling thread has used. A system call, unlike the others. */
uint64_t ph_thread_cpu_ns(void);
int64_t ph_wall_ms(void);

/* The wall clock's time at a moment of ph_now_ms(), as the two clocks stand to each other now. */
int64_t ph_wall_of(uint64_t now_ms);

#endif
