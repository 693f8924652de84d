#include "tui/plain.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/base.h"

enum { LINE_MAX_BYTES = 8192 };

struct plain {
    struct ph_runner *runner;
    struct ph_text line, output;
    bool running, ended;
    int code;
};

static void prompt(void)
{
    fputs("prochub> ", stdout);
    fflush(stdout);
}

static void on_event(struct plain *plain, int event_fd)
{
    uint64_t count;
    struct ph_runner_result result;
    if (read(event_fd, &count, sizeof count) < 0 ||
        !ph_runner_take(plain->runner, &plain->output, &result))
        return;
    fwrite(ph_text_str(&plain->output), 1, plain->output.length, stdout);
    ph_text_clear(&plain->output);
    if (!result.done)
        return;
    plain->running = false;
    plain->ended = result.exited;
    plain->code = result.exited ? result.code : plain->code;
    if (!plain->ended)
        prompt();
}

static void on_signal(struct plain *plain, int signal_fd)
{
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof info) != (ssize_t)sizeof info || info.ssi_signo == SIGWINCH ||
        info.ssi_signo == SIGCONT)
        return;
    if (info.ssi_signo == SIGTSTP) {
        raise(SIGSTOP);
        return;
    }
    if (info.ssi_signo == SIGINT && plain->running) {
        ph_runner_cancel(plain->runner);
        return;
    }
    plain->ended = true;
    plain->code = 128 + (int)info.ssi_signo;
}

static void run_line(struct plain *plain)
{
    bool blank = strspn(ph_text_str(&plain->line), " \t\r") == plain->line.length;
    if (blank) {
        prompt();
    } else {
        plain->running = true;
        ph_runner_start(plain->runner, ph_text_str(&plain->line));
    }
    ph_text_clear(&plain->line);
}

/* A line at a time, as the terminal gives them; while a command runs nothing is read. */
static void on_input(struct plain *plain)
{
    char bytes[1024];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR)
        return;
    if (count <= 0) {
        plain->ended = true;
        return;
    }
    if (plain->line.length + (size_t)count <= LINE_MAX_BYTES)
        ph_text_append(&plain->line, bytes, (size_t)count);
    if (bytes[count - 1] != '\n')
        return;
    plain->line.data[--plain->line.length] = '\0';
    run_line(plain);
}

int ph_plain_run(struct ph_runner *runner, int event_fd, int signal_fd)
{
    struct plain plain = {.runner = runner};
    prompt();
    while (!plain.ended) {
        struct pollfd fds[] = {
            {.fd = signal_fd, .events = POLLIN},
            {.fd = event_fd, .events = POLLIN},
            {.fd = plain.running ? -1 : STDIN_FILENO, .events = POLLIN},
        };
        if (poll(fds, PH_COUNT_OF(fds), -1) < 0)
            continue;
        if (fds[0].revents)
            on_signal(&plain, signal_fd);
        if (fds[1].revents)
            on_event(&plain, event_fd);
        if (fds[2].revents && !plain.ended)
            on_input(&plain);
    }
    ph_text_fini(&plain.line);
    ph_text_fini(&plain.output);
    return plain.code;
}
