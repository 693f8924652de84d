#include "tests/contract/kind_contract.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/op.h"
#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"
#include "tests/lib/sched_seeded.h"

/* Module children, on the seeded serial scheduler (tests/lib/sched_seeded.c). */

/* ---- How they behave ----------------------------------------------------------------------- */

static int end_yourself(struct probe *probe, struct ph_context *context)
{
    (void)probe;
    return ph_cast(context, ph_self(context), "end", 3);
}

static int stop_at_message(struct probe *probe, struct ph_context *context,
                           const struct ph_message *message)
{
    (void)probe;
    (void)context;
    (void)message;
    return PH_HANDLER_STOP;
}

static int fail_at_message(struct probe *probe, struct ph_context *context,
                           const struct ph_message *message)
{
    (void)probe;
    (void)message;
    ph_fail(context, "bad luck");
    return -EIO;
}

static int cannot_init(struct probe *probe, struct ph_context *context)
{
    (void)probe;
    ph_fail(context, "no luck today");
    return -ENOENT;
}

static struct ph_node *create_node(uint64_t seed)
{
    return real_node_with((struct ph_node_config){.seed = seed});
}

static struct ph_spec *create_spec(enum contract_child behaviour)
{
    static const struct probe probes[] = {
        [CONTRACT_RUNS] = {0},
        [CONTRACT_ENDS] = {.init = end_yourself, .handle = stop_at_message},
        [CONTRACT_FAILS] = {.init = end_yourself, .handle = fail_at_message},
        [CONTRACT_CANNOT] = {.init = cannot_init},
    };
    return real_probe_spec(&probes[behaviour], "");
}

struct drive {
    struct ph_node *node;
    bool (*condition)(void *);
    void *arg;
};

static bool step_until(void *arg)
{
    const struct drive *drive = arg;
    do {
        if (drive->condition(drive->arg))
            return true;
    } while (ph_sched_step(drive->node->sched));
    return false;
}

/* Steps; between them timers and reclamation go on in their threads. */
static bool run_until(struct ph_node *node, bool (*condition)(void *), void *arg)
{
    struct drive drive = {node, condition, arg};
    return eventually(step_until, &drive, REAL_SOON_MS);
}

static void settle(struct ph_node *node)
{
    while (ph_sched_step(node->sched))
        continue;
}

static const struct contract_kind module_kind = {
    .kind = &ph_kind_module,
    .text_of_cannot = "module probe: init failed: no luck today",
    .rounds = 40,
    .create_node = create_node,
    .create_spec = create_spec,
    .run_until = run_until,
    .settle = settle,
};

/* ---- What only module children do ---------------------------------------------------------- */

/* A child whose handlers write down what they see; what they return is the test's. */
struct diary {
    struct probe probe; /* first */
    struct contract_stage *stage;
    char text[256]; /* one word per event */
    unsigned inits, ends;
    int next_code;         /* of the next message */
    uint64_t wakes_before; /* the timers fired */
};

static void write_down(struct diary *diary, const char *word)
{
    size_t length = strlen(diary->text);
    snprintf(diary->text + length, sizeof diary->text - length, "%s%s", length ? " " : "", word);
}

static int diary_init(struct probe *probe, struct ph_context *context)
{
    (void)context;
    ((struct diary *)probe)->inits++;
    return 0;
}

static void diary_end(struct probe *probe, struct ph_context *context)
{
    (void)context;
    ((struct diary *)probe)->ends++;
}

static int diary_message(struct probe *probe, struct ph_context *context,
                         const struct ph_message *message)
{
    struct diary *diary = (struct diary *)probe;
    char timer[16];
    int code = diary->next_code;
    diary->next_code = 0;
    snprintf(timer, sizeof timer, "timer-%d", message->timer);
    write_down(diary, message->type == PH_MESSAGE_TIMER ? timer : message->data);
    if (strcmp(message->data, "answer") == 0) {
        ph_replyf(context, "first");
        ph_replyf(context, "second");
    } else if (strcmp(message->data, "refuse") == 0) {
        ph_reply_error(context, "not %s", "today");
    }
    return code;
}

static int set_up(void **state)
{
    struct diary *diary = test_calloc(1, sizeof *diary);
    diary->probe = (struct probe){diary_init, diary_message, diary_end};
    diary->stage = contract_open(&module_kind, 1);
    contract_make_child(diary->stage, real_probe_spec(&diary->probe, ""));
    *state = diary;
    return 0;
}

static void free_child(struct diary *diary)
{
    contract_free_child(diary->stage);
    contract_settle(diary->stage);
}

static int tear_down(void **state)
{
    struct diary *diary = *state;
    struct contract_reports reports = contract_reports(diary->stage);
    if (diary->stage->child) {
        if (reports.downs < atomic_load(&diary->stage->child->instance)) {
            ph_kind_module.kill(diary->stage->child);
            contract_wait_downs(diary->stage, reports.downs + 1);
        }
        free_child(diary);
    }
    bool balanced = diary->inits == diary->ends;
    contract_close(diary->stage);
    test_free(diary);
    return balanced ? 0 : -1;
}

static struct ph_op *deliver(struct diary *diary, enum ph_message_type type, const char *text)
{
    struct ph_message_box *box = ph_message_box_create(type, text, strlen(text));
    struct ph_op *op = type == PH_MESSAGE_CALL ? ph_op_create() : NULL;
    box->op = op;
    ph_rcu_enter();
    int rc = ph_kind_module.deliver(diary->stage->child, box);
    ph_rcu_exit();
    assert_int_equal(rc, 0);
    return op;
}

static void cast(struct diary *diary, const char *text)
{
    assert_null(deliver(diary, PH_MESSAGE_CAST, text));
}

static void assert_answer(struct ph_op *op, int code, const char *text, const char *reply)
{
    assert_true(ph_op_is_done(op));
    assert_int_equal(ph_op_result(op)->code, code);
    assert_string_equal(ph_op_result(op)->text, text);
    assert_string_equal(ph_op_result(op)->reply, reply);
    ph_op_put(op);
}

/* Mail that comes while there is no instance waits for the next one, in order. */
static void unread_mail_waits_for_the_next_instance(void **state)
{
    struct diary *diary = *state;
    cast(diary, "early");
    contract_start(diary->stage);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "early");
    diary->next_code = -EIO;
    cast(diary, "bad");
    cast(diary, "a");
    contract_settle(diary->stage);
    cast(diary, "b");
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
    struct ph_op *answered = deliver(diary, PH_MESSAGE_CALL, "answer");
    struct ph_op *refused = deliver(diary, PH_MESSAGE_CALL, "refuse");
    struct ph_op *silent = deliver(diary, PH_MESSAGE_CALL, "silence");
    contract_settle(diary->stage);
    assert_answer(answered, 0, "", "first");
    assert_answer(refused, PH_EFAILED, "not today", "");
    assert_answer(silent, PH_EFAILED, "it gave no reply", "");
    diary->next_code = -EIO;
    struct ph_op *failed = deliver(diary, PH_MESSAGE_CALL, "silence");
    contract_settle(diary->stage);
    assert_answer(failed, PH_EFAILED, "the child failed while it handled the call", "");
}

/* An answer that was given before the handler failed is kept. */
static void answer_before_a_failure_counts(void **state)
{
    struct diary *diary = *state;
    contract_start(diary->stage);
    diary->next_code = -EIO;
    struct ph_op *op = deliver(diary, PH_MESSAGE_CALL, "answer");
    contract_settle(diary->stage);
    assert_answer(op, 0, "", "first");
    assert_int_equal(contract_reports(diary->stage).downs, 1);
}

/* A call that nobody read when the child goes is failed. */
static void unread_calls_fail_when_the_child_goes(void **state)
{
    struct diary *diary = *state;
    struct ph_op *op = deliver(diary, PH_MESSAGE_CALL, "answer");
    contract_settle(diary->stage);
    assert_false(ph_op_is_done(op));
    free_child(diary);
    assert_answer(op, PH_EGONE, "the child was stopped before it read the message", "");
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
        cast(diary, "x");
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
    cast(diary, "last");
    cast(diary, "unread");
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
    assert_true(run_until(diary->stage->node, has_text, diary));
    assert_string_equal(diary->text, "timer-5");
}

static int disarm_the_other(struct probe *probe, struct ph_context *context,
                            const struct ph_message *message)
{
    diary_message(probe, context, message);
    return ph_timer(context, 1 - message->timer, UINT64_MAX);
}

static bool is_woken_twice(void *arg)
{
    struct diary *diary = arg;
    return ph_sched_seeded_wakes(diary->stage->node->sched) >= diary->wakes_before + 2;
}

/* Both timers have fired before the first handler runs. */
static int two_timers_init(struct probe *probe, struct ph_context *context)
{
    struct diary *diary = (struct diary *)probe;
    diary->inits++;
    diary->wakes_before = ph_sched_seeded_wakes(diary->stage->node->sched);
    if (ph_timer(context, 0, 0) || ph_timer(context, 1, 0))
        return -EINVAL;
    return eventually(is_woken_twice, diary, REAL_SOON_MS) ? 0 : -ETIME;
}

/* A timer that was disarmed is not handled, also when it had fired already. */
static void disarmed_timer_is_not_handled(void **state)
{
    struct diary *diary = *state;
    diary->probe.init = two_timers_init;
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
        cast(diary, "x");
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
    assert_true(run_until(node, is_done, op));
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
    struct ph_node *node = create_node(seed);
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
    settle(node);
    uint64_t signature = ph_sched_signature(node->sched);
    assert_int_equal(ph_hub_stop(hub, &op, &error), 0);
    finish(node, op);
    ph_hub_put(hub);
    assert_true(run_until(node, is_empty, node));
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

#define MODULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
    int failed = contract_run(&module_kind);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
