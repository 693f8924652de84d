#include "engine/pack.h"

#include <string.h>

/* The first bytes of the format; those that are one of a range have its first. */
enum first {
    FIX_MAP = 0x80,
    FIX_ARRAY = 0x90,
    FIX_STR = 0xa0,
    NIL = 0xc0,
    UNUSED = 0xc1,
    FALSE = 0xc2,
    TRUE = 0xc3,
    BIN_8 = 0xc4,
    EXT_8 = 0xc7,
    FLOAT_32 = 0xca,
    UINT_8 = 0xcc,
    UINT_16 = 0xcd,
    UINT_32 = 0xce,
    UINT_64 = 0xcf,
    INT_8 = 0xd0,
    INT_64 = 0xd3,
    FIX_EXT_1 = 0xd4,
    STR_8 = 0xd9,
    STR_16 = 0xda,
    STR_32 = 0xdb,
    ARRAY_16 = 0xdc,
    ARRAY_32 = 0xdd,
    MAP_16 = 0xde,
    MAP_32 = 0xdf,
    NEGATIVE = 0xe0,
};

/* ---- The writer ----------------------------------------------------------------------------- */

/* A first byte and `width` bytes of a number, big endian. */
static void put(struct ph_text *out, unsigned first, uint64_t value, unsigned width)
{
    unsigned char bytes[9] = {(unsigned char)first};
    for (unsigned i = 0; i < width; i++)
        bytes[1 + i] = (unsigned char)(value >> (8 * (width - 1 - i)));
    ph_text_append(out, bytes, 1 + (size_t)width);
}

void ph_pack_nil(struct ph_text *out)
{
    put(out, NIL, 0, 0);
}

void ph_pack_bool(struct ph_text *out, bool value)
{
    put(out, value ? TRUE : FALSE, 0, 0);
}

void ph_pack_uint(struct ph_text *out, uint64_t value)
{
    if (value < FIX_MAP)
        put(out, (unsigned)value, 0, 0);
    else if (value <= UINT8_MAX)
        put(out, UINT_8, value, 1);
    else if (value <= UINT16_MAX)
        put(out, UINT_16, value, 2);
    else if (value <= UINT32_MAX)
        put(out, UINT_32, value, 4);
    else
        put(out, UINT_64, value, 8);
}

void ph_pack_str(struct ph_text *out, const char *text, size_t length)
{
    if (length < 32)
        put(out, FIX_STR | (unsigned)length, 0, 0);
    else if (length <= UINT8_MAX)
        put(out, STR_8, length, 1);
    else if (length <= UINT16_MAX)
        put(out, STR_16, length, 2);
    else
        put(out, STR_32, length, 4);
    ph_text_append(out, text, length);
}

void ph_pack_bin(struct ph_text *out, const void *bytes, size_t length)
{
    if (length <= UINT8_MAX)
        put(out, BIN_8, length, 1);
    else if (length <= UINT16_MAX)
        put(out, BIN_8 + 1, length, 2);
    else
        put(out, BIN_8 + 2, length, 4);
    ph_text_append(out, bytes, length);
}

void ph_pack_array(struct ph_text *out, uint32_t count)
{
    if (count < 16)
        put(out, FIX_ARRAY | count, 0, 0);
    else if (count <= UINT16_MAX)
        put(out, ARRAY_16, count, 2);
    else
        put(out, ARRAY_32, count, 4);
}

/* ---- The reader ----------------------------------------------------------------------------- */

void ph_unpack_init(struct ph_unpack *in, const void *bytes, size_t length)
{
    in->at = bytes ? bytes : (const unsigned char *)"";
    in->end = in->at + (bytes ? length : 0);
    in->broken = false;
}

void ph_unpack_fail(struct ph_unpack *in)
{
    in->broken = true;
    in->at = in->end;
}

static size_t left(const struct ph_unpack *in)
{
    return (size_t)(in->end - in->at);
}

/* The next byte; UNUSED, which starts nothing, when there is none. */
static unsigned take_first(struct ph_unpack *in)
{
    if (in->at == in->end) {
        ph_unpack_fail(in);
        return UNUSED;
    }
    return *in->at++;
}

/* A number of `width` bytes, big endian. */
static uint64_t take_number(struct ph_unpack *in, unsigned width)
{
    if (left(in) < width) {
        ph_unpack_fail(in);
        return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value = value << 8 | *in->at++;
    return value;
}

uint64_t ph_unpack_uint(struct ph_unpack *in, uint64_t max)
{
    unsigned first = take_first(in);
    uint64_t value = 0;
    if (first < FIX_MAP) {
        value = first;
    } else if (first >= UINT_8 && first <= UINT_64) {
        value = take_number(in, 1U << (first - UINT_8));
    } else if (first >= INT_8 && first <= INT_64) {
        /* What others write for a number of a signed type; it must not be negative. */
        unsigned width = 1U << (first - INT_8);
        value = take_number(in, width);
        if (value >> (8 * width - 1))
            ph_unpack_fail(in);
    } else {
        ph_unpack_fail(in);
    }
    if (value > max)
        ph_unpack_fail(in);
    return in->broken ? 0 : value;
}

bool ph_unpack_bool(struct ph_unpack *in)
{
    unsigned first = take_first(in);
    if (first != TRUE && first != FALSE)
        ph_unpack_fail(in);
    return first == TRUE;
}

/* `length` bytes of at most `max` that must be there. */
static const void *take_bytes(struct ph_unpack *in, uint64_t length, size_t max, size_t *taken)
{
    if (in->broken || length > max || length > left(in)) {
        ph_unpack_fail(in);
        *taken = 0;
        return "";
    }
    const unsigned char *bytes = in->at;
    in->at += length;
    *taken = (size_t)length;
    return bytes;
}

const char *ph_unpack_str(struct ph_unpack *in, size_t max, size_t *length)
{
    unsigned first = take_first(in);
    uint64_t declared = 0;
    if (first >= FIX_STR && first < NIL)
        declared = first & 31;
    else if (first >= STR_8 && first <= STR_32)
        declared = take_number(in, 1U << (first - STR_8));
    else
        ph_unpack_fail(in);
    return take_bytes(in, declared, max, length);
}

const void *ph_unpack_bin(struct ph_unpack *in, size_t max, size_t *length)
{
    unsigned first = take_first(in);
    uint64_t declared = 0;
    if (first >= BIN_8 && first < EXT_8)
        declared = take_number(in, 1U << (first - BIN_8));
    else
        ph_unpack_fail(in);
    return take_bytes(in, declared, max, length);
}

void ph_unpack_name(struct ph_unpack *in, char *name, size_t size)
{
    size_t length;
    const char *text = ph_unpack_str(in, size - 1, &length);
    if (memchr(text, '\0', length)) {
        ph_unpack_fail(in);
        length = 0;
    }
    memcpy(name, text, length);
    name[length] = '\0';
}

uint32_t ph_unpack_array(struct ph_unpack *in, uint32_t max)
{
    unsigned first = take_first(in);
    uint64_t count = 0;
    if (first >= FIX_ARRAY && first < FIX_STR)
        count = first & 15;
    else if (first == ARRAY_16 || first == ARRAY_32)
        count = take_number(in, first == ARRAY_16 ? 2 : 4);
    else
        ph_unpack_fail(in);
    if (count > max || count > left(in))
        ph_unpack_fail(in);
    return in->broken ? 0 : (uint32_t)count;
}

bool ph_unpack_nil(struct ph_unpack *in)
{
    if (in->at == in->end || *in->at != NIL)
        return false;
    in->at++;
    return true;
}

/* What one value consists of behind its first byte. */
struct shape {
    uint64_t bytes;    /* that belong to itself */
    uint64_t elements; /* values that follow and belong to it */
};

/* Of those that declare a length: its width and what it counts. */
static struct shape declared_shape(struct ph_unpack *in, unsigned first)
{
    if (first >= BIN_8 && first < EXT_8)
        return (struct shape){.bytes = take_number(in, 1U << (first - BIN_8))};
    if (first >= EXT_8 && first < FLOAT_32)
        return (struct shape){.bytes = take_number(in, 1U << (first - EXT_8)) + 1};
    if (first >= STR_8 && first <= STR_32)
        return (struct shape){.bytes = take_number(in, 1U << (first - STR_8))};
    if (first == ARRAY_16 || first == ARRAY_32)
        return (struct shape){.elements = take_number(in, first == ARRAY_16 ? 2 : 4)};
    return (struct shape){.elements = 2 * take_number(in, first == MAP_16 ? 2 : 4)};
}

static struct shape take_shape(struct ph_unpack *in)
{
    unsigned first = take_first(in);
    if (first == UNUSED)
        ph_unpack_fail(in);
    if (first < FIX_MAP || first >= NEGATIVE || (first >= NIL && first <= TRUE))
        return (struct shape){0};
    if (first < FIX_ARRAY)
        return (struct shape){.elements = 2 * (first & 15)};
    if (first < FIX_STR)
        return (struct shape){.elements = first & 15};
    if (first < NIL)
        return (struct shape){.bytes = first & 31};
    if (first >= FLOAT_32 && first < UINT_8)
        return (struct shape){.bytes = 4ULL << (first - FLOAT_32)};
    if (first >= UINT_8 && first <= UINT_64)
        return (struct shape){.bytes = 1ULL << (first - UINT_8)};
    if (first >= INT_8 && first <= INT_64)
        return (struct shape){.bytes = 1ULL << (first - INT_8)};
    if (first >= FIX_EXT_1 && first < STR_8)
        return (struct shape){.bytes = (1ULL << (first - FIX_EXT_1)) + 1};
    return declared_shape(in, first);
}

void ph_unpack_skip(struct ph_unpack *in)
{
    uint64_t waiting[PH_UNPACK_DEPTH_MAX + 1] = {1}; /* values to come on each level */
    unsigned depth = 0;
    for (;;) {
        while (waiting[depth] == 0) {
            if (depth == 0)
                return;
            depth--;
        }
        waiting[depth]--;
        struct shape shape = take_shape(in);
        if (in->broken || shape.bytes > left(in) || shape.elements > left(in) ||
            (shape.elements && depth == PH_UNPACK_DEPTH_MAX)) {
            ph_unpack_fail(in);
            return;
        }
        in->at += shape.bytes;
        if (shape.elements)
            waiting[++depth] = shape.elements;
    }
}

int ph_unpack_end(const struct ph_unpack *in)
{
    return in->broken || in->at != in->end ? PH_EUSAGE : 0;
}
