/*
 * What a run leaves: the hash over all that happened, the narrative for people, the failure.
 *
 * The narrative is written only when it is asked for; the hash always. Lines are
 * `[time] node > event -> text`, time in seconds of the world.
 */
#ifndef PH_TESTS_SIM_REPORT_H
#define PH_TESTS_SIM_REPORT_H

#include "tests/sim/sim.h"

struct sim_report {
    uint64_t hash;
    bool narrates, keeps; /* prints each line; keeps the last ones */
    char reason[1024];    /* of the failure; "" when there is none */
    char **kept;
    size_t kept_count;
};

struct sim_report *sim_report_create(bool narrates, bool keeps);
void sim_report_destroy(struct sim_report *);
/* The last so many lines that were kept. */
void sim_report_print(const struct sim_report *, size_t lines);

void sim_hash(struct sim *, const void *bytes, size_t length);
/* `node` NULL: the world. */
void sim_note(struct sim *, const struct sim_node *, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A check failed: the first one counts, and ends the run. */
void sim_fail(struct sim *, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
