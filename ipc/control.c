#include "ipc/control.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "ipc/control_path.h"
#include "ipc/control_socket.h"
#include "ipc/frame.h"
#include "ipc/session.h"

enum {
    STACK_BYTES = 256 * 1024,
    READ_BYTES = 16 * 1024,
    EVENTS = 64,
    PAUSE_MS = 1000,   /* without accepting, when there is no descriptor left */
    FAREWELL_MS = 500, /* for runs to end by themselves when the node ends */
};

struct client {
    struct ph_control *control;
    struct client *next; /* the acceptor's list */
    int fd;
    pthread_t thread;
    struct ph_session session;
    struct ph_sink sink;

    /* The acceptor's. */
    struct ph_text input;
    bool paused; /* not read: its input is full, or it has hung up */

    /* Under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct ph_frame_run run;
    bool pending;        /* `run` waits for the client's thread */
    bool busy;           /* or is in work there */
    bool deferred;       /* more input waits for its end: tell the acceptor */
    bool closing;        /* end when the run in work is done */
    const char *refusal; /* say this before the end */
    bool ended;          /* the thread has nothing more to do: join it */
};

struct ph_control {
    struct ph_node *node;
    struct ph_control_socket socket;
    int epoll_fd, wake_fd;
    pthread_t thread;
    struct client *clients; /* the acceptor's */
    unsigned client_count;
    bool accepting;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards `place` and who is told about a shutdown */
    struct ph_session_place place;
    void (*on_shutdown)(void *arg);
    void *shutdown_arg;
};

static void wake(struct ph_control *control)
{
    uint64_t one = 1;
    ssize_t written = write(control->wake_fd, &one, sizeof one);
    (void)written; /* it cannot overflow, and a full counter wakes as well */
}

/* ---- A client's thread ----------------------------------------------------------------------- */

static int send_frame(struct client *client, enum ph_frame_type type, const char *bytes,
                      size_t length)
{
    struct ph_text frame = PH_TEXT_INIT;
    int rc = 0;
    do {
        size_t piece = length < PH_FRAME_DATA_MAX ? length : PH_FRAME_DATA_MAX;
        ph_text_clear(&frame);
        size_t start = ph_frame_begin(&frame, type);
        ph_text_append(&frame, bytes, piece);
        ph_frame_end(&frame, start);
        rc = ph_frame_write(client->fd, frame.data, frame.length);
        bytes += piece;
        length -= piece;
    } while (length && rc == 0);
    ph_text_fini(&frame);
    return rc;
}

static int sink_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct client *client = ph_container_of(sink, struct client, sink);
    return send_frame(client, PH_FRAME_OUTPUT, bytes, length);
}

static int sink_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct client *client = ph_container_of(sink, struct client, sink);
    return send_frame(client, PH_FRAME_ERROR, bytes, length);
}

static void run_statement(struct client *client)
{
    int rc = ph_session_run(&client->session, client->run.script, &client->run.statement,
                            client->run.form, &client->sink);
    unsigned char code[4];
    for (int i = 0; i < 4; i++)
        code[i] = (unsigned char)((uint32_t)rc >> (8 * i));
    /* A client that is gone is noticed by the acceptor. */
    rc = send_frame(client, PH_FRAME_EXIT, (const char *)code, sizeof code);
    (void)rc;
}

/* Waits for the next statement; false at the end. */
static bool next_statement(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    while (!client->pending && !client->closing)
        pthread_cond_wait(&client->cond, &client->lock);
    bool go = client->pending && !client->closing;
    client->pending = false;
    pthread_mutex_unlock(&client->lock);
    return go;
}

static void end_statement(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    ph_frame_run_fini(&client->run);
    client->busy = false;
    bool tell = client->deferred;
    client->deferred = false;
    /* Cancellations of this run end with it; under the lock, so none of the next one is lost. */
    if (!client->closing)
        ph_waiter_reset(&client->session.waiter);
    pthread_mutex_unlock(&client->lock);
    if (tell)
        wake(client->control);
}

static void say_refusal(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    const char *refusal = client->refusal;
    pthread_mutex_unlock(&client->lock);
    if (!refusal)
        return;
    int rc = send_frame(client, PH_FRAME_ERROR, refusal, strlen(refusal));
    (void)rc; /* nobody there: then nobody wants to know */
}

static void *serve(void *arg)
{
    struct client *client = arg;
    pthread_setname_np(pthread_self(), "ph-client");
    while (next_statement(client)) {
        run_statement(client);
        end_statement(client);
    }
    say_refusal(client);
    shutdown(client->fd, SHUT_RDWR);
    ph_thread_leave();
    pthread_mutex_lock(&client->lock);
    client->ended = true;
    pthread_mutex_unlock(&client->lock);
    wake(client->control);
    return NULL;
}

/* ---- The acceptor: clients come and go ---------------------------------------------------------
 */

/* Ends a client: its run is called off, its thread ends, the acceptor joins it when it hears so. */
static void close_client(struct client *client, const char *refusal)
{
    pthread_mutex_lock(&client->lock);
    if (!client->refusal)
        client->refusal = refusal;
    client->closing = true;
    ph_waiter_cancel(&client->session.waiter);
    pthread_cond_signal(&client->cond);
    pthread_mutex_unlock(&client->lock);
}

static void watch(struct client *client, bool read)
{
    struct epoll_event event = {.events = EPOLLRDHUP | (read ? EPOLLIN : 0u), .data.ptr = client};
    epoll_ctl(client->control->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
    client->paused = !read;
}

static void free_client(struct client *client)
{
    ph_frame_run_fini(&client->run);
    ph_session_fini(&client->session);
    ph_text_fini(&client->input);
    pthread_cond_destroy(&client->cond);
    pthread_mutex_destroy(&client->lock);
    close(client->fd);
    ph_free(client);
}

static void shutdown_once(void *arg)
{
    struct ph_control *control = arg;
    pthread_mutex_lock(&control->lock);
    void (*fn)(void *) = control->on_shutdown;
    void *fn_arg = control->shutdown_arg;
    control->on_shutdown = NULL;
    pthread_mutex_unlock(&control->lock);
    if (fn)
        fn(fn_arg);
}

static struct client *create_client(struct ph_control *control, int fd)
{
    struct client *client = ph_alloc(sizeof *client);
    client->control = control;
    client->fd = fd;
    client->sink = (struct ph_sink){.data = sink_data, .note = sink_note};
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->cond, NULL);
    ph_session_init(&client->session, control->node, NULL);
    pthread_mutex_lock(&control->lock);
    client->session.place = control->place;
    pthread_mutex_unlock(&control->lock);
    return client;
}

static int start_thread(struct client *client)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int rc = -pthread_create(&client->thread, &attributes, serve, client);
    pthread_attr_destroy(&attributes);
    return rc;
}

/* Tells a connection that is not taken why, without waiting. */
static void turn_away(int fd, const char *reason)
{
    struct ph_text frame = PH_TEXT_INIT;
    size_t start = ph_frame_begin(&frame, PH_FRAME_ERROR);
    ph_text_put(&frame, reason);
    ph_frame_end(&frame, start);
    ssize_t sent = send(fd, frame.data, frame.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* a courtesy */
    ph_text_fini(&frame);
    close(fd);
}

static bool peer_is_welcome(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return false;
    return peer.uid == geteuid() || peer.uid == 0;
}

static void admit(struct ph_control *control, int fd)
{
    if (!peer_is_welcome(fd)) {
        turn_away(fd, "refused: this node belongs to another user\n");
        return;
    }
    if (control->client_count >= PH_CONTROL_CLIENTS_MAX) {
        turn_away(fd, "refused: 2048 connections to this node are open\n");
        return;
    }
    struct client *client = create_client(control, fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = client};
    if (epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 || start_thread(client) < 0) {
        client->fd = dup(fd);
        turn_away(fd, "refused: no memory or thread for one more connection\n");
        free_client(client);
        return;
    }
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
}

static void listen_again(struct ph_control *control, bool on)
{
    struct epoll_event event = {.events = on ? EPOLLIN : 0u, .data.ptr = &control->socket};
    epoll_ctl(control->epoll_fd, EPOLL_CTL_MOD, control->socket.fd, &event);
    control->accepting = on;
}

static void accept_all(struct ph_control *control)
{
    for (;;) {
        int fd = accept4(control->socket.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(control, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        /* Out of descriptors: a level-triggered poll would spin on the backlog. */
        if (errno != EAGAIN)
            listen_again(control, false);
        return;
    }
}

/* Joins and frees the clients whose threads have ended. */
static void reap(struct ph_control *control)
{
    for (struct client **link = &control->clients; *link;) {
        struct client *client = *link;
        pthread_mutex_lock(&client->lock);
        bool ended = client->ended;
        pthread_mutex_unlock(&client->lock);
        if (!ended) {
            link = &client->next;
            continue;
        }
        *link = client->next;
        control->client_count--;
        pthread_join(client->thread, NULL);
        free_client(client);
    }
}

/* ---- The acceptor: frames ---------------------------------------------------------------------
 */

enum taken { TAKEN, LATER, MALFORMED };

static enum taken take_run(struct client *client, const char *body, size_t length)
{
    enum taken taken = TAKEN;
    pthread_mutex_lock(&client->lock);
    if (client->busy) {
        client->deferred = true;
        taken = LATER;
    } else if (ph_frame_read_run(body, length, &client->run) < 0) {
        taken = MALFORMED;
    } else {
        client->busy = client->pending = true;
        pthread_cond_signal(&client->cond);
    }
    pthread_mutex_unlock(&client->lock);
    return taken;
}

static enum taken take_frame(struct client *client, const char *frame, size_t length)
{
    if (frame[4] == PH_FRAME_RUN)
        return take_run(client, frame + PH_FRAME_HEADER, length - PH_FRAME_HEADER);
    if (frame[4] != PH_FRAME_CANCEL || length != PH_FRAME_HEADER)
        return MALFORMED;
    pthread_mutex_lock(&client->lock);
    if (client->busy)
        ph_waiter_cancel(&client->session.waiter);
    pthread_mutex_unlock(&client->lock);
    return TAKEN;
}

/* Takes all whole frames that are there and that may be taken now. */
static void take_frames(struct client *client)
{
    struct ph_text *input = &client->input;
    size_t at = 0;
    enum taken taken = TAKEN;
    while (taken == TAKEN) {
        size_t length = ph_frame_length(ph_text_str(input) + at, input->length - at);
        if (length == SIZE_MAX)
            taken = MALFORMED;
        if (length == 0 || length == SIZE_MAX || length > input->length - at)
            break;
        taken = take_frame(client, input->data + at, length);
        at += taken == TAKEN ? length : 0;
    }
    if (at)
        memmove(input->data, input->data + at, input->length - at);
    input->length -= at;
    if (taken == MALFORMED) {
        watch(client, false);
        close_client(client, "refused: this is not the protocol of prochub's control socket (see "
                             "docs/wire.md); the connection is closed\n");
        return;
    }
    bool full = input->length >= PH_CONTROL_FRAME_MAX + PH_FRAME_HEADER;
    if (full != client->paused)
        watch(client, !full);
}

static void hang_up(struct client *client)
{
    epoll_ctl(client->control->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
    client->paused = true;
    /* A thread that is writing to it gets an error now. */
    shutdown(client->fd, SHUT_RDWR);
    close_client(client, NULL);
}

static void read_client(struct client *client, uint32_t events)
{
    char piece[READ_BYTES];
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        hang_up(client);
        return;
    }
    ssize_t got = recv(client->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(client);
        return;
    }
    ph_text_append(&client->input, piece, (size_t)got);
    take_frames(client);
}

/* Somebody has ended a run or itself: go on with what waited for that. */
static void on_wake(struct ph_control *control)
{
    uint64_t count;
    ssize_t got = read(control->wake_fd, &count, sizeof count);
    (void)got; /* only empties it */
    reap(control);
    for (struct client *client = control->clients; client; client = client->next)
        if (client->input.length)
            take_frames(client);
    if (!control->accepting)
        listen_again(control, true);
}

static void *attend(void *arg)
{
    struct ph_control *control = arg;
    struct epoll_event events[EVENTS];
    pthread_setname_np(pthread_self(), "ph-control");
    /* Acquire: pairs with the release in ph_control_stop. */
    while (!atomic_load_explicit(&control->stop, memory_order_acquire)) {
        int count =
            epoll_wait(control->epoll_fd, events, EVENTS, control->accepting ? -1 : PAUSE_MS);
        bool woken = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == control)
                woken = true;
            else if (events[i].data.ptr == &control->socket)
                accept_all(control);
            else
                read_client(events[i].data.ptr, events[i].events);
        }
        /* Last: it frees clients that the events above may speak of. */
        if (woken)
            on_wake(control);
        else if (count == 0 && !control->accepting)
            listen_again(control, true);
    }
    ph_thread_leave();
    return NULL;
}

/* ---- Start and stop ---------------------------------------------------------------------------
 */

static int watch_fd(struct ph_control *control, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int start_attending(struct ph_control *control)
{
    int rc;
    control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (control->epoll_fd < 0)
        return -errno;
    control->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control->wake_fd < 0) {
        rc = -errno;
        goto err_close_epoll;
    }
    rc = watch_fd(control, control->wake_fd, control);
    if (rc == 0)
        rc = watch_fd(control, control->socket.fd, &control->socket);
    if (rc == 0)
        rc = -pthread_create(&control->thread, NULL, attend, control);
    if (rc == 0)
        return 0;
    close(control->wake_fd);
err_close_epoll:
    close(control->epoll_fd);
    return rc;
}

int ph_control_start(struct ph_node *node, const char *endpoint, struct ph_control **result,
                     struct ph_error *error)
{
    struct ph_control *control = ph_alloc(sizeof *control);
    control->node = node;
    control->accepting = true;
    control->place = (struct ph_session_place){.shutdown = shutdown_once, .arg = control};
    pthread_mutex_init(&control->lock, NULL);
    int rc = ph_control_socket_open(&control->socket, endpoint, ph_node_name(node), error);
    if (rc < 0)
        goto err_free;
    rc = start_attending(control);
    if (rc < 0) {
        ph_error_set(error, rc, "cannot watch %s: %s", endpoint, ph_error_text(rc));
        goto err_close_socket;
    }
    *result = control;
    return 0;
err_close_socket:
    ph_control_socket_close(&control->socket);
err_free:
    pthread_mutex_destroy(&control->lock);
    ph_free(control);
    return rc;
}

void ph_control_on_shutdown(struct ph_control *control, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&control->lock);
    control->on_shutdown = fn;
    control->shutdown_arg = arg;
    pthread_mutex_unlock(&control->lock);
}

void ph_control_set_place(struct ph_control *control, const struct ph_session_place *place)
{
    pthread_mutex_lock(&control->lock);
    control->place.settings = place->settings;
    control->place.links = place->links;
    control->place.remote = place->remote;
    pthread_mutex_unlock(&control->lock);
}

/* Runs end by themselves, having been called off; whoever is still writing to a client that does
 * not read is cut off when the time is up. */
static void end_clients(struct ph_control *control)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_nsec += (long)FAREWELL_MS * 1000000;
    deadline.tv_sec += deadline.tv_nsec / 1000000000;
    deadline.tv_nsec %= 1000000000;
    for (struct client *client = control->clients; client; client = client->next)
        close_client(client, NULL);
    while (control->clients) {
        struct client *client = control->clients;
        control->clients = client->next;
        if (pthread_timedjoin_np(client->thread, NULL, &deadline) != 0) {
            shutdown(client->fd, SHUT_RDWR);
            pthread_join(client->thread, NULL);
        }
        free_client(client);
    }
}

void ph_control_stop(struct ph_control *control)
{
    if (!control)
        return;
    /* Release: pairs with the acquire in attend. */
    atomic_store_explicit(&control->stop, true, memory_order_release);
    wake(control);
    pthread_join(control->thread, NULL);
    end_clients(control);
    ph_control_socket_close(&control->socket);
    close(control->wake_fd);
    close(control->epoll_fd);
    pthread_mutex_destroy(&control->lock);
    ph_free(control);
}
