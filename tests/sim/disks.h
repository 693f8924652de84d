/*
 * The disks under the hubs' journals. They outlive the lives of their nodes.
 */
#ifndef PH_TESTS_SIM_DISKS_H
#define PH_TESTS_SIM_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/entry.h"
#include "engine/ports.h"
#include "tests/lib/fakedisk.h"

struct sim_hub;
struct sim_node;

struct sim_disk {
    struct fakedisk journal;
    uint64_t incarnation; /* of the node's last life; 0: it was lost */
    bool syncing;         /* an answer is on its way */
};

extern const struct ph_journal_port sim_journal_port; /* its context is the hub */
/* Does the node keep a journal? */
bool sim_keeps(const struct sim_node *);
/* The node's new hub reads what the disk has. */
void sim_disk_read(struct sim_hub *);
/* Its process dies: what the disk has not synced may be lost. */
void sim_disk_crash(struct sim_node *);
void sim_disk_lose(struct sim_node *);
/* Nothing can be written until it is told otherwise. */
void sim_disk_fill(struct sim_node *, bool full);
/* What the disk is sure to have of an id: its version, 0: nothing; is it wanted? */
struct ph_version sim_disk_version(const struct sim_node *, unsigned id, bool *wanted);

#endif
