#include "engine/timer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/waiter.h"
#include "tests/lib/eventually.h"

struct probe {
    struct ph_timers_alarm alarm;
    struct ph_timers *timers;
    uint64_t deadline_ms;
    atomic_int fired, early;
    atomic_int turn; /* order of firing */
    atomic_int *turns;
    atomic_bool entered, canceling, release;
    int fired_at_return;
    int again; /* how often fire sets itself again */
};

static void fire(struct ph_timers_alarm *alarm)
{
    struct probe *probe = ph_container_of(alarm, struct probe, alarm);
    if (ph_now_ms() < probe->deadline_ms)
        atomic_fetch_add(&probe->early, 1);
    if (probe->turns)
        atomic_store(&probe->turn, atomic_fetch_add(probe->turns, 1));
    if (probe->again-- > 0)
        ph_timers_set(probe->timers, alarm, ph_now_ms() + 1);
    atomic_fetch_add(&probe->fired, 1);
}

static bool has_fired(void *arg)
{
    return atomic_load(&((struct probe *)arg)->fired) > 0;
}

static bool has_fired_four_times(void *arg)
{
    return atomic_load(&((struct probe *)arg)->fired) == 4;
}

static bool has_entered(void *arg)
{
    return atomic_load(&((struct probe *)arg)->entered);
}

static int set_up(void **state)
{
    struct ph_timers *timers;
    if (ph_timers_create(&timers))
        return -1;
    *state = timers;
    return 0;
}

static int tear_down(void **state)
{
    ph_timers_destroy(*state);
    return 0;
}

static void arm(struct ph_timers *timers, struct probe *probe, uint64_t in_ms)
{
    probe->timers = timers;
    probe->alarm.fire = fire;
    probe->deadline_ms = ph_now_ms() + in_ms;
    ph_timers_set(timers, &probe->alarm, probe->deadline_ms);
}

/* An alarm fires once, not before its deadline; one in the past at once. */
static void alarm_fires_at_its_deadline(void **state)
{
    struct probe soon = {0}, past = {0};
    arm(*state, &soon, 20);
    arm(*state, &past, 0);
    assert_true(eventually(has_fired, &past, 5000));
    assert_true(eventually(has_fired, &soon, 5000));
    ph_timers_cancel(*state, &soon.alarm);
    assert_int_equal(atomic_load(&soon.fired), 1);
    assert_int_equal(atomic_load(&soon.early), 0);
}

/* An earlier alarm wakes the thread that sleeps for a later one; they fire in the order of their
 * deadlines. */
static void earlier_alarm_overtakes_a_later_one(void **state)
{
    atomic_int turns = 0;
    struct probe hour = {0}, second = {.turns = &turns}, first = {.turns = &turns};
    arm(*state, &hour, 3600000);
    arm(*state, &second, 40);
    arm(*state, &first, 5);
    assert_true(eventually(has_fired, &second, 5000));
    assert_int_equal(atomic_load(&first.turn), 0);
    assert_int_equal(atomic_load(&second.turn), 1);
    ph_timers_cancel(*state, &hour.alarm);
    assert_int_equal(atomic_load(&hour.fired), 0);
}

/* An alarm may be moved, and may set itself again. */
static void alarm_is_set_again(void **state)
{
    struct probe probe = {.again = 3};
    arm(*state, &probe, 3600000);
    arm(*state, &probe, 1);
    assert_true(eventually(has_fired_four_times, &probe, 5000));
    ph_timers_cancel(*state, &probe.alarm);
    assert_int_equal(atomic_load(&probe.early), 0);
}

static bool is_released(void *arg)
{
    return atomic_load(&((struct probe *)arg)->release);
}

static void fire_until_released(struct ph_timers_alarm *alarm)
{
    struct probe *probe = ph_container_of(alarm, struct probe, alarm);
    atomic_store(&probe->entered, true);
    eventually(is_released, probe, 5000);
    ph_timers_set(probe->timers, alarm, 0); /* cancel must see to this one, too */
    atomic_fetch_add(&probe->fired, 1);
}

static void *cancel_it(void *arg)
{
    struct probe *probe = arg;
    atomic_store(&probe->canceling, true);
    ph_timers_cancel(probe->timers, &probe->alarm);
    probe->fired_at_return = atomic_load(&probe->fired);
    return NULL;
}

static bool is_canceling(void *arg)
{
    return atomic_load(&((struct probe *)arg)->canceling);
}

/* Cancel waits for a fire that runs, and takes back what that fire set. */
static void cancel_waits_for_a_running_fire(void **state)
{
    struct probe *probe = calloc(1, sizeof *probe);
    pthread_t thread;
    assert_non_null(probe);
    probe->timers = *state;
    probe->alarm.fire = fire_until_released;
    ph_timers_set(*state, &probe->alarm, 0);
    assert_true(eventually(has_entered, probe, 5000));
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, probe), 0);
    assert_true(eventually(is_canceling, probe, 5000));
    atomic_store(&probe->release, true);
    pthread_join(thread, NULL);
    assert_true(probe->fired_at_return >= 1);
    assert_int_equal(atomic_load(&probe->fired), probe->fired_at_return);
    assert_false(ph_wheel_is_armed(&probe->alarm.timer));
    free(probe);
}

int main(void)
{
#define TIMER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TIMER_TEST(alarm_fires_at_its_deadline),
        TIMER_TEST(earlier_alarm_overtakes_a_later_one),
        TIMER_TEST(alarm_is_set_again),
        TIMER_TEST(cancel_waits_for_a_running_fire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
