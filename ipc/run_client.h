/*
 * The client commands: let, echo, sleep, source, watch, help and exit run where the script is.
 *
 * Their rows are in ph_commands[] like all others (flag PH_COMMAND_CLIENT); what they check beyond
 * their row and how they run is here, found by name.
 */
#ifndef PH_IPC_RUN_CLIENT_H
#define PH_IPC_RUN_CLIENT_H

#include "ipc/command.h"
#include "ipc/run.h"

/* The place of the statement in work, and the sink that shows it below an error. */
struct ph_run_place {
    struct ph_sink sink; /* its notes get a caret */
    struct ph_run *run;
    const char *script; /* name */
    const char *text;   /* the script's */
    size_t length;
    bool shown; /* the caret, once a statement */
};

/* What the row cannot say: the words' values. `check`: words with variables are left alone. */
PH_MUST_CHECK int ph_client_check(const struct ph_args *, bool check, struct ph_script_error *);

/* Runs one that was read and checked; returns an exit code. Errors were said. */
int ph_client_run(struct ph_run *, struct ph_run_place *, const struct ph_args *);

/* Of run.c: one statement whose variables were replaced; its exit code. */
int ph_run_statement(struct ph_run *, struct ph_run_place *, const struct ph_statement *);

/* Checks a statement against the table (check.c). */
PH_MUST_CHECK int ph_statement_check(const struct ph_statement *, struct ph_script_error *);

#endif
