#include "engine/rendezvous.h"

#include <stdbool.h>

#include <xxhash.h>

#include "engine/base.h"

/* A key orders the nodes for one id: 23 bits of score above the index from the end, so keys of one
 * list are never equal and the greatest one names its node. Signed, because that is the comparison
 * that every vector unit has. */
enum { INDEX_BITS = 9, INDEX_MASK = (1 << INDEX_BITS) - 1, NO_KEY = INT32_MIN };

_Static_assert(PH_OWNERS_MAX < 1 << INDEX_BITS, "an index fits a key, and no key is NO_KEY");

uint64_t ph_name_hash(const char *text, size_t length)
{
    uint64_t hash = XXH3_64bits_withSeed(text, length, UINT64_C(0x70726f636875620a));
    return hash ? hash : 1;
}

/* ---- The list -------------------------------------------------------------------------------- */

static uint32_t weight_of(const uint32_t *weights, uint32_t place)
{
    return weights ? weights[place] : 1;
}

void ph_owners_init(struct ph_owners *owners, const uint64_t *hashes, const uint32_t *weights,
                    uint32_t count, uint32_t *order)
{
    uint32_t places[PH_OWNERS_MAX];
    ph_assert(count <= PH_OWNERS_MAX);
    for (uint32_t i = 0; i < count; i++) { /* by insertion: short, and often in order already */
        uint32_t at = i;
        for (; at && hashes[places[at - 1]] > hashes[i]; at--)
            places[at] = places[at - 1];
        places[at] = i;
    }
    owners->count = count;
    owners->weighted = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = hashes[places[i]];
        owners->nodes[i] = hash;
        owners->halves[0][i] = (uint32_t)hash;
        owners->halves[1][i] = (uint32_t)(hash >> 32);
        owners->weights[i] = weight_of(weights, places[i]);
        /* A weight of 0 is not the fast way's business, even if all have it. */
        if (owners->weights[i] != owners->weights[0] || !owners->weights[i])
            owners->weighted = 1;
        if (order)
            order[i] = places[i];
    }
}

/* ---- Scores ---------------------------------------------------------------------------------- */

/* The finaliser of MurmurHash3 (A. Appleby) with a second word let in between; both hashes are
 * mixed well already. 32 bits wide: a vector unit scores four or eight nodes at a time. */
static inline __attribute__((always_inline)) void
make_lanes(const struct ph_owners *owners, uint64_t id_hash, int32_t *restrict keys)
{
    const uint32_t low = (uint32_t)id_hash, high = (uint32_t)(id_hash >> 32);
    for (uint32_t i = 0; i < owners->count; i++) {
        uint32_t x = (owners->halves[0][i] ^ low) * UINT32_C(0x85ebca6b);
        x ^= x >> 16;
        x = (x ^ owners->halves[1][i] ^ high) * UINT32_C(0xc2b2ae35);
        x ^= x >> 15;
        x *= UINT32_C(0x9e3779b1);
        keys[i] = (int32_t)((x & ~(uint32_t)INDEX_MASK) | (INDEX_MASK - i));
    }
}

static inline __attribute__((always_inline)) int32_t greatest_lane(const int32_t *keys,
                                                                   uint32_t count)
{
    int32_t best = NO_KEY;
    for (uint32_t i = 0; i < count; i++)
        best = keys[i] > best ? keys[i] : best;
    return best;
}

/* The same for the vectors that most machines have but not every x86-64: six times as fast at 200
 * nodes. Chosen at each call (one load), not by the linker, whose resolvers run before a sanitizer
 * is ready. */
#ifdef __x86_64__
__attribute__((target("avx2"))) static void make_keys_wide(const struct ph_owners *owners,
                                                           uint64_t id_hash, int32_t *restrict keys)
{
    make_lanes(owners, id_hash, keys);
}

__attribute__((target("avx2"))) static int32_t greatest_wide(const int32_t *keys, uint32_t count)
{
    return greatest_lane(keys, count);
}

static bool is_wide(void)
{
    return __builtin_cpu_supports("avx2");
}
#else
#define make_keys_wide make_lanes
#define greatest_wide greatest_lane

static bool is_wide(void)
{
    return false;
}
#endif

static void make_keys(const struct ph_owners *owners, uint64_t id_hash, int32_t *restrict keys)
{
    if (is_wide())
        make_keys_wide(owners, id_hash, keys);
    else
        make_lanes(owners, id_hash, keys);
}

static int32_t greatest(const int32_t *keys, uint32_t count)
{
    return is_wide() ? greatest_wide(keys, count) : greatest_lane(keys, count);
}

static uint32_t index_of(int32_t key)
{
    return INDEX_MASK - ((uint32_t)key & INDEX_MASK);
}

/* -log2(u) in units of 2^-27 for the score u of a key, seen as a number in (0, 1): a polynomial of
 * -log2(1 - t) / t within 2e-5, strictly falling in the score and the same on every machine. */
static uint32_t distance_of(int32_t key)
{
    static const int64_t factors[] = {
        1549082005, 775251522, 492841451, 602604139, -460928030, 1313536134,
    };
    uint32_t score = ((uint32_t)key ^ UINT32_C(0x80000000)) >> INDEX_BITS;
    uint32_t u = (2 * score + 1) << (INDEX_BITS - 1); /* of 2^32 */
    uint32_t halvings = (uint32_t)__builtin_clz(u);
    int64_t t = (INT64_C(1) << 32) - ((int64_t)u << halvings);
    int64_t sum = factors[PH_COUNT_OF(factors) - 1];
    for (size_t i = PH_COUNT_OF(factors) - 1; i > 0; i--)
        sum = factors[i - 1] + (sum * t) / (INT64_C(1) << 32);
    return (halvings << 27) + (uint32_t)((sum * t) >> 35);
}

/* One node as a weighted election sees it: -log(u) / weight, the least wins. */
struct runner {
    uint32_t distance, weight;
    int32_t key;
};

static struct runner runner_of(const struct ph_owners *owners, const int32_t *keys, uint32_t node)
{
    return (struct runner){
        .distance = distance_of(keys[node]),
        .weight = owners->weights[node],
        .key = keys[node],
    };
}

/* Exact, so the order is total. */
static bool beats(const struct runner *a, const struct runner *b)
{
    if (!a->weight || !b->weight)
        return a->weight;
    uint64_t left = (uint64_t)a->distance * b->weight, right = (uint64_t)b->distance * a->weight;
    return left != right ? left < right : a->key > b->key;
}

/* The best of the nodes whose key is left; count: none with a weight. */
static uint32_t best_weighted(const struct ph_owners *owners, const int32_t *keys)
{
    uint32_t found = owners->count;
    struct runner best = {.key = NO_KEY};
    for (uint32_t i = 0; i < owners->count; i++) {
        if (keys[i] <= best.key && owners->weights[i] <= best.weight)
            continue; /* nearly all of them: no logarithm */
        if (keys[i] == NO_KEY || !owners->weights[i])
            continue;
        struct runner runner = runner_of(owners, keys, i);
        if (beats(&runner, &best)) {
            best = runner;
            found = i;
        }
    }
    return found;
}

/* ---- Owners ---------------------------------------------------------------------------------- */

static uint32_t best_of(const struct ph_owners *owners, const int32_t *keys)
{
    if (owners->weighted)
        return best_weighted(owners, keys);
    return index_of(greatest(keys, owners->count));
}

uint32_t ph_owner_of(const struct ph_owners *owners, uint64_t id_hash)
{
    int32_t keys[PH_OWNERS_MAX];
    if (!owners->count)
        return 0;
    make_keys(owners, id_hash, keys);
    return best_of(owners, keys);
}

uint32_t ph_owner_pinned(const struct ph_owners *owners, uint64_t id_hash, uint64_t pin)
{
    for (uint32_t i = 0; pin && i < owners->count; i++)
        if (ph_pin_is_to(pin, owners->nodes[i]))
            return i;
    return ph_owner_of(owners, id_hash);
}

uint32_t ph_owners_of(const struct ph_owners *owners, uint64_t id_hash, uint32_t factor,
                      uint32_t *out)
{
    int32_t keys[PH_OWNERS_MAX];
    uint32_t found = 0, limit = factor < owners->count ? factor : owners->count;
    make_keys(owners, id_hash, keys);
    for (; found < limit; found++) {
        uint32_t best = best_of(owners, keys);
        if (best == owners->count)
            break;
        out[found] = best;
        keys[best] = NO_KEY;
    }
    return found;
}

static uint32_t rank_weighted(const struct ph_owners *owners, const int32_t *keys, uint32_t node)
{
    if (!owners->weights[node])
        return owners->count;
    uint32_t rank = 0;
    struct runner self = runner_of(owners, keys, node);
    for (uint32_t i = 0; i < owners->count; i++) {
        struct runner runner = runner_of(owners, keys, i);
        rank += beats(&runner, &self);
    }
    return rank;
}

uint32_t ph_owner_rank(const struct ph_owners *owners, uint64_t id_hash, uint32_t node)
{
    int32_t keys[PH_OWNERS_MAX];
    ph_assert(node < owners->count);
    make_keys(owners, id_hash, keys);
    if (owners->weighted)
        return rank_weighted(owners, keys, node);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < owners->count; i++)
        rank += keys[i] > keys[node];
    return rank;
}
