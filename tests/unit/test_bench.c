#include "bench/bench.h"

#include <fcntl.h>
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
#include "engine/tsan.h"

enum { WORDS_MAX = 16 };

static char output[64 * 1024];

/* Runs `bench WORD…` with both outputs in `output`, and returns its exit code. */
static int run_bench(const char *const *words)
{
    char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "bench"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    FILE *file = tmpfile();
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    fflush(NULL);
    dup2(fileno(file), STDOUT_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    int rc = ph_bench_main(argc, argv);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    rewind(file);
    size_t length = fread(output, 1, sizeof output - 1, file);
    output[length] = '\0';
    fclose(file);
    return rc;
}

/* The number behind "key": in a row; it must be one. */
static double number_of(const char *row, const char *key)
{
    char pattern[64], *end;
    snprintf(pattern, sizeof pattern, "\"%s\":", key);
    const char *at = strstr(row, pattern);
    assert_non_null(at);
    at += strlen(pattern);
    double number = strtod(at, &end);
    assert_true(end > at && (*end == ',' || *end == '}'));
    return number;
}

static void check_row(const char *row, const char *suite)
{
    char start[64];
    int length =
        snprintf(start, sizeof start, "{\"t\":\"bench\",\"suite\":\"%s\",\"case\":\"", suite);
    assert_memory_equal(row, start, (size_t)length);
    assert_int_equal(row[strlen(row) - 1], '}');
    assert_non_null(strstr(row, ",\"unit\":\""));
    assert_true(number_of(row, "value") > 0);
    assert_true(number_of(row, "ceiling") > 0);
    assert_true(number_of(row, "ratio") >= 0);
    assert_true(number_of(row, "min") <= number_of(row, "median"));
    assert_true(number_of(row, "median") <= number_of(row, "max"));
    assert_true(number_of(row, "rounds") == 1);
}

/* Runs what the words say with one round and checks its rows. */
static void check_rows(const char *const *which, const char *suite, unsigned rows_wanted)
{
    const char *words[WORDS_MAX] = {suite,      "--rounds",     "1",  "--seconds", "0.001",
                                    "--keeper", PH_KEEPER_PATH, "-o", "jsonl"};
    size_t count = 9;
    for (size_t i = 0; which[i]; i++)
        words[count++] = which[i];
    unsigned rows = 0;
    int rc = run_bench(words);
    if (rc)
        print_error("%s\n", output);
    assert_int_equal(rc, 0);
    char *rest = output, *row;
    while ((row = strsep(&rest, "\n")) && *row) {
        check_row(row, suite);
        rows++;
    }
    assert_int_equal(rows, rows_wanted);
}

/* Runs a suite as small as it gets and checks its rows. */
static void check_suite(const char *suite, unsigned rows_wanted)
{
    check_rows((const char *const[]){"--children", "20", NULL}, suite, rows_wanted);
}

#ifdef PH_BENCH_LINK
/* Every figure of the suite link is a row with its ceiling. */
static void link_prints_its_figures(void **state)
{
    (void)state;
    check_suite("link", 7);
}
#endif

/* Every figure of the suite start is a row with its ceiling. */
static void start_prints_its_figures(void **state)
{
    (void)state;
    check_suite("start", 3);
}

/* Every figure of the suite registry is a row with its ceiling. */
static void registry_prints_its_figures(void **state)
{
    (void)state;
    check_suite("registry", 4);
}

/* Every figure of the suite gate is a row with its ceiling. */
static void gate_prints_its_figures(void **state)
{
    (void)state;
    check_suite("gate", 3);
}

/* Every figure of the suite messages is a row with its ceiling. */
static void messages_prints_its_figures(void **state)
{
    (void)state;
    check_suite("messages", 5);
}

/* Every figure of the suite owners is a row with its ceiling. */
static void owners_prints_its_figures(void **state)
{
    (void)state;
    check_suite("owners", 7);
}

/* Every figure of the suite spawn is a row with its ceiling. */
static void spawn_prints_its_figures(void **state)
{
    (void)state;
    check_suite("spawn", 5);
}

#ifndef PH_TSAN /* libzmq does not run under ThreadSanitizer */
/* Every figure of the suite migrate is a row with its ceiling. */
static void migrate_prints_its_figures(void **state)
{
    (void)state;
    check_suite("migrate", 1);
}

/* Hot moves have figures of their own: a rate, the gap for four sizes of state, of two of them also
 * without a copy ahead, memory. */
static void migrate_prints_its_hot_figures(void **state)
{
    (void)state;
    check_rows((const char *const[]){"--mode", "hot", "--children", "2", NULL}, "migrate", 22);
}

/* Every figure of the suite recover is a row with its ceiling. */
static void recover_prints_its_figures(void **state)
{
    (void)state;
    check_suite("recover", 1);
}

/* Every figure of the suite sync is a row with its ceiling. */
static void sync_prints_its_figures(void **state)
{
    (void)state;
    check_suite("sync", 3);
}

/* Every figure of the suite steps is a row with its ceiling. */
static void steps_prints_its_figures(void **state)
{
    (void)state;
    check_suite("steps", 2);
}
#endif

/* Without a suite the suites are listed, in every output form. */
static void bench_alone_lists_the_suites(void **state)
{
    (void)state;
    const char *const words[] = {"-o", "json", NULL};
    assert_int_equal(run_bench(words), 0);
    assert_int_equal(output[0], '[');
    static const char *const names[] = {"start", "registry", "gate",    "messages", "owners",
                                        "spawn", "migrate",  "recover", "sync",     "steps"};
    for (size_t i = 0; i < PH_COUNT_OF(names); i++) {
        char member[64];
        snprintf(member, sizeof member, "{\"t\":\"bench_suite\",\"suite\":\"%s\"", names[i]);
        assert_non_null(strstr(output, member));
    }
}

/* What it does not understand is refused with exit code 2, the word and what to use. */
static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *words[4], *said;
    } wrong[] = {
        {.words = {"stat"}, .said = "'stat': no such suite"},
        {.words = {"start", "gate"}, .said = "'gate': one suite at a time"},
        {.words = {"--round", "1"}, .said = "'--round': no such option"},
        {.words = {"start", "--rounds"}, .said = "'--rounds': needs a value"},
        {.words = {"start", "--rounds", "0"}, .said = "'0': N  rounds"},
        {.words = {"start", "--seconds", "-1"}, .said = "'-1': S  length"},
        {.words = {"start", "--children", "9999999"}, .said = "'9999999': N  children"},
        {.words = {"migrate", "--mode", "warm"}, .said = "'warm': cold|hot  how children"},
        {.words = {"start", "--mode", "hot"}, .said = "'start': nothing of it has a --mode"},
        {.words = {"start", "-o", "xml"}, .said = "'xml': FORM  table"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(wrong); i++) {
        assert_int_equal(run_bench(wrong[i].words), 2);
        assert_non_null(strstr(output, wrong[i].said));
    }
}

/* A measurement that cannot be made is exit code 1, and the row's place is told. */
static void failed_measurement_is_reported(void **state)
{
    (void)state;
    const char *const words[] = {
        "spawn", "--rounds", "1", "--children", "1", "--keeper", "/nonexistent/prochub-keeper",
        NULL};
    assert_int_equal(run_bench(words), 1);
    assert_non_null(strstr(output, "prochub bench: spawn, "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef PH_BENCH_LINK
        cmocka_unit_test(link_prints_its_figures),
#endif
        cmocka_unit_test(start_prints_its_figures),
        cmocka_unit_test(registry_prints_its_figures),
        cmocka_unit_test(gate_prints_its_figures),
        cmocka_unit_test(messages_prints_its_figures),
        cmocka_unit_test(owners_prints_its_figures),
        cmocka_unit_test(spawn_prints_its_figures),
#ifndef PH_TSAN
        cmocka_unit_test(migrate_prints_its_figures),
        cmocka_unit_test(migrate_prints_its_hot_figures),
        cmocka_unit_test(recover_prints_its_figures),
        cmocka_unit_test(sync_prints_its_figures),
        cmocka_unit_test(steps_prints_its_figures),
#endif
        cmocka_unit_test(bench_alone_lists_the_suites),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(failed_measurement_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
