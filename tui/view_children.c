/*
 * The children: one window of a list that the node sorts and filters.
 *
 * Only the visible rows and a page on each side are fetched, so a million children cost what a
 * hundred do. The cursor belongs to an id: when rows come or go above it, list and cursor move with
 * it.
 */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tui/theme.h"
#include "tui/view.h"

/* The tag of data: the generation above the offset of the window. */
enum { FILTER_MAX = 1000, WINDOW_MAX = 600, OFFSET_BITS = 32 };

struct children {
    uint64_t cursor, top; /* rows of the whole list */
    uint64_t page;        /* rows on the screen */
    unsigned sort;        /* index into `columns` */
    bool reverse;
    char filter[FILTER_MAX];
    char id[PH_ID_MAX + 1]; /* under the cursor; "" until its row is there */
    uint64_t generation;    /* of filter and order: rows of an older one are not shown */
    uint64_t filtered; /* the generation that began with the filter: since then the count holds */
    uint64_t wanted, wanted_rows; /* the window asked for */
};

struct column {
    const char *key, *title;
    const char *sort; /* the field that `sort=` knows it by; NULL: none */
    int width;        /* 0: what is left */
    int priority;     /* 1 stays longest */
    bool right;
};

static const struct column columns[] = {
    {.key = "id", .title = "CHILD", .sort = "id", .priority = 1},
    {.key = "state", .title = "STATE", .sort = "state", .width = 11, .priority = 1},
    {.key = "kind", .title = "KIND", .sort = "kind", .width = 8, .priority = 4},
    {.key = "nodes", .title = "NODE", .sort = "node", .width = 12, .priority = 5},
    {.key = "pid", .title = "PID", .sort = "pid", .width = 9, .priority = 2, .right = true},
    {.key = "restarts",
     .title = "RESTARTS",
     .sort = "restarts",
     .width = 9,
     .priority = 3,
     .right = true},
    {.key = "queue", .title = "QUEUE", .sort = "queue", .width = 8, .priority = 3, .right = true},
    {.key = "uptime_ms",
     .title = "UPTIME",
     .sort = "uptime",
     .width = 9,
     .priority = 2,
     .right = true},
    {.key = "tags", .title = "TAGS", .width = 20, .priority = 6},
};

static void *children_init(const struct ph_view *view)
{
    (void)view;
    return ph_alloc(sizeof(struct children));
}

static void children_fini(void *state)
{
    ph_free(state);
}

static uint64_t tag_of(const struct children *children, uint64_t offset)
{
    return children->generation << OFFSET_BITS | offset;
}

/* The slot's data, if filter and order are still what they were for it. */
static const struct ph_data *fresh(const struct ph_model *model, const struct children *children,
                                   enum ph_slot slot)
{
    const struct ph_data *data = model->data[slot];
    uint64_t least = slot == PH_SLOT_COUNT ? children->filtered : children->generation;
    return data && data->tag >> OFFSET_BITS >= least ? data : NULL;
}

static bool count_of(const struct ph_model *model, const struct children *children, uint64_t *count)
{
    const struct ph_data *data = fresh(model, children, PH_SLOT_COUNT);
    if (!*children->filter) {
        *count = ph_model_uint(model, "children");
        return true;
    }
    bool known = data && data->count && !data->code;
    *count = known ? ph_json_uint(&data->rows[0], "count", 0) : 0;
    return known;
}

static uint64_t first_row(const struct ph_data *data)
{
    return data->tag & (((uint64_t)1 << OFFSET_BITS) - 1);
}

/* The row's object when it is in the fetched window. */
static const struct ph_json *row_at(const struct ph_model *model, const struct children *children,
                                    uint64_t index)
{
    const struct ph_data *data = fresh(model, children, PH_SLOT_CHILDREN);
    if (!data || index < first_row(data) || index - first_row(data) >= data->count)
        return NULL;
    return &data->rows[index - first_row(data)];
}

static const char *id_at(const struct ph_model *model, const struct children *children,
                         uint64_t index)
{
    const struct ph_json *row = row_at(model, children, index);
    const char *id = row ? ph_json_text(row, "id") : NULL;
    return id ? id : "";
}

/* New rows: where has the child under the cursor gone? */
static void stick(struct children *children, const struct ph_model *model)
{
    const struct ph_data *data = fresh(model, children, PH_SLOT_CHILDREN);
    if (!data || !*children->id || !strcmp(id_at(model, children, children->cursor), children->id))
        return;
    for (size_t i = 0; i < data->count; i++) {
        uint64_t index = first_row(data) + i;
        if (strcmp(id_at(model, children, index), children->id))
            continue;
        uint64_t line = children->cursor - children->top;
        children->cursor = index;
        children->top = index > line ? index - line : 0;
        return;
    }
}

static void want_window(struct children *children, struct ph_wants *wants, uint64_t count)
{
    uint64_t end = children->top + children->page;
    bool covered = children->wanted <= children->top &&
                   (end <= children->wanted + children->wanted_rows ||
                    (count && end > count && children->wanted + children->wanted_rows >= count));
    uint64_t rows = children->page * 3 < WINDOW_MAX ? children->page * 3 : WINDOW_MAX;
    if (!covered || children->wanted_rows != rows) {
        uint64_t before = (rows - children->page) / 2;
        children->wanted_rows = rows;
        children->wanted = children->top > before ? children->top - before : 0;
    }
    struct ph_text where = PH_TEXT_INIT;
    ph_put_filter(&where, "id", children->filter);
    ph_want(wants, PH_SLOT_CHILDREN, tag_of(children, children->wanted),
            "children sort=%s%s limit=%llu offset=%llu%s", children->reverse ? "-" : "",
            columns[children->sort].sort, (unsigned long long)children->wanted_rows,
            (unsigned long long)children->wanted, ph_text_str(&where));
    if (*children->filter)
        ph_want(wants, PH_SLOT_COUNT, tag_of(children, 0), "count%s", ph_text_str(&where));
    ph_text_fini(&where);
}

/* Rows of the list on a screen of `rows` rows: without the filter line and the heading. */
static uint64_t list_rows(int rows)
{
    return rows > 3 ? (uint64_t)(rows - 2) : 1;
}

static void children_update(void *state, const struct ph_model *model, int rows, int cols,
                            struct ph_wants *wants)
{
    (void)cols;
    struct children *children = state;
    uint64_t count;
    children->page = list_rows(rows);
    stick(children, model);
    if (count_of(model, children, &count))
        ph_cursor_settle(count, children->page, &children->cursor, &children->top);
    snprintf(children->id, sizeof children->id, "%s", id_at(model, children, children->cursor));
    snprintf(wants->selected, sizeof wants->selected, "%s", children->id);
    want_window(children, wants, count);
}

static unsigned ask(const struct children *children, const char *verb, const char *rest,
                    struct ph_request *request, unsigned reaction)
{
    if (!*children->id) {
        request->message = "no child under the cursor";
        return PH_REACT_SAY;
    }
    ph_text_printf(&request->command, "%s ", verb);
    ph_put_word(&request->command, children->id);
    ph_text_put(&request->command, rest);
    request->children = 1;
    snprintf(request->id, sizeof request->id, "%s", children->id);
    return reaction;
}

/* From the top, because other rows come. */
static unsigned restart_list(struct children *children)
{
    children->cursor = children->top = 0;
    children->generation++;
    *children->id = '\0';
    return PH_REACT_DRAW | PH_REACT_UPDATE;
}

static unsigned sort_next(struct children *children)
{
    do {
        children->sort = (children->sort + 1) % (unsigned)PH_COUNT_OF(columns);
    } while (!columns[children->sort].sort);
    return restart_list(children);
}

static unsigned children_key(void *state, const struct ph_model *model, enum ph_action action,
                             struct ph_request *request)
{
    struct children *children = state;
    uint64_t count;
    (void)count_of(model, children, &count);
    if (ph_cursor_key(action, count, children->page, &children->cursor)) {
        *children->id = '\0';
        return PH_REACT_DRAW | PH_REACT_UPDATE;
    }
    if (action == PH_ACTION_SORT)
        return sort_next(children);
    if (action == PH_ACTION_REVERSE) {
        children->reverse = !children->reverse;
        return restart_list(children);
    }
    if (action == PH_ACTION_OPEN)
        return ask(children, "child", "", request, PH_REACT_DETAIL);
    if (action == PH_ACTION_LOGS) {
        request->view = 5;
        return ask(children, "logs", "", request, PH_REACT_VIEW);
    }
    if (action == PH_ACTION_STOP)
        return ask(children, "stop", "", request, PH_REACT_RUN);
    if (action == PH_ACTION_RESTART)
        return ask(children, "restart", "", request, PH_REACT_RUN);
    if (action == PH_ACTION_SIGNAL)
        return ask(children, "signal", " TERM", request, PH_REACT_EDIT | PH_REACT_RUN);
    if (action == PH_ACTION_MIGRATE)
        return ask(children, "migrate", " to ", request, PH_REACT_EDIT | PH_REACT_RUN);
    if (action == PH_ACTION_UNPIN)
        return ask(children, "unpin", "", request, PH_REACT_RUN);
    return PH_REACT_NONE;
}

static void children_filter(void *state, const char *text)
{
    struct children *children = state;
    snprintf(children->filter, sizeof children->filter, "%s", text);
    restart_list(children);
    children->filtered = children->generation;
}

/* ---- Drawing ---- */

/* With several nodes it is more important where a child runs than how much waits for it. */
static int priority_of(const struct column *column, bool several)
{
    if (several && strcmp(column->key, "nodes") == 0)
        return 2;
    if (several && (strcmp(column->key, "queue") == 0 || strcmp(column->key, "kind") == 0))
        return column->priority + 1;
    return column->priority;
}

/* The widest set of columns for `cols`: those of low priority go first. */
static int fit_columns(int cols, bool several, int *id_width)
{
    for (int priority = 6; priority > 1; priority--) {
        int used = 2;
        for (size_t i = 0; i < PH_COUNT_OF(columns); i++)
            used += priority_of(&columns[i], several) <= priority ? columns[i].width + 1 : 0;
        *id_width = cols - used;
        if (*id_width >= 20)
            return priority;
    }
    *id_width = cols - 2 - columns[1].width - 1;
    return 1;
}

static const char *cell_text(const struct column *column, const struct ph_json *row, char *out)
{
    const char *text = ph_json_text(row, column->key);
    if (!text || !*text)
        return "-";
    if (!strcmp(column->key, "uptime_ms"))
        return ph_human_duration(ph_json_uint(row, column->key, 0), out);
    if (!strcmp(column->key, "queue") || !strcmp(column->key, "restarts"))
        return ph_human_count(ph_json_uint(row, column->key, 0), out);
    return text;
}

static void draw_cell(struct ph_grid *grid, int row, int col, int width,
                      const struct column *column, const struct ph_json *object)
{
    char human[PH_HUMAN_MAX];
    const char *text = cell_text(column, object, human);
    if (!strcmp(column->key, "state")) {
        const struct ph_state_look *look = ph_theme_state(text);
        ph_grid_rune(grid, row, col, (uint16_t)look->style, look->glyph, look->ascii);
        ph_grid_put(grid, row, col + 2, width - 2, (uint16_t)look->style, text);
    } else if (column->right) {
        ph_grid_put_right(grid, row, col, width, PH_STYLE_TEXT, text);
    } else {
        ph_grid_put(grid, row, col, width, PH_STYLE_TEXT, text);
    }
}

/* The heading when `object` is NULL. */
static void draw_row(struct ph_grid *grid, int row, const struct children *children,
                     const struct ph_model *model, const struct ph_json *object)
{
    bool several = ph_model_uint(model, "nodes") > 1;
    int id_width, col = 2, priority = fit_columns(grid->cols, several, &id_width);
    for (unsigned i = 0; i < PH_COUNT_OF(columns); i++) {
        const struct column *column = &columns[i];
        int width = column->width ? column->width : id_width;
        if (priority_of(column, several) > priority)
            continue;
        uint16_t style = i == children->sort ? PH_STYLE_HEAD | PH_TAGGED : PH_STYLE_HEAD;
        if (object)
            draw_cell(grid, row, col, width, column, object);
        else if (column->right)
            ph_grid_put_right(grid, row, col, width, style, column->title);
        else
            ph_grid_put(grid, row, col, width, style, column->title);
        col += width + 1;
    }
}

static void draw_summary(struct ph_grid *grid, const struct children *children,
                         const struct ph_model *model)
{
    char shown[PH_HUMAN_MAX], all[PH_HUMAN_MAX], text[128];
    uint64_t count;
    bool known = count_of(model, children, &count);
    snprintf(text, sizeof text, " %s of %s  sort %s %s", known ? ph_human_count(count, shown) : "?",
             ph_human_count(ph_model_uint(model, "children"), all), columns[children->sort].sort,
             children->reverse ? "desc" : "asc");
    int width = ph_grid_width(grid, text);
    ph_grid_printf(grid, 0, 1, grid->cols - width - 3, PH_STYLE_HEAD, "/ %s",
                   *children->filter ? children->filter : "all children");
    ph_grid_put_right(grid, 0, grid->cols - width - 1, width, PH_STYLE_TEXT, text);
}

static const struct ph_data *failure(const struct ph_model *model, const struct children *children)
{
    static const enum ph_slot slots[] = {PH_SLOT_CHILDREN, PH_SLOT_COUNT};
    for (size_t i = 0; i < PH_COUNT_OF(slots); i++) {
        const struct ph_data *data = fresh(model, children, slots[i]);
        if (data && data->code)
            return data;
    }
    return NULL;
}

static void children_draw(const void *state, const struct ph_model *model, struct ph_grid *grid)
{
    const struct children *children = state;
    draw_summary(grid, children, model);
    draw_row(grid, 1, children, model, NULL);
    const struct ph_data *failed = failure(model, children);
    if (failed) {
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_BAD, ph_text_str(&failed->error));
        return;
    }
    uint64_t count;
    if (count_of(model, children, &count) && !count)
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_DIM,
                    *children->filter ? "no child matches" : "no children yet  (:start ID SPEC)");
    for (uint64_t i = 0; i < children->page; i++) {
        int row = 2 + (int)i;
        const struct ph_json *object = row_at(model, children, children->top + i);
        if (object)
            draw_row(grid, row, children, model, object);
        else if (children->top + i < count)
            ph_grid_put(grid, row, 2, grid->cols - 2, PH_STYLE_DIM, "...");
        if (children->top + i == children->cursor && children->cursor < count) {
            ph_grid_rune(grid, row, 0, PH_STYLE_TEXT, '>', '>');
            ph_grid_mark(grid, row, 0, grid->cols, PH_CURSOR);
        }
    }
}

const struct ph_view ph_view_children = {
    .name = "children",
    .title = "Children",
    .init = children_init,
    .fini = children_fini,
    .update = children_update,
    .key = children_key,
    .draw = children_draw,
    .filter = children_filter,
};
