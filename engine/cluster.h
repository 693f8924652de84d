/*
 * The cluster half of a hub: what it knows of the same hub on other nodes, and what it does with
 * it.
 *
 * Part of the hub's deterministic machine: its actor only, inside a step; frames, peers and passed
 * deadlines are events, its ways out are the link, journal and exec ports. A hub whose node has
 * neither links nor a journal has none (hub->cluster is NULL) and pays nothing.
 *
 *   cluster.c          life, frames in and out, custom events of other members
 *   cluster_members.c  who is there: greetings, beats, silence
 *   cluster_decide.c   which of them should form this side: who hears whom
 *   cluster_view.c     the view that they form: quorum, lease, fencing
 *   cluster_sync.c     intents and placements: pushed, acknowledged, repaired
 *   cluster_intents.c  intents as records
 *   cluster_journal.c  what the hub wants to know again after the death of its node
 *   cluster_requests.c start, stop, restart, signal, pin, drain for children anywhere
 *   cluster_reconcile.c what is wanted against what runs: every difference becomes a command
 *   cluster_moves.c    the acknowledged transfer of a child (and cluster_move_*.c)
 *   cluster_merge.c    what becomes of the state of an instance that gives way to another one
 *   cluster_conflict.c states that nobody joined
 *   cluster_mail.c     messages and calls for children elsewhere
 *
 * Bounded: PH_MEMBERS_MAX members, slices of PH_JOB_SLICE entries a step, what the links' room
 * allows to queue, PH_HELD_MAX messages that wait for one child.
 */
#ifndef PH_ENGINE_CLUSTER_H
#define PH_ENGINE_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/cluster_state.h"

/* ---- Called by the rest of the hub ----------------------------------------------------------- */

struct ph_cluster_setup {
    const char *node, *endpoint;
    /* Made from the incarnation of its node. The hub's clock begins at the time in it, so that no
     * two lives of a node write different intents of one version, or two instances of one epoch,
     * before the later one has heard from others. */
    uint64_t generation;
    uint64_t heartbeat_ms, dead_after_ms, lease_ms;
    bool journal; /* its node keeps one: JOURNAL events with what is in it come first */
};

void ph_cluster_create(struct ph_hub *, const struct ph_cluster_setup *);
void ph_cluster_destroy(struct ph_hub *);

void ph_cluster_on_peer(struct ph_hub *, struct ph_event *); /* up, down */
void ph_cluster_on_frame(struct ph_hub *, struct ph_event *);
void ph_cluster_on_name_taken(struct ph_hub *, struct ph_event *);
void ph_cluster_on_view(struct ph_hub *, struct ph_event *);
void ph_cluster_on_drain(struct ph_hub *, struct ph_event *);
void ph_cluster_on_leave(struct ph_hub *, struct ph_event *);
void ph_cluster_on_moves(struct ph_hub *, struct ph_event *);
void ph_cluster_on_quorum(struct ph_hub *, struct ph_event *);
void ph_cluster_on_send(struct ph_hub *, struct ph_event *);
void ph_cluster_on_answer(struct ph_hub *, struct ph_event *);
void ph_cluster_on_conflict(struct ph_hub *, struct ph_event *);
void ph_cluster_on_journal(struct ph_hub *, struct ph_event *);

/* Is there a slice to do now? Does one. */
bool ph_cluster_has_work(const struct ph_hub *);
void ph_cluster_work(struct ph_hub *);

/* At the beginning of every step: nothing is handled under a lease that is over. */
void ph_cluster_begin_step(struct ph_hub *);
/* At the end of every step: arms the timer. */
void ph_cluster_end_step(struct ph_hub *);
/* At the end of a batch of steps: sends what has gathered. */
void ph_cluster_flush(struct ph_hub *);

/* Another view is right: a VIEW event is to pass the gate. */
bool ph_cluster_wants_view(const struct ph_hub *);
struct ph_event *ph_cluster_view_event(struct ph_hub *);

void ph_cluster_picture(const struct ph_hub *, struct ph_status *);

/* A custom event goes to other members. Is this node among those of a list? */
void ph_cluster_dispatch(struct ph_hub *, const struct ph_event *);
bool ph_cluster_is_named(const struct ph_hub *, const char *nodes);

/* This hub ends: hand everything over. True: it does that, and says when it is over by ending the
 * last child; false: there is nobody to hand over to. */
bool ph_cluster_hand_over(struct ph_hub *);
/* Its last child has gone: has everything come that others have sent to it here? Asks them. */
bool ph_cluster_is_quiet(struct ph_hub *);
void ph_cluster_goodbye(struct ph_hub *); /* it has ended */

/* One child of a request (hub_children.c). Settles it now or later. */
void ph_cluster_start_one(struct ph_hub *, struct ph_job *, const struct ph_start_options *,
                          struct ph_spec *, const char *id, size_t length);
void ph_cluster_stop_one(struct ph_hub *, struct ph_job *, const char *id, size_t length);
void ph_cluster_forward_one(struct ph_hub *, struct ph_job *, enum ph_event_type verb, int signal,
                            const char *id, size_t length);
void ph_cluster_pin_one(struct ph_hub *, struct ph_job *, const char *node, enum ph_move_mode,
                        const char *id, size_t length);
/* People want the move of a child that is here tried now, or called off and its pin taken away:
 * then it stays until it is retried. 0, or why that cannot be done. */
int ph_cluster_steer(struct ph_hub *, struct ph_child *, bool abort, const char **why);
/* The hub ends: what waits for others is told so. */
void ph_cluster_requests_end(struct ph_hub *);
/* Intents that this node has written so far, and changes that its journal is to have. */
struct ph_promise {
    uint64_t pushed, noted;
};
struct ph_promise ph_cluster_promised(const struct ph_hub *);
/* Does another member hold all of them (or is there no other), and has the disk them (or is there
 * none, or does it fail)? ph_hub_jobs_held is called when that may have changed. */
bool ph_cluster_is_held(const struct ph_hub *, struct ph_promise);
/* They are on no disk, and nobody else holds them: why, or NULL. */
const char *ph_cluster_unkept(const struct ph_hub *, struct ph_promise);

/* What becomes of local children (super.c). */
void ph_cluster_child_changed(struct ph_hub *, struct ph_child *);
/* Whoever waited for it is answered next, and is to find it as it is now. */
void ph_cluster_child_settles(struct ph_hub *, struct ph_child *);
void ph_cluster_child_up(struct ph_hub *, struct ph_child *);
/* False: fenced. What ends then was ended for that and says nothing about itself. */
bool ph_cluster_may_run(const struct ph_hub *);
/* Did it run on another node before? Then a failure to start it here is one like all others. */
bool ph_cluster_child_ran_elsewhere(const struct ph_child *);
/* Is it on its way from another node, which has its state yet? Is it to be moved hot? */
bool ph_cluster_child_arrives(const struct ph_child *);
/* Does it only stand by here, and run elsewhere? */
bool ph_cluster_child_stands_by(const struct ph_child *);
bool ph_cluster_moves_hot(const struct ph_child *);
/* From how many bytes on its state is copied ahead, and it goes on; 0: it is just saved. `room`
 * becomes memory for the state. */
uint64_t ph_cluster_copies_from(const struct ph_hub *, const struct ph_child *,
                                struct ph_text *room);
void ph_cluster_child_prepared(struct ph_hub *, struct ph_child *); /* it stands by */
/* Its first instance never ran; it is about to be retired. */
void ph_cluster_child_failed_start(struct ph_hub *, struct ph_child *, const char *why);
/* It ended by itself and is not to be restarted; it is about to be retired. */
void ph_cluster_child_ended(struct ph_hub *, struct ph_child *);
/* It is being retired, and nobody finds it any more. True: it is released later. */
bool ph_cluster_child_gone(struct ph_hub *, struct ph_child *);
/* It was saved, and ends within that time. */
void ph_cluster_child_ending(struct ph_hub *, struct ph_child *, uint64_t within_ms);
void ph_cluster_child_saved(struct ph_hub *, struct ph_child *, struct ph_text *state,
                            struct ph_sums *);
void ph_cluster_child_copied(struct ph_hub *, struct ph_child *, struct ph_text *state);
void ph_cluster_child_kept(struct ph_hub *, struct ph_child *, const char *why);
/* It has joined another instance's state (code 0), or is as it was. */
void ph_cluster_child_merged(struct ph_hub *, struct ph_child *, int code, const char *why);
/* Somebody elsewhere waited for it. */
struct ph_asker {
    uint16_t member;
    uint64_t token; /* its number for the request */
};
void ph_cluster_outcome(struct ph_hub *, struct ph_asker, const struct ph_child *, enum ph_outcome,
                        int code, const char *text);

/* ---- For `migrations`, `conflicts` and `stats` (inspect functions) --------------------------- */

void ph_moves_inspect(const struct ph_hub *, struct ph_text *);
void ph_conflicts_inspect(const struct ph_hub *, struct ph_text *);
void ph_cluster_inspect(const struct ph_hub *, struct ph_text *);

#endif
