/*
 * The descriptors that a program stored with its node (FDSTORE=1), each under a name, oldest first.
 *
 * They outlive the program and are handed to its next instance. Bounded by the spec's fdstore=N.
 * Of the name "state" only the newest is kept. A stored descriptor whose peer is gone is dropped,
 * as systemd does, when the room is needed or before an instance gets it. Monitor's thread.
 */
#ifndef PH_ENGINE_KIND_FDSTORE_H
#define PH_ENGINE_KIND_FDSTORE_H

#include <stdbool.h>
#include <stddef.h>

#define PH_FD_STATE "state" /* the name of the descriptor that a move carries the content of */

enum { PH_FD_NAME_MAX = 255 };

struct ph_stored {
    int fd;
    bool watched; /* dropped when its peer is gone */
    char *name;
};

struct ph_fdstore {
    struct ph_stored *stored;
    size_t count;
};

/* The name of a descriptor: 1 to 255 printable ASCII characters but the colon. */
bool ph_fdstore_name_is_valid(const char *name);

/* Takes `fd` over: stores it, or closes it. NULL, also when the same descriptor is stored already;
 * or why not (static text). */
const char *ph_fdstore_put(struct ph_fdstore *, size_t limit, const char *name, int fd,
                           bool watched);

/* Drops those of that name. */
void ph_fdstore_remove(struct ph_fdstore *, const char *name);

/* Drops those whose peer is gone, then the newest beyond `limit`. */
void ph_fdstore_trim(struct ph_fdstore *, size_t limit);

/* The newest of that name; -1: none. It stays the store's. */
int ph_fdstore_find(const struct ph_fdstore *, const char *name);

/* Drops all. */
void ph_fdstore_clear(struct ph_fdstore *);

#endif
