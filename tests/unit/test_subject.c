#include "ipc/subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/spec.h"
#include "ipc/child_row.h"
#include "ipc/condition.h"
#include "ipc/pick.h"
#include "ipc/plan.h"
#include "ipc/target.h"

/* A hub of three nodes, made by hand: n1 is this one, n2 is in the view, n3 is down. */
struct fixture {
    struct ph_node node;
    struct ph_host host;
    struct ph_cluster cluster;
    uint64_t clock;
};

enum { MEMBERS = 3 };

static struct ph_members *make_members(void)
{
    struct ph_members *members = ph_alloc(sizeof *members + MEMBERS * sizeof *members->list);
    uint64_t hashes[2];
    uint32_t order[2];
    members->count = MEMBERS;
    for (uint16_t slot = 0; slot < MEMBERS; slot++) {
        struct ph_member_info *info = &members->list[slot];
        snprintf(info->name, sizeof info->name, "n%u", slot + 1u);
        info->name_hash = ph_name_hash(info->name, 2);
        info->self = slot == 0;
        info->in_view = slot < 2;
        info->state = slot < 2 ? PH_MEMBER_UP : PH_MEMBER_DOWN;
        if (slot < 2)
            hashes[slot] = info->name_hash;
    }
    ph_owners_init(&members->owners, hashes, NULL, 2, order);
    for (uint32_t i = 0; i < 2; i++)
        members->owner_slot[i] = (uint16_t)order[i];
    members->in_view = 2;
    return members;
}

static struct ph_entry *want(struct fixture *fixture, const char *id, const char *tag)
{
    struct ph_error error = {0};
    struct ph_spec *spec = ph_spec_create();
    struct ph_directory *directory = fixture->host.hub.directory;
    assert_int_equal(ph_spec_set(spec, "module", "echo", &error), 0);
    assert_int_equal(ph_spec_set(spec, "tags", tag, &error), 0);
    struct ph_entry *entry = ph_directory_make(directory, id, strlen(id));
    struct ph_intent intent = {.version = {.clock = ++fixture->clock, .author = 1}, .spec = spec};
    assert_true(ph_directory_want(directory, entry, &intent, 1));
    ph_spec_put(spec);
    return entry;
}

static void place(struct fixture *fixture, struct ph_entry *entry, uint16_t member,
                  enum ph_state state, const char *reason)
{
    struct ph_placed placed = {
        .state = state, .epoch = 7, .since_ms = 1, .instance = 2, .restarts = member};
    assert_true(ph_directory_place(fixture->host.hub.directory, entry, member, &placed, reason));
}

/*  a runs on n2, b on n1 and n2 (b came back from a split), c was on n3, d was not started yet, e
 *  failed on n2, f was stopped. */
static int set_up(void **state)
{
    struct fixture *fixture = ph_alloc(sizeof *fixture);
    struct ph_hub *hub = &fixture->host.hub;
    memcpy(fixture->node.name, "n1", 3);
    fixture->host.node = &fixture->node;
    hub->node = &fixture->node;
    hub->registry = ph_registry_create(1);
    hub->directory = fixture->cluster.directory = ph_directory_create(1);
    hub->cluster = &fixture->cluster;
    atomic_init(&fixture->cluster.published, make_members());
    place(fixture, want(fixture, "a", "web"), 1, PH_STATE_RUNNING, NULL);
    struct ph_entry *b = want(fixture, "b", "web");
    place(fixture, b, 0, PH_STATE_RUNNING, NULL);
    place(fixture, b, 1, PH_STATE_BACKOFF, "exit code 3");
    place(fixture, want(fixture, "c", "db"), 2, PH_STATE_RUNNING, NULL);
    want(fixture, "d", "db");
    place(fixture, want(fixture, "e", "db"), 1, PH_STATE_FAILED, "exit code 4");
    struct ph_entry *f = want(fixture, "f", "db");
    struct ph_intent stopped = {.version = {.clock = ++fixture->clock, .author = 1}};
    assert_true(ph_directory_want(hub->directory, f, &stopped, 1));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    ph_directory_reclaim(fixture->host.hub.directory);
    ph_directory_destroy(fixture->host.hub.directory);
    ph_registry_destroy(fixture->host.hub.registry);
    ph_free(atomic_load_explicit(&fixture->cluster.published, memory_order_relaxed));
    ph_free(fixture);
    ph_thread_leave();
    return 0;
}

/* A statement's words and what was made of them. */
struct words {
    struct ph_script *script;
    const struct ph_word *list[16];
    struct ph_word copy[16];
    size_t count;
};

static void read_words(struct words *words, const char *text)
{
    struct ph_script_error error;
    assert_int_equal(ph_script_parse("t", text, strlen(text), &words->script, &error), 0);
    const struct ph_statement *statement = ph_script_at(words->script, 0);
    words->count = statement->count;
    for (size_t i = 0; i < statement->count; i++) {
        words->list[i] = &statement->words[i];
        words->copy[i] = statement->words[i];
    }
}

/* The ids that `children TEXT` lists, joined by blanks; of `where` alone with `text` "". */
static void expect(void **state, const char *text, const char *where, const char *ids)
{
    struct fixture *fixture = *state;
    struct words words = {0}, condition = {0};
    struct ph_expr *expr = NULL;
    struct ph_target target;
    struct ph_script_error error;
    struct ph_ids found = {0};
    struct ph_text out = PH_TEXT_INIT;
    read_words(&words, *text ? text : "all");
    if (where) {
        read_words(&condition, where);
        assert_int_equal(
            ph_expr_parse(condition.copy, condition.count, &ph_child_resolver, &expr, &error), 0);
    }
    assert_int_equal(
        ph_target_init(&target, &fixture->host.hub, words.list, words.count, expr, &error), 0);
    assert_int_equal(ph_target_ids(&target, &found), 0);
    size_t cursor = 0;
    for (const char *id; (id = ph_ids_next(&found, &cursor, NULL));)
        ph_text_printf(&out, "%s%s", out.length ? " " : "", id);
    if (strcmp(ph_text_str(&out), ids) != 0)
        fail_msg("%s where %s: '%s', not '%s'", text, where ? where : "-", ph_text_str(&out), ids);
    ph_text_fini(&out);
    ph_ids_fini(&found);
    ph_target_fini(&target);
    ph_expr_destroy(expr);
    ph_script_destroy(words.script);
    ph_script_destroy(condition.script);
}

/* Every wanted child of the hub is meant, wherever it runs; a stopped one is not. */
static void targets_mean_children_of_all_nodes(void **state)
{
    expect(state, "all", NULL, "a b c d e");
    expect(state, "tag:web", NULL, "a b");
    expect(state, "a c c", NULL, "a c");
    expect(state, "? nobody", NULL, "a b c d e nobody");
    expect(state, "f", NULL, "f");
}

/* node:NAME means what has a placement there, also what was there when the node was lost. */
static void node_means_what_is_placed_there(void **state)
{
    expect(state, "node:n1", NULL, "b");
    expect(state, "node:n2", NULL, "a b e");
    expect(state, "node:n3", NULL, "c");
    struct fixture *fixture = *state;
    struct words words = {0};
    struct ph_target target;
    struct ph_script_error error = {0};
    read_words(&words, "node:n4");
    assert_int_equal(ph_target_init(&target, &fixture->host.hub, words.list, 1, NULL, &error),
                     PH_ENOTFOUND);
    assert_string_equal(error.error.text, "there is no node n4; there is n1, n2, n3");
    ph_script_destroy(words.script);
}

/* An expression holds when it holds for one of the placements. */
static void expression_holds_for_one_of_the_placements(void **state)
{
    expect(state, "", "state = running", "a b");
    expect(state, "", "state = backoff", "b");
    expect(state, "", "state = running and node = n2", "a");
    expect(state, "", "state = backoff and node = n1", "");
    expect(state, "", "node = n2 and restarts = 1", "a b e");
    expect(state, "", "not state = running", "b c d e");
}

/* A child on a lost node is unknown, one without a placement is starting; what only its node knows
 * is nothing elsewhere. */
static void lost_and_missing_placements_have_states(void **state)
{
    expect(state, "", "state = unknown", "c");
    expect(state, "", "state = starting", "d");
    expect(state, "", "state = failed", "e");
    expect(state, "", "node = ''", "d");
    expect(state, "", "queue = ''", "a b c d e");
    expect(state, "", "kind = module and module = echo", "a b c d e");
}

static void expect_row(struct fixture *fixture, const char *id, const char *nodes,
                       enum ph_state state, const char *epoch, const char *reason)
{
    struct ph_child_row row = {0};
    assert_true(ph_child_row_find(&row, &fixture->host.hub, id, strlen(id)));
    assert_string_equal(ph_text_str(&row.nodes), nodes);
    assert_int_equal(row.info.state, state);
    assert_string_equal(ph_text_str(&row.epoch), epoch);
    assert_string_equal(ph_text_str(&row.reason), reason);
    assert_false(row.here);
    ph_child_row_fini(&row);
}

/* A row shows the placement that speaks for the child, and the nodes of all. */
static void rows_show_the_placement_that_speaks(void **state)
{
    struct fixture *fixture = *state;
    struct ph_child_row row = {0};
    expect_row(fixture, "a", "n2", PH_STATE_RUNNING, "7.n2", "");
    expect_row(fixture, "c", "n3", PH_STATE_UNKNOWN, "7.n3", "");
    expect_row(fixture, "d", "", PH_STATE_STARTING, "", "");
    expect_row(fixture, "e", "n2", PH_STATE_FAILED, "7.n2", "exit code 4");
    assert_true(ph_child_row_find(&row, &fixture->host.hub, "b", 1));
    assert_int_equal(row.info.state, PH_STATE_RUNNING);
    assert_non_null(strstr(ph_text_str(&row.nodes), "n1"));
    assert_non_null(strstr(ph_text_str(&row.nodes), "n2"));
    assert_false(ph_child_row_find(&row, &fixture->host.hub, "f", 1));
    ph_child_row_fini(&row);
}

static bool holds(struct fixture *fixture, const char *text)
{
    struct ph_condition condition;
    struct words words = {0};
    struct ph_expr *expr;
    struct ph_script_error error;
    read_words(&words, text);
    assert_int_equal(ph_expr_parse(words.copy, words.count, &ph_condition_resolver, &expr, &error),
                     0);
    ph_condition_init(&condition, &fixture->host.hub);
    bool result = ph_expr_holds(expr, &ph_condition_resolver, &condition);
    ph_condition_fini(&condition);
    ph_expr_destroy(expr);
    ph_script_destroy(words.script);
    return result;
}

/* Conditions count and look at children of all nodes. */
static void conditions_see_children_of_all_nodes(void **state)
{
    struct fixture *fixture = *state;
    assert_true(holds(fixture, "count(where state = running) = 2"));
    assert_true(holds(fixture, "count(node:n2) = 3"));
    assert_true(holds(fixture, "count(where node = n3) = 1"));
    assert_true(holds(fixture, "child a state = running"));
    assert_true(holds(fixture, "child a node = n2"));
    assert_true(holds(fixture, "child c state = unknown"));
    assert_true(holds(fixture, "child d state = starting"));
    assert_true(holds(fixture, "child f state = ''"));
}

/* A list is sorted by what the speaking placements say; a field that is missing comes last. */
static void lists_are_sorted_over_all_nodes(void **state)
{
    struct fixture *fixture = *state;
    struct ph_target target;
    struct ph_script_error error;
    struct ph_pick pick;
    assert_int_equal(ph_target_init(&target, &fixture->host.hub, NULL, 0, NULL, &error), 0);
    ph_pick_run(&pick, &target, "node", false, 0, 0);
    assert_int_equal(pick.total, 5);
    assert_string_equal(pick.entries[0].id, "b");
    assert_string_equal(pick.entries[3].id, "c");
    assert_string_equal(pick.entries[4].id, "d");
    ph_pick_fini(&pick);
    target.local = true; /* no child runs here */
    ph_pick_run(&pick, &target, NULL, false, 0, 0);
    assert_int_equal(pick.total, 0);
    ph_pick_fini(&pick);
    ph_target_fini(&target);
}

/* A plan names exactly the children whose owner changes, and where they go. */
static void plan_lists_those_whose_owner_changes(void **state)
{
    struct fixture *fixture = *state;
    struct ph_hub *hub = &fixture->host.hub;
    struct ph_plan plan;
    struct ph_error error = {0};
    uint64_t leaving = 0, joining = 0;
    assert_int_equal(ph_plan_make(hub, PH_PLAN_LEAVE, "n2", &plan, &error), 0);
    leaving = plan.moves;
    for (size_t i = 0; i < plan.count; i++) {
        assert_string_equal(plan.rows[i].from, "n2");
        assert_string_equal(plan.rows[i].to, "n1");
        assert_true(i == 0 || ph_natural_compare(plan.rows[i - 1].id, plan.rows[i].id) < 0);
    }
    ph_plan_fini(&plan);
    assert_int_equal(ph_plan_make(hub, PH_PLAN_DRAIN, "n1", &plan, &error), 0);
    assert_int_equal(plan.moves + leaving, 5);
    assert_int_equal(plan.unavailable, 0);
    ph_plan_fini(&plan);
    for (unsigned i = 4; i < 40; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        assert_int_equal(ph_plan_make(hub, PH_PLAN_JOIN, name, &plan, &error), 0);
        joining += plan.moves;
        for (size_t row = 0; row < plan.count; row++)
            assert_string_equal(plan.rows[row].to, name);
        ph_plan_fini(&plan);
    }
    assert_in_range(joining, 30, 90); /* a third of 5, 36 times: about 60 */
}

/* A plan for a node that is not there, or is there already, is refused. */
static void plan_for_the_wrong_node_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ph_plan plan;
    struct ph_error error = {0};
    assert_int_equal(ph_plan_make(&fixture->host.hub, PH_PLAN_LEAVE, "n9", &plan, &error),
                     PH_ENOTFOUND);
    assert_int_equal(ph_plan_make(&fixture->host.hub, PH_PLAN_JOIN, "n2", &plan, &error),
                     PH_EEXISTS);
}

/* A pinned child stays while its node may have it, and goes where it belongs when not. */
static void plan_knows_pins(void **state)
{
    struct fixture *fixture = *state;
    struct ph_plan plan;
    struct ph_error error = {0};
    struct ph_directory *directory = fixture->host.hub.directory;
    const char *ids[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < PH_COUNT_OF(ids); i++) {
        struct ph_entry *entry = ph_directory_make(directory, ids[i], 1);
        struct ph_intent pinned = {
            .pinned = {.clock = ++fixture->clock, .author = 1},
            .pin = ph_name_hash("n2", 2),
        };
        assert_true(ph_directory_want(directory, entry, &pinned, 1));
    }
    assert_int_equal(ph_plan_make(&fixture->host.hub, PH_PLAN_JOIN, "n5", &plan, &error), 0);
    assert_int_equal(plan.moves, 0);
    ph_plan_fini(&plan);
    assert_int_equal(ph_plan_make(&fixture->host.hub, PH_PLAN_DRAIN, "n2", &plan, &error), 0);
    assert_int_equal(plan.moves, 5);
    ph_plan_fini(&plan);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(targets_mean_children_of_all_nodes),
        TEST(node_means_what_is_placed_there),
        TEST(expression_holds_for_one_of_the_placements),
        TEST(lost_and_missing_placements_have_states),
        TEST(rows_show_the_placement_that_speaks),
        TEST(conditions_see_children_of_all_nodes),
        TEST(lists_are_sorted_over_all_nodes),
        TEST(plan_lists_those_whose_owner_changes),
        TEST(plan_for_the_wrong_node_is_refused),
        TEST(plan_knows_pins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
