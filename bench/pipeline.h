/*
 * A bare pipeline: the ceiling of what is moved or told from one process to another.
 *
 * One process encodes records into batches of 1,000 and writes them to a socket, the other decodes
 * them, allocates them, puts them into a hash table and acknowledges the batch; then the first one
 * takes its own out of its table. No names are looked up, nothing is started, nobody else is told.
 */
#ifndef PH_BENCH_PIPELINE_H
#define PH_BENCH_PIPELINE_H

#include <stdint.h>

#include "engine/prochub.h"

enum { PH_PIPELINE_STATE_MAX = 64 };

/* Seconds for `count` records with so many bytes of state. Call it in a process without threads. */
PH_MUST_CHECK int ph_pipeline_run(uint64_t count, unsigned state_bytes, double *seconds,
                                  struct ph_error *error);

/* `ms` of each of `times` round trips: so many bytes to the other process, one byte back. */
PH_MUST_CHECK int ph_pipeline_trips(size_t bytes, uint64_t times, double *ms,
                                    struct ph_error *error);

#endif
