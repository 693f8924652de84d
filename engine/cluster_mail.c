/* Messages and calls for children that are not here, or not yet. */
#include "engine/cluster_mail.h"

#include <errno.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/error.h"
#include "engine/op.h"

enum {
    HOPS_MAX = 64,       /* then it waits for better knowledge */
    OUT_AT_A_TIME = 512, /* letters that waited, in one step */
    RECORDS_MAX = 1 << 20,
    TEXT_MAX = 500,
};

/* A call of this node that another one answers. */
struct ph_call_waiting {
    struct ph_call_waiting *next;
    uint64_t token;
    struct ph_op *op;
    uint16_t member;
    bool with_move; /* it went with its child: the move says what becomes of it */
};

/* ---- Calls under way ------------------------------------------------------------------------ */

static uint64_t expect_answer(struct ph_hub *hub, struct ph_op *op, uint16_t member, bool with_move)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_call_waiting *call = ph_alloc(sizeof *call);
    call->token = ++cluster->next_token;
    call->op = op;
    call->member = member;
    call->with_move = with_move;
    struct ph_call_waiting **bucket = &cluster->mail.calls[call->token % PH_CALL_BUCKETS];
    call->next = *bucket;
    *bucket = call;
    return call->token;
}

static struct ph_op *take_call(struct ph_cluster *cluster, uint64_t token)
{
    struct ph_call_waiting **link = &cluster->mail.calls[token % PH_CALL_BUCKETS];
    while (*link && (*link)->token != token)
        link = &(*link)->next;
    struct ph_call_waiting *call = *link;
    if (!call)
        return NULL;
    struct ph_op *op = call->op;
    *link = call->next;
    ph_free(call);
    return op;
}

/* Fails the calls to a member, or (PH_NO_MEMBER) all. */
static void fail_calls(struct ph_hub *hub, uint16_t member, int code, const char *why)
{
    struct ph_cluster *cluster = hub->cluster;
    for (unsigned i = 0; i < PH_CALL_BUCKETS; i++) {
        struct ph_call_waiting **link = &cluster->mail.calls[i];
        while (*link) {
            struct ph_call_waiting *call = *link;
            if (member != PH_NO_MEMBER && (call->member != member || call->with_move)) {
                link = &call->next;
                continue;
            }
            *link = call->next;
            ph_hub_finish_op(hub, call->op, code, why);
            ph_free(call);
        }
    }
}

/* It went with its child, which has arrived: from now on it is a call like all others. */
static void stay_with_member(struct ph_cluster *cluster, uint64_t token)
{
    for (struct ph_call_waiting *call = cluster->mail.calls[token % PH_CALL_BUCKETS]; call;
         call = call->next)
        if (call->token == token)
            call->with_move = false;
}

/* ---- Calls of others ------------------------------------------------------------------------- */

/* Whose call an op of this node answers. */
struct caller {
    struct ph_hub *hub;
    uint64_t peer, token;
    bool silent; /* somebody else answers it */
};

/* On the thread that completes the op: the hub lives as long as the child that answers. */
static void answered(void *arg, struct ph_op *op)
{
    struct caller *caller = arg;
    if (caller->silent) {
        ph_free(caller);
        return;
    }
    struct ph_event *event = ph_event_create(PH_EVENT_ANSWER);
    const struct ph_op_result *result = ph_op_result(op);
    event->answer.peer = caller->peer;
    event->answer.token = caller->token;
    event->answer.code = result->code;
    event->answer.text = ph_copy_text(result->text, strlen(result->text));
    ph_text_append(&event->answer.reply, result->reply, result->reply_length);
    caller->hub->post(caller->hub, event);
    ph_free(caller);
}

static void silence(const struct ph_letter *letter)
{
    if (letter->box && letter->box->op && letter->box->op->done_fn == answered)
        ((struct caller *)letter->box->op->done_arg)->silent = true;
}

/* ---- What is kept of a child's mail ---------------------------------------------------------- */

static struct ph_mail *mail_of(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_mail *mail = entry->mail;
    if (mail)
        return mail;
    mail = entry->mail = ph_alloc(sizeof *mail);
    mail->entry = entry;
    mail->anew = !entry->moved_here;
    ph_letters_init(&mail->waiting);
    mail->next = cluster->mail.mails;
    mail->link = &cluster->mail.mails;
    if (mail->next)
        mail->next->link = &mail->next;
    cluster->mail.mails = mail;
    return mail;
}

static void free_mail(struct ph_mail *mail)
{
    *mail->link = mail->next;
    if (mail->next)
        mail->next->link = mail->link;
    mail->entry->mail = NULL;
    ph_free(mail);
}

static void drop(struct ph_hub *hub, struct ph_letter *letter, int code, const char *why)
{
    if (!letter->box)
        return;
    hub->cluster->mail.dropped++;
    ph_message_box_destroy(letter->box, code, why);
    letter->box = NULL;
}

static void drop_all(struct ph_hub *hub, struct ph_letters *letters, int code, const char *why)
{
    struct ph_letter letter;
    while (ph_letters_take(letters, &letter))
        drop(hub, &letter, code, why);
}

void ph_mail_drop(struct ph_hub *hub, struct ph_entry *entry, int code, const char *why)
{
    struct ph_mail *mail = entry->mail;
    if (!mail)
        return;
    ph_order_take_early(mail, &mail->waiting);
    drop_all(hub, &mail->waiting, code, why);
    if (!entry->child)
        free_mail(mail);
}

/* ---- The way --------------------------------------------------------------------------------- */

enum way { WAY_HERE, WAY_AWAY, WAY_NONE };

/* Where messages for an entry that has no child here go: a member, or NULL: nowhere yet. */
static struct ph_member *route_of(struct ph_hub *hub, const struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    const struct ph_placement *placement = ph_cluster_live_placement(cluster, entry, 0);
    if (!placement || !ph_member_is_linked(cluster->members[placement->member]))
        return NULL;
    return cluster->members[placement->member];
}

static enum way way_of(struct ph_hub *hub, const struct ph_entry *entry, struct ph_member **to)
{
    if (entry->parting)
        return WAY_NONE;
    if (entry->child && ph_move_takes_mail(entry))
        return WAY_HERE;
    if (entry->child && !ph_move_stands_by(entry))
        return WAY_NONE;
    *to = route_of(hub, entry);
    return *to ? WAY_AWAY : WAY_NONE;
}

static void deliver(struct ph_hub *hub, struct ph_child *child, struct ph_letter *letter)
{
    int rc = 0;
    if (!letter->box)
        return;
    if (ph_child_state(child) == PH_STATE_FAILED)
        rc = PH_EGAVEUP;
    else if (ph_child_state(child) == PH_STATE_STOPPING)
        rc = PH_ESTOPPING;
    if (rc == 0)
        rc = child->kind->deliver(child, letter->box);
    if (rc)
        drop(hub, letter, rc, ph_error_text(rc));
}

/* ---- Time ------------------------------------------------------------------------------------ */

/* What was waited for in vain lets out what is behind it. */
static uint64_t give_up(struct ph_hub *hub, struct ph_mail *mail)
{
    struct ph_letters due;
    struct ph_letter letter;
    struct ph_member *to;
    bool here = way_of(hub, mail->entry, &to) == WAY_HERE;
    ph_letters_init(&due);
    uint64_t next_ms = ph_order_give_up(hub, mail, &due);
    while (ph_letters_take(&due, &letter))
        if (here)
            deliver(hub, mail->entry->child, &letter);
        else
            ph_letters_add(&mail->waiting, &(struct ph_letter){.box = letter.box});
    return next_ms;
}

static void look_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    (void)timer;
    uint64_t next_ms = PH_NEVER;
    for (struct ph_mail *mail = hub->cluster->mail.mails; mail; mail = mail->next) {
        uint64_t when_ms = give_up(hub, mail);
        if (when_ms < next_ms)
            next_ms = when_ms;
        ph_cluster_touch(hub, mail->entry);
    }
    if (next_ms != PH_NEVER)
        ph_wheel_add(&hub->wheel, &hub->cluster->mail.timer.timer, next_ms);
}

static void look_again(struct ph_hub *hub, uint64_t after_ms)
{
    struct ph_hub_timer *timer = &hub->cluster->mail.timer;
    uint64_t when_ms = hub->now_ms + after_ms;
    timer->fire = look_late;
    if (!ph_wheel_is_armed(&timer->timer) || timer->timer.deadline_ms > when_ms)
        ph_wheel_add(&hub->wheel, &timer->timer, when_ms);
}

void ph_mail_lost(struct ph_hub *hub, uint16_t member)
{
    struct ph_cluster *cluster = hub->cluster;
    cluster->mail.lost_ms = hub->now_ms;
    if (cluster->mail.mails) /* what is missing may not come any more */
        look_again(hub, cluster->dead_after_ms);
    fail_calls(hub, member, PH_ECONNECTION, "the child's node was lost before it answered");
}

/* ---- In and on --------------------------------------------------------------------------------
 */

static void receive(struct ph_hub *hub, struct ph_entry *entry, struct ph_letter *letter)
{
    struct ph_letters due;
    struct ph_letter next;
    if (!letter->origin && entry->mail && entry->mail->stream)
        ph_order_stamp(hub, entry->mail, letter, NULL);
    if (!letter->origin) {
        deliver(hub, entry->child, letter);
        return;
    }
    struct ph_mail *mail = mail_of(hub, entry);
    ph_letters_init(&due);
    ph_order_receive(hub, mail, letter, &due);
    while (ph_letters_take(&due, &next))
        deliver(hub, entry->child, &next);
    if (mail->early)
        look_again(hub, hub->cluster->dead_after_ms);
}

void ph_letter_pack_head(struct ph_text *records, const struct ph_letter *letter, const char *id,
                         size_t length)
{
    ph_pack_uint(records, letter->hops);
    ph_pack_str(records, id, length);
    ph_pack_uint(records, letter->origin);
    ph_pack_uint(records, letter->stream);
    ph_pack_uint(records, letter->number);
    ph_pack_uint(records, letter->after);
    ph_pack_uint(records, letter->after_sent);
}

/* After the head: token of a call (0: none), bytes or nil. */
static void send_to(struct ph_hub *hub, struct ph_member *member, struct ph_entry *entry,
                    struct ph_letter *letter)
{
    struct ph_text *records = &member->mail.records;
    struct ph_message_box *box = letter->box;
    if (!letter->origin)
        ph_order_stamp(hub, mail_of(hub, entry), letter, member);
    ph_letter_pack_head(records, letter, entry->id, entry->id_length);
    member->mail.count++;
    if (!box) {
        ph_pack_uint(records, 0);
        ph_pack_nil(records);
        return;
    }
    ph_pack_uint(records, box->op ? expect_answer(hub, box->op, member->slot, false) : 0);
    ph_pack_bin(records, box->data, box->length);
    box->op = NULL;
    ph_message_box_destroy(box, 0, NULL);
}

static void keep_waiting(struct ph_hub *hub, struct ph_entry *entry, struct ph_letter *letter)
{
    struct ph_mail *mail = mail_of(hub, entry);
    if (mail->waiting.count >= PH_MAILBOX_MAX) {
        drop(hub, letter, PH_ELIMIT, "too many messages wait for it");
        if (!letter->origin || mail->waiting.count >= 2 * PH_MAILBOX_MAX)
            return; /* a number of a stream goes on, so that the others need not wait for it */
    }
    ph_letters_add(&mail->waiting, letter);
}

/* ---- The detour ------------------------------------------------------------------------------ */

/* Closed while a message that went straight into the mailbox would overtake one that is on its way.
 */
static void set_detour(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_child *child = entry->child;
    struct ph_mail *mail = entry->mail;
    struct ph_member *to;
    if (!child)
        return;
    bool open = way_of(hub, entry, &to) == WAY_HERE &&
                (!mail || (!mail->waiting.first && ph_order_own_came(hub, mail)));
    if (!open)
        atomic_fetch_or_explicit(&child->detour, PH_DETOUR_CLOSED, memory_order_relaxed);
    else /* release: who finds it open finds the messages before in the mailbox */
        atomic_fetch_and_explicit(&child->detour, ~PH_DETOUR_CLOSED, memory_order_release);
    if (!open && mail && mail->tracks)
        look_again(hub, hub->cluster->dead_after_ms);
}

/* ---- Routing --------------------------------------------------------------------------------- */

static bool let_out(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_mail *mail = entry->mail;
    struct ph_member *to;
    struct ph_letter letter;
    for (unsigned i = 0; i < OUT_AT_A_TIME && mail->waiting.first; i++) {
        enum way way = way_of(hub, entry, &to);
        if (way == WAY_NONE)
            return false;
        ph_letters_take(&mail->waiting, &letter);
        if (way == WAY_HERE)
            receive(hub, entry, &letter);
        else
            send_to(hub, to, entry, &letter);
    }
    return mail->waiting.first;
}

void ph_mail_look(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_mail *mail = entry->mail;
    struct ph_member *to;
    if (mail && mail->tracks && !entry->parting && !entry->child)
        ph_order_take_early(mail, &mail->waiting);
    if (mail && mail->waiting.first && way_of(hub, entry, &to) != WAY_NONE && let_out(hub, entry))
        ph_cluster_touch(hub, entry);
    set_detour(hub, entry);
    if (mail && !mail->stream && !mail->tracks && !mail->waiting.first)
        free_mail(mail);
}

void ph_mail_route(struct ph_hub *hub, const char *id, size_t length, struct ph_letter *letter)
{
    struct ph_entry *entry = ph_directory_find_rcu(hub->directory, id, length);
    struct ph_member *to;
    if (!entry || !ph_entry_spec_rcu(entry)) {
        drop(hub, letter, PH_ENOTFOUND, "no such child");
        return;
    }
    enum way way = way_of(hub, entry, &to);
    bool behind = entry->mail && entry->mail->waiting.first;
    if (letter->hops > HOPS_MAX && way == WAY_AWAY) {
        letter->hops = 0;
        behind = true; /* those who sent it on do not know yet where the child is */
        look_again(hub, hub->cluster->heartbeat_ms);
    }
    if (way == WAY_NONE || behind)
        keep_waiting(hub, entry, letter);
    else if (way == WAY_HERE)
        receive(hub, entry, letter);
    else
        send_to(hub, to, entry, letter);
    if (entry->child)
        set_detour(hub, entry);
}

void ph_mail_linked(struct ph_hub *hub)
{
    for (struct ph_mail *mail = hub->cluster->mail.mails; mail; mail = mail->next)
        if (mail->waiting.first)
            ph_cluster_touch(hub, mail->entry);
}

/* ---- A child comes and goes ------------------------------------------------------------------ */

void ph_mail_child_here(struct ph_hub *hub, struct ph_entry *entry, bool moved)
{
    struct ph_mail *mail = entry->mail;
    entry->moved_here = moved;
    if (!moved)
        entry->sole = !entry->seen_epoch;
    if (mail && !moved) {
        ph_order_take_early(mail, &mail->waiting);
        mail->anew = true;
        mail->stream = 0;
    } else if (mail) {
        mail->anew = false;
    }
    ph_mail_look(hub, entry);
}

void ph_mail_take_tracks(struct ph_hub *hub, struct ph_entry *entry, struct ph_unpack *frame)
{
    entry->sole = ph_unpack_bool(frame);
    struct ph_unpack at = *frame;
    if (entry->mail || ph_unpack_array(&at, UINT32_MAX))
        (void)ph_order_unpack(hub, mail_of(hub, entry), frame); /* it was checked */
}

static struct ph_message_box *next_unread(struct ph_queue *queue)
{
    struct ph_queue_node *node;
    if (ph_queue_pop(queue, &node) != PH_QUEUE_OK)
        return NULL;
    return ph_container_of(node, struct ph_message_box, link);
}

static void take_unread(struct ph_hub *hub, struct ph_child *child, struct ph_letters *unread)
{
    struct ph_queue queue;
    struct ph_message_box *box;
    ph_queue_init(&queue);
    hub->ports.exec->forward(hub->ports.context, child, &queue);
    while ((box = next_unread(&queue)))
        ph_letters_add(unread, &(struct ph_letter){.box = box});
}

/* What it has not read goes before everything that waits already. */
static void put_first(struct ph_mail *mail, struct ph_letters *unread)
{
    if (!unread->first)
        return;
    *unread->last = mail->waiting.first;
    if (!mail->waiting.first)
        mail->waiting.last = unread->last;
    mail->waiting.first = unread->first;
    mail->waiting.count += unread->count;
    ph_letters_init(unread);
}

bool ph_mail_child_gone(struct ph_hub *hub, struct ph_entry *entry, struct ph_child *child)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_letters unread;
    bool moved = ph_child_state(child) == PH_STATE_MOVING;
    if (ph_entry_spec_rcu(entry) && !cluster->fenced && (moved || !hub->stopping)) {
        entry->parting++;
        child->next_retracted = cluster->mail.parting;
        cluster->mail.parting = child;
        return true;
    }
    ph_letters_init(&unread);
    take_unread(hub, child, &unread);
    drop_all(hub, &unread, PH_EGONE, "the child was stopped before it read the message");
    return false;
}

/* A slice; the rest in the next one. */
void ph_mail_fetch_last(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (unsigned i = 0; i < PH_JOB_SLICE && cluster->mail.parted; i++) {
        struct ph_child *child = cluster->mail.parted;
        struct ph_entry *entry = ph_directory_find_rcu(hub->directory, child->id, child->id_length);
        struct ph_letters unread;
        cluster->mail.parted = child->next_retracted;
        ph_letters_init(&unread);
        take_unread(hub, child, &unread);
        ph_registry_release(hub->registry, child);
        entry->parting--; /* what is parting is not purged */
        if (unread.first)
            put_first(mail_of(hub, entry), &unread);
        if (ph_entry_spec_rcu(entry))
            ph_mail_look(hub, entry);
        else
            ph_mail_drop(hub, entry, PH_EGONE, "the child was stopped before it read the message");
    }
    cluster->mail.fetching = cluster->mail.parted;
}

void ph_mail_begin_grace(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!cluster->mail.parting || cluster->mail.parted)
        return;
    cluster->mail.parted = cluster->mail.parting;
    cluster->mail.parting = NULL;
    hub->ports.work->submit(hub->ports.context, PH_WORK_GRACE, 0);
}

static void release_all(struct ph_hub *hub, struct ph_child *child)
{
    while (child) {
        struct ph_child *next = child->next_retracted;
        ph_registry_release(hub->registry, child);
        child = next;
    }
}

void ph_mail_fini(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    release_all(hub, cluster->mail.parting);
    release_all(hub, cluster->mail.parted);
    while (cluster->mail.mails) {
        struct ph_mail *mail = cluster->mail.mails;
        ph_order_take_early(mail, &mail->waiting);
        for (struct ph_letter *at = mail->waiting.first; at; at = at->next)
            silence(at); /* nobody is there to send answers */
        drop_all(hub, &mail->waiting, PH_ESTOPPING, "the hub is ending");
        free_mail(mail);
    }
    fail_calls(hub, PH_NO_MEMBER, PH_ESTOPPING, "the hub is ending");
}

/* ---- With a move ----------------------------------------------------------------------------- */

void ph_mail_take_unread(struct ph_hub *hub, struct ph_child *child, uint16_t member,
                         struct ph_letters *unread)
{
    take_unread(hub, child, unread);
    for (struct ph_letter *letter = unread->first; letter; letter = letter->next) {
        if (!letter->box->op)
            continue;
        letter->token = expect_answer(hub, letter->box->op, member, true);
        letter->box->op = NULL;
    }
}

/* Calls that somebody has answered are done with. */
static void take_back_calls(struct ph_hub *hub, struct ph_letters *unread)
{
    for (struct ph_letter *letter = unread->first; letter; letter = letter->next) {
        if (!letter->token)
            continue;
        letter->box->op = take_call(hub->cluster, letter->token);
        if (letter->box->op)
            continue;
        ph_message_box_destroy(letter->box, 0, NULL);
        letter->box = NULL;
    }
}

void ph_mail_give_back(struct ph_hub *hub, struct ph_entry *entry, struct ph_child *child,
                       struct ph_letters *unread)
{
    struct ph_letter letter;
    take_back_calls(hub, unread);
    if (!child) {
        if (unread->first)
            put_first(mail_of(hub, entry), unread);
        return;
    }
    take_unread(hub, child, unread); /* what came since, behind it */
    while (ph_letters_take(unread, &letter))
        deliver(hub, child, &letter);
}

void ph_mail_forget_unread(struct ph_hub *hub, struct ph_letters *unread)
{
    struct ph_letter letter;
    while (ph_letters_take(unread, &letter)) {
        ph_message_box_destroy(letter.box, 0, NULL);
        if (letter.token)
            stay_with_member(hub->cluster, letter.token);
    }
}

void ph_mail_lose_unread(struct ph_hub *hub, struct ph_letters *unread)
{
    struct ph_letter letter;
    take_back_calls(hub, unread);
    while (ph_letters_take(unread, &letter))
        drop(hub, &letter, PH_ECONNECTION, "the child's node was lost before it answered");
}

/* Per record: token of a call (0: none), bytes. */
void ph_mail_pack_unread(struct ph_text *out, const struct ph_letters *unread)
{
    ph_pack_array(out, unread->count);
    for (const struct ph_letter *letter = unread->first; letter; letter = letter->next) {
        ph_pack_uint(out, letter->token);
        ph_pack_bin(out, letter->box->data, letter->box->length);
    }
}

/* ---- In and out ------------------------------------------------------------------------------ */

void ph_cluster_on_send(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_letter letter = {.box = event->send.box};
    size_t length = strlen(event->send.id);
    event->send.box = NULL;
    if (hub->cluster) {
        ph_mail_route(hub, event->send.id, length, &letter);
        struct ph_child *child = ph_registry_find_rcu(hub->registry, event->send.id, length);
        if (child && event->send.detour)
            ph_detour_leave(&child->detour, event->send.detour);
    } else {
        ph_message_box_destroy(letter.box, PH_ENOTFOUND, "no such child");
    }
}

static struct ph_op *remote_op(struct ph_hub *hub, const struct ph_member *member, uint64_t token)
{
    struct caller *caller = ph_alloc(sizeof *caller);
    *caller = (struct caller){.hub = hub, .peer = member->info.peer, .token = token};
    struct ph_op *op = ph_op_create();
    op->done_fn = answered;
    op->done_arg = caller;
    ph_op_put(op); /* nobody waits on it here: its end is the function */
    return op;
}

static struct ph_message_box *make_box(struct ph_hub *hub, const struct ph_member *member,
                                       uint64_t token, const void *data, size_t length)
{
    struct ph_message_box *box =
        ph_message_box_create(token ? PH_MESSAGE_CALL : PH_MESSAGE_CAST, data, length);
    if (box && token)
        box->op = remote_op(hub, member, token);
    hub->cluster->mail.dropped += !box;
    return box;
}

bool ph_mail_unpack_unread(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame,
                           struct ph_letters *unread)
{
    uint32_t count = ph_unpack_array(frame, PH_MAILBOX_MAX);
    for (uint32_t i = 0; i < count; i++) {
        size_t length;
        uint64_t token = ph_unpack_uint(frame, UINT64_MAX);
        const void *data = ph_unpack_bin(frame, PH_MESSAGE_BYTES_MAX, &length);
        if (frame->broken)
            return false;
        struct ph_letter letter = {.box = make_box(hub, member, token, data, length)};
        if (letter.box)
            ph_letters_add(unread, &letter);
    }
    return !frame->broken;
}

void ph_mail_disown(struct ph_letters *unread)
{
    struct ph_letter letter;
    while (ph_letters_take(unread, &letter)) {
        silence(&letter);
        ph_message_box_destroy(letter.box, PH_ECANCELED, NULL);
    }
}

void ph_mail_move_unread(struct ph_letters *to, struct ph_letters *from)
{
    struct ph_letter letter;
    while (ph_letters_take(from, &letter))
        ph_letters_add(to, &letter);
}

void ph_mail_put_unread(struct ph_hub *hub, struct ph_child *child, struct ph_letters *unread)
{
    struct ph_letter letter;
    while (ph_letters_take(unread, &letter))
        deliver(hub, child, &letter);
}

void ph_cluster_read_mail(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        size_t id_length, length = 0;
        struct ph_letter letter = {.hops = 1 + (unsigned)ph_unpack_uint(frame, HOPS_MAX)};
        const char *id = ph_unpack_str(frame, PH_ID_MAX, &id_length);
        letter.origin = ph_unpack_uint(frame, UINT64_MAX);
        letter.stream = ph_unpack_uint(frame, UINT64_MAX);
        letter.number = ph_unpack_uint(frame, UINT64_MAX - 1);
        letter.after = ph_unpack_uint(frame, UINT64_MAX);
        letter.after_sent = ph_unpack_uint(frame, UINT64_MAX - 1);
        uint64_t token = ph_unpack_uint(frame, UINT64_MAX);
        bool empty = ph_unpack_nil(frame);
        const void *data = empty ? NULL : ph_unpack_bin(frame, PH_MESSAGE_BYTES_MAX, &length);
        if (frame->broken)
            return;
        if (!id_length) {
            ph_mail_answer_farewell(member, token);
            continue;
        }
        if (!empty)
            letter.box = make_box(hub, member, token, data, length);
        ph_mail_route(hub, id, id_length, &letter);
    }
}

/* Per record: token, code, text, reply. */
void ph_cluster_on_answer(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_member *member =
        hub->cluster ? ph_member_by_peer(hub->cluster, event->answer.peer) : NULL;
    if (!member || !ph_member_is_linked(member))
        return;
    struct ph_text *records = &member->answers.records;
    ph_pack_uint(records, event->answer.token);
    ph_pack_uint(records, (uint64_t)-event->answer.code);
    ph_pack_str(records, event->answer.text, strnlen(event->answer.text, TEXT_MAX));
    ph_pack_bin(records, ph_text_str(&event->answer.reply), event->answer.reply.length);
    member->answers.count++;
}

void ph_cluster_read_answer(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        size_t text_length, length;
        char text[TEXT_MAX + 1];
        uint64_t token = ph_unpack_uint(frame, UINT64_MAX);
        int code = -(int)ph_unpack_uint(frame, 1 << 16);
        const char *why = ph_unpack_str(frame, TEXT_MAX, &text_length);
        const void *reply = ph_unpack_bin(frame, PH_MESSAGE_BYTES_MAX, &length);
        if (frame->broken)
            return;
        member->bade_farewell |= token == member->farewell;
        struct ph_op *op = take_call(hub->cluster, token);
        memcpy(text, why, text_length);
        text[text_length] = '\0';
        ph_op_set_reply(op, reply, length);
        ph_hub_finish_op(hub, op, code, code ? text : NULL);
    }
}
