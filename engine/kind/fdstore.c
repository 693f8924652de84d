#include "engine/kind/fdstore.h"

#include <linux/kcmp.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/alloc.h"

bool ph_fdstore_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        if (name[i] < ' ' || name[i] > '~' || name[i] == ':')
            return false;
    }
    return length > 0 && length <= PH_FD_NAME_MAX;
}

static void drop(struct ph_fdstore *store, size_t at)
{
    close(store->stored[at].fd);
    ph_free(store->stored[at].name);
    store->count--;
    memmove(&store->stored[at], &store->stored[at + 1],
            (store->count - at) * sizeof *store->stored);
}

static bool is_dead(const struct ph_stored *stored)
{
    struct pollfd polled = {.fd = stored->fd};
    return stored->watched && poll(&polled, 1, 0) > 0 && polled.revents & (POLLHUP | POLLERR);
}

static void sweep(struct ph_fdstore *store)
{
    for (size_t i = store->count; i > 0; i--) {
        if (is_dead(&store->stored[i - 1]))
            drop(store, i - 1);
    }
}

/* The same open file. Where the kernel does not tell, two are taken for different. */
static bool is_same(int a, int b)
{
    pid_t self = getpid();
    return syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

static bool has(const struct ph_fdstore *store, const char *name, int fd)
{
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->stored[i].name, name) == 0 && is_same(store->stored[i].fd, fd))
            return true;
    }
    return false;
}

static void append(struct ph_fdstore *store, const char *name, int fd, bool watched)
{
    store->stored = ph_realloc(store->stored, (store->count + 1) * sizeof *store->stored);
    store->stored[store->count++] =
        (struct ph_stored){.fd = fd, .watched = watched, .name = ph_copy_text(name, strlen(name))};
}

const char *ph_fdstore_put(struct ph_fdstore *store, size_t limit, const char *name, int fd,
                           bool watched)
{
    if (limit && has(store, name, fd)) {
        close(fd);
        return NULL;
    }
    if (limit && strcmp(name, PH_FD_STATE) == 0)
        ph_fdstore_remove(store, name);
    if (store->count >= limit)
        sweep(store);
    if (store->count >= limit) {
        close(fd);
        return limit ? "the store is full" : "its spec has no fdstore=N";
    }
    append(store, name, fd, watched);
    return NULL;
}

void ph_fdstore_remove(struct ph_fdstore *store, const char *name)
{
    for (size_t i = store->count; i > 0; i--) {
        if (strcmp(store->stored[i - 1].name, name) == 0)
            drop(store, i - 1);
    }
}

void ph_fdstore_trim(struct ph_fdstore *store, size_t limit)
{
    sweep(store);
    while (store->count > limit)
        drop(store, store->count - 1);
}

int ph_fdstore_find(const struct ph_fdstore *store, const char *name)
{
    for (size_t i = store->count; i > 0; i--) {
        if (strcmp(store->stored[i - 1].name, name) == 0)
            return store->stored[i - 1].fd;
    }
    return -1;
}

void ph_fdstore_clear(struct ph_fdstore *store)
{
    while (store->count)
        drop(store, store->count - 1);
    ph_free(store->stored);
    store->stored = NULL;
}
