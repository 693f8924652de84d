/*
 * recover: a node with many children is killed; from the moment in which it is declared dead until
 * the last of its children runs on the node that is left.
 *
 * The ceiling is the start of as many children on a node of its own: what has to be done anyway.
 */
#include <stdatomic.h>
#include <string.h>

#include "bench/peers.h"
#include "engine/base.h"
#include "engine/waiter.h"

static const char *const counter_keys[] = {"module", "counter", NULL};

/* When the other node was declared dead; 0: not yet. */
struct death {
    _Atomic uint64_t ns;
};

static void note_death(void *arg, const struct ph_hub *hub, const struct ph_record *record)
{
    struct death *death = arg;
    (void)hub;
    /* Release: pairs with the acquire of who has seen the children run. */
    if (strcmp(record->type, "node_down") == 0)
        atomic_store_explicit(&death->ns, ph_now_ns(), memory_order_release);
}

static int measure_ours(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct death death = {0};
    struct ph_peers peers;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_peers_open(&peers, setup, 1,
                           &(struct ph_peers_trace){.fn = note_death, .arg = &death}, error);
    if (rc == 0)
        rc = ph_stage_spec(counter_keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_start(&peers.stage, &ids, spec, error);
    if (rc == 0)
        rc = ph_peers_migrate(&peers, setup->children, "b", PH_MOVE_ANY, error);
    if (rc == 0)
        rc = ph_peers_settle(&peers, error);
    if (rc)
        return rc;
    ph_peers_kill(&peers, 0);
    rc = ph_peers_wait_running(peers.stage.hub, setup->children, true, error);
    /* Acquire: pairs with note_death. */
    values[0] = ph_stage_since(atomic_load_explicit(&death.ns, memory_order_acquire)) * 1e3;
    return rc;
}

static int measure_ceiling(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_stage_open(&stage, setup, 0, NULL, error);
    if (rc == 0)
        rc = ph_stage_spec(counter_keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc)
        return rc;
    uint64_t start_ns = ph_now_ns();
    rc = ph_stage_start(&stage, &ids, spec, error);
    values[0] = ph_stage_since(start_ns) * 1e3;
    return rc;
}

#define RECOVER_FIGURES                                               \
    {                                                                 \
        {.name = "death to all running", .unit = "ms", .cost = true}, \
    }

static const struct ph_bench_case cases[] = {
    {.figures = RECOVER_FIGURES,
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 10000},
    {.figures = RECOVER_FIGURES,
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 100000,
     .repeated = true},
};

const struct ph_bench_suite ph_bench_recover = {
    .name = "recover",
    .summary = "children of a killed node running again elsewhere",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
