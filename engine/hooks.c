#include "engine/hooks.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/hub.h"
#include "engine/spec.h"
#include "engine/super.h"

enum { DEFAULT_TIMEOUT_MS = 5000 };

/* A call of a handler: the first of its handler's list runs, the others wait. */
struct ph_hook_call_waiting {
    struct ph_hook_call_waiting *next;
    char *fields;
    struct ph_child *child; /* of an alter call: it is starting and waits for us */
    struct ph_spec *spec;   /* … as altered so far */
};

static const char *const names[] = {
#define PH_HOOK_ROW(name, text) [name] = text,
    PH_HOOK_MAP(PH_HOOK_ROW)
#undef PH_HOOK_ROW
};

const char *ph_hook_name(enum ph_hook hook)
{
    return names[hook];
}

void ph_hooks_init(struct ph_hooks *hooks)
{
    *hooks = (struct ph_hooks){.next_number = 1};
}

static void destroy_call(struct ph_hook_call_waiting *call)
{
    ph_free(call->fields);
    ph_spec_put(call->spec);
    ph_free(call);
}

static void destroy_handler(struct ph_hook_handler *handler)
{
    while (handler->first) {
        struct ph_hook_call_waiting *next = handler->first->next;
        destroy_call(handler->first);
        handler->first = next;
    }
    ph_free(handler->exec);
    ph_free(handler);
}

void ph_hooks_fini(struct ph_hooks *hooks)
{
    while (hooks->handlers) {
        struct ph_hook_handler *next = hooks->handlers->next;
        destroy_handler(hooks->handlers);
        hooks->handlers = next;
    }
}

/* ---- The table of handlers ----------------------------------------------------------------- */

static struct ph_hook_handler *find_id(const struct ph_hooks *hooks, const char *id)
{
    struct ph_hook_handler *handler = hooks->handlers;
    while (handler && strcmp(handler->id, id) != 0)
        handler = handler->next;
    return handler;
}

static struct ph_hook_handler *find_number(const struct ph_hooks *hooks, uint64_t number)
{
    struct ph_hook_handler *handler = hooks->handlers;
    while (handler && handler->number != number)
        handler = handler->next;
    return handler;
}

static int hook_by_name(const char *name)
{
    for (int i = 0; i < PH_HOOKS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static uint32_t *interest(struct ph_hooks *hooks, const struct ph_hook_handler *handler)
{
    return handler->hook < 0 ? &hooks->custom : &hooks->interested[handler->hook];
}

/* Behind all handlers of the same or a higher priority. */
static void insert(struct ph_hooks *hooks, struct ph_hook_handler *handler)
{
    struct ph_hook_handler **link = &hooks->handlers;
    while (*link && (*link)->priority >= handler->priority)
        link = &(*link)->next;
    handler->next = *link;
    *link = handler;
    hooks->count++;
    (*interest(hooks, handler))++;
}

static void take_out(struct ph_hooks *hooks, struct ph_hook_handler *handler)
{
    struct ph_hook_handler **link = &hooks->handlers;
    while (*link != handler)
        link = &(*link)->next;
    *link = handler->next;
    hooks->count--;
}

static int check_add(const struct ph_hooks *hooks, const struct ph_event *event, const char **why)
{
    if (hooks->count >= PH_HOOKS_MAX) {
        *why = "the hub has too many hook handlers";
        return PH_ELIMIT;
    }
    if (event->hook.id[0] && find_id(hooks, event->hook.id)) {
        *why = "a hook handler of that name exists";
        return PH_EEXISTS;
    }
    return 0;
}

static void late(struct ph_hub *hub, struct ph_hub_timer *timer);

void ph_hooks_on_add(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_hooks *hooks = &hub->hooks;
    const char *why = NULL;
    int rc = check_add(hooks, event, &why);
    if (rc) {
        ph_hub_finish_op(hub, event->op, rc, why);
        event->op = NULL;
        return;
    }
    struct ph_hook_handler *handler = ph_alloc(sizeof *handler);
    handler->number = hooks->next_number++;
    handler->hook = hook_by_name(event->hook.hook);
    handler->priority = event->hook.priority;
    handler->timeout_ms = event->hook.timeout_ms ? event->hook.timeout_ms : DEFAULT_TIMEOUT_MS;
    handler->exec = event->hook.exec;
    event->hook.exec = NULL;
    handler->function = event->hook.function;
    handler->arg = event->hook.arg;
    handler->last = &handler->first;
    handler->deadline.fire = late;
    memcpy(handler->name, event->hook.hook, sizeof handler->name);
    memcpy(handler->id, event->hook.id, sizeof handler->id);
    while (!handler->id[0] || find_id(hooks, handler->id))
        snprintf(handler->id, sizeof handler->id, "hook-%llu",
                 (unsigned long long)(handler->id[0] ? ++hooks->next_number : handler->number));
    insert(hooks, handler);
    ph_hub_record(hub, "hook_added", "", 0, "%s on %s", handler->id, handler->name);
    ph_op_set_reply(event->op, handler->id, strlen(handler->id));
    ph_hub_finish_op(hub, event->op, 0, NULL);
    event->op = NULL;
}

/* ---- Calls --------------------------------------------------------------------------------- */

static void run_first(struct ph_hub *hub, struct ph_hook_handler *handler)
{
    struct ph_hook_call_waiting *call = handler->first;
    struct ph_hook_request request = {
        .handler = handler->number,
        .hook = handler->name,
        .fields = call->fields,
        .alter = call->child ? ph_spec_copy(call->spec) : NULL,
        .exec = handler->exec,
        .function = handler->function,
        .arg = handler->arg,
        .timeout_ms = handler->timeout_ms,
    };
    handler->running = true;
    handler->calls++;
    ph_wheel_add(&hub->wheel, &handler->deadline.timer, hub->now_ms + handler->timeout_ms);
    hub->ports.exec->hook(hub->ports.context, &request);
}

/* The oldest call that waits (not the one that runs) gives way. */
static void drop_oldest(struct ph_hub *hub, struct ph_hook_handler *handler)
{
    struct ph_hook_call_waiting **link = handler->running ? &handler->first->next : &handler->first;
    struct ph_hook_call_waiting *oldest = *link;
    *link = oldest->next;
    if (!*link)
        handler->last = link;
    handler->waiting--;
    handler->dropped++;
    hub->hooks.busy--;
    destroy_call(oldest);
}

static void enqueue(struct ph_hub *hub, struct ph_hook_handler *handler,
                    struct ph_hook_call_waiting *call)
{
    if (handler->waiting >= PH_HOOK_BACKLOG_MAX && !call->child)
        drop_oldest(hub, handler);
    *handler->last = call;
    handler->last = &call->next;
    handler->waiting++;
    hub->hooks.busy++;
    if (!handler->running)
        run_first(hub, handler);
}

static void call_handler(struct ph_hub *hub, struct ph_hook_handler *handler, const char *fields)
{
    struct ph_hook_call_waiting *call = ph_alloc(sizeof *call);
    call->fields = ph_copy_text(fields, strlen(fields));
    enqueue(hub, handler, call);
}

bool ph_hooks_wanted(const struct ph_hub *hub, enum ph_hook hook)
{
    return hub->hooks.interested[hook] > 0;
}

void ph_hooks_fire(struct ph_hub *hub, enum ph_hook hook, const char *fields)
{
    if (!ph_hooks_wanted(hub, hook))
        return;
    for (struct ph_hook_handler *handler = hub->hooks.handlers; handler; handler = handler->next)
        if (handler->hook == (int)hook && !handler->removing)
            call_handler(hub, handler, fields);
}

bool ph_hooks_wanted_custom(const struct ph_hub *hub)
{
    return hub->hooks.custom != 0;
}

void ph_hooks_fire_custom(struct ph_hub *hub, const char *event, const char *fields)
{
    if (!ph_hooks_wanted_custom(hub))
        return;
    for (struct ph_hook_handler *handler = hub->hooks.handlers; handler; handler = handler->next)
        if (handler->hook < 0 && !handler->removing && strcmp(handler->name, event) == 0)
            call_handler(hub, handler, fields);
}

/* ---- Altering ------------------------------------------------------------------------------ */

/* The next alter handler behind `handler` (NULL: the first of all). One that is late is passed over
 * until it answers: a stuck handler holds up no child. */
static struct ph_hook_handler *next_alter(const struct ph_hub *hub,
                                          const struct ph_hook_handler *handler)
{
    struct ph_hook_handler *next = handler ? handler->next : hub->hooks.handlers;
    while (next && (next->hook != PH_HOOK_CHILD_DATA_ALTER || next->removing || next->late))
        next = next->next;
    return next;
}

static void alter_with(struct ph_hub *hub, struct ph_hook_handler *handler, struct ph_child *child,
                       struct ph_spec *spec)
{
    struct ph_text fields = PH_TEXT_INIT;
    struct ph_text printed = PH_TEXT_INIT;
    struct ph_hook_call_waiting *call = ph_alloc(sizeof *call);
    ph_spec_print(spec, &printed);
    ph_text_put(&fields, "\"id\":");
    ph_text_json(&fields, child->id, child->id_length);
    ph_text_put(&fields, ",\"spec\":");
    ph_text_json(&fields, ph_text_str(&printed), printed.length);
    call->fields = ph_copy_text(ph_text_str(&fields), fields.length);
    call->child = child;
    call->spec = spec;
    ph_text_fini(&printed);
    ph_text_fini(&fields);
    enqueue(hub, handler, call);
}

bool ph_hooks_alter(struct ph_hub *hub, struct ph_child *child)
{
    struct ph_hook_handler *first =
        ph_hooks_wanted(hub, PH_HOOK_CHILD_DATA_ALTER) ? next_alter(hub, NULL) : NULL;
    if (!first)
        return false;
    alter_with(hub, first, child, ph_spec_get(ph_spec_asked(ph_child_spec_rcu(child))));
    return true;
}

/* One handler is through with a child's spec: the next one, or the child starts. */
static void pass_on(struct ph_hub *hub, struct ph_hook_handler *handler, struct ph_child *child,
                    struct ph_spec *spec)
{
    struct ph_hook_handler *next = next_alter(hub, handler);
    if (next) {
        alter_with(hub, next, child, spec);
        return;
    }
    struct ph_spec *present = ph_child_spec_rcu(child);
    bool unchanged = ph_spec_equal(spec, present);
    if (!unchanged && !spec->asked && spec != ph_spec_asked(present))
        spec->asked = ph_spec_get(ph_spec_asked(present));
    struct ph_super_call call = {
        .event = PH_SUPER_ALTERED,
        .spec = unchanged ? NULL : spec,
    };
    if (unchanged)
        ph_spec_put(spec);
    ph_super_handle(hub, child, &call);
}

/* ---- Results ------------------------------------------------------------------------------- */

static void note_failure(struct ph_hub *hub, struct ph_hook_handler *handler, const char *why)
{
    handler->failures++;
    snprintf(handler->last_error, sizeof handler->last_error, "%.*s",
             (int)sizeof handler->last_error - 1, why);
    ph_hub_record(hub, "hook_failed", "", 0, "%s on %s: %s", handler->id, handler->name, why);
}

static void remove_now(struct ph_hub *hub, struct ph_hook_handler *handler)
{
    take_out(&hub->hooks, handler);
    ph_hub_record(hub, "hook_removed", "", 0, "%s on %s", handler->id, handler->name);
    ph_hub_finish_op(hub, handler->removal, 0, NULL);
    destroy_handler(handler);
}

/* Takes the running call off the handler, tells its child, and runs the next one. */
static void end_call(struct ph_hub *hub, struct ph_hook_handler *handler, struct ph_spec *altered)
{
    struct ph_hook_call_waiting *call = handler->first;
    handler->first = call->next;
    if (!handler->first)
        handler->last = &handler->first;
    handler->waiting--;
    hub->hooks.busy--;
    handler->running = false;
    ph_wheel_cancel(&hub->wheel, &handler->deadline.timer);
    if (call->child && !handler->late)
        pass_on(hub, handler, call->child, ph_spec_get(altered ? altered : call->spec));
    handler->late = false;
    destroy_call(call);
    if (handler->running)
        return; /* the child was launched anew and asked this handler again */
    if (handler->first)
        run_first(hub, handler);
    else if (handler->removing)
        remove_now(hub, handler);
}

static bool is_acceptable(struct ph_hub *hub, struct ph_hook_handler *handler,
                          const struct ph_spec *spec, const struct ph_child *child)
{
    struct ph_error error = {0};
    const struct ph_spec *before = ph_child_spec_rcu(child);
    if (ph_spec_check(spec, &error)) {
        note_failure(hub, handler, error.text);
        return false;
    }
    if (!spec->module != !before->module ||
        (spec->module && strcmp(spec->module, before->module) != 0)) {
        note_failure(hub, handler, "it may not change the kind of the child");
        return false;
    }
    return true;
}

void ph_hooks_on_done(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_hook_handler *handler = find_number(&hub->hooks, event->hook_done.handler);
    if (!handler || !handler->running)
        return;
    handler->elapsed_ms += event->hook_done.elapsed_ms;
    if (event->hook_done.code && !handler->late)
        note_failure(hub, handler, event->hook_done.text ? event->hook_done.text : "failed");
    struct ph_spec *altered = event->hook_done.code ? NULL : event->hook_done.spec;
    if (altered && !handler->late && handler->first->child &&
        !is_acceptable(hub, handler, altered, handler->first->child))
        altered = NULL;
    end_call(hub, handler, altered);
}

/* The children whose alter calls wait behind a late one, or the last one, go on without it. */
static void pass_waiting_on(struct ph_hub *hub, struct ph_hook_handler *handler)
{
    struct ph_hook_call_waiting *call = handler->first->next;
    handler->first->next = NULL;
    handler->last = &handler->first->next;
    while (call) {
        struct ph_hook_call_waiting *next = call->next;
        handler->waiting--;
        handler->dropped++;
        hub->hooks.busy--;
        pass_on(hub, handler, call->child, ph_spec_get(call->spec));
        destroy_call(call);
        call = next;
    }
}

/* The running call takes too long: its child goes on without it, its answer is still awaited. */
static void late(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    struct ph_hook_handler *handler = ph_container_of(timer, struct ph_hook_handler, deadline);
    struct ph_hook_call_waiting *call = handler->first;
    char why[64];
    snprintf(why, sizeof why, "no answer within %llu ms", (unsigned long long)handler->timeout_ms);
    note_failure(hub, handler, why);
    handler->late = true;
    if (!call->child)
        return;
    pass_on(hub, handler, call->child, ph_spec_get(call->spec));
    pass_waiting_on(hub, handler);
}

void ph_hooks_on_remove(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_hook_handler *handler = find_id(&hub->hooks, event->hook.id);
    if (!handler || handler->removing) {
        ph_hub_finish_op(hub, event->op, PH_ENOTFOUND, "no hook handler of that name");
        event->op = NULL;
        return;
    }
    handler->removing = true;
    (*interest(&hub->hooks, handler))--;
    handler->removal = event->op;
    event->op = NULL;
    if (!handler->running)
        remove_now(hub, handler);
    else if (handler->hook == PH_HOOK_CHILD_DATA_ALTER)
        pass_waiting_on(hub, handler);
}
