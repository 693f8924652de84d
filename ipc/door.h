/*
 * A door to a node: the place where statements are run, in this process or behind a control socket.
 *
 * The script runner, the console and its `:` line speak to a door and cannot tell the two apart.
 * One thread at a time; ph_door_cancel from any thread.
 */
#ifndef PH_IPC_DOOR_H
#define PH_IPC_DOOR_H

#include "ipc/row.h"
#include "ipc/script.h"

struct ph_node;

struct ph_door {
    /* Runs one statement (variables replaced, not a client command); output and errors go to the
     * sink. `script` is the script's name for messages. Returns 0 or a negative code. */
    int (*run)(struct ph_door *, const char *script, const struct ph_statement *, enum ph_form,
               struct ph_sink *);
    /* Ends what is running, if anything (it returns PH_ECANCELED). Any thread, also twice. */
    void (*cancel)(struct ph_door *);
    void (*close)(struct ph_door *);
};

/* A session of its own on a node in this process. */
PH_MUST_CHECK int ph_door_local(struct ph_node *, const char *hub, struct ph_door **);

/* A connection to a node's control socket ("ipc://PATH"). PH_ECONNECTION with a text that says what
 * to do. */
PH_MUST_CHECK int ph_door_remote(const char *endpoint, struct ph_door **, struct ph_error *);

/* The default endpoint: of the node `name`, or (NULL) of the only node that has one here. */
PH_MUST_CHECK int ph_control_default(const char *name, struct ph_text *endpoint, struct ph_error *);

#endif
