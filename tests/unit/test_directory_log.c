#include "engine/directory_log.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/prng.h"

static int set_up(void **state)
{
    *state = ph_directory_create(7);
    ph_rcu_enter();
    return 0;
}

static int tear_down(void **state)
{
    ph_rcu_exit();
    ph_directory_destroy(*state);
    return 0;
}

static struct ph_entry *entry_of(struct ph_directory *directory, unsigned child)
{
    char id[16];
    snprintf(id, sizeof id, "c-%u", child);
    struct ph_entry *entry = ph_directory_make(directory, id, strlen(id));
    assert_non_null(entry);
    return entry;
}

/* Epoch 0: it goes. */
static bool change(struct ph_directory *directory, unsigned child, uint64_t epoch)
{
    const struct ph_placed placed = {.state = PH_STATE_RUNNING, .epoch = epoch, .instance = 1};
    return ph_directory_place(directory, entry_of(directory, child), 0, epoch ? &placed : NULL,
                              NULL);
}

static unsigned child_of(const struct ph_log_entry *row)
{
    unsigned child = 0;
    assert_int_equal(sscanf(row->entry->id, "c-%u", &child), 1);
    return child;
}

static uint64_t epoch_of(const struct ph_log_entry *row)
{
    struct ph_placed placed;
    if (!row->placement)
        return 0;
    ph_placement_read_rcu(row->placement, &placed);
    return placed.epoch;
}

static void assert_next(struct ph_directory *directory, uint16_t member, uint64_t number,
                        unsigned child, uint64_t epoch)
{
    struct ph_log_entry row;
    assert_true(ph_directory_log_next(directory, member, &row));
    assert_int_equal(row.number, number);
    assert_int_equal(child_of(&row), child);
    assert_int_equal(epoch_of(&row), epoch);
}

static void assert_at_end(struct ph_directory *directory, uint16_t member)
{
    struct ph_log_entry row;
    assert_true(ph_directory_log_at_end(directory, member));
    assert_false(ph_directory_log_next(directory, member, &row));
}

/* ---- One reader ---------------------------------------------------------------------------- */

/* Only own placements are in the own log; each change has the next number. */
static void own_changes_are_numbered_in_order(void **state)
{
    struct ph_directory *directory = *state;
    const struct ph_placed placed = {.state = PH_STATE_RUNNING, .epoch = 1};
    ph_directory_log_seek(directory, 1, 0);
    change(directory, 1, 10);
    ph_directory_place(directory, entry_of(directory, 2), 3, &placed, NULL);
    change(directory, 2, 11);
    assert_int_equal(ph_directory_log_hi(directory), 2);
    assert_next(directory, 1, 1, 1, 10);
    assert_next(directory, 1, 2, 2, 11);
    assert_at_end(directory, 1);
}

/* What did not change is not told again. */
static void unchanged_placement_gets_no_number(void **state)
{
    struct ph_directory *directory = *state;
    change(directory, 1, 10);
    assert_false(change(directory, 1, 10));
    assert_int_equal(ph_directory_log_hi(directory), 1);
}

/* The log has one entry for each child: one that changes again moves to its end. */
static void changed_entry_moves_to_the_end(void **state)
{
    struct ph_directory *directory = *state;
    change(directory, 1, 10);
    change(directory, 2, 20);
    change(directory, 1, 11);
    ph_directory_log_seek(directory, 1, 0);
    assert_next(directory, 1, 2, 2, 20);
    assert_next(directory, 1, 3, 1, 11);
    assert_at_end(directory, 1);
}

/* The entry under a cursor moves: the cursor goes on with the one after it. */
static void cursor_is_not_carried_away_by_its_entry(void **state)
{
    struct ph_directory *directory = *state;
    ph_directory_log_seek(directory, 1, 0);
    for (unsigned child = 1; child <= 3; child++)
        change(directory, child, child);
    assert_next(directory, 1, 1, 1, 1);
    change(directory, 2, 22); /* it was next */
    assert_next(directory, 1, 3, 3, 3);
    assert_next(directory, 1, 4, 2, 22);
    change(directory, 2, 23); /* the last one, already told */
    assert_next(directory, 1, 5, 2, 23);
    assert_at_end(directory, 1);
}

/* A removal is told to everyone who reads, then forgotten; the floor says up to where. */
static void removal_stays_until_every_reader_has_passed_it(void **state)
{
    struct ph_directory *directory = *state;
    change(directory, 1, 10);
    change(directory, 2, 20);
    ph_directory_log_seek(directory, 1, 2);
    ph_directory_log_seek(directory, 2, 2);
    change(directory, 1, 0);
    assert_next(directory, 1, 3, 1, 0);
    ph_directory_log_purge(directory, UINT_MAX);
    assert_int_equal(ph_directory_log_floor(directory), 0);
    assert_next(directory, 2, 3, 1, 0);
    ph_directory_log_purge(directory, UINT_MAX);
    assert_int_equal(ph_directory_log_floor(directory), 3);
    ph_directory_log_seek(directory, 3, 0);
    assert_next(directory, 3, 2, 2, 20);
    assert_at_end(directory, 3);
}

/* Who closes holds nothing back. */
static void closed_reader_holds_no_removal(void **state)
{
    struct ph_directory *directory = *state;
    change(directory, 1, 10);
    ph_directory_log_seek(directory, 1, 0);
    ph_directory_log_seek(directory, 2, 0);
    change(directory, 1, 0);
    ph_directory_log_close(directory, 1);
    assert_int_equal(ph_directory_log_floor(directory), 0);
    ph_directory_log_close(directory, 2);
    assert_int_equal(ph_directory_log_floor(directory), 2);
    assert_at_end(directory, 1);
    ph_directory_log_close(directory, 2);
}

/* A child that comes back is told as it is; its removal is not in the log any more. */
static void child_that_comes_back_is_no_removal(void **state)
{
    struct ph_directory *directory = *state;
    ph_directory_log_seek(directory, 1, 0);
    change(directory, 1, 10);
    change(directory, 1, 0);
    change(directory, 1, 12);
    assert_next(directory, 1, 3, 1, 12);
    assert_at_end(directory, 1);
    ph_directory_log_purge(directory, UINT_MAX);
    assert_int_equal(ph_directory_log_floor(directory), 0);
}

/* A reader may begin after any number, below the log, in it, at its end and beyond. Between its
 * ends the place is looked for in steps. */
static void seek_finds_any_number(void **state)
{
    struct ph_directory *directory = *state;
    struct ph_log_entry row;
    for (unsigned child = 0; child < 40; child++)
        change(directory, child, 100);
    for (unsigned child = 0; child < 40; child += 2)
        change(directory, child, 101); /* gaps in the numbers */
    uint64_t hi = ph_directory_log_hi(directory);
    for (uint64_t number = 0; number <= hi + 3; number++) {
        uint64_t last = number;
        unsigned count = 0, expected = 0, steps = 0;
        for (uint64_t at = 1; at <= hi; at++)
            expected += at > number && (at > 40 || at % 2 == 0);
        ph_directory_log_seek(directory, 1, number);
        for (; !ph_directory_log_find(directory, 1, 1); steps++)
            assert_false(ph_directory_log_next(directory, 1, &row));
        assert_int_equal(steps, expected == 40 || expected == 0 ? 0 : expected - 1);
        while (ph_directory_log_next(directory, 1, &row)) {
            assert_true(row.number > last);
            last = row.number;
            count++;
        }
        assert_int_equal(count, expected);
    }
}

/* ---- Against a naive log ------------------------------------------------------------------- */

enum { CHILDREN = 60, READERS = 5, STEPS = 20000 };

/* What a member knows of the owner, as it was told. */
struct reader {
    bool open;
    uint64_t number; /* it has everything up to here */
    uint64_t epochs[CHILDREN];
};

struct model {
    struct ph_directory *directory;
    struct ph_prng prng;
    uint64_t hi, epochs[CHILDREN], changed[CHILDREN]; /* changed: number of its newest change */
    struct reader readers[READERS + 1];
};

static void model_change(struct model *model)
{
    unsigned child = (unsigned)ph_prng_below(&model->prng, CHILDREN);
    uint64_t epoch = ph_prng_below(&model->prng, 3) ? 1 + ph_prng_below(&model->prng, 4) : 0;
    bool changed = epoch != model->epochs[child];
    assert_int_equal(change(model->directory, child, epoch), changed);
    if (changed) {
        model->epochs[child] = epoch;
        model->changed[child] = ++model->hi;
    }
    assert_int_equal(ph_directory_log_hi(model->directory), model->hi);
}

/* The next one told is the oldest change after what the reader has. */
static void model_read(struct model *model, uint16_t member)
{
    struct reader *reader = &model->readers[member];
    struct ph_log_entry row;
    if (!reader->open)
        return;
    unsigned next = CHILDREN;
    for (unsigned child = 0; child < CHILDREN; child++)
        if (model->changed[child] > reader->number &&
            (next == CHILDREN || model->changed[child] < model->changed[next]))
            next = child;
    assert_int_equal(ph_directory_log_at_end(model->directory, member), next == CHILDREN);
    if (!ph_directory_log_find(model->directory, member,
                               1 + (unsigned)ph_prng_below(&model->prng, 5)))
        return;
    if (!ph_directory_log_next(model->directory, member, &row))
        return;
    assert_int_equal(child_of(&row), next);
    assert_int_equal(row.number, model->changed[next]);
    assert_int_equal(epoch_of(&row), model->epochs[next]);
    reader->epochs[next] = epoch_of(&row);
    reader->number = row.number;
    if (ph_directory_log_at_end(model->directory, member))
        assert_memory_equal(reader->epochs, model->epochs, sizeof model->epochs);
}

/* It begins where it was, or anew when that is below the floor. */
static void model_open(struct model *model, uint16_t member)
{
    struct reader *reader = &model->readers[member];
    if (reader->number < ph_directory_log_floor(model->directory)) {
        memset(reader->epochs, 0, sizeof reader->epochs);
        reader->number = 0;
    }
    reader->open = true;
    ph_directory_log_seek(model->directory, member, reader->number);
    /* What was forgotten is no change for anybody who begins anew. */
    for (unsigned child = 0; child < CHILDREN; child++)
        if (!model->epochs[child] && model->changed[child] &&
            model->changed[child] <= ph_directory_log_floor(model->directory))
            model->changed[child] = 0;
}

static void model_step(struct model *model)
{
    uint16_t member = (uint16_t)(1 + ph_prng_below(&model->prng, READERS));
    switch (ph_prng_below(&model->prng, 20)) {
    case 0:
        model_open(model, member);
        return;
    case 1:
        if (ph_prng_below(&model->prng, 3) == 0) {
            ph_directory_log_close(model->directory, member);
            model->readers[member].open = false;
        }
        return;
    case 2:
        ph_directory_log_purge(model->directory, UINT_MAX);
        return;
    default:
        break;
    }
    if (ph_prng_below(&model->prng, 3))
        model_read(model, member);
    else
        model_change(model);
}

/* Any changes, readers that come and go, purges at any time: each reader is told every change once
 * or its newer version, in the order of numbers, and has the owner's exact state at the end. */
static void readers_end_with_the_exact_state_of_the_owner(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct model *model = ph_alloc(sizeof *model);
        ph_prng_init(&model->prng, seed);
        model->directory = ph_directory_create(seed);
        for (unsigned step = 0; step < STEPS; step++) {
            model_step(model);
            ph_directory_purge(model->directory, UINT64_MAX, 2);
            ph_directory_reclaim(model->directory);
        }
        for (uint16_t member = 1; member <= READERS; member++) {
            model_open(model, member);
            while (!ph_directory_log_at_end(model->directory, member))
                model_read(model, member);
            assert_memory_equal(model->readers[member].epochs, model->epochs, sizeof model->epochs);
        }
        ph_rcu_exit();
        ph_directory_destroy(model->directory);
        ph_rcu_enter();
        ph_free(model);
    }
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(own_changes_are_numbered_in_order),
        LOG_TEST(unchanged_placement_gets_no_number),
        LOG_TEST(changed_entry_moves_to_the_end),
        LOG_TEST(cursor_is_not_carried_away_by_its_entry),
        LOG_TEST(removal_stays_until_every_reader_has_passed_it),
        LOG_TEST(closed_reader_holds_no_removal),
        LOG_TEST(child_that_comes_back_is_no_removal),
        LOG_TEST(seek_finds_any_number),
        LOG_TEST(readers_end_with_the_exact_state_of_the_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
