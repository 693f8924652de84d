/*
 * The screen: title bar, view, overlays, message line and key bar, and what keys do to them.
 *
 * It holds the whole state of the user interface and does no I/O: keys go in and effects come out,
 * the model goes in and cells come out. That makes everything but the terminal and the doors a
 * matter of unit tests. UI thread only.
 */
#ifndef PH_TUI_SCREEN_H
#define PH_TUI_SCREEN_H

#include "tui/line.h"
#include "tui/view.h"

/* What the console has to do after a key; bits. */
enum {
    PH_EFFECT_DRAW = 1 << 0,
    PH_EFFECT_FETCH = 1 << 1,  /* ph_screen_update and fetch what is wanted */
    PH_EFFECT_RUN = 1 << 2,    /* run screen->command */
    PH_EFFECT_CANCEL = 1 << 3, /* end the running command */
    PH_EFFECT_REDRAW = 1 << 4, /* paint every cell */
    PH_EFFECT_SUSPEND = 1 << 5,
    PH_EFFECT_QUIT = 1 << 6,
    PH_EFFECT_PAUSE = 1 << 7, /* model.paused changed */
};

enum ph_overlay { PH_OVERLAY_NONE, PH_OVERLAY_HELP, PH_OVERLAY_DETAIL, PH_OVERLAY_CONFIRM };
enum ph_prompt { PH_PROMPT_NONE, PH_PROMPT_COMMAND, PH_PROMPT_FILTER, PH_PROMPT_CONFIRM };

/* Below this size only a status line is shown. */
enum { PH_SCREEN_ROWS_MIN = 8, PH_SCREEN_COLS_MIN = 40 };

struct ph_screen {
    struct ph_model model;
    void *states[PH_VIEWS];
    unsigned view, view_before;
    struct ph_wants wants;
    int rows, cols;

    enum ph_overlay overlay;
    uint64_t scroll; /* of the overlay */
    char detail_id[PH_ID_MAX + 1];
    bool consent;      /* the dialog's cursor is on "run" */
    uint64_t children; /* that the command in the dialog works on */

    enum ph_prompt prompt;
    struct ph_line line, filter_line;
    const char *(*command_at)(size_t index); /* names for Tab; may be NULL */

    struct ph_text command; /* to run, running, or run last */
    bool running;
    struct ph_text output; /* of it */
    bool output_open;
    uint64_t output_scroll; /* lines from the end */
    struct ph_text message; /* one line */
    enum { PH_MESSAGE_INFO, PH_MESSAGE_BAD } message_kind;
};

struct ph_cursor {
    bool shown;
    int row, col;
};

void ph_screen_init(struct ph_screen *);
void ph_screen_fini(struct ph_screen *);

/* Settles the views for this size and fills screen->wants. */
void ph_screen_update(struct ph_screen *, int rows, int cols);
unsigned ph_screen_key(struct ph_screen *, int key);
/* A command ended: `code` is its exit code. Its output is in screen->output. */
void ph_screen_done(struct ph_screen *, int code, uint64_t took_ms);
void ph_screen_say(struct ph_screen *, bool bad, const char *text);

/* Draws everything into a grid of any size. */
void ph_screen_draw(const struct ph_screen *, struct ph_grid *, struct ph_cursor *);

/* ---- Overlays (view_help.c, screen_overlay.c) ---- */

void ph_help_draw(struct ph_grid *, unsigned view, uint64_t scroll);
uint64_t ph_help_rows(unsigned view);
void ph_overlay_draw(const struct ph_screen *, struct ph_grid *);
/* The output pane's rows on a screen of that size. */
int ph_output_rows(const struct ph_screen *, int rows);
void ph_output_draw(const struct ph_screen *, struct ph_grid *);

#endif
