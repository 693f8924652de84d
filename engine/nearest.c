#include "engine/nearest.h"

#include <string.h>

enum { WORD_MAX = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t ph_nearest_distance(const char *a, const char *b)
{
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > WORD_MAX || b_length > WORD_MAX)
        return WORD_MAX + 1;
    size_t rows[3][WORD_MAX + 1]; /* the row of a[i] is rows[i % 3] */
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

void ph_nearest_offer(struct ph_nearest *best, const char *typed, const char *known)
{
    size_t bound = strlen(typed) / 3;
    bound = bound < 1 ? 1 : least(bound, 3);
    size_t distance = ph_nearest_distance(typed, known);
    if (distance > bound || (best->word && distance >= best->distance))
        return;
    *best = (struct ph_nearest){.word = known, .distance = distance};
}
