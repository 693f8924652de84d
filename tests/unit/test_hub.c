#include "engine/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tests/lib/fakehub.h"

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

static void run_children(struct fake_hub *fake, const char *ids)
{
    struct ph_op *op = fake_start(fake, ids, "");
    fake_up_all(fake);
    assert_int_equal(fake_code(op), 0);
}

static void assert_reply(struct ph_op *op, const char *reply)
{
    assert_int_equal(fake_code(op), 0);
    assert_string_equal(ph_op_result(op)->reply, reply);
}

static struct ph_status status_of(struct fake_hub *fake)
{
    struct ph_status status;
    ph_hub_picture(&fake->hub, &status);
    return status;
}

/* ---- The gate in front of the hub ---------------------------------------------------------- */

/* A held dispatch is answered at once with "held" and passes, in order, when the gate opens. */
static void held_dispatches_pass_in_order_when_the_gate_opens(void **state)
{
    struct fake_hub *fake = *state;
    fake_lock(fake, "maintenance", 10, 0);
    assert_reply(fake_dispatch(fake, "one", 0), "held");
    assert_reply(fake_dispatch(fake, "two", 9), "held");
    assert_reply(fake_dispatch(fake, "urgent", 10), "passed");
    assert_int_equal(status_of(fake).held, 2);
    assert_int_equal(fake_count_records(fake, "one"), 0);
    fake_unlock(fake, "maintenance");
    assert_int_equal(status_of(fake).held, 0);
    uint64_t urgent = fake_last(fake, "urgent", NULL)->seq;
    uint64_t one = fake_last(fake, "one", NULL)->seq, two = fake_last(fake, "two", NULL)->seq;
    assert_true(urgent < one && one < two);
}

/* What comes right after an unlock does not overtake what was held. */
static void held_events_are_not_overtaken(void **state)
{
    struct fake_hub *fake = *state;
    fake_lock(fake, "l", 10, 0);
    fake_dispatch(fake, "held", 0);
    fake_submit(fake, fake_event(fake, PH_EVENT_UNLOCK, NULL));
    struct ph_event *event = fake_event(fake, PH_EVENT_DISPATCH, NULL);
    snprintf(event->dispatch.name, sizeof event->dispatch.name, "next");
    fake_submit(fake, event);
    assert_true(fake_last(fake, "held", NULL)->seq < fake_last(fake, "next", NULL)->seq);
}

/* Requests have priority 10: they pass the usual lock and wait behind a higher one. */
static void starts_pass_level_10_and_wait_at_level_20(void **state)
{
    struct fake_hub *fake = *state;
    fake_lock(fake, "low", 10, 0);
    fake_start(fake, "a", "");
    assert_int_equal(fake_state(fake, "a"), PH_STATE_STARTING);
    fake_lock(fake, "high", 20, 0);
    struct ph_op *op = fake_start(fake, "b", "");
    assert_int_equal(fake_state(fake, "b"), -1);
    assert_int_equal(fake_code(op), 1);
    fake_up(fake, "a"); /* the life of what is there goes on */
    assert_int_equal(fake_state(fake, "a"), PH_STATE_RUNNING);
    fake_unlock(fake, "high");
    assert_int_equal(fake_state(fake, "b"), PH_STATE_STARTING);
    fake_up(fake, "b");
    assert_int_equal(fake_code(op), 0);
}

/* The level is the maximum of the live locks: the end of one never opens another early. */
static void overlapping_locks_never_open_early(void **state)
{
    struct fake_hub *fake = *state;
    fake_lock(fake, "long", 10, 5000);
    fake_lock(fake, "short", 30, 1000);
    assert_int_equal(status_of(fake).level, 30);
    assert_string_equal(status_of(fake).holder, "short");
    fake_dispatch(fake, "held", 0);
    fake_advance(fake, 1000);
    assert_int_equal(status_of(fake).level, 10);
    assert_string_equal(status_of(fake).holder, "long");
    assert_int_equal(status_of(fake).held, 1);
    fake_lock(fake, "third", 10, 9000);
    fake_unlock(fake, "third");
    fake_advance(fake, 3999);
    assert_int_equal(status_of(fake).held, 1);
    fake_advance(fake, 1);
    assert_int_equal(status_of(fake).level, 0);
    assert_int_equal(fake_count_records(fake, "held"), 1);
}

/* An expired lock is an event and a hook; then the level changes; then what was held comes out. */
static void expiry_is_told_before_held_events_come_out(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "gate_expired", "e", 0, 0);
    fake_hook_add(fake, "priority_state_updated", "p", 0, 0);
    fake_lock(fake, "slow-move", 10, 2000);
    fake_dispatch(fake, "held", 0);
    fake_advance(fake, 2000);
    const struct fake_record *expired = fake_last(fake, "gate_expired", NULL);
    const struct fake_record *level = fake_last(fake, "gate_level", NULL);
    assert_string_equal(expired->text, "slow-move: its time was up after 2000 ms");
    assert_string_equal(level->text, "10 -> 0");
    assert_int_equal(level->cause, expired->seq);
    assert_true(level->seq < fake_last(fake, "held", NULL)->seq);
    assert_int_equal(status_of(fake).expired, 1);
    assert_string_equal(fake_take_verb(fake, FAKE_HOOK)->text, "\"level\":10,\"before\":0");
    assert_string_equal(fake_take_verb(fake, FAKE_HOOK)->text,
                        "\"lock\":\"slow-move\",\"level\":10,\"now\":0");
}

/* Discarded is what asks for it or meets a lock that does so; the caller is told. */
static void discarded_events_are_answered(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op;
    fake_lock(fake, "l", 10, 0);
    struct ph_event *event = fake_event(fake, PH_EVENT_DISPATCH, &op);
    snprintf(event->dispatch.name, sizeof event->dispatch.name, "note");
    event->gated.discard = true;
    fake_submit(fake, event);
    assert_reply(op, "discarded");
    event = fake_event(fake, PH_EVENT_LOCK, NULL);
    event->lock.level = 20;
    event->lock.discard = true;
    fake_submit(fake, event);
    assert_reply(fake_dispatch(fake, "note", 15), "discarded");
    assert_int_equal(fake_code(fake_start(fake, "a", "")), PH_EREFUSED);
    assert_int_equal(status_of(fake).discarded, 3);
    fake_unlock(fake, "");
    assert_int_equal(fake_count_records(fake, "note"), 0);
}

static struct ph_op *dispatch_with_lock(struct fake_hub *fake, const char *name)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_DISPATCH, &op);
    snprintf(event->dispatch.name, sizeof event->dispatch.name, "%s", name);
    event->dispatch.lock = ph_event_create(PH_EVENT_LOCK);
    snprintf(event->dispatch.lock->lock.name, sizeof event->dispatch.lock->lock.name, "with-it");
    event->dispatch.lock->lock.level = 10;
    fake_submit(fake, event);
    return op;
}

/* A lock that comes with a dispatch is taken in the same step, and forgotten when it is held. */
static void lock_of_a_dispatch_is_taken_as_it_passes(void **state)
{
    struct fake_hub *fake = *state;
    assert_reply(dispatch_with_lock(fake, "go"), "passed");
    assert_int_equal(status_of(fake).level, 10);
    assert_reply(dispatch_with_lock(fake, "later"), "held");
    fake_unlock(fake, "with-it");
    assert_int_equal(fake_count_records(fake, "later"), 1);
    assert_int_equal(status_of(fake).level, 0);
}

/* A lock that cannot be taken with its dispatch is told: the sender does not believe in it. */
static void refused_lock_of_a_dispatch_is_told(void **state)
{
    struct fake_hub *fake = *state;
    fake_lock(fake, "with-it", 5, 0);
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_DISPATCH, &op);
    event->gated.priority = 5;
    snprintf(event->dispatch.name, sizeof event->dispatch.name, "go");
    event->dispatch.lock = ph_event_create(PH_EVENT_LOCK);
    snprintf(event->dispatch.lock->lock.name, sizeof event->dispatch.lock->lock.name, "with-it");
    fake_submit(fake, event);
    assert_int_equal(fake_count_records(fake, "go"), 1);
    assert_int_equal(fake_code(op), PH_EEXISTS);
    assert_int_equal(status_of(fake).level, 5);
}

/* A lock has a name: given or made up; a name that is taken is refused. */
static void locks_have_names(void **state)
{
    struct fake_hub *fake = *state;
    assert_reply(fake_lock(fake, "a", 10, 0), "a");
    assert_int_equal(fake_code(fake_lock(fake, "a", 20, 0)), PH_EEXISTS);
    assert_int_equal(status_of(fake).level, 10);
    struct ph_op *op = fake_lock(fake, "", 10, 0);
    assert_int_equal(strncmp(ph_op_result(op)->reply, "lock-", 5), 0);
    assert_int_equal(fake_code(fake_unlock(fake, ph_op_result(op)->reply)), 0);
    assert_int_equal(status_of(fake).locks, 1);
}

/* An unlock of what is not held is told so; an unlock of all counts what it released. */
static void unlock_tells_what_it_released(void **state)
{
    struct fake_hub *fake = *state;
    assert_int_equal(fake_code(fake_unlock(fake, "nobody")), PH_ENOTFOUND);
    fake_lock(fake, "a", 10, 0);
    fake_lock(fake, "b", 20, 0);
    struct ph_op *op = fake_unlock(fake, "");
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(ph_op_result(op)->changed, 2);
    op = fake_unlock(fake, "");
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(ph_op_result(op)->changed, 0);
}

/* A lock without a time ends by the hub's lock.timeout: no gate stays closed for ever. */
static void lock_without_a_time_ends_by_the_default(void **state)
{
    (void)state;
    struct fake_hub *fake = fake_create("lock.timeout=3s", 7);
    fake_lock(fake, "l", 10, 0);
    fake_advance(fake, 2999);
    assert_int_equal(status_of(fake).level, 10);
    fake_advance(fake, 1);
    assert_int_equal(status_of(fake).level, 0);
    fake_destroy(fake);
}

/* The number of held events is bounded; beyond it the caller is refused by name. */
static void full_gate_refuses(void **state)
{
    struct fake_hub *fake = *state;
    fake_lock(fake, "l", 10, 0);
    for (int i = 0; i < PH_GATE_HELD_MAX; i++) {
        struct ph_event *event = ph_event_create(PH_EVENT_DISPATCH);
        snprintf(event->dispatch.name, sizeof event->dispatch.name, "e");
        fake_submit(fake, event);
    }
    assert_int_equal(fake_code(fake_dispatch(fake, "e", 0)), PH_ELIMIT);
    assert_int_equal(status_of(fake).refused, 1);
    fake->quiet = true;
    fake_unlock(fake, "l");
    assert_int_equal(status_of(fake).held, 0);
}

/* ---- Requests for many --------------------------------------------------------------------- */

static struct ph_op *submit_start(struct fake_hub *fake, const char *ids)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_START, &op);
    event->start.ids = fake_ids(ids);
    event->start.spec = fake_spec("");
    event->start.kind = &fake_kind;
    fake_submit(fake, event);
    return op;
}

/* One step of a request for many touches PH_JOB_SLICE children at most. */
static void jobs_work_in_slices(void **state)
{
    struct fake_hub *fake = *state;
    submit_start(fake, "w-[1..1000]");
    assert_int_equal(fake->hub.picture.children, 0);
    for (uint64_t expected = PH_JOB_SLICE; expected < 1000; expected += PH_JOB_SLICE) {
        assert_true(ph_hub_has_work(&fake->hub, fake->now_ms));
        ph_hub_work(&fake->hub, fake->now_ms);
        assert_int_equal(fake->hub.picture.children, expected);
    }
    fake_work(fake);
    assert_int_equal(fake->hub.picture.children, 1000);
}

/* At most PH_JOB_WINDOW children of one request are under way. */
static void jobs_keep_to_their_window(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op = fake_start(fake, "w-[1..5000]", "");
    assert_int_equal(fake->hub.picture.children, PH_JOB_WINDOW);
    assert_false(ph_hub_has_work(&fake->hub, fake->now_ms));
    fake_up(fake, "w-1");
    assert_int_equal(fake->hub.picture.children, PH_JOB_WINDOW + 1);
    fake_up_all(fake);
    assert_int_equal(fake->hub.picture.by_state[PH_STATE_RUNNING], 5000);
    assert_int_equal(ph_op_result(op)->changed, 5000);
}

static const char *numbered(char id[16], unsigned number)
{
    snprintf(id, 16, "a-%u", number);
    return id;
}

/* Several requests take turns: a small one does not wait for a large one. */
static void jobs_take_turns(void **state)
{
    struct fake_hub *fake = *state;
    char id[16];
    submit_start(fake, "a-[1..2000]");
    struct ph_op *small = submit_start(fake, "b-[1..20]");
    ph_hub_work(&fake->hub, fake->now_ms);
    ph_hub_work(&fake->hub, fake->now_ms);
    assert_int_equal(fake_count_calls(fake, FAKE_START, numbered(id, PH_JOB_SLICE)), 1);
    assert_int_equal(fake_count_calls(fake, FAKE_START, "b-20"), 1);
    assert_int_equal(fake_count_calls(fake, FAKE_START, numbered(id, PH_JOB_SLICE + 1)), 0);
    fake_up_all(fake);
    assert_int_equal(fake_code(small), 0);
}

/* 100,000 children in one request: bounded steps, a result that counts them all, and back. */
static void hundred_thousand_children_start_and_stop(void **state)
{
    enum { MANY = 100000 };
    struct fake_hub *fake = *state;
    fake->quiet = true;
    struct ph_op *op = fake_start(fake, "w-[1..100000]", "");
    fake_up_all(fake);
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(ph_op_result(op)->changed, MANY);
    assert_true(fake_is_consistent(fake));
    op = fake_stop(fake, "w-[1..100000]");
    for (unsigned i = 1; i <= MANY; i++) {
        char id[16];
        snprintf(id, sizeof id, "w-%u", i);
        fake_down(fake, id, PH_EXIT_CODE, 0);
    }
    assert_int_equal(ph_op_result(op)->changed, MANY);
    assert_int_equal(fake->hub.picture.children, 0);
}

/* A request without ids is done at once. */
static void request_for_nobody_is_done(void **state)
{
    struct fake_hub *fake = *state;
    assert_int_equal(fake_code(fake_stop(fake, "")), 0);
}

/* ---- Records ------------------------------------------------------------------------------- */

/* Every record names its cause: from the request to the restart there is one chain. */
static void causes_form_a_chain(void **state)
{
    struct fake_hub *fake = *state;
    run_children(fake, "c");
    fake_down(fake, "c", PH_EXIT_SIGNAL, 9);
    fake_up(fake, "c");
    const struct fake_record *start = fake_last(fake, "start", NULL);
    const struct fake_record *started = fake_last(fake, "child_started", "c");
    const struct fake_record *exited = fake_last(fake, "child_exited", "c");
    const struct fake_record *restarted = fake_last(fake, "child_restarted", "c");
    assert_int_equal(start->cause, 0);
    assert_int_equal(started->cause, start->seq);
    assert_int_equal(exited->cause, started->seq);
    assert_string_equal(exited->text, "killed by SIGKILL");
    assert_int_equal(restarted->cause, exited->seq);
    fake_stop(fake, "c");
    fake_down(fake, "c", PH_EXIT_CODE, 0);
    assert_int_equal(fake_last(fake, "child_stopped", "c")->cause,
                     fake_last(fake, "stop", NULL)->seq);
}

static void say_now(const struct ph_hub *hub, struct ph_text *reply)
{
    ph_text_printf(reply, "%llu children", (unsigned long long)hub->picture.children);
}

/* An inspection runs inside a step and answers with what it wrote. */
static void inspection_sees_the_hub_between_two_events(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op;
    run_children(fake, "a b");
    struct ph_event *event = fake_event(fake, PH_EVENT_INSPECT, &op);
    event->inspect = say_now;
    fake_submit(fake, event);
    assert_reply(op, "2 children");
}

/* ---- The end ------------------------------------------------------------------------------- */

/* A shutdown stops every child and is done when the last one has ended. */
static void shutdown_is_done_when_all_children_ended(void **state)
{
    struct fake_hub *fake = *state;
    run_children(fake, "a b");
    struct ph_op *op = fake_shutdown(fake);
    assert_int_equal(fake_code(fake_start(fake, "c", "")), PH_ESTOPPING);
    assert_int_equal(fake_code(fake_shutdown(fake)), PH_ESTOPPING);
    fake_down(fake, "a", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(op), 1);
    fake_down(fake, "b", PH_EXIT_SIGNAL, 9);
    assert_int_equal(fake_code(op), 0);
    assert_true(fake->hub.stopped);
}

/* An empty hub ends at once. */
static void shutdown_of_an_empty_hub_is_immediate(void **state)
{
    struct fake_hub *fake = *state;
    assert_int_equal(fake_code(fake_shutdown(fake)), 0);
    assert_true(fake->hub.stopped);
}

/* A shutdown in the middle of everything: starting, backing off, restarting, failed, held. */
static void shutdown_ends_children_in_every_state(void **state)
{
    struct fake_hub *fake = *state;
    fake_start(fake, "starting backing restarting failed", "backoff=10s max_restarts=2");
    fake_up(fake, "backing");
    fake_up(fake, "restarting");
    fake_up(fake, "failed");
    for (int i = 0; i < 3; i++) {
        fake_down(fake, "failed", PH_EXIT_CODE, 1);
        if (fake_state(fake, "failed") == PH_STATE_BACKOFF)
            fake_advance(fake, 20000);
    }
    fake_down(fake, "backing", PH_EXIT_CODE, 1);
    fake_down(fake, "backing", PH_EXIT_CODE, 1);
    assert_int_equal(fake_state(fake, "backing"), PH_STATE_BACKOFF);
    assert_int_equal(fake_state(fake, "failed"), PH_STATE_FAILED);
    struct ph_op *restart = fake_restart(fake, "restarting");
    fake_lock(fake, "l", 20, 60000);
    fake_start(fake, "held", "");
    struct ph_op *op = fake_shutdown(fake);
    fake_down(fake, "starting", PH_EXIT_CODE, 0);
    fake_down(fake, "restarting", PH_EXIT_CODE, 0);
    assert_int_equal(fake_code(restart), PH_ESUPERSEDED);
    assert_int_equal(fake_code(op), 0);
}

/* A child that does not end in time: whoever asked is told how many are left. */
static void late_shutdown_tells_what_is_left(void **state)
{
    (void)state;
    struct fake_hub *fake = fake_create("shutdown.timeout=10s", 7);
    run_children(fake, "stuck");
    struct ph_op *op = fake_shutdown(fake);
    fake_advance(fake, 10000);
    assert_int_equal(fake_code(op), PH_ETIMEOUT);
    assert_string_equal(ph_op_result(op)->text, "1 children have not ended in time");
    fake_down(fake, "stuck", PH_EXIT_CODE, 0);
    assert_true(fake->hub.stopped);
    fake_destroy(fake);
}

/* Whatever still waits when a hub is taken apart is told so: requests, held events, removals. */
static void requests_that_wait_at_the_end_are_failed(void **state)
{
    (void)state;
    struct fake_hub *fake = fake_create("", 7);
    struct ph_op *ops[5];
    fake_hook_add(fake, "note", "h", 0, 0);
    fake_dispatch(fake, "note", 0);
    ops[0] = fake_hook_remove(fake, "h");
    ops[1] = fake_start(fake, "a", "");
    fake_lock(fake, "l", 20, 0);
    ops[2] = fake_start(fake, "b", "");
    ops[3] = fake_shutdown(fake);
    ops[4] = fake_stop(fake, "a");
    for (size_t i = 0; i < PH_COUNT_OF(ops); i++)
        ph_op_get(ops[i]);
    fake_destroy(fake);
    for (size_t i = 0; i < PH_COUNT_OF(ops); i++) {
        assert_int_equal(fake_code(ops[i]), i == 1 ? PH_ESUPERSEDED : PH_ESTOPPING);
        ph_op_put(ops[i]);
    }
}

#define NARRATIVE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NARRATIVE(held_dispatches_pass_in_order_when_the_gate_opens),
        NARRATIVE(held_events_are_not_overtaken),
        NARRATIVE(starts_pass_level_10_and_wait_at_level_20),
        NARRATIVE(overlapping_locks_never_open_early),
        NARRATIVE(expiry_is_told_before_held_events_come_out),
        NARRATIVE(discarded_events_are_answered),
        NARRATIVE(lock_of_a_dispatch_is_taken_as_it_passes),
        NARRATIVE(refused_lock_of_a_dispatch_is_told),
        NARRATIVE(locks_have_names),
        NARRATIVE(unlock_tells_what_it_released),
        NARRATIVE(lock_without_a_time_ends_by_the_default),
        NARRATIVE(full_gate_refuses),
        NARRATIVE(jobs_work_in_slices),
        NARRATIVE(jobs_keep_to_their_window),
        NARRATIVE(jobs_take_turns),
        NARRATIVE(hundred_thousand_children_start_and_stop),
        NARRATIVE(request_for_nobody_is_done),
        NARRATIVE(causes_form_a_chain),
        NARRATIVE(inspection_sees_the_hub_between_two_events),
        NARRATIVE(shutdown_is_done_when_all_children_ended),
        NARRATIVE(shutdown_of_an_empty_hub_is_immediate),
        NARRATIVE(shutdown_ends_children_in_every_state),
        NARRATIVE(late_shutdown_tells_what_is_left),
        NARRATIVE(requests_that_wait_at_the_end_are_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
