#include "engine/host.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/directory.h"
#include "engine/hookrun.h"
#include "engine/node.h"
#include "engine/rcu.h"

enum {
    PICTURES_PER_GRACE = 32,
    LONG_STEP_NS = 100 * 1000, /* from there on a step is worth a look at the processor time */
};

/* A published picture; immutable. */
struct ph_picture {
    struct ph_status status;
    uint64_t members; /* version of their list */
    struct rcu_head rcu;
    struct ph_picture *next; /* retired together */
};

/* ---- Pictures ------------------------------------------------------------------------------ */

static void free_pictures(struct rcu_head *head)
{
    ph_rcu_callback_begin();
    struct ph_picture *picture = ph_container_of(head, struct ph_picture, rcu);
    while (picture) {
        struct ph_picture *next = picture->next;
        ph_free(picture);
        picture = next;
    }
    ph_rcu_callback_end();
}

static void free_retired(struct ph_host *host)
{
    if (host->retired)
        ph_rcu_call(&host->retired->rcu, free_pictures);
    host->retired = NULL;
    host->retired_count = 0;
}

/* Beats of a cluster are steps that change nothing which anyone waits for. */
static bool is_news(struct ph_host *host, const struct ph_picture *next)
{
    const struct ph_picture *picture = atomic_load_explicit(&host->picture, memory_order_relaxed);
    const struct ph_status *old = picture ? &picture->status : NULL, *now = &next->status;
    return !old || picture->members != next->members ||
           memcmp(old->by_state, now->by_state, sizeof now->by_state) != 0 ||
           old->children != now->children || old->local != now->local || old->nodes != now->nodes ||
           old->migrating != now->migrating || old->settled != now->settled ||
           old->partitioned != now->partitioned || old->paused != now->paused ||
           old->stopping != now->stopping || old->level != now->level || old->locks != now->locks ||
           old->held != now->held || old->held_total != now->held_total ||
           old->discarded != now->discarded || old->refused != now->refused ||
           old->expired != now->expired || old->deadline_ms != now->deadline_ms ||
           old->events != now->events || old->starts != now->starts ||
           old->restarts != now->restarts || old->gave_up != now->gave_up ||
           old->conflicts != now->conflicts;
}

/* False: there was nothing new. */
static bool publish(struct ph_host *host)
{
    struct ph_picture *picture = ph_alloc(sizeof *picture);
    const struct ph_members *members = ph_members_rcu(&host->hub);
    ph_hub_picture(&host->hub, &picture->status);
    picture->members = members ? members->version : 0;
    if (!is_news(host, picture)) {
        ph_free(picture);
        return false;
    }
    picture->status.version = ++host->version;
    struct ph_picture *before =
        atomic_exchange_explicit(&host->picture, picture, memory_order_acq_rel);
    if (!before)
        return true;
    before->next = host->retired;
    host->retired = before;
    if (++host->retired_count >= PICTURES_PER_GRACE)
        free_retired(host);
    return true;
}

void ph_status(const struct ph_hub *hub, struct ph_status *status)
{
    struct ph_host *host = ph_host_of(hub);
    ph_rcu_enter();
    *status = ph_rcu_load(&host->picture)->status;
    ph_rcu_exit();
}

uint64_t ph_count(const struct ph_hub *hub)
{
    struct ph_host *host = ph_host_of(hub);
    ph_rcu_enter();
    uint64_t children = ph_rcu_load(&host->picture)->status.children;
    ph_rcu_exit();
    return children;
}

static uint64_t version_of(const struct ph_host *host_const)
{
    struct ph_host *host = (struct ph_host *)(uintptr_t)host_const;
    ph_rcu_enter();
    uint64_t version = ph_rcu_load(&host->picture)->status.version;
    ph_rcu_exit();
    return version;
}

int ph_wait_change(struct ph_hub *hub, uint64_t version, uint64_t timeout_ms,
                   struct ph_waiter *waiter)
{
    struct ph_host *host = ph_host_of(hub);
    uint64_t now = ph_now_ms();
    uint64_t deadline = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
    struct ph_wait_entry entry;
    int rc = 0;
    ph_waitlist_join(&host->changes, &entry, waiter);
    while (version_of(host) <= version && rc == 0)
        rc = ph_waiter_sleep(waiter, deadline);
    ph_waitlist_leave(&host->changes, &entry);
    return version_of(host) > version ? 0 : rc;
}

/* ---- Ports --------------------------------------------------------------------------------- */

/* A hub without OS processes does not wake the monitor with its lease. */
static void exec_lease(void *context, uint64_t until_ms)
{
    struct ph_host *host = context;
    if (host->has_processes)
        ph_monitor_lease_any(host->node->monitor, host->hub.lease_number, until_ms);
}

static void note_process(struct ph_host *host, const struct ph_child *child)
{
    if (child->kind == &ph_kind_process && !host->has_processes) {
        host->has_processes = true;
        /* Relaxed: its writer is this thread. */
        exec_lease(host, atomic_load_explicit(&host->hub.lease_until_ms, memory_order_relaxed));
    }
}

static void exec_start(void *context, struct ph_child *child, uint32_t instance)
{
    note_process(context, child);
    child->kind->start(child, instance);
}

static void exec_prepare(void *context, struct ph_child *child, uint32_t instance)
{
    note_process(context, child);
    child->kind->prepare(child, instance);
}

static void exec_activate(void *context, struct ph_child *child, struct ph_text *state)
{
    (void)context;
    child->kind->activate(child, state);
}

static void exec_load(void *context, struct ph_child *child, struct ph_text *state)
{
    (void)context;
    child->kind->load(child, state);
}

static void exec_unload(void *context, struct ph_child *child)
{
    (void)context;
    child->kind->unload(child);
}

static void exec_save(void *context, struct ph_child *child)
{
    (void)context;
    child->kind->save(child);
}

static void exec_copy(void *context, struct ph_child *child, uint64_t from, struct ph_text *room)
{
    (void)context;
    child->kind->copy(child, from, room);
}

static void exec_merge(void *context, struct ph_child *child, struct ph_legacy *legacy)
{
    (void)context;
    child->kind->merge(child, legacy);
}

static void exec_forward(void *context, struct ph_child *child, struct ph_queue *into)
{
    (void)context;
    child->kind->forward(child, into);
}

static void exec_stop(void *context, struct ph_child *child)
{
    (void)context;
    child->kind->stop(child);
}

static void exec_kill(void *context, struct ph_child *child)
{
    (void)context;
    child->kind->kill(child);
}

static int exec_signal(void *context, struct ph_child *child, int signal_number)
{
    (void)context;
    return child->kind->signal(child, signal_number);
}

static const struct ph_exec_port exec_port = {
    .start = exec_start,
    .load = exec_load,
    .prepare = exec_prepare,
    .activate = exec_activate,
    .stop = exec_stop,
    .save = exec_save,
    .unload = exec_unload,
    .copy = exec_copy,
    .merge = exec_merge,
    .forward = exec_forward,
    .kill = exec_kill,
    .signal = exec_signal,
    .lease = exec_lease,
    .hook = ph_hookrun,
};

/* Bulk work: an actor of its own on the user lane, so that it delays no hub. */
struct bulk {
    struct ph_actor actor;
    struct ph_host *host;
    enum ph_work kind;
    uint64_t amount;
};

static bool run_bulk(struct ph_actor *actor)
{
    struct bulk *bulk = ph_container_of(actor, struct bulk, actor);
    if (bulk->kind == PH_WORK_GROW)
        ph_registry_grow(bulk->host->hub.registry, bulk->amount);
    else if (bulk->kind == PH_WORK_GRACE)
        ph_rcu_synchronize();
    else
        ph_directory_grow(bulk->host->hub.directory, bulk->amount);
    ph_sched_kill(bulk->host->node->sched, actor);
    return false;
}

static void finish_bulk(struct ph_actor *actor)
{
    struct bulk *bulk = ph_container_of(actor, struct bulk, actor);
    struct ph_event *event = ph_event_create(PH_EVENT_WORK_DONE);
    event->work.kind = bulk->kind;
    ph_host_post_system(bulk->host, event);
    ph_host_put(bulk->host);
    ph_free(bulk);
}

static const struct ph_actor_class bulk_class = {
    .lane = PH_LANE_USER,
    .run = run_bulk,
    .dead = finish_bulk,
};

static void submit_work(void *context, enum ph_work kind, uint64_t amount)
{
    struct ph_host *host = context;
    struct bulk *bulk = ph_alloc(sizeof *bulk);
    ph_actor_init(&bulk->actor, &bulk_class);
    bulk->host = host;
    bulk->kind = kind;
    bulk->amount = amount;
    ph_host_get(host);
    ph_sched_wake(host->node->sched, &bulk->actor);
}

static const struct ph_work_port work_port = {
    .submit = submit_work,
};

static void link_send(void *context, uint64_t peer, enum ph_link_class class, struct ph_text *frame)
{
    struct ph_host *host = context;
    const struct ph_links_port_binding *links = &host->node->links;
    links->port->send(links->context, peer, host->hub.name, class, frame);
}

static uint64_t link_room(void *context, uint64_t peer)
{
    struct ph_host *host = context;
    const struct ph_links_port_binding *links = &host->node->links;
    return links->port->room(links->context, peer);
}

static void link_reset(void *context, uint64_t peer)
{
    struct ph_host *host = context;
    const struct ph_links_port_binding *links = &host->node->links;
    links->port->reset(links->context, peer);
}

static const struct ph_link_port link_port = {
    .send = link_send,
    .room = link_room,
    .reset = link_reset,
};

static void journal_call(void *context, enum ph_journal_verb verb, struct ph_journal_mark mark,
                         struct ph_text *record)
{
    struct ph_host *host = context;
    ph_journal_call(host->journal, verb, mark, record);
}

static const struct ph_journal_port journal_port = {
    .call = journal_call,
};

static void trace_record(void *context, const struct ph_record *record)
{
    struct ph_host *host = context;
    if (host->node->trace)
        host->node->trace(host->node->trace_arg, &host->hub, record);
}

static const struct ph_trace_port trace_port = {
    .record = trace_record,
};

/* ---- The actor ----------------------------------------------------------------------------- */

/* What people and children ask for: the number of those that wait is bounded. */
static bool is_request(const struct ph_event *event)
{
    return event->gated.priority < PH_PRIORITY_SYSTEM || event->type == PH_EVENT_SEND;
}

static struct ph_event *next_event(struct ph_host *host)
{
    struct ph_queue_node *node;
    if (ph_queue_pop(&host->queue, &node) != PH_QUEUE_OK)
        return NULL;
    struct ph_event *event = ph_container_of(node, struct ph_event, link);
    if (is_request(event))
        atomic_fetch_sub_explicit(&host->queued, 1, memory_order_relaxed);
    return event;
}

/* The steps of one run, by the clock and by the thread's processor time. Reading that is a system
 * call: it is read once in a run, and after steps that took long; of short ones the clock will do.
 */
struct step_clock {
    uint64_t now_ns;
    uint64_t cpu_ns;   /* as it was read last; 0: not in this run … */
    uint64_t since_ns; /* … and what the clock says of the steps since */
};

static void begin_step(struct step_clock *clock, bool may_be_long)
{
    if (may_be_long && !clock->cpu_ns)
        clock->cpu_ns = ph_thread_cpu_ns();
}

/* What the step just done took of a processor, as well as is known. */
static uint64_t step_cpu_ns(struct step_clock *clock, uint64_t ns)
{
    if (ns < LONG_STEP_NS) {
        clock->since_ns += ns;
        return ns;
    }
    uint64_t before_ns = clock->cpu_ns + clock->since_ns;
    clock->cpu_ns = ph_thread_cpu_ns();
    clock->since_ns = 0;
    return clock->cpu_ns > before_ns ? clock->cpu_ns - before_ns : 0;
}

static void end_step(struct ph_host *host, struct step_clock *clock, enum ph_event_type type,
                     bool may_be_long)
{
    uint64_t after_ns = ph_now_ns(), ns = after_ns - clock->now_ns;
    clock->now_ns = after_ns;
    ph_stats_step(host->stats, ph_sched_worker(), type, ns);
    uint64_t cpu_ns = clock->cpu_ns ? step_cpu_ns(clock, ns) : 0;
    if (may_be_long)
        ph_stats_cpu(host->stats, ph_sched_worker(), type, cpu_ns);
}

static void timed_submit(struct ph_host *host, struct ph_event *event, struct step_clock *clock)
{
    enum ph_event_type type = event->type;
    bool long_one = type == PH_EVENT_FRAME; /* many records in one step */
    begin_step(clock, long_one);
    ph_hub_submit(&host->hub, event, clock->now_ns / 1000000);
    end_step(host, clock, type, long_one);
}

static void timed_work(struct ph_host *host, struct step_clock *clock)
{
    bool job = ph_hub_jobs_runnable(&host->hub) || ph_cluster_has_work(&host->hub);
    begin_step(clock, true);
    ph_hub_work(&host->hub, clock->now_ns / 1000000);
    end_step(host, clock, job ? PH_EVENT_JOB : PH_EVENT_TICK, true);
}

static void set_alarm(struct ph_host *host)
{
    uint64_t deadline = ph_hub_next_deadline(&host->hub);
    if (deadline == host->alarm_ms)
        return;
    host->alarm_ms = deadline;
    if (deadline != PH_NEVER)
        ph_timers_set(host->node->timers, &host->alarm, deadline);
}

static void alarm_fired(struct ph_timers_alarm *alarm)
{
    struct ph_host *host = ph_container_of(alarm, struct ph_host, alarm);
    ph_sched_wake(host->node->sched, &host->actor);
}

/* Everything that waits for the end of a batch, in the order that lets a caller read its own
 * writes. Who only looked (a console does all the time) wakes nobody who waits for changes. */
static void end_batch(struct ph_host *host, bool changed)
{
    bool news = changed && publish(host);
    ph_hub_end_batch(&host->hub);
    if (news)
        ph_waitlist_wake(&host->changes);
}

/* One piece of the hub's own work: deadlines, released events, a slice of a job. */
static unsigned work_once(struct ph_host *host, struct step_clock *clock)
{
    timed_work(host, clock);
    return PH_JOB_SLICE;
}

static bool run_host(struct ph_actor *actor)
{
    struct ph_host *host = ph_container_of(actor, struct ph_host, actor);
    struct step_clock clock = {.now_ns = ph_now_ns()};
    unsigned done = 0;
    bool changed = false;
    while (ph_hub_has_work(&host->hub, clock.now_ns / 1000000) && done < PH_HUB_BATCH) {
        done += work_once(host, &clock);
        changed = true;
    }
    /* Jobs take turns with the queue; what the gate releases goes before new events. */
    struct ph_event *event;
    while (done < 2 * PH_HUB_BATCH) {
        if (ph_gate_releasing(&host->hub.gate)) {
            done += work_once(host, &clock);
        } else if ((event = next_event(host))) {
            changed |= event->type != PH_EVENT_INSPECT;
            timed_submit(host, event, &clock);
            done++;
        } else {
            break;
        }
    }
    if (host->hub.stopped && !host->gone) {
        host->gone = true;
        ph_node_forget(host->node, host); /* before its stop is answered: the name is free then */
    }
    if (done)
        end_batch(host, changed);
    /* An alarm that fired is no longer set, whatever the deadline says. */
    if (host->alarm_ms <= clock.now_ns / 1000000)
        host->alarm_ms = PH_NEVER;
    set_alarm(host);
    return !ph_queue_is_empty(&host->queue) || ph_hub_has_work(&host->hub, clock.now_ns / 1000000);
}

static void destroy(struct ph_actor *actor)
{
    struct ph_host *host = ph_container_of(actor, struct ph_host, actor);
    struct ph_event *event;
    ph_timers_cancel(host->node->timers, &host->alarm);
    ph_journal_close(host->journal); /* before the last events: they may be its answers */
    while ((event = next_event(host)))
        ph_event_destroy(event);
    ph_hub_fini(&host->hub);
    ph_registry_destroy(host->hub.registry);
    ph_directory_destroy(host->hub.directory);
    free_retired(host);
    ph_rcu_free(atomic_load_explicit(&host->picture, memory_order_relaxed));
    ph_history_destroy(host->hub.history);
    ph_stats_destroy(host->stats);
    ph_waitlist_fini(&host->changes);
    exec_lease(host, UINT64_MAX); /* the number will be another hub's */
    ph_node_release(host->node, host->hub.lease_number);
    ph_free(host);
}

static const struct ph_actor_class host_class = {
    .lane = PH_LANE_SYSTEM,
    .run = run_host,
    .dead = destroy,
};

/* ---- Life ---------------------------------------------------------------------------------- */

/* Each hub of a node has a generation of its own, later ones higher: seconds later by the time that
 * has passed, and by one for each before. */
static uint64_t generation_of(struct ph_node *node)
{
    uint64_t number = atomic_fetch_add_explicit(&node->generations, 1, memory_order_relaxed);
    return node->incarnation + (((ph_now_ms() - node->started_ms) / 1000 + number) << 32);
}

static const struct ph_kind *kind_of(const struct ph_spec *spec)
{
    return spec->module ? &ph_kind_module : &ph_kind_process;
}

static void post(struct ph_hub *hub, struct ph_event *event)
{
    ph_host_post_system(ph_host_of(hub), event);
}

/* ---- The journal ----------------------------------------------------------------------------- */

/* What a journal has, before the hub is told. */
struct reading {
    struct ph_queue events;
    uint64_t bytes;
};

enum { ENTRY_BYTES = 50 /* of a record, about */ };

static void journal_read(void *arg, struct ph_text *record)
{
    struct reading *reading = arg;
    struct ph_event *event = ph_event_create(PH_EVENT_JOURNAL);
    reading->bytes += record->length;
    event->journal.record = *record;
    ph_queue_push(&reading->events, &event->link);
}

/* The tables grow first: their growth is bulk work that would be done when all has been read. */
static void tell_read(struct ph_host *host, struct reading *reading)
{
    struct ph_queue_node *node;
    size_t entries = reading->bytes / ENTRY_BYTES;
    size_t buckets = ph_directory_wanted(host->hub.directory, entries);
    if (buckets)
        ph_directory_grow(host->hub.directory, buckets);
    buckets = ph_registry_wanted(host->hub.registry, entries);
    if (buckets)
        ph_registry_grow(host->hub.registry, buckets);
    while (ph_queue_pop(&reading->events, &node) == PH_QUEUE_OK)
        ph_host_post_system(host, ph_container_of(node, struct ph_event, link));
}

static void journal_done(void *arg, const struct ph_journal_answer *answer)
{
    struct ph_event *event = ph_event_create(PH_EVENT_JOURNAL);
    event->journal.done = answer->done;
    event->journal.code = answer->code;
    event->journal.text = answer->text ? ph_copy_text(answer->text, strlen(answer->text)) : NULL;
    event->journal.renewed = answer->renewed;
    event->journal.bytes = answer->bytes;
    ph_host_post_system(arg, event);
}

int ph_host_read_journal(struct ph_host *host, struct ph_error *error)
{
    if (!host->node->state)
        return 0;
    struct reading reading = {.bytes = 0};
    const struct ph_journal_owner owner = {
        .read = journal_read, .reader = &reading, .done = journal_done, .arg = host};
    struct ph_text torn = PH_TEXT_INIT;
    ph_queue_init(&reading.events);
    int rc =
        ph_journal_open(host->node->state, host->hub.name, &owner, &torn, &host->journal, error);
    tell_read(host, &reading); /* also what was read of one that is broken: it goes with the host */
    if (rc == 0) {
        struct ph_event *event = ph_event_create(PH_EVENT_JOURNAL);
        event->journal.last = true;
        event->journal.text = torn.data;
        event->journal.bytes = ph_journal_bytes(host->journal);
        torn = PH_TEXT_INIT;
        ph_host_post_system(host, event);
    }
    ph_text_fini(&torn);
    return rc;
}

void ph_host_create(struct ph_node *node, const char *name, const struct ph_hub_options *options,
                    uint64_t seed, struct ph_host **result)
{
    struct ph_host *host = ph_alloc(sizeof *host);
    struct ph_prng prng;
    ph_prng_init(&prng, seed);
    bool spans = node->links.port || node->state;
    uint64_t secret = ph_prng_next(&prng);
    const struct ph_cluster_setup cluster = {
        .node = node->name,
        .endpoint = node->listen,
        .generation = generation_of(node),
        .heartbeat_ms = node->heartbeat_ms,
        .dead_after_ms = node->dead_after_ms,
        .lease_ms = node->lease_ms,
        .journal = node->state != NULL,
    };
    const struct ph_hub_setup setup = {
        .name = name,
        .options = *options,
        .ports =
            {
                .exec = &exec_port,
                .work = &work_port,
                .link = &link_port,
                .journal = &journal_port,
                .trace = &trace_port,
                .context = host,
            },
        .registry = ph_registry_create(secret),
        .directory = spans ? ph_directory_create(secret) : NULL,
        .cluster = spans ? &cluster : NULL,
        .kind_of = kind_of,
        .post = post,
        .history = ph_history_create(),
        .seed = ph_prng_next(&prng),
        .now_ms = ph_now_ms(),
        .restart_slot_us = &node->restart_slot_us,
    };
    ph_hub_init(&host->hub, &setup);
    host->hub.node = node;
    host->node = node;
    ph_actor_init(&host->actor, &host_class);
    ph_queue_init(&host->queue);
    atomic_init(&host->refs, 1);
    host->alarm.fire = alarm_fired;
    host->alarm_ms = PH_NEVER;
    ph_waitlist_init(&host->changes);
    host->stats = ph_stats_create();
    publish(host);
    *result = host;
}

void ph_host_get(struct ph_host *host)
{
    atomic_fetch_add_explicit(&host->refs, 1, memory_order_relaxed);
}

void ph_host_put(struct ph_host *host)
{
    /* acq_rel: the last one sees everything that the others did with the host. */
    if (atomic_fetch_sub_explicit(&host->refs, 1, memory_order_acq_rel) == 1)
        ph_sched_kill(host->node->sched, &host->actor);
}

void ph_host_post_system(struct ph_host *host, struct ph_event *event)
{
    /* Once it is queued the hub may handle the event, end and be freed by its worker: the section
     * keeps the host until it was woken (its destruction waits for a grace period). */
    ph_rcu_enter();
    ph_queue_push(&host->queue, &event->link);
    ph_sched_wake(host->node->sched, &host->actor);
    ph_rcu_exit();
}

static bool has_place(struct ph_host *host, const struct ph_event *event)
{
    if (!is_request(event) ||
        atomic_fetch_add_explicit(&host->queued, 1, memory_order_relaxed) < PH_QUEUE_MAX)
        return true;
    atomic_fetch_sub_explicit(&host->queued, 1, memory_order_relaxed);
    return false;
}

int ph_host_post(struct ph_host *host, struct ph_event *event)
{
    if (!has_place(host, event)) {
        ph_op_complete(event->op, PH_ELIMIT, "too many requests wait in the hub's queue");
        event->op = NULL;
        ph_event_destroy(event);
        return PH_ELIMIT;
    }
    ph_host_post_system(host, event);
    return 0;
}

int ph_host_post_sparing(struct ph_host *host, struct ph_event *event)
{
    if (!has_place(host, event)) {
        event->send.box = NULL;
        ph_event_destroy(event);
        return PH_ELIMIT;
    }
    ph_host_post_system(host, event);
    return 0;
}

int ph_hub_inspect(struct ph_hub *hub, ph_inspect_fn fn, struct ph_op **op)
{
    struct ph_event *event = ph_event_create(PH_EVENT_INSPECT);
    event->inspect = fn;
    event->op = ph_op_create();
    *op = event->op;
    return ph_host_post(ph_host_of(hub), event);
}
