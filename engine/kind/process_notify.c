#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/base.h"
#include "engine/kind/monitor_inside.h"
#include "engine/kind/process.h"
#include "engine/kind/proctree.h"

enum { DATAGRAMS_PER_TURN = 16 };

/* From the process itself, or from another one of its tree. A sender that has ended already (a
 * shell script's systemd-notify) is known by its user only. */
static bool is_of_tree(const struct ph_process *process, const struct ph_notify_sender *sender)
{
    if (sender->pid <= 0)
        return false;
    if (sender->pid == process->ward.pid)
        return true;
    uint64_t mark = ph_proctree_mark(sender->pid, ph_keeper_mark_salt(process->ward.mark));
    if (mark)
        return mark == process->ward.mark;
    return kill(sender->pid, 0) < 0 && errno == ESRCH &&
           (sender->uid == process->uid || sender->uid == 0);
}

static void refuse(struct ph_process *process, const struct ph_notify_sender *sender,
                   const char *why)
{
    atomic_fetch_add_explicit(&process->monitor->notify_invalid, 1, memory_order_relaxed);
    ph_process_note(process, "notify_invalid", "datagram from pid %d ignored: %s", (int)sender->pid,
                    why);
}

void ph_process_watchdog_ring(struct ph_alarm *alarm)
{
    struct ph_process *process = ph_container_of(alarm, struct ph_process, watchdog);
    ph_process_fail(process, PH_EXIT_FAILED, "watchdog: no WATCHDOG=1 for %llu ms",
                    (unsigned long long)process->watchdog_ms);
}

void ph_process_watchdog_arm(struct ph_process *process)
{
    if (process->watchdog_ms && process->up && !*process->failed)
        ph_alarm_set(&process->monitor->loop, &process->watchdog,
                     ph_now_ms() + process->watchdog_ms);
}

static void take_status(struct ph_process *process, const char *status)
{
    pthread_mutex_lock(&process->lock);
    memcpy(process->status, status, sizeof process->status);
    pthread_mutex_unlock(&process->lock);
}

static void take_watchdog(struct ph_process *process, const struct ph_notify *notify)
{
    if (notify->has_watchdog_usec) {
        process->watchdog_ms = notify->watchdog_usec < 1000 ? 1 : notify->watchdog_usec / 1000;
        ph_process_watchdog_arm(process);
    }
    if (notify->watchdog)
        ph_process_watchdog_arm(process);
    if (notify->trigger && process->watchdog_ms)
        ph_process_fail(process, PH_EXIT_FAILED,
                        "watchdog: the program asked for it (WATCHDOG=trigger)");
}

static void take_datagram(struct ph_process *process, const struct ph_notify *notify,
                          struct ph_notify_sender *sender)
{
    ph_process_fds_take(process, notify, sender);
    if (notify->has_status)
        take_status(process, notify->status);
    process->said_ready |= notify->ready;
    if (process->said_ready)
        ph_process_check_ready(process);
    if (notify->stopping)
        ph_process_note(process, "notify_stopping", "the program says that it is stopping");
    if (notify->has_main_pid)
        ph_process_note(process, "notify_ignored",
                        "MAINPID= ignored: the main process stays the "
                        "one that was started");
    take_watchdog(process, notify);
}

static bool receive(struct ph_process *process)
{
    char bytes[PH_NOTIFY_BYTES];
    struct ph_notify_sender sender;
    struct ph_notify notify;
    ssize_t got = ph_notify_receive(process->notify.fd, bytes, &sender);
    if (got < 0)
        return got == -EINTR;
    const char *why = is_of_tree(process, &sender) ? ph_notify_parse(bytes, (size_t)got, &notify)
                                                   : "it is not of this child";
    if (why)
        refuse(process, &sender, why);
    else
        take_datagram(process, &notify, &sender);
    ph_notify_close_fds(&sender);
    return true;
}

void ph_process_notify_drain(struct ph_process *process, int limit)
{
    for (int i = 0; i < limit && process->notify.fd >= 0; i++) {
        if (!receive(process))
            return;
    }
}

static void notify_ready(struct ph_source *source, uint32_t events)
{
    (void)events;
    ph_process_notify_drain(ph_container_of(source, struct ph_process, notify), DATAGRAMS_PER_TURN);
}

int ph_process_notify_open(struct ph_process *process)
{
    if (!process->spec->ready_notify && !process->spec->watchdog_ms && !process->spec->fdstore)
        return 0;
    int fd = ph_notify_open(process->ward.mark, process->notify_address);
    if (fd < 0)
        return fd;
    process->notify.ready = notify_ready;
    return ph_loop_add(&process->monitor->loop, &process->notify, fd, EPOLLIN);
}
