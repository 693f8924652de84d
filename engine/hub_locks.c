#include <string.h>

#include "engine/error.h"
#include "engine/hub.h"

void ph_hub_report_level(struct ph_hub *hub, uint8_t before, uint64_t cause)
{
    if (before == hub->gate.level)
        return;
    ph_hub_record(hub, "gate_level", "", cause, "%u -> %u", before, hub->gate.level);
    if (!ph_hooks_wanted(hub, PH_HOOK_PRIORITY_STATE))
        return;
    struct ph_text fields = PH_TEXT_INIT;
    ph_text_printf(&fields, "\"level\":%u,\"before\":%u", hub->gate.level, before);
    ph_hooks_fire(hub, PH_HOOK_PRIORITY_STATE, ph_text_str(&fields));
    ph_text_fini(&fields);
}

int ph_hub_take_lock(struct ph_hub *hub, const struct ph_event *event, const struct ph_lock **taken,
                     struct ph_error *error)
{
    uint8_t before = hub->gate.level;
    uint8_t level = event->lock.level ? event->lock.level : PH_PRIORITY_LOCKED;
    uint64_t length = event->lock.for_ms ? event->lock.for_ms : hub->options.lock_timeout_ms;
    const struct ph_lock_request request = {
        .name = event->lock.name,
        .reason = event->lock.reason,
        .level = level,
        .discard = event->lock.discard,
        .user = true,
        .deadline_ms = length > PH_NEVER - hub->now_ms ? PH_NEVER : hub->now_ms + length,
    };
    int rc = ph_gate_lock(&hub->gate, &request, hub->now_ms, taken);
    if (rc == PH_EEXISTS)
        return ph_error_set(error, rc, "a lock of that name is held");
    if (rc)
        return ph_error_set(error, rc, "%d locks are held already: release one", PH_LOCKS_MAX);
    const struct ph_lock *lock = *taken;
    uint64_t seq =
        ph_hub_record(hub, "gate_locked", "", 0, "%s at %u for %llu ms%s%s", lock->name, level,
                      (unsigned long long)length, lock->reason[0] ? ": " : "", lock->reason);
    ph_hub_report_level(hub, before, seq);
    return 0;
}

void ph_hub_on_lock(struct ph_hub *hub, struct ph_event *event)
{
    const struct ph_lock *lock = NULL;
    struct ph_error error = {0};
    int rc = ph_hub_take_lock(hub, event, &lock, &error);
    if (rc == 0)
        ph_op_set_reply(event->op, lock->name, strlen(lock->name));
    ph_hub_finish_op(hub, event->op, rc, rc ? error.text : NULL);
    event->op = NULL;
}

static void unlock(struct ph_hub *hub, const struct ph_lock *lock)
{
    uint8_t before = hub->gate.level;
    uint64_t seq = ph_hub_record(hub, "gate_unlocked", "", 0, "%s after %llu ms", lock->name,
                                 (unsigned long long)(hub->now_ms - lock->since_ms));
    ph_gate_unlock(&hub->gate, lock->token);
    ph_hub_report_level(hub, before, seq);
}

static const struct ph_lock *any_user_lock(const struct ph_gate *gate)
{
    for (const struct ph_lock *lock = gate->locks; lock; lock = lock->next)
        if (lock->user)
            return lock;
    return NULL;
}

void ph_hub_on_unlock(struct ph_hub *hub, struct ph_event *event)
{
    const char *name = event->lock.name;
    const struct ph_lock *lock = name[0] ? ph_gate_find(&hub->gate, name) : NULL;
    int rc = 0;
    if (lock && lock->user) {
        unlock(hub, lock);
        ph_op_changed(event->op);
    } else if (name[0]) {
        rc = PH_ENOTFOUND;
    }
    while (!name[0] && (lock = any_user_lock(&hub->gate))) {
        unlock(hub, lock);
        ph_op_changed(event->op);
    }
    ph_hub_finish_op(hub, event->op, rc, rc ? "no lock of that name is held" : NULL);
    event->op = NULL;
}

void ph_hub_expire_locks(struct ph_hub *hub)
{
    struct ph_lock expired;
    uint8_t before = hub->gate.level;
    while (ph_gate_expire(&hub->gate, hub->now_ms, &expired)) {
        uint64_t seq =
            ph_hub_record(hub, "gate_expired", "", 0, "%s: its time was up after %llu ms",
                          expired.name, (unsigned long long)(hub->now_ms - expired.since_ms));
        if (ph_hooks_wanted(hub, PH_HOOK_GATE_EXPIRED)) {
            struct ph_text fields = PH_TEXT_INIT;
            ph_text_put(&fields, "\"lock\":");
            ph_text_json(&fields, expired.name, strlen(expired.name));
            ph_text_printf(&fields, ",\"level\":%u,\"now\":%u", expired.level, hub->gate.level);
            ph_hooks_fire(hub, PH_HOOK_GATE_EXPIRED, ph_text_str(&fields));
            ph_text_fini(&fields);
        }
        ph_hub_report_level(hub, before, seq);
        before = hub->gate.level;
    }
}
