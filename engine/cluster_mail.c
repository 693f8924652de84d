/* Messages and calls for children that are not here, or not yet. */
#include <errno.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/error.h"
#include "engine/op.h"

enum { HOPS_MAX = 4, RECORDS_MAX = 1 << 20, TEXT_MAX = 500 };

/* A call of this node that another one answers. */
struct ph_call_waiting {
    struct ph_call_waiting *next;
    uint64_t token;
    struct ph_op *op;
    uint16_t member;
};

/* Messages that wait until their child is here. */
struct ph_held {
    struct ph_entry *entry;
    struct ph_held *next, **link; /* of all that wait */
    struct held_box {
        struct held_box *next;
        struct ph_message_box *box;
        unsigned hops;
    } * first, **last;
    unsigned count;
};

/* ---- Calls under way ------------------------------------------------------------------------ */

static uint64_t expect_answer(struct ph_hub *hub, struct ph_op *op, uint16_t member)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_call_waiting *call = ph_alloc(sizeof *call);
    call->token = ++cluster->next_token;
    call->op = op;
    call->member = member;
    struct ph_call_waiting **bucket = &cluster->calls[call->token % PH_CALL_BUCKETS];
    call->next = *bucket;
    *bucket = call;
    return call->token;
}

static struct ph_op *take_call(struct ph_cluster *cluster, uint64_t token)
{
    struct ph_call_waiting **link = &cluster->calls[token % PH_CALL_BUCKETS];
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
        struct ph_call_waiting **link = &cluster->calls[i];
        while (*link) {
            struct ph_call_waiting *call = *link;
            if (member != PH_NO_MEMBER && call->member != member) {
                link = &call->next;
                continue;
            }
            *link = call->next;
            ph_hub_finish_op(hub, call->op, code, why);
            ph_free(call);
        }
    }
}

void ph_mail_lost(struct ph_hub *hub, uint16_t member)
{
    fail_calls(hub, member, PH_ECONNECTION, "the child's node was lost before it answered");
}

void ph_mail_fini(struct ph_hub *hub)
{
    struct ph_cursor cursor = {0};
    struct ph_entry *entry;
    while (ph_directory_walk(hub->directory, &cursor, &entry, 1))
        ph_mail_drop_held(hub, entry, PH_ESTOPPING, "the hub is ending");
    fail_calls(hub, PH_NO_MEMBER, PH_ESTOPPING, "the hub is ending");
}

/* ---- Routing --------------------------------------------------------------------------------- */

static void drop(struct ph_hub *hub, struct ph_message_box *box, int code, const char *why)
{
    hub->cluster->mail_dropped++;
    ph_message_box_destroy(box, code, why);
}

/* Per record: hops, id, token of a call (0: none), bytes. */
static void send_to(struct ph_hub *hub, struct ph_member *member, const char *id, size_t length,
                    struct ph_message_box *box, unsigned hops)
{
    struct ph_text *records = &member->mail.records;
    uint64_t token = box->op ? expect_answer(hub, box->op, member->slot) : 0;
    box->op = NULL;
    ph_pack_uint(records, hops);
    ph_pack_str(records, id, length);
    ph_pack_uint(records, token);
    ph_pack_bin(records, box->data, box->length);
    member->mail.count++;
    ph_message_box_destroy(box, 0, NULL);
}

static void deliver(struct ph_hub *hub, struct ph_child *child, struct ph_message_box *box)
{
    int rc = 0;
    if (ph_child_state(child) == PH_STATE_FAILED)
        rc = PH_EGAVEUP;
    else if (ph_child_state(child) == PH_STATE_STOPPING)
        rc = PH_ESTOPPING;
    if (rc == 0)
        rc = child->kind->deliver(child, box);
    if (rc)
        drop(hub, box, rc, ph_error_text(rc));
}

static struct ph_held *add_held(struct ph_cluster *cluster, struct ph_entry *entry)
{
    struct ph_held *held = ph_alloc(sizeof *held);
    held->entry = entry;
    held->last = &held->first;
    held->next = cluster->held;
    held->link = &cluster->held;
    if (held->next)
        held->next->link = &held->next;
    cluster->held = held;
    return held;
}

static void free_held(struct ph_held *held)
{
    *held->link = held->next;
    if (held->next)
        held->next->link = held->link;
    ph_free(held);
}

static void hold(struct ph_hub *hub, struct ph_entry *entry, struct ph_message_box *box,
                 unsigned hops)
{
    struct ph_held *held = entry->held;
    if (!held)
        held = entry->held = add_held(hub->cluster, entry);
    if (held->count == PH_HELD_MAX) {
        drop(hub, box, PH_ELIMIT, "too many messages wait for it to start");
        return;
    }
    struct held_box *last = ph_alloc(sizeof *last);
    last->box = box;
    last->hops = hops;
    *held->last = last;
    held->last = &last->next;
    held->count++;
}

/* Where messages for an entry that has no child here go: a member, or NULL: nowhere yet. */
static struct ph_member *route_of(struct ph_hub *hub, const struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    const struct ph_placement *placement = ph_cluster_live_placement(cluster, entry, 0);
    if (!placement || !ph_member_is_linked(cluster->members[placement->member]))
        return NULL;
    return cluster->members[placement->member];
}

void ph_mail_route(struct ph_hub *hub, const char *id, size_t length, struct ph_message_box *box,
                   unsigned hops)
{
    struct ph_entry *entry = ph_directory_find_rcu(hub->directory, id, length);
    struct ph_child *child = ph_registry_find_rcu(hub->registry, id, length);
    if (child) {
        deliver(hub, child, box);
        return;
    }
    struct ph_member *member = entry ? route_of(hub, entry) : NULL;
    if (!entry || !ph_entry_spec_rcu(entry))
        drop(hub, box, PH_ENOTFOUND, "no such child");
    else if (hops >= HOPS_MAX)
        drop(hub, box, PH_EFAILED, "it moved too often while the message followed it");
    else if (entry->held || !member)
        hold(hub, entry, box, hops); /* never past what waits already */
    else
        send_to(hub, member, id, length, box, hops);
}

/* ---- What waits ------------------------------------------------------------------------------ */

static void let_out(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_held *held = entry->held;
    entry->held = NULL;
    for (struct held_box *at = held->first, *next; at; at = next) {
        next = at->next;
        ph_mail_route(hub, entry->id, entry->id_length, at->box, at->hops);
        ph_free(at);
    }
    free_held(held);
}

void ph_mail_linked(struct ph_hub *hub)
{
    for (struct ph_held *held = hub->cluster->held; held; held = held->next)
        ph_cluster_touch(hub, held->entry);
}

void ph_mail_child_here(struct ph_hub *hub, struct ph_entry *entry)
{
    if (entry->held)
        let_out(hub, entry);
}

void ph_mail_retry_held(struct ph_hub *hub, struct ph_entry *entry)
{
    if (route_of(hub, entry))
        let_out(hub, entry);
}

void ph_mail_drop_held(struct ph_hub *hub, struct ph_entry *entry, int code, const char *why)
{
    struct ph_held *held = entry->held;
    entry->held = NULL;
    for (struct held_box *at = held ? held->first : NULL, *next; at; at = next) {
        next = at->next;
        drop(hub, at->box, code, why);
        ph_free(at);
    }
    if (held)
        free_held(held);
}

/* ---- A child goes ---------------------------------------------------------------------------- */

static struct ph_message_box *next_unread(struct ph_queue *queue)
{
    struct ph_queue_node *node;
    if (ph_queue_pop(queue, &node) != PH_QUEUE_OK)
        return NULL;
    return ph_container_of(node, struct ph_message_box, link);
}

void ph_mail_follow(struct ph_hub *hub, struct ph_entry *entry, struct ph_member *member)
{
    struct ph_queue unread;
    struct ph_message_box *box;
    ph_queue_init(&unread);
    hub->ports.exec->forward(hub->ports.context, entry->child, &unread);
    while ((box = next_unread(&unread)))
        send_to(hub, member, entry->id, entry->id_length, box, 1);
}

void ph_mail_child_gone(struct ph_hub *hub, struct ph_entry *entry, struct ph_child *child)
{
    struct ph_queue unread;
    struct ph_message_box *box;
    bool wanted = ph_entry_spec_rcu(entry) && !hub->cluster->fenced && !hub->stopping;
    ph_queue_init(&unread);
    hub->ports.exec->forward(hub->ports.context, child, &unread);
    while ((box = next_unread(&unread))) {
        if (wanted)
            hold(hub, entry, box, 1);
        else
            ph_message_box_destroy(box, PH_EGONE,
                                   "the child was stopped before it read the message");
    }
}

/* ---- In and out ------------------------------------------------------------------------------ */

void ph_cluster_on_send(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_message_box *box = event->send.box;
    event->send.box = NULL;
    if (hub->cluster)
        ph_mail_route(hub, event->send.id, strlen(event->send.id), box, 0);
    else
        ph_message_box_destroy(box, PH_ENOTFOUND, "no such child");
}

/* Whose call an op of this node answers. */
struct caller {
    struct ph_hub *hub;
    uint64_t peer, token;
};

/* On the thread that completes the op: the hub lives as long as the child that answers. */
static void answered(void *arg, struct ph_op *op)
{
    struct caller *caller = arg;
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

void ph_cluster_read_mail(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        size_t id_length, length;
        unsigned hops = (unsigned)ph_unpack_uint(frame, HOPS_MAX);
        const char *id = ph_unpack_str(frame, PH_ID_MAX, &id_length);
        uint64_t token = ph_unpack_uint(frame, UINT64_MAX);
        const void *data = ph_unpack_bin(frame, PH_MESSAGE_BYTES_MAX, &length);
        if (frame->broken)
            return;
        struct ph_message_box *box =
            ph_message_box_create(token ? PH_MESSAGE_CALL : PH_MESSAGE_CAST, data, length);
        if (!box) {
            hub->cluster->mail_dropped++;
            continue;
        }
        if (token)
            box->op = remote_op(hub, member, token);
        ph_mail_route(hub, id, id_length, box, hops + 1);
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
    (void)member;
    for (uint32_t i = 0; i < count; i++) {
        size_t text_length, length;
        char text[TEXT_MAX + 1];
        uint64_t token = ph_unpack_uint(frame, UINT64_MAX);
        int code = -(int)ph_unpack_uint(frame, 1 << 16);
        const char *why = ph_unpack_str(frame, TEXT_MAX, &text_length);
        const void *reply = ph_unpack_bin(frame, PH_MESSAGE_BYTES_MAX, &length);
        if (frame->broken)
            return;
        struct ph_op *op = take_call(hub->cluster, token);
        memcpy(text, why, text_length);
        text[text_length] = '\0';
        ph_op_set_reply(op, reply, length);
        ph_hub_finish_op(hub, op, code, code ? text : NULL);
    }
}
