/*
 * The listening end of a control socket: made, guarded and removed.
 *
 * The socket is 0600 in a directory that is made 0700 when it is not there. PATH.lock is held
 * (flock) while the socket lives, so a socket that a killed node left behind is told from a living
 * one without a race; it is only removed by who holds the lock.
 */
#ifndef PH_IPC_CONTROL_SOCKET_H
#define PH_IPC_CONTROL_SOCKET_H

#include <sys/un.h>

#include "engine/prochub.h"

struct ph_control_socket {
    int fd, lock_fd;
    struct sockaddr_un address;
    char lock_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
};

/* `name` is written into the lock file: the error of the next one who wants the socket names it.
 * The socket does not block. */
PH_MUST_CHECK int ph_control_socket_open(struct ph_control_socket *, const char *endpoint,
                                         const char *name, struct ph_error *);
void ph_control_socket_close(struct ph_control_socket *);

#endif
