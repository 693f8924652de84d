/* The overview: the node, its children by state, the gate, throughput, locks and the last events.
 */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tui/nodes.h"
#include "tui/theme.h"
#include "tui/view.h"

static void *overview_init(const struct ph_view *view)
{
    (void)view;
    return ph_alloc(1);
}

static void overview_fini(void *state)
{
    ph_free(state);
}

static void overview_update(void *state, const struct ph_model *model, int rows, int cols,
                            struct ph_wants *wants)
{
    (void)state;
    (void)rows;
    (void)cols;
    ph_want_events(wants, model, "");
    ph_want(wants, PH_SLOT_LOCKS, 0, "locks");
    ph_want(wants, PH_SLOT_NODES, 0, "nodes");
}

static unsigned overview_key(void *state, const struct ph_model *model, enum ph_action action,
                             struct ph_request *request)
{
    (void)state;
    (void)model;
    (void)action;
    (void)request;
    return PH_REACT_NONE;
}

struct line {
    struct ph_grid *grid;
    int row, col;
};

/* "Children 1,204  " */
static void put_number(struct line *line, const char *label, uint64_t value)
{
    char number[PH_HUMAN_MAX];
    line->col += ph_grid_printf(line->grid, line->row, line->col, line->grid->cols - line->col - 1,
                                PH_STYLE_TEXT, "%s %s  ", label, ph_human_count(value, number));
}

static void draw_node(struct ph_grid *grid, const struct ph_model *model)
{
    struct line line = {grid, 0, 1};
    char uptime[PH_HUMAN_MAX];
    put_number(&line, "Children", ph_model_uint(model, "children"));
    put_number(&line, "Nodes", ph_model_uint(model, "nodes"));
    if (ph_model_uint(model, "migrating"))
        put_number(&line, "Migrating", ph_model_uint(model, "migrating"));
    else
        put_number(&line, "Restarts", ph_model_uint(model, "restarts"));
    put_number(&line, "Events", ph_model_uint(model, "events"));
    ph_grid_printf(grid, 0, line.col, grid->cols - line.col, PH_STYLE_TEXT, "Up %s  ",
                   ph_human_duration(ph_model_uint(model, "uptime_ms"), uptime));
    bool settled = ph_model_flag(model, "settled");
    if (ph_model_flag(model, "partitioned"))
        ph_grid_put_right(grid, 0, grid->cols - 12, 12, PH_STYLE_LOST, "PARTITIONED");
    else if (ph_model_flag(model, "paused"))
        ph_grid_put_right(grid, 0, grid->cols - 13, 13, PH_STYLE_BUSY, " moves paused");
    else if (model->data[PH_SLOT_STATUS])
        ph_grid_put_right(grid, 0, grid->cols - 10, 10, settled ? PH_STYLE_GOOD : PH_STYLE_BUSY,
                          settled ? " settled" : " changing");
}

static void draw_states(struct ph_grid *grid, int row, const struct ph_model *model)
{
    int col = 1;
    const struct ph_state_look *look;
    for (unsigned i = 0; (look = ph_theme_state_at(i)); i++) {
        uint64_t count = ph_model_uint(model, look->state);
        bool always = !strcmp(look->state, "running") || !strcmp(look->state, "failed");
        if (!count && !always)
            continue;
        char number[PH_HUMAN_MAX];
        uint16_t style = count ? (uint16_t)look->style : PH_STYLE_TEXT;
        ph_grid_rune(grid, row, col, style, look->glyph, look->ascii);
        col += 2 + ph_grid_printf(grid, row, col + 2, grid->cols - col - 2, style, "%s %s  ",
                                  look->state, ph_human_count(count, number));
    }
}

static void draw_gate(struct ph_grid *grid, int row, const struct ph_model *model)
{
    char number[PH_HUMAN_MAX], whole[PH_HUMAN_MAX];
    uint64_t level = ph_model_uint(model, "level");
    if (!level) {
        ph_grid_put(grid, row, 1, grid->cols - 1, PH_STYLE_TEXT, "Gate open");
        return;
    }
    const char *reason = ph_model_text(model, "reason");
    int col = 1;
    col += ph_grid_printf(grid, row, col, grid->cols - col, PH_STYLE_WARN,
                          "Gate at level %llu  held by %s%s%s%s  ", (unsigned long long)level,
                          ph_model_text(model, "holder"), *reason ? " (" : "", reason,
                          *reason ? ")" : "");
    ph_grid_printf(grid, row, col, grid->cols - col, PH_STYLE_TEXT, "%s events wait",
                   ph_human_count(ph_model_uint(model, "held"), number));
    uint64_t left = ph_model_lock_left(model);
    if (left == UINT64_MAX) {
        ph_grid_put(grid, row + 1, 1, grid->cols - 1, PH_STYLE_WARN, "until it is released");
        return;
    }
    int width = grid->cols / 3;
    ph_grid_bar(grid, row + 1, 1, width, PH_STYLE_WARN,
                (struct ph_share){left, model->lock_whole_ms});
    ph_grid_printf(grid, row + 1, width + 2, grid->cols - width - 2, PH_STYLE_TEXT,
                   "opens in %s of %s", ph_human_duration(left, number),
                   ph_human_duration(model->lock_whole_ms, whole));
}

/* Round numbers at the axis: the next 1, 2 or 5 times a power of ten. */
static uint64_t round_up(uint64_t value)
{
    static const uint64_t steps[] = {1, 2, 5};
    for (uint64_t power = 1;; power *= 10) {
        for (size_t i = 0; i < PH_COUNT_OF(steps); i++) {
            if (power * steps[i] >= value)
                return power * steps[i];
        }
    }
}

static uint64_t highest_rate(const struct ph_model *model, int columns)
{
    uint64_t high = 0;
    for (int i = 0; i < columns; i++) {
        uint64_t rate = ph_model_rate(model, (unsigned)i);
        high = rate > high ? rate : high;
    }
    return high;
}

static void draw_axis(struct ph_grid *grid, int columns)
{
    int row = grid->rows - 1;
    char text[16];
    snprintf(text, sizeof text, "-%d s", columns);
    ph_grid_put(grid, row, 7, 10, PH_STYLE_DIM, text);
    if (columns > 30) {
        snprintf(text, sizeof text, "-%d s", columns / 2);
        ph_grid_put(grid, row, 7 + columns / 2, 10, PH_STYLE_DIM, text);
    }
    ph_grid_put_right(grid, row, grid->cols - 6, 5, PH_STYLE_DIM, "now");
}

/* One column a second, the newest at the right; as many as there is room for. */
static void draw_graph(struct ph_grid *grid, const struct ph_model *model)
{
    int columns = grid->cols - 8;
    columns = columns > PH_RATES ? PH_RATES : columns < 0 ? 0 : columns;
    uint64_t high = highest_rate(model, columns), scale = round_up(high > 10 ? high : 10);
    char now[PH_HUMAN_MAX], max[PH_HUMAN_MAX], heading[128];
    uint32_t last = ph_model_rate(model, 1), current = ph_model_rate(model, 0);
    snprintf(heading, sizeof heading, "EVENTS/s  now %s  max %s",
             ph_human_short(last > current ? last : current, now), ph_human_short(high, max));
    ph_grid_rule(grid, 0, PH_STYLE_HEAD, heading);
    int height = grid->rows - 2;
    for (int y = 0; y < height; y++)
        ph_grid_rune(grid, 1 + y, 6, PH_STYLE_DIM, y + 1 < height ? 0x2502 : 0x2514,
                     y + 1 < height ? '|' : '+');
    ph_grid_put_right(grid, 1, 0, 5, PH_STYLE_DIM, ph_human_short(scale, now));
    ph_grid_put_right(grid, height, 0, 5, PH_STYLE_DIM, "0");
    struct ph_grid plot = ph_grid_part(grid, 1, grid->cols - 1 - columns, height, columns);
    for (int i = 0; i < columns; i++)
        ph_grid_column(&plot, columns - 1 - i, PH_STYLE_GOOD,
                       (struct ph_share){ph_model_rate(model, (unsigned)i), scale});
    draw_axis(grid, columns);
}

static void draw_lock(struct ph_grid *grid, int row, const struct ph_json *lock)
{
    char number[PH_HUMAN_MAX];
    uint64_t left = ph_json_uint(lock, "left_ms", UINT64_MAX);
    const char *name = ph_json_text(lock, "name"), *reason = ph_json_text(lock, "reason");
    ph_grid_put(grid, row, 1, 24, PH_STYLE_WARN, name ? name : "?");
    ph_grid_printf(
        grid, row, 26, 12, PH_STYLE_TEXT, "level %llu",
        (unsigned long long)ph_json_uint(lock, "priority", ph_json_uint(lock, "level", 0)));
    ph_grid_printf(grid, row, 38, grid->cols - 38, PH_STYLE_TEXT, "%s%s%s",
                   left == UINT64_MAX ? "until released" : ph_human_duration(left, number),
                   reason ? "  " : "", reason ? reason : "");
}

static void draw_locks(struct ph_grid *grid, const struct ph_model *model)
{
    const struct ph_data *locks = model->data[PH_SLOT_LOCKS];
    char heading[32];
    size_t count = locks ? locks->count : 0;
    snprintf(heading, sizeof heading, "LOCKS %zu", count);
    ph_grid_rule(grid, 0, PH_STYLE_HEAD, heading);
    for (size_t i = 0; i < count && (int)i + 1 < grid->rows; i++)
        draw_lock(grid, (int)i + 1, &locks->rows[i]);
}

static void draw_event(struct ph_grid *grid, int row, const struct ph_json *event)
{
    char clock[PH_HUMAN_MAX];
    const char *type = ph_json_text(event, "type"), *id = ph_json_text(event, "id");
    const char *text = ph_json_text(event, "text");
    ph_grid_printf(grid, row, 1, 8, PH_STYLE_DIM, "%.8s",
                   ph_human_clock(ph_json_text(event, "time"), clock));
    int col = 11 + ph_grid_put(grid, row, 11, grid->cols - 11, PH_STYLE_TEXT, type ? type : "?");
    ph_grid_printf(grid, row, col, grid->cols - col, PH_STYLE_TEXT, "  %s%s%s", id ? id : "",
                   id && text && *id && *text ? "  " : "", text ? text : "");
}

static void draw_events(struct ph_grid *grid, const struct ph_model *model)
{
    ph_grid_rule(grid, 0, PH_STYLE_HEAD, "LAST EVENTS");
    for (int row = 1; row < grid->rows; row++) {
        const struct ph_json *event = ph_model_event(model, (size_t)row - 1);
        if (!event)
            return;
        draw_event(grid, row, event);
    }
}

/* The members, when there are others. Returns the rows taken, a blank one below them included. */
static int draw_nodes(struct ph_grid *grid, int top, const struct ph_model *model)
{
    const struct ph_data *nodes = model->data[PH_SLOT_NODES];
    int room = (grid->rows - top) / 3 - 2;
    if (!nodes || nodes->code || nodes->count < 2 || room < 1)
        return 0;
    int shown = (size_t)room < nodes->count ? room : (int)nodes->count;
    uint64_t most = ph_nodes_most_children(nodes);
    struct ph_grid part = ph_grid_part(grid, top, 0, shown + 2, grid->cols);
    ph_nodes_draw_row(&part, 0, NULL, most);
    for (int i = 0; i < shown; i++)
        ph_nodes_draw_row(&part, 1 + i, &nodes->rows[i], most);
    if ((size_t)shown < nodes->count)
        ph_grid_printf(&part, shown + 1, 2, grid->cols - 2, PH_STYLE_DIM, "%zu more  (7)",
                       nodes->count - (size_t)shown);
    return shown + 1 + ((size_t)shown < nodes->count);
}

/* Shares the rows below the gate among nodes, graph, locks and events; small screens lose locks
 * first. */
static void overview_draw(const void *state, const struct ph_model *model, struct ph_grid *grid)
{
    (void)state;
    const struct ph_data *locks = model->data[PH_SLOT_LOCKS];
    int top = 4 + draw_nodes(grid, 4, model), rest = grid->rows - top, lock_rows = 0;
    draw_node(grid, model);
    draw_states(grid, 1, model);
    draw_gate(grid, 2, model);
    if (locks && locks->count && rest >= 14)
        lock_rows = 1 + (locks->count < 4 ? (int)locks->count : 4);
    int graph_rows = rest >= 10 ? (rest - lock_rows) * 3 / 5 : 0;
    graph_rows = graph_rows > 16 ? 16 : graph_rows;
    struct ph_grid part = ph_grid_part(grid, top, 0, graph_rows, grid->cols);
    if (graph_rows)
        draw_graph(&part, model);
    part = ph_grid_part(grid, top + graph_rows, 0, lock_rows, grid->cols);
    if (lock_rows)
        draw_locks(&part, model);
    top += graph_rows + lock_rows;
    part = ph_grid_part(grid, top, 0, grid->rows - top, grid->cols);
    draw_events(&part, model);
}

const struct ph_view ph_view_overview = {
    .name = "overview",
    .title = "Overview",
    .init = overview_init,
    .fini = overview_fini,
    .update = overview_update,
    .key = overview_key,
    .draw = overview_draw,
};
