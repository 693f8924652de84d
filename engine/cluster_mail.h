/*
 * Messages between nodes: how they find their child and keep their order.
 *
 * Part of a hub's cluster half (cluster.h): the hub's actor only. Three files:
 *
 *   cluster_mail.c   the way: here, to another node, or waiting until there is one
 *   cluster_order.c  the order: what one node sends to one child is handled in that order, once
 *   cluster_farewell.c  the end: nothing is on its way to a node that leaves
 *
 * A message to a child that runs on the sender's node goes straight into its mailbox and never
 * comes here. Any other one is a letter. A node numbers its letters to a child (a *stream*, from
 * 1); each node that a letter passes sends it on by what it knows of where the child is; the node
 * that has the child knows of every stream which number is next (a *track*) and keeps early ones
 * until their turn. So it does not matter which ways letters take while a child moves. The tracks
 * go with the child when it moves, as do the messages that it has not read. What may have been lost
 * with a node or a session is waited for no longer than `dead_after`, what is just late half a
 * minute; after that, and when a child was started anew on another node, nothing is promised but
 * that no message is handled twice. When a node dies, or is found again (a child may have run on
 * both sides then), all streams begin anew; each letter says which stream was before its own.
 *
 * While letters to a child are on their way, also those of its own node, its *detour* is closed:
 * what its node sends goes through the hub, too, and waits its turn (ph_child.detour).
 *
 * Bounded: PH_MAILBOX_MAX letters that wait for one child, as many that are early; a stream or
 * track that was not used for a minute is forgotten.
 */
#ifndef PH_ENGINE_CLUSTER_MAIL_H
#define PH_ENGINE_CLUSTER_MAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/hooks.h"
#include "engine/kind/kind.h"
#include "engine/pack.h"

struct ph_call_waiting;
struct ph_child;
struct ph_entry;
struct ph_hub;
struct ph_member;

struct ph_letter {
    struct ph_letter *next;
    struct ph_message_box *box;      /* owned; NULL: nothing is left of it but its number */
    uint64_t origin, stream, number; /* origin 0: it has no number yet */
    uint64_t after, after_sent;      /* the stream before that one (0: none), and its last number */
    uint64_t token;                  /* of its call, while another node has a copy; 0: none */
    unsigned hops;                   /* nodes that it has passed */
};

/* Letters in a row, owned by the list. */
struct ph_letters {
    struct ph_letter *first, **last;
    unsigned count;
};

/* One stream, at the node that has the child. */
struct ph_track {
    struct ph_track *next;
    uint64_t origin, stream;
    uint64_t expected;            /* the next number */
    uint64_t skipped, skipped_to; /* between them numbers were given up, and may come; 0: none */
    uint64_t begun_ms;            /* when its first letter came, or it came with the child */
    uint64_t used_ms;             /* when its last letter came */
    uint64_t since_ms;            /* since when numbers are missing; 0: none are */
    struct ph_letter *early, *early_last; /* by number */
};

/* What the messages to one child need on this node. */
struct ph_mail {
    struct ph_entry *entry;
    struct ph_mail *next, **link; /* of all */
    /* This node's own stream. */
    uint64_t stream;             /* 0: it has none */
    uint64_t renewals;           /* of the hub, when it began */
    uint64_t sent;               /* its last number */
    uint64_t after, after_sent;  /* as in its letters */
    uint64_t sent_ms, sent_peer; /* when, and in which session … */
    uint16_t sent_to;            /* … with whom */
    bool anew;                   /* the child was started here without what others knew of it */
    struct ph_track *tracks;
    unsigned early;            /* letters in them */
    struct ph_letters waiting; /* for a way */
};

enum { PH_CALL_BUCKETS = 256 };

/* What a hub keeps of all of that. */
struct ph_mail_desk {
    struct ph_mail *mails;     /* of all children that have some */
    struct ph_hub_timer timer; /* looks at those that wait for messages or for a way */
    struct ph_child *parting;  /* instances that have gone since the grace period … */
    struct ph_child *parted;   /* … of these began */
    bool fetching;             /* … and is over */
    uint64_t farewell_ms;      /* when the others were asked for their last letters; 0: not yet */
    uint32_t detour_keys;      /* the last one */
    uint64_t renewals;         /* how often nodes were lost, or found again: streams begin anew */
    uint64_t lost_ms;          /* when a node or a session was lost last: letters may have been */
    struct ph_call_waiting *calls[PH_CALL_BUCKETS]; /* calls that other nodes answer */
    uint64_t dropped, gaps, doubled;                /* figures */
};

/* ---- cluster_mail.c -------------------------------------------------------------------------- */

/* The head of a record of a `mail` frame: all of the letter but what is in it. */
void ph_letter_pack_head(struct ph_text *records, const struct ph_letter *, const char *id,
                         size_t length);
/* Delivers, sends on or keeps a letter; takes what is in it. */
void ph_mail_route(struct ph_hub *, const char *id, size_t length, struct ph_letter *);
/* Reads what comes with a child: whether it is the sole one, and the tracks. */
void ph_mail_take_tracks(struct ph_hub *, struct ph_entry *, struct ph_unpack *);
/* The child was created here; `moved`: its tracks have been taken. */
void ph_mail_child_here(struct ph_hub *, struct ph_entry *, bool moved);
/* Where its messages go may have changed: moves call it when a child holds still or goes on. */
void ph_mail_look(struct ph_hub *, struct ph_entry *);
/* Its child here is being retired. True: it is kept, and released (ph_registry_release) when a
 * grace period is over and its last messages have been fetched. */
bool ph_mail_child_gone(struct ph_hub *, struct ph_entry *, struct ph_child *);
void ph_mail_begin_grace(struct ph_hub *); /* at the end of a step: for all that have gone */
void ph_mail_fetch_last(struct ph_hub *);  /* it is over: a slice of them */
/* This node has no child any more and is to leave: true when all that others have sent to children
 * here has come and gone on. Asks them for that, once; waits for `dead_after` at most. */
bool ph_mail_has_ended(struct ph_hub *);
/* Another one asks: everything that this node has sent to it is before this answer. */
void ph_mail_answer_farewell(struct ph_member *, uint64_t token);

/* What a child that holds still has not read goes with it; its calls are kept track of. */
void ph_mail_take_unread(struct ph_hub *, struct ph_child *, uint16_t member, struct ph_letters *);
void ph_mail_pack_unread(struct ph_text *, const struct ph_letters *);
/* The move has failed: back into the mailbox of `child`, or, if that is NULL, on their way. Leaves
 * the list empty. */
void ph_mail_give_back(struct ph_hub *, struct ph_entry *, struct ph_child *, struct ph_letters *);
/* The move is done: its target has them. Leaves the list empty. */
void ph_mail_forget_unread(struct ph_hub *, struct ph_letters *);
/* The target is lost, and may have handled them: nobody does so again. Leaves the list empty. */
void ph_mail_lose_unread(struct ph_hub *, struct ph_letters *);

/* The same at the target: they are read, go into the mailbox of a child that runs now, and are
 * dropped without a word when it never will: they are still the source's. */
bool ph_mail_unpack_unread(struct ph_hub *, struct ph_member *, struct ph_unpack *,
                           struct ph_letters *);
void ph_mail_move_unread(struct ph_letters *to, struct ph_letters *from);
void ph_mail_put_unread(struct ph_hub *, struct ph_child *, struct ph_letters *);
void ph_mail_disown(struct ph_letters *);

void ph_mail_linked(struct ph_hub *); /* another member can be reached: what waits tries again */
void ph_mail_drop(struct ph_hub *, struct ph_entry *, int code, const char *why); /* all of it */
void ph_mail_lost(struct ph_hub *, uint16_t member);
void ph_mail_fini(struct ph_hub *);

/* ---- cluster_order.c ------------------------------------------------------------------------- */

void ph_letters_init(struct ph_letters *);
void ph_letters_add(struct ph_letters *, const struct ph_letter *); /* copied */
/* Takes out the first; false: there is none. */
bool ph_letters_take(struct ph_letters *, struct ph_letter *);

/* Gives a letter of this node the next number; `to`: who it goes to, NULL: it stays here. */
void ph_order_stamp(struct ph_hub *, struct ph_mail *, struct ph_letter *,
                    const struct ph_member *to);
/* A letter has reached its child's node: appends those to `due` whose turn it is, in order. */
void ph_order_receive(struct ph_hub *, struct ph_mail *, const struct ph_letter *,
                      struct ph_letters *due);
/* Has everything come that this node has sent to the child, which is here? Then its stream ends. */
bool ph_order_own_came(struct ph_hub *, struct ph_mail *);
/* Numbers that were waited for in vain are given up. Returns when to call it again; PH_NEVER. */
uint64_t ph_order_give_up(struct ph_hub *, struct ph_mail *, struct ph_letters *due);
/* All early letters, in order: their child is not here any more. Their tracks are forgotten. */
void ph_order_take_early(struct ph_mail *, struct ph_letters *);
/* The tracks, for the child's move: array of origin, stream, expected, skipped and to. Unused ones
 * are left out. */
void ph_order_pack(const struct ph_hub *, const struct ph_mail *, struct ph_text *);
bool ph_order_unpack(struct ph_hub *, struct ph_mail *, struct ph_unpack *);

#endif
