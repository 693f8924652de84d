/*
 * sync: how soon another node sees what changed here. One child after the other is started here
 * until the other node shows it as running; and many children by one request, until the other node
 * shows all of them.
 *
 * The ceilings: the round trip of one small message to another process over TCP and back; and the
 * bare pipeline of as many records.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/peers.h"
#include "bench/pipeline.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/waiter.h"

enum { P50, P99 };

static const char *const counter_keys[] = {"module", "counter", NULL};

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* In microseconds. Sorts. */
static void put_percentiles(uint64_t *ns, uint64_t count, double *values)
{
    uint64_t p50 = count / 2, p99 = count * 99 / 100;
    qsort(ns, count, sizeof *ns, compare);
    values[P50] = (double)ns[p50] / 1e3;
    values[P99] = (double)ns[p99] / 1e3;
}

/* ---- One change --------------------------------------------------------------------------------
 */

/* Starts child number `number` and returns how long the other node took to show it. */
static int start_one(struct ph_peers *peers, struct ph_spec *spec, uint64_t number, uint64_t *ns,
                     struct ph_error *error)
{
    char id[32];
    struct ph_ids ids = {0};
    struct ph_op *op;
    uint64_t seen_ns = 0;
    int length = snprintf(id, sizeof id, "w-%llu", (unsigned long long)number);
    int rc = ph_ids_add(&ids, id, (size_t)length);
    if (rc == 0)
        rc = ph_peers_ask(peers, 0, number, error);
    uint64_t start_ns = ph_now_ns();
    if (rc == 0)
        rc = ph_start(peers->stage.hub, &ids, spec, NULL, &op, error);
    if (rc == 0)
        rc = ph_peers_answer(peers, 0, &seen_ns, error);
    *ns = seen_ns > start_ns ? seen_ns - start_ns : 0;
    return rc ? rc : ph_stage_wait(op, error);
}

static int measure_change(const struct ph_bench_setup *setup, double *values,
                          struct ph_error *error)
{
    struct ph_peers peers;
    struct ph_spec *spec;
    uint64_t *ns = ph_alloc(setup->children * sizeof *ns);
    int rc = ph_peers_open(&peers, setup, 1, NULL, error);
    if (rc == 0)
        rc = ph_stage_spec(counter_keys, NULL, &spec, error);
    for (uint64_t i = 0; rc == 0 && i < setup->children; i++)
        rc = start_one(&peers, spec, i + 1, &ns[i], error);
    put_percentiles(ns, setup->children, values);
    return rc;
}

/* Two ends of a TCP connection over loopback. */
static int connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[1] = -1;
    if (bind(door, (struct sockaddr *)&address, size) == 0 && listen(door, 1) == 0 &&
        getsockname(door, (struct sockaddr *)&address, &size) == 0 &&
        connect(ends[0], (struct sockaddr *)&address, size) == 0)
        ends[1] = accept(door, NULL, NULL);
    int rc = ends[1] < 0 ? -errno : 0;
    close(door);
    for (int i = 0; rc == 0 && i < 2; i++)
        if (setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on))
            rc = -errno;
    return rc;
}

static _Noreturn void echo_all(int fd)
{
    char byte[64];
    ssize_t got;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while ((got = recv(fd, byte, sizeof byte, MSG_WAITALL)) > 0)
        if (send(fd, byte, (size_t)got, MSG_NOSIGNAL) != got)
            break;
    _exit(0);
}

static int measure_round_trip(const struct ph_bench_setup *setup, double *values,
                              struct ph_error *error)
{
    char bytes[64] = {0};
    int ends[2], rc = connect_pair(ends);
    if (rc)
        return ph_error_set(error, rc, "cannot connect: %s", ph_error_text(rc));
    pid_t pid = fork();
    if (pid == 0)
        echo_all(ends[1]);
    if (pid < 0)
        return ph_error_set(error, -errno, "cannot make a process: %s", ph_error_text(-errno));
    uint64_t *ns = ph_alloc(setup->children * sizeof *ns);
    for (uint64_t i = 0; i < setup->children; i++) {
        uint64_t start_ns = ph_now_ns();
        if (send(ends[0], bytes, sizeof bytes, MSG_NOSIGNAL) != sizeof bytes ||
            recv(ends[0], bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes)
            return ph_error_set(error, PH_EFAILED, "the other process has ended");
        ns[i] = ph_now_ns() - start_ns;
    }
    put_percentiles(ns, setup->children, values);
    return 0;
}

/* ---- Many rows --------------------------------------------------------------------------------
 */

static int measure_rows(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct ph_peers peers;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    struct ph_op *op;
    uint64_t seen_ns = 0;
    int rc = ph_peers_open(&peers, setup, 1, NULL, error);
    /* All of them are to run here, so that the other node only looks on. */
    if (rc == 0)
        rc = ph_drain(peers.stage.hub, "b", true, &op, error);
    if (rc == 0)
        rc = ph_stage_wait(op, error);
    if (rc == 0)
        rc = ph_stage_spec(counter_keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_peers_ask(&peers, 0, setup->children, error);
    if (rc)
        return rc;
    uint64_t start_ns = ph_now_ns();
    rc = ph_stage_start(&peers.stage, &ids, spec, error);
    if (rc == 0)
        rc = ph_peers_answer(&peers, 0, &seen_ns, error);
    values[0] = (double)setup->children / ((double)(seen_ns - start_ns) / 1e9);
    return rc;
}

static int measure_pipeline(const struct ph_bench_setup *setup, double *values,
                            struct ph_error *error)
{
    double seconds = 1;
    int rc = ph_pipeline_run(setup->children, 0, &seconds, error);
    values[0] = (double)setup->children / seconds;
    return rc;
}

static const struct ph_bench_case cases[] = {
    {.figures = {[P50] = {.name = "a start seen elsewhere, p50 of", .unit = "us", .cost = true},
                 [P99] = {.name = "a start seen elsewhere, p99 of", .unit = "us", .cost = true}},
     .ours = measure_change,
     .ceiling = measure_round_trip,
     .children = 1000},
    {.figures = {{.name = "started here, seen elsewhere", .unit = "children/s"}},
     .ours = measure_rows,
     .ceiling = measure_pipeline,
     .children = 100000},
};

const struct ph_bench_suite ph_bench_sync = {
    .name = "sync",
    .summary = "how soon another node sees what changed",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
