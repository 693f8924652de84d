#include "engine/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/prng.h"
#include "engine/wheel.h"

static int lock_with(struct ph_gate *gate, const char *name, const char *reason, uint8_t level,
                     uint64_t now_ms, uint64_t deadline_ms, bool discard, bool user,
                     const struct ph_lock **lock)
{
    const struct ph_lock_request request = {
        .name = name,
        .reason = reason,
        .level = level,
        .discard = discard,
        .user = user,
        .deadline_ms = deadline_ms,
    };
    return ph_gate_lock(gate, &request, now_ms, lock);
}

enum { EVENTS = 16 };

struct fixture {
    struct ph_gate gate;
    struct ph_gated events[EVENTS];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture)
        return -1;
    ph_gate_init(&fixture->gate);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    while (ph_gate_take_all(&fixture->gate))
        continue;
    ph_gate_fini(&fixture->gate);
    free(fixture);
    return 0;
}

static uint64_t lock(struct ph_gate *gate, const char *name, uint8_t level, uint64_t deadline_ms)
{
    const struct ph_lock *taken = NULL;
    assert_int_equal(lock_with(gate, name, "", level, 0, deadline_ms, false, false, &taken), 0);
    return taken->token;
}

static enum ph_gate_verdict admit(struct fixture *fixture, int number, uint8_t priority)
{
    fixture->events[number].priority = priority;
    return ph_gate_admit(&fixture->gate, &fixture->events[number], 0);
}

static void hold(struct fixture *fixture, int number, uint8_t priority)
{
    assert_int_equal(admit(fixture, number, priority), PH_GATE_HELD);
}

/* The next released event is this one. */
static void assert_next(struct fixture *fixture, int number)
{
    assert_ptr_equal(ph_gate_next(&fixture->gate), &fixture->events[number]);
}

static void assert_no_more(struct fixture *fixture)
{
    assert_null(ph_gate_next(&fixture->gate));
}

/* Without a lock everything passes. */
static void open_gate_passes_everything(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(admit(fixture, 0, 0), PH_GATE_PASS);
    assert_int_equal(admit(fixture, 1, 255), PH_GATE_PASS);
    assert_no_more(fixture);
    assert_int_equal(fixture->gate.level, 0);
    assert_true(ph_gate_deadline(&fixture->gate) == PH_NEVER);
    assert_null(ph_gate_holder(&fixture->gate));
}

/* Priority at or above the level passes, below it waits. */
static void locked_gate_holds_what_is_below_its_level(void **state)
{
    struct fixture *fixture = *state;
    lock(&fixture->gate, "", 10, 1000);
    assert_int_equal(admit(fixture, 0, 10), PH_GATE_PASS);
    assert_int_equal(admit(fixture, 1, 255), PH_GATE_PASS);
    assert_int_equal(admit(fixture, 2, 9), PH_GATE_HELD);
    assert_int_equal(fixture->gate.held_count, 1);
    assert_int_equal(fixture->gate.held_total, 1);
    assert_false(ph_gate_releasing(&fixture->gate)); /* nobody has to look */
    assert_no_more(fixture);
}

/* Held events come out in their order of arrival, also after a second lock (the reference reverses
 * them there). */
static void held_order_is_kept_over_several_locks(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = lock(&fixture->gate, "", 10, 1000);
    for (int i = 1; i <= 3; i++)
        hold(fixture, i, 0);
    uint64_t second = lock(&fixture->gate, "", 10, 1000);
    assert_no_more(fixture);
    hold(fixture, 4, 0);
    assert_true(ph_gate_unlock(&fixture->gate, first));
    assert_no_more(fixture);
    hold(fixture, 5, 0);
    assert_true(ph_gate_unlock(&fixture->gate, second));
    for (int i = 1; i <= 5; i++)
        assert_next(fixture, i);
    assert_no_more(fixture);
}

/* Two operations overlap: the end of one does not open the gate under the other. */
static void overlapping_locks_never_open_early(void **state)
{
    struct fixture *fixture = *state;
    uint64_t join = lock(&fixture->gate, "join", 10, 1000);
    uint64_t leave = lock(&fixture->gate, "leave", 10, 2000);
    hold(fixture, 0, 0);
    assert_true(ph_gate_unlock(&fixture->gate, join));
    assert_int_equal(fixture->gate.level, 10);
    assert_no_more(fixture);
    assert_true(ph_gate_unlock(&fixture->gate, leave));
    assert_int_equal(fixture->gate.level, 0);
    assert_next(fixture, 0);
}

/* Only a live token releases; a stale one, or one never given, changes nothing. */
static void stale_token_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint64_t stale = lock(&fixture->gate, "same", 10, 1000);
    assert_true(ph_gate_unlock(&fixture->gate, stale));
    uint64_t live = lock(&fixture->gate, "same", 10, 1000);
    assert_true(live != stale);
    hold(fixture, 0, 0);
    assert_false(ph_gate_unlock(&fixture->gate, stale));
    assert_false(ph_gate_unlock(&fixture->gate, 0));
    assert_false(ph_gate_unlock(&fixture->gate, live + 1));
    assert_int_equal(fixture->gate.level, 10);
    assert_int_equal(fixture->gate.lock_count, 1);
    assert_no_more(fixture);
}

/* At its deadline a lock is taken away, once, and the caller learns which. */
static void raised_gate_opens_at_its_deadline(void **state)
{
    struct fixture *fixture = *state;
    uint64_t token = lock(&fixture->gate, "join", 10, 1000);
    struct ph_lock expired;
    hold(fixture, 0, 0);
    assert_int_equal(ph_gate_deadline(&fixture->gate), 1000);
    assert_false(ph_gate_expire(&fixture->gate, 999, &expired));
    assert_true(ph_gate_expire(&fixture->gate, 1000, &expired));
    assert_string_equal(expired.name, "join");
    assert_true(expired.token == token && !expired.next);
    assert_false(ph_gate_expire(&fixture->gate, 1000, &expired));
    assert_int_equal(fixture->gate.expired, 1);
    assert_next(fixture, 0);
    assert_false(ph_gate_unlock(&fixture->gate, token));
}

/* The level falls to what the other locks demand, and only what passes there comes out. */
static void deadline_opens_to_the_level_of_the_others(void **state)
{
    struct fixture *fixture = *state;
    lock(&fixture->gate, "high", 50, 1000);
    lock(&fixture->gate, "low", 10, 5000);
    struct ph_lock expired;
    hold(fixture, 0, 5);
    hold(fixture, 1, 20);
    hold(fixture, 2, 0);
    hold(fixture, 3, 10);
    assert_string_equal(ph_gate_holder(&fixture->gate)->name, "high");
    assert_true(ph_gate_expire(&fixture->gate, 1500, &expired));
    assert_int_equal(fixture->gate.level, 10);
    assert_string_equal(ph_gate_holder(&fixture->gate)->name, "low");
    assert_int_equal(ph_gate_deadline(&fixture->gate), 5000);
    assert_next(fixture, 1);
    assert_next(fixture, 3);
    assert_no_more(fixture);
    assert_true(ph_gate_expire(&fixture->gate, 5000, &expired));
    assert_next(fixture, 0);
    assert_next(fixture, 2);
    assert_no_more(fixture);
}

/* Several passed deadlines come earliest first, of equal ones the older lock. */
static void deadlines_expire_in_order(void **state)
{
    struct fixture *fixture = *state;
    lock(&fixture->gate, "b", 10, 200);
    lock(&fixture->gate, "c", 10, 200);
    lock(&fixture->gate, "a", 20, 100);
    struct ph_lock expired;
    for (const char *name = "abc"; *name; name++) {
        assert_true(ph_gate_expire(&fixture->gate, 300, &expired));
        assert_int_equal(expired.name[0], *name);
    }
    assert_false(ph_gate_expire(&fixture->gate, 300, &expired));
}

/* A lock without a deadline (a partition's) never falls open. */
static void lock_without_deadline_never_opens(void **state)
{
    struct fixture *fixture = *state;
    uint64_t partition = lock(&fixture->gate, "partition", 10, PH_NEVER);
    uint64_t leave = lock(&fixture->gate, "leave", 10, 1000);
    struct ph_lock expired;
    hold(fixture, 0, 0);
    assert_true(ph_gate_expire(&fixture->gate, UINT64_MAX, &expired));
    assert_false(ph_gate_expire(&fixture->gate, UINT64_MAX, &expired));
    assert_false(ph_gate_unlock(&fixture->gate, leave));
    assert_int_equal(fixture->gate.level, 10);
    assert_no_more(fixture);
    assert_true(ph_gate_unlock(&fixture->gate, partition));
    assert_next(fixture, 0);
}

/* Events are dropped when they say so, or when a lock that is above them says so. */
static void discard_drops_instead_of_holding(void **state)
{
    struct fixture *fixture = *state;
    uint64_t plain = lock(&fixture->gate, "plain", 50, 1000);
    hold(fixture, 0, 0);
    fixture->events[1].discard = true;
    assert_int_equal(admit(fixture, 1, 0), PH_GATE_DISCARD);
    assert_int_equal(admit(fixture, 1, 50), PH_GATE_PASS);
    const struct ph_lock *taken;
    assert_int_equal(lock_with(&fixture->gate, "drop", "", 10, 0, 1000, true, true, &taken), 0);
    assert_true(taken->discard && taken->user);
    assert_int_equal(admit(fixture, 2, 9), PH_GATE_DISCARD);
    hold(fixture, 3, 10);
    assert_int_equal(fixture->gate.discarded, 2);
    assert_true(ph_gate_unlock(&fixture->gate, taken->token));
    hold(fixture, 4, 9);
    assert_true(ph_gate_unlock(&fixture->gate, plain));
    assert_next(fixture, 0);
    assert_next(fixture, 3);
    assert_next(fixture, 4);
    assert_no_more(fixture);
}

/* A lock taken in the middle of a release stops it; the rest keeps its order behind it. */
static void raise_in_the_middle_of_a_release_keeps_the_rest(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = lock(&fixture->gate, "", 10, 1000);
    for (int i = 0; i < 4; i++)
        hold(fixture, i, 0);
    assert_true(ph_gate_unlock(&fixture->gate, first));
    assert_next(fixture, 0);
    assert_next(fixture, 1);
    uint64_t second = lock(&fixture->gate, "", 10, 1000);
    assert_no_more(fixture);
    hold(fixture, 4, 0);
    assert_true(ph_gate_unlock(&fixture->gate, second));
    for (int i = 2; i <= 4; i++)
        assert_next(fixture, i);
    assert_no_more(fixture);
}

/* PH_LOCKS_MAX locks; one more is refused and the level stays. */
static void locks_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < PH_LOCKS_MAX; i++)
        lock(&fixture->gate, "", 10, 1000);
    const struct ph_lock *none = NULL;
    assert_int_equal(lock_with(&fixture->gate, "", "", 90, 0, 1, false, false, &none), PH_ELIMIT);
    assert_null(none);
    assert_int_equal(fixture->gate.level, 10);
    assert_int_equal(fixture->gate.lock_count, PH_LOCKS_MAX);
}

/* PH_GATE_HELD_MAX held events; what comes beyond is refused and counted. */
static void held_events_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct ph_gated *events = calloc(PH_GATE_HELD_MAX + 2, sizeof *events);
    assert_non_null(events);
    uint64_t token = lock(&fixture->gate, "", 10, 1000);
    for (int i = 0; i < PH_GATE_HELD_MAX; i++)
        assert_int_equal(ph_gate_admit(&fixture->gate, &events[i], 7), PH_GATE_HELD);
    assert_int_equal(ph_gate_admit(&fixture->gate, &events[PH_GATE_HELD_MAX], 7), PH_GATE_REFUSED);
    assert_int_equal(fixture->gate.refused, 1);
    assert_int_equal(fixture->gate.held_count, PH_GATE_HELD_MAX);
    assert_int_equal(events[5].since_ms, 7);
    assert_true(ph_gate_unlock(&fixture->gate, token));
    for (int i = 0; i < PH_GATE_HELD_MAX; i++)
        assert_ptr_equal(ph_gate_next(&fixture->gate), &events[i]);
    assert_no_more(fixture);
    assert_int_equal(fixture->gate.held_count, 0);
    free(events);
}

/* Live names are unique; a lock without one gets a free one; texts are checked or cut. */
static void lock_names_are_unique(void **state)
{
    struct fixture *fixture = *state;
    const struct ph_lock *taken = NULL;
    lock(&fixture->gate, "lock-3", 10, 1000);
    lock(&fixture->gate, "", 10, 1000);
    assert_non_null(ph_gate_find(&fixture->gate, "lock-2"));
    lock(&fixture->gate, "", 10, 1000);
    assert_non_null(ph_gate_find(&fixture->gate, "lock-4"));
    assert_int_equal(lock_with(&fixture->gate, "lock-3", "", 10, 0, 1, false, false, &taken),
                     PH_EEXISTS);
    char text[100];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(lock_with(&fixture->gate, text, "", 10, 0, 1, false, false, &taken),
                     PH_EUSAGE);
    assert_int_equal(lock_with(&fixture->gate, "", "", 0, 0, 1, false, false, &taken), PH_EUSAGE);
    assert_int_equal(lock_with(&fixture->gate, "", "", 101, 0, 1, false, false, &taken), PH_EUSAGE);
    assert_null(taken);
    memcpy(text + 63, "\xc3\xa9", 2);
    assert_int_equal(lock_with(&fixture->gate, "r", text, 10, 3, 9, false, true, &taken), 0);
    assert_int_equal(strlen(taken->reason), 63);
    assert_int_equal(taken->since_ms, 3);
    assert_int_equal(fixture->gate.lock_count, 4);
}

/* Of the locks at the level the one that stays longest holds the gate. */
static void holder_is_the_longest_lock_at_the_level(void **state)
{
    struct fixture *fixture = *state;
    lock(&fixture->gate, "long", 10, 9000);
    lock(&fixture->gate, "high", 20, 1000);
    lock(&fixture->gate, "high-longer", 20, 2000);
    lock(&fixture->gate, "high-too", 20, 1500);
    assert_string_equal(ph_gate_holder(&fixture->gate)->name, "high-longer");
}

/* At shutdown everything held comes out, whatever the level. */
static void take_all_empties_a_locked_gate(void **state)
{
    struct fixture *fixture = *state;
    lock(&fixture->gate, "", 10, PH_NEVER);
    for (int i = 0; i < 3; i++)
        hold(fixture, i, 0);
    assert_no_more(fixture);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(ph_gate_take_all(&fixture->gate), &fixture->events[i]);
    assert_null(ph_gate_take_all(&fixture->gate));
    hold(fixture, 4, 0);
    assert_int_equal(fixture->gate.held_count, 1);
}

/* ---- Random operations against a model that searches arrays ---- */

enum { STEPS = 100000, HELD_MAX = 600, LOCKS_MAX = 12 };

struct model_lock {
    uint64_t token, deadline_ms;
    uint8_t level;
    bool discard;
};

struct model {
    struct ph_gate gate;
    struct ph_prng prng;
    uint64_t now_ms;
    struct ph_gated *held[HELD_MAX];
    size_t held_count;
    struct model_lock locks[LOCKS_MAX]; /* oldest first */
    size_t lock_count;
};

static uint64_t below(struct model *model, uint64_t bound)
{
    return ph_prng_below(&model->prng, bound);
}

static uint8_t model_level(const struct model *model)
{
    uint8_t level = 0;
    for (size_t i = 0; i < model->lock_count; i++)
        level = model->locks[i].level > level ? model->locks[i].level : level;
    return level;
}

static enum ph_gate_verdict model_admit(const struct model *model, const struct ph_gated *event)
{
    if (event->priority >= model_level(model))
        return PH_GATE_PASS;
    bool drop = event->discard;
    for (size_t i = 0; i < model->lock_count; i++)
        drop = drop || (model->locks[i].discard && event->priority < model->locks[i].level);
    return drop ? PH_GATE_DISCARD : PH_GATE_HELD;
}

static void remove_held(struct model *model, size_t at)
{
    memmove(&model->held[at], &model->held[at + 1],
            (model->held_count - at - 1) * sizeof *model->held);
    model->held_count--;
}

static void remove_lock(struct model *model, size_t at)
{
    memmove(&model->locks[at], &model->locks[at + 1],
            (model->lock_count - at - 1) * sizeof *model->locks);
    model->lock_count--;
}

static void step_admit(struct model *model)
{
    if (model->held_count == HELD_MAX)
        return;
    struct ph_gated *event = calloc(1, sizeof *event);
    assert_non_null(event);
    event->priority = (uint8_t)(below(model, 20) ? below(model, 30) : 255);
    event->discard = below(model, 20) == 0;
    enum ph_gate_verdict expected = model_admit(model, event);
    assert_int_equal(ph_gate_admit(&model->gate, event, model->now_ms), expected);
    if (expected == PH_GATE_HELD)
        model->held[model->held_count++] = event;
    else
        free(event);
}

/* Releases up to `most` events; false when there was none left. */
static bool step_release(struct model *model, uint64_t most)
{
    for (; most > 0; most--) {
        size_t at = 0;
        while (at < model->held_count && model->held[at]->priority < model_level(model))
            at++;
        struct ph_gated *event = ph_gate_next(&model->gate);
        if (at == model->held_count) {
            assert_null(event);
            return false;
        }
        assert_ptr_equal(event, model->held[at]);
        remove_held(model, at);
        free(event);
    }
    return true;
}

static void step_lock(struct model *model)
{
    if (model->lock_count == LOCKS_MAX)
        return;
    struct model_lock made = {
        .level = (uint8_t)(1 + below(model, 30)),
        .deadline_ms = below(model, 10) ? model->now_ms + below(model, 500) : PH_NEVER,
        .discard = below(model, 5) == 0,
    };
    const struct ph_lock *taken = NULL;
    assert_int_equal(lock_with(&model->gate, "", "", made.level, model->now_ms, made.deadline_ms,
                               made.discard, false, &taken),
                     0);
    made.token = taken->token;
    model->locks[model->lock_count++] = made;
}

static void step_unlock(struct model *model)
{
    uint64_t token = below(model, model->gate.next_token);
    if (model->lock_count && below(model, 4))
        token = model->locks[below(model, model->lock_count)].token;
    size_t at = 0;
    while (at < model->lock_count && model->locks[at].token != token)
        at++;
    assert_int_equal(ph_gate_unlock(&model->gate, token), at < model->lock_count);
    if (at < model->lock_count)
        remove_lock(model, at);
}

static void step_time(struct model *model)
{
    model->now_ms += below(model, 100);
    for (;;) {
        size_t first = model->lock_count;
        for (size_t i = 0; i < model->lock_count; i++) {
            if (model->locks[i].deadline_ms <= model->now_ms &&
                (first == model->lock_count ||
                 model->locks[i].deadline_ms < model->locks[first].deadline_ms))
                first = i;
        }
        struct ph_lock expired;
        assert_int_equal(ph_gate_expire(&model->gate, model->now_ms, &expired),
                         first < model->lock_count);
        if (first == model->lock_count)
            return;
        assert_int_equal(expired.token, model->locks[first].token);
        remove_lock(model, first);
    }
}

/* The invariants of gate.h. */
static void check(struct model *model)
{
    assert_int_equal(model->gate.level, model_level(model));
    assert_int_equal(model->gate.held_count, model->held_count);
    assert_int_equal(model->gate.lock_count, model->lock_count);
    uint64_t arrival = 0;
    for (const struct ph_gated *event = model->gate.held_first; event; event = event->next) {
        assert_true(event->arrival >= arrival);
        arrival = event->arrival + 1;
    }
}

static void step(struct model *model)
{
    uint64_t kind = below(model, 100);
    if (kind < 50)
        step_admit(model);
    else if (kind < 60)
        step_lock(model);
    else if (kind < 68)
        step_unlock(model);
    else if (kind < 78)
        step_time(model);
    else if (kind < 90)
        step_release(model, 1 + below(model, 3));
    else
        while (step_release(model, UINT64_MAX))
            continue;
}

/* 100,000 random operations: the gate does what the model does, and its invariants hold. */
static void gate_agrees_with_a_naive_model(void **state)
{
    (void)state;
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    ph_gate_init(&model->gate);
    ph_prng_init(&model->prng, 20261122);
    for (int i = 0; i < STEPS; i++) {
        step(model);
        if (i % 16 == 0)
            check(model);
    }
    for (size_t i = 0; i < model->held_count; i++) {
        struct ph_gated *event = ph_gate_take_all(&model->gate);
        assert_ptr_equal(event, model->held[i]);
        free(event);
    }
    assert_true(model->gate.held_total > 10000 && model->gate.discarded > 1000 &&
                model->gate.expired > 1000);
    ph_gate_fini(&model->gate);
    free(model);
}

int main(void)
{
#define GATE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        GATE_TEST(open_gate_passes_everything),
        GATE_TEST(locked_gate_holds_what_is_below_its_level),
        GATE_TEST(held_order_is_kept_over_several_locks),
        GATE_TEST(overlapping_locks_never_open_early),
        GATE_TEST(stale_token_changes_nothing),
        GATE_TEST(raised_gate_opens_at_its_deadline),
        GATE_TEST(deadline_opens_to_the_level_of_the_others),
        GATE_TEST(deadlines_expire_in_order),
        GATE_TEST(lock_without_deadline_never_opens),
        GATE_TEST(discard_drops_instead_of_holding),
        GATE_TEST(raise_in_the_middle_of_a_release_keeps_the_rest),
        GATE_TEST(locks_are_bounded),
        GATE_TEST(held_events_are_bounded),
        GATE_TEST(lock_names_are_unique),
        GATE_TEST(holder_is_the_longest_lock_at_the_level),
        GATE_TEST(take_all_empties_a_locked_gate),
        cmocka_unit_test(gate_agrees_with_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
