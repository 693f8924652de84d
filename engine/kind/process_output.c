#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/kind/monitor_inside.h"
#include "engine/kind/process.h"

/* After the end of a process its pipe holds at most what a pipe can hold. */
enum { DRAIN_READS = 64 };

/* ---- The file -------------------------------------------------------------------------------- */

static void open_file(struct ph_process *process)
{
    const char *path = process->spec->log;
    process->log_broken = false;
    if (!path)
        return;
    /* Not blocking: a named pipe without a reader must not hold the monitor up. */
    process->log_fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0644);
    if (process->log_fd < 0)
        ph_process_note(process, "log_failed", "cannot open log file '%s': %s", path,
                        strerror(errno));
}

/* A full disk is said once in each instance; the ring goes on. */
static void write_file(struct ph_process *process, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(process->log_fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            if (!process->log_broken)
                ph_process_note(process, "log_failed", "cannot write log file '%s': %s",
                                process->spec->log, strerror(errno));
            process->log_broken = true;
            return;
        }
        bytes += written;
        length -= (size_t)written;
    }
}

/* ---- The pipes ------------------------------------------------------------------------------- */

static void take_output(struct ph_process *process, bool error, const char *bytes, size_t length)
{
    pthread_mutex_lock(&process->lock);
    ph_logring_write(&process->ring, error, bytes, length, ph_wall_ms());
    pthread_mutex_unlock(&process->lock);
    atomic_fetch_add_explicit(&process->monitor->log_bytes, length, memory_order_relaxed);
    if (process->log_fd >= 0)
        write_file(process, bytes, length);
    ph_waitlist_wake(&process->log_waiters);
}

/* One bounded read. False: nothing there, or it was the end. */
static bool read_output(struct ph_output *output)
{
    struct ph_process *process = output->process;
    char *buffer = process->monitor->buffer;
    ssize_t got = read(output->source.fd, buffer, PH_MONITOR_READ_BYTES);
    if (got > 0) {
        take_output(process, output->error, buffer, (size_t)got);
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        ph_loop_remove(&process->monitor->loop, &output->source);
    return false;
}

static void output_ready(struct ph_source *source, uint32_t events)
{
    (void)events;
    read_output(ph_container_of(source, struct ph_output, source));
}

/* A pipe whose reading end is `output` and whose writing end goes into *write_fd. */
static int open_pipe(struct ph_process *process, bool error, int *write_fd)
{
    struct ph_output *output = &process->outputs[error];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    fcntl(ends[0], F_SETFL,
          O_NONBLOCK); /* of the reading end only; programs expect blocking ones */
    output->process = process;
    output->error = error;
    output->source.ready = output_ready;
    int rc = ph_loop_add(&process->monitor->loop, &output->source, ends[0], EPOLLIN);
    if (rc < 0)
        close(ends[1]);
    else
        *write_fd = ends[1];
    return rc;
}

static int open_pipes(struct ph_process *process, struct ph_packet *packet)
{
    int out = -1, err = -1;
    int rc = open_pipe(process, false, &out);
    if (rc < 0)
        return rc;
    ph_packet_add_fd(packet, PH_KEEPER_STDOUT, out);
    if (process->spec->stderr_split) {
        rc = open_pipe(process, true, &err);
    } else {
        err = fcntl(out, F_DUPFD_CLOEXEC, 0);
        rc = err < 0 ? -errno : 0;
    }
    if (rc == 0)
        ph_packet_add_fd(packet, PH_KEEPER_STDERR, err);
    return rc;
}

int ph_process_output_open(struct ph_process *process, struct ph_packet *packet,
                           struct ph_exit *failure)
{
    int rc = open_pipes(process, packet);
    if (rc < 0)
        return ph_exec_failure(failure, -rc, "cannot make pipes for '%.100s': %s",
                               process->spec->argv[0], strerror(-rc));
    pthread_mutex_lock(&process->lock);
    ph_logring_set_capacity(&process->ring, process->spec->log_bytes);
    pthread_mutex_unlock(&process->lock);
    open_file(process);
    return 0;
}

void ph_process_output_close(struct ph_process *process)
{
    for (size_t i = 0; i < PH_LOG_STREAMS; i++) {
        struct ph_output *output = &process->outputs[i];
        for (int reads = 0; output->source.fd >= 0 && reads < DRAIN_READS; reads++) {
            if (!read_output(output))
                break;
        }
        ph_loop_remove(&process->monitor->loop, &output->source);
    }
    if (process->log_fd >= 0)
        close(process->log_fd);
    process->log_fd = -1;
    pthread_mutex_lock(&process->lock);
    ph_logring_flush(&process->ring, ph_wall_ms());
    pthread_mutex_unlock(&process->lock);
    ph_waitlist_wake(&process->log_waiters);
}

/* ---- Readers --------------------------------------------------------------------------------- */

struct reading {
    char *bytes;
    size_t used;
    uint64_t after, last; /* seq given so far; seq at the beginning */
    bool more;
};

static void hand_out(struct reading *reading, void (*fn)(void *arg, const struct ph_log_line *),
                     void *arg)
{
    for (size_t at = 0; at < reading->used;) {
        const struct ph_logcopy *copy =
            (const struct ph_logcopy *)(const void *)(reading->bytes + at);
        struct ph_log_line line = {
            .seq = copy->seq,
            .wall_ms = copy->wall_ms,
            .error = copy->error,
            .partial = copy->partial,
            .text = (const char *)(copy + 1),
            .length = copy->length,
        };
        reading->after = copy->seq;
        at += ph_logcopy_bytes(copy->length);
        fn(arg, &line);
    }
}

static void copy_out(struct ph_process *process, struct reading *reading, size_t limit)
{
    pthread_mutex_lock(&process->lock);
    if (reading->last == 0)
        reading->last = ph_logring_last(&process->ring);
    reading->used = ph_logring_copy(&process->ring, reading->after, limit, reading->bytes,
                                    PH_PROCESS_COPY_BYTES, &reading->more);
    pthread_mutex_unlock(&process->lock);
}

/* In pieces, so that the monitor never waits for more than one copy, and not beyond what was there
 * at the beginning, so that a flood does not hold the caller. */
uint64_t ph_process_log_any(struct ph_process *process, uint64_t after, size_t limit,
                            void (*fn)(void *arg, const struct ph_log_line *), void *arg)
{
    struct reading reading = {.bytes = ph_alloc(PH_PROCESS_COPY_BYTES), .after = after};
    copy_out(process, &reading, limit);
    hand_out(&reading, fn, arg);
    while (reading.more && reading.after < reading.last) {
        copy_out(process, &reading, 0);
        hand_out(&reading, fn, arg);
    }
    ph_free(reading.bytes);
    return reading.after;
}

struct ph_waitlist *ph_process_log_waiters(struct ph_process *process)
{
    return &process->log_waiters;
}
