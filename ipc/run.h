/*
 * The script runner: runs a script's statements through a door.
 *
 * It replaces variables, runs the client commands (let, echo, sleep, source, watch, help, exit)
 * itself and stops at the first failure, unless told otherwise. One thread; ph_run_cancel from any.
 */
#ifndef PH_IPC_RUN_H
#define PH_IPC_RUN_H

#include <stdatomic.h>
#include <stdbool.h>

#include "ipc/door.h"
#include "ipc/script.h"

struct ph_run {
    struct ph_door *door;
    struct ph_sink *sink;
    enum ph_form form;
    bool keep_going;
    bool caret;  /* errors are followed by the source line and a caret: notes go to a terminal */
    bool exited; /* `exit` was run: the program ends with exit_code */
    bool exit_given; /* … and exit_code is what it said */
    int exit_code;   /* the exit code so far: of the first failure */
    struct ph_variables *variables;
    struct ph_waiter *waiter; /* for `sleep` and `watch`; cancelled by ph_run_cancel */
    unsigned depth;           /* of `source`, at most 16 */
    atomic_bool canceled;     /* set by ph_run_cancel, read before each statement */
};

void ph_run_init(struct ph_run *, struct ph_door *, struct ph_sink *, enum ph_form,
                 bool keep_going);
void ph_run_fini(struct ph_run *);

/* Runs the whole script (it was parsed and checked). Returns the exit code of commands.md; the
 * first one that is not 0 stays in `exit_code`. */
int ph_run_script(struct ph_run *, const struct ph_script *);

/* Parses and checks a text, or says what is wrong with it and returns the exit code. The run needs
 * no door yet. */
int ph_run_parse(struct ph_run *, const char *name, const char *text, size_t length,
                 struct ph_script **);

/* Parses, checks and runs a text; says what is wrong with it (exit code 2). */
int ph_run_text(struct ph_run *, const char *name, const char *text, size_t length);

/* Any thread: interrupts (exit code 130). */
void ph_run_cancel(struct ph_run *);
/* Takes an interruption back, for a console that reads the next line. Owner thread. */
void ph_run_reset(struct ph_run *);

/* The exit code of a code: 0, its class, or 130 for PH_ECANCELED. */
int ph_run_exit_code(int code);

#endif
