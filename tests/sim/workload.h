/*
 * Requests from all nodes for a few ids, so that they get into each other's way. Each is watched
 * until it is answered.
 */
#ifndef PH_TESTS_SIM_WORKLOAD_H
#define PH_TESTS_SIM_WORKLOAD_H

#include "tests/sim/sim.h"

/* A request that waits for its answer. */
struct sim_request {
    struct sim_request *next, **link;
    struct sim *sim;
    struct sim_hub *hub;
    enum ph_event_type verb;
    unsigned id;                       /* SIM_IDS_MAX: of none */
    uint64_t mark, began_us, began_ms; /* ms: on the hub's clock */
    struct ph_version version;         /* what the hub knew of the id when it was asked, … */
    unsigned known_on; /* … and where it ran as far as it knew; SIM_NODES_MAX: nowhere */
    uint64_t known_epoch;
    struct ph_spec *spec; /* of a start; referenced */
    uint64_t message;     /* of a call: its number */
};

/* Each asks the hub for one thing; it must be alive. A spec is moved. */
void sim_workload_replace(struct sim_hub *, unsigned id, struct ph_spec *);
void sim_workload_target(struct sim_hub *, enum ph_event_type verb, unsigned id);
/* `node` SIM_NODES_MAX: its pin is taken away. */
void sim_workload_pin(struct sim_hub *, unsigned id, unsigned node);
/* A cast or a call. */
void sim_workload_mail(struct sim_hub *, unsigned id);
void sim_workload_begin(struct sim *);
/* No more requests; drains that are left are taken back, but for one at most. */
void sim_workload_end(struct sim *);
/* All is healed: only moves and messages. */
void sim_workload_calm(struct sim *);

/* Locks the hub's gate for all that can be held. */
void sim_workload_lock(struct sim_hub *, uint64_t for_ms);

#endif
