/* The source of a move. See cluster_move.h. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_move.h"
#include "engine/spec.h"

enum {
    ROOM_WANTED = 1024 * 1024,
    HOLD_MS = 5,
};

/* All entries are looked at again then: also those that were too early this time. */
static void retry_later(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    entry->retry_ms = hub->now_ms + PH_MOVE_RETRY_MS;
    if (entry->retry_ms < cluster->retry_ms)
        cluster->retry_ms = entry->retry_ms;
}

static uint64_t epoch_of(const struct ph_child *child)
{
    return atomic_load_explicit(&((struct ph_child *)(uintptr_t)child)->epoch,
                                memory_order_relaxed);
}

/* ---- The budget ------------------------------------------------------------------------------ */

/* Programs that neither speak nor keep a state take long to end, and leave nothing: they are not
 * held up by the bytes that are under way, nor hold up others. */
static bool may_be_large(const struct ph_child *child)
{
    return child->kind->can_prepare(ph_child_spec_rcu(child));
}

static bool has_slot(struct ph_hub *hub, const struct ph_child *child)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t rate = hub->options.move_rate;
    if (cluster->moves_out >= hub->options.move_in_flight ||
        (may_be_large(child) && !ph_moves_may_save(hub)))
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

void ph_move_wait(struct ph_hub *hub, struct ph_entry *entry, uint64_t hold_ms)
{
    hub->cluster->moves_hold_ms = hub->now_ms + hold_ms;
    wait_for_budget(hub->cluster, entry);
}

/* Does somebody want just this one away from here, or everything? */
static bool is_urgent(const struct ph_hub *hub, const struct ph_entry *entry,
                      const struct ph_member *target)
{
    const struct ph_member *self = hub->cluster->members[0];
    uint64_t pin =
        atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->pin, memory_order_relaxed);
    return self->leaving || ph_pin_is_to(pin, target->info.name_hash);
}

/* May it begin now? If not it is looked at again. */
static bool may_begin(struct ph_hub *hub, struct ph_entry *entry, const struct ph_member *target)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!ph_member_is_linked(target) && entry->retry_ms <= hub->now_ms)
        entry->retry_ms = hub->now_ms + PH_MOVE_RETRY_MS;
    if (hub->now_ms < entry->retry_ms) {
        if (entry->retry_ms < cluster->retry_ms)
            cluster->retry_ms = entry->retry_ms;
        return false;
    }
    bool urgent = is_urgent(hub, entry, target);
    if (cluster->moves_order != PH_MOVES_RESUME && !urgent)
        return false; /* everything is looked at again when they go on */
    if (hub->now_ms < cluster->join_hold_ms && !urgent && !cluster->members[0]->info.draining)
        cluster->moves_hold_ms = cluster->join_hold_ms;
    else if (target->view != cluster->view) /* it would not know that the child belongs there */
        cluster->moves_hold_ms = hub->now_ms + cluster->heartbeat_ms;
    else if (has_room(hub, target) && has_slot(hub, entry->child))
        return true;
    wait_for_budget(cluster, entry);
    return false;
}

/* ---- To the target --------------------------------------------------------------------------- */

/* Per record: verb, number, id, version, epoch. */
struct ph_text *ph_move_put(struct ph_hub *hub, struct ph_transfer *move, enum ph_move_verb verb)
{
    const struct ph_entry *entry = move->entry;
    struct ph_member *target = hub->cluster->members[move->member];
    struct ph_batch *batch = &target->moves;
    struct ph_text *records = &batch->records;
    move->asked_session = ph_member_session(target);
    batch->count++;
    ph_pack_uint(records, verb);
    ph_pack_uint(records, move->number);
    ph_pack_str(records, move->id, strlen(move->id));
    ph_pack_uint(records, entry->version.clock);
    ph_pack_uint(records, entry->version.author);
    ph_pack_uint(records, move->epoch);
    return records;
}

/* With hot.handover=false the new instance begins anew. */
static size_t sent_bytes(const struct ph_hub *hub, const struct ph_transfer *move)
{
    return move->hot && !hub->options.hot_handover ? 0 : move->state.length;
}

/* Of a TAKE: state, its checksum; of a PATCH: what has changed; of both: unread messages, whether
 * it is the sole one, tracks. */
static void put_state(struct ph_hub *hub, struct ph_transfer *move, struct ph_sums *sums)
{
    struct ph_text *records = ph_move_put(hub, move, move->copy ? PH_MOVE_PATCH : PH_MOVE_TAKE);
    if (move->copy) {
        ph_move_pack_patch(records, move, sums);
        ph_move_copy_drop(move);
        move->patched = true;
    } else {
        size_t length = sent_bytes(hub, move);
        ph_pack_bin(records, ph_text_str(&move->state), length);
        ph_pack_uint(records, XXH3_64bits(ph_text_str(&move->state), length));
    }
    ph_mail_pack_unread(records, &move->unread);
    ph_pack_bool(records, move->entry->sole);
    ph_order_pack(hub, move->entry->mail, records);
}

/* What the target has prepared is not needed. */
static void cancel_standby(struct ph_hub *hub, struct ph_transfer *move)
{
    if (move->hot && ph_member_is_linked(hub->cluster->members[move->member]))
        (void)ph_move_put(hub, move, PH_MOVE_CANCEL);
}

/* It takes too long: the target is asked to give up, and says how it ended in any case. */
static void cancel_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    struct ph_transfer *move = ph_container_of(timer, struct ph_transfer, deadline);
    (void)ph_move_put(hub, move, PH_MOVE_CANCEL);
    ph_wheel_add(&hub->wheel, &move->deadline.timer, hub->now_ms + hub->options.migrate_timeout_ms);
}

static void prepare_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    ph_move_call_off(hub, ph_container_of(timer, struct ph_transfer, deadline),
                     "the target has not prepared it in time, or was cut off");
}

/* It is not killed for that: when it has been saved after all it goes on here. */
static void save_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    struct ph_transfer *move = ph_container_of(timer, struct ph_transfer, deadline);
    move->late = true;
    (void)ph_move_put(hub, move, PH_MOVE_CANCEL);
    ph_hub_record(hub, "move_late", move->id, 0, "it was not saved within hot.state_timeout");
}

void ph_move_arm(struct ph_hub *hub, struct ph_transfer *move, uint64_t after_ms,
                 void (*fire)(struct ph_hub *, struct ph_hub_timer *))
{
    move->deadline.fire = fire;
    ph_wheel_add(&hub->wheel, &move->deadline.timer, hub->now_ms + after_ms);
}

/* ---- From the beginning … -------------------------------------------------------------------- */

bool ph_move_is_early(const struct ph_transfer *move)
{
    return !move->incoming && (move->phase == PH_MOVE_PREPARING || move->phase == PH_MOVE_COPYING);
}

/* Is it the one that is to move? Between two messages of a move it may have been restarted. */
static bool is_the_same(const struct ph_transfer *move)
{
    const struct ph_child *child = move->entry->child;
    return ph_child_state(child) == PH_STATE_RUNNING && epoch_of(child) == move->epoch;
}

/* Bytes that are reserved already are not to be expected once more. */
static void hold_still(struct ph_hub *hub, struct ph_transfer *move)
{
    struct ph_entry *entry = move->entry;
    struct ph_super_call call = {.event = PH_SUPER_MOVE};
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    move->phase = PH_MOVE_SAVING;
    move->counted = !move->reserved && may_be_large(entry->child);
    hub->cluster->moves_saving += move->counted;
    ph_mail_look(hub, entry); /* from now on its messages wait */
    if (move->hot)
        ph_move_arm(hub, move, hub->options.hot_state_timeout_ms, save_late);
    ph_super_handle(hub, entry->child, &call);
}

void ph_move_hold_still(struct ph_hub *hub, struct ph_transfer *move)
{
    if (is_the_same(move))
        hold_still(hub, move);
    else
        ph_move_call_off(hub, move, "it was restarted meanwhile");
}

uint64_t ph_cluster_copies_from(const struct ph_hub *hub, const struct ph_child *child,
                                struct ph_text *room)
{
    struct ph_transfer *move = child->entry->move;
    if (!move || !move->hot || move->whole || !hub->options.hot_handover)
        return 0;
    if (!move->copy)
        return hub->options.hot_precopy;
    *room = move->copy->bytes;
    move->copy->bytes = PH_TEXT_INIT;
    return UINT64_MAX;
}

/* How it is to move: as its pin says, else as the hub does; hot only if its kind can. */
static bool is_hot(const struct ph_hub *hub, const struct ph_entry *entry)
{
    uint64_t pin =
        atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->pin, memory_order_relaxed);
    enum ph_move_mode mode = ph_pin_mode(pin);
    bool hot =
        mode == PH_MOVE_HOT || (mode == PH_MOVE_ANY && hub->options.migration == PH_MIGRATION_HOT);
    return hot && ph_child_state(entry->child) == PH_STATE_RUNNING &&
           entry->child->kind->can_prepare(ph_child_spec_rcu(entry->child));
}

/* Who was asked by another node may be ahead of what that one tells the target, which would refuse
 * what does not belong there. */
static void tell_pin(struct ph_hub *hub, const struct ph_entry *entry, struct ph_member *target)
{
    uint64_t author = entry->pinned.author;
    if (entry->pinned.clock && author != hub->cluster->members[0]->info.name_hash &&
        author != target->info.name_hash)
        ph_cluster_tell(target, entry);
}

void ph_move_begin(struct ph_hub *hub, struct ph_entry *entry, uint16_t target)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!may_begin(hub, entry, cluster->members[target]))
        return;
    tell_pin(hub, entry, cluster->members[target]);
    struct ph_transfer *move = ph_move_add(hub, entry, target, false, PH_MOVE_PREPARING);
    move->number = ++cluster->next_token;
    move->epoch = epoch_of(entry->child);
    move->hot = is_hot(hub, entry);
    if (!move->hot) {
        hold_still(hub, move);
        return;
    }
    move->whole = entry->copies_not;
    entry->copies_not = false;
    (void)ph_move_put(hub, move, PH_MOVE_PREPARE);
    ph_move_arm(hub, move, hub->options.hot_child_timeout_ms, prepare_late);
}

void ph_move_queue(struct ph_hub *hub, struct ph_transfer *move)
{
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    if (!is_the_same(move)) {
        ph_move_call_off(hub, move, "it was restarted meanwhile");
        return;
    }
    move->ready = true;
    cds_list_add_tail(&move->queued, &hub->cluster->ready);
}

void ph_moves_freeze_ready(struct ph_hub *hub)
{
    struct cds_list_head *ready = &hub->cluster->ready;
    for (unsigned i = 0; i < PH_JOB_SLICE && !cds_list_empty(ready) && ph_moves_may_save(hub);
         i++) {
        struct ph_transfer *move = cds_list_first_entry(ready, struct ph_transfer, queued);
        cds_list_del_init(&move->queued);
        move->ready = false;
        ph_move_hold_still(hub, move);
    }
}

/* Its row has come, or that it is gone again; one that only stood by may have gone, too. */
static bool is_seen(const struct ph_hub *hub, const struct ph_transfer *move)
{
    const struct ph_cluster *cluster = hub->cluster;
    const struct ph_member *member = cluster->members[move->member];
    bool came_and_went = hub->now_ms >= move->confirmed_ms + cluster->dead_after_ms &&
                         member->log_hi >= member->beat_hi;
    return came_and_went || move->entry->seen_epoch > move->epoch ||
           ph_cluster_live_placement(cluster, move->entry, 0);
}

/* Without an answer only its row counts, from the session in which it was sent: else the state may
 * not have come, and what runs there or elsewhere was started anew. */
static bool is_seen_unconfirmed(const struct ph_hub *hub, const struct ph_transfer *move)
{
    const struct ph_cluster *cluster = hub->cluster;
    const struct ph_placement *at = ph_cluster_live_placement(cluster, move->entry, 0);
    struct ph_placed placed;
    if (!at || at->member != move->member ||
        move->sent_session != ph_member_session(cluster->members[move->member]))
        return false;
    ph_placement_read_rcu(at, &placed);
    return placed.epoch > move->epoch;
}

/* Between the target's answer and its row nobody would seem to have the child, and it would be
 * started once more; unless it was stopped meanwhile: then its row may never come. */
void ph_move_look(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_transfer *move = entry->move;
    const struct ph_member *member = cluster->members[move->member];
    if (!move->arrived || !(move->confirmed ? is_seen(hub, move) : is_seen_unconfirmed(hub, move)))
        return;
    cluster->moved_out++;
    if (!ph_move_is_lost(hub, move))
        ph_directory_log_moved(entry, member->info.name_hash, member->info.generation);
    ph_move_let_go(hub, move, PH_MOVE_DONE, "");
}

static void taken(struct ph_hub *hub, struct ph_transfer *move)
{
    move->arrived = true;
    ph_move_look(hub, move->entry);
}

/* ---- … to the state's way -------------------------------------------------------------------- */

void ph_cluster_child_copied(struct ph_hub *hub, struct ph_child *child, struct ph_text *state)
{
    struct ph_transfer *move = child->entry->move;
    const struct ph_member *target = hub->cluster->members[move->member];
    move->bytes = state->length;
    ph_move_note_saved(hub, move);
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    if (move->late)
        ph_move_call_off(hub, move, "it was not saved in time");
    else if (ph_move_is_lost(hub, move) || !ph_member_is_linked(target))
        ph_move_call_off(hub, move, "the node is gone");
    else {
        ph_move_copy_begin(hub, move, state);
        ph_mail_look(hub, child->entry); /* what waited for it is handled here */
    }
}

void ph_cluster_child_ending(struct ph_hub *hub, struct ph_child *child, uint64_t within_ms)
{
    struct ph_transfer *move = child->entry->move;
    if (!move->late)
        ph_move_arm(hub, move, within_ms, save_late);
}

void ph_cluster_child_saved(struct ph_hub *hub, struct ph_child *child, struct ph_text *state,
                            struct ph_sums *sums)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_transfer *move = child->entry->move;
    if (ph_merge_saved(hub, child, state) || !move)
        return;
    move->state = *state;
    *state = PH_TEXT_INIT;
    move->version = child->entry->version;
    move->bytes = move->state.length;
    ph_move_note_saved(hub, move);
    move->bytes = sent_bytes(hub, move);
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    ph_move_reserve(hub, move, move->state.length);
    move->phase = PH_MOVE_SENT;
    ph_mail_take_unread(hub, child, move->member, &move->unread);
    if (!ph_entry_spec_rcu(child->entry)) {
        cancel_standby(hub, move);
        ph_move_let_go(hub, move, PH_MOVE_FAILED, "stopped meanwhile");
    } else if (move->late) {
        ph_move_bring_back(hub, move, "it was not saved in time");
    } else if (ph_move_is_lost(hub, move) || !ph_member_is_linked(cluster->members[move->member])) {
        ph_move_bring_back(hub, move, "the node is gone");
    } else {
        put_state(hub, move, sums);
        move->sent_session = ph_member_session(cluster->members[move->member]);
        move->sent_life = cluster->members[move->member]->info.generation;
        ph_move_arm(hub, move, hub->options.migrate_timeout_ms, cancel_late);
        if (move->hot && !hub->options.hot_confirm)
            taken(hub, move); /* whatever the target says */
    }
}

static void failed(struct ph_hub *hub, struct ph_transfer *move, const char *why)
{
    hub->cluster->move_aborts++;
    ph_hub_record(hub, "move_aborted", move->id, 0, "to %s: %s",
                  hub->cluster->members[move->member]->info.name, why);
    retry_later(hub, move->entry);
}

void ph_cluster_child_kept(struct ph_hub *hub, struct ph_child *child, const char *why)
{
    if (!ph_merge_kept(hub, child, why))
        ph_move_call_off(hub, child->entry->move, why);
}

void ph_move_call_off(struct ph_hub *hub, struct ph_transfer *move, const char *why)
{
    struct ph_entry *entry = move->entry;
    failed(hub, move, why);
    ph_move_withdraw(hub, move, why);
    ph_mail_look(hub, entry);
}

int ph_cluster_steer(struct ph_hub *hub, struct ph_child *child, bool abort, const char **why)
{
    struct ph_entry *entry = child->entry;
    struct ph_transfer *move = entry->move;
    bool saving = move && move->phase == PH_MOVE_SAVING;
    *why = saving ? "it is being saved: it cannot be called back before it was"
                  : "its state is on its way: it cannot be called back";
    if (abort && move && !ph_move_is_early(move))
        return PH_EREFUSED;
    *why = "it does not move, and is where it belongs";
    if (!move && !entry->misplaced)
        return PH_EREFUSED;
    if (abort && move)
        ph_move_call_off(hub, move, "called off by a request");
    if (abort && atomic_load_explicit(&entry->pin, memory_order_relaxed))
        ph_cluster_pin(hub, entry, 0);
    entry->retry_ms = abort ? PH_NEVER : 0;
    ph_cluster_touch(hub, entry);
    return 0;
}

void ph_move_withdraw(struct ph_hub *hub, struct ph_transfer *move, const char *why)
{
    cancel_standby(hub, move);
    ph_move_finish(hub, move, PH_MOVE_FAILED, why);
}

void ph_move_bring_back(struct ph_hub *hub, struct ph_transfer *move, const char *why)
{
    struct ph_entry *entry = move->entry;
    struct ph_child *child = entry->child;
    struct ph_super_call call = {.event = PH_SUPER_RETURN};
    failed(hub, move, why);
    if (move->state.length)
        hub->ports.exec->load(hub->ports.context, child, &move->state);
    ph_mail_give_back(hub, entry, child, &move->unread);
    ph_move_finish(hub, move, PH_MOVE_FAILED, why);
    ph_super_handle(hub, child, &call);
    if (entry->child)
        ph_mail_look(hub, entry);
}

void ph_move_abandon(struct ph_hub *hub, struct ph_transfer *move)
{
    ph_mail_lose_unread(hub, &move->unread); /* the target may have it, and have handled them */
    ph_move_finish(hub, move, PH_MOVE_FAILED, "stopped meanwhile");
}

void ph_move_let_go(struct ph_hub *hub, struct ph_transfer *move, enum ph_move_phase phase,
                    const char *why)
{
    struct ph_entry *entry = move->entry;
    struct ph_super_call call = {.event = PH_SUPER_MOVED};
    bool same = move->sent_session == ph_member_session(hub->cluster->members[move->member]);
    if (phase == PH_MOVE_DONE && same)
        ph_mail_forget_unread(hub, &move->unread);
    else if (phase == PH_MOVE_DONE) /* answers of that session do not come any more */
        ph_mail_lose_unread(hub, &move->unread);
    else
        ph_mail_give_back(hub, entry, NULL, &move->unread);
    ph_move_finish(hub, move, phase, why);
    ph_super_handle(hub, entry->child, &call);
}

/* The other side has another instance: what was saved here is merged there. */
static void surrender(struct ph_hub *hub, struct ph_transfer *move, const char *why)
{
    struct ph_entry *entry = move->entry;
    struct ph_text state = move->state;
    move->state = PH_TEXT_INIT;
    ph_mail_give_back(hub, entry, entry->child, &move->unread);
    ph_move_finish(hub, move, PH_MOVE_FAILED, why);
    ph_merge_adopt(hub, entry, &state);
}

/* ---- The answer ------------------------------------------------------------------------------ */

struct answer {
    enum ph_move_verb about;
    uint64_t number;
    const char *id;
    size_t length;
    int code;
    char why[PH_MOVE_TEXT_MAX + 1];
};

static void read_answer(struct ph_unpack *frame, struct answer *answer)
{
    size_t length;
    answer->about = (enum ph_move_verb)ph_unpack_uint(frame, PH_MOVE_VERBS - 1);
    answer->number = ph_unpack_uint(frame, UINT64_MAX);
    answer->id = ph_unpack_str(frame, PH_ID_MAX, &answer->length);
    answer->code = -(int)ph_unpack_uint(frame, 1 << 16);
    const char *why = ph_unpack_str(frame, PH_MOVE_TEXT_MAX, &length);
    if (frame->broken)
        return;
    memcpy(answer->why, why, length);
    answer->why[length] = '\0';
}

/* That one knows nothing of what the life before it was sent, and may have handled. */
static bool is_of_another_life(const struct ph_hub *hub, const struct ph_transfer *move)
{
    return hub->cluster->members[move->member]->info.generation != move->sent_life;
}

/* The target has been sent the state. */
static void handle_taken(struct ph_hub *hub, struct ph_transfer *move, const struct answer *answer)
{
    if (answer->code == 0 || move->confirmed) {
        if (!move->confirmed)
            move->confirmed_ms = hub->now_ms;
        move->confirmed = true;
        taken(hub, move);
        return;
    }
    if (answer->code == PH_EGONE || is_of_another_life(hub, move)) /* it may have handled them */
        ph_mail_lose_unread(hub, &move->unread);
    if (answer->code == PH_EEXISTS && ph_entry_spec_rcu(move->entry)) {
        surrender(hub, move, answer->why);
    } else if (!ph_entry_spec_rcu(move->entry)) {
        ph_move_let_go(hub, move, PH_MOVE_FAILED, answer->why);
    } else {
        /* Not in this step: others may have it, and we be told of that later. */
        snprintf(move->error, sizeof move->error, "%s", answer->why);
        move->entry->copies_not = move->patched;
        move->refused_clock = hub->cluster->members[move->member]->clock;
        if (!move->refused)
            cds_list_add_tail(&move->queued, &hub->cluster->refused);
        move->refused = true;
    }
}

static void handle_answer(struct ph_hub *hub, struct ph_transfer *move, const struct answer *answer)
{
    bool standing_by = move->phase == PH_MOVE_PREPARING && !move->ready;
    if (standing_by && answer->about == PH_MOVE_PREPARE && answer->code == 0)
        ph_move_queue(hub, move);
    else if (move->phase == PH_MOVE_COPYING && answer->about == PH_MOVE_COPY &&
             (answer->code == 0 || answer->code == PH_ELIMIT))
        ph_move_copy_answered(hub, move, answer->code);
    else if (ph_move_is_early(move) && answer->code)
        ph_move_call_off(hub, move, answer->why);
    else if (move->phase == PH_MOVE_SAVING && answer->code)
        ph_move_copy_drop(move); /* nothing stands by for it any more */
    else if (move->phase == PH_MOVE_SENT && answer->about != PH_MOVE_PREPARE &&
             answer->about != PH_MOVE_COPY)
        handle_taken(hub, move, answer);
}

void ph_cluster_read_moved(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, PH_MOVE_RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct answer answer;
        read_answer(frame, &answer);
        if (frame->broken)
            return;
        struct ph_entry *entry = ph_directory_find_rcu(hub->directory, answer.id, answer.length);
        struct ph_transfer *move = entry ? entry->move : NULL;
        if (move && !move->incoming && move->number == answer.number &&
            move->member == member->slot)
            handle_answer(hub, move, &answer);
    }
}
