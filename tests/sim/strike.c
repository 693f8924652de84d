/* What strikes a handover. See handover.h. */
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/spec.h"
#include "tests/sim/checks.h"
#include "tests/sim/handover.h"
#include "tests/sim/report.h"
#include "tests/sim/workload.h"

const char *const sim_places[SIM_PLACES] = {
    [SIM_SOURCE] = "source", [SIM_TARGET] = "target",           [SIM_BYSTANDER] = "bystander",
    [SIM_LINK] = "link",     [SIM_SOURCE_LINK] = "source-link", [SIM_TARGET_LINK] = "target-link",
};

static struct sim_node *node_at(const struct sim_play *play, enum sim_place place)
{
    return &play->sim->nodes[play->nodes[place]];
}

struct sim_instance *sim_play_instance(const struct sim_play *play, unsigned id,
                                       enum sim_place place)
{
    const struct sim_node *node = node_at(play, place);
    for (struct sim_instance *at = play->sim->instances; at; at = at->next)
        if (at->id == id && at->node == node && at->hub && !at->ended)
            return at;
    return NULL;
}

/* ---- Nodes --------------------------------------------------------------------------------- */

static bool power_fails(struct sim_play *play, enum sim_place place)
{
    struct sim_node *node = node_at(play, place);
    play->asker_lost = node->index == play->asker;
    play->sim->config.silent = true;
    sim_crash(node);
    return true;
}

static bool process_crashes(struct sim_play *play, enum sim_place place)
{
    struct sim_node *node = node_at(play, place);
    play->asker_lost = node->index == play->asker;
    sim_crash(node);
    sim_tell_refused(node);
    return true;
}

static bool pauses(struct sim_play *play, enum sim_place place)
{
    struct sim_node *node = node_at(play, place);
    node->paused_until_us = play->sim->now_us + play->fault->lasts_ms * 1000;
    sim_touch(node);
    return true;
}

static bool ask_to_end(struct sim_play *play, enum sim_place place, bool process)
{
    struct sim_node *node = node_at(play, place);
    node->leaving = process;
    node->hub->ending = true;
    sim_check_losses(play->sim);
    sim_post(node->hub, ph_event_create(PH_EVENT_SHUTDOWN));
    return true;
}

static bool hub_ends(struct sim_play *play, enum sim_place place)
{
    return ask_to_end(play, place, false);
}

static bool leaves(struct sim_play *play, enum sim_place place)
{
    return ask_to_end(play, place, true);
}

bool sim_play_ended(const struct sim_play *play)
{
    for (enum sim_place place = SIM_SOURCE; place <= SIM_BYSTANDER; place++) {
        const struct sim_node *node = node_at(play, place);
        if (node->alive && (node->leaving || (node->hub && node->hub->ending)))
            return false;
    }
    return true;
}

/* ---- Links --------------------------------------------------------------------------------- */

static const struct {
    enum sim_place from, to;
} links[SIM_PLACES] = {
    [SIM_LINK] = {SIM_SOURCE, SIM_TARGET},
    [SIM_SOURCE_LINK] = {SIM_SOURCE, SIM_BYSTANDER},
    [SIM_TARGET_LINK] = {SIM_TARGET, SIM_BYSTANDER},
};

static bool cut_there(struct sim_play *play, enum sim_place place)
{
    play->sim->cut[play->nodes[links[place].from]][play->nodes[links[place].to]] = true;
    return true;
}

static bool cut_back(struct sim_play *play, enum sim_place place)
{
    play->sim->cut[play->nodes[links[place].to]][play->nodes[links[place].from]] = true;
    return true;
}

static bool cut(struct sim_play *play, enum sim_place place)
{
    return cut_there(play, place) && cut_back(play, place);
}

static bool cut_off(struct sim_play *play, enum sim_place place)
{
    for (unsigned i = 0; i < play->sim->config.nodes; i++) {
        bool other = i != play->nodes[place];
        play->sim->cut[i][play->nodes[place]] = play->sim->cut[play->nodes[place]][i] = other;
    }
    return true;
}

/* Their session ends; `from` sees it first. */
static bool break_session(struct sim_play *play, enum sim_place from, enum sim_place to)
{
    struct sim_node *node = node_at(play, from);
    const struct ph_member *member =
        ph_member_by_name(node->hub->hub.cluster, node_at(play, to)->name);
    if (!member || !member->info.peer)
        return false;
    uint64_t peer = member->info.peer;
    ph_mesh_reset(node->mesh, peer, sim_local_ms(node));
    sim_mesh_port.peer_down(node, peer, PH_PEER_LOST);
    sim_touch(node);
    return true;
}

static bool breaks_there(struct sim_play *play, enum sim_place place)
{
    return break_session(play, links[place].from, links[place].to);
}

static bool breaks_back(struct sim_play *play, enum sim_place place)
{
    return break_session(play, links[place].to, links[place].from);
}

/* ---- The child ----------------------------------------------------------------------------- */

static bool instance_crashes(struct sim_play *play, enum sim_place place)
{
    struct sim_instance *instance = sim_play_instance(play, 0, place);
    if (!instance || instance->stopping)
        return false;
    sim_child_crash(instance);
    return true;
}

static bool save_fails(struct sim_play *play, enum sim_place place)
{
    (void)place;
    play->sim->planted.next_save = true;
    return true;
}

static bool start_fails(struct sim_play *play, enum sim_place place)
{
    (void)place;
    play->sim->planted.next_start = true;
    return true;
}

/* ---- Requests ------------------------------------------------------------------------------ */

static bool asks_stop(struct sim_play *play, enum sim_place place)
{
    for (unsigned id = 0; id < play->children; id++)
        sim_workload_target(node_at(play, place)->hub, PH_EVENT_STOP, id);
    return true;
}

static bool asks_restart(struct sim_play *play, enum sim_place place)
{
    for (unsigned id = 0; id < play->children; id++)
        sim_workload_target(node_at(play, place)->hub, PH_EVENT_RESTART, id);
    return true;
}

static bool asks_replace(struct sim_play *play, enum sim_place place)
{
    for (unsigned id = 0; id < play->children; id++)
        sim_workload_replace(node_at(play, place)->hub, id, sim_play_spec("b"));
    return true;
}

static bool pin_to(struct sim_play *play, enum sim_place place, enum sim_place goal)
{
    play->other_goal = play->nodes[goal];
    for (unsigned id = 0; id < play->children; id++)
        sim_workload_pin(node_at(play, place)->hub, id, play->nodes[goal]);
    return true;
}

static bool asks_back(struct sim_play *play, enum sim_place place)
{
    return pin_to(play, place, SIM_SOURCE);
}

static bool asks_on(struct sim_play *play, enum sim_place place)
{
    return pin_to(play, place, SIM_BYSTANDER);
}

/* ---- All of them --------------------------------------------------------------------------- */

#define NODES (1u << SIM_SOURCE | 1u << SIM_TARGET | 1u << SIM_BYSTANDER)
#define LINKS (1u << SIM_LINK | 1u << SIM_SOURCE_LINK | 1u << SIM_TARGET_LINK)
#define FAULT(name_, strike_, places_, lasts_ms_) \
    .name = (name_), .strike = (strike_), .places = (places_), .lasts_ms = (lasts_ms_)
#define NODE_LOST                                                        \
    {                                                                    \
        [SIM_SOURCE] = SIM_LOSES_SOURCE, [SIM_TARGET] = SIM_LOSES_TARGET \
    }
#define LEASE_LOST                                                                   \
    {                                                                                \
        [SIM_SOURCE] = SIM_LOSES_SOURCE_LEASE, [SIM_TARGET] = SIM_LOSES_TARGET_LEASE \
    }
#define ONE_LEFT_OUT                                                                     \
    {                                                                                    \
        [SIM_LINK] = SIM_LOSES_EITHER_LEASE, [SIM_SOURCE_LINK] = SIM_LOSES_EITHER_LEASE, \
        [SIM_TARGET_LINK] = SIM_LOSES_EITHER_LEASE                                       \
    }
#define EACH_NODE(what)                                                        \
    {                                                                          \
        [SIM_SOURCE] = (what), [SIM_TARGET] = (what), [SIM_BYSTANDER] = (what) \
    }

/* Beats come every 500 ms; a lease ends 2.5 s after the beat that is echoed, which may be a second
 * old; death is 3 s of silence. */
const struct sim_fault sim_faults[] = {
    {FAULT("crash", process_crashes, NODES, 100), .loss = NODE_LOST},
    {FAULT("crash-long", process_crashes, NODES, 8000), .loss = NODE_LOST},
    {FAULT("power", power_fails, NODES, 1000), .loss = NODE_LOST},
    {FAULT("power-long", power_fails, NODES, 8000), .loss = NODE_LOST, .silent = true},
    {FAULT("pause", pauses, NODES, 700), .mail = true},
    {FAULT("pause-lease", pauses, NODES, 2700), .loss = LEASE_LOST, .silent = true},
    {FAULT("pause-long", pauses, NODES, 9000), .loss = LEASE_LOST, .silent = true},
    {FAULT("end", hub_ends, NODES, 1000)},
    {FAULT("leave", leaves, NODES, 1000)},
    {FAULT("cut-off", cut_off, NODES, 400), .mail = true},
    {FAULT("cut-off-lease", cut_off, NODES, 2700), .loss = LEASE_LOST, .silent = true},
    {FAULT("cut-off-long", cut_off, NODES, 8000), .loss = LEASE_LOST, .silent = true},
    {FAULT("cut", cut, LINKS, 1300), .mail = true},
    {FAULT("cut-long", cut, LINKS, 8000), .loss = ONE_LEFT_OUT},
    {FAULT("cut-there", cut_there, LINKS, 1300), .mail = true},
    {FAULT("cut-there-long", cut_there, LINKS, 8000), .loss = ONE_LEFT_OUT},
    {FAULT("cut-back", cut_back, LINKS, 1300), .mail = true},
    {FAULT("cut-back-long", cut_back, LINKS, 8000), .loss = ONE_LEFT_OUT},
    {FAULT("break-there", breaks_there, LINKS, 500)},
    {FAULT("break-back", breaks_back, LINKS, 500)},
    {FAULT("instance-crashes", instance_crashes, 1u << SIM_SOURCE | 1u << SIM_TARGET, 500),
     .loss = {[SIM_SOURCE] = SIM_LOSES_SOURCE_INSTANCE, [SIM_TARGET] = SIM_LOSES_TARGET_INSTANCE}},
    {FAULT("save-fails", save_fails, 1u << SIM_SOURCE, 500), .mail = true, .next_save = true},
    {FAULT("start-fails", start_fails, 1u << SIM_TARGET, 500), .next_start = true},
    {FAULT("asks-stop", asks_stop, NODES, 500), .loss = EACH_NODE(SIM_LOSES_CHILD)},
    {FAULT("asks-restart", asks_restart, NODES, 500), .loss = EACH_NODE(SIM_LOSES_STATE)},
    {FAULT("asks-replace", asks_replace, NODES, 500), .loss = EACH_NODE(SIM_LOSES_STATE)},
    {FAULT("asks-back", asks_back, NODES, 500), .mail = true},
    {FAULT("asks-on", asks_on, NODES, 500), .mail = true},
};

const unsigned sim_fault_count = PH_COUNT_OF(sim_faults);
