/*
 * The tokens of an expression: words are cut at operators and parentheses, so that `state!=running`
 * and `state != running` are the same. What came from quotes or variables is never cut. Private to
 * expr.c.
 */
#ifndef PH_IPC_EXPR_LEX_H
#define PH_IPC_EXPR_LEX_H

#include "ipc/script.h"

enum ph_expr_op { PH_OP_EQ, PH_OP_NE, PH_OP_LT, PH_OP_LE, PH_OP_GT, PH_OP_GE, PH_OP_MATCH };

enum ph_expr_token_type { PH_EXPR_END, PH_EXPR_OPEN, PH_EXPR_CLOSE, PH_EXPR_OP, PH_EXPR_VALUE };

struct ph_expr_token {
    enum ph_expr_token_type type;
    enum ph_expr_op op;
    const char *text; /* not NUL-terminated */
    size_t length;
    bool literal;      /* no keyword and no field */
    bool hidden;       /* holds a variable that is not replaced yet */
    struct ph_word at; /* for errors: the position of the token */
};

struct ph_expr_lexer {
    const struct ph_word *words;
    size_t count;
    size_t index, offset; /* of the next token */
    bool drained;         /* an empty literal of words[index] was given */
};

void ph_expr_next(struct ph_expr_lexer *, struct ph_expr_token *);

/* "=", "!=", … */
const char *ph_expr_op_name(enum ph_expr_op);

#endif
