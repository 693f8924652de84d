/*
 * What a move of large states costs, hot, between two nodes: the service gap, and memory.
 *
 * The gap of a move is the longest time between two answers of the child to a caller that asks
 * again as soon as it is answered, from before the move is asked for until after it is over. So one
 * round trip of a call is in it. Each answer says that the whole state is as it was.
 */
#ifndef PH_BENCH_BLOBS_H
#define PH_BENCH_BLOBS_H

#include "bench/suite.h"

/* Values of ph_blobs_gap, in ms. */
enum { PH_BLOBS_P50, PH_BLOBS_P99, PH_BLOBS_MAX };

/* Moves one child with so much state `setup->children` times, there and back in turn. */
PH_MUST_CHECK int ph_blobs_gap(const struct ph_bench_setup *, const char *size, double *values,
                               struct ph_error *error);
/* The ceiling: as many bytes through a socket to another process, one byte back. */
PH_MUST_CHECK int ph_blobs_bare_gap(const struct ph_bench_setup *, const char *size, double *values,
                                    struct ph_error *error);

/* Values of ph_blobs_mass: MiB per second; and by how many MiB the memory of source and target
 * exceeded, at its peak, what the children themselves need. */
enum { PH_BLOBS_RATE, PH_BLOBS_SOURCE, PH_BLOBS_TARGET };

/* Moves `setup->children` children of 1 MiB by one request. */
PH_MUST_CHECK int ph_blobs_mass(const struct ph_bench_setup *, double *values,
                                struct ph_error *error);
/* The ceiling: the rate of such states through a socket, one after the other; of memory the states
 * that a node may have under way. */
PH_MUST_CHECK int ph_blobs_bare_mass(const struct ph_bench_setup *, double *values,
                                     struct ph_error *error);

#endif
