/*
 * The hub: one coarse deterministic machine.
 *
 * ph_hub_submit passes an event through the gate; ph_hub_step handles one that passed. Everything a
 * hub does is the answer to an event; its only way out are the ports. It sees no clock (events
 * carry now_ms), no thread, no socket, and its randomness is a seeded generator: the same events
 * give the same hub. Work for many children is a *job*: each step does a slice of it
 * (PH_JOB_SLICE), and ph_hub_has_work says that more is to be done.
 *
 * Owner: the hub's actor (tests: the test). Readers of other threads see the registry, the history
 * and the picture that the host publishes (host.h).
 *
 * Files: hub.c (queue, gate, locks, ticks), hub_children.c (jobs: start, stop, restart, signal),
 * super.c (life of one child), hooks.c (handlers and their calls).
 */
#ifndef PH_ENGINE_HUB_H
#define PH_ENGINE_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/event.h"
#include "engine/gate.h"
#include "engine/history.h"
#include "engine/hooks.h"
#include "engine/hub_options.h"
#include "engine/limits.h"
#include "engine/op.h"
#include "engine/ports.h"
#include "engine/prng.h"
#include "engine/prochub.h"
#include "engine/registry.h"
#include "engine/wheel.h"

struct ph_node;

struct ph_job;
struct ph_cluster;
struct ph_cluster_setup;
struct ph_directory;

struct ph_hub {
    char name[PH_NAME_MAX + 1];
    struct ph_node *node; /* of the host; not for the hub itself */
    /* Until when (ph_now_ms) module children may handle messages; UINT64_MAX: no lease is needed.
     * The hub writes, any worker reads; among constant fields, for the readers' sake. */
    _Atomic uint64_t lease_until_ms;
    uint32_t lease_number; /* of the host: what prochub-keeper knows its lease by */
    struct ph_hub_options options;
    struct ph_ports ports;
    struct ph_prng prng;
    struct ph_registry *registry;
    struct ph_history *history;
    struct ph_directory *directory; /* of the whole hub; NULL: no links and no journal */
    struct ph_cluster *cluster;     /* the same */
    const struct ph_kind *(*kind_of)(const struct ph_spec *);
    void (*post)(struct ph_hub *, struct ph_event *); /* queues an event; any thread; moved */

    uint64_t now_ms; /* of the event in work */
    struct ph_gate gate;
    struct ph_hooks hooks;
    struct ph_wheel wheel;            /* deadlines of children and hook calls */
    struct ph_job *jobs, **jobs_last; /* runnable ones, oldest first */
    struct ph_job *parked_jobs;       /* those that wait for results */
    struct ph_job *unheld;            /* done, but no other member holds what they promised */
    struct ph_op *done, **done_last;  /* to complete once the picture is out */
    struct ph_status picture;         /* the counters; ph_hub_picture adds the rest */
    uint64_t last_epoch; /* the hub's clock (Lamport 1978): of activations and intents */
    _Atomic uint64_t *restart_slot_us; /* restart rate (GCRA): when the next slot is free */
    _Atomic uint64_t own_slot_us;      /* … of a hub that shares it with none */
    bool growing;                      /* a PH_WORK_GROW is under way */
    bool directory_growing;            /* … of the directory */
    struct ph_hub_timer shutdown_timer;
    bool stepping;
    struct ph_op *shutdown; /* of the request that ends the hub */
    bool stopping, stopped;
};

/* What a hub is made of. `registry`, `history` and `directory` are borrowed, the rest is copied. */
struct ph_hub_setup {
    const char *name;
    struct ph_hub_options options;
    struct ph_ports ports;
    struct ph_registry *registry;
    struct ph_history *history;
    struct ph_directory *directory;         /* NULL with: */
    const struct ph_cluster_setup *cluster; /* NULL: a hub of one node */
    const struct ph_kind *(*kind_of)(const struct ph_spec *);
    void (*post)(struct ph_hub *, struct ph_event *);
    uint64_t seed;
    uint64_t now_ms;
    _Atomic uint64_t *restart_slot_us; /* shared by the hubs of a node; NULL: not shared */
};

void ph_hub_init(struct ph_hub *, const struct ph_hub_setup *);
/* Frees jobs, hooks, held events; ops that wait are failed with PH_ESTOPPING. */
void ph_hub_fini(struct ph_hub *);

/* Passes an event through the gate; it is stepped now, held, discarded or refused. Takes the event.
 */
void ph_hub_submit(struct ph_hub *, struct ph_event *event, uint64_t now_ms);

/* Handles one event that passed the gate. Takes the event. Never re-entered. */
void ph_hub_step(struct ph_hub *, struct ph_event *event);

/* Is there something to do now without a new event (a job's next slice, a deadline that has
 * passed)? If so, ph_hub_work does a bounded piece of it. */
bool ph_hub_has_work(const struct ph_hub *, uint64_t now_ms);
void ph_hub_work(struct ph_hub *, uint64_t now_ms);

/* When to call ph_hub_work at the latest; PH_NEVER. */
uint64_t ph_hub_next_deadline(const struct ph_hub *);

/* The hub as it is now, for the host to publish. */
void ph_hub_picture(const struct ph_hub *, struct ph_status *);

/* Ends a batch of steps, after its picture was published: sends what has gathered for other members
 * and completes the ops that are done. */
void ph_hub_end_batch(struct ph_hub *);

/* ---- Shared by the files of the hub -------------------------------------------------------- */

/* Writes a record (to the history and the trace port) and returns its seq. */
uint64_t ph_hub_record(struct ph_hub *, const char *type, const char *id, uint64_t cause,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A custom event is recorded, and its listeners here are told. */
void ph_hub_custom_event(struct ph_hub *, const char *name, const char *payload, uint8_t priority);

/* Ends an op once the picture is out. NULL is fine. */
void ph_hub_finish_op(struct ph_hub *, struct ph_op *, int code, const char *text);

/* hub_children.c */
void ph_hub_on_start(struct ph_hub *, struct ph_event *);
void ph_hub_on_target(struct ph_hub *, struct ph_event *); /* stop, restart, signal */
bool ph_hub_jobs_runnable(const struct ph_hub *);
void ph_hub_jobs_run(struct ph_hub *); /* one slice */
void ph_hub_stop_all(struct ph_hub *);
void ph_hub_jobs_fini(struct ph_hub *);

bool ph_hub_jobs_active(const struct ph_hub *);
void ph_hub_jobs_held(struct ph_hub *); /* other members hold more of what we promised */
/* 0, or a code and why not. */
PH_MUST_CHECK int ph_hub_signal_child(struct ph_hub *, struct ph_child *, int signal,
                                      const char **why);
PH_MUST_CHECK int ph_hub_steer_child(struct ph_hub *, struct ph_child *, bool abort,
                                     const char **why);

/* Children and entries come from other nodes, too: without a request that says how many. */
void ph_hub_grow_tables(struct ph_hub *);

/* What happened to one child of a job (super.c -> hub_children.c). */
enum ph_outcome { PH_OUTCOME_CHANGED, PH_OUTCOME_SAME, PH_OUTCOME_FAILED };
void ph_job_settle(struct ph_hub *, struct ph_job *, const char *id, enum ph_outcome, int code,
                   const char *text);
/* Notes what a roll-back has to stop: also what fails now and would be started again. False: the
 * child has failed for want of memory. */
bool ph_job_note_begun(struct ph_hub *, struct ph_job *, const char *id, size_t length);

/* hub_locks.c */
/* What a lock event asks for; `*taken` is borrowed until the gate changes. */
PH_MUST_CHECK int ph_hub_take_lock(struct ph_hub *, const struct ph_event *,
                                   const struct ph_lock **taken, struct ph_error *error);
void ph_hub_on_lock(struct ph_hub *, struct ph_event *);
void ph_hub_on_unlock(struct ph_hub *, struct ph_event *);
void ph_hub_expire_locks(struct ph_hub *);
/* Tells people and hooks that the gate's level went from `before` to what it is now. */
void ph_hub_report_level(struct ph_hub *, uint8_t before, uint64_t cause);

#endif
