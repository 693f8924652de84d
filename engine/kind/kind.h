/*
 * A kind of child: how an instance of it is started, stopped and spoken to.
 *
 * The hub decides (super.c), the kind does. A kind never changes hub state: it reports with
 * ph_kind_up / ph_kind_down, which post events. For one child the hub calls `start` or
 * `prepare` only when no instance exists, and each is answered by exactly one `down`, with at most
 * one `up` before it; `down` is the last word about an instance. `stop` and `kill` may come at any
 * time before the `down` and are answered by that `down`; when it crosses them they do nothing.
 */
#ifndef PH_ENGINE_KIND_KIND_H
#define PH_ENGINE_KIND_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/queue.h"
#include "engine/sums.h"
#include "engine/text.h"

struct ph_child;
struct ph_legacy;
struct ph_node;

/* How an instance ended. */
enum ph_exit_how {
    PH_EXIT_CODE,   /* returned / exited with `value` */
    PH_EXIT_SIGNAL, /* killed by signal `value` */
    PH_EXIT_FAILED, /* a module's handler failed with `value`, a watchdog barked, the keeper died */
    PH_EXIT_EXEC,   /* it never ran: `value` is an errno (or negative code), `text` says what */
};

struct ph_exit {
    uint64_t now_ms; /* set by the hub */
    enum ph_exit_how how;
    int value;
    bool core;
    uint32_t restarts;  /* set by the hub: how many restarts it grants … */
    uint64_t window_ms; /* … in which time */
    char text[200];     /* more for people: path and errno, the module's ph_fail text; may be "" */
};

/* A message on its way to a child. Allocated by ph_message_box_create, owned by whoever holds
 * it. */
struct ph_message_box {
    struct ph_queue_node link;
    enum ph_message_type type;
    int timer;
    struct ph_op *op; /* of a call, referenced; NULL otherwise */
    size_t length;
    char data[]; /* and a NUL */
};

struct ph_message_box *ph_message_box_create(enum ph_message_type type, const void *data,
                                             size_t length); /* NULL: no memory */
/* Frees it; an unanswered call is failed with `code` and `text`. */
void ph_message_box_destroy(struct ph_message_box *, int code, const char *text);

struct ph_kind {
    const char *name;   /* "module", "process" */
    size_t child_bytes; /* tail that every child of this kind carries (ph_child_tail), zeroed */

    /* May this spec be started on this node? On the requesting thread. The error says why not. */
    int (*check)(struct ph_node *, const struct ph_spec *, struct ph_error *);
    /* Prepares the tail. */
    void (*init)(struct ph_child *);
    /* After a grace period, when no instance exists: releases the tail, then the child (now or
     * later, on any thread, by ph_child_free). */
    void (*fini)(struct ph_child *);
    /* Begins instance number `instance`. */
    void (*start)(struct ph_child *, uint32_t instance);
    /* Before `start`: the state that the instance begins with, from another one's `save`; the text
     * is moved. It is used up by that start: what cannot be loaded cannot run. An instance that
     * could not begin at all gives it back with its `down`. A kind without states drops it; so does
     * a module child an empty one when its module cannot load. */
    void (*load)(struct ph_child *, struct ph_text *state);
    /* Does an instance of this spec take messages? NULL: each does. */
    bool (*takes_messages)(const struct ph_spec *);
    /* Can an instance of this spec stand by, and go to work when it is told to? */
    bool (*can_prepare)(const struct ph_spec *);
    /* Like `start`, but the instance stands by: it exists and handles neither messages nor timers.
     * Answered by ph_kind_prepared, or by `down`. Then one of `activate`, `stop`, `kill` follows.
     */
    void (*prepare)(struct ph_child *, uint32_t instance);
    /* The instance that stands by goes to work, with that state (moved; empty: as it is): answered
     * by ph_kind_up, or by `down` when it cannot load the state. */
    void (*activate)(struct ph_child *, struct ph_text *state);
    /* Asks it to end (the spec's stop signal; a module's terminate) / ends it and all its tree. */
    void (*stop)(struct ph_child *);
    /* The same, but saves its state first: the `down` carries it. That of a module without `save`
     * carries an empty one; that of a kind without states, of an instance that ended before, and of
     * one that is stopped or killed before it gets to save, is an ordinary one. When saving fails
     * the instance goes on and `ph_kind_not_saved` tells. */
    void (*save)(struct ph_child *);
    /* No instance exists, and the next one is to begin elsewhere: answered for the last one by
     * ph_kind_down_saved, with what the kind keeps for it, or by one more ph_kind_down. NULL: it
     * keeps nothing. */
    void (*unload)(struct ph_child *);
    /* The same for a state of less than `from` bytes. With a larger one the instance goes on, and
     * ph_kind_copied brings the state that it had between two messages. `room` (moved; may have
     * none) is the memory of an earlier copy: the state is written there, and when it is the last
     * one the hashes of its blocks come with it. A kind that can only save does that. */
    void (*copy)(struct ph_child *, uint64_t from, struct ph_text *room);
    /* The running instance joins another one's state into its own, between two messages; the
     * legacy is referenced. Answered by one ph_kind_merged, unless the instance ends before: then
     * its `down` is the answer, and nothing was joined. Never two at a time. */
    void (*merge)(struct ph_child *, struct ph_legacy *);
    /* Hub's actor, when no instance exists: moves the unread messages to the end of `into`, in
     * their order. One that is being sent meanwhile may stay: it goes with the next call, or to the
     * next instance. */
    void (*forward)(struct ph_child *, struct ph_queue *into);
    void (*kill)(struct ph_child *);
    /* The hub's lease (ph_hub.lease_until_ms) was renewed or lifted: an instance that held still
     * because it was over goes on. While it is over a module child handles neither messages nor
     * timers; they wait, and start, stop, save and kill are obeyed as ever. */
    void (*resume)(struct ph_child *);
    int (*signal)(struct ph_child *, int signal_number);
    /* Any thread, inside a read section: takes the box on success only. */
    int (*deliver)(struct ph_child *, struct ph_message_box *);
    /* Any thread, inside a read section: fills pid, queue and handled. */
    void (*inspect)(const struct ph_child *, struct ph_child_info *);
};

extern const struct ph_kind ph_kind_module, ph_kind_process;

/* "exited with code 3", "killed by SIGKILL", "handler failed (-5): why": for people. NULL: code 0.
 */
void ph_exit_describe(const struct ph_exit *, struct ph_text *out);

/* Why a child that failed or waits is where it is: the same, with the restarts when it was given
 * up. */
void ph_exit_reason(const struct ph_exit *, bool gave_up, struct ph_text *out);

/* Any thread: the instance runs (and is ready) / has ended. Copied. */
void ph_kind_up(struct ph_child *, uint32_t instance);
/* The instance stands by. */
void ph_kind_prepared(struct ph_child *, uint32_t instance);
/* `unused`: the state that it was to load, when it could not begin; moved, has no data otherwise.
 */
void ph_kind_down(struct ph_child *, uint32_t instance, const struct ph_exit *,
                  struct ph_text *unused);
/* The same after a `save`; the state is moved, and its hashes, if there are some. The event's text
 * has data, also when it is empty: by that it is told from an ordinary down. */
void ph_kind_down_saved(struct ph_child *, uint32_t instance, struct ph_text *state,
                        struct ph_sums *);
/* Its state is there, and it was told to end: _down_saved follows. */
void ph_kind_ending(struct ph_child *, uint32_t instance);
/* The instance goes on; that is its state as it was at a `copy`, moved. */
void ph_kind_copied(struct ph_child *, uint32_t instance, struct ph_text *state);
/* The instance could not be saved and goes on. */
void ph_kind_not_saved(struct ph_child *, uint32_t instance, const char *why);
/* It has joined the other state (code 0), or is as it was: PH_EUNSUPPORTED, or it failed. */
void ph_kind_merged(struct ph_child *, uint32_t instance, int code, const char *why);
/* Any thread, in a read section: something worth an event ("handler_slow", "watchdog_late"). */
void ph_kind_note(struct ph_child *, const char *type, const char *text);

#endif
