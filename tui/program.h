/*
 * The program behind the command line: an embedded node, a node in the foreground, or an attached
 * session; scripts or the console; signals.
 *
 * Everything that is to be run is read and checked before anything is started. One thread runs
 * scripts (main's), one takes signals (signals.h); what they share is under `lock` or atomic.
 */
#ifndef PH_TUI_PROGRAM_H
#define PH_TUI_PROGRAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "ipc/control.h"
#include "ipc/run.h"
#include "ipc/session.h"
#include "tui/options.h"
#include "tui/output.h"
#include "tui/signals.h"

struct ph_program {
    /* Main's. */
    struct ph_options *options;
    struct ph_output_sink output;
    struct ph_run run; /* of the scripts; says errors before there is a door */
    struct ph_script **scripts;
    size_t script_count;
    struct ph_script *config;
    bool config_creates_hubs;
    bool console;            /* a console instead of scripts */
    struct ph_text endpoint; /* of the node's control socket, or of the node attached to */
    struct ph_node *node;
    struct ph_links *links;   /* NULL: the node has none */
    struct ph_remote *remote; /* the same */
    struct ph_control *control;
    struct ph_signals signals;
    pthread_t thread; /* main's */

    /* Shared. */
    struct ph_waiter *waiter; /* main's bed in `prochub node` */
    atomic_int signal;        /* the one that ends the program; 0: none came */
    atomic_bool reload, shutdown;
    pthread_mutex_t lock;
    struct ph_run *running; /* what a signal has to call off */
    bool reading; /* scripts are being read: nothing has begun, a signal ends it at once */
};

/* Runs it to its end and returns the exit code. */
int ph_program_main(struct ph_options *);

/* program_node.c: creates the node with its hubs and its control socket, and runs the
 * configuration. An exit code; what was made is ended by ph_program_stop_node. */
int ph_program_start_node(struct ph_program *);
void ph_program_stop_node(struct ph_program *);
/* Until a signal or `shutdown`; SIGHUP runs the configuration again. */
void ph_program_serve(struct ph_program *);
/* What sessions on the node made here know of the program. */
struct ph_session_place ph_program_place(struct ph_program *);
/* A door of its own for the caller, on the node made or attached to. */
PH_MUST_CHECK int ph_program_open_door(struct ph_program *, struct ph_door **, struct ph_error *);

/* `arg` is the program: it ends. Any thread. */
void ph_program_shutdown(void *arg);

/* Says an error that has no place in a script and returns its exit code. */
int ph_program_fail(struct ph_program *, const struct ph_error *);
/* Reads and checks a script, or says what is wrong and returns the exit code. */
int ph_program_read(struct ph_program *, const char *path, struct ph_script **);
/* Runs a script in a way that signals call off. */
int ph_program_run(struct ph_program *, struct ph_run *, const struct ph_script *);

#endif
