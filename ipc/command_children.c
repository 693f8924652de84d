#include "ipc/command_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/op.h"
#include "engine/spec.h"
#include "ipc/target.h"

enum { START_TIMEOUT_MS = 30000, CALL_TIMEOUT_MS = 5000, FAILURES_SAID = 10 };

/* ---- Results -------------------------------------------------------------------------------- */

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

/* Waits for a request for many and reports it; puts the op. */
static int report(struct ph_session *session, struct ph_op *op, const char *type, bool same,
                  uint64_t timeout_ms)
{
    int rc = ph_op_wait(op, timeout_ms, &session->waiter);
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
        ph_session_error(session, NULL, rc,
                         "not done after %llu ms: %llu changed so far, the rest goes on",
                         (unsigned long long)timeout_ms, (unsigned long long)result->changed);
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

/* ---- start ---------------------------------------------------------------------------------- */

static int read_ids(struct ph_session *session, const struct ph_args *args, struct ph_ids *ids)
{
    for (size_t i = 0; i < args->word_count; i++) {
        const struct ph_word *word = args->words[i];
        struct ph_error error = {0};
        int rc = word->quoted ? ph_ids_add(ids, word->text, word->length)
                              : ph_ids_add_range(ids, word->text, &error);
        if (rc == 0)
            continue;
        ph_ids_fini(ids);
        return ph_session_error(session, word, rc, "%s",
                                error.text[0] ? error.text
                                              : "an id is 1 to 255 bytes without spaces");
    }
    return 0;
}

static struct ph_start_options start_options(const struct ph_args *args)
{
    const char *if_exists = ph_args_text(args, "if_exists");
    const char *on_failure = ph_args_text(args, "on_failure");
    struct ph_start_options options = {.if_exists = PH_IF_EXISTS_SAME};
    if (if_exists && strcmp(if_exists, "fail") == 0)
        options.if_exists = PH_IF_EXISTS_FAIL;
    else if (if_exists && strcmp(if_exists, "replace") == 0)
        options.if_exists = PH_IF_EXISTS_REPLACE;
    options.rollback = on_failure && strcmp(on_failure, "rollback") == 0;
    return options;
}

static bool waits(const struct ph_args *args)
{
    const char *wait = ph_args_text(args, "wait");
    return !wait || strcmp(wait, "no") != 0;
}

/* `wait=no`: it is under way, and that is all there is to say. */
static int say_under_way(struct ph_session *session, const char *type, bool same)
{
    static const struct ph_op_result nothing = {.text = ""};
    struct failures none = {0};
    if (ph_session_is_json(session))
        say_result(session, type, same, &nothing, &none);
    return 0;
}

int ph_command_start(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    struct ph_op *op = NULL;
    struct ph_error error = {0};
    struct ph_start_options options = start_options(args);
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = read_ids(session, args, &ids);
    if (rc < 0)
        return rc;
    rc = ph_start(hub, &ids, args->spec, &options, waits(args) ? &op : NULL, &error);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s",
                                error.text[0] ? error.text : ph_error_text(rc));
    if (!op)
        return say_under_way(session, "started", true);
    return report(session, op, "started", true, ph_args_timeout(args, START_TIMEOUT_MS));
}

/* ---- stop, restart, signal ------------------------------------------------------------------ */

/* The ids that the first `count` words and `where` mean. */
static int target_ids(struct ph_session *session, const struct ph_args *args, size_t count,
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

typedef int (*request_fn)(struct ph_hub *, struct ph_ids *ids, struct ph_op **op);

static int request(struct ph_session *session, const struct ph_args *args, const char *type,
                   request_fn fn)
{
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    struct ph_op *op = NULL;
    int rc = target_ids(session, args, args->word_count, &hub, &ids);
    if (rc < 0)
        return rc;
    rc = fn(hub, &ids, waits(args) ? &op : NULL);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    if (!op)
        return say_under_way(session, type, false);
    return report(session, op, type, false, ph_args_timeout(args, UINT64_MAX));
}

int ph_command_stop(struct ph_session *session, const struct ph_args *args)
{
    return request(session, args, "stopped", ph_stop);
}

int ph_command_restart(struct ph_session *session, const struct ph_args *args)
{
    return request(session, args, "restarted", ph_restart);
}

int ph_command_signal(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *name = args->words[args->word_count - 1];
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    struct ph_op *op;
    int number;
    if (ph_signal_parse(name->text, &number) < 0)
        return ph_session_error(session, name, PH_EUSAGE,
                                "'%s' is no signal: TERM, KILL, HUP, USR1, … or a number",
                                name->text);
    int rc = target_ids(session, args, args->word_count - 1, &hub, &ids);
    if (rc < 0)
        return rc;
    rc = ph_signal(hub, &ids, number, &op);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    return report(session, op, "signaled", false, UINT64_MAX);
}

/* ---- send, call ----------------------------------------------------------------------------- */

static int message_error(struct ph_session *session, const struct ph_word *id, int rc)
{
    switch (rc) {
    case PH_ENOTFOUND:
        return ph_session_error(session, id, rc, "there is no child %s", id->text);
    case PH_EUNSUPPORTED:
        return ph_session_error(session, id, rc, "%s is an OS process: it takes no messages",
                                id->text);
    case PH_ELIMIT:
        return ph_session_error(session, id, rc, "the mailbox of %s is full", id->text);
    default:
        return ph_session_error(session, id, rc, "%s: %s", id->text, ph_error_text(rc));
    }
}

int ph_command_send(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column column = {.key = "id", .type = PH_COLUMN_TEXT};
    const struct ph_word *id = args->words[0];
    struct ph_hub *hub;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    rc = ph_send(hub, id->text, args->text, strlen(args->text));
    if (rc < 0)
        return message_error(session, id, rc);
    if (!ph_session_is_json(session))
        return 0;
    struct ph_rows *rows = ph_session_rows(session, "sent", &column, 1, true);
    ph_rows_str(rows, id->text);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

static int say_reply(struct ph_session *session, const char *id, const struct ph_op_result *result)
{
    static const struct ph_column columns[] = {
        {.key = "id", .type = PH_COLUMN_TEXT},
        {.key = "reply", .type = PH_COLUMN_TEXT},
    };
    if (!ph_session_is_json(session))
        return ph_session_line(session, result->reply ? result->reply : "", result->reply_length);
    struct ph_rows *rows = ph_session_rows(session, "reply", columns, PH_COUNT_OF(columns), true);
    ph_rows_str(rows, id);
    ph_rows_text(rows, result->reply ? result->reply : "", result->reply_length);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

int ph_command_call(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *id = args->words[0];
    struct ph_hub *hub;
    struct ph_op *op;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    rc = ph_call(hub, id->text, args->text, strlen(args->text), &op);
    if (rc < 0)
        return message_error(session, id, rc);
    uint64_t timeout_ms = ph_args_timeout(args, CALL_TIMEOUT_MS);
    rc = ph_op_wait(op, timeout_ms, &session->waiter);
    const struct ph_op_result *result = ph_op_result(op);
    if (rc == PH_ETIMEOUT)
        ph_session_error(session, id, rc, "%s did not answer within %llu ms", id->text,
                         (unsigned long long)timeout_ms);
    else if (rc < 0)
        ph_session_error(session, id, rc, "%s", ph_error_text(rc));
    else if ((rc = result->code) < 0 && !result->text[0])
        message_error(session, id, rc);
    else if (rc < 0)
        ph_session_error(session, id, rc, "%s: %s", id->text, result->text);
    else
        rc = say_reply(session, id->text, result);
    ph_op_put(op);
    return rc;
}
