/* The target of a move. See cluster_move.h. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "engine/base.h"
#include "engine/cluster_move.h"

/* What an answer is about. */
struct subject {
    enum ph_move_verb verb;
    uint64_t number;
    const char *id;
    size_t length;
};

static void answer(struct ph_member *member, struct subject about, int code, const char *why)
{
    struct ph_text *records = &member->moved.records;
    size_t length = strlen(why);
    ph_pack_uint(records, about.verb);
    ph_pack_uint(records, about.number);
    ph_pack_str(records, about.id, about.length);
    ph_pack_uint(records, (uint64_t)-code);
    ph_pack_str(records, why, length < PH_MOVE_TEXT_MAX ? length : PH_MOVE_TEXT_MAX);
    member->moved.count++;
}

static void answer_move(struct ph_hub *hub, const struct ph_transfer *move, enum ph_move_verb verb,
                        int code, const char *why)
{
    const struct ph_entry *entry = move->entry;
    if (!ph_move_is_lost(hub, move))
        answer(hub->cluster->members[move->member],
               (struct subject){verb, move->number, entry->id, entry->id_length}, code, why);
}

struct offer {
    struct subject about;
    uint64_t epoch;
    struct ph_version version;
    const void *state; /* of a take */
    size_t state_length;
    struct ph_patch patch;
    struct ph_piece piece;
    struct ph_letters unread;
    struct ph_unpack tracks; /* at them */
};

/* ---- Reading --------------------------------------------------------------------------------- */

static void read_state(struct ph_unpack *frame, struct offer *offer)
{
    offer->state = ph_unpack_bin(frame, PH_STATE_BYTES_MAX, &offer->state_length);
    uint64_t checksum = ph_unpack_uint(frame, UINT64_MAX);
    if (!frame->broken && checksum != XXH3_64bits(offer->state, offer->state_length))
        ph_unpack_fail(frame);
}

static void read_load(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame,
                      struct offer *offer)
{
    if (offer->about.verb == PH_MOVE_TAKE)
        read_state(frame, offer);
    else
        ph_move_read_patch(frame, &offer->patch);
    if (!frame->broken && ph_mail_unpack_unread(hub, member, frame, &offer->unread))
        offer->tracks = *frame;
    (void)ph_unpack_bool(frame);
    if (!frame->broken)
        (void)ph_order_unpack(hub, NULL, frame);
}

static bool read_offer(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame,
                       struct offer *offer)
{
    *offer =
        (struct offer){.about.verb = (enum ph_move_verb)ph_unpack_uint(frame, PH_MOVE_VERBS - 1)};
    ph_letters_init(&offer->unread);
    offer->about.number = ph_unpack_uint(frame, UINT64_MAX);
    offer->about.id = ph_unpack_str(frame, PH_ID_MAX, &offer->about.length);
    offer->version.clock = ph_unpack_uint(frame, UINT64_MAX / 2);
    offer->version.author = ph_unpack_uint(frame, UINT64_MAX);
    offer->epoch = ph_unpack_uint(frame, UINT64_MAX / 2);
    bool load = offer->about.verb == PH_MOVE_TAKE || offer->about.verb == PH_MOVE_PATCH;
    if (load && !frame->broken)
        read_load(hub, member, frame, offer);
    if (offer->about.verb == PH_MOVE_COPY && !frame->broken)
        ph_move_read_piece(frame, &offer->piece);
    if (frame->broken)
        ph_mail_disown(&offer->unread);
    return !frame->broken;
}

/* ---- Does this node take it? ----------------------------------------------------------------- */

static bool is_ours(const struct ph_entry *entry, const struct ph_member *member,
                    const struct offer *offer)
{
    const struct ph_transfer *move = entry ? entry->move : NULL;
    return move && move->incoming && move->number == offer->about.number &&
           move->member == member->slot;
}

/* What was prepared for it waits for it, and is not being replaced by one of another spec. */
static bool is_awaited(const struct ph_entry *entry, const struct ph_member *member,
                       const struct offer *offer)
{
    return offer->about.verb != PH_MOVE_PREPARE && is_ours(entry, member, offer) &&
           entry->move->phase == PH_MOVE_STANDBY &&
           ph_child_state(entry->child) == PH_STATE_STARTING &&
           entry->move->prepared ==
               atomic_load_explicit(&entry->child->instance, memory_order_relaxed);
}

/* Why not, or 0. */
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
    *why = "its own state is on its way to another one";
    if (ph_merge_gives_way(entry))
        return PH_EREFUSED;
    bool awaited = is_awaited(entry, member, offer);
    *why = "what was prepared for an earlier move is still there";
    if (entry->child && ph_move_stands_by(entry) && !awaited)
        return PH_EREFUSED;
    *why = "runs there already";
    if (entry->child && !awaited)
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

static struct ph_transfer *add_move(struct ph_hub *hub, struct ph_member *member,
                                    const struct offer *offer, struct ph_entry *entry,
                                    enum ph_move_phase phase)
{
    struct ph_transfer *move = ph_move_add(hub, entry, member->slot, true, phase);
    move->number = offer->about.number;
    move->epoch = offer->epoch;
    if (offer->epoch > hub->last_epoch)
        hub->last_epoch = offer->epoch;
    return move;
}

/* ---- Prepare --------------------------------------------------------------------------------- */

static void stand_down_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    ph_move_stand_down(hub, ph_container_of(timer, struct ph_transfer, deadline));
}

/* It does not stand by for ever. */
static void arm_standby(struct ph_hub *hub, struct ph_transfer *move)
{
    ph_move_arm(hub, move, hub->options.hot_child_timeout_ms + hub->options.migrate_timeout_ms,
                stand_down_late);
}

static void prepare(struct ph_hub *hub, struct ph_member *member, const struct offer *offer,
                    struct ph_entry *entry)
{
    struct ph_transfer *move = add_move(hub, member, offer, entry, PH_MOVE_PREPARING);
    move->hot = true;
    arm_standby(hub, move);
    ph_cluster_launch(hub, entry, &(struct ph_launch){.stands_by = true});
}

void ph_cluster_child_prepared(struct ph_hub *hub, struct ph_child *child)
{
    struct ph_entry *entry = child->entry;
    struct ph_transfer *move = entry->move;
    if (!move || !move->incoming)
        return;
    move->prepared = atomic_load_explicit(&child->instance, memory_order_relaxed);
    if (move->phase != PH_MOVE_PREPARING)
        return;
    move->phase = PH_MOVE_STANDBY;
    answer_move(hub, move, PH_MOVE_PREPARE, 0, "");
}

void ph_move_stand_down(struct ph_hub *hub, struct ph_transfer *move)
{
    struct ph_child *child = move->entry->child;
    struct ph_super_call call = {.event = PH_SUPER_STOP};
    if (child && !ph_super_ends(child))
        ph_super_handle(hub, child, &call);
}

/* A piece of a copy. Each is answered. */
static void copy(struct ph_hub *hub, struct ph_member *member, const struct offer *offer,
                 struct ph_entry *entry)
{
    const char *why = "nothing stands by for it there";
    int code = PH_ECANCELED;
    if (is_awaited(entry, member, offer)) {
        code = ph_move_take_piece(hub, entry->move, &offer->piece, &why);
        arm_standby(hub, entry->move);
    }
    answer(member, offer->about, code, code ? why : "");
}

/* ---- Take ------------------------------------------------------------------------------------ */

/* What comes with the state. */
static void take_mail(struct ph_hub *hub, struct ph_entry *entry, struct offer *offer)
{
    entry->moved_here = true;
    entry->came_epoch = offer->epoch;
    if (entry->mail)
        entry->mail->anew = false;
    ph_mail_take_tracks(hub, entry, &offer->tracks);
}

/* The state as it came, or put together. `move`: that of the instance that waits for it, or NULL.
 * 0, or why not. */
static int take_state(struct ph_transfer *move, const struct offer *offer, struct ph_text *state,
                      const char **why)
{
    if (offer->about.verb == PH_MOVE_TAKE)
        ph_text_append(state, offer->state, offer->state_length);
    *why = "nothing stands by for it there";
    if (offer->about.verb == PH_MOVE_PATCH &&
        (!move || !ph_move_take_patch(move, &offer->patch, state, why)))
        return PH_EREFUSED;
    return 0;
}

static void take(struct ph_hub *hub, struct ph_member *member, struct offer *offer,
                 struct ph_entry *entry, struct ph_text *state)
{
    struct ph_transfer *move = is_ours(entry, member, offer)
                                   ? entry->move
                                   : add_move(hub, member, offer, entry, PH_MOVE_STARTING);
    bool stands_by = move->phase == PH_MOVE_STANDBY;
    ph_wheel_cancel(&hub->wheel, &move->deadline.timer);
    move->phase = PH_MOVE_STARTING;
    move->bytes = state->length;
    move->last_bytes = offer->about.verb == PH_MOVE_PATCH ? offer->patch.changed : move->bytes;
    ph_mail_move_unread(&move->unread, &offer->unread); /* see ph_move_arrived */
    take_mail(hub, entry, offer);
    if (stands_by) {
        struct ph_super_call call = {.event = PH_SUPER_ACTIVATE, .saved = state};
        ph_super_handle(hub, entry->child, &call);
        ph_cluster_note_own(hub, entry);
        ph_cluster_touch(hub, entry);
    } else {
        const struct ph_launch launch = {.moved = true, .state = state};
        ph_cluster_launch(hub, entry, &launch);
    }
}

/* Whatever was lost on the way, the source is answered: it came, and runs or has gone since; it is
 * being stopped; or it never came, and another one may be here. */
static void cancel(struct ph_hub *hub, struct ph_member *member, const struct offer *offer,
                   struct ph_entry *entry)
{
    struct ph_child *child = entry ? entry->child : NULL;
    bool younger =
        child && atomic_load_explicit(&child->epoch, memory_order_relaxed) > offer->epoch;
    if (is_ours(entry, member, offer))
        ph_move_stand_down(hub, entry->move);
    else if (ph_move_has_come(hub, entry, member->slot, offer->about.number, offer->epoch))
        answer(member, offer->about, younger ? 0 : PH_EGONE,
               younger ? "" : "it came there, and is gone");
    else
        answer(member, offer->about, younger ? PH_EEXISTS : PH_ECANCELED,
               younger ? "another one runs there" : "it never came there");
}

static void handle_offer(struct ph_hub *hub, struct ph_member *member, struct offer *offer)
{
    struct ph_entry *entry =
        ph_directory_find_rcu(hub->directory, offer->about.id, offer->about.length);
    struct ph_text state = PH_TEXT_INIT;
    const char *why = "";
    if (offer->about.verb == PH_MOVE_CANCEL || offer->about.verb == PH_MOVE_COPY) {
        (offer->about.verb == PH_MOVE_COPY ? copy : cancel)(hub, member, offer, entry);
        return;
    }
    int code = refusal(hub, member, offer, entry, &why);
    bool awaited = is_awaited(entry, member, offer);
    if (code == 0)
        code = take_state(awaited ? entry->move : NULL, offer, &state, &why);
    if (code && offer->about.verb != PH_MOVE_PREPARE && is_ours(entry, member, offer) &&
        ph_move_stands_by(entry))
        ph_move_stand_down(hub, entry->move);
    if (code)
        answer(member, offer->about, code, why);
    else if (offer->about.verb == PH_MOVE_PREPARE)
        prepare(hub, member, offer, entry);
    else
        take(hub, member, offer, entry, &state);
    ph_text_fini(&state);
    ph_mail_disown(&offer->unread);
}

void ph_cluster_read_moves(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, PH_MOVE_RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct offer offer;
        if (!read_offer(hub, member, frame, &offer))
            return;
        handle_offer(hub, member, &offer);
    }
}

/* ---- How it ends ----------------------------------------------------------------------------- */

/* Unconfirmed, the source is through when the target begins: a failure may find nobody there. */
static bool source_may_not_wait(const struct ph_hub *hub, const struct ph_transfer *move)
{
    bool hot = move->hot || hub->options.migration == PH_MIGRATION_HOT; /* it may have stood by */
    return hot && !hub->options.hot_confirm;
}

/* Only now it is given what it had not read: until here the source may call it back, and would have
 * the same messages handled there. */
void ph_move_arrived(struct ph_hub *hub, struct ph_entry *entry, int code, const char *why)
{
    struct ph_transfer *move = entry->move;
    struct ph_member *member = hub->cluster->members[move->member];
    if (!move->incoming)
        return;
    answer_move(hub, move, ph_move_stands_by(entry) ? PH_MOVE_PREPARE : PH_MOVE_TAKE, code, why);
    if (code) {
        if (source_may_not_wait(hub, move))
            ph_mail_lose_unread(hub, &move->unread);
        else
            ph_mail_disown(&move->unread);
        ph_move_finish(hub, move, PH_MOVE_FAILED, why);
        return;
    }
    ph_mail_put_unread(hub, entry->child, &move->unread);
    hub->cluster->moved_in++;
    char copied[64] = "";
    if (move->last_bytes != move->bytes)
        snprintf(copied, sizeof copied, ", %llu of them after its copy",
                 (unsigned long long)move->last_bytes);
    ph_hub_record(hub, "child_moved", entry->id, 0, "from %s, %llu bytes%s", member->info.name,
                  (unsigned long long)move->bytes, copied);
    ph_move_finish(hub, move, PH_MOVE_DONE, why);
    ph_mail_look(hub, entry);
}

void ph_move_child_gone(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_transfer *move = entry->move;
    if (!move)
        return;
    if (move->incoming)
        ph_move_arrived(hub, entry, PH_ECANCELED, "stopped before it ran");
    else if (move->phase == PH_MOVE_SENT)
        ph_move_abandon(hub, move);
    else
        ph_move_withdraw(hub, move, "stopped meanwhile");
}
