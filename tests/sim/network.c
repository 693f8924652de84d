/* The wire: it loses, doubles, delays, reorders, spoils and cuts. */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "ipc/wire.h"
#include "tests/sim/checks.h"
#include "tests/sim/report.h"
#include "tests/sim/sim.h"

struct packet {
    struct sim_item item; /* first */
    struct sim_node *to;
    uint64_t life;    /* of `to`, for what is about a channel of it */
    uint32_t channel; /* refused or connected; 0: bytes arrive */
    bool connected;
    size_t length;
    unsigned char bytes[];
};

/* ---- Arrival ------------------------------------------------------------------------------- */

static void arrive(struct sim *sim, struct sim_item *item)
{
    struct packet *packet = ph_container_of(item, struct packet, item);
    struct sim_node *node = packet->to;
    if (node->alive && node->paused_until_us > sim->now_us) {
        sim_at(sim, node->paused_until_us, item); /* it waits in the socket */
        return;
    }
    bool known = !packet->channel || packet->life == node->lives;
    if (node->alive && known) {
        uint64_t now_ms = sim_local_ms(node);
        if (!packet->channel)
            ph_mesh_receive(node->mesh, packet->bytes, packet->length, now_ms);
        else if (packet->connected)
            ph_mesh_connected(node->mesh, packet->channel, now_ms);
        else
            ph_mesh_refused(node->mesh, packet->channel, now_ms);
        sim_hash(sim, &sim->now_us, sizeof sim->now_us);
        sim_hash(sim, packet->bytes, packet->length);
        sim_touch(node);
    }
    ph_free(packet);
}

static struct packet *create_packet(struct sim_node *to, const void *bytes, size_t length)
{
    struct packet *packet = ph_alloc(sizeof *packet + length);
    packet->item.act = arrive;
    packet->to = to;
    packet->life = to->lives;
    packet->length = length;
    if (length)
        memcpy(packet->bytes, bytes, length);
    return packet;
}

static void send_signal(struct sim_node *to, uint32_t channel, bool connected)
{
    struct sim *sim = to->sim;
    struct packet *packet = create_packet(to, NULL, 0);
    packet->channel = channel;
    packet->connected = connected;
    sim_at(sim, sim->now_us + 200 + sim_exponential(&sim->wire, sim->config.delay_us),
           &packet->item);
}

/* ---- The mesh's port ------------------------------------------------------------------------ */

static struct sim_channel *find_channel(struct sim_node *node, uint32_t number)
{
    for (unsigned i = 0; i < node->channel_count; i++)
        if (node->channels[i].number == number)
            return &node->channels[i];
    ph_assert(!"a channel that is not open");
    return NULL;
}

static void port_open(void *context, uint32_t channel, const char *endpoint)
{
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    unsigned to = 0;
    while (to < sim->node_count && strcmp(sim->nodes[to].endpoint, endpoint) != 0)
        to++;
    ph_assert(node->channel_count < SIM_CHANNELS_MAX);
    node->channels[node->channel_count++] =
        (struct sim_channel){.number = channel, .to = to == sim->node_count ? SIM_NODES_MAX : to};
    if (to < sim->node_count && sim->nodes[to].alive && !sim->cut[node->index][to] &&
        sim_chance(&sim->wire, 500))
        send_signal(node, channel, true);
}

static void port_close(void *context, uint32_t channel)
{
    struct sim_node *node = context;
    struct sim_channel *closed = find_channel(node, channel);
    *closed = node->channels[--node->channel_count];
}

/* When it arrives: in order, as over one connection, but for those that are late. */
static uint64_t arrival(struct sim_node *from, unsigned to)
{
    struct sim *sim = from->sim;
    const struct sim_config *config = &sim->config;
    uint64_t at_us =
        sim->now_us + config->delay_us / 2 + sim_exponential(&sim->wire, config->delay_us / 2);
    at_us += sim->nodes[to].lag_us;
    if (!sim->healing && sim_chance(&sim->wire, config->late))
        return at_us + sim_exponential(&sim->wire, config->late_us);
    uint64_t *last_us = &sim->last_us[from->index][to];
    *last_us = at_us > *last_us ? at_us : *last_us;
    return *last_us;
}

/* ---- Other protocols ------------------------------------------------------------------------- */

bool sim_speak(const struct sim_node *a, const struct sim_node *b)
{
    return a->protocol == b->protocol ||
           (a->protocol < SIM_PROTOCOL_HIGHER && b->protocol < SIM_PROTOCOL_HIGHER);
}

/* The hello of a node that speaks other protocols, or as it has to look to one that does; one that
 * speaks a newer one, too, says something more. */
static void rewrite_hello(struct packet *packet, struct ph_wire_header header, uint64_t from,
                          uint64_t to, bool more)
{
    struct ph_wire_hello hello;
    struct ph_text frame = PH_TEXT_INIT;
    if (ph_wire_read_hello(packet->bytes + PH_WIRE_HEADER, header.body_length, &hello) != 0)
        return;
    hello.protocol_min = from;
    hello.protocol_max = to;
    ph_wire_begin(&frame);
    ph_wire_put_hello(&frame, &hello);
    ph_assert(frame.length == packet->length);
    if (more)
        frame.data[PH_WIRE_HEADER]++; /* an array of one more: the first 0 behind the others */
    ph_wire_seal(frame.data, frame.length, header);
    memcpy(packet->bytes, frame.data, frame.length);
    ph_text_fini(&frame);
}

static void translate(const struct sim_node *from, struct packet *packet)
{
    const struct sim_node *to = packet->to;
    struct ph_wire_header header;
    bool hello = ph_wire_read(packet->bytes, packet->length, &header) == PH_WIRE_GOOD &&
                 header.class == PH_WIRE_HELLO;
    bool speak = sim_speak(from, to);
    if (!speak && (from->protocol == SIM_PROTOCOL_HEADER || to->protocol == SIM_PROTOCOL_HEADER))
        packet->bytes[4]++; /* the version of the header */
    else if (hello && !speak)
        rewrite_hello(packet, header, PH_WIRE_PROTOCOL_MAX + 2, PH_WIRE_PROTOCOL_MAX + 3, false);
    else if (hello && from->protocol == SIM_PROTOCOL_NEWER)
        rewrite_hello(packet, header, PH_WIRE_PROTOCOL_MIN, PH_WIRE_PROTOCOL_MAX + 1, true);
}

/* Bits and lengths that nobody sent. */
static void spoil(struct sim *sim, struct packet *packet)
{
    if (!packet->length)
        return;
    if (sim_chance(&sim->wire, 300))
        packet->length = (size_t)ph_prng_below(&sim->wire, packet->length);
    else
        packet->bytes[ph_prng_below(&sim->wire, packet->length)] ^=
            (unsigned char)(1u << ph_prng_below(&sim->wire, 8));
}

static void port_transmit(void *context, uint32_t number, const void *bytes, size_t length)
{
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    const struct sim_channel *channel = find_channel(node, number);
    if (channel->to == SIM_NODES_MAX)
        return;
    struct sim_node *to = &sim->nodes[channel->to];
    bool cut = sim->cut[node->index][to->index];
    if (!to->alive) {
        if (!sim->config.silent && !cut)
            send_signal(node, number, false);
        return;
    }
    bool lost = !sim->healing && sim_chance(&sim->wire, sim->config.loss);
    if (cut || lost) {
        sim->fault_count += lost;
        return;
    }
    unsigned copies = 1;
    if (!sim->healing && sim_chance(&sim->wire, sim->config.twice))
        copies = 2;
    sim->fault_count += copies - 1;
    while (copies--) {
        struct packet *packet = create_packet(to, bytes, length);
        if (sim->config.mixed)
            translate(node, packet);
        if (!sim->healing && sim_chance(&sim->wire, sim->config.corrupt)) {
            spoil(sim, packet);
            sim->fault_count++;
        }
        sim_at(sim, arrival(node, to->index), &packet->item);
    }
}

/* Nobody takes one node for another, or for one that it understands. */
static void check_peer(const struct sim_node *node, const struct ph_peer *peer)
{
    struct sim *sim = node->sim;
    unsigned i = 0;
    while (i < sim->node_count && strcmp(sim->nodes[i].endpoint, peer->endpoint) != 0)
        i++;
    const struct sim_node *other = i < sim->node_count ? &sim->nodes[i] : NULL;
    if (!other || strcmp(other->name, peer->name) != 0)
        sim_fail(sim, "%s takes %s for one at %s", node->name, peer->name, peer->endpoint);
    else if (sim_is_rival(node) || sim_is_rival(other))
        sim_fail(sim, "%s at %s speaks with %s at %s: that name was taken", node->name,
                 node->endpoint, other->name, other->endpoint);
    else if (!sim_speak(node, other))
        sim_fail(sim, "%s speaks with %s, which has no protocol in common with it", node->name,
                 other->name);
}

static void port_peer_up(void *context, const struct ph_peer *peer)
{
    struct sim_node *node = context;
    sim_note(node->sim, node, "peer_up", "%s as %llu", peer->name,
             (unsigned long long)peer->number);
    check_peer(node, peer);
    if (!node->hub)
        return;
    struct ph_event *event = ph_event_create(PH_EVENT_PEER_UP);
    event->peer.peer = *peer;
    sim_post(node->hub, event);
}

static void port_peer_down(void *context, uint64_t peer, enum ph_peer_end why)
{
    static const char *const whys[] = {[PH_PEER_REFUSED] = "refused",
                                       [PH_PEER_CLOSED] = "closed",
                                       [PH_PEER_REPLACED] = "replaced",
                                       [PH_PEER_LOST] = "lost"};
    struct sim_node *node = context;
    sim_note(node->sim, node, "peer_down", "%llu: %s", (unsigned long long)peer, whys[why]);
    sim_check_losses(node->sim);
    if (!node->hub)
        return;
    struct ph_event *event = ph_event_create(PH_EVENT_PEER_DOWN);
    event->peer.peer.number = peer;
    event->peer.why = why;
    sim_post(node->hub, event);
}

static void port_frame(void *context, uint64_t peer, const char *hub, size_t hub_length,
                       const void *bytes, size_t length)
{
    struct sim_node *node = context;
    (void)hub;
    if (!node->hub || hub_length == 0)
        return;
    struct ph_event *event = ph_event_create(PH_EVENT_FRAME);
    event->frame.peer = peer;
    ph_text_append(&event->frame.bytes, bytes, length);
    sim_post(node->hub, event);
}

static void port_clash(void *context, const char *name, const char *endpoint, bool refused)
{
    struct sim_node *node = context;
    node->clashes++;
    sim_note(node->sim, node, "name_clash", "%s at %s", name, endpoint);
    if (refused && node->hub)
        sim_post(node->hub, ph_event_create(PH_EVENT_NAME_TAKEN));
}

static void port_trouble(void *context, const char *endpoint, const char *text)
{
    struct sim_node *node = context;
    sim_note(node->sim, node, "trouble", "%s: %s", endpoint, text);
}

const struct ph_mesh_port sim_mesh_port = {
    .open = port_open,
    .close = port_close,
    .transmit = port_transmit,
    .peer_up = port_peer_up,
    .peer_down = port_peer_down,
    .frame = port_frame,
    .clash = port_clash,
    .trouble = port_trouble,
};

void sim_tell_refused(struct sim_node *gone)
{
    struct sim *sim = gone->sim;
    for (unsigned i = 0; !sim->config.silent && i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        for (unsigned c = 0; node->alive && c < node->channel_count; c++)
            if (node->channels[c].to == gone->index && !sim->cut[i][gone->index])
                send_signal(node, node->channels[c].number, false);
    }
}

/* ---- The hub's port ------------------------------------------------------------------------- */

static void link_send(void *context, uint64_t peer, enum ph_link_class class, struct ph_text *frame)
{
    struct sim_hub *hub = context;
    ph_mesh_send(hub->node->mesh, peer, "hub", class, frame, sim_local_ms(hub->node));
}

/* Hubs hold back by sizes that fit the default windows; smaller ones count for as much. */
static uint64_t link_room(void *context, uint64_t peer)
{
    struct sim_hub *hub = context;
    const struct sim_config *config = &hub->node->sim->config;
    uint64_t most = 4 * config->window_bytes;
    if (most > config->queue_bytes / 2)
        most = config->queue_bytes / 2;
    return ph_mesh_room(hub->node->mesh, peer) * (uint64_t)(16 << 20) / most;
}

static void link_reset(void *context, uint64_t peer)
{
    struct sim_hub *hub = context;
    sim_check_losses(hub->node->sim);
    ph_mesh_reset(hub->node->mesh, peer, sim_local_ms(hub->node));
}

const struct ph_link_port sim_link_port = {
    .send = link_send,
    .room = link_room,
    .reset = link_reset,
};
