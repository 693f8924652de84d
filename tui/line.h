/*
 * The line editor of the `:` line and of the filter prompt.
 *
 * Keys go in, text comes out; nothing is drawn or run here. Bounded: PH_LINE_MAX bytes,
 * PH_LINE_HISTORY old lines. What is pasted arrives as keys and stays text: a newline in it becomes
 * a space, so a paste never runs anything. UI thread only.
 */
#ifndef PH_TUI_LINE_H
#define PH_TUI_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/text.h"

enum { PH_LINE_MAX = 8192, PH_LINE_HISTORY = 200 };

struct ph_line {
    struct ph_text text;
    size_t cursor; /* byte offset */
    char *history[PH_LINE_HISTORY];
    size_t history_count;
    size_t history_at;    /* == history_count: the new line */
    struct ph_text draft; /* the new line while an old one is looked at */
    struct ph_text hint;  /* what Tab could mean */
    bool pasting;
};

enum ph_line_result {
    PH_LINE_EDITED,
    PH_LINE_ACCEPTED, /* Enter: the text is the line */
    PH_LINE_CANCELED, /* Esc, or Backspace on an empty line */
    PH_LINE_COMPLETE, /* Tab: call ph_line_complete with the words */
    PH_LINE_IGNORED,
};

void ph_line_init(struct ph_line *);
void ph_line_fini(struct ph_line *);

/* A new line that begins with `text`. */
void ph_line_open(struct ph_line *, const char *text);
enum ph_line_result ph_line_key(struct ph_line *, int key);
/* Adds the text to the history, unless it is the newest one or empty. */
void ph_line_remember(struct ph_line *);

/* Completes what stands before the cursor to what all names with that beginning share; several: the
 * hint lists them. `name_at` returns NULL beyond the last. */
void ph_line_complete(struct ph_line *, const char *(*name_at)(size_t index));

#endif
