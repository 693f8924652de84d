/*
 * The cell grid: what a screen looks like, without a terminal.
 *
 * Everything the console shows is first put into cells - a character and a style - so a screen can
 * be tested as text. All drawing is clipped: rows, columns and widths outside the grid, negative
 * ones too, draw nothing. Foreign text (ids, logs, errors) may hold anything: control bytes, escape
 * sequences, malformed UTF-8 and bidirectional controls come out as visible escapes, never as
 * themselves. One thread.
 */
#ifndef PH_TUI_CELL_H
#define PH_TUI_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/text.h"

struct ph_cell {
    uint32_t rune;   /* 0: the right half of a wide character */
    uint16_t style;  /* enum ph_style and flags (tui/theme.h); the grid does not look into it */
    uint16_t unused; /* no padding: rows are compared as bytes */
};

/* A part of a grid is a grid, too: it shares the cells, `stride` leads from row to row. */
struct ph_grid {
    int rows, cols, stride;
    bool ascii; /* nothing but ASCII is put; the rest becomes '?' */
    struct ph_cell *cells;
};

/* Blank cells. Sizes are bounded to 0..PH_GRID_MAX each. */
enum { PH_GRID_MAX = 1000 };
void ph_grid_init(struct ph_grid *, int rows, int cols, bool ascii);
void ph_grid_fini(struct ph_grid *);

/* The part that lies within both; the grid itself must outlive it. */
struct ph_grid ph_grid_part(const struct ph_grid *, int row, int col, int rows, int cols);

/* Puts text into at most `width` columns; text that does not fit ends in a mark. Returns the
 * columns used, whether or not they lie in the grid. */
int ph_grid_put(struct ph_grid *, int row, int col, int width, uint16_t style, const char *text);
int ph_grid_printf(struct ph_grid *, int row, int col, int width, uint16_t style,
                   const char *format, ...) __attribute__((format(printf, 6, 7)));
/* The same, ending in column col + width - 1. */
void ph_grid_put_right(struct ph_grid *, int row, int col, int width, uint16_t style,
                       const char *text);
/* Columns that `text` takes. */
int ph_grid_width(const struct ph_grid *, const char *text);

/* One character of our own choice, with its replacement for ASCII grids. */
void ph_grid_rune(struct ph_grid *, int row, int col, uint16_t style, uint32_t rune, char ascii);
void ph_grid_fill(struct ph_grid *, int row, int col, int rows, int cols, uint16_t style);
/* Adds style bits to what stands there. */
void ph_grid_mark(struct ph_grid *, int row, int col, int cols, uint16_t flags);

/* A line across the grid with a heading in it: "-- LOCKS 2 -----". */
void ph_grid_rule(struct ph_grid *, int row, uint16_t style, const char *heading);
/* A frame along the grid's edges with a heading in it; the inside is blanked. */
void ph_grid_box(struct ph_grid *, uint16_t style, const char *heading);

struct ph_share {
    uint64_t part, whole;
};
/* [####....] of `width` columns. */
void ph_grid_bar(struct ph_grid *, int row, int col, int width, uint16_t style, struct ph_share);
/* One column of a graph as high as the grid. */
void ph_grid_column(struct ph_grid *, int col, uint16_t style, struct ph_share);

/* Appends the grid as text, a line a row, without the blanks at the end of lines. */
void ph_grid_dump(const struct ph_grid *, struct ph_text *out);

#endif
