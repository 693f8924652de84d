#include "tests/contract/module_diary.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/legacy.h"
#include "engine/op.h"
#include "tests/lib/realnode.h"

/* ---- Built-in modules ------------------------------------------------------------------------ */

/* What two instances of a built-in module are told, and what the one that stays answers after it
 * has been left the other one's state. */
struct meeting {
    const char *module, *stays[3], *leaves[3], *question, *answer;
    int code; /* of the merge */
};

static struct ph_text save_of(const struct meeting *meeting)
{
    struct contract_stage *stage = contract_open(&diary_kind, 1);
    struct diary diary = {.stage = stage};
    contract_make_child(stage, real_spec(meeting->module));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    for (unsigned i = 0; i < 3 && meeting->leaves[i]; i++)
        diary_cast(&diary, meeting->leaves[i]);
    contract_settle(stage);
    ph_kind_module.save(stage->child);
    contract_wait_downs(stage, 1);
    struct ph_text text = contract_take_saved(stage);
    contract_free_child(stage);
    contract_close(stage);
    return text;
}

static void check_meeting(const struct meeting *meeting)
{
    struct ph_text text = save_of(meeting);
    struct ph_legacy *legacy = ph_legacy_create("n2", ph_text_str(&text), text.length);
    struct contract_stage *stage = contract_open(&diary_kind, 1);
    struct diary diary = {.stage = stage};
    contract_make_child(stage, real_spec(meeting->module));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    for (unsigned i = 0; i < 3 && meeting->stays[i]; i++)
        diary_cast(&diary, meeting->stays[i]);
    contract_settle(stage);
    ph_kind_module.merge(stage->child, legacy);
    contract_settle(stage);
    assert_int_equal(contract_reports(stage).merges, 1);
    assert_int_equal(contract_reports(stage).merge_code, meeting->code);
    struct ph_op *op = diary_deliver(&diary, PH_MESSAGE_CALL, meeting->question);
    contract_settle(stage);
    diary_assert_answer(op, 0, "", meeting->answer);
    ph_kind_module.stop(stage->child);
    contract_wait_downs(stage, 1);
    contract_free_child(stage);
    contract_close(stage);
    ph_legacy_put(legacy);
    ph_text_fini(&text);
}

/* A counter adds if its args say so; a store takes the keys that it lacks; what cannot merge is as
 * it was. */
static void built_in_modules_meet(void **state)
{
    (void)state;
    static const struct meeting meetings[] = {
        {"module=counter args=merge=sum", {"inc 40"}, {"inc 2", "inc"}, "get", "43", 0},
        {"module=counter", {"inc 40"}, {"inc 2"}, "get", "40", PH_EUNSUPPORTED},
        {"module=kv", {"set a mine", "set b b"}, {"set a yours", "set c c"}, "size", "3", 0},
        {"module=kv", {"set a mine", "set b b"}, {"set a yours", "set c c"}, "get a", "mine", 0},
        {"module=kv", {"set a mine", "set b b"}, {"set a yours", "set c c"}, "get c", "c", 0},
        {"module=echo", {NULL}, {NULL}, "hello", "hello", PH_EUNSUPPORTED},
    };
    for (unsigned i = 0; i < PH_COUNT_OF(meetings); i++)
        check_meeting(&meetings[i]);
}

/* Bytes that are no state of the module are refused whole: nothing of them is taken. */
static void nonsense_is_refused_whole(void **state)
{
    (void)state;
    static const struct {
        const char *module, *question, *answer;
        const char *bytes;
        size_t length;
    } cases[] = {
        {"module=counter args=merge=sum", "get", "0", "short", 5},
        {"module=kv", "size", "0", "a\0b\0c", 5},
        {"module=kv", "size", "0", "a\0b\0c\0", 6},
    };
    for (unsigned i = 0; i < PH_COUNT_OF(cases); i++) {
        struct contract_stage *stage = contract_open(&diary_kind, 1);
        struct diary diary = {.stage = stage};
        struct ph_legacy *legacy = ph_legacy_create("n2", cases[i].bytes, cases[i].length);
        contract_make_child(stage, real_spec(cases[i].module));
        contract_start(stage);
        contract_wait_ups(stage, 1);
        ph_kind_module.merge(stage->child, legacy);
        contract_settle(stage);
        assert_int_equal(contract_reports(stage).merge_code, PH_EUSAGE);
        struct ph_op *op = diary_deliver(&diary, PH_MESSAGE_CALL, cases[i].question);
        contract_settle(stage);
        diary_assert_answer(op, 0, "", cases[i].answer);
        ph_legacy_put(legacy);
        ph_kind_module.stop(stage->child);
        contract_wait_downs(stage, 1);
        contract_free_child(stage);
        contract_close(stage);
    }
}

/* ---- Any module ------------------------------------------------------------------------------ */

static int write_info(struct probe *probe, struct ph_context *context, const void *data,
                      size_t length, const struct ph_merge_info *info)
{
    char word[96];
    (void)context;
    snprintf(word, sizeof word, "%.*s/%s/%llu/%llu/%llu/%llu", (int)length, (const char *)data,
             info->from, (unsigned long long)info->ran_ms, (unsigned long long)info->other_ran_ms,
             (unsigned long long)info->updates, (unsigned long long)info->other_updates);
    diary_write((struct diary *)probe, word);
    return 0;
}

static struct ph_legacy *leave(const char *text)
{
    struct ph_legacy *legacy = ph_legacy_create("n7", text, strlen(text));
    legacy->ran_ms = 100;
    legacy->stays_ms = 200;
    legacy->updates = 3;
    return legacy;
}

/* A merge comes between two messages, and is told who ran longer and how often each was told
 * something. */
static void merge_comes_between_two_messages(void **state)
{
    struct diary *diary = *state;
    struct ph_legacy *legacy = leave("other");
    diary->probe.merge = write_info;
    contract_start(diary->stage);
    contract_settle(diary->stage);
    diary_cast(diary, "a");
    diary_cast(diary, "b");
    contract_settle(diary->stage);
    ph_kind_module.merge(diary->stage->child, legacy);
    diary_cast(diary, "c");
    contract_settle(diary->stage);
    assert_string_equal(diary->text, "a b other/n7/200/100/2/3 c");
    assert_int_equal(contract_reports(diary->stage).merges, 1);
    assert_int_equal(contract_reports(diary->stage).merge_code, 0);
    ph_legacy_put(legacy);
}

static int fail_to_merge(struct probe *probe, struct ph_context *context, const void *data,
                         size_t length, const struct ph_merge_info *info)
{
    (void)probe;
    (void)data;
    (void)info;
    ph_fail(context, "%zu bytes do not fit", length);
    return -EDOM;
}

static int merge_odd(struct probe *probe, struct ph_context *context, const void *data,
                     size_t length, const struct ph_merge_info *info)
{
    (void)probe;
    (void)context;
    (void)data;
    (void)length;
    (void)info;
    return 3;
}

/* A merge that fails harms nobody: the instance goes on, and the hub learns why. */
static void instance_that_cannot_merge_goes_on(void **state)
{
    static const struct {
        int (*merge)(struct probe *, struct ph_context *, const void *, size_t,
                     const struct ph_merge_info *);
        int code;
        const char *why;
    } cases[] = {
        {fail_to_merge, -EDOM, "module probe: merge failed: 5 bytes do not fit"},
        {merge_odd, PH_EFAILED, "module probe: merge failed: failed"},
        {NULL, PH_EUNSUPPORTED, "module probe does not merge states"},
    };
    struct diary *diary = *state;
    contract_start(diary->stage);
    for (unsigned i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_legacy *legacy = leave("other");
        diary->probe.merge = cases[i].merge;
        ph_kind_module.merge(diary->stage->child, legacy);
        ph_legacy_put(legacy);
        contract_settle(diary->stage);
        diary_cast(diary, "more");
        contract_settle(diary->stage);
        assert_int_equal(contract_reports(diary->stage).merges, i + 1);
        assert_int_equal(contract_reports(diary->stage).merge_code, cases[i].code);
        assert_string_equal(contract_reports(diary->stage).why_merged, cases[i].why);
    }
    assert_int_equal(contract_reports(diary->stage).downs, 0);
    assert_string_equal(diary->text, "more more more");
}

/* What was asked for together: a stop wins, a save comes after the merge, so nothing is left out of
 * the state that goes away. */
static void merge_comes_after_a_stop_and_before_a_save(void **state)
{
    struct diary *diary = *state;
    struct ph_legacy *legacy = leave("other");
    diary->probe.merge = write_info;
    contract_start(diary->stage);
    contract_settle(diary->stage);
    ph_kind_module.merge(diary->stage->child, legacy);
    ph_kind_module.stop(diary->stage->child);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).downs, 1);
    assert_int_equal(contract_reports(diary->stage).merges, 0);
    contract_start(diary->stage);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).merges, 0);
    ph_kind_module.save(diary->stage->child);
    ph_kind_module.merge(diary->stage->child, legacy);
    contract_settle(diary->stage);
    assert_int_equal(contract_reports(diary->stage).merges, 1);
    assert_int_equal(contract_reports(diary->stage).saves, 1);
    assert_string_equal(diary->text, "other/n7/200/100/0/3");
    ph_legacy_put(legacy);
}

/* How many messages the present instance has handled can be seen from outside. */
static void handled_messages_are_counted_by_instance(void **state)
{
    struct diary *diary = *state;
    struct ph_child_info info;
    for (unsigned life = 0; life < 2; life++) {
        contract_start(diary->stage);
        for (unsigned i = 0; i <= life; i++)
            diary_cast(diary, "a");
        contract_settle(diary->stage);
        ph_kind_module.save(diary->stage->child);
        contract_settle(diary->stage);
        ph_rcu_enter();
        ph_child_inspect_rcu(diary->stage->child, &info);
        ph_rcu_exit();
        assert_int_equal(info.handled, life + 1); /* also when it has ended */
    }
}

#define MODULE(name) cmocka_unit_test_setup_teardown(name, diary_set_up, diary_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_modules_meet),
        cmocka_unit_test(nonsense_is_refused_whole),
        MODULE(merge_comes_between_two_messages),
        MODULE(instance_that_cannot_merge_goes_on),
        MODULE(merge_comes_after_a_stop_and_before_a_save),
        MODULE(handled_messages_are_counted_by_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
