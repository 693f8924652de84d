#include "engine/directory.h"

#include <string.h>

#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/directory_inside.h"
#include "engine/limits.h"
#include "engine/spec.h"
#include "engine/tsan.h"

enum { GARBAGE_ITEMS = 60 };

/* What readers may still see: freed together after one grace period. */
struct garbage {
    struct rcu_head rcu;
    struct garbage *next;
    unsigned count;
    struct {
        void *memory;
        void (*release)(void *memory);
    } items[GARBAGE_ITEMS];
};

struct key {
    const char *id;
    size_t length;
};

/* ---- Life ---------------------------------------------------------------------------------- */

struct ph_directory *ph_directory_create(uint64_t secret)
{
    ph_rcu_join_thread();
    struct ph_directory *directory = ph_alloc(sizeof *directory);
    directory->secret = secret;
    ph_table_init(&directory->table);
    directory->stones_last = &directory->stones;
    return directory;
}

static void release_spec(void *memory)
{
    ph_spec_put(memory);
}

static void discard(struct ph_directory *directory, void *memory, void (*release)(void *))
{
    struct garbage *garbage = directory->garbage;
    if (!memory)
        return;
    if (!garbage || garbage->count == GARBAGE_ITEMS) {
        garbage = ph_alloc(sizeof *garbage);
        garbage->next = directory->garbage;
        directory->garbage = garbage;
    }
    garbage->items[garbage->count].memory = memory;
    garbage->items[garbage->count++].release = release;
}

static void collect(struct rcu_head *head)
{
    ph_rcu_callback_begin();
    struct garbage *garbage = ph_container_of(head, struct garbage, rcu);
    PH_TSAN_ACQUIRE(head);
    while (garbage) {
        struct garbage *next = garbage->next;
        for (unsigned i = 0; i < garbage->count; i++)
            garbage->items[i].release(garbage->items[i].memory);
        ph_free(garbage);
        garbage = next;
    }
    ph_rcu_callback_end();
}

void ph_directory_reclaim(struct ph_directory *directory)
{
    struct garbage *garbage = directory->garbage;
    directory->garbage = NULL;
    if (garbage)
        ph_rcu_call(&garbage->rcu, collect);
}

static void free_placement(void *memory)
{
    struct ph_placement *placement = memory;
    ph_free(atomic_load_explicit(&placement->reason, memory_order_relaxed));
    ph_free(placement);
}

static void free_entry(struct ph_directory *directory, struct ph_entry *entry)
{
    struct ph_placement *placement = ph_entry_first_rcu(entry);
    ph_rcu_enter();
    int rc = cds_lfht_del(directory->table.nodes, &entry->node);
    ph_rcu_exit();
    ph_assert(rc == 0);
    while (placement) {
        struct ph_placement *next = ph_placement_next_rcu(placement);
        discard(directory, placement, free_placement);
        placement = next;
    }
    discard(directory, ph_entry_spec_rcu(entry), release_spec);
    discard(directory, entry, ph_free);
}

void ph_directory_destroy(struct ph_directory *directory)
{
    if (!directory)
        return;
    ph_rcu_join_thread();
    for (size_t i = 0; i < directory->all_count; i++)
        free_entry(directory, *ph_directory_slot(directory, i));
    while (directory->log_first) {
        struct ph_own *own = directory->log_first;
        directory->log_first = own->next;
        ph_free(own);
    }
    ph_directory_reclaim(directory);
    ph_rcu_barrier();
    cds_lfht_destroy(directory->table.nodes, NULL);
    for (size_t i = 0; i < PH_DIRECTORY_CHUNKS; i++)
        ph_free(directory->chunks[i]);
    ph_free(directory);
}

/* ---- Reading ------------------------------------------------------------------------------- */

static int matches(struct cds_lfht_node *node, const void *key_pointer)
{
    const struct key *key = key_pointer;
    const struct ph_entry *entry = ph_container_of(node, struct ph_entry, node);
    PH_TSAN_ACQUIRE(entry);
    return entry->id_length == key->length && memcmp(entry->id, key->id, key->length) == 0;
}

static unsigned long hash_of(const struct ph_directory *directory, const char *id, size_t length)
{
    return (unsigned long)XXH3_64bits_withSeed(id, length, directory->secret);
}

struct ph_entry *ph_directory_find_rcu(const struct ph_directory *directory, const char *id,
                                       size_t length)
{
    struct key key = {.id = id, .length = length};
    struct cds_lfht_iter iterator;
    cds_lfht_lookup(directory->table.nodes, hash_of(directory, id, length), matches, &key,
                    &iterator);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iterator);
    return node ? ph_container_of(node, struct ph_entry, node) : NULL;
}

void ph_directory_each_rcu(const struct ph_directory *directory,
                           bool (*fn)(void *arg, struct ph_entry *), void *arg)
{
    struct cds_lfht_iter iterator;
    struct cds_lfht_node *node;
    cds_lfht_for_each (directory->table.nodes, &iterator, node) {
        struct ph_entry *entry = ph_container_of(node, struct ph_entry, node);
        PH_TSAN_ACQUIRE(entry);
        if (ph_entry_spec_rcu(entry) && !fn(arg, entry))
            return;
    }
}

void ph_placement_read_rcu(const struct ph_placement *placement_const, struct ph_placed *placed)
{
    struct ph_placement *placement = (struct ph_placement *)(uintptr_t)placement_const;
    /* Relaxed: each is a figure of its own; they are not read as one. */
    *placed = (struct ph_placed){
        .state = (enum ph_state)atomic_load_explicit(&placement->state, memory_order_relaxed),
        .epoch = atomic_load_explicit(&placement->epoch, memory_order_relaxed),
        .pid = atomic_load_explicit(&placement->pid, memory_order_relaxed),
        .since_ms = atomic_load_explicit(&placement->since_ms, memory_order_relaxed),
        .instance = atomic_load_explicit(&placement->instance, memory_order_relaxed),
        .restarts = atomic_load_explicit(&placement->restarts, memory_order_relaxed),
    };
}

/* ---- Entries ------------------------------------------------------------------------------- */

static void remember(struct ph_directory *directory, struct ph_entry *entry)
{
    struct ph_entry ***chunk = &directory->chunks[directory->all_count / PH_DIRECTORY_CHUNK];
    if (!*chunk)
        *chunk = ph_alloc(PH_DIRECTORY_CHUNK * sizeof **chunk);
    entry->index = (uint32_t)directory->all_count++;
    *ph_directory_slot(directory, entry->index) = entry;
}

/* The last one takes its slot. Walks come from above: they may see it again, and miss none. */
static void forget(struct ph_directory *directory, struct ph_entry *entry)
{
    struct ph_entry *last = *ph_directory_slot(directory, --directory->all_count);
    size_t unused = directory->all_count / PH_DIRECTORY_CHUNK + 1; /* and one more is kept */
    last->index = entry->index;
    *ph_directory_slot(directory, entry->index) = last;
    if (unused + 1 < PH_DIRECTORY_CHUNKS) {
        ph_free(directory->chunks[unused + 1]);
        directory->chunks[unused + 1] = NULL;
    }
}

/* The count that only the hub's actor changes. Relaxed: a figure. */
static void add(_Atomic uint64_t *count, int64_t difference)
{
    atomic_fetch_add_explicit(count, (uint64_t)difference, memory_order_relaxed);
}

struct ph_entry *ph_directory_make(struct ph_directory *directory, const char *id, size_t length)
{
    struct ph_entry *entry = ph_directory_find_rcu(directory, id, length);
    if (entry)
        return entry;
    /* As many tombstones as children, at most. */
    if (ph_directory_entries(directory) >= 2 * (uint64_t)PH_CHILDREN_MAX)
        return NULL;
    entry = ph_try_alloc(sizeof *entry + length + 1);
    if (!entry)
        return NULL;
    entry->id_length = (uint8_t)length;
    memcpy(entry->id, id, length);
    entry->hash = ph_name_hash(id, length);
    entry->shown = PH_STATES;
    struct key key = {.id = id, .length = length};
    cds_lfht_node_init(&entry->node);
    PH_TSAN_RELEASE(entry);
    ph_rcu_enter();
    cds_lfht_add_unique(directory->table.nodes, hash_of(directory, id, length), matches, &key,
                        &entry->node);
    ph_rcu_exit();
    remember(directory, entry);
    add(&directory->entries, 1);
    return entry;
}

size_t ph_directory_wanted(const struct ph_directory *directory, size_t entries)
{
    return ph_table_wanted(&((struct ph_directory *)(uintptr_t)directory)->table, entries);
}

void ph_directory_grow(struct ph_directory *directory, size_t buckets)
{
    ph_table_grow(&directory->table, buckets);
}

unsigned ph_directory_walk(struct ph_directory *directory, struct ph_cursor *cursor,
                           struct ph_entry **entries, unsigned limit)
{
    unsigned count = 0;
    if (!cursor->begun || cursor->left > directory->all_count)
        cursor->left = directory->all_count;
    cursor->begun = true;
    while (count < limit && cursor->left)
        entries[count++] = *ph_directory_slot(directory, --cursor->left);
    return count;
}

/* ---- Intents ------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) ^ b;
    z = (z ^ (z >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ (z >> 32);
}

/* What an intent adds to the hashes: nothing when it is stopped. */
static uint64_t fingerprint(const struct ph_entry *entry)
{
    uint64_t mark =
        atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->mark, memory_order_relaxed);
    if (!ph_entry_spec_rcu(entry) && !mark)
        return 0;
    uint64_t pinned = mix(entry->pinned.clock, entry->pinned.author);
    return mix(mix(mix(entry->hash, entry->version.clock), entry->version.author), pinned);
}

static void put_stone(struct ph_directory *directory, struct ph_entry *entry)
{
    entry->in_stones = true;
    entry->stone_next = NULL;
    *directory->stones_last = entry;
    directory->stones_last = &entry->stone_next;
}

static bool is_stone(const struct ph_entry *entry)
{
    return fingerprint(entry) == 0;
}

static void take_want(struct ph_directory *directory, struct ph_entry *entry,
                      const struct ph_intent *intent)
{
    struct ph_spec *before = ph_entry_spec_rcu(entry);
    entry->version = intent->version;
    if (intent->spec != before) {
        struct ph_spec *spec = intent->spec ? ph_spec_get(intent->spec) : NULL;
        atomic_store_explicit(&entry->spec, spec, memory_order_release);
        discard(directory, before, release_spec);
    }
    atomic_store_explicit(&entry->mark, intent->mark, memory_order_relaxed);
    add(&directory->wanted, (intent->spec != NULL) - (before != NULL));
}

bool ph_directory_want(struct ph_directory *directory, struct ph_entry *entry,
                       const struct ph_intent *intent, uint64_t now_ms)
{
    bool wants = ph_version_compare(intent->version, entry->version) > 0;
    bool pins = ph_version_compare(intent->pinned, entry->pinned) > 0;
    if (!wants && !pins)
        return false;
    uint64_t old = fingerprint(entry);
    if (wants)
        take_want(directory, entry, intent);
    if (pins) {
        entry->pinned = intent->pinned;
        atomic_store_explicit(&entry->pin, intent->pin, memory_order_relaxed);
    }
    uint64_t change = old ^ fingerprint(entry);
    directory->hash ^= change;
    directory->bucket[ph_entry_bucket(entry)] ^= change;
    if (is_stone(entry) && (wants || !entry->in_stones)) {
        entry->stopped_ms = now_ms;
        if (!entry->in_stones)
            put_stone(directory, entry);
    }
    return true;
}

static void take_out(struct ph_directory *directory, struct ph_entry *entry,
                     struct ph_placement *placement)
{
    _Atomic(struct ph_placement *) *link = &entry->placements;
    struct ph_placement *at;
    while ((at = atomic_load_explicit(link, memory_order_relaxed)) != placement)
        link = &at->next;
    atomic_store_explicit(link, ph_placement_next_rcu(placement), memory_order_release);
    add(&directory->placed[placement->member], -1);
    discard(directory, placement, free_placement);
}

void ph_directory_forget(struct ph_directory *directory, struct ph_entry *entry)
{
    const struct ph_intent nothing = {.version = {.clock = UINT64_MAX},
                                      .pinned = {.clock = UINT64_MAX}};
    bool taken = ph_directory_want(directory, entry, &nothing, 0);
    ph_assert(taken); /* no version is that high */
    entry->version = entry->pinned = (struct ph_version){0};
    entry->ran = false;
    while (ph_entry_first_rcu(entry))
        ph_directory_place(directory, entry, ph_entry_first_rcu(entry)->member, NULL, NULL);
}

static bool is_needed(const struct ph_entry *entry)
{
    return !is_stone(entry) || ph_entry_first_rcu(entry) || entry->child || entry->pending ||
           entry->move || entry->merge || entry->kept || entry->parting || entry->mail ||
           entry->own || entry->queued || entry->pushing || entry->noted || entry->waiting ||
           entry->next_dirty;
}

bool ph_directory_purge(struct ph_directory *directory, uint64_t before_ms, unsigned limit)
{
    for (unsigned i = 0; i < limit && directory->stones; i++) {
        struct ph_entry *entry = directory->stones;
        bool young = is_stone(entry) && entry->stopped_ms >= before_ms;
        /* One that was stopped again must not hold back those behind it. */
        if (young && (!entry->stone_next || entry->stone_next->stopped_ms >= entry->stopped_ms))
            return false;
        directory->stones = entry->stone_next;
        if (!directory->stones)
            directory->stones_last = &directory->stones;
        entry->in_stones = false;
        if (young) {
            put_stone(directory, entry);
        } else if (is_stone(entry) && is_needed(entry)) {
            entry->stopped_ms = before_ms; /* looked at again later */
            put_stone(directory, entry);
        } else if (is_stone(entry)) {
            forget(directory, entry);
            add(&directory->entries, -1);
            free_entry(directory, entry);
        }
    }
    return directory->stones != NULL;
}

/* ---- Placements ---------------------------------------------------------------------------- */

static struct ph_placement *find_placement(const struct ph_entry *entry, uint16_t member)
{
    struct ph_placement *placement = ph_entry_first_rcu(entry);
    while (placement && placement->member != member)
        placement = ph_placement_next_rcu(placement);
    return placement;
}

bool ph_directory_is_void(const struct ph_directory *directory,
                          const struct ph_placement *placement)
{
    return placement->round < directory->valid_from[placement->member];
}

struct ph_placement *ph_directory_placement(const struct ph_directory *directory,
                                            const struct ph_entry *entry, uint16_t member)
{
    struct ph_placement *placement = find_placement(entry, member);
    return placement && !ph_directory_is_void(directory, placement) ? placement : NULL;
}

uint32_t ph_directory_next_round(struct ph_directory *directory, uint16_t member)
{
    return ++directory->round[member];
}

void ph_directory_void_before(struct ph_directory *directory, uint16_t member, uint32_t round)
{
    directory->valid_from[member] = round;
}

static struct ph_placement *put_in(struct ph_directory *directory, struct ph_entry *entry,
                                   uint16_t member)
{
    struct ph_placement *placement = ph_alloc(sizeof *placement);
    placement->entry = entry;
    placement->member = member;
    atomic_init(&placement->state, PH_STATES);
    atomic_init(&placement->next, ph_entry_first_rcu(entry));
    PH_TSAN_RELEASE(placement);
    atomic_store_explicit(&entry->placements, placement, memory_order_release);
    add(&directory->placed[member], 1);
    return placement;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same(const struct ph_placement *placement, const struct ph_placed *placed,
                    const char *reason)
{
    struct ph_placed have;
    ph_placement_read_rcu(placement, &have);
    return have.state == placed->state && have.epoch == placed->epoch && have.pid == placed->pid &&
           have.instance == placed->instance && have.restarts == placed->restarts &&
           same_text(atomic_load_explicit(&((struct ph_placement *)(uintptr_t)placement)->reason,
                                          memory_order_relaxed),
                     reason);
}

static void fill(struct ph_directory *directory, struct ph_placement *placement,
                 const struct ph_placed *placed, const char *reason)
{
    char *old = atomic_load_explicit(&placement->reason, memory_order_relaxed);
    atomic_store_explicit(&placement->epoch, placed->epoch, memory_order_relaxed);
    atomic_store_explicit(&placement->pid, placed->pid, memory_order_relaxed);
    atomic_store_explicit(&placement->since_ms, placed->since_ms, memory_order_relaxed);
    atomic_store_explicit(&placement->instance, placed->instance, memory_order_relaxed);
    atomic_store_explicit(&placement->restarts, placed->restarts, memory_order_relaxed);
    if (!same_text(old, reason)) {
        char *copy = reason ? ph_copy_text(reason, strlen(reason)) : NULL;
        atomic_store_explicit(&placement->reason, copy, memory_order_release);
        discard(directory, old, ph_free);
    }
    atomic_store_explicit(&placement->state, (uint8_t)placed->state, memory_order_relaxed);
}

bool ph_directory_place(struct ph_directory *directory, struct ph_entry *entry, uint16_t member,
                        const struct ph_placed *placed, const char *reason)
{
    struct ph_placement *placement = find_placement(entry, member);
    if (!placed && is_stone(entry) && !entry->in_stones)
        put_stone(directory, entry); /* also when nothing but this removal is known of it */
    if (!placed && !placement)
        return false;
    if (!placed) {
        take_out(directory, entry, placement);
        placement = NULL;
    } else {
        ph_entry_saw(entry, placed->epoch);
        if (!placement)
            placement = put_in(directory, entry, member);
        uint32_t round = directory->round[member];
        bool same = placement->round == round && is_same(placement, placed, reason);
        placement->round = round;
        if (same)
            return false;
        fill(directory, placement, placed, reason);
    }
    if (member == 0)
        ph_directory_log_change(directory, entry, placement);
    return true;
}

/* ---- Sums ---------------------------------------------------------------------------------- */

static uint64_t read_count(const _Atomic uint64_t *count)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)count, memory_order_relaxed);
}

uint64_t ph_directory_wanted_count(const struct ph_directory *directory)
{
    return read_count(&directory->wanted);
}

uint64_t ph_directory_entries(const struct ph_directory *directory)
{
    return read_count(&directory->entries);
}

uint64_t ph_directory_placed(const struct ph_directory *directory, uint16_t member)
{
    return read_count(&directory->placed[member]);
}

uint64_t ph_directory_hash(const struct ph_directory *directory)
{
    return directory->hash;
}

uint64_t ph_directory_bucket(const struct ph_directory *directory, unsigned bucket)
{
    return directory->bucket[bucket];
}
