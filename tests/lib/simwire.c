#include "tests/lib/simwire.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"

struct sim_packet {
    uint64_t at_ms, order;
    unsigned to;
    uint32_t channel; /* of node `to`, which is refused; 0: bytes arrive */
    size_t length;
    unsigned char bytes[];
};

static bool is_before(const struct sim_packet *a, const struct sim_packet *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void push_packet(struct sim_net *net, struct sim_packet *packet)
{
    assert_true(net->packets < PH_COUNT_OF(net->heap));
    size_t at = net->packets++;
    packet->order = ++net->order;
    for (; at && is_before(packet, net->heap[(at - 1) / 2]); at = (at - 1) / 2)
        net->heap[at] = net->heap[(at - 1) / 2];
    net->heap[at] = packet;
}

static struct sim_packet *pop_packet(struct sim_net *net)
{
    struct sim_packet *first = net->heap[0], *last = net->heap[--net->packets];
    size_t at = 0;
    for (size_t child = 1; child < net->packets; child = 2 * at + 1) {
        if (child + 1 < net->packets && is_before(net->heap[child + 1], net->heap[child]))
            child++;
        if (!is_before(net->heap[child], last))
            break;
        net->heap[at] = net->heap[child];
        at = child;
    }
    net->heap[at] = last;
    return first;
}

static struct sim_packet *new_packet(struct sim_net *net, unsigned to, const void *bytes,
                                     size_t length)
{
    struct sim_packet *packet = ph_alloc(sizeof *packet + length);
    packet->at_ms = net->now_ms;
    packet->to = to;
    packet->length = length;
    if (length)
        memcpy(packet->bytes, bytes, length);
    return packet;
}

/* The node that listens at an endpoint; SIM_NODES_MAX: none. */
static unsigned listener(const struct sim_net *net, const char *endpoint)
{
    unsigned index = 0;
    if (strcmp(net->alias, endpoint) == 0)
        return net->nodes[net->alias_to].mesh ? net->alias_to : SIM_NODES_MAX;
    while (index < SIM_NODES_MAX &&
           (!net->nodes[index].mesh || strcmp(net->nodes[index].endpoint, endpoint) != 0))
        index++;
    return index;
}

static void sim_open(void *context, uint32_t channel, const char *endpoint)
{
    struct sim_node *node = context;
    assert_true(channel < SIM_CHANNELS_MAX);
    snprintf(node->endpoints[channel], sizeof node->endpoints[channel], "%s", endpoint);
}

static void sim_close(void *context, uint32_t channel)
{
    struct sim_node *node = context;
    assert_true(node->endpoints[channel][0]);
    node->endpoints[channel][0] = '\0';
}

/* When a frame that is sent now arrives. */
static uint64_t arrival(struct sim_net *net, unsigned from, unsigned to, size_t length)
{
    uint64_t at_ms = net->now_ms + net->delay_ms;
    if (net->bytes_per_ms) {
        uint64_t *busy = &net->busy_until_us[from][to];
        *busy = (*busy > net->now_ms * 1000 ? *busy : net->now_ms * 1000) +
                length * 1000 / net->bytes_per_ms;
        at_ms = *busy / 1000 + net->delay_ms;
    }
    if (ph_prng_below(&net->prng, 1000) < net->late)
        at_ms += ph_prng_below(&net->prng, net->late_ms + 1);
    return at_ms;
}

static void sim_transmit(void *context, uint32_t channel, const void *bytes, size_t length)
{
    struct sim_node *node = context;
    struct sim_net *net = node->net;
    assert_true(node->endpoints[channel][0]);
    unsigned to = listener(net, node->endpoints[channel]);
    if (to == SIM_NODES_MAX) {
        if (net->silent_refusals)
            return;
        struct sim_packet *refusal = new_packet(net, node->index, NULL, 0);
        refusal->at_ms++;
        refusal->channel = channel;
        push_packet(net, refusal);
        return;
    }
    if (net->cut[node->index][to] || ph_prng_below(&net->prng, 1000) < net->loss)
        return;
    unsigned copies = ph_prng_below(&net->prng, 1000) < net->twice ? 2 : 1;
    while (copies--) {
        struct sim_packet *packet = new_packet(net, to, bytes, length);
        if (net->tap && !net->tap(net->arg, node, to, packet->bytes, length)) {
            ph_free(packet);
            return;
        }
        packet->at_ms = arrival(net, node->index, to, length);
        push_packet(net, packet);
    }
}

static void sim_peer_up(void *context, const struct ph_peer *peer)
{
    struct sim_node *node = context;
    assert_true(node->peer_count < SIM_PEERS_MAX);
    for (unsigned i = 0; i < node->peer_count; i++) {
        const struct sim_peer *old = &node->peers[i];
        assert_true(old->peer.number != peer->number);
        /* A name and an endpoint have one live session. */
        assert_true(old->down || (strcmp(old->peer.name, peer->name) != 0 &&
                                  strcmp(old->peer.endpoint, peer->endpoint) != 0));
    }
    node->peers[node->peer_count++] = (struct sim_peer){.peer = *peer};
}

static void sim_peer_down(void *context, uint64_t peer, enum ph_peer_end why)
{
    struct sim_node *node = context;
    for (unsigned i = 0; i < node->peer_count; i++) {
        if (node->peers[i].peer.number != peer)
            continue;
        assert_false(node->peers[i].down);
        node->peers[i].down = true;
        node->peers[i].why = why;
        node->down_ms = node->net->now_ms;
        return;
    }
    fail_msg("a peer went down that never was up");
}

static void sim_frame(void *context, uint64_t peer, const char *hub, size_t hub_length,
                      const void *bytes, size_t length)
{
    struct sim_node *node = context;
    const struct sim_peer *told = sim_told(node->net, node->index, peer);
    assert_true(told && !told->down);
    if (node->net->frame)
        node->net->frame(node->net->arg, node, peer, hub, hub_length, bytes, length);
}

static void sim_clash(void *context, const char *name, const char *endpoint, bool refused)
{
    struct sim_node *node = context;
    (void)refused;
    assert_true(endpoint[0]);
    node->clashes++;
    snprintf(node->clash_name, sizeof node->clash_name, "%s", name);
}

static void sim_trouble(void *context, const char *endpoint, const char *text)
{
    struct sim_node *node = context;
    assert_true(endpoint[0]);
    snprintf(node->trouble, sizeof node->trouble, "%s", text);
}

static const struct ph_mesh_port sim_port = {
    .open = sim_open,
    .close = sim_close,
    .transmit = sim_transmit,
    .peer_up = sim_peer_up,
    .peer_down = sim_peer_down,
    .frame = sim_frame,
    .clash = sim_clash,
    .trouble = sim_trouble,
};

struct sim_net *sim_create(uint64_t seed)
{
    struct sim_net *net = ph_alloc(sizeof *net);
    ph_prng_init(&net->prng, seed);
    net->now_ms = 1000000;
    net->delay_ms = 1;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        net->nodes[i].net = net;
        net->nodes[i].index = i;
    }
    return net;
}

void sim_destroy(struct sim_net *net)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        if (net->nodes[i].mesh)
            sim_kill(net, i);
    while (net->packets)
        ph_free(pop_packet(net));
    ph_free(net);
}

void sim_start_at(struct sim_net *net, unsigned index, const char *name, const char *cluster,
                  const char *endpoint)
{
    struct sim_node *node = &net->nodes[index];
    assert_null(node->mesh);
    if (name)
        snprintf(node->name, sizeof node->name, "%s", name);
    else
        snprintf(node->name, sizeof node->name, "n%u", index);
    snprintf(node->endpoint, sizeof node->endpoint, "%s", endpoint);
    memset(node->endpoints, 0, sizeof node->endpoints);
    node->peer_count = node->clashes = 0;
    node->trouble[0] = '\0';
    struct ph_mesh_setup setup = net->setup;
    setup.name = node->name;
    setup.endpoint = node->endpoint;
    setup.cluster = cluster;
    setup.nonce = ph_prng_next(&net->prng) | 1;
    setup.incarnation = ++node->lives;
    setup.now_ms = net->now_ms;
    setup.port = &sim_port;
    setup.context = node;
    assert_int_equal(ph_mesh_create(&setup, &node->mesh, NULL), 0);
}

void sim_start(struct sim_net *net, unsigned index, const char *name, const char *cluster)
{
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", 1000 + index);
    sim_start_at(net, index, name, cluster, endpoint);
}

void sim_kill(struct sim_net *net, unsigned index)
{
    struct sim_node *node = &net->nodes[index];
    ph_mesh_destroy(node->mesh);
    node->mesh = NULL;
    for (unsigned i = 0; i < SIM_CHANNELS_MAX; i++)
        assert_false(node->endpoints[i][0]);
}

void sim_join(struct sim_net *net, unsigned index, unsigned to)
{
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", 1000 + to);
    assert_int_equal(ph_mesh_join(net->nodes[index].mesh, endpoint, net->now_ms), 0);
}

static void arrive(struct sim_net *net, struct sim_packet *packet)
{
    struct sim_node *node = &net->nodes[packet->to];
    if (node->mesh && packet->channel)
        ph_mesh_refused(node->mesh, packet->channel, net->now_ms);
    else if (node->mesh)
        ph_mesh_receive(node->mesh, packet->bytes, packet->length, net->now_ms);
    ph_free(packet);
}

/* Does one thing that is due until `end`; false: nothing is. */
static bool step(struct sim_net *net, uint64_t end)
{
    uint64_t next = net->packets ? net->heap[0]->at_ms : UINT64_MAX;
    struct sim_node *due = NULL;
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        struct sim_node *node = &net->nodes[i];
        uint64_t deadline = node->mesh ? ph_mesh_next_deadline(node->mesh) : UINT64_MAX;
        if (deadline < next || (deadline == next && deadline != UINT64_MAX)) {
            next = deadline;
            due = node;
        }
    }
    if (next > end)
        return false;
    net->now_ms = next > net->now_ms ? next : net->now_ms;
    if (due)
        ph_mesh_tick(due->mesh, net->now_ms);
    else
        arrive(net, pop_packet(net));
    return true;
}

void sim_run(struct sim_net *net, uint64_t ms)
{
    uint64_t end = net->now_ms + ms;
    while (step(net, end))
        continue;
    net->now_ms = end;
}

bool sim_until(struct sim_net *net, uint64_t ms, bool (*done)(void *arg), void *arg)
{
    uint64_t end = net->now_ms + ms;
    while (!done(arg)) {
        if (net->now_ms >= end)
            return false;
        /* A condition may send: it is asked again at least every few milliseconds. */
        uint64_t soon = net->now_ms + 5 < end ? net->now_ms + 5 : end;
        if (!step(net, soon))
            net->now_ms = soon;
    }
    return true;
}

void sim_inject(struct sim_net *net, unsigned to, const void *bytes, size_t length)
{
    arrive(net, new_packet(net, to, bytes, length));
}

uint64_t sim_peer(struct sim_net *net, unsigned index, const char *name)
{
    return ph_mesh_find(net->nodes[index].mesh, name);
}

const struct sim_peer *sim_told(const struct sim_net *net, unsigned index, uint64_t peer)
{
    const struct sim_node *node = &net->nodes[index];
    for (unsigned i = 0; i < node->peer_count; i++)
        if (node->peers[i].peer.number == peer)
            return &node->peers[i];
    return NULL;
}

void sim_forget(struct sim_net *net, unsigned index, uint64_t peer)
{
    struct sim_node *node = &net->nodes[index];
    for (unsigned i = 0; i < node->peer_count; i++)
        node->peers[i].down |= node->peers[i].peer.number == peer;
}

unsigned sim_live(const struct sim_net *net, unsigned index)
{
    unsigned live = 0;
    for (unsigned i = 0; i < net->nodes[index].peer_count; i++)
        live += !net->nodes[index].peers[i].down;
    return live;
}

uint64_t sim_refused(const struct sim_net *net, unsigned index, enum ph_mesh_refusal why)
{
    struct ph_mesh_stats stats;
    ph_mesh_stats(net->nodes[index].mesh, 0, &stats);
    return stats.refused[why];
}

void sim_send(struct sim_net *net, unsigned index, uint64_t peer, const char *hub,
              enum ph_link_class class, const void *bytes, size_t length)
{
    struct ph_text frame = PH_TEXT_INIT;
    ph_text_append(&frame, bytes, length);
    ph_mesh_send(net->nodes[index].mesh, peer, hub, class, &frame, net->now_ms);
    assert_null(frame.data);
}
