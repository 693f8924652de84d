/* Executables that are run once, for hooks (ph_monitor_run_any). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/kind/monitor_inside.h"
#include "engine/waiter.h"

enum { OUTPUT_MAX = 64 * 1024, DRAIN_READS = 64 };

struct ph_run {
    struct ph_monitor *monitor;
    struct ph_ward ward;
    struct ph_source source; /* its standard output */
    struct ph_alarm timeout;
    char *path, *input;
    struct ph_run_request request; /* its texts are the two above */
    uint64_t began_ms;
    bool timed_out;
    char *output; /* OUTPUT_MAX, from the first byte on */
    size_t output_length;
    struct ph_run *next; /* among the finished */
};

static struct ph_run *of_ward(struct ph_ward *ward)
{
    return ph_container_of(ward, struct ph_run, ward);
}

/* ---- Output ---------------------------------------------------------------------------------- */

static void keep_output(struct ph_run *run, const char *bytes, size_t length)
{
    if (!run->output)
        run->output = ph_alloc(OUTPUT_MAX);
    if (length > OUTPUT_MAX - run->output_length)
        length = OUTPUT_MAX - run->output_length; /* the rest is read and dropped */
    memcpy(run->output + run->output_length, bytes, length);
    run->output_length += length;
}

static bool read_output(struct ph_run *run)
{
    ssize_t got = read(run->source.fd, run->monitor->buffer, PH_MONITOR_READ_BYTES);
    if (got > 0) {
        keep_output(run, run->monitor->buffer, (size_t)got);
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        ph_loop_remove(&run->monitor->loop, &run->source);
    return false;
}

static void output_ready(struct ph_source *source, uint32_t events)
{
    (void)events;
    read_output(ph_container_of(source, struct ph_run, source));
}

/* ---- The keeper's calls ---------------------------------------------------------------------- */

/* The input lies in memory, so the executable may read it late or never. */
static int open_input(const struct ph_run *run)
{
    int fd = memfd_create("prochub-hook", MFD_CLOEXEC);
    size_t written = 0;
    while (fd >= 0 && written < run->request.length) {
        ssize_t got = write(fd, run->input + written, run->request.length - written);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            close(fd);
            return -errno;
        }
        written += (size_t)got;
    }
    if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return fd;
}

static int open_fds(struct ph_run *run, struct ph_packet *packet)
{
    int ends[2];
    int input = open_input(run);
    if (input < 0)
        return input;
    ph_packet_add_fd(packet, PH_KEEPER_STDIN, input);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    ph_packet_add_fd(packet, PH_KEEPER_STDOUT, ends[1]);
    return ph_loop_add(&run->monitor->loop, &run->source, ends[0], EPOLLIN);
}

static struct ph_program program_of(struct ph_run *run)
{
    return (struct ph_program){.argv = &run->path, .argc = 1, .base = &run->monitor->environ};
}

static int pack(struct ph_ward *ward, struct ph_packet *packet, struct ph_exit *failure)
{
    struct ph_run *run = of_ward(ward);
    struct ph_program program = program_of(run);
    int rc = open_fds(run, packet);
    if (rc < 0)
        return ph_exec_failure(failure, -rc, "cannot make descriptors for '%.100s': %s", run->path,
                               strerror(-rc));
    return ph_packet_build(packet, &program, ward->mark, failure);
}

static void nothing_more(struct ph_ward *ward)
{
    (void)ward;
}

static void explain(struct ph_ward *ward, enum ph_keeper_stage stage, int error,
                    struct ph_exit *failure)
{
    struct ph_program program = program_of(of_ward(ward));
    ph_program_explain(&program, stage, error, failure);
}

static void ended(struct ph_ward *ward, const struct ph_exit *exit)
{
    struct ph_run *run = of_ward(ward);
    for (int reads = 0; run->source.fd >= 0 && reads < DRAIN_READS; reads++) {
        if (!read_output(run))
            break;
    }
    ph_loop_remove(&run->monitor->loop, &run->source);
    ph_alarm_cancel(&run->timeout);
    struct ph_run_result result = {
        .exit = *exit,
        .timed_out = run->timed_out,
        .elapsed_ms = ph_now_ms() - run->began_ms,
        .output = run->output ? run->output : "",
        .output_length = run->output_length,
    };
    run->request.done(run->request.arg, &result);
    run->next = run->monitor->finished_runs;
    run->monitor->finished_runs = run;
}

static const struct ph_ward_calls run_calls = {
    .pack = pack,
    .spawned = nothing_more,
    .explain = explain,
    .before_end = nothing_more,
    .ended = ended,
};

/* ---- Life ------------------------------------------------------------------------------------ */

static void time_is_over(struct ph_alarm *alarm)
{
    struct ph_run *run = ph_container_of(alarm, struct ph_run, timeout);
    run->timed_out = true;
    ph_ward_kill(&run->monitor->keeper, &run->ward);
}

struct ph_run *ph_run_create(struct ph_monitor *monitor, const struct ph_run_request *request)
{
    struct ph_run *run = ph_alloc(sizeof *run);
    run->monitor = monitor;
    run->ward.calls = &run_calls;
    run->source = (struct ph_source){.fd = -1, .ready = output_ready};
    run->timeout.ring = time_is_over;
    run->request = *request;
    run->path = ph_copy_text(request->path, strlen(request->path));
    run->input = ph_copy_text(request->input, request->length);
    return run;
}

void ph_run_start(struct ph_run *run)
{
    run->began_ms = ph_now_ms();
    if (run->request.timeout_ms < UINT64_MAX - run->began_ms)
        ph_alarm_set(&run->monitor->loop, &run->timeout, run->began_ms + run->request.timeout_ms);
    ph_ward_start(&run->monitor->keeper, &run->ward);
}

void ph_run_free_finished(struct ph_monitor *monitor)
{
    while (monitor->finished_runs) {
        struct ph_run *run = monitor->finished_runs;
        monitor->finished_runs = run->next;
        ph_free(run->path);
        ph_free(run->input);
        ph_free(run->output);
        ph_free(run);
    }
}
