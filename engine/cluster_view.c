/* Which of the members form this side of the hub, and whether it may run anything. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base.h"
#include "engine/cluster_decide.h"
#include "engine/cluster_requests.h"

enum {
    EXCLUDED_BEATS = 20,     /* so long left out of a reachable view: stop what runs here */
    LEASE_STEPS = 25,        /* the end of a lease is a multiple of such a part of it … */
    LEASE_STEP_MAX_MS = 100, /* … or of this */
};

static void look_again(struct ph_cluster *cluster, uint64_t when_ms)
{
    if (when_ms < cluster->review_ms)
        cluster->review_ms = when_ms;
}

static bool is_current(const struct ph_cluster *cluster, const bool *keep)
{
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        if (keep[slot] != member->info.in_view ||
            (keep[slot] && member->view_generation != member->info.generation))
            return false;
    }
    return true;
}

/* ---- Quorum, lease, fence ------------------------------------------------------------------- */

static bool needs_quorum(const struct ph_hub *hub)
{
    return hub->options.partition == PH_PARTITION_MAJORITY;
}

static uint64_t needed(const struct ph_hub *hub)
{
    return needs_quorum(hub) ? hub->cluster->quorum_max / 2 + 1 : 1;
}

static uint64_t lease_step_ms(uint64_t lease_ms)
{
    uint64_t step_ms = lease_ms / LEASE_STEPS;
    return step_ms == 0 ? 1 : step_ms < LEASE_STEP_MAX_MS ? step_ms : LEASE_STEP_MAX_MS;
}

static int compare_newest(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Until when a majority cannot have declared us dead: the time of the newest beat of ours that so
 * many members have echoed, plus the lease, which is shorter than the time to death. Rounded down,
 * so that it changes seldom and prochub-keeper has the same one as we. */
static uint64_t lease_of(const struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    uint64_t echoed[PH_MEMBERS_MAX], others = needed(hub) - 1;
    uint32_t count = 0;
    if (others == 0)
        return UINT64_MAX;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (cluster->members[slot]->info.in_view &&
            (cluster->members[slot]->flags & PH_BEAT_IN_VIEW))
            echoed[count++] = cluster->members[slot]->echoed_ms;
    if (count < others)
        return 0;
    qsort(echoed, count, sizeof *echoed, compare_newest);
    uint64_t until_ms = echoed[others - 1] ? echoed[others - 1] + cluster->lease_ms : 0;
    return until_ms - until_ms % lease_step_ms(cluster->lease_ms);
}

static void fire_partition(struct ph_hub *hub, enum ph_hook hook)
{
    if (!ph_hooks_wanted(hub, hook))
        return;
    struct ph_text fields = PH_TEXT_INIT;
    ph_text_printf(&fields, "\"nodes\":%u,\"needed\":%llu", hub->cluster->in_view,
                   (unsigned long long)needed(hub));
    ph_hooks_fire(hub, hook, ph_text_str(&fields));
    ph_text_fini(&fields);
}

static void fence(struct ph_hub *hub, const char *why)
{
    struct ph_cluster *cluster = hub->cluster;
    const struct ph_lock *lock = NULL;
    const struct ph_lock_request request = {
        .name = "partition",
        .reason = why,
        .level = PH_PRIORITY_LOCKED,
        .deadline_ms = PH_NEVER,
    };
    cluster->fenced = true;
    cluster->fences++;
    ph_hub_record(hub, "partitioned", "", 0, "%s: what runs here is stopped", why);
    uint8_t before = hub->gate.level;
    if (ph_gate_lock(&hub->gate, &request, hub->now_ms, &lock) == 0)
        cluster->fence_token = lock->token;
    cluster->view_queued = false; /* one that waits behind this lock would wait for ever */
    ph_hub_report_level(hub, before, 0);
    fire_partition(hub, PH_HOOK_PARTITIONED);
    ph_cluster_stop_here(hub);
    cluster->beat_now = true;
    ph_cluster_publish(hub);
}

static void unfence(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint8_t before = hub->gate.level;
    cluster->fenced = false;
    ph_gate_unlock(&hub->gate, cluster->fence_token);
    uint64_t seq = ph_hub_record(hub, "quorum_regained", "", 0, "%u nodes, %llu needed",
                                 cluster->in_view, (unsigned long long)needed(hub));
    ph_hub_report_level(hub, before, seq);
    fire_partition(hub, PH_HOOK_QUORUM_REGAINED);
    cluster->beat_now = true;
    ph_cluster_publish(hub);
    ph_cluster_scan(hub);
}

bool ph_cluster_may_run(const struct ph_hub *hub)
{
    return !hub->cluster || !hub->cluster->fenced;
}

static bool hears_others(struct ph_cluster *cluster, const struct ph_member *member,
                         uint64_t now_ms)
{
    for (uint32_t i = 0; i < member->hears_count; i++) {
        const struct ph_member *other = ph_member_by_hash(cluster, member->hears[i]);
        if (!other || (!other->info.self && !ph_member_is_heard(cluster, other, now_ms)))
            return true;
    }
    return false;
}

/* Who hears few of the others cannot tell that those hear each other, and may take itself and one
 * of them for a side. That one says that it is of another side. (Without others it is only late.)
 */
static bool is_left_out(const struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        if (member->info.in_view && !(member->flags & PH_BEAT_IN_VIEW) &&
            ph_member_is_heard(cluster, member, hub->now_ms) &&
            hears_others(cluster, member, hub->now_ms))
            return true;
    }
    return false;
}

/* Since when the others go on without this node; 0: they do not. */
static uint64_t left_out_since(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (cluster->excluded && cluster->in_view == 1)
        return cluster->excluded_ms;
    if (!is_left_out(hub))
        cluster->left_out_ms = 0;
    else if (!cluster->left_out_ms)
        cluster->left_out_ms = hub->now_ms;
    return cluster->left_out_ms;
}

static bool has_met_others(const struct ph_cluster *cluster)
{
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (cluster->members[slot]->info.generation)
            return true;
    return false;
}

/* The others have a node of this name, and refuse us: what belongs to it runs there. Who was one of
 * them, and is alone for that, is no side of the hub. */
static bool name_is_taken(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t until_ms = cluster->taken_ms + PH_NAME_TAKEN_MS;
    if (!cluster->taken_ms || cluster->in_view > 1 || hub->now_ms >= until_ms ||
        !has_met_others(cluster))
        return false;
    look_again(cluster, until_ms);
    return true;
}

void ph_cluster_on_name_taken(struct ph_hub *hub, struct ph_event *event)
{
    (void)event;
    if (!hub->cluster)
        return;
    hub->cluster->taken_ms = hub->now_ms;
    ph_cluster_review(hub);
}

/* May anything run here? Never waits for the gate. */
static void review_fence(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t lease_ms = lease_of(hub);
    uint64_t left_out_ms = left_out_since(hub);
    uint64_t excluded_ms = left_out_ms + EXCLUDED_BEATS * cluster->heartbeat_ms;
    uint64_t held_ms = atomic_load_explicit(&hub->lease_until_ms, memory_order_relaxed);
    const char *why = NULL;
    if (needs_quorum(hub) && cluster->in_view < needed(hub))
        why = "no quorum";
    else if (lease_ms <= hub->now_ms || (!cluster->fenced && held_ms <= hub->now_ms))
        why = "the majority has not answered for too long";
    else if (left_out_ms && hub->now_ms >= excluded_ms)
        why = "the other nodes go on without this one";
    else if (name_is_taken(hub))
        why = "another node has this node's name";
    else if (left_out_ms)
        look_again(cluster, excluded_ms);
    if (lease_ms != UINT64_MAX && lease_ms > hub->now_ms)
        look_again(cluster, lease_ms);
    if (why && !cluster->fenced)
        fence(hub, why);
    else if (!why && cluster->fenced)
        unfence(hub);
    lease_ms = cluster->fenced ? 0 : lease_ms;
    if (lease_ms == held_ms)
        return;
    /* Relaxed: a child that reads the old one is bounded by that. */
    atomic_store_explicit(&hub->lease_until_ms, lease_ms, memory_order_relaxed);
    hub->ports.exec->lease(hub->ports.context, lease_ms);
}

void ph_cluster_begin_step(struct ph_hub *hub)
{
    uint64_t until_ms = atomic_load_explicit(&hub->lease_until_ms, memory_order_relaxed);
    if (until_ms <= hub->now_ms && ph_cluster_may_run(hub))
        review_fence(hub);
}

/* ---- States -------------------------------------------------------------------------------- */

static enum ph_member_state state_of(const struct ph_hub *hub, const struct ph_member *member)
{
    const struct ph_cluster *cluster = hub->cluster;
    bool heard = member->info.self || ph_member_is_heard(cluster, member, hub->now_ms);
    if (member->info.in_view && heard)
        return member->leaving ? PH_MEMBER_LEAVING : PH_MEMBER_UP;
    if (member->info.in_view)
        return PH_MEMBER_SUSPECT;
    if (member->left)
        return PH_MEMBER_LEFT;
    if (member->info.peer && !member->gone &&
        hub->now_ms - member->heard_ms < cluster->dead_after_ms)
        return PH_MEMBER_JOINING;
    return PH_MEMBER_DOWN;
}

static void review_states(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool changed = false;
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        enum ph_member_state state = state_of(hub, member);
        bool same = state == member->info.state && member->info.since_ms;
        if (same && member->told_peer == member->info.peer)
            continue;
        if (!same)
            member->info.since_ms = hub->now_ms;
        member->info.state = state;
        member->told_peer = member->info.peer;
        changed = true;
    }
    if (changed)
        ph_cluster_publish(hub);
}

/* ---- Review -------------------------------------------------------------------------------- */

/* Hash of whom we hear; notes when the next one falls silent. */
static uint64_t own_row(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t hash = 0;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        if (!ph_member_is_heard(cluster, member, hub->now_ms))
            continue;
        hash += member->info.name_hash ^ member->info.generation;
        look_again(cluster, member->heard_ms + ph_cluster_suspect_ms(cluster));
        look_again(cluster, ph_member_deaf_ms(cluster, member));
    }
    return hash;
}

void ph_cluster_review(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool keep[PH_MEMBERS_MAX];
    ph_cluster_note_pause(hub);
    bool due = hub->now_ms >= cluster->decide_ms || cluster->view_queued;
    cluster->review_ms = PH_NEVER;
    uint64_t row = own_row(hub);
    if (row != cluster->row_hash || cluster->rows_version != cluster->rows_seen) {
        due = true;
        cluster->beat_now |= row != cluster->row_hash;
        cluster->row_hash = row;
        cluster->rows_seen = cluster->rows_version;
        cluster->matrix_since_ms = hub->now_ms;
    }
    if (due) {
        cluster->decide_ms = PH_NEVER;
        if (!cluster->view_queued && ph_cluster_decide(hub, keep))
            cluster->view_wanted = !is_current(cluster, keep);
    }
    look_again(cluster, cluster->decide_ms);
    review_fence(hub);
    review_states(hub);
    ph_cluster_agree(hub);
}

uint64_t ph_cluster_view_deadline(const struct ph_hub *hub)
{
    return hub->cluster->review_ms;
}

/* ---- A new view ---------------------------------------------------------------------------- */

static void tell_change(struct ph_hub *hub, const struct ph_member *member, bool joined)
{
    const char *how = joined ? "node_up" : member->left ? "node_left" : "node_down";
    const char *why = joined         ? ""
                      : member->gone ? ""
                      : ph_member_is_heard(hub->cluster, member, hub->now_ms)
                          ? ": not all nodes of this side hear it"
                          : ": silent for too long";
    ph_hub_record(hub, how, "", 0, "%s%s", member->info.name, why);
    enum ph_hook hook = joined ? PH_HOOK_POST_CLUSTER_JOIN : PH_HOOK_POST_CLUSTER_LEAVE;
    if (!ph_hooks_wanted(hub, hook))
        return;
    struct ph_text fields = PH_TEXT_INIT;
    ph_text_put(&fields, "\"node\":");
    ph_text_json(&fields, member->info.name, strlen(member->info.name));
    ph_hooks_fire(hub, hook, ph_text_str(&fields));
    ph_text_fini(&fields);
}

/* Nothing that was on its way to a dead node may reach its next life or a healed link. Of one that
 * has left only this hub ended: the link is its node's, and may serve others. */
static void end_session(struct ph_hub *hub, struct ph_member *member)
{
    if (!member->info.peer || ph_member_is_heard(hub->cluster, member, hub->now_ms))
        return;
    if (!member->left) {
        hub->ports.link->reset(hub->ports.context, member->info.peer);
        member->info.peer = member->link_peer = 0;
    }
    member->greeted = false;
    ph_directory_log_close(hub->directory, member->slot);
}

static void lose_member(struct ph_hub *hub, struct ph_member *member)
{
    if (!member->info.in_view && !member->gone) {
        member->dropped = needs_quorum(hub);
        member->dropped_ms = hub->now_ms;
    }
    hub->cluster->mail.renewals += !member->left;
    tell_change(hub, member, false);
    end_session(hub, member);
    ph_cluster_requests_lost(hub, member->slot);
    ph_moves_lost(hub, member->slot);
    ph_merges_lost(hub, member->slot);
    ph_mail_lost(hub, member->slot);
}

/* The same life of it was here before. */
static void find_member(struct ph_hub *hub, struct ph_member *member)
{
    hub->cluster->mail.renewals += member->known_generation == member->info.generation;
    member->known_generation = member->info.generation;
}

static uint64_t hash_view(const struct ph_cluster *cluster)
{
    uint64_t hash = 0;
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        const struct ph_member_info *info = &cluster->members[slot]->info;
        if (info->in_view)
            hash += (info->name_hash ^ info->generation * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    }
    return hash;
}

static void apply(struct ph_hub *hub, const bool *keep)
{
    struct ph_cluster *cluster = hub->cluster;
    bool was[PH_MEMBERS_MAX] = {0}, fresh[PH_MEMBERS_MAX] = {0};
    cluster->in_view = 0;
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        was[slot] = member->info.in_view;
        fresh[slot] = keep[slot] && member->view_generation != member->info.generation;
        member->info.in_view = keep[slot];
        member->view_generation = keep[slot] ? member->info.generation : 0;
        cluster->in_view = (uint16_t)(cluster->in_view + keep[slot]);
    }
    cluster->view = hash_view(cluster);
    cluster->rows_version++;
    if (cluster->in_view > cluster->quorum_max && hub->options.majority_track_max)
        cluster->quorum_max = cluster->in_view;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (was[slot] && (!keep[slot] || fresh[slot]))
            lose_member(hub, cluster->members[slot]);
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (keep[slot] && fresh[slot]) {
            cluster->taken_ms = 0;
            find_member(hub, cluster->members[slot]);
            tell_change(hub, cluster->members[slot], true);
            ph_moves_note_join(hub);
        }
    review_fence(hub); /* before anything is taken over */
    ph_cluster_owners_changed(hub);
    ph_cluster_count_taken(hub);
    ph_hub_jobs_held(hub); /* with nobody else there is nobody to hold it */
    cluster->beat_now = true;
}

bool ph_cluster_wants_view(const struct ph_hub *hub)
{
    return hub->cluster && hub->cluster->view_wanted && !hub->cluster->view_queued;
}

/* Waits behind a lock, as every change of who belongs here; but not behind the partition's own. */
struct ph_event *ph_cluster_view_event(struct ph_hub *hub)
{
    struct ph_event *event = ph_event_create(PH_EVENT_VIEW);
    hub->cluster->view_queued = true;
    if (hub->cluster->fenced)
        event->gated.priority = PH_PRIORITY_SYSTEM;
    return event;
}

void ph_cluster_on_view(struct ph_hub *hub, struct ph_event *event)
{
    (void)event;
    struct ph_cluster *cluster = hub->cluster;
    bool keep[PH_MEMBERS_MAX];
    cluster->view_queued = false;
    cluster->view_wanted = false;
    if (ph_cluster_decide(hub, keep) && !is_current(cluster, keep))
        apply(hub, keep);
    ph_cluster_review(hub);
}

/* ---- Owners -------------------------------------------------------------------------------- */

static void note_drains(struct ph_cluster *cluster)
{
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        char mark[PH_NAME_MAX + 8];
        int length = snprintf(mark, sizeof mark, "drain %s", member->info.name);
        struct ph_entry *entry = ph_directory_find_rcu(cluster->directory, mark, (size_t)length);
        bool was = member->info.draining;
        member->info.draining = entry && atomic_load_explicit(&entry->mark, memory_order_relaxed);
        for (uint16_t to = 1; slot == 0 && entry && to < cluster->count; to++)
            if (member->info.draining != was) /* who is to take its children has to know, too */
                ph_cluster_tell(cluster->members[to], entry);
    }
}

/* ---- Agreement ------------------------------------------------------------------------------- */

/* Under a quorum it has to have the same view: a member of two majorities would let a node of each
 * start the same child. */
static bool has_answered(const struct ph_hub *hub, const struct ph_member *member)
{
    return member->answered && (!needs_quorum(hub) || member->view == hub->cluster->view) &&
           !(member->flags & PH_BEAT_HOLDS) && ph_member_has_basis(member);
}

/* It starts nothing that belongs here, and lets us start what does. */
static bool counts_us(const struct ph_member *member)
{
    bool theirs = member->flags & PH_BEAT_OWNS;
    bool ours = member->info.in_view && !member->info.draining && !member->leaving;
    return (member->flags & PH_BEAT_KNOWS) && (ours || !theirs);
}

static void note_same_view(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool same = true;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        same &= !member->info.in_view || (member->answered && member->view == cluster->view);
    }
    if (!same)
        cluster->same_view_ms = 0;
    else if (!cluster->same_view_ms)
        cluster->same_view_ms = hub->now_ms;
}

static bool anyone_hears(const struct ph_cluster *cluster, const struct ph_member *dropped,
                         uint64_t now_ms)
{
    bool heard = now_ms - dropped->heard_ms < cluster->dead_after_ms;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        heard |= cluster->members[slot]->info.in_view &&
                 ph_member_lists(cluster->members[slot], dropped->info.name_hash);
    return heard;
}

/* Those that were dropped: is the lease of each over, or its process? Its lease may have been
 * prolonged until the last of us dropped it, and not at all by those that do not hear it. */
static bool all_released(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool released = true;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        uint64_t over_ms = cluster->same_view_ms;
        if (!member->dropped)
            continue;
        if (anyone_hears(cluster, member, hub->now_ms))
            over_ms += cluster->dead_after_ms;
        if (member->gone || member->info.in_view ||
            (cluster->same_view_ms && hub->now_ms >= over_ms)) {
            member->dropped = false;
            cluster->beat_now = true;
            continue;
        }
        released = false;
        if (cluster->same_view_ms)
            look_again(cluster, over_ms);
    }
    return released;
}

/* Members that have just started do not know whom they gave a lease in the life before. Until that
 * is over, those outside may still have one by them. */
static bool may_be_leased_outside(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t outside = cluster->quorum_max - cluster->in_view, over_ms = PH_NEVER;
    if (!needs_quorum(hub) || cluster->quorum_max <= cluster->in_view)
        return false;
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        uint64_t until_ms = member->info.started_ms + cluster->dead_after_ms;
        if (!member->info.in_view || hub->now_ms >= until_ms)
            continue;
        outside++;
        over_ms = until_ms < over_ms ? until_ms : over_ms;
    }
    if (over_ms == PH_NEVER || outside < needed(hub))
        return false;
    look_again(cluster, over_ms);
    return true;
}

void ph_cluster_agree(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool before = cluster->agreed;
    note_same_view(hub);
    bool released = all_released(hub), agreed = true;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        released &= !member->info.in_view || has_answered(hub, member);
        agreed &= !member->info.in_view || counts_us(member);
    }
    released &= !may_be_leased_outside(hub);
    agreed &= released;
    cluster->released = released;
    cluster->agreed = agreed;
    if (agreed && !before)
        ph_cluster_scan(hub);
}

void ph_cluster_owners_changed(struct ph_hub *hub)
{
    note_drains(hub->cluster);
    ph_moves_note_order(hub);
    ph_cluster_publish(hub);
    ph_cluster_scan(hub);
    ph_cluster_agree(hub);
}

void ph_cluster_stand_alone(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        member->info.peer = 0;
        member->greeted = false;
        member->info.generation = 0; /* what it is told anew begins at the start of its log */
        member->log_hi = 0;
        member->left = member->gone = true;
        member->info.in_view = false;
        member->info.generation = member->log_hi = 0; /* its rows are forgotten, too */
        member->log_round = 0;
        member->view_generation = 0;
        ph_directory_log_close(cluster->directory, slot);
    }
    cluster->in_view = 1;
    cluster->view = hash_view(cluster);
    cluster->quorum_max = 1;
    ph_cluster_review(hub);
    ph_cluster_publish(hub);
}

/* ---- Sizes of a quorum ----------------------------------------------------------------------- */

/* They were taken away for good: no tombstone is kept for them, and where they had children is
 * nothing to know. */
static void forget_absent(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        if (member->info.in_view || member->info.peer)
            continue;
        uint32_t round = ph_directory_next_round(hub->directory, slot);
        ph_directory_void_before(hub->directory, slot, round);
        member->log_hi = member->log_round = 0;
        member->left = true;
        member->remembers = false;
    }
    ph_cluster_scan(hub);
}

void ph_cluster_on_quorum(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_cluster *cluster = hub->cluster;
    if (cluster) {
        uint64_t size = event->place.size ? event->place.size : cluster->in_view;
        cluster->quorum_max = size < PH_MEMBERS_MAX ? size : PH_MEMBERS_MAX;
        cluster->quorum_clock = ph_cluster_clock(hub);
        forget_absent(hub);
        cluster->beat_now = true;
        ph_hub_record(hub, "quorum_reset", "", 0, "counted from %llu nodes",
                      (unsigned long long)cluster->quorum_max);
        ph_cluster_review(hub);
        ph_cluster_publish(hub);
    }
    ph_hub_finish_op(hub, event->op, cluster ? 0 : PH_EREFUSED,
                     cluster ? NULL : "this node has no links: start it with --listen");
    event->op = NULL;
}
