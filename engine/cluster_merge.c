#include "engine/cluster_merge.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/legacy.h"
#include "engine/spec.h"

/*
 * Two halves of a hub have run the same child; now they have met, and a pure function has said
 * which instance stays (cluster_reconcile.c). Only the other one acts:
 *
 *   gives way                                      stays
 *   saving   it is ended, its state saved
 *   kept     nobody to send it to at present
 *   sent     MERGE: number, id, state, … ───────▶  joining  its kind joins the state into its own
 *   (gone)   ◀──── MERGED: joined, or stored ────  (done)   or its hub keeps it as a conflict
 *   kept     ◀──── MERGED: not now ──────────────           it does not run there at present
 *
 * Who gives way keeps the state until it was joined or stored; nothing else ends `sent` but an
 * answer, or the other's leaving the view. When nobody else runs the child any more it goes on here
 * with its state; when a third one does, and the other was only cut off, it is a conflict here.
 * What is unread here goes after it as ordinary mail when the child goes.
 *
 * A MERGE may be sent twice; it is joined once: numbers of a sender rise, it has none under way
 * that is PH_MERGE_WINDOW above its lowest one, and for so many the reader knows what became of
 * them. After each `not now` it is another attempt: a copy of one that was answered so comes late,
 * the state may be elsewhere by then, and it is answered so again. What goes on here because the
 * reader was cut off before it answered may be joined a second time after the next heal.
 */

enum {
    RETRY_MS = 500,
    ROOM_MS = 20,
    HOLD_MS = 5,
    ROOM_WANTED = 1024 * 1024,
    RECORDS_MAX = 65536,
    TEXT_MAX = 200,
};

enum phase { SAVING, KEPT, SENT, JOINING };

/* What the side that stays says. */
enum outcome { JOINED, STORED, NOT_NOW, OUTCOMES };

struct ph_merge {
    struct ph_hub_timer deadline; /* first */
    struct ph_merge *next, *before;
    struct ph_entry *entry;
    enum phase phase;
    uint16_t member;     /* whom it was sent to; joining: who has sent it */
    uint64_t generation; /* joining: the sender's */
    uint64_t number;     /* of who gives way */
    uint32_t attempt;    /* the same: from 1 */
    struct ph_figures figures;
    uint64_t hold_ms;         /* kept: do not try before */
    bool doubted;             /* kept: `member` may have it, and cannot be asked */
    uint64_t peer, sent_ms;   /* sent: in which session, and when */
    struct ph_text state;     /* of who gives way */
    struct ph_legacy *legacy; /* joining */
    uint32_t instance;        /* joining: the one that does */
};

/* What this node knows of the merges that a member has sent: from number `floor` on, by number
 * modulo the window. */
struct ph_merge_window {
    uint64_t generation, floor;
    struct ph_merge_known {
        bool done, stored;
        uint32_t refused; /* the last attempt that was not now; 0: none */
    } known[PH_MERGE_WINDOW];
};

/* ---- The list -------------------------------------------------------------------------------- */

static void fire(struct ph_hub *hub, struct ph_hub_timer *timer);

static struct ph_merge_list *list_of(struct ph_hub *hub, const struct ph_merge *merge)
{
    struct ph_merges *merges = &hub->cluster->merges;
    return merge->phase == JOINING ? &merges->joining : &merges->leaving;
}

static struct ph_merge *add(struct ph_hub *hub, struct ph_entry *entry, enum phase phase)
{
    struct ph_merge *merge = ph_alloc(sizeof *merge);
    merge->deadline.fire = fire;
    merge->entry = entry;
    merge->phase = phase;
    merge->attempt = 1;
    struct ph_merge_list *list = list_of(hub, merge);
    merge->before = list->last;
    *(merge->before ? &merge->before->next : &list->first) = merge;
    list->last = merge;
    entry->merge = merge;
    entry->sole = false;
    return merge;
}

static void free_merge(struct ph_merge *merge)
{
    ph_text_fini(&merge->state);
    ph_legacy_put(merge->legacy);
    ph_free(merge);
}

static void finish(struct ph_hub *hub, struct ph_merge *merge)
{
    struct ph_merge_list *list = list_of(hub, merge);
    *(merge->before ? &merge->before->next : &list->first) = merge->next;
    *(merge->next ? &merge->next->before : &list->last) = merge->before;
    ph_wheel_cancel(&hub->wheel, &merge->deadline.timer);
    merge->entry->merge = NULL;
    ph_cluster_touch(hub, merge->entry);
    free_merge(merge);
}

/* Their deadlines are not taken out: the wheel ends, too. */
static void free_list(struct ph_merge_list *list)
{
    while (list->first) {
        struct ph_merge *merge = list->first;
        list->first = merge->next;
        free_merge(merge);
    }
}

void ph_merges_fini(struct ph_hub *hub)
{
    struct ph_merges *merges = &hub->cluster->merges;
    free_list(&merges->leaving);
    free_list(&merges->joining);
    ph_conflicts_fini(&merges->conflicts);
}

static void wake_at(struct ph_hub *hub, struct ph_merge *merge, uint64_t delay_ms)
{
    ph_wheel_add(&hub->wheel, &merge->deadline.timer, hub->now_ms + delay_ms);
}

bool ph_merge_gives_way(const struct ph_entry *entry)
{
    return entry->merge && entry->merge->phase != JOINING;
}

bool ph_merge_joins(const struct ph_entry *entry)
{
    return entry->merge && entry->merge->phase == JOINING;
}

/* ---- Who stays ------------------------------------------------------------------------------- */

struct attempt {
    uint64_t number;
    uint32_t attempt;
};

static void answer(struct ph_member *member, struct attempt at, enum outcome outcome)
{
    struct ph_text *records = &member->merged.records;
    ph_pack_uint(records, at.number);
    ph_pack_uint(records, at.attempt);
    ph_pack_uint(records, outcome);
    member->merged.count++;
}

static struct ph_merge_known *known_of(struct ph_merge_window *window, uint64_t number)
{
    return &window->known[number % PH_MERGE_WINDOW];
}

/* Nothing below the floor is under way any more. */
static void raise_floor(struct ph_merge_window *window, uint64_t floor)
{
    if (floor >= window->floor + PH_MERGE_WINDOW) {
        memset(window->known, 0, sizeof window->known);
        window->floor = floor;
    }
    for (; window->floor < floor; window->floor++)
        *known_of(window, window->floor) = (struct ph_merge_known){0};
}

static struct ph_merge_window *window_of(struct ph_member *member)
{
    if (!member->merge_window)
        member->merge_window = ph_alloc(sizeof *member->merge_window);
    if (member->merge_window->generation != member->info.generation)
        *member->merge_window = (struct ph_merge_window){.generation = member->info.generation};
    return member->merge_window;
}

/* What the sender of that life is answered, now and when it asks again. */
static void decide(struct ph_member *member, uint64_t generation, struct attempt at,
                   enum outcome outcome)
{
    struct ph_merge_window *window = member->merge_window;
    if (member->info.generation != generation || window->generation != generation)
        return;
    struct ph_merge_known *known = known_of(window, at.number);
    if (at.number >= window->floor) {
        known->done = outcome != NOT_NOW;
        known->stored = outcome == STORED;
        known->refused = known->done ? known->refused : at.attempt;
    }
    answer(member, at, outcome);
}

struct offer {
    struct attempt about;
    uint64_t floor, ran_ms, updates;
    const char *id;
    size_t length;
    const void *state;
    size_t state_length;
};

static bool can_join(const struct ph_hub *hub, const struct ph_entry *entry)
{
    return entry && ph_entry_spec_rcu(entry) && entry->child && !entry->merge &&
           ph_child_state(entry->child) == PH_STATE_RUNNING && ph_cluster_may_run(hub);
}

static void join(struct ph_hub *hub, struct ph_member *member, const struct offer *offer,
                 struct ph_entry *entry)
{
    struct ph_child *child = entry->child;
    struct ph_legacy *legacy =
        ph_legacy_create(member->info.name, offer->state, offer->state_length);
    if (!legacy) {
        decide(member, member->info.generation, offer->about, NOT_NOW);
        return;
    }
    legacy->ran_ms = offer->ran_ms;
    legacy->updates = offer->updates;
    legacy->stays_ms = hub->now_ms - atomic_load_explicit(&child->since_ms, memory_order_relaxed);
    struct ph_merge *merge = add(hub, entry, JOINING);
    merge->member = member->slot;
    merge->generation = member->info.generation;
    merge->number = offer->about.number;
    merge->attempt = offer->about.attempt;
    merge->legacy = legacy;
    merge->instance = atomic_load_explicit(&child->instance, memory_order_relaxed);
    hub->ports.exec->merge(hub->ports.context, child, legacy);
}

static bool is_joining(const struct ph_entry *entry, const struct ph_member *member,
                       uint64_t number)
{
    return entry && ph_merge_joins(entry) && entry->merge->member == member->slot &&
           entry->merge->generation == member->info.generation && entry->merge->number == number;
}

static void receive(struct ph_hub *hub, struct ph_member *member, const struct offer *offer)
{
    struct ph_merge_window *window = window_of(member);
    struct ph_entry *entry = ph_directory_find_rcu(hub->directory, offer->id, offer->length);
    uint64_t number = offer->about.number;
    if (offer->floor > number || number - offer->floor >= PH_MERGE_WINDOW) {
        hub->cluster->refused_frames++;
        return;
    }
    raise_floor(window, offer->floor);
    if (number < window->floor)
        return; /* its sender has been answered since */
    const struct ph_merge_known *known = known_of(window, number);
    if (known->done)
        answer(member, offer->about, known->stored ? STORED : JOINED);
    else if (offer->about.attempt <= known->refused)
        answer(member, offer->about, NOT_NOW);
    else if (is_joining(entry, member, number))
        return; /* the answer comes */
    else if (can_join(hub, entry))
        join(hub, member, offer, entry);
    else
        decide(member, member->info.generation, offer->about, NOT_NOW);
}

void ph_cluster_read_merge(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct offer offer = {.about.number = ph_unpack_uint(frame, UINT64_MAX / 2)};
        offer.about.attempt = (uint32_t)ph_unpack_uint(frame, UINT32_MAX);
        offer.floor = ph_unpack_uint(frame, UINT64_MAX / 2);
        offer.id = ph_unpack_str(frame, PH_ID_MAX, &offer.length);
        offer.ran_ms = ph_unpack_uint(frame, UINT64_MAX);
        offer.updates = ph_unpack_uint(frame, UINT64_MAX);
        offer.state = ph_unpack_bin(frame, PH_STATE_BYTES_MAX, &offer.state_length);
        if (frame->broken)
            return;
        receive(hub, member, &offer);
    }
}

/* Its sender is told, if that is the same life of it. */
static void end_join(struct ph_hub *hub, struct ph_merge *merge, enum outcome outcome)
{
    decide(hub->cluster->members[merge->member], merge->generation,
           (struct attempt){merge->number, merge->attempt}, outcome);
    finish(hub, merge);
}

void ph_cluster_child_merged(struct ph_hub *hub, struct ph_child *child, int code, const char *why)
{
    struct ph_merge *merge = child->entry ? child->entry->merge : NULL;
    if (!merge || merge->phase != JOINING)
        return;
    const struct ph_legacy *legacy = merge->legacy;
    if (code == 0) {
        hub->cluster->merges.joined++;
        ph_hub_record(hub, "child_merged", child->id, 0,
                      "with %zu bytes from %s, which ran %llu ms and handled %llu messages",
                      legacy->length, legacy->from, (unsigned long long)legacy->ran_ms,
                      (unsigned long long)legacy->updates);
    } else {
        ph_conflict_store(hub, child->id, merge->legacy, why);
    }
    end_join(hub, merge, code ? STORED : JOINED);
}

void ph_merge_check(struct ph_hub *hub, struct ph_entry *entry)
{
    const struct ph_child *child = entry->child;
    if (!ph_merge_joins(entry))
        return;
    enum ph_state state = child ? ph_child_state(child) : PH_STATES;
    if (!child || state == PH_STATE_BACKOFF || state == PH_STATE_FAILED ||
        atomic_load_explicit(&child->instance, memory_order_relaxed) != entry->merge->instance)
        end_join(hub, entry->merge, NOT_NOW);
}

/* ---- Who gives way --------------------------------------------------------------------------- */

/* The lowest number that is under way; the list is in their order. */
static uint64_t floor_of(const struct ph_merges *merges)
{
    return merges->leaving.first ? merges->leaving.first->number : merges->next_number + 1;
}

bool ph_merge_has_room(struct ph_hub *hub, struct ph_entry *entry)
{
    const struct ph_merges *merges = &hub->cluster->merges;
    if (merges->next_number + 1 - floor_of(merges) < PH_MERGE_WINDOW)
        return true;
    ph_move_wait(hub, entry, HOLD_MS);
    return false;
}

void ph_merge_begin(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_merges *merges = &hub->cluster->merges;
    struct ph_super_call call = {.event = PH_SUPER_MOVE};
    struct ph_merge *merge = add(hub, entry, SAVING);
    merge->number = ++merges->next_number;
    merge->figures.ran_ms =
        hub->now_ms - atomic_load_explicit(&entry->child->since_ms, memory_order_relaxed);
    ph_super_handle(hub, entry->child, &call);
}

/* Nothing is left to do here: the child goes. */
static void let_go(struct ph_hub *hub, struct ph_merge *merge, const char *how)
{
    struct ph_child *child = merge->entry->child;
    struct ph_super_call call = {.event = PH_SUPER_MOVED};
    ph_hub_record(hub, "child_stopped", child->id, child->cause, "%s", how);
    finish(hub, merge);
    ph_super_handle(hub, child, &call);
}

/* Nobody else runs it any more: it goes on here. */
static void bring_back(struct ph_hub *hub, struct ph_merge *merge, const char *why)
{
    struct ph_child *child = merge->entry->child;
    struct ph_super_call call = {.event = PH_SUPER_RETURN};
    ph_hub_record(hub, "merge_aborted", child->id, child->cause, "%s: it goes on here", why);
    if (merge->state.length)
        hub->ports.exec->load(hub->ports.context, child, &merge->state);
    finish(hub, merge);
    ph_super_handle(hub, child, &call);
}

static void keep(struct ph_hub *hub, struct ph_merge *merge, uint64_t hold_ms)
{
    merge->phase = KEPT;
    merge->hold_ms = hub->now_ms + hold_ms;
    wake_at(hub, merge, hold_ms ? hold_ms : RETRY_MS);
    ph_cluster_touch(hub, merge->entry);
}

static void take_state(struct ph_hub *hub, struct ph_merge *merge, struct ph_text *state)
{
    struct ph_child_info info;
    ph_child_inspect_rcu(merge->entry->child, &info);
    merge->figures.updates = info.handled;
    merge->state = *state;
    *state = PH_TEXT_INIT;
    if (merge->state.length)
        keep(hub, merge, 0);
    else if (merge->state.data)
        let_go(hub, merge, "it gave way, and had no state");
    else
        let_go(hub, merge, "it gave way, and left no state");
}

bool ph_merge_saved(struct ph_hub *hub, struct ph_child *child, struct ph_text *state)
{
    struct ph_merge *merge = child->entry ? child->entry->merge : NULL;
    bool ours = merge && merge->phase == SAVING;
    if (ours)
        take_state(hub, merge, state);
    else if (merge && merge->phase == JOINING)
        end_join(hub, merge, NOT_NOW); /* it is moved, and has joined nothing */
    return ours;
}

bool ph_merge_kept(struct ph_hub *hub, struct ph_child *child, const char *why)
{
    struct ph_merge *merge = child->entry ? child->entry->merge : NULL;
    struct ph_super_call call = {.event = PH_SUPER_STOP};
    if (!merge || merge->phase != SAVING)
        return false;
    ph_hub_record(hub, "state_lost", child->id, 0, "it gives way and cannot be saved: %s", why);
    finish(hub, merge);
    ph_super_handle(hub, child, &call);
    return true;
}

void ph_merge_adopt(struct ph_hub *hub, struct ph_entry *entry, struct ph_text *state)
{
    struct ph_merge *merge = add(hub, entry, SAVING);
    merge->number = ++hub->cluster->merges.next_number;
    take_state(hub, merge, state);
}

/* Per record: number, attempt, lowest number under way, id, for how long it ran, messages that it
 * handled, state. */
static void put_merge(struct ph_hub *hub, struct ph_merge *merge, struct ph_member *member)
{
    struct ph_text *records = &member->merges.records;
    ph_pack_uint(records, merge->number);
    ph_pack_uint(records, merge->attempt);
    ph_pack_uint(records, floor_of(&hub->cluster->merges));
    ph_pack_str(records, merge->entry->id, merge->entry->id_length);
    ph_pack_uint(records, merge->figures.ran_ms);
    ph_pack_uint(records, merge->figures.updates);
    ph_pack_bin(records, merge->state.data, merge->state.length);
    member->merges.count++;
    if (member->merges.records.length >= ROOM_WANTED)
        ph_member_flush(hub, member, PH_FRAME_MERGE, &member->merges);
    merge->peer = member->info.peer;
    merge->sent_ms = hub->now_ms;
}

static bool can_send(struct ph_hub *hub, const struct ph_merge *merge,
                     const struct ph_member *member)
{
    return ph_member_is_linked(member) &&
           merge->number - floor_of(&hub->cluster->merges) < PH_MERGE_WINDOW &&
           hub->ports.link->room(hub->ports.context, member->info.peer) >= ROOM_WANTED;
}

static void send_to(struct ph_hub *hub, struct ph_merge *merge, struct ph_member *member)
{
    if (!can_send(hub, merge, member)) {
        keep(hub, merge, ROOM_MS);
        return;
    }
    merge->phase = SENT;
    merge->doubted = false;
    merge->member = member->slot;
    put_merge(hub, merge, member);
    wake_at(hub, merge, RETRY_MS);
}

/* The links lose nothing within a session; with it they do. */
static void send_again(struct ph_hub *hub, struct ph_merge *merge)
{
    struct ph_member *member = hub->cluster->members[merge->member];
    bool due = member->info.peer != merge->peer ||
               hub->now_ms >= merge->sent_ms + hub->options.migrate_timeout_ms;
    if (due && can_send(hub, merge, member))
        put_merge(hub, merge, member);
    wake_at(hub, merge, RETRY_MS);
}

static void fire(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    struct ph_merge *merge = ph_container_of(timer, struct ph_merge, deadline);
    if (merge->phase == SENT)
        send_again(hub, merge);
    else
        ph_cluster_touch(hub, merge->entry);
}

/* Nobody will take it any more: the whole hub ends. */
static void abandon(struct ph_hub *hub, struct ph_merge *merge)
{
    struct ph_child *child = merge->entry->child;
    struct ph_super_call call = {.event = PH_SUPER_STOP};
    if (merge->phase != SAVING)
        let_go(hub, merge, "it gave way, and its state is lost: all nodes end");
    else if (!ph_super_ends(child))
        ph_super_handle(hub, child, &call);
}

/* One that was cut off may have it, and another one runs: that must not get it, too. */
static void leave_to_people(struct ph_hub *hub, struct ph_merge *merge)
{
    char why[TEXT_MAX];
    snprintf(why, sizeof why, "%s was cut off before it said whether it has it",
             hub->cluster->members[merge->member]->info.name);
    ph_conflict_keep(hub, merge->entry, &merge->state, &merge->figures, why);
    let_go(hub, merge, "it gave way, and its state is a conflict here");
}

/* Several have given way to one that is gone: of those that are moving the one with the highest
 * epoch goes on, and the others find it. */
static bool goes_on_first(const struct ph_cluster *cluster, const struct ph_entry *entry)
{
    uint64_t own = atomic_load_explicit(&entry->child->epoch, memory_order_relaxed);
    for (const struct ph_placement *at = ph_entry_first_rcu(entry); at;
         at = ph_placement_next_rcu(at)) {
        struct ph_placed placed;
        if (at->member == 0 || !ph_cluster_in_view(cluster, at->member) ||
            ph_directory_is_void(cluster->directory, at))
            continue;
        ph_placement_read_rcu(at, &placed);
        if (placed.epoch > own ||
            (placed.epoch == own &&
             cluster->members[at->member]->info.name_hash < cluster->members[0]->info.name_hash))
            return false;
    }
    return true;
}

static void look_kept(struct ph_hub *hub, struct ph_merge *merge)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry = merge->entry;
    const struct ph_placement *other = ph_cluster_live_placement(cluster, entry, 0);
    struct ph_placed placed = {.state = PH_STATES};
    if (other)
        ph_placement_read_rcu(other, &placed);
    if (!ph_entry_spec_rcu(entry))
        let_go(hub, merge, "it gave way, and was stopped meanwhile");
    else if (placed.state == PH_STATE_FAILED)
        bring_back(hub, merge, "the other one was given up");
    else if (other && placed.state != PH_STATE_MOVING && merge->doubted &&
             other->member != merge->member)
        leave_to_people(hub, merge);
    else if (other && placed.state != PH_STATE_MOVING)
        send_to(hub, merge, cluster->members[other->member]);
    else if (goes_on_first(cluster, entry) && !ph_cluster_is_too_early(hub, entry))
        bring_back(hub, merge, "the other one is gone");
    else
        wake_at(hub, merge, RETRY_MS);
}

void ph_merge_look(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_merge *merge = entry->merge;
    if (hub->cluster->abandoned)
        abandon(hub, merge);
    else if (merge->phase == KEPT && hub->now_ms >= merge->hold_ms)
        look_kept(hub, merge);
}

void ph_merges_lost(struct ph_hub *hub, uint16_t member)
{
    for (struct ph_merge *at = hub->cluster->merges.leaving.first; at; at = at->next) {
        if (at->phase != SENT || at->member != member)
            continue;
        at->doubted = !hub->cluster->members[member]->gone;
        keep(hub, at, 0);
    }
}

/* The one that was sent to that member, and to no other one since. */
static struct ph_merge *find_sent(struct ph_cluster *cluster, const struct ph_member *member,
                                  struct attempt at)
{
    struct ph_merge *merge = cluster->merges.leaving.first;
    while (merge && merge->number != at.number)
        merge = merge->next;
    return merge && merge->member == member->slot && merge->attempt == at.attempt ? merge : NULL;
}

/* It is sent again, there or elsewhere. */
static void try_again(struct ph_hub *hub, struct ph_merge *merge)
{
    merge->attempt++;
    keep(hub, merge, ph_entry_spec_rcu(merge->entry) ? RETRY_MS : 0);
}

void ph_cluster_read_merged(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct attempt at = {.number = ph_unpack_uint(frame, UINT64_MAX)};
        at.attempt = (uint32_t)ph_unpack_uint(frame, UINT32_MAX);
        enum outcome outcome = (enum outcome)ph_unpack_uint(frame, OUTCOMES - 1);
        if (frame->broken)
            return;
        struct ph_merge *merge = find_sent(hub->cluster, member, at);
        char how[TEXT_MAX];
        snprintf(how, sizeof how, "it gave way to the one on %s, which %s", member->info.name,
                 outcome == JOINED ? "has its state"
                                   : "does not merge: its state is a conflict "
                                     "there");
        if (merge && outcome != NOT_NOW)
            let_go(hub, merge, how);
        else if (merge && merge->phase == SENT)
            try_again(hub, merge);
    }
}

void ph_merge_child_gone(struct ph_hub *hub, struct ph_entry *entry)
{
    if (ph_merge_joins(entry))
        end_join(hub, entry->merge, NOT_NOW);
    else if (entry->merge)
        finish(hub, entry->merge);
}
