/*
 * Measuring one case: rounds of ours and of the ceiling in turn, each in a process of its own.
 *
 * A forked process starts with the small heap and the few threads (none) of its parent, so no round
 * sees what the one before left behind, memory can be measured, and a crash costs one measurement.
 */
#ifndef PH_BENCH_MEASURE_H
#define PH_BENCH_MEASURE_H

#include <sys/types.h>

#include "bench/suite.h"

enum { PH_BENCH_ROUNDS_MAX = 100 };

/* One figure over all rounds. */
struct ph_bench_result {
    double value, min, max;                   /* ours: median, least, most */
    double ceiling, ceiling_min, ceiling_max; /* the ceiling's */
    double
        ratio; /* median over the rounds of what part of its ceiling ours reached; 1 is as good */
};

/* Fills one result per figure of the case. */
PH_MUST_CHECK int ph_bench_measure(const struct ph_bench_case *, const struct ph_bench_setup *,
                                   unsigned rounds, struct ph_bench_result *results,
                                   struct ph_error *error);

/* fork() for processes that measure, or are a node of what is measured. jemalloc's thread, which
 * gives memory back, does not live on in a child, and there whoever frees would do it, in the midst
 * of what is measured: it is started again. */
pid_t ph_bench_fork(void);

#endif
