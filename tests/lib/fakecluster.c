#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/legacy.h"
#include "engine/op.h"
#include "tests/lib/ballast.h"

enum { LATENCY_MS = 1, HEARTBEAT_MS = 500, DEAD_AFTER_MS = 3000, LEASE_MS = 2500 };

static struct fc_node *node_of(const struct ph_child *child)
{
    return ph_container_of(child->hub, struct fc_node, fake.hub);
}

/* ---- Events that steps post ---------------------------------------------------------------- */

void fc_post_event(struct ph_hub *hub, struct ph_event *event)
{
    struct fc_node *node = ph_container_of(hub, struct fc_node, fake.hub);
    struct fc_post *last = ph_alloc(sizeof *last);
    last->event = event;
    *node->posts_last = last;
    node->posts_last = &last->next;
}

static struct ph_event *take_post(struct fc_node *node)
{
    struct fc_post *first = node->posts;
    if (!first)
        return NULL;
    struct ph_event *event = first->event;
    node->posts = first->next;
    if (!node->posts)
        node->posts_last = &node->posts;
    ph_free(first);
    return event;
}

static struct ph_event *report(struct ph_child *child, enum ph_event_type type)
{
    struct ph_event *event = ph_event_create(type);
    event->child.child = child;
    event->child.instance = atomic_load_explicit(&child->instance, memory_order_relaxed);
    fc_post_event(child->hub, event);
    return event;
}

/* ---- Children ------------------------------------------------------------------------------ */

static void kid_init(struct ph_child *child)
{
    ph_queue_init(&((struct fc_kid *)ph_child_tail(child))->unread);
}

static struct ph_message_box *next_unread(struct ph_queue *queue)
{
    struct ph_queue_node *node;
    if (ph_queue_pop(queue, &node) != PH_QUEUE_OK)
        return NULL;
    return ph_container_of(node, struct ph_message_box, link);
}

static void kid_fini(struct ph_child *child)
{
    struct ph_message_box *box;
    while ((box = next_unread(&((struct fc_kid *)ph_child_tail(child))->unread)))
        ph_message_box_destroy(box, PH_EGONE, "the child is gone");
    ph_child_free(child);
}

/* Has another node an instance of that child? */
static bool is_elsewhere(const struct fc_node *node, const struct ph_child *child)
{
    int where = fc_where(node->cluster, child->id);
    return where == FC_DOUBLED || (where >= 0 && where != (int)node->index);
}

static struct ph_text state_of(const struct fc_node *node, const struct fc_kid *kid)
{
    struct ph_text state = PH_TEXT_INIT;
    ph_text_put(&state, kid->state);
    if (node->cluster->ballast)
        ballast_put(&state, kid->heard, node->cluster->ballast);
    return state;
}

/* What it was to begin with goes back. */
static bool fails(const struct fc_node *node, struct ph_child *child)
{
    struct fc_kid *kid = ph_child_tail(child);
    if (!node->fails || strcmp(node->fails, child->id) != 0)
        return false;
    struct ph_exit *exit = ph_alloc(sizeof *exit);
    exit->how = PH_EXIT_EXEC;
    snprintf(exit->text, sizeof exit->text, "no such program");
    struct ph_event *event = report(child, PH_EVENT_CHILD_DOWN);
    event->child.exit = exit;
    if (*kid->state)
        event->child.saved = state_of(node, kid);
    *kid->state = '\0';
    return true;
}

static void run(struct fc_node *node, struct ph_child *child)
{
    struct fc_kid *kid = ph_child_tail(child);
    node->cluster->doubled += is_elsewhere(node, child);
    kid->runs = true;
    if (!*kid->state)
        snprintf(kid->state, sizeof kid->state, "born");
    size_t length = strlen(kid->state);
    snprintf(kid->state + length, sizeof kid->state - length, " n%u", node->index + 1);
    if (!node->slow)
        report(child, PH_EVENT_CHILD_UP);
}

static void port_start(void *context, struct ph_child *child, uint32_t instance)
{
    struct fc_node *node = context;
    (void)instance;
    assert_false(((struct fc_kid *)ph_child_tail(child))->runs);
    node->starts++;
    if (!fails(node, child))
        run(node, child);
}

static void port_prepare(void *context, struct ph_child *child, uint32_t instance)
{
    struct fc_node *node = context;
    (void)instance;
    node->starts++;
    node->prepares++;
    if (fails(node, child))
        return;
    ((struct fc_kid *)ph_child_tail(child))->stands_by = true;
    if (!node->slow)
        report(child, PH_EVENT_CHILD_PREPARED);
}

static void port_load(void *context, struct ph_child *child, struct ph_text *state)
{
    const struct fc_node *node = context;
    struct fc_kid *kid = ph_child_tail(child);
    size_t ballast = node->cluster->ballast;
    snprintf(kid->state, sizeof kid->state, "%.*s", (int)state->length, ph_text_str(state));
    if (ballast)
        assert_true(ballast_get(ph_text_str(state), state->length, ballast, &kid->heard));
    ph_text_fini(state);
}

static void port_activate(void *context, struct ph_child *child, struct ph_text *state)
{
    struct fc_kid *kid = ph_child_tail(child);
    kid->stands_by = false;
    if (fails(context, child))
        return;
    if (state->length)
        port_load(context, child, state);
    run(context, child);
}

static void port_stop(void *context, struct ph_child *child)
{
    const struct fc_node *node = context;
    struct fc_kid *kid = ph_child_tail(child);
    if (node->lingers || (!kid->runs && !kid->stands_by))
        return;
    kid->runs = kid->stands_by = false;
    kid->heard = 0;
    *kid->state = '\0';
    report(child, PH_EVENT_CHILD_DOWN);
}

static void port_copy(void *context, struct ph_child *child, uint64_t from, struct ph_text *room)
{
    struct fc_node *node = context;
    struct fc_kid *kid = ph_child_tail(child);
    ph_text_fini(room);
    if (!kid->runs || node->busy || (node->lazy && strcmp(node->lazy, child->id) == 0))
        return;
    struct ph_text state = state_of(node, kid);
    bool goes_on = state.length >= from;
    report(child, goes_on ? PH_EVENT_CHILD_COPIED : PH_EVENT_CHILD_DOWN)->child.saved = state;
    node->copies += goes_on;
    if (goes_on)
        return;
    kid->runs = false;
    kid->heard = 0;
    *kid->state = '\0';
}

static void port_save(void *context, struct ph_child *child)
{
    struct ph_text room = PH_TEXT_INIT;
    port_copy(context, child, UINT64_MAX, &room);
}

/* The other state goes behind its own: "born n1 + born n3". */
static void port_merge(void *context, struct ph_child *child, struct ph_legacy *legacy)
{
    struct fc_node *node = context;
    struct fc_kid *kid = ph_child_tail(child);
    assert_true(kid->runs);
    node->joins++;
    if (node->deaf)
        return;
    struct ph_event *event = report(child, PH_EVENT_CHILD_MERGED);
    event->child.exit = ph_alloc(sizeof *event->child.exit);
    size_t length = strlen(kid->state);
    if (node->cluster->merges) {
        snprintf(kid->state + length, sizeof kid->state - length, " + %s", legacy->state);
    } else {
        event->child.exit->value = PH_EUNSUPPORTED;
        snprintf(event->child.exit->text, sizeof event->child.exit->text, "it does not merge");
    }
}

static void port_forward(void *context, struct ph_child *child, struct ph_queue *into)
{
    struct ph_message_box *box;
    (void)context;
    while ((box = next_unread(&((struct fc_kid *)ph_child_tail(child))->unread)))
        ph_queue_push(into, &box->link);
}

static int port_signal(void *context, struct ph_child *child, int number)
{
    (void)context;
    (void)child;
    (void)number;
    return 0;
}

static void port_lease(void *context, uint64_t until_ms)
{
    ((struct fc_node *)context)->fake.lease_until_ms = until_ms;
}

static void port_hook(void *context, const struct ph_hook_request *request)
{
    (void)context;
    (void)request;
    fail_msg("no test of the cluster has hooks");
}

static const struct ph_exec_port exec_port = {
    .start = port_start,
    .load = port_load,
    .prepare = port_prepare,
    .activate = port_activate,
    .stop = port_stop,
    .save = port_save,
    .copy = port_copy,
    .merge = port_merge,
    .forward = port_forward,
    .kill = port_stop,
    .signal = port_signal,
    .lease = port_lease,
    .hook = port_hook,
};

static int kid_deliver(struct ph_child *child, struct ph_message_box *box)
{
    struct fc_node *node = node_of(child);
    struct fc_kid *kid = ph_child_tail(child);
    char reply[96];
    if (node->mute) {
        ph_queue_push(&kid->unread, &box->link);
        return 0;
    }
    kid->heard++;
    node->heard = ph_realloc(node->heard, (node->heard_count + 1) * sizeof *node->heard);
    struct fc_message *message = &node->heard[node->heard_count++];
    message->order = ++node->cluster->hearings;
    snprintf(message->id, sizeof message->id, "%s", child->id);
    snprintf(message->text, sizeof message->text, "%s", box->data);
    if (box->op) {
        int length = snprintf(reply, sizeof reply, "%s of n%u", box->data, node->index + 1);
        ph_op_set_reply(box->op, reply, (size_t)length);
        ph_op_complete(box->op, 0, NULL);
        box->op = NULL;
    }
    ph_message_box_destroy(box, 0, NULL);
    return 0;
}

static void kid_nothing(struct ph_child *child)
{
    (void)child;
}

static void kid_inspect(const struct ph_child *child, struct ph_child_info *info)
{
    (void)child;
    (void)info;
}

static bool kid_can_prepare(const struct ph_spec *spec)
{
    (void)spec;
    return true;
}

static const struct ph_kind kid_kind = {
    .name = "kid",
    .child_bytes = sizeof(struct fc_kid),
    .init = kid_init,
    .fini = kid_fini,
    .can_prepare = kid_can_prepare,
    .resume = kid_nothing,
    .deliver = kid_deliver,
    .inspect = kid_inspect,
};

static const struct ph_kind *kind_of(const struct ph_spec *spec)
{
    (void)spec;
    return &kid_kind;
}

/* ---- Bulk work ----------------------------------------------------------------------------- */

static void port_submit(void *context, enum ph_work work, uint64_t amount)
{
    struct fc_node *node = context;
    struct ph_event *event = ph_event_create(PH_EVENT_WORK_DONE);
    event->work.kind = work;
    if (work == PH_WORK_GROW)
        ph_registry_grow(node->fake.hub.registry, amount);
    else if (work == PH_WORK_GROW_DIRECTORY)
        ph_directory_grow(node->directory, amount);
    fc_post_event(&node->fake.hub, event);
}

static const struct ph_work_port work_port = {.submit = port_submit};

/* ---- The journal --------------------------------------------------------------------------- */

static void port_journal(void *context, enum ph_journal_verb verb, struct ph_journal_mark mark,
                         struct ph_text *record)
{
    struct fc_node *node = context;
    fakedisk_call(&node->cluster->disks[node->index], verb, mark, record);
}

static const struct ph_journal_port journal_port = {.call = port_journal};

static void read_journal(struct fc_node *node)
{
    struct ph_event *event;
    for (size_t i = 0; (event = fakedisk_read(&node->cluster->disks[node->index], i)); i++)
        fc_post_event(&node->fake.hub, event);
}

static bool sync_disk(struct fake_cluster *cluster, unsigned index)
{
    struct ph_event *event =
        cluster->stalled >> index & 1 ? NULL : fakedisk_sync(&cluster->disks[index]);
    if (event)
        fc_post_event(&cluster->nodes[index]->fake.hub, event);
    return event != NULL;
}

/* ---- Pipes --------------------------------------------------------------------------------- */

static void drop_frame(struct fc_frame *frame)
{
    ph_text_fini(&frame->text);
    ph_free(frame);
}

static void empty_pipe(struct fc_pipe *pipe)
{
    while (pipe->first) {
        struct fc_frame *frame = pipe->first;
        pipe->first = frame->next;
        drop_frame(frame);
    }
    pipe->last = &pipe->first;
}

static struct fc_frame *take_frame(struct fc_pipe *pipe)
{
    struct fc_frame *frame = pipe->first;
    pipe->first = frame->next;
    if (!pipe->first)
        pipe->last = &pipe->first;
    return frame;
}

static struct fc_pipe *pipe_to(struct fc_node *node, uint64_t peer)
{
    for (unsigned to = 0; to < FC_NODES; to++)
        if (node->cluster->pipes[node->index][to].peer == peer)
            return &node->cluster->pipes[node->index][to];
    return NULL;
}

static void put_frame(struct fake_cluster *cluster, struct fc_pipe *pipe, enum ph_link_class class,
                      struct ph_text *text)
{
    struct fc_frame *frame = ph_alloc(sizeof *frame), **before = pipe->last;
    bool overtakes = class == PH_LINK_BEAT && pipe->stream_ms;
    frame->session = pipe->session;
    frame->due_ms =
        cluster->now_ms + LATENCY_MS + pipe->late_ms + (overtakes ? 0 : pipe->stream_ms);
    frame->class = class;
    frame->text = *text;
    *text = (struct ph_text)PH_TEXT_INIT;
    if (overtakes)
        for (before = &pipe->first; *before && (*before)->due_ms <= frame->due_ms;)
            before = &(*before)->next;
    frame->next = *before;
    *before = frame;
    if (!frame->next)
        pipe->last = &frame->next;
}

static void port_send(void *context, uint64_t peer, enum ph_link_class class, struct ph_text *text)
{
    struct fc_node *node = context;
    struct fake_cluster *cluster = node->cluster;
    struct fc_pipe *pipe = pipe_to(node, peer);
    unsigned char type = (unsigned char)text->data[0];
    assert_in_range(type, 0, PH_FRAMES - 1);
    cluster->sent[type]++;
    cluster->sent_bytes[type] += text->length;
    bool lost = !pipe || (pipe->cut && class == PH_LINK_BEAT);
    if (!lost && cluster->drop[type]) {
        cluster->drop[type]--;
        lost = true;
        ph_text_clear(&cluster->lost);
        ph_text_append(&cluster->lost, text->data, text->length);
    }
    if (!lost)
        put_frame(cluster, pipe, class, text);
    ph_text_fini(text);
}

static uint64_t port_room(void *context, uint64_t peer)
{
    const struct fc_pipe *pipe = pipe_to(context, peer);
    return pipe && !pipe->full ? UINT64_MAX : 0;
}

/* The own end is gone; the other one hears of it with the next session. */
static void port_reset(void *context, uint64_t peer)
{
    struct fc_node *node = context;
    struct fc_pipe *pipe = pipe_to(node, peer);
    if (!pipe)
        return;
    pipe->peer = pipe->session = 0;
    empty_pipe(pipe);
}

static const struct ph_link_port link_port = {
    .send = port_send,
    .room = port_room,
    .reset = port_reset,
};

static void tell_down(struct fake_cluster *cluster, unsigned node, unsigned of,
                      enum ph_peer_end why)
{
    struct fc_pipe *pipe = &cluster->pipes[node][of];
    uint64_t peer = pipe->peer;
    pipe->peer = pipe->session = 0;
    empty_pipe(pipe);
    if (!peer || !cluster->nodes[node])
        return;
    struct ph_event *event = ph_event_create(PH_EVENT_PEER_DOWN);
    event->peer.peer.number = peer;
    event->peer.why = why;
    fc_post_event(&cluster->nodes[node]->fake.hub, event);
}

static void tell_up(struct fake_cluster *cluster, unsigned node, unsigned of, uint64_t session)
{
    struct fc_pipe *pipe = &cluster->pipes[node][of];
    tell_down(cluster, node, of, PH_PEER_LOST);
    pipe->peer = ++cluster->numbers;
    pipe->session = session;
    struct ph_event *event = ph_event_create(PH_EVENT_PEER_UP);
    event->peer.peer.number = pipe->peer;
    snprintf(event->peer.peer.name, sizeof event->peer.peer.name, "n%u", of + 1);
    snprintf(event->peer.peer.endpoint, sizeof event->peer.peer.endpoint, "tcp://n%u:1", of + 1);
    fc_post_event(&cluster->nodes[node]->fake.hub, event);
}

void fc_link(struct fake_cluster *cluster, unsigned a, unsigned b)
{
    uint64_t session = ++cluster->numbers;
    cluster->pipes[a][b].linked = cluster->pipes[b][a].linked = true;
    tell_up(cluster, a, b, session);
    tell_up(cluster, b, a, session);
}

static bool have_session(const struct fake_cluster *cluster, unsigned a, unsigned b)
{
    const struct fc_pipe *there = &cluster->pipes[a][b], *back = &cluster->pipes[b][a];
    return there->session && there->session == back->session;
}

void fc_link_all(struct fake_cluster *cluster)
{
    for (unsigned a = 0; a < FC_NODES; a++)
        for (unsigned b = 0; b < a; b++)
            if (cluster->nodes[a] && cluster->nodes[b] && !have_session(cluster, a, b))
                fc_link(cluster, a, b);
}

void fc_cut(struct fake_cluster *cluster, unsigned from, unsigned to)
{
    cluster->pipes[from][to].cut = true;
}

void fc_break(struct fake_cluster *cluster, unsigned a, unsigned b)
{
    fc_link(cluster, a, b); /* each end is told that the old session is over */
}

void fc_split(struct fake_cluster *cluster, unsigned side)
{
    for (unsigned a = 0; a < FC_NODES; a++)
        for (unsigned b = 0; b < FC_NODES; b++)
            if ((side >> a & 1) != (side >> b & 1))
                fc_cut(cluster, a, b);
}

/* A link without one session of both ends begins a new one. */
static void renew_link(struct fake_cluster *cluster, unsigned a, unsigned b)
{
    struct fc_pipe *there = &cluster->pipes[a][b], *back = &cluster->pipes[b][a];
    if (!cluster->nodes[a] || !cluster->nodes[b] || there->cut || back->cut)
        return;
    if (there->linked && !have_session(cluster, a, b))
        fc_link(cluster, a, b);
}

void fc_heal(struct fake_cluster *cluster)
{
    for (unsigned a = 0; a < FC_NODES; a++)
        for (unsigned b = 0; b < FC_NODES; b++)
            cluster->pipes[a][b].cut = false;
}

void fc_inject(struct fake_cluster *cluster, unsigned from, unsigned to, struct ph_text *frame)
{
    put_frame(cluster, &cluster->pipes[from][to], PH_LINK_STREAM, frame);
}

/* ---- Life ---------------------------------------------------------------------------------- */

void fc_begin(struct fake_cluster *cluster, unsigned index, const char *options)
{
    struct fc_node *node = ph_alloc(sizeof *node);
    char name[8], endpoint[24];
    node->cluster = cluster;
    node->index = index;
    node->posts_last = &node->posts;
    node->directory = ph_directory_create(100 + index);
    node->fake.now_ms = cluster->now_ms;
    snprintf(name, sizeof name, "n%u", index + 1);
    snprintf(endpoint, sizeof endpoint, "tcp://n%u:1", index + 1);
    const struct ph_cluster_setup half = {
        .node = name,
        .endpoint = endpoint,
        .generation = ++cluster->numbers,
        .heartbeat_ms = HEARTBEAT_MS,
        .dead_after_ms = DEAD_AFTER_MS,
        .lease_ms = LEASE_MS,
        .journal = cluster->keeps,
    };
    const struct ph_hub_setup setup = {
        .name = "fake",
        .options = fake_options(options),
        .ports =
            {
                .exec = &exec_port,
                .work = &work_port,
                .link = &link_port,
                .journal = &journal_port,
                .trace = &fake_trace_port,
                .context = node,
            },
        .registry = ph_registry_create(200 + index),
        .history = ph_history_create(),
        .directory = node->directory,
        .cluster = &half,
        .kind_of = kind_of,
        .post = fc_post_event,
        .seed = 300 + index,
        .now_ms = cluster->now_ms,
    };
    ph_hub_init(&node->fake.hub, &setup);
    cluster->nodes[index] = node;
    if (cluster->keeps)
        read_journal(node);
}

static void end_node(struct fake_cluster *cluster, unsigned index)
{
    struct fc_node *node = cluster->nodes[index];
    struct ph_event *event;
    fake_fini(&node->fake);
    while ((event = take_post(node)))
        ph_event_destroy(event);
    ph_directory_destroy(node->directory);
    ph_free(node->heard);
    ph_free(node);
    cluster->nodes[index] = NULL;
}

void fc_kill(struct fake_cluster *cluster, unsigned index, bool silent)
{
    end_node(cluster, index);
    fakedisk_crash(&cluster->disks[index], 0);
    for (unsigned other = 0; other < FC_NODES; other++) {
        struct fc_pipe *pipe = &cluster->pipes[index][other];
        empty_pipe(pipe);
        pipe->peer = pipe->session = 0;
        pipe->linked = cluster->pipes[other][index].linked = false;
        if (!silent)
            tell_down(cluster, other, index, PH_PEER_REFUSED);
    }
}

struct fake_cluster *fc_create(unsigned nodes, const char *options)
{
    struct fake_cluster *cluster = ph_alloc(sizeof *cluster);
    cluster->now_ms = FC_MS;
    cluster->options = options;
    for (unsigned a = 0; a < FC_NODES; a++)
        for (unsigned b = 0; b < FC_NODES; b++)
            cluster->pipes[a][b].last = &cluster->pipes[a][b].first;
    for (unsigned index = 0; index < nodes; index++)
        fc_begin(cluster, index, options);
    return cluster;
}

struct fake_cluster *fc_create_settled(unsigned nodes, const char *options)
{
    struct fake_cluster *cluster = fc_create(nodes, options);
    fc_link_all(cluster);
    fc_settle(cluster);
    return cluster;
}

void fc_destroy(struct fake_cluster *cluster)
{
    for (unsigned index = 0; index < FC_NODES; index++)
        if (cluster->nodes[index])
            end_node(cluster, index);
    for (unsigned a = 0; a < FC_NODES; a++)
        for (unsigned b = 0; b < FC_NODES; b++)
            empty_pipe(&cluster->pipes[a][b]);
    for (unsigned index = 0; index < FC_NODES; index++)
        fakedisk_fini(&cluster->disks[index]);
    ph_text_fini(&cluster->lost);
    ph_free(cluster);
}

/* ---- Time ---------------------------------------------------------------------------------- */

static bool work_node(struct fake_cluster *cluster, struct fc_node *node)
{
    struct ph_event *event;
    bool worked = false;
    if (node->paused_ms > cluster->now_ms)
        return false;
    node->fake.now_ms = cluster->now_ms;
    while ((event = take_post(node))) {
        fake_submit(&node->fake, event);
        worked = true;
    }
    if (ph_hub_has_work(&node->fake.hub, cluster->now_ms)) {
        fake_work(&node->fake);
        worked = true;
    }
    return worked;
}

static void deliver(struct fake_cluster *cluster, unsigned from, unsigned to,
                    struct fc_frame *frame)
{
    struct fc_pipe *back = &cluster->pipes[to][from];
    if (cluster->nodes[to] && back->peer && back->session == frame->session) {
        struct ph_event *event = ph_event_create(PH_EVENT_FRAME);
        event->frame.peer = back->peer;
        event->frame.bytes = frame->text;
        frame->text = (struct ph_text)PH_TEXT_INIT;
        fc_post_event(&cluster->nodes[to]->fake.hub, event);
    }
    drop_frame(frame);
}

static bool pump_pipe(struct fake_cluster *cluster, unsigned from, unsigned to)
{
    struct fc_pipe *pipe = &cluster->pipes[from][to];
    bool moved = false;
    renew_link(cluster, from, to);
    while (pipe->first && !pipe->cut && pipe->first->due_ms <= cluster->now_ms) {
        deliver(cluster, from, to, take_frame(pipe));
        moved = true;
    }
    return moved;
}

/* All that is to be done now. */
static void pump(struct fake_cluster *cluster)
{
    for (bool again = true; again;) {
        again = false;
        for (unsigned from = 0; from < FC_NODES; from++)
            for (unsigned to = 0; to < FC_NODES; to++)
                again |= from != to && pump_pipe(cluster, from, to);
        for (unsigned index = 0; index < FC_NODES; index++)
            if (cluster->nodes[index])
                again |= work_node(cluster, cluster->nodes[index]) | sync_disk(cluster, index);
    }
}

static uint64_t next_ms(struct fake_cluster *cluster)
{
    uint64_t next = PH_NEVER;
    for (unsigned from = 0; from < FC_NODES; from++) {
        if (cluster->nodes[from]) {
            uint64_t deadline = ph_hub_next_deadline(&cluster->nodes[from]->fake.hub);
            uint64_t paused_ms = cluster->nodes[from]->paused_ms;
            deadline = deadline < paused_ms ? paused_ms : deadline;
            next = deadline < next ? deadline : next;
        }
        for (unsigned to = 0; to < FC_NODES; to++) {
            const struct fc_pipe *pipe = &cluster->pipes[from][to];
            if (pipe->first && !pipe->cut && pipe->first->due_ms < next)
                next = pipe->first->due_ms;
        }
    }
    return next;
}

void fc_run(struct fake_cluster *cluster, uint64_t ms)
{
    uint64_t end_ms = cluster->now_ms + ms, next;
    pump(cluster);
    while ((next = next_ms(cluster)) <= end_ms) {
        if (next > cluster->now_ms)
            cluster->now_ms = next;
        pump(cluster);
    }
    cluster->now_ms = end_ms;
    for (unsigned index = 0; index < FC_NODES; index++)
        if (cluster->nodes[index])
            cluster->nodes[index]->fake.now_ms = end_ms;
}
