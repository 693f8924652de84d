/* The help overlay: the keys of a view with their commands, as the key table has them. */
#include <stdio.h>

#include "tui/screen.h"
#include "tui/theme.h"

enum { NAMES_COL = 2, COMMAND_COL = 13, WHAT_COL = 31 };

/* Calls `put` (if any) for every line in order; returns how many there are. */
struct help {
    struct ph_grid *grid;
    uint64_t scroll, line;
};

static int row_of(struct help *help)
{
    uint64_t line = help->line++;
    if (!help->grid || line < help->scroll)
        return -1;
    return line - help->scroll < (uint64_t)help->grid->rows ? (int)(line - help->scroll) : -1;
}

static void put_binding(struct help *help, const struct ph_binding *binding)
{
    int row = row_of(help);
    if (row < 0)
        return;
    ph_grid_put(help->grid, row, NAMES_COL, COMMAND_COL - NAMES_COL - 1, PH_STYLE_KEY,
                binding->names);
    ph_grid_put(help->grid, row, COMMAND_COL, WHAT_COL - COMMAND_COL - 1, PH_STYLE_TEXT,
                binding->command);
    ph_grid_put(help->grid, row, WHAT_COL, help->grid->cols - WHAT_COL, PH_STYLE_DIM,
                binding->what);
}

static void put_group(struct help *help, enum ph_key_group group, unsigned view)
{
    const struct ph_binding *binding;
    bool headed = false;
    for (unsigned i = 0; (binding = ph_keys_at(i)); i++) {
        if (binding->group != group || !(binding->views & 1u << view))
            continue;
        int row = headed ? -1 : row_of(help);
        if (row >= 0)
            ph_grid_put(help->grid, row, 1, help->grid->cols, PH_STYLE_HEAD, ph_keys_group(group));
        headed = true;
        put_binding(help, binding);
    }
}

static void put_states(struct help *help)
{
    int row = row_of(help);
    if (row >= 0)
        ph_grid_put(help->grid, row, 1, help->grid->cols, PH_STYLE_HEAD, "STATES");
    const struct ph_state_look *look;
    int col = NAMES_COL;
    row = row_of(help);
    for (unsigned i = 0; row >= 0 && (look = ph_theme_state_at(i)); i++) {
        ph_grid_rune(help->grid, row, col, (uint16_t)look->style, look->glyph, look->ascii);
        col += 2 + ph_grid_printf(help->grid, row, col + 2, help->grid->cols - col - 2,
                                  (uint16_t)look->style, "%s ", look->state);
    }
}

static uint64_t put_all(struct ph_grid *grid, unsigned view, uint64_t scroll)
{
    struct help help = {.grid = grid, .scroll = scroll};
    for (enum ph_key_group group = 0; group < PH_GROUPS; group++)
        put_group(&help, group, view);
    put_states(&help);
    return help.line;
}

uint64_t ph_help_rows(unsigned view)
{
    return put_all(NULL, view, 0);
}

void ph_help_draw(struct ph_grid *grid, unsigned view, uint64_t scroll)
{
    char text[128];
    ph_grid_fill(grid, 0, 0, grid->rows, grid->cols, PH_STYLE_TEXT);
    uint64_t rows = ph_help_rows(view);
    int room = grid->rows - 2;
    uint64_t last = scroll + (uint64_t)(room > 0 ? room : 0);
    snprintf(text, sizeof text, "HELP for %s: a key, its command, what it does",
             ph_view_at(view)->title);
    ph_grid_rule(grid, 0, PH_STYLE_HEAD, text);
    struct ph_grid part = ph_grid_part(grid, 1, 0, room, grid->cols);
    put_all(&part, view, scroll);
    snprintf(text, sizeof text, "%llu-%llu of %llu  j k=scroll  Esc=close",
             (unsigned long long)scroll + 1, (unsigned long long)(last < rows ? last : rows),
             (unsigned long long)rows);
    ph_grid_rule(grid, grid->rows - 1, PH_STYLE_HEAD, text);
}
