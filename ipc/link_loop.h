/*
 * A transport between nodes of one process, through memory: for tests and examples, and for runs
 * under ThreadSanitizer, where libzmq must not run.
 *
 * A wire is what its nodes have in common; it outlives them. Endpoints are "loop://NAME"; who
 * listens at a star instead of a name gets a name that is free. Any thread.
 */
#ifndef PH_IPC_LINK_LOOP_H
#define PH_IPC_LINK_LOOP_H

#include <stdbool.h>

#include "ipc/transport.h"

struct ph_loop_wire;

struct ph_loop_wire *ph_loop_wire_create(void);
void ph_loop_wire_destroy(struct ph_loop_wire *);

/* Frames from one endpoint to the other are lost from now on, or no more. */
void ph_loop_wire_cut(struct ph_loop_wire *, const char *from, const char *to, bool cut);

/* For ph_links_config.transport, with the wire as its context. */
const struct ph_transport *ph_link_loop(void);

#endif
