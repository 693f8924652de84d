/*
 * What strangers can make a listening ZeroMQ socket hold, bounded.
 *
 * libzmq hands a message out when its last part has come, and bounds a part and the number of whole
 * messages, but not the parts of one message: a peer that never sends the last part fills the
 * memory unseen. So the guard looks at the accepted connections themselves: one that has taken more
 * than PH_GUARD_BYTES since it brought the last whole message is cut, and so is each new one beyond
 * the most that there may be. It looks every PH_GUARD_CALM_MS; every PH_GUARD_ALERT_MS while a
 * connection has taken a lot and brought nothing.
 *
 * It only knows descriptors, from the monitor of the socket, and they may be closed and used anew
 * at any time by libzmq's thread; so it acts on none but a TCP socket with our own local port.
 *
 * Caller's memory, the links' thread.
 */
#ifndef PH_IPC_LINK_GUARD_H
#define PH_IPC_LINK_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PH_GUARD_BYTES = 8 * 1024 * 1024,
    PH_GUARD_SUSPECT_BYTES = 1024 * 1024,
    PH_GUARD_CALM_MS = 100,
    PH_GUARD_ALERT_MS = 5,
};

struct ph_guarded {
    int fd;
    uint64_t base; /* what it had taken when it was last known to have brought a message */
    bool brought;  /* a message, since the last look */
};

struct ph_link_guard {
    uint16_t port; /* ours, in the network's order */
    size_t most;   /* connections */
    struct ph_guarded *connections;
    size_t count, room;
    uint64_t look_at;
    uint64_t cut; /* how many were, for who asks to take away */
};

void ph_link_guard_init(struct ph_link_guard *, uint16_t port);
void ph_link_guard_fini(struct ph_link_guard *);

void ph_link_guard_accepted(struct ph_link_guard *, int fd);
void ph_link_guard_closed(struct ph_link_guard *, int fd);
/* A whole message came by it. */
void ph_link_guard_brought(struct ph_link_guard *, int fd);

/* Looks when it is due; milliseconds until it is due again, -1: when one is accepted. */
int ph_link_guard_look(struct ph_link_guard *, uint64_t now_ms);

#endif
