/*
 * The tree of an expression, shared by its parser (expr.c) and its reader (expr_eval.c).
 *
 * AND and OR have two or more children in a list, NOT has one. A leaf is a comparison, a boolean
 * that stands alone, or a word of a TARGET.
 */
#ifndef PH_IPC_EXPR_TREE_H
#define PH_IPC_EXPR_TREE_H

#include <regex.h>

#include "ipc/expr.h"
#include "ipc/expr_lex.h"
#include "ipc/target_word.h"

enum ph_expr_kind {
    PH_EXPR_AND,
    PH_EXPR_OR,
    PH_EXPR_NOT,
    PH_EXPR_COMPARE,
    PH_EXPR_TRUTH,
    PH_EXPR_TARGET
};

/* What a comparison looks at. */
enum ph_expr_source {
    PH_SOURCE_FIELD,
    PH_SOURCE_COUNT, /* of `where`; NULL: of all */
    PH_SOURCE_CHILD, /* `field` of the child `id` */
};

struct ph_expr {
    enum ph_expr_kind kind;
    struct ph_expr *first, *next; /* of AND, OR, NOT */

    enum ph_expr_source source;
    char *field, *id;
    struct ph_expr *where;

    enum ph_expr_op op;
    char *text; /* what is compared with; the text of a TARGET word */
    size_t length;
    bool is_number;
    uint64_t number;
    regex_t *regex;

    struct ph_target_word target; /* borrows `text` */
};

#endif
