#include "ipc/control_path.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/error.h"
#include "ipc/door.h"

int ph_control_directory(struct ph_text *path, struct ph_error *error)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
    if (runtime && runtime[0] == '/')
        ph_text_printf(path, "%s/prochub", runtime);
    else if (geteuid() == 0)
        ph_text_put(path, "/run/prochub");
    else if (home && home[0] == '/')
        ph_text_printf(path, "%s/.prochub", home);
    else
        return ph_error_set(error, PH_EUSAGE,
                            "no place for a control socket: set XDG_RUNTIME_DIR or HOME, or name "
                            "one with --control ipc://PATH");
    return 0;
}

int ph_control_endpoint(const char *name, struct ph_text *endpoint, struct ph_error *error)
{
    ph_text_put(endpoint, "ipc://");
    int rc = ph_control_directory(endpoint, error);
    if (rc == 0)
        ph_text_printf(endpoint, "/%s.sock", name);
    return rc;
}

int ph_control_address(const char *endpoint, struct sockaddr_un *address, struct ph_error *error)
{
    static const char scheme[] = "ipc://";
    size_t skip = sizeof scheme - 1;
    if (strncmp(endpoint, scheme, skip) != 0 || !endpoint[skip])
        return ph_error_set(error, PH_EUSAGE, "'%.200s' is no endpoint: it is written ipc://PATH",
                            endpoint);
    size_t length = strlen(endpoint + skip);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length >= sizeof address->sun_path)
        return ph_error_set(error, PH_EUSAGE,
                            "the path of a control socket takes at most %zu bytes, this one has "
                            "%zu: %.200s",
                            sizeof address->sun_path - 1, length, endpoint + skip);
    memcpy(address->sun_path, endpoint + skip, length + 1);
    return 0;
}

bool ph_control_answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    /* A full backlog (-EAGAIN) is somebody, too. */
    bool answers =
        connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN;
    close(fd);
    return answers;
}

/* ---- The only node here --------------------------------------------------------------------- */

struct search {
    struct ph_text found; /* the endpoint of the first one that answers */
    struct ph_text names; /* of all that answer */
    unsigned count;
};

static void look_at(struct search *search, const char *directory, const char *file)
{
    static const char suffix[] = ".sock";
    size_t length = strlen(file), end = sizeof suffix - 1;
    struct sockaddr_un address;
    struct ph_error ignored;
    if (length <= end || strcmp(file + length - end, suffix) != 0)
        return;
    struct ph_text endpoint = PH_TEXT_INIT;
    ph_text_printf(&endpoint, "ipc://%s/%s", directory, file);
    if (ph_control_address(endpoint.data, &address, &ignored) == 0 &&
        ph_control_answers(&address)) {
        ph_text_printf(&search->names, "%s%.*s", search->count++ ? ", " : "", (int)(length - end),
                       file);
        if (search->count == 1)
            ph_text_put(&search->found, endpoint.data);
    }
    ph_text_fini(&endpoint);
}

static int judge(struct search *search, const char *directory, struct ph_text *endpoint,
                 struct ph_error *error)
{
    if (search->count == 0)
        return ph_error_set(error, PH_ECONNECTION,
                            "no node runs here (looked in %s): start one with `prochub node`, or "
                            "name its endpoint, ipc://PATH",
                            directory);
    if (search->count > 1)
        return ph_error_set(error, PH_ECONNECTION,
                            "%u nodes run here (%s): name one, ipc://%s/NAME.sock", search->count,
                            ph_text_str(&search->names), directory);
    ph_text_put(endpoint, search->found.data);
    return 0;
}

int ph_control_default(const char *name, struct ph_text *endpoint, struct ph_error *error)
{
    if (name)
        return ph_control_endpoint(name, endpoint, error);
    struct ph_text directory = PH_TEXT_INIT;
    struct search search = {.count = 0};
    int rc = ph_control_directory(&directory, error);
    DIR *entries = rc == 0 ? opendir(directory.data) : NULL;
    if (entries) {
        for (struct dirent *entry; (entry = readdir(entries));)
            look_at(&search, directory.data, entry->d_name);
        closedir(entries);
    }
    if (rc == 0)
        rc = judge(&search, directory.data, endpoint, error);
    ph_text_fini(&search.found);
    ph_text_fini(&search.names);
    ph_text_fini(&directory);
    return rc;
}
