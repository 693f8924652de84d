/*
 * A move: the acknowledged transfer of a child from the node that runs it to the one where it
 * belongs. Part of a hub's cluster half (cluster.h): the hub's actor only.
 *
 *   source                                        target
 *                                                              ── a hot move begins here ──
 *   preparing  it runs                     PREPARE ─▶ preparing  an instance is made, …
 *              (it waits for its turn) ◀─ prepared    standby    … and stands by
 *                                                              ── a cold one here ──
 *   saving     it holds still, is saved
 *   copying    it was large: it runs on      COPY… ─▶ copying    a copy comes
 *                                       ◀─── has it   standby
 *   saving     it holds still, is saved
 *   sent       it is gone here       TAKE or PATCH ─▶ starting   it begins with that state, or goes
 *                                                                to work with it
 *   done       ◀────────────────────────────── taken  done       it runs, under a higher epoch
 *   failed     ◀───────────────────────── why it not  failed     the source goes on
 *
 * Whether a state is large shows when it is saved: a hot move asks for it, and one that has
 * `hot.precopy` bytes is a copy, which goes ahead in pieces while the child works. When the target
 * has all of it the child is saved for good, and a PATCH takes the place of the TAKE: the blocks
 * that have changed, and the checksum of the whole. The source keeps only the hashes of what it has
 * copied, and the memory, which the state is saved into: fresh memory would take most of the time.
 * It does not matter which instance a copy is of: blocks are compared with what the target has, and
 * what it puts together is held against the checksum before anything begins with it.
 *
 * The source keeps the truth until the target has answered: nothing else ends `sent` but an answer,
 * or the target's leaving the view. When it takes too long the source asks the target to cancel,
 * and is answered in either case. What the child has not read and the order of its messages go with
 * its state (cluster_mail.h).
 *
 *   cluster_moves.c     the list, the budget, what crosses a move, what people see
 *   cluster_move_out.c  the source
 *   cluster_move_copy.c copies that go ahead, and what is sent in the end; both sides
 *   cluster_move_in.c   the target
 */
#ifndef PH_ENGINE_CLUSTER_MOVE_H
#define PH_ENGINE_CLUSTER_MOVE_H

#include "engine/cluster_inside.h"

enum {
    PH_MOVE_TEXT_MAX = 200,
    PH_MOVE_RECORDS_MAX = 65536,
    PH_MOVE_RETRY_MS = 2000, /* after one that failed */
};

/* What the source asks, and what the target's answer is about. */
enum ph_move_verb {
    PH_MOVE_PREPARE,
    PH_MOVE_TAKE,
    PH_MOVE_CANCEL,
    PH_MOVE_COPY,  /* a piece of a state, ahead of the child */
    PH_MOVE_PATCH, /* as TAKE, of a state that the target has a copy of */
    PH_MOVE_VERBS
};

#define PH_MOVE_PHASE_MAP(X)                                             \
    X(PH_MOVE_PREPARING, "preparing") /* the target makes an instance */ \
    X(PH_MOVE_STANDBY, "standby")     /* … which stands by */          \
    X(PH_MOVE_SAVING, "saving")       /* the source stops it */          \
    X(PH_MOVE_COPYING, "copying")     /* a copy goes ahead, it runs */   \
    X(PH_MOVE_SENT, "sent")           /* the target has to answer */     \
    X(PH_MOVE_STARTING, "starting")   /* the target starts it */         \
    X(PH_MOVE_DONE, "done")                                              \
    X(PH_MOVE_FAILED, "failed")

enum ph_move_phase {
#define PH_MOVE_PHASE_ENUM(name, text) name,
    PH_MOVE_PHASE_MAP(PH_MOVE_PHASE_ENUM)
#undef PH_MOVE_PHASE_ENUM
        PH_MOVE_PHASES
};

/* What is sent ahead of a child, or has come ahead of it. */
struct ph_precopy {
    uint64_t length;      /* of the whole */
    uint64_t done;        /* of it, what has gone, or come */
    struct ph_text bytes; /* source: until all has gone, then memory */
    struct ph_sums sums;
    uint32_t piece_bytes; /* source: of the next piece … */
    uint32_t unanswered;  /* … and how many of them are not answered */
};

struct ph_transfer {
    struct ph_hub_timer deadline; /* first */
    struct ph_transfer *next, *before;
    struct cds_list_head queued; /* among those that are ready, or refused */
    struct ph_entry *entry;      /* NULL: it is over */
    char *id;
    uint64_t number;           /* of the source's */
    uint64_t epoch;            /* of the instance that the source has, or had */
    struct ph_version version; /* of what was wanted when it was saved */
    uint64_t began_ms, ended_ms, bytes;
    uint64_t last_bytes;     /* target: of the state, what came while the child held still */
    uint64_t reserved;       /* of the bytes that may be under way, or be copied here */
    struct ph_precopy *copy; /* NULL: none */
    uint16_t member;         /* the other side */
    uint32_t losses;         /* of the other side, when it was last there: see ph_move_is_lost */
    uint32_t asked_session;  /* in which it was asked for anything last; 0: in none */
    uint32_t sent_session;   /* … and was sent the state, … */
    uint64_t sent_life;      /* … and its generation */
    uint64_t fences;         /* of this node, when it began */
    bool incoming, hot;
    bool refused;   /* by the target, … */
    bool late;      /* it was called off while it was saved: it goes on here when it has been */
    bool ready;     /* prepared, and queued */
    bool counted;   /* among those that are being saved and may have a large state */
    bool confirmed; /* by the target: the child runs there, or did */
    bool arrived;   /* the target has it; the move ends when that is in the directory, too */
    bool whole, patched; /* its state goes as a whole, however large; it has gone as a patch */
    uint32_t prepared;   /* the instance that stands by; 0: none yet */
    uint64_t confirmed_ms;
    uint64_t refused_clock; /* … at that time on its hub clock */
    enum ph_move_phase phase;
    struct ph_text state;     /* kept until the target has it, and for `hot.retention` */
    struct ph_letters unread; /* the same */
    char error[PH_MOVE_TEXT_MAX + 1];
};

/* ---- cluster_moves.c ------------------------------------------------------------------------- */

struct ph_transfer *ph_move_add(struct ph_hub *, struct ph_entry *, uint16_t member, bool incoming,
                                enum ph_move_phase);
/* It is over; it stays in a list for people. Its unread messages must have been dealt with. */
void ph_move_finish(struct ph_hub *, struct ph_transfer *, enum ph_move_phase, const char *error);
/* Has the move of that number and epoch, from that member, come here? Of those that are over the
 * last ones are known; of others, only whether the child that is here has come by some move.
 * `entry` NULL: there is none. */
bool ph_move_has_come(const struct ph_hub *, const struct ph_entry *, uint16_t member,
                      uint64_t number, uint64_t epoch);
/* The other side has left the view since, or does not take it: nothing comes of it any more. */
bool ph_move_is_lost(const struct ph_hub *, const struct ph_transfer *);
/* May another child hold still now: the bytes that are under way are bounded. */
bool ph_moves_may_save(const struct ph_hub *);
void ph_move_note_saved(struct ph_hub *, struct ph_transfer *);
/* So many are its own from now on. */
void ph_move_reserve(struct ph_hub *, struct ph_transfer *, uint64_t bytes);

/* ---- cluster_move_out.c ---------------------------------------------------------------------- */

/* The target does not take it: it goes on here, as it was. */
void ph_move_bring_back(struct ph_hub *, struct ph_transfer *, const char *why);
/* The target has it, or nobody wants it: nothing is left to do here. */
void ph_move_let_go(struct ph_hub *, struct ph_transfer *, enum ph_move_phase, const char *why);
/* Before its state was sent: the child runs on, the target is told; it is tried again later. */
void ph_move_call_off(struct ph_hub *, struct ph_transfer *, const char *why);
void ph_move_withdraw(struct ph_hub *, struct ph_transfer *, const char *why); /* … it ends, too */
/* After that: it is not wanted any more. */
void ph_move_abandon(struct ph_hub *, struct ph_transfer *);
/* The prepared ones whose turn has come hold still now; a slice. */
void ph_moves_freeze_ready(struct ph_hub *);

/* Begins a record for the target and returns where it is; what a verb adds goes behind it. */
struct ph_text *ph_move_put(struct ph_hub *, struct ph_transfer *, enum ph_move_verb);
void ph_move_arm(struct ph_hub *, struct ph_transfer *, uint64_t after_ms,
                 void (*fire)(struct ph_hub *, struct ph_hub_timer *));
/* It works here and has not been given away: its move can be called off. */
bool ph_move_is_early(const struct ph_transfer *);
/* It holds still as soon as there is room for its state, unless it was restarted meanwhile. */
void ph_move_queue(struct ph_hub *, struct ph_transfer *);
/* The same at once. */
void ph_move_hold_still(struct ph_hub *, struct ph_transfer *);

/* ---- cluster_move_copy.c --------------------------------------------------------------------- */

/* The source. A copy goes ahead, moved; the target has answered to a piece of it with 0 or
 * PH_ELIMIT: it takes none. */
void ph_move_copy_begin(struct ph_hub *, struct ph_transfer *, struct ph_text *bytes);
void ph_move_copy_answered(struct ph_hub *, struct ph_transfer *, int code);
void ph_move_copy_drop(struct ph_transfer *);
/* What a PATCH says of the state: that of the move, of these hashes (none: they are made). */
void ph_move_pack_patch(struct ph_text *records, const struct ph_transfer *, struct ph_sums *);

/* The target. A piece of a copy, or the changes to it; what they point to is borrowed. */
struct ph_piece {
    uint64_t whole, at; /* bytes of the state; where it belongs */
    const void *bytes;
    size_t length;
};
struct ph_patch {
    uint64_t length, checksum;
    uint64_t changed;         /* bytes */
    struct ph_unpack changes; /* at them: valid */
};
void ph_move_read_piece(struct ph_unpack *, struct ph_piece *);
void ph_move_read_patch(struct ph_unpack *, struct ph_patch *);
/* 0; PH_ELIMIT: there is no memory for a copy; or another code, and why. */
int ph_move_take_piece(struct ph_hub *, struct ph_transfer *, const struct ph_piece *,
                       const char **why);
/* The state that the copy has become; false: it is none. */
bool ph_move_take_patch(struct ph_transfer *, const struct ph_patch *, struct ph_text *state,
                        const char **why);

/* ---- cluster_move_in.c ----------------------------------------------------------------------- */

/* The source is lost before it sent the state: the instance that stands by goes. */
void ph_move_stand_down(struct ph_hub *, struct ph_transfer *);

#endif
