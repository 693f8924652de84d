#include "tui/signals.h"

#include <signal.h>

static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR2};
static const int of_console[] = {SIGWINCH, SIGQUIT, SIGTSTP, SIGCONT};

static void add(sigset_t *set, const int *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sigaddset(set, numbers[i]);
}

void ph_signals_block(bool console)
{
    sigset_t set;
    sigemptyset(&set);
    add(&set, taken, sizeof taken / sizeof taken[0]);
    if (console)
        add(&set, of_console, sizeof of_console / sizeof of_console[0]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL); /* a file that may not grow is an error like a full disk */
}

static void *take_signals(void *arg)
{
    struct ph_signals *signals = arg;
    sigset_t set;
    sigemptyset(&set);
    add(&set, taken, sizeof taken / sizeof taken[0]);
    for (;;) {
        int number = 0;
        if (sigwait(&set, &number) != 0)
            continue;
        /* Acquire: pairs with the release in ph_signals_stop. */
        if (atomic_load_explicit(&signals->stop, memory_order_acquire))
            return NULL;
        if (number != SIGUSR2)
            signals->fn(signals->arg, number);
    }
}

void ph_signals_start(struct ph_signals *signals, void (*fn)(void *arg, int signal_number),
                      void *arg)
{
    atomic_init(&signals->stop, false);
    signals->fn = fn;
    signals->arg = arg;
    pthread_create(&signals->thread, NULL, take_signals, signals);
}

void ph_signals_stop(struct ph_signals *signals)
{
    /* Release: pairs with the acquire in take_signals. */
    atomic_store_explicit(&signals->stop, true, memory_order_release);
    pthread_kill(signals->thread, SIGUSR2);
    pthread_join(signals->thread, NULL);
}
