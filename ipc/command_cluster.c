#include "ipc/command_run.h"

#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/op.h"
#include "ipc/links.h"
#include "ipc/plan.h"
#include "ipc/subject.h"

/* ---- nodes ---------------------------------------------------------------------------------- */

static const struct ph_column node_columns[] = {
    {.key = "name", .type = PH_COLUMN_TEXT},
    {.key = "endpoint", .type = PH_COLUMN_TEXT},
    {.key = "state", .type = PH_COLUMN_TEXT},
    {.key = "self", .type = PH_COLUMN_BOOL},
    {.key = "children", .type = PH_COLUMN_UINT},
    {.key = "uptime_ms", .type = PH_COLUMN_DURATION},
    {.key = "rtt_us", .type = PH_COLUMN_NULLABLE},
    {.key = "in_view", .type = PH_COLUMN_BOOL, .wide = true},
    {.key = "draining", .type = PH_COLUMN_BOOL, .wide = true},
    {.key = "since", .type = PH_COLUMN_TIME, .wide = true},
};

/* The members, copied: nobody writes inside a read section. NULL: the node has no links. */
struct members {
    size_t count;
    struct member {
        struct ph_member_info info;
        uint64_t children;
    } list[];
};

static struct members *copy_members(struct ph_hub *hub)
{
    struct members *copy = NULL;
    ph_rcu_enter();
    const struct ph_members *members = hub->directory ? ph_members_rcu(hub) : NULL;
    if (members) {
        copy = ph_alloc(sizeof *copy + members->count * sizeof *copy->list);
        for (uint16_t slot = 0; slot < members->count; slot++) {
            if (members->list[slot].state == PH_MEMBER_LEFT)
                continue;
            copy->list[copy->count].info = members->list[slot];
            copy->list[copy->count++].children = ph_directory_placed(hub->directory, slot);
        }
    }
    ph_rcu_exit();
    return copy;
}

/* A node that is linked and has never said a word of this hub does not run it. */
static const char *shown_state(const struct ph_member_info *info)
{
    if (info->state == PH_MEMBER_DOWN && info->peer && !info->generation)
        return "no-hub";
    return info->draining && info->state == PH_MEMBER_UP ? "draining"
                                                         : ph_member_state_name(info->state);
}

static uint64_t rtt_of(const struct ph_session *session, const struct ph_member_info *info)
{
    struct ph_mesh_stats stats = {0};
    if (session->place.links && info->peer)
        ph_links_stats(session->place.links, info->peer, &stats);
    return stats.frames_in ? stats.rtt_ms * 1000 : UINT64_MAX;
}

static void put_member(struct ph_session *session, struct ph_rows *rows,
                       const struct member *member)
{
    const struct ph_member_info *info = &member->info;
    bool gone = info->state == PH_MEMBER_DOWN;
    uint64_t now_ms = ph_now_ms();
    bool began = info->started_ms && info->started_ms < now_ms;
    uint64_t uptime_ms = began && !gone ? now_ms - info->started_ms : 0;
    ph_rows_str(rows, info->name);
    ph_rows_str(rows, info->endpoint[0] ? info->endpoint : NULL);
    ph_rows_str(rows, shown_state(info));
    ph_rows_bool(rows, info->self);
    ph_rows_uint(rows, member->children);
    ph_rows_uint(rows, info->self ? ph_node_uptime_ms(session->node) : uptime_ms);
    ph_rows_uint(rows, rtt_of(session, info));
    ph_rows_bool(rows, info->in_view);
    ph_rows_bool(rows, info->draining);
    ph_rows_time(rows, ph_wall_of(info->since_ms));
    ph_rows_end_row(rows);
}

/* The member that a node without links is. */
static void put_self(struct ph_session *session, struct ph_rows *rows)
{
    struct member self = {
        .info = {.state = PH_MEMBER_UP,
                 .self = true,
                 .in_view = true,
                 .since_ms = session->node->started_ms},
        .children = ph_count(session->hub),
    };
    memcpy(self.info.name, session->node->name, sizeof self.info.name);
    put_member(session, rows, &self);
}

static bool note_trouble(void *arg, const char *endpoint, const char *text)
{
    ph_session_note(arg, "%s: %s", endpoint, text);
    return true;
}

int ph_command_nodes(struct ph_session *session, const struct ph_args *args)
{
    (void)args;
    struct ph_hub *hub;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    struct members *members = copy_members(hub);
    struct ph_rows *rows =
        ph_session_rows(session, "node", node_columns, PH_COUNT_OF(node_columns), false);
    for (size_t i = 0; members && i < members->count; i++)
        put_member(session, rows, &members->list[i]);
    if (!members)
        put_self(session, rows);
    ph_free(members);
    int finished = ph_rows_finish(rows);
    if (session->place.links && !ph_session_is_json(session))
        ph_links_each_trouble(session->place.links, note_trouble, session);
    return finished;
}

/* ---- owner ---------------------------------------------------------------------------------- */

/* The name of the node where that id belongs; "" when there is none. */
static void find_owner(struct ph_session *session, const char *id, size_t length,
                       char name[PH_NAME_MAX + 1])
{
    struct ph_hub *hub = session->hub;
    const char *found = hub->directory ? "" : session->node->name;
    ph_rcu_enter();
    const struct ph_members *members = hub->directory ? ph_members_rcu(hub) : NULL;
    if (members) {
        const struct ph_entry *entry = ph_directory_find_rcu(hub->directory, id, length);
        uint16_t slot = ph_members_owner(members, ph_name_hash(id, length), entry);
        found = slot < members->count ? members->list[slot].name : "";
    }
    memcpy(name, found, strlen(found) + 1);
    ph_rcu_exit();
}

static int read_ids(struct ph_session *session, const struct ph_args *args, struct ph_ids *ids)
{
    struct ph_error error = {0};
    for (size_t i = 0; i < args->word_count; i++) {
        const struct ph_word *word = args->words[i];
        int rc = word->quoted ? ph_ids_add(ids, word->text, word->length)
                              : ph_ids_add_range(ids, word->text, &error);
        if (rc < 0)
            return ph_session_error(session, word, rc, "%s",
                                    error.text[0] ? error.text : "not an id");
    }
    return 0;
}

int ph_command_owner(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column columns[] = {
        {.key = "id", .type = PH_COLUMN_TEXT},
        {.key = "nodes", .type = PH_COLUMN_LIST},
    };
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = read_ids(session, args, &ids);
    if (rc == 0) {
        struct ph_rows *rows =
            ph_session_rows(session, "owner", columns, PH_COUNT_OF(columns), false);
        size_t cursor = 0, length;
        char name[PH_NAME_MAX + 1];
        for (const char *id; rc == 0 && (id = ph_ids_next(&ids, &cursor, &length));) {
            find_owner(session, id, length, name);
            ph_rows_text(rows, id, length);
            ph_rows_str(rows, name);
            rc = ph_rows_end_row(rows);
        }
        int finished = ph_rows_finish(rows);
        rc = rc < 0 ? rc : finished;
    }
    ph_ids_fini(&ids);
    return rc;
}

/* ---- plan ----------------------------------------------------------------------------------- */

static void put_plan_json(struct ph_text *rows, struct ph_text *unavailable,
                          const struct ph_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct ph_plan_row *row = &plan->rows[i];
        ph_text_put(rows, rows->length ? ",{\"id\":" : "[{\"id\":");
        ph_text_json(rows, row->id, strlen(row->id));
        ph_text_printf(rows, ",\"from\":\"%s\",\"to\":", row->from);
        ph_text_printf(rows, row->to[0] ? "\"%s\"}" : "null}", row->to);
        if (row->to[0])
            continue;
        ph_text_put(unavailable, unavailable->length ? "," : "[");
        ph_text_json(unavailable, row->id, strlen(row->id));
    }
    ph_text_put(rows, rows->length ? "]" : "[]");
    ph_text_put(unavailable, unavailable->length ? "]" : "[]");
}

/* For programs: one object. */
static int say_plan_object(struct ph_session *session, const struct ph_plan *plan)
{
    static const struct ph_column columns[] = {
        {.key = "moves", .type = PH_COLUMN_UINT},
        {.key = "bytes", .type = PH_COLUMN_NULLABLE},
        {.key = "unavailable", .type = PH_COLUMN_JSON},
        {.key = "rows", .type = PH_COLUMN_JSON},
    };
    struct ph_text rows_json = PH_TEXT_INIT, unavailable = PH_TEXT_INIT;
    put_plan_json(&rows_json, &unavailable, plan);
    struct ph_rows *rows = ph_session_rows(session, "plan", columns, PH_COUNT_OF(columns), true);
    ph_rows_uint(rows, plan->moves);
    ph_rows_uint(rows, UINT64_MAX); /* how large a state is, its child knows */
    ph_rows_str(rows, unavailable.data);
    ph_rows_str(rows, rows_json.data);
    ph_rows_end_row(rows);
    ph_text_fini(&rows_json);
    ph_text_fini(&unavailable);
    return ph_rows_finish(rows);
}

/* For people and pipes: the moves, and their number as a remark. */
static int say_plan_rows(struct ph_session *session, const struct ph_plan *plan)
{
    static const struct ph_column columns[] = {
        {.key = "id", .type = PH_COLUMN_TEXT},
        {.key = "from", .type = PH_COLUMN_TEXT},
        {.key = "to", .type = PH_COLUMN_TEXT},
    };
    struct ph_rows *rows =
        ph_session_rows(session, "plan_row", columns, PH_COUNT_OF(columns), false);
    for (size_t i = 0; i < plan->count; i++) {
        const struct ph_plan_row *row = &plan->rows[i];
        ph_rows_str(rows, row->id);
        ph_rows_str(rows, row->from);
        ph_rows_str(rows, row->to[0] ? row->to : NULL);
        ph_rows_end_row(rows);
    }
    int rc = ph_rows_finish(rows);
    ph_session_note(session, "%llu children would move%s", (unsigned long long)plan->moves,
                    plan->moves > plan->count ? "; some of them are listed" : "");
    if (plan->unavailable)
        ph_session_note(session, "%llu of them would have no node to run on",
                        (unsigned long long)plan->unavailable);
    return rc;
}

int ph_command_plan(struct ph_session *session, const struct ph_args *args)
{
    static const char *const kinds[] = {
        [PH_PLAN_JOIN] = "join", [PH_PLAN_LEAVE] = "leave", [PH_PLAN_DRAIN] = "drain"};
    const struct ph_word *verb = args->words[0], *node = args->words[1];
    struct ph_hub *hub;
    struct ph_plan plan;
    struct ph_error error = {0};
    size_t kind = 0;
    while (kind < PH_COUNT_OF(kinds) && strcmp(verb->text, kinds[kind]) != 0)
        kind++;
    if (kind == PH_COUNT_OF(kinds))
        return ph_session_error(session, verb, PH_EUSAGE,
                                "plan what? join NAME, leave NODE or drain NODE");
    if (!ph_name_is_valid(node->text))
        return ph_session_error(session, node, PH_EUSAGE,
                                "a node's name is 1 to 64 characters of A-Z a-z 0-9 . _ -");
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    rc = ph_plan_make(hub, (enum ph_plan_kind)kind, node->text, &plan, &error);
    if (rc < 0)
        return ph_session_error(session, node, rc, "%s", error.text);
    rc = ph_session_is_json(session) ? say_plan_object(session, &plan)
                                     : say_plan_rows(session, &plan);
    ph_plan_fini(&plan);
    return rc;
}

/* ---- quorum --------------------------------------------------------------------------------- */

static const struct ph_column quorum_columns[] = {
    {.key = "partitioned", .type = PH_COLUMN_BOOL}, {.key = "seen", .type = PH_COLUMN_UINT},
    {.key = "needed", .type = PH_COLUMN_NULLABLE},  {.key = "size", .type = PH_COLUMN_UINT},
    {.key = "strategy", .type = PH_COLUMN_TEXT},
};

struct ph_quorum ph_hub_quorum(struct ph_hub *hub)
{
    struct ph_quorum quorum = {.seen = 1, .size = 1};
    ph_rcu_enter();
    const struct ph_members *members = hub->directory ? ph_members_rcu(hub) : NULL;
    if (members)
        quorum = (struct ph_quorum){.partitioned = members->partitioned,
                                    .seen = members->quorum_seen,
                                    .needed = members->quorum_needed,
                                    .size = members->quorum_max};
    ph_rcu_exit();
    return quorum;
}

static int say_quorum(struct ph_session *session, struct ph_hub *hub)
{
    struct ph_quorum quorum = ph_hub_quorum(hub);
    bool majority = hub->options.partition == PH_PARTITION_MAJORITY;
    struct ph_rows *rows =
        ph_session_rows(session, "quorum", quorum_columns, PH_COUNT_OF(quorum_columns), true);
    ph_rows_bool(rows, quorum.partitioned);
    ph_rows_uint(rows, quorum.seen);
    ph_rows_uint(rows, quorum.needed ? quorum.needed : UINT64_MAX);
    ph_rows_uint(rows, quorum.size);
    ph_rows_str(rows, majority ? "majority" : "diverge");
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

static int reset_quorum(struct ph_session *session, const struct ph_args *args, struct ph_hub *hub)
{
    uint64_t size = 0;
    struct ph_op *op;
    const struct ph_word *word = args->words[0];
    if (strcmp(word->text, "reset") != 0)
        return ph_session_error(session, word, PH_EUSAGE, "quorum, or quorum reset [N]");
    if (args->word_count > 1 &&
        (!ph_parse_uint(args->words[1]->text, PH_MEMBERS_MAX, &size) || size == 0))
        return ph_session_error(session, args->words[1], PH_EUSAGE,
                                "quorum reset: a number of nodes from 1 to %d", PH_MEMBERS_MAX);
    if (!hub->directory)
        return ph_session_error(session, NULL, PH_EREFUSED,
                                "this node has no links: it is always a quorum of its own");
    int rc = ph_quorum_reset(hub, size, &op);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    rc = ph_session_wait(session, op, ph_args_timeout(args, UINT64_MAX));
    ph_op_put(op);
    return rc < 0 ? rc : say_quorum(session, hub);
}

int ph_command_quorum(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    return args->word_count ? reset_quorum(session, args, hub) : say_quorum(session, hub);
}

/* ---- migrations ----------------------------------------------------------------------------- */

static const struct ph_column migration_columns[] = {
    {.key = "id", .type = PH_COLUMN_TEXT},         {.key = "from", .type = PH_COLUMN_TEXT},
    {.key = "to", .type = PH_COLUMN_TEXT},         {.key = "phase", .type = PH_COLUMN_TEXT},
    {.key = "mode", .type = PH_COLUMN_TEXT},       {.key = "bytes", .type = PH_COLUMN_BYTES},
    {.key = "age_ms", .type = PH_COLUMN_DURATION}, {.key = "error", .type = PH_COLUMN_TEXT},
};

static int put_migration(struct ph_rows *rows, const char *const *fields)
{
    for (size_t i = 0; i < 5; i++)
        ph_rows_str(rows, fields[i][0] ? fields[i] : NULL);
    ph_rows_uint(rows, strtoull(fields[5], NULL, 10));
    ph_rows_uint(rows, strtoull(fields[6], NULL, 10));
    ph_rows_str(rows, fields[7][0] ? fields[7] : NULL);
    return ph_rows_end_row(rows);
}

static int order_moves(struct ph_session *session, const struct ph_word *word, unsigned order)
{
    struct ph_hub *hub;
    struct ph_op *op;
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = ph_moves(hub, (enum ph_moves_order)order, &op);
    if (rc < 0)
        return ph_session_error(session, word, rc, "%s", ph_error_text(rc));
    return ph_session_report(session, op, "migrations", false, UINT64_MAX);
}

/* The words behind the first one are the TARGET. */
static int steer_moves(struct ph_session *session, const struct ph_args *args, bool abort)
{
    struct ph_args rest = *args;
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    struct ph_op *op;
    rest.words++;
    int rc = ph_session_targets(session, &rest, args->word_count - 1, &hub, &ids);
    if (rc < 0)
        return rc;
    rc = abort ? ph_moves_abort(hub, &ids, &op) : ph_moves_retry(hub, &ids, &op);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, args->words[0], rc, "%s", ph_error_text(rc));
    return ph_session_report(session, op, "migrations", false, UINT64_MAX);
}

static int change_moves(struct ph_session *session, const struct ph_args *args)
{
    static const char *const words[] = {"resume", "pause", "cancel", "retry", "abort"};
    const struct ph_word *word = args->words[0];
    unsigned order = 0;
    while (order < PH_COUNT_OF(words) && strcmp(word->text, words[order]) != 0)
        order++;
    if (order > PH_MOVES_CANCEL && order < PH_COUNT_OF(words))
        return steer_moves(session, args, order == PH_COUNT_OF(words) - 1);
    if (order == PH_COUNT_OF(words) || args->word_count > 1 || args->expr)
        return ph_session_error(session, word, PH_EUSAGE,
                                "migrations, migrations pause|resume|cancel, or migrations "
                                "retry|abort TARGET");
    return order_moves(session, word, order);
}

int ph_command_migrations(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    if (args->word_count)
        return change_moves(session, args);
    struct ph_text text = PH_TEXT_INIT;
    const char *fields[PH_COUNT_OF(migration_columns)];
    int rc = ph_session_hub(session, &hub);
    if (rc == 0 && hub->directory)
        rc = ph_session_inspect(session, hub, ph_moves_inspect, &text);
    if (rc == 0) {
        struct ph_rows *rows = ph_session_rows(session, "migration", migration_columns,
                                               PH_COUNT_OF(migration_columns), false);
        char *cursor = text.data;
        while (rc == 0 && ph_field_next(&cursor, fields, PH_COUNT_OF(fields)))
            rc = put_migration(rows, fields);
        int finished = ph_rows_finish(rows);
        rc = rc < 0 ? rc : finished;
    }
    ph_text_fini(&text);
    return rc;
}

/* ---- join, leave ---------------------------------------------------------------------------- */

/* A hub that has left comes back with the nodes that are linked already, too. */
static int join_again(struct ph_session *session)
{
    struct ph_hub *hub;
    struct ph_op *op;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    rc = ph_join(hub, &op);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    rc = ph_session_wait(session, op, UINT64_MAX);
    ph_op_put(op);
    return rc;
}

int ph_command_join(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column column = {.key = "endpoint", .type = PH_COLUMN_TEXT};
    const struct ph_word *word = args->words[0];
    struct ph_error error = {0};
    if (!session->place.links)
        return ph_session_error(session, NULL, PH_EREFUSED,
                                "this node has no links: start it with --listen "
                                "'tcp://127.0.0.1:*'");
    int rc = ph_links_join(session->place.links, word->text, &error);
    if (rc < 0)
        return ph_session_error(session, word, rc, "%s",
                                error.text[0] ? error.text : ph_error_text(rc));
    rc = join_again(session);
    if (rc < 0 || !ph_session_is_json(session))
        return rc;
    struct ph_rows *rows = ph_session_rows(session, "joining", &column, 1, true);
    ph_rows_str(rows, word->text);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

int ph_command_leave(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    struct ph_op *op;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    if (!hub->directory)
        return ph_session_under_way(session, "left", false); /* it is alone as it is */
    rc = ph_leave(hub, &op);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    return ph_session_report(session, op, "left", false, ph_args_timeout(args, UINT64_MAX));
}
