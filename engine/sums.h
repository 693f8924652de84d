/*
 * The hashes of a state's blocks: what one needs to know of a copy that is elsewhere, to tell which
 * blocks of the state have changed since it was made.
 *
 * Caller's memory, one thread. XXH3 with 128 bits a block: no two blocks are taken for each other
 * by chance. 16 bytes for each PH_BLOCK_BYTES.
 */
#ifndef PH_ENGINE_SUMS_H
#define PH_ENGINE_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/limits.h"

enum {
    PH_BLOCK_BYTES = 4096, /* the last block of a state may be shorter */
    PH_BLOCKS_MAX = PH_STATE_BYTES_MAX / PH_BLOCK_BYTES,
};

_Static_assert(PH_STATE_BYTES_MAX % PH_BLOCK_BYTES == 0, "the largest state has whole blocks");

struct ph_sum {
    uint64_t low, high;
};

struct ph_sums {
    uint64_t length;       /* of the state */
    struct ph_sum *blocks; /* NULL: of nothing */
};

/* Of a state of that length, of which nothing is known yet. */
void ph_sums_init(struct ph_sums *, uint64_t length);
void ph_sums_fini(struct ph_sums *);
/* The same for another length: those of the blocks before stay. */
void ph_sums_resize(struct ph_sums *, uint64_t length);

/* Reads the blocks of the state that lie in `length` bytes from `at` on; both are multiples of a
 * block, unless the range ends with the state. */
void ph_sums_read(struct ph_sums *, const char *state, uint64_t at, uint64_t length);

/* The next run of blocks, from `*at` on, that are not the same in the copy; false: there is none.
 * It begins at `*at` and has `*length` bytes. */
bool ph_sums_next_change(const struct ph_sums *state, const struct ph_sums *copy, uint64_t *at,
                         uint64_t *length);

/* Of the whole: equal states have equal ones. */
uint64_t ph_sums_checksum(const struct ph_sums *);

#endif
