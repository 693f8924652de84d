#include "ipc/command_run.h"

#include "engine/base.h"
#include "engine/error.h"
#include "ipc/condition.h"

/*
 * What waiting costs: nothing while nothing changes. On a busy hub each change wakes every wait
 * once and after that look it is deaf for a pause, which grows with the number of open waits and
 * with what a look costs; so 1,000 waits look some thousand times a second together, however busy
 * the hub is.
 */
enum {
    WAIT_TIMEOUT_MS = 30000,
    WAITS_PER_MS = 8, /* open waits that lengthen the pause by 1 ms */
    COST_FACTOR = 5,  /* a look may take a sixth of the time at most */
    PAUSE_MAX_MS = 1000,
    TIMED_MS = 100, /* between looks at what changes without a picture */
};

static uint64_t pause_of(struct ph_session *session, uint64_t cost_ns)
{
    /* Relaxed: a figure for pacing. */
    unsigned waits = atomic_load_explicit(&session->node->waits, memory_order_relaxed);
    uint64_t pause_ms = 1 + waits / WAITS_PER_MS + COST_FACTOR * cost_ns / 1000000;
    return pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Sleeps for the pause, then until there is a newer picture; 0, PH_ETIMEOUT at the deadline, or why
 * there is no point in going on. */
static int until_change(struct ph_session *session, const struct ph_condition *condition,
                        uint64_t pause_ms, uint64_t deadline_ms)
{
    uint64_t now_ms = ph_now_ms();
    int rc = ph_waiter_sleep(&session->waiter, earlier(now_ms + pause_ms, deadline_ms));
    if (rc == PH_ECANCELED)
        return rc;
    now_ms = ph_now_ms();
    if (now_ms >= deadline_ms)
        return PH_ETIMEOUT;
    uint64_t left_ms = deadline_ms == UINT64_MAX ? UINT64_MAX : deadline_ms - now_ms;
    uint64_t sleep_ms = condition->timed ? earlier(left_ms, TIMED_MS) : left_ms;
    rc = ph_wait_change(condition->hub, condition->status.version, sleep_ms, &session->waiter);
    return rc == PH_ETIMEOUT ? 0 : rc; /* one more look, also at the deadline */
}

static int wait_for(struct ph_session *session, struct ph_condition *condition,
                    const struct ph_expr *expr, uint64_t timeout_ms)
{
    uint64_t now_ms = ph_now_ms();
    uint64_t deadline_ms = timeout_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + timeout_ms;
    for (;;) {
        uint64_t before_ns = ph_now_ns();
        if (ph_condition_holds(condition, expr))
            return 0;
        if (ph_now_ms() >= deadline_ms)
            return PH_ETIMEOUT;
        uint64_t pause_ms = pause_of(session, ph_now_ns() - before_ns);
        int rc = until_change(session, condition, pause_ms, deadline_ms);
        if (rc < 0 && rc != PH_ETIMEOUT)
            return rc;
    }
}

static int say_wait(struct ph_session *session, bool met, uint64_t waited_ms)
{
    static const struct ph_column columns[] = {
        {.key = "met", .type = PH_COLUMN_BOOL},
        {.key = "waited_ms", .type = PH_COLUMN_DURATION},
    };
    if (!ph_session_is_json(session))
        return 0;
    struct ph_rows *rows = ph_session_rows(session, "wait", columns, PH_COUNT_OF(columns), true);
    ph_rows_bool(rows, met);
    ph_rows_uint(rows, waited_ms);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

static int say_false(struct ph_session *session, struct ph_condition *condition,
                     const struct ph_expr *expr, int code, uint64_t waited_ms)
{
    struct ph_text seen = PH_TEXT_INIT;
    ph_condition_explain(condition, expr, &seen);
    if (code == PH_ETIMEOUT)
        ph_session_error(session, NULL, code, "after %llu ms: %s", (unsigned long long)waited_ms,
                         ph_text_str(&seen));
    else
        ph_session_error(session, NULL, code, "%s", ph_text_str(&seen));
    ph_text_fini(&seen);
    return code;
}

int ph_command_wait(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    struct ph_condition condition;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    uint64_t started_ms = ph_now_ms();
    ph_condition_init(&condition, hub);
    atomic_fetch_add_explicit(&session->node->waits, 1, memory_order_relaxed);
    rc = wait_for(session, &condition, args->expr, ph_args_timeout(args, WAIT_TIMEOUT_MS));
    atomic_fetch_sub_explicit(&session->node->waits, 1, memory_order_relaxed);
    uint64_t waited_ms = ph_now_ms() - started_ms;
    if (rc == 0 || rc == PH_ETIMEOUT) {
        int said = say_wait(session, rc == 0, waited_ms);
        rc = rc < 0 ? say_false(session, &condition, args->expr, rc, waited_ms) : said;
    } else {
        ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    }
    ph_condition_fini(&condition);
    return rc;
}

int ph_command_assert(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column column = {.key = "holds", .type = PH_COLUMN_BOOL};
    struct ph_hub *hub;
    struct ph_condition condition;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    ph_condition_init(&condition, hub);
    bool holds = ph_condition_holds(&condition, args->expr);
    if (ph_session_is_json(session)) {
        struct ph_rows *rows = ph_session_rows(session, "assert", &column, 1, true);
        ph_rows_bool(rows, holds);
        ph_rows_end_row(rows);
        rc = ph_rows_finish(rows);
    }
    if (!holds)
        rc = say_false(session, &condition, args->expr, PH_EFAILED, 0);
    ph_condition_fini(&condition);
    return rc;
}
