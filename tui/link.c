#include "tui/link.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine/error.h"
#include "ipc/script.h"

enum { JOIN_STEP_MS = 20, JOIN_STEPS = 50 };

void ph_door_link_init(struct ph_door_link *link, ph_console_open open, void *arg)
{
    *link = (struct ph_door_link){.open = open, .arg = arg};
    pthread_mutex_init(&link->lock, NULL);
}

void ph_door_link_fini(struct ph_door_link *link)
{
    ph_door_link_close(link);
    pthread_mutex_destroy(&link->lock);
}

int ph_door_link_open(struct ph_door_link *link, struct ph_error *error)
{
    if (link->door)
        return 0;
    struct ph_door *door;
    int rc = link->open(link->arg, &door, error);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&link->lock);
    link->door = door;
    pthread_mutex_unlock(&link->lock);
    return 0;
}

void ph_door_link_close(struct ph_door_link *link)
{
    pthread_mutex_lock(&link->lock);
    struct ph_door *door = link->door;
    link->door = NULL;
    pthread_mutex_unlock(&link->lock);
    if (door)
        door->close(door);
}

static void fail(struct ph_data *data, int code, const char *text)
{
    data->code = code;
    ph_text_clear(&data->error);
    ph_text_put(&data->error, text);
}

void ph_door_link_run(struct ph_door_link *link, const char *command, struct ph_data *data)
{
    struct ph_script *script;
    struct ph_script_error script_error = {0};
    struct ph_error error = {0};
    int rc = ph_script_parse("console", command, strlen(command), &script, &script_error);
    if (rc < 0) {
        fail(data, rc, script_error.error.text);
        return;
    }
    rc = ph_door_link_open(link, &error);
    if (rc < 0) {
        fail(data, rc, error.text[0] ? error.text : ph_error_text(rc));
    } else if (ph_script_count(script) == 1) {
        struct ph_collector collector;
        ph_collector_init(&collector, data);
        rc = link->door->run(link->door, "console", ph_script_at(script, 0), PH_FORM_JSONL,
                             &collector.sink);
        ph_collector_finish(&collector, rc);
        if (ph_error_class(rc) == PH_CLASS_NO_CONNECTION)
            ph_door_link_close(link);
    } else {
        fail(data, PH_EUSAGE, "one command is expected");
    }
    ph_script_destroy(script);
}

void ph_door_link_cancel(struct ph_door_link *link)
{
    pthread_mutex_lock(&link->lock);
    if (link->door)
        link->door->cancel(link->door);
    pthread_mutex_unlock(&link->lock);
}

bool ph_door_link_join(struct ph_door_link *link, pthread_t thread)
{
    for (int i = 0; i < JOIN_STEPS; i++) {
        struct timespec until;
        ph_door_link_cancel(link);
        clock_gettime(CLOCK_REALTIME, &until); /* ThreadSanitizer knows no pthread_clockjoin_np */
        until.tv_nsec += JOIN_STEP_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        if (pthread_timedjoin_np(thread, NULL, &until) == 0)
            return true;
    }
    pthread_detach(thread);
    return false;
}
