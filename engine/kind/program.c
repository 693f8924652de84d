#include "engine/kind/program.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/limits.h"

static const char *const environ_keys[] = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
};
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

_Static_assert(1 + PH_FDSTORE_MAX + 1 <= PH_KEEPER_EXTRA_FDS,
               "a listener, what is stored and the socket fit a packet");

enum { PATH_BYTES = 4096, USER_BYTES = 64 * 1024, BASE_VALUE_MAX = 4096, BASE_COUNT_MAX = 64 };

/* The head of a packet lies in its bytes, which ph_alloc aligned. */
static struct ph_keeper_spawn *head_of(struct ph_packet *packet)
{
    return (struct ph_keeper_spawn *)(void *)packet->bytes;
}

int ph_exec_failure(struct ph_exit *failure, int code, const char *format, ...)
{
    va_list args;
    *failure = (struct ph_exit){.how = PH_EXIT_EXEC, .value = code};
    va_start(args, format);
    vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
    return code > 0 ? -code : code;
}

/* ---- The node's environment ------------------------------------------------------------------ */

static bool is_passed_on(const char *text, size_t key_length)
{
    if (strncmp(text, "LC_", 3) == 0)
        return true;
    for (size_t i = 0; i < PH_COUNT_OF(environ_keys); i++) {
        if (strlen(environ_keys[i]) == key_length && memcmp(environ_keys[i], text, key_length) == 0)
            return true;
    }
    return false;
}

void ph_environ_init(struct ph_environ *base)
{
    *base = (struct ph_environ){.pairs = ph_alloc(BASE_COUNT_MAX * sizeof *base->pairs)};
    for (char **text = environ; text && *text && base->count < BASE_COUNT_MAX; text++) {
        const char *equals = strchr(*text, '=');
        if (!equals || !is_passed_on(*text, (size_t)(equals - *text)) ||
            strlen(equals + 1) > BASE_VALUE_MAX)
            continue;
        base->pairs[base->count++] = (struct ph_pair){
            .key = ph_copy_text(*text, (size_t)(equals - *text)),
            .value = ph_copy_text(equals + 1, strlen(equals + 1)),
        };
    }
}

void ph_environ_fini(struct ph_environ *base)
{
    for (size_t i = 0; i < base->count; i++) {
        ph_free(base->pairs[i].key);
        ph_free(base->pairs[i].value);
    }
    ph_free(base->pairs);
}

static const char *find_pair(const struct ph_pair *pairs, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i].key, key) == 0)
            return pairs[i].value;
    }
    return NULL;
}

/* ---- Packets --------------------------------------------------------------------------------- */

void ph_packet_init(struct ph_packet *packet)
{
    *packet = (struct ph_packet){.bytes = ph_alloc(PH_KEEPER_PACKET_MAX)};
}

void ph_packet_empty(struct ph_packet *packet)
{
    for (size_t i = 0; i < packet->fd_count; i++)
        close(packet->fds[i]);
    packet->fd_count = 0;
    packet->length = 0;
    memset(packet->bytes, 0, sizeof(struct ph_keeper_spawn));
}

void ph_packet_fini(struct ph_packet *packet)
{
    ph_packet_empty(packet);
    ph_free(packet->bytes);
}

void ph_packet_add_fd(struct ph_packet *packet, int flag, int fd)
{
    ph_assert(packet->fd_count < PH_KEEPER_FDS_MAX);
    packet->fds[packet->fd_count++] = fd;
    head_of(packet)->flags |= (uint32_t)flag;
}

void ph_packet_add_extra(struct ph_packet *packet, int fd)
{
    ph_assert(packet->fd_count < PH_KEEPER_FDS_MAX);
    packet->fds[packet->fd_count++] = fd;
    head_of(packet)->extra++;
}

/* Counts also what does not fit: ph_packet_build looks at the length once, at the end. */
static void put_bytes(struct ph_packet *packet, const void *bytes, size_t length)
{
    if (packet->length + length <= PH_KEEPER_PACKET_MAX)
        memcpy(packet->bytes + packet->length, bytes, length);
    packet->length += length;
}

static void put_text(struct ph_packet *packet, const char *text)
{
    put_bytes(packet, text, strlen(text) + 1);
}

static void put_pair(struct ph_packet *packet, const char *key, const char *value)
{
    put_bytes(packet, key, strlen(key));
    put_bytes(packet, "=", 1);
    put_text(packet, value);
    head_of(packet)->envc++;
}

/* ---- The user -------------------------------------------------------------------------------- */

struct user {
    struct passwd entry;
    bool known;
    gid_t groups[PH_KEEPER_GROUPS_MAX];
    int group_count;
    char *bytes; /* the texts of `entry` */
};

static int find_user(const char *name, struct user *user, struct ph_exit *failure)
{
    struct passwd *found = NULL;
    user->bytes = ph_alloc(USER_BYTES);
    int error = getpwnam_r(name, &user->entry, user->bytes, USER_BYTES, &found);
    if (!found)
        return ph_exec_failure(failure, error ? error : PH_ENOTFOUND, "no user '%s'%s%s", name,
                               error ? ": " : "", error ? strerror(error) : "");
    user->known = true;
    user->group_count = PH_KEEPER_GROUPS_MAX;
    if (getgrouplist(name, user->entry.pw_gid, user->groups, &user->group_count) < 0)
        return ph_exec_failure(failure, PH_ELIMIT, "user '%s' is in more than %d groups", name,
                               PH_KEEPER_GROUPS_MAX);
    return 0;
}

static void put_user(struct ph_packet *packet, const struct user *user)
{
    struct ph_keeper_spawn *head = head_of(packet);
    /* Who is that user already needs (and may do) nothing. */
    if (!user->known || (geteuid() != 0 && geteuid() == user->entry.pw_uid))
        return;
    head->flags |= PH_KEEPER_USER;
    head->uid = user->entry.pw_uid;
    head->gid = user->entry.pw_gid;
    head->groups = (uint32_t)user->group_count;
    for (int i = 0; i < user->group_count; i++) {
        uint32_t group = user->groups[i];
        put_bytes(packet, &group, sizeof group);
    }
}

/* ---- The program's path ---------------------------------------------------------------------- */

static bool is_executable(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* Looks for `name` in the directories of `search`; an empty one is the current directory. */
static bool search_path(const char *search, const char *name, char *found, size_t size)
{
    for (const char *dir = search; dir;) {
        const char *end = strchr(dir, ':');
        int length = end ? (int)(end - dir) : (int)strlen(dir);
        int used = snprintf(found, size, "%.*s%s%s", length, dir, length ? "/" : "./", name);
        if (used > 0 && (size_t)used < size && is_executable(found))
            return true;
        dir = end ? end + 1 : NULL;
    }
    return false;
}

static int put_path(struct ph_packet *packet, const struct ph_program *program,
                    struct ph_exit *failure)
{
    const char *name = program->argv[0];
    char found[PATH_BYTES];
    if (strchr(name, '/')) {
        put_text(packet, name);
        return 0;
    }
    const char *search = find_pair(program->env, program->env_count, "PATH");
    if (!search)
        search = find_pair(program->base->pairs, program->base->count, "PATH");
    if (!search)
        search = default_path;
    if (!*name || !search_path(search, name, found, sizeof found))
        return ph_exec_failure(failure, ENOENT, "cannot execute '%.60s': not found in PATH (%.90s)",
                               name, search);
    put_text(packet, found);
    return 0;
}

/* ---- The environment ------------------------------------------------------------------------- */

/* Ours go last and replace others of the same name. */
static bool is_ours(const struct ph_program *program, const char *key)
{
    if (strncmp(key, "PROCHUB_", 8) == 0 &&
        (!strcmp(key + 8, "ID") || !strcmp(key + 8, "EPOCH") || !strcmp(key + 8, "TOKEN") ||
         (!strcmp(key + 8, "SOCKET") && program->socket)))
        return true;
    if (!strcmp(key, "LISTEN_FDS") || !strcmp(key, "LISTEN_PID") || !strcmp(key, "LISTEN_FDNAMES"))
        return program->listen_fds;
    if (!strcmp(key, "NOTIFY_SOCKET"))
        return program->notify_address;
    return (!strcmp(key, "WATCHDOG_USEC") || !strcmp(key, "WATCHDOG_PID")) && program->watchdog_ms;
}

static const char *user_value(const struct user *user, const char *key)
{
    if (!user->known)
        return NULL;
    if (!strcmp(key, "HOME"))
        return user->entry.pw_dir;
    if (!strcmp(key, "USER") || !strcmp(key, "LOGNAME"))
        return user->entry.pw_name;
    return !strcmp(key, "SHELL") ? user->entry.pw_shell : NULL;
}

static void put_base(struct ph_packet *packet, const struct ph_program *program,
                     const struct user *user)
{
    static const char *const of_user[] = {"HOME", "USER", "LOGNAME", "SHELL"};
    const struct ph_environ *base = program->base;
    for (size_t i = 0; i < base->count; i++) {
        const char *key = base->pairs[i].key;
        if (!find_pair(program->env, program->env_count, key) && !user_value(user, key))
            put_pair(packet, key, base->pairs[i].value);
    }
    for (size_t i = 0; i < PH_COUNT_OF(of_user); i++) {
        if (!find_pair(program->env, program->env_count, of_user[i]) &&
            user_value(user, of_user[i]))
            put_pair(packet, of_user[i], user_value(user, of_user[i]));
    }
    if (!find_pair(base->pairs, base->count, "PATH") &&
        !find_pair(program->env, program->env_count, "PATH"))
        put_pair(packet, "PATH", default_path);
}

static void put_number(struct ph_packet *packet, const char *key, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    put_pair(packet, key, text);
}

static void put_ours(struct ph_packet *packet, const struct ph_program *program, uint64_t mark)
{
    char token[24];
    snprintf(token, sizeof token, "%016" PRIx64, mark);
    put_pair(packet, PH_KEEPER_TOKEN, token);
    if (program->id) {
        put_pair(packet, "PROCHUB_ID", program->id);
        put_number(packet, "PROCHUB_EPOCH", program->epoch);
    }
    if (program->notify_address)
        put_pair(packet, "NOTIFY_SOCKET", program->notify_address);
    if (program->watchdog_ms) {
        put_number(packet, "WATCHDOG_USEC", program->watchdog_ms * 1000);
        put_pair(packet, "WATCHDOG_PID", PH_KEEPER_NO_PID);
    }
    if (program->listen_fds) {
        put_number(packet, "LISTEN_FDS", program->listen_fds);
        put_pair(packet, "LISTEN_PID", PH_KEEPER_NO_PID);
        put_pair(packet, "LISTEN_FDNAMES", program->listen_names);
    }
    if (program->socket)
        put_number(packet, "PROCHUB_SOCKET", PH_KEEPER_STANDARD_FDS + program->listen_fds);
}

static void put_environ(struct ph_packet *packet, const struct ph_program *program,
                        const struct user *user, uint64_t mark)
{
    put_base(packet, program, user);
    for (size_t i = 0; i < program->env_count; i++) {
        if (!is_ours(program, program->env[i].key))
            put_pair(packet, program->env[i].key, program->env[i].value);
    }
    put_ours(packet, program, mark);
}

/* ---- All together ---------------------------------------------------------------------------- */

static int build(struct ph_packet *packet, const struct ph_program *program, uint64_t mark,
                 struct user *user, struct ph_exit *failure)
{
    struct ph_keeper_spawn *head = head_of(packet);
    if (program->user) {
        int rc = find_user(program->user, user, failure);
        if (rc < 0)
            return rc;
    }
    head->command = (struct ph_keeper_command){.type = PH_KEEPER_SPAWN, .mark = mark};
    head->lease = program->lease;
    packet->length = sizeof *head;
    put_user(packet, user);
    size_t texts = packet->length;
    int rc = put_path(packet, program, failure);
    if (rc < 0)
        return rc;
    put_text(packet, program->cwd ? program->cwd : "");
    for (size_t i = 0; i < program->argc; i++)
        put_text(packet, program->argv[i]);
    head->argc = (uint32_t)program->argc;
    put_environ(packet, program, user, mark);
    head->bytes = (uint32_t)(packet->length - texts);
    if (packet->length > PH_KEEPER_PACKET_MAX)
        return ph_exec_failure(failure, E2BIG,
                               "arguments and environment of '%.60s' take more "
                               "than %d bytes",
                               program->argv[0], PH_KEEPER_PACKET_MAX);
    return 0;
}

int ph_packet_build(struct ph_packet *packet, const struct ph_program *program, uint64_t mark,
                    struct ph_exit *failure)
{
    struct user *user = ph_alloc(sizeof *user);
    int rc = build(packet, program, mark, user, failure);
    ph_free(user->bytes);
    ph_free(user);
    return rc;
}

uid_t ph_packet_uid(const struct ph_packet *packet)
{
    const struct ph_keeper_spawn *head =
        (const struct ph_keeper_spawn *)(const void *)packet->bytes;
    return head->flags & PH_KEEPER_USER ? head->uid : geteuid();
}

void ph_program_explain(const struct ph_program *program, enum ph_keeper_stage stage, int error,
                        struct ph_exit *failure)
{
    const char *path = program->argv[0];
    const char *why = strerror(error);
    switch (stage) {
    case PH_STAGE_DIRECTORY:
        ph_exec_failure(failure, error, "cannot change to directory '%.120s': %s", program->cwd,
                        why);
        return;
    case PH_STAGE_USER:
        ph_exec_failure(failure, error, "cannot become user '%.60s': %s", program->user, why);
        return;
    case PH_STAGE_EXEC:
        ph_exec_failure(failure, error, "cannot execute '%.120s': %s%s", path, why,
                        error == ENOENT && *path == '/' && is_executable(path)
                            ? " (its interpreter is missing)"
                            : "");
        return;
    case PH_STAGE_CLONE:
        ph_exec_failure(failure, error, "cannot start a process for '%.100s': %s", path, why);
        return;
    case PH_STAGE_LEASE:
        /* No fault of the program: a start that is tried again may succeed. */
        *failure = (struct ph_exit){.how = PH_EXIT_FAILED, .value = PH_EREFUSED};
        snprintf(failure->text, sizeof failure->text,
                 "its node's lease ran out before it was started");
        return;
    case PH_STAGE_PACKET:
    case PH_STAGE_SESSION:
    case PH_STAGE_OUTPUT:
    case PH_STAGE_NONE:
    case PH_STAGES:
        break;
    }
    ph_exec_failure(failure, error, "cannot prepare '%.100s' (step %d): %s", path, (int)stage, why);
}
