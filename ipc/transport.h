/*
 * What carries the frames of one node: ZeroMQ (link_zmq.h) or the memory of one process
 * (link_loop.h). All calls come from the links' thread (links.h), `start` before it runs and `stop`
 * after it ended.
 *
 * A transport may lose frames, but it does not mix or change them. Nothing here waits but `wait`.
 */
#ifndef PH_IPC_TRANSPORT_H
#define PH_IPC_TRANSPORT_H

#include <stdint.h>

#include "engine/limits.h"
#include "engine/prochub.h"
#include "ipc/mesh.h"

/* The sooner of two times to wait; -1: for ever. */
static inline int ph_sooner_ms(int a_ms, int b_ms)
{
    return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

struct ph_transport_setup {
    const char *listen;
    int wake_fd;   /* an eventfd; ends a wait when it is readable, the transport empties it */
    void *context; /* of the transport's own kind: the wire of link_loop.h */
};

struct ph_transport {
    /* `endpoint` is the one that others can reach it by. */
    int (*start)(const struct ph_transport_setup *, void **transport,
                 char endpoint[PH_ENDPOINT_MAX + 1], struct ph_error *);
    /* May others be told to call this? Also of what a peer says. PH_EUSAGE, PH_EREFUSED. */
    int (*check)(const char *endpoint, struct ph_error *);
    void (*open)(void *transport, uint32_t channel, const char *endpoint);
    void (*close)(void *transport, uint32_t channel);
    void (*transmit)(void *transport, uint32_t channel, const void *bytes, size_t length);
    /* Waits at most `timeout_ms` (-1: for ever) until something comes in, and gives a bounded
     * number of what came to the mesh: frames, refused and new connections. `extra_fd` ends the
     * wait, too, when it is readable; -1: there is none. */
    void (*wait)(void *transport, struct ph_mesh *, int extra_fd, int timeout_ms);
    /* What was transmitted shortly before has some time to leave. */
    void (*stop)(void *transport);
};

#endif
