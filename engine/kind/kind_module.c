/*
 * Module children: actors whose state is a module's.
 *
 * The actor lives as long as its child, over all instances, so a restarted child keeps its unread
 * mail. The hub asks by control bits (never more than one start and one stop are outstanding); the
 * actor answers with ph_kind_up and ph_kind_down. Everything of group 2 belongs to the actor's run.
 *
 * What passes from the hub to the run and back needs no lock: from a `start` to its down it is the
 * run's (the start bit is a release, the down an event), else the hub's. A run that finds no
 * instance touches neither the mail nor the state to load.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/legacy.h"
#include "engine/node.h"
#include "engine/op.h"
#include "engine/spec.h"

/* START (with STANDBY: prepare), STOP, SAVE, COPY, ACTIVATE, MERGE: what the hub asks for. LIVE:
 * there is an instance whose end was not reported yet. */
enum {
    CONTROL_START = 1,
    CONTROL_STOP = 2,
    CONTROL_LIVE = 4,
    CONTROL_SAVE = 8,
    CONTROL_STANDBY = 16,
    CONTROL_ACTIVATE = 32,
    CONTROL_MERGE = 64,
    CONTROL_COPY = 128,
};

enum { FORWARD_TRIES = 1000 }; /* while a sender is half-way into the mailbox */

/* Timers of an instance that uses some. */
struct timers {
    struct alarm_slot {
        struct ph_timers_alarm alarm;
        struct timers *timers;
    } slots[PH_MODULE_TIMERS_MAX];
    struct module_child *self;
    atomic_uint fired; /* bit per timer */
};

struct module_child {
    struct ph_actor actor;
    /* 1. Any thread. */
    struct ph_queue mail;
    atomic_uint queued;
    atomic_uint control;
    _Atomic uint64_t handled;           /* by the present or last instance; its run writes */
    _Atomic(struct ph_legacy *) legacy; /* to join, for CONTROL_MERGE; referenced */
    /* 2. The actor's run. */
    struct ph_child *child;
    const struct ph_module *module; /* NULL while there is no instance */
    void *state;
    struct timers *timers;
    bool stands_by;
    /* 3. The hub's actor while there is no instance or it stands by, the run's when one begins or
     * goes to work. */
    struct ph_text *load; /* what it begins with, or NULL */
    /* 4. For CONTROL_COPY: the run's from the demand to its answer, else the hub's. */
    struct copy_demand *copy; /* or NULL */
};

/* Few children have one: it is beside them. */
struct copy_demand {
    uint64_t from;
    struct ph_text room;
};

/* What the functions of a module get: lives during one call of one of them. */
struct ph_context {
    struct module_child *self;
    struct ph_message_box *call; /* being handled, or NULL */
    bool replied;
    char why[200];
    struct ph_text *saved; /* in `save`: what it wrote */
    bool overflow;         /* it wrote more than fits */
};

static struct ph_node *node_of(const struct module_child *self)
{
    return self->child->hub->node;
}

/* ---- One instance ---------------------------------------------------------------------------- */

static uint32_t instance_of(const struct module_child *self)
{
    return atomic_load_explicit(&self->child->instance, memory_order_relaxed);
}

static void drop_timers(struct module_child *self)
{
    if (!self->timers)
        return;
    for (unsigned i = 0; i < PH_MODULE_TIMERS_MAX; i++)
        ph_timers_cancel(node_of(self)->timers, &self->timers->slots[i].alarm);
    ph_free(self->timers);
    self->timers = NULL;
}

static void drop_load(struct module_child *self)
{
    if (!self->load)
        return;
    ph_text_fini(self->load);
    ph_free(self->load);
    self->load = NULL;
}

static void forget_live(struct module_child *self)
{
    /* Release: whoever still sees LIVE in a read section finds the hub there; see slow. */
    atomic_fetch_and_explicit(&self->control, ~(unsigned)CONTROL_LIVE, memory_order_release);
}

/* The last word about an instance: its hub may be gone right afterwards. */
static void report_down(struct module_child *self, const struct ph_exit *exit)
{
    struct ph_text unused = self->load ? *self->load : PH_TEXT_INIT;
    ph_free(self->load);
    self->load = NULL;
    forget_live(self);
    ph_kind_down(self->child, instance_of(self), exit, &unused);
}

/* What a module's function that failed says of it. Returns its code, as one of a failure. */
static int explain(struct ph_exit *exit, const struct ph_context *context,
                   const struct ph_module *module, const char *function, int rc)
{
    exit->value = rc < 0 ? rc : PH_EFAILED;
    snprintf(exit->text, sizeof exit->text, "module %.64s: %s failed: %.110s", module->name,
             function, context->why[0] ? context->why : ph_error_text(exit->value));
    return exit->value;
}

static void free_state(struct module_child *self, const struct ph_module *module)
{
    struct ph_context context = {.self = self};
    drop_timers(self);
    if (module->terminate)
        module->terminate(&context, self->state);
    drop_timers(self); /* terminate may have set one */
    self->state = NULL;
}

/* A fresh state takes over what another instance saved. */
static int load(struct module_child *self, const struct ph_module *module, struct ph_exit *exit)
{
    struct ph_context context = {.self = self};
    int rc = PH_EUNSUPPORTED;
    if (!self->load || (!module->load && !self->load->length))
        return 0;
    if (module->load)
        rc = module->load(&context, self->state, ph_text_str(self->load), self->load->length);
    else
        ph_fail(&context, "it cannot load the %zu bytes that it comes with", self->load->length);
    return rc ? explain(exit, &context, module, "load", rc) : 0;
}

static int make_state(struct module_child *self, const struct ph_module *module, const char *args,
                      struct ph_exit *exit)
{
    struct ph_context context = {.self = self};
    int rc = module->init(&context, args, &self->state);
    if (rc) {
        drop_timers(self);
        return explain(exit, &context, module, "init", rc);
    }
    return 0;
}

/* Ends the instance; the hub learns how. */
static void end(struct module_child *self, const struct ph_exit *exit)
{
    drop_load(self); /* of one that stood by */
    free_state(self, self->module);
    self->module = NULL;
    report_down(self, exit);
}

static void tell_role(struct module_child *self, bool active)
{
    struct ph_context context = {.self = self};
    if (self->module->role)
        self->module->role(&context, self->state, active);
}

/* The instance goes to work, unless it cannot load what it comes with. */
static void activate(struct module_child *self)
{
    struct ph_exit exit = {.how = PH_EXIT_EXEC};
    int rc = load(self, self->module, &exit);
    drop_load(self);
    if (rc) {
        end(self, &exit);
        return;
    }
    self->stands_by = false;
    tell_role(self, true);
    ph_kind_up(self->child, instance_of(self));
}

static void begin(struct module_child *self, bool stands_by)
{
    atomic_store_explicit(&self->handled, 0, memory_order_relaxed);
    atomic_fetch_or_explicit(&self->control, CONTROL_LIVE, memory_order_relaxed);
    struct ph_exit exit = {.how = PH_EXIT_EXEC};
    struct ph_error error = {0};
    const struct ph_module *module;
    ph_rcu_enter();
    struct ph_spec *spec = ph_spec_get(ph_child_spec_rcu(self->child));
    ph_rcu_exit();
    int rc = ph_modules_find(node_of(self)->modules, spec->module, &module, &error);
    exit.value = rc;
    if (rc == 0)
        rc = make_state(self, module, spec->args ? spec->args : "", &exit);
    else
        snprintf(exit.text, sizeof exit.text, "%.190s", error.text);
    ph_spec_put(spec);
    if (rc) { /* the state that it was to load goes back */
        report_down(self, &exit);
        return;
    }
    self->module = module;
    self->stands_by = stands_by;
    if (!stands_by) {
        activate(self);
        return;
    }
    tell_role(self, false);
    ph_kind_prepared(self->child, instance_of(self));
}

static struct ph_sums sum_up(const struct ph_text *state)
{
    struct ph_sums sums;
    ph_sums_init(&sums, state->length);
    ph_sums_read(&sums, ph_text_str(state), 0, state->length);
    return sums;
}

/* Ends the instance and hands out its state; if that cannot be had, or is that large, it goes on.
 * `state`: where to write it. */
static void save(struct module_child *self, uint64_t copy_from, struct ph_text state)
{
    struct ph_sums sums = {0};
    bool sum = state.data;
    struct ph_context context = {.self = self, .saved = &state};
    struct ph_exit exit = {0};
    int rc = self->module->save ? self->module->save(&context, self->state) : 0;
    if (context.overflow) {
        ph_fail(&context, "the state is larger than %d bytes", PH_STATE_BYTES_MAX);
        rc = PH_ELIMIT;
    }
    if (rc) {
        explain(&exit, &context, self->module, "save", rc);
        ph_text_fini(&state);
        ph_kind_not_saved(self->child, instance_of(self), exit.text);
        return;
    }
    if (state.length >= copy_from) {
        ph_kind_copied(self->child, instance_of(self), &state);
        return;
    }
    if (sum)
        sums = sum_up(&state);
    free_state(self, self->module);
    self->module = NULL;
    forget_live(self);
    ph_kind_down_saved(self->child, instance_of(self), &state, &sums);
}

static void drop_copy(struct module_child *self)
{
    if (self->copy)
        ph_text_fini(&self->copy->room);
    ph_free(self->copy);
    self->copy = NULL;
}

static void copy(struct module_child *self)
{
    struct copy_demand demand = *self->copy;
    ph_free(self->copy);
    self->copy = NULL;
    if (self->module)
        save(self, demand.from, demand.room);
    else
        ph_text_fini(&demand.room);
}

/* Another instance's state is joined into this one's, or left to the hub. */
static void merge(struct module_child *self)
{
    struct ph_legacy *legacy = atomic_exchange_explicit(&self->legacy, NULL, memory_order_acquire);
    struct ph_context context = {.self = self};
    struct ph_exit exit = {0};
    int rc = PH_EUNSUPPORTED;
    if (!legacy)
        return;
    const struct ph_merge_info info = {
        .from = legacy->from,
        .ran_ms = legacy->stays_ms,
        .other_ran_ms = legacy->ran_ms,
        .updates = atomic_load_explicit(&self->handled, memory_order_relaxed),
        .other_updates = legacy->updates,
    };
    if (self->module->merge)
        rc = self->module->merge(&context, self->state, legacy->state, legacy->length, &info);
    ph_legacy_put(legacy);
    if (rc == PH_EUNSUPPORTED)
        snprintf(exit.text, sizeof exit.text, "module %.64s does not merge states%s%.100s",
                 self->module->name, context.why[0] ? ": " : "", context.why);
    else if (rc)
        rc = explain(&exit, &context, self->module, "merge", rc);
    ph_kind_merged(self->child, instance_of(self), rc, exit.text);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void end_by(struct ph_context *context, int rc)
{
    struct ph_exit exit = {.how = PH_EXIT_FAILED, .value = rc};
    if (rc == PH_HANDLER_STOP)
        exit = (struct ph_exit){.how = PH_EXIT_CODE};
    else if (context->why[0])
        snprintf(exit.text, sizeof exit.text, "%s", context->why);
    else if (rc < 0)
        snprintf(exit.text, sizeof exit.text, "handler returned %d (%s)", rc, ph_error_text(rc));
    else
        snprintf(exit.text, sizeof exit.text, "handler returned %d, which is no code", rc);
    end(context->self, &exit);
}

/* What a handler's return value means: true while the instance goes on. */
static bool judge(struct ph_context *context, int rc)
{
    if (rc != PH_HANDLER_OK)
        end_by(context, rc);
    return rc == PH_HANDLER_OK;
}

/* Once per message, so `why` is not cleared as a whole. */
static void init_context(struct ph_context *context, struct module_child *self,
                         struct ph_message_box *call)
{
    context->self = self;
    context->call = call;
    context->replied = false;
    context->why[0] = '\0';
    context->saved = NULL;
    context->overflow = false;
}

static bool handle(struct module_child *self, struct ph_message_box *box)
{
    struct ph_context context;
    init_context(&context, self, box->op ? box : NULL);
    const struct ph_message message = {
        .type = box->type,
        .data = box->data,
        .length = box->length,
    };
    /* Relaxed: one writer, and readers want no more than the number. */
    atomic_store_explicit(&self->handled,
                          atomic_load_explicit(&self->handled, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    int rc = self->module->handle(&context, self->state, &message);
    if (context.call && !context.replied) {
        ph_op_complete(box->op, PH_EFAILED,
                       rc < 0 ? "the child failed while it handled the call" : "it gave no reply");
        box->op = NULL;
    }
    ph_message_box_destroy(box, 0, NULL);
    return judge(&context, rc);
}

/* Is it time to hold still? Relaxed: the moment counts, not what else the hub wrote. */
static bool lease_is_over(const struct module_child *self)
{
    return ph_now_ms() >=
           atomic_load_explicit(&self->child->hub->lease_until_ms, memory_order_relaxed);
}

/* `leased`: look at the lease before each. False: the instance ended, or holds still. */
static bool handle_timers(struct module_child *self, bool leased)
{
    if (!self->timers)
        return true;
    unsigned due = atomic_load_explicit(&self->timers->fired, memory_order_relaxed);
    for (; due; due &= due - 1) {
        int number = __builtin_ctz(due);
        if (leased && lease_is_over(self))
            return false;
        /* Acquire: what was set with the timer is seen by its handler. A handler before it may have
         * disarmed this one. */
        if (!(atomic_fetch_and_explicit(&self->timers->fired, ~(1u << number),
                                        memory_order_acq_rel) &
              1u << number))
            continue;
        struct ph_context context = {.self = self};
        const struct ph_message message = {
            .type = PH_MESSAGE_TIMER,
            .timer = number,
            .data = "",
        };
        if (!judge(&context, self->module->handle(&context, self->state, &message)))
            return false;
    }
    return true;
}

static void obey(struct module_child *self)
{
    unsigned control =
        atomic_fetch_and_explicit(&self->control, (unsigned)CONTROL_LIVE, memory_order_acq_rel);
    switch (control & (CONTROL_START | CONTROL_STOP)) {
    case CONTROL_START:
        begin(self, control & CONTROL_STANDBY);
        break;
    case CONTROL_STOP:
        if (self->module)
            end(self, NULL);
        break;
    case CONTROL_START | CONTROL_STOP:
        drop_load(self);
        report_down(self, NULL);
        break;
    default:
        break;
    }
    if (control & CONTROL_ACTIVATE && self->module) /* a stop has won already */
        activate(self);
    if (control & CONTROL_MERGE && self->module)
        merge(self);
    if (control & CONTROL_SAVE && self->module)
        save(self, UINT64_MAX, PH_TEXT_INIT);
    if (control & CONTROL_COPY)
        copy(self);
}

static bool run(struct ph_actor *actor)
{
    struct module_child *self = ph_container_of(actor, struct module_child, actor);
    struct ph_queue_node *node;
    obey(self);
    if (!self->module || self->stands_by)
        return false; /* unread mail waits for the next instance, or for its time */
    /* Most hubs need no lease: then no clock is read. One that is granted for the first time counts
     * from the next batch on. */
    bool leased =
        atomic_load_explicit(&self->child->hub->lease_until_ms, memory_order_relaxed) != UINT64_MAX;
    if (!handle_timers(self, leased))
        return false;
    for (unsigned i = 0; i < PH_ACTOR_BATCH; i++) {
        if (leased && lease_is_over(self))
            return false; /* until it is resumed */
        if (ph_queue_pop(&self->mail, &node) != PH_QUEUE_OK)
            break;
        atomic_fetch_sub_explicit(&self->queued, 1, memory_order_relaxed);
        if (!handle(self, ph_container_of(node, struct ph_message_box, link)))
            return false;
    }
    return !ph_queue_is_empty(&self->mail);
}

/* Nobody can reach the child any more: its unread mail goes back, its memory too. */
static void dead(struct ph_actor *actor)
{
    struct module_child *self = ph_container_of(actor, struct module_child, actor);
    struct ph_queue_node *node;
    while (ph_queue_pop(&self->mail, &node) == PH_QUEUE_OK)
        ph_message_box_destroy(ph_container_of(node, struct ph_message_box, link), PH_EGONE,
                               "the child was stopped before it read the message");
    drop_load(self);
    drop_copy(self);
    ph_legacy_put(atomic_load_explicit(&self->legacy, memory_order_relaxed));
    ph_child_free(self->child);
}

static void slow(struct ph_actor *actor, uint64_t ms)
{
    struct module_child *self = ph_container_of(actor, struct module_child, actor);
    char text[96];
    snprintf(text, sizeof text, "a handler has been running for %llu ms; a spare worker stepped in",
             (unsigned long long)ms);
    /* On the watchdog's thread: the hub lives as long as the instance, and as this section. */
    ph_rcu_enter();
    if (atomic_load_explicit(&self->control, memory_order_acquire) & CONTROL_LIVE)
        ph_kind_note(self->child, "handler_slow", text);
    ph_rcu_exit();
}

static const struct ph_actor_class actor_class = {
    .lane = PH_LANE_USER,
    .run = run,
    .dead = dead,
    .slow = slow,
};

/* ---- The kind -------------------------------------------------------------------------------- */

static int kind_check(struct ph_node *node, const struct ph_spec *spec, struct ph_error *error)
{
    const struct ph_module *module;
    return ph_modules_find(node->modules, spec->module, &module, error);
}

static void kind_init(struct ph_child *child)
{
    struct module_child *self = ph_child_tail(child);
    ph_actor_init(&self->actor, &actor_class);
    ph_queue_init(&self->mail);
    self->child = child;
}

static void wake(struct module_child *self)
{
    ph_sched_wake(node_of(self)->sched, &self->actor);
}

static void kind_fini(struct ph_child *child)
{
    struct module_child *self = ph_child_tail(child);
    ph_sched_kill(node_of(self)->sched, &self->actor);
}

static void start(struct ph_child *child, unsigned how)
{
    struct module_child *self = ph_child_tail(child);
    /* A stop that crossed the end of the instance before is forgotten. Release: the run that takes
     * the bit sees the instance that the hub set before. */
    atomic_store_explicit(&self->control, CONTROL_START | how, memory_order_release);
    wake(self);
}

static void kind_start(struct ph_child *child, uint32_t instance)
{
    (void)instance;
    start(child, 0);
}

static bool kind_can_prepare(const struct ph_spec *spec)
{
    (void)spec;
    return true;
}

static void kind_prepare(struct ph_child *child, uint32_t instance)
{
    (void)instance;
    start(child, CONTROL_STANDBY);
}

static void kind_load(struct ph_child *child, struct ph_text *state)
{
    struct module_child *self = ph_child_tail(child);
    drop_load(self);
    self->load = ph_alloc(sizeof *self->load);
    *self->load = *state;
    *state = PH_TEXT_INIT;
}

static void demand(struct ph_child *child, unsigned what)
{
    struct module_child *self = ph_child_tail(child);
    /* Pairs with the acquire in obey. */
    atomic_fetch_or_explicit(&self->control, what, memory_order_acq_rel);
    wake(self);
}

static void kind_activate(struct ph_child *child, struct ph_text *state)
{
    if (state->length)
        kind_load(child, state);
    demand(child, CONTROL_ACTIVATE);
}

static void kind_stop(struct ph_child *child)
{
    demand(child, CONTROL_STOP);
}

static void kind_save(struct ph_child *child)
{
    demand(child, CONTROL_SAVE);
}

static void kind_copy(struct ph_child *child, uint64_t from, struct ph_text *room)
{
    struct module_child *self = ph_child_tail(child);
    drop_copy(self); /* of one that an instance before did not get to */
    self->copy = ph_alloc(sizeof *self->copy);
    *self->copy = (struct copy_demand){.from = from, .room = *room};
    *room = PH_TEXT_INIT;
    demand(child, CONTROL_COPY);
}

static void kind_merge(struct ph_child *child, struct ph_legacy *legacy)
{
    struct module_child *self = ph_child_tail(child);
    /* One that an instance before was to join, and did not get to. Release: pairs with merge. */
    ph_legacy_put(
        atomic_exchange_explicit(&self->legacy, ph_legacy_get(legacy), memory_order_acq_rel));
    demand(child, CONTROL_MERGE);
}

/* The hub is the consumer here: there is no instance, so no run reads mail. */
static void kind_forward(struct ph_child *child, struct ph_queue *into)
{
    struct module_child *self = ph_child_tail(child);
    struct ph_queue_node *node;
    enum ph_queue_result result;
    unsigned tries = 0;
    while ((result = ph_queue_pop(&self->mail, &node)) != PH_QUEUE_EMPTY) {
        if (result == PH_QUEUE_OK) {
            atomic_fetch_sub_explicit(&self->queued, 1, memory_order_relaxed);
            ph_queue_push(into, node);
        } else if (++tries == FORWARD_TRIES) {
            break; /* its sender has no processor: the hub does not wait for it */
        } else {
            sched_yield();
        }
    }
}

static void kind_resume(struct ph_child *child)
{
    wake(ph_child_tail(child));
}

static int kind_signal(struct ph_child *child, int signal_number)
{
    (void)child;
    (void)signal_number;
    return PH_EUNSUPPORTED;
}

static int kind_deliver(struct ph_child *child, struct ph_message_box *box)
{
    struct module_child *self = ph_child_tail(child);
    if (atomic_fetch_add_explicit(&self->queued, 1, memory_order_relaxed) >= PH_MAILBOX_MAX) {
        atomic_fetch_sub_explicit(&self->queued, 1, memory_order_relaxed);
        return PH_ELIMIT;
    }
    ph_queue_push(&self->mail, &box->link);
    wake(self);
    return 0;
}

static void kind_inspect(const struct ph_child *child, struct ph_child_info *info)
{
    struct module_child *self = ph_child_tail(child);
    info->handled = atomic_load_explicit(&self->handled, memory_order_relaxed);
    info->queue = atomic_load_explicit(&self->queued, memory_order_relaxed);
}

const struct ph_kind ph_kind_module = {
    .name = "module",
    .child_bytes = sizeof(struct module_child),
    .check = kind_check,
    .init = kind_init,
    .fini = kind_fini,
    .start = kind_start,
    .load = kind_load,
    .can_prepare = kind_can_prepare,
    .prepare = kind_prepare,
    .activate = kind_activate,
    .stop = kind_stop,
    .save = kind_save,
    .copy = kind_copy,
    .merge = kind_merge,
    .forward = kind_forward,
    .kill = kind_stop, /* a thread cannot be killed: it ends when its handler returns */
    .resume = kind_resume,
    .signal = kind_signal,
    .deliver = kind_deliver,
    .inspect = kind_inspect,
};

/* ---- For handlers ---------------------------------------------------------------------------- */

const char *ph_self(const struct ph_context *context)
{
    return context->self->child->id;
}

static bool wants_answer(const struct ph_context *context)
{
    return context->call && !context->replied;
}

static void answer(struct ph_context *context, int code, const char *text, const void *data,
                   size_t length)
{
    if (!wants_answer(context))
        return;
    struct ph_op *op = context->call->op;
    context->call->op = NULL;
    context->replied = true;
    ph_op_set_reply(op, data, length);
    ph_op_complete(op, code, text);
}

void ph_reply(struct ph_context *context, const void *data, size_t length)
{
    answer(context, 0, NULL, data, length);
}

void ph_replyf(struct ph_context *context, const char *format, ...)
{
    if (!wants_answer(context))
        return; /* most messages are casts: do not even format it */
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    answer(context, 0, NULL, text, strlen(text));
}

void ph_reply_error(struct ph_context *context, const char *format, ...)
{
    if (!wants_answer(context))
        return; /* most messages are casts: do not even format it */
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    answer(context, PH_EFAILED, text, "", 0);
}

void ph_fail(struct ph_context *context, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(context->why, sizeof context->why, format, args);
    va_end(args);
}

int ph_cast(struct ph_context *context, const char *id, const void *data, size_t length)
{
    return ph_send(context->self->child->hub, id, data, length);
}

void ph_save(struct ph_context *context, const void *data, size_t length)
{
    if (!context->saved || context->overflow)
        return;
    context->overflow = length > PH_STATE_BYTES_MAX - context->saved->length;
    if (!context->overflow)
        ph_text_append(context->saved, data, length);
}

static void fire(struct ph_timers_alarm *alarm)
{
    struct alarm_slot *slot = ph_container_of(alarm, struct alarm_slot, alarm);
    struct timers *timers = slot->timers;
    unsigned bit = 1u << (slot - timers->slots);
    atomic_fetch_or_explicit(&timers->fired, bit, memory_order_acq_rel);
    wake(timers->self);
}

static struct timers *make_timers(struct module_child *self)
{
    struct timers *timers = ph_alloc(sizeof *timers);
    timers->self = self;
    for (unsigned i = 0; i < PH_MODULE_TIMERS_MAX; i++) {
        timers->slots[i].timers = timers;
        timers->slots[i].alarm.fire = fire;
    }
    return timers;
}

int ph_timer(struct ph_context *context, int number, uint64_t delay_ms)
{
    struct module_child *self = context->self;
    if (number < 0 || number >= PH_MODULE_TIMERS_MAX)
        return PH_EUSAGE;
    if (!self->timers)
        self->timers = make_timers(self);
    struct ph_timers_alarm *alarm = &self->timers->slots[number].alarm;
    ph_timers_cancel(node_of(self)->timers, alarm);
    /* What fired before is void now; relaxed: nothing is read because of it. */
    atomic_fetch_and_explicit(&self->timers->fired, ~(1u << number), memory_order_relaxed);
    if (delay_ms != UINT64_MAX)
        ph_timers_set(node_of(self)->timers, alarm, ph_now_ms() + delay_ms);
    return 0;
}
