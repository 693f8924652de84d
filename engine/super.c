#include "engine/super.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/spec.h"
#include "engine/super_inside.h"

enum {
    LEASE_WAIT_MS = 100, /* without a lease nothing is started: look again */
    SECOND_US = 1000000,
};

/* ---- Side table ---------------------------------------------------------------------------- */

static void deadline_fired(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    struct ph_care *care = ph_container_of(timer, struct ph_care, deadline);
    struct ph_super_call call = {.event = PH_SUPER_DEADLINE};
    ph_super_handle(hub, care->child, &call);
}

struct ph_care *ph_super_care(struct ph_child *child)
{
    if (!child->care) {
        child->care = ph_alloc(sizeof *child->care);
        child->care->child = child;
        child->care->deadline.fire = deadline_fired;
    }
    return child->care;
}

static void drop_care(struct ph_child *child)
{
    struct ph_care *care = child->care;
    child->care = NULL;
    ph_spec_put(care->next_spec);
    ph_text_fini(&care->unused);
    ph_free(care->restarts);
    ph_free(care);
}

/* A child that runs and has no past to remember needs no side table. */
static void maybe_drop_care(struct ph_child *child)
{
    struct ph_care *care = child->care;
    if (care && !care->waiting && !care->restart_count && !care->failures)
        drop_care(child);
}

void ph_super_forget(struct ph_child *child)
{
    if (!child->care)
        return;
    while (child->care->waiting) {
        struct ph_super_waiting *waiting = child->care->waiting;
        child->care->waiting = waiting->next;
        ph_free(waiting);
    }
    drop_care(child);
}

void ph_super_set_deadline(struct ph_hub *hub, struct ph_child *child, uint64_t delay_ms)
{
    ph_wheel_add(&hub->wheel, &ph_super_care(child)->deadline.timer, hub->now_ms + delay_ms);
}

void ph_super_clear_deadline(struct ph_hub *hub, struct ph_child *child)
{
    if (child->care)
        ph_wheel_cancel(&hub->wheel, &child->care->deadline.timer);
}

/* ---- Who waits ----------------------------------------------------------------------------- */

static struct ph_super_waiting *add_waiting(struct ph_child *child)
{
    struct ph_super_waiting *waiting = ph_alloc(sizeof *waiting);
    struct ph_care *care = ph_super_care(child);
    waiting->next = care->waiting;
    care->waiting = waiting;
    return waiting;
}

void ph_super_await_remote(struct ph_child *child, uint16_t member, uint64_t token)
{
    struct ph_super_waiting *waiting = add_waiting(child);
    waiting->member = member;
    waiting->token = token;
}

void ph_super_await(struct ph_child *child, const struct ph_super_call *call)
{
    if (call->job)
        add_waiting(child)->job = call->job;
    else if (call->member)
        ph_super_await_remote(child, call->member, call->token);
}

void ph_super_settle(struct ph_hub *hub, struct ph_child *child, enum ph_outcome outcome, int code,
                     const char *text)
{
    struct ph_super_waiting *waiting = child->care ? child->care->waiting : NULL;
    if (!waiting)
        return;
    child->care->waiting = NULL;
    ph_cluster_child_settles(hub, child);
    while (waiting) {
        struct ph_super_waiting *next = waiting->next;
        if (waiting->job)
            ph_job_settle(hub, waiting->job, child->id, outcome, code, text);
        else
            ph_cluster_outcome(hub, (struct ph_asker){waiting->member, waiting->token}, child,
                               outcome, code, text);
        ph_free(waiting);
        waiting = next;
    }
}

/* ---- State and records --------------------------------------------------------------------- */

void ph_super_set_state(struct ph_hub *hub, struct ph_child *child, enum ph_state state)
{
    hub->picture.by_state[ph_child_state(child)]--;
    hub->picture.by_state[state]++;
    atomic_store_explicit(&child->since_ms, hub->now_ms, memory_order_relaxed);
    atomic_store_explicit(&child->state, (uint8_t)state, memory_order_relaxed);
    ph_cluster_child_changed(hub, child);
}

static void fire_child_hook(struct ph_hub *hub, enum ph_hook hook, const struct ph_child *child,
                            const char *reason)
{
    if (!ph_hooks_wanted(hub, hook))
        return;
    struct ph_child_info info;
    struct ph_text fields = PH_TEXT_INIT;
    ph_child_inspect_rcu(child, &info);
    ph_text_put(&fields, "\"id\":");
    ph_text_json(&fields, child->id, child->id_length);
    ph_text_printf(&fields, ",\"instance\":%llu,\"pid\":", (unsigned long long)info.instance);
    if (info.pid)
        ph_text_printf(&fields, "%llu", (unsigned long long)info.pid);
    else
        ph_text_put(&fields, "null");
    if (reason) {
        ph_text_put(&fields, ",\"reason\":");
        ph_text_json(&fields, reason, strlen(reason));
    }
    ph_hooks_fire(hub, hook, ph_text_str(&fields));
    ph_text_fini(&fields);
}

/* Keeps how the instance ended where readers find it. */
static void publish_exit(struct ph_hub *hub, struct ph_child *child, struct ph_exit *exit)
{
    exit->now_ms = hub->now_ms;
    ph_rcu_free(atomic_exchange_explicit(&child->last_exit, exit, memory_order_acq_rel));
}

void ph_super_retire(struct ph_hub *hub, struct ph_child *child)
{
    ph_super_clear_deadline(hub, child);
    if (child->announced)
        fire_child_hook(hub, PH_HOOK_REGISTRY_PID_REMOVE, child, NULL);
    hub->picture.by_state[ph_child_state(child)]--;
    hub->picture.children--;
    if (child->care)
        drop_care(child);
    ph_registry_remove(hub->registry, child);
    if (!ph_cluster_child_gone(hub, child))
        ph_registry_release(hub->registry, child);
}

/* ---- Launching ----------------------------------------------------------------------------- */

static void use_next_spec(struct ph_child *child)
{
    struct ph_care *care = child->care;
    if (!care || !care->next_spec)
        return;
    ph_child_replace_spec(child, care->next_spec);
    care->next_spec = NULL;
}

static void start_instance(struct ph_hub *hub, struct ph_child *child)
{
    if (!ph_cluster_may_run(hub)) { /* the fence is near, and ends it */
        ph_super_set_state(hub, child, PH_STATE_BACKOFF);
        ph_super_set_deadline(hub, child, LEASE_WAIT_MS);
        return;
    }
    use_next_spec(child);
    uint32_t instance = atomic_load_explicit(&child->instance, memory_order_relaxed) + 1;
    atomic_store_explicit(&child->instance, instance, memory_order_relaxed);
    atomic_store_explicit(&child->epoch, ++hub->last_epoch, memory_order_relaxed);
    if (child->care && child->care->unused.data)
        hub->ports.exec->load(hub->ports.context, child, &child->care->unused);
    if (child->care && child->care->stands_by)
        hub->ports.exec->prepare(hub->ports.context, child, instance);
    else
        hub->ports.exec->start(hub->ports.context, child, instance);
}

void ph_super_launch(struct ph_hub *hub, struct ph_child *child)
{
    ph_super_clear_deadline(hub, child);
    ph_super_set_state(hub, child, PH_STATE_STARTING);
    use_next_spec(child); /* the alter hooks are to see the new one */
    if (ph_hooks_alter(hub, child))
        ph_super_care(child)->altering = true;
    else
        start_instance(hub, child);
}

/* It will run again where it belongs, whatever its restart policy says of other ends. */
void ph_super_lose_place(struct ph_hub *hub, struct ph_child *child)
{
    ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_EREFUSED, "this node is partitioned");
    ph_super_retire(hub, child);
}

void ph_super_relaunch(struct ph_hub *hub, struct ph_child *child)
{
    if (ph_cluster_may_run(hub))
        ph_super_launch(hub, child);
    else
        ph_super_lose_place(hub, child);
}

void ph_super_begin(struct ph_hub *hub, struct ph_child *child, struct ph_job *job, uint64_t cause)
{
    child->cause = cause;
    hub->picture.children++;
    hub->picture.by_state[PH_STATE_STARTING]++;
    atomic_store_explicit(&child->state, PH_STATE_STARTING, memory_order_relaxed);
    const struct ph_super_call call = {.job = job};
    ph_super_await(child, &call);
    ph_super_launch(hub, child);
}

/* ---- Restart policy ------------------------------------------------------------------------ */

static bool wants_restart(const struct ph_spec *spec, const struct ph_exit *exit)
{
    bool normal = exit->how == PH_EXIT_CODE && exit->value == 0;
    switch (spec->restart) {
    case PH_RESTART_PERMANENT:
        return true;
    case PH_RESTART_TRANSIENT:
        return !normal;
    case PH_RESTART_TEMPORARY:
        return false;
    }
    return false;
}

static void forget_old_restarts(const struct ph_hub *hub, struct ph_care *care, uint64_t window_ms)
{
    uint32_t old = 0;
    while (old < care->restart_count && care->restarts[old] + window_ms <= hub->now_ms)
        old++;
    if (old == 0)
        return; /* also when there is no array yet */
    care->restart_count -= old;
    memmove(care->restarts, care->restarts + old, care->restart_count * sizeof *care->restarts);
}

static void note_restart(const struct ph_hub *hub, struct ph_care *care)
{
    if (care->restart_count == care->restart_capacity) {
        care->restart_capacity = care->restart_capacity ? care->restart_capacity * 2 : 4;
        care->restarts =
            ph_realloc(care->restarts, care->restart_capacity * sizeof *care->restarts);
    }
    care->restarts[care->restart_count++] = hub->now_ms;
}

/* D, 2D, 4D, … up to the bound, each with up to half of itself on top, so that many children that
 * fell together do not rise together. Never shorter than the one before. */
static uint64_t backoff_delay(struct ph_hub *hub, const struct ph_spec *spec, uint32_t failures)
{
    if (failures == 0)
        return 0;
    uint32_t doublings = failures - 1 < 32 ? failures - 1 : 32;
    uint64_t delay = spec->backoff_ms << doublings;
    if (delay >= spec->backoff_max_ms || delay >> doublings != spec->backoff_ms)
        return spec->backoff_max_ms;
    delay += ph_prng_below(&hub->prng, delay / 2 + 1);
    return delay < spec->backoff_max_ms ? delay : spec->backoff_max_ms;
}

/* The hub's restart rate, as a generic cell rate algorithm (ITU-T I.371): how long this one waits.
 * The restarts of one second may come at once: a tolerance of all slots of a second but the first.
 */
static uint64_t rate_delay(struct ph_hub *hub)
{
    if (hub->options.restart_rate == 0)
        return 0;
    uint64_t now_us = hub->now_ms * 1000;
    uint64_t spacing_us = SECOND_US / hub->options.restart_rate;
    uint64_t burst_us = SECOND_US - spacing_us;
    uint64_t seen = atomic_load_explicit(hub->restart_slot_us, memory_order_relaxed);
    uint64_t slot;
    do { /* the hubs of a node share it; only the number counts, so relaxed is enough */
        slot = seen > now_us ? seen : now_us;
    } while (!atomic_compare_exchange_weak_explicit(hub->restart_slot_us, &seen, slot + spacing_us,
                                                    memory_order_relaxed, memory_order_relaxed));
    return slot - now_us <= burst_us ? 0 : (slot - now_us - burst_us + 999) / 1000;
}

static void give_up(struct ph_hub *hub, struct ph_child *child, const struct ph_exit *exit,
                    uint64_t cause)
{
    struct ph_text why = PH_TEXT_INIT;
    ph_exit_reason(exit, true, &why);
    ph_super_set_state(hub, child, PH_STATE_FAILED);
    hub->picture.gave_up++;
    child->cause = ph_hub_record(hub, "child_failed", child->id, cause, "%s", ph_text_str(&why));
    fire_child_hook(hub, PH_HOOK_CHILD_FAILED, child, ph_text_str(&why));
    ph_text_fini(&why);
}

static void restart_later(struct ph_hub *hub, struct ph_child *child, struct ph_care *care,
                          uint64_t cause)
{
    const struct ph_spec *spec = ph_child_spec_rcu(child);
    uint64_t delay = backoff_delay(hub, spec, care->failures);
    uint64_t rate = rate_delay(hub);
    if (rate > delay)
        delay = rate;
    care->failures++;
    care->restarting = true;
    note_restart(hub, care);
    if (delay == 0) {
        child->cause = cause;
        ph_super_launch(hub, child);
        return;
    }
    struct ph_text window = PH_TEXT_INIT;
    ph_text_duration(&window, spec->max_seconds_ms);
    ph_super_set_state(hub, child, PH_STATE_BACKOFF);
    child->cause = ph_hub_record(
        hub, "child_backoff", child->id, cause, "starts again in %llu ms (restart %u of %u in %s)",
        (unsigned long long)delay, care->restart_count, spec->max_restarts, ph_text_str(&window));
    ph_text_fini(&window);
    ph_super_set_deadline(hub, child, delay);
}

/* An instance ended by itself: what its restart policy says. */
static void recover(struct ph_hub *hub, struct ph_child *child, struct ph_exit *exit,
                    uint64_t life_ms)
{
    const struct ph_spec *spec = ph_child_spec_rcu(child);
    struct ph_text why = PH_TEXT_INIT;
    ph_exit_describe(exit, &why);
    uint64_t seq =
        ph_hub_record(hub, "child_exited", child->id, child->cause, "%s", ph_text_str(&why));
    if (!ph_cluster_may_run(hub)) {
        ph_text_fini(&why);
        ph_free(exit);
        ph_super_lose_place(hub, child);
        return;
    }
    if (!wants_restart(spec, exit)) {
        ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_EFAILED, ph_text_str(&why));
        ph_free(exit);
        ph_text_fini(&why);
        ph_cluster_child_ended(hub, child);
        ph_super_retire(hub, child);
        return;
    }
    struct ph_care *care = ph_super_care(child);
    exit->restarts = spec->max_restarts;
    exit->window_ms = spec->max_seconds_ms;
    publish_exit(hub, child, exit);
    forget_old_restarts(hub, care, spec->max_seconds_ms);
    if (life_ms >= spec->max_seconds_ms)
        care->failures = 0;
    if (care->restart_count >= spec->max_restarts)
        give_up(hub, child, exit, seq);
    else
        restart_later(hub, child, care, seq);
    ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_EFAILED, ph_text_str(&why));
    ph_text_fini(&why);
}

/* ---- The table ----------------------------------------------------------------------------- */

static struct ph_exit *exit_of(struct ph_super_call *call)
{
    struct ph_exit *exit = call->exit ? call->exit : ph_alloc(sizeof *exit);
    call->exit = NULL;
    return exit;
}

static void ignore(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)hub;
    (void)child;
    (void)call;
}

static void starting_up(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)call;
    struct ph_care *care = child->care;
    uint32_t instance = atomic_load_explicit(&child->instance, memory_order_relaxed);
    bool again = instance > 1;
    ph_super_set_state(hub, child, PH_STATE_RUNNING);
    if (care && care->restarting) {
        atomic_fetch_add_explicit(&child->restarts, 1, memory_order_relaxed);
        hub->picture.restarts++;
        care->restarting = false;
    }
    hub->picture.starts++;
    char which[32] = "";
    if (again)
        snprintf(which, sizeof which, "instance %u", instance);
    child->cause = ph_hub_record(hub, again ? "child_restarted" : "child_started", child->id,
                                 child->cause, "%s", which);
    fire_child_hook(hub, PH_HOOK_PROCESS_STARTUPS, child, NULL);
    fire_child_hook(hub, child->announced ? PH_HOOK_PID_UPDATE : PH_HOOK_REGISTRY_PID_INSERT, child,
                    NULL);
    child->announced = true;
    ph_super_settle(hub, child, PH_OUTCOME_CHANGED, 0, NULL);
    ph_cluster_child_up(hub, child);
    maybe_drop_care(child);
}

/* The next instance is given it, here or where the child moves to. */
static void keep_unused(struct ph_child *child, struct ph_text *state)
{
    if (!state || !state->data)
        return;
    ph_super_care(child)->unused = *state;
    *state = PH_TEXT_INIT;
}

/* A first instance that never ran leaves nothing behind, nor does one whose move fails by that: it
 * goes on where it was. Any other is a failure like all others. */
static void starting_down(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    struct ph_exit *exit = exit_of(call);
    bool first = atomic_load_explicit(&child->instance, memory_order_relaxed) == 1;
    bool never_ran = first && exit->how == PH_EXIT_EXEC && !ph_cluster_child_ran_elsewhere(child);
    if (!never_ran && !ph_cluster_child_arrives(child)) {
        keep_unused(child, call->saved);
        recover(hub, child, exit, 0);
        return;
    }
    struct ph_text why = PH_TEXT_INIT;
    ph_exit_describe(exit, &why);
    ph_hub_record(hub, "start_failed", child->id, child->cause, "%s", ph_text_str(&why));
    ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_EFAILED, ph_text_str(&why));
    ph_cluster_child_failed_start(hub, child, ph_text_str(&why));
    ph_text_fini(&why);
    ph_free(exit);
    ph_super_retire(hub, child);
}

static void starting_altered(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    struct ph_care *care = ph_super_care(child);
    care->altering = false;
    if (call->spec) {
        ph_spec_put(care->next_spec);
        care->next_spec = call->spec;
        call->spec = NULL;
    }
    if (ph_cluster_may_run(hub))
        start_instance(hub, child);
    else
        ph_super_lose_place(hub, child);
}

static void running_down(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    uint64_t since = atomic_load_explicit(&child->since_ms, memory_order_relaxed);
    recover(hub, child, exit_of(call), hub->now_ms - since);
}

void ph_super_begin_stop(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call,
                         bool again)
{
    struct ph_care *care = ph_super_care(child);
    ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_ESUPERSEDED, "stopped by another request");
    ph_super_await(child, call);
    ph_super_set_state(hub, child, PH_STATE_STOPPING);
    child->cause = call->cause;
    care->again = again;
    care->killed = false;
    care->restarting = false;
    if (care->altering)
        return; /* it never ran; PH_SUPER_ALTERED ends it */
    hub->ports.exec->stop(hub->ports.context, child);
    ph_super_set_deadline(hub, child, ph_child_spec_rcu(child)->shutdown_ms);
}

static void active_stop(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    ph_super_begin_stop(hub, child, call, false);
}

static void active_restart(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    if (ph_cluster_child_arrives(child)) /* its state is with the other node */
        ph_super_moving_refuse(hub, child, call);
    else
        ph_super_begin_stop(hub, child, call, true);
}

/* START of a child that is there: with another spec (if_exists=replace), else it has given up. */
static void active_start(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    ph_super_begin_stop(hub, child, call, true);
    child->care->next_spec = call->spec;
    call->spec = NULL;
}

static void removed(struct ph_hub *hub, struct ph_child *child, const char *how)
{
    if (!child->care || !child->care->stands_by) /* it was never here, for people */
        ph_hub_record(hub, "child_stopped", child->id, child->cause, "%s", how);
    ph_super_settle(hub, child, PH_OUTCOME_CHANGED, 0, NULL);
    ph_super_retire(hub, child);
}

static void idle_stop(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_ESUPERSEDED, "stopped by another request");
    ph_super_await(child, call);
    child->cause = call->cause;
    removed(hub, child, "");
}

/* A request starts a child that waits or has given up: with a clean slate. */
static void idle_launch(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    struct ph_care *care = ph_super_care(child);
    ph_super_await(child, call);
    child->cause = call->cause;
    care->failures = 0;
    care->restart_count = 0;
    care->restarting = false;
    if (call->spec) {
        ph_spec_put(care->next_spec);
        care->next_spec = call->spec;
        call->spec = NULL;
    }
    ph_super_relaunch(hub, child);
}

static void backoff_deadline(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)call;
    ph_super_relaunch(hub, child);
}

static void stopped(struct ph_hub *hub, struct ph_child *child, const char *how)
{
    if (child->care->again && hub->stopping) /* it starts on another node, if anywhere */
        ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_ESTOPPING, "the hub is stopping");
    if (!child->care->again || hub->stopping) {
        removed(hub, child, how);
        return;
    }
    child->care->again = false;
    ph_super_relaunch(hub, child);
}

static void stopping_down(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    const char *how = call->exit ? call->exit->text : "";
    if (call->exit && child->care->again)
        publish_exit(hub, child, exit_of(call));
    stopped(hub, child, how);
}

static void stopping_altered(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)call;
    child->care->altering = false;
    stopped(hub, child, "");
}

static void stopping_deadline(struct ph_hub *hub, struct ph_child *child,
                              struct ph_super_call *call)
{
    (void)call;
    if (child->care->killed) {
        ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_ETIMEOUT,
                        child->kind == &ph_kind_process
                            ? "does not end although it was killed"
                            : "does not end: its handler is still running");
        return;
    }
    child->care->killed = true;
    ph_hub_record(hub, "child_killed", child->id, child->cause, "did not end within %llu ms",
                  (unsigned long long)ph_child_spec_rcu(child)->shutdown_ms);
    hub->ports.exec->kill(hub->ports.context, child);
    ph_super_set_deadline(hub, child, PH_KILL_WAIT_MS);
}

/* One more request waits for the end. If the kill's time is over it is killed once more: whoever
 * waits is told in the end. */
static void await_end(struct ph_hub *hub, struct ph_child *child, const struct ph_super_call *call)
{
    struct ph_care *care = child->care;
    ph_super_await(child, call);
    if (!care->killed || ph_wheel_is_armed(&care->deadline.timer))
        return;
    hub->ports.exec->kill(hub->ports.context, child);
    ph_super_set_deadline(hub, child, PH_KILL_WAIT_MS);
}

void ph_super_refuse(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call,
                     const char *why)
{
    if (call->job)
        ph_job_settle(hub, call->job, child->id, PH_OUTCOME_FAILED, PH_ESTOPPING, why);
    else if (call->member)
        ph_cluster_outcome(hub, (struct ph_asker){call->member, call->token}, child,
                           PH_OUTCOME_FAILED, PH_ESTOPPING, why);
}

static void stopping_stop(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    if (child->care->again)
        ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_ESUPERSEDED,
                        "stopped by another request");
    child->care->again = false;
    await_end(hub, child, call);
}

static void stopping_restart(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    if (child->care->again)
        await_end(hub, child, call);
    else
        ph_super_refuse(hub, child, call, "is being stopped");
}

/* It is started again anyway: with this spec, then. */
static void stopping_start(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    struct ph_care *care = child->care;
    if (!care->again) {
        ph_super_refuse(hub, child, call, "is being stopped");
        return;
    }
    if (call->spec) {
        ph_spec_put(care->next_spec);
        care->next_spec = call->spec;
        call->spec = NULL;
    }
    await_end(hub, child, call);
}

bool ph_super_ends(const struct ph_child *child)
{
    return ph_child_state(child) == PH_STATE_STOPPING && !child->care->again;
}

bool ph_super_has_next_spec(const struct ph_child *child, const struct ph_spec *spec)
{
    const struct ph_care *care = child->care;
    return care && care->next_spec && ph_spec_equal(care->next_spec, spec);
}

/* Rows that are not here cannot happen (DOWN before a start) or change nothing (a late UP). */
static const ph_super_transition table[PH_STATES][PH_SUPER_EVENTS] = {
    [PH_STATE_STARTING] =
        {
            [PH_SUPER_START] = active_start,
            [PH_SUPER_UP] = starting_up,
            [PH_SUPER_DOWN] = starting_down,
            [PH_SUPER_STOP] = active_stop,
            [PH_SUPER_RESTART] = active_restart,
            [PH_SUPER_ALTERED] = starting_altered,
            [PH_SUPER_PREPARED] = ph_super_starting_prepared,
            [PH_SUPER_ACTIVATE] = ph_super_starting_activate,
            [PH_SUPER_FENCE] = ph_super_active_fence,
        },
    [PH_STATE_RUNNING] =
        {
            [PH_SUPER_START] = active_start,
            [PH_SUPER_DOWN] = running_down,
            [PH_SUPER_STOP] = active_stop,
            [PH_SUPER_RESTART] = active_restart,
            [PH_SUPER_MOVE] = ph_super_running_move,
            [PH_SUPER_FENCE] = ph_super_active_fence,
        },
    [PH_STATE_BACKOFF] =
        {
            [PH_SUPER_START] = idle_launch,
            [PH_SUPER_STOP] = idle_stop,
            [PH_SUPER_RESTART] = idle_launch,
            [PH_SUPER_DEADLINE] = backoff_deadline,
            [PH_SUPER_MOVE] = ph_super_backoff_move,
            [PH_SUPER_FENCE] = ph_super_idle_fence,
        },
    [PH_STATE_STOPPING] =
        {
            [PH_SUPER_START] = stopping_start,
            [PH_SUPER_DOWN] = stopping_down,
            [PH_SUPER_STOP] = stopping_stop,
            [PH_SUPER_RESTART] = stopping_restart,
            [PH_SUPER_DEADLINE] = stopping_deadline,
            [PH_SUPER_ALTERED] = stopping_altered,
            [PH_SUPER_FENCE] = ph_super_stopping_fence,
        },
    [PH_STATE_MOVING] =
        {
            [PH_SUPER_START] = ph_super_moving_refuse,
            [PH_SUPER_DOWN] = ph_super_moving_down,
            [PH_SUPER_STOP] = ph_super_moving_stop,
            [PH_SUPER_RESTART] = ph_super_moving_refuse,
            [PH_SUPER_DEADLINE] = ph_super_moving_deadline,
            [PH_SUPER_ENDING] = ph_super_moving_ending,
            [PH_SUPER_KEPT] = ph_super_moving_kept,
            [PH_SUPER_COPIED] = ph_super_moving_copied,
            [PH_SUPER_MOVED] = ph_super_moving_moved,
            [PH_SUPER_RETURN] = ph_super_moving_return,
            [PH_SUPER_FENCE] = ph_super_moving_fence,
        },
    [PH_STATE_FAILED] =
        {
            [PH_SUPER_START] = idle_launch,
            [PH_SUPER_STOP] = idle_stop,
            [PH_SUPER_RESTART] = idle_launch,
            [PH_SUPER_FENCE] = ph_super_idle_fence,
        },
};

void ph_super_handle(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    ph_super_transition act = table[ph_child_state(child)][call->event];
    (act ? act : ignore)(hub, child, call);
    ph_free(call->exit);
    ph_spec_put(call->spec);
}
