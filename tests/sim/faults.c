/* What goes wrong: processes, machines, clocks and cables. */
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/op.h"
#include "tests/sim/checks.h"
#include "tests/sim/disks.h"
#include "tests/sim/report.h"
#include "tests/sim/sim.h"
#include "tests/sim/workload.h"

enum { SECOND_US = 1000000 };

/* ---- Cables -------------------------------------------------------------------------------- */

static void heal_cuts(struct sim *sim)
{
    sim_note(sim, NULL, "fault", "all cuts heal");
    memset(sim->cut, 0, sizeof sim->cut);
}

static void cut(struct sim *sim, unsigned a, unsigned b, bool both)
{
    if (a == b)
        return;
    sim->cut[a][b] = true;
    sim->cut[b][a] |= both;
}

static unsigned any_node(struct sim *sim)
{
    return (unsigned)ph_prng_below(&sim->faults, sim->config.nodes);
}

static void cut_pair(struct sim *sim)
{
    unsigned a = any_node(sim), b = any_node(sim);
    bool both = sim_chance(&sim->faults, 500);
    sim_note(sim, NULL, "fault", "n%u and n%u are cut%s", a, b, both ? "" : ", one way");
    cut(sim, a, b, both);
}

static void isolate_one(struct sim *sim)
{
    unsigned one = any_node(sim), way = (unsigned)ph_prng_below(&sim->faults, 3);
    sim_note(sim, NULL, "fault", "n%u is isolated%s", one,
             way == 0   ? ""
             : way == 1 ? ": it is not heard"
                        : ": it does not hear");
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        if (way != 2)
            cut(sim, one, i, false);
        if (way != 1)
            cut(sim, i, one, false);
    }
}

static void cut_halves(struct sim *sim)
{
    uint64_t sides = ph_prng_next(&sim->faults);
    sim_note(sim, NULL, "fault", "two sides: %llx",
             (unsigned long long)(sides & ((UINT64_C(1) << sim->config.nodes) - 1)));
    for (unsigned a = 0; a < sim->config.nodes; a++)
        for (unsigned b = 0; b < sim->config.nodes; b++)
            if ((sides >> a & 1) != (sides >> b & 1))
                cut(sim, a, b, false);
}

/* Two sides, and one node that hears both. */
static void cut_bridge(struct sim *sim)
{
    unsigned bridge = any_node(sim);
    cut_halves(sim);
    sim_note(sim, NULL, "fault", "n%u is a bridge", bridge);
    for (unsigned i = 0; i < sim->config.nodes; i++)
        sim->cut[i][bridge] = sim->cut[bridge][i] = false;
}

/* Each hears a majority, no two the same. */
static void cut_ring(struct sim *sim)
{
    unsigned nodes = sim->config.nodes, reach = nodes / 4 + (nodes > 3);
    sim_note(sim, NULL, "fault", "a ring");
    for (unsigned a = 0; a < nodes; a++) {
        for (unsigned b = 0; b < nodes; b++) {
            unsigned distance = (b + nodes - a) % nodes;
            if (distance > reach && nodes - distance > reach)
                cut(sim, a, b, true);
        }
    }
}

static void cut_off(struct sim *sim, unsigned one)
{
    sim_note(sim, NULL, "fault", "n%u is cut off", one);
    for (unsigned i = 0; i < sim->config.nodes; i++)
        cut(sim, one, i, true);
}

static void partition(struct sim *sim)
{
    static void (*const ways[])(struct sim *) = {cut_pair,   cut_pair,   isolate_one,
                                                 cut_halves, cut_bridge, cut_ring};
    if (sim_chance(&sim->faults, 500))
        heal_cuts(sim);
    ways[ph_prng_below(&sim->faults, PH_COUNT_OF(ways))](sim);
}

/* ---- Later --------------------------------------------------------------------------------- */

/* A node that comes back. */
struct repair {
    struct sim_item item; /* first */
    struct sim_node *node;
    uint64_t life;
    enum sim_loss lost;
};

static void boot_again(struct sim *sim, struct sim_item *item)
{
    struct repair *repair = ph_container_of(item, struct repair, item);
    struct sim_node *node = repair->node;
    if (node->alive && node->lives == repair->life) {
        sim_at(sim, sim->now_us + SECOND_US, item); /* it has not ended yet */
        return;
    }
    if (!node->alive && (!sim->healing || sim->core[node->index]))
        sim_boot(node, repair->lost);
    ph_free(repair);
}

static void begin_hub_again(struct sim *sim, struct sim_item *item)
{
    struct repair *repair = ph_container_of(item, struct repair, item);
    struct sim_node *node = repair->node;
    bool same = node->alive && node->lives == repair->life && !node->leaving;
    if (same && node->hub && node->hub->ending) {
        sim_at(sim, sim->now_us + SECOND_US, item);
        return;
    }
    if (same && !node->hub && (!sim->healing || sim->core[node->index])) {
        node->wants_hub = true;
        sim_hub_begin(node);
    }
    ph_free(repair);
}

static void later(struct sim_node *node, uint64_t delay_us,
                  void (*act)(struct sim *, struct sim_item *))
{
    struct sim *sim = node->sim;
    struct repair *repair = ph_alloc(sizeof *repair);
    repair->item.act = act;
    repair->node = node;
    repair->life = node->lives;
    if (sim->config.lost_disks && sim_chance(&sim->faults, 500))
        repair->lost = sim_chance(&sim->disks, 500) ? SIM_LOST_DISK : SIM_LOST_CLOCK;
    sim_at(sim, sim->now_us + delay_us, &repair->item);
}

static uint64_t some_seconds(struct sim *sim)
{
    uint64_t mean = sim_chance(&sim->faults, 300) ? 100000 : 8 * SECOND_US;
    return sim_exponential(&sim->faults, mean);
}

/* ---- Processes ------------------------------------------------------------------------------ */

static void crash(struct sim_node *node)
{
    struct sim *sim = node->sim;
    bool power = sim_chance(&sim->faults, 300);
    sim_note(sim, node, "fault", "crashes%s", power ? " with its machine" : "");
    sim_crash(node);
    if (!power)
        sim_tell_refused(node);
    later(node, some_seconds(sim), boot_again);
}

/* Asked to end: its children are handed over. */
static void shut_down(struct sim_node *node, bool process)
{
    struct sim *sim = node->sim;
    if (!node->hub || node->hub->ending)
        return;
    sim_note(sim, node, "fault", process ? "leaves" : "its hub is stopped");
    node->leaving = process;
    node->hub->ending = true;
    sim_check_losses(sim);
    sim_post(node->hub, ph_event_create(PH_EVENT_SHUTDOWN));
    later(node, 2 * SECOND_US + some_seconds(sim), process ? boot_again : begin_hub_again);
}

static void pause_node(struct sim_node *node)
{
    struct sim *sim = node->sim;
    uint64_t most = sim->config.pauses_long ? 60 * (uint64_t)SECOND_US : 6 * (uint64_t)SECOND_US;
    uint64_t pause_us = sim_between(&sim->faults, 10000, most);
    sim_note(sim, node, "fault", "pauses for %llu ms", (unsigned long long)pause_us / 1000);
    node->paused_until_us = sim->now_us + pause_us;
    sim_touch(node);
}

static void slow_down(struct sim_node *node)
{
    node->slow = node->slow > 1 ? 1 : sim_between(&node->sim->faults, 2, 400);
    sim_note(node->sim, node, "fault", "each step takes %llu times as long",
             (unsigned long long)node->slow);
}

/* It hears everything late, and speaks in time: what it does not read piles up before it. */
static void swamp(struct sim_node *node)
{
    struct sim *sim = node->sim;
    bool swamped = node->lag_us != 0;
    node->lag_us = swamped ? 0 : sim_between(&sim->faults, 100000, 12 * SECOND_US);
    sim_note(sim, node, "fault", "hears everything %llu ms late",
             (unsigned long long)node->lag_us / 1000);
}

/* All processes but one end, and begin again a moment later; that one reaches nobody meanwhile. */
static void blink(struct sim *sim)
{
    unsigned one = any_node(sim);
    sim_note(sim, NULL, "fault", "all but n%u begin anew, and it is cut off", one);
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        struct sim_node *node = &sim->nodes[i];
        cut(sim, one, i, true);
        if (i == one || !node->alive)
            continue;
        sim_crash(node);
        sim_tell_refused(node);
        later(node, sim_exponential(&sim->faults, 200000), boot_again);
    }
}

/* The others leave it out, or one that it does not reach; and its gate holds back what it makes of
 * that. */
static void hold_view(struct sim_node *node)
{
    struct sim *sim = node->sim;
    unsigned other = any_node(sim);
    if (!node->hub || node->hub->ending || other == node->index)
        return;
    heal_cuts(sim);
    sim_note(sim, node, "fault", "keeps its view, and n%u does not reach it", other);
    cut(sim, node->index, other, true);
    sim_workload_lock(node->hub, sim_between(&sim->faults, 8000, 20000));
}

static void hit_node(struct sim_node *node, unsigned how)
{
    if (!node->alive)
        return;
    if (how < 300)
        crash(node);
    else if (how < 450)
        shut_down(node, true);
    else if (how < 550)
        shut_down(node, false);
    else if (how < 850)
        pause_node(node);
    else if (how < 930)
        slow_down(node);
    else
        swamp(node);
}

static bool has(const struct sim *sim, unsigned kind)
{
    return sim->config.kinds >> kind & 1;
}

static void tick(struct sim *sim, struct sim_item *item)
{
    unsigned what = (unsigned)ph_prng_below(&sim->faults, 1000);
    unsigned how = (unsigned)ph_prng_below(&sim->faults, 1000), node = any_node(sim);
    if (sim->healing || sim->absent) {
        ph_free(item);
        return;
    }
    sim->fault_count++;
    if (what < 20 && has(sim, 6))
        blink(sim);
    else if (what < 50 && has(sim, 7))
        hold_view(&sim->nodes[node]);
    else if (what < 90 && sim->config.journals)
        sim_disk_fill(&sim->nodes[node], !sim->nodes[node].disk.journal.fails);
    else if (what < 350 && has(sim, 0))
        partition(sim);
    else if (what < 500)
        heal_cuts(sim);
    else if (has(sim, 1 + how / 200))
        hit_node(&sim->nodes[node], how);
    item->tie = 0;
    sim_at(sim, sim->now_us + sim_exponential(&sim->faults, sim->config.fault_us), item);
}

/* It stays to the end of the run. */
static void boot_rival(struct sim *sim, struct sim_item *item)
{
    struct sim_node *rival = &sim->nodes[sim->config.nodes];
    ph_free(item);
    sim_note(sim, rival, "fault", "another node of that name, at %s", rival->endpoint);
    sim_boot(rival, SIM_LOST_NOTHING);
}

void sim_faults_begin(struct sim *sim)
{
    struct sim_item *item = ph_alloc(sizeof *item);
    item->act = tick;
    sim_at(sim, sim->now_us + 2 * SECOND_US, item);
    if (!sim->config.clash)
        return;
    item = ph_alloc(sizeof *item);
    item->act = boot_rival; /* all know the one that has the name */
    sim_at(sim, sim->now_us + 8 * SECOND_US, item);
}

/* ---- A long split ---------------------------------------------------------------------------- */

/* Longer than a tombstone is kept at least; and the hubs have a while to purge. */
enum { ABSENCE_US = 85 * SECOND_US, ASKING_US = 8 * SECOND_US };

static void fall_silent(struct sim *sim, struct sim_item *item)
{
    sim->silent = true;
    ph_free(item);
}

uint64_t sim_absence_begin(struct sim *sim)
{
    struct sim_item *item = ph_alloc(sizeof *item);
    item->act = fall_silent;
    sim_at(sim, sim->now_us + ASKING_US, item);
    sim->absent = true;
    heal_cuts(sim);
    if (sim_chance(&sim->faults, 500))
        cut_halves(sim);
    else
        cut_off(sim, any_node(sim));
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        struct sim_node *node = &sim->nodes[i];
        node->slow = 1;
        node->lag_us = 0;
        sim_touch(node);
    }
    return sim->now_us + ABSENCE_US;
}

/* ---- Healing ------------------------------------------------------------------------------- */

/* Those that must agree in the end: all, or enough of them while the rest is gone for good, cut off
 * or deaf. */
static void choose_core(struct sim *sim)
{
    unsigned nodes = sim->config.nodes, size = nodes;
    if (sim->config.core_only && nodes > 2)
        size = (unsigned)sim_between(&sim->faults, nodes / 2 + 1, nodes);
    for (unsigned gone = nodes - size; gone;) {
        unsigned i = any_node(sim);
        gone -= sim->core[i];
        sim->core[i] = false;
    }
}

static unsigned core_size(const struct sim *sim)
{
    unsigned size = 0;
    for (unsigned i = 0; i < sim->config.nodes; i++)
        size += sim->core[i];
    return size;
}

/* It reaches some of the core, one of it mostly, but not enough of it for any side but the core to
 * be the largest. */
static void cut_from_two(struct sim_node *node)
{
    struct sim *sim = node->sim;
    unsigned most = core_size(sim) - 1;
    unsigned cuts = (unsigned)sim_between(&sim->faults, 2, most);
    if (sim_chance(&sim->faults, 600))
        cuts = most;
    node->half_cut = node->protocol < SIM_PROTOCOL_HIGHER; /* else it hears nobody */
    while (cuts) {
        unsigned i = any_node(sim);
        if (!sim->core[i] || sim->cut[i][node->index])
            continue;
        cut(sim, i, node->index, true);
        cuts--;
    }
}

static void break_for_good(struct sim_node *node)
{
    struct sim *sim = node->sim;
    static const char *const ways[] = {"gone", "cut off", "deaf", "swamped", "half cut off"};
    enum { GONE, CUT_OFF, DEAF, SWAMPED, HALF };
    unsigned way = (unsigned)ph_prng_below(&sim->faults, HALF + 4); /* that is the rarest fault */
    way = way < HALF ? way : HALF;
    if (way == HALF && core_size(sim) < 3)
        way = CUT_OFF;
    sim_note(sim, node, "fault", "for good: %s", ways[way]);
    if (way == GONE && node->alive) {
        sim_crash(node);
        sim_tell_refused(node);
    }
    node->lag_us = way == SWAMPED ? 3 * sim->config.dead_after_ms * 1000 : 0;
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        bool all = way == GONE || way == CUT_OFF || !sim->core[i];
        if (all || way == DEAF)
            cut(sim, i, node->index, false);
        if (all)
            cut(sim, node->index, i, false);
    }
    if (way == HALF)
        cut_from_two(node);
}

void sim_heal(struct sim *sim)
{
    sim->absent = sim->silent = false;
    choose_core(sim);
    sim_check_lost(sim);
    memset(sim->cut, 0, sizeof sim->cut);
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (!sim->core[i]) {
            break_for_good(node);
            continue;
        }
        node->slow = 1;
        node->lag_us = 0;
        sim_disk_fill(node, false);
        if (node->paused_until_us > sim->now_us)
            node->paused_until_us = sim->now_us;
        node->wants_hub = true;
        if (node->alive && node->protocol >= SIM_PROTOCOL_HIGHER)
            sim_crash(node); /* it is given the protocol of the others */
        if (!node->alive)
            sim_boot(node, SIM_LOST_NOTHING);
        else if (!node->hub && !node->leaving)
            sim_hub_begin(node);
        sim_touch(node);
    }
}
