#include "engine/kind/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/text.h"

static const char *take_watchdog_usec(struct ph_notify *notify, const char *value)
{
    if (!ph_parse_uint(value, UINT64_MAX, &notify->watchdog_usec) || notify->watchdog_usec == 0)
        return "WATCHDOG_USEC= is not a number of microseconds";
    notify->has_watchdog_usec = true;
    return NULL;
}

static void take_status(struct ph_notify *notify, const char *value, size_t length)
{
    if (length > PH_NOTIFY_STATUS_MAX)
        length = PH_NOTIFY_STATUS_MAX;
    memcpy(notify->status, value, length);
    notify->status[length] = '\0';
    notify->has_status = true;
}

static const char *take_fd_name(struct ph_notify *notify, const char *value)
{
    if (!ph_fdstore_name_is_valid(value))
        return "FDNAME= is no name: 1 to 255 printable ASCII characters without a colon";
    memcpy(notify->fd_name, value, strlen(value) + 1);
    return NULL;
}

/* Keys that are not known are none of our business, as the protocol says. */
static const char *take_line(struct ph_notify *notify, const char *line)
{
    const char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return "a line is not KEY=VALUE";
    const char *value = equals + 1;
    size_t key = (size_t)(equals - line);
    if (!strncmp(line, "STATUS", key) && key == 6)
        take_status(notify, value, strlen(value));
    else if (!strcmp(line, "READY=1"))
        notify->ready = true;
    else if (!strcmp(line, "STOPPING=1"))
        notify->stopping = true;
    else if (!strcmp(line, "WATCHDOG=1"))
        notify->watchdog = true;
    else if (!strcmp(line, "WATCHDOG=trigger"))
        notify->trigger = true;
    else if (!strcmp(line, "FDSTORE=1"))
        notify->store = true;
    else if (!strcmp(line, "FDSTOREREMOVE=1"))
        notify->remove = true;
    else if (!strcmp(line, "FDPOLL=0"))
        notify->unwatched = true;
    else if (!strncmp(line, "FDNAME=", 7))
        return take_fd_name(notify, value);
    else if (!strncmp(line, "MAINPID=", 8))
        notify->has_main_pid = true;
    else if (!strncmp(line, "WATCHDOG_USEC=", 14))
        return take_watchdog_usec(notify, value);
    return NULL;
}

const char *ph_notify_parse(const char *bytes, size_t length, struct ph_notify *notify)
{
    char text[PH_NOTIFY_BYTES + 1];
    *notify = (struct ph_notify){0};
    if (length == 0)
        return "it is empty";
    if (length > PH_NOTIFY_BYTES)
        return "it is longer than 4096 bytes";
    if (memchr(bytes, '\0', length))
        return "it holds a NUL";
    memcpy(text, bytes, length);
    text[length] = '\0';
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        const char *why = *line ? take_line(notify, line) : NULL;
        if (why)
            return why;
    }
    return notify->remove && !*notify->fd_name ? "FDSTOREREMOVE=1 comes without FDNAME=" : NULL;
}

int ph_notify_open(uint64_t mark, char address[PH_NOTIFY_ADDRESS_BYTES])
{
    uint64_t random = 0;
    int on = 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (getrandom(&random, sizeof random, 0) < 0)
        random = mark;
    int length = snprintf(address, PH_NOTIFY_ADDRESS_BYTES,
                          "@prochub/notify/%016" PRIx64 "/%016" PRIx64, mark, random);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path + 1, address + 1, (size_t)length - 1);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)&name, bytes) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

void ph_notify_close_fds(struct ph_notify_sender *sender)
{
    while (sender->fd_count)
        close(sender->fds[--sender->fd_count]);
}

/* The kernel gives them in one piece, and no more than there is room for. */
static void take_fds(struct ph_notify_sender *sender, const struct cmsghdr *header)
{
    sender->fd_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(sender->fds, CMSG_DATA(header), sender->fd_count * sizeof(int));
}

static void read_control(struct msghdr *message, struct ph_notify_sender *sender)
{
    sender->pid = 0;
    sender->uid = (uid_t)-1;
    sender->fd_count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_RIGHTS)
            take_fds(sender, header);
        if (header->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;
            memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
            sender->pid = credentials.pid;
            sender->uid = credentials.uid;
        }
    }
}

ssize_t ph_notify_receive(int fd, char *bytes, struct ph_notify_sender *sender)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(PH_NOTIFY_FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = PH_NOTIFY_BYTES};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
    if (got < 0)
        return -errno;
    read_control(&message, sender);
    return got;
}
