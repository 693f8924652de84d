/* The reader for rows: what it understands, and that it survives everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "tui/data.h"
#include "tui/json.h"

static int read_text(const char *text, struct ph_json *json)
{
    struct ph_error error = {0};
    int rc = ph_json_read(text, strlen(text), json, &error);
    assert_true(rc == 0 || error.text[0]);
    return rc;
}

/* Values are read by key; what is missing or of another type gives the fallback. */
static void values_are_found_by_key(void **state)
{
    (void)state;
    struct ph_json json;
    assert_int_equal(read_text("{\"t\":\"child\",\"id\":\"w-1\",\"pid\":null,\"restarts\":3,"
                               "\"ready\":true,\"big\":18446744073709551615,\"f\":-1.5e3}",
                               &json),
                     0);
    assert_string_equal(ph_json_text(&json, "id"), "w-1");
    assert_null(ph_json_text(&json, "pid"));
    assert_null(ph_json_text(&json, "nothing"));
    assert_int_equal(ph_json_uint(&json, "restarts", 9), 3);
    assert_int_equal(ph_json_uint(&json, "id", 9), 9);
    assert_int_equal(ph_json_uint(&json, "f", 9), 9);
    assert_true(ph_json_uint(&json, "big", 0) == UINT64_MAX);
    assert_true(ph_json_bool(&json, "ready"));
    assert_false(ph_json_bool(&json, "restarts"));
    ph_json_fini(&json);
}

/* Objects and arrays inside become fields with dotted keys, lists of plain values one field. */
static void nested_values_are_flattened(void **state)
{
    (void)state;
    struct ph_json json;
    assert_int_equal(read_text(" { \"tags\" : [ \"a\" , \"b\" ], \"none\":[], \"meta\":{},"
                               "\"spec\":{\"env\":{\"X\":1}}, \"p\":[{\"n\":1},{\"n\":2}] } ",
                               &json),
                     0);
    assert_string_equal(ph_json_text(&json, "tags"), "a,b");
    assert_string_equal(ph_json_text(&json, "none"), "");
    assert_string_equal(ph_json_text(&json, "spec.env.X"), "1");
    assert_int_equal(ph_json_uint(&json, "p.1.n", 0), 2);
    ph_json_fini(&json);
}

/* Escapes, surrogate pairs and NULs come out as text that a C string can hold. */
static void escapes_are_undone(void **state)
{
    (void)state;
    struct ph_json json;
    assert_int_equal(
        read_text("{\"a\":\"\\\"\\\\\\n\\u00e9\\ud83d\\ude00\\u0000\\ud800x\"}", &json), 0);
    assert_string_equal(ph_json_text(&json, "a"),
                        "\"\\\n\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbdx");
    ph_json_fini(&json);
}

/* Everything that is not one object is refused with a text, and leaves nothing behind. */
static void malformed_lines_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "[]",
        "{",
        "{}x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":tru}",
        "{\"a\":\"x}",
        "{\"a\":1 2}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1,{}]}",
        "{\"a\":\"\\q\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":--}x",
        "{\"a\":[",
        "{\"a\":[{\"b\":1}",
        "null",
        "\xff\xfe",
    };
    for (size_t i = 0; i < PH_COUNT_OF(lines); i++) {
        struct ph_json json;
        assert_true(read_text(lines[i], &json) < 0);
        assert_true(json.count == 0 && !json.fields);
    }
}

/* Depth, fields and length are bounded. */
static void too_much_is_refused(void **state)
{
    (void)state;
    struct ph_json json;
    struct ph_text text = PH_TEXT_INIT;
    for (int i = 0; i < 100000; i++)
        ph_text_put(&text, "{\"a\":");
    assert_true(read_text(ph_text_str(&text), &json) < 0);
    ph_text_clear(&text);
    ph_text_put(&text, "{\"x\":0");
    for (int i = 0; i < PH_JSON_FIELDS_MAX; i++)
        ph_text_printf(&text, ",\"k%d\":%d", i, i);
    ph_text_put(&text, "}");
    assert_true(read_text(ph_text_str(&text), &json) < 0);
    ph_text_clear(&text);
    ph_text_put(&text, "{\"x\":\"");
    while (text.length <= PH_JSON_LINE_MAX)
        ph_text_put(&text, "0123456789");
    ph_text_put(&text, "\"}");
    assert_true(read_text(ph_text_str(&text), &json) < 0);
    ph_text_fini(&text);
}

/* Bytes changed at random: refused or read, never a crash (the sanitizers watch). */
static void changed_bytes_are_survived(void **state)
{
    (void)state;
    static const char row[] = "{\"t\":\"child\",\"id\":\"w\\u00e9\",\"tags\":[\"a\",null,1.5],"
                              "\"meta\":{\"k\":{\"x\":[{}]}},\"up\":true}";
    uint64_t seed = 3;
    for (int i = 0; i < 50000; i++) {
        char copy[sizeof row];
        memcpy(copy, row, sizeof row);
        for (int k = 0; k < 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            copy[(seed >> 33) % (sizeof row - 1)] = (char)(seed >> 56);
        }
        struct ph_json json;
        if (ph_json_read(copy, (seed >> 20) % sizeof row, &json, NULL) == 0)
            assert_true(json.count <= sizeof row);
        ph_json_fini(&json);
    }
}

/* Output arrives in pieces of any size; the rows are the same. */
static void a_collector_puts_pieces_together(void **state)
{
    (void)state;
    static const char said[] = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n\n{\"id\":\"c\"}\n";
    for (size_t piece = 1; piece < sizeof said; piece++) {
        struct ph_data *data = ph_data_create(7);
        struct ph_collector collector;
        ph_collector_init(&collector, data);
        for (size_t at = 0; at < sizeof said - 1; at += piece) {
            size_t rest = sizeof said - 1 - at;
            assert_int_equal(
                collector.sink.data(&collector.sink, said + at, piece < rest ? piece : rest), 0);
        }
        ph_collector_finish(&collector, 0);
        assert_int_equal(data->count, 3);
        assert_string_equal(ph_json_text(&data->rows[2], "id"), "c");
        ph_data_destroy(data);
    }
}

/* A command that fails gives its message; one that never ends is cut. */
static void failures_and_floods_are_told(void **state)
{
    (void)state;
    static const char note[] = "{\"t\":\"error\",\"exit\":3,\"message\":\"no child x\"}\n";
    static const char row[] = "{\"id\":\"a\"}\n";
    struct ph_collector collector;
    struct ph_data *data = ph_data_create(0);
    ph_collector_init(&collector, data);
    collector.sink.note(&collector.sink, note, sizeof note - 1);
    ph_collector_finish(&collector, PH_ENOTFOUND);
    assert_int_equal(data->code, PH_ENOTFOUND);
    assert_string_equal(ph_text_str(&data->error), "no child x");
    ph_data_destroy(data);

    data = ph_data_create(0);
    ph_collector_init(&collector, data);
    int rc = 0;
    for (int i = 0; i <= PH_DATA_ROWS_MAX && !rc; i++)
        rc = collector.sink.data(&collector.sink, row, sizeof row - 1);
    assert_true(rc < 0);
    ph_collector_finish(&collector, rc);
    assert_true(data->cut);
    assert_int_equal(data->count, PH_DATA_ROWS_MAX);
    assert_int_equal(data->code, 0);
    ph_data_destroy(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_by_key),
        cmocka_unit_test(nested_values_are_flattened),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(malformed_lines_are_refused),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(changed_bytes_are_survived),
        cmocka_unit_test(a_collector_puts_pieces_together),
        cmocka_unit_test(failures_and_floods_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
