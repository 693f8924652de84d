/*
 * Memory.
 *
 * ph_alloc never returns NULL: a size that the program itself chose and that cannot be had ends the
 * process with a message, so that internal code has no branches that no test reaches. A size that
 * comes from outside (a script, a frame, a module) goes through ph_try_alloc, which may return
 * NULL; the caller answers -ENOMEM. Any thread.
 */
#ifndef PH_ENGINE_ALLOC_H
#define PH_ENGINE_ALLOC_H

#include <stddef.h>

/* Zeroed memory; aborts with a message when there is none. Freed by ph_free. */
void *ph_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));

/* Grows or shrinks; new bytes are not zeroed. `old` may be NULL. Aborts when there is none. */
void *ph_realloc(void *old, size_t bytes) __attribute__((returns_nonnull));

/* Zeroed memory, or NULL. */
void *ph_try_alloc(size_t bytes) __attribute__((malloc));

/* A copy of `length` bytes with a NUL after them. */
char *ph_copy_text(const char *text, size_t length) __attribute__((returns_nonnull));

void ph_free(void *memory);

#endif
