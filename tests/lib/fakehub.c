#include "tests/lib/fakehub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"

static const struct ph_error no_error;

/* ---- Recording ----------------------------------------------------------------------------- */

/* Makes room for one more element. */
static void *grow(void *array, size_t count, size_t *capacity, size_t bytes)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 64;
    return ph_realloc(array, *capacity * bytes);
}

/* FNV-1a, 64 bits. */
static void mix(struct fake_hub *fake, const void *bytes, size_t length)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < length; i++)
        fake->hash = (fake->hash ^ byte[i]) * UINT64_C(0x100000001b3);
}

static void mix_text(struct fake_hub *fake, const char *text)
{
    mix(fake, text, strlen(text) + 1);
}

static struct fake_call *add_call(struct fake_hub *fake, enum fake_verb verb, const char *id,
                                  uint64_t number)
{
    mix(fake, &verb, sizeof verb);
    mix_text(fake, id);
    mix(fake, &number, sizeof number);
    fake->calls = grow(fake->calls, fake->call_count, &fake->call_capacity, sizeof *fake->calls);
    struct fake_call *call = &fake->calls[fake->call_count++];
    *call = (struct fake_call){.verb = verb, .number = number};
    snprintf(call->id, sizeof call->id, "%s", id);
    return call;
}

static void port_start(void *context, struct ph_child *child, uint32_t instance)
{
    add_call(context, FAKE_START, child->id, 0)->instance = instance;
}

static void port_stop(void *context, struct ph_child *child)
{
    add_call(context, FAKE_STOP, child->id, 0);
}

static void port_load(void *context, struct ph_child *child, struct ph_text *state)
{
    add_call(context, FAKE_LOAD, child->id, state->length);
    ph_text_fini(state);
}

static void port_prepare(void *context, struct ph_child *child, uint32_t instance)
{
    add_call(context, FAKE_PREPARE, child->id, instance);
}

static void port_activate(void *context, struct ph_child *child, struct ph_text *state)
{
    add_call(context, FAKE_ACTIVATE, child->id, state->length);
    ph_text_fini(state);
}

static void port_save(void *context, struct ph_child *child)
{
    add_call(context, FAKE_SAVE, child->id, 0);
}

static void port_copy(void *context, struct ph_child *child, uint64_t from, struct ph_text *room)
{
    ph_text_fini(room);
    add_call(context, FAKE_COPY, child->id, from);
}

static void port_merge(void *context, struct ph_child *child, struct ph_legacy *legacy)
{
    (void)legacy;
    add_call(context, FAKE_MERGE, child->id, 0);
}

static void port_forward(void *context, struct ph_child *child, struct ph_queue *into)
{
    (void)context;
    (void)child;
    (void)into;
}

static void port_kill(void *context, struct ph_child *child)
{
    add_call(context, FAKE_KILL, child->id, 0);
}

static int port_signal(void *context, struct ph_child *child, int number)
{
    struct fake_hub *fake = context;
    add_call(fake, FAKE_SIGNAL, child->id, (uint64_t)number);
    return fake->signal_answer;
}

static void port_lease(void *context, uint64_t until_ms)
{
    ((struct fake_hub *)context)->lease_until_ms = until_ms;
}

static void port_hook(void *context, const struct ph_hook_request *request)
{
    struct fake_call *call = add_call(context, FAKE_HOOK, request->hook, request->handler);
    snprintf(call->text, sizeof call->text, "%s", request->fields);
    call->alter = request->alter;
}

static const struct ph_exec_port exec_port = {
    .start = port_start,
    .load = port_load,
    .prepare = port_prepare,
    .activate = port_activate,
    .stop = port_stop,
    .save = port_save,
    .copy = port_copy,
    .merge = port_merge,
    .forward = port_forward,
    .kill = port_kill,
    .signal = port_signal,
    .lease = port_lease,
    .hook = port_hook,
};

static void port_submit(void *context, enum ph_work work, uint64_t amount)
{
    struct fake_hub *fake = context;
    (void)work;
    add_call(fake, FAKE_GROW, "", amount);
    fake->grow_to = amount;
}

static const struct ph_work_port work_port = {.submit = port_submit};

static void port_send(void *context, uint64_t peer, enum ph_link_class class, struct ph_text *frame)
{
    (void)class;
    add_call(context, FAKE_LINK, "", peer);
    ph_text_fini(frame);
}

static uint64_t port_room(void *context, uint64_t peer)
{
    (void)context;
    (void)peer;
    return UINT64_MAX;
}

static void port_reset(void *context, uint64_t peer)
{
    (void)context;
    (void)peer;
}

static const struct ph_link_port link_port = {
    .send = port_send,
    .room = port_room,
    .reset = port_reset,
};

static void port_record(void *context, const struct ph_record *record)
{
    struct fake_hub *fake = context;
    mix(fake, &record->seq, sizeof record->seq);
    mix(fake, &record->cause, sizeof record->cause);
    mix(fake, &record->now_ms, sizeof record->now_ms);
    mix_text(fake, record->type);
    mix_text(fake, record->id);
    mix_text(fake, record->text);
    if (fake->quiet)
        return;
    fake->records =
        grow(fake->records, fake->record_count, &fake->record_capacity, sizeof *fake->records);
    struct fake_record *copy = &fake->records[fake->record_count++];
    *copy = (struct fake_record){
        .seq = record->seq,
        .cause = record->cause,
        .now_ms = record->now_ms,
    };
    snprintf(copy->type, sizeof copy->type, "%s", record->type);
    snprintf(copy->id, sizeof copy->id, "%s", record->id);
    snprintf(copy->text, sizeof copy->text, "%s", record->text);
}

const struct ph_trace_port fake_trace_port = {.record = port_record};

/* ---- A kind that does nothing -------------------------------------------------------------- */

static void kind_nothing(struct ph_child *child)
{
    (void)child;
}

static void kind_inspect(const struct ph_child *child, struct ph_child_info *info)
{
    (void)child;
    (void)info;
}

static void kind_load(struct ph_child *child, struct ph_text *state)
{
    (void)child;
    ph_text_fini(state);
}

static void kind_forward(struct ph_child *child, struct ph_queue *into)
{
    (void)child;
    (void)into;
}

const struct ph_kind fake_kind = {
    .name = "fake",
    .init = kind_nothing,
    .fini = ph_child_free,
    .load = kind_load,
    .save = kind_nothing,
    .resume = kind_nothing,
    .forward = kind_forward,
    .inspect = kind_inspect,
};

/* ---- Life ---------------------------------------------------------------------------------- */

struct ph_hub_options fake_options(const char *words)
{
    struct ph_hub_options options;
    struct ph_error error = no_error;
    const char *texts[16];
    size_t count = 0;
    char *copy = ph_copy_text(words, strlen(words)), *rest = copy, *word;
    while ((word = strsep(&rest, " ")))
        if (*word && count < PH_COUNT_OF(texts))
            texts[count++] = word;
    if (ph_hub_options_parse(&options, texts, count, &error))
        fail_msg("hub options '%s': %s", words, error.text);
    ph_free(copy);
    return options;
}

struct fake_hub *fake_create(const char *options, uint64_t seed)
{
    struct fake_hub *fake = ph_alloc(sizeof *fake);
    fake->now_ms = 1000000;
    fake->hash = UINT64_C(0xcbf29ce484222325);
    const struct ph_hub_setup setup = {
        .name = "fake",
        .options = fake_options(options),
        .ports =
            {
                .exec = &exec_port,
                .work = &work_port,
                .link = &link_port,
                .trace = &fake_trace_port,
                .context = fake,
            },
        .registry = ph_registry_create(seed),
        .history = ph_history_create(),
        .seed = seed,
        .now_ms = fake->now_ms,
    };
    ph_hub_init(&fake->hub, &setup);
    return fake;
}

void fake_fini(struct fake_hub *fake)
{
    ph_hub_fini(&fake->hub);
    ph_registry_destroy(fake->hub.registry);
    ph_history_destroy(fake->hub.history);
    for (size_t i = 0; i < fake->call_count; i++)
        ph_spec_put(fake->calls[i].alter);
    for (size_t i = 0; i < fake->op_count; i++)
        ph_op_put(fake->ops[i]);
    ph_free(fake->calls);
    ph_free(fake->records);
    ph_free(fake->ops);
}

void fake_destroy(struct fake_hub *fake)
{
    fake_fini(fake);
    ph_free(fake);
}

/* ---- Requests ------------------------------------------------------------------------------ */

struct ph_spec *fake_spec(const char *words)
{
    struct ph_error error = no_error;
    struct ph_spec *spec = ph_spec_create();
    char *copy = ph_copy_text(words, strlen(words)), *rest = copy, *word;
    int rc = ph_spec_set(spec, "module", "fake", &error);
    while (rc == 0 && (word = strsep(&rest, " "))) {
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value = '\0';
        rc = ph_spec_set(spec, word, value + 1, &error);
    }
    ph_free(copy);
    if (rc)
        fail_msg("spec '%s': %s", words, error.text);
    return spec;
}

struct ph_ids fake_ids(const char *words)
{
    struct ph_ids ids = {0};
    struct ph_error error = no_error;
    char *copy = ph_copy_text(words, strlen(words)), *rest = copy, *word;
    while ((word = strsep(&rest, " ")))
        if (*word && ph_ids_add_range(&ids, word, &error))
            fail_msg("ids '%s': %s", words, error.text);
    ph_free(copy);
    return ids;
}

struct ph_event *fake_event(struct fake_hub *fake, enum ph_event_type type, struct ph_op **op)
{
    struct ph_event *event = ph_event_create(type);
    if (!op)
        return event;
    event->op = ph_op_create();
    *op = event->op;
    fake->ops = grow(fake->ops, fake->op_count, &fake->op_capacity, sizeof *fake->ops);
    fake->ops[fake->op_count++] = event->op;
    return event;
}

void fake_submit(struct fake_hub *fake, struct ph_event *event)
{
    ph_hub_submit(&fake->hub, event, fake->now_ms);
    ph_hub_end_batch(&fake->hub);
}

/* Submits and does what is to do now. */
static void submit_and_work(struct fake_hub *fake, struct ph_event *event)
{
    fake_submit(fake, event);
    fake_work(fake);
}

struct ph_op *fake_start_with(struct fake_hub *fake, const char *ids, const char *spec,
                              struct ph_start_options options)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_START, &op);
    event->start.ids = fake_ids(ids);
    event->start.spec = fake_spec(spec);
    event->start.kind = &fake_kind;
    event->start.options = options;
    submit_and_work(fake, event);
    return op;
}

struct ph_op *fake_start(struct fake_hub *fake, const char *ids, const char *spec)
{
    return fake_start_with(fake, ids, spec, (struct ph_start_options){0});
}

static struct ph_op *target(struct fake_hub *fake, enum ph_event_type type, const char *ids,
                            int number)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, type, &op);
    event->target.ids = fake_ids(ids);
    event->target.signal = number;
    submit_and_work(fake, event);
    return op;
}

struct ph_op *fake_stop(struct fake_hub *fake, const char *ids)
{
    return target(fake, PH_EVENT_STOP, ids, 0);
}

struct ph_op *fake_restart(struct fake_hub *fake, const char *ids)
{
    return target(fake, PH_EVENT_RESTART, ids, 0);
}

struct ph_op *fake_signal(struct fake_hub *fake, const char *ids, int number)
{
    return target(fake, PH_EVENT_SIGNAL, ids, number);
}

struct ph_op *fake_lock(struct fake_hub *fake, const char *name, uint8_t level, uint64_t for_ms)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_LOCK, &op);
    snprintf(event->lock.name, sizeof event->lock.name, "%s", name);
    event->lock.level = level;
    event->lock.for_ms = for_ms;
    submit_and_work(fake, event);
    return op;
}

struct ph_op *fake_unlock(struct fake_hub *fake, const char *name)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_UNLOCK, &op);
    snprintf(event->lock.name, sizeof event->lock.name, "%s", name);
    submit_and_work(fake, event);
    return op;
}

struct ph_op *fake_dispatch(struct fake_hub *fake, const char *name, uint8_t priority)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_DISPATCH, &op);
    snprintf(event->dispatch.name, sizeof event->dispatch.name, "%s", name);
    event->gated.priority = priority;
    submit_and_work(fake, event);
    return op;
}

static int no_function(void *arg, const struct ph_hook_call *call)
{
    (void)arg;
    (void)call;
    return 0;
}

struct ph_op *fake_hook_add(struct fake_hub *fake, const char *hook, const char *id, int priority,
                            uint64_t timeout_ms)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_HOOK_ADD, &op);
    snprintf(event->hook.hook, sizeof event->hook.hook, "%s", hook);
    snprintf(event->hook.id, sizeof event->hook.id, "%s", id);
    event->hook.priority = priority;
    event->hook.timeout_ms = timeout_ms;
    event->hook.function = no_function;
    submit_and_work(fake, event);
    return op;
}

struct ph_op *fake_hook_remove(struct fake_hub *fake, const char *id)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fake, PH_EVENT_HOOK_REMOVE, &op);
    snprintf(event->hook.id, sizeof event->hook.id, "%s", id);
    submit_and_work(fake, event);
    return op;
}

struct ph_op *fake_shutdown(struct fake_hub *fake)
{
    struct ph_op *op;
    submit_and_work(fake, fake_event(fake, PH_EVENT_SHUTDOWN, &op));
    return op;
}

int fake_code(struct ph_op *op)
{
    return ph_op_is_done(op) ? ph_op_result(op)->code : 1;
}

/* ---- Answers ------------------------------------------------------------------------------- */

static void report(struct fake_hub *fake, enum ph_event_type type, const char *id,
                   uint32_t instance, struct ph_exit *exit)
{
    struct ph_event *event = ph_event_create(type);
    event->child.child = fake_child(fake, id);
    event->child.instance = instance;
    event->child.exit = exit;
    assert_non_null(event->child.child);
    submit_and_work(fake, event);
}

static uint32_t instance_of(struct fake_hub *fake, const char *id)
{
    struct ph_child *child = fake_child(fake, id);
    assert_non_null(child);
    return atomic_load_explicit(&child->instance, memory_order_relaxed);
}

void fake_up(struct fake_hub *fake, const char *id)
{
    report(fake, PH_EVENT_CHILD_UP, id, instance_of(fake, id), NULL);
}

void fake_up_all(struct fake_hub *fake)
{
    for (; fake->answered < fake->call_count; fake->answered++) {
        const struct fake_call call = fake->calls[fake->answered];
        if (call.verb == FAKE_START && fake_state(fake, call.id) == PH_STATE_STARTING)
            report(fake, PH_EVENT_CHILD_UP, call.id, call.instance, NULL);
    }
}

void fake_down_of(struct fake_hub *fake, const char *id, uint32_t instance, enum ph_exit_how how,
                  int value)
{
    struct ph_exit *exit = ph_alloc(sizeof *exit);
    exit->how = how;
    exit->value = value;
    if (how == PH_EXIT_EXEC)
        snprintf(exit->text, sizeof exit->text, "/no/such/program: no such file");
    report(fake, PH_EVENT_CHILD_DOWN, id, instance, exit);
}

void fake_down(struct fake_hub *fake, const char *id, enum ph_exit_how how, int value)
{
    fake_down_of(fake, id, instance_of(fake, id), how, value);
}

void fake_hook_done(struct fake_hub *fake, uint64_t handler, int code, struct ph_spec *spec)
{
    struct ph_event *event = ph_event_create(PH_EVENT_HOOK_DONE);
    event->hook_done.handler = handler;
    event->hook_done.code = code;
    event->hook_done.text = code ? ph_copy_text("it broke", 8) : NULL;
    event->hook_done.spec = spec;
    submit_and_work(fake, event);
}

/* ---- Time and work ------------------------------------------------------------------------- */

/* Grows the registry's table when the hub asked for it. */
static void do_grow(struct fake_hub *fake)
{
    uint64_t buckets = fake->grow_to;
    if (!buckets)
        return;
    fake->grow_to = 0;
    ph_registry_grow(fake->hub.registry, buckets);
    fake_submit(fake, ph_event_create(PH_EVENT_WORK_DONE));
}

void fake_work(struct fake_hub *fake)
{
    do_grow(fake);
    while (ph_hub_has_work(&fake->hub, fake->now_ms)) {
        ph_hub_work(&fake->hub, fake->now_ms);
        ph_hub_end_batch(&fake->hub);
        do_grow(fake);
    }
}

void fake_advance(struct fake_hub *fake, uint64_t ms)
{
    uint64_t end_ms = fake->now_ms + ms, next_ms;
    while ((next_ms = ph_hub_next_deadline(&fake->hub)) <= end_ms) {
        if (next_ms > fake->now_ms)
            fake->now_ms = next_ms;
        fake_work(fake);
    }
    fake->now_ms = end_ms;
}

uint64_t fake_advance_next(struct fake_hub *fake)
{
    uint64_t next_ms = ph_hub_next_deadline(&fake->hub), before_ms = fake->now_ms;
    assert_int_not_equal(next_ms, PH_NEVER);
    if (next_ms > fake->now_ms)
        fake->now_ms = next_ms;
    fake_work(fake);
    return fake->now_ms - before_ms;
}

/* ---- Looking ------------------------------------------------------------------------------- */

struct ph_child *fake_child(struct fake_hub *fake, const char *id)
{
    ph_rcu_enter();
    struct ph_child *child = ph_registry_find_rcu(fake->hub.registry, id, strlen(id));
    ph_rcu_exit();
    return child;
}

int fake_state(struct fake_hub *fake, const char *id)
{
    const struct ph_child *child = fake_child(fake, id);
    return child ? (int)ph_child_state(child) : -1;
}

const struct fake_call *fake_take(struct fake_hub *fake)
{
    return fake->taken < fake->call_count ? &fake->calls[fake->taken++] : NULL;
}

const struct fake_call *fake_take_verb(struct fake_hub *fake, enum fake_verb verb)
{
    const struct fake_call *call = fake_take(fake);
    while (call && call->verb != verb)
        call = fake_take(fake);
    return call;
}

size_t fake_count_calls(const struct fake_hub *fake, enum fake_verb verb, const char *id)
{
    size_t count = 0;
    for (size_t i = 0; i < fake->call_count; i++)
        count += fake->calls[i].verb == verb && (!id || strcmp(fake->calls[i].id, id) == 0);
    return count;
}

const struct fake_record *fake_last(const struct fake_hub *fake, const char *type, const char *id)
{
    static const struct fake_record none;
    for (size_t i = fake->record_count; i > 0; i--) {
        const struct fake_record *record = &fake->records[i - 1];
        if (strcmp(record->type, type) == 0 && (!id || strcmp(record->id, id) == 0))
            return record;
    }
    return &none;
}

size_t fake_count_records(const struct fake_hub *fake, const char *type)
{
    size_t count = 0;
    for (size_t i = 0; i < fake->record_count; i++)
        count += strcmp(fake->records[i].type, type) == 0;
    return count;
}

static bool recount(void *arg, struct ph_child *child)
{
    struct ph_status *status = arg;
    status->children++;
    status->by_state[ph_child_state(child)]++;
    return true;
}

bool fake_is_consistent(struct fake_hub *fake)
{
    struct ph_status counted = {0}, said;
    ph_rcu_enter();
    ph_registry_each_rcu(fake->hub.registry, recount, &counted);
    ph_rcu_exit();
    ph_hub_picture(&fake->hub, &said);
    return said.children == counted.children &&
           memcmp(said.by_state, counted.by_state, sizeof said.by_state) == 0 &&
           ph_registry_stray_writes(fake->hub.registry) == 0;
}
