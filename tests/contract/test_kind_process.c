#include "tests/contract/kind_contract.h"

#include <stdatomic.h>

#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"

/* OS processes, with the real scheduler and the real keeper. */

static struct ph_node *create_node(uint64_t seed)
{
    return real_node_with((struct ph_node_config){.workers = 1, .seed = seed});
}

static struct ph_spec *create_spec(enum contract_child behaviour)
{
    static const char *const scripts[] = {
        [CONTRACT_RUNS] = "exec sleep 1000",
        [CONTRACT_ENDS] = "exit 0",
        [CONTRACT_FAILS] = "exit 3",
    };
    if (behaviour != CONTRACT_CANNOT)
        return real_shell_spec(scripts[behaviour], "");
    struct ph_spec *spec = ph_spec_create();
    if (ph_spec_add_arg(spec, "/no/such/program", NULL)) {
        ph_spec_put(spec);
        return NULL;
    }
    return spec;
}

static bool run_until(struct ph_node *node, bool (*condition)(void *), void *arg)
{
    (void)node;
    return eventually(condition, arg, REAL_SOON_MS);
}

static void round_trip_done(void *arg, const struct ph_run_result *result)
{
    (void)result;
    atomic_store_explicit((atomic_bool *)arg, true, memory_order_release);
}

static bool is_set(void *arg)
{
    return atomic_load_explicit((atomic_bool *)arg, memory_order_acquire);
}

/* One more program through the monitor and the keeper: what was asked for before is through. */
static void settle(struct ph_node *node)
{
    atomic_bool done = false;
    const struct ph_run_request request = {
        .path = "/bin/true",
        .input = "",
        .timeout_ms = REAL_SOON_MS,
        .done = round_trip_done,
        .arg = &done,
    };
    ph_monitor_run_any(node->monitor, &request);
    eventually(is_set, &done, REAL_SOON_MS);
}

int main(void)
{
    static const struct contract_kind kind = {
        .kind = &ph_kind_process,
        .text_of_cannot = "/no/such/program",
        .rounds = 20,
        .create_node = create_node,
        .create_spec = create_spec,
        .run_until = run_until,
        .settle = settle,
    };
    return contract_run(&kind);
}
