#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/spec.h"
#include "ipc/command.h"
#include "tests/lib/lang_fake.h"

struct reading {
    struct ph_script *script;
    struct ph_args args;
};

/* Reads the only statement of `text`, which must be good. */
static struct reading read_good(const char *text)
{
    struct reading reading = {.script = ph_lang_parse(text)};
    struct ph_script_error error;
    int rc = ph_command_read(ph_script_at(reading.script, 0), false, &reading.args, &error);
    if (rc)
        fail_msg("%s: %u:%u: %s", text, error.line, error.column, error.error.text);
    return reading;
}

static void fini(struct reading *reading)
{
    ph_args_fini(&reading->args);
    ph_script_destroy(reading->script);
}

/* Options may stand anywhere and have their types. */
static void options_stand_anywhere(void **state)
{
    (void)state;
    struct reading reading = read_good("children limit=10 web-1 scope=local size=64k db");
    assert_string_equal(reading.args.command->name, "children");
    assert_int_equal(reading.args.word_count, 2);
    assert_int_equal(reading.args.target_count, 2);
    assert_string_equal(reading.args.words[1]->text, "db");
    assert_int_equal(reading.args.numbers[0], 10);
    assert_string_equal(reading.args.texts[1], "local");
    assert_int_equal(reading.args.numbers[2], 65536);
    assert_null(reading.args.values[3]);
    fini(&reading);
}

/* Flags are words alone; a quoted word is neither flag nor option. */
static void quoted_words_are_no_options(void **state)
{
    (void)state;
    struct reading reading = read_good("events follow since=5");
    assert_non_null(reading.args.values[1]);
    assert_int_equal(reading.args.numbers[1], 1);
    fini(&reading);
    reading = read_good("stop 'timeout=5s' \"all\" sort");
    assert_int_equal(reading.args.word_count, 3);
    assert_null(reading.args.values[0]);
    fini(&reading);
    reading = read_good("children sort=\"a b\"");
    assert_string_equal(reading.args.texts[3], "a b");
    fini(&reading);
}

/* Names of two words come before names of one. */
static void names_have_one_or_two_words(void **state)
{
    (void)state;
    struct reading reading = read_good("hub create h1 lock.timeout=5s distribution=hash");
    assert_string_equal(reading.args.command->name, "hub create");
    assert_int_equal(reading.args.word_count, 1);
    assert_int_equal(reading.args.key_count, 2);
    assert_string_equal(reading.args.keys[1], "distribution=hash");
    fini(&reading);
    ph_lang_assert_says("hub", "1:1: hub what? write one of: hub create, hub stop");
    ph_lang_assert_says("hub crate x", "1:1: hub what? write one of: hub create, hub stop");
    ph_lang_assert_says("statsu", "1:1: unknown command statsu, did you mean `status`?");
    ph_lang_assert_says("frobnicate", "1:1: unknown command frobnicate, see `help`");
    ph_lang_assert_says("'status'", "1:1: a command's name is not quoted: status");
    ph_lang_assert_says("try try status", "1:5: unknown command try, see `help`");
}

/* `where EXPR` comes last; options of the row may follow it, words behind the TARGET, too. */
static void where_comes_last(void **state)
{
    (void)state;
    struct reading reading = read_good("children where state = failed and restarts>2 limit=5");
    assert_int_equal(reading.args.word_count, 0);
    assert_non_null(reading.args.expr);
    assert_int_equal(reading.args.numbers[0], 5);
    fini(&reading);
    reading = read_good("signal where state=failed HUP");
    assert_int_equal(reading.args.word_count, 1);
    assert_int_equal(reading.args.target_count, 0);
    assert_string_equal(reading.args.words[0]->text, "HUP");
    fini(&reading);
    reading = read_good("signal a b HUP");
    assert_int_equal(reading.args.target_count, 2);
    assert_int_equal(reading.args.word_count, 3);
    fini(&reading);
    reading = read_good("stop 'where' x");
    assert_null(reading.args.expr);
    fini(&reading);
    ph_lang_assert_says("stop where",
                        "1:6: an expression is missing behind where, as in: where state = "
                        "failed");
    ph_lang_assert_says("events x", "1:8: x: too many words, write: events [follow] [where EXPR]");
    ph_lang_assert_says("stop", "1:1: too few words, write: stop TARGET");
    ph_lang_assert_says("signal a", "1:1: too few words, write: signal TARGET SIG");
}

/* A condition takes its options anywhere. */
static void conditions_take_options(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "wait count = 10 timeout=5s",
        "wait timeout=5s count=10",
        "wait count timeout=5s = 10",
    };
    for (size_t i = 0; i < PH_COUNT_OF(texts); i++) {
        struct reading reading = read_good(texts[i]);
        assert_non_null(reading.args.expr);
        assert_int_equal(reading.args.numbers[0], 5000);
        fini(&reading);
    }
    ph_lang_assert_says("wait timeout=5s", "1:1: too few words, write: wait EXPR [timeout=D]");
    ph_lang_assert_says("wait counts = 1",
                        "1:6: unknown field counts, did you mean count?; the fields "
                        "are: nodes, locked, count");
}

/* The text is all remaining words; only the very last bare one may be an option. */
static void texts_are_joined(void **state)
{
    (void)state;
    struct reading reading = read_good("call kv-1 set k 'a  b' timeout=5s x=1");
    assert_string_equal(reading.args.text, "set k a  b timeout=5s x=1");
    assert_null(reading.args.values[0]);
    fini(&reading);
    reading = read_good("call kv-1 get timeout=5s");
    assert_string_equal(reading.args.text, "get");
    assert_int_equal(reading.args.numbers[0], 5000);
    fini(&reading);
    reading = read_good("call kv-1 get 'timeout=5s'");
    assert_string_equal(reading.args.text, "get timeout=5s");
    fini(&reading);
    reading = read_good("send a timeout=5s");
    assert_string_equal(reading.args.text, "timeout=5s");
    fini(&reading);
    reading = read_good("send a ''");
    assert_string_equal(reading.args.text, "");
    fini(&reading);
    reading = read_good("echo");
    assert_string_equal(reading.args.text, "");
    fini(&reading);
    ph_lang_assert_says("send a", "1:1: too few words, write: send ID TEXT");
    ph_lang_assert_says("call a timeout=5s", "1:1: too few words, write: call ID TEXT [timeout=D]");
}

/* `start` makes a spec of all keys that are not its own, and of the argv. */
static void specs_are_built(void **state)
{
    (void)state;
    struct reading reading = read_good("start w-[1..1000] 'all' restart=transient env.A=\"b c\" "
                                       "timeout=5s -- /bin/sh -c 'x=1' y=2");
    struct ph_text text = PH_TEXT_INIT;
    assert_int_equal(reading.args.word_count, 2);
    assert_int_equal(reading.args.numbers[1], 5000);
    assert_int_equal(reading.args.spec->argc, 4);
    assert_string_equal(reading.args.spec->argv[3], "y=2");
    assert_true(ph_spec_text(reading.args.spec, "env.A", &text));
    assert_string_equal(ph_text_str(&text), "b c");
    ph_text_fini(&text);
    fini(&reading);
}

/* Mistakes in a spec have the place of their word. */
static void spec_mistakes_have_a_place(void **state)
{
    (void)state;
    struct ph_text said = PH_TEXT_INIT;
    static const struct {
        const char *text, *place, *part;
    } cases[] = {
        {.text = "start a module=counter restrat=x", .place = "1:24: ", .part = "restart"},
        {.text = "start a module=counter restart=x", .place = "1:24: ", .part = "permanent"},
        {.text = "start a", .place = "1:1: ", .part = "module"},
        {.text = "status\nstart module=counter", .place = "2:1: ", .part = "start ID… [SPEC]"},
        {.text = "start all module=counter", .place = "1:7: ", .part = "'all'"},
        {.text = "start a* module=counter", .place = "1:7: ", .part = "'a*'"},
        {.text = "start a[2..1] module=counter", .place = "1:7: ", .part = "greater"},
        {.text = "start a[ module=counter", .place = "1:7: ", .part = "PREFIX[FIRST..LAST]"},
        {.text = "start 'a b' module=counter", .place = "1:7: ", .part = "without spaces"},
        {.text = "stop a -- b", .place = "1:11: ", .part = "starts no program"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        ph_text_clear(&said);
        ph_lang_check(cases[i].text, strlen(cases[i].text), &said);
        if (strncmp(ph_text_str(&said), cases[i].place, strlen(cases[i].place)) != 0 ||
            !strstr(ph_text_str(&said), cases[i].part))
            fail_msg("%s: %s", cases[i].text, ph_text_str(&said));
    }
    ph_text_fini(&said);
}

/* Wrong values say what is expected, wrong keys which one is near. */
static void option_mistakes_are_explained(void **state)
{
    (void)state;
    ph_lang_assert_says("stop a timeout=abc",
                        "1:8: timeout=abc: a duration like 250ms, 5s, 2m, 1h of at "
                        "most 3600000ms");
    ph_lang_assert_says("stop a timeout=2h",
                        "1:8: timeout=2h: a duration like 250ms, 5s, 2m, 1h of at "
                        "most 3600000ms");
    ph_lang_assert_says("children limit=", "1:10: limit=: a number of at most 1000");
    ph_lang_assert_says("children size=1x", "1:10: size=1x: a size like 512, 64k, 10M");
    ph_lang_assert_says("children scope=locl",
                        "1:10: scope=locl: local or global; did you mean local?");
    ph_lang_assert_says("start a if_exists=x module=counter",
                        "1:9: if_exists=x: same, fail or replace");
    ph_lang_assert_says("events follow=yes", "1:8: follow takes no value: write follow alone");
    ph_lang_assert_says("children limit=1 limit=2", "1:18: limit is given twice");
    ph_lang_assert_says("stop a timout=5s",
                        "1:8: timout=: `stop` has no such option, did you mean timeout=?");
    ph_lang_assert_says("status x=1",
                        "1:8: x=: `status` has no such option, it takes none; quote the word "
                        "if it is no option");
    ph_lang_assert_says("stop a x=1",
                        "1:8: x=: `stop` has no such option; quote the word if it is none, "
                        "or see `help stop`");
    ph_lang_assert_says("stop tag:", "1:6: tag:: a name is missing behind the colon");
}

/* What a variable hides is left to run time; the rest is checked. */
static void variables_are_left_to_run_time(void **state)
{
    (void)state;
    ph_lang_assert_says("$x y z", "");
    ph_lang_assert_says("hub $x y", "");
    ph_lang_assert_says("stop $x a[",
                        "1:9: a[: a range is written PREFIX[FIRST..LAST], as in w-[1..1000] "
                        "(an id with [ is quoted)");
    ph_lang_assert_says("stop a timeout=$t", "");
    ph_lang_assert_says(
        "stop a b=$t",
        "1:8: b=: `stop` has no such option; quote the word if it is none, or see `help "
        "stop`");
    ph_lang_assert_says("start $id restart=$r", "");
    ph_lang_assert_says("start a -- $p -x", "");
    ph_lang_assert_says("wait count = $n and $f > 2", "");
    ph_lang_assert_says("wait count = $n and x > 2",
                        "1:21: unknown field x; the fields are: nodes, locked, count");
    ph_lang_assert_says("sleep $t ; exit $n ; watch $c ; let $n 5", "");
}

/* Client commands check their words, and `watch` the command it runs. */
static void client_commands_are_checked(void **state)
{
    (void)state;
    ph_lang_assert_says("sleep 5x", "1:7: 5x: a duration like 250ms, 5s, 2m, 1h");
    ph_lang_assert_says("exit 256", "1:6: 256: an exit code from 0 to 255");
    ph_lang_assert_says("let 1a b",
                        "1:5: 1a: a variable's name has letters, digits and _, and begins with "
                        "no digit");
    ph_lang_assert_says("let a b c", "1:9: let takes one value: quote a value of several words");
    ph_lang_assert_says("let url http://x?a=b", "");
    ph_lang_assert_says("watch children limit=x every=2s",
                        "1:16: limit=x: a number of at most 1000");
    ph_lang_assert_says("watch every=1x status",
                        "1:7: every=1x: a duration like 250ms, 5s, 2m, 1h");
    ph_lang_assert_says("watch status every=1ms", "1:14: every=1ms: at least 10ms");
    ph_lang_assert_says("watch watch status", "1:7: watch takes another command, not `watch`");
    ph_lang_assert_says("watch every=1s", "1:1: too few words, write: watch COMMAND [every=1s]");
    ph_lang_assert_says("help stp", "1:6: unknown command stp, did you mean `stop`?");
    ph_lang_assert_says("help hub ; help hub create ; help", "");
    ph_lang_assert_says("migrate a to b ; migrate where restarts > 1 to b", "");
    ph_lang_assert_says("migrate a to", "1:1: too few words, write: migrate TARGET to NODE");
}

/* `watch` keeps the argv of its command and takes options only around it. */
static void nested_commands_are_cut_out(void **state)
{
    (void)state;
    struct reading reading = read_good("watch children limit=5 every=2s");
    assert_int_equal(reading.args.nested.count, 2);
    assert_int_equal(reading.args.nested.argv, 2);
    assert_int_equal(reading.args.numbers[0], 2000);
    fini(&reading);
    reading = read_good("watch every=3s start a -- b every=2s");
    assert_int_equal(reading.args.nested.count, 4);
    assert_int_equal(reading.args.nested.argv, 2);
    assert_int_equal(reading.args.numbers[0], 3000);
    fini(&reading);
}

/* Help lists all commands in groups, and says all about one. */
static void help_is_made_from_the_table(void **state)
{
    (void)state;
    struct ph_text out = PH_TEXT_INIT;
    ph_command_help(NULL, &out);
    assert_non_null(strstr(out.data, "Hub\n  status      one screen\n  hub create  a new hub\n"));
    assert_non_null(strstr(out.data, "\n\nChildren\n  start       start children\n"));
    assert_non_null(strstr(out.data, "\n  migrate     move children\n"));
    ph_text_clear(&out);
    for (size_t i = 0; i < ph_command_count; i++) {
        if (strcmp(ph_commands[i].name, "children") == 0)
            ph_command_help(&ph_commands[i], &out);
    }
    assert_string_equal(
        out.data,
        "children [TARGET] [limit=N]\n"
        "  list children\n\n"
        "  limit=N                 a number, at most 1000\n"
        "  scope=local|global      one of these words\n"
        "  size=SIZE               a size like 512, 64k, 10M\n"
        "  sort=TEXT               a text\n\n"
        "TARGET: ids, globs web-*, ranges web-[1..10], tag:NAME, node:NAME, all, or where EXPR\n\n"
        "EXPR: FIELD and = != < <= > >= =~ and a value; and, or, not, ( )\n"
        "FIELD: id, state, tag, restarts, node, meta.KEY\n");
    ph_text_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(quoted_words_are_no_options),
        cmocka_unit_test(names_have_one_or_two_words),
        cmocka_unit_test(where_comes_last),
        cmocka_unit_test(conditions_take_options),
        cmocka_unit_test(texts_are_joined),
        cmocka_unit_test(specs_are_built),
        cmocka_unit_test(spec_mistakes_have_a_place),
        cmocka_unit_test(option_mistakes_are_explained),
        cmocka_unit_test(variables_are_left_to_run_time),
        cmocka_unit_test(client_commands_are_checked),
        cmocka_unit_test(nested_commands_are_cut_out),
        cmocka_unit_test(help_is_made_from_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
