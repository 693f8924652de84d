/*
 * The node: an object that owns everything else - scheduler, timers, monitor, modules and hubs.
 *
 * Immutable after create: name, sched, timers, monitor. The list of hubs and the numbers of their
 * leases are guarded by `lock`, which is held only to look at or change them and taken inside no
 * lock but `creating`.
 */
#ifndef PH_ENGINE_NODE_H
#define PH_ENGINE_NODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/host.h"
#include "engine/kind/keeper_wire.h"
#include "engine/kind/modules.h"
#include "engine/kind/monitor.h"
#include "engine/kind/state_dir.h"
#include "engine/sched.h"
#include "engine/timer.h"

struct ph_node {
    char name[PH_NAME_MAX + 1];
    uint64_t started_ms;
    struct ph_sched *sched;
    struct ph_timers *timers;
    struct ph_monitor *monitor;
    struct ph_modules *modules;
    struct ph_state_dir *state;         /* what it keeps on disk; NULL: nothing */
    _Atomic uint64_t restart_slot_us;   /* of the restart rate, which all hubs share */
    struct ph_links_port_binding links; /* set before the first hub; no port: alone */
    char listen[PH_ENDPOINT_MAX + 1];   /* where others reach it; "": it has no links */
    uint64_t incarnation;               /* rises from one start of the node to the next */
    _Atomic uint32_t generations; /* of hubs of this node: each has its own, later ones higher */
    uint64_t heartbeat_ms, dead_after_ms, lease_ms; /* constant; never 0 */
    struct ph_node_peer *peers; /* the live ones, for hubs that come later; under `lock` */
    void (*trace)(void *arg, const struct ph_hub *, const struct ph_record *);
    void *trace_arg;
    pthread_mutex_t creating; /* a hub: its journal is read before others know of it */
    pthread_mutex_t lock;
    pthread_cond_t released;              /* a host was freed; on CLOCK_MONOTONIC */
    struct ph_host *hubs;                 /* in order of creation */
    struct ph_prng prng;                  /* seeds the hubs */
    unsigned hub_count;                   /* in the list */
    unsigned host_count;                  /* not yet freed */
    bool lease_numbers[PH_KEEPER_LEASES]; /* that hosts have */
    atomic_uint waits; /* conditions that sessions wait for; relaxed, it paces them */
};

/* Calls `fn` for each hub, referenced meanwhile, until it returns false. Any thread. */
void ph_node_each_hub(struct ph_node *, bool (*fn)(void *arg, struct ph_hub *), void *arg);

/* The host takes itself off the node's list when its hub has ended / tells that it is freed, and
 * gives the number of its lease back. */
void ph_node_forget(struct ph_node *, struct ph_host *);
void ph_node_release(struct ph_node *, uint32_t lease_number);

/* Can these times of failure detection work together? PH_EUSAGE says what does not fit. 0 stands
 * for the default. */
PH_MUST_CHECK int ph_node_check_times(uint64_t heartbeat_ms, uint64_t dead_after_ms,
                                      uint64_t lease_ms, struct ph_error *);

/* Is `name` [A-Za-z0-9._-]{1,64}? */
bool ph_name_is_valid(const char *name);

#endif
