#include "engine/kind/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/prng.h"

/* A copy that the parser may write over, exactly as large as it may: AddressSanitizer watches. */
static char *copy_of(const char *bytes, size_t length)
{
    char *copy = ph_alloc(length + 1);
    memcpy(copy, bytes, length);
    copy[length] = '\n';
    return copy;
}

static void assert_written(const char *text, size_t length, const char *line)
{
    struct ph_text out = PH_TEXT_INIT;
    ph_line_put(&out, "ok", text, length);
    assert_string_equal(ph_text_str(&out), line);
    ph_text_fini(&out);
}

/* What is written is one line of printable ASCII, as short as it can be. */
static void texts_are_written_for_shells(void **state)
{
    (void)state;
    assert_written("", 0, "ok\n");
    assert_written("inc 5", 5, "ok inc 5\n");
    assert_written(" a  b ", 6, "ok \\0040a  b\\0040\n");
    assert_written(" ", 1, "ok \\0040\n");
    assert_written("a\nb\t", 4, "ok a\\0012b\\0011\n");
    assert_written("C:\\n", 4, "ok C:\\\\n\n");
    assert_written("\xc3\xa4\x7f\xff\0", 5, "ok \\0303\\0244\\0177\\0377\\0000\n");
}

struct example {
    const char *line;
    enum ph_line_verb verb;
    const char *text;
};

/* Every verb; escapes of both kinds; bytes that stand for themselves; blanks are text. */
static void lines_are_read(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"ok", PH_LINE_OK, ""},
        {"ok ", PH_LINE_OK, ""},
        {"ok 5", PH_LINE_OK, "5"},
        {"ok  a ", PH_LINE_OK, " a "},
        {"ok ok", PH_LINE_OK, "ok"},
        {"error no\\nway", PH_LINE_ERROR, "no\nway"},
        {"error \\0101\\0102\\\\0101", PH_LINE_ERROR, "AB\\0101"},
        {"state \\t\\r\\0377", PH_LINE_STATE, "\t\r\xff"},
        {"state \xc3\xa4\t\x01", PH_LINE_STATE, "\xc3\xa4\t\x01"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(examples); i++) {
        struct ph_line line;
        char *copy = copy_of(examples[i].line, strlen(examples[i].line));
        assert_null(ph_line_parse(copy, strlen(examples[i].line), &line));
        assert_int_equal(line.verb, examples[i].verb);
        assert_string_equal(line.text, examples[i].text);
        assert_int_equal(line.length, strlen(examples[i].text));
        ph_free(copy);
    }
}

/* Anything else is refused, with a word of why. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        size_t length; /* 0: up to its end */
        const char *why;
    } examples[] = {
        {"", 0, "none of ok"},
        {" ok", 0, "none of ok"},
        {"OK", 0, "none of ok"},
        {"okay", 0, "none of ok"},
        {"ok\t5", 0, "none of ok"},
        {"ok\r", 0, "none of ok"},
        {"cast 5", 0, "none of ok"},
        {"o", 0, "none of ok"},
        {"ok \0 5", 6, "NUL"},
        {"\0", 1, "NUL"},
        {"ok \\", 0, "backslash"},
        {"ok \\x41", 0, "backslash"},
        {"ok \\0", 0, "backslash"},
        {"ok \\010", 0, "backslash"},
        {"ok \\0400", 0, "backslash"},
        {"ok \\0777", 0, "backslash"},
        {"ok \\0018x\\9", 0, "backslash"},
        {"state \\b", 0, "backslash"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(examples); i++) {
        struct ph_line line;
        size_t length = examples[i].length ? examples[i].length : strlen(examples[i].line);
        char *copy = copy_of(examples[i].line, length);
        const char *why = ph_line_parse(copy, length, &line);
        if (!why || !strstr(why, examples[i].why))
            fail_msg("'%s' is answered with '%s'", examples[i].line, why ? why : "(fine)");
        ph_free(copy);
    }
}

/* A text of the largest size survives; one byte more does not. */
static void texts_are_bounded(void **state)
{
    (void)state;
    char *bytes = ph_alloc(PH_LINE_TEXT_MAX + 1);
    for (size_t more = 0; more < 2; more++) {
        struct ph_text out = PH_TEXT_INIT;
        struct ph_line line;
        ph_line_put(&out, "error", bytes, PH_LINE_TEXT_MAX + more);
        const char *why = ph_line_parse(out.data, out.length - 1, &line);
        assert_int_equal(why != NULL, more);
        assert_true(more || out.length <= PH_LINE_BYTES_MAX);
        ph_text_fini(&out);
    }
    ph_free(bytes);
}

/* Whatever bytes go in come out. */
static void any_bytes_survive(void **state)
{
    (void)state;
    enum { ROUNDS = 2000, BYTES = 64 };
    struct ph_prng prng;
    char bytes[BYTES];
    ph_prng_init(&prng, 1);
    for (int round = 0; round < ROUNDS; round++) {
        struct ph_text out = PH_TEXT_INIT;
        struct ph_line line;
        size_t length = ph_prng_below(&prng, BYTES);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)ph_prng_next(&prng);
        ph_line_put(&out, "state", bytes, length);
        assert_null(memchr(out.data, '\n', out.length - 1));
        assert_null(ph_line_parse(out.data, out.length - 1, &line));
        assert_int_equal(line.length, length);
        assert_memory_equal(line.text, bytes, length);
        ph_text_fini(&out);
    }
}

/* Any bytes at all are read or refused, within their bounds. */
static void hostile_lines_are_survived(void **state)
{
    (void)state;
    enum { ROUNDS = 20000, BYTES = 48 };
    static const char *const starts[] = {"", "ok ", "error ", "state ", "ok \\", "state \\0"};
    static const char likely[] = "\\0123 okn7";
    struct ph_prng prng;
    ph_prng_init(&prng, 2);
    for (int round = 0; round < ROUNDS; round++) {
        char bytes[BYTES];
        struct ph_line line;
        const char *start = starts[ph_prng_below(&prng, PH_COUNT_OF(starts))];
        size_t length = strlen(start);
        memcpy(bytes, start, length);
        for (uint64_t more = ph_prng_below(&prng, BYTES - 8); more; more--)
            bytes[length++] = ph_prng_below(&prng, 2)
                                  ? likely[ph_prng_below(&prng, sizeof likely - 1)]
                                  : (char)ph_prng_next(&prng);
        char *copy = copy_of(bytes, length);
        if (!ph_line_parse(copy, length, &line)) {
            assert_true(line.verb < PH_LINE_VERBS);
            assert_true(line.text >= copy && line.text + line.length <= copy + length);
        }
        ph_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_written_for_shells),
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(texts_are_bounded),
        cmocka_unit_test(any_bytes_survive),
        cmocka_unit_test(hostile_lines_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
