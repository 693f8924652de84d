/*
 * prochub-keeper: the small single-threaded program that holds a node's OS processes.
 *
 * It is a subreaper, so whatever leaves a process tree (double fork, daemon) comes back to it. A
 * *kept* program has a slot and a main process; its tree is everything that bears its mark
 * (keeper_wire.h), belongs to its session, or descends from it. When the main process ends, the
 * rest of the tree is killed, and the end is reported when nothing of it is left. A pid is
 * signalled only while its process is the keeper's unreaped child (or, for a process group, while
 * its leader is), so never after its reuse. What runs under a lease (keeper_wire.h) is killed when
 * that is over, also when the node is stopped or hangs: others may run the same then.
 *
 * Bounded: packets, slots, and the time that a killed tree may take to vanish. Nobody's globals.
 */
#ifndef PH_ENGINE_KIND_KEEPER_H
#define PH_ENGINE_KIND_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/kind/keeper_wire.h"
#include "engine/kind/proctree.h"

enum {
    PH_KEEPER_PID_BUCKETS = 4096,
    PH_KEEPER_STACK_BYTES = 256 * 1024, /* of the child between clone and exec */
};

struct ph_kept;

/* A direct child of the keeper: the main process of `kept`, a stray of its tree, or (kept is NULL)
 * a stranger that cannot be attributed. */
struct ph_known {
    pid_t pid;
    bool main;
    bool killed;
    struct ph_kept *kept;
    struct ph_known *next_in_bucket;
    struct ph_known *next, **link; /* among the strays of `kept` */
};

struct ph_kept {
    uint64_t mark;
    uint32_t lease;
    pid_t pid; /* of the main process; its session stays when it has ended */
    bool ending;
    bool lease_over; /* it is being killed for that */
    uint64_t ended_ms;
    struct ph_keeper_report end;
    struct ph_known *strays;
    struct ph_kept *next, **link; /* among the ending ones */
};

struct ph_lease {
    uint64_t until_ms;
    bool enforced; /* it was over, and what ran under it was killed */
};

struct ph_keeper {
    int socket, signals;
    pid_t self, node;
    uint64_t salt;
    struct ph_kept **slots;
    size_t slot_count;
    struct ph_known *buckets[PH_KEEPER_PID_BUCKETS];
    struct ph_kept *ending;
    bool sweep_due, collect_due;
    struct ph_lease leases[PH_KEEPER_LEASES];
    struct ph_pids children; /* scratch of the sweep */
    uint64_t reaped, strays_killed;
    struct ph_keeper_report *reports; /* that wait for the socket, first at report_first */
    size_t report_first, report_count, report_capacity;
    char *packet; /* PH_KEEPER_PACKET_MAX + 1 */
    char *stack;
};

/* keeper.c */
void ph_keeper_report(struct ph_keeper *, const struct ph_keeper_report *);
uint64_t ph_keeper_now_ms(void);

/* keeper_spawn.c: carries out a SPAWN packet and reports. Closes the descriptors. */
void ph_keeper_spawn(struct ph_keeper *, char *packet, size_t length, const int *fds, size_t count);

/* keeper_tree.c */
struct ph_kept *ph_kept_find(const struct ph_keeper *, uint64_t mark);
struct ph_kept *ph_kept_add(struct ph_keeper *, uint64_t mark, pid_t pid);
void ph_kept_kill(struct ph_keeper *, struct ph_kept *);
/* Reaps what has ended; then kills and reaps what is left of ended trees, and reports them. */
void ph_keeper_collect(struct ph_keeper *);
void ph_keeper_sweep(struct ph_keeper *);
/* Kills every descendant; returns when there is none, or after a few seconds. */
void ph_keeper_kill_all(struct ph_keeper *);

/* keeper_lease.c */
void ph_keeper_leases_init(struct ph_keeper *);
void ph_keeper_lease_set(struct ph_keeper *, uint32_t lease, uint64_t until_ms);
bool ph_keeper_lease_is_over(const struct ph_keeper *, uint32_t lease);
/* Kills what runs under leases that are over. */
void ph_keeper_leases_enforce(struct ph_keeper *);
/* For poll: until the next end of a lease; -1: none ends. */
int ph_keeper_leases_wait_ms(const struct ph_keeper *);

#endif
