#include "tests/contract/link_nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/node.h"
#include "tests/lib/eventually.h"

static void take(void *arg, uint64_t peer, const void *bytes, size_t length)
{
    const unsigned *index = arg;
    (void)peer;
    link_contract_take(*index, bytes, length);
}

void link_nodes_start(struct link_nodes *nodes, unsigned index, const char *name, int join,
                      struct ph_links_config config)
{
    char own[8];
    struct ph_error error = {0};
    const char *joins[1];
    snprintf(own, sizeof own, "n%u", index);
    struct ph_node_config node = {.name = name ? name : own, .workers = 1, .seed = 1};
    if (ph_node_create(&node, &nodes->nodes[index], &error))
        fail_msg("no node: %s", error.text);
    if (nodes->listen[index][0])
        config.listen = nodes->listen[index];
    if (join >= 0) {
        joins[0] = ph_links_endpoint(nodes->links[join]);
        config.joins = joins;
        config.join_count = 1;
    }
    if (ph_links_start(nodes->nodes[index], &config, &nodes->links[index], &error))
        fail_msg("no links: %s", error.text);
    nodes->index_of[index] = index;
    ph_links_on_service(nodes->links[index], take, &nodes->index_of[index]);
}

void link_nodes_end(struct link_nodes *nodes, unsigned index, bool goodbye)
{
    if (goodbye)
        ph_links_leave(nodes->links[index]);
    ph_links_stop(nodes->links[index]);
    ph_node_destroy(nodes->nodes[index]);
    nodes->links[index] = NULL;
    nodes->nodes[index] = NULL;
}

void link_nodes_end_all(struct link_nodes *nodes)
{
    for (unsigned i = 0; i < LINK_NODES_MAX; i++)
        if (nodes->nodes[i])
            link_nodes_end(nodes, i, false);
}

uint64_t link_nodes_find(void *net, unsigned index, const char *name)
{
    return ph_links_find_peer(((struct link_nodes *)net)->links[index], name);
}

void link_nodes_send(void *net, unsigned index, uint64_t peer, enum ph_link_class class,
                     const void *bytes, size_t length)
{
    const struct ph_links_port_binding *binding = &((struct link_nodes *)net)->nodes[index]->links;
    struct ph_text frame = PH_TEXT_INIT;
    ph_text_append(&frame, bytes, length);
    binding->port->send(binding->context, peer, "", class, &frame);
}

uint64_t link_nodes_room(void *net, unsigned index, uint64_t peer)
{
    const struct ph_links_port_binding *binding = &((struct link_nodes *)net)->nodes[index]->links;
    return binding->port->room(binding->context, peer);
}

void link_nodes_reset(void *net, unsigned index, uint64_t peer)
{
    const struct ph_links_port_binding *binding = &((struct link_nodes *)net)->nodes[index]->links;
    binding->port->reset(binding->context, peer);
}

struct last {
    char *text;
    size_t size;
};

static bool take_trouble(void *arg, const char *endpoint, const char *text)
{
    const struct last *last = arg;
    assert_true(endpoint[0]);
    snprintf(last->text, last->size, "%s", text);
    return true;
}

void link_nodes_trouble(void *net, unsigned index, char *text, size_t size)
{
    struct last last = {.text = text, .size = size};
    text[0] = '\0';
    ph_links_each_trouble(((struct link_nodes *)net)->links[index], take_trouble, &last);
}

bool link_nodes_until(void *net, bool (*done)(void *), void *arg, unsigned ms)
{
    (void)net;
    return eventually(done, arg, ms);
}
