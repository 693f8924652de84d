#include "ipc/condition.h"

#include <stddef.h>
#include <string.h>

#include "engine/base.h"
#include "engine/host.h"
#include "engine/node.h"
#include "ipc/target.h"

enum field_type { FIELD_U64, FIELD_U32, FIELD_U8, FIELD_BOOL, FIELD_TEXT };

/* Fields that lie in the picture as they are. */
static const struct {
    const char *name;
    enum field_type type;
    size_t offset;
} fields[] = {
#define FIELD(field_name, field_type, member)                                                    \
    {                                                                                            \
        .name = (field_name), .type = (field_type), .offset = offsetof(struct ph_status, member) \
    }
#define STATE(field_name, state)                                                    \
    {                                                                               \
        .name = (field_name), .type = FIELD_U64,                                    \
        .offset = offsetof(struct ph_status, by_state) + (state) * sizeof(uint64_t) \
    }
    FIELD("count", FIELD_U64, children),
    FIELD("children", FIELD_U64, children),
    FIELD("local", FIELD_U64, local),
    FIELD("nodes", FIELD_U64, nodes),
    FIELD("migrating", FIELD_U64, migrating),
    FIELD("settled", FIELD_BOOL, settled),
    FIELD("partitioned", FIELD_BOOL, partitioned),
    FIELD("paused", FIELD_BOOL, paused),
    STATE("starting", PH_STATE_STARTING),
    STATE("running", PH_STATE_RUNNING),
    STATE("backoff", PH_STATE_BACKOFF),
    STATE("stopping", PH_STATE_STOPPING),
    STATE("moving", PH_STATE_MOVING),
    STATE("failed", PH_STATE_FAILED),
    STATE("unknown", PH_STATE_UNKNOWN),
    FIELD("level", FIELD_U8, level),
    FIELD("locks", FIELD_U32, locks),
    FIELD("held", FIELD_U32, held),
    FIELD("held_total", FIELD_U64, held_total),
    FIELD("discarded", FIELD_U64, discarded),
    FIELD("refused", FIELD_U64, refused),
    FIELD("expired", FIELD_U64, expired),
    FIELD("holder", FIELD_TEXT, holder),
    FIELD("reason", FIELD_TEXT, reason),
    FIELD("events", FIELD_U64, events),
    FIELD("steps", FIELD_U64, steps),
    FIELD("starts", FIELD_U64, starts),
    FIELD("restarts", FIELD_U64, restarts),
    FIELD("gave_up", FIELD_U64, gave_up),
    FIELD("conflicts", FIELD_U64, conflicts),
    FIELD("locked", FIELD_BOOL, level), /* derived, see read_field */
#undef FIELD
#undef STATE
};

static size_t find(const char *name)
{
    size_t at = 0;
    while (at < PH_COUNT_OF(fields) && strcmp(fields[at].name, name) != 0)
        at++;
    return at;
}

static bool condition_known(const char *field)
{
    return find(field) < PH_COUNT_OF(fields);
}

static enum ph_value_type condition_type(const char *field)
{
    size_t at = find(field);
    if (at == PH_COUNT_OF(fields))
        return PH_VALUE_NONE;
    if (fields[at].type == FIELD_TEXT)
        return PH_VALUE_TEXT;
    return fields[at].type == FIELD_BOOL ? PH_VALUE_BOOL : PH_VALUE_NUMBER;
}

static void read_field(const struct ph_status *status, size_t at, struct ph_value *value)
{
    const char *place = (const char *)status + fields[at].offset;
    *value = (struct ph_value){.type = PH_VALUE_NUMBER};
    switch (fields[at].type) {
    case FIELD_U64:
        memcpy(&value->number, place, sizeof value->number);
        return;
    case FIELD_U32: {
        uint32_t number;
        memcpy(&number, place, sizeof number);
        value->number = number;
        return;
    }
    case FIELD_U8:
        value->number = *(const uint8_t *)place;
        return;
    case FIELD_BOOL:
        /* Any level above 0 is `locked`; a bool's byte is 0 or 1. */
        value->type = PH_VALUE_BOOL;
        value->number = *(const uint8_t *)place != 0;
        return;
    case FIELD_TEXT:
        *value = (struct ph_value){.type = PH_VALUE_TEXT, .text = place, .length = strlen(place)};
        return;
    }
}

static void condition_value(void *subject, const char *field, struct ph_value *value)
{
    struct ph_condition *condition = subject;
    size_t at = find(field);
    *value = (struct ph_value){.type = PH_VALUE_NONE};
    if (at < PH_COUNT_OF(fields))
        read_field(&condition->status, at, value);
}

static bool count_one(void *arg, struct ph_subject *subject)
{
    (void)subject;
    ++*(uint64_t *)arg;
    return true;
}

static uint64_t condition_count(void *subject, const struct ph_expr *where)
{
    struct ph_condition *condition = subject;
    struct ph_script_error error = {0};
    struct ph_target target;
    uint64_t count = 0;
    if (!where)
        return condition->status.children;
    if (ph_target_init(&target, condition->hub, NULL, 0, where, &error) == 0) {
        ph_target_each(&target, count_one, &count);
        ph_target_fini(&target);
    }
    return count;
}

static bool changes_silently(const char *field)
{
    return strcmp(field, "queue") == 0 || strcmp(field, "uptime") == 0 || strcmp(field, "pid") == 0;
}

static void condition_child(void *subject, const char *id, const char *field,
                            struct ph_value *value)
{
    struct ph_condition *condition = subject;
    *value = (struct ph_value){.type = PH_VALUE_NONE};
    condition->timed |= changes_silently(field);
    ph_rcu_enter();
    ph_subject_open_rcu(&condition->child, condition->hub);
    if (ph_subject_find_rcu(&condition->child, id, strlen(id)))
        ph_child_resolver.value(&condition->child, field, value);
    if (value->text) {
        /* The text dies with the section, the comparison comes after it. */
        ph_text_clear(&condition->text);
        ph_text_append(&condition->text, value->text, value->length);
        value->text = condition->text.data;
    }
    ph_rcu_exit();
}

const struct ph_resolver ph_condition_resolver = {
    .known = condition_known,
    .fields =
        "count, nodes, migrating, settled, locked, partitioned, paused, children, local, starting, "
        "running, backoff, stopping, moving, failed, unknown, level, holder, reason, locks, "
        "held, discarded, refused, expired, events, steps, starts, restarts, gave_up, conflicts, "
        "count(TARGET or where EXPR), child ID FIELD",
    .value = condition_value,
    .type = condition_type,
    .children = &ph_child_resolver,
    .count = condition_count,
    .child = condition_child,
};

void ph_condition_init(struct ph_condition *condition, struct ph_hub *hub)
{
    *condition = (struct ph_condition){.hub = hub};
}

void ph_condition_fini(struct ph_condition *condition)
{
    ph_text_fini(&condition->text);
    ph_subject_fini(&condition->child);
}

bool ph_condition_holds(struct ph_condition *condition, const struct ph_expr *expr)
{
    condition->timed = false;
    condition->child.now_ms = ph_now_ms();
    ph_status(condition->hub, &condition->status);
    if (!condition->hub->directory) /* everything is here */
        condition->status.local = condition->status.children;
    return ph_expr_holds(expr, &ph_condition_resolver, condition);
}

void ph_condition_explain(struct ph_condition *condition, const struct ph_expr *expr,
                          struct ph_text *out)
{
    ph_expr_explain(expr, &ph_condition_resolver, condition, out);
}
