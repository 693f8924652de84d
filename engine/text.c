#include "engine/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/alloc.h"
#include "engine/base.h"

/* And the NUL after them. */
void ph_text_reserve(struct ph_text *text, size_t more)
{
    size_t wanted = text->length + more + 1;
    ph_assert(wanted > more);
    if (wanted <= text->capacity)
        return;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < wanted)
        capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
    text->data = ph_realloc(text->data, capacity);
    text->capacity = capacity;
}

void ph_text_fini(struct ph_text *text)
{
    ph_free(text->data);
    *text = (struct ph_text)PH_TEXT_INIT;
}

void ph_text_clear(struct ph_text *text)
{
    text->length = 0;
    if (text->data)
        text->data[0] = '\0';
}

const char *ph_text_str(const struct ph_text *text)
{
    return text->data ? text->data : "";
}

void ph_text_append(struct ph_text *text, const void *bytes, size_t length)
{
    ph_text_reserve(text, length);
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void ph_text_resize(struct ph_text *text, size_t length)
{
    size_t before = text->length;
    ph_text_reserve(text, length > before ? length - before : 0);
    if (length > before)
        memset(text->data + before, 0, length - before);
    text->length = length;
    text->data[length] = '\0';
}

void ph_text_put(struct ph_text *text, const char *string)
{
    ph_text_append(text, string, strlen(string));
}

void ph_text_printf(struct ph_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ph_assert(length >= 0);
    ph_text_reserve(text, (size_t)length);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    va_end(again);
    text->length += (size_t)length;
}

static void json_rune(struct ph_text *out, const char *bytes, size_t length, uint32_t rune)
{
    if (rune == '"' || rune == '\\')
        ph_text_printf(out, "\\%c", (int)rune);
    else if (rune < 0x20 || (rune >= 0x7f && rune <= 0x9f)) /* C1: terminals obey them, too */
        ph_text_printf(out, "\\u%04x", (unsigned)rune);
    else
        ph_text_append(out, bytes, length);
}

void ph_text_json(struct ph_text *out, const char *text, size_t length)
{
    ph_text_reserve(out, length + 2);
    ph_text_put(out, "\"");
    for (size_t at = 0; at < length;) {
        uint32_t rune;
        size_t bytes = ph_utf8_next(text + at, length - at, &rune);
        if (bytes)
            json_rune(out, text + at, bytes, rune);
        else
            ph_text_put(out, "\xef\xbf\xbd");
        at += bytes ? bytes : 1;
    }
    ph_text_put(out, "\"");
}

/* Runes that a terminal does not show as themselves: C1 controls, line separators, invisible and
 * bidirectional formatting, byte order marks, tags. */
static bool is_deceptive(uint32_t rune)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x80, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
    };
    for (size_t i = 0; i < PH_COUNT_OF(ranges); i++) {
        if (rune >= ranges[i].first && rune <= ranges[i].last)
            return true;
    }
    return false;
}

void ph_text_printable(struct ph_text *out, const char *text, size_t length)
{
    ph_text_reserve(out, length);
    for (size_t at = 0; at < length;) {
        uint32_t rune = 0;
        size_t bytes = ph_utf8_next(text + at, length - at, &rune);
        if (!bytes || rune < 0x20 || rune == 0x7f)
            ph_text_printf(out, "\\x%02x", (unsigned)(unsigned char)text[at]);
        else if (rune == '\\')
            ph_text_put(out, "\\\\");
        else if (is_deceptive(rune))
            ph_text_printf(out, "\\u{%04x}", (unsigned)rune);
        else
            ph_text_append(out, text + at, bytes);
        at += bytes ? bytes : 1;
    }
}

void ph_text_time(struct ph_text *out, int64_t wall_ms)
{
    /* RFC 3339 knows the years 0000 to 9999. */
    const int64_t first = -62167219200000, last = 253402300799999;
    int64_t ms = wall_ms < first ? first : wall_ms > last ? last : wall_ms;
    int64_t second = ms / 1000, fraction = ms % 1000;
    if (fraction < 0) {
        fraction += 1000;
        second--;
    }
    time_t when = (time_t)second;
    struct tm date = {0};
    gmtime_r(&when, &date);
    ph_text_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", date.tm_year + 1900, date.tm_mon + 1,
                   date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec, (int)fraction);
}

/* Length of the sequence that starts with `lead` and the smallest rune it may stand for. */
static size_t sequence_length(unsigned char lead, uint32_t *smallest, uint32_t *bits)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t smallest;
    } forms[] = {
        {0x80, 0x00, 0},
        {0xe0, 0xc0, 0x80},
        {0xf0, 0xe0, 0x800},
        {0xf8, 0xf0, 0x10000},
    };
    for (size_t i = 0; i < PH_COUNT_OF(forms); i++) {
        if ((lead & forms[i].mask) != forms[i].lead)
            continue;
        *smallest = forms[i].smallest;
        *bits = lead & (unsigned char)~forms[i].mask;
        return i + 1;
    }
    return 0;
}

void ph_text_duration(struct ph_text *text, uint64_t ms)
{
    bool whole = ms % 1000 == 0;
    ph_text_printf(text, "%llu %s", (unsigned long long)(ms / (whole ? 1000 : 1)),
                   whole ? "s" : "ms");
}

size_t ph_utf8_next(const char *text, size_t length, uint32_t *rune)
{
    if (length == 0)
        return 0;
    uint32_t smallest = 0, value = 0;
    size_t bytes = sequence_length((unsigned char)text[0], &smallest, &value);
    if (bytes == 0 || bytes > length)
        return 0;
    for (size_t i = 1; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (byte & 0x3f);
    }
    if (value < smallest || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    if (rune)
        *rune = value;
    return bytes;
}

size_t ph_utf8_put(char bytes[4], uint32_t rune)
{
    if (rune < 0x80) {
        bytes[0] = (char)rune;
        return 1;
    }
    size_t length = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--, rune >>= 6)
        bytes[i] = (char)(0x80 | (rune & 0x3f));
    bytes[0] = (char)(first[length] | rune);
    return length;
}

/* Reads digits at `*text` and moves it behind them: false without any, or above `max`. */
static bool read_digits(const char **text, uint64_t max, uint64_t *value)
{
    const char *at = *text;
    uint64_t sum = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (sum > max / 10 || sum * 10 > max - digit)
            return false;
        sum = sum * 10 + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *value = sum;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Reads a number and one of the units; the product is at most `max`. */
static bool read_with_unit(const char *text, const struct unit *units, size_t count, uint64_t max,
                           uint64_t *value)
{
    uint64_t number;
    if (!text || !read_digits(&text, max, &number))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        if (number > max / units[i].factor)
            return false;
        *value = number * units[i].factor;
        return true;
    }
    return false;
}

bool ph_parse_duration(const char *text, uint64_t *ms)
{
    static const struct unit units[] = {
        {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000},
    };
    const uint64_t ten_years_ms = UINT64_C(3650) * 24 * 3600 * 1000;
    return read_with_unit(text, units, PH_COUNT_OF(units), ten_years_ms, ms);
}

bool ph_parse_size(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},        {"k", 1 << 10}, {"K", 1 << 10}, {"m", 1 << 20},
        {"M", 1 << 20}, {"g", 1 << 30}, {"G", 1 << 30},
    };
    return read_with_unit(text, units, PH_COUNT_OF(units), UINT64_MAX, bytes);
}

bool ph_parse_uint(const char *text, uint64_t max, uint64_t *value)
{
    uint64_t number;
    if (!text || !read_digits(&text, max, &number) || *text != '\0')
        return false;
    *value = number;
    return true;
}

bool ph_parse_digits(const char *text, size_t length, uint64_t *value)
{
    char digits[21];
    if (length == 0 || length >= sizeof digits)
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    return ph_parse_uint(digits, UINT64_MAX, value);
}
