#include "tui/theme.h"

#include <string.h>

#include "engine/base.h"

enum { DEFAULT = -1, RED = 1, GREEN, YELLOW, BLUE, MAGENTA, CYAN };

static const struct ph_look colour_looks[PH_STYLES] = {
    [PH_STYLE_TEXT] = {DEFAULT, DEFAULT, 0},
    [PH_STYLE_DIM] = {DEFAULT, DEFAULT, PH_LOOK_DIM},
    [PH_STYLE_GOOD] = {GREEN, DEFAULT, 0},
    [PH_STYLE_BUSY] = {CYAN, DEFAULT, 0},
    [PH_STYLE_MOVE] = {BLUE, DEFAULT, 0},
    [PH_STYLE_WARN] = {YELLOW, DEFAULT, 0},
    [PH_STYLE_BAD] = {RED, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_LOST] = {MAGENTA, DEFAULT, PH_LOOK_REVERSE},
    [PH_STYLE_HEAD] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_KEY] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_NEW] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_TITLE] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_PAUSED] = {YELLOW, DEFAULT, PH_LOOK_REVERSE},
    [PH_STYLE_ALARM] = {RED, DEFAULT, PH_LOOK_REVERSE | PH_LOOK_BOLD},
};

static const struct ph_look plain_looks[PH_STYLES] = {
    [PH_STYLE_TEXT] = {DEFAULT, DEFAULT, 0},
    [PH_STYLE_DIM] = {DEFAULT, DEFAULT, 0},
    [PH_STYLE_GOOD] = {DEFAULT, DEFAULT, 0},
    [PH_STYLE_BUSY] = {DEFAULT, DEFAULT, 0},
    [PH_STYLE_MOVE] = {DEFAULT, DEFAULT, 0},
    [PH_STYLE_WARN] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_BAD] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_LOST] = {DEFAULT, DEFAULT, PH_LOOK_BOLD | PH_LOOK_UNDERLINE},
    [PH_STYLE_HEAD] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_KEY] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_NEW] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_TITLE] = {DEFAULT, DEFAULT, PH_LOOK_BOLD},
    [PH_STYLE_PAUSED] = {DEFAULT, DEFAULT, PH_LOOK_REVERSE},
    [PH_STYLE_ALARM] = {DEFAULT, DEFAULT, PH_LOOK_REVERSE | PH_LOOK_BOLD},
};

struct ph_look ph_theme_look(uint16_t style, bool monochrome)
{
    unsigned index = style & PH_STYLE_MASK;
    if (index >= PH_STYLES)
        index = PH_STYLE_TEXT;
    struct ph_look look = monochrome ? plain_looks[index] : colour_looks[index];
    look.flags ^= style & PH_CURSOR ? PH_LOOK_REVERSE : 0;
    look.flags |= style & PH_STRONG ? PH_LOOK_BOLD : 0;
    look.flags |= style & PH_TAGGED ? PH_LOOK_UNDERLINE : 0;
    return look;
}

/* "unknown" stands last: it is what every other word gets. */
static const struct ph_state_look states[] = {
    {"running", 0x25cf, '+', PH_STYLE_GOOD}, {"starting", 0x25cc, '~', PH_STYLE_BUSY},
    {"moving", 0x25b8, '^', PH_STYLE_MOVE},  {"passive", 0x25cb, '=', PH_STYLE_DIM},
    {"backoff", 0x2026, '-', PH_STYLE_WARN}, {"stopping", 0xb7, '.', PH_STYLE_DIM},
    {"failed", '!', '!', PH_STYLE_BAD},      {"unknown", '?', '?', PH_STYLE_LOST},
};

const struct ph_state_look *ph_theme_state(const char *state)
{
    size_t last = PH_COUNT_OF(states) - 1;
    for (size_t i = 0; i < last; i++) {
        if (state && !strcmp(states[i].state, state))
            return &states[i];
    }
    return &states[last];
}

const struct ph_state_look *ph_theme_state_at(unsigned index)
{
    return index < PH_COUNT_OF(states) ? &states[index] : NULL;
}
