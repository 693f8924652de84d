#include "engine/waiter.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/lib/eventually.h"

/* A wake that came before the sleep ends it at once, and counts once. */
static void earlier_wake_counts(void **state)
{
    (void)state;
    struct ph_waiter waiter;
    ph_waiter_init(&waiter);
    ph_waiter_wake(&waiter);
    ph_waiter_wake(&waiter);
    assert_int_equal(ph_waiter_sleep(&waiter, UINT64_MAX), 0);
    assert_int_equal(ph_waiter_sleep(&waiter, ph_now_ms()), PH_ETIMEOUT);
    ph_waiter_fini(&waiter);
}

/* A sleep ends at its deadline and not before. */
static void sleep_ends_at_its_deadline(void **state)
{
    (void)state;
    struct ph_waiter waiter;
    ph_waiter_init(&waiter);
    uint64_t deadline_ms = ph_now_ms() + 15;
    assert_int_equal(ph_waiter_sleep(&waiter, deadline_ms), PH_ETIMEOUT);
    assert_true(ph_now_ms() >= deadline_ms);
    assert_int_equal(ph_waiter_sleep(&waiter, 0), PH_ETIMEOUT);
    ph_waiter_fini(&waiter);
}

/* A cancellation stays until it is taken back, and wins over a wake. */
static void cancellation_stays_until_reset(void **state)
{
    (void)state;
    struct ph_waiter *waiter = ph_waiter_create();
    ph_waiter_cancel(waiter);
    ph_waiter_wake(waiter);
    assert_int_equal(ph_waiter_sleep(waiter, UINT64_MAX), PH_ECANCELED);
    assert_int_equal(ph_waiter_sleep(waiter, UINT64_MAX), PH_ECANCELED);
    ph_waiter_reset(waiter);
    assert_int_equal(ph_waiter_sleep(waiter, ph_now_ms()), PH_ETIMEOUT);
    ph_waiter_destroy(waiter);
    ph_waiter_destroy(NULL);
}

struct sleeper {
    struct ph_waiter waiter;
    struct ph_waitlist *list;
    atomic_int *number; /* the condition: it has reached `wanted` */
    int wanted, rc;
    uint64_t deadline_ms;
};

static void *wait_for_number(void *arg)
{
    struct sleeper *sleeper = arg;
    struct ph_wait_entry entry;
    int rc = 0;
    ph_waitlist_join(sleeper->list, &entry, &sleeper->waiter);
    while (atomic_load_explicit(sleeper->number, memory_order_acquire) < sleeper->wanted && rc == 0)
        rc = ph_waiter_sleep(&sleeper->waiter, sleeper->deadline_ms);
    ph_waitlist_leave(sleeper->list, &entry);
    sleeper->rc = rc;
    return NULL;
}

static void *cancel_it(void *arg)
{
    ph_waiter_cancel(arg);
    return NULL;
}

/* A cancellation from another thread ends a sleep without a deadline. */
static void cancel_ends_a_sleep_of_another_thread(void **state)
{
    (void)state;
    struct ph_waiter waiter;
    pthread_t thread;
    ph_waiter_init(&waiter);
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, &waiter), 0);
    assert_int_equal(ph_waiter_sleep(&waiter, ph_now_ms() + 10000), PH_ECANCELED);
    pthread_join(thread, NULL);
    ph_waiter_fini(&waiter);
}

static bool four_are_waiting(void *arg)
{
    struct ph_waitlist *list = arg;
    return atomic_load(&list->count) == 4;
}

/* Everybody who waits hears of every change; nobody is lost between test and sleep. */
static void wake_reaches_everybody(void **state)
{
    (void)state;
    enum { SLEEPERS = 4, ROUNDS = 300 };
    struct ph_waitlist list;
    atomic_int number = 0;
    struct sleeper sleepers[SLEEPERS];
    pthread_t threads[SLEEPERS];
    ph_waitlist_init(&list);
    ph_waitlist_wake(&list); /* nobody there: nothing happens */
    for (int i = 0; i < SLEEPERS; i++) {
        sleepers[i] = (struct sleeper){.list = &list,
                                       .number = &number,
                                       .wanted = ROUNDS - i,
                                       .deadline_ms = ph_now_ms() + 20000};
        ph_waiter_init(&sleepers[i].waiter);
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_number, &sleepers[i]), 0);
    }
    assert_true(eventually(four_are_waiting, &list, 5000));
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add_explicit(&number, 1, memory_order_release);
        ph_waitlist_wake(&list);
    }
    for (int i = 0; i < SLEEPERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(sleepers[i].rc, 0);
        ph_waiter_fini(&sleepers[i].waiter);
    }
    assert_int_equal(atomic_load(&list.count), 0);
    ph_waitlist_fini(&list);
}

/* Joins and wakes that race: a waiter that joins while the number rises never sleeps through it. */
static void racing_join_is_not_lost(void **state)
{
    (void)state;
    struct ph_waitlist list;
    ph_waitlist_init(&list);
    for (int round = 0; round < 300; round++) {
        atomic_int number = 0;
        struct sleeper sleeper = {
            .list = &list, .number = &number, .wanted = 1, .deadline_ms = ph_now_ms() + 20000};
        pthread_t thread;
        ph_waiter_init(&sleeper.waiter);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_number, &sleeper), 0);
        atomic_store_explicit(&number, 1, memory_order_release);
        ph_waitlist_wake(&list);
        pthread_join(thread, NULL);
        assert_int_equal(sleeper.rc, 0);
        ph_waiter_fini(&sleeper.waiter);
    }
    ph_waitlist_fini(&list);
}

/* Entries leave from anywhere in the list. */
static void entries_leave_in_any_order(void **state)
{
    (void)state;
    struct ph_waitlist list;
    struct ph_waiter waiters[3];
    struct ph_wait_entry entries[3];
    ph_waitlist_init(&list);
    for (int i = 0; i < 3; i++) {
        ph_waiter_init(&waiters[i]);
        ph_waitlist_join(&list, &entries[i], &waiters[i]);
    }
    ph_waitlist_leave(&list, &entries[1]);
    ph_waitlist_wake(&list);
    assert_int_equal(ph_waiter_sleep(&waiters[0], ph_now_ms()), 0);
    assert_int_equal(ph_waiter_sleep(&waiters[1], ph_now_ms()), PH_ETIMEOUT);
    assert_int_equal(ph_waiter_sleep(&waiters[2], ph_now_ms()), 0);
    ph_waitlist_leave(&list, &entries[2]);
    ph_waitlist_leave(&list, &entries[0]);
    assert_null(list.first);
    for (int i = 0; i < 3; i++)
        ph_waiter_fini(&waiters[i]);
    ph_waitlist_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(earlier_wake_counts),
        cmocka_unit_test(sleep_ends_at_its_deadline),
        cmocka_unit_test(cancellation_stays_until_reset),
        cmocka_unit_test(cancel_ends_a_sleep_of_another_thread),
        cmocka_unit_test(wake_reaches_everybody),
        cmocka_unit_test(racing_join_is_not_lost),
        cmocka_unit_test(entries_leave_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
