#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "ipc/row.h"

struct recorder {
    struct ph_sink sink;
    struct ph_text data;
    size_t calls, largest;
    int answer; /* what the sink says */
};

static int record(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct recorder *recorder = ph_container_of(sink, struct recorder, sink);
    recorder->calls++;
    recorder->largest = length > recorder->largest ? length : recorder->largest;
    ph_text_append(&recorder->data, bytes, length);
    return recorder->answer;
}

static struct recorder make_recorder(void)
{
    return (struct recorder){.sink = {.data = record, .note = record}};
}

static const struct ph_column columns[] = {
    {.key = "id", .type = PH_COLUMN_TEXT},
    {.key = "restarts", .type = PH_COLUMN_UINT},
    {.key = "up", .type = PH_COLUMN_BOOL},
    {.key = "since", .type = PH_COLUMN_TIME, .wide = true},
    {.key = "uptime_ms", .type = PH_COLUMN_DURATION},
    {.key = "state_bytes", .type = PH_COLUMN_BYTES},
    {.key = "pid", .type = PH_COLUMN_NULLABLE},
    {.key = "tags", .type = PH_COLUMN_LIST},
    {.key = "meta", .type = PH_COLUMN_MAP},
    {.key = "raw", .type = PH_COLUMN_JSON, .wide = true},
};

static void put_rows(struct ph_rows *rows)
{
    ph_rows_str(rows, "web-1");
    ph_rows_uint(rows, 3);
    ph_rows_bool(rows, true);
    ph_rows_time(rows, 1500);
    ph_rows_uint(rows, 80000);
    ph_rows_uint(rows, 1572864);
    ph_rows_uint(rows, 4711);
    ph_rows_str(rows, "a\x1f"
                      "b,c");
    ph_rows_str(rows, "k\x1fv\x1fl\x1f");
    ph_rows_str(rows, "{\"x\":[1,2]}");
    assert_int_equal(ph_rows_end_row(rows), 0);
    ph_rows_text(rows, "\xe6\xbc\xa2\t\\\x1b", 6);
    ph_rows_uint(rows, 12345);
    ph_rows_bool(rows, false);
    ph_rows_time(rows, 0);
    ph_rows_uint(rows, 250);
    ph_rows_uint(rows, 100);
    ph_rows_uint(rows, UINT64_MAX);
    ph_rows_str(rows, "");
    ph_rows_str(rows, NULL);
    ph_rows_str(rows, NULL);
    assert_int_equal(ph_rows_end_row(rows), 0);
}

static void assert_form(enum ph_form form, bool filled, const char *expected)
{
    struct recorder recorder = make_recorder();
    struct ph_rows *rows =
        ph_rows_begin(&recorder.sink, form, "child", columns, PH_COUNT_OF(columns), false);
    if (filled)
        put_rows(rows);
    assert_int_equal(ph_rows_finish(rows), 0);
    assert_string_equal(ph_text_str(&recorder.data), expected);
    ph_text_fini(&recorder.data);
}

/* One array, raw values, null for nothing. */
static void json_is_one_array(void **state)
{
    (void)state;
    assert_form(PH_FORM_JSON, true,
                "[{\"t\":\"child\",\"id\":\"web-1\",\"restarts\":3,\"up\":true,"
                "\"since\":\"1970-01-01T00:00:01.500Z\",\"uptime_ms\":80000,"
                "\"state_bytes\":1572864,\"pid\":4711,\"tags\":[\"a\",\"b,c\"],"
                "\"meta\":{\"k\":\"v\",\"l\":\"\"},\"raw\":{\"x\":[1,2]}},"
                "{\"t\":\"child\",\"id\":\"\xe6\xbc\xa2\\u0009\\\\\\u001b\",\"restarts\":12345,"
                "\"up\":false,\"since\":\"1970-01-01T00:00:00.000Z\",\"uptime_ms\":250,"
                "\"state_bytes\":100,\"pid\":null,\"tags\":[],\"meta\":{},\"raw\":null}]\n");
    assert_form(PH_FORM_JSON, false, "[]\n");
}

/* One object per line. */
static void jsonl_is_one_object_per_line(void **state)
{
    (void)state;
    assert_form(PH_FORM_JSONL, true,
                "{\"t\":\"child\",\"id\":\"web-1\",\"restarts\":3,\"up\":true,"
                "\"since\":\"1970-01-01T00:00:01.500Z\",\"uptime_ms\":80000,"
                "\"state_bytes\":1572864,\"pid\":4711,\"tags\":[\"a\",\"b,c\"],"
                "\"meta\":{\"k\":\"v\",\"l\":\"\"},\"raw\":{\"x\":[1,2]}}\n"
                "{\"t\":\"child\",\"id\":\"\xe6\xbc\xa2\\u0009\\\\\\u001b\",\"restarts\":12345,"
                "\"up\":false,\"since\":\"1970-01-01T00:00:00.000Z\",\"uptime_ms\":250,"
                "\"state_bytes\":100,\"pid\":null,\"tags\":[],\"meta\":{},\"raw\":null}\n");
    assert_form(PH_FORM_JSONL, false, "");
}

/* Raw values between tabs, no heading; a value never holds a tab or a newline. */
static void tsv_has_raw_values(void **state)
{
    (void)state;
    assert_form(PH_FORM_TSV, true,
                "web-1\t3\ttrue\t1970-01-01T00:00:01.500Z\t80000\t1572864\t4711\ta,b,c\tk=v,l=\t"
                "{\"x\":[1,2]}\n"
                "\xe6\xbc\xa2\\t\\\\\\x1b\t12345\tfalse\t1970-01-01T00:00:00.000Z\t250\t100\t\t\t\t"
                "\n");
    assert_form(PH_FORM_TSV, false, "");
}

/* Aligned by terminal cells, numbers on the right, units, "-" for nothing, no wide columns. */
static void tables_are_aligned(void **state)
{
    (void)state;
    assert_form(PH_FORM_TABLE, true,
                "ID            RESTARTS  UP     UPTIME  STATE   PID  TAGS   META\n"
                "web-1                3  true    1m20s   1.5M  4711  a,b,c  k=v,l=\n"
                "\xe6\xbc\xa2\\x09\\\\\\x1b     12345  false   250ms    100     -  -      -\n");
    assert_form(PH_FORM_TABLE, false, "ID  RESTARTS  UP  UPTIME  STATE  PID  TAGS  META\n");
}

/* The wide form has all columns. */
static void wide_tables_have_all_columns(void **state)
{
    (void)state;
    assert_form(
        PH_FORM_WIDE, true,
        "ID            RESTARTS  UP     SINCE                     UPTIME  STATE   PID  TAGS   META "
        "  "
        " RAW\n"
        "web-1                3  true   1970-01-01T00:00:01.500Z   1m20s   1.5M  4711  a,b,c  "
        "k=v,l=  {\"x\":[1,2]}\n"
        "\xe6\xbc\xa2\\x09\\\\\\x1b     12345  false  1970-01-01T00:00:00.000Z   250ms    100     "
        "- "
        " -      -       -\n");
}

static void put_status(struct ph_rows *rows)
{
    ph_rows_str(rows, "n1");
    ph_rows_uint(rows, 7200000);
    ph_rows_str(rows, NULL);
    (void)ph_rows_end_row(rows);
}

/* One object is an object, not an array, and "key  value" lines for people. */
static void single_objects_stand_alone(void **state)
{
    (void)state;
    static const struct ph_column status[] = {
        {.key = "node", .type = PH_COLUMN_TEXT},
        {.key = "uptime_ms", .type = PH_COLUMN_DURATION},
        {.key = "holder", .type = PH_COLUMN_TEXT},
    };
    static const struct {
        enum ph_form form;
        const char *text;
    } cases[] = {
        {.form = PH_FORM_TABLE, .text = "node    n1\nuptime  2h\nholder  -\n"},
        {.form = PH_FORM_JSON,
         .text = "{\"t\":\"status\",\"node\":\"n1\",\"uptime_ms\":7200000,\"holder\":null}\n"},
        {.form = PH_FORM_JSONL,
         .text = "{\"t\":\"status\",\"node\":\"n1\",\"uptime_ms\":7200000,\"holder\":null}\n"},
        {.form = PH_FORM_TSV, .text = "n1\t7200000\t\n"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct recorder recorder = make_recorder();
        struct ph_rows *rows = ph_rows_begin(&recorder.sink, cases[i].form, "status", status,
                                             PH_COUNT_OF(status), true);
        put_status(rows);
        assert_int_equal(ph_rows_finish(rows), 0);
        assert_string_equal(ph_text_str(&recorder.data), cases[i].text);
        ph_text_fini(&recorder.data);
    }
}

/* Units are short, and exact where they can be. */
static void units_are_short(void **state)
{
    (void)state;
    static const struct ph_column units[] = {
        {.key = "d_ms", .type = PH_COLUMN_DURATION},
        {.key = "b_bytes", .type = PH_COLUMN_BYTES},
    };
    static const struct {
        uint64_t ms, bytes;
        const char *text;
    } cases[] = {
        {.ms = 0, .bytes = 0, .text = "d  0ms\nb  0\n"},
        {.ms = 1500, .bytes = 1023, .text = "d  1.5s\nb  1023\n"},
        {.ms = 59999, .bytes = 1024, .text = "d  59s\nb  1k\n"},
        {.ms = 3600000, .bytes = 65536, .text = "d  1h\nb  64k\n"},
        {.ms = 3700000, .bytes = 1536, .text = "d  1h1m\nb  1.5k\n"},
        {.ms = 90000000, .bytes = UINT64_C(5) << 30, .text = "d  1d1h\nb  5G\n"},
        {.ms = UINT64_MAX, .bytes = UINT64_MAX, .text = "d  213503982334d14h\nb  15.9E\n"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct recorder recorder = make_recorder();
        struct ph_rows *rows =
            ph_rows_begin(&recorder.sink, PH_FORM_TABLE, "x", units, PH_COUNT_OF(units), true);
        ph_rows_uint(rows, cases[i].ms);
        ph_rows_uint(rows, cases[i].bytes);
        (void)ph_rows_end_row(rows);
        assert_int_equal(ph_rows_finish(rows), 0);
        assert_string_equal(ph_text_str(&recorder.data), cases[i].text);
        ph_text_fini(&recorder.data);
    }
}

/* Many rows are written in bounded pieces. */
static void pieces_are_bounded(void **state)
{
    (void)state;
    static const enum ph_form forms[] = {PH_FORM_TABLE, PH_FORM_JSON, PH_FORM_JSONL, PH_FORM_TSV};
    static const struct ph_column one[] = {{.key = "n", .type = PH_COLUMN_UINT}};
    for (size_t i = 0; i < PH_COUNT_OF(forms); i++) {
        struct recorder recorder = make_recorder();
        struct ph_rows *rows = ph_rows_begin(&recorder.sink, forms[i], "n", one, 1, false);
        for (uint64_t n = 0; n < 100000; n++) {
            ph_rows_uint(rows, n);
            assert_int_equal(ph_rows_end_row(rows), 0);
        }
        assert_int_equal(ph_rows_finish(rows), 0);
        assert_true(recorder.calls > 10);
        assert_true(recorder.largest < 32 * 1024);
        ph_text_fini(&recorder.data);
    }
}

/* A follower's rows are seen at once; a row of another type is only for programs. */
static void flushed_rows_are_seen(void **state)
{
    (void)state;
    static const struct ph_column seq[] = {{.key = "seq", .type = PH_COLUMN_UINT}};
    static const struct ph_column lost[] = {{.key = "lost", .type = PH_COLUMN_UINT}};
    static const struct {
        enum ph_form form;
        const char *flushed, *text;
    } cases[] = {
        {.form = PH_FORM_TABLE, .flushed = "SEQ\n  1\n", .text = "SEQ\n  1\n 22\n"},
        {.form = PH_FORM_TSV, .flushed = "1\n", .text = "1\n22\n"},
        {.form = PH_FORM_JSONL,
         .flushed = "{\"t\":\"event\",\"seq\":1}\n",
         .text = "{\"t\":\"event\",\"seq\":1}\n{\"t\":\"gap\",\"lost\":5}\n"
                 "{\"t\":\"event\",\"seq\":22}\n"},
        {.form = PH_FORM_JSON,
         .flushed = "[{\"t\":\"event\",\"seq\":1}",
         .text = "[{\"t\":\"event\",\"seq\":1},{\"t\":\"gap\",\"lost\":5},"
                 "{\"t\":\"event\",\"seq\":22}]\n"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct recorder recorder = make_recorder();
        struct ph_rows *rows = ph_rows_begin(&recorder.sink, cases[i].form, "event", seq, 1, false);
        ph_rows_uint(rows, 1);
        assert_int_equal(ph_rows_end_row(rows), 0);
        assert_int_equal(ph_rows_flush(rows), 0);
        assert_string_equal(ph_text_str(&recorder.data), cases[i].flushed);
        ph_rows_other(rows, "gap", lost, 1);
        ph_rows_uint(rows, 5);
        assert_int_equal(ph_rows_end_row(rows), 0);
        ph_rows_uint(rows, 22);
        assert_int_equal(ph_rows_end_row(rows), 0);
        assert_int_equal(ph_rows_finish(rows), 0);
        assert_string_equal(ph_text_str(&recorder.data), cases[i].text);
        ph_text_fini(&recorder.data);
    }
}

/* A sink that is gone is told to the command, and not written to again. */
static void a_gone_sink_is_told(void **state)
{
    (void)state;
    static const struct ph_column one[] = {{.key = "n", .type = PH_COLUMN_UINT}};
    struct recorder recorder = make_recorder();
    recorder.answer = -32;
    struct ph_rows *rows = ph_rows_begin(&recorder.sink, PH_FORM_TSV, "n", one, 1, false);
    int rc = 0;
    for (uint64_t n = 0; n < 100000 && rc == 0; n++) {
        ph_rows_uint(rows, n);
        rc = ph_rows_end_row(rows);
    }
    assert_int_equal(rc, -32);
    assert_int_equal(ph_rows_finish(rows), -32);
    assert_int_equal(recorder.calls, 1);
    ph_text_fini(&recorder.data);
}

/* The names of the forms. */
static void forms_have_names(void **state)
{
    (void)state;
    enum ph_form form = PH_FORM_TABLE;
    assert_true(ph_form_parse("jsonl", &form));
    assert_int_equal(form, PH_FORM_JSONL);
    assert_true(ph_form_parse("wide", &form));
    assert_int_equal(form, PH_FORM_WIDE);
    assert_false(ph_form_parse("JSON", &form));
    assert_false(ph_form_parse("", &form));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_one_array),
        cmocka_unit_test(jsonl_is_one_object_per_line),
        cmocka_unit_test(tsv_has_raw_values),
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(wide_tables_have_all_columns),
        cmocka_unit_test(single_objects_stand_alone),
        cmocka_unit_test(units_are_short),
        cmocka_unit_test(pieces_are_bounded),
        cmocka_unit_test(flushed_rows_are_seen),
        cmocka_unit_test(a_gone_sink_is_told),
        cmocka_unit_test(forms_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
