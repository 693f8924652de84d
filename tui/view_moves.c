/*
 * The moves: those under way and the last ones that ended, with phase, mode, bytes and age; what
 * is still to move as a whole; why the one under the cursor failed; on wide screens who gave how
 * much to whom. Keys hold all moves up, let them go on, and call off those that are being prepared.
 */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tui/theme.h"
#include "tui/view.h"

enum { FLOW_NODES = 6, FLOW_COLS = 46, WIDE_COLS = 118, AROUND = 4, STEPS = 5 };

struct moves {
    uint64_t cursor, top, page;
    uint64_t most; /* the largest number of migrating since nothing moved: the whole of the bar */
    char id[PH_ID_MAX + 1];
};

struct column {
    const char *key, *title;
    int width; /* 0: what is left */
    int least; /* columns of a grid that still has it */
    bool right;
};

static const struct column columns[] = {
    {"id", "CHILD", 0, 0, false},    {"from", "FROM", 8, 0, false},  {"to", "TO", 8, 0, false},
    {"phase", "PHASE", 9, 0, false}, {"steps", "", 7, 76, false},    {"mode", "MODE", 4, 50, false},
    {"bytes", "BYTES", 8, 60, true}, {"age_ms", "AGE", 8, 50, true},
};

static void *moves_init(const struct ph_view *view)
{
    (void)view;
    return ph_alloc(sizeof(struct moves));
}

static void moves_fini(void *state)
{
    ph_free(state);
}

static const struct ph_data *data_of(const struct ph_model *model)
{
    const struct ph_data *data = model->data[PH_SLOT_MOVES];
    return data && !data->code ? data : NULL;
}

static uint64_t count_of(const struct ph_model *model)
{
    const struct ph_data *data = data_of(model);
    return data ? data->count : 0;
}

static void note_cursor(struct moves *moves, const struct ph_model *model)
{
    const struct ph_data *data = data_of(model);
    const char *id =
        data && moves->cursor < data->count ? ph_json_text(&data->rows[moves->cursor], "id") : NULL;
    snprintf(moves->id, sizeof moves->id, "%s", id ? id : "");
}

static void moves_update(void *state, const struct ph_model *model, int rows, int cols,
                         struct ph_wants *wants)
{
    (void)cols;
    struct moves *moves = state;
    uint64_t migrating = ph_model_uint(model, "migrating");
    moves->page = rows > AROUND ? (uint64_t)(rows - AROUND) : 1;
    moves->most = !migrating || migrating > moves->most ? migrating : moves->most;
    ph_cursor_settle(count_of(model), moves->page, &moves->cursor, &moves->top);
    note_cursor(moves, model);
    snprintf(wants->selected, sizeof wants->selected, "%s", moves->id);
    ph_want(wants, PH_SLOT_MOVES, 0, "migrations");
}

/* What is ordered is so on every node of the hub. */
static unsigned hold(const struct ph_model *model, struct ph_request *request)
{
    ph_text_printf(&request->command, "migrations %s",
                   ph_model_flag(model, "paused") ? "resume" : "pause");
    request->children = ph_model_uint(model, "migrating");
    return PH_REACT_RUN;
}

/* Of the move under the cursor. */
static unsigned steer(const struct moves *moves, const char *verb, struct ph_request *request,
                      unsigned reaction)
{
    if (!*moves->id) {
        request->message = "no move under the cursor";
        return PH_REACT_SAY;
    }
    if (verb) {
        ph_text_printf(&request->command, "migrations %s ", verb);
        ph_put_word(&request->command, moves->id);
    }
    request->children = 1;
    snprintf(request->id, sizeof request->id, "%s", moves->id);
    return reaction;
}

static unsigned moves_key(void *state, const struct ph_model *model, enum ph_action action,
                          struct ph_request *request)
{
    struct moves *moves = state;
    if (ph_cursor_key(action, count_of(model), moves->page, &moves->cursor)) {
        note_cursor(moves, model);
        return PH_REACT_DRAW | PH_REACT_UPDATE;
    }
    if (action == PH_ACTION_HOLD)
        return hold(model, request);
    if (action == PH_ACTION_RETRY)
        return steer(moves, "retry", request, PH_REACT_RUN);
    if (action == PH_ACTION_ABORT)
        return steer(moves, "abort", request, PH_REACT_RUN);
    if (action == PH_ACTION_OPEN)
        return steer(moves, NULL, request, PH_REACT_DETAIL);
    return PH_REACT_NONE;
}

/* ---- Drawing ---- */

static const struct phase {
    const char *name;
    unsigned steps; /* of STEPS; a cold move begins with saving */
    enum ph_style style;
} phases[] = {
    {"preparing", 1, PH_STYLE_BUSY}, {"standby", 2, PH_STYLE_BUSY}, {"copying", 3, PH_STYLE_BUSY},
    {"saving", 3, PH_STYLE_MOVE},    {"sent", 4, PH_STYLE_MOVE},    {"starting", 4, PH_STYLE_MOVE},
    {"done", STEPS, PH_STYLE_GOOD},  {"failed", 0, PH_STYLE_BAD},
};

static const struct phase *phase_of(const struct ph_json *row)
{
    static const struct phase unknown = {"", 0, PH_STYLE_MOVE};
    const char *name = ph_json_text(row, "phase");
    for (size_t i = 0; name && i < PH_COUNT_OF(phases); i++)
        if (strcmp(phases[i].name, name) == 0)
            return &phases[i];
    return &unknown;
}

static const char *text_of(const struct ph_json *row, const char *key, char *human)
{
    const char *text = ph_json_text(row, key);
    if (strcmp(key, "bytes") == 0)
        return ph_human_short(ph_json_uint(row, key, 0), human);
    if (strcmp(key, "age_ms") == 0)
        return ph_human_duration(ph_json_uint(row, key, 0), human);
    return text && *text ? text : "-";
}

/* Width of the id's column in a grid of that width. */
static int id_width(int cols)
{
    int left = cols - 3;
    for (size_t i = 1; i < PH_COUNT_OF(columns); i++)
        left -= cols >= columns[i].least ? columns[i].width + 1 : 0;
    return left > 8 ? left : 8;
}

static void draw_cell(struct ph_grid *grid, int row, int col, int width,
                      const struct column *column, const struct ph_json *move)
{
    char human[PH_HUMAN_MAX];
    const struct phase *phase = phase_of(move);
    uint16_t style =
        strcmp(column->key, "phase") == 0 ? (uint16_t)phase->style : (uint16_t)PH_STYLE_TEXT;
    if (strcmp(column->key, "steps") == 0)
        ph_grid_bar(grid, row, col, width, (uint16_t)phase->style,
                    (struct ph_share){phase->steps, STEPS});
    else if (column->right)
        ph_grid_put_right(grid, row, col, width, style, text_of(move, column->key, human));
    else
        ph_grid_put(grid, row, col, width, style, text_of(move, column->key, human));
}

/* The heading when `move` is NULL. */
static void draw_row(struct ph_grid *grid, int row, const struct ph_json *move)
{
    int col = 2;
    for (size_t i = 0; i < PH_COUNT_OF(columns); i++) {
        const struct column *column = &columns[i];
        int width = column->width ? column->width : id_width(grid->cols);
        if (grid->cols < column->least)
            continue;
        if (move)
            draw_cell(grid, row, col, width, column, move);
        else if (column->right)
            ph_grid_put_right(grid, row, col, width, PH_STYLE_HEAD, column->title);
        else
            ph_grid_put(grid, row, col, width, PH_STYLE_HEAD, column->title);
        col += width + 1;
    }
}

static void count_phases(const struct ph_data *data, unsigned *flying, unsigned *failed)
{
    *flying = *failed = 0;
    for (size_t i = 0; data && i < data->count; i++) {
        const struct phase *phase = phase_of(&data->rows[i]);
        *failed += phase->style == PH_STYLE_BAD;
        *flying += phase->style != PH_STYLE_BAD && phase->style != PH_STYLE_GOOD;
    }
}

/* What is left of the whole. */
static void draw_total(struct ph_grid *grid, const struct moves *moves,
                       const struct ph_model *model)
{
    char left[PH_HUMAN_MAX], whole[PH_HUMAN_MAX], text[96];
    unsigned flying, failed;
    uint64_t migrating = ph_model_uint(model, "migrating");
    count_phases(data_of(model), &flying, &failed);
    snprintf(text, sizeof text, "%s%s migrating  %u in flight  %u failed",
             ph_model_flag(model, "paused") ? "PAUSED  " : "", ph_human_count(migrating, left),
             flying, failed);
    int width = ph_grid_width(grid, text);
    ph_grid_put(grid, 0, 1, grid->cols - width - 3, PH_STYLE_HEAD, "Moves");
    ph_grid_put_right(grid, 0, grid->cols - width - 1, width,
                      failed || ph_model_flag(model, "paused") ? PH_STYLE_WARN : PH_STYLE_TEXT,
                      text);
    if (!migrating) {
        ph_grid_put(grid, 1, 1, grid->cols - 1, PH_STYLE_GOOD, "every child is where it belongs");
        return;
    }
    int bar = grid->cols - 30;
    uint64_t most = moves->most > migrating ? moves->most : migrating;
    ph_grid_put(grid, 1, 1, 6, PH_STYLE_HEAD, "TOTAL");
    ph_grid_bar(grid, 1, 7, bar, PH_STYLE_MOVE, (struct ph_share){most - migrating, most});
    ph_grid_printf(grid, 1, bar + 8, grid->cols - bar - 8, PH_STYLE_TEXT, "%s of %s left",
                   ph_human_short(migrating, left), ph_human_short(most, whole));
}

/* ---- Flow: who gave how much to whom, of the moves that are listed ---- */

struct flow {
    const char *names[FLOW_NODES];
    unsigned count[FLOW_NODES][FLOW_NODES]; /* from, to */
    int nodes;
};

static int place_of(struct flow *flow, const char *name)
{
    int at = 0;
    while (at < flow->nodes && strcmp(flow->names[at], name) != 0)
        at++;
    if (at == flow->nodes && flow->nodes < FLOW_NODES)
        flow->names[flow->nodes++] = name;
    return at < FLOW_NODES ? at : -1;
}

static void gather(struct flow *flow, const struct ph_data *data)
{
    for (size_t i = 0; i < data->count; i++) {
        const struct ph_json *row = &data->rows[i];
        const char *from = ph_json_text(row, "from"), *to = ph_json_text(row, "to");
        if (!from || !to || phase_of(row)->style == PH_STYLE_BAD)
            continue;
        int a = place_of(flow, from), b = place_of(flow, to);
        if (a >= 0 && b >= 0)
            flow->count[a][b]++;
    }
}

static void draw_flow(struct ph_grid *grid, const struct ph_data *data)
{
    struct flow flow = {0};
    gather(&flow, data);
    ph_grid_rule(grid, 0, PH_STYLE_HEAD, "FLOW (moves listed, from row to column)");
    for (int to = 0; to < flow.nodes; to++)
        ph_grid_put_right(grid, 1, 9 + to * 6, 5, PH_STYLE_HEAD, flow.names[to]);
    for (int from = 0; from < flow.nodes; from++) {
        ph_grid_put(grid, 2 + from, 1, 8, PH_STYLE_HEAD, flow.names[from]);
        for (int to = 0; to < flow.nodes; to++) {
            char text[16];
            snprintf(text, sizeof text, "%u", flow.count[from][to]);
            ph_grid_put_right(grid, 2 + from, 9 + to * 6, 5,
                              flow.count[from][to] ? PH_STYLE_TEXT : PH_STYLE_DIM,
                              from == to ? "-" : text);
        }
    }
}

static void draw_list(struct ph_grid *grid, const struct moves *moves, const struct ph_data *data)
{
    draw_row(grid, 0, NULL);
    for (uint64_t i = 0; i < moves->page && moves->top + i < data->count; i++) {
        int row = 1 + (int)i;
        draw_row(grid, row, &data->rows[moves->top + i]);
        if (moves->top + i == moves->cursor) {
            ph_grid_rune(grid, row, 0, PH_STYLE_TEXT, '>', '>');
            ph_grid_mark(grid, row, 0, grid->cols, PH_CURSOR);
        }
    }
}

/* Why the move under the cursor failed, or waits. */
static void draw_error(struct ph_grid *grid, const struct moves *moves, const struct ph_data *data)
{
    const struct ph_json *row = moves->cursor < data->count ? &data->rows[moves->cursor] : NULL;
    const char *error = row ? ph_json_text(row, "error") : NULL;
    if (error && *error)
        ph_grid_printf(grid, grid->rows - 1, 2, grid->cols - 2, (uint16_t)phase_of(row)->style,
                       "%s: %s", moves->id, error);
}

static void moves_draw(const void *state, const struct ph_model *model, struct ph_grid *grid)
{
    const struct moves *moves = state;
    const struct ph_data *slot = model->data[PH_SLOT_MOVES], *data = data_of(model);
    draw_total(grid, moves, model);
    if (!data || !data->count) {
        uint16_t style = slot && slot->code ? PH_STYLE_BAD : PH_STYLE_DIM;
        ph_grid_put(grid, 3, 2, grid->cols - 2, style,
                    !slot        ? "..."
                    : slot->code ? ph_text_str(&slot->error)
                                 : "no moves yet");
        return;
    }
    bool wide = grid->cols >= WIDE_COLS;
    int cols = wide ? grid->cols - FLOW_COLS - 1 : grid->cols;
    struct ph_grid part = ph_grid_part(grid, 2, 0, grid->rows - 3, cols);
    draw_list(&part, moves, data);
    draw_error(grid, moves, data);
    if (!wide)
        return;
    part = ph_grid_part(grid, 2, cols + 1, grid->rows - 3, FLOW_COLS);
    draw_flow(&part, data);
}

const struct ph_view ph_view_moves = {
    .name = "moves",
    .title = "Moves",
    .init = moves_init,
    .fini = moves_fini,
    .update = moves_update,
    .key = moves_key,
    .draw = moves_draw,
};
