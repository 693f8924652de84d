/*
 * The monitor's side of prochub-keeper: starts it, sends it work, hears its reports, and cleans up
 * after it when it dies.
 *
 * A *ward* is one program that is to run: an instance of a process or a hook's executable. Wards
 * wait in a queue here; at most PH_KEEPER_IN_FLIGHT of them are sent and unanswered, so that
 * commands to running ones never wait long. Every ward that was queued ends with exactly one call
 * of `ended`; `spawned` comes before it when the program was executed. Monitor's thread only.
 */
#ifndef PH_ENGINE_KIND_KEEPER_CLIENT_H
#define PH_ENGINE_KIND_KEEPER_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/kind/keeper_wire.h"
#include "engine/kind/kind.h"
#include "engine/kind/loop.h"
#include "engine/kind/program.h"

enum { PH_KEEPER_IN_FLIGHT = 32, PH_KEEPER_PATH_BYTES = 4096 };

enum ph_ward_state { PH_WARD_IDLE, PH_WARD_QUEUED, PH_WARD_SENT, PH_WARD_RUNS };

struct ph_ward {
    const struct ph_ward_calls *calls;
    enum ph_ward_state state;
    uint64_t mark;                /* while not idle */
    pid_t pid;                    /* while it runs */
    struct ph_ward *next, **link; /* in the queue */
};

struct ph_ward_calls {
    /* Its turn has come: fill the packet. A negative code with `failure` filled ends the ward. */
    int (*pack)(struct ph_ward *, struct ph_packet *, struct ph_exit *failure);
    /* Its program was executed; `pid` is set. */
    void (*spawned)(struct ph_ward *);
    /* A spawn failed in the keeper: fill `failure`. */
    void (*explain)(struct ph_ward *, enum ph_keeper_stage, int error, struct ph_exit *failure);
    /* `ended` comes next; the ward still has its mark and pid. */
    void (*before_end)(struct ph_ward *);
    /* Its whole tree is gone. The ward is idle and may be freed after the loop's turn. */
    void (*ended)(struct ph_ward *, const struct ph_exit *);
};

struct ph_keeper_client {
    struct ph_loop *loop;
    char path[PH_KEEPER_PATH_BYTES];    /* "": beside the program, else from PATH */
    char started[PH_KEEPER_PATH_BYTES]; /* the path of the last start */
    struct ph_source source;
    struct ph_alarm hello; /* it must say hello by then */
    bool greeted;
    bool closed; /* nothing starts any more */
    pid_t pid;
    int pidfd;
    uint64_t salt;
    struct ph_ward **slots;
    uint32_t *uses; /* of each slot */
    uint32_t *free_slots;
    size_t slot_count, free_count;
    struct ph_ward *first, **last; /* queue */
    size_t in_flight;
    bool sole_parent;        /* see struct ph_node_config */
    struct ph_packet packet; /* of `packed`, if that is not NULL */
    struct ph_ward *packed;
    struct ph_keeper_command *commands; /* that wait for the socket */
    size_t command_first, command_count, command_capacity;
    bool blocked; /* the socket is full; EPOLLOUT will tell */
    uint64_t leases[PH_KEEPER_LEASES], leases_told[PH_KEEPER_LEASES]; /* until when */
    bool leases_due;                                                  /* they may differ */
    /* Totals, read by any thread (relaxed: figures for people). */
    atomic_ullong spawned, reaped, alive, starts, strays_killed;
    uint64_t keeper_reaped, keeper_strays; /* what the running keeper last reported */
};

void ph_keeper_client_init(struct ph_keeper_client *, struct ph_loop *, const char *path,
                           bool sole_parent);
/* Ends all wards and the keeper; waits a few seconds at most. */
void ph_keeper_client_fini(struct ph_keeper_client *);

/* Queues an idle ward. */
void ph_ward_start(struct ph_keeper_client *, struct ph_ward *);
/* To the main process / to its group / SIGKILL to the tree. A ward that still waits in the queue
 * ends at once when it is stopped or killed. */
void ph_ward_signal(struct ph_keeper_client *, struct ph_ward *, int signal_number);
void ph_ward_stop(struct ph_keeper_client *, struct ph_ward *, int signal_number);
void ph_ward_kill(struct ph_keeper_client *, struct ph_ward *);

/* The lease of that number ends at `until_ms` (UINT64_MAX: never), for this keeper and the next.
 * Only the latest end is told, before any program that is started afterwards. */
void ph_keeper_client_lease(struct ph_keeper_client *, uint32_t lease, uint64_t until_ms);

/* Sends what may be sent. Called once per turn of the loop, after the commands. */
void ph_keeper_client_pump(struct ph_keeper_client *);

/* Between keeper_client.c and keeper_send.c: ends a ward, whatever its state / all that are queued
 * / takes one out of the queue. */
void ph_ward_end(struct ph_keeper_client *, struct ph_ward *, const struct ph_exit *);
void ph_keeper_queue_end(struct ph_keeper_client *, const struct ph_exit *);
void ph_ward_dequeue(struct ph_keeper_client *, struct ph_ward *);

/* What a dead keeper's children are known by. */
struct ph_leftovers {
    bool all;              /* every child of this process is one */
    uint64_t salt;         /* their marks bear it */
    const pid_t *sessions; /* or they are in one of these */
    size_t session_count;
};

/* leftovers.c: kills and reaps them. The keeper is dead and reaped. Returns how many were killed.
 */
size_t ph_leftovers_kill(const struct ph_leftovers *);

/* keeper_start.c: starts the keeper on one end of a new socket pair. 0 and the other end in *fd, or
 * a negative code and a text of what was tried. */
int ph_keeper_launch(struct ph_keeper_client *, int *fd, struct ph_exit *failure);
/* Waits for the end of a keeper that was told to go or died: SIGKILL after `grace_ms`. */
void ph_keeper_bury(struct ph_keeper_client *, int grace_ms);

#endif
