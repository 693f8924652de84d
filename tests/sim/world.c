/* Time, nodes, hubs, and the loop that lets one thing happen after another. */
#include "tests/sim/sim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/op.h"
#include "engine/rendezvous.h"
#include "engine/spec.h"
#include "tests/sim/checks.h"
#include "tests/sim/children.h"
#include "tests/sim/disks.h"
#include "tests/sim/report.h"
#include "tests/sim/workload.h"

enum { STEPS_PER_SECOND_MAX = 400000, BATCH_MAX = 16 };

/* ---- The heap ------------------------------------------------------------------------------ */

static bool is_before(const struct sim_item *a, const struct sim_item *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->tie < b->tie;
}

static void push(struct sim *sim, struct sim_item *item)
{
    if (sim->items == sim->item_capacity) {
        sim->item_capacity = sim->item_capacity ? sim->item_capacity * 2 : 1024;
        sim->heap = ph_realloc(sim->heap, sim->item_capacity * sizeof *sim->heap);
    }
    size_t at = sim->items++;
    for (; at && is_before(item, sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = item;
}

static struct sim_item *pop(struct sim *sim)
{
    struct sim_item *first = sim->heap[0], *last = sim->heap[--sim->items];
    size_t at = 0;
    for (size_t child = 1; child < sim->items; child = 2 * at + 1) {
        if (child + 1 < sim->items && is_before(sim->heap[child + 1], sim->heap[child]))
            child++;
        if (!is_before(sim->heap[child], last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

void sim_at(struct sim *sim, uint64_t at_us, struct sim_item *item)
{
    item->at_us = at_us > sim->now_us ? at_us : sim->now_us;
    if (!item->tie)
        item->tie = ++sim->tie;
    push(sim, item);
}

uint64_t sim_exponential(struct ph_prng *prng, uint64_t mean)
{
    double unit = ((double)(ph_prng_next(prng) >> 11) + 1) / 9007199254740993.0;
    return (uint64_t)(-log(unit) * (double)mean);
}

/* ---- Clocks -------------------------------------------------------------------------------- */

static uint64_t local_us(const struct sim_node *node)
{
    uint64_t passed = node->sim->now_us - node->base_us;
    return node->base_local_us + passed + (uint64_t)((int64_t)passed * node->drift / 1000000);
}

uint64_t sim_local_ms(const struct sim_node *node)
{
    return local_us(node) / 1000;
}

/* A microsecond late rather than early: who comes early looks again. */
uint64_t sim_when(const struct sim_node *node, uint64_t local_ms)
{
    if (local_ms == PH_NEVER || local_ms > UINT64_MAX / 2000)
        return SIM_NEVER;
    uint64_t at_us = local_ms * 1000, now_us = local_us(node);
    if (at_us <= now_us)
        return node->sim->now_us;
    int64_t wait = (int64_t)(at_us - now_us);
    return node->sim->now_us + (uint64_t)(wait - wait * node->drift / (1000000 + node->drift)) + 1;
}

/* ---- Hubs ---------------------------------------------------------------------------------- */

static void submit_work(void *context, enum ph_work kind, uint64_t amount)
{
    struct sim_hub *hub = context;
    struct ph_event *event = ph_event_create(PH_EVENT_WORK_DONE);
    if (kind == PH_WORK_GROW)
        ph_registry_grow(hub->hub.registry, amount);
    else if (kind == PH_WORK_GROW_DIRECTORY)
        ph_directory_grow(hub->hub.directory, amount);
    event->work.kind = kind;
    sim_post(hub, event);
}

static const struct ph_work_port work_port = {.submit = submit_work};

static void trace_record(void *context, const struct ph_record *record)
{
    struct sim_hub *hub = context;
    struct sim *sim = hub->node->sim;
    sim_hash(sim, record->type, strlen(record->type));
    sim_hash(sim, record->id, strlen(record->id));
    sim_hash(sim, record->text, strlen(record->text));
    if (strcmp(record->type, "child_duplicate") == 0)
        sim_check_duplicate(hub, record->id, record->text);
    if (strcmp(record->type, "child_conflict") == 0)
        sim_check_conflict(hub, record->id, record->text);
    if (strcmp(record->type, "child_stopped") == 0)
        sim_check_gave_way(hub, record->id, record->text);
    hub->node->fences += strcmp(record->type, "partitioned") == 0;
    if (strcmp(record->type, "node_down") == 0 || strcmp(record->type, "node_left") == 0)
        sim_check_losses(sim);
    sim_note(sim, hub->node, record->type, "%s%s%s", record->id, record->id[0] ? " " : "",
             record->text);
}

static const struct ph_trace_port trace_port = {.record = trace_record};

void sim_post(struct sim_hub *hub, struct ph_event *event)
{
    if (hub->dead) {
        ph_event_destroy(event);
        return;
    }
    ph_queue_push(&hub->inbox, &event->link);
    sim_touch(hub->node);
}

static struct ph_event *take(struct sim_hub *hub)
{
    struct ph_queue_node *node;
    if (ph_queue_pop(&hub->inbox, &node) != PH_QUEUE_OK)
        return NULL;
    return ph_container_of(node, struct ph_event, link);
}

static void post(struct ph_hub *hub, struct ph_event *event)
{
    sim_post(ph_container_of(hub, struct sim_hub, hub), event);
}

static struct ph_hub_options options_of(const struct sim_config *config)
{
    struct ph_hub_options options;
    struct ph_error error = {0};
    int rc = ph_hub_options_parse(&options, NULL, 0, &error);
    ph_assert(rc == 0);
    options.partition = config->majority ? PH_PARTITION_MAJORITY : PH_PARTITION_DIVERGE;
    options.majority_initial_size = config->strict ? config->nodes : 1;
    options.majority_track_max = 1;
    options.migrate_timeout_ms = config->migrate_timeout_ms;
    options.migration = config->hot ? PH_MIGRATION_HOT : PH_MIGRATION_COLD;
    options.hot_confirm = config->hot_confirm;
    options.hot_child_timeout_ms = config->hot_child_ms;
    options.hot_state_timeout_ms = config->hot_state_ms;
    options.hot_retention_ms = config->hot_retention_ms;
    options.hot_precopy = config->hot_precopy;
    options.move_rate = config->move_rate;
    options.move_in_flight = config->in_flight;
    options.shutdown_timeout_ms = 20000;
    options.lock_timeout_ms = 5000;
    return options;
}

static bool greet_peer(void *arg, const struct ph_peer *peer)
{
    struct ph_event *event = ph_event_create(PH_EVENT_PEER_UP);
    event->peer.peer = *peer;
    sim_post(arg, event);
    return true;
}

bool sim_is_rival(const struct sim_node *node)
{
    return node->index >= node->sim->config.nodes;
}

void sim_hub_begin(struct sim_node *node)
{
    struct sim *sim = node->sim;
    const struct sim_config *config = &sim->config;
    struct sim_hub *hub = ph_alloc(sizeof *hub);
    hub->node = node;
    ph_queue_init(&hub->inbox);
    /* As engine/host.c makes it. */
    uint64_t up_s = (local_us(node) - node->base_local_us) / 1000000;
    hub->generation = node->incarnation + ((up_s + node->generations++) << 32);
    uint64_t secret = ph_prng_next(&sim->order);
    const struct ph_cluster_setup cluster = {
        .node = node->name,
        .endpoint = node->endpoint,
        .generation = hub->generation,
        .heartbeat_ms = config->heartbeat_ms,
        .dead_after_ms = config->dead_after_ms,
        .lease_ms = config->lease_ms,
        .journal = sim_keeps(node),
    };
    const struct ph_hub_setup setup = {
        .name = "hub",
        .options = options_of(config),
        .ports = {.exec = &sim_exec_port,
                  .work = &work_port,
                  .link = &sim_link_port,
                  .journal = &sim_journal_port,
                  .trace = &trace_port,
                  .context = hub},
        .registry = ph_registry_create(secret),
        .history = ph_history_create(),
        .directory = ph_directory_create(secret),
        .cluster = &cluster,
        .kind_of = sim_kind_of,
        .post = post,
        .seed = ph_prng_next(&sim->order),
        .now_ms = sim_local_ms(node),
        .restart_slot_us = &hub->restart_slot_us,
    };
    ph_hub_init(&hub->hub, &setup);
    node->hub = hub;
    sim_note(sim, node, "hub", "begins, generation %llx", (unsigned long long)hub->generation);
    if (!sim_is_rival(node))
        sim_check_hub_begins(hub);
    if (sim_keeps(node))
        sim_disk_read(hub);
    ph_mesh_each_peer(node->mesh, greet_peer, hub);
    sim_touch(node);
}

/* Whatever it had is lost; nobody is told. */
static void end_hub(struct sim_node *node)
{
    struct sim_hub *hub = node->hub;
    struct ph_event *event;
    if (!hub)
        return;
    if (sim_keeps(node))
        sim_disk_crash(node);
    if (!sim_is_rival(node))
        sim_check_hub_ends(hub);
    hub->dead = true;
    node->hub = NULL;
    sim_children_end(hub);
    while ((event = take(hub)))
        ph_event_destroy(event);
    ph_hub_fini(&hub->hub);
    ph_registry_destroy(hub->hub.registry);
    ph_directory_destroy(hub->hub.directory);
    ph_history_destroy(hub->hub.history);
    for (const struct sim_request *at = node->sim->pending; at; at = at->next)
        if (at->hub == hub)
            sim_fail(node->sim, "a hub of %s ends and has not answered %s c%u", node->name,
                     ph_event_name(at->verb), at->id);
    ph_free(hub);
}

/* ---- Nodes --------------------------------------------------------------------------------- */

static const char *const protocols[] = {
    [SIM_PROTOCOL_OURS] = "",
    [SIM_PROTOCOL_NEWER] = "a newer protocol, too",
    [SIM_PROTOCOL_HIGHER] = "only higher protocols",
    [SIM_PROTOCOL_HEADER] = "with another header",
};

static const char *const losses[] = {
    [SIM_LOST_NOTHING] = "",
    [SIM_LOST_CLOCK] = "its clock is lost",
    [SIM_LOST_DISK] = "its clock and its disk are lost",
};

/* In the end all are understood. */
static enum sim_protocol draw_protocol(struct sim_node *node)
{
    struct sim *sim = node->sim;
    bool newer = sim->config.mixed && sim_chance(&sim->order, 300);
    if (node->foreign && !sim->healing)
        return node->foreign;
    return newer ? SIM_PROTOCOL_NEWER : SIM_PROTOCOL_OURS;
}

/* By the time of day, and past all before, when the disk knows them. */
static uint64_t take_incarnation(struct sim_node *node, enum sim_loss lost)
{
    struct sim *sim = node->sim;
    uint64_t wall_ms = sim->now_us / 1000 + 1000000;
    if (lost)
        wall_ms = sim_between(&sim->order, 1, wall_ms);
    uint64_t incarnation = ph_incarnation(wall_ms, ph_prng_next(&sim->order));
    if (!sim_keeps(node))
        return incarnation;
    if (lost == SIM_LOST_DISK) {
        sim_disk_lose(node);
        sim_check_lost(sim);
    }
    uint64_t least = node->disk.incarnation + (UINT64_C(1) << 32);
    node->disk.incarnation = incarnation > least ? incarnation : least;
    return node->disk.incarnation;
}

void sim_boot(struct sim_node *node, enum sim_loss lost)
{
    struct sim *sim = node->sim;
    const struct sim_config *config = &sim->config;
    ph_assert(!node->alive);
    node->alive = true;
    node->lives++;
    node->generations = 0;
    node->incarnation = take_incarnation(node, lost);
    node->base_us = sim->now_us;
    node->base_local_us = sim_between(&sim->order, 1000000, 4000000000);
    node->drift = config->drifts ? (int64_t)sim_between(&sim->order, 0, 1000) - 500 : 0;
    node->paused_until_us = 0;
    node->busy_until_us = sim->now_us;
    node->slow = 1;
    node->lag_us = 0;
    node->protocol = draw_protocol(node);
    node->leaving = false;
    node->channel_count = 0;
    const struct ph_mesh_setup setup = {
        .name = node->name,
        .endpoint = node->endpoint,
        .cluster = "sim",
        .incarnation = node->incarnation,
        .nonce = ph_prng_next(&sim->order) | 1,
        .now_ms = sim_local_ms(node),
        .window_bytes = config->window_bytes,
        .chunk_bytes = config->chunk_bytes,
        .queue_bytes_max = config->queue_bytes,
        .port = &sim_mesh_port,
        .context = node,
    };
    int rc = ph_mesh_create(&setup, &node->mesh, NULL);
    ph_assert(rc == 0);
    sim_note(sim, node, "boot", "%s%s%s", losses[lost], node->protocol ? "it speaks " : "",
             protocols[node->protocol]);
    for (unsigned i = 0; i < config->nodes; i++) {
        if (i == node->index)
            continue;
        rc = ph_mesh_join(node->mesh, sim->nodes[i].endpoint, sim_local_ms(node));
        ph_assert(rc == 0);
    }
    if (node->wants_hub)
        sim_hub_begin(node);
    sim_touch(node);
}

void sim_crash(struct sim_node *node)
{
    ph_assert(node->alive);
    end_hub(node);
    ph_mesh_destroy(node->mesh);
    node->mesh = NULL;
    node->alive = false;
    node->channel_count = 0;
    sim_touch(node);
    ph_rcu_barrier();
}

/* A hub that has ended by itself; with it its process, if that is what it was asked for. */
static void finish_hub(struct sim_node *node)
{
    sim_note(node->sim, node, "hub", "has ended");
    end_hub(node);
    node->wants_hub = node->leaving;
    if (node->leaving)
        ph_mesh_leave(node->mesh, sim_local_ms(node));
}

static void finish_node(struct sim_node *node)
{
    sim_note(node->sim, node, "left", "%s", "");
    sim_crash(node);
    sim_tell_refused(node);
}

/* ---- One step of a node -------------------------------------------------------------------- */

static uint64_t hub_due(const struct sim_node *node)
{
    const struct sim_hub *hub = node->hub;
    if (!hub)
        return SIM_NEVER;
    uint64_t due = node->sim->now_us;
    if (ph_queue_is_empty(&hub->inbox) && !ph_hub_has_work(&hub->hub, sim_local_ms(node)))
        due = sim_when(node, ph_hub_next_deadline(&hub->hub));
    return due > node->busy_until_us ? due : node->busy_until_us;
}

void sim_touch(struct sim_node *node)
{
    uint64_t due = SIM_NEVER;
    if (node->alive) {
        uint64_t mesh = sim_when(node, ph_mesh_next_deadline(node->mesh));
        due = hub_due(node);
        due = mesh < due ? mesh : due;
        if (node->leaving && !node->hub && ph_mesh_has_left(node->mesh))
            due = node->sim->now_us;
        due = due > node->paused_until_us ? due : node->paused_until_us;
    }
    node->due_us = due;
}

/* The order of work is that of engine/host.c: first what is due, then a batch of events. */
static void step_hub(struct sim_node *node)
{
    struct sim_hub *hub = node->hub;
    struct sim *sim = node->sim;
    uint64_t now_ms = sim_local_ms(node);
    if (ph_queue_is_empty(&hub->inbox))
        hub->batch = 0;
    if (!hub->batch && !ph_hub_has_work(&hub->hub, now_ms))
        hub->batch = 1 + (unsigned)ph_prng_below(&sim->order, BATCH_MAX);
    else if (!hub->batch || ph_gate_releasing(&hub->hub.gate)) {
        ph_hub_work(&hub->hub, now_ms);
        goto done;
    }
    struct ph_event *event = take(hub);
    if (!event)
        return;
    hub->batch--;
    ph_hub_submit(&hub->hub, event, now_ms);
done:
    node->busy_until_us = sim->now_us + sim_between(&sim->order, 2, 40) * node->slow;
    if (!sim_is_rival(node))
        sim_check_step(hub);
    ph_hub_end_batch(&hub->hub);
    ph_rcu_barrier();
    if (hub->hub.stopped)
        finish_hub(node);
}

static void step_node(struct sim_node *node)
{
    uint64_t now_ms = sim_local_ms(node);
    if (node->leaving && !node->hub && ph_mesh_has_left(node->mesh)) {
        finish_node(node);
        return;
    }
    if (ph_mesh_next_deadline(node->mesh) <= now_ms) {
        ph_mesh_tick(node->mesh, now_ms);
    } else if (node->hub) {
        step_hub(node);
    }
    if (node->alive)
        sim_touch(node);
}

/* ---- The loop ------------------------------------------------------------------------------ */

static void count_step(struct sim *sim)
{
    uint64_t second = sim->now_us / 1000000;
    sim->steps++;
    if (second != sim->second) {
        sim->second = second;
        sim->second_steps = 0;
    }
    if (++sim->second_steps > STEPS_PER_SECOND_MAX)
        sim_fail(sim, "more than %d steps in one second: something turns in circles",
                 STEPS_PER_SECOND_MAX);
}

bool sim_step(struct sim *sim)
{
    uint64_t next = sim->items ? sim->heap[0]->at_us : SIM_NEVER;
    struct sim_node *due = NULL;
    for (unsigned i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].due_us < next) {
            next = sim->nodes[i].due_us;
            due = &sim->nodes[i];
        }
    }
    if (next == SIM_NEVER || sim->failed)
        return false;
    sim->now_us = next > sim->now_us ? next : sim->now_us;
    if (due) {
        step_node(due);
    } else {
        struct sim_item *item = pop(sim);
        item->act(sim, item);
    }
    count_step(sim);
    sim_check_groups(sim);
    return !sim->failed;
}

/* ---- The world ----------------------------------------------------------------------------- */

void sim_create(struct sim *sim, uint64_t seed, const struct sim_config *config)
{
    struct ph_prng *streams[] = {&sim->wire,     &sim->children, &sim->faults,
                                 &sim->requests, &sim->order,    &sim->disks};
    sim->seed = seed;
    sim->config = *config;
    sim->now_us = 1000000;
    for (unsigned i = 0; i < PH_COUNT_OF(streams); i++)
        ph_prng_init(streams[i], seed * 8 + 1 + i);
    sim->oracle = sim_oracle_create();
    sim->node_count = config->nodes + config->clash;
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        node->sim = sim;
        node->index = i;
        snprintf(node->name, sizeof node->name, "n%u", sim_is_rival(node) ? 0 : i);
        snprintf(node->endpoint, sizeof node->endpoint, "tcp://127.0.0.1:%u", 1000 + i);
        node->name_hash = ph_name_hash(node->name, strlen(node->name));
        node->wants_hub = true;
        if (config->mixed && sim_chance(&sim->order, 250))
            node->foreign =
                sim_chance(&sim->order, 500) ? SIM_PROTOCOL_HIGHER : SIM_PROTOCOL_HEADER;
        node->due_us = SIM_NEVER;
        sim->core[i] = !sim_is_rival(node);
    }
    for (unsigned i = 0; i < config->nodes; i++)
        sim_boot(&sim->nodes[i], SIM_LOST_NOTHING);
}

void sim_destroy(struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].alive)
            sim_crash(&sim->nodes[i]);
    for (unsigned i = 0; i < sim->node_count; i++)
        fakedisk_fini(&sim->nodes[i].disk.journal);
    while (sim->items)
        ph_free(sim->heap[--sim->items]);
    while (sim->instances) {
        struct sim_instance *instance = sim->instances;
        sim->instances = instance->next;
        ph_spec_put(instance->spec);
        ph_free(instance);
    }
    ph_free(sim->heap);
    sim_oracle_destroy(sim->oracle);
}
