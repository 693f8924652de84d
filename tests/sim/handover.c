/* Handovers, enumerated: the worlds, their points, what is owed. See handover.h. */
#include "tests/sim/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_move.h"
#include "engine/error.h"
#include "engine/spec.h"
#include "tests/sim/children.h"
#include "tests/sim/oracle.h"
#include "tests/sim/report.h"
#include "tests/sim/workload.h"

enum {
    POINTS_MAX = 20000,
    LETTERS = 16,      /* from each node */
    STATE = 1000,      /* what a child has counted before */
    END_S = 60,        /* in which a hub that was asked to has ended */
    TWICE_ONE_IN = 50, /* so many cases are run twice */
    LINES_SHOWN = 100,
    BALLAST_BYTES = 40000, /* of a state that is copied ahead: it has some blocks, in some pieces */
};

static const struct world {
    const char *name;
    bool hot, confirm, strict, copied; /* copied: a copy of its state goes ahead */
    unsigned children;
} worlds[] = {
    {"cold.diverge", .confirm = true, .children = 1},
    {"cold.strict", .confirm = true, .strict = true, .children = 1},
    {"hot.diverge", .hot = true, .confirm = true, .children = 1},
    {"hot.strict", .hot = true, .confirm = true, .strict = true, .children = 1},
    {"unconfirmed.diverge", .hot = true, .children = 1},
    {"unconfirmed.strict", .hot = true, .strict = true, .children = 1},
    {"cold.strict.three", .confirm = true, .strict = true, .children = 3},
    {"hot.diverge.three", .hot = true, .confirm = true, .children = 3},
    {"copied.diverge", .hot = true, .confirm = true, .copied = true, .children = 1},
    {"copied.strict", .hot = true, .confirm = true, .strict = true, .copied = true, .children = 1},
};

/* What a child's state is worth in the end, … */
enum worth { ANEW, /* it began anew, and nobody keeps what was */ OLD, ALL, WORTHS };
/* … and where it was when the fault struck. */
enum stage { RUNS, SAVING, SENT, TAKEN, ANSWERED, ACKNOWLEDGED, STAGES };

static const char *const worths[] = {[ANEW] = "anew", [OLD] = "old", [ALL] = "all"};
static const char *const stages[] = {
    [RUNS] = "runs",   [SAVING] = "saving",     [SENT] = "sent",
    [TAKEN] = "taken", [ANSWERED] = "answered", [ACKNOWLEDGED] = "acknowledged"};
static const char *const losses[] = {
    [SIM_LOSES_NOTHING] = "nothing",
    [SIM_LOSES_SOURCE] = "source",
    [SIM_LOSES_TARGET] = "target",
    [SIM_LOSES_SOURCE_LEASE] = "source's lease",
    [SIM_LOSES_TARGET_LEASE] = "target's lease",
    [SIM_LOSES_EITHER_LEASE] = "either's lease",
    [SIM_LOSES_SOURCE_INSTANCE] = "source's instance",
    [SIM_LOSES_TARGET_INSTANCE] = "target's instance",
    [SIM_LOSES_STATE] = "its state",
};

/* A case, by its numbers. */
struct act {
    const struct world *world;
    const struct sim_fault *fault; /* NULL: none */
    enum sim_place place;
    uint64_t seed, point;
};

struct outcome {
    bool failed, idle; /* idle: there was nothing to strike */
    uint64_t hash;
    enum worth worth;
    enum stage stage;
    enum sim_cost loss;
    char reason[1024];
};

/* What had been done before each step of the run without a fault. */
struct points {
    uint64_t count;
    struct sim_planted before[POINTS_MAX + 1];
};

struct totals {
    uint64_t cases, points, failed, number, hash;
    uint64_t seen[SIM_LOSSES][STAGES][WORTHS];
};

/* ---- The world ------------------------------------------------------------------------------ */

static void configure(struct sim_config *config, const struct world *world, struct ph_prng *prng)
{
    static const uint64_t timeouts[] = {15000, 1200, 100};
    *config = (struct sim_config){
        .nodes = 3,
        .ids = world->children,
        .majority = world->strict,
        .strict = world->strict,
        .heartbeat_ms = 500,
        .dead_after_ms = 3000,
        .lease_ms = 2500,
        .migrate_timeout_ms = timeouts[ph_prng_below(prng, PH_COUNT_OF(timeouts))],
        .in_flight = 16384,
        .hot = world->hot,
        .hot_confirm = world->confirm,
        .hot_child_ms = 2000,
        .hot_state_ms = 1000,
        .hot_retention_ms = 5000,
        .window_bytes = 4 << 20,
        .chunk_bytes = 64 << 10,
        .queue_bytes = 256 << 20,
        .delay_us = sim_between(prng, 500, 4000),
        .start_us = sim_between(prng, 500, 4000),
        .drifts = true,
        .ballast = world->copied ? BALLAST_BYTES : 0,
        .hot_precopy = world->copied ? BALLAST_BYTES / 2 : 0,
    };
}

struct ph_spec *sim_play_spec(const char *variant)
{
    struct ph_spec *spec = ph_spec_create();
    struct ph_error error = {0};
    int rc = ph_spec_set(spec, "module", "simulated", &error);
    rc |= ph_spec_set(spec, "restart", "permanent", &error);
    rc |= ph_spec_set(spec, "meta.variant", variant, &error);
    ph_assert(rc == 0);
    return spec;
}

static const struct ph_entry *entry_of(const struct sim_hub *hub, unsigned id)
{
    char name[16];
    sim_id_name(id, name);
    return hub ? ph_directory_find_rcu(hub->hub.directory, name, strlen(name)) : NULL;
}

static struct sim_hub *hub_of(const struct sim_play *play, enum sim_place place)
{
    return play->sim->nodes[play->nodes[place]].hub;
}

/* The source is where the first child belongs by itself: should the target be lost, it falls to the
 * source again. */
static bool set_up(struct sim_play *play)
{
    struct sim *sim = play->sim;
    unsigned asked = (unsigned)ph_prng_below(&sim->draw, 3);
    bool turned = sim_chance(&sim->draw, 500);
    if (!sim_settle(sim))
        return false;
    for (unsigned id = 0; id < play->children; id++)
        sim_workload_replace(sim->nodes[0].hub, id, sim_play_spec("a"));
    if (!sim_settle(sim))
        return false;
    unsigned source = 0;
    while (source < sim->config.nodes && !sim->oracle->acting[0][source])
        source++;
    ph_assert(source < sim->config.nodes);
    play->nodes[SIM_SOURCE] = source;
    play->nodes[SIM_TARGET] = (source + 1 + turned) % 3;
    play->nodes[SIM_BYSTANDER] = (source + 2 - turned) % 3;
    play->asker = play->nodes[asked];
    play->goal = play->other_goal = play->nodes[SIM_TARGET];
    for (unsigned id = 1; id < play->children; id++)
        sim_workload_pin(sim->nodes[0].hub, id, source);
    if (play->children > 1 && !sim_settle(sim))
        return false;
    for (unsigned id = 0; id < play->children; id++)
        sim_play_instance(play, id, SIM_SOURCE)->counter = STATE;
    return true;
}

/* ---- The handover --------------------------------------------------------------------------- */

struct speaker {
    struct sim_item item; /* first */
    struct sim_play *play;
};

/* The target runs it, and all know it and nothing else. */
static bool has_moved(const struct sim_play *play, unsigned id)
{
    for (enum sim_place place = SIM_SOURCE; place <= SIM_BYSTANDER; place++) {
        const struct sim_hub *hub = hub_of(play, place);
        const struct ph_entry *entry = entry_of(hub, id);
        const struct ph_placement *only = entry ? ph_entry_first_rcu(entry) : NULL;
        struct ph_placed placed;
        if (!only || ph_placement_next_rcu(only) || entry->move)
            return false;
        ph_placement_read_rcu(only, &placed);
        const char *on = hub->hub.cluster->members[only->member]->info.name;
        if (placed.state != PH_STATE_RUNNING ||
            strcmp(on, play->sim->nodes[play->nodes[SIM_TARGET]].name) != 0)
            return false;
    }
    return true;
}

static bool all_moved(const struct sim_play *play)
{
    bool moved = true;
    for (unsigned id = 0; id < play->children; id++)
        moved &= has_moved(play, id);
    return moved;
}

/* Each node says something to each child, again and again until it has moved. */
static void speak(struct sim *sim, struct sim_item *item)
{
    struct sim_play *play = ph_container_of(item, struct speaker, item)->play;
    bool moved = all_moved(play), done = true;
    for (enum sim_place place = SIM_SOURCE; place <= SIM_BYSTANDER && !moved; place++) {
        struct sim_hub *hub = hub_of(play, place);
        if (!hub || hub->node->paused_until_us > sim->now_us || play->letters[place] == LETTERS)
            continue;
        if (sim_chance(&sim->requests, 500))
            sim_workload_mail(hub, play->letters[place]++ % play->children);
        done = false;
    }
    if (done) {
        ph_free(item);
        return;
    }
    item->tie = 0;
    sim_at(sim, sim->now_us + sim_exponential(&sim->requests, sim->config.delay_us / 2), item);
}

static void begin(struct sim_play *play)
{
    struct sim *sim = play->sim;
    struct speaker *speaker = ph_alloc(sizeof *speaker);
    sim_note(sim, NULL, "handover", "from n%u to n%u, asked for at n%u", play->nodes[SIM_SOURCE],
             play->nodes[SIM_TARGET], play->asker);
    speaker->item.act = speak;
    speaker->play = play;
    sim_at(sim, sim->now_us, &speaker->item);
    for (unsigned id = 0; id < play->children; id++)
        sim_workload_pin(sim->nodes[play->asker].hub, id, play->nodes[SIM_TARGET]);
}

static bool is_over(const struct sim_play *play)
{
    for (uint64_t number = 1; number <= play->sim->messages; number++)
        if (!play->sim->oracle->letters[number].handled)
            return false;
    return !play->sim->pending && all_moved(play);
}

/* What is left of it when nothing strikes: `points` tells of each step. */
static bool count_points(struct sim_play *play, struct points *points)
{
    while (!is_over(play) && points->count < POINTS_MAX) {
        points->before[points->count++] = play->sim->planted;
        if (!sim_step(play->sim))
            return false;
    }
    points->before[points->count] = play->sim->planted;
    if (points->count == POINTS_MAX)
        sim_fail(play->sim, "the handover is not over after %d steps", POINTS_MAX);
    return !play->sim->failed;
}

static enum stage stage_of(const struct sim_play *play, unsigned id)
{
    const struct ph_entry *source = entry_of(hub_of(play, SIM_SOURCE), id);
    const struct ph_entry *target = entry_of(hub_of(play, SIM_TARGET), id);
    if (!source || !source->child)
        return ACKNOWLEDGED;
    if (!source->move || source->move->phase == PH_MOVE_PREPARING ||
        source->move->phase == PH_MOVE_COPYING)
        return RUNS;
    if (source->move->phase == PH_MOVE_SAVING)
        return SAVING;
    if (!target || !target->child || ph_move_stands_by(target))
        return SENT;
    return target->move ? TAKEN : ANSWERED;
}

/* ---- What is owed --------------------------------------------------------------------------- */

/*
 * What a child's state is worth at least, by what is lost at which stage: the crash table of a
 * handover. The source keeps the truth until the target has acknowledged: so before that nothing is
 * lost with the target, and what is lost with the source is what nobody else has. An answer that is
 * on its way may come although the target is lost. Who loses its lease goes on speaking, and ends
 * what it runs.
 *
 *   ALL   all that it had and all that it has handled, in the instance or in a conflict store
 *   OLD   what it had when it was handed over
 *   ANEW  the only copy may be lost: it begins anew
 *
 * Under `diverge` nobody loses a lease: who is cut off goes on, and what two sides have is joined.
 */
static const enum worth owed[2][SIM_LOSSES][STAGES] = {
    {
        [SIM_LOSES_NOTHING] = {ALL, ALL, ALL, ALL, ALL, ALL},
        [SIM_LOSES_SOURCE] = {ANEW, ANEW, ANEW, ALL, ALL, ALL},
        [SIM_LOSES_TARGET] = {ALL, ALL, ALL, OLD, ANEW, ANEW},
        [SIM_LOSES_SOURCE_LEASE] = {ALL, ALL, ALL, ALL, ALL, ALL},
        [SIM_LOSES_TARGET_LEASE] = {ALL, ALL, ALL, ALL, ALL, ALL},
        [SIM_LOSES_EITHER_LEASE] = {ALL, ALL, ALL, ALL, ALL, ALL},
        [SIM_LOSES_SOURCE_INSTANCE] = {ANEW, ANEW, ALL, ALL, ALL, ALL},
        [SIM_LOSES_TARGET_INSTANCE] = {ALL, ALL, ALL, ANEW, ANEW, ANEW},
    },
    {
        [SIM_LOSES_NOTHING] = {ALL, ALL, ALL, ALL, ALL, ALL},
        [SIM_LOSES_SOURCE] = {ANEW, ANEW, ANEW, ALL, ALL, ALL},
        [SIM_LOSES_TARGET] = {ALL, ALL, ALL, OLD, ANEW, ANEW},
        [SIM_LOSES_SOURCE_LEASE] = {ANEW, ANEW, ANEW, ALL, ALL, ALL},
        [SIM_LOSES_TARGET_LEASE] = {ALL, ALL, ANEW, ANEW, ANEW, ANEW},
        [SIM_LOSES_SOURCE_INSTANCE] = {ANEW, ANEW, ALL, ALL, ALL, ALL},
        [SIM_LOSES_TARGET_INSTANCE] = {ALL, ALL, ALL, ANEW, ANEW, ANEW},
    },
};

/* After a hot move the source keeps the state for a while, should the child fall to it again; the
 * first one does. */
static enum worth owed_for(const struct sim_play *play, unsigned id, enum sim_cost loss,
                           enum stage stage)
{
    bool kept = play->sim->config.hot && id == 0 && loss == SIM_LOSES_TARGET;
    enum worth worth = owed[play->sim->config.strict][loss][stage];
    return kept && worth < OLD ? OLD : worth;
}

/* A node that nothing has struck has lost its quorum: while not all have noticed that one is
 * silent, or is back, the view may be formed with that one and without another. */
static bool has_left_out(const struct sim_play *play, enum sim_place struck)
{
    for (enum sim_place place = SIM_SOURCE; place <= SIM_BYSTANDER; place++)
        if (place != struck && play->sim->nodes[play->nodes[place]].fences != play->fences[place])
            return true;
    return false;
}

/* Unconfirmed, the source has let go when the target cannot load the state. */
static enum sim_cost loss_of(const struct sim_play *play, const struct act *act)
{
    if (!act->fault)
        return SIM_LOSES_NOTHING;
    if (act->fault->silent && has_left_out(play, act->place))
        return SIM_LOSES_EITHER_LEASE;
    if (act->fault->next_start && !act->world->confirm)
        return SIM_LOSES_STATE;
    return act->fault->loss[act->place];
}

static uint64_t handled_by(const struct sim *sim, unsigned id)
{
    uint64_t handled = 0;
    for (uint64_t number = 1; number <= sim->messages; number++)
        handled += sim->oracle->letters[number].id == id && sim->oracle->letters[number].handled;
    return handled;
}

/* All that the instance has, and what is in conflict stores beside it. */
static enum worth worth_of(const struct sim *sim, unsigned id)
{
    uint64_t counted = 0;
    bool old = false;
    for (const struct sim_instance *at = sim->instances; at; at = at->next) {
        if (at->id != id || (at->ended && !at->stored))
            continue;
        counted += at->counter;
        old |= at->counter >= STATE;
    }
    if (old && counted >= STATE + handled_by(sim, id))
        return ALL;
    return old ? OLD : ANEW;
}

static bool is_pinned_to(const struct sim_play *play, const struct ph_entry *entry, unsigned node)
{
    const char *name = play->sim->nodes[node].name;
    uint64_t pin =
        atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->pin, memory_order_relaxed);
    return ph_pin_is_to(pin, ph_name_hash(name, strlen(name)));
}

/* Was the request refused, since the target had gone just before? */
static bool is_refused(const struct sim_play *play, unsigned id)
{
    const struct ph_entry *entry = entry_of(play->sim->nodes[play->asker].hub, id);
    return entry && !is_pinned_to(play, entry, play->goal) &&
           !is_pinned_to(play, entry, play->other_goal);
}

static void check_place(const struct sim_play *play, unsigned id, bool wanted)
{
    struct sim *sim = play->sim;
    unsigned instances = 0, on = SIM_NODES_MAX;
    for (const struct sim_instance *at = sim->instances; at; at = at->next) {
        if (at->id != id || at->ended)
            continue;
        instances++;
        on = at->node->index;
    }
    if (instances != wanted)
        sim_fail(sim, "c%u runs %u times after its handover%s", id, instances,
                 wanted ? "" : ", and was stopped");
    else if (wanted && on != play->goal && on != play->other_goal && !play->asker_lost &&
             !is_refused(play, id))
        sim_fail(sim, "c%u runs on n%u after its handover to n%u", id, on, play->goal);
}

static void check_mail(struct sim *sim)
{
    for (uint64_t number = 1; number <= sim->messages; number++)
        if (!sim->oracle->letters[number].handled)
            sim_fail(sim, "message %llu of n%u is not handled, and nothing was lost",
                     (unsigned long long)number, sim->oracle->letters[number].node);
}

static void check_owed(struct sim_play *play, enum sim_cost loss, const enum stage *at,
                       struct outcome *outcome)
{
    struct sim *sim = play->sim;
    outcome->loss = loss;
    outcome->worth = ALL;
    outcome->stage = at[0];
    for (unsigned id = 0; id < play->children; id++) {
        check_place(play, id, loss != SIM_LOSES_CHILD);
        enum worth worth = worth_of(sim, id), least = owed_for(play, id, loss, at[id]);
        if (worth < least)
            sim_fail(sim, "the state of c%u is worth '%s', and '%s' is owed: struck when '%s'", id,
                     worths[worth], worths[least], stages[at[id]]);
        if (worth < outcome->worth) {
            outcome->worth = worth;
            outcome->stage = at[id];
        }
    }
    if (sim->config.hot_confirm && (!play->fault || play->fault->mail))
        check_mail(sim);
}

/* ---- A case --------------------------------------------------------------------------------- */

static bool step_until(struct sim_play *play, uint64_t until_us)
{
    while (play->sim->now_us < until_us)
        if (!sim_step(play->sim))
            return false;
    return true;
}

static bool wait_for_ends(struct sim_play *play)
{
    uint64_t until_us = play->sim->now_us + (uint64_t)END_S * 1000000;
    while (!sim_play_ended(play) && play->sim->now_us < until_us)
        if (!sim_step(play->sim))
            return false;
    if (!sim_play_ended(play))
        sim_fail(play->sim, "a hub has not ended after %d s", END_S);
    return !play->sim->failed;
}

static void play_out(struct sim_play *play, const struct act *act, struct points *points,
                     struct outcome *outcome)
{
    struct sim *sim = play->sim;
    enum stage at[SIM_IDS_MAX] = {RUNS};
    if (!set_up(play))
        return;
    sim->canary = play->canary;
    begin(play);
    if (points && !count_points(play, points))
        return;
    for (uint64_t i = 0; i < act->point; i++)
        if (!sim_step(sim))
            return;
    if (act->fault) {
        for (unsigned id = 0; id < play->children; id++)
            at[id] = stage_of(play, id);
        for (enum sim_place place = SIM_SOURCE; place <= SIM_BYSTANDER; place++)
            play->fences[place] = sim->nodes[play->nodes[place]].fences;
        sim_note(sim, NULL, "strike", "%s.%s, c0 is '%s'", sim_places[act->place], act->fault->name,
                 stages[at[0]]);
        outcome->idle = !act->fault->strike(play, act->place);
        if (outcome->idle || !step_until(play, sim->now_us + act->fault->lasts_ms * 1000) ||
            !wait_for_ends(play))
            return;
    }
    sim_note(sim, NULL, "heal", "%s", "");
    sim->healing = true;
    sim_heal(sim);
    if (sim_settle(sim))
        check_owed(play, loss_of(play, act), at, outcome);
}

static void run_act(const struct act *act, bool canary, struct points *points,
                    struct sim_report *report, struct outcome *outcome)
{
    struct sim *sim = ph_alloc(sizeof *sim);
    struct sim_play play = {
        .sim = sim,
        .fault = act->fault,
        .children = act->world->children,
        .canary = canary,
    };
    struct sim_config config;
    ph_prng_init(&sim->draw, act->seed * 8);
    configure(&config, act->world, &sim->draw);
    sim->report = report;
    sim_create(sim, act->seed, &config);
    sim_note_config(sim);
    *outcome = (struct outcome){0};
    struct points *own = act->fault || points ? NULL : ph_alloc(sizeof *own);
    play_out(&play, act, own ? own : points, outcome);
    ph_free(own);
    outcome->hash = report->hash;
    outcome->failed = sim->failed;
    snprintf(outcome->reason, sizeof outcome->reason, "%s", report->reason);
    sim_destroy(sim);
    ph_free(sim);
}

/* ---- What people see ------------------------------------------------------------------------ */

static void name_act(const struct act *act, char name[SIM_CASE_MAX])
{
    snprintf(name, SIM_CASE_MAX, "%s/%s%s%s/%llu", act->world->name,
             act->fault ? sim_places[act->place] : "", act->fault ? "." : "",
             act->fault ? act->fault->name : "none", (unsigned long long)act->point);
}

/* The same case again, with its last lines. */
static void print_narrative(const struct sim_handovers *options, const struct act *act)
{
    struct outcome outcome;
    struct sim_report *report = sim_report_create(false, true);
    run_act(act, options->canary, NULL, report, &outcome);
    size_t shown = report->kept_count < LINES_SHOWN ? report->kept_count : LINES_SHOWN;
    sim_report_print(report, shown);
    sim_report_destroy(report);
}

static void print_outcome(const struct sim_handovers *options, const struct act *act,
                          const struct outcome *outcome, bool first)
{
    char name[SIM_CASE_MAX];
    name_act(act, name);
    if (outcome->failed) {
        if (first && !options->narrates && !options->quiet)
            print_narrative(options, act);
        printf("FAIL: %s\nreplay: prochub-sim --handovers --seed %llu --case %s%s --narrative\n",
               outcome->reason, (unsigned long long)act->seed, name,
               options->canary ? " --canary" : "");
    }
    if (outcome->failed || options->only)
        printf("case=%s seed=%llu trace=%016llx result=%s\n", name, (unsigned long long)act->seed,
               (unsigned long long)outcome->hash,
               outcome->idle     ? "idle"
               : outcome->failed ? "FAIL"
                                 : "ok");
    fflush(stdout);
}

/* What is owed, and how often it came out as all, old and anew. */
static void print_table(const struct totals *totals)
{
    printf("%-18s", "lost, struck when");
    for (enum stage stage = 0; stage < STAGES; stage++)
        printf(" %-22s", stages[stage]);
    for (enum sim_cost loss = 0; loss < SIM_LOSES_CHILD; loss++) {
        printf("\n%-18s", losses[loss]);
        for (enum stage stage = 0; stage < STAGES; stage++) {
            const uint64_t *seen = totals->seen[loss][stage];
            printf(" %-4s %5llu %5llu %5llu", worths[owed[1][loss][stage]],
                   (unsigned long long)seen[ALL], (unsigned long long)seen[OLD],
                   (unsigned long long)seen[ANEW]);
        }
    }
    printf("\n");
}

/* ---- All cases ------------------------------------------------------------------------------ */

static void try_act(const struct sim_handovers *options, const struct act *act,
                    struct points *points, struct totals *totals)
{
    struct outcome outcome, again;
    struct sim_report *report = sim_report_create(options->narrates, false);
    name_act(act, options->running);
    *options->running_seed = act->seed;
    run_act(act, options->canary, points, report, &outcome);
    sim_report_destroy(report);
    if (!outcome.failed && !options->narrates && totals->cases % TWICE_ONE_IN == 0) {
        report = sim_report_create(false, false);
        run_act(act, options->canary, NULL, report, &again);
        sim_report_destroy(report);
        outcome.failed = again.hash != outcome.hash;
        if (outcome.failed)
            snprintf(outcome.reason, sizeof outcome.reason,
                     "the same case gave another history: %016llx", (unsigned long long)again.hash);
    }
    print_outcome(options, act, &outcome, totals->failed == 0);
    if (outcome.idle && !outcome.failed)
        return;
    totals->cases++;
    totals->failed += outcome.failed;
    totals->hash = totals->hash * 31 + outcome.hash;
    if (act->fault && !outcome.failed)
        totals->seen[outcome.loss][outcome.stage][outcome.worth]++;
}

/* One that waits for the next save or start strikes right before it. */
static bool is_chosen(const struct act *act, const struct points *points)
{
    const struct sim_planted *before = &points->before[act->point];
    bool last = act->point == points->count;
    if (act->fault->next_save)
        return !last && before[0].saves != before[1].saves;
    if (act->fault->next_start)
        return !last && before[0].starts != before[1].starts;
    return true;
}

static bool stops(const struct sim_handovers *options, const struct totals *totals)
{
    return options->stops && totals->failed;
}

/* All points of one fault at one place. */
static void try_points(const struct sim_handovers *options, struct act *act, struct points *points,
                       struct totals *totals)
{
    for (act->point = 0; act->point <= points->count && !stops(options, totals); act->point++)
        if (is_chosen(act, points) && totals->number++ % options->share == 0)
            try_act(options, act, NULL, totals);
}

static void try_world(const struct sim_handovers *options, const struct world *world, uint64_t seed,
                      struct totals *totals)
{
    struct points *points = ph_alloc(sizeof *points);
    struct act act = {.world = world, .seed = seed};
    try_act(options, &act, points, totals);
    totals->points += points->count;
    for (unsigned i = 0; i < sim_fault_count && !stops(options, totals); i++) {
        act.fault = &sim_faults[i];
        for (act.place = 0; act.place < SIM_PLACES; act.place++)
            if (act.fault->places >> act.place & 1)
                try_points(options, &act, points, totals);
    }
    ph_free(points);
}

/* WORLD/PLACE.FAULT/POINT, or WORLD/none/POINT. */
static bool read_act(const char *text, struct act *act)
{
    char name[SIM_CASE_MAX];
    const char *last = strrchr(text, '/');
    char *end;
    if (!last || last[1] < '0' || last[1] > '9')
        return false;
    act->point = strtoull(last + 1, &end, 10);
    if (*end || act->point > POINTS_MAX)
        return false;
    for (size_t w = 0; w < PH_COUNT_OF(worlds); w++) {
        act->world = &worlds[w];
        act->fault = NULL;
        name_act(act, name);
        if (strcmp(name, text) == 0)
            return true;
        for (unsigned i = 0; i < sim_fault_count; i++) {
            act->fault = &sim_faults[i];
            for (act->place = 0; act->place < SIM_PLACES; act->place++) {
                name_act(act, name);
                if (act->fault->places >> act->place & 1 && strcmp(name, text) == 0)
                    return true;
            }
        }
    }
    return false;
}

int sim_handovers_run(const struct sim_handovers *options)
{
    struct totals totals = {0};
    struct act act = {.seed = options->seed};
    if (options->only) {
        if (!read_act(options->only, &act))
            return 2;
        try_act(options, &act, NULL, &totals);
        return totals.failed ? 1 : 0;
    }
    for (uint64_t i = 0; i < options->seeds; i++)
        for (size_t w = 0; w < PH_COUNT_OF(worlds) && !stops(options, &totals); w++)
            try_world(options, &worlds[w], options->seed + i, &totals);
    if (!options->quiet)
        print_table(&totals);
    printf("%llu cases at %llu points of %llu worlds, %llu failed, trace=%016llx\n",
           (unsigned long long)totals.cases, (unsigned long long)totals.points,
           (unsigned long long)(options->seeds * PH_COUNT_OF(worlds)),
           (unsigned long long)totals.failed, (unsigned long long)totals.hash);
    return totals.failed ? 1 : 0;
}
