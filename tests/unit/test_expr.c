#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "ipc/expr.h"
#include "tests/lib/lang_fake.h"

static const struct ph_lang_child web = {.id = "web-1",
                                         .state = "running",
                                         .tags = "web\x1f"
                                                 "eu",
                                         .role = "9",
                                         .restarts = 3};
static const struct ph_lang_child db = {.id = "db", .state = "failed", .tags = "", .restarts = 0};

/* Parses the words of `text`; the error as "COLUMN: TEXT" goes to `said`. */
static struct ph_expr *parse_expr(const char *text, const struct ph_resolver *resolver,
                                  struct ph_text *said)
{
    struct ph_script *script = ph_lang_parse(text);
    const struct ph_statement *statement = ph_script_at(script, 0);
    struct ph_script_error error;
    struct ph_expr *expr = NULL;
    int rc = ph_expr_parse(statement->words, statement->count, resolver, &expr, &error);
    if (rc && said)
        ph_text_printf(said, "%u: %s", error.column, error.error.text);
    ph_script_destroy(script);
    return expr;
}

static bool holds(const char *text, const struct ph_lang_child *child)
{
    struct ph_text said = PH_TEXT_INIT;
    struct ph_expr *expr = parse_expr(text, &ph_child_resolver, &said);
    if (!expr)
        fail_msg("%s: %s", text, ph_text_str(&said));
    struct ph_lang_child subject = *child;
    bool result = ph_expr_holds(expr, &ph_child_resolver, &subject);
    ph_expr_destroy(expr);
    ph_text_fini(&said);
    return result;
}

static void assert_refused(const char *text, const struct ph_resolver *resolver,
                           const char *expected)
{
    struct ph_text said = PH_TEXT_INIT;
    struct ph_expr *expr = parse_expr(text, resolver, &said);
    if (expr || strcmp(ph_text_str(&said), expected) != 0)
        print_error("expression: %s\n", text);
    assert_null(expr);
    assert_string_equal(ph_text_str(&said), expected);
    ph_text_fini(&said);
}

/* Numbers compare as numbers, texts as texts, of a list one entry is enough. */
static void fields_are_compared(void **state)
{
    (void)state;
    assert_true(holds("state = running", &web));
    assert_true(holds("state!=failed", &web));
    assert_false(holds("state=failed", &web));
    assert_true(holds("restarts > 2", &web));
    assert_true(holds("restarts <= 3", &web));
    assert_false(holds("restarts < 3", &web));
    assert_true(holds("tag = eu", &web));
    assert_false(holds("tag != eu", &web));
    assert_true(holds("tag != us", &web));
    assert_false(holds("tag = eu", &db));
    assert_true(holds("tag = ''", &db));
    assert_true(holds("id =~ '^web-[0-9]+$'", &web));
    assert_true(holds("id=~^web", &web));
    assert_false(holds("id =~ ^eb", &web));
    assert_true(holds("meta.role < 10", &web));
    assert_true(holds("meta.role = ''", &db));
    assert_true(holds("meta.role != x", &db));
    assert_false(holds("meta.role < 10", &db));
}

/* `and` binds tighter than `or`, `not` tightest; tokens may be glued. */
static void operators_have_their_order(void **state)
{
    (void)state;
    assert_true(holds("id = db or id = web-1 and state = running", &db));
    assert_false(holds("(id = db or id = web-1) and state = running", &db));
    assert_true(holds("not id = x and not(state=failed)", &web));
    assert_true(holds("not not state=running", &web));
    assert_true(holds("state!=running and(restarts>3 or not tag=web)", &db));
    assert_true(holds("(((state=failed)))", &db));
}

/* What is quoted is a value: no keyword, no operator, no parenthesis. */
static void quoted_words_are_values(void **state)
{
    (void)state;
    static const struct ph_lang_child odd = {.id = "a)", .state = "and", .tags = "x y"};
    assert_true(holds("(id='a)')and(state = 'and')", &odd));
    assert_true(holds("state = \"and\" and tag=\"x y\"", &odd));
    assert_true(holds("id = 'a)'", &odd));
}

/* Conditions speak of the hub, of counts and of one child. */
static void conditions_are_evaluated(void **state)
{
    (void)state;
    const struct ph_lang_child children[] = {web, db};
    struct ph_lang_hub hub = {.children = children, .count = 2, .nodes = 3, .locked = false};
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {
        {.text = "count = 2", .holds = true},
        {.text = "count(where state=running) = 1", .holds = true},
        {.text = "count( web-* db ) = 2", .holds = true},
        {.text = "count(web-[1..9])=1", .holds = true},
        {.text = "count(tag:eu) = 1 and count(node:n1) = 2", .holds = true},
        {.text = "count(all) > 2", .holds = false},
        {.text = "count('all') = 0", .holds = true},
        {.text = "count(where (state = failed or restarts > 2) and not id = x) = 2", .holds = true},
        {.text = "nodes = 3", .holds = true},
        {.text = "locked = false", .holds = true},
        {.text = "not locked", .holds = true},
        {.text = "locked or nodes > 4", .holds = false},
        {.text = "child web-1 state = running", .holds = true},
        {.text = "child web-1 restarts>=3 and nodes=3", .holds = true},
        {.text = "child nobody state = running", .holds = false},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_text said = PH_TEXT_INIT;
        struct ph_expr *expr = parse_expr(cases[i].text, &ph_condition_resolver, &said);
        if (!expr)
            fail_msg("%s: %s", cases[i].text, ph_text_str(&said));
        if (ph_expr_holds(expr, &ph_condition_resolver, &hub) != cases[i].holds)
            fail_msg("%s", cases[i].text);
        ph_expr_destroy(expr);
    }
}

/* An explanation says what each comparison saw. */
static void conditions_are_explained(void **state)
{
    (void)state;
    const struct ph_lang_child children[] = {web, db};
    struct ph_lang_hub hub = {.children = children, .count = 2, .nodes = 3, .locked = true};
    static const struct {
        const char *text, *explained;
    } cases[] = {
        {.text = "count=1000", .explained = "count = 1000 is false: count is 2"},
        {.text = "count(where state=running or id='x y') = 2",
         .explained = "count(where state = running or id = x y) = 2 is false: "
                      "count(where state = running or id = x y) is 1"},
        {.text = "not locked and count(web-* db)>1",
         .explained = "locked is true; count(web-* db) > 1 is true: count(web-* db) is 2"},
        {.text = "child web-1 tag = us",
         .explained = "child web-1 tag = us is false: child web-1 tag is web, eu"},
        {.text = "child nobody state = running",
         .explained = "child nobody state = running is false: child nobody state is nothing"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_expr *expr = parse_expr(cases[i].text, &ph_condition_resolver, NULL);
        struct ph_text out = PH_TEXT_INIT;
        assert_non_null(expr);
        ph_expr_explain(expr, &ph_condition_resolver, &hub, &out);
        assert_string_equal(ph_text_str(&out), cases[i].explained);
        ph_text_fini(&out);
        ph_expr_destroy(expr);
    }
}

/* Errors name the place, the fields that exist and the nearest one. */
static void mistakes_are_explained(void **state)
{
    (void)state;
    const struct ph_resolver *child = &ph_child_resolver, *hub = &ph_condition_resolver;
    static const char fields[] = "; the fields are: id, state, tag, restarts, node, meta.KEY";
    char text[256];
    snprintf(text, sizeof text, "1: unknown field stat, did you mean state?%s", fields);
    assert_refused("stat = x", child, text);
    snprintf(text, sizeof text, "17: unknown field q%s", fields);
    assert_refused("state=x and not(q=1)", child, text);
    assert_refused("state", child, "1: one of = != < <= > >= =~ is missing at the end");
    assert_refused("state =", child, "7: a value is missing at the end");
    assert_refused("state = and", child, "9: a value is missing before and");
    assert_refused("= x", child, "1: a field is missing before =");
    assert_refused("(state = x", child, "10: ) is missing at the end");
    assert_refused("state = x)", child, "10: and, or, or the end is missing before )");
    assert_refused("state = x y", child, "11: and, or, or the end is missing before y");
    assert_refused("'state' = x", child, "1: a field comes first, and is not quoted: state");
    assert_refused("restarts = many", child,
                   "12: restarts is compared with a number, a duration or a size, not many");
    assert_refused("locked = maybe", hub, "10: locked is compared with true or false, not maybe");
    assert_refused("count() = 1", hub, "7: write count, count(TARGET) or count(where EXPR)");
    assert_refused("count(w-[9..1]) = 1", hub,
                   "7: w-[9..1]: the first number is greater than the last one");
    assert_refused("child x", hub, "7: a field is missing at the end");
    assert_refused("id =~ '('", child, "7: ( is no regular expression: Unmatched ( or \\(");
    assert_refused("id =~ '((a{1,99}){1,99}){1,99}'", child,
                   "7: the repetitions {…} of a regular expression are at most 1000, multiplied");
}

/* Depth and size are bounded. */
static void expressions_are_bounded(void **state)
{
    (void)state;
    struct ph_text text = PH_TEXT_INIT;
    for (size_t i = 0; i < 100; i++)
        ph_text_put(&text, "(");
    ph_text_put(&text, "id=x");
    assert_refused(text.data, &ph_child_resolver,
                   "65: the expression is nested too deep: at most 64 levels");
    ph_text_clear(&text);
    for (size_t i = 0; i < 1100; i++)
        ph_text_put(&text, i ? " or id=x" : "id=x");
    struct ph_text said = PH_TEXT_INIT;
    assert_null(parse_expr(text.data, &ph_child_resolver, &said));
    assert_non_null(strstr(ph_text_str(&said), "the expression is too long: at most 1024 parts"));
    ph_text_fini(&said);
    ph_text_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_compared),      cmocka_unit_test(operators_have_their_order),
        cmocka_unit_test(quoted_words_are_values),  cmocka_unit_test(conditions_are_evaluated),
        cmocka_unit_test(conditions_are_explained), cmocka_unit_test(mistakes_are_explained),
        cmocka_unit_test(expressions_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
