/* The contract of links over ZeroMQ, on loopback. Node 1 is reached through a fault proxy. */
#include "ipc/link_zmq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "tests/contract/link_nodes.h"
#include "tests/lib/proxy.h"

enum { BEHIND_PROXY = 1 };

struct zmq_net {
    struct link_nodes nodes;
    struct proxy *proxy; /* NULL until a node is deafened */
    char advertise[64];
};

static void *create(void)
{
    struct zmq_net *net = ph_alloc(sizeof *net);
    net->proxy = proxy_start();
    snprintf(net->advertise, sizeof net->advertise, "tcp://127.0.0.1:%u", proxy_port(net->proxy));
    return net;
}

static void destroy(void *context)
{
    struct zmq_net *net = context;
    link_nodes_end_all(&net->nodes);
    proxy_stop(net->proxy);
    ph_free(net);
}

/* A port that was free a moment ago: where a node that listens there is, has to be known before. */
static void choose_port(struct link_nodes *nodes, unsigned index)
{
    struct ph_node *node = NULL;
    struct ph_links *links = NULL;
    assert_int_equal(
        ph_node_create(&(struct ph_node_config){.name = "probe", .workers = 1}, &node, NULL), 0);
    assert_int_equal(ph_links_start(node, &(struct ph_links_config){0}, &links, NULL), 0);
    snprintf(nodes->listen[index], sizeof nodes->listen[index], "%s", ph_links_endpoint(links));
    ph_links_stop(links);
    ph_node_destroy(node);
}

static void start(void *context, unsigned index, const char *name, const char *cluster, int join)
{
    struct zmq_net *net = context;
    struct ph_links_config config = {.cluster = cluster};
    if (!net->nodes.listen[index][0])
        choose_port(&net->nodes, index);
    if (index == BEHIND_PROXY) {
        proxy_command(net->proxy, "target %s", net->nodes.listen[index] + strlen("tcp://"));
        proxy_command(net->proxy, "heal"); /* the process is there: its port is open again */
        config.advertise = net->advertise;
    }
    link_nodes_start(&net->nodes, index, name, join, config);
}

static void end(void *context, unsigned index, bool goodbye)
{
    struct zmq_net *net = context;
    link_nodes_end(&net->nodes, index, goodbye);
    if (index == BEHIND_PROXY)
        proxy_command(net->proxy, "refuse");
}

static void deafen(void *context, unsigned index, bool deaf)
{
    struct zmq_net *net = context;
    assert_int_equal(index, BEHIND_PROXY);
    proxy_command(net->proxy, deaf ? "cut" : "heal");
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
