#include "engine/kind/monitor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/kind/monitor_inside.h"
#include "engine/kind/process.h"
#include "engine/legacy.h"

enum {
    COMMANDS_PER_TURN = 1024,
    BUSY_MS = 1, /* a producer is between the two steps of its push */
};

enum command_type {
    COMMAND_LOAD,
    COMMAND_START,
    COMMAND_SAVE,
    COMMAND_UNLOAD,
    COMMAND_ACTIVATE,
    COMMAND_MERGE,
    COMMAND_MAIL,
    COMMAND_STOP,
    COMMAND_KILL,
    COMMAND_SIGNAL,
    COMMAND_DESTROY,
    COMMAND_RUN,
    COMMAND_LEASE,
    COMMAND_QUIT,
    COMMANDS,
};

struct command {
    struct ph_queue_node link;
    enum command_type type;
    struct ph_process *process;
    struct ph_run *run;
    struct ph_spec *spec;
    char *id;
    uint32_t instance;
    uint64_t epoch;
    bool passive;
    int signal_number;
    uint32_t lease;
    uint64_t until_ms;
    struct ph_text state;
    struct ph_legacy *legacy;
};

/* ---- Commands, on the monitor's thread ------------------------------------------------------- */

static void do_load(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_load(command->process, &command->state);
}

static void do_save(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_save(command->process);
}

static void do_unload(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_unload(command->process);
}

static void do_activate(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_activate(command->process, &command->state, command->epoch);
}

static void do_merge(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_merge(command->process, command->legacy);
}

static void do_mail(struct ph_monitor *monitor, struct command *command)
{
    struct ph_process *process = command->process;
    (void)monitor;
    /* Before the look into the mailbox: who puts something in later posts again. Acquire: pairs
     * with the release of who did not, because this one was on its way. */
    atomic_exchange_explicit(&process->mail_posted, false, memory_order_acq_rel);
    ph_talk_pump(&process->talk);
}

static void do_start(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_start(command->process, command->id, command->spec, command->instance,
                     command->epoch, command->passive);
}

static void do_stop(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_stop(command->process);
}

static void do_kill(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_kill(command->process);
}

static void do_signal(struct ph_monitor *monitor, struct command *command)
{
    ph_ward_signal(&monitor->keeper, &command->process->ward, command->signal_number);
}

static void do_destroy(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_process_free(command->process);
}

static void do_run(struct ph_monitor *monitor, struct command *command)
{
    (void)monitor;
    ph_run_start(command->run);
}

static void do_lease(struct ph_monitor *monitor, struct command *command)
{
    ph_keeper_client_lease(&monitor->keeper, command->lease, command->until_ms);
}

static void do_quit(struct ph_monitor *monitor, struct command *command)
{
    (void)command;
    monitor->stop = true;
}

static void (*const command_table[COMMANDS])(struct ph_monitor *, struct command *) = {
    [COMMAND_ACTIVATE] = do_activate, [COMMAND_MERGE] = do_merge,   [COMMAND_MAIL] = do_mail,
    [COMMAND_LOAD] = do_load,         [COMMAND_SAVE] = do_save,     [COMMAND_START] = do_start,
    [COMMAND_STOP] = do_stop,         [COMMAND_KILL] = do_kill,     [COMMAND_SIGNAL] = do_signal,
    [COMMAND_DESTROY] = do_destroy,   [COMMAND_RUN] = do_run,       [COMMAND_LEASE] = do_lease,
    [COMMAND_QUIT] = do_quit,         [COMMAND_UNLOAD] = do_unload,
};

/* Returns how long the loop may wait for something else. */
static int take_commands(struct ph_monitor *monitor)
{
    struct ph_queue_node *node;
    for (int i = 0; i < COMMANDS_PER_TURN; i++) {
        enum ph_queue_result result = ph_queue_pop(&monitor->commands, &node);
        if (result == PH_QUEUE_BUSY)
            return BUSY_MS;
        if (result == PH_QUEUE_EMPTY)
            return -1;
        struct command *command = ph_container_of(node, struct command, link);
        command_table[command->type](monitor, command);
        ph_free(command);
    }
    return 0;
}

static void wake_ready(struct ph_source *source, uint32_t events)
{
    (void)events;
    uint64_t count;
    ssize_t got = read(source->fd, &count, sizeof count);
    (void)got; /* the commands are looked at in any case */
}

static void *monitor_main(void *arg)
{
    struct ph_monitor *monitor = arg;
    int wait_ms = 0;
    while (!monitor->stop) {
        ph_loop_turn(&monitor->loop, wait_ms);
        wait_ms = take_commands(monitor);
        ph_keeper_client_pump(&monitor->keeper);
        ph_run_free_finished(monitor);
    }
    ph_keeper_client_fini(&monitor->keeper);
    while (take_commands(monitor) >= 0) {
        /* What came with the last one, and what the owners said to the ends above. */
    }
    ph_run_free_finished(monitor);
    ph_thread_leave(); /* the callbacks may have read */
    return NULL;
}

/* ---- Commands, from any thread --------------------------------------------------------------- */

static struct command *new_command(enum command_type type, struct ph_process *process)
{
    struct command *command = ph_alloc(sizeof *command);
    command->type = type;
    command->process = process;
    return command;
}

static void post(struct ph_monitor *monitor, struct command *command)
{
    uint64_t one = 1;
    if (!ph_queue_push(&monitor->commands, &command->link))
        return;
    ssize_t written = write(monitor->wake_fd, &one, sizeof one);
    (void)written; /* full means that it is awake */
}

static struct command *new_start(struct ph_process *process, const char *id, struct ph_spec *spec,
                                 uint32_t instance, uint64_t epoch)
{
    struct command *command = new_command(COMMAND_START, process);
    command->id = ph_copy_text(id, strlen(id));
    command->spec = ph_spec_get(spec);
    command->instance = instance;
    command->epoch = epoch;
    return command;
}

void ph_process_start_any(struct ph_process *process, const char *id, struct ph_spec *spec,
                          uint32_t instance, uint64_t epoch)
{
    post(process->monitor, new_start(process, id, spec, instance, epoch));
}

void ph_process_prepare_any(struct ph_process *process, const char *id, struct ph_spec *spec,
                            uint32_t instance, uint64_t epoch)
{
    struct command *command = new_start(process, id, spec, instance, epoch);
    command->passive = true;
    post(process->monitor, command);
}

void ph_process_activate_any(struct ph_process *process, struct ph_text *state, uint64_t epoch)
{
    struct command *command = new_command(COMMAND_ACTIVATE, process);
    command->state = *state;
    command->epoch = epoch;
    *state = PH_TEXT_INIT;
    post(process->monitor, command);
}

int ph_process_deliver_any(struct ph_process *process, struct ph_message_box *box)
{
    int rc = ph_mailbox_put(&process->mail, box);
    /* Release: pairs with the acquire in do_mail, which then finds the box. */
    if (rc == 0 && !atomic_exchange_explicit(&process->mail_posted, true, memory_order_acq_rel))
        post(process->monitor, new_command(COMMAND_MAIL, process));
    return rc;
}

void ph_process_merge_any(struct ph_process *process, struct ph_legacy *legacy)
{
    struct command *command = new_command(COMMAND_MERGE, process);
    command->legacy = ph_legacy_get(legacy);
    post(process->monitor, command);
}

uint64_t ph_process_handled_any(const struct ph_process *process)
{
    return atomic_load_explicit(&process->handled, memory_order_relaxed);
}

uint32_t ph_process_queue_any(const struct ph_process *process)
{
    return ph_mailbox_count(&process->mail);
}

void ph_process_load_any(struct ph_process *process, struct ph_text *state)
{
    struct command *command = new_command(COMMAND_LOAD, process);
    command->state = *state;
    *state = PH_TEXT_INIT;
    post(process->monitor, command);
}

void ph_process_save_any(struct ph_process *process)
{
    post(process->monitor, new_command(COMMAND_SAVE, process));
}

void ph_process_unload_any(struct ph_process *process)
{
    post(process->monitor, new_command(COMMAND_UNLOAD, process));
}

void ph_process_stop_any(struct ph_process *process)
{
    post(process->monitor, new_command(COMMAND_STOP, process));
}

void ph_process_kill_any(struct ph_process *process)
{
    post(process->monitor, new_command(COMMAND_KILL, process));
}

void ph_process_signal_any(struct ph_process *process, int signal_number)
{
    struct command *command = new_command(COMMAND_SIGNAL, process);
    command->signal_number = signal_number;
    post(process->monitor, command);
}

void ph_process_destroy_any(struct ph_process *process)
{
    if (process)
        post(process->monitor, new_command(COMMAND_DESTROY, process));
}

void ph_monitor_run_any(struct ph_monitor *monitor, const struct ph_run_request *request)
{
    struct command *command = new_command(COMMAND_RUN, NULL);
    command->run = ph_run_create(monitor, request);
    post(monitor, command);
}

void ph_monitor_lease_any(struct ph_monitor *monitor, uint32_t lease, uint64_t until_ms)
{
    struct command *command = new_command(COMMAND_LEASE, NULL);
    command->lease = lease;
    command->until_ms = until_ms;
    post(monitor, command);
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* All signals stay with the host program's threads; a write to a broken pipe is an error code here.
 */
static int start_thread(struct ph_monitor *monitor)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&monitor->thread, NULL, monitor_main, monitor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(monitor->thread, "ph-monitor");
    return -rc;
}

static int open_loop(struct ph_monitor *monitor)
{
    int rc = ph_loop_init(&monitor->loop);
    if (rc < 0)
        return rc;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = fd < 0 ? -errno : 0;
    if (rc == 0)
        rc = ph_loop_add(&monitor->loop, &monitor->wake, fd, EPOLLIN);
    if (rc < 0)
        ph_loop_fini(&monitor->loop);
    return rc;
}

static void close_loop(struct ph_monitor *monitor)
{
    ph_loop_remove(&monitor->loop, &monitor->wake);
    ph_loop_fini(&monitor->loop);
}

int ph_monitor_create(const char *keeper_path, bool sole_parent, struct ph_monitor **result,
                      struct ph_error *error)
{
    if (keeper_path && strlen(keeper_path) >= PH_KEEPER_PATH_BYTES)
        return ph_error_set(error, -ENAMETOOLONG, "path of prochub-keeper: too long");
    struct ph_monitor *monitor = ph_alloc(sizeof *monitor);
    monitor->wake = (struct ph_source){.fd = -1, .ready = wake_ready};
    ph_queue_init(&monitor->commands);
    int rc = open_loop(monitor);
    if (rc < 0)
        goto err_free;
    monitor->wake_fd = monitor->wake.fd;
    monitor->buffer = ph_alloc(PH_MONITOR_READ_BYTES);
    ph_environ_init(&monitor->environ);
    ph_keeper_client_init(&monitor->keeper, &monitor->loop, keeper_path, sole_parent);
    rc = start_thread(monitor);
    if (rc < 0)
        goto err_fini;
    *result = monitor;
    return 0;

err_fini:
    ph_keeper_client_fini(&monitor->keeper);
    ph_environ_fini(&monitor->environ);
    ph_free(monitor->buffer);
    close_loop(monitor);
err_free:
    ph_free(monitor);
    return ph_error_set(error, rc, "cannot start the monitor of OS processes: %s", strerror(-rc));
}

void ph_monitor_destroy(struct ph_monitor *monitor)
{
    if (!monitor)
        return;
    post(monitor, new_command(COMMAND_QUIT, NULL));
    pthread_join(monitor->thread, NULL);
    ph_environ_fini(&monitor->environ);
    ph_free(monitor->buffer);
    close_loop(monitor);
    ph_free(monitor);
}

static uint64_t figure(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void ph_monitor_stats_any(const struct ph_monitor *monitor, struct ph_monitor_stats *stats)
{
    const struct ph_keeper_client *keeper = &monitor->keeper;
    *stats = (struct ph_monitor_stats){
        .spawned = figure(&keeper->spawned),
        .reaped = figure(&keeper->reaped),
        .alive = figure(&keeper->alive),
        .keeper_starts = figure(&keeper->starts),
        .strays_killed = figure(&keeper->strays_killed),
        .notify_invalid = figure(&monitor->notify_invalid),
        .log_bytes = figure(&monitor->log_bytes),
    };
}
