#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/kind/keeper_client.h"
#include "engine/kind/proctree.h"
#include "engine/waiter.h"

enum { DEADLINE_MS = 5000 };

/* Only what came from the keeper, unless every child is: the host program may have children of its
 * own, which are not touched. */
static bool is_ours(pid_t pid, const struct ph_leftovers *leftovers)
{
    if (leftovers->all || ph_proctree_mark(pid, leftovers->salt))
        return true;
    pid_t session = getsid(pid);
    for (size_t i = 0; i < leftovers->session_count; i++) {
        if (leftovers->sessions[i] == session)
            return true;
    }
    return false;
}

static bool reap(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == pid;
}

/* One look at our children: kills and reaps, and returns how many of them still live. */
static size_t round_of_kills(const struct ph_leftovers *leftovers, size_t *killed)
{
    struct ph_pids children = {0};
    size_t left = 0;
    ph_proctree_children(getpid(), &children);
    for (size_t i = 0; i < children.count; i++) {
        pid_t pid = children.pid[i];
        if (!is_ours(pid, leftovers))
            continue;
        left++; /* also a reaped one: its children have become ours */
        if (reap(pid))
            continue;
        if (kill(pid, SIGKILL) == 0)
            (*killed)++;
    }
    ph_pids_fini(&children);
    return left;
}

size_t ph_leftovers_kill(const struct ph_leftovers *leftovers)
{
    uint64_t deadline_ms = ph_now_ms() + DEADLINE_MS;
    size_t killed = 0;
    while (round_of_kills(leftovers, &killed) && ph_now_ms() < deadline_ms)
        poll(NULL, 0, 1);
    return killed;
}
