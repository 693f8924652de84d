/*
 * The lexer: a script's text as a row of words and breaks between commands.
 *
 * Decodes words into a buffer of the caller, which is never longer than the text and one byte:
 * every escape is longer than what it stands for, and every word has a byte behind it that is no
 * part of it or is the last. Private to script.c.
 */
#ifndef PH_IPC_LEX_H
#define PH_IPC_LEX_H

#include "ipc/script.h"

struct ph_lexer {
    const char *at, *end;
    uint32_t line, column; /* of `at` */
    char *out;             /* where the next decoded byte goes */
    bool in_name;          /* the last decoded byte belongs to a variable's name */
    struct ph_word word;   /* the last one */
    struct ph_script_error *error;
};

enum ph_token {
    PH_TOKEN_WORD,
    PH_TOKEN_BREAK, /* the end of a line, or ';' */
    PH_TOKEN_END,
};

/* `decoded`: room for `length` + 1 bytes. */
void ph_lexer_init(struct ph_lexer *, const char *text, size_t length, char *decoded,
                   struct ph_script_error *);

/* The next token, or PH_EUSAGE and the error is set. */
PH_MUST_CHECK int ph_lexer_next(struct ph_lexer *, enum ph_token *);

#endif
