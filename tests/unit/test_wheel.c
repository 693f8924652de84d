#include "engine/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/prng.h"

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

static struct ph_wheel *new_wheel(uint64_t now_ms)
{
    struct ph_wheel *wheel = malloc(sizeof *wheel);
    assert_non_null(wheel);
    ph_wheel_init(wheel, now_ms);
    return wheel;
}

/* Timers fire at their deadline, not a millisecond before. */
static void timer_fires_at_its_deadline(void **state)
{
    (void)state;
    static const uint64_t distances[] = {
        1,
        255,
        256,
        257,
        300,
        65535,
        65536,
        65537,
        1 << 24,
        UINT32_MAX,
        UINT64_C(1) << 32,
        100 * DAY_MS,
        4000 * DAY_MS,
    };
    static const uint64_t starts[] = {0, 1, 255, 1000, 65535, 123456789, 1 << 24};
    struct ph_wheel *wheel = malloc(sizeof *wheel);
    for (size_t i = 0; i < PH_COUNT_OF(distances) * PH_COUNT_OF(starts); i++) {
        struct ph_wheel_timer timer = {0};
        uint64_t start = starts[i % PH_COUNT_OF(starts)];
        uint64_t deadline = start + distances[i / PH_COUNT_OF(starts)];
        ph_wheel_init(wheel, start);
        ph_wheel_add(wheel, &timer, deadline);
        assert_true(ph_wheel_next(wheel) == deadline);
        assert_null(ph_wheel_expire(wheel, deadline - 1));
        assert_true(ph_wheel_next(wheel) == deadline);
        assert_true(ph_wheel_is_armed(&timer));
        assert_ptr_equal(ph_wheel_expire(wheel, deadline), &timer);
        assert_false(ph_wheel_is_armed(&timer));
        assert_null(ph_wheel_expire(wheel, deadline));
        assert_true(ph_wheel_next(wheel) == PH_NEVER);
        assert_int_equal(wheel->armed, 0);
    }
    free(wheel);
}

/* A deadline in the past fires at the next advance, in its place by deadline. */
static void past_deadline_fires_at_the_next_advance(void **state)
{
    (void)state;
    struct ph_wheel *wheel = new_wheel(1000);
    struct ph_wheel_timer timers[4] = {{0}};
    ph_wheel_add(wheel, &timers[0], 1000);
    ph_wheel_add(wheel, &timers[1], 10);
    ph_wheel_add(wheel, &timers[2], 1000);
    ph_wheel_add(wheel, &timers[3], 10);
    assert_int_equal(ph_wheel_next(wheel), 10);
    assert_ptr_equal(ph_wheel_expire(wheel, 1000), &timers[1]);
    assert_ptr_equal(ph_wheel_expire(wheel, 1000), &timers[3]);
    assert_ptr_equal(ph_wheel_expire(wheel, 1000), &timers[0]);
    assert_ptr_equal(ph_wheel_expire(wheel, 500), &timers[2]);
    assert_int_equal(wheel->now_ms, 1000);
    free(wheel);
}

/* Equal deadlines come out in the order of arming, from whatever level they come. */
static void equal_deadlines_keep_the_order_of_arming(void **state)
{
    (void)state;
    enum { COUNT = 7 };
    const uint64_t deadline = 80 * DAY_MS + 17;
    static const uint64_t ahead[COUNT] = {
        70 * DAY_MS, 60 * DAY_MS, 40 * DAY_MS, DAY_MS, 40000, 200, 1,
    };
    struct ph_wheel *wheel = new_wheel(0);
    struct ph_wheel_timer timers[2 * COUNT] = {{0}};
    for (int i = 0; i < COUNT; i++) {
        assert_null(ph_wheel_expire(wheel, deadline - ahead[i]));
        ph_wheel_add(wheel, &timers[2 * i], deadline);
        ph_wheel_add(wheel, &timers[2 * i + 1], deadline);
    }
    for (int i = 0; i < 2 * COUNT; i++)
        assert_ptr_equal(ph_wheel_expire(wheel, deadline), &timers[i]);
    assert_null(ph_wheel_expire(wheel, deadline));
    free(wheel);
}

/* A cancelled timer never fires, an armed one can be moved, one that is not armed is left alone. */
static void timers_are_cancelled_and_moved(void **state)
{
    (void)state;
    struct ph_wheel *wheel = new_wheel(0);
    struct ph_wheel_timer a = {0}, b = {0};
    ph_wheel_cancel(wheel, &a);
    ph_wheel_add(wheel, &a, 100);
    ph_wheel_add(wheel, &b, 100);
    ph_wheel_cancel(wheel, &b);
    ph_wheel_cancel(wheel, &b);
    assert_int_equal(wheel->armed, 1);
    ph_wheel_add(wheel, &a, 70000);
    assert_int_equal(wheel->armed, 1);
    assert_int_equal(ph_wheel_next(wheel), 70000);
    assert_null(ph_wheel_expire(wheel, 69999));
    ph_wheel_cancel(wheel, &a);
    assert_true(ph_wheel_next(wheel) == PH_NEVER);
    assert_null(ph_wheel_expire(wheel, 80000));
    free(wheel);
}

/* A jump over years costs some turns, also with a timer that never comes. */
static void far_jumps_are_cheap(void **state)
{
    (void)state;
    struct ph_wheel *wheel = new_wheel(5);
    struct ph_wheel_timer near = {0}, later = {0}, never = {0};
    ph_wheel_add(wheel, &never, PH_NEVER);
    ph_wheel_add(wheel, &near, 6);
    ph_wheel_add(wheel, &later, UINT64_MAX - 1);
    assert_ptr_equal(ph_wheel_expire(wheel, UINT64_MAX), &near);
    assert_ptr_equal(ph_wheel_expire(wheel, UINT64_MAX), &later);
    assert_null(ph_wheel_expire(wheel, UINT64_MAX));
    assert_int_equal(wheel->armed, 1);
    free(wheel);
}

/* ---- Random operations against a list that is searched ---- */

enum { TIMERS = 200, STEPS = 100000 };

struct model {
    struct ph_wheel *wheel;
    struct ph_wheel_timer timers[TIMERS];
    uint64_t order[TIMERS]; /* of arming; 0: not armed */
    uint64_t deadline[TIMERS];
    uint64_t armings, now_ms;
    struct ph_prng prng;
};

static uint64_t random_distance(struct ph_prng *prng)
{
    return ph_prng_next(prng) >> (27 + ph_prng_below(prng, 37));
}

static int earliest(const struct model *model)
{
    int best = -1;
    for (int i = 0; i < TIMERS; i++) {
        if (!model->order[i])
            continue;
        if (best < 0 || model->deadline[i] < model->deadline[best] ||
            (model->deadline[i] == model->deadline[best] && model->order[i] < model->order[best]))
            best = i;
    }
    return best;
}

static void arm(struct model *model, int i)
{
    uint64_t back = ph_prng_below(&model->prng, 8) == 0 ? 20 : 0;
    uint64_t deadline = model->now_ms + random_distance(&model->prng);
    model->deadline[i] = deadline > back ? deadline - back : 0;
    if (ph_prng_below(&model->prng, 3) == 0) /* many equal ones */
        model->deadline[i] = model->deadline[i] / 4096 * 4096;
    model->order[i] = ++model->armings;
    ph_wheel_add(model->wheel, &model->timers[i], model->deadline[i]);
}

static void advance(struct model *model)
{
    model->now_ms += random_distance(&model->prng);
    for (;;) {
        int expected = earliest(model);
        struct ph_wheel_timer *timer = ph_wheel_expire(model->wheel, model->now_ms);
        if (expected < 0 || model->deadline[expected] > model->now_ms) {
            assert_null(timer);
            return;
        }
        assert_ptr_equal(timer, &model->timers[expected]);
        model->order[expected] = 0;
        if (ph_prng_below(&model->prng, 4) == 0)
            arm(model, expected); /* as a handler would */
    }
}

static void check_next(const struct model *model)
{
    int expected = earliest(model);
    uint64_t next = ph_wheel_next(model->wheel);
    assert_true(expected < 0 ? next == PH_NEVER : next <= model->deadline[expected]);
}

/* 100,000 random operations: the wheel gives what a search through all timers gives. */
static void wheel_agrees_with_a_searched_list(void **state)
{
    (void)state;
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    model->wheel = new_wheel(0);
    ph_prng_init(&model->prng, 20261122);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)ph_prng_below(&model->prng, TIMERS);
        uint64_t kind = ph_prng_below(&model->prng, 10);
        if (kind < 5)
            arm(model, i);
        else if (kind < 7) {
            ph_wheel_cancel(model->wheel, &model->timers[i]);
            model->order[i] = 0;
        } else
            advance(model);
        check_next(model);
    }
    free(model->wheel);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer_fires_at_its_deadline),
        cmocka_unit_test(past_deadline_fires_at_the_next_advance),
        cmocka_unit_test(equal_deadlines_keep_the_order_of_arming),
        cmocka_unit_test(timers_are_cancelled_and_moved),
        cmocka_unit_test(far_jumps_are_cheap),
        cmocka_unit_test(wheel_agrees_with_a_searched_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
