#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/op.h"
#include "engine/prng.h"
#include "ipc/plan.h"

enum { CHILDREN = 200 };

static const char all[] = "c-[1..200]";

/* Where each child is; FC_NOWHERE … */
struct map {
    int where[CHILDREN];
};

static struct map look(const struct fake_cluster *c)
{
    struct map map;
    char id[16];
    for (unsigned i = 0; i < CHILDREN; i++) {
        snprintf(id, sizeof id, "c-%u", i + 1);
        map.where[i] = fc_where(c, id);
    }
    return map;
}

static unsigned differences(const struct map *a, const struct map *b)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CHILDREN; i++)
        count += a->where[i] != b->where[i];
    return count;
}

static struct fake_cluster *begin(unsigned nodes, const char *options)
{
    struct fake_cluster *c = fc_create_settled(nodes, options);
    fc_start(c, 0, all);
    fc_settle(c);
    return c;
}

static void join(struct fake_cluster *c, unsigned node)
{
    fc_begin(c, node, c->options);
    fc_link_all(c);
}

/* ---- Pause, resume, cancel --------------------------------------------------------------------
 */

/* While moves are paused nothing is redistributed, whichever node said so and whoever comes;
 * starts, takeovers and what people move themselves go on. Resumed, everything goes where it
 * belongs. */
static void paused_moves_wait_and_go_on(void **state)
{
    (void)state;
    struct fake_cluster *c = begin(2, "migration=hot");
    assert_int_equal(fc_wait(c, fc_moves(c, 1, PH_MOVES_PAUSE), 1000), 0);
    struct map before = look(c);
    join(c, 2);
    fc_run(c, 20000);
    struct map after = look(c);
    assert_int_equal(differences(&before, &after), 0);
    for (unsigned node = 0; node < 3; node++)
        assert_true(fc_hub(c, node)->hub.cluster->moves_order == PH_MOVES_PAUSE);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, "c-1", "n3"), 5000), 0);
    fc_start(c, 0, "d-[1..30]");
    assert_true(fc_local(c, 2) > 1);
    assert_int_equal(fc_wait(c, fc_moves(c, 0, PH_MOVES_RESUME), 1000), 0);
    fc_settle(c);
    assert_in_range(fc_local(c, 2), 50, 110);
    fc_assert_listed_everywhere(c, all);
    fc_destroy(c);
}

/* A cancel calls off what is being prepared; the children never stopped where they are. */
static void canceled_moves_leave_everything_where_it_is(void **state)
{
    (void)state;
    struct fake_cluster *c = begin(2, "migration=hot");
    struct map before = look(c);
    join(c, 2);
    c->nodes[2]->slow = true; /* nothing gets beyond being prepared */
    fc_run(c, 5000);
    assert_true(fc_hub(c, 0)->hub.cluster->moves_out > 0);
    assert_int_equal(fc_wait(c, fc_moves(c, 2, PH_MOVES_CANCEL), 1000), 0);
    fc_run(c, 1000);
    struct map after = look(c);
    assert_int_equal(differences(&before, &after), 0);
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(fc_hub(c, node)->hub.cluster->moves_out, 0);
    assert_int_equal(fc_hub(c, 2)->hub.picture.children, 0); /* nor does anything stand by */
    c->nodes[2]->slow = false;
    fc_moves(c, 0, PH_MOVES_RESUME);
    fc_settle(c);
    assert_in_range(fc_local(c, 2), 40, 100);
    fc_destroy(c);
}

static struct ph_op *steer(struct fake_cluster *c, unsigned node, const char *id, bool abort)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fc_hub(c, node), PH_EVENT_STEER, &op);
    event->target.ids = fake_ids(id);
    event->target.signal = abort;
    fc_post_event(&c->nodes[node]->fake.hub, event);
    return op;
}

/* One move is called off, whoever asks: the child stays, unpinned, until its move is tried again.
 * What the other node has been given cannot be called back. */
static void aborted_move_stays_until_it_is_retried(void **state)
{
    (void)state;
    struct fake_cluster *c = begin(2, "migration=hot");
    int there = fc_where(c, "c-1"), other = !there;
    char to[4];
    snprintf(to, sizeof to, "n%d", other + 1);
    c->nodes[other]->slow = true;
    fc_pin(c, 0, "c-1", to);
    fc_run(c, 100);
    assert_int_equal(fc_wait(c, steer(c, (unsigned)other, "c-1", true), 1000), 0);
    c->nodes[other]->slow = false;
    fc_run(c, 10000);
    assert_int_equal(fc_where(c, "c-1"), there);
    assert_int_equal(fc_owner(c, 0, "c-1"), there);
    assert_int_equal(fc_wait(c, steer(c, 0, "c-1", false), 1000), PH_EREFUSED);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, "c-2", to), 5000), 0);
    assert_int_equal(fc_wait(c, steer(c, 0, "c-9999", true), 1000), PH_ENOTFOUND);
    fc_pin(c, 0, "c-1", to); /* asked for once more, it waits for the retry */
    fc_run(c, 5000);
    assert_int_equal(fc_where(c, "c-1"), there);
    assert_int_equal(fc_wait(c, steer(c, (unsigned)other, "c-1", false), 1000), 0);
    fc_settle(c);
    assert_int_equal(fc_where(c, "c-1"), other);
    fc_destroy(c);
}

/* A node that ends hands its children over all the same. */
static void paused_moves_do_not_keep_a_node_from_leaving(void **state)
{
    (void)state;
    struct fake_cluster *c = begin(3, "");
    fc_wait(c, fc_moves(c, 0, PH_MOVES_PAUSE), 1000);
    assert_int_equal(fc_wait(c, fc_leave(c, 2), 20000), 0);
    assert_int_equal(fc_local(c, 0) + fc_local(c, 1), CHILDREN);
    fc_destroy(c);
}

/* ---- Joins ------------------------------------------------------------------------------------
 */

/* Nodes that come soon after each other are one redistribution: no child moves twice. */
static void joins_in_a_row_move_each_child_once(void **state)
{
    (void)state;
    struct fake_cluster *c = begin(2, "");
    struct map before = look(c);
    join(c, 2);
    fc_run(c, 300);
    join(c, 3);
    fc_settle(c);
    struct map after = look(c);
    assert_true(differences(&before, &after) > CHILDREN / 3);
    assert_int_equal(fc_starts(c), CHILDREN + differences(&before, &after));
    fc_destroy(c);
}

/* ---- Plans ------------------------------------------------------------------------------------
 */

static struct ph_plan plan_for(struct fake_cluster *c, enum ph_plan_kind kind, const char *node)
{
    struct ph_plan plan;
    struct ph_error error = {0};
    if (ph_plan_make(&fc_hub(c, 0)->hub, kind, node, &plan, &error))
        fail_msg("plan: %s", error.text);
    return plan;
}

/* What moved is exactly what the plan said, from and to where it said. */
static void assert_as_planned(const struct ph_plan *plan, const struct map *before,
                              const struct map *after)
{
    assert_int_equal(plan->moves, differences(before, after));
    assert_int_equal(plan->count, plan->moves);
    for (size_t i = 0; i < plan->count; i++) {
        unsigned child;
        const struct ph_plan_row *row = &plan->rows[i];
        assert_int_equal(sscanf(row->id, "c-%u", &child), 1);
        assert_int_equal(before->where[child - 1], row->from[1] - '1');
        assert_int_equal(after->where[child - 1], row->to[1] - '1');
    }
}

static void pin_some(struct fake_cluster *c, struct ph_prng *prng)
{
    for (unsigned i = 0; i < 10; i++) {
        char id[16], node[4];
        snprintf(id, sizeof id, "c-%u", 1 + (unsigned)ph_prng_below(prng, CHILDREN));
        snprintf(node, sizeof node, "n%u", 1 + (unsigned)ph_prng_below(prng, 3));
        fc_pin_mode(c, 0, id, node, (enum ph_move_mode)ph_prng_below(prng, PH_MOVE_MODES));
    }
    fc_settle(c);
}

static void carry_out(struct fake_cluster *c, enum ph_plan_kind kind, unsigned node)
{
    char name[4];
    snprintf(name, sizeof name, "n%u", node + 1);
    struct ph_plan plan = plan_for(c, kind, name);
    struct map before = look(c);
    if (kind == PH_PLAN_JOIN)
        join(c, node);
    else if (kind == PH_PLAN_DRAIN)
        assert_int_equal(fc_wait(c, fc_drain(c, 0, name, true), 30000), 0);
    else
        assert_int_equal(fc_wait(c, fc_leave(c, node), 30000), 0);
    if (kind == PH_PLAN_LEAVE)
        fc_kill(c, node, false);
    fc_settle(c);
    struct map after = look(c);
    assert_as_planned(&plan, &before, &after);
    ph_plan_fini(&plan);
}

/* A plan and what then happens are the same, whatever is pinned or drained. */
static void what_happens_is_what_was_planned(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct ph_prng prng;
        ph_prng_init(&prng, seed);
        struct fake_cluster *c = begin(3, seed % 2 ? "migration=hot" : "");
        pin_some(c, &prng);
        carry_out(c, PH_PLAN_JOIN, 3);
        carry_out(c, PH_PLAN_DRAIN, 1);
        carry_out(c, PH_PLAN_LEAVE, 2);
        fc_destroy(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paused_moves_wait_and_go_on),
        cmocka_unit_test(canceled_moves_leave_everything_where_it_is),
        cmocka_unit_test(aborted_move_stays_until_it_is_retried),
        cmocka_unit_test(paused_moves_do_not_keep_a_node_from_leaving),
        cmocka_unit_test(joins_in_a_row_move_each_child_once),
        cmocka_unit_test(what_happens_is_what_was_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
