#include "ipc/expr_lex.h"

#include <string.h>

#include "engine/base.h"
#include "engine/text.h"

struct op_name {
    const char *text;
    enum ph_expr_op op;
};

/* Longer ones first. */
static const struct op_name op_names[] = {
    {.text = "!=", .op = PH_OP_NE}, {.text = "<=", .op = PH_OP_LE},
    {.text = ">=", .op = PH_OP_GE}, {.text = "=~", .op = PH_OP_MATCH},
    {.text = "==", .op = PH_OP_EQ}, {.text = "=", .op = PH_OP_EQ},
    {.text = "<", .op = PH_OP_LT},  {.text = ">", .op = PH_OP_GT},
};

/* The literal bytes of a word: [first, last). */
struct literal {
    size_t first, last;
    bool is_there;
};

static struct literal literal_of(const struct ph_word *word)
{
    if (word->quoted && word->literal_end == 0)
        return (struct literal){.first = 0, .last = word->length, .is_there = true};
    return (struct literal){.first = word->literal,
                            .last = word->literal_end,
                            .is_there = word->quoted || word->literal_end > 0};
}

/* The operator at bare `text` of at most `length` bytes, or NULL. */
static const struct op_name *find_op(const char *text, size_t length)
{
    for (size_t i = 0; i < PH_COUNT_OF(op_names); i++) {
        size_t bytes = strlen(op_names[i].text);
        if (bytes <= length && memcmp(op_names[i].text, text, bytes) == 0)
            return &op_names[i];
    }
    return NULL;
}

/* How many bytes from `offset` are bare. */
static size_t bare_from(const struct ph_word *word, const struct literal *literal, size_t offset)
{
    if (!literal->is_there || offset >= literal->last)
        return word->length - offset;
    return offset < literal->first ? literal->first - offset : 0;
}

static uint32_t column_at(const struct ph_word *word, size_t offset)
{
    uint32_t column = word->column;
    for (size_t at = 0; at < offset;) {
        size_t bytes = ph_utf8_next(word->text + at, offset - at, NULL);
        at += bytes ? bytes : 1;
        column++;
    }
    return column;
}

static void read_value(struct ph_expr_lexer *lexer, const struct ph_word *word,
                       const struct literal *literal, struct ph_expr_token *token)
{
    size_t at = lexer->offset;
    token->type = PH_EXPR_VALUE;
    token->text = word->text + at;
    while (at < word->length || (literal->is_there && at == literal->first && !lexer->drained)) {
        if (literal->is_there && at == literal->first && !lexer->drained) {
            token->literal = true;
            token->hidden = word->variable;
            lexer->drained = true;
            at = literal->last;
            continue;
        }
        char byte = word->text[at];
        if (byte == '(' || byte == ')' || find_op(word->text + at, bare_from(word, literal, at)))
            break;
        at++;
    }
    token->length = (size_t)(word->text + at - token->text);
    lexer->offset = at;
}

static void read_token(struct ph_expr_lexer *lexer, const struct ph_word *word,
                       struct ph_expr_token *token)
{
    struct literal literal = literal_of(word);
    size_t bare = bare_from(word, &literal, lexer->offset);
    const char *text = word->text + lexer->offset;
    token->at.column = column_at(word, lexer->offset);
    if (literal.is_there && lexer->offset == literal.first && !lexer->drained)
        bare = 0;
    const struct op_name *op = find_op(text, bare);
    if (bare && (*text == '(' || *text == ')')) {
        token->type = *text == '(' ? PH_EXPR_OPEN : PH_EXPR_CLOSE;
        token->length = 1;
    } else if (op) {
        token->type = PH_EXPR_OP;
        token->op = op->op;
        token->length = strlen(op->text);
    } else {
        read_value(lexer, word, &literal, token);
        return;
    }
    token->text = text;
    lexer->offset += token->length;
}

/* Is there nothing left of the word? */
static bool is_read(const struct ph_expr_lexer *lexer, const struct ph_word *word)
{
    struct literal literal = literal_of(word);
    bool left = literal.is_there && !lexer->drained && lexer->offset <= literal.first;
    return lexer->offset >= word->length && !left;
}

void ph_expr_next(struct ph_expr_lexer *lexer, struct ph_expr_token *token)
{
    *token = (struct ph_expr_token){.type = PH_EXPR_END};
    while (lexer->index < lexer->count && is_read(lexer, &lexer->words[lexer->index])) {
        lexer->index++;
        lexer->offset = 0;
        lexer->drained = false;
    }
    size_t at = lexer->index < lexer->count ? lexer->index : lexer->count - 1;
    token->at = lexer->words[at];
    if (lexer->index < lexer->count)
        read_token(lexer, &lexer->words[at], token);
}

const char *ph_expr_op_name(enum ph_expr_op op)
{
    for (size_t i = 0; i < PH_COUNT_OF(op_names); i++) {
        if (op_names[i].op == op && strcmp(op_names[i].text, "==") != 0)
            return op_names[i].text;
    }
    return "=";
}
