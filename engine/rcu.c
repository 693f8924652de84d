#include "engine/rcu.h"

#include <stdbool.h>
#include <stdlib.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/prochub.h"
#include "engine/tsan.h"

static _Thread_local bool thread_joined;

#ifdef PH_TSAN
static char grace_period; /* stands for "a grace period" in ThreadSanitizer's eyes */
#endif

void ph_rcu_join_thread(void)
{
    if (thread_joined)
        return;
    urcu_memb_register_thread();
    thread_joined = true;
}

void ph_rcu_leave_thread(void)
{
    if (!thread_joined)
        return;
    urcu_memb_unregister_thread();
    thread_joined = false;
}

void ph_thread_leave(void)
{
    ph_rcu_leave_thread();
}

void ph_rcu_enter(void)
{
    ph_rcu_join_thread();
    urcu_memb_read_lock();
}

void ph_rcu_exit(void)
{
    PH_TSAN_RELEASE(&grace_period);
    urcu_memb_read_unlock();
}

void ph_rcu_start(void)
{
    struct call_rcu_data *callbacks = urcu_memb_get_default_call_rcu_data();
    pthread_setname_np(urcu_memb_get_call_rcu_thread(callbacks), "ph-rcu");
}

void ph_rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    PH_TSAN_RELEASE(head);
    PH_TSAN_RELEASE(&grace_period);
    ph_rcu_join_thread();
    urcu_memb_call_rcu(head, fn);
}

void ph_rcu_callback_begin(void)
{
    PH_TSAN_ACQUIRE(&grace_period);
}

void ph_rcu_callback_end(void)
{
    PH_TSAN_RELEASE(&grace_period);
}

struct deferred_free {
    struct rcu_head head;
    void *memory;
};

static void free_deferred(struct rcu_head *head)
{
    ph_rcu_callback_begin();
    struct deferred_free *deferred = ph_container_of(head, struct deferred_free, head);
    PH_TSAN_ACQUIRE(head);
    ph_free(deferred->memory);
    ph_free(deferred);
    ph_rcu_callback_end();
}

void ph_rcu_free(void *memory)
{
    if (!memory)
        return;
    struct deferred_free *deferred = ph_alloc(sizeof *deferred);
    deferred->memory = memory;
    ph_rcu_call(&deferred->head, free_deferred);
}

void ph_rcu_synchronize(void)
{
    ph_rcu_join_thread();
    PH_TSAN_RELEASE(&grace_period);
    urcu_memb_synchronize_rcu();
    PH_TSAN_ACQUIRE(&grace_period);
}

#ifdef PH_TSAN
/* ThreadSanitizer does not see that the barrier comes after what callbacks did. One more callback,
 * on the same thread and behind them, says so. */
static void mark(struct rcu_head *head)
{
    PH_TSAN_RELEASE(head);
}

static void show_callbacks(void)
{
    struct rcu_head head;
    urcu_memb_call_rcu(&head, mark);
    urcu_memb_barrier();
    PH_TSAN_ACQUIRE(&head);
}
#endif

void ph_rcu_barrier(void)
{
    ph_rcu_join_thread();
    urcu_memb_barrier();
    PH_TSAN_ACQUIRE(&grace_period);
#ifdef PH_TSAN
    show_callbacks();
#endif
}
