/*
 * The plain console, for terminals that cannot move their cursor: a line is read, run and answered.
 * The calling thread's; it uses stdin and stdout as they are.
 */
#ifndef PH_TUI_PLAIN_H
#define PH_TUI_PLAIN_H

#include "tui/runner.h"

/* `event_fd` is the runner's, `signal_fd` has SIGINT, SIGTERM, SIGHUP and SIGQUIT. Returns the exit
 * code. */
int ph_plain_run(struct ph_runner *, int event_fd, int signal_fd);

#endif
