#include "engine/gate.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/text.h"
#include "engine/wheel.h"

void ph_gate_init(struct ph_gate *gate)
{
    *gate = (struct ph_gate){.next_token = 1};
    gate->held_last = &gate->held_first;
    gate->cursor = &gate->held_first;
}

void ph_gate_fini(struct ph_gate *gate)
{
    ph_assert(!gate->held_first);
    while (gate->locks) {
        struct ph_lock *lock = gate->locks;
        gate->locks = lock->next;
        ph_free(lock);
    }
}

/* ---- Held events ---- */

static void hold(struct ph_gate *gate, struct ph_gated *event, uint64_t now_ms)
{
    bool passed_all = gate->cursor == gate->held_last;
    event->next = NULL;
    event->since_ms = now_ms;
    *gate->held_last = event;
    gate->held_last = &event->next;
    if (passed_all)
        gate->cursor = gate->held_last; /* it is below the level, too */
    gate->held_count++;
    gate->held_total++;
}

/* Takes out the held event that `link` points to. */
static struct ph_gated *take(struct ph_gate *gate, struct ph_gated **link)
{
    struct ph_gated *event = *link;
    *link = event->next;
    if (gate->held_last == &event->next)
        gate->held_last = link;
    if (gate->cursor == &event->next)
        gate->cursor = link;
    event->next = NULL;
    gate->held_count--;
    return event;
}

/* Does a live lock want events of this priority dropped? */
static bool is_dropped(const struct ph_gate *gate, uint8_t priority)
{
    if (!gate->discard)
        return false;
    for (const struct ph_lock *lock = gate->locks; lock; lock = lock->next) {
        if (lock->discard && priority < lock->level)
            return true;
    }
    return false;
}

enum ph_gate_verdict ph_gate_admit(struct ph_gate *gate, struct ph_gated *event, uint64_t now_ms)
{
    event->arrival = gate->next_arrival++;
    if (event->priority >= gate->level)
        return PH_GATE_PASS;
    if (event->discard || is_dropped(gate, event->priority)) {
        gate->discarded++;
        return PH_GATE_DISCARD;
    }
    if (gate->held_count >= PH_GATE_HELD_MAX) {
        gate->refused++;
        return PH_GATE_REFUSED;
    }
    hold(gate, event, now_ms);
    return PH_GATE_HELD;
}

struct ph_gated *ph_gate_next(struct ph_gate *gate)
{
    /* What the cursor has passed was below the level then; a fall of the level resets it. */
    for (; *gate->cursor; gate->cursor = &(*gate->cursor)->next) {
        if ((*gate->cursor)->priority >= gate->level)
            return take(gate, gate->cursor);
    }
    return NULL;
}

struct ph_gated *ph_gate_take_all(struct ph_gate *gate)
{
    return gate->held_first ? take(gate, &gate->held_first) : NULL;
}

/* ---- Locks ---- */

/* Brings level and discard in line with the live locks. */
static void recompute(struct ph_gate *gate)
{
    uint8_t before = gate->level;
    gate->level = 0;
    gate->discard = false;
    for (const struct ph_lock *lock = gate->locks; lock; lock = lock->next) {
        if (lock->level > gate->level)
            gate->level = lock->level;
        gate->discard = gate->discard || lock->discard;
    }
    if (gate->level < before)
        gate->cursor = &gate->held_first;
}

/* Copies a text for people, cut at a character's end. */
static void copy_cut(char *into, size_t bytes_max, const char *text)
{
    size_t length = 0, total = strlen(text);
    while (length < total) {
        size_t bytes = ph_utf8_next(text + length, total - length, NULL);
        bytes = bytes ? bytes : 1;
        if (length + bytes > bytes_max)
            break;
        length += bytes;
    }
    memcpy(into, text, length);
    into[length] = '\0';
}

/* Gives the lock its token, and its name when it has none. */
static void name_lock(struct ph_gate *gate, struct ph_lock *lock, const char *name)
{
    lock->token = gate->next_token++;
    if (*name) {
        copy_cut(lock->name, PH_NAME_MAX, name);
        return;
    }
    for (;; lock->token = gate->next_token++) { /* someone may have chosen such a name */
        snprintf(lock->name, sizeof lock->name, "lock-%llu", (unsigned long long)lock->token);
        if (!ph_gate_find(gate, lock->name))
            return;
    }
}

int ph_gate_lock(struct ph_gate *gate, const struct ph_lock_request *request, uint64_t now_ms,
                 const struct ph_lock **lock)
{
    const char *name = request->name ? request->name : "";
    if (request->level == 0 || request->level > PH_PRIORITY_USER_MAX || strlen(name) > PH_NAME_MAX)
        return PH_EUSAGE;
    if (gate->lock_count >= PH_LOCKS_MAX)
        return PH_ELIMIT;
    if (*name && ph_gate_find(gate, name))
        return PH_EEXISTS;
    struct ph_lock *made = ph_alloc(sizeof *made);
    made->since_ms = now_ms;
    made->deadline_ms = request->deadline_ms;
    made->level = request->level;
    made->discard = request->discard;
    made->user = request->user;
    name_lock(gate, made, name);
    copy_cut(made->reason, PH_NAME_MAX, request->reason ? request->reason : "");
    made->next = gate->locks;
    gate->locks = made;
    gate->lock_count++;
    recompute(gate);
    if (lock)
        *lock = made;
    return 0;
}

/* Ends the lock that `link` points to. */
static void end_lock(struct ph_gate *gate, struct ph_lock **link)
{
    struct ph_lock *lock = *link;
    *link = lock->next;
    gate->lock_count--;
    ph_free(lock);
    recompute(gate);
}

bool ph_gate_unlock(struct ph_gate *gate, uint64_t token)
{
    for (struct ph_lock **link = &gate->locks; *link; link = &(*link)->next) {
        if ((*link)->token != token)
            continue;
        end_lock(gate, link);
        return true;
    }
    return false;
}

const struct ph_lock *ph_gate_find(const struct ph_gate *gate, const char *name)
{
    for (const struct ph_lock *lock = gate->locks; lock; lock = lock->next) {
        if (strcmp(lock->name, name) == 0)
            return lock;
    }
    return NULL;
}

const struct ph_lock *ph_gate_holder(const struct ph_gate *gate)
{
    const struct ph_lock *holder = NULL;
    for (const struct ph_lock *lock = gate->locks; lock; lock = lock->next) {
        if (lock->level == gate->level && (!holder || lock->deadline_ms > holder->deadline_ms))
            holder = lock;
    }
    return holder;
}

uint64_t ph_gate_deadline(const struct ph_gate *gate)
{
    uint64_t deadline_ms = PH_NEVER;
    for (const struct ph_lock *lock = gate->locks; lock; lock = lock->next) {
        if (lock->deadline_ms < deadline_ms)
            deadline_ms = lock->deadline_ms;
    }
    return deadline_ms;
}

bool ph_gate_expire(struct ph_gate *gate, uint64_t now_ms, struct ph_lock *expired)
{
    struct ph_lock **first = NULL;
    for (struct ph_lock **link = &gate->locks; *link; link = &(*link)->next) {
        if ((*link)->deadline_ms == PH_NEVER || (*link)->deadline_ms > now_ms)
            continue;
        if (!first || (*link)->deadline_ms <= (*first)->deadline_ms) /* of equals the older one */
            first = link;
    }
    if (!first)
        return false;
    *expired = **first;
    expired->next = NULL;
    end_lock(gate, first);
    gate->expired++;
    return true;
}
