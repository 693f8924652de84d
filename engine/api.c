/* The requests of prochub.h: each checks what it is given, makes an event and posts it. */
#include <errno.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/cluster.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/spec.h"

const char *ph_state_name(enum ph_state state)
{
    static const char *const names[] = {
#define PH_STATE_ROW(name, text) [name] = text,
        PH_STATE_MAP(PH_STATE_ROW)
#undef PH_STATE_ROW
    };
    return names[state];
}

/* Gives the event an op if the caller wants one. */
static int post(struct ph_hub *hub, struct ph_event *event, struct ph_op **op)
{
    if (op) {
        event->op = ph_op_create();
        *op = event->op;
    }
    int rc = ph_host_post(ph_host_of(hub), event);
    if (rc && op) {
        ph_op_put(*op);
        *op = NULL;
    }
    return rc;
}

static const struct ph_kind *kind_of(const struct ph_spec *spec)
{
    return spec->module ? &ph_kind_module : &ph_kind_process;
}

int ph_start(struct ph_hub *hub, struct ph_ids *ids, struct ph_spec *spec,
             const struct ph_start_options *options, struct ph_op **op, struct ph_error *error)
{
    int rc = ph_spec_check(spec, error);
    if (rc)
        return rc;
    if (ids->count == 0)
        return ph_error_set(error, PH_EUSAGE, "no ids: say what the children are called");
    rc = kind_of(spec)->check(hub->node, spec, error);
    if (rc)
        return rc;
    struct ph_event *event = ph_event_create(PH_EVENT_START);
    event->start.ids = *ids;
    *ids = (struct ph_ids){0};
    event->start.spec = ph_spec_get(spec);
    event->start.kind = kind_of(spec);
    if (options)
        event->start.options = *options;
    rc = post(hub, event, op);
    return rc ? ph_error_set(error, rc, "too many requests wait in the hub's queue") : 0;
}

static int target(struct ph_hub *hub, enum ph_event_type type, struct ph_ids *ids, int number,
                  struct ph_op **op)
{
    struct ph_event *event = ph_event_create(type);
    event->target.ids = *ids;
    *ids = (struct ph_ids){0};
    event->target.signal = number;
    return post(hub, event, op);
}

int ph_stop(struct ph_hub *hub, struct ph_ids *ids, struct ph_op **op)
{
    return target(hub, PH_EVENT_STOP, ids, 0, op);
}

int ph_restart(struct ph_hub *hub, struct ph_ids *ids, struct ph_op **op)
{
    return target(hub, PH_EVENT_RESTART, ids, 0, op);
}

int ph_signal(struct ph_hub *hub, struct ph_ids *ids, int signal_number, struct ph_op **op)
{
    return target(hub, PH_EVENT_SIGNAL, ids, signal_number, op);
}

int ph_moves_retry(struct ph_hub *hub, struct ph_ids *ids, struct ph_op **op)
{
    return target(hub, PH_EVENT_STEER, ids, 0, op);
}

int ph_moves_abort(struct ph_hub *hub, struct ph_ids *ids, struct ph_op **op)
{
    return target(hub, PH_EVENT_STEER, ids, 1, op);
}

int ph_hub_stop(struct ph_hub *hub, struct ph_op **op, struct ph_error *error)
{
    int rc = post(hub, ph_event_create(PH_EVENT_SHUTDOWN), op);
    return rc ? ph_error_set(error, rc, "the hub does not take the request") : 0;
}

/* ---- Messages ------------------------------------------------------------------------------ */

/* Why a child in this state takes no message, or 0. */
static int refusal(const struct ph_child *child)
{
    switch (ph_child_state(child)) {
    case PH_STATE_FAILED:
        return PH_EGAVEUP;
    case PH_STATE_STOPPING:
        return PH_ESTOPPING;
    case PH_STATE_STARTING:
    case PH_STATE_RUNNING:
    case PH_STATE_BACKOFF:
    case PH_STATE_MOVING:
    case PH_STATE_UNKNOWN:
    case PH_STATES:
        break;
    }
    return 0;
}

/* PH_ENOTFOUND: it is not here, or (`detour`) the hub has to keep the order. */
static int deliver(struct ph_hub *hub, const char *id, struct ph_message_box *box, uint32_t *detour)
{
    int rc = PH_ENOTFOUND;
    ph_rcu_enter();
    struct ph_child *child = ph_registry_find_rcu(hub->registry, id, strlen(id));
    if (child)
        rc = refusal(child);
    if (child && rc == 0 && (*detour = ph_detour_enter(&child->detour)))
        rc = PH_ENOTFOUND;
    else if (child && rc == 0)
        rc = child->kind->deliver(child, box);
    ph_rcu_exit();
    return rc;
}

static int make_box(enum ph_message_type type, const void *data, size_t length,
                    struct ph_message_box **box)
{
    if (length > PH_MESSAGE_BYTES_MAX)
        return PH_ELIMIT;
    *box = ph_message_box_create(type, data, length);
    return *box ? 0 : -ENOMEM;
}

/* Why a child that is not here, or that is elsewhere for some messages, takes none; or 0. */
static int refusal_rcu(struct ph_hub *hub, const char *id)
{
    const struct ph_entry *entry =
        hub->directory ? ph_directory_find_rcu(hub->directory, id, strlen(id)) : NULL;
    const struct ph_spec *spec = entry ? ph_entry_spec_rcu(entry) : NULL;
    enum ph_state state = PH_STATE_UNKNOWN;
    if (!spec)
        return PH_ENOTFOUND;
    const struct ph_kind *kind = hub->kind_of(spec);
    if (kind->takes_messages && !kind->takes_messages(spec))
        return PH_EUNSUPPORTED;
    const struct ph_placement *at = ph_entry_shown_rcu(ph_members_rcu(hub), entry, &state);
    return at && state == PH_STATE_FAILED ? PH_EGAVEUP : 0;
}

/* The hub knows the way. Takes the box on success only. */
static int send_on(struct ph_hub *hub, const char *id, struct ph_message_box *box, uint32_t detour)
{
    ph_rcu_enter();
    int rc = refusal_rcu(hub, id);
    ph_rcu_exit();
    if (rc)
        return rc;
    struct ph_event *event = ph_event_create(PH_EVENT_SEND);
    event->send.id = ph_copy_text(id, strlen(id));
    event->send.box = box;
    event->send.detour = detour;
    return ph_host_post_sparing(ph_host_of(hub), event);
}

/* It does not go through the hub after all. */
static void leave_detour(struct ph_hub *hub, const char *id, uint32_t detour)
{
    ph_rcu_enter();
    struct ph_child *child = ph_registry_find_rcu(hub->registry, id, strlen(id));
    if (child && detour)
        ph_detour_leave(&child->detour, detour);
    ph_rcu_exit();
}

int ph_send(struct ph_hub *hub, const char *id, const void *data, size_t length)
{
    struct ph_message_box *box;
    uint32_t detour = 0;
    int rc = make_box(PH_MESSAGE_CAST, data, length, &box);
    if (rc)
        return rc;
    rc = deliver(hub, id, box, &detour);
    if (rc == PH_ENOTFOUND)
        rc = send_on(hub, id, box, detour);
    if (rc) {
        leave_detour(hub, id, detour);
        ph_message_box_destroy(box, rc, "");
    }
    return rc;
}

int ph_call(struct ph_hub *hub, const char *id, const void *data, size_t length, struct ph_op **op)
{
    struct ph_message_box *box;
    uint32_t detour = 0;
    int rc = make_box(PH_MESSAGE_CALL, data, length, &box);
    if (rc)
        return rc;
    struct ph_op *made = ph_op_create();
    box->op = made;
    rc = deliver(hub, id, box, &detour);
    if (rc == PH_ENOTFOUND)
        rc = send_on(hub, id, box, detour);
    if (rc) {
        leave_detour(hub, id, detour);
        ph_message_box_destroy(box, rc, "");
        ph_op_put(made);
        return rc;
    }
    *op = made;
    return 0;
}

static void copy_name(char *to, const char *from)
{
    size_t length = from ? strnlen(from, PH_NAME_MAX) : 0;
    if (length)
        memcpy(to, from, length);
    to[length] = 0;
}

/* ---- Nodes ---------------------------------------------------------------------------------- */

static bool is_member(struct ph_hub *hub, const char *node)
{
    ph_rcu_enter();
    const struct ph_members *members = ph_members_rcu(hub);
    bool known = members ? ph_members_find(members, node, strlen(node)) != PH_NO_MEMBER
                         : strcmp(node, hub->node->name) == 0;
    ph_rcu_exit();
    return known;
}

static int refuse_node(const char *node, struct ph_error *error)
{
    return ph_error_set(error, PH_ENOTFOUND, "no node named '%.64s' is known; `nodes` lists them",
                        node);
}

static int pin(struct ph_hub *hub, struct ph_ids *ids, const char *node, enum ph_move_mode mode,
               struct ph_op **op)
{
    struct ph_event *event = ph_event_create(PH_EVENT_PIN);
    event->place.ids = *ids;
    *ids = (struct ph_ids){0};
    copy_name(event->place.node, node);
    event->place.mode = mode;
    return post(hub, event, op);
}

int ph_migrate(struct ph_hub *hub, struct ph_ids *ids, const char *node, enum ph_move_mode mode,
               struct ph_op **op, struct ph_error *error)
{
    if (!ph_name_is_valid(node) || !is_member(hub, node))
        return refuse_node(node, error);
    int rc = pin(hub, ids, node, mode, op);
    return rc ? ph_error_set(error, rc, "too many requests wait in the hub's queue") : 0;
}

int ph_unpin(struct ph_hub *hub, struct ph_ids *ids, struct ph_op **op)
{
    return pin(hub, ids, NULL, PH_MOVE_ANY, op);
}

int ph_drain(struct ph_hub *hub, const char *node, bool on, struct ph_op **op,
             struct ph_error *error)
{
    if (!ph_name_is_valid(node) || !is_member(hub, node))
        return refuse_node(node, error);
    struct ph_event *event = ph_event_create(PH_EVENT_DRAIN);
    copy_name(event->place.node, node);
    event->place.on = on;
    int rc = post(hub, event, op);
    return rc ? ph_error_set(error, rc, "too many requests wait in the hub's queue") : 0;
}

int ph_leave(struct ph_hub *hub, struct ph_op **op)
{
    return post(hub, ph_event_create(PH_EVENT_LEAVE), op);
}

int ph_join(struct ph_hub *hub, struct ph_op **op)
{
    struct ph_event *event = ph_event_create(PH_EVENT_LEAVE);
    event->place.on = true;
    return post(hub, event, op);
}

int ph_moves(struct ph_hub *hub, enum ph_moves_order order, struct ph_op **op)
{
    struct ph_event *event = ph_event_create(PH_EVENT_MOVES);
    event->place.order = order;
    return post(hub, event, op);
}

int ph_quorum_reset(struct ph_hub *hub, uint64_t size, struct ph_op **op)
{
    struct ph_event *event = ph_event_create(PH_EVENT_QUORUM);
    event->place.size = size;
    return post(hub, event, op);
}

static int post_conflict(struct ph_hub *hub, uint64_t number, bool drop, struct ph_op **op)
{
    struct ph_event *event = ph_event_create(PH_EVENT_CONFLICT);
    event->conflict.number = number;
    event->conflict.drop = drop;
    return post(hub, event, op);
}

int ph_conflict_read(struct ph_hub *hub, uint64_t number, struct ph_op **op)
{
    return post_conflict(hub, number, false, op);
}

int ph_conflict_drop(struct ph_hub *hub, uint64_t number, struct ph_op **op)
{
    return post_conflict(hub, number, true, op);
}

/* ---- Looking --------------------------------------------------------------------------------- */

int ph_lookup(const struct ph_hub *hub, const char *id, struct ph_child_info *info)
{
    ph_rcu_enter();
    const struct ph_child *child = ph_registry_find_rcu(hub->registry, id, strlen(id));
    if (child)
        ph_child_inspect_rcu(child, info);
    ph_rcu_exit();
    return child ? 0 : PH_ENOTFOUND;
}

/* ---- The gate ------------------------------------------------------------------------------ */

static int lock_event(const struct ph_lock_options *options, struct ph_event **result)
{
    if (options->level > PH_PRIORITY_USER_MAX ||
        (options->name && !ph_name_is_valid(options->name)))
        return PH_EUSAGE;
    struct ph_event *event = ph_event_create(PH_EVENT_LOCK);
    copy_name(event->lock.name, options->name);
    copy_name(event->lock.reason, options->reason);
    event->lock.level = options->level;
    event->lock.for_ms = options->for_ms;
    event->lock.discard = options->discard;
    *result = event;
    return 0;
}

int ph_lock(struct ph_hub *hub, const struct ph_lock_options *options, struct ph_op **op)
{
    struct ph_event *event;
    int rc = lock_event(options, &event);
    return rc ? rc : post(hub, event, op);
}

int ph_unlock(struct ph_hub *hub, const char *name, struct ph_op **op)
{
    if (name && !ph_name_is_valid(name))
        return PH_EUSAGE; /* "" would be all of them */
    struct ph_event *event = ph_event_create(PH_EVENT_UNLOCK);
    copy_name(event->lock.name, name);
    return post(hub, event, op);
}

static int check_nodes(struct ph_hub *hub, const struct ph_dispatch_options *options,
                       struct ph_error *error)
{
    if (options->members != PH_MEMBERS_NODES)
        return 0;
    for (const char *at = options->nodes; at && *at;) {
        char name[PH_NAME_MAX + 1] = "";
        size_t length = strcspn(at, ",");
        memcpy(name, at, length < PH_NAME_MAX ? length : PH_NAME_MAX);
        if (length > PH_NAME_MAX || !is_member(hub, name))
            return ph_error_set(error, PH_ENOTFOUND, "no node named '%.*s' in this hub",
                                (int)length, at);
        at += length + (at[length] == ',');
    }
    return 0;
}

int ph_dispatch(struct ph_hub *hub, const char *name, const char *payload,
                const struct ph_dispatch_options *options, struct ph_op **op,
                struct ph_error *error)
{
    if (!ph_name_is_valid(name))
        return ph_error_set(error, PH_EUSAGE,
                            "event '%s': use 1 to 64 characters of A-Z a-z 0-9 . _ -", name);
    if (options->priority > PH_PRIORITY_USER_MAX)
        return ph_error_set(error, PH_EUSAGE, "priority %u: use 0 to %d", options->priority,
                            PH_PRIORITY_USER_MAX);
    if (payload && strlen(payload) > PH_MESSAGE_BYTES_MAX)
        return ph_error_set(error, PH_ELIMIT, "the payload is larger than %d bytes",
                            PH_MESSAGE_BYTES_MAX);
    int rc = check_nodes(hub, options, error);
    struct ph_event *lock = NULL;
    if (rc == 0 && options->lock && (rc = lock_event(options->lock, &lock)))
        return ph_error_set(error, rc, "bad lock of a dispatch");
    if (rc)
        return rc;
    struct ph_event *event = ph_event_create(PH_EVENT_DISPATCH);
    copy_name(event->dispatch.name, name);
    event->dispatch.payload = payload ? ph_copy_text(payload, strlen(payload)) : NULL;
    event->dispatch.members = options->members;
    event->dispatch.nodes =
        options->nodes ? ph_copy_text(options->nodes, strlen(options->nodes)) : NULL;
    event->dispatch.lock = lock;
    event->gated.priority = options->priority;
    event->gated.discard = options->discard;
    rc = post(hub, event, op);
    return rc ? ph_error_set(error, rc, "too many requests wait in the hub's queue") : 0;
}

/* ---- Hooks --------------------------------------------------------------------------------- */

int ph_hook_add(struct ph_hub *hub, const struct ph_hook_options *options, struct ph_op **op,
                struct ph_error *error)
{
    if (!options->hook || !ph_name_is_valid(options->hook))
        return ph_error_set(error, PH_EUSAGE, "hook '%s': use the name of a hook or of an event",
                            options->hook ? options->hook : "");
    if (options->id && !ph_name_is_valid(options->id))
        return ph_error_set(error, PH_EUSAGE,
                            "handler name '%s': use 1 to 64 characters of A-Z a-z 0-9 . _ -",
                            options->id);
    if (!options->exec == !options->function)
        return ph_error_set(error, PH_EUSAGE, "a hook needs an executable or a function");
    if (options->exec && options->exec[0] != '/')
        return ph_error_set(error, PH_EUSAGE, "exec=%s: use an absolute path", options->exec);
    struct ph_event *event = ph_event_create(PH_EVENT_HOOK_ADD);
    copy_name(event->hook.hook, options->hook);
    copy_name(event->hook.id, options->id);
    event->hook.priority = options->priority;
    event->hook.timeout_ms = options->timeout_ms;
    event->hook.exec = options->exec ? ph_copy_text(options->exec, strlen(options->exec)) : NULL;
    event->hook.function = options->function;
    event->hook.arg = options->arg;
    int rc = post(hub, event, op);
    return rc ? ph_error_set(error, rc, "the hub does not take the request") : 0;
}

int ph_hook_remove(struct ph_hub *hub, const char *id, struct ph_op **op)
{
    if (!ph_name_is_valid(id))
        return PH_EUSAGE;
    struct ph_event *event = ph_event_create(PH_EVENT_HOOK_REMOVE);
    copy_name(event->hook.id, id);
    return post(hub, event, op);
}
