/*
 * What every transport of links promises, as one suite: over the simulated wire, in the memory of
 * one process and over ZeroMQ. Nodes are numbered; node I is named "nI" unless the test says so.
 */
#ifndef PH_TESTS_CONTRACT_LINK_CONTRACT_H
#define PH_TESTS_CONTRACT_LINK_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/links.h"

enum { LINK_NODES_MAX = 4, LINK_SOON_MS = 60000 };

struct link_net {
    void *(*create)(void);
    void (*destroy)(void *net);
    /* A new life; at the same place as the last one of that number. Joins node `join`, if >= 0. */
    void (*start)(void *net, unsigned index, const char *name, const char *cluster, int join);
    void (*end)(void *net, unsigned index, bool goodbye);
    /* Nothing that is sent to the node arrives from now on, or again. */
    void (*deafen)(void *net, unsigned index, bool deaf);
    uint64_t (*find)(void *net, unsigned index, const char *name);
    void (*send)(void *net, unsigned index, uint64_t peer, enum ph_link_class, const void *bytes,
                 size_t length);
    uint64_t (*room)(void *net, unsigned index, uint64_t peer);
    void (*reset)(void *net, unsigned index, uint64_t peer);
    /* The last of its troubles; "" when there is none. */
    void (*trouble)(void *net, unsigned index, char *text, size_t size);
    /* Waits until `done`, at most `ms`. */
    bool (*until)(void *net, bool (*done)(void *), void *arg, unsigned ms);
};

/* Runs the suite; for main to return. */
int link_contract_run(const struct link_net *);

/* What the transport under test calls with each frame; any thread. */
void link_contract_take(unsigned index, const void *bytes, size_t length);

#endif
