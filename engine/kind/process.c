#include "engine/kind/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/kind/monitor_inside.h"
#include "engine/legacy.h"

enum { LAST_DATAGRAMS = 64 };

/* ---- What the owner is told ------------------------------------------------------------------ */

void ph_process_note(struct ph_process *process, const char *type, const char *format, ...)
{
    uint64_t now_ms = ph_now_ms();
    if (now_ms - process->notes_since_ms > PH_PROCESS_NOTES_MS) {
        process->notes_since_ms = now_ms;
        process->notes = 0;
    }
    if (process->notes == PH_PROCESS_NOTES_MAX) {
        process->notes_suppressed++;
        return;
    }
    char text[320];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (process->notes_suppressed && length > 0 && (size_t)length < sizeof text)
        snprintf(text + length, sizeof text - (size_t)length, " (and %u more notes before)",
                 process->notes_suppressed);
    process->notes++;
    process->notes_suppressed = 0;
    process->owner->note(process->arg, type, text);
}

void ph_process_tell_up(struct ph_process *process)
{
    if (process->up)
        return;
    process->up = true;
    /* Relaxed: shown to people, nothing hangs on it. */
    atomic_store_explicit(&process->ready, true, memory_order_relaxed);
    ph_process_watchdog_arm(process);
    process->owner->up(process->arg, process->instance);
    ph_talk_pump(&process->talk);
}

void ph_process_check_ready(struct ph_process *process)
{
    bool socket = process->spec->socket;
    if (process->ward.state != PH_WARD_RUNS)
        return;
    if (process->talk.state == PH_TALK_STANDS_BY && !process->stood_by) {
        process->stood_by = true;
        process->owner->stands_by(process->arg, process->instance);
    }
    if ((!process->spec->ready_notify || process->said_ready) && (!socket || process->works))
        ph_process_tell_up(process);
}

void ph_process_fail(struct ph_process *process, enum ph_exit_how how, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(process->failed, sizeof process->failed, format, args);
    va_end(args);
    process->failed_how = how;
    ph_ward_kill(&process->monitor->keeper, &process->ward);
}

/* ---- The keeper's calls ---------------------------------------------------------------------- */

static struct ph_process *of_ward(struct ph_ward *ward)
{
    return ph_container_of(ward, struct ph_process, ward);
}

static struct ph_program program_of(const struct ph_process *process)
{
    const struct ph_spec *spec = process->spec;
    return (struct ph_program){
        .argv = spec->argv,
        .argc = spec->argc,
        .cwd = spec->cwd,
        .user = spec->user,
        .env = spec->env,
        .env_count = spec->env_count,
        .base = &process->monitor->environ,
        .id = process->id,
        .epoch = process->epoch,
        .notify_address = process->notify.fd >= 0 ? process->notify_address : NULL,
        .watchdog_ms = spec->watchdog_ms,
        .lease = process->lease,
        .listen_fds = process->fd_count,
        .listen_names = ph_text_str(&process->fd_names),
        .socket = spec->socket,
    };
}

static int pack(struct ph_ward *ward, struct ph_packet *packet, struct ph_exit *failure)
{
    struct ph_process *process = of_ward(ward);
    int rc = ph_process_notify_open(process);
    if (rc < 0)
        return ph_exec_failure(failure, -rc, "cannot make a notify socket for '%.100s': %s",
                               process->spec->argv[0], strerror(-rc));
    rc = ph_process_output_open(process, packet, failure);
    if (rc < 0)
        return rc;
    rc = ph_process_fds_open(process, packet, failure);
    if (rc == 0)
        rc = ph_process_talk_open(process, packet, failure);
    if (rc < 0)
        return rc;
    struct ph_program program = program_of(process);
    rc = ph_packet_build(packet, &program, ward->mark, failure);
    process->uid = ph_packet_uid(packet);
    return rc;
}

static void spawned(struct ph_ward *ward)
{
    struct ph_process *process = of_ward(ward);
    atomic_store_explicit(&process->pid, ward->pid, memory_order_relaxed);
    ph_process_check_ready(process);
}

static void explain(struct ph_ward *ward, enum ph_keeper_stage stage, int error,
                    struct ph_exit *failure)
{
    struct ph_program program = program_of(of_ward(ward));
    ph_program_explain(&program, stage, error, failure);
}

/* One that could not begin gives back the state that it was to load. */
static void keep_load(struct ph_process *process)
{
    if (process->exit.how != PH_EXIT_EXEC)
        ph_text_fini(&process->load);
    else if (process->talk.load.data)
        ph_process_load(process, &process->talk.load);
}

/* The instance's resources go before its end is told, so that the next start finds none. */
static void release(struct ph_process *process)
{
    keep_load(process);
    ph_process_output_close(process);
    ph_process_talk_close(process);
    ph_loop_remove(&process->monitor->loop, &process->notify);
    ph_alarm_cancel(&process->watchdog);
    atomic_store_explicit(&process->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&process->ready, false, memory_order_relaxed);
    ph_spec_put(process->spec);
    ph_free(process->id);
    process->spec = NULL;
    process->id = NULL;
}

void ph_process_told_saved(struct ph_process *process, struct ph_text *state)
{
    process->stage = PH_PROCESS_IDLE;
    process->owner->saved(process->arg, process->instance, state);
}

void ph_process_told_down(struct ph_process *process)
{
    process->stage = PH_PROCESS_IDLE;
    struct ph_text unused = process->load;
    process->load = PH_TEXT_INIT;
    process->owner->down(process->arg, process->instance, &process->exit, &unused);
    ph_text_fini(&unused);
}

void ph_process_end(struct ph_process *process, const struct ph_exit *exit)
{
    process->exit = *exit;
    release(process);
    ph_process_told_down(process);
}

static void ended(struct ph_ward *ward, const struct ph_exit *exit)
{
    struct ph_process *process = of_ward(ward);
    bool saving = process->saving && !*process->failed && !process->monitor->keeper.closed;
    bool socket = process->spec->socket;
    struct ph_text state;
    process->exit = *exit;
    if (*process->failed) {
        process->exit = (struct ph_exit){.how = process->failed_how, .value = PH_EFAILED};
        memcpy(process->exit.text, process->failed, sizeof process->failed);
    }
    release(process);
    if (saving && socket && ph_process_talk_take_saved(process, &state)) {
        ph_process_fds_drop(process);
        ph_process_told_saved(process, &state);
    } else if (!saving || socket || !ph_process_state_save(process)) {
        ph_process_told_down(process);
    }
}

static void before_end(struct ph_ward *ward)
{
    struct ph_process *process = of_ward(ward);
    if (*process->failed)
        return;
    ph_process_notify_drain(process, LAST_DATAGRAMS);
    ph_talk_hear_out(&process->talk);
}

static const struct ph_ward_calls process_calls = {
    .pack = pack,
    .spawned = spawned,
    .explain = explain,
    .before_end = before_end,
    .ended = ended,
};

/* ---- Life ------------------------------------------------------------------------------------ */

void ph_process_start(struct ph_process *process, char *id, struct ph_spec *spec, uint32_t instance,
                      uint64_t epoch, bool passive)
{
    ph_assert(process->stage == PH_PROCESS_IDLE);
    process->id = id;
    process->spec = spec;
    process->instance = instance;
    process->epoch = epoch;
    process->said_ready = false;
    process->up = false;
    process->watchdog_ms = spec->watchdog_ms;
    process->failed[0] = '\0';
    process->saving = false;
    process->passive = passive;
    process->speaks = spec->socket;
    process->stood_by = process->works = false;
    atomic_store_explicit(&process->handled, 0, memory_order_relaxed);
    if (!spec->socket)
        ph_process_mail_clear(process, PH_EUNSUPPORTED, "the child takes no messages any more");
    pthread_mutex_lock(&process->lock);
    process->status[0] = '\0';
    pthread_mutex_unlock(&process->lock);
    if (!ph_process_state_load(process))
        ph_process_run(process);
}

void ph_process_run(struct ph_process *process)
{
    process->stage = PH_PROCESS_RUNS;
    if (!process->spec->socket)
        ph_text_fini(&process->load); /* used up, or there is no use for it */
    ph_ward_start(&process->monitor->keeper, &process->ward);
}

void ph_process_load(struct ph_process *process, struct ph_text *state)
{
    ph_text_fini(&process->load);
    process->load = *state;
    *state = PH_TEXT_INIT;
}

/* Stopped while its state is written: it never runs. */
static void call_off(struct ph_process *process, int signal_number)
{
    const struct ph_exit exit = {
        .how = PH_EXIT_SIGNAL, .value = signal_number, .text = "stopped before it was started"};
    ph_alarm_cancel(&process->copying);
    ph_memcopy_end(&process->copy);
    ph_process_end(process, &exit);
}

void ph_process_stop(struct ph_process *process)
{
    process->saving = process->talk.wants_save = false;
    if (process->stage == PH_PROCESS_LOADS)
        call_off(process, process->spec->stop_signal);
    else if (process->stage == PH_PROCESS_RUNS)
        ph_ward_stop(&process->monitor->keeper, &process->ward, process->spec->stop_signal);
}

void ph_process_kill(struct ph_process *process)
{
    if (process->stage == PH_PROCESS_LOADS)
        call_off(process, SIGKILL);
    else if (process->stage == PH_PROCESS_RUNS)
        ph_ward_kill(&process->monitor->keeper, &process->ward);
}

void ph_process_save(struct ph_process *process)
{
    char why[200];
    bool runs = process->stage == PH_PROCESS_RUNS;
    if (runs && process->spec->socket && ph_talk_save(&process->talk)) {
        process->saving = true;
        return;
    }
    if (runs && !ph_process_state_can_save(process, why, sizeof why)) {
        process->owner->kept(process->arg, process->instance, why);
        return;
    }
    ph_process_stop(process);
    process->saving = process->stage == PH_PROCESS_RUNS;
}

void ph_process_unload(struct ph_process *process)
{
    ph_assert(process->stage == PH_PROCESS_IDLE);
    if (process->speaks || !ph_process_state_save(process))
        ph_process_told_down(process);
}

/* One that ends says so by its end. */
void ph_process_merge(struct ph_process *process, struct ph_legacy *legacy)
{
    if (process->stage != PH_PROCESS_RUNS || !process->works || process->legacy) {
        ph_legacy_put(legacy);
        return;
    }
    process->legacy = legacy;
    ph_talk_merge(&process->talk, legacy->state, legacy->length);
}

void ph_process_activate(struct ph_process *process, struct ph_text *state, uint64_t epoch)
{
    struct ph_exit failure;
    if (state->length)
        ph_process_load(process, state);
    ph_text_fini(state);
    if (process->talk.state != PH_TALK_STANDS_BY)
        return; /* it ends */
    process->passive = false;
    if (ph_process_listen(process, &failure) < 0)
        ph_process_fail(process, failure.how, "%s", failure.text);
    else
        ph_talk_work(&process->talk, &process->load, epoch);
}

struct ph_process *ph_process_create(struct ph_monitor *monitor,
                                     const struct ph_process_owner *owner, void *arg,
                                     uint32_t lease)
{
    struct ph_process *process = ph_alloc(sizeof *process);
    process->monitor = monitor;
    process->owner = owner;
    process->arg = arg;
    process->lease = lease;
    process->ward.calls = &process_calls;
    process->notify.fd = -1;
    process->log_fd = -1;
    process->listener.fd = -1;
    process->copy.fd = -1;
    process->copying.ring = ph_process_state_piece;
    for (size_t i = 0; i < PH_LOG_STREAMS; i++)
        process->outputs[i].source.fd = -1;
    process->watchdog.ring = ph_process_watchdog_ring;
    ph_talk_init(&process->talk, &monitor->loop, &ph_process_talk_calls);
    ph_mailbox_init(&process->mail);
    pthread_mutex_init(&process->lock, NULL);
    ph_waitlist_init(&process->log_waiters);
    atomic_init(&process->refs, 1);
    return process;
}

void ph_process_hold_rcu(struct ph_process *process)
{
    /* Relaxed: the owner's reference, which only goes after a grace period, keeps it alive. */
    atomic_fetch_add_explicit(&process->refs, 1, memory_order_relaxed);
}

void ph_process_release_any(struct ph_process *process)
{
    /* acq_rel: what the others did with it happens before the last one frees it. */
    if (atomic_fetch_sub_explicit(&process->refs, 1, memory_order_acq_rel) != 1)
        return;
    ph_logring_fini(&process->ring);
    ph_waitlist_fini(&process->log_waiters);
    pthread_mutex_destroy(&process->lock);
    ph_free(process);
}

void ph_process_free(struct ph_process *process)
{
    ph_assert(process->ward.state == PH_WARD_IDLE);
    ph_alarm_cancel(&process->copying);
    ph_memcopy_end(&process->copy);
    ph_process_fds_drop(process);
    ph_process_mail_clear(process, PH_EGONE, "the child was stopped before it read the message");
    ph_text_fini(&process->talk.saved);
    ph_text_fini(&process->load);
    ph_text_fini(&process->fd_names);
    ph_waitlist_wake(&process->log_waiters); /* its child is gone: who follows it can leave */
    ph_process_release_any(process);
}

/* ---- What is known --------------------------------------------------------------------------- */

/* The first line of a file of /proc/PID; "" when it is gone. */
static void read_proc(int pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t got = read(fd, text, size - 1);
    text[got > 0 ? got : 0] = '\0';
    close(fd);
}

static uint64_t cpu_ms(int pid)
{
    char text[512];
    unsigned long user = 0, system = 0;
    read_proc(pid, "stat", text, sizeof text);
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    /* Fields 3 to 13 are skipped; then come utime and stime in clock ticks. */
    if (!name_end || sscanf(name_end + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu",
                            &user, &system) != 2)
        return 0;
    return (uint64_t)(user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t rss_bytes(int pid)
{
    char text[128];
    unsigned long resident = 0;
    read_proc(pid, "statm", text, sizeof text);
    if (sscanf(text, "%*s %lu", &resident) != 1)
        return 0;
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t ph_process_pid_any(const struct ph_process *process_const)
{
    struct ph_process *process = (struct ph_process *)(uintptr_t)process_const;
    return (uint64_t)atomic_load_explicit(&process->pid, memory_order_relaxed);
}

void ph_process_inspect_any(const struct ph_process *process, struct ph_process_info *info)
{
    struct ph_process *locked = (struct ph_process *)(uintptr_t)process; /* for the mutex */
    _Static_assert(sizeof process->status <= sizeof info->status, "a status fits its copy");
    *info = (struct ph_process_info){
        .pid = atomic_load_explicit(&process->pid, memory_order_relaxed),
        .ready = atomic_load_explicit(&process->ready, memory_order_relaxed),
    };
    pthread_mutex_lock(&locked->lock);
    info->log_seq = ph_logring_last(&process->ring);
    info->log_dropped = ph_logring_dropped(&process->ring);
    memcpy(info->status, process->status, sizeof process->status);
    pthread_mutex_unlock(&locked->lock);
    if (info->pid == 0)
        return;
    info->cpu_ms = cpu_ms(info->pid);
    info->rss_bytes = rss_bytes(info->pid);
}
