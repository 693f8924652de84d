/*
 * "Did you mean …": how far a mistyped word is from a known one.
 *
 * Damerau's distance with adjacent swaps, bounded: words longer than 64 bytes are never near. Pure
 * functions, any thread.
 */
#ifndef PH_ENGINE_NEAREST_H
#define PH_ENGINE_NEAREST_H

#include <stddef.h>

/* Insertions, deletions, substitutions and swaps of neighbours between the two; 65 when either word
 * is longer than 64 bytes. */
size_t ph_nearest_distance(const char *a, const char *b);

/* The best so far; zero it, offer the known words, read `word`: NULL when none is near enough (a
 * third of the typed word's letters, at least one, at most three). The first of equals wins. */
struct ph_nearest {
    const char *word; /* borrowed from the offer */
    size_t distance;
};
void ph_nearest_offer(struct ph_nearest *, const char *typed, const char *known);

#endif
