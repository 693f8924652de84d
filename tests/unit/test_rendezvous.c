#include "engine/rendezvous.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/prng.h"

enum { IDS = 200000 };

static uint64_t hash_of(const char *prefix, uint32_t number)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%s-%u", prefix, number);
    return ph_name_hash(text, (size_t)length);
}

/* Nodes n-0 ... n-(count-1), without the one named `without`; weights by name (NULL: 1). Fills the
 * names by index. */
static void list_nodes(struct ph_owners *owners, uint32_t count, uint32_t without,
                       const uint32_t *weights, uint32_t *names)
{
    uint64_t hashes[PH_OWNERS_MAX] = {0};
    uint32_t kept_weights[PH_OWNERS_MAX] = {0}, kept[PH_OWNERS_MAX], order[PH_OWNERS_MAX],
             length = 0;
    for (uint32_t name = 0; name < count; name++) {
        if (name == without)
            continue;
        hashes[length] = hash_of("n", name);
        kept_weights[length] = weights ? weights[name] : 1;
        kept[length++] = name;
    }
    ph_owners_init(owners, hashes, weights ? kept_weights : NULL, length, order);
    for (uint32_t i = 0; i < length; i++)
        names[i] = kept[order[i]];
}

static const uint32_t nobody = UINT32_MAX;

/* A name's hash is the same for ever, for the empty name, too, and never 0. */
static void name_hashes_are_fixed(void **state)
{
    (void)state;
    assert_true(ph_name_hash("", 0) != 0);
    assert_true(ph_name_hash("a", 1) == ph_name_hash("abc", 1));
    assert_true(ph_name_hash("a", 1) != ph_name_hash("b", 1));
    assert_true(ph_name_hash("web-1", 5) == UINT64_C(0x7174dade7ce336a7));
}

/* The list is in the order of the hashes, whatever order they came in, and says where each was. */
static void list_is_in_the_order_of_hashes(void **state)
{
    (void)state;
    static const uint64_t hashes[] = {50, 10, 40, 20, 30};
    static const uint32_t weights[] = {5, 1, 4, 2, 3};
    static const uint32_t places[] = {1, 3, 4, 2, 0};
    struct ph_owners owners;
    uint32_t order[5];
    ph_owners_init(&owners, hashes, weights, 5, order);
    assert_int_equal(owners.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(owners.nodes[i], 10 * (i + 1));
        assert_int_equal(owners.weights[i], i + 1);
        assert_int_equal(order[i], places[i]);
    }
}

/* Who owns an id does not change from one build to the next: nodes of several builds must agree. */
static void owners_are_fixed_for_ever(void **state)
{
    (void)state;
    static const uint32_t weights[] = {1, 2, 3, 0, 5, 6, 7};
    struct ph_owners equal, weighted;
    uint32_t names[PH_OWNERS_MAX];
    uint64_t sum = 0, weighted_sum = 0;
    list_nodes(&equal, 7, nobody, NULL, names);
    list_nodes(&weighted, 7, nobody, weights, names);
    for (uint32_t id = 0; id < 1000; id++) {
        sum = sum * 31 + ph_owner_of(&equal, hash_of("id", id));
        weighted_sum = weighted_sum * 31 + ph_owner_of(&weighted, hash_of("id", id));
    }
    assert_int_equal(sum, UINT64_C(0x8ede2fb7006d81e6));
    assert_int_equal(weighted_sum, UINT64_C(0xacdd9b87545ee258));
}

/* Fills how many of IDS ids each name owns. */
static void count_shares(const struct ph_owners *owners, const uint32_t *names, uint32_t *shares)
{
    for (uint32_t id = 0; id < IDS; id++)
        shares[names[ph_owner_of(owners, hash_of("id", id))]]++;
}

/* Every node owns about as much as any other: within five standard deviations of the mean. */
static void shares_are_even(void **state)
{
    (void)state;
    static const struct {
        uint32_t nodes;
        double off; /* of the mean, at most */
    } cases[] = {{2, 0.012}, {3, 0.016}, {16, 0.045}, {200, 0.16}, {256, 0.18}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct ph_owners owners;
        uint32_t names[PH_OWNERS_MAX], shares[PH_OWNERS_MAX] = {0};
        double mean = (double)IDS / cases[c].nodes;
        list_nodes(&owners, cases[c].nodes, nobody, NULL, names);
        count_shares(&owners, names, shares);
        for (uint32_t i = 0; i < cases[c].nodes; i++) {
            assert_true(shares[i] < mean * (1 + cases[c].off));
            assert_true(shares[i] > mean * (1 - cases[c].off));
        }
    }
}

/* A node owns in proportion to its weight, and nothing with a weight of 0. */
static void shares_follow_the_weights(void **state)
{
    (void)state;
    static const uint32_t weights[] = {1, 2, 0, 4, 8, 1, 16, 0, 32, 64};
    struct ph_owners owners;
    uint32_t names[PH_OWNERS_MAX], shares[10] = {0};
    list_nodes(&owners, 10, nobody, weights, names);
    count_shares(&owners, names, shares);
    for (uint32_t i = 0; i < 10; i++) {
        double due = (double)IDS * weights[i] / 128;
        assert_true(shares[i] <= due * 1.1);
        assert_true(shares[i] >= due * 0.9);
    }
}

/* Takes a node out of the list: the ids that it owned go to the others in proportion, no other id
 * moves. The other way round it is the joining of that node. */
static void check_leave(uint32_t count, uint32_t leaver, const uint32_t *weights)
{
    struct ph_owners before, after;
    uint32_t names[PH_OWNERS_MAX], left[PH_OWNERS_MAX], gains[PH_OWNERS_MAX] = {0}, moved = 0;
    list_nodes(&before, count, nobody, weights, names);
    list_nodes(&after, count, leaver, weights, left);
    for (uint32_t id = 0; id < IDS; id++) {
        uint64_t hash = hash_of("id", id);
        uint32_t was = names[ph_owner_of(&before, hash)], is = left[ph_owner_of(&after, hash)];
        if (was == leaver) {
            moved++;
            gains[is]++;
        } else {
            assert_int_equal(was, is);
        }
    }
    double total = 0, others = 0;
    for (uint32_t i = 0; i < count; i++)
        total += weights ? weights[i] : 1;
    others = total - (weights ? weights[leaver] : 1);
    double due = IDS * (total - others) / total;
    assert_true(moved > due * 0.95);
    assert_true(moved < due * 1.05);
    for (uint32_t i = 0; i < count; i++) {
        double share = i == leaver ? 0 : moved * (double)(weights ? weights[i] : 1) / others;
        assert_true(gains[i] <= share * 1.25);
        assert_true(gains[i] >= share * 0.75);
    }
}

/* A node that joins takes its share from all the others, one that leaves gives it to all of them;
 * nothing else moves. */
static void join_and_leave_move_one_share(void **state)
{
    (void)state;
    static const uint32_t weights[] = {3, 1, 2, 0, 5, 1};
    check_leave(2, 0, NULL);
    check_leave(3, 2, NULL);
    check_leave(17, 5, NULL);
    check_leave(6, 4, weights);
    check_leave(6, 1, weights);
}

/* A node of another weight among equals makes all scores weighted ones: still only what it gains
 * moves. */
static void first_other_weight_moves_only_its_own(void **state)
{
    (void)state;
    static const uint32_t other_weights[] = {0, 1, 2, 30};
    for (size_t w = 0; w < 4; w++) {
        uint32_t weights[12], names[PH_OWNERS_MAX];
        struct ph_owners equal, weighted;
        for (uint32_t i = 0; i < 12; i++)
            weights[i] = 1;
        weights[7] = other_weights[w];
        list_nodes(&equal, 12, nobody, NULL, names);
        list_nodes(&weighted, 12, nobody, weights, names);
        for (uint32_t id = 0; id < IDS; id++) {
            uint64_t hash = hash_of("id", id);
            uint32_t was = ph_owner_of(&equal, hash), is = ph_owner_of(&weighted, hash);
            assert_true(was == is || names[weights[7] ? is : was] == 7);
        }
    }
}

/* The owner among all, where it is among some, owns among those, too; and the list of the best is
 * the list among all without the missing ones. */
static void owners_of_a_subset_keep_their_order(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 1);
    for (int round = 0; round < 2000; round++) {
        uint64_t all_hashes[40], hashes[40], id = ph_prng_next(&prng);
        uint32_t all_weights[40], weights[40], best[40], some_best[40], kept = 0;
        uint32_t count = 1 + (uint32_t)ph_prng_below(&prng, 40);
        struct ph_owners all, some;
        for (uint32_t i = 0; i < count; i++) {
            all_hashes[i] = ph_prng_next(&prng);
            all_weights[i] = round % 2 ? 1 : (uint32_t)ph_prng_below(&prng, 4);
            if (ph_prng_below(&prng, 2)) {
                hashes[kept] = all_hashes[i];
                weights[kept++] = all_weights[i];
            }
        }
        ph_owners_init(&all, all_hashes, all_weights, count, NULL);
        ph_owners_init(&some, hashes, weights, kept, NULL);
        uint32_t length = ph_owners_of(&all, id, count, best);
        uint32_t some_length = ph_owners_of(&some, id, kept, some_best), at = 0;
        for (uint32_t i = 0; i < length; i++)
            if (at < some_length && all.nodes[best[i]] == some.nodes[some_best[at]])
                at++;
        assert_int_equal(at, some_length);
    }
}

/* Ranks, the owner and the list of the best say the same. */
static void ranks_agree_with_the_owners(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 2);
    for (int round = 0; round < 2000; round++) {
        uint64_t hashes[PH_OWNERS_MAX], id = ph_prng_next(&prng);
        uint32_t weights[PH_OWNERS_MAX], best[PH_OWNERS_MAX], few[3], weighted = 0;
        uint32_t count = 1 + (uint32_t)ph_prng_below(&prng, round % 50 ? 20 : PH_OWNERS_MAX);
        struct ph_owners owners;
        for (uint32_t i = 0; i < count; i++) {
            hashes[i] = ph_prng_next(&prng);
            weights[i] = round % 2 ? 7 : (uint32_t)ph_prng_below(&prng, 3);
            weighted += weights[i] != 0;
        }
        ph_owners_init(&owners, hashes, weights, count, NULL);
        assert_int_equal(ph_owners_of(&owners, id, PH_OWNERS_MAX, best), weighted);
        assert_int_equal(ph_owner_of(&owners, id), weighted ? best[0] : count);
        for (uint32_t i = 0; i < weighted; i++)
            assert_int_equal(ph_owner_rank(&owners, id, best[i]), i);
        for (uint32_t i = 0; i < count; i++)
            if (!owners.weights[i])
                assert_int_equal(ph_owner_rank(&owners, id, i), count);
        uint32_t length = ph_owners_of(&owners, id, 3, few);
        assert_int_equal(length, weighted < 3 ? weighted : 3);
        assert_memory_equal(few, best, length * sizeof few[0]);
    }
}

/* Each place among the best is as even as the first: replicas are spread, too. */
static void second_owners_are_even(void **state)
{
    (void)state;
    enum { NODES = 8 };
    struct ph_owners owners;
    uint32_t names[PH_OWNERS_MAX], pairs[NODES][NODES] = {{0}}, best[2];
    list_nodes(&owners, NODES, nobody, NULL, names);
    for (uint32_t id = 0; id < IDS; id++) {
        assert_int_equal(ph_owners_of(&owners, hash_of("id", id), 2, best), 2);
        pairs[best[0]][best[1]]++;
    }
    double due = (double)IDS / (NODES * (NODES - 1));
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NODES; j++)
            if (i != j)
                assert_in_range(pairs[i][j], due * 0.9, due * 1.1);
}

/* Nobody owns an id of an empty list, or of one in which no node has a weight. */
static void empty_lists_have_no_owner(void **state)
{
    (void)state;
    static const uint64_t hashes[] = {1, 2};
    static const uint32_t weights[] = {0, 0};
    struct ph_owners owners;
    uint32_t best[2];
    ph_owners_init(&owners, NULL, NULL, 0, NULL);
    assert_int_equal(ph_owner_of(&owners, 42), 0);
    assert_int_equal(ph_owners_of(&owners, 42, 2, best), 0);
    ph_owners_init(&owners, hashes, weights, 2, NULL);
    assert_int_equal(ph_owner_of(&owners, 42), 2);
    assert_int_equal(ph_owners_of(&owners, 42, 2, best), 0);
    assert_int_equal(ph_owner_rank(&owners, 42, 1), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_hashes_are_fixed),
        cmocka_unit_test(list_is_in_the_order_of_hashes),
        cmocka_unit_test(owners_are_fixed_for_ever),
        cmocka_unit_test(shares_are_even),
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(join_and_leave_move_one_share),
        cmocka_unit_test(first_other_weight_moves_only_its_own),
        cmocka_unit_test(owners_of_a_subset_keep_their_order),
        cmocka_unit_test(ranks_agree_with_the_owners),
        cmocka_unit_test(second_owners_are_even),
        cmocka_unit_test(empty_lists_have_no_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
