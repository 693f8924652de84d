#include "ipc/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.h"
#include "ipc/control_path.h"

static int system_error(struct ph_error *error, const char *what, const char *path)
{
    int rc = -errno;
    return ph_error_set(error, rc, "%s %s: %s", what, path, strerror(-rc));
}

static int make_directory(const char *path, struct ph_error *error)
{
    char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return 0;
    *slash = '\0';
    if (mkdir(directory, 0700) == 0 || errno == EEXIST)
        return 0;
    return system_error(error, "cannot make the directory", directory);
}

/* Who holds the lock: "node n1, process 4711". */
static void read_holder(int fd, char *holder, size_t size)
{
    ssize_t length = pread(fd, holder, size - 1, 0);
    holder[length > 0 ? length : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    for (char *c = holder; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

/* Is the file that was locked still the one at that path? */
static bool is_same_file(int fd, const char *path)
{
    struct stat opened, there;
    return fstat(fd, &opened) == 0 && stat(path, &there) == 0 && opened.st_ino == there.st_ino &&
           opened.st_dev == there.st_dev;
}

static int take_lock(struct ph_control_socket *socket, struct ph_error *error)
{
    for (;;) {
        int fd = open(socket->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return system_error(error, "cannot open", socket->lock_path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            char holder[128];
            read_holder(fd, holder, sizeof holder);
            close(fd);
            return ph_error_set(error, PH_EEXISTS,
                                "%s belongs to %s, which runs: choose another --name or --control",
                                socket->address.sun_path, *holder ? holder : "another node");
        }
        if (is_same_file(fd, socket->lock_path)) {
            socket->lock_fd = fd;
            return 0;
        }
        close(fd); /* its holder removed it between our open and our lock */
    }
}

static int write_holder(const struct ph_control_socket *socket, const char *name)
{
    char holder[128];
    int length = snprintf(holder, sizeof holder, "node %s, process %d\n", name, (int)getpid());
    if (ftruncate(socket->lock_fd, 0) < 0 ||
        pwrite(socket->lock_fd, holder, (size_t)length, 0) != length)
        return -errno;
    return 0;
}

static int remove_stale(const char *path, struct ph_error *error)
{
    struct stat there;
    if (lstat(path, &there) < 0)
        return errno == ENOENT ? 0 : system_error(error, "cannot look at", path);
    if (!S_ISSOCK(there.st_mode))
        return ph_error_set(error, PH_EEXISTS, "%s is there and is no socket: it is left alone",
                            path);
    return unlink(path) == 0 ? 0 : system_error(error, "cannot remove the old socket", path);
}

static int open_socket(struct ph_control_socket *control, struct ph_error *error)
{
    const char *path = control->address.sun_path;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return system_error(error, "no socket for", path);
    /* The mode of the descriptor is that of the file which bind makes: there is no moment in which
     * others could connect. */
    if (fchmod(fd, 0600) == 0 &&
        bind(fd, (struct sockaddr *)&control->address, sizeof control->address) == 0 &&
        listen(fd, SOMAXCONN) == 0) {
        control->fd = fd;
        return 0;
    }
    int rc = system_error(error, "cannot listen at", path);
    close(fd);
    return rc;
}

int ph_control_socket_open(struct ph_control_socket *control, const char *endpoint,
                           const char *name, struct ph_error *error)
{
    *control = (struct ph_control_socket){.fd = -1, .lock_fd = -1};
    int rc = ph_control_address(endpoint, &control->address, error);
    if (rc < 0)
        return rc;
    snprintf(control->lock_path, sizeof control->lock_path, "%s.lock", control->address.sun_path);
    rc = make_directory(control->address.sun_path, error);
    if (rc == 0)
        rc = take_lock(control, error);
    if (rc < 0)
        return rc;
    rc = write_holder(control, name);
    if (rc < 0)
        ph_error_set(error, rc, "cannot write %s: %s", control->lock_path, ph_error_text(rc));
    if (rc == 0)
        rc = remove_stale(control->address.sun_path, error);
    if (rc == 0)
        rc = open_socket(control, error);
    if (rc == 0)
        return 0;
    unlink(control->lock_path);
    close(control->lock_fd);
    return rc;
}

void ph_control_socket_close(struct ph_control_socket *control)
{
    /* The lock goes last: until then nobody else makes a socket there. */
    unlink(control->address.sun_path);
    close(control->fd);
    unlink(control->lock_path);
    close(control->lock_fd);
}
