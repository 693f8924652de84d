/*
 * Keys: which key means which action where, and the command that the action is.
 *
 * One table feeds the dispatch, the key bar, the help overlay and the `:` line, where the name of
 * an action is typed as a command ("view children", "sort"). Constant; any thread.
 */
#ifndef PH_TUI_KEYS_H
#define PH_TUI_KEYS_H

#include <stdbool.h>
#include <stdint.h>

/* Keys: a character's code point, or one of these. */
enum ph_key {
    PH_KEY_NONE = -1,
    PH_KEY_BASE = 0x200000,
    PH_KEY_UP,
    PH_KEY_DOWN,
    PH_KEY_LEFT,
    PH_KEY_RIGHT,
    PH_KEY_PAGE_UP,
    PH_KEY_PAGE_DOWN,
    PH_KEY_HOME,
    PH_KEY_END,
    PH_KEY_DELETE,
    PH_KEY_BACKSPACE,
    PH_KEY_F1,
    PH_KEY_F10 = PH_KEY_F1 + 9,
    PH_KEY_PASTE_BEGIN,
    PH_KEY_PASTE_END,
    PH_KEY_ENTER = '\r',
    PH_KEY_ESCAPE = 27,
    PH_KEY_TAB = '\t',
};

#define PH_CTRL(letter) ((letter)&0x1f)

enum ph_action {
    PH_ACTION_NONE,
    PH_ACTION_DOWN,
    PH_ACTION_UP,
    PH_ACTION_PAGE_DOWN,
    PH_ACTION_PAGE_UP,
    PH_ACTION_TOP,
    PH_ACTION_BOTTOM,
    PH_ACTION_VIEW, /* + index of the view, seven of them */
    PH_ACTION_VIEW_LAST = PH_ACTION_VIEW + 6,
    PH_ACTION_OPEN,
    PH_ACTION_LOGS,
    PH_ACTION_BACK,
    PH_ACTION_FILTER,
    PH_ACTION_SORT,
    PH_ACTION_REVERSE,
    PH_ACTION_FOLLOW,
    PH_ACTION_STOP,
    PH_ACTION_RESTART,
    PH_ACTION_SIGNAL,
    PH_ACTION_MIGRATE,
    PH_ACTION_UNPIN,
    PH_ACTION_PLAN,
    PH_ACTION_DRAIN,
    PH_ACTION_HOLD,
    PH_ACTION_RETRY,
    PH_ACTION_ABORT,
    PH_ACTION_PAUSE,
    PH_ACTION_COMMAND,
    PH_ACTION_OUTPUT,
    PH_ACTION_HELP,
    PH_ACTION_REDRAW,
    PH_ACTION_CANCEL,
    PH_ACTION_SUSPEND,
    PH_ACTION_QUIT,
};

/* The views in which a key means something. */
enum {
    PH_IN_OVERVIEW = 1 << 0,
    PH_IN_CHILDREN = 1 << 1,
    PH_IN_MOVES = 1 << 2,
    PH_IN_EVENTS = 1 << 3,
    PH_IN_HOOKS = 1 << 4,
    PH_IN_LOGS = 1 << 5,
    PH_IN_NODES = 1 << 6,
    PH_IN_ALL = 0x7f,
    PH_IN_LISTS = PH_IN_ALL & ~PH_IN_OVERVIEW,
};

enum ph_key_group { PH_GROUP_MOVE, PH_GROUP_FIND, PH_GROUP_ACT, PH_GROUP_META, PH_GROUPS };

enum { PH_KEYS_OF_ACTION = 4 };

struct ph_binding {
    enum ph_action action;
    int keys[PH_KEYS_OF_ACTION]; /* 0 ends */
    const char *names;           /* as people call the keys */
    const char *command;         /* what is typed to get the same */
    const char *what;            /* one line for help */
    const char *bar;             /* its word in the key bar; NULL: it is not there */
    enum ph_key_group group;
    unsigned views;
};

/* The action of a key in the view of that index; PH_ACTION_NONE when it has none. */
enum ph_action ph_keys_action(int key, unsigned view);
/* The action whose command is `text`. */
enum ph_action ph_keys_command(const char *text, unsigned view);

const struct ph_binding *ph_keys_at(unsigned index); /* NULL beyond the last */
const char *ph_keys_group(enum ph_key_group);

#endif
