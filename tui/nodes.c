#include "tui/nodes.h"

#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "tui/theme.h"
#include "tui/view.h"

enum { BAR_WIDTH = 18 };

struct state_look {
    const char *state;
    uint32_t glyph;
    char ascii;
    enum ph_style style;
};

static const struct state_look *look_of(const char *state)
{
    static const struct state_look looks[] = {
        {"up", 0x25cf, '+', PH_STYLE_GOOD},      {"joining", 0x25cc, '~', PH_STYLE_BUSY},
        {"suspect", '?', '?', PH_STYLE_WARN},    {"draining", 0x25b8, '^', PH_STYLE_MOVE},
        {"leaving", 0x25b8, '^', PH_STYLE_MOVE}, {"left", 0xb7, '.', PH_STYLE_DIM},
        {"no-hub", 0xb7, '.', PH_STYLE_DIM},     {"down", '!', '!', PH_STYLE_LOST},
    };
    for (size_t i = 0; i < PH_COUNT_OF(looks); i++)
        if (strcmp(looks[i].state, state) == 0)
            return &looks[i];
    return &looks[PH_COUNT_OF(looks) - 1];
}

struct column {
    const char *key, *title;
    int width;
    int least; /* columns of a grid that still has it */
};

static const struct column columns[] = {
    {"name", "NODE", 12, 0},           {"state", "STATE", 11, 0}, {"children", "CHILDREN", 10, 0},
    {"bar", "", BAR_WIDTH, 78},        {"rtt_us", "RTT", 9, 50},  {"uptime_ms", "UPTIME", 9, 60},
    {"endpoint", "ENDPOINT", 30, 100},
};

/* "0.4 ms", "12 ms". */
static const char *human_rtt(const struct ph_json *node, char *out)
{
    uint64_t us = ph_json_uint(node, "rtt_us", UINT64_MAX);
    if (us == UINT64_MAX)
        return "-";
    if (us < 10000)
        snprintf(out, PH_HUMAN_MAX, "%llu.%llu ms", (unsigned long long)us / 1000,
                 (unsigned long long)us % 1000 / 100);
    else
        ph_human_duration(us / 1000, out);
    return out;
}

static const char *text_of(const struct ph_json *node, const char *key, char *human)
{
    const char *text = ph_json_text(node, key);
    if (strcmp(key, "rtt_us") == 0)
        return human_rtt(node, human);
    if (strcmp(key, "uptime_ms") == 0)
        return ph_human_duration(ph_json_uint(node, key, 0), human);
    if (strcmp(key, "children") == 0)
        return ph_human_count(ph_json_uint(node, key, 0), human);
    return text && *text ? text : "-";
}

static void draw_state(struct ph_grid *grid, int row, int col, const char *state)
{
    const struct state_look *look = look_of(state);
    ph_grid_rune(grid, row, col, (uint16_t)look->style, look->glyph, look->ascii);
    ph_grid_put(grid, row, col + 2, 9, (uint16_t)look->style, state);
}

static void draw_name(struct ph_grid *grid, int row, int col, int width, const struct ph_json *node)
{
    bool self = ph_json_bool(node, "self");
    const char *name = ph_json_text(node, "name");
    ph_grid_printf(grid, row, col, width, PH_STYLE_TEXT, "%s%s", name ? name : "?",
                   self ? " *" : "");
}

static void draw_cell(struct ph_grid *grid, int row, int col, const struct column *column,
                      const struct ph_json *node, uint64_t most)
{
    char human[PH_HUMAN_MAX];
    const char *key = column->key, *text = text_of(node, key, human);
    if (strcmp(key, "name") == 0)
        draw_name(grid, row, col, column->width, node);
    else if (strcmp(key, "state") == 0)
        draw_state(grid, row, col, text);
    else if (strcmp(key, "bar") == 0)
        ph_grid_bar(grid, row, col, column->width, PH_STYLE_GOOD,
                    (struct ph_share){ph_json_uint(node, "children", 0), most ? most : 1});
    else if (strcmp(key, "endpoint") == 0)
        ph_grid_put(grid, row, col, grid->cols - col, PH_STYLE_DIM, text);
    else
        ph_grid_put_right(grid, row, col, column->width, PH_STYLE_TEXT, text);
}

static bool is_right(const struct column *column)
{
    return strcmp(column->key, "children") == 0 || strcmp(column->key, "rtt_us") == 0 ||
           strcmp(column->key, "uptime_ms") == 0;
}

void ph_nodes_draw_row(struct ph_grid *grid, int row, const struct ph_json *node, uint64_t most)
{
    int col = 2;
    for (size_t i = 0; i < PH_COUNT_OF(columns); i++) {
        const struct column *column = &columns[i];
        if (grid->cols < column->least)
            continue;
        if (node)
            draw_cell(grid, row, col, column, node, most);
        else if (is_right(column))
            ph_grid_put_right(grid, row, col, column->width, PH_STYLE_HEAD, column->title);
        else
            ph_grid_put(grid, row, col, column->width, PH_STYLE_HEAD, column->title);
        col += column->width + 1;
    }
}

uint64_t ph_nodes_most_children(const struct ph_data *nodes)
{
    uint64_t most = 0;
    for (size_t i = 0; i < nodes->count; i++) {
        uint64_t children = ph_json_uint(&nodes->rows[i], "children", 0);
        most = children > most ? children : most;
    }
    return most;
}
