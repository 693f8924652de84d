#include "ipc/command_run.h"

#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/op.h"
#include "ipc/subject.h"

/* Moves between nodes: migrate, unpin, drain, undrain. On a node without links a child is where it
 * can be: moving it there changes nothing, and it cannot be anywhere else. */

enum { PROGRESS_MS = 1000 };

static int no_node(struct ph_session *session, const struct ph_word *node)
{
    return ph_session_error(session, node, PH_ENOTFOUND,
                            "there is no node %s; this one, %s, has no links", node->text,
                            session->node->name);
}

static int refused(struct ph_session *session, const struct ph_word *word, int rc,
                   const struct ph_error *error)
{
    return ph_session_error(session, word, rc, "%s",
                            error->text[0] ? error->text : ph_error_text(rc));
}

/* The result of a request that changes nothing: what is there is as it is wanted. */
static struct ph_op *unchanged(struct ph_hub *hub, struct ph_ids *ids)
{
    struct ph_op *op = ph_op_create();
    struct ph_child_info info;
    size_t cursor = 0;
    for (const char *id; (id = ph_ids_next(ids, &cursor, NULL));) {
        if (ph_lookup(hub, id, &info) == PH_ENOTFOUND)
            ph_op_fail(op, id, PH_ENOTFOUND, "there is no such child");
        else
            ph_op_same(op);
    }
    ph_op_complete(op, 0, NULL);
    return op;
}

static int check_migrate(struct ph_session *session, const struct ph_args *args,
                         const struct ph_word **node)
{
    const struct ph_word *to = args->words[args->word_count - 2];
    *node = args->words[args->word_count - 1];
    if (!ph_word_is(to, "to"))
        return ph_session_error(session, to, PH_EUSAGE, "write: %s", args->command->usage);
    return 0;
}

static enum ph_move_mode mode_of(const struct ph_args *args)
{
    const char *mode = ph_args_text(args, "mode");
    if (!mode)
        return PH_MOVE_ANY;
    return strcmp(mode, "hot") == 0 ? PH_MOVE_HOT : PH_MOVE_COLD;
}

int ph_command_migrate(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *node;
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    struct ph_op *op = NULL;
    struct ph_error error = {0};
    int rc = check_migrate(session, args, &node);
    if (rc == 0)
        rc = ph_session_targets(session, args, args->word_count - 2, &hub, &ids);
    if (rc < 0)
        return rc;
    if (hub->directory)
        rc = ph_migrate(hub, &ids, node->text, mode_of(args), ph_args_waits(args) ? &op : NULL,
                        &error);
    else if (strcmp(node->text, session->node->name) == 0)
        op = unchanged(hub, &ids);
    else
        rc = no_node(session, node);
    ph_ids_fini(&ids);
    if (rc < 0)
        return hub->directory ? refused(session, node, rc, &error) : rc;
    if (!op)
        return ph_session_under_way(session, "migrated", false);
    return ph_session_report(session, op, "migrated", false, ph_args_timeout(args, UINT64_MAX));
}

int ph_command_unpin(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    struct ph_ids ids = {0};
    struct ph_op *op = NULL;
    int rc = ph_session_targets(session, args, args->word_count, &hub, &ids);
    if (rc < 0)
        return rc;
    if (hub->directory)
        rc = ph_unpin(hub, &ids, ph_args_waits(args) ? &op : NULL);
    else
        op = unchanged(hub, &ids);
    ph_ids_fini(&ids);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    if (!op)
        return ph_session_under_way(session, "unpinned", false);
    return ph_session_report(session, op, "unpinned", false, ph_args_timeout(args, UINT64_MAX));
}

/* ---- drain, undrain ------------------------------------------------------------------------- */

/* People at a terminal see it go on. Returns for how long that was. */
static uint64_t show_progress(struct ph_session *session, const char *node, struct ph_op *op,
                              uint64_t timeout_ms)
{
    uint64_t seen = 0, waited_ms = 0;
    while (session->form == PH_FORM_TABLE && timeout_ms - waited_ms > PROGRESS_MS &&
           ph_op_wait(op, PROGRESS_MS, &session->waiter) == PH_ETIMEOUT) {
        uint64_t changed = ph_op_result(op)->changed;
        if (changed != seen)
            ph_session_note(session, "%s: %llu moved", node, (unsigned long long)changed);
        seen = changed;
        waited_ms += PROGRESS_MS;
    }
    return waited_ms;
}

int ph_command_drain(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *node = args->words[0];
    struct ph_hub *hub;
    struct ph_op *op;
    struct ph_error error = {0};
    uint64_t deadline_ms = UINT64_MAX;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    if (!hub->directory && strcmp(node->text, session->node->name) != 0)
        return no_node(session, node);
    if (!hub->directory)
        return ph_session_error(session, node, PH_EREFUSED,
                                "nowhere to go: this node has no links to others");
    rc = ph_drain(hub, node->text, true, &op, &error);
    if (rc < 0)
        return refused(session, node, rc, &error);
    ph_args_number(args, "deadline", &deadline_ms);
    uint64_t waited_ms = show_progress(session, node->text, op, deadline_ms);
    uint64_t left_ms = deadline_ms == UINT64_MAX ? UINT64_MAX : deadline_ms - waited_ms;
    return ph_session_report_rest(session, op, "drained", false, waited_ms, left_ms);
}

int ph_command_undrain(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *node = args->words[0];
    struct ph_hub *hub;
    struct ph_op *op;
    struct ph_error error = {0};
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    if (!hub->directory && strcmp(node->text, session->node->name) != 0)
        return no_node(session, node);
    if (!hub->directory)
        return ph_session_under_way(session, "undrained", false);
    rc = ph_drain(hub, node->text, false, &op, &error);
    if (rc < 0)
        return refused(session, node, rc, &error);
    return ph_session_report(session, op, "undrained", false, UINT64_MAX);
}
