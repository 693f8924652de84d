#include "tests/contract/module_diary.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/op.h"
#include "engine/waiter.h"
#include "tests/lib/realnode.h"

/* ---- Saved states -------------------------------------------------------------------------- */

/* What a built-in module is told before it is moved, and what it must still know afterwards. */
struct memory {
    const char *module, *told[3], *question;
};

static void check_memory(const struct memory *memory)
{
    struct contract_stage *stage = contract_open(&diary_kind, 1);
    struct diary diary = {.stage = stage};
    struct ph_text text;
    char before[64] = "";
    for (unsigned life = 0; life < 3; life++) {
        contract_make_child(stage, real_spec(memory->module));
        if (life)
            ph_kind_module.load(stage->child, &text);
        contract_start(stage);
        contract_wait_ups(stage, 1);
        for (unsigned i = 0; life == 0 && i < PH_COUNT_OF(memory->told) && memory->told[i]; i++)
            diary_cast(&diary, memory->told[i]);
        struct ph_op *op = diary_deliver(&diary, PH_MESSAGE_CALL, memory->question);
        contract_settle(stage);
        assert_true(ph_op_is_done(op) && ph_op_result(op)->reply[0]);
        if (!life)
            snprintf(before, sizeof before, "%s", ph_op_result(op)->reply);
        diary_assert_answer(op, 0, "", before);
        ph_kind_module.save(stage->child);
        contract_wait_downs(stage, 1);
        assert_int_equal(contract_reports(stage).saves, 1);
        text = contract_take_saved(stage);
        contract_free_child(stage);
    }
    ph_text_fini(&text);
    contract_close(stage);
}

/* A built-in module knows after a move what it knew before; twice, so nothing depends on how it
 * came by its state. */
static void states_survive_moves(void **state)
{
    (void)state;
    static const struct memory memories[] = {
        {"module=counter", {"inc 40", "inc", "inc"}, "get"},
        {"module=kv", {"set b two", "set a one", "set c three three"}, "size"},
        {"module=kv", {"set b two", "set a one", "set c three three"}, "get c"},
        {"module=blob args=100000", {NULL}, "check"},
        {"module=blob args=100000", {"stir", "stir 1000", "nonsense"}, "check"},
    };
    for (unsigned i = 0; i < PH_COUNT_OF(memories); i++)
        check_memory(&memories[i]);
}

/* A module that cannot save ends with an empty state, and one that cannot load begins with that;
 * with any other it cannot run. */
static void stateless_modules_are_moved_without_state(void **state)
{
    (void)state;
    struct contract_stage *stage = contract_open(&diary_kind, 1);
    struct ph_text text = PH_TEXT_INIT;
    contract_make_child(stage, real_spec("module=echo"));
    contract_start(stage);
    ph_kind_module.save(stage->child);
    contract_wait_downs(stage, 1);
    assert_int_equal(contract_reports(stage).saves, 1);
    text = contract_take_saved(stage);
    assert_int_equal(text.length, 0);
    ph_kind_module.load(stage->child, &text);
    contract_start(stage);
    contract_wait_ups(stage, 2);
    ph_kind_module.stop(stage->child);
    contract_wait_downs(stage, 2);
    ph_text_put(&text, "something");
    ph_kind_module.load(stage->child, &text);
    contract_start(stage);
    contract_wait_downs(stage, 3);
    assert_int_equal(contract_reports(stage).ups, 2);
    assert_int_equal(contract_reports(stage).exit.how, PH_EXIT_EXEC);
    assert_string_equal(contract_reports(stage).exit.text,
                        "module echo: load failed: it cannot load the 9 bytes that it comes with");
    contract_free_child(stage);
    contract_close(stage);
}

static int cannot_load(struct probe *probe, struct ph_context *context, const void *data,
                       size_t length)
{
    diary_write((struct diary *)probe, data);
    ph_fail(context, "%zu bytes of nonsense", length);
    return ph_timer(context, 0, 0) == 0 ? -EILSEQ : 0;
}

/* An instance whose state cannot be loaded never runs; what it had made is freed, its timers are
 * forgotten. The next one begins without a state. */
static void failed_load_is_a_failed_start(void **state)
{
    struct diary *diary = *state;
    struct ph_text text = PH_TEXT_INIT;
    diary->probe.load = cannot_load;
    ph_text_put(&text, "nonsense");
    ph_kind_module.load(diary->stage->child, &text);
    contract_start(diary->stage);
    contract_wait_downs(diary->stage, 1);
    assert_int_equal(contract_reports(diary->stage).ups, 0);
    assert_int_equal(contract_reports(diary->stage).exit.how, PH_EXIT_EXEC);
    assert_int_equal(contract_reports(diary->stage).exit.value, -EILSEQ);
    assert_string_equal(contract_reports(diary->stage).exit.text,
                        "module probe: load failed: 8 bytes of nonsense");
    assert_int_equal(diary->inits, 1);
    assert_int_equal(diary->ends, 1);
    contract_start(diary->stage);
    contract_wait_ups(diary->stage, 1);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "nonsense");
}

/* One that cannot begin at all gives its state back. */
static void state_comes_back_from_what_cannot_begin(void **state)
{
    (void)state;
    struct contract_stage *stage = contract_open(&diary_kind, 1);
    struct ph_text text = PH_TEXT_INIT;
    contract_make_child(stage, real_spec("module=blob args=nonsense"));
    ph_text_put(&text, "41");
    ph_kind_module.load(stage->child, &text);
    contract_start(stage);
    contract_wait_downs(stage, 1);
    assert_int_equal(contract_reports(stage).exit.how, PH_EXIT_EXEC);
    assert_int_equal(contract_reports(stage).saves, 0);
    text = contract_take_saved(stage);
    assert_string_equal(ph_text_str(&text), "41");
    ph_text_fini(&text);
    contract_free_child(stage);
    contract_close(stage);
}

/* A start that was stopped before it began used up its state: the next one does not get it. */
static void state_of_a_start_that_never_began_is_dropped(void **state)
{
    struct diary *diary = *state;
    struct ph_text text = PH_TEXT_INIT;
    diary->probe.load = cannot_load;
    ph_text_put(&text, "old");
    ph_kind_module.load(diary->stage->child, &text);
    contract_start(diary->stage);
    ph_kind_module.stop(diary->stage->child);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).downs, 1);
    contract_start(diary->stage);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).ups, 1);
    assert_string_equal(diary->text, "");
}

static int cannot_save(struct probe *probe, struct ph_context *context)
{
    (void)probe;
    ph_save(context, "half", 4);
    ph_fail(context, "the other half is missing");
    return -EIO;
}

static int save_odd(struct probe *probe, struct ph_context *context)
{
    (void)probe;
    (void)context;
    return 3;
}

/* More than fits: never looked at. */
static int save_too_much(struct probe *probe, struct ph_context *context)
{
    (void)probe;
    ph_save(context, "x", 1);
    ph_save(context, "x", PH_STATE_BYTES_MAX);
    ph_save(context, "x", 1);
    return 0;
}

/* An instance that cannot be saved goes on as if nothing had been asked; the hub is told why. */
static void instance_that_cannot_be_saved_goes_on(void **state)
{
    static const struct {
        int (*save)(struct probe *, struct ph_context *);
        const char *why;
    } cases[] = {
        {cannot_save, "module probe: save failed: the other half is missing"},
        {save_odd, "module probe: save failed: failed"},
        {save_too_much, "module probe: save failed: the state is larger than 268435456 bytes"},
    };
    struct diary *diary = *state;
    contract_start(diary->stage);
    for (unsigned i = 0; i < PH_COUNT_OF(cases); i++) {
        diary->probe.save = cases[i].save;
        ph_kind_module.save(diary->stage->child);
        diary_cast(diary, "more");
        contract_settle(diary->stage);
        assert_int_equal(contract_reports(diary->stage).kepts, i + 1);
        assert_string_equal(contract_reports(diary->stage).why_kept, cases[i].why);
    }
    assert_int_equal(contract_reports(diary->stage).downs, 0);
    assert_int_equal(diary->ends, 0);
    assert_string_equal(diary->text, "more more more");
    diary->probe.save = NULL;
    ph_kind_module.save(diary->stage->child);
    contract_wait_downs(diary->stage, 1);
    assert_int_equal(contract_reports(diary->stage).saves, 1);
}

static int save_text(struct probe *probe, struct ph_context *context)
{
    const char *text = ((struct diary *)probe)->text;
    ph_save(context, text, strlen(text));
    return 0;
}

static void assert_saved(struct diary *diary, const char *wanted)
{
    struct ph_text text = contract_take_saved(diary->stage);
    assert_string_equal(ph_text_str(&text), wanted);
    ph_text_fini(&text);
}

/* An instance whose state is large is copied between two messages and goes on; its mail is handled.
 * In the end it is saved into the memory of the copy, and its hashes come along. */
static void large_state_is_copied_and_its_instance_goes_on(void **state)
{
    struct diary *diary = *state;
    struct ph_text room = PH_TEXT_INIT;
    diary->probe.save = save_text;
    contract_start(diary->stage);
    diary_cast(diary, "one");
    contract_settle(diary->stage);
    ph_kind_module.copy(diary->stage->child, 3, &room);
    diary_cast(diary, "two");
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).copies, 1);
    assert_int_equal(contract_reports(diary->stage).downs, 0);
    assert_string_equal(diary->text, "one two");
    assert_saved(diary, "one");
    ph_text_put(&room, "something else");
    ph_text_clear(&room);
    ph_kind_module.copy(diary->stage->child, UINT64_MAX, &room);
    assert_null(room.data);
    contract_wait_downs(diary->stage, 1);
    assert_int_equal(contract_reports(diary->stage).copies, 1);
    assert_int_equal(contract_reports(diary->stage).saves, 1);
    assert_int_equal(contract_reports(diary->stage).sums, 1);
    assert_saved(diary, "one two");
}

/* What cannot be saved cannot be copied; what is stopped first is neither. The memory is freed in
 * each case (a leak fails the test under AddressSanitizer). */
static void copy_that_comes_to_nothing_is_forgotten(void **state)
{
    struct diary *diary = *state;
    struct ph_text room = PH_TEXT_INIT;
    diary->probe.save = cannot_save;
    contract_start(diary->stage);
    contract_settle(diary->stage);
    ph_text_reserve(&room, 1000);
    ph_kind_module.copy(diary->stage->child, 0, &room);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).kepts, 1);
    ph_text_reserve(&room, 1000);
    ph_kind_module.copy(diary->stage->child, 0, &room);
    ph_kind_module.stop(diary->stage->child);
    contract_wait_downs(diary->stage, 1);
    ph_text_reserve(&room, 1000);
    ph_kind_module.copy(diary->stage->child, 0, &room);
    ph_text_reserve(&room, 1000);
    ph_kind_module.copy(diary->stage->child, 0, &room);
    contract_start(diary->stage);
    contract_wait_ups(diary->stage, 2);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).copies, 0);
    assert_int_equal(contract_reports(diary->stage).saves, 0);
}

/* A stop wins over a save that was not begun; a failure before it, too. Mail that came with the
 * save waits. */
static void save_comes_after_a_stop_and_before_mail(void **state)
{
    struct diary *diary = *state;
    contract_start(diary->stage);
    contract_settle(diary->stage);
    ph_kind_module.save(diary->stage->child);
    ph_kind_module.stop(diary->stage->child);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).downs, 1);
    assert_int_equal(contract_reports(diary->stage).saves, 0);
    contract_start(diary->stage);
    contract_settle(diary->stage);
    diary->next_code = -EIO;
    diary_cast(diary, "bad");
    contract_settle(diary->stage);
    ph_kind_module.save(diary->stage->child);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).downs, 2);
    assert_int_equal(contract_reports(diary->stage).saves, 0);
    contract_start(diary->stage);
    contract_settle(diary->stage);
    diary_cast(diary, "unread");
    ph_kind_module.save(diary->stage->child);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).downs, 3);
    assert_int_equal(contract_reports(diary->stage).saves, 1);
    assert_string_equal(diary->text, "bad");
}

static uint64_t queued(struct diary *diary)
{
    struct ph_child_info info;
    ph_rcu_enter();
    ph_child_inspect_rcu(diary->stage->child, &info);
    ph_rcu_exit();
    return info.queue;
}

/* Unread mail of a child without an instance is handed out in its order, calls included; what comes
 * afterwards is the next one's. */
static void unread_mail_is_forwarded_in_order(void **state)
{
    static const char *const texts[] = {"a", "b", "answer"};
    struct diary *diary = *state;
    struct ph_queue queue;
    struct ph_queue_node *node;
    ph_queue_init(&queue);
    diary_cast(diary, "a");
    diary_cast(diary, "b");
    struct ph_op *op = diary_deliver(diary, PH_MESSAGE_CALL, "answer");
    contract_settle(diary->stage);
    assert_int_equal(queued(diary), 3);
    ph_kind_module.forward(diary->stage->child, &queue);
    assert_int_equal(queued(diary), 0);
    for (unsigned i = 0; i < PH_COUNT_OF(texts); i++) {
        assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_OK);
        struct ph_message_box *box = ph_container_of(node, struct ph_message_box, link);
        assert_string_equal(box->data, texts[i]);
        ph_message_box_destroy(box, PH_EGONE, "thrown away");
    }
    assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_EMPTY);
    diary_assert_answer(op, PH_EGONE, "thrown away", "");
    diary_cast(diary, "later");
    contract_start(diary->stage);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "later");
}

/* ---- Standing by ----------------------------------------------------------------------------- */

static int note_load(struct probe *probe, struct ph_context *context, const void *data,
                     size_t length)
{
    (void)context;
    (void)length;
    diary_write((struct diary *)probe, data);
    return 0;
}

static void note_role(struct probe *probe, struct ph_context *context, bool active)
{
    (void)context;
    diary_write((struct diary *)probe, active ? "active" : "passive");
}

static void prepare(struct diary *diary)
{
    uint32_t instance =
        1 + atomic_fetch_add_explicit(&diary->stage->child->instance, 1, memory_order_relaxed);
    ph_kind_module.prepare(diary->stage->child, instance);
    contract_settle(diary->stage);
}

/* An instance that stands by has a state and no part in anything: mail and timers wait until it
 * goes to work with what another one has saved. */
static void prepared_instance_waits_until_it_is_activated(void **state)
{
    struct diary *diary = *state;
    struct ph_text text = PH_TEXT_INIT;
    diary->probe.init = diary_init_two_timers;
    diary->probe.load = note_load;
    diary->probe.role = note_role;
    prepare(diary);
    diary_cast(diary, "mail");
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).prepares, 1);
    assert_int_equal(contract_reports(diary->stage).ups, 0);
    assert_int_equal(diary->inits, 1);
    assert_string_equal(diary->text, "passive");
    ph_text_put(&text, "state");
    ph_kind_module.activate(diary->stage->child, &text);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).ups, 1);
    assert_int_equal(diary->inits, 1);
    assert_string_equal(diary->text, "passive state active timer-0 timer-1 mail");
}

/* One that cannot load what it is given never runs; one that is stopped first does not look at it,
 * and the next instance does not get it. */
static void prepared_instance_may_fail_or_be_stopped(void **state)
{
    struct diary *diary = *state;
    struct ph_text text = PH_TEXT_INIT;
    diary->probe.load = cannot_load;
    prepare(diary);
    ph_text_put(&text, "bad");
    ph_kind_module.activate(diary->stage->child, &text);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).downs, 1);
    assert_int_equal(contract_reports(diary->stage).exit.how, PH_EXIT_EXEC);
    prepare(diary);
    ph_text_put(&text, "late");
    ph_kind_module.activate(diary->stage->child, &text);
    ph_kind_module.stop(diary->stage->child);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).downs, 2);
    contract_start(diary->stage);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).prepares, 2);
    assert_int_equal(contract_reports(diary->stage).ups, 1);
    assert_string_equal(diary->text, "bad");
}

/* ---- Leases -------------------------------------------------------------------------------- */

static void grant(struct diary *diary, uint64_t until_ms)
{
    atomic_store_explicit(&diary->stage->host.hub.lease_until_ms, until_ms, memory_order_relaxed);
}

/* When the lease is over, mail waits; a renewed one takes it up where it stopped. */
static void mail_waits_while_the_lease_is_over(void **state)
{
    struct diary *diary = *state;
    grant(diary, ph_now_ms() + REAL_SOON_MS);
    contract_start(diary->stage);
    diary_cast(diary, "a");
    contract_settle(diary->stage);
    grant(diary, 1);
    diary_cast(diary, "b");
    diary_cast(diary, "c");
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "a");
    assert_int_equal(queued(diary), 2);
    grant(diary, ph_now_ms() + REAL_SOON_MS);
    ph_kind_module.resume(diary->stage->child);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "a b c");
    grant(diary, 1);
    diary_cast(diary, "d");
    contract_settle(diary->stage);
    grant(diary, UINT64_MAX);
    ph_kind_module.resume(diary->stage->child);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "a b c d");
}

/* Takes the lease away: what a hub does on another thread. */
static int lose_lease(struct probe *probe, struct ph_context *context,
                      const struct ph_message *message)
{
    struct diary *diary = (struct diary *)probe;
    diary_message(probe, context, message);
    grant(diary, 1);
    return PH_HANDLER_OK;
}

/* A lease that ends while messages are handled is obeyed before the next one. */
static void end_of_the_lease_is_seen_between_messages(void **state)
{
    struct diary *diary = *state;
    diary->probe.handle = lose_lease;
    grant(diary, ph_now_ms() + REAL_SOON_MS);
    contract_start(diary->stage);
    diary_cast(diary, "a");
    diary_cast(diary, "b");
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "a");
    grant(diary, ph_now_ms() + REAL_SOON_MS);
    ph_kind_module.resume(diary->stage->child);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "a b");
}

static int leaseless_init(struct probe *probe, struct ph_context *context)
{
    int code = diary_init_two_timers(probe, context);
    grant((struct diary *)probe, 1);
    return code;
}

/* A timer that fires while the lease is over is handled after it was renewed. */
static void timers_wait_while_the_lease_is_over(void **state)
{
    struct diary *diary = *state;
    diary->probe.init = leaseless_init;
    contract_start(diary->stage);
    contract_wait_ups(diary->stage, 1);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "");
    grant(diary, UINT64_MAX);
    ph_kind_module.resume(diary->stage->child);
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "timer-0 timer-1");
}

/* Starts, saves and stops are obeyed although the lease is over. */
static void control_is_obeyed_while_the_lease_is_over(void **state)
{
    struct diary *diary = *state;
    grant(diary, 1);
    diary_cast(diary, "a");
    contract_start(diary->stage);
    contract_wait_ups(diary->stage, 1);
    ph_kind_module.save(diary->stage->child);
    contract_wait_downs(diary->stage, 1);
    assert_int_equal(contract_reports(diary->stage).saves, 1);
    contract_start(diary->stage);
    contract_wait_ups(diary->stage, 2);
    ph_kind_module.stop(diary->stage->child);
    contract_wait_downs(diary->stage, 2);
    assert_string_equal(diary->text, "");
}

#define MODULE(name) cmocka_unit_test_setup_teardown(name, diary_set_up, diary_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_survive_moves),
        cmocka_unit_test(stateless_modules_are_moved_without_state),
        MODULE(failed_load_is_a_failed_start),
        cmocka_unit_test(state_comes_back_from_what_cannot_begin),
        MODULE(state_of_a_start_that_never_began_is_dropped),
        MODULE(instance_that_cannot_be_saved_goes_on),
        MODULE(large_state_is_copied_and_its_instance_goes_on),
        MODULE(copy_that_comes_to_nothing_is_forgotten),
        MODULE(save_comes_after_a_stop_and_before_mail),
        MODULE(unread_mail_is_forwarded_in_order),
        MODULE(prepared_instance_waits_until_it_is_activated),
        MODULE(prepared_instance_may_fail_or_be_stopped),
        MODULE(mail_waits_while_the_lease_is_over),
        MODULE(end_of_the_lease_is_seen_between_messages),
        MODULE(timers_wait_while_the_lease_is_over),
        MODULE(control_is_obeyed_while_the_lease_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
