#include "engine/hooks.h"

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

static struct ph_hook_handler *handler_of(struct fake_hub *fake, const char *id)
{
    struct ph_hook_handler *handler = fake->hub.hooks.handlers;
    while (handler && strcmp(handler->id, id) != 0)
        handler = handler->next;
    assert_non_null(handler);
    return handler;
}

/* The next hook call is one of this handler; its number. */
static uint64_t assert_called(struct fake_hub *fake, const char *id)
{
    const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
    assert_non_null(call);
    assert_int_equal(call->number, handler_of(fake, id)->number);
    return call->number;
}

static void assert_no_call(struct fake_hub *fake)
{
    assert_null(fake_take_verb(fake, FAKE_HOOK));
}

/* ---- Order --------------------------------------------------------------------------------- */

/* Higher priorities first, equal ones in the order of their registration. */
static void handlers_are_called_by_priority_then_registration(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "note", "low", -5, 0);
    fake_hook_add(fake, "note", "first", 0, 0);
    fake_hook_add(fake, "note", "high", 100, 0);
    fake_hook_add(fake, "note", "second", 0, 0);
    fake_dispatch(fake, "note", 0);
    assert_called(fake, "high");
    assert_called(fake, "first");
    assert_called(fake, "second");
    assert_called(fake, "low");
    assert_no_call(fake);
}

/* The calls of one handler come one at a time and in order. */
static void calls_of_one_handler_come_one_at_a_time(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "process_startups", "h", 0, 0);
    fake_start(fake, "a b c", "");
    fake_up_all(fake);
    static const char *const ids[] = {"\"id\":\"a\"", "\"id\":\"b\"", "\"id\":\"c\""};
    for (size_t i = 0; i < PH_COUNT_OF(ids); i++) {
        const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
        assert_non_null(call);
        assert_int_equal(strncmp(call->text, ids[i], strlen(ids[i])), 0);
        assert_no_call(fake);
        fake_hook_done(fake, call->number, 0, NULL);
    }
    assert_int_equal(handler_of(fake, "h")->calls, 3);
}

static void answer_all(struct fake_hub *fake)
{
    const struct fake_call *call;
    while ((call = fake_take_verb(fake, FAKE_HOOK)))
        fake_hook_done(fake, call->number, 0, NULL);
}

/* What is inserted is removed: a child that never ran is neither, and the first instance that runs
 * is the one that is inserted. */
static void only_what_ran_is_inserted_and_removed(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "registry_pid_insert", "insert", 0, 0);
    fake_hook_add(fake, "registry_pid_remove", "remove", 0, 0);
    fake_start(fake, "never", "");
    fake_down(fake, "never", PH_EXIT_EXEC, -2);
    assert_no_call(fake);
    fake_start(fake, "late", "");
    fake_down(fake, "late", PH_EXIT_FAILED, -5);
    assert_no_call(fake);
    fake_up(fake, "late");
    fake_hook_done(fake, assert_called(fake, "insert"), 0, NULL);
    fake_stop(fake, "late");
    fake_down(fake, "late", PH_EXIT_CODE, 0);
    fake_hook_done(fake, assert_called(fake, "remove"), 0, NULL);
    assert_no_call(fake);
}

/* The hooks of a start are told how many children it is about, and the ids of the first ones. */
static void hooks_of_a_large_start_count_all_children(void **state)
{
    static const char begin[] = "\"count\":150,\"ids\":[\"w-1\",\"w-2\"";
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "pre_children_start", "pre", 0, 0);
    fake_hook_add(fake, "post_children_start", "post", 0, 0);
    fake_start(fake, "w-[1..150]", "");
    assert_int_equal(strncmp(fake_take_verb(fake, FAKE_HOOK)->text, begin, strlen(begin)), 0);
    fake_up_all(fake);
    assert_int_equal(strncmp(fake_take_verb(fake, FAKE_HOOK)->text, begin, strlen(begin)), 0);
}

/* A life tells its hooks in this order. */
static void life_of_a_child_fires_its_hooks(void **state)
{
    static const char *const hooks[] = {
        "pre_children_start",  "process_startups",    "registry_pid_insert",
        "post_children_start", "process_startups",    "child_process_pid_update",
        "child_failed",        "registry_pid_remove", "coordinator_shutdown",
    };
    struct fake_hub *fake = *state;
    for (int i = 0; i < PH_HOOKS; i++)
        if (i != PH_HOOK_CHILD_DATA_ALTER)
            fake_hook_add(fake, ph_hook_name((enum ph_hook)i), "", 0, 0);
    fake_start(fake, "c", "max_restarts=1");
    fake_up(fake, "c");
    answer_all(fake);
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    fake_up(fake, "c");
    answer_all(fake);
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    fake_stop(fake, "c");
    fake_shutdown(fake);
    fake->taken = 0;
    for (size_t i = 0; i < PH_COUNT_OF(hooks); i++)
        assert_string_equal(fake_take_verb(fake, FAKE_HOOK)->id, hooks[i]);
    assert_no_call(fake);
}

/* ---- Failures ------------------------------------------------------------------------------ */

/* A failure is counted and recorded; the next call comes all the same, the child is not touched. */
static void failing_handler_harms_nothing(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "process_startups", "h", 0, 0);
    fake_start(fake, "a b", "");
    fake_up_all(fake);
    fake_hook_done(fake, assert_called(fake, "h"), PH_EFAILED, NULL);
    assert_called(fake, "h");
    assert_int_equal(handler_of(fake, "h")->failures, 1);
    assert_string_equal(handler_of(fake, "h")->last_error, "it broke");
    assert_string_equal(fake_last(fake, "hook_failed", NULL)->text,
                        "h on process_startups: it broke");
    assert_int_equal(fake_state(fake, "a"), PH_STATE_RUNNING);
}

/* A late handler is recorded once; its next call waits for its answer, other handlers do not. */
static void late_handler_harms_nothing(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "note", "slow", 0, 1000);
    fake_hook_add(fake, "note", "quick", 0, 1000);
    fake_dispatch(fake, "note", 0);
    fake_dispatch(fake, "note", 0);
    uint64_t slow = assert_called(fake, "slow"), quick = assert_called(fake, "quick");
    fake_hook_done(fake, quick, 0, NULL);
    assert_called(fake, "quick");
    fake_hook_done(fake, quick, 0, NULL);
    fake_advance(fake, 5000);
    assert_string_equal(fake_last(fake, "hook_failed", NULL)->text,
                        "slow on note: no answer within 1000 ms");
    assert_int_equal(fake_count_records(fake, "hook_failed"), 1);
    assert_no_call(fake);
    fake_hook_done(fake, slow, PH_EFAILED, NULL);
    assert_int_equal(handler_of(fake, "slow")->failures, 1);
    assert_called(fake, "slow");
}

/* An answer that nobody waits for changes nothing. */
static void stray_answers_are_ignored(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "note", "h", 0, 0);
    fake_hook_done(fake, handler_of(fake, "h")->number, PH_EFAILED, NULL);
    fake_hook_done(fake, 12345, 0, NULL);
    assert_int_equal(handler_of(fake, "h")->failures, 0);
}

/* The backlog of a handler is bounded: the oldest waiting call gives way and is counted. */
static void full_backlog_drops_the_oldest_call(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "note", "h", 0, 0);
    for (int i = 0; i < PH_HOOK_BACKLOG_MAX + 10; i++)
        fake_dispatch(fake, "note", (uint8_t)(i < 90 ? i : 90));
    assert_int_equal(handler_of(fake, "h")->waiting, PH_HOOK_BACKLOG_MAX);
    assert_int_equal(handler_of(fake, "h")->dropped, 10);
    const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
    assert_non_null(strstr(call->text, "\"priority\":0,"));
    fake_hook_done(fake, call->number, 0, NULL);
    call = fake_take_verb(fake, FAKE_HOOK); /* 1..10 were dropped */
    assert_non_null(strstr(call->text, "\"priority\":11,"));
}

/* ---- Adding and removing ------------------------------------------------------------------- */

/* A handler's name is given or made up, and unique. */
static void handlers_have_names(void **state)
{
    struct fake_hub *fake = *state;
    struct ph_op *op = fake_hook_add(fake, "note", "mine", 0, 0);
    assert_string_equal(ph_op_result(op)->reply, "mine");
    assert_int_equal(fake_code(fake_hook_add(fake, "other", "mine", 0, 0)), PH_EEXISTS);
    op = fake_hook_add(fake, "note", "", 0, 0);
    assert_int_equal(strncmp(ph_op_result(op)->reply, "hook-", 5), 0);
    assert_int_equal(fake_code(fake_hook_remove(fake, "nobody")), PH_ENOTFOUND);
}

/* The number of handlers is bounded, and the refusal names it. */
static void too_many_handlers_are_refused(void **state)
{
    struct fake_hub *fake = *state;
    for (int i = 0; i < PH_HOOKS_MAX; i++)
        assert_int_equal(fake_code(fake_hook_add(fake, "note", "", 0, 0)), 0);
    assert_int_equal(fake_code(fake_hook_add(fake, "note", "", 0, 0)), PH_ELIMIT);
}

/* A removal waits for the running call; afterwards the handler is never called again. */
static void removal_waits_for_the_running_call(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "note", "h", 0, 0);
    fake_dispatch(fake, "note", 0);
    uint64_t number = assert_called(fake, "h");
    struct ph_op *op = fake_hook_remove(fake, "h");
    assert_int_equal(fake_code(op), 1);
    assert_int_equal(fake_code(fake_hook_remove(fake, "h")), PH_ENOTFOUND);
    fake_dispatch(fake, "note", 0);
    fake_hook_done(fake, number, 0, NULL);
    assert_int_equal(fake_code(op), 0);
    assert_no_call(fake);
    assert_int_equal(fake->hub.hooks.busy, 0);
}

/* A removal of a handler that is not running is done at once. */
static void removal_of_an_idle_handler_is_immediate(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "note", "h", 0, 0);
    assert_int_equal(fake_code(fake_hook_remove(fake, "h")), 0);
    fake_dispatch(fake, "note", 0);
    assert_no_call(fake);
}

/* A hub that ends waits for its running hook calls. */
static void shutdown_waits_for_running_calls(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "coordinator_shutdown", "h", 0, 0);
    struct ph_op *op = fake_shutdown(fake);
    assert_int_equal(fake_code(op), 1);
    fake_hook_done(fake, assert_called(fake, "h"), 0, NULL);
    assert_int_equal(fake_code(op), 0);
}

/* ---- Listeners of custom events ------------------------------------------------------------ */

/* A custom event reaches the listeners of its name, with its payload, and no others. */
static void custom_events_reach_their_listeners(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "deploy", "d", 0, 0);
    fake_hook_add(fake, "other", "o", 0, 0);
    struct ph_event *event = fake_event(fake, PH_EVENT_DISPATCH, NULL);
    snprintf(event->dispatch.name, sizeof event->dispatch.name, "deploy");
    event->dispatch.payload = ph_copy_text("v1 \"quoted\"", 11);
    event->gated.priority = 3;
    fake_submit(fake, event);
    const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
    assert_int_equal(call->number, handler_of(fake, "d")->number);
    assert_non_null(strstr(call->text, ",\"priority\":3,\"payload\":\"v1 \\\"quoted\\\"\""));
    assert_no_call(fake);
}

/* Members: local and global are heard here, external is not. */
static void members_choose_who_hears_a_custom_event(void **state)
{
    static const struct {
        enum ph_audience members;
        size_t here;
    } cases[] = {{PH_MEMBERS_GLOBAL, 1}, {PH_MEMBERS_LOCAL, 1}, {PH_MEMBERS_EXTERNAL, 0}};
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct fake_hub *fake = fake_create("", 7);
        fake_hook_add(fake, "note", "h", 0, 0);
        struct ph_event *event = fake_event(fake, PH_EVENT_DISPATCH, NULL);
        snprintf(event->dispatch.name, sizeof event->dispatch.name, "note");
        event->dispatch.members = cases[i].members;
        fake_submit(fake, event);
        assert_int_equal(fake_count_calls(fake, FAKE_HOOK, NULL), cases[i].here);
        fake_destroy(fake);
    }
    (void)state;
}

/* ---- The alter hook ------------------------------------------------------------------------ */

static const struct ph_spec *spec_of(struct fake_hub *fake, const char *id)
{
    return ph_child_spec_rcu(fake_child(fake, id));
}

/* The spec goes through all handlers in order, each sees what the one before made of it. */
static void alter_handlers_thread_the_spec(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "second", 0, 0);
    fake_hook_add(fake, "child_data_alter", "first", 10, 0);
    fake_start(fake, "c", "args=0");
    assert_int_equal(fake_count_calls(fake, FAKE_START, "c"), 0);
    fake_hook_done(fake, assert_called(fake, "first"), 0, fake_spec("args=1"));
    const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
    assert_string_equal(call->alter->args, "1");
    assert_non_null(strstr(call->text, "\"id\":\"c\",\"spec\":\"module=fake args=1\""));
    fake_hook_done(fake, call->number, 0, fake_spec("args=2"));
    assert_int_equal(fake_count_calls(fake, FAKE_START, "c"), 1);
    assert_string_equal(spec_of(fake, "c")->args, "2");
}

/* What an alter handler makes must be a good spec of the same kind; else it is not used. */
static void bad_alterations_are_refused(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "h", 0, 0);
    fake_start(fake, "a b", "args=0");
    fake_hook_done(fake, assert_called(fake, "h"), 0, ph_spec_create());
    assert_string_equal(spec_of(fake, "a")->args, "0");
    struct ph_spec *other = fake_spec("args=0");
    assert_int_equal(ph_spec_set(other, "module", "another", NULL), 0);
    fake_hook_done(fake, assert_called(fake, "h"), 0, other);
    assert_string_equal(spec_of(fake, "b")->module, "fake");
    assert_int_equal(fake_count_calls(fake, FAKE_START, NULL), 2);
    assert_int_equal(handler_of(fake, "h")->failures, 2);
    assert_string_equal(fake_last(fake, "hook_failed", NULL)->text,
                        "h on child_data_alter: it may not change the kind of the child");
}

/* A handler that fails or is late leaves the spec as it was; the child starts all the same. */
static void failing_alter_handler_changes_nothing(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "h", 0, 1000);
    fake_start(fake, "a", "args=0");
    uint64_t handler = assert_called(fake, "h");
    fake_hook_done(fake, handler, PH_EFAILED, fake_spec("args=1"));
    assert_string_equal(spec_of(fake, "a")->args, "0");
    fake_start(fake, "b", "args=0");
    fake_advance(fake, 1000);
    assert_int_equal(fake_count_calls(fake, FAKE_START, NULL), 2);
    fake_hook_done(fake, handler, 0, fake_spec("args=1"));
    assert_string_equal(spec_of(fake, "b")->args, "0");
}

/* A handler that never answers holds up nobody: children behind the late call go on without it. */
static void stuck_alter_handler_holds_up_no_child(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "stuck", 10, 1000);
    fake_hook_add(fake, "child_data_alter", "good", 0, 1000);
    fake_start(fake, "a b c", "");
    fake_advance(fake, 1000);
    uint64_t stuck = assert_called(fake, "stuck");
    for (int i = 0; i < 3; i++)
        fake_hook_done(fake, assert_called(fake, "good"), 0, fake_spec("args=good"));
    assert_int_equal(fake_count_calls(fake, FAKE_START, NULL), 3);
    fake_start(fake, "d", "");
    fake_hook_done(fake, assert_called(fake, "good"), 0, NULL);
    assert_int_equal(fake_count_calls(fake, FAKE_START, "d"), 1);
    fake_hook_done(fake, stuck, 0, NULL); /* it is back, and asked again */
    fake_start(fake, "e", "");
    assert_called(fake, "stuck");
}

/* Each start begins with the spec that was asked for: alterations do not pile up. */
static void alterations_do_not_pile_up_over_restarts(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "h", 0, 0);
    fake_start(fake, "c", "args=asked");
    fake_hook_done(fake, assert_called(fake, "h"), 0, fake_spec("args=altered"));
    fake_up(fake, "c");
    fake_down(fake, "c", PH_EXIT_CODE, 1);
    const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
    assert_string_equal(call->alter->args, "asked");
    fake_hook_done(fake, call->number, 0, NULL);
    assert_string_equal(spec_of(fake, "c")->args, "asked");
}

/* A child that is restarted while its handler looks at it asks that handler again: one call at a
 * time, and every answer belongs to the call that runs. */
static void restart_of_an_altering_child_asks_once_more(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "h", 0, 0);
    fake_start(fake, "a b", "args=0");
    uint64_t number = assert_called(fake, "h");
    fake_restart(fake, "a");
    fake_hook_done(fake, number, 0, fake_spec("args=old"));
    const struct fake_call *call = fake_take_verb(fake, FAKE_HOOK);
    assert_non_null(strstr(call->text, "\"id\":\"b\""));
    assert_no_call(fake);
    fake_hook_done(fake, number, 0, fake_spec("args=b"));
    call = fake_take_verb(fake, FAKE_HOOK);
    assert_non_null(strstr(call->text, "\"id\":\"a\""));
    fake_hook_done(fake, number, 0, fake_spec("args=a"));
    assert_no_call(fake);
    assert_string_equal(spec_of(fake, "a")->args, "a");
    assert_string_equal(spec_of(fake, "b")->args, "b");
}

/* Children that wait for an alter handler go on when it is removed; its running call counts. */
static void removed_alter_handler_holds_up_no_child(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "slow", 0, 0);
    fake_start(fake, "a b c", "args=0");
    uint64_t number = assert_called(fake, "slow");
    struct ph_op *removal = fake_hook_remove(fake, "slow");
    assert_int_equal(fake_count_calls(fake, FAKE_START, "b"), 1);
    assert_int_equal(fake_count_calls(fake, FAKE_START, "c"), 1);
    assert_int_equal(fake_code(removal), 1);
    fake_hook_done(fake, number, 0, fake_spec("args=1"));
    assert_int_equal(fake_code(removal), 0);
    assert_string_equal(spec_of(fake, "a")->args, "1");
    assert_string_equal(spec_of(fake, "b")->args, "0");
    assert_no_call(fake);
}

/* A start compares with what was asked for before, not with what the hooks made of it. */
static void start_of_an_altered_child_stays_idempotent(void **state)
{
    struct fake_hub *fake = *state;
    fake_hook_add(fake, "child_data_alter", "h", 0, 0);
    fake_start(fake, "c", "args=asked");
    fake_hook_done(fake, assert_called(fake, "h"), 0, fake_spec("args=altered"));
    fake_up(fake, "c");
    struct ph_op *op = fake_start(fake, "c", "args=asked");
    assert_int_equal(fake_code(op), 0);
    assert_int_equal(ph_op_result(op)->same, 1);
    assert_int_equal(fake_code(fake_start(fake, "c", "args=altered")), PH_EEXISTS);
}

#define NARRATIVE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NARRATIVE(handlers_are_called_by_priority_then_registration),
        NARRATIVE(calls_of_one_handler_come_one_at_a_time),
        NARRATIVE(only_what_ran_is_inserted_and_removed),
        NARRATIVE(hooks_of_a_large_start_count_all_children),
        NARRATIVE(life_of_a_child_fires_its_hooks),
        NARRATIVE(failing_handler_harms_nothing),
        NARRATIVE(late_handler_harms_nothing),
        NARRATIVE(stray_answers_are_ignored),
        NARRATIVE(full_backlog_drops_the_oldest_call),
        NARRATIVE(handlers_have_names),
        NARRATIVE(too_many_handlers_are_refused),
        NARRATIVE(removal_waits_for_the_running_call),
        NARRATIVE(removal_of_an_idle_handler_is_immediate),
        NARRATIVE(shutdown_waits_for_running_calls),
        NARRATIVE(custom_events_reach_their_listeners),
        NARRATIVE(members_choose_who_hears_a_custom_event),
        NARRATIVE(alter_handlers_thread_the_spec),
        NARRATIVE(bad_alterations_are_refused),
        NARRATIVE(failing_alter_handler_changes_nothing),
        NARRATIVE(stuck_alter_handler_holds_up_no_child),
        NARRATIVE(alterations_do_not_pile_up_over_restarts),
        NARRATIVE(restart_of_an_altering_child_asks_once_more),
        NARRATIVE(removed_alter_handler_holds_up_no_child),
        NARRATIVE(start_of_an_altered_child_stays_idempotent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
