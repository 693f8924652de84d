/*
 * start: many children started and stopped by one request each, and what each of them holds.
 *
 * The ceiling does what nobody can leave out: allocate 128 bytes a child and put it into the same
 * hash table, made large enough in advance; take it out and hand it to RCU in batches.
 */
#include <string.h>

#include <xxhash.h>

#include "bench/stage.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/rcu.h"
#include "engine/waiter.h"
#include <urcu/rculfhash.h>

enum { STARTED, STOPPED, BYTES };

static int measure_ours(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    static const char *const keys[] = {"module", "counter", NULL};
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0}, same = {0};
    struct ph_op *op;
    int rc = ph_stage_open(&stage, setup, 0, NULL, error);
    if (rc == 0)
        rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_ids(&same, setup->children, error);
    if (rc)
        return rc;
    double before = ph_stage_resident_bytes();
    uint64_t start_ns = ph_now_ns();
    rc = ph_stage_start(&stage, &ids, spec, error);
    values[STARTED] = (double)setup->children / ph_stage_since(start_ns);
    values[BYTES] = (ph_stage_resident_bytes() - before) / (double)setup->children;
    if (rc)
        return rc;
    start_ns = ph_now_ns();
    rc = ph_stop(stage.hub, &same, &op);
    if (rc == 0)
        rc = ph_stage_wait(op, error);
    values[STOPPED] = (double)setup->children / ph_stage_since(start_ns);
    return rc;
}

/* ---- The ceiling --------------------------------------------------------------------------- */

enum { RECORD_BYTES = 128, BATCH = 128 };

struct record {
    struct cds_lfht_node node;
    struct rcu_head rcu;
    struct record *next; /* of the same batch */
    uint8_t id_length;
    char id[PH_STAGE_ID_BYTES];
};

_Static_assert(sizeof(struct record) <= RECORD_BYTES, "a record fits");

static int matches(struct cds_lfht_node *node, const void *id)
{
    return strcmp(ph_container_of(node, struct record, node)->id, id) == 0;
}

static struct cds_lfht *create_table(uint64_t count)
{
    unsigned long buckets = 1;
    while (buckets < count)
        buckets *= 2;
    return cds_lfht_new_flavor(buckets, buckets, buckets, 0, &urcu_memb_flavor, NULL);
}

static int add_all(struct cds_lfht *table, const struct ph_ids *ids, struct record **records)
{
    size_t cursor = 0, length, count = 0;
    const char *id;
    while ((id = ph_ids_next(ids, &cursor, &length))) {
        struct record *record = ph_alloc(RECORD_BYTES);
        record->id_length = (uint8_t)length;
        memcpy(record->id, id, length + 1);
        unsigned long hash = (unsigned long)XXH3_64bits_withSeed(id, length, 1);
        ph_rcu_enter();
        struct cds_lfht_node *there = cds_lfht_add_unique(table, hash, matches, id, &record->node);
        ph_rcu_exit();
        if (there != &record->node)
            return PH_EEXISTS;
        records[count++] = record;
    }
    return 0;
}

static void free_batch(struct rcu_head *head)
{
    struct record *record = ph_container_of(head, struct record, rcu);
    while (record) {
        struct record *next = record->next;
        ph_free(record);
        record = next;
    }
}

static void remove_all(struct cds_lfht *table, struct record **records, size_t count)
{
    struct record *batch = NULL;
    for (size_t i = 0; i < count; i++) {
        ph_rcu_enter();
        cds_lfht_del(table, &records[i]->node);
        ph_rcu_exit();
        records[i]->next = batch;
        batch = records[i];
        if (i % BATCH == BATCH - 1 || i + 1 == count) {
            ph_rcu_call(&batch->rcu, free_batch);
            batch = NULL;
        }
    }
}

static int measure_ceiling(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    struct ph_ids ids = {0};
    int rc = ph_stage_ids(&ids, setup->children, error);
    if (rc)
        return rc;
    struct record **records = ph_alloc(setup->children * sizeof *records);
    memset(records, 1, setup->children * sizeof *records); /* not part of what is measured */
    ph_rcu_join_thread();
    double before = ph_stage_resident_bytes();
    struct cds_lfht *table = create_table(setup->children);
    uint64_t start_ns = ph_now_ns();
    rc = add_all(table, &ids, records);
    values[STARTED] = (double)setup->children / ph_stage_since(start_ns);
    values[BYTES] = (ph_stage_resident_bytes() - before) / (double)setup->children;
    start_ns = ph_now_ns();
    remove_all(table, records, setup->children);
    values[STOPPED] = (double)setup->children / ph_stage_since(start_ns);
    return rc;
}

#define START_FIGURES                                                   \
    {                                                                   \
        [STARTED] = {.name = "started", .unit = "children/s"},          \
        [STOPPED] = {.name = "stopped", .unit = "children/s"},          \
        [BYTES] = {.name = "bytes a child", .unit = "B", .cost = true}, \
    }

static const struct ph_bench_case cases[] = {
    {.figures = START_FIGURES,
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 100000},
    {.figures = START_FIGURES,
     .ours = measure_ours,
     .ceiling = measure_ceiling,
     .children = 1000000,
     .repeated = true},
};

const struct ph_bench_suite ph_bench_start = {
    .name = "start",
    .summary = "children started and stopped by one request, memory a child",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
