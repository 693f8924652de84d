/*
 * What a hub's steps cost: counters per event type and worker, and one histogram of step times.
 *
 * A worker writes only its own slot (relaxed atomics, own cache lines); readers add the slots up
 * and may see one being updated. No lock, no clock of its own.
 */
#ifndef PH_ENGINE_STATS_H
#define PH_ENGINE_STATS_H

#include <stdint.h>

#include "engine/event.h"

enum { PH_STATS_WORKERS = 64, PH_STATS_BUCKETS = 40 };

struct ph_stats;

struct ph_stats *ph_stats_create(void);
void ph_stats_destroy(struct ph_stats *);

/* On worker `worker` (-1: a foreign thread): one step of that type took `ns`. */
void ph_stats_step(struct ph_stats *, int worker, enum ph_event_type type, uint64_t ns);

/* The same step used so much of a processor: without what the machine gave to others meanwhile. For
 * those steps that may be long; the rest are not asked. */
void ph_stats_cpu(struct ph_stats *, int worker, enum ph_event_type type, uint64_t cpu_ns);

struct ph_stats_sum {
    uint64_t steps, ns;
    uint64_t count[PH_EVENT_TYPES];
    uint64_t per_worker[PH_STATS_WORKERS];
    uint64_t per_worker_type[PH_STATS_WORKERS][PH_EVENT_TYPES];
    uint64_t max_ns;
    enum ph_event_type max_type; /* of the longest step */
    uint64_t max_cpu_ns;
    enum ph_event_type max_cpu_type;
    uint64_t p50_ns, p99_ns; /* upper ends of their powers of two */
};
void ph_stats_read(const struct ph_stats *, struct ph_stats_sum *);

#endif
