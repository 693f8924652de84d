#include "engine/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/prng.h"

static void cut(struct ph_view_matrix *matrix, uint32_t hearer, uint32_t heard)
{
    matrix->hears[hearer].words[heard / 64] &= ~(UINT64_C(1) << (heard % 64));
}

static void unlink_two(struct ph_view_matrix *matrix, uint32_t a, uint32_t b)
{
    cut(matrix, a, b);
    cut(matrix, b, a);
}

static void link_two(struct ph_view_matrix *matrix, uint32_t a, uint32_t b)
{
    ph_view_add(&matrix->hears[a], b);
    ph_view_add(&matrix->hears[b], a);
}

/* Cuts all links between nodes [a, a_end) and [b, b_end). */
static void part(struct ph_view_matrix *matrix, uint32_t a, uint32_t a_end, uint32_t b,
                 uint32_t b_end)
{
    for (uint32_t i = a; i < a_end; i++)
        for (uint32_t j = b; j < b_end; j++)
            if (i != j)
                unlink_two(matrix, i, j);
}

/* Everybody hears everybody. */
static struct ph_view_matrix mesh(uint32_t count)
{
    struct ph_view_matrix matrix = {.count = count};
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < count; j++)
            ph_view_add(&matrix.hears[i], j);
    return matrix;
}

static bool is_linked(const struct ph_view_matrix *matrix, uint32_t a, uint32_t b)
{
    return a == b || (ph_view_has(&matrix->hears[a], b) && ph_view_has(&matrix->hears[b], a));
}

static uint32_t size_of(const struct ph_view_set *set)
{
    uint32_t size = 0;
    for (unsigned w = 0; w < PH_VIEW_WORDS; w++)
        size += (uint32_t)__builtin_popcountll(set->words[w]);
    return size;
}

static bool are_equal(const struct ph_view_set *a, const struct ph_view_set *b)
{
    bool equal = true;
    for (unsigned w = 0; w < PH_VIEW_WORDS; w++)
        equal &= a->words[w] == b->words[w];
    return equal;
}

/* What every view must be, whatever the matrix: all linked, the same for all of it. Returns its
 * size. */
static uint32_t check_view(const struct ph_view_matrix *matrix, uint32_t self,
                           struct ph_view_set *view)
{
    struct ph_view_set other;
    bool left_out = ph_view_compute(matrix, self, view);
    assert_true(ph_view_has(view, self));
    if (left_out)
        assert_int_equal(size_of(view), 1);
    for (uint32_t i = 0; i < PH_VIEW_MAX; i++) {
        if (!ph_view_has(view, i))
            continue;
        assert_true(i < matrix->count);
        for (uint32_t j = 0; j < i; j++)
            assert_true(!ph_view_has(view, j) || is_linked(matrix, i, j));
        if (left_out)
            continue;
        assert_false(ph_view_compute(matrix, i, &other));
        assert_true(are_equal(view, &other));
    }
    return size_of(view);
}

static void expect_view(const struct ph_view_matrix *matrix, uint32_t self, uint32_t first,
                        uint32_t end)
{
    struct ph_view_set view;
    assert_int_equal(check_view(matrix, self, &view), end - first);
    for (uint32_t i = first; i < end; i++)
        assert_true(ph_view_has(&view, i));
}

static void expect_alone(const struct ph_view_matrix *matrix, uint32_t self, bool left_out)
{
    struct ph_view_set view;
    assert_true(ph_view_compute(matrix, self, &view) == left_out);
    assert_int_equal(size_of(&view), 1);
    assert_true(ph_view_has(&view, self));
}

/* Where everybody hears everybody the view is everybody, up to the largest hub. */
static void full_mesh_keeps_all(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 63, 64, 65, 200, PH_VIEW_MAX};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct ph_view_matrix matrix = mesh(counts[c]);
        expect_view(&matrix, counts[c] - 1, 0, counts[c]);
    }
}

/* A node that nobody hears drops out, and no other; so does one of which no row is known. It is
 * cut off, not left out. */
static void dead_node_drops_only_itself(void **state)
{
    (void)state;
    struct ph_view_matrix matrix = mesh(5), missing = mesh(5);
    part(&matrix, 4, 5, 0, 4);
    expect_view(&matrix, 0, 0, 4);
    expect_alone(&matrix, 4, false);
    missing.hears[4] = (struct ph_view_set){0};
    expect_view(&missing, 2, 0, 4);
    expect_alone(&missing, 4, false);
}

/* Who hears but is not heard has no link, in whichever direction the loss is. */
static void one_way_loss_is_no_link(void **state)
{
    (void)state;
    struct ph_view_matrix matrix = mesh(2);
    cut(&matrix, 0, 1);
    expect_alone(&matrix, 0, false);
    expect_alone(&matrix, 1, false);
    matrix = mesh(4);
    cut(&matrix, 3, 0);
    expect_view(&matrix, 0, 0, 3);
    expect_alone(&matrix, 3, true);
}

/* Bits for nodes that there are not, and a node's word about itself, do not matter. */
static void strange_bits_are_ignored(void **state)
{
    (void)state;
    struct ph_view_matrix matrix = mesh(PH_VIEW_MAX);
    matrix.count = 3;
    cut(&matrix, 1, 1);
    expect_view(&matrix, 0, 0, 3);
}

/* Halves that do not hear each other are two views. */
static void halves_are_two_views(void **state)
{
    (void)state;
    struct ph_view_matrix matrix = mesh(8);
    part(&matrix, 0, 4, 4, 8);
    expect_view(&matrix, 0, 0, 4);
    expect_view(&matrix, 7, 4, 8);
}

/* A node that hears both halves stays with one of them: the one whose nodes come first. The other
 * half's nodes are alone, each. */
static void bridge_stays_with_one_half(void **state)
{
    (void)state;
    struct ph_view_matrix matrix = mesh(9);
    part(&matrix, 0, 4, 5, 9);
    expect_view(&matrix, 4, 0, 5);
    for (uint32_t i = 5; i < 9; i++)
        expect_alone(&matrix, i, true);
}

/* The larger side of a bridge wins, wherever its nodes are in the order. */
static void larger_side_of_a_bridge_wins(void **state)
{
    (void)state;
    struct ph_view_matrix matrix = mesh(8);
    part(&matrix, 0, 3, 4, 8);
    expect_view(&matrix, 3, 3, 8);
    for (uint32_t i = 0; i < 3; i++)
        expect_alone(&matrix, i, true);
}

/* Of two nodes that do not hear each other the one that is preferred stays, whichever is first in
 * the order. */
static void who_is_preferred_stays(void **state)
{
    (void)state;
    for (uint32_t there = 0; there < 3; there += 2) {
        struct ph_view_matrix matrix = mesh(3);
        uint32_t first = there ? 1 : 0;
        unlink_two(&matrix, 0, 2);
        ph_view_add(&matrix.preferred, 1);
        ph_view_add(&matrix.preferred, there);
        expect_view(&matrix, 1, first, first + 2);
        expect_alone(&matrix, 2 - there, true);
    }
}

/* Everybody hears a majority, each another one: all agree on one view. */
static void ring_of_majorities_is_one_view(void **state)
{
    (void)state;
    for (uint32_t count = 3; count <= 64; count++) {
        struct ph_view_matrix matrix = {.count = count};
        uint32_t in_view = 0, size = 0;
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t step = 1; step <= (count + 2) / 4; step++)
                link_two(&matrix, i, (i + step) % count);
        for (uint32_t i = 0; i < count; i++) {
            struct ph_view_set view;
            if (!ph_view_compute(&matrix, i, &view)) {
                size = check_view(&matrix, i, &view);
                in_view++;
            }
        }
        assert_true(size >= 2);
        assert_int_equal(in_view, size);
    }
}

/* A node that went, although all that it missed went after it, comes back. */
static void nobody_is_left_out_who_hears_all_of_the_view(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 5);
    for (int round = 0; round < 3000; round++) {
        struct ph_view_matrix matrix = {.count = 2 + (uint32_t)ph_prng_below(&prng, 12)};
        struct ph_view_set view;
        for (uint32_t i = 0; i < matrix.count; i++)
            for (uint32_t j = 0; j < i; j++)
                if (ph_prng_below(&prng, 3))
                    link_two(&matrix, i, j);
        if (ph_view_compute(&matrix, 0, &view))
            continue;
        for (uint32_t i = 0; i < matrix.count; i++) {
            bool hears_all = true;
            for (uint32_t j = 0; j < matrix.count; j++)
                hears_all &= !ph_view_has(&view, j) || is_linked(&matrix, i, j);
            assert_true(ph_view_has(&view, i) == hears_all);
        }
    }
}

/* Whatever the matrix: every view is fully linked, all of its nodes compute the same one, and who
 * is left out is alone. */
static void views_agree_whatever_the_matrix(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 3);
    for (int round = 0; round < 400; round++) {
        uint32_t most = round % 40 ? 24 : PH_VIEW_MAX;
        struct ph_view_matrix matrix = mesh(1 + (uint32_t)ph_prng_below(&prng, most));
        uint64_t losses = ph_prng_below(&prng, matrix.count * (matrix.count + 1));
        for (uint64_t i = 0; i < losses; i++)
            cut(&matrix, (uint32_t)ph_prng_below(&prng, matrix.count),
                (uint32_t)ph_prng_below(&prng, matrix.count));
        if (ph_prng_below(&prng, 4) == 0)
            matrix.hears[ph_prng_below(&prng, matrix.count)] = (struct ph_view_set){0};
        for (uint32_t i = 0; i < matrix.count; i++)
            if (ph_prng_below(&prng, 2))
                ph_view_add(&matrix.preferred, i);
        for (int i = 0; i < 4; i++) {
            struct ph_view_set view;
            check_view(&matrix, (uint32_t)ph_prng_below(&prng, matrix.count), &view);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_mesh_keeps_all),
        cmocka_unit_test(dead_node_drops_only_itself),
        cmocka_unit_test(one_way_loss_is_no_link),
        cmocka_unit_test(strange_bits_are_ignored),
        cmocka_unit_test(halves_are_two_views),
        cmocka_unit_test(bridge_stays_with_one_half),
        cmocka_unit_test(larger_side_of_a_bridge_wins),
        cmocka_unit_test(who_is_preferred_stays),
        cmocka_unit_test(ring_of_majorities_is_one_view),
        cmocka_unit_test(nobody_is_left_out_who_hears_all_of_the_view),
        cmocka_unit_test(views_agree_whatever_the_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
