#include "engine/conflicts.h"

#include <string.h>

#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/legacy.h"

void ph_conflicts_init(struct ph_conflicts *store)
{
    *store = (struct ph_conflicts){0};
    store->last = &store->first;
}

static void free_conflict(struct ph_conflict *conflict)
{
    ph_legacy_put(conflict->legacy);
    ph_free(conflict->id);
    ph_free(conflict->why);
    ph_free(conflict);
}

void ph_conflicts_fini(struct ph_conflicts *store)
{
    while (store->first)
        ph_conflicts_drop(store, store->first->number);
}

const struct ph_conflict *ph_conflicts_put(struct ph_conflicts *store, const char *id,
                                           struct ph_legacy *legacy, const char *why,
                                           uint64_t now_ms)
{
    struct ph_conflict *conflict = ph_alloc(sizeof *conflict);
    conflict->number = ++store->next_number;
    conflict->now_ms = now_ms;
    conflict->checksum = XXH3_64bits(legacy->state, legacy->length);
    conflict->id = ph_copy_text(id, strlen(id));
    struct ph_text printable = PH_TEXT_INIT;
    ph_text_printable(&printable, why, strlen(why)); /* a module may have said it */
    conflict->why = ph_copy_text(ph_text_str(&printable), printable.length);
    ph_text_fini(&printable);
    conflict->legacy = ph_legacy_get(legacy);
    *store->last = conflict;
    store->last = &conflict->next;
    store->count++;
    store->bytes += legacy->length;
    return conflict;
}

const struct ph_conflict *ph_conflicts_over(const struct ph_conflicts *store)
{
    bool over = store->count > PH_CONFLICTS_MAX || store->bytes > PH_CONFLICT_BYTES_MAX;
    return over ? store->first : NULL;
}

const struct ph_conflict *ph_conflicts_find(const struct ph_conflicts *store, uint64_t number)
{
    const struct ph_conflict *conflict = store->first;
    while (conflict && conflict->number != number)
        conflict = conflict->next;
    return conflict;
}

bool ph_conflicts_drop(struct ph_conflicts *store, uint64_t number)
{
    struct ph_conflict **link = &store->first;
    while (*link && (*link)->number != number)
        link = &(*link)->next;
    struct ph_conflict *conflict = *link;
    if (!conflict)
        return false;
    *link = conflict->next;
    if (!*link)
        store->last = link;
    store->count--;
    store->bytes -= conflict->legacy->length;
    free_conflict(conflict);
    return true;
}

void ph_conflicts_print(const struct ph_conflicts *store, struct ph_text *out)
{
    for (const struct ph_conflict *at = store->first; at; at = at->next)
        ph_text_printf(out, "%llu\x1f%s\x1f%s\x1f%llu\x1f%llu\x1f%llu\x1f%llu\x1f%016llx\x1f%s\x1e",
                       (unsigned long long)at->number, at->id, at->legacy->from,
                       (unsigned long long)at->now_ms, (unsigned long long)at->legacy->length,
                       (unsigned long long)at->legacy->ran_ms,
                       (unsigned long long)at->legacy->updates, (unsigned long long)at->checksum,
                       at->why);
}
