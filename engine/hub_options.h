/* The options of a hub: `hub create NAME KEY=VALUE…`. hub_options.c holds their table. */
#ifndef PH_ENGINE_HUB_OPTIONS_H
#define PH_ENGINE_HUB_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"

/* What a side of a split hub may do: each goes on, or only one that holds more than half. */
enum ph_partition { PH_PARTITION_DIVERGE, PH_PARTITION_MAJORITY };

/* How children move between nodes. */
enum ph_migration { PH_MIGRATION_COLD, PH_MIGRATION_HOT };

struct ph_hub_options {
    uint64_t lock_timeout_ms;
    uint64_t shutdown_timeout_ms;
    uint64_t restart_rate; /* restarts per second of this hub on this node; 0: no limit */
    enum ph_partition partition;
    uint64_t majority_initial_size; /* the size that a quorum counts from at first */
    uint64_t majority_track_max;    /* 1: a larger hub raises it */
    enum ph_migration migration;
    uint64_t hot_handover;     /* 1: the state goes with a child; 0: it begins anew */
    uint64_t hot_confirm;      /* 1: the source has it until the target says that it runs */
    uint64_t hot_precopy;      /* from how many bytes on a copy goes ahead of the state; 0: never */
    uint64_t hot_retention_ms; /* how long the source keeps the state afterwards */
    uint64_t hot_state_timeout_ms; /* how long an instance may take to be saved */
    uint64_t hot_child_timeout_ms; /* how long the target may take to make one */
    uint64_t migrate_timeout_ms;   /* how long the target may take to answer */
    uint64_t move_rate;            /* children a second; 0: no limit */
    uint64_t move_in_flight;       /* moves under way at a time */
    uint64_t sync_interval_ms;     /* between comparisons of the whole directory */
    uint64_t discover_interval_ms; /* between looks for nodes that are not linked */
};

/* Reads KEY=VALUE hub options over the defaults. PH_EUSAGE names the key and what it takes;
 * PH_EREFUSED for strategies that this build does not have. */
PH_MUST_CHECK int ph_hub_options_parse(struct ph_hub_options *, const char *const *texts,
                                       size_t count, struct ph_error *error);
/* Appends the effective options for `config`: key, value, default and unit, each row ended by \x1e,
 * its fields separated by \x1f. */
void ph_hub_options_print(const struct ph_hub_options *, struct ph_text *out);

#endif
