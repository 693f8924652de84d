#include "ipc/command_run.h"

#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/op.h"

/* ---- status --------------------------------------------------------------------------------- */

static const struct ph_column status_columns[] = {
    {.key = "node", .type = PH_COLUMN_TEXT},
    {.key = "hub", .type = PH_COLUMN_TEXT},
    {.key = "nodes", .type = PH_COLUMN_UINT},
    {.key = "children", .type = PH_COLUMN_UINT},
    {.key = "local", .type = PH_COLUMN_UINT},
    {.key = "starting", .type = PH_COLUMN_UINT},
    {.key = "running", .type = PH_COLUMN_UINT},
    {.key = "backoff", .type = PH_COLUMN_UINT},
    {.key = "stopping", .type = PH_COLUMN_UINT},
    {.key = "moving", .type = PH_COLUMN_UINT},
    {.key = "failed", .type = PH_COLUMN_UINT},
    {.key = "unknown", .type = PH_COLUMN_UINT},
    {.key = "migrating", .type = PH_COLUMN_UINT},
    {.key = "settled", .type = PH_COLUMN_BOOL},
    {.key = "partitioned", .type = PH_COLUMN_BOOL},
    {.key = "paused", .type = PH_COLUMN_BOOL},
    {.key = "locked", .type = PH_COLUMN_BOOL},
    {.key = "level", .type = PH_COLUMN_UINT},
    {.key = "holder", .type = PH_COLUMN_TEXT},
    {.key = "reason", .type = PH_COLUMN_TEXT},
    {.key = "lock_left_ms", .type = PH_COLUMN_NULLABLE},
    {.key = "locks", .type = PH_COLUMN_UINT},
    {.key = "held", .type = PH_COLUMN_UINT},
    {.key = "held_total", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "discarded", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "refused", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "expired", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "events", .type = PH_COLUMN_UINT},
    {.key = "steps", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "starts", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "restarts", .type = PH_COLUMN_UINT},
    {.key = "gave_up", .type = PH_COLUMN_UINT},
    {.key = "stopping_hub", .type = PH_COLUMN_BOOL, .wide = true},
    {.key = "uptime_ms", .type = PH_COLUMN_DURATION},
    {.key = "version", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "time", .type = PH_COLUMN_TIME, .wide = true},
    {.key = "quorum_seen", .type = PH_COLUMN_UINT, .wide = true},
    {.key = "quorum_needed", .type = PH_COLUMN_NULLABLE, .wide = true},
    {.key = "conflicts", .type = PH_COLUMN_UINT},
};

static uint64_t lock_left(const struct ph_status *status)
{
    uint64_t now_ms = ph_now_ms();
    if (!status->level || status->deadline_ms == UINT64_MAX)
        return UINT64_MAX;
    return status->deadline_ms > now_ms ? status->deadline_ms - now_ms : 0;
}

static void put_gate(struct ph_rows *rows, const struct ph_status *status)
{
    ph_rows_bool(rows, status->level > 0);
    ph_rows_uint(rows, status->level);
    ph_rows_str(rows, status->level ? status->holder : NULL);
    ph_rows_str(rows, status->level ? status->reason : NULL);
    ph_rows_uint(rows, lock_left(status));
    ph_rows_uint(rows, status->locks);
    ph_rows_uint(rows, status->held);
    ph_rows_uint(rows, status->held_total);
    ph_rows_uint(rows, status->discarded);
    ph_rows_uint(rows, status->refused);
    ph_rows_uint(rows, status->expired);
}

static void put_status(struct ph_session *session, struct ph_rows *rows,
                       const struct ph_status *status)
{
    ph_rows_str(rows, ph_node_name(session->node));
    ph_rows_str(rows, ph_hub_name(session->hub));
    ph_rows_uint(rows, status->nodes);
    ph_rows_uint(rows, status->children);
    ph_rows_uint(rows, session->hub->directory ? status->local : status->children);
    for (int state = 0; state < PH_STATES; state++)
        ph_rows_uint(rows, status->by_state[state]);
    ph_rows_uint(rows, status->migrating);
    ph_rows_bool(rows, status->settled);
    ph_rows_bool(rows, status->partitioned);
    ph_rows_bool(rows, status->paused);
    put_gate(rows, status);
    ph_rows_uint(rows, status->events);
    ph_rows_uint(rows, status->steps);
    ph_rows_uint(rows, status->starts);
    ph_rows_uint(rows, status->restarts);
    ph_rows_uint(rows, status->gave_up);
    ph_rows_bool(rows, status->stopping);
    ph_rows_uint(rows, ph_node_uptime_ms(session->node));
    ph_rows_uint(rows, status->version);
    ph_rows_time(rows, ph_wall_of(status->now_ms));
    struct ph_quorum quorum = ph_hub_quorum(session->hub);
    ph_rows_uint(rows, quorum.seen);
    ph_rows_uint(rows, quorum.needed ? quorum.needed : UINT64_MAX);
    ph_rows_uint(rows, status->conflicts);
    ph_rows_end_row(rows);
}

_Static_assert(PH_STATE_STARTING == 0 && PH_STATE_UNKNOWN == PH_STATES - 1,
               "the columns of the states are in the order of the states");

int ph_command_status(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    struct ph_status status;
    uint64_t after;
    int rc = ph_session_hub(session, &hub);
    if (rc == 0 && ph_args_number(args, "after", &after)) {
        uint64_t timeout_ms = ph_args_timeout(args, UINT64_MAX);
        rc = ph_wait_change(hub, after, timeout_ms, &session->waiter);
        if (rc == PH_ETIMEOUT)
            return ph_session_error(session, NULL, rc, "no change for %llu ms",
                                    (unsigned long long)timeout_ms);
        if (rc < 0)
            return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    }
    if (rc < 0)
        return rc;
    ph_status(hub, &status);
    struct ph_rows *rows =
        ph_session_rows(session, "status", status_columns, PH_COUNT_OF(status_columns), true);
    put_status(session, rows, &status);
    return ph_rows_finish(rows);
}

/* ---- hubs ----------------------------------------------------------------------------------- */

struct hub_list {
    struct ph_session *session;
    struct ph_rows *rows;
};

static bool put_hub(void *arg, struct ph_hub *hub)
{
    struct hub_list *list = arg;
    struct ph_status status;
    ph_status(hub, &status);
    ph_rows_str(list->rows, ph_hub_name(hub));
    ph_rows_bool(list->rows, hub == list->session->hub);
    ph_rows_str(list->rows, status.stopping ? "stopping" : "running");
    ph_rows_uint(list->rows, status.nodes);
    ph_rows_uint(list->rows, status.children);
    ph_rows_uint(list->rows, status.by_state[PH_STATE_RUNNING]);
    ph_rows_uint(list->rows, status.by_state[PH_STATE_FAILED]);
    ph_rows_bool(list->rows, status.level > 0);
    ph_rows_uint(list->rows, status.events);
    return ph_rows_end_row(list->rows) == 0;
}

int ph_command_hubs(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column columns[] = {
        {.key = "name", .type = PH_COLUMN_TEXT},     {.key = "in_use", .type = PH_COLUMN_BOOL},
        {.key = "state", .type = PH_COLUMN_TEXT},    {.key = "nodes", .type = PH_COLUMN_UINT},
        {.key = "children", .type = PH_COLUMN_UINT}, {.key = "running", .type = PH_COLUMN_UINT},
        {.key = "failed", .type = PH_COLUMN_UINT},   {.key = "locked", .type = PH_COLUMN_BOOL},
        {.key = "events", .type = PH_COLUMN_UINT},
    };
    (void)args;
    struct hub_list list = {
        .session = session,
        .rows = ph_session_rows(session, "hub", columns, PH_COUNT_OF(columns), false),
    };
    ph_node_each_hub(session->node, put_hub, &list);
    return ph_rows_finish(list.rows);
}

static int say_hub(struct ph_session *session, const char *type, const char *name, uint64_t changed)
{
    static const struct ph_column columns[] = {
        {.key = "name", .type = PH_COLUMN_TEXT},
        {.key = "changed", .type = PH_COLUMN_UINT},
    };
    if (!ph_session_is_json(session))
        return 0;
    struct ph_rows *rows = ph_session_rows(session, type, columns, PH_COUNT_OF(columns), true);
    ph_rows_str(rows, name);
    ph_rows_uint(rows, changed);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

/* A hub of that name is there: fine with the same options (a configuration that runs again). */
static int same_hub(struct ph_session *session, const struct ph_args *args, struct ph_hub *hub)
{
    struct ph_hub_options wanted;
    struct ph_error error = {0};
    const char *name = args->words[0]->text;
    int rc = ph_hub_options_parse(&wanted, args->keys, args->key_count, &error);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", error.text);
    struct ph_text have = PH_TEXT_INIT, want = PH_TEXT_INIT;
    ph_hub_options_print(&hub->options, &have);
    ph_hub_options_print(&wanted, &want);
    bool same = strcmp(ph_text_str(&have), ph_text_str(&want)) == 0;
    ph_text_fini(&have);
    ph_text_fini(&want);
    if (same)
        return say_hub(session, "hub_created", name, 0);
    return ph_session_error(session, args->words[0], PH_EEXISTS,
                            "there is a hub %s with other options: hub stop it first", name);
}

int ph_command_hub_create(struct ph_session *session, const struct ph_args *args)
{
    const char *name = args->words[0]->text;
    struct ph_hub *hub = ph_hub_get(session->node, name);
    struct ph_error error = {0};
    if (hub) {
        int same = same_hub(session, args, hub);
        ph_hub_put(hub);
        return same;
    }
    int rc = ph_hub_create(session->node, name, args->keys, args->key_count, &hub, &error);
    if (rc < 0)
        return ph_session_error(session, args->words[0], rc, "%s",
                                error.text[0] ? error.text : ph_error_text(rc));
    if (!session->hub)
        session->hub = hub;
    else
        ph_hub_put(hub);
    return say_hub(session, "hub_created", name, 1);
}

int ph_command_hub_stop(struct ph_session *session, const struct ph_args *args)
{
    const char *name = args->words[0]->text;
    struct ph_op *op;
    struct ph_error error = {0};
    struct ph_hub *hub = ph_hub_get(session->node, name);
    if (!hub)
        return ph_session_error(session, args->words[0], PH_ENOTFOUND,
                                "there is no hub %s; `hubs` lists them", name);
    int rc = ph_hub_stop(hub, &op, &error);
    if (rc < 0) {
        ph_session_error(session, NULL, rc, "%s", error.text[0] ? error.text : ph_error_text(rc));
    } else {
        rc = ph_session_wait(session, op, UINT64_MAX);
        ph_op_put(op);
    }
    if (rc == 0 && session->hub == hub) {
        ph_hub_put(session->hub);
        session->hub = NULL;
    }
    ph_hub_put(hub);
    return rc < 0 ? rc : say_hub(session, "hub_stopped", name, 1);
}

int ph_command_use(struct ph_session *session, const struct ph_args *args)
{
    const char *name = args->words[0]->text;
    struct ph_hub *hub = ph_hub_get(session->node, name);
    if (!hub)
        return ph_session_error(session, args->words[0], PH_ENOTFOUND,
                                "there is no hub %s; `hubs` lists them", name);
    bool changed = hub != session->hub;
    if (session->hub)
        ph_hub_put(session->hub);
    session->hub = hub;
    return say_hub(session, "use", name, changed);
}

/* ---- shutdown ------------------------------------------------------------------------------- */

int ph_command_shutdown(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column column = {.key = "node", .type = PH_COLUMN_TEXT};
    (void)args;
    if (!session->place.shutdown)
        return ph_session_error(session, NULL, PH_EREFUSED,
                                "the program around this node ends it; `exit` ends the script");
    session->place.shutdown(session->place.arg);
    if (!ph_session_is_json(session))
        return 0;
    struct ph_rows *rows = ph_session_rows(session, "shutdown", &column, 1, true);
    ph_rows_str(rows, ph_node_name(session->node));
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}
