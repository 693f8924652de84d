#include "engine/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "engine/base.h"
#include "engine/prng.h"

/* What libmsgpack writes into; `out` is cleared first. */
static int append(void *out, const char *bytes, size_t length)
{
    ph_text_append(out, bytes, length);
    return 0;
}

/* A number whose size in bits is even over 0..64. */
static uint64_t any_number(struct ph_prng *prng)
{
    uint64_t bits = ph_prng_below(prng, 65);
    return bits ? ph_prng_next(prng) >> (64 - bits) : 0;
}

static void assert_same(const struct ph_text *ours, const struct ph_text *theirs)
{
    assert_int_equal(ours->length, theirs->length);
    assert_memory_equal(ours->data, theirs->data, ours->length);
}

/* Numbers, nil and truth are written as libmsgpack writes them, and read back. */
static void numbers_are_those_of_libmsgpack(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 1);
    struct ph_text ours = PH_TEXT_INIT, theirs = PH_TEXT_INIT;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &theirs, append);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = any_number(&prng);
        ph_text_clear(&ours);
        ph_text_clear(&theirs);
        ph_pack_uint(&ours, value);
        ph_pack_bool(&ours, value & 1);
        ph_pack_nil(&ours);
        msgpack_pack_uint64(&packer, value);
        if (value & 1)
            msgpack_pack_true(&packer);
        else
            msgpack_pack_false(&packer);
        msgpack_pack_nil(&packer);
        assert_same(&ours, &theirs);
        struct ph_unpack in;
        ph_unpack_init(&in, ours.data, ours.length);
        assert_true(ph_unpack_uint(&in, value) == value);
        assert_true(ph_unpack_bool(&in) == (value & 1));
        assert_true(ph_unpack_nil(&in));
        assert_int_equal(ph_unpack_end(&in), 0);
    }
    ph_text_fini(&ours);
    ph_text_fini(&theirs);
}

/* Texts, bytes and arrays of every size class are those of libmsgpack, and read back. */
static void texts_and_arrays_are_those_of_libmsgpack(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};
    static char bytes[70000];
    memset(bytes, 'x', sizeof bytes);
    struct ph_text ours = PH_TEXT_INIT, theirs = PH_TEXT_INIT;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &theirs, append);
    for (size_t i = 0; i < PH_COUNT_OF(sizes); i++) {
        size_t size = sizes[i], length;
        ph_text_clear(&ours);
        ph_text_clear(&theirs);
        ph_pack_str(&ours, bytes, size);
        ph_pack_bin(&ours, bytes, size);
        ph_pack_array(&ours, (uint32_t)size);
        msgpack_pack_str_with_body(&packer, bytes, size);
        msgpack_pack_bin_with_body(&packer, bytes, size);
        msgpack_pack_array(&packer, size);
        for (size_t nil = 0; nil < size; nil++) {
            ph_pack_nil(&ours);
            msgpack_pack_nil(&packer);
        }
        assert_same(&ours, &theirs);
        struct ph_unpack in;
        ph_unpack_init(&in, ours.data, ours.length);
        assert_memory_equal(ph_unpack_str(&in, size, &length), bytes, size);
        assert_int_equal(length, size);
        assert_memory_equal(ph_unpack_bin(&in, size, &length), bytes, size);
        assert_int_equal(length, size);
        assert_int_equal(ph_unpack_array(&in, (uint32_t)size), size);
        for (size_t nil = 0; nil < size; nil++)
            assert_true(ph_unpack_nil(&in));
        assert_int_equal(ph_unpack_end(&in), 0);
    }
    ph_text_fini(&ours);
    ph_text_fini(&theirs);
}

/* What others write in a longer form than needed, or as a signed number, reads the same. */
static void longer_forms_of_a_number_are_read(void **state)
{
    (void)state;
    static const struct {
        unsigned char bytes[9];
        size_t length;
        bool good;
    } cases[] = {
        {{0x07}, 1, true},
        {{0xcc, 7}, 2, true},
        {{0xcd, 0, 7}, 3, true},
        {{0xcf, 0, 0, 0, 0, 0, 0, 0, 7}, 9, true},
        {{0xd0, 7}, 2, true},
        {{0xd3, 0, 0, 0, 0, 0, 0, 0, 7}, 9, true},
        {{0xd0, 0xff}, 2, false},
        {{0xd1, 0x80, 7}, 3, false},
        {{0xff}, 1, false},
        {{0xc0}, 1, false},
        {{0xca, 0, 0, 0, 0}, 5, false},
        {{0xcd, 0}, 2, false},
        {{0}, 0, false},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_unpack in;
        ph_unpack_init(&in, cases[i].bytes, cases[i].length);
        assert_int_equal(ph_unpack_uint(&in, 7), cases[i].good ? 7 : 0);
        assert_int_equal(ph_unpack_end(&in), cases[i].good ? 0 : PH_EUSAGE);
    }
}

/* A value above its bound, a declared length beyond the bytes and a NUL in a name are faults. */
static void bounds_are_held_before_anything_is_used(void **state)
{
    (void)state;
    struct ph_unpack in;
    size_t length = 9;
    char name[5] = "old";
    ph_unpack_init(&in, "\x08", 1);
    assert_int_equal(ph_unpack_uint(&in, 7), 0);
    assert_int_equal(ph_unpack_end(&in), PH_EUSAGE);
    ph_unpack_init(&in, "\xdb\xff\xff\xff\xffxx", 7);
    assert_string_equal(ph_unpack_str(&in, SIZE_MAX, &length), "");
    assert_int_equal(length, 0);
    ph_unpack_init(&in, "\xa3xyz", 4);
    assert_string_equal(ph_unpack_str(&in, 2, &length), "");
    ph_unpack_init(&in, "\xdd\xff\xff\xff\xff\xc0", 6);
    assert_int_equal(ph_unpack_array(&in, UINT32_MAX), 0);
    ph_unpack_init(&in, "\xa4xyzw", 5);
    ph_unpack_name(&in, name, sizeof name);
    assert_string_equal(name, "xyzw");
    assert_int_equal(ph_unpack_end(&in), 0);
    ph_unpack_init(&in, "\xa5xyzwv", 6);
    ph_unpack_name(&in, name, sizeof name);
    assert_string_equal(name, "");
    ph_unpack_init(&in, "\xa3x\0z", 4);
    ph_unpack_name(&in, name, sizeof name);
    assert_string_equal(name, "");
    assert_int_equal(ph_unpack_end(&in), PH_EUSAGE);
}

/* After the first fault every read gives nothing, also where good bytes follow. */
static void first_fault_sticks(void **state)
{
    (void)state;
    struct ph_unpack in;
    size_t length = 9;
    ph_unpack_init(&in, "\x01\xa1x\xc3", 4);
    assert_false(ph_unpack_bool(&in));
    assert_int_equal(ph_unpack_uint(&in, 9), 0);
    assert_string_equal(ph_unpack_str(&in, 9, &length), "");
    assert_int_equal(length, 0);
    assert_string_equal(ph_unpack_bin(&in, 9, &length), "");
    assert_false(ph_unpack_bool(&in));
    assert_false(ph_unpack_nil(&in));
    assert_int_equal(ph_unpack_array(&in, 9), 0);
    ph_unpack_skip(&in);
    assert_int_equal(ph_unpack_end(&in), PH_EUSAGE);
    ph_unpack_init(&in, "\x01\x02", 2);
    assert_int_equal(ph_unpack_uint(&in, 9), 1);
    assert_int_equal(ph_unpack_end(&in), PH_EUSAGE); /* bytes are left over */
}

/* One value of any type, nested at most `depth` deep, by libmsgpack. */
static void pack_any(msgpack_packer *packer, struct ph_prng *prng, unsigned depth)
{
    static const char zeros[300];
    size_t size = (size_t)ph_prng_below(prng, 300);
    switch (ph_prng_below(prng, depth ? 11 : 9)) {
    case 0:
        msgpack_pack_nil(packer);
        break;
    case 1:
        msgpack_pack_true(packer);
        break;
    case 2:
        msgpack_pack_uint64(packer, any_number(prng));
        break;
    case 3:
        msgpack_pack_int64(packer, -(int64_t)(any_number(prng) >> 1));
        break;
    case 4:
        msgpack_pack_float(packer, 1.5F);
        break;
    case 5:
        msgpack_pack_double(packer, 2.5);
        break;
    case 6:
        msgpack_pack_str_with_body(packer, zeros, size);
        break;
    case 7:
        msgpack_pack_bin_with_body(packer, zeros, size);
        break;
    case 8:
        msgpack_pack_ext_with_body(packer, zeros, size % 20, 5);
        break;
    case 9:
        msgpack_pack_array(packer, size % 40);
        for (size_t i = 0; i < size % 40; i++)
            pack_any(packer, prng, depth - 1);
        break;
    default:
        msgpack_pack_map(packer, size % 20);
        for (size_t i = 0; i < 2 * (size % 20); i++)
            pack_any(packer, prng, depth - 1);
        break;
    }
}

/* Any value of libmsgpack's is stepped over whole; cut anywhere, it is a fault. */
static void skip_steps_over_any_value(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 2);
    struct ph_text theirs = PH_TEXT_INIT;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &theirs, append);
    for (int i = 0; i < 3000; i++) {
        ph_text_clear(&theirs);
        pack_any(&packer, &prng, 2);
        struct ph_unpack in;
        ph_unpack_init(&in, theirs.data, theirs.length);
        ph_unpack_skip(&in);
        assert_int_equal(ph_unpack_end(&in), 0);
        ph_unpack_init(&in, theirs.data, (size_t)ph_prng_below(&prng, theirs.length));
        ph_unpack_skip(&in);
        assert_int_equal(ph_unpack_end(&in), PH_EUSAGE);
    }
    ph_text_fini(&theirs);
}

/* Nesting beyond the bound is a fault, within it is none. */
static void nesting_is_bounded(void **state)
{
    (void)state;
    unsigned char nested[PH_UNPACK_DEPTH_MAX + 2];
    memset(nested, 0x91, sizeof nested);
    struct ph_unpack in;
    nested[PH_UNPACK_DEPTH_MAX] = 0xc0;
    ph_unpack_init(&in, nested, PH_UNPACK_DEPTH_MAX + 1);
    ph_unpack_skip(&in);
    assert_int_equal(ph_unpack_end(&in), 0);
    nested[PH_UNPACK_DEPTH_MAX] = 0x91;
    nested[PH_UNPACK_DEPTH_MAX + 1] = 0xc0;
    ph_unpack_init(&in, nested, sizeof nested);
    ph_unpack_skip(&in);
    assert_int_equal(ph_unpack_end(&in), PH_EUSAGE);
}

/* Random bytes never lead out of the buffer (the sanitizers watch) and never come to no end. */
static void random_bytes_are_read_within_bounds(void **state)
{
    (void)state;
    struct ph_prng prng;
    ph_prng_init(&prng, 3);
    for (int i = 0; i < 100000; i++) {
        size_t size = (size_t)ph_prng_below(&prng, 40), length;
        unsigned char bytes[40];
        for (size_t at = 0; at < size; at++)
            bytes[at] = (unsigned char)ph_prng_next(&prng);
        struct ph_unpack in;
        ph_unpack_init(&in, bytes, size);
        char name[20];
        while (in.at != in.end) {
            switch (ph_prng_below(&prng, 6)) {
            case 0:
                ph_unpack_uint(&in, UINT64_MAX);
                break;
            case 1:
                ph_unpack_name(&in, name, sizeof name);
                break;
            case 2:
                ph_unpack_bin(&in, 30, &length);
                break;
            case 3:
                ph_unpack_array(&in, 30);
                break;
            case 4:
                ph_unpack_skip(&in);
                break;
            default:
                ph_unpack_str(&in, 30, &length);
                break;
            }
            assert_true(in.at <= in.end);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_libmsgpack),
        cmocka_unit_test(texts_and_arrays_are_those_of_libmsgpack),
        cmocka_unit_test(longer_forms_of_a_number_are_read),
        cmocka_unit_test(bounds_are_held_before_anything_is_used),
        cmocka_unit_test(first_fault_sticks),
        cmocka_unit_test(skip_steps_over_any_value),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(random_bytes_are_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
