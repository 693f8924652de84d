#include "ipc/subject.h"

#include <string.h>

#include "engine/base.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/spec.h"

/* ---- Placements ----------------------------------------------------------------------------- */

static bool in_view(const struct ph_subject *subject, const struct ph_placement *placement)
{
    return placement->member < subject->members->count &&
           subject->members->list[placement->member].in_view;
}

static void speak(struct ph_subject *subject, const struct ph_placement *placement)
{
    subject->placement = placement;
    subject->child = NULL;
    subject->looked = false;
    if (!placement)
        subject->state = PH_STATE_STARTING;
    else if (in_view(subject, placement))
        /* Relaxed: the state stands for itself. */
        subject->state = (enum ph_state)atomic_load_explicit(
            &((struct ph_placement *)(uintptr_t)placement)->state, memory_order_relaxed);
    else
        subject->state = PH_STATE_UNKNOWN;
}

/* The next placement from `at` on that counts: one in the view, or, when `lost`, one outside. */
static const struct ph_placement *counting(const struct ph_subject *subject,
                                           const struct ph_placement *at, bool lost)
{
    while (at && in_view(subject, at) == lost)
        at = ph_placement_next_rcu(at);
    return at;
}

bool ph_subject_first_rcu(struct ph_subject *subject)
{
    if (!subject->entry)
        return subject->child != NULL;
    const struct ph_placement *first = ph_entry_first_rcu(subject->entry);
    const struct ph_placement *found = counting(subject, first, false);
    if (!found)
        found = counting(subject, first, true);
    if (found)
        speak(subject, found);
    return found != NULL;
}

bool ph_subject_next_rcu(struct ph_subject *subject)
{
    const struct ph_placement *found = NULL;
    if (!subject->entry)
        return false;
    if (subject->placement)
        found = counting(subject, ph_placement_next_rcu(subject->placement),
                         !in_view(subject, subject->placement));
    if (!found)
        ph_subject_set_entry_rcu(subject, subject->entry);
    else
        speak(subject, found);
    return found != NULL;
}

/* ---- Whom it is about ------------------------------------------------------------------------ */

void ph_subject_open_rcu(struct ph_subject *subject, struct ph_hub *hub)
{
    subject->hub = hub;
    subject->members = hub->directory ? ph_members_rcu(hub) : NULL;
    subject->entry = NULL;
    subject->placement = NULL;
    subject->child = NULL;
    subject->looked = true;
}

void ph_subject_fini(struct ph_subject *subject)
{
    ph_text_fini(&subject->scratch);
}

void ph_subject_set_entry_rcu(struct ph_subject *subject, const struct ph_entry *entry)
{
    subject->entry = entry;
    subject->child = NULL;
    subject->looked = false;
    subject->placement = ph_entry_shown_rcu(subject->members, entry, &subject->state);
}

void ph_subject_set_child_rcu(struct ph_subject *subject, const struct ph_child *child)
{
    subject->entry = NULL;
    subject->placement = NULL;
    subject->child = child;
    subject->looked = true;
    subject->state = ph_child_state(child);
}

bool ph_subject_find_rcu(struct ph_subject *subject, const char *id, size_t length)
{
    if (!subject->members) {
        const struct ph_child *child = ph_registry_find_rcu(subject->hub->registry, id, length);
        if (child)
            ph_subject_set_child_rcu(subject, child);
        return child != NULL;
    }
    const struct ph_entry *entry = ph_directory_find_rcu(subject->hub->directory, id, length);
    if (!entry || !ph_entry_spec_rcu(entry))
        return false;
    ph_subject_set_entry_rcu(subject, entry);
    return true;
}

struct walk {
    struct ph_subject *subject;
    ph_subject_fn fn;
    void *arg;
};

static bool visit_entry(void *arg, struct ph_entry *entry)
{
    struct walk *walk = arg;
    ph_subject_set_entry_rcu(walk->subject, entry);
    return walk->fn(walk->arg, walk->subject);
}

static bool visit_child(void *arg, struct ph_child *child)
{
    struct walk *walk = arg;
    ph_subject_set_child_rcu(walk->subject, child);
    return walk->fn(walk->arg, walk->subject);
}

void ph_subject_each_rcu(struct ph_subject *subject, bool local, ph_subject_fn fn, void *arg)
{
    struct walk walk = {.subject = subject, .fn = fn, .arg = arg};
    if (subject->members && !local)
        ph_directory_each_rcu(subject->hub->directory, visit_entry, &walk);
    else
        ph_registry_each_rcu(subject->hub->registry, visit_child, &walk);
}

/* ---- What it is ------------------------------------------------------------------------------ */

const char *ph_subject_id(const struct ph_subject *subject, size_t *length)
{
    *length = subject->entry ? subject->entry->id_length : subject->child->id_length;
    return subject->entry ? subject->entry->id : subject->child->id;
}

const struct ph_spec *ph_subject_spec_rcu(const struct ph_subject *subject)
{
    return subject->entry ? ph_entry_spec_rcu(subject->entry) : ph_child_spec_rcu(subject->child);
}

const char *ph_subject_kind(const struct ph_subject *subject)
{
    if (!subject->entry)
        return subject->child->kind->name;
    const struct ph_spec *spec = ph_entry_spec_rcu(subject->entry);
    return spec && spec->argc ? "process" : "module";
}

const struct ph_child *ph_subject_local_rcu(struct ph_subject *subject)
{
    if (!subject->looked) {
        subject->looked = true;
        if (subject->placement && subject->placement->member == 0)
            subject->child = ph_registry_find_rcu(subject->hub->registry, subject->entry->id,
                                                  subject->entry->id_length);
    }
    return subject->child;
}

const char *ph_subject_node_rcu(const struct ph_subject *subject)
{
    if (!subject->entry)
        return ph_host_of(subject->hub)->node->name;
    if (!subject->placement || subject->placement->member >= subject->members->count)
        return NULL;
    return subject->members->list[subject->placement->member].name;
}

bool ph_subject_is_on_rcu(const struct ph_subject *subject, const char *node)
{
    const char *name;
    if (!subject->entry)
        return strcmp(ph_subject_node_rcu(subject), node) == 0;
    struct ph_subject each = *subject;
    for (bool more = ph_subject_first_rcu(&each); more; more = ph_subject_next_rcu(&each))
        if ((name = ph_subject_node_rcu(&each)) && strcmp(name, node) == 0)
            return true;
    return false;
}

bool ph_subject_holds_rcu(struct ph_subject *subject, const struct ph_expr *expr)
{
    if (ph_expr_holds(expr, &ph_child_resolver, subject))
        return true;
    const struct ph_placement *shown = subject->placement;
    if (!shown || (shown == ph_entry_first_rcu(subject->entry) && !ph_placement_next_rcu(shown)))
        return false; /* the only one has spoken */
    bool holds = false;
    for (bool more = ph_subject_first_rcu(subject); more && !holds;
         more = !holds && ph_subject_next_rcu(subject))
        holds = ph_expr_holds(expr, &ph_child_resolver, subject);
    ph_subject_set_entry_rcu(subject, subject->entry);
    return holds;
}

static void read_placed(const struct ph_subject *subject, struct ph_child_info *info)
{
    struct ph_placed placed = {0};
    if (subject->placement)
        ph_placement_read_rcu(subject->placement, &placed);
    *info = (struct ph_child_info){
        .pid = placed.pid,
        .instance = placed.instance,
        .epoch = placed.epoch,
        .restarts = placed.restarts,
        .since_ms = placed.since_ms,
    };
    memcpy(info->id, subject->entry->id, subject->entry->id_length + 1u);
}

void ph_subject_info_rcu(struct ph_subject *subject, struct ph_child_info *info)
{
    const struct ph_child *child = ph_subject_local_rcu(subject);
    if (child)
        ph_child_inspect_rcu(child, info);
    else
        read_placed(subject, info);
    if (subject->entry)
        info->state = subject->state;
}

void ph_subject_put_epoch(const struct ph_subject *subject, uint64_t epoch, struct ph_text *out)
{
    const char *node = ph_subject_node_rcu(subject);
    if (node)
        ph_text_printf(out, "%llu.%s", (unsigned long long)epoch, node);
}
