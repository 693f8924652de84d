/* What the two files of supervision share; nobody else looks in here. */
#ifndef PH_ENGINE_SUPER_INSIDE_H
#define PH_ENGINE_SUPER_INSIDE_H

#include "engine/super.h"

enum { PH_KILL_WAIT_MS = 5000 /* after the kill: then the request that waits is told */ };

/* Who wants to know how this child's change ends: a job, or a member of the cluster. */
struct ph_super_waiting {
    struct ph_super_waiting *next;
    struct ph_job *job; /* NULL: */
    uint16_t member;
    uint64_t token;
};

/* What only children in trouble or in change have: most of a million have none. */
struct ph_care {
    struct ph_hub_timer deadline; /* first */
    struct ph_child *child;
    struct ph_super_waiting *waiting;
    struct ph_spec *next_spec; /* to use from the next launch on */
    struct ph_text unused;     /* a state that the last instance could not begin with */
    uint64_t *restarts;        /* when the restarts of the window were, oldest first */
    uint32_t restart_count, restart_capacity;
    uint32_t failures; /* in a row, for the back-off */
    bool altering;     /* the alter hooks have its spec */
    bool again;        /* stopping: launch it again afterwards */
    bool killed;       /* stopping: the kill was sent */
    bool restarting;   /* this launch is a restart by the supervisor */
    bool saving;       /* moving: its instance has not ended yet */
    bool stands_by;    /* starting: its instance is made, and waits */
    bool unloading;    /* moving, without an instance: its kind looks for what the next one needs */
};

typedef void (*ph_super_transition)(struct ph_hub *, struct ph_child *, struct ph_super_call *);

struct ph_care *ph_super_care(struct ph_child *); /* made when there is none */
void ph_super_set_state(struct ph_hub *, struct ph_child *, enum ph_state);
void ph_super_set_deadline(struct ph_hub *, struct ph_child *, uint64_t delay_ms);
void ph_super_clear_deadline(struct ph_hub *, struct ph_child *);
/* Who asks waits for the outcome / is told it / is refused. */
void ph_super_await(struct ph_child *, const struct ph_super_call *);
void ph_super_settle(struct ph_hub *, struct ph_child *, enum ph_outcome, int code,
                     const char *text);
void ph_super_refuse(struct ph_hub *, struct ph_child *, struct ph_super_call *, const char *why);
void ph_super_launch(struct ph_hub *, struct ph_child *);
/* The time has come for it; but the node may have lost its quorum meanwhile. */
void ph_super_relaunch(struct ph_hub *, struct ph_child *);
void ph_super_begin_stop(struct ph_hub *, struct ph_child *, struct ph_super_call *, bool again);
void ph_super_retire(struct ph_hub *, struct ph_child *);
/* Nothing may run here: it goes without a word. */
void ph_super_lose_place(struct ph_hub *, struct ph_child *);

/* Rows of the table that moves and fencing add (super_move.c). */
#define PH_SUPER_MOVE_ROWS(X) \
    X(starting_prepared)      \
    X(starting_activate)      \
    X(running_move)           \
    X(backoff_move)           \
    X(moving_down)            \
    X(moving_ending)          \
    X(moving_kept)            \
    X(moving_copied)          \
    X(moving_deadline)        \
    X(moving_refuse)          \
    X(moving_stop)            \
    X(moving_moved)           \
    X(moving_return)          \
    X(active_fence)           \
    X(idle_fence)             \
    X(moving_fence)           \
    X(stopping_fence)
#define PH_SUPER_MOVE_ROW(name) \
    void ph_super_##name(struct ph_hub *, struct ph_child *, struct ph_super_call *);
PH_SUPER_MOVE_ROWS(PH_SUPER_MOVE_ROW)
#undef PH_SUPER_MOVE_ROW

#endif
