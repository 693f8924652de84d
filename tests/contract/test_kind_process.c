#include "tests/contract/kind_contract.h"

#include <stdatomic.h>

#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"

/* OS processes, with the real scheduler and the real keeper. */

static struct ph_node *create_node(uint64_t seed)
{
    return real_node_with((struct ph_node_config){.workers = 1, .seed = seed});
}

static struct ph_spec *shell_or_nothing(enum contract_child behaviour, const char *const *scripts,
                                        const char *words)
{
    if (behaviour != CONTRACT_CANNOT)
        return real_shell_spec(scripts[behaviour], words);
    struct ph_spec *spec = real_spec(words);
    if (ph_spec_add_arg(spec, "/no/such/program", NULL)) {
        ph_spec_put(spec);
        return NULL;
    }
    return spec;
}

static struct ph_spec *create_spec(enum contract_child behaviour)
{
    static const char *const scripts[] = {
        [CONTRACT_RUNS] = "exec sleep 1000",
        [CONTRACT_ENDS] = "exit 0",
        [CONTRACT_FAILS] = "exit 3",
    };
    return shell_or_nothing(behaviour, scripts, "");
}

/* The same with socket=yes: up is who said ok. */
static struct ph_spec *create_talking_spec(enum contract_child behaviour)
{
    static const char *const scripts[] = {
        [CONTRACT_RUNS] = "while read -r verb text; do "
                          "case $verb in state) ;; merge) echo error never ;; *) echo ok ;; esac; "
                          "done <&3 >&3",
        [CONTRACT_ENDS] = "read -r role <&3; echo ok >&3; exit 0",
        [CONTRACT_FAILS] = "read -r role <&3; echo ok >&3; exit 3",
    };
    return shell_or_nothing(behaviour, scripts, "socket=yes");
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
    static const struct contract_kind plain = {
        .kind = &ph_kind_process,
        .text_of_cannot = "/no/such/program",
        .rounds = 20,
        .create_node = create_node,
        .create_spec = create_spec,
        .run_until = run_until,
        .settle = settle,
    };
    struct contract_kind talking = plain;
    talking.create_spec = create_talking_spec;
    talking.has_states = true;
    int failed = contract_run(&plain);
    return contract_run(&talking) + failed;
}
