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

#include "engine/prochub.h"

enum { PH_SETTINGS = 6 };

enum ph_setting_key {
    PH_SETTING_NAME,
    PH_SETTING_CONTROL,
    PH_SETTING_MODULES,
    PH_SETTING_WORKERS,
    PH_SETTING_KEEPER,
    PH_SETTING_CONFIG,
};

struct ph_setting {
    char *value;        /* NULL: not set */
    const char *source; /* "option", "config", "default" */
};

struct ph_settings {
    struct ph_setting list[PH_SETTINGS];
};

void ph_settings_fini(struct ph_settings *);

/* The name of a key ("name") and the unit of its values ("" for texts). */
const char *ph_setting_name(enum ph_setting_key);
const char *ph_setting_unit(enum ph_setting_key);

/* Sets a key that is not set yet; copied. PH_EUSAGE with a text that says what it takes;
 * PH_EREFUSED for keys that need more than one node. */
PH_MUST_CHECK int ph_settings_set(struct ph_settings *, const char *key, const char *value,
                                  const char *source, struct ph_error *);

/* The value, or NULL. */
const char *ph_settings_get(const struct ph_settings *, enum ph_setting_key);

/* Is this the key of a setting (or of one that only clusters have)? */
bool ph_settings_key(const char *key, enum ph_setting_key *);
bool ph_settings_is_cluster(const char *key);

#endif
