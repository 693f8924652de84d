#include "tests/lib/ballast.h"

#include <string.h>

#include "engine/prng.h"

enum { BLOCK = 8192, PERIODS = 5, LONGER = 1500 };

/* Block `index` changes with every 2^(index % PERIODS)th number. */
static void put_block(struct ph_text *state, uint64_t number, uint64_t index, size_t length)
{
    struct ph_prng prng;
    uint64_t words[BLOCK / sizeof(uint64_t)];
    ph_prng_init(&prng, index << 32 | number >> index % PERIODS);
    for (size_t i = 0; i * sizeof words[0] < length; i++)
        words[i] = ph_prng_next(&prng);
    ph_text_append(state, words, length);
}

void ballast_put(struct ph_text *state, uint64_t number, size_t bytes)
{
    uint64_t index = 0;
    ph_text_append(state, "", 1);
    ph_text_append(state, &number, sizeof number);
    for (size_t left = bytes + number % 3 * LONGER; left; index++) {
        size_t length = left < BLOCK ? left : BLOCK;
        put_block(state, number, index, length);
        left -= length;
    }
}

bool ballast_get(const char *state, size_t length, size_t bytes, uint64_t *number)
{
    size_t text = strnlen(state, length);
    struct ph_text wanted = PH_TEXT_INIT;
    *number = 0;
    if (length < text + 1 + sizeof *number)
        return false;
    memcpy(number, state + text + 1, sizeof *number);
    ph_text_append(&wanted, state, text);
    ballast_put(&wanted, *number, bytes);
    bool right = wanted.length == length && memcmp(wanted.data, state, length) == 0;
    ph_text_fini(&wanted);
    return right;
}
