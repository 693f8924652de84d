/*
 * The command table: one row per command with its usage, its options, its check and its run.
 *
 * The table is the only list of commands: the parser's check, help, completion and the session use
 * it. A row's options say name, type and range once; ph_command_read turns the words of a statement
 * into an argument block (positional words, option values, target, expression) with errors that
 * have a position. `check` is that reading without running; the whole script is checked before it
 * runs.
 *
 * How words are read. Options (KEY=VALUE with a bare key of the row, or a flag's bare name) may
 * stand anywhere before `--`; any other KEY=VALUE is an error unless the row takes specs or keys.
 * In TEXT and NESTED rows words are taken as they are, and options only at the end. A value that
 * came from quotes or from a variable is one value: it never becomes an option or a keyword.
 */
#ifndef PH_IPC_COMMAND_H
#define PH_IPC_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/expr.h"
#include "ipc/row.h"
#include "ipc/script.h"

struct ph_session;
struct ph_args;

enum ph_option_type {
    PH_OPTION_TEXT,
    PH_OPTION_UINT,
    PH_OPTION_DURATION,
    PH_OPTION_SIZE,
    PH_OPTION_WORD, /* one of `choices`, separated by '|' */
    PH_OPTION_FLAG, /* the bare word alone: `follow`, `discard` */
};

struct ph_option {
    const char *name;
    enum ph_option_type type;
    const char *choices;
    uint64_t max; /* of numbers; 0: no bound */
};

enum {
    PH_OPTIONS_MAX = 12,
    PH_COMMAND_CLIENT =
        1 << 0, /* run where the script is (let, echo, sleep, source, exit, watch, help) */
    PH_COMMAND_SPEC = 1 << 1,   /* all other KEY=VALUE words and the argv make a spec (`start`) */
    PH_COMMAND_TARGET = 1 << 2, /* positional words are a TARGET, `where EXPR` too, but for the last
                                 * `min` - 1 of them: `signal TARGET SIG` has min 2 */
    PH_COMMAND_EXPR = 1 << 3,   /* positional words are a condition (`wait`, `assert`) */
    PH_COMMAND_KEYS = 1 << 4,   /* all other KEY=VALUE words are kept as they are (`hub create`) */
    PH_COMMAND_WHERE = 1 << 5,  /* `where EXPR` may come last */
    PH_COMMAND_TEXT = 1 << 6,   /* after `min` words all remaining words are one text, which is only
                                 * missing when `min` is 0; a bare option may be the very last word */
    PH_COMMAND_NESTED = 1 << 7, /* the words are a command of their own (`watch`); options of the
                                 * row come before it or last */
};

struct ph_command {
    const char *name;    /* one or two words: "status", "hub create" */
    const char *usage;   /* "stop TARGET" */
    const char *summary; /* one line */
    const char *group;   /* heading in `help` for this row and those after it; NULL: as before */
    unsigned flags;
    unsigned min, max; /* positional words (max 0 with min 0: none; UINT_MAX: any) */
    struct ph_option options[PH_OPTIONS_MAX];
    const struct ph_resolver
        *resolver; /* of EXPR; NULL: conditions, or a child's fields for `where` */
    /* Runs it: 0, or a negative code after an error was said through ph_session_error. NULL in
     * client commands: ipc/run_client.c finds theirs by name. */
    int (*run)(struct ph_session *, const struct ph_args *);
};

/* What a statement says, once read. */
struct ph_args {
    const struct ph_command *command;
    const struct ph_word **words; /* positional words, in the order of the statement */
    size_t word_count;
    size_t target_count; /* how many of them, from the first, are the TARGET */
    const struct ph_statement *statement;
    struct ph_statement nested; /* of PH_COMMAND_NESTED: borrows the statement's words */
    const struct ph_word *values[PH_OPTIONS_MAX]; /* per option: the word, or NULL */
    const char *texts[PH_OPTIONS_MAX];            /* the value's text */
    uint64_t numbers[PH_OPTIONS_MAX];             /* its number */
    struct ph_expr *expr;                         /* `where EXPR` or a condition */
    struct ph_spec *spec;                         /* of `start` */
    const char **keys;                            /* KEY=VALUE words */
    size_t key_count;
    char *text; /* of PH_COMMAND_TEXT */
};

/* The row for the statement's first words, or NULL with an error that suggests the nearest name. */
const struct ph_command *ph_command_find(const struct ph_statement *, struct ph_script_error *);
extern const struct ph_command ph_commands[];
extern const size_t ph_command_count;

/* Reads a statement whose variables were replaced (`check`: leave words with variables alone; when
 * they hide the command's name, `command` is NULL). `args` borrows the statement; after a failure
 * there is nothing to fini. */
PH_MUST_CHECK int ph_command_read(const struct ph_statement *, bool check, struct ph_args *,
                                  struct ph_script_error *);
void ph_args_fini(struct ph_args *);

/* Help text of one command, or (NULL) of all, for `help`. */
void ph_command_help(const struct ph_command *, struct ph_text *out);

#endif
