/*
 * What the seeded scheduler (sched_seeded.c) tells its tests besides engine/sched.h.
 */
#ifndef PH_TESTS_LIB_SCHED_SEEDED_H
#define PH_TESTS_LIB_SCHED_SEEDED_H

#include "engine/sched.h"

/* How often ph_sched_wake was called. */
uint64_t ph_sched_seeded_wakes(struct ph_sched *);

#endif
