/*
 * What the two sides of remote.h share. A message is: u8 version, u64 number of the question
 * (little endian, unique on the asking side), and one frame of frame.h; before a run frame stand
 * two names, each a u8 length and bytes: the asker's node and the hub.
 */
#ifndef PH_IPC_REMOTE_INSIDE_H
#define PH_IPC_REMOTE_INSIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "engine/limits.h"
#include "engine/waiter.h"
#include "ipc/frame.h"
#include "ipc/remote.h"
#include "ipc/session.h"

enum {
    PH_REMOTE_VERSION = 1,
    PH_REMOTE_HEADER = 9,
    PH_REMOTE_IDLE_MAX = 64 * 1024 + PH_REMOTE_WINDOW, /* bytes that wait for an asker */
};

/* A statement that is asked for; on the asking thread's stack, in the list under the lock. */
struct ph_remote_ask {
    struct ph_remote_ask *next;
    uint64_t number, peer;
    struct ph_waiter *waiter;
    struct ph_text in; /* frames that came and were not handled */
};

/* A statement that is served. */
struct ph_remote_run {
    struct ph_remote_run *next;
    struct ph_remote *remote;
    uint64_t number, peer;
    char node[PH_NAME_MAX + 1], hub[PH_NAME_MAX + 1];
    struct ph_frame_run statement;
    struct ph_session session;
    struct ph_sink sink;
    pthread_t thread;
    bool started; /* the serving thread's */

    /* Under the lock. */
    size_t under_way; /* bytes of output that were not taken */
    bool ended;
};

struct ph_remote {
    struct ph_node *node;
    const struct ph_remote_port *port;
    void *context;
    struct ph_links *links; /* NULL: another port */
    pthread_t thread;       /* the serving side's */

    pthread_mutex_t lock; /* of what follows; never held while the port is called */
    pthread_cond_t cond;
    struct ph_remote_ask *asks;
    struct ph_remote_run *runs;
    unsigned run_count;
    uint64_t last_number;
    bool stop;
};

/* Begins a message: the header is written, a frame follows. */
void ph_remote_begin(struct ph_text *, uint64_t number);
/* Sends a whole message of that type. */
void ph_remote_say(struct ph_remote *, uint64_t peer, uint64_t number, enum ph_frame_type,
                   const void *bytes, size_t length);

/* remote_serve.c: a run, cancel or taken frame came. `names` are the bytes before it. */
void ph_remote_serve(struct ph_remote *, uint64_t peer, uint64_t number, const char *bytes,
                     size_t length);
PH_MUST_CHECK int ph_remote_serve_start(struct ph_remote *);
void ph_remote_serve_stop(struct ph_remote *);

#endif
