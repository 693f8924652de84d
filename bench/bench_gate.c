/*
 * gate: events through a hub's gate, and from other threads into its queue.
 *
 * The hub is a real one, with a history and without listeners; its ports lead nowhere. The ceiling
 * of each figure is liburcu's queue with events of 64 bytes that are used again and again: enqueue,
 * drain, look at each.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "bench/stage.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/hub.h"
#include "engine/queue.h"
#include "engine/waiter.h"

enum { HELD = 10000, CHUNK = 64, POSTED_PER_SECOND = 1000000 };

/* ---- A hub that stands alone --------------------------------------------------------------- */

static void ignore_child(void *context, struct ph_child *child)
{
    (void)context;
    (void)child;
}

static void ignore_start(void *context, struct ph_child *child, uint32_t instance)
{
    (void)context;
    (void)child;
    (void)instance;
}

static int ignore_signal(void *context, struct ph_child *child, int signal_number)
{
    (void)context;
    (void)child;
    (void)signal_number;
    return 0;
}

static void ignore_lease(void *context, uint64_t until_ms)
{
    (void)context;
    (void)until_ms;
}

static void ignore_hook(void *context, const struct ph_hook_request *request)
{
    (void)context;
    (void)request;
}

static void ignore_work(void *context, enum ph_work work, uint64_t amount)
{
    (void)context;
    (void)work;
    (void)amount;
}

static void ignore_record(void *context, const struct ph_record *record)
{
    (void)context;
    (void)record;
}

static const struct ph_exec_port exec_port = {
    .start = ignore_start,
    .stop = ignore_child,
    .kill = ignore_child,
    .signal = ignore_signal,
    .lease = ignore_lease,
    .hook = ignore_hook,
};
static const struct ph_work_port work_port = {.submit = ignore_work};
static const struct ph_link_port link_port = {0}; /* a hub without links never calls it */
static const struct ph_trace_port trace_port = {.record = ignore_record};

static int create_hub(struct ph_hub **result, struct ph_error *error)
{
    struct ph_hub_setup setup = {
        .name = "bench",
        .ports =
            {
                .exec = &exec_port,
                .work = &work_port,
                .link = &link_port,
                .trace = &trace_port,
            },
        .registry = ph_registry_create(1),
        .history = ph_history_create(),
        .seed = 1,
    };
    int rc = ph_hub_options_parse(&setup.options, NULL, 0, error);
    if (rc)
        return rc;
    struct ph_hub *hub = ph_alloc(sizeof *hub);
    ph_hub_init(hub, &setup);
    *result = hub;
    return 0;
}

static struct ph_event *create_dispatch(void)
{
    struct ph_event *event = ph_event_create(PH_EVENT_DISPATCH);
    memcpy(event->dispatch.name, "tick", 5);
    event->dispatch.members = PH_MEMBERS_LOCAL;
    return event;
}

static int measure_open(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct ph_hub *hub;
    int rc = create_hub(&hub, error);
    if (rc)
        return rc;
    uint64_t start_ns = ph_now_ns(), count = 0;
    while (ph_stage_since(start_ns) < setup->seconds) {
        for (unsigned i = 0; i < CHUNK; i++)
            ph_hub_submit(hub, create_dispatch(), count / CHUNK);
        count += CHUNK;
    }
    *values = (double)count / ph_stage_since(start_ns);
    return 0;
}

/* Behind a lock of the usual level, then out in order when it is released. */
static void hold_and_release(struct ph_hub *hub, uint64_t now_ms)
{
    struct ph_event *lock = ph_event_create(PH_EVENT_LOCK);
    lock->lock.level = PH_PRIORITY_LOCKED;
    ph_hub_submit(hub, lock, now_ms);
    for (unsigned i = 0; i < HELD; i++)
        ph_hub_submit(hub, create_dispatch(), now_ms);
    ph_hub_submit(hub, ph_event_create(PH_EVENT_UNLOCK), now_ms);
    while (ph_hub_has_work(hub, now_ms))
        ph_hub_work(hub, now_ms);
}

static int measure_held(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    struct ph_hub *hub;
    int rc = create_hub(&hub, error);
    if (rc)
        return rc;
    uint64_t start_ns = ph_now_ns(), count = 0;
    do {
        hold_and_release(hub, count / HELD);
        count += HELD;
    } while (ph_stage_since(start_ns) < setup->seconds);
    *values = (double)count / ph_stage_since(start_ns);
    if (hub->gate.held_total != count || hub->gate.held_count)
        return ph_error_set(error, PH_EFAILED, "the gate did not hold and release every event");
    return 0;
}

/* Through a node: this thread dispatches, the hub's worker handles. */
static int measure_posted(const struct ph_bench_setup *setup, double *values,
                          struct ph_error *error)
{
    const struct ph_dispatch_options options = {.members = PH_MEMBERS_LOCAL};
    struct ph_stage stage;
    struct ph_op *op;
    uint64_t count = 1 + (uint64_t)(setup->seconds * POSTED_PER_SECOND);
    int rc = ph_stage_open(&stage, setup, 0, NULL, error);
    uint64_t start_ns = ph_now_ns();
    for (uint64_t i = 1; rc == 0 && i < count; i++) {
        /* The hub's queue is bounded: when it is full, so is our patience. */
        while ((rc = ph_dispatch(stage.hub, "tick", NULL, &options, NULL, error)) == PH_ELIMIT)
            sched_yield();
    }
    if (rc == 0)
        rc = ph_dispatch(stage.hub, "last", NULL, &options, &op, error);
    if (rc == 0)
        rc = ph_stage_wait(op, error);
    *values = (double)count / ph_stage_since(start_ns);
    return rc;
}

/* ---- The ceiling --------------------------------------------------------------------------- */

struct bare_event {
    struct ph_queue_node link;
    uint64_t content[7];
};

_Static_assert(sizeof(struct bare_event) == 64, "an event is one cache line");

static unsigned drain(struct ph_queue *queue, struct ph_queue *taken, uint64_t *sum)
{
    struct ph_queue_node *node;
    unsigned count = 0;
    if (ph_queue_take_all(queue, taken) != PH_QUEUE_OK)
        return 0;
    while (ph_queue_pop(taken, &node) == PH_QUEUE_OK) {
        *sum += ph_container_of(node, struct bare_event, link)->content[0];
        count++;
    }
    return count;
}

/* Enqueues `batch` events, then drains them, on one thread. */
static int bare_queue(const struct ph_bench_setup *setup, unsigned batch, double *values)
{
    struct bare_event *events = ph_alloc(batch * sizeof *events);
    struct ph_queue queue, taken;
    ph_queue_init(&queue);
    ph_queue_init(&taken);
    uint64_t sum = 0, count = 0, start_ns = ph_now_ns();
    do {
        for (unsigned i = 0; i < batch; i++) {
            events[i].content[0] = 1;
            ph_queue_push(&queue, &events[i].link);
        }
        count += drain(&queue, &taken, &sum);
    } while (ph_stage_since(start_ns) < setup->seconds);
    *values = (double)count / ph_stage_since(start_ns);
    return sum == count ? 0 : PH_EFAILED;
}

static int bare_chunks(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    (void)error;
    return bare_queue(setup, CHUNK, values);
}

static int bare_backlog(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    (void)error;
    return bare_queue(setup, HELD, values);
}

struct consumer {
    struct ph_queue queue;
    uint64_t wanted, sum;
};

static void *consume(void *arg)
{
    struct consumer *consumer = arg;
    struct ph_queue taken;
    uint64_t count = 0;
    ph_queue_init(&taken);
    while (count < consumer->wanted) {
        unsigned drained = drain(&consumer->queue, &taken, &consumer->sum);
        count += drained;
        if (!drained)
            sched_yield();
    }
    return NULL;
}

static int bare_threads(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    pthread_t thread;
    struct consumer consumer = {
        .wanted = 1 + (uint64_t)(setup->seconds * 10 * POSTED_PER_SECOND),
    };
    struct bare_event *events = ph_alloc(consumer.wanted * sizeof *events);
    memset(events, 1, consumer.wanted * sizeof *events); /* page faults are not what is measured */
    ph_queue_init(&consumer.queue);
    if (pthread_create(&thread, NULL, consume, &consumer))
        return ph_error_set(error, PH_EFAILED, "cannot start a thread");
    uint64_t start_ns = ph_now_ns();
    for (uint64_t i = 0; i < consumer.wanted; i++) {
        events[i].content[0] = 1;
        ph_queue_push(&consumer.queue, &events[i].link);
    }
    pthread_join(thread, NULL);
    *values = (double)consumer.wanted / ph_stage_since(start_ns);
    return consumer.sum == consumer.wanted ? 0 : PH_EFAILED;
}

static const struct ph_bench_case cases[] = {
    {.figures = {{.name = "dispatched, gate open", .unit = "events/s"}},
     .ours = measure_open,
     .ceiling = bare_chunks},
    {.figures = {{.name = "held and released", .unit = "events/s"}},
     .ours = measure_held,
     .ceiling = bare_backlog,
     .children = HELD,
     .fixed = true},
    {.figures = {{.name = "dispatched from another thread", .unit = "events/s"}},
     .ours = measure_posted,
     .ceiling = bare_threads},
};

const struct ph_bench_suite ph_bench_gate = {
    .name = "gate",
    .summary = "events through the gate, open and held",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
