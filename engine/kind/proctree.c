#include "engine/kind/proctree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/kind/keeper_wire.h"

enum { PATH_BYTES = 64, READ_BYTES = 4096, ENVIRON_BYTES = 128 * 1024 };

void ph_pids_fini(struct ph_pids *pids)
{
    ph_free(pids->pid);
    *pids = (struct ph_pids){0};
}

void ph_pids_add(struct ph_pids *pids, pid_t pid)
{
    if (pids->count == pids->capacity) {
        pids->capacity = pids->capacity ? pids->capacity * 2 : 64;
        pids->pid = ph_realloc(pids->pid, pids->capacity * sizeof *pids->pid);
    }
    pids->pid[pids->count++] = pid;
}

/* "12 345 6 " in any number of pieces. */
static void parse_numbers(int fd, struct ph_pids *pids)
{
    char buffer[READ_BYTES];
    pid_t number = 0;
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (isdigit((unsigned char)buffer[i])) {
                number = number * 10 + (buffer[i] - '0');
                continue;
            }
            if (number > 0)
                ph_pids_add(pids, number);
            number = 0;
        }
    }
    if (number > 0)
        ph_pids_add(pids, number);
}

static bool children_of_thread(pid_t process, long thread, struct ph_pids *children)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/task/%ld/children", (int)process, thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    parse_numbers(fd, children);
    close(fd);
    return true;
}

static bool children_of_threads(pid_t parent, struct ph_pids *children)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/task", (int)parent);
    DIR *tasks = opendir(path);
    if (!tasks)
        return true; /* gone: no children either */
    bool known = false;
    for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
        if (isdigit((unsigned char)entry->d_name[0]) &&
            children_of_thread(parent, atol(entry->d_name), children))
            known = true;
    }
    closedir(tasks);
    return known;
}

static pid_t parent_of(const char *pid)
{
    char path[PATH_BYTES], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name may hold anything, also brackets */
    if (!name_end || strlen(name_end) < 5)
        return 0;
    return (pid_t)atol(name_end + 4);
}

static void scan_all(pid_t parent, struct ph_pids *children)
{
    DIR *processes = opendir("/proc");
    if (!processes)
        return;
    for (struct dirent *entry = readdir(processes); entry; entry = readdir(processes)) {
        if (isdigit((unsigned char)entry->d_name[0]) && parent_of(entry->d_name) == parent)
            ph_pids_add(children, (pid_t)atol(entry->d_name));
    }
    closedir(processes);
}

void ph_proctree_children(pid_t parent, struct ph_pids *children)
{
    if (!children_of_threads(parent, children))
        scan_all(parent, children);
}

static uint64_t with_salt(uint64_t mark, uint64_t salt)
{
    return ph_keeper_mark_salt(mark) == salt ? mark : 0;
}

/* The token in `length` bytes of NUL-separated environment, which end in a NUL. */
static uint64_t find_token(const char *text, size_t length, uint64_t salt)
{
    static const char key[] = PH_KEEPER_TOKEN "=";
    const char *end = text + length;
    while (text < end) {
        if (strncmp(text, key, sizeof key - 1) == 0)
            return with_salt(strtoull(text + sizeof key - 1, NULL, 16), salt);
        text += strlen(text) + 1;
    }
    return 0;
}

static uint64_t token_of_environ(pid_t pid, uint64_t salt)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char *text = ph_alloc(ENVIRON_BYTES + 1);
    size_t length = 0;
    ssize_t got;
    while (length < ENVIRON_BYTES && (got = read(fd, text + length, ENVIRON_BYTES - length)) > 0)
        length += (size_t)got;
    close(fd);
    uint64_t mark = find_token(text, length, salt);
    ph_free(text);
    return mark;
}

uint64_t ph_proctree_mark(pid_t pid, uint64_t salt)
{
    struct rlimit limit;
    if (prlimit(pid, RLIMIT_LOCKS, NULL, &limit) == 0 && with_salt(limit.rlim_cur, salt))
        return limit.rlim_cur;
    return token_of_environ(pid, salt);
}
