/*
 * A wire between meshes on virtual time: it loses, doubles, delays, reorders and cuts, all drawn
 * from one seed. One thread.
 */
#ifndef PH_TESTS_LIB_SIMWIRE_H
#define PH_TESTS_LIB_SIMWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prng.h"
#include "ipc/mesh.h"

enum { SIM_NODES_MAX = 8, SIM_CHANNELS_MAX = 512, SIM_PEERS_MAX = 64 };

struct sim_net;

/* What a node was told of one peer. */
struct sim_peer {
    struct ph_peer peer;
    bool down;
    enum ph_peer_end why;
};

struct sim_node {
    struct sim_net *net;
    unsigned index;
    struct ph_mesh *mesh; /* NULL: not running */
    char name[65], endpoint[129];
    uint64_t lives;
    char endpoints[SIM_CHANNELS_MAX][129]; /* of the open channels; "": closed */
    struct sim_peer peers[SIM_PEERS_MAX];  /* in the order in which they came up */
    unsigned peer_count, clashes;
    char clash_name[65], trouble[200];
    uint64_t down_ms; /* when a peer went down last */
};

struct sim_net {
    uint64_t now_ms;
    struct ph_prng prng;
    struct ph_mesh_setup setup; /* the limits of nodes that are started */
    struct sim_node nodes[SIM_NODES_MAX];
    /* Of every frame: in thousandths, and milliseconds. */
    unsigned loss, twice, late;
    uint64_t delay_ms, late_ms;
    uint64_t bytes_per_ms; /* 0: no bound */
    uint64_t busy_until_us[SIM_NODES_MAX][SIM_NODES_MAX];
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* from, to */
    bool silent_refusals;                   /* a node that is gone is not told of */
    char alias[129]; /* another endpoint that leads to node `alias_to`; "": none */
    unsigned alias_to;
    struct sim_packet *heap[65536];
    size_t packets;
    uint64_t order;
    void (*frame)(void *arg, struct sim_node *, uint64_t peer, const char *hub, size_t hub_length,
                  const void *bytes, size_t length);
    /* May look at and change a frame that is sent; false: it is lost. */
    bool (*tap)(void *arg, struct sim_node *from, unsigned to, void *bytes, size_t length);
    void *arg;
};

struct sim_net *sim_create(uint64_t seed);
void sim_destroy(struct sim_net *);

/* A new life of node `index` at tcp://127.0.0.1:(1000 + index); `name` NULL: "nINDEX". */
void sim_start(struct sim_net *, unsigned index, const char *name, const char *cluster);
void sim_start_at(struct sim_net *, unsigned index, const char *name, const char *cluster,
                  const char *endpoint);
void sim_kill(struct sim_net *, unsigned index);
void sim_join(struct sim_net *, unsigned index, unsigned to);

/* Lets everything happen until `ms` later. */
void sim_run(struct sim_net *, uint64_t ms);
/* Until `done` or `ms` later: whether it was. */
bool sim_until(struct sim_net *, uint64_t ms, bool (*done)(void *arg), void *arg);

/* A copy of the bytes arrives at node `to` now. */
void sim_inject(struct sim_net *, unsigned to, const void *bytes, size_t length);

/* The live peer of that name; 0: none. */
uint64_t sim_peer(struct sim_net *, unsigned index, const char *name);
const struct sim_peer *sim_told(const struct sim_net *, unsigned index, uint64_t peer);
/* Its session was reset by us: nobody will tell that it is down. */
void sim_forget(struct sim_net *, unsigned index, uint64_t peer);
/* The number of live peers, as the node was told. */
unsigned sim_live(const struct sim_net *, unsigned index);
uint64_t sim_refused(const struct sim_net *, unsigned index, enum ph_mesh_refusal);

void sim_send(struct sim_net *, unsigned index, uint64_t peer, const char *hub, enum ph_link_class,
              const void *bytes, size_t length);

#endif
