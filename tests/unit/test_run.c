#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/error.h"
#include "ipc/run.h"
#include "ipc/session.h"
#include "tests/lib/eventually.h"
#include "tests/lib/lang_fake.h"

/* A door that writes the words it got, and fails as the first word behind the command's says. */
struct bench {
    struct ph_door door;
    struct ph_sink sink;
    struct ph_text data, notes;
    struct ph_run run;
    atomic_uint runs;
    unsigned cancels;
};

static int bench_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    ph_text_append(&ph_container_of(sink, struct bench, sink)->data, bytes, length);
    return 0;
}

static int bench_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    ph_text_append(&ph_container_of(sink, struct bench, sink)->notes, bytes, length);
    return 0;
}

static int fail_as_asked(const char *script, const struct ph_word *word, enum ph_form form,
                         struct ph_sink *sink)
{
    static const struct {
        const char *word;
        int code;
    } codes[] = {
        {.word = "missing", .code = PH_ENOTFOUND},
        {.word = "no", .code = PH_EREFUSED},
        {.word = "late", .code = PH_ETIMEOUT},
        {.word = "part", .code = PH_EPARTIAL},
        {.word = "gone", .code = PH_ECONNECTION},
        {.word = "break", .code = PH_ECANCELED},
        {.word = "bad", .code = -EIO},
    };
    for (size_t i = 0; i < PH_COUNT_OF(codes); i++) {
        if (strcmp(word->text, codes[i].word) != 0)
            continue;
        ph_say_error(sink, form, (struct ph_position){script, word->line, word->column},
                     codes[i].code, word->text);
        return codes[i].code;
    }
    return 0;
}

static int bench_run(struct ph_door *door, const char *script, const struct ph_statement *statement,
                     enum ph_form form, struct ph_sink *sink)
{
    struct bench *bench = ph_container_of(door, struct bench, door);
    struct ph_text line = PH_TEXT_INIT;
    atomic_fetch_add_explicit(&bench->runs, 1, memory_order_release); /* read by interrupt() */
    for (size_t i = 0; i < statement->count; i++)
        ph_text_printf(&line, "%s%s", i ? "|" : "", statement->words[i].text);
    ph_text_put(&line, "\n");
    int rc = sink->data(sink, line.data, line.length);
    ph_text_fini(&line);
    if (rc == 0 && statement->count > 1)
        rc = fail_as_asked(script, &statement->words[1], form, sink);
    return rc;
}

static void bench_cancel(struct ph_door *door)
{
    ph_container_of(door, struct bench, door)->cancels++;
}

static struct bench *make_bench(enum ph_form form, bool keep_going)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    bench->door = (struct ph_door){.run = bench_run, .cancel = bench_cancel};
    bench->sink = (struct ph_sink){.data = bench_data, .note = bench_note};
    ph_run_init(&bench->run, &bench->door, &bench->sink, form, keep_going);
    return bench;
}

static void end_bench(struct bench *bench)
{
    ph_run_fini(&bench->run);
    ph_text_fini(&bench->data);
    ph_text_fini(&bench->notes);
    free(bench);
}

static int run_text(struct bench *bench, const char *text)
{
    return ph_run_text(&bench->run, "s", text, strlen(text));
}

/* Runs `text` in a fresh runner and compares all it says. */
static void assert_run(const char *text, int code, const char *data, const char *notes)
{
    struct bench *bench = make_bench(PH_FORM_TSV, false);
    assert_int_equal(run_text(bench, text), code);
    assert_string_equal(ph_text_str(&bench->data), data);
    assert_string_equal(ph_text_str(&bench->notes), notes);
    assert_int_equal(bench->run.exit_code, code);
    end_bench(bench);
}

/* Each class of failure has its exit code, and the script stops there. */
static void failures_have_exit_codes(void **state)
{
    (void)state;
    assert_run("status ; stop a", 0, "status\nstop|a\n", "");
    assert_run("stop missing\nstatus", 3, "stop|missing\n", "s:1:6: not-found: missing\n");
    assert_run("stop no", 4, "stop|no\n", "s:1:6: refused: no\n");
    assert_run("stop late", 5, "stop|late\n", "s:1:6: timeout: late\n");
    assert_run("stop gone", 6, "stop|gone\n", "s:1:6: no-connection: gone\n");
    assert_run("stop part", 7, "stop|part\n", "s:1:6: partial: part\n");
    assert_run("stop bad", 1, "stop|bad\n", "s:1:6: failed: bad\n");
    assert_run("stop break\nstatus", 130, "stop|break\n", "s:1:6: failed: break\n");
}

/* Nothing runs when something is wrong with any line. */
static void scripts_are_checked_before_they_run(void **state)
{
    (void)state;
    assert_run("status\nstop 'a", 2, "",
               "s:2:6: usage: the quote ' is not closed before the end of the line\n");
    assert_run("status\necho \"a\\q\"", 2, "",
               "s:2:8: usage: bad escape: after \\ comes one of n t \" \\ $ u{…}\n");
    assert_run("status\nstpo a", 2, "",
               "s:2:1: usage: unknown command stpo, did you mean `stop`?\n");
}

/* `try` tolerates a failure, -k goes on and keeps the first one's code. */
static void failures_are_tolerated(void **state)
{
    (void)state;
    assert_run("try stop missing\nstatus", 0, "stop|missing\nstatus\n",
               "s:1:10: not-found: missing\n");
    assert_run("try stop break\nstatus", 130, "stop|break\n", "s:1:10: failed: break\n");
    struct bench *bench = make_bench(PH_FORM_TSV, true);
    assert_int_equal(run_text(bench, "stop missing ; stop no ; status"), 3);
    assert_string_equal(ph_text_str(&bench->data), "stop|missing\nstop|no\nstatus\n");
    assert_int_equal(run_text(bench, "stop no"), 4);
    assert_int_equal(bench->run.exit_code, 3);
    end_bench(bench);
}

/* `let` and the environment give values; each is one value, whatever it holds. */
static void variables_are_replaced(void **state)
{
    (void)state;
    setenv("PH_TEST_VALUE", "from env", 1);
    assert_run("let A x ; let B \"$A y\" ; stop $A \"$B-$A\"'$A' p$A.$PH_TEST_VALUE", 0,
               "stop|x|x y-x$A|px.from env\n", "");
    assert_run("let A timeout=5s ; stop $A", 0, "stop|timeout=5s\n", "");
    assert_run("let A 'x or id = y' ; stop where id=$A", 0, "stop|where|id=x or id = y\n", "");
    assert_run("let A 1 ; let A 2 ; echo $A\"b\" $A", 0, "2b 2\n", "");
    assert_run("let C status ; $C", 0, "status\n", "");
    assert_run("status ; stop a$NOT_SET_AT_ALL", 2, "status\n",
               "s:1:16: usage: $NOT_SET_AT_ALL is not set: write `let NOT_SET_AT_ALL VALUE` "
               "before, or '$NOT_SET_AT_ALL' for the text\n");
}

/* Values do not grow beyond their bound. */
static void variables_are_bounded(void **state)
{
    (void)state;
    struct ph_text text = PH_TEXT_INIT;
    ph_text_put(&text, "let A xxxxxxxxxxxxxxxx\n");
    for (unsigned i = 0; i < 40; i++)
        ph_text_put(&text, "let A $A$A\n");
    struct bench *bench = make_bench(PH_FORM_TSV, false);
    assert_int_equal(run_text(bench, text.data), 4);
    assert_string_equal(
        ph_text_str(&bench->notes),
        "s:18:5: refused: a script has at most 1024 variables of at most 1 MiB each\n");
    end_bench(bench);
    ph_text_fini(&text);
}

/* `echo` writes its text, as an object where output is for programs. */
static void echo_writes_a_line(void **state)
{
    (void)state;
    assert_run("echo a  'b  c' # d\necho", 0, "a b  c\n\n", "");
    struct bench *bench = make_bench(PH_FORM_JSON, false);
    assert_int_equal(run_text(bench, "echo \"a\\n\""), 0);
    assert_string_equal(ph_text_str(&bench->data), "{\"t\":\"echo\",\"text\":\"a\\u000a\"}\n");
    end_bench(bench);
}

/* `exit` ends the script with its code, or with the first failure's. */
static void exit_ends_the_script(void **state)
{
    (void)state;
    assert_run("status ; exit 9 ; status", 9, "status\n", "");
    assert_run("exit", 0, "", "");
    struct bench *bench = make_bench(PH_FORM_TSV, true);
    assert_int_equal(run_text(bench, "stop missing ; exit ; status"), 3);
    assert_true(bench->run.exited);
    end_bench(bench);
    bench = make_bench(PH_FORM_TSV, true);
    assert_int_equal(run_text(bench, "stop missing ; exit 0"), 0);
    assert_int_equal(bench->run.exit_code, 0);
    end_bench(bench);
}

/* Errors for programs are objects on the note channel. */
static void errors_are_objects_in_json(void **state)
{
    (void)state;
    struct bench *bench = make_bench(PH_FORM_JSONL, false);
    assert_int_equal(run_text(bench, "status\n\n  stop missing"), 3);
    assert_string_equal(ph_text_str(&bench->notes),
                        "{\"t\":\"error\",\"line\":3,\"column\":8,\"class\":\"not-found\","
                        "\"exit\":3,\"message\":\"missing\"}\n");
    end_bench(bench);
}

/* On a terminal the source line and a caret follow an error, once. */
static void carets_show_the_place(void **state)
{
    (void)state;
    struct bench *bench = make_bench(PH_FORM_TABLE, false);
    bench->run.caret = true;
    assert_int_equal(run_text(bench, "status\n\tstop missing # x"), 3);
    assert_string_equal(ph_text_str(&bench->notes),
                        "s:2:7: not-found: missing\n   stop missing # x\n        ^\n");
    ph_text_clear(&bench->notes);
    assert_int_equal(run_text(bench, "stop 'a"), 2);
    assert_string_equal(ph_text_str(&bench->notes),
                        "s:1:6: usage: the quote ' is not closed before the end of the line\n"
                        "  stop 'a\n       ^\n");
    end_bench(bench);
}

/* A file of `text` in a directory of its own; the name is for the caller to free. */
static char *make_file(const char *text)
{
    char name[] = "/tmp/ph-run-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return strdup(name);
}

static void remove_file(char *name)
{
    unlink(name);
    free(name);
}

/* `source` runs a file as a whole; its errors name it, its variables and its exit are the script's.
 */
static void source_runs_a_file(void **state)
{
    (void)state;
    char *name = make_file("let A b\nstop $A\nstop no\nstatus\n");
    struct ph_text text = PH_TEXT_INIT, notes = PH_TEXT_INIT;
    ph_text_printf(&text, "try source %s ; echo $A ; source %s ; status", name, name);
    ph_text_printf(&notes, "%s:3:6: refused: no\n%s:3:6: refused: no\n", name, name);
    assert_run(text.data, 4, "stop|b\nstop|no\nb\nstop|b\nstop|no\n", notes.data);
    remove_file(name);
    ph_text_clear(&text);
    name = make_file("exit 7");
    ph_text_printf(&text, "source %s ; status", name);
    assert_run(text.data, 7, "", "");
    remove_file(name);
    assert_run("status ; source /nowhere/at-all", 3, "status\n",
               "s:1:17: not-found: /nowhere/at-all: No such file or directory\n");
    ph_text_fini(&text);
    ph_text_fini(&notes);
}

/* A file that is wrong does not run in part. */
static void sourced_files_are_checked_first(void **state)
{
    (void)state;
    char *name = make_file("status\nstop a timeout=x\n");
    struct ph_text text = PH_TEXT_INIT, notes = PH_TEXT_INIT;
    ph_text_printf(&text, "source %s", name);
    ph_text_printf(&notes,
                   "%s:2:8: usage: timeout=x: a duration like 250ms, 5s, 2m, 1h of at most "
                   "3600000ms\n",
                   name);
    assert_run(text.data, 2, "", notes.data);
    remove_file(name);
    ph_text_fini(&text);
    ph_text_fini(&notes);
}

/* A file that sources itself is stopped. */
static void source_is_bounded(void **state)
{
    (void)state;
    char *name = make_file("");
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fprintf(file, "status\nsource %s\n", name);
    fclose(file);
    struct ph_text text = PH_TEXT_INIT;
    ph_text_printf(&text, "source %s", name);
    struct bench *bench = make_bench(PH_FORM_TSV, false);
    assert_int_equal(run_text(bench, text.data), 4);
    assert_int_equal(atomic_load(&bench->runs), 16);
    assert_non_null(strstr(bench->notes.data, "nested more than 16 deep"));
    end_bench(bench);
    remove_file(name);
    ph_text_fini(&text);
}

static bool has_run_thrice(void *arg)
{
    /* Pairs with the release in bench_run. */
    return atomic_load_explicit(&((struct bench *)arg)->runs, memory_order_acquire) >= 3;
}

static void *interrupt(void *arg)
{
    struct bench *bench = arg;
    (void)eventually(has_run_thrice, bench, 10000);
    ph_run_cancel(&bench->run);
    return NULL;
}

static int run_interrupted(struct bench *bench, const char *text)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, bench), 0);
    int code = run_text(bench, text);
    pthread_join(thread, NULL);
    return code;
}

/* `watch` repeats its command until it is interrupted, or fails. */
static void watch_repeats_until_interrupted(void **state)
{
    (void)state;
    struct bench *bench = make_bench(PH_FORM_TSV, false);
    assert_int_equal(run_interrupted(bench, "watch stop a every=10ms ; status"), 130);
    assert_int_equal(strncmp(bench->data.data, "stop|a\nstop|a\nstop|a\n", 21), 0);
    assert_null(strstr(bench->data.data, "status"));
    assert_int_equal(bench->cancels, 1);
    assert_int_equal(run_text(bench, "status"), 130);
    ph_run_reset(&bench->run);
    assert_int_equal(run_text(bench, "status"), 0);
    end_bench(bench);
    assert_run("watch stop no every=10ms", 4, "stop|no\n", "s:1:12: refused: no\n");
}

/* A line with the time separates the tables of `watch`. */
static void watch_separates_tables(void **state)
{
    (void)state;
    struct bench *bench = make_bench(PH_FORM_TABLE, false);
    assert_int_equal(run_interrupted(bench, "watch status every=10ms"), 130);
    assert_int_equal(strncmp(bench->data.data, "status\n--- 2", 12), 0);
    end_bench(bench);
}

/* `sleep` lets its time pass, and ends at once when it is interrupted. */
static void sleep_is_interrupted(void **state)
{
    (void)state;
    struct bench *bench = make_bench(PH_FORM_TSV, true);
    assert_int_equal(run_interrupted(bench, "status ; status ; status ; sleep 1h ; status"), 130);
    assert_int_equal(atomic_load(&bench->runs), 3);
    end_bench(bench);
    assert_run("sleep 1ms ; status", 0, "status\n", "");
}

/* Help is text, or an object for programs. */
static void help_is_written(void **state)
{
    (void)state;
    assert_run("help status", 0, "status\n  one screen\n", "");
    assert_run("help hub stop", 0, "hub stop NAME\n  end a hub\n", "");
    struct bench *bench = make_bench(PH_FORM_JSON, false);
    assert_int_equal(run_text(bench, "help status"), 0);
    assert_string_equal(bench->data.data,
                        "{\"t\":\"help\",\"text\":\"status\\u000a  one screen\\u000a\"}\n");
    end_bench(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_have_exit_codes),
        cmocka_unit_test(scripts_are_checked_before_they_run),
        cmocka_unit_test(failures_are_tolerated),
        cmocka_unit_test(variables_are_replaced),
        cmocka_unit_test(variables_are_bounded),
        cmocka_unit_test(echo_writes_a_line),
        cmocka_unit_test(exit_ends_the_script),
        cmocka_unit_test(errors_are_objects_in_json),
        cmocka_unit_test(carets_show_the_place),
        cmocka_unit_test(source_runs_a_file),
        cmocka_unit_test(sourced_files_are_checked_first),
        cmocka_unit_test(source_is_bounded),
        cmocka_unit_test(watch_repeats_until_interrupted),
        cmocka_unit_test(watch_separates_tables),
        cmocka_unit_test(sleep_is_interrupted),
        cmocka_unit_test(help_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
