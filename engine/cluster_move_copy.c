/* What goes ahead of a child that moves: a copy of its state, and in the end what has changed
 * since. See cluster_move.h. */
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_move.h"

enum {
    /* Pieces grow with each answer, so that a short copy is as quick as a long one is. What they
     * cost in one step stays below a millisecond. */
    PIECE_FIRST = 4 * PH_BLOCK_BYTES,
    PIECE_MAX = 128 * PH_BLOCK_BYTES,
    PIECES_UNDER_WAY = 4,
    COPIES_BYTES_MAX = 64 * 1024 * 1024, /* that are kept for others; one may be larger */
};

/* ---- The source ------------------------------------------------------------------------------ */

static void copy_late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    ph_move_call_off(hub, ph_container_of(timer, struct ph_transfer, deadline),
                     "the target has not taken a copy of its state in time, or was cut off");
}

/* Of a COPY behind what all records have: length of the whole, place of the piece, its bytes. */
static void send_piece(struct ph_hub *hub, struct ph_transfer *move)
{
    struct ph_precopy *copy = move->copy;
    uint64_t left = copy->length - copy->done;
    size_t length = left < copy->piece_bytes ? (size_t)left : copy->piece_bytes;
    const char *piece = copy->bytes.data + copy->done;
    struct ph_text *records = ph_move_put(hub, move, PH_MOVE_COPY);
    ph_pack_uint(records, copy->length);
    ph_pack_uint(records, copy->done);
    ph_pack_bin(records, piece, length);
    ph_sums_read(&copy->sums, copy->bytes.data, copy->done, length);
    copy->done += length;
    copy->unanswered++;
}

void ph_move_copy_begin(struct ph_hub *hub, struct ph_transfer *move, struct ph_text *bytes)
{
    move->copy = ph_alloc(sizeof *move->copy);
    move->copy->length = bytes->length;
    move->copy->bytes = *bytes;
    move->copy->piece_bytes = PIECE_FIRST;
    *bytes = PH_TEXT_INIT;
    ph_sums_init(&move->copy->sums, move->copy->length);
    ph_move_reserve(hub, move, move->copy->length);
    move->phase = PH_MOVE_COPYING;
    send_piece(hub, move);
    ph_move_arm(hub, move, hub->options.migrate_timeout_ms, copy_late);
}

void ph_move_copy_drop(struct ph_transfer *move)
{
    if (!move->copy)
        return;
    ph_text_fini(&move->copy->bytes);
    ph_sums_fini(&move->copy->sums);
    ph_free(move->copy);
    move->copy = NULL;
}

/* The target takes no copy: its state goes as a whole, when it is its turn. */
static void do_without(struct ph_hub *hub, struct ph_transfer *move)
{
    ph_move_copy_drop(move);
    ph_move_reserve(hub, move, 0);
    move->whole = true;
    move->phase = PH_MOVE_PREPARING;
    ph_move_queue(hub, move);
}

void ph_move_copy_answered(struct ph_hub *hub, struct ph_transfer *move, int code)
{
    struct ph_precopy *copy = move->copy;
    if (code) {
        do_without(hub, move);
        return;
    }
    copy->unanswered -= copy->unanswered > 0;
    copy->piece_bytes *= copy->piece_bytes < PIECE_MAX ? 2 : 1;
    for (unsigned i = 0; i < 2 && copy->done < copy->length; i++)
        if (copy->unanswered < PIECES_UNDER_WAY)
            send_piece(hub, move);
    if (copy->unanswered)
        ph_move_arm(hub, move, hub->options.migrate_timeout_ms, copy_late);
    else {
        ph_text_clear(&copy->bytes);
        ph_move_hold_still(hub, move); /* its bytes are reserved */
    }
}

static uint32_t count_changes(const struct ph_sums *state, const struct ph_sums *copy)
{
    uint32_t count = 0;
    uint64_t at = 0, length;
    for (; ph_sums_next_change(state, copy, &at, &length); at += length)
        count++;
    return count;
}

/* Length of the state, its checksum, changes: each first block, bytes. */
void ph_move_pack_patch(struct ph_text *records, const struct ph_transfer *move,
                        struct ph_sums *sums)
{
    const struct ph_sums *copy = &move->copy->sums;
    uint64_t at = 0, length;
    if (!sums->blocks) {
        ph_sums_init(sums, move->state.length);
        ph_sums_read(sums, ph_text_str(&move->state), 0, move->state.length);
    }
    ph_pack_uint(records, sums->length);
    ph_pack_uint(records, ph_sums_checksum(sums));
    ph_pack_array(records, count_changes(sums, copy));
    for (; ph_sums_next_change(sums, copy, &at, &length); at += length) {
        ph_pack_uint(records, at / PH_BLOCK_BYTES);
        ph_pack_bin(records, move->state.data + at, (size_t)length);
    }
}

/* ---- The target ------------------------------------------------------------------------------ */

/* Whole blocks, but for the last one of the state. */
static bool fits(uint64_t at, uint64_t length, uint64_t whole)
{
    return at % PH_BLOCK_BYTES == 0 && length && at <= whole && length <= whole - at &&
           (length % PH_BLOCK_BYTES == 0 || length == whole - at);
}

void ph_move_read_piece(struct ph_unpack *frame, struct ph_piece *piece)
{
    piece->whole = ph_unpack_uint(frame, PH_STATE_BYTES_MAX);
    piece->at = ph_unpack_uint(frame, PH_STATE_BYTES_MAX);
    piece->bytes = ph_unpack_bin(frame, PIECE_MAX, &piece->length);
    if (!frame->broken && !fits(piece->at, piece->length, piece->whole))
        ph_unpack_fail(frame);
}

/* The next change, behind those up to `end`. */
static const void *next_change(struct ph_unpack *frame, uint64_t whole, uint64_t *at, uint64_t end,
                               size_t *length)
{
    *at = ph_unpack_uint(frame, PH_BLOCKS_MAX) * PH_BLOCK_BYTES;
    const void *bytes = ph_unpack_bin(frame, PH_STATE_BYTES_MAX, length);
    if (!frame->broken && (*at < end || !fits(*at, *length, whole)))
        ph_unpack_fail(frame);
    return bytes;
}

void ph_move_read_patch(struct ph_unpack *frame, struct ph_patch *patch)
{
    uint64_t at, end = 0;
    size_t length;
    patch->length = ph_unpack_uint(frame, PH_STATE_BYTES_MAX);
    patch->checksum = ph_unpack_uint(frame, UINT64_MAX);
    patch->changes = *frame;
    patch->changed = 0;
    uint32_t count = ph_unpack_array(frame, PH_BLOCKS_MAX);
    for (uint32_t i = 0; i < count && !frame->broken; i++) {
        (void)next_change(frame, patch->length, &at, end, &length);
        end = at + length;
        patch->changed += length;
    }
}

static bool has_room(const struct ph_hub *hub, const struct ph_piece *piece)
{
    uint64_t bytes = hub->cluster->copies_bytes;
    return bytes == 0 || bytes + piece->whole <= COPIES_BYTES_MAX;
}

int ph_move_take_piece(struct ph_hub *hub, struct ph_transfer *move, const struct ph_piece *piece,
                       const char **why)
{
    *why = "there is no room for a copy of its state";
    if (!move->copy && piece->at == 0) {
        if (!has_room(hub, piece))
            return PH_ELIMIT;
        move->copy = ph_alloc(sizeof *move->copy);
        move->copy->length = piece->whole;
        ph_sums_init(&move->copy->sums, piece->whole);
        ph_text_reserve(&move->copy->bytes, (size_t)piece->whole);
        ph_move_reserve(hub, move, piece->whole);
        move->bytes = piece->whole;
    }
    struct ph_precopy *copy = move->copy;
    *why = "a piece of its state does not belong to what came before";
    if (!copy || copy->length != piece->whole || copy->done != piece->at)
        return PH_EREFUSED;
    ph_text_append(&copy->bytes, piece->bytes, piece->length);
    ph_sums_read(&copy->sums, copy->bytes.data, piece->at, piece->length);
    copy->done += piece->length;
    return 0;
}

/* What was read as a patch, so it is one. */
static void apply(struct ph_precopy *copy, const struct ph_patch *patch)
{
    struct ph_unpack changes = patch->changes;
    uint32_t count = ph_unpack_array(&changes, PH_BLOCKS_MAX);
    uint64_t at, end = 0;
    size_t length;
    ph_text_resize(&copy->bytes, (size_t)patch->length);
    ph_sums_resize(&copy->sums, patch->length);
    for (uint32_t i = 0; i < count; i++) {
        const void *bytes = next_change(&changes, patch->length, &at, end, &length);
        memcpy(copy->bytes.data + at, bytes, length);
        ph_sums_read(&copy->sums, copy->bytes.data, at, length);
        end = at + length;
    }
}

bool ph_move_take_patch(struct ph_transfer *move, const struct ph_patch *patch,
                        struct ph_text *state, const char **why)
{
    struct ph_precopy *copy = move->copy;
    *why = "there is no copy of its state to go on from";
    if (!copy || copy->done != copy->length)
        return false;
    apply(copy, patch);
    *why = "its state is not the one that was saved: the checksum differs";
    if (ph_sums_checksum(&copy->sums) != patch->checksum)
        return false;
    *state = copy->bytes;
    copy->bytes = PH_TEXT_INIT;
    ph_move_copy_drop(move);
    return true;
}
