#include "engine/legacy.h"

#include <string.h>

#include "engine/alloc.h"

struct ph_legacy *ph_legacy_create(const char *from, const void *state, size_t length)
{
    struct ph_legacy *legacy = ph_try_alloc(sizeof *legacy + length + 1);
    if (!legacy)
        return NULL;
    atomic_init(&legacy->references, 1);
    memcpy(legacy->from, from, strnlen(from, PH_NAME_MAX));
    legacy->length = length;
    if (length)
        memcpy(legacy->state, state, length);
    return legacy;
}

struct ph_legacy *ph_legacy_get(struct ph_legacy *legacy)
{
    /* Relaxed: who passes it on holds a reference already. */
    atomic_fetch_add_explicit(&legacy->references, 1, memory_order_relaxed);
    return legacy;
}

void ph_legacy_put(struct ph_legacy *legacy)
{
    /* Pairs with itself: who frees it sees that all others are through with it. */
    if (legacy && atomic_fetch_sub_explicit(&legacy->references, 1, memory_order_acq_rel) == 1)
        ph_free(legacy);
}
