/*
 * Supervision: the life of one child as a table [STATE][EVENT] of functions.
 *
 * Restart policy, intensity window, exponential back-off with jitter, stop ladder, give-up. One
 * child's failure touches that child only. Part of the hub: its actor only.
 */
#ifndef PH_ENGINE_SUPER_H
#define PH_ENGINE_SUPER_H

#include "engine/hub.h"

/* What happens to a child. */
enum ph_super_event {
    PH_SUPER_START,    /* a request wants it to run (again) */
    PH_SUPER_UP,       /* its instance runs */
    PH_SUPER_PREPARED, /* its instance stands by */
    PH_SUPER_DOWN,     /* its instance ended */
    PH_SUPER_STOP,     /* a request wants it gone */
    PH_SUPER_RESTART,  /* a request wants a new instance */
    PH_SUPER_DEADLINE, /* its timer fired */
    PH_SUPER_ALTERED,  /* the alter hooks are through with its spec */
    PH_SUPER_ACTIVATE, /* it stands by and is to go to work, with `saved` */
    PH_SUPER_MOVE,     /* it belongs to another node: save it and stop it there */
    PH_SUPER_ENDING,   /* it was saved, and told to end */
    PH_SUPER_KEPT,     /* it could not be saved and goes on */
    PH_SUPER_COPIED,   /* it was copied, and goes on */
    PH_SUPER_MOVED,    /* the other node has it: nothing is left to do here */
    PH_SUPER_RETURN,   /* the other node does not take it: start it again */
    PH_SUPER_FENCE,    /* nothing may run here: end it at once, leave no word */
    PH_SUPER_EVENTS
};

struct ph_super_call {
    enum ph_super_event event;
    struct ph_job *job;   /* who waits for the outcome; NULL: nobody here, but maybe … */
    uint16_t member;      /* … another member (0: none), with … */
    uint64_t token;       /* … its number for the request */
    struct ph_spec *spec; /* START with a new spec: replace; ALTERED: the spec; moved */
    struct ph_exit *exit; /* DOWN, KEPT; moved */
    /* DOWN of a move, COPIED, ACTIVATE: the state; DOWN of a start: what it could not begin with.
     * Emptied by who takes it. */
    struct ph_text *saved;
    struct ph_sums *sums; /* DOWN of a move: its hashes, or none; the same */
    uint64_t cause;       /* seq of the event behind it */
};

/* A new child, just published: counts it and launches it. */
void ph_super_begin(struct ph_hub *, struct ph_child *, struct ph_job *, uint64_t cause);

/* Before ph_super_begin: its instance is to stand by until PH_SUPER_ACTIVATE. */
void ph_super_stand_by(struct ph_child *);

/* Something happened; may retract the child. */
void ph_super_handle(struct ph_hub *, struct ph_child *, struct ph_super_call *);

/* Another member waits for the outcome of the change under way. */
void ph_super_await_remote(struct ph_child *, uint16_t member, uint64_t token);
/* Is it being stopped for good? Will it be started with that spec next? */
bool ph_super_ends(const struct ph_child *);
bool ph_super_has_next_spec(const struct ph_child *, const struct ph_spec *);

/* Frees what the hub keeps of a child that never ended (at the hub's fini). */
void ph_super_forget(struct ph_child *);

#endif
