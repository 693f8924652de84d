/* The event stream, newest first, and all about the event under the cursor with its causes. */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "tui/theme.h"
#include "tui/view.h"

enum { FILTER_MAX = 1000, DETAIL_ROWS = 5, CAUSES_MAX = 16 };

struct events {
    uint64_t seq; /* of the event under the cursor; 0: follow the newest */
    uint64_t cursor, top, page;
    char filter[FILTER_MAX];
};

static void *events_init(const struct ph_view *view)
{
    (void)view;
    return ph_alloc(sizeof(struct events));
}

static void events_fini(void *state)
{
    ph_free(state);
}

static uint64_t seq_at(const struct ph_model *model, uint64_t back)
{
    const struct ph_json *event = ph_model_event(model, back);
    return event ? ph_json_uint(event, "seq", 0) : 0;
}

/* The cursor stays on its event while newer ones come in above it. */
static void stick(struct events *events, const struct ph_model *model)
{
    uint64_t count = model->events.count, line = events->cursor - events->top;
    if (!events->seq) {
        events->cursor = events->top = 0;
        return;
    }
    while (events->cursor + 1 < count && seq_at(model, events->cursor) > events->seq)
        events->cursor++;
    events->top = events->cursor > line ? events->cursor - line : 0;
}

static int detail_rows(int rows)
{
    return rows >= 16 ? DETAIL_ROWS : 0;
}

static void events_update(void *state, const struct ph_model *model, int rows, int cols,
                          struct ph_wants *wants)
{
    (void)cols;
    struct events *events = state;
    int page = rows - 2 - detail_rows(rows);
    events->page = page > 0 ? (uint64_t)page : 1;
    stick(events, model);
    ph_cursor_settle(model->events.count, events->page, &events->cursor, &events->top);
    ph_want_events(wants, model, events->filter);
}

static unsigned open_child(const struct events *events, const struct ph_model *model,
                           struct ph_request *request)
{
    const struct ph_json *event = ph_model_event(model, events->cursor);
    const char *id = event ? ph_json_text(event, "id") : NULL;
    if (!id || !*id) {
        request->message = "this event is not about a child";
        return PH_REACT_SAY;
    }
    snprintf(request->id, sizeof request->id, "%s", id);
    ph_text_put(&request->command, "child ");
    ph_put_word(&request->command, id);
    return PH_REACT_DETAIL;
}

static unsigned events_key(void *state, const struct ph_model *model, enum ph_action action,
                           struct ph_request *request)
{
    struct events *events = state;
    if (ph_cursor_key(action, model->events.count, events->page, &events->cursor)) {
        events->seq = events->cursor ? seq_at(model, events->cursor) : 0;
        return PH_REACT_DRAW | PH_REACT_UPDATE;
    }
    if (action == PH_ACTION_FOLLOW) {
        events->seq = events->seq ? 0 : seq_at(model, events->cursor);
        return PH_REACT_DRAW | PH_REACT_UPDATE;
    }
    if (action == PH_ACTION_OPEN)
        return open_child(events, model, request);
    return PH_REACT_NONE;
}

static void events_filter(void *state, const char *text)
{
    struct events *events = state;
    snprintf(events->filter, sizeof events->filter, "%s", text);
    events->seq = 0;
}

static const char *text_of(const struct ph_json *event, const char *key)
{
    const char *text = ph_json_text(event, key);
    return text ? text : "";
}

static void draw_heading(struct ph_grid *grid, int row)
{
    ph_grid_put(grid, row, 2, 12, PH_STYLE_HEAD, "TIME");
    ph_grid_put_right(grid, row, 15, 8, PH_STYLE_HEAD, "SEQ");
    ph_grid_put_right(grid, row, 24, 4, PH_STYLE_HEAD, "PRIO");
    ph_grid_put(grid, row, 29, grid->cols - 29, PH_STYLE_HEAD, "TYPE");
    ph_grid_put(grid, row, 50, grid->cols - 50, PH_STYLE_HEAD, "WHAT");
}

static void draw_event(struct ph_grid *grid, int row, const struct ph_json *event)
{
    char clock[PH_HUMAN_MAX];
    const char *id = text_of(event, "id"), *text = text_of(event, "text");
    ph_grid_put(grid, row, 2, 12, PH_STYLE_DIM, ph_human_clock(ph_json_text(event, "time"), clock));
    ph_grid_put_right(grid, row, 15, 8, PH_STYLE_TEXT, text_of(event, "seq"));
    ph_grid_put_right(grid, row, 24, 4, PH_STYLE_TEXT, text_of(event, "priority"));
    ph_grid_put(grid, row, 29, grid->cols < 50 ? grid->cols - 29 : 20, PH_STYLE_TEXT,
                text_of(event, "type"));
    ph_grid_printf(grid, row, 50, grid->cols - 50, PH_STYLE_TEXT, "%s%s%s", id,
                   *id && *text ? "  " : "", text);
}

static void draw_summary(struct ph_grid *grid, const struct events *events,
                         const struct ph_model *model)
{
    char text[64];
    snprintf(text, sizeof text, "%s  seq %llu", events->seq ? "follow off" : "follow on",
             (unsigned long long)model->events.last_seq);
    int width = ph_grid_width(grid, text);
    ph_grid_printf(grid, 0, 1, grid->cols - width - 3, PH_STYLE_HEAD, "/ %s",
                   *events->filter ? events->filter : "all events");
    ph_grid_put_right(grid, 0, grid->cols - width - 1, width, PH_STYLE_TEXT, text);
}

/* "17 child_started < 12 start < 11 script" */
static void put_causes(const struct ph_model *model, const struct ph_json *event,
                       struct ph_text *out)
{
    uint64_t cause = ph_json_uint(event, "cause", 0);
    for (int i = 0; cause && i < CAUSES_MAX; i++) {
        const struct ph_json *earlier = ph_model_event_seq(model, cause);
        ph_text_printf(out, "%s%llu %s", i ? " < " : "", (unsigned long long)cause,
                       earlier ? text_of(earlier, "type") : "(gone)");
        uint64_t next = earlier ? ph_json_uint(earlier, "cause", 0) : 0;
        cause = next < cause ? next : 0;
    }
    if (!out->length)
        ph_text_put(out, "none");
}

static void draw_detail(struct ph_grid *grid, const struct ph_model *model,
                        const struct ph_json *event)
{
    char heading[128];
    snprintf(heading, sizeof heading, "%.20s %.80s", text_of(event, "seq"), text_of(event, "type"));
    ph_grid_rule(grid, 0, PH_STYLE_HEAD, heading);
    ph_grid_printf(grid, 1, 1, grid->cols - 1, PH_STYLE_TEXT, "time   %s  priority %s",
                   text_of(event, "time"), text_of(event, "priority"));
    ph_grid_printf(grid, 2, 1, grid->cols - 1, PH_STYLE_TEXT, "child  %s", text_of(event, "id"));
    ph_grid_printf(grid, 3, 1, grid->cols - 1, PH_STYLE_TEXT, "text   %s", text_of(event, "text"));
    struct ph_text causes = PH_TEXT_INIT;
    put_causes(model, event, &causes);
    ph_grid_printf(grid, 4, 1, grid->cols - 1, PH_STYLE_TEXT, "cause  %s", ph_text_str(&causes));
    ph_text_fini(&causes);
}

static void events_draw(const void *state, const struct ph_model *model, struct ph_grid *grid)
{
    const struct events *events = state;
    const struct ph_data *data = model->data[PH_SLOT_EVENTS];
    draw_summary(grid, events, model);
    draw_heading(grid, 1);
    if (data && data->code)
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_BAD, ph_text_str(&data->error));
    else if (!model->events.count)
        ph_grid_put(grid, 2, 2, grid->cols - 2, PH_STYLE_DIM, "no events");
    for (uint64_t i = 0; i < events->page; i++) {
        const struct ph_json *event = ph_model_event(model, events->top + i);
        if (!event)
            break;
        draw_event(grid, 2 + (int)i, event);
        if (events->top + i == events->cursor) {
            ph_grid_rune(grid, 2 + (int)i, 0, PH_STYLE_TEXT, '>', '>');
            ph_grid_mark(grid, 2 + (int)i, 0, grid->cols, PH_CURSOR);
        }
    }
    const struct ph_json *event = ph_model_event(model, events->cursor);
    int rows = detail_rows(grid->rows);
    struct ph_grid part = ph_grid_part(grid, grid->rows - rows, 0, rows, grid->cols);
    if (event && rows)
        draw_detail(&part, model, event);
}

const struct ph_view ph_view_events = {
    .name = "events",
    .title = "Events",
    .init = events_init,
    .fini = events_fini,
    .update = events_update,
    .key = events_key,
    .draw = events_draw,
    .filter = events_filter,
};
