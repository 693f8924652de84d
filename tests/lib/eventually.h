/*
 * Waiting for a condition of the real world, with a deadline: the only way in which a test waits
 * for another thread or process. Looks again every millisecond.
 */
#ifndef PH_TESTS_LIB_EVENTUALLY_H
#define PH_TESTS_LIB_EVENTUALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "engine/waiter.h"

/* Does `fn` become true within `timeout_ms`? It is asked at least once. */
static inline bool eventually(bool (*fn)(void *), void *arg, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t deadline_ms = ph_now_ms() + timeout_ms;
    while (!fn(arg)) {
        if (ph_now_ms() >= deadline_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

#endif
