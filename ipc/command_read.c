#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/nearest.h"
#include "engine/spec.h"
#include "engine/text.h"
#include "ipc/command.h"
#include "ipc/target_word.h"

/* A statement while it is read. */
struct reader {
    const struct ph_command *row;
    const struct ph_statement *statement;
    bool check;
    bool hidden; /* a word of the spec is not known yet */
    struct ph_args *args;
    const struct ph_word **expr; /* words of `where EXPR` or of a condition */
    size_t expr_count;
    bool in_where;
    const struct ph_word *where;
    struct ph_script_error *error;
};

static const struct ph_resolver *resolver_of(const struct ph_command *row)
{
    if (row->resolver)
        return row->resolver;
    return row->flags & PH_COMMAND_EXPR ? &ph_condition_resolver : &ph_child_resolver;
}

static size_t name_words(const struct ph_command *row)
{
    return strchr(row->name, ' ') ? 2 : 1;
}

static bool takes_where(const struct ph_command *row)
{
    return row->flags & (PH_COMMAND_WHERE | PH_COMMAND_TARGET);
}

/* How many words behind the TARGET are none of it. */
static unsigned words_behind(const struct ph_command *row)
{
    return (row->flags & PH_COMMAND_TARGET) && row->min > 1 ? row->min - 1 : 0;
}

/* ---- Options ------------------------------------------------------------------------------- */

static size_t option_count(const struct ph_command *row)
{
    size_t count = 0;
    while (count < PH_OPTIONS_MAX && row->options[count].name)
        count++;
    return count;
}

/* The option of that key, or PH_OPTIONS_MAX. */
static size_t find_option(const struct ph_command *row, const char *key, size_t length)
{
    for (size_t i = 0; i < option_count(row); i++) {
        const char *name = row->options[i].name;
        if (strlen(name) == length && memcmp(name, key, length) == 0)
            return i;
    }
    return PH_OPTIONS_MAX;
}

/* The option that a word sets, with its value or as a flag; or PH_OPTIONS_MAX. */
static size_t option_of(const struct ph_command *row, const struct ph_word *word)
{
    size_t key = ph_word_key(word);
    if (key)
        return find_option(row, word->text, key);
    for (size_t i = 0; i < option_count(row); i++) {
        if (row->options[i].type == PH_OPTION_FLAG && ph_word_is(word, row->options[i].name))
            return i;
    }
    return PH_OPTIONS_MAX;
}

/* Is `text` one of "a|b|c"? The nearest one is offered otherwise. */
static bool is_choice(const char *choices, const char *text, struct ph_nearest *nearest,
                      char (*memory)[64])
{
    for (const char *at = choices; at && *at; at += strcspn(at, "|"), at += *at == '|') {
        char choice[64];
        size_t length = strcspn(at, "|");
        snprintf(choice, sizeof choice, "%.*s", (int)length, at);
        if (strcmp(choice, text) == 0)
            return true;
        const char *before = nearest->word;
        size_t distance = nearest->distance;
        ph_nearest_offer(nearest, text, choice);
        if (nearest->word != before || nearest->distance != distance) {
            memcpy(*memory, choice, sizeof choice);
            nearest->word = *memory;
        }
    }
    return false;
}

static int refuse_choice(const struct ph_word *word, const char *choices,
                         const struct ph_nearest *nearest, struct ph_script_error *error)
{
    struct ph_text list = PH_TEXT_INIT;
    for (const char *at = choices; *at; at += strcspn(at, "|"), at += *at == '|') {
        size_t length = strcspn(at, "|");
        if (list.length)
            ph_text_put(&list, at[length] ? ", " : " or ");
        ph_text_append(&list, at, length);
    }
    int rc = ph_word_refuse(word, error, PH_EUSAGE, "%s: %s%s%s%s", ph_word_shown(word).text,
                            ph_text_str(&list), nearest->word ? "; did you mean " : "",
                            nearest->word ? nearest->word : "", nearest->word ? "?" : "");
    ph_text_fini(&list);
    return rc;
}

static int refuse_number(const struct ph_word *word, const struct ph_option *option,
                         struct ph_script_error *error)
{
    static const char *const forms[] = {
        [PH_OPTION_UINT] = "a number",
        [PH_OPTION_DURATION] = "a duration like 250ms, 5s, 2m, 1h",
        [PH_OPTION_SIZE] = "a size like 512, 64k, 10M",
    };
    struct ph_text text = PH_TEXT_INIT;
    ph_text_put(&text, forms[option->type]);
    if (option->max)
        ph_text_printf(&text, " of at most %llu%s", (unsigned long long)option->max,
                       option->type == PH_OPTION_DURATION ? "ms" : "");
    int rc = ph_word_refuse(word, error, PH_EUSAGE, "%s: %s", ph_word_shown(word).text,
                            ph_text_str(&text));
    ph_text_fini(&text);
    return rc;
}

/* The value `text` of an option that `word` sets. */
static int read_value(const struct ph_option *option, const struct ph_word *word, const char *text,
                      uint64_t *number, struct ph_script_error *error)
{
    bool good = true;
    switch (option->type) {
    case PH_OPTION_TEXT:
        return 0;
    case PH_OPTION_FLAG:
        *number = 1;
        return 0;
    case PH_OPTION_WORD: {
        struct ph_nearest nearest = {0};
        char memory[64];
        if (is_choice(option->choices, text, &nearest, &memory))
            return 0;
        return refuse_choice(word, option->choices, &nearest, error);
    }
    case PH_OPTION_UINT:
        good = ph_parse_uint(text, UINT64_MAX, number);
        break;
    case PH_OPTION_DURATION:
        good = ph_parse_duration(text, number);
        break;
    case PH_OPTION_SIZE:
        good = ph_parse_size(text, number);
        break;
    }
    if (good && (option->max == 0 || *number <= option->max))
        return 0;
    return refuse_number(word, option, error);
}

static int set_option(struct reader *reader, size_t index, const struct ph_word *word)
{
    const struct ph_option *option = &reader->row->options[index];
    struct ph_args *args = reader->args;
    size_t key = ph_word_key(word);
    if (args->values[index])
        return ph_word_refuse(word, reader->error, PH_EUSAGE, "%s is given twice", option->name);
    if (option->type == PH_OPTION_FLAG && key)
        return ph_word_refuse(word, reader->error, PH_EUSAGE, "%s takes no value: write %s alone",
                              option->name, option->name);
    args->values[index] = word;
    args->texts[index] = word->text + (key ? key + 1 : 0);
    if (word->variable && reader->check)
        return 0;
    return read_value(option, word, args->texts[index], &args->numbers[index], reader->error);
}

static int refuse_key(struct reader *reader, const struct ph_word *word, size_t key)
{
    const struct ph_command *row = reader->row;
    struct ph_text typed = PH_TEXT_INIT, text = PH_TEXT_INIT;
    struct ph_nearest nearest = {0};
    ph_text_append(&typed, word->text, key);
    ph_text_printf(&text, "%s=: `%s` has no such option", ph_shown(word->text, key).text,
                   row->name);
    for (size_t i = 0; i < option_count(row); i++)
        ph_nearest_offer(&nearest, ph_text_str(&typed), row->options[i].name);
    if (nearest.word)
        ph_text_printf(&text, ", did you mean %s=?", nearest.word);
    else if (option_count(row) == 0)
        ph_text_put(&text, ", it takes none; quote the word if it is no option");
    else
        ph_text_printf(&text, "; quote the word if it is none, or see `help %s`", row->name);
    int rc = ph_word_refuse(word, reader->error, PH_EUSAGE, "%s", ph_text_str(&text));
    ph_text_fini(&text);
    ph_text_fini(&typed);
    return rc;
}

/* ---- Words --------------------------------------------------------------------------------- */

static void add_positional(struct reader *reader, const struct ph_word *word)
{
    reader->args->words[reader->args->word_count++] = word;
}

static void add_expr(struct reader *reader, const struct ph_word *word)
{
    reader->expr[reader->expr_count++] = word;
}

static int set_spec(struct reader *reader, const struct ph_word *word, size_t key)
{
    if (word->variable && reader->check) {
        reader->hidden = true;
        return 0;
    }
    struct ph_error said = {0};
    char *name = ph_copy_text(word->text, key);
    int rc = ph_spec_set(reader->args->spec, name, word->text + key + 1, &said);
    ph_free(name);
    return rc ? ph_word_refuse(word, reader->error, rc, "%s", said.text) : 0;
}

/* KEY=VALUE that is no option of the row. */
static int read_pair(struct reader *reader, const struct ph_word *word, size_t key)
{
    struct ph_args *args = reader->args;
    unsigned flags = reader->row->flags;
    if (flags & PH_COMMAND_SPEC)
        return set_spec(reader, word, key);
    if (!(flags & PH_COMMAND_KEYS))
        return refuse_key(reader, word, key);
    args->keys[args->key_count++] = word->text;
    return 0;
}

/* Behind `where` a word like `state=running` is a comparison, not an option. */
static bool is_option_here(const struct reader *reader, const struct ph_word *word, size_t index)
{
    if (index == PH_OPTIONS_MAX)
        return false;
    if (!reader->in_where)
        return true;
    const char *name = reader->row->options[index].name;
    return ph_word_key(word) && !resolver_of(reader->row)->known(name);
}

static int read_word(struct reader *reader, const struct ph_word *word)
{
    size_t index = option_of(reader->row, word), key = ph_word_key(word);
    if (is_option_here(reader, word, index))
        return set_option(reader, index, word);
    if (reader->in_where || (reader->row->flags & PH_COMMAND_EXPR)) {
        add_expr(reader, word);
        return 0;
    }
    if (takes_where(reader->row) && ph_word_is(word, "where")) {
        reader->in_where = true;
        reader->where = word;
        return 0;
    }
    if (key)
        return read_pair(reader, word, key);
    add_positional(reader, word);
    return 0;
}

static int read_words(struct reader *reader)
{
    const struct ph_statement *statement = reader->statement;
    for (size_t i = name_words(reader->row); i < statement->argv; i++) {
        int rc = read_word(reader, &statement->words[i]);
        if (rc)
            return rc;
    }
    return 0;
}

/* `signal where state = failed TERM`: the words behind the TARGET are no part of EXPR. */
static void take_words_behind(struct reader *reader)
{
    size_t behind = words_behind(reader->row);
    if (!reader->in_where || reader->expr_count < behind)
        return;
    reader->expr_count -= behind;
    for (size_t i = 0; i < behind; i++)
        add_positional(reader, reader->expr[reader->expr_count + i]);
}

static int refuse_few(const struct reader *reader)
{
    return ph_word_refuse(&reader->statement->words[0], reader->error, PH_EUSAGE,
                          "too few words, write: %s", reader->row->usage);
}

static int check_count(const struct reader *reader)
{
    const struct ph_command *row = reader->row;
    const struct ph_args *args = reader->args;
    if (row->flags & PH_COMMAND_EXPR) /* read_expr looks for a missing one */
        return 0;
    size_t least =
        reader->in_where && (row->flags & PH_COMMAND_TARGET) ? words_behind(row) : row->min;
    if (args->word_count < least)
        return refuse_few(reader);
    if (!(row->flags & PH_COMMAND_TARGET) && args->word_count > row->max)
        return ph_word_refuse(args->words[row->max], reader->error, PH_EUSAGE,
                              "%s: too many words, write: %s",
                              ph_word_shown(args->words[row->max]).text, row->usage);
    return 0;
}

static int parse_expr(struct reader *reader)
{
    struct ph_word *words = ph_try_alloc(reader->expr_count * sizeof *words);
    if (!words)
        return ph_word_refuse(reader->expr[0], reader->error, -ENOMEM, "%s",
                              ph_error_text(-ENOMEM));
    for (size_t i = 0; i < reader->expr_count; i++)
        words[i] = *reader->expr[i];
    int rc = ph_expr_parse(words, reader->expr_count, resolver_of(reader->row), &reader->args->expr,
                           reader->error);
    ph_free(words);
    return rc;
}

static int read_expr(struct reader *reader)
{
    bool condition = reader->row->flags & PH_COMMAND_EXPR;
    if (!condition && !reader->in_where)
        return 0;
    if (reader->expr_count)
        return parse_expr(reader);
    if (condition)
        return refuse_few(reader);
    return ph_word_refuse(reader->where, reader->error, PH_EUSAGE,
                          "an expression is missing behind where, as in: where state = failed");
}

static int check_target(struct reader *reader)
{
    struct ph_args *args = reader->args;
    if (!(reader->row->flags & PH_COMMAND_TARGET))
        return 0;
    size_t behind = words_behind(reader->row);
    args->target_count = args->word_count > behind ? args->word_count - behind : 0;
    for (size_t i = 0; i < args->target_count; i++) {
        struct ph_target_word target;
        if (args->words[i]->variable && reader->check)
            continue;
        int rc = ph_target_word_read(args->words[i], &target, reader->error);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- Specs --------------------------------------------------------------------------------- */

/* New children are named by ids and ranges. */
static int check_new_ids(struct reader *reader)
{
    const struct ph_args *args = reader->args;
    for (size_t i = 0; i < args->word_count; i++) {
        const struct ph_word *word = args->words[i];
        struct ph_target_word target;
        if (word->variable && reader->check)
            continue;
        int rc = ph_target_word_read(word, &target, reader->error);
        if (rc)
            return rc;
        if (target.form != PH_TARGET_ID && target.form != PH_TARGET_RANGE)
            return ph_word_refuse(word, reader->error, PH_EUSAGE,
                                  "%s names children that exist; to use it as an id, write '%s'",
                                  ph_word_shown(word).text, ph_word_shown(word).text);
    }
    return 0;
}

static int read_argv(struct reader *reader)
{
    const struct ph_statement *statement = reader->statement;
    for (size_t i = statement->argv; i < statement->count; i++) {
        const struct ph_word *word = &statement->words[i];
        struct ph_error said = {0};
        if (word->variable && reader->check) {
            reader->hidden = true;
            continue;
        }
        int rc = ph_spec_add_arg(reader->args->spec, word->text, &said);
        if (rc)
            return ph_word_refuse(word, reader->error, rc, "%s", said.text);
    }
    return 0;
}

static int finish_spec(struct reader *reader)
{
    if (!(reader->row->flags & PH_COMMAND_SPEC))
        return 0;
    int rc = check_new_ids(reader);
    if (!rc)
        rc = read_argv(reader);
    if (rc || reader->hidden)
        return rc;
    struct ph_error said = {0};
    rc = ph_spec_check(reader->args->spec, &said);
    if (rc)
        return ph_word_refuse(&reader->statement->words[0], reader->error, rc, "%s", said.text);
    return 0;
}

/* ---- The ways to read a row ---------------------------------------------------------------- */

static int read_plain(struct reader *reader)
{
    int rc = read_words(reader);
    if (rc)
        return rc;
    take_words_behind(reader);
    rc = check_count(reader);
    if (!rc)
        rc = check_target(reader);
    if (!rc)
        rc = finish_spec(reader);
    return rc ? rc : read_expr(reader);
}

static int read_text(struct reader *reader)
{
    const struct ph_statement *statement = reader->statement;
    size_t at = name_words(reader->row), end = statement->count;
    if (end > at + reader->row->min) {
        size_t index = option_of(reader->row, &statement->words[end - 1]);
        int rc =
            index == PH_OPTIONS_MAX ? 0 : set_option(reader, index, &statement->words[end - 1]);
        if (rc)
            return rc;
        end -= index != PH_OPTIONS_MAX;
    }
    if (end < at + reader->row->min + (reader->row->min > 0))
        return refuse_few(reader);
    struct ph_text text = PH_TEXT_INIT;
    for (unsigned i = 0; at < end; i++, at++) {
        add_positional(reader, &statement->words[at]);
        if (i < reader->row->min)
            continue;
        if (i > reader->row->min)
            ph_text_put(&text, " ");
        ph_text_append(&text, statement->words[at].text, statement->words[at].length);
    }
    reader->args->text = ph_copy_text(ph_text_str(&text), text.length);
    ph_text_fini(&text);
    return 0;
}

static int read_nested(struct reader *reader)
{
    const struct ph_statement *statement = reader->statement;
    size_t first = name_words(reader->row), last = statement->count;
    int rc = 0;
    while (!rc && first < last &&
           option_of(reader->row, &statement->words[first]) < PH_OPTIONS_MAX) {
        rc = set_option(reader, option_of(reader->row, &statement->words[first]),
                        &statement->words[first]);
        first++;
    }
    bool in_argv = statement->argv < statement->count;
    while (!rc && !in_argv && first < last &&
           option_of(reader->row, &statement->words[last - 1]) < PH_OPTIONS_MAX) {
        rc = set_option(reader, option_of(reader->row, &statement->words[last - 1]),
                        &statement->words[last - 1]);
        last--;
    }
    if (rc)
        return rc;
    if (first == last)
        return refuse_few(reader);
    reader->args->nested = (struct ph_statement){
        .words = statement->words + first,
        .count = last - first,
        .argv = (statement->argv < last ? statement->argv : last) - first,
    };
    return 0;
}

static int read_row(struct reader *reader)
{
    const struct ph_statement *statement = reader->statement;
    unsigned flags = reader->row->flags;
    if (statement->argv < statement->count && !(flags & (PH_COMMAND_SPEC | PH_COMMAND_NESTED)))
        return ph_word_refuse(&statement->words[statement->argv], reader->error, PH_EUSAGE,
                              "`%s` starts no program: quote the '--' if it is meant as a word",
                              reader->row->name);
    if (flags & PH_COMMAND_TEXT)
        return read_text(reader);
    return flags & PH_COMMAND_NESTED ? read_nested(reader) : read_plain(reader);
}

/* A variable may be the name, or the second word of a name. */
static bool name_is_hidden(const struct ph_statement *statement)
{
    if (statement->words[0].variable)
        return true;
    if (statement->count < 2 || !statement->words[1].variable)
        return false;
    size_t length = statement->words[0].length;
    for (size_t i = 0; i < ph_command_count; i++) {
        const char *name = ph_commands[i].name;
        if (strncmp(name, statement->words[0].text, length) == 0 && name[length] == ' ')
            return true;
    }
    return false;
}

int ph_command_read(const struct ph_statement *statement, bool check, struct ph_args *args,
                    struct ph_script_error *error)
{
    *args = (struct ph_args){.statement = statement};
    if (check && name_is_hidden(statement))
        return 0;
    args->command = ph_command_find(statement, error);
    if (!args->command)
        return PH_EUSAGE;
    struct reader reader = {
        .row = args->command, .statement = statement, .check = check, .args = args, .error = error};
    args->words = ph_try_alloc(statement->count * sizeof *args->words);
    args->keys = ph_try_alloc(statement->count * sizeof *args->keys);
    reader.expr = ph_try_alloc(statement->count * sizeof *reader.expr);
    if (reader.row->flags & PH_COMMAND_SPEC)
        args->spec = ph_spec_create();
    int rc;
    if (args->words && args->keys && reader.expr)
        rc = read_row(&reader);
    else
        rc = ph_word_refuse(&statement->words[0], error, -ENOMEM, "%s", ph_error_text(-ENOMEM));
    ph_free(reader.expr);
    if (rc)
        ph_args_fini(args);
    return rc;
}

void ph_args_fini(struct ph_args *args)
{
    ph_expr_destroy(args->expr);
    ph_spec_put(args->spec);
    ph_free(args->words);
    ph_free(args->keys);
    ph_free(args->text);
    *args = (struct ph_args){0};
}
