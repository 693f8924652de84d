/*
 * The scheduler: worker threads that run actors.
 *
 * An actor (a hub's queue, a module child, a chunk of bulk work) runs on at most one worker at a
 * time, for a bounded batch, then yields. ph_sched_wake says "there is work": an idle actor is
 * queued, a queued or running one will look again. A wake happens before the run that it causes.
 *
 * Hubs have a worker of their own, so they never wait behind user code or bulk work; the other
 * workers run children and bulk work. A worker that stays in one handler for PH_HANDLER_SLOW_MS is
 * replaced by a spare one until it returns, and `slow` of its actor's class is told. Idle workers
 * spin briefly, then park on a futex: an idle node costs nothing.
 *
 * One yield point (the return of `run`): the seeded serial scheduler of the tests implements the
 * same header, takes the next actor from a generator and replays from its seed.
 */
#ifndef PH_ENGINE_SCHED_H
#define PH_ENGINE_SCHED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/queue.h"

struct ph_sched;
struct ph_actor;

enum ph_lane {
    PH_LANE_SYSTEM, /* hubs: never blocks, never runs user code */
    PH_LANE_USER,   /* children, C hook handlers, bulk work */
};

/* Behaviour shared by many actors; const. */
struct ph_actor_class {
    enum ph_lane lane;
    /* One batch, on a worker, outside read sections. True: there is more, run it again. */
    bool (*run)(struct ph_actor *);
    /* The actor was killed (ph_sched_kill) and will not run again: free it. On a worker or in
     * ph_sched_kill itself. */
    void (*dead)(struct ph_actor *);
    /* It has been in `run` for at least `ms`; on the watchdog's thread, while it is there.
     * Optional. */
    void (*slow)(struct ph_actor *, uint64_t ms);
};

struct ph_actor {
    struct ph_queue_node link;
    const struct ph_actor_class *class;
    atomic_uint state; /* sched.c's */
};

/* `workers` for children (0: one per core) plus one for the system lane. */
PH_MUST_CHECK int ph_sched_create(unsigned workers, uint64_t seed, struct ph_sched **sched);

/* Runs what is queued, joins the threads. Actors are their owners' business. */
void ph_sched_destroy(struct ph_sched *);

void ph_actor_init(struct ph_actor *, const struct ph_actor_class *class);

/* Any thread. The actor must be alive: the caller is inside a read section, or owns it. */
void ph_sched_wake(struct ph_sched *, struct ph_actor *);

/* Ends the actor: `dead` is called now if it is idle, else by the worker that has it. A wake that
 * crosses this does nothing, as long as the actor's memory outlives the waker's read section. */
void ph_sched_kill(struct ph_sched *, struct ph_actor *);

/* The number of the calling worker: 0 the system lane, 1.. the others; -1 on foreign threads. */
int ph_sched_worker(void);

struct ph_sched_stats {
    unsigned workers, spares; /* threads now */
    uint64_t runs, parks, slow;
};
void ph_sched_stats(const struct ph_sched *, struct ph_sched_stats *);

/* Seeded scheduler only: runs one actor picked from the generator; false when nothing is queued.
 * `ph_sched_signature` is a hash over the order so far. */
bool ph_sched_step(struct ph_sched *);
uint64_t ph_sched_signature(const struct ph_sched *);

#endif
