#include "engine/kind/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/error.h"

static const char magic[8] = "PHJRNL1\n";

enum { HEAD_BYTES = 12, FILE_MODE = 0600 };

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void put_number(unsigned char *bytes, uint64_t value, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_number(const unsigned char *bytes, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static int write_whole(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length) {
        ssize_t done = write(fd, at, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        at += done;
        length -= (size_t)done;
    }
    return 0;
}

static int write_record(int fd, const struct ph_text *record)
{
    unsigned char head[HEAD_BYTES];
    put_number(head, record->length, 4);
    put_number(head + 4, XXH3_64bits(record->data, record->length), 8);
    struct iovec parts[] = {{head, sizeof head}, {record->data, record->length}};
    ssize_t done;
    do {
        done = writev(fd, parts, 2);
    } while (done < 0 && errno == EINTR);
    if (done < 0)
        return -errno;
    size_t written = (size_t)done;
    if (written >= sizeof head)
        return write_whole(fd, record->data + (written - sizeof head),
                           record->length - (written - sizeof head));
    int rc = write_whole(fd, head + written, sizeof head - written);
    return rc ? rc : write_whole(fd, record->data, record->length);
}

static char *beside(const char *path, const char *suffix)
{
    struct ph_text text = PH_TEXT_INIT;
    ph_text_printf(&text, "%s%s", path, suffix);
    return text.data;
}

int ph_journal_sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash ? ph_copy_text(path, (size_t)(slash - path) + 1) : ph_copy_text(".", 1);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    ph_free(directory);
    return rc;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The next record: false at the end, or where one is not whole. */
static bool read_record(FILE *stream, uint64_t left, struct ph_text *record)
{
    unsigned char head[HEAD_BYTES];
    if (left < sizeof head || fread(head, sizeof head, 1, stream) != 1)
        return false;
    uint64_t length = get_number(head, 4);
    if (length == 0 || length > PH_JOURNAL_RECORD_MAX || length > left - sizeof head)
        return false;
    *record =
        (struct ph_text){.data = ph_alloc(length + 1), .length = length, .capacity = length + 1};
    if (fread(record->data, length, 1, stream) == 1 &&
        XXH3_64bits(record->data, length) == get_number(head + 4, 8))
        return true;
    ph_text_fini(record);
    return false;
}

/* What follows the last whole record is kept for people, and cut off. */
static int put_torn_beside(const struct ph_journal_file *file, uint64_t size, struct ph_text *torn)
{
    char *path = beside(file->path, ".torn");
    char piece[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    int rc = fd < 0 ? -errno : 0;
    ssize_t got = 0;
    for (uint64_t at = file->bytes; rc == 0 && at < size; at += (uint64_t)got) {
        got = pread(file->fd, piece, sizeof piece, (off_t)at);
        rc = got < 0 ? -errno : got == 0 ? -EIO : write_whole(fd, piece, (size_t)got);
    }
    if (fd >= 0)
        close(fd);
    if (rc == 0 && ftruncate(file->fd, (off_t)file->bytes) < 0)
        rc = -errno;
    ph_text_printf(torn, "the last %llu bytes of %s were not whole: they are in %s",
                   (unsigned long long)(size - file->bytes), file->path, path);
    ph_free(path);
    return rc;
}

static int read_records(struct ph_journal_file *file, uint64_t size,
                        void (*read)(void *arg, struct ph_text *record), void *arg)
{
    struct ph_text record;
    int copy = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    FILE *stream = copy < 0 ? NULL : fdopen(copy, "rb");
    if (!stream) {
        int rc = -errno;
        if (copy >= 0)
            close(copy);
        return rc;
    }
    int rc = fseeko(stream, (off_t)file->bytes, SEEK_SET) < 0 ? -errno : 0;
    while (rc == 0 && read_record(stream, size - file->bytes, &record)) {
        file->bytes += HEAD_BYTES + record.length;
        read(arg, &record);
    }
    fclose(stream);
    return rc;
}

/* 1: it is new, or was not begun; 0: it is one of ours. */
static int look(const struct ph_journal_file *file, uint64_t *size, struct ph_error *error)
{
    char start[sizeof magic] = "";
    struct stat status;
    if (fstat(file->fd, &status) < 0)
        return ph_error_set(error, -errno, "%s: %s", file->path, ph_error_text(-errno));
    *size = (uint64_t)status.st_size;
    ssize_t got = pread(file->fd, start, sizeof start, 0);
    if (got >= 0 && (size_t)got < sizeof start && memcmp(start, magic, (size_t)got) == 0)
        return 1;
    if (got == sizeof start && memcmp(start, magic, sizeof start) == 0)
        return 0;
    return ph_error_set(error, PH_EREFUSED,
                        "%s is no journal of this version of prochub: move it away to begin anew",
                        file->path);
}

static int begin(int fd, const char *path)
{
    int rc = ftruncate(fd, 0) < 0 ? -errno : write_whole(fd, magic, sizeof magic);
    if (rc == 0 && fdatasync(fd) < 0)
        rc = -errno;
    return rc ? rc : ph_journal_sync_directory(path);
}

int ph_journal_file_open(struct ph_journal_file *file, const char *path,
                         void (*read)(void *arg, struct ph_text *record), void *arg,
                         struct ph_text *torn, struct ph_error *error)
{
    uint64_t size = 0;
    char *left_over = beside(path, ".new");
    *file = (struct ph_journal_file){.path = ph_copy_text(path, strlen(path)), .new_fd = -1};
    unlink(left_over);
    ph_free(left_over);
    file->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
    int rc = file->fd < 0 ? ph_error_set(error, -errno, "%s: %s", path, ph_error_text(-errno))
                          : look(file, &size, error);
    if (rc < 0) {
        ph_journal_file_close(file);
        return rc;
    }
    file->bytes = sizeof magic;
    if (rc == 1)
        rc = begin(file->fd, path);
    else
        rc = read_records(file, size, read, arg);
    if (rc == 0 && size > file->bytes)
        rc = put_torn_beside(file, size, torn);
    if (rc == 0)
        return 0;
    ph_journal_file_close(file);
    return ph_error_set(error, rc, "%s: %s", path, ph_error_text(rc));
}

void ph_journal_file_close(struct ph_journal_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->new_fd >= 0)
        close(file->new_fd);
    ph_free(file->path);
    *file = (struct ph_journal_file){.fd = -1, .new_fd = -1};
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int append(struct ph_journal_file *file, const struct ph_text *record)
{
    int rc = write_record(file->fd, record);
    if (rc == 0 && file->new_fd >= 0)
        rc = write_record(file->new_fd, record);
    file->bytes += HEAD_BYTES + record->length;
    file->new_bytes += HEAD_BYTES + record->length;
    file->unsynced = true;
    return rc;
}

static int renew(struct ph_journal_file *file)
{
    char *path = beside(file->path, ".new");
    if (file->new_fd >= 0)
        close(file->new_fd);
    file->new_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, FILE_MODE);
    int rc = file->new_fd < 0 ? -errno : write_whole(file->new_fd, magic, sizeof magic);
    file->new_bytes = sizeof magic;
    ph_free(path);
    return rc;
}

static int copy(struct ph_journal_file *file, const struct ph_text *record)
{
    file->new_bytes += HEAD_BYTES + record->length;
    return file->new_fd < 0 ? -EBADF : write_record(file->new_fd, record);
}

static int replace(struct ph_journal_file *file)
{
    char *path = beside(file->path, ".new");
    int rc = file->new_fd < 0 ? -EBADF : 0;
    if (rc == 0 && (fdatasync(file->new_fd) < 0 || rename(path, file->path) < 0))
        rc = -errno;
    if (rc == 0)
        rc = ph_journal_sync_directory(file->path);
    if (rc == 0) {
        close(file->fd);
        file->fd = file->new_fd;
        file->new_fd = -1;
        file->bytes = file->new_bytes;
        file->unsynced = false;
    }
    ph_free(path);
    return rc;
}

static int empty(struct ph_journal_file *file)
{
    if (file->new_fd >= 0)
        close(file->new_fd);
    file->new_fd = -1;
    file->bytes = sizeof magic;
    file->unsynced = true;
    return ftruncate(file->fd, sizeof magic) < 0 ? -errno : 0;
}

int ph_journal_file_call(struct ph_journal_file *file, enum ph_journal_verb verb,
                         const struct ph_text *record)
{
    switch (verb) {
    case PH_JOURNAL_APPEND:
        return append(file, record);
    case PH_JOURNAL_RENEW:
        return renew(file);
    case PH_JOURNAL_COPY:
        return copy(file, record);
    case PH_JOURNAL_REPLACE:
        return replace(file);
    case PH_JOURNAL_EMPTY:
        return empty(file);
    }
    return -EINVAL;
}

int ph_journal_file_sync(struct ph_journal_file *file)
{
    if (!file->unsynced)
        return 0;
    file->unsynced = false;
    return fdatasync(file->fd) < 0 ? -errno : 0;
}
