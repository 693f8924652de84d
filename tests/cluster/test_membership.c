#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
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

static enum ph_member_state member_state(struct fake_cluster *c, unsigned node, const char *name)
{
    const struct ph_members *members = fc_members(c, node);
    uint16_t slot = ph_members_find(members, name, strlen(name));
    assert_int_not_equal(slot, PH_NO_MEMBER);
    return members->list[slot].state;
}

/* ---- Together ------------------------------------------------------------------------------ */

/* Nodes that are linked find each other, and have one view with one hash. */
static void linked_nodes_agree_on_one_view(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create(4, "");
    fc_run(c, 2000);
    for (unsigned node = 0; node < 4; node++)
        assert_int_equal(fc_members(c, node)->in_view, 1);
    fc_link_all(c);
    uint64_t before_ms = c->now_ms;
    fc_settle(c);
    assert_in_range(c->now_ms - before_ms, 1, 1000); /* not a matter of many beats */
    for (unsigned node = 0; node < 4; node++) {
        assert_int_equal(fc_members(c, node)->view, fc_members(c, 0)->view);
        assert_int_equal(fake_count_records(fc_hub(c, node), "node_up"), 3);
        for (unsigned other = 0; other < 4; other++) {
            char name[8];
            snprintf(name, sizeof name, "n%u", other + 1);
            assert_int_equal(member_state(c, node, name), PH_MEMBER_UP);
        }
    }
    fc_destroy(c);
}

/* A cluster at rest stays at rest: beats, and nothing else. */
static void settled_nodes_exchange_beats_only(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..50]");
    fc_settle(c);
    fc_run(c, 1000);
    memset(c->sent, 0, sizeof c->sent);
    fc_run(c, 10000);
    for (unsigned type = 0; type < PH_FRAMES; type++)
        if (type != PH_FRAME_BEAT)
            assert_int_equal(c->sent[type], 0);
    assert_in_range(c->sent[PH_FRAME_BEAT], 100, 140); /* 6 pairs, 20 beats */
}

/* Hubs with other options do not mix, and say why. */
static void other_options_keep_hubs_apart(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create(2, "");
    fc_begin(c, 2, "partition=majority");
    fc_link_all(c);
    assert_true(fc_settle_some(c, 3, 2, 5000));
    fc_run(c, 5000);
    assert_int_equal(fc_members(c, 2)->in_view, 1);
    assert_int_equal(fc_members(c, 0)->in_view, 2);
    assert_non_null(strstr(fake_last(fc_hub(c, 0), "member_refused", NULL)->text, "options"));
    assert_non_null(strstr(fake_last(fc_hub(c, 2), "member_refused", NULL)->text, "options"));
    fc_destroy(c);
}

/* ---- Joining ------------------------------------------------------------------------------- */

/* A join moves exactly the joiner's share; what stays is not touched, what moves takes its state
 * along. */
static void join_moves_exactly_the_joiners_share(void **state)
{
    struct fake_cluster *c = *state;
    int before[100];
    char id[16];
    unsigned moved = 0;
    fc_start(c, 0, "a-[0..99]");
    fc_settle(c);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "a-%u", i);
        before[i] = fc_where(c, id);
    }
    fc_begin(c, 3, "");
    fc_link_all(c);
    fc_settle(c);
    for (unsigned i = 0; i < 100; i++) {
        char expected[32];
        snprintf(id, sizeof id, "a-%u", i);
        int now = fc_where(c, id);
        bool moves = now != before[i];
        snprintf(expected, sizeof expected, "born n%d%s", before[i] + 1, moves ? " n4" : "");
        if (moves)
            assert_int_equal(now, 3);
        moved += moves;
        assert_string_equal(fc_state(c, id), expected);
        assert_int_equal(now, fc_owner(c, 0, id));
    }
    assert_in_range(moved, 10, 45);
    assert_int_equal(fc_starts(c), 100 + moved);
    fc_assert_listed_everywhere(c, "a-[0..99]");
}

/* A join waits behind a lock of the gate, on the node that has it. */
static void join_waits_behind_a_lock(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[0..29]");
    fc_settle(c);
    for (unsigned node = 0; node < 3; node++)
        fake_lock(fc_hub(c, node), "work", PH_PRIORITY_LOCKED, 60000);
    fc_begin(c, 3, "");
    fc_link_all(c);
    fc_run(c, 5000);
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(fc_members(c, node)->in_view, 3);
    assert_int_equal(fc_starts(c), 30);
    for (unsigned node = 0; node < 3; node++)
        fake_unlock(fc_hub(c, node), "work");
    fc_settle(c);
    assert_int_equal(fc_members(c, 0)->in_view, 4);
    assert_in_range(fc_local(c, 3), 1, 29);
    fc_assert_listed_everywhere(c, "a-[0..29]");
}

/* ---- Dying --------------------------------------------------------------------------------- */

/* The children of a dead node run again exactly once each, on the others; theirs are not touched.
 */
static void dead_nodes_children_run_again_once(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    fc_run(c, 1000);
    uint64_t lost = fc_local(c, 2);
    fc_kill(c, 2, false);
    uint64_t before = fc_starts(c);
    fc_run(c, 15); /* its process is gone: that is agreed on in a few rounds, without a pause */
    assert_int_equal(fc_starts(c), before + lost);
    fc_settle(c);
    assert_int_equal(fc_starts(c), before + lost);
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1), 60);
    fc_assert_listed_everywhere(c, "a-[1..60]");
    assert_int_equal(member_state(c, 0, "n3"), PH_MEMBER_DOWN);
}

static void tell_gone(struct fake_cluster *c, unsigned node, unsigned of)
{
    struct ph_event *event = ph_event_create(PH_EVENT_PEER_DOWN);
    event->peer.peer.number = c->pipes[node][of].peer;
    event->peer.why = PH_PEER_REFUSED;
    fc_post_event(&fc_hub(c, node)->hub, event);
}

/* n2 hears later than n1 that n3 is dead, and knows by n1's beat that n1 has begun with its share:
 * it waits for the rows of that, and not for another beat. */
static void awaited_rows_are_enough_to_begin(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    fc_run(c, 1000);
    uint64_t lost = fc_local(c, 2);
    fc_kill(c, 2, true);
    uint64_t before = fc_starts(c), here = c->nodes[1]->starts;
    c->pipes[0][1].full = true;
    tell_gone(c, 0, 2);
    fc_run(c, 10);
    assert_true(fc_starts(c) > before);
    tell_gone(c, 1, 2);
    fc_run(c, 20);
    assert_int_equal(c->nodes[1]->starts, here);
    c->pipes[0][1].full = false;
    fc_run(c, 10);
    assert_int_equal(fc_starts(c), before + lost);
    fc_settle(c);
}

/* A node that only falls silent is suspect, then dead; its children run again after that. */
static void silent_node_is_dead_after_its_time(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t lost = fc_local(c, 2), before = fc_starts(c) - c->nodes[2]->starts;
    fc_kill(c, 2, true);
    fc_run(c, 2300);
    assert_int_equal(fc_starts(c), before);
    assert_int_equal(member_state(c, 0, "n3"), PH_MEMBER_SUSPECT);
    fc_run(c, 1000);
    assert_int_equal(fc_starts(c), before + lost);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..60]");
}

/* When n1 took that node for dead. */
static uint64_t when_lost(struct fake_cluster *c, const char *name)
{
    const struct fake_hub *fake = fc_hub(c, 0);
    for (size_t i = 0; i < fake->record_count; i++)
        if (strcmp(fake->records[i].type, "node_down") == 0 &&
            strncmp(fake->records[i].text, name, strlen(name)) == 0)
            return fake->records[i].now_ms;
    fail_msg("%s was not lost", name);
    return 0;
}

/* Nodes that vanish together are one change: nothing is started twice, one view follows. */
static void nodes_that_vanish_together_are_one_change(void **state)
{
    struct fake_cluster *c = *state;
    fc_begin(c, 3, "");
    fc_link_all(c);
    fc_settle(c);
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t lost = fc_local(c, 2) + fc_local(c, 3);
    uint64_t before = c->nodes[0]->starts + c->nodes[1]->starts;
    fc_kill(c, 2, true);
    fc_run(c, 200);
    fc_kill(c, 3, true);
    fc_settle(c);
    assert_int_equal(fc_starts(c), before + lost);
    assert_int_equal(fake_count_records(fc_hub(c, 0), "node_down"), 2);
    assert_true(when_lost(c, "n3") == when_lost(c, "n4"));
    fc_assert_listed_everywhere(c, "a-[1..60]");
}

/* A node that comes back is a new life: it begins empty, and gets its share again. */
static void node_that_comes_back_gets_its_share_again(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t share = fc_local(c, 2);
    fc_kill(c, 2, false);
    fc_settle(c);
    fc_begin(c, 2, "");
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(fc_local(c, 2), share);
    fc_assert_listed_everywhere(c, "a-[1..60]");
    assert_int_equal(member_state(c, 0, "n3"), PH_MEMBER_UP);
}

/* The same when it is back before the others have noticed that it was away. */
static void node_that_is_back_at_once_runs_its_children_anew(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t share = fc_local(c, 2);
    fc_kill(c, 2, true);
    fc_begin(c, 2, "");
    fc_link(c, 0, 2);
    fc_link(c, 1, 2);
    fc_settle(c);
    assert_int_equal(fc_local(c, 2), share);
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1) + fc_local(c, 2), 60);
    fc_assert_listed_everywhere(c, "a-[1..60]");
}

/* ---- Going --------------------------------------------------------------------------------- */

/* A hub that is stopped hands everything over, with the states, and leaves nothing behind. */
static void stopped_hub_hands_everything_over(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t share = fc_local(c, 2), before = fc_starts(c);
    struct ph_op *op = fake_shutdown(fc_hub(c, 2));
    assert_int_equal(fc_wait(c, op, 10000), 0);
    assert_int_equal(fc_local(c, 2), 0);
    assert_int_equal(fc_starts(c), before + share);
    fc_run(c, 100);
    assert_int_equal(member_state(c, 0, "n3"), PH_MEMBER_LEFT);
    fc_kill(c, 2, false);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..60]");
    unsigned travelled = 0;
    for (unsigned i = 1; i <= 60; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%u", i);
        travelled += strncmp(fc_state(c, id), "born n3 ", 8) == 0;
    }
    assert_int_equal(travelled, share);
}

/* `leave` hands over and forgets; the node lives on alone and empty, and may join again. */
static void node_that_leaves_forgets_and_may_come_back(void **state)
{
    struct fake_cluster *c = *state;
    enum ph_state shown;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t share = fc_local(c, 2);
    struct ph_op *op = fc_leave(c, 2);
    assert_int_equal(fc_wait(c, op, 10000), 0);
    fc_run(c, 5000);
    assert_int_equal(fc_local(c, 2), 0);
    assert_int_equal(fc_listed(c, 2, "a-1", &shown), FC_NOWHERE);
    assert_int_equal(fc_members(c, 2)->in_view, 1);
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1), 60);
    fc_break(c, 0, 2); /* a new session alone brings it back no more than the old one */
    fc_run(c, 5000);
    assert_int_equal(fc_members(c, 2)->in_view, 1);
    assert_int_equal(fc_wait(c, fc_join(c, 2), 100), 0);
    fc_settle(c);
    assert_int_equal(fc_local(c, 2), share);
    fc_assert_listed_everywhere(c, "a-[1..60]");
}

/* A stop is remembered for a node that still wants the child, also by one that has never met that
 * node: others have told of it. */
static void stop_is_remembered_for_those_that_others_know(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create(0, "");
    fc_begin(c, 1, "");
    fc_begin(c, 2, "");
    fc_link(c, 1, 2);
    fc_settle(c);
    fc_start(c, 1, "a-[1..20]");
    fc_settle(c);
    c->nodes[2]->paused_ms = c->now_ms + 400000;
    fc_begin(c, 0, "");
    fc_link(c, 0, 1);
    assert_true(fc_settle_some(c, 3, 2, 10000));
    assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "a-[1..10]"), 5000), 0);
    fc_kill(c, 1, true); /* only n1 knows of the stop now */
    fc_begin(c, 1, "");
    fc_link(c, 0, 1);
    fc_run(c, 500000);
    fc_link_all(c);
    fc_settle(c);
    for (unsigned i = 1; i <= 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%u", i);
        assert_int_equal(fc_where(c, id) >= 0, i > 10);
    }
    fc_destroy(c);
}

/* ---- Custom events ----------------------------------------------------------------------------
 */

static void dispatch(struct fake_cluster *c, unsigned node, const char *name, enum ph_audience to,
                     const char *nodes)
{
    struct ph_event *event = fake_event(fc_hub(c, node), PH_EVENT_DISPATCH, NULL);
    snprintf(event->dispatch.name, sizeof event->dispatch.name, "%s", name);
    event->dispatch.payload = ph_copy_text("hello", 5);
    event->dispatch.members = to;
    event->dispatch.nodes = nodes ? ph_copy_text(nodes, strlen(nodes)) : NULL;
    event->gated.priority = 5;
    fake_submit(fc_hub(c, node), event);
    fc_run(c, 10);
}

static void assert_recorded(struct fake_cluster *c, const char *name, size_t n1, size_t n2,
                            size_t n3)
{
    assert_int_equal(fake_count_records(fc_hub(c, 0), name), n1);
    assert_int_equal(fake_count_records(fc_hub(c, 1), name), n2);
    assert_int_equal(fake_count_records(fc_hub(c, 2), name), n3);
}

/* A custom event goes to whom it is for, once, with its payload; the sender records it, too. */
static void custom_event_goes_to_whom_it_is_for(void **state)
{
    struct fake_cluster *c = *state;
    dispatch(c, 0, "mine", PH_MEMBERS_LOCAL, NULL);
    dispatch(c, 0, "ours", PH_MEMBERS_GLOBAL, NULL);
    dispatch(c, 0, "theirs", PH_MEMBERS_EXTERNAL, NULL);
    dispatch(c, 0, "some", PH_MEMBERS_NODES, "n3,n9");
    assert_recorded(c, "mine", 1, 0, 0);
    assert_recorded(c, "ours", 1, 1, 1);
    assert_recorded(c, "theirs", 1, 1, 1);
    assert_recorded(c, "some", 1, 0, 1);
    assert_string_equal(fake_last(fc_hub(c, 2), "some", NULL)->text, "hello");
}

/* The gate of the sender decides: what it holds goes out when it opens; the others' gates have no
 * say. */
static void gate_of_the_sender_decides(void **state)
{
    struct fake_cluster *c = *state;
    fake_lock(fc_hub(c, 0), "work", PH_PRIORITY_LOCKED, 60000);
    dispatch(c, 0, "held", PH_MEMBERS_GLOBAL, NULL);
    dispatch(c, 1, "free", PH_MEMBERS_GLOBAL, NULL);
    assert_recorded(c, "held", 0, 0, 0);
    assert_recorded(c, "free", 1, 1, 1);
    fake_unlock(fc_hub(c, 0), "work");
    fc_run(c, 10);
    assert_recorded(c, "held", 1, 1, 1);
}

/* ---- Frames -------------------------------------------------------------------------------- */

static uint64_t refused(struct fake_cluster *c, unsigned node)
{
    return fc_hub(c, node)->hub.cluster->refused_frames;
}

static void frame_head(struct ph_text *frame, unsigned type, uint64_t from, uint64_t to)
{
    ph_pack_uint(frame, type);
    ph_pack_uint(frame, from);
    ph_pack_uint(frame, to);
    ph_pack_uint(frame, 1);
}

/* A frame of another life, of its sender or for another life of ours, is refused and counted. */
static void frame_of_an_old_generation_is_refused(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_text frame = PH_TEXT_INIT;
    uint64_t of_n1 = fc_hub(c, 0)->hub.cluster->generation;
    uint64_t of_n2 = fc_hub(c, 1)->hub.cluster->generation;
    const uint64_t wrong[][2] = {{of_n2 - 1, of_n1}, {of_n2, of_n1 - 1}, {0, 0}};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = refused(c, 0);
        frame_head(&frame, PH_FRAME_BYE, wrong[i][0], wrong[i][1]);
        fc_inject(c, 1, 0, &frame);
        fc_run(c, 10);
        assert_int_equal(refused(c, 0), before + 1);
        assert_int_equal(member_state(c, 0, "n2"), PH_MEMBER_UP);
    }
}

/* Bytes that make no sense are refused and counted, whatever their type; nothing else happens. */
static void senseless_frames_are_refused(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_text frame = PH_TEXT_INIT;
    uint64_t of_n1 = fc_hub(c, 0)->hub.cluster->generation;
    uint64_t of_n2 = fc_hub(c, 1)->hub.cluster->generation;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    for (unsigned type = 0; type < PH_FRAMES; type++) {
        if (type == PH_FRAME_BYE || type == PH_FRAME_REPAIRED)
            continue; /* they have no body */
        uint64_t before = refused(c, 0);
        frame_head(&frame, type, of_n2, of_n1);
        ph_text_append(&frame, "\xc1\xff\x00\x92", 4);
        fc_inject(c, 1, 0, &frame);
        fc_run(c, 10);
        assert_int_equal(refused(c, 0), before + 1);
    }
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..9]");
}

/* One frame that is lost although nobody noticed is made good after some beats. */
static void lost_frame_heals_by_itself(void **state)
{
    struct fake_cluster *c = *state;
    static const enum ph_hub_frame types[] = {PH_FRAME_INTENTS, PH_FRAME_ROWS, PH_FRAME_TAKEN,
                                              PH_FRAME_OUTCOMES};
    for (unsigned round = 0; round < 12; round++) {
        char ids[32];
        snprintf(ids, sizeof ids, "r%u-[1..9]", round);
        c->drop[types[round % 4]] = 1 + round / 4;
        fake_start(fc_hub(c, round % 3), ids, "");
        fc_run(c, 50);
        memset(c->drop, 0, sizeof c->drop);
        fc_settle(c);
        fc_assert_listed_everywhere(c, ids);
    }
    assert_int_equal(fc_starts(c), 12 * 9);
}

/* A node that did not run for longer than it takes to be dead knows nothing of the others: their
 * children go on, and only its own were started anew meanwhile. */
static void paused_node_takes_nobody_for_dead(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t of_n3 = fc_local(c, 2), of_n1 = c->nodes[0]->starts, of_n2 = c->nodes[1]->starts;
    c->nodes[2]->paused_ms = c->now_ms + 5000;
    fc_split(c, 1 << 2);
    fc_run(c, 5010); /* it runs before it reads */
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(c->nodes[0]->starts + c->nodes[1]->starts, of_n1 + of_n2 + of_n3);
    assert_int_equal(c->nodes[2]->starts, 2 * of_n3); /* they came back: cold moves */
    assert_int_equal(fake_count_records(fc_hub(c, 2), "node_down"), 0);
    fc_assert_listed_everywhere(c, "a-[1..60]");
}

/* One that is paused again and again decides all the same, after some time: the others wait for it.
 */
static void node_that_is_often_paused_decides(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t of_n3 = fc_local(c, 2), starts = c->nodes[0]->starts + c->nodes[1]->starts;
    fc_kill(c, 2, true);
    for (unsigned i = 0; i < 8; i++) {
        c->nodes[1]->paused_ms = c->now_ms + 1100;
        fc_run(c, 1180);
    }
    assert_int_equal(c->nodes[0]->starts + c->nodes[1]->starts, starts + of_n3);
}

/* Rows that are late, and come, are not asked for again: beats that overtake them tell of more. */
static void rows_on_their_way_are_not_asked_for_again(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..60]");
    fc_settle(c);
    uint64_t hellos = c->sent[PH_FRAME_HELLO];
    for (unsigned to = 0; to < 3; to++)
        c->pipes[1][to].stream_ms = 80;
    for (unsigned i = 0; i < 400; i++) {
        fake_restart(fc_hub(c, 1), "a-[1..60]");
        fc_run(c, 10);
    }
    assert_int_equal(c->sent[PH_FRAME_HELLO], hellos);
    for (unsigned to = 0; to < 3; to++)
        c->pipes[1][to].stream_ms = 0;
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..60]");
}

#define MEMBERSHIP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEMBERSHIP_TEST(linked_nodes_agree_on_one_view),
        MEMBERSHIP_TEST(settled_nodes_exchange_beats_only),
        MEMBERSHIP_TEST(other_options_keep_hubs_apart),
        MEMBERSHIP_TEST(join_moves_exactly_the_joiners_share),
        MEMBERSHIP_TEST(join_waits_behind_a_lock),
        MEMBERSHIP_TEST(dead_nodes_children_run_again_once),
        MEMBERSHIP_TEST(awaited_rows_are_enough_to_begin),
        MEMBERSHIP_TEST(silent_node_is_dead_after_its_time),
        MEMBERSHIP_TEST(nodes_that_vanish_together_are_one_change),
        MEMBERSHIP_TEST(node_that_comes_back_gets_its_share_again),
        MEMBERSHIP_TEST(node_that_is_back_at_once_runs_its_children_anew),
        MEMBERSHIP_TEST(stopped_hub_hands_everything_over),
        MEMBERSHIP_TEST(node_that_leaves_forgets_and_may_come_back),
        cmocka_unit_test(stop_is_remembered_for_those_that_others_know),
        MEMBERSHIP_TEST(custom_event_goes_to_whom_it_is_for),
        MEMBERSHIP_TEST(gate_of_the_sender_decides),
        MEMBERSHIP_TEST(frame_of_an_old_generation_is_refused),
        MEMBERSHIP_TEST(senseless_frames_are_refused),
        MEMBERSHIP_TEST(lost_frame_heals_by_itself),
        MEMBERSHIP_TEST(paused_node_takes_nobody_for_dead),
        MEMBERSHIP_TEST(node_that_is_often_paused_decides),
        MEMBERSHIP_TEST(rows_on_their_way_are_not_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
