/* What lies over a view: the child's detail, the confirm dialog and the output pane. */
#include <stdio.h>
#include <string.h>

#include "tui/screen.h"
#include "tui/theme.h"

/* ---- Detail of a child ---- */

static int key_width(const struct ph_json *row)
{
    int width = 8;
    for (size_t i = 0; i < row->count; i++) {
        int length = (int)strlen(ph_json_key_at(row, i));
        width = length > width && length <= 28 ? length : width;
    }
    return width;
}

static void draw_field(struct ph_grid *grid, int row, int width, const struct ph_json *object,
                       size_t index)
{
    char human[PH_HUMAN_MAX];
    const char *key = ph_json_key_at(object, index), *value = ph_json_value_at(object, index);
    size_t length = strlen(key);
    bool duration = length > 3 && !strcmp(key + length - 3, "_ms");
    uint16_t style = strcmp(key, "state") ? PH_STYLE_TEXT : (uint16_t)ph_theme_state(value)->style;
    if (duration && object->fields[index].type == PH_JSON_NUMBER)
        value = ph_human_duration(ph_json_uint(object, key, 0), human);
    ph_grid_put(grid, row, 1, width, PH_STYLE_DIM, key);
    ph_grid_put(grid, row, width + 3, grid->cols - width - 3, style, *value ? value : "-");
}

static void draw_detail(const struct ph_screen *screen, struct ph_grid *grid)
{
    char heading[PH_ID_MAX + 16];
    const struct ph_data *data = screen->model.data[PH_SLOT_DETAIL];
    snprintf(heading, sizeof heading, "child %s", screen->detail_id);
    ph_grid_box(grid, PH_STYLE_TEXT, heading);
    struct ph_grid part = ph_grid_part(grid, 1, 1, grid->rows - 2, grid->cols - 2);
    if (!data || data->code || !data->count) {
        ph_grid_put(&part, 0, 1, part.cols - 2, data ? PH_STYLE_BAD : PH_STYLE_DIM,
                    !data        ? "..."
                    : data->code ? ph_text_str(&data->error)
                                 : "nothing to say");
        return;
    }
    const struct ph_json *row = &data->rows[0];
    int width = key_width(row);
    for (int y = 0; y < part.rows; y++) {
        uint64_t index = screen->scroll + 1 + (uint64_t)y; /* the first field is "t" */
        if (index < row->count)
            draw_field(&part, y, width, row, index);
    }
    ph_grid_put_right(grid, grid->rows - 1, 2, grid->cols - 4, PH_STYLE_DIM,
                      " j k=scroll  Esc=close ");
}

/* ---- The confirm dialog ---- */

static void draw_buttons(const struct ph_screen *screen, struct ph_grid *grid, int row)
{
    uint16_t cancel = screen->consent ? PH_STYLE_TEXT : PH_STYLE_TEXT | PH_CURSOR;
    uint16_t run = screen->consent ? PH_STYLE_BAD | PH_CURSOR : PH_STYLE_TEXT;
    ph_grid_put(grid, row, 2, 10, cancel, "[ Cancel ]");
    ph_grid_put(grid, row, 14, 7, run, "[ Run ]");
    ph_grid_put(grid, row, 23, grid->cols - 24, PH_STYLE_DIM, "Tab=choose  Esc=cancel");
}

static void draw_confirm(const struct ph_screen *screen, struct ph_grid *grid)
{
    int cols = grid->cols < 64 ? grid->cols : 64, rows = grid->rows < 7 ? grid->rows : 7;
    struct ph_grid part =
        ph_grid_part(grid, (grid->rows - rows) / 2, (grid->cols - cols) / 2, rows, cols);
    ph_grid_box(&part, PH_STYLE_TEXT, "Run this command?");
    ph_grid_put(&part, 1, 2, cols - 4, PH_STYLE_HEAD, ph_text_str(&screen->command));
    ph_grid_printf(&part, 3, 2, cols - 4, PH_STYLE_WARN, "It works on %llu %s.",
                   (unsigned long long)screen->children,
                   screen->children == 1 ? "child" : "children");
    draw_buttons(screen, &part, rows - 2);
}

void ph_overlay_draw(const struct ph_screen *screen, struct ph_grid *grid)
{
    switch (screen->overlay) {
    case PH_OVERLAY_NONE:
        return;
    case PH_OVERLAY_HELP:
        ph_help_draw(grid, screen->view, screen->scroll);
        return;
    case PH_OVERLAY_DETAIL:
        draw_detail(screen, grid);
        return;
    case PH_OVERLAY_CONFIRM:
        draw_confirm(screen, grid);
        return;
    }
}

/* ---- The output pane ---- */

static uint64_t count_lines(const struct ph_text *text)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < text->length; i++)
        lines += text->data[i] == '\n';
    return lines + (text->length && text->data[text->length - 1] != '\n');
}

int ph_output_rows(const struct ph_screen *screen, int rows)
{
    if (!screen->output_open)
        return 0;
    uint64_t lines = count_lines(&screen->output) + 1;
    int most = rows * 3 / 5;
    return lines < (uint64_t)most ? (int)lines : most;
}

/* The last rows of the output, or those `output_scroll` lines before them. */
void ph_output_draw(const struct ph_screen *screen, struct ph_grid *grid)
{
    uint64_t lines = count_lines(&screen->output), room = (uint64_t)(grid->rows - 1), line = 0;
    uint64_t end = lines > screen->output_scroll ? lines - screen->output_scroll : 0;
    end = end < room ? (room < lines ? room : lines) : end;
    uint64_t first = end > room ? end - room : 0;
    char heading[96];
    snprintf(heading, sizeof heading, "OUTPUT  %llu lines  %sEsc=close", (unsigned long long)lines,
             lines > room ? "j k=scroll  " : "");
    ph_grid_fill(grid, 0, 0, grid->rows, grid->cols, PH_STYLE_TEXT);
    ph_grid_rule(grid, 0, PH_STYLE_HEAD, heading);
    const char *at = ph_text_str(&screen->output), *stop = at + screen->output.length;
    for (; at < stop && line < end; line++) {
        const char *eol = memchr(at, '\n', (size_t)(stop - at));
        size_t length = eol ? (size_t)(eol - at) : (size_t)(stop - at);
        if (line >= first)
            ph_grid_printf(grid, 1 + (int)(line - first), 1, grid->cols - 1, PH_STYLE_TEXT, "%.*s",
                           (int)(length < 2000 ? length : 2000), at);
        at += length + (eol ? 1 : 0);
    }
}
