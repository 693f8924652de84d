#include "tui/runner.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/waiter.h"
#include "ipc/run.h"
#include "tui/link.h"

struct ph_runner {
    /* Immutable after create. */
    int event_fd;
    pthread_t thread;
    struct ph_door_link link;

    struct ph_sink sink; /* the thread's */

    pthread_mutex_t lock; /* around all below */
    pthread_cond_t changed;
    char *text; /* to run; NULL: nothing */
    bool stopping, stale;
    struct ph_run *run; /* while it runs */
    struct ph_text output;
    struct ph_runner_result result;
};

static void wake_ui(struct ph_runner *runner)
{
    uint64_t one = 1;
    ssize_t rc = write(runner->event_fd, &one, sizeof one);
    (void)rc; /* a full counter is a wake-up, too */
}

static int collect(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_runner *runner = ph_container_of(sink, struct ph_runner, sink);
    pthread_mutex_lock(&runner->lock);
    struct ph_text *output = &runner->output;
    bool first = !output->length;
    ph_text_append(output, bytes, length);
    if (output->length > PH_RUNNER_OUTPUT_MAX) {
        size_t surplus = output->length - PH_RUNNER_OUTPUT_MAX / 2;
        memmove(output->data, output->data + surplus, output->length - surplus + 1);
        output->length -= surplus;
    }
    pthread_mutex_unlock(&runner->lock);
    if (first)
        wake_ui(runner);
    return 0;
}

/* Opens the door and the run on it, if they are not there. */
static int prepare(struct ph_runner *runner, struct ph_run *run)
{
    struct ph_error error = {0};
    pthread_mutex_lock(&runner->lock);
    bool stale = runner->stale;
    runner->stale = false;
    pthread_mutex_unlock(&runner->lock);
    if (stale)
        ph_door_link_close(&runner->link);
    if (runner->link.door)
        return 0;
    int rc = ph_door_link_open(&runner->link, &error);
    if (rc < 0) {
        struct ph_text text = PH_TEXT_INIT;
        ph_text_printf(&text, "%s\n", error.text[0] ? error.text : ph_error_text(rc));
        collect(&runner->sink, text.data, text.length);
        ph_text_fini(&text);
        return rc;
    }
    run->door = runner->link.door;
    return 0;
}

static void run_one(struct ph_runner *runner, struct ph_run *run, char *text)
{
    struct ph_runner_result result = {.done = true};
    uint64_t began = ph_now_ms();
    int rc = prepare(runner, run);
    result.code = rc < 0 ? (int)ph_error_class(rc) : 0;
    if (!rc) {
        run->exit_code = 0;
        ph_run_reset(run);
        pthread_mutex_lock(&runner->lock);
        runner->run = run;
        pthread_mutex_unlock(&runner->lock);
        result.code = ph_run_text(run, "console", text, strlen(text));
        pthread_mutex_lock(&runner->lock);
        runner->run = NULL;
        pthread_mutex_unlock(&runner->lock);
    }
    if (result.code == PH_CLASS_NO_CONNECTION)
        ph_door_link_close(&runner->link);
    result.took_ms = ph_now_ms() - began;
    result.exited = run->exited;
    pthread_mutex_lock(&runner->lock);
    runner->result = result;
    pthread_mutex_unlock(&runner->lock);
    wake_ui(runner);
}

static void *work(void *arg)
{
    struct ph_runner *runner = arg;
    struct ph_run run;
    ph_run_init(&run, NULL, &runner->sink, PH_FORM_TABLE, false);
    pthread_mutex_lock(&runner->lock);
    for (;;) {
        while (!runner->stopping && !runner->text)
            pthread_cond_wait(&runner->changed, &runner->lock);
        if (runner->stopping)
            break;
        char *text = runner->text;
        runner->text = NULL;
        pthread_mutex_unlock(&runner->lock);
        run_one(runner, &run, text);
        ph_free(text);
        pthread_mutex_lock(&runner->lock);
    }
    pthread_mutex_unlock(&runner->lock);
    ph_run_fini(&run);
    ph_door_link_close(&runner->link);
    ph_thread_leave();
    return NULL;
}

struct ph_runner *ph_runner_create(ph_console_open open_door, void *arg, int event_fd)
{
    struct ph_runner *runner = ph_alloc(sizeof *runner);
    runner->event_fd = fcntl(event_fd, F_DUPFD_CLOEXEC, 3);
    runner->sink = (struct ph_sink){.data = collect, .note = collect};
    ph_door_link_init(&runner->link, open_door, arg);
    pthread_mutex_init(&runner->lock, NULL);
    pthread_cond_init(&runner->changed, NULL);
    ph_assert(pthread_create(&runner->thread, NULL, work, runner) == 0);
    return runner;
}

void ph_runner_cancel(struct ph_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    if (runner->run)
        ph_run_cancel(runner->run);
    pthread_mutex_unlock(&runner->lock);
}

void ph_runner_reopen(struct ph_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->stale = true;
    pthread_mutex_unlock(&runner->lock);
}

void ph_runner_destroy(struct ph_runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    runner->stopping = true;
    pthread_cond_broadcast(&runner->changed);
    pthread_mutex_unlock(&runner->lock);
    ph_runner_cancel(runner);
    if (!ph_door_link_join(&runner->link, runner->thread))
        return; /* a thread that hangs in a door still uses it */
    ph_door_link_fini(&runner->link);
    ph_free(runner->text);
    ph_text_fini(&runner->output);
    pthread_mutex_destroy(&runner->lock);
    pthread_cond_destroy(&runner->changed);
    close(runner->event_fd);
    ph_free(runner);
}

void ph_runner_start(struct ph_runner *runner, const char *text)
{
    pthread_mutex_lock(&runner->lock);
    runner->text = ph_copy_text(text, strlen(text));
    ph_text_clear(&runner->output);
    runner->result = (struct ph_runner_result){0};
    pthread_cond_broadcast(&runner->changed);
    pthread_mutex_unlock(&runner->lock);
}

bool ph_runner_take(struct ph_runner *runner, struct ph_text *output,
                    struct ph_runner_result *result)
{
    pthread_mutex_lock(&runner->lock);
    bool any = runner->output.length || runner->result.done;
    ph_text_append(output, ph_text_str(&runner->output), runner->output.length);
    ph_text_clear(&runner->output);
    *result = runner->result;
    runner->result.done = false;
    pthread_mutex_unlock(&runner->lock);
    return any;
}
