#include "bench/stage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/node.h"
#include "engine/prng.h"

enum { PATIENCE_MS = 120000 };

int ph_stage_open(struct ph_stage *stage, const struct ph_bench_setup *setup, unsigned workers,
                  const struct ph_module *module, struct ph_error *error)
{
    const struct ph_node_config config = {
        .name = "bench",
        .keeper_path = setup->keeper_path,
        .workers = workers,
        .seed = 1,
    };
    int rc = ph_node_create(&config, &stage->node, error);
    if (rc == 0 && module)
        rc = ph_module_add(stage->node, module, error);
    if (rc == 0)
        rc = ph_hub_create(stage->node, "bench", NULL, 0, &stage->hub, error);
    return rc;
}

void ph_stage_close(struct ph_stage *stage)
{
    ph_hub_put(stage->hub);
    ph_node_destroy(stage->node);
}

int ph_stage_spec(const char *const *keys, const char *const *argv, struct ph_spec **result,
                  struct ph_error *error)
{
    struct ph_spec *spec = ph_spec_create();
    int rc = 0;
    for (size_t i = 0; rc == 0 && keys[i]; i += 2)
        rc = ph_spec_set(spec, keys[i], keys[i + 1], error);
    for (size_t i = 0; rc == 0 && argv && argv[i]; i++)
        rc = ph_spec_add_arg(spec, argv[i], error);
    if (rc) {
        ph_spec_put(spec);
        return rc;
    }
    *result = spec;
    return 0;
}

int ph_stage_wait(struct ph_op *op, struct ph_error *error)
{
    int rc = ph_op_wait(op, PATIENCE_MS, NULL);
    const struct ph_op_result *result = ph_op_result(op);
    if (rc == 0)
        rc = result->code;
    if (rc)
        ph_error_set(error, rc, "a request of the benchmark failed: %s", result->text);
    ph_op_put(op);
    return rc;
}

int ph_stage_start(struct ph_stage *stage, struct ph_ids *ids, struct ph_spec *spec,
                   struct ph_error *error)
{
    struct ph_op *op;
    int rc = ph_start(stage->hub, ids, spec, NULL, &op, error);
    return rc ? rc : ph_stage_wait(op, error);
}

int ph_stage_wait_fewer(struct ph_stage *stage, uint64_t children, struct ph_error *error)
{
    uint64_t deadline_ms = ph_now_ms() + PATIENCE_MS;
    struct ph_waiter *waiter = ph_waiter_create();
    struct ph_status status;
    ph_status(stage->hub, &status);
    while (status.children >= children && ph_now_ms() < deadline_ms) {
        int rc = ph_wait_change(stage->hub, status.version, PATIENCE_MS, waiter);
        ph_status(stage->hub, &status);
        if (rc)
            break;
    }
    ph_waiter_destroy(waiter);
    if (status.children >= children)
        return ph_error_set(error, PH_ETIMEOUT, "%llu children did not end",
                            (unsigned long long)status.children);
    return 0;
}

int ph_stage_ids(struct ph_ids *ids, uint64_t count, struct ph_error *error)
{
    char range[64];
    snprintf(range, sizeof range, "w-[1..%llu]", (unsigned long long)count);
    return ph_ids_add_range(ids, range, error);
}

double ph_stage_since(uint64_t start_ns)
{
    return (double)(ph_now_ns() - start_ns) / 1e9;
}

double ph_stage_resident_bytes(void)
{
    unsigned long long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

char *ph_stage_shuffled_ids(uint64_t count)
{
    uint32_t *numbers = ph_alloc(count * sizeof *numbers);
    char *ids = ph_alloc(count * PH_STAGE_ID_BYTES);
    struct ph_prng prng;
    ph_prng_init(&prng, 1);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t other = ph_prng_below(&prng, i + 1);
        numbers[i] = numbers[other];
        numbers[other] = (uint32_t)(i + 1);
    }
    for (uint64_t i = 0; i < count; i++)
        snprintf(ids + i * PH_STAGE_ID_BYTES, PH_STAGE_ID_BYTES, "w-%u", numbers[i]);
    ph_free(numbers);
    return ids;
}
