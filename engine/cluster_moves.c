/* Moves: the list of them, their budget, and what crosses them. See cluster_move.h. */
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_move.h"

enum {
    SLICE = PH_JOB_SLICE,
    REVIEWED = 8 * SLICE, /* moves in a step of a review, most of which change nothing */
    DONE_KEPT = 1000,
    LISTED = 1000,
    JOIN_BEATS_MAX = 4, /* heartbeats for which nodes that come may hold moves up */
    SAVES_FIRST = 64,   /* may hold still at a time, until it is known how large states are */
    BYTES_MAX = 64 * 1024 * 1024,      /* of states that are copied, or sent and not answered */
    KEPT_BYTES_MAX = 64 * 1024 * 1024, /* of states that are kept for a while after their move */
};

/* ---- The list of moves ----------------------------------------------------------------------- */

static void unlink_move(struct ph_cluster *cluster, struct ph_transfer *move)
{
    if (cluster->review_at == move)
        cluster->review_at = move->next;
    *(move->before ? &move->before->next : &cluster->moves_first) = move->next;
    if (move->next)
        move->next->before = move->before;
}

static void free_move(struct ph_transfer *move)
{
    ph_move_copy_drop(move);
    ph_text_fini(&move->state);
    ph_free(move->id);
    ph_free(move);
}

struct ph_transfer *ph_move_add(struct ph_hub *hub, struct ph_entry *entry, uint16_t member,
                                bool incoming, enum ph_move_phase phase)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_transfer *move = ph_alloc(sizeof *move);
    move->entry = entry;
    move->id = ph_copy_text(entry->id, entry->id_length);
    move->fences = cluster->fences;
    move->member = member;
    move->losses = cluster->members[member]->losses;
    CDS_INIT_LIST_HEAD(&move->queued);
    move->incoming = incoming;
    move->phase = phase;
    move->began_ms = hub->now_ms;
    ph_letters_init(&move->unread);
    move->next = cluster->moves_first;
    if (move->next)
        move->next->before = move;
    cluster->moves_first = move;
    entry->move = move;
    *(incoming ? &cluster->moves_in : &cluster->moves_out) += 1;
    return move;
}

/* ---- States that are kept for a while -------------------------------------------------------- */

static void drop_kept(struct ph_hub *hub, struct ph_transfer *move)
{
    struct ph_entry *entry = ph_directory_find_rcu(hub->directory, move->id, strlen(move->id));
    if (entry && entry->kept == move)
        entry->kept = NULL;
    hub->cluster->kept_bytes -= move->state.length;
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    ph_text_fini(&move->state);
}

static void retention_over(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    drop_kept(hub, ph_container_of(timer, struct ph_transfer, deadline));
}

/* The target may die with what it was given: for that time the source can start it once more. */
static bool keep_state(struct ph_hub *hub, struct ph_transfer *move, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!move->hot || move->incoming || move->phase != PH_MOVE_DONE || !move->state.length ||
        !hub->options.hot_retention_ms || cluster->kept_bytes + move->state.length > KEPT_BYTES_MAX)
        return false;
    if (entry->kept)
        drop_kept(hub, entry->kept);
    entry->kept = move;
    cluster->kept_bytes += move->state.length;
    move->deadline.fire = retention_over;
    ph_wheel_add(&hub->wheel, &move->deadline.timer, hub->now_ms + hub->options.hot_retention_ms);
    return true;
}

bool ph_move_take_kept(struct ph_hub *hub, struct ph_entry *entry, struct ph_text *state)
{
    struct ph_transfer *move = entry->kept;
    bool same = move && ph_version_compare(move->version, entry->version) == 0;
    if (same)
        ph_text_append(state, move->state.data, move->state.length);
    if (move)
        drop_kept(hub, move);
    return same; /* else it was stopped or replaced since: another one is to begin */
}

/* ---- The end of a move ----------------------------------------------------------------------- */

static void evict_oldest(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_transfer *oldest = cluster->done_first;
    cluster->done_first = oldest->next;
    cluster->done_count--;
    if (oldest->state.length)
        drop_kept(hub, oldest);
    free_move(oldest);
}

void ph_move_finish(struct ph_hub *hub, struct ph_transfer *move, enum ph_move_phase phase,
                    const char *error)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry = move->entry;
    *(move->incoming ? &cluster->moves_in : &cluster->moves_out) -= 1;
    cluster->moves_saving -= move->counted;
    ph_move_reserve(hub, move, 0);
    ph_move_copy_drop(move);
    cds_list_del_init(&move->queued);
    move->ready = false;
    unlink_move(cluster, move);
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    move->phase = phase;
    move->ended_ms = hub->now_ms;
    if (error != move->error)
        snprintf(move->error, sizeof move->error, "%s", error);
    if (entry->move == move)
        entry->move = NULL;
    if (!keep_state(hub, move, entry))
        ph_text_fini(&move->state);
    ph_cluster_touch(hub, entry);
    move->entry = NULL;
    move->next = NULL;
    *cluster->done_last = move;
    cluster->done_last = &move->next;
    if (++cluster->done_count > DONE_KEPT)
        evict_oldest(hub);
}

bool ph_move_has_come(const struct ph_hub *hub, const struct ph_entry *entry, uint16_t member,
                      uint64_t number, uint64_t epoch)
{
    const struct ph_cluster *cluster = hub->cluster;
    for (const struct ph_transfer *move = cluster->done_first; move; move = move->next)
        if (move->incoming && move->phase == PH_MOVE_DONE && move->number == number &&
            move->epoch == epoch && move->member == member)
            return true;
    return cluster->done_count == DONE_KEPT && entry && entry->child && entry->moved_here;
}

void ph_moves_fini(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    /* Deadlines are not taken out: the wheel ends, too, and its neighbours may be gone. */
    while (cluster->moves_first) {
        struct ph_transfer *move = cluster->moves_first;
        cluster->moves_first = move->next;
        if (move->incoming)
            ph_mail_disown(&move->unread);
        else
            ph_mail_forget_unread(hub, &move->unread);
        free_move(move);
    }
    while (cluster->done_first) {
        struct ph_transfer *move = cluster->done_first;
        cluster->done_first = move->next;
        free_move(move);
    }
}

/* ---- What a child's move means for others ---------------------------------------------------- */

bool ph_move_is_sent(const struct ph_entry *entry)
{
    return entry->move && !entry->move->incoming && entry->move->phase == PH_MOVE_SENT;
}

bool ph_cluster_child_arrives(const struct ph_child *child)
{
    return child->entry && child->entry->move && child->entry->move->incoming;
}

bool ph_cluster_child_stands_by(const struct ph_child *child)
{
    return child->entry && ph_move_stands_by(child->entry);
}

bool ph_cluster_moves_hot(const struct ph_child *child)
{
    return child->entry->move && child->entry->move->hot;
}

bool ph_move_takes_mail(const struct ph_entry *entry)
{
    return !entry->move || ph_move_is_early(entry->move);
}

bool ph_move_stands_by(const struct ph_entry *entry)
{
    const struct ph_transfer *move = entry->move;
    return move && move->incoming &&
           (move->phase == PH_MOVE_PREPARING || move->phase == PH_MOVE_STANDBY);
}

/* ---- The budget ------------------------------------------------------------------------------ */

bool ph_moves_may_save(const struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    uint64_t allowed = SAVES_FIRST + cluster->moves_saved;
    uint64_t expected = cluster->moves_bytes + cluster->moves_saving * cluster->state_bytes;
    if (!cluster->moves_saving && !cluster->moves_bytes)
        return true;
    return cluster->moves_saving < allowed && expected + cluster->state_bytes <= BYTES_MAX;
}

void ph_move_note_saved(struct ph_hub *hub, struct ph_transfer *move)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t bytes = move->bytes;
    if (!move->counted)
        return;
    move->counted = false;
    cluster->moves_saved++;
    cluster->moves_saving--;
    cluster->state_bytes =
        bytes > cluster->state_bytes ? bytes : (cluster->state_bytes * 7 + bytes) / 8;
}

void ph_move_reserve(struct ph_hub *hub, struct ph_transfer *move, uint64_t bytes)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t *sum = move->incoming ? &cluster->copies_bytes : &cluster->moves_bytes;
    *sum += bytes - move->reserved;
    move->reserved = bytes;
}

/* What was lost, or refused, is settled when the whole view has answered: others may have it. */
static bool may_settle(const struct ph_cluster *cluster)
{
    return cluster->released && !cluster->fenced;
}

static bool has_review(struct ph_cluster *cluster)
{
    bool unsettled = cluster->review_lost || !cds_list_empty(&cluster->refused);
    return cluster->review_at || cluster->moves_cancel || (unsettled && may_settle(cluster));
}

static bool may_begin_waiting(const struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    return cluster->waiting_first && cluster->moves_hold_ms <= hub->now_ms &&
           cluster->moves_out < hub->options.move_in_flight && ph_moves_may_save(hub);
}

bool ph_moves_waiting(const struct ph_hub *hub)
{
    return has_review(hub->cluster) ||
           (!cds_list_empty(&hub->cluster->ready) && ph_moves_may_save(hub)) ||
           may_begin_waiting(hub);
}

/* ---- On hold --------------------------------------------------------------------------------- */

void ph_cluster_on_moves(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_op *op = event->op;
    event->op = NULL;
    struct ph_entry *entry =
        hub->cluster ? ph_directory_make(hub->directory, PH_MOVES_MARK, sizeof PH_MOVES_MARK - 1)
                     : NULL;
    if (!entry) {
        ph_hub_finish_op(hub, op, PH_EREFUSED, "this node has no links: nothing moves");
        return;
    }
    if (atomic_load_explicit(&entry->mark, memory_order_relaxed) == event->place.order)
        ph_op_same(op);
    else
        ph_op_changed(op);
    ph_cluster_want(hub, entry, NULL, event->place.order);
    ph_cluster_owners_changed(hub);
    ph_hub_finish_op(hub, op, 0, NULL);
}

void ph_moves_note_order(struct ph_hub *hub)
{
    static const char *const names[] = {"moves_resumed", "moves_paused", "moves_canceled"};
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry =
        ph_directory_find_rcu(hub->directory, PH_MOVES_MARK, sizeof PH_MOVES_MARK - 1);
    uint64_t mark = entry ? atomic_load_explicit(&entry->mark, memory_order_relaxed) : 0;
    enum ph_moves_order order = (enum ph_moves_order)(mark > PH_MOVES_CANCEL ? 0 : mark);
    if (order == cluster->moves_order)
        return;
    cluster->moves_order = order;
    cluster->moves_cancel = order == PH_MOVES_CANCEL;
    if (cluster->moves_cancel)
        ph_moves_review(hub);
    ph_hub_record(hub, names[order], "", 0, "%u moves under way",
                  (unsigned)(cluster->moves_out + cluster->moves_in));
}

/* Each source waits a heartbeat after the last one, but not for ever. */
void ph_moves_note_join(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (hub->now_ms >= cluster->join_hold_ms)
        cluster->first_join_ms = hub->now_ms;
    uint64_t last_ms = cluster->first_join_ms + JOIN_BEATS_MAX * cluster->heartbeat_ms;
    uint64_t hold_ms = hub->now_ms + cluster->heartbeat_ms;
    cluster->join_hold_ms = hold_ms < last_ms ? hold_ms : last_ms;
}

/* ---- What crosses a move --------------------------------------------------------------------- */

void ph_moves_lost(struct ph_hub *hub, uint16_t member)
{
    hub->cluster->members[member]->losses++;
    ph_moves_review(hub);
}

bool ph_move_is_lost(const struct ph_hub *hub, const struct ph_transfer *move)
{
    return move->refused || move->losses != hub->cluster->members[move->member]->losses;
}

void ph_moves_review(struct ph_hub *hub)
{
    hub->cluster->review_at = hub->cluster->moves_first;
}

/* What was asked may not have come: its deadline passes now, and it is asked about, or called off.
 */
static void ask_again(struct ph_hub *hub, struct ph_transfer *move)
{
    uint32_t session = ph_member_session(hub->cluster->members[move->member]);
    if (session && move->asked_session != session && !move->incoming && !move->ready &&
        (move->phase == PH_MOVE_SENT || ph_move_is_early(move)))
        ph_wheel_add(&hub->wheel, &move->deadline.timer, hub->now_ms);
}

/* Is it another one than what was sent? A younger one, but for what the target had until it has
 * refused it: rows come later than answers. Where nothing could run here for a while, any that
 * runs: those who began it did not know how young this one is. */
static bool is_another(const struct ph_cluster *cluster, const struct ph_transfer *move,
                       const struct ph_placement *at)
{
    struct ph_placed placed;
    ph_placement_read_rcu(at, &placed);
    if (move->fences != cluster->fences && placed.state != PH_STATE_MOVING)
        return true;
    return placed.epoch > move->epoch &&
           !(move->refused && at->member == move->member && placed.epoch <= move->refused_clock);
}

/* Does another node have one that counts? */
static bool is_elsewhere(const struct ph_cluster *cluster, const struct ph_transfer *move)
{
    for (const struct ph_placement *at = ph_entry_first_rcu(move->entry); at;
         at = ph_placement_next_rcu(at))
        if (at->member != 0 && ph_cluster_in_view(cluster, at->member) &&
            !ph_directory_is_void(cluster->directory, at) && is_another(cluster, move, at))
            return true;
    return false;
}

/* Whether they have its state, too, cannot be told: people may. */
static void leave_behind(struct ph_hub *hub, struct ph_transfer *move)
{
    static const char why[] = "others took it over";
    ph_conflict_keep(hub, move->entry, &move->state, &(struct ph_figures){0}, why);
    ph_move_let_go(hub, move, PH_MOVE_FAILED, why);
}

static void settle_sent(struct ph_hub *hub, struct ph_transfer *move)
{
    struct ph_cluster *cluster = hub->cluster;
    char why[PH_MOVE_TEXT_MAX + 1];
    snprintf(why, sizeof why, "%s", move->refused ? move->error : "the node was lost");
    if (!move->refused && ph_cluster_in_view(cluster, move->member)) {
        move->losses = cluster->members[move->member]->losses; /* it is back */
        ask_again(hub, move);
        return;
    }
    if (!move->refused)
        ph_mail_lose_unread(hub, &move->unread);
    if (is_elsewhere(cluster, move))
        leave_behind(hub, move);
    else if (ph_entry_spec_rcu(move->entry))
        ph_move_bring_back(hub, move, why);
    else
        ph_move_let_go(hub, move, PH_MOVE_FAILED, "stopped meanwhile");
}

static bool settle_lost(struct ph_hub *hub, struct ph_transfer *move)
{
    if (ph_move_stands_by(move->entry) && ph_super_ends(move->entry->child))
        return false; /* it has been told */
    if (ph_move_stands_by(move->entry))
        ph_move_stand_down(hub, move);
    else if (ph_move_is_early(move))
        ph_move_call_off(hub, move, "the node was lost");
    else if (!move->incoming && move->phase == PH_MOVE_SENT)
        settle_sent(hub, move);
    else
        return false;
    return true;
}

/* True: something became of it. */
static bool review(struct ph_hub *hub, struct ph_transfer *move)
{
    bool lost = ph_move_is_lost(hub, move);
    if (lost && may_settle(hub->cluster))
        return settle_lost(hub, move);
    hub->cluster->review_lost |= lost;
    bool canceled = hub->cluster->moves_cancel && ph_move_is_early(move);
    if (canceled)
        ph_move_call_off(hub, move, "the redistribution was canceled");
    else
        ask_again(hub, move);
    return canceled;
}

static void work_review(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    unsigned settled = 0;
    if (!cluster->review_at && cluster->review_lost && may_settle(cluster)) {
        cluster->review_lost = false;
        ph_moves_review(hub);
    }
    for (; settled < SLICE && may_settle(cluster) && !cds_list_empty(&cluster->refused);
         settled++) {
        struct ph_transfer *move =
            cds_list_first_entry(&cluster->refused, struct ph_transfer, queued);
        cds_list_del_init(&move->queued);
        settle_sent(hub, move);
    }
    for (unsigned i = 0; i < REVIEWED && settled < SLICE && cluster->review_at; i++) {
        struct ph_transfer *move = cluster->review_at;
        cluster->review_at = move->next;
        settled += review(hub, move);
    }
    cluster->moves_cancel &= cluster->review_at != NULL;
}

static void work_waiting(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (unsigned i = 0; i < SLICE && cluster->waiting_first; i++) {
        struct ph_entry *entry = cluster->waiting_first;
        cluster->waiting_first = entry->next_waiting;
        if (!cluster->waiting_first)
            cluster->waiting_last = &cluster->waiting_first;
        entry->waiting = false;
        ph_cluster_touch(hub, entry);
    }
}

void ph_moves_work(struct ph_hub *hub)
{
    if (has_review(hub->cluster))
        work_review(hub);
    ph_moves_freeze_ready(hub);
    if (may_begin_waiting(hub))
        work_waiting(hub);
}

/* ---- For people ------------------------------------------------------------------------------ */

/* One that waits for its turn is prepared: its target has an instance that stands by. A copy may be
 * coming for that. */
static enum ph_move_phase seen_phase(const struct ph_transfer *move)
{
    if (move->phase == PH_MOVE_STANDBY && move->copy && move->copy->done < move->copy->length)
        return PH_MOVE_COPYING;
    return move->ready ? PH_MOVE_STANDBY : move->phase;
}

static const char *seen_error(const struct ph_transfer *move)
{
    bool late = move->late && !move->ended_ms;
    return late ? "called off: it was not saved within hot.state_timeout" : move->error;
}

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
    ph_text_printf(out, "%s\x1f%s\x1f%s\x1f%s\x1f%s\x1f%llu\x1f%llu\x1f%s\x1e", move->id,
                   move->incoming ? other : self, move->incoming ? self : other,
                   phases[seen_phase(move)], move->hot ? "hot" : "cold",
                   (unsigned long long)move->bytes, (unsigned long long)(until_ms - move->began_ms),
                   seen_error(move));
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
