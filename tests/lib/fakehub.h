/*
 * A hub on virtual time: no node, no scheduler, no threads, no clock.
 *
 * Its ports record what the hub asks for; the test answers with events and moves the time. Every
 * request helper runs the hub until it has nothing left to do at the present time. What the helpers
 * return is borrowed until fake_destroy.
 */
#ifndef PH_TESTS_LIB_FAKEHUB_H
#define PH_TESTS_LIB_FAKEHUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/hub.h"
#include "engine/spec.h"

enum fake_verb {
    FAKE_START,
    FAKE_LOAD,
    FAKE_PREPARE,
    FAKE_ACTIVATE,
    FAKE_STOP,
    FAKE_SAVE,
    FAKE_COPY,
    FAKE_MERGE,
    FAKE_KILL,
    FAKE_SIGNAL,
    FAKE_HOOK,
    FAKE_GROW,
    FAKE_LINK
};

/* One port call. */
struct fake_call {
    enum fake_verb verb;
    char id[40];           /* the child; of a hook call the hook's name */
    uint32_t instance;     /* FAKE_START */
    uint64_t number;       /* a signal, a handler's number, an amount */
    char text[240];        /* a hook call's fields, a dispatch's payload */
    struct ph_spec *alter; /* of an alter call; owned by the fake */
};

struct fake_record {
    uint64_t seq, cause, now_ms;
    char type[40], id[40], text[240];
};

struct fake_hub {
    struct ph_hub hub;
    uint64_t now_ms;
    bool quiet; /* keep no records, only their hash */
    int signal_answer;
    uint64_t grow_to;        /* the registry is to grow */
    uint64_t lease_until_ms; /* the last one told; 0: none was */
    struct fake_call *calls;
    size_t call_count, call_capacity, taken, answered;
    struct fake_record *records;
    size_t record_count, record_capacity;
    struct ph_op **ops;
    size_t op_count, op_capacity;
    uint64_t hash; /* over all records and port calls, in order */
};

/* `options` are words KEY=VALUE of the hub options, between blanks. */
struct fake_hub *fake_create(const char *options, uint64_t seed);
void fake_destroy(struct fake_hub *);

/* For hubs with ports of their own (fakecluster.c): the trace port, whose context is the fake hub;
 * the options; and what fake_destroy does before it frees the hub itself. */
extern const struct ph_trace_port fake_trace_port;
struct ph_hub_options fake_options(const char *words);
void fake_fini(struct fake_hub *);

/* ---- Requests ------------------------------------------------------------------------------ */

/* A kind of child that does nothing: the ports are faked, the test plays its part. */
extern const struct ph_kind fake_kind;

/* A spec of a module child from words KEY=VALUE ("restart=transient backoff=100"). */
struct ph_spec *fake_spec(const char *words);
/* The ids of words between blanks, ranges too; the caller owns the result. */
struct ph_ids fake_ids(const char *words);

struct ph_event *fake_event(struct fake_hub *, enum ph_event_type, struct ph_op **op);
/* Passes an event to the hub, completes ops; runs no job and no deadline. Takes the event. */
void fake_submit(struct fake_hub *, struct ph_event *);

struct ph_op *fake_start(struct fake_hub *, const char *ids, const char *spec);
struct ph_op *fake_start_with(struct fake_hub *, const char *ids, const char *spec,
                              struct ph_start_options options);
struct ph_op *fake_stop(struct fake_hub *, const char *ids);
struct ph_op *fake_restart(struct fake_hub *, const char *ids);
struct ph_op *fake_signal(struct fake_hub *, const char *ids, int number);
struct ph_op *fake_lock(struct fake_hub *, const char *name, uint8_t level, uint64_t for_ms);
struct ph_op *fake_unlock(struct fake_hub *, const char *name);
struct ph_op *fake_dispatch(struct fake_hub *, const char *name, uint8_t priority);
struct ph_op *fake_hook_add(struct fake_hub *, const char *hook, const char *id, int priority,
                            uint64_t timeout_ms);
struct ph_op *fake_hook_remove(struct fake_hub *, const char *id);
struct ph_op *fake_shutdown(struct fake_hub *);

/* 1 while the request is under way, then its code. */
int fake_code(struct ph_op *);

/* ---- Answers ------------------------------------------------------------------------------- */

void fake_up(struct fake_hub *, const char *id);
/* All instances that were started since the last call and are still starting. */
void fake_up_all(struct fake_hub *);
void fake_down(struct fake_hub *, const char *id, enum ph_exit_how, int value);
/* The same, posted for an instance that may be an old one. */
void fake_down_of(struct fake_hub *, const char *id, uint32_t instance, enum ph_exit_how,
                  int value);
/* Answers the running call of a handler; `spec` (moved) is what an alter call made. */
void fake_hook_done(struct fake_hub *, uint64_t handler, int code, struct ph_spec *spec);

/* ---- Time and work ------------------------------------------------------------------------- */

/* Runs the hub until it has nothing to do now. */
void fake_work(struct fake_hub *);
/* Moves the time on, stopping at every deadline on the way. */
void fake_advance(struct fake_hub *, uint64_t ms);
/* Moves the time to the next deadline and runs the hub; how many ms that took. */
uint64_t fake_advance_next(struct fake_hub *);

/* ---- Looking ------------------------------------------------------------------------------- */

struct ph_child *fake_child(struct fake_hub *, const char *id); /* NULL: there is none */
int fake_state(struct fake_hub *, const char *id);              /* enum ph_state, -1: no child */
/* The oldest call that was not taken yet; NULL when there is none. */
const struct fake_call *fake_take(struct fake_hub *);
/* The same, but the next one of that verb; others are skipped. */
const struct fake_call *fake_take_verb(struct fake_hub *, enum fake_verb);
size_t fake_count_calls(const struct fake_hub *, enum fake_verb, const char *id);
/* The newest record of that type (and that child, unless `id` is NULL), or an empty one. */
const struct fake_record *fake_last(const struct fake_hub *, const char *type, const char *id);
size_t fake_count_records(const struct fake_hub *, const char *type);
/* Does the picture say exactly what is in the registry, and was nothing written outside steps? */
bool fake_is_consistent(struct fake_hub *);

#endif
