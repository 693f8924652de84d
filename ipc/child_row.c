#include "ipc/child_row.h"

#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/spec.h"

const struct ph_column ph_child_columns[PH_CHILD_COLUMNS] = {
    {.key = "id", .type = PH_COLUMN_TEXT},
    {.key = "kind", .type = PH_COLUMN_TEXT},
    {.key = "nodes", .type = PH_COLUMN_LIST},
    {.key = "state", .type = PH_COLUMN_TEXT},
    {.key = "mode", .type = PH_COLUMN_TEXT, .wide = true},
    {.key = "pid", .type = PH_COLUMN_NULLABLE},
    {.key = "restarts", .type = PH_COLUMN_UINT},
    {.key = "epoch", .type = PH_COLUMN_TEXT, .wide = true},
    {.key = "queue", .type = PH_COLUMN_NULLABLE},
    {.key = "uptime_ms", .type = PH_COLUMN_DURATION},
    {.key = "tags", .type = PH_COLUMN_LIST},
    {.key = "meta", .type = PH_COLUMN_MAP, .wide = true},
    {.key = "since", .type = PH_COLUMN_TIME, .wide = true},
    {.key = "module", .type = PH_COLUMN_TEXT, .wide = true},
    {.key = "reason", .type = PH_COLUMN_TEXT},
};

void ph_child_row_fini(struct ph_child_row *row)
{
    ph_text_fini(&row->nodes);
    ph_text_fini(&row->epoch);
    ph_text_fini(&row->module);
    ph_text_fini(&row->reason);
    ph_text_fini(&row->last_exit);
    ph_text_fini(&row->program);
    ph_text_fini(&row->tags);
    ph_text_fini(&row->meta);
    ph_text_fini(&row->spec);
}

static void put_tags(const struct ph_spec *spec, struct ph_text *out)
{
    for (size_t i = 0; i < spec->tag_count; i++) {
        if (i)
            ph_text_put(out, "\x1f");
        ph_text_put(out, spec->tags[i]);
    }
}

static void put_meta(const struct ph_spec *spec, struct ph_text *out)
{
    for (size_t i = 0; i < spec->meta_count; i++)
        ph_text_printf(out, "%s%s\x1f%s", i ? "\x1f" : "", spec->meta[i].key, spec->meta[i].value);
}

static uint64_t uptime_of(const struct ph_child_info *info, uint64_t now_ms)
{
    if (info->state != PH_STATE_RUNNING || !info->since_ms || now_ms < info->since_ms)
        return 0;
    return now_ms - info->since_ms;
}

/* How it ended last and why it waits: what the child here knows. */
static void read_exit_rcu(struct ph_child_row *row, const struct ph_child *child)
{
    /* Acquire: pairs with the hub's release when it publishes how the instance ended. */
    const struct ph_exit *exit = atomic_load_explicit(
        &((struct ph_child *)(uintptr_t)child)->last_exit, memory_order_acquire);
    if (!exit)
        return;
    ph_exit_describe(exit, &row->last_exit);
    row->last_exit_ms = exit->now_ms;
    if (row->info.state == PH_STATE_FAILED || row->info.state == PH_STATE_BACKOFF)
        ph_exit_reason(exit, row->info.state == PH_STATE_FAILED, &row->reason);
}

/* The same, as its node says it. */
static void read_reason_rcu(struct ph_child_row *row, const struct ph_placement *placement)
{
    /* Acquire: pairs with the hub's release when it publishes the text. */
    const char *reason =
        placement ? atomic_load_explicit(&((struct ph_placement *)(uintptr_t)placement)->reason,
                                         memory_order_acquire)
                  : NULL;
    if (reason)
        ph_text_put(&row->reason, reason);
}

static void put_nodes_rcu(struct ph_child_row *row, struct ph_subject *subject)
{
    if (!subject->entry) {
        ph_text_put(&row->nodes, row->node);
        return;
    }
    for (bool more = ph_subject_first_rcu(subject); more; more = ph_subject_next_rcu(subject)) {
        const char *node = ph_subject_node_rcu(subject);
        if (node)
            ph_text_printf(&row->nodes, "%s%s", row->nodes.length ? "\x1f" : "", node);
    }
}

static void read_spec_rcu(struct ph_child_row *row, const struct ph_spec *spec)
{
    if (spec->module)
        ph_text_put(&row->module, spec->module);
    if (spec->argc)
        ph_text_put(&row->program, spec->argv[0]);
    put_tags(spec, &row->tags);
    put_meta(spec, &row->meta);
    if (row->wants_spec)
        ph_spec_print(spec, &row->spec);
}

void ph_child_row_read_rcu(struct ph_child_row *row, struct ph_subject *subject)
{
    struct ph_text *texts[] = {&row->nodes, &row->epoch, &row->module, &row->program,  &row->tags,
                               &row->meta,  &row->spec,  &row->reason, &row->last_exit};
    for (size_t i = 0; i < PH_COUNT_OF(texts); i++)
        ph_text_clear(texts[i]);
    row->last_exit_ms = 0;
    const struct ph_spec *spec = ph_subject_spec_rcu(subject);
    const char *node = ph_subject_node_rcu(subject);
    const struct ph_child *child = ph_subject_local_rcu(subject);
    ph_subject_info_rcu(subject, &row->info);
    row->kind = ph_subject_kind(subject);
    row->here = child != NULL;
    snprintf(row->node, sizeof row->node, "%s", node ? node : "");
    ph_subject_put_epoch(subject, row->info.epoch, &row->epoch);
    row->uptime_ms = uptime_of(&row->info, ph_now_ms());
    if (spec)
        read_spec_rcu(row, spec);
    if (child)
        read_exit_rcu(row, child);
    else
        read_reason_rcu(row, subject->placement);
    put_nodes_rcu(row, subject);
}

bool ph_child_row_find(struct ph_child_row *row, struct ph_hub *hub, const char *id, size_t length)
{
    struct ph_subject subject = {0};
    ph_rcu_enter();
    ph_subject_open_rcu(&subject, hub);
    bool found = ph_subject_find_rcu(&subject, id, length);
    if (found)
        ph_child_row_read_rcu(row, &subject);
    ph_rcu_exit();
    ph_subject_fini(&subject);
    return found;
}

static void put_or_null(struct ph_rows *rows, const struct ph_text *text)
{
    ph_rows_str(rows, text->length ? text->data : NULL);
}

void ph_child_row_put(struct ph_rows *rows, const struct ph_child_row *row)
{
    ph_rows_str(rows, row->info.id);
    ph_rows_str(rows, row->kind);
    ph_rows_text(rows, ph_text_str(&row->nodes), row->nodes.length);
    ph_rows_str(rows, ph_state_name(row->info.state));
    ph_rows_str(rows, "active");
    ph_rows_uint(rows, row->info.pid ? row->info.pid : UINT64_MAX);
    ph_rows_uint(rows, row->info.restarts);
    put_or_null(rows, &row->epoch);
    ph_rows_uint(rows, row->here ? row->info.queue : UINT64_MAX);
    ph_rows_uint(rows, row->uptime_ms);
    ph_rows_text(rows, ph_text_str(&row->tags), row->tags.length);
    ph_rows_text(rows, ph_text_str(&row->meta), row->meta.length);
    if (row->info.since_ms)
        ph_rows_time(rows, ph_wall_of(row->info.since_ms));
    else
        ph_rows_str(rows, NULL);
    put_or_null(rows, &row->module);
    put_or_null(rows, &row->reason);
}
