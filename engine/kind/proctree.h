/*
 * Who is whose child, read from /proc, and which mark (keeper_wire.h) a process carries.
 *
 * Shared by prochub-keeper and, after the keeper's death, the monitor. Only libc. What is read may
 * be old when it is used; the callers signal only their own unreaped children, whose pids cannot be
 * reused.
 */
#ifndef PH_ENGINE_KIND_PROCTREE_H
#define PH_ENGINE_KIND_PROCTREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ph_pids {
    pid_t *pid;
    size_t count, capacity;
};

void ph_pids_fini(struct ph_pids *);
void ph_pids_add(struct ph_pids *, pid_t pid);

/* Adds the direct children of `parent` (of all its threads). Uses /proc/PID/task/TID/children, or a
 * scan of all processes where the kernel has none. */
void ph_proctree_children(pid_t parent, struct ph_pids *children);

/* The mark of a process: its RLIMIT_LOCKS if that bears `salt`, else PROCHUB_TOKEN of its
 * environment if that does; 0: none of ours, or gone. */
uint64_t ph_proctree_mark(pid_t pid, uint64_t salt);

#endif
