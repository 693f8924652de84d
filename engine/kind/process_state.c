/* The state of a process that does not speak on PROCHUB_SOCKET: a memfd that it stored under the
 * name "state". It is read when the process was saved, and made anew from a state to load. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/kind/monitor_inside.h"
#include "engine/kind/process.h"
#include "engine/waiter.h"

/* A piece in each millisecond: the rest of the loop comes between them. */
static void next_piece(struct ph_process *process)
{
    ph_alarm_set(&process->monitor->loop, &process->copying, ph_now_ms() + 1);
}

/* ---- Loading --------------------------------------------------------------------------------- */

static void cannot_load(struct ph_process *process, int rc)
{
    struct ph_exit failure;
    ph_exec_failure(&failure, -rc, "cannot make a memfd of its state: %s", strerror(-rc));
    ph_memcopy_end(&process->copy);
    ph_process_end(process, &failure);
}

static void loaded(struct ph_process *process)
{
    ph_fdstore_remove(&process->store, PH_FD_STATE);
    ph_fdstore_trim(&process->store, process->spec->fdstore - 1);
    /* There is room, so it is taken. */
    (void)ph_fdstore_put(&process->store, process->spec->fdstore, PH_FD_STATE, process->copy.fd,
                         true);
    process->copy.fd = -1;
    ph_memcopy_end(&process->copy);
    ph_process_run(process);
}

static void load_piece(struct ph_process *process)
{
    int rc = ph_memcopy_step(&process->copy);
    if (rc > 0)
        next_piece(process);
    else if (rc < 0)
        cannot_load(process, rc);
    else
        loaded(process);
}

bool ph_process_state_load(struct ph_process *process)
{
    if (!process->load.data || !process->spec->fdstore || process->spec->socket)
        return false;
    int rc = ph_memcopy_write(&process->copy, PH_FD_STATE, &process->load);
    process->stage = PH_PROCESS_LOADS;
    if (rc < 0)
        cannot_load(process, rc);
    else
        load_piece(process);
    return true;
}

/* ---- Saving ---------------------------------------------------------------------------------- */

static const char *why_not(int rc)
{
    if (rc == -EINVAL)
        return "it is no file in memory";
    return rc == -EFBIG ? "it is larger than 256 MiB" : strerror(-rc);
}

static void saved(struct ph_process *process)
{
    struct ph_text state = process->copy.text;
    process->copy.text = PH_TEXT_INIT;
    ph_memcopy_end(&process->copy);
    ph_process_fds_drop(process);
    ph_process_told_saved(process, &state);
}

static void lost(struct ph_process *process, int rc)
{
    ph_process_note(process, "state_lost", "the stored state cannot be read: %s", why_not(rc));
    ph_memcopy_end(&process->copy);
    ph_process_fds_drop(process);
    ph_process_told_down(process);
}

static void save_piece(struct ph_process *process)
{
    int rc = ph_memcopy_step(&process->copy);
    if (rc > 0)
        next_piece(process);
    else if (rc < 0)
        lost(process, rc);
    else
        saved(process);
}

bool ph_process_state_can_save(struct ph_process *process, char *why, size_t size)
{
    uint64_t bytes = 0;
    int fd = ph_fdstore_find(&process->store, PH_FD_STATE);
    if (fd < 0)
        return true;
    int rc = !ph_memcopy_size(fd, &bytes) ? -EINVAL : bytes > PH_STATE_BYTES_MAX ? -EFBIG : 0;
    snprintf(why, size, "the descriptor stored as 'state' cannot be read: %s", why_not(rc));
    return rc == 0;
}

bool ph_process_state_save(struct ph_process *process)
{
    int fd = ph_fdstore_find(&process->store, PH_FD_STATE);
    if (fd < 0)
        return false;
    process->stage = PH_PROCESS_SAVES;
    int rc = ph_memcopy_read_from(&process->copy, fd, PH_STATE_BYTES_MAX);
    if (rc < 0)
        lost(process, rc);
    else
        save_piece(process);
    return true;
}

void ph_process_state_piece(struct ph_alarm *alarm)
{
    struct ph_process *process = ph_container_of(alarm, struct ph_process, copying);
    if (process->stage == PH_PROCESS_LOADS)
        load_piece(process);
    else
        save_piece(process);
}
