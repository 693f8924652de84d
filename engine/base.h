/*
 * The few macros that every file may use, and the assertion that stays in release builds.
 *
 * ph_assert is for our own bugs. Input - a script, a peer's frame, a module's return code - is
 * checked and refused, never asserted.
 */
#ifndef PH_ENGINE_BASE_H
#define PH_ENGINE_BASE_H

#include <stddef.h>

#define PH_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define ph_container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define ph_assert(condition) \
    ((condition) ? (void)0 : ph_assert_failed(#condition, __FILE__, __LINE__))

_Noreturn void ph_assert_failed(const char *condition, const char *file, int line);

#define PH_CACHE_LINE 64

#endif
