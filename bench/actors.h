/*
 * Bare actors: the ceiling of the suite `messages`.
 *
 * A mailbox each (liburcu's queue), one run queue, one thread that runs them, messages of 64 bytes
 * from a freelist of that thread. No ids, no states, no supervision, no watchdog, no second worker:
 * what is left when everything but the sending of messages is taken away.
 */
#ifndef PH_BENCH_ACTORS_H
#define PH_BENCH_ACTORS_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/queue.h"

struct ph_bare_message {
    struct ph_queue_node link;
    char data[56];
};

struct ph_bare_actors;

struct ph_bare_actor {
    struct ph_queue_node link;
    struct ph_queue mail;
    atomic_bool queued; /* in the run queue or running */
    /* One message; it is the actor's to send on or to drop. */
    void (*handle)(struct ph_bare_actors *, struct ph_bare_actor *, struct ph_bare_message *);
    struct ph_bare_actor *peer;
    uint64_t count; /* the handler's own */
};

struct ph_bare_actors {
    struct ph_queue ready;
    struct ph_bare_message *free_messages; /* linked by their data; the running thread's */
    uint64_t left;                         /* what the handlers count down until the end */
    struct ph_bare_actor *actors;
    uint64_t count;
};

void ph_bare_actors_init(struct ph_bare_actors *, uint64_t count);

/* The running thread: a message from the freelist. */
struct ph_bare_message *ph_bare_message_get(struct ph_bare_actors *);
void ph_bare_message_put(struct ph_bare_actors *, struct ph_bare_message *);

/* Any thread. */
void ph_bare_actor_send(struct ph_bare_actors *, struct ph_bare_actor *, struct ph_bare_message *);

/* Runs actors until nothing is left. */
void ph_bare_actors_run(struct ph_bare_actors *);

#endif
