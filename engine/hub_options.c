#include "engine/hub.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"

enum option_type { OPTION_DURATION, OPTION_NUMBER, OPTION_CHOICE };

/* One key of the hub options. OPTION_CHOICE: a strategy, of which one node has only the first. */
struct option {
    const char *key;
    enum option_type type;
    const char *initial;
    const char *others; /* known values that need more than one node, between blanks */
    size_t offset;
    uint64_t max;
};

#define OFFSET(member) offsetof(struct ph_hub_options, member)
#define YEAR_MS (UINT64_C(365) * 24 * 3600 * 1000)

static const struct option options[] = {
    {.key = "lock.timeout",
     .type = OPTION_DURATION,
     .initial = "60s",
     .offset = OFFSET(lock_timeout_ms),
     .max = YEAR_MS},
    {.key = "shutdown.timeout",
     .type = OPTION_DURATION,
     .initial = "60s",
     .offset = OFFSET(shutdown_timeout_ms),
     .max = YEAR_MS},
    {.key = "restart.rate",
     .type = OPTION_NUMBER,
     .initial = "1000",
     .offset = OFFSET(restart_rate),
     .max = 1000000},
    {.key = "distribution",
     .type = OPTION_CHOICE,
     .initial = "hash",
     .others = " guided balancer "},
    {.key = "redundancy", .type = OPTION_CHOICE, .initial = "single", .others = " replica "},
    {.key = "migration", .type = OPTION_CHOICE, .initial = "cold", .others = " hot "},
    {.key = "sync", .type = OPTION_CHOICE, .initial = "pubsub", .others = " gossip "},
    {.key = "partition",
     .type = OPTION_CHOICE,
     .initial = "diverge",
     .others = " static dynamic majority "},
};

static uint64_t *field(struct ph_hub_options *target, const struct option *option)
{
    return (uint64_t *)(void *)((char *)target + option->offset);
}

static bool is_among(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words + 1; *at; at = strchr(at, ' ') + 1)
        if (strncmp(at, word, length) == 0 && at[length] == ' ')
            return true;
    return false;
}

static int set_choice(const struct option *option, const char *value, struct ph_error *error)
{
    if (strcmp(value, option->initial) == 0)
        return 0;
    if (is_among(option->others, value))
        return ph_error_set(error, PH_EREFUSED,
                            "%s=%s needs a hub of several nodes; this build supervises one: use %s",
                            option->key, value, option->initial);
    return ph_error_set(error, PH_EUSAGE, "%s=%s: use %s or one of%s", option->key, value,
                        option->initial, option->others);
}

static int set(struct ph_hub_options *target, const struct option *option, const char *value,
               struct ph_error *error)
{
    uint64_t number = 0;
    switch (option->type) {
    case OPTION_CHOICE:
        return set_choice(option, value, error);
    case OPTION_DURATION:
        if (!ph_parse_duration(value, &number) || number == 0 || number > option->max)
            return ph_error_set(error, PH_EUSAGE, "%s=%s: use a duration like 250ms, 5s, 2m or 1h",
                                option->key, value);
        break;
    case OPTION_NUMBER:
        if (!ph_parse_uint(value, option->max, &number))
            return ph_error_set(error, PH_EUSAGE, "%s=%s: use a number from 0 to %llu", option->key,
                                value, (unsigned long long)option->max);
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

/* Keys of the language that mean nothing to a hub of one node. */
static bool is_of_several_nodes(const char *text, size_t length)
{
    static const char *const keys[] = {
        "balancer.history",       "balancer.decay",    "balancer.push_interval",
        "replica.factor",         "replica.model",     "replica.signal",
        "hot.handover",           "hot.confirm",       "hot.retention",
        "hot.state_timeout",      "hot.child_timeout", "move.rate",
        "move.in_flight",         "sync.interval",     "gossip.recipients",
        "gossip.restricted_init", "static.size",       "static.startup_confirm",
        "dynamic.percent",        "dynamic.window",    "majority.initial_size",
        "majority.track_max",     "discover.interval", "migrate.timeout",
        "replica.stream",
    };
    for (size_t i = 0; i < PH_COUNT_OF(keys); i++)
        if (strlen(keys[i]) == length && memcmp(keys[i], text, length) == 0)
            return true;
    return false;
}

static int unknown_key(const char *text, size_t length, struct ph_error *error)
{
    if (is_of_several_nodes(text, length))
        return ph_error_set(
            error, PH_EREFUSED,
            "%.*s needs a hub of several nodes; this build supervises one: leave it out",
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

void ph_hub_options_print(const struct ph_hub_options *source, struct ph_text *out)
{
    struct ph_hub_options copy = *source;
    for (size_t i = 0; i < PH_COUNT_OF(options); i++) {
        const struct option *option = &options[i];
        static const char *const units[] = {"ms", "per second", ""};
        if (option->type == OPTION_CHOICE)
            ph_text_printf(out, "%s\x1f%s\x1f%s\x1f\x1e", option->key, option->initial,
                           option->initial);
        else
            ph_text_printf(out, "%s\x1f%llu\x1f%s\x1f%s\x1e", option->key,
                           (unsigned long long)*field(&copy, option), option->initial,
                           units[option->type]);
    }
}
