/*
 * prochub: a distributed process supervisor, as a library.
 *
 * A *node* is an object; several live happily in one process. A node runs *hubs*; a hub supervises
 * *children*: in-process actors written in C (module children, see `struct ph_module`) or OS
 * processes (spawned by the helper program prochub-keeper). Every child has an id, unique in its
 * hub.
 *
 * Threads. Every function of this header may be called from any thread unless its text says "in a
 * handler". A foreign thread becomes an RCU reader at its first call and must call
 * ph_thread_leave() before it ends. Lookups (ph_lookup, ph_count, ph_status, ph_send) never take a
 * lock and never wait for the hub.
 *
 * Requests (ph_start, ph_stop, …) travel as events through the hub's queue and its gate to the hub,
 * which is the only writer of its state. They return a `struct ph_op`: wait for it, read it, put
 * it.
 *
 * Errors are negative ints (see PH_ERROR_MAP and -errno); ph_error_text() explains them. Pointers
 * that are passed in are borrowed until return unless the text says "copied" or "moved".
 * Times are milliseconds, sizes bytes.
 */
#ifndef PROCHUB_H
#define PROCHUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PH_VERSION "0.1.0"
#define PH_MUST_CHECK __attribute__((warn_unused_result))

/* ---- Errors -------------------------------------------------------------------------------- */

/* name, code, class of the command language, text */
#define PH_ERROR_MAP(X)                                                       \
    X(PH_EFAILED, -4096, FAILED, "failed")                                    \
    X(PH_EUSAGE, -4097, USAGE, "bad value")                                   \
    X(PH_ENOTFOUND, -4098, NOT_FOUND, "not found")                            \
    X(PH_EEXISTS, -4099, REFUSED, "already exists")                           \
    X(PH_EREFUSED, -4100, REFUSED, "refused")                                 \
    X(PH_ELIMIT, -4101, REFUSED, "a limit is reached")                        \
    X(PH_ETIMEOUT, -4102, TIMEOUT, "timed out")                               \
    X(PH_ESTOPPING, -4103, REFUSED, "stopping")                               \
    X(PH_EGONE, -4104, NOT_FOUND, "gone")                                     \
    X(PH_EGAVEUP, -4105, REFUSED, "given up")                                 \
    X(PH_ECANCELED, -4106, FAILED, "interrupted")                             \
    X(PH_EPARTIAL, -4107, PARTIAL, "done in part")                            \
    X(PH_ECONNECTION, -4108, NO_CONNECTION, "no connection")                  \
    X(PH_EABI, -4109, REFUSED, "module built for another version")            \
    X(PH_EUNSUPPORTED, -4110, REFUSED, "not supported by this kind of child") \
    X(PH_ESUPERSEDED, -4111, REFUSED, "superseded by another request")

enum ph_error_code {
#define PH_ERROR_ENUM(name, code, class, text) name = (code),
    PH_ERROR_MAP(PH_ERROR_ENUM)
#undef PH_ERROR_ENUM
};

/* A code and a message for people. Zero it, pass it, read it when the call failed. */
struct ph_error {
    int code;
    char text[512];
};

/* A short text for any negative code, errno or ours. Never NULL; static. */
const char *ph_error_text(int code);

/* ---- Node ---------------------------------------------------------------------------------- */

struct ph_node;
struct ph_hub;
struct ph_op;
struct ph_spec;
struct ph_waiter;
struct ph_record;

struct ph_node_config {
    const char *name;        /* [A-Za-z0-9._-]{1,64}; NULL: the host's name */
    const char *keeper_path; /* prochub-keeper; NULL: beside the program, else from PATH */
    const char *modules_dir; /* where module=NAME finds NAME.so; NULL: built-in modules only */
    /* Where what is wanted is kept, crash-safe; made when it is missing, used by one node at a
     * time. NULL: nothing is kept. */
    const char *state_dir;
    unsigned workers; /* threads for children; 0: one per core */
    uint64_t seed;    /* of the hubs' generators; 0: from the system */
    /* This process starts no other children of its own: whatever a dead prochub-keeper leaves
     * behind is ended, also what hides that it was the keeper's. */
    bool sole_parent;
    /* Failure detection between nodes; 0: 500, 3,000 and 2,500. A node is heard of at least every
     * heartbeat, is dead after dead_after of silence, and stops its children after `lease` without
     * a quorum. Three heartbeats must be shorter than dead_after, and lease shorter, too. */
    uint64_t heartbeat_ms, dead_after_ms, lease_ms;
    /* Told every event of every hub, on a worker; must be quick. NULL: nobody listens. */
    void (*trace)(void *arg, const struct ph_hub *, const struct ph_record *);
    void *trace_arg;
};

/* One event of a hub. `type` is a name of docs/events.md or a custom event's name. */
struct ph_record {
    uint64_t seq;    /* 1, 2, 3, … */
    uint64_t cause;  /* seq of the event that led to this one; 0: none */
    uint64_t now_ms; /* the node's monotonic clock */
    uint8_t priority;
    const char *type;
    const char *id;   /* the child, or "" */
    const char *text; /* for people, or "" */
};

/* Creates a node and starts its threads. `config` is copied. */
PH_MUST_CHECK int ph_node_create(const struct ph_node_config *config, struct ph_node **node,
                                 struct ph_error *error);

/* Stops every hub: children are handed over to other nodes, or ended. Waits as ph_node_destroy
 * does; for a node whose links are to be ended between the two. False: the time is up, some child's
 * handler does not return, and its hub may still use the links. */
bool ph_node_stop(struct ph_node *);

/* Stops every hub (each within its shutdown.timeout), ends all children, joins the threads.
 * NULL is fine. Waits. Never call it in a handler. */
void ph_node_destroy(struct ph_node *);

const char *ph_node_name(const struct ph_node *);
uint64_t ph_node_uptime_ms(const struct ph_node *);

/* Ends the RCU registration of the calling thread, if it has one. */
void ph_thread_leave(void);

/* Loads a module from a shared object that exports `const struct ph_module prochub_module`. Refused
 * with PH_EABI when it was built for another ABI, PH_EEXISTS when its name is taken. */
PH_MUST_CHECK int ph_module_load(struct ph_node *, const char *path, struct ph_error *error);

/* The same for a module of the program itself; it must outlive the node. */
struct ph_module;
PH_MUST_CHECK int ph_module_add(struct ph_node *, const struct ph_module *, struct ph_error *error);

/* ---- Hubs ---------------------------------------------------------------------------------- */

/* Creates a hub. `options` are KEY=VALUE texts with the keys of the hub options (docs/commands.md),
 * `count` of them. The new hub is referenced for the caller: ph_hub_put. */
PH_MUST_CHECK int ph_hub_create(struct ph_node *, const char *name, const char *const *options,
                                size_t count, struct ph_hub **hub, struct ph_error *error);

/* The hub of that name, referenced, or NULL. */
struct ph_hub *ph_hub_get(struct ph_node *, const char *name);
void ph_hub_put(struct ph_hub *);
const char *ph_hub_name(const struct ph_hub *);

/* Stops all children and ends the hub; the op completes when it is gone. */
PH_MUST_CHECK int ph_hub_stop(struct ph_hub *, struct ph_op **op, struct ph_error *error);

/* ---- Ids ----------------------------------------------------------------------------------- */

/* A set of child ids, as requests take them: zero it, add, pass it on (requests move the content
 * out and leave it empty), fini what was not passed. Owner thread only. */
struct ph_ids {
    char *bytes; /* per id: one byte of length, the id, a NUL */
    size_t length, capacity;
    size_t count;
};

/* Is `id` 1..255 bytes of UTF-8 without spaces and control characters? */
bool ph_id_is_valid(const char *id, size_t length);

/* Adds a copy. PH_EUSAGE for a bad id, PH_ELIMIT beyond PH_IDS_MAX. Does not look for
 * duplicates. */
PH_MUST_CHECK int ph_ids_add(struct ph_ids *, const char *id, size_t length);

/* Adds an id or a range: "w-[1..1000]" adds w-1 … w-1000; "[01..10]" keeps leading zeros. */
PH_MUST_CHECK int ph_ids_add_range(struct ph_ids *, const char *pattern, struct ph_error *error);

/* Walks: start with *cursor = 0; NULL at the end. The id is NUL-terminated. */
const char *ph_ids_next(const struct ph_ids *, size_t *cursor, size_t *length);
void ph_ids_fini(struct ph_ids *);

/* ---- Specs --------------------------------------------------------------------------------- */

/* What to run and how to supervise it. Filled with ph_spec_set and ph_spec_add_arg, then immutable
 * and shared by reference. The keys are those of the command `start` (docs/commands.md). */
struct ph_spec *ph_spec_create(void);

/* Sets one key: "module", "restart", "env.PATH", "meta.role", …. The error names the key and says
 * which values it takes. Only before the spec is first passed to a request. */
PH_MUST_CHECK int ph_spec_set(struct ph_spec *, const char *key, const char *value,
                              struct ph_error *error);

/* Adds one word of the program's argv; the first one is the program. Copied. */
PH_MUST_CHECK int ph_spec_add_arg(struct ph_spec *, const char *arg, struct ph_error *error);

/* Is it complete and free of contradictions? The error names the key. Requests check it too. */
PH_MUST_CHECK int ph_spec_check(const struct ph_spec *, struct ph_error *error);

struct ph_spec *ph_spec_get(struct ph_spec *); /* one more reference */
void ph_spec_put(struct ph_spec *);            /* NULL is fine */
bool ph_spec_equal(const struct ph_spec *, const struct ph_spec *);

/* ---- Requests and their results ------------------------------------------------------------ */

struct ph_op_failure {
    const char *id; /* "" when the failure is of the whole request */
    int code;
    const char *text;
};

struct ph_op_result {
    int code;         /* 0, PH_EPARTIAL (some failed), or why nothing was done */
    const char *text; /* for people; "" when code is 0 */
    uint64_t changed; /* children that this request changed */
    uint64_t same;    /* children that were already as wanted */
    uint64_t failed;  /* children that failed; at most PH_FAILURES_MAX of them are listed */
    size_t failure_count;
    const struct ph_op_failure *failures;
    bool rolled_back;
    const char *reply; /* of a call */
    size_t reply_length;
};

/* Waits until the request is done or `timeout_ms` are over (PH_ETIMEOUT; the request goes on).
 * `waiter` may be NULL; with one, ph_waiter_cancel ends the wait with PH_ECANCELED. 0: it is done,
 * read the result. May be called again. Never call it in a handler. */
PH_MUST_CHECK int ph_op_wait(struct ph_op *, uint64_t timeout_ms, struct ph_waiter *waiter);
bool ph_op_is_done(const struct ph_op *);

/* The result, valid until the op is put. Before it is done: code PH_ETIMEOUT and the counts so
 * far. */
const struct ph_op_result *ph_op_result(struct ph_op *);
void ph_op_put(struct ph_op *); /* NULL is fine; a request goes on without its op */

/* Where a thread waits for several things at once and can be called off. */
struct ph_waiter *ph_waiter_create(void);
void ph_waiter_destroy(struct ph_waiter *); /* nobody waits on it any more */
void ph_waiter_cancel(struct ph_waiter *);  /* from any thread, also a signal-handling one */
void ph_waiter_reset(struct ph_waiter *);   /* takes the cancellation back */

enum ph_if_exists { PH_IF_EXISTS_SAME, PH_IF_EXISTS_FAIL, PH_IF_EXISTS_REPLACE };

struct ph_start_options {
    enum ph_if_exists if_exists;
    bool rollback; /* when one fails, stop what this request started */
};

/* Starts a child for every id, all with `spec` (referenced). `ids` is moved. `options` may be NULL.
 * `op` may be NULL when nobody waits. The op is done when every child runs (is ready) or failed. */
PH_MUST_CHECK int ph_start(struct ph_hub *, struct ph_ids *ids, struct ph_spec *spec,
                           const struct ph_start_options *options, struct ph_op **op,
                           struct ph_error *error);

/* Stops and removes / stops and starts again / signals. `ids` is moved. Unknown ids fail by id. */
PH_MUST_CHECK int ph_stop(struct ph_hub *, struct ph_ids *ids, struct ph_op **op);
PH_MUST_CHECK int ph_restart(struct ph_hub *, struct ph_ids *ids, struct ph_op **op);
PH_MUST_CHECK int ph_signal(struct ph_hub *, struct ph_ids *ids, int signal_number,
                            struct ph_op **op);

/* Delivers a message to a child: exactly once and in order per sending thread while the child
 * lives. Copied. 0 means it is in the mailbox, which outlives a restart. */
PH_MUST_CHECK int ph_send(struct ph_hub *, const char *id, const void *data, size_t length);

/* The same, and the op completes with the child's reply, or with a failure when the child fails
 * while it handles the call, is stopped, or cannot answer calls. */
PH_MUST_CHECK int ph_call(struct ph_hub *, const char *id, const void *data, size_t length,
                          struct ph_op **op);

/* ---- Nodes ---------------------------------------------------------------------------------- */

/* How children move: as the hub's option `migration` says, hot (the target's instance is made
 * before this one holds still; children of a kind that cannot stand by move cold), or cold. */
enum ph_move_mode { PH_MOVE_ANY, PH_MOVE_HOT, PH_MOVE_COLD, PH_MOVE_MODES };

/* Moves children to a node and pins them there, until ph_unpin. Done when they run there. `ids` is
 * moved. PH_ENOTFOUND when no member has that name. */
PH_MUST_CHECK int ph_migrate(struct ph_hub *, struct ph_ids *ids, const char *node,
                             enum ph_move_mode mode, struct ph_op **op, struct ph_error *error);
/* Takes the pins away; the children go where they belong. `ids` is moved. */
PH_MUST_CHECK int ph_unpin(struct ph_hub *, struct ph_ids *ids, struct ph_op **op);

/* What becomes of a redistribution: moves go on / none begins any more, on no node of the hub,
 * those under way go on / the same, and those whose state has not been sent are called off. What
 * people move one by one (ph_migrate), and what leaves a node that ends, is not held up. */
enum ph_moves_order { PH_MOVES_RESUME, PH_MOVES_PAUSE, PH_MOVES_CANCEL };
PH_MUST_CHECK int ph_moves(struct ph_hub *, enum ph_moves_order, struct ph_op **op);

/* Tries moves that wait after a failure again now / calls moves off whose state has not been sent,
 * with their pins: those children stay where they are until they are retried. `ids` is moved. */
PH_MUST_CHECK int ph_moves_retry(struct ph_hub *, struct ph_ids *ids, struct ph_op **op);
PH_MUST_CHECK int ph_moves_abort(struct ph_hub *, struct ph_ids *ids, struct ph_op **op);

/* Moves everything off a node and lets nothing on it (`on`) / takes that back. A drain is done when
 * the node has no child any more; its op counts those that moved. */
PH_MUST_CHECK int ph_drain(struct ph_hub *, const char *node, bool on, struct ph_op **op,
                           struct ph_error *error);

/* Hands all children of this node over and leaves the hub's cluster; the hub goes on alone and
 * empty. Done when it has left. */
PH_MUST_CHECK int ph_leave(struct ph_hub *, struct ph_op **op);

/* Takes a leave back: the hub meets the nodes that this one is linked with. */
PH_MUST_CHECK int ph_join(struct ph_hub *, struct ph_op **op);

/* Sets the size that a quorum is counted from (0: the members of now). */
PH_MUST_CHECK int ph_quorum_reset(struct ph_hub *, uint64_t size, struct ph_op **op);

/* What the conflict store of this node keeps, by its number (`conflicts` lists them): the op's
 * reply is the state / drops it, 0: all. The op is done with PH_ENOTFOUND when there is none. */
PH_MUST_CHECK int ph_conflict_read(struct ph_hub *, uint64_t number, struct ph_op **op);
PH_MUST_CHECK int ph_conflict_drop(struct ph_hub *, uint64_t number, struct ph_op **op);

/* ---- The gate ------------------------------------------------------------------------------ */

struct ph_lock_options {
    const char *name;   /* NULL: the hub makes one ("lock-3") */
    const char *reason; /* for people; NULL: "" */
    uint8_t level;      /* events below this priority wait; 1..100, 0 means 10 */
    uint64_t for_ms;    /* 0: the hub's lock.timeout */
    bool discard;       /* events below the level are dropped instead of held */
};

/* Takes a lock of its own. The op's reply is the lock's name. */
PH_MUST_CHECK int ph_lock(struct ph_hub *, const struct ph_lock_options *, struct ph_op **op);

/* Releases the lock of that name (NULL: all that were taken by ph_lock). */
PH_MUST_CHECK int ph_unlock(struct ph_hub *, const char *name, struct ph_op **op);

enum ph_audience { PH_MEMBERS_GLOBAL, PH_MEMBERS_LOCAL, PH_MEMBERS_EXTERNAL, PH_MEMBERS_NODES };

struct ph_dispatch_options {
    uint8_t priority; /* 0..100 */
    bool discard;     /* drop it rather than hold it */
    enum ph_audience members;
    const char *nodes; /* for PH_MEMBERS_NODES: names joined by commas */
    /* Lock together with the dispatch, in one step: NULL, or a lock taken as the event passes. It
     * is ignored when the event is held. */
    const struct ph_lock_options *lock;
};

/* Sends a custom event through this hub's gate to its listeners. The op's reply is "passed", "held"
 * or "discarded". All copied. */
PH_MUST_CHECK int ph_dispatch(struct ph_hub *, const char *event, const char *payload,
                              const struct ph_dispatch_options *, struct ph_op **op,
                              struct ph_error *error);

/* ---- Hooks and listeners ------------------------------------------------------------------- */

/* What a hook handler gets. Valid during the call. `json` is what an executable would read. */
struct ph_hook_call {
    const char *hook;
    const char *json;
    struct ph_spec *alter; /* child_data_alter only: change it with ph_spec_set */
};

/* A hook handler: 0, or negative for a failure, which is recorded and harms nothing. Runs on a
 * worker of the node, never inside the hub; the calls of one handler come one at a time and in
 * order. */
typedef int (*ph_hook_fn)(void *arg, const struct ph_hook_call *);

struct ph_hook_options {
    const char *hook;    /* a hook of docs/commands.md or a custom event's name */
    const char *id;      /* the handler's name, unique in the hub; NULL: made by the hub */
    int priority;        /* higher first; equal ones in the order of their registration */
    uint64_t timeout_ms; /* 0: 5,000; an executable that runs longer is killed with its tree */
    const char *exec;    /* an executable; or NULL and: */
    ph_hook_fn function;
    void *arg; /* kept until the handler is removed */
};

/* Adds a handler; the op's reply is its name. All copied but `arg`. Custom events' listeners are
 * handlers whose hook is the event's name. */
PH_MUST_CHECK int ph_hook_add(struct ph_hub *, const struct ph_hook_options *, struct ph_op **op,
                              struct ph_error *error);

/* Removes a handler; when the op is done, it does not run and never will. */
PH_MUST_CHECK int ph_hook_remove(struct ph_hub *, const char *id, struct ph_op **op);

/* ---- Reading ------------------------------------------------------------------------------- */

/* State of a placement. */
#define PH_STATE_MAP(X)              \
    X(PH_STATE_STARTING, "starting") \
    X(PH_STATE_RUNNING, "running")   \
    X(PH_STATE_BACKOFF, "backoff")   \
    X(PH_STATE_STOPPING, "stopping") \
    X(PH_STATE_MOVING, "moving")     \
    X(PH_STATE_FAILED, "failed")     \
    X(PH_STATE_UNKNOWN, "unknown")

enum ph_state {
#define PH_STATE_ENUM(name, text) name,
    PH_STATE_MAP(PH_STATE_ENUM)
#undef PH_STATE_ENUM
        PH_STATES
};

const char *ph_state_name(enum ph_state);

/* One immutable picture of a hub, as of the end of one of its steps. */
struct ph_status {
    uint64_t version;  /* rises with every picture */
    uint64_t now_ms;   /* the node's monotonic clock at that step */
    uint64_t children; /* wanted in the hub, wherever they run */
    uint64_t local;    /* placements on this node */
    uint64_t by_state[PH_STATES];
    uint64_t nodes;     /* members in the view, with this one */
    uint64_t migrating; /* placements in transit or not where they should be */
    bool settled, partitioned, stopping;
    bool paused;    /* no move begins: see ph_moves */
    uint8_t level;  /* of the gate; 0 is open */
    uint32_t locks; /* live ones */
    uint32_t held;  /* events that wait behind it */
    uint64_t held_total, discarded, refused, expired;
    char holder[65]; /* name of the lock that demands the level */
    char reason[65];
    uint64_t deadline_ms; /* of that lock, on the node's clock; UINT64_MAX: none */
    uint64_t events;      /* sequence number of the last event */
    uint64_t steps, starts, restarts, gave_up;
    uint64_t conflicts; /* states in this node's conflict store */
};

/* Copies the newest picture. */
void ph_status(const struct ph_hub *, struct ph_status *status);

/* Waits until there is a picture newer than `version`, `timeout_ms` are over (PH_ETIMEOUT) or the
 * waiter is cancelled (PH_ECANCELED). Costs nothing while nothing changes. */
PH_MUST_CHECK int ph_wait_change(struct ph_hub *, uint64_t version, uint64_t timeout_ms,
                                 struct ph_waiter *waiter);

uint64_t ph_count(const struct ph_hub *);

struct ph_child_info {
    char id[256];
    enum ph_state state;
    uint64_t pid;      /* of an OS process; 0: none */
    uint64_t instance; /* counts the starts of this child */
    uint64_t epoch;
    uint32_t restarts;
    uint32_t queue;    /* unread messages */
    uint64_t since_ms; /* when it entered its state, on the node's clock */
    uint64_t handled;  /* messages that its present or last instance has handled */
};

/* PH_ENOTFOUND when there is no such child. */
PH_MUST_CHECK int ph_lookup(const struct ph_hub *, const char *id, struct ph_child_info *info);

/* ---- Modules ------------------------------------------------------------------------------- */

#define PH_MODULE_ABI 2

struct ph_context; /* of one child, in its handlers */

enum ph_message_type {
    PH_MESSAGE_CAST,
    PH_MESSAGE_CALL, /* answer with ph_reply before the handler returns; else the call fails */
    PH_MESSAGE_TIMER,
};

struct ph_message {
    enum ph_message_type type;
    int timer;        /* PH_MESSAGE_TIMER: its number */
    const char *data; /* NUL-terminated beyond `length` */
    size_t length;
};

/* What a handler may return besides negative failures. */
enum { PH_HANDLER_OK = 0, PH_HANDLER_STOP = 1 /* a normal end */ };

/* What `merge` is told besides the other state: by it a module may tell which one counts. */
struct ph_merge_info {
    const char *from;                /* the node that the other one ran on */
    uint64_t ran_ms, other_ran_ms;   /* how long this instance and the other one have run */
    uint64_t updates, other_updates; /* messages that each of them has handled */
};

/*
 * A kind of in-process child. All functions run on worker threads, for one child never two at a
 * time. A function that returns a negative code (or a code it must not return) fails the child, and
 * its supervisor acts; one that crashes takes the node with it: use an OS process for isolation.
 */
struct ph_module {
    uint32_t abi;  /* PH_MODULE_ABI */
    uint32_t size; /* sizeof(struct ph_module) */
    const char *name;
    const char *summary; /* one line for `modules` */

    /* Makes the state; `args` is the spec's args ("" if none). On failure the state is left alone
     * and ph_fail may say why. Required. */
    int (*init)(struct ph_context *, const char *args, void **state);
    /* One message. Required. */
    int (*handle)(struct ph_context *, void *state, const struct ph_message *);
    /* Frees the state. Optional; called after every successful init, also after a failure. */
    void (*terminate)(struct ph_context *, void *state);
    /* For moves: writes the state out with ph_save, and leaves it as it is: the child may go on and
     * be saved again / reads it into a fresh state. Optional. */
    int (*save)(struct ph_context *, void *state);
    int (*load)(struct ph_context *, void *state, const void *data, size_t length);
    /* After two halves of a cluster have met: joins what another instance of the same child has
     * saved into this one's state, between two messages. On a negative code the state must be as it
     * was, the child goes on, and the other state is kept in the conflict store (`conflicts`), as
     * it is without this function; PH_EUNSUPPORTED says that it is meant so. Optional. */
    int (*merge)(struct ph_context *, void *state, const void *data, size_t length,
                 const struct ph_merge_info *);
    /* Tells the role. Optional. */
    void (*role)(struct ph_context *, void *state, bool active);
};

/* In a handler: */
const char *ph_self(const struct ph_context *); /* the child's id */
/* Answers the call being handled; copied. A second answer is ignored. */
void ph_reply(struct ph_context *, const void *data, size_t length);
void ph_replyf(struct ph_context *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Answers the call being handled with an error (its class becomes `failed`). */
void ph_reply_error(struct ph_context *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Says why the handler is about to fail; shown to people as the child's last exit. */
void ph_fail(struct ph_context *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sends to another child of the same hub. */
PH_MUST_CHECK int ph_cast(struct ph_context *, const char *id, const void *data, size_t length);
/* (Re)arms timer `number` (0..15) to fire once after `delay_ms`; UINT64_MAX disarms it. A timer
 * dies with its instance. */
PH_MUST_CHECK int ph_timer(struct ph_context *, int number, uint64_t delay_ms);
/* In `save`: appends to the saved state; copied. Beyond 256 MiB the save fails. */
void ph_save(struct ph_context *, const void *data, size_t length);

#ifdef __cplusplus
}
#endif

#endif
