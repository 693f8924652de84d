#include "tui/screen.h"

#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "tui/theme.h"

void ph_screen_init(struct ph_screen *screen)
{
    *screen = (struct ph_screen){0};
    ph_model_init(&screen->model);
    ph_line_init(&screen->line);
    ph_line_init(&screen->filter_line);
    for (unsigned i = 0; i < PH_VIEWS; i++)
        screen->states[i] = ph_view_at(i)->init(ph_view_at(i));
}

void ph_screen_fini(struct ph_screen *screen)
{
    for (unsigned i = 0; i < PH_VIEWS; i++)
        ph_view_at(i)->fini(screen->states[i]);
    ph_model_fini(&screen->model);
    ph_wants_fini(&screen->wants);
    ph_line_fini(&screen->line);
    ph_line_fini(&screen->filter_line);
    ph_text_fini(&screen->command);
    ph_text_fini(&screen->output);
    ph_text_fini(&screen->message);
}

static bool is_tiny(int rows, int cols)
{
    return rows < PH_SCREEN_ROWS_MIN || cols < PH_SCREEN_COLS_MIN;
}

/* Rows of the view: all but title, message line and key bar. */
static int view_rows(const struct ph_screen *screen, int rows)
{
    return rows - 3 - ph_output_rows(screen, rows - 3);
}

static void collect_wants(struct ph_screen *screen)
{
    for (enum ph_slot slot = 0; slot < PH_SLOTS; slot++) {
        ph_text_clear(&screen->wants.slot[slot].command);
        ph_text_clear(&screen->wants.slot[slot].key);
    }
    screen->wants.selected[0] = '\0';
    if (is_tiny(screen->rows, screen->cols))
        return;
    ph_view_at(screen->view)
        ->update(screen->states[screen->view], &screen->model, view_rows(screen, screen->rows),
                 screen->cols, &screen->wants);
    if (*screen->wants.selected)
        snprintf(screen->model.selected, sizeof screen->model.selected, "%s",
                 screen->wants.selected);
}

void ph_screen_update(struct ph_screen *screen, int rows, int cols)
{
    struct ph_model *model = &screen->model;
    const struct ph_want *events = &screen->wants.slot[PH_SLOT_EVENTS];
    screen->rows = rows;
    screen->cols = cols;
    collect_wants(screen);
    if (events->command.length && events->tag != model->events.tag) {
        /* The events at hand passed another filter: the stream begins anew. */
        ph_model_drop(model, PH_SLOT_EVENTS);
        model->events.tag = events->tag;
        collect_wants(screen);
    }
    if (screen->overlay == PH_OVERLAY_DETAIL) {
        struct ph_text word = PH_TEXT_INIT;
        ph_put_word(&word, screen->detail_id);
        ph_want(&screen->wants, PH_SLOT_DETAIL, 0, "child %s", ph_text_str(&word));
        ph_text_fini(&word);
    }
}

void ph_screen_say(struct ph_screen *screen, bool bad, const char *text)
{
    ph_text_clear(&screen->message);
    ph_text_append(&screen->message, text, strcspn(text, "\n"));
    screen->message_kind = bad ? PH_MESSAGE_BAD : PH_MESSAGE_INFO;
}

/* ---- Commands ---- */

static unsigned run(struct ph_screen *screen, const char *command)
{
    if (screen->running) {
        ph_screen_say(screen, true, "a command is running: wait, or end it with Ctrl-C");
        return PH_EFFECT_DRAW;
    }
    if (command != ph_text_str(&screen->command)) {
        ph_text_clear(&screen->command);
        ph_text_put(&screen->command, command);
    }
    ph_text_clear(&screen->output);
    ph_text_clear(&screen->message);
    screen->output_open = false;
    screen->output_scroll = 0;
    screen->running = true;
    return PH_EFFECT_RUN | PH_EFFECT_DRAW;
}

void ph_screen_done(struct ph_screen *screen, int code, uint64_t took_ms)
{
    char took[PH_HUMAN_MAX], text[1024];
    const char *output = ph_text_str(&screen->output);
    size_t first = strcspn(output, "\n");
    bool one_line = first + 1 >= screen->output.length && first < 300;
    screen->running = false;
    screen->output_open = !one_line;
    ph_human_duration(took_ms, took);
    if (code)
        snprintf(text, sizeof text, "failed (%d)  %.*s", code, one_line ? (int)first : 0, output);
    else
        snprintf(text, sizeof text, "ok  %s  %.*s", took, one_line ? (int)first : 0, output);
    ph_screen_say(screen, code != 0, text);
}

static unsigned confirm(struct ph_screen *screen, const char *command, uint64_t children)
{
    if (screen->running)
        return run(screen, command);
    ph_text_clear(&screen->command);
    ph_text_put(&screen->command, command);
    screen->overlay = PH_OVERLAY_CONFIRM;
    screen->consent = false;
    screen->children = children;
    return PH_EFFECT_DRAW;
}

static unsigned act(struct ph_screen *screen, enum ph_action action);

static unsigned set_filter(struct ph_screen *screen, const char *text)
{
    const struct ph_view *view = ph_view_at(screen->view);
    if (!view->filter) {
        ph_screen_say(screen, true, "this view has no filter");
        return PH_EFFECT_DRAW;
    }
    view->filter(screen->states[screen->view], text);
    return PH_EFFECT_DRAW | PH_EFFECT_FETCH;
}

/* What was typed on the `:` line: an action's name, or a command for the node. */
static unsigned run_typed(struct ph_screen *screen, const char *text)
{
    enum ph_action action = ph_keys_command(text, screen->view);
    if (action != PH_ACTION_NONE)
        return act(screen, action);
    if (!strcmp(text, "filter") || !strncmp(text, "filter ", 7))
        return set_filter(screen, text[6] ? text + 7 : "");
    return *text ? run(screen, text) : PH_EFFECT_DRAW;
}

/* ---- Keys ---- */

static struct ph_line *prompt_line(struct ph_screen *screen)
{
    return screen->prompt == PH_PROMPT_FILTER ? &screen->filter_line : &screen->line;
}

static unsigned accept_line(struct ph_screen *screen)
{
    struct ph_line *line = prompt_line(screen);
    enum ph_prompt prompt = screen->prompt;
    const char *text = ph_text_str(&line->text);
    screen->prompt = PH_PROMPT_NONE;
    ph_line_remember(line);
    while (*text == ' ')
        text++;
    if (prompt == PH_PROMPT_FILTER)
        return set_filter(screen, text);
    if (prompt == PH_PROMPT_CONFIRM)
        return confirm(screen, text, screen->children);
    return run_typed(screen, text);
}

static unsigned prompt_key(struct ph_screen *screen, int key)
{
    struct ph_line *line = prompt_line(screen);
    if (key == PH_CTRL('c')) {
        screen->prompt = PH_PROMPT_NONE;
        return PH_EFFECT_DRAW;
    }
    switch (ph_line_key(line, key)) {
    case PH_LINE_ACCEPTED:
        return accept_line(screen);
    case PH_LINE_CANCELED:
        screen->prompt = PH_PROMPT_NONE;
        return PH_EFFECT_DRAW;
    case PH_LINE_COMPLETE:
        if (screen->command_at && screen->prompt == PH_PROMPT_COMMAND)
            ph_line_complete(line, screen->command_at);
        return PH_EFFECT_DRAW;
    case PH_LINE_EDITED:
        return PH_EFFECT_DRAW;
    case PH_LINE_IGNORED:
        return 0;
    }
    return 0;
}

static unsigned confirm_key(struct ph_screen *screen, int key)
{
    bool enter = key == PH_KEY_ENTER || key == '\n';
    if (key == PH_KEY_TAB || key == PH_KEY_LEFT || key == PH_KEY_RIGHT) {
        screen->consent = !screen->consent;
        return PH_EFFECT_DRAW;
    }
    if (enter && screen->consent) {
        screen->overlay = PH_OVERLAY_NONE;
        return run(screen, ph_text_str(&screen->command));
    }
    if (enter || key == PH_KEY_ESCAPE || key == 'q' || key == 'n' || key == PH_CTRL('c')) {
        screen->overlay = PH_OVERLAY_NONE;
        ph_text_clear(&screen->command);
        ph_screen_say(screen, false, "canceled: nothing was done");
        return PH_EFFECT_DRAW;
    }
    return 0;
}

static uint64_t overlay_lines(const struct ph_screen *screen)
{
    const struct ph_data *data = screen->model.data[PH_SLOT_DETAIL];
    if (screen->overlay == PH_OVERLAY_HELP)
        return ph_help_rows(screen->view);
    return data && data->count ? data->rows[0].count : 0;
}

/* Help and detail: moves scroll, Esc closes. False: the key is for what lies below. */
static bool overlay_action(struct ph_screen *screen, enum ph_action action)
{
    int room = screen->rows - 8;
    uint64_t lines = overlay_lines(screen), page = room > 1 ? (uint64_t)room : 1;
    uint64_t most = lines > page ? lines - page : 0;
    if (ph_cursor_key(action, most + 1, page, &screen->scroll))
        return true;
    bool same = action == PH_ACTION_HELP && screen->overlay == PH_OVERLAY_HELP;
    if (action != PH_ACTION_BACK && action != PH_ACTION_OPEN && !same)
        return false;
    screen->overlay = PH_OVERLAY_NONE;
    return true;
}

/* Output that is longer than its pane takes the moves, until Esc closes it. */
static bool output_action(struct ph_screen *screen, enum ph_action action)
{
    static const struct {
        enum ph_action action;
        int64_t lines;
    } moves[] = {{PH_ACTION_DOWN, -1},       {PH_ACTION_UP, 1},
                 {PH_ACTION_PAGE_DOWN, -10}, {PH_ACTION_PAGE_UP, 10},
                 {PH_ACTION_TOP, INT32_MAX}, {PH_ACTION_BOTTOM, INT32_MIN}};
    int64_t lines = 0, rows = ph_output_rows(screen, screen->rows - 3) - 1;
    for (size_t i = 0; i < screen->output.length; i++)
        lines += screen->output.data[i] == '\n';
    for (size_t i = 0; i < PH_COUNT_OF(moves) && lines > rows; i++) {
        if (moves[i].action != action)
            continue;
        int64_t at = (int64_t)screen->output_scroll + moves[i].lines;
        at = at > lines - rows ? lines - rows : at;
        screen->output_scroll = at > 0 ? (uint64_t)at : 0;
        return true;
    }
    if (action != PH_ACTION_BACK)
        return false;
    screen->output_open = false;
    return true;
}

static unsigned go_to(struct ph_screen *screen, unsigned view)
{
    if (view != screen->view)
        screen->view_before = screen->view;
    screen->view = view;
    screen->overlay = PH_OVERLAY_NONE;
    return PH_EFFECT_DRAW | PH_EFFECT_FETCH;
}

static unsigned open_prompt(struct ph_screen *screen, enum ph_prompt prompt, const char *text)
{
    screen->prompt = prompt;
    ph_line_open(prompt_line(screen), text);
    return PH_EFFECT_DRAW;
}

static unsigned react(struct ph_screen *screen, unsigned reaction, struct ph_request *request)
{
    unsigned effect = reaction & PH_REACT_DRAW ? PH_EFFECT_DRAW : 0;
    if (reaction & PH_REACT_UPDATE)
        effect |= PH_EFFECT_FETCH;
    if (reaction & PH_REACT_SAY) {
        ph_screen_say(screen, true, request->message);
        effect |= PH_EFFECT_DRAW;
    }
    if (reaction & PH_REACT_DETAIL) {
        snprintf(screen->detail_id, sizeof screen->detail_id, "%s", request->id);
        ph_model_drop(&screen->model, PH_SLOT_DETAIL);
        screen->overlay = PH_OVERLAY_DETAIL;
        screen->scroll = 0;
        effect |= PH_EFFECT_DRAW | PH_EFFECT_FETCH;
    }
    if (reaction & PH_REACT_VIEW)
        effect |= go_to(screen, request->view);
    if (reaction & PH_REACT_FILTER)
        effect |= set_filter(screen, ph_text_str(&request->command));
    if (reaction & PH_REACT_SHOW)
        effect |= run(screen, ph_text_str(&request->command));
    if (reaction & PH_REACT_EDIT) {
        screen->children = request->children;
        effect |= open_prompt(screen, PH_PROMPT_CONFIRM, ph_text_str(&request->command));
    } else if (reaction & PH_REACT_RUN) {
        effect |= confirm(screen, ph_text_str(&request->command), request->children);
    }
    return effect;
}

static unsigned act_in_view(struct ph_screen *screen, enum ph_action action)
{
    struct ph_request request = {0};
    unsigned reaction = ph_view_at(screen->view)
                            ->key(screen->states[screen->view], &screen->model, action, &request);
    unsigned effect = react(screen, reaction, &request);
    ph_text_fini(&request.command);
    return effect;
}

static unsigned toggle_output(struct ph_screen *screen)
{
    if (!screen->output.length)
        ph_screen_say(screen, false, "no output yet: type : and a command");
    else
        screen->output_open = !screen->output_open;
    return PH_EFFECT_DRAW | PH_EFFECT_FETCH;
}

static unsigned toggle_pause(struct ph_screen *screen)
{
    screen->model.paused = !screen->model.paused;
    return PH_EFFECT_DRAW | PH_EFFECT_PAUSE | PH_EFFECT_FETCH;
}

static unsigned open_help(struct ph_screen *screen)
{
    screen->overlay = PH_OVERLAY_HELP;
    screen->scroll = 0;
    return PH_EFFECT_DRAW;
}

/* The actions that are the same in all views. */
static unsigned act_global(struct ph_screen *screen, enum ph_action action)
{
    if (action >= PH_ACTION_VIEW && action <= PH_ACTION_VIEW_LAST)
        return go_to(screen, (unsigned)(action - PH_ACTION_VIEW));
    if (action == PH_ACTION_BACK)
        return go_to(screen, screen->view == screen->view_before ? 0 : screen->view_before);
    if (action == PH_ACTION_COMMAND)
        return open_prompt(screen, PH_PROMPT_COMMAND, "");
    if (action == PH_ACTION_FILTER)
        return open_prompt(screen, PH_PROMPT_FILTER, "");
    if (action == PH_ACTION_HELP)
        return open_help(screen);
    if (action == PH_ACTION_OUTPUT)
        return toggle_output(screen);
    if (action == PH_ACTION_PAUSE)
        return toggle_pause(screen);
    if (action == PH_ACTION_REDRAW)
        return PH_EFFECT_REDRAW | PH_EFFECT_DRAW;
    if (action == PH_ACTION_CANCEL)
        return PH_EFFECT_CANCEL | PH_EFFECT_DRAW;
    if (action == PH_ACTION_SUSPEND)
        return PH_EFFECT_SUSPEND;
    return action == PH_ACTION_QUIT ? PH_EFFECT_QUIT : 0;
}

static unsigned act(struct ph_screen *screen, enum ph_action action)
{
    bool over = screen->overlay == PH_OVERLAY_HELP || screen->overlay == PH_OVERLAY_DETAIL;
    if (over && overlay_action(screen, action))
        return PH_EFFECT_DRAW | PH_EFFECT_FETCH;
    if (!over && screen->output_open && output_action(screen, action))
        return PH_EFFECT_DRAW | PH_EFFECT_FETCH;
    unsigned effect = over ? 0 : act_in_view(screen, action);
    return effect ? effect : act_global(screen, action);
}

unsigned ph_screen_key(struct ph_screen *screen, int key)
{
    if (screen->prompt != PH_PROMPT_NONE)
        return prompt_key(screen, key);
    if (screen->overlay == PH_OVERLAY_CONFIRM)
        return confirm_key(screen, key);
    /* On the overview, which has no rows to move among, an open page still scrolls. */
    enum ph_action action = ph_keys_action(key, screen->view);
    if (action == PH_ACTION_NONE && (screen->overlay != PH_OVERLAY_NONE || screen->output_open))
        action = ph_keys_action(key, 1);
    if (action != PH_ACTION_NONE)
        return act(screen, action);
    if (key > ' ' && key < 0x7f) {
        char text[64];
        snprintf(text, sizeof text, "%c means nothing here: ? lists the keys of this view", key);
        ph_screen_say(screen, false, text);
        return PH_EFFECT_DRAW;
    }
    return 0;
}

/* ---- Drawing ---- */

static const char *link_word(const struct ph_screen *screen, uint16_t *style)
{
    const struct ph_model *model = &screen->model;
    *style = PH_STYLE_TITLE;
    if (model->link == PH_LINK_LOST) {
        *style = PH_STYLE_ALARM;
        return model->data[PH_SLOT_STATUS] ? "DISCONNECTED" : "NO CONNECTION";
    }
    if (model->paused) {
        *style = PH_STYLE_PAUSED;
        return "PAUSED";
    }
    if (ph_model_flag(model, "partitioned")) {
        *style = PH_STYLE_ALARM;
        return "PARTITION";
    }
    return model->link == PH_LINK_LIVE ? "LIVE" : "opening";
}

static void draw_title(const struct ph_screen *screen, struct ph_grid *grid)
{
    uint16_t style;
    const char *word = link_word(screen, &style), *node = ph_model_text(&screen->model, "node");
    int room = grid->cols - (int)strlen(word) - 2;
    bool narrow = grid->cols < 78;
    ph_grid_fill(grid, 0, 0, 1, grid->cols, PH_STYLE_TITLE);
    int col = 1, most = narrow ? 12 : 26;
    col += ph_grid_printf(grid, 0, col, room - 1 < most ? room - 1 : most, PH_STYLE_TITLE,
                          "%s%s%s ", *node ? node : "prochub", narrow ? "" : "/",
                          narrow ? "" : ph_model_text(&screen->model, "hub"));
    for (unsigned i = 0; i < PH_VIEWS && col < room; i++) {
        bool current = i == screen->view;
        const char *title = narrow && !current ? "" : ph_view_at(i)->title;
        const char *between = current ? "[" : i == screen->view + 1 ? "]" : i ? " " : "";
        col += ph_grid_printf(grid, 0, col, room - col, PH_STYLE_TITLE, "%s%u%s", between, i + 1,
                              title);
    }
    if (screen->view == PH_VIEWS - 1 && col < room)
        ph_grid_put(grid, 0, col, 1, PH_STYLE_TITLE, "]");
    ph_grid_put_right(grid, 0, grid->cols - (int)strlen(word) - 1, (int)strlen(word), style, word);
}

static void draw_bar(const struct ph_screen *screen, struct ph_grid *grid, int row)
{
    int col = 1;
    const struct ph_binding *binding;
    if (screen->prompt != PH_PROMPT_NONE) {
        ph_grid_put(grid, row, 1, grid->cols - 2, PH_STYLE_TEXT,
                    screen->prompt == PH_PROMPT_FILTER
                        ? "Enter=filter (empty: all)  Up=history  Esc=close"
                        : "Enter=run  Tab=complete  Up=history  Esc=close");
        return;
    }
    for (unsigned i = 0; (binding = ph_keys_at(i)); i++) {
        if (!binding->bar || !(binding->views & 1u << screen->view))
            continue;
        char key[16];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(binding->names, " "), binding->names);
        int width = (int)(strlen(key) + strlen(binding->bar) + 2);
        if (col + width > grid->cols)
            break;
        col += ph_grid_put(grid, row, col, grid->cols - col, PH_STYLE_KEY, key);
        col +=
            ph_grid_printf(grid, row, col, grid->cols - col, PH_STYLE_TEXT, " %s  ", binding->bar);
    }
}

/* The command behind what happened last, and how it went. */
static void draw_message(const struct ph_screen *screen, struct ph_grid *grid, int row)
{
    const struct ph_model *model = &screen->model;
    int col = 1, room = grid->cols - 2;
    if (model->link == PH_LINK_LOST && !screen->message.length) {
        ph_grid_put(grid, row, col, room, PH_STYLE_BAD, ph_text_str(&model->problem));
        return;
    }
    if (screen->command.length && screen->overlay != PH_OVERLAY_CONFIRM)
        col += ph_grid_printf(grid, row, col, room / 2, PH_STYLE_HEAD, ":%s  ",
                              ph_text_str(&screen->command));
    const char *text =
        screen->running ? "running  (Ctrl-C ends it)" : ph_text_str(&screen->message);
    uint16_t style = screen->running                          ? PH_STYLE_BUSY
                     : screen->message_kind == PH_MESSAGE_BAD ? PH_STYLE_BAD
                                                              : PH_STYLE_TEXT;
    ph_grid_put(grid, row, col, grid->cols - col - 1, style, text);
}

/* The line scrolls sideways so that the cursor stays visible. */
static void draw_prompt(const struct ph_screen *screen, struct ph_grid *grid, int row,
                        struct ph_cursor *cursor)
{
    bool filter = screen->prompt == PH_PROMPT_FILTER;
    const struct ph_line *line = filter ? &screen->filter_line : &screen->line;
    struct ph_text before = PH_TEXT_INIT;
    ph_text_append(&before, ph_text_str(&line->text), line->cursor);
    const char *start = ph_text_str(&line->text);
    const char *visible = ph_text_str(&before);
    while (*visible && ph_grid_width(grid, visible) > grid->cols - 4) {
        uint32_t rune;
        size_t length = ph_utf8_next(visible, strlen(visible), &rune);
        visible += length ? length : 1;
        start += length ? length : 1;
    }
    ph_grid_put(grid, row, 0, 1, PH_STYLE_KEY, filter ? "/" : ":");
    int used = ph_grid_put(grid, row, 1, grid->cols - 1, PH_STYLE_TEXT, start);
    cursor->shown = true;
    cursor->row = row;
    cursor->col = 1 + ph_grid_width(grid, visible);
    if (line->hint.length)
        ph_grid_put(grid, row, used + 4, grid->cols - used - 4, PH_STYLE_DIM,
                    ph_text_str(&line->hint));
    ph_text_fini(&before);
}

static void draw_tiny(const struct ph_screen *screen, struct ph_grid *grid)
{
    const struct ph_model *model = &screen->model;
    char children[PH_HUMAN_MAX], failed[PH_HUMAN_MAX];
    uint16_t style;
    const char *word = link_word(screen, &style);
    uint64_t level = ph_model_uint(model, "level");
    ph_grid_printf(
        grid, 0, 0, grid->cols, style, "%s %s %s children, %s failed%s", word,
        ph_model_text(model, "node"), ph_human_short(ph_model_uint(model, "children"), children),
        ph_human_short(ph_model_uint(model, "failed"), failed), level ? ", gate raised" : "");
    if (grid->rows > 1)
        ph_grid_printf(grid, 1, 0, grid->cols, PH_STYLE_DIM, "too small: %dx%d at least",
                       PH_SCREEN_COLS_MIN, PH_SCREEN_ROWS_MIN);
}

void ph_screen_draw(const struct ph_screen *screen, struct ph_grid *grid, struct ph_cursor *cursor)
{
    *cursor = (struct ph_cursor){0};
    ph_grid_fill(grid, 0, 0, grid->rows, grid->cols, PH_STYLE_TEXT);
    if (is_tiny(grid->rows, grid->cols)) {
        draw_tiny(screen, grid);
        return;
    }
    int rows = view_rows(screen, grid->rows), below = grid->rows - 3;
    struct ph_grid part = ph_grid_part(grid, 1, 0, rows, grid->cols);
    draw_title(screen, grid);
    ph_view_at(screen->view)->draw(screen->states[screen->view], &screen->model, &part);
    if (screen->output_open) {
        part = ph_grid_part(grid, 1 + rows, 0, below - rows, grid->cols);
        ph_output_draw(screen, &part);
    }
    part = ph_grid_part(grid, 1, 0, below, grid->cols);
    ph_overlay_draw(screen, &part);
    if (screen->prompt != PH_PROMPT_NONE)
        draw_prompt(screen, grid, grid->rows - 2, cursor);
    else
        draw_message(screen, grid, grid->rows - 2);
    draw_bar(screen, grid, grid->rows - 1);
}
