#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/op.h"
#include "engine/prng.h"

/* Nodes that come and go, links that are cut, slow, or begin anew, requests of all sorts on every
 * node: whatever happens, once it ends all agree, and what was acknowledged is so. PH_SEED and
 * PH_SEEDS in the environment choose other runs. */

enum { IDS = 12, STEPS = 120 };

enum wish { ANY, WANTED, UNWANTED };

struct run {
    struct fake_cluster *c;
    struct ph_prng prng;
    uint64_t seed;
    const char *options;
    bool apart; /* some links were cut, and not all have met since */
    /* What the last acknowledged request for the child was, when all nodes knew of each other. */
    enum wish wishes[IDS];
};

static unsigned pick(struct run *run, unsigned below)
{
    return (unsigned)ph_prng_below(&run->prng, below);
}

static unsigned living(const struct run *run)
{
    unsigned count = 0;
    for (unsigned node = 0; node < FC_NODES; node++)
        count += run->c->nodes[node] != NULL;
    return count;
}

static unsigned any_node(struct run *run)
{
    unsigned node;
    do
        node = pick(run, FC_NODES);
    while (!run->c->nodes[node]);
    return node;
}

static void id_of(unsigned child, char id[16])
{
    snprintf(id, 16, "c-%u", child);
}

static void forget_wishes(struct run *run)
{
    memset(run->wishes, 0, sizeof run->wishes);
}

/* Do all that live know of each other, and of everything? What is acknowledged among nodes that do
 * not may be lost with them, or be outvoted by the others. */
static bool are_together(struct run *run)
{
    fc_run(run->c, 150);
    bool together = !run->apart && fc_settle_some(run->c, ~0u, living(run), 8000);
    if (!together)
        forget_wishes(run);
    return together;
}

/* A request that nothing else disturbs for as long as it takes: what it promises holds. */
static void request(struct run *run, bool starts)
{
    unsigned child = pick(run, IDS), node = any_node(run);
    char id[16];
    bool together = pick(run, 2) && are_together(run);
    id_of(child, id);
    struct ph_op *op =
        starts ? fake_start(fc_hub(run->c, node), id, "") : fake_stop(fc_hub(run->c, node), id);
    int code = fc_wait(run->c, op, 300);
    run->wishes[child] = code || !together ? ANY : starts ? WANTED : UNWANTED;
}

/* With one death at a time nothing acknowledged is lost. */
static void die(struct run *run)
{
    if (living(run) < 2)
        return;
    are_together(run);
    fc_kill(run->c, any_node(run), pick(run, 2));
    if (pick(run, 2))
        are_together(run);
    else
        forget_wishes(run);
}

static void come(struct run *run)
{
    unsigned node = pick(run, FC_NODES);
    if (run->c->nodes[node])
        return;
    fc_begin(run->c, node, run->options);
    fc_link_all(run->c);
}

static void disturb_links(struct run *run)
{
    unsigned a = pick(run, FC_NODES), b = pick(run, FC_NODES);
    if (a == b || !run->c->nodes[a] || !run->c->nodes[b])
        return;
    switch (pick(run, 4)) {
    case 0:
        fc_break(run->c, a, b);
        return;
    case 1:
        run->c->pipes[a][b].late_ms = pick(run, 60);
        return;
    case 2:
        run->apart = true;
        fc_cut(run->c, a, b);
        return;
    default:
        fc_heal(run->c);
        run->apart = false;
        are_together(run);
        return;
    }
}

static void split(struct run *run)
{
    fc_split(run->c, 1 + pick(run, 14));
    fc_run(run->c, 1000 + pick(run, 6000));
    fc_heal(run->c);
    run->apart = false;
    forget_wishes(run);
}

static void shift(struct run *run)
{
    char id[16], to[8];
    id_of(pick(run, IDS), id);
    snprintf(to, sizeof to, "n%u", 1 + pick(run, FC_NODES));
    switch (pick(run, 4)) {
    case 0:
        fc_drain(run->c, any_node(run), to, pick(run, 2));
        return;
    case 1:
        fake_restart(fc_hub(run->c, any_node(run)), id);
        return;
    case 2:
        fc_pin(run->c, any_node(run), id, "");
        return;
    default:
        fc_pin(run->c, any_node(run), id, to);
        return;
    }
}

static void step(struct run *run)
{
    switch (pick(run, 10)) {
    case 0:
    case 1:
        request(run, true);
        return;
    case 2:
        request(run, false);
        return;
    case 3:
        die(run);
        return;
    case 4:
        come(run);
        return;
    case 5:
    case 6:
        disturb_links(run);
        return;
    case 7:
        if (pick(run, 4) == 0)
            split(run);
        return;
    default:
        shift(run);
        return;
    }
}

static void check_child(struct run *run, unsigned child)
{
    char id[16];
    enum ph_state shown;
    id_of(child, id);
    int where = fc_where(run->c, id);
    if (where == FC_DOUBLED || (run->wishes[child] == WANTED && where < 0) ||
        (run->wishes[child] == UNWANTED && where >= 0)) {
        fc_dump(run->c);
        fail_msg("seed %llu: %s is at %d, wish %d", (unsigned long long)run->seed, id, where,
                 run->wishes[child]);
    }
    for (unsigned node = 0; node < FC_NODES; node++)
        if (run->c->nodes[node] && fc_listed(run->c, node, id, &shown) != where)
            fail_msg("seed %llu: %s is at %d, n%u lists it elsewhere",
                     (unsigned long long)run->seed, id, where, node + 1);
}

/* Everybody is back, all links work: all agree, nothing is pending. */
static void end(struct run *run)
{
    fc_heal(run->c);
    for (unsigned node = 0; node < FC_NODES; node++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", node + 1);
        if (!run->c->nodes[node])
            fc_begin(run->c, node, run->options);
    }
    fc_link_all(run->c);
    if (!fc_settle_some(run->c, ~0u, FC_NODES, 60000)) {
        fc_dump(run->c);
        fail_msg("seed %llu does not settle", (unsigned long long)run->seed);
    }
    for (unsigned child = 0; child < IDS; child++)
        check_child(run, child);
    for (unsigned node = 0; node < FC_NODES; node++) {
        const struct ph_cluster *cluster = fc_hub(run->c, node)->hub.cluster;
        bool waits = false;
        for (const struct ph_mail *mail = cluster->mail.mails; mail; mail = mail->next)
            waits |= mail->waiting.first || mail->early || mail->entry->parting;
        if (cluster->moves_in || cluster->moves_out || cluster->pendings || waits)
            fail_msg("seed %llu: something is pending on n%u", (unsigned long long)run->seed,
                     node + 1);
    }
}

static void run_seed(uint64_t seed, bool majority)
{
    struct run run = {
        .seed = seed,
        .options = majority ? "partition=majority majority.initial_size=3 migrate.timeout=5s"
                            : "migrate.timeout=5s",
    };
    ph_prng_init(&run.prng, seed);
    run.c = fc_create_settled(FC_NODES, run.options);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&run);
        fc_run(run.c, pick(&run, 3) ? pick(&run, 20) : pick(&run, 1500));
    }
    end(&run);
    if (majority && run.c->doubled)
        fail_msg("seed %llu: %llu instances ran twice", (unsigned long long)seed,
                 (unsigned long long)run.c->doubled);
    fc_destroy(run.c);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void run_seeds(bool majority)
{
    uint64_t first = from_environment("PH_SEED", 1), count = from_environment("PH_SEEDS", 8);
    for (uint64_t seed = first; seed < first + count; seed++)
        run_seed(seed, majority);
}

/* A hub that diverges converges. */
static void diverging_nodes_agree_in_the_end(void **state)
{
    (void)state;
    run_seeds(false);
}

/* So does one with a quorum, and at no time has a child two instances. */
static void nodes_with_a_quorum_agree_in_the_end(void **state)
{
    (void)state;
    run_seeds(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diverging_nodes_agree_in_the_end),
        cmocka_unit_test(nodes_with_a_quorum_agree_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
