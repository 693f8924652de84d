/* Intents and placements between members: pushed as they change, repaired where they differ. */
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/cluster_intents.h"
#include "engine/cluster_journal.h"
#include "engine/cluster_requests.h"

enum {
    BATCH = PH_JOB_SLICE,     /* records of one frame */
    REPAIR_LOOKS = 512,       /* entries that one step of a repair looks at */
    LOG_LOOKS = 1024,         /* … and that one looks at for what a member lacks of our log */
    ROOM_WANTED = 512 * 1024, /* below it the links are left to drain */
    CONGESTED_MS = 5,
    REASON_MAX = 300,
    STONE_MIN_MS = 60000, /* longer than anything stays in a link */
    REMOVALS_PER_STEP = 512,
    STONES_PER_STEP = 128,
    STONES_GAP_MS = 5, /* … and more of them come sooner */
};

/* ---- Intents: writing ---------------------------------------------------------------------- */

static void queue_push(struct ph_cluster *cluster, struct ph_entry *entry)
{
    if (entry->pushing)
        return;
    entry->pushing = true;
    entry->next_push = NULL;
    *cluster->push_last = entry;
    cluster->push_last = &entry->next_push;
    cluster->push_queued++;
}

static void write_intent(struct ph_hub *hub, struct ph_entry *entry, const struct ph_intent *intent)
{
    bool taken = ph_directory_want(hub->directory, entry, intent, hub->now_ms);
    ph_assert(taken); /* our clock is past every version that we have seen */
    queue_push(hub->cluster, entry);
    ph_journal_note(hub, entry);
    ph_cluster_touch(hub, entry);
}

static struct ph_version next_version(struct ph_hub *hub)
{
    return (struct ph_version){
        .clock = ph_cluster_clock(hub),
        .author = hub->cluster->members[0]->info.name_hash,
    };
}

void ph_cluster_want(struct ph_hub *hub, struct ph_entry *entry, struct ph_spec *spec,
                     uint64_t mark)
{
    const struct ph_intent intent = {
        .version = next_version(hub),
        .spec = spec,
        .mark = mark,
    };
    write_intent(hub, entry, &intent);
}

void ph_cluster_pin(struct ph_hub *hub, struct ph_entry *entry, uint64_t pin)
{
    const struct ph_intent intent = {
        .pinned = next_version(hub),
        .pin = pin,
    };
    write_intent(hub, entry, &intent);
}

struct ph_promise ph_cluster_promised(const struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    if (!cluster)
        return (struct ph_promise){0};
    return (struct ph_promise){.pushed = cluster->push_queued, .noted = cluster->journal.noted};
}

bool ph_cluster_is_held(const struct ph_hub *hub, struct ph_promise promise)
{
    const struct ph_cluster *cluster = hub->cluster;
    return !cluster || ((cluster->in_view < 2 || cluster->push_taken >= promise.pushed) &&
                        ph_journal_has(&cluster->journal, promise.noted));
}

/* INTENTS: number to acknowledge (0: none), and the record. */
static void send_intents(struct ph_hub *hub, struct ph_member *member, const struct ph_text *body)
{
    struct ph_text frame = PH_TEXT_INIT;
    member->intents_sent++;
    ph_frame_start(hub, &frame, PH_FRAME_INTENTS, member->info.generation);
    ph_text_append(&frame, body->data, body->length);
    ph_member_send(hub, member, PH_LINK_STREAM, &frame);
}

void ph_cluster_tell(struct ph_member *member, const struct ph_entry *entry)
{
    if (!member->told)
        member->told = ph_alloc(sizeof *member->told);
    if (member->told->count < PH_INTENTS_MAX)
        ph_intents_add(member->told, entry);
}

void ph_cluster_send_told(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_text body = PH_TEXT_INIT;
    if (!member->told)
        return;
    ph_pack_uint(&body, 0);
    ph_intents_pack(member->told, &body);
    if (ph_member_is_linked(member))
        send_intents(hub, member, &body);
    ph_text_fini(&body);
    ph_free(member->told);
    member->told = NULL;
}

static void push_intents(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_intents intents = {.count = 0};
    struct ph_text body = PH_TEXT_INIT;
    while (cluster->push_first && intents.count < PH_INTENTS_MAX) {
        struct ph_entry *entry = cluster->push_first;
        cluster->push_first = entry->next_push;
        if (!cluster->push_first)
            cluster->push_last = &cluster->push_first;
        entry->pushing = false;
        ph_intents_add(&intents, entry);
        ph_cluster_settle(hub, entry); /* who has it may be asked now, behind the intent */
    }
    if (!intents.count)
        return;
    cluster->push_sent += intents.count;
    ph_pack_uint(&body, cluster->push_sent);
    ph_intents_pack(&intents, &body);
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (ph_member_is_linked(cluster->members[slot]))
            send_intents(hub, cluster->members[slot], &body);
    ph_text_fini(&body);
}

/* ---- Intents: repair ----------------------------------------------------------------------- */

static bool is_in(const uint64_t *buckets, unsigned bucket)
{
    return buckets[bucket / 64] >> (bucket % 64) & 1;
}

static bool any_bucket(const struct ph_member *member)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < PH_BUCKETS / 64; i++)
        any |= member->repair_buckets[i];
    return any != 0;
}

static void finish_repair(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_text frame = PH_TEXT_INIT;
    member->repairing = false;
    ph_frame_start(hub, &frame, PH_FRAME_REPAIRED, member->info.generation);
    ph_member_send(hub, member, PH_LINK_STREAM, &frame);
}

/* One step of the walk that sends a member all intents of the buckets in which it differs. */
static void repair(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_entry *entries[BATCH];
    struct ph_intents intents = {.count = 0};
    struct ph_text body = PH_TEXT_INIT;
    unsigned got = 0;
    for (unsigned looked = 0; any_bucket(member) && looked < REPAIR_LOOKS && !intents.count;
         looked += BATCH) {
        got = ph_directory_walk(hub->directory, &member->repair, entries, BATCH);
        for (unsigned i = 0; i < got; i++)
            if (entries[i]->version.clock &&
                is_in(member->repair_buckets, ph_entry_bucket(entries[i])))
                ph_intents_add(&intents, entries[i]);
        if (!got)
            break;
    }
    if (intents.count) {
        ph_pack_uint(&body, 0);
        ph_intents_pack(&intents, &body);
        send_intents(hub, member, &body);
    }
    ph_text_fini(&body);
    if (!got)
        finish_repair(hub, member);
}

void ph_cluster_read_repaired(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    if (ph_unpack_end(frame) < 0)
        return;
    member->repaired = true;
    ph_cluster_review(hub);
}

void ph_cluster_read_intents(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint64_t number = ph_unpack_uint(frame, UINT64_MAX);
    member->intents_had++;
    ph_intents_read(hub, frame);
    if (number && !frame->broken)
        member->taken_owed = number;
}

/* A member that has had everything since some point in its session holds all up to what it
 * acknowledges, if what was before is held, too. */
void ph_cluster_count_taken(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t before = cluster->push_taken;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        bool has_all =
            member->session_push <= before ||
            (member->session_push <= cluster->push_full && member->taken >= cluster->push_whole);
        if (member->info.in_view && member->greeted && has_all &&
            member->taken > cluster->push_taken)
            cluster->push_taken = member->taken;
    }
    if (cluster->push_taken == cluster->push_queued)
        cluster->held_clock = hub->last_epoch;
    if (cluster->push_taken > before)
        ph_hub_jobs_held(hub);
}

static bool is_unheld(const struct ph_cluster *cluster, struct ph_version version)
{
    return version.author == cluster->members[0]->info.name_hash &&
           version.clock > cluster->held_clock;
}

void ph_cluster_push_again(struct ph_hub *hub, struct ph_entry *entry)
{
    if (is_unheld(hub->cluster, entry->version) || is_unheld(hub->cluster, entry->pinned))
        queue_push(hub->cluster, entry);
}

void ph_cluster_pushed_again(struct ph_hub *hub)
{
    hub->cluster->repushing = false;
    hub->cluster->push_full = hub->cluster->repush_from;
    hub->cluster->push_whole = hub->cluster->push_queued;
    if (hub->cluster->push_queued == hub->cluster->repush_from && !hub->cluster->push_first) {
        /* Nothing of it is ours any more: others have written something younger. */
        hub->cluster->push_taken = hub->cluster->push_sent;
        ph_hub_jobs_held(hub);
    }
    ph_cluster_count_taken(hub);
}

void ph_cluster_read_taken(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint64_t number = ph_unpack_uint(frame, UINT64_MAX);
    if (ph_unpack_end(frame) < 0 || number > hub->cluster->push_sent)
        return;
    if (number > member->taken)
        member->taken = number;
    ph_cluster_count_taken(hub);
}

/* ---- Placements: sending ------------------------------------------------------------------- */

enum { ROWS_DELTA, ROWS_SNAPSHOT, ROWS_KINDS };

void ph_cluster_sync_greeted(struct ph_hub *hub, struct ph_member *member, uint64_t generation,
                             uint64_t hi)
{
    struct ph_cluster *cluster = hub->cluster;
    bool same = generation == cluster->generation &&
                hi >= ph_directory_log_floor(cluster->directory) &&
                hi <= ph_directory_log_hi(cluster->directory);
    member->snapshot = !same;
    member->sent_hi = same ? hi : 0;
    ph_directory_log_seek(cluster->directory, member->slot, member->sent_hi);
    member->caught_up |= !member->log_round && member->log_hi >= member->log_announced;
}

/* What nobody else held may have been lost with a session: it goes out again, to all. */
void ph_cluster_sync_begun(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_cluster *cluster = hub->cluster;
    member->taken = 0;
    member->session_push = cluster->push_sent;
    if (cluster->push_taken == cluster->push_sent)
        return;
    cluster->repushing = true;
    cluster->repush_from = cluster->push_queued;
    ph_cluster_scan(hub);
}

/* Per row: id, state (PH_STATES: gone), epoch, pid, instance, restarts, age, reason, where one that
 * is gone went: hash of the name and generation (0: nowhere). */
static void pack_row(struct ph_hub *hub, const struct ph_log_entry *row, struct ph_text *rows)
{
    struct ph_placed placed = {
        .state = PH_STATES,
        .since_ms = hub->now_ms,
        .epoch = row->epoch,
    };
    const char *reason = NULL;
    if (row->placement) {
        ph_placement_read_rcu(row->placement, &placed);
        reason = atomic_load_explicit(&((struct ph_placement *)(uintptr_t)row->placement)->reason,
                                      memory_order_relaxed);
    }
    ph_pack_str(rows, row->entry->id, row->entry->id_length);
    ph_pack_uint(rows, placed.state);
    ph_pack_uint(rows, placed.epoch);
    ph_pack_uint(rows, placed.pid);
    ph_pack_uint(rows, placed.instance);
    ph_pack_uint(rows, placed.restarts);
    ph_pack_uint(rows, hub->now_ms - placed.since_ms);
    ph_pack_str(rows, reason ? reason : "", reason ? strnlen(reason, REASON_MAX) : 0);
    ph_pack_uint(rows, row->placement ? 0 : row->moved_to);
    ph_pack_uint(rows, row->placement ? 0 : row->moved_life);
}

/* ROWS: kind, begins (of a snapshot), ends, number before, number after, rows. */
static void send_rows(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_text frame = PH_TEXT_INIT, rows = PH_TEXT_INIT;
    struct ph_log_entry row;
    uint32_t count = 0;
    bool begins = member->snapshot && member->sent_hi == 0 && !member->snapshot_begun;
    uint64_t before = member->sent_hi;
    while (count < BATCH && ph_directory_log_next(cluster->directory, member->slot, &row)) {
        pack_row(hub, &row, &rows);
        member->sent_hi = row.number;
        count++;
    }
    bool ends = ph_directory_log_at_end(cluster->directory, member->slot);
    if (ends)
        member->sent_hi = ph_directory_log_hi(cluster->directory);
    ph_frame_start(hub, &frame, PH_FRAME_ROWS, member->info.generation);
    ph_pack_uint(&frame, member->snapshot ? ROWS_SNAPSHOT : ROWS_DELTA);
    ph_pack_bool(&frame, begins);
    ph_pack_bool(&frame, ends);
    ph_pack_uint(&frame, before);
    ph_pack_uint(&frame, member->sent_hi);
    ph_pack_array(&frame, count);
    ph_text_append(&frame, ph_text_str(&rows), rows.length);
    ph_text_fini(&rows);
    member->snapshot_begun = member->snapshot && !ends;
    if (ends)
        member->snapshot = false;
    ph_member_send(hub, member, PH_LINK_STREAM, &frame);
}

/* ---- Placements: reading ------------------------------------------------------------------- */

static void read_row(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    struct ph_cluster *cluster = hub->cluster;
    size_t length, reason_length;
    struct ph_placed placed;
    char reason[REASON_MAX + 1];
    const char *id = ph_unpack_str(frame, PH_ID_MAX, &length);
    placed.state = (enum ph_state)ph_unpack_uint(frame, PH_STATES);
    placed.epoch = ph_unpack_uint(frame, UINT64_MAX / 2);
    placed.pid = ph_unpack_uint(frame, UINT32_MAX);
    placed.instance = (uint32_t)ph_unpack_uint(frame, UINT32_MAX);
    placed.restarts = (uint32_t)ph_unpack_uint(frame, UINT32_MAX);
    uint64_t age_ms = ph_unpack_uint(frame, UINT64_MAX);
    const char *why = ph_unpack_str(frame, REASON_MAX, &reason_length);
    uint64_t moved_to = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t moved_life = ph_unpack_uint(frame, UINT64_MAX);
    if (!frame->broken && !ph_id_is_valid(id, length))
        ph_unpack_fail(frame);
    if (frame->broken)
        return;
    memcpy(reason, why, reason_length);
    reason[reason_length] = '\0';
    placed.since_ms = hub->now_ms > age_ms ? hub->now_ms - age_ms : 0;
    if (placed.epoch > hub->last_epoch)
        hub->last_epoch = placed.epoch;
    struct ph_entry *entry = ph_directory_make(cluster->directory, id, length);
    if (!entry)
        return;
    bool gone = placed.state == PH_STATES;
    ph_entry_saw(entry, placed.epoch);
    if (gone && moved_to && moved_to != cluster->members[0]->info.name_hash)
        ph_entry_moved(entry, placed.epoch, moved_to, moved_life, hub->now_ms);
    if (!gone && placed.state == PH_STATE_RUNNING)
        entry->ran = true;
    if (ph_directory_place(cluster->directory, entry, member->slot, gone ? NULL : &placed,
                           reason_length ? reason : NULL))
        ph_cluster_touch(hub, entry);
}

/* Numbers must follow on what we have: else something was lost, and we ask for all of it. */
static bool fits(struct ph_hub *hub, struct ph_member *member, unsigned kind, bool begins,
                 uint64_t before)
{
    if (kind == ROWS_SNAPSHOT && begins) {
        member->log_round = ph_directory_next_round(hub->directory, member->slot);
        return true;
    }
    if ((kind == ROWS_SNAPSHOT) == (member->log_round != 0) && before == member->log_hi)
        return true;
    if (kind == ROWS_DELTA && before < member->log_hi)
        return true; /* sent again: what comes is as new as what we have, or newer */
    hub->cluster->resyncs++;
    ph_member_greet(hub, member, true);
    return false;
}

void ph_cluster_read_rows(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    unsigned kind = (unsigned)ph_unpack_uint(frame, ROWS_KINDS - 1);
    bool begins = ph_unpack_bool(frame), ends = ph_unpack_bool(frame);
    uint64_t before = ph_unpack_uint(frame, UINT64_MAX), after = ph_unpack_uint(frame, UINT64_MAX);
    uint32_t count = ph_unpack_array(frame, BATCH);
    if (frame->broken || after < before)
        return;
    if ((kind == ROWS_DELTA && after <= member->log_hi && !member->log_round) ||
        !fits(hub, member, kind, begins, before)) {
        frame->at = frame->end; /* it has nothing for us */
        return;
    }
    bool had_caught_up = member->caught_up, had_basis = ph_member_has_basis(member);
    for (uint32_t i = 0; i < count && !frame->broken; i++)
        read_row(hub, member, frame);
    if (frame->broken)
        return;
    member->log_hi = after;
    if (member->wants_hash == ph_directory_hash(hub->directory))
        member->differs_ms = 0; /* only its rows are late, and they come */
    if (kind == ROWS_SNAPSHOT && ends) {
        ph_directory_void_before(hub->directory, member->slot, member->log_round);
        member->log_round = 0;
        ph_cluster_scan(hub);
    }
    member->caught_up |= !member->log_round && member->log_hi >= member->log_announced;
    if (member->caught_up != had_caught_up || ph_member_has_basis(member) != had_basis)
        ph_cluster_review(hub); /* its next beat may be long in coming */
}

/* ---- Work ---------------------------------------------------------------------------------- */

static bool has_room(const struct ph_hub *hub, const struct ph_member *member)
{
    return hub->ports.link->room(hub->ports.context, member->info.peer) >= ROOM_WANTED;
}

static bool member_has_work(const struct ph_hub *hub, const struct ph_member *member)
{
    return ph_member_is_linked(member) && (member->repairing || member->snapshot ||
                                           !ph_directory_log_at_end(hub->directory, member->slot));
}

bool ph_cluster_sync_has_work(const struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    if (cluster->push_first)
        return true;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (member_has_work(hub, cluster->members[slot]) &&
            cluster->members[slot]->congested_ms <= hub->now_ms)
            return true;
    return false;
}

void ph_cluster_purge(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t before_ms = hub->now_ms > STONE_MIN_MS ? hub->now_ms - STONE_MIN_MS : 0;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        if (ph_member_may_want(member) && member->equal_ms < before_ms)
            before_ms = member->equal_ms;
    }
    bool more = ph_directory_log_purge(cluster->directory, REMOVALS_PER_STEP);
    more |= ph_directory_purge(cluster->directory, before_ms, STONES_PER_STEP);
    cluster->purge_ms = more ? hub->now_ms + STONES_GAP_MS : PH_NEVER;
}

void ph_cluster_sync_work(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    push_intents(hub);
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        if (!member_has_work(hub, member) || member->congested_ms > hub->now_ms)
            continue;
        if (!has_room(hub, member)) {
            member->congested_ms = hub->now_ms + CONGESTED_MS;
            continue;
        }
        if (member->repairing)
            repair(hub, member);
        if (ph_directory_log_find(hub->directory, member->slot, LOG_LOOKS) &&
            (member->snapshot || !ph_directory_log_at_end(hub->directory, member->slot)))
            send_rows(hub, member);
    }
}
