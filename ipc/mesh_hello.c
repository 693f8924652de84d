/*
 * How sessions come about. Each side asks the other with a random token on a channel of its own;
 * whoever answers with the token is who listens at that endpoint now. Both questions answered, and
 * both sides at the same session number: the session is open.
 */
#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/node.h"
#include "ipc/mesh_inside.h"

enum { STATES_CALLED = 1U << PH_MESH_CALLING | 1U << PH_MESH_UP, STRANGERS_REFUSED_MS = 5000 };

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void set_name(struct ph_mesh_link *link, const char *name)
{
    memset(link->peer.name, 0, sizeof link->peer.name);
    memcpy(link->peer.name, name, strnlen(name, PH_NAME_MAX));
}

static void tell_trouble(struct ph_mesh *mesh, const char *endpoint, const char *text)
{
    if (mesh->setup.port->trouble)
        mesh->setup.port->trouble(mesh->setup.context, endpoint, text);
}

void ph_mesh_say_hello(struct ph_mesh *mesh, struct ph_mesh_link *link, bool asks)
{
    struct ph_wire_hello hello = {
        .protocol_min = PH_WIRE_PROTOCOL_MIN,
        .protocol_max = PH_WIRE_PROTOCOL_MAX,
        .incarnation = mesh->setup.incarnation,
        .token = link->token,
        .echo = link->question,
        .asks = asks,
        .up = link->state == PH_MESH_UP,
    };
    memcpy(hello.cluster, mesh->cluster, sizeof hello.cluster);
    memcpy(hello.name, mesh->name, sizeof hello.name);
    memcpy(hello.endpoint, mesh->endpoint, sizeof hello.endpoint);
    ph_wire_begin(&mesh->scratch);
    ph_wire_put_hello(&mesh->scratch, &hello);
    struct ph_wire_header header = ph_mesh_header(mesh, link, PH_WIRE_HELLO);
    ph_mesh_transmit(mesh, link, header, mesh->scratch.data, mesh->scratch.length);
    if (asks && !link->spoken_ms)
        link->spoken_ms = mesh->now_ms;
}

/* ---- Refusals ------------------------------------------------------------------------------- */

static void transmit_refusal(struct ph_mesh *mesh, struct ph_mesh_link *link, uint64_t to,
                             struct ph_text *frame)
{
    struct ph_wire_header header = ph_mesh_header(mesh, link, PH_WIRE_REFUSE);
    header.destination = to;
    header.session = 0;
    ph_mesh_transmit(mesh, link, header, frame->data, frame->length);
}

/* Tells the caller why; over the link to its endpoint, if there is one. Shorter than its hello. */
static void send_refusal(struct ph_mesh *mesh, uint64_t to, const struct ph_wire_hello *hello,
                         struct ph_wire_refuse *refuse)
{
    refuse->echo = hello->token;
    struct ph_mesh_link *link =
        ph_mesh_link_by_endpoint(mesh, hello->endpoint, STATES_CALLED | 1U << PH_MESH_REFUSING);
    if (!link) {
        if (mesh->strangers >= PH_MESH_STRANGERS_MAX || mesh->count >= PH_MESH_PEERS_MAX) {
            ph_mesh_refuse(mesh, PH_MESH_LIMIT);
            return;
        }
        link = ph_mesh_link_create(mesh, hello->endpoint);
        link->state = PH_MESH_REFUSING;
        link->stranger = true;
        mesh->strangers++;
    }
    ph_wire_begin(&mesh->scratch);
    ph_wire_put_refuse(&mesh->scratch, refuse);
    if (link->state == PH_MESH_REFUSING) {
        link->nonce = to;
        link->expires_at = mesh->now_ms + STRANGERS_REFUSED_MS;
        ph_text_clear(&link->refusal);
        ph_text_append(&link->refusal, mesh->scratch.data, mesh->scratch.length);
    }
    transmit_refusal(mesh, link, to, &mesh->scratch);
}

static void refuse_hello(struct ph_mesh *mesh, uint64_t to, const struct ph_wire_hello *hello,
                         enum ph_mesh_refusal why, struct ph_wire_refuse refuse)
{
    ph_mesh_refuse(mesh, why);
    if (hello->asks)
        send_refusal(mesh, to, hello, &refuse);
}

/* The name of the caller is taken: by us (`holder` is our endpoint) or by another peer. */
static void refuse_clash(struct ph_mesh *mesh, uint64_t to, const struct ph_wire_hello *hello,
                         const char *holder)
{
    struct ph_wire_refuse refuse = {.clash = true};
    memcpy(refuse.endpoint, holder, strnlen(holder, PH_ENDPOINT_MAX));
    /* Cut off, if it has to be: the endpoint is there on its own, too. */
    if (snprintf(refuse.text, sizeof refuse.text, "another node named '%s' answers at %s",
                 hello->name, holder) < 0)
        refuse.text[0] = '\0';
    mesh->setup.port->clash(mesh->setup.context, hello->name, hello->endpoint, false);
    refuse_hello(mesh, to, hello, PH_MESH_CLASH, refuse);
}

/* Is it one that we may speak to at all? */
static bool is_acceptable(struct ph_mesh *mesh, uint64_t from, const struct ph_wire_hello *hello)
{
    struct ph_wire_refuse refuse = {0};
    int written = 0;
    enum ph_mesh_refusal why = PH_MESH_REFUSALS;
    if (hello->protocol_min > PH_WIRE_PROTOCOL_MAX || hello->protocol_max < PH_WIRE_PROTOCOL_MIN) {
        why = PH_MESH_VERSION;
        written = snprintf(refuse.text, sizeof refuse.text,
                           "node '%s' speaks the protocols %d to %d, this one does not", mesh->name,
                           PH_WIRE_PROTOCOL_MIN, PH_WIRE_PROTOCOL_MAX);
    } else if (!same(hello->cluster, mesh->cluster)) {
        why = PH_MESH_CLUSTER;
        written = snprintf(refuse.text, sizeof refuse.text, "node '%s' is of the cluster '%s'",
                           mesh->name, mesh->cluster);
    }
    if (why != PH_MESH_REFUSALS && written > 0) {
        refuse_hello(mesh, from, hello, why, refuse);
        return false;
    }
    if (same(hello->endpoint, mesh->endpoint)) { /* an answer would go to ourselves */
        ph_mesh_refuse(mesh, PH_MESH_OWN);
        return false;
    }
    if (same(hello->name, mesh->name)) {
        refuse_clash(mesh, from, hello, mesh->endpoint);
        return false;
    }
    return true;
}

void ph_mesh_take_refuse(struct ph_mesh *mesh, const struct ph_wire_header *header,
                         const void *body)
{
    struct ph_wire_refuse refuse;
    if (ph_wire_read_refuse(body, header->body_length, &refuse) != 0) {
        ph_mesh_refuse(mesh, PH_MESH_MALFORMED);
        return;
    }
    struct ph_mesh_link *link = ph_mesh_link_by_token(mesh, refuse.echo);
    if (!link || header->destination != mesh->setup.nonce) {
        ph_mesh_refuse(mesh, PH_MESH_TOKEN);
        return;
    }
    if (refuse.clash) /* also where the session of before has not ended yet */
        mesh->setup.port->clash(mesh->setup.context, mesh->name, refuse.endpoint, true);
    if (link->state != PH_MESH_CALLING)
        return;
    link->pause_ms = PH_MESH_PROBE_MS > link->pause_ms ? PH_MESH_PROBE_MS : link->pause_ms;
    link->hello_at = mesh->now_ms + link->pause_ms;
    struct ph_text text = PH_TEXT_INIT;
    ph_text_printable(&text, refuse.text, strlen(refuse.text));
    tell_trouble(mesh, link->peer.endpoint, ph_text_str(&text));
    ph_text_fini(&text);
}

/* ---- Who it is ------------------------------------------------------------------------------ */

enum standing { HOLDS, IN_DOUBT, YIELDS };

/* Does a live peer keep its name against one that calls from elsewhere? One that was not heard for
 * a while is asked, and the caller waits. */
static enum standing standing_of(struct ph_mesh *mesh, struct ph_mesh_link *holder)
{
    if (mesh->now_ms - holder->heard_ms < mesh->setup.clash_ms)
        return HOLDS;
    if (!holder->spoken_ms)
        ph_mesh_say_hello(mesh, holder, true);
    return mesh->now_ms - holder->spoken_ms >= mesh->setup.clash_ms ? YIELDS : IN_DOUBT;
}

/* May the caller have its name? Otherwise it has been told, or is left waiting. */
static bool name_is_free(struct ph_mesh *mesh, uint64_t from, const struct ph_wire_hello *hello)
{
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next) {
        if (link->gone || link->state != PH_MESH_UP || !same(link->peer.name, hello->name) ||
            same(link->peer.endpoint, hello->endpoint))
            continue;
        enum standing standing = standing_of(mesh, link);
        if (standing == HOLDS)
            refuse_clash(mesh, from, hello, link->peer.endpoint);
        if (standing != YIELDS)
            return false;
    }
    return true;
}

/* The link of an unproven caller; NULL: it is refused. */
static struct ph_mesh_link *link_of_caller(struct ph_mesh *mesh, uint64_t nonce,
                                           const struct ph_wire_hello *hello)
{
    struct ph_mesh_link *link = ph_mesh_link_by_nonce(mesh, nonce);
    if (link) {
        if (same(link->peer.endpoint, hello->endpoint) && same(link->peer.name, hello->name))
            return link;
        ph_mesh_refuse(mesh, PH_MESH_NONCE);
        return NULL;
    }
    if (!name_is_free(mesh, nonce, hello))
        return NULL;
    link = ph_mesh_link_by_endpoint(mesh, hello->endpoint, 1U << PH_MESH_CALLING);
    if (!link) {
        if (mesh->strangers >= PH_MESH_STRANGERS_MAX || mesh->count >= PH_MESH_PEERS_MAX) {
            ph_mesh_refuse(mesh, PH_MESH_LIMIT);
            return NULL;
        }
        link = ph_mesh_link_create(mesh, hello->endpoint);
        link->hello_at = UINT64_MAX; /* it calls, we only answer */
        link->expires_at = mesh->now_ms + PH_MESH_STRANGER_MS;
        link->stranger = true;
        mesh->strangers++;
    }
    link->nonce = nonce;
    set_name(link, hello->name);
    return link;
}

/* A link is no longer needed: `heir` leads to the same endpoint. */
static void merge_into(struct ph_mesh *mesh, struct ph_mesh_link *link, struct ph_mesh_link *heir)
{
    heir->seed |= link->seed;
    ph_mesh_link_drop(mesh, link);
}

/* The endpoint of `link` belongs to a node that wants to be reached by another one. */
static void follow_endpoint(struct ph_mesh *mesh, struct ph_mesh_link *link, uint64_t nonce,
                            const struct ph_wire_hello *hello)
{
    if (link->state == PH_MESH_UP)
        ph_mesh_down(mesh, link, PH_PEER_REFUSED);
    struct ph_mesh_link *real = ph_mesh_link_by_nonce(mesh, nonce);
    if (!real || real == link)
        real = ph_mesh_link_by_endpoint(mesh, hello->endpoint, STATES_CALLED);
    if (!real && mesh->count < PH_MESH_PEERS_MAX) {
        real = ph_mesh_link_create(mesh, hello->endpoint);
        real->expires_at = mesh->now_ms + PH_MESH_FORGET_MS;
    }
    if (!link->seed) {
        ph_mesh_link_drop(mesh, link);
        return;
    }
    link->state = PH_MESH_ALIAS;
    link->nonce = nonce;
    link->hello_at = mesh->now_ms + PH_MESH_RETRY_MAX_MS;
    mesh->setup.port->close(mesh->setup.context, link->channel);
    link->channel = 0;
    mesh->recent = NULL;
    ph_mesh_link_prove(mesh, link);
}

/* Ends what stands in the way of a proven node: other lives of it, others at its endpoint. */
static bool clear_rivals(struct ph_mesh *mesh, struct ph_mesh_link *link,
                         const struct ph_wire_hello *hello)
{
    if (!name_is_free(mesh, link->nonce, hello))
        return false;
    for (struct ph_mesh_link *other = mesh->links; other; other = other->next) {
        if (other == link || other->gone || other->state > PH_MESH_UP)
            continue;
        bool name = same(other->peer.name, hello->name);
        bool endpoint = same(other->peer.endpoint, hello->endpoint);
        if (!name && !endpoint)
            continue;
        if (other->state == PH_MESH_UP)
            ph_mesh_down(mesh, other, name ? PH_PEER_REPLACED : PH_PEER_REFUSED);
        if (endpoint)
            merge_into(mesh, other, link);
        else if (!other->seed)
            ph_mesh_link_drop(mesh, other);
        else
            set_name(other, "");
    }
    return true;
}

/* `link`'s question was answered: its endpoint is where this node listens. The link of that node
 * comes back; NULL: nothing more to do. */
static struct ph_mesh_link *link_of_answer(struct ph_mesh *mesh, struct ph_mesh_link *link,
                                           uint64_t nonce, const struct ph_wire_hello *hello)
{
    if (link->state > PH_MESH_UP)
        return NULL;
    if (!same(link->peer.endpoint, hello->endpoint)) {
        follow_endpoint(mesh, link, nonce, hello);
        return NULL;
    }
    if (link->state == PH_MESH_UP && link->nonce == nonce) {
        if (same(link->peer.name, hello->name))
            return link;
        ph_mesh_refuse(mesh, PH_MESH_NONCE);
        return NULL;
    }
    struct ph_mesh_link *twin = ph_mesh_link_by_nonce(mesh, nonce);
    if (twin && twin != link && !same(twin->peer.endpoint, hello->endpoint)) {
        ph_mesh_refuse(mesh, PH_MESH_NONCE);
        return NULL;
    }
    if (link->state == PH_MESH_UP)
        ph_mesh_down(mesh, link,
                     same(link->peer.name, hello->name) ? PH_PEER_REPLACED : PH_PEER_REFUSED);
    if (twin && twin != link && twin->state == PH_MESH_UP) {
        merge_into(mesh, link, twin);
        return NULL;
    }
    mesh->recent = NULL;
    link->nonce = nonce;
    set_name(link, hello->name);
    return clear_rivals(mesh, link, hello) ? link : NULL;
}

/* ---- Sessions ------------------------------------------------------------------------------- */

/* The higher number counts. Only a proven one ends a session, and none is entered anew in which
 * the other side is already. */
static void agree(struct ph_mesh *mesh, struct ph_mesh_link *link, uint64_t theirs, bool up,
                  bool proven)
{
    if (theirs <= link->session || (link->state == PH_MESH_UP && !proven))
        return;
    if (link->state == PH_MESH_UP)
        ph_mesh_down(mesh, link, PH_PEER_LOST);
    if (theirs > link->session)
        link->session = up ? ph_mesh_next_session(mesh, theirs + 1) : theirs;
}

/* The nodes that we know, so that one seed makes a full mesh. */
static void send_nodes(struct ph_mesh *mesh, struct ph_mesh_link *to)
{
    uint32_t count = 0;
    struct ph_text nodes = PH_TEXT_INIT;
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next)
        count += link != to && link->state == PH_MESH_UP && !link->gone;
    ph_pack_array(&nodes, count);
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next) {
        if (link == to || link->state != PH_MESH_UP || link->gone)
            continue;
        ph_pack_array(&nodes, 2);
        ph_pack_str(&nodes, link->peer.name, strlen(link->peer.name));
        ph_pack_str(&nodes, link->peer.endpoint, strlen(link->peer.endpoint));
    }
    ph_mesh_stream_queue(mesh, to, "", PH_WIRE_NODES, &nodes);
}

/* Calls a node that others told of, for `ms`, unless it is known. */
static void learn_node(struct ph_mesh *mesh, const char *name, const char *endpoint, uint64_t ms)
{
    if (same(name, mesh->name) || same(endpoint, mesh->endpoint) || mesh->leaving ||
        mesh->count >= PH_MESH_PEERS_MAX - PH_MESH_STRANGERS_MAX)
        return;
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next)
        if (!link->gone && (same(link->peer.endpoint, endpoint) ||
                            (link->state == PH_MESH_UP && same(link->peer.name, name))))
            return;
    struct ph_mesh_link *link = ph_mesh_link_create(mesh, endpoint);
    link->expires_at = mesh->now_ms + ms;
}

void ph_mesh_meet(struct ph_mesh *mesh, const char *name, const char *endpoint, uint64_t now_ms)
{
    mesh->now_ms = now_ms;
    if (ph_name_is_valid(name) && ph_wire_endpoint_is_valid(endpoint))
        learn_node(mesh, name, endpoint, PH_MESH_MEET_MS);
}

void ph_mesh_take_nodes(struct ph_mesh *mesh, struct ph_mesh_link *from, const void *bytes,
                        size_t length)
{
    struct ph_unpack in;
    ph_unpack_init(&in, bytes, length);
    uint32_t count = ph_unpack_array(&in, PH_MESH_PEERS_MAX);
    for (uint32_t i = 0; i < count && !in.broken; i++) {
        char name[PH_NAME_MAX + 1], endpoint[PH_ENDPOINT_MAX + 1];
        if (ph_unpack_array(&in, 2) != 2)
            ph_unpack_fail(&in);
        ph_unpack_name(&in, name, sizeof name);
        ph_unpack_name(&in, endpoint, sizeof endpoint);
        if (!ph_name_is_valid(name) || !ph_wire_endpoint_is_valid(endpoint))
            ph_unpack_fail(&in);
        else if (!in.broken)
            learn_node(mesh, name, endpoint, PH_MESH_FORGET_MS);
    }
    if (ph_unpack_end(&in) != 0) {
        ph_mesh_refuse(mesh, PH_MESH_MALFORMED);
        from->broken = true;
    }
}

static void go_up(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    ph_mesh_link_prove(mesh, link);
    link->state = PH_MESH_UP;
    link->expires_at = UINT64_MAX;
    link->token = ph_prng_next(&mesh->prng) | 1; /* no old answer counts any more */
    link->hello_at = mesh->now_ms;
    link->peer.number = ++mesh->number;
    link->stats = (struct ph_mesh_stats){0};
    mesh->totals.peers++;
    tell_trouble(mesh, link->peer.endpoint, "");
    mesh->setup.port->peer_up(mesh->setup.context, &link->peer);
    send_nodes(mesh, link);
}

/* Our own question came back: that endpoint is our own by another name. */
static void meet_ourselves(struct ph_mesh *mesh, const struct ph_wire_hello *hello)
{
    ph_mesh_refuse(mesh, PH_MESH_OWN);
    struct ph_mesh_link *link = ph_mesh_link_by_token(mesh, hello->token);
    if (!link || link->state != PH_MESH_CALLING)
        return;
    tell_trouble(mesh, link->peer.endpoint, "that is this node itself");
    link->state = PH_MESH_ALIAS;
    link->nonce = mesh->setup.nonce;
    mesh->setup.port->close(mesh->setup.context, link->channel);
    link->channel = 0;
    mesh->recent = NULL;
}

void ph_mesh_take_hello(struct ph_mesh *mesh, const struct ph_wire_header *header, const void *body)
{
    struct ph_wire_hello hello;
    if (ph_wire_read_hello(body, header->body_length, &hello) != 0) {
        ph_mesh_refuse(mesh, PH_MESH_MALFORMED);
        return;
    }
    if (header->source == mesh->setup.nonce) {
        meet_ourselves(mesh, &hello);
        return;
    }
    if (mesh->leaving || !is_acceptable(mesh, header->source, &hello))
        return;
    struct ph_mesh_link *asked = hello.echo ? ph_mesh_link_by_token(mesh, hello.echo) : NULL;
    if (hello.echo && !asked)
        ph_mesh_refuse(mesh, PH_MESH_TOKEN);
    struct ph_mesh_link *link = asked        ? link_of_answer(mesh, asked, header->source, &hello)
                                : hello.asks ? link_of_caller(mesh, header->source, &hello)
                                             : NULL;
    if (!link)
        return;
    agree(mesh, link, header->session, hello.up, asked);
    if (asked) {
        link->heard_ms = mesh->now_ms;
        link->spoken_ms = 0;
        if (link->state == PH_MESH_CALLING && link->session == header->session)
            go_up(mesh, link);
    }
    bool ask = link->state != PH_MESH_UP || link->session != header->session;
    link->question = hello.token;
    if (hello.asks || (asked && ask))
        ph_mesh_say_hello(mesh, link, ask);
}

/* ---- Time ----------------------------------------------------------------------------------- */

/* Waits longer each time, and never exactly as long as others. */
static void pause_hello(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    uint64_t pause = link->pause_ms;
    link->hello_at = mesh->now_ms + pause - pause / 4 + ph_prng_below(&mesh->prng, pause / 2 + 1);
    link->pause_ms = 2 * pause < PH_MESH_RETRY_MAX_MS ? 2 * pause : PH_MESH_RETRY_MAX_MS;
}

uint64_t ph_mesh_hello_deadline(const struct ph_mesh *mesh, const struct ph_mesh_link *link)
{
    switch (link->state) {
    case PH_MESH_CALLING:
        return link->hello_at < link->expires_at ? link->hello_at : link->expires_at;
    case PH_MESH_UP: {
        if (!link->spoken_ms)
            return UINT64_MAX;
        uint64_t probe_at = link->spoken_ms + PH_MESH_PROBE_MS;
        return probe_at > link->hello_at ? probe_at : link->hello_at;
    }
    case PH_MESH_ALIAS:
        if (link->nonce == mesh->setup.nonce)
            return UINT64_MAX;
        for (const struct ph_mesh_link *other = mesh->links; other; other = other->next)
            if (other->nonce == link->nonce && other->state == PH_MESH_UP && !other->gone)
                return UINT64_MAX;
        return link->hello_at;
    case PH_MESH_REFUSING:
        return link->expires_at;
    }
    return UINT64_MAX;
}

void ph_mesh_hello_tick(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    if (ph_mesh_hello_deadline(mesh, link) > mesh->now_ms)
        return;
    switch (link->state) {
    case PH_MESH_UP:
        ph_mesh_say_hello(mesh, link, true);
        link->hello_at = mesh->now_ms + PH_MESH_PROBE_MS;
        return;
    case PH_MESH_ALIAS:
        link->state = PH_MESH_CALLING;
        link->nonce = 0;
        ph_mesh_link_dial(mesh, link);
        return;
    case PH_MESH_REFUSING:
        ph_mesh_link_drop(mesh, link);
        return;
    case PH_MESH_CALLING:
        if (link->expires_at <= mesh->now_ms) {
            ph_mesh_link_drop(mesh, link);
            return;
        }
        ph_mesh_say_hello(mesh, link, true);
        pause_hello(mesh, link);
        return;
    }
}
