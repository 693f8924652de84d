#include "engine/directory.h"

#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/directory_log.h"
#include "engine/prng.h"
#include "engine/spec.h"

#ifdef PH_TSAN
enum { ROUNDS = 10000 };
#else
enum { ROUNDS = 100000 };
#endif
enum { IDS = 1000, READERS = 3, MEMBERS = 4, SPECS = 3, CHANGES = 8 };

/* What the threads of one test share; readers record, the test asserts. */
struct arena {
    struct ph_directory *directory;
    atomic_bool stop;
    _Atomic uint64_t found, walked, wrong_id, wrong_spec, wrong_placement, wrong_reason;
};

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- Readers ------------------------------------------------------------------------------- */

/* A reason names the child and the member that it is of. */
static void inspect_reason_rcu(struct arena *arena, const struct ph_entry *entry,
                               struct ph_placement *placement)
{
    char id[32] = "";
    unsigned member = 0;
    const char *reason = atomic_load_explicit(&placement->reason, memory_order_acquire);
    if (!reason)
        return;
    if (sscanf(reason, "%31s at %u", id, &member) != 2 || strcmp(id, entry->id) != 0 ||
        member != placement->member)
        count(&arena->wrong_reason);
}

/* In a read section: is everything that the entry leads to whole and alive? */
static void inspect_rcu(struct arena *arena, const struct ph_entry *entry)
{
    unsigned placements = 0;
    const struct ph_spec *spec = ph_entry_spec_rcu(entry);
    if (spec && strcmp(spec->module, "counter") != 0)
        count(&arena->wrong_spec);
    for (struct ph_placement *at = ph_entry_first_rcu(entry); at; at = ph_placement_next_rcu(at)) {
        struct ph_placed placed;
        ph_placement_read_rcu(at, &placed);
        if (at->entry != entry || at->member >= MEMBERS || placed.state > PH_STATES)
            count(&arena->wrong_placement);
        inspect_reason_rcu(arena, entry, at);
        placements++;
    }
    /* One may be taken out and put in again in front while the list is read. */
    if (placements > 100 * MEMBERS)
        count(&arena->wrong_placement);
}

static bool inspect_each(void *arg, struct ph_entry *entry)
{
    struct arena *arena = arg;
    inspect_rcu(arena, entry);
    count(&arena->walked);
    return true;
}

static void look_up(struct arena *arena, uint64_t number)
{
    char id[16];
    snprintf(id, sizeof id, "child-%u", (unsigned)number);
    ph_rcu_enter();
    const struct ph_entry *entry = ph_directory_find_rcu(arena->directory, id, strlen(id));
    if (entry) {
        inspect_rcu(arena, entry);
        count(&arena->found);
        if (strcmp(entry->id, id) != 0)
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
        if (i % 1024 == 0) {
            ph_rcu_enter();
            ph_directory_each_rcu(arena->directory, inspect_each, arena);
            ph_rcu_exit();
        }
        look_up(arena, ph_prng_below(&prng, IDS));
    }
    ph_thread_leave();
    return NULL;
}

/* ---- The writer ---------------------------------------------------------------------------- */

static void change_placement(struct arena *arena, struct ph_prng *prng, struct ph_entry *entry)
{
    uint16_t member = (uint16_t)ph_prng_below(prng, MEMBERS);
    char reason[64];
    const struct ph_placed placed = {
        .state = (enum ph_state)ph_prng_below(prng, PH_STATES),
        .epoch = ph_prng_below(prng, 1000),
    };
    snprintf(reason, sizeof reason, "%s at %u %u", entry->id, member,
             (unsigned)ph_prng_below(prng, 3));
    ph_directory_place(arena->directory, entry, member, ph_prng_below(prng, 3) ? &placed : NULL,
                       ph_prng_below(prng, 2) ? reason : NULL);
}

/* One step of a hub: intents and placements change, what is not needed goes. */
static void step(struct arena *arena, struct ph_prng *prng, struct ph_spec **specs, uint64_t now)
{
    ph_rcu_enter();
    for (unsigned i = 0; i < CHANGES; i++) {
        char id[16];
        snprintf(id, sizeof id, "child-%u", (unsigned)ph_prng_below(prng, IDS));
        struct ph_entry *entry = ph_directory_make(arena->directory, id, strlen(id));
        const struct ph_intent intent = {
            .version = {now, i + 1},
            .spec = ph_prng_below(prng, 3) ? specs[ph_prng_below(prng, SPECS)] : NULL,
        };
        if (ph_prng_below(prng, 2))
            ph_directory_want(arena->directory, entry, &intent, now);
        else
            change_placement(arena, prng, entry);
        if (ph_prng_below(prng, 50) == 0)
            ph_directory_forget(arena->directory, entry);
    }
    ph_directory_log_purge(arena->directory, UINT_MAX);
    ph_directory_purge(arena->directory, now, 16);
    ph_directory_reclaim(arena->directory);
    ph_rcu_exit();
}

/* Readers find, walk, and read placements and reasons while one writer changes, frees and grows:
 * whatever they reach is whole, and what it says is of that child. */
static void readers_see_only_whole_entries(void **state)
{
    (void)state;
    struct arena arena = {.directory = ph_directory_create(9)};
    struct ph_spec *specs[SPECS];
    pthread_t readers[READERS];
    struct ph_prng prng;
    ph_prng_init(&prng, 4);
    for (unsigned i = 0; i < SPECS; i++) {
        specs[i] = ph_spec_create();
        assert_int_equal(ph_spec_set(specs[i], "module", "counter", NULL), 0);
    }
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, reader_main, &arena), 0);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        step(&arena, &prng, specs, round);
        if (round % (ROUNDS / 4) == 0) {
            for (unsigned i = 0; i < SPECS; i++) { /* the directory alone holds the old ones */
                ph_spec_put(specs[i]);
                specs[i] = ph_spec_create();
                assert_int_equal(ph_spec_set(specs[i], "module", "counter", NULL), 0);
            }
            ph_directory_grow(arena.directory, (size_t)512 << (round / (ROUNDS / 4)));
        }
    }
    atomic_store_explicit(&arena.stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(arena.wrong_id, 0);
    assert_int_equal(arena.wrong_spec, 0);
    assert_int_equal(arena.wrong_placement, 0);
    assert_int_equal(arena.wrong_reason, 0);
    assert_true(arena.found > 0);
    assert_true(arena.walked > 0);
    ph_directory_destroy(arena.directory);
    for (unsigned i = 0; i < SPECS; i++)
        ph_spec_put(specs[i]);
    ph_rcu_barrier();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_only_whole_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
