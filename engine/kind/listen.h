/*
 * The listening socket of an OS process (`listen=ENDPOINT`): the node holds it, so that it is there
 * over the restarts of the program, which gets a copy by the LISTEN_FDS convention.
 *
 * "tcp://ADDRESS:PORT" (numeric; the port * is one of the kernel's choice) or "ipc:///PATH", a
 * stream socket in both cases. The socket of one that is not to accept anything yet is only made,
 * and bound later: every copy of it listens then. Monitor's thread, but for ph_listen_is_valid.
 */
#ifndef PH_ENGINE_KIND_LISTEN_H
#define PH_ENGINE_KIND_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/limits.h"
#include "engine/prochub.h"

struct ph_listen {
    int fd;         /* -1: none */
    char *endpoint; /* as it was asked for */
    bool bound;
    uint64_t device, inode; /* of the path that was made, to remove no other one */
};

/* Any thread: may a spec have that endpoint? */
bool ph_listen_is_valid(const char *endpoint);

/* No socket, or one of another endpoint (which is closed): makes the socket. 0 or -errno. */
PH_MUST_CHECK int ph_listen_make(struct ph_listen *, const char *endpoint);

/* Binds it and listens, if it does not yet; a path that nobody listens on is taken over. 0 or
 * -errno. */
PH_MUST_CHECK int ph_listen_bind(struct ph_listen *);

/* Where it listens, with the port that it got. */
void ph_listen_describe(const struct ph_listen *, char text[PH_ENDPOINT_MAX + 1]);

/* Closes it and removes the path. */
void ph_listen_close(struct ph_listen *);

#endif
