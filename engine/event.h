/*
 * Events: what a hub's queue carries.
 *
 * Whoever makes an event owns it until ph_host_post; then the hub's actor does, and frees it with
 * ph_event_destroy. What an event points to is owned by it, unless the member says otherwise.
 */
#ifndef PH_ENGINE_EVENT_H
#define PH_ENGINE_EVENT_H

#include <stdint.h>

#include "engine/gate.h"
#include "engine/kind/kind.h"
#include "engine/limits.h"
#include "engine/links.h"
#include "engine/ports.h"
#include "engine/prochub.h"
#include "engine/queue.h"
#include "engine/sums.h"
#include "engine/text.h"

struct ph_hub;

/* name, text, priority: below the gate's level an event waits. */
#define PH_EVENT_MAP(X)                                              \
    X(PH_EVENT_START, "start", PH_PRIORITY_LOCKED)                   \
    X(PH_EVENT_STOP, "stop", PH_PRIORITY_LOCKED)                     \
    X(PH_EVENT_RESTART, "restart", PH_PRIORITY_LOCKED)               \
    X(PH_EVENT_SIGNAL, "signal", PH_PRIORITY_LOCKED)                 \
    X(PH_EVENT_DISPATCH, "dispatch", 0)                              \
    X(PH_EVENT_LOCK, "lock", PH_PRIORITY_SYSTEM)                     \
    X(PH_EVENT_UNLOCK, "unlock", PH_PRIORITY_SYSTEM)                 \
    X(PH_EVENT_HOOK_ADD, "hook_add", PH_PRIORITY_SYSTEM)             \
    X(PH_EVENT_HOOK_REMOVE, "hook_remove", PH_PRIORITY_SYSTEM)       \
    X(PH_EVENT_HOOK_DONE, "hook_done", PH_PRIORITY_SYSTEM)           \
    X(PH_EVENT_CHILD_UP, "child_up", PH_PRIORITY_SYSTEM)             \
    X(PH_EVENT_CHILD_PREPARED, "child_prepared", PH_PRIORITY_SYSTEM) \
    X(PH_EVENT_CHILD_DOWN, "child_down", PH_PRIORITY_SYSTEM)         \
    X(PH_EVENT_CHILD_ENDING, "child_ending", PH_PRIORITY_SYSTEM)     \
    X(PH_EVENT_CHILD_KEPT, "child_kept", PH_PRIORITY_SYSTEM)         \
    X(PH_EVENT_CHILD_COPIED, "child_copied", PH_PRIORITY_SYSTEM)     \
    X(PH_EVENT_CHILD_MERGED, "child_merged", PH_PRIORITY_SYSTEM)     \
    X(PH_EVENT_CHILD_NOTE, "child_note", PH_PRIORITY_SYSTEM)         \
    X(PH_EVENT_WORK_DONE, "work_done", PH_PRIORITY_SYSTEM)           \
    X(PH_EVENT_INSPECT, "inspect", PH_PRIORITY_SYSTEM)               \
    X(PH_EVENT_TICK, "tick", PH_PRIORITY_SYSTEM)                     \
    X(PH_EVENT_JOB, "job", PH_PRIORITY_SYSTEM)                       \
    X(PH_EVENT_PEER_UP, "peer_up", PH_PRIORITY_SYSTEM)               \
    X(PH_EVENT_PEER_DOWN, "peer_down", PH_PRIORITY_SYSTEM)           \
    X(PH_EVENT_FRAME, "frame", PH_PRIORITY_SYSTEM)                   \
    X(PH_EVENT_NAME_TAKEN, "name_taken", PH_PRIORITY_SYSTEM)         \
    X(PH_EVENT_VIEW, "view", 0)                                      \
    X(PH_EVENT_PIN, "pin", PH_PRIORITY_LOCKED)                       \
    X(PH_EVENT_DRAIN, "drain", PH_PRIORITY_LOCKED)                   \
    X(PH_EVENT_LEAVE, "leave", PH_PRIORITY_SYSTEM)                   \
    X(PH_EVENT_STEER, "steer", PH_PRIORITY_LOCKED)                   \
    X(PH_EVENT_MOVES, "moves", PH_PRIORITY_SYSTEM)                   \
    X(PH_EVENT_QUORUM, "quorum", PH_PRIORITY_SYSTEM)                 \
    X(PH_EVENT_SEND, "send", PH_PRIORITY_SYSTEM)                     \
    X(PH_EVENT_ANSWER, "answer", PH_PRIORITY_SYSTEM)                 \
    X(PH_EVENT_CONFLICT, "conflict", PH_PRIORITY_SYSTEM)             \
    X(PH_EVENT_JOURNAL, "journal", PH_PRIORITY_SYSTEM)               \
    X(PH_EVENT_SHUTDOWN, "shutdown", PH_PRIORITY_SYSTEM)

enum ph_event_type {
#define PH_EVENT_ENUM(name, text, priority) name,
    PH_EVENT_MAP(PH_EVENT_ENUM)
#undef PH_EVENT_ENUM
        PH_EVENT_TYPES
};

const char *ph_event_name(enum ph_event_type);

/* Writes what it sees of the hub into `reply`; runs inside a hub step, must not keep pointers. */
typedef void (*ph_inspect_fn)(const struct ph_hub *, struct ph_text *reply);

struct ph_event {
    struct ph_queue_node link;
    struct ph_gated gated; /* priority, and the gate's own */
    uint64_t now_ms;       /* when it reaches the hub */
    enum ph_event_type type;
    struct ph_op *op; /* who wants to know; may be NULL */
    union {
        struct {
            struct ph_ids ids;
            struct ph_spec *spec;
            const struct ph_kind *kind;
            struct ph_start_options options;
        } start;
        struct {
            struct ph_ids ids;
            int signal;
        } target; /* stop, restart, signal; steer: `signal` 1 aborts a move, 0 retries it */
        struct {
            char name[PH_NAME_MAX + 1]; /* "": make one up / all */
            char reason[PH_NAME_MAX + 1];
            uint8_t level;
            bool discard;
            uint64_t for_ms; /* 0: the default */
        } lock;              /* and unlock */
        struct {
            char name[PH_NAME_MAX + 1];
            char *payload;
            enum ph_audience members;
            char *nodes;
            struct ph_event *lock; /* a lock event to run with it, or NULL */
        } dispatch;
        struct {
            char hook[PH_NAME_MAX + 1];
            char id[PH_NAME_MAX + 1];
            int priority;
            uint64_t timeout_ms;
            char *exec;
            ph_hook_fn function;
            void *arg;
        } hook; /* add, remove */
        struct {
            uint64_t handler; /* number of the handler */
            int code;
            char *text;           /* why it failed, or NULL */
            struct ph_spec *spec; /* of an alter call: the altered spec, or NULL */
            uint64_t elapsed_ms;
        } hook_done;
        struct {
            struct ph_child *child; /* borrowed: alive until its `down` was handled */
            uint32_t instance;
            struct ph_exit *exit; /* down; NULL: exit code 0. kept, merged: why, in its text */
            struct ph_text saved; /* down, copied: what its `save` wrote, or what it could not begin
                                     with; owned */
            struct ph_sums sums;  /* … and its hashes, or none; owned */
        } child;
        struct {
            struct ph_peer peer; /* down: only its number */
            enum ph_peer_end why;
        } peer;
        struct {
            uint64_t peer;
            struct ph_text bytes; /* owned */
        } frame;
        struct {
            struct ph_ids ids;          /* pin */
            char node[PH_NAME_MAX + 1]; /* "": unpin */
            enum ph_move_mode mode;     /* pin */
            bool on;                    /* drain; leave: join again */
            uint64_t size;              /* quorum */
            enum ph_moves_order order;  /* moves */
        } place;
        struct {
            char *id;
            struct ph_message_box *box; /* owned; its op is that of a call */
            uint32_t detour;            /* see ph_detour_enter; 0: it does not count */
        } send;
        struct {
            uint64_t peer, token; /* whose call it was */
            int code;
            char *text;
            struct ph_text reply; /* owned */
        } answer;
        struct {
            char *id, *type, *text;
        } note;
        struct {
            uint64_t number; /* 0: all */
            bool drop;       /* else the op's reply is to be its state */
        } conflict;
        struct {
            struct ph_text record;       /* that was read; owned; without one it is an answer */
            bool last;                   /* nothing more will be read */
            int code;                    /* 0, or why a call was not done … */
            char *text;                  /* … for people, or what was not whole; NULL; owned */
            bool renewed;                /* a REPLACE was among those that are done */
            struct ph_journal_mark done; /* of the call */
            uint64_t bytes;              /* how long the journal is now */
        } journal;
        struct {
            unsigned kind; /* enum ph_work */
        } work;
        ph_inspect_fn inspect;
    };
};

/* Zeroed, with the type's priority. */
struct ph_event *ph_event_create(enum ph_event_type type);

/* Frees it and what it owns; an op that was not completed is failed with PH_ESTOPPING. */
void ph_event_destroy(struct ph_event *);

#endif
