#include "engine/prng.h"

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

void ph_prng_init(struct ph_prng *prng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        prng->state[i] = splitmix64(&seed);
}

uint64_t ph_prng_next(struct ph_prng *prng)
{
    uint64_t *state = prng->state;
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t carry = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= carry;
    state[3] = rotate_left(state[3], 45);
    return result;
}

uint64_t ph_prng_below(struct ph_prng *prng, uint64_t bound)
{
    if (bound == 0)
        return 0;
    /* The numbers below 2^64 mod bound would come once too often: draw again. */
    uint64_t least = -bound % bound, number;
    do {
        number = ph_prng_next(prng);
    } while (number < least);
    return number % bound;
}
