#include "engine/kind/kind_process.h"

#include "engine/node.h"
#include "engine/spec.h"

struct process_child {
    struct ph_process *process;
};

static void told_up(void *owner, uint32_t instance)
{
    ph_kind_up(owner, instance);
}

static void told_stands_by(void *owner, uint32_t instance)
{
    ph_kind_prepared(owner, instance);
}

static void told_down(void *owner, uint32_t instance, const struct ph_exit *exit,
                      struct ph_text *unused)
{
    ph_kind_down(owner, instance, exit, unused);
}

static void told_ending(void *owner, uint32_t instance)
{
    ph_kind_ending(owner, instance);
}

static void told_saved(void *owner, uint32_t instance, struct ph_text *state)
{
    struct ph_sums none = {0};
    ph_kind_down_saved(owner, instance, state, &none);
}

static void told_kept(void *owner, uint32_t instance, const char *why)
{
    ph_kind_not_saved(owner, instance, why);
}

static void told_merged(void *owner, uint32_t instance, int code, const char *why)
{
    ph_kind_merged(owner, instance, code, why);
}

static void told_note(void *owner, const char *type, const char *text)
{
    ph_kind_note(owner, type, text);
}

static const struct ph_process_owner owner = {
    .up = told_up,
    .stands_by = told_stands_by,
    .down = told_down,
    .ending = told_ending,
    .saved = told_saved,
    .kept = told_kept,
    .merged = told_merged,
    .note = told_note,
};

static struct ph_process *process_of(const struct ph_child *child)
{
    return ((struct process_child *)ph_child_tail(child))->process;
}

struct ph_process *ph_child_process_rcu(const struct ph_child *child)
{
    return child->kind == &ph_kind_process ? process_of(child) : NULL;
}

static int kind_check(struct ph_node *node, const struct ph_spec *spec, struct ph_error *error)
{
    (void)node;
    (void)spec;
    (void)error;
    return 0; /* whether it can be executed shows when it is */
}

static void kind_init(struct ph_child *child)
{
    struct process_child *self = ph_child_tail(child);
    self->process =
        ph_process_create(child->hub->node->monitor, &owner, child, child->hub->lease_number);
}

static void kind_fini(struct ph_child *child)
{
    ph_process_destroy_any(process_of(child));
    ph_child_free(child);
}

static uint64_t epoch_of(const struct ph_child *child)
{
    return atomic_load_explicit(&child->epoch, memory_order_relaxed);
}

static void kind_start(struct ph_child *child, uint32_t instance)
{
    ph_process_start_any(process_of(child), child->id, ph_child_spec_rcu(child), instance,
                         epoch_of(child));
}

static bool kind_can_prepare(const struct ph_spec *spec)
{
    return spec->socket;
}

static void kind_prepare(struct ph_child *child, uint32_t instance)
{
    ph_process_prepare_any(process_of(child), child->id, ph_child_spec_rcu(child), instance,
                           epoch_of(child));
}

static void kind_activate(struct ph_child *child, struct ph_text *state)
{
    ph_process_activate_any(process_of(child), state, epoch_of(child));
}

static void kind_load(struct ph_child *child, struct ph_text *state)
{
    ph_process_load_any(process_of(child), state);
}

static void kind_unload(struct ph_child *child)
{
    ph_process_unload_any(process_of(child));
}

static void kind_save(struct ph_child *child)
{
    ph_process_save_any(process_of(child));
}

/* What is said on its socket, and the end of one without, are its last word: it cannot go on. */
static void kind_copy(struct ph_child *child, uint64_t from, struct ph_text *room)
{
    (void)from;
    ph_text_fini(room);
    kind_save(child);
}

static void kind_forward(struct ph_child *child, struct ph_queue *into)
{
    ph_process_forward(process_of(child), into);
}

static void kind_merge(struct ph_child *child, struct ph_legacy *legacy)
{
    if (ph_child_spec_rcu(child)->socket)
        ph_process_merge_any(process_of(child), legacy);
    else
        ph_kind_merged(child, atomic_load_explicit(&child->instance, memory_order_relaxed),
                       PH_EUNSUPPORTED, "an OS process without socket=yes cannot merge states");
}

static void kind_resume(struct ph_child *child)
{
    (void)child; /* prochub-keeper kills processes when the lease is over */
}

static void kind_stop(struct ph_child *child)
{
    ph_process_stop_any(process_of(child));
}

static void kind_kill(struct ph_child *child)
{
    ph_process_kill_any(process_of(child));
}

static int kind_signal(struct ph_child *child, int signal_number)
{
    ph_process_signal_any(process_of(child), signal_number);
    return 0;
}

static bool kind_takes_messages(const struct ph_spec *spec)
{
    return spec->socket;
}

static int kind_deliver(struct ph_child *child, struct ph_message_box *box)
{
    if (!kind_takes_messages(ph_child_spec_rcu(child)))
        return PH_EUNSUPPORTED;
    return ph_process_deliver_any(process_of(child), box);
}

static void kind_inspect(const struct ph_child *child, struct ph_child_info *info)
{
    info->pid = ph_process_pid_any(process_of(child));
    info->handled = ph_process_handled_any(process_of(child));
    info->queue = ph_process_queue_any(process_of(child));
}

const struct ph_kind ph_kind_process = {
    .name = "process",
    .child_bytes = sizeof(struct process_child),
    .check = kind_check,
    .init = kind_init,
    .fini = kind_fini,
    .start = kind_start,
    .load = kind_load,
    .takes_messages = kind_takes_messages,
    .can_prepare = kind_can_prepare,
    .prepare = kind_prepare,
    .activate = kind_activate,
    .stop = kind_stop,
    .save = kind_save,
    .unload = kind_unload,
    .copy = kind_copy,
    .merge = kind_merge,
    .forward = kind_forward,
    .kill = kind_kill,
    .resume = kind_resume,
    .signal = kind_signal,
    .deliver = kind_deliver,
    .inspect = kind_inspect,
};
