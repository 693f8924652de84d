#include "tests/sim/children.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/legacy.h"
#include "engine/op.h"
#include "engine/spec.h"
#include "tests/lib/ballast.h"
#include "tests/sim/checks.h"
#include "tests/sim/oracle.h"
#include "tests/sim/report.h"

/* What every simulated child carries. */
struct tail {
    struct ph_queue unread;
    struct sim_instance *now; /* NULL: no instance exists, as far as the hub knows */
    bool loaded, busy;        /* busy: it handles a message */
    struct ph_text state;     /* what its next instance begins with */
    uint64_t copy_from;       /* SAVES: from how many bytes on it goes on */
    struct ph_legacy *legacy; /* that its instance is to join */
};

enum what { COMES_UP, STANDS_BY, FAILS, CRASHES, ENDS, SAVES, MERGES, HANDLES };

/* Something that an instance does later. */
struct deed {
    struct sim_item item; /* first */
    struct sim_instance *instance;
    enum what what;
};

/* ---- Names --------------------------------------------------------------------------------- */

void sim_id_name(unsigned id, char name[16])
{
    snprintf(name, 16, "c%u", id);
}

unsigned sim_id_of(const char *id)
{
    return id[0] == 'c' ? (unsigned)strtoul(id + 1, NULL, 10) : SIM_IDS_MAX;
}

bool sim_acts(const struct sim_instance *instance)
{
    const struct sim_node *node = instance->node;
    if (instance->ended || instance->killed || instance->stands_by)
        return false;
    uint64_t lease_ms =
        atomic_load_explicit(&instance->hub->hub.lease_until_ms, memory_order_relaxed);
    return sim_local_ms(node) < lease_ms;
}

/* ---- What instances do ---------------------------------------------------------------------- */

static void act(struct sim *, struct sim_item *);

static void later(struct sim_instance *instance, enum what what, uint64_t delay_us)
{
    struct deed *deed = ph_alloc(sizeof *deed);
    deed->item.act = act;
    deed->instance = instance;
    deed->what = what;
    sim_at(instance->node->sim, instance->node->sim->now_us + delay_us, &deed->item);
}

/* `saved`: moved, or NULL. */
static void tell(struct sim_instance *instance, enum ph_event_type type, struct ph_exit *exit,
                 struct ph_text *saved)
{
    struct ph_event *event = ph_event_create(type);
    event->child.child = instance->child;
    event->child.instance = instance->instance;
    event->child.exit = exit;
    if (saved) {
        event->child.saved = *saved;
        *saved = PH_TEXT_INIT;
    }
    sim_post(instance->hub, event);
}

static struct ph_exit *make_exit(enum ph_exit_how how, int value, const char *text)
{
    struct ph_exit *exit = ph_alloc(sizeof *exit);
    exit->how = how;
    exit->value = value;
    snprintf(exit->text, sizeof exit->text, "%s", text);
    return exit;
}

static void end(struct sim_instance *instance, struct ph_exit *exit, struct ph_text *saved)
{
    struct tail *tail = ph_child_tail(instance->child);
    const struct sim_config *config = &instance->node->sim->config;
    bool given_back = !config->hot || config->hot_confirm;
    bool no_program = exit && exit->how == PH_EXIT_EXEC;
    bool leaves_it = instance->instance > 1 ? no_program : given_back;
    if (saved)
        sim_check_saved(instance);
    else if (!instance->stands_by && !(leaves_it && (instance->stopping || no_program)))
        sim_check_spent(instance); /* else its node gives it back, or the next one begins with it */
    if (!saved)
        sim_check_unsaved(instance);
    instance->ended = true;
    instance->ended_us = instance->node->sim->now_us;
    tail->now = NULL;
    tail->busy = false;
    struct ph_text *unused = no_program && instance->loaded ? &tail->state : NULL;
    tell(instance, PH_EVENT_CHILD_DOWN, exit, saved ? saved : unused);
}

static uint64_t work_us(struct sim *sim)
{
    return 50 + sim_exponential(&sim->children, 500);
}

static void handle_next(struct sim_instance *instance)
{
    struct tail *tail = ph_child_tail(instance->child);
    if (tail->busy || !instance->up || instance->killed || ph_queue_is_empty(&tail->unread))
        return;
    tail->busy = true;
    later(instance, HANDLES, work_us(instance->node->sim));
}

/* The canary: the same child acts on another node, too, and no hub knows. The checks have to see
 * it. */
static void plant_twin(const struct sim_instance *instance)
{
    struct sim *sim = instance->node->sim;
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        struct sim_hub *hub = sim->nodes[i].hub;
        if (!hub || i == instance->node->index || hub->hub.cluster->fenced)
            continue;
        struct sim_instance *twin = ph_alloc(sizeof *twin);
        *twin = *instance;
        twin->hub = hub;
        twin->node = hub->node;
        twin->life = hub->node->lives;
        twin->epoch = hub->hub.last_epoch + 1;
        ph_spec_get(twin->spec);
        twin->next = sim->instances;
        sim->instances = twin;
        sim_check_start(twin);
        return;
    }
}

static void come_up(struct sim_instance *instance)
{
    struct sim *sim = instance->node->sim;
    instance->up = true;
    ph_text_fini(&((struct tail *)ph_child_tail(instance->child))->state);
    sim_check_spent(instance);
    if (sim->canary)
        plant_twin(instance);
    tell(instance, PH_EVENT_CHILD_UP, NULL, NULL);
    if (!sim->healing && sim_chance(&sim->children, sim->config.crashes))
        later(instance, CRASHES, sim_exponential(&sim->children, 5000000));
    handle_next(instance);
}

/* A message: how much to add, and its number. */
static void handle(struct sim_instance *instance)
{
    struct tail *tail = ph_child_tail(instance->child);
    struct ph_queue_node *node;
    tail->busy = false;
    if (!instance->killed && !sim_acts(instance)) {
        tail->busy = true; /* it holds still, and looks again */
        later(instance, HANDLES, 50000);
        return;
    }
    if (instance->killed)
        return;
    if (ph_queue_pop(&tail->unread, &node) != PH_QUEUE_OK)
        return;
    struct ph_message_box *box = ph_container_of(node, struct ph_message_box, link);
    sim_check_message(instance->node->sim, instance, strtoull(box->data, NULL, 10));
    instance->counter++;
    if (box->op) {
        char reply[24];
        int length = snprintf(reply, sizeof reply, "%llu", (unsigned long long)instance->counter);
        ph_op_set_reply(box->op, reply, (size_t)length);
        ph_op_complete(box->op, 0, NULL);
        box->op = NULL;
    }
    ph_message_box_destroy(box, 0, NULL);
    handle_next(instance);
}

/* Drawn, or planted. */
static bool goes_wrong(struct sim *sim, unsigned thousandths, uint64_t *count, bool *planted)
{
    bool wrong = *planted || (!sim->healing && sim_chance(&sim->children, thousandths));
    ++*count;
    *planted = false;
    return wrong;
}

static void save(struct sim_instance *instance)
{
    struct sim *sim = instance->node->sim;
    const struct tail *tail = ph_child_tail(instance->child);
    struct ph_text saved = PH_TEXT_INIT;
    if (goes_wrong(sim, sim->config.save_fails, &sim->planted.saves, &sim->planted.next_save)) {
        instance->saving = false;
        tell(instance, PH_EVENT_CHILD_KEPT, make_exit(PH_EXIT_FAILED, -EIO, "cannot save"), NULL);
        sim->fault_count++;
        return;
    }
    ph_text_printf(&saved, "%llu %llu %u", (unsigned long long)instance->counter,
                   (unsigned long long)instance->epoch, instance->node->index);
    if (sim->config.ballast)
        ballast_put(&saved, instance->counter, sim->config.ballast);
    if (saved.length < tail->copy_from) {
        end(instance, NULL, &saved);
        return;
    }
    instance->saving = false;
    tell(instance, PH_EVENT_CHILD_COPIED, NULL, &saved);
}

struct sim_instance *sim_saver_of(struct sim *sim, unsigned id, const char *state)
{
    unsigned long long counter, epoch;
    unsigned node;
    if (sscanf(state, "%llu %llu %u", &counter, &epoch, &node) != 3)
        return NULL;
    for (struct sim_instance *at = sim->instances; at; at = at->next)
        if (at->id == id && at->epoch == epoch && at->node->index == node)
            return at;
    return NULL;
}

/* Those with odd numbers cannot. */
static void merge(struct sim_instance *instance)
{
    struct tail *tail = ph_child_tail(instance->child);
    int code = instance->id % 2 ? PH_EUNSUPPORTED : 0;
    if (!tail->legacy)
        return;
    if (code == 0) {
        instance->counter += strtoull(tail->legacy->state, NULL, 10);
        sim_check_joined(instance, tail->legacy->state);
    }
    ph_legacy_put(tail->legacy);
    tail->legacy = NULL;
    tell(instance, PH_EVENT_CHILD_MERGED, make_exit(PH_EXIT_CODE, code, "it cannot"), NULL);
}

void sim_child_crash(struct sim_instance *instance)
{
    end(instance, make_exit(PH_EXIT_SIGNAL, 11, ""), NULL);
}

static void do_deed(struct sim_instance *instance, enum what what)
{
    struct sim *sim = instance->node->sim;
    switch (what) {
    case COMES_UP:
        come_up(instance);
        break;
    case STANDS_BY:
        tell(instance, PH_EVENT_CHILD_PREPARED, NULL, NULL);
        break;
    case FAILS:
        sim->fault_count++;
        end(instance, make_exit(PH_EXIT_EXEC, -ENOENT, "no such program"), NULL);
        break;
    case CRASHES:
        if (sim->healing)
            break;
        sim->fault_count++;
        if (sim_chance(&sim->children, 300))
            end(instance, NULL, NULL);
        else
            sim_child_crash(instance);
        break;
    case ENDS:
        end(instance, instance->killed ? make_exit(PH_EXIT_SIGNAL, 9, "") : NULL, NULL);
        break;
    case SAVES:
        if (instance->saving && !instance->stopping)
            save(instance);
        break;
    case MERGES:
        merge(instance);
        break;
    case HANDLES:
        handle(instance);
        break;
    }
}

static void act(struct sim *sim, struct sim_item *item)
{
    struct deed *deed = ph_container_of(item, struct deed, item);
    struct sim_instance *instance = deed->instance;
    if (!instance->ended && !instance->like_process &&
        instance->node->paused_until_us > sim->now_us) {
        sim_at(sim, instance->node->paused_until_us, item);
        return;
    }
    enum what what = deed->what;
    ph_free(deed);
    if (!instance->ended)
        do_deed(instance, what);
}

void sim_children_end(struct sim_hub *hub)
{
    for (struct sim_instance *at = hub->node->sim->instances; at; at = at->next) {
        if (at->hub != hub)
            continue;
        at->ended_us = at->ended ? at->ended_us : at->node->sim->now_us;
        at->ended = true;
        at->hub = NULL;
    }
}

/* ---- The exec port -------------------------------------------------------------------------- */

static struct sim_instance *make_instance(struct sim_hub *hub, struct ph_child *child,
                                          uint32_t number)
{
    struct sim *sim = hub->node->sim;
    struct tail *tail = ph_child_tail(child);
    struct sim_instance *instance = ph_alloc(sizeof *instance);
    ph_assert(!tail->now);
    instance->hub = hub;
    instance->node = hub->node;
    instance->life = hub->node->lives;
    instance->child = child;
    instance->instance = number;
    instance->id = sim_id_of(child->id);
    instance->epoch = atomic_load_explicit(&child->epoch, memory_order_relaxed);
    instance->started_us = sim->now_us;
    instance->spec = ph_spec_get(ph_spec_asked(ph_child_spec_rcu(child)));
    instance->like_process = sim_chance(&sim->children, sim->config.like_processes);
    tail->now = instance;
    instance->next = sim->instances;
    sim->instances = instance;
    sim_hash(sim, child->id, child->id_length);
    sim_hash(sim, &instance->epoch, sizeof instance->epoch);
    sim_note(sim, hub->node, "start", "%s instance %u epoch %llu", child->id, number,
             (unsigned long long)instance->epoch);
    return instance;
}

static void begin_later(struct sim_instance *instance, enum what what)
{
    struct sim *sim = instance->node->sim;
    bool fails =
        goes_wrong(sim, sim->config.start_fails, &sim->planted.starts, &sim->planted.next_start);
    later(instance, fails ? FAILS : what,
          100 + sim_exponential(&sim->children, sim->config.start_us));
}

/* From now on it acts. */
static void begin(struct sim_instance *instance)
{
    struct tail *tail = ph_child_tail(instance->child);
    instance->stands_by = false;
    instance->epoch = atomic_load_explicit(&instance->child->epoch, memory_order_relaxed);
    instance->counter = tail->loaded ? strtoull(ph_text_str(&tail->state), NULL, 10) : 0;
    instance->loaded = tail->loaded;
    tail->loaded = false;
    sim_check_start(instance);
    begin_later(instance, COMES_UP);
}

static void exec_start(void *context, struct ph_child *child, uint32_t number)
{
    begin(make_instance(context, child, number));
}

static void exec_prepare(void *context, struct ph_child *child, uint32_t number)
{
    struct sim_instance *instance = make_instance(context, child, number);
    instance->stands_by = true;
    begin_later(instance, STANDS_BY);
}

static void exec_load(void *context, struct ph_child *child, struct ph_text *state)
{
    const struct sim_hub *hub = context;
    struct tail *tail = ph_child_tail(child);
    sim_check_loaded(hub, sim_id_of(child->id), state);
    tail->loaded = true;
    ph_text_fini(&tail->state);
    tail->state = *state;
    *state = PH_TEXT_INIT;
}

static void exec_activate(void *context, struct ph_child *child, struct ph_text *state)
{
    struct tail *tail = ph_child_tail(child);
    if (state->length)
        exec_load(context, child, state);
    if (tail->now) /* else it has just ended by itself */
        begin(tail->now);
}

/* How long an end takes that was asked for: for ever, sometimes. */
static void end_later(struct sim_instance *instance, bool killed)
{
    struct sim *sim = instance->node->sim;
    bool stuck = !sim->healing && sim_chance(&sim->children, sim->config.stuck);
    sim->fault_count += stuck;
    if (!stuck)
        later(instance, ENDS, sim_exponential(&sim->children, killed ? 1000 : 20000));
    else if (killed)
        later(instance, ENDS, sim_exponential(&sim->children, 4000000));
}

static void exec_stop(void *context, struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    struct sim_hub *hub = context;
    if (!tail->now) /* it has just ended by itself, or was saved: that is not wanted any more */
        sim_mail_lost_of(hub->node->sim, sim_id_of(child->id));
    if (!tail->now || tail->now->stopping)
        return;
    tail->now->stopping = true;
    sim_check_unsaved(tail->now);
    end_later(tail->now, false);
}

static void exec_kill(void *context, struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    (void)context;
    if (!tail->now || tail->now->killed)
        return;
    tail->now->stopping = true;
    tail->now->killed = true;
    sim_check_unsaved(tail->now);
    end_later(tail->now, true);
}

static void exec_copy(void *context, struct ph_child *child, uint64_t from, struct ph_text *room)
{
    struct tail *tail = ph_child_tail(child);
    (void)context;
    ph_text_fini(room);
    tail->copy_from = from;
    if (!tail->now)
        return; /* it has just ended by itself */
    tail->now->saving = true;
    later(tail->now, SAVES, work_us(tail->now->node->sim));
}

static void exec_save(void *context, struct ph_child *child)
{
    struct ph_text room = PH_TEXT_INIT;
    exec_copy(context, child, UINT64_MAX, &room);
}

static void exec_merge(void *context, struct ph_child *child, struct ph_legacy *legacy)
{
    struct tail *tail = ph_child_tail(child);
    (void)context;
    ph_legacy_put(tail->legacy);
    tail->legacy = ph_legacy_get(legacy);
    if (tail->now)
        later(tail->now, MERGES, work_us(tail->now->node->sim));
}

static void exec_forward(void *context, struct ph_child *child, struct ph_queue *into)
{
    struct tail *tail = ph_child_tail(child);
    (void)context;
    ph_queue_take_all(&tail->unread, into);
}

static int exec_signal(void *context, struct ph_child *child, int number)
{
    (void)context;
    (void)child;
    (void)number;
    return 0;
}

static void exec_hook(void *context, const struct ph_hook_request *request)
{
    (void)context;
    ph_spec_put(request->alter);
}

/* The end of a lease, for instances that are like processes: their keeper ends them by itself, also
 * when the node is paused. */
struct lease {
    struct sim_item item; /* first */
    struct sim_node *node;
    uint64_t generation;
};

static void end_lease(struct sim *sim, struct sim_item *item)
{
    struct lease *lease = ph_container_of(item, struct lease, item);
    struct sim_hub *hub = lease->node->hub;
    if (!hub || hub->generation != lease->generation) {
        ph_free(lease);
        return;
    }
    if (hub->lease_ms > sim_local_ms(hub->node)) {
        hub->lease_watched = hub->lease_ms != UINT64_MAX;
        if (hub->lease_watched)
            sim_at(sim, sim_when(hub->node, hub->lease_ms), item);
        else
            ph_free(lease);
        return;
    }
    hub->lease_watched = false;
    ph_free(lease);
    for (struct sim_instance *at = sim->instances; at; at = at->next)
        if (at->hub == hub && at->like_process && !at->ended)
            end(at, make_exit(PH_EXIT_SIGNAL, 9, ""), NULL);
}

static void exec_lease(void *context, uint64_t until_ms)
{
    struct sim_hub *hub = context;
    hub->lease_ms = until_ms;
    if (hub->lease_watched || until_ms == UINT64_MAX)
        return;
    struct lease *lease = ph_alloc(sizeof *lease);
    lease->item.act = end_lease;
    lease->node = hub->node;
    lease->generation = hub->generation;
    hub->lease_watched = true;
    sim_at(hub->node->sim, sim_when(hub->node, until_ms), &lease->item);
}

const struct ph_exec_port sim_exec_port = {
    .start = exec_start,
    .load = exec_load,
    .prepare = exec_prepare,
    .activate = exec_activate,
    .stop = exec_stop,
    .save = exec_save,
    .copy = exec_copy,
    .merge = exec_merge,
    .forward = exec_forward,
    .kill = exec_kill,
    .signal = exec_signal,
    .lease = exec_lease,
    .hook = exec_hook,
};

/* ---- The kind ------------------------------------------------------------------------------- */

static void kind_init(struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    ph_queue_init(&tail->unread);
}

static void kind_fini(struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    struct ph_queue_node *node;
    while (ph_queue_pop(&tail->unread, &node) == PH_QUEUE_OK)
        ph_message_box_destroy(ph_container_of(node, struct ph_message_box, link), PH_EGONE,
                               "the child is gone");
    ph_legacy_put(tail->legacy);
    ph_text_fini(&tail->state);
    ph_child_free(child);
}

static void kind_resume(struct ph_child *child)
{
    struct tail *tail = ph_child_tail(child);
    if (tail->now)
        handle_next(tail->now);
}

static int kind_deliver(struct ph_child *child, struct ph_message_box *box)
{
    struct tail *tail = ph_child_tail(child);
    ph_queue_push(&tail->unread, &box->link);
    if (tail->now)
        handle_next(tail->now);
    return 0;
}

static void kind_inspect(const struct ph_child *child, struct ph_child_info *info)
{
    (void)child;
    (void)info;
}

static bool kind_can_prepare(const struct ph_spec *spec)
{
    (void)spec;
    return true;
}

const struct ph_kind sim_kind = {
    .name = "simulated",
    .child_bytes = sizeof(struct tail),
    .init = kind_init,
    .fini = kind_fini,
    .can_prepare = kind_can_prepare,
    .resume = kind_resume,
    .deliver = kind_deliver,
    .inspect = kind_inspect,
};

const struct ph_kind *sim_kind_of(const struct ph_spec *spec)
{
    (void)spec;
    return &sim_kind;
}
