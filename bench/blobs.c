#include "bench/blobs.h"

#include <stdlib.h>
#include <string.h>

#include "bench/peers.h"
#include "bench/pipeline.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/text.h"
#include "engine/waiter.h"

enum { MIB = 1024 * 1024, UNDER_WAY_MIB = 64, ANSWER_MAX = 64, PATIENCE_MS = 60000 };

static int drain(struct ph_peers *peers, const char *node, bool on, struct ph_error *error)
{
    struct ph_op *op;
    int rc = ph_drain(peers->stage.hub, node, on, &op, error);
    return rc ? rc : ph_stage_wait(op, error);
}

/* Two nodes, and so many blobs, all of them on "a"; "b" never had any. */
static int open_blobs(struct ph_peers *peers, const struct ph_bench_setup *setup, uint64_t children,
                      const char *size, struct ph_error *error)
{
    const char *const keys[] = {"module", "blob", "args", size, NULL};
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_peers_open(peers, setup, 1, NULL, error);
    if (rc == 0)
        rc = drain(peers, "b", true, error);
    if (rc == 0)
        rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, children, error);
    if (rc == 0)
        rc = ph_stage_start(&peers->stage, &ids, spec, error);
    if (rc == 0)
        rc = ph_peers_migrate(peers, children, "a", PH_MOVE_ANY, error); /* pins them */
    if (rc == 0)
        rc = drain(peers, "b", false, error);
    return rc ? rc : ph_peers_settle(peers, error);
}

/* ---- The gap -------------------------------------------------------------------------------- */

struct caller {
    struct ph_hub *hub;
    uint64_t answered_ns, gap_ns;
    char answer[ANSWER_MAX]; /* what every answer is; "": none came yet */
};

static int call(struct caller *caller, struct ph_error *error)
{
    struct ph_op *op;
    int rc = ph_call(caller->hub, "w-1", "check", strlen("check"), &op);
    if (rc)
        return ph_error_set(error, rc, "cannot call the blob: %s", ph_error_text(rc));
    rc = ph_op_wait(op, PATIENCE_MS, NULL);
    uint64_t now_ns = ph_now_ns();
    const struct ph_op_result *result = ph_op_result(op);
    if (rc == 0)
        rc = result->code;
    if (rc) {
        ph_error_set(error, rc, "the blob did not answer: %s", result->text);
    } else if (result->reply_length >= sizeof caller->answer) {
        rc = ph_error_set(error, PH_EFAILED, "the blob gave a long answer");
    } else if (!*caller->answer) {
        memcpy(caller->answer, result->reply, result->reply_length);
    } else if (strncmp(caller->answer, result->reply, sizeof caller->answer) != 0) {
        rc = ph_error_set(error, PH_EFAILED, "the blob is not what it was");
    } else if (now_ns - caller->answered_ns > caller->gap_ns) {
        caller->gap_ns = now_ns - caller->answered_ns;
    }
    caller->answered_ns = now_ns;
    ph_op_put(op);
    return rc;
}

/* One move under calls; they go on until one was answered after it was over. */
static int move_under_calls(struct ph_peers *peers, struct caller *caller, const char *node,
                            double *gap_ms, struct ph_error *error)
{
    struct ph_op *op;
    int rc = call(caller, error);
    caller->gap_ns = 0;
    if (rc == 0)
        rc = ph_peers_begin_migrate(peers, 1, node, PH_MOVE_HOT, &op, error);
    bool over = false;
    while (rc == 0 && !over) {
        over = ph_op_is_done(op);
        rc = call(caller, error);
    }
    *gap_ms = (double)caller->gap_ns / 1e6;
    return rc ? rc : ph_stage_wait(op, error);
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void put_percentiles(double *ms, uint64_t count, double *values)
{
    qsort(ms, count, sizeof *ms, compare);
    values[PH_BLOBS_P50] = ms[count / 2];
    values[PH_BLOBS_P99] = ms[count * 99 / 100];
    values[PH_BLOBS_MAX] = ms[count - 1];
}

int ph_blobs_gap(const struct ph_bench_setup *setup, const char *size, double *values,
                 struct ph_error *error)
{
    struct ph_peers peers;
    uint64_t count = setup->children;
    double *ms = ph_alloc(count * sizeof *ms);
    int rc = open_blobs(&peers, setup, 1, size, error);
    struct caller caller = {.hub = peers.stage.hub};
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = move_under_calls(&peers, &caller, i % 2 ? "a" : "b", &ms[i], error);
    if (rc == 0)
        put_percentiles(ms, count, values);
    ph_free(ms);
    return rc;
}

int ph_blobs_bare_gap(const struct ph_bench_setup *setup, const char *size, double *values,
                      struct ph_error *error)
{
    uint64_t bytes = 0, count = setup->children;
    double *ms = ph_alloc(count * sizeof *ms);
    ph_assert(ph_parse_size(size, &bytes));
    int rc = ph_pipeline_trips(bytes, count, ms, error);
    if (rc == 0)
        put_percentiles(ms, count, values);
    ph_free(ms);
    return rc;
}

/* ---- Many at once --------------------------------------------------------------------------- */

int ph_blobs_mass(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct ph_peers peers;
    int rc = open_blobs(&peers, setup, setup->children, "1M", error);
    if (rc)
        return rc;
    pid_t target = peers.others[0].pid;
    double before = ph_peers_resident_bytes(0), target_before = ph_peers_resident_bytes(target);
    rc = ph_peers_forget_peak(0, error);
    if (rc == 0)
        rc = ph_peers_forget_peak(target, error);
    uint64_t start_ns = ph_now_ns();
    if (rc == 0)
        rc = ph_peers_migrate(&peers, setup->children, "b", PH_MOVE_HOT, error);
    values[PH_BLOBS_RATE] = (double)setup->children / ph_stage_since(start_ns);
    values[PH_BLOBS_SOURCE] = (ph_peers_peak_bytes(0) - before) / MIB;
    values[PH_BLOBS_TARGET] =
        (ph_peers_peak_bytes(target) - target_before) / MIB - (double)setup->children;
    return rc;
}

int ph_blobs_bare_mass(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    uint64_t count = setup->children;
    double *ms = ph_alloc(count * sizeof *ms), whole_ms = 0;
    int rc = ph_pipeline_trips(MIB, count, ms, error);
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        whole_ms += ms[i];
    if (rc == 0)
        values[PH_BLOBS_RATE] = (double)count * 1e3 / whole_ms;
    values[PH_BLOBS_SOURCE] = values[PH_BLOBS_TARGET] = UNDER_WAY_MIB;
    ph_free(ms);
    return rc;
}
