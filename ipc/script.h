/*
 * Scripts: words, statements, positions.
 *
 * A script is parsed as a whole before anything runs. One command a line; '#' at the start of a
 * word begins a comment, '\' at the end of a line joins the next, ';' as a word separates commands.
 * Words: bare, 'raw', "with escapes" (docs/commands.md). `$NAME` in bare and double-quoted words is
 * replaced when the statement runs. After a bare `--` all words up to the end of the command are
 * argv. Bounded: lines of 1 MiB, 64 MiB and 1,000,000 statements a script.
 */
#ifndef PH_IPC_SCRIPT_H
#define PH_IPC_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"

struct ph_word {
    const char *text; /* NUL-terminated; may hold no NUL */
    size_t length;
    uint32_t line, column; /* from 1; columns count characters */
    bool quoted;           /* literal: no option, no operator, no keyword */
    bool variable;         /* holds $NAME still to be replaced */
};

struct ph_statement {
    struct ph_word *words;
    size_t count;
    size_t argv;    /* index of the first word after `--`, or `count` */
    bool tolerated; /* began with `try`, which is not among the words */
};

/* Where and what. `line_text` is the source line for the caret, borrowed from the script's text. */
struct ph_script_error {
    uint32_t line, column;
    struct ph_error error;
};

struct ph_script;

/* `name` is for messages ("-" for stdin). `text` is copied. Only syntax; see ph_script_check. */
PH_MUST_CHECK int ph_script_parse(const char *name, const char *text, size_t length,
                                  struct ph_script **, struct ph_script_error *);
void ph_script_destroy(struct ph_script *);
const char *ph_script_name(const struct ph_script *);
size_t ph_script_count(const struct ph_script *);
const struct ph_statement *ph_script_at(const struct ph_script *, size_t index);
/* The text of source line `line` (from 1), without its end; "" when there is none. */
const char *ph_script_line(const struct ph_script *, uint32_t line, size_t *length);

/* Checks every statement against the command table (names, options, values, expressions; words with
 * variables are left to run time). The first error. */
PH_MUST_CHECK int ph_script_check(const struct ph_script *, struct ph_script_error *);

#endif
