/*
 * Fake children: instances that start after a while or not at all, crash, hang, save and load a
 * counter, and handle messages. The exec port and the kind of every simulated hub.
 *
 * An instance *acts* from its start until it has ended, or was told to die: an instance that hangs
 * after the kill does nothing any more. Instances like OS processes go on while their node is
 * paused, those like modules do not.
 */
#ifndef PH_TESTS_SIM_CHILDREN_H
#define PH_TESTS_SIM_CHILDREN_H

#include "tests/sim/sim.h"

struct sim_instance {
    struct sim_instance *next;
    struct sim_hub *hub;
    struct sim_node *node;
    uint64_t life; /* of the node */
    struct ph_child *child;
    uint32_t instance;
    unsigned id;
    uint64_t epoch, started_us, ended_us;
    struct ph_spec *spec; /* as it was asked for; referenced */
    uint64_t counter;
    bool up, stopping, saving, killed, ended, like_process;
    bool stands_by;
    bool loaded;                            /* it began with what another one had saved */
    bool stored;                            /* what it saved is, or was, in a conflict store */
    const struct sim_instance *joined_into; /* … is in that one's state, since its last merge */
};

extern const struct ph_kind sim_kind;
extern const struct ph_exec_port sim_exec_port; /* its context is the hub */

const struct ph_kind *sim_kind_of(const struct ph_spec *);
/* The instance that has saved that state, which says so. */
struct sim_instance *sim_saver_of(struct sim *, unsigned id, const char *state);
/* The number of an id, or SIM_IDS_MAX. */
unsigned sim_id_of(const char *id);
void sim_id_name(unsigned id, char name[16]);
/* Does it act, under its node's lease? */
bool sim_acts(const struct sim_instance *);
/* It must not have ended. */
void sim_child_crash(struct sim_instance *);
/* Those of a node that has crashed are gone with it. */
void sim_children_end(struct sim_hub *);

#endif
