#include <stdio.h>
#include <string.h>

#include "engine/error.h"
#include "engine/host.h"
#include "ipc/command_run.h"
#include "ipc/remote.h"
#include "ipc/subject.h"

enum { TRIES = 2 }; /* a child that moved meanwhile is looked for once more */

/* Where a child is: */
enum place {
    PLACE_HERE,    /* or nowhere that anybody could be asked about */
    PLACE_THERE,   /* on another node, which is named */
    PLACE_LOST,    /* on another node, which is gone; named, too */
    PLACE_UNKNOWN, /* there is no such child */
};

static enum place find(struct ph_hub *hub, const struct ph_word *word, char node[PH_NAME_MAX + 1])
{
    struct ph_subject subject = {0};
    enum place place = PLACE_HERE;
    ph_rcu_enter();
    ph_subject_open_rcu(&subject, hub);
    bool found = ph_subject_find_rcu(&subject, word->text, word->length);
    const char *name = found ? ph_subject_node_rcu(&subject) : NULL;
    if (!found)
        place = PLACE_UNKNOWN;
    else if (name && subject.entry && !subject.members->list[subject.placement->member].self)
        place = subject.state == PH_STATE_UNKNOWN ? PLACE_LOST : PLACE_THERE;
    snprintf(node, PH_NAME_MAX + 1, "%s", name ? name : "");
    ph_rcu_exit();
    ph_subject_fini(&subject);
    return place;
}

static int ask(struct ph_session *session, const char *node)
{
    if (!session->place.remote)
        return PH_ECONNECTION;
    struct ph_remote_question question = {
        .node = node,
        .hub = ph_hub_name(session->hub),
        .script = session->script,
        .statement = session->statement,
        .form = session->form,
        .sink = session->sink,
        .waiter = &session->waiter,
    };
    return ph_remote_run(session->place.remote, &question);
}

/* What ph_remote_run leaves unsaid. */
static int explain(struct ph_session *session, const struct ph_word *word, const char *node, int rc)
{
    switch (rc) {
    case PH_ECONNECTION:
        return ph_session_error(session, word, rc, "no connection to node %s", node);
    case PH_ECANCELED:
        return ph_session_error(session, word, rc, "%s", ph_error_text(rc));
    case PH_ELIMIT:
        return ph_session_error(session, word, rc,
                                "node %s runs as many statements for others as it takes", node);
    case PH_EGONE:
        return ph_session_error(session, word, rc, "%s is on its way: it was on %s", word->text,
                                node);
    default:
        return rc;
    }
}

/* Another node asks: it knows where else to look. */
static int answer_served(struct ph_session *session, const struct ph_word *word)
{
    ph_rcu_enter();
    bool found = ph_registry_find_rcu(session->hub->registry, word->text, word->length) != NULL;
    ph_rcu_exit();
    return found ? 0 : PH_EGONE;
}

int ph_session_elsewhere(struct ph_session *session, const struct ph_word *word, bool *here)
{
    char node[PH_NAME_MAX + 1];
    *here = true;
    if (!session->hub->directory)
        return 0;
    if (session->served) {
        int rc = answer_served(session, word);
        *here = rc == 0;
        return rc;
    }
    int rc = 0;
    for (int tries = 0; tries < TRIES; tries++) {
        enum place place = find(session->hub, word, node);
        *here = place == PLACE_HERE || place == PLACE_UNKNOWN;
        if (*here)
            return 0;
        rc = place == PLACE_LOST ? PH_ECONNECTION : ask(session, node);
        if (rc != PH_EGONE)
            break;
    }
    return rc < 0 ? explain(session, word, node, rc) : 0;
}

int ph_session_on_node(struct ph_session *session, const struct ph_word *word, const char *node,
                       bool *here)
{
    *here = strcmp(node, session->node->name) == 0;
    if (*here)
        return 0;
    ph_rcu_enter();
    const struct ph_members *members =
        session->hub->directory ? ph_members_rcu(session->hub) : NULL;
    bool known = members && ph_members_find(members, node, strlen(node)) != PH_NO_MEMBER;
    ph_rcu_exit();
    if (!known)
        return ph_session_error(session, word, PH_ENOTFOUND,
                                "there is no node %s; `nodes` lists them", node);
    int rc = session->served ? PH_EREFUSED : ask(session, node);
    return rc < 0 ? explain(session, word, node, rc) : 0;
}
