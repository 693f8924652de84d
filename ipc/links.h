/*
 * The links of one node: a thread that owns its transport and runs its mesh.
 *
 * Everything between nodes passes here: frames of hubs go to the node (engine/links.h), frames for
 * the node itself to one service function, and what keeps nodes apart is kept as texts for people.
 *
 * Threads: start, leave and stop belong to the owner. All else may be called on any thread and
 * never waits: sends travel to the links' thread in a queue without locks, figures are read under a
 * lock that is held for a few instructions.
 *
 * Order: links are started before the node's first hub and stopped after its last one is gone:
 * hubs say goodbye, ph_links_leave, ph_links_stop, ph_node_destroy.
 */
#ifndef PH_IPC_LINKS_H
#define PH_IPC_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/links.h"
#include "engine/prochub.h"
#include "ipc/mesh.h"

struct ph_discovery_stats;
struct ph_links;
struct ph_transport;

enum { PH_LINKS_TROUBLES_MAX = 32, PH_LINKS_JOINS_MAX = 64 };

struct ph_links_config {
    const char *listen;    /* "tcp://127.0.0.1:*": the kernel picks the port; NULL: that one */
    const char *advertise; /* where others are to call us, when it is not there; NULL: there */
    const char *const *joins;
    size_t join_count;
    const char *cluster;  /* NULL: "" */
    const char *beacon;   /* "ADDR:PORT", see discovery.h; NULL: none */
    uint64_t incarnation; /* 0: the node's */
    /* 0: the defaults of ipc/mesh.h. */
    uint64_t window_bytes, queue_bytes_max;
    const struct ph_transport *transport; /* NULL: ZeroMQ */
    void *transport_context;
};

/* Binds, and binds itself to the node. PH_EUSAGE for what is no endpoint, PH_EREFUSED for one
 * beyond this machine, -EADDRINUSE; with a text. */
PH_MUST_CHECK int ph_links_start(struct ph_node *, const struct ph_links_config *,
                                 struct ph_links **links, struct ph_error *);

/* Says goodbye to all peers; returns when that is done, within two seconds. */
void ph_links_leave(struct ph_links *);
/* NULL is fine. */
void ph_links_stop(struct ph_links *);

/* Where others reach us. */
const char *ph_links_endpoint(const struct ph_links *);

/* Calls one more seed, for ever. PH_EUSAGE, PH_EREFUSED, PH_ELIMIT with a text. */
PH_MUST_CHECK int ph_links_join(struct ph_links *, const char *endpoint, struct ph_error *);

/* The live peer of that name; 0: none. */
uint64_t ph_links_find_peer(struct ph_links *, const char *name);

/* As of the last turn of the links' thread: of one peer, or with 0 of all. */
void ph_links_stats(struct ph_links *, uint64_t peer, struct ph_mesh_stats *);
/* Likewise of the beacon; false: there is none. */
bool ph_links_beacon_stats(struct ph_links *, struct ph_discovery_stats *);

/* Why there is no session with what answers at an endpoint: the last text of each, until there is
 * a session. `fn` gets copies. */
void ph_links_each_trouble(struct ph_links *,
                           bool (*fn)(void *arg, const char *endpoint, const char *text),
                           void *arg);

/* Frames for the node itself, not for a hub. `fn` runs on the links' thread: it must be quick and
 * may call ph_links_service_send. NULL: they are dropped. */
typedef void (*ph_links_service)(void *arg, uint64_t peer, const void *bytes, size_t length);
void ph_links_on_service(struct ph_links *, ph_links_service fn, void *arg);
/* Queues a stream; the text is moved. */
void ph_links_service_send(struct ph_links *, uint64_t peer, struct ph_text *frame);

#endif
