/*
 * A host runs one hub on its node's worker pool: it owns the hub's queue, its actor, its alarm, its
 * statistics and the published picture, and implements the hub's ports.
 *
 * The way of an event: ph_host_post (any thread) -> queue -> the host's actor -> ph_hub_submit
 * (gate)
 * -> ph_hub_step -> ports. After a batch the actor publishes one picture, completes the ops that
 * are done (so a caller reads its own writes) and wakes those who wait for a change.
 *
 * Reference counted; the public handle `struct ph_hub *` is &host->hub.
 */
#ifndef PH_ENGINE_HOST_H
#define PH_ENGINE_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/hub.h"
#include "engine/queue.h"
#include "engine/sched.h"
#include "engine/stats.h"
#include "engine/timer.h"
#include "engine/waiter.h"

struct ph_node;
struct ph_picture;

struct ph_host {
    struct ph_hub hub; /* first; the actor's */
    struct ph_node *node;
    struct ph_actor actor;
    struct ph_queue queue;
    atomic_uint queued; /* requests in `queue` */
    atomic_uint refs;
    struct ph_timers_alarm alarm; /* the hub's next deadline */
    uint64_t alarm_ms;            /* what it is set to; the actor's */
    struct ph_waitlist changes;   /* woken after each picture */
    _Atomic(struct ph_picture *) picture;
    struct ph_picture *retired; /* pictures that wait for one grace period */
    unsigned retired_count;
    uint64_t version;
    struct ph_stats *stats;
    struct ph_journal_writer *journal; /* NULL: its node keeps nothing */
    bool gone;            /* its hub has ended and it left the node's list; the actor's */
    bool has_processes;   /* it has started one: the keeper is to know its lease; the actor's */
    struct ph_host *next; /* in the node's list */
};

static inline struct ph_host *ph_host_of(const struct ph_hub *hub)
{
    return (struct ph_host *)(uintptr_t)hub;
}

void ph_host_create(struct ph_node *, const char *name, const struct ph_hub_options *options,
                    uint64_t seed, struct ph_host **host);
/* Before anything else is posted to it: what its journal has, if the node keeps one. The error says
 * why that cannot be read. */
PH_MUST_CHECK int ph_host_read_journal(struct ph_host *, struct ph_error *error);
void ph_host_get(struct ph_host *);
void ph_host_put(struct ph_host *);

/* Any thread: queues an event (moved). PH_ELIMIT when PH_QUEUE_MAX requests wait; the event is
 * destroyed then and its op fails with the same code. System events are always taken. */
PH_MUST_CHECK int ph_host_post(struct ph_host *, struct ph_event *);

/* The same, but a SEND event that is refused leaves its message to the caller. */
PH_MUST_CHECK int ph_host_post_sparing(struct ph_host *, struct ph_event *);

/* The same for events that are always taken. */
void ph_host_post_system(struct ph_host *, struct ph_event *);

/* Runs `fn` in a hub step; the op's reply is what it wrote. */
PH_MUST_CHECK int ph_hub_inspect(struct ph_hub *, ph_inspect_fn fn, struct ph_op **op);

#endif
