/*
 * RCU (liburcu's memb flavour), and the annotations that let ThreadSanitizer see it.
 *
 * The only door to liburcu's read sections and callbacks. A thread registers itself at its first
 * ph_rcu_enter and leaves with ph_rcu_leave_thread. Inside a section: no waiting, no I/O, no hooks,
 * no ph_rcu_synchronize. What a section found dies with it.
 */
#ifndef PH_ENGINE_RCU_H
#define PH_ENGINE_RCU_H

#include "engine/tsan.h"
#ifndef PH_TSAN
#define _LGPL_SOURCE /* liburcu inlined; prochub is LGPL too */
#endif
#define URCU_API_MAP
#include <urcu/urcu-memb.h>

/* Any thread: begins / ends a read section; sections nest. */
void ph_rcu_enter(void);
void ph_rcu_exit(void);

/* Any thread: registers the calling thread (idempotent); call before it touches an lfht. */
void ph_rcu_join_thread(void);
void ph_rcu_leave_thread(void);

/* Makes liburcu's thread for callbacks, which the first ph_rcu_call would have to wait for: most of
 * a millisecond. Idempotent. */
void ph_rcu_start(void);

/* Calls `fn` on liburcu's thread after a grace period. `fn` starts with ph_rcu_callback_begin() and
 * ends with ph_rcu_callback_end(), which is what ph_rcu_barrier waits for. */
void ph_rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *));
void ph_rcu_callback_begin(void);
void ph_rcu_callback_end(void);

/* Frees `memory` (from ph_alloc) after a grace period. NULL is fine. Costs one small allocation. */
void ph_rcu_free(void *memory);

/* Outside read sections: waits for a grace period / for all pending callbacks. */
void ph_rcu_synchronize(void);
void ph_rcu_barrier(void);

/* Publication of a pointer: the release/acquire pair that also tells ThreadSanitizer. `slot` is the
 * address of an _Atomic pointer. */
#define ph_rcu_publish(slot, pointer) atomic_store_explicit((slot), (pointer), memory_order_release)
#define ph_rcu_load(slot) atomic_load_explicit((slot), memory_order_acquire)

#endif
