/*
 * spawn: OS processes started, ended and started again.
 *
 * Ours go through the hub, the monitor and prochub-keeper, with output pipes and whole-tree
 * control. The ceiling is vfork, execve and waitid in a loop, in this small process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/stage.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/waiter.h"

enum { PATIENCE_MS = 30000 };
enum { STARTED, KILLED };
enum { P50, P99 };

static const char *const brief[] = {"/bin/true", NULL};
static const char *const lasting[] = {"/bin/sleep", "1000000", NULL};

/* ---- Ours ---------------------------------------------------------------------------------- */

static int open_stage(struct ph_stage *stage, const struct ph_bench_setup *setup,
                      const char *restart, const char *const *argv, struct ph_spec **spec,
                      struct ph_error *error)
{
    const char *const keys[] = {"restart", restart, NULL};
    int rc = ph_stage_open(stage, setup, 0, NULL, error);
    return rc ? rc : ph_stage_spec(keys, argv, spec, error);
}

/* The monitor starts prochub-keeper with the first process: that is not what is measured. */
static int warm_up(struct ph_stage *stage, struct ph_error *error)
{
    static const char *const keys[] = {"restart", "temporary", NULL};
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_stage_spec(keys, brief, &spec, error);
    if (rc == 0)
        rc = ph_ids_add(&ids, "warm-up", 7);
    if (rc == 0)
        rc = ph_stage_start(stage, &ids, spec, error);
    return rc ? rc : ph_stage_wait_fewer(stage, 1, error);
}

static int measure_brief(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = open_stage(&stage, setup, "temporary", brief, &spec, error);
    if (rc == 0)
        rc = warm_up(&stage, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    uint64_t start_ns = ph_now_ns();
    if (rc == 0)
        rc = ph_stage_start(&stage, &ids, spec, error);
    if (rc == 0)
        rc = ph_stage_wait_fewer(&stage, 1, error);
    values[STARTED] = (double)setup->children / ph_stage_since(start_ns);
    ph_stage_close(&stage);
    return rc;
}

static int measure_lasting(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0}, same = {0};
    struct ph_op *op;
    int rc = open_stage(&stage, setup, "temporary", lasting, &spec, error);
    if (rc == 0)
        rc = warm_up(&stage, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_ids(&same, setup->children, error);
    uint64_t start_ns = ph_now_ns();
    if (rc == 0)
        rc = ph_stage_start(&stage, &ids, spec, error);
    values[STARTED] = (double)setup->children / ph_stage_since(start_ns);
    start_ns = ph_now_ns();
    if (rc == 0)
        rc = ph_signal(stage.hub, &same, SIGKILL, &op);
    if (rc == 0)
        rc = ph_stage_wait(op, error);
    if (rc == 0)
        rc = ph_stage_wait_fewer(&stage, 1, error);
    values[KILLED] = (double)setup->children / ph_stage_since(start_ns);
    ph_stage_close(&stage);
    return rc;
}

/* Kills the process of a child from outside: microseconds until its successor runs. */
static int restart_one(struct ph_stage *stage, const char *id, double *took_us)
{
    struct ph_child_info info;
    struct ph_status status;
    int rc = ph_lookup(stage->hub, id, &info);
    uint64_t old = info.instance, start_ns = ph_now_ns();
    if (rc || info.pid == 0 || kill((pid_t)info.pid, SIGKILL))
        return PH_EFAILED;
    struct ph_waiter *waiter = ph_waiter_create();
    do {
        ph_status(stage->hub, &status);
        rc = ph_lookup(stage->hub, id, &info);
        if (rc || (info.instance > old && info.state == PH_STATE_RUNNING))
            break;
        rc = ph_wait_change(stage->hub, status.version, PATIENCE_MS, waiter);
    } while (rc == 0);
    *took_us = ph_stage_since(start_ns) * 1e6;
    ph_waiter_destroy(waiter);
    return rc;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void percentiles(double *samples, uint64_t count, double *values)
{
    qsort(samples, count, sizeof *samples, compare);
    values[P50] = samples[(count - 1) / 2];
    values[P99] = samples[(count - 1) * 99 / 100];
}

/* Each child once, so that no back-off is in it. */
static int measure_restart(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = open_stage(&stage, setup, "permanent", lasting, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_start(&stage, &ids, spec, error);
    char *shuffled = ph_stage_shuffled_ids(setup->children);
    double *samples = ph_alloc(setup->children * sizeof *samples);
    for (uint64_t i = 0; rc == 0 && i < setup->children; i++) {
        rc = restart_one(&stage, shuffled + i * PH_STAGE_ID_BYTES, &samples[i]);
        if (rc)
            ph_error_set(error, rc, "a killed child did not come back");
    }
    percentiles(samples, setup->children, values);
    ph_free(samples);
    ph_free(shuffled);
    ph_stage_close(&stage);
    return rc;
}

/* ---- The ceiling --------------------------------------------------------------------------- */

/* With our environment, as the node's children have it: a locale costs a program some files. */
static int bare_spawn(const char *const *argv, pid_t *result)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execve(argv[0], (char *const *)(uintptr_t)argv, environ);
        _exit(127);
    }
    if (pid < 0)
        return -errno;
    *result = pid;
    return 0;
}

static int bare_reap(pid_t pid)
{
    siginfo_t info;
    int rc;
    while ((rc = waitid(P_PID, (id_t)pid, &info, WEXITED)) < 0 && errno == EINTR) {
    }
    return rc < 0 ? -errno : info.si_code == CLD_EXITED && info.si_status == 127 ? -ENOENT : 0;
}

static int bare_brief(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    uint64_t start_ns = ph_now_ns();
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < setup->children; i++) {
        pid_t pid;
        rc = bare_spawn(brief, &pid);
        if (rc == 0)
            rc = bare_reap(pid);
    }
    values[STARTED] = (double)setup->children / ph_stage_since(start_ns);
    return rc ? ph_error_set(error, rc, "cannot run %s: %s", brief[0], ph_error_text(rc)) : 0;
}

static int bare_start_all(pid_t *pids, uint64_t count)
{
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = bare_spawn(lasting, &pids[i]);
    return rc;
}

static int bare_lasting(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    pid_t *pids = ph_alloc(setup->children * sizeof *pids);
    uint64_t start_ns = ph_now_ns();
    int rc = bare_start_all(pids, setup->children);
    values[STARTED] = (double)setup->children / ph_stage_since(start_ns);
    start_ns = ph_now_ns();
    for (uint64_t i = 0; i < setup->children && pids[i]; i++)
        kill(pids[i], SIGKILL);
    for (uint64_t i = 0; i < setup->children && pids[i]; i++)
        bare_reap(pids[i]);
    values[KILLED] = (double)setup->children / ph_stage_since(start_ns);
    ph_free(pids);
    return rc ? ph_error_set(error, rc, "cannot run %s: %s", lasting[0], ph_error_text(rc)) : 0;
}

static int bare_restart(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    pid_t *pids = ph_alloc(setup->children * sizeof *pids);
    double *samples = ph_alloc(setup->children * sizeof *samples);
    int rc = bare_start_all(pids, setup->children);
    for (uint64_t i = 0; rc == 0 && i < setup->children; i++) {
        uint64_t start_ns = ph_now_ns();
        kill(pids[i], SIGKILL);
        rc = bare_reap(pids[i]);
        if (rc == 0)
            rc = bare_spawn(lasting, &pids[i]);
        samples[i] = ph_stage_since(start_ns) * 1e6;
    }
    percentiles(samples, setup->children, values);
    for (uint64_t i = 0; i < setup->children && pids[i]; i++)
        kill(pids[i], SIGKILL);
    for (uint64_t i = 0; i < setup->children && pids[i]; i++)
        bare_reap(pids[i]);
    ph_free(samples);
    ph_free(pids);
    return rc ? ph_error_set(error, rc, "cannot run %s: %s", lasting[0], ph_error_text(rc)) : 0;
}

static const struct ph_bench_case cases[] = {
    {.figures = {{.name = "started, exited, gone:", .unit = "processes/s"}},
     .ours = measure_brief,
     .ceiling = bare_brief,
     .children = 1000},
    {.figures = {{.name = "started", .unit = "processes/s"},
                 {.name = "killed and gone", .unit = "processes/s"}},
     .ours = measure_lasting,
     .ceiling = bare_lasting,
     .children = 1000},
    {.figures = {{.name = "killed to running again, p50 of", .unit = "us", .cost = true},
                 {.name = "killed to running again, p99 of", .unit = "us", .cost = true}},
     .ours = measure_restart,
     .ceiling = bare_restart,
     .children = 200},
};

const struct ph_bench_suite ph_bench_spawn = {
    .name = "spawn",
    .summary = "OS processes started, killed and started again",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
