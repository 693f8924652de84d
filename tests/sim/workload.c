#include "tests/sim/workload.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/op.h"
#include "engine/spec.h"
#include "tests/sim/checks.h"
#include "tests/sim/children.h"
#include "tests/sim/report.h"

/* Where they begin, of a thousand; below are duels and starts. */
enum {
    DUELS = 50,
    STOPS = 300,
    RESTARTS = 430,
    PINS = 480,
    DRAINS = 580,
    LOCKS = 620,
    MAILS = 640
};

/* ---- Answers ------------------------------------------------------------------------------- */

static void answered(void *arg, struct ph_op *op)
{
    struct sim_request *request = arg;
    struct sim *sim = request->sim;
    const struct ph_op_result *result = ph_op_result(op);
    *request->link = request->next;
    if (request->next)
        request->next->link = request->link;
    sim_hash(sim, &result->code, sizeof result->code);
    sim_note(sim, request->hub->node, "answer", "%s c%u: %d %s", ph_event_name(request->verb),
             request->id, result->code, result->text);
    bool promises = request->verb == PH_EVENT_START || request->verb == PH_EVENT_STOP;
    if (promises && result->code == 0 && !request->hub->dead)
        sim_check_acknowledged(request);
    if (request->verb == PH_EVENT_STOP && result->code == 0 && !request->hub->dead)
        sim_check_stopped(request);
    if (request->verb == PH_EVENT_START && result->code == 0 && !request->hub->dead)
        sim_check_started(request);
    if (request->verb == PH_EVENT_SEND && !request->hub->dead)
        sim_check_answered(request->hub, request->message, result->code);
    ph_spec_put(request->spec);
    ph_free(request);
}

static struct ph_op *watch(struct sim_hub *hub, enum ph_event_type verb, unsigned id)
{
    struct sim *sim = hub->node->sim;
    struct sim_request *request = ph_alloc(sizeof *request);
    struct ph_op *op = ph_op_create();
    *request = (struct sim_request){
        .next = sim->pending,
        .link = &sim->pending,
        .sim = sim,
        .hub = hub,
        .verb = verb,
        .id = id,
        .mark = sim_oracle_mark(sim),
        .began_us = sim->now_us,
        .began_ms = sim_local_ms(hub->node),
    };
    if (request->next)
        request->next->link = &request->next;
    sim->pending = request;
    if (id < SIM_IDS_MAX)
        sim_check_request(request);
    op->done_fn = answered;
    op->done_arg = request;
    ph_op_put(op); /* its end is the function */
    return op;
}

/* ---- Requests ------------------------------------------------------------------------------ */

static struct ph_spec *draw_spec(struct sim *sim)
{
    static const char *const restarts[] = {"permanent", "transient", "temporary"};
    static const char *const variants[] = {"a", "b"};
    static const char *const shutdowns[] = {"100ms", "1s", "5s"};
    struct ph_spec *spec = ph_spec_create();
    struct ph_error error = {0};
    struct ph_prng *prng = &sim->requests;
    int rc = ph_spec_set(spec, "module", "simulated", &error);
    rc |= ph_spec_set(spec, "restart", restarts[sim_chance(prng, 800) ? 0 : ph_prng_below(prng, 3)],
                      &error);
    rc |= ph_spec_set(spec, "meta.variant", variants[ph_prng_below(prng, 2)], &error);
    rc |= ph_spec_set(spec, "shutdown", shutdowns[ph_prng_below(prng, 3)], &error);
    ph_assert(rc == 0);
    return spec;
}

static void add_id(struct ph_ids *ids, unsigned id)
{
    char name[16];
    sim_id_name(id, name);
    int rc = ph_ids_add(ids, name, strlen(name));
    ph_assert(rc == 0);
}

static struct ph_event *create_request(struct sim_hub *hub, enum ph_event_type verb, unsigned id)
{
    struct ph_event *event = ph_event_create(verb);
    event->op = watch(hub, verb, id);
    sim_note(hub->node->sim, hub->node, "request", "%s c%u", ph_event_name(verb), id);
    return event;
}

/* The spec is moved. */
static void start_as(struct sim_hub *hub, unsigned id, struct ph_spec *spec,
                     const struct ph_start_options *options)
{
    struct ph_event *event = create_request(hub, PH_EVENT_START, id);
    event->start.spec = spec;
    hub->node->sim->pending->spec = ph_spec_get(spec); /* the request that was just made */
    event->start.kind = &sim_kind;
    event->start.options = *options;
    add_id(&event->start.ids, id);
    sim_post(hub, event);
}

void sim_workload_replace(struct sim_hub *hub, unsigned id, struct ph_spec *spec)
{
    start_as(hub, id, spec, &(struct ph_start_options){.if_exists = PH_IF_EXISTS_REPLACE});
}

static void start(struct sim_hub *hub, unsigned id)
{
    struct sim *sim = hub->node->sim;
    struct ph_spec *spec = draw_spec(sim);
    struct ph_start_options options = {.if_exists = PH_IF_EXISTS_SAME};
    if (sim_chance(&sim->requests, 300))
        options.if_exists = PH_IF_EXISTS_REPLACE;
    else if (sim_chance(&sim->requests, 100))
        options.if_exists = PH_IF_EXISTS_FAIL;
    options.rollback = sim_chance(&sim->requests, 50);
    start_as(hub, id, spec, &options);
}

void sim_workload_target(struct sim_hub *hub, enum ph_event_type verb, unsigned id)
{
    struct ph_event *event = create_request(hub, verb, id);
    add_id(&event->target.ids, id);
    sim_post(hub, event);
}

void sim_workload_pin(struct sim_hub *hub, unsigned id, unsigned node)
{
    struct ph_event *event = create_request(hub, PH_EVENT_PIN, id);
    add_id(&event->place.ids, id);
    if (node < SIM_NODES_MAX)
        snprintf(event->place.node, sizeof event->place.node, "n%u", node);
    sim_post(hub, event);
}

static void pin(struct sim_hub *hub, unsigned id)
{
    struct sim *sim = hub->node->sim;
    bool to_one = sim_chance(&sim->requests, 600);
    sim_workload_pin(hub, id,
                     to_one ? (unsigned)ph_prng_below(&sim->requests, sim->config.nodes)
                            : SIM_NODES_MAX);
}

static void drain(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    struct ph_event *event = create_request(hub, PH_EVENT_DRAIN, SIM_IDS_MAX);
    event->place.on = sim_chance(&sim->requests, 400);
    snprintf(event->place.node, sizeof event->place.node, "n%u",
             (unsigned)ph_prng_below(&sim->requests, sim->config.nodes));
    sim_post(hub, event);
}

void sim_workload_lock(struct sim_hub *hub, uint64_t for_ms)
{
    struct ph_event *event = create_request(hub, PH_EVENT_LOCK, SIM_IDS_MAX);
    snprintf(event->lock.name, sizeof event->lock.name, "held");
    event->lock.level = PH_PRIORITY_LOCKED;
    event->lock.for_ms = for_ms;
    sim_post(hub, event);
}

static void lock(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    bool takes = sim_chance(&sim->requests, 600);
    struct ph_event *event =
        create_request(hub, takes ? PH_EVENT_LOCK : PH_EVENT_UNLOCK, SIM_IDS_MAX);
    unsigned which = (unsigned)ph_prng_below(&sim->requests, 2);
    snprintf(event->lock.name, sizeof event->lock.name, "lock%u", which);
    event->lock.level = which ? PH_PRIORITY_LOCKED : 1;
    bool long_one = sim_chance(&sim->requests, 150);
    event->lock.for_ms = sim_between(&sim->requests, 1, long_one ? 20000 : 3000);
    sim_post(hub, event);
}

/* A cast or a call with a number of its own; as ph_send does it. */
void sim_workload_mail(struct sim_hub *hub, unsigned id)
{
    struct sim *sim = hub->node->sim;
    char name[16], text[24];
    bool calls = sim_chance(&sim->requests, 500);
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)++sim->messages);
    struct ph_message_box *box =
        ph_message_box_create(calls ? PH_MESSAGE_CALL : PH_MESSAGE_CAST, text, (size_t)length);
    sim_id_name(id, name);
    sim_note(sim, hub->node, "request", "%s %llu to c%u", calls ? "call" : "message",
             (unsigned long long)sim->messages, id);
    sim_check_sent(hub, id, sim->messages);
    if (calls) {
        box->op = watch(hub, PH_EVENT_SEND, id);
        sim->pending->message = sim->messages;
    }
    struct ph_child *child = ph_registry_find_rcu(hub->hub.registry, name, strlen(name));
    bool takes = child && ph_child_state(child) != PH_STATE_FAILED &&
                 ph_child_state(child) != PH_STATE_STOPPING;
    uint32_t detour = takes ? ph_detour_enter(&child->detour) : 0;
    if (takes && !detour) {
        child->kind->deliver(child, box);
        return;
    }
    struct ph_event *event = ph_event_create(PH_EVENT_SEND);
    event->send.detour = detour;
    event->send.id = ph_copy_text(name, strlen(name));
    event->send.box = box;
    sim_post(hub, event);
}

/* ---- What follows a request -------------------------------------------------------------------
 */

static bool is_waited_for(const struct sim *sim, const struct sim_hub *hub, unsigned id)
{
    for (const struct sim_request *at = sim->pending; at; at = at->next)
        if (at->hub == hub && at->id == id && at->verb != PH_EVENT_SEND)
            return true;
    return false;
}

/* Soon after: another node takes back what this one replaces, so that some see both and some only
 * one of the two; or the same one speaks again, so that messages wait behind each other. */
struct sequel {
    struct sim_item item; /* first */
    struct sim_node *node;
    unsigned id;
    struct ph_spec *spec; /* to start with; NULL: a message */
};

static void follow(struct sim *sim, struct sim_item *item)
{
    struct sequel *sequel = ph_container_of(item, struct sequel, item);
    struct sim_hub *hub = sequel->node->hub;
    bool listens = hub && sequel->node->paused_until_us <= sim->now_us &&
                   (!sequel->spec || !is_waited_for(sim, hub, sequel->id));
    if (!listens || (sim->healing && !sim->calm))
        ph_spec_put(sequel->spec);
    else if (sequel->spec)
        sim_workload_replace(hub, sequel->id, sequel->spec);
    else
        sim_workload_mail(hub, sequel->id);
    ph_free(sequel);
}

static void follow_up(struct sim_node *node, unsigned id, struct ph_spec *spec)
{
    struct sequel *sequel = ph_alloc(sizeof *sequel);
    struct sim *sim = node->sim;
    sequel->item.act = follow;
    sequel->node = node;
    sequel->id = id;
    sequel->spec = spec;
    uint64_t most_us = 4 * sim->config.delay_us + 1000;
    sim_at(sim, sim->now_us + sim_between(&sim->requests, 0, most_us), &sequel->item);
}

static struct ph_spec *wanted_spec(const struct sim_hub *hub, unsigned id)
{
    char name[16];
    sim_id_name(id, name);
    const struct ph_entry *entry = ph_directory_find_rcu(hub->hub.directory, name, strlen(name));
    return entry ? ph_entry_spec_rcu(entry) : NULL;
}

/* One node replaces, another one takes it back. */
static void duel(struct sim_hub *hub, unsigned id)
{
    struct sim *sim = hub->node->sim;
    struct ph_spec *before = wanted_spec(hub, id);
    if (before)
        follow_up(&sim->nodes[ph_prng_below(&sim->requests, sim->config.nodes)], id,
                  ph_spec_get(before));
    sim_workload_replace(hub, id, draw_spec(sim));
}

static void speak(struct sim_hub *hub, unsigned id)
{
    sim_workload_mail(hub, id);
    for (unsigned more = sim_chance(&hub->node->sim->requests, 150) ? 3 : 0; more; more--)
        follow_up(hub->node, id, NULL);
}

/* ---- When ---------------------------------------------------------------------------------- */

static void request(struct sim_hub *hub, unsigned what, unsigned id)
{
    if (what < DUELS)
        duel(hub, id);
    else if (what < STOPS)
        start(hub, id);
    else if (what < RESTARTS)
        sim_workload_target(hub, PH_EVENT_STOP, id);
    else if (what < PINS)
        sim_workload_target(hub, PH_EVENT_RESTART, id);
    else if (what < DRAINS)
        pin(hub, id);
    else if (what < LOCKS)
        drain(hub);
    else if (what < MAILS)
        lock(hub);
    else
        speak(hub, id);
}

/* Of a thousand, those that move or speak; most of them stops while a side is away for long. */
static unsigned pick(struct sim *sim)
{
    unsigned what = (unsigned)ph_prng_below(&sim->requests, 1000);
    if (sim->calm)
        return what < 150 ? PINS : MAILS;
    if (sim->absent && sim_chance(&sim->requests, 500))
        return STOPS;
    return what;
}

static void tick(struct sim *sim, struct sim_item *item)
{
    if ((sim->healing && !sim->calm) || sim->silent) {
        sim->ticking = false;
        ph_free(item);
        return;
    }
    struct sim_node *node = &sim->nodes[ph_prng_below(&sim->requests, sim->config.nodes)];
    unsigned what = pick(sim);
    unsigned id = (unsigned)ph_prng_below(&sim->requests, sim->config.ids);
    bool chosen = !sim->calm || sim->core[node->index];
    if (chosen && node->hub && node->paused_until_us <= sim->now_us &&
        !is_waited_for(sim, node->hub, id))
        request(node->hub, what, id);
    item->tie = 0;
    sim_at(sim, sim->now_us + sim_exponential(&sim->requests, sim->config.request_us), item);
}

void sim_workload_begin(struct sim *sim)
{
    struct sim_item *item = ph_alloc(sizeof *item);
    item->act = tick;
    sim->ticking = true;
    sim_at(sim, sim->now_us + 500000, item);
}

static void drain_node(struct sim_hub *hub, unsigned node, bool on)
{
    struct ph_event *event = create_request(hub, PH_EVENT_DRAIN, SIM_IDS_MAX);
    event->place.on = on;
    snprintf(event->place.node, sizeof event->place.node, "n%u", node);
    sim_post(hub, event);
}

/* One node may stay drained, while another one of the core takes its children. */
static unsigned choose_drained(struct sim *sim)
{
    unsigned drained = (unsigned)ph_prng_below(&sim->requests, sim->config.nodes), others = 0;
    for (unsigned i = 0; i < sim->config.nodes; i++)
        others += sim->core[i] && i != drained;
    return others && sim_chance(&sim->requests, 400) ? drained : SIM_NODES_MAX;
}

void sim_workload_calm(struct sim *sim)
{
    sim->calm = true;
    if (!sim->ticking)
        sim_workload_begin(sim);
}

/* Drains are taken back; pins stay, most of them of nodes that are there. */
void sim_workload_end(struct sim *sim)
{
    unsigned drained = choose_drained(sim);
    sim->calm = false;
    for (unsigned i = 0; i < sim->config.nodes; i++)
        for (unsigned n = 0; n < sim->config.nodes; n++)
            if (sim->core[i] && sim->nodes[i].hub && (sim->core[n] || n == drained))
                drain_node(sim->nodes[i].hub, n, n == drained);
}
