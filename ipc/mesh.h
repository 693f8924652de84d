/*
 * The protocol of all links of one node, as a pure machine: no socket, clock, thread or global.
 *
 * Bytes, times and orders go in; bytes, peers and frames come out through struct ph_mesh_port. So
 * ZeroMQ (link_zmq.h), nodes of one process (link_loop.h) and the simulator run the same code, and
 * a run replays from its seed. The format and the rules stand in docs/wire.md.
 *
 * The transport is taken for what ZeroMQ is: it loses, doubles and reorders frames and tells no
 * one. A *channel* is one way out, to one endpoint; what others send comes in by
 * ph_mesh_receive, from wherever. Towards each node there is a channel of ours, and a session once
 * each side has answered the other's question, asked with a fresh random token: so neither a
 * replayed frame nor a forged name opens or replaces one. A session has a number that never comes
 * again between two lives, so what is left over of an old one is known by it and refused.
 *
 * Bounds: PH_MESH_PEERS_MAX nodes, of which PH_MESH_STRANGERS_MAX may be unproven callers; per peer
 * `queue_bytes_max` queued, `window_bytes` and PH_MESH_FRAMES_MAX frames in flight, one message of
 * `message_bytes_max` being put together, for which memory is taken only as its bytes arrive.
 *
 * One thread at a time. The port may call ph_mesh_send and ph_mesh_room back, nothing else.
 * Text and bytes given to the port are borrowed until it returns.
 */
#ifndef PH_IPC_MESH_H
#define PH_IPC_MESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/links.h"
#include "engine/text.h"

enum {
    PH_MESH_PEERS_MAX = 1024,
    PH_MESH_STRANGERS_MAX = 64,
    PH_MESH_FRAMES_MAX = 1024, /* in flight to one peer */
};

struct ph_mesh_port {
    /* Begins to connect; the transport goes on trying until the channel is closed. */
    void (*open)(void *context, uint32_t channel, const char *endpoint);
    void (*close)(void *context, uint32_t channel);
    /* Sends at once or loses it; never waits. Copies. */
    void (*transmit)(void *context, uint32_t channel, const void *bytes, size_t length);
    void (*peer_up)(void *context, const struct ph_peer *);
    void (*peer_down)(void *context, uint64_t peer, enum ph_peer_end);
    /* `hub` is "" for a frame of the node itself (ph_mesh_send with the hub ""). */
    void (*frame)(void *context, uint64_t peer, const char *hub, size_t hub_length,
                  const void *bytes, size_t length);
    /* Two live nodes have the name. `refused`: it is ours, and the one at `endpoint` keeps it; told
     * again with each try to link, while it does. Else the one at `endpoint` was refused. */
    void (*clash)(void *context, const char *name, const char *endpoint, bool refused);
    /* Why there is no session with what answers at `endpoint`, for people. May be NULL. */
    void (*trouble)(void *context, const char *endpoint, const char *text);
};

struct ph_mesh_setup {
    const char *name, *endpoint; /* ours, as others are to reach it */
    const char *cluster;         /* only nodes with the same one are spoken to; NULL: "" */
    uint64_t incarnation;        /* rises from one start of this node to the next */
    uint64_t nonce;              /* random, of this life of the process; not 0 */
    uint64_t seed;               /* of the tokens, unpredictable for others; 0: from the nonce */
    uint64_t now_ms;
    /* 0: the default. Tests shrink them. */
    uint64_t retry_ms;          /* the first pause between two hellos (100), doubled up to 5 s */
    uint64_t clash_ms;          /* a name is taken while its node was heard within (3 s) */
    uint64_t ack_delay_ms;      /* an acknowledgement waits so long for company (20) */
    uint64_t rto_min_ms;        /* the shortest time until a frame is sent again (200) */
    uint64_t window_bytes;      /* in flight to a peer (4 MiB) */
    uint64_t queue_bytes_max;   /* queued to a peer, in flight included (256 MiB) */
    uint64_t chunk_bytes;       /* the largest body of a frame (64 KiB; at least 1 KiB) */
    uint64_t message_bytes_max; /* (256 MiB) */
    const struct ph_mesh_port *port;
    void *context;
};

struct ph_mesh;

/* Copies the setup's texts; the port is borrowed. PH_EUSAGE for a bad name, endpoint or cluster. */
PH_MUST_CHECK int ph_mesh_create(const struct ph_mesh_setup *, struct ph_mesh **mesh,
                                 struct ph_error *);
void ph_mesh_destroy(struct ph_mesh *);

/* Calls the node at `endpoint`, for ever; the others come by it. PH_EUSAGE, PH_ELIMIT. */
int ph_mesh_join(struct ph_mesh *, const char *endpoint, uint64_t now_ms);

/* Heard of a node, from whomever: it is called for a while, unless it is known. */
void ph_mesh_meet(struct ph_mesh *, const char *name, const char *endpoint, uint64_t now_ms);

/* A frame came in. */
void ph_mesh_receive(struct ph_mesh *, const void *bytes, size_t length, uint64_t now_ms);

/* The transport cut off so many connections that took too much, or were too many: PH_MESH_LIMIT. */
void ph_mesh_cut_off(struct ph_mesh *, uint64_t connections);

/* The transport saw that nothing listens at a channel's endpoint. */
void ph_mesh_refused(struct ph_mesh *, uint32_t channel, uint64_t now_ms);

/* The transport connected a channel, or connected it again: hellos go out at once. A hint. */
void ph_mesh_connected(struct ph_mesh *, uint32_t channel, uint64_t now_ms);

/* As ph_links_port.send, .room and .reset. A stream goes out with the next tick, which is due at
 * once; a beat now. A beat that does not fit one frame is dropped. */
void ph_mesh_send(struct ph_mesh *, uint64_t peer, const char *hub, enum ph_link_class,
                  struct ph_text *frame, uint64_t now_ms);
uint64_t ph_mesh_room(const struct ph_mesh *, uint64_t peer);
void ph_mesh_reset(struct ph_mesh *, uint64_t peer, uint64_t now_ms);

/* Says goodbye to all, to each when it has acknowledged what is queued or after one second; takes
 * no one any more. Nobody is told that peers are down. */
void ph_mesh_leave(struct ph_mesh *, uint64_t now_ms);
bool ph_mesh_has_left(const struct ph_mesh *);

/* Does what is due. */
void ph_mesh_tick(struct ph_mesh *, uint64_t now_ms);

/* When the next tick is due; UINT64_MAX: not before something happens. */
uint64_t ph_mesh_next_deadline(const struct ph_mesh *);

/* The live peer of that name; 0: there is none. */
uint64_t ph_mesh_find(const struct ph_mesh *, const char *name);

/* Each live peer, in the order in which we came to know them, until `fn` returns false. */
void ph_mesh_each_peer(const struct ph_mesh *, bool (*fn)(void *arg, const struct ph_peer *),
                       void *arg);

/* Why a frame was dropped. */
#define PH_MESH_REFUSAL_MAP(X)                                               \
    X(MALFORMED, "malformed") /* no header, or a body that makes no sense */ \
    X(VERSION, "version")     /* another version of the protocol */          \
    X(CHECKSUM, "checksum")                                                  \
    X(STRANGER, "stranger") /* no session with its source */                 \
    X(NONCE, "nonce")       /* meant for another life of ours */             \
    X(SESSION, "session")   /* of another session, or one not yet open */    \
    X(WINDOW, "window")     /* beyond what may be in flight */               \
    X(GAP, "gap")           /* an earlier one is missing; it comes again */  \
    X(DUPLICATE, "duplicate")                                                \
    X(TOKEN, "token") /* answers no question of ours */                      \
    X(OWN, "own")     /* our own frame, or our own name elsewhere */         \
    X(CLUSTER, "cluster")                                                    \
    X(CLASH, "clash")                                                        \
    X(LIMIT, "limit") /* too many peers, strangers or bytes */

enum ph_mesh_refusal {
#define PH_MESH_REFUSAL_ENUM(name, text) PH_MESH_##name,
    PH_MESH_REFUSAL_MAP(PH_MESH_REFUSAL_ENUM)
#undef PH_MESH_REFUSAL_ENUM
        PH_MESH_REFUSALS,
};

const char *ph_mesh_refusal_name(enum ph_mesh_refusal);

struct ph_mesh_stats {
    uint64_t bytes_in, bytes_out, frames_in, frames_out;
    uint64_t messages_in, messages_out; /* streams and beats, whole */
    uint64_t retransmits;               /* frames that were sent again */
    uint64_t refused[PH_MESH_REFUSALS]; /* totals only */
    uint64_t queued_bytes;              /* in flight included */
    uint64_t rtt_ms;                    /* of one peer */
    uint64_t peers;                     /* totals only: live ones */
};

/* Of one peer, or with 0 of all together since the start. A peer that is gone: all zero. */
void ph_mesh_stats(const struct ph_mesh *, uint64_t peer, struct ph_mesh_stats *);

#endif
