/*
 * link: frames between two nodes over loopback, there and back, and one way as fast as they go.
 *
 * Both nodes are in the measuring process, each with its links' thread and ZeroMQ's own. The
 * ceiling is bare libzmq between two threads: DEALER to ROUTER, no header, no acknowledgement, one
 * message each; what it sends one way is held back by its high-water mark.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "bench/stage.h"
#include "bench/suite.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/node.h"
#include "engine/waiter.h"
#include "ipc/links.h"

enum {
    BYTES_PER_SECOND = 400 * 1000 * 1000, /* about what is expected, for the length of a run */
    FRAMES_PER_SECOND = 500 * 1000,
    TURNS_PER_SECOND = 5 * 1000,
    WAIT_MS = 60000,
};

static uint64_t frames_of(const struct ph_bench_setup *setup)
{
    double by_bytes = BYTES_PER_SECOND / (double)setup->children;
    double a_second = by_bytes < FRAMES_PER_SECOND ? by_bytes : FRAMES_PER_SECOND;
    return 1 + (uint64_t)(setup->seconds * a_second);
}

static uint64_t turns_of(const struct ph_bench_setup *setup)
{
    return 1 + (uint64_t)(setup->seconds * TURNS_PER_SECOND);
}

/* ---- Ours ---------------------------------------------------------------------------------- */

struct lane {
    struct ph_node *nodes[2];
    struct ph_links *links[2];
    uint64_t peer;         /* the second, as the first one knows it */
    atomic_ullong arrived; /* at the second; relaxed, it is only waited for */
    uint64_t turns;        /* of the first one's thread: yet to play */
    atomic_bool over;
};

static int open_lane(struct lane *lane, struct ph_error *error)
{
    for (int i = 0; i < 2; i++) {
        const char *joins[] = {i ? ph_links_endpoint(lane->links[0]) : NULL};
        const struct ph_node_config node = {.name = i ? "there" : "here", .workers = 1, .seed = 1};
        const struct ph_links_config links = {.joins = joins, .join_count = (size_t)i};
        int rc = ph_node_create(&node, &lane->nodes[i], error);
        if (rc == 0)
            rc = ph_links_start(lane->nodes[i], &links, &lane->links[i], error);
        if (rc)
            return rc;
    }
    uint64_t until_ms = ph_now_ms() + WAIT_MS;
    do {
        lane->peer = ph_links_find_peer(lane->links[0], "there");
        if (ph_now_ms() > until_ms)
            return ph_error_set(error, PH_ETIMEOUT, "the nodes do not meet");
    } while (!lane->peer || !ph_links_find_peer(lane->links[1], "here"));
    return 0;
}

static void say(struct ph_links *links, uint64_t peer, const char *bytes, size_t length)
{
    struct ph_text frame = PH_TEXT_INIT;
    ph_text_append(&frame, bytes, length);
    ph_links_service_send(links, peer, &frame);
}

static void count_frame(void *arg, uint64_t peer, const void *bytes, size_t length)
{
    struct lane *lane = arg;
    (void)peer;
    (void)bytes;
    (void)length;
    atomic_fetch_add_explicit(&lane->arrived, 1, memory_order_relaxed);
}

static int measure_rate(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct lane lane = {0};
    uint64_t frames = frames_of(setup);
    size_t length = (size_t)setup->children;
    char *bytes = ph_alloc(length);
    int rc = open_lane(&lane, error);
    if (rc)
        return rc;
    ph_links_on_service(lane.links[1], count_frame, &lane);
    const struct ph_links_port_binding *port = &lane.nodes[0]->links;
    uint64_t start_ns = ph_now_ns(), until_ms = ph_now_ms() + WAIT_MS;
    for (uint64_t i = 0; i < frames; i++) {
        /* As a hub does it: nothing more while there is no room. */
        while (i % 64 == 0 && port->port->room(port->context, lane.peer) < 64 * length)
            sched_yield();
        say(lane.links[0], lane.peer, bytes, length);
    }
    while (atomic_load_explicit(&lane.arrived, memory_order_relaxed) < frames) {
        if (ph_now_ms() > until_ms)
            return ph_error_set(error, PH_ETIMEOUT, "frames were lost");
        sched_yield();
    }
    *values = (double)frames / ph_stage_since(start_ns);
    return 0;
}

static void send_back(void *arg, uint64_t peer, const void *bytes, size_t length)
{
    struct lane *lane = arg;
    say(lane->links[1], peer, bytes, length);
}

static void play_on(void *arg, uint64_t peer, const void *bytes, size_t length)
{
    struct lane *lane = arg;
    if (--lane->turns)
        say(lane->links[0], peer, bytes, length);
    else
        atomic_store(&lane->over, true);
}

static int measure_turns(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct lane lane = {.turns = turns_of(setup)};
    uint64_t turns = lane.turns;
    size_t length = (size_t)setup->children;
    char *bytes = ph_alloc(length);
    int rc = open_lane(&lane, error);
    if (rc)
        return rc;
    ph_links_on_service(lane.links[0], play_on, &lane);
    ph_links_on_service(lane.links[1], send_back, &lane);
    uint64_t start_ns = ph_now_ns(), until_ms = ph_now_ms() + WAIT_MS;
    say(lane.links[0], lane.peer, bytes, length);
    const struct timespec pause = {.tv_nsec = 1000000};
    while (!atomic_load(&lane.over)) {
        if (ph_now_ms() > until_ms)
            return ph_error_set(error, PH_ETIMEOUT, "a frame was lost");
        nanosleep(&pause, NULL);
    }
    *values = ph_stage_since(start_ns) * 1e6 / (double)turns;
    return 0;
}

/* ---- The ceiling --------------------------------------------------------------------------- */

struct bare {
    void *context, *router, *dealer;
    uint64_t frames;
    size_t length;
    bool back; /* each message is answered */
};

static int open_bare(struct bare *bare, struct ph_error *error)
{
    char endpoint[128];
    size_t size = sizeof endpoint;
    bare->context = zmq_ctx_new();
    bare->router = zmq_socket(bare->context, ZMQ_ROUTER);
    bare->dealer = zmq_socket(bare->context, ZMQ_DEALER);
    if (zmq_bind(bare->router, "tcp://127.0.0.1:*") ||
        zmq_getsockopt(bare->router, ZMQ_LAST_ENDPOINT, endpoint, &size) ||
        zmq_connect(bare->dealer, endpoint))
        return ph_error_set(error, PH_EFAILED, "no sockets: %s", zmq_strerror(zmq_errno()));
    return 0;
}

static void *take_all(void *arg)
{
    const struct bare *bare = arg;
    zmq_msg_t id, body;
    zmq_msg_init(&id);
    zmq_msg_init(&body);
    for (uint64_t i = 0; i < bare->frames; i++) {
        zmq_msg_recv(&id, bare->router, 0);
        zmq_msg_recv(&body, bare->router, 0);
        if (bare->back) {
            zmq_msg_send(&id, bare->router, ZMQ_SNDMORE);
            zmq_msg_send(&body, bare->router, 0);
        }
    }
    zmq_msg_close(&id);
    zmq_msg_close(&body);
    return NULL;
}

/* Seconds that it took. */
static int run_bare(struct bare *bare, double *seconds, struct ph_error *error)
{
    pthread_t thread;
    char *bytes = ph_alloc(bare->length);
    int rc = open_bare(bare, error);
    if (rc)
        return rc;
    if (pthread_create(&thread, NULL, take_all, bare))
        return ph_error_set(error, PH_EFAILED, "cannot start a thread");
    uint64_t start_ns = ph_now_ns();
    for (uint64_t i = 0; i < bare->frames; i++) {
        zmq_send(bare->dealer, bytes, bare->length, 0);
        if (bare->back)
            zmq_recv(bare->dealer, bytes, bare->length, 0);
    }
    pthread_join(thread, NULL);
    *seconds = ph_stage_since(start_ns);
    return 0;
}

static int bare_rate(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct bare bare = {.frames = frames_of(setup), .length = (size_t)setup->children};
    double seconds;
    int rc = run_bare(&bare, &seconds, error);
    if (rc == 0)
        *values = (double)bare.frames / seconds;
    return rc;
}

static int bare_turns(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct bare bare = {.frames = turns_of(setup), .length = (size_t)setup->children, .back = true};
    double seconds;
    int rc = run_bare(&bare, &seconds, error);
    if (rc == 0)
        *values = seconds * 1e6 / (double)bare.frames;
    return rc;
}

#define RATE(bytes)                                                                          \
    {                                                                                        \
        .figures = {{.name = "one way, bytes", .unit = "messages/s"}}, .ours = measure_rate, \
        .ceiling = bare_rate, .children = (bytes), .fixed = true                             \
    }
#define TURNS(bytes)                                                                     \
    {                                                                                    \
        .figures = {{.name = "there and back, bytes", .unit = "us", .cost = true}},      \
        .ours = measure_turns, .ceiling = bare_turns, .children = (bytes), .fixed = true \
    }

static const struct ph_bench_case cases[] = {
    RATE(64), RATE(256), RATE(4096), RATE(65536), TURNS(64), TURNS(4096), TURNS(65536),
};

const struct ph_bench_suite ph_bench_link = {
    .name = "link",
    .summary = "frames between two nodes over loopback",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
