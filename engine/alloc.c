#include "engine/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base.h"

enum { CACHED_BYTES_MAX = 1024 };

static _Noreturn void out_of_memory(size_t bytes)
{
    fprintf(stderr, "prochub: out of memory (%zu bytes)\n", bytes);
    abort();
}

/* Cleared. Small blocks come from malloc, because glibc's calloc (before 2.41) passes by the
 * thread's own cache of them; large ones from calloc, which knows what is clear already. */
static void *allocate(size_t bytes)
{
    if (bytes > CACHED_BYTES_MAX)
        return calloc(1, bytes);
    void *memory = malloc(bytes ? bytes : 1);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *ph_alloc(size_t bytes)
{
    void *memory = allocate(bytes);
    if (!memory)
        out_of_memory(bytes);
    return memory;
}

void *ph_realloc(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory)
        out_of_memory(bytes);
    return memory;
}

void *ph_try_alloc(size_t bytes)
{
    return allocate(bytes);
}

char *ph_copy_text(const char *text, size_t length)
{
    char *copy = ph_alloc(length + 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

void ph_free(void *memory)
{
    free(memory);
}

void ph_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "prochub: %s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}
