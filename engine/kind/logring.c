#include "engine/kind/logring.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"

enum { FIRST_BYTES = 4096, FLAG_ERROR = 1u << 31, FLAG_PARTIAL = 1u << 30 };

/* A line in the ring: head, text, then `word` again, so that one can walk both ways. */
struct head {
    int64_t wall_ms;
    uint32_t word; /* length and flags */
} __attribute__((packed));

enum { EXTRA = sizeof(struct head) + sizeof(uint32_t) };

static size_t length_of(uint32_t word)
{
    return word & (FLAG_PARTIAL - 1);
}

static void peek(const struct ph_logring *ring, size_t offset, void *into, size_t length)
{
    size_t at = ring->first + offset;
    if (at >= ring->size)
        at -= ring->size;
    size_t run = ring->size - at < length ? ring->size - at : length;
    memcpy(into, ring->bytes + at, run);
    memcpy((char *)into + run, ring->bytes, length - run);
}

static void poke(struct ph_logring *ring, const void *from, size_t length)
{
    if (length == 0)
        return;
    size_t at = ring->first + ring->used;
    if (at >= ring->size)
        at -= ring->size;
    size_t run = ring->size - at < length ? ring->size - at : length;
    memcpy(ring->bytes + at, from, run);
    memcpy(ring->bytes, (const char *)from + run, length - run);
    ring->used += length;
}

static void drop_oldest(struct ph_logring *ring)
{
    struct head head;
    peek(ring, 0, &head, sizeof head);
    size_t bytes = length_of(head.word) + EXTRA;
    ph_assert(bytes <= ring->used);
    ring->first = (ring->first + bytes) % ring->size;
    ring->used -= bytes;
    ring->lines--;
}

static void resize(struct ph_logring *ring, size_t size)
{
    char *bytes = ph_alloc(size);
    while (ring->used > size)
        drop_oldest(ring);
    if (ring->used)
        peek(ring, 0, bytes, ring->used);
    ph_free(ring->bytes);
    ring->bytes = bytes;
    ring->size = size;
    ring->first = 0;
}

void ph_logring_set_capacity(struct ph_logring *ring, size_t capacity)
{
    ring->capacity = capacity;
    if (ring->size > capacity)
        resize(ring, capacity);
}

void ph_logring_fini(struct ph_logring *ring)
{
    ph_free(ring->bytes);
    for (size_t i = 0; i < PH_LOG_STREAMS; i++)
        ph_free(ring->tails[i].bytes);
    *ring = (struct ph_logring){0};
}

static bool make_room(struct ph_logring *ring, size_t bytes)
{
    if (bytes > ring->capacity)
        return false;
    size_t size = ring->size ? ring->size : FIRST_BYTES;
    while (size < ring->used + bytes && size < ring->capacity)
        size *= 2;
    if (size > ring->capacity)
        size = ring->capacity;
    if (size != ring->size)
        resize(ring, size);
    while (ring->size - ring->used < bytes)
        drop_oldest(ring);
    return true;
}

static void add_line(struct ph_logring *ring, bool error, bool partial, const char *text,
                     size_t length, int64_t wall_ms)
{
    ring->next_seq = ph_logring_last(ring) + 2;
    if (!make_room(ring, length + EXTRA)) {
        while (ring->lines) /* seqs in the ring have no gaps */
            drop_oldest(ring);
        return;
    }
    struct head head = {
        .wall_ms = wall_ms,
        .word = (uint32_t)length | (error ? FLAG_ERROR : 0) | (partial ? FLAG_PARTIAL : 0),
    };
    poke(ring, &head, sizeof head);
    poke(ring, text, length);
    poke(ring, &head.word, sizeof head.word);
    ring->lines++;
}

static void keep_tail(struct ph_logtail *tail, const char *bytes, size_t length)
{
    if (!tail->bytes)
        tail->bytes = ph_alloc(PH_LOG_LINE_MAX);
    memcpy(tail->bytes + tail->length, bytes, length);
    tail->length += length;
}

/* Takes what belongs to one line from the front of `bytes` and returns how much that was. */
static size_t take_piece(struct ph_logring *ring, bool error, const char *bytes, size_t length,
                         int64_t wall_ms)
{
    struct ph_logtail *tail = &ring->tails[error];
    size_t room = PH_LOG_LINE_MAX - tail->length;
    size_t window = length < room + 1 ? length : room + 1; /* a full line may still end here */
    const char *newline = memchr(bytes, '\n', window);
    if (!newline && window <= room) {
        keep_tail(tail, bytes, window);
        return window;
    }
    size_t piece = newline ? (size_t)(newline - bytes) : room;
    if (tail->length == 0) {
        add_line(ring, error, !newline, bytes, piece, wall_ms);
    } else {
        keep_tail(tail, bytes, piece);
        add_line(ring, error, !newline, tail->bytes, tail->length, wall_ms);
        tail->length = 0;
    }
    return newline ? piece + 1 : piece;
}

void ph_logring_write(struct ph_logring *ring, bool error, const char *bytes, size_t length,
                      int64_t wall_ms)
{
    while (length > 0) {
        size_t taken = take_piece(ring, error, bytes, length, wall_ms);
        bytes += taken;
        length -= taken;
    }
}

void ph_logring_flush(struct ph_logring *ring, int64_t wall_ms)
{
    for (size_t i = 0; i < PH_LOG_STREAMS; i++) {
        struct ph_logtail *tail = &ring->tails[i];
        if (tail->length)
            add_line(ring, i == 1, false, tail->bytes, tail->length, wall_ms);
        ph_free(tail->bytes);
        *tail = (struct ph_logtail){0};
    }
}

uint64_t ph_logring_last(const struct ph_logring *ring)
{
    return ring->next_seq ? ring->next_seq - 1 : 0;
}

uint64_t ph_logring_dropped(const struct ph_logring *ring)
{
    return ph_logring_last(ring) - ring->lines;
}

size_t ph_logcopy_bytes(size_t length)
{
    return (sizeof(struct ph_logcopy) + length + 7) & ~(size_t)7;
}

/* Walks back from the newest line to the first one wanted: its offset, and its seq in *seq. */
static size_t find_first(const struct ph_logring *ring, uint64_t after, size_t limit, uint64_t *seq)
{
    uint64_t last = ph_logring_last(ring);
    uint64_t count = last > after ? last - after : 0;
    if (count > ring->lines)
        count = ring->lines;
    if (limit && count > limit)
        count = limit;
    size_t offset = ring->used;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t word;
        peek(ring, offset - sizeof word, &word, sizeof word);
        offset -= length_of(word) + EXTRA;
    }
    *seq = last - count + 1;
    return offset;
}

size_t ph_logring_copy(const struct ph_logring *ring, uint64_t after, size_t limit, char *out,
                       size_t bytes, bool *more)
{
    uint64_t seq;
    size_t offset = find_first(ring, after, limit, &seq);
    size_t used = 0;
    while (offset < ring->used) {
        struct head head;
        peek(ring, offset, &head, sizeof head);
        size_t length = length_of(head.word);
        if (used + ph_logcopy_bytes(length) > bytes)
            break;
        struct ph_logcopy *copy = (struct ph_logcopy *)(void *)(out + used);
        *copy = (struct ph_logcopy){.seq = seq++,
                                    .wall_ms = head.wall_ms,
                                    .length = (uint32_t)length,
                                    .error = head.word & FLAG_ERROR,
                                    .partial = head.word & FLAG_PARTIAL};
        peek(ring, offset + sizeof head, copy + 1, length);
        offset += length + EXTRA;
        used += ph_logcopy_bytes(length);
    }
    *more = offset < ring->used;
    return used;
}
