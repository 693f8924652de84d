/* Intents as records. See cluster_intents.h. */
#include "engine/cluster_intents.h"

#include <string.h>

#include <xxhash.h>

#include "engine/cluster_journal.h"
#include "engine/spec_pack.h"

/* ---- Writing --------------------------------------------------------------------------------- */

static uint32_t spec_index(struct ph_intents *intents, const struct ph_spec *spec)
{
    if (!spec)
        return 0;
    for (uint32_t i = intents->spec_count; i > 0; i--)
        if (intents->specs[i - 1] == spec)
            return i;
    intents->specs[intents->spec_count] = spec;
    return ++intents->spec_count;
}

/* Per entry: id, clock, author, number of its spec (0: stopped), mark; clock and author of its pin,
 * the pin. */
void ph_intents_add(struct ph_intents *intents, const struct ph_entry *entry_const)
{
    struct ph_entry *entry = (struct ph_entry *)(uintptr_t)entry_const;
    ph_pack_str(&intents->entries, entry->id, entry->id_length);
    ph_pack_uint(&intents->entries, entry->version.clock);
    ph_pack_uint(&intents->entries, entry->version.author);
    ph_pack_uint(&intents->entries, spec_index(intents, ph_entry_spec_rcu(entry)));
    ph_pack_uint(&intents->entries, atomic_load_explicit(&entry->mark, memory_order_relaxed));
    ph_pack_uint(&intents->entries, entry->pinned.clock);
    ph_pack_uint(&intents->entries, entry->pinned.author);
    ph_pack_uint(&intents->entries, atomic_load_explicit(&entry->pin, memory_order_relaxed));
    intents->count++;
}

void ph_intents_pack(struct ph_intents *intents, struct ph_text *body)
{
    struct ph_text spec = PH_TEXT_INIT;
    ph_pack_array(body, intents->spec_count);
    for (uint32_t i = 0; i < intents->spec_count; i++) {
        ph_text_clear(&spec);
        ph_spec_pack(intents->specs[i], &spec);
        ph_pack_bin(body, spec.data, spec.length);
    }
    ph_pack_array(body, intents->count);
    ph_text_append(body, ph_text_str(&intents->entries), intents->entries.length);
    ph_text_fini(&spec);
    ph_text_fini(&intents->entries);
    *intents = (struct ph_intents){.count = 0};
}

/* ---- Reading ---------------------------------------------------------------------- */

static struct ph_spec *known_spec(struct ph_cluster *cluster, uint64_t hash, const void *bytes,
                                  size_t length)
{
    for (unsigned i = 0; i < PH_SPECS_KNOWN; i++) {
        struct ph_known_spec *known = &cluster->specs[i];
        if (known->spec && known->hash == hash && known->bytes.length == length &&
            memcmp(known->bytes.data, bytes, length) == 0)
            return known->spec;
    }
    return NULL;
}

/* A spec of a frame, shared with those that came before: borrowed from the list of known ones. */
static struct ph_spec *read_spec(struct ph_cluster *cluster, struct ph_unpack *frame)
{
    size_t length;
    struct ph_unpack in;
    const void *bytes = ph_unpack_bin(frame, PH_SPEC_PACKED_MAX, &length);
    uint64_t hash = XXH3_64bits(bytes, length);
    struct ph_spec *spec = known_spec(cluster, hash, bytes, length);
    if (spec || frame->broken)
        return spec;
    ph_unpack_init(&in, bytes, length);
    spec = ph_spec_unpack(&in);
    if (!spec || ph_unpack_end(&in) < 0) {
        ph_spec_put(spec);
        ph_unpack_fail(frame);
        return NULL;
    }
    struct ph_known_spec *known = &cluster->specs[cluster->specs_next++ % PH_SPECS_KNOWN];
    ph_spec_put(known->spec);
    ph_text_clear(&known->bytes);
    ph_text_append(&known->bytes, bytes, length);
    known->hash = hash;
    known->spec = spec;
    return spec;
}

/* Also what concerns the whole hub: a mark's id has a blank, which no child's has. */
static bool is_id(const char *id, size_t length)
{
    return ph_id_is_valid(id, length) || (length > 6 && memcmp(id, "drain ", 6) == 0) ||
           (length == sizeof PH_MOVES_MARK - 1 && memcmp(id, PH_MOVES_MARK, length) == 0);
}

static void read_intent(struct ph_hub *hub, struct ph_unpack *frame, struct ph_spec **specs,
                        uint32_t spec_count)
{
    struct ph_cluster *cluster = hub->cluster;
    size_t length;
    struct ph_intent intent;
    const char *id = ph_unpack_str(frame, PH_ID_MAX, &length);
    intent.version.clock = ph_unpack_uint(frame, UINT64_MAX / 2);
    intent.version.author = ph_unpack_uint(frame, UINT64_MAX);
    uint64_t index = ph_unpack_uint(frame, spec_count);
    intent.mark = ph_unpack_uint(frame, UINT64_MAX);
    intent.pinned.clock = ph_unpack_uint(frame, UINT64_MAX / 2);
    intent.pinned.author = ph_unpack_uint(frame, UINT64_MAX);
    intent.pin = ph_unpack_uint(frame, UINT64_MAX);
    if (!frame->broken && !is_id(id, length))
        ph_unpack_fail(frame);
    if (frame->broken)
        return;
    intent.spec = index ? specs[index - 1] : NULL;
    struct ph_entry *entry = ph_directory_make(cluster->directory, id, length);
    if (!entry)
        return;
    if (intent.version.clock > hub->last_epoch)
        hub->last_epoch = intent.version.clock;
    if (intent.pinned.clock > hub->last_epoch)
        hub->last_epoch = intent.pinned.clock;
    bool mark = intent.mark || atomic_load_explicit(&entry->mark, memory_order_relaxed);
    if (!ph_directory_want(cluster->directory, entry, &intent, hub->now_ms))
        return;
    ph_journal_note(hub, entry);
    entry->ran |= cluster->journal.restoring; /* before this node died */
    if (mark)
        ph_cluster_owners_changed(hub);
    else
        ph_cluster_touch(hub, entry);
}

void ph_intents_read(struct ph_hub *hub, struct ph_unpack *frame)
{
    struct ph_spec *specs[PH_INTENTS_MAX];
    uint32_t spec_count = ph_unpack_array(frame, PH_INTENTS_MAX);
    for (uint32_t i = 0; i < spec_count && !frame->broken; i++) {
        specs[i] = read_spec(hub->cluster, frame);
        if (specs[i])
            ph_spec_get(specs[i]); /* a later one of the frame may push it out of the known ones */
        else
            spec_count = i;
    }
    uint32_t count = ph_unpack_array(frame, PH_INTENTS_MAX);
    for (uint32_t i = 0; i < count && !frame->broken; i++)
        read_intent(hub, frame, specs, spec_count);
    for (uint32_t i = 0; i < spec_count; i++)
        ph_spec_put(specs[i]);
}
