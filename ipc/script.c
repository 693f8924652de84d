#include "ipc/script.h"

#include <errno.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "ipc/lex.h"

struct ph_script {
    char *name;
    char *text; /* as it came, for ph_script_line */
    size_t length;
    char *decoded; /* the words' texts */
    struct ph_word *words;
    size_t word_count, word_capacity;
    struct ph_statement *statements;
    size_t count, capacity;
};

/* A script in the making: the statement in work. */
struct builder {
    struct ph_script *script;
    struct ph_lexer lexer;
    struct ph_script_error *error;
    struct ph_word try_word;
    struct ph_statement statement; /* `words` is set when all words are known */
    bool in_argv;
};

/* Makes room for one more. The size comes from outside, so it may be refused. */
static int grow(void **array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *bigger = ph_try_alloc(wanted * size);
    if (!bigger)
        return -ENOMEM;
    if (count)
        memcpy(bigger, *array, count * size);
    ph_free(*array);
    *array = bigger;
    *capacity = wanted;
    return 0;
}

static int refuse_here(struct builder *builder, const char *text)
{
    return ph_word_refuse(&builder->lexer.word, builder->error, PH_EUSAGE, "%s", text);
}

static int no_memory(struct builder *builder)
{
    return ph_word_refuse(&builder->lexer.word, builder->error, -ENOMEM, "%s",
                          ph_error_text(-ENOMEM));
}

static int add_word(struct builder *builder)
{
    struct ph_script *script = builder->script;
    const struct ph_word *word = &builder->lexer.word;
    struct ph_statement *statement = &builder->statement;
    if (statement->count == 0 && !statement->tolerated && ph_word_is(word, "try")) {
        statement->tolerated = true;
        builder->try_word = *word;
        return 0;
    }
    if (!builder->in_argv && ph_word_is(word, "--")) {
        if (statement->count == 0)
            return refuse_here(builder, "a command comes before --");
        builder->in_argv = true;
        statement->argv = statement->count;
        return 0;
    }
    if (script->word_count == PH_SCRIPT_WORDS_MAX)
        return refuse_here(builder, "the script has more than 4,000,000 words");
    void *words = script->words;
    int rc = grow(&words, &script->word_capacity, script->word_count, sizeof *word);
    script->words = words;
    if (rc)
        return no_memory(builder);
    script->words[script->word_count++] = *word;
    statement->count++;
    return 0;
}

static int end_statement(struct builder *builder)
{
    struct ph_script *script = builder->script;
    struct ph_statement statement = builder->statement;
    bool in_argv = builder->in_argv;
    builder->statement = (struct ph_statement){0};
    builder->in_argv = false;
    if (statement.count == 0 && !statement.tolerated)
        return 0;
    if (statement.count == 0)
        return ph_word_refuse(&builder->try_word, builder->error, PH_EUSAGE,
                              "try comes before a command");
    if (script->count == PH_SCRIPT_STATEMENTS_MAX)
        return refuse_here(builder, "the script has more than 1,000,000 commands");
    if (!in_argv)
        statement.argv = statement.count;
    void *statements = script->statements;
    int rc = grow(&statements, &script->capacity, script->count, sizeof statement);
    script->statements = statements;
    if (rc)
        return no_memory(builder);
    script->statements[script->count++] = statement;
    return 0;
}

static int build(struct builder *builder)
{
    enum ph_token token = PH_TOKEN_BREAK;
    do {
        int rc = ph_lexer_next(&builder->lexer, &token);
        if (!rc)
            rc = token == PH_TOKEN_WORD ? add_word(builder) : end_statement(builder);
        if (rc)
            return rc;
    } while (token != PH_TOKEN_END);
    return 0;
}

/* The words moved while there came more: now they stay. */
static void place_words(struct ph_script *script)
{
    struct ph_word *next = script->words;
    for (size_t i = 0; i < script->count; i++) {
        script->statements[i].words = next;
        next += script->statements[i].count;
    }
}

static int copy_text(struct ph_script *script, const char *name, const char *text, size_t length)
{
    script->name = ph_copy_text(name, strlen(name));
    script->text = ph_try_alloc(length + 1);
    script->decoded = ph_try_alloc(length + 1);
    if (!script->text || !script->decoded)
        return -ENOMEM;
    if (length)
        memcpy(script->text, text, length);
    script->length = length;
    return 0;
}

int ph_script_parse(const char *name, const char *text, size_t length, struct ph_script **result,
                    struct ph_script_error *error)
{
    *error = (struct ph_script_error){.line = 1, .column = 1};
    if (length > PH_SCRIPT_BYTES_MAX)
        return ph_error_set(&error->error, PH_EUSAGE, "the script is longer than 64 MiB");
    struct ph_script *script = ph_alloc(sizeof *script);
    int rc = copy_text(script, name, text, length);
    if (rc) {
        ph_error_set(&error->error, rc, "%s", ph_error_text(rc));
        goto err_destroy;
    }
    struct builder builder = {.script = script, .error = error};
    ph_lexer_init(&builder.lexer, script->text, length, script->decoded, error);
    rc = build(&builder);
    if (rc)
        goto err_destroy;
    place_words(script);
    *result = script;
    return 0;
err_destroy:
    ph_script_destroy(script);
    return rc;
}

void ph_script_destroy(struct ph_script *script)
{
    if (!script)
        return;
    ph_free(script->name);
    ph_free(script->text);
    ph_free(script->decoded);
    ph_free(script->words);
    ph_free(script->statements);
    ph_free(script);
}

const char *ph_script_name(const struct ph_script *script)
{
    return script->name;
}

size_t ph_script_count(const struct ph_script *script)
{
    return script->count;
}

const struct ph_statement *ph_script_at(const struct ph_script *script, size_t index)
{
    return index < script->count ? &script->statements[index] : NULL;
}

const char *ph_script_text(const struct ph_script *script, size_t *length)
{
    *length = script->length;
    return script->text;
}

const char *ph_script_text_line(const char *text, size_t text_length, uint32_t line, size_t *length)
{
    const char *at = text, *end = text + text_length;
    for (uint32_t i = 1; at && at < end && i < line; i++) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        at = feed ? feed + 1 : end;
    }
    *length = 0;
    if (line == 0 || !at || at >= end)
        return "";
    const char *feed = memchr(at, '\n', (size_t)(end - at));
    *length = (size_t)((feed ? feed : end) - at);
    if (*length && at[*length - 1] == '\r')
        --*length;
    return at;
}

const char *ph_script_line(const struct ph_script *script, uint32_t line, size_t *length)
{
    return ph_script_text_line(script->text, script->length, line, length);
}
