#include "ipc/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/op.h"
#include "engine/text.h"
#include "ipc/child_row.h"
#include "ipc/pick.h"
#include "ipc/script.h"

enum { SOON_MS = 20000 };

struct fixture {
    struct ph_node *node;
    struct ph_hub *hub;
};

static void start(struct ph_hub *hub, const char *range, const char *tags)
{
    struct ph_error error = {0};
    struct ph_ids ids = {0};
    struct ph_op *op;
    struct ph_spec *spec = ph_spec_create();
    assert_int_equal(ph_spec_set(spec, "module", "echo", &error), 0);
    assert_int_equal(ph_spec_set(spec, "tags", tags, &error), 0);
    assert_int_equal(ph_ids_add_range(&ids, range, &error), 0);
    assert_int_equal(ph_start(hub, &ids, spec, NULL, &op, &error), 0);
    assert_int_equal(ph_op_wait(op, SOON_MS, NULL), 0);
    assert_int_equal(ph_op_result(op)->code, 0);
    ph_op_put(op);
    ph_spec_put(spec);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct ph_node_config config = {.name = "n1", .workers = 1};
    struct ph_error error = {0};
    if (ph_node_create(&config, &fixture.node, &error) < 0 ||
        ph_hub_create(fixture.node, "test", NULL, 0, &fixture.hub, &error) < 0)
        return -1;
    start(fixture.hub, "w-[1..12]", "work");
    start(fixture.hub, "x", "other");
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    ph_hub_put(fixture->hub);
    ph_node_destroy(fixture->node);
    ph_thread_leave();
    return 0;
}

/* The ids that the words of `text` (as in `stop TEXT`) mean, joined by spaces; or the error's text.
 */
static int resolve(struct ph_hub *hub, const char *text, struct ph_text *out)
{
    struct ph_script *script;
    struct ph_script_error error = {0};
    struct ph_target target;
    assert_int_equal(ph_script_parse("test", text, strlen(text), &script, &error), 0);
    const struct ph_statement *statement = ph_script_at(script, 0);
    const struct ph_word *words[16];
    for (size_t i = 0; i < statement->count; i++)
        words[i] = &statement->words[i];
    int rc = ph_target_init(&target, hub, words, statement->count, NULL, &error);
    if (rc == 0) {
        struct ph_ids ids = {0};
        size_t cursor = 0;
        rc = ph_target_ids(&target, &ids);
        for (const char *id; (id = ph_ids_next(&ids, &cursor, NULL));)
            ph_text_printf(out, "%s%s", out->length ? " " : "", id);
        ph_ids_fini(&ids);
        ph_target_fini(&target);
    } else {
        ph_text_printf(out, "%u:%u: %s", error.line, error.column, error.error.text);
    }
    ph_script_destroy(script);
    return rc;
}

static void expect(void **state, const char *text, const char *ids)
{
    struct fixture *fixture = *state;
    struct ph_text out = PH_TEXT_INIT;
    assert_int_equal(resolve(fixture->hub, text, &out), 0);
    assert_string_equal(ph_text_str(&out), ids);
    ph_text_fini(&out);
}

/* Ids come in the order in which people count. */
static void ids_come_in_natural_order(void **state)
{
    expect(state, "w-*", "w-1 w-2 w-3 w-4 w-5 w-6 w-7 w-8 w-9 w-10 w-11 w-12");
    expect(state, "w-1? x", "w-10 w-11 w-12 x");
    assert_true(ph_natural_compare("w-2", "w-10") < 0);
    assert_true(ph_natural_compare("a9b2", "a9b10") < 0);
    assert_true(ph_natural_compare("w-07", "w-7") != 0);
    assert_true(ph_natural_compare("w-7", "w-08") < 0);
    assert_true(ph_natural_compare("w", "w-1") < 0);
    assert_true(ph_natural_compare("99999999999999999999998", "99999999999999999999999") < 0);
    assert_int_equal(ph_natural_compare("same-1", "same-1"), 0);
}

/* A child that several words mean is there once. */
static void overlapping_words_mean_a_child_once(void **state)
{
    expect(state, "w-1 w-1 w-[1..2] w-1*", "w-1 w-2 w-10 w-11 w-12");
    expect(state, "tag:other x", "x");
}

/* A named id that does not exist stays, so that whoever acts on it says that it is not there. */
static void named_ids_stay_when_they_do_not_exist(void **state)
{
    expect(state, "w-[12..13] nobody", "nobody w-12 w-13");
    expect(state, "nobody-* tag:none", "");
}

/* A quoted word is always an id. */
static void quoted_words_are_ids(void **state)
{
    expect(state, "'all'", "all");
    expect(state, "'w-*'", "w-*");
    expect(state, "'w-[1..2]'", "w-[1..2]");
}

/* `all` and node:SELF mean everything; another node is an error with its position. */
static void nodes_are_known_or_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ph_text out = PH_TEXT_INIT;
    expect(state, "node:n1", "w-1 w-2 w-3 w-4 w-5 w-6 w-7 w-8 w-9 w-10 w-11 w-12 x");
    assert_int_equal(resolve(fixture->hub, "x node:n2", &out), PH_ENOTFOUND);
    assert_memory_equal(ph_text_str(&out), "1:3: ", 5);
    assert_non_null(strstr(ph_text_str(&out), "n1"));
    ph_text_fini(&out);
}

static void expect_pick(struct ph_hub *hub, const char *field, bool descending, uint64_t offset,
                        uint64_t limit, const char *ids)
{
    struct ph_target target;
    struct ph_script_error error = {0};
    struct ph_pick pick;
    struct ph_text out = PH_TEXT_INIT;
    assert_int_equal(ph_target_init(&target, hub, NULL, 0, NULL, &error), 0);
    ph_pick_run(&pick, &target, field, descending, offset, limit);
    assert_int_equal(pick.total, 13);
    for (size_t i = (size_t)offset; i < pick.count; i++)
        ph_text_printf(&out, "%s%s", out.length ? " " : "", pick.entries[i].id);
    assert_string_equal(ph_text_str(&out), ids);
    ph_text_fini(&out);
    ph_pick_fini(&pick);
    ph_target_fini(&target);
}

/* A page of a list is the same whether everything was sorted or only the best were kept. */
static void page_is_a_part_of_the_whole_order(void **state)
{
    struct ph_hub *hub = ((struct fixture *)*state)->hub;
    expect_pick(hub, NULL, false, 0, 3, "w-1 w-2 w-3");
    expect_pick(hub, NULL, false, 9, 2, "w-10 w-11");
    expect_pick(hub, NULL, true, 0, 3, "x w-12 w-11");
    expect_pick(hub, "tag", false, 0, 2, "x w-1");
    expect_pick(hub, "tag", true, 0, 2, "w-1 w-2");
    expect_pick(hub, "pid", false, 11, 5, "w-12 x");
    expect_pick(hub, "id", false, 12, 0, "x");
    expect_pick(hub, "id", false, 50, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_come_in_natural_order),
        cmocka_unit_test(overlapping_words_mean_a_child_once),
        cmocka_unit_test(named_ids_stay_when_they_do_not_exist),
        cmocka_unit_test(quoted_words_are_ids),
        cmocka_unit_test(nodes_are_known_or_refused),
        cmocka_unit_test(page_is_a_part_of_the_whole_order),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
