#include "bench/peers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/limits.h"
#include "engine/node.h"
#include "ipc/links.h"

enum { PATIENCE_MS = 120000 };

/* ---- A node with links ---------------------------------------------------------------------- */

/* `seed` NULL: others will call us. */
static int open_node(struct ph_stage *stage, struct ph_links **links,
                     const struct ph_node_config *config, const char *option, const char *seed,
                     struct ph_error *error)
{
    const struct ph_links_config links_config = {
        .joins = &seed,
        .join_count = seed ? 1 : 0,
        .cluster = "bench",
    };
    int rc = ph_node_create(config, &stage->node, error);
    if (rc == 0)
        rc = ph_links_start(stage->node, &links_config, links, error);
    if (rc == 0)
        rc = ph_hub_create(stage->node, "bench", &option, option ? 1 : 0, &stage->hub, error);
    return rc;
}

/* Waits until `holds` says so of a picture of the hub. */
static int wait_picture(struct ph_hub *hub, bool (*holds)(const struct ph_status *, uint64_t arg),
                        uint64_t arg, struct ph_error *error)
{
    uint64_t deadline_ms = ph_now_ms() + PATIENCE_MS;
    struct ph_waiter *waiter = ph_waiter_create();
    struct ph_status status;
    int rc = 0;
    ph_status(hub, &status);
    while (rc == 0 && !holds(&status, arg)) {
        rc = ph_now_ms() < deadline_ms ? ph_wait_change(hub, status.version, PATIENCE_MS, waiter)
                                       : PH_ETIMEOUT;
        ph_status(hub, &status);
    }
    ph_waiter_destroy(waiter);
    if (rc)
        ph_error_set(error, rc,
                     "the hub did not come to what the benchmark waits for: %llu nodes, %llu of "
                     "%llu children running",
                     (unsigned long long)status.nodes,
                     (unsigned long long)status.by_state[PH_STATE_RUNNING],
                     (unsigned long long)status.children);
    return rc;
}

static bool runs(const struct ph_status *status, uint64_t running)
{
    return status->by_state[PH_STATE_RUNNING] >= running;
}

static bool runs_here(const struct ph_status *status, uint64_t running)
{
    return status->local >= running && runs(status, running);
}

static bool is_settled(const struct ph_status *status, uint64_t nodes)
{
    return status->nodes == nodes && status->migrating == 0 && status->settled;
}

int ph_peers_wait_running(struct ph_hub *hub, uint64_t running, bool local, struct ph_error *error)
{
    return wait_picture(hub, local ? runs_here : runs, running, error);
}

int ph_peers_settle(struct ph_peers *peers, struct ph_error *error)
{
    return wait_picture(peers->stage.hub, is_settled, peers->count + 1, error);
}

/* ---- The others ----------------------------------------------------------------------------- */

static bool receive(int fd, void *bytes, size_t size)
{
    ssize_t got;
    do
        got = recv(fd, bytes, size, MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size;
}

static bool transmit(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Answers questions until the other end is closed. */
static void serve(int fd, struct ph_hub *hub)
{
    struct ph_error error = {0};
    uint64_t running, when_ns;
    while (receive(fd, &running, sizeof running)) {
        if (ph_peers_wait_running(hub, running, false, &error))
            return;
        when_ns = ph_now_ns();
        if (!transmit(fd, &when_ns, sizeof when_ns))
            return;
    }
}

static _Noreturn void be_other(int fd, unsigned number, const struct ph_bench_setup *setup)
{
    char name[] = {(char)('b' + number), '\0'};
    const struct ph_node_config config = {
        .name = name,
        .keeper_path = setup->keeper_path,
        .seed = number + 2,
    };
    char seed[PH_ENDPOINT_MAX + 1];
    struct ph_stage stage;
    struct ph_links *links;
    struct ph_error error = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (receive(fd, seed, sizeof seed) &&
        open_node(&stage, &links, &config, setup->hub_option, seed, &error) == 0)
        serve(fd, stage.hub);
    else
        fprintf(stderr, "node %s of the benchmark: %s\n", name, error.text);
    _exit(0);
}

static int fork_other(struct ph_peers *peers, const struct ph_bench_setup *setup,
                      struct ph_error *error)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return ph_error_set(error, -errno, "cannot make a socket: %s", ph_error_text(-errno));
    pid_t pid = ph_bench_fork();
    if (pid == 0) {
        close(fds[0]);
        be_other(fds[1], peers->count, setup);
    }
    close(fds[1]);
    if (pid < 0)
        return ph_error_set(error, -errno, "cannot make a process: %s", ph_error_text(-errno));
    peers->others[peers->count].pid = pid;
    peers->others[peers->count++].fd = fds[0];
    return 0;
}

int ph_peers_open(struct ph_peers *peers, const struct ph_bench_setup *setup, unsigned others,
                  const struct ph_peers_trace *trace, struct ph_error *error)
{
    const struct ph_node_config config = {
        .name = "a",
        .keeper_path = setup->keeper_path,
        .seed = 1,
        .trace = trace ? trace->fn : NULL,
        .trace_arg = trace ? trace->arg : NULL,
    };
    int rc = 0;
    *peers = (struct ph_peers){0};
    while (rc == 0 && peers->count < others)
        rc = fork_other(peers, setup, error);
    if (rc == 0)
        rc = open_node(&peers->stage, &peers->links, &config, setup->hub_option, NULL, error);
    if (rc)
        return rc;
    char seed[PH_ENDPOINT_MAX + 1] = "";
    snprintf(seed, sizeof seed, "%s", ph_links_endpoint(peers->links));
    for (unsigned i = 0; i < peers->count; i++)
        if (!transmit(peers->others[i].fd, seed, sizeof seed))
            return ph_error_set(error, PH_EFAILED, "another node of the benchmark has ended");
    return ph_peers_settle(peers, error);
}

int ph_peers_ask(struct ph_peers *peers, unsigned other, uint64_t running, struct ph_error *error)
{
    if (transmit(peers->others[other].fd, &running, sizeof running))
        return 0;
    return ph_error_set(error, PH_EFAILED, "another node of the benchmark has ended");
}

int ph_peers_answer(struct ph_peers *peers, unsigned other, uint64_t *when_ns,
                    struct ph_error *error)
{
    if (receive(peers->others[other].fd, when_ns, sizeof *when_ns))
        return 0;
    return ph_error_set(error, PH_EFAILED, "another node of the benchmark did not see it");
}

void ph_peers_kill(struct ph_peers *peers, unsigned other)
{
    kill(peers->others[other].pid, SIGKILL);
    while (waitpid(peers->others[other].pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

int ph_peers_begin_migrate(struct ph_peers *peers, uint64_t children, const char *node,
                           enum ph_move_mode mode, struct ph_op **op, struct ph_error *error)
{
    struct ph_ids ids = {0};
    int rc = ph_stage_ids(&ids, children, error);
    return rc ? rc : ph_migrate(peers->stage.hub, &ids, node, mode, op, error);
}

int ph_peers_migrate(struct ph_peers *peers, uint64_t children, const char *node,
                     enum ph_move_mode mode, struct ph_error *error)
{
    struct ph_op *op;
    int rc = ph_peers_begin_migrate(peers, children, node, mode, &op, error);
    return rc ? rc : ph_stage_wait(op, error);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static FILE *open_proc(pid_t pid, const char *name, const char *mode)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)(pid ? pid : getpid()), name);
    return fopen(path, mode);
}

/* A line "KEY: N kB" of the kernel's account of a process, in bytes; 0: it has none. */
static double account_of(pid_t pid, const char *key)
{
    char line[256];
    unsigned long long kibibytes = 0;
    FILE *file = open_proc(pid, "status", "re");
    size_t length = strlen(key);
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && line[length] == ':')
            kibibytes = strtoull(line + length + 1, NULL, 10);
    if (file)
        fclose(file);
    return (double)kibibytes * 1024;
}

double ph_peers_resident_bytes(pid_t pid)
{
    return account_of(pid, "VmRSS");
}

double ph_peers_peak_bytes(pid_t pid)
{
    return account_of(pid, "VmHWM");
}

int ph_peers_forget_peak(pid_t pid, struct ph_error *error)
{
    FILE *file = open_proc(pid, "clear_refs", "we");
    bool done = file && fputs("5", file) >= 0;
    if (file)
        done = fclose(file) == 0 && done;
    if (done)
        return 0;
    return ph_error_set(error, -errno, "cannot reset the peak of memory of process %ld: %s",
                        (long)pid, ph_error_text(-errno));
}
