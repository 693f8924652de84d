/*
 * The lock-free hash tables of children and entries (liburcu's rculfhash), and when they grow.
 *
 * They never grow by themselves: that would be in a step of a hub. It says how large it should be,
 * and a thread of the pool, when one has the time, makes it so while all others go on.
 */
#ifndef PH_ENGINE_TABLE_H
#define PH_ENGINE_TABLE_H

#include <stdatomic.h>
#include <stddef.h>

#include "engine/rcu.h"

#include <urcu/rculfhash.h>

struct ph_table {
    struct cds_lfht *nodes;
    _Atomic size_t buckets;
};

/* The thread has joined RCU (ph_rcu_join_thread). */
void ph_table_init(struct ph_table *);

/* The hub's actor: to how many buckets it should grow for so many entries; 0: it should not. */
size_t ph_table_wanted(struct ph_table *, size_t entries);

/* A thread of the pool, outside read sections. */
void ph_table_grow(struct ph_table *, size_t buckets);

#endif
