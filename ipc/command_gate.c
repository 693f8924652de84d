#include "ipc/command_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/nearest.h"
#include "engine/op.h"

enum { GATE_TIMEOUT_MS = 30000 };

/* ---- lock, unlock --------------------------------------------------------------------------- */

static void remember_lock(struct ph_session *session, const char *name)
{
    session->locks = ph_realloc(session->locks, (session->lock_count + 1) * sizeof *session->locks);
    snprintf(session->locks[session->lock_count++], sizeof *session->locks, "%s", name);
}

static void forget_lock(struct ph_session *session, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < session->lock_count; i++)
        if (strcmp(session->locks[i], name) != 0)
            memmove(session->locks[kept++], session->locks[i], sizeof *session->locks);
    session->lock_count = kept;
}

static int say_lock(struct ph_session *session, const char *name, uint64_t priority,
                    uint64_t left_ms)
{
    static const struct ph_column columns[] = {
        {.key = "name", .type = PH_COLUMN_TEXT},
        {.key = "priority", .type = PH_COLUMN_UINT},
        {.key = "left_ms", .type = PH_COLUMN_DURATION},
    };
    if (!ph_session_is_json(session))
        return ph_session_line(session, name, strlen(name));
    struct ph_rows *rows = ph_session_rows(session, "lock", columns, PH_COUNT_OF(columns), true);
    ph_rows_str(rows, name);
    ph_rows_uint(rows, priority);
    ph_rows_uint(rows, left_ms);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

int ph_command_lock(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    struct ph_op *op;
    uint64_t priority = PH_PRIORITY_LOCKED, for_ms = 0;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    if (ph_args_number(args, "priority", &priority) && priority == 0)
        return ph_session_error(session, ph_args_value(args, "priority"), PH_EUSAGE,
                                "priority=0 would hold nothing: 1 to 100");
    if (ph_args_number(args, "for", &for_ms) && for_ms == 0)
        return ph_session_error(session, ph_args_value(args, "for"), PH_EUSAGE,
                                "for=0 would end at once: a duration like for=60s");
    const char *reason = ph_args_text(args, "reason");
    struct ph_lock_options options = {
        .name = ph_args_text(args, "name"),
        .reason = reason ? reason : "lock",
        .level = (uint8_t)priority,
        .for_ms = for_ms,
        .discard = ph_args_flag(args, "discard"),
    };
    rc = ph_lock(hub, &options, &op);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    rc = ph_session_wait(session, op, GATE_TIMEOUT_MS);
    if (rc == 0) {
        const char *name = ph_op_result(op)->reply;
        remember_lock(session, name);
        rc = say_lock(session, name, priority, for_ms ? for_ms : hub->options.lock_timeout_ms);
    }
    ph_op_put(op);
    return rc;
}

static int say_unlocked(struct ph_session *session, const char *name, uint64_t changed)
{
    static const struct ph_column columns[] = {
        {.key = "name", .type = PH_COLUMN_TEXT},
        {.key = "changed", .type = PH_COLUMN_UINT},
    };
    if (!ph_session_is_json(session))
        return 0;
    struct ph_rows *rows =
        ph_session_rows(session, "unlocked", columns, PH_COUNT_OF(columns), true);
    ph_rows_str(rows, name);
    ph_rows_uint(rows, changed);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

int ph_command_unlock(struct ph_session *session, const struct ph_args *args)
{
    char newest[PH_NAME_MAX + 1] = "";
    const char *name = ph_args_text(args, "name");
    struct ph_hub *hub;
    struct ph_op *op;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    if (!name && session->lock_count == 0)
        return ph_session_error(session, NULL, PH_ENOTFOUND,
                                "this session holds no lock: unlock name=NAME, or name=all; "
                                "`locks` lists them");
    if (!name)
        snprintf(newest, sizeof newest, "%s", session->locks[session->lock_count - 1]);
    bool all = name && strcmp(name, "all") == 0;
    rc = ph_unlock(hub, all ? NULL : name ? name : newest, &op);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    rc = ph_session_wait(session, op, GATE_TIMEOUT_MS);
    uint64_t changed = ph_op_result(op)->changed;
    ph_op_put(op);
    /* A lock whose time was up is gone as well; only a wait that was cut short leaves it open. */
    if (all)
        session->lock_count = 0;
    else if (rc == 0 || rc == PH_ENOTFOUND)
        forget_lock(session, name ? name : newest);
    return rc < 0 ? rc : say_unlocked(session, all ? "all" : name ? name : newest, changed);
}

/* ---- locks, queue --------------------------------------------------------------------------- */

static void inspect_locks(const struct ph_hub *hub, struct ph_text *out)
{
    for (const struct ph_lock *lock = hub->gate.locks; lock; lock = lock->next) {
        ph_field_put(out, lock->name);
        ph_field_put(out, lock->reason);
        ph_field_uint(out, lock->level);
        ph_field_uint(out, hub->now_ms - lock->since_ms);
        ph_field_uint(out, lock->deadline_ms == UINT64_MAX   ? UINT64_MAX
                           : lock->deadline_ms > hub->now_ms ? lock->deadline_ms - hub->now_ms
                                                             : 0);
        ph_field_put(out, lock->discard ? "yes" : "");
        ph_field_put(out, lock->user ? "yes" : "");
        ph_field_row(out);
    }
}

int ph_command_locks(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column columns[] = {
        {.key = "name", .type = PH_COLUMN_TEXT},
        {.key = "priority", .type = PH_COLUMN_UINT},
        {.key = "reason", .type = PH_COLUMN_TEXT},
        {.key = "age_ms", .type = PH_COLUMN_DURATION},
        {.key = "left_ms", .type = PH_COLUMN_NULLABLE},
        {.key = "discard", .type = PH_COLUMN_BOOL},
        {.key = "user", .type = PH_COLUMN_BOOL},
    };
    (void)args;
    struct ph_hub *hub;
    struct ph_text text = PH_TEXT_INIT;
    const char *fields[7];
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = ph_session_inspect(session, hub, inspect_locks, &text);
    if (rc == 0) {
        struct ph_rows *rows =
            ph_session_rows(session, "lock", columns, PH_COUNT_OF(columns), false);
        char *cursor = text.data;
        while (ph_field_next(&cursor, fields, PH_COUNT_OF(fields))) {
            ph_rows_str(rows, fields[0]);
            ph_rows_uint(rows, strtoull(fields[2], NULL, 10));
            ph_rows_str(rows, fields[1]);
            ph_rows_uint(rows, strtoull(fields[3], NULL, 10));
            ph_rows_uint(rows, strtoull(fields[4], NULL, 10));
            ph_rows_bool(rows, fields[5][0]);
            ph_rows_bool(rows, fields[6][0]);
            ph_rows_end_row(rows);
        }
        rc = ph_rows_finish(rows);
    }
    ph_text_fini(&text);
    return rc;
}

static void inspect_queue(const struct ph_hub *hub, struct ph_text *out)
{
    for (const struct ph_gated *held = hub->gate.held_first; held; held = held->next) {
        const struct ph_event *event = ph_container_of(held, struct ph_event, gated);
        ph_field_uint(out, held->arrival);
        ph_field_put(out, event->type == PH_EVENT_DISPATCH ? event->dispatch.name
                                                           : ph_event_name(event->type));
        ph_field_uint(out, held->priority);
        ph_field_uint(out, hub->now_ms - held->since_ms);
        ph_field_row(out);
    }
}

int ph_command_queue(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column columns[] = {
        {.key = "seq", .type = PH_COLUMN_UINT},
        {.key = "event", .type = PH_COLUMN_TEXT},
        {.key = "priority", .type = PH_COLUMN_UINT},
        {.key = "age_ms", .type = PH_COLUMN_DURATION},
    };
    (void)args;
    struct ph_hub *hub;
    struct ph_text text = PH_TEXT_INIT;
    const char *fields[4];
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = ph_session_inspect(session, hub, inspect_queue, &text);
    if (rc == 0) {
        struct ph_rows *rows =
            ph_session_rows(session, "queued", columns, PH_COUNT_OF(columns), false);
        char *cursor = text.data;
        while (ph_field_next(&cursor, fields, PH_COUNT_OF(fields))) {
            ph_rows_uint(rows, strtoull(fields[0], NULL, 10));
            ph_rows_str(rows, fields[1]);
            ph_rows_uint(rows, strtoull(fields[2], NULL, 10));
            ph_rows_uint(rows, strtoull(fields[3], NULL, 10));
            ph_rows_end_row(rows);
        }
        rc = ph_rows_finish(rows);
    }
    ph_text_fini(&text);
    return rc;
}

/* ---- dispatch ------------------------------------------------------------------------------- */

static enum ph_audience members_of(const char *to, const char **nodes)
{
    *nodes = NULL;
    if (!to || strcmp(to, "global") == 0)
        return PH_MEMBERS_GLOBAL;
    if (strcmp(to, "local") == 0)
        return PH_MEMBERS_LOCAL;
    if (strcmp(to, "external") == 0)
        return PH_MEMBERS_EXTERNAL;
    *nodes = to;
    return PH_MEMBERS_NODES;
}

static int say_dispatched(struct ph_session *session, const char *event, const char *outcome)
{
    static const struct ph_column columns[] = {
        {.key = "event", .type = PH_COLUMN_TEXT},
        {.key = "outcome", .type = PH_COLUMN_TEXT},
    };
    if (!ph_session_is_json(session))
        return ph_session_line(session, outcome, strlen(outcome));
    struct ph_rows *rows =
        ph_session_rows(session, "dispatched", columns, PH_COUNT_OF(columns), true);
    ph_rows_str(rows, event);
    ph_rows_str(rows, outcome);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

int ph_command_dispatch(struct ph_session *session, const struct ph_args *args)
{
    const char *event = args->words[0]->text;
    uint64_t priority = 0;
    struct ph_hub *hub;
    struct ph_op *op;
    struct ph_error error = {0};
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    ph_args_number(args, "priority", &priority);
    struct ph_dispatch_options options = {
        .priority = (uint8_t)priority,
        .discard = ph_args_flag(args, "discard"),
    };
    options.members = members_of(ph_args_text(args, "to"), &options.nodes);
    const char *payload = ph_args_text(args, "payload");
    rc = ph_dispatch(hub, event, payload ? payload : "", &options, &op, &error);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s",
                                error.text[0] ? error.text : ph_error_text(rc));
    rc = ph_session_wait(session, op, GATE_TIMEOUT_MS);
    if (rc == 0)
        rc = say_dispatched(session, event, ph_op_result(op)->reply);
    ph_op_put(op);
    return rc;
}

/* ---- hooks ---------------------------------------------------------------------------------- */

enum hook_field {
    HOOK_ID,
    HOOK_NAME,
    HOOK_PRIORITY,
    HOOK_TIMEOUT,
    HOOK_EXEC,
    HOOK_CALLS,
    HOOK_FAILURES,
    HOOK_DROPPED,
    HOOK_WAITING,
    HOOK_ELAPSED,
    HOOK_ERROR,
    HOOK_FIELDS
};

static void inspect_hooks(const struct ph_hub *hub, struct ph_text *out)
{
    for (const struct ph_hook_handler *handler = hub->hooks.handlers; handler;
         handler = handler->next) {
        ph_field_put(out, handler->id);
        ph_field_put(out,
                     handler->hook < 0 ? handler->name : ph_hook_name((enum ph_hook)handler->hook));
        ph_text_printf(out, "%d%c", handler->priority, PH_FIELD_END);
        ph_field_uint(out, handler->timeout_ms);
        ph_field_put(out, handler->exec ? handler->exec : "");
        ph_field_uint(out, handler->calls);
        ph_field_uint(out, handler->failures);
        ph_field_uint(out, handler->dropped);
        ph_field_uint(out, handler->waiting);
        ph_field_uint(out, handler->elapsed_ms);
        ph_field_put(out, handler->last_error);
        ph_field_row(out);
    }
}

static void put_hook(struct ph_rows *rows, const char **fields)
{
    ph_rows_str(rows, fields[HOOK_ID]);
    ph_rows_str(rows, fields[HOOK_NAME]);
    ph_rows_str(rows, fields[HOOK_PRIORITY]);
    ph_rows_uint(rows, strtoull(fields[HOOK_TIMEOUT], NULL, 10));
    ph_rows_str(rows, fields[HOOK_EXEC][0] ? fields[HOOK_EXEC] : NULL);
    for (int field = HOOK_CALLS; field <= HOOK_ELAPSED; field++)
        ph_rows_uint(rows, strtoull(fields[field], NULL, 10));
    ph_rows_str(rows, fields[HOOK_ERROR][0] ? fields[HOOK_ERROR] : NULL);
    ph_rows_end_row(rows);
}

int ph_command_hooks(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column columns[] = {
        {.key = "id", .type = PH_COLUMN_TEXT},
        {.key = "hook", .type = PH_COLUMN_TEXT},
        {.key = "priority", .type = PH_COLUMN_JSON}, /* a signed number */
        {.key = "timeout_ms", .type = PH_COLUMN_DURATION, .wide = true},
        {.key = "exec", .type = PH_COLUMN_TEXT},
        {.key = "calls", .type = PH_COLUMN_UINT},
        {.key = "failures", .type = PH_COLUMN_UINT},
        {.key = "dropped", .type = PH_COLUMN_UINT, .wide = true},
        {.key = "waiting", .type = PH_COLUMN_UINT},
        {.key = "elapsed_ms", .type = PH_COLUMN_DURATION, .wide = true},
        {.key = "last_error", .type = PH_COLUMN_TEXT},
    };
    (void)args;
    struct ph_hub *hub;
    struct ph_text text = PH_TEXT_INIT;
    const char *fields[HOOK_FIELDS];
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = ph_session_inspect(session, hub, inspect_hooks, &text);
    if (rc == 0) {
        struct ph_rows *rows =
            ph_session_rows(session, "hook", columns, PH_COUNT_OF(columns), false);
        char *cursor = text.data;
        while (ph_field_next(&cursor, fields, HOOK_FIELDS))
            put_hook(rows, fields);
        rc = ph_rows_finish(rows);
    }
    ph_text_fini(&text);
    return rc;
}

static int say_hook(struct ph_session *session, const char *id, const char *hook, uint64_t changed)
{
    static const struct ph_column columns[] = {
        {.key = "id", .type = PH_COLUMN_TEXT},
        {.key = "hook", .type = PH_COLUMN_TEXT},
        {.key = "changed", .type = PH_COLUMN_UINT},
    };
    if (!ph_session_is_json(session))
        return ph_session_line(session, id, strlen(id));
    struct ph_rows *rows =
        ph_session_rows(session, "hook_added", columns, PH_COUNT_OF(columns), true);
    ph_rows_str(rows, id);
    ph_rows_str(rows, hook);
    ph_rows_uint(rows, changed);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

/* A name that is nearly a hook's is probably one that was mistyped; custom events may have any. */
static void note_near_hook(struct ph_session *session, const char *name)
{
    struct ph_nearest nearest = {0};
    for (int hook = 0; hook < PH_HOOKS; hook++) {
        if (strcmp(ph_hook_name((enum ph_hook)hook), name) == 0)
            return;
        ph_nearest_offer(&nearest, name, ph_hook_name((enum ph_hook)hook));
    }
    if (nearest.word)
        ph_session_note(session, "note: %s is a custom event; did you mean the hook %s?", name,
                        nearest.word);
}

static int parse_priority(struct ph_session *session, const struct ph_args *args, int *priority)
{
    const char *text = ph_args_text(args, "priority");
    char *end;
    *priority = 0;
    if (!text)
        return 0;
    long number = strtol(text, &end, 10);
    if (!*text || *end || number < -1000000 || number > 1000000)
        return ph_session_error(session, ph_args_value(args, "priority"), PH_EUSAGE,
                                "priority=%s: a whole number from -1000000 to 1000000", text);
    *priority = (int)number;
    return 0;
}

/* Is the same handler there already (a configuration script that runs again)? Its id into `id`. */
static int find_same(struct ph_session *session, struct ph_hub *hub,
                     const struct ph_hook_options *wanted, char *id, size_t size)
{
    struct ph_text text = PH_TEXT_INIT;
    const char *fields[HOOK_FIELDS];
    uint64_t timeout_ms = wanted->timeout_ms ? wanted->timeout_ms : 5000;
    int rc = ph_session_inspect(session, hub, inspect_hooks, &text);
    char *cursor = text.data;
    id[0] = '\0';
    while (rc == 0 && ph_field_next(&cursor, fields, HOOK_FIELDS))
        if (strcmp(fields[HOOK_NAME], wanted->hook) == 0 &&
            strcmp(fields[HOOK_EXEC], wanted->exec) == 0 &&
            atoi(fields[HOOK_PRIORITY]) == wanted->priority &&
            strtoull(fields[HOOK_TIMEOUT], NULL, 10) == timeout_ms &&
            (!wanted->id || strcmp(fields[HOOK_ID], wanted->id) == 0))
            snprintf(id, size, "%s", fields[HOOK_ID]);
    ph_text_fini(&text);
    return rc;
}

static int add_hook(struct ph_session *session, struct ph_hub *hub,
                    const struct ph_hook_options *options)
{
    struct ph_op *op;
    struct ph_error error = {0};
    int rc = ph_hook_add(hub, options, &op, &error);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s",
                                error.text[0] ? error.text : ph_error_text(rc));
    rc = ph_session_wait(session, op, GATE_TIMEOUT_MS);
    if (rc == 0)
        rc = say_hook(session, ph_op_result(op)->reply, options->hook, 1);
    ph_op_put(op);
    return rc;
}

int ph_command_hook_add(struct ph_session *session, const struct ph_args *args)
{
    char same[PH_NAME_MAX + 1];
    struct ph_hub *hub;
    struct ph_hook_options options = {
        .hook = args->words[0]->text,
        .id = ph_args_text(args, "id"),
        .exec = ph_args_text(args, "exec"),
    };
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    if (!options.exec)
        return ph_session_error(session, NULL, PH_EUSAGE, "what to run? hook add %s exec=PATH",
                                options.hook);
    rc = parse_priority(session, args, &options.priority);
    ph_args_number(args, "timeout", &options.timeout_ms);
    if (rc == 0)
        rc = find_same(session, hub, &options, same, sizeof same);
    if (rc < 0)
        return rc;
    if (same[0])
        return say_hook(session, same, options.hook, 0);
    note_near_hook(session, options.hook);
    return add_hook(session, hub, &options);
}

int ph_command_hook_remove(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column column = {.key = "id", .type = PH_COLUMN_TEXT};
    const char *id = args->words[0]->text;
    struct ph_hub *hub;
    struct ph_op *op;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    rc = ph_hook_remove(hub, id, &op);
    if (rc < 0)
        return ph_session_error(session, args->words[0], rc, "%s", ph_error_text(rc));
    rc = ph_session_wait(session, op, GATE_TIMEOUT_MS);
    ph_op_put(op);
    if (rc < 0 || !ph_session_is_json(session))
        return rc;
    struct ph_rows *rows = ph_session_rows(session, "hook_removed", &column, 1, true);
    ph_rows_str(rows, id);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}
