#include "tests/contract/module_diary.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/op.h"
#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"
#include "tests/lib/sched_seeded.h"

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

const struct contract_kind diary_kind = {
    .kind = &ph_kind_module,
    .text_of_cannot = "module probe: init failed: no luck today",
    .rounds = 40,
    .has_states = true,
    .create_node = create_node,
    .create_spec = create_spec,
    .run_until = run_until,
    .settle = settle,
};

/* ---- The diary ----------------------------------------------------------------------------- */

void diary_write(struct diary *diary, const char *word)
{
    size_t length = strlen(diary->text);
    snprintf(diary->text + length, sizeof diary->text - length, "%s%s", length ? " " : "", word);
}

int diary_init(struct probe *probe, struct ph_context *context)
{
    (void)context;
    ((struct diary *)probe)->inits++;
    return 0;
}

void diary_end(struct probe *probe, struct ph_context *context)
{
    (void)context;
    ((struct diary *)probe)->ends++;
}

int diary_message(struct probe *probe, struct ph_context *context, const struct ph_message *message)
{
    struct diary *diary = (struct diary *)probe;
    char timer[16];
    int code = diary->next_code;
    diary->next_code = 0;
    snprintf(timer, sizeof timer, "timer-%d", message->timer);
    diary_write(diary, message->type == PH_MESSAGE_TIMER ? timer : message->data);
    if (strcmp(message->data, "answer") == 0) {
        ph_replyf(context, "first");
        ph_replyf(context, "second");
    } else if (strcmp(message->data, "refuse") == 0) {
        ph_reply_error(context, "not %s", "today");
    }
    return code;
}

int diary_set_up(void **state)
{
    struct diary *diary = test_calloc(1, sizeof *diary);
    diary->probe =
        (struct probe){.init = diary_init, .handle = diary_message, .terminate = diary_end};
    diary->stage = contract_open(&diary_kind, 1);
    contract_make_child(diary->stage, real_probe_spec(&diary->probe, ""));
    *state = diary;
    return 0;
}

void diary_free_child(struct diary *diary)
{
    contract_free_child(diary->stage);
    contract_settle(diary->stage);
}

int diary_tear_down(void **state)
{
    struct diary *diary = *state;
    struct contract_reports reports = contract_reports(diary->stage);
    if (diary->stage->child) {
        if (reports.downs < atomic_load(&diary->stage->child->instance)) {
            ph_kind_module.kill(diary->stage->child);
            contract_wait_downs(diary->stage, reports.downs + 1);
        }
        diary_free_child(diary);
    }
    bool balanced = diary->inits == diary->ends;
    contract_close(diary->stage);
    test_free(diary);
    return balanced ? 0 : -1;
}

struct ph_op *diary_deliver(struct diary *diary, enum ph_message_type type, const char *text)
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

void diary_cast(struct diary *diary, const char *text)
{
    assert_null(diary_deliver(diary, PH_MESSAGE_CAST, text));
}

void diary_assert_answer(struct ph_op *op, int code, const char *text, const char *reply)
{
    assert_true(ph_op_is_done(op));
    assert_int_equal(ph_op_result(op)->code, code);
    assert_string_equal(ph_op_result(op)->text, text);
    assert_string_equal(ph_op_result(op)->reply, reply);
    ph_op_put(op);
}

static bool is_woken_twice(void *arg)
{
    struct diary *diary = arg;
    return ph_sched_seeded_wakes(diary->stage->node->sched) >= diary->wakes_before + 2;
}

int diary_init_two_timers(struct probe *probe, struct ph_context *context)
{
    struct diary *diary = (struct diary *)probe;
    diary->inits++;
    diary->wakes_before = ph_sched_seeded_wakes(diary->stage->node->sched);
    if (ph_timer(context, 0, 0) || ph_timer(context, 1, 0))
        return -EINVAL;
    return eventually(is_woken_twice, diary, REAL_SOON_MS) ? 0 : -ETIME;
}
