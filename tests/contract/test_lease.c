#include "engine/kind/monitor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/host.h"
#include "engine/kind/keeper_wire.h"
#include "tests/lib/eventually.h"
#include "tests/lib/place.h"
#include "tests/lib/realnode.h"
#include "tests/lib/victim.h"

enum {
    LEASE = 5,
    LEASE_MS = 1000,
    /* Between a node's lease and its death for the others there are 500 ms by default. A machine
     * that runs other tests, too, is given more. */
    MARGIN_MS = 5000,
    MANY = 200,
};

/* ---- Helpers --------------------------------------------------------------------------------- */

struct tenant {
    struct fixture *fixture;
    struct place *place;
    uint64_t until_ms; /* of its lease */
    uint64_t end_ms;
};

/* Renews the lease until it has been held for long enough, or in vain. */
static bool has_been_renewed(void *arg)
{
    struct tenant *tenant = arg;
    if (tenant->until_ms < ph_now_ms() + LEASE_MS / 2) {
        tenant->until_ms = ph_now_ms() + LEASE_MS;
        ph_monitor_lease_any(tenant->fixture->monitor, LEASE, tenant->until_ms);
    }
    return ph_now_ms() >= tenant->end_ms || place_is_down(tenant->place);
}

static void hold_lease(struct tenant *tenant, uint64_t time_ms)
{
    tenant->end_ms = ph_now_ms() + time_ms;
    assert_true(eventually(has_been_renewed, tenant, SOON_MS));
}

static void launch_sleeper(struct place *place)
{
    LAUNCH(place, "--", "sleep", "1000");
    place_await_up(place);
}

static bool time_has_come(void *arg)
{
    return ph_now_ms() >= *(uint64_t *)arg;
}

static void await_time(uint64_t when_ms)
{
    assert_true(eventually(time_has_come, &when_ms, SOON_MS));
}

/* ---- Leases ---------------------------------------------------------------------------------- */

/* A lease that is renewed in time ends nothing, for as long as it goes on; then it ends in time. */
static void a_renewed_lease_keeps_a_process_alive(void **state)
{
    struct place place;
    struct tenant tenant = {.fixture = *state, .place = &place};
    place_init_leased(&place, *state, LEASE);
    LAUNCH(&place, "--", "sleep", "1000");
    hold_lease(&tenant, 3 * LEASE_MS);
    assert_int_equal(place_snapshot(&place).ups, 1);
    assert_int_equal(place_snapshot(&place).downs, 0);
    place_await_down(&place);
    uint64_t ended_ms = ph_now_ms();
    assert_true(ended_ms >= tenant.until_ms);
    assert_true(ended_ms < tenant.until_ms + MARGIN_MS);
    ph_process_destroy_any(place.process);
}

/* The whole tree goes, what has left its session, too, and people are told why. */
static void the_end_of_a_lease_kills_the_tree_and_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    struct ph_text told = PH_TEXT_INIT;
    int pids[2];
    place_init_leased(&place, fixture, LEASE);
    LAUNCH(&place, "--", fixture->self, "daemon", fixture->file);
    fixture_await_pids(fixture, pids, 2);
    ph_monitor_lease_any(fixture->monitor, LEASE, ph_now_ms() + LEASE_MS);
    struct place now = place_await_down(&place);
    ph_exit_describe(&now.exit, &told);
    assert_string_equal(ph_text_str(&told), "killed by SIGKILL: its node's lease ran out");
    assert_true(pid_is_gone(&pids[0]) && pid_is_gone(&pids[1]));
    ph_text_fini(&told);
    ph_process_destroy_any(place.process);
}

/* Processes under another lease, or under none, go on. */
static void other_leases_are_not_touched(void **state)
{
    struct fixture *fixture = *state;
    struct place ours, other, none;
    place_init_leased(&ours, fixture, LEASE);
    place_init_leased(&other, fixture, LEASE + 1);
    place_init(&none, fixture);
    ph_monitor_lease_any(fixture->monitor, LEASE + 1, ph_now_ms() + SOON_MS);
    launch_sleeper(&other);
    launch_sleeper(&none);
    launch_sleeper(&ours);
    ph_monitor_lease_any(fixture->monitor, LEASE, 0);
    ph_monitor_lease_any(fixture->monitor, 0, 0); /* is none, for good */
    ph_monitor_lease_any(fixture->monitor, PH_KEEPER_LEASES, 0);
    place_await_down(&ours);
    ph_process_destroy_any(ours.process);
    struct place *kept[] = {&other, &none};
    for (size_t i = 0; i < PH_COUNT_OF(kept); i++) {
        ph_process_signal_any(kept[i]->process, SIGUSR1); /* and not before */
        assert_int_equal(place_await_down(kept[i]).exit.value, SIGUSR1);
        ph_process_destroy_any(kept[i]->process);
    }
}

/* A lease that is not needed any more does not end. */
static void a_lifted_lease_does_not_end(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init_leased(&place, fixture, LEASE);
    launch_sleeper(&place);
    uint64_t until_ms = ph_now_ms() + SOON_MS;
    ph_monitor_lease_any(fixture->monitor, LEASE, until_ms);
    ph_monitor_lease_any(fixture->monitor, LEASE, until_ms = ph_now_ms() + 2 * LEASE_MS);
    ph_monitor_lease_any(fixture->monitor, LEASE, UINT64_MAX);
    await_time(until_ms);
    ph_process_signal_any(place.process, SIGUSR1);
    assert_int_equal(place_await_down(&place).exit.value, SIGUSR1);
    ph_process_destroy_any(place.process);
}

/* Nothing is started under a lease that is over, and people are told why; a renewal ends that. */
static void starts_are_refused_until_the_lease_is_renewed(void **state)
{
    struct fixture *fixture = *state;
    struct ph_monitor_stats stats;
    struct place place;
    place_init_leased(&place, fixture, LEASE);
    ph_monitor_lease_any(fixture->monitor, LEASE, ph_now_ms());
    LAUNCH(&place, "--", "sleep", "1000");
    struct place now = place_await_down(&place);
    assert_int_equal(now.ups, 0);
    assert_int_equal(now.exit.how, PH_EXIT_FAILED);
    assert_string_equal(now.exit.text, "its node's lease ran out before it was started");
    ph_monitor_stats_any(fixture->monitor, &stats);
    assert_int_equal(stats.spawned, 0);
    ph_monitor_lease_any(fixture->monitor, LEASE, ph_now_ms() + SOON_MS);
    launch_sleeper(&place);
    ph_monitor_lease_any(fixture->monitor, LEASE, 0);
    assert_int_equal(place_await_down(&place).exit.value, SIGKILL);
    ph_process_destroy_any(place.process);
}

/* A keeper that takes the place of one that died has its leases. */
static void a_new_keeper_has_the_leases_of_the_old_one(void **state)
{
    struct fixture *fixture = *state;
    struct place ours, other;
    place_init_leased(&ours, fixture, LEASE);
    place_init(&other, fixture);
    launch_sleeper(&other);
    ph_monitor_lease_any(fixture->monitor, LEASE, 0);
    LAUNCH(&ours, "--", "sleep", "1000");
    place_await_down(&ours); /* so the first one has been told */
    kill(keeper_pid(), SIGKILL);
    assert_string_equal(place_await_down(&other).exit.text, "prochub-keeper died");
    LAUNCH(&ours, "--", "sleep", "1000");
    assert_string_equal(place_await_down(&ours).exit.text,
                        "its node's lease ran out before it was started");
    ph_process_destroy_any(ours.process);
    ph_process_destroy_any(other.process);
}

/* However many there are: all are dead before others may run them. */
static void many_end_with_their_lease_in_time(void **state)
{
    struct fixture *fixture = *state;
    struct place *places = ph_alloc(MANY * sizeof *places);
    for (int i = 0; i < MANY; i++) {
        place_init_leased(&places[i], fixture, LEASE);
        LAUNCH(&places[i], "--", "sleep", "1000");
    }
    for (int i = 0; i < MANY; i++)
        place_await_up(&places[i]);
    uint64_t until_ms = ph_now_ms() + LEASE_MS;
    ph_monitor_lease_any(fixture->monitor, LEASE, until_ms);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(place_await_down(&places[i]).exit.value, SIGKILL);
        ph_process_destroy_any(places[i].process);
    }
    uint64_t ended_ms = ph_now_ms();
    assert_true(ended_ms >= until_ms);
    assert_true(ended_ms < until_ms + MARGIN_MS);
    ph_free(places);
}

/* ---- Hubs ------------------------------------------------------------------------------------ */

static void lose_lease(const struct ph_hub *hub, struct ph_text *reply)
{
    (void)reply;
    hub->ports.exec->lease(hub->ports.context, ph_now_ms() + LEASE_MS);
}

static void lift_lease(const struct ph_hub *hub, struct ph_text *reply)
{
    (void)reply;
    hub->ports.exec->lease(hub->ports.context, UINT64_MAX);
}

static void in_hub(struct ph_hub *hub, ph_inspect_fn fn)
{
    struct ph_op *op;
    assert_int_equal(ph_hub_inspect(hub, fn, &op), 0);
    assert_int_equal(real_finish(op), 0);
}

static bool has_failed(void *arg)
{
    struct ph_status status;
    ph_status(arg, &status);
    return status.by_state[PH_STATE_FAILED] == 1;
}

/* Each hub of a node has a lease of its own; with its end only its processes end. */
static void hubs_have_leases_of_their_own(void **state)
{
    (void)state;
    struct ph_child_info before, after;
    struct ph_node *node = real_node(1);
    struct ph_hub *ours = real_hub(node, "ours", ""), *other = real_hub(node, "other", "");
    real_start(ours, "p", real_shell_spec("exec sleep 1000", "max_restarts=0"));
    real_start(other, "p", real_shell_spec("exec sleep 1000", "max_restarts=0"));
    assert_int_equal(ph_lookup(other, "p", &before), 0);
    in_hub(ours, lose_lease);
    assert_true(eventually(has_failed, ours, SOON_MS));
    in_hub(ours, lift_lease);
    real_start(ours, "q", real_shell_spec("exec sleep 1000", ""));
    assert_int_equal(ph_lookup(other, "p", &after), 0);
    assert_int_equal(after.state, PH_STATE_RUNNING);
    assert_int_equal(after.pid, before.pid);
    ph_hub_put(other);
    real_end(ours, node);
}

/* ---- A node that does not act any more ------------------------------------------------------- */

/* This executable as a node that renews its lease for as long as it runs. */
static void be_a_node(char *self, char *file)
{
    struct ph_error error = {0};
    struct fixture own = {0};
    struct place place;
    struct tenant tenant = {.fixture = &own, .place = &place, .end_ms = UINT64_MAX};
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when its test fails */
    if (ph_monitor_create(PH_KEEPER_PATH, false, &own.monitor, &error) != 0)
        _exit(1);
    place_init_leased(&place, &own, LEASE);
    ph_monitor_lease_any(own.monitor, LEASE, ph_now_ms() + LEASE_MS);
    LAUNCH(&place, "--", self, "daemon", file);
    for (;;)
        eventually(has_been_renewed, &tenant, SOON_MS);
}

static int watch(int pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static bool has_ended(int pidfd, uint64_t deadline_ms)
{
    struct pollfd polled = {.fd = pidfd, .events = POLLIN};
    uint64_t now_ms = ph_now_ms();
    int rc = poll(&polled, 1, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);
    return rc > 0;
}

/* kill -STOP of the node: what runs there ends with its lease all the same, and not before. */
static void a_stopped_nodes_processes_end_with_its_lease(void **state)
{
    struct fixture *fixture = *state;
    int pids[2], pidfds[2], status = 0;
    pid_t node = fork();
    if (node == 0) {
        execl(fixture->self, fixture->self, "node", fixture->file, (char *)NULL);
        _exit(1);
    }
    fixture_await_pids(fixture, pids, 2);
    for (size_t i = 0; i < PH_COUNT_OF(pids); i++) {
        pidfds[i] = watch(pids[i]);
        assert_true(pidfds[i] >= 0);
        assert_false(has_ended(pidfds[i], ph_now_ms() + 2 * LEASE_MS));
    }
    kill(node, SIGSTOP);
    assert_int_equal(waitpid(node, &status, WUNTRACED), node);
    assert_true(WIFSTOPPED(status));
    uint64_t deadline_ms = ph_now_ms() + LEASE_MS + MARGIN_MS;
    for (size_t i = 0; i < PH_COUNT_OF(pids); i++) {
        assert_true(has_ended(pidfds[i], deadline_ms));
        close(pidfds[i]);
    }
    kill(node, SIGKILL);
    assert_int_equal(waitpid(node, NULL, 0), node);
    int keeper = keeper_pid(); /* it may have come to us, who are a subreaper */
    if (keeper)
        assert_true(eventually(pid_is_gone, &keeper, SOON_MS));
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

int main(int argc, char **argv)
{
    victim_main(argc, argv);
    if (argc > 2 && strcmp(argv[1], "node") == 0)
        be_a_node(argv[0], argv[2]);
    const struct CMUnitTest tests[] = {
        TEST(a_renewed_lease_keeps_a_process_alive),
        TEST(the_end_of_a_lease_kills_the_tree_and_is_named),
        TEST(other_leases_are_not_touched),
        TEST(a_lifted_lease_does_not_end),
        TEST(starts_are_refused_until_the_lease_is_renewed),
        TEST(a_new_keeper_has_the_leases_of_the_old_one),
        TEST(many_end_with_their_lease_in_time),
        cmocka_unit_test(hubs_have_leases_of_their_own),
        TEST(a_stopped_nodes_processes_end_with_its_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
