#include "engine/hub_options.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base.h"
#include "engine/directory.h"
#include "engine/error.h"
#include "engine/limits.h"

enum option_type { OPTION_DURATION, OPTION_NUMBER, OPTION_SIZE, OPTION_BOOL, OPTION_CHOICE };

/* One key of the hub options. */
struct option {
    const char *key;
    enum option_type type;
    const char *initial;
    const char *unit;    /* of a number */
    const char *choices; /* of a choice: the words that it takes, between blanks */
    const char *later;   /* of a choice: words of the language that this build does not have */
    bool stored;         /* a choice with a field: the place of the word among the choices */
    size_t offset;
    uint64_t min, max;
};

#define OFFSET(member) offsetof(struct ph_hub_options, member)
#define YEAR_MS (UINT64_C(365) * 24 * 3600 * 1000)
#define DURATION(name, value, member)                                                         \
    {                                                                                         \
        .key = (name), .type = OPTION_DURATION, .initial = (value), .offset = OFFSET(member), \
        .max = YEAR_MS                                                                        \
    }

#define SWITCH(name, value, member)                                                       \
    {                                                                                     \
        .key = (name), .type = OPTION_BOOL, .initial = (value), .offset = OFFSET(member), \
    }

_Static_assert(sizeof(enum ph_partition) == sizeof(unsigned), "choices are stored as unsigned");
_Static_assert(PH_MIGRATION_COLD == 0 && PH_MIGRATION_HOT == 1, "the same");
_Static_assert(PH_PARTITION_DIVERGE == 0 && PH_PARTITION_MAJORITY == 1,
               "a choice is the place of its word");

static const struct option options[] = {
    DURATION("lock.timeout", "60s", lock_timeout_ms),
    DURATION("shutdown.timeout", "60s", shutdown_timeout_ms),
    {.key = "restart.rate",
     .type = OPTION_NUMBER,
     .initial = "1000",
     .unit = "per second",
     .offset = OFFSET(restart_rate),
     .max = 1000000},
    {.key = "distribution",
     .type = OPTION_CHOICE,
     .initial = "hash",
     .choices = " hash ",
     .later = " guided balancer "},
    {.key = "redundancy",
     .type = OPTION_CHOICE,
     .initial = "single",
     .choices = " single ",
     .later = " replica "},
    {.key = "migration",
     .type = OPTION_CHOICE,
     .initial = "cold",
     .choices = " cold hot ",
     .stored = true,
     .offset = OFFSET(migration)},
    SWITCH("hot.handover", "true", hot_handover),
    SWITCH("hot.confirm", "true", hot_confirm),
    {.key = "hot.precopy",
     .type = OPTION_SIZE,
     .initial = "4M",
     .unit = "bytes, 0: never",
     .offset = OFFSET(hot_precopy),
     .max = PH_STATE_BYTES_MAX},
    DURATION("hot.retention", "5s", hot_retention_ms),
    DURATION("hot.state_timeout", "3s", hot_state_timeout_ms),
    DURATION("hot.child_timeout", "10s", hot_child_timeout_ms),
    DURATION("migrate.timeout", "15s", migrate_timeout_ms),
    {.key = "move.rate",
     .type = OPTION_NUMBER,
     .initial = "0",
     .unit = "children per second, 0: no limit",
     .offset = OFFSET(move_rate),
     .max = 10000000},
    {.key = "move.in_flight",
     .type = OPTION_NUMBER,
     .initial = "16384",
     .unit = "children",
     .offset = OFFSET(move_in_flight),
     .min = 1,
     .max = PH_CHILDREN_MAX},
    {.key = "sync",
     .type = OPTION_CHOICE,
     .initial = "pubsub",
     .choices = " pubsub ",
     .later = " gossip "},
    DURATION("sync.interval", "15s", sync_interval_ms),
    {.key = "partition",
     .type = OPTION_CHOICE,
     .initial = "diverge",
     .choices = " diverge majority ",
     .later = " static dynamic ",
     .stored = true,
     .offset = OFFSET(partition)},
    {.key = "majority.initial_size",
     .type = OPTION_NUMBER,
     .initial = "1",
     .unit = "nodes",
     .offset = OFFSET(majority_initial_size),
     .min = 1,
     .max = PH_MEMBERS_MAX},
    SWITCH("majority.track_max", "true", majority_track_max),
    DURATION("discover.interval", "10s", discover_interval_ms),
};

static uint64_t *field(struct ph_hub_options *target, const struct option *option)
{
    return (uint64_t *)(void *)((char *)target + option->offset);
}

static unsigned *choice_field(struct ph_hub_options *target, const struct option *option)
{
    return (unsigned *)(void *)((char *)target + option->offset);
}

/* The place of a word among words between blanks, or -1. */
static int place_of(const char *words, const char *word)
{
    size_t length = strlen(word);
    int place = 0;
    for (const char *at = words + 1; *at; at = strchr(at, ' ') + 1, place++)
        if (strncmp(at, word, length) == 0 && at[length] == ' ')
            return place;
    return -1;
}

/* The word at that place; with its length. */
static const char *word_at(const char *words, unsigned place, int *length)
{
    const char *at = words + 1;
    while (place--)
        at = strchr(at, ' ') + 1;
    *length = (int)(strchr(at, ' ') - at);
    return at;
}

static int set_choice(struct ph_hub_options *target, const struct option *option, const char *value,
                      struct ph_error *error)
{
    int place = *value ? place_of(option->choices, value) : -1;
    if (place >= 0) {
        if (option->stored)
            *choice_field(target, option) = (unsigned)place;
        return 0;
    }
    if (*value && place_of(option->later, value) >= 0)
        return ph_error_set(error, PH_EREFUSED, "%s=%s: this build does not have it yet; use%s",
                            option->key, value, option->choices);
    return ph_error_set(error, PH_EUSAGE, "%s=%s: use%s", option->key, value, option->choices);
}

static int set(struct ph_hub_options *target, const struct option *option, const char *value,
               struct ph_error *error)
{
    uint64_t number = 0;
    switch (option->type) {
    case OPTION_CHOICE:
        return set_choice(target, option, value, error);
    case OPTION_DURATION:
        if (!ph_parse_duration(value, &number) || number == 0 || number > option->max)
            return ph_error_set(error, PH_EUSAGE, "%s=%s: use a duration like 250ms, 5s, 2m or 1h",
                                option->key, value);
        break;
    case OPTION_NUMBER:
        if (!ph_parse_uint(value, option->max, &number) || number < option->min)
            return ph_error_set(error, PH_EUSAGE, "%s=%s: use a number from %llu to %llu",
                                option->key, value, (unsigned long long)option->min,
                                (unsigned long long)option->max);
        break;
    case OPTION_SIZE:
        if (!ph_parse_size(value, &number) || number > option->max)
            return ph_error_set(error, PH_EUSAGE, "%s=%s: use a size up to %lluM, like 64k or 4M",
                                option->key, value, (unsigned long long)option->max >> 20);
        break;
    case OPTION_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return ph_error_set(error, PH_EUSAGE, "%s=%s: use true or false", option->key, value);
        number = value[0] == 't';
        break;
    }
    *field(target, option) = number;
    return 0;
}

static const struct option *find(const char *text, size_t length)
{
    for (size_t i = 0; i < PH_COUNT_OF(options); i++)
        if (strlen(options[i].key) == length && memcmp(options[i].key, text, length) == 0)
            return &options[i];
    return NULL;
}

/* Keys that belong to strategies which this build does not have. */
static bool is_of_later_strategy(const char *text, size_t length)
{
    static const char *const keys[] = {
        "balancer.history",       "balancer.decay",    "balancer.push_interval",
        "replica.factor",         "replica.model",     "replica.signal",
        "replica.stream",         "gossip.recipients", "static.size",
        "gossip.restricted_init", "dynamic.percent",   "dynamic.window",
        "static.startup_confirm",
    };
    for (size_t i = 0; i < PH_COUNT_OF(keys); i++)
        if (strlen(keys[i]) == length && memcmp(keys[i], text, length) == 0)
            return true;
    return false;
}

static int unknown_key(const char *text, size_t length, struct ph_error *error)
{
    if (is_of_later_strategy(text, length))
        return ph_error_set(
            error, PH_EREFUSED,
            "%.*s belongs to a strategy that this build does not have yet: leave it out",
            (int)length, text);
    struct ph_text known = PH_TEXT_INIT;
    for (size_t i = 0; i < PH_COUNT_OF(options); i++)
        ph_text_printf(&known, "%s%s", i ? ", " : "", options[i].key);
    int rc = ph_error_set(error, PH_EUSAGE, "unknown hub option '%.*s': use %s", (int)length, text,
                          ph_text_str(&known));
    ph_text_fini(&known);
    return rc;
}

int ph_hub_options_parse(struct ph_hub_options *target, const char *const *texts, size_t count,
                         struct ph_error *error)
{
    *target = (struct ph_hub_options){0};
    for (size_t i = 0; i < PH_COUNT_OF(options); i++)
        if (set(target, &options[i], options[i].initial, NULL))
            return ph_error_set(error, PH_EFAILED, "bad default of %s", options[i].key);
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(texts[i], '=');
        if (!equals)
            return ph_error_set(error, PH_EUSAGE, "hub option '%s': use KEY=VALUE", texts[i]);
        const struct option *option = find(texts[i], (size_t)(equals - texts[i]));
        if (!option)
            return unknown_key(texts[i], (size_t)(equals - texts[i]), error);
        int rc = set(target, option, equals + 1, error);
        if (rc)
            return rc;
    }
    return 0;
}

static void print_value(struct ph_hub_options *source, const struct option *option,
                        struct ph_text *out)
{
    int length = 0;
    const char *word;
    switch (option->type) {
    case OPTION_CHOICE:
        word =
            word_at(option->choices, option->stored ? *choice_field(source, option) : 0, &length);
        ph_text_printf(out, "%.*s", length, word);
        break;
    case OPTION_BOOL:
        ph_text_put(out, *field(source, option) ? "true" : "false");
        break;
    case OPTION_DURATION:
    case OPTION_NUMBER:
    case OPTION_SIZE:
        ph_text_printf(out, "%llu", (unsigned long long)*field(source, option));
        break;
    }
}

void ph_hub_options_print(const struct ph_hub_options *source, struct ph_text *out)
{
    struct ph_hub_options copy = *source;
    for (size_t i = 0; i < PH_COUNT_OF(options); i++) {
        const struct option *option = &options[i];
        const char *unit = option->type == OPTION_DURATION ? "ms" : option->unit;
        ph_text_printf(out, "%s\x1f", option->key);
        print_value(&copy, option, out);
        ph_text_printf(out, "\x1f%s\x1f%s\x1e", option->initial, unit ? unit : "");
    }
}
