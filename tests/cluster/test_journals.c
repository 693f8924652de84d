/*
 * Nodes with a journal: what is wanted outlives the death of one node, or of all of them.
 */
#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/op.h"

enum { AWAIT_MS = 6000 /* twice dead-after */ };

static void begin(struct fake_cluster *c, unsigned nodes)
{
    for (unsigned node = 0; node < nodes; node++)
        if (!c->nodes[node])
            fc_begin(c, node, c->options);
}

static struct fake_cluster *create(unsigned nodes, const char *options)
{
    struct fake_cluster *c = fc_create(0, options);
    c->keeps = true;
    begin(c, nodes);
    fc_link_all(c);
    fc_settle(c);
    return c;
}

static int set_up_one(void **state)
{
    *state = create(1, "");
    return 0;
}

static int set_up_two(void **state)
{
    *state = create(2, "");
    return 0;
}

static int set_up_three(void **state)
{
    *state = create(3, "");
    return 0;
}

static int set_up_majority(void **state)
{
    *state = create(3, "partition=majority");
    return 0;
}

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

static void kill_all(struct fake_cluster *c)
{
    for (unsigned node = 0; node < FC_NODES; node++)
        if (c->nodes[node])
            fc_kill(c, node, true);
}

static unsigned count_running(const struct fake_cluster *c, const char *prefix, unsigned count)
{
    unsigned running = 0;
    for (unsigned i = 1; i <= count; i++) {
        char id[16];
        snprintf(id, sizeof id, "%s-%u", prefix, i);
        running += fc_where(c, id) >= 0;
    }
    return running;
}

static uint64_t records(const struct fake_cluster *c, unsigned node)
{
    return c->disks[node].kept.count - c->disks[node].emptied;
}

/* ---- One node ------------------------------------------------------------------------------ */

/* What was started and not stopped runs again, at once; pins and tombstones are kept, too. */
static void node_that_died_goes_on_with_what_it_wanted(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..50]");
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-7"), 1000), 0);
    fc_kill(c, 0, true);
    begin(c, 1);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 50), 49);
    assert_int_equal(fc_where(c, "a-7"), FC_NOWHERE);
    assert_int_equal(fake_count_records(fc_hub(c, 0), "journal_read"), 1);
}

/* Until its journal has been read, a hub is not settled. */
static void hub_is_not_settled_before_it_has_read(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_status status;
    fc_start(c, 0, "a");
    fc_kill(c, 0, true);
    begin(c, 1);
    ph_hub_picture(&fc_hub(c, 0)->hub, &status);
    assert_false(status.settled);
}

/* Alone, a request is answered when the disk has it; what was not answered may be lost. */
static void request_is_answered_when_the_disk_has_it(void **state)
{
    struct fake_cluster *c = *state;
    c->stalled = 1;
    struct ph_op *lost = fake_start(fc_hub(c, 0), "a", "");
    fc_run(c, 1000);
    assert_int_equal(fake_code(lost), 1);
    assert_int_equal(fc_where(c, "a"), 0); /* it does not wait with that */
    fc_kill(c, 0, true);
    begin(c, 1);
    c->stalled = 0;
    fc_settle(c);
    assert_int_equal(fc_where(c, "a"), FC_NOWHERE);
    c->stalled = 1;
    struct ph_op *kept = fake_start(fc_hub(c, 0), "a", "");
    fc_run(c, 1000);
    assert_int_equal(fake_code(kept), 1);
    c->stalled = 0;
    fc_run(c, 1);
    assert_int_equal(fake_code(kept), 0);
}

/* Epochs and versions rise over a death, whatever the clock of the day says. */
static void clock_goes_on_where_it_was(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a");
    uint64_t before = fc_hub(c, 0)->hub.last_epoch;
    fc_kill(c, 0, true);
    begin(c, 1);
    fc_settle(c);
    struct ph_child *child = fake_child(fc_hub(c, 0), "a");
    assert_true(atomic_load(&child->epoch) > before);
}

/* A journal that has grown is renewed, and still says the same. */
static void journal_is_renewed_when_it_has_grown(void **state)
{
    struct fake_cluster *c = *state;
    uint64_t most = 0;
    fc_start(c, 0, "a-[1..500]");
    for (unsigned round = 0; round < 60; round++) {
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-[1..400]"), 1000), 0);
        fc_start(c, 0, "a-[1..400]");
        most = c->disks[0].bytes > most ? c->disks[0].bytes : most;
    }
    assert_in_range(most, 1000000, 1200000);
    fc_kill(c, 0, true);
    begin(c, 1);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 500), 500);
}

/* A node dies while its journal is renewed: the old one is still whole. */
static void death_in_a_renewal_loses_nothing(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..3000]");
    c->disks[0].fails = true;
    fc_wait(c, fake_start(fc_hub(c, 0), "b", ""), 1000);
    c->disks[0].fails = false;
    c->stalled = 1;
    fc_run(c, 2000);
    assert_true(fc_hub(c, 0)->hub.cluster->journal.renewing);
    fc_kill(c, 0, true);
    c->stalled = 0;
    begin(c, 1);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 3000), 3000);
}

/* ---- A disk that fails --------------------------------------------------------------------- */

/* Nothing is refused; who asked is told that it is not kept, and it is when the disk works again.
 */
static void request_on_a_full_disk_is_done_and_says_so(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a");
    c->disks[0].fails = true;
    struct ph_op *start = fake_start(fc_hub(c, 0), "b", "");
    struct ph_op *stop = fake_stop(fc_hub(c, 0), "a");
    fc_run(c, 1000);
    assert_int_equal(fake_code(start), PH_EFAILED);
    assert_int_equal(fake_code(stop), PH_EFAILED);
    assert_int_equal(fc_where(c, "b"), 0);
    assert_int_equal(fc_where(c, "a"), FC_NOWHERE);
    fc_run(c, 10000);
    assert_int_equal(fake_count_records(fc_hub(c, 0), "journal_failed"), 1);
    c->disks[0].fails = false;
    fc_run(c, 1100);
    assert_int_equal(fake_count_records(fc_hub(c, 0), "journal_kept"), 1);
    fc_start(c, 0, "c");
    fc_kill(c, 0, true);
    begin(c, 1);
    fc_settle(c);
    assert_int_equal(fc_where(c, "a"), FC_NOWHERE);
    assert_int_equal(fc_where(c, "b"), 0);
    assert_int_equal(fc_where(c, "c"), 0);
}

/* While the disk is written anew what it lacks is not there yet: who asks is told so. */
static void renewal_under_way_keeps_nothing_yet(void **state)
{
    struct fake_cluster *c = *state;
    c->disks[0].fails = true;
    fc_wait(c, fake_start(fc_hub(c, 0), "a", ""), 1000);
    c->disks[0].fails = false;
    const struct ph_journal *journal = &fc_hub(c, 0)->hub.cluster->journal;
    while (!journal->renewing && c->now_ms < FC_MS + 5000) {
        c->stalled = 1;
        fc_run(c, 10);
    }
    assert_true(journal->kept < journal->noted);
    struct ph_event *answer = ph_event_create(PH_EVENT_JOURNAL); /* of its beginning */
    answer->journal.done =
        (struct ph_journal_mark){.call = journal->voided + 1, .changes = journal->written};
    fake_submit(fc_hub(c, 0), answer);
    assert_true(journal->kept < journal->noted);
    c->stalled = 0;
    fc_run(c, 2000);
    fc_start(c, 0, "b");
    assert_int_equal(journal->kept, journal->noted);
}

/* What another node holds is acknowledged, disk or not. */
static void another_node_is_as_good_as_a_disk(void **state)
{
    struct fake_cluster *c = *state;
    c->disks[0].fails = c->disks[1].fails = true;
    assert_int_equal(fc_wait(c, fake_start(fc_hub(c, 0), "a", ""), 5000), 0);
}

/* The others keep the tombstones of a node whose disk may still want the children. */
static void stop_that_a_full_disk_has_not_seen_stays_a_stop(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    c->disks[1].fails = true;
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-[1..10]"), 5000), 0);
    fc_run(c, 200000);
    fc_kill(c, 1, false);
    c->disks[1].fails = false;
    begin(c, 2);
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 10), 0);
    assert_int_equal(count_running(c, "a", 20), 10);
}

/* ---- Several nodes ------------------------------------------------------------------------- */

/* All die at once; they begin one after the other, find each other, and run everything once. */
static void cluster_that_died_goes_on_as_one(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    kill_all(c);
    fc_run(c, 100000);
    fc_begin(c, 0, "");
    fc_run(c, 2000);
    fc_begin(c, 1, "");
    fc_link_all(c);
    fc_run(c, 1000);
    assert_int_equal(fc_starts(c), 0); /* n3 may run them */
    fc_begin(c, 2, "");
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 60), 60);
    assert_int_equal(fc_starts(c), 60); /* where they belong, at once */
    assert_int_equal(c->doubled, 0);
    fc_assert_listed_everywhere(c, "a-[1..60]");
}

/* One that comes back does not run what the others have taken over, also before it is linked. */
static void node_that_comes_back_starts_nothing_that_runs(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    fc_kill(c, 0, false);
    fc_settle(c);
    fc_begin(c, 0, "");
    fc_run(c, 2000);
    assert_int_equal(fc_local(c, 0), 0);
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(c->doubled, 0);
    assert_int_equal(count_running(c, "a", 60), 60);
    for (unsigned i = 1; i <= 60; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%u", i);
        assert_null(strstr(fc_state(c, id), "born n1 n1")); /* moved here with its state */
    }
}

/* It waits for those that it knew; what is asked of it meanwhile it does; then it goes on alone. */
static void node_that_finds_nobody_goes_on_alone(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    kill_all(c);
    fc_begin(c, 0, "");
    fc_run(c, AWAIT_MS - 10);
    assert_int_equal(fc_starts(c), 0);
    fc_start(c, 0, "b");
    assert_int_equal(fc_starts(c), 1);
    fc_run(c, 20);
    assert_int_equal(count_running(c, "a", 20), 20);
}

/* A stop that the others acknowledged is not undone by one that was away, however long; also when
 * those who know of the stop have died and come back meanwhile. */
static void stop_outlives_the_absence_of_a_node(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    fc_kill(c, 2, false);
    fc_settle(c);
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-[1..10]"), 5000), 0);
    fc_settle(c);
    kill_all(c);
    begin(c, 2);
    fc_link(c, 0, 1);
    fc_run(c, 300000);
    fc_begin(c, 2, "");
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 10), 0);
    assert_int_equal(count_running(c, "a", 20), 10);
}

/* A node that was taken away for good holds up no tombstones, once that was said. */
static void tombstones_go_when_a_node_is_given_up(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    fc_kill(c, 2, false);
    fc_settle(c);
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-[1..10]"), 5000), 0);
    fc_run(c, 300000);
    assert_int_equal(ph_directory_entries(c->nodes[0]->directory), 20);
    for (unsigned node = 0; node < 2; node++)
        fake_submit(fc_hub(c, node), fake_event(fc_hub(c, node), PH_EVENT_QUORUM, NULL));
    fc_run(c, 200000);
    assert_int_equal(ph_directory_entries(c->nodes[0]->directory), 10);
    assert_int_equal(ph_directory_entries(c->nodes[1]->directory), 10);
}

/* A majority is counted from the size that the cluster had: one node of three runs nothing. */
static void quorum_is_counted_from_what_was(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    kill_all(c);
    fc_begin(c, 0, c->options);
    fc_run(c, 60000);
    assert_true(fc_members(c, 0)->partitioned);
    assert_int_equal(fc_starts(c), 0);
    fc_begin(c, 1, c->options);
    fc_link_all(c);
    assert_true(fc_settle_some(c, 3, 2, 20000));
    assert_int_equal(count_running(c, "a", 20), 20);
    assert_int_equal(c->doubled, 0);
}

/* ---- Going --------------------------------------------------------------------------------- */

/* A node that hands everything over takes nothing back: what it wanted is the others' now. */
static void node_that_handed_over_begins_with_nothing(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    assert_int_equal(fc_wait(c, fake_shutdown(fc_hub(c, 1)), 10000), 0);
    assert_int_equal(records(c, 1), 0);
    fc_run(c, 100);
    fc_kill(c, 1, false);
    fc_settle(c);
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-[1..10]"), 5000), 0);
    fc_run(c, 200000); /* nobody needs the tombstones any more */
    assert_int_equal(ph_directory_entries(c->nodes[0]->directory), 10);
    begin(c, 2);
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 20), 10);
    assert_true(records(c, 1) > 0);
}

/* The last one has nobody to hand over to, and keeps everything. */
static void last_node_keeps_everything(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    assert_int_equal(fc_wait(c, fake_shutdown(fc_hub(c, 1)), 10000), 0);
    fc_kill(c, 1, false);
    fc_settle(c);
    assert_int_equal(fc_wait(c, fake_shutdown(fc_hub(c, 0)), 10000), 0);
    fc_kill(c, 0, false);
    begin(c, 2);
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 20), 20);
    assert_int_equal(c->doubled, 0);
}

/* All are told to end at the same time: nobody can take over, so all keep it. */
static void nodes_that_end_together_keep_everything(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    struct ph_op *ops[3];
    for (unsigned node = 0; node < 3; node++)
        ops[node] = fake_shutdown(fc_hub(c, node));
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(fc_wait(c, ops[node], 10000), 0);
    kill_all(c);
    begin(c, 3);
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 60), 60);
    assert_int_equal(c->doubled, 0);
}

/* One that kept its journal may still want what is stopped later: its tombstones stay. */
static void goodbye_of_one_that_keeps_is_no_farewell(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    c->disks[1].fails = true;
    assert_int_equal(fc_wait(c, fake_start(fc_hub(c, 0), "b", ""), 5000), 0);
    assert_int_equal(fc_wait(c, fake_shutdown(fc_hub(c, 1)), 10000), 0);
    fc_run(c, 100);
    fc_kill(c, 1, false);
    fc_settle(c);
    c->disks[1].fails = false;
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-[1..10]"), 5000), 0);
    fc_run(c, 200000);
    begin(c, 2);
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 10), 0);
}

/* `leave` empties the journal; what is wanted afterwards, alone or back with the others, is kept.
 */
static void journal_of_one_that_left_begins_anew(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_settle(c);
    assert_int_equal(fc_wait(c, fc_leave(c, 1), 10000), 0);
    fc_run(c, 1000);
    fc_start(c, 1, "own");
    fc_kill(c, 1, true);
    begin(c, 2);
    assert_true(fc_settle_some(c, 2, 1, 10000));
    assert_int_equal(fc_local(c, 1), 1);
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(count_running(c, "a", 20), 20);
    assert_true(fc_where(c, "own") >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name, nodes) cmocka_unit_test_setup_teardown(name, set_up_##nodes, tear_down)
        TEST(node_that_died_goes_on_with_what_it_wanted, one),
        TEST(hub_is_not_settled_before_it_has_read, one),
        TEST(request_is_answered_when_the_disk_has_it, one),
        TEST(clock_goes_on_where_it_was, one),
        TEST(journal_is_renewed_when_it_has_grown, one),
        TEST(death_in_a_renewal_loses_nothing, one),
        TEST(request_on_a_full_disk_is_done_and_says_so, one),
        TEST(renewal_under_way_keeps_nothing_yet, one),
        TEST(another_node_is_as_good_as_a_disk, two),
        TEST(stop_that_a_full_disk_has_not_seen_stays_a_stop, two),
        TEST(cluster_that_died_goes_on_as_one, three),
        TEST(node_that_comes_back_starts_nothing_that_runs, three),
        TEST(node_that_finds_nobody_goes_on_alone, two),
        TEST(stop_outlives_the_absence_of_a_node, three),
        TEST(tombstones_go_when_a_node_is_given_up, three),
        TEST(quorum_is_counted_from_what_was, majority),
        TEST(node_that_handed_over_begins_with_nothing, two),
        TEST(last_node_keeps_everything, two),
        TEST(nodes_that_end_together_keep_everything, three),
        TEST(goodbye_of_one_that_keeps_is_no_farewell, two),
        TEST(journal_of_one_that_left_begins_anew, two),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
