/*
 * What a seed stands for, before time begins.
 */
#ifndef PH_TESTS_SIM_CONFIG_H
#define PH_TESTS_SIM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

struct sim;

/* Everything that is drawn from the seed before time begins. Rates are thousandths. */
struct sim_config {
    unsigned nodes, ids;
    bool majority, strict; /* strict: a quorum counts from all nodes, so no two sides have one */
    uint64_t heartbeat_ms, dead_after_ms, lease_ms, migrate_timeout_ms, move_rate, in_flight;
    uint64_t hot_child_ms, hot_state_ms, hot_retention_ms;
    uint64_t hot_precopy, ballast; /* ballast: bytes of each state, see tests/lib/ballast.h */
    bool hot, hot_confirm;
    uint64_t window_bytes, chunk_bytes, queue_bytes;
    uint64_t steps;
    /* The wire. */
    unsigned loss, twice, late, corrupt;
    uint64_t delay_us, late_us;
    bool silent; /* nobody is told that a node's process is gone */
    /* Children. */
    unsigned start_fails, crashes, save_fails, stuck, like_processes;
    uint64_t start_us;
    /* Faults and requests come on average once in. */
    uint64_t fault_us, request_us;
    unsigned kinds; /* of faults: a bit for each */
    bool drifts, lost_disks, pauses_long, core_only;
    bool absence;        /* a split that lasts longer than anything is remembered for */
    bool clash;          /* another node has the name of the first one */
    bool mixed;          /* some nodes speak other protocols */
    bool journals;       /* nodes keep what is wanted on a disk */
    uint64_t sync_us;    /* how long that takes, about */
    uint64_t calm_steps; /* of moves and messages when all is healed; 0: none */
};

/* Faults that are planted, and what they wait for. */
struct sim_planted {
    uint64_t saves, starts;     /* so many instances were to save, to come up or to stand by */
    bool next_save, next_start; /* the next one fails */
};

/* Everything from the seed; `nodes` 0: drawn, too; `steps` 0: drawn. */
void sim_draw(struct sim_config *, uint64_t seed, unsigned nodes, uint64_t steps);
/* A run in which the canary's bug comes up, and is one. */
void sim_make_canary(struct sim_config *);
/* For people. */
void sim_note_config(struct sim *);

#endif
