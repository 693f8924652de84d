/* What a process is handed besides its output: its listening socket and what it stored. Both are
 * the node's, and stay over its restarts. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/kind/process.h"

/* ---- From the program ------------------------------------------------------------------------ */

static void store_fds(struct ph_process *process, const struct ph_notify *notify,
                      struct ph_notify_sender *sender)
{
    const char *name = *notify->fd_name ? notify->fd_name : "stored";
    const char *refused = NULL;
    size_t count = 0;
    for (size_t i = 0; i < sender->fd_count; i++) {
        const char *why = ph_fdstore_put(&process->store, process->spec->fdstore, name,
                                         sender->fds[i], !notify->unwatched);
        refused = why ? why : refused;
        count += why != NULL;
    }
    sender->fd_count = 0;
    if (refused)
        ph_process_note(process, "fd_refused", "%zu descriptor%s '%.100s' refused: %s", count,
                        count == 1 ? "" : "s", name, refused);
}

void ph_process_fds_take(struct ph_process *process, const struct ph_notify *notify,
                         struct ph_notify_sender *sender)
{
    if (notify->remove)
        ph_fdstore_remove(&process->store, notify->fd_name);
    if (notify->store)
        store_fds(process, notify, sender);
}

/* ---- To the program -------------------------------------------------------------------------- */

static int add_copy(struct ph_process *process, struct ph_packet *packet, const char *name, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    ph_packet_add_extra(packet, copy);
    ph_text_printf(&process->fd_names, "%s%s", process->fd_count++ ? ":" : "", name);
    return 0;
}

static int add_all(struct ph_process *process, struct ph_packet *packet)
{
    const struct ph_fdstore *store = &process->store;
    int rc =
        process->listener.fd >= 0 ? add_copy(process, packet, "listen", process->listener.fd) : 0;
    for (size_t i = 0; rc == 0 && i < store->count; i++)
        rc = add_copy(process, packet, store->stored[i].name, store->stored[i].fd);
    return rc;
}

int ph_process_listen(struct ph_process *process, struct ph_exit *failure)
{
    char where[PH_ENDPOINT_MAX + 1];
    if (!process->spec->listen || process->listener.bound)
        return 0;
    int rc = ph_listen_bind(&process->listener);
    if (rc < 0)
        return ph_exec_failure(failure, -rc, "cannot listen on '%.100s': %s", process->spec->listen,
                               strerror(-rc));
    ph_listen_describe(&process->listener, where);
    ph_process_note(process, "listening", "%s", where);
    return 0;
}

static int make_listener(struct ph_process *process, struct ph_exit *failure)
{
    const char *endpoint = process->spec->listen;
    if (!endpoint) {
        ph_listen_close(&process->listener);
        return 0;
    }
    int rc = ph_listen_make(&process->listener, endpoint);
    if (rc < 0)
        return ph_exec_failure(failure, -rc, "cannot make a socket for '%.100s': %s", endpoint,
                               strerror(-rc));
    return process->passive ? 0 : ph_process_listen(process, failure);
}

int ph_process_fds_open(struct ph_process *process, struct ph_packet *packet,
                        struct ph_exit *failure)
{
    ph_text_clear(&process->fd_names);
    process->fd_count = 0;
    ph_fdstore_trim(&process->store, process->spec->fdstore);
    int rc = make_listener(process, failure);
    if (rc < 0)
        return rc;
    rc = add_all(process, packet);
    if (rc < 0)
        return ph_exec_failure(failure, -rc, "cannot hand descriptors to '%.100s': %s",
                               process->spec->argv[0], strerror(-rc));
    return 0;
}

void ph_process_fds_drop(struct ph_process *process)
{
    ph_listen_close(&process->listener);
    ph_fdstore_clear(&process->store);
}
