#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/cluster_move.h"
#include "engine/error.h"
#include "engine/legacy.h"
#include "engine/op.h"

static int set_up(void **state)
{
    struct fake_cluster *c = fc_create_settled(3, "");
    c->merges = true;
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

/* n3 and the others run the children of `ids` separately. */
static void diverge(struct fake_cluster *c, const char *ids)
{
    fc_start(c, 0, ids);
    fc_settle(c);
    fc_split(c, 4);
    fc_run(c, 10000);
}

/* One child that began on n3; the other side's instance is younger and stays. Returns its node. */
static unsigned diverge_one(struct fake_cluster *c, char id[16])
{
    unsigned i = 0;
    do
        snprintf(id, 16, "c-%u", i++);
    while (fc_owner(c, 2, id) != 2);
    diverge(c, id);
    return fake_child(fc_hub(c, 0), id) ? 0 : 1;
}

static unsigned count_in(const char *text, const char *part)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* Of each child both states are in one, and each once. */
static void assert_joined(struct fake_cluster *c, const char *prefix, unsigned children,
                          unsigned sides)
{
    for (unsigned i = 1; i <= children; i++) {
        char id[16];
        snprintf(id, sizeof id, "%s-%u", prefix, i);
        const char *text = fc_state(c, id);
        if (count_in(text, "born") != sides || count_in(text, " + ") != sides - 1)
            fail_msg("%s is '%s'", id, text);
    }
}

static size_t conflicts(const struct fake_cluster *c)
{
    size_t count = 0;
    for (unsigned node = 0; node < FC_NODES; node++)
        if (c->nodes[node])
            count += c->nodes[node]->fake.hub.cluster->merges.conflicts.count;
    return count;
}

static size_t records(const struct fake_cluster *c, const char *type)
{
    size_t count = 0;
    for (unsigned node = 0; node < FC_NODES; node++)
        if (c->nodes[node])
            count += fake_count_records(&c->nodes[node]->fake, type);
    return count;
}

static size_t joins(const struct fake_cluster *c)
{
    size_t count = 0;
    for (unsigned node = 0; node < FC_NODES; node++)
        count += c->nodes[node] ? c->nodes[node]->joins : 0;
    return count;
}

static void set_deaf(struct fake_cluster *c, bool deaf)
{
    for (unsigned node = 0; node < 3; node++)
        if (c->nodes[node])
            c->nodes[node]->deaf = deaf;
}

static void assert_idle(const struct fake_cluster *c)
{
    for (unsigned node = 0; node < FC_NODES; node++) {
        if (!c->nodes[node])
            continue;
        assert_null(c->nodes[node]->fake.hub.cluster->merges.leaving.first);
        assert_null(c->nodes[node]->fake.hub.cluster->merges.joining.first);
    }
}

/* Runs until that node has been asked to join a state. */
static void run_until_joining(struct fake_cluster *c, unsigned node)
{
    for (unsigned i = 0; i < 20000 && !c->nodes[node]->joins; i++)
        fc_run(c, 1);
    assert_int_equal(c->nodes[node]->joins, 1);
}

/* ---- Joined, or stored ----------------------------------------------------------------------- */

/* After a heal the instance that stays has both states. */
static void states_of_both_sides_are_joined(void **state)
{
    struct fake_cluster *c = *state;
    diverge(c, "a-[1..30]");
    fc_heal(c);
    fc_settle(c);
    fc_assert_listed_everywhere(c, "a-[1..30]");
    assert_joined(c, "a", 30, 2);
    assert_int_equal(records(c, "child_merged"), 30);
    assert_int_equal(joins(c), 30);
    assert_int_equal(conflicts(c), 0);
    assert_idle(c);
}

/* Each of three sides has counted: nothing of any is lost, and nothing is there twice. */
static void states_of_three_sides_are_joined(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    fc_split(c, 1);
    fc_split(c, 2);
    fc_run(c, 10000);
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1) + fc_local(c, 2), 90);
    fc_heal(c);
    fc_settle(c);
    assert_joined(c, "a", 30, 3);
    assert_idle(c);
}

/* What nobody joins is kept where the instance that stays was, which keeps its own state. */
static void state_that_nobody_joins_is_kept_as_a_conflict(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    c->merges = false;
    unsigned stays = diverge_one(c, id);
    fc_heal(c);
    fc_run(c, 5000);
    const struct ph_conflicts *store = &fc_hub(c, stays)->hub.cluster->merges.conflicts;
    assert_int_equal(store->count, 1);
    assert_string_equal(store->first->id, id);
    assert_string_equal(store->first->legacy->from, "n3");
    assert_string_equal(store->first->legacy->state, "born n3");
    assert_string_equal(store->first->why, "it does not merge");
    assert_in_range(store->first->legacy->ran_ms, 10000, 30000);
    assert_non_null(strstr(fake_last(fc_hub(c, stays), "child_conflict", id)->text,
                           "conflict 1, 7 bytes from n3"));
    assert_non_null(
        strstr(fake_last(fc_hub(c, 2), "child_stopped", id)->text, "is a conflict there"));
    fc_settle(c);
    assert_null(strstr(fc_state(c, id), "+"));
    assert_int_equal(count_in(fc_state(c, id), "born"), 1);
    assert_idle(c);
}

/* A conflict can be read and dropped, once. */
static void conflict_is_read_and_dropped(void **state)
{
    struct fake_cluster *c = *state;
    struct ph_op *op;
    c->merges = false;
    diverge(c, "a-[1..30]");
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(conflicts(c), 30);
    const uint64_t held = fc_hub(c, 0)->hub.cluster->merges.conflicts.count;
    const struct {
        uint64_t number;
        bool drop;
        int code;
        uint64_t changed;
    } cases[] = {
        {2, false, 0, 0},
        {2, true, 0, 1},
        {2, true, PH_ENOTFOUND, 0},
        {2, false, PH_ENOTFOUND, 0},
        {0, false, PH_ENOTFOUND, 0},
        {0, true, 0, held - 1},
        {0, true, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ph_event *event = fake_event(fc_hub(c, 0), PH_EVENT_CONFLICT, &op);
        event->conflict.number = cases[i].number;
        event->conflict.drop = cases[i].drop;
        fc_post_event(&fc_hub(c, 0)->hub, event);
        assert_int_equal(fc_wait(c, op, 100), cases[i].code);
        assert_int_equal(ph_op_result(op)->changed, cases[i].changed);
        if (i == 0)
            assert_memory_equal(ph_op_result(op)->reply, "born n", 6);
    }
}

/* The store is bounded; what it drives out is told. */
static void full_store_drops_the_oldest_and_says_so(void **state)
{
    struct fake_cluster *c = *state;
    c->merges = false;
    fc_kill(c, 2, false);
    fc_settle(c);
    fc_start(c, 0, "a-[1..2200]");
    fc_settle(c);
    fc_split(c, 2);
    fc_run(c, 10000);
    fc_heal(c);
    fc_settle(c);
    for (unsigned node = 0; node < 2; node++) {
        const struct ph_merges *merges = &fc_hub(c, node)->hub.cluster->merges;
        assert_int_equal(merges->conflicts.count, PH_CONFLICTS_MAX);
        assert_int_equal(fake_count_records(fc_hub(c, node), "conflict_dropped"),
                         merges->stored - PH_CONFLICTS_MAX);
        assert_int_equal(merges->conflicts.first->number, merges->stored - PH_CONFLICTS_MAX + 1);
    }
    assert_int_equal(
        fc_hub(c, 0)->hub.cluster->merges.stored + fc_hub(c, 1)->hub.cluster->merges.stored, 2200);
}

/* More of them than may be under way at a time: all are joined, and never more are. */
static void many_merges_wait_for_their_turn(void **state)
{
    struct fake_cluster *c = *state;
    fc_kill(c, 2, false);
    fc_settle(c);
    fc_start(c, 0, "a-[1..2500]");
    fc_settle(c);
    fc_split(c, 2);
    fc_run(c, 10000);
    fc_heal(c);
    fc_settle(c);
    assert_joined(c, "a", 2500, 2);
    assert_int_equal(joins(c), 2500);
    assert_idle(c);
}

/* What was unread where an instance gave way is read where the other one stays. */
static void unread_messages_follow_the_state(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned stays = diverge_one(c, id);
    c->nodes[2]->mute = true;
    fc_send(c, 2, id, "one");
    fc_send(c, 2, id, "two");
    fc_run(c, 10);
    assert_int_equal(fc_heard(c, id, "one"), 0);
    fc_cut(c, 0, 1); /* so that it stays where it is for a while */
    fc_heal(c);
    run_until_joining(c, stays);
    fc_run(c, 100);
    assert_int_equal(fc_heard(c, id, "one"), 1);
    assert_int_equal(fc_heard(c, id, "two"), 1);
}

/* ---- What is lost on the way ----------------------------------------------------------------- */

/* An answer that was lost is given again; the state is joined once. */
static void lost_answer_is_given_again(void **state)
{
    struct fake_cluster *c = *state;
    diverge(c, "a-[1..30]");
    c->drop[PH_FRAME_MERGED] = 2;
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(c->drop[PH_FRAME_MERGED], 0);
    assert_joined(c, "a", 30, 2);
    assert_int_equal(joins(c), 30);
    assert_idle(c);
}

/* So is one that says that there is a conflict. */
static void lost_answer_makes_no_second_conflict(void **state)
{
    struct fake_cluster *c = *state;
    c->merges = false;
    diverge(c, "a-[1..30]");
    c->drop[PH_FRAME_MERGED] = 2;
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(conflicts(c), 30);
    assert_int_equal(joins(c), 30);
    assert_idle(c);
}

/* A state that was lost on the way is sent again. */
static void lost_merge_is_sent_again(void **state)
{
    struct fake_cluster *c = *state;
    diverge(c, "a-[1..30]");
    c->drop[PH_FRAME_MERGE] = 2;
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(c->drop[PH_FRAME_MERGE], 0);
    assert_joined(c, "a", 30, 2);
    assert_int_equal(joins(c), 30);
}

/* The session breaks while the state is being joined: the answer comes in the next one. */
static void broken_session_does_not_join_twice(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned stays = diverge_one(c, id);
    set_deaf(c, true);
    fc_heal(c);
    run_until_joining(c, stays);
    fc_break(c, stays, 2);
    fc_run(c, 2000); /* it has been sent again by now */
    assert_in_range(c->sent[PH_FRAME_MERGE], 2, 8);
    assert_int_equal(joins(c), 1);
    struct ph_event *event = ph_event_create(PH_EVENT_CHILD_MERGED);
    event->child.child = fake_child(fc_hub(c, stays), id);
    event->child.instance =
        atomic_load_explicit(&event->child.child->instance, memory_order_relaxed);
    event->child.exit = ph_alloc(sizeof *event->child.exit);
    fc_post_event(&fc_hub(c, stays)->hub, event);
    fc_settle(c);
    assert_int_equal(joins(c), 1);
    assert_int_equal(records(c, "child_merged"), 1);
    assert_idle(c);
}

/* ---- What crosses a merge -------------------------------------------------------------------- */

/* The node of the instance that stays dies before it has answered: the other one goes on, with its
 * state, and the third node does not start it anew. */
static void child_goes_on_with_its_state_when_the_other_one_dies(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned stays = diverge_one(c, id);
    set_deaf(c, true);
    fc_heal(c);
    run_until_joining(c, stays);
    fc_kill(c, stays, false);
    fc_settle(c);
    assert_string_equal(fc_state(c, id), "born n3 n3");
    assert_int_equal(records(c, "merge_aborted"), 1);
    assert_idle(c);
}

/* Two give way to a third one, whose node is lost (`silent`: cut off): which node that was. */
static unsigned lose_the_third(struct fake_cluster *c, const char *id, bool silent)
{
    fc_start(c, 0, id);
    fc_settle(c);
    fc_split(c, 1);
    fc_split(c, 2);
    fc_run(c, 10000);
    set_deaf(c, true);
    fc_heal(c);
    for (unsigned i = 0; i < 20000 && !joins(c); i++)
        fc_run(c, 1);
    fc_run(c, 1000);
    assert_int_equal(joins(c), 1);
    int stays = fc_where(c, id);
    assert_in_range(stays, 0, 2);
    if (silent)
        fc_split(c, 1u << stays);
    else
        fc_kill(c, (unsigned)stays, false);
    set_deaf(c, false);
    assert_true(fc_settle_some(c, 7 & ~(1u << stays), 2, 20000));
    return (unsigned)stays;
}

/* When the one is gone that both gave way to, one of the two goes on, and is left the other's. */
static void one_of_two_goes_on_when_the_third_one_dies(void **state)
{
    struct fake_cluster *c = *state;
    lose_the_third(c, "c-1", false);
    assert_int_equal(count_in(fc_state(c, "c-1"), "born"), 2);
    assert_int_equal(conflicts(c), 0);
    assert_idle(c);
}

/* A state that a node may have that was cut off is not given to another one, too: nothing is lost,
 * and nothing is there twice. */
static void doubted_state_goes_to_no_third_one(void **state)
{
    struct fake_cluster *c = *state;
    size_t kept = 0;
    for (unsigned i = 1; i <= 12; i++) {
        char id[16];
        size_t before = conflicts(c);
        snprintf(id, sizeof id, "c-%u", i);
        unsigned stays = lose_the_third(c, id, true);
        unsigned here =
            fake_child(fc_hub(c, (stays + 1) % 3), id) ? (stays + 1) % 3 : (stays + 2) % 3;
        const struct fc_kid *kid = ph_child_tail(fake_child(fc_hub(c, here), id));
        assert_int_equal(count_in(kid->state, "born") + conflicts(c) - before, 2);
        kept += conflicts(c) - before;
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, here), id), 5000), 0);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, stays), id), 5000), 0);
        for (unsigned node = 0; node < 3; node++)
            c->nodes[node]->joins = 0;
        fc_heal(c);
        fc_settle(c);
        assert_idle(c);
    }
    assert_true(kept > 0);
}

/* What a move brings to a node that has another instance is not dropped. */
static void state_of_a_move_that_finds_another_one_is_not_lost(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned i = 0;
    do
        snprintf(id, sizeof id, "c-%u", i++);
    while (fc_owner(c, 0, id) != 0);
    fc_start(c, 0, id);
    fc_settle(c);
    c->drop[PH_FRAME_MOVES] = 1;
    fc_pin(c, 0, id, "n3");
    fc_run(c, 100);
    struct ph_text frame = PH_TEXT_INIT;
    ph_frame_start(&fc_hub(c, 2)->hub, &frame, PH_FRAME_MOVED,
                   fc_hub(c, 0)->hub.cluster->generation);
    ph_pack_array(&frame, 1);
    ph_pack_uint(&frame, PH_MOVE_TAKE);
    ph_pack_uint(&frame, fc_hub(c, 0)->hub.cluster->next_token);
    ph_pack_str(&frame, id, strlen(id));
    ph_pack_uint(&frame, (uint64_t)-PH_EEXISTS);
    ph_pack_str(&frame, "runs there already", 18);
    fc_inject(c, 2, 0, &frame);
    fc_settle(c);
    assert_non_null(strstr(fc_state(c, id), "born n1 n1")); /* there was none, after all */
    assert_idle(c);
}

/* The node that gave way dies before it was answered: the one that stays has the state. */
static void state_is_there_when_its_node_dies(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned stays = diverge_one(c, id);
    fc_heal(c);
    run_until_joining(c, stays);
    fc_kill(c, 2, true);
    fc_settle(c);
    assert_int_equal(count_in(fc_state(c, id), "born"), 2);
    assert_idle(c);
}

/* An instance that ends before it has joined the state has joined nothing: the next one does. */
static void instance_that_ends_first_has_joined_nothing(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned stays = diverge_one(c, id);
    set_deaf(c, true);
    fc_heal(c);
    run_until_joining(c, stays);
    set_deaf(c, false);
    assert_int_equal(fc_wait(c, fake_restart(fc_hub(c, stays), id), 1000), 0);
    fc_settle(c);
    assert_int_equal(joins(c), 2);
    assert_int_equal(count_in(fc_state(c, id), "born"), 2);
    assert_int_equal(records(c, "child_merged"), 1);
}

/* A stop ends both, wherever it is asked for, and leaves nothing under way. */
static void stop_during_a_merge_ends_both(void **state)
{
    struct fake_cluster *c = *state;
    enum ph_state shown;
    for (unsigned node = 0; node < 3; node++) {
        char id[16];
        set_deaf(c, false);
        for (unsigned i = 0; i < 3; i++)
            c->nodes[i]->joins = 0;
        unsigned stays = diverge_one(c, id);
        set_deaf(c, true);
        fc_heal(c);
        run_until_joining(c, stays);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, node), id), 5000), 0);
        fc_settle(c);
        assert_int_equal(fc_where(c, id), FC_NOWHERE);
        assert_int_equal(fc_listed(c, node, id, &shown), FC_NOWHERE);
        assert_int_equal(conflicts(c), 0);
        assert_idle(c);
    }
}

/* A child with a merge under way does not settle before that is over. */
static void hub_is_not_settled_during_a_merge(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned stays = diverge_one(c, id);
    set_deaf(c, true);
    fc_heal(c);
    run_until_joining(c, stays);
    assert_false(fc_settle_some(c, 7, 3, 5000));
}

/* The node that gives way leaves: its state goes first. */
static void leaving_node_hands_its_state_over(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    unsigned stays = diverge_one(c, id);
    set_deaf(c, true);
    fc_heal(c);
    run_until_joining(c, stays);
    struct ph_op *op = fc_leave(c, 2);
    fc_run(c, 1000);
    assert_int_equal(fake_code(op), 1);
    set_deaf(c, false);
    assert_int_equal(fc_wait(c, fake_restart(fc_hub(c, stays), id), 1000), 0);
    assert_int_equal(fc_wait(c, op, 5000), 0);
    assert_int_equal(count_in(fc_state(c, id), "born"), 2);
}

struct lie {
    uint64_t number, attempt, floor;
};

/* A state for `a-1`, as if a node had sent it. */
static void inject_merge(struct fake_cluster *c, unsigned from, unsigned to, struct lie lie)
{
    struct ph_text frame = PH_TEXT_INIT;
    ph_frame_start(&fc_hub(c, from)->hub, &frame, PH_FRAME_MERGE,
                   fc_hub(c, to)->hub.cluster->generation);
    ph_pack_array(&frame, 1);
    ph_pack_uint(&frame, lie.number);
    ph_pack_uint(&frame, lie.attempt);
    ph_pack_uint(&frame, lie.floor);
    ph_pack_str(&frame, "a-1", 3);
    ph_pack_uint(&frame, 1);
    ph_pack_uint(&frame, 1);
    ph_pack_bin(&frame, "x", 1);
    fc_inject(c, from, to, &frame);
    fc_run(c, 10);
}

/* A state was refused where the child did not run, and may be elsewhere now: a copy of it that
 * comes late, when the child is there, is refused again. Another attempt is not. */
static void late_copy_of_a_refused_state_is_not_joined(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-1");
    fc_settle(c);
    unsigned to = fc_where(c, "a-1") == 0 ? 1 : 0;
    inject_merge(c, 2, to, (struct lie){5, 1, 5});
    assert_int_equal(fc_wait(c, fc_pin(c, 2, "a-1", to ? "n2" : "n1"), 5000), 0);
    fc_settle(c);
    assert_int_equal(fc_where(c, "a-1"), to);
    inject_merge(c, 2, to, (struct lie){5, 1, 5});
    assert_int_equal(joins(c), 0);
    inject_merge(c, 2, to, (struct lie){5, 2, 5});
    inject_merge(c, 2, to, (struct lie){5, 2, 5});
    assert_int_equal(joins(c), 1);
}

/* A state that comes says that another instance has handled messages, also when no row did: the
 * order of messages is not waited for in vain then. */
static void state_that_is_joined_is_of_another_instance(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-1");
    fc_settle(c);
    unsigned where = (unsigned)fc_where(c, "a-1");
    const struct ph_entry *entry = ph_directory_find_rcu(c->nodes[where]->directory, "a-1", 3);
    assert_true(entry->sole);
    inject_merge(c, where == 2 ? 1 : 2, where, (struct lie){5, 1, 5});
    assert_int_equal(joins(c), 1);
    assert_false(entry->sole);
}

/* A node that lies: numbers that cannot be are refused, and nothing of them is joined. */
static void impossible_numbers_are_refused(void **state)
{
    struct fake_cluster *c = *state;
    const struct lie lies[] = {{5, 1, 6}, {PH_MERGE_WINDOW + 5, 1, 5}, {UINT64_MAX / 2, 1, 1}};
    fc_start(c, 0, "a-1");
    fc_settle(c);
    unsigned where = (unsigned)fc_where(c, "a-1"), from = where == 2 ? 1 : 2;
    uint64_t refused = fc_hub(c, where)->hub.cluster->refused_frames;
    for (size_t i = 0; i < 3; i++)
        inject_merge(c, from, where, lies[i]);
    fc_run(c, 100);
    assert_int_equal(fc_hub(c, where)->hub.cluster->refused_frames, refused + 3);
    assert_int_equal(joins(c), 0);
}

#define MERGE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MERGE_TEST(states_of_both_sides_are_joined),
        MERGE_TEST(states_of_three_sides_are_joined),
        MERGE_TEST(state_that_nobody_joins_is_kept_as_a_conflict),
        MERGE_TEST(conflict_is_read_and_dropped),
        MERGE_TEST(full_store_drops_the_oldest_and_says_so),
        MERGE_TEST(many_merges_wait_for_their_turn),
        MERGE_TEST(unread_messages_follow_the_state),
        MERGE_TEST(lost_answer_is_given_again),
        MERGE_TEST(lost_answer_makes_no_second_conflict),
        MERGE_TEST(lost_merge_is_sent_again),
        MERGE_TEST(broken_session_does_not_join_twice),
        MERGE_TEST(child_goes_on_with_its_state_when_the_other_one_dies),
        MERGE_TEST(one_of_two_goes_on_when_the_third_one_dies),
        MERGE_TEST(doubted_state_goes_to_no_third_one),
        MERGE_TEST(state_of_a_move_that_finds_another_one_is_not_lost),
        MERGE_TEST(state_is_there_when_its_node_dies),
        MERGE_TEST(instance_that_ends_first_has_joined_nothing),
        MERGE_TEST(stop_during_a_merge_ends_both),
        MERGE_TEST(hub_is_not_settled_during_a_merge),
        MERGE_TEST(leaving_node_hands_its_state_over),
        MERGE_TEST(late_copy_of_a_refused_state_is_not_joined),
        MERGE_TEST(state_that_is_joined_is_of_another_instance),
        MERGE_TEST(impossible_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
