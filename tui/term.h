/*
 * The terminal: the only file that knows ncurses.
 *
 * A frame is rendered into a memfd and leaves as one write(2), so it is never seen half painted,
 * and a slow terminal never holds the UI thread up: while an old frame drains no new one is made.
 * The terminal is always put back - on close, on suspend, and by a handler when SIGSEGV, SIGBUS,
 * SIGFPE, SIGILL or SIGABRT ends the process. What is printed on stderr meanwhile is kept and
 * printed after. One terminal a process (signal handlers have no other way to find it); UI thread
 * only.
 */
#ifndef PH_TUI_TERM_H
#define PH_TUI_TERM_H

#include <stdbool.h>

#include "engine/error.h"
#include "tui/cell.h"
#include "tui/keys.h"

struct ph_term;

struct ph_term_options {
    bool monochrome, ascii;
};

/* Takes the terminal on stdin and stdout. PH_EUNSUPPORTED when it cannot move its cursor. */
PH_MUST_CHECK int ph_term_open(const struct ph_term_options *, struct ph_term **,
                               struct ph_error *);
void ph_term_close(struct ph_term *); /* NULL is fine */

/* Gives the terminal back, stops the process until it is continued, takes it again. */
void ph_term_suspend(struct ph_term *);

/* After the process was stopped and continued by others: takes the terminal again. */
void ph_term_reclaim(struct ph_term *);

bool ph_term_ascii(const struct ph_term *);
/* The size that the terminal has now. */
void ph_term_size(const struct ph_term *, int *rows, int *cols);

/* The next key that was typed, or PH_KEY_NONE. */
int ph_term_key(struct ph_term *);

/* Paints the grid (all of it anew when `repaint`); a cursor outside it is hidden. Does nothing
 * while an older frame drains: try again when ph_term_drain says false. */
void ph_term_show(struct ph_term *, const struct ph_grid *, int cursor_row, int cursor_col,
                  bool repaint);
/* Writes on; true while something is left (poll ph_term_output for writing). */
bool ph_term_drain(struct ph_term *);
int ph_term_output(const struct ph_term *);

/* What stderr became, to poll for reading; -1: it was left alone. */
int ph_term_stderr(const struct ph_term *);
void ph_term_keep_stderr(struct ph_term *);

#endif
