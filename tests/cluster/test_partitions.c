#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/error.h"
#include "engine/op.h"

static int set_up(void **state)
{
    *state = fc_create_settled(3, "");
    return 0;
}

static int set_up_majority(void **state)
{
    *state = fc_create_settled(3, "partition=majority majority.initial_size=3");
    return 0;
}

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

static bool is_fenced(struct fake_cluster *c, unsigned node)
{
    return fc_members(c, node)->partitioned;
}

static void assert_once(struct fake_cluster *c, const char *prefix, unsigned count)
{
    for (unsigned i = 1; i <= count; i++) {
        char id[16];
        snprintf(id, sizeof id, "%s-%u", prefix, i);
        if (fc_where(c, id) < 0)
            fail_msg("%s is at %d", id, fc_where(c, id));
    }
}

/* ---- Diverge ------------------------------------------------------------------------------- */

/* Each side goes on with everything. */
static void each_side_runs_everything(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    fc_split(c, 4);
    assert_true(fc_settle_some(c, 3, 2, 10000));
    assert_true(fc_settle_some(c, 4, 1, 10000));
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1), 30);
    assert_int_equal(fc_local(c, 2), 30);
    assert_int_equal(c->doubled, 30);
}

/* After a heal one instance of each is left: only the loser acts, nothing is started anew, and all
 * is where it belongs. */
static void duplicates_collapse_after_a_heal(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    fc_split(c, 4);
    fc_run(c, 10000);
    uint64_t before = fc_starts(c);
    fc_heal(c);
    fc_settle(c);
    assert_once(c, "a", 30);
    fc_assert_listed_everywhere(c, "a-[1..30]");
    uint64_t ended = 0, moved = 0;
    for (unsigned node = 0; node < 3; node++) {
        ended += fc_hub(c, node)->hub.cluster->duplicates;
        moved += fc_hub(c, node)->hub.cluster->moved_in;
    }
    assert_int_equal(ended, 30);
    assert_int_equal(fc_starts(c), before + moved);
}

/* One that is about to move gives way, too: the move does not begin, and nothing runs twice until
 * its target has answered, or has not. */
static void duplicate_that_is_to_move_gives_way(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    fc_split(c, 4);
    fc_run(c, 10000);
    assert_int_equal(fc_where(c, id), FC_DOUBLED);
    c->nodes[1]->slow = true;
    fc_pin_mode(c, 0, id, "n2", PH_MOVE_HOT);
    fc_run(c, 100);
    fc_heal(c);
    fc_run(c, fc_hub(c, 0)->hub.cluster->dead_after_ms);
    assert_int_equal(fc_where(c, id), 2);
    c->nodes[1]->slow = false;
    fc_settle(c);
    fc_assert_at_rest(c);
    assert_int_equal(fc_where(c, id), 1);
}

/* What one side started and the other stopped meanwhile is merged: the later intent wins. */
static void intents_of_both_sides_are_merged(void **state)
{
    struct fake_cluster *c = *state;
    enum ph_state shown;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    fc_split(c, 4);
    fc_run(c, 5000);
    fc_start(c, 0, "b-[1..9]");
    fc_start(c, 2, "c-[1..9]");
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 2), "a-[1..9]"), 5000), 0);
    fc_heal(c);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "b-[1..9] c-[1..9]");
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(fc_listed(c, node, "a-1", &shown), FC_NOWHERE);
    assert_int_equal(fc_where(c, "a-1"), FC_NOWHERE);
}

/* A pair that does not hear each other cannot be in one view: all agree on who is left out. */
static void pair_that_is_cut_is_not_in_one_view(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    fc_cut(c, 1, 2);
    fc_cut(c, 2, 1);
    fc_run(c, 30000);
    unsigned sizes[4] = {0};
    for (unsigned node = 0; node < 3; node++)
        sizes[fc_members(c, node)->in_view]++;
    assert_int_equal(sizes[2], 2);
    assert_int_equal(sizes[1], 1);
    assert_once(c, "a", 30); /* the one that is left out has stopped its own */
    fc_heal(c);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..30]");
}

/* Who reaches one of the others only sees too little to tell that those are a side without it; it
 * stops what it has all the same, whichever node it is. */
static void node_that_reaches_one_of_a_side_is_left_out(void **state)
{
    (void)state;
    for (unsigned out = 0; out < 4; out++) {
        struct fake_cluster *c = fc_create_settled(4, "");
        fc_start(c, 0, "a-[1..30]");
        fc_settle(c);
        for (unsigned way = 2; way < 4; way++) {
            fc_cut(c, out, (out + way) % 4);
            fc_cut(c, (out + way) % 4, out);
        }
        fc_run(c, 30000);
        assert_int_equal(fc_local(c, out), 0);
        assert_once(c, "a", 30);
        fc_heal(c);
        fc_settle(c);
        fc_assert_listed_everywhere(c, "a-[1..30]");
        fc_destroy(c);
    }
}

/* A link that works in one direction only is no link. */
static void one_way_link_is_no_link(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    fc_cut(c, 2, 0);
    fc_cut(c, 2, 1); /* n3 hears the others, who do not hear it */
    assert_true(fc_settle_some(c, 3, 2, 10000));
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1), 30);
    fc_run(c, 5000);
    assert_int_equal(fc_members(c, 2)->in_view, 1);
    fc_heal(c);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..30]");
}

/* A cut that is shorter than the time to death changes nothing. */
static void short_cut_changes_nothing(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    fc_split(c, 4);
    fc_run(c, 2000);
    fc_heal(c);
    fc_run(c, 5000);
    assert_int_equal(fc_starts(c), 30);
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(fake_count_records(fc_hub(c, node), "node_down"), 0);
    fc_settle(c);
}

/* ---- Majority ------------------------------------------------------------------------------- */

/* A minority has stopped everything before the others take over; no child runs twice, ever. */
static void minority_fences_before_the_others_take_over(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    uint64_t before = fc_starts(c), share = fc_local(c, 2), fenced_ms = 0, over_ms = 0;
    fc_split(c, 4);
    for (unsigned i = 0; i < 8000; i++) {
        fc_run(c, 1);
        if (!fenced_ms && is_fenced(c, 2))
            fenced_ms = c->now_ms;
        if (!over_ms && fc_starts(c) > before)
            over_ms = c->now_ms;
    }
    assert_int_equal(c->doubled, 0);
    assert_in_range(fenced_ms, 1, over_ms - 1);
    assert_int_equal(fc_local(c, 2), 0);
    assert_int_equal(fc_starts(c), before + share);
    assert_once(c, "a", 30);
    assert_false(is_fenced(c, 0));
}

/* Its lease is over before the fence: module children hold still by then. */
static void lease_ends_with_the_quorum(void **state)
{
    struct fake_cluster *c = *state;
    fc_run(c, 3000);
    uint64_t split_ms = c->now_ms;
    assert_in_range(fc_hub(c, 2)->hub.lease_until_ms, split_ms + 1, split_ms + 2500);
    fc_split(c, 4);
    fc_run(c, 2500);
    assert_true(fc_hub(c, 2)->hub.lease_until_ms <= c->now_ms);
    assert_true(fc_hub(c, 0)->hub.lease_until_ms > c->now_ms);
}

/* A fenced node refuses starts, with a reason; and takes its place again after the heal. */
static void fenced_node_refuses_starts_and_returns(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    uint64_t share = fc_local(c, 2);
    fc_split(c, 4);
    fc_run(c, 6000);
    assert_true(is_fenced(c, 2));
    struct ph_op *op = fake_start(fc_hub(c, 2), "x", "");
    assert_int_equal(fc_wait(c, op, 100), PH_EREFUSED);
    assert_non_null(strstr(fc_failure(op), "partitioned"));
    assert_int_equal(fc_where(c, "x"), FC_NOWHERE);
    fc_start(c, 0, "b-[1..9]");
    fc_heal(c);
    fc_settle(c);
    assert_false(is_fenced(c, 2));
    assert_in_range(fc_local(c, 2), share, 39);
    fc_assert_listed_everywhere(c, "a-[1..30] b-[1..9]");
}

/* When no side has a quorum nothing runs; when it is back everything runs again, once. */
static void nothing_runs_where_nobody_has_a_quorum(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    fc_split(c, 4);
    fc_split(c, 2);
    fc_run(c, 8000);
    for (unsigned node = 0; node < 3; node++) {
        assert_true(is_fenced(c, node));
        assert_int_equal(fc_local(c, node), 0);
    }
    fc_heal(c);
    fc_settle(c);
    assert_once(c, "a", 30);
    fc_assert_listed_everywhere(c, "a-[1..30]");
}

/* A lone node of a majority hub runs nothing before the others have come: quorum first. */
static void nothing_runs_before_the_first_quorum(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create(3, "partition=majority majority.initial_size=3");
    struct ph_op *op = fake_start(fc_hub(c, 0), "a-[1..9]", "");
    assert_int_equal(fc_wait(c, op, 10), PH_EREFUSED);
    fc_run(c, 5000);
    assert_int_equal(fc_starts(c), 0);
    assert_true(is_fenced(c, 0));
    fc_link(c, 0, 1);
    assert_true(fc_settle_some(c, 3, 2, 10000));
    assert_false(is_fenced(c, 0));
    fc_start(c, 1, "a-[1..9]");
    fc_link(c, 0, 2);
    fc_link(c, 1, 2);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..9]");
    fc_destroy(c);
}

/* The partition's own lock does not keep members out: how else would there be a quorum again? */
static void partitions_lock_admits_members(void **state)
{
    struct fake_cluster *c = *state;
    fc_kill(c, 1, false);
    fc_kill(c, 2, false);
    fc_run(c, 8000);
    assert_true(is_fenced(c, 0));
    assert_int_equal(fc_hub(c, 0)->hub.gate.level, PH_PRIORITY_LOCKED);
    fc_begin(c, 1, "partition=majority majority.initial_size=3");
    fc_link_all(c);
    fc_settle(c);
    assert_false(is_fenced(c, 0));
    assert_int_equal(fc_hub(c, 0)->hub.gate.level, 0);
}

/* A hub that grows raises what is needed; `quorum` counts anew from those that are there. */
static void quorum_counts_from_the_largest_size(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_op *op;
    fc_begin(c, 3, "partition=majority majority.initial_size=3");
    fc_link_all(c);
    fc_settle(c);
    for (unsigned node = 0; node < 4; node++)
        assert_int_equal(fc_members(c, node)->quorum_needed, 3);
    fc_kill(c, 3, false);
    fc_kill(c, 2, false);
    fc_run(c, 8000);
    assert_true(is_fenced(c, 0) && is_fenced(c, 1));
    fake_submit(fc_hub(c, 0), fake_event(fc_hub(c, 0), PH_EVENT_QUORUM, &op));
    assert_int_equal(fc_wait(c, op, 100), 0);
    fc_settle(c);
    assert_false(is_fenced(c, 0) || is_fenced(c, 1));
    assert_int_equal(fc_members(c, 1)->quorum_needed, 2);
}

/* ---- Uneven links ---------------------------------------------------------------------------- */

/* A joiner whose links differ in speed still gets its share in one go: no child is stopped for a
 * move that its target refuses. */
static void join_over_uneven_links_moves_each_child_once(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    c->pipes[1][3].late_ms = 70;
    c->pipes[3][1].late_ms = 70;
    c->pipes[2][3].late_ms = 15;
    fc_begin(c, 3, "");
    fc_link_all(c);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..60]");
    assert_int_equal(fc_starts(c), 60 + fc_local(c, 3));
}

/* Who had sent a child away when its quorum ended, and is told after it that the state never came,
 * does not start it beside the one that the others have begun, however much older that seems. */
static void lost_state_is_not_brought_back_beside_another(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* one of the two is not the one that takes over */
        struct fake_cluster *c = fc_create_settled(3, "partition=majority majority.initial_size=3");
        char id[16];
        fc_start_one(c, id);
        fc_split(c, 1 << 0);
        for (unsigned restart = 0; restart < 5; restart++) { /* the others do not hear of these */
            fake_restart(fc_hub(c, 0), id);
            fc_run(c, 20);
        }
        c->drop[PH_FRAME_MOVES] = 1;
        fc_pin(c, 0, id, i ? "n2" : "n3");
        fc_run(c, 6000);
        assert_int_equal(c->drop[PH_FRAME_MOVES], 0);
        assert_int_not_equal(fc_where(c, id), FC_NOWHERE);
        uint64_t starts = c->nodes[0]->starts;
        fc_heal(c);
        fc_settle(c);
        assert_int_equal(c->nodes[0]->starts, starts);
        assert_int_equal(c->doubled, 0);
        fc_destroy(c);
    }
}

static void say_that_its_name_is_taken(struct fake_cluster *c, unsigned node)
{
    fc_post_event(&fc_hub(c, node)->hub, ph_event_create(PH_EVENT_NAME_TAKEN));
    fc_run(c, 100);
}

/* A node that is alone and whose name another one keeps (its own next life, while it was paused) is
 * no side of the hub: nothing runs there for as long as that is said. One that is with others goes
 * on, whoever else wants its name. */
static void node_whose_name_is_taken_runs_nothing(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    uint64_t share = fc_local(c, 2);
    say_that_its_name_is_taken(c, 2);
    assert_int_equal(fc_local(c, 2), share);
    fc_split(c, 1 << 2);
    fc_run(c, PH_NAME_TAKEN_MS);
    assert_int_equal(fc_local(c, 2), 30);
    for (unsigned i = 0; i < 10; i++) {
        say_that_its_name_is_taken(c, 2);
        assert_int_equal(fc_local(c, 2), 0);
        assert_int_equal(fc_wait(c, fake_start(fc_hub(c, 2), "b", ""), 1000), PH_EREFUSED);
        fc_run(c, 5000);
    }
    fc_run(c, PH_NAME_TAKEN_MS);
    assert_int_equal(fc_local(c, 2), 30);
    say_that_its_name_is_taken(c, 2);
    fc_heal(c);
    fc_settle(c);
    fc_kill(c, 0, false); /* it has been taken in since: nobody says so any more */
    fc_kill(c, 1, false);
    fc_run(c, 1000);
    assert_int_equal(fc_local(c, 2), 30);
}

/* A node that was never among others does what it did, whatever they say: nobody else runs what it
 * runs. */
static void stranger_whose_name_is_taken_goes_on(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create(2, "");
    fc_start(c, 1, "own-[1..5]");
    say_that_its_name_is_taken(c, 1);
    fc_run(c, 1000);
    assert_int_equal(fc_local(c, 1), 5);
    fc_destroy(c);
}

#define PARTITION_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define MAJORITY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_majority, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTITION_TEST(each_side_runs_everything),
        PARTITION_TEST(node_whose_name_is_taken_runs_nothing),
        cmocka_unit_test(stranger_whose_name_is_taken_goes_on),
        PARTITION_TEST(duplicates_collapse_after_a_heal),
        PARTITION_TEST(duplicate_that_is_to_move_gives_way),
        PARTITION_TEST(intents_of_both_sides_are_merged),
        PARTITION_TEST(pair_that_is_cut_is_not_in_one_view),
        cmocka_unit_test(node_that_reaches_one_of_a_side_is_left_out),
        PARTITION_TEST(one_way_link_is_no_link),
        PARTITION_TEST(short_cut_changes_nothing),
        MAJORITY_TEST(minority_fences_before_the_others_take_over),
        MAJORITY_TEST(lease_ends_with_the_quorum),
        cmocka_unit_test(lost_state_is_not_brought_back_beside_another),
        MAJORITY_TEST(fenced_node_refuses_starts_and_returns),
        MAJORITY_TEST(nothing_runs_where_nobody_has_a_quorum),
        cmocka_unit_test(nothing_runs_before_the_first_quorum),
        MAJORITY_TEST(partitions_lock_admits_members),
        MAJORITY_TEST(quorum_counts_from_the_largest_size),
        PARTITION_TEST(join_over_uneven_links_moves_each_child_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
