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

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

static struct ph_op *start(struct fake_cluster *c, unsigned node, const char *ids, const char *spec,
                           enum ph_if_exists if_exists)
{
    return fake_start_with(fc_hub(c, node), ids, spec,
                           (struct ph_start_options){.if_exists = if_exists});
}

/* ---- Start --------------------------------------------------------------------------------- */

/* Whoever is asked: a child runs once, at its owner, and every node lists it there. */
static void child_runs_at_its_owner_and_is_listed_everywhere(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..20]");
    fc_start(c, 1, "b-[1..20]");
    fc_start(c, 2, "c-[1..20]");
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..20] b-[1..20] c-[1..20]");
    for (unsigned node = 0; node < 3; node++)
        assert_in_range(fc_local(c, node), 8, 35);
    for (unsigned i = 1; i <= 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%u", i);
        assert_int_equal(fc_where(c, id), fc_owner(c, 1, id));
    }
    assert_int_equal(fc_starts(c), 60);
}

/* A start is acknowledged only when another member holds it, too. */
static void start_is_acknowledged_when_another_member_holds_it(void **state)
{
    struct fake_cluster *c = *state;
    char id[16] = "";
    for (unsigned i = 0; i < 50 && (!*id || fc_owner(c, 0, id) != 0); i++)
        snprintf(id, sizeof id, "c-%u", i);
    fc_run(c, 1000);
    fc_split(c, 1); /* nothing reaches the others */
    struct ph_op *op = start(c, 0, id, "", PH_IF_EXISTS_SAME);
    assert_int_equal(fc_wait(c, op, 500), 1);
    assert_int_equal(fc_where(c, id), 0); /* it runs, but who would know? */
    fc_heal(c);
    assert_int_equal(fc_wait(c, op, 500), 0);
    fc_settle(c);
    fc_assert_listed_everywhere(c, id);
}

/* With nobody else in the view there is nobody to hold it. */
static void lonely_node_acknowledges_at_once(void **state)
{
    struct fake_cluster *c = *state;
    fc_kill(c, 1, false);
    fc_kill(c, 2, false);
    fc_settle(c);
    struct ph_op *op = start(c, 0, "a", "", PH_IF_EXISTS_SAME);
    assert_int_equal(fc_wait(c, op, 5), 0);
    assert_int_equal(fc_where(c, "a"), 0);
}

/* What the row of a child said when a request for it was answered. */
struct seen {
    struct fc_node *node;
    struct ph_placed placed;
};

static void look(void *arg, struct ph_op *op)
{
    struct seen *seen = arg;
    struct ph_directory *directory = seen->node->directory;
    (void)op;
    ph_placement_read_rcu(
        ph_directory_placement(directory, ph_directory_find_rcu(directory, "a", 1), 0),
        &seen->placed);
}

static void assert_answer_finds(struct fake_cluster *c, struct ph_op *op, enum ph_state state,
                                uint32_t instance)
{
    struct seen seen = {.node = c->nodes[0]};
    op->done_fn = look;
    op->done_arg = &seen;
    (void)fc_wait(c, op, 5000);
    assert_int_equal(seen.placed.state, state);
    assert_int_equal(seen.placed.instance, instance);
}

/* Whoever is answered finds the child listed as the answer says: that is written before. */
static void answer_comes_when_the_child_is_listed(void **state)
{
    struct fake_cluster *c = *state;
    fc_kill(c, 1, false);
    fc_kill(c, 2, false); /* answers wait for nobody */
    fc_settle(c);
    assert_answer_finds(c, start(c, 0, "a", "max_restarts=0", PH_IF_EXISTS_SAME), PH_STATE_RUNNING,
                        1);
    assert_answer_finds(c, fake_restart(fc_hub(c, 0), "a"), PH_STATE_RUNNING, 2);
    c->nodes[0]->fails = "a";
    assert_answer_finds(c, fake_restart(fc_hub(c, 0), "a"), PH_STATE_FAILED, 3);
}

/* A start whose owner cannot run it fails with the owner's reason, and leaves nothing anywhere. */
static void failed_start_leaves_nothing_and_says_why(void **state)
{
    struct fake_cluster *c = *state;
    enum ph_state shown;
    for (unsigned node = 0; node < 3; node++)
        c->nodes[node]->fails = "bad";
    for (unsigned asked = 0; asked < 3; asked++) {
        struct ph_op *op = start(c, asked, "bad", "", PH_IF_EXISTS_SAME);
        assert_int_equal(fc_wait(c, op, 5000), PH_EFAILED);
        assert_non_null(strstr(fc_failure(op), "no such program"));
        fc_settle(c);
        assert_int_equal(fc_where(c, "bad"), FC_NOWHERE);
        for (unsigned node = 0; node < 3; node++)
            assert_int_equal(fc_listed(c, node, "bad", &shown), FC_NOWHERE);
    }
    assert_int_equal(fc_starts(c), 3);
}

/* if_exists counts for children on any node. */
static void if_exists_counts_across_nodes(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..6]");
    fc_settle(c);
    for (unsigned node = 0; node < 3; node++) {
        struct ph_op *op = start(c, node, "a-[1..6]", "", PH_IF_EXISTS_SAME);
        assert_int_equal(fc_wait(c, op, 2000), 0);
        assert_int_equal(ph_op_result(op)->same, 6);
        op = start(c, node, "a-[1..6]", "", PH_IF_EXISTS_FAIL);
        assert_int_equal(fc_wait(c, op, 2000), PH_EEXISTS);
        assert_int_equal(ph_op_result(op)->failed, 6);
        op = start(c, node, "a-[1..6]", "meta.x=1", PH_IF_EXISTS_SAME);
        assert_int_equal(fc_wait(c, op, 2000), PH_EEXISTS);
    }
    assert_int_equal(fc_starts(c), 6);
}

/* if_exists=replace gives a child elsewhere its new spec: each instance ends, and one follows. */
static void replace_reaches_children_on_every_node(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    for (unsigned node = 0; node < 3; node++) {
        char spec[16];
        snprintf(spec, sizeof spec, "meta.x=%u", node);
        struct ph_op *op = start(c, node, "a-[1..9]", spec, PH_IF_EXISTS_REPLACE);
        assert_int_equal(fc_wait(c, op, 5000), 0);
        assert_int_equal(ph_op_result(op)->changed, 9);
        fc_settle(c);
        fc_assert_listed_everywhere(c, "a-[1..9]");
        assert_int_equal(fc_starts(c), 9 * (node + 2));
    }
}

/* ---- Stop, restart, signal ------------------------------------------------------------------ */

/* Any node stops any child. */
static void child_is_stopped_from_anywhere(void **state)
{
    struct fake_cluster *c = *state;
    enum ph_state shown;
    for (unsigned node = 0; node < 3; node++) {
        fc_start(c, 0, "a-[1..9]");
        struct ph_op *op = fake_stop(fc_hub(c, node), "a-[1..9]");
        assert_int_equal(fc_wait(c, op, 5000), 0);
        assert_int_equal(ph_op_result(op)->changed, 9);
        fc_settle(c);
        assert_int_equal(fc_local(c, 0) + fc_local(c, 1) + fc_local(c, 2), 0);
        assert_int_equal(fc_listed(c, 2, "a-1", &shown), FC_NOWHERE);
    }
    struct ph_op *op = fake_stop(fc_hub(c, 1), "a-1");
    assert_int_equal(fc_wait(c, op, 100), PH_ENOTFOUND);
}

/* A stop that was acknowledged stays, although the owner was cut off and ran on. */
static void acknowledged_stop_outlives_the_owners_absence(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    fc_split(c, 4); /* n3 goes on alone: partition=diverge */
    assert_true(fc_settle_some(c, 3, 2, 10000));
    struct ph_op *op = fake_stop(fc_hub(c, 0), "a-[1..9]");
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(fc_local(c, 2), 9); /* it took all of them over */
    fc_heal(c);
    fc_settle(c);
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(fc_local(c, node), 0);
}

/* Any node restarts any child, on the node where it is. */
static void child_is_restarted_from_anywhere(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    int before = fc_where(c, "a-1");
    struct ph_op *op = fake_restart(fc_hub(c, 1), "a-[1..9]");
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(ph_op_result(op)->changed, 9);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..9]");
    assert_int_equal(fc_where(c, "a-1"), before);
    assert_int_equal(fc_starts(c), 18);
    op = fake_signal(fc_hub(c, 2), "a-[1..9]", 10);
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(ph_op_result(op)->changed, 9);
}

/* Answers that wait for rows to be sent come in frames of a slice each: what one frame brings is
 * one step of its reader. */
static void many_answers_are_not_one_step(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..600]");
    fc_settle(c);
    uint64_t others = fc_local(c, 1) + fc_local(c, 2), before = c->sent[PH_FRAME_OUTCOMES];
    c->pipes[1][0].full = c->pipes[2][0].full = true;
    struct ph_op *op = fake_restart(fc_hub(c, 0), "a-[1..600]");
    assert_int_equal(fc_wait(c, op, 100), 1);
    assert_int_equal(c->sent[PH_FRAME_OUTCOMES], before);
    c->pipes[1][0].full = c->pipes[2][0].full = false;
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(ph_op_result(op)->changed, 600);
    assert_in_range(c->sent[PH_FRAME_OUTCOMES] - before, others / PH_JOB_SLICE,
                    others / PH_JOB_SLICE + 10);
}

/* What was stopped is forgotten everywhere a minute later, however much it was. */
static void stopped_children_are_forgotten_in_time(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..5000]");
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 1), "a-[1..5000]"), 10000), 0);
    fc_run(c, 50000);
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(ph_directory_entries(c->nodes[node]->directory), 5000);
    fc_run(c, 12000);
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(ph_directory_entries(c->nodes[node]->directory), 0);
}

/* ---- Messages ------------------------------------------------------------------------------- */

/* Casts and calls of every node reach the child; calls are answered by the node where it is. */
static void messages_and_calls_reach_the_child_from_every_node(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..6]");
    fc_settle(c);
    for (unsigned node = 0; node < 3; node++) {
        for (unsigned i = 1; i <= 6; i++) {
            char id[16], text[24], reply[48];
            snprintf(id, sizeof id, "a-%u", i);
            snprintf(text, sizeof text, "hello of n%u", node + 1);
            fc_send(c, node, id, text);
            struct ph_op *op = fc_call(c, node, id, "question");
            assert_int_equal(fc_wait(c, op, 1000), 0);
            int length = snprintf(reply, sizeof reply, "question of n%d", fc_where(c, id) + 1);
            assert_int_equal(ph_op_result(op)->reply_length, length);
            assert_memory_equal(ph_op_result(op)->reply, reply, (size_t)length);
            assert_int_equal(fc_heard(c, id, text), 1);
        }
    }
    assert_int_equal(fc_heard(c, "a-1", "question"), 3);
    struct ph_op *op = fc_call(c, 0, "nobody", "question");
    assert_int_equal(fc_wait(c, op, 1000), PH_ENOTFOUND);
}

/* A call to a node that dies before it answers fails at once, and says so. */
static void call_fails_when_the_node_dies_before_it_answers(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    char id[16] = "a-1";
    for (unsigned i = 1; fc_where(c, id) != 2; i++)
        snprintf(id, sizeof id, "a-%u", i);
    c->nodes[2]->mute = true;
    struct ph_op *op = fc_call(c, 0, id, "question");
    assert_int_equal(fc_wait(c, op, 1000), 1);
    fc_kill(c, 2, false);
    assert_int_equal(fc_wait(c, op, 1000), PH_ECONNECTION);
}

/* A message that is sent while its child starts waits for it. */
static void message_waits_for_a_child_that_starts(void **state)
{
    struct fake_cluster *c = *state;
    start(c, 0, "a-[1..9]", "", PH_IF_EXISTS_SAME);
    for (unsigned i = 1; i <= 9; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%u", i);
        fc_send(c, 0, id, "early");
    }
    fc_settle(c);
    for (unsigned i = 1; i <= 9; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%u", i);
        assert_int_equal(fc_heard(c, id, "early"), 1);
    }
}

#define CHILDREN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* A child that is to start again with another spec ends, and so does its hub: the start is not done
 * by that, but when the child runs on another node. */
static void start_is_not_done_because_a_hub_ends(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "c-%u", i);
        if (fc_owner(c, 0, id) == 0)
            break;
    }
    fc_start(c, 0, id);
    fc_settle(c);
    c->nodes[0]->lingers = true;
    struct ph_op *start = fake_start_with(
        fc_hub(c, 1), id, "args=new", (struct ph_start_options){.if_exists = PH_IF_EXISTS_REPLACE});
    fc_run(c, 10);
    fake_shutdown(fc_hub(c, 0));
    c->nodes[0]->lingers = false;
    c->nodes[1]->slow = c->nodes[2]->slow = true; /* it is not up for long */
    fc_run(c, 20000);
    assert_true(fc_where(c, id) > 0);
    assert_int_equal(fake_code(start), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILDREN_TEST(child_runs_at_its_owner_and_is_listed_everywhere),
        CHILDREN_TEST(start_is_acknowledged_when_another_member_holds_it),
        CHILDREN_TEST(lonely_node_acknowledges_at_once),
        CHILDREN_TEST(answer_comes_when_the_child_is_listed),
        CHILDREN_TEST(failed_start_leaves_nothing_and_says_why),
        CHILDREN_TEST(if_exists_counts_across_nodes),
        CHILDREN_TEST(replace_reaches_children_on_every_node),
        CHILDREN_TEST(start_is_not_done_because_a_hub_ends),
        CHILDREN_TEST(child_is_stopped_from_anywhere),
        CHILDREN_TEST(acknowledged_stop_outlives_the_owners_absence),
        CHILDREN_TEST(child_is_restarted_from_anywhere),
        CHILDREN_TEST(many_answers_are_not_one_step),
        CHILDREN_TEST(stopped_children_are_forgotten_in_time),
        CHILDREN_TEST(messages_and_calls_reach_the_child_from_every_node),
        CHILDREN_TEST(call_fails_when_the_node_dies_before_it_answers),
        CHILDREN_TEST(message_waits_for_a_child_that_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
