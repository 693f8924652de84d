/*
 * A view: one of the console's screens, between title bar and key bar.
 *
 * A const vtable and a state of its own. A view does no I/O: it says what it wants to see
 * (`update`), turns actions into a new state or into a request (`key`), and draws what the model
 * has
 * (`draw`, pure: the same model, state and size give the same cells). UI thread only.
 */
#ifndef PH_TUI_VIEW_H
#define PH_TUI_VIEW_H

#include "tui/cell.h"
#include "tui/keys.h"
#include "tui/model.h"

/* What a key led to; bits. */
enum {
    PH_REACT_NONE = 0,        /* the key means nothing here */
    PH_REACT_DRAW = 1 << 0,   /* the screen changed */
    PH_REACT_UPDATE = 1 << 1, /* other rows are wanted */
    PH_REACT_RUN = 1 << 2,    /* run request->command; it changes something, so ask first */
    PH_REACT_EDIT = 1 << 3,   /* let the operator complete request->command */
    PH_REACT_DETAIL = 1 << 4, /* show all about child request->id */
    PH_REACT_VIEW = 1 << 5,   /* go to view request->view */
    PH_REACT_SAY = 1 << 6,    /* show request->message */
    PH_REACT_SHOW = 1 << 7,   /* run request->command, which only reads */
    PH_REACT_FILTER = 1 << 8, /* request->command is the filter of the view gone to */
};

struct ph_request {
    struct ph_text command;
    uint64_t children; /* that the command works on */
    char id[PH_ID_MAX + 1];
    unsigned view;
    const char *message;
};

/* What a view wants to see: a command for each slot. The same `key` means the same rows, newer
 * ones: they are fetched when the node has changed, another key at once. */
struct ph_want {
    struct ph_text command; /* empty: nothing */
    struct ph_text key;
    uint64_t tag; /* comes back with the data */
};

struct ph_wants {
    struct ph_want slot[PH_SLOTS];
    char selected[PH_ID_MAX + 1]; /* the child under the cursor, if the view has one */
};

struct ph_view {
    const char *name;  /* as in `view children` */
    const char *title; /* in the title bar */
    void *(*init)(const struct ph_view *);
    void (*fini)(void *state);
    /* New data, a new size or a new state: settles the cursor and fills `wants`. */
    void (*update)(void *state, const struct ph_model *, int rows, int cols, struct ph_wants *);
    unsigned (*key)(void *state, const struct ph_model *, enum ph_action, struct ph_request *);
    void (*draw)(const void *state, const struct ph_model *, struct ph_grid *);
    /* A filter was typed; NULL: the view has none. */
    void (*filter)(void *state, const char *text);
};

enum { PH_VIEWS = 7 };
const struct ph_view *ph_view_at(unsigned index);

extern const struct ph_view ph_view_overview;
extern const struct ph_view ph_view_children;
extern const struct ph_view ph_view_events;
extern const struct ph_view ph_view_moves;
extern const struct ph_view ph_view_hooks;
extern const struct ph_view ph_view_logs;
extern const struct ph_view ph_view_nodes;

/* ---- Help for views ---- */

void ph_want(struct ph_wants *, enum ph_slot, uint64_t tag, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void ph_wants_fini(struct ph_wants *);

/* The events since the newest one known, for which `filter` holds. */
void ph_want_events(struct ph_wants *, const struct ph_model *, const char *filter);

/* A literal word of the command language. */
void ph_put_word(struct ph_text *, const char *text);
/* `where EXPR` for what was typed: one word without an operator is looked for in ids. */
void ph_put_filter(struct ph_text *, const char *field, const char *typed);

/* Numbers for people: 1,204 · 48.2k · 12.5M; 412 ms · 5.0 s · 3h02m; 14:02:13.201 of an RFC 3339
 * time. */
enum { PH_HUMAN_MAX = 32 };
const char *ph_human_count(uint64_t value, char *out);
const char *ph_human_short(uint64_t value, char *out);
const char *ph_human_duration(uint64_t ms, char *out);
const char *ph_human_clock(const char *time, char *out);

/* Moves a cursor among `count` rows, `page` of them visible: true when the action is a move. */
bool ph_cursor_key(enum ph_action, uint64_t count, uint64_t page, uint64_t *cursor);
/* Keeps the cursor inside and visible. */
void ph_cursor_settle(uint64_t count, uint64_t page, uint64_t *cursor, uint64_t *top);

#endif
