#include "engine/node.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/op.h"
#include "engine/tsan.h"
#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"

#if defined(PH_TSAN) || defined(__SANITIZE_ADDRESS__)
enum { LATE_MS = 1000 };
#else
enum { LATE_MS = 50 };
#endif
enum { BLOCKED = 4 };

/* ---- Nodes and hubs ------------------------------------------------------------------------ */

/* Several hubs of one node and two nodes of one process know nothing of each other. */
static void hubs_and_nodes_live_side_by_side(void **state)
{
    (void)state;
    struct ph_node *nodes[2];
    struct ph_hub *hubs[2][3];
    char name[8], answer[32];
    for (unsigned i = 0; i < 2; i++) {
        nodes[i] = real_node(1);
        for (unsigned j = 0; j < 3; j++) {
            snprintf(name, sizeof name, "hub-%u", j);
            hubs[i][j] = real_hub(nodes[i], name, "");
            real_start(hubs[i][j], "same-id", real_spec("module=counter"));
            for (unsigned k = 0; k < i * 3 + j; k++)
                assert_int_equal(ph_send(hubs[i][j], "same-id", "inc 1", 5), 0);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(real_call(hubs[i][j], "same-id", "get", answer, sizeof answer), 0);
            snprintf(name, sizeof name, "%u", i * 3 + j);
            assert_string_equal(answer, name);
            ph_hub_put(hubs[i][j]);
        }
    }
    ph_node_destroy(nodes[0]);
    ph_node_destroy(nodes[1]);
}

/* Names are checked where they come in; the error says which characters a name takes. */
static void bad_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa4",
                                      "0123456789012345678901234567890123456789"
                                      "0123456789012345678901234"};
    struct ph_node *node = real_node(1), *other = NULL;
    struct ph_hub *hub = NULL;
    for (size_t i = 0; i < PH_COUNT_OF(bad); i++) {
        struct ph_error error = {0};
        assert_int_equal(ph_hub_create(node, bad[i], NULL, 0, &hub, &error), PH_EUSAGE);
        assert_non_null(strstr(error.text, "use 1 to 64 characters of A-Z a-z 0-9 . _ -"));
        const struct ph_node_config config = {.name = bad[i], .keeper_path = PH_KEEPER_PATH};
        assert_int_equal(ph_node_create(&config, &other, &error), PH_EUSAGE);
    }
    assert_null(hub);
    assert_null(other);
    ph_node_destroy(node);
}

/* A second hub of one name is refused, and the first one goes on. */
static void name_of_a_hub_is_taken_once(void **state)
{
    (void)state;
    struct ph_node *node = real_node(1);
    struct ph_hub *hub = real_hub(node, "one", ""), *second = NULL;
    struct ph_error error = {0};
    assert_int_equal(ph_hub_create(node, "one", NULL, 0, &second, &error), PH_EEXISTS);
    struct ph_hub *found = ph_hub_get(node, "one");
    assert_ptr_equal(found, hub);
    ph_hub_put(found);
    assert_null(ph_hub_get(node, "two"));
    real_end(hub, node);
}

/* When the stop of a hub is done the hub is gone: its name is free. */
static void name_is_free_when_the_stop_is_done(void **state)
{
    (void)state;
    struct ph_node *node = real_node(1);
    for (unsigned i = 0; i < 200; i++) {
        struct ph_hub *hub = real_hub(node, "again", "");
        struct ph_op *op;
        struct ph_error error = {0};
        assert_int_equal(ph_hub_stop(hub, &op, &error), 0);
        assert_int_equal(real_finish(op), 0);
        assert_null(ph_hub_get(node, "again"));
        ph_hub_put(hub);
    }
    ph_node_destroy(node);
}

/* The number of hubs is bounded; a hub that ended makes room. */
static void too_many_hubs_are_refused(void **state)
{
    (void)state;
    struct ph_node *node = real_node(1);
    struct ph_hub *hubs[PH_HUBS_MAX], *more = NULL;
    struct ph_error error = {0};
    char name[16];
    for (unsigned i = 0; i < PH_HUBS_MAX; i++) {
        snprintf(name, sizeof name, "hub-%u", i);
        hubs[i] = real_hub(node, name, "");
    }
    assert_int_equal(ph_hub_create(node, "more", NULL, 0, &more, &error), PH_ELIMIT);
    for (unsigned i = 0; i < PH_HUBS_MAX; i++)
        ph_hub_put(hubs[i]);
    ph_node_destroy(node);
}

/* A bad hub option is refused with an error that names the key and says what it takes. */
static void errors_of_hub_options_name_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *option, *said;
        int code;
    } cases[] = {
        {"lock.timeout=soon", "lock.timeout=soon: use a duration like", PH_EUSAGE},
        {"lock.timeout=0", "lock.timeout=0: use a duration like", PH_EUSAGE},
        {"restart.rate=-1", "restart.rate=-1: use a number", PH_EUSAGE},
        {"lock.timeot=5s", "unknown hub option 'lock.timeot': use lock.timeout", PH_EUSAGE},
        {"lock.timeout", "hub option 'lock.timeout': use KEY=VALUE", PH_EUSAGE},
        {"distribution=guided", "distribution=guided: this build does not have", PH_EREFUSED},
        {"distribution=best", "distribution=best: use hash", PH_EUSAGE},
        {"distribution=", "distribution=: use hash", PH_EUSAGE},
        {"redundancy=replica", "redundancy=replica: this build does not have", PH_EREFUSED},
        {"sync=gossip", "sync=gossip: this build does not have", PH_EREFUSED},
        {"partition=static", "partition=static: this build does not have", PH_EREFUSED},
        {"partition=dyn", "partition=dyn: use diverge majority", PH_EUSAGE},
        {"majority.initial_size=0", "majority.initial_size=0: use a number from 1", PH_EUSAGE},
        {"majority.track_max=yes", "majority.track_max=yes: use true or false", PH_EUSAGE},
        {"move.in_flight=0", "move.in_flight=0: use a number from 1", PH_EUSAGE},
        {"sync.interval=0", "sync.interval=0: use a duration", PH_EUSAGE},
        {"balancer.decay=0.5", "balancer.decay belongs to a strategy that this build", PH_EREFUSED},
        {"=5", "unknown hub option ''", PH_EUSAGE},
    };
    struct ph_node *node = real_node(1);
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_hub *hub = NULL;
        struct ph_error error = {0};
        assert_int_equal(ph_hub_create(node, "h", &cases[i].option, 1, &hub, &error),
                         cases[i].code);
        if (strncmp(error.text, cases[i].said, strlen(cases[i].said)) != 0)
            fail_msg("%s: '%s'", cases[i].option, error.text);
    }
    ph_node_destroy(node);
}

/* Options of a hub that spans nodes are taken as they are given, and have their defaults. */
static void hub_options_of_several_nodes_are_kept(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "partition=majority", "majority.initial_size=3", "majority.track_max=false",
        "move.rate=500",      "move.in_flight=64",       "migrate.timeout=2s",
        "sync.interval=3s",   "discover.interval=4s",
    };
    struct ph_hub_options options;
    struct ph_error error = {0};
    assert_int_equal(ph_hub_options_parse(&options, NULL, 0, &error), 0);
    assert_int_equal(options.partition, PH_PARTITION_DIVERGE);
    assert_int_equal(options.majority_initial_size, 1);
    assert_true(options.majority_track_max);
    assert_int_equal(options.move_rate, 0);
    assert_int_equal(options.move_in_flight, 16384);
    assert_int_equal(options.migrate_timeout_ms, 15000);
    assert_int_equal(options.sync_interval_ms, 15000);
    assert_int_equal(options.discover_interval_ms, 10000);
    assert_int_equal(ph_hub_options_parse(&options, texts, PH_COUNT_OF(texts), &error), 0);
    assert_int_equal(options.partition, PH_PARTITION_MAJORITY);
    assert_int_equal(options.majority_initial_size, 3);
    assert_false(options.majority_track_max);
    assert_int_equal(options.move_rate, 500);
    assert_int_equal(options.move_in_flight, 64);
    assert_int_equal(options.migrate_timeout_ms, 2000);
    assert_int_equal(options.sync_interval_ms, 3000);
    assert_int_equal(options.discover_interval_ms, 4000);
    struct ph_text text = PH_TEXT_INIT;
    ph_hub_options_print(&options, &text);
    assert_non_null(strstr(ph_text_str(&text), "partition\x1fmajority\x1f"
                                               "diverge\x1f\x1e"));
    assert_non_null(strstr(ph_text_str(&text), "majority.track_max\x1f"
                                               "false\x1ftrue\x1f\x1e"));
    ph_text_fini(&text);
}

/* Times of failure detection that cannot work together are refused before a node starts. */
static void times_that_cannot_work_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t heartbeat_ms, dead_after_ms, lease_ms;
        const char *said;
    } cases[] = {
        {1, 0, 0, "heartbeat 1 ms: use at least"},
        {1000, 3000, 0, "heartbeat 1000 ms and dead-after 3000 ms: three"},
        {0, 1500, 1000, "heartbeat 500 ms and dead-after 1500 ms: three"},
        {0, 0, 3000, "lease 3000 ms and dead-after 3000 ms: the lease"},
        {0, 2000, 0, "lease 2500 ms and dead-after 2000 ms: the lease"},
        {0, UINT64_MAX, 0, "dead-after 18446744073709551615 ms: use at most"},
        {UINT64_MAX / 2, 0, 0, "heartbeat 9223372036854775807 ms and"},
    };
    struct ph_error error = {0};
    assert_int_equal(ph_node_check_times(0, 0, 0, &error), 0);
    assert_int_equal(ph_node_check_times(50, 200, 150, &error), 0);
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        assert_int_equal(ph_node_check_times(cases[i].heartbeat_ms, cases[i].dead_after_ms,
                                             cases[i].lease_ms, &error),
                         PH_EUSAGE);
        if (strncmp(error.text, cases[i].said, strlen(cases[i].said)) != 0)
            fail_msg("%zu: '%s'", i, error.text);
    }
}

/* A node is destroyed with its children running: modules, processes, some in their back-off. */
static void node_ends_with_children_running(void **state)
{
    (void)state;
    struct ph_node *node = real_node(0);
    struct ph_hub *hub = real_hub(node, "full", "");
    struct ph_child_info info;
    real_start(hub, "m-[1..500]", real_spec("module=counter"));
    real_start(hub, "p-[1..5]", real_shell_spec("exec sleep 1000", ""));
    assert_int_equal(ph_lookup(hub, "p-1", &info), 0);
    assert_int_equal(kill((pid_t)info.pid, 0), 0);
    assert_int_equal(ph_registry_stray_writes(hub->registry), 0);
    real_end(hub, node);
    assert_int_equal(kill((pid_t)info.pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

/* Only NULL releases all locks: a name that cannot be one is refused. */
static void unlock_of_a_bad_name_is_no_unlock_of_all(void **state)
{
    (void)state;
    struct ph_node *node = real_node(1);
    struct ph_hub *hub = real_hub(node, "h", "");
    struct ph_op *op;
    struct ph_status status;
    const struct ph_lock_options lock = {.name = "mine"};
    assert_int_equal(ph_lock(hub, &lock, &op), 0);
    assert_int_equal(real_finish(op), 0);
    assert_int_equal(ph_unlock(hub, "", &op), PH_EUSAGE);
    assert_int_equal(ph_unlock(hub, "a b", &op), PH_EUSAGE);
    ph_status(hub, &status);
    assert_int_equal(status.locks, 1);
    assert_int_equal(ph_unlock(hub, NULL, NULL), 0);
    real_end(hub, node);
}

/* ---- A hub that is held up, handlers that block -------------------------------------------- */

/* Blocks whoever comes in until it is let go. */
struct barrier {
    struct probe probe; /* first: as a module's handlers */
    atomic_bool armed, let_go;
    atomic_uint inside;
};

static bool is_let_go(void *arg)
{
    return ((struct barrier *)arg)->let_go;
}

static void block(struct barrier *barrier)
{
    barrier->inside++;
    eventually(is_let_go, barrier, REAL_SOON_MS);
    barrier->inside--;
}

static void blocking_trace(void *arg, const struct ph_hub *hub, const struct ph_record *record)
{
    struct barrier *barrier = arg;
    (void)hub;
    if (barrier->armed && strcmp(record->type, "stop-here") == 0)
        block(barrier);
}

static int blocking_handler(struct probe *probe, struct ph_context *context,
                            const struct ph_message *message)
{
    (void)context;
    (void)message;
    block((struct barrier *)probe);
    return PH_HANDLER_OK;
}

static bool somebody_is_inside(void *arg)
{
    return ((struct barrier *)arg)->inside > 0;
}

static bool all_are_inside(void *arg)
{
    return ((struct barrier *)arg)->inside == BLOCKED;
}

static struct ph_op *dispatch(struct ph_hub *hub, const char *event)
{
    struct ph_op *op;
    struct ph_error error = {0};
    const struct ph_dispatch_options options = {0};
    assert_int_equal(ph_dispatch(hub, event, "", &options, &op, &error), 0);
    return op;
}

/* While a hub is held up inside a step, lookups, counts, messages and calls to its children go on.
 */
static void readers_and_messages_go_on_while_a_hub_is_held_up(void **state)
{
    (void)state;
    struct barrier barrier = {.armed = true};
    struct ph_node *node =
        real_node_with((struct ph_node_config){.trace = blocking_trace, .trace_arg = &barrier});
    struct ph_hub *hub = real_hub(node, "stopped", "");
    struct ph_child_info info;
    struct ph_status status;
    char answer[32];
    real_start(hub, "c-[1..10]", real_spec("module=counter"));
    struct ph_op *op = dispatch(hub, "stop-here");
    assert_true(eventually(somebody_is_inside, &barrier, REAL_SOON_MS));
    assert_int_equal(ph_lookup(hub, "c-7", &info), 0);
    assert_int_equal(info.state, PH_STATE_RUNNING);
    assert_int_equal(ph_count(hub), 10);
    assert_int_equal(ph_send(hub, "c-7", "inc 5", 5), 0);
    assert_int_equal(real_call(hub, "c-7", "get", answer, sizeof answer), 0);
    assert_string_equal(answer, "5");
    ph_status(hub, &status);
    assert_int_equal(status.children, 10);
    assert_int_equal(barrier.inside, 1); /* all that while it stood still */
    assert_false(ph_op_is_done(op));
    barrier.let_go = true;
    assert_int_equal(real_finish(op), 0);
    real_end(hub, node);
}

/* How late a lock of 100 ms opens. */
static uint64_t lateness_of_a_lock_ms(struct ph_hub *hub)
{
    enum { LENGTH_MS = 100 };
    const struct ph_lock_options lock = {.for_ms = LENGTH_MS};
    struct ph_op *op;
    struct ph_status status;
    struct ph_waiter *waiter = ph_waiter_create();
    uint64_t before_ms = ph_now_ms();
    assert_int_equal(ph_lock(hub, &lock, &op), 0);
    assert_int_equal(real_finish(op), 0);
    ph_status(hub, &status);
    while (status.level) {
        assert_int_equal(ph_wait_change(hub, status.version, REAL_SOON_MS, waiter), 0);
        ph_status(hub, &status);
    }
    uint64_t elapsed_ms = ph_now_ms() - before_ms;
    ph_waiter_destroy(waiter);
    assert_true(elapsed_ms >= LENGTH_MS);
    return elapsed_ms - LENGTH_MS;
}

/* More handlers than cores block: a lock's deadline and a call to another child are in time. Of a
 * few tries the best counts: the others measure the machine. */
static void deadlines_and_calls_are_in_time_while_handlers_block(void **state)
{
    (void)state;
    struct barrier barrier = {.probe = {.handle = blocking_handler}};
    struct ph_node *node = real_node(0);
    struct ph_hub *hub = real_hub(node, "busy", "");
    uint64_t lock_ms = UINT64_MAX, call_ms = UINT64_MAX;
    char id[16], answer[32];
    real_start(hub, "b-[1..4]", real_probe_spec(&barrier.probe, ""));
    real_start(hub, "free", real_spec("module=counter"));
    for (unsigned i = 1; i <= BLOCKED; i++) {
        snprintf(id, sizeof id, "b-%u", i);
        assert_int_equal(ph_send(hub, id, "go", 2), 0);
    }
    assert_true(eventually(all_are_inside, &barrier, REAL_SOON_MS));
    for (unsigned i = 0; i < 5; i++) {
        uint64_t late_ms = lateness_of_a_lock_ms(hub), before_ms = ph_now_ms();
        assert_int_equal(real_call(hub, "free", "get", answer, sizeof answer), 0);
        call_ms = ph_now_ms() - before_ms < call_ms ? ph_now_ms() - before_ms : call_ms;
        lock_ms = late_ms < lock_ms ? late_ms : lock_ms;
    }
    barrier.let_go = true;
    assert_true(lock_ms <= LATE_MS);
    assert_true(call_ms <= LATE_MS);
    real_end(hub, node);
}

/* Hubs come and go while their children report from other threads: nothing outlives its hub. */
static void hubs_end_while_their_children_report(void **state)
{
    (void)state;
    struct ph_node *node = real_node(0);
    for (unsigned i = 0; i < 60; i++) {
        struct ph_hub *hub = real_hub(node, "brief", "");
        struct ph_error error = {0};
        real_start(hub, "c-[1..20]", real_spec("module=counter"));
        assert_int_equal(ph_hub_stop(hub, NULL, &error), 0);
        ph_hub_put(hub);
        struct ph_hub *left;
        while ((left = ph_hub_get(node, "brief")))
            ph_hub_put(left);
    }
    ph_node_destroy(node);
}

/* ---- Hooks on real threads ----------------------------------------------------------------- */

static int count_call(void *arg, const struct ph_hook_call *call)
{
    if (strstr(call->json, "\"t\":\"hook\",\"hook\":\"note\""))
        atomic_fetch_add((atomic_uint *)arg, 1);
    return 0;
}

static bool is_three(void *arg)
{
    return *(atomic_uint *)arg == 3;
}

/* A C function listens to a custom event; after its removal is done it is never called again. */
static void listener_hears_events_until_it_is_removed(void **state)
{
    (void)state;
    atomic_uint calls = 0;
    struct ph_node *node = real_node(0);
    struct ph_hub *hub = real_hub(node, "h", "");
    struct ph_op *op;
    struct ph_error error = {0};
    const struct ph_hook_options hook = {
        .hook = "note",
        .id = "mine",
        .function = count_call,
        .arg = &calls,
    };
    assert_int_equal(ph_hook_add(hub, &hook, &op, &error), 0);
    assert_int_equal(real_finish(op), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(real_finish(dispatch(hub, "note")), 0);
    assert_true(eventually(is_three, &calls, REAL_SOON_MS));
    assert_int_equal(ph_hook_remove(hub, "mine", &op), 0);
    assert_int_equal(real_finish(op), 0);
    assert_int_equal(real_finish(dispatch(hub, "note")), 0);
    assert_int_equal(calls, 3);
    real_end(hub, node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hubs_and_nodes_live_side_by_side),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(name_of_a_hub_is_taken_once),
        cmocka_unit_test(name_is_free_when_the_stop_is_done),
        cmocka_unit_test(too_many_hubs_are_refused),
        cmocka_unit_test(errors_of_hub_options_name_the_key),
        cmocka_unit_test(hub_options_of_several_nodes_are_kept),
        cmocka_unit_test(times_that_cannot_work_are_refused),
        cmocka_unit_test(node_ends_with_children_running),
        cmocka_unit_test(unlock_of_a_bad_name_is_no_unlock_of_all),
        cmocka_unit_test(readers_and_messages_go_on_while_a_hub_is_held_up),
        cmocka_unit_test(deadlines_and_calls_are_in_time_while_handlers_block),
        cmocka_unit_test(hubs_end_while_their_children_report),
        cmocka_unit_test(listener_hears_events_until_it_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
