/*
 * A session: one speaker's state on a node - the hub in use, the locks it took, the statement in
 * work. Made by doors; commands get it to say what they have to say.
 */
#ifndef PH_IPC_SESSION_H
#define PH_IPC_SESSION_H

#include "engine/node.h"
#include "ipc/command.h"
#include "ipc/row.h"

struct ph_links;
struct ph_remote;
struct ph_settings;

/* What a session's program adds to the node. All may be NULL; kept by reference. */
struct ph_session_place {
    const struct ph_settings *settings; /* for `config` and `node` */
    struct ph_links *links;             /* NULL: the node has none */
    struct ph_remote *remote;           /* the same */
    void (*shutdown)(void *arg);        /* the node was asked to end; any thread, also twice */
    void *arg;
};

struct ph_session {
    struct ph_node *node;
    struct ph_hub *hub;      /* in use, referenced; NULL when the node has none */
    struct ph_waiter waiter; /* cancelled by ph_door_cancel */
    enum ph_form form;
    struct ph_sink *sink;
    const char *script; /* of the statement in work */
    const struct ph_statement *statement;
    char (*locks)[65]; /* names of the locks that this session took, oldest first */
    size_t lock_count;
    struct ph_session_place place;
    bool served; /* another node asks: what is not here is PH_EGONE, nobody else is asked */
};

/* `hub` NULL: the node's first one. */
void ph_session_init(struct ph_session *, struct ph_node *, const char *hub);
void ph_session_fini(struct ph_session *);

/* Reads and runs one statement; the error was said on the sink. */
PH_MUST_CHECK int ph_session_run(struct ph_session *, const char *script,
                                 const struct ph_statement *, enum ph_form, struct ph_sink *);

/* The hub in use, or an error that says how to make one. */
PH_MUST_CHECK int ph_session_hub(struct ph_session *, struct ph_hub **hub);

/* Says an error at the statement (or at `word`) in the session's form and returns `code`:
 * "SCRIPT:LINE:COLUMN: CLASS: message" or the JSON object of commands.md. */
int ph_session_error(struct ph_session *, const struct ph_word *word, int code, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

/* Tells a local door (ph_door_local) about its program. Before the first run. */
struct ph_door;
void ph_door_local_place(struct ph_door *, const struct ph_session_place *);

/* A place in a script. */
struct ph_position {
    const char *script;
    uint32_t line, column; /* from 1; 0: not in a line */
};

/* The same without a session, for the parser and the program itself. */
void ph_say_error(struct ph_sink *, enum ph_form, struct ph_position at, int code,
                  const char *message);

#endif
