#include "engine/timer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/waiter.h"

struct ph_timers {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t wake;  /* the thread waits for an earlier deadline; on CLOCK_MONOTONIC */
    pthread_cond_t done;  /* cancel waits for the end of a running fire */
    struct ph_wheel wheel;
    struct ph_timers_alarm *running; /* whose fire runs now; compared, never followed */
    uint64_t sleeps_until_ms;        /* 0 while the thread does not sleep */
    bool running_canceled;           /* somebody waits for the end of that fire */
    bool stopping;
    pthread_t thread;
};

/* For those who wait in ph_timers_cancel, so the alarm still lives. Here and not there, for a fire
 * that sets its alarm again and again would run before they wake. */
static void finish_cancel_locked(struct ph_timers *timers, struct ph_timers_alarm *alarm)
{
    ph_wheel_cancel(&timers->wheel, &alarm->timer);
    timers->running_canceled = false;
    pthread_cond_broadcast(&timers->done);
}

/* Runs everything that is due; the lock is released around each fire. */
static void fire_due_locked(struct ph_timers *timers)
{
    struct ph_wheel_timer *timer;
    while ((timer = ph_wheel_expire(&timers->wheel, ph_now_ms()))) {
        struct ph_timers_alarm *alarm = ph_container_of(timer, struct ph_timers_alarm, timer);
        timers->running = alarm;
        pthread_mutex_unlock(&timers->lock);
        alarm->fire(alarm); /* may be the last that its owner hears of it */
        pthread_mutex_lock(&timers->lock);
        timers->running = NULL;
        if (timers->running_canceled)
            finish_cancel_locked(timers, alarm);
    }
}

static void sleep_locked(struct ph_timers *timers)
{
    uint64_t deadline_ms = ph_wheel_next(&timers->wheel);
    timers->sleeps_until_ms = deadline_ms;
    if (deadline_ms == PH_NEVER) {
        pthread_cond_wait(&timers->wake, &timers->lock);
    } else {
        struct timespec deadline = {
            .tv_sec = (time_t)(deadline_ms / 1000),
            .tv_nsec = (long)(deadline_ms % 1000) * 1000000,
        };
        pthread_cond_timedwait(&timers->wake, &timers->lock, &deadline);
    }
    timers->sleeps_until_ms = 0;
}

static void *run(void *arg)
{
    struct ph_timers *timers = arg;
    pthread_mutex_lock(&timers->lock);
    while (!timers->stopping) {
        fire_due_locked(timers);
        if (!timers->stopping)
            sleep_locked(timers);
    }
    pthread_mutex_unlock(&timers->lock);
    ph_thread_leave();
    return NULL;
}

static void init_conditions(struct ph_timers *timers)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&timers->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_cond_init(&timers->done, NULL);
}

static void free_timers(struct ph_timers *timers)
{
    pthread_cond_destroy(&timers->done);
    pthread_cond_destroy(&timers->wake);
    pthread_mutex_destroy(&timers->lock);
    ph_free(timers);
}

/* Starts the thread with all signals blocked: they belong to the program's own threads. */
static int start_thread(struct ph_timers *timers)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&timers->thread, NULL, run, timers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

int ph_timers_create(struct ph_timers **created)
{
    struct ph_timers *timers = ph_alloc(sizeof *timers);
    pthread_mutex_init(&timers->lock, NULL);
    init_conditions(timers);
    ph_wheel_init(&timers->wheel, ph_now_ms());
    int rc = start_thread(timers);
    if (rc) {
        free_timers(timers);
        return rc;
    }
    pthread_setname_np(timers->thread, "ph-timer");
    *created = timers;
    return 0;
}

void ph_timers_destroy(struct ph_timers *timers)
{
    if (!timers)
        return;
    pthread_mutex_lock(&timers->lock);
    timers->stopping = true;
    pthread_cond_signal(&timers->wake);
    pthread_mutex_unlock(&timers->lock);
    pthread_join(timers->thread, NULL);
    ph_assert(timers->wheel.armed == 0);
    free_timers(timers);
}

void ph_timers_set(struct ph_timers *timers, struct ph_timers_alarm *alarm, uint64_t deadline_ms)
{
    pthread_mutex_lock(&timers->lock);
    ph_wheel_add(&timers->wheel, &alarm->timer, deadline_ms);
    if (deadline_ms < timers->sleeps_until_ms)
        pthread_cond_signal(&timers->wake);
    pthread_mutex_unlock(&timers->lock);
}

void ph_timers_cancel(struct ph_timers *timers, struct ph_timers_alarm *alarm)
{
    pthread_mutex_lock(&timers->lock);
    ph_wheel_cancel(&timers->wheel, &alarm->timer);
    while (timers->running == alarm) {
        timers->running_canceled = true;
        pthread_cond_wait(&timers->done, &timers->lock);
    }
    pthread_mutex_unlock(&timers->lock);
}
