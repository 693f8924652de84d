#include "engine/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"

/* A text that nothing was appended to reads as "". */
static void empty_text_is_a_string(void **state)
{
    (void)state;
    struct ph_text text = PH_TEXT_INIT;
    assert_string_equal(ph_text_str(&text), "");
    ph_text_clear(&text);
    ph_text_fini(&text);
}

/* Growing keeps what was there and the NUL behind it. */
static void text_grows_and_stays_terminated(void **state)
{
    (void)state;
    struct ph_text text = PH_TEXT_INIT;
    for (int i = 0; i < 1000; i++) {
        ph_text_printf(&text, "%03d,", i);
        assert_int_equal(strlen(ph_text_str(&text)), text.length);
    }
    assert_int_equal(text.length, 4000);
    assert_memory_equal(text.data + 3996, "999,", 5);
    ph_text_clear(&text);
    ph_text_append(&text, "a\0b", 3);
    assert_int_equal(text.length, 3);
    assert_memory_equal(text.data, "a\0b", 4);
    ph_text_fini(&text);
}

struct escape {
    const char *in;
    size_t length; /* 0: strlen */
    const char *out;
};

static void check_escapes(void (*escape)(struct ph_text *, const char *, size_t),
                          const struct escape *cases, size_t count)
{
    struct ph_text text = PH_TEXT_INIT;
    for (size_t i = 0; i < count; i++) {
        ph_text_clear(&text);
        escape(&text, cases[i].in, cases[i].length ? cases[i].length : strlen(cases[i].in));
        assert_string_equal(ph_text_str(&text), cases[i].out);
    }
    ph_text_fini(&text);
}

/* JSON strings are valid JSON and valid UTF-8 whatever came in. */
static void json_escapes_everything_foreign(void **state)
{
    (void)state;
    static const struct escape cases[] = {
        {"", 0, "\"\""},
        {"plain \xc3\xa9\xe2\x86\x92", 0, "\"plain \xc3\xa9\xe2\x86\x92\""},
        {"a\"b\\c", 0, "\"a\\\"b\\\\c\""},
        {"\n\t\x1b\x7f", 0, "\"\\u000a\\u0009\\u001b\\u007f\""},
        {"x\0y", 3, "\"x\\u0000y\""},
        {"\xc2\x9b", 0, "\"\\u009b\""},
        {"\xff"
         "a\xc3",
         0,
         "\"\xef\xbf\xbd"
         "a\xef\xbf\xbd\""},
        {"\xed\xa0\x80", 0, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    check_escapes(ph_text_json, cases, PH_COUNT_OF(cases));
}

/* Foreign text cannot steer a terminal, reorder a line or end it. */
static void printable_shows_controls_as_escapes(void **state)
{
    (void)state;
    static const struct escape cases[] = {
        {"plain \xc3\xa9\xe2\x86\x92", 0, "plain \xc3\xa9\xe2\x86\x92"},
        {"a\nb\x1b[2J\x7f", 0, "a\\x0ab\\x1b[2J\\x7f"},
        {"c:\\x", 0, "c:\\\\x"},
        {"\xff\xc3", 0, "\\xff\\xc3"},
        {"\xe2\x80\xae"
         "x\xe2\x80\x8b",
         0, "\\u{202e}x\\u{200b}"},
        {"\xc2\x9b\xe2\x80\xa8", 0, "\\u{009b}\\u{2028}"},
        {"a\0b", 3, "a\\x00b"},
    };
    check_escapes(ph_text_printable, cases, PH_COUNT_OF(cases));
}

/* Times are RFC 3339 in UTC, before 1970 too, and stay within its years. */
static void time_is_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},         {1795374720123, "2026-11-22T19:12:00.123Z"},
        {-1, "1969-12-31T23:59:59.999Z"},        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    struct ph_text text = PH_TEXT_INIT;
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        ph_text_clear(&text);
        ph_text_time(&text, cases[i].ms);
        assert_string_equal(ph_text_str(&text), cases[i].text);
    }
    ph_text_fini(&text);
}

/* Only well-formed UTF-8 counts: nothing overlong, no surrogate, nothing cut off. */
static void utf8_refuses_malformed_sequences(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xe2\x28\xa1",
        "\xe2\x82",
        "\xff",
    };
    uint32_t rune = 7;
    for (size_t i = 0; i < PH_COUNT_OF(bad); i++)
        assert_int_equal(ph_utf8_next(bad[i], strlen(bad[i]), &rune), 0);
    assert_int_equal(ph_utf8_next("a", 0, &rune), 0);
    assert_int_equal(rune, 7);
    assert_int_equal(ph_utf8_next("\xf0\x9f\x98\x80", 4, &rune), 4);
    assert_int_equal(rune, 0x1f600);
    assert_int_equal(ph_utf8_next("\xe2\x82\xac", 3, NULL), 3);
    assert_int_equal(ph_utf8_next("", 1, &rune), 1);
    assert_int_equal(rune, 0);
}

/* Durations: a number and ms, s, m or h; bare is milliseconds; at most ten years. */
static void durations_are_read(void **state)
{
    (void)state;
    uint64_t ms = 0;
    assert_true(ph_parse_duration("250ms", &ms));
    assert_int_equal(ms, 250);
    assert_true(ph_parse_duration("5s", &ms));
    assert_int_equal(ms, 5000);
    assert_true(ph_parse_duration("2m", &ms));
    assert_int_equal(ms, 120000);
    assert_true(ph_parse_duration("87600h", &ms));
    assert_int_equal(ms, 315360000000);
    assert_true(ph_parse_duration("17", &ms));
    assert_int_equal(ms, 17);
    static const char *const bad[] = {
        "", "s", "-1s", "+1", " 1", "1 s", "1S", "1.5s", "1d", "87601h", "99999999999999999999s",
    };
    for (size_t i = 0; i < PH_COUNT_OF(bad); i++)
        assert_false(ph_parse_duration(bad[i], &ms));
    assert_int_equal(ms, 17);
}

/* Sizes: powers of 1024; what does not fit 64 bits is refused. */
static void sizes_are_read(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    assert_true(ph_parse_size("64k", &bytes));
    assert_int_equal(bytes, 65536);
    assert_true(ph_parse_size("10M", &bytes));
    assert_int_equal(bytes, 10 * 1024 * 1024);
    assert_true(ph_parse_size("1G", &bytes));
    assert_int_equal(bytes, 1024 * 1024 * 1024);
    assert_true(ph_parse_size("18446744073709551615", &bytes));
    assert_true(bytes == UINT64_MAX);
    assert_false(ph_parse_size("17179869184G", &bytes));
    assert_false(ph_parse_size("1kb", &bytes));
    assert_false(ph_parse_size("k", &bytes));
    assert_false(ph_parse_size("", &bytes));
}

/* Numbers: digits only, up to the given maximum. */
static void numbers_are_read(void **state)
{
    (void)state;
    uint64_t value = 5;
    assert_true(ph_parse_uint("18446744073709551615", UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    assert_true(ph_parse_uint("0", 0, &value));
    assert_int_equal(value, 0);
    assert_true(ph_parse_uint("0010", 10, &value));
    assert_int_equal(value, 10);
    assert_false(ph_parse_uint("11", 10, &value));
    assert_false(ph_parse_uint("18446744073709551616", UINT64_MAX, &value));
    assert_false(ph_parse_uint("", 10, &value));
    assert_false(ph_parse_uint("1x", 10, &value));
    assert_false(ph_parse_uint("-1", 10, &value));
    assert_int_equal(value, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_text_is_a_string),
        cmocka_unit_test(text_grows_and_stays_terminated),
        cmocka_unit_test(json_escapes_everything_foreign),
        cmocka_unit_test(printable_shows_controls_as_escapes),
        cmocka_unit_test(time_is_rfc_3339),
        cmocka_unit_test(utf8_refuses_malformed_sequences),
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(numbers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
