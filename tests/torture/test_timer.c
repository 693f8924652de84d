#include "engine/timer.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/prng.h"
#include "engine/waiter.h"

enum { THREADS = 3, ROUNDS = 20000 };

struct owned {
    struct ph_timers_alarm alarm;
    struct ph_timers *timers;
    unsigned again;
    atomic_bool dead; /* set after cancel: from then on fire must not run */
    atomic_uint *late;
};

struct owner {
    struct ph_timers *timers;
    uint64_t seed;
    atomic_uint *late;
};

static void fire(struct ph_timers_alarm *alarm)
{
    struct owned *owned = ph_container_of(alarm, struct owned, alarm);
    if (atomic_load_explicit(&owned->dead, memory_order_relaxed))
        atomic_fetch_add_explicit(owned->late, 1, memory_order_relaxed);
    if (owned->again) {
        owned->again--;
        ph_timers_set(owned->timers, alarm, ph_now_ms());
    }
}

/* Sets, moves, cancels and frees alarms: a fire after cancel is a use after free, which the
 * sanitizers see. */
static void *own(void *arg)
{
    struct owner *owner = arg;
    struct ph_prng prng;
    ph_prng_init(&prng, owner->seed);
    for (int round = 0; round < ROUNDS; round++) {
        struct owned *owned = calloc(1, sizeof *owned);
        if (!owned)
            return NULL;
        owned->timers = owner->timers;
        owned->late = owner->late;
        owned->alarm.fire = fire;
        owned->again = (unsigned)ph_prng_below(&prng, 4);
        ph_timers_set(owner->timers, &owned->alarm, ph_now_ms() + ph_prng_below(&prng, 2));
        if (ph_prng_below(&prng, 2))
            ph_timers_set(owner->timers, &owned->alarm, ph_now_ms());
        if (ph_prng_below(&prng, 4) == 0)
            sched_yield();
        ph_timers_cancel(owner->timers, &owned->alarm);
        atomic_store_explicit(&owned->dead, true, memory_order_relaxed);
        free(owned);
    }
    return NULL;
}

/* After cancel returned, fire neither runs nor will run, whatever the threads do. */
static void canceled_alarms_never_fire(void **state)
{
    (void)state;
    struct ph_timers *timers;
    assert_int_equal(ph_timers_create(&timers), 0);
    atomic_uint late = 0;
    struct owner owners[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        owners[i] = (struct owner){.timers = timers, .seed = (uint64_t)i + 1, .late = &late};
        assert_int_equal(pthread_create(&threads[i], NULL, own, &owners[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ph_timers_destroy(timers);
    assert_int_equal(atomic_load(&late), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canceled_alarms_never_fire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
