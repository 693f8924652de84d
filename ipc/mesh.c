#include "ipc/mesh.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/node.h"
#include "ipc/mesh_inside.h"

const char *ph_mesh_refusal_name(enum ph_mesh_refusal why)
{
    static const char *const names[PH_MESH_REFUSALS] = {
#define NAME(name, text) [PH_MESH_##name] = (text),
        PH_MESH_REFUSAL_MAP(NAME)
#undef NAME
    };
    return (unsigned)why < PH_COUNT_OF(names) ? names[why] : "unknown";
}

void ph_mesh_refuse(struct ph_mesh *mesh, enum ph_mesh_refusal why)
{
    mesh->totals.refused[why]++;
}

void ph_mesh_cut_off(struct ph_mesh *mesh, uint64_t connections)
{
    mesh->totals.refused[PH_MESH_LIMIT] += connections;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void set_default(uint64_t *value, uint64_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void fill_setup(struct ph_mesh_setup *setup)
{
    set_default(&setup->seed, setup->nonce);
    set_default(&setup->retry_ms, 100);
    set_default(&setup->clash_ms, 3000);
    set_default(&setup->ack_delay_ms, 20);
    set_default(&setup->rto_min_ms, 200);
    set_default(&setup->window_bytes, 4 << 20);
    set_default(&setup->queue_bytes_max, 256 << 20);
    set_default(&setup->chunk_bytes, 64 << 10);
    set_default(&setup->message_bytes_max, 256 << 20);
    if (setup->chunk_bytes < 1024)
        setup->chunk_bytes = 1024;
    if (setup->window_bytes > UINT32_MAX)
        setup->window_bytes = UINT32_MAX;
}

int ph_mesh_create(const struct ph_mesh_setup *setup, struct ph_mesh **out, struct ph_error *error)
{
    const char *cluster = setup->cluster ? setup->cluster : "";
    if (!ph_name_is_valid(setup->name))
        return ph_error_set(error, PH_EUSAGE, "'%s' is no name of a node", setup->name);
    if (!ph_wire_endpoint_is_valid(setup->endpoint))
        return ph_error_set(error, PH_EUSAGE, "'%s' is no endpoint", setup->endpoint);
    if (cluster[0] && !ph_name_is_valid(cluster))
        return ph_error_set(error, PH_EUSAGE, "'%s' is no name of a cluster", cluster);
    ph_assert(setup->nonce != 0);
    struct ph_mesh *mesh = ph_alloc(sizeof *mesh);
    memcpy(mesh->name, setup->name, strlen(setup->name));
    memcpy(mesh->endpoint, setup->endpoint, strlen(setup->endpoint));
    memcpy(mesh->cluster, cluster, strlen(cluster));
    mesh->setup = *setup;
    fill_setup(&mesh->setup);
    ph_prng_init(&mesh->prng, mesh->setup.seed);
    mesh->links_end = &mesh->links;
    mesh->now_ms = setup->now_ms;
    *out = mesh;
    return 0;
}

void ph_mesh_destroy(struct ph_mesh *mesh)
{
    if (!mesh)
        return;
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next)
        if (!link->gone)
            ph_mesh_link_drop(mesh, link);
    ph_mesh_sweep(mesh);
    ph_mesh_stream_free_spares(mesh);
    ph_text_fini(&mesh->scratch);
    ph_free(mesh);
}

/* ---- Out ------------------------------------------------------------------------------------ */

struct ph_wire_header ph_mesh_header(const struct ph_mesh *mesh, const struct ph_mesh_link *link,
                                     enum ph_wire_class class)
{
    bool up = link->state == PH_MESH_UP;
    return (struct ph_wire_header){
        .class = (uint8_t) class,
        .flags = up && link->in.gap ? PH_WIRE_GAP : 0,
        .source = mesh->setup.nonce,
        .destination = link->nonce,
        .session = link->session,
        .ack = up ? link->in.sequence : 0,
        .credit = (uint32_t)mesh->setup.window_bytes,
    };
}

void ph_mesh_transmit(struct ph_mesh *mesh, struct ph_mesh_link *link, struct ph_wire_header header,
                      void *frame, size_t length)
{
    bool speaks = header.class == PH_WIRE_STREAM || header.class == PH_WIRE_BEAT;
    if (speaks || header.class == PH_WIRE_ACK)
        ph_mesh_acknowledged(link);
    if (speaks && !link->spoken_ms)
        link->spoken_ms = mesh->now_ms;
    ph_wire_seal(frame, length, header);
    link->stats.frames_out++;
    link->stats.bytes_out += length;
    mesh->totals.frames_out++;
    mesh->totals.bytes_out += length;
    mesh->setup.port->transmit(mesh->setup.context, link->channel, frame, length);
}

static void send_beat(struct ph_mesh *mesh, struct ph_mesh_link *link, const char *hub,
                      const struct ph_text *frame)
{
    if (frame->length + PH_WIRE_RECORD_OVERHEAD > mesh->setup.chunk_bytes ||
        strlen(hub) > PH_NAME_MAX) {
        ph_mesh_refuse(mesh, PH_MESH_LIMIT);
        return;
    }
    link->stats.messages_out++;
    mesh->totals.messages_out++;
    ph_wire_begin(&mesh->scratch);
    ph_wire_put_beat(&mesh->scratch, hub, strlen(hub), ph_text_str(frame), frame->length);
    struct ph_wire_header header = ph_mesh_header(mesh, link, PH_WIRE_BEAT);
    ph_mesh_transmit(mesh, link, header, mesh->scratch.data, mesh->scratch.length);
}

void ph_mesh_send(struct ph_mesh *mesh, uint64_t peer, const char *hub, enum ph_link_class class,
                  struct ph_text *frame, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    struct ph_mesh_link *link = ph_mesh_link_by_number(mesh, peer);
    if (link && !link->broken && !link->parted) {
        if (class == PH_LINK_BEAT)
            send_beat(mesh, link, hub, frame);
        else
            ph_mesh_stream_queue(mesh, link, hub, 0, frame);
    }
    ph_text_fini(frame);
}

uint64_t ph_mesh_room(const struct ph_mesh *mesh, uint64_t peer)
{
    const struct ph_mesh_link *link = ph_mesh_link_by_number(mesh, peer);
    if (!link || link->broken || link->parted)
        return 0;
    uint64_t most = 4 * mesh->setup.window_bytes;
    if (most > mesh->setup.queue_bytes_max / 2)
        most = mesh->setup.queue_bytes_max / 2;
    return most > link->out.queued_bytes ? most - link->out.queued_bytes : 0;
}

/* ---- The end of sessions -------------------------------------------------------------------- */

/* The link calls again; true when a session was open. */
static bool close_session(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    bool was_up = link->state == PH_MESH_UP;
    for (struct ph_mesh_link *alias = mesh->links; alias; alias = alias->next)
        if (alias->state == PH_MESH_ALIAS && alias->nonce == link->nonce)
            alias->hello_at = mesh->now_ms + PH_MESH_RETRY_MAX_MS;
    ph_mesh_stream_fini(mesh, link);
    ph_mesh_stream_init(mesh, link);
    link->state = PH_MESH_CALLING;
    link->session = ph_mesh_next_session(mesh, link->session + 1);
    link->peer.number = 0;
    link->broken = false;
    link->spoken_ms = 0;
    link->expires_at = link->seed ? UINT64_MAX : mesh->now_ms + PH_MESH_FORGET_MS;
    mesh->totals.peers -= was_up;
    ph_mesh_link_dial(mesh, link);
    return was_up;
}

void ph_mesh_down(struct ph_mesh *mesh, struct ph_mesh_link *link, enum ph_peer_end why)
{
    uint64_t number = link->peer.number;
    if (close_session(mesh, link))
        mesh->setup.port->peer_down(mesh->setup.context, number, why);
}

void ph_mesh_reset(struct ph_mesh *mesh, uint64_t peer, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    struct ph_mesh_link *link = ph_mesh_link_by_number(mesh, peer);
    if (link && !link->parted)
        close_session(mesh, link);
}

/* ---- What comes in -------------------------------------------------------------------------- */

int ph_mesh_join(struct ph_mesh *mesh, const char *endpoint, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    if (!ph_wire_endpoint_is_valid(endpoint))
        return PH_EUSAGE;
    if (strcmp(endpoint, mesh->endpoint) == 0 || mesh->leaving)
        return 0;
    unsigned any = ~(1U << PH_MESH_REFUSING);
    struct ph_mesh_link *link = ph_mesh_link_by_endpoint(mesh, endpoint, any);
    if (!link && mesh->count >= PH_MESH_PEERS_MAX)
        return PH_ELIMIT;
    if (!link)
        link = ph_mesh_link_create(mesh, endpoint);
    ph_mesh_link_prove(mesh, link); /* we want it ourselves */
    link->seed = true;
    link->expires_at = UINT64_MAX;
    if (link->state == PH_MESH_CALLING) {
        link->hello_at = now_ms;
        link->pause_ms = mesh->setup.retry_ms;
    }
    return 0;
}

static void take_goodbye(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    ph_mesh_down(mesh, link, PH_PEER_CLOSED);
    if (!link->seed) {
        ph_mesh_link_drop(mesh, link);
        return;
    }
    link->pause_ms = PH_MESH_RETRY_MAX_MS;
    link->hello_at = mesh->now_ms + PH_MESH_PROBE_MS;
}

static void take_beat(struct ph_mesh *mesh, struct ph_mesh_link *link,
                      const struct ph_wire_header *header, const void *body)
{
    struct ph_wire_record beat;
    if (ph_wire_read_beat(body, header->body_length, &beat) != 0) {
        ph_mesh_refuse(mesh, PH_MESH_MALFORMED);
        return;
    }
    link->stats.messages_in++;
    mesh->totals.messages_in++;
    mesh->setup.port->frame(mesh->setup.context, link->peer.number, beat.hub, beat.hub_length,
                            beat.bytes, beat.length);
}

/* The link of a frame of an open session; NULL: refused. */
static struct ph_mesh_link *link_of_frame(struct ph_mesh *mesh, const struct ph_wire_header *header)
{
    struct ph_mesh_link *link = ph_mesh_link_by_nonce(mesh, header->source);
    if (header->source == mesh->setup.nonce)
        ph_mesh_refuse(mesh, PH_MESH_OWN);
    else if (!link)
        ph_mesh_refuse(mesh, PH_MESH_STRANGER);
    else if (header->destination != mesh->setup.nonce)
        ph_mesh_refuse(mesh, PH_MESH_NONCE);
    else if (link->state != PH_MESH_UP || header->session != link->session || link->parted)
        ph_mesh_refuse(mesh, PH_MESH_SESSION);
    else
        return link;
    return NULL;
}

/* A frame of an open session. */
static void take_frame(struct ph_mesh *mesh, const struct ph_wire_header *header, const void *body)
{
    struct ph_mesh_link *link = link_of_frame(mesh, header);
    if (!link || link->broken)
        return;
    link->heard_ms = mesh->now_ms;
    link->spoken_ms = 0;
    link->stats.frames_in++;
    link->stats.bytes_in += PH_WIRE_HEADER + header->body_length;
    if (header->class == PH_WIRE_GOODBYE) {
        take_goodbye(mesh, link);
        return;
    }
    ph_mesh_take_ack(mesh, link, header);
    if (header->class == PH_WIRE_STREAM)
        ph_mesh_take_stream(mesh, link, header, body);
    else if (header->class == PH_WIRE_BEAT)
        take_beat(mesh, link, header, body);
}

void ph_mesh_receive(struct ph_mesh *mesh, const void *bytes, size_t length, uint64_t now_ms)
{
    static const enum ph_mesh_refusal refusals[] = {
        [PH_WIRE_MALFORMED] = PH_MESH_MALFORMED,
        [PH_WIRE_OTHER_VERSION] = PH_MESH_VERSION,
        [PH_WIRE_BAD_CHECKSUM] = PH_MESH_CHECKSUM,
    };
    mesh->now_ms = now_ms;
    mesh->totals.frames_in++;
    mesh->totals.bytes_in += length;
    struct ph_wire_header header;
    enum ph_wire_fault fault = ph_wire_read(bytes, length, &header);
    if (fault != PH_WIRE_GOOD) {
        ph_mesh_refuse(mesh, refusals[fault]);
        return;
    }
    const char *body = (const char *)bytes + PH_WIRE_HEADER;
    if (header.class == PH_WIRE_HELLO)
        ph_mesh_take_hello(mesh, &header, body);
    else if (header.class == PH_WIRE_REFUSE)
        ph_mesh_take_refuse(mesh, &header, body);
    else if (header.class >= PH_WIRE_STREAM && header.class <= PH_WIRE_GOODBYE)
        take_frame(mesh, &header, body);
    else
        ph_mesh_refuse(mesh, PH_MESH_MALFORMED);
    ph_mesh_sweep(mesh);
}

void ph_mesh_refused(struct ph_mesh *mesh, uint32_t channel, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    struct ph_mesh_link *link = ph_mesh_link_by_channel(mesh, channel);
    if (!link || link->parted)
        return;
    if (link->state == PH_MESH_UP) {
        ph_mesh_down(mesh, link, PH_PEER_REFUSED);
        link->hello_at = now_ms + link->pause_ms;
    } else if (link->state == PH_MESH_CALLING && link->seed && mesh->setup.port->trouble) {
        mesh->setup.port->trouble(mesh->setup.context, link->peer.endpoint,
                                  "nothing listens there");
    }
}

void ph_mesh_connected(struct ph_mesh *mesh, uint32_t channel, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    struct ph_mesh_link *link = ph_mesh_link_by_channel(mesh, channel);
    if (!link || link->parted)
        return;
    if (link->state == PH_MESH_REFUSING) {
        struct ph_wire_header header = ph_mesh_header(mesh, link, PH_WIRE_REFUSE);
        header.session = 0;
        ph_mesh_transmit(mesh, link, header, link->refusal.data, link->refusal.length);
    } else {
        ph_mesh_say_hello(mesh, link, true);
    }
}

/* ---- Leaving and time ----------------------------------------------------------------------- */

void ph_mesh_leave(struct ph_mesh *mesh, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    if (!mesh->leaving) {
        mesh->leaving = true;
        mesh->leave_by = now_ms + PH_MESH_LEAVE_MS;
        for (struct ph_mesh_link *link = mesh->links; link; link = link->next)
            if (link->state != PH_MESH_UP && !link->gone)
                ph_mesh_link_drop(mesh, link);
    }
    ph_mesh_tick(mesh, now_ms);
}

bool ph_mesh_has_left(const struct ph_mesh *mesh)
{
    for (const struct ph_mesh_link *link = mesh->links; link; link = link->next)
        if (!link->parted && !link->gone)
            return false;
    return mesh->leaving;
}

/* Says goodbye when all that is queued has arrived, or time is up. */
static void part(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    if ((link->out.queue || link->out.sent) && mesh->now_ms < mesh->leave_by)
        return;
    ph_wire_begin(&mesh->scratch);
    struct ph_wire_header header = ph_mesh_header(mesh, link, PH_WIRE_GOODBYE);
    ph_mesh_transmit(mesh, link, header, mesh->scratch.data, mesh->scratch.length);
    link->parted = true;
    mesh->totals.peers--;
}

static void tick_link(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    if (link->broken)
        ph_mesh_down(mesh, link, PH_PEER_LOST);
    if (link->parted)
        return;
    if (mesh->leaving && link->state != PH_MESH_UP) {
        ph_mesh_link_drop(mesh, link);
        return;
    }
    ph_mesh_hello_tick(mesh, link);
    if (link->state != PH_MESH_UP || link->gone)
        return;
    ph_mesh_stream_tick(mesh, link);
    if (mesh->leaving)
        part(mesh, link);
}

void ph_mesh_tick(struct ph_mesh *mesh, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next)
        if (!link->gone)
            tick_link(mesh, link);
    ph_mesh_sweep(mesh);
}

static uint64_t link_deadline(const struct ph_mesh *mesh, const struct ph_mesh_link *link)
{
    if (link->gone || link->parted)
        return UINT64_MAX;
    if (link->broken)
        return mesh->now_ms;
    uint64_t deadline = ph_mesh_hello_deadline(mesh, link);
    if (link->state != PH_MESH_UP)
        return deadline;
    uint64_t stream = ph_mesh_stream_deadline(mesh, link);
    deadline = stream < deadline ? stream : deadline;
    return mesh->leaving && mesh->leave_by < deadline ? mesh->leave_by : deadline;
}

uint64_t ph_mesh_next_deadline(const struct ph_mesh *mesh)
{
    uint64_t next = UINT64_MAX;
    for (const struct ph_mesh_link *link = mesh->links; link; link = link->next) {
        uint64_t deadline = link_deadline(mesh, link);
        next = deadline < next ? deadline : next;
    }
    return next;
}

/* ---- For people ----------------------------------------------------------------------------- */

uint64_t ph_mesh_find(const struct ph_mesh *mesh, const char *name)
{
    for (const struct ph_mesh_link *link = mesh->links; link; link = link->next)
        if (link->state == PH_MESH_UP && !link->gone && strcmp(link->peer.name, name) == 0)
            return link->peer.number;
    return 0;
}

void ph_mesh_each_peer(const struct ph_mesh *mesh, bool (*fn)(void *arg, const struct ph_peer *),
                       void *arg)
{
    const struct ph_mesh_link *link = mesh->links;
    while (link && (link->gone || link->state != PH_MESH_UP || fn(arg, &link->peer)))
        link = link->next;
}

void ph_mesh_stats(const struct ph_mesh *mesh, uint64_t peer, struct ph_mesh_stats *stats)
{
    const struct ph_mesh_link *one = ph_mesh_link_by_number(mesh, peer);
    if (peer) {
        *stats = one ? one->stats : (struct ph_mesh_stats){0};
        stats->queued_bytes = one ? one->out.queued_bytes : 0;
        stats->rtt_ms = one ? one->out.rtt_ms : 0;
        return;
    }
    *stats = mesh->totals;
    for (const struct ph_mesh_link *link = mesh->links; link; link = link->next)
        stats->queued_bytes += link->gone ? 0 : link->out.queued_bytes;
}
