/*
 * Programs that behave badly: a test of OS processes runs its own executable again with the name of
 * one of these as its first argument (VICTIM_PATH), so that it needs nothing but itself.
 */
#ifndef PH_TESTS_LIB_VICTIM_H
#define PH_TESTS_LIB_VICTIM_H

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VICTIM_PATH "/proc/self/exe"

static inline void victim_wait(void)
{
    for (;;)
        pause();
}

static inline void victim_say_pid(const char *file)
{
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    char text[16];
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (fd < 0 || write(fd, text, (size_t)length) != length)
        _exit(99);
    close(fd);
}

static inline void victim_notify(const void *bytes, size_t length)
{
    const char *address = getenv("NOTIFY_SOCKET");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (!address || *address != '@' || strlen(address) >= sizeof name.sun_path)
        _exit(98);
    memcpy(name.sun_path + 1, address + 1, strlen(address) - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sendto(fd, bytes, length, 0, (const struct sockaddr *)&name,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address)));
    close(fd);
}

static inline void victim_text(const char *text)
{
    victim_notify(text, strlen(text));
}

/* Leaves its parent, its session and its environment, as a careless daemon does. */
static inline void victim_daemonise(char *self, char *file)
{
    char linger[] = "linger";
    char *argv[] = {self, linger, file, NULL}, *none[] = {NULL};
    if (fork() > 0)
        return;
    setsid();
    if (fork() > 0)
        _exit(0);
    execve(self, argv, none);
    _exit(97);
}

static inline void victim_linger(char **argv)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    victim_say_pid(argv[2]);
    victim_wait();
}

static inline void victim_daemon(char **argv)
{
    victim_daemonise(argv[0], argv[2]);
    victim_say_pid(argv[2]);
    victim_wait();
}

static inline void victim_forker(char **argv)
{
    victim_daemonise(argv[0], argv[2]);
    victim_daemonise(argv[0], argv[2]);
    victim_say_pid(argv[2]);
    _exit(0);
}

static inline void victim_stubborn(char **argv)
{
    signal(SIGTERM, SIG_IGN);
    victim_say_pid(argv[2]);
    victim_wait();
}

static inline void victim_closed(char **argv)
{
    victim_say_pid(argv[2]);
    syscall(SYS_close_range, 0U, ~0U, 0);
    victim_wait();
}

static inline void victim_ready(char **argv)
{
    (void)argv;
    victim_text("STATUS=warming up\n");
    victim_text("READY=1\nSTATUS=at work");
    victim_text("MAINPID=1");
    victim_text("STOPPING=1");
    victim_wait();
}

static inline void victim_babble(char **argv)
{
    static char big[5000];
    (void)argv;
    memset(big, 'x', sizeof big);
    memcpy(big, "STATUS=", 7);
    victim_notify("", 0);
    victim_text("READY");
    victim_text("=1");
    victim_notify("READY=1\0", 8);
    victim_notify("\xff\xfe\x01\x02", 4);
    victim_notify(big, sizeof big);
    victim_text("WATCHDOG_USEC=soon");
    victim_text("READY=1");
    victim_wait();
}

static inline void victim_healthy(char **argv)
{
    const struct timespec pause_time = {.tv_nsec = 20000000};
    (void)argv;
    victim_text("READY=1");
    for (int i = 0; i < 30; i++) {
        victim_text("WATCHDOG=1");
        nanosleep(&pause_time, NULL);
    }
    victim_wait();
}

static inline void victim_quick(char **argv)
{
    (void)argv;
    victim_text("READY=1");
    _exit(5);
}

/* Prints which of its descriptors are open, and whether signals are as they should be. */
static inline void victim_inspect(char **argv)
{
    (void)argv;
    sigset_t mask;
    struct sigaction pipe_action;
    for (int fd = 0; fd < 1000; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            printf("fd %d\n", fd);
    }
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigaction(SIGPIPE, NULL, &pipe_action);
    printf("blocked %d ignored %d leader %d\n", sigismember(&mask, SIGTERM),
           pipe_action.sa_handler == SIG_IGN, getsid(0) == getpid());
    printf("watchdog %d\n", getenv("WATCHDOG_PID") && atoi(getenv("WATCHDOG_PID")) == getpid());
    fflush(stdout);
    _exit(0);
}

/* In main, before anything else: becomes a victim, or returns. */
static inline void victim_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(char **argv);
    } victims[] = {
        {"linger", victim_linger},     {"daemon", victim_daemon},   {"forker", victim_forker},
        {"stubborn", victim_stubborn}, {"closed", victim_closed},   {"ready", victim_ready},
        {"babble", victim_babble},     {"healthy", victim_healthy}, {"quick", victim_quick},
        {"inspect", victim_inspect},
    };
    for (size_t i = 0; argc > 1 && i < sizeof victims / sizeof victims[0]; i++) {
        if (strcmp(argv[1], victims[i].name) == 0)
            victims[i].fn(argv);
    }
}

#endif
