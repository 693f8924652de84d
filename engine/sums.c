#include "engine/sums.h"

#include <string.h>
#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/base.h"

static size_t blocks_of(uint64_t length)
{
    return (size_t)((length + PH_BLOCK_BYTES - 1) / PH_BLOCK_BYTES);
}

void ph_sums_init(struct ph_sums *sums, uint64_t length)
{
    sums->length = length;
    sums->blocks = ph_alloc((blocks_of(length) + 1) * sizeof *sums->blocks);
}

void ph_sums_fini(struct ph_sums *sums)
{
    ph_free(sums->blocks);
    *sums = (struct ph_sums){0};
}

void ph_sums_resize(struct ph_sums *sums, uint64_t length)
{
    size_t before = blocks_of(sums->length), now = blocks_of(length);
    sums->blocks = ph_realloc(sums->blocks, (now + 1) * sizeof *sums->blocks);
    if (now > before)
        memset(sums->blocks + before, 0, (now - before) * sizeof *sums->blocks);
    sums->length = length;
}

void ph_sums_read(struct ph_sums *sums, const char *state, uint64_t at, uint64_t length)
{
    uint64_t end = at + length;
    ph_assert(at % PH_BLOCK_BYTES == 0 && end <= sums->length);
    for (; at < end; at += PH_BLOCK_BYTES) {
        size_t bytes = end - at < PH_BLOCK_BYTES ? (size_t)(end - at) : PH_BLOCK_BYTES;
        XXH128_hash_t hash = XXH3_128bits(state + at, bytes);
        sums->blocks[at / PH_BLOCK_BYTES] = (struct ph_sum){hash.low64, hash.high64};
    }
}

static bool is_same(const struct ph_sums *state, const struct ph_sums *copy, size_t block)
{
    if (block >= blocks_of(copy->length))
        return false;
    const struct ph_sum *a = &state->blocks[block], *b = &copy->blocks[block];
    return a->low == b->low && a->high == b->high;
}

bool ph_sums_next_change(const struct ph_sums *state, const struct ph_sums *copy, uint64_t *at,
                         uint64_t *length)
{
    size_t count = blocks_of(state->length), first = blocks_of(*at), end;
    while (first < count && is_same(state, copy, first))
        first++;
    for (end = first; end < count && !is_same(state, copy, end);)
        end++;
    uint64_t last = (uint64_t)end * PH_BLOCK_BYTES;
    *at = (uint64_t)first * PH_BLOCK_BYTES;
    *length = first == count ? 0 : (last < state->length ? last : state->length) - *at;
    return first < count;
}

uint64_t ph_sums_checksum(const struct ph_sums *sums)
{
    return XXH3_64bits_withSeed(sums->blocks, blocks_of(sums->length) * sizeof *sums->blocks,
                                sums->length);
}
