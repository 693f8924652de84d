#include "engine/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/limits.h"
#include "engine/rcu.h"

static int set_up(void **state)
{
    *state = ph_history_create();
    return 0;
}

static int tear_down(void **state)
{
    ph_history_destroy(*state);
    ph_rcu_barrier();
    return 0;
}

struct seen {
    uint64_t count, first, last, stop_at; /* stop_at 0: never */
    bool in_order;
    char type[64], id[64], text[64];
    struct ph_record record;
};

static bool see(void *arg, const struct ph_record *record)
{
    struct seen *seen = arg;
    if (!seen->count++) {
        seen->first = record->seq;
        seen->in_order = true;
    } else {
        seen->in_order = seen->in_order && record->seq == seen->last + 1;
    }
    seen->last = record->seq;
    seen->record = *record;
    snprintf(seen->type, sizeof seen->type, "%s", record->type);
    snprintf(seen->id, sizeof seen->id, "%s", record->id);
    snprintf(seen->text, sizeof seen->text, "%s", record->text);
    return seen->count != seen->stop_at;
}

static uint64_t each(const struct ph_history *history, uint64_t after, struct seen *seen)
{
    ph_rcu_enter();
    uint64_t oldest = ph_history_each_rcu(history, after, see, seen);
    ph_rcu_exit();
    return oldest;
}

/* A new history has nothing and has missed nothing. */
static void new_history_is_empty(void **state)
{
    struct seen seen = {0};
    assert_int_equal(each(*state, 0, &seen), 1);
    assert_int_equal(seen.count, 0);
    assert_int_equal(ph_history_last(*state), 0);
    ph_history_destroy(NULL);
}

/* What was appended is read, with its own seq; a cause lies in the past. */
static void record_is_read_as_it_was_written(void **state)
{
    assert_int_equal(ph_history_append(*state, &(struct ph_record){.type = "x", .cause = 7}), 1);
    assert_int_equal(ph_history_append(*state, &(struct ph_record){.type = "x"}), 2);
    struct ph_record record = {
        .seq = 99,
        .cause = 1,
        .now_ms = 12345,
        .priority = 10,
        .type = "child_started",
        .id = "web-1",
        .text = "pid 4711",
    };
    assert_int_equal(ph_history_append(*state, &record), 3);
    struct seen seen = {0};
    assert_int_equal(each(*state, 2, &seen), 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.record.seq, 3);
    assert_int_equal(seen.record.cause, 1);
    assert_int_equal(seen.record.now_ms, 12345);
    assert_int_equal(seen.record.priority, 10);
    assert_string_equal(seen.type, "child_started");
    assert_string_equal(seen.id, "web-1");
    assert_string_equal(seen.text, "pid 4711");
    assert_int_equal(ph_history_last(*state), 3);
    struct seen first = {.stop_at = 1};
    each(*state, 0, &first);
    assert_int_equal(first.record.cause, 0);
}

/* Absent texts read as "". */
static void absent_texts_are_empty(void **state)
{
    assert_int_equal(ph_history_append(*state, &(struct ph_record){.type = "x"}), 1);
    struct seen seen = {0};
    each(*state, 0, &seen);
    assert_string_equal(seen.type, "x");
    assert_string_equal(seen.id, "");
    assert_string_equal(seen.text, "");
}

/* A reader goes on after the last record that it saw, and may stop. */
static void reader_goes_on_where_it_stopped(void **state)
{
    for (int i = 0; i < 10; i++)
        ph_history_append(*state, &(struct ph_record){.type = "x"});
    struct seen seen = {.stop_at = 3};
    each(*state, 0, &seen);
    assert_int_equal(seen.last, 3);
    struct seen rest = {0};
    each(*state, seen.last, &rest);
    assert_int_equal(rest.first, 4);
    assert_int_equal(rest.last, 10);
    assert_true(rest.in_order);
    struct seen none = {0};
    each(*state, 10, &none);
    each(*state, UINT64_MAX, &none);
    assert_int_equal(none.count, 0);
}

/* Texts over 4,000 bytes and names over 255 are cut, not in the middle of a character. */
static void long_texts_are_cut(void **state)
{
    static char text[5001];
    memset(text, 'x', sizeof text - 1);
    memcpy(text + 3999, "\xc3\xa9", 2);
    ph_history_append(*state, &(struct ph_record){.type = text, .id = text, .text = text});
    struct seen seen = {0};
    ph_rcu_enter();
    ph_history_each_rcu(*state, 0, see, &seen);
    assert_int_equal(strlen(seen.record.type), 255);
    assert_int_equal(strlen(seen.record.id), 255);
    assert_int_equal(strlen(seen.record.text), 3999);
    ph_rcu_exit();
}

/* The ring keeps the newest records; the answer tells a reader what it missed. */
static void oldest_records_are_given_up(void **state)
{
    const uint64_t count = 120000; /* about 8 MiB */
    char id[32];
    for (uint64_t i = 1; i <= count; i++) {
        snprintf(id, sizeof id, "child-%llu", (unsigned long long)i);
        struct ph_record record = {.type = "child_started", .id = id, .text = "some text"};
        assert_int_equal(ph_history_append(*state, &record), i);
    }
    struct seen seen = {0};
    uint64_t oldest = each(*state, 0, &seen);
    assert_true(oldest > 1 && seen.first == oldest);
    assert_true(seen.in_order && seen.last == count);
    assert_int_equal(seen.count, count - oldest + 1);
    assert_true(seen.count * 72 > (PH_HISTORY_CHUNKS - 2) * (uint64_t)PH_HISTORY_CHUNK_BYTES);
    assert_string_equal(seen.id, "child-120000");
    struct seen rest = {0};
    assert_int_equal(each(*state, count - 5, &rest), oldest);
    assert_int_equal(rest.count, 5);
    assert_int_equal(rest.first, count - 4);
}

int main(void)
{
#define HISTORY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        HISTORY_TEST(new_history_is_empty),   HISTORY_TEST(record_is_read_as_it_was_written),
        HISTORY_TEST(absent_texts_are_empty), HISTORY_TEST(reader_goes_on_where_it_stopped),
        HISTORY_TEST(long_texts_are_cut),     HISTORY_TEST(oldest_records_are_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
