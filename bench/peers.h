/*
 * What the suites of clusters play on: a stage whose node, "a", is linked with others, each in a
 * process of its own, over ZeroMQ on loopback.
 *
 * The others are forked before this process has threads. They do as the hub does; only when asked,
 * they tell when something was true there. They end with this process.
 */
#ifndef PH_BENCH_PEERS_H
#define PH_BENCH_PEERS_H

#include <sys/types.h>

#include "bench/stage.h"

struct ph_links;

enum { PH_PEERS_OTHERS_MAX = 4 };

struct ph_peers {
    struct ph_stage stage; /* of node "a" */
    struct ph_links *links;
    struct {
        pid_t pid;
        int fd;
    } others[PH_PEERS_OTHERS_MAX]; /* nodes "b", "c", … */
    unsigned count;
};

/* What node "a" does besides; its trace is called as in struct ph_node_config. */
struct ph_peers_trace {
    void (*fn)(void *arg, const struct ph_hub *, const struct ph_record *);
    void *arg;
};

/* Opens "a" and `others` more; all of them are one hub, settled, afterwards. `trace` may be NULL.
 */
PH_MUST_CHECK int ph_peers_open(struct ph_peers *, const struct ph_bench_setup *, unsigned others,
                                const struct ph_peers_trace *trace, struct ph_error *error);

/* Waits until "a" holds the hub for settled: nodes, placements and digests agree. */
PH_MUST_CHECK int ph_peers_settle(struct ph_peers *, struct ph_error *error);

/* Asks another node to tell when it sees so many children running in the hub (`ask`), and waits for
 * that: ph_now_ns() of that moment. One question at a time. */
PH_MUST_CHECK int ph_peers_ask(struct ph_peers *, unsigned other, uint64_t running,
                               struct ph_error *error);
PH_MUST_CHECK int ph_peers_answer(struct ph_peers *, unsigned other, uint64_t *when_ns,
                                  struct ph_error *error);

/* SIGKILL; returns when the process is gone. */
void ph_peers_kill(struct ph_peers *, unsigned other);

/* Moves `children` ids "w-N" to that node and pins them there; `begin` does not wait for it. */
PH_MUST_CHECK int ph_peers_migrate(struct ph_peers *, uint64_t children, const char *node,
                                   enum ph_move_mode, struct ph_error *error);
PH_MUST_CHECK int ph_peers_begin_migrate(struct ph_peers *, uint64_t children, const char *node,
                                         enum ph_move_mode, struct ph_op **op,
                                         struct ph_error *error);

/* Memory of a node's process that is resident now, and the most that was since `forget_peak`.
 * `pid` 0: this process. */
double ph_peers_resident_bytes(pid_t pid);
double ph_peers_peak_bytes(pid_t pid);
PH_MUST_CHECK int ph_peers_forget_peak(pid_t pid, struct ph_error *error);

/* Waits until so many children run, in the hub or (`local`) on "a". */
PH_MUST_CHECK int ph_peers_wait_running(struct ph_hub *, uint64_t running, bool local,
                                        struct ph_error *error);

#endif
