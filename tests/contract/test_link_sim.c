/* The contract of links over the simulated wire: the mesh alone, on virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/contract/link_contract.h"
#include "tests/lib/simwire.h"

static void take(void *arg, struct sim_node *node, uint64_t peer, const char *hub,
                 size_t hub_length, const void *bytes, size_t length)
{
    (void)arg;
    (void)peer;
    (void)hub;
    assert_int_equal(hub_length, 0);
    link_contract_take(node->index, bytes, length);
}

static void *create(void)
{
    struct sim_net *net = sim_create(1);
    net->frame = take;
    net->bytes_per_ms = 100000;
    return net;
}

static void destroy(void *net)
{
    sim_destroy(net);
}

static void start(void *net, unsigned index, const char *name, const char *cluster, int join)
{
    sim_start(net, index, name, cluster);
    if (join >= 0)
        sim_join(net, index, (unsigned)join);
}

static bool has_left(void *arg)
{
    return ph_mesh_has_left(arg);
}

static void end(void *net, unsigned index, bool goodbye)
{
    struct sim_net *sim = net;
    if (goodbye) {
        ph_mesh_leave(sim->nodes[index].mesh, sim->now_ms);
        assert_true(sim_until(sim, 2000, has_left, sim->nodes[index].mesh));
    }
    sim_kill(sim, index);
}

static void deafen(void *net, unsigned index, bool deaf)
{
    struct sim_net *sim = net;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        sim->cut[i][index] = deaf;
}

static uint64_t find(void *net, unsigned index, const char *name)
{
    return sim_peer(net, index, name);
}

static void send_frame(void *net, unsigned index, uint64_t peer, enum ph_link_class class,
                       const void *bytes, size_t length)
{
    sim_send(net, index, peer, "", class, bytes, length);
}

static uint64_t room(void *net, unsigned index, uint64_t peer)
{
    return ph_mesh_room(((struct sim_net *)net)->nodes[index].mesh, peer);
}

static void reset(void *net, unsigned index, uint64_t peer)
{
    struct sim_net *sim = net;
    ph_mesh_reset(sim->nodes[index].mesh, peer, sim->now_ms);
    sim_forget(sim, index, peer);
}

static void trouble(void *net, unsigned index, char *text, size_t size)
{
    snprintf(text, size, "%s", ((struct sim_net *)net)->nodes[index].trouble);
}

static bool until(void *net, bool (*done)(void *), void *arg, unsigned ms)
{
    return sim_until(net, ms, done, arg);
}

int main(void)
{
    static const struct link_net ops = {
        .create = create,
        .destroy = destroy,
        .start = start,
        .end = end,
        .deafen = deafen,
        .find = find,
        .send = send_frame,
        .room = room,
        .reset = reset,
        .trouble = trouble,
        .until = until,
    };
    return link_contract_run(&ops);
}
