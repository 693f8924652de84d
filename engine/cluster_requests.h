/*
 * Requests for children anywhere: what this node waits for, and what it answers others.
 *
 * Part of a hub's cluster half (cluster.h): the hub's actor only. A start or stop is not sent to
 * anybody: it writes an intent, and is done when rows show what it asked for. Where rows cannot
 * show that (a restart, a signal, a start that fails) a node is asked, or answers unasked; its
 * answers, the *outcomes*, leave when the asker has been sent the rows that they are about.
 *
 * Bounded: PH_JOB_WINDOW requests a job; PH_JOB_SLICE outcomes a frame.
 */
#ifndef PH_ENGINE_CLUSTER_REQUESTS_H
#define PH_ENGINE_CLUSTER_REQUESTS_H

#include "engine/cluster_inside.h"

struct ph_pending {
    struct ph_pending *next;          /* of the same entry */
    struct ph_pending *after, **link; /* of all */
    struct ph_entry *entry;
    struct ph_job *job;
    enum ph_event_type verb;
    uint64_t token;       /* of the request: the intent's clock, or a number */
    struct ph_spec *spec; /* of a start: what is to run; referenced */
    uint16_t member;      /* who was asked, or where it is to go; PH_NO_MEMBER: whoever owns it */
};

/* The entry's placements changed: requests that waited for that are settled. */
void ph_cluster_settle(struct ph_hub *, struct ph_entry *);
void ph_cluster_requests_lost(struct ph_hub *, uint16_t member); /* it is out of the view */
/* What was asked of it may have been lost on the way. */
void ph_cluster_session_lost(struct ph_hub *, uint16_t member);
void ph_cluster_session_begun(struct ph_hub *);
/* Those of that verb that wait for the entry are told that it failed. */
void ph_cluster_fail_waiting(struct ph_hub *, struct ph_entry *, enum ph_event_type verb, int code,
                             const char *why);
void ph_cluster_requests_fini(struct ph_hub *);

/* What is ready to go to that member goes; when it is not linked, nothing is kept for it. */
void ph_cluster_flush_outcomes(struct ph_hub *, struct ph_member *);
bool ph_cluster_has_full_outcomes(const struct ph_member *); /* a frame of them is ready */
void ph_cluster_drop_outcomes(struct ph_member *);

void ph_cluster_check_drains(struct ph_hub *);

#endif
