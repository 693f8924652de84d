/* The table of a mesh's links. */
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "ipc/mesh_inside.h"

struct ph_mesh_link *ph_mesh_link_create(struct ph_mesh *mesh, const char *endpoint)
{
    struct ph_mesh_link *link = ph_alloc(sizeof *link);
    memcpy(link->peer.endpoint, endpoint, strnlen(endpoint, PH_ENDPOINT_MAX));
    link->session = ph_mesh_next_session(mesh, 1);
    link->expires_at = UINT64_MAX;
    ph_mesh_stream_init(mesh, link);
    *mesh->links_end = link;
    mesh->links_end = &link->next;
    mesh->count++;
    ph_mesh_link_dial(mesh, link);
    return link;
}

static void hang_up(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    if (link->channel)
        mesh->setup.port->close(mesh->setup.context, link->channel);
    link->channel = 0;
}

void ph_mesh_link_drop(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    ph_mesh_link_prove(mesh, link); /* it counts as a stranger no more */
    hang_up(mesh, link);
    link->gone = true;
    mesh->count--;
    mesh->recent = NULL;
}

void ph_mesh_link_dial(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    hang_up(mesh, link);
    link->channel = ++mesh->channel;
    link->token = ph_prng_next(&mesh->prng) | 1;
    link->pause_ms = mesh->setup.retry_ms;
    link->hello_at = mesh->now_ms;
    mesh->setup.port->open(mesh->setup.context, link->channel, link->peer.endpoint);
}

void ph_mesh_sweep(struct ph_mesh *mesh)
{
    for (struct ph_mesh_link **at = &mesh->links; *at;) {
        struct ph_mesh_link *link = *at;
        if (!link->gone) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        if (!link->next)
            mesh->links_end = at;
        ph_mesh_stream_fini(mesh, link);
        ph_text_fini(&link->refusal);
        ph_free(link);
    }
}

void ph_mesh_link_prove(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    if (link->stranger)
        mesh->strangers--;
    link->stranger = false;
}

struct ph_mesh_link *ph_mesh_link_by_nonce(struct ph_mesh *mesh, uint64_t nonce)
{
    if (mesh->recent && mesh->recent->nonce == nonce && mesh->recent->state <= PH_MESH_UP)
        return mesh->recent;
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next) {
        if (link->nonce == nonce && link->state <= PH_MESH_UP && !link->gone) {
            mesh->recent = link;
            return link;
        }
    }
    return NULL;
}

struct ph_mesh_link *ph_mesh_link_by_number(const struct ph_mesh *mesh, uint64_t peer)
{
    if (mesh->recent && mesh->recent->peer.number == peer)
        return peer ? mesh->recent : NULL;
    for (struct ph_mesh_link *link = peer ? mesh->links : NULL; link; link = link->next)
        if (link->peer.number == peer && !link->gone)
            return link;
    return NULL;
}

struct ph_mesh_link *ph_mesh_link_by_token(const struct ph_mesh *mesh, uint64_t token)
{
    struct ph_mesh_link *link = mesh->links;
    while (link && (link->token != token || link->gone))
        link = link->next;
    return link;
}

struct ph_mesh_link *ph_mesh_link_by_channel(const struct ph_mesh *mesh, uint32_t channel)
{
    struct ph_mesh_link *link = mesh->links;
    while (link && (link->channel != channel || link->gone))
        link = link->next;
    return link;
}

struct ph_mesh_link *ph_mesh_link_by_endpoint(const struct ph_mesh *mesh, const char *endpoint,
                                              unsigned states)
{
    for (struct ph_mesh_link *link = mesh->links; link; link = link->next)
        if (!link->gone && (states & 1U << link->state) &&
            strcmp(link->peer.endpoint, endpoint) == 0)
            return link;
    return NULL;
}

uint64_t ph_mesh_next_session(struct ph_mesh *mesh, uint64_t at_least)
{
    mesh->session = mesh->session + 1 > at_least ? mesh->session + 1 : at_least;
    return mesh->session;
}
