/*
 * Between a state in memory and a memfd, in pieces: a state may have 256 MiB, and the monitor is
 * not to be held up by one.
 *
 * Only files in memory are read (memfds, tmpfs): nothing else is sure to answer at once. Monitor's
 * thread.
 */
#ifndef PH_ENGINE_KIND_MEMCOPY_H
#define PH_ENGINE_KIND_MEMCOPY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"

enum { PH_MEMCOPY_PIECE = 1024 * 1024 };

struct ph_memcopy {
    int fd; /* -1: none; owned */
    bool writes;
    struct ph_text text;
    size_t done, total;
};

/* The size of a file in memory; false: it is none. */
bool ph_memcopy_size(int fd, uint64_t *size);

/* Will read a copy of `fd`; 0, or -errno: it is no file in memory, or larger than `max`. */
PH_MUST_CHECK int ph_memcopy_read_from(struct ph_memcopy *, int fd, size_t max);
/* Will write `text` (moved on success) into a new memfd of that name. 0 or -errno. */
PH_MUST_CHECK int ph_memcopy_write(struct ph_memcopy *, const char *name, struct ph_text *text);

/* One piece. 1: there is more; 0: it is done; -errno. */
int ph_memcopy_step(struct ph_memcopy *);

/* Closes the descriptor (unless it was taken: fd = -1) and frees the text (unless it was moved). */
void ph_memcopy_end(struct ph_memcopy *);

#endif
