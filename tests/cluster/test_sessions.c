#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/error.h"
#include "engine/op.h"

/* A session may break while both nodes go on: what was under way is lost, and another session
 * begins before either is taken for dead. */

enum { MOMENTS = 12 };

static int set_up(void **state)
{
    *state = fc_create_settled(3, "migrate.timeout=5s");
    return 0;
}

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

static void break_all(struct fake_cluster *c)
{
    fc_break(c, 0, 1);
    fc_break(c, 0, 2);
    fc_break(c, 1, 2);
}

/* Nobody leaves the view, nothing is started anew. */
static void broken_session_is_no_death(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..30]");
    fc_settle(c);
    for (unsigned i = 0; i < MOMENTS; i++) {
        break_all(c);
        fc_run(c, 40 * i);
    }
    fc_settle(c);
    assert_int_equal(fc_starts(c), 30);
    for (unsigned node = 0; node < 3; node++)
        assert_int_equal(fake_count_records(fc_hub(c, node), "node_down"), 0);
    fc_assert_listed_everywhere(c, "a-[1..30]");
}

/* A start under way is done and acknowledged, whenever the session breaks. */
static void start_survives_a_broken_session(void **state)
{
    struct fake_cluster *c = *state;
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        char ids[24];
        snprintf(ids, sizeof ids, "m%u-[1..9]", moment);
        struct ph_op *op = fake_start(fc_hub(c, moment % 3), ids, "");
        fc_run(c, moment);
        break_all(c);
        assert_int_equal(fc_wait(c, op, 10000), 0);
        fc_settle(c);
        fc_assert_listed_everywhere(c, ids);
    }
    assert_int_equal(fc_starts(c), 9 * MOMENTS);
}

/* A stop under way is done and acknowledged. */
static void stop_survives_a_broken_session(void **state)
{
    struct fake_cluster *c = *state;
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        fc_start(c, 0, "a-[1..9]");
        fc_settle(c);
        struct ph_op *op = fake_stop(fc_hub(c, moment % 3), "a-[1..9]");
        fc_run(c, moment);
        break_all(c);
        assert_int_equal(fc_wait(c, op, 10000), 0);
        fc_settle(c);
        assert_int_equal(fc_local(c, 0) + fc_local(c, 1) + fc_local(c, 2), 0);
    }
}

/* A restart under way is done, or fails with a reason; its caller is told in any case. */
static void restart_is_answered_after_a_broken_session(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        struct ph_op *op = fake_restart(fc_hub(c, moment % 3), "a-[1..9]");
        fc_run(c, moment);
        break_all(c);
        assert_int_not_equal(fc_wait(c, op, 10000), 1);
        fc_settle(c);
        fc_assert_listed_everywhere(c, "a-[1..9]");
    }
}

/* A call whose answer is lost fails with a reason; it does not wait for ever. */
static void call_is_answered_after_a_broken_session(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        struct ph_op *calls[9];
        for (unsigned i = 0; i < 9; i++) {
            char id[16];
            snprintf(id, sizeof id, "a-%u", i + 1);
            calls[i] = fc_call(c, moment % 3, id, "question");
        }
        fc_run(c, moment / 3);
        break_all(c);
        for (unsigned i = 0; i < 9; i++) {
            int code = fc_wait(c, calls[i], 5000);
            assert_true(code == 0 || code == PH_ECONNECTION);
        }
    }
}

/* A move under way ends: the child runs on one side, exactly once, and nothing is left pending. */
static void move_ends_after_a_broken_session(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        char to[8];
        snprintf(to, sizeof to, "n%u", moment % 3 + 1);
        struct ph_op *op = fc_pin(c, 0, "a-[1..9]", to);
        fc_run(c, moment / 2);
        break_all(c);
        assert_int_equal(fc_wait(c, op, 20000), 0);
        fc_settle(c);
        fc_assert_listed_everywhere(c, "a-[1..9]");
        for (unsigned node = 0; node < 3; node++) {
            const struct ph_cluster *cluster = fc_hub(c, node)->hub.cluster;
            assert_int_equal(cluster->moves_in + cluster->moves_out, 0);
        }
    }
}

/* What is asked for while there is no session is done when there is one again. */
static void requests_wait_for_the_next_session(void **state)
{
    struct fake_cluster *c = *state;
    fc_start(c, 0, "a-[1..9]");
    fc_settle(c);
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        char to[8];
        snprintf(to, sizeof to, "n%u", moment % 3 + 1);
        break_all(c);
        fc_run(c, moment / 3);
        struct ph_op *call = fc_call(c, (moment + 1) % 3, "a-1", "question");
        struct ph_op *pin = fc_pin(c, 0, "a-[1..9]", to);
        struct ph_op *start = fake_start(fc_hub(c, 2), "b-[1..9]", "");
        assert_int_equal(fc_wait(c, pin, 10000), 0);
        assert_int_equal(fc_wait(c, start, 10000), 0);
        assert_int_equal(fc_wait(c, call, 10000), 0);
        fc_settle(c);
        fc_assert_listed_everywhere(c, "a-[1..9] b-[1..9]");
        assert_int_equal(fc_where(c, "a-1"), moment % 3);
        assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 0), "b-[1..9]"), 10000), 0);
    }
}

static struct ph_op *replace(struct fake_cluster *c, unsigned node, const char *id,
                             const char *spec)
{
    return fake_start_with(fc_hub(c, node), id, spec,
                           (struct ph_start_options){.if_exists = PH_IF_EXISTS_REPLACE});
}

/* One child, "r-…", that belongs to n2 and runs there. */
static struct fake_cluster *create(const char *options, char id[16])
{
    struct fake_cluster *c = fc_create_settled(3, options);
    for (unsigned i = 0; snprintf(id, 16, "r-%u", i) && fc_owner(c, 0, id) != 1; i++)
        continue;
    fc_start(c, 0, id);
    fc_settle(c);
    return c;
}

/* A start that the child of that spec, which runs already, has to answer: it is asked at once; the
 * answer is lost when that node falls silent, and it is asked again when it is back. */
static void start_is_answered_when_a_silent_node_is_back(void **state)
{
    (void)state;
    char id[16];
    struct fake_cluster *c = create("partition=majority", id);
    fc_cut(c, 2, 1);
    replace(c, 2, id, "meta.x=1"); /* n2 does not hear of it before n1 wants the first one again */
    fc_run(c, 3);
    c->drop[PH_FRAME_OUTCOMES] = 1;
    struct ph_op *op = replace(c, 0, id, "");
    fc_run(c, 10);
    assert_int_equal(c->drop[PH_FRAME_OUTCOMES], 0);
    fc_heal(c);
    fc_run(c, 3);
    assert_int_equal(fc_starts(c), 1);
    fc_split(c, 1u << 0);
    fc_run(c, 8000);
    assert_int_equal(fake_code(op), 1);
    fc_heal(c);
    assert_int_equal(fc_wait(c, op, 10000), 0);
    fc_destroy(c);
}

/* A third node has taken a start back before the child's node heard of it, and who asked for it
 * does not know: it is told so, not that all is well. */
static void start_that_was_taken_back_is_no_success(void **state)
{
    (void)state;
    char id[16];
    struct fake_cluster *c = create("", id);
    c->pipes[0][1].late_ms = 50;
    fc_cut(c, 2, 0);
    struct ph_op *op = replace(c, 0, id, "meta.x=1");
    fc_run(c, 5);
    replace(c, 2, id, "");
    assert_int_equal(fc_wait(c, op, 200), PH_ESUPERSEDED);
    assert_int_equal(fc_starts(c), 1);
    fc_heal(c);
    fc_settle(c);
    fc_destroy(c);
}

#define SESSION_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SESSION_TEST(broken_session_is_no_death),
        SESSION_TEST(start_survives_a_broken_session),
        SESSION_TEST(stop_survives_a_broken_session),
        SESSION_TEST(restart_is_answered_after_a_broken_session),
        SESSION_TEST(call_is_answered_after_a_broken_session),
        SESSION_TEST(move_ends_after_a_broken_session),
        SESSION_TEST(requests_wait_for_the_next_session),
        cmocka_unit_test(start_is_answered_when_a_silent_node_is_back),
        cmocka_unit_test(start_that_was_taken_back_is_no_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
