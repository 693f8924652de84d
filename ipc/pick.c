#include "ipc/pick.h"

#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"

/* Numbers before texts before nothing at all. */
static int rank(const struct ph_pick_entry *entry)
{
    if (entry->text)
        return 1;
    return entry->number == UINT64_MAX ? 2 : 0;
}

static int compare_values(const struct ph_pick_entry *a, const struct ph_pick_entry *b)
{
    if (rank(a) != rank(b))
        return rank(a) < rank(b) ? -1 : 1;
    if (a->text)
        return ph_natural_compare(a->text, b->text);
    return (a->number > b->number) - (a->number < b->number);
}

static int compare(const struct ph_pick *pick, const struct ph_pick_entry *a,
                   const struct ph_pick_entry *b)
{
    int order = pick->field ? compare_values(a, b) : 0;
    if (order)
        return pick->descending ? -order : order;
    order = ph_natural_compare(a->id, b->id);
    return pick->descending && !pick->field ? -order : order;
}

static int compare_entries(const void *a, const void *b, void *arg)
{
    return compare(arg, a, b);
}

static void swap(struct ph_pick_entry *a, struct ph_pick_entry *b)
{
    struct ph_pick_entry old = *a;
    *a = *b;
    *b = old;
}

/* The last in order stands at the top: it is the one to go when a better one comes. */
static void sift_down(struct ph_pick *pick, size_t at)
{
    for (;;) {
        size_t last = at, left = 2 * at + 1, right = left + 1;
        if (left < pick->count && compare(pick, &pick->entries[left], &pick->entries[last]) > 0)
            last = left;
        if (right < pick->count && compare(pick, &pick->entries[right], &pick->entries[last]) > 0)
            last = right;
        if (last == at)
            return;
        swap(&pick->entries[at], &pick->entries[last]);
        at = last;
    }
}

static void make_heap(struct ph_pick *pick)
{
    for (size_t at = pick->count / 2; at-- > 0;)
        sift_down(pick, at);
}

static struct ph_pick_entry keep(const struct ph_pick_entry *view)
{
    struct ph_pick_entry entry = *view;
    entry.id = ph_copy_text(view->id, strlen(view->id));
    if (view->text)
        entry.text = ph_copy_text(view->text, strlen(view->text));
    return entry;
}

static void drop(struct ph_pick_entry *entry)
{
    ph_free(entry->id);
    ph_free(entry->text);
}

static void append(struct ph_pick *pick, const struct ph_pick_entry *view)
{
    if (pick->count == pick->capacity) {
        pick->capacity = pick->capacity ? pick->capacity * 2 : 64;
        pick->entries = ph_realloc(pick->entries, pick->capacity * sizeof *pick->entries);
    }
    pick->entries[pick->count++] = keep(view);
    if (pick->count == pick->keep)
        make_heap(pick);
}

static void offer(struct ph_pick *pick, const struct ph_pick_entry *view)
{
    pick->total++;
    if (pick->count < pick->keep) {
        append(pick, view);
    } else if (pick->keep && compare(pick, view, &pick->entries[0]) < 0) {
        drop(&pick->entries[0]);
        pick->entries[0] = keep(view);
        sift_down(pick, 0);
    }
}

static bool offer_child(void *arg, struct ph_subject *subject)
{
    struct ph_pick *pick = arg;
    struct ph_value value;
    size_t length;
    struct ph_pick_entry view = {.number = UINT64_MAX,
                                 .id = (char *)(uintptr_t)ph_subject_id(subject, &length)};
    if (pick->field) {
        ph_child_resolver.value(subject, pick->field, &value);
        if (value.type == PH_VALUE_TEXT || value.type == PH_VALUE_LIST)
            view.text = (char *)(uintptr_t)value.text;
        else if (value.type != PH_VALUE_NONE)
            view.number = value.number;
    }
    offer(pick, &view);
    return true;
}

void ph_pick_run(struct ph_pick *pick, const struct ph_target *target, const char *field,
                 bool descending, uint64_t offset, uint64_t limit)
{
    uint64_t wanted = offset > SIZE_MAX - limit ? SIZE_MAX : offset + limit;
    *pick = (struct ph_pick){
        .field = field && strcmp(field, "id") != 0 ? field : NULL,
        .descending = descending,
        .keep = limit ? (size_t)wanted : SIZE_MAX,
    };
    ph_target_each(target, offer_child, pick);
    if (pick->count)
        qsort_r(pick->entries, pick->count, sizeof *pick->entries, compare_entries, pick);
}

void ph_pick_fini(struct ph_pick *pick)
{
    for (size_t i = 0; i < pick->count; i++)
        drop(&pick->entries[i]);
    ph_free(pick->entries);
}
