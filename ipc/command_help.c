#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/nearest.h"
#include "engine/spec.h"
#include "engine/text.h"
#include "ipc/command.h"

/* ---- Finding a row ------------------------------------------------------------------------- */

static const struct ph_command *find_name(const char *name)
{
    for (size_t i = 0; i < ph_command_count; i++) {
        if (strcmp(ph_commands[i].name, name) == 0)
            return &ph_commands[i];
    }
    return NULL;
}

/* "hub create, hub stop": the commands that begin with `word`. */
static void list_begun(const char *word, struct ph_text *out)
{
    size_t length = strlen(word);
    for (size_t i = 0; i < ph_command_count; i++) {
        const char *name = ph_commands[i].name;
        if (strncmp(name, word, length) == 0 && name[length] == ' ')
            ph_text_printf(out, "%s%s", out->length ? ", " : "", name);
    }
}

static void refuse_name(const struct ph_statement *statement, const char *one, const char *two,
                        struct ph_script_error *error)
{
    const struct ph_word *word = &statement->words[0];
    struct ph_text begun = PH_TEXT_INIT;
    struct ph_nearest nearest = {0};
    list_begun(one, &begun);
    for (size_t i = 0; i < ph_command_count; i++)
        ph_nearest_offer(&nearest, strchr(ph_commands[i].name, ' ') ? two : one,
                         ph_commands[i].name);
    if (begun.length)
        (void)ph_word_refuse(word, error, PH_EUSAGE, "%s what? write one of: %s", one,
                             ph_text_str(&begun));
    else if (word->quoted)
        (void)ph_word_refuse(word, error, PH_EUSAGE, "a command's name is not quoted: %s",
                             ph_word_shown(word).text);
    else if (nearest.word)
        (void)ph_word_refuse(word, error, PH_EUSAGE, "unknown command %s, did you mean `%s`?",
                             ph_word_shown(word).text, nearest.word);
    else
        (void)ph_word_refuse(word, error, PH_EUSAGE, "unknown command %s, see `help`",
                             ph_word_shown(word).text);
    ph_text_fini(&begun);
}

const struct ph_command *ph_command_find(const struct ph_statement *statement,
                                         struct ph_script_error *error)
{
    enum { NAME_MAX_BYTES = 64 };
    char one[NAME_MAX_BYTES] = "", two[2 * NAME_MAX_BYTES] = "";
    const struct ph_word *words = statement->words;
    if (!words[0].quoted && words[0].length < sizeof one)
        snprintf(one, sizeof one, "%s", words[0].text);
    if (*one && statement->argv > 1 && !words[1].quoted && words[1].length < sizeof one)
        snprintf(two, sizeof two, "%s %s", one, words[1].text);
    const struct ph_command *row = *two ? find_name(two) : NULL;
    if (!row && *one && !strchr(one, ' '))
        row = find_name(one);
    if (!row)
        refuse_name(statement, one, two, error);
    return row;
}

/* ---- Help ---------------------------------------------------------------------------------- */

static void list_commands(struct ph_text *out)
{
    size_t width = 0;
    for (size_t i = 0; i < ph_command_count; i++) {
        size_t length = strlen(ph_commands[i].name);
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < ph_command_count; i++) {
        const struct ph_command *row = &ph_commands[i];
        if (row->group)
            ph_text_printf(out, "%s%s\n", out->length ? "\n" : "", row->group);
        ph_text_printf(out, "  %-*s  %s\n", (int)width, row->name, row->summary);
    }
    ph_text_put(out, "\n`help COMMAND` says more about one of them.\n");
}

static void describe_option(const struct ph_option *option, struct ph_text *out)
{
    static const char *const values[] = {
        [PH_OPTION_TEXT] = "=TEXT", [PH_OPTION_UINT] = "=N", [PH_OPTION_DURATION] = "=D",
        [PH_OPTION_SIZE] = "=SIZE", [PH_OPTION_WORD] = "=",  [PH_OPTION_FLAG] = "",
    };
    static const char *const notes[] = {
        [PH_OPTION_TEXT] = "a text",
        [PH_OPTION_UINT] = "a number",
        [PH_OPTION_DURATION] = "a duration like 250ms, 5s, 2m, 1h",
        [PH_OPTION_SIZE] = "a size like 512, 64k, 10M",
        [PH_OPTION_WORD] = "one of these words",
        [PH_OPTION_FLAG] = "the word alone",
    };
    struct ph_text left = PH_TEXT_INIT;
    ph_text_printf(&left, "%s%s%s", option->name, values[option->type],
                   option->type == PH_OPTION_WORD ? option->choices : "");
    ph_text_printf(out, "  %-22s  %s", ph_text_str(&left), notes[option->type]);
    if (option->max)
        ph_text_printf(out, ", at most %llu%s", (unsigned long long)option->max,
                       option->type == PH_OPTION_DURATION ? "ms" : "");
    ph_text_put(out, "\n");
    ph_text_fini(&left);
}

static void describe_words(unsigned flags, struct ph_text *out)
{
    static const struct {
        unsigned flag;
        const char *text;
    } notes[] = {
        {.flag = PH_COMMAND_TARGET,
         .text = "TARGET: ids, globs web-*, ranges web-[1..10], tag:NAME, node:NAME, all, or where "
                 "EXPR\n"},
        {.flag = PH_COMMAND_WHERE | PH_COMMAND_TARGET | PH_COMMAND_EXPR,
         .text = "EXPR: FIELD and = != < <= > >= =~ and a value; and, or, not, ( )\n"},
        {.flag = PH_COMMAND_SPEC,
         .text = "SPEC: module=NAME or, at the end, -- PROGRAM ARG...; and of these what is "
                 "wanted:\n"},
        {.flag = PH_COMMAND_TEXT, .text = "TEXT: all remaining words, joined by one space\n"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(notes); i++) {
        if (!(flags & notes[i].flag))
            continue;
        ph_text_printf(out, "\n%s", notes[i].text);
        if (notes[i].flag == PH_COMMAND_SPEC)
            ph_spec_help(out);
    }
}

static void describe_fields(const struct ph_command *row, struct ph_text *out)
{
    if (!(row->flags & (PH_COMMAND_WHERE | PH_COMMAND_TARGET | PH_COMMAND_EXPR)))
        return;
    const struct ph_resolver *resolver = row->resolver;
    if (!resolver)
        resolver = row->flags & PH_COMMAND_EXPR ? &ph_condition_resolver : &ph_child_resolver;
    ph_text_printf(out, "FIELD: %s\n", resolver->fields);
}

static void describe(const struct ph_command *row, struct ph_text *out)
{
    ph_text_printf(out, "%s\n  %s\n", row->usage, row->summary);
    if (row->options[0].name)
        ph_text_put(out, "\n");
    for (size_t i = 0; i < PH_OPTIONS_MAX && row->options[i].name; i++)
        describe_option(&row->options[i], out);
    describe_words(row->flags, out);
    describe_fields(row, out);
}

void ph_command_help(const struct ph_command *row, struct ph_text *out)
{
    if (row)
        describe(row, out);
    else
        list_commands(out);
}
