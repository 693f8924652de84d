#include <string.h>

#include "engine/alloc.h"
#include "ipc/expr.h"
#include "ipc/expr_tree.h"

enum { EXPLAINED_MAX = 8 }; /* comparisons in one explanation */

/* ---- Comparing ----------------------------------------------------------------------------- */

static bool order_fits(enum ph_expr_op op, int order)
{
    switch (op) {
    case PH_OP_EQ:
        return order == 0;
    case PH_OP_NE:
        return order != 0;
    case PH_OP_LT:
        return order < 0;
    case PH_OP_LE:
        return order <= 0;
    case PH_OP_GT:
        return order > 0;
    case PH_OP_GE:
        return order >= 0;
    case PH_OP_MATCH:
        break;
    }
    return false;
}

static bool matches(const struct ph_expr *node, const char *text, size_t length)
{
    regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)length};
    return node->regex && regexec(node->regex, text, 1, &range, REG_STARTEND) == 0;
}

static int order_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int order_texts(const struct ph_expr *node, const char *text, size_t length)
{
    size_t common = length < node->length ? length : node->length;
    int order = common ? memcmp(text, node->text, common) : 0;
    return order ? order : order_numbers(length, node->length);
}

/* Two texts that are numbers are ordered as numbers: `meta.version > 9`. */
static bool text_fits(const struct ph_expr *node, const char *text, size_t length)
{
    uint64_t number;
    char digits[24] = "";
    if (node->op == PH_OP_MATCH)
        return matches(node, text, length);
    if (length < sizeof digits)
        memcpy(digits, text, length);
    bool ordered = node->op != PH_OP_EQ && node->op != PH_OP_NE;
    if (ordered && node->is_number && ph_parse_uint(digits, UINT64_MAX, &number))
        return order_fits(node->op, order_numbers(number, node->number));
    return order_fits(node->op, order_texts(node, text, length));
}

static bool number_fits(const struct ph_expr *node, uint64_t number)
{
    if (node->op != PH_OP_MATCH)
        return node->is_number ? order_fits(node->op, order_numbers(number, node->number))
                               : node->op == PH_OP_NE;
    struct ph_text text = PH_TEXT_INIT;
    ph_text_printf(&text, "%llu", (unsigned long long)number);
    bool fits = matches(node, text.data, text.length);
    ph_text_fini(&text);
    return fits;
}

/* One entry that fits is enough; for != none may be equal. */
static bool list_fits(const struct ph_expr *node, const struct ph_value *value)
{
    bool all = node->op == PH_OP_NE;
    const char *at = value->text, *end = at + value->length;
    while (at < end) {
        const char *comma = memchr(at, '\x1f', (size_t)(end - at));
        size_t length = (size_t)((comma ? comma : end) - at);
        if (text_fits(node, at, length) != all)
            return !all;
        at += length + 1;
    }
    return all || (value->length == 0 && node->op == PH_OP_EQ && node->length == 0);
}

static bool bool_fits(const struct ph_expr *node, bool value)
{
    bool same = strcmp(node->text, value ? "true" : "false") == 0;
    return node->op == PH_OP_NE ? !same : node->op == PH_OP_EQ && same;
}

static bool value_fits(const struct ph_expr *node, const struct ph_value *value)
{
    switch (value->type) {
    case PH_VALUE_NONE:
        return node->length == 0 ? node->op == PH_OP_EQ : node->op == PH_OP_NE;
    case PH_VALUE_NUMBER:
        return number_fits(node, value->number);
    case PH_VALUE_TEXT:
        return text_fits(node, value->text, value->length);
    case PH_VALUE_LIST:
        return list_fits(node, value);
    case PH_VALUE_BOOL:
        return bool_fits(node, value->number != 0);
    }
    return false;
}

static bool is_true(const struct ph_value *value)
{
    switch (value->type) {
    case PH_VALUE_NUMBER:
    case PH_VALUE_BOOL:
        return value->number != 0;
    case PH_VALUE_TEXT:
    case PH_VALUE_LIST:
        return value->length > 0;
    case PH_VALUE_NONE:
        break;
    }
    return false;
}

/* ---- Evaluating ---------------------------------------------------------------------------- */

static void read_source(const struct ph_expr *node, const struct ph_resolver *resolver,
                        void *subject, struct ph_value *value)
{
    *value = (struct ph_value){.type = PH_VALUE_NONE};
    switch (node->source) {
    case PH_SOURCE_FIELD:
        resolver->value(subject, node->field, value);
        break;
    case PH_SOURCE_COUNT:
        value->type = PH_VALUE_NUMBER;
        value->number = resolver->count(subject, node->where);
        break;
    case PH_SOURCE_CHILD:
        resolver->child(subject, node->id, node->field, value);
        break;
    }
}

static bool target_holds(const struct ph_expr *node, const struct ph_resolver *resolver,
                         void *subject)
{
    struct ph_value value = {.type = PH_VALUE_NONE};
    const struct ph_target_word *target = &node->target;
    if (target->form == PH_TARGET_ALL)
        return true;
    if (target->form == PH_TARGET_TAG || target->form == PH_TARGET_NODE) {
        struct ph_expr same = {.op = PH_OP_EQ, .text = node->text, .length = target->length};
        same.text += target->text - node->text;
        resolver->value(subject, target->form == PH_TARGET_TAG ? "tag" : "node", &value);
        return value_fits(&same, &value);
    }
    resolver->value(subject, "id", &value);
    return value.type == PH_VALUE_TEXT && ph_target_word_matches(target, value.text, value.length);
}

bool ph_expr_holds(const struct ph_expr *expr, const struct ph_resolver *resolver, void *subject)
{
    struct ph_value value;
    switch (expr->kind) {
    case PH_EXPR_AND:
    case PH_EXPR_OR:
        for (const struct ph_expr *part = expr->first; part; part = part->next) {
            if (ph_expr_holds(part, resolver, subject) == (expr->kind == PH_EXPR_OR))
                return expr->kind == PH_EXPR_OR;
        }
        return expr->kind == PH_EXPR_AND;
    case PH_EXPR_NOT:
        return !ph_expr_holds(expr->first, resolver, subject);
    case PH_EXPR_TARGET:
        return target_holds(expr, resolver, subject);
    case PH_EXPR_COMPARE:
        read_source(expr, resolver, subject, &value);
        return value_fits(expr, &value);
    case PH_EXPR_TRUTH:
        read_source(expr, resolver, subject, &value);
        return is_true(&value);
    }
    return false;
}

/* ---- Explaining ---------------------------------------------------------------------------- */

static void print(const struct ph_expr *expr, struct ph_text *out);

static void print_list(const struct ph_expr *expr, const char *between, struct ph_text *out)
{
    for (const struct ph_expr *part = expr->first; part; part = part->next) {
        bool nested =
            part->kind == PH_EXPR_OR && part->first && part->first->kind != PH_EXPR_TARGET;
        ph_text_put(out, nested ? "(" : "");
        print(part, out);
        ph_text_put(out, nested ? ")" : "");
        ph_text_put(out, part->next ? between : "");
    }
}

static void print_source(const struct ph_expr *node, struct ph_text *out)
{
    if (node->source == PH_SOURCE_CHILD)
        ph_text_printf(out, "child %s ", ph_shown(node->id, strlen(node->id)).text);
    ph_text_put(out, node->field ? node->field : "count");
    if (!node->where)
        return;
    bool target = node->where->first && node->where->first->kind == PH_EXPR_TARGET;
    ph_text_put(out, target ? "(" : "(where ");
    print(node->where, out);
    ph_text_put(out, ")");
}

static void print(const struct ph_expr *expr, struct ph_text *out)
{
    switch (expr->kind) {
    case PH_EXPR_AND:
        print_list(expr, " and ", out);
        break;
    case PH_EXPR_OR:
        print_list(expr, expr->first->kind == PH_EXPR_TARGET ? " " : " or ", out);
        break;
    case PH_EXPR_NOT:
        ph_text_put(out, "not (");
        print(expr->first, out);
        ph_text_put(out, ")");
        break;
    case PH_EXPR_TARGET:
        ph_text_put(out, ph_shown(expr->text, expr->length).text);
        break;
    case PH_EXPR_TRUTH:
        print_source(expr, out);
        break;
    case PH_EXPR_COMPARE:
        print_source(expr, out);
        ph_text_printf(out, " %s %s", ph_expr_op_name(expr->op),
                       expr->length ? ph_shown(expr->text, expr->length).text : "''");
        break;
    }
}

static void print_value(const struct ph_value *value, struct ph_text *out)
{
    switch (value->type) {
    case PH_VALUE_NONE:
        ph_text_put(out, "nothing");
        break;
    case PH_VALUE_NUMBER:
        ph_text_printf(out, "%llu", (unsigned long long)value->number);
        break;
    case PH_VALUE_BOOL:
        ph_text_put(out, value->number ? "true" : "false");
        break;
    case PH_VALUE_TEXT:
        ph_text_put(out, value->length ? ph_shown(value->text, value->length).text : "''");
        break;
    case PH_VALUE_LIST:
        for (size_t i = 0, from = 0; i <= value->length; i++) {
            if (i < value->length && value->text[i] != '\x1f')
                continue;
            ph_text_printf(out, "%s%s", from ? ", " : "",
                           ph_shown(value->text + from, i - from).text);
            from = i + 1;
        }
        break;
    }
}

static void explain_leaf(const struct ph_expr *leaf, const struct ph_resolver *resolver,
                         void *subject, struct ph_text *out)
{
    struct ph_value value;
    read_source(leaf, resolver, subject, &value);
    bool holds = leaf->kind == PH_EXPR_TRUTH ? is_true(&value) : value_fits(leaf, &value);
    ph_text_put(out, out->length ? "; " : "");
    print(leaf, out);
    ph_text_printf(out, " is %s", holds ? "true" : "false");
    if (leaf->kind == PH_EXPR_TRUTH)
        return;
    ph_text_put(out, ": ");
    print_source(leaf, out);
    ph_text_put(out, " is ");
    print_value(&value, out);
}

static void explain(const struct ph_expr *expr, const struct ph_resolver *resolver, void *subject,
                    unsigned *count, struct ph_text *out)
{
    if (expr->kind == PH_EXPR_COMPARE || expr->kind == PH_EXPR_TRUTH) {
        if (*count < EXPLAINED_MAX)
            explain_leaf(expr, resolver, subject, out);
        else if (*count == EXPLAINED_MAX)
            ph_text_put(out, "; …");
        ++*count;
        return;
    }
    for (const struct ph_expr *part = expr->first; part; part = part->next)
        explain(part, resolver, subject, count, out);
}

void ph_expr_explain(const struct ph_expr *expr, const struct ph_resolver *resolver, void *subject,
                     struct ph_text *out)
{
    unsigned count = 0;
    struct ph_text text = PH_TEXT_INIT;
    explain(expr, resolver, subject, &count, &text);
    ph_text_append(out, ph_text_str(&text), text.length);
    ph_text_fini(&text);
}
