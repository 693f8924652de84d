#include "engine/view.h"

#include "engine/base.h"

/* The links among `count` nodes, and how many each of the set still misses in it. */
struct links {
    uint32_t count;
    struct ph_view_set preferred;
    struct ph_view_set of[PH_VIEW_MAX]; /* who is linked to the node; itself, too */
    uint32_t missing[PH_VIEW_MAX];
};

static void take_out(struct ph_view_set *set, uint32_t node)
{
    set->words[node / 64] &= ~(UINT64_C(1) << (node % 64));
}

/* How many of `set` the node is not linked to. */
static uint32_t missing_of(const struct links *links, uint32_t node, const struct ph_view_set *set)
{
    uint32_t missing = 0;
    for (unsigned w = 0; w < PH_VIEW_WORDS; w++)
        missing += (uint32_t)__builtin_popcountll(set->words[w] & ~links->of[node].words[w]);
    return missing;
}

static void find_links(const struct ph_view_matrix *matrix, struct links *links)
{
    *links = (struct links){.count = matrix->count, .preferred = matrix->preferred};
    for (uint32_t i = 0; i < matrix->count; i++) {
        ph_view_add(&links->of[i], i);
        for (uint32_t j = 0; j < i; j++) {
            if (!ph_view_has(&matrix->hears[i], j) || !ph_view_has(&matrix->hears[j], i))
                continue;
            ph_view_add(&links->of[i], j);
            ph_view_add(&links->of[j], i);
        }
    }
}

/* All that `self` reaches over links. */
static void reach(const struct links *links, uint32_t self, struct ph_view_set *set)
{
    uint32_t found[PH_VIEW_MAX] = {self}, count = 1;
    *set = (struct ph_view_set){0};
    ph_view_add(set, self);
    for (uint32_t next = 0; next < count; next++) {
        for (unsigned w = 0; w < PH_VIEW_WORDS; w++) {
            uint64_t fresh = links->of[found[next]].words[w] & ~set->words[w];
            set->words[w] |= fresh;
            for (; fresh; fresh &= fresh - 1)
                found[count++] = w * 64 + (uint32_t)__builtin_ctzll(fresh);
        }
    }
}

/* The one that misses the most links in the set, among equals one that is not preferred, the last
 * of these; count: nobody misses any. */
static uint32_t worst_of(const struct links *links, const struct ph_view_set *set)
{
    uint32_t worst = links->count, most = 0;
    for (uint32_t i = 0; i < links->count; i++) {
        if (!ph_view_has(set, i) || !links->missing[i])
            continue;
        uint32_t rank = 2 * links->missing[i] + !ph_view_has(&links->preferred, i);
        worst = rank >= most ? i : worst;
        most = rank >= most ? rank : most;
    }
    return worst;
}

static void reduce(struct links *links, struct ph_view_set *set)
{
    for (uint32_t i = 0; i < links->count; i++)
        links->missing[i] = missing_of(links, i, set);
    for (uint32_t worst; (worst = worst_of(links, set)) != links->count;) {
        take_out(set, worst);
        for (uint32_t i = 0; i < links->count; i++)
            links->missing[i] -= !ph_view_has(&links->of[i], worst);
    }
}

/* Those whose missing links have all gone come back. */
static void fill_up(const struct links *links, const struct ph_view_set *reached,
                    struct ph_view_set *set)
{
    for (uint32_t i = 0; i < links->count; i++)
        if (ph_view_has(reached, i) && missing_of(links, i, set) == 0)
            ph_view_add(set, i);
}

bool ph_view_compute(const struct ph_view_matrix *matrix, uint32_t self, struct ph_view_set *view)
{
    struct links links;
    struct ph_view_set reached;
    ph_assert(matrix->count <= PH_VIEW_MAX);
    ph_assert(self < matrix->count);
    find_links(matrix, &links);
    reach(&links, self, &reached);
    *view = reached;
    reduce(&links, view);
    fill_up(&links, &reached, view);
    if (ph_view_has(view, self))
        return false;
    *view = (struct ph_view_set){0};
    ph_view_add(view, self);
    return true;
}
