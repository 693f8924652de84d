/*
 * Handovers, enumerated: one fault at every step of a move, instead of faults that a seed draws.
 *
 * A *case* is a world, a fault, a place and a point. In each world the source runs a child (or
 * three), a request hands it over to the target, and all three nodes speak to it meanwhile. The
 * world runs once without a fault, which counts its *points*: the steps of the simulator (an event
 * of a hub, a packet, a tick of the links, a deed of an instance) from the request until the child
 * runs at the target and all know so. Then it runs once more for each fault, each place and each
 * point, and the fault strikes right before that step. Then all heals and settles as after any seed
 * (all checks are those of a seed), and what a handover owes is checked:
 *
 *   - the child runs once, on the node that it was last pinned to, unless it was stopped;
 *   - its state is worth what the table in handover.c says for what is lost at that stage;
 *   - where nothing is lost every message is handled.
 *
 * A case is a whole history, as a seed is: same case, same wire seed, same trace.
 */
#ifndef PH_TESTS_SIM_HANDOVER_H
#define PH_TESTS_SIM_HANDOVER_H

#include "tests/sim/sim.h"

enum { SIM_CASE_MAX = 100 };

struct sim_handovers {
    uint64_t seed, seeds; /* of the wire, and of who is who */
    uint64_t share;       /* one of so many cases */
    const char *only;     /* one case; NULL: all */
    bool canary, narrates, quiet, stops;
    /* The case that runs, for who has to tell of a crash; of SIM_CASE_MAX bytes. */
    char *running;
    uint64_t *running_seed;
};

/* Runs them and prints failures and a sum. The exit status: 2: there is no such case. */
int sim_handovers_run(const struct sim_handovers *);

/* ---- strike.c ------------------------------------------------------------------------------- */

enum sim_place {
    SIM_SOURCE,
    SIM_TARGET,
    SIM_BYSTANDER,
    SIM_LINK,        /* of source and target */
    SIM_SOURCE_LINK, /* of source and bystander */
    SIM_TARGET_LINK, /* of target and bystander */
    SIM_PLACES
};

/* What a fault may cost, beside time. */
enum sim_cost {
    SIM_LOSES_NOTHING,
    SIM_LOSES_SOURCE,
    SIM_LOSES_TARGET,
    SIM_LOSES_SOURCE_LEASE,
    SIM_LOSES_TARGET_LEASE,
    SIM_LOSES_EITHER_LEASE, /* one is left out, by whom the others go with */
    SIM_LOSES_SOURCE_INSTANCE,
    SIM_LOSES_TARGET_INSTANCE,
    SIM_LOSES_STATE, /* people have asked for an instance that begins anew */
    SIM_LOSES_CHILD, /* … or for none */
    SIM_LOSSES
};

struct sim_fault;

/* A handover in its world. */
struct sim_play {
    struct sim *sim;
    const struct sim_fault *fault;
    unsigned nodes[SIM_BYSTANDER + 1]; /* by their parts */
    unsigned asker;                    /* who asks for it, a node */
    unsigned children;                 /* 0 to here are handed over */
    unsigned goal;                     /* where they belong in the end: a node, … */
    unsigned other_goal;               /* … or this one: requests crossed each other */
    unsigned letters[SIM_BYSTANDER + 1];
    uint64_t fences[SIM_BYSTANDER + 1]; /* of each, when the fault struck */
    bool asker_lost;
    bool canary; /* from the request on */
};

struct sim_fault {
    const char *name;
    /* False: there is nothing to strike. */
    bool (*strike)(struct sim_play *, enum sim_place);
    unsigned places;   /* bits */
    uint64_t lasts_ms; /* then all heals */
    enum sim_cost loss[SIM_PLACES];
    bool mail;       /* every message is handled all the same */
    bool silent;     /* for longer than a lease */
    bool next_save;  /* it waits for the next save, … */
    bool next_start; /* … or the next start */
};

extern const struct sim_fault sim_faults[];
extern const unsigned sim_fault_count;
extern const char *const sim_places[SIM_PLACES];

/* The instance of a child that acts or stands by on the node, or NULL. */
struct sim_instance *sim_play_instance(const struct sim_play *, unsigned id, enum sim_place);
/* A child as all are, of that variant. The caller owns it. */
struct ph_spec *sim_play_spec(const char *variant);
/* What a node was asked to end has ended; false: not yet. */
bool sim_play_ended(const struct sim_play *);

#endif
