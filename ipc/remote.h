/*
 * Statements that run on another node: `logs`, `history`, `child` of a child that runs there,
 * `events`, `conflicts` and `conflict show` with `node=NODE`.
 *
 * Over the links' service channel a statement goes to the node as the control socket's run frame
 * (frame.h), its output comes back in pieces as it is made, and so do its errors and its code. The
 * asking side is the thread of the session that asks. The serving side is one thread that starts,
 * watches and joins the threads of the statements; at most PH_REMOTE_RUNS_MAX at a time, only the
 * commands of a list, none of which changes anything, and none of which asks further nodes.
 *
 * Bounds: no more than PH_REMOTE_WINDOW bytes of output are under way to an asker that does not
 * take them; the serving thread waits. A statement ends when its asker cancels it, or when the
 * session of the link with the asker's node is over; the asker sees the same end of a server
 * within PH_REMOTE_CHECK_MS.
 */
#ifndef PH_IPC_REMOTE_H
#define PH_IPC_REMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"
#include "ipc/row.h"
#include "ipc/script.h"

enum {
    PH_REMOTE_RUNS_MAX = 16,
    PH_REMOTE_WINDOW = 256 * 1024,
    PH_REMOTE_CHECK_MS = 250,
};

struct ph_remote;

/* The links, as far as this needs them. Any thread; neither waits nor calls back. */
struct ph_remote_port {
    /* The session with the node of that name, 0: there is none. */
    uint64_t (*find)(void *context, const char *node);
    /* Sends a frame; moved. A peer that is gone: it is dropped. */
    void (*send)(void *context, uint64_t peer, struct ph_text *frame);
};

/* The port is borrowed. */
PH_MUST_CHECK int ph_remote_start(struct ph_node *, const struct ph_remote_port *, void *context,
                                  struct ph_remote **);
/* The same over a node's links, whose service channel it listens to until it is stopped. */
struct ph_links;
PH_MUST_CHECK int ph_remote_start_links(struct ph_node *, struct ph_links *, struct ph_remote **);
/* Cancels what runs and waits for it. Nobody asks any more. NULL is fine. */
void ph_remote_stop(struct ph_remote *);

/* A frame of the service channel came in. The links' thread; does not wait. Whatever is no frame of
 * this protocol is dropped. */
void ph_remote_receive(struct ph_remote *, uint64_t peer, const void *bytes, size_t length);

/* What is asked of a node. */
struct ph_remote_question {
    const char *node, *hub;
    const char *script; /* name, for messages */
    const struct ph_statement *statement;
    enum ph_form form;
    struct ph_sink *sink;
    struct ph_waiter *waiter; /* its cancellation ends it */
};

/* Runs a statement there; its output and errors go to the sink. Its code, PH_EGONE when what it is
 * about is not there (nothing was said then), or PH_ECONNECTION, PH_ECANCELED, PH_ELIMIT: not said
 * either, but for what came before. */
PH_MUST_CHECK int ph_remote_run(struct ph_remote *, const struct ph_remote_question *);

#endif
