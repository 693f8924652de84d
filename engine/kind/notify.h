/*
 * The receiving side of sd_notify: one datagram socket per process that wants it.
 *
 * The address is abstract (nothing stays behind in a file system) and hard to guess; the sender's
 * credentials come from the kernel. A datagram is at most PH_NOTIFY_BYTES long and consists of
 * lines KEY=VALUE; anything else is invalid, is counted, and changes nothing. Descriptors that come
 * along and are not stored (FDSTORE=1) are closed, which is also the answer that BARRIER=1 asks
 * for.
 */
#ifndef PH_ENGINE_KIND_NOTIFY_H
#define PH_ENGINE_KIND_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/kind/fdstore.h"
#include "engine/prochub.h"

enum {
    PH_NOTIFY_BYTES = 4096,
    PH_NOTIFY_STATUS_MAX = 255,
    PH_NOTIFY_ADDRESS_BYTES = 64,
    PH_NOTIFY_FDS_MAX = 253, /* what the kernel takes with one datagram */
};

/* What a datagram says. */
struct ph_notify {
    bool ready, stopping, watchdog, trigger; /* trigger: WATCHDOG=trigger */
    bool has_status, has_main_pid, has_watchdog_usec;
    bool store, remove, unwatched;    /* FDSTORE=1, FDSTOREREMOVE=1, FDPOLL=0 */
    char fd_name[PH_FD_NAME_MAX + 1]; /* FDNAME=; "": none */
    uint64_t watchdog_usec;
    char status[PH_NOTIFY_STATUS_MAX + 1];
};

/* NULL, or why the datagram is invalid (static text). */
const char *ph_notify_parse(const char *bytes, size_t length, struct ph_notify *);

/* Opens a socket; its address as NOTIFY_SOCKET wants it ("@…"). The descriptor or -errno. */
PH_MUST_CHECK int ph_notify_open(uint64_t mark, char address[PH_NOTIFY_ADDRESS_BYTES]);

struct ph_notify_sender {
    pid_t pid; /* 0: unknown */
    uid_t uid;
    int fds[PH_NOTIFY_FDS_MAX]; /* that came along; the caller's */
    size_t fd_count;
};

/* Closes the descriptors that are still there. */
void ph_notify_close_fds(struct ph_notify_sender *);

/* Receives one datagram into `bytes` (PH_NOTIFY_BYTES). Its length, larger than PH_NOTIFY_BYTES if
 * it was cut; -EAGAIN when there is none. */
ssize_t ph_notify_receive(int fd, char *bytes, struct ph_notify_sender *sender);

#endif
