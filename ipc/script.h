/*
 * Scripts: words, statements, positions.
 *
 * A script is parsed as a whole before anything runs. One command a line; '#' at the start of a
 * word begins a comment, '\' at the end of a line joins the next (in bare and double-quoted words,
 * too),
 * ';' as a word separates commands. Words: bare, 'raw', "with escapes" (docs/commands.md); parts
 * that touch make one word. `$NAME` in bare and double-quoted words is replaced by one value when
 * the statement runs. After a bare `--` all words up to the end of the command are argv. Bounded:
 * lines of 1 MiB; 64 MiB, 1,000,000 statements and 4,000,000 words a script.
 */
#ifndef PH_IPC_SCRIPT_H
#define PH_IPC_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"

enum {
    PH_SCRIPT_LINE_MAX = 1024 * 1024,
    PH_SCRIPT_BYTES_MAX = 64 * 1024 * 1024,
    PH_SCRIPT_STATEMENTS_MAX = 1000000,
    PH_SCRIPT_WORDS_MAX = 4000000,
};

/*
 * A word. `quoted` means: literal, no option, no operator, no keyword, no glob. It is false for a
 * word that begins bare and whose bare beginning holds an operator: `env.A="b c"` is the option
 * env.A with a literal value, `state!='a b'` a comparison. The bytes [literal, literal_end) of
 * `text` came from quotes or variables; they are never part of a key, an operator or a keyword.
 * Both are 0 in a word that is all bare, and may be in one that is `quoted`.
 *
 * While `variable` holds, a reference to NAME stands in `text` as \xFF NAME, with \xFE behind it
 * where a byte of a name follows. Neither byte can come from a script, which is UTF-8.
 */
struct ph_word {
    const char *text; /* NUL-terminated; may hold no NUL */
    size_t length;
    uint32_t line, column; /* from 1; columns count characters */
    uint32_t literal, literal_end;
    bool quoted;
    bool variable; /* holds $NAME still to be replaced */
};

enum { PH_WORD_VARIABLE = 0xff, PH_WORD_VARIABLE_END = 0xfe };

struct ph_statement {
    struct ph_word *words; /* without `try` and the bare `--` */
    size_t count;
    size_t argv;    /* index of the first word after `--`, or `count` */
    bool tolerated; /* began with `try` */
};

/* Where and what. */
struct ph_script_error {
    uint32_t line, column;
    struct ph_error error;
};

/* ---- Words --------------------------------------------------------------------------------- */

/* Is it this keyword: all bare, no variable? */
bool ph_word_is(const struct ph_word *, const char *keyword);

/* Of a word KEY=VALUE with a bare key of [A-Za-z0-9_.-] that starts with a letter: where its '='
 * is; 0 when it is no such word. */
size_t ph_word_key(const struct ph_word *);

/* Text as it may stand in a message: printable, cut after 60 bytes, variables as $NAME. Use it in
 * the call that formats: ph_shown(text, length).text */
struct ph_shown {
    char text[80];
};
struct ph_shown ph_shown(const char *text, size_t length);
struct ph_shown ph_word_shown(const struct ph_word *);

/* Fills `error` (position of `word`) and returns `code`. */
int ph_word_refuse(const struct ph_word *word, struct ph_script_error *error, int code,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- Scripts ------------------------------------------------------------------------------- */

struct ph_script;

/* `name` is for messages ("-" for stdin). `text` is copied. Only syntax; see ph_script_check. */
PH_MUST_CHECK int ph_script_parse(const char *name, const char *text, size_t length,
                                  struct ph_script **, struct ph_script_error *);
void ph_script_destroy(struct ph_script *);
const char *ph_script_name(const struct ph_script *);
size_t ph_script_count(const struct ph_script *);
const struct ph_statement *ph_script_at(const struct ph_script *, size_t index);
/* The whole text, as it came. */
const char *ph_script_text(const struct ph_script *, size_t *length);
/* The text of source line `line` (from 1), without its end; "" when there is none. */
const char *ph_script_line(const struct ph_script *, uint32_t line, size_t *length);
/* The same of a text that could not be parsed. */
const char *ph_script_text_line(const char *text, size_t text_length, uint32_t line,
                                size_t *length);

/* Checks every statement against the command table (names, options, values, expressions; words with
 * variables are left to run time). The first error. */
PH_MUST_CHECK int ph_script_check(const struct ph_script *, struct ph_script_error *);

#endif
