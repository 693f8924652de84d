/*
 * The simulator: whole clusters of real hubs in one thread, on virtual time, from one seed.
 *
 * What is real: the hub with its cluster half (engine/), the protocol of the links and its bytes
 * (ipc/mesh.h). What is fake: the wire, the children, the clocks, RCU's grace periods. Everything
 * that happens is an item of one heap, ordered by time and then by a number; chance comes from
 * generators of the seed, one for each purpose; nothing depends on addresses or on the machine. So
 * a seed is a whole history, and the hash over it (`trace`) is the same wherever it runs.
 *
 * A run has phases: faults and requests for a number of steps; then everything heals, the requests
 * end, and within a stated time all must agree, every child must run where it belongs and nothing
 * may be pending. Some seeds heal only a core that holds a quorum and leave the rest broken for
 * good.
 *
 *   world.c     time, nodes, hubs, the loop        network.c  the wire and its faults
 *   children.c  children that do as they are told  workload.c requests from all nodes
 *   faults.c    crashes, pauses, cuts, returns     checks.c   what must hold after every step
 *   settle.c    what must hold in the end          report.c   hash, narrative, failure
 *   disks.c     what nodes keep, and lose
 *   logs.c, groups.c, mail.c, recount.c            parts of the checks, see checks.h
 *   handover.c, strike.c                           instead of drawn faults, see handover.h
 */
#ifndef PH_TESTS_SIM_SIM_H
#define PH_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/cluster.h"
#include "engine/prng.h"
#include "ipc/mesh.h"
#include "tests/sim/config.h"
#include "tests/sim/disks.h"

enum { SIM_NODES_MAX = 32, SIM_IDS_MAX = 48, SIM_CHANNELS_MAX = 256 };

#define SIM_NEVER UINT64_MAX

struct sim;

/* Something that will happen. Freed by who acts on it, or with the world. */
struct sim_item {
    uint64_t at_us, tie;
    void (*act)(struct sim *, struct sim_item *);
};

struct sim_channel {
    uint32_t number;
    unsigned to; /* SIM_NODES_MAX: nobody listens there, ever */
};

/* Which protocols a node speaks; this tree's are 1 to 1. */
enum sim_protocol {
    SIM_PROTOCOL_OURS,
    SIM_PROTOCOL_NEWER,  /* 1 to 2, and hellos with a field more: understood */
    SIM_PROTOCOL_HIGHER, /* 3 to 4: refused, with a reason */
    SIM_PROTOCOL_HEADER, /* another header: not even read */
};

/* One life of a hub on a node. */
struct sim_hub {
    struct ph_hub hub; /* first */
    struct sim_node *node;
    uint64_t generation;
    uint64_t lease_ms; /* as its instances were told */
    bool lease_watched;
    bool ending; /* it was asked to end */
    bool dead;   /* being taken apart: events are dropped */
    struct ph_queue inbox;
    unsigned batch; /* events that are taken before deadlines are looked at again */
    _Atomic uint64_t restart_slot_us;
};

struct sim_node {
    struct sim *sim;
    unsigned index;
    char name[16], endpoint[40];
    uint64_t name_hash;
    bool alive, wants_hub;
    uint64_t lives, incarnation, generations;
    struct ph_mesh *mesh;
    struct sim_hub *hub; /* NULL: none */
    struct sim_channel channels[SIM_CHANNELS_MAX];
    unsigned channel_count;
    /* Its clock: `base_local_us` at `base_us`, then so many millionths faster. */
    int64_t drift;
    uint64_t base_us, base_local_us;
    uint64_t paused_until_us, busy_until_us, slow;
    uint64_t lag_us;                     /* what is sent to it waits so long before it is read */
    enum sim_protocol protocol, foreign; /* foreign: what it speaks until all is healed, or 0 */
    bool half_cut;            /* for good: it reaches some of the core, and is left out */
    uint64_t clashes, fences; /* that it was told of; how often it lost its quorum */
    struct sim_disk disk;
    bool leaving; /* its process ends when its hub has */
    uint64_t due_us;
};

struct sim_oracle;
struct sim_request;
struct sim_instance;
struct sim_report;

struct sim {
    uint64_t seed;
    struct sim_config config;
    uint64_t now_us;
    struct sim_item **heap;
    size_t items, item_capacity;
    uint64_t tie;
    struct ph_prng draw, wire, children, faults, requests, order, disks;
    struct sim_node nodes[SIM_NODES_MAX]; /* config.nodes, and the one with a name that is taken */
    unsigned node_count;
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX];         /* from, to */
    uint64_t last_us[SIM_NODES_MAX][SIM_NODES_MAX]; /* when what was sent last arrives */
    bool core[SIM_NODES_MAX];                       /* nodes that must agree in the end */
    bool healing; /* no more faults; children do as they are told */
    bool absent;  /* the long split: nothing else goes wrong, … */
    bool silent;  /* … and after a while nothing is asked for */
    bool ticking; /* requests come */
    bool calm;    /* nothing goes wrong any more, and requests come */
    bool canary;
    uint64_t steps, fault_count;
    uint64_t second, second_steps;  /* to notice a world that stands still */
    struct sim_instance *instances; /* all that ever were, newest first */
    struct sim_request *pending;    /* requests that are not answered */
    uint64_t messages;              /* numbers given to messages */
    struct sim_planted planted;
    struct sim_oracle *oracle;
    struct sim_report *report;
    bool failed;
};

/* ---- world.c ------------------------------------------------------------------------------- */

void sim_create(struct sim *, uint64_t seed, const struct sim_config *);
void sim_destroy(struct sim *);

/* Puts an item into the heap; it is owned by the world now. */
void sim_at(struct sim *, uint64_t at_us, struct sim_item *);
/* One thing happens. False: nothing ever will, or the run has failed. */
bool sim_step(struct sim *);

/* The other node that has the name of the first one; in no check, since nobody knows it. */
bool sim_is_rival(const struct sim_node *);

uint64_t sim_local_ms(const struct sim_node *);
/* When the node's clock shows that; SIM_NEVER for PH_NEVER. */
uint64_t sim_when(const struct sim_node *, uint64_t local_ms);
/* Look anew at what the node has to do. */
void sim_touch(struct sim_node *);

/* What its machine forgets: the time of day, and its disk, too. */
enum sim_loss { SIM_LOST_NOTHING, SIM_LOST_CLOCK, SIM_LOST_DISK };
void sim_boot(struct sim_node *, enum sim_loss);
void sim_crash(struct sim_node *);
void sim_hub_begin(struct sim_node *);
void sim_post(struct sim_hub *, struct ph_event *);

/* ---- Chance: a generator each, so that one kind of fault does not shift the others. ---------- */

static inline bool sim_chance(struct ph_prng *prng, unsigned thousandths)
{
    return ph_prng_below(prng, 1000) < thousandths;
}
static inline uint64_t sim_between(struct ph_prng *prng, uint64_t low, uint64_t high)
{
    return low + ph_prng_below(prng, high - low + 1);
}
/* Exponential with that mean, in whole numbers. */
uint64_t sim_exponential(struct ph_prng *, uint64_t mean);

/* ---- network.c ----------------------------------------------------------------------------- */

extern const struct ph_mesh_port sim_mesh_port; /* its context is the node */
extern const struct ph_link_port sim_link_port; /* its context is the hub */
/* Those that have a channel to a node that is gone are told, unless the wire is silent. */
void sim_tell_refused(struct sim_node *gone);
/* Do the two have a protocol in common? */
bool sim_speak(const struct sim_node *, const struct sim_node *);

/* ---- faults.c ------------------------------------------------------------------------------ */

void sim_faults_begin(struct sim *);
/* The long split; when it is over. */
uint64_t sim_absence_begin(struct sim *);
/* Ends every fault that the core can see, or all. */
void sim_heal(struct sim *);

/* ---- The whole run ------------------------------------------------------------------------- */

/* settle.c: NULL, or why the nodes of the core are not settled. Borrowed until the next call. */
const char *sim_unsettled(struct sim *);
/* Until they are, and promises are kept. False: the run has failed, also by taking too long. */
bool sim_settle(struct sim *);
/* Writes the state of all hubs into the narrative. */
void sim_describe(struct sim *);

#endif
