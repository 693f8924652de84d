#include "ipc/link_zmq.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/kind/endpoint.h"
#include "engine/waiter.h"
#include "ipc/link_guard.h"

enum {
    FRAME_BYTES_MAX = 128 * 1024, /* of one part; the mesh's frames are shorter */
    SEND_HWM = 2 * PH_MESH_FRAMES_MAX,
    RECEIVE_HWM = 1000,
    SOCKETS_MAX = 4096, /* three for each channel */
    FRAMES_PER_WAIT = 256,
    EVENTS_PER_WAIT = 32,
    PROBE_MS = 3,            /* how long the links wait to learn whether somebody listens */
    PROBE_AGAIN_MS = 2,      /* the first pause between two such looks; it doubles, … */
    PROBE_AGAIN_MAX_MS = 64, /* … up to that: later libzmq's own retries tell */
    STOP_LINGER_MS = 200,
};

/* What an epoll event is about: one of these, or a channel's number above them. */
enum { ABOUT_WAKE, ABOUT_EXTRA, ABOUT_ROUTER, ABOUT_ACCEPTS, ABOUT_CHANNEL };

struct channel {
    uint32_t number;
    struct ph_endpoint address;
    void *dealer, *monitor;
    bool fresh; /* its monitor was not read yet: only then its descriptor tells of more */
    uint64_t probe_ms, pause_ms; /* when to look again whether somebody listens; 0: not now */
};

struct carrier {
    void *context, *router, *accepts; /* accepts: the router's monitor */
    struct ph_link_guard guard;
    int epoll_fd, wake_fd, extra_fd;
    bool more;                /* the last wait ended before everything was received */
    bool fresh;               /* a channel is */
    bool probing;             /* a channel has a probe_ms */
    struct channel *channels; /* in order of their numbers */
    size_t count, room;
};

/* ---- Sockets -------------------------------------------------------------------------------- */

static void set_int(void *socket, int option, int value)
{
    /* All options are known to the library and the values are in range. */
    ph_assert(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void set_common(void *socket, const struct ph_endpoint *address)
{
    int64_t bytes_max = FRAME_BYTES_MAX;
    ph_assert(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) == 0);
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_IPV6, address->address.ss_family == AF_INET6);
    set_int(socket, ZMQ_RCVHWM, RECEIVE_HWM);
    set_int(socket, ZMQ_SNDHWM, SEND_HWM);
    set_int(socket, ZMQ_HANDSHAKE_IVL, 3000);
    set_int(socket, ZMQ_HEARTBEAT_IVL, 1000);
    set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 3000);
    set_int(socket, ZMQ_HEARTBEAT_TTL, 3000);
}

static int watch(struct carrier *carrier, int fd, uint64_t about)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = about};
    return epoll_ctl(carrier->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* The descriptor that becomes readable when a socket has something to say; -1: none. */
static int socket_fd(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

/* Lets the socket look at what its I/O thread told it. */
static void refresh(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    int rc = zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size);
    (void)rc; /* a side effect is what is wanted */
}

/* A socket that tells what happens to another one; NULL: there is none left. It has to be read
 * once before its descriptor tells of more. */
static void *monitor_of(struct carrier *carrier, void *socket, const char *name, int events,
                        uint64_t about)
{
    if (zmq_socket_monitor(socket, name, events) != 0)
        return NULL;
    void *monitor = zmq_socket(carrier->context, ZMQ_PAIR);
    if (!monitor)
        return NULL;
    set_int(monitor, ZMQ_LINGER, 0);
    set_int(monitor, ZMQ_RCVHWM, 0); /* a lost event would be a connection that nobody guards */
    if (zmq_connect(monitor, name) == 0)
        watch(carrier, socket_fd(monitor), about);
    return monitor;
}

/* The port of "tcp://ADDRESS:PORT", in the network's order. */
static uint16_t port_of(const char *endpoint)
{
    struct ph_endpoint parsed;
    if (ph_endpoint_parse(endpoint, false, &parsed, NULL) != 0)
        return 0;
    return parsed.address.ss_family == AF_INET
               ? ((struct sockaddr_in *)&parsed.address)->sin_port
               : ((struct sockaddr_in6 *)&parsed.address)->sin6_port;
}

static int bind_router(struct carrier *carrier, const char *listen,
                       const struct ph_endpoint *address, char endpoint[PH_ENDPOINT_MAX + 1],
                       struct ph_error *error)
{
    carrier->router = zmq_socket(carrier->context, ZMQ_ROUTER);
    if (!carrier->router)
        return ph_error_set(error, -errno, "no socket for the links: %s", zmq_strerror(errno));
    set_common(carrier->router, address);
    carrier->accepts =
        monitor_of(carrier, carrier->router, "inproc://accepts",
                   ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED, ABOUT_ACCEPTS);
    if (zmq_bind(carrier->router, listen) != 0)
        return ph_error_set(error, -errno, "cannot listen at '%s': %s", listen,
                            zmq_strerror(errno));
    size_t size = PH_ENDPOINT_MAX + 1;
    ph_assert(zmq_getsockopt(carrier->router, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    ph_link_guard_init(&carrier->guard, port_of(endpoint));
    return watch(carrier, socket_fd(carrier->router), ABOUT_ROUTER);
}

static void hang_up(struct carrier *carrier, struct channel *channel, int linger_ms)
{
    if (channel->monitor) {
        epoll_ctl(carrier->epoll_fd, EPOLL_CTL_DEL, socket_fd(channel->monitor), NULL);
        zmq_socket_monitor(channel->dealer, NULL, 0);
        zmq_close(channel->monitor);
    }
    if (channel->dealer) {
        set_int(channel->dealer, ZMQ_LINGER, linger_ms);
        zmq_close(channel->dealer);
    }
}

static void zmq_transport_stop(void *transport)
{
    struct carrier *carrier = transport;
    for (size_t i = 0; i < carrier->count; i++)
        hang_up(carrier, &carrier->channels[i], STOP_LINGER_MS);
    if (carrier->accepts)
        zmq_close(carrier->accepts);
    if (carrier->router)
        zmq_close(carrier->router);
    while (zmq_ctx_term(carrier->context) != 0 && errno == EINTR)
        continue;
    close(carrier->epoll_fd);
    ph_link_guard_fini(&carrier->guard);
    ph_free(carrier->channels);
    ph_free(carrier);
}

static int check_parsed(const char *text, bool listen, struct ph_endpoint *endpoint,
                        struct ph_error *error)
{
    int rc = ph_endpoint_parse(text, listen, endpoint, error);
    return rc == 0 ? ph_endpoint_check_reach(endpoint, text, error) : rc;
}

static int zmq_transport_check(const char *endpoint, struct ph_error *error)
{
    struct ph_endpoint parsed;
    return check_parsed(endpoint, false, &parsed, error);
}

static int zmq_transport_start(const struct ph_transport_setup *setup, void **transport,
                               char endpoint[PH_ENDPOINT_MAX + 1], struct ph_error *error)
{
    struct ph_endpoint address;
    int rc = check_parsed(setup->listen, true, &address, error);
    if (rc != 0)
        return rc;
    char listen[PH_ENDPOINT_MAX + 1];
    ph_endpoint_format(&address, listen);
    char *port = strrchr(listen, ':');
    if (strcmp(port, ":0") == 0)
        port[1] = '*';
    struct carrier *carrier = ph_alloc(sizeof *carrier);
    carrier->wake_fd = setup->wake_fd;
    carrier->extra_fd = -1;
    carrier->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    carrier->context = zmq_ctx_new();
    ph_assert(carrier->context && carrier->epoll_fd >= 0);
    zmq_ctx_set(carrier->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    rc = watch(carrier, carrier->wake_fd, ABOUT_WAKE);
    if (rc == 0)
        rc = bind_router(carrier, listen, &address, endpoint, error);
    if (rc != 0) {
        zmq_transport_stop(carrier);
        return rc;
    }
    *transport = carrier;
    return 0;
}

/* ---- Channels ------------------------------------------------------------------------------- */

/* Where the channel is, or would be. */
static size_t find_place(const struct carrier *carrier, uint32_t number)
{
    size_t low = 0, high = carrier->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (carrier->channels[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct channel *find_channel(struct carrier *carrier, uint32_t number)
{
    size_t at = find_place(carrier, number);
    bool found = at < carrier->count && carrier->channels[at].number == number;
    return found ? &carrier->channels[at] : NULL;
}

/* With no descriptor or socket left the channel stays without one: what it sends is lost. */
static void connect_channel(struct carrier *carrier, struct channel *channel)
{
    char name[64], endpoint[PH_ENDPOINT_MAX + 1];
    ph_endpoint_format(&channel->address, endpoint);
    snprintf(name, sizeof name, "inproc://monitor-%u", (unsigned)channel->number);
    channel->dealer = zmq_socket(carrier->context, ZMQ_DEALER);
    if (!channel->dealer)
        return;
    set_common(channel->dealer, &channel->address);
    set_int(channel->dealer, ZMQ_IMMEDIATE, 1);
    set_int(channel->dealer, ZMQ_RECONNECT_IVL, 100);
    set_int(channel->dealer, ZMQ_RECONNECT_IVL_MAX, 2000);
    set_int(channel->dealer, ZMQ_CONNECT_TIMEOUT, 3000);
    set_int(channel->dealer, ZMQ_TCP_MAXRT, 5000);
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED;
    channel->monitor =
        monitor_of(carrier, channel->dealer, name, events, ABOUT_CHANNEL + channel->number);
    zmq_connect(channel->dealer, endpoint);
}

static void zmq_transport_open(void *transport, uint32_t number, const char *endpoint)
{
    struct carrier *carrier = transport;
    struct channel channel = {.number = number};
    if (ph_endpoint_parse(endpoint, false, &channel.address, NULL) != 0)
        return;
    if (carrier->count == carrier->room) {
        carrier->room = carrier->room ? 2 * carrier->room : 16;
        carrier->channels =
            ph_realloc(carrier->channels, carrier->room * sizeof *carrier->channels);
    }
    connect_channel(carrier, &channel);
    channel.fresh = channel.monitor != NULL;
    carrier->fresh |= channel.fresh;
    carrier->channels[carrier->count++] = channel; /* numbers rise */
}

static void zmq_transport_close(void *transport, uint32_t number)
{
    struct carrier *carrier = transport;
    struct channel *channel = find_channel(carrier, number);
    if (!channel)
        return;
    hang_up(carrier, channel, 0);
    size_t after = carrier->count - (size_t)(channel - carrier->channels) - 1;
    memmove(channel, channel + 1, after * sizeof *channel);
    carrier->count--;
}

static void zmq_transport_transmit(void *transport, uint32_t number, const void *bytes,
                                   size_t length)
{
    struct channel *channel = find_channel(transport, number);
    if (!channel || !channel->dealer)
        return;
    if (zmq_send(channel->dealer, bytes, length, ZMQ_DONTWAIT) >= 0)
        return;
    /* The socket may not have seen yet that it is connected. */
    refresh(channel->dealer);
    int rc = zmq_send(channel->dealer, bytes, length, ZMQ_DONTWAIT);
    (void)rc; /* lost */
}

/* ---- Waiting -------------------------------------------------------------------------------- */

/* What became of a connect under way, within a moment: 0 when it is not known yet. */
static int connect_error(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&polled, 1, PROBE_MS) == 1)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

/* Does nothing listen there? Only what is known almost at once counts. */
static bool is_refused(const struct ph_endpoint *address)
{
    int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    const struct linger abort = {.l_onoff = 1};
    int rc = setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    (void)rc;
    int error = 0;
    if (connect(fd, (const struct sockaddr *)&address->address, address->length) < 0)
        error = errno == EINPROGRESS ? connect_error(fd) : errno;
    close(fd);
    return error == ECONNREFUSED;
}

/* The next event of a monitor and its value; 0: there is none. */
static unsigned next_event(void *monitor, int *value)
{
    uint16_t event = 0;
    uint32_t number = 0;
    zmq_msg_t part;
    zmq_msg_init(&part);
    int more = zmq_msg_recv(&part, monitor, ZMQ_DONTWAIT) >= 0;
    if (more && zmq_msg_size(&part) >= sizeof event + sizeof number) {
        memcpy(&event, zmq_msg_data(&part), sizeof event);
        memcpy(&number, (char *)zmq_msg_data(&part) + sizeof event, sizeof number);
    }
    while (more && zmq_msg_more(&part))
        more = zmq_msg_recv(&part, monitor, ZMQ_DONTWAIT) >= 0;
    zmq_msg_close(&part);
    *value = (int)number;
    return event;
}

static void take_accepts(struct carrier *carrier)
{
    int fd;
    for (unsigned event; carrier->accepts && (event = next_event(carrier->accepts, &fd));) {
        if (event == ZMQ_EVENT_ACCEPTED)
            ph_link_guard_accepted(&carrier->guard, fd);
        else
            ph_link_guard_closed(&carrier->guard, fd);
    }
}

/* A process that dies may close its connections before it stops listening: after a cut it is looked
 * at some more times. */
static void probe(struct carrier *carrier, struct ph_mesh *mesh, struct channel *channel)
{
    uint64_t now_ms = ph_now_ms();
    bool again = channel->pause_ms && channel->pause_ms <= PROBE_AGAIN_MAX_MS;
    bool refused = is_refused(&channel->address);
    channel->probe_ms = again && !refused ? now_ms + channel->pause_ms : 0;
    channel->pause_ms = channel->probe_ms ? 2 * channel->pause_ms : 0;
    carrier->probing |= channel->probe_ms != 0;
    if (refused)
        ph_mesh_refused(mesh, channel->number, now_ms);
}

static void probe_again(struct carrier *carrier, struct ph_mesh *mesh)
{
    uint64_t now_ms = ph_now_ms();
    carrier->probing = false;
    for (size_t i = carrier->count; i-- > 0;) {
        if (i >= carrier->count || !carrier->channels[i].probe_ms)
            continue;
        if (carrier->channels[i].probe_ms <= now_ms)
            probe(carrier, mesh, &carrier->channels[i]);
        else
            carrier->probing = true;
    }
}

/* In ms; -1: none. */
static int next_probe(const struct carrier *carrier)
{
    uint64_t now_ms = ph_now_ms();
    int next_ms = -1;
    for (size_t i = 0; carrier->probing && i < carrier->count; i++) {
        uint64_t when_ms = carrier->channels[i].probe_ms;
        int in_ms = when_ms > now_ms ? (int)(when_ms - now_ms) : 0;
        if (when_ms)
            next_ms = ph_sooner_ms(next_ms, in_ms);
    }
    return next_ms;
}

static void take_events(struct carrier *carrier, struct ph_mesh *mesh, uint32_t number)
{
    struct channel *channel = find_channel(carrier, number);
    if (!channel || !channel->monitor)
        return;
    unsigned last = 0;
    int value;
    for (unsigned event; (event = next_event(channel->monitor, &value)); last = event)
        if (event == ZMQ_EVENT_DISCONNECTED)
            channel->pause_ms = PROBE_AGAIN_MS;
    if (!last)
        return;
    refresh(channel->dealer);
    if (last != ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        probe(carrier, mesh, channel);
        return;
    }
    channel->probe_ms = channel->pause_ms = 0;
    ph_mesh_connected(mesh, number, ph_now_ms());
}

/* Takes one message whole; false: there is none. One that has not exactly an identity and a body
 * is malformed. */
static bool receive_one(struct carrier *carrier, struct ph_mesh *mesh)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    bool got = zmq_msg_recv(&part, carrier->router, ZMQ_DONTWAIT) >= 0;
    if (got)
        ph_link_guard_brought(&carrier->guard, zmq_msg_get(&part, ZMQ_SRCFD));
    bool framed = got && zmq_msg_more(&part) &&
                  zmq_msg_recv(&part, carrier->router, ZMQ_DONTWAIT) >= 0 && !zmq_msg_more(&part);
    if (framed)
        ph_mesh_receive(mesh, zmq_msg_data(&part), zmq_msg_size(&part), ph_now_ms());
    else if (got)
        ph_mesh_receive(mesh, "", 0, ph_now_ms());
    while (got && zmq_msg_more(&part))
        got = zmq_msg_recv(&part, carrier->router, ZMQ_DONTWAIT) >= 0;
    zmq_msg_close(&part);
    return got;
}

static void take_first_events(struct carrier *carrier, struct ph_mesh *mesh)
{
    carrier->fresh = false;
    for (size_t i = carrier->count; i-- > 0;) {
        if (i < carrier->count && carrier->channels[i].fresh) {
            carrier->channels[i].fresh = false;
            take_events(carrier, mesh, carrier->channels[i].number);
        }
    }
}

static void watch_extra(struct carrier *carrier, int extra_fd)
{
    if (extra_fd == carrier->extra_fd)
        return;
    if (carrier->extra_fd >= 0)
        epoll_ctl(carrier->epoll_fd, EPOLL_CTL_DEL, carrier->extra_fd, NULL);
    carrier->extra_fd = extra_fd;
    if (extra_fd >= 0)
        watch(carrier, extra_fd, ABOUT_EXTRA);
}

static void zmq_transport_wait(void *transport, struct ph_mesh *mesh, int extra_fd, int timeout_ms)
{
    struct carrier *carrier = transport;
    struct epoll_event events[EVENTS_PER_WAIT];
    watch_extra(carrier, extra_fd);
    if (carrier->fresh)
        take_first_events(carrier, mesh);
    take_accepts(carrier);
    timeout_ms = ph_sooner_ms(timeout_ms, ph_link_guard_look(&carrier->guard, ph_now_ms()));
    ph_mesh_cut_off(mesh, carrier->guard.cut);
    carrier->guard.cut = 0;
    timeout_ms = ph_sooner_ms(timeout_ms, next_probe(carrier));
    bool hurry = carrier->more || carrier->fresh;
    int count = epoll_wait(carrier->epoll_fd, events, EVENTS_PER_WAIT, hurry ? 0 : timeout_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == ABOUT_WAKE) {
            uint64_t wakes;
            ssize_t got = read(carrier->wake_fd, &wakes, sizeof wakes);
            (void)got;
        } else if (events[i].data.u64 >= ABOUT_CHANNEL) {
            take_events(carrier, mesh, (uint32_t)(events[i].data.u64 - ABOUT_CHANNEL));
        }
    }
    if (carrier->probing)
        probe_again(carrier, mesh);
    take_accepts(carrier);
    /* Always until nothing is left: the descriptor tells of changes, not of a state. */
    int taken = 0;
    while (taken < FRAMES_PER_WAIT && receive_one(carrier, mesh))
        taken++;
    carrier->more = taken == FRAMES_PER_WAIT;
}

const struct ph_transport *ph_link_zmq(void)
{
    static const struct ph_transport transport = {
        .start = zmq_transport_start,
        .check = zmq_transport_check,
        .open = zmq_transport_open,
        .close = zmq_transport_close,
        .transmit = zmq_transport_transmit,
        .wait = zmq_transport_wait,
        .stop = zmq_transport_stop,
    };
    return &transport;
}
