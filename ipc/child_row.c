#include "ipc/child_row.h"

#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/spec.h"

#define FIELDS \
    "id, node, state, kind, mode, tag, restarts, epoch, queue, pid, module, uptime, meta.KEY"

const struct ph_column ph_child_columns[PH_CHILD_COLUMNS] = {
    {.key = "id", .type = PH_COLUMN_TEXT},
    {.key = "kind", .type = PH_COLUMN_TEXT},
    {.key = "nodes", .type = PH_COLUMN_LIST},
    {.key = "state", .type = PH_COLUMN_TEXT},
    {.key = "mode", .type = PH_COLUMN_TEXT, .wide = true},
    {.key = "pid", .type = PH_COLUMN_NULLABLE},
    {.key = "restarts", .type = PH_COLUMN_UINT},
    {.key = "epoch", .type = PH_COLUMN_TEXT, .wide = true},
    {.key = "queue", .type = PH_COLUMN_UINT},
    {.key = "uptime_ms", .type = PH_COLUMN_DURATION},
    {.key = "tags", .type = PH_COLUMN_LIST},
    {.key = "meta", .type = PH_COLUMN_MAP, .wide = true},
    {.key = "since", .type = PH_COLUMN_TIME, .wide = true},
    {.key = "module", .type = PH_COLUMN_TEXT, .wide = true},
    {.key = "reason", .type = PH_COLUMN_TEXT},
};

void ph_child_row_fini(struct ph_child_row *row)
{
    ph_text_fini(&row->module);
    ph_text_fini(&row->reason);
    ph_text_fini(&row->last_exit);
    ph_text_fini(&row->program);
    ph_text_fini(&row->tags);
    ph_text_fini(&row->meta);
    ph_text_fini(&row->spec);
}

static const char *node_name(const struct ph_child *child)
{
    return ph_host_of(child->hub)->node->name;
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
    if (info->state != PH_STATE_RUNNING || now_ms < info->since_ms)
        return 0;
    return now_ms - info->since_ms;
}

static void read_exit_rcu(struct ph_child_row *row, const struct ph_child *child)
{
    /* Acquire: pairs with the hub's release when it publishes how the instance ended. */
    const struct ph_exit *exit = atomic_load_explicit(
        &((struct ph_child *)(uintptr_t)child)->last_exit, memory_order_acquire);
    row->last_exit_ms = 0;
    if (!exit)
        return;
    ph_exit_describe(exit, &row->last_exit);
    row->last_exit_ms = exit->now_ms;
    if (row->info.state == PH_STATE_FAILED || row->info.state == PH_STATE_BACKOFF)
        ph_exit_reason(exit, row->info.state == PH_STATE_FAILED, &row->reason);
}

void ph_child_row_read_rcu(struct ph_child_row *row, const struct ph_child *child)
{
    const struct ph_spec *spec = ph_child_spec_rcu(child);
    struct ph_text *texts[] = {&row->module, &row->program, &row->tags,     &row->meta,
                               &row->spec,   &row->reason,  &row->last_exit};
    for (size_t i = 0; i < PH_COUNT_OF(texts); i++)
        ph_text_clear(texts[i]);
    ph_child_inspect_rcu(child, &row->info);
    row->kind = child->kind->name;
    snprintf(row->node, sizeof row->node, "%s", node_name(child));
    snprintf(row->epoch, sizeof row->epoch, "%llu.%s", (unsigned long long)row->info.epoch,
             row->node);
    if (spec->module)
        ph_text_put(&row->module, spec->module);
    if (spec->argc)
        ph_text_put(&row->program, spec->argv[0]);
    put_tags(spec, &row->tags);
    put_meta(spec, &row->meta);
    if (row->wants_spec)
        ph_spec_print(spec, &row->spec);
    row->uptime_ms = uptime_of(&row->info, ph_now_ms());
    read_exit_rcu(row, child);
}

bool ph_child_row_find(struct ph_child_row *row, struct ph_hub *hub, const char *id, size_t length)
{
    ph_rcu_enter();
    const struct ph_child *child = ph_registry_find_rcu(hub->registry, id, length);
    if (child)
        ph_child_row_read_rcu(row, child);
    ph_rcu_exit();
    return child != NULL;
}

static void put_or_null(struct ph_rows *rows, const struct ph_text *text)
{
    ph_rows_str(rows, text->length ? text->data : NULL);
}

void ph_child_row_put(struct ph_rows *rows, const struct ph_child_row *row)
{
    ph_rows_str(rows, row->info.id);
    ph_rows_str(rows, row->kind);
    ph_rows_str(rows, row->node);
    ph_rows_str(rows, ph_state_name(row->info.state));
    ph_rows_str(rows, "active");
    ph_rows_uint(rows, row->info.pid ? row->info.pid : UINT64_MAX);
    ph_rows_uint(rows, row->info.restarts);
    ph_rows_str(rows, row->epoch);
    ph_rows_uint(rows, row->info.queue);
    ph_rows_uint(rows, row->uptime_ms);
    ph_rows_text(rows, ph_text_str(&row->tags), row->tags.length);
    ph_rows_text(rows, ph_text_str(&row->meta), row->meta.length);
    ph_rows_time(rows, ph_wall_of(row->info.since_ms));
    put_or_null(rows, &row->module);
    put_or_null(rows, &row->reason);
}

/* ---- The fields of EXPR -------------------------------------------------------------------- */

static void set_number(struct ph_value *value, uint64_t number)
{
    *value = (struct ph_value){.type = PH_VALUE_NUMBER, .number = number};
}

static void set_text(struct ph_value *value, const char *text)
{
    *value = (struct ph_value){.type = PH_VALUE_TEXT, .text = text, .length = strlen(text)};
}

typedef void (*field_fn)(struct ph_child_subject *, const struct ph_child_info *,
                         struct ph_value *);

static void field_id(struct ph_child_subject *subject, const struct ph_child_info *info,
                     struct ph_value *value)
{
    (void)info;
    set_text(value, subject->child->id);
}

static void field_node(struct ph_child_subject *subject, const struct ph_child_info *info,
                       struct ph_value *value)
{
    (void)info;
    set_text(value, node_name(subject->child));
}

static void field_state(struct ph_child_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    (void)info;
    set_text(value, ph_state_name(ph_child_state(subject->child)));
}

static void field_kind(struct ph_child_subject *subject, const struct ph_child_info *info,
                       struct ph_value *value)
{
    (void)info;
    set_text(value, subject->child->kind->name);
}

static void field_mode(struct ph_child_subject *subject, const struct ph_child_info *info,
                       struct ph_value *value)
{
    (void)subject;
    (void)info;
    set_text(value, "active");
}

static void field_tag(struct ph_child_subject *subject, const struct ph_child_info *info,
                      struct ph_value *value)
{
    (void)info;
    ph_text_clear(&subject->scratch);
    put_tags(ph_child_spec_rcu(subject->child), &subject->scratch);
    *value = (struct ph_value){.type = PH_VALUE_LIST,
                               .text = ph_text_str(&subject->scratch),
                               .length = subject->scratch.length};
}

static void field_restarts(struct ph_child_subject *subject, const struct ph_child_info *info,
                           struct ph_value *value)
{
    (void)info;
    set_number(value,
               atomic_load_explicit(&((struct ph_child *)(uintptr_t)subject->child)->restarts,
                                    memory_order_relaxed));
}

static void field_epoch(struct ph_child_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    (void)subject;
    set_number(value, info->epoch);
}

static void field_queue(struct ph_child_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    (void)subject;
    set_number(value, info->queue);
}

static void field_pid(struct ph_child_subject *subject, const struct ph_child_info *info,
                      struct ph_value *value)
{
    (void)subject;
    if (info->pid)
        set_number(value, info->pid);
}

static void field_module(struct ph_child_subject *subject, const struct ph_child_info *info,
                         struct ph_value *value)
{
    (void)info;
    const struct ph_spec *spec = ph_child_spec_rcu(subject->child);
    if (spec->module)
        set_text(value, spec->module);
}

static void field_uptime(struct ph_child_subject *subject, const struct ph_child_info *info,
                         struct ph_value *value)
{
    set_number(value, uptime_of(info, subject->now_ms ? subject->now_ms : ph_now_ms()));
}

static void field_since(struct ph_child_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    (void)subject;
    set_number(value, info->since_ms);
}

static const struct {
    const char *name;
    field_fn value;
    bool inspected; /* needs what the kind knows */
} fields[] = {
    {.name = "id", .value = field_id},
    {.name = "state", .value = field_state},
    {.name = "kind", .value = field_kind},
    {.name = "node", .value = field_node},
    {.name = "nodes", .value = field_node},
    {.name = "mode", .value = field_mode},
    {.name = "tag", .value = field_tag},
    {.name = "tags", .value = field_tag},
    {.name = "restarts", .value = field_restarts},
    {.name = "module", .value = field_module},
    {.name = "epoch", .value = field_epoch, .inspected = true},
    {.name = "queue", .value = field_queue, .inspected = true},
    {.name = "pid", .value = field_pid, .inspected = true},
    {.name = "uptime", .value = field_uptime, .inspected = true},
    {.name = "since", .value = field_since, .inspected = true},
};

static bool is_meta(const char *field)
{
    return strncmp(field, "meta.", 5) == 0 && field[5];
}

static bool child_known(const char *field)
{
    for (size_t i = 0; i < PH_COUNT_OF(fields); i++)
        if (strcmp(fields[i].name, field) == 0)
            return true;
    return is_meta(field);
}

static void child_value(void *arg, const char *field, struct ph_value *value)
{
    struct ph_child_subject *subject = arg;
    *value = (struct ph_value){.type = PH_VALUE_NONE};
    for (size_t i = 0; i < PH_COUNT_OF(fields); i++) {
        if (strcmp(fields[i].name, field) != 0)
            continue;
        struct ph_child_info info;
        if (fields[i].inspected)
            ph_child_inspect_rcu(subject->child, &info);
        fields[i].value(subject, &info, value);
        return;
    }
    const char *meta =
        is_meta(field) ? ph_spec_meta(ph_child_spec_rcu(subject->child), field + 5) : NULL;
    if (meta)
        set_text(value, meta);
}

const struct ph_resolver ph_child_resolver = {
    .known = child_known,
    .fields = FIELDS,
    .value = child_value,
};
