#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/op.h"

enum { SHOWN_FIELDS = 8 }; /* id, from, to, phase, mode, bytes, age, error */

static int set_up(void **state)
{
    *state = fc_create_settled(3, "migration=hot");
    return 0;
}

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

static const struct fc_kid *kid_of(const struct fake_cluster *c, unsigned node, const char *id)
{
    const struct ph_child *child =
        ph_registry_find_rcu(c->nodes[node]->fake.hub.registry, id, strlen(id));
    return child ? ph_child_tail(child) : NULL;
}

/* How a node shows the move of a child: "FROM TO PHASE MODE[, ERROR]", of its newest one. */
static void assert_shown(struct fake_cluster *c, unsigned node, const char *id, const char *wanted)
{
    struct ph_text rows = PH_TEXT_INIT;
    char shown[256] = "";
    const char *field[SHOWN_FIELDS];
    ph_moves_inspect(&fc_hub(c, node)->hub, &rows);
    char *rest = rows.data, *row;
    bool ended = true; /* those under way are listed first */
    while (ended && (row = strsep(&rest, "\x1e")) && *row) {
        for (unsigned i = 0; i < SHOWN_FIELDS; i++)
            field[i] = strsep(&row, "\x1f");
        if (strcmp(field[0], id) != 0)
            continue;
        ended = strcmp(field[3], "done") == 0 || strcmp(field[3], "failed") == 0;
        snprintf(shown, sizeof shown, "%s %s %s %s%s%s", field[1], field[2], field[3], field[4],
                 *field[7] ? ", " : "", field[7]);
    }
    assert_string_equal(shown, wanted);
    ph_text_fini(&rows);
}

/* ---- Start before stop ------------------------------------------------------------------------
 */

/* The child runs where it is, and answers, until its new node has an instance that stands by. */
static void source_works_until_the_target_stands_by(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    enum ph_state shown;
    fc_start_one(c, id);
    c->nodes[2]->slow = true;
    struct ph_op *move = fc_pin(c, 1, id, "n3");
    fc_run(c, 500);
    assert_true(kid_of(c, 2, id)->stands_by);
    assert_int_equal(fc_where(c, id), 0);
    assert_int_equal(fc_listed(c, 1, id, &shown), 0);
    assert_int_equal(shown, PH_STATE_RUNNING);
    struct ph_op *call = fc_call(c, 2, id, "who"); /* from the node where it stands by */
    assert_int_equal(fc_wait(c, call, 100), 0);
    assert_string_equal(ph_op_result(call)->reply, "who of n1");
    assert_int_equal(fake_code(move), 1);
    c->nodes[2]->slow = false;
    fc_settle(c); /* it is called off, and tried again */
    assert_int_equal(fc_wait(c, move, 30000), 0);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    assert_int_equal(c->nodes[2]->prepares, 2);
    assert_int_equal(c->doubled, 0);
    fc_assert_at_rest(c);
}

/* People see both sides of a move: what it waits for, and that it is hot. */
static void moves_are_shown_with_phase_and_mode(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_cluster *cluster = fc_hub(c, 2)->hub.cluster;
    const uint64_t others = UINT64_C(1) << 40; /* bytes of other states: no room for its own */
    char id[16];
    fc_start_one(c, id);
    c->nodes[2]->slow = true;
    struct ph_op *move = fc_pin(c, 1, id, "n3");
    fc_run(c, 500);
    assert_shown(c, 0, id, "n1 n3 preparing hot");
    assert_shown(c, 2, id, "n1 n3 preparing hot");
    c->nodes[2]->slow = false;
    fc_run(c, 10000); /* it is called off, and tried again */
    assert_int_equal(fc_wait(c, move, 30000), 0);
    fc_settle(c);
    assert_shown(c, 0, id, "n1 n3 done hot");
    move = fc_pin(c, 1, id, "n1");
    for (unsigned ms = 0; ms < 1000 && !cluster->moves_out; ms++)
        fc_run(c, 1);
    cluster->moves_bytes += others;
    fc_run(c, 500);
    assert_shown(c, 2, id, "n3 n1 standby hot"); /* it waits for its turn */
    assert_shown(c, 0, id, "n3 n1 standby hot");
    cluster->moves_bytes -= others;
    assert_int_equal(fc_wait(c, move, 5000), 0);
    assert_int_equal(fc_wait(c, fc_pin_mode(c, 1, id, "n2", PH_MOVE_COLD), 5000), 0);
    fc_settle(c);
    assert_shown(c, 1, id, "n1 n2 done cold");
    fc_assert_at_rest(c);
}

/* A child that does not give its state in time is not killed: its move is called off, people see
 * why, and it goes on with its state when it has given it. */
static void late_state_stays_where_it_is(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_hub *hub = &fc_hub(c, 0)->hub;
    char id[16];
    fc_start_one(c, id);
    c->nodes[0]->busy = true;
    struct ph_op *move = fc_pin(c, 1, id, "n3");
    fc_run(c, hub->options.hot_state_timeout_ms - 500);
    assert_shown(c, 0, id, "n1 n3 saving hot");
    fc_run(c, 1000);
    assert_shown(c, 0, id,
                 "n1 n3 saving hot, called off: it was not saved within hot.state_timeout");
    c->nodes[0]->busy = false;
    hub->ports.exec->save(hub->ports.context, ph_registry_find_rcu(hub->registry, id, strlen(id)));
    fc_run(c, 100);
    assert_int_equal(fc_where(c, id), 0);
    assert_shown(c, 0, id, "n1 n3 failed hot, it was not saved in time");
    assert_string_equal(fc_state(c, id), "born n1 n1");
    assert_int_equal(fc_wait(c, move, 5000), 0);
    assert_string_equal(fc_state(c, id), "born n1 n1 n3");
    fc_settle(c);
    assert_int_equal(c->doubled, 0);
    fc_assert_at_rest(c);
}

/* What the target cannot make leaves it where it is: it was never stopped. */
static void target_that_cannot_make_it_changes_nothing(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    size_t starts = c->nodes[0]->starts;
    c->nodes[2]->fails = id;
    struct ph_op *move = fc_pin(c, 0, id, "n3");
    fc_run(c, 1000);
    assert_int_equal(fc_where(c, id), 0);
    assert_string_equal(fc_state(c, id), "born n1");
    assert_int_equal(c->nodes[0]->starts, starts);
    assert_non_null(strstr(fake_last(fc_hub(c, 0), "move_aborted", id)->text, "no such program"));
    c->nodes[2]->fails = NULL;
    assert_int_equal(fc_wait(c, move, 5000), 0);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    fc_settle(c);
    fc_assert_at_rest(c);
}

/* migrate says how, whatever the hub does otherwise. */
static void mode_of_a_migrate_wins_over_the_hubs(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin_mode(c, 1, id, "n3", PH_MOVE_COLD), 5000), 0);
    assert_int_equal(c->nodes[2]->prepares, 0);
    assert_int_equal(fc_wait(c, fc_pin_mode(c, 1, id, "n2", PH_MOVE_ANY), 5000), 0);
    assert_int_equal(c->nodes[1]->prepares, 1);
    assert_string_equal(fc_state(c, id), "born n1 n3 n2");
    struct fake_cluster *cold = fc_create_settled(3, "");
    fc_start_one(cold, id);
    assert_int_equal(fc_wait(cold, fc_pin_mode(cold, 1, id, "n3", PH_MOVE_HOT), 5000), 0);
    assert_int_equal(cold->nodes[2]->prepares, 1);
    assert_string_equal(fc_state(cold, id), "born n1 n3");
    fc_destroy(cold);
}

/* Without handover the new instance begins anew; the old one is stopped all the same. */
static void without_handover_it_begins_anew_and_once(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(3, "migration=hot hot.handover=false");
    char id[16];
    fc_start_one(c, id);
    struct ph_op *move = fc_pin(c, 1, id, "n3");
    while (!kid_of(c, 2, id) || !kid_of(c, 2, id)->stands_by)
        fc_run(c, 1);
    c->nodes[2]->fails = id; /* when it is to go to work: then nothing has changed */
    fc_run(c, 50);
    assert_string_equal(fc_state(c, id), "born n1 n1");
    c->nodes[2]->fails = NULL;
    assert_int_equal(fc_wait(c, move, 5000), 0);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_string_equal(fc_state(c, id), "born n3");
    assert_int_equal(c->doubled, 0);
    fc_assert_at_rest(c);
    fc_destroy(c);
}

/* ---- What crosses a move ----------------------------------------------------------------------
 */

/* A stop that comes while the target makes or has its instance: nothing is left on either side. */
static void stop_ends_both_sides(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    for (unsigned delay = 1; delay < 12; delay++) {
        fc_start_one(c, id);
        fc_pin(c, 1, id, "n3");
        fc_run(c, delay);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, delay % 3), id), 10000), 0);
        fc_settle(c);
        assert_int_equal(fc_where(c, id), FC_NOWHERE);
        assert_null(kid_of(c, 2, id));
        fc_assert_at_rest(c);
    }
}

/* A stop does not wait for a target that makes its instance, whoever asks for it. */
static void stop_does_not_wait_for_a_slow_target(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    c->nodes[2]->slow = true;
    for (unsigned asked = 0; asked < 3; asked++) {
        fc_start_one(c, id);
        fc_pin(c, 1, id, "n3");
        fc_run(c, 100);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, asked), id), 100), 0);
        assert_int_equal(fc_where(c, id), FC_NOWHERE);
    }
}

/* An instance that ends by itself while another one stands by for it is restarted where it is; the
 * move is called off, and succeeds later. */
static void restart_calls_the_move_off(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    c->nodes[2]->slow = true;
    fc_pin(c, 1, id, "n3");
    fc_run(c, 100);
    assert_true(kid_of(c, 2, id)->stands_by);
    struct ph_op *restart = fake_restart(fc_hub(c, 0), id);
    assert_int_equal(fc_wait(c, restart, 1000), 0);
    assert_int_equal(fc_where(c, id), 0);
    c->nodes[2]->slow = false;
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_int_equal(c->doubled, 0);
    fc_assert_at_rest(c);
}

/* The source dies while the target stands by: the child is started once, where it belongs. */
static void standby_of_a_dead_source_does_not_run_beside_the_takeover(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    c->nodes[2]->slow = true;
    fc_pin(c, 1, id, "n3");
    fc_run(c, 100);
    assert_true(kid_of(c, 2, id)->stands_by);
    c->nodes[2]->slow = false;
    fc_kill(c, 0, false);
    fc_settle(c);
    assert_true(fc_where(c, id) > 0);
    assert_int_equal(c->doubled, 0);
    fc_assert_listed_everywhere(c, id);
    fc_assert_at_rest(c);
}

/* The target dies soon after it took over: the source starts the child again with what it gave
 * away; not any more when hot.retention is over. */
static void state_is_kept_for_hot_retention(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        struct fake_cluster *c = fc_create_settled(2, "migration=hot hot.retention=4s");
        char id[16];
        fc_start_one(c, id);
        assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n2"), 5000), 0);
        fc_run(c, late ? 5000 : 100);
        fc_kill(c, 1, false);
        fc_settle(c);
        assert_string_equal(fc_state(c, id), late ? "born n1" : "born n1 n1");
        assert_int_equal(fc_hub(c, 0)->hub.cluster->kept_bytes, 0);
        fc_destroy(c);
    }
}

/* With hot.confirm=false the source is through when the target has begun with the state; else when
 * it says that the child runs. */
static void confirmation_is_what_the_source_waits_for(void **state)
{
    (void)state;
    for (unsigned confirm = 0; confirm < 2; confirm++) {
        struct fake_cluster *c =
            fc_create_settled(2, confirm ? "migration=hot" : "migration=hot hot.confirm=false");
        char id[16];
        fc_start_one(c, id);
        fc_pin(c, 0, id, "n2");
        while (!kid_of(c, 1, id) || !kid_of(c, 1, id)->stands_by)
            fc_run(c, 1);
        c->nodes[1]->slow = true; /* it goes to work, and does not say so */
        fc_run(c, 200);
        assert_int_equal(fc_where(c, id), 1);
        assert_int_equal(fc_hub(c, 0)->hub.cluster->moves_out, confirm);
        assert_int_equal(c->doubled, 0);
        fc_destroy(c);
    }
}

static const char *id_of(char id[16], unsigned number)
{
    snprintf(id, 16, "s-%u", number);
    return id;
}

/* A child that does not give its state keeps nobody else from leaving with its node: all others are
 * handed over at once, and it goes on where it is. */
static void slow_child_holds_up_no_other(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "s-[1..60]");
    fc_settle(c);
    uint64_t share = fc_local(c, 0);
    char id[16];
    for (unsigned i = 1; fc_where(c, id_of(id, i)) != 0; i++)
        continue;
    c->nodes[0]->lazy = id;
    fc_drain(c, 1, "n1", true);
    fc_run(c, 2000);
    assert_in_range(share, 2, 60);
    assert_int_equal(fc_local(c, 0), 1);
    fc_run(c, 20000);
    assert_int_equal(fc_where(c, id), 0);
    assert_int_equal(fc_starts(c) - c->nodes[1]->prepares - c->nodes[2]->prepares, 60);
}

/* What a node keeps of a child that has moved away is that child's alone: starts, stops and moves
 * of others change nothing. */
static void kept_state_survives_what_others_do(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(2, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n2"), 5000), 0);
    fc_start(c, 0, "other-[1..20]");
    fc_wait(c, fc_pin(c, 0, "other-[1..20]", "n2"), 5000);
    fc_wait(c, fake_stop(fc_hub(c, 0), "other-[1..10]"), 5000);
    fc_start(c, 1, "third-[1..20]");
    fc_kill(c, 1, false);
    fc_settle(c);
    assert_string_equal(fc_state(c, id), "born n1 n1");
    fc_destroy(c);
}

/* A child that was stopped, and is started again, begins anew: what is kept was another one's. */
static void kept_state_ends_with_a_stop(void **state)
{
    (void)state;
    for (unsigned by = 0; by < 2; by++) {
        struct fake_cluster *c = fc_create_settled(2, "migration=hot");
        char id[16];
        fc_start_one(c, id);
        assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n2"), 5000), 0);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, by), id), 5000), 0);
        fc_start(c, 1, id);
        fc_settle(c);
        assert_string_equal(fc_state(c, id), "born n1");
        fc_destroy(c);
    }
}

static struct ph_child *child_at(struct fake_cluster *c, unsigned node, const char *id)
{
    return ph_registry_find_rcu(fc_hub(c, node)->hub.registry, id, strlen(id));
}

/* Begins a move of a child that is not saved for long. */
static struct ph_child *begin_saving(struct fake_cluster *c, char id[16])
{
    fc_start_one(c, id);
    c->nodes[0]->busy = true;
    fc_pin(c, 0, id, "n3");
    while (ph_child_state(child_at(c, 0, id)) != PH_STATE_MOVING)
        fc_run(c, 1);
    return child_at(c, 0, id);
}

/* A stop ends also what is being saved for a move, whoever asks for it. */
static void stop_ends_what_is_being_saved(void **state)
{
    (void)state;
    for (unsigned by = 0; by < 3; by++) {
        struct fake_cluster *c = fc_create_settled(3, "migration=hot");
        char id[16];
        begin_saving(c, id);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, by), id), 2000), 0);
        fc_settle(c);
        assert_int_equal(fc_where(c, id), FC_NOWHERE);
        assert_int_equal(fc_local(c, 0), 0);
        fc_destroy(c);
    }
}

/* One that has said its state and does not end is killed like any other that is to end; its state
 * goes on its way also when that takes longer than hot.state_timeout. */
static void saved_child_that_does_not_end_is_killed(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(3, "migration=hot hot.state_timeout=1s");
    char id[16];
    struct ph_child *child = begin_saving(c, id);
    struct ph_event *event = ph_event_create(PH_EVENT_CHILD_ENDING);
    event->child.child = child;
    event->child.instance = atomic_load(&child->instance);
    fc_post_event(&fc_hub(c, 0)->hub, event);
    fc_run(c, 4000);
    assert_int_equal(fake_count_records(fc_hub(c, 0), "child_killed"), 0);
    c->nodes[0]->busy = false;
    fc_run(c, 1500);
    assert_int_equal(fake_count_records(fc_hub(c, 0), "child_killed"), 1);
    assert_int_equal(fake_count_records(fc_hub(c, 0), "move_late"), 0);
    fc_destroy(c);
}

/* What stands by is replaced, because another spec is wanted, while the state is on its way: the
 * state is not given to one that is not ready, and comes with the next try. */
static void replaced_standby_takes_no_state(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    fc_pin(c, 0, id, "n3");
    while (!kid_of(c, 2, id) || !kid_of(c, 2, id)->stands_by)
        fc_run(c, 1);
    c->pipes[0][2].late_ms = 50;
    fc_run(c, 5);
    c->nodes[2]->slow = true; /* the one that is made anew is not ready for long */
    fake_start_with(fc_hub(c, 2), id, "backoff=777",
                    (struct ph_start_options){.if_exists = PH_IF_EXISTS_REPLACE});
    fc_run(c, 100);
    assert_int_not_equal(fc_where(c, id), 2);
    c->nodes[2]->slow = false;
    c->pipes[0][2].late_ms = 0;
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_int_equal(strncmp(fc_state(c, id), "born n1", 7), 0);
    assert_int_equal(c->doubled, 0);
    fc_assert_at_rest(c);
}

/* Without a confirmation the source is through when the target has begun, not when time is up: the
 * state may still be on its way, and somebody else begin without it. */
static void unconfirmed_move_waits_for_the_target_to_begin(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(3, "migration=hot hot.confirm=false");
    char id[16];
    fc_start_one(c, id);
    fc_pin(c, 0, id, "n3");
    while (!kid_of(c, 2, id) || !kid_of(c, 2, id)->stands_by)
        fc_run(c, 1);
    c->drop[PH_FRAME_MOVES] = 1;
    fc_run(c, 4000);
    fc_drain(c, 1, "n2", true); /* everything is looked at again */
    fc_run(c, 4000);
    assert_int_equal(fc_where(c, id), FC_NOWHERE);
    assert_int_equal(fc_hub(c, 0)->hub.cluster->moves_out, 1);
    fc_run(c, 10000); /* migrate.timeout: it is asked for */
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 2);
    assert_int_equal(strncmp(fc_state(c, id), "born n1", 7), 0);
    fc_destroy(c);
}

#define HOT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOT_TEST(source_works_until_the_target_stands_by),
        HOT_TEST(moves_are_shown_with_phase_and_mode),
        HOT_TEST(late_state_stays_where_it_is),
        HOT_TEST(target_that_cannot_make_it_changes_nothing),
        HOT_TEST(mode_of_a_migrate_wins_over_the_hubs),
        cmocka_unit_test(without_handover_it_begins_anew_and_once),
        HOT_TEST(stop_ends_both_sides),
        HOT_TEST(stop_does_not_wait_for_a_slow_target),
        HOT_TEST(restart_calls_the_move_off),
        HOT_TEST(standby_of_a_dead_source_does_not_run_beside_the_takeover),
        cmocka_unit_test(state_is_kept_for_hot_retention),
        cmocka_unit_test(confirmation_is_what_the_source_waits_for),
        HOT_TEST(replaced_standby_takes_no_state),
        cmocka_unit_test(unconfirmed_move_waits_for_the_target_to_begin),
        HOT_TEST(slow_child_holds_up_no_other),
        cmocka_unit_test(kept_state_survives_what_others_do),
        cmocka_unit_test(kept_state_ends_with_a_stop),
        cmocka_unit_test(stop_ends_what_is_being_saved),
        cmocka_unit_test(saved_child_that_does_not_end_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
