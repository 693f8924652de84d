/*
 * Suites of benchmarks: what measure.c needs to know of them.
 *
 * A case has one or more figures, filled together by one function: once for ours, once for the
 * ceiling. Each call runs in a fresh process (see measure.h), so it may start threads, leak and
 * leave its memory as it is.
 */
#ifndef PH_BENCH_SUITE_H
#define PH_BENCH_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"

enum { PH_BENCH_FIGURES_MAX = 4 };

/* What a measurement is made with. */
struct ph_bench_setup {
    uint64_t children;
    unsigned threads;        /* of the case: readers, or workers of the node */
    double seconds;          /* about how long a measurement should take */
    const char *keeper_path; /* NULL: beside the program, else from PATH */
    const char *hub_option;  /* KEY=VALUE of the hub on all nodes, or NULL */
};

/* Fills one value per figure, in its unit. 0, or a negative code with a text in the error. */
typedef int (*ph_bench_fn)(const struct ph_bench_setup *, double *values, struct ph_error *error);

struct ph_bench_figure {
    const char *name; /* NULL: no more figures */
    const char *unit;
    bool cost; /* less is better */
};

struct ph_bench_case {
    struct ph_bench_figure figures[PH_BENCH_FIGURES_MAX];
    ph_bench_fn ours, ceiling;
    uint64_t children; /* at the end of the figures' names; 0: no matter */
    bool fixed;        /* --children does not change it */
    bool repeated;     /* the case before with more children: --children leaves it out */
    unsigned threads;
    const char *mode; /* measured for this --mode only; NULL: for each */
};

struct ph_bench_suite {
    const char *name, *summary;
    const struct ph_bench_case *cases; /* the first figure of the first one is the headline */
    size_t case_count;
};

/* Not under ThreadSanitizer: PH_BENCH_LINK tells. */
extern const struct ph_bench_suite ph_bench_link;

extern const struct ph_bench_suite ph_bench_start, ph_bench_registry, ph_bench_gate,
    ph_bench_messages, ph_bench_owners, ph_bench_spawn, ph_bench_migrate, ph_bench_recover,
    ph_bench_sync, ph_bench_steps;

#endif
