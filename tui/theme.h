/*
 * The theme: what styles and states look like.
 *
 * A style is a meaning (running, needs a person, paused), not a colour; a terminal without colours
 * shows the same meanings by bold, reverse and underline. A state always has a glyph and its word
 * beside its colour. Constant tables; any thread.
 */
#ifndef PH_TUI_THEME_H
#define PH_TUI_THEME_H

#include <stdbool.h>
#include <stdint.h>

enum ph_style {
    PH_STYLE_TEXT,
    PH_STYLE_DIM,
    PH_STYLE_GOOD,   /* running */
    PH_STYLE_BUSY,   /* starting, stopping */
    PH_STYLE_MOVE,   /* moving */
    PH_STYLE_WARN,   /* over budget, back-off, a raised gate */
    PH_STYLE_BAD,    /* needs a person */
    PH_STYLE_LOST,   /* unknown, partitioned */
    PH_STYLE_HEAD,   /* headings */
    PH_STYLE_KEY,    /* keys in the key bar */
    PH_STYLE_NEW,    /* rows that just came */
    PH_STYLE_TITLE,  /* the title bar: live */
    PH_STYLE_PAUSED, /* the title bar: paused */
    PH_STYLE_ALARM,  /* the title bar: disconnected, partitioned */
    PH_STYLES,
};

/* Flags beside the style in a cell. */
enum {
    PH_STYLE_MASK = 0x00ff,
    PH_CURSOR = 0x0100, /* reverse: where the cursor is */
    PH_STRONG = 0x0200, /* bold */
    PH_TAGGED = 0x0400, /* underline */
};

enum { PH_LOOK_BOLD = 1, PH_LOOK_DIM = 2, PH_LOOK_REVERSE = 4, PH_LOOK_UNDERLINE = 8 };

struct ph_look {
    short foreground, background; /* 0..7 of the terminal's palette, -1: its default */
    unsigned flags;               /* PH_LOOK_… */
};

/* The look of a cell's style with its flags. */
struct ph_look ph_theme_look(uint16_t style, bool monochrome);

struct ph_state_look {
    const char *state;
    uint32_t glyph;
    char ascii;
    enum ph_style style;
};

/* Of a placement's state; of "unknown" when there is no such state. */
const struct ph_state_look *ph_theme_state(const char *state);
/* All of them, for help; NULL when `index` is too large. */
const struct ph_state_look *ph_theme_state_at(unsigned index);

#endif
