#include "tests/sim/config.h"

#include <stdio.h>

#include "engine/base.h"
#include "tests/sim/report.h"
#include "tests/sim/sim.h"

/* One of so many seeds has it, with a rate up to the bound. */
static unsigned rate(struct ph_prng *prng, unsigned one_in, unsigned most)
{
    return ph_prng_below(prng, one_in) == 0 ? 1 + (unsigned)ph_prng_below(prng, most) : 0;
}

static void draw_wire(struct sim_config *config, struct ph_prng *prng)
{
    static const uint64_t windows[] = {4 << 20, 64 << 10, 16 << 10};
    config->delay_us = sim_between(prng, 50, 20000);
    config->late_us = sim_between(prng, 1000, 2000000);
    config->loss = rate(prng, 2, 200);
    config->twice = rate(prng, 3, 300);
    config->late = rate(prng, 2, 200);
    config->corrupt = rate(prng, 4, 50);
    config->silent = sim_chance(prng, 400);
    config->window_bytes = windows[ph_prng_below(prng, PH_COUNT_OF(windows))];
    config->chunk_bytes = sim_chance(prng, 500) ? 64 << 10 : 1 << 10;
    config->queue_bytes = sim_chance(prng, 800) ? 256 << 20 : 2 << 20;
}

static void draw_children(struct sim_config *config, struct ph_prng *prng)
{
    config->start_fails = rate(prng, 3, 200);
    config->crashes = rate(prng, 2, 300);
    config->save_fails = rate(prng, 3, 300);
    config->stuck = rate(prng, 4, 200);
    config->like_processes = sim_chance(prng, 500) ? 500 : 0;
    config->start_us = sim_chance(prng, 700) ? 5000 : 500000;
}

static void draw_hub(struct sim_config *config, struct ph_prng *prng)
{
    config->majority = sim_chance(prng, 600);
    config->strict = config->majority && sim_chance(prng, 850);
    config->heartbeat_ms = sim_chance(prng, 700) ? 500 : sim_between(prng, 50, 500);
    config->dead_after_ms = sim_chance(prng, 700) ? 3000 : config->heartbeat_ms * 6;
    config->lease_ms = config->dead_after_ms * 5 / 6;
    config->migrate_timeout_ms = sim_chance(prng, 500) ? 15000 : sim_between(prng, 100, 3000);
    config->move_rate = sim_chance(prng, 800) ? 0 : sim_between(prng, 1, 100);
    config->in_flight = sim_chance(prng, 700) ? 16384 : sim_between(prng, 1, 4);
}

static void draw_hot(struct sim_config *config, struct ph_prng *prng)
{
    config->hot = sim_chance(prng, 650);
    config->hot_confirm = sim_chance(prng, 900);
    config->hot_child_ms = sim_chance(prng, 500) ? 10000 : sim_between(prng, 50, 2000);
    if (config->hot_child_ms < 4 * config->start_us / 1000)
        config->hot_child_ms = 4 * config->start_us / 1000; /* else one may never prepare in time */
    config->hot_state_ms = sim_chance(prng, 500) ? 3000 : sim_between(prng, 1, 100);
    config->hot_retention_ms = sim_chance(prng, 700) ? 5000 : 0;
}

/* Children with large states, in a third of the seeds; in most of them copies go ahead. */
static void draw_ballast(struct sim_config *config, struct ph_prng *prng)
{
    config->ballast = sim_chance(prng, 330) ? sim_between(prng, 1000, 120000) : 0;
    if (config->ballast && config->migrate_timeout_ms < 3000)
        config->migrate_timeout_ms = 3000; /* else a state may never arrive in time … */
    if (config->chunk_bytes < 64 << 10)
        config->ballast /= 10; /* … or hold up letters for longer than they are waited for */
    config->hot_precopy = sim_chance(prng, 850) ? sim_between(prng, 1, 60000) : 0;
}

/* Whether a name is taken is for each node to say that hears its holder: so all do. */
static void make_clash(struct sim_config *config)
{
    config->kinds = 0;
    config->absence = config->core_only = config->mixed = false;
    config->loss = config->loss < 50 ? config->loss : 50;
    config->late_us = config->late_us < 200000 ? config->late_us : 200000;
}

void sim_draw(struct sim_config *config, uint64_t seed, unsigned nodes, uint64_t steps)
{
    struct ph_prng prng;
    ph_prng_init(&prng, seed * 8);
    *config = (struct sim_config){.nodes = (unsigned)sim_between(&prng, 2, 5)};
    if (sim_chance(&prng, 150))
        config->nodes = (unsigned)sim_between(&prng, 6, 9);
    config->ids = (unsigned)sim_between(&prng, 1, 16);
    draw_hub(config, &prng);
    draw_wire(config, &prng);
    draw_children(config, &prng);
    config->fault_us = sim_between(&prng, 500000, 20000000);
    config->request_us = sim_between(&prng, 20000, 1000000);
    config->kinds = (unsigned)ph_prng_next(&prng);
    config->drifts = sim_chance(&prng, 500);
    config->lost_disks = sim_chance(&prng, 300);
    config->pauses_long = sim_chance(&prng, 200);
    config->core_only = sim_chance(&prng, 250);
    config->mixed = sim_chance(&prng, 100);
    config->clash = sim_chance(&prng, 60);
    draw_hot(config, &prng);
    config->steps = sim_between(&prng, 5000, 30000);
    config->calm_steps = sim_chance(&prng, 300) ? sim_between(&prng, 500, 4000) : 0;
    unsigned absences = (unsigned)ph_prng_below(&prng, 1000);
    if (nodes)
        config->nodes = nodes;
    config->absence = absences < (config->nodes > 5 ? 60 : 200);
    draw_ballast(config, &prng);
    if (config->nodes == SIM_NODES_MAX)
        config->clash = false;
    if (config->clash)
        make_clash(config);
    config->journals = sim_chance(&prng, 500);
    config->sync_us = sim_chance(&prng, 700) ? 2000 : 300000;
    if (steps)
        config->steps = steps;
}

void sim_make_canary(struct sim_config *config)
{
    config->majority = config->strict = true;
    config->request_us = 100000;
}

void sim_note_config(struct sim *sim)
{
    const struct sim_config *config = &sim->config;
    sim_note(sim, NULL, "config", "%u nodes, %u ids, %s, beats of %llu ms, dead after %llu ms",
             config->nodes, config->ids,
             config->strict     ? "strict majority"
             : config->majority ? "majority"
                                : "diverge",
             (unsigned long long)config->heartbeat_ms, (unsigned long long)config->dead_after_ms);
    sim_note(sim, NULL, "config", "%s%s%s%s%s%s", config->absence ? "a long split, " : "",
             config->journals ? "journals, " : "", config->clash ? "a name is taken, " : "",
             config->mixed ? "other protocols, " : "", config->core_only ? "a core, " : "",
             config->calm_steps ? "a calm end" : "");
    sim_note(sim, NULL, "config",
             "wire: delay %llu us, late %llu us; loss %u, twice %u, late %u, corrupt %u of 1000%s; "
             "window %llu, chunk %llu, queue %llu",
             (unsigned long long)config->delay_us, (unsigned long long)config->late_us,
             config->loss, config->twice, config->late, config->corrupt,
             config->silent ? "; silent" : "", (unsigned long long)config->window_bytes,
             (unsigned long long)config->chunk_bytes, (unsigned long long)config->queue_bytes);
    sim_note(
        sim, NULL, "config",
        "children: start %llu us; fail %u, crash %u, kept %u, stuck %u, processes %u; %s moves: "
        "%llu ms, rate %llu, in flight %llu; ballast %llu, copied from %llu on",
        (unsigned long long)config->start_us, config->start_fails, config->crashes,
        config->save_fails, config->stuck, config->like_processes, config->hot ? "hot" : "cold",
        (unsigned long long)config->migrate_timeout_ms, (unsigned long long)config->move_rate,
        (unsigned long long)config->in_flight, (unsigned long long)config->ballast,
        (unsigned long long)config->hot_precopy);
}
