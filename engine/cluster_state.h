/*
 * The state of a hub's cluster half: what it knows of the members, and what is under way.
 *
 * The hub's actor only, but for `published`, which any thread reads (members.h). See cluster.h for
 * the machine and its files.
 */
#ifndef PH_ENGINE_CLUSTER_STATE_H
#define PH_ENGINE_CLUSTER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "engine/cluster_frame.h"
#include "engine/cluster_journal.h"
#include "engine/cluster_mail.h"
#include "engine/cluster_merge.h"
#include "engine/directory.h"
#include "engine/hub.h"
#include "engine/members.h"
#include "engine/pack.h"
#include "engine/super.h"
#include "engine/view.h"

/* Records that are gathered for one member and go out as one frame. */
struct ph_batch {
    struct ph_text records;
    uint32_t count;
};

struct ph_member {
    struct ph_member_info info; /* what readers see; its state is set by cluster_view.c */
    uint16_t slot;
    uint64_t greeted_ms; /* when its session began */
    uint64_t greeting;   /* generation of the sender of the frame in work */
    bool greeted;        /* it said hello in this session; info.generation is its present life */
    bool repaired;       /* it has sent all intents that we had not, in this session */
    bool caught_up;      /* we have had everything that it had placed when it said hello */
    bool leaving;        /* it hands its children over */
    uint64_t view_generation;  /* the life that is in the view; 0: none */
    uint64_t known_generation; /* the last one that was */
    uint64_t told_peer;        /* the session that readers know */
    uint64_t link_peer;        /* the links' session with it, also while we are away */
    bool left;                 /* it said goodbye, … */
    bool remembers;            /* … and what it wants is on its disk */
    bool gone;                 /* it said goodbye, or nothing listens at its endpoint any more */
    uint64_t gone_ms;
    uint64_t heard_ms;                 /* its last frame, … */
    uint64_t clock;                    /* … and its hub clock then */
    uint64_t beat_sent_ms;             /* on its clock: of its newest beat, … */
    uint64_t beat_heard_ms;            /* … and when that came, on ours */
    uint64_t echoed_ms;                /* newest of our beats that it has heard, on our clock */
    uint64_t digest, wants_hash, view; /* of its newest beat, with: */
    unsigned flags;
    bool answered;     /* it echoes a beat of ours since the owners changed here, … */
    uint64_t beat_hi;  /* what its log had */
    uint64_t basis_hi; /* … and what its log had then */
    bool dropped;      /* out of the view, but it may not know, and run on */
    uint64_t dropped_ms;
    uint64_t differs_ms; /* since when its intents differ, or its log goes on unread; 0: no */
    uint64_t equal_ms;   /* when its intents were last seen equal to ours, and to stay so */
    uint64_t intents_sent, intents_had; /* frames of them in this session, to and from it, … */
    uint64_t intents_echoed;            /* … and how many of the sent ones it has had */
    uint64_t *hears;                    /* name hashes of its newest beat */
    uint32_t hears_count;
    uint64_t log_hi;               /* of its log, what we have */
    uint64_t log_announced;        /* … and what it had when it said hello */
    uint32_t log_round;            /* of the snapshot that is coming in; 0: none */
    uint64_t congested_ms;         /* until then nothing more is queued for it */
    uint64_t sent_hi;              /* of our log, what it was sent */
    bool snapshot, snapshot_begun; /* what it is sent is a snapshot from the start */

    struct ph_cursor repair; /* walk that sends it intents that it lacks */
    uint64_t repair_buckets[PH_BUCKETS / 64];
    bool repairing, comparing; /* comparing: its hashes were asked for, to send what it lacks */

    uint64_t taken;        /* how many of our intents it has acknowledged, in this session */
    uint64_t session_push; /* how many had gone out when the session began */
    uint64_t taken_owed;   /* the newest intents of it that we have not acknowledged; 0: none */
    struct ph_batch requests, moves, moved, mail, answers, merges, merged;
    struct ph_outcomes *outcomes_first, *outcomes_last; /* for it: see cluster_requests.h */
    struct ph_intents *told;              /* in this step, see ph_cluster_tell; NULL: none */
    struct ph_merge_window *merge_window; /* merges that it has sent; NULL: none yet */
    uint64_t farewell;         /* what its last letters are followed by; 0: it has not been asked */
    bool bade_farewell;        /* they have come */
    uint32_t losses, sessions; /* how often it left the view, or a session began */
    struct ph_op *drain;       /* of the request that drains it; NULL: none … */
    uint64_t undrained;        /* … and the children that were still there, last time */
};

struct ph_pending;
struct ph_transfer;
enum { PH_SPECS_KNOWN = 32 };

struct ph_known_spec {
    uint64_t hash;
    struct ph_text bytes;
    struct ph_spec *spec;
};

struct ph_cluster {
    struct ph_directory *directory;
    uint64_t generation; /* of this hub's life on this node */
    uint64_t options_hash;
    uint64_t heartbeat_ms, dead_after_ms, lease_ms;

    struct ph_member *members[PH_MEMBERS_MAX]; /* by slot; [0] is this node */
    uint16_t count;
    _Atomic(struct ph_members *) published;

    /* The view. */
    uint64_t view;                    /* hash of who is in it */
    uint16_t in_view;                 /* how many, with this node */
    uint64_t row_hash;                /* of whom we hear */
    uint64_t rows_version, rows_seen; /* rises when a member's row changes; what was looked at */
    uint64_t reviewed_ms, awake_ms;   /* the last review; the end of the last pause of this node */
    uint64_t matrix_since_ms;         /* since when all rows are as they are */
    uint64_t review_ms;               /* when to look again although nothing changes … */
    uint64_t decide_ms;               /* … and when to decide about the view again */
    bool view_wanted;                 /* another view is right: a VIEW event is to be made */
    bool view_queued;                 /* … and is on its way through the gate */
    bool undecided;        /* not all hear each other, and it is too early to say who stays */
    uint64_t basis;        /* hash of the view and of whom children may belong to */
    uint64_t basis_ms;     /* beats from then on tell of it */
    bool released;         /* who was in an earlier view runs nothing any more */
    bool agreed;           /* nobody else starts what belongs here: see ph_cluster_agree */
    uint64_t same_view_ms; /* since when all of the view have it; 0: they have not */
    bool excluded;         /* the others form a view without us, and we hear them, … */
    uint64_t excluded_ms, left_out_ms; /* … since then; left out: by one of our view, 0: by none */
    uint64_t taken_ms;                 /* when another node was said to keep our name; 0: never */
    bool fenced;                       /* nothing may run here: no quorum, or excluded */
    uint64_t fence_token, fences; /* of the partition's lock at the gate; how often there was one */
    uint64_t quorum_max, quorum_clock;
    bool leaving;
    bool abandoned; /* it ends and nobody can take its children: they are being stopped */
    struct ph_op *leave_op;
    bool leave_asked; /* by `leave`, not by the end of the hub */
    bool away;        /* it has left, and greets nobody until it is told to join */
    bool forgetting;  /* it has left, and forgets what the others want */

    /* Time. */
    struct ph_hub_timer timer;       /* the nearest of all that the members wait for */
    uint64_t armed_ms;               /* what the timer is set to */
    uint64_t beat_ms;                /* when the next beat is due */
    uint64_t last_beat_ms, early_ms; /* early_ms: of those before their time, see BEAT_BURST */
    bool beat_now;
    uint64_t told_digest;        /* what the last beat said */
    uint64_t retry_ms, purge_ms; /* when to look at all again, at more tombstones; PH_NEVER */

    /* Intents on their way to the others. */
    struct ph_entry *push_first, **push_last;
    uint64_t push_queued; /* how many were ever put into that list, … */
    uint64_t push_sent;   /* … have gone out, … */
    uint64_t push_taken;  /* … and are held by another member of the view */
    uint64_t push_full;   /* what is not held is among those that were put in after that many */
    uint64_t push_whole;  /* … and that came to so many, in another order */
    uint64_t held_clock;  /* our intents up to then are held */
    uint64_t repush_from; /* how many there were when a scan began to put in all that is not held */
    bool repushing;
    struct ph_known_spec specs[PH_SPECS_KNOWN]; /* that came from others lately */
    unsigned specs_next;

    /* Reconciling. */
    struct ph_entry *dirty_first, **dirty_last;
    struct ph_cursor scan;
    bool scanning;
    uint64_t misplaced;
    uint64_t by_state[PH_STATES];

    /* Requests and messages under way. */
    struct ph_pending *pendings;
    uint64_t next_token;
    struct ph_mail_desk mail;

    /* Moves, newest first; finished ones stay for people, the last PH_MOVES_KEPT of them. */
    struct ph_transfer *moves_first, *done_first, **done_last;
    uint64_t moves_out, moves_in;       /* under way */
    uint64_t moves_saving, moves_bytes; /* how many are saved now; bytes that are sent or copied */
    uint64_t copies_bytes;              /* of states that came ahead of their children */
    uint64_t moves_saved, state_bytes;  /* how many were, ever; how large the last ones were */
    uint64_t kept_bytes, done_count;    /* of moves that are done; how many of those are here */
    struct cds_list_head ready;         /* prepared: they wait for their turn */
    struct cds_list_head refused;  /* sent, and not taken: they are to go on here, or elsewhere */
    struct ph_transfer *review_at; /* of a review of all, which is next; NULL: none */
    bool review_lost; /* it has met some that are lost, and could not settle them yet */
    uint64_t move_slot_us, moves_hold_ms; /* move.rate: when one may begin; none begins before */
    uint64_t first_join_ms, join_hold_ms; /* when nodes began to come; until when more may */
    enum ph_moves_order moves_order;
    bool moves_cancel; /* a review calls off what the target has not been given */
    struct ph_entry *waiting_first, **waiting_last; /* entries that wait for the budget */

    struct ph_merges merges;
    struct ph_journal journal;

    /* Figures. */
    uint64_t refused_epoch, refused_frames, moved_out, moved_in, move_aborts, takeovers, duplicates,
        resyncs;
};

#endif
