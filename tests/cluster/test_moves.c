#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cluster_move.h"
#include "engine/error.h"
#include "engine/op.h"

static int set_up(void **state)
{
    *state = fc_create_settled(3, "");
    return 0;
}

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

/* The first child of "c-0", "c-1", … that belongs to that node. */
static const char *child_of(const struct fake_cluster *c, unsigned node, char id[16])
{
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, 16, "c-%u", i);
        if (fc_owner(c, node, id) == (int)node)
            return id;
    }
    fail_msg("no id belongs to n%u", node + 1);
    return NULL;
}

static uint64_t figure(struct fake_cluster *c, uint64_t (*of)(const struct ph_cluster *))
{
    uint64_t sum = 0;
    for (unsigned node = 0; node < FC_NODES; node++)
        if (c->nodes[node])
            sum += of(fc_hub(c, node)->hub.cluster);
    return sum;
}

static uint64_t aborts(const struct ph_cluster *cluster)
{
    return cluster->move_aborts;
}

static uint64_t under_way(const struct ph_cluster *cluster)
{
    return cluster->moves_in + cluster->moves_out;
}

static uint64_t dropped(const struct ph_cluster *cluster)
{
    return cluster->mail.dropped;
}

/* ---- Pins ---------------------------------------------------------------------------------- */

/* A pin moves a child, with its state, and keeps it there; without the pin it returns. */
static void pinned_child_moves_and_returns_when_it_is_unpinned(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    struct ph_op *op = fc_pin(c, 1, id, "n3");
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(ph_op_result(op)->changed, 1);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    fc_assert_listed_everywhere(c, id);
    op = fc_pin(c, 0, id, "n3");
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(ph_op_result(op)->same, 1);
    op = fc_pin(c, 2, id, "");
    assert_int_equal(fc_wait(c, op, 5000), 0);
    fc_settle(c);
    assert_string_equal(fc_state(c, id), "born n1 n3 n1");
    assert_int_equal(figure(c, aborts), 0);
    assert_int_equal(figure(c, under_way), 0);
}

/* A pin holds over a restart of everything else: other nodes come and go, it stays. */
static void pinned_child_stays_while_others_come_and_go(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_wait(c, fc_pin(c, 0, id, "n2"), 5000);
    fc_settle(c);
    fc_begin(c, 3, "");
    fc_link_all(c);
    fc_settle(c);
    fc_kill(c, 2, false);
    fc_settle(c);
    assert_string_equal(fc_state(c, id), "born n1 n2");
    fc_kill(c, 1, false); /* its pin's node is gone: it runs where it belongs, anew */
    fc_settle(c);
    assert_int_equal(fc_where(c, id), fc_owner(c, 0, id));
    fc_begin(c, 1, "");
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 1); /* … until it comes back */
}

/* ---- Drains -------------------------------------------------------------------------------- */

/* A drain empties a node, whoever asks; its end is told when the node is empty. */
static void drain_empties_a_node(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t share = fc_local(c, 1), before = fc_starts(c);
    struct ph_op *op = fc_drain(c, 0, "n2", true);
    assert_int_equal(fc_wait(c, op, 10000), 0);
    assert_int_equal(ph_op_result(op)->changed, share);
    assert_int_equal(fc_local(c, 1), 0);
    fc_settle(c);
    assert_int_equal(fc_starts(c), before + share);
    assert_int_equal(figure(c, aborts), 0);
    fc_start(c, 1, "b-[1..20]"); /* none come any more */
    assert_int_equal(fc_local(c, 1), 0);
    op = fc_drain(c, 2, "n2", false);
    assert_int_equal(fc_wait(c, op, 1000), 0);
    fc_settle(c);
    assert_in_range(fc_local(c, 1), 10, 45);
    fc_assert_listed_everywhere(c, "a-[1..60] b-[1..20]");
}

/* What a drain has changed are the children that have left; those that wait have not. */
static void drain_counts_what_has_left(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t share = fc_local(c, 1);
    c->pipes[1][0].full = c->pipes[1][2].full = true;
    struct ph_op *op = fc_drain(c, 0, "n2", true);
    assert_int_equal(fc_wait(c, op, 1000), 1);
    assert_int_equal(ph_op_result(op)->changed, 0);
    c->pipes[1][0].full = c->pipes[1][2].full = false;
    assert_int_equal(fc_wait(c, op, 10000), 0);
    assert_int_equal(ph_op_result(op)->changed, share);
}

/* A node that is not there has nothing to give away: no mark is left for when it comes back. One
 * that dies meanwhile has not been drained. */
static void dead_node_is_not_drained(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    c->pipes[1][0].full = c->pipes[1][2].full = true;
    struct ph_op *op = fc_drain(c, 0, "n2", true);
    fc_run(c, 100);
    fc_kill(c, 1, false);
    assert_int_equal(fc_wait(c, op, 5000), PH_ECONNECTION);
    fc_kill(c, 2, false);
    fc_settle(c);
    assert_int_equal(fc_wait(c, fc_drain(c, 0, "n3", true), 1000), PH_EREFUSED);
    fc_begin(c, 2, "");
    fc_link_all(c);
    fc_settle(c);
    assert_in_range(fc_local(c, 2), 1, 30);
}

static uint64_t pin_of(struct fake_cluster *c, const char *id)
{
    ph_rcu_enter();
    struct ph_entry *entry = ph_directory_find_rcu(c->nodes[0]->directory, id, strlen(id));
    uint64_t pin = entry ? atomic_load(&entry->pin) : 0;
    ph_rcu_exit();
    return pin;
}

/* A move to where nothing can go is refused, and leaves no pin for later. */
static void refused_migrate_leaves_no_pin(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    assert_int_equal(fc_wait(c, fc_drain(c, 0, "n2", true), 5000), 0);
    struct ph_op *op = fc_pin(c, 0, id, "n2");
    assert_int_equal(fc_wait(c, op, 1000), PH_EREFUSED);
    assert_string_equal(fc_failure(op), "that node is drained");
    fc_kill(c, 2, false);
    op = fc_pin(c, 0, id, "n3");
    fc_settle(c);
    assert_int_equal(fc_wait(c, op, 1000), PH_EREFUSED);
    op = fc_pin(c, 0, id, "n3");
    assert_int_equal(fc_wait(c, op, 1000), PH_EREFUSED);
    assert_int_equal(pin_of(c, id), 0);
}

/* Who waits for a move that is called off, or goes elsewhere, is told at once. */
static void migrate_ends_when_it_is_called_off(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    c->pipes[0][2].full = true;
    struct ph_op *op = fc_pin(c, 1, id, "n3");
    fc_run(c, 100);
    fc_pin(c, 0, id, "n1");
    assert_int_equal(fc_wait(c, op, 1000), PH_ESUPERSEDED);
}

/* The source, asked by another node, hears of that before the target does: it tells it. */
static void target_is_told_by_the_source(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_start(c, 0, "d-[1..30]");
    fc_settle(c);
    c->pipes[1][2].late_ms = 400;
    (void)fc_pin(c, 1, id, "n3");
    fc_run(c, 100);
    assert_int_equal(fc_where(c, id), 2);
    fc_settle(c);
    c->pipes[1][2].late_ms = 0;
    c->pipes[1][0].late_ms = 400;
    (void)fc_drain(c, 1, "n3", true);
    fc_run(c, 200);
    assert_int_equal(fc_local(c, 2), 0);
    assert_int_equal(figure(c, aborts), 0);
}

/* The last node cannot be drained; nor one that nobody knows. */
static void last_node_cannot_be_drained(void **state)
{
    struct fake_cluster *c = *state;
    assert_int_equal(fc_wait(c, fc_drain(c, 0, "n9", true), 1000), PH_ENOTFOUND);
    assert_int_equal(fc_wait(c, fc_drain(c, 0, "n2", true), 1000), 0);
    assert_int_equal(fc_wait(c, fc_drain(c, 0, "n3", true), 1000), 0);
    assert_int_equal(fc_wait(c, fc_drain(c, 0, "n1", true), 1000), PH_EREFUSED);
}

/* ---- Moves that do not succeed --------------------------------------------------------------- */

/* What the target cannot start goes on at the source, with its state. */
static void refused_child_goes_on_at_the_source(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    c->nodes[2]->fails = id;
    struct ph_op *op = fc_pin(c, 0, id, "n3");
    fc_run(c, 1000);
    assert_int_equal(fake_code(op), 1);
    assert_int_equal(fc_where(c, id), 0);
    assert_string_equal(fc_state(c, id), "born n1 n1");
    assert_non_null(strstr(fake_last(fc_hub(c, 0), "move_aborted", id)->text, "no such program"));
    c->nodes[2]->fails = NULL;
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_string_equal(fc_state(c, id), "born n1 n1 n3");
    fc_settle(c);
    assert_int_equal(figure(c, under_way), 0);
}

/* A state that comes late, of an instance that others have come after, is refused by its epoch, and
 * counted. */
static void late_state_of_an_old_epoch_is_refused(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    c->drop[PH_FRAME_MOVES] = 1; /* its state */
    fc_pin(c, 0, id, "n2");
    fc_settle(c);
    assert_int_equal(c->drop[PH_FRAME_MOVES], 0);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 30000), 0);
    fc_settle(c);
    struct ph_text late = PH_TEXT_INIT;
    ph_text_append(&late, c->lost.data, c->lost.length);
    uint64_t starts = fc_starts(c);
    fc_inject(c, 0, 1, &late);
    fc_run(c, 100);
    assert_int_equal(fc_hub(c, 1)->hub.cluster->refused_epoch, 1);
    fc_settle(c);
    assert_int_equal(fc_starts(c), starts);
    assert_int_equal(fc_where(c, id), 2);
    assert_int_equal(c->doubled, 0);
}

/* A target may start the child anew after it has refused it, as whoever owns it then. That instance
 * counts: the source does not start another one, and the state that it has saved is kept. */
static void instance_that_began_after_a_refusal_stays(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_cluster *cluster = fc_hub(c, 0)->hub.cluster;
    struct ph_placed placed;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    c->drop[PH_FRAME_MOVED] = 1;
    fc_pin(c, 0, id, "n3");
    fc_run(c, 100);
    struct ph_transfer *move = cluster->moves_first;
    ph_placement_read_rcu(ph_cluster_live_placement(cluster, move->entry, 0), &placed);
    move->refused = true; /* as if that had been its answer, before it began */
    move->refused_clock = placed.epoch - 1;
    cds_list_add_tail(&move->queued, &cluster->refused);
    fc_run(c, 10);
    assert_int_equal(cluster->moves_out, 0);
    assert_int_equal(fc_where(c, id), 2);
    assert_int_equal(cluster->merges.conflicts.count, 1);
    fc_settle(c);
}

/* A child that neither node can start waits with its state … */
static struct ph_op *begin_nowhere(struct fake_cluster *c, const char *id)
{
    fc_start(c, 0, id);
    fc_settle(c);
    c->nodes[0]->fails = c->nodes[2]->fails = id;
    struct ph_op *op = fc_pin(c, 0, id, "n3");
    fc_run(c, 100);
    assert_int_equal(fc_where(c, id), FC_NOWHERE);
    return op;
}

/* … for an instance that can begin, where it was … */
static void state_waits_for_the_next_instance(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    struct ph_op *op = begin_nowhere(c, child_of(c, 0, id));
    c->nodes[0]->fails = NULL;
    fc_run(c, 1000);
    assert_int_equal(fc_where(c, id), 0);
    assert_string_equal(fc_state(c, id), "born n1 n1");
    c->nodes[2]->fails = NULL;
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_string_equal(fc_state(c, id), "born n1 n1 n3");
}

/* … or where it moves to meanwhile. */
static void waiting_child_moves_with_its_state(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    struct ph_op *op = begin_nowhere(c, child_of(c, 0, id));
    c->nodes[2]->fails = NULL;
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(fc_where(c, id), 2);
    assert_string_equal(fc_state(c, id), "born n1 n3");
}

/* The target dies before it has answered: the source starts the child again, with its state. */
static void child_returns_when_the_target_dies(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    c->nodes[2]->slow = true;
    fc_pin(c, 0, id, "n3");
    fc_run(c, 100);
    assert_int_equal(fc_where(c, id), 2); /* it starts there, but is not up */
    fc_kill(c, 2, false);
    fc_settle(c);
    assert_string_equal(fc_state(c, id), "born n1 n1");
    fc_assert_listed_everywhere(c, id);
    assert_int_equal(figure(c, under_way), 0);
}

/* The source dies after it has sent the child: the target goes on with it. */
static void child_goes_on_when_the_source_dies(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    fc_pin(c, 1, id, "n3");
    while (fc_where(c, id) != 2)
        fc_run(c, 1);
    fc_kill(c, 0, false);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    fc_assert_listed_everywhere(c, id);
}

/* A move that takes too long is called off: the target gives the child up, the source goes on. */
static void late_move_is_called_off(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(3, "migrate.timeout=2s");
    char id[16];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    c->nodes[2]->slow = true;
    fc_pin(c, 0, id, "n3");
    fc_run(c, 1900);
    assert_int_equal(fc_where(c, id), 2);
    fc_run(c, 200);
    assert_int_equal(fc_where(c, id), 0);
    c->nodes[2]->slow = false;
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_int_equal(figure(c, under_way), 0);
    fc_destroy(c);
}

/* What was asked of a target is asked again in its next session, whose link may be the one before:
 * so it is when its hub leaves the cluster and joins it again. */
static void target_is_asked_again_in_each_session(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(3, "migrate.timeout=60s");
    struct ph_hub *hub = &fc_hub(c, 0)->hub;
    char id[16];
    fc_start_one(c, id);
    c->drop[PH_FRAME_MOVES] = 1;
    fc_pin(c, 0, id, "n3");
    while (!hub->cluster->moves_first || hub->cluster->moves_first->phase != PH_MOVE_SENT)
        fc_run(c, 1);
    fake_lock(fc_hub(c, 0), "view", PH_PRIORITY_LOCKED, 5000); /* what it sees of that, waits */
    assert_int_equal(fc_wait(c, fc_leave(c, 2), 1000), 0);
    fc_join(c, 2);
    fc_run(c, 200);
    fake_unlock(fc_hub(c, 0), "view");
    fc_run(c, 5000);
    assert_int_equal(hub->cluster->moves_out, 0);
    assert_int_equal(fc_where(c, id), 2);
    fc_settle(c);
    fc_destroy(c);
}

/* Moves are called off at once, also while a node is waited for that has not agreed to the view. */
static void cancel_waits_for_no_view(void **state)
{
    (void)state;
    struct fake_cluster *c =
        fc_create_settled(4, "migration=hot partition=majority hot.child_timeout=60s");
    struct ph_hub *hub = &fc_hub(c, 0)->hub;
    fc_start(c, 0, "a-[1..100]");
    fc_settle(c);
    c->nodes[1]->slow = true;
    fc_drain(c, 0, "n1", true);
    fc_run(c, 100);
    fake_lock(fc_hub(c, 2), "view", PH_PRIORITY_LOCKED, 60000);
    fc_kill(c, 3, true);
    fc_run(c, 5000);
    assert_false(hub->cluster->released);
    assert_in_range(hub->cluster->moves_out, 1, 100);
    fc_moves(c, 0, PH_MOVES_CANCEL);
    fc_run(c, 100);
    assert_int_equal(hub->cluster->moves_out, 0);
    fc_destroy(c);
}

/* A child that is stopped while it moves is stopped, whichever side has it. */
static void stop_reaches_a_child_that_moves(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    enum ph_state shown;
    for (unsigned delay = 2; delay < 10; delay++) { /* every node knows of the pin */
        fc_start(c, 0, child_of(c, 0, id));
        fc_settle(c);
        fc_pin(c, 1, id, "n3");
        fc_run(c, delay);
        struct ph_op *op = fake_stop(fc_hub(c, delay % 3), id);
        assert_int_equal(fc_wait(c, op, 10000), 0);
        fc_settle(c);
        if (fc_where(c, id) != FC_NOWHERE) {
            fc_dump(c);
            fail_msg("stopped after %u ms it runs on", delay);
        }
        for (unsigned node = 0; node < 3; node++)
            assert_int_equal(fc_listed(c, node, id, &shown), FC_NOWHERE);
        assert_int_equal(figure(c, under_way), 0);
    }
}

/* Whatever becomes of a node that many children move to, they are looked at in slices, and all of
 * them are. */
static void loss_of_a_target_is_no_long_step(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_hub *hub = &fc_hub(c, 2)->hub;
    unsigned works = 0;
    fc_start(c, 0, "a-[1..3000]");
    fc_settle(c);
    fc_drain(c, 0, "n2", true);
    fc_settle(c);
    uint64_t local = fc_local(c, 2);
    c->drop[PH_FRAME_MOVED] = UINT32_MAX; /* nobody hears how they end */
    fc_drain(c, 0, "n3", true);
    fc_run(c, 1000);
    assert_int_equal(hub->cluster->moves_out, local);
    ph_moves_lost(hub, ph_member_by_name(hub->cluster, "n1")->slot);
    for (; ph_moves_waiting(hub); works++)
        ph_moves_work(hub);
    assert_in_range(works, local / PH_JOB_SLICE, local / PH_JOB_SLICE + 1);
    c->drop[PH_FRAME_MOVED] = 0;
    fc_settle(c);
    fc_assert_at_rest(c);
}

/* ---- The budget ---------------------------------------------------------------------------- */

/* move.rate bounds how many children move in a second. */
static void rate_of_moves_is_bounded(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(2, "move.rate=20");
    fc_start(c, 0, "a-[1..100]");
    fc_settle(c);
    uint64_t share = fc_local(c, 1);
    fc_drain(c, 0, "n2", true);
    fc_run(c, 1000);
    assert_in_range(share - fc_local(c, 1), 10, 25);
    fc_settle(c);
    assert_int_equal(fc_local(c, 1), 0);
    fc_destroy(c);
}

/* ---- Many ---------------------------------------------------------------------------------- */

/* Thousands of children: started, joined, drained, taken over, each exactly once. */
static void thousands_of_children_move_once_each(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..3000]");
    fc_settle(c);
    fc_begin(c, 3, "");
    fc_link_all(c);
    fc_settle(c);
    uint64_t joined = fc_local(c, 3);
    assert_in_range(joined, 600, 900);
    assert_int_equal(fc_starts(c), 3000 + joined);
    uint64_t drained = fc_local(c, 1);
    assert_int_equal(fc_wait(c, fc_drain(c, 2, "n2", true), 60000), 0);
    fc_settle(c);
    assert_int_equal(fc_starts(c), 3000 + joined + drained);
    assert_int_equal(figure(c, aborts), 0);
    uint64_t lost = fc_local(c, 2), before = fc_starts(c) - c->nodes[2]->starts;
    fc_kill(c, 2, false);
    fc_settle(c);
    assert_int_equal(fc_starts(c), before + lost);
    fc_assert_listed_everywhere(c, "a-[1..3000]");
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 3), "a-[1..3000]"), 60000), 0);
    fc_settle(c);
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1) + fc_local(c, 3), 0);
}

/* ---- Messages that cross a move ---------------------------------------------------------------
 */

static int place_in(const struct fc_node *node, const char *text)
{
    for (size_t i = 0; i < node->heard_count; i++)
        if (strcmp(node->heard[i].text, text) == 0)
            return (int)i;
    return -1;
}

/* What is unread goes after the child, in its order; what is sent meanwhile arrives, too; each
 * once, and calls are answered. */
static void messages_follow_a_child_that_moves(void **state)
{
    struct fake_cluster *c = *state;
    char id[16], text[16];
    struct ph_op *calls[40];
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    c->nodes[0]->mute = true;
    fc_send(c, 1, id, "first");
    fc_send(c, 1, id, "second");
    fc_run(c, 10);
    fc_pin(c, 0, id, "n3");
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "m%u", i);
        calls[i] = fc_call(c, i % 3, id, text);
        fc_run(c, 1);
    }
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_int_equal(c->nodes[2]->heard_count, 42);
    assert_in_range(place_in(c->nodes[2], "first"), 0, place_in(c->nodes[2], "second"));
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "m%u", i);
        assert_int_equal(fc_heard(c, id, text), 1);
        assert_int_equal(fake_code(calls[i]), 0);
    }
    assert_int_equal(figure(c, dropped), 0);
}

/* A child that moves to and fro while messages come hears each of them once. */
static void every_message_is_heard_once_across_many_moves(void **state)
{
    struct fake_cluster *c = *state;
    char id[16], text[16];
    unsigned count = 0;
    fc_start(c, 0, child_of(c, 0, id));
    fc_settle(c);
    for (unsigned round = 0; round < 6; round++) {
        fc_pin(c, 0, id, round % 2 ? "n1" : "n3");
        for (unsigned i = 0; i < 30; i++) {
            snprintf(text, sizeof text, "%u", count++);
            fc_send(c, i % 3, id, text);
            fc_run(c, 1);
        }
        fc_settle(c);
    }
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%u", i);
        assert_int_equal(fc_heard(c, id, text), 1);
    }
    assert_int_equal(figure(c, dropped), 0);
}

#define MOVES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MOVES_TEST(pinned_child_moves_and_returns_when_it_is_unpinned),
        MOVES_TEST(pinned_child_stays_while_others_come_and_go),
        MOVES_TEST(drain_empties_a_node),
        MOVES_TEST(drain_counts_what_has_left),
        MOVES_TEST(dead_node_is_not_drained),
        MOVES_TEST(refused_migrate_leaves_no_pin),
        MOVES_TEST(migrate_ends_when_it_is_called_off),
        MOVES_TEST(target_is_told_by_the_source),
        MOVES_TEST(last_node_cannot_be_drained),
        MOVES_TEST(refused_child_goes_on_at_the_source),
        MOVES_TEST(instance_that_began_after_a_refusal_stays),
        MOVES_TEST(late_state_of_an_old_epoch_is_refused),
        MOVES_TEST(state_waits_for_the_next_instance),
        MOVES_TEST(waiting_child_moves_with_its_state),
        MOVES_TEST(child_returns_when_the_target_dies),
        MOVES_TEST(child_goes_on_when_the_source_dies),
        MOVES_TEST(late_move_is_called_off),
        cmocka_unit_test(target_is_asked_again_in_each_session),
        cmocka_unit_test(cancel_waits_for_no_view),
        MOVES_TEST(stop_reaches_a_child_that_moves),
        MOVES_TEST(loss_of_a_target_is_no_long_step),
        MOVES_TEST(rate_of_moves_is_bounded),
        MOVES_TEST(thousands_of_children_move_once_each),
        MOVES_TEST(messages_follow_a_child_that_moves),
        MOVES_TEST(every_message_is_heard_once_across_many_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
