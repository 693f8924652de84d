#include "engine/kind/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/kind/journal_file.h"
#include "engine/limits.h"

enum { NODE_FILE_MAX = 256 };

struct call {
    struct call *next;
    struct ph_journal_writer *writer;
    enum ph_journal_verb verb;
    struct ph_journal_mark mark;
    struct ph_text record;
};

struct ph_journal_writer {
    struct ph_state_dir *dir;
    struct ph_journal_owner owner;
    struct ph_journal_file file; /* the thread's, once it is open */
    struct ph_journal_writer *next_touched;
    bool touched, failed; /* the thread's; failed: what comes before a RENEW is dropped */
    struct ph_journal_answer answer;
    uint64_t waiting; /* calls that were not answered; under the lock */
};

struct ph_state_dir {
    char *path;
    int lock_fd;
    uint64_t incarnation;
    pthread_mutex_t lock; /* guards the calls and how many wait */
    pthread_cond_t work, done;
    struct call *first, **last;
    bool stopping;
    pthread_t thread;
};

/* ---- The thread ------------------------------------------------------------------------------ */

static void do_call(struct call *call, struct ph_journal_writer **touched)
{
    struct ph_journal_writer *writer = call->writer;
    if (!writer->touched) {
        writer->touched = true;
        writer->answer = (struct ph_journal_answer){0};
        writer->next_touched = *touched;
        *touched = writer;
    }
    if (call->verb == PH_JOURNAL_RENEW && !writer->answer.code) /* else its hub is told first */
        writer->failed = false;
    if (writer->failed)
        return;
    writer->answer.done = call->mark;
    writer->answer.renewed |= call->verb == PH_JOURNAL_REPLACE;
    writer->answer.code = ph_journal_file_call(&writer->file, call->verb, &call->record);
    writer->failed = writer->answer.code != 0;
}

static void answer(struct ph_journal_writer *writer)
{
    struct ph_journal_answer *answer = &writer->answer;
    char text[512];
    writer->touched = false;
    if (answer->done.call == 0)
        return; /* all were dropped */
    if (answer->code == 0)
        answer->code = ph_journal_file_sync(&writer->file);
    answer->bytes = writer->file.bytes;
    if (answer->code) {
        writer->failed = true;
        snprintf(text, sizeof text, "%s: %s", writer->file.path, ph_error_text(answer->code));
        answer->text = text;
    }
    writer->owner.done(writer->owner.arg, answer);
}

static void do_calls(struct call *calls)
{
    struct ph_journal_writer *touched = NULL, *next;
    for (struct call *call = calls; call; call = call->next)
        do_call(call, &touched);
    for (; touched; touched = next) {
        next = touched->next_touched;
        answer(touched);
    }
}

/* Their owners may go now. */
static void forget_calls_locked(struct ph_state_dir *dir, struct call *calls)
{
    for (struct call *next; calls; calls = next) {
        next = calls->next;
        calls->writer->waiting--;
        ph_text_fini(&calls->record);
        ph_free(calls);
    }
    pthread_cond_broadcast(&dir->done);
}

static void *run(void *arg)
{
    struct ph_state_dir *dir = arg;
    pthread_mutex_lock(&dir->lock);
    while (dir->first || !dir->stopping) {
        struct call *calls = dir->first;
        if (!calls) {
            pthread_cond_wait(&dir->work, &dir->lock);
            continue;
        }
        dir->first = NULL;
        dir->last = &dir->first;
        pthread_mutex_unlock(&dir->lock);
        do_calls(calls);
        pthread_mutex_lock(&dir->lock);
        forget_calls_locked(dir, calls);
    }
    pthread_mutex_unlock(&dir->lock);
    ph_thread_leave();
    return NULL;
}

/* All signals are blocked in it: they belong to the program's own threads. */
static int start_thread(struct ph_state_dir *dir)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&dir->thread, NULL, run, dir);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(dir->thread, "ph-state");
    return -rc;
}

/* ---- The directory --------------------------------------------------------------------------- */

static char *path_of(const struct ph_state_dir *dir, const char *name)
{
    struct ph_text text = PH_TEXT_INIT;
    ph_text_printf(&text, "%s/%s", dir->path, name);
    return text.data;
}

static int fault(const struct ph_state_dir *dir, int code, struct ph_error *error)
{
    return ph_error_set(error, code, "state directory %s: %s", dir->path, ph_error_text(code));
}

static int take(struct ph_state_dir *dir, struct ph_error *error)
{
    if (mkdir(dir->path, 0700) < 0 && errno != EEXIST)
        return fault(dir, -errno, error);
    char *path = path_of(dir, "lock");
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = dir->lock_fd < 0 ? -errno : 0;
    if (rc == 0 && flock(dir->lock_fd, LOCK_EX | LOCK_NB) < 0)
        rc = -errno;
    ph_free(path);
    if (rc == -EWOULDBLOCK)
        return ph_error_set(error, PH_EREFUSED, "state directory %s: another node uses it",
                            dir->path);
    return rc ? fault(dir, rc, error) : 0;
}

/* "prochub node 1", name, incarnation, a line each. Nothing yet: an empty name. */
static int read_node(const struct ph_state_dir *dir, char *name, uint64_t *incarnation)
{
    char text[NODE_FILE_MAX] = "";
    char *path = path_of(dir, "node");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : 0;
    ssize_t got = rc ? 0 : read(fd, text, sizeof text - 1);
    if (got < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    ph_free(path);
    if (rc == 0 && sscanf(text, "prochub node 1\nname %64s\nincarnation %" SCNu64 "\n", name,
                          incarnation) != 2)
        rc = -EBADMSG;
    return rc == -ENOENT ? 0 : rc;
}

/* Written beside, synced, renamed: it is the old one or the new one. */
static int write_node(const struct ph_state_dir *dir, const char *name)
{
    struct ph_text text = PH_TEXT_INIT;
    char *path = path_of(dir, "node"), *new_path = path_of(dir, "node.new");
    ph_text_printf(&text, "prochub node 1\nname %s\nincarnation %" PRIu64 "\n", name,
                   dir->incarnation);
    int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : 0;
    if (rc == 0 && write(fd, text.data, text.length) != (ssize_t)text.length)
        rc = errno ? -errno : -EIO;
    if (rc == 0 && (fsync(fd) < 0 || rename(new_path, path) < 0))
        rc = -errno;
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        rc = ph_journal_sync_directory(path);
    ph_text_fini(&text);
    ph_free(new_path);
    ph_free(path);
    return rc;
}

static int identify(struct ph_state_dir *dir, const char *node, uint64_t incarnation,
                    struct ph_error *error)
{
    char name[PH_NAME_MAX + 1] = "";
    uint64_t before = 0;
    int rc = read_node(dir, name, &before);
    if (rc == -EBADMSG)
        return ph_error_set(error, PH_EREFUSED,
                            "%s/node is not of this version of prochub: move the directory away "
                            "to begin anew",
                            dir->path);
    if (rc)
        return fault(dir, rc, error);
    if (*name && strcmp(name, node) != 0)
        return ph_error_set(error, PH_EREFUSED,
                            "state directory %s is that of node %s: use --name %s, or another "
                            "directory",
                            dir->path, name, name);
    uint64_t next = before + (UINT64_C(1) << 32);
    dir->incarnation = incarnation > next ? incarnation : next;
    rc = write_node(dir, node);
    return rc ? fault(dir, rc, error) : 0;
}

static void destroy(struct ph_state_dir *dir)
{
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    pthread_cond_destroy(&dir->done);
    pthread_cond_destroy(&dir->work);
    pthread_mutex_destroy(&dir->lock);
    ph_free(dir->path);
    ph_free(dir);
}

int ph_state_dir_open(const char *path, const char *node, uint64_t incarnation,
                      struct ph_state_dir **opened, struct ph_error *error)
{
    struct ph_state_dir *dir = ph_alloc(sizeof *dir);
    dir->path = ph_copy_text(path, strlen(path));
    dir->lock_fd = -1;
    dir->last = &dir->first;
    pthread_mutex_init(&dir->lock, NULL);
    pthread_cond_init(&dir->work, NULL);
    pthread_cond_init(&dir->done, NULL);
    int rc = take(dir, error);
    if (rc == 0)
        rc = identify(dir, node, incarnation, error);
    if (rc == 0 && (rc = start_thread(dir)))
        rc = fault(dir, rc, error);
    if (rc) {
        destroy(dir);
        return rc;
    }
    *opened = dir;
    return 0;
}

uint64_t ph_state_dir_incarnation(const struct ph_state_dir *dir)
{
    return dir->incarnation;
}

void ph_state_dir_close(struct ph_state_dir *dir)
{
    if (!dir)
        return;
    pthread_mutex_lock(&dir->lock);
    dir->stopping = true;
    pthread_cond_signal(&dir->work);
    pthread_mutex_unlock(&dir->lock);
    pthread_join(dir->thread, NULL);
    destroy(dir);
}

/* ---- Journals -------------------------------------------------------------------------------- */

int ph_journal_open(struct ph_state_dir *dir, const char *hub, const struct ph_journal_owner *owner,
                    struct ph_text *torn, struct ph_journal_writer **opened, struct ph_error *error)
{
    struct ph_journal_writer *writer = ph_alloc(sizeof *writer);
    struct ph_text path = PH_TEXT_INIT;
    writer->dir = dir;
    writer->owner = *owner;
    ph_text_printf(&path, "%s/hub-%s.journal", dir->path, hub);
    int rc =
        ph_journal_file_open(&writer->file, path.data, owner->read, owner->reader, torn, error);
    ph_text_fini(&path);
    if (rc) {
        ph_free(writer);
        return rc;
    }
    *opened = writer;
    return 0;
}

uint64_t ph_journal_bytes(const struct ph_journal_writer *writer)
{
    return writer->file.bytes;
}

void ph_journal_call(struct ph_journal_writer *writer, enum ph_journal_verb verb,
                     struct ph_journal_mark mark, struct ph_text *record)
{
    struct ph_state_dir *dir = writer->dir;
    struct call *call = ph_alloc(sizeof *call);
    call->writer = writer;
    call->verb = verb;
    call->mark = mark;
    if (record) {
        call->record = *record;
        *record = PH_TEXT_INIT;
    }
    pthread_mutex_lock(&dir->lock);
    writer->waiting++;
    *dir->last = call;
    dir->last = &call->next;
    pthread_cond_signal(&dir->work);
    pthread_mutex_unlock(&dir->lock);
}

void ph_journal_close(struct ph_journal_writer *writer)
{
    if (!writer)
        return;
    struct ph_state_dir *dir = writer->dir;
    pthread_mutex_lock(&dir->lock);
    while (writer->waiting)
        pthread_cond_wait(&dir->done, &dir->lock);
    pthread_mutex_unlock(&dir->lock);
    ph_journal_file_close(&writer->file);
    ph_free(writer);
}
