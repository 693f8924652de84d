/*
 * A move whose answer does not come, or comes late: the source asks again, calls it back, or lets
 * go. Nothing is handled twice, no state is dropped that nobody else has, and calls end.
 */
#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cluster_move.h"
#include "engine/error.h"
#include "engine/op.h"

enum { SOURCE = 0, BYSTANDER = 1, TARGET = 2 };

/* One child, "c-…", that belongs to n1 and runs there. */
static struct fake_cluster *create(const char *options, char id[16])
{
    struct fake_cluster *c = fc_create_settled(3, options);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, 16, "c-%u", i);
        if (fc_owner(c, SOURCE, id) == SOURCE)
            break;
    }
    fc_start(c, SOURCE, id);
    fc_settle(c);
    return c;
}

static const struct ph_transfer *move_of(const struct fake_cluster *c, const char *id)
{
    const struct ph_hub *hub = &fc_hub((struct fake_cluster *)(uintptr_t)c, SOURCE)->hub;
    return ph_directory_find_rcu(hub->directory, id, strlen(id))->move;
}

/* Until its state is on its way. */
static void hand_over(struct fake_cluster *c, const char *id)
{
    fc_pin(c, BYSTANDER, id, "n3");
    while (!move_of(c, id) || move_of(c, id)->phase != PH_MOVE_SENT)
        fc_run(c, 1);
}

/* The target starts it and does not say so in time: what it has not read is handled by the source's
 * instance, which is started again, and by nobody else. */
static void child_that_is_called_back_has_read_nothing(void **state)
{
    static const char *const options[] = {"migrate.timeout=2s", "migrate.timeout=2s migration=hot"};
    (void)state;
    for (unsigned hot = 0; hot < 2; hot++) {
        char id[16];
        struct fake_cluster *c = create(options[hot], id);
        c->nodes[SOURCE]->mute = true;
        fc_send(c, BYSTANDER, id, "once");
        fc_run(c, 10);
        hand_over(c, id);
        c->nodes[SOURCE]->mute = false;
        c->nodes[TARGET]->slow = true;
        fc_run(c, 2100);
        c->nodes[TARGET]->slow = false;
        fc_settle(c);
        assert_int_equal(fc_heard(c, id, "once"), 1);
        assert_string_equal(fc_state(c, id), "born n1 n1 n3");
        fc_destroy(c);
    }
}

/* The session breaks with the target's answers, to the move and to the call that went with it. */
static void call_that_went_with_its_child_ends_when_the_answer_is_lost(void **state)
{
    char id[16];
    (void)state;
    struct fake_cluster *c = create("", id);
    c->nodes[SOURCE]->mute = true;
    struct ph_op *call = fc_call(c, SOURCE, id, "asked");
    fc_run(c, 10);
    hand_over(c, id);
    c->drop[PH_FRAME_MOVED] = c->drop[PH_FRAME_ANSWER] = 1;
    fc_run(c, 10);
    assert_int_equal(fc_heard(c, id, "asked"), 1);
    fc_break(c, SOURCE, TARGET);
    assert_int_equal(fc_wait(c, call, 5000), PH_ECONNECTION);
    fc_settle(c);
    assert_int_equal(fc_heard(c, id, "asked"), 1);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    fc_destroy(c);
}

/* The state never came, and others have started the child anew at the target meanwhile: that is
 * not the instance that the source asks about, or, unconfirmed, waits to see; the two are merged.
 */
static void state_is_merged_with_an_instance_that_was_started_anew(void **state)
{
    static const char *const options[] = {"", "migration=hot hot.confirm=false"};
    (void)state;
    for (unsigned hot = 0; hot < 2; hot++) {
        char id[16];
        struct fake_cluster *c = create(options[hot], id);
        c->merges = true;
        hand_over(c, id);
        fc_cut(c, SOURCE, TARGET); /* with the state on its way */
        fc_cut(c, SOURCE, BYSTANDER);
        fc_run(c, 400);
        fc_cut(c, TARGET, SOURCE);
        fc_cut(c, BYSTANDER, SOURCE);
        while (fc_where(c, id) != TARGET)
            fc_run(c, 1);
        assert_int_equal(fake_count_records(fc_hub(c, SOURCE), "node_down"), 0);
        fc_heal(c);
        fc_settle(c);
        assert_int_equal(fc_where(c, id), TARGET);
        assert_non_null(strstr(fc_state(c, id), "born n1"));
        fc_destroy(c);
    }
}

/* It came to the target, worked there and was stopped with the target's lease; the answer is lost.
 * The source goes on with what it kept, and handles nothing of what has been handled there. */
static void what_was_handled_at_the_target_is_not_handled_again(void **state)
{
    char id[16];
    (void)state;
    struct fake_cluster *c = create("partition=majority", id);
    c->nodes[SOURCE]->mute = true;
    fc_send(c, BYSTANDER, id, "once");
    fc_run(c, 10);
    hand_over(c, id);
    c->drop[PH_FRAME_MOVED] = 1;
    fc_run(c, 5);
    assert_int_equal(fc_heard(c, id, "once"), 1);
    fc_split(c, 1 << TARGET);
    c->nodes[SOURCE]->mute = false;
    fc_run(c, 2800);
    assert_int_equal(fc_where(c, id), FC_NOWHERE);
    fc_heal(c);
    fc_break(c, SOURCE, TARGET);
    fc_settle(c);
    assert_int_equal(fc_heard(c, id, "once"), 1);
    assert_string_equal(fc_state(c, id), "born n1 n1 n3");
    fc_destroy(c);
}

/* A letter over two slow links comes after the time in which a node is taken for dead: nothing was
 * lost, so it keeps its place. */
static void late_letter_keeps_its_place(void **state)
{
    char id[16];
    enum ph_state shown;
    (void)state;
    struct fake_cluster *c = create("", id);
    c->pipes[BYSTANDER][SOURCE].late_ms = 1700;
    fc_send(c, BYSTANDER, id, "first");
    fc_pin(c, SOURCE, id, "n3");
    while (fc_listed(c, BYSTANDER, id, &shown) != TARGET)
        fc_run(c, 1);
    c->pipes[SOURCE][TARGET].late_ms = 1700;
    fc_send(c, BYSTANDER, id, "second");
    fc_run(c, 5000);
    assert_int_equal(c->nodes[TARGET]->heard_count, 2);
    assert_string_equal(c->nodes[TARGET]->heard[0].text, "first");
    fc_destroy(c);
}

/* The target handles what came with the state, and its answer is lost; the source is told to end
 * and loses its quorum: it gives up what is in doubt, and what has been handled is not sent again.
 */
static void fenced_source_that_ends_sends_nothing_again(void **state)
{
    char id[16];
    (void)state;
    struct fake_cluster *c = create("partition=majority majority.initial_size=3", id);
    c->nodes[SOURCE]->mute = true;
    fc_send(c, SOURCE, id, "once");
    fc_run(c, 10);
    hand_over(c, id);
    fc_cut(c, TARGET, SOURCE);
    fc_run(c, 100);
    assert_int_equal(fc_heard(c, id, "once"), 1);
    fake_shutdown(fc_hub(c, SOURCE));
    fc_split(c, 1);
    fc_run(c, 4000);
    fc_heal(c);
    fc_run(c, 20000);
    assert_int_equal(fc_where(c, id), TARGET);
    assert_int_equal(fc_heard(c, id, "once"), 1);
    fc_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_that_is_called_back_has_read_nothing),
        cmocka_unit_test(call_that_went_with_its_child_ends_when_the_answer_is_lost),
        cmocka_unit_test(state_is_merged_with_an_instance_that_was_started_anew),
        cmocka_unit_test(what_was_handled_at_the_target_is_not_handled_again),
        cmocka_unit_test(late_letter_keeps_its_place),
        cmocka_unit_test(fenced_source_that_ends_sends_nothing_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
