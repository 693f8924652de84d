/*
 * Settings: what a node was set up with, from the command line, the configuration file or by
 * default, each with its unit and source, for `config` and for `node` lines that run again.
 *
 * A list in order of definition; the first source that sets a key wins, so the caller reads the
 * command line first. Built by one thread, then constant.
 */
#ifndef PH_IPC_SETTINGS_H
#define PH_IPC_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"

#define PH_CLUSTER_DEFAULT "default"

enum ph_setting_key {
    PH_SETTING_NAME,
    PH_SETTING_CONTROL,
    PH_SETTING_MODULES,
    PH_SETTING_STATE,
    PH_SETTING_WORKERS,
    PH_SETTING_KEEPER,
    PH_SETTING_CONFIG,
    PH_SETTING_CLUSTER,
    PH_SETTING_LISTEN,
    PH_SETTING_ADVERTISE,
    PH_SETTING_JOIN,
    PH_SETTING_BEACON,
    PH_SETTING_HEARTBEAT,
    PH_SETTING_DEAD_AFTER,
    PH_SETTING_LEASE,
    PH_SETTINGS,
};

struct ph_setting {
    char *value;        /* NULL: not set */
    const char *source; /* "option", "config", "default" */
};

struct ph_settings {
    struct ph_setting list[PH_SETTINGS];
};

void ph_settings_fini(struct ph_settings *);

/* The name of a key ("dead-after") and the unit of its values ("" for texts). */
const char *ph_setting_name(enum ph_setting_key);
const char *ph_setting_unit(enum ph_setting_key);

/* Sets a key that is not set yet; copied, durations as a number of milliseconds. PH_EUSAGE with a
 * text that says what it takes; PH_EREFUSED for keys of the language that this build does not
 * have. */
PH_MUST_CHECK int ph_settings_set(struct ph_settings *, const char *key, const char *value,
                                  const char *source, struct ph_error *);

/* Do they fit each other? For when all sources were read. PH_EUSAGE says what is missing. */
PH_MUST_CHECK int ph_settings_check(const struct ph_settings *, struct ph_error *);

/* The value, or NULL; of a duration the number, or 0. */
const char *ph_settings_get(const struct ph_settings *, enum ph_setting_key);
uint64_t ph_settings_ms(const struct ph_settings *, enum ph_setting_key);

/* Would setting that key to that value change it? False as well when the command line has set it,
 * which wins. `*have` is the value now, or NULL. Errors as of ph_settings_set. */
PH_MUST_CHECK int ph_settings_differ(const struct ph_settings *, const char *key, const char *value,
                                     bool *differ, const char **have, struct ph_error *);

/* Why a key of the language is refused in this build, or NULL. */
const char *ph_settings_refusal(const char *key);

/* The names of all keys that a configuration may set: "name, control, …". */
void ph_settings_names(struct ph_text *out);

#endif
