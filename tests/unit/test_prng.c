#include "engine/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The same seed gives the same run; another seed another one. */
static void runs_replay_from_their_seed(void **state)
{
    (void)state;
    struct ph_prng a, b, c;
    ph_prng_init(&a, 42);
    ph_prng_init(&b, 42);
    ph_prng_init(&c, 43);
    int different = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t number = ph_prng_next(&a);
        assert_true(number == ph_prng_next(&b));
        different += number != ph_prng_next(&c);
    }
    assert_int_equal(different, 1000);
}

/* The generator is xoshiro256** seeded by splitmix64 as published. */
static void numbers_are_those_of_the_paper(void **state)
{
    (void)state;
    struct ph_prng seeded, prng = {{1, 2, 3, 4}};
    ph_prng_init(&seeded, 0);
    assert_true(seeded.state[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(seeded.state[1] == UINT64_C(0x6e789e6aa1b965f4));
    static const uint64_t published[] = {
        11520,
        0,
        1509978240,
        UINT64_C(1215971899390074240),
    };
    for (unsigned i = 0; i < 4; i++)
        assert_true(ph_prng_next(&prng) == published[i]);
}

/* Bounded numbers stay below the bound and reach all of it evenly. */
static void bounded_numbers_are_even(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 7);
    assert_int_equal(ph_prng_below(&prng, 0), 0);
    assert_int_equal(ph_prng_below(&prng, 1), 0);
    unsigned count[6] = {0};
    for (int i = 0; i < 60000; i++)
        count[ph_prng_below(&prng, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(count[i], 9500, 10500);
    for (int i = 0; i < 1000; i++)
        assert_true(ph_prng_below(&prng, UINT64_MAX) < UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_replay_from_their_seed),
        cmocka_unit_test(numbers_are_those_of_the_paper),
        cmocka_unit_test(bounded_numbers_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
