#include "ipc/command_run.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/op.h"
#include "ipc/target.h"

/* Requests for many children: whom they mean, and what became of them. */

enum { FAILURES_SAID = 10 };

/* Length of the text before the number at the end of `id`; the number itself in *number. */
static size_t split_number(const char *id, uint64_t *number)
{
    size_t length = strlen(id), start = length;
    while (start > 0 && length - start < 15 && id[start - 1] >= '0' && id[start - 1] <= '9')
        start--;
    /* Leading zeros would not come back out of a range. */
    while (start + 1 < length && id[start] == '0')
        start++;
    *number = start < length ? strtoull(id + start, NULL, 10) : 0;
    return start;
}

/* Does `b` follow `a` in a range, with the same failure? */
static bool continues(const struct ph_op_failure *a, const struct ph_op_failure *b)
{
    uint64_t number_a, number_b;
    size_t prefix_a = split_number(a->id, &number_a), prefix_b = split_number(b->id, &number_b);
    return a->code == b->code && strcmp(a->text, b->text) == 0 && prefix_a == prefix_b &&
           a->id[prefix_a] && b->id[prefix_b] && strncmp(a->id, b->id, prefix_a) == 0 &&
           number_b == number_a + 1;
}

static int compare_failures(const void *a, const void *b)
{
    return ph_natural_compare(((const struct ph_op_failure *)a)->id,
                              ((const struct ph_op_failure *)b)->id);
}

/* "w-[3..9]" for a run of failures, the id for one. */
static void put_run(struct ph_text *out, const struct ph_op_failure *first,
                    const struct ph_op_failure *last)
{
    uint64_t low, high;
    size_t prefix = split_number(first->id, &low);
    split_number(last->id, &high);
    if (first == last)
        ph_text_put(out, first->id);
    else
        ph_text_printf(out, "%.*s[%llu..%llu]", (int)prefix, first->id, (unsigned long long)low,
                       (unsigned long long)high);
}

static const char *reason_of(const struct ph_op_failure *failure)
{
    return failure->text && failure->text[0] ? failure->text : ph_error_text(failure->code);
}

struct failures {
    struct ph_op_failure *list; /* sorted copy; the texts are the op's */
    size_t count;
};

/* The next run of equal failures of consecutive ids, from *at on. */
static size_t run_end(const struct failures *failures, size_t at)
{
    while (at + 1 < failures->count && continues(&failures->list[at], &failures->list[at + 1]))
        at++;
    return at;
}

static void put_failures(const struct failures *failures, struct ph_text *out)
{
    struct ph_text ids = PH_TEXT_INIT;
    ph_text_put(out, "[");
    for (size_t at = 0; at < failures->count; at++) {
        const struct ph_op_failure *first = &failures->list[at];
        ph_text_put(out, at ? ",{\"id\":" : "{\"id\":");
        at = run_end(failures, at);
        ph_text_clear(&ids);
        put_run(&ids, first, &failures->list[at]);
        ph_text_json(out, ph_text_str(&ids), ids.length);
        ph_text_printf(
            out, ",\"class\":\"%s\",\"message\":", ph_class_name(ph_error_class(first->code)));
        ph_text_json(out, reason_of(first), strlen(reason_of(first)));
        ph_text_put(out, "}");
    }
    ph_text_put(out, "]");
    ph_text_fini(&ids);
}

/* One line per failure (or run of them) on standard error; the first ten. */
static void say_failures(struct ph_session *session, const struct failures *failures,
                         uint64_t failed)
{
    struct ph_text ids = PH_TEXT_INIT;
    uint64_t said = 0, lines = 0;
    for (size_t at = 0; at < failures->count && lines < FAILURES_SAID; at++, lines++) {
        const struct ph_op_failure *first = &failures->list[at];
        size_t from = at;
        at = run_end(failures, at);
        ph_text_clear(&ids);
        put_run(&ids, first, &failures->list[at]);
        said += at - from + 1;
        ph_session_error(session, NULL, first->code, "%s%s%s", ph_text_str(&ids),
                         ids.length ? ": " : "", reason_of(first));
    }
    if (failed > said && !ph_session_is_json(session))
        ph_session_note(session, "… and %llu more", (unsigned long long)(failed - said));
    ph_text_fini(&ids);
}

static void say_result(struct ph_session *session, const char *type, bool same,
                       const struct ph_op_result *result, const struct failures *failures)
{
    static const struct ph_column with_same[] = {
        {.key = "changed", .type = PH_COLUMN_UINT},
        {.key = "same", .type = PH_COLUMN_UINT},
        {.key = "failed", .type = PH_COLUMN_JSON},
    };
    static const struct ph_column without_same[] = {
        {.key = "changed", .type = PH_COLUMN_UINT},
        {.key = "failed", .type = PH_COLUMN_JSON},
    };
    struct ph_text failed = PH_TEXT_INIT;
    put_failures(failures, &failed);
    struct ph_rows *rows =
        ph_session_rows(session, type, same ? with_same : without_same,
                        same ? PH_COUNT_OF(with_same) : PH_COUNT_OF(without_same), true);
    ph_rows_uint(rows, result->changed);
    if (same)
        ph_rows_uint(rows, result->same);
    ph_rows_str(rows, failed.data);
    ph_rows_end_row(rows);
    int rc = ph_rows_finish(rows);
    (void)rc; /* a sink that is gone is noticed by the next writer */
    ph_text_fini(&failed);
}

int ph_session_report(struct ph_session *session, struct ph_op *op, const char *type, bool same,
                      uint64_t timeout_ms)
{
    return ph_session_report_rest(session, op, type, same, 0, timeout_ms);
}

int ph_session_report_rest(struct ph_session *session, struct ph_op *op, const char *type,
                           bool same, uint64_t waited_ms, uint64_t left_ms)
{
    int rc = ph_op_wait(op, left_ms, &session->waiter);
    const struct ph_op_result *result = ph_op_result(op);
    struct failures failures = {0};
    if (rc == 0 && result->failure_count) {
        failures.count = result->failure_count;
        failures.list = calloc(failures.count, sizeof *failures.list);
        if (!failures.list)
            failures.count = 0;
        else
            memcpy(failures.list, result->failures, failures.count * sizeof *failures.list);
        qsort(failures.list, failures.count, sizeof *failures.list, compare_failures);
    }
    say_result(session, type, same, result, &failures);
    if (rc == PH_ETIMEOUT)
        ph_session_error(
            session, NULL, rc, "not done after %llu ms: %llu changed so far, the rest goes on",
            (unsigned long long)(waited_ms + left_ms), (unsigned long long)result->changed);
    else if (rc < 0)
        ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    else if ((rc = result->code) < 0 && failures.count)
        say_failures(session, &failures, result->failed);
    else if (rc < 0)
        ph_session_error(session, NULL, rc, "%s",
                         result->text[0] ? result->text : ph_error_text(rc));
    if (rc < 0 && result->rolled_back)
        ph_session_note(session, "what this command had started was stopped again");
    free(failures.list);
    ph_op_put(op);
    return rc;
}

int ph_session_under_way(struct ph_session *session, const char *type, bool same)
{
    static const struct ph_op_result nothing = {.text = ""};
    struct failures none = {0};
    if (ph_session_is_json(session))
        say_result(session, type, same, &nothing, &none);
    return 0;
}

bool ph_args_waits(const struct ph_args *args)
{
    const char *wait = ph_args_text(args, "wait");
    return !wait || strcmp(wait, "no") != 0;
}

int ph_session_targets(struct ph_session *session, const struct ph_args *args, size_t count,
                       struct ph_hub **hub, struct ph_ids *ids)
{
    struct ph_target target;
    struct ph_script_error error = {0};
    int rc = ph_session_hub(session, hub);
    if (rc < 0)
        return rc;
    if (count == 0 && !args->expr)
        return ph_session_error(session, NULL, PH_EUSAGE,
                                "which children? an id, a glob, a range, tag:NAME, node:NAME, "
                                "all, or where EXPR");
    rc = ph_target_init(&target, *hub, args->words, count, args->expr, &error);
    if (rc < 0) {
        ph_say_error(session->sink, session->form,
                     (struct ph_position){session->script, error.line, error.column}, rc,
                     error.error.text);
        return rc;
    }
    rc = ph_target_ids(&target, ids);
    ph_target_fini(&target);
    return rc < 0 ? ph_session_error(session, NULL, rc, "%s", ph_error_text(rc)) : 0;
}
