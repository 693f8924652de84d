#include "ipc/settings.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/nearest.h"
#include "engine/node.h"
#include "engine/text.h"

static const struct {
    const char *name, *unit;
} keys[PH_SETTINGS] = {
    [PH_SETTING_NAME] = {"name", ""},       [PH_SETTING_CONTROL] = {"control", ""},
    [PH_SETTING_MODULES] = {"modules", ""}, [PH_SETTING_WORKERS] = {"workers", "threads"},
    [PH_SETTING_KEEPER] = {"keeper", ""},   [PH_SETTING_CONFIG] = {"config", ""},
};

static const char *const cluster_keys[] = {"listen", "join",      "state",      "keys",
                                           "lease",  "heartbeat", "dead-after", "dead_after"};

void ph_settings_fini(struct ph_settings *settings)
{
    for (size_t i = 0; i < PH_SETTINGS; i++)
        ph_free(settings->list[i].value);
}

const char *ph_setting_name(enum ph_setting_key key)
{
    return keys[key].name;
}

const char *ph_setting_unit(enum ph_setting_key key)
{
    return keys[key].unit;
}

bool ph_settings_key(const char *key, enum ph_setting_key *found)
{
    for (size_t i = 0; i < PH_SETTINGS; i++) {
        if (strcmp(keys[i].name, key) == 0) {
            *found = (enum ph_setting_key)i;
            return true;
        }
    }
    return false;
}

bool ph_settings_is_cluster(const char *key)
{
    for (size_t i = 0; i < PH_COUNT_OF(cluster_keys); i++)
        if (strcmp(cluster_keys[i], key) == 0)
            return true;
    return false;
}

static int check(enum ph_setting_key key, const char *value, struct ph_error *error)
{
    uint64_t number;
    if (key == PH_SETTING_NAME && !ph_name_is_valid(value))
        return ph_error_set(error, PH_EUSAGE,
                            "name '%.80s': 1 to 64 of the characters A-Z a-z 0-9 . _ -", value);
    if (key == PH_SETTING_WORKERS && (!ph_parse_uint(value, 64, &number) || number == 0))
        return ph_error_set(error, PH_EUSAGE, "workers '%.80s': a number from 1 to 64", value);
    if (key == PH_SETTING_CONTROL && strcmp(value, "none") != 0 &&
        (strncmp(value, "ipc://", 6) != 0 || !value[6]))
        return ph_error_set(error, PH_EUSAGE, "control '%.80s': ipc://PATH, or none", value);
    if (!*value)
        return ph_error_set(error, PH_EUSAGE, "%s: a value is missing", keys[key].name);
    return 0;
}

static int unknown(const char *key, struct ph_error *error)
{
    struct ph_nearest nearest = {0};
    if (ph_settings_is_cluster(key))
        return ph_error_set(error, PH_EREFUSED,
                            "%s: this build supervises one node; it has no links to others", key);
    for (size_t i = 0; i < PH_SETTINGS; i++)
        ph_nearest_offer(&nearest, key, keys[i].name);
    return ph_error_set(error, PH_EUSAGE,
                        "%.80s: no such setting%s%s%s (name, control, modules, workers, keeper)",
                        key, nearest.word ? ", did you mean " : "",
                        nearest.word ? nearest.word : "", nearest.word ? "?" : "");
}

int ph_settings_set(struct ph_settings *settings, const char *name, const char *value,
                    const char *source, struct ph_error *error)
{
    enum ph_setting_key key;
    if (!ph_settings_key(name, &key))
        return unknown(name, error);
    int rc = check(key, value, error);
    if (rc < 0 || settings->list[key].value)
        return rc;
    settings->list[key] =
        (struct ph_setting){.value = ph_copy_text(value, strlen(value)), .source = source};
    return 0;
}

const char *ph_settings_get(const struct ph_settings *settings, enum ph_setting_key key)
{
    return settings->list[key].value;
}
