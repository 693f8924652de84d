#include "engine/hub.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/error.h"
#include "engine/spec.h"
#include "engine/super.h"

enum { DEADLINES_PER_STEP = 128, RELEASES_PER_WORK = 128 };

void ph_hub_init(struct ph_hub *hub, const struct ph_hub_setup *setup)
{
    *hub = (struct ph_hub){
        .lease_until_ms = UINT64_MAX,
        .options = setup->options,
        .ports = setup->ports,
        .registry = setup->registry,
        .history = setup->history,
        .directory = setup->directory,
        .kind_of = setup->kind_of,
        .post = setup->post,
        .now_ms = setup->now_ms,
    };
    memcpy(hub->name, setup->name, strnlen(setup->name, PH_NAME_MAX));
    hub->restart_slot_us = setup->restart_slot_us ? setup->restart_slot_us : &hub->own_slot_us;
    ph_prng_init(&hub->prng, setup->seed);
    ph_gate_init(&hub->gate);
    ph_hooks_init(&hub->hooks);
    ph_wheel_init(&hub->wheel, setup->now_ms);
    hub->jobs_last = &hub->jobs;
    hub->done_last = &hub->done;
    hub->picture = (struct ph_status){.nodes = 1, .settled = true};
    if (setup->cluster)
        ph_cluster_create(hub, setup->cluster);
}

static bool forget_child(void *arg, struct ph_child *child)
{
    (void)arg;
    ph_super_forget(child);
    return true;
}

static void complete_ops(struct ph_hub *hub)
{
    struct ph_op *op = hub->done;
    hub->done = NULL;
    hub->done_last = &hub->done;
    while (op) {
        struct ph_op *next = op->next;
        char *text = op->finish_text;
        ph_op_complete(op, op->finish_code, text);
        ph_free(text);
        op = next;
    }
}

void ph_hub_fini(struct ph_hub *hub)
{
    struct ph_gated *gated;
    while ((gated = ph_gate_take_all(&hub->gate)))
        ph_event_destroy(ph_container_of(gated, struct ph_event, gated));
    ph_gate_fini(&hub->gate);
    ph_rcu_enter();
    ph_registry_each_rcu(hub->registry, forget_child, NULL);
    ph_rcu_exit();
    ph_hub_jobs_fini(hub);
    for (struct ph_hook_handler *handler = hub->hooks.handlers; handler; handler = handler->next)
        ph_hub_finish_op(hub, handler->removal, PH_ESTOPPING, "the hub is ending");
    ph_hooks_fini(&hub->hooks);
    ph_cluster_destroy(hub);
    ph_hub_finish_op(hub, hub->shutdown, PH_ESTOPPING, "the node is ending");
    complete_ops(hub);
}

uint64_t ph_hub_record(struct ph_hub *hub, const char *type, const char *id, uint64_t cause,
                       const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct ph_record record = {
        .cause = cause,
        .now_ms = hub->now_ms,
        .type = type,
        .id = id,
        .text = text,
    };
    record.seq = ph_history_append(hub->history, &record);
    hub->picture.events = record.seq;
    hub->ports.trace->record(hub->ports.context, &record);
    return record.seq;
}

void ph_hub_finish_op(struct ph_hub *hub, struct ph_op *op, int code, const char *text)
{
    if (!op)
        return;
    op->finish_code = code;
    op->finish_text = text ? ph_copy_text(text, strlen(text)) : NULL;
    op->next = NULL;
    *hub->done_last = op;
    hub->done_last = &op->next;
}

void ph_hub_end_batch(struct ph_hub *hub)
{
    ph_cluster_flush(hub);
    complete_ops(hub);
}

/* ---- What each event does ------------------------------------------------------------------ */

static void tell_listeners(struct ph_hub *hub, const struct ph_record *record)
{
    if (!ph_hooks_wanted_custom(hub))
        return;
    struct ph_text fields = PH_TEXT_INIT;
    ph_text_printf(&fields,
                   "\"seq\":%llu,\"priority\":%u,\"payload\":", (unsigned long long)record->seq,
                   record->priority);
    ph_text_json(&fields, record->text, strlen(record->text));
    ph_hooks_fire_custom(hub, record->type, ph_text_str(&fields));
    ph_text_fini(&fields);
}

static void record_custom(struct ph_hub *hub, struct ph_record *record)
{
    record->seq = ph_history_append(hub->history, record);
    hub->picture.events = record->seq;
    hub->ports.trace->record(hub->ports.context, record);
}

void ph_hub_custom_event(struct ph_hub *hub, const char *name, const char *payload,
                         uint8_t priority)
{
    struct ph_record record = {
        .now_ms = hub->now_ms,
        .priority = priority,
        .type = name,
        .id = "",
        .text = payload,
    };
    record_custom(hub, &record);
    tell_listeners(hub, &record);
}

static bool is_for_us(const struct ph_hub *hub, const struct ph_event *event)
{
    switch (event->dispatch.members) {
    case PH_MEMBERS_GLOBAL:
    case PH_MEMBERS_LOCAL:
        return true;
    case PH_MEMBERS_EXTERNAL:
        return false;
    case PH_MEMBERS_NODES:
        return !hub->cluster || ph_cluster_is_named(hub, event->dispatch.nodes);
    }
    return true;
}

static void on_dispatch(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_record record = {
        .now_ms = hub->now_ms,
        .priority = event->gated.priority,
        .type = event->dispatch.name,
        .id = "",
        .text = event->dispatch.payload ? event->dispatch.payload : "",
    };
    record_custom(hub, &record);
    if (is_for_us(hub, event))
        tell_listeners(hub, &record);
    if (event->dispatch.members != PH_MEMBERS_LOCAL && hub->cluster)
        ph_cluster_dispatch(hub, event);
    const struct ph_lock *lock = NULL;
    struct ph_error error = {0};
    int rc = event->dispatch.lock ? ph_hub_take_lock(hub, event->dispatch.lock, &lock, &error) : 0;
    ph_op_set_reply(event->op, "passed", 6);
    ph_hub_finish_op(hub, event->op, rc, rc ? error.text : NULL);
    event->op = NULL;
}

static void on_child(struct ph_hub *hub, struct ph_event *event)
{
    static const enum ph_super_event events[PH_EVENT_TYPES] = {
        [PH_EVENT_CHILD_UP] = PH_SUPER_UP,         [PH_EVENT_CHILD_PREPARED] = PH_SUPER_PREPARED,
        [PH_EVENT_CHILD_DOWN] = PH_SUPER_DOWN,     [PH_EVENT_CHILD_KEPT] = PH_SUPER_KEPT,
        [PH_EVENT_CHILD_COPIED] = PH_SUPER_COPIED, [PH_EVENT_CHILD_ENDING] = PH_SUPER_ENDING,
    };
    struct ph_child *child = event->child.child;
    if (atomic_load_explicit(&child->instance, memory_order_relaxed) != event->child.instance)
        return;
    struct ph_super_call call = {
        .event = events[event->type],
        .exit = event->child.exit,
        .saved = &event->child.saved,
        .sums = &event->child.sums,
    };
    event->child.exit = NULL;
    ph_super_handle(hub, child, &call);
}

static void on_merged(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_child *child = event->child.child;
    if (atomic_load_explicit(&child->instance, memory_order_relaxed) == event->child.instance)
        ph_cluster_child_merged(hub, child, event->child.exit->value, event->child.exit->text);
}

static void on_note(struct ph_hub *hub, struct ph_event *event)
{
    ph_hub_record(hub, event->note.type, event->note.id, 0, "%s", event->note.text);
}

static void on_work_done(struct ph_hub *hub, struct ph_event *event)
{
    if (event->work.kind == PH_WORK_GROW)
        hub->growing = false;
    else if (event->work.kind == PH_WORK_GROW_DIRECTORY)
        hub->directory_growing = false;
    else if (hub->cluster)
        hub->cluster->mail.fetching = true;
}

static void on_inspect(struct ph_hub *hub, struct ph_event *event)
{
    if (event->op)
        event->inspect(hub, &event->op->reply);
    ph_hub_finish_op(hub, event->op, 0, NULL);
    event->op = NULL;
}

static void on_tick(struct ph_hub *hub, struct ph_event *event)
{
    (void)event;
    ph_hub_expire_locks(hub);
    for (unsigned i = 0; i < DEADLINES_PER_STEP; i++) {
        struct ph_wheel_timer *timer = ph_wheel_expire(&hub->wheel, hub->now_ms);
        if (!timer)
            return;
        struct ph_hub_timer *deadline = ph_container_of(timer, struct ph_hub_timer, timer);
        deadline->fire(hub, deadline);
    }
}

static void on_job(struct ph_hub *hub, struct ph_event *event)
{
    (void)event;
    ph_hub_jobs_run(hub);
    if (ph_cluster_has_work(hub))
        ph_cluster_work(hub);
}

static void shutdown_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    (void)timer;
    char text[96];
    snprintf(text, sizeof text, "%llu children have not ended in time",
             (unsigned long long)hub->picture.children);
    ph_hub_record(hub, "shutdown_late", "", 0, "%s", text);
    if (hub->cluster) {
        ph_hub_stop_all(hub); /* nobody took them over */
        ph_cluster_requests_end(hub);
    }
    ph_hub_finish_op(hub, hub->shutdown, PH_ETIMEOUT, text);
    hub->shutdown = NULL;
}

static void on_shutdown(struct ph_hub *hub, struct ph_event *event)
{
    if (hub->stopping) {
        ph_hub_finish_op(hub, event->op, PH_ESTOPPING, "the hub is stopping already");
        event->op = NULL;
        return;
    }
    hub->stopping = true;
    hub->picture.stopping = true;
    hub->shutdown = event->op;
    event->op = NULL;
    ph_hub_record(hub, "hub_stopping", "", 0, "%llu children",
                  (unsigned long long)hub->picture.children);
    ph_hooks_fire(hub, PH_HOOK_COORDINATOR_SHUTDOWN, "\"reason\":\"stop\"");
    hub->shutdown_timer.fire = shutdown_late;
    ph_wheel_add(&hub->wheel, &hub->shutdown_timer.timer,
                 hub->now_ms + hub->options.shutdown_timeout_ms);
    if (!ph_cluster_hand_over(hub))
        ph_hub_stop_all(hub);
}

static void (*const handlers[PH_EVENT_TYPES])(struct ph_hub *, struct ph_event *) = {
    [PH_EVENT_START] = ph_hub_on_start,
    [PH_EVENT_STOP] = ph_hub_on_target,
    [PH_EVENT_RESTART] = ph_hub_on_target,
    [PH_EVENT_SIGNAL] = ph_hub_on_target,
    [PH_EVENT_DISPATCH] = on_dispatch,
    [PH_EVENT_LOCK] = ph_hub_on_lock,
    [PH_EVENT_UNLOCK] = ph_hub_on_unlock,
    [PH_EVENT_HOOK_ADD] = ph_hooks_on_add,
    [PH_EVENT_HOOK_REMOVE] = ph_hooks_on_remove,
    [PH_EVENT_HOOK_DONE] = ph_hooks_on_done,
    [PH_EVENT_CHILD_UP] = on_child,
    [PH_EVENT_CHILD_PREPARED] = on_child,
    [PH_EVENT_CHILD_DOWN] = on_child,
    [PH_EVENT_CHILD_ENDING] = on_child,
    [PH_EVENT_CHILD_KEPT] = on_child,
    [PH_EVENT_CHILD_COPIED] = on_child,
    [PH_EVENT_CHILD_MERGED] = on_merged,
    [PH_EVENT_CHILD_NOTE] = on_note,
    [PH_EVENT_WORK_DONE] = on_work_done,
    [PH_EVENT_INSPECT] = on_inspect,
    [PH_EVENT_TICK] = on_tick,
    [PH_EVENT_JOB] = on_job,
    [PH_EVENT_SHUTDOWN] = on_shutdown,
    [PH_EVENT_PEER_UP] = ph_cluster_on_peer,
    [PH_EVENT_PEER_DOWN] = ph_cluster_on_peer,
    [PH_EVENT_FRAME] = ph_cluster_on_frame,
    [PH_EVENT_NAME_TAKEN] = ph_cluster_on_name_taken,
    [PH_EVENT_VIEW] = ph_cluster_on_view,
    [PH_EVENT_PIN] = ph_hub_on_target,
    [PH_EVENT_DRAIN] = ph_cluster_on_drain,
    [PH_EVENT_LEAVE] = ph_cluster_on_leave,
    [PH_EVENT_STEER] = ph_hub_on_target,
    [PH_EVENT_MOVES] = ph_cluster_on_moves,
    [PH_EVENT_QUORUM] = ph_cluster_on_quorum,
    [PH_EVENT_SEND] = ph_cluster_on_send,
    [PH_EVENT_ANSWER] = ph_cluster_on_answer,
    [PH_EVENT_CONFLICT] = ph_cluster_on_conflict,
    [PH_EVENT_JOURNAL] = ph_cluster_on_journal,
};

/* ---- The way of an event ------------------------------------------------------------------- */

static void check_stopped(struct ph_hub *hub)
{
    if (!hub->stopping || hub->stopped || hub->picture.children || hub->hooks.busy ||
        ph_hub_jobs_active(hub) || !ph_cluster_is_quiet(hub))
        return;
    hub->stopped = true;
    if (hub->cluster)
        ph_cluster_goodbye(hub);
    ph_wheel_cancel(&hub->wheel, &hub->shutdown_timer.timer);
    ph_hub_finish_op(hub, hub->shutdown, 0, NULL);
    hub->shutdown = NULL;
}

void ph_hub_step(struct ph_hub *hub, struct ph_event *event)
{
    ph_assert(!hub->stepping);
    hub->stepping = true;
    hub->now_ms = event->now_ms;
    ph_registry_open(hub->registry);
    ph_cluster_begin_step(hub);
    handlers[event->type](hub, event);
    ph_cluster_end_step(hub);
    check_stopped(hub);
    ph_registry_reclaim(hub->registry);
    ph_registry_close(hub->registry);
    hub->picture.steps++;
    hub->stepping = false;
    ph_event_destroy(event);
}

/* An event that the gate does not let through now: its caller is answered. */
static void answer_verdict(struct ph_hub *hub, struct ph_event *event, const char *outcome,
                           int code, const char *text)
{
    if (event->type == PH_EVENT_DISPATCH && code != PH_ELIMIT) {
        ph_op_set_reply(event->op, outcome, strlen(outcome));
        code = 0;
        text = NULL;
    }
    ph_hub_finish_op(hub, event->op, code, text);
    event->op = NULL;
}

/* A dispatch is answered at once; a lock that should come with its passing is forgotten. */
static void answer_held(struct ph_hub *hub, struct ph_event *event)
{
    answer_verdict(hub, event, "held", 0, NULL);
    if (event->dispatch.lock)
        ph_event_destroy(event->dispatch.lock);
    event->dispatch.lock = NULL;
}

static bool release_one(struct ph_hub *hub, uint64_t now_ms)
{
    struct ph_gated *gated = ph_gate_next(&hub->gate);
    if (!gated)
        return false;
    struct ph_event *event = ph_container_of(gated, struct ph_event, gated);
    event->now_ms = now_ms;
    ph_hub_step(hub, event);
    return true;
}

void ph_hub_submit(struct ph_hub *hub, struct ph_event *event, uint64_t now_ms)
{
    while (release_one(hub, now_ms)) {
    }
    event->now_ms = now_ms;
    char full[96];
    switch (ph_gate_admit(&hub->gate, &event->gated, now_ms)) {
    case PH_GATE_PASS:
        ph_hub_step(hub, event);
        return;
    case PH_GATE_HELD:
        if (event->type == PH_EVENT_DISPATCH)
            answer_held(hub, event);
        return;
    case PH_GATE_DISCARD:
        answer_verdict(hub, event, "discarded", PH_EREFUSED, "discarded by a lock of the gate");
        break;
    case PH_GATE_REFUSED:
        snprintf(full, sizeof full, "%d events wait behind the gate already: release its locks",
                 PH_GATE_HELD_MAX);
        answer_verdict(hub, event, "refused", PH_ELIMIT, full);
        break;
    }
    ph_event_destroy(event);
}

bool ph_hub_has_work(const struct ph_hub *hub, uint64_t now_ms)
{
    return ph_hub_jobs_runnable(hub) || ph_hub_next_deadline(hub) <= now_ms ||
           ph_gate_releasing(&hub->gate) || ph_cluster_has_work(hub) || ph_cluster_wants_view(hub);
}

void ph_hub_work(struct ph_hub *hub, uint64_t now_ms)
{
    if (ph_hub_next_deadline(hub) <= now_ms) {
        struct ph_event *tick = ph_event_create(PH_EVENT_TICK);
        tick->now_ms = now_ms;
        ph_hub_step(hub, tick);
    }
    for (unsigned i = 0; i < RELEASES_PER_WORK && release_one(hub, now_ms); i++) {
    }
    if (ph_cluster_wants_view(hub))
        ph_hub_submit(hub, ph_cluster_view_event(hub), now_ms);
    if (ph_hub_jobs_runnable(hub) || ph_cluster_has_work(hub)) {
        struct ph_event *job = ph_event_create(PH_EVENT_JOB);
        job->now_ms = now_ms;
        ph_hub_step(hub, job);
    }
}

uint64_t ph_hub_next_deadline(const struct ph_hub *hub)
{
    uint64_t gate = ph_gate_deadline(&hub->gate);
    uint64_t wheel = ph_wheel_next(&hub->wheel);
    return gate < wheel ? gate : wheel;
}

void ph_hub_picture(const struct ph_hub *hub, struct ph_status *status)
{
    *status = hub->picture;
    status->now_ms = hub->now_ms;
    status->local = status->children;
    status->level = hub->gate.level;
    status->locks = hub->gate.lock_count;
    status->held = hub->gate.held_count;
    status->held_total = hub->gate.held_total;
    status->discarded = hub->gate.discarded;
    status->refused = hub->gate.refused;
    status->expired = hub->gate.expired;
    status->deadline_ms = PH_NEVER;
    status->settled = status->by_state[PH_STATE_STARTING] == 0 && !ph_hub_jobs_active(hub);
    if (hub->cluster)
        ph_cluster_picture(hub, status);
    const struct ph_lock *holder = ph_gate_holder(&hub->gate);
    if (holder) {
        memcpy(status->holder, holder->name, sizeof status->holder);
        memcpy(status->reason, holder->reason, sizeof status->reason);
        status->deadline_ms = holder->deadline_ms;
    }
}
