/* What the files of the cluster half share; nobody else looks in here. See cluster.h. */
#ifndef PH_ENGINE_CLUSTER_INSIDE_H
#define PH_ENGINE_CLUSTER_INSIDE_H

#include "engine/cluster.h"
#include "engine/cluster_mail.h"
#include "engine/directory_log.h"

/* ---- cluster.c ------------------------------------------------------------------------------- */

/* Begins a frame for that generation. */
void ph_frame_start(struct ph_hub *, struct ph_text *, enum ph_hub_frame, uint64_t generation);
/* Sends a frame to a member with a session; the text is moved. */
void ph_member_send(struct ph_hub *, struct ph_member *, enum ph_link_class, struct ph_text *);
/* Sends what has gathered in a batch as one frame. */
void ph_member_flush(struct ph_hub *, struct ph_member *, enum ph_hub_frame, struct ph_batch *);

struct ph_member *ph_member_by_name(struct ph_cluster *, const char *name);
struct ph_member *ph_member_by_hash(struct ph_cluster *, uint64_t name_hash);
void ph_cluster_meet_all(struct ph_hub *); /* whom the links reach: after it was away */
struct ph_member *ph_member_by_peer(struct ph_cluster *, uint64_t peer);
static inline bool ph_member_is_linked(const struct ph_member *member)
{
    return member->info.peer != 0 && member->greeted;
}

/* The number of its session, however often its link is kept; 0: there is none. */
static inline uint32_t ph_member_session(const struct ph_member *member)
{
    return ph_member_is_linked(member) ? member->sessions : 0;
}

/* Has it, or will its next life have, intents that we may not know? */
static inline bool ph_member_may_want(const struct ph_member *member)
{
    return member->info.generation && (!member->left || member->remembers);
}

/* The next tick of the hub's clock: versions and epochs. */
uint64_t ph_cluster_clock(struct ph_hub *);

/* One function for each type of frame. */
#define PH_FRAME_FUNCTION(name, function) \
    void ph_cluster_read_##function(struct ph_hub *, struct ph_member *, struct ph_unpack *);
PH_FRAME_MAP(PH_FRAME_FUNCTION)
#undef PH_FRAME_FUNCTION

/* What a beat says of its sender and of whom it is for. */
enum {
    PH_BEAT_LEAVING = 1, /* it hands its children over */
    PH_BEAT_FENCED = 2,
    PH_BEAT_IN_VIEW = 4,  /* you are in its view */
    PH_BEAT_KNOWS = 8,    /* … and children may belong to you */
    PH_BEAT_OWNS = 16,    /* children may belong to itself */
    PH_BEAT_HOLDS = 32,   /* it starts nothing yet: one that it dropped may still run */
    PH_BEAT_ASKS = 64,    /* it waits for an answer */
    PH_BEAT_BEHIND = 128, /* its disk lacks what it knows, or others what it has sent them */
    PH_BEAT_MINE = PH_BEAT_IN_VIEW | PH_BEAT_KNOWS | PH_BEAT_OWNS, /* what it may start */
};

/* ---- cluster_members.c ----------------------------------------------------------------------- */

struct ph_member *ph_member_add(struct ph_cluster *, const char *name, const char *endpoint);
/* It was a member in that life, and may want something: known, unless a later one is. */
void ph_member_recall(struct ph_hub *, const char *name, const char *endpoint, uint64_t generation);
void ph_member_fini(struct ph_member *);
void ph_member_greet(struct ph_hub *, struct ph_member *, bool ask);
void ph_cluster_beat(struct ph_hub *); /* to all, when it is due */
/* A beat that is in order with what follows: those who are sent children must know why. */
void ph_cluster_tell_leaving(struct ph_hub *);
void ph_cluster_note_quorum(struct ph_cluster *, uint64_t size, uint64_t clock);
uint64_t ph_cluster_digest(const struct ph_cluster *);
uint64_t ph_member_deaf_ms(const struct ph_cluster *, const struct ph_member *);
bool ph_member_is_heard(const struct ph_cluster *, const struct ph_member *, uint64_t now_ms);
uint64_t ph_cluster_suspect_ms(const struct ph_cluster *);
/* Its frames come, whether it is in the view or not. */
bool ph_member_is_reached(const struct ph_cluster *, const struct ph_member *, uint64_t now_ms);
bool ph_member_has_basis(const struct ph_member *); /* all of its log up to basis_hi is here */
void ph_cluster_publish(struct ph_hub *);           /* the member list, for readers */

/* ---- cluster_view.c -------------------------------------------------------------------------- */

/* Something about the members may have changed: rows, silence, goodbyes. */
void ph_cluster_review(struct ph_hub *);
uint64_t ph_cluster_view_deadline(const struct ph_hub *); /* when to look again */
/* Who may have children has changed: owners are computed anew and everything is looked at. */
void ph_cluster_owners_changed(struct ph_hub *);
/* Who starts a child that nobody runs has to know that no other member does, too. That is so when
 * each member of the view has answered since the owners changed here, counts this node among them,
 * and we have its log up to then; and when those that were dropped have no lease any more. */
void ph_cluster_agree(struct ph_hub *);       /* something of that may have changed */
void ph_cluster_stand_alone(struct ph_hub *); /* it has left the others */

/* ---- cluster_sync.c -------------------------------------------------------------------------- */

/* Writes an intent of this node and sees that the others get it. */
void ph_cluster_want(struct ph_hub *, struct ph_entry *, struct ph_spec *, uint64_t mark);
/* The same for the pin alone; 0 takes it away. */
void ph_cluster_pin(struct ph_hub *, struct ph_entry *, uint64_t pin);
void ph_cluster_sync_greeted(struct ph_hub *, struct ph_member *, uint64_t generation, uint64_t hi);
void ph_cluster_sync_begun(struct ph_hub *, struct ph_member *);
/* Which of our intents another member of the view holds may have changed. */
void ph_cluster_count_taken(struct ph_hub *);
/* Tells it what is wanted of an entry, before all else that it is sent in this step: it may not
 * have heard yet what a third node wrote. PH_INTENTS_MAX of them at most. */
void ph_cluster_tell(struct ph_member *, const struct ph_entry *);
void ph_cluster_send_told(struct ph_hub *, struct ph_member *); /* at the end of a step */
void ph_cluster_push_again(struct ph_hub *, struct ph_entry *); /* if nobody else holds it */
void ph_cluster_pushed_again(struct ph_hub *);                  /* all have been looked at */
/* Tombstones go when every member that may still want the child has been seen without it. */
void ph_cluster_purge(struct ph_hub *);
bool ph_cluster_sync_has_work(const struct ph_hub *);
void ph_cluster_sync_work(struct ph_hub *);

/* ---- cluster_reconcile.c --------------------------------------------------------------------- */

void ph_cluster_touch(struct ph_hub *, struct ph_entry *); /* look at it again soon */
void ph_cluster_scan(struct ph_hub *);                     /* look at everything again */
bool ph_cluster_reconcile_has_work(const struct ph_hub *);
void ph_cluster_reconcile_work(struct ph_hub *);
/* Counts the entry under what it shows now. */
void ph_cluster_recount(struct ph_hub *, struct ph_entry *);
/* Writes down in our log what our child is now. */
void ph_cluster_note_own(struct ph_hub *, struct ph_entry *);
/* How a child begins here. */
struct ph_launch {
    struct ph_job *job;    /* who waits for it, or NULL */
    struct ph_text *state; /* what it begins with, or NULL; moved */
    bool moved;            /* from another node; else it begins anew */
    bool stands_by;        /* it does not run yet, and nobody is to know of it */
};
/* Starts the child here, in this step. */
struct ph_child *ph_cluster_launch(struct ph_hub *, struct ph_entry *, const struct ph_launch *);
void ph_cluster_stop_here(struct ph_hub *); /* fenced: kills everything */

/* Nobody runs it, but somebody may without our knowing it yet; it is looked at again soon. */
bool ph_cluster_is_too_early(struct ph_hub *, const struct ph_entry *);
/* Does another spec run here than the one that is wanted? */
bool ph_cluster_has_other_spec(const struct ph_entry *);
uint16_t ph_cluster_starter(const struct ph_cluster *, const struct ph_entry *);
/* The slot where it belongs, PH_NO_MEMBER: nowhere. */
uint16_t ph_cluster_owner(const struct ph_cluster *, const struct ph_entry *);
static inline bool ph_cluster_in_view(const struct ph_cluster *cluster, uint16_t slot)
{
    return cluster->members[slot]->info.in_view;
}
/* The placement in the view that has or will have an instance; `but` is left out. NULL: none. */
struct ph_placement *ph_cluster_live_placement(const struct ph_cluster *, const struct ph_entry *,
                                               uint16_t but);

/* ---- cluster_moves.c ------------------------------------------------------------------------- */

void ph_move_begin(struct ph_hub *, struct ph_entry *, uint16_t target);
void ph_moves_lost(struct ph_hub *, uint16_t member); /* it is out of the view */
/* All are looked at again, in slices: a session begins, and what was asked in the one before may
 * have been lost. */
void ph_moves_review(struct ph_hub *);
/* What becomes of it is the target's to say. */
bool ph_move_is_sent(const struct ph_entry *);
/* Does the child here take messages: not while it holds still for a move, or has not arrived. Does
 * it stand by: then another node has it. */
bool ph_move_takes_mail(const struct ph_entry *);
bool ph_move_stands_by(const struct ph_entry *);
void ph_move_look(struct ph_hub *, struct ph_entry *); /* its placements changed */
/* The child of a move is being retired. */
void ph_move_child_gone(struct ph_hub *, struct ph_entry *);
#define PH_MOVES_MARK "moves order" /* the hub-wide intent that holds an enum ph_moves_order */
void ph_moves_note_order(struct ph_hub *); /* of the whole hub, by its intents */
void ph_moves_note_join(struct ph_hub *); /* nodes that come soon after each other are one change */
bool ph_moves_waiting(const struct ph_hub *); /* some may begin now */
void ph_moves_work(struct ph_hub *);
void ph_moves_fini(struct ph_hub *);
/* A state that was moved away not long ago, for a child that has to begin here again: false when
 * there is none. */
bool ph_move_take_kept(struct ph_hub *, struct ph_entry *, struct ph_text *state);
/* The move of a child that started here, or did not. */
void ph_move_arrived(struct ph_hub *, struct ph_entry *, int code, const char *why);

/* An entry waits for the budget, and no move begins for a while. */
void ph_move_wait(struct ph_hub *, struct ph_entry *, uint64_t hold_ms);

#endif
