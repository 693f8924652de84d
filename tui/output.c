#include "tui/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base.h"
#include "engine/error.h"
#include "ipc/script.h"

enum { READ_BYTES = 64 * 1024 };

/* Writes all of it, also to a descriptor that somebody made non-blocking. */
static int write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
            continue;
        }
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static int output_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    return write_all(STDERR_FILENO, bytes, length);
}

static void say_broken(struct ph_output_sink *output, int rc)
{
    char line[128];
    int length = snprintf(line, sizeof line, "prochub: failed: cannot write standard output: %s\n",
                          strerror(-rc));
    output->broken = true;
    (void)output_note(&output->sink, line, (size_t)length);
}

static int output_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_output_sink *output = ph_container_of(sink, struct ph_output_sink, sink);
    int rc = write_all(STDOUT_FILENO, bytes, length);
    if (rc < 0 && rc != -EPIPE && !output->broken)
        say_broken(output, rc);
    return rc;
}

void ph_output_init(struct ph_output_sink *output)
{
    *output = (struct ph_output_sink){.sink = {.data = output_data, .note = output_note}};
}

static int read_all(int fd, const char *name, struct ph_text *text, struct ph_error *error)
{
    char piece[READ_BYTES];
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int rc = -errno;
            return ph_error_set(error, rc, "cannot read %s: %s", name, strerror(-rc));
        }
        if (got == 0)
            return 0;
        ph_text_append(text, piece, (size_t)got);
        if (text->length > PH_SCRIPT_BYTES_MAX)
            return ph_error_set(error, PH_EUSAGE, "%s: a script takes at most %d MiB", name,
                                PH_SCRIPT_BYTES_MAX / 1024 / 1024);
    }
}

int ph_input_read(const char *path, struct ph_text *text, struct ph_error *error)
{
    if (!path || strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", text, error);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int rc = errno == ENOENT ? PH_ENOTFOUND : -errno;
        return ph_error_set(error, rc, "cannot open %s: %s", path, strerror(errno));
    }
    int rc = read_all(fd, path, text, error);
    close(fd);
    return rc;
}
