#include "engine/super.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "tests/lib/fakehub.h"

enum { SIGKILL_NUMBER = 9, KILL_WAIT_MS = 5000 };

static int set_up(void **state)
{
    *state = fake_create("", 7);
    return 0;
}

static int tear_down(void **state)
{
    struct fake_hub *fake = *state;
    bool consistent = fake_is_consistent(fake);
    fake_destroy(fake);
    return consistent ? 0 : -1;
}

/* A child that runs. */
static void run_child(struct fake_hub *fake, const char *id, const char *spec)
{
    struct ph_op *op = fake_start(fake, id, spec);
    fake_up(fake, id);
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(fake_state(fake, id), PH_STATE_RUNNING);
}

static void assert_state(struct fake_hub *fake, const char *id, enum ph_state state)
{
    assert_int_equal(fake_state(fake, id), (int)state);
}

static void assert_gone(struct fake_hub *fake, const char *id)
{
    assert_int_equal(fake_state(fake, id), -1);
}

static uint64_t starts_of(struct fake_hub *fake, const char *id)
{
    return fake_count_calls(fake, FAKE_START, id);
}

static uint32_t restarts_of(struct fake_hub *fake, const char *id)
{
    return atomic_load_explicit(&fake_child(fake, id)->restarts, memory_order_relaxed);
}

/* ---- What the restart policy says
 * ---------------------------------------------------------- */

/* A permanent child starts again however it ended. */
static void permanent_child_starts_again_after_any_end(void **state)
{
    struct fake_hub *fake = *state;
    static const struct {
        enum ph_exit_how how;
        int value;
    } ends[] = {{PH_EXIT_CODE, 0},
                {PH_EXIT_CODE, 3},
                {PH_EXIT_SIGNAL, SIGKILL_NUMBER},
                {PH_EXIT_FAILED, -5},
                {PH_EXIT_EXEC, 2}};
    run_child(fake, "p", "backoff=0");
    for (size_t i = 0; i < PH_COUNT_OF(ends); i++) {
        fake_down(fake, "p", ends[i].how, ends[i].value);
        assert_state(fake, "p", PH_STATE_STARTING);
        fake_up(fake, "p");
        assert_state(fake, "p", PH_STATE_RUNNING);
        assert_int_equal(restarts_of(fake, "p"), i + 1);
    }
}

/* A transient child is removed after a normal end, and only then. */
static void transient_child_starts_again_unless_it_ended_well(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "t", "restart=transient backoff=0");
    fake_down(fake, "t", PH_EXIT_CODE, 1);
    fake_up(fake, "t");
    fake_down(fake, "t", PH_EXIT_SIGNAL, SIGKILL_NUMBER);
    fake_up(fake, "t");
    fake_down(fake, "t", PH_EXIT_FAILED, -5);
    fake_up(fake, "t");
    assert_int_equal(restarts_of(fake, "t"), 3);
    fake_down(fake, "t", PH_EXIT_CODE, 0);
    assert_gone(fake, "t");
}

/* A temporary child never starts again. */
static void temporary_child_is_removed_after_any_end(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "a", "restart=temporary");
    run_child(fake, "b", "restart=temporary");
    fake_down(fake, "a", PH_EXIT_SIGNAL, SIGKILL_NUMBER);
    fake_down(fake, "b", PH_EXIT_CODE, 0);
    assert_gone(fake, "a");
    assert_gone(fake, "b");
    assert_int_equal(starts_of(fake, NULL), 2);
}

/* The first restart after a stable life is immediate; then the delays double,
 * never get shorter and keep within their jitter and their bound. */
static void delays_double_within_bounds_and_never_decrease(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=100 backoff_max=3s max_restarts=20 max_seconds=1h");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    assert_state(fake, "c", PH_STATE_STARTING);
    fake_up(fake, "c");
    uint64_t before_ms = 0;
    for (unsigned i = 0; i < 12; i++) {
        uint64_t plain_ms = 100u << i < 3000 ? 100u << i : 3000;
        fake_down(fake, "c", PH_EXIT_CODE, 1);
        assert_state(fake, "c", PH_STATE_BACKOFF);
        uint64_t delay_ms = fake_advance_next(fake);
        assert_state(fake, "c", PH_STATE_STARTING);
        assert_in_range(delay_ms, plain_ms, plain_ms + plain_ms / 2);
        assert_true(delay_ms <= 3000 && delay_ms >= before_ms);
        before_ms = delay_ms;
        fake_up(fake, "c");
    }
}

/* After max_seconds of life the delays begin anew. */
static void long_life_makes_the_next_restart_immediate(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=100 max_seconds=60s");
    for (int i = 0; i < 3; i++) {
        fake_down(fake, "c", PH_EXIT_CODE, 1);
        if (fake_state(fake, "c") == PH_STATE_BACKOFF)
            fake_advance_next(fake);
        fake_up(fake, "c");
    }
    fake_advance(fake, 59999);
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    assert_state(fake, "c", PH_STATE_BACKOFF);
    fake_advance_next(fake);
    fake_up(fake, "c");
    fake_advance(fake, 60000);
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    assert_state(fake, "c", PH_STATE_STARTING);
}

/* Two children that fell together do not rise together. */
static void jitter_spreads_children_that_fell_together(void **state)
{
    struct fake_hub *fake = *state;
    bool differ = false;
    uint64_t first_ms = 0;
    for (int i = 0; i < 8; i++) {
        char id[8] = {'j', (char)('0' + i)};
        run_child(fake, id, "backoff=1s");
        fake_down(fake, id, PH_EXIT_CODE, 1);
        fake_up(fake, id);
        fake_down(fake, id, PH_EXIT_CODE, 1);
        assert_state(fake, id, PH_STATE_BACKOFF);
        uint64_t delay_ms = fake_advance_next(fake);
        differ = differ || (i && delay_ms != first_ms);
        first_ms = i ? first_ms : delay_ms;
        fake_up(fake, id);
    }
    assert_true(differ);
}

/* ---- Giving up
 * -----------------------------------------------------------------------------
 */

static void crash_times(struct fake_hub *fake, const char *id, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        fake_down(fake, id, PH_EXIT_CODE, 3);
        fake_up(fake, id);
    }
}

/* More than max_restarts within max_seconds: the child has failed, with a
 * reason for people. */
static void child_gives_up_with_a_reason(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=0 max_restarts=3 max_seconds=30s");
    crash_times(fake, "c", 3);
    fake_down(fake, "c", PH_EXIT_CODE, 3);
    assert_state(fake, "c", PH_STATE_FAILED);
    assert_string_equal(fake_last(fake, "child_failed", "c")->text,
                        "gave up after 3 restarts in 30 s: exited with code 3");
    assert_int_equal(fake->hub.picture.gave_up, 1);
    fake_advance(fake, 3600000);
    assert_state(fake, "c", PH_STATE_FAILED);
}

/* A window that is no whole number of seconds is told in milliseconds, not as
 * "0 s". */
static void reason_tells_a_short_window_exactly(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=0 max_restarts=1 max_seconds=500");
    crash_times(fake, "c", 1);
    fake_down(fake, "c", PH_EXIT_CODE, 3);
    assert_string_equal(fake_last(fake, "child_failed", "c")->text,
                        "gave up after 1 restart in 500 ms: exited with code 3");
}

/* Restarts older than the window are forgotten: a child that fails now and then
 * goes on for ever. */
static void old_restarts_leave_the_window(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=0 max_restarts=2 max_seconds=10s");
    for (int i = 0; i < 20; i++) {
        crash_times(fake, "c", 1);
        fake_advance(fake, 5000);
    }
    assert_state(fake, "c", PH_STATE_RUNNING);
    crash_times(fake, "c", 1);
    fake_down(fake, "c", PH_EXIT_CODE, 3);
    assert_state(fake, "c", PH_STATE_FAILED);
}

/* A start of a child that gave up is a clean slate: no delay, the whole budget
 * of restarts. */
static void start_of_a_failed_child_begins_anew(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=100 max_restarts=1");
    crash_times(fake, "c", 1);
    fake_down(fake, "c", PH_EXIT_CODE, 3);
    assert_state(fake, "c", PH_STATE_FAILED);
    struct ph_op *op = fake_start(fake, "c", "backoff=100 max_restarts=1");
    assert_int_equal(fake_code(op), 1);
    fake_up(fake, "c");
    assert_int_equal(fake_code(op), 0);
    fake_down(fake, "c", PH_EXIT_CODE, 3);
    assert_state(fake, "c", PH_STATE_STARTING);
}

/* A restart of a child that gave up starts it, too. */
static void restart_of_a_failed_child_starts_it(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "max_restarts=0");
    fake_down(fake, "c", PH_EXIT_CODE, 3);
    assert_state(fake, "c", PH_STATE_FAILED);
    struct ph_op *op = fake_restart(fake, "c");
    fake_up(fake, "c");
    assert_int_equal(fake_code(op), 0);
    assert_state(fake, "c", PH_STATE_RUNNING);
}

/* A child that gave up is removed by a stop without asking anything of its
 * kind. */
static void stop_of_a_failed_child_removes_it(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "max_restarts=0");
    fake_down(fake, "c", PH_EXIT_CODE, 3);
    assert_int_equal(fake_code(fake_stop(fake, "c")), 0);
    assert_gone(fake, "c");
    assert_int_equal(fake_count_calls(fake, FAKE_STOP, "c"), 0);
}

/* ---- The stop ladder
 * ----------------------------------------------------------------------- */

/* A stop asks, and is done when the instance has ended. */
static void stop_waits_for_the_end_of_the_instance(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "");
    struct ph_op *op = fake_stop(fake, "c");
    assert_state(fake, "c", PH_STATE_STOPPING);
    assert_int_equal(fake_count_calls(fake, FAKE_STOP, "c"), 1);
    assert_int_equal(fake_code(op), 1);
    fake_down(fake, "c", PH_EXIT_SIGNAL, 15);
    assert_int_equal(fake_code(op), 0);
    assert_gone(fake, "c");
    assert_int_equal(ph_hub_next_deadline(&fake->hub), PH_NEVER);
}

/* What does not end within its time is killed. */
static void stop_kills_at_the_deadline(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "shutdown=2s");
    struct ph_op *op = fake_stop(fake, "c");
    fake_advance(fake, 1999);
    assert_int_equal(fake_count_calls(fake, FAKE_KILL, "c"), 0);
    fake_advance(fake, 1);
    assert_int_equal(fake_count_calls(fake, FAKE_KILL, "c"), 1);
    assert_string_equal(fake_last(fake, "child_killed", "c")->text, "did not end within 2000 ms");
    fake_down(fake, "c", PH_EXIT_SIGNAL, SIGKILL_NUMBER);
    assert_int_equal(fake_code(op), 0);
    assert_gone(fake, "c");
}

/* When even the kill does not help, whoever waits is told; the child goes when
 * it ends at last. */
static void stop_that_even_a_kill_does_not_end_is_told(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "shutdown=1s");
    struct ph_op *op = fake_stop(fake, "c");
    fake_advance(fake, 1000 + KILL_WAIT_MS);
    assert_int_equal(fake_code(op), PH_ETIMEOUT);
    assert_state(fake, "c", PH_STATE_STOPPING);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_gone(fake, "c");
}

/* The same holds for a stop that comes after that: it asks again and is told
 * again. */
static void second_stop_of_a_stuck_child_is_told_too(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "shutdown=1s");
    fake_stop(fake, "c");
    fake_advance(fake, 1000 + KILL_WAIT_MS);
    struct ph_op *op = fake_stop(fake, "c");
    assert_int_equal(fake_code(op), 1);
    fake_advance(fake, KILL_WAIT_MS);
    assert_int_equal(fake_code(op), PH_ETIMEOUT);
}

/* All requests that wait for one end are told of it. */
static void all_stops_of_one_child_are_answered(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "");
    struct ph_op *first = fake_stop(fake, "c");
    struct ph_op *second = fake_stop(fake, "c");
    assert_int_equal(fake_count_calls(fake, FAKE_STOP, "c"), 1);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(first), 0);
    assert_int_equal(fake_code(second), 0);
}

/* A stop during the start ends the start's wait; a late `up` changes nothing.
 */
static void stop_during_the_start_cancels_it(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *start = fake_start(fake, "c", "");
    struct ph_op *stop = fake_stop(fake, "c");
    assert_int_equal(fake_code(start), PH_ESUPERSEDED);
    fake_up(fake, "c");
    assert_state(fake, "c", PH_STATE_STOPPING);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(stop), 0);
    assert_gone(fake, "c");
}

/* A child that waits for its restart is stopped at once: there is no instance.
 */
static void stop_during_the_backoff_is_immediate(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=10s");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    fake_up(fake, "c");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    assert_state(fake, "c", PH_STATE_BACKOFF);
    assert_int_equal(fake_code(fake_stop(fake, "c")), 0);
    assert_gone(fake, "c");
    fake_advance(fake, 60000);
    assert_int_equal(starts_of(fake, "c"), 2);
}

/* A stop while the alter hooks have the spec: the child never runs. */
static void stop_during_the_alter_hook_starts_nothing(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "a", 0, 0);
    fake_start(fake, "c", "");
    uint64_t handler = fake_take_verb(fake, FAKE_HOOK)->number;
    struct ph_op *stop = fake_stop(fake, "c");
    assert_state(fake, "c", PH_STATE_STOPPING);
    fake_hook_done(fake, handler, 0, NULL);
    assert_int_equal(fake_code(stop), 0);
    assert_gone(fake, "c");
    assert_int_equal(starts_of(fake, "c"), 0);
}

/* ---- Restart on request
 * -------------------------------------------------------------------- */

/* A restart stops the instance and starts the next one; it is no restart of the
 * supervisor's. */
static void restart_makes_a_new_instance(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "restart=temporary");
    struct ph_op *op = fake_restart(fake, "c");
    assert_state(fake, "c", PH_STATE_STOPPING);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_state(fake, "c", PH_STATE_STARTING);
    assert_int_equal(fake_code(op), 1);
    fake_up(fake, "c");
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(restarts_of(fake, "c"), 0);
    assert_string_equal(fake_last(fake, "child_restarted", "c")->text, "instance 2");
}

/* A child that is being stopped does not come back because of a restart. */
static void restart_of_a_stopping_child_is_refused(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "");
    fake_stop(fake, "c");
    assert_int_equal(fake_code(fake_restart(fake, "c")), PH_ESTOPPING);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_gone(fake, "c");
}

/* A stop overtakes a restart that is under way. */
static void stop_during_a_restart_wins(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "");
    struct ph_op *restart = fake_restart(fake, "c");
    struct ph_op *stop = fake_stop(fake, "c");
    assert_int_equal(fake_code(restart), PH_ESUPERSEDED);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(stop), 0);
    assert_gone(fake, "c");
}

/* A restart of a child in its back-off begins at once, with the whole budget.
 */
static void restart_during_the_backoff_is_immediate(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=10s");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    fake_up(fake, "c");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    struct ph_op *op = fake_restart(fake, "c");
    assert_state(fake, "c", PH_STATE_STARTING);
    fake_up(fake, "c");
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(restarts_of(fake, "c"), 1);
    fake_advance(fake, 60000);
    assert_int_equal(starts_of(fake, "c"), 3);
}

/* ---- Programs that cannot be executed
 * ------------------------------------------------------ */

/* A first instance that never ran leaves nothing behind; the start says why. */
static void exec_failure_at_the_first_start_leaves_nothing(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op = fake_start(fake, "c", "");
    fake_down(fake, "c", PH_EXIT_EXEC, 2);
    assert_int_equal(fake_code(op), PH_EFAILED);
    assert_string_equal(ph_op_result(op)->failures[0].text, "/no/such/program: no such file");
    assert_gone(fake, "c");
    assert_int_equal(fake_count_records(fake, "start_failed"), 1);
    assert_int_equal(fake->hub.picture.children, 0);
}

/* Later it is a failure like others: back-off, and at last the child gives up.
 */
static void exec_failure_at_a_restart_counts_as_a_failure(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=0 max_restarts=2");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    fake_down(fake, "c", PH_EXIT_EXEC, 2);
    assert_state(fake, "c", PH_STATE_STARTING);
    fake_down(fake, "c", PH_EXIT_EXEC, 2);
    assert_state(fake, "c", PH_STATE_FAILED);
}

/* A first instance that ran but was never ready fails the start and is
 * restarted by its policy. */
static void child_that_dies_before_it_is_ready_fails_the_start(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op = fake_start(fake, "c", "");
    fake_down(fake, "c", PH_EXIT_CODE, 4);
    assert_int_equal(fake_code(op), PH_EFAILED);
    assert_string_equal(ph_op_result(op)->text, "exited with code 4");
    assert_state(fake, "c", PH_STATE_STARTING);
    assert_int_equal(starts_of(fake, "c"), 2);
}

/* ---- The hub's restart rate
 * ---------------------------------------------------------------- */

static uint64_t count_in(struct fake_hub *fake, enum ph_state state)
{
    return fake->hub.picture.by_state[state];
}

/* Of very many restarts at a time those of one second are immediate, the others
 * are spaced. */
static void restart_rate_lets_a_second_through_and_spaces_the_rest(void **state)
{
    enum { MANY = 1500, RATE = 1000 };
    struct fake_hub *fake = *state;
    fake_start(fake, "w-[1..1500]", "backoff=0");
    fake_up_all(fake);
    assert_int_equal(count_in(fake, PH_STATE_RUNNING), MANY);
    for (unsigned i = 1; i <= MANY; i++) {
        char id[16];
        snprintf(id, sizeof id, "w-%u", i);
        fake_down(fake, id, PH_EXIT_SIGNAL, SIGKILL_NUMBER);
    }
    assert_int_equal(count_in(fake, PH_STATE_STARTING), RATE);
    assert_int_equal(count_in(fake, PH_STATE_BACKOFF), MANY - RATE);
    fake_advance(fake, 250);
    assert_in_range(count_in(fake, PH_STATE_STARTING), RATE + 249, RATE + 251);
    fake_advance(fake, 250);
    assert_int_equal(count_in(fake, PH_STATE_BACKOFF), 0);
}

/* A low rate is kept from the first restart on. */
static void restart_rate_of_one_means_one_a_second(void **state)
{
    (void)state;
    struct fake_hub *fake = fake_create("restart.rate=1", 7);
    run_child(fake, "a", "backoff=0");
    run_child(fake, "b", "backoff=0");
    fake_down(fake, "a", PH_EXIT_CODE, 1);
    fake_down(fake, "b", PH_EXIT_CODE, 1);
    assert_state(fake, "a", PH_STATE_STARTING);
    assert_state(fake, "b", PH_STATE_BACKOFF);
    fake_advance(fake, 998);
    assert_state(fake, "b", PH_STATE_BACKOFF);
    fake_advance(fake, 3);
    assert_state(fake, "b", PH_STATE_STARTING);
    fake_destroy(fake);
}

/* The hubs of a node share it. */
static void restart_rate_counts_all_hubs(void **state)
{
    struct fake_hub *one = *state, *two = fake_create("restart.rate=1", 7);
    two->hub.restart_slot_us = one->hub.restart_slot_us;
    run_child(one, "a", "backoff=0");
    run_child(two, "b", "backoff=0");
    fake_down(one, "a", PH_EXIT_CODE, 1);
    fake_down(two, "b", PH_EXIT_CODE, 1);
    assert_state(two, "b", PH_STATE_BACKOFF);
    fake_destroy(two);
}

/* ---- Starts of what is there, roll-back, results per child
 * --------------------------------- */

/* An equal spec is a success that changes nothing; another spec is refused and
 * nothing changes. */
static void if_exists_same_compares_specs(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "args=1");
    struct ph_op *equal = fake_start(fake, "c", "args=1");
    assert_int_equal(fake_code(equal), 0);
    assert_int_equal(ph_op_result(equal)->same, 1);
    assert_int_equal(fake_code(fake_start(fake, "c", "args=2")), PH_EEXISTS);
    assert_state(fake, "c", PH_STATE_RUNNING);
    assert_int_equal(starts_of(fake, "c"), 1);
}

/* if_exists=fail refuses whatever exists. */
static void if_exists_fail_refuses(void **state)
{
    struct fake_hub *fake = *state;
    const struct ph_start_options options = {.if_exists = PH_IF_EXISTS_FAIL};
    run_child(fake, "c", "");
    assert_int_equal(fake_code(fake_start_with(fake, "c", "", options)), PH_EEXISTS);
    assert_state(fake, "c", PH_STATE_RUNNING);
}

/* if_exists=replace restarts with the new spec, and the caller waits for the
 * new instance. */
static void if_exists_replace_restarts_with_the_new_spec(void **state)
{
    struct fake_hub *fake = *state;
    const struct ph_start_options options = {.if_exists = PH_IF_EXISTS_REPLACE};
    run_child(fake, "c", "args=1");
    struct ph_op *op = fake_start_with(fake, "c", "args=2", options);
    assert_state(fake, "c", PH_STATE_STOPPING);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_string_equal(ph_child_spec_rcu(fake_child(fake, "c"))->args, "2");
    fake_up(fake, "c");
    assert_int_equal(fake_code(op), 0);
}

/* The new spec goes through the alter hooks, not the old one. */
static void replaced_spec_goes_through_the_alter_hooks(void **state)
{
    struct fake_hub *fake = *state;
    const struct ph_start_options options = {.if_exists = PH_IF_EXISTS_REPLACE};
    run_child(fake, "c", "args=old");
    fake_hook_add(fake, "child_data_alter", "a", 0, 0);
    fake_start_with(fake, "c", "args=new", options);
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
    assert_string_equal(call->alter->args, "new");
    fake_hook_done(fake, call->number, 0, fake_spec("args=new tags=altered"));
    const struct ph_spec *spec = ph_child_spec_rcu(fake_child(fake, "c"));
    assert_string_equal(spec->args, "new");
    assert_true(ph_spec_has_tag(spec, "altered"));
}

/* A roll-back stops what this call started, and nothing else. */
static void rollback_stops_exactly_what_the_call_started(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "old", "");
    struct ph_op *op =
        fake_start_with(fake, "old a b bad", "", (struct ph_start_options){.rollback = true});
    fake_up(fake, "a");
    fake_down(fake, "bad", PH_EXIT_EXEC, 2);
    assert_int_equal(fake_code(op), 1);
    fake_up(fake, "b");
    assert_state(fake, "a", PH_STATE_STOPPING);
    assert_state(fake, "b", PH_STATE_STOPPING);
    fake_down(fake, "a", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(op), 1);
    fake_down(fake, "b", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(op), PH_EPARTIAL);
    assert_true(ph_op_result(op)->rolled_back);
    assert_state(fake, "old", PH_STATE_RUNNING);
    assert_int_equal(fake->hub.picture.children, 1);
}

/* Also a child of the call that failed but would be restarted is stopped by the
 * roll-back. */
static void rollback_stops_a_failed_child_that_would_start_again(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op =
        fake_start_with(fake, "a bad", "", (struct ph_start_options){.rollback = true});
    fake_up(fake, "a");
    fake_down(fake, "bad", PH_EXIT_CODE, 1);
    fake_down(fake, "a", PH_EXIT_CODE, 0);
    assert_state(fake, "bad", PH_STATE_STOPPING);
    fake_down(fake, "bad", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(op), PH_EPARTIAL);
    assert_int_equal(fake->hub.picture.children, 0);
}

/* A child that the call was refused for is none of its business. */
static void rollback_leaves_refused_children_alone(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "other", "args=1");
    struct ph_op *op =
        fake_start_with(fake, "a other", "args=2", (struct ph_start_options){.rollback = true});
    fake_up(fake, "a");
    fake_down(fake, "a", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(op), PH_EPARTIAL);
    assert_state(fake, "other", PH_STATE_RUNNING);
    assert_gone(fake, "a");
}

/* Results are per child: what failed is named with its reason, the rest is
 * counted. */
static void results_name_the_children_that_failed(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op = fake_start(fake, "a b c", "");
    fake_up(fake, "a");
    fake_down(fake, "b", PH_EXIT_EXEC, 2);
    fake_up(fake, "c");
    const struct ph_op_result *result = ph_op_result(op);
    assert_int_equal(result->code, PH_EPARTIAL);
    assert_int_equal(result->changed, 2);
    assert_int_equal(result->failed, 1);
    assert_string_equal(result->failures[0].id, "b");
    op = fake_stop(fake, "a nobody");
    fake_down(fake, "a", PH_EXIT_CODE, 0);
    assert_int_equal(ph_op_result(op)->failures[0].code, PH_ENOTFOUND);
    assert_string_equal(ph_op_result(op)->failures[0].id, "nobody");
}

/* One child's failure touches no other child. */
static void failure_of_one_child_touches_no_other(void **state)
{
    struct fake_hub *fake = *state;
    fake_start(fake, "a b c", "max_restarts=0");
    fake_up_all(fake);
    size_t calls = fake->call_count;
    fake_down(fake, "b", PH_EXIT_SIGNAL, SIGKILL_NUMBER);
    assert_state(fake, "b", PH_STATE_FAILED);
    assert_state(fake, "a", PH_STATE_RUNNING);
    assert_state(fake, "c", PH_STATE_RUNNING);
    assert_int_equal(fake->call_count, calls);
}

/* An id that comes twice in one request is one child, and the request ends. */
static void duplicate_ids_are_one_child(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op = fake_start(fake, "a a a", "");
    assert_int_equal(starts_of(fake, "a"), 1);
    fake_up(fake, "a");
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(ph_op_result(op)->changed, 1);
    assert_int_equal(ph_op_result(op)->same, 2);
    op = fake_restart(fake, "a a");
    fake_down(fake, "a", PH_EXIT_CODE, 0);
    fake_up(fake, "a");
    assert_int_equal(fake_code(op), 0);
    op = fake_stop(fake, "a a");
    fake_down(fake, "a", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(fake->hub.picture.children, 0);
}

/* What an older instance says is ignored. */
static void news_of_an_old_instance_change_nothing(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "backoff=0");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    fake_up(fake, "c");
    fake_down_of(fake, "c", 1, PH_EXIT_CODE, 1);
    assert_state(fake, "c", PH_STATE_RUNNING);
}

/* A signal goes to what runs; elsewhere it is refused, by id. */
static void signal_reaches_running_children_only(void **state)
{
    struct fake_hub *fake = *state;
    run_child(fake, "c", "max_restarts=0");
    assert_int_equal(fake_code(fake_signal(fake, "c", 10)), 0);
    assert_int_equal(fake_take_verb(fake, FAKE_SIGNAL)->number, 10);
    fake->signal_answer = PH_EUNSUPPORTED;
    assert_int_equal(fake_code(fake_signal(fake, "c", 10)), PH_EUNSUPPORTED);
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    assert_int_equal(fake_code(fake_signal(fake, "c", 10)), PH_EREFUSED);
}

#define NARRATIVE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NARRATIVE(permanent_child_starts_again_after_any_end),
        NARRATIVE(transient_child_starts_again_unless_it_ended_well),
        NARRATIVE(temporary_child_is_removed_after_any_end),
        NARRATIVE(delays_double_within_bounds_and_never_decrease),
        NARRATIVE(long_life_makes_the_next_restart_immediate),
        NARRATIVE(jitter_spreads_children_that_fell_together),
        NARRATIVE(child_gives_up_with_a_reason),
        NARRATIVE(reason_tells_a_short_window_exactly),
        NARRATIVE(old_restarts_leave_the_window),
        NARRATIVE(start_of_a_failed_child_begins_anew),
        NARRATIVE(restart_of_a_failed_child_starts_it),
        NARRATIVE(stop_of_a_failed_child_removes_it),
        NARRATIVE(stop_waits_for_the_end_of_the_instance),
        NARRATIVE(stop_kills_at_the_deadline),
        NARRATIVE(stop_that_even_a_kill_does_not_end_is_told),
        NARRATIVE(second_stop_of_a_stuck_child_is_told_too),
        NARRATIVE(all_stops_of_one_child_are_answered),
        NARRATIVE(stop_during_the_start_cancels_it),
        NARRATIVE(stop_during_the_backoff_is_immediate),
        NARRATIVE(stop_during_the_alter_hook_starts_nothing),
        NARRATIVE(restart_makes_a_new_instance),
        NARRATIVE(restart_of_a_stopping_child_is_refused),
        NARRATIVE(stop_during_a_restart_wins),
        NARRATIVE(restart_during_the_backoff_is_immediate),
        NARRATIVE(exec_failure_at_the_first_start_leaves_nothing),
        NARRATIVE(exec_failure_at_a_restart_counts_as_a_failure),
        NARRATIVE(child_that_dies_before_it_is_ready_fails_the_start),
        NARRATIVE(restart_rate_lets_a_second_through_and_spaces_the_rest),
        NARRATIVE(restart_rate_of_one_means_one_a_second),
        NARRATIVE(restart_rate_counts_all_hubs),
        NARRATIVE(if_exists_same_compares_specs),
        NARRATIVE(if_exists_fail_refuses),
        NARRATIVE(if_exists_replace_restarts_with_the_new_spec),
        NARRATIVE(replaced_spec_goes_through_the_alter_hooks),
        NARRATIVE(rollback_stops_exactly_what_the_call_started),
        NARRATIVE(rollback_stops_a_failed_child_that_would_start_again),
        NARRATIVE(rollback_leaves_refused_children_alone),
        NARRATIVE(results_name_the_children_that_failed),
        NARRATIVE(failure_of_one_child_touches_no_other),
        NARRATIVE(duplicate_ids_are_one_child),
        NARRATIVE(news_of_an_old_instance_change_nothing),
        NARRATIVE(signal_reaches_running_children_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
