/* A process that takes messages: its talk, and its mailbox. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base.h"
#include "engine/kind/monitor_inside.h"
#include "engine/kind/process.h"
#include "engine/legacy.h"

static struct ph_process *of_talk(struct ph_talk *talk)
{
    return ph_container_of(talk, struct ph_process, talk);
}

static void talk_stands_by(struct ph_talk *talk)
{
    ph_process_check_ready(of_talk(talk));
}

static void talk_works(struct ph_talk *talk)
{
    of_talk(talk)->works = true;
    ph_process_check_ready(of_talk(talk));
}

/* Mail is for one that is up. */
static struct ph_message_box *talk_next(struct ph_talk *talk)
{
    struct ph_process *process = of_talk(talk);
    struct ph_message_box *box = process->unsent;
    if (!process->up)
        return NULL;
    process->unsent = NULL;
    if (!box)
        box = ph_mailbox_take(&process->mail);
    /* Relaxed: a figure. */
    atomic_fetch_add_explicit(&process->handled, box != NULL, memory_order_relaxed);
    return box;
}

static void talk_saved(struct ph_talk *talk)
{
    struct ph_process *process = of_talk(talk);
    ph_ward_stop(&process->monitor->keeper, &process->ward, process->spec->stop_signal);
    process->owner->ending(process->arg, process->instance);
}

static void talk_not_saved(struct ph_talk *talk, const char *why)
{
    struct ph_process *process = of_talk(talk);
    if (!process->saving)
        return; /* it was told to stop meanwhile */
    process->saving = false;
    process->owner->kept(process->arg, process->instance, why);
}

static void talk_merged(struct ph_talk *talk, int code, const char *why)
{
    struct ph_process *process = of_talk(talk);
    ph_legacy_put(process->legacy);
    process->legacy = NULL;
    process->owner->merged(process->arg, process->instance, code, why);
}

static void talk_failed(struct ph_talk *talk, enum ph_exit_how how, const char *why)
{
    if (how == PH_EXIT_FAILED)
        ph_process_note(of_talk(talk), "socket_failed", "%s", why);
    ph_process_fail(of_talk(talk), how, "%s", why);
}

static void talk_refused(struct ph_talk *talk, const char *why)
{
    ph_process_note(of_talk(talk), "message_refused", "%s", why);
}

const struct ph_talk_calls ph_process_talk_calls = {
    .stands_by = talk_stands_by,
    .works = talk_works,
    .next = talk_next,
    .saved = talk_saved,
    .not_saved = talk_not_saved,
    .merged = talk_merged,
    .failed = talk_failed,
    .refused = talk_refused,
};

int ph_process_talk_open(struct ph_process *process, struct ph_packet *packet,
                         struct ph_exit *failure)
{
    int pair[2];
    if (!process->spec->socket)
        return 0;
    int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
    if (rc == 0) {
        ph_packet_add_extra(packet, pair[1]);
        rc = ph_talk_open(&process->talk, pair[0]);
    }
    if (rc < 0)
        return ph_exec_failure(failure, -rc, "cannot make a socket for '%.100s': %s",
                               process->spec->argv[0], strerror(-rc));
    if (process->passive)
        ph_talk_stand_by(&process->talk);
    else
        ph_talk_work(&process->talk, &process->load, process->epoch);
    return 0;
}

void ph_process_talk_close(struct ph_process *process)
{
    struct ph_message_box *back = ph_talk_close(&process->talk);
    if (back)
        process->unsent = back;
    ph_legacy_put(process->legacy);
    process->legacy = NULL;
}

bool ph_process_talk_take_saved(struct ph_process *process, struct ph_text *state)
{
    *state = process->talk.saved;
    process->talk.saved = PH_TEXT_INIT;
    return state->data;
}

void ph_process_mail_clear(struct ph_process *process, int code, const char *text)
{
    if (process->unsent)
        ph_message_box_destroy(process->unsent, code, text);
    process->unsent = NULL;
    ph_mailbox_clear(&process->mail, code, text);
}

/* The hub is the reader while there is no instance. */
void ph_process_forward(struct ph_process *process, struct ph_queue *into)
{
    if (process->unsent)
        ph_queue_push(into, &process->unsent->link);
    process->unsent = NULL;
    ph_mailbox_forward(&process->mail, into);
}
