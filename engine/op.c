#include "engine/op.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/limits.h"

struct ph_op *ph_op_create(void)
{
    struct ph_op *op = ph_alloc(sizeof *op);
    atomic_init(&op->refs, 2);
    ph_waitlist_init(&op->waiters);
    op->unfinished = (struct ph_op_result){
        .code = PH_ETIMEOUT,
        .text = "not done yet",
        .reply = "",
    };
    return op;
}

struct ph_op *ph_op_get(struct ph_op *op)
{
    if (op)
        atomic_fetch_add_explicit(&op->refs, 1, memory_order_relaxed);
    return op;
}

static void destroy(struct ph_op *op)
{
    for (size_t i = 0; i < op->failure_count; i++) {
        ph_free((char *)(uintptr_t)op->failures[i].id);
        ph_free((char *)(uintptr_t)op->failures[i].text);
    }
    ph_free(op->failures);
    ph_text_fini(&op->text);
    ph_text_fini(&op->reply);
    ph_waitlist_fini(&op->waiters);
    ph_free(op);
}

void ph_op_put(struct ph_op *op)
{
    /* acq_rel: the last one sees everything that the others did with the op. */
    if (op && atomic_fetch_sub_explicit(&op->refs, 1, memory_order_acq_rel) == 1)
        destroy(op);
}

void ph_op_changed(struct ph_op *op)
{
    if (op)
        atomic_fetch_add_explicit(&op->changed, 1, memory_order_relaxed);
}

void ph_op_same(struct ph_op *op)
{
    if (op)
        atomic_fetch_add_explicit(&op->same, 1, memory_order_relaxed);
}

void ph_op_fail(struct ph_op *op, const char *id, int code, const char *text)
{
    if (!op)
        return;
    atomic_fetch_add_explicit(&op->failed, 1, memory_order_relaxed);
    if (op->failure_count == PH_FAILURES_MAX)
        return;
    if (op->failure_count == op->failure_capacity) {
        op->failure_capacity = op->failure_capacity ? op->failure_capacity * 2 : 4;
        op->failures = ph_realloc(op->failures, op->failure_capacity * sizeof *op->failures);
    }
    op->failures[op->failure_count++] = (struct ph_op_failure){
        .id = ph_copy_text(id, strlen(id)),
        .code = code,
        .text = ph_copy_text(text, strlen(text)),
    };
}

void ph_op_set_reply(struct ph_op *op, const void *data, size_t length)
{
    if (!op)
        return;
    ph_text_clear(&op->reply);
    ph_text_append(&op->reply, data, length);
}

/* What the counts say when nothing else went wrong: all fine, all failed, or some of each. */
static int code_of_counts(const struct ph_op *op)
{
    const struct ph_op_result *result = &op->result;
    if (result->failed == 0)
        return 0;
    if (result->changed + result->same > 0)
        return PH_EPARTIAL;
    return op->failures[0].code;
}

void ph_op_complete(struct ph_op *op, int code, const char *text)
{
    if (!op)
        return;
    struct ph_op_result *result = &op->result;
    result->changed = atomic_load_explicit(&op->changed, memory_order_relaxed);
    result->same = atomic_load_explicit(&op->same, memory_order_relaxed);
    result->failed = atomic_load_explicit(&op->failed, memory_order_relaxed);
    result->failures = op->failures;
    result->failure_count = op->failure_count;
    result->code = code ? code : code_of_counts(op);
    if (text)
        ph_text_put(&op->text, text);
    else if (op->failure_count && result->code)
        ph_text_put(&op->text, op->failures[0].text);
    result->text = ph_text_str(&op->text);
    result->reply = ph_text_str(&op->reply);
    result->reply_length = op->reply.length;
    /* Pairs with the acquire in ph_op_is_done: who sees `done` sees the result. */
    atomic_store_explicit(&op->done, true, memory_order_release);
    ph_waitlist_wake(&op->waiters);
    if (op->done_fn)
        op->done_fn(op->done_arg, op);
    ph_op_put(op);
}

bool ph_op_is_done(const struct ph_op *op)
{
    return atomic_load_explicit(&((struct ph_op *)(uintptr_t)op)->done, memory_order_acquire);
}

const struct ph_op_result *ph_op_result(struct ph_op *op)
{
    if (ph_op_is_done(op))
        return &op->result;
    op->unfinished.changed = atomic_load_explicit(&op->changed, memory_order_relaxed);
    op->unfinished.same = atomic_load_explicit(&op->same, memory_order_relaxed);
    op->unfinished.failed = atomic_load_explicit(&op->failed, memory_order_relaxed);
    return &op->unfinished;
}

static int wait_with(struct ph_op *op, uint64_t deadline_ms, struct ph_waiter *waiter)
{
    struct ph_wait_entry entry;
    int rc = 0;
    ph_waitlist_join(&op->waiters, &entry, waiter);
    while (!ph_op_is_done(op) && rc == 0)
        rc = ph_waiter_sleep(waiter, deadline_ms);
    ph_waitlist_leave(&op->waiters, &entry);
    return ph_op_is_done(op) ? 0 : rc;
}

int ph_op_wait(struct ph_op *op, uint64_t timeout_ms, struct ph_waiter *waiter)
{
    if (ph_op_is_done(op))
        return 0;
    uint64_t now = ph_now_ms();
    uint64_t deadline = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
    if (waiter)
        return wait_with(op, deadline, waiter);
    struct ph_waiter own;
    ph_waiter_init(&own);
    int rc = wait_with(op, deadline, &own);
    ph_waiter_fini(&own);
    return rc;
}
