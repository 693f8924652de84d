/*
 * A table of whatever rows a command prints: hooks, and the log of a child.
 *
 * The columns are the keys of the first row, as wide as their values; the last one gets what is
 * left.
 */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "tui/theme.h"
#include "tui/view.h"

enum { COLUMN_MAX = 32, COLUMNS = 16 };

struct rows {
    const struct ph_view *view;
    uint64_t cursor, top, page;
    bool follow;            /* the cursor stays on the last row */
    char id[PH_ID_MAX + 1]; /* of the child whose log it is */
};

static void *rows_init(const struct ph_view *view)
{
    struct rows *rows = ph_alloc(sizeof *rows);
    rows->view = view;
    rows->follow = view == &ph_view_logs;
    return rows;
}

static void rows_fini(void *state)
{
    ph_free(state);
}

/* The two views share a slot: rows that the other one asked for are not shown. */
static uint64_t tag_of(const struct rows *rows)
{
    uint64_t hash = rows->view == &ph_view_hooks ? 2 : 3;
    for (const char *c = rows->id; *c; c++)
        hash = hash * 1099511628211u + (unsigned char)*c;
    return hash;
}

static const struct ph_data *data_of(const struct rows *rows, const struct ph_model *model)
{
    const struct ph_data *data = model->data[PH_SLOT_ROWS];
    return data && data->tag == tag_of(rows) ? data : NULL;
}

static uint64_t count_of(const struct rows *rows, const struct ph_model *model)
{
    const struct ph_data *data = data_of(rows, model);
    return data && !data->code ? data->count : 0;
}

static void want_log(struct rows *rows, const struct ph_model *model, struct ph_wants *wants)
{
    if (strcmp(rows->id, model->selected)) {
        snprintf(rows->id, sizeof rows->id, "%s", model->selected);
        rows->follow = true;
    }
    if (!*rows->id)
        return;
    struct ph_text word = PH_TEXT_INIT;
    ph_put_word(&word, rows->id);
    ph_want(wants, PH_SLOT_ROWS, tag_of(rows), "logs %s n=200", ph_text_str(&word));
    ph_text_fini(&word);
}

static void rows_update(void *state, const struct ph_model *model, int rows_high, int cols,
                        struct ph_wants *wants)
{
    (void)cols;
    struct rows *rows = state;
    rows->page = rows_high > 3 ? (uint64_t)(rows_high - 2) : 1;
    if (rows->view == &ph_view_logs)
        want_log(rows, model, wants);
    else
        ph_want(wants, PH_SLOT_ROWS, tag_of(rows), "hooks");
    uint64_t count = count_of(rows, model);
    if (rows->follow && count)
        rows->cursor = count - 1;
    ph_cursor_settle(count, rows->page, &rows->cursor, &rows->top);
}

static unsigned rows_key(void *state, const struct ph_model *model, enum ph_action action,
                         struct ph_request *request)
{
    (void)request;
    struct rows *rows = state;
    uint64_t count = count_of(rows, model);
    bool is_log = rows->view == &ph_view_logs;
    if (ph_cursor_key(action, count, rows->page, &rows->cursor)) {
        rows->follow = is_log && rows->cursor + 1 >= count;
        return PH_REACT_DRAW | PH_REACT_UPDATE;
    }
    if (action == PH_ACTION_FOLLOW && is_log) {
        rows->follow = !rows->follow;
        return PH_REACT_DRAW | PH_REACT_UPDATE;
    }
    return PH_REACT_NONE;
}

/* ---- Drawing ---- */

struct layout {
    const char *keys[COLUMNS];
    int widths[COLUMNS];
    int count;
};

static bool is_column(const struct rows *rows, const char *key)
{
    bool log_id = rows->view == &ph_view_logs && !strcmp(key, "id");
    return strcmp(key, "t") && !log_id;
}

static const char *value_of(const struct ph_json *row, const char *key, char *human)
{
    size_t length = strlen(key);
    const char *text = ph_json_text(row, key);
    if (!text || !*text)
        return "-";
    if (length > 3 && !strcmp(key + length - 3, "_ms"))
        return ph_human_duration(ph_json_uint(row, key, 0), human);
    return strcmp(key, "time") ? text : ph_human_clock(text, human);
}

static int widest(const struct ph_grid *grid, const struct rows *rows, const struct ph_data *data,
                  const char *key)
{
    int width = ph_grid_width(grid, key);
    for (uint64_t i = rows->top; i < data->count && i < rows->top + rows->page; i++) {
        char human[PH_HUMAN_MAX];
        int used = ph_grid_width(grid, value_of(&data->rows[i], key, human));
        width = used > width ? used : width;
    }
    return width > COLUMN_MAX ? COLUMN_MAX : width;
}

static void lay_out(const struct ph_grid *grid, const struct rows *rows, const struct ph_data *data,
                    struct layout *layout)
{
    int used = 2;
    const struct ph_json *first = &data->rows[0];
    *layout = (struct layout){0};
    for (size_t i = 0; i < first->count && layout->count < COLUMNS; i++) {
        const char *key = ph_json_key_at(first, i);
        if (!is_column(rows, key))
            continue;
        int width = widest(grid, rows, data, key);
        layout->keys[layout->count] = key;
        layout->widths[layout->count++] = width;
        used += width + 2;
    }
    if (layout->count)
        layout->widths[layout->count - 1] += grid->cols > used ? grid->cols - used : 0;
}

/* The heading when `object` is NULL. */
static void draw_row(struct ph_grid *grid, int row, const struct layout *layout,
                     const struct ph_json *object)
{
    int col = 2;
    for (int i = 0; i < layout->count && col < grid->cols; i++) {
        char human[PH_HUMAN_MAX];
        int room = grid->cols - col;
        int width = layout->widths[i] < room ? layout->widths[i] : room;
        ph_grid_put(grid, row, col, width, object ? PH_STYLE_TEXT : PH_STYLE_HEAD,
                    object ? value_of(object, layout->keys[i], human) : layout->keys[i]);
        col += layout->widths[i] + 2;
    }
}

static const char *nothing(const struct rows *rows, const struct ph_data *data)
{
    if (rows->view == &ph_view_logs && !*rows->id)
        return "no child is selected: choose one in the children view (2), then l";
    if (!data)
        return "...";
    if (rows->view == &ph_view_logs)
        return "nothing was written yet";
    return "no hooks  (:hook add HOOK exec=PATH)";
}

static void draw_summary(struct ph_grid *grid, const struct rows *rows, uint64_t count)
{
    char text[64];
    bool is_log = rows->view == &ph_view_logs;
    snprintf(text, sizeof text, "%llu rows%s", (unsigned long long)count,
             !is_log        ? ""
             : rows->follow ? "  follow on"
                            : "  follow off");
    int width = ph_grid_width(grid, text);
    ph_grid_printf(grid, 0, 1, grid->cols - width - 3, PH_STYLE_HEAD, "%s%s", rows->view->title,
                   "");
    if (is_log && *rows->id)
        ph_grid_printf(grid, 0, 6, grid->cols - width - 8, PH_STYLE_HEAD, "of %s", rows->id);
    ph_grid_put_right(grid, 0, grid->cols - width - 1, width, PH_STYLE_TEXT, text);
}

static void rows_draw(const void *state, const struct ph_model *model, struct ph_grid *grid)
{
    const struct rows *rows = state;
    const struct ph_data *data = data_of(rows, model);
    uint64_t count = count_of(rows, model);
    draw_summary(grid, rows, count);
    if (data && data->code) {
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_BAD, ph_text_str(&data->error));
        return;
    }
    if (!count) {
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_DIM, nothing(rows, data));
        return;
    }
    struct layout layout;
    lay_out(grid, rows, data, &layout);
    draw_row(grid, 1, &layout, NULL);
    for (uint64_t i = 0; i < rows->page && rows->top + i < count; i++) {
        draw_row(grid, 2 + (int)i, &layout, &data->rows[rows->top + i]);
        if (rows->top + i == rows->cursor) {
            ph_grid_rune(grid, 2 + (int)i, 0, PH_STYLE_TEXT, '>', '>');
            ph_grid_mark(grid, 2 + (int)i, 0, grid->cols, PH_CURSOR);
        }
    }
}

#define ROWS_VIEW \
    .init = rows_init, .fini = rows_fini, .update = rows_update, .key = rows_key, .draw = rows_draw

const struct ph_view ph_view_hooks = {.name = "hooks", .title = "Hooks", ROWS_VIEW};
const struct ph_view ph_view_logs = {.name = "logs", .title = "Logs", ROWS_VIEW};
