#include "tests/contract/module_diary.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/op.h"
#include "tests/lib/realnode.h"

/* ---- Mail ---------------------------------------------------------------------------------- */

/* Mail that comes while there is no instance waits for the next one, in order. */
static void unread_mail_waits_for_the_next_instance(void **state)
{
    struct diary *diary = *state;
    diary_cast(diary, "early");
    contract_start(diary->stage);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "early");
    diary->next_code = -EIO;
    diary_cast(diary, "bad");
    diary_cast(diary, "a");
    contract_settle(diary->stage);
    diary_cast(diary, "b");
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "early bad");
    contract_start(diary->stage);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "early bad a b");
}

/* A call gets the first answer; none, or a failure while it is handled, is an answer, too. */
static void every_call_is_answered(void **state)
{
    struct diary *diary = *state;
    contract_start(diary->stage);
    struct ph_op *answered = diary_deliver(diary, PH_MESSAGE_CALL, "answer");
    struct ph_op *refused = diary_deliver(diary, PH_MESSAGE_CALL, "refuse");
    struct ph_op *silent = diary_deliver(diary, PH_MESSAGE_CALL, "silence");
    contract_settle(diary->stage);
    diary_assert_answer(answered, 0, "", "first");
    diary_assert_answer(refused, PH_EFAILED, "not today", "");
    diary_assert_answer(silent, PH_EFAILED, "it gave no reply", "");
    diary->next_code = -EIO;
    struct ph_op *failed = diary_deliver(diary, PH_MESSAGE_CALL, "silence");
    contract_settle(diary->stage);
    diary_assert_answer(failed, PH_EFAILED, "the child failed while it handled the call", "");
}

/* An answer that was given before the handler failed is kept. */
static void answer_before_a_failure_counts(void **state)
{
    struct diary *diary = *state;
    contract_start(diary->stage);
    diary->next_code = -EIO;
    struct ph_op *op = diary_deliver(diary, PH_MESSAGE_CALL, "answer");
    contract_settle(diary->stage);
    diary_assert_answer(op, 0, "", "first");
    assert_int_equal(contract_reports(diary->stage).downs, 1);
}

/* A call that nobody read when the child goes is failed. */
static void unread_calls_fail_when_the_child_goes(void **state)
{
    struct diary *diary = *state;
    struct ph_op *op = diary_deliver(diary, PH_MESSAGE_CALL, "answer");
    contract_settle(diary->stage);
    assert_false(ph_op_is_done(op));
    diary_free_child(diary);
    diary_assert_answer(op, PH_EGONE, "the child was stopped before it read the message", "");
}

/* A code that a handler must not return fails the child with words that say so. */
static void odd_codes_of_a_handler_fail_the_child(void **state)
{
    static const struct {
        int code;
        const char *text;
    } cases[] = {
        {7, "handler returned 7, which is no code"},
        {-EIO, "handler returned -5 (Input/output error)"},
        {PH_EREFUSED, "handler returned -4100 (refused)"},
    };
    struct diary *diary = *state;
    for (unsigned i = 0; i < PH_COUNT_OF(cases); i++) {
        contract_start(diary->stage);
        diary->next_code = cases[i].code;
        diary_cast(diary, "x");
        contract_wait_downs(diary->stage, i + 1);
        assert_int_equal(contract_reports(diary->stage).exit.how, PH_EXIT_FAILED);
        assert_int_equal(contract_reports(diary->stage).exit.value, cases[i].code);
        assert_string_equal(contract_reports(diary->stage).exit.text, cases[i].text);
    }
}

/* PH_HANDLER_STOP is a normal end; what was not read waits. */
static void handler_may_end_its_child(void **state)
{
    struct diary *diary = *state;
    contract_start(diary->stage);
    diary->next_code = PH_HANDLER_STOP;
    diary_cast(diary, "last");
    diary_cast(diary, "unread");
    contract_wait_downs(diary->stage, 1);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).exit.how, PH_EXIT_CODE);
    assert_string_equal(diary->text, "last");
    assert_int_equal(diary->ends, 1);
}

static int odd_init(struct probe *probe, struct ph_context *context)
{
    (void)probe;
    return ph_timer(context, 0, 0) == 0 ? 5 : 0;
}

/* An init that returns what it must not return has failed; a timer that it set is forgotten. */
static void odd_code_of_init_is_a_failure(void **state)
{
    struct diary *diary = *state;
    diary->probe.init = odd_init;
    contract_start(diary->stage);
    contract_wait_downs(diary->stage, 1);
    assert_int_equal(contract_reports(diary->stage).ups, 0);
    assert_int_equal(contract_reports(diary->stage).exit.how, PH_EXIT_EXEC);
    assert_string_equal(contract_reports(diary->stage).exit.text,
                        "module probe: init failed: failed");
    assert_string_equal(diary->text, "");
}

/* ---- Timers -------------------------------------------------------------------------------- */

/* The first instance sets timer 0, the next one timer 5, which is due later. */
static int timer_init(struct probe *probe, struct ph_context *context)
{
    struct diary *diary = (struct diary *)probe;
    bool first = diary->inits++ == 0;
    return ph_timer(context, first ? 0 : 5, first ? 400 : 500);
}

static bool has_text(void *arg)
{
    return ((struct diary *)arg)->text[0] != '\0';
}

/* A timer dies with its instance. */
static void timers_die_with_their_instance(void **state)
{
    struct diary *diary = *state;
    diary->probe.init = timer_init;
    contract_start(diary->stage);
    contract_wait_ups(diary->stage, 1);
    ph_kind_module.stop(diary->stage->child);
    contract_wait_downs(diary->stage, 1);
    contract_start(diary->stage);
    assert_true(diary_kind.run_until(diary->stage->node, has_text, diary));
    assert_string_equal(diary->text, "timer-5");
}

static int disarm_the_other(struct probe *probe, struct ph_context *context,
                            const struct ph_message *message)
{
    diary_message(probe, context, message);
    return ph_timer(context, 1 - message->timer, UINT64_MAX);
}

/* A timer that was disarmed is not handled, also when it had fired already. */
static void disarmed_timer_is_not_handled(void **state)
{
    struct diary *diary = *state;
    diary->probe.init = diary_init_two_timers;
    diary->probe.handle = disarm_the_other;
    contract_start(diary->stage);
    contract_wait_ups(diary->stage, 1);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "timer-0");
}

static int bad_timer_init(struct probe *probe, struct ph_context *context)
{
    (void)probe;
    return ph_timer(context, -1, 0) == PH_EUSAGE &&
                   ph_timer(context, PH_MODULE_TIMERS_MAX, 0) == PH_EUSAGE
               ? -EDOM
               : 0;
}

/* A timer number out of range is refused. */
static void timer_out_of_range_is_refused(void **state)
{
    struct diary *diary = *state;
    diary->probe.init = bad_timer_init;
    contract_start(diary->stage);
    contract_wait_downs(diary->stage, 1);
    assert_int_equal(contract_reports(diary->stage).exit.value, -EDOM);
}

/* ---- Bounds -------------------------------------------------------------------------------- */

/* A mailbox is bounded; the sender is told and keeps its message. */
static void full_mailbox_refuses(void **state)
{
    struct diary *diary = *state;
    struct ph_message_box *box = ph_message_box_create(PH_MESSAGE_CAST, "x", 1);
    for (unsigned i = 0; i < PH_MAILBOX_MAX; i++)
        diary_cast(diary, "x");
    ph_rcu_enter();
    assert_int_equal(ph_kind_module.deliver(diary->stage->child, box), PH_ELIMIT);
    ph_rcu_exit();
    ph_message_box_destroy(box, 0, NULL);
}

/* ---- Replay -------------------------------------------------------------------------------- */

/* Passes a message on to a neighbour until its number is used up. */
static int pass_on(struct probe *probe, struct ph_context *context,
                   const struct ph_message *message)
{
    unsigned self = 0, left = 0;
    char id[16], text[16];
    (void)probe;
    if (sscanf(ph_self(context), "n-%u", &self) != 1 || sscanf(message->data, "%u", &left) != 1)
        return -EINVAL;
    if (left == 0)
        return left % 7 ? PH_HANDLER_OK : -EIO; /* and some fall over */
    int length = snprintf(text, sizeof text, "%u", left - 1);
    snprintf(id, sizeof id, "n-%u", 1 + (self * 7 + left) % 20);
    return ph_cast(context, id, text, (size_t)length);
}

static bool is_done(void *arg)
{
    return ph_op_is_done(arg);
}

static void finish(struct ph_node *node, struct ph_op *op)
{
    assert_true(diary_kind.run_until(node, is_done, op));
    ph_op_put(op);
}

static bool is_empty(void *arg)
{
    return ((struct ph_node *)arg)->host_count == 0;
}

static void start_neighbours(struct ph_node *node, struct ph_hub *hub, const struct probe *probe)
{
    struct ph_op *op;
    struct ph_ids ids = real_ids("n-[1..20]");
    struct ph_spec *spec = real_probe_spec(probe, "backoff=0 max_restarts=1000");
    assert_int_equal(ph_start(hub, &ids, spec, NULL, &op, NULL), 0);
    ph_spec_put(spec);
    finish(node, op);
}

/* A hub with children that talk, fall over and are restarted: the order of all runs. */
static uint64_t signature_of_a_run(uint64_t seed)
{
    static const struct probe probe = {.handle = pass_on};
    struct ph_node *node = diary_kind.create_node(seed);
    struct ph_hub *hub = real_hub(node, "replay", "");
    struct ph_op *op;
    struct ph_error error;
    start_neighbours(node, hub, &probe);
    for (unsigned i = 1; i <= 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "n-%u", i);
        assert_int_equal(ph_send(hub, id, "30", 2), 0);
    }
    struct ph_ids ids = real_ids("n-3 n-4 n-5");
    assert_int_equal(ph_restart(hub, &ids, &op), 0);
    finish(node, op);
    diary_kind.settle(node);
    uint64_t signature = ph_sched_signature(node->sched);
    assert_int_equal(ph_hub_stop(hub, &op, &error), 0);
    finish(node, op);
    ph_hub_put(hub);
    assert_true(diary_kind.run_until(node, is_empty, node));
    ph_node_destroy(node);
    return signature;
}

/* The same seed gives the same order of runs, another seed another one. */
static void same_seed_gives_the_same_order(void **state)
{
    (void)state;
    assert_int_equal(signature_of_a_run(11), signature_of_a_run(11));
    assert_int_not_equal(signature_of_a_run(11), signature_of_a_run(12));
}

#define MODULE(name) cmocka_unit_test_setup_teardown(name, diary_set_up, diary_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MODULE(unread_mail_waits_for_the_next_instance),
        MODULE(every_call_is_answered),
        MODULE(answer_before_a_failure_counts),
        MODULE(unread_calls_fail_when_the_child_goes),
        MODULE(odd_codes_of_a_handler_fail_the_child),
        MODULE(handler_may_end_its_child),
        MODULE(odd_code_of_init_is_a_failure),
        MODULE(timers_die_with_their_instance),
        MODULE(disarmed_timer_is_not_handled),
        MODULE(timer_out_of_range_is_refused),
        MODULE(full_mailbox_refuses),
        cmocka_unit_test(same_seed_gives_the_same_order),
    };
    int failed = contract_run(&diary_kind);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
