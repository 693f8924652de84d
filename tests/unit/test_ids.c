#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/limits.h"
#include "engine/prochub.h"

static void assert_next(const struct ph_ids *ids, size_t *cursor, const char *id)
{
    size_t length = 0;
    const char *next = ph_ids_next(ids, cursor, &length);
    assert_non_null(next);
    assert_string_equal(next, id);
    assert_int_equal(length, strlen(id));
}

static void assert_refused(struct ph_ids *ids, const char *pattern, int code, const char *text)
{
    struct ph_error error = {0};
    size_t count = ids->count, length = ids->length;
    assert_int_equal(ph_ids_add_range(ids, pattern, &error), code);
    assert_string_equal(error.text, text);
    assert_int_equal(ids->count, count);
    assert_int_equal(ids->length, length);
}

/* An id is 1 to 255 bytes of UTF-8 without spaces and control characters. */
static void ids_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {"a",    "web-1", "\xc3\xa9",        "a/b:c",
                                       "w[1]", "*",     "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < PH_COUNT_OF(good); i++)
        assert_true(ph_id_is_valid(good[i], strlen(good[i])));
    static const char *const bad[] = {
        "", "a b", "a\n", "\x7f", "\xff", "\xc3", "\xc2\xa0", "\xc2\x85", "\xe3\x80\x80", "\t",
    };
    for (size_t i = 0; i < PH_COUNT_OF(bad); i++)
        assert_false(ph_id_is_valid(bad[i], strlen(bad[i])));
    assert_false(ph_id_is_valid("a\0b", 3));
    assert_false(ph_id_is_valid(NULL, 1));
    char longest[256];
    memset(longest, 'x', sizeof longest);
    assert_true(ph_id_is_valid(longest, 255));
    assert_false(ph_id_is_valid(longest, 256));
}

/* Ids come out as they went in. */
static void ids_are_walked_in_order(void **state)
{
    (void)state;
    struct ph_ids ids = {0};
    size_t cursor = 0;
    assert_null(ph_ids_next(&ids, &cursor, NULL));
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = '\0';
    assert_int_equal(ph_ids_add(&ids, "a-and-more", 1), 0);
    assert_int_equal(ph_ids_add(&ids, longest, 255), 0);
    assert_int_equal(ph_ids_add(&ids, "a", 1), 0);
    assert_int_equal(ph_ids_add(&ids, "", 0), PH_EUSAGE);
    assert_int_equal(ids.count, 3);
    assert_next(&ids, &cursor, "a");
    assert_next(&ids, &cursor, longest);
    assert_next(&ids, &cursor, "a");
    assert_null(ph_ids_next(&ids, &cursor, NULL));
    ph_ids_fini(&ids);
    assert_int_equal(ids.count, 0);
}

/* A range adds every number, with leading zeros when it was written with them. */
static void ranges_are_expanded(void **state)
{
    (void)state;
    struct ph_ids ids = {0};
    assert_int_equal(ph_ids_add_range(&ids, "w-[9..11]", NULL), 0);
    assert_int_equal(ph_ids_add_range(&ids, "[08..10]x", NULL), 0);
    assert_int_equal(ph_ids_add_range(&ids, "plain", NULL), 0);
    assert_int_equal(ph_ids_add_range(&ids, "[0..0]", NULL), 0);
    assert_int_equal(ph_ids_add_range(&ids, "[18446744073709551614..18446744073709551615]", NULL),
                     0);
    static const char *const expected[] = {
        "w-9",
        "w-10",
        "w-11",
        "08x",
        "09x",
        "10x",
        "plain",
        "0",
        "18446744073709551614",
        "18446744073709551615",
    };
    assert_int_equal(ids.count, PH_COUNT_OF(expected));
    size_t cursor = 0;
    for (size_t i = 0; i < PH_COUNT_OF(expected); i++)
        assert_next(&ids, &cursor, expected[i]);
    ph_ids_fini(&ids);
}

/* A malformed range is refused as a whole, with what is wrong. */
static void malformed_ranges_are_refused(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "w-[1..x]", "w-[1]",   "w-[..]",  "w-[1..",  "w-1..2]",
        "w-]1..2[", "[-1..2]", "[1...2]", "[1 ..2]", "[1..18446744073709551616]",
        "[]",       "[1]..2",
    };
    struct ph_ids ids = {0};
    assert_int_equal(ph_ids_add(&ids, "a", 1), 0);
    for (size_t i = 0; i < PH_COUNT_OF(malformed); i++) {
        struct ph_error error = {0};
        assert_int_equal(ph_ids_add_range(&ids, malformed[i], &error), PH_EUSAGE);
        assert_non_null(strstr(error.text, "a range is written PREFIX[FIRST..LAST]"));
    }
    assert_refused(&ids, "a[1..2][3..4]", PH_EUSAGE, "a[1..2][3..4]: use one range, not several");
    assert_refused(&ids, "[3..1]", PH_EUSAGE,
                   "[3..1]: the first number is greater than the last one");
    assert_refused(&ids, "[01..100]", PH_EUSAGE,
                   "[01..100]: with leading zeros, write both numbers with the same number of "
                   "digits");
    assert_refused(&ids, "a b[1..2]", PH_EUSAGE,
                   "a b[1..2]: an id has 1 to 255 bytes of UTF-8 without spaces");
    assert_refused(&ids, "a\x1b", PH_EUSAGE,
                   "a\\x1b: an id has 1 to 255 bytes of UTF-8 without spaces");
    char long_pattern[300];
    memset(long_pattern, 'x', sizeof long_pattern);
    memcpy(long_pattern + 251, "[9999..10000]", 14);
    struct ph_error error = {0};
    assert_int_equal(ph_ids_add_range(&ids, long_pattern, &error), PH_EUSAGE);
    assert_int_equal(ph_ids_add_range(&ids, NULL, &error), PH_EUSAGE);
    assert_int_equal(ids.count, 1);
    ph_ids_fini(&ids);
}

/* One request takes PH_IDS_MAX ids; a range that goes beyond is refused at once, with its number.
 */
static void too_many_ids_are_refused(void **state)
{
    (void)state;
    struct ph_ids ids = {0};
    assert_refused(&ids, "w-[1..9999999]", PH_ELIMIT,
                   "w-[1..9999999]: 9999999 ids are too many; one request takes at most 4000000");
    assert_refused(&ids, "[0..18446744073709551615]", PH_ELIMIT,
                   "[0..18446744073709551615]: 18446744073709551615 ids are too many; one "
                   "request takes at most 4000000");
    assert_int_equal(ph_ids_add_range(&ids, "[1..4000000]", NULL), 0);
    assert_int_equal(ids.count, PH_IDS_MAX);
    assert_int_equal(ph_ids_add(&ids, "a", 1), PH_ELIMIT);
    assert_refused(&ids, "a", PH_ELIMIT, "a: one request takes at most 4000000 ids");
    assert_refused(&ids, "[1..1]", PH_ELIMIT,
                   "[1..1]: 1 ids are too many; one request takes at most 4000000");
    ph_ids_fini(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_checked),          cmocka_unit_test(ids_are_walked_in_order),
        cmocka_unit_test(ranges_are_expanded),      cmocka_unit_test(malformed_ranges_are_refused),
        cmocka_unit_test(too_many_ids_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
