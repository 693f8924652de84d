/*
 * What the oracle remembers. Only the files of the checks look in here.
 *
 * The log of each life of a hub: every row of it by its number, as it stood at the end of a step.
 * A member's copy at (generation, number) is held against it.
 */
#ifndef PH_TESTS_SIM_ORACLE_H
#define PH_TESTS_SIM_ORACLE_H

#include "tests/sim/checks.h"

struct sim_row {
    uint64_t number, epoch;
    uint32_t instance;
    bool gone;
    enum ph_state state;
};

struct sim_rows {
    struct sim_row *rows;
    size_t count, capacity;
};

/* Of one life of a hub. */
struct sim_log {
    struct sim_log *next;
    unsigned node;
    uint64_t generation;
    struct sim_rows rows[SIM_IDS_MAX];
    uint64_t *ends; /* numbers at which steps ended, rising */
    size_t end_count, end_capacity;
};

/* An intent, seen when its author had written it. */
struct sim_written {
    struct ph_version version;
    unsigned id, node;
    uint64_t life;
    bool stopped;
};

/* What a hub had at the end of its last step. */
struct sim_seen {
    struct ph_version version[SIM_IDS_MAX];
    struct {
        uint64_t generation, hi;
    } logs[PH_MEMBERS_MAX];
    bool leased, fenced;
    uint64_t epoch, view;
    unsigned steps;
    struct sim_log *log;
};

/* What the last instance of an id left for the next one. What is lost with a node, falls to others
 * by a change of the view, or is asked for anew begins without it. */
struct sim_saved {
    bool waits;
    uint64_t upheavals; /* how many there were then */
    struct ph_version written;
};

/* A message, by its number. */
struct sim_letter {
    bool sent, counts, handled; /* see mail.c */
    uint8_t id, node;
    uint64_t sent_us, losses, lost_of; /* how many there were then */
    uint64_t ended; /* epoch of an instance that some node saw then, and had ended unsaved; 0 */
    bool given_way; /* some node saw then an instance that had given way */
};

/* Who can reach whom: see groups.c. */
struct sim_side {
    uint32_t nodes;
    uint64_t lives, since_us;
};

struct sim_oracle {
    struct sim_seen seen[SIM_NODES_MAX];
    struct sim_instance *acting[SIM_IDS_MAX][SIM_NODES_MAX]; /* the last ones */
    uint64_t gave_way[SIM_IDS_MAX][SIM_NODES_MAX];    /* epoch of the last one that did … */
    uint64_t gave_way_to[SIM_IDS_MAX][SIM_NODES_MAX]; /* … and of the one it did for */
    struct sim_written *written;
    size_t written_count, written_capacity;
    struct ph_version promised[SIM_IDS_MAX];
    bool promised_stop[SIM_IDS_MAX];
    struct sim_saved saved[SIM_IDS_MAX];
    uint64_t upheavals;                    /* changes of any view or fence, ends of hubs */
    struct ph_version newest[SIM_IDS_MAX]; /* that was written */
    uint64_t crashed_us;                   /* when a hub ended last */
    struct sim_letter *letters;
    size_t letter_capacity;
    uint64_t losses, lost_of[SIM_IDS_MAX];
    uint64_t started[SIM_IDS_MAX]; /* epoch of the last instance that began; that ended unsaved … */
    uint64_t unsaved[SIM_IDS_MAX], anew[SIM_IDS_MAX];  /* … and was not followed by a restart */
    uint64_t last_handled[SIM_IDS_MAX][SIM_NODES_MAX]; /* the highest number, by its sender */
    struct sim_side sides[SIM_NODES_MAX];
    uint64_t sides_us; /* when to look at them again */
    uint64_t recount_steps;
    struct sim_log *logs;
};

/* Makes room for one more. */
void *sim_grow(void *array, size_t count, size_t *capacity, size_t bytes);

/* logs.c: what the hub's own log says now; what it knows of the others'. */
void sim_logs_note(struct sim_hub *);
void sim_logs_check(struct sim_hub *);
void sim_logs_destroy(struct sim_oracle *);

/* recount.c: looks at everything that this hub keeps. */
void sim_recount(struct sim_hub *);

/* mail.c: something that may cost any message, or one for that id. */
void sim_mail_lost_any(struct sim *);
void sim_mail_lost_of(struct sim *, unsigned id);
struct sim_letter *sim_letter_of(struct sim_oracle *, uint64_t number);

#endif
