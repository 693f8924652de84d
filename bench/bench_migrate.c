/*
 * migrate: children with 64 bytes of state moved from one node to another, both over links on
 * loopback, by one request; done when all of them run there and are forgotten here.
 *
 * The ceiling is the bare pipeline of as many records with as much state.
 */
#include "bench/peers.h"
#include "bench/pipeline.h"
#include "engine/base.h"
#include "engine/waiter.h"

enum { STATE_BYTES = PH_PIPELINE_STATE_MAX };

static int measure_ours(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
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
        rc = ph_peers_migrate(&peers, setup->children, "a", error);
    if (rc == 0)
        rc = ph_peers_settle(&peers, error);
    if (rc)
        return rc;
    uint64_t start_ns = ph_now_ns();
    rc = ph_peers_migrate(&peers, setup->children, "b", error);
    values[0] = (double)setup->children / ph_stage_since(start_ns);
    return rc;
}

static int measure_ceiling(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    double seconds = 1;
    int rc = ph_pipeline_run(setup->children, STATE_BYTES, &seconds, error);
    values[0] = (double)setup->children / seconds;
    return rc;
}

#define MIGRATE_FIGURES                                        \
    {                                                          \
        {.name = "cold, 64 B of state", .unit = "children/s"}, \
    }

static const struct ph_bench_case cases[] = {
    {.figures = MIGRATE_FIGURES,
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 100000},
};

const struct ph_bench_suite ph_bench_migrate = {
    .name = "migrate",
    .summary = "children moved from one node to another",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
