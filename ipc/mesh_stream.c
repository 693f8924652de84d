/* The streams of a session: cut into frames, sent again until acknowledged, put together. */
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "ipc/mesh_inside.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t window_min(const struct ph_mesh *mesh)
{
    return least(mesh->setup.window_bytes, 2 * mesh->setup.chunk_bytes);
}

void ph_mesh_stream_init(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    link->out = (struct ph_mesh_out){
        .window = least(mesh->setup.window_bytes, 4 * mesh->setup.chunk_bytes),
        .credit = mesh->setup.window_bytes,
        .rto_ms = 2 * mesh->setup.rto_min_ms,
        .rtt_min_ms = UINT64_MAX,
        .rto_at = UINT64_MAX,
    };
    link->out.queue_end = &link->out.queue;
    link->out.sent_end = &link->out.sent;
    link->in = (struct ph_mesh_in){.ack_at = UINT64_MAX};
}

static void free_message(struct ph_mesh_message *message)
{
    ph_text_fini(&message->bytes);
    ph_free(message);
}

static void free_sent(struct ph_mesh *mesh, struct ph_mesh_sent *sent)
{
    if (mesh->spare_count < PH_MESH_SPARES_MAX) {
        sent->next = mesh->spares;
        mesh->spares = sent;
        mesh->spare_count++;
        return;
    }
    ph_text_fini(&sent->frame);
    ph_free(sent);
}

static struct ph_mesh_sent *new_sent(struct ph_mesh *mesh)
{
    struct ph_mesh_sent *sent = mesh->spares;
    if (!sent)
        return ph_alloc(sizeof *sent);
    mesh->spares = sent->next;
    mesh->spare_count--;
    *sent = (struct ph_mesh_sent){.frame = sent->frame};
    return sent;
}

void ph_mesh_stream_free_spares(struct ph_mesh *mesh)
{
    while (mesh->spares) {
        struct ph_mesh_sent *sent = new_sent(mesh);
        ph_text_fini(&sent->frame);
        ph_free(sent);
    }
}

void ph_mesh_stream_fini(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    for (struct ph_mesh_message *message = link->out.queue, *next; message; message = next) {
        next = message->next;
        free_message(message);
    }
    for (struct ph_mesh_sent *sent = link->out.sent, *next; sent; sent = next) {
        next = sent->next;
        free_sent(mesh, sent);
    }
    ph_text_fini(&link->in.message);
}

/* ---- Out ------------------------------------------------------------------------------------ */

void ph_mesh_stream_queue(struct ph_mesh *mesh, struct ph_mesh_link *link, const char *hub,
                          unsigned flags, struct ph_text *bytes)
{
    if (bytes->length > mesh->setup.message_bytes_max || strlen(hub) > PH_NAME_MAX) {
        ph_mesh_refuse(mesh, PH_MESH_LIMIT);
        ph_text_fini(bytes);
        return;
    }
    struct ph_mesh_message *message = ph_alloc(sizeof *message);
    message->bytes = *bytes;
    *bytes = (struct ph_text)PH_TEXT_INIT;
    message->flags = flags;
    message->hub_length = strlen(hub);
    memcpy(message->hub, hub, message->hub_length);
    *link->out.queue_end = message;
    link->out.queue_end = &message->next;
    link->out.queued_bytes += message->bytes.length + sizeof *message;
    link->stats.messages_out++;
    mesh->totals.messages_out++;
    if (link->out.queued_bytes > mesh->setup.queue_bytes_max) {
        ph_mesh_refuse(mesh, PH_MESH_LIMIT);
        link->broken = true;
    }
}

void ph_mesh_acknowledged(struct ph_mesh_link *link)
{
    link->in.ack_at = UINT64_MAX;
    link->in.unacked_bytes = link->in.unacked_frames = 0;
    link->in.gap = false;
}

static void transmit_sent(struct ph_mesh *mesh, struct ph_mesh_link *link,
                          struct ph_mesh_sent *sent)
{
    struct ph_wire_header header = ph_mesh_header(mesh, link, PH_WIRE_STREAM);
    header.sequence = sent->sequence;
    sent->sent_ms = mesh->now_ms;
    sent->on_wire = true;
    link->out.wire_bytes += sent->frame.length;
    if (link->out.rto_at == UINT64_MAX)
        link->out.rto_at = mesh->now_ms + link->out.rto_ms;
    ph_mesh_transmit(mesh, link, header, sent->frame.data, sent->frame.length);
}

/* Appends the next piece of the first message; false when the frame has no room for one. */
static bool append_piece(const struct ph_mesh *mesh, struct ph_mesh_out *out, struct ph_text *frame)
{
    struct ph_mesh_message *message = out->queue;
    size_t taken = frame->length - PH_WIRE_HEADER + PH_WIRE_RECORD_OVERHEAD;
    size_t left = message->bytes.length - message->at;
    if (taken >= mesh->setup.chunk_bytes)
        return false;
    size_t room = mesh->setup.chunk_bytes - taken;
    size_t length = left < room ? left : room;
    struct ph_wire_record record = {
        .flags = message->flags | (message->at ? 0 : PH_WIRE_FIRST) |
                 (length == left ? PH_WIRE_LAST : 0),
        .hub = message->hub,
        .hub_length = message->hub_length,
        .total = message->bytes.length,
        .bytes = message->bytes.data ? message->bytes.data + message->at : "",
        .length = length,
    };
    ph_wire_put_record(frame, &record);
    message->at += length;
    out->queued_bytes -= length;
    if (length == left) {
        out->queued_bytes -= sizeof *message;
        out->queue = message->next;
        if (!out->queue)
            out->queue_end = &out->queue;
        free_message(message);
    }
    return true;
}

static struct ph_mesh_sent *cut_frame(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    struct ph_mesh_out *out = &link->out;
    struct ph_mesh_sent *sent = new_sent(mesh);
    ph_wire_begin(&sent->frame);
    while (out->queue && append_piece(mesh, out, &sent->frame))
        continue;
    sent->sequence = ++out->sequence;
    out->queued_bytes += sent->frame.length;
    out->frames++;
    *out->sent_end = sent;
    out->sent_end = &sent->next;
    return sent;
}

static uint64_t window_left(const struct ph_mesh_out *out)
{
    uint64_t window = least(out->window, out->credit);
    return window > out->wire_bytes ? window - out->wire_bytes : 0;
}

/* May the next frame go out? With nothing on the way one always may, however small the window. */
static bool may_send(const struct ph_mesh *mesh, const struct ph_mesh_out *out)
{
    if (out->wire_bytes == 0)
        return out->cursor || out->queue;
    if (out->cursor)
        return window_left(out) >= out->cursor->frame.length;
    return out->queue && out->frames < PH_MESH_FRAMES_MAX &&
           window_left(out) >= least(out->queued_bytes, mesh->setup.chunk_bytes) + PH_WIRE_HEADER;
}

static void pump(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    struct ph_mesh_out *out = &link->out;
    while (may_send(mesh, out)) {
        struct ph_mesh_sent *sent = out->cursor;
        if (sent) {
            out->cursor = sent->next;
            sent->again = true;
            link->stats.retransmits++;
            mesh->totals.retransmits++;
        } else {
            sent = cut_frame(mesh, link);
        }
        transmit_sent(mesh, link, sent);
    }
}

/* Everything that is not acknowledged is sent again, as far as the window goes, which is halved. */
static void go_back(struct ph_mesh *mesh, struct ph_mesh_out *out)
{
    for (struct ph_mesh_sent *sent = out->sent; sent; sent = sent->next)
        sent->on_wire = false;
    out->cursor = out->sent;
    out->wire_bytes = 0;
    out->window = most(out->window / 2, window_min(mesh));
    out->gaps = 0;
    out->gaps_from_ms = mesh->now_ms + out->rtt_ms + mesh->setup.ack_delay_ms;
    out->rto_at = UINT64_MAX;
}

/* A round trip was measured (RFC 6298). The window grows while little waits on the way. */
static void measure(const struct ph_mesh *mesh, struct ph_mesh_out *out, uint64_t rtt_ms,
                    uint64_t acked_bytes)
{
    uint64_t off = rtt_ms > out->rtt_ms ? rtt_ms - out->rtt_ms : out->rtt_ms - rtt_ms;
    if (out->rtt_min_ms == UINT64_MAX) {
        out->rtt_ms = rtt_ms;
        out->deviation_ms = rtt_ms / 2;
    } else {
        out->deviation_ms = (3 * out->deviation_ms + off) / 4;
        out->rtt_ms = (7 * out->rtt_ms + rtt_ms) / 8;
    }
    out->rtt_min_ms = least(out->rtt_min_ms, rtt_ms);
    out->rto_ms = out->rtt_ms + most(4 * out->deviation_ms, mesh->setup.ack_delay_ms);
    out->rto_ms = least(most(out->rto_ms, mesh->setup.rto_min_ms), PH_MESH_RTO_MAX_MS);
    uint64_t waited = rtt_ms - out->rtt_min_ms;
    if (waited <= PH_MESH_DELAY_MS) {
        out->window = least(out->window + acked_bytes, mesh->setup.window_bytes);
    } else if (waited > 2 * PH_MESH_DELAY_MS && out->acked > out->shrink_after) {
        out->window = most(out->window / 2, window_min(mesh));
        out->shrink_after = out->sequence;
    }
}

/* Drops what has arrived: how many bytes. */
static uint64_t drop_acked(struct ph_mesh *mesh, struct ph_mesh_out *out, uint64_t ack,
                           uint64_t *sent_ms)
{
    uint64_t bytes = 0;
    while (out->sent && out->sent->sequence <= ack) {
        struct ph_mesh_sent *sent = out->sent;
        if (out->cursor == sent)
            out->cursor = sent->next;
        if (sent->on_wire)
            out->wire_bytes -= sent->frame.length;
        *sent_ms = sent->again ? UINT64_MAX : sent->sent_ms;
        bytes += sent->frame.length;
        out->queued_bytes -= sent->frame.length;
        out->frames--;
        out->sent = sent->next;
        free_sent(mesh, sent);
    }
    if (!out->sent)
        out->sent_end = &out->sent;
    return bytes;
}

void ph_mesh_take_ack(struct ph_mesh *mesh, struct ph_mesh_link *link,
                      const struct ph_wire_header *header)
{
    struct ph_mesh_out *out = &link->out;
    if (header->ack > out->sequence) {
        ph_mesh_refuse(mesh, PH_MESH_WINDOW);
        return;
    }
    out->credit = header->credit;
    if (header->ack > out->acked) {
        uint64_t sent_ms = UINT64_MAX;
        uint64_t bytes = drop_acked(mesh, out, header->ack, &sent_ms);
        out->acked = header->ack;
        out->gaps = 0;
        if (sent_ms != UINT64_MAX)
            measure(mesh, out, mesh->now_ms - sent_ms, bytes);
        out->rto_at = out->wire_bytes ? mesh->now_ms + out->rto_ms : UINT64_MAX;
    } else if ((header->flags & PH_WIRE_GAP) && header->ack == out->acked && out->sent &&
               mesh->now_ms >= out->gaps_from_ms && ++out->gaps == PH_MESH_GAPS) {
        go_back(mesh, out);
    }
}

/* ---- In ------------------------------------------------------------------------------------- */

/* `whole`: a record of a whole message. */
static void deliver(struct ph_mesh *mesh, struct ph_mesh_link *link,
                    const struct ph_wire_record *whole)
{
    if (whole->flags & PH_WIRE_NODES) {
        ph_mesh_take_nodes(mesh, link, whole->bytes, whole->length);
        return;
    }
    link->stats.messages_in++;
    mesh->totals.messages_in++;
    mesh->setup.port->frame(mesh->setup.context, link->peer.number, whole->hub, whole->hub_length,
                            whole->bytes, whole->length);
}

static bool begin_message(struct ph_mesh_in *in, const struct ph_wire_record *record)
{
    if (in->open)
        return false;
    in->open = true;
    in->total = record->total;
    in->flags = record->flags & PH_WIRE_NODES;
    in->hub_length = record->hub_length;
    memcpy(in->hub, record->hub, record->hub_length);
    return true;
}

/* Takes one record; false when it makes no sense. */
static bool take_record(struct ph_mesh *mesh, struct ph_mesh_link *link,
                        const struct ph_wire_record *record)
{
    struct ph_mesh_in *in = &link->in;
    bool first = record->flags & PH_WIRE_FIRST, last = record->flags & PH_WIRE_LAST;
    if (first && record->total > mesh->setup.message_bytes_max)
        return false;
    if (first && last && !in->open) { /* whole: no copy is needed */
        if (record->total != record->length)
            return false;
        deliver(mesh, link, record);
        return true;
    }
    if (first && !begin_message(in, record))
        return false;
    if (!in->open || (record->flags & PH_WIRE_NODES) != in->flags ||
        record->length > in->total - in->message.length)
        return false;
    ph_text_append(&in->message, record->bytes, record->length);
    if (!last)
        return true;
    if (in->message.length != in->total)
        return false;
    in->open = false;
    struct ph_text message = in->message;
    in->message = (struct ph_text)PH_TEXT_INIT;
    deliver(mesh, link,
            &(struct ph_wire_record){
                .flags = in->flags,
                .hub = in->hub,
                .hub_length = in->hub_length,
                .bytes = ph_text_str(&message),
                .length = message.length,
            });
    ph_text_fini(&message);
    return true;
}

static void take_records(struct ph_mesh *mesh, struct ph_mesh_link *link, const void *body,
                         size_t length)
{
    struct ph_unpack cursor;
    struct ph_wire_record record;
    ph_unpack_init(&cursor, body, length);
    while (!link->broken && ph_wire_next_record(&cursor, &record))
        if (!take_record(mesh, link, &record))
            ph_unpack_fail(&cursor);
    if (cursor.broken) {
        ph_mesh_refuse(mesh, PH_MESH_MALFORMED);
        link->broken = true;
    }
}

void ph_mesh_take_stream(struct ph_mesh *mesh, struct ph_mesh_link *link,
                         const struct ph_wire_header *header, const void *body)
{
    struct ph_mesh_in *in = &link->in;
    if (header->sequence != in->sequence + 1) {
        bool again = header->sequence <= in->sequence;
        bool beyond = !again && header->sequence - in->sequence > PH_MESH_FRAMES_MAX;
        ph_mesh_refuse(mesh, again ? PH_MESH_DUPLICATE : beyond ? PH_MESH_WINDOW : PH_MESH_GAP);
        in->gap = !again;
        in->ack_at = mesh->now_ms;
        /* Each frame behind a gap is told of, so that the sender can count them. */
        if (!again)
            ph_mesh_stream_tick(mesh, link);
        return;
    }
    in->sequence++;
    in->unacked_frames++;
    in->unacked_bytes += header->body_length;
    in->ack_at = least(in->ack_at, mesh->now_ms + mesh->setup.ack_delay_ms);
    uint64_t enough = least(mesh->setup.window_bytes / 4, 2 * mesh->setup.chunk_bytes);
    if (in->unacked_frames >= PH_MESH_ACK_FRAMES || in->unacked_bytes >= enough)
        in->ack_at = mesh->now_ms;
    take_records(mesh, link, body, header->body_length);
}

/* ---- Time ----------------------------------------------------------------------------------- */

void ph_mesh_stream_tick(struct ph_mesh *mesh, struct ph_mesh_link *link)
{
    struct ph_mesh_out *out = &link->out;
    if (out->rto_at <= mesh->now_ms) {
        go_back(mesh, out);
        out->rto_ms = least(2 * out->rto_ms, PH_MESH_RTO_MAX_MS);
    }
    pump(mesh, link);
    if (link->in.ack_at <= mesh->now_ms) {
        ph_wire_begin(&mesh->scratch);
        struct ph_wire_header header = ph_mesh_header(mesh, link, PH_WIRE_ACK);
        ph_mesh_transmit(mesh, link, header, mesh->scratch.data, mesh->scratch.length);
    }
}

uint64_t ph_mesh_stream_deadline(const struct ph_mesh *mesh, const struct ph_mesh_link *link)
{
    if (may_send(mesh, &link->out))
        return mesh->now_ms;
    return least(link->out.rto_at, link->in.ack_at);
}
