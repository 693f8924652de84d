/* Real nodes with links, for the contract of links: what the loop and ZeroMQ have in common. */
#ifndef PH_TESTS_CONTRACT_LINK_NODES_H
#define PH_TESTS_CONTRACT_LINK_NODES_H

#include "engine/limits.h"
#include "ipc/links.h"
#include "tests/contract/link_contract.h"

struct link_nodes {
    struct ph_node *nodes[LINK_NODES_MAX];
    struct ph_links *links[LINK_NODES_MAX];
    unsigned index_of[LINK_NODES_MAX];                /* what the service function is told */
    char listen[LINK_NODES_MAX][PH_ENDPOINT_MAX + 1]; /* the place of its last life; "": none */
};

/* Fills in listen and advertise, starts and joins. */
void link_nodes_start(struct link_nodes *, unsigned index, const char *name, int join,
                      struct ph_links_config config);
void link_nodes_end(struct link_nodes *, unsigned index, bool goodbye);
void link_nodes_end_all(struct link_nodes *);

/* For struct link_net; `net` begins with a struct link_nodes. */
uint64_t link_nodes_find(void *net, unsigned index, const char *name);
void link_nodes_send(void *net, unsigned index, uint64_t peer, enum ph_link_class,
                     const void *bytes, size_t length);
uint64_t link_nodes_room(void *net, unsigned index, uint64_t peer);
void link_nodes_reset(void *net, unsigned index, uint64_t peer);
void link_nodes_trouble(void *net, unsigned index, char *text, size_t size);
bool link_nodes_until(void *net, bool (*done)(void *), void *arg, unsigned ms);

#endif
