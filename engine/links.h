/*
 * What a node needs of its links, and what links tell their node. Implemented by ipc/links.c over
 * ZeroMQ and by the simulator; the engine knows no sockets.
 *
 * A *peer* is one session with one life of another node's process, numbered by us and never reused.
 * Within a session, frames of the class STREAM arrive exactly once and in order, each whole,
 * however large; frames of the class BEAT may be lost, overtake streams and never wait behind them.
 * A session ends when the peer is gone, was started again, or ph_links_port.reset was called; what
 * was under way is lost then, and a new session is a new peer.
 *
 * Frames carry the name of the hub that they are for; the node hands them to that hub's queue.
 */
#ifndef PH_ENGINE_LINKS_H
#define PH_ENGINE_LINKS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"

enum ph_link_class { PH_LINK_BEAT, PH_LINK_STREAM };

enum { PH_NAME_TAKEN_MS = 8000 /* so long it counts; longer than links pause between two tries */ };

/* All on any thread; none blocks or calls back into a hub. */
struct ph_links_port {
    /* Queues a frame for hub `hub` on that peer; the text is moved (left empty). A peer that is
     * gone: it is dropped. */
    void (*send)(void *context, uint64_t peer, const char *hub, enum ph_link_class,
                 struct ph_text *frame);
    /* How many bytes of stream may be queued to that peer now; 0: it is congested or gone. */
    uint64_t (*room)(void *context, uint64_t peer);
    /* Ends the session and drops what is queued. No PEER_DOWN is told. When the other side answers
     * again there is a new peer. */
    void (*reset)(void *context, uint64_t peer);
};

struct ph_links_port_binding {
    const struct ph_links_port *port; /* NULL: this node stays alone */
    void *context;
};

enum ph_peer_end {
    PH_PEER_REFUSED,  /* nothing listens at its endpoint any more: its process is gone */
    PH_PEER_CLOSED,   /* it said goodbye */
    PH_PEER_REPLACED, /* it was started again: a new peer of that name follows */
    PH_PEER_LOST,     /* the session broke; it may come back as a new peer */
};

/* What a hub is told of a peer. */
struct ph_peer {
    uint64_t number;
    char name[65];
    char endpoint[129];
};

/* ---- The links' side: called on the links' thread ------------------------------------------- */

/* A number that rises from one start of a node to the next: the time of day in ms, and chance. The
 * upper 32 bits are seconds. */
static inline uint64_t ph_incarnation(uint64_t wall_ms, uint64_t random)
{
    return wall_ms / 1000 << 32 | wall_ms % 1000 << 22 | random >> 42;
}
static inline uint64_t ph_incarnation_ms(uint64_t incarnation)
{
    return (incarnation >> 32) * 1000 + (incarnation >> 22 & 1023);
}

/* Binds links to a node, before its first hub is created. `listen` is the endpoint that others
 * reach this node by; `incarnation` rises from one start of this node to the next. */
void ph_node_bind_links(struct ph_node *, struct ph_links_port_binding binding, const char *listen,
                        uint64_t incarnation);
uint64_t ph_node_incarnation(const struct ph_node *); /* of this start of the node */

void ph_node_peer_up(struct ph_node *, const struct ph_peer *peer);
void ph_node_peer_down(struct ph_node *, uint64_t peer, enum ph_peer_end why);
/* Another node keeps this node's name: to be told again within PH_NAME_TAKEN_MS, if it does. */
void ph_node_name_taken(struct ph_node *);
/* A peer whose session a hub reset: hubs that come later are not told of it. Nobody is told. */
void ph_node_peer_forget(struct ph_node *, uint64_t peer);
/* `bytes` are copied. A hub that does not run here: the frame is dropped; false tells. */
bool ph_node_frame(struct ph_node *, uint64_t peer, const char *hub, size_t hub_length,
                   const void *bytes, size_t length);

#endif
