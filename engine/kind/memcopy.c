#include "engine/kind/memcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/alloc.h"

bool ph_memcopy_size(int fd, uint64_t *size)
{
    struct stat status;
    if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &status) < 0)
        return false;
    *size = (uint64_t)status.st_size;
    return true;
}

int ph_memcopy_read_from(struct ph_memcopy *copy, int fd, size_t max)
{
    uint64_t size = 0;
    if (!ph_memcopy_size(fd, &size))
        return -EINVAL;
    if (size > max)
        return -EFBIG;
    char *data = ph_try_alloc((size_t)size + 1);
    if (!data)
        return -ENOMEM;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
        int rc = -errno;
        ph_free(data);
        return rc;
    }
    *copy = (struct ph_memcopy){
        .fd = own, .text = {.data = data, .capacity = (size_t)size + 1}, .total = (size_t)size};
    return 0;
}

int ph_memcopy_write(struct ph_memcopy *copy, const char *name, struct ph_text *text)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    *copy = (struct ph_memcopy){.fd = fd, .writes = true, .text = *text, .total = text->length};
    *text = PH_TEXT_INIT;
    return 0;
}

/* A read that finds the end has all there is: the file became shorter. */
int ph_memcopy_step(struct ph_memcopy *copy)
{
    size_t left = copy->total - copy->done;
    size_t piece = left < PH_MEMCOPY_PIECE ? left : PH_MEMCOPY_PIECE;
    ssize_t moved = 0;
    if (piece && copy->writes)
        moved = pwrite(copy->fd, copy->text.data + copy->done, piece, (off_t)copy->done);
    else if (piece)
        moved = pread(copy->fd, copy->text.data + copy->done, piece, (off_t)copy->done);
    if (moved < 0)
        return errno == EINTR ? 1 : -errno;
    copy->done += (size_t)moved;
    if (!copy->writes)
        copy->text.length = copy->done;
    return moved > 0 && copy->done < copy->total;
}

void ph_memcopy_end(struct ph_memcopy *copy)
{
    if (copy->fd >= 0)
        close(copy->fd);
    ph_text_fini(&copy->text);
    *copy = (struct ph_memcopy){.fd = -1};
}
