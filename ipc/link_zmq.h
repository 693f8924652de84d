/*
 * The transport over ZeroMQ: one ROUTER that is bound and only received from, one DEALER per
 * channel that is only sent to.
 *
 * ZeroMQ loses what is under way when a connection breaks and drops what its pipes do not hold; the
 * mesh above repairs that, and keeps its bytes in flight below what the pipes hold. A DEALER queues
 * nothing while it is not connected. What connections do is read from a monitor socket each: after
 * one broke or failed, a connect of our own tells whether anything listens there still.
 *
 * What a stranger can make us hold is bounded by link_guard.h.
 */
#ifndef PH_IPC_LINK_ZMQ_H
#define PH_IPC_LINK_ZMQ_H

#include "ipc/transport.h"

const struct ph_transport *ph_link_zmq(void);

#endif
