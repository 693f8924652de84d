#include "tui/source.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/waiter.h"
#include "tui/link.h"

enum {
    RETRY_MS = 1000,
    IDLE_FACTOR = 9,    /* idle time for each time of fetching, … */
    IDLE_MAX_MS = 5000, /* … and at most: a node that did not answer for long may be back */
};

struct slot {
    char *command; /* asked for, not begun; NULL: nothing */
    uint64_t tag;
    bool urgent, running;
    uint64_t not_before_ms; /* for requests that are not urgent */
    struct ph_data *ready;
};

struct ph_source {
    /* Immutable after create. */
    int event_fd;
    unsigned period_ms;
    pthread_t watcher, fetcher;
    struct ph_door_link watch, fetch;

    pthread_mutex_t lock; /* around all below */
    pthread_cond_t changed;
    struct slot slots[PH_SLOTS];
    bool stopping, held;
};

static void wake_ui(struct ph_source *source)
{
    uint64_t one = 1;
    ssize_t rc = write(source->event_fd, &one, sizeof one);
    (void)rc; /* a full counter is a wake-up, too */
}

/* UINT64_MAX: until something changes. */
static void wait_until_locked(struct ph_source *source, uint64_t deadline_ms)
{
    if (deadline_ms == UINT64_MAX) {
        pthread_cond_wait(&source->changed, &source->lock);
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000L};
    pthread_cond_timedwait(&source->changed, &source->lock, &until);
}

static void publish_locked(struct ph_source *source, enum ph_slot slot, struct ph_data *data)
{
    ph_data_destroy(source->slots[slot].ready);
    source->slots[slot].ready = data;
    wake_ui(source);
}

/* ---- The watcher ---------------------------------------------------------------------------- */

/* True when the data says something new; `version` becomes what to wait for after. */
static bool read_picture(struct ph_source *source, const struct ph_data *data, uint64_t *version,
                         uint64_t *pause_ms)
{
    *pause_ms = source->period_ms;
    if (ph_error_class(data->code) == PH_CLASS_TIMEOUT)
        return false;
    if (data->code || !data->count) {
        *version = 0;
        *pause_ms = RETRY_MS;
        return true;
    }
    uint64_t before = *version;
    *version = ph_json_uint(&data->rows[0], "version", 0);
    return *version != before || !before;
}

static void pause_locked(struct ph_source *source, uint64_t pause_ms)
{
    uint64_t deadline = ph_now_ms() + pause_ms;
    while (!source->stopping && ph_now_ms() < deadline)
        wait_until_locked(source, deadline);
    while (!source->stopping && source->held)
        wait_until_locked(source, UINT64_MAX);
}

static void *watch(void *arg)
{
    struct ph_source *source = arg;
    uint64_t version = 0, pause_ms;
    pthread_mutex_lock(&source->lock);
    while (!source->stopping) {
        char command[80];
        snprintf(command, sizeof command, "status after=%llu timeout=1h",
                 (unsigned long long)version);
        pthread_mutex_unlock(&source->lock);
        struct ph_data *data = ph_data_create(0);
        ph_door_link_run(&source->watch, command, data);
        pthread_mutex_lock(&source->lock);
        bool news = read_picture(source, data, &version, &pause_ms);
        if (news && !source->stopping)
            publish_locked(source, PH_SLOT_STATUS, data);
        else
            ph_data_destroy(data);
        pause_locked(source, pause_ms);
    }
    pthread_mutex_unlock(&source->lock);
    ph_door_link_close(&source->watch);
    ph_thread_leave();
    return NULL;
}

/* ---- The fetcher ---------------------------------------------------------------------------- */

/* The slot whose turn it is, or PH_SLOTS; `deadline_ms` is when the next one may be. */
static enum ph_slot next_locked(struct ph_source *source, uint64_t *deadline_ms)
{
    uint64_t now = ph_now_ms();
    enum ph_slot found = PH_SLOTS;
    *deadline_ms = UINT64_MAX;
    for (enum ph_slot i = 0; i < PH_SLOTS; i++) {
        const struct slot *slot = &source->slots[i];
        if (!slot->command)
            continue;
        if (slot->urgent)
            return i;
        if (slot->not_before_ms <= now)
            found = found == PH_SLOTS ? i : found;
        else if (slot->not_before_ms < *deadline_ms)
            *deadline_ms = slot->not_before_ms;
    }
    return found;
}

static void fetch_locked(struct ph_source *source, enum ph_slot index)
{
    struct slot *slot = &source->slots[index];
    char *command = slot->command;
    struct ph_data *data = ph_data_create(slot->tag);
    slot->command = NULL;
    slot->urgent = false;
    slot->running = true;
    pthread_mutex_unlock(&source->lock);
    uint64_t began = ph_now_ms();
    ph_door_link_run(&source->fetch, command, data);
    uint64_t ended = ph_now_ms();
    ph_free(command);
    pthread_mutex_lock(&source->lock);
    slot->running = false;
    uint64_t idle_ms = (ended - began) * IDLE_FACTOR;
    uint64_t most_ms = data->code ? RETRY_MS : IDLE_MAX_MS;
    slot->not_before_ms = ended + (idle_ms < most_ms ? idle_ms : most_ms);
    publish_locked(source, index, data);
}

static void *fetch(void *arg)
{
    struct ph_source *source = arg;
    pthread_mutex_lock(&source->lock);
    while (!source->stopping) {
        uint64_t deadline;
        enum ph_slot slot = next_locked(source, &deadline);
        if (slot < PH_SLOTS)
            fetch_locked(source, slot);
        else
            wait_until_locked(source, deadline);
    }
    pthread_mutex_unlock(&source->lock);
    ph_door_link_close(&source->fetch);
    ph_thread_leave();
    return NULL;
}

/* ---- The UI thread's side ------------------------------------------------------------------- */

struct ph_source *ph_source_create(ph_console_open open_door, void *arg, int event_fd,
                                   unsigned period_ms)
{
    struct ph_source *source = ph_alloc(sizeof *source);
    pthread_condattr_t attr;
    source->event_fd = fcntl(event_fd, F_DUPFD_CLOEXEC, 3);
    source->period_ms = period_ms;
    ph_door_link_init(&source->watch, open_door, arg);
    ph_door_link_init(&source->fetch, open_door, arg);
    pthread_mutex_init(&source->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&source->changed, &attr);
    pthread_condattr_destroy(&attr);
    ph_assert(pthread_create(&source->watcher, NULL, watch, source) == 0);
    ph_assert(pthread_create(&source->fetcher, NULL, fetch, source) == 0);
    return source;
}

void ph_source_destroy(struct ph_source *source)
{
    pthread_mutex_lock(&source->lock);
    source->stopping = true;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
    bool watched = ph_door_link_join(&source->watch, source->watcher);
    bool fetched = ph_door_link_join(&source->fetch, source->fetcher);
    if (!watched || !fetched)
        return; /* a thread that hangs in a door still uses it */
    for (enum ph_slot i = 0; i < PH_SLOTS; i++) {
        ph_free(source->slots[i].command);
        ph_data_destroy(source->slots[i].ready);
    }
    ph_door_link_fini(&source->watch);
    ph_door_link_fini(&source->fetch);
    pthread_mutex_destroy(&source->lock);
    pthread_cond_destroy(&source->changed);
    close(source->event_fd);
    ph_free(source);
}

void ph_source_ask(struct ph_source *source, enum ph_slot index, const char *command, uint64_t tag,
                   bool urgent)
{
    pthread_mutex_lock(&source->lock);
    struct slot *slot = &source->slots[index];
    ph_free(slot->command);
    slot->command = command ? ph_copy_text(command, strlen(command)) : NULL;
    slot->tag = tag;
    slot->urgent = urgent || (slot->urgent && command);
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

struct ph_data *ph_source_take(struct ph_source *source, enum ph_slot index)
{
    pthread_mutex_lock(&source->lock);
    struct ph_data *data = source->slots[index].ready;
    source->slots[index].ready = NULL;
    pthread_mutex_unlock(&source->lock);
    return data;
}

bool ph_source_busy(struct ph_source *source)
{
    uint64_t now = ph_now_ms();
    bool busy = false;
    pthread_mutex_lock(&source->lock);
    for (enum ph_slot i = 0; i < PH_SLOTS; i++) {
        const struct slot *slot = &source->slots[i];
        busy |= slot->running || (slot->command && (slot->urgent || slot->not_before_ms <= now));
    }
    pthread_mutex_unlock(&source->lock);
    return busy;
}

void ph_source_hold(struct ph_source *source, bool hold)
{
    pthread_mutex_lock(&source->lock);
    source->held = hold;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}
