#include "ipc/link_guard.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "engine/alloc.h"
#include "ipc/mesh.h"

void ph_link_guard_init(struct ph_link_guard *guard, uint16_t port)
{
    struct rlimit files;
    *guard = (struct ph_link_guard){.port = port, .most = 2 * PH_MESH_PEERS_MAX};
    /* At the limit of descriptors libzmq's accept spins: half of them are left to all else. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 2 < guard->most)
        guard->most = files.rlim_cur / 2;
}

void ph_link_guard_fini(struct ph_link_guard *guard)
{
    ph_free(guard->connections);
}

/* Is it a TCP socket at our port? Then nobody but a caller of ours is hurt by the end of it. */
static bool is_ours(const struct ph_link_guard *guard, int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return false;
    if (address.ss_family == AF_INET)
        return ((struct sockaddr_in *)&address)->sin_port == guard->port;
    return address.ss_family == AF_INET6 &&
           ((struct sockaddr_in6 *)&address)->sin6_port == guard->port;
}

static void cut(struct ph_link_guard *guard, int fd)
{
    if (is_ours(guard, fd) && shutdown(fd, SHUT_RDWR) == 0)
        guard->cut++;
}

/* The last of a descriptor is the live one: older ones were closed before it came. */
static struct ph_guarded *find(struct ph_link_guard *guard, int fd)
{
    for (size_t i = guard->count; i-- > 0;)
        if (guard->connections[i].fd == fd)
            return &guard->connections[i];
    return NULL;
}

void ph_link_guard_accepted(struct ph_link_guard *guard, int fd)
{
    ph_link_guard_closed(guard, fd); /* what was there before is gone */
    if (guard->count >= guard->most) {
        cut(guard, fd);
        return;
    }
    if (guard->count == guard->room) {
        guard->room = guard->room ? 2 * guard->room : 16;
        guard->connections =
            ph_realloc(guard->connections, guard->room * sizeof *guard->connections);
    }
    guard->connections[guard->count++] = (struct ph_guarded){.fd = fd};
}

void ph_link_guard_closed(struct ph_link_guard *guard, int fd)
{
    struct ph_guarded *connection = find(guard, fd);
    if (connection)
        *connection = guard->connections[--guard->count];
}

void ph_link_guard_brought(struct ph_link_guard *guard, int fd)
{
    struct ph_guarded *connection = find(guard, fd);
    if (connection)
        connection->brought = true;
}

/* How many bytes the kernel took for a connection; 0: it cannot be told. */
static uint64_t taken_bytes(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

int ph_link_guard_look(struct ph_link_guard *guard, uint64_t now_ms)
{
    if (guard->count == 0)
        return -1;
    if (now_ms < guard->look_at)
        return (int)(guard->look_at - now_ms);
    bool alert = false;
    for (size_t i = 0; i < guard->count; i++) {
        struct ph_guarded *connection = &guard->connections[i];
        uint64_t taken = taken_bytes(connection->fd);
        if (connection->brought || taken < connection->base)
            connection->base = taken;
        connection->brought = false;
        alert |= taken - connection->base > PH_GUARD_SUSPECT_BYTES;
        if (taken - connection->base > PH_GUARD_BYTES)
            cut(guard, connection->fd);
    }
    int pause_ms = alert ? PH_GUARD_ALERT_MS : PH_GUARD_CALM_MS;
    guard->look_at = now_ms + (uint64_t)pause_ms;
    return pause_ms;
}
