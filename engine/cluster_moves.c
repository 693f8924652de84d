/*
 * Moves: the acknowledged transfer of a child from the node that runs it to the one where it
 * belongs.
 *
 *   source                                      target
 *   saving   it is stopped, its state saved
 *   sent     MOVES: number, id, epoch, state ─▶ starting   it begins with that state
 *   done     ◀───────────────── MOVED: 0 ────── done       it runs, under a higher epoch
 *   failed   ◀───────────────── MOVED: why ──── failed     it does not; the source starts it again
 *
 * The source keeps the truth until the target has answered: nothing else ends `sent` but an answer,
 * or the target's leaving the view. When it takes too long the source asks the target to cancel,
 * and is answered in either case.
 */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/spec.h"

enum {
    SLICE = PH_JOB_SLICE,
    DONE_KEPT = 1000,
    LISTED = 1000,
    RETRY_MS = 2000,
    ROOM_WANTED = 1024 * 1024,
    HOLD_MS = 5,
    TEXT_MAX = 200,
    RECORDS_MAX = 65536,
    STATE_MAX = 256 * 1024 * 1024,
};

struct ph_transfer {
    struct ph_hub_timer deadline; /* first */
    struct ph_transfer *next, *before;
    struct ph_entry *entry; /* NULL: it is over */
    char *id;
    uint64_t number; /* of the source's */
    uint64_t epoch;  /* of the instance that the source has ended */
    uint64_t began_ms, ended_ms, bytes;
    uint16_t member; /* the other side */
    bool incoming, lost;
    bool refused; /* by the target */
    bool arrived; /* the target has it; the move ends when that is in the directory, too */
    uint64_t arrived_ms;
    enum ph_move_phase phase;
    struct ph_text state; /* kept until the target has it */
    char error[TEXT_MAX + 1];
};

/* ---- The list of moves ----------------------------------------------------------------------- */

static void unlink_move(struct ph_cluster *cluster, struct ph_transfer *move)
{
    *(move->before ? &move->before->next : &cluster->moves_first) = move->next;
    if (move->next)
        move->next->before = move->before;
}

static void free_move(struct ph_transfer *move)
{
    ph_text_fini(&move->state);
    ph_free(move->id);
    ph_free(move);
}

static void cancel_late(struct ph_hub *, struct ph_hub_timer *);

static struct ph_transfer *add_move(struct ph_hub *hub, struct ph_entry *entry, uint16_t member,
                                    bool incoming)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_transfer *move = ph_alloc(sizeof *move);
    move->entry = entry;
    move->id = ph_copy_text(entry->id, entry->id_length);
    move->member = member;
    move->incoming = incoming;
    move->began_ms = hub->now_ms;
    move->deadline.fire = cancel_late;
    move->next = cluster->moves_first;
    if (move->next)
        move->next->before = move;
    cluster->moves_first = move;
    entry->move = move;
    *(incoming ? &cluster->moves_in : &cluster->moves_out) += 1;
    return move;
}

/* A finished move stays in a list for people. */
static void finish(struct ph_hub *hub, struct ph_transfer *move, enum ph_move_phase phase,
                   const char *error)
{
    struct ph_cluster *cluster = hub->cluster;
    *(move->incoming ? &cluster->moves_in : &cluster->moves_out) -= 1;
    unlink_move(cluster, move);
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    ph_text_fini(&move->state);
    move->phase = phase;
    move->ended_ms = hub->now_ms;
    snprintf(move->error, sizeof move->error, "%s", error);
    if (move->entry->move == move)
        move->entry->move = NULL;
    ph_cluster_touch(hub, move->entry);
    move->entry = NULL;
    move->next = NULL;
    *cluster->done_last = move;
    cluster->done_last = &move->next;
    if (++cluster->done_count <= DONE_KEPT)
        return;
    struct ph_transfer *oldest = cluster->done_first;
    cluster->done_first = oldest->next;
    cluster->done_count--;
    free_move(oldest);
}

void ph_moves_fini(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    while (cluster->moves_first) {
        struct ph_transfer *move = cluster->moves_first;
        cluster->moves_first = move->next;
        /* Its deadline is not taken out: the wheel ends, too, and its neighbours may be gone. */
        free_move(move);
    }
    while (cluster->done_first) {
        struct ph_transfer *move = cluster->done_first;
        cluster->done_first = move->next;
        free_move(move);
    }
}

bool ph_move_is_sent(const struct ph_entry *entry)
{
    return entry->move && !entry->move->incoming && entry->move->phase == PH_MOVE_SENT;
}

/* ---- The budget ------------------------------------------------------------------------------ */

static bool has_budget(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t rate = hub->options.move_rate;
    if (cluster->moves_out >= hub->options.move_in_flight)
        return false;
    if (!rate)
        return true;
    uint64_t now_us = hub->now_ms * 1000;
    if (cluster->move_slot_us > now_us) {
        cluster->moves_hold_ms = (cluster->move_slot_us + 999) / 1000;
        return false;
    }
    uint64_t from_us = cluster->move_slot_us + 10000 > now_us ? cluster->move_slot_us : now_us;
    cluster->move_slot_us = from_us + 1000000 / rate;
    return true;
}

static bool has_room(struct ph_hub *hub, const struct ph_member *target)
{
    if (hub->ports.link->room(hub->ports.context, target->info.peer) >= ROOM_WANTED)
        return true;
    hub->cluster->moves_hold_ms = hub->now_ms + HOLD_MS;
    return false;
}

static void wait_for_budget(struct ph_cluster *cluster, struct ph_entry *entry)
{
    if (entry->waiting)
        return;
    entry->waiting = true;
    entry->next_waiting = NULL;
    *cluster->waiting_last = entry;
    cluster->waiting_last = &entry->next_waiting;
}

bool ph_moves_waiting(const struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    return (cluster->moves_lost && cluster->released && !cluster->fenced) ||
           (cluster->waiting_first && cluster->moves_hold_ms <= hub->now_ms &&
            cluster->moves_out < hub->options.move_in_flight);
}

/* All entries are looked at again then: also those that were too early this time. */
static void retry_at(struct ph_cluster *cluster, uint64_t when_ms)
{
    if (when_ms < cluster->retry_ms)
        cluster->retry_ms = when_ms;
}

/* ---- The source ------------------------------------------------------------------------------ */

void ph_move_begin(struct ph_hub *hub, struct ph_entry *entry, uint16_t target)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_member *member = cluster->members[target];
    if (!ph_member_is_linked(member) && entry->retry_ms <= hub->now_ms)
        entry->retry_ms = hub->now_ms + RETRY_MS;
    if (hub->now_ms < entry->retry_ms) {
        retry_at(cluster, entry->retry_ms);
        return;
    }
    if (member->view != cluster->view) {
        /* It would not know that the child belongs there. */
        cluster->moves_hold_ms = hub->now_ms + cluster->heartbeat_ms;
        wait_for_budget(cluster, entry);
        return;
    }
    if (!has_room(hub, member) || !has_budget(hub)) {
        wait_for_budget(cluster, entry);
        return;
    }
    struct ph_transfer *move = add_move(hub, entry, target, false);
    move->number = ++cluster->next_token;
    move->phase = PH_MOVE_SAVING;
    move->epoch = atomic_load_explicit(&entry->child->epoch, memory_order_relaxed);
    struct ph_super_call call = {.event = PH_SUPER_MOVE};
    ph_super_handle(hub, entry->child, &call);
}

/* Per record: cancels, number, id, version, epoch, state. */
static void put_move(struct ph_hub *hub, const struct ph_transfer *move, bool cancels)
{
    struct ph_member *member = hub->cluster->members[move->member];
    struct ph_text *records = &member->moves.records;
    ph_pack_bool(records, cancels);
    ph_pack_uint(records, move->number);
    ph_pack_str(records, move->id, strlen(move->id));
    ph_pack_uint(records, move->entry->version.clock);
    ph_pack_uint(records, move->entry->version.author);
    ph_pack_uint(records, move->epoch);
    ph_pack_bin(records, cancels ? "" : ph_text_str(&move->state),
                cancels ? 0 : move->state.length);
    member->moves.count++;
}

/* The other side does not take it: it goes on here, with the state that it had. */
static void bring_back(struct ph_hub *hub, struct ph_transfer *move, const char *why)
{
    struct ph_entry *entry = move->entry;
    struct ph_child *child = entry->child;
    struct ph_super_call call = {.event = PH_SUPER_RETURN};
    hub->cluster->move_aborts++;
    ph_hub_record(hub, "move_aborted", entry->id, 0, "to %s: %s",
                  hub->cluster->members[move->member]->info.name, why);
    entry->retry_ms = hub->now_ms + RETRY_MS;
    retry_at(hub->cluster, entry->retry_ms);
    if (move->state.length)
        hub->ports.exec->load(hub->ports.context, child, &move->state);
    finish(hub, move, PH_MOVE_FAILED, why);
    ph_super_handle(hub, child, &call);
}

/* The other side has it, or nobody wants it: nothing is left to do here. */
static void let_go(struct ph_hub *hub, struct ph_transfer *move, enum ph_move_phase phase,
                   const char *why)
{
    struct ph_child *child = move->entry->child;
    struct ph_super_call call = {.event = PH_SUPER_MOVED};
    finish(hub, move, phase, why);
    ph_super_handle(hub, child, &call);
}

void ph_cluster_child_saved(struct ph_hub *hub, struct ph_child *child, struct ph_text *state)
{
    struct ph_transfer *move = child->entry->move;
    if (!move)
        return;
    move->state = *state;
    *state = PH_TEXT_INIT;
    move->bytes = move->state.length;
    if (!ph_entry_spec_rcu(child->entry)) {
        let_go(hub, move, PH_MOVE_FAILED, "stopped meanwhile");
    } else if (move->lost || !ph_member_is_linked(hub->cluster->members[move->member])) {
        bring_back(hub, move, "the node is gone");
    } else {
        move->phase = PH_MOVE_SENT;
        put_move(hub, move, false);
        ph_wheel_add(&hub->wheel, &move->deadline.timer,
                     hub->now_ms + hub->options.migrate_timeout_ms);
    }
}

void ph_cluster_child_kept(struct ph_hub *hub, struct ph_child *child, const char *why)
{
    struct ph_entry *entry = child->entry;
    hub->cluster->move_aborts++;
    ph_hub_record(hub, "move_aborted", entry->id, 0, "it cannot be saved: %s", why);
    entry->retry_ms = hub->now_ms + RETRY_MS;
    retry_at(hub->cluster, entry->retry_ms);
    finish(hub, entry->move, PH_MOVE_FAILED, why);
}

/* Between the target's answer and its row nobody would seem to have the child, and it would be
 * started once more; unless it was stopped meanwhile: then its row may never come. */
void ph_move_look(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_transfer *move = entry->move;
    const struct ph_member *member = cluster->members[move->member];
    bool came_and_went = hub->now_ms >= move->arrived_ms + cluster->dead_after_ms &&
                         member->log_hi >= member->beat_hi;
    bool seen = entry->seen_epoch > move->epoch; /* its row, or that it is gone again */
    if (!move->arrived ||
        (!seen && !came_and_went && !ph_cluster_live_placement(cluster, entry, 0)))
        return;
    const struct ph_member_info *to = &hub->cluster->members[move->member]->info;
    hub->cluster->moved_out++;
    if (!move->lost)
        ph_directory_log_moved(entry, to->name_hash, to->generation);
    ph_mail_follow(hub, entry, hub->cluster->members[move->member]);
    let_go(hub, move, PH_MOVE_DONE, "");
}

/* It takes too long: the target is asked to give up, and says how it ended in any case. */
static void cancel_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    struct ph_transfer *move = ph_container_of(timer, struct ph_transfer, deadline);
    put_move(hub, move, true);
    ph_wheel_add(&hub->wheel, &move->deadline.timer, hub->now_ms + hub->options.migrate_timeout_ms);
}

void ph_cluster_read_moved(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        size_t length, why_length;
        char why[TEXT_MAX + 1];
        uint64_t number = ph_unpack_uint(frame, UINT64_MAX);
        const char *id = ph_unpack_str(frame, PH_ID_MAX, &length);
        int code = -(int)ph_unpack_uint(frame, 1 << 16);
        const char *text = ph_unpack_str(frame, TEXT_MAX, &why_length);
        if (frame->broken)
            return;
        memcpy(why, text, why_length);
        why[why_length] = '\0';
        struct ph_entry *entry = ph_directory_find_rcu(hub->directory, id, length);
        struct ph_transfer *move = entry ? entry->move : NULL;
        if (!move || move->incoming || move->number != number || move->member != member->slot ||
            move->phase != PH_MOVE_SENT)
            continue;
        if (code == 0 || move->arrived) {
            if (!move->arrived)
                move->arrived_ms = hub->now_ms;
            move->arrived = true;
            ph_move_look(hub, entry);
        } else if (code == PH_EEXISTS || !ph_entry_spec_rcu(entry)) {
            let_go(hub, move, PH_MOVE_FAILED, why);
        } else {
            /* Not in this step: others may have it, and we be told of that later. */
            snprintf(move->error, sizeof move->error, "%s", why);
            move->lost = move->refused = true;
            hub->cluster->moves_lost = true;
        }
    }
}

/* ---- The target ------------------------------------------------------------------------------ */

static void answer(struct ph_member *member, uint64_t number, const char *id, size_t length,
                   int code, const char *why)
{
    struct ph_text *records = &member->moved.records;
    ph_pack_uint(records, number);
    ph_pack_str(records, id, length);
    ph_pack_uint(records, (uint64_t)-code);
    size_t why_length = strlen(why);
    ph_pack_str(records, why, why_length < TEXT_MAX ? why_length : TEXT_MAX);
    member->moved.count++;
}

struct offer {
    bool cancels;
    uint64_t number, epoch;
    struct ph_version version;
    const char *id;
    size_t length;
    const void *state;
    size_t state_length;
};

/* Why this node does not take the child, or 0. */
static int refusal(struct ph_hub *hub, struct ph_member *member, const struct offer *offer,
                   const struct ph_entry *entry, const char **why)
{
    struct ph_cluster *cluster = hub->cluster;
    const struct ph_placement *other =
        entry ? ph_cluster_live_placement(cluster, entry, member->slot) : NULL;
    struct ph_placed placed;
    *why = "not wanted";
    if (!entry || !ph_entry_spec_rcu(entry))
        return PH_ENOTFOUND;
    *why = "it has been moved away from there, and that is not over yet";
    if (ph_move_is_sent(entry) && entry->move->epoch < offer->epoch)
        return PH_EREFUSED;
    *why = "runs there already";
    if (entry->child)
        return PH_EEXISTS;
    *why = "the target knows an older version of it";
    if (ph_version_compare(entry->version, offer->version) < 0)
        return PH_EREFUSED;
    *why = "a younger instance of it is known";
    if (other) {
        ph_placement_read_rcu(other, &placed);
        if (placed.epoch >= offer->epoch && placed.state != PH_STATE_MOVING) {
            cluster->refused_epoch++;
            return PH_EREFUSED;
        }
    }
    *why = "it does not belong there";
    if (!cluster->fenced && !hub->stopping && ph_cluster_owner(cluster, entry) == 0 &&
        member->info.in_view)
        return 0;
    return PH_EREFUSED;
}

static void accept(struct ph_hub *hub, struct ph_member *member, const struct offer *offer,
                   struct ph_entry *entry)
{
    struct ph_text state = PH_TEXT_INIT;
    struct ph_transfer *move = add_move(hub, entry, member->slot, true);
    move->number = offer->number;
    move->epoch = offer->epoch;
    move->phase = PH_MOVE_STARTING;
    move->bytes = offer->state_length;
    if (offer->epoch > hub->last_epoch)
        hub->last_epoch = offer->epoch;
    ph_text_append(&state, offer->state, offer->state_length);
    ph_cluster_launch(hub, entry, NULL, &state);
    ph_text_fini(&state);
}

/* Whatever was lost on the way, the source is answered: it runs here, it is being stopped, or it
 * never came. */
static void cancel(struct ph_hub *hub, struct ph_member *member, const struct offer *offer,
                   struct ph_entry *entry)
{
    struct ph_transfer *move = entry ? entry->move : NULL;
    struct ph_child *child = entry ? entry->child : NULL;
    struct ph_super_call call = {.event = PH_SUPER_STOP};
    bool ours =
        move && move->incoming && move->number == offer->number && move->member == member->slot;
    bool younger =
        child && atomic_load_explicit(&child->epoch, memory_order_relaxed) > offer->epoch;
    if (!ours) {
        answer(member, offer->number, offer->id, offer->length, younger ? 0 : PH_ECANCELED,
               younger ? "" : "it never came there");
        return;
    }
    if (child && !ph_super_ends(child))
        ph_super_handle(hub, child, &call);
}

void ph_cluster_read_moves(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct offer offer = {.cancels = ph_unpack_bool(frame)};
        offer.number = ph_unpack_uint(frame, UINT64_MAX);
        offer.id = ph_unpack_str(frame, PH_ID_MAX, &offer.length);
        offer.version.clock = ph_unpack_uint(frame, UINT64_MAX / 2);
        offer.version.author = ph_unpack_uint(frame, UINT64_MAX);
        offer.epoch = ph_unpack_uint(frame, UINT64_MAX / 2);
        offer.state = ph_unpack_bin(frame, STATE_MAX, &offer.state_length);
        if (frame->broken)
            return;
        struct ph_entry *entry = ph_directory_find_rcu(hub->directory, offer.id, offer.length);
        const char *why;
        if (offer.cancels) {
            cancel(hub, member, &offer, entry);
            continue;
        }
        int code = refusal(hub, member, &offer, entry, &why);
        if (code)
            answer(member, offer.number, offer.id, offer.length, code, why);
        else
            accept(hub, member, &offer, entry);
    }
}

void ph_move_arrived(struct ph_hub *hub, struct ph_entry *entry, int code, const char *why)
{
    struct ph_transfer *move = entry->move;
    if (!move->incoming || move->phase != PH_MOVE_STARTING)
        return;
    struct ph_member *member = hub->cluster->members[move->member];
    if (!move->lost)
        answer(member, move->number, entry->id, entry->id_length, code, why);
    if (code == 0) {
        hub->cluster->moved_in++;
        ph_hub_record(hub, "child_moved", entry->id, 0, "from %s, %llu bytes", member->info.name,
                      (unsigned long long)move->bytes);
    }
    finish(hub, move, code ? PH_MOVE_FAILED : PH_MOVE_DONE, why);
}

/* ---- What crosses a move --------------------------------------------------------------------- */

void ph_move_child_gone(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_transfer *move = entry->move;
    if (!move)
        return;
    if (move->incoming)
        ph_move_arrived(hub, entry, PH_ECANCELED, "stopped before it ran");
    else
        finish(hub, move, PH_MOVE_FAILED, "stopped meanwhile");
}

/* Only marks: what follows is done in slices. */
void ph_moves_lost(struct ph_hub *hub, uint16_t member)
{
    struct ph_cluster *cluster = hub->cluster;
    for (struct ph_transfer *move = cluster->moves_first; move; move = move->next) {
        if (move->member != member)
            continue;
        move->lost = true;
        cluster->moves_lost |= !move->incoming && move->phase == PH_MOVE_SENT;
    }
}

/* Does another node have a younger one? Rows come later than answers: what the target's log said
 * last does not count when the target has refused it, nor what is left of instances before. */
static bool is_elsewhere(const struct ph_cluster *cluster, const struct ph_transfer *move)
{
    for (const struct ph_placement *at = ph_entry_first_rcu(move->entry); at;
         at = ph_placement_next_rcu(at)) {
        struct ph_placed placed;
        ph_placement_read_rcu(at, &placed);
        if (at->member != 0 && placed.epoch > move->epoch &&
            ph_cluster_in_view(cluster, at->member) &&
            !ph_directory_is_void(cluster->directory, at) &&
            !(move->refused && at->member == move->member))
            return true;
    }
    return false;
}

static void work_lost(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_transfer *move = cluster->moves_first, *next;
    unsigned done = 0;
    for (; move && done < SLICE; move = next) {
        next = move->next;
        if (!move->lost || move->incoming || move->phase != PH_MOVE_SENT)
            continue;
        done++;
        char why[TEXT_MAX + 1];
        snprintf(why, sizeof why, "%s", move->refused ? move->error : "the node was lost");
        if (!move->refused && ph_cluster_in_view(cluster, move->member))
            move->lost = false; /* it is back, and is asked */
        else if (is_elsewhere(cluster, move))
            let_go(hub, move, PH_MOVE_FAILED, "others took it over");
        else if (ph_entry_spec_rcu(move->entry))
            bring_back(hub, move, why);
        else
            let_go(hub, move, PH_MOVE_FAILED, "stopped meanwhile");
    }
    cluster->moves_lost = done == SLICE;
}

void ph_moves_work(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (cluster->moves_lost && cluster->released && !cluster->fenced)
        work_lost(hub);
    if (!ph_moves_waiting(hub))
        return;
    for (unsigned i = 0; i < SLICE && cluster->waiting_first; i++) {
        struct ph_entry *entry = cluster->waiting_first;
        cluster->waiting_first = entry->next_waiting;
        if (!cluster->waiting_first)
            cluster->waiting_last = &cluster->waiting_first;
        entry->waiting = false;
        ph_cluster_touch(hub, entry);
    }
}

/* ---- For people ------------------------------------------------------------------------------ */

static void put_row(const struct ph_hub *hub, const struct ph_transfer *move, struct ph_text *out)
{
    static const char *const phases[] = {
#define PH_MOVE_PHASE_ROW(name, text) [name] = text,
        PH_MOVE_PHASE_MAP(PH_MOVE_PHASE_ROW)
#undef PH_MOVE_PHASE_ROW
    };
    const struct ph_cluster *cluster = hub->cluster;
    const char *self = cluster->members[0]->info.name;
    const char *other = cluster->members[move->member]->info.name;
    uint64_t until_ms = move->ended_ms ? move->ended_ms : hub->now_ms;
    ph_text_printf(out, "%s\x1f%s\x1f%s\x1f%s\x1f%llu\x1f%llu\x1f%s\x1e", move->id,
                   move->incoming ? other : self, move->incoming ? self : other,
                   phases[move->phase], (unsigned long long)move->bytes,
                   (unsigned long long)(until_ms - move->began_ms), move->error);
}

void ph_moves_inspect(const struct ph_hub *hub, struct ph_text *out)
{
    const struct ph_cluster *cluster = hub->cluster;
    unsigned listed = 0;
    if (!cluster)
        return;
    for (const struct ph_transfer *move = cluster->moves_first; move && listed < LISTED;
         move = move->next, listed++)
        put_row(hub, move, out);
    for (const struct ph_transfer *move = cluster->done_first; move; move = move->next)
        put_row(hub, move, out);
}
