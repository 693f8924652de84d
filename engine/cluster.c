#include "engine/cluster.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/cluster_requests.h"
#include "engine/error.h"

enum {
    DIGEST_GAP_MS = 100,       /* between beats that only tell that this node has come to rest */
    BATCH_BYTES = 1024 * 1024, /* then a batch goes out, however few records it has */
};

/* ---- Life ---------------------------------------------------------------------------------- */

/* Hubs whose strategies differ would disagree about everything: they stay apart. */
static uint64_t hash_options(const struct ph_hub *hub)
{
    const uint64_t what[] = {
        hub->options.partition,
        hub->options.majority_initial_size,
        hub->options.majority_track_max,
    };
    return XXH3_64bits(what, sizeof what);
}

static void timer_fired(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    struct ph_cluster *cluster = hub->cluster;
    (void)timer;
    if (hub->now_ms >= cluster->retry_ms) {
        cluster->retry_ms = PH_NEVER;
        ph_cluster_scan(hub);
    }
    ph_cluster_purge(hub);
    ph_cluster_beat(hub);
    ph_cluster_review(hub);
}

void ph_cluster_create(struct ph_hub *hub, const struct ph_cluster_setup *setup)
{
    struct ph_cluster *cluster = ph_alloc(sizeof *cluster);
    hub->cluster = cluster;
    cluster->directory = hub->directory;
    cluster->generation = setup->generation;
    hub->last_epoch = ph_incarnation_ms(setup->generation);
    cluster->options_hash = hash_options(hub);
    cluster->heartbeat_ms = setup->heartbeat_ms;
    cluster->dead_after_ms = setup->dead_after_ms;
    cluster->lease_ms = setup->lease_ms;
    cluster->push_last = &cluster->push_first;
    cluster->dirty_last = &cluster->dirty_first;
    cluster->waiting_last = &cluster->waiting_first;
    cluster->done_last = &cluster->done_first;
    CDS_INIT_LIST_HEAD(&cluster->ready);
    CDS_INIT_LIST_HEAD(&cluster->refused);
    ph_conflicts_init(&cluster->merges.conflicts);
    cluster->timer.fire = timer_fired;
    struct ph_member *self = ph_member_add(cluster, setup->node, setup->endpoint);
    self->info.self = true;
    self->info.in_view = true;
    self->info.state = PH_MEMBER_UP;
    self->info.generation = self->view_generation = setup->generation;
    self->info.started_ms = hub->now_ms;
    cluster->in_view = 1;
    cluster->quorum_max =
        hub->options.majority_initial_size > 1 ? hub->options.majority_initial_size : 1;
    cluster->beat_ms = hub->now_ms;
    cluster->retry_ms = cluster->purge_ms = PH_NEVER;
    ph_cluster_owners_changed(hub);
    ph_cluster_review(hub);
    ph_wheel_add(&hub->wheel, &cluster->timer.timer, hub->now_ms + cluster->heartbeat_ms);
    ph_journal_begin(hub, setup->journal);
}

void ph_cluster_destroy(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!cluster)
        return;
    ph_hub_finish_op(hub, cluster->leave_op, PH_ESTOPPING, "the hub is ending");
    ph_cluster_requests_fini(hub);
    ph_moves_fini(hub);
    ph_merges_fini(hub);
    ph_mail_fini(hub);
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        ph_hub_finish_op(hub, cluster->members[slot]->drain, PH_ESTOPPING, "the hub is ending");
        ph_member_fini(cluster->members[slot]);
    }
    for (unsigned i = 0; i < PH_SPECS_KNOWN; i++) {
        ph_text_fini(&cluster->specs[i].bytes);
        ph_spec_put(cluster->specs[i].spec);
    }
    ph_rcu_free(atomic_load_explicit(&cluster->published, memory_order_relaxed));
    hub->cluster = NULL;
    ph_free(cluster);
}

/* ---- Members by what they are known by ------------------------------------------------------- */

struct ph_member *ph_member_by_name(struct ph_cluster *cluster, const char *name)
{
    for (uint16_t slot = 0; slot < cluster->count; slot++)
        if (strcmp(cluster->members[slot]->info.name, name) == 0)
            return cluster->members[slot];
    return NULL;
}

struct ph_member *ph_member_by_hash(struct ph_cluster *cluster, uint64_t name_hash)
{
    for (uint16_t slot = 0; slot < cluster->count; slot++)
        if (cluster->members[slot]->info.name_hash == name_hash)
            return cluster->members[slot];
    return NULL;
}

struct ph_member *ph_member_by_peer(struct ph_cluster *cluster, uint64_t peer)
{
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (cluster->members[slot]->info.peer == peer)
            return cluster->members[slot];
    return NULL;
}

uint64_t ph_cluster_clock(struct ph_hub *hub)
{
    return ++hub->last_epoch;
}

/* ---- Frames -------------------------------------------------------------------------------- */

void ph_frame_start(struct ph_hub *hub, struct ph_text *frame, enum ph_hub_frame type,
                    uint64_t generation)
{
    ph_text_clear(frame);
    ph_pack_uint(frame, type);
    ph_pack_uint(frame, hub->cluster->generation);
    ph_pack_uint(frame, generation);
    ph_pack_uint(frame, hub->last_epoch);
}

void ph_member_send(struct ph_hub *hub, struct ph_member *member, enum ph_link_class class,
                    struct ph_text *frame)
{
    if (member->info.peer)
        hub->ports.link->send(hub->ports.context, member->info.peer, class, frame);
    ph_text_fini(frame);
}

void ph_member_flush(struct ph_hub *hub, struct ph_member *member, enum ph_hub_frame type,
                     struct ph_batch *batch)
{
    struct ph_text frame = PH_TEXT_INIT;
    if (!batch->count)
        return;
    ph_frame_start(hub, &frame, type, member->info.generation);
    ph_pack_array(&frame, batch->count);
    ph_text_append(&frame, batch->records.data, batch->records.length);
    ph_text_clear(&batch->records);
    batch->count = 0;
    ph_member_send(hub, member, PH_LINK_STREAM, &frame);
}

typedef void (*frame_reader)(struct ph_hub *, struct ph_member *, struct ph_unpack *);

static const frame_reader readers[PH_FRAMES] = {
#define PH_FRAME_READER(name, function) [name] = ph_cluster_read_##function,
    PH_FRAME_MAP(PH_FRAME_READER)
#undef PH_FRAME_READER
};

static bool is_for_us(const struct ph_hub *hub, const struct ph_member *member, uint64_t type,
                      uint64_t from, uint64_t to)
{
    if (type == PH_FRAME_HELLO)
        return to == 0 || to == hub->cluster->generation;
    return member->greeted && from == member->info.generation && to == hub->cluster->generation;
}

void ph_cluster_on_frame(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_member *member = cluster ? ph_member_by_peer(cluster, event->frame.peer) : NULL;
    struct ph_unpack frame;
    if (!member || hub->stopped)
        return;
    ph_unpack_init(&frame, event->frame.bytes.data, event->frame.bytes.length);
    uint64_t type = ph_unpack_uint(&frame, PH_FRAMES - 1);
    uint64_t from = ph_unpack_uint(&frame, UINT64_MAX), to = ph_unpack_uint(&frame, UINT64_MAX);
    uint64_t clock = ph_unpack_uint(&frame, UINT64_MAX / 2);
    if (frame.broken || !is_for_us(hub, member, type, from, to)) {
        cluster->refused_frames++;
        return;
    }
    if (clock > hub->last_epoch)
        hub->last_epoch = clock;
    if (type == PH_FRAME_HELLO && from != member->info.generation && member->greeted &&
        from < member->info.generation) {
        cluster->refused_frames++; /* of a life before this one */
        return;
    }
    member->greeting = from;
    member->clock = clock;
    member->heard_ms = hub->now_ms;
    readers[type](hub, member, &frame);
    if (ph_unpack_end(&frame) < 0)
        cluster->refused_frames++;
}

/* ---- Peers --------------------------------------------------------------------------------- */

static void meet(struct ph_hub *hub, struct ph_member *member)
{
    member->info.peer = member->link_peer;
    member->greeted = false;
    member->repaired = member->caught_up = false;
    member->repairing = false;
    member->taken_owed = 0;
    ph_member_greet(hub, member, true);
}

void ph_cluster_meet_all(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    cluster->away = false;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (cluster->members[slot]->link_peer)
            meet(hub, cluster->members[slot]);
}

static void peer_up(struct ph_hub *hub, const struct ph_peer *peer)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_member *member = ph_member_by_name(cluster, peer->name);
    if (!member && cluster->count == PH_MEMBERS_MAX) {
        ph_hub_record(hub, "member_refused", "", 0, "%s: a hub has %d members at most", peer->name,
                      PH_MEMBERS_MAX);
        return;
    }
    if (!member)
        member = ph_member_add(cluster, peer->name, peer->endpoint);
    if (member->info.self)
        return;
    member->link_peer = peer->number;
    snprintf(member->info.endpoint, sizeof member->info.endpoint, "%s", peer->endpoint);
    if (!cluster->away)
        meet(hub, member);
}

static void peer_down(struct ph_hub *hub, uint64_t peer, enum ph_peer_end why)
{
    for (uint16_t slot = 1; slot < hub->cluster->count; slot++)
        if (hub->cluster->members[slot]->link_peer == peer)
            hub->cluster->members[slot]->link_peer = 0;
    struct ph_member *member = ph_member_by_peer(hub->cluster, peer);
    if (!member)
        return;
    member->info.peer = 0;
    member->greeted = false;
    member->repaired = member->caught_up = false;
    member->repairing = false;
    ph_directory_log_close(hub->directory, member->slot);
    hub->cluster->rows_version++;
    ph_cluster_session_lost(hub, member->slot);
    ph_mail_lost(hub, member->slot);
    if (why != PH_PEER_LOST && !member->gone) {
        member->gone = true;
        member->gone_ms = hub->now_ms;
    }
    ph_cluster_review(hub);
}

void ph_cluster_on_peer(struct ph_hub *hub, struct ph_event *event)
{
    if (!hub->cluster || hub->stopped)
        return; /* it has said goodbye: nobody is greeted any more */
    if (event->type == PH_EVENT_PEER_UP)
        peer_up(hub, &event->peer.peer);
    else
        peer_down(hub, event->peer.peer.number, event->peer.why);
}

/* ---- Custom events ------------------------------------------------------------------------- */

static bool is_named(const char *nodes, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = nodes; *at;) {
        size_t word = strcspn(at, ",");
        if (word == length && memcmp(at, name, length) == 0)
            return true;
        at += word + (at[word] == ',');
    }
    return false;
}

bool ph_cluster_is_named(const struct ph_hub *hub, const char *nodes)
{
    return is_named(nodes, hub->cluster->members[0]->info.name);
}

void ph_cluster_dispatch(struct ph_hub *hub, const struct ph_event *event)
{
    struct ph_cluster *cluster = hub->cluster;
    const char *payload = event->dispatch.payload ? event->dispatch.payload : "";
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        if (!member->info.in_view || (event->dispatch.members == PH_MEMBERS_NODES &&
                                      !is_named(event->dispatch.nodes, member->info.name)))
            continue;
        struct ph_text frame = PH_TEXT_INIT;
        ph_frame_start(hub, &frame, PH_FRAME_DISPATCH, member->info.generation);
        ph_pack_str(&frame, event->dispatch.name, strlen(event->dispatch.name));
        ph_pack_uint(&frame, event->gated.priority);
        ph_pack_str(&frame, payload, strlen(payload));
        ph_member_send(hub, member, PH_LINK_STREAM, &frame);
    }
}

/* The sender's gate has let it through. */
void ph_cluster_read_dispatch(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    char name[PH_NAME_MAX + 1];
    size_t length;
    (void)member;
    ph_unpack_name(frame, name, sizeof name);
    uint8_t priority = (uint8_t)ph_unpack_uint(frame, PH_PRIORITY_USER_MAX);
    const char *payload = ph_unpack_str(frame, PH_MESSAGE_BYTES_MAX, &length);
    if (ph_unpack_end(frame) < 0)
        return;
    char *copy = ph_copy_text(payload, length);
    ph_hub_custom_event(hub, name, copy, priority);
    ph_free(copy);
}

/* ---- Work and the end of a step -------------------------------------------------------------- */

bool ph_cluster_has_work(const struct ph_hub *hub)
{
    return hub->cluster && (ph_cluster_reconcile_has_work(hub) || ph_moves_waiting(hub) ||
                            hub->cluster->mail.fetching || ph_cluster_sync_has_work(hub) ||
                            ph_journal_has_work(hub));
}

void ph_cluster_work(struct ph_hub *hub)
{
    ph_cluster_reconcile_work(hub);
    ph_moves_work(hub);
    if (hub->cluster->mail.fetching)
        ph_mail_fetch_last(hub);
    ph_cluster_sync_work(hub);
    ph_journal_work(hub);
}

static void flush_member(struct ph_hub *hub, struct ph_member *member)
{
    struct {
        enum ph_hub_frame type;
        struct ph_batch *batch;
    } batches[] = {
        {PH_FRAME_REQUEST, &member->requests}, {PH_FRAME_MOVED, &member->moved},
        {PH_FRAME_MOVES, &member->moves},      {PH_FRAME_ANSWER, &member->answers},
        {PH_FRAME_MAIL, &member->mail},        {PH_FRAME_MERGE, &member->merges},
        {PH_FRAME_MERGED, &member->merged},
    };
    bool linked = ph_member_is_linked(member);
    ph_cluster_flush_outcomes(hub, member);
    for (size_t i = 0; i < PH_COUNT_OF(batches); i++) {
        if (!linked) {
            ph_text_clear(&batches[i].batch->records);
            batches[i].batch->count = 0;
        }
        ph_member_flush(hub, member, batches[i].type, batches[i].batch);
    }
    if (!linked)
        member->taken_owed = 0;
    if (member->taken_owed) {
        struct ph_text frame = PH_TEXT_INIT;
        ph_frame_start(hub, &frame, PH_FRAME_TAKEN, member->info.generation);
        ph_pack_uint(&frame, member->taken_owed);
        member->taken_owed = 0;
        ph_member_send(hub, member, PH_LINK_STREAM, &frame);
    }
}

static void arm_timer(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t deadline = cluster->beat_now ? hub->now_ms : cluster->beat_ms;
    uint64_t view = ph_cluster_view_deadline(hub);
    if (view < deadline)
        deadline = view;
    if (cluster->retry_ms < deadline)
        deadline = cluster->retry_ms;
    if (cluster->purge_ms < deadline)
        deadline = cluster->purge_ms;
    if (cluster->waiting_first && cluster->moves_hold_ms > hub->now_ms &&
        cluster->moves_hold_ms < deadline)
        deadline = cluster->moves_hold_ms;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        uint64_t congested_ms = cluster->members[slot]->congested_ms;
        if (congested_ms > hub->now_ms && congested_ms < deadline)
            deadline = congested_ms;
    }
    if (deadline <= hub->now_ms)
        deadline = hub->now_ms + 1;
    if (deadline != cluster->armed_ms || !ph_wheel_is_armed(&cluster->timer.timer))
        ph_wheel_add(&hub->wheel, &cluster->timer.timer, deadline);
    cluster->armed_ms = deadline;
}

bool ph_cluster_is_quiet(struct ph_hub *hub)
{
    return !hub->cluster || (ph_mail_has_ended(hub) && ph_journal_has_ended(hub));
}

/* The last child has been handed over: goodbye, and everything that the others want is forgotten,
 * in slices. */
static void finish_leave(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!cluster->leave_asked || cluster->forgetting || hub->picture.children ||
        cluster->scanning || cluster->dirty_first || cluster->moves_out ||
        !ph_cluster_is_quiet(hub))
        return;
    ph_cluster_goodbye(hub);
    cluster->away = true;
    ph_cluster_stand_alone(hub);
    cluster->forgetting = true;
    ph_cluster_scan(hub);
}

/* The others end as well: there is nobody left to hand children over to. */
static void abandon(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!hub->stopping || !cluster->leaving || cluster->abandoned ||
        ph_members_rcu(hub)->owners.count)
        return;
    cluster->abandoned = true;
    ph_cluster_scan(hub);
}

void ph_cluster_flush(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (uint16_t slot = 1; cluster && slot < cluster->count; slot++)
        flush_member(hub, cluster->members[slot]);
}

/* What one frame brings is one step of its reader. */
static bool has_full_batch(const struct ph_member *member)
{
    return member->moves.records.length >= BATCH_BYTES ||
           member->mail.records.length >= BATCH_BYTES || member->moves.count >= PH_JOB_SLICE ||
           member->moved.count >= PH_JOB_SLICE || member->requests.count >= PH_JOB_SLICE ||
           ph_cluster_has_full_outcomes(member) || member->mail.count >= PH_JOB_SLICE ||
           member->answers.count >= PH_JOB_SLICE || member->merges.count >= PH_JOB_SLICE ||
           member->merged.count >= PH_JOB_SLICE;
}

void ph_cluster_end_step(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!cluster)
        return;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        ph_cluster_send_told(hub, cluster->members[slot]);
        if (has_full_batch(cluster->members[slot]))
            flush_member(hub, cluster->members[slot]);
    }
    ph_hub_grow_tables(hub);
    ph_mail_begin_grace(hub);
    finish_leave(hub);
    abandon(hub);
    ph_cluster_check_drains(hub);
    if (!ph_cluster_has_work(hub) && ph_cluster_digest(cluster) != cluster->told_digest &&
        cluster->beat_ms > cluster->last_beat_ms + DIGEST_GAP_MS)
        cluster->beat_ms = cluster->last_beat_ms + DIGEST_GAP_MS;
    if (cluster->beat_now)
        ph_cluster_beat(hub);
    arm_timer(hub);
    ph_directory_reclaim(cluster->directory);
}

/* ---- The end ------------------------------------------------------------------------------- */

void ph_cluster_goodbye(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    ph_cluster_flush(hub);
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        struct ph_text frame = PH_TEXT_INIT;
        if (!ph_member_is_linked(member))
            continue;
        ph_frame_start(hub, &frame, PH_FRAME_BYE, member->info.generation);
        ph_pack_bool(&frame, ph_journal_stays(hub));
        ph_member_send(hub, member, PH_LINK_STREAM, &frame);
    }
    ph_wheel_cancel(&hub->wheel, &cluster->timer.timer);
}

/* BYE: its journal stays. */
void ph_cluster_read_bye(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    bool remembers = ph_unpack_bool(frame);
    if (ph_unpack_end(frame) < 0)
        return;
    member->greeted = false;
    member->gone = true;
    member->gone_ms = hub->now_ms;
    member->left = true;
    member->remembers = remembers;
    hub->cluster->rows_version++;
    ph_directory_log_close(hub->directory, member->slot);
    ph_cluster_review(hub);
}

bool ph_cluster_hand_over(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool nobody = !cluster || cluster->fenced || cluster->in_view < 2;
    if (nobody && !hub->stopping)
        return false;
    if (!cluster)
        return false;
    /* Also when nobody is there to take over: whoever comes while it ends does not count on it. */
    cluster->leaving = true;
    cluster->members[0]->leaving = true;
    ph_cluster_tell_leaving(hub);
    if (nobody) {
        ph_cluster_owners_changed(hub);
        return false;
    }
    ph_hub_record(hub, "leaving", "", 0, "%llu children are handed over",
                  (unsigned long long)hub->picture.children);
    ph_cluster_owners_changed(hub);
    return true;
}

/* ---- For people ---------------------------------------------------------------------------- */

void ph_cluster_inspect(const struct ph_hub *hub, struct ph_text *out)
{
    const struct ph_cluster *cluster = hub->cluster;
    if (!cluster)
        return;
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"entries", ph_directory_entries(cluster->directory)},
        {"log", ph_directory_log_hi(cluster->directory)},
        {"moved_out", cluster->moved_out},
        {"moved_in", cluster->moved_in},
        {"move_aborts", cluster->move_aborts},
        {"takeovers", cluster->takeovers},
        {"duplicates", cluster->duplicates},
        {"merged", cluster->merges.joined},
        {"conflicted", cluster->merges.stored},
        {"conflicts", cluster->merges.conflicts.count},
        {"resyncs", cluster->resyncs},
        {"mail_dropped", cluster->mail.dropped},
        {"mail_gaps", cluster->mail.gaps},
        {"mail_doubled", cluster->mail.doubled},
        {"refused_epoch", cluster->refused_epoch},
        {"refused_frames", cluster->refused_frames},
        {"generation", cluster->generation},
        {"clock", hub->last_epoch},
    };
    for (size_t i = 0; i < PH_COUNT_OF(figures); i++)
        ph_text_printf(out, "%s\x1f%llu\x1e", figures[i].name,
                       (unsigned long long)figures[i].value);
    ph_journal_inspect(&cluster->journal, out);
}
