/* Who is there: greetings, beats, silence, and the member list that readers see. */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/cluster_requests.h"
#include "engine/prng.h"

enum {
    BEAT_GAP_MS = 20, /* between two beats that do not wait for their time, … */
    BEAT_BURST = 5,   /* … after so many without one: a view is agreed on in a few rounds */
};

const char *ph_member_state_name(enum ph_member_state state)
{
    static const char *const names[] = {
#define PH_MEMBER_STATE_ROW(name, text) [name] = text,
        PH_MEMBER_STATE_MAP(PH_MEMBER_STATE_ROW)
#undef PH_MEMBER_STATE_ROW
    };
    return names[state];
}

struct ph_member *ph_member_add(struct ph_cluster *cluster, const char *name, const char *endpoint)
{
    struct ph_member *member = ph_alloc(sizeof *member);
    member->slot = cluster->count;
    snprintf(member->info.name, sizeof member->info.name, "%s", name);
    snprintf(member->info.endpoint, sizeof member->info.endpoint, "%s", endpoint);
    member->info.name_hash = ph_name_hash(name, strlen(name));
    member->info.state = PH_MEMBER_JOINING;
    cluster->members[cluster->count++] = member;
    return member;
}

void ph_member_fini(struct ph_member *member)
{
    struct ph_batch *batches[] = {&member->requests, &member->moves,  &member->moved, &member->mail,
                                  &member->answers,  &member->merges, &member->merged};
    for (size_t i = 0; i < PH_COUNT_OF(batches); i++)
        ph_text_fini(&batches[i]->records);
    ph_cluster_drop_outcomes(member);
    ph_free(member->merge_window);
    ph_free(member->hears);
    ph_free(member);
}

/* ---- Greetings ----------------------------------------------------------------------------- */

static void pack_known(const struct ph_cluster *cluster, struct ph_text *frame)
{
    uint32_t count = 0;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        count += ph_member_may_want(cluster->members[slot]);
    ph_pack_array(frame, count);
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member_info *info = &cluster->members[slot]->info;
        if (!ph_member_may_want(cluster->members[slot]))
            continue;
        ph_pack_str(frame, info->name, strlen(info->name));
        ph_pack_str(frame, info->endpoint, strlen(info->endpoint));
        ph_pack_uint(frame, info->generation);
    }
}

/* HELLO: ask, options, generation and number of its log up to which we have it, number of our log,
 * age of our hub, hash of our intents and of their buckets, whom we know that may want something:
 * name, endpoint, generation. */
void ph_member_greet(struct ph_hub *hub, struct ph_member *member, bool ask)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_text frame = PH_TEXT_INIT;
    ph_frame_start(hub, &frame, PH_FRAME_HELLO, 0);
    ph_pack_bool(&frame, ask);
    ph_pack_uint(&frame, cluster->options_hash);
    ph_pack_uint(&frame, member->info.generation);
    ph_pack_uint(&frame, member->log_hi);
    ph_pack_uint(&frame, ph_directory_log_hi(cluster->directory));
    ph_pack_uint(&frame, hub->now_ms - cluster->members[0]->info.started_ms);
    ph_pack_uint(&frame, ph_directory_hash(cluster->directory));
    for (unsigned bucket = 0; bucket < PH_BUCKETS; bucket++)
        ph_pack_uint(&frame, ph_directory_bucket(cluster->directory, bucket));
    pack_known(cluster, &frame);
    ph_member_send(hub, member, PH_LINK_STREAM, &frame);
}

/* A generation that we have not seen: whatever we knew of the life before is void. */
static void begin_life(struct ph_hub *hub, struct ph_member *member, uint64_t generation)
{
    uint32_t round = ph_directory_next_round(hub->directory, member->slot);
    ph_directory_void_before(hub->directory, member->slot, round);
    member->info.generation = generation;
    member->greeted = false;
    member->log_hi = 0;
    member->log_round = 0;
    member->leaving = false;
    member->dropped = member->answered = false;
    member->flags = 0;
    member->repaired = member->caught_up = member->comparing = false;
    member->differs_ms = member->equal_ms = 0;
    member->hears_count = 0;
    ph_cluster_scan(hub);
}

/* Marks the buckets in which our intents differ from those of the frame, to be `sent`. */
static void compare_buckets(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame,
                            bool sent)
{
    uint64_t differ[PH_BUCKETS / 64] = {0};
    for (unsigned bucket = 0; bucket < PH_BUCKETS; bucket++) {
        uint64_t theirs = ph_unpack_uint(frame, UINT64_MAX);
        if (theirs != ph_directory_bucket(hub->directory, bucket))
            differ[bucket / 64] |= UINT64_C(1) << (bucket % 64);
    }
    if (!sent || frame->broken)
        return;
    member->repairing = true;
    member->repair = (struct ph_cursor){0};
    memcpy(member->repair_buckets, differ, sizeof differ);
}

void ph_member_recall(struct ph_hub *hub, const char *name, const char *endpoint,
                      uint64_t generation)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_member *member = ph_member_by_name(cluster, name);
    if (member ? member->greeted || member->info.in_view || member->info.generation >= generation
               : cluster->count == PH_MEMBERS_MAX)
        return;
    if (!member)
        member = ph_member_add(cluster, name, endpoint);
    begin_life(hub, member, generation);
    member->left = member->remembers = false;
    if (member->info.peer)
        return; /* it is about to greet us */
    member->info.state = PH_MEMBER_DOWN;
    member->gone = true;
}

/* Somebody that it knows and we have not met in this life may come back, and want what was stopped
 * meanwhile. */
static void read_known(struct ph_hub *hub, struct ph_unpack *frame)
{
    char name[PH_NAME_MAX + 1], endpoint[PH_ENDPOINT_MAX + 1];
    uint32_t count = ph_unpack_array(frame, PH_MEMBERS_MAX);
    for (uint32_t i = 0; i < count && !frame->broken; i++) {
        ph_unpack_name(frame, name, sizeof name);
        ph_unpack_name(frame, endpoint, sizeof endpoint);
        uint64_t generation = ph_unpack_uint(frame, UINT64_MAX);
        if (!frame->broken && !ph_id_is_valid(name, strlen(name)))
            ph_unpack_fail(frame);
        if (!frame->broken)
            ph_member_recall(hub, name, endpoint, generation);
    }
}

void ph_cluster_read_hello(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    struct ph_cluster *cluster = hub->cluster;
    bool ask = ph_unpack_bool(frame);
    uint64_t options = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t ours = ph_unpack_uint(frame, UINT64_MAX), have = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t hi = ph_unpack_uint(frame, UINT64_MAX), age_ms = ph_unpack_uint(frame, UINT64_MAX);
    ph_unpack_uint(frame, UINT64_MAX);
    if (frame->broken)
        return;
    if (options != cluster->options_hash) {
        ph_hub_record(hub, "member_refused", "", 0,
                      "%s has the hub with other strategies: give all nodes the same options",
                      member->info.name);
        compare_buckets(hub, member, frame, false);
        ph_unpack_skip(frame);
        if (ask)
            ph_member_greet(hub, member, false); /* so that its people are told, too */
        return;
    }
    if (member->greeting != member->info.generation)
        begin_life(hub, member, member->greeting);
    bool first = !member->greeted;
    cluster->rows_version += first;
    if (first) {
        member->sessions++;
        member->greeted_ms = hub->now_ms;
        member->intents_sent = member->intents_had = member->intents_echoed = 0;
        ph_cluster_session_begun(hub);
        ph_cluster_sync_begun(hub, member);
    }
    compare_buckets(hub, member, frame, first || ask || member->comparing);
    read_known(hub, frame);
    if (!first && !ask) {
        member->comparing = false;
        return; /* the answer to our own: we have begun already */
    }
    member->greeted = true;
    member->gone = member->left = member->remembers = false;
    member->info.started_ms = hub->now_ms > age_ms ? hub->now_ms - age_ms : 0;
    if (first) {
        member->log_announced = hi;
        member->beat_heard_ms = member->beat_sent_ms = member->echoed_ms = 0;
    }
    ph_cluster_sync_greeted(hub, member, ours, have);
    if (ask)
        ph_member_greet(hub, member, false);
    if (first) {
        cluster->beat_now = true;
        ph_mail_linked(hub);
        ph_moves_review(hub);
    }
}

/* ---- Beats --------------------------------------------------------------------------------- */

uint64_t ph_cluster_suspect_ms(const struct ph_cluster *cluster)
{
    uint64_t margin = 2 * cluster->heartbeat_ms;
    return cluster->dead_after_ms > 2 * margin ? cluster->dead_after_ms - margin
                                               : cluster->dead_after_ms / 2;
}

/* Echoes are older than what else is heard by the time between two beats. */
uint64_t ph_member_deaf_ms(const struct ph_cluster *cluster, const struct ph_member *member)
{
    uint64_t since_ms =
        member->echoed_ms > member->greeted_ms ? member->echoed_ms : member->greeted_ms;
    return since_ms + cluster->dead_after_ms + 2 * cluster->heartbeat_ms;
}

bool ph_member_is_heard(const struct ph_cluster *cluster, const struct ph_member *member,
                        uint64_t now_ms)
{
    return member->greeted && member->repaired && member->caught_up && member->beat_heard_ms &&
           member->echoed_ms && member->echoed_ms > member->dropped_ms && !member->gone &&
           now_ms < ph_member_deaf_ms(cluster, member) &&
           now_ms - member->heard_ms < ph_cluster_suspect_ms(cluster);
}

bool ph_member_is_reached(const struct ph_cluster *cluster, const struct ph_member *member,
                          uint64_t now_ms)
{
    return member->greeted && !member->gone &&
           now_ms - member->heard_ms < ph_cluster_suspect_ms(cluster);
}

bool ph_member_has_basis(const struct ph_member *member)
{
    return !member->log_round && member->log_hi >= member->basis_hi;
}

/* One number for all that the members of the view should agree on. */
uint64_t ph_cluster_digest(const struct ph_cluster *cluster)
{
    uint64_t digest = ph_mix(cluster->view, ph_directory_hash(cluster->directory));
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        uint64_t hi = slot ? member->log_hi : ph_directory_log_hi(cluster->directory);
        if (member->info.in_view)
            digest ^= ph_mix(ph_mix(member->info.name_hash, member->info.generation), hi);
    }
    return digest;
}

static bool may_own(const struct ph_member *member)
{
    return member->info.in_view && !member->info.draining && !member->leaving;
}

static unsigned beat_flags(const struct ph_cluster *cluster, const struct ph_member *member)
{
    bool holds = false, asks = false;
    bool behind = cluster->journal.kept < cluster->journal.noted;
    bool known = member->info.in_view && member->view_generation == member->info.generation;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        holds |= cluster->members[slot]->dropped;
        asks |= cluster->members[slot]->info.in_view && !cluster->members[slot]->answered;
        behind |= ph_member_is_linked(cluster->members[slot]) &&
                  cluster->members[slot]->intents_echoed < cluster->members[slot]->intents_sent;
    }
    return (cluster->leaving ? PH_BEAT_LEAVING : 0u) | (cluster->fenced ? PH_BEAT_FENCED : 0u) |
           (known ? PH_BEAT_IN_VIEW : 0u) | (known && may_own(member) ? PH_BEAT_KNOWS : 0u) |
           (may_own(cluster->members[0]) ? PH_BEAT_OWNS : 0u) | (holds ? PH_BEAT_HOLDS : 0u) |
           (asks ? PH_BEAT_ASKS : 0u) | (behind ? PH_BEAT_BEHIND : 0u);
}

/* BEAT: our time, the newest beat of theirs that we have and how long we have it, number of our
 * log, frames of intents that we have had from it, hash of our intents, digest, view, flags, size
 * that quorum counts from and its clock, whom we hear. */
static void send_beat(struct ph_hub *hub, struct ph_member *member, enum ph_link_class class)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_text frame = PH_TEXT_INIT;
    uint32_t heard = 0;
    ph_frame_start(hub, &frame, PH_FRAME_BEAT, member->info.generation);
    ph_pack_uint(&frame, hub->now_ms);
    ph_pack_uint(&frame, member->beat_sent_ms);
    ph_pack_uint(&frame, member->beat_heard_ms ? hub->now_ms - member->beat_heard_ms : 0);
    ph_pack_uint(&frame, ph_directory_log_hi(cluster->directory));
    ph_pack_uint(&frame, member->intents_had);
    ph_pack_uint(&frame, ph_directory_hash(cluster->directory));
    ph_pack_uint(&frame, cluster->told_digest);
    ph_pack_uint(&frame, cluster->view);
    ph_pack_uint(&frame, beat_flags(cluster, member));
    ph_pack_uint(&frame, cluster->quorum_max);
    ph_pack_uint(&frame, cluster->quorum_clock);
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        heard += ph_member_is_heard(cluster, cluster->members[slot], hub->now_ms);
    ph_pack_array(&frame, heard);
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (ph_member_is_heard(cluster, cluster->members[slot], hub->now_ms))
            ph_pack_uint(&frame, cluster->members[slot]->info.name_hash);
    ph_member_send(hub, member, class, &frame);
}

/* What differs for two beats although nothing is on its way was lost: say hello again. */
static void check_member(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_cluster *cluster = hub->cluster;
    if (member->differs_ms && hub->now_ms - member->differs_ms >= 3 * cluster->heartbeat_ms) {
        member->differs_ms = hub->now_ms;
        cluster->resyncs++;
        member->comparing = true;
        ph_member_greet(hub, member, true);
    }
}

void ph_cluster_beat(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t digest = ph_cluster_digest(cluster);
    bool early = cluster->beat_now && cluster->early_ms <= hub->now_ms + BEAT_BURST * BEAT_GAP_MS;
    if ((hub->now_ms < cluster->beat_ms && !early) || hub->now_ms < cluster->basis_ms)
        return;
    if (early)
        cluster->early_ms =
            BEAT_GAP_MS + (cluster->early_ms > hub->now_ms ? cluster->early_ms : hub->now_ms);
    cluster->beat_now = false;
    cluster->told_digest = digest;
    cluster->last_beat_ms = hub->now_ms;
    cluster->beat_ms = hub->now_ms + cluster->heartbeat_ms;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        if (!ph_member_is_linked(member))
            continue;
        check_member(hub, member);
        send_beat(hub, member, PH_LINK_BEAT);
    }
}

void ph_cluster_tell_leaving(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (ph_member_is_linked(cluster->members[slot]))
            send_beat(hub, cluster->members[slot], PH_LINK_STREAM);
}

static bool keep_row(struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, PH_MEMBERS_MAX);
    bool changed = count != member->hears_count;
    if (count > member->hears_count)
        member->hears = ph_realloc(member->hears, PH_MEMBERS_MAX * sizeof *member->hears);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = ph_unpack_uint(frame, UINT64_MAX);
        changed |= i >= member->hears_count || member->hears[i] != hash;
        member->hears[i] = hash;
    }
    member->hears_count = count;
    return changed;
}

void ph_cluster_note_quorum(struct ph_cluster *cluster, uint64_t size, uint64_t clock)
{
    if (clock > cluster->quorum_clock ||
        (clock == cluster->quorum_clock && size > cluster->quorum_max)) {
        cluster->quorum_max = size;
        cluster->quorum_clock = clock;
    }
}

/* Equal for good: nothing that it lacks now is on its way to it, from us or from others, and its
 * disk has what it knows. */
static void compare_intents(struct ph_hub *hub, struct ph_member *member, uint64_t log_hi,
                            uint64_t wants)
{
    bool changed = wants != member->wants_hash;
    bool equal = wants == ph_directory_hash(hub->directory) && log_hi <= member->log_hi;
    member->wants_hash = wants;
    bool has_all = member->intents_echoed == member->intents_sent;
    if (equal && has_all && !(member->flags & PH_BEAT_BEHIND))
        member->equal_ms = hub->now_ms;
    if (equal || changed || member->repairing)
        member->differs_ms = 0;
    else if (!member->differs_ms)
        member->differs_ms = hub->now_ms;
}

void ph_cluster_read_beat(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t sent_ms = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t echo_ms = ph_unpack_uint(frame, UINT64_MAX);
    ph_unpack_uint(frame, UINT64_MAX);
    uint64_t log_hi = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t intents = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t wants = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t digest = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t view = ph_unpack_uint(frame, UINT64_MAX);
    unsigned flags = (unsigned)ph_unpack_uint(frame, UINT32_MAX);
    uint64_t quorum_max = ph_unpack_uint(frame, PH_MEMBERS_MAX);
    uint64_t quorum_clock = ph_unpack_uint(frame, UINT64_MAX);
    if (frame->broken || sent_ms < member->beat_sent_ms) {
        while (!frame->broken && frame->at < frame->end)
            ph_unpack_skip(frame);
        return; /* an older beat came later */
    }
    cluster->rows_version += keep_row(member, frame);
    if (frame->broken)
        return;
    if (!member->beat_heard_ms || (!member->echoed_ms && echo_ms))
        cluster->beat_now = true; /* it waits for our echo */
    member->beat_sent_ms = sent_ms;
    member->beat_heard_ms = hub->now_ms;
    if (echo_ms > member->echoed_ms && echo_ms <= hub->now_ms)
        member->echoed_ms = echo_ms;
    member->digest = digest;
    bool answers = !member->answered && echo_ms >= cluster->basis_ms;
    member->answered |= answers;
    /* What it started before it saw things as it does now is in its log up to here. */
    if (answers || view != member->view || ((flags ^ member->flags) & PH_BEAT_MINE))
        member->basis_hi = log_hi;
    if (view != member->view)
        cluster->moves_hold_ms = 0; /* those that waited for it to agree with us may begin */
    member->view = view;
    ph_cluster_note_quorum(cluster, quorum_max, quorum_clock);
    member->flags = flags;
    member->intents_echoed = intents;
    compare_intents(hub, member, log_hi, wants);
    member->beat_hi = log_hi;
    cluster->beat_now |= (flags & PH_BEAT_ASKS) != 0;
    bool leaving = flags & PH_BEAT_LEAVING;
    if (leaving != member->leaving) {
        member->leaving = leaving;
        ph_cluster_owners_changed(hub);
    }
    ph_cluster_review(hub);
}

/* ---- For readers --------------------------------------------------------------------------- */

static void list_owners(const struct ph_cluster *cluster, struct ph_members *list)
{
    uint64_t hashes[PH_MEMBERS_MAX] = {0};
    uint16_t slots[PH_MEMBERS_MAX];
    uint32_t order[PH_MEMBERS_MAX], count = 0;
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        if (!may_own(member))
            continue;
        hashes[count] = cluster->members[slot]->info.name_hash;
        slots[count++] = slot;
    }
    ph_owners_init(&list->owners, hashes, NULL, count, order);
    for (uint32_t i = 0; i < count; i++)
        list->owner_slot[i] = slots[order[i]];
}

/* Who may own what has changed: everyone has to be told, and to answer. */
static void note_basis(struct ph_hub *hub, const struct ph_owners *owners)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t basis = cluster->view;
    for (uint32_t i = 0; i < owners->count; i++)
        basis = ph_mix(basis, owners->nodes[i]);
    if (basis == cluster->basis)
        return;
    cluster->basis = basis;
    cluster->basis_ms = hub->now_ms + 1;
    cluster->agreed = false;
    cluster->beat_now = true;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        cluster->members[slot]->answered = false;
}

void ph_cluster_publish(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_members *list = ph_alloc(sizeof *list + cluster->count * sizeof list->list[0]);
    list->count = cluster->count;
    list->in_view = cluster->in_view;
    list->view = cluster->view;
    const struct ph_members *before = ph_rcu_load(&cluster->published);
    list->version = before ? before->version + 1 : 1;
    list->partitioned = cluster->fenced;
    list->quorum_seen = cluster->in_view;
    list->quorum_needed = hub->options.partition == PH_PARTITION_MAJORITY
                              ? (uint32_t)(cluster->quorum_max / 2 + 1)
                              : 0;
    list->quorum_max = (uint32_t)cluster->quorum_max;
    list_owners(cluster, list);
    note_basis(hub, &list->owners);
    for (uint16_t slot = 0; slot < cluster->count; slot++)
        list->list[slot] = cluster->members[slot]->info;
    ph_rcu_free(atomic_exchange_explicit(&cluster->published, list, memory_order_acq_rel));
}

const struct ph_members *ph_members_rcu(const struct ph_hub *hub)
{
    return hub->cluster ? ph_rcu_load(&hub->cluster->published) : NULL;
}

uint16_t ph_members_find(const struct ph_members *members, const char *name, size_t length)
{
    for (uint16_t slot = 0; slot < members->count; slot++)
        if (strlen(members->list[slot].name) == length &&
            memcmp(members->list[slot].name, name, length) == 0)
            return slot;
    return PH_NO_MEMBER;
}

uint16_t ph_members_owner(const struct ph_members *members, uint64_t id_hash,
                          const struct ph_entry *entry)
{
    uint64_t pin = entry ? atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->pin,
                                                memory_order_relaxed)
                         : 0;
    const struct ph_owners *owners = &members->owners;
    uint32_t owner = ph_owner_pinned(owners, id_hash, pin);
    return owner < owners->count ? members->owner_slot[owner] : PH_NO_MEMBER;
}

/* How much a placement says about its child: an instance in the view most. */
static int rank(const struct ph_members *members, const struct ph_placement *placement)
{
    enum ph_state state = (enum ph_state)atomic_load_explicit(
        &((struct ph_placement *)(uintptr_t)placement)->state, memory_order_relaxed);
    if (placement->member >= members->count || !members->list[placement->member].in_view)
        return 0;
    return state == PH_STATE_RUNNING ? 3 : state == PH_STATE_MOVING ? 1 : 2;
}

const struct ph_placement *ph_entry_shown_rcu(const struct ph_members *members,
                                              const struct ph_entry *entry, enum ph_state *state)
{
    const struct ph_placement *best = NULL;
    struct ph_placed placed;
    for (const struct ph_placement *at = ph_entry_first_rcu(entry); at;
         at = ph_placement_next_rcu(at))
        if (!best || rank(members, at) > rank(members, best))
            best = at;
    if (!best) {
        *state = PH_STATE_STARTING;
        return NULL;
    }
    ph_placement_read_rcu(best, &placed);
    *state = rank(members, best) == 0 ? PH_STATE_UNKNOWN : placed.state;
    return best;
}
