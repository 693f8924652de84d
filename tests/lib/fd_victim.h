/*
 * Programs that take and store descriptors, beside those of victim.h.
 */
#ifndef PH_TESTS_LIB_FD_VICTIM_H
#define PH_TESTS_LIB_FD_VICTIM_H

#include <sys/mman.h>

#include "tests/lib/victim.h"

/* One datagram with `count` times the same descriptor. */
static inline void fd_victim_store(const char *text, int fd, int count)
{
    const char *address = getenv("NOTIFY_SOCKET");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(16 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    if (!address || strlen(address) >= sizeof name.sun_path)
        _exit(98);
    memcpy(name.sun_path + 1, address + 1, strlen(address) - 1);
    struct msghdr message = {
        .msg_name = &name,
        .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address)),
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int)),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    for (int i = 0; i < count; i++)
        memcpy(CMSG_DATA(header) + (size_t)i * sizeof fd, &fd, sizeof fd);
    int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sendmsg(socket_fd, &message, 0) < 0)
        _exit(97);
    close(socket_fd);
}

/* Prints what it was handed: how many, for whom, their names, and the content of each that has
 * some. */
static inline void fd_victim_list(void)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    const char *names = getenv("LISTEN_FDNAMES");
    int count = fds ? atoi(fds) : 0;
    printf("%d %s %s\n", count, pid && atoi(pid) == getpid() ? "mine" : "not mine",
           names ? names : "-");
    for (int i = 0; i < count; i++) {
        char text[64] = "";
        ssize_t got = read(3 + i, text, sizeof text - 1);
        printf("%d: %s\n", i, got > 0 ? text : "");
    }
    printf("next %s\n", fcntl(3 + count, F_GETFD) < 0 ? "free" : "open");
    fflush(stdout);
}

static inline int fd_victim_memfd(const char *text)
{
    int fd = memfd_create("victim", 0);
    if (fd < 0 || pwrite(fd, text, strlen(text), 0) < 0)
        _exit(96);
    return fd;
}

/* serve: answers one client with its pid, then ends. */
static inline void fd_victim_serve(char **argv)
{
    (void)argv;
    char text[16];
    int client = accept(3, NULL, NULL);
    int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (client < 0 || write(client, text, (size_t)length) != length)
        _exit(95);
    _exit(0);
}

static inline void fd_victim_inspect(char **argv)
{
    (void)argv;
    fd_victim_list();
    _exit(0);
}

/* store DATAGRAM COUNT TEXT [DATAGRAM …]: each COUNT times a memfd with that text, 0: without. */
static inline void fd_victim_keep(char **argv)
{
    for (char **word = argv + 2; *word; word += 3) {
        int count = atoi(word[1]);
        if (count)
            fd_victim_store(word[0], fd_victim_memfd(word[2]), count);
        else
            victim_text(word[0]);
    }
    victim_text("READY=1");
    victim_wait();
}

/* grow BYTES: a state of that size, of which the first and last bytes are known. */
static inline void fd_victim_grow(char **argv)
{
    long size = atol(argv[2]);
    int fd = memfd_create("state", 0);
    if (ftruncate(fd, size) < 0 || pwrite(fd, "first", 5, 0) < 0 ||
        pwrite(fd, "last", 4, size - 4) < 0)
        _exit(94);
    fd_victim_store("FDSTORE=1\nFDNAME=state", fd, 1);
    victim_text("READY=1");
    victim_wait();
}

/* pipes: stores one end of a pipe whose other end goes with it, and one that is not watched. */
static inline void fd_victim_pipes(char **argv)
{
    (void)argv;
    int dead[2], kept[2];
    if (pipe(dead) < 0 || pipe(kept) < 0)
        _exit(93);
    fd_victim_store("FDSTORE=1\nFDNAME=dead", dead[0], 1);
    fd_victim_store("FDSTORE=1\nFDNAME=kept\nFDPOLL=0", kept[0], 1);
    _exit(0);
}

static inline void fd_victim_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(char **argv);
    } victims[] = {
        {"serve", fd_victim_serve}, {"list", fd_victim_inspect}, {"keep", fd_victim_keep},
        {"grow", fd_victim_grow},   {"pipes", fd_victim_pipes},
    };
    for (size_t i = 0; argc > 1 && i < sizeof victims / sizeof victims[0]; i++) {
        if (strcmp(argv[1], victims[i].name) == 0)
            victims[i].fn(argv);
    }
}

#endif
