#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "ipc/control.h"
#include "ipc/control_path.h"
#include "ipc/door.h"
#include "ipc/frame.h"
#include "ipc/session.h"

struct remote_door {
    struct ph_door door;
    int fd;
    pthread_mutex_t lock; /* guards the flags, and the order of what is sent */
    bool running, sending;
    bool canceled; /* before a run: it is not begun; during one: the node was told */
    bool lost;     /* the connection is of no use any more */
    struct ph_text input;
    size_t taken; /* bytes of `input` that were handled */
};

static int send_cancel(struct remote_door *remote)
{
    struct ph_text frame = PH_TEXT_INIT;
    ph_frame_end(&frame, ph_frame_begin(&frame, PH_FRAME_CANCEL));
    ssize_t sent = send(remote->fd, frame.data, frame.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    bool whole = sent == (ssize_t)frame.length;
    ph_text_fini(&frame);
    return whole ? 0 : PH_ECONNECTION;
}

/* Sends the statement, unless it was called off before it began. The lock is not held meanwhile, so
 * that a cancellation never waits; one that comes now is sent behind the statement. */
static int begin(struct remote_door *remote, const struct ph_text *frame)
{
    pthread_mutex_lock(&remote->lock);
    int rc = remote->canceled ? PH_ECANCELED : remote->lost ? PH_ECONNECTION : 0;
    remote->canceled = false;
    remote->running = remote->sending = rc == 0;
    pthread_mutex_unlock(&remote->lock);
    if (rc < 0)
        return rc;
    int sent = ph_frame_write(remote->fd, frame->data, frame->length);
    pthread_mutex_lock(&remote->lock);
    remote->sending = false;
    if (remote->canceled && send_cancel(remote) < 0)
        shutdown(remote->fd, SHUT_RDWR);
    pthread_mutex_unlock(&remote->lock);
    /* A node that refused the connection has said why: that is read before the loss is seen. */
    (void)sent;
    return 0;
}

/* A run that was left in the middle has output of its own still to come: no use going on. Returns
 * whether it was called off. */
static bool end(struct remote_door *remote, bool lost)
{
    pthread_mutex_lock(&remote->lock);
    bool canceled = remote->canceled;
    remote->running = false;
    remote->canceled = false;
    remote->lost |= lost;
    pthread_mutex_unlock(&remote->lock);
    return canceled;
}

/* Reads until a whole frame is there; its length, or 0 when the connection is lost. */
static size_t next_frame(struct remote_door *remote)
{
    for (;;) {
        struct ph_text *input = &remote->input;
        const char *bytes = ph_text_str(input) + remote->taken;
        size_t available = input->length - remote->taken;
        size_t length = ph_frame_length(bytes, available);
        if (length == SIZE_MAX)
            return 0;
        if (length && length <= available)
            return length;
        if (remote->taken) {
            memmove(input->data, bytes, available);
            input->length = available;
            remote->taken = 0;
        }
        char piece[16 * 1024];
        ssize_t got = recv(remote->fd, piece, sizeof piece, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        ph_text_append(input, piece, (size_t)got);
    }
}

/* Hands one frame on: true when it was the last of the run. */
static bool handle(const char *frame, size_t length, struct ph_sink *sink, int *rc, bool *lost)
{
    *lost = false;
    const char *body = frame + PH_FRAME_HEADER;
    size_t body_length = length - PH_FRAME_HEADER;
    switch ((enum ph_frame_type)frame[4]) {
    case PH_FRAME_OUTPUT:
        *rc = sink->data(sink, body, body_length);
        return *rc < 0;
    case PH_FRAME_ERROR:
        sink->note(sink, body, body_length);
        return false;
    case PH_FRAME_EXIT:
        *lost = ph_frame_read_exit(body, body_length, rc) < 0;
        return true;
    case PH_FRAME_RUN:
    case PH_FRAME_CANCEL:
    case PH_FRAME_CREDIT:
        break;
    }
    *lost = true;
    return true;
}

static int say_lost(struct ph_sink *sink, enum ph_form form, const char *script,
                    const struct ph_statement *statement, int rc)
{
    const struct ph_word *word = &statement->words[0];
    ph_say_error(sink, form, (struct ph_position){script, word->line, word->column}, rc,
                 rc == PH_ECANCELED ? ph_error_text(rc) : "the connection to the node is lost");
    return rc;
}

static int remote_run(struct ph_door *door, const char *script,
                      const struct ph_statement *statement, enum ph_form form, struct ph_sink *sink)
{
    struct remote_door *remote = ph_container_of(door, struct remote_door, door);
    struct ph_text frame = PH_TEXT_INIT;
    bool lost = false, exited = false;
    ph_frame_put_run(&frame, script, statement, form);
    bool fits = frame.length <= PH_CONTROL_FRAME_MAX;
    int rc = fits ? begin(remote, &frame) : PH_ELIMIT;
    ph_text_fini(&frame);
    if (!fits) {
        ph_say_error(
            sink, form,
            (struct ph_position){script, statement->words[0].line, statement->words[0].column}, rc,
            "a command over a control socket takes at most 1 MiB");
        return rc;
    }
    if (rc < 0)
        return say_lost(sink, form, script, statement, rc);
    for (bool last = false; !last;) {
        size_t length = next_frame(remote);
        lost = length < PH_FRAME_HEADER;
        if (lost)
            break;
        const char *piece = remote->input.data + remote->taken;
        exited = piece[4] == PH_FRAME_EXIT;
        last = handle(piece, length, sink, &rc, &lost);
        remote->taken += length;
    }
    bool canceled = end(remote, !exited || lost);
    if (lost)
        return say_lost(sink, form, script, statement, canceled ? PH_ECANCELED : PH_ECONNECTION);
    return rc;
}

static void remote_cancel(struct ph_door *door)
{
    struct remote_door *remote = ph_container_of(door, struct remote_door, door);
    pthread_mutex_lock(&remote->lock);
    bool again = remote->canceled;
    remote->canceled = true;
    /* The second time, a node that does not answer is left alone. */
    if (remote->running && (again || (!remote->sending && send_cancel(remote) < 0)))
        shutdown(remote->fd, SHUT_RDWR);
    pthread_mutex_unlock(&remote->lock);
}

static void remote_close(struct ph_door *door)
{
    struct remote_door *remote = ph_container_of(door, struct remote_door, door);
    close(remote->fd);
    pthread_mutex_destroy(&remote->lock);
    ph_text_fini(&remote->input);
    ph_free(remote);
}

static int connect_to(const char *endpoint, struct ph_error *error)
{
    struct sockaddr_un address;
    int rc = ph_control_address(endpoint, &address, error);
    if (rc < 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ph_error_set(error, PH_ECONNECTION, "no socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int cause = errno;
    close(fd);
    return ph_error_set(error, PH_ECONNECTION,
                        cause == ENOENT || cause == ECONNREFUSED
                            ? "no node answers at %s (%s): start one with `prochub node`, or name "
                              "another endpoint"
                            : "cannot connect to %s: %s",
                        endpoint, strerror(cause));
}

int ph_door_remote(const char *endpoint, struct ph_door **door, struct ph_error *error)
{
    int fd = connect_to(endpoint, error);
    if (fd < 0)
        return fd;
    struct remote_door *remote = ph_alloc(sizeof *remote);
    remote->door =
        (struct ph_door){.run = remote_run, .cancel = remote_cancel, .close = remote_close};
    remote->fd = fd;
    pthread_mutex_init(&remote->lock, NULL);
    *door = &remote->door;
    return 0;
}
