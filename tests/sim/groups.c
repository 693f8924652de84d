/*
 * At most one instance of a child on each side of a split, whatever the partition mode.
 *
 * A *side* is a set of nodes that reach each other and nobody else: cables, processes, clocks. The
 * number of instances that act is at most the number of sides. While a side changes, its nodes have
 * to notice: two that come together each bring their instance. So a side counts from the moment on
 * since when it has been the same, sound, and closed (each two of it reach each other; where some
 * hear both ends of a cut the views are not theirs to be blamed for); and two instances on one side
 * are a fault when that was GRACE ago:
 *
 *     5 s           until the links try again at the latest
 *     2 dead-after  until one that does not answer is taken for dead, and the others agree
 *     20 beats      until one that is left out notices
 *     5 s           that the longest `shutdown` gives a child to end (then it is killed)
 *     2 s           what frames take on the slowest wire
 *
 * Only on a wire on which beats arrive: a lossy one splits nodes without a cut.
 */
#include <string.h>

#include "engine/cluster_inside.h"
#include "tests/sim/oracle.h"
#include "tests/sim/report.h"

enum { LOOK_US = 100000, SECOND_US = 1000000, LOSS_MAX = 20 };

static uint64_t grace_us(const struct sim_config *config)
{
    return 12 * (uint64_t)SECOND_US +
           (2 * config->dead_after_ms + 20 * config->heartbeat_ms) * 1000;
}

/* It does what it has to do, when it has to do it. A raised gate holds back changes of the view. */
static bool is_sound(const struct sim *sim, const struct sim_node *node)
{
    return node->alive && node->hub && !node->hub->ending && !node->hub->hub.gate.level &&
           node->paused_until_us <= sim->now_us && node->slow == 1 && !node->lag_us;
}

static bool reach(const struct sim *sim, unsigned a, unsigned b)
{
    const struct sim_node *one = &sim->nodes[a], *two = &sim->nodes[b];
    return a == b ||
           (one->alive && two->alive && sim_speak(one, two) && !sim->cut[a][b] && !sim->cut[b][a]);
}

/* Half reached: one way only. Such two are on no side together, and not apart. */
static bool is_torn(const struct sim *sim, unsigned a, unsigned b)
{
    return sim->nodes[a].alive && sim->nodes[b].alive && sim->cut[a][b] != sim->cut[b][a];
}

/* The nodes that `from` reaches, over others, too; 0 when the side is not closed and sound. */
static uint32_t side_of(const struct sim *sim, unsigned from)
{
    uint32_t side = 1u << from, next = side;
    while (next) {
        unsigned a = (unsigned)__builtin_ctz(next);
        next &= next - 1;
        for (unsigned b = 0; b < sim->config.nodes; b++) {
            if (!reach(sim, a, b) || side >> b & 1)
                continue;
            side |= 1u << b;
            next |= 1u << b;
        }
    }
    for (unsigned a = 0; a < sim->config.nodes; a++)
        for (unsigned b = 0; side >> a & 1 && b < sim->config.nodes; b++)
            if (is_torn(sim, a, b) || (side >> b & 1 && !reach(sim, a, b)))
                return 0;
    for (unsigned a = 0; a < sim->config.nodes; a++)
        if (side >> a & 1 && !is_sound(sim, &sim->nodes[a]))
            return 0;
    return side;
}

static void look_at_sides(struct sim *sim)
{
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        struct sim_side *side = &sim->oracle->sides[i];
        uint32_t nodes = sim->nodes[i].alive ? side_of(sim, i) : 0;
        uint64_t lives = 0;
        for (unsigned n = 0; n < sim->config.nodes; n++)
            if (nodes >> n & 1)
                lives = lives * 31 + sim->nodes[n].hub->generation;
        if (nodes && nodes == side->nodes && lives == side->lives)
            continue;
        *side = (struct sim_side){.nodes = nodes, .lives = lives, .since_us = sim->now_us};
    }
}

static void check_side(struct sim *sim, const struct sim_side *side, unsigned id)
{
    const struct sim_instance *first = NULL;
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_instance *at = side->nodes >> i & 1 ? sim->oracle->acting[id][i] : NULL;
        if (!at || !at->hub || !sim_acts(at))
            continue;
        if (first)
            sim_fail(sim,
                     "c%u acts on %s and on %s, which have reached each other and nobody else for "
                     "%llu ms",
                     id, first->node->name, at->node->name,
                     (unsigned long long)(sim->now_us - side->since_us) / 1000);
        first = at;
    }
}

void sim_check_groups(struct sim *sim)
{
    struct sim_oracle *oracle = sim->oracle;
    const struct sim_config *config = &sim->config;
    bool fair = sim->healing ||
                (config->loss <= LOSS_MAX && config->corrupt <= LOSS_MAX && config->late == 0);
    if (sim->now_us < oracle->sides_us)
        return;
    oracle->sides_us = sim->now_us + LOOK_US;
    look_at_sides(sim);
    if (!fair) {
        for (unsigned i = 0; i < config->nodes; i++)
            oracle->sides[i].nodes = 0;
        return;
    }
    for (unsigned i = 0; i < config->nodes; i++) {
        const struct sim_side *side = &oracle->sides[i];
        bool first = side->nodes && (unsigned)__builtin_ctz(side->nodes) == i;
        if (!first || sim->now_us - side->since_us < grace_us(config))
            continue;
        for (unsigned id = 0; id < config->ids; id++)
            check_side(sim, side, id);
    }
}
