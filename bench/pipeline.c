#include "bench/pipeline.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xxhash.h>

#include "bench/stage.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/pack.h"
#include "engine/rcu.h"
#include "engine/waiter.h"
#include <urcu/rculfhash.h>

enum { BATCH = 1000, IN_FLIGHT = 4, BUCKETS_MIN = 1024 };

struct record {
    struct cds_lfht_node node;
    uint64_t epoch, number;
    char id[PH_STAGE_ID_BYTES];
    char module[16], args[16];
    unsigned char state[PH_PIPELINE_STATE_MAX];
};

struct batch {
    uint32_t bytes; /* that follow */
    uint32_t count;
};

static struct cds_lfht *create_table(uint64_t count)
{
    unsigned long buckets = BUCKETS_MIN;
    while (buckets < count)
        buckets *= 2;
    return cds_lfht_new_flavor(buckets, buckets, buckets, 0, &urcu_memb_flavor, NULL);
}

static void add(struct cds_lfht *table, struct record *record)
{
    ph_rcu_enter();
    cds_lfht_add(table, (unsigned long)XXH3_64bits(record->id, strlen(record->id)), &record->node);
    ph_rcu_exit();
}

static bool transmit(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool receive(int fd, void *bytes, size_t size)
{
    ssize_t got;
    do
        got = recv(fd, bytes, size, MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size;
}

/* ---- The receiving process --------------------------------------------------------------------
 */

static bool decode(struct ph_unpack *frame, struct record *record)
{
    size_t length;
    ph_unpack_name(frame, record->id, sizeof record->id);
    ph_unpack_name(frame, record->module, sizeof record->module);
    ph_unpack_name(frame, record->args, sizeof record->args);
    record->epoch = ph_unpack_uint(frame, UINT64_MAX);
    record->number = ph_unpack_uint(frame, UINT64_MAX);
    const void *state = ph_unpack_bin(frame, sizeof record->state, &length);
    memcpy(record->state, state, length);
    return !frame->broken;
}

/* Takes batches until the other end is closed. */
static void take_all(int fd, uint64_t count)
{
    struct cds_lfht *table = create_table(count);
    char *bytes = NULL;
    struct batch batch;
    while (receive(fd, &batch, sizeof batch)) {
        bytes = ph_realloc(bytes, batch.bytes);
        if (!receive(fd, bytes, batch.bytes))
            return;
        struct ph_unpack frame;
        struct record *records = ph_alloc(batch.count * sizeof *records);
        ph_unpack_init(&frame, bytes, batch.bytes);
        for (uint32_t i = 0; i < batch.count; i++) {
            if (!decode(&frame, &records[i]))
                return;
            add(table, &records[i]);
        }
        if (!transmit(fd, &batch.count, sizeof batch.count))
            return;
    }
}

/* ---- The sending process ----------------------------------------------------------------------
 */

static void encode(struct ph_text *out, const struct record *record, unsigned state_bytes)
{
    ph_pack_str(out, record->id, strlen(record->id));
    ph_pack_str(out, record->module, strlen(record->module));
    ph_pack_str(out, record->args, strlen(record->args));
    ph_pack_uint(out, record->epoch);
    ph_pack_uint(out, record->number);
    ph_pack_bin(out, record->state, state_bytes);
}

static struct record *make_records(uint64_t count, struct cds_lfht *table)
{
    struct record *records = ph_alloc(count * sizeof *records);
    for (uint64_t i = 0; i < count; i++) {
        struct record *record = &records[i];
        snprintf(record->id, sizeof record->id, "w-%u", (unsigned)(i + 1));
        snprintf(record->module, sizeof record->module, "counter");
        record->epoch = UINT64_C(1) << 40;
        record->number = i;
        memset(record->state, (int)i, sizeof record->state);
        add(table, record);
    }
    return records;
}

/* An acknowledged batch is taken out. */
static bool drop_batch(int fd, struct cds_lfht *table, struct record *records, uint64_t *dropped)
{
    uint32_t count;
    if (!receive(fd, &count, sizeof count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        ph_rcu_enter();
        cds_lfht_del(table, &records[*dropped + i].node);
        ph_rcu_exit();
    }
    *dropped += count;
    return true;
}

static bool give_all(int fd, struct cds_lfht *table, struct record *records, uint64_t count,
                     unsigned state_bytes)
{
    struct ph_text bytes = PH_TEXT_INIT;
    uint64_t sent = 0, dropped = 0;
    bool alive = true;
    while (alive && sent < count) {
        struct batch batch = {.count = count - sent < BATCH ? (uint32_t)(count - sent) : BATCH};
        ph_text_clear(&bytes);
        for (uint32_t i = 0; i < batch.count; i++)
            encode(&bytes, &records[sent + i], state_bytes);
        batch.bytes = (uint32_t)bytes.length;
        alive = transmit(fd, &batch, sizeof batch) && transmit(fd, bytes.data, bytes.length);
        sent += batch.count;
        if (alive && sent - dropped >= (uint64_t)IN_FLIGHT * BATCH)
            alive = drop_batch(fd, table, records, &dropped);
    }
    while (alive && dropped < count)
        alive = drop_batch(fd, table, records, &dropped);
    ph_text_fini(&bytes);
    return alive;
}

/* ---- Both ------------------------------------------------------------------------------------
 */

/* The other process, which runs `serve` and ends when `*fd` is closed. */
static int fork_other(void (*serve)(int fd, uint64_t arg), uint64_t arg, int *fd, pid_t *pid,
                      struct ph_error *error)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return ph_error_set(error, -errno, "cannot make a socket: %s", ph_error_text(-errno));
    *pid = fork();
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        ph_rcu_join_thread();
        serve(fds[1], arg);
        _exit(0);
    }
    int code = -errno;
    close(fds[1]);
    *fd = fds[0];
    if (*pid > 0)
        return 0;
    close(fds[0]);
    return ph_error_set(error, code, "cannot make a process: %s", ph_error_text(code));
}

static int end_other(int fd, pid_t pid, bool done, struct ph_error *error)
{
    close(fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return done ? 0 : ph_error_set(error, PH_EFAILED, "the pipeline's other process has ended");
}

int ph_pipeline_run(uint64_t count, unsigned state_bytes, double *seconds, struct ph_error *error)
{
    int fd;
    pid_t pid;
    int rc = fork_other(take_all, count, &fd, &pid, error);
    if (rc)
        return rc;
    ph_rcu_join_thread();
    struct cds_lfht *table = create_table(count);
    struct record *records = make_records(count, table);
    uint64_t start_ns = ph_now_ns();
    bool done = give_all(fd, table, records, count, state_bytes);
    *seconds = ph_stage_since(start_ns);
    return end_other(fd, pid, done, error);
}

static void answer_trips(int fd, uint64_t bytes)
{
    char *state = ph_alloc(bytes);
    while (receive(fd, state, bytes) && transmit(fd, state, 1)) {
    }
}

int ph_pipeline_trips(size_t bytes, uint64_t times, double *ms, struct ph_error *error)
{
    int fd;
    pid_t pid;
    int rc = fork_other(answer_trips, bytes, &fd, &pid, error);
    if (rc)
        return rc;
    char *state = ph_alloc(bytes), byte;
    memset(state, 1, bytes);
    /* The first one touches the other's memory. */
    bool done = transmit(fd, state, bytes) && receive(fd, &byte, 1);
    for (uint64_t i = 0; done && i < times; i++) {
        uint64_t start_ns = ph_now_ns();
        done = transmit(fd, state, bytes) && receive(fd, &byte, 1);
        ms[i] = ph_stage_since(start_ns) * 1e3;
    }
    ph_free(state);
    return end_other(fd, pid, done, error);
}
