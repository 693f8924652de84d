#include "engine/kind/elf_check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.h"

enum { HEADERS_MAX = 128 };

static bool read_at(int fd, void *bytes, size_t length, uint64_t offset)
{
    return offset <= INT64_MAX && pread(fd, bytes, length, (off_t)offset) == (ssize_t)length;
}

static bool is_shared_object(const ElfW(Ehdr) * header)
{
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
           header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
           header->e_type == ET_DYN && header->e_phentsize == sizeof(ElfW(Phdr)) &&
           header->e_phnum > 0 && header->e_phnum <= HEADERS_MAX;
}

/* Do all its segments lie inside the file? */
static bool is_whole(int fd, const ElfW(Ehdr) * header, uint64_t size)
{
    ElfW(Phdr) segments[HEADERS_MAX];
    if (!read_at(fd, segments, header->e_phnum * sizeof segments[0], header->e_phoff))
        return false;
    for (size_t i = 0; i < header->e_phnum; i++) {
        const ElfW(Phdr) *segment = &segments[i];
        if (segment->p_type == PT_LOAD &&
            (segment->p_offset > size || segment->p_filesz > size - segment->p_offset))
            return false;
    }
    return true;
}

static int check_file(int fd, const char *path, struct ph_error *error)
{
    struct stat info;
    ElfW(Ehdr) header;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return ph_error_set(error, PH_EFAILED, "%s: not a regular file", path);
    if (!read_at(fd, &header, sizeof header, 0) || !is_shared_object(&header))
        return ph_error_set(error, PH_EFAILED, "%s: not a shared object of this machine", path);
    if (!is_whole(fd, &header, (uint64_t)info.st_size))
        return ph_error_set(error, PH_EFAILED,
                            "%s: its end is missing (is it still being written?)", path);
    return 0;
}

int ph_elf_check(const char *path, struct ph_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return ph_error_set(error, PH_ENOTFOUND, "%s: no such module file", path);
    if (fd < 0)
        return ph_error_set(error, PH_EFAILED, "%s: %s", path, strerror(errno));
    int rc = check_file(fd, path, error);
    close(fd);
    return rc;
}
