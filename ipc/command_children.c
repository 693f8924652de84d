#include "ipc/command_run.h"

#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/op.h"
#include "engine/spec.h"

enum { START_TIMEOUT_MS = 30000, CALL_TIMEOUT_MS = 5000 };

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
    rc = ph_start(hub, &ids, args->spec, &options, ph_args_waits(args) ? &op : NULL, &error);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s",
                                error.text[0] ? error.text : ph_error_text(rc));
    if (!op)
        return ph_session_under_way(session, "started", true);
    return ph_session_report(session, op, "started", true, ph_args_timeout(args, START_TIMEOUT_MS));
}

/* ---- stop, restart, signal ------------------------------------------------------------------ */

typedef int (*request_fn)(struct ph_hub *, struct ph_ids *ids, struct ph_op **op);

static int request(struct ph_session *session, const struct ph_args *args, const char *type,
                   request_fn fn)
{
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    struct ph_op *op = NULL;
    int rc = ph_session_targets(session, args, args->word_count, &hub, &ids);
    if (rc < 0)
        return rc;
    rc = fn(hub, &ids, ph_args_waits(args) ? &op : NULL);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    if (!op)
        return ph_session_under_way(session, type, false);
    return ph_session_report(session, op, type, false, ph_args_timeout(args, UINT64_MAX));
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
    int rc = ph_session_targets(session, args, args->word_count - 1, &hub, &ids);
    if (rc < 0)
        return rc;
    rc = ph_signal(hub, &ids, number, &op);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    return ph_session_report(session, op, "signaled", false, UINT64_MAX);
}

/* ---- send, call ----------------------------------------------------------------------------- */

static int message_error(struct ph_session *session, const struct ph_word *id, int rc)
{
    switch (rc) {
    case PH_ENOTFOUND:
        return ph_session_error(session, id, rc, "there is no child %s", id->text);
    case PH_EUNSUPPORTED:
        return ph_session_error(session, id, rc,
                                "%s is an OS process without socket=yes: it takes no messages",
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
