#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tests/lib/lang_fake.h"

static void assert_word(const struct ph_word *word, const char *text, uint32_t line,
                        uint32_t column)
{
    assert_string_equal(word->text, text);
    assert_int_equal(word->length, strlen(text));
    assert_int_equal(word->line, line);
    assert_int_equal(word->column, column);
}

/* Words are separated by blanks, commands by line ends and by ';' as a word. */
static void words_and_commands_are_separated(void **state)
{
    (void)state;
    struct ph_script *script = ph_lang_parse("a b;c ; d\r\n\n  \te # f\n#g\nh#i 'j' ;\n");
    assert_int_equal(ph_script_count(script), 4);
    assert_int_equal(ph_script_at(script, 0)->count, 2);
    assert_word(&ph_script_at(script, 0)->words[1], "b;c", 1, 3);
    assert_word(&ph_script_at(script, 1)->words[0], "d", 1, 9);
    assert_int_equal(ph_script_at(script, 2)->count, 1);
    assert_word(&ph_script_at(script, 2)->words[0], "e", 3, 4);
    assert_word(&ph_script_at(script, 3)->words[0], "h#i", 5, 1);
    assert_word(&ph_script_at(script, 3)->words[1], "j", 5, 5);
    assert_null(ph_script_at(script, 4));
    assert_string_equal(ph_script_name(script), "t");
    ph_script_destroy(script);
}

/* A backslash at the end of a line joins the next one, inside words, too. */
static void lines_are_joined(void **state)
{
    (void)state;
    struct ph_script *script = ph_lang_parse("a \\\n  b\\\r\nc \"d\\\ne\"\nf");
    assert_int_equal(ph_script_count(script), 2);
    assert_int_equal(ph_script_at(script, 0)->count, 3);
    assert_word(&ph_script_at(script, 0)->words[1], "bc", 2, 3);
    assert_word(&ph_script_at(script, 0)->words[2], "de", 3, 3);
    assert_word(&ph_script_at(script, 1)->words[0], "f", 5, 1);
    ph_script_destroy(script);
}

/* Raw quotes keep all, double quotes know escapes, parts that touch are one word. */
static void quotes_are_decoded(void **state)
{
    (void)state;
    struct ph_script *script = ph_lang_parse(
        "'a \\n $x' \"b\\n\\t\\\"\\\\\\$y\\u{2192}\\u{1F600}\" c'd e'\"f\" '' k=\"v w\" \"l=m\"");
    const struct ph_word *words = ph_script_at(script, 0)->words;
    assert_word(&words[0], "a \\n $x", 1, 1);
    assert_true(words[0].quoted);
    assert_false(words[0].variable);
    assert_word(&words[1], "b\n\t\"\\$y\xe2\x86\x92\xf0\x9f\x98\x80", 1, 11);
    assert_false(words[1].variable);
    assert_word(&words[2], "cd ef", 1, 43);
    assert_true(words[2].quoted);
    assert_word(&words[3], "", 1, 53);
    assert_true(words[3].quoted);
    assert_false(words[4].quoted);
    assert_int_equal(ph_word_key(&words[4]), 1);
    assert_string_equal(words[4].text, "k=v w");
    assert_true(words[5].quoted);
    assert_int_equal(ph_word_key(&words[5]), 0);
    ph_script_destroy(script);
}

/* Columns count characters, not bytes. */
static void columns_count_characters(void **state)
{
    (void)state;
    struct ph_script *script = ph_lang_parse("\xef\xbb\xbf\xc3\xa4\xe2\x86\x92 b");
    assert_int_equal(ph_script_at(script, 0)->words[1].column, 4);
    ph_script_destroy(script);
}

/* `try` is a mark on the statement; the words behind a bare -- are argv. */
static void try_and_argv_are_marked(void **state)
{
    (void)state;
    struct ph_script *script =
        ph_lang_parse("try stop a\nstart a '--' -- sh -c '--' -- x ; stop 'try'\nb --");
    assert_true(ph_script_at(script, 0)->tolerated);
    assert_string_equal(ph_script_at(script, 0)->words[0].text, "stop");
    const struct ph_statement *start = ph_script_at(script, 1);
    assert_int_equal(start->count, 8);
    assert_int_equal(start->argv, 3);
    assert_string_equal(start->words[3].text, "sh");
    assert_string_equal(start->words[6].text, "--");
    assert_false(ph_script_at(script, 2)->tolerated);
    assert_int_equal(ph_script_at(script, 3)->argv, ph_script_at(script, 3)->count);
    ph_script_destroy(script);
}

/* Variables are found in bare and double-quoted words, never in raw ones. */
static void variables_are_marked(void **state)
{
    (void)state;
    struct ph_script *script = ph_lang_parse("$a \"$b\" '$c' x$ $1 k=$d");
    const struct ph_word *words = ph_script_at(script, 0)->words;
    assert_true(words[0].variable);
    assert_false(words[0].quoted);
    assert_string_equal(words[0].text, "\xff"
                                       "a");
    assert_true(words[1].variable);
    assert_true(words[1].quoted);
    assert_false(words[2].variable);
    assert_false(words[3].variable);
    assert_false(words[4].variable);
    assert_int_equal(ph_word_key(&words[5]), 1);
    assert_string_equal(ph_word_shown(&words[5]).text, "k=$d");
    assert_false(ph_word_is(&words[0], "a"));
    ph_script_destroy(script);
}

/* What cannot be read is an error with its place. */
static void syntax_errors_have_a_position(void **state)
{
    (void)state;
    ph_lang_assert_says("a\n  b 'c", "2:5: the quote ' is not closed before the end of the line");
    ph_lang_assert_says("a \"b\nc\"", "1:3: the quote \" is not closed before the end of the line");
    ph_lang_assert_says("a \"b\\q\"", "1:5: bad escape: after \\ comes one of n t \" \\ $ u{…}");
    ph_lang_assert_says("\"\\u{}\"", "1:2: bad escape \\u{: write 1 to 6 hexadecimal digits and }");
    ph_lang_assert_says("\"\\u2192\"", "1:2: bad escape \\u: write \\u{2192}");
    ph_lang_assert_says("\"\\u{0}\"", "1:2: \\u{0}: a word cannot hold a NUL");
    ph_lang_assert_says("\"\\u{d800}\"", "1:2: \\u{d800} is no character");
    ph_lang_assert_says("\xc3\xa4 \xff", "1:3: byte 0xff is not UTF-8");
    ph_lang_assert_says("a\x1b[2J",
                        "1:2: control byte 0x1b in a bare word: quote it, and write it as \\u{…}");
    ph_lang_assert_says("a\rb",
                        "1:2: control byte 0x0d in a bare word: quote it, and write it as \\u{…}");
    ph_lang_assert_says("\n try ; a", "2:2: try comes before a command");
    ph_lang_assert_says("-- a", "1:1: a command comes before --");
}

/* A NUL byte is an error like other control bytes. */
static void nul_bytes_are_refused(void **state)
{
    (void)state;
    struct ph_text said = PH_TEXT_INIT;
    ph_lang_check("a b\0c", 5, &said);
    assert_string_equal(ph_text_str(&said),
                        "1:4: control byte 0x00 in a bare word: quote it, and write it as \\u{…}");
    ph_text_clear(&said);
    ph_lang_check("a '\0'", 5, &said);
    assert_string_equal(ph_text_str(&said),
                        "1:4: control byte 0x00 in '…': write it as \\u{…} in \"…\"");
    ph_text_fini(&said);
}

/* A line of 10 MB is refused, not read. */
static void lines_are_bounded(void **state)
{
    (void)state;
    enum { LONG = 10 * 1024 * 1024 };
    char *text = malloc(LONG);
    struct ph_text said = PH_TEXT_INIT;
    assert_non_null(text);
    memset(text, 'x', LONG);
    memcpy(text, "echo a\n", 7);
    ph_lang_check(text, LONG, &said);
    assert_string_equal(ph_text_str(&said),
                        "2:1: the line is longer than 1 MiB: split it with \\ at "
                        "the end of a line");
    ph_text_clear(&said);
    text[5] = ' ';
    memset(text + 4, ' ', PH_SCRIPT_LINE_MAX - 4);
    text[PH_SCRIPT_LINE_MAX] = '\n';
    ph_lang_check(text, PH_SCRIPT_LINE_MAX + 1, &said);
    assert_string_equal(ph_text_str(&said), "");
    ph_text_fini(&said);
    free(text);
}

/* The source of a line, for the caret. */
static void source_lines_are_found(void **state)
{
    (void)state;
    struct ph_script *script = ph_lang_parse("a\r\n b c \nd");
    size_t length = 0;
    const char *line = ph_script_line(script, 2, &length);
    assert_int_equal(length, 5);
    assert_memory_equal(line, " b c ", 5);
    assert_memory_equal(ph_script_line(script, 1, &length), "a", 1);
    assert_int_equal(length, 1);
    assert_memory_equal(ph_script_line(script, 3, &length), "d", 1);
    ph_script_line(script, 4, &length);
    assert_int_equal(length, 0);
    ph_script_line(script, 0, &length);
    assert_int_equal(length, 0);
    ph_script_destroy(script);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Noise of bytes, and noise of the language's own pieces, is answered or accepted, never fatal. */
static void noise_does_not_harm(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "start ", "stop ", "wait ", "events ",  "where ",   "count(",   "child ",  "state",
        "= ",     "!=",    " and ", " or ",     "not ",     "(",        ")",       "'",
        "\"",     "\\",    "$x",    "\n",       "; ",       "try ",     "-- ",     "w-[1..",
        "9]",     "a*",    "tag:",  "=~ ",      "timeout=", "5s ",      "meta.a ", "watch ",
        "every=", "let ",  "hub ",  "\\u{41}",  "module=",  "counter ", "x{3,9}",  "signal ",
        "limit=", "# ",    "help ", "restarts", "\xff",
    };
    uint64_t seed = 42;
    struct ph_text noise = PH_TEXT_INIT, said = PH_TEXT_INIT;
    for (size_t i = 0; i < 100000; i++) {
        ph_text_clear(&noise);
        ph_text_clear(&said);
        size_t length = next_random(&seed) % 201;
        while (noise.length < length) {
            uint64_t random = next_random(&seed) >> 8;
            char byte = (char)(random >> 8);
            if (i % 2)
                ph_text_append(&noise, &byte, 1);
            else
                ph_text_put(&noise, pieces[random % PH_COUNT_OF(pieces)]);
        }
        ph_lang_check(ph_text_str(&noise), noise.length, &said);
    }
    ph_text_fini(&noise);
    ph_text_fini(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_commands_are_separated),
        cmocka_unit_test(lines_are_joined),
        cmocka_unit_test(quotes_are_decoded),
        cmocka_unit_test(columns_count_characters),
        cmocka_unit_test(try_and_argv_are_marked),
        cmocka_unit_test(variables_are_marked),
        cmocka_unit_test(syntax_errors_have_a_position),
        cmocka_unit_test(nul_bytes_are_refused),
        cmocka_unit_test(lines_are_bounded),
        cmocka_unit_test(source_lines_are_found),
        cmocka_unit_test(noise_does_not_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
