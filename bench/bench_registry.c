/*
 * registry: children found by their ids, in an order of chance.
 *
 * Ours are ph_lookup (which also copies what it found) and the find below it, on a hub that runs so
 * many children. The ceiling is a table without concurrency: open addressing over pairs of hash and
 * pointer, the same hash, the id compared in the record.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <xxhash.h>

#include "bench/stage.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/hub.h"
#include "engine/rcu.h"
#include "engine/waiter.h"

enum { LOOKUPS, FINDS, READERS_MAX = 16, LOOKUPS_PER_CLOCK = 512 };

/* One pass over some ids: how many were found. */
typedef uint64_t (*pass_fn)(const void *where, const char *ids, uint64_t count);

struct reader {
    pthread_t thread;
    pass_fn pass;
    const void *where;
    const char *ids;
    uint64_t count, first;
    double seconds;
    uint64_t asked, found; /* the results */
    double took;
};

static void *read_for_a_while(void *arg)
{
    struct reader *reader = arg;
    uint64_t start_ns = ph_now_ns(), at = reader->first;
    do {
        uint64_t count = reader->count - at;
        count = count < LOOKUPS_PER_CLOCK ? count : LOOKUPS_PER_CLOCK;
        reader->found += reader->pass(reader->where, reader->ids + at * PH_STAGE_ID_BYTES, count);
        reader->asked += count;
        at = at + count == reader->count ? 0 : at + count;
        reader->took = ph_stage_since(start_ns);
    } while (reader->took < reader->seconds);
    ph_thread_leave();
    return NULL;
}

/* Lookups per second of all readers together. */
static int read_all(const struct ph_bench_setup *setup, pass_fn pass, const void *where,
                    const char *ids, double *value)
{
    struct reader readers[READERS_MAX] = {0};
    bool all_found = true;
    *value = 0;
    for (unsigned i = 0; i < setup->threads; i++) {
        readers[i] = (struct reader){
            .pass = pass,
            .where = where,
            .ids = ids,
            .count = setup->children,
            .first = setup->children / setup->threads * i,
            .seconds = setup->seconds,
        };
        if (pthread_create(&readers[i].thread, NULL, read_for_a_while, &readers[i]))
            return PH_EFAILED;
    }
    for (unsigned i = 0; i < setup->threads; i++) {
        pthread_join(readers[i].thread, NULL);
        all_found &= readers[i].found == readers[i].asked;
        *value += (double)readers[i].asked / readers[i].took;
    }
    return all_found ? 0 : PH_ENOTFOUND;
}

/* ---- Ours ---------------------------------------------------------------------------------- */

static uint64_t pass_lookup(const void *where, const char *ids, uint64_t count)
{
    struct ph_child_info info;
    uint64_t found = 0;
    for (uint64_t i = 0; i < count; i++)
        found += ph_lookup(where, ids + i * PH_STAGE_ID_BYTES, &info) == 0;
    return found;
}

static uint64_t pass_find(const void *where, const char *ids, uint64_t count)
{
    const struct ph_hub *hub = where;
    uint64_t found = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *id = ids + i * PH_STAGE_ID_BYTES;
        ph_rcu_enter();
        found += ph_registry_find_rcu(hub->registry, id, strlen(id)) != NULL;
        ph_rcu_exit();
    }
    return found;
}

static int measure_ours(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    static const char *const keys[] = {"module", "counter", NULL};
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_stage_open(&stage, setup, 0, NULL, error);
    if (rc == 0)
        rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_start(&stage, &ids, spec, error);
    if (rc)
        return rc;
    const char *shuffled = ph_stage_shuffled_ids(setup->children);
    rc = read_all(setup, pass_lookup, stage.hub, shuffled, &values[LOOKUPS]);
    if (rc == 0)
        rc = read_all(setup, pass_find, stage.hub, shuffled, &values[FINDS]);
    return rc ? ph_error_set(error, rc, "not every child was found") : 0;
}

/* ---- The ceiling --------------------------------------------------------------------------- */

struct record {
    uint64_t filler[12]; /* about as large as a child */
    uint8_t id_length;
    char id[PH_STAGE_ID_BYTES];
};

struct table {
    struct slot {
        uint64_t hash;
        struct record *record; /* NULL: empty */
    } * slots;
    uint64_t mask;
};

static struct table create_table(uint64_t count)
{
    uint64_t size = 2;
    while (size < count * 2)
        size *= 2;
    return (struct table){.slots = ph_alloc(size * sizeof(struct slot)), .mask = size - 1};
}

static void insert(struct table *table, const char *id)
{
    struct record *record = ph_alloc(sizeof *record);
    record->id_length = (uint8_t)strlen(id);
    memcpy(record->id, id, record->id_length);
    uint64_t hash = XXH3_64bits_withSeed(id, record->id_length, 1), at = hash & table->mask;
    while (table->slots[at].record)
        at = (at + 1) & table->mask;
    table->slots[at] = (struct slot){.hash = hash, .record = record};
}

static bool contains(const struct table *table, const char *id, size_t length)
{
    uint64_t hash = XXH3_64bits_withSeed(id, length, 1);
    for (uint64_t at = hash & table->mask; table->slots[at].record; at = (at + 1) & table->mask) {
        const struct slot *slot = &table->slots[at];
        if (slot->hash == hash && slot->record->id_length == length &&
            memcmp(slot->record->id, id, length) == 0)
            return true;
    }
    return false;
}

static uint64_t pass_table(const void *where, const char *ids, uint64_t count)
{
    uint64_t found = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *id = ids + i * PH_STAGE_ID_BYTES;
        found += contains(where, id, strlen(id));
    }
    return found;
}

static int measure_ceiling(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    struct table table = create_table(setup->children);
    struct ph_ids ids = {0};
    int rc = ph_stage_ids(&ids, setup->children, error);
    if (rc)
        return rc;
    size_t cursor = 0, length;
    const char *id;
    while ((id = ph_ids_next(&ids, &cursor, &length)))
        insert(&table, id);
    const char *shuffled = ph_stage_shuffled_ids(setup->children);
    rc = read_all(setup, pass_table, &table, shuffled, &values[LOOKUPS]);
    if (rc == 0)
        rc = read_all(setup, pass_table, &table, shuffled, &values[FINDS]);
    return rc ? ph_error_set(error, rc, "not every record was found") : 0;
}

#define READER_FIGURES(readers)                                           \
    {                                                                     \
        [LOOKUPS] = {.name = "ph_lookup, " readers, .unit = "lookups/s"}, \
        [FINDS] = {.name = "find, " readers, .unit = "lookups/s"},        \
    }

static const struct ph_bench_case cases[] = {
    {.figures = READER_FIGURES("1 thread"),
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 1000000,
     .threads = 1},
    {.figures = READER_FIGURES("2 threads"),
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 1000000,
     .threads = 2},
    {.figures = READER_FIGURES("1 thread"),
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 1000,
     .repeated = true,
     .threads = 1},
    {.figures = READER_FIGURES("2 threads"),
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 1000,
     .repeated = true,
     .threads = 2},
};

const struct ph_bench_suite ph_bench_registry = {
    .name = "registry",
    .summary = "children found by id, from one and two threads",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
