/* What is wanted against what runs: every difference becomes a command. */
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/cluster_journal.h"
#include "engine/cluster_move.h"
#include "engine/cluster_requests.h"
#include "engine/spec.h"

enum { SLICE = PH_JOB_SLICE };

/* ---- What is to be looked at ----------------------------------------------------------------- */

void ph_cluster_touch(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    if (entry->queued)
        return;
    entry->queued = true;
    entry->next_dirty = NULL;
    *cluster->dirty_last = entry;
    cluster->dirty_last = &entry->next_dirty;
}

void ph_cluster_scan(struct ph_hub *hub)
{
    hub->cluster->scanning = true;
    hub->cluster->scan = (struct ph_cursor){0};
}

bool ph_cluster_reconcile_has_work(const struct ph_hub *hub)
{
    return hub->cluster->dirty_first || hub->cluster->scanning;
}

/* ---- Where things are ------------------------------------------------------------------------ */

uint16_t ph_cluster_owner(const struct ph_cluster *cluster, const struct ph_entry *entry)
{
    struct ph_cluster *writable = (struct ph_cluster *)(uintptr_t)cluster;
    return ph_members_owner(ph_rcu_load(&writable->published), entry->hash, entry);
}

/* Where it is started when nobody runs it: pins do not count, so that all agree on it without
 * having the same intents. It moves to where it is pinned. */
uint16_t ph_cluster_starter(const struct ph_cluster *cluster, const struct ph_entry *entry)
{
    struct ph_cluster *writable = (struct ph_cluster *)(uintptr_t)cluster;
    return ph_members_owner(ph_rcu_load(&writable->published), entry->hash, NULL);
}

static enum ph_state state_of(const struct ph_placement *placement)
{
    return (enum ph_state)atomic_load_explicit(
        &((struct ph_placement *)(uintptr_t)placement)->state, memory_order_relaxed);
}

static uint64_t epoch_of(const struct ph_placement *placement)
{
    return atomic_load_explicit(&((struct ph_placement *)(uintptr_t)placement)->epoch,
                                memory_order_relaxed);
}

static bool counts(const struct ph_cluster *cluster, const struct ph_placement *placement)
{
    return ph_cluster_in_view(cluster, placement->member) &&
           !ph_directory_is_void(cluster->directory, placement);
}

struct ph_placement *ph_cluster_live_placement(const struct ph_cluster *cluster,
                                               const struct ph_entry *entry, uint16_t but)
{
    struct ph_placement *best = NULL;
    for (struct ph_placement *at = ph_entry_first_rcu(entry); at; at = ph_placement_next_rcu(at)) {
        if (at->member == but || !counts(cluster, at))
            continue;
        if (!best || (state_of(at) != PH_STATE_MOVING &&
                      (state_of(best) == PH_STATE_MOVING || epoch_of(at) > epoch_of(best))))
            best = at;
    }
    return best;
}

static enum ph_state shown_state(const struct ph_cluster *cluster, const struct ph_entry *entry)
{
    const struct ph_placement *placement = ph_cluster_live_placement(cluster, entry, PH_NO_MEMBER);
    if (placement)
        return state_of(placement);
    return ph_entry_first_rcu(entry) ? PH_STATE_UNKNOWN : PH_STATE_STARTING;
}

/* In transit, doubled, absent, or at another place than the strategy wants. */
static bool is_misplaced(const struct ph_cluster *cluster, const struct ph_entry *entry)
{
    const struct ph_placement *only = NULL;
    for (const struct ph_placement *at = ph_entry_first_rcu(entry); at;
         at = ph_placement_next_rcu(at)) {
        if (!counts(cluster, at))
            continue;
        if (only)
            return true;
        only = at;
    }
    if (!only)
        return true;
    uint16_t owner = ph_cluster_owner(cluster, entry);
    return state_of(only) == PH_STATE_MOVING ||
           (owner != PH_NO_MEMBER && owner != only->member && state_of(only) != PH_STATE_FAILED);
}

void ph_cluster_recount(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    bool wanted = ph_entry_spec_rcu(entry) != NULL;
    uint8_t shown = wanted ? (uint8_t)shown_state(cluster, entry) : PH_STATES;
    bool misplaced = wanted && !cluster->fenced && is_misplaced(cluster, entry);
    if (entry->shown != PH_STATES)
        cluster->by_state[entry->shown]--;
    if (shown != PH_STATES)
        cluster->by_state[shown]++;
    entry->shown = shown;
    cluster->misplaced += (uint64_t)misplaced - (uint64_t)entry->misplaced;
    entry->misplaced = misplaced;
}

/* ---- The own placement --------------------------------------------------------------------- */

void ph_cluster_note_own(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_child *child = entry->child;
    struct ph_child_info info;
    if (!child || ph_move_stands_by(entry)) {
        ph_directory_place(hub->directory, entry, 0, NULL, NULL);
        return;
    }
    ph_child_inspect_rcu(child, &info);
    const struct ph_placed placed = {
        .state = info.state,
        .epoch = info.epoch,
        .pid = info.pid,
        .since_ms = info.since_ms,
        .instance = (uint32_t)info.instance,
        .restarts = info.restarts,
    };
    const struct ph_exit *exit = atomic_load_explicit(&child->last_exit, memory_order_relaxed);
    struct ph_text why = PH_TEXT_INIT;
    if (exit && (info.state == PH_STATE_FAILED || info.state == PH_STATE_BACKOFF))
        ph_exit_reason(exit, info.state == PH_STATE_FAILED, &why);
    ph_directory_place(hub->directory, entry, 0, &placed, why.length ? why.data : NULL);
    ph_text_fini(&why);
}

static void drop_void(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_placement *next;
    for (struct ph_placement *at = ph_entry_first_rcu(entry); at; at = next) {
        next = ph_placement_next_rcu(at);
        if (ph_directory_is_void(hub->directory, at))
            ph_directory_place(hub->directory, entry, at->member, NULL, NULL);
    }
}

/* ---- Commands ------------------------------------------------------------------------------ */

/* A child of the entry that nobody is to send to directly yet. */
static struct ph_child *create_child(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_spec *spec = ph_entry_spec_rcu(entry);
    struct ph_child *child =
        ph_child_create(hub, hub->kind_of(spec), entry->id, entry->id_length, spec);
    if (++cluster->mail.detour_keys == 0)
        cluster->mail.detour_keys = 1;
    atomic_init(&child->detour, (uint64_t)cluster->mail.detour_keys << 32 | PH_DETOUR_CLOSED);
    child->entry = entry;
    entry->child = child;
    int rc = ph_registry_publish(hub->registry, child);
    ph_assert(rc == 0); /* the entry would know of another one */
    return child;
}

struct ph_child *ph_cluster_launch(struct ph_hub *hub, struct ph_entry *entry,
                                   const struct ph_launch *launch)
{
    struct ph_child *child = create_child(hub, entry);
    const struct ph_member *author = ph_member_by_hash(hub->cluster, entry->version.author);
    if (!launch->job && !entry->ran && author && !author->info.self)
        ph_super_await_remote(child, author->slot, entry->version.clock);
    if (launch->stands_by)
        ph_super_stand_by(child);
    else
        ph_mail_child_here(hub, entry, launch->moved);
    if (launch->state && launch->state->length)
        hub->ports.exec->load(hub->ports.context, child, launch->state);
    ph_super_begin(hub, child, launch->job, 0);
    ph_cluster_note_own(hub,
                        entry); /* before any beat that says that this node has all in its log */
    return child;
}

/* Whose intent it is: a node of this side of the hub. */
static bool is_ours(const struct ph_hub *hub, const struct ph_entry *entry)
{
    const struct ph_member *author = ph_member_by_hash(hub->cluster, entry->version.author);
    return author && author->info.in_view;
}

/* It is not in the view, but its frames come: it may have told us of a child, or be about to. */
static bool outsider_has(const struct ph_hub *hub, const struct ph_entry *entry, bool *comes)
{
    const struct ph_cluster *cluster = hub->cluster;
    bool has = false;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        /* One that has been heard for long and does not become a member does not hear us. */
        bool fresh = hub->now_ms - member->greeted_ms < 2 * cluster->dead_after_ms;
        if (member->info.in_view || !fresh || !ph_member_is_reached(cluster, member, hub->now_ms))
            continue;
        *comes |= !ph_member_is_heard(cluster, member, hub->now_ms);
        has |= ph_directory_placement(cluster->directory, entry, slot) != NULL;
    }
    return has;
}

/* It went to another node, whose row has not come yet: it was in that node's log before we heard of
 * the move. */
static bool is_on_its_way(struct ph_hub *hub, const struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    const struct ph_member *to =
        entry->moved_to ? ph_member_by_hash(cluster, entry->moved_to) : NULL;
    if (!to || !to->info.in_view || to->info.generation != entry->moved_life)
        return false;
    uint64_t until_ms = entry->moved_ms + cluster->dead_after_ms;
    if (hub->now_ms >= until_ms && to->log_hi >= to->beat_hi)
        return false; /* it came and went */
    if (cluster->retry_ms > until_ms)
        cluster->retry_ms = until_ms > hub->now_ms ? until_ms : hub->now_ms + cluster->heartbeat_ms;
    return true;
}

/* While two sides of a hub become one, what the other side wants may run over there, although we
 * have not been told. It is looked at again soon. */
bool ph_cluster_is_too_early(struct ph_hub *hub, const struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    bool comes = cluster->undecided || cluster->view_wanted;
    bool has = outsider_has(hub, entry, &comes);
    if (is_on_its_way(hub, entry))
        return true; /* its new node's row comes */
    /* What is here already, and shown so to all, nobody else starts. */
    bool alone = entry->child ? cluster->released : cluster->agreed;
    if (!alone || !ph_cluster_may_run(hub))
        return true; /* looked at again when it is, and when the fence is lifted */
    if (!cluster->excluded && !has && (!comes || is_ours(hub, entry)))
        return false;
    if (cluster->retry_ms == PH_NEVER)
        cluster->retry_ms = hub->now_ms + cluster->heartbeat_ms / 2;
    return true;
}

/* Nobody runs it, and it belongs here. */
static void take_over(struct ph_hub *hub, struct ph_entry *entry)
{
    if (ph_journal_holds(hub, entry) || ph_cluster_is_too_early(hub, entry))
        return;
    if (entry->ran)
        hub->cluster->takeovers++;
    if (hub->stopping || hub->picture.children >= PH_CHILDREN_MAX)
        return;
    struct ph_text state = PH_TEXT_INIT;
    if (ph_move_take_kept(hub, entry, &state))
        ph_hub_record(hub, "child_restored", entry->id, 0,
                      "with what it had when it left this node, %zu bytes", state.length);
    ph_cluster_launch(hub, entry, &(struct ph_launch){.state = &state});
    ph_text_fini(&state);
}

static void stop_unwanted(struct ph_hub *hub, struct ph_entry *entry)
{
    const struct ph_member *author = ph_member_by_hash(hub->cluster, entry->version.author);
    struct ph_super_call call = {
        .event = PH_SUPER_STOP,
        .member = author ? author->slot : 0,
        .token = entry->version.clock,
    };
    if (!ph_super_ends(entry->child))
        ph_super_handle(hub, entry->child, &call);
}

/* Of two instances in one view the one with the older epoch goes: everyone can tell which, only
 * the loser acts. One that was given up loses to one that was not. */
static bool loses(const struct ph_hub *hub, const struct ph_entry *entry,
                  const struct ph_placement *other)
{
    const struct ph_cluster *cluster = hub->cluster;
    bool failed = ph_child_state(entry->child) == PH_STATE_FAILED;
    bool other_failed = state_of(other) == PH_STATE_FAILED;
    uint64_t epoch = atomic_load_explicit(&entry->child->epoch, memory_order_relaxed);
    if (failed != other_failed)
        return failed;
    if (epoch != epoch_of(other))
        return epoch < epoch_of(other);
    return cluster->members[0]->info.name_hash > cluster->members[other->member]->info.name_hash;
}

/* What starts may have come with a state: it is saved when it runs, which does not take for ever.
 */
static bool may_come_up(struct ph_hub *hub, const struct ph_child *child)
{
    uint64_t until_ms = atomic_load_explicit(&child->since_ms, memory_order_relaxed) +
                        hub->options.migrate_timeout_ms;
    if (ph_child_state(child) != PH_STATE_STARTING || hub->now_ms >= until_ms)
        return false;
    if (hub->cluster->retry_ms > until_ms)
        hub->cluster->retry_ms = until_ms;
    return true;
}

/* Only what runs has a state to leave. */
static void give_way(struct ph_hub *hub, struct ph_entry *entry, const struct ph_placement *other)
{
    struct ph_child *child = entry->child;
    struct ph_super_call call = {.event = PH_SUPER_STOP};
    bool runs = ph_child_state(child) == PH_STATE_RUNNING;
    if (ph_super_ends(child) || may_come_up(hub, child) || ph_merge_joins(entry) ||
        (runs && !ph_merge_has_room(hub, entry)))
        return;
    hub->cluster->duplicates++;
    ph_hub_record(hub, "child_duplicate", entry->id, 0, "it runs on %s, too, and stays there",
                  hub->cluster->members[other->member]->info.name);
    if (runs)
        ph_merge_begin(hub, entry);
    else
        ph_super_handle(hub, child, &call);
}

bool ph_cluster_has_other_spec(const struct ph_entry *entry)
{
    struct ph_spec *wanted = ph_entry_spec_rcu(entry);
    struct ph_spec *asked = ph_spec_asked(ph_child_spec_rcu(entry->child));
    return asked != wanted && !ph_spec_equal(asked, wanted);
}

static void replace_spec(struct ph_hub *hub, struct ph_entry *entry)
{
    const struct ph_member *author = ph_member_by_hash(hub->cluster, entry->version.author);
    struct ph_super_call call = {
        .event = PH_SUPER_START,
        .spec = ph_spec_get(ph_entry_spec_rcu(entry)),
        .member = author ? author->slot : 0,
        .token = entry->version.clock,
    };
    if (!ph_super_has_next_spec(entry->child, ph_entry_spec_rcu(entry)) &&
        ph_child_state(entry->child) != PH_STATE_STOPPING)
        ph_super_handle(hub, entry->child, &call);
    else
        ph_spec_put(call.spec);
}

static bool may_move(const struct ph_child *child)
{
    enum ph_state state = ph_child_state(child);
    return state == PH_STATE_RUNNING || state == PH_STATE_BACKOFF;
}

/* One that has given up stays where it is, unless its node is to be emptied: then the next owner
 * tries anew. */
static void send_away(struct ph_hub *hub, struct ph_entry *entry, uint16_t owner)
{
    const struct ph_member *self = hub->cluster->members[0];
    struct ph_super_call call = {.event = PH_SUPER_FENCE};
    if (may_move(entry->child))
        ph_move_begin(hub, entry, owner);
    else if (ph_child_state(entry->child) == PH_STATE_FAILED &&
             (self->leaving || self->info.draining))
        ph_super_handle(hub, entry->child, &call);
}

/* The other one is another instance, and stays. */
static bool is_outlived(const struct ph_hub *hub, const struct ph_entry *entry,
                        const struct ph_placement *other)
{
    return other && state_of(other) != PH_STATE_MOVING && loses(hub, entry, other);
}

static void reconcile_local(struct ph_hub *hub, struct ph_entry *entry, uint16_t owner,
                            const struct ph_placement *other)
{
    if (is_outlived(hub, entry, other))
        give_way(hub, entry, other);
    else if (ph_cluster_has_other_spec(entry))
        replace_spec(hub, entry);
    else if (!other && owner != 0 && owner != PH_NO_MEMBER) /* not before that one is through */
        send_away(hub, entry, owner);
}

/* While its target prepares, or a copy goes ahead, the child runs: that may take long, and what has
 * to end ends now. */
static void call_off_early(struct ph_hub *hub, struct ph_entry *entry,
                           const struct ph_placement *other)
{
    if (!ph_entry_spec_rcu(entry))
        ph_move_call_off(hub, entry->move, "stopped meanwhile");
    else if (is_outlived(hub, entry, other))
        ph_move_call_off(hub, entry->move, "it runs elsewhere, too, and stays there");
}

/* What it was moved from may still be shown, and is no other one. */
static void note_others(struct ph_entry *entry, const struct ph_placement *other)
{
    bool runs = entry->child && !ph_move_stands_by(entry);
    if (runs && other && state_of(other) != PH_STATE_MOVING && epoch_of(other) != entry->came_epoch)
        entry->sole = false;
}

static void stop_fenced(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_super_call call = {.event = PH_SUPER_FENCE};
    if (entry->child)
        ph_super_handle(hub, entry->child, &call);
}

/* Also one that comes back from a move, because its target ends, too. */
static void stop_abandoned(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_super_call call = {.event = PH_SUPER_STOP};
    if (entry->child && !entry->move && !ph_super_ends(entry->child))
        ph_super_handle(hub, entry->child, &call);
}

static void reconcile(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    if (cluster->forgetting)
        ph_directory_forget(hub->directory, entry);
    if (cluster->repushing)
        ph_cluster_push_again(hub, entry);
    drop_void(hub, entry);
    ph_cluster_note_own(hub, entry);
    ph_cluster_recount(hub, entry);
    ph_cluster_settle(hub, entry);
    ph_merge_check(hub, entry);
    const struct ph_placement *other = ph_cluster_live_placement(cluster, entry, 0);
    note_others(entry, other);
    if (entry->move && ph_move_is_early(entry->move))
        call_off_early(hub, entry, other);
    if (cluster->fenced) {
        stop_fenced(hub, entry);
    } else if (ph_merge_gives_way(entry)) {
        ph_merge_look(hub, entry);
    } else if (cluster->abandoned) {
        stop_abandoned(hub, entry);
    } else if (!ph_entry_spec_rcu(entry)) {
        if (entry->move && entry->move->phase != PH_MOVE_SAVING)
            ph_move_look(hub, entry);
        else if (entry->child)
            stop_unwanted(hub, entry);
        ph_mail_drop(hub, entry, PH_ENOTFOUND, "no such child");
    } else if (!entry->move) {
        uint16_t owner = ph_cluster_owner(cluster, entry);
        if (entry->child)
            reconcile_local(hub, entry, owner, other);
        else if (!other && ph_cluster_starter(cluster, entry) == 0)
            take_over(hub, entry);
    } else {
        ph_move_look(hub, entry);
    }
    if (entry->mail)
        ph_mail_look(hub, entry);
}

void ph_cluster_stop_here(struct ph_hub *hub)
{
    ph_cluster_scan(hub);
}

/* ---- Slices -------------------------------------------------------------------------------- */

static void work_dirty(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (unsigned i = 0; i < SLICE && cluster->dirty_first; i++) {
        struct ph_entry *entry = cluster->dirty_first;
        cluster->dirty_first = entry->next_dirty;
        if (!cluster->dirty_first)
            cluster->dirty_last = &cluster->dirty_first;
        entry->queued = false;
        entry->next_dirty = NULL;
        reconcile(hub, entry);
    }
}

/* It has left, and knows nothing any more: its next life in a cluster is another one. */
static void finish_forgetting(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    cluster->forgetting = cluster->leave_asked = cluster->leaving = false;
    cluster->members[0]->leaving = false;
    cluster->generation += UINT64_C(1) << 32;
    cluster->members[0]->info.generation = cluster->generation;
    cluster->members[0]->view_generation = cluster->generation;
    ph_journal_begin_anew(hub);
    ph_hub_finish_op(hub, cluster->leave_op, 0, NULL);
    cluster->leave_op = NULL;
    ph_cluster_owners_changed(hub);
}

static void finish_scan(struct ph_hub *hub)
{
    hub->cluster->scanning = false;
    if (hub->cluster->forgetting) {
        finish_forgetting(hub);
        return;
    }
    if (hub->cluster->repushing)
        ph_cluster_pushed_again(hub);
    ph_hub_record(hub, "reconciled", "", 0, "%llu children are not where they belong",
                  (unsigned long long)hub->cluster->misplaced);
    if (!ph_hooks_wanted(hub, PH_HOOK_POST_NODES_REDISTRIBUTION))
        return;
    struct ph_text fields = PH_TEXT_INIT;
    ph_text_printf(&fields, "\"nodes\":%u,\"misplaced\":%llu", hub->cluster->in_view,
                   (unsigned long long)hub->cluster->misplaced);
    ph_hooks_fire(hub, PH_HOOK_POST_NODES_REDISTRIBUTION, ph_text_str(&fields));
    ph_text_fini(&fields);
}

static void work_scan(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entries[SLICE];
    unsigned count = ph_directory_walk(cluster->directory, &cluster->scan, entries, SLICE);
    for (unsigned i = 0; i < count; i++)
        reconcile(hub, entries[i]);
    if (count < SLICE && cluster->scanning)
        finish_scan(hub);
}

void ph_cluster_reconcile_work(struct ph_hub *hub)
{
    if (hub->cluster->dirty_first)
        work_dirty(hub);
    else if (hub->cluster->scanning)
        work_scan(hub);
}

/* ---- What local children do ------------------------------------------------------------------ */

void ph_cluster_child_changed(struct ph_hub *hub, struct ph_child *child)
{
    if (hub->cluster && child->entry)
        ph_cluster_touch(hub, child->entry);
}

void ph_cluster_child_settles(struct ph_hub *hub, struct ph_child *child)
{
    if (child->entry)
        ph_cluster_note_own(hub, child->entry);
}

void ph_cluster_child_up(struct ph_hub *hub, struct ph_child *child)
{
    struct ph_entry *entry = child->entry;
    if (!entry)
        return;
    entry->ran = true;
    if (entry->move)
        ph_move_arrived(hub, entry, 0, "");
    ph_cluster_touch(hub, entry);
}

bool ph_cluster_child_ran_elsewhere(const struct ph_child *child)
{
    return child->entry && child->entry->ran && !child->entry->move;
}

void ph_cluster_child_failed_start(struct ph_hub *hub, struct ph_child *child, const char *why)
{
    struct ph_entry *entry = child->entry;
    if (!entry)
        return;
    ph_cluster_fail_waiting(hub, entry, PH_EVENT_START, PH_EFAILED, why);
    if (entry->move)
        ph_move_arrived(hub, entry, PH_EFAILED, why);
    else if (ph_entry_spec_rcu(entry) && ph_cluster_may_run(hub))
        ph_cluster_want(hub, entry, NULL, 0);
}

void ph_cluster_child_ended(struct ph_hub *hub, struct ph_child *child)
{
    struct ph_entry *entry = child->entry;
    if (entry && ph_entry_spec_rcu(entry) && ph_cluster_may_run(hub))
        ph_cluster_want(hub, entry, NULL, 0);
}

bool ph_cluster_child_gone(struct ph_hub *hub, struct ph_child *child)
{
    struct ph_entry *entry = child->entry;
    if (!entry)
        return false;
    ph_move_child_gone(hub, entry);
    ph_merge_child_gone(hub, entry);
    bool kept = ph_mail_child_gone(hub, entry, child);
    child->entry = NULL;
    entry->child = NULL;
    ph_cluster_touch(hub, entry);
    return kept;
}

/* ---- The picture --------------------------------------------------------------------------- */

static bool all_agree(const struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    uint64_t digest = ph_cluster_digest(cluster);
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        if (member->info.in_view && member->digest != digest)
            return false;
    }
    return true;
}

void ph_cluster_picture(const struct ph_hub *hub, struct ph_status *status)
{
    const struct ph_cluster *cluster = hub->cluster;
    bool busy = cluster->scanning || cluster->dirty_first || cluster->view_wanted ||
                cluster->journal.restoring;
    status->children = ph_directory_wanted_count(cluster->directory);
    status->nodes = cluster->in_view;
    memcpy(status->by_state, cluster->by_state, sizeof status->by_state);
    status->migrating = cluster->misplaced + (cluster->scanning || cluster->view_wanted);
    status->partitioned = cluster->fenced;
    status->paused = cluster->moves_order != PH_MOVES_RESUME;
    status->conflicts = cluster->merges.conflicts.count;
    status->settled = status->settled && !busy && status->migrating == 0 &&
                      status->by_state[PH_STATE_STARTING] == 0 && !cluster->push_first &&
                      all_agree(hub);
}
