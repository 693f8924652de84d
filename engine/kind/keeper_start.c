#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/kind/keeper_client.h"

enum { LAST_WAIT_MS = 5000 };

static int open_pid(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int set_actions(posix_spawn_file_actions_t *actions, int fd)
{
    for (int i = 0; i <= 2; i++) {
        int error = posix_spawn_file_actions_addopen(actions, i, "/dev/null", O_RDWR, 0);
        if (error)
            return error;
    }
    return posix_spawn_file_actions_adddup2(actions, fd, PH_KEEPER_FD);
}

/* All signals blocked: the keeper takes them from there. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, standard;
    sigfillset(&all);
    sigfillset(&standard);
    sigdelset(&standard, SIGKILL);
    sigdelset(&standard, SIGSTOP);
    posix_spawnattr_setsigmask(attributes, &all);
    posix_spawnattr_setsigdefault(attributes, &standard);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSID);
}

typedef int (*spawn_fn)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                        const posix_spawnattr_t *, char *const[], char *const[]);

static int spawn_keeper(spawn_fn spawn, const char *path, int fd, pid_t *pid)
{
    char name[] = "prochub-keeper", node[16];
    snprintf(node, sizeof node, "%d", (int)getpid());
    char *argv[] = {name, node, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int error = set_actions(&actions, fd);
    if (!error)
        error = set_attributes(&attributes);
    if (!error)
        error = spawn(pid, path, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* The path beside the running program; "" when that cannot be told. */
static void path_beside_us(char *path, size_t size)
{
    static const char name[] = "prochub-keeper";
    ssize_t length = readlink("/proc/self/exe", path, size - sizeof name);
    if (length < 0)
        length = 0;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        memcpy(slash + 1, name, sizeof name);
    else
        *path = '\0';
}

static int spawn_any(struct ph_keeper_client *client, int fd, pid_t *pid)
{
    if (*client->path) {
        memcpy(client->started, client->path, sizeof client->started);
        return spawn_keeper(posix_spawn, client->started, fd, pid);
    }
    path_beside_us(client->started, sizeof client->started);
    int error = *client->started ? spawn_keeper(posix_spawn, client->started, fd, pid) : ENOENT;
    if (error != ENOENT)
        return error;
    return spawn_keeper(posix_spawnp, "prochub-keeper", fd, pid);
}

/* A thousand processes take some thousand descriptors here, and the usual soft limit is 1,024. The
 * programs get that limit back (keeper_spawn.c). */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int ph_keeper_launch(struct ph_keeper_client *client, int *fd, struct ph_exit *failure)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return ph_exec_failure(failure, errno, "cannot start prochub-keeper: no socket pair: %s",
                               strerror(errno));
    raise_fd_limit();
    /* What the keeper leaves behind when it dies shall come to us, not to init. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int error = spawn_any(client, pair[1], &client->pid);
    close(pair[1]);
    if (error) {
        close(pair[0]);
        return ph_exec_failure(failure, error, "cannot start prochub-keeper: tried '%.120s'%s: %s",
                               client->started, *client->path ? "" : " and PATH", strerror(error));
    }
    client->pidfd = open_pid(client->pid);
    int bytes = 2 * PH_KEEPER_PACKET_MAX;
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    *fd = pair[0];
    return 0;
}

static bool has_ended(const struct ph_keeper_client *client, int wait_ms)
{
    struct pollfd polled = {.fd = client->pidfd, .events = POLLIN};
    return poll(&polled, 1, wait_ms) > 0;
}

void ph_keeper_bury(struct ph_keeper_client *client, int grace_ms)
{
    if (client->pidfd >= 0) {
        if (!has_ended(client, grace_ms)) {
            syscall(SYS_pidfd_send_signal, client->pidfd, SIGKILL, NULL, 0);
            has_ended(client, LAST_WAIT_MS);
        }
        close(client->pidfd);
    }
    /* The host program may have reaped it with a wait of its own; then this finds nothing. */
    siginfo_t info;
    waitid(P_PID, (id_t)client->pid, &info, WEXITED | WNOHANG);
    client->pidfd = -1;
    client->pid = 0;
}
