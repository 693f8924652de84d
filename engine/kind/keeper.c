#include "engine/kind/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/alloc.h"

enum {
    PACKETS_PER_TURN = 16,
    RETRY_MS = 50, /* while a tree is being killed */
};

uint64_t ph_keeper_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Reports --------------------------------------------------------------------------------- */

void ph_keeper_report(struct ph_keeper *keeper, const struct ph_keeper_report *report)
{
    if (keeper->report_count == keeper->report_capacity) {
        keeper->report_capacity = keeper->report_capacity ? keeper->report_capacity * 2 : 64;
        keeper->reports =
            ph_realloc(keeper->reports, keeper->report_capacity * sizeof *keeper->reports);
    }
    keeper->reports[keeper->report_count++] = *report;
}

/* Sends until the socket is full. False: nobody listens any more. */
static bool flush_reports(struct ph_keeper *keeper)
{
    while (keeper->report_first < keeper->report_count) {
        struct ph_keeper_report *report = &keeper->reports[keeper->report_first];
        report->reaped = keeper->reaped;
        report->strays_killed = keeper->strays_killed;
        ssize_t sent = send(keeper->socket, report, sizeof *report, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
        keeper->report_first++;
    }
    keeper->report_first = keeper->report_count = 0;
    return true;
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void carry_out(struct ph_keeper *keeper, const struct ph_keeper_command *command)
{
    if (command->type == PH_KEEPER_LEASE) {
        ph_keeper_lease_set(keeper, command->lease, command->until_ms);
        return;
    }
    struct ph_kept *kept = ph_kept_find(keeper, command->mark);
    bool valid = command->signal_number > 0 && command->signal_number < NSIG;
    if (!kept || kept->ending)
        return; /* it ended meanwhile */
    if (command->type == PH_KEEPER_KILL)
        ph_kept_kill(keeper, kept);
    else if (command->type == PH_KEEPER_STOP && valid)
        kill(-kept->pid, command->signal_number);
    else if (command->type == PH_KEEPER_SIGNAL && valid)
        kill(kept->pid, command->signal_number);
}

static size_t take_fds(struct msghdr *message, int fds[PH_KEEPER_FDS_MAX])
{
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(control), count * sizeof(int));
    return count;
}

static void dispatch(struct ph_keeper *keeper, size_t length, const int *fds, size_t count)
{
    struct ph_keeper_command command;
    if (length >= sizeof command) {
        memcpy(&command, keeper->packet, sizeof command);
        if (command.type == PH_KEEPER_SPAWN) {
            ph_keeper_spawn(keeper, keeper->packet, length, fds, count);
            return;
        }
        carry_out(keeper, &command);
    }
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

enum take { TAKE_ONE, TAKE_NONE, TAKE_END };

static enum take take_packet(struct ph_keeper *keeper)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(PH_KEEPER_FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = keeper->packet, .iov_len = PH_KEEPER_PACKET_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(keeper->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? TAKE_NONE : TAKE_END;
    if (got == 0)
        return TAKE_END;
    int fds[PH_KEEPER_FDS_MAX];
    size_t count = take_fds(&message, fds);
    keeper->packet[got] = '\0';
    dispatch(keeper, (size_t)got, fds, count);
    return TAKE_ONE;
}

static bool take_packets(struct ph_keeper *keeper)
{
    enum take take = TAKE_ONE;
    for (int i = 0; i < PACKETS_PER_TURN && take == TAKE_ONE; i++)
        take = take_packet(keeper);
    return take != TAKE_END;
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* True when a signal says that the node's thread has ended. */
static bool take_signals(struct ph_keeper *keeper)
{
    struct signalfd_siginfo info[16];
    bool end = false;
    ssize_t got;
    while ((got = read(keeper->signals, info, sizeof info)) > 0) {
        for (size_t i = 0; i < (size_t)got / sizeof info[0]; i++)
            end |= info[i].ssi_signo == SIGTERM && getppid() != keeper->node;
    }
    return end;
}

/* For poll: how long nothing is to be done without an event. */
static int wait_ms(const struct ph_keeper *keeper)
{
    int lease_ms = ph_keeper_leases_wait_ms(keeper);
    if (keeper->collect_due)
        return 0;
    if (keeper->ending && (lease_ms < 0 || lease_ms > RETRY_MS))
        return RETRY_MS;
    return lease_ms;
}

static void run(struct ph_keeper *keeper)
{
    struct pollfd polled[] = {{.fd = keeper->socket}, {.fd = keeper->signals, .events = POLLIN}};
    for (;;) {
        polled[0].events = POLLIN | (keeper->report_count ? POLLOUT : 0);
        polled[0].revents = polled[1].revents = 0;
        int ready = poll(polled, 2, wait_ms(keeper));
        if (ready > 0 && (polled[1].revents & POLLIN) && take_signals(keeper))
            return;
        ph_keeper_collect(keeper);
        if (ready > 0 && (polled[0].revents & ~POLLOUT) && !take_packets(keeper))
            return;
        ph_keeper_leases_enforce(keeper); /* a renewal that has come counts */
        if (keeper->sweep_due || ready == 0)
            ph_keeper_sweep(keeper);
        if (!flush_reports(keeper))
            return;
    }
}

static bool has_socket(void)
{
    int type = 0;
    socklen_t length = sizeof type;
    return getsockopt(PH_KEEPER_FD, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
           type == SOCK_SEQPACKET;
}

/* Only the pair stays open, whatever the program that we came from has leaked. */
static int tidy_fds(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -1;
    for (int fd = 0; fd <= 2; fd++) {
        if (dup2(null, fd) < 0)
            return -1;
    }
    syscall(SYS_close_range, PH_KEEPER_FD + 1, ~0U, 0);
    return fcntl(PH_KEEPER_FD, F_SETFD, FD_CLOEXEC);
}

static int open_signals(void)
{
    sigset_t all, wanted;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &standard, NULL); /* ignored, it would take the exit codes with it */
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int prepare(struct ph_keeper *keeper, pid_t node)
{
    if (tidy_fds() < 0)
        return -1;
    setsid(); /* no Ctrl-C of the node's terminal */
    keeper->socket = PH_KEEPER_FD;
    keeper->self = getpid();
    keeper->node = node;
    ph_keeper_leases_init(keeper);
    keeper->packet = ph_alloc(PH_KEEPER_PACKET_MAX + 1);
    keeper->stack = mmap(NULL, PH_KEEPER_STACK_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    keeper->signals = open_signals();
    if (keeper->stack == MAP_FAILED || keeper->signals < 0)
        return -1;
    /* A second way to learn of the node's end, should a stray copy of its descriptor exist. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || getppid() != node ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc != 2 || !has_socket()) {
        fputs("prochub-keeper: started by prochub to hold its OS processes; not for people\n",
              stderr);
        return 2;
    }
    struct ph_keeper *keeper = ph_alloc(sizeof *keeper);
    if (prepare(keeper, (pid_t)atol(argv[1])) < 0)
        return 1;
    ph_keeper_report(keeper, &(struct ph_keeper_report){.type = PH_KEEPER_HELLO,
                                                        .pid = keeper->self,
                                                        .value = PH_KEEPER_VERSION});
    if (flush_reports(keeper))
        run(keeper);
    close(keeper->socket);
    ph_keeper_kill_all(keeper);
    _exit(0);
}
