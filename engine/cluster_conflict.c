/* The conflict store of a hub: what comes in, what people ask of it. */
#include <string.h>

#include "engine/cluster_inside.h"
#include "engine/error.h"
#include "engine/legacy.h"

static void drop_over(struct ph_hub *hub)
{
    struct ph_conflicts *store = &hub->cluster->merges.conflicts;
    const struct ph_conflict *oldest;
    while ((oldest = ph_conflicts_over(store))) {
        ph_hub_record(hub, "conflict_dropped", oldest->id, 0,
                      "conflict %llu, %zu bytes from %s: the store is full",
                      (unsigned long long)oldest->number, oldest->legacy->length,
                      oldest->legacy->from);
        ph_conflicts_drop(store, oldest->number);
    }
}

static void fire_hook(struct ph_hub *hub, const struct ph_conflict *conflict)
{
    const struct ph_legacy *legacy = conflict->legacy;
    struct ph_text fields = PH_TEXT_INIT;
    if (!ph_hooks_wanted(hub, PH_HOOK_CHILD_CONFLICT))
        return;
    ph_text_put(&fields, "\"id\":");
    ph_text_json(&fields, conflict->id, strlen(conflict->id));
    ph_text_printf(&fields,
                   ",\"number\":%llu,\"from\":\"%s\",\"bytes\":%zu,\"ran_ms\":%llu,"
                   "\"updates\":%llu,\"why\":",
                   (unsigned long long)conflict->number, legacy->from, legacy->length,
                   (unsigned long long)legacy->ran_ms, (unsigned long long)legacy->updates);
    ph_text_json(&fields, conflict->why, strlen(conflict->why));
    ph_hooks_fire(hub, PH_HOOK_CHILD_CONFLICT, ph_text_str(&fields));
    ph_text_fini(&fields);
}

void ph_conflict_store(struct ph_hub *hub, const char *id, struct ph_legacy *legacy,
                       const char *why)
{
    const struct ph_conflict *conflict =
        ph_conflicts_put(&hub->cluster->merges.conflicts, id, legacy, why, hub->now_ms);
    hub->cluster->merges.stored++;
    ph_hub_record(hub, "child_conflict", id, 0,
                  "conflict %llu, %zu bytes from %s, which ran %llu ms and handled %llu messages: "
                  "%s",
                  (unsigned long long)conflict->number, legacy->length, legacy->from,
                  (unsigned long long)legacy->ran_ms, (unsigned long long)legacy->updates, why);
    fire_hook(hub, conflict);
    drop_over(hub);
}

void ph_conflict_keep(struct ph_hub *hub, const struct ph_entry *entry, const struct ph_text *state,
                      const struct ph_figures *figures, const char *why)
{
    if (!state->length)
        return;
    struct ph_legacy *legacy =
        ph_legacy_create(hub->cluster->members[0]->info.name, ph_text_str(state), state->length);
    if (!legacy) {
        ph_hub_record(hub, "state_lost", entry->id, 0, "no memory to keep %zu bytes",
                      state->length);
        return;
    }
    legacy->ran_ms = figures->ran_ms;
    legacy->updates = figures->updates;
    ph_conflict_store(hub, entry->id, legacy, why);
    ph_legacy_put(legacy);
}

static void drop_all(struct ph_hub *hub, struct ph_conflicts *store, struct ph_op *op)
{
    if (store->count)
        ph_hub_record(hub, "conflict_dropped", "", 0, "%u conflicts: as was asked for",
                      store->count);
    while (store->first) {
        ph_conflicts_drop(store, store->first->number);
        ph_op_changed(op);
    }
}

static void drop_one(struct ph_hub *hub, struct ph_conflicts *store,
                     const struct ph_conflict *conflict, struct ph_op *op)
{
    ph_hub_record(hub, "conflict_dropped", conflict->id, 0, "conflict %llu: as was asked for",
                  (unsigned long long)conflict->number);
    ph_conflicts_drop(store, conflict->number);
    ph_op_changed(op);
}

void ph_cluster_on_conflict(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_conflicts *store = hub->cluster ? &hub->cluster->merges.conflicts : NULL;
    uint64_t number = event->conflict.number;
    const struct ph_conflict *conflict = store ? ph_conflicts_find(store, number) : NULL;
    bool all = event->conflict.drop && !number;
    bool missing = !all && !conflict;
    if (all && store)
        drop_all(hub, store, event->op);
    else if (conflict && event->conflict.drop)
        drop_one(hub, store, conflict, event->op);
    else if (conflict)
        ph_op_set_reply(event->op, conflict->legacy->state, conflict->legacy->length);
    ph_hub_finish_op(hub, event->op, missing ? PH_ENOTFOUND : 0,
                     missing ? "there is no conflict of that number on this node" : NULL);
    event->op = NULL;
}

void ph_conflicts_inspect(const struct ph_hub *hub, struct ph_text *out)
{
    if (hub->cluster)
        ph_conflicts_print(&hub->cluster->merges.conflicts, out);
}
