#include "ipc/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "ipc/door.h"

static bool first_name(void *arg, struct ph_hub *hub)
{
    snprintf(arg, PH_NAME_MAX + 1, "%s", ph_hub_name(hub));
    return false;
}

static struct ph_hub *find_hub(struct ph_node *node, const char *name)
{
    char first[PH_NAME_MAX + 1] = "";
    if (!name)
        ph_node_each_hub(node, first_name, first);
    return ph_hub_get(node, name ? name : first);
}

void ph_session_init(struct ph_session *session, struct ph_node *node, const char *hub)
{
    *session = (struct ph_session){.node = node, .hub = find_hub(node, hub)};
    ph_waiter_init(&session->waiter);
}

void ph_session_fini(struct ph_session *session)
{
    if (session->hub)
        ph_hub_put(session->hub);
    ph_free(session->locks);
    ph_waiter_fini(&session->waiter);
}

int ph_session_hub(struct ph_session *session, struct ph_hub **hub)
{
    if (!session->hub)
        session->hub = find_hub(session->node, NULL);
    if (!session->hub)
        return ph_session_error(session, NULL, PH_ENOTFOUND,
                                "no hub is in use: make one with `hub create NAME`");
    *hub = session->hub;
    return 0;
}

int ph_session_run(struct ph_session *session, const char *script,
                   const struct ph_statement *statement, enum ph_form form, struct ph_sink *sink)
{
    session->script = script;
    session->statement = statement;
    session->form = form;
    session->sink = sink;
    struct ph_args args = {0};
    struct ph_script_error error = {0};
    int rc = ph_command_read(statement, false, &args, &error);
    if (rc < 0)
        ph_say_error(sink, form, (struct ph_position){script, error.line, error.column}, rc,
                     error.error.text);
    else if (!args.command->run)
        rc = ph_session_error(session, NULL, PH_EUSAGE,
                              "`%s` runs where the script is, not on a node", args.command->name);
    else
        rc = args.command->run(session, &args);
    ph_args_fini(&args);
    return rc;
}

int ph_session_error(struct ph_session *session, const struct ph_word *word, int code,
                     const char *format, ...)
{
    char message[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    if (!word && session->statement && session->statement->count)
        word = &session->statement->words[0];
    ph_say_error(
        session->sink, session->form,
        (struct ph_position){session->script, word ? word->line : 1, word ? word->column : 1}, code,
        message);
    return code;
}

/* ---- A session behind a door -------------------------------------------------------------- */

struct local_door {
    struct ph_door door;
    struct ph_session session;
};

static int local_run(struct ph_door *door, const char *script, const struct ph_statement *statement,
                     enum ph_form form, struct ph_sink *sink)
{
    struct local_door *local = ph_container_of(door, struct local_door, door);
    int rc = ph_session_run(&local->session, script, statement, form, sink);
    /* A cancellation is spent on the statement that it ended, or on the next one when it came
     * between two; it is never lost. */
    ph_waiter_reset(&local->session.waiter);
    return rc;
}

static void local_cancel(struct ph_door *door)
{
    ph_waiter_cancel(&ph_container_of(door, struct local_door, door)->session.waiter);
}

static void local_close(struct ph_door *door)
{
    struct local_door *local = ph_container_of(door, struct local_door, door);
    ph_session_fini(&local->session);
    ph_free(local);
}

int ph_door_local(struct ph_node *node, const char *hub, struct ph_door **door)
{
    struct local_door *local = ph_alloc(sizeof *local);
    local->door = (struct ph_door){.run = local_run, .cancel = local_cancel, .close = local_close};
    ph_session_init(&local->session, node, hub);
    if (hub && !local->session.hub) {
        local_close(&local->door);
        return PH_ENOTFOUND;
    }
    *door = &local->door;
    return 0;
}

void ph_door_local_place(struct ph_door *door, const struct ph_session_place *place)
{
    ph_container_of(door, struct local_door, door)->session.place = *place;
}
