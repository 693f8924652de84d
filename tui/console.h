/*
 * The console: a full-screen view of a node, in this process or behind a control socket.
 *
 * Everything it shows and does goes through doors (ipc/door.h), of which it opens three, each used
 * by one thread: one that waits for a newer picture of the node, one that fetches the rows on the
 * screen, one that runs what the operator types. The calling thread becomes the UI thread: it owns
 * the terminal and never waits for a door, so a node that hangs does not hang the console.
 *
 * Signals: while it runs, SIGWINCH SIGTERM SIGINT SIGHUP SIGQUIT SIGTSTP and SIGCONT belong to the
 * console (a signalfd of the UI thread). They must be blocked in every other thread, and nobody
 * else may take them. SIGSEGV SIGBUS SIGFPE SIGILL and SIGABRT must be blocked in no thread: a
 * handler puts the terminal back before they end the process.
 */
#ifndef PH_TUI_CONSOLE_H
#define PH_TUI_CONSOLE_H

#include <stdbool.h>

#include "engine/error.h"
#include "ipc/door.h"

struct ph_console_options {
    bool monochrome; /* also when NO_COLOR is set and not empty, or the terminal has no colours */
    bool ascii;      /* also when the locale is not UTF-8 */
    unsigned fps;    /* frames per second when data changes: 1..30, 0 is the default of 2 */
};

/* Opens a door of its own for the caller; called from any thread, also later, when a lost
 * connection is opened again. `error` is filled on failure. */
typedef int (*ph_console_open)(void *arg, struct ph_door **door, struct ph_error *error);

/* Runs until the operator quits (0), `exit N` is typed (N), or SIGTERM, SIGINT, SIGHUP or SIGQUIT
 * comes (128 + its number). Needs a terminal on stdin and stdout: otherwise, and when the first
 * door does not open, it says why on stderr and returns the exit code of commands.md. On a terminal
 * that cannot move its cursor (TERM=dumb) it reads and answers line by line instead. */
int ph_console_run(ph_console_open open_door, void *arg, const struct ph_console_options *options);

/* Any thread, also a signal handler, once at a time: ends a running ph_console_run as if
 * `signal_number` had come. Without a running console it does nothing. */
void ph_console_interrupt(int signal_number);

#endif
