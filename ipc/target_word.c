#include "ipc/target_word.h"

#include <string.h>

#include "engine/limits.h"
#include "engine/text.h"

static int refuse(const struct ph_word *word, struct ph_script_error *error, const char *why)
{
    return ph_word_refuse(word, error, PH_EUSAGE, "%s: %s", ph_word_shown(word).text, why);
}

static int read_range(const struct ph_word *word, struct ph_target_word *target,
                      struct ph_script_error *error)
{
    static const char form[] =
        "a range is written PREFIX[FIRST..LAST], as in w-[1..1000] (an id with [ is quoted)";
    const char *open = strchr(word->text, '['), *close = strchr(open, ']');
    const char *dots = strstr(open, "..");
    if (!close || !dots || dots > close ||
        !ph_parse_digits(open + 1, (size_t)(dots - (open + 1)), &target->first) ||
        !ph_parse_digits(dots + 2, (size_t)(close - (dots + 2)), &target->last))
        return refuse(word, error, form);
    if (strchr(open + 1, '[') || strchr(close + 1, ']'))
        return refuse(word, error, "use one range, not several");
    if (target->first > target->last)
        return refuse(word, error, "the first number is greater than the last one");
    if (target->last - target->first >= PH_IDS_MAX)
        return refuse(word, error, "one request takes at most 4000000 ids");
    size_t first_digits = (size_t)(dots - open - 1), last_digits = (size_t)(close - dots - 2);
    bool padded = (open[1] == '0' && first_digits > 1) || (dots[2] == '0' && last_digits > 1);
    if (padded && first_digits != last_digits)
        return refuse(word, error,
                      "with leading zeros, write both numbers with the same number of digits");
    target->form = PH_TARGET_RANGE;
    target->prefix_length = (size_t)(open - word->text);
    target->suffix = close + 1;
    target->width = padded ? first_digits : 0;
    return 0;
}

static int read_name(const struct ph_word *word, size_t prefix, enum ph_target_form form,
                     struct ph_target_word *target, struct ph_script_error *error)
{
    if (word->length == prefix)
        return refuse(word, error, "a name is missing behind the colon");
    *target = (struct ph_target_word){
        .form = form, .text = word->text + prefix, .length = word->length - prefix};
    return 0;
}

int ph_target_word_read(const struct ph_word *word, struct ph_target_word *target,
                        struct ph_script_error *error)
{
    *target =
        (struct ph_target_word){.form = PH_TARGET_ID, .text = word->text, .length = word->length};
    if (!word->quoted) {
        if (strncmp(word->text, "tag:", 4) == 0)
            return read_name(word, 4, PH_TARGET_TAG, target, error);
        if (strncmp(word->text, "node:", 5) == 0)
            return read_name(word, 5, PH_TARGET_NODE, target, error);
        if (strcmp(word->text, "all") == 0)
            target->form = PH_TARGET_ALL;
        else if (strchr(word->text, '['))
            return read_range(word, target, error);
        else if (strpbrk(word->text, "*?"))
            target->form = PH_TARGET_GLOB;
    }
    if (target->form == PH_TARGET_ID && !ph_id_is_valid(word->text, word->length))
        return refuse(word, error, "an id has 1 to 255 bytes of UTF-8 without spaces");
    return 0;
}

static bool range_matches(const struct ph_target_word *target, const char *id, size_t length)
{
    size_t suffix = strlen(target->suffix), ends = target->prefix_length + suffix;
    if (length <= ends || memcmp(id, target->text, target->prefix_length) != 0 ||
        memcmp(id + length - suffix, target->suffix, suffix) != 0)
        return false;
    const char *digits = id + target->prefix_length;
    size_t count = length - ends;
    uint64_t number;
    if (!ph_parse_digits(digits, (size_t)(digits + count - (digits)), &number))
        return false;
    bool spelled = target->width ? count == target->width : count == 1 || digits[0] != '0';
    return spelled && number >= target->first && number <= target->last;
}

/* Moves behind one character of valid or other text. */
static const char *next_character(const char *text)
{
    size_t bytes = ph_utf8_next(text, strnlen(text, 4), NULL);
    return text + (bytes ? bytes : 1);
}

/* '*' stands for any bytes, '?' for one character. */
static bool glob_matches(const char *glob, const char *text)
{
    const char *star = NULL, *retry = NULL;
    while (*text) {
        if (*glob == '*') {
            star = ++glob;
            retry = text;
        } else if (*glob == '?') {
            glob++;
            text = next_character(text);
        } else if (*glob == *text) {
            glob++;
            text++;
        } else if (star) {
            glob = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*glob == '*')
        glob++;
    return *glob == '\0';
}

bool ph_target_word_matches(const struct ph_target_word *target, const char *id, size_t length)
{
    switch (target->form) {
    case PH_TARGET_ID:
        return length == target->length && memcmp(id, target->text, length) == 0;
    case PH_TARGET_GLOB:
        return glob_matches(target->text, id);
    case PH_TARGET_RANGE:
        return range_matches(target, id, length);
    case PH_TARGET_ALL:
        return true;
    case PH_TARGET_TAG:
    case PH_TARGET_NODE:
        break;
    }
    return false;
}
