#include "tui/cell.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "engine/alloc.h"
#include "engine/base.h"

enum { MARK_CUT = 0x2026 /* … */, ESCAPE_MAX = 16 };

static int bounded(int size)
{
    return size < 0 ? 0 : size > PH_GRID_MAX ? PH_GRID_MAX : size;
}

void ph_grid_init(struct ph_grid *grid, int rows, int cols, bool ascii)
{
    *grid = (struct ph_grid){
        .rows = bounded(rows), .cols = bounded(cols), .stride = bounded(cols), .ascii = ascii};
    grid->cells = ph_alloc(((size_t)grid->rows * (size_t)grid->cols + 1) * sizeof *grid->cells);
    ph_grid_fill(grid, 0, 0, grid->rows, grid->cols, 0);
}

void ph_grid_fini(struct ph_grid *grid)
{
    ph_free(grid->cells);
    *grid = (struct ph_grid){0};
}

struct ph_grid ph_grid_part(const struct ph_grid *grid, int row, int col, int rows, int cols)
{
    struct ph_grid part = *grid;
    rows = row < 0 ? bounded(rows) + row : rows;
    cols = col < 0 ? bounded(cols) + col : cols;
    row = row < 0 ? 0 : row > grid->rows ? grid->rows : row;
    col = col < 0 ? 0 : col > grid->cols ? grid->cols : col;
    part.rows = bounded(rows) < grid->rows - row ? bounded(rows) : grid->rows - row;
    part.cols = bounded(cols) < grid->cols - col ? bounded(cols) : grid->cols - col;
    part.cells = grid->cells + (ptrdiff_t)row * grid->stride + col;
    return part;
}

static struct ph_cell *cell_at(const struct ph_grid *grid, int row, int col)
{
    if (row < 0 || col < 0 || row >= grid->rows || col >= grid->cols)
        return NULL;
    return grid->cells + (ptrdiff_t)row * grid->stride + col;
}

/* Half of a wide character cannot stand: what is left of one that is overwritten becomes a blank.
 */
static void break_wide(struct ph_grid *grid, int row, int col)
{
    struct ph_cell *cell = cell_at(grid, row, col);
    struct ph_cell *left = cell_at(grid, row, col - 1);
    struct ph_cell *right = cell_at(grid, row, col + 1);
    if (cell && cell->rune == 0 && left)
        left->rune = ' ';
    if (cell && right && right->rune == 0)
        right->rune = ' ';
}

static void set_cell(struct ph_grid *grid, int row, int col, uint16_t style, uint32_t rune)
{
    struct ph_cell *cell = cell_at(grid, row, col);
    if (!cell)
        return;
    break_wide(grid, row, col);
    cell->rune = rune;
    cell->style = style;
}

/* Characters that change what stands around them, or show nothing at all. */
static bool is_sly(uint32_t rune)
{
    return (rune >= 0x202a && rune <= 0x202e) || (rune >= 0x2066 && rune <= 0x2069) ||
           (rune >= 0x200b && rune <= 0x200f) || rune == 0x061c || rune == 0xfeff ||
           rune == 0x2028 || rune == 0x2029 || rune == 0x00ad;
}

/* What stands for one character of a text: itself, or a few ASCII characters. */
struct piece {
    uint32_t rune; /* 0: `escape` stands for it */
    int width;
    char escape[ESCAPE_MAX];
};

static size_t next_piece(const struct ph_grid *grid, const char *text, size_t length,
                         struct piece *piece)
{
    uint32_t rune = 0;
    size_t bytes = ph_utf8_next(text, length, &rune);
    piece->rune = 0;
    if (!bytes || rune < 0x20 || (rune >= 0x7f && rune < 0xa0)) {
        piece->width = snprintf(piece->escape, sizeof piece->escape, "\\x%02X",
                                bytes ? (unsigned)rune : (unsigned char)*text);
        return bytes ? bytes : 1;
    }
    if (is_sly(rune)) {
        piece->width = snprintf(piece->escape, sizeof piece->escape, "\\u{%04X}", (unsigned)rune);
        return bytes;
    }
    int width = rune < 0x80 ? 1 : grid->ascii ? -1 : wcwidth((wchar_t)rune);
    piece->rune = width > 0 ? rune : '?';
    piece->width = width > 0 ? width : 1;
    return bytes;
}

static void set_piece(struct ph_grid *grid, int row, int col, uint16_t style,
                      const struct piece *piece)
{
    if (!piece->rune) {
        for (int i = 0; i < piece->width; i++)
            set_cell(grid, row, col + i, style, (unsigned char)piece->escape[i]);
        return;
    }
    if (piece->width == 2 && !cell_at(grid, row, col + 1)) {
        set_cell(grid, row, col, style, ' ');
        return;
    }
    set_cell(grid, row, col, style, piece->rune);
    if (piece->width == 2)
        set_cell(grid, row, col + 1, style, ' ');
    if (piece->width == 2 && cell_at(grid, row, col))
        cell_at(grid, row, col + 1)->rune = 0;
}

int ph_grid_width(const struct ph_grid *grid, const char *text)
{
    struct piece piece;
    size_t length = strlen(text);
    int width = 0;
    for (size_t at = 0; at < length && width <= PH_GRID_MAX;) {
        at += next_piece(grid, text + at, length - at, &piece);
        width += piece.width;
    }
    return width;
}

int ph_grid_put(struct ph_grid *grid, int row, int col, int width, uint16_t style, const char *text)
{
    if (width <= 0)
        return 0;
    bool cut = ph_grid_width(grid, text) > width;
    int room = cut ? width - 1 : width;
    size_t length = strlen(text);
    int used = 0;
    for (size_t at = 0; at < length;) {
        struct piece piece;
        at += next_piece(grid, text + at, length - at, &piece);
        if (used + piece.width > room)
            break;
        set_piece(grid, row, col + used, style, &piece);
        used += piece.width;
    }
    if (!cut)
        return used;
    while (used < room)
        set_cell(grid, row, col + used++, style, ' ');
    ph_grid_rune(grid, row, col + used, style, MARK_CUT, '~');
    return width;
}

int ph_grid_printf(struct ph_grid *grid, int row, int col, int width, uint16_t style,
                   const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return ph_grid_put(grid, row, col, width, style, text);
}

void ph_grid_put_right(struct ph_grid *grid, int row, int col, int width, uint16_t style,
                       const char *text)
{
    int blank = width - ph_grid_width(grid, text);
    if (blank < 0)
        blank = 0;
    ph_grid_put(grid, row, col + blank, width - blank, style, text);
}

void ph_grid_rune(struct ph_grid *grid, int row, int col, uint16_t style, uint32_t rune, char ascii)
{
    set_cell(grid, row, col, style, grid->ascii ? (unsigned char)ascii : rune);
}

void ph_grid_fill(struct ph_grid *grid, int row, int col, int rows, int cols, uint16_t style)
{
    struct ph_grid part = ph_grid_part(grid, row, col, rows, cols);
    for (int y = 0; y < part.rows; y++) {
        for (int x = 0; x < part.cols; x++)
            part.cells[(ptrdiff_t)y * part.stride + x] =
                (struct ph_cell){.rune = ' ', .style = style};
    }
}

void ph_grid_mark(struct ph_grid *grid, int row, int col, int cols, uint16_t flags)
{
    struct ph_grid part = ph_grid_part(grid, row, col, 1, cols);
    for (int x = 0; x < part.cols && part.rows; x++)
        part.cells[x].style |= flags;
}

void ph_grid_rule(struct ph_grid *grid, int row, uint16_t style, const char *heading)
{
    for (int x = 0; x < grid->cols; x++)
        ph_grid_rune(grid, row, x, style, 0x2500, '-');
    if (heading && *heading) {
        int used = ph_grid_put(grid, row, 3, grid->cols - 6, style, heading);
        ph_grid_rune(grid, row, 2, style, ' ', ' ');
        ph_grid_rune(grid, row, 3 + used, style, ' ', ' ');
    }
}

static void draw_edges(struct ph_grid *grid, uint16_t style)
{
    int bottom = grid->rows - 1, right = grid->cols - 1;
    for (int x = 0; x <= right; x++) {
        ph_grid_rune(grid, 0, x, style, 0x2500, '-');
        ph_grid_rune(grid, bottom, x, style, 0x2500, '-');
    }
    for (int y = 0; y <= bottom; y++) {
        ph_grid_rune(grid, y, 0, style, 0x2502, '|');
        ph_grid_rune(grid, y, right, style, 0x2502, '|');
    }
    ph_grid_rune(grid, 0, 0, style, 0x250c, '+');
    ph_grid_rune(grid, 0, right, style, 0x2510, '+');
    ph_grid_rune(grid, bottom, 0, style, 0x2514, '+');
    ph_grid_rune(grid, bottom, right, style, 0x2518, '+');
}

void ph_grid_box(struct ph_grid *grid, uint16_t style, const char *heading)
{
    if (grid->rows < 2 || grid->cols < 2)
        return;
    ph_grid_fill(grid, 0, 0, grid->rows, grid->cols, style);
    draw_edges(grid, style);
    if (heading && *heading)
        ph_grid_printf(grid, 0, 2, grid->cols - 4, style, " %s ", heading);
}

/* part / whole of `steps`, without overflow; something is at least one step. */
static int scaled(struct ph_share share, int steps)
{
    if (!share.whole || !share.part || steps <= 0)
        return 0;
    if (share.part >= share.whole)
        return steps;
    int filled = (int)((double)share.part / (double)share.whole * steps + 0.5);
    return filled ? filled : 1;
}

void ph_grid_bar(struct ph_grid *grid, int row, int col, int width, uint16_t style,
                 struct ph_share share)
{
    if (width < 3)
        return;
    int filled = scaled(share, width - 2);
    ph_grid_rune(grid, row, col, style, '[', '[');
    for (int x = 0; x < width - 2; x++)
        ph_grid_rune(grid, row, col + 1 + x, style, x < filled ? 0x2588 : 0xb7,
                     x < filled ? '#' : '.');
    ph_grid_rune(grid, row, col + width - 1, style, ']', ']');
}

void ph_grid_column(struct ph_grid *grid, int col, uint16_t style, struct ph_share share)
{
    static const char dots[] = " .:";
    int levels = grid->ascii ? 2 : 8;
    int filled = scaled(share, grid->rows * levels);
    for (int y = grid->rows - 1; y >= 0 && filled > 0; y--, filled -= levels) {
        int level = filled < levels ? filled : levels;
        ph_grid_rune(grid, y, col, style, (uint32_t)(0x2580 + level), dots[level > 2 ? 2 : level]);
    }
}

static void dump_rune(uint32_t rune, struct ph_text *out)
{
    char bytes[4];
    size_t count = ph_utf8_put(bytes, rune);
    ph_text_append(out, bytes, count);
}

void ph_grid_dump(const struct ph_grid *grid, struct ph_text *out)
{
    for (int y = 0; y < grid->rows; y++) {
        int end = grid->cols;
        while (end > 0 && cell_at(grid, y, end - 1)->rune == ' ')
            end--;
        for (int x = 0; x < end; x++) {
            uint32_t rune = cell_at(grid, y, x)->rune;
            if (rune)
                dump_rune(rune, out);
        }
        ph_text_put(out, "\n");
    }
}
