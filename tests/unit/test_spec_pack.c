#include "engine/spec_pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/limits.h"
#include "engine/prng.h"
#include "engine/spec_keys.h"

static void set(struct ph_spec *spec, const char *key, const char *value)
{
    struct ph_error error;
    if (ph_spec_set(spec, key, value, &error))
        fail_msg("%s=%s: %s", key, value, error.text);
}

static struct ph_spec *module_spec(void)
{
    struct ph_spec *spec = ph_spec_create();
    set(spec, "module", "counter");
    return spec;
}

/* Every key that a process can have, none at its default. */
static struct ph_spec *full_process(void)
{
    static const char *const pairs[][2] = {
        {"restart", "transient"},   {"max_restarts", "3"},
        {"max_seconds", "7s"},      {"backoff", "250ms"},
        {"backoff_max", "1h"},      {"shutdown", "1ms"},
        {"stop_signal", "INT"},     {"env.PATH", "/bin:/a b=c"},
        {"env.EMPTY", ""},          {"cwd", "/tmp/a b"},
        {"user", "nobody"},         {"log", "/tmp/x.log"},
        {"log_bytes", "8k"},        {"stderr", "split"},
        {"ready", "notify"},        {"watchdog", "90s"},
        {"tags", "web,blue"},       {"meta.owner", "a \"team\"\n"},
        {"meta.x.y-z", "\xc3\xa4"}, {"on", "n1,n2"},
        {"fdstore", "7"},           {"listen", "tcp://127.0.0.1:*"},
        {"socket", "yes"},
    };
    struct ph_spec *spec = ph_spec_create();
    for (size_t i = 0; i < PH_COUNT_OF(pairs); i++)
        set(spec, pairs[i][0], pairs[i][1]);
    assert_int_equal(ph_spec_add_arg(spec, "/bin/echo", NULL), 0);
    assert_int_equal(ph_spec_add_arg(spec, "", NULL), 0);
    assert_int_equal(ph_spec_add_arg(spec, "a b\n\"c\"", NULL), 0);
    return spec;
}

static struct ph_spec *unpack(const void *bytes, size_t length)
{
    struct ph_unpack in;
    ph_unpack_init(&in, bytes, length);
    struct ph_spec *spec = ph_spec_unpack(&in);
    if (spec && ph_unpack_end(&in)) {
        ph_spec_put(spec);
        return NULL;
    }
    assert_true(spec || in.broken);
    return spec;
}

static void assert_survives(const struct ph_spec *spec)
{
    struct ph_text bytes = PH_TEXT_INIT, again = PH_TEXT_INIT;
    ph_spec_pack(spec, &bytes);
    assert_in_range(bytes.length, 1, PH_SPEC_PACKED_MAX);
    struct ph_spec *copy = unpack(bytes.data, bytes.length);
    assert_non_null(copy);
    assert_true(ph_spec_equal(spec, copy));
    ph_spec_pack(copy, &again);
    assert_int_equal(again.length, bytes.length);
    assert_memory_equal(again.data, bytes.data, bytes.length);
    ph_spec_put(copy);
    ph_text_fini(&bytes);
    ph_text_fini(&again);
}

/* ---- What survives ------------------------------------------------------------------------- */

/* A spec of nothing but defaults is its module alone. */
static void plain_spec_survives(void **state)
{
    (void)state;
    struct ph_spec *spec = module_spec();
    struct ph_text bytes = PH_TEXT_INIT;
    ph_spec_pack(spec, &bytes);
    assert_in_range(bytes.length, 1, 24);
    assert_survives(spec);
    ph_text_fini(&bytes);
    ph_spec_put(spec);
}

/* Every key and every word of argv comes out as it went in. */
static void every_key_survives(void **state)
{
    (void)state;
    struct ph_spec *spec = full_process(), *module = module_spec();
    for (size_t i = 0; i < ph_spec_key_count(); i++) {
        const struct ph_spec_key *row = ph_spec_key_at(i);
        bool of_module = row->kind == PH_KEY_MODULE || strcmp(row->name, "module") == 0;
        if (!of_module && !(spec->keys & UINT64_C(1) << i))
            fail_msg("the test does not set %s", row->name);
    }
    assert_survives(spec);
    set(module, "args", "--x 'y z' \x7f");
    assert_survives(module);
    ph_spec_put(spec);
    ph_spec_put(module);
}

/* What differs in one key differs in its bytes. */
static void specs_that_differ_give_other_bytes(void **state)
{
    (void)state;
    struct ph_spec *a = full_process(), *b = full_process();
    struct ph_text of_a = PH_TEXT_INIT, of_b = PH_TEXT_INIT;
    set(b, "watchdog", "91s");
    ph_spec_pack(a, &of_a);
    ph_spec_pack(b, &of_b);
    assert_false(of_a.length == of_b.length && memcmp(of_a.data, of_b.data, of_a.length) == 0);
    ph_text_fini(&of_a);
    ph_text_fini(&of_b);
    ph_spec_put(a);
    ph_spec_put(b);
}

/* The order in which keys were set, and defaults that were spelled out, leave no trace. */
static void equal_specs_give_equal_bytes(void **state)
{
    (void)state;
    struct ph_spec *a = module_spec(), *b = ph_spec_create();
    struct ph_text of_a = PH_TEXT_INIT, of_b = PH_TEXT_INIT;
    set(a, "meta.a", "1");
    set(a, "meta.b", "2");
    set(a, "tags", "x,y");
    set(a, "shutdown", "2000ms");
    set(b, "shutdown", "2s");
    set(b, "tags", "y,x,y");
    set(b, "meta.b", "9");
    set(b, "meta.b", "2");
    set(b, "meta.a", "1");
    set(b, "restart", "permanent");
    set(b, "args", "");
    set(b, "module", "counter");
    assert_true(ph_spec_equal(a, b));
    ph_spec_pack(a, &of_a);
    ph_spec_pack(b, &of_b);
    assert_int_equal(of_a.length, of_b.length);
    assert_memory_equal(of_a.data, of_b.data, of_a.length);
    ph_text_fini(&of_a);
    ph_text_fini(&of_b);
    ph_spec_put(a);
    ph_spec_put(b);
}

/* Whatever a person may write can be read back: as many pairs as the bound of bytes allows. */
static void spec_with_as_many_pairs_as_fit_survives(void **state)
{
    (void)state;
    static const char digits[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
    struct ph_spec *spec = module_spec();
    const unsigned base = sizeof digits - 1;
    char *args = ph_alloc(40001);
    memset(args, 'x', 40000); /* more pairs take minutes under a sanitizer */
    set(spec, "args", args);
    ph_free(args);
    for (unsigned i = 0;; i++) {
        char key[] = "meta.\0\0\0";
        key[5] = digits[i % base];
        if (i >= base)
            key[6] = digits[i / base % base];
        if (i >= base * base)
            key[7] = digits[i / base / base % base];
        if (ph_spec_set(spec, key, "", NULL))
            break;
    }
    assert_in_range(spec->meta_count, 5000, PH_SPEC_BYTES_MAX);
    assert_survives(spec);
    ph_spec_put(spec);
}

/* The same for the words of a program. */
static void spec_with_as_many_words_as_fit_survives(void **state)
{
    (void)state;
    struct ph_spec *spec = ph_spec_create();
    char *first = ph_alloc(PH_SPEC_BYTES_MAX);
    memset(first, 'x', PH_SPEC_BYTES_MAX - 20000); /* more words take minutes under a sanitizer */
    assert_int_equal(ph_spec_add_arg(spec, first, NULL), 0);
    while (ph_spec_add_arg(spec, "", NULL) == 0)
        continue;
    assert_in_range(spec->argc, 19990, 20000);
    assert_survives(spec);
    ph_free(first);
    ph_spec_put(spec);
}

/* ---- What is refused ----------------------------------------------------------------------- */

/* Bytes that end too early are refused, wherever they end. */
static void truncated_bytes_are_refused_at_every_length(void **state)
{
    (void)state;
    struct ph_spec *spec = full_process();
    struct ph_text bytes = PH_TEXT_INIT;
    ph_spec_pack(spec, &bytes);
    for (size_t length = 0; length < bytes.length; length++) {
        char *copy = ph_copy_text(bytes.data, length); /* its end is the end of its memory */
        assert_null(unpack(copy, length));
        ph_free(copy);
    }
    ph_text_fini(&bytes);
    ph_spec_put(spec);
}

/* What comes out of flipped bits, if anything, is a valid spec. */
static void flipped_bits_give_a_valid_spec_or_none(void **state)
{
    (void)state;
    struct ph_spec *spec = full_process();
    struct ph_text bytes = PH_TEXT_INIT;
    unsigned refused = 0;
    ph_spec_pack(spec, &bytes);
    for (size_t bit = 0; bit < bytes.length * 8; bit++) {
        char *copy = ph_copy_text(bytes.data, bytes.length);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        struct ph_spec *read = unpack(copy, bytes.length);
        if (read)
            assert_int_equal(ph_spec_check(read, NULL), 0);
        refused += !read;
        ph_spec_put(read);
        ph_free(copy);
    }
    assert_in_range(refused, bytes.length, bytes.length * 8);
    ph_text_fini(&bytes);
    ph_spec_put(spec);
}

/* Nothing that comes in can do harm. */
static void random_bytes_are_refused(void **state)
{
    (void)state;
    struct ph_prng prng;
    unsigned char bytes[64];
    ph_prng_init(&prng, 5);
    for (unsigned round = 0; round < 50000; round++) {
        size_t length = ph_prng_below(&prng, sizeof bytes);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (unsigned char)ph_prng_next(&prng);
        if (length)
            bytes[0] = (unsigned char)(0x90 | ph_prng_below(&prng, 16)); /* an array */
        ph_spec_put(unpack(bytes, length));
    }
}

static void assert_refused(const char *const *pairs, uint32_t pair_count, const char *word)
{
    struct ph_text bytes = PH_TEXT_INIT;
    ph_pack_array(&bytes, pair_count);
    for (uint32_t i = 0; i < pair_count; i++)
        ph_pack_str(&bytes, pairs[i], strlen(pairs[i]));
    ph_pack_array(&bytes, word != NULL);
    if (word)
        ph_pack_str(&bytes, word, strlen(word));
    assert_null(unpack(bytes.data, bytes.length));
    ph_text_fini(&bytes);
}

/* What a person could not have typed is refused, too. */
static void senseless_specs_are_refused(void **state)
{
    (void)state;
    static const char *const unknown[] = {"module", "counter", "colour", "red"};
    static const char *const wrong[] = {"module", "counter", "restart", "sometimes"};
    static const char *const odd[] = {"module", "counter", "restart"};
    static const char *const both[] = {"module", "counter"};
    static const char *const of_process[] = {"module", "counter", "cwd", "/"};
    assert_refused(unknown, 4, NULL);
    assert_refused(wrong, 4, NULL);
    assert_refused(odd, 3, NULL);
    assert_refused(both, 2, "/bin/true");
    assert_refused(of_process, 4, NULL);
    assert_refused(NULL, 0, NULL);
    assert_refused(NULL, 0, "");
}

/* A text with a NUL inside is not the text before it. */
static void text_with_a_nul_inside_is_refused(void **state)
{
    (void)state;
    struct ph_text bytes = PH_TEXT_INIT;
    ph_pack_array(&bytes, 2);
    ph_pack_str(&bytes, "module", 6);
    ph_pack_str(&bytes, "count\0er", 8);
    ph_pack_array(&bytes, 0);
    assert_null(unpack(bytes.data, bytes.length));
    ph_text_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_spec_survives),
        cmocka_unit_test(every_key_survives),
        cmocka_unit_test(specs_that_differ_give_other_bytes),
        cmocka_unit_test(equal_specs_give_equal_bytes),
        cmocka_unit_test(spec_with_as_many_pairs_as_fit_survives),
        cmocka_unit_test(spec_with_as_many_words_as_fit_survives),
        cmocka_unit_test(truncated_bytes_are_refused_at_every_length),
        cmocka_unit_test(flipped_bits_give_a_valid_spec_or_none),
        cmocka_unit_test(random_bytes_are_refused),
        cmocka_unit_test(senseless_specs_are_refused),
        cmocka_unit_test(text_with_a_nul_inside_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
