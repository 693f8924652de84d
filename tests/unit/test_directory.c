#include "engine/directory.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/directory_inside.h"
#include "engine/directory_log.h"
#include "engine/prng.h"
#include "engine/spec.h"

/* A directory and the specs that its intents share. */
struct fixture {
    struct ph_directory *directory;
    struct ph_spec *spec, *other;
};

static struct ph_spec *make_spec(const char *args)
{
    struct ph_spec *spec = ph_spec_create();
    assert_int_equal(ph_spec_set(spec, "module", "counter", NULL), 0);
    assert_int_equal(ph_spec_set(spec, "args", args, NULL), 0);
    return spec;
}

static int set_up(void **state)
{
    struct fixture *fixture = ph_alloc(sizeof *fixture);
    fixture->directory = ph_directory_create(7);
    fixture->spec = make_spec("a");
    fixture->other = make_spec("b");
    ph_rcu_enter();
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    ph_rcu_exit();
    ph_directory_destroy(fixture->directory);
    ph_spec_put(fixture->spec);
    ph_spec_put(fixture->other);
    ph_free(fixture);
    return 0;
}

static struct ph_entry *make(struct ph_directory *directory, const char *id)
{
    struct ph_entry *entry = ph_directory_make(directory, id, strlen(id));
    assert_non_null(entry);
    return entry;
}

static struct ph_entry *find(const struct ph_directory *directory, const char *id)
{
    return ph_directory_find_rcu(directory, id, strlen(id));
}

static bool want(struct ph_directory *directory, const char *id, uint64_t clock, uint64_t author,
                 struct ph_spec *spec)
{
    const struct ph_intent intent = {.version = {clock, author}, .spec = spec};
    return ph_directory_want(directory, make(directory, id), &intent, clock);
}

static bool place(struct ph_directory *directory, const char *id, uint16_t member,
                  enum ph_state state, const char *reason)
{
    const struct ph_placed placed = {.state = state, .epoch = 5, .instance = 1};
    return ph_directory_place(directory, make(directory, id), member, &placed, reason);
}

static bool take_away(struct ph_directory *directory, const char *id, uint16_t member)
{
    return ph_directory_place(directory, make(directory, id), member, NULL, NULL);
}

/* ---- Intents: one directory ---------------------------------------------------------------- */

/* An entry is made once, and found by its id alone. */
static void entry_is_made_once_and_found(void **state)
{
    struct ph_directory *directory = ((struct fixture *)*state)->directory;
    assert_null(find(directory, "a"));
    struct ph_entry *entry = make(directory, "a");
    assert_ptr_equal(make(directory, "a"), entry);
    assert_ptr_equal(find(directory, "a"), entry);
    assert_null(find(directory, "aa"));
    assert_string_equal(entry->id, "a");
    assert_int_equal(ph_directory_entries(directory), 1);
    assert_int_equal(ph_directory_wanted_count(directory), 0);
    assert_int_equal(ph_directory_hash(directory), 0);
}

/* The higher clock wins; among equal clocks the higher author; equal versions change nothing. */
static void higher_version_wins(void **state)
{
    struct fixture *f = *state;
    assert_true(want(f->directory, "a", 5, 1, f->spec));
    assert_false(want(f->directory, "a", 5, 1, f->other));
    assert_false(want(f->directory, "a", 4, 9, NULL));
    assert_ptr_equal(ph_entry_spec_rcu(find(f->directory, "a")), f->spec);
    assert_true(want(f->directory, "a", 5, 2, f->other));
    assert_ptr_equal(ph_entry_spec_rcu(find(f->directory, "a")), f->other);
    assert_true(want(f->directory, "a", 6, 0, NULL));
    assert_null(ph_entry_spec_rcu(find(f->directory, "a")));
}

/* The hash covers versions of what is wanted; what is stopped is not in it. */
static void hash_covers_only_what_is_wanted(void **state)
{
    struct fixture *f = *state;
    want(f->directory, "a", 1, 1, f->spec);
    uint64_t only_a = ph_directory_hash(f->directory);
    assert_int_not_equal(only_a, 0);
    want(f->directory, "b", 2, 1, f->spec);
    assert_int_not_equal(ph_directory_hash(f->directory), only_a);
    want(f->directory, "b", 3, 1, NULL);
    assert_int_equal(ph_directory_hash(f->directory), only_a);
    want(f->directory, "a", 4, 1, f->spec);
    assert_int_not_equal(ph_directory_hash(f->directory), only_a);
    want(f->directory, "a", 5, 1, NULL);
    assert_int_equal(ph_directory_hash(f->directory), 0);
    assert_int_equal(ph_directory_wanted_count(f->directory), 0);
    assert_int_equal(ph_directory_entries(f->directory), 2);
}

/* Placements are in no hash of intents. */
static void placements_do_not_change_the_hash(void **state)
{
    struct fixture *f = *state;
    want(f->directory, "a", 1, 1, f->spec);
    uint64_t before = ph_directory_hash(f->directory);
    place(f->directory, "a", 0, PH_STATE_RUNNING, NULL);
    assert_int_equal(ph_directory_hash(f->directory), before);
}

static bool count_each(void *arg, struct ph_entry *entry)
{
    unsigned *count = arg;
    assert_non_null(ph_entry_spec_rcu(entry));
    return ++*count != 3;
}

/* Each sees what is wanted, and ends when it is told to. */
static void each_sees_wanted_children_only(void **state)
{
    struct fixture *f = *state;
    const struct ph_intent mark = {.version = {9, 1}, .mark = 1};
    unsigned count = 0;
    want(f->directory, "a", 1, 1, f->spec);
    want(f->directory, "b", 1, 1, NULL);
    want(f->directory, "c", 1, 1, f->spec);
    ph_directory_want(f->directory, make(f->directory, "drain n1"), &mark, 0);
    ph_directory_each_rcu(f->directory, count_each, &count);
    assert_int_equal(count, 2);
    want(f->directory, "d", 1, 1, f->spec);
    want(f->directory, "e", 1, 1, f->spec);
    count = 0;
    ph_directory_each_rcu(f->directory, count_each, &count);
    assert_int_equal(count, 3);
}

/* A mark is an intent without a spec: in the hash, not among the children, kept until unset. */
static void mark_is_hashed_and_kept_until_it_is_unset(void **state)
{
    struct fixture *f = *state;
    struct ph_intent mark = {.version = {1, 1}, .mark = 1};
    struct ph_entry *entry = make(f->directory, "drain n1");
    assert_true(ph_directory_want(f->directory, entry, &mark, 10));
    assert_int_not_equal(ph_directory_hash(f->directory), 0);
    assert_int_equal(ph_directory_wanted_count(f->directory), 0);
    ph_directory_purge(f->directory, 1000, 100);
    assert_ptr_equal(find(f->directory, "drain n1"), entry);
    mark.version.clock = 2;
    mark.mark = 0;
    assert_true(ph_directory_want(f->directory, entry, &mark, 20));
    assert_int_equal(ph_directory_hash(f->directory), 0);
    ph_directory_purge(f->directory, 1000, 100);
    assert_null(find(f->directory, "drain n1"));
}

/* The newest pin counts, whatever the versions of what is wanted; and who pins wants nothing: a
 * stop that crosses a pin stays. */
static void pin_has_versions_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct ph_entry *entry = make(f->directory, "a");
    struct ph_intent intent = {.version = {2, 1}, .spec = f->spec, .pinned = {2, 1}, .pin = 77};
    assert_true(ph_directory_want(f->directory, entry, &intent, 0));
    assert_int_equal(atomic_load(&entry->pin), 77);
    const struct ph_intent older = {.pinned = {1, 1}, .pin = 99};
    assert_false(ph_directory_want(f->directory, entry, &older, 0));
    assert_int_equal(atomic_load(&entry->pin), 77);
    const struct ph_intent stop = {.version = {3, 1}};
    assert_true(ph_directory_want(f->directory, entry, &stop, 0));
    const struct ph_intent newer = {.pinned = {9, 1}, .pin = 5};
    assert_true(ph_directory_want(f->directory, entry, &newer, 0));
    assert_int_equal(atomic_load(&entry->pin), 5);
    assert_null(ph_entry_spec_rcu(entry));
    assert_int_equal(ph_directory_hash(f->directory), 0);
}

/* ---- Intents: several directories ---------------------------------------------------------- */

enum { PEERS = 4, IDS = 150, WRITES = 900 };

struct write {
    char id[16];
    struct ph_intent intent;
};

static void deliver(struct ph_directory *directory, const struct write *write)
{
    struct ph_entry *entry = make(directory, write->id);
    struct ph_version before = entry->version;
    bool newer = ph_version_compare(write->intent.version, before) > 0;
    assert_int_equal(ph_directory_want(directory, entry, &write->intent, 0), newer);
}

static void shuffle(struct ph_prng *prng, unsigned *order, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        order[i] = i;
    for (unsigned i = count; i > 1; i--) {
        unsigned other = (unsigned)ph_prng_below(prng, i), kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

static void make_writes(struct ph_prng *prng, const struct fixture *f, struct write *writes)
{
    for (unsigned i = 0; i < WRITES; i++) {
        unsigned what = (unsigned)ph_prng_below(prng, 10);
        snprintf(writes[i].id, sizeof writes[i].id, "c-%u", (unsigned)ph_prng_below(prng, IDS));
        writes[i].intent = (struct ph_intent){
            .version = {1 + ph_prng_below(prng, 50), 1 + ph_prng_below(prng, 5)},
            .spec = what < 5   ? f->spec
                    : what < 6 ? f->other
                               : NULL,
            .pin = ph_prng_below(prng, 3),
            .mark = what == 9,
        };
        /* Nobody writes twice with one version. */
        for (unsigned j = 0; j < i; j++)
            if (strcmp(writes[j].id, writes[i].id) == 0 &&
                ph_version_compare(writes[j].intent.version, writes[i].intent.version) == 0)
                writes[i].intent = writes[j].intent;
        writes[i].intent.pinned = writes[i].intent.version;
    }
}

static void assert_equal_intents(const struct ph_directory *a, const struct ph_directory *b)
{
    assert_int_equal(ph_directory_hash(a), ph_directory_hash(b));
    for (unsigned bucket = 0; bucket < PH_BUCKETS; bucket++)
        assert_int_equal(ph_directory_bucket(a, bucket), ph_directory_bucket(b, bucket));
    assert_int_equal(ph_directory_wanted_count(a), ph_directory_wanted_count(b));
    assert_int_equal(ph_directory_entries(a), ph_directory_entries(b));
}

static void assert_newest(const struct ph_directory *directory, const struct write *writes)
{
    for (unsigned i = 0; i < WRITES; i++) {
        const struct write *best = &writes[i];
        for (unsigned j = 0; j < WRITES; j++)
            if (strcmp(writes[j].id, best->id) == 0 &&
                ph_version_compare(writes[j].intent.version, best->intent.version) > 0)
                best = &writes[j];
        struct ph_entry *entry = find(directory, best->id);
        assert_int_equal(ph_version_compare(entry->version, best->intent.version), 0);
        assert_ptr_equal(ph_entry_spec_rcu(entry), best->intent.spec);
        assert_int_equal(atomic_load(&entry->pin), best->intent.pin);
        assert_int_equal(atomic_load(&entry->mark), best->intent.mark);
    }
}

static uint64_t sum_of_buckets(const struct ph_directory *directory)
{
    uint64_t sum = 0;
    for (unsigned bucket = 0; bucket < PH_BUCKETS; bucket++)
        sum ^= ph_directory_bucket(directory, bucket);
    return sum;
}

/* Whatever the order in which intents come, and however often, all end with the highest versions
 * and with equal hashes. */
static void any_order_of_delivery_ends_the_same(void **state)
{
    struct fixture *f = *state;
    struct ph_directory *peers[PEERS];
    struct write *writes = ph_alloc(WRITES * sizeof *writes);
    unsigned *order = ph_alloc(WRITES * sizeof *order);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct ph_prng prng;
        ph_prng_init(&prng, seed);
        make_writes(&prng, f, writes);
        for (unsigned peer = 0; peer < PEERS; peer++) {
            peers[peer] = ph_directory_create(seed * 10 + peer);
            shuffle(&prng, order, WRITES);
            for (unsigned i = 0; i < WRITES; i++) {
                deliver(peers[peer], &writes[order[i]]);
                if (ph_prng_below(&prng, 4) == 0)
                    deliver(peers[peer], &writes[order[ph_prng_below(&prng, i + 1)]]);
            }
            assert_newest(peers[peer], writes);
            assert_int_equal(sum_of_buckets(peers[peer]), ph_directory_hash(peers[peer]));
        }
        for (unsigned peer = 1; peer < PEERS; peer++)
            assert_equal_intents(peers[0], peers[peer]);
        ph_rcu_exit();
        for (unsigned peer = 0; peer < PEERS; peer++)
            ph_directory_destroy(peers[peer]);
        ph_rcu_enter();
    }
    ph_free(writes);
    ph_free(order);
}

/* ---- Tombstones ---------------------------------------------------------------------------- */

static void stop_at(struct fixture *f, const char *id, uint64_t clock, uint64_t now_ms)
{
    const struct ph_intent nothing = {.version = {clock, 1}};
    ph_directory_want(f->directory, make(f->directory, id), &nothing, now_ms);
}

/* A tombstone goes when it came before the given time, not at it. */
static void tombstone_is_purged_when_it_is_old_enough(void **state)
{
    struct fixture *f = *state;
    want(f->directory, "a", 1, 1, f->spec);
    stop_at(f, "a", 2, 100);
    ph_directory_purge(f->directory, 100, 10);
    assert_non_null(find(f->directory, "a"));
    ph_directory_purge(f->directory, 101, 10);
    assert_null(find(f->directory, "a"));
    assert_int_equal(ph_directory_entries(f->directory), 0);
}

/* What is placed, waited for or in a work list stays; when that is over it goes. */
static void needed_tombstone_stays(void **state)
{
    struct fixture *f = *state;
    stop_at(f, "a", 2, 100);
    stop_at(f, "b", 2, 100);
    place(f->directory, "a", 3, PH_STATE_RUNNING, NULL);
    find(f->directory, "b")->pending = (struct ph_pending *)f;
    ph_directory_purge(f->directory, 200, 10);
    assert_int_equal(ph_directory_entries(f->directory), 2);
    find(f->directory, "b")->pending = NULL;
    take_away(f->directory, "a", 3);
    ph_directory_purge(f->directory, 300, 10);
    assert_int_equal(ph_directory_entries(f->directory), 0);
}

/* A removal in the own log keeps the entry until the log has forgotten it. */
static void tombstone_stays_while_the_log_has_its_removal(void **state)
{
    struct fixture *f = *state;
    stop_at(f, "a", 2, 100);
    ph_directory_log_seek(f->directory, 1, 0);
    place(f->directory, "a", 0, PH_STATE_RUNNING, NULL);
    take_away(f->directory, "a", 0);
    ph_directory_purge(f->directory, 200, 10);
    assert_non_null(find(f->directory, "a"));
    ph_directory_log_close(f->directory, 1);
    ph_directory_purge(f->directory, 300, 10);
    assert_null(find(f->directory, "a"));
}

/* What is wanted again is no tombstone; stopped anew, its time counts from then. */
static void child_started_again_is_not_purged(void **state)
{
    struct fixture *f = *state;
    stop_at(f, "a", 1, 100);
    want(f->directory, "a", 2, 1, f->spec);
    ph_directory_purge(f->directory, 500, 10);
    assert_non_null(find(f->directory, "a"));
    stop_at(f, "a", 3, 600);
    ph_directory_purge(f->directory, 600, 10);
    assert_non_null(find(f->directory, "a"));
    ph_directory_purge(f->directory, 601, 10);
    assert_null(find(f->directory, "a"));
}

/* A child that is stopped again and again does not hold back the tombstones behind it. */
static void young_tombstone_does_not_hold_back_older_ones(void **state)
{
    struct fixture *f = *state;
    stop_at(f, "often", 1, 100);
    stop_at(f, "a", 1, 110);
    stop_at(f, "b", 1, 120);
    want(f->directory, "often", 2, 1, f->spec);
    stop_at(f, "often", 3, 500);
    ph_directory_purge(f->directory, 400, 10);
    assert_null(find(f->directory, "a"));
    assert_null(find(f->directory, "b"));
    assert_non_null(find(f->directory, "often"));
    ph_directory_purge(f->directory, 501, 10);
    assert_null(find(f->directory, "often"));
}

/* The end of a placement that nobody knew leaves an entry that goes like any other. */
static void unknown_removal_leaves_nothing_for_ever(void **state)
{
    struct fixture *f = *state;
    assert_false(take_away(f->directory, "a", 3));
    ph_directory_purge(f->directory, 10, 10);
    assert_null(find(f->directory, "a"));
}

/* One call looks at no more tombstones than it is told. */
static void purge_looks_at_no_more_than_its_limit(void **state)
{
    struct fixture *f = *state;
    char id[16];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "c-%u", i);
        stop_at(f, id, 1, i);
    }
    assert_true(ph_directory_purge(f->directory, 100, 6));
    assert_int_equal(ph_directory_entries(f->directory), 14);
    assert_false(ph_directory_purge(f->directory, 100, 100));
    assert_int_equal(ph_directory_entries(f->directory), 0);
}

/* No purge changes a hash: members that purge at different times agree. */
static void purge_never_changes_a_hash(void **state)
{
    struct fixture *f = *state;
    struct ph_prng prng;
    uint64_t buckets[PH_BUCKETS];
    ph_prng_init(&prng, 3);
    for (uint64_t round = 1; round <= 200; round++) {
        for (unsigned i = 0; i < 20; i++) {
            char id[16];
            snprintf(id, sizeof id, "c-%u", (unsigned)ph_prng_below(&prng, 100));
            want(f->directory, id, round * 100 + i, 1, ph_prng_below(&prng, 2) ? f->spec : NULL);
        }
        for (unsigned bucket = 0; bucket < PH_BUCKETS; bucket++)
            buckets[bucket] = ph_directory_bucket(f->directory, bucket);
        uint64_t hash = ph_directory_hash(f->directory);
        ph_directory_purge(f->directory, round > 5 ? round * 100 - 500 : 0, 30);
        assert_int_equal(ph_directory_hash(f->directory), hash);
        for (unsigned bucket = 0; bucket < PH_BUCKETS; bucket++)
            assert_int_equal(ph_directory_bucket(f->directory, bucket), buckets[bucket]);
        ph_directory_reclaim(f->directory);
    }
    assert_in_range(ph_directory_entries(f->directory), ph_directory_wanted_count(f->directory),
                    100);
}

/* Forgetting leaves nothing: not in the hash, not among placements, not in the own log; and what
 * comes next is taken, whatever its version. */
static void forgotten_child_is_as_if_it_had_never_come(void **state)
{
    struct fixture *f = *state;
    struct ph_log_entry row;
    want(f->directory, "a", 50, 1, f->spec);
    place(f->directory, "a", 0, PH_STATE_RUNNING, NULL);
    place(f->directory, "a", 2, PH_STATE_RUNNING, "why");
    ph_directory_log_seek(f->directory, 1, 0);
    ph_directory_forget(f->directory, find(f->directory, "a"));
    ph_directory_reclaim(f->directory);
    ph_rcu_exit();
    ph_rcu_barrier();
    ph_rcu_enter();
    assert_int_equal(ph_directory_hash(f->directory), 0);
    assert_int_equal(ph_directory_wanted_count(f->directory), 0);
    assert_int_equal(ph_directory_placed(f->directory, 0), 0);
    assert_int_equal(ph_directory_placed(f->directory, 2), 0);
    assert_true(ph_directory_log_next(f->directory, 1, &row));
    assert_null(row.placement);
    assert_true(want(f->directory, "a", 1, 1, f->spec));
    want(f->directory, "a", 2, 1, NULL);
    ph_directory_log_purge(f->directory, UINT_MAX);
    ph_directory_purge(f->directory, 1000, 10);
    assert_null(find(f->directory, "a"));
}

/* ---- Placements ---------------------------------------------------------------------------- */

/* A placement is set, read, counted and taken away; the same again is no change. */
static void placement_reports_only_changes(void **state)
{
    struct fixture *f = *state;
    const struct ph_placed placed = {PH_STATE_RUNNING, 5, 4242, 1000, 3, 2};
    struct ph_placed read, later = placed;
    struct ph_entry *entry = make(f->directory, "a");
    assert_false(ph_directory_place(f->directory, entry, 4, NULL, NULL));
    assert_true(ph_directory_place(f->directory, entry, 4, &placed, NULL));
    later.since_ms = 1010; /* the reader's clock: it says nothing new */
    assert_false(ph_directory_place(f->directory, entry, 4, &later, NULL));
    assert_int_equal(ph_directory_placed(f->directory, 4), 1);
    ph_placement_read_rcu(ph_directory_placement(f->directory, entry, 4), &read);
    assert_true(read.state == placed.state && read.epoch == placed.epoch);
    assert_true(read.pid == placed.pid && read.since_ms == placed.since_ms);
    assert_true(read.instance == placed.instance && read.restarts == placed.restarts);
    assert_null(ph_directory_placement(f->directory, entry, 5));
    later.restarts = 3;
    assert_true(ph_directory_place(f->directory, entry, 4, &later, NULL));
    assert_true(ph_directory_place(f->directory, entry, 4, NULL, NULL));
    assert_false(ph_directory_place(f->directory, entry, 4, NULL, NULL));
    assert_int_equal(ph_directory_placed(f->directory, 4), 0);
    assert_null(ph_entry_first_rcu(entry));
}

static const char *reason_of(const struct fixture *f, uint16_t member)
{
    struct ph_placement *placement =
        ph_directory_placement(f->directory, find(f->directory, "a"), member);
    return atomic_load(&placement->reason);
}

/* A reason is copied; another one is a change, the same one is none. */
static void reason_is_copied_and_compared_by_its_text(void **state)
{
    struct fixture *f = *state;
    char why[] = "exited with code 3";
    assert_true(place(f->directory, "a", 2, PH_STATE_FAILED, why));
    assert_false(place(f->directory, "a", 2, PH_STATE_FAILED, "exited with code 3"));
    why[0] = 'X';
    assert_string_equal(reason_of(f, 2), "exited with code 3");
    assert_true(place(f->directory, "a", 2, PH_STATE_FAILED, why));
    assert_string_equal(reason_of(f, 2), why);
    assert_true(place(f->directory, "a", 2, PH_STATE_FAILED, NULL));
    assert_null(reason_of(f, 2));
}

/* Several nodes may have a child; each has its own placement and its own count. */
static void members_are_counted_apart(void **state)
{
    struct fixture *f = *state;
    for (uint16_t member = 1; member <= 3; member++) {
        place(f->directory, "a", member, PH_STATE_RUNNING, NULL);
        if (member > 1)
            place(f->directory, "b", member, PH_STATE_RUNNING, NULL);
    }
    take_away(f->directory, "a", 2);
    assert_int_equal(ph_directory_placed(f->directory, 0), 0);
    assert_int_equal(ph_directory_placed(f->directory, 1), 1);
    assert_int_equal(ph_directory_placed(f->directory, 2), 1);
    assert_int_equal(ph_directory_placed(f->directory, 3), 2);
    assert_non_null(ph_directory_placement(f->directory, find(f->directory, "a"), 1));
    assert_null(ph_directory_placement(f->directory, find(f->directory, "a"), 2));
    assert_non_null(ph_directory_placement(f->directory, find(f->directory, "a"), 3));
}

/* What a snapshot does not bring again is void at its end; what it brings is valid. */
static void older_rounds_become_void(void **state)
{
    struct fixture *f = *state;
    place(f->directory, "a", 1, PH_STATE_RUNNING, NULL);
    place(f->directory, "b", 1, PH_STATE_RUNNING, NULL);
    place(f->directory, "b", 2, PH_STATE_RUNNING, NULL);
    uint32_t round = ph_directory_next_round(f->directory, 1);
    place(f->directory, "a", 1, PH_STATE_RUNNING, NULL);
    struct ph_entry *a = find(f->directory, "a"), *b = find(f->directory, "b");
    assert_non_null(ph_directory_placement(f->directory, b, 1));
    ph_directory_void_before(f->directory, 1, round);
    assert_non_null(ph_directory_placement(f->directory, a, 1));
    assert_null(ph_directory_placement(f->directory, b, 1));
    assert_non_null(ph_directory_placement(f->directory, b, 2));
    unsigned voids = 0;
    for (struct ph_placement *at = ph_entry_first_rcu(b); at; at = ph_placement_next_rcu(at))
        voids += ph_directory_is_void(f->directory, at);
    assert_int_equal(voids, 1);
}

/* A void placement that comes again is valid, and a change. */
static void void_placement_comes_back(void **state)
{
    struct fixture *f = *state;
    place(f->directory, "a", 1, PH_STATE_RUNNING, NULL);
    uint32_t round = ph_directory_next_round(f->directory, 1);
    ph_directory_void_before(f->directory, 1, round);
    assert_null(ph_directory_placement(f->directory, find(f->directory, "a"), 1));
    assert_true(place(f->directory, "a", 1, PH_STATE_RUNNING, NULL));
    assert_non_null(ph_directory_placement(f->directory, find(f->directory, "a"), 1));
    assert_int_equal(ph_directory_placed(f->directory, 1), 1);
}

/* ---- Walks --------------------------------------------------------------------------------- */

/* A walk in slices sees every entry that was there at its start and still is. */
static void walk_sees_what_stays_while_others_come_and_go(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 1000, SLICE = 7 };
    unsigned char *seen = ph_alloc(COUNT);
    struct ph_entry *entries[SLICE];
    struct ph_cursor cursor = {0};
    struct ph_prng prng;
    char id[16];
    unsigned got, foreign = 0;
    ph_prng_init(&prng, 11);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "c-%u", i);
        want(f->directory, id, 1, 1, i % 3 ? f->spec : NULL);
    }
    while ((got = ph_directory_walk(f->directory, &cursor, entries, SLICE))) {
        for (unsigned i = 0; i < got; i++) {
            unsigned number = 0;
            if (sscanf(entries[i]->id, "c-%u", &number) == 1)
                seen[number]++;
            else
                foreign++;
        }
        ph_directory_purge(f->directory, 100, 3); /* some of those that are stopped go */
        for (unsigned i = 0; i < 4 && cursor.left; i++) {
            snprintf(id, sizeof id, "x-%u", (unsigned)ph_prng_below(&prng, 100000));
            want(f->directory, id, 1, 1, f->spec);
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_in_range(seen[i], i % 3 ? 1 : 0, 2);
    }
    assert_in_range(foreign, 1, 10 * COUNT);
    ph_free(seen);
}

/* A table that grows keeps all its entries. */
static void grown_table_has_everything(void **state)
{
    struct fixture *f = *state;
    char id[16];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "c-%u", i);
        want(f->directory, id, 1, 1, f->spec);
    }
    size_t buckets = ph_directory_wanted(f->directory, 5000);
    assert_in_range(buckets, 5000, 16384);
    ph_rcu_exit();
    ph_directory_grow(f->directory, buckets);
    ph_rcu_enter();
    assert_int_equal(ph_directory_wanted(f->directory, 5000), 0);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "c-%u", i);
        assert_non_null(find(f->directory, id));
    }
}

#define DIRECTORY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIRECTORY_TEST(entry_is_made_once_and_found),
        DIRECTORY_TEST(higher_version_wins),
        DIRECTORY_TEST(hash_covers_only_what_is_wanted),
        DIRECTORY_TEST(placements_do_not_change_the_hash),
        DIRECTORY_TEST(each_sees_wanted_children_only),
        DIRECTORY_TEST(mark_is_hashed_and_kept_until_it_is_unset),
        DIRECTORY_TEST(pin_has_versions_of_its_own),
        DIRECTORY_TEST(any_order_of_delivery_ends_the_same),
        DIRECTORY_TEST(tombstone_is_purged_when_it_is_old_enough),
        DIRECTORY_TEST(needed_tombstone_stays),
        DIRECTORY_TEST(tombstone_stays_while_the_log_has_its_removal),
        DIRECTORY_TEST(child_started_again_is_not_purged),
        DIRECTORY_TEST(young_tombstone_does_not_hold_back_older_ones),
        DIRECTORY_TEST(unknown_removal_leaves_nothing_for_ever),
        DIRECTORY_TEST(purge_looks_at_no_more_than_its_limit),
        DIRECTORY_TEST(purge_never_changes_a_hash),
        DIRECTORY_TEST(forgotten_child_is_as_if_it_had_never_come),
        DIRECTORY_TEST(placement_reports_only_changes),
        DIRECTORY_TEST(reason_is_copied_and_compared_by_its_text),
        DIRECTORY_TEST(members_are_counted_apart),
        DIRECTORY_TEST(older_rounds_become_void),
        DIRECTORY_TEST(void_placement_comes_back),
        DIRECTORY_TEST(walk_sees_what_stays_while_others_come_and_go),
        DIRECTORY_TEST(grown_table_has_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
