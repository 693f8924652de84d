#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/limits.h"
#include "engine/prochub.h"
#include "engine/text.h"

/* White space of Unicode and the control characters. */
static bool is_space_or_control(uint32_t rune)
{
    static const uint32_t others[] = {0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000};
    if (rune <= 0x20 || (rune >= 0x7f && rune <= 0xa0) || (rune >= 0x2000 && rune <= 0x200a))
        return true;
    for (size_t i = 0; i < PH_COUNT_OF(others); i++) {
        if (rune == others[i])
            return true;
    }
    return false;
}

bool ph_id_is_valid(const char *id, size_t length)
{
    if (!id || length == 0 || length > PH_ID_MAX)
        return false;
    for (size_t at = 0; at < length;) {
        uint32_t rune = 0;
        size_t bytes = ph_utf8_next(id + at, length - at, &rune);
        if (!bytes || is_space_or_control(rune))
            return false;
        at += bytes;
    }
    return true;
}

/* Room for `more` bytes; the size comes from outside, so it may be refused. */
static int reserve(struct ph_ids *ids, size_t more)
{
    if (more <= ids->capacity - ids->length)
        return 0;
    size_t capacity = ids->capacity ? ids->capacity : 256;
    while (capacity - ids->length < more)
        capacity *= 2;
    char *bytes = ph_try_alloc(capacity);
    if (!bytes)
        return -ENOMEM;
    if (ids->length)
        memcpy(bytes, ids->bytes, ids->length);
    ph_free(ids->bytes);
    ids->bytes = bytes;
    ids->capacity = capacity;
    return 0;
}

int ph_ids_add(struct ph_ids *ids, const char *id, size_t length)
{
    if (!ph_id_is_valid(id, length))
        return PH_EUSAGE;
    if (ids->count >= PH_IDS_MAX)
        return PH_ELIMIT;
    int rc = reserve(ids, length + 2);
    if (rc)
        return rc;
    char *at = ids->bytes + ids->length;
    at[0] = (char)(unsigned char)length;
    memcpy(at + 1, id, length);
    at[length + 1] = '\0';
    ids->length += length + 2;
    ids->count++;
    return 0;
}

/* PREFIX[FIRST..LAST]SUFFIX */
struct range {
    const char *prefix, *suffix;
    size_t prefix_length;
    uint64_t first, last;
    int width; /* digits, with leading zeros; 1: without */
};

static int refuse(const char *pattern, int code, const char *why, struct ph_error *error)
{
    struct ph_text text = PH_TEXT_INIT;
    ph_text_printable(&text, pattern, strnlen(pattern, PH_ID_MAX));
    int rc = ph_error_set(error, code, "%s: %s", ph_text_str(&text), why);
    ph_text_fini(&text);
    return rc;
}

static int parse_range(const char *pattern, struct range *range, struct ph_error *error)
{
    static const char form[] = "a range is written PREFIX[FIRST..LAST], as in w-[1..1000]";
    const char *open = strchr(pattern, '['), *close = strchr(pattern, ']');
    if (!open || !close || close < open)
        return refuse(pattern, PH_EUSAGE, form, error);
    if (strpbrk(open + 1, "[") || strpbrk(close + 1, "]"))
        return refuse(pattern, PH_EUSAGE, "use one range, not several", error);
    const char *dots = strstr(open, "..");
    if (!dots || dots > close ||
        !ph_parse_digits(open + 1, (size_t)(dots - (open + 1)), &range->first) ||
        !ph_parse_digits(dots + 2, (size_t)(close - (dots + 2)), &range->last))
        return refuse(pattern, PH_EUSAGE, form, error);
    if (range->first > range->last)
        return refuse(pattern, PH_EUSAGE, "the first number is greater than the last one", error);
    size_t first_digits = (size_t)(dots - open - 1), last_digits = (size_t)(close - dots - 2);
    bool padded = (open[1] == '0' && first_digits > 1) || (dots[2] == '0' && last_digits > 1);
    if (padded && first_digits != last_digits)
        return refuse(pattern, PH_EUSAGE,
                      "with leading zeros, write both numbers with the same number of digits",
                      error);
    range->width = padded ? (int)first_digits : 1;
    range->prefix = pattern;
    range->prefix_length = (size_t)(open - pattern);
    range->suffix = close + 1;
    return 0;
}

/* The message for a refused id of `pattern`. */
static int explain(int rc, const char *pattern, struct ph_error *error)
{
    char why[96];
    if (rc == PH_EUSAGE)
        return refuse(pattern, rc, "an id has 1 to 255 bytes of UTF-8 without spaces", error);
    if (rc == PH_ELIMIT) {
        snprintf(why, sizeof why, "one request takes at most %d ids", PH_IDS_MAX);
        return refuse(pattern, rc, why, error);
    }
    return refuse(pattern, rc, ph_error_text(rc), error);
}

static int check_count(const struct ph_ids *ids, const struct range *range, const char *pattern,
                       struct ph_error *error)
{
    uint64_t more = range->last - range->first; /* one less than it has: no overflow */
    if (more < PH_IDS_MAX - ids->count)
        return 0;
    char why[96];
    uint64_t shown = more == UINT64_MAX ? more : more + 1;
    snprintf(why, sizeof why, "%llu ids are too many; one request takes at most %d",
             (unsigned long long)shown, PH_IDS_MAX);
    return refuse(pattern, PH_ELIMIT, why, error);
}

static int add_all(struct ph_ids *ids, const struct range *range)
{
    char id[PH_ID_MAX + 1];
    for (uint64_t number = range->first;; number++) {
        int length =
            snprintf(id, sizeof id, "%.*s%0*llu%s", (int)range->prefix_length, range->prefix,
                     range->width, (unsigned long long)number, range->suffix);
        int rc = length > PH_ID_MAX ? PH_EUSAGE : ph_ids_add(ids, id, (size_t)length);
        if (rc || number == range->last)
            return rc;
    }
}

int ph_ids_add_range(struct ph_ids *ids, const char *pattern, struct ph_error *error)
{
    if (!pattern)
        return ph_error_set(error, PH_EUSAGE, "an id is missing");
    struct range range = {0};
    size_t length = ids->length, count = ids->count;
    int rc;
    if (!strpbrk(pattern, "[]")) {
        rc = ph_ids_add(ids, pattern, strlen(pattern));
        return rc ? explain(rc, pattern, error) : 0;
    }
    rc = parse_range(pattern, &range, error);
    if (rc)
        return rc;
    rc = check_count(ids, &range, pattern, error);
    if (rc)
        return rc;
    if (range.prefix_length > PH_ID_MAX || strlen(range.suffix) > PH_ID_MAX)
        rc = PH_EUSAGE;
    else
        rc = add_all(ids, &range);
    if (rc == 0)
        return 0;
    ids->length = length; /* all of the range or nothing */
    ids->count = count;
    return explain(rc, pattern, error);
}

const char *ph_ids_next(const struct ph_ids *ids, size_t *cursor, size_t *length)
{
    if (*cursor >= ids->length)
        return NULL;
    size_t bytes = (unsigned char)ids->bytes[*cursor];
    const char *id = ids->bytes + *cursor + 1;
    if (length)
        *length = bytes;
    *cursor += bytes + 2;
    return id;
}

void ph_ids_fini(struct ph_ids *ids)
{
    ph_free(ids->bytes);
    *ids = (struct ph_ids){0};
}
