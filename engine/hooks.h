/*
 * Hooks: handlers that are told what happens in a hub.
 *
 * Handlers of one hook run in the order of their priority (higher first, then by registration); the
 * calls of one handler come one at a time and in order. A handler never runs inside the hub: the
 * exec port runs it and answers with PH_EVENT_HOOK_DONE. Failures and time-outs are counted,
 * recorded as `hook_failed` and harm nothing. A hook without handlers costs one comparison.
 *
 * The alter hook (child_data_alter) threads a child's spec through its handlers before the child
 * starts; the result must pass ph_spec_check, else the unaltered spec is used.
 *
 * Part of the hub: its actor only. Bounded: PH_HOOKS_MAX handlers, PH_HOOK_BACKLOG_MAX calls each;
 * beyond that the oldest waiting call is dropped and counted.
 */
#ifndef PH_ENGINE_HOOKS_H
#define PH_ENGINE_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/limits.h"
#include "engine/prochub.h"
#include "engine/wheel.h"

struct ph_child;
struct ph_event;
struct ph_hub;

/* The hooks of a hub on one node (behaviour.md section 5). */
#define PH_HOOK_MAP(X)                                                \
    X(PH_HOOK_PRE_CHILDREN_START, "pre_children_start")               \
    X(PH_HOOK_CHILD_DATA_ALTER, "child_data_alter")                   \
    X(PH_HOOK_POST_CHILDREN_START, "post_children_start")             \
    X(PH_HOOK_PROCESS_STARTUPS, "process_startups")                   \
    X(PH_HOOK_REGISTRY_PID_INSERT, "registry_pid_insert")             \
    X(PH_HOOK_REGISTRY_PID_REMOVE, "registry_pid_remove")             \
    X(PH_HOOK_PID_UPDATE, "child_process_pid_update")                 \
    X(PH_HOOK_CHILD_FAILED, "child_failed")                           \
    X(PH_HOOK_CHILD_CONFLICT, "child_conflict")                       \
    X(PH_HOOK_PRIORITY_STATE, "priority_state_updated")               \
    X(PH_HOOK_GATE_EXPIRED, "gate_expired")                           \
    X(PH_HOOK_POST_CLUSTER_JOIN, "post_cluster_join")                 \
    X(PH_HOOK_POST_CLUSTER_LEAVE, "post_cluster_leave")               \
    X(PH_HOOK_POST_NODES_REDISTRIBUTION, "post_nodes_redistribution") \
    X(PH_HOOK_PARTITIONED, "partitioned")                             \
    X(PH_HOOK_QUORUM_REGAINED, "quorum_regained")                     \
    X(PH_HOOK_COORDINATOR_SHUTDOWN, "coordinator_shutdown")

enum ph_hook {
#define PH_HOOK_ENUM(name, text) name,
    PH_HOOK_MAP(PH_HOOK_ENUM)
#undef PH_HOOK_ENUM
        PH_HOOKS
};

const char *ph_hook_name(enum ph_hook);

struct ph_hook_call_waiting;

/* A deadline of the hub: a timer in its wheel and what to do when it fires. */
struct ph_hub_timer {
    struct ph_wheel_timer timer;
    void (*fire)(struct ph_hub *, struct ph_hub_timer *);
};

struct ph_hook_handler {
    struct ph_hook_handler *next; /* in order of call: priority, then registration */
    uint64_t number;
    int hook; /* enum ph_hook, or -1: the custom event `name` */
    char name[PH_NAME_MAX + 1];
    char id[PH_NAME_MAX + 1];
    int priority;
    uint64_t timeout_ms;
    char *exec;
    ph_hook_fn function;
    void *arg;
    struct ph_hub_timer deadline;               /* of the running call */
    struct ph_hook_call_waiting *first, **last; /* calls: the first one runs, the others wait */
    uint32_t waiting;
    bool running, removing;
    bool late;             /* the running call's time is over; its answer is only waited for */
    struct ph_op *removal; /* of the request that removes it */
    uint64_t calls, failures, dropped, elapsed_ms;
    char last_error[128];
};

struct ph_hooks {
    struct ph_hook_handler *handlers;
    uint32_t count;
    uint64_t next_number;
    uint32_t interested[PH_HOOKS]; /* handlers per hook */
    uint32_t custom;               /* handlers of custom events */
    uint32_t busy;                 /* calls that wait or run */
};

void ph_hooks_init(struct ph_hooks *);
void ph_hooks_fini(struct ph_hooks *);

void ph_hooks_on_add(struct ph_hub *, struct ph_event *);
void ph_hooks_on_remove(struct ph_hub *, struct ph_event *);
void ph_hooks_on_done(struct ph_hub *, struct ph_event *);

/* Is anybody interested? Ask before you build the fields. */
bool ph_hooks_wanted(const struct ph_hub *, enum ph_hook);
bool ph_hooks_wanted_custom(const struct ph_hub *); /* in any custom event */

/* Calls the handlers; `fields` are JSON members without braces, copied. */
void ph_hooks_fire(struct ph_hub *, enum ph_hook, const char *fields);

/* Calls the listeners of a custom event. */
void ph_hooks_fire_custom(struct ph_hub *, const char *event, const char *fields);

/* Threads the child's spec through the alter handlers; PH_SUPER_ALTERED comes when they are
 * through. False: there are none, go on at once. */
bool ph_hooks_alter(struct ph_hub *, struct ph_child *);

#endif
