#include "engine/kind/logring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BUFFER_BYTES = 64 * 1024 };

struct seen {
    uint64_t count, first, last;
    char text[64]; /* of the last line */
    size_t length;
    bool partial, error;
};

static _Alignas(8) char buffer[BUFFER_BYTES];

static struct seen look(const struct ph_logring *ring, uint64_t after, size_t limit)
{
    struct seen seen = {0};
    bool more = true;
    while (more) {
        size_t used = ph_logring_copy(ring, after, limit, buffer, sizeof buffer, &more);
        limit = 0;
        for (size_t at = 0; at < used;) {
            const struct ph_logcopy *copy = (const void *)(buffer + at);
            if (seen.count++ == 0)
                seen.first = copy->seq;
            else
                assert_int_equal(copy->seq, seen.last + 1);
            seen.last = after = copy->seq;
            seen.length = copy->length;
            seen.partial = copy->partial;
            seen.error = copy->error;
            snprintf(seen.text, sizeof seen.text, "%.*s", (int)copy->length,
                     (const char *)(copy + 1));
            at += ph_logcopy_bytes(copy->length);
        }
    }
    return seen;
}

static void put(struct ph_logring *ring, bool error, const char *text)
{
    ph_logring_write(ring, error, text, strlen(text), 1);
}

/* A line is what ends in a newline, however the bytes were cut. */
static void lines_are_put_together_from_pieces(void **state)
{
    (void)state;
    struct ph_logring ring = {0};
    ph_logring_set_capacity(&ring, 4096);
    put(&ring, false, "one\ntw");
    assert_int_equal(look(&ring, 0, 0).count, 1);
    put(&ring, false, "o\n\nthree");
    struct seen seen = look(&ring, 0, 0);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.length, 0);
    ph_logring_flush(&ring, 1);
    seen = look(&ring, 0, 0);
    assert_string_equal(seen.text, "three");
    assert_false(seen.partial);
    assert_int_equal(seen.last, 4);
    ph_logring_fini(&ring);
}

/* An unfinished line of one stream does not mix with the other's. */
static void streams_do_not_mix(void **state)
{
    (void)state;
    struct ph_logring ring = {0};
    ph_logring_set_capacity(&ring, 4096);
    put(&ring, false, "out");
    put(&ring, true, "err\n");
    struct seen seen = look(&ring, 0, 0);
    assert_string_equal(seen.text, "err");
    assert_true(seen.error);
    put(&ring, false, "put\n");
    seen = look(&ring, 0, 0);
    assert_string_equal(seen.text, "output");
    assert_false(seen.error);
    ph_logring_fini(&ring);
}

/* The oldest lines go first, are counted, and the numbers of the others stay. */
static void oldest_lines_are_dropped_and_counted(void **state)
{
    (void)state;
    struct ph_logring ring = {0};
    char line[32];
    ph_logring_set_capacity(&ring, 5000);
    for (int i = 1; i <= 10000; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        put(&ring, false, line);
        struct seen newest = look(&ring, 0, 1);
        assert_int_equal(newest.count, 1);
        assert_int_equal(newest.last, i);
    }
    struct seen seen = look(&ring, 0, 0);
    assert_true(seen.count > 100);
    assert_int_equal(seen.last, 10000);
    assert_int_equal(ph_logring_dropped(&ring), 10000 - seen.count);
    assert_string_equal(seen.text, "line 10000");
    assert_true(ring.size <= 5000);
    assert_int_equal(look(&ring, 9990, 0).count, 10);
    assert_int_equal(look(&ring, 9990, 3).first, 9998);
    assert_int_equal(look(&ring, 10000, 0).count, 0);
    ph_logring_fini(&ring);
}

/* A line over 8 KiB is cut; all but its last piece are marked partial. */
static void long_lines_are_cut(void **state)
{
    (void)state;
    struct ph_logring ring = {0};
    static char big[3 * PH_LOG_LINE_MAX];
    memset(big, 'x', sizeof big);
    ph_logring_set_capacity(&ring, 65536);
    ph_logring_write(&ring, false, big, PH_LOG_LINE_MAX, 1);
    put(&ring, false, "\n"); /* exactly full is one line */
    struct seen seen = look(&ring, 0, 0);
    assert_int_equal(seen.count, 1);
    assert_false(seen.partial);
    assert_int_equal(seen.length, PH_LOG_LINE_MAX);
    ph_logring_write(&ring, false, big, 2 * PH_LOG_LINE_MAX + 1, 1);
    seen = look(&ring, 1, 0);
    assert_int_equal(seen.count, 2);
    assert_true(seen.partial);
    put(&ring, false, "y\n");
    seen = look(&ring, 0, 0);
    assert_int_equal(seen.count, 4);
    assert_string_equal(seen.text, "xy");
    assert_false(seen.partial);
    ph_logring_fini(&ring);
}

/* A ring that is smaller than a line, or has no room at all, counts and holds nothing. */
static void tiny_rings_count(void **state)
{
    (void)state;
    struct ph_logring ring = {0};
    put(&ring, false, "nothing\n");
    assert_int_equal(ph_logring_last(&ring), 1);
    assert_int_equal(ph_logring_dropped(&ring), 1);
    ph_logring_set_capacity(&ring, 40);
    put(&ring, false, "short\n");
    assert_int_equal(look(&ring, 0, 0).count, 1);
    put(&ring, false, "a line that is longer than the whole ring is\n");
    assert_int_equal(look(&ring, 0, 0).count, 0);
    assert_int_equal(ph_logring_dropped(&ring), 3);
    put(&ring, false, "again\n");
    assert_int_equal(look(&ring, 0, 0).first, 4);
    ph_logring_fini(&ring);
}

/* A smaller capacity keeps the newest lines. */
static void capacity_may_shrink_and_grow(void **state)
{
    (void)state;
    struct ph_logring ring = {0};
    ph_logring_set_capacity(&ring, 20000);
    for (int i = 0; i < 3000; i++)
        put(&ring, false, "0123456789\n");
    ph_logring_set_capacity(&ring, 1000);
    struct seen seen = look(&ring, 0, 0);
    assert_true(seen.count > 10 && seen.count < 60);
    assert_int_equal(seen.last, 3000);
    ph_logring_set_capacity(&ring, 20000);
    for (int i = 0; i < 3000; i++)
        put(&ring, false, "abc\n");
    seen = look(&ring, 0, 0);
    assert_int_equal(seen.last, 6000);
    assert_string_equal(seen.text, "abc");
    ph_logring_fini(&ring);
}

/* Memory comes with the lines, not with the capacity. */
static void memory_is_taken_as_lines_come(void **state)
{
    (void)state;
    struct ph_logring ring = {0};
    ph_logring_set_capacity(&ring, 1 << 20);
    assert_int_equal(ring.size, 0);
    put(&ring, false, "hello\n");
    assert_true(ring.size <= 4096);
    ph_logring_fini(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_put_together_from_pieces),
        cmocka_unit_test(streams_do_not_mix),
        cmocka_unit_test(oldest_lines_are_dropped_and_counted),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(tiny_rings_count),
        cmocka_unit_test(capacity_may_shrink_and_grow),
        cmocka_unit_test(memory_is_taken_as_lines_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
