/*
 * The monitor's own state, for the files that are its parts (process*.c, run.c, monitor.c).
 */
#ifndef PH_ENGINE_KIND_MONITOR_INSIDE_H
#define PH_ENGINE_KIND_MONITOR_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/kind/keeper_client.h"
#include "engine/kind/loop.h"
#include "engine/kind/monitor.h"
#include "engine/kind/program.h"
#include "engine/queue.h"

enum { PH_MONITOR_READ_BYTES = 64 * 1024 };

struct ph_run;

struct ph_monitor {
    /* Immutable after create. */
    struct ph_environ environ;
    pthread_t thread;

    /* Any thread. */
    struct ph_queue commands;
    int wake_fd;
    atomic_ullong notify_invalid, log_bytes; /* relaxed: figures for people */

    /* Monitor's thread. */
    struct ph_loop loop;
    struct ph_keeper_client keeper;
    struct ph_source wake;
    bool stop;
    char *buffer;                 /* PH_MONITOR_READ_BYTES, scratch of one handler */
    struct ph_run *finished_runs; /* freed after the turn */
};

/* run.c, on the monitor's thread. */
void ph_run_start(struct ph_run *);
void ph_run_free_finished(struct ph_monitor *);

/* run.c, any thread: a run that ph_run_start will begin. Copied. */
struct ph_run *ph_run_create(struct ph_monitor *, const struct ph_run_request *);

#endif
