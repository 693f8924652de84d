/*
 * Error codes.
 *
 * Every function that can fail returns an int: 0, or a negative code. A system cause is -errno
 * unchanged; a cause of our own is one of the codes below, which start under the largest errno of
 * Linux (4095), so the two never collide. One list yields the names, the texts and the error
 * classes of the command language.
 *
 * Where an int is not enough (a message that a person must read), the function also takes a
 * `struct ph_error *`, filled on failure only. It holds its text inline: nothing to free.
 */
#ifndef PH_ENGINE_ERROR_H
#define PH_ENGINE_ERROR_H

#include <stddef.h>

#include "engine/prochub.h"

/* The error class of a code: what a script's exit code follows from. */
enum ph_class {
    PH_CLASS_OK = 0,
    PH_CLASS_FAILED = 1,
    PH_CLASS_USAGE = 2,
    PH_CLASS_NOT_FOUND = 3,
    PH_CLASS_REFUSED = 4,
    PH_CLASS_TIMEOUT = 5,
    PH_CLASS_NO_CONNECTION = 6,
    PH_CLASS_PARTIAL = 7,
};

/* The class of `code` (0 or negative); an errno without a class of its own is PH_CLASS_FAILED. */
enum ph_class ph_error_class(int code);

/* "failed", "usage", "not-found", …: the CLASS words of the command language. */
const char *ph_class_name(enum ph_class);

/* Fills `error` (may be NULL) with a formatted text and returns `code`. A text that does not fit
 * ends in "...". */
int ph_error_set(struct ph_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
