#include "ipc/subject.h"

#include <string.h>

#include "engine/base.h"
#include "engine/spec.h"
#include "engine/waiter.h"

/* The fields of a child, as EXPR sees them. */

#define FIELDS \
    "id, node, state, kind, mode, tag, restarts, epoch, queue, pid, module, uptime, meta.KEY"

static void set_number(struct ph_value *value, uint64_t number)
{
    *value = (struct ph_value){.type = PH_VALUE_NUMBER, .number = number};
}

static void set_text(struct ph_value *value, const char *text)
{
    if (text)
        *value = (struct ph_value){.type = PH_VALUE_TEXT, .text = text, .length = strlen(text)};
}

static void set_list(struct ph_value *value, const struct ph_text *list)
{
    *value =
        (struct ph_value){.type = PH_VALUE_LIST, .text = ph_text_str(list), .length = list->length};
}

typedef void (*field_fn)(struct ph_subject *, const struct ph_child_info *, struct ph_value *);

static void field_id(struct ph_subject *subject, const struct ph_child_info *info,
                     struct ph_value *value)
{
    (void)info;
    *value = (struct ph_value){.type = PH_VALUE_TEXT};
    value->text = ph_subject_id(subject, &value->length);
}

static void field_node(struct ph_subject *subject, const struct ph_child_info *info,
                       struct ph_value *value)
{
    (void)info;
    set_text(value, ph_subject_node_rcu(subject));
}

static void field_state(struct ph_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    (void)info;
    set_text(value, ph_state_name(subject->state));
}

static void field_kind(struct ph_subject *subject, const struct ph_child_info *info,
                       struct ph_value *value)
{
    (void)info;
    set_text(value, ph_subject_kind(subject));
}

static void field_mode(struct ph_subject *subject, const struct ph_child_info *info,
                       struct ph_value *value)
{
    (void)subject;
    (void)info;
    set_text(value, "active");
}

static void field_tag(struct ph_subject *subject, const struct ph_child_info *info,
                      struct ph_value *value)
{
    (void)info;
    const struct ph_spec *spec = ph_subject_spec_rcu(subject);
    ph_text_clear(&subject->scratch);
    for (size_t i = 0; spec && i < spec->tag_count; i++)
        ph_text_printf(&subject->scratch, "%s%s", i ? "\x1f" : "", spec->tags[i]);
    set_list(value, &subject->scratch);
}

static void field_module(struct ph_subject *subject, const struct ph_child_info *info,
                         struct ph_value *value)
{
    (void)info;
    const struct ph_spec *spec = ph_subject_spec_rcu(subject);
    set_text(value, spec ? spec->module : NULL);
}

static void field_restarts(struct ph_subject *subject, const struct ph_child_info *info,
                           struct ph_value *value)
{
    (void)subject;
    set_number(value, info->restarts);
}

static void field_epoch(struct ph_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    (void)subject;
    set_number(value, info->epoch);
}

static void field_queue(struct ph_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    if (ph_subject_local_rcu(subject))
        set_number(value, info->queue);
}

static void field_pid(struct ph_subject *subject, const struct ph_child_info *info,
                      struct ph_value *value)
{
    (void)subject;
    if (info->pid)
        set_number(value, info->pid);
}

static void field_uptime(struct ph_subject *subject, const struct ph_child_info *info,
                         struct ph_value *value)
{
    uint64_t now_ms = subject->now_ms ? subject->now_ms : ph_now_ms();
    bool runs = info->state == PH_STATE_RUNNING && now_ms >= info->since_ms;
    if (info->since_ms)
        set_number(value, runs ? now_ms - info->since_ms : 0);
}

static void field_since(struct ph_subject *subject, const struct ph_child_info *info,
                        struct ph_value *value)
{
    (void)subject;
    set_number(value, info->since_ms);
}

static const struct {
    const char *name;
    field_fn value;
    bool inspected; /* needs what the placement, or the kind, knows */
} fields[] = {
    {.name = "id", .value = field_id},
    {.name = "state", .value = field_state},
    {.name = "kind", .value = field_kind},
    {.name = "node", .value = field_node},
    {.name = "nodes", .value = field_node},
    {.name = "mode", .value = field_mode},
    {.name = "tag", .value = field_tag},
    {.name = "tags", .value = field_tag},
    {.name = "module", .value = field_module},
    {.name = "restarts", .value = field_restarts, .inspected = true},
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
    struct ph_subject *subject = arg;
    *value = (struct ph_value){.type = PH_VALUE_NONE};
    for (size_t i = 0; i < PH_COUNT_OF(fields); i++) {
        if (strcmp(fields[i].name, field) != 0)
            continue;
        struct ph_child_info info;
        if (fields[i].inspected)
            ph_subject_info_rcu(subject, &info);
        fields[i].value(subject, &info, value);
        return;
    }
    const struct ph_spec *spec = ph_subject_spec_rcu(subject);
    if (spec && is_meta(field))
        set_text(value, ph_spec_meta(spec, field + 5));
}

const struct ph_resolver ph_child_resolver = {
    .known = child_known,
    .fields = FIELDS,
    .value = child_value,
};
