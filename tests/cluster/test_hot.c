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

/* A child that belongs to the first node and runs there, in a settled cluster. */
static const char *start_one(struct fake_cluster *c, char id[16])
{
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, 16, "c-%u", i);
        if (fc_owner(c, 0, id) == 0)
            break;
    }
    fc_start(c, 0, id);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 0);
    return id;
}

static const struct fc_kid *kid_of(const struct fake_cluster *c, unsigned node, const char *id)
{
    const struct ph_child *child =
        ph_registry_find_rcu(c->nodes[node]->fake.hub.registry, id, strlen(id));
    return child ? ph_child_tail(child) : NULL;
}

static void assert_at_rest(struct fake_cluster *c)
{
    for (unsigned node = 0; node < FC_NODES; node++) {
        if (!c->nodes[node])
            continue;
        const struct ph_cluster *cluster = fc_hub(c, node)->hub.cluster;
        assert_int_equal(cluster->moves_in + cluster->moves_out, 0);
        assert_int_equal(cluster->moves_saving + cluster->moves_bytes, 0);
        for (const struct ph_mail *mail = cluster->mail.mails; mail; mail = mail->next)
            assert_true(!mail->waiting.first && !mail->early && !mail->entry->parting);
    }
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
    start_one(c, id);
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
    assert_at_rest(c);
}

/* People see both sides of a move: what it waits for, and that it is hot. */
static void moves_are_shown_with_phase_and_mode(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_cluster *cluster = fc_hub(c, 2)->hub.cluster;
    const uint64_t others = UINT64_C(1) << 40; /* bytes of other states: no room for its own */
    char id[16];
    start_one(c, id);
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
    assert_at_rest(c);
}

/* A child that does not give its state in time is not killed: its move is called off, people see
 * why, and it goes on with its state when it has given it. */
static void late_state_stays_where_it_is(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_hub *hub = &fc_hub(c, 0)->hub;
    char id[16];
    start_one(c, id);
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
    assert_at_rest(c);
}

/* What the target cannot make leaves it where it is: it was never stopped. */
static void target_that_cannot_make_it_changes_nothing(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
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
    assert_at_rest(c);
}

/* migrate says how, whatever the hub does otherwise. */
static void mode_of_a_migrate_wins_over_the_hubs(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin_mode(c, 1, id, "n3", PH_MOVE_COLD), 5000), 0);
    assert_int_equal(c->nodes[2]->prepares, 0);
    assert_int_equal(fc_wait(c, fc_pin_mode(c, 1, id, "n2", PH_MOVE_ANY), 5000), 0);
    assert_int_equal(c->nodes[1]->prepares, 1);
    assert_string_equal(fc_state(c, id), "born n1 n3 n2");
    struct fake_cluster *cold = fc_create_settled(3, "");
    start_one(cold, id);
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
    start_one(c, id);
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
    assert_at_rest(c);
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
        start_one(c, id);
        fc_pin(c, 1, id, "n3");
        fc_run(c, delay);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, delay % 3), id), 10000), 0);
        fc_settle(c);
        assert_int_equal(fc_where(c, id), FC_NOWHERE);
        assert_null(kid_of(c, 2, id));
        assert_at_rest(c);
    }
}

/* An instance that ends by itself while another one stands by for it is restarted where it is; the
 * move is called off, and succeeds later. */
static void restart_calls_the_move_off(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
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
    assert_at_rest(c);
}

/* The source dies while the target stands by: the child is started once, where it belongs. */
static void standby_of_a_dead_source_does_not_run_beside_the_takeover(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
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
    assert_at_rest(c);
}

/* The target dies soon after it took over: the source starts the child again with what it gave
 * away; not any more when hot.retention is over. */
static void state_is_kept_for_hot_retention(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        struct fake_cluster *c = fc_create_settled(2, "migration=hot hot.retention=4s");
        char id[16];
        start_one(c, id);
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
        start_one(c, id);
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
    start_one(c, id);
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

/* ---- The order of messages --------------------------------------------------------------------
 */

/* Every message of that sender ("nK NUMBER", from 1) was heard once, and in order, wherever the
 * child was. */
static void assert_in_order(const struct fake_cluster *c, unsigned sender, unsigned count)
{
    unsigned next = 1;
    for (uint64_t order = 1; order <= c->hearings; order++)
        for (unsigned node = 0; node < FC_NODES; node++)
            for (size_t i = 0; c->nodes[node] && i < c->nodes[node]->heard_count; i++) {
                unsigned from, number;
                const struct fc_message *message = &c->nodes[node]->heard[i];
                if (message->order == order &&
                    sscanf(message->text, "n%u %u", &from, &number) == 2 && from == sender)
                    assert_int_equal(number, next++);
            }
    assert_int_equal(next, count + 1);
}

static void send_numbered(struct fake_cluster *c, const char *id, unsigned number)
{
    char text[32];
    for (unsigned node = 0; node < 3; node++) {
        snprintf(text, sizeof text, "n%u %u", node + 1, number);
        fc_send(c, node, id, text);
    }
}

static void move_under_traffic(struct fake_cluster *c, const char *id, unsigned moves)
{
    unsigned number = 0;
    for (unsigned move = 0; move < moves; move++) {
        char to[4];
        snprintf(to, sizeof to, "n%u", (move * 7 + 1) % 3 + 1);
        fc_pin(c, move % 3, id, to);
        for (unsigned i = 0; i < 15; i++) {
            send_numbered(c, id, ++number);
            fc_run(c, 1);
        }
    }
    fc_settle(c);
    for (unsigned sender = 1; sender <= 3; sender++)
        assert_in_order(c, sender, number);
    assert_at_rest(c);
}

/* What a node sends to a child is handled in that order and once, while the child moves back and
 * forth, hot or cold. */
static void messages_of_each_node_keep_their_order(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    move_under_traffic(c, start_one(c, id), 40);
    struct fake_cluster *cold = fc_create_settled(3, "");
    move_under_traffic(cold, start_one(cold, id), 40);
    fc_destroy(cold);
}

/* Also where one way is much slower than the other: the fast letters wait for the slow ones. */
static void slow_links_do_not_change_the_order(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    c->pipes[0][2].late_ms = 40;
    c->pipes[1][0].late_ms = 25;
    move_under_traffic(c, start_one(c, id), 30);
}

static void run_until_at(struct fake_cluster *c, const char *id, int node)
{
    for (unsigned i = 0; i < 150 && fc_where(c, id) != node; i++)
        fc_run(c, 1);
    assert_int_equal(fc_where(c, id), node);
}

static bool detour_is_closed(struct fake_cluster *c, unsigned node, const char *id)
{
    struct ph_child *child =
        ph_registry_find_rcu(c->nodes[node]->fake.hub.registry, id, strlen(id));
    return (uint32_t)atomic_load(&child->detour);
}

/* A node's own messages do not overtake those that it sent while the child was elsewhere. */
static void own_messages_wait_for_those_on_their_way(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    fc_settle(c);
    c->pipes[0][2].late_ms = 200;
    fc_send(c, 0, id, "n1 1"); /* on its way for long */
    fc_run(c, 1);
    fc_pin(c, 2, id, "n2");
    run_until_at(c, id, 1);
    fc_pin(c, 1, id, "n1");
    run_until_at(c, id, 0);
    assert_true(detour_is_closed(c, 0, id));
    fc_send(c, 0, id, "n1 2");
    fc_settle(c);
    fc_run(c, 500);
    assert_in_order(c, 1, 2);
    assert_false(detour_is_closed(c, 0, id));
}

/* What was lost with a node is not waited for for ever: later messages of the same sender come. */
static void lost_messages_do_not_hold_up_later_ones(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
    fc_cut(c, 1, 0);
    fc_send(c, 1, id, "lost");
    fc_run(c, 10);
    fc_break(c, 1, 0); /* with the message on its way */
    fc_heal(c);
    fc_run(c, 500);
    fc_send(c, 1, id, "later");
    fc_run(c, 100);
    assert_int_equal(fc_heard(c, id, "lost"), 0);
    assert_int_equal(fc_heard(c, id, "later"), 1);
}

/* Two sides have sent to a child of their own each: when they have met again, what is sent to the
 * one that stays does not wait for what the other one has got. */
static void messages_flow_at_once_after_a_heal(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
    for (unsigned i = 0; i < 3; i++)
        fc_send(c, 1, id, "before");
    fc_run(c, 10);
    fc_split(c, 1u << 0); /* n1 alone */
    fc_run(c, 8000);
    for (unsigned i = 0; i < 5; i++)
        fc_send(c, 1, id, "apart");
    fc_run(c, 10);
    assert_int_equal(fc_heard(c, id, "apart"), 5);
    assert_int_equal(fc_wait(c, fake_restart(fc_hub(c, 0), id), 1000), 0); /* so this one stays */
    fc_run(c, 100);
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 0);
    for (unsigned node = 0; node < 3; node++)
        fc_send(c, node, id, "after");
    fc_run(c, 50);
    assert_int_equal(fc_heard(c, id, "after"), 3);
}

/* A letter that comes to n1 from n2: one of the stream of that sender, the text "n7 NUMBER". */
struct stream {
    uint64_t origin, number;
};

static void inject_letter(struct fake_cluster *c, const char *id, struct stream of, unsigned number)
{
    char text[16];
    int length = snprintf(text, sizeof text, "n7 %u", number);
    struct ph_text frame = PH_TEXT_INIT;
    ph_frame_start(&fc_hub(c, 1)->hub, &frame, PH_FRAME_MAIL,
                   fc_hub(c, 0)->hub.cluster->generation);
    ph_pack_array(&frame, 1);
    ph_pack_uint(&frame, 0);
    ph_pack_str(&frame, id, strlen(id));
    ph_pack_uint(&frame, of.origin);
    ph_pack_uint(&frame, of.number);
    ph_pack_uint(&frame, number);
    ph_pack_uint(&frame, 0);
    ph_pack_bin(&frame, text, (size_t)length);
    fc_inject(c, 1, 0, &frame);
    fc_run(c, 2);
}

static unsigned heard_of_n7(const struct fake_cluster *c, const char *id)
{
    unsigned heard = 0;
    for (unsigned number = 1; number <= 9; number++) {
        char text[16];
        snprintf(text, sizeof text, "n7 %u", number);
        heard += fc_heard(c, id, text);
    }
    return heard;
}

/* A letter that is late although nothing was lost (its link is slow, or full) is waited for, also
 * for longer than a node may be silent; half a minute at most. When a session breaks it may have
 * been lost: then the others wait for no longer than that, unless they come much later. */
static void late_letters_are_waited_for_until_something_is_lost(void **state)
{
    static const struct stream stream = {77, 1}, next = {77, 2};
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
    inject_letter(c, id, stream, 1);
    inject_letter(c, id, stream, 3);
    fc_run(c, 10000);
    assert_int_equal(heard_of_n7(c, id), 1);
    inject_letter(c, id, stream, 2);
    assert_in_order(c, 7, 3);
    inject_letter(c, id, stream, 5);
    fc_run(c, 29000);
    assert_int_equal(heard_of_n7(c, id), 3);
    fc_run(c, 2000);
    assert_int_equal(heard_of_n7(c, id), 4);
    inject_letter(c, id, next, 1);
    inject_letter(c, id, next, 3);
    fc_run(c, 5000);
    fc_break(c, 0, 2);
    fc_run(c, 2000);
    assert_int_equal(heard_of_n7(c, id), 5);
    fc_run(c, 2000);
    assert_int_equal(heard_of_n7(c, id), 6);
    fc_run(c, 31000);
    inject_letter(c, id, next, 5);
    fc_run(c, 10000);
    assert_int_equal(heard_of_n7(c, id), 6);
}

/* The same for what a node has sent to a child that has come back to it meanwhile: its own later
 * messages do not overtake that. */
static void own_letters_that_are_late_are_not_overtaken(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    fc_settle(c);
    c->drop[PH_FRAME_MAIL] = 1; /* it comes later */
    fc_send(c, 0, id, "n7 1");
    fc_run(c, 2);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n1"), 5000), 0);
    fc_send(c, 0, id, "n7 2");
    fc_run(c, 10000);
    assert_true(detour_is_closed(c, 0, id));
    assert_int_equal(heard_of_n7(c, id), 0);
    const struct ph_mail *mail =
        ph_directory_find_rcu(c->nodes[0]->directory, id, strlen(id))->mail;
    inject_letter(c, id, (struct stream){mail->tracks->origin, mail->stream}, 1);
    assert_in_order(c, 7, 2);
    fc_run(c, 1);
    assert_false(detour_is_closed(c, 0, id));
}

/* A letter that comes once more, early or late, is not handled again; nor does it hold up others.
 */
static void doubled_letters_are_dropped(void **state)
{
    static const struct stream stream = {77, 1};
    struct fake_cluster *c = *state;
    /* Which number is first is learnt from the first that comes. */
    static const unsigned numbers[] = {2, 2, 4, 5, 4, 5, 3, 3, 4, 6};
    char id[16], text[16];
    start_one(c, id);
    for (unsigned i = 0; i < PH_COUNT_OF(numbers); i++)
        inject_letter(c, id, stream, numbers[i]);
    fc_run(c, 10000);
    for (unsigned number = 2; number <= 6; number++) {
        snprintf(text, sizeof text, "n7 %u", number);
        assert_int_equal(fc_heard(c, id, text), 1);
    }
    assert_true(fc_hub(c, 0)->hub.cluster->mail.doubled > 0);
}

/* Where a child was started anew a message that has taken another way is handled when it comes.
 */
static void straggler_is_handled_where_its_child_began_anew(void **state)
{
    static const struct stream stream = {77, 1};
    static const unsigned numbers[] = {3, 2, 4, 3};
    struct fake_cluster *c = *state;
    char id[16], text[16];
    start_one(c, id);
    for (unsigned i = 0; i < PH_COUNT_OF(numbers); i++)
        inject_letter(c, id, stream, numbers[i]);
    for (unsigned number = 2; number <= 4; number++) {
        snprintf(text, sizeof text, "n7 %u", number);
        assert_int_equal(fc_heard(c, id, text), 1);
    }
}

/* Unread calls go with the child and are answered there; those of a move that fails are handled
 * where it stays, once. */
static void unread_calls_are_answered_once(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
    c->nodes[0]->mute = true;
    struct ph_op *call = fc_call(c, 1, id, "a");
    struct ph_op *own = fc_call(c, 0, id, "b");
    fc_run(c, 10);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    assert_int_equal(fc_wait(c, call, 100), 0);
    assert_int_equal(fc_wait(c, own, 100), 0);
    assert_string_equal(ph_op_result(call)->reply, "a of n3");
    assert_int_equal(fc_heard(c, id, "a") + fc_heard(c, id, "b"), 2);
    assert_at_rest(c);
}

/* What stands by is replaced, because another spec is wanted, while the state is on its way: the
 * state is not given to one that is not ready, and comes with the next try. */
static void replaced_standby_takes_no_state(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    start_one(c, id);
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
    assert_at_rest(c);
}

/* Without a confirmation the source is through when the target has begun, not when time is up: the
 * state may still be on its way, and somebody else begin without it. */
static void unconfirmed_move_waits_for_the_target_to_begin(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(3, "migration=hot hot.confirm=false");
    char id[16];
    start_one(c, id);
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

/* The target takes what the child has not read, and dies with its answer; its next life knows
 * nothing of it. The source, which has no quorum until then, goes on: without what may have been
 * handled. */
static void unread_messages_of_a_target_that_begins_anew_are_not_read_again(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(2, "partition=majority");
    char id[16];
    start_one(c, id);
    c->nodes[0]->mute = true;
    fc_send(c, 0, id, "once");
    fc_run(c, 2);
    c->drop[PH_FRAME_MOVED] = 1;
    fc_pin(c, 0, id, "n2");
    run_until_at(c, id, 1);
    fc_run(c, 5);
    assert_int_equal(fc_heard(c, id, "once"), 1);
    assert_int_equal(c->drop[PH_FRAME_MOVED], 0);
    fc_kill(c, 1, true);
    c->nodes[0]->mute = false;
    fc_run(c, 5000);
    fc_begin(c, 1, "partition=majority");
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(fc_heard(c, id, "once"), 0); /* that was in the life before */
    assert_at_rest(c);
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
        HOT_TEST(restart_calls_the_move_off),
        HOT_TEST(standby_of_a_dead_source_does_not_run_beside_the_takeover),
        cmocka_unit_test(state_is_kept_for_hot_retention),
        cmocka_unit_test(confirmation_is_what_the_source_waits_for),
        HOT_TEST(replaced_standby_takes_no_state),
        cmocka_unit_test(unconfirmed_move_waits_for_the_target_to_begin),
        HOT_TEST(slow_child_holds_up_no_other),
        cmocka_unit_test(kept_state_survives_what_others_do),
        HOT_TEST(messages_of_each_node_keep_their_order),
        HOT_TEST(slow_links_do_not_change_the_order),
        HOT_TEST(own_messages_wait_for_those_on_their_way),
        HOT_TEST(lost_messages_do_not_hold_up_later_ones),
        HOT_TEST(messages_flow_at_once_after_a_heal),
        HOT_TEST(late_letters_are_waited_for_until_something_is_lost),
        HOT_TEST(own_letters_that_are_late_are_not_overtaken),
        HOT_TEST(doubled_letters_are_dropped),
        HOT_TEST(straggler_is_handled_where_its_child_began_anew),
        cmocka_unit_test(unread_messages_of_a_target_that_begins_anew_are_not_read_again),
        HOT_TEST(unread_calls_are_answered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
