#include "ipc/links.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/node.h"
#include "engine/queue.h"
#include "engine/waiter.h"
#include "ipc/discovery.h"
#include "ipc/link_zmq.h"
#include "ipc/transport.h"

enum {
    COMMANDS_PER_TURN = 1024,
    BUSY_MS = 1, /* a producer is between the two steps of its push */
    LEAVE_WAIT_S = 2,
    STATS_EVERY_MS = 100,
};

enum command_type { COMMAND_SEND, COMMAND_RESET, COMMAND_JOIN, COMMAND_LEAVE, COMMAND_QUIT };

struct command {
    struct ph_queue_node link;
    enum command_type type;
    enum ph_link_class class;
    uint64_t peer;
    struct ph_text frame;
    char text[PH_ENDPOINT_MAX + 1]; /* the hub, or the endpoint to join */
};

/* What other threads may ask of a peer. */
struct known_peer {
    struct ph_peer peer;
    uint64_t room, pending_bytes; /* pending: in our queue, not yet in the mesh's */
    struct ph_mesh_stats stats;
};

struct trouble {
    char endpoint[PH_ENDPOINT_MAX + 1];
    char text[2 * PH_ENDPOINT_MAX];
};

struct ph_links {
    /* Immutable after start. */
    struct ph_node *node;
    const struct ph_transport *transport;
    void *carrier; /* the transport's */
    int wake_fd;
    pthread_t thread;
    char endpoint[PH_ENDPOINT_MAX + 1];

    /* Any thread. */
    struct ph_queue commands;
    /* Set by the thread before it waits, taken by who wakes it. Both sides have a fence between
     * this and the queue, so that a command is seen or the thread is woken. */
    atomic_bool asleep;
    atomic_uint joins; /* relaxed: a bound */

    /* Under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t parted; /* on CLOCK_MONOTONIC */
    bool has_left;
    struct known_peer *peers;
    size_t peer_count, peer_room;
    struct ph_mesh_stats totals;
    struct ph_discovery_stats beacons;
    struct trouble troubles[PH_LINKS_TROUBLES_MAX];
    size_t trouble_count;
    ph_links_service service;
    void *service_arg;

    /* The links' thread. */
    struct ph_mesh *mesh;
    struct ph_discovery *discovery; /* NULL: none */
    uint64_t told_ms;               /* when figures were published last */
    bool quit;
};

/* ---- Commands, from any thread -------------------------------------------------------------- */

static void push_command(struct ph_links *links, struct command *command)
{
    ph_queue_push(&links->commands, &command->link);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in turn() */
    if (!atomic_load_explicit(&links->asleep, memory_order_relaxed) ||
        !atomic_exchange_explicit(&links->asleep, false, memory_order_relaxed))
        return;
    const uint64_t one = 1;
    ssize_t written = write(links->wake_fd, &one, sizeof one);
    (void)written; /* full means that it is awake */
}

static struct command *new_command(enum command_type type)
{
    struct command *command = ph_alloc(sizeof *command);
    command->type = type;
    return command;
}

static struct known_peer *find_locked(struct ph_links *links, uint64_t peer)
{
    for (size_t i = 0; i < links->peer_count; i++)
        if (links->peers[i].peer.number == peer)
            return &links->peers[i];
    return NULL;
}

static void port_send(void *context, uint64_t peer, const char *hub, enum ph_link_class class,
                      struct ph_text *frame)
{
    struct ph_links *links = context;
    pthread_mutex_lock(&links->lock);
    struct known_peer *known = find_locked(links, peer);
    if (known && class == PH_LINK_STREAM)
        known->pending_bytes += frame->length;
    pthread_mutex_unlock(&links->lock);
    if (!known || strlen(hub) > PH_NAME_MAX) {
        ph_text_fini(frame);
        return;
    }
    struct command *command = new_command(COMMAND_SEND);
    command->class = class;
    command->peer = peer;
    command->frame = *frame;
    *frame = (struct ph_text)PH_TEXT_INIT;
    memcpy(command->text, hub, strlen(hub));
    push_command(links, command);
}

static uint64_t port_room(void *context, uint64_t peer)
{
    struct ph_links *links = context;
    pthread_mutex_lock(&links->lock);
    const struct known_peer *known = find_locked(links, peer);
    uint64_t room = known ? known->room : 0;
    room = known && room > known->pending_bytes ? room - known->pending_bytes : 0;
    pthread_mutex_unlock(&links->lock);
    return room;
}

static void port_reset(void *context, uint64_t peer)
{
    struct command *command = new_command(COMMAND_RESET);
    command->peer = peer;
    push_command(context, command);
}

static const struct ph_links_port links_port = {
    .send = port_send,
    .room = port_room,
    .reset = port_reset,
};

/* ---- The mesh's port, on the links' thread --------------------------------------------------- */

static void mesh_open(void *context, uint32_t channel, const char *endpoint)
{
    struct ph_links *links = context;
    /* What a peer says is not called where our own commands may not lead. */
    if (links->transport->check(endpoint, NULL) == 0)
        links->transport->open(links->carrier, channel, endpoint);
}

static void mesh_close(void *context, uint32_t channel)
{
    struct ph_links *links = context;
    links->transport->close(links->carrier, channel);
}

static void mesh_transmit(void *context, uint32_t channel, const void *bytes, size_t length)
{
    struct ph_links *links = context;
    links->transport->transmit(links->carrier, channel, bytes, length);
}

static void mesh_peer_up(void *context, const struct ph_peer *peer)
{
    struct ph_links *links = context;
    pthread_mutex_lock(&links->lock);
    if (links->peer_count == links->peer_room) {
        links->peer_room = links->peer_room ? 2 * links->peer_room : 16;
        links->peers = ph_realloc(links->peers, links->peer_room * sizeof *links->peers);
    }
    links->peers[links->peer_count++] = (struct known_peer){
        .peer = *peer,
        .room = ph_mesh_room(links->mesh, peer->number),
    };
    pthread_mutex_unlock(&links->lock);
    ph_node_peer_up(links->node, peer);
}

static void forget_peer(struct ph_links *links, uint64_t peer)
{
    pthread_mutex_lock(&links->lock);
    struct known_peer *known = find_locked(links, peer);
    if (known) {
        size_t after = links->peer_count - (size_t)(known - links->peers) - 1;
        memmove(known, known + 1, after * sizeof *known);
        links->peer_count--;
    }
    pthread_mutex_unlock(&links->lock);
}

static void mesh_peer_down(void *context, uint64_t peer, enum ph_peer_end why)
{
    struct ph_links *links = context;
    forget_peer(links, peer);
    ph_node_peer_down(links->node, peer, why);
}

static void mesh_frame(void *context, uint64_t peer, const char *hub, size_t hub_length,
                       const void *bytes, size_t length)
{
    struct ph_links *links = context;
    if (hub_length) {
        ph_node_frame(links->node, peer, hub, hub_length, bytes, length);
        return;
    }
    pthread_mutex_lock(&links->lock);
    ph_links_service service = links->service;
    void *arg = links->service_arg;
    pthread_mutex_unlock(&links->lock);
    if (service)
        service(arg, peer, bytes, length);
}

static void mesh_trouble(void *context, const char *endpoint, const char *text)
{
    struct ph_links *links = context;
    pthread_mutex_lock(&links->lock);
    size_t at = 0;
    while (at < links->trouble_count && strcmp(links->troubles[at].endpoint, endpoint) != 0)
        at++;
    if (at < links->trouble_count) { /* it goes to the end, or goes */
        memmove(&links->troubles[at], &links->troubles[at + 1],
                (links->trouble_count - at - 1) * sizeof *links->troubles);
        links->trouble_count--;
    }
    if (text[0] && links->trouble_count == PH_LINKS_TROUBLES_MAX) {
        memmove(links->troubles, links->troubles + 1,
                (PH_LINKS_TROUBLES_MAX - 1) * sizeof *links->troubles);
        links->trouble_count--;
    }
    if (text[0]) {
        struct trouble *trouble = &links->troubles[links->trouble_count++];
        snprintf(trouble->endpoint, sizeof trouble->endpoint, "%s", endpoint);
        snprintf(trouble->text, sizeof trouble->text, "%s", text);
    }
    pthread_mutex_unlock(&links->lock);
}

static void mesh_clash(void *context, const char *name, const char *endpoint, bool refused)
{
    struct ph_links *links = context;
    char text[2 * PH_ENDPOINT_MAX];
    snprintf(text, sizeof text, "another node named '%s' answers at %s", name, endpoint);
    mesh_trouble(context, endpoint, text);
    if (refused)
        ph_node_name_taken(links->node);
}

static const struct ph_mesh_port mesh_port = {
    .open = mesh_open,
    .close = mesh_close,
    .transmit = mesh_transmit,
    .peer_up = mesh_peer_up,
    .peer_down = mesh_peer_down,
    .frame = mesh_frame,
    .clash = mesh_clash,
    .trouble = mesh_trouble,
};

/* ---- The links' thread ---------------------------------------------------------------------- */

static void do_send(struct ph_links *links, struct command *command, uint64_t now_ms)
{
    uint64_t bytes = command->class == PH_LINK_STREAM ? command->frame.length : 0;
    ph_mesh_send(links->mesh, command->peer, command->text, command->class, &command->frame,
                 now_ms);
    pthread_mutex_lock(&links->lock);
    struct known_peer *known = find_locked(links, command->peer);
    if (known) {
        known->pending_bytes -= bytes;
        known->room = ph_mesh_room(links->mesh, command->peer);
    }
    pthread_mutex_unlock(&links->lock);
}

static void do_command(struct ph_links *links, struct command *command, uint64_t now_ms)
{
    switch (command->type) {
    case COMMAND_SEND:
        do_send(links, command, now_ms);
        break;
    case COMMAND_RESET:
        forget_peer(links, command->peer);
        ph_node_peer_forget(links->node, command->peer);
        ph_mesh_reset(links->mesh, command->peer, now_ms);
        break;
    case COMMAND_JOIN:
        if (ph_mesh_join(links->mesh, command->text, now_ms) != 0)
            mesh_trouble(links, command->text, "too many nodes");
        break;
    case COMMAND_LEAVE:
        ph_mesh_leave(links->mesh, now_ms);
        break;
    case COMMAND_QUIT:
        links->quit = true;
        break;
    }
    ph_text_fini(&command->frame);
    ph_free(command);
}

/* Returns how long the transport may wait. */
static int take_commands(struct ph_links *links)
{
    struct ph_queue_node *node;
    uint64_t now_ms = ph_now_ms();
    for (int i = 0; i < COMMANDS_PER_TURN; i++) {
        enum ph_queue_result result = ph_queue_pop(&links->commands, &node);
        if (result == PH_QUEUE_BUSY)
            return BUSY_MS;
        if (result == PH_QUEUE_EMPTY)
            return -1;
        do_command(links, ph_container_of(node, struct command, link), now_ms);
    }
    return 0;
}

/* Room changes with every acknowledgement; the other figures are for people. */
static void publish(struct ph_links *links, uint64_t now_ms)
{
    bool all = now_ms - links->told_ms >= STATS_EVERY_MS;
    bool left = ph_mesh_has_left(links->mesh);
    pthread_mutex_lock(&links->lock);
    for (size_t i = 0; i < links->peer_count; i++) {
        struct known_peer *known = &links->peers[i];
        known->room = ph_mesh_room(links->mesh, known->peer.number);
        if (all)
            ph_mesh_stats(links->mesh, known->peer.number, &known->stats);
    }
    if (all)
        ph_mesh_stats(links->mesh, 0, &links->totals);
    if (all && links->discovery)
        ph_discovery_get_stats(links->discovery, &links->beacons);
    if (left && !links->has_left) {
        links->has_left = true;
        pthread_cond_broadcast(&links->parted);
    }
    pthread_mutex_unlock(&links->lock);
    if (all)
        links->told_ms = now_ms;
}

static int mesh_wait(const struct ph_links *links, uint64_t now_ms)
{
    uint64_t deadline_ms = ph_mesh_next_deadline(links->mesh);
    if (deadline_ms == UINT64_MAX)
        return -1;
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    return wait_ms > 60000 ? 60000 : (int)wait_ms;
}

static void turn(struct ph_links *links)
{
    int wait_ms = take_commands(links);
    if (links->quit)
        return; /* nobody would wake it any more */
    uint64_t now_ms = ph_now_ms();
    if (links->discovery)
        wait_ms = ph_sooner_ms(wait_ms, ph_discovery_turn(links->discovery, links->mesh, now_ms));
    ph_mesh_tick(links->mesh, now_ms);
    publish(links, now_ms);
    wait_ms = links->quit ? 0 : ph_sooner_ms(wait_ms, mesh_wait(links, now_ms));
    if (wait_ms != 0) {
        atomic_store_explicit(&links->asleep, true, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in push_command() */
        if (!ph_queue_is_empty(&links->commands))
            wait_ms = 0;
    }
    int extra_fd = links->discovery ? ph_discovery_fd(links->discovery) : -1;
    links->transport->wait(links->carrier, links->mesh, extra_fd, wait_ms);
    atomic_store_explicit(&links->asleep, false, memory_order_relaxed);
}

static void *links_main(void *arg)
{
    struct ph_links *links = arg;
    while (!links->quit)
        turn(links);
    while (take_commands(links) >= 0) {
        /* What came with the last one. */
    }
    ph_thread_leave(); /* the node may have read */
    return NULL;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static uint64_t random_number(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = (uint64_t)ph_wall_ms() ^ (uint64_t)getpid() << 48;
    return number ? number : 1;
}

static int create_mesh(struct ph_links *links, const struct ph_links_config *config,
                       struct ph_error *error)
{
    uint64_t incarnation =
        config->incarnation ? config->incarnation : ph_node_incarnation(links->node);
    struct ph_mesh_setup setup = {
        .name = ph_node_name(links->node),
        .endpoint = links->endpoint,
        .cluster = config->cluster,
        .incarnation = incarnation,
        .nonce = random_number(),
        .seed = random_number(),
        .now_ms = ph_now_ms(),
        .window_bytes = config->window_bytes,
        .queue_bytes_max = config->queue_bytes_max,
        .port = &mesh_port,
        .context = links,
    };
    int rc = ph_mesh_create(&setup, &links->mesh, error);
    if (rc == 0)
        ph_node_bind_links(links->node,
                           (struct ph_links_port_binding){.port = &links_port, .context = links},
                           links->endpoint, incarnation);
    return rc;
}

static int start_discovery(struct ph_links *links, const struct ph_links_config *config,
                           struct ph_error *error)
{
    if (!config->beacon)
        return 0;
    return ph_discovery_create(
        &(struct ph_discovery_setup){
            .address = config->beacon,
            .cluster = config->cluster ? config->cluster : "",
            .name = ph_node_name(links->node),
            .endpoint = links->endpoint,
            .seed = random_number(),
        },
        &links->discovery, error);
}

/* Binds, and finds the endpoint that others are told. */
static int start_carrier(struct ph_links *links, const struct ph_links_config *config,
                         struct ph_error *error)
{
    const struct ph_transport_setup setup = {
        .listen = config->listen ? config->listen : "tcp://127.0.0.1:*",
        .wake_fd = links->wake_fd,
        .context = config->transport_context,
    };
    if (config->advertise) {
        int rc = links->transport->check(config->advertise, error);
        if (rc != 0)
            return rc;
    }
    int rc = links->transport->start(&setup, &links->carrier, links->endpoint, error);
    if (rc == 0 && config->advertise)
        snprintf(links->endpoint, sizeof links->endpoint, "%s", config->advertise);
    return rc;
}

static int start_thread(struct ph_links *links, struct ph_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&links->thread, NULL, links_main, links);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return ph_error_set(error, -rc, "no thread for the links: %s", strerror(rc));
    pthread_setname_np(links->thread, "ph-links");
    return 0;
}

static int start_parts(struct ph_links *links, const struct ph_links_config *config,
                       struct ph_error *error)
{
    int rc = start_carrier(links, config, error);
    if (rc == 0)
        rc = create_mesh(links, config, error);
    if (rc == 0)
        rc = start_discovery(links, config, error);
    for (size_t i = 0; i < config->join_count && rc == 0; i++)
        rc = ph_links_join(links, config->joins[i], error);
    return rc == 0 ? start_thread(links, error) : rc;
}

static void init_lock(struct ph_links *links)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&links->parted, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&links->lock, NULL);
}

/* What start_parts made, but for the thread. */
static void free_links(struct ph_links *links)
{
    while (take_commands(links) >= 0) {
        /* Joins of a start that failed. */
    }
    ph_mesh_destroy(links->mesh);
    ph_discovery_destroy(links->discovery);
    if (links->carrier)
        links->transport->stop(links->carrier);
    pthread_cond_destroy(&links->parted);
    pthread_mutex_destroy(&links->lock);
    close(links->wake_fd);
    ph_free(links->peers);
    ph_free(links);
}

int ph_links_start(struct ph_node *node, const struct ph_links_config *config,
                   struct ph_links **out, struct ph_error *error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return ph_error_set(error, -errno, "no descriptor for the links: %s", strerror(errno));
    struct ph_links *links = ph_alloc(sizeof *links);
    links->node = node;
    links->transport = config->transport ? config->transport : ph_link_zmq();
    links->wake_fd = fd;
    ph_queue_init(&links->commands);
    init_lock(links);
    int rc = start_parts(links, config, error);
    if (rc != 0) {
        free_links(links);
        ph_node_bind_links(node, (struct ph_links_port_binding){0}, "", 0);
        return rc;
    }
    *out = links;
    return 0;
}

void ph_links_leave(struct ph_links *links)
{
    push_command(links, new_command(COMMAND_LEAVE));
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LEAVE_WAIT_S;
    pthread_mutex_lock(&links->lock);
    while (!links->has_left &&
           pthread_cond_timedwait(&links->parted, &links->lock, &until) != ETIMEDOUT)
        continue;
    pthread_mutex_unlock(&links->lock);
}

void ph_links_stop(struct ph_links *links)
{
    if (!links)
        return;
    push_command(links, new_command(COMMAND_QUIT));
    pthread_join(links->thread, NULL);
    free_links(links);
}

/* ---- Any thread ----------------------------------------------------------------------------- */

const char *ph_links_endpoint(const struct ph_links *links)
{
    return links->endpoint;
}

int ph_links_join(struct ph_links *links, const char *endpoint, struct ph_error *error)
{
    int rc = links->transport->check(endpoint, error);
    if (rc != 0)
        return rc;
    if (atomic_fetch_add_explicit(&links->joins, 1, memory_order_relaxed) >= PH_LINKS_JOINS_MAX) {
        atomic_fetch_sub_explicit(&links->joins, 1, memory_order_relaxed);
        return ph_error_set(error, PH_ELIMIT, "a node joins at most %d endpoints",
                            PH_LINKS_JOINS_MAX);
    }
    struct command *command = new_command(COMMAND_JOIN);
    memcpy(command->text, endpoint, strlen(endpoint));
    push_command(links, command);
    return 0;
}

uint64_t ph_links_find_peer(struct ph_links *links, const char *name)
{
    uint64_t peer = 0;
    pthread_mutex_lock(&links->lock);
    for (size_t i = 0; i < links->peer_count && !peer; i++)
        if (strcmp(links->peers[i].peer.name, name) == 0)
            peer = links->peers[i].peer.number;
    pthread_mutex_unlock(&links->lock);
    return peer;
}

void ph_links_stats(struct ph_links *links, uint64_t peer, struct ph_mesh_stats *stats)
{
    pthread_mutex_lock(&links->lock);
    const struct known_peer *known = peer ? find_locked(links, peer) : NULL;
    if (peer)
        *stats = known ? known->stats : (struct ph_mesh_stats){0};
    else
        *stats = links->totals;
    pthread_mutex_unlock(&links->lock);
}

bool ph_links_beacon_stats(struct ph_links *links, struct ph_discovery_stats *stats)
{
    pthread_mutex_lock(&links->lock);
    *stats = links->beacons;
    pthread_mutex_unlock(&links->lock);
    return links->discovery != NULL;
}

void ph_links_each_trouble(struct ph_links *links,
                           bool (*fn)(void *arg, const char *endpoint, const char *text), void *arg)
{
    struct trouble *copies = ph_alloc(sizeof links->troubles);
    pthread_mutex_lock(&links->lock);
    size_t count = links->trouble_count;
    memcpy(copies, links->troubles, count * sizeof *copies);
    pthread_mutex_unlock(&links->lock);
    for (size_t i = 0; i < count && fn(arg, copies[i].endpoint, copies[i].text); i++)
        continue;
    ph_free(copies);
}

void ph_links_on_service(struct ph_links *links, ph_links_service fn, void *arg)
{
    pthread_mutex_lock(&links->lock);
    links->service = fn;
    links->service_arg = arg;
    pthread_mutex_unlock(&links->lock);
}

void ph_links_service_send(struct ph_links *links, uint64_t peer, struct ph_text *frame)
{
    port_send(links, peer, "", PH_LINK_STREAM, frame);
}
