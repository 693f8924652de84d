/*
 * The last output of an OS process: lines in a bounded ring of bytes.
 *
 * Bytes come in pieces from two streams; each stream's unfinished line waits aside until its
 * newline comes, it reaches PH_LOG_LINE_MAX bytes (then it is cut and marked partial) or the stream
 * is flushed. The oldest lines go when there is no room; they are counted. Memory is taken as lines
 * come, up to the capacity. Pure data: the owner locks.
 */
#ifndef PH_ENGINE_KIND_LOGRING_H
#define PH_ENGINE_KIND_LOGRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kind/monitor.h"

enum { PH_LOG_LINE_MAX = 8 * 1024, PH_LOG_STREAMS = 2 };

struct ph_logring {
    char *bytes;
    size_t size;     /* allocated */
    size_t capacity; /* most that may be allocated */
    size_t first, used;
    uint64_t next_seq; /* of the next line; 0 stands for 1 */
    uint64_t lines;    /* in the ring */
    struct ph_logtail {
        char *bytes; /* the unfinished line, PH_LOG_LINE_MAX */
        size_t length;
    } tails[PH_LOG_STREAMS];
};

/* `capacity` in bytes; a zeroed ring holds nothing and counts. May be called again: lines beyond a
 * smaller capacity go. */
void ph_logring_set_capacity(struct ph_logring *, size_t capacity);
void ph_logring_fini(struct ph_logring *);

/* Adds bytes of stdout (`error` false) or stderr. */
void ph_logring_write(struct ph_logring *, bool error, const char *bytes, size_t length,
                      int64_t wall_ms);
/* Unfinished lines become lines: an instance has ended. */
void ph_logring_flush(struct ph_logring *, int64_t wall_ms);

uint64_t ph_logring_last(const struct ph_logring *);    /* seq of the newest line; 0: none yet */
uint64_t ph_logring_dropped(const struct ph_logring *); /* lines that are gone */

/* Copies lines with seq > `after` into `out`: the newest `limit` of them (0: all), but from the
 * oldest only as many as fit into `bytes` (at least one). Each is a struct ph_logcopy, its text,
 * padding. Returns the bytes used; *more says that newer ones are left. */
struct ph_logcopy {
    uint64_t seq;
    int64_t wall_ms;
    uint32_t length;
    bool error, partial;
};
enum { PH_LOGCOPY_MIN = sizeof(struct ph_logcopy) + PH_LOG_LINE_MAX + 8 };

size_t ph_logring_copy(const struct ph_logring *, uint64_t after, size_t limit, char *out,
                       size_t bytes, bool *more);
/* Bytes that one copied line takes. */
size_t ph_logcopy_bytes(size_t length);

#endif
