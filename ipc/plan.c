#include "ipc/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/node.h"
#include "ipc/subject.h"
#include "ipc/target.h"

/* The names behind the hashes, and who may own children before and after. */
struct planner {
    struct ph_plan *plan;
    struct ph_owners before, after;
    struct {
        uint64_t hash;
        char name[PH_NAME_MAX + 1];
    } names[PH_OWNERS_MAX + 1];
    uint32_t name_count;
};

static uint64_t add_name(struct planner *planner, const char *name)
{
    uint64_t hash = ph_name_hash(name, strlen(name));
    planner->names[planner->name_count].hash = hash;
    snprintf(planner->names[planner->name_count++].name, PH_NAME_MAX + 1, "%s", name);
    return hash;
}

static const char *name_of(const struct planner *planner, uint64_t hash)
{
    for (uint32_t i = 0; i < planner->name_count; i++)
        if (planner->names[i].hash == hash)
            return planner->names[i].name;
    return "";
}

/* A hub of a node without links has one owner. */
static void read_members(struct planner *planner, struct ph_hub *hub)
{
    ph_rcu_enter();
    const struct ph_members *members = hub->directory ? ph_members_rcu(hub) : NULL;
    if (members) {
        planner->before = members->owners;
        for (uint16_t slot = 0; slot < members->count && slot < PH_OWNERS_MAX; slot++)
            if (members->list[slot].in_view)
                add_name(planner, members->list[slot].name);
    }
    ph_rcu_exit();
    if (!members) {
        uint64_t self = add_name(planner, ph_host_of(hub)->node->name);
        ph_owners_init(&planner->before, &self, NULL, 1, NULL);
    }
}

static void make_after(struct planner *planner, bool joins, uint64_t node)
{
    const struct ph_owners *before = &planner->before;
    uint64_t hashes[PH_OWNERS_MAX];
    uint32_t weights[PH_OWNERS_MAX], count = 0;
    for (uint32_t i = 0; i < before->count; i++) {
        if (!joins && before->nodes[i] == node)
            continue;
        hashes[count] = before->nodes[i];
        weights[count++] = before->weights[i];
    }
    if (joins && count < PH_OWNERS_MAX) {
        hashes[count] = node;
        weights[count++] = 1;
    }
    ph_owners_init(&planner->after, hashes, weights, count, NULL);
}

static int choose(struct planner *planner, enum ph_plan_kind kind, const char *node,
                  struct ph_error *error)
{
    uint64_t hash = ph_name_hash(node, strlen(node));
    bool known = *name_of(planner, hash);
    if (kind == PH_PLAN_JOIN && known)
        return ph_error_set(error, PH_EEXISTS, "node %s is a member already", node);
    if (kind != PH_PLAN_JOIN && !known)
        return ph_error_set(error, PH_ENOTFOUND, "there is no node %s; `nodes` lists them", node);
    if (kind == PH_PLAN_JOIN)
        add_name(planner, node);
    make_after(planner, kind == PH_PLAN_JOIN, hash);
    return 0;
}

/* 0: nobody owns it. */
static uint64_t owner_of(const struct ph_owners *owners, uint64_t id_hash, uint64_t pin)
{
    uint32_t owner = ph_owner_pinned(owners, id_hash, pin);
    return owner < owners->count ? owners->nodes[owner] : 0;
}

static bool look(void *arg, struct ph_subject *subject)
{
    struct planner *planner = arg;
    struct ph_plan *plan = planner->plan;
    size_t length;
    const char *id = ph_subject_id(subject, &length);
    uint64_t hash = subject->entry ? subject->entry->hash : ph_name_hash(id, length);
    /* Relaxed: a plan is about now, more or less. */
    uint64_t pin = subject->entry
                       ? atomic_load_explicit(&((struct ph_entry *)(uintptr_t)subject->entry)->pin,
                                              memory_order_relaxed)
                       : 0;
    uint64_t before = owner_of(&planner->before, hash, pin);
    uint64_t after = owner_of(&planner->after, hash, pin);
    if (before == after)
        return true;
    plan->moves++;
    plan->unavailable += after == 0;
    if (plan->count == PH_PLAN_ROWS_MAX)
        return true;
    struct ph_plan_row *row = &plan->rows[plan->count++];
    row->id = ph_copy_text(id, length);
    snprintf(row->from, sizeof row->from, "%s", name_of(planner, before));
    snprintf(row->to, sizeof row->to, "%s", name_of(planner, after));
    return true;
}

static int compare_rows(const void *a, const void *b)
{
    const struct ph_plan_row *x = a, *y = b;
    return ph_natural_compare(x->id, y->id);
}

int ph_plan_make(struct ph_hub *hub, enum ph_plan_kind kind, const char *node, struct ph_plan *plan,
                 struct ph_error *error)
{
    struct planner *planner = ph_alloc(sizeof *planner);
    read_members(planner, hub);
    int rc = choose(planner, kind, node, error);
    if (rc == 0) {
        struct ph_subject subject = {0};
        *plan = (struct ph_plan){.rows = ph_alloc(PH_PLAN_ROWS_MAX * sizeof *plan->rows)};
        planner->plan = plan;
        ph_rcu_enter();
        ph_subject_open_rcu(&subject, hub);
        ph_subject_each_rcu(&subject, false, look, planner);
        ph_rcu_exit();
        ph_subject_fini(&subject);
        qsort(plan->rows, plan->count, sizeof *plan->rows, compare_rows);
    }
    ph_free(planner);
    return rc;
}

void ph_plan_fini(struct ph_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        ph_free(plan->rows[i].id);
    ph_free(plan->rows);
    *plan = (struct ph_plan){0};
}
