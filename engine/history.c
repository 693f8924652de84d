#include "engine/history.h"

#include <stdatomic.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/limits.h"
#include "engine/rcu.h"

enum { TEXT_MAX = 4000, NAME_MAX_BYTES = 255 };

/* One record as it lies in a chunk, followed by three texts with their NULs. Its seq is its place
 * in the chunk; 13 bytes and the texts, because a large hub writes one for every child that it
 * starts. */
struct entry {
    uint32_t now_delta;   /* ms since the chunk's first record */
    uint32_t cause_delta; /* how far back the cause is; 0: there is none */
    uint16_t text_length;
    uint8_t type_length, id_length, priority;
    char texts[];
};

struct chunk {
    _Atomic(struct chunk *) next; /* published once, when this chunk is full */
    uint64_t first_seq;           /* immutable once published */
    uint64_t first_ms;            /* written with the first record, read after `committed` */
    atomic_size_t committed;      /* bytes that readers may read */
    _Alignas(4) char bytes[];
};

enum { CHUNK_CAPACITY = PH_HISTORY_CHUNK_BYTES - offsetof(struct chunk, bytes) };

_Static_assert(sizeof(struct entry) + TEXT_MAX + 2 * NAME_MAX_BYTES + 8 <= CHUNK_CAPACITY,
               "every record fits an empty chunk");

struct ph_history {
    /* Writer only. */
    struct chunk *newest;
    unsigned chunk_count;
    uint64_t next_seq;
    /* Writer writes, any thread reads. */
    _Atomic(struct chunk *) oldest;
    _Atomic uint64_t last;
};

static struct chunk *create_chunk(uint64_t first_seq)
{
    struct chunk *chunk = ph_alloc(PH_HISTORY_CHUNK_BYTES);
    atomic_init(&chunk->next, NULL);
    atomic_init(&chunk->committed, 0);
    chunk->first_seq = first_seq;
    return chunk;
}

struct ph_history *ph_history_create(void)
{
    struct ph_history *history = ph_alloc(sizeof *history);
    history->next_seq = 1;
    history->newest = create_chunk(1);
    history->chunk_count = 1;
    atomic_init(&history->last, 0);
    atomic_init(&history->oldest, history->newest);
    return history;
}

void ph_history_destroy(struct ph_history *history)
{
    if (!history)
        return;
    struct chunk *chunk = ph_rcu_load(&history->oldest);
    while (chunk) {
        struct chunk *next = ph_rcu_load(&chunk->next);
        ph_free(chunk);
        chunk = next;
    }
    ph_free(history);
}

/* Begins a new chunk and retracts the oldest one when there are enough. */
static void turn_over(struct ph_history *history)
{
    struct chunk *chunk = create_chunk(history->next_seq);
    ph_rcu_publish(&history->newest->next, chunk); /* pairs with the load in ph_history_each_rcu */
    history->newest = chunk;
    if (history->chunk_count < PH_HISTORY_CHUNKS) {
        history->chunk_count++;
        return;
    }
    struct chunk *oldest = ph_rcu_load(&history->oldest);
    ph_rcu_publish(&history->oldest, ph_rcu_load(&oldest->next));
    ph_rcu_free(oldest);
}

/* Length of a text as it is kept: at most `most` bytes, not in the middle of a character. */
static size_t kept_length(const char *text, size_t most)
{
    size_t length = text ? strnlen(text, most + 1) : 0;
    if (length <= most)
        return length;
    length = most;
    while (length > most - 4 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

static char *put_text(char *at, const char *text, size_t length)
{
    if (length)
        memcpy(at, text, length);
    at[length] = '\0';
    return at + length + 1;
}

static size_t entry_bytes(const struct entry *lengths)
{
    size_t bytes = offsetof(struct entry, texts) + lengths->type_length + lengths->id_length +
                   lengths->text_length + 3u;
    return (bytes + 3) / 4 * 4;
}

/* The chunk for an entry of that size now: a new one when the newest is full or too old for a
 * delta. */
static struct chunk *chunk_for(struct ph_history *history, size_t bytes, uint64_t now_ms)
{
    struct chunk *chunk = history->newest;
    size_t used = atomic_load_explicit(&chunk->committed, memory_order_relaxed);
    bool old = used && (now_ms < chunk->first_ms || now_ms - chunk->first_ms > UINT32_MAX);
    if (bytes > CHUNK_CAPACITY - used || old) {
        turn_over(history);
        chunk = history->newest;
        used = 0;
    }
    if (used == 0)
        chunk->first_ms = now_ms;
    return chunk;
}

uint64_t ph_history_append(struct ph_history *history, const struct ph_record *record)
{
    uint64_t seq = history->next_seq;
    uint64_t back = record->cause && record->cause < seq ? seq - record->cause : 0;
    struct entry head = {
        .cause_delta = back <= UINT32_MAX ? (uint32_t)back : 0,
        .text_length = (uint16_t)kept_length(record->text, TEXT_MAX),
        .type_length = (uint8_t)kept_length(record->type, NAME_MAX_BYTES),
        .id_length = (uint8_t)kept_length(record->id, NAME_MAX_BYTES),
        .priority = record->priority,
    };
    size_t bytes = entry_bytes(&head);
    struct chunk *chunk = chunk_for(history, bytes, record->now_ms);
    size_t used = atomic_load_explicit(&chunk->committed, memory_order_relaxed);
    struct entry *entry = (void *)(chunk->bytes + used);
    head.now_delta = (uint32_t)(record->now_ms - chunk->first_ms);
    memcpy(entry, &head, offsetof(struct entry, texts));
    char *at = put_text(entry->texts, record->type, head.type_length);
    at = put_text(at, record->id, head.id_length);
    put_text(at, record->text, head.text_length);
    history->next_seq++;
    /* release: pairs with the acquire in each_of; the whole entry is visible with its bytes. */
    atomic_store_explicit(&chunk->committed, used + bytes, memory_order_release);
    /* release: pairs with ph_history_last; who sees the seq finds the record. */
    atomic_store_explicit(&history->last, seq, memory_order_release);
    return seq;
}

uint64_t ph_history_last(const struct ph_history *history)
{
    return atomic_load_explicit(&history->last, memory_order_acquire); /* pairs with append */
}

struct visit {
    uint64_t after;
    bool (*fn)(void *arg, const struct ph_record *);
    void *arg;
};

/* Visits the records of one chunk: false when the visitor has enough. */
static bool each_of(const struct chunk *chunk, const struct visit *visit)
{
    /* acquire: pairs with the release in ph_history_append. */
    size_t end = atomic_load_explicit(&chunk->committed, memory_order_acquire);
    uint64_t seq = chunk->first_seq;
    for (size_t at = 0; at < end; seq++) {
        const struct entry *entry = (const void *)(chunk->bytes + at);
        at += entry_bytes(entry);
        if (seq <= visit->after)
            continue;
        const char *id = entry->texts + entry->type_length + 1;
        struct ph_record record = {
            .seq = seq,
            .cause = entry->cause_delta ? seq - entry->cause_delta : 0,
            .now_ms = chunk->first_ms + entry->now_delta,
            .priority = entry->priority,
            .type = entry->texts,
            .id = id,
            .text = id + entry->id_length + 1,
        };
        if (!visit->fn(visit->arg, &record))
            return false;
    }
    return true;
}

uint64_t ph_history_each_rcu(const struct ph_history *history, uint64_t after,
                             bool (*fn)(void *arg, const struct ph_record *), void *arg)
{
    const struct visit visit = {.after = after, .fn = fn, .arg = arg};
    const struct chunk *chunk = ph_rcu_load(&history->oldest);
    uint64_t oldest_seq = chunk->first_seq;
    while (chunk) {
        /* Before the bytes: a chunk that has a successor is complete. */
        const struct chunk *next = ph_rcu_load(&chunk->next);
        bool skip = next && next->first_seq - 1 <= after;
        if (!skip && !each_of(chunk, &visit))
            break;
        chunk = next;
    }
    return oldest_seq;
}
