/*
 * migrate: children moved from one node to another, both over links on loopback.
 *
 * Those with 64 bytes of state by one request; done when all of them run there and are forgotten
 * here. The ceiling is the bare pipeline of as many records with as much state. With --mode hot
 * also how long a child with more state does not answer, and what many of them need (blobs.h).
 */
#include "bench/blobs.h"
#include "bench/peers.h"
#include "bench/pipeline.h"
#include "engine/base.h"
#include "engine/waiter.h"

enum { STATE_BYTES = PH_PIPELINE_STATE_MAX };

static int measure(const struct ph_bench_setup *setup, enum ph_move_mode mode, double *values,
                   struct ph_error *error)
{
    static const char *const keys[] = {"module", "blob", "args", "64", NULL};
    struct ph_peers peers;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_peers_open(&peers, setup, 1, NULL, error);
    if (rc == 0)
        rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_start(&peers.stage, &ids, spec, error);
    /* Half of them are there already: all of them are here before the clock starts. */
    if (rc == 0)
        rc = ph_peers_migrate(&peers, setup->children, "a", mode, error);
    if (rc == 0)
        rc = ph_peers_settle(&peers, error);
    if (rc)
        return rc;
    uint64_t start_ns = ph_now_ns();
    rc = ph_peers_migrate(&peers, setup->children, "b", mode, error);
    values[0] = (double)setup->children / ph_stage_since(start_ns);
    return rc;
}

static int measure_cold(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    return measure(setup, PH_MOVE_COLD, values, error);
}

static int measure_hot(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    return measure(setup, PH_MOVE_HOT, values, error);
}

static int measure_ceiling(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    double seconds = 1;
    int rc = ph_pipeline_run(setup->children, STATE_BYTES, &seconds, error);
    values[0] = (double)setup->children / seconds;
    return rc;
}

#define GAP_OF(size, argument)                                                   \
    static int gap_of_##size(const struct ph_bench_setup *setup, double *values, \
                             struct ph_error *error)                             \
    {                                                                            \
        return ph_blobs_gap(setup, argument, values, error);                     \
    }                                                                            \
    static int bare_##size(const struct ph_bench_setup *setup, double *values,   \
                           struct ph_error *error)                               \
    {                                                                            \
        return ph_blobs_bare_gap(setup, argument, values, error);                \
    }

/* The same when no copy goes ahead of the state. */
#define WHOLE_GAP_OF(size, argument)                                                   \
    static int whole_gap_of_##size(const struct ph_bench_setup *setup, double *values, \
                                   struct ph_error *error)                             \
    {                                                                                  \
        struct ph_bench_setup whole = *setup;                                          \
        whole.hub_option = "hot.precopy=0";                                            \
        return ph_blobs_gap(&whole, argument, values, error);                          \
    }

GAP_OF(kib, "1K")
GAP_OF(mib, "1M")
GAP_OF(mib_64, "64M")
GAP_OF(mib_4, "4M")
WHOLE_GAP_OF(mib_4, "4M")
WHOLE_GAP_OF(mib_64, "64M")

#define GAP_FIGURES(size)                                                                    \
    {                                                                                        \
        [PH_BLOBS_P50] = {.name = "hot, " size ": gap, p50 of", .unit = "ms", .cost = true}, \
        [PH_BLOBS_P99] = {.name = "hot, " size ": gap, p99 of", .unit = "ms", .cost = true}, \
        [PH_BLOBS_MAX] = {.name = "hot, " size ": gap, max of", .unit = "ms", .cost = true}, \
    }

static const struct ph_bench_case cases[] = {
    {.figures = {{.name = "cold, 64 B of state", .unit = "children/s"}},
     .ours = measure_cold,
     .ceiling = measure_ceiling,
     .children = 100000,
     .mode = "cold"},
    {.figures = {{.name = "hot, 64 B of state", .unit = "children/s"}},
     .ours = measure_hot,
     .ceiling = measure_ceiling,
     .children = 100000,
     .mode = "hot"},
    {.figures = GAP_FIGURES("1 KiB"),
     .ours = gap_of_kib,
     .ceiling = bare_kib,
     .children = 500,
     .mode = "hot"},
    {.figures = GAP_FIGURES("1 MiB"),
     .ours = gap_of_mib,
     .ceiling = bare_mib,
     .children = 200,
     .mode = "hot"},
    {.figures = GAP_FIGURES("4 MiB"),
     .ours = gap_of_mib_4,
     .ceiling = bare_mib_4,
     .children = 50,
     .mode = "hot"},
    {.figures = GAP_FIGURES("4 MiB, no copy"),
     .ours = whole_gap_of_mib_4,
     .ceiling = bare_mib_4,
     .children = 50,
     .mode = "hot"},
    {.figures = GAP_FIGURES("64 MiB"),
     .ours = gap_of_mib_64,
     .ceiling = bare_mib_64,
     .children = 10,
     .mode = "hot"},
    {.figures = GAP_FIGURES("64 MiB, no copy"),
     .ours = whole_gap_of_mib_64,
     .ceiling = bare_mib_64,
     .children = 10,
     .mode = "hot"},
    {.figures = {[PH_BLOBS_RATE] = {.name = "hot, 1 MiB each", .unit = "MiB/s"},
                 [PH_BLOBS_SOURCE] = {.name = "hot, 1 MiB each: source's memory",
                                      .unit = "MiB",
                                      .cost = true},
                 [PH_BLOBS_TARGET] = {.name = "hot, 1 MiB each: target's memory",
                                      .unit = "MiB",
                                      .cost = true}},
     .ours = ph_blobs_mass,
     .ceiling = ph_blobs_bare_mass,
     .children = 512,
     .mode = "hot"},
};

const struct ph_bench_suite ph_bench_migrate = {
    .name = "migrate",
    .summary = "children moved from one node to another, cold or with --mode hot",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
