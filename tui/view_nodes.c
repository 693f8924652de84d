/*
 * The nodes: the members of the hub, what they hold, and how far away they are.
 */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tui/nodes.h"
#include "tui/theme.h"
#include "tui/view.h"

enum { CHILDREN_VIEW = 1 };

struct nodes {
    uint64_t cursor, top, page;
    char name[PH_NAME_MAX + 1]; /* under the cursor */
    bool draining;              /* that node */
};

static void *nodes_init(const struct ph_view *view)
{
    (void)view;
    return ph_alloc(sizeof(struct nodes));
}

static void nodes_fini(void *state)
{
    ph_free(state);
}

static const struct ph_json *row_at(const struct ph_model *model, uint64_t index)
{
    const struct ph_data *data = model->data[PH_SLOT_NODES];
    return data && !data->code && index < data->count ? &data->rows[index] : NULL;
}

static uint64_t count_of(const struct ph_model *model)
{
    const struct ph_data *data = model->data[PH_SLOT_NODES];
    return data && !data->code ? data->count : 0;
}

/* The cursor stays on its node when others come or go. */
static void stick(struct nodes *nodes, const struct ph_model *model)
{
    for (uint64_t i = 0; *nodes->name && i < count_of(model); i++) {
        const char *name = ph_json_text(row_at(model, i), "name");
        if (name && strcmp(name, nodes->name) == 0)
            nodes->cursor = i;
    }
}

static void note_cursor(struct nodes *nodes, const struct ph_model *model)
{
    const struct ph_json *row = row_at(model, nodes->cursor);
    const char *name = row ? ph_json_text(row, "name") : NULL;
    snprintf(nodes->name, sizeof nodes->name, "%s", name ? name : "");
    nodes->draining = row && ph_json_bool(row, "draining");
}

static void nodes_update(void *state, const struct ph_model *model, int rows, int cols,
                         struct ph_wants *wants)
{
    (void)cols;
    struct nodes *nodes = state;
    nodes->page = rows > 3 ? (uint64_t)(rows - 2) : 1;
    stick(nodes, model);
    ph_cursor_settle(count_of(model), nodes->page, &nodes->cursor, &nodes->top);
    note_cursor(nodes, model);
    ph_want(wants, PH_SLOT_NODES, 0, "nodes");
}

static unsigned ask(const struct nodes *nodes, const char *verb, struct ph_request *request,
                    unsigned reaction)
{
    if (!*nodes->name) {
        request->message = "no node under the cursor";
        return PH_REACT_SAY;
    }
    ph_text_printf(&request->command, "%s ", verb);
    ph_put_word(&request->command, nodes->name);
    return reaction;
}

static unsigned nodes_key(void *state, const struct ph_model *model, enum ph_action action,
                          struct ph_request *request)
{
    struct nodes *nodes = state;
    const struct ph_json *row = row_at(model, nodes->cursor);
    if (ph_cursor_key(action, count_of(model), nodes->page, &nodes->cursor)) {
        note_cursor(nodes, model);
        return PH_REACT_DRAW | PH_REACT_UPDATE;
    }
    if (action == PH_ACTION_OPEN) {
        request->view = CHILDREN_VIEW;
        return ask(nodes, "node =", request, PH_REACT_VIEW | PH_REACT_FILTER);
    }
    if (action == PH_ACTION_PLAN)
        return ask(nodes, "plan drain", request, PH_REACT_SHOW);
    if (action == PH_ACTION_DRAIN) {
        request->children = row && !nodes->draining ? ph_json_uint(row, "children", 0) : 0;
        return ask(nodes, nodes->draining ? "undrain" : "drain", request, PH_REACT_RUN);
    }
    return PH_REACT_NONE;
}

static void draw_summary(struct ph_grid *grid, const struct ph_model *model)
{
    char migrating[PH_HUMAN_MAX], text[96];
    snprintf(text, sizeof text, "%llu in the view  %s migrating%s",
             (unsigned long long)ph_model_uint(model, "nodes"),
             ph_human_count(ph_model_uint(model, "migrating"), migrating),
             ph_model_flag(model, "partitioned") ? "  PARTITIONED" : "");
    int width = ph_grid_width(grid, text);
    ph_grid_put(grid, 0, 1, grid->cols - width - 3, PH_STYLE_HEAD, "Nodes");
    ph_grid_put_right(grid, 0, grid->cols - width - 1, width, PH_STYLE_TEXT, text);
}

static void nodes_draw(const void *state, const struct ph_model *model, struct ph_grid *grid)
{
    const struct nodes *nodes = state;
    const struct ph_data *data = model->data[PH_SLOT_NODES];
    draw_summary(grid, model);
    if (data && data->code) {
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_BAD, ph_text_str(&data->error));
        return;
    }
    if (!data) {
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_DIM, "...");
        return;
    }
    uint64_t most = ph_nodes_most_children(data);
    ph_nodes_draw_row(grid, 1, NULL, most);
    for (uint64_t i = 0; i < nodes->page && nodes->top + i < data->count; i++) {
        int row = 2 + (int)i;
        ph_nodes_draw_row(grid, row, &data->rows[nodes->top + i], most);
        if (nodes->top + i == nodes->cursor) {
            ph_grid_rune(grid, row, 0, PH_STYLE_TEXT, '>', '>');
            ph_grid_mark(grid, row, 0, grid->cols, PH_CURSOR);
        }
    }
}

const struct ph_view ph_view_nodes = {
    .name = "nodes",
    .title = "Nodes",
    .init = nodes_init,
    .fini = nodes_fini,
    .update = nodes_update,
    .key = nodes_key,
    .draw = nodes_draw,
};
