/*
 * What is said on the socket of a program that takes messages (PROCHUB_SOCKET, docs/processes.md):
 * the node asks, the program answers, one at a time.
 *
 * A table [STATE][ANSWER] of functions. A program that answers what nobody asked, or nonsense, is
 * failed. At most one message is out and unanswered; the next one is asked of the owner only then,
 * so what a program did not get stays in its mailbox. Bounded: a line, a saved state, and what is
 * done in one turn of the loop. Monitor's thread only.
 */
#ifndef PH_ENGINE_KIND_TALK_H
#define PH_ENGINE_KIND_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/kind/kind.h"
#include "engine/kind/line.h"
#include "engine/kind/loop.h"

enum ph_talk_state {
    PH_TALK_CLOSED,
    PH_TALK_STANDS_BY_ASKED, /* "role passive" is out */
    PH_TALK_STANDS_BY,
    PH_TALK_LOAD_ASKED, /* its state is going out, "load" behind it */
    PH_TALK_WORK_ASKED, /* "role active" is out */
    PH_TALK_WORKS,
    PH_TALK_MESSAGE_ASKED, /* `box` is out */
    PH_TALK_MERGE_ASKED,   /* another one's state is going out, "merge" behind it */
    PH_TALK_SAVE_ASKED,
    PH_TALK_SAVED, /* its state is here: it has nothing more to say */
    PH_TALK_FAILED,
    PH_TALK_STATES,
};

struct ph_talk;

/* Called by the talk; none may close it. */
struct ph_talk_calls {
    void (*stands_by)(struct ph_talk *);
    void (*works)(struct ph_talk *);
    /* The next message, the talk's from now on; NULL: none. */
    struct ph_message_box *(*next)(struct ph_talk *);
    /* Its state is complete: ph_talk.saved, to be taken. */
    void (*saved)(struct ph_talk *);
    void (*not_saved)(struct ph_talk *, const char *why);
    /* It joined the state that it was given (code 0), or is as it was. */
    void (*merged)(struct ph_talk *, int code, const char *why);
    /* It is to be ended. `how`: PH_EXIT_EXEC when it cannot load its state, else PH_EXIT_FAILED. */
    void (*failed)(struct ph_talk *, enum ph_exit_how how, const char *why);
    /* It could not do what a cast says. */
    void (*refused)(struct ph_talk *, const char *why);
};

struct ph_talk {
    const struct ph_talk_calls *calls;
    struct ph_loop *loop;
    struct ph_source source;
    enum ph_talk_state state;
    uint64_t epoch;       /* of "role active" */
    bool wants_save;      /* as soon as no message is out */
    bool ending;          /* nothing is asked any more */
    struct ph_alarm hung; /* it closed its end: it must have ended by then */

    struct ph_message_box *box; /* that is out */
    bool box_begun;             /* a byte of it is */
    struct ph_text out;         /* lines that go out, from out_at on */
    size_t out_at;
    bool blocked;         /* the socket is full; EPOLLOUT will tell */
    struct ph_text load;  /* a state to load, until it is answered */
    const char *state_at; /* of a state that goes out in pieces, what is left … */
    size_t state_left;
    const char *state_verb; /* … and the line behind it; NULL: none goes out */
    const void *merge;      /* a state to join as soon as no message is out; borrowed; or NULL */
    size_t merge_length;
    struct ph_text in; /* a line that is not complete, of which in_seen bytes hold no end */
    size_t in_seen;
    struct ph_text saved; /* what it saved */
};

/* `calls` is kept. */
void ph_talk_init(struct ph_talk *, struct ph_loop *, const struct ph_talk_calls *calls);

/* Begins on the node's end of a new socket pair, whose descriptor is the talk's from now on.
 * 0 or -errno: closed. */
PH_MUST_CHECK int ph_talk_open(struct ph_talk *, int fd);
/* Stand by. / Go to work, with that state (moved; may be empty): after open, or when it stands
 * by. */
void ph_talk_stand_by(struct ph_talk *);
void ph_talk_work(struct ph_talk *, struct ph_text *state, uint64_t epoch);
/* There may be a next message. */
void ph_talk_pump(struct ph_talk *);
/* Save, when what is out is answered; false: it does not work yet, or does not any more. */
PH_MUST_CHECK bool ph_talk_save(struct ph_talk *);
/* Join that state, when what is out is answered: borrowed until `merged`, or until it is closed.
 * Never two at a time. */
void ph_talk_merge(struct ph_talk *, const void *state, size_t length);
/* The program has ended: hears its last words, and asks nothing more. */
void ph_talk_hear_out(struct ph_talk *);
/* Closes it. A message of which nothing went out is given back; one that is out is failed; NULL:
 * there is none to give back. What it saved stays. */
struct ph_message_box *ph_talk_close(struct ph_talk *);

#endif
