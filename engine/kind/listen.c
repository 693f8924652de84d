#include "engine/kind/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/kind/endpoint.h"

static const char ipc_scheme[] = "ipc://";

/* The path of an ipc:// endpoint that is one, or NULL. */
static const char *path_of(const char *endpoint)
{
    const char *path = endpoint + sizeof ipc_scheme - 1;
    if (strncmp(endpoint, ipc_scheme, sizeof ipc_scheme - 1) != 0)
        return NULL;
    return *path == '/' && strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path ? path : NULL;
}

static struct sockaddr_un name_of(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, path, strlen(path));
    return name;
}

bool ph_listen_is_valid(const char *endpoint)
{
    struct ph_endpoint parsed;
    return path_of(endpoint) || ph_endpoint_parse(endpoint, true, &parsed, NULL) == 0;
}

int ph_listen_make(struct ph_listen *listener, const char *endpoint)
{
    struct ph_endpoint parsed;
    if (listener->fd >= 0 && strcmp(listener->endpoint, endpoint) == 0)
        return 0;
    ph_listen_close(listener);
    int family = AF_UNIX, on = 1;
    if (!path_of(endpoint)) {
        if (ph_endpoint_parse(endpoint, true, &parsed, NULL) < 0)
            return -EINVAL;
        family = parsed.address.ss_family;
    }
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    *listener = (struct ph_listen){
        .fd = fd, .endpoint = ph_copy_text(endpoint, strlen(endpoint)), .bound = false};
    return 0;
}

/* Is the path a socket that nobody listens on any more? */
static bool is_stale(const struct sockaddr_un *name)
{
    struct stat status;
    if (lstat(name->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)name, sizeof *name) < 0 &&
                 errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int bind_path(struct ph_listen *listener, const char *path)
{
    struct sockaddr_un name = name_of(path);
    struct stat status;
    int rc = bind(listener->fd, (const struct sockaddr *)&name, sizeof name);
    if (rc < 0 && errno == EADDRINUSE && is_stale(&name)) {
        unlink(path);
        rc = bind(listener->fd, (const struct sockaddr *)&name, sizeof name);
    }
    if (rc < 0 || lstat(path, &status) < 0)
        return -errno;
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    return 0;
}

static int bind_address(const struct ph_listen *listener)
{
    struct ph_endpoint parsed;
    if (ph_endpoint_parse(listener->endpoint, true, &parsed, NULL) < 0)
        return -EINVAL;
    return bind(listener->fd, (const struct sockaddr *)&parsed.address, parsed.length) < 0 ? -errno
                                                                                           : 0;
}

int ph_listen_bind(struct ph_listen *listener)
{
    if (listener->bound)
        return 0;
    const char *path = path_of(listener->endpoint);
    int rc = path ? bind_path(listener, path) : bind_address(listener);
    if (rc == 0 && listen(listener->fd, SOMAXCONN) < 0)
        rc = -errno;
    listener->bound = rc == 0;
    return rc;
}

void ph_listen_describe(const struct ph_listen *listener, char text[PH_ENDPOINT_MAX + 1])
{
    struct ph_endpoint bound = {.length = sizeof bound.address};
    if (path_of(listener->endpoint) ||
        getsockname(listener->fd, (struct sockaddr *)&bound.address, &bound.length) < 0)
        snprintf(text, PH_ENDPOINT_MAX + 1, "%s", listener->endpoint);
    else
        ph_endpoint_format(&bound, text);
}

/* Only the path that we made: another one may have taken its place. */
static void remove_path(const struct ph_listen *listener)
{
    const char *path = path_of(listener->endpoint);
    struct stat status;
    if (path && lstat(path, &status) == 0 && status.st_dev == listener->device &&
        status.st_ino == listener->inode)
        unlink(path);
}

void ph_listen_close(struct ph_listen *listener)
{
    if (listener->fd < 0)
        return;
    if (listener->bound)
        remove_path(listener);
    close(listener->fd);
    ph_free(listener->endpoint);
    *listener = (struct ph_listen){.fd = -1};
}
