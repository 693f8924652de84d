/* The cell grid: clipping, foreign text, wide characters. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tui/cell.h"
#include "tui/theme.h"

static void expect(const struct ph_grid *grid, const char *text)
{
    struct ph_text out = PH_TEXT_INIT;
    ph_grid_dump(grid, &out);
    assert_string_equal(ph_text_str(&out), text);
    ph_text_fini(&out);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Text ends where its width ends, and shows that it was cut. */
static void long_text_is_cut_with_a_mark(void **state)
{
    (void)state;
    struct ph_grid grid;
    ph_grid_init(&grid, 2, 10, true);
    assert_int_equal(ph_grid_put(&grid, 0, 1, 6, 0, "abcdefgh"), 6);
    assert_int_equal(ph_grid_put(&grid, 1, 1, 6, 0, "abcdef"), 6);
    expect(&grid, " abcde~\n abcdef\n");
    ph_grid_fini(&grid);
}

/* A child's name cannot move the cursor, change colours or the direction of text. */
static void control_bytes_come_out_as_escapes(void **state)
{
    (void)state;
    struct ph_grid grid;
    ph_grid_init(&grid, 3, 40, false);
    ph_grid_put(&grid, 0, 0, 40, 0, "a\x1b[2Jb\x07\x7f");
    ph_grid_put(&grid, 1, 0, 40, 0, "x\xe2\x80\xaey\xc2\x9bz");
    ph_grid_put(&grid, 2, 0, 40, 0, "\xff\xc0\xaf ok");
    expect(&grid, "a\\x1B[2Jb\\x07\\x7F\nx\\u{202E}y\\x9Bz\n\\xFF\\xC0\\xAF ok\n");
    ph_grid_fini(&grid);
}

/* A wide character takes two cells, or none when there is room for one only. */
static void wide_characters_are_never_halved(void **state)
{
    (void)state;
    struct ph_grid grid;
    ph_grid_init(&grid, 3, 6, false);
    ph_grid_put(&grid, 0, 0, 6, 0, "\xe4\xb8\xad\xe6\x96\x87");
    ph_grid_put(&grid, 0, 1, 1, 0, "x");
    ph_grid_put(&grid, 1, 0, 3, 0, "\xe4\xb8\xad\xe6\x96\x87");
    ph_grid_put(&grid, 2, 5, 2, 0, "\xe4\xb8\xad");
    expect(&grid, " x\xe6\x96\x87\n\xe4\xb8\xad\xe2\x80\xa6\n\n");
    ph_grid_fini(&grid);
}

/* In ASCII mode nothing else is put. */
static void ascii_grids_hold_ascii_only(void **state)
{
    (void)state;
    struct ph_grid grid;
    ph_grid_init(&grid, 4, 20, true);
    ph_grid_put(&grid, 0, 0, 20, 0, "caf\xc3\xa9 \xe4\xb8\xad");
    struct ph_grid part = ph_grid_part(&grid, 1, 0, 3, 20);
    ph_grid_box(&part, 0, "h\xc3\xa9");
    ph_grid_bar(&grid, 2, 2, 12, 0, (struct ph_share){5, 10});
    expect(&grid, "caf? ?\n+- h? -------------+\n| [#####.....]     |\n+------------------+\n");
    ph_grid_fini(&grid);
}

/* A part shares the cells and clips at its own edges. */
static void a_part_clips_at_its_own_edges(void **state)
{
    (void)state;
    struct ph_grid grid;
    ph_grid_init(&grid, 3, 8, true);
    struct ph_grid part = ph_grid_part(&grid, 1, 2, 1, 4);
    ph_grid_put(&part, 0, 0, 100, 0, "abcdefghijkl");
    ph_grid_put(&part, 1, 0, 4, 0, "nope");
    ph_grid_fill(&part, 0, -3, 5, 4, 0);
    expect(&grid, "\n   bcd\n\n");
    part = ph_grid_part(&grid, 5, 9, -1, 3);
    assert_true(part.rows == 0 && part.cols == 0);
    ph_grid_fini(&grid);
}

/* Whatever is drawn wherever, no cell outside is touched (the address sanitizer watches). */
static void drawing_anywhere_is_safe(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        struct ph_grid grid;
        int n[4];
        for (size_t k = 0; k < 4; k++)
            n[k] = (int)(next_random(&seed) % 40) - 10;
        ph_grid_init(&grid, n[0], n[1], next_random(&seed) % 2);
        ph_grid_put(&grid, n[2], n[3], n[0], 1, "\xe4\xb8\xad\xe6\x96\x87 text \x01");
        ph_grid_put_right(&grid, n[3], n[2], n[1], 1, "12345\xe4\xb8\xad");
        struct ph_grid part = ph_grid_part(&grid, n[2], n[3], n[1], n[0]);
        ph_grid_box(&part, 2, "box");
        ph_grid_bar(&grid, n[1], n[0], n[2], 3, (struct ph_share){3, 7});
        ph_grid_column(&part, n[3], 4, (struct ph_share){UINT64_MAX / 2, UINT64_MAX});
        ph_grid_rule(&grid, n[3], 5, "heading");
        ph_grid_mark(&grid, n[0], n[1], n[2], PH_CURSOR);
        ph_grid_fini(&grid);
    }
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_text_is_cut_with_a_mark),
        cmocka_unit_test(control_bytes_come_out_as_escapes),
        cmocka_unit_test(wide_characters_are_never_halved),
        cmocka_unit_test(ascii_grids_hold_ascii_only),
        cmocka_unit_test(a_part_clips_at_its_own_edges),
        cmocka_unit_test(drawing_anywhere_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
