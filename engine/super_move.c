/* What moves and fencing add to the life of a child. */
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/spec.h"
#include "engine/super_inside.h"

void ph_super_stand_by(struct ph_child *child)
{
    ph_super_care(child)->stands_by = true;
}

void ph_super_starting_prepared(struct ph_hub *hub, struct ph_child *child,
                                struct ph_super_call *call)
{
    (void)call;
    ph_cluster_child_prepared(hub, child);
}

void ph_super_starting_activate(struct ph_hub *hub, struct ph_child *child,
                                struct ph_super_call *call)
{
    child->care->stands_by = false;
    atomic_store_explicit(&child->epoch, ++hub->last_epoch, memory_order_relaxed);
    hub->ports.exec->activate(hub->ports.context, child, call->saved);
}

void ph_super_running_move(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    struct ph_care *care = ph_super_care(child);
    struct ph_text room = PH_TEXT_INIT;
    uint64_t copy_from = ph_cluster_copies_from(hub, child, &room);
    child->cause = call->cause;
    care->saving = true;
    care->killed = care->unloading = false;
    ph_super_set_state(hub, child, PH_STATE_MOVING);
    if (copy_from)
        hub->ports.exec->copy(hub->ports.context, child, copy_from, &room);
    else
        hub->ports.exec->save(hub->ports.context, child);
    if (!ph_cluster_moves_hot(child)) /* then it is not killed for being slow to be saved */
        ph_super_set_deadline(hub, child, ph_child_spec_rcu(child)->shutdown_ms);
}

static void unload(struct ph_hub *hub, struct ph_child *child)
{
    child->care->saving = child->care->unloading = true;
    hub->ports.exec->unload(hub->ports.context, child);
}

/* It waits for its next start anyway: what goes with it is what that was to begin with. */
void ph_super_backoff_move(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    struct ph_text state = ph_super_care(child)->unused;
    struct ph_sums none = {0};
    child->care->unused = PH_TEXT_INIT;
    child->care->saving = child->care->unloading = false;
    child->cause = call->cause;
    ph_super_clear_deadline(hub, child);
    ph_super_set_state(hub, child, PH_STATE_MOVING);
    if (!state.data && child->kind->unload) {
        unload(hub, child);
        return;
    }
    ph_cluster_child_saved(hub, child, &state, &none);
    ph_text_fini(&state);
}

void ph_super_moving_down(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    struct ph_text nothing = PH_TEXT_INIT;
    struct ph_sums none = {0};
    struct ph_care *care = ph_super_care(child);
    bool by_itself = !call->saved || !call->saved->data;
    ph_super_clear_deadline(hub, child);
    if (by_itself && child->kind->unload && !care->unloading) {
        unload(hub, child); /* it had ended before it could be saved */
        return;
    }
    care->saving = care->unloading = false;
    ph_cluster_child_saved(hub, child, call->saved ? call->saved : &nothing,
                           call->sums ? call->sums : &none);
}

/* What it said is its state: for its end it has as long as for any other. */
void ph_super_moving_ending(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    uint64_t shutdown_ms = ph_child_spec_rcu(child)->shutdown_ms;
    (void)call;
    if (!child->care->saving || !ph_cluster_moves_hot(child))
        return;
    ph_super_set_deadline(hub, child, shutdown_ms);
    ph_cluster_child_ending(hub, child, shutdown_ms + PH_KILL_WAIT_MS);
}

static void go_on(struct ph_hub *hub, struct ph_child *child)
{
    ph_super_clear_deadline(hub, child);
    ph_super_care(child)->saving = false;
    ph_super_set_state(hub, child, PH_STATE_RUNNING);
}

void ph_super_moving_kept(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    go_on(hub, child);
    ph_cluster_child_kept(hub, child, call->exit ? call->exit->text : "");
}

void ph_super_moving_copied(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    go_on(hub, child);
    ph_cluster_child_copied(hub, child, call->saved);
}

void ph_super_moving_deadline(struct ph_hub *hub, struct ph_child *child,
                              struct ph_super_call *call)
{
    (void)call;
    if (!child->care->saving || child->care->killed)
        return;
    child->care->killed = true;
    ph_hub_record(hub, "child_killed", child->id, child->cause, "did not end within %llu ms",
                  (unsigned long long)ph_child_spec_rcu(child)->shutdown_ms);
    hub->ports.exec->kill(hub->ports.context, child);
    ph_super_set_deadline(hub, child, PH_KILL_WAIT_MS);
}

/* Once it has been sent its fate is the other node's, which hears of the stop, too. */
void ph_super_moving_stop(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    if (child->care && child->care->saving)
        ph_super_begin_stop(hub, child, call, false);
    else
        ph_super_await(child, call);
    if (ph_child_state(child) == PH_STATE_MOVING && hub->stopping && !ph_cluster_may_run(hub))
        ph_super_moving_moved(hub, child, call); /* nobody will answer */
}

void ph_super_moving_refuse(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    ph_super_refuse(hub, child, call, "is being moved: try again");
}

void ph_super_moving_moved(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)call;
    ph_super_settle(hub, child, PH_OUTCOME_CHANGED, 0, NULL);
    ph_super_retire(hub, child);
}

void ph_super_moving_return(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)call;
    ph_super_relaunch(hub, child);
}

void ph_super_active_fence(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    ph_super_begin_stop(hub, child, call, false);
    if (child->care->altering)
        return;
    child->care->killed = true;
    hub->ports.exec->kill(hub->ports.context, child);
    ph_super_set_deadline(hub, child, PH_KILL_WAIT_MS);
}

void ph_super_idle_fence(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)call;
    ph_super_lose_place(hub, child);
}

/* What was sent may still arrive, and nothing of it runs here: it stays in doubt until the target
 * answers, or is out of the view. */
void ph_super_moving_fence(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    if (child->care && child->care->saving)
        ph_super_active_fence(hub, child, call);
    else if (hub->stopping)
        ph_super_idle_fence(hub, child, call);
}

void ph_super_stopping_fence(struct ph_hub *hub, struct ph_child *child, struct ph_super_call *call)
{
    (void)call;
    if (child->care->again) /* who waits for it to start again waits in vain */
        ph_super_settle(hub, child, PH_OUTCOME_FAILED, PH_EREFUSED, "this node is partitioned");
    child->care->again = false;
    if (child->care->killed || child->care->altering)
        return;
    child->care->killed = true;
    hub->ports.exec->kill(hub->ports.context, child);
    ph_super_set_deadline(hub, child, PH_KILL_WAIT_MS);
}
