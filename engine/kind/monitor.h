/*
 * OS processes of a node: one thread (the monitor) that talks to prochub-keeper, reads the
 * processes' pipes and answers their sd_notify datagrams.
 *
 * The monitor starts prochub-keeper (posix_spawn) with its first process and again when it died.
 * All descriptors are O_CLOEXEC; output goes into a bounded ring per process (and a file), and a
 * viewer never holds a process up. Calls marked _any may come from any thread: they queue a command
 * for the monitor and never block. Callbacks run on the monitor's thread and must not block.
 *
 * The keeper holds the processes: own session each, whole-tree kill, reaping. When the node dies,
 * the keeper kills all trees and ends; when the keeper dies, the monitor kills what it left behind
 * and reports every process as down.
 *
 * With the first process the program becomes a subreaper (PR_SET_CHILD_SUBREAPER), so that orphans
 * of a dead keeper come back to it, and its soft limit of descriptors is raised to the hard one.
 * The monitor waits for no children but the keeper and its leftovers. Destroy the processes before
 * the monitor; ph_process_destroy_any is also fine in the `down` that ph_monitor_destroy causes.
 */
#ifndef PH_ENGINE_KIND_MONITOR_H
#define PH_ENGINE_KIND_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kind/kind.h"
#include "engine/prochub.h"
#include "engine/spec.h"
#include "engine/text.h"
#include "engine/waiter.h"

struct ph_legacy;
struct ph_monitor;
struct ph_process; /* one place for an OS process; lives as long as its child */

/* Told by the monitor. For one instance: at most one `up`, then exactly one `down`, which is the
 * last word; `note` in between. */
struct ph_process_owner {
    /* The program runs (ready=none: exec succeeded; ready=notify: it said READY=1). */
    void (*up)(void *owner, uint32_t instance);
    /* One that was prepared stands by. */
    void (*stands_by)(void *owner, uint32_t instance);
    /* `unused`: the state that it was to load, when it could not begin; moved. */
    void (*down)(void *owner, uint32_t instance, const struct ph_exit *, struct ph_text *unused);
    /* It said its state, and was told to end: `saved` follows. */
    void (*ending)(void *owner, uint32_t instance);
    /* A `down` after a save; the state is moved. / It could not be saved and goes on. */
    void (*saved)(void *owner, uint32_t instance, struct ph_text *state);
    void (*kept)(void *owner, uint32_t instance, const char *why);
    /* It has joined a state (code 0), or is as it was. */
    void (*merged)(void *owner, uint32_t instance, int code, const char *why);
    /* "notify_invalid", "log_failed", "output_dropped", …: what people should know;
     * rate-limited. */
    void (*note)(void *owner, const char *type, const char *text);
};

/* `sole_parent`: see struct ph_node_config. `keeper_path` NULL: prochub-keeper beside the running
 * program, else from PATH. Does not start it. */
PH_MUST_CHECK int ph_monitor_create(const char *keeper_path, bool sole_parent, struct ph_monitor **,
                                    struct ph_error *);
/* Kills everything that is left, ends the keeper, joins the thread. */
void ph_monitor_destroy(struct ph_monitor *);

/* A place for a process; `owner` and `arg` are kept. It runs under that lease (0: none). Any
 * thread. */
struct ph_process *ph_process_create(struct ph_monitor *, const struct ph_process_owner *owner,
                                     void *arg, uint32_t lease);
/* No instance may exist. Any thread; no callback comes after it returned... the monitor frees
 * it. */
void ph_process_destroy_any(struct ph_process *);

/* Begins an instance: `spec` is referenced until `down`. `id` is for the environment
 * (PROCHUB_ID). */
void ph_process_start_any(struct ph_process *, const char *id, struct ph_spec *spec,
                          uint32_t instance, uint64_t epoch);
/* The same, but the instance stands by, which needs socket=yes. / It goes to work, with that state
 * (moved; empty: with the one that it was given before, or none). */
void ph_process_prepare_any(struct ph_process *, const char *id, struct ph_spec *spec,
                            uint32_t instance, uint64_t epoch);
void ph_process_activate_any(struct ph_process *, struct ph_text *state, uint64_t epoch);

/* A running one with socket=yes joins another one's state into its own; the legacy is referenced.
 * Answered by `merged`, or by its end. */
void ph_process_merge_any(struct ph_process *, struct ph_legacy *);

/* To a process with socket=yes: takes the box, or PH_ELIMIT. / How many wait. / By its owner, when
 * there is no instance: moves them to the end of `into`. */
PH_MUST_CHECK int ph_process_deliver_any(struct ph_process *, struct ph_message_box *);
uint32_t ph_process_queue_any(const struct ph_process *);
/* How many the present or last instance was given. */
uint64_t ph_process_handled_any(const struct ph_process *);
void ph_process_forward(struct ph_process *, struct ph_queue *into);

/* Before a start: the state that the instance begins with; moved. Used up by that start. */
void ph_process_load_any(struct ph_process *, struct ph_text *state);
/* Stops it as below, and its state comes with its end, if it has one. */
void ph_process_save_any(struct ph_process *);
/* It does not run: `saved` brings the state that it has stored; `down` says that it has none. */
void ph_process_unload_any(struct ph_process *);
/* The stop signal to the main process's group / SIGKILL to the whole tree / any signal to the main
 * process. A process that is not there: nothing happens. */
void ph_process_stop_any(struct ph_process *);
void ph_process_kill_any(struct ph_process *);
void ph_process_signal_any(struct ph_process *, int signal_number);

/* What runs under the lease of that number (below PH_KEEPER_LEASES) is killed by the keeper at
 * `until_ms` (ph_now_ms) unless this is called again before, and starts are refused from then on.
 * UINT64_MAX, as at first: no lease is needed. Starts that are posted later find it. */
void ph_monitor_lease_any(struct ph_monitor *, uint32_t lease, uint64_t until_ms);

/* What is known now; any thread. */
struct ph_process_info {
    int pid;         /* 0: none */
    bool ready;      /* READY=1 came (or is not waited for) */
    uint64_t cpu_ms; /* user and system time of the main process, from /proc */
    uint64_t rss_bytes;
    uint64_t log_seq;     /* lines read so far */
    uint64_t log_dropped; /* lines that the ring no longer holds */
    char status[256];     /* the last STATUS= text */
};
void ph_process_inspect_any(const struct ph_process *, struct ph_process_info *);
/* Only its process id, 0: none. Costs one load. */
uint64_t ph_process_pid_any(const struct ph_process *);

/* One line of output. */
struct ph_log_line {
    uint64_t seq; /* 1, 2, … over all instances */
    int64_t wall_ms;
    bool error;   /* from stderr (stderr=split only) */
    bool partial; /* cut: the rest follows as the next line */
    const char *text;
    size_t length;
};
/* Copies lines with seq > `after`, at most `limit` (the newest ones; 0: all), oldest first, to
 * `fn`. Any thread; `fn` runs without a lock held. Returns the last seq given (or `after`). */
uint64_t ph_process_log_any(struct ph_process *, uint64_t after, size_t limit,
                            void (*fn)(void *arg, const struct ph_log_line *), void *arg);
/* Woken when lines arrive or an instance ends. */
struct ph_waitlist *ph_process_log_waiters(struct ph_process *);

/* Keeps the process's place (its log and the waiters on it) beyond the end of its child: for who
 * follows a log. In a read section in which the child was found / any thread. */
void ph_process_hold_rcu(struct ph_process *);
void ph_process_release_any(struct ph_process *);

struct ph_run_result {
    struct ph_exit exit;
    bool timed_out;
    uint64_t elapsed_ms;
    const char *output;
    size_t output_length;
};
struct ph_run_request {
    const char *path;
    const char *input; /* `length` bytes on its standard input */
    size_t length;
    uint64_t timeout_ms;
    /* Called once, on the monitor's thread; the result is valid during the call. */
    void (*done)(void *arg, const struct ph_run_result *);
    void *arg;
};

/* Runs an executable once, for a hook. Its standard output goes into the result (bounded to 64
 * KiB), stderr is dropped; it is killed with its tree after `timeout_ms`. The request and what it
 * points to are copied. Any thread. */
void ph_monitor_run_any(struct ph_monitor *, const struct ph_run_request *);

struct ph_monitor_stats {
    uint64_t spawned, reaped, alive, keeper_starts, strays_killed, notify_invalid, log_bytes;
};
void ph_monitor_stats_any(const struct ph_monitor *, struct ph_monitor_stats *);

#endif
