#include "ipc/command_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/kind/modules.h"
#include "engine/kind/monitor.h"
#include "engine/members.h"
#include "engine/node.h"
#include "ipc/discovery.h"
#include "ipc/links.h"
#include "ipc/settings.h"

/* ---- modules -------------------------------------------------------------------------------- */

static void put_module(void *arg, const struct ph_module *module, const char *path)
{
    struct ph_rows *rows = arg;
    ph_rows_str(rows, module->name);
    ph_rows_str(rows, module->summary);
    ph_rows_str(rows, *path ? path : NULL);
    ph_rows_uint(rows, module->abi);
    ph_rows_bool(rows, module->save != NULL);
    ph_rows_end_row(rows);
}

int ph_command_modules(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column columns[] = {
        {.key = "name", .type = PH_COLUMN_TEXT},
        {.key = "summary", .type = PH_COLUMN_TEXT},
        {.key = "path", .type = PH_COLUMN_TEXT},
        {.key = "abi", .type = PH_COLUMN_UINT, .wide = true},
        {.key = "saves", .type = PH_COLUMN_BOOL, .wide = true},
    };
    (void)args;
    struct ph_rows *rows = ph_session_rows(session, "module", columns, PH_COUNT_OF(columns), false);
    ph_modules_each(session->node->modules, put_module, rows);
    return ph_rows_finish(rows);
}

int ph_command_module_load(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column column = {.key = "path", .type = PH_COLUMN_TEXT};
    struct ph_error error = {0};
    const char *path = args->words[0]->text;
    int rc = ph_module_load(session->node, path, &error);
    if (rc < 0)
        return ph_session_error(session, args->words[0], rc, "%s",
                                error.text[0] ? error.text : ph_error_text(rc));
    if (!ph_session_is_json(session))
        return 0;
    struct ph_rows *rows = ph_session_rows(session, "module_loaded", &column, 1, true);
    ph_rows_str(rows, path);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

/* ---- stats ---------------------------------------------------------------------------------- */

static const struct ph_column stats_columns[] = {
    {.key = "node", .type = PH_COLUMN_TEXT},
    {.key = "hub", .type = PH_COLUMN_TEXT},
    {.key = "uptime_ms", .type = PH_COLUMN_DURATION},
    {.key = "children", .type = PH_COLUMN_UINT},
    {.key = "steps", .type = PH_COLUMN_UINT},
    {.key = "step_total_ns", .type = PH_COLUMN_UINT},
    {.key = "step_p50_ns", .type = PH_COLUMN_UINT},
    {.key = "step_p99_ns", .type = PH_COLUMN_UINT},
    {.key = "step_max_ns", .type = PH_COLUMN_UINT},
    {.key = "step_max_type", .type = PH_COLUMN_TEXT},
    {.key = "step_max_cpu_ns", .type = PH_COLUMN_UINT},
    {.key = "step_max_cpu_type", .type = PH_COLUMN_TEXT},
    {.key = "queued", .type = PH_COLUMN_UINT},
    {.key = "events", .type = PH_COLUMN_UINT},
    {.key = "starts", .type = PH_COLUMN_UINT},
    {.key = "restarts", .type = PH_COLUMN_UINT},
    {.key = "gave_up", .type = PH_COLUMN_UINT},
    {.key = "held_total", .type = PH_COLUMN_UINT},
    {.key = "discarded", .type = PH_COLUMN_UINT},
    {.key = "refused", .type = PH_COLUMN_UINT},
    {.key = "expired", .type = PH_COLUMN_UINT},
    {.key = "stray_writes", .type = PH_COLUMN_UINT},
    {.key = "by_type", .type = PH_COLUMN_JSON},
    {.key = "by_worker", .type = PH_COLUMN_JSON},
    {.key = "scheduler", .type = PH_COLUMN_JSON},
    {.key = "monitor", .type = PH_COLUMN_JSON},
    {.key = "cluster", .type = PH_COLUMN_JSON},
    {.key = "links", .type = PH_COLUMN_JSON},
};

static void json_number(struct ph_text *out, const char *key, uint64_t number)
{
    char last = out->length ? out->data[out->length - 1] : '{';
    ph_text_printf(out, "%s\"%s\":%llu", last == '{' ? "" : ",", key, (unsigned long long)number);
}

static void put_types(struct ph_text *out, const uint64_t *count)
{
    ph_text_put(out, "{");
    for (int type = 0; type < PH_EVENT_TYPES; type++)
        if (count[type])
            json_number(out, ph_event_name((enum ph_event_type)type), count[type]);
    ph_text_put(out, "}");
}

static void put_workers(struct ph_text *out, const struct ph_stats_sum *sum)
{
    const char *comma = "";
    ph_text_put(out, "[");
    for (int worker = 0; worker < PH_STATS_WORKERS; worker++) {
        if (!sum->per_worker[worker])
            continue;
        ph_text_printf(out, "%s{\"worker\":%d,\"steps\":%llu,\"by_type\":", comma, worker,
                       (unsigned long long)sum->per_worker[worker]);
        put_types(out, sum->per_worker_type[worker]);
        ph_text_put(out, "}");
        comma = ",";
    }
    ph_text_put(out, "]");
}

static void put_scheduler(struct ph_text *out, const struct ph_sched *sched)
{
    struct ph_sched_stats stats;
    ph_sched_stats(sched, &stats);
    ph_text_put(out, "{");
    json_number(out, "workers", stats.workers);
    json_number(out, "spares", stats.spares);
    json_number(out, "runs", stats.runs);
    json_number(out, "parks", stats.parks);
    json_number(out, "slow", stats.slow);
    ph_text_put(out, "}");
}

static void put_monitor(struct ph_text *out, const struct ph_monitor *monitor)
{
    struct ph_monitor_stats stats;
    ph_monitor_stats_any(monitor, &stats);
    ph_text_put(out, "{");
    json_number(out, "spawned", stats.spawned);
    json_number(out, "reaped", stats.reaped);
    json_number(out, "alive", stats.alive);
    json_number(out, "keeper_starts", stats.keeper_starts);
    json_number(out, "strays_killed", stats.strays_killed);
    json_number(out, "notify_invalid", stats.notify_invalid);
    json_number(out, "log_bytes", stats.log_bytes);
    ph_text_put(out, "}");
}

/* The figures of the hub's cluster half; null on a node without links. */
static void put_cluster(struct ph_text *out, const struct ph_status *status, char *figures)
{
    const char *figure[2]; /* name, number */
    if (!figures) {
        ph_text_put(out, "null");
        return;
    }
    ph_text_put(out, "{");
    json_number(out, "nodes", status->nodes);
    json_number(out, "local", status->local);
    json_number(out, "migrating", status->migrating);
    while (ph_field_next(&figures, figure, PH_COUNT_OF(figure)))
        json_number(out, figure[0], strtoull(figure[1], NULL, 10));
    ph_text_put(out, "}");
}

static void put_link(struct ph_text *out, const struct ph_mesh_stats *stats)
{
    json_number(out, "rtt_us", stats->rtt_ms * 1000);
    json_number(out, "bytes_in", stats->bytes_in);
    json_number(out, "bytes_out", stats->bytes_out);
    json_number(out, "messages_in", stats->messages_in);
    json_number(out, "messages_out", stats->messages_out);
    json_number(out, "retransmits", stats->retransmits);
    json_number(out, "queued_bytes", stats->queued_bytes);
}

struct link_names {
    struct {
        char name[PH_NAME_MAX + 1];
        uint64_t peer;
    } list[PH_MEMBERS_MAX];
    size_t count;
};

static void copy_link_names(struct link_names *names, struct ph_hub *hub)
{
    ph_rcu_enter();
    const struct ph_members *members = hub->directory ? ph_members_rcu(hub) : NULL;
    for (uint16_t slot = 0; members && slot < members->count; slot++) {
        const struct ph_member_info *info = &members->list[slot];
        if (!info->peer)
            continue;
        memcpy(names->list[names->count].name, info->name, sizeof info->name);
        names->list[names->count++].peer = info->peer;
    }
    ph_rcu_exit();
}

/* null without a beacon. */
static void put_beacon(struct ph_text *out, struct ph_links *links)
{
    struct ph_discovery_stats stats;
    if (!ph_links_beacon_stats(links, &stats)) {
        ph_text_put(out, "null");
        return;
    }
    ph_text_put(out, "{");
    json_number(out, "sent", stats.sent);
    json_number(out, "heard", stats.heard);
    json_number(out, "malformed", stats.malformed);
    json_number(out, "foreign", stats.foreign);
    json_number(out, "called", stats.called);
    json_number(out, "limited", stats.limited);
    ph_text_put(out, "}");
}

/* All links together, each by the name of its node, and what was refused, by reason. */
static void put_links(struct ph_text *out, struct ph_session *session)
{
    struct ph_links *links = session->place.links;
    struct ph_mesh_stats stats = {0};
    if (!links) {
        ph_text_put(out, "null");
        return;
    }
    struct link_names *names = ph_alloc(sizeof *names);
    copy_link_names(names, session->hub);
    ph_links_stats(links, 0, &stats);
    ph_text_put(out, "{");
    put_link(out, &stats);
    ph_text_put(out, ",\"refused\":{");
    for (int reason = 0; reason < PH_MESH_REFUSALS; reason++)
        json_number(out, ph_mesh_refusal_name((enum ph_mesh_refusal)reason), stats.refused[reason]);
    ph_text_put(out, "},\"beacon\":");
    put_beacon(out, links);
    ph_text_put(out, ",\"peers\":{");
    for (size_t i = 0; i < names->count; i++) {
        ph_links_stats(links, names->list[i].peer, &stats);
        ph_text_printf(out, "%s\"%s\":{", i ? "," : "", names->list[i].name);
        put_link(out, &stats);
        ph_text_put(out, "}");
    }
    ph_text_put(out, "}}");
    ph_free(names);
}

static void put_steps(struct ph_rows *rows, const struct ph_stats_sum *sum)
{
    ph_rows_uint(rows, sum->steps);
    ph_rows_uint(rows, sum->ns);
    ph_rows_uint(rows, sum->p50_ns);
    ph_rows_uint(rows, sum->p99_ns);
    ph_rows_uint(rows, sum->max_ns);
    ph_rows_str(rows, sum->max_ns ? ph_event_name(sum->max_type) : NULL);
    ph_rows_uint(rows, sum->max_cpu_ns);
    ph_rows_str(rows, sum->max_cpu_ns ? ph_event_name(sum->max_cpu_type) : NULL);
}

static void put_stats(struct ph_session *session, struct ph_rows *rows,
                      const struct ph_stats_sum *sum, char *figures)
{
    struct ph_host *host = ph_host_of(session->hub);
    struct ph_text json = PH_TEXT_INIT;
    struct ph_status status;
    ph_status(session->hub, &status);
    ph_rows_str(rows, ph_node_name(session->node));
    ph_rows_str(rows, ph_hub_name(session->hub));
    ph_rows_uint(rows, ph_node_uptime_ms(session->node));
    ph_rows_uint(rows, status.children);
    put_steps(rows, sum);
    /* Relaxed: a figure for people. */
    ph_rows_uint(rows, atomic_load_explicit(&host->queued, memory_order_relaxed));
    ph_rows_uint(rows, status.events);
    ph_rows_uint(rows, status.starts);
    ph_rows_uint(rows, status.restarts);
    ph_rows_uint(rows, status.gave_up);
    ph_rows_uint(rows, status.held_total);
    ph_rows_uint(rows, status.discarded);
    ph_rows_uint(rows, status.refused);
    ph_rows_uint(rows, status.expired);
    ph_rows_uint(rows, ph_registry_stray_writes(session->hub->registry));
    put_types(&json, sum->count);
    ph_rows_str(rows, json.data);
    ph_text_clear(&json);
    put_workers(&json, sum);
    ph_rows_str(rows, json.data);
    ph_text_clear(&json);
    put_scheduler(&json, session->node->sched);
    ph_rows_str(rows, json.data);
    ph_text_clear(&json);
    put_monitor(&json, session->node->monitor);
    ph_rows_str(rows, json.data);
    ph_text_clear(&json);
    put_cluster(&json, &status, figures);
    ph_rows_str(rows, json.data);
    ph_text_clear(&json);
    put_links(&json, session);
    ph_rows_str(rows, json.data);
    ph_text_fini(&json);
    ph_rows_end_row(rows);
}

int ph_command_stats(struct ph_session *session, const struct ph_args *args)
{
    (void)args;
    struct ph_hub *hub;
    struct ph_stats_sum sum;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    struct ph_text figures = PH_TEXT_INIT; /* of the hub's cluster half */
    if (hub->directory)
        rc = ph_session_inspect(session, hub, ph_cluster_inspect, &figures);
    if (rc < 0)
        return rc;
    ph_stats_read(ph_host_of(hub)->stats, &sum);
    struct ph_rows *rows =
        ph_session_rows(session, "stats", stats_columns, PH_COUNT_OF(stats_columns), true);
    put_stats(session, rows, &sum, figures.data);
    ph_text_fini(&figures);
    return ph_rows_finish(rows);
}

/* ---- config, node --------------------------------------------------------------------------- */

static const struct ph_column config_columns[] = {
    {.key = "scope", .type = PH_COLUMN_TEXT},  {.key = "key", .type = PH_COLUMN_TEXT},
    {.key = "value", .type = PH_COLUMN_TEXT},  {.key = "unit", .type = PH_COLUMN_TEXT},
    {.key = "source", .type = PH_COLUMN_TEXT},
};

static void put_setting(struct ph_rows *rows, const char *const *fields)
{
    for (size_t i = 0; i < PH_COUNT_OF(config_columns); i++)
        ph_rows_str(rows, fields[i] && *fields[i] ? fields[i] : NULL);
    ph_rows_end_row(rows);
}

static void put_node_settings(struct ph_session *session, struct ph_rows *rows)
{
    const struct ph_settings *settings = session->place.settings;
    for (int key = 0; settings && key < PH_SETTINGS; key++) {
        enum ph_setting_key name = (enum ph_setting_key)key;
        const char *const fields[] = {"node", ph_setting_name(name), settings->list[key].value,
                                      ph_setting_unit(name), settings->list[key].source};
        put_setting(rows, fields);
    }
}

/* Is the value (a number in `unit`) what the default (as people write it) says? */
static bool is_default(const char *value, const char *fallback, const char *unit)
{
    uint64_t said, given;
    bool known = strcmp(unit, "ms") == 0          ? ph_parse_duration(fallback, &said)
                 : strncmp(unit, "bytes", 5) == 0 ? ph_parse_size(fallback, &said)
                                                  : false;
    if (known && ph_parse_uint(value, UINT64_MAX, &given))
        return said == given;
    return strcmp(value, fallback) == 0;
}

static void put_hub_settings(struct ph_hub *hub, struct ph_rows *rows)
{
    struct ph_text text = PH_TEXT_INIT;
    const char *option[4]; /* key, value, default, unit */
    ph_hub_options_print(&hub->options, &text);
    char *cursor = text.data;
    while (ph_field_next(&cursor, option, PH_COUNT_OF(option))) {
        bool same = is_default(option[1], option[2], option[3]);
        const char *const fields[] = {hub->name, option[0], option[1], option[3],
                                      same ? "default" : "option"};
        put_setting(rows, fields);
    }
    ph_text_fini(&text);
}

static void put_limits(struct ph_rows *rows)
{
    static const struct {
        const char *key;
        unsigned long long value;
        const char *unit;
    } limits[] = {
        {"hubs", PH_HUBS_MAX, "hubs"},
        {"children", PH_CHILDREN_MAX, "children of a hub"},
        {"message", PH_MESSAGE_BYTES_MAX, "bytes"},
        {"mailbox", PH_MAILBOX_MAX, "messages"},
        {"spec", PH_SPEC_BYTES_MAX, "bytes"},
        {"locks", PH_LOCKS_MAX, "locks"},
        {"held", PH_GATE_HELD_MAX, "events"},
        {"queue", PH_QUEUE_MAX, "requests"},
        {"hooks", PH_HOOKS_MAX, "handlers"},
        {"history", (unsigned long long)PH_HISTORY_CHUNK_BYTES * PH_HISTORY_CHUNKS, "bytes"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(limits); i++) {
        char value[24];
        snprintf(value, sizeof value, "%llu", limits[i].value);
        const char *const fields[] = {"limit", limits[i].key, value, limits[i].unit, "built-in"};
        put_setting(rows, fields);
    }
}

static void put_bound(struct ph_rows *rows, const char *key, uint64_t ms, const char *source)
{
    char value[24];
    snprintf(value, sizeof value, "%llu", (unsigned long long)ms);
    const char *const fields[] = {"bound", key, value, "ms", source};
    put_setting(rows, fields);
}

/* So early that the others can agree on the view before the silent one is dead. */
static uint64_t suspicion_ms(const struct ph_node *node)
{
    uint64_t margin_ms = 2 * node->heartbeat_ms;
    return node->dead_after_ms > 2 * margin_ms ? node->dead_after_ms - margin_ms
                                               : node->dead_after_ms / 2;
}

/* What follows from the times of failure detection. */
static void put_bounds(const struct ph_node *node, struct ph_rows *rows)
{
    if (!node->links.port)
        return;
    put_bound(rows, "suspicion", suspicion_ms(node), "silence after which a node is a suspect");
    put_bound(rows, "failover", node->dead_after_ms + node->heartbeat_ms,
              "at worst, from a node's end to the start of its children elsewhere");
    put_bound(rows, "fencing", node->lease_ms,
              "without a quorum (partition=majority) a node stops its children after that");
    put_bound(rows, "fencing_margin", node->dead_after_ms - node->lease_ms,
              "between their end here and their start elsewhere");
}

int ph_command_config(struct ph_session *session, const struct ph_args *args)
{
    (void)args;
    struct ph_rows *rows =
        ph_session_rows(session, "setting", config_columns, PH_COUNT_OF(config_columns), false);
    put_node_settings(session, rows);
    if (session->hub)
        put_hub_settings(session->hub, rows);
    put_bounds(session->node, rows);
    put_limits(rows);
    return ph_rows_finish(rows);
}

/* The node is set up before a configuration runs; its `node` line then only has to agree. */
static int check_setting(struct ph_session *session, char *pair)
{
    static const struct ph_settings none = {0};
    const struct ph_settings *settings = session->place.settings;
    const char *have = NULL;
    bool differ = false;
    struct ph_error error = {0};
    char *value = strchr(pair, '=');
    *value++ = '\0';
    int rc = ph_settings_differ(settings ? settings : &none, pair, value, &differ, &have, &error);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", error.text);
    if (strcmp(pair, "name") == 0 && strcmp(value, ph_node_name(session->node)) == 0)
        return 0;
    if (!differ)
        return 0;
    return ph_session_error(session, NULL, PH_EREFUSED,
                            "%s is set when the node starts: it is %s, restart the node to "
                            "change it",
                            pair, have ? have : "not set");
}

int ph_command_node(struct ph_session *session, const struct ph_args *args)
{
    for (size_t i = 0; i < args->key_count; i++) {
        char pair[1024];
        snprintf(pair, sizeof pair, "%s", args->keys[i]);
        int rc = strchr(pair, '=') ? check_setting(session, pair) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}
