/*
 * A small seeded generator (xoshiro256**, Blackman and Vigna 2018; seeded by splitmix64). The hub
 * holds one, so that a run replays from its seed. Not for secrets. Caller's memory, one thread.
 */
#ifndef PH_ENGINE_PRNG_H
#define PH_ENGINE_PRNG_H

#include <stdint.h>

struct ph_prng {
    uint64_t state[4];
};

void ph_prng_init(struct ph_prng *, uint64_t seed);
uint64_t ph_prng_next(struct ph_prng *);

/* A number in [0, bound); 0 when bound is 0. */
uint64_t ph_prng_below(struct ph_prng *, uint64_t bound);

/* Two numbers as one, which changes with either: for digests. Any thread. */
static inline uint64_t ph_mix(uint64_t a, uint64_t b)
{
    uint64_t mixed = (a ^ (b + UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xbf58476d1ce4e5b9);
    return mixed ^ mixed >> 31;
}

#endif
