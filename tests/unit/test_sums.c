#include "engine/sums.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/prng.h"

enum { BLOCK = PH_BLOCK_BYTES, MOST = 20 * BLOCK };

static struct ph_sums sums_of(const char *state, size_t length)
{
    struct ph_sums sums;
    ph_sums_init(&sums, length);
    ph_sums_read(&sums, state, 0, length);
    return sums;
}

static void fill(char *state, size_t length, uint64_t seed)
{
    struct ph_prng prng;
    ph_prng_init(&prng, seed);
    for (size_t i = 0; i < length; i++)
        state[i] = (char)ph_prng_next(&prng);
}

/* The runs of blocks that differ are found, each once, in order, with the bytes that they have. */
static void changes_are_found_as_runs(void **state)
{
    (void)state;
    char before[5 * BLOCK + 10], after[5 * BLOCK + 10];
    uint64_t at = 0, length;
    fill(before, sizeof before, 1);
    memcpy(after, before, sizeof after);
    after[BLOCK] ^= 1;
    after[3 * BLOCK - 1] ^= 1;
    after[5 * BLOCK + 9] ^= 1;
    struct ph_sums old = sums_of(before, sizeof before), new = sums_of(after, sizeof after);
    assert_true(ph_sums_next_change(&new, &old, &at, &length));
    assert_int_equal(at, BLOCK);
    assert_int_equal(length, 2 * BLOCK);
    at += length;
    assert_true(ph_sums_next_change(&new, &old, &at, &length));
    assert_int_equal(at, 5 * BLOCK);
    assert_int_equal(length, 10);
    at += length;
    assert_false(ph_sums_next_change(&new, &old, &at, &length));
    assert_int_not_equal(ph_sums_checksum(&old), ph_sums_checksum(&new));
    ph_sums_fini(&old);
    ph_sums_fini(&new);
}

/* Whatever the lengths and changes: what is put together from the old state and the changes has the
 * bytes and the checksum of the new one. */
static void changes_make_the_new_state_of_the_old_one(void **state)
{
    (void)state;
    char *before = malloc(MOST), *after = malloc(MOST), *made = malloc(MOST);
    struct ph_prng prng;
    ph_prng_init(&prng, 7);
    for (unsigned round = 0; round < 300; round++) {
        size_t had = (size_t)ph_prng_below(&prng, MOST), has = (size_t)ph_prng_below(&prng, MOST);
        if (round % 3 == 0)
            has = had;
        fill(before, MOST, round);
        memcpy(after, before, MOST);
        for (unsigned i = 0; has && i < round % 7; i++)
            after[ph_prng_below(&prng, has)] ^= 1;
        struct ph_sums old = sums_of(before, had), new = sums_of(after, has);
        struct ph_sums mine = sums_of(before, had);
        uint64_t at = 0, length;
        memset(made, 0, MOST);
        memcpy(made, before, had < has ? had : has);
        ph_sums_resize(&mine, has);
        for (; ph_sums_next_change(&new, &old, &at, &length); at += length) {
            memcpy(made + at, after + at, length);
            ph_sums_read(&mine, made, at, length);
        }
        assert_memory_equal(made, after, has);
        assert_int_equal(ph_sums_checksum(&mine), ph_sums_checksum(&new));
        ph_sums_fini(&old);
        ph_sums_fini(&new);
        ph_sums_fini(&mine);
    }
    free(before);
    free(after);
    free(made);
}

/* The length counts: states that begin alike, or are empty, are told apart. */
static void checksum_knows_the_length(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK};
    static const char zeros[2 * BLOCK];
    uint64_t seen[PH_COUNT_OF(lengths)];
    for (size_t i = 0; i < PH_COUNT_OF(lengths); i++) {
        struct ph_sums sums = sums_of(zeros, lengths[i]);
        seen[i] = ph_sums_checksum(&sums);
        for (size_t before = 0; before < i; before++)
            assert_int_not_equal(seen[i], seen[before]);
        ph_sums_fini(&sums);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_found_as_runs),
        cmocka_unit_test(changes_make_the_new_state_of_the_old_one),
        cmocka_unit_test(checksum_knows_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
