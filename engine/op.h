/*
 * An op: one request under way and, later, its result.
 *
 * Reference counted: the caller has one reference, whoever works on the request another. The worker
 * counts and lists failures as they come (one thread at a time), then ph_op_complete makes the
 * result visible and wakes the waiters; nothing changes after that. A NULL op is allowed
 * everywhere: nobody waits.
 */
#ifndef PH_ENGINE_OP_H
#define PH_ENGINE_OP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "engine/prochub.h"
#include "engine/text.h"
#include "engine/waiter.h"

struct ph_op {
    atomic_uint refs;
    atomic_bool done; /* release by complete, acquire by readers */
    struct ph_waitlist waiters;
    _Atomic uint64_t changed, same, failed; /* readable while it runs */
    struct ph_op_result result;             /* valid once done */
    struct ph_op_result unfinished;         /* what ph_op_result returns before */
    struct ph_text text, reply;
    struct ph_op_failure *failures;
    size_t failure_count, failure_capacity;
    void (*done_fn)(void *arg, struct ph_op *); /* called once, when it is done; NULL: none */
    void *done_arg;
    struct ph_op *next; /* in the hub's list of ops to complete after its picture is out, with: */
    int finish_code;
    char *finish_text;
};

/* With two references: the caller's and the worker's. */
struct ph_op *ph_op_create(void);
struct ph_op *ph_op_get(struct ph_op *);

void ph_op_changed(struct ph_op *);
void ph_op_same(struct ph_op *);
/* Lists a failure (the first PH_FAILURES_MAX; the rest are counted). Copied. */
void ph_op_fail(struct ph_op *, const char *id, int code, const char *text);
/* Sets the reply; copied. */
void ph_op_set_reply(struct ph_op *, const void *data, size_t length);

/* Ends the request and gives up the worker's reference. `code` 0 becomes the first failure's code,
 * or PH_EPARTIAL when something succeeded. */
void ph_op_complete(struct ph_op *, int code, const char *text);

#endif
