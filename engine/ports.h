/*
 * The hub's only way out: four small vtables.
 *
 * Port calls are commands: they never block, never call back into the hub, and copy or own what
 * they keep; results come back as later events. All are called on the thread that runs the hub's
 * step. Production implements them in host.c, tests with recorders.
 */
#ifndef PH_ENGINE_PORTS_H
#define PH_ENGINE_PORTS_H

#include <stdint.h>

#include "engine/history.h"
#include "engine/prochub.h"

struct ph_child;
struct ph_registry;

/* One call of a hook handler. */
struct ph_hook_request {
    uint64_t handler; /* its number, for the answer (PH_EVENT_HOOK_DONE) */
    const char *hook;
    const char *fields;    /* the JSON members of the event, without braces; borrowed */
    struct ph_spec *alter; /* an alter hook's private copy; moved */
    const char *exec;      /* borrowed; or NULL and: */
    ph_hook_fn function;
    void *arg;
    uint64_t timeout_ms;
};

/* Children and hook handlers. `start`, `stop`, `kill`, `signal` are those of struct ph_kind. */
struct ph_exec_port {
    void (*start)(void *context, struct ph_child *, uint32_t instance);
    void (*stop)(void *context, struct ph_child *);
    void (*kill)(void *context, struct ph_child *);
    int (*signal)(void *context, struct ph_child *, int signal_number);
    void (*hook)(void *context, const struct ph_hook_request *); /* answered by one HOOK_DONE */
};

enum ph_work {
    PH_WORK_GROW, /* grow the registry's table to `amount` buckets */
};

/* Bulk computation on the pool, answered by one WORK_DONE of that kind. */
struct ph_work_port {
    void (*submit)(void *context, enum ph_work, uint64_t amount);
};

/* Other members of the hub. */
struct ph_link_port {
    /* Sends a custom event to other members (`nodes` NULL: to all): how many it went to. */
    unsigned (*dispatch)(void *context, const char *event, const char *payload, uint8_t priority,
                         const char *nodes);
};

/* People: every record that goes into the history also goes here. */
struct ph_trace_port {
    void (*record)(void *context, const struct ph_record *);
};

struct ph_ports {
    const struct ph_exec_port *exec;
    const struct ph_work_port *work;
    const struct ph_link_port *link;
    const struct ph_trace_port *trace;
    void *context; /* given to all of them */
};

#endif
