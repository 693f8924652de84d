/*
 * RCU for one thread, in the place of engine/rcu.c: what is handed over is freed at the next
 * barrier, which comes after every step. So no second thread frees memory at times of its own, and
 * AddressSanitizer sees every use of something that is gone.
 */
#include "engine/rcu.h"

#include <stdbool.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/prochub.h"

/* What was handed over, oldest first. The program has one thread. */
static struct cds_wfcq_node *first, **last = &first;

struct waiting {
    struct rcu_head head;
    void *memory;
};

void ph_rcu_join_thread(void)
{
    static bool joined;
    if (!joined)
        urcu_memb_register_thread(); /* the hash tables look at their own readers */
    joined = true;
}

void ph_rcu_leave_thread(void)
{
}

void ph_thread_leave(void)
{
}

void ph_rcu_enter(void)
{
}

void ph_rcu_exit(void)
{
}

void ph_rcu_start(void)
{
}

void ph_rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    head->func = fn;
    head->next.next = NULL;
    *last = &head->next;
    last = &head->next.next;
}

void ph_rcu_callback_begin(void)
{
}

void ph_rcu_callback_end(void)
{
}

static void free_waiting(struct rcu_head *head)
{
    struct waiting *waiting = ph_container_of(head, struct waiting, head);
    ph_free(waiting->memory);
    ph_free(waiting);
}

void ph_rcu_free(void *memory)
{
    if (!memory)
        return;
    struct waiting *waiting = ph_alloc(sizeof *waiting);
    waiting->memory = memory;
    ph_rcu_call(&waiting->head, free_waiting);
}

void ph_rcu_synchronize(void)
{
}

void ph_rcu_barrier(void)
{
    while (first) {
        struct rcu_head *head = ph_container_of(first, struct rcu_head, next);
        first = first->next;
        if (!first)
            last = &first;
        head->func(head);
    }
}
