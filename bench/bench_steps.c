/*
 * steps: how long one step of a hub takes at most while children start, come and go.
 *
 * The node does everything else between two steps of a hub, so none may take long. They are short
 * by construction; by the clock some are not, because others have the processor in the middle of
 * them, and so has a thread that only looks at the clock: the ceiling is its longest pause while
 * the same children start and move.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "bench/peers.h"
#include "engine/base.h"
#include "engine/host.h"
#include "engine/stats.h"
#include "engine/waiter.h"

enum { CLOCK, PROCESSOR };

/* Half of the children start on node "a"; the others come, then all go. */
static int play(struct ph_peers *peers, const struct ph_bench_setup *setup, struct ph_error *error)
{
    static const char *const keys[] = {"module", "counter", NULL};
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_start(&peers->stage, &ids, spec, error);
    if (rc == 0)
        rc = ph_peers_migrate(peers, setup->children, "a", PH_MOVE_COLD, error);
    if (rc == 0)
        rc = ph_peers_migrate(peers, setup->children, "b", PH_MOVE_COLD, error);
    return rc;
}

static int measure_ours(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct ph_peers peers;
    struct ph_stats_sum sum;
    int rc = ph_peers_open(&peers, setup, 1, NULL, error);
    if (rc == 0)
        rc = play(&peers, setup, error);
    if (rc)
        return rc;
    ph_stats_read(ph_host_of(peers.stage.hub)->stats, &sum);
    values[CLOCK] = (double)sum.max_ns / 1e6;
    values[PROCESSOR] = (double)sum.max_cpu_ns / 1e6;
    return 0;
}

/* Looks at both clocks until it is told to end. */
struct watcher {
    atomic_bool quit;
    uint64_t pause_ns[2]; /* the longest, by either */
};

static void *watch(void *arg)
{
    struct watcher *watcher = arg;
    uint64_t last[2] = {ph_now_ns(), ph_thread_cpu_ns()};
    while (!atomic_load_explicit(&watcher->quit, memory_order_relaxed)) {
        uint64_t now[2] = {ph_now_ns(), ph_thread_cpu_ns()};
        for (unsigned i = 0; i < 2; i++) {
            if (now[i] - last[i] > watcher->pause_ns[i])
                watcher->pause_ns[i] = now[i] - last[i];
            last[i] = now[i];
        }
    }
    return NULL;
}

static int measure_ceiling(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    struct ph_peers peers;
    struct watcher watcher = {.quit = false};
    pthread_t thread;
    int rc = ph_peers_open(&peers, setup, 1, NULL, error);
    if (rc)
        return rc;
    ph_assert(pthread_create(&thread, NULL, watch, &watcher) == 0);
    rc = play(&peers, setup, error);
    atomic_store_explicit(&watcher.quit, true, memory_order_relaxed);
    pthread_join(thread, NULL);
    values[CLOCK] = (double)watcher.pause_ns[CLOCK] / 1e6;
    values[PROCESSOR] = (double)watcher.pause_ns[PROCESSOR] / 1e6;
    return rc;
}

static const struct ph_bench_case cases[] = {
    {.figures = {[CLOCK] = {.name = "longest step, by the clock, with", .unit = "ms", .cost = true},
                 [PROCESSOR] = {.name = "longest step, processor time, with",
                                .unit = "ms",
                                .cost = true}},
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 100000},
};

const struct ph_bench_suite ph_bench_steps = {
    .name = "steps",
    .summary = "the longest step of a hub while children start and move",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
