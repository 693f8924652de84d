/*
 * Signals as calls: one thread takes the program's signals and tells a function of them.
 *
 * The signals are blocked in main before the first thread, so nobody else gets them. While the
 * console runs they are the console's (tui/console.h) and this thread does not.
 */
#ifndef PH_TUI_SIGNALS_H
#define PH_TUI_SIGNALS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct ph_signals {
    pthread_t thread;
    atomic_bool stop;
    void (*fn)(void *arg, int signal_number);
    void *arg;
};

/* Before any thread: blocks SIGINT SIGTERM SIGHUP (and SIGUSR2, our own), ignores SIGPIPE. With
 * `console` also those that the console takes: SIGWINCH SIGQUIT SIGTSTP SIGCONT. */
void ph_signals_block(bool console);

/* `fn` is called on the thread for SIGINT SIGTERM SIGHUP. */
void ph_signals_start(struct ph_signals *, void (*fn)(void *arg, int signal_number), void *arg);
void ph_signals_stop(struct ph_signals *);

#endif
