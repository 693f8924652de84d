#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "ipc/remote_inside.h"

enum { STACK_BYTES = 256 * 1024 };

/* ---- A statement's thread -------------------------------------------------------------------- */

/* Waits until so little is under way that the next piece may go out. */
static int wait_for_room(struct ph_remote_run *run)
{
    struct ph_remote *remote = run->remote;
    for (;;) {
        pthread_mutex_lock(&remote->lock);
        bool room = run->under_way < PH_REMOTE_WINDOW;
        pthread_mutex_unlock(&remote->lock);
        if (room)
            return 0;
        int rc = ph_waiter_sleep(&run->session.waiter, UINT64_MAX);
        if (rc < 0)
            return rc;
    }
}

static int send_pieces(struct ph_remote_run *run, enum ph_frame_type type, const char *bytes,
                       size_t length)
{
    struct ph_remote *remote = run->remote;
    while (length) {
        size_t piece = length < PH_FRAME_DATA_MAX ? length : PH_FRAME_DATA_MAX;
        int rc = wait_for_room(run);
        if (rc < 0)
            return rc;
        pthread_mutex_lock(&remote->lock);
        run->under_way += piece + PH_FRAME_HEADER;
        pthread_mutex_unlock(&remote->lock);
        ph_remote_say(remote, run->peer, run->number, type, bytes, piece);
        bytes += piece;
        length -= piece;
    }
    return 0;
}

static int sink_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_remote_run *run = ph_container_of(sink, struct ph_remote_run, sink);
    return send_pieces(run, PH_FRAME_OUTPUT, bytes, length);
}

static int sink_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_remote_run *run = ph_container_of(sink, struct ph_remote_run, sink);
    return send_pieces(run, PH_FRAME_ERROR, bytes, length);
}

/* The commands that may be asked for: all only read. */
static bool is_served(const struct ph_statement *statement)
{
    static const char *const served[] = {"logs", "history", "child", "events", "conflicts"};
    for (size_t i = 0; i < PH_COUNT_OF(served); i++)
        if (strcmp(statement->words[0].text, served[i]) == 0)
            return true;
    return statement->count > 1 && strcmp(statement->words[0].text, "conflict") == 0 &&
           strcmp(statement->words[1].text, "show") == 0;
}

static int run_statement(struct ph_remote_run *run)
{
    struct ph_session *session = &run->session;
    const struct ph_frame_run *asked = &run->statement;
    const struct ph_word *word = &asked->statement.words[0];
    struct ph_position at = {asked->script, word->line, word->column};
    char text[160] = "";
    int rc = 0;
    if (!is_served(&asked->statement)) {
        rc = PH_EREFUSED;
        snprintf(text, sizeof text,
                 "nodes ask each other only what reads one child, events or conflicts");
    } else if (!session->hub) {
        rc = PH_ENOTFOUND;
        snprintf(text, sizeof text, "node %s runs no hub %s", ph_node_name(run->remote->node),
                 run->hub);
    }
    if (rc == 0)
        return ph_session_run(session, asked->script, &asked->statement, asked->form, &run->sink);
    ph_say_error(&run->sink, asked->form, at, rc, text);
    return rc;
}

static void *serve_run(void *arg)
{
    struct ph_remote_run *run = arg;
    struct ph_remote *remote = run->remote;
    pthread_setname_np(pthread_self(), "ph-served");
    uint32_t code = (uint32_t)run_statement(run);
    unsigned char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(code >> (8 * i));
    ph_remote_say(remote, run->peer, run->number, PH_FRAME_EXIT, bytes, sizeof bytes);
    ph_thread_leave();
    pthread_mutex_lock(&remote->lock);
    run->ended = true;
    pthread_cond_signal(&remote->cond);
    pthread_mutex_unlock(&remote->lock);
    return NULL;
}

/* ---- What comes from askers: the links' thread ------------------------------------------------
 */

/* A name before the run frame; false when it is none. */
static bool take_name(const char **bytes, size_t *length, char name[PH_NAME_MAX + 1])
{
    size_t size = *length ? (unsigned char)**bytes : 0;
    if (size == 0 || size > PH_NAME_MAX || size + 1 > *length)
        return false;
    memcpy(name, *bytes + 1, size);
    name[size] = '\0';
    *bytes += size + 1;
    *length -= size + 1;
    return ph_name_is_valid(name);
}

static struct ph_remote_run *read_run(struct ph_remote *remote, const char *bytes, size_t length)
{
    struct ph_remote_run *run = ph_alloc(sizeof *run);
    bool good =
        take_name(&bytes, &length, run->node) && take_name(&bytes, &length, run->hub) &&
        length >= PH_FRAME_HEADER && ph_frame_length(bytes, length) == length &&
        bytes[4] == PH_FRAME_RUN &&
        ph_frame_read_run(bytes + PH_FRAME_HEADER, length - PH_FRAME_HEADER, &run->statement) == 0;
    if (!good) {
        ph_free(run);
        return NULL;
    }
    run->remote = remote;
    run->sink = (struct ph_sink){.data = sink_data, .note = sink_note};
    ph_session_init(&run->session, remote->node, run->hub);
    run->session.served = true;
    return run;
}

static void free_run(struct ph_remote_run *run)
{
    ph_frame_run_fini(&run->statement);
    ph_session_fini(&run->session);
    ph_free(run);
}

static void refuse(struct ph_remote *remote, uint64_t peer, uint64_t number, int code)
{
    unsigned char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)((uint32_t)code >> (8 * i));
    ph_remote_say(remote, peer, number, PH_FRAME_EXIT, bytes, sizeof bytes);
}

static struct ph_remote_run *find_run_locked(struct ph_remote *remote, uint64_t peer,
                                             uint64_t number)
{
    struct ph_remote_run *run = remote->runs;
    while (run && (run->number != number || run->peer != peer))
        run = run->next;
    return run;
}

static void begin_run(struct ph_remote *remote, uint64_t peer, uint64_t number, const char *bytes,
                      size_t length)
{
    struct ph_remote_run *run = read_run(remote, bytes, length);
    if (!run)
        return;
    run->peer = peer;
    run->number = number;
    pthread_mutex_lock(&remote->lock);
    bool taken = !remote->stop && remote->run_count < PH_REMOTE_RUNS_MAX &&
                 !find_run_locked(remote, peer, number);
    if (taken) {
        run->next = remote->runs;
        remote->runs = run;
        remote->run_count++;
        pthread_cond_signal(&remote->cond);
    }
    pthread_mutex_unlock(&remote->lock);
    if (!taken) {
        refuse(remote, peer, number, PH_ELIMIT);
        free_run(run);
    }
}

static void take(struct ph_remote_run *run, const char *frame, size_t length)
{
    size_t taken = 0;
    for (size_t i = 0; i < 4 && length == PH_FRAME_HEADER + 4; i++)
        taken |= (size_t)(unsigned char)frame[PH_FRAME_HEADER + i] << (8 * i);
    run->under_way -= taken < run->under_way ? taken : run->under_way;
    ph_waiter_wake(&run->session.waiter);
}

void ph_remote_serve(struct ph_remote *remote, uint64_t peer, uint64_t number, const char *bytes,
                     size_t length)
{
    bool whole = length >= PH_FRAME_HEADER && ph_frame_length(bytes, length) == length;
    if (!whole || (bytes[4] != PH_FRAME_CANCEL && bytes[4] != PH_FRAME_CREDIT)) {
        begin_run(remote, peer, number, bytes, length);
        return;
    }
    pthread_mutex_lock(&remote->lock);
    struct ph_remote_run *run = find_run_locked(remote, peer, number);
    if (run && bytes[4] == PH_FRAME_CANCEL)
        ph_waiter_cancel(&run->session.waiter);
    else if (run)
        take(run, bytes, length);
    pthread_mutex_unlock(&remote->lock);
}

/* ---- The serving thread -----------------------------------------------------------------------
 */

static void start_thread(struct ph_remote_run *run)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    run->started = pthread_create(&run->thread, &attributes, serve_run, run) == 0;
    pthread_attr_destroy(&attributes);
}

/* Takes out those that have ended; the rest is started if it was not. Returns a list of the ended.
 */
static struct ph_remote_run *sort_runs_locked(struct ph_remote *remote)
{
    struct ph_remote_run *ended = NULL;
    for (struct ph_remote_run **link = &remote->runs; *link;) {
        struct ph_remote_run *run = *link;
        if (!run->started)
            start_thread(run);
        if (run->started && !run->ended) {
            link = &run->next;
            continue;
        }
        *link = run->next;
        remote->run_count--;
        run->next = ended;
        ended = run;
    }
    return ended;
}

static void bury(struct ph_remote *remote, struct ph_remote_run *ended)
{
    while (ended) {
        struct ph_remote_run *run = ended;
        ended = run->next;
        if (run->started)
            pthread_join(run->thread, NULL);
        else
            refuse(remote, run->peer, run->number, PH_ELIMIT);
        free_run(run);
    }
}

/* Cancels what was asked for by nodes that are gone. The port is asked without the lock. */
static void check_askers(struct ph_remote *remote)
{
    struct {
        char node[PH_NAME_MAX + 1];
        uint64_t peer;
    } askers[PH_REMOTE_RUNS_MAX];
    unsigned count = 0;
    pthread_mutex_lock(&remote->lock);
    for (struct ph_remote_run *run = remote->runs; run && count < PH_REMOTE_RUNS_MAX;
         run = run->next, count++) {
        memcpy(askers[count].node, run->node, sizeof run->node);
        askers[count].peer = run->peer;
    }
    pthread_mutex_unlock(&remote->lock);
    for (unsigned i = 0; i < count; i++) {
        if (remote->port->find(remote->context, askers[i].node) == askers[i].peer)
            continue;
        pthread_mutex_lock(&remote->lock);
        for (struct ph_remote_run *run = remote->runs; run; run = run->next)
            if (run->peer == askers[i].peer)
                ph_waiter_cancel(&run->session.waiter);
        pthread_mutex_unlock(&remote->lock);
    }
}

static bool has_work_locked(const struct ph_remote *remote)
{
    for (const struct ph_remote_run *run = remote->runs; run; run = run->next)
        if (!run->started || run->ended)
            return true;
    return false;
}

static void rest_locked(struct ph_remote *remote)
{
    struct timespec until;
    if (!remote->runs) {
        pthread_cond_wait(&remote->cond, &remote->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)PH_REMOTE_CHECK_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&remote->cond, &remote->lock, &until);
}

static void *attend(void *arg)
{
    struct ph_remote *remote = arg;
    pthread_setname_np(pthread_self(), "ph-remote");
    pthread_mutex_lock(&remote->lock);
    while (!remote->stop || remote->runs) {
        struct ph_remote_run *ended = sort_runs_locked(remote);
        for (struct ph_remote_run *run = remote->runs; remote->stop && run; run = run->next)
            ph_waiter_cancel(&run->session.waiter);
        pthread_mutex_unlock(&remote->lock);
        bury(remote, ended);
        check_askers(remote);
        pthread_mutex_lock(&remote->lock);
        if (!has_work_locked(remote) && (remote->runs || !remote->stop))
            rest_locked(remote);
    }
    pthread_mutex_unlock(&remote->lock);
    ph_thread_leave();
    return NULL;
}

int ph_remote_serve_start(struct ph_remote *remote)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&remote->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&remote->lock, NULL);
    int rc = -pthread_create(&remote->thread, NULL, attend, remote);
    if (rc == 0)
        return 0;
    pthread_mutex_destroy(&remote->lock);
    pthread_cond_destroy(&remote->cond);
    return rc;
}

void ph_remote_serve_stop(struct ph_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    remote->stop = true;
    pthread_cond_signal(&remote->cond);
    pthread_mutex_unlock(&remote->lock);
    pthread_join(remote->thread, NULL);
    pthread_mutex_destroy(&remote->lock);
    pthread_cond_destroy(&remote->cond);
}
