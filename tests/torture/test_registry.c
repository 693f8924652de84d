#include "engine/registry.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/prng.h"
#include "engine/spec.h"

#ifdef PH_TSAN
enum { ROUNDS = 20000 };
#else
enum { ROUNDS = 150000 };
#endif
enum { IDS = 3000, READERS = 3, FRESH = 0x600d600d, FREED = 0x0bad0bad };

/* The tail of a child: what a reader may see of it. */
struct tail {
    atomic_uint mark;    /* FRESH while it may be seen */
    unsigned sum;        /* of the id, written before it is published */
    atomic_ulong *finis; /* counts them */
};

/* What the threads of one test share; readers record, the test asserts. */
struct arena {
    struct ph_registry *registry;
    atomic_bool stop;
    atomic_ulong finis;
    _Atomic uint64_t found, walked, wrong_id, half_made, freed;
};

static unsigned sum_of(const char *id)
{
    unsigned sum = 1;
    while (*id)
        sum = sum * 31 + (unsigned char)*id++;
    return sum;
}

static void kind_init(struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    tail->sum = sum_of(child->id);
    atomic_init(&tail->mark, FRESH);
}

static void kind_fini(struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    atomic_store_explicit(&tail->mark, FREED, memory_order_relaxed);
    atomic_fetch_add_explicit(tail->finis, 1, memory_order_relaxed);
    ph_child_free(child);
}

static const struct ph_kind kind = {
    .name = "marked",
    .child_bytes = sizeof(struct tail),
    .init = kind_init,
    .fini = kind_fini,
};

static void name_of(uint64_t number, char id[16])
{
    snprintf(id, 16, "child-%u", (unsigned)number);
}

/* ---- Readers ------------------------------------------------------------------------------- */

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* In a read section: is it a whole, living child? */
static void inspect_rcu(struct arena *arena, const struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    if (tail->sum != sum_of(child->id) || !ph_child_spec_rcu(child)->module)
        count(&arena->half_made);
    if (atomic_load_explicit(&tail->mark, memory_order_relaxed) != FRESH)
        count(&arena->freed);
}

static bool inspect_each(void *arg, struct ph_child *child)
{
    struct arena *arena = arg;
    inspect_rcu(arena, child);
    count(&arena->walked);
    return true;
}

static void look_up(struct arena *arena, uint64_t number)
{
    char id[16];
    name_of(number, id);
    ph_rcu_enter();
    const struct ph_child *child = ph_registry_find_rcu(arena->registry, id, strlen(id));
    if (child) {
        inspect_rcu(arena, child);
        count(&arena->found);
        if (strcmp(child->id, id) != 0)
            count(&arena->wrong_id);
    }
    ph_rcu_exit();
}

static void *reader_main(void *arg)
{
    struct arena *arena = arg;
    struct ph_prng prng;
    ph_prng_init(&prng, (uint64_t)(uintptr_t)&prng);
    for (unsigned i = 1; !atomic_load_explicit(&arena->stop, memory_order_relaxed); i++) {
        if (i % 4096 == 0) {
            ph_rcu_enter();
            ph_registry_each_rcu(arena->registry, inspect_each, arena);
            ph_rcu_exit();
        }
        look_up(arena, ph_prng_below(&prng, IDS));
    }
    ph_thread_leave();
    return NULL;
}

/* ---- The writer ---------------------------------------------------------------------------- */

static struct ph_child *create(struct arena *arena, struct ph_spec *spec, uint64_t number)
{
    char id[16];
    name_of(number, id);
    struct ph_child *child = ph_child_create(NULL, &kind, id, strlen(id), spec);
    ((struct tail *)ph_child_tail(child))->finis = &arena->finis;
    return child;
}

/* One step of a hub: some children come, some go, some get another spec. */
static unsigned long step(struct arena *arena, struct ph_prng *prng, struct ph_child **children,
                          struct ph_spec *spec)
{
    unsigned long created = 0;
    ph_registry_open(arena->registry);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t number = ph_prng_below(prng, IDS);
        if (!children[number]) {
            children[number] = create(arena, spec, number);
            assert_int_equal(ph_registry_publish(arena->registry, children[number]), 0);
            created++;
        } else if (ph_prng_below(prng, 4) == 0) {
            ph_child_replace_spec(children[number], ph_spec_get(spec));
        } else {
            ph_registry_retract(arena->registry, children[number]);
            children[number] = NULL;
        }
    }
    ph_registry_reclaim(arena->registry);
    ph_registry_close(arena->registry);
    return created;
}

static void *grower_main(void *arg)
{
    struct arena *arena = arg;
    for (size_t buckets = 512; buckets <= 8192; buckets *= 2)
        ph_registry_grow(arena->registry, buckets);
    ph_thread_leave();
    return NULL;
}

static struct ph_spec *some_spec(void)
{
    struct ph_spec *spec = ph_spec_create();
    assert_int_equal(ph_spec_set(spec, "module", "marked", NULL), 0);
    return spec;
}

/* Readers never see a freed or half-made child while children come and go and the table grows; and
 * every child is freed exactly once. */
static void readers_see_only_whole_and_living_children(void **state)
{
    (void)state;
    struct arena arena = {.registry = ph_registry_create(1)};
    struct ph_child **children = test_calloc(IDS, sizeof *children);
    struct ph_spec *spec = some_spec();
    struct ph_prng prng;
    pthread_t readers[READERS], grower;
    unsigned long created = 0;
    ph_prng_init(&prng, 42);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, reader_main, &arena), 0);
    for (unsigned i = 0; i < ROUNDS / 8; i++) {
        if (i == ROUNDS / 16)
            assert_int_equal(pthread_create(&grower, NULL, grower_main, &arena), 0);
        created += step(&arena, &prng, children, spec);
    }
    atomic_store_explicit(&arena.stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    pthread_join(grower, NULL);
    assert_int_equal(ph_registry_stray_writes(arena.registry), 0);
    ph_registry_destroy(arena.registry);
    assert_int_equal(arena.wrong_id, 0);
    assert_int_equal(arena.half_made, 0);
    assert_int_equal(arena.freed, 0);
    assert_true(arena.found > 0 && arena.walked > 0);
    assert_int_equal(arena.finis, created);
    ph_spec_put(spec);
    test_free(children);
}

/* An id is taken once; what is refused stays the caller's. */
static void id_is_published_once(void **state)
{
    (void)state;
    struct arena arena = {.registry = ph_registry_create(1)};
    struct ph_spec *spec = some_spec();
    struct ph_child *first = create(&arena, spec, 1), *second = create(&arena, spec, 1);
    ph_registry_open(arena.registry);
    assert_int_equal(ph_registry_publish(arena.registry, first), 0);
    assert_int_equal(ph_registry_publish(arena.registry, second), PH_EEXISTS);
    ph_registry_close(arena.registry);
    ph_child_free(second);
    ph_registry_destroy(arena.registry);
    assert_int_equal(arena.finis, 1);
    ph_spec_put(spec);
}

/* A write outside a hub step is counted as stray. */
static void write_outside_a_step_is_counted(void **state)
{
    (void)state;
    struct arena arena = {.registry = ph_registry_create(1)};
    struct ph_spec *spec = some_spec();
    struct ph_child *child = create(&arena, spec, 1);
    assert_int_equal(ph_registry_publish(arena.registry, child), 0);
    assert_int_equal(ph_registry_stray_writes(arena.registry), 1);
    ph_registry_retract(arena.registry, child);
    assert_int_equal(ph_registry_stray_writes(arena.registry), 2);
    ph_registry_reclaim(arena.registry);
    ph_registry_destroy(arena.registry);
    ph_spec_put(spec);
}

/* The table wants to grow when it gets dense, to a power of two, and has a largest size. */
static void table_wants_to_grow_in_time(void **state)
{
    (void)state;
    struct ph_registry *registry = ph_registry_create(1);
    assert_int_equal(ph_registry_wanted(registry, 100), 0);
    size_t wanted = ph_registry_wanted(registry, 1000);
    assert_true(wanted >= 1000 && (wanted & (wanted - 1)) == 0);
    ph_registry_grow(registry, wanted);
    assert_int_equal(ph_registry_wanted(registry, 1000), 0);
    assert_int_equal(ph_registry_wanted(registry, 100000000), 1 << 22);
    ph_registry_destroy(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_only_whole_and_living_children),
        cmocka_unit_test(id_is_published_once),
        cmocka_unit_test(write_outside_a_step_is_counted),
        cmocka_unit_test(table_wants_to_grow_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
