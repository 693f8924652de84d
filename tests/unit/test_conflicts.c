#include "engine/conflicts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/legacy.h"

static struct ph_conflicts store;

static int set_up(void **state)
{
    (void)state;
    ph_conflicts_init(&store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ph_conflicts_fini(&store);
    return 0;
}

static uint64_t put(const char *id, const char *text, size_t length)
{
    struct ph_legacy *legacy = ph_legacy_create("n1", text, length);
    assert_non_null(legacy);
    uint64_t number = ph_conflicts_put(&store, id, legacy, "why\x1f not", 1000)->number;
    ph_legacy_put(legacy);
    return number;
}

/* What is put in is found by its number, whole, also with NULs in it. */
static void state_is_kept_as_it_is(void **state)
{
    (void)state;
    uint64_t number = put("a", "x\0y", 3);
    const struct ph_conflict *found = ph_conflicts_find(&store, number);
    assert_non_null(found);
    assert_int_equal(found->legacy->length, 3);
    assert_memory_equal(found->legacy->state, "x\0y", 3);
    assert_int_equal(store.bytes, 3);
    assert_null(ph_conflicts_find(&store, number + 1));
}

/* Numbers are not used again; a drop takes out the one that was meant, and what comes later goes to
 * the end. */
static void dropped_number_is_not_used_again(void **state)
{
    (void)state;
    uint64_t first = put("a", "1", 1), second = put("b", "22", 2);
    assert_true(ph_conflicts_drop(&store, second));
    assert_false(ph_conflicts_drop(&store, second));
    uint64_t third = put("c", "333", 3);
    assert_true(third > second);
    assert_int_equal(store.count, 2);
    assert_int_equal(store.bytes, 4);
    assert_string_equal(store.first->id, "a");
    assert_string_equal(store.first->next->id, "c");
    assert_true(ph_conflicts_drop(&store, first));
    assert_true(ph_conflicts_drop(&store, third));
    assert_int_equal(store.count + store.bytes, 0);
    put("d", "", 0);
    assert_string_equal(store.first->id, "d");
}

/* The oldest one is over when there are too many. */
static void oldest_is_over_when_there_are_too_many(void **state)
{
    (void)state;
    for (int i = 0; i < PH_CONFLICTS_MAX; i++)
        put("a", "x", 1);
    assert_null(ph_conflicts_over(&store));
    put("a", "x", 1);
    assert_int_equal(ph_conflicts_over(&store)->number, 1);
    ph_conflicts_drop(&store, 1);
    assert_null(ph_conflicts_over(&store));
}

/* … or when they are too large together; the largest state that there can be is kept alone. */
static void oldest_is_over_when_they_are_too_large(void **state)
{
    (void)state;
    static char large[PH_STATE_BYTES_MAX];
    put("small", "x", 1);
    assert_null(ph_conflicts_over(&store));
    put("large", large, sizeof large);
    assert_string_equal(ph_conflicts_over(&store)->id, "small");
    ph_conflicts_drop(&store, 1);
    assert_null(ph_conflicts_over(&store));
}

/* Rows can be taken apart whatever a module said. */
static void rows_have_nine_fields(void **state)
{
    (void)state;
    struct ph_text out = PH_TEXT_INIT;
    put("a", "hello", 5);
    ph_conflicts_print(&store, &out);
    unsigned fields = 1;
    for (size_t i = 0; i < out.length; i++)
        fields += out.data[i] == '\x1f';
    assert_int_equal(fields, 9);
    assert_int_equal(strncmp(out.data,
                             "1\x1f"
                             "a\x1fn1\x1f"
                             "1000\x1f"
                             "5\x1f",
                             14),
                     0);
    ph_text_fini(&out);
}

#define CONFLICT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFLICT_TEST(state_is_kept_as_it_is),
        CONFLICT_TEST(dropped_number_is_not_used_again),
        CONFLICT_TEST(oldest_is_over_when_there_are_too_many),
        CONFLICT_TEST(oldest_is_over_when_they_are_too_large),
        CONFLICT_TEST(rows_have_nine_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
