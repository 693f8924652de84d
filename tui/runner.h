/*
 * The runner: runs what the operator types, one command at a time, on a thread with a door of its
 * own.
 *
 * Output is collected as it comes, so a command that follows something is seen at work; the newest
 * PH_RUNNER_OUTPUT_MAX bytes are kept. Variables (`let`) live as long as the runner. UI thread
 * only.
 */
#ifndef PH_TUI_RUNNER_H
#define PH_TUI_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/text.h"
#include "tui/console.h"

enum { PH_RUNNER_OUTPUT_MAX = 256 * 1024 };

struct ph_runner;

/* `event_fd` (a duplicate is kept) is written when there is something to take. */
struct ph_runner *ph_runner_create(ph_console_open open_door, void *arg, int event_fd);
void ph_runner_destroy(struct ph_runner *);

/* The text is copied. Nothing may be running. */
void ph_runner_start(struct ph_runner *, const char *text);
void ph_runner_cancel(struct ph_runner *);
/* The node was lost: the next command opens a new door. */
void ph_runner_reopen(struct ph_runner *);

struct ph_runner_result {
    bool done; /* it ended, and this is said once */
    int code;  /* its exit code */
    uint64_t took_ms;
    bool exited; /* it was `exit`: the console ends with `code` */
};

/* Appends new output; true when there was any, or when it is done. */
bool ph_runner_take(struct ph_runner *, struct ph_text *output, struct ph_runner_result *);

#endif
