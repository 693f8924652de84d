#include "engine/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/limits.h"
#include "engine/nearest.h"

#define LISTEN_REFUSED(value) \
    "listen=" value ": use tcp://ADDRESS:PORT (a numeric address; * for any port) or ipc:///PATH"

static void set(struct ph_spec *spec, const char *key, const char *value)
{
    struct ph_error error = {0};
    int rc = ph_spec_set(spec, key, value, &error);
    if (rc)
        print_error("%s\n", error.text);
    assert_int_equal(rc, 0);
}

static void add_arg(struct ph_spec *spec, const char *word)
{
    assert_int_equal(ph_spec_add_arg(spec, word, NULL), 0);
}

static void assert_refused(struct ph_spec *spec, const char *key, const char *value, int code,
                           const char *text)
{
    struct ph_error error = {0};
    assert_int_equal(ph_spec_set(spec, key, value, &error), code);
    assert_int_equal(error.code, code);
    assert_string_equal(error.text, text);
}

static void assert_text(const struct ph_spec *spec, const char *key, const char *text)
{
    struct ph_text out = PH_TEXT_INIT;
    assert_true(ph_spec_text(spec, key, &out));
    assert_string_equal(ph_text_str(&out), text);
    ph_text_fini(&out);
}

static void assert_no_text(const struct ph_spec *spec, const char *key)
{
    struct ph_text out = PH_TEXT_INIT;
    assert_false(ph_spec_text(spec, key, &out));
    ph_text_fini(&out);
}

static void assert_printed(const struct ph_spec *spec, const char *text)
{
    struct ph_text out = PH_TEXT_INIT;
    ph_spec_print(spec, &out);
    assert_string_equal(ph_text_str(&out), text);
    ph_text_fini(&out);
}

/* A new spec has the documented defaults and prints as nothing. */
static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct ph_spec *spec = ph_spec_create();
    static const char *const expected[][2] = {
        {"restart", "permanent"}, {"max_restarts", "10"}, {"max_seconds", "1m"},
        {"backoff", "100ms"},     {"backoff_max", "10s"}, {"shutdown", "5s"},
        {"stop_signal", "TERM"},  {"log_bytes", "64k"},   {"stderr", "join"},
        {"ready", "none"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(expected); i++)
        assert_text(spec, expected[i][0], expected[i][1]);
    static const char *const absent[] = {
        "module", "args", "cwd", "user", "log", "watchdog", "tags", "on", "env.A", "meta.a", "nope",
    };
    for (size_t i = 0; i < PH_COUNT_OF(absent); i++)
        assert_no_text(spec, absent[i]);
    assert_printed(spec, "");
    ph_spec_put(spec);
}

/* Every key is stored, shown and printed. */
static void every_key_is_set_and_read(void **state)
{
    (void)state;
    struct ph_spec *spec = ph_spec_create();
    set(spec, "restart", "transient");
    set(spec, "max_restarts", "3");
    set(spec, "max_seconds", "5s");
    set(spec, "backoff", "250");
    set(spec, "backoff_max", "90s");
    set(spec, "shutdown", "0");
    set(spec, "stop_signal", "sigint");
    set(spec, "env.B", "2");
    set(spec, "env.A", "1");
    set(spec, "env.B", "3");
    set(spec, "cwd", "/tmp");
    set(spec, "user", "nobody");
    set(spec, "log", "/tmp/a b.log");
    set(spec, "log_bytes", "1M");
    set(spec, "stderr", "split");
    set(spec, "ready", "notify");
    set(spec, "watchdog", "2m");
    set(spec, "fdstore", "3");
    set(spec, "listen", "tcp://127.0.0.1:*");
    set(spec, "socket", "yes");
    set(spec, "tags", "web,blue,web");
    set(spec, "meta.role", "front end");
    set(spec, "on", "n2,n1");
    add_arg(spec, "/bin/sleep");
    add_arg(spec, "10");
    assert_int_equal(ph_spec_check(spec, NULL), 0);
    assert_int_equal(spec->restart, PH_RESTART_TRANSIENT);
    assert_int_equal(spec->max_restarts, 3);
    assert_int_equal(spec->max_seconds_ms, 5000);
    assert_int_equal(spec->backoff_ms, 250);
    assert_int_equal(spec->shutdown_ms, 0);
    assert_int_equal(spec->stop_signal, 2);
    assert_int_equal(spec->env_count, 2);
    assert_true(spec->stderr_split && spec->ready_notify);
    assert_int_equal(spec->log_bytes, 1 << 20);
    assert_int_equal(spec->watchdog_ms, 120000);
    assert_true(ph_spec_has_tag(spec, "web") && ph_spec_has_tag(spec, "blue"));
    assert_false(ph_spec_has_tag(spec, "we"));
    assert_string_equal(ph_spec_meta(spec, "role"), "front end");
    assert_null(ph_spec_meta(spec, "rol"));
    assert_null(spec->argv[2]);
    assert_text(spec, "env.B", "3");
    assert_text(spec, "tags", "blue,web");
    assert_printed(
        spec, "restart=transient max_restarts=3 max_seconds=5s backoff=250ms "
              "backoff_max=90s shutdown=0ms stop_signal=INT env.A=1 env.B=3 cwd=/tmp "
              "user=nobody log='/tmp/a b.log' log_bytes=1M stderr=split ready=notify "
              "watchdog=2m fdstore=3 "
              "listen='tcp://127.0.0.1:*' socket=yes tags=blue,web meta.role='front end' on=n2,n1 "
              "-- /bin/sleep 10");
    ph_spec_put(spec);
}

/* A wrong value is answered with the key and what it takes, and changes nothing. */
static void wrong_values_name_the_key_and_what_it_takes(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"restart", "sometimes", "restart=sometimes: use permanent, transient or temporary"},
        {"restart", "", "restart=: use permanent, transient or temporary"},
        {"stderr", "2", "stderr=2: use join or split"},
        {"socket", "maybe", "socket=maybe: use no or yes"},
        {"fdstore", "129", "fdstore=129: use a number from 0 to 128"},
        {"listen", "tcp://example.com:1", LISTEN_REFUSED("tcp://example.com:1")},
        {"listen", "tcp://*:1", LISTEN_REFUSED("tcp://*:1")},
        {"listen", "tcp://127.0.0.1:0", LISTEN_REFUSED("tcp://127.0.0.1:0")},
        {"listen", "ipc://relative", LISTEN_REFUSED("ipc://relative")},
        {"listen", "", LISTEN_REFUSED("")},
        {"max_restarts", "-1", "max_restarts=-1: use a number from 0 to 1000"},
        {"max_restarts", "1001", "max_restarts=1001: use a number from 0 to 1000"},
        {"max_seconds", "0",
         "max_seconds=0: use a duration such as 250ms, 5s, 2m or 1h, at least "
         "1ms, at most 10 years"},
        {"backoff", "soon",
         "backoff=soon: use a duration such as 250ms, 5s, 2m or 1h, at most 10 years"},
        {"log_bytes", "1k", "log_bytes=1k: use a size from 4k to 1G"},
        {"log_bytes", "2G", "log_bytes=2G: use a size from 4k to 1G"},
        {"stop_signal", "FOO",
         "stop_signal=FOO: use a signal's name such as TERM, or a number from 1 to 64"},
        {"module", "../x",
         "module=../x: use a module's name: letters, digits and . _ -, at most 64"},
        {"cwd", "", "cwd=: use a directory"},
        {"tags", "a,,b",
         "tags=a,,b: use at most 32 words joined by commas, each at most 64 bytes "
         "without spaces"},
        {"tags", "a,",
         "tags=a,: use at most 32 words joined by commas, each at most 64 bytes "
         "without spaces"},
        {"on", "n1,n 2", "on=n1,n 2: use node names joined by commas: on=n1,n2"},
        {"on", "n1,", "on=n1,: use node names joined by commas: on=n1,n2"},
        {"env.1A", "x",
         "env.1A=x: use env.NAME with letters, digits and _, at most 64, no digit first"},
        {"env.", "x",
         "env.=x: use env.NAME with letters, digits and _, at most 64, no digit first"},
        {"meta.a b", "x", "meta.a b=x: use meta.KEY with letters, digits and . _ -, at most 64"},
        {"restart", "\x1b[2J\n", "restart=\\x1b[2J\\x0a: use permanent, transient or temporary"},
    };
    struct ph_spec *spec = ph_spec_create();
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++)
        assert_refused(spec, cases[i][0], cases[i][1], PH_EUSAGE, cases[i][2]);
    assert_printed(spec, "");
    assert_true(spec->keys == 0);
    assert_int_equal(ph_spec_set(spec, NULL, "x", NULL), PH_EUSAGE);
    assert_int_equal(ph_spec_set(spec, "cwd", NULL, NULL), PH_EUSAGE);
    assert_int_equal(ph_spec_add_arg(spec, NULL, NULL), PH_EUSAGE);
    assert_int_equal(ph_spec_add_arg(spec, "", NULL), PH_EUSAGE);
    ph_spec_put(spec);
}

/* Unknown keys suggest, request keys and reserved ones say what they are. */
static void unknown_keys_are_explained(void **state)
{
    (void)state;
    struct ph_spec *spec = ph_spec_create();
    assert_refused(spec, "restrat", "x", PH_EUSAGE, "restrat: unknown key, did you mean restart?");
    assert_refused(spec, "backof_max", "x", PH_EUSAGE,
                   "backof_max: unknown key, did you mean backoff_max?");
    assert_refused(spec, "evn.", "x", PH_EUSAGE, "evn.: unknown key, did you mean env.NAME?");
    assert_refused(spec, "colour", "x", PH_EUSAGE, "colour: unknown key, see `help start`");
    static const char *const of_request[] = {"if_exists", "on_failure", "wait", "timeout"};
    for (size_t i = 0; i < PH_COUNT_OF(of_request); i++)
        assert_int_equal(ph_spec_set(spec, of_request[i], "x", NULL), PH_EUSAGE);
    assert_refused(spec, "wait", "yes", PH_EUSAGE, "wait: belongs to the request, not to the spec");
    static const char *const reserved[] = {
        "after", "probe.http", "limit.memory", "group", "label:x", "on_node_crash",
    };
    for (size_t i = 0; i < PH_COUNT_OF(reserved); i++)
        assert_int_equal(ph_spec_set(spec, reserved[i], "x", NULL), PH_EREFUSED);
    assert_refused(spec, "after", "x", PH_EREFUSED, "after: reserved, it comes with later work");
    ph_spec_put(spec);
}

static void assert_check(struct ph_spec *spec, const char *text)
{
    struct ph_error error = {0};
    assert_int_equal(ph_spec_check(spec, &error), PH_EUSAGE);
    assert_string_equal(error.text, text);
    ph_spec_put(spec);
}

/* Exactly one of a module and a program, and only the keys of that kind. */
static void contradictions_are_found(void **state)
{
    (void)state;
    assert_check(ph_spec_create(), "module: say what to run, module=NAME or -- PROGRAM ARG...");
    struct ph_spec *both = ph_spec_create();
    set(both, "module", "counter");
    add_arg(both, "/bin/true");
    assert_check(both, "module=counter and a program after --: use one of them, not both");
    struct ph_spec *module = ph_spec_create();
    set(module, "module", "counter");
    set(module, "env.PATH", "/bin");
    assert_check(module,
                 "env.NAME: only for OS processes (-- PROGRAM ARG...), not with module=counter");
    struct ph_spec *defaulted = ph_spec_create();
    set(defaulted, "module", "counter");
    set(defaulted, "stderr", "join");
    assert_check(defaulted,
                 "stderr: only for OS processes (-- PROGRAM ARG...), not with module=counter");
    struct ph_spec *process = ph_spec_create();
    add_arg(process, "/bin/true");
    set(process, "args", "x");
    assert_check(process,
                 "args: only for module children, a program's arguments follow it after --");
    struct ph_spec *backoff = ph_spec_create();
    set(backoff, "module", "counter");
    set(backoff, "backoff", "11s");
    assert_check(backoff, "backoff=11000ms: use at most backoff_max, which is 10000ms");
}

/* A spec that more than one holds never changes; a copy does. */
static void shared_spec_is_frozen(void **state)
{
    (void)state;
    struct ph_spec *spec = ph_spec_create();
    set(spec, "module", "counter");
    assert_ptr_equal(ph_spec_get(spec), spec);
    assert_refused(spec, "restart", "temporary", PH_EREFUSED,
                   "restart: the spec is in use and cannot change");
    assert_int_equal(ph_spec_add_arg(spec, "x", NULL), PH_EREFUSED);
    struct ph_spec *copy = ph_spec_copy(spec);
    set(copy, "restart", "temporary");
    assert_false(ph_spec_equal(spec, copy));
    ph_spec_put(copy);
    ph_spec_put(spec);
    ph_spec_put(spec);
    ph_spec_put(NULL);
}

/* Equal means the same effective values, whatever was written and in whatever order. */
static void equality_compares_effective_values(void **state)
{
    (void)state;
    struct ph_spec *a = ph_spec_create(), *b = ph_spec_create();
    set(a, "module", "kv");
    set(a, "tags", "x,y");
    set(a, "meta.a", "1");
    set(a, "meta.b", "2");
    set(b, "meta.b", "2");
    set(b, "meta.a", "1");
    set(b, "tags", "y,x,y");
    set(b, "module", "kv");
    set(b, "restart", "permanent");
    set(b, "args", "");
    assert_true(ph_spec_equal(a, b));
    set(b, "meta.b", "3");
    assert_false(ph_spec_equal(a, b));
    set(b, "meta.b", "2");
    set(b, "on", "n1");
    assert_false(ph_spec_equal(a, b));
    set(b, "on", "");
    assert_true(ph_spec_equal(a, b));
    add_arg(a, "x");
    assert_false(ph_spec_equal(a, b));
    ph_spec_put(a);
    ph_spec_put(b);
}

/* All texts together are bounded, and replacing one gives its room back. */
static void texts_of_a_spec_are_bounded(void **state)
{
    (void)state;
    char *big = malloc(PH_SPEC_BYTES_MAX + 1);
    assert_non_null(big);
    memset(big, 'x', PH_SPEC_BYTES_MAX);
    big[PH_SPEC_BYTES_MAX] = '\0';
    struct ph_spec *spec = ph_spec_create();
    assert_int_equal(ph_spec_set(spec, "args", big, NULL), PH_ELIMIT);
    big[PH_SPEC_BYTES_MAX - 1] = '\0';
    for (int i = 0; i < 3; i++)
        set(spec, "args", big);
    assert_refused(spec, "env.A", "1", PH_ELIMIT,
                   "env.A: all texts of one spec together are at most 65536 bytes");
    set(spec, "args", "");
    set(spec, "env.A", "1");
    set(spec, "env.A", "");
    set(spec, "tags", "");
    assert_int_equal(spec->bytes, 3);
    char tags[2 * (PH_TAGS_MAX + 1) + 1] = "";
    for (int i = 0; i <= PH_TAGS_MAX; i++)
        memcpy(tags + 2 * i, i ? ",x" : "xx", 3);
    assert_int_equal(ph_spec_set(spec, "tags", tags, NULL), PH_EUSAGE);
    ph_spec_put(spec);
    free(big);
}

/* ---- Reading back what was printed, by the word rules of the command language ---- */

static const char *read_escape(const char *at, struct ph_text *word)
{
    if (*at == 'n' || *at == 't') {
        ph_text_put(word, *at == 'n' ? "\n" : "\t");
        return at + 1;
    }
    if (*at == 'u') {
        char byte = (char)strtoul(at + 2, NULL, 16); /* only ASCII is printed so */
        ph_text_append(word, &byte, 1);
        return strchr(at, '}') + 1;
    }
    ph_text_append(word, at, 1);
    return at + 1;
}

/* Reads one word at `at`; returns where the next one begins, NULL at the end. */
static const char *read_word(const char *at, struct ph_text *word)
{
    while (*at == ' ')
        at++;
    if (!*at)
        return NULL;
    char quote = 0;
    while (*at && (quote || *at != ' ')) {
        if (quote == '"' && *at == '\\')
            at = read_escape(at + 1, word);
        else if (quote && *at == quote)
            quote = 0 * *at++;
        else if (!quote && (*at == '\'' || *at == '"'))
            quote = *at++;
        else
            ph_text_append(word, at++, 1);
    }
    return at;
}

static struct ph_spec *read_spec(const char *line)
{
    struct ph_spec *spec = ph_spec_create();
    bool argv = false;
    for (;;) {
        struct ph_text word = PH_TEXT_INIT;
        line = read_word(line, &word);
        char *text = strdup(ph_text_str(&word));
        ph_text_fini(&word);
        char *value = strchr(text, '=');
        if (line && argv)
            add_arg(spec, text);
        else if (line && strcmp(text, "--") == 0)
            argv = true;
        else if (line && value) {
            *value = '\0';
            set(spec, text, value + 1);
        }
        free(text);
        if (!line)
            return spec;
    }
}

/* Whatever a spec holds, its printed form reads back as an equal spec. */
static void printed_spec_reads_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "plain",
        "two words",
        "it's",
        "say \"hi\"",
        "$HOME",
        "it's $HOME",
        "a\nb\tc",
        "#x",
        ";",
        "back\\slash",
        "it's\\n",
        "\x1b[2J'",
        "\xc3\xa9t\xc3\xa9",
        "\xff\xfe",
        "*",
        "all",
        "--",
        "a=b",
        "~",
        "'",
        "\"",
        "\\",
        "\r'\x7f",
    };
    struct ph_spec *spec = ph_spec_create();
    add_arg(spec, "/bin/echo");
    for (size_t i = 0; i < PH_COUNT_OF(texts); i++) {
        char key[32];
        snprintf(key, sizeof key, "meta.k%zu", i);
        set(spec, key, texts[i]);
        add_arg(spec, texts[i]);
    }
    struct ph_text line = PH_TEXT_INIT;
    ph_spec_print(spec, &line);
    assert_null(strpbrk(ph_text_str(&line), "\n\t\x1b\r\x7f"));
    struct ph_spec *again = read_spec(ph_text_str(&line));
    assert_true(ph_spec_equal(spec, again));
    ph_text_fini(&line);
    ph_spec_put(again);
    ph_spec_put(spec);
}

/* Signals go by name, with or without SIG, in any case, or by number. */
static void signals_are_read_and_named(void **state)
{
    (void)state;
    static const char *const terms[] = {"TERM", "SIGTERM", "term", "sigTerm", "15"};
    for (size_t i = 0; i < PH_COUNT_OF(terms); i++) {
        int number = 0;
        assert_int_equal(ph_signal_parse(terms[i], &number), 0);
        assert_int_equal(number, 15);
    }
    int number = 7;
    static const char *const bad[] = {"", "0", "65", "SIG", "TERMX", "-9", "?"};
    for (size_t i = 0; i < PH_COUNT_OF(bad); i++)
        assert_int_equal(ph_signal_parse(bad[i], &number), PH_EUSAGE);
    assert_int_equal(number, 7);
    for (int i = 1; i <= 64; i++) {
        assert_int_equal(ph_signal_parse(ph_signal_name(i), &number), 0);
        assert_int_equal(number, i);
    }
    assert_string_equal(ph_signal_name(9), "KILL");
    assert_string_equal(ph_signal_name(-1), "?");
}

/* The nearest word is one of few slips; far words are not offered. */
static void nearest_counts_slips(void **state)
{
    (void)state;
    assert_int_equal(ph_nearest_distance("", ""), 0);
    assert_int_equal(ph_nearest_distance("abc", "acb"), 1);
    assert_int_equal(ph_nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(ph_nearest_distance("abc", ""), 3);
    struct ph_nearest nearest = {0};
    ph_nearest_offer(&nearest, "cuont", "start");
    assert_null(nearest.word);
    ph_nearest_offer(&nearest, "cuont", "count");
    ph_nearest_offer(&nearest, "cuont", "counts");
    assert_string_equal(nearest.word, "count");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(every_key_is_set_and_read),
        cmocka_unit_test(wrong_values_name_the_key_and_what_it_takes),
        cmocka_unit_test(unknown_keys_are_explained),
        cmocka_unit_test(contradictions_are_found),
        cmocka_unit_test(shared_spec_is_frozen),
        cmocka_unit_test(equality_compares_effective_values),
        cmocka_unit_test(texts_of_a_spec_are_bounded),
        cmocka_unit_test(printed_spec_reads_back),
        cmocka_unit_test(signals_are_read_and_named),
        cmocka_unit_test(nearest_counts_slips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
