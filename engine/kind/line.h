/*
 * The lines of PROCHUB_SOCKET (docs/processes.md): a verb, and after one blank a text, up to a line
 * feed.
 *
 * In a text what is no printable ASCII is written as \0ooo with three octal digits, a backslash as
 * two, and a blank at either end as \0040: what `printf %b` and `read -r` of a POSIX shell
 * understand. \n, \t and \r are understood, too, and every other byte but NUL stands for itself.
 * Any thread.
 */
#ifndef PH_ENGINE_KIND_LINE_H
#define PH_ENGINE_KIND_LINE_H

#include <stddef.h>

#include "engine/limits.h"
#include "engine/text.h"

enum {
    PH_LINE_TEXT_MAX = PH_MESSAGE_BYTES_MAX, /* bytes that a text stands for */
    PH_LINE_BYTES_MAX = 16 + 5 * PH_LINE_TEXT_MAX,
};

/* What a program may say. */
enum ph_line_verb {
    PH_LINE_OK,    /* the answer to what it was asked last, with a reply */
    PH_LINE_ERROR, /* … it cannot, and why */
    PH_LINE_STATE, /* a piece of its state; its answer follows */
    PH_LINE_VERBS,
};

/* Appends "VERB TEXT\n". */
void ph_line_put(struct ph_text *out, const char *verb, const char *text, size_t length);

struct ph_line {
    enum ph_line_verb verb;
    const char *text; /* in the line that was parsed, and with a NUL behind it */
    size_t length;
};

/* Parses a line of `length` bytes, which is written over; its line feed stands behind it. NULL, or
 * what is wrong with it (static text). */
const char *ph_line_parse(char *bytes, size_t length, struct ph_line *);

#endif
