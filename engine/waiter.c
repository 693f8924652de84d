#include "engine/waiter.h"

#include <errno.h>
#include <time.h>

#include "engine/alloc.h"

uint64_t ph_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t ph_thread_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

uint64_t ph_now_ms(void)
{
    return ph_now_ns() / 1000000u;
}

int64_t ph_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t ph_wall_of(uint64_t now_ms)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
    int64_t apart_ns = wall_ns - (int64_t)ph_now_ns();
    /* Rounded, so that two moments keep their distance from one call to the next. */
    return (apart_ns + 500000) / 1000000 + (int64_t)now_ms;
}

void ph_waiter_init(struct ph_waiter *waiter)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&waiter->lock, NULL);
    waiter->woken = false;
    waiter->canceled = false;
}

void ph_waiter_fini(struct ph_waiter *waiter)
{
    pthread_cond_destroy(&waiter->cond);
    pthread_mutex_destroy(&waiter->lock);
}

struct ph_waiter *ph_waiter_create(void)
{
    struct ph_waiter *waiter = ph_alloc(sizeof *waiter);
    ph_waiter_init(waiter);
    return waiter;
}

void ph_waiter_destroy(struct ph_waiter *waiter)
{
    if (!waiter)
        return;
    ph_waiter_fini(waiter);
    ph_free(waiter);
}

static void rouse(struct ph_waiter *waiter, bool *flag)
{
    pthread_mutex_lock(&waiter->lock);
    *flag = true;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->lock);
}

void ph_waiter_wake(struct ph_waiter *waiter)
{
    rouse(waiter, &waiter->woken);
}

void ph_waiter_cancel(struct ph_waiter *waiter)
{
    rouse(waiter, &waiter->canceled);
}

void ph_waiter_reset(struct ph_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    waiter->canceled = false;
    waiter->woken = false;
    pthread_mutex_unlock(&waiter->lock);
}

static int sleep_until(struct ph_waiter *waiter, uint64_t deadline_ms)
{
    if (deadline_ms == UINT64_MAX)
        return pthread_cond_wait(&waiter->cond, &waiter->lock);
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ms / 1000),
        .tv_nsec = (long)(deadline_ms % 1000) * 1000000,
    };
    return pthread_cond_timedwait(&waiter->cond, &waiter->lock, &deadline);
}

int ph_waiter_sleep(struct ph_waiter *waiter, uint64_t deadline_ms)
{
    int rc = 0;
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->woken && !waiter->canceled && rc != ETIMEDOUT)
        rc = sleep_until(waiter, deadline_ms);
    bool canceled = waiter->canceled;
    bool woken = waiter->woken;
    waiter->woken = false;
    pthread_mutex_unlock(&waiter->lock);
    if (canceled)
        return PH_ECANCELED;
    return woken ? 0 : PH_ETIMEOUT;
}

void ph_waitlist_init(struct ph_waitlist *list)
{
    pthread_mutex_init(&list->lock, NULL);
    list->first = NULL;
    atomic_init(&list->count, 0);
}

void ph_waitlist_fini(struct ph_waitlist *list)
{
    pthread_mutex_destroy(&list->lock);
}

void ph_waitlist_join(struct ph_waitlist *list, struct ph_wait_entry *entry,
                      struct ph_waiter *waiter)
{
    entry->waiter = waiter;
    pthread_mutex_lock(&list->lock);
    entry->next = list->first;
    entry->link = &list->first;
    if (entry->next)
        entry->next->link = &entry->next;
    list->first = entry;
    /* seq_cst: pairs with the fence in ph_waitlist_wake. Either the waker sees this waiter, or the
     * waiter's next test of its condition sees what the waker published. */
    atomic_fetch_add_explicit(&list->count, 1, memory_order_seq_cst);
    pthread_mutex_unlock(&list->lock);
    atomic_thread_fence(memory_order_seq_cst);
}

void ph_waitlist_leave(struct ph_waitlist *list, struct ph_wait_entry *entry)
{
    pthread_mutex_lock(&list->lock);
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    atomic_fetch_sub_explicit(&list->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&list->lock);
}

void ph_waitlist_wake(struct ph_waitlist *list)
{
    atomic_thread_fence(memory_order_seq_cst); /* pairs with ph_waitlist_join */
    if (atomic_load_explicit(&list->count, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&list->lock);
    for (struct ph_wait_entry *entry = list->first; entry; entry = entry->next)
        ph_waiter_wake(entry->waiter);
    pthread_mutex_unlock(&list->lock);
}
