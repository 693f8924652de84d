#include "engine/stats.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"

/* One worker's counters; slot 0 is shared by foreign threads. */
struct slot {
    _Alignas(PH_CACHE_LINE) _Atomic uint64_t count[PH_EVENT_TYPES];
    _Atomic uint64_t ns;
    _Atomic uint64_t bucket[PH_STATS_BUCKETS]; /* by the power of two of the step's ns */
    _Atomic uint64_t max_ns;
    _Atomic uint32_t max_type;
    _Atomic uint64_t max_cpu_ns;
    _Atomic uint32_t max_cpu_type;
};

struct ph_stats {
    struct slot slots[PH_STATS_WORKERS];
};

struct ph_stats *ph_stats_create(void)
{
    struct ph_stats *stats = aligned_alloc(PH_CACHE_LINE, sizeof *stats);
    ph_assert(stats);
    memset(stats, 0, sizeof *stats);
    return stats;
}

void ph_stats_destroy(struct ph_stats *stats)
{
    free(stats);
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static unsigned bucket_of(uint64_t ns)
{
    unsigned bucket = ns ? 64 - (unsigned)__builtin_clzll(ns) : 0;
    return bucket < PH_STATS_BUCKETS ? bucket : PH_STATS_BUCKETS - 1;
}

static struct slot *slot_of(struct ph_stats *stats, int worker)
{
    unsigned index = worker < 0 ? 0 : (unsigned)(worker + 1);
    return &stats->slots[index < PH_STATS_WORKERS ? index : 0];
}

void ph_stats_cpu(struct ph_stats *stats, int worker, enum ph_event_type type, uint64_t cpu_ns)
{
    struct slot *slot = slot_of(stats, worker);
    if (cpu_ns <= atomic_load_explicit(&slot->max_cpu_ns, memory_order_relaxed))
        return;
    atomic_store_explicit(&slot->max_cpu_ns, cpu_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->max_cpu_type, (uint32_t)type, memory_order_relaxed);
}

void ph_stats_step(struct ph_stats *stats, int worker, enum ph_event_type type, uint64_t ns)
{
    struct slot *slot = slot_of(stats, worker);
    add(&slot->count[type], 1);
    add(&slot->ns, ns);
    add(&slot->bucket[bucket_of(ns)], 1);
    if (ns > atomic_load_explicit(&slot->max_ns, memory_order_relaxed)) {
        atomic_store_explicit(&slot->max_ns, ns, memory_order_relaxed);
        atomic_store_explicit(&slot->max_type, (uint32_t)type, memory_order_relaxed);
    }
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)counter, memory_order_relaxed);
}

static void add_slot(const struct slot *slot, unsigned index, struct ph_stats_sum *sum,
                     uint64_t *buckets)
{
    for (unsigned type = 0; type < PH_EVENT_TYPES; type++) {
        uint64_t count = get(&slot->count[type]);
        sum->count[type] += count;
        sum->per_worker_type[index][type] = count;
        sum->per_worker[index] += count;
        sum->steps += count;
    }
    sum->ns += get(&slot->ns);
    for (unsigned i = 0; i < PH_STATS_BUCKETS; i++)
        buckets[i] += get(&slot->bucket[i]);
    if (get(&slot->max_ns) > sum->max_ns) {
        sum->max_ns = get(&slot->max_ns);
        sum->max_type = (enum ph_event_type)atomic_load_explicit(
            &((struct slot *)(uintptr_t)slot)->max_type, memory_order_relaxed);
    }
    if (get(&slot->max_cpu_ns) > sum->max_cpu_ns) {
        sum->max_cpu_ns = get(&slot->max_cpu_ns);
        sum->max_cpu_type = (enum ph_event_type)atomic_load_explicit(
            &((struct slot *)(uintptr_t)slot)->max_cpu_type, memory_order_relaxed);
    }
}

/* The upper end of the bucket in which the `share`-th per mille of the steps lies. */
static uint64_t percentile(const uint64_t *buckets, uint64_t total, uint64_t share)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < PH_STATS_BUCKETS; i++) {
        seen += buckets[i];
        if (seen * 1000 >= total * share && seen)
            return UINT64_C(1) << i;
    }
    return 0;
}

void ph_stats_read(const struct ph_stats *stats, struct ph_stats_sum *sum)
{
    uint64_t buckets[PH_STATS_BUCKETS] = {0};
    *sum = (struct ph_stats_sum){0};
    for (unsigned i = 0; i < PH_STATS_WORKERS; i++)
        add_slot(&stats->slots[i], i, sum, buckets);
    sum->p50_ns = percentile(buckets, sum->steps, 500);
    sum->p99_ns = percentile(buckets, sum->steps, 990);
}
