/*
 * owners: which node owns an id, by weighted rendezvous hashing over 3, 16 and 200 nodes.
 *
 * What a hub computes for all of its children when a node joins or leaves. The ids' hashes are
 * there already, as they are in its directory. The ceiling is jump consistent hashing (J. Lamping,
 * E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014): it needs no list at all,
 * but only the last node can leave, and there are neither weights nor second owners.
 */
#include <stdio.h>
#include <string.h>

#include "bench/stage.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/rendezvous.h"
#include "engine/waiter.h"

enum { CHUNK = 1024, SHARES_CHECKED = 1000 /* ids for each node, at least */, FACTOR = 3 };

static uint64_t id_hash(uint64_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15) ^ number >> 7;
}

static void list_nodes(struct ph_owners *owners, uint32_t count, bool weighted)
{
    uint64_t hashes[PH_OWNERS_MAX] = {0};
    uint32_t weights[PH_OWNERS_MAX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        int length = snprintf(name, sizeof name, "node-%u", i);
        hashes[i] = ph_name_hash(name, (size_t)length);
        weights[i] = weighted ? 1 + i % 3 : 1;
    }
    ph_owners_init(owners, hashes, weights, count, NULL);
}

/* How many ids each node owns, over `seconds` of one way to ask. */
struct tally {
    uint64_t owned[PH_OWNERS_MAX];
    uint64_t count;
};

/* ns an id; a node that got far less than it should is a failure. */
static int judge(const struct tally *tally, uint64_t nodes, uint64_t start_ns, double *values,
                 struct ph_error *error)
{
    *values = ph_stage_since(start_ns) * 1e9 / (double)tally->count;
    for (uint64_t i = 0; i < nodes && tally->count >= nodes * SHARES_CHECKED; i++)
        if (tally->owned[i] < tally->count / nodes / 3)
            return ph_error_set(error, PH_EFAILED, "node %llu owns %llu of %llu ids",
                                (unsigned long long)i, (unsigned long long)tally->owned[i],
                                (unsigned long long)tally->count);
    return 0;
}

static int measure_list(const struct ph_bench_setup *setup, bool weighted, double *values,
                        struct ph_error *error)
{
    struct ph_owners owners;
    struct tally tally = {0};
    list_nodes(&owners, (uint32_t)setup->children, weighted);
    uint64_t start_ns = ph_now_ns();
    while (ph_stage_since(start_ns) < setup->seconds)
        for (unsigned i = 0; i < CHUNK; i++)
            tally.owned[ph_owner_of(&owners, id_hash(++tally.count))]++;
    return judge(&tally, setup->children, start_ns, values, error);
}

static int measure_equal(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    return measure_list(setup, false, values, error);
}

static int measure_weighted(const struct ph_bench_setup *setup, double *values,
                            struct ph_error *error)
{
    return measure_list(setup, true, values, error);
}

static int measure_best(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct ph_owners owners;
    struct tally tally = {0};
    list_nodes(&owners, (uint32_t)setup->children, false);
    uint64_t start_ns = ph_now_ns();
    while (ph_stage_since(start_ns) < setup->seconds) {
        for (unsigned i = 0; i < CHUNK; i++) {
            uint32_t best[FACTOR] = {0};
            ph_owners_of(&owners, id_hash(++tally.count), FACTOR, best);
            tally.owned[best[FACTOR - 1]]++;
        }
    }
    return judge(&tally, setup->children, start_ns, values, error);
}

/* ---- The ceiling --------------------------------------------------------------------------- */

static uint32_t jump(uint64_t key, uint32_t nodes)
{
    int64_t bucket = -1, next = 0;
    while (next < nodes) {
        bucket = next;
        key = key * UINT64_C(2862933555777941757) + 1;
        next = (int64_t)((double)(bucket + 1) *
                         ((double)(INT64_C(1) << 31) / (double)((key >> 33) + 1)));
    }
    return (uint32_t)bucket;
}

static int bare_jump(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct tally tally = {0};
    uint64_t start_ns = ph_now_ns();
    while (ph_stage_since(start_ns) < setup->seconds)
        for (unsigned i = 0; i < CHUNK; i++)
            tally.owned[jump(id_hash(++tally.count), (uint32_t)setup->children)]++;
    return judge(&tally, setup->children, start_ns, values, error);
}

#define OWNERS_CASE(text, function, nodes)                                         \
    {                                                                              \
        .figures = {{.name = text, .unit = "ns", .cost = true}}, .ours = function, \
        .ceiling = bare_jump, .children = (nodes), .fixed = true,                  \
    }

static const struct ph_bench_case cases[] = {
    OWNERS_CASE("owner of an id, nodes", measure_equal, 16),
    OWNERS_CASE("owner of an id, nodes", measure_equal, 3),
    OWNERS_CASE("owner of an id, nodes", measure_equal, 200),
    OWNERS_CASE("owner by weight, nodes", measure_weighted, 16),
    OWNERS_CASE("owner by weight, nodes", measure_weighted, 200),
    OWNERS_CASE("three owners, nodes", measure_best, 16),
    OWNERS_CASE("three owners, nodes", measure_best, 200),
};

const struct ph_bench_suite ph_bench_owners = {
    .name = "owners",
    .summary = "which node owns an id",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
