/* Read sections against a writer that replaces and frees what they read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/prochub.h"
#include "engine/rcu.h"

enum { READERS = 2, ROUNDS = 20000 };

struct pair {
    uint64_t first, second; /* invariant: first == second */
};

struct arena {
    _Atomic(struct pair *) current;
    atomic_bool over;
    atomic_uint torn;
};

static struct pair *make_pair(uint64_t value)
{
    struct pair *pair = ph_alloc(sizeof *pair);
    *pair = (struct pair){.first = value, .second = value};
    return pair;
}

static void *read_until_over(void *arg)
{
    struct arena *arena = arg;
    /* Pairs with nothing: a late look costs one more round. */
    while (!atomic_load_explicit(&arena->over, memory_order_relaxed)) {
        ph_rcu_enter();
        const struct pair *pair = ph_rcu_load(&arena->current);
        if (pair->first != pair->second)
            atomic_fetch_add_explicit(&arena->torn, 1, memory_order_relaxed);
        ph_rcu_exit();
    }
    ph_thread_leave();
    return NULL;
}

/* What a read section found stays whole and alive until the section ends. */
static void section_keeps_what_it_found(void **state)
{
    (void)state;
    struct arena arena = {0};
    atomic_init(&arena.current, make_pair(0));
    pthread_t readers[READERS];
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_until_over, &arena), 0);

    for (uint64_t round = 1; round <= ROUNDS; round++) {
        struct pair *old = ph_rcu_load(&arena.current);
        ph_rcu_publish(&arena.current, make_pair(round));
        ph_rcu_free(old);
    }

    atomic_store_explicit(&arena.over, true, memory_order_relaxed);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(atomic_load_explicit(&arena.torn, memory_order_relaxed), 0);
    ph_free(ph_rcu_load(&arena.current));
    ph_rcu_barrier();
    ph_thread_leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(section_keeps_what_it_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
