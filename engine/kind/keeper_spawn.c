#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/kind/keeper.h"

/* The child runs in the keeper's memory on a stack of its own until it executes. */
#if defined(__SANITIZE_ADDRESS__)
#define IN_CHILD __attribute__((no_sanitize("address"), no_sanitize("undefined")))
#else
#define IN_CHILD
#endif

enum {
    NOFILE_SOFT = 1024,
    OWN_PIDS = 2,
};

/* What the child needs, and what it leaves behind when it fails. */
struct launch {
    struct ph_keeper_spawn spawn;
    const uint32_t *groups;
    const char *path, *cwd;
    char **argv, **envp;
    int fds[PH_KEEPER_STANDARD_FDS]; /* for 0, 1 and 2; -1: keep /dev/null */
    const int *extra;                /* for 3, 4, … */
    pid_t keeper;
    char *own_pids[OWN_PIDS]; /* in environment texts: where the child's pid belongs, or NULL */
    volatile enum ph_keeper_stage stage;
    volatile int error;
};

/* ---- In the child: plain system calls only --------------------------------------------------- */

IN_CHILD static void reset_signals(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &standard, NULL);
}

IN_CHILD static int take_user(const struct launch *launch)
{
    const struct ph_keeper_spawn *spawn = &launch->spawn;
    if (!(spawn->flags & PH_KEEPER_USER))
        return 0;
    /* The bare calls: libc's would try to bring other threads along. */
    if (syscall(SYS_setgroups, (size_t)spawn->groups, launch->groups) < 0 ||
        syscall(SYS_setresgid, spawn->gid, spawn->gid, spawn->gid) < 0 ||
        syscall(SYS_setresuid, spawn->uid, spawn->uid, spawn->uid) < 0)
        return -1;
    return 0;
}

IN_CHILD static void set_limits(const struct launch *launch)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > NOFILE_SOFT) {
        limit.rlim_cur = NOFILE_SOFT; /* programs with select() break above */
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (getrlimit(RLIMIT_LOCKS, &limit) == 0) {
        limit.rlim_cur = launch->spawn.command.mark; /* see keeper_wire.h */
        setrlimit(RLIMIT_LOCKS, &limit);
    }
}

/* First out of the way of each other, then where they belong. */
IN_CHILD static int take_extra_fds(const struct launch *launch)
{
    int moved[PH_KEEPER_EXTRA_FDS];
    int count = (int)launch->spawn.extra;
    for (int i = 0; i < count; i++) {
        moved[i] = fcntl(launch->extra[i], F_DUPFD_CLOEXEC, PH_KEEPER_STANDARD_FDS + count);
        if (moved[i] < 0)
            return -1;
    }
    for (int i = 0; i < count; i++) {
        if (dup2(moved[i], PH_KEEPER_STANDARD_FDS + i) < 0)
            return -1;
    }
    syscall(SYS_close_range, (unsigned)(PH_KEEPER_STANDARD_FDS + count), ~0U, CLOSE_RANGE_CLOEXEC);
    return 0;
}

IN_CHILD static int take_fds(const struct launch *launch)
{
    for (int fd = 0; fd < PH_KEEPER_STANDARD_FDS; fd++) {
        if (launch->fds[fd] >= 0 && dup2(launch->fds[fd], fd) < 0)
            return -1;
    }
    return take_extra_fds(launch);
}

IN_CHILD static void write_pid(char *at, long pid)
{
    char digits[12];
    int count = 0;
    do {
        digits[count++] = (char)('0' + pid % 10);
        pid /= 10;
    } while (pid > 0);
    while (count > 0)
        *at++ = digits[--count];
    *at = '\0';
}

IN_CHILD static enum ph_keeper_stage become(struct launch *launch)
{
    sigset_t none;
    if (setsid() < 0)
        return PH_STAGE_SESSION;
    if (take_fds(launch) < 0)
        return PH_STAGE_OUTPUT;
    set_limits(launch);
    umask(022);
    if (take_user(launch) < 0)
        return PH_STAGE_USER;
    /* After the change of user, which clears it. Then nobody must have died unnoticed. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launch->keeper)
        _exit(1);
    if (*launch->cwd && chdir(launch->cwd) < 0)
        return PH_STAGE_DIRECTORY;
    for (int i = 0; i < OWN_PIDS; i++) {
        if (launch->own_pids[i])
            write_pid(launch->own_pids[i], getpid());
    }
    reset_signals();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(launch->path, launch->argv, launch->envp);
    return PH_STAGE_EXEC;
}

IN_CHILD static int child_main(void *arg)
{
    struct launch *launch = arg;
    launch->stage = become(launch);
    launch->error = errno;
    _exit(127);
}

/* ---- In the keeper --------------------------------------------------------------------------- */

/* Splits NUL-terminated texts into `count` pointers and a NULL. */
static char **split(char **text, const char *end, uint32_t count)
{
    char **words = ph_alloc(((size_t)count + 1) * sizeof *words);
    for (uint32_t i = 0; i < count; i++) {
        if (*text >= end) {
            ph_free(words);
            return NULL;
        }
        words[i] = *text;
        *text += strlen(*text) + 1;
    }
    return words;
}

/* Where the monitor left room for the digits: WATCHDOG_PID=0000000000. */
static void find_own_pids(struct launch *launch)
{
    static const char *const keys[OWN_PIDS] = {"WATCHDOG_PID=", "LISTEN_PID="};
    for (char **text = launch->envp; *text; text++) {
        for (int i = 0; i < OWN_PIDS; i++) {
            size_t length = strlen(keys[i]);
            if (strncmp(*text, keys[i], length) == 0 &&
                strcmp(*text + length, PH_KEEPER_NO_PID) == 0)
                launch->own_pids[i] = *text + length;
        }
    }
}

static bool is_sound(const struct ph_keeper_spawn *spawn, size_t length)
{
    return (spawn->flags & ~(uint32_t)PH_KEEPER_FLAGS) == 0 && spawn->lease < PH_KEEPER_LEASES &&
           spawn->extra <= PH_KEEPER_EXTRA_FDS && spawn->groups <= PH_KEEPER_GROUPS_MAX &&
           spawn->bytes > 0 && spawn->bytes <= PH_KEEPER_PACKET_MAX && spawn->argc > 0 &&
           spawn->argc < spawn->bytes && spawn->envc < spawn->bytes &&
           length == sizeof *spawn + spawn->groups * sizeof(uint32_t) + spawn->bytes;
}

/* The packet ends in a NUL (take_packet), so no text runs over its end. */
static bool parse(struct launch *launch, char *packet, size_t length)
{
    if (length < sizeof launch->spawn)
        return false;
    memcpy(&launch->spawn, packet, sizeof launch->spawn);
    if (!is_sound(&launch->spawn, length))
        return false;
    launch->groups = (const uint32_t *)(const void *)(packet + sizeof launch->spawn);
    char *text = packet + sizeof launch->spawn + launch->spawn.groups * sizeof(uint32_t);
    const char *end = text + launch->spawn.bytes;
    char **head = split(&text, end, 2);
    if (!head)
        return false;
    launch->path = head[0];
    launch->cwd = head[1];
    ph_free(head);
    launch->argv = split(&text, end, launch->spawn.argc);
    launch->envp = launch->argv ? split(&text, end, launch->spawn.envc) : NULL;
    if (!launch->envp)
        return false;
    find_own_pids(launch);
    return true;
}

static bool assign_fds(struct launch *launch, const int *fds, size_t count)
{
    static const uint32_t flags[] = {PH_KEEPER_STDIN, PH_KEEPER_STDOUT, PH_KEEPER_STDERR};
    size_t used = 0;
    for (size_t i = 0; i < PH_COUNT_OF(flags); i++) {
        bool wanted = launch->spawn.flags & flags[i];
        if (wanted && used == count)
            return false;
        launch->fds[i] = wanted ? fds[used++] : -1;
    }
    launch->extra = fds + used;
    return count - used == launch->spawn.extra;
}

static void fail(struct ph_keeper *keeper, const struct launch *launch, enum ph_keeper_stage stage,
                 int error)
{
    ph_keeper_report(keeper, &(struct ph_keeper_report){.type = PH_KEEPER_SPAWN_FAILED,
                                                        .mark = launch->spawn.command.mark,
                                                        .stage = stage,
                                                        .value = error});
}

static void spawn(struct ph_keeper *keeper, struct launch *launch)
{
    if (ph_keeper_lease_is_over(keeper, launch->spawn.lease)) {
        fail(keeper, launch, PH_STAGE_LEASE, ETIME);
        return;
    }
    launch->keeper = keeper->self;
    pid_t pid = clone(child_main, keeper->stack + PH_KEEPER_STACK_BYTES,
                      CLONE_VM | CLONE_VFORK | SIGCHLD, launch);
    if (pid < 0) {
        fail(keeper, launch, PH_STAGE_CLONE, errno);
        return;
    }
    if (launch->stage != PH_STAGE_NONE) {
        siginfo_t ignored;
        waitid(P_PID, (id_t)pid, &ignored, WEXITED);
        fail(keeper, launch, launch->stage, launch->error);
        return;
    }
    keeper->salt = ph_keeper_mark_salt(launch->spawn.command.mark);
    ph_kept_add(keeper, launch->spawn.command.mark, pid)->lease = launch->spawn.lease;
    ph_keeper_report(keeper, &(struct ph_keeper_report){.type = PH_KEEPER_SPAWNED,
                                                        .mark = launch->spawn.command.mark,
                                                        .pid = pid});
}

void ph_keeper_spawn(struct ph_keeper *keeper, char *packet, size_t length, const int *fds,
                     size_t count)
{
    struct launch launch = {.stage = PH_STAGE_NONE};
    if (length >= sizeof launch.spawn.command)
        memcpy(&launch.spawn.command, packet, sizeof launch.spawn.command);
    uint64_t mark = launch.spawn.command.mark;
    uint32_t slot = ph_keeper_mark_slot(mark);
    bool free_slot = slot >= keeper->slot_count || !keeper->slots[slot];
    if (free_slot && parse(&launch, packet, length) && assign_fds(&launch, fds, count))
        spawn(keeper, &launch);
    else
        fail(keeper, &launch, PH_STAGE_PACKET, EPROTO);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    ph_free(launch.argv);
    ph_free(launch.envp);
}
