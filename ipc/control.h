/*
 * The control socket: a plain AF_UNIX stream socket where `prochub attach` runs statements on a
 * node.
 *
 * One thread accepts and watches all connections (epoll); each connection has a thread that runs
 * its statements, so a long `wait` holds nobody up and a closed connection ends its wait at once.
 * The socket is 0600 in a 0700 directory, a lock file keeps a second node from stealing it, and the
 * peer's uid must be ours or root's (SO_PEERCRED). Bounded: PH_CONTROL_CLIENTS_MAX connections,
 * requests of 1 MiB; everything else is refused with a frame that says why.
 *
 * Frames: u32 length (of what follows, little endian), u8 type, body. Client: 'R' run (form, script
 * name, words with flags and positions), 'C' cancel. Server: 'O' output, 'E' error output, 'X' i32
 * code.
 */
#ifndef PH_IPC_CONTROL_H
#define PH_IPC_CONTROL_H

#include "engine/prochub.h"

enum { PH_CONTROL_CLIENTS_MAX = 2048, PH_CONTROL_FRAME_MAX = 1024 * 1024 };

struct ph_control;

/* `endpoint`: "ipc://PATH". Starts the thread. The error says who holds the socket, if somebody
 * does. */
PH_MUST_CHECK int ph_control_start(struct ph_node *, const char *endpoint, struct ph_control **,
                                   struct ph_error *);
/* Called once, from any thread, when a client said `shutdown`. */
void ph_control_on_shutdown(struct ph_control *, void (*fn)(void *arg), void *arg);
/* What sessions know of the program: its settings, links and remote side; the rest is ignored. For
 * connections made after it. */
struct ph_session_place;
void ph_control_set_place(struct ph_control *, const struct ph_session_place *);
/* Ends all connections, removes the socket. NULL is fine. */
void ph_control_stop(struct ph_control *);

#endif
