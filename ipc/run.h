/*
 * The script runner: runs a script's statements through a door.
 *
 * It replaces variables, runs the client commands (let, echo, sleep, source, watch, help, exit)
 * itself and stops at the first failure, unless told otherwise. One thread; ph_run_cancel from any.
 */
#ifndef PH_IPC_RUN_H
#define PH_IPC_RUN_H

#include <stdbool.h>

#include "ipc/door.h"
#include "ipc/script.h"

struct ph_run {
    struct ph_door *door;
    struct ph_sink *sink;
    enum ph_form form;
    bool keep_going;
    bool exited;   /* `exit` was run: the program ends with exit_code */
    int exit_code; /* the exit code so far: of the first failure */
    struct ph_variables *variables;
    struct ph_waiter *waiter; /* for `sleep` and `watch`; cancelled by ph_run_cancel */
    unsigned depth;           /* of `source`, at most 16 */
};

void ph_run_init(struct ph_run *, struct ph_door *, struct ph_sink *, enum ph_form,
                 bool keep_going);
void ph_run_fini(struct ph_run *);

/* Runs the whole script (it was parsed and checked). Returns the exit code of commands.md. */
int ph_run_script(struct ph_run *, const struct ph_script *);

/* Parses, checks and runs a text; says what is wrong with it (exit code 2). */
int ph_run_text(struct ph_run *, const char *name, const char *text, size_t length);

/* Any thread: interrupts (exit code 130). */
void ph_run_cancel(struct ph_run *);

#endif
