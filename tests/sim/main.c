/* prochub-sim: see sim.h for what it is. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tests/sim/checks.h"
#include "tests/sim/handover.h"
#include "tests/sim/report.h"
#include "tests/sim/sim.h"
#include "tests/sim/workload.h"

enum {
    TWICE_ONE_IN = 20, /* so many seeds are run twice */
    LINES_SHOWN = 100,
};

struct options {
    uint64_t seed, steps, seeds, minutes, share;
    unsigned nodes;
    bool canary, narrates, quiet, stops; /* stops: at the first failure */
    bool handovers;
    const char *only; /* one case of the handovers */
};

/* What a crash has to tell before the process ends. */
static struct {
    uint64_t seed, steps;
    char handover[SIM_CASE_MAX]; /* "": no such case */
} running;

struct outcome {
    uint64_t hash, steps, faults, now_us;
    bool failed;
    char reason[1024];
};

/* ---- One run ------------------------------------------------------------------------------- */

static bool step_for(struct sim *sim, uint64_t steps)
{
    while (steps--)
        if (!sim_step(sim))
            return false;
    return true;
}

static bool step_until(struct sim *sim, uint64_t until_us)
{
    while (sim->now_us < until_us)
        if (!sim_step(sim))
            return false;
    return true;
}

static void run(struct sim *sim)
{
    sim_workload_begin(sim);
    sim_faults_begin(sim);
    if (!step_for(sim, sim->config.steps))
        return;
    if (sim->config.absence && !step_until(sim, sim_absence_begin(sim)))
        return;
    sim_note(sim, NULL, "heal", "%s", "");
    sim->healing = true;
    sim_heal(sim);
    sim_workload_end(sim);
    if (!sim_settle(sim) || !sim->config.calm_steps)
        return;
    sim_note(sim, NULL, "calm", "%s", "");
    sim_workload_calm(sim);
    if (!step_for(sim, sim->config.calm_steps))
        return;
    sim_workload_end(sim);
    sim_settle(sim);
}

static void run_seed(const struct options *options, struct sim_report *report,
                     struct outcome *outcome)
{
    struct sim *sim = ph_alloc(sizeof *sim);
    struct sim_config config;
    sim_draw(&config, options->seed, options->nodes, options->steps);
    if (options->canary)
        sim_make_canary(&config);
    running.seed = options->seed;
    running.steps = config.steps;
    sim->report = report;
    sim->canary = options->canary;
    sim_create(sim, options->seed, &config);
    sim_note_config(sim);
    run(sim);
    *outcome = (struct outcome){.hash = report->hash,
                                .steps = config.steps,
                                .faults = sim->fault_count,
                                .now_us = sim->now_us,
                                .failed = sim->failed};
    snprintf(outcome->reason, sizeof outcome->reason, "%s", report->reason);
    sim_destroy(sim);
    ph_free(sim);
}

/* ---- What people see ------------------------------------------------------------------------ */

static void print_replay(const struct options *options, const struct outcome *outcome)
{
    printf("FAIL: %s\nreplay: prochub-sim --seed %llu --steps %llu", outcome->reason,
           (unsigned long long)options->seed, (unsigned long long)outcome->steps);
    if (options->nodes)
        printf(" --nodes %u", options->nodes);
    printf("%s --narrative\n", options->canary ? " --canary" : "");
}

/* The same run again, with its last lines. */
static void print_narrative(const struct options *options)
{
    struct outcome outcome;
    struct sim_report *report = sim_report_create(false, true);
    run_seed(options, report, &outcome);
    size_t shown = report->kept_count < LINES_SHOWN ? report->kept_count : LINES_SHOWN;
    sim_report_print(report, shown);
    sim_report_destroy(report);
}

static void print_result(const struct options *options, const struct outcome *outcome)
{
    printf("seed=%llu steps=%llu faults=%llu trace=%016llx result=%s\n",
           (unsigned long long)options->seed, (unsigned long long)outcome->steps,
           (unsigned long long)outcome->faults, (unsigned long long)outcome->hash,
           outcome->failed ? "FAIL" : "ok");
    fflush(stdout);
}

/* Runs one seed, some of them twice; true when all was well. */
static bool try_seed(const struct options *options, struct outcome *outcome)
{
    struct sim_report *report = sim_report_create(options->narrates, false);
    run_seed(options, report, outcome);
    sim_report_destroy(report);
    if (!outcome->failed && !options->narrates && options->seed % TWICE_ONE_IN == 0) {
        struct outcome again;
        report = sim_report_create(false, false);
        run_seed(options, report, &again);
        sim_report_destroy(report);
        if (again.hash != outcome->hash) {
            outcome->failed = true;
            snprintf(outcome->reason, sizeof outcome->reason,
                     "the same seed gave another history: %016llx", (unsigned long long)again.hash);
        }
    }
    if (outcome->failed) {
        if (!options->narrates && !options->quiet)
            print_narrative(options);
        print_replay(options, outcome);
    }
    return !outcome->failed;
}

static int run_all(struct options options)
{
    struct outcome outcome;
    uint64_t began_ms = ph_now_ms(), failed = 0, count = 0, faults = 0, virtual_us = 0;
    bool many = options.seeds > 1 || options.minutes;
    do {
        bool ok = try_seed(&options, &outcome);
        failed += !ok;
        count++;
        faults += outcome.faults;
        virtual_us += outcome.now_us;
        if (!many || !ok)
            print_result(&options, &outcome);
        options.seed++;
        if (!ok && options.stops)
            break;
    } while (options.minutes ? ph_now_ms() - began_ms < options.minutes * 60000
                             : count < options.seeds);
    if (many)
        printf("%llu seeds, %llu failed, %.1f hours of clusters, %llu faults\n",
               (unsigned long long)count, (unsigned long long)failed, (double)virtual_us / 3.6e9,
               (unsigned long long)faults);
    return failed ? 1 : 0;
}

/* ---- The command line ----------------------------------------------------------------------- */

/* An assertion failed. Only what may be called in a handler. */
static void tell_seed(int number)
{
    char text[400];
    int length = snprintf(text, sizeof text,
                          "replay: prochub-sim --handovers --seed %llu --case %s --narrative\n"
                          "case=%s seed=%llu trace=0 result=FAIL\n",
                          (unsigned long long)running.seed, running.handover, running.handover,
                          (unsigned long long)running.seed);
    if (!running.handover[0])
        length = snprintf(text, sizeof text,
                          "replay: prochub-sim --seed %llu --steps %llu --narrative\n"
                          "seed=%llu steps=%llu faults=0 trace=0 result=FAIL\n",
                          (unsigned long long)running.seed, (unsigned long long)running.steps,
                          (unsigned long long)running.seed, (unsigned long long)running.steps);
    ssize_t written = write(STDOUT_FILENO, text, (size_t)length);
    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

static bool read_number(const char *text, uint64_t *number)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static const char help[] =
    "usage: prochub-sim [--seed N] [--steps M] [--nodes K] [--seeds N | --minutes N]\n"
    "                   [--narrative] [--quiet] [--stop] [--canary]\n"
    "       prochub-sim --handovers [--seed N] [--seeds N] [--share N] [--case NAME]\n"
    "                   [--narrative] [--quiet] [--stop] [--canary]\n"
    "\n"
    "Runs hubs of several nodes on virtual time, with faults drawn from the seed, and checks "
    "them.\n"
    "  --seed N       the seed, or the first of them (1)\n"
    "  --steps M      end the faults after that many steps\n"
    "  --nodes K      that many nodes; else drawn from the seed\n"
    "  --seeds N      so many seeds in turn\n"
    "  --minutes N    seeds in turn for so long\n"
    "  --narrative    print every event\n"
    "  --quiet        print no line for a seed that is fine\n"
    "  --stop         end with the first failure\n"
    "  --canary       plant a bug: must fail\n"
    "\n"
    "  --handovers    each fault at each step of a handover; the seed is that of the wire\n"
    "  --share N      every Nth case\n"
    "  --case NAME    one case, as a failure names it\n";

static int usage(const char *what)
{
    fprintf(stderr, "prochub-sim: %s\n%s", what, help);
    return 2;
}

static const char *read_options(int argc, char **argv, struct options *options)
{
    uint64_t nodes = 0;
    struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"--seed", &options->seed},   {"--steps", &options->steps},
                   {"--seeds", &options->seeds}, {"--minutes", &options->minutes},
                   {"--share", &options->share}, {"--nodes", &nodes}};
    for (int i = 1; i < argc; i++) {
        size_t n = 0;
        while (n < PH_COUNT_OF(numbers) && strcmp(argv[i], numbers[n].name) != 0)
            n++;
        if (n < PH_COUNT_OF(numbers)) {
            if (++i == argc || !read_number(argv[i], numbers[n].value))
                return "an option needs a decimal number";
        } else if (strcmp(argv[i], "--case") == 0 && i + 1 < argc) {
            options->only = argv[++i];
        } else if (strcmp(argv[i], "--handovers") == 0) {
            options->handovers = true;
        } else if (strcmp(argv[i], "--canary") == 0) {
            options->canary = true;
        } else if (strcmp(argv[i], "--narrative") == 0) {
            options->narrates = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            options->quiet = true;
        } else if (strcmp(argv[i], "--stop") == 0) {
            options->stops = true;
        } else {
            return "unknown option";
        }
    }
    if (nodes && (nodes < 2 || nodes > SIM_NODES_MAX))
        return "--nodes takes 2 to 32";
    if (!options->share)
        return "--share takes 1 or more";
    options->nodes = (unsigned)nodes;
    return NULL;
}

static int run_handovers(const struct options *options)
{
    const struct sim_handovers handovers = {
        .seed = options->seed,
        .seeds = options->seeds,
        .share = options->share,
        .only = options->only,
        .canary = options->canary,
        .narrates = options->narrates,
        .quiet = options->quiet,
        .stops = options->stops,
        .running_seed = &running.seed,
        .running = running.handover,
    };
    int rc = sim_handovers_run(&handovers);
    return rc == 2 ? usage("there is no such case") : rc;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .seeds = 1, .share = 1};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    const char *wrong = read_options(argc, argv, &options);
    if (wrong)
        return usage(wrong);
    signal(SIGABRT, tell_seed);
    signal(SIGSEGV, tell_seed);
    return options.handovers ? run_handovers(&options) : run_all(options);
}
