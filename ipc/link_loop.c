#include "ipc/link_loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/waiter.h"
#include "ipc/wire.h"

enum { INBOX_MAX = 8192 }; /* packets; what comes beyond is lost */

static const char scheme[] = "loop://";

struct packet {
    struct packet *next;
    uint32_t refused; /* a channel that leads nowhere; 0: bytes */
    size_t length;
    unsigned char bytes[];
};

struct channel {
    struct channel *next;
    uint32_t number;
    char endpoint[PH_ENDPOINT_MAX + 1];
};

struct cut {
    struct cut *next;
    char from[PH_ENDPOINT_MAX + 1], to[PH_ENDPOINT_MAX + 1];
};

struct carrier {
    struct ph_loop_wire *wire;
    int wake_fd;
    char endpoint[PH_ENDPOINT_MAX + 1];
    struct channel *channels; /* of the links' thread */

    /* Under the wire's lock. */
    struct carrier *next;
    struct packet *inbox, **inbox_end;
    size_t inbox_count;
};

struct ph_loop_wire {
    pthread_mutex_t lock;
    struct carrier *carriers;
    struct cut *cuts;
    unsigned number;
};

struct ph_loop_wire *ph_loop_wire_create(void)
{
    struct ph_loop_wire *wire = ph_alloc(sizeof *wire);
    pthread_mutex_init(&wire->lock, NULL);
    return wire;
}

void ph_loop_wire_destroy(struct ph_loop_wire *wire)
{
    if (!wire)
        return;
    ph_assert(!wire->carriers);
    for (struct cut *cut = wire->cuts, *next; cut; cut = next) {
        next = cut->next;
        ph_free(cut);
    }
    pthread_mutex_destroy(&wire->lock);
    ph_free(wire);
}

static struct cut **find_cut_locked(struct ph_loop_wire *wire, const char *from, const char *to)
{
    struct cut **at = &wire->cuts;
    while (*at && (strcmp((*at)->from, from) != 0 || strcmp((*at)->to, to) != 0))
        at = &(*at)->next;
    return at;
}

void ph_loop_wire_cut(struct ph_loop_wire *wire, const char *from, const char *to, bool cut)
{
    pthread_mutex_lock(&wire->lock);
    struct cut **at = find_cut_locked(wire, from, to);
    if (cut && !*at) {
        *at = ph_alloc(sizeof **at);
        snprintf((*at)->from, sizeof(*at)->from, "%s", from);
        snprintf((*at)->to, sizeof(*at)->to, "%s", to);
    } else if (!cut && *at) {
        struct cut *healed = *at;
        *at = healed->next;
        ph_free(healed);
    }
    pthread_mutex_unlock(&wire->lock);
}

static struct carrier *find_carrier_locked(struct ph_loop_wire *wire, const char *endpoint)
{
    struct carrier *carrier = wire->carriers;
    while (carrier && strcmp(carrier->endpoint, endpoint) != 0)
        carrier = carrier->next;
    return carrier;
}

static int loop_check(const char *endpoint, struct ph_error *error)
{
    if (strncmp(endpoint, scheme, sizeof scheme - 1) == 0 && endpoint[sizeof scheme - 1] &&
        ph_wire_endpoint_is_valid(endpoint))
        return 0;
    return ph_error_set(error, PH_EUSAGE, "'%s' is no endpoint: write loop://NAME", endpoint);
}

static int loop_start(const struct ph_transport_setup *setup, void **transport,
                      char endpoint[PH_ENDPOINT_MAX + 1], struct ph_error *error)
{
    struct ph_loop_wire *wire = setup->context;
    int rc = loop_check(setup->listen, error);
    if (rc != 0)
        return rc;
    struct carrier *carrier = ph_alloc(sizeof *carrier);
    carrier->wire = wire;
    carrier->wake_fd = setup->wake_fd;
    carrier->inbox_end = &carrier->inbox;
    pthread_mutex_lock(&wire->lock);
    if (strcmp(setup->listen, "loop://*") == 0)
        snprintf(carrier->endpoint, sizeof carrier->endpoint, "loop://%u", ++wire->number);
    else
        snprintf(carrier->endpoint, sizeof carrier->endpoint, "%s", setup->listen);
    bool taken = find_carrier_locked(wire, carrier->endpoint);
    if (!taken) {
        carrier->next = wire->carriers;
        wire->carriers = carrier;
    }
    pthread_mutex_unlock(&wire->lock);
    if (taken) {
        ph_free(carrier);
        return ph_error_set(error, -EADDRINUSE, "another node listens at %s", setup->listen);
    }
    snprintf(endpoint, PH_ENDPOINT_MAX + 1, "%s", carrier->endpoint);
    *transport = carrier;
    return 0;
}

static struct channel **find_channel(struct carrier *carrier, uint32_t number)
{
    struct channel **at = &carrier->channels;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

static void loop_open(void *transport, uint32_t number, const char *endpoint)
{
    struct carrier *carrier = transport;
    struct channel *channel = ph_alloc(sizeof *channel);
    channel->number = number;
    snprintf(channel->endpoint, sizeof channel->endpoint, "%s", endpoint);
    channel->next = carrier->channels;
    carrier->channels = channel;
}

static void loop_close(void *transport, uint32_t number)
{
    struct channel **at = find_channel(transport, number), *channel = *at;
    if (channel) {
        *at = channel->next;
        ph_free(channel);
    }
}

static void append_locked(struct carrier *to, uint32_t refused, const void *bytes, size_t length)
{
    if (to->inbox_count == INBOX_MAX)
        return;
    struct packet *packet = ph_alloc(sizeof *packet + length);
    packet->refused = refused;
    packet->length = length;
    if (length)
        memcpy(packet->bytes, bytes, length);
    *to->inbox_end = packet;
    to->inbox_end = &packet->next;
    if (to->inbox_count++ == 0) {
        const uint64_t one = 1;
        ssize_t written = write(to->wake_fd, &one, sizeof one);
        (void)written; /* full means that it is awake */
    }
}

static void loop_transmit(void *transport, uint32_t number, const void *bytes, size_t length)
{
    struct carrier *carrier = transport;
    const struct channel *channel = *find_channel(carrier, number);
    if (!channel)
        return;
    struct ph_loop_wire *wire = carrier->wire;
    pthread_mutex_lock(&wire->lock);
    struct carrier *to = find_carrier_locked(wire, channel->endpoint);
    if (!to)
        append_locked(carrier, number, NULL, 0);
    else if (!*find_cut_locked(wire, carrier->endpoint, to->endpoint))
        append_locked(to, 0, bytes, length);
    pthread_mutex_unlock(&wire->lock);
}

static struct packet *take_inbox(struct carrier *carrier)
{
    pthread_mutex_lock(&carrier->wire->lock);
    struct packet *first = carrier->inbox;
    carrier->inbox = NULL;
    carrier->inbox_end = &carrier->inbox;
    carrier->inbox_count = 0;
    pthread_mutex_unlock(&carrier->wire->lock);
    return first;
}

static void loop_wait(void *transport, struct ph_mesh *mesh, int extra_fd, int timeout_ms)
{
    struct carrier *carrier = transport;
    /* What came before this wait wrote to the eventfd. */
    struct pollfd fds[] = {{.fd = carrier->wake_fd, .events = POLLIN},
                           {.fd = extra_fd, .events = POLLIN}};
    poll(fds, PH_COUNT_OF(fds), timeout_ms);
    uint64_t count;
    ssize_t got = read(carrier->wake_fd, &count, sizeof count);
    (void)got;
    for (struct packet *packet = take_inbox(carrier), *next; packet; packet = next) {
        next = packet->next;
        if (packet->refused)
            ph_mesh_refused(mesh, packet->refused, ph_now_ms());
        else
            ph_mesh_receive(mesh, packet->bytes, packet->length, ph_now_ms());
        ph_free(packet);
    }
}

static void loop_stop(void *transport)
{
    struct carrier *carrier = transport;
    struct ph_loop_wire *wire = carrier->wire;
    pthread_mutex_lock(&wire->lock);
    struct carrier **at = &wire->carriers;
    while (*at != carrier)
        at = &(*at)->next;
    *at = carrier->next;
    pthread_mutex_unlock(&wire->lock);
    while (carrier->channels)
        loop_close(carrier, carrier->channels->number);
    for (struct packet *packet = carrier->inbox, *next; packet; packet = next) {
        next = packet->next;
        ph_free(packet);
    }
    ph_free(carrier);
}

const struct ph_transport *ph_link_loop(void)
{
    static const struct ph_transport transport = {
        .start = loop_start,
        .check = loop_check,
        .open = loop_open,
        .close = loop_close,
        .transmit = loop_transmit,
        .wait = loop_wait,
        .stop = loop_stop,
    };
    return &transport;
}
