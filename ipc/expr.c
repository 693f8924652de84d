#include "ipc/expr.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/nearest.h"
#include "ipc/expr_tree.h"

enum {
    DEPTH_MAX = 64,
    NODES_MAX = 1024,
    REGEX_BYTES_MAX = 256,
    REGEX_REPEATS_MAX = 1000, /* all bounds of {…} multiplied: what the C library unrolls */
    REGEX_GROUPS_MAX = 32,
};

struct parser {
    struct ph_expr_lexer lexer;
    struct ph_expr_token token; /* the next one */
    const struct ph_resolver *resolver;
    struct ph_script_error *error;
    unsigned depth, nodes;
};

static int parse_or(struct parser *parser, struct ph_expr **result);

static void advance(struct parser *parser)
{
    ph_expr_next(&parser->lexer, &parser->token);
}

static int refuse(struct parser *parser, const char *text)
{
    return ph_word_refuse(&parser->token.at, parser->error, PH_EUSAGE, "%s", text);
}

/* "…, but here is X" */
static int refuse_token(struct parser *parser, const char *wanted)
{
    const struct ph_expr_token *token = &parser->token;
    if (token->type == PH_EXPR_END)
        return ph_word_refuse(&token->at, parser->error, PH_EUSAGE, "%s is missing at the end",
                              wanted);
    return ph_word_refuse(&token->at, parser->error, PH_EUSAGE, "%s is missing before %s", wanted,
                          ph_shown(token->text, token->length).text);
}

static bool is_keyword(const struct ph_expr_token *token, const char *keyword)
{
    return token->type == PH_EXPR_VALUE && !token->literal && token->length == strlen(keyword) &&
           memcmp(token->text, keyword, token->length) == 0;
}

static bool is_any_keyword(const struct ph_expr_token *token)
{
    return is_keyword(token, "and") || is_keyword(token, "or") || is_keyword(token, "not");
}

/* NULL, and the error is set, when there are too many. */
static struct ph_expr *new_node(struct parser *parser, enum ph_expr_kind kind)
{
    if (parser->nodes == NODES_MAX) {
        (void)refuse(parser, "the expression is too long: at most 1024 parts");
        return NULL;
    }
    parser->nodes++;
    struct ph_expr *node = ph_alloc(sizeof *node);
    node->kind = kind;
    return node;
}

/* ---- Fields -------------------------------------------------------------------------------- */

static int refuse_field(struct parser *parser, const struct ph_resolver *resolver,
                        const char *field)
{
    struct ph_nearest nearest = {0};
    char names[32][64];
    size_t count = 0;
    for (const char *at = resolver->fields; *at && count < 32;) {
        size_t length = strcspn(at, ", ");
        if (length && length < sizeof names[0]) {
            memcpy(names[count], at, length);
            names[count][length] = '\0';
            ph_nearest_offer(&nearest, field, names[count++]);
        }
        at += length;
        at += strspn(at, ", ");
    }
    return ph_word_refuse(
        &parser->token.at, parser->error, PH_EUSAGE, "unknown field %s%s%s%s; the fields are: %s",
        ph_shown(field, strlen(field)).text, nearest.word ? ", did you mean " : "",
        nearest.word ? nearest.word : "", nearest.word ? "?" : "", resolver->fields);
}

static int parse_field(struct parser *parser, const struct ph_resolver *resolver, char **field)
{
    const struct ph_expr_token *token = &parser->token;
    if (token->type != PH_EXPR_VALUE || is_any_keyword(token))
        return refuse_token(parser, "a field");
    char *name = ph_copy_text(token->text, token->length);
    int rc = 0;
    if (token->literal && !token->hidden)
        rc = ph_word_refuse(&token->at, parser->error, PH_EUSAGE,
                            "a field comes first, and is not quoted: %s",
                            ph_shown(name, token->length).text);
    else if (!token->hidden && !resolver->known(name))
        rc = refuse_field(parser, resolver, name);
    if (rc) {
        ph_free(name);
        return rc;
    }
    *field = name;
    advance(parser);
    return 0;
}

/* Of the expressions inside a condition. */
static const struct ph_resolver *children_of(const struct ph_resolver *resolver)
{
    return resolver->children ? resolver->children : &ph_child_resolver;
}

/* ---- count(…) and child ID FIELD ----------------------------------------------------------- */

static int parse_target_word(struct parser *parser, struct ph_expr **result)
{
    const struct ph_expr_token *token = &parser->token;
    struct ph_expr *node = new_node(parser, PH_EXPR_TARGET);
    int rc = 0;
    if (!node)
        return PH_EUSAGE;
    node->text = ph_copy_text(token->text, token->length);
    node->length = token->length;
    struct ph_word word = token->at;
    word.text = node->text;
    word.length = node->length;
    word.quoted = token->literal;
    word.literal = word.literal_end = 0;
    if (!token->hidden)
        rc = ph_target_word_read(&word, &node->target, parser->error);
    if (rc) {
        ph_expr_destroy(node);
        return rc;
    }
    *result = node;
    advance(parser);
    return 0;
}

static int parse_target(struct parser *parser, struct ph_expr **result)
{
    struct ph_expr *list = new_node(parser, PH_EXPR_OR);
    int rc = 0;
    if (!list)
        return PH_EUSAGE;
    struct ph_expr **end = &list->first;
    while (!rc && parser->token.type == PH_EXPR_VALUE) {
        rc = parse_target_word(parser, end);
        end = rc ? end : &(*end)->next;
    }
    if (!rc && !list->first)
        rc = refuse(parser, "write count, count(TARGET) or count(where EXPR)");
    if (rc) {
        ph_expr_destroy(list);
        return rc;
    }
    *result = list;
    return 0;
}

/* Behind `count(`. */
static int parse_count(struct parser *parser, struct ph_expr *node)
{
    const struct ph_resolver *outer = parser->resolver;
    int rc;
    node->source = PH_SOURCE_COUNT;
    if (is_keyword(&parser->token, "where")) {
        advance(parser);
        parser->resolver = children_of(outer);
        rc = parse_or(parser, &node->where);
        parser->resolver = outer;
    } else {
        rc = parse_target(parser, &node->where);
    }
    if (rc)
        return rc;
    if (parser->token.type != PH_EXPR_CLOSE)
        return refuse_token(parser, ")");
    advance(parser);
    return 0;
}

/* Behind `child`. */
static int parse_child(struct parser *parser, struct ph_expr *node)
{
    node->source = PH_SOURCE_CHILD;
    if (parser->token.type != PH_EXPR_VALUE)
        return refuse(parser, "write child ID FIELD, as in: child web-1 state = running");
    node->id = ph_copy_text(parser->token.text, parser->token.length);
    advance(parser);
    return parse_field(parser, children_of(parser->resolver), &node->field);
}

static bool takes_children(const struct ph_resolver *resolver)
{
    return resolver->count && resolver->child;
}

static int parse_source(struct parser *parser, struct ph_expr *node)
{
    const struct ph_resolver *resolver = parser->resolver;
    bool is_count = is_keyword(&parser->token, "count");
    if (takes_children(resolver) && is_keyword(&parser->token, "child")) {
        advance(parser);
        return parse_child(parser, node);
    }
    if (!takes_children(resolver) || !is_count)
        return parse_field(parser, resolver, &node->field);
    struct ph_expr_token name = parser->token;
    advance(parser);
    if (parser->token.type == PH_EXPR_OPEN) {
        advance(parser);
        return parse_count(parser, node);
    }
    node->source = resolver->known("count") ? PH_SOURCE_FIELD : PH_SOURCE_COUNT;
    node->field = ph_copy_text(name.text, name.length);
    return 0;
}

/* ---- Comparisons --------------------------------------------------------------------------- */

/* What the source's value will be; NONE: any. */
static enum ph_value_type type_of(const struct parser *parser, const struct ph_expr *node)
{
    const struct ph_resolver *resolver = parser->resolver;
    if (node->source == PH_SOURCE_COUNT)
        return PH_VALUE_NUMBER;
    if (node->source == PH_SOURCE_CHILD)
        resolver = children_of(resolver);
    bool known = resolver->type && resolver->known(node->field);
    return known ? resolver->type(node->field) : PH_VALUE_NONE;
}

/* The C library unrolls {…} and takes its time with back references, so a pattern is bounded first.
 */
static const char *regex_is_too_large(const char *pattern, size_t length)
{
    uint64_t repeats = 1;
    unsigned groups = 0;
    if (length > REGEX_BYTES_MAX)
        return "a regular expression has at most 256 bytes";
    for (const char *at = pattern; *at; at++) {
        if (*at == '\\' && at[1] >= '1' && at[1] <= '9')
            return "a regular expression takes no back references";
        groups += *at == '(';
        if (*at != '{')
            continue;
        uint64_t bound = 1;
        for (at++; *at && *at != '}'; at++) {
            if (*at == ',')
                bound = bound > 1 ? bound : 1;
            uint64_t number = 0;
            for (; *at >= '0' && *at <= '9' && number < 100000; at++)
                number = number * 10 + (uint64_t)(*at - '0');
            bound = number > bound ? number : bound;
            if (!*at || *at == '}')
                break;
        }
        repeats *= bound;
        if (repeats > REGEX_REPEATS_MAX || !*at)
            break;
    }
    if (repeats > REGEX_REPEATS_MAX)
        return "the repetitions {…} of a regular expression are at most 1000, multiplied";
    return groups > REGEX_GROUPS_MAX ? "a regular expression has at most 32 groups" : NULL;
}

static int compile(struct parser *parser, struct ph_expr *node)
{
    const struct ph_expr_token *token = &parser->token;
    const char *large = regex_is_too_large(node->text, node->length);
    if (large)
        return refuse(parser, large);
    regex_t *regex = ph_alloc(sizeof *regex);
    int rc = regcomp(regex, node->text, REG_EXTENDED | REG_NOSUB);
    if (rc == 0) {
        node->regex = regex;
        return 0;
    }
    char why[128];
    regerror(rc, regex, why, sizeof why);
    ph_free(regex);
    return ph_word_refuse(&token->at, parser->error, PH_EUSAGE, "%s is no regular expression: %s",
                          ph_shown(node->text, node->length).text, why);
}

static bool is_bool_text(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

/* Does the value fit the field? */
static int check_value(struct parser *parser, const struct ph_expr *node)
{
    enum ph_value_type type = type_of(parser, node);
    const char *wanted = NULL;
    if (type == PH_VALUE_NUMBER && !node->is_number && node->op != PH_OP_MATCH)
        wanted = "a number, a duration or a size";
    if (type == PH_VALUE_BOOL && !is_bool_text(node->text))
        wanted = "true or false";
    if (!wanted)
        return 0;
    const char *name = node->field ? node->field : "count";
    return ph_word_refuse(&parser->token.at, parser->error, PH_EUSAGE,
                          "%s is compared with %s, not %s", name, wanted,
                          ph_shown(node->text, node->length).text);
}

static int parse_value(struct parser *parser, struct ph_expr *node)
{
    const struct ph_expr_token *token = &parser->token;
    node->op = token->op;
    advance(parser);
    if (token->type != PH_EXPR_VALUE || is_any_keyword(token))
        return refuse_token(parser, "a value");
    node->text = ph_copy_text(token->text, token->length);
    node->length = token->length;
    node->is_number = ph_parse_uint(node->text, UINT64_MAX, &node->number) ||
                      ph_parse_duration(node->text, &node->number) ||
                      ph_parse_size(node->text, &node->number);
    int rc = token->hidden ? 0 : check_value(parser, node);
    if (!rc && !token->hidden && node->op == PH_OP_MATCH)
        rc = compile(parser, node);
    if (!rc)
        advance(parser);
    return rc;
}

static int finish_comparison(struct parser *parser, struct ph_expr *node)
{
    if (parser->token.type == PH_EXPR_OP)
        return parse_value(parser, node);
    enum ph_value_type type = type_of(parser, node);
    node->kind = PH_EXPR_TRUTH;
    if (type == PH_VALUE_BOOL || (type == PH_VALUE_NONE && !parser->resolver->type))
        return 0;
    if (type == PH_VALUE_NONE) /* a variable that is not replaced yet */
        return 0;
    return refuse_token(parser, "one of = != < <= > >= =~");
}

static int parse_comparison(struct parser *parser, struct ph_expr **result)
{
    struct ph_expr *node = new_node(parser, PH_EXPR_COMPARE);
    if (!node)
        return PH_EUSAGE;
    int rc = parse_source(parser, node);
    if (!rc)
        rc = finish_comparison(parser, node);
    if (rc) {
        ph_expr_destroy(node);
        return rc;
    }
    *result = node;
    return 0;
}

/* ---- and, or, not, ( ) --------------------------------------------------------------------- */

static int parse_not(struct parser *parser, struct ph_expr **result);

static int parse_parentheses(struct parser *parser, struct ph_expr **result)
{
    struct ph_expr *inner = NULL;
    advance(parser);
    int rc = parse_or(parser, &inner);
    if (!rc && parser->token.type != PH_EXPR_CLOSE)
        rc = refuse_token(parser, ")");
    if (rc) {
        ph_expr_destroy(inner);
        return rc;
    }
    *result = inner;
    advance(parser);
    return 0;
}

static int parse_negation(struct parser *parser, struct ph_expr **result)
{
    struct ph_expr *node = new_node(parser, PH_EXPR_NOT);
    if (!node)
        return PH_EUSAGE;
    advance(parser);
    int rc = parse_not(parser, &node->first);
    if (rc) {
        ph_expr_destroy(node);
        return rc;
    }
    *result = node;
    return 0;
}

static int parse_not(struct parser *parser, struct ph_expr **result)
{
    if (parser->depth == DEPTH_MAX)
        return refuse(parser, "the expression is nested too deep: at most 64 levels");
    parser->depth++;
    int rc;
    if (is_keyword(&parser->token, "not"))
        rc = parse_negation(parser, result);
    else if (parser->token.type == PH_EXPR_OPEN)
        rc = parse_parentheses(parser, result);
    else
        rc = parse_comparison(parser, result);
    parser->depth--;
    return rc;
}

/* One or more `part`s with the keyword between them. */
static int parse_list(struct parser *parser, enum ph_expr_kind kind, const char *keyword,
                      int (*part)(struct parser *, struct ph_expr **), struct ph_expr **result)
{
    struct ph_expr *first = NULL;
    int rc = part(parser, &first);
    if (rc)
        return rc;
    if (!is_keyword(&parser->token, keyword)) {
        *result = first;
        return 0;
    }
    struct ph_expr *list = new_node(parser, kind);
    if (!list) {
        ph_expr_destroy(first);
        return PH_EUSAGE;
    }
    list->first = first;
    struct ph_expr **end = &first->next;
    while (!rc && is_keyword(&parser->token, keyword)) {
        advance(parser);
        rc = part(parser, end);
        end = rc ? end : &(*end)->next;
    }
    if (rc) {
        ph_expr_destroy(list);
        return rc;
    }
    *result = list;
    return 0;
}

static int parse_and(struct parser *parser, struct ph_expr **result)
{
    return parse_list(parser, PH_EXPR_AND, "and", parse_not, result);
}

static int parse_or(struct parser *parser, struct ph_expr **result)
{
    return parse_list(parser, PH_EXPR_OR, "or", parse_and, result);
}

int ph_expr_parse(const struct ph_word *words, size_t count, const struct ph_resolver *resolver,
                  struct ph_expr **result, struct ph_script_error *error)
{
    *error = (struct ph_script_error){.line = 1, .column = 1};
    if (count == 0)
        return ph_error_set(&error->error, PH_EUSAGE, "an expression is missing");
    struct parser parser = {
        .lexer = {.words = words, .count = count}, .resolver = resolver, .error = error};
    struct ph_expr *expr = NULL;
    advance(&parser);
    int rc = parse_or(&parser, &expr);
    if (!rc && parser.token.type != PH_EXPR_END)
        rc = refuse_token(&parser, "and, or, or the end");
    if (rc) {
        ph_expr_destroy(expr);
        return rc;
    }
    *result = expr;
    return 0;
}

void ph_expr_destroy(struct ph_expr *expr)
{
    if (!expr)
        return;
    for (struct ph_expr *part = expr->first, *next; part; part = next) {
        next = part->next;
        ph_expr_destroy(part);
    }
    ph_expr_destroy(expr->where);
    if (expr->regex)
        regfree(expr->regex);
    ph_free(expr->regex);
    ph_free(expr->field);
    ph_free(expr->id);
    ph_free(expr->text);
    ph_free(expr);
}
