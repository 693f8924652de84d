#include "ipc/remote.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "ipc/control.h"
#include "ipc/links.h"
#include "ipc/remote_inside.h"

/* ---- Messages -------------------------------------------------------------------------------- */

void ph_remote_begin(struct ph_text *out, uint64_t number)
{
    unsigned char header[PH_REMOTE_HEADER] = {PH_REMOTE_VERSION};
    for (int i = 0; i < 8; i++)
        header[1 + i] = (unsigned char)(number >> (8 * i));
    ph_text_append(out, header, sizeof header);
}

void ph_remote_say(struct ph_remote *remote, uint64_t peer, uint64_t number,
                   enum ph_frame_type type, const void *bytes, size_t length)
{
    struct ph_text message = PH_TEXT_INIT;
    ph_remote_begin(&message, number);
    size_t start = ph_frame_begin(&message, type);
    ph_text_append(&message, bytes, length);
    ph_frame_end(&message, start);
    remote->port->send(remote->context, peer, &message);
    ph_text_fini(&message);
}

static uint64_t number_of(const char *bytes)
{
    uint64_t number = 0;
    for (int i = 8; i-- > 0;)
        number = number << 8 | (unsigned char)bytes[1 + i];
    return number;
}

static struct ph_remote_ask *find_ask_locked(struct ph_remote *remote, uint64_t peer,
                                             uint64_t number)
{
    struct ph_remote_ask *ask = remote->asks;
    while (ask && (ask->number != number || ask->peer != peer))
        ask = ask->next;
    return ask;
}

/* A frame for one who asks; more than a server may have under way is dropped, and its end is seen
 * as the connection's. */
static void answer(struct ph_remote *remote, uint64_t peer, uint64_t number, const char *frame,
                   size_t length)
{
    pthread_mutex_lock(&remote->lock);
    struct ph_remote_ask *ask = find_ask_locked(remote, peer, number);
    if (ask && ask->in.length + length <= 2 * (size_t)PH_REMOTE_IDLE_MAX) {
        ph_text_append(&ask->in, frame, length);
        ph_waiter_wake(ask->waiter);
    }
    pthread_mutex_unlock(&remote->lock);
}

void ph_remote_receive(struct ph_remote *remote, uint64_t peer, const void *bytes, size_t length)
{
    const char *message = bytes;
    if (length < PH_REMOTE_HEADER || message[0] != PH_REMOTE_VERSION)
        return;
    const char *frame = message + PH_REMOTE_HEADER;
    size_t rest = length - PH_REMOTE_HEADER;
    bool whole = rest >= PH_FRAME_HEADER && ph_frame_length(frame, rest) == rest;
    char type = whole ? frame[4] : '\0';
    if (type == PH_FRAME_OUTPUT || type == PH_FRAME_ERROR || type == PH_FRAME_EXIT)
        answer(remote, peer, number_of(message), frame, rest);
    else
        ph_remote_serve(remote, peer, number_of(message), frame, rest);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void put_name(struct ph_text *out, const char *name)
{
    unsigned char length = (unsigned char)strnlen(name, PH_NAME_MAX);
    ph_text_append(out, &length, 1);
    ph_text_append(out, name, length);
}

/* Sends the question; the ask is in the list from before on. */
static int begin(struct ph_remote *remote, const struct ph_remote_question *question,
                 struct ph_remote_ask *ask)
{
    struct ph_text message = PH_TEXT_INIT;
    ask->peer = remote->port->find(remote->context, question->node);
    if (!ask->peer)
        return PH_ECONNECTION;
    pthread_mutex_lock(&remote->lock);
    ask->number = ++remote->last_number;
    ask->next = remote->asks;
    remote->asks = ask;
    pthread_mutex_unlock(&remote->lock);
    ph_remote_begin(&message, ask->number);
    put_name(&message, ph_node_name(remote->node));
    put_name(&message, question->hub);
    ph_frame_put_run(&message, question->script, question->statement, question->form);
    bool fits = message.length <= PH_CONTROL_FRAME_MAX;
    if (fits)
        remote->port->send(remote->context, ask->peer, &message);
    ph_text_fini(&message);
    return fits ? 0 : PH_ELIMIT;
}

static void end(struct ph_remote *remote, struct ph_remote_ask *ask)
{
    pthread_mutex_lock(&remote->lock);
    struct ph_remote_ask **link = &remote->asks;
    while (*link && *link != ask)
        link = &(*link)->next;
    if (*link)
        *link = ask->next;
    pthread_mutex_unlock(&remote->lock);
    ph_text_fini(&ask->in);
}

/* Hands one frame on. True: the statement is over there, with *rc. */
static bool handle(const struct ph_remote_question *question, const char *frame, size_t length,
                   int *rc)
{
    const char *body = frame + PH_FRAME_HEADER;
    size_t body_length = length - PH_FRAME_HEADER;
    *rc = 0;
    if (frame[4] == PH_FRAME_EXIT) {
        if (ph_frame_read_exit(body, body_length, rc) < 0)
            *rc = PH_ECONNECTION;
        return true;
    }
    if (frame[4] == PH_FRAME_OUTPUT)
        *rc = question->sink->data(question->sink, body, body_length);
    else
        question->sink->note(question->sink, body, body_length);
    return false;
}

/* Handles what has come. True: it is over, with *rc; when the sink is gone, too. */
static bool take(struct ph_remote *remote, const struct ph_remote_question *question,
                 struct ph_remote_ask *ask, int *rc)
{
    pthread_mutex_lock(&remote->lock);
    struct ph_text in = ask->in;
    ask->in = (struct ph_text)PH_TEXT_INIT;
    pthread_mutex_unlock(&remote->lock);
    bool over = false;
    *rc = 0;
    for (size_t at = 0; at < in.length && !over && *rc == 0;) {
        size_t length = ph_frame_length(in.data + at, in.length - at);
        over = handle(question, in.data + at, length, rc);
        at += length;
    }
    if (in.length && !over && *rc == 0) {
        unsigned char taken[4];
        for (int i = 0; i < 4; i++)
            taken[i] = (unsigned char)(in.length >> (8 * i));
        ph_remote_say(remote, ask->peer, ask->number, PH_FRAME_CREDIT, taken, sizeof taken);
    }
    ph_text_fini(&in);
    return over || *rc < 0;
}

static int follow(struct ph_remote *remote, const struct ph_remote_question *question,
                  struct ph_remote_ask *ask)
{
    int rc, slept;
    uint64_t check_ms = ph_now_ms() + PH_REMOTE_CHECK_MS;
    while (!take(remote, question, ask, &rc)) {
        slept = ph_waiter_sleep(question->waiter, check_ms);
        if (slept == PH_ECANCELED)
            return slept;
        if (ph_now_ms() < check_ms)
            continue;
        check_ms = ph_now_ms() + PH_REMOTE_CHECK_MS;
        if (remote->port->find(remote->context, question->node) != ask->peer)
            return PH_ECONNECTION;
    }
    return rc;
}

int ph_remote_run(struct ph_remote *remote, const struct ph_remote_question *question)
{
    struct ph_remote_ask ask = {.waiter = question->waiter};
    int rc = begin(remote, question, &ask);
    if (rc == 0) {
        rc = follow(remote, question, &ask);
        /* One that ended by itself is not known there any more, which is fine. */
        if (rc < 0 && rc != PH_EGONE)
            ph_remote_say(remote, ask.peer, ask.number, PH_FRAME_CANCEL, NULL, 0);
    }
    end(remote, &ask);
    return rc;
}

/* ---- Start and stop -------------------------------------------------------------------------- */

int ph_remote_start(struct ph_node *node, const struct ph_remote_port *port, void *context,
                    struct ph_remote **result)
{
    struct ph_remote *remote = ph_alloc(sizeof *remote);
    remote->node = node;
    remote->port = port;
    remote->context = context;
    int rc = ph_remote_serve_start(remote);
    if (rc < 0)
        ph_free(remote);
    else
        *result = remote;
    return rc;
}

static uint64_t find_peer(void *context, const char *node)
{
    return ph_links_find_peer(context, node);
}

static void send_frame(void *context, uint64_t peer, struct ph_text *frame)
{
    ph_links_service_send(context, peer, frame);
}

static void receive(void *arg, uint64_t peer, const void *bytes, size_t length)
{
    ph_remote_receive(arg, peer, bytes, length);
}

int ph_remote_start_links(struct ph_node *node, struct ph_links *links, struct ph_remote **result)
{
    static const struct ph_remote_port port = {.find = find_peer, .send = send_frame};
    struct ph_remote *remote;
    int rc = ph_remote_start(node, &port, links, &remote);
    if (rc < 0)
        return rc;
    remote->links = links;
    ph_links_on_service(links, receive, remote);
    *result = remote;
    return 0;
}

void ph_remote_stop(struct ph_remote *remote)
{
    if (!remote)
        return;
    if (remote->links)
        ph_links_on_service(remote->links, NULL, NULL);
    ph_remote_serve_stop(remote);
    ph_free(remote);
}
