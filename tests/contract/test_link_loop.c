/* The contract of links between nodes of one process, through memory. */
#include "ipc/link_loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "tests/contract/link_nodes.h"

struct loop_net {
    struct link_nodes nodes;
    struct ph_loop_wire *wire;
};

static void *create(void)
{
    struct loop_net *net = ph_alloc(sizeof *net);
    net->wire = ph_loop_wire_create();
    for (unsigned i = 0; i < LINK_NODES_MAX; i++)
        snprintf(net->nodes.listen[i], sizeof net->nodes.listen[i], "loop://place%u", i);
    return net;
}

static void destroy(void *context)
{
    struct loop_net *net = context;
    link_nodes_end_all(&net->nodes);
    ph_loop_wire_destroy(net->wire);
    ph_free(net);
}

static void start(void *context, unsigned index, const char *name, const char *cluster, int join)
{
    struct loop_net *net = context;
    link_nodes_start(&net->nodes, index, name, join,
                     (struct ph_links_config){
                         .cluster = cluster,
                         .transport = ph_link_loop(),
                         .transport_context = net->wire,
                     });
}

static void end(void *context, unsigned index, bool goodbye)
{
    link_nodes_end(context, index, goodbye);
}

static void deafen(void *context, unsigned index, bool deaf)
{
    struct loop_net *net = context;
    for (unsigned i = 0; i < LINK_NODES_MAX; i++)
        ph_loop_wire_cut(net->wire, net->nodes.listen[i], net->nodes.listen[index], deaf);
}

int main(void)
{
    static const struct link_net ops = {
        .create = create,
        .destroy = destroy,
        .start = start,
        .end = end,
        .deafen = deafen,
        .find = link_nodes_find,
        .send = link_nodes_send,
        .room = link_nodes_room,
        .reset = link_nodes_reset,
        .trouble = link_nodes_trouble,
        .until = link_nodes_until,
    };
    return link_contract_run(&ops);
}
