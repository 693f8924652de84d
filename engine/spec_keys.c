#include "engine/spec_keys.h"

#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/kind/listen.h"
#include "engine/limits.h"
#include "engine/nearest.h"
#include "engine/spec.h"

#define TEN_YEARS_MS (UINT64_C(3650) * 24 * 3600 * 1000)

static bool is_word(const char *text, size_t length, const char *also)
{
    for (size_t i = 0; i < length; i++) {
        char byte = text[i];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9');
        if (!plain && !strchr(also, byte))
            return false;
    }
    return length > 0;
}

static bool is_name(const char *text)
{
    size_t length = strlen(text);
    return length <= PH_NAME_MAX && is_word(text, length, "._-");
}

static bool is_meta_key(const char *text)
{
    size_t length = strlen(text);
    return length <= PH_KEY_MAX && is_word(text, length, "._-");
}

static bool is_env_name(const char *text)
{
    size_t length = strlen(text);
    return length <= PH_KEY_MAX && is_word(text, length, "_") && !(*text >= '0' && *text <= '9');
}

static bool is_tag(const char *text)
{
    size_t length = strlen(text);
    return length <= PH_NAME_MAX && !strchr(text, ',') && ph_id_is_valid(text, length);
}

static bool is_filled(const char *text)
{
    return *text != '\0';
}

static bool is_any(const char *text)
{
    (void)text;
    return true;
}

/* Names joined by commas; "" is no name at all. */
static bool is_names(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, ",");
        if (length > PH_NAME_MAX || !is_word(text, length, "._-"))
            return false;
        text += length;
        if (*text == ',' && *++text == '\0')
            return false;
    }
    return true;
}

#define FIELD(member) \
    .offset = offsetof(struct ph_spec, member), .size = sizeof(((struct ph_spec *)0)->member)

static const struct ph_spec_key keys[] = {
    {.name = "module",
     .type = PH_KEY_TEXT,
     FIELD(module),
     .valid = is_name,
     .use = "a module's name: letters, digits and . _ -, at most 64"},
    {.name = "args", .type = PH_KEY_TEXT, .kind = PH_KEY_MODULE, FIELD(args), .valid = is_any},
    {.name = "restart",
     .type = PH_KEY_CHOICE,
     FIELD(restart),
     .choices = {"permanent", "transient", "temporary"}},
    {.name = "max_restarts",
     .type = PH_KEY_NUMBER,
     FIELD(max_restarts),
     .max = PH_RESTARTS_MAX,
     .fallback = 10},
    {.name = "max_seconds",
     .type = PH_KEY_DURATION,
     FIELD(max_seconds_ms),
     .min = 1,
     .max = TEN_YEARS_MS,
     .fallback = 60000},
    {.name = "backoff",
     .type = PH_KEY_DURATION,
     FIELD(backoff_ms),
     .max = TEN_YEARS_MS,
     .fallback = 100},
    {.name = "backoff_max",
     .type = PH_KEY_DURATION,
     FIELD(backoff_max_ms),
     .max = TEN_YEARS_MS,
     .fallback = 10000},
    {.name = "shutdown",
     .type = PH_KEY_DURATION,
     FIELD(shutdown_ms),
     .max = TEN_YEARS_MS,
     .fallback = 5000},
    {.name = "stop_signal",
     .type = PH_KEY_SIGNAL,
     .kind = PH_KEY_PROCESS,
     FIELD(stop_signal),
     .fallback = 15},
    {.name = "env.",
     .type = PH_KEY_PAIR,
     .kind = PH_KEY_PROCESS,
     FIELD(env),
     .valid = is_env_name,
     .use = "env.NAME with letters, digits and _, at most 64, no digit first"},
    {.name = "cwd",
     .type = PH_KEY_TEXT,
     .kind = PH_KEY_PROCESS,
     FIELD(cwd),
     .valid = is_filled,
     .use = "a directory"},
    {.name = "user",
     .type = PH_KEY_TEXT,
     .kind = PH_KEY_PROCESS,
     FIELD(user),
     .valid = is_filled,
     .use = "a user's name"},
    {.name = "log",
     .type = PH_KEY_TEXT,
     .kind = PH_KEY_PROCESS,
     FIELD(log),
     .valid = is_filled,
     .use = "a file's path"},
    {.name = "log_bytes",
     .type = PH_KEY_SIZE,
     .kind = PH_KEY_PROCESS,
     FIELD(log_bytes),
     .min = 4096,
     .max = 1 << 30,
     .fallback = 65536},
    {.name = "stderr",
     .type = PH_KEY_CHOICE,
     .kind = PH_KEY_PROCESS,
     FIELD(stderr_split),
     .choices = {"join", "split"}},
    {.name = "ready",
     .type = PH_KEY_CHOICE,
     .kind = PH_KEY_PROCESS,
     FIELD(ready_notify),
     .choices = {"none", "notify"}},
    {.name = "watchdog",
     .type = PH_KEY_DURATION,
     .kind = PH_KEY_PROCESS,
     FIELD(watchdog_ms),
     .max = TEN_YEARS_MS},
    {.name = "fdstore",
     .type = PH_KEY_NUMBER,
     .kind = PH_KEY_PROCESS,
     FIELD(fdstore),
     .max = PH_FDSTORE_MAX},
    {.name = "listen",
     .type = PH_KEY_TEXT,
     .kind = PH_KEY_PROCESS,
     FIELD(listen),
     .valid = ph_listen_is_valid,
     .use = "tcp://ADDRESS:PORT (a numeric address; * for any port) or ipc:///PATH"},
    {.name = "socket",
     .type = PH_KEY_CHOICE,
     .kind = PH_KEY_PROCESS,
     FIELD(socket),
     .choices = {"no", "yes"}},
    {.name = "tags",
     .type = PH_KEY_TAGS,
     FIELD(tags),
     .valid = is_tag,
     .use = "at most 32 words joined by commas, each at most 64 bytes without spaces"},
    {.name = "meta.",
     .type = PH_KEY_PAIR,
     FIELD(meta),
     .valid = is_meta_key,
     .use = "meta.KEY with letters, digits and . _ -, at most 64"},
    {.name = "on",
     .type = PH_KEY_TEXT,
     FIELD(on),
     .valid = is_names,
     .use = "node names joined by commas: on=n1,n2"},
};

_Static_assert(PH_COUNT_OF(keys) <= 64, "struct ph_spec has a bit per key");

size_t ph_spec_key_count(void)
{
    return PH_COUNT_OF(keys);
}

const struct ph_spec_key *ph_spec_key_at(size_t index)
{
    ph_assert(index < PH_COUNT_OF(keys));
    return &keys[index];
}

size_t ph_spec_key_index(const struct ph_spec_key *row)
{
    return (size_t)(row - keys);
}

const struct ph_spec_key *ph_spec_key_find(const char *key, const char **name)
{
    for (size_t i = 0; i < PH_COUNT_OF(keys); i++) {
        size_t length = strlen(keys[i].name);
        bool pair = keys[i].type == PH_KEY_PAIR;
        if (strncmp(key, keys[i].name, length) != 0 || (!pair && key[length]))
            continue;
        *name = pair ? key + length : "";
        return &keys[i];
    }
    return NULL;
}

/* Keys of the request, which some confuse with the spec's. */
static bool is_of_request(const char *key)
{
    static const char *const request_keys[] = {"if_exists", "on_failure", "wait", "timeout"};
    for (size_t i = 0; i < PH_COUNT_OF(request_keys); i++) {
        if (strcmp(key, request_keys[i]) == 0)
            return true;
    }
    return false;
}

static bool is_reserved(const char *key)
{
    static const char *const prefixes[] = {"probe.", "limit.", "label:", "label."};
    static const char *const words[] = {"after", "group", "on_node_crash", "label"};
    for (size_t i = 0; i < PH_COUNT_OF(prefixes); i++) {
        if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    for (size_t i = 0; i < PH_COUNT_OF(words); i++) {
        if (strcmp(key, words[i]) == 0)
            return true;
    }
    return false;
}

int ph_spec_key_unknown(const char *key, struct ph_error *error)
{
    struct ph_text name = PH_TEXT_INIT;
    ph_spec_key_quote(&name, key);
    const char *text = ph_text_str(&name);
    struct ph_nearest nearest = {0};
    for (size_t i = 0; i < PH_COUNT_OF(keys); i++)
        ph_nearest_offer(&nearest, key, keys[i].name);
    int rc;
    if (is_of_request(key))
        rc = ph_error_set(error, PH_EUSAGE, "%s: belongs to the request, not to the spec", text);
    else if (is_reserved(key))
        rc = ph_error_set(error, PH_EREFUSED, "%s: reserved, it comes with later work", text);
    else if (nearest.word)
        rc = ph_error_set(error, PH_EUSAGE, "%s: unknown key, did you mean %s%s?", text,
                          nearest.word, strchr(nearest.word, '.') ? "NAME" : "");
    else
        rc = ph_error_set(error, PH_EUSAGE, "%s: unknown key, see `help start`", text);
    ph_text_fini(&name);
    return rc;
}

static bool read_choice(const struct ph_spec_key *row, const char *value, uint64_t *number)
{
    for (size_t i = 0; row->choices[i]; i++) {
        if (strcmp(value, row->choices[i]) != 0)
            continue;
        *number = i;
        return true;
    }
    return false;
}

static bool read_signal(const char *value, uint64_t *number)
{
    int signal_number;
    if (ph_signal_parse(value, &signal_number) != 0)
        return false;
    *number = (uint64_t)signal_number;
    return true;
}

bool ph_spec_key_read(const struct ph_spec_key *row, const char *value, uint64_t *number)
{
    uint64_t read = 0;
    bool ok = false;
    switch (row->type) {
    case PH_KEY_CHOICE:
        return read_choice(row, value, number);
    case PH_KEY_SIGNAL:
        return read_signal(value, number);
    case PH_KEY_NUMBER:
        ok = ph_parse_uint(value, row->max, &read);
        break;
    case PH_KEY_DURATION:
        ok = ph_parse_duration(value, &read);
        break;
    case PH_KEY_SIZE:
        ok = ph_parse_size(value, &read);
        break;
    case PH_KEY_TEXT:
    case PH_KEY_TAGS:
    case PH_KEY_PAIR:
        break;
    }
    if (!ok || read < row->min || read > row->max)
        return false;
    *number = read;
    return true;
}

struct unit {
    uint64_t factor;
    const char *name;
};

/* Writes `number` in the largest unit that divides it; the last unit has the factor 1. */
static void write_with_unit(const struct unit *units, uint64_t number, struct ph_text *out)
{
    while (units->factor > 1 && (number == 0 || number % units->factor != 0))
        units++;
    ph_text_printf(out, "%llu%s", (unsigned long long)(number / units->factor), units->name);
}

void ph_spec_key_write(const struct ph_spec_key *row, uint64_t number, struct ph_text *out)
{
    static const struct unit times[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    static const struct unit sizes[] = {{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "k"}, {1, ""}};
    switch (row->type) {
    case PH_KEY_CHOICE:
        ph_text_put(out, row->choices[number]);
        return;
    case PH_KEY_SIGNAL:
        ph_text_put(out, ph_signal_name((int)number));
        return;
    case PH_KEY_DURATION:
        write_with_unit(times, number, out);
        return;
    case PH_KEY_SIZE:
        write_with_unit(sizes, number, out);
        return;
    case PH_KEY_NUMBER:
    case PH_KEY_TEXT:
    case PH_KEY_TAGS:
    case PH_KEY_PAIR:
        ph_text_printf(out, "%llu", (unsigned long long)number);
        return;
    }
}

static void put_choices(const struct ph_spec_key *row, struct ph_text *out)
{
    for (size_t i = 0; row->choices[i]; i++) {
        const char *joint = i == 0 ? "" : row->choices[i + 1] ? ", " : " or ";
        ph_text_printf(out, "%s%s", joint, row->choices[i]);
    }
}

/* What the key takes, made from its row. */
static void put_use(const struct ph_spec_key *row, struct ph_text *out)
{
    if (row->use)
        ph_text_put(out, row->use);
    else if (row->type == PH_KEY_CHOICE)
        put_choices(row, out);
    else if (row->type == PH_KEY_SIGNAL)
        ph_text_put(out, "a signal's name such as TERM, or a number from 1 to 64");
    else if (row->type == PH_KEY_DURATION)
        ph_text_printf(out, "a duration such as 250ms, 5s, 2m or 1h%s, at most 10 years",
                       row->min ? ", at least 1ms" : "");
    else {
        ph_text_put(out, row->type == PH_KEY_SIZE ? "a size from " : "a number from ");
        ph_spec_key_write(row, row->min, out);
        ph_text_put(out, " to ");
        ph_spec_key_write(row, row->max, out);
    }
}

void ph_spec_key_quote(struct ph_text *out, const char *text)
{
    size_t length = strlen(text), shown = 0;
    while (shown < length && shown < 60) {
        size_t bytes = ph_utf8_next(text + shown, length - shown, NULL);
        shown += bytes ? bytes : 1;
    }
    ph_text_printable(out, text, shown);
    if (shown < length)
        ph_text_put(out, "...");
}

int ph_spec_key_refuse(const struct ph_spec_key *row, const char *key, const char *value,
                       struct ph_error *error)
{
    struct ph_text message = PH_TEXT_INIT;
    ph_spec_key_quote(&message, key);
    ph_text_put(&message, "=");
    ph_spec_key_quote(&message, value);
    ph_text_put(&message, ": use ");
    put_use(row, &message);
    int rc = ph_error_set(error, PH_EUSAGE, "%s", ph_text_str(&message));
    ph_text_fini(&message);
    return rc;
}
