/* What goes to the keeper: wards whose turn has come, and commands about those it has. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "engine/alloc.h"
#include "engine/kind/keeper_client.h"
#include "engine/waiter.h"

enum {
    HELLO_MS = 10000, /* a loaded machine starts programs slowly */
};

/* ---- Packets --------------------------------------------------------------------------------- */

static bool start_keeper(struct ph_keeper_client *client)
{
    struct ph_exit failure;
    int fd = -1;
    if (client->source.fd >= 0)
        return true;
    if (ph_keeper_launch(client, &fd, &failure) < 0) {
        ph_keeper_queue_end(client, &failure);
        return false;
    }
    int rc = ph_loop_add(client->loop, &client->source, fd, EPOLLIN);
    if (rc < 0) {
        ph_keeper_bury(client, 0);
        ph_exec_failure(&failure, -rc, "cannot watch prochub-keeper: %s", strerror(-rc));
        ph_keeper_queue_end(client, &failure);
        return false;
    }
    atomic_fetch_add_explicit(&client->starts, 1, memory_order_relaxed);
    ph_alarm_set(client->loop, &client->hello, ph_now_ms() + HELLO_MS);
    return true;
}

/* 0, or -errno; -EAGAIN: the socket is full, it will tell when there is room. */
static int send_packet(struct ph_keeper_client *client, const void *bytes, size_t length,
                       const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(PH_KEEPER_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    if (sendmsg(client->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return 0;
    if (errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS)
        return -errno;
    client->blocked = true;
    ph_loop_modify(client->loop, &client->source, EPOLLIN | EPOLLOUT);
    return -EAGAIN;
}

/* A keeper that has died is noticed by its end of file. */
static bool send_commands(struct ph_keeper_client *client)
{
    while (client->command_first < client->command_count) {
        if (send_packet(client, &client->commands[client->command_first], sizeof *client->commands,
                        NULL, 0) < 0)
            return false;
        client->command_first++;
    }
    client->command_first = client->command_count = 0;
    return true;
}

static bool send_leases(struct ph_keeper_client *client)
{
    for (uint32_t lease = 1; client->leases_due && lease < PH_KEEPER_LEASES; lease++) {
        const struct ph_keeper_command command = {
            .type = PH_KEEPER_LEASE, .lease = lease, .until_ms = client->leases[lease]};
        if (client->leases[lease] == client->leases_told[lease])
            continue;
        if (send_packet(client, &command, sizeof command, NULL, 0) < 0)
            return false;
        client->leases_told[lease] = client->leases[lease];
    }
    client->leases_due = false;
    return true;
}

static bool pack_next(struct ph_keeper_client *client)
{
    struct ph_ward *ward = client->first;
    struct ph_exit failure = {0};
    if (client->packed)
        return true;
    ph_packet_empty(&client->packet);
    client->packed = ward;
    if (ward->calls->pack(ward, &client->packet, &failure) == 0)
        return true;
    ph_ward_end(client, ward, &failure);
    return false;
}

static bool send_next(struct ph_keeper_client *client)
{
    const struct ph_packet *packet = &client->packet;
    struct ph_ward *ward = client->packed;
    struct ph_exit failure;
    int rc = send_packet(client, packet->bytes, packet->length, packet->fds, packet->fd_count);
    if (rc == -EMSGSIZE) {
        ph_exec_failure(&failure, EMSGSIZE, "arguments and environment do not fit a socket packet");
        ph_ward_end(client, ward, &failure);
        return true;
    }
    if (rc < 0)
        return false;
    client->packed = NULL;
    ph_packet_empty(&client->packet);
    ph_ward_dequeue(client, ward);
    ward->state = PH_WARD_SENT;
    client->in_flight++;
    return true;
}

void ph_keeper_client_pump(struct ph_keeper_client *client)
{
    if (client->first && !start_keeper(client))
        return;
    if (client->source.fd < 0 || !client->greeted || client->blocked || !send_leases(client) ||
        !send_commands(client))
        return;
    while (client->first && client->in_flight < PH_KEEPER_IN_FLIGHT) {
        if (pack_next(client) && !send_next(client))
            return;
    }
}

void ph_keeper_client_lease(struct ph_keeper_client *client, uint32_t lease, uint64_t until_ms)
{
    if (lease == 0 || lease >= PH_KEEPER_LEASES)
        return;
    client->leases[lease] = until_ms;
    client->leases_due = true;
}

static void command(struct ph_keeper_client *client, struct ph_ward *ward,
                    enum ph_keeper_command_type type, int signal_number)
{
    if (client->command_count == client->command_capacity) {
        client->command_capacity = client->command_capacity ? client->command_capacity * 2 : 64;
        client->commands =
            ph_realloc(client->commands, client->command_capacity * sizeof *client->commands);
    }
    client->commands[client->command_count++] = (struct ph_keeper_command){
        .type = type, .signal_number = signal_number, .mark = ward->mark};
}

static bool is_with_keeper(const struct ph_ward *ward)
{
    return ward->state == PH_WARD_SENT || ward->state == PH_WARD_RUNS;
}

static void call_off(struct ph_keeper_client *client, struct ph_ward *ward, int signal_number)
{
    struct ph_exit exit = {
        .how = PH_EXIT_SIGNAL, .value = signal_number, .text = "stopped before it was started"};
    ph_ward_end(client, ward, &exit);
}

void ph_ward_signal(struct ph_keeper_client *client, struct ph_ward *ward, int signal_number)
{
    if (is_with_keeper(ward))
        command(client, ward, PH_KEEPER_SIGNAL, signal_number);
}

void ph_ward_stop(struct ph_keeper_client *client, struct ph_ward *ward, int signal_number)
{
    if (is_with_keeper(ward))
        command(client, ward, PH_KEEPER_STOP, signal_number);
    else if (ward->state == PH_WARD_QUEUED)
        call_off(client, ward, signal_number);
}

void ph_ward_kill(struct ph_keeper_client *client, struct ph_ward *ward)
{
    if (is_with_keeper(ward))
        command(client, ward, PH_KEEPER_KILL, SIGKILL);
    else if (ward->state == PH_WARD_QUEUED)
        call_off(client, ward, SIGKILL);
}
