#include "ipc/variables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/limits.h"

struct variable {
    char *name, *value;
};

struct ph_variables {
    struct variable *list;
    size_t count;
};

struct ph_variables *ph_variables_create(void)
{
    return ph_alloc(sizeof(struct ph_variables));
}

void ph_variables_destroy(struct ph_variables *variables)
{
    if (!variables)
        return;
    for (size_t i = 0; i < variables->count; i++) {
        ph_free(variables->list[i].name);
        ph_free(variables->list[i].value);
    }
    ph_free(variables->list);
    ph_free(variables);
}

static bool in_name(char byte, bool first)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_' ||
           (!first && byte >= '0' && byte <= '9');
}

bool ph_variable_name_is_valid(const char *name)
{
    size_t length = 0;
    while (in_name(name[length], length == 0))
        length++;
    return length > 0 && length <= PH_NAME_MAX && name[length] == '\0';
}

static struct variable *find(const struct ph_variables *variables, const char *name)
{
    for (size_t i = 0; i < variables->count; i++) {
        if (strcmp(variables->list[i].name, name) == 0)
            return &variables->list[i];
    }
    return NULL;
}

int ph_variables_set(struct ph_variables *variables, const char *name, const char *value)
{
    size_t length = strlen(value);
    struct variable *variable = find(variables, name);
    if (length > PH_VARIABLE_BYTES_MAX)
        return PH_ELIMIT;
    if (!variable && variables->count == PH_VARIABLES_MAX)
        return PH_ELIMIT;
    if (!variable) {
        variables->list =
            ph_realloc(variables->list, (variables->count + 1) * sizeof *variables->list);
        variable = &variables->list[variables->count++];
        *variable = (struct variable){.name = ph_copy_text(name, strlen(name))};
    }
    char *copy = ph_copy_text(value, length);
    ph_free(variable->value);
    variable->value = copy;
    return 0;
}

const char *ph_variables_get(const struct ph_variables *variables, const char *name)
{
    const struct variable *variable = find(variables, name);
    return variable ? variable->value : getenv(name);
}

/* ---- Replacing ----------------------------------------------------------------------------- */

/* Where a variable's name ends that begins at `name`. */
static const char *name_end(const char *name, const char *end)
{
    while (name < end && in_name(*name, false))
        name++;
    return name;
}

/* An error at the reference at byte `offset`; references before it count as they were written. */
static int refuse_variable(const struct ph_word *word, size_t offset, const char *name,
                           struct ph_script_error *error)
{
    uint32_t column = word->column;
    for (size_t at = 0; at < offset; at++) {
        unsigned char byte = (unsigned char)word->text[at];
        column += (byte & 0xc0) != 0x80 && byte != PH_WORD_VARIABLE_END;
    }
    int rc = ph_word_refuse(word, error, PH_EUSAGE,
                            "$%s is not set: write `let %s VALUE` before, or '$%s' for the text",
                            name, name, name);
    error->column = column + (word->quoted ? 1 : 0);
    return rc;
}

/* Appends the value of the reference at `*at` and moves behind it. */
static int replace_one(const struct ph_word *word, const char **at,
                       const struct ph_variables *variables, struct ph_text *out,
                       struct ph_script_error *error)
{
    const char *end = word->text + word->length, *name = *at + 1, *stop = name_end(name, end);
    char *copy = ph_copy_text(name, (size_t)(stop - name));
    const char *value = ph_variables_get(variables, copy);
    int rc = 0;
    if (!value)
        rc = refuse_variable(word, (size_t)(*at - word->text),
                             ph_shown(copy, (size_t)(stop - name)).text, error);
    else if (out->length + strlen(value) > PH_REPLACED_BYTES_MAX)
        rc = ph_word_refuse(word, error, PH_EUSAGE,
                            "the command is longer than 4 MiB with its variables replaced");
    else
        ph_text_put(out, value);
    ph_free(copy);
    *at = stop < end && (unsigned char)*stop == PH_WORD_VARIABLE_END ? stop + 1 : stop;
    return rc;
}

/* Appends the word's text and a NUL. */
static int replace_word(const struct ph_word *word, const struct ph_variables *variables,
                        struct ph_text *out, struct ph_script_error *error)
{
    const char *at = word->text, *end = at + word->length;
    int rc = 0;
    while (!rc && word->variable && at < end) {
        const char *mark = memchr(at, PH_WORD_VARIABLE, (size_t)(end - at));
        ph_text_append(out, at, (size_t)((mark ? mark : end) - at));
        at = mark ? mark : end;
        if (mark)
            rc = replace_one(word, &at, variables, out, error);
    }
    ph_text_append(out, at, (size_t)(end - at));
    ph_text_append(out, "", 1);
    return rc;
}

static int replace_all(const struct ph_statement *statement, const struct ph_variables *variables,
                       struct ph_replaced *replaced, struct ph_script_error *error)
{
    for (size_t i = 0; i < statement->count; i++) {
        const struct ph_word *word = &statement->words[i];
        size_t before = replaced->texts.length;
        int rc = replace_word(word, variables, &replaced->texts, error);
        if (rc)
            return rc;
        size_t length = replaced->texts.length - before - 1;
        replaced->words[i] = *word;
        replaced->words[i].length = length;
        replaced->words[i].variable = false;
        if (word->variable) /* what stands behind the literal part did not change */
            replaced->words[i].literal_end =
                (uint32_t)(length - (word->length - word->literal_end));
    }
    const char *text = replaced->texts.data;
    for (size_t i = 0; i < statement->count; i++) {
        replaced->words[i].text = text;
        text += replaced->words[i].length + 1;
    }
    return 0;
}

static bool has_variable(const struct ph_statement *statement)
{
    for (size_t i = 0; i < statement->count; i++) {
        if (statement->words[i].variable)
            return true;
    }
    return false;
}

int ph_statement_replace(const struct ph_statement *statement, const struct ph_variables *variables,
                         struct ph_replaced *replaced, struct ph_script_error *error)
{
    *replaced = (struct ph_replaced){.statement = *statement};
    if (!has_variable(statement))
        return 0;
    replaced->words = ph_try_alloc(statement->count * sizeof *replaced->words);
    if (!replaced->words)
        return ph_word_refuse(&statement->words[0], error, -ENOMEM, "%s", ph_error_text(-ENOMEM));
    replaced->statement.words = replaced->words;
    int rc = replace_all(statement, variables, replaced, error);
    if (rc)
        ph_replaced_fini(replaced);
    return rc;
}

void ph_replaced_fini(struct ph_replaced *replaced)
{
    ph_free(replaced->words);
    ph_text_fini(&replaced->texts);
    *replaced = (struct ph_replaced){0};
}
