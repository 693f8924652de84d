/*
 * The mesh's own state, for the files that are its parts (mesh*.c).
 *
 * A *link* is one endpoint that we call, with one channel. It is CALLING until the other side has
 * answered our question, then UP. A seed that turned out to be another name for a node's endpoint,
 * or to lead to ourselves, is an ALIAS. A link that only carries a refusal is REFUSING.
 */
#ifndef PH_IPC_MESH_INSIDE_H
#define PH_IPC_MESH_INSIDE_H

#include "engine/prng.h"
#include "ipc/mesh.h"
#include "ipc/wire.h"

enum {
    PH_MESH_RETRY_MAX_MS = 5000,
    PH_MESH_RTO_MAX_MS = 2000,
    PH_MESH_PROBE_MS = 1000,     /* a peer that is silent as long while we speak is asked */
    PH_MESH_STRANGER_MS = 10000, /* an unproven caller is forgotten after */
    PH_MESH_FORGET_MS = 24 * 3600 * 1000, /* a node that is no seed and does not answer, too */
    PH_MESH_MEET_MS = 30000,              /* one that was only heard of is called for so long */
    PH_MESH_LEAVE_MS = 1000,
    PH_MESH_GAPS = 3,        /* acknowledgements with a gap that make us go back */
    PH_MESH_DELAY_MS = 100,  /* queueing on the way beyond this shrinks the window */
    PH_MESH_ACK_FRAMES = 64, /* unacknowledged frames that are acknowledged at once */
    PH_MESH_SPARES_MAX = 32,
};

/* A frame that is in flight: encoded, with room for its header. */
struct ph_mesh_sent {
    struct ph_mesh_sent *next;
    uint64_t sequence, sent_ms;
    bool on_wire, again;
    struct ph_text frame;
};

struct ph_mesh_message {
    struct ph_mesh_message *next;
    struct ph_text bytes;
    size_t at; /* how much of it was cut into frames */
    unsigned flags;
    size_t hub_length;
    char hub[PH_NAME_MAX + 1];
};

/* One direction of a session each. */
struct ph_mesh_out {
    struct ph_mesh_message *queue, **queue_end;
    struct ph_mesh_sent *sent, **sent_end; /* in order of their sequences */
    struct ph_mesh_sent *cursor;           /* the first that is to be sent again */
    uint64_t sequence, acked;              /* the last one used; up to which all have arrived */
    uint64_t queued_bytes, wire_bytes, frames;
    uint64_t window, credit;
    uint64_t rtt_ms, rtt_min_ms, deviation_ms, rto_ms, rto_at; /* rto_at UINT64_MAX: none runs */
    uint64_t shrink_after; /* the window shrinks once until this sequence is acknowledged */
    unsigned gaps;
    uint64_t gaps_from_ms; /* gaps are counted from then on */
};

struct ph_mesh_in {
    uint64_t sequence;                              /* the last one that arrived in order */
    uint64_t unacked_bytes, unacked_frames, ack_at; /* ack_at UINT64_MAX: nothing to tell */
    bool gap, open;                                 /* open: a message is being put together */
    struct ph_text message;
    uint64_t total;
    unsigned flags;
    size_t hub_length;
    char hub[PH_NAME_MAX + 1];
};

enum ph_mesh_state { PH_MESH_CALLING, PH_MESH_UP, PH_MESH_ALIAS, PH_MESH_REFUSING };

struct ph_mesh_link {
    struct ph_mesh_link *next;
    enum ph_mesh_state state;
    bool seed;
    bool stranger; /* it called us and has proven nothing yet */
    bool gone;     /* to be freed when nobody walks over the links */
    bool broken;   /* its session ends with the next tick */
    bool parted;   /* goodbye was said */
    uint32_t channel;
    uint64_t token;      /* our question */
    uint64_t question;   /* theirs; 0: none yet */
    uint64_t nonce;      /* theirs; 0: not known */
    uint64_t session;    /* the one that is open or that we ask for */
    struct ph_peer peer; /* number 0 unless UP; name "" until it is known; the endpoint we dial */
    uint64_t heard_ms, spoken_ms; /* spoken: the first send since it was heard; 0: none */
    uint64_t hello_at, pause_ms;  /* hello_at: also of the next question to a silent peer */
    uint64_t expires_at;
    struct ph_text refusal; /* of REFUSING: the frame */
    struct ph_mesh_out out;
    struct ph_mesh_in in;
    struct ph_mesh_stats stats;
};

struct ph_mesh {
    char name[PH_NAME_MAX + 1], endpoint[PH_ENDPOINT_MAX + 1], cluster[PH_NAME_MAX + 1];
    struct ph_mesh_setup setup;
    struct ph_prng prng;
    struct ph_mesh_link *links, **links_end; /* in order of creation */
    struct ph_mesh_link *recent;             /* found last; NULL: none */
    unsigned count, strangers;
    uint32_t channel;
    uint64_t number, session; /* the last ones used */
    uint64_t now_ms;
    bool leaving;
    uint64_t leave_by;
    struct ph_text scratch;      /* the frame being written */
    struct ph_mesh_sent *spares; /* kept with their memory: fresh pages cost more than a copy */
    unsigned spare_count;
    struct ph_mesh_stats totals;
};

/* ---- mesh.c */
void ph_mesh_refuse(struct ph_mesh *, enum ph_mesh_refusal);
/* The header of a frame on that link, with our acknowledgement in it if its session is open. */
struct ph_wire_header ph_mesh_header(const struct ph_mesh *, const struct ph_mesh_link *,
                                     enum ph_wire_class);
/* Seals and sends a frame on the link's channel and counts it. */
void ph_mesh_transmit(struct ph_mesh *, struct ph_mesh_link *, struct ph_wire_header, void *frame,
                      size_t length);
/* The session ends; the link calls again, under a higher number. PEER_DOWN is told if it was UP. */
void ph_mesh_down(struct ph_mesh *, struct ph_mesh_link *, enum ph_peer_end);

/* ---- mesh_hello.c */
void ph_mesh_take_hello(struct ph_mesh *, const struct ph_wire_header *, const void *body);
void ph_mesh_take_refuse(struct ph_mesh *, const struct ph_wire_header *, const void *body);
void ph_mesh_take_nodes(struct ph_mesh *, struct ph_mesh_link *, const void *bytes, size_t length);
void ph_mesh_hello_tick(struct ph_mesh *, struct ph_mesh_link *);
uint64_t ph_mesh_hello_deadline(const struct ph_mesh *, const struct ph_mesh_link *);
void ph_mesh_say_hello(struct ph_mesh *, struct ph_mesh_link *, bool asks);

/* ---- mesh_links.c: the table. Those that are gone are not found. */
struct ph_mesh_link *ph_mesh_link_create(struct ph_mesh *, const char *endpoint);
void ph_mesh_link_drop(struct ph_mesh *, struct ph_mesh_link *);
void ph_mesh_link_dial(struct ph_mesh *, struct ph_mesh_link *); /* a new channel and question */
void ph_mesh_sweep(struct ph_mesh *); /* frees those that are gone; nobody walks */
/* It has proven to be who it says. */
void ph_mesh_link_prove(struct ph_mesh *, struct ph_mesh_link *);
struct ph_mesh_link *ph_mesh_link_by_token(const struct ph_mesh *, uint64_t token);
struct ph_mesh_link *ph_mesh_link_by_channel(const struct ph_mesh *, uint32_t channel);
/* The first at that endpoint that is in one of the states (a mask of 1 << state). */
struct ph_mesh_link *ph_mesh_link_by_endpoint(const struct ph_mesh *, const char *endpoint,
                                              unsigned states);
struct ph_mesh_link *ph_mesh_link_by_nonce(struct ph_mesh *, uint64_t nonce);
struct ph_mesh_link *ph_mesh_link_by_number(const struct ph_mesh *, uint64_t peer);
uint64_t ph_mesh_next_session(struct ph_mesh *, uint64_t at_least);

/* ---- mesh_stream.c */
void ph_mesh_stream_init(struct ph_mesh *, struct ph_mesh_link *);
void ph_mesh_stream_fini(struct ph_mesh *, struct ph_mesh_link *);
void ph_mesh_stream_free_spares(struct ph_mesh *);
void ph_mesh_stream_queue(struct ph_mesh *, struct ph_mesh_link *, const char *hub, unsigned flags,
                          struct ph_text *bytes);
void ph_mesh_stream_tick(struct ph_mesh *, struct ph_mesh_link *);
uint64_t ph_mesh_stream_deadline(const struct ph_mesh *, const struct ph_mesh_link *);
void ph_mesh_take_ack(struct ph_mesh *, struct ph_mesh_link *, const struct ph_wire_header *);
void ph_mesh_take_stream(struct ph_mesh *, struct ph_mesh_link *, const struct ph_wire_header *,
                         const void *body);
/* An acknowledgement of everything goes out with this header. */
void ph_mesh_acknowledged(struct ph_mesh_link *);

#endif
