/* What must hold in the end: all agree, everything runs where it belongs, nothing is pending. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/cluster_requests.h"
#include "engine/directory_inside.h"
#include "engine/error.h"
#include "tests/sim/checks.h"
#include "tests/sim/children.h"
#include "tests/sim/disks.h"
#include "tests/sim/report.h"
#include "tests/sim/sim.h"
#include "tests/sim/workload.h"

enum { SETTLE_S = 240 }; /* virtual seconds from the healing until all must be settled */

/* The reason, kept until the next call. */
static const char *because(const char *format, ...)
{
    static char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

/* Its disk has what it knows. */
static const char *check_disk(const struct sim_node *node)
{
    const struct ph_journal *journal = &node->hub->hub.cluster->journal;
    bool wanted;
    if (!sim_keeps(node))
        return NULL;
    if (journal->failed || journal->kept != journal->noted || journal->calls != journal->done)
        return because("%s's disk is behind", node->name);
    for (unsigned id = 0; id < node->sim->config.ids; id++)
        if (ph_version_compare(sim_disk_version(node, id, &wanted), sim_version_of(node->hub, id)) <
            0)
            return because("%s's disk lacks the newest intent of c%u", node->name, id);
    return NULL;
}

static const char *check_members(struct sim *sim, const struct sim_node *node, unsigned expected)
{
    const struct ph_cluster *cluster = node->hub->hub.cluster;
    if (cluster->fenced)
        return because("%s is fenced", node->name);
    if (cluster->in_view != expected)
        return because("%s sees %u of %u nodes", node->name, cluster->in_view, expected);
    if (cluster->view_wanted || cluster->view_queued)
        return because("%s wants another view", node->name);
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *other = sim->core[i] ? sim->nodes[i].hub : NULL;
        if (!other)
            continue;
        if (other->hub.cluster->view != cluster->view)
            return because("%s and %s have different views", node->name, sim->nodes[i].name);
        if (ph_directory_hash(other->hub.directory) != ph_directory_hash(node->hub->hub.directory))
            return because("%s and %s want different things", node->name, sim->nodes[i].name);
    }
    return NULL;
}

static const char *check_idle(const struct sim_node *node)
{
    const struct ph_hub *hub = &node->hub->hub;
    const struct ph_cluster *cluster = hub->cluster;
    if (cluster->scanning || cluster->dirty_first)
        return because("%s still reconciles", node->name);
    if (cluster->moves_first)
        return because("%s has %llu moves out and %llu in", node->name,
                       (unsigned long long)cluster->moves_out,
                       (unsigned long long)cluster->moves_in);
    if (cluster->waiting_first)
        return because("%s has children that wait to be moved", node->name);
    if (cluster->pendings)
        return because("%s waits for a request for %s", node->name, cluster->pendings->entry->id);
    if (cluster->push_first || hub->unheld || hub->jobs || hub->parked_jobs)
        return because("%s has requests under way", node->name);
    if (hub->gate.level || hub->gate.held_count)
        return because("%s has its gate at level %u, %u events wait", node->name, hub->gate.level,
                       hub->gate.held_count);
    for (size_t i = 0; i < hub->directory->all_count; i++) {
        const struct ph_entry *entry = *ph_directory_slot(hub->directory, i);
        if (entry->misplaced)
            return because("%s counts %s as misplaced", node->name, entry->id);
    }
    struct ph_status status;
    ph_hub_picture(hub, &status);
    if (!status.settled || status.migrating)
        return because("%s says that it is not settled (%llu migrating)", node->name,
                       (unsigned long long)status.migrating);
    return NULL;
}

/* The next placement that counts: of a member of the view. */
static const struct ph_placement *counting(const struct ph_hub *hub,
                                           const struct ph_placement *placement)
{
    while (placement && (!ph_cluster_in_view(hub->cluster, placement->member) ||
                         ph_directory_is_void(hub->directory, placement)))
        placement = ph_placement_next_rcu(placement);
    return placement;
}

/* What the node's directory says about an id, against what runs. */
static const char *check_id(struct sim *sim, const struct sim_node *node, unsigned id)
{
    const struct ph_hub *hub = &node->hub->hub;
    char name[16];
    sim_id_name(id, name);
    const struct ph_entry *entry = ph_directory_find_rcu(hub->directory, name, strlen(name));
    bool wanted = entry && ph_entry_spec_rcu(entry);
    const struct ph_placement *only = counting(hub, entry ? ph_entry_first_rcu(entry) : NULL);
    unsigned running = 0, where = SIM_NODES_MAX;
    for (const struct sim_instance *at = sim->instances; at; at = at->next) {
        if (at->id != id || at->ended || !sim->core[at->node->index])
            continue;
        running++;
        where = at->node->index;
    }
    if (!wanted && running)
        return because("%s runs on n%u although %s knows that it is stopped", name, where,
                       node->name);
    if (running > 1)
        return because("%s runs %u times", name, running);
    if (!wanted)
        return only ? because("%s has a placement of %s, which is stopped", node->name, name)
                    : NULL;
    if (!only)
        return because("%s knows no placement of %s, which is wanted", node->name, name);
    const struct ph_placement *second = counting(hub, ph_placement_next_rcu(only));
    if (second)
        return because("%s knows two placements of %s: on %s and %s", node->name, name,
                       hub->cluster->members[only->member]->info.name,
                       hub->cluster->members[second->member]->info.name);
    struct ph_placed placed;
    ph_placement_read_rcu(only, &placed);
    const char *on = hub->cluster->members[only->member]->info.name;
    if (placed.state == PH_STATE_FAILED)
        return NULL;
    if (placed.state != PH_STATE_RUNNING || running != 1)
        return because("%s is %s on %s in the eyes of %s, and %u instances run", name,
                       ph_state_name(placed.state), on, node->name, running);
    uint16_t owner = ph_members_owner(ph_members_rcu(hub), entry->hash, entry);
    if (owner != only->member || strcmp(sim->nodes[where].name, on) != 0)
        return because("%s runs on n%u, %s has it on %s, and it belongs to %s", name, where,
                       node->name, on,
                       owner == PH_NO_MEMBER ? "nobody" : hub->cluster->members[owner]->info.name);
    return NULL;
}

static const char *check_pending(const struct sim *sim)
{
    for (const struct sim_request *at = sim->pending; at; at = at->next)
        if (sim->core[at->hub->node->index])
            return because("a request of %s is not answered: %s c%u since %.3f",
                           at->hub->node->name, ph_event_name(at->verb), at->id,
                           (double)at->began_us / 1e6);
    uint64_t missing = sim_mail_missing(sim);
    if (missing)
        return because("message %llu is not handled, and nothing was lost",
                       (unsigned long long)missing);
    return NULL;
}

/* Those that are left out hear it, and stop. */
static const char *check_left_out(const struct sim *sim)
{
    for (const struct sim_instance *at = sim->instances; at; at = at->next)
        if (!at->ended && at->node->half_cut && sim_acts(at))
            return because("%s is left out by nodes that it hears, and still runs c%u",
                           at->node->name, at->id);
    return NULL;
}

static const char *check_clash(const struct sim *sim)
{
    const struct sim_node *holder = &sim->nodes[0], *rival = &sim->nodes[sim->config.nodes];
    if (sim->config.clash && rival->alive && (!holder->clashes || !rival->clashes))
        return because("%s at %s is not told that its name is taken",
                       holder->clashes ? rival->name : holder->name,
                       holder->clashes ? rival->endpoint : holder->endpoint);
    return NULL;
}

const char *sim_unsettled(struct sim *sim)
{
    unsigned expected = 0;
    const char *why = check_pending(sim);
    if (!why)
        why = check_left_out(sim);
    if (!why)
        why = check_clash(sim);
    for (unsigned i = 0; i < sim->config.nodes; i++)
        expected += sim->core[i] && sim->nodes[i].hub;
    for (unsigned i = 0; !why && i < sim->config.nodes; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (sim->core[i] && !node->hub && node->disk.journal.synced)
            why = because("%s has a journal, and has not begun again", node->name);
        if (!sim->core[i] || !node->hub)
            continue;
        why = check_members(sim, node, expected);
        if (!why)
            why = check_idle(node);
        if (!why)
            why = check_disk(node);
        for (unsigned id = 0; !why && id < sim->config.ids; id++)
            why = check_id(sim, node, id);
    }
    return why;
}

bool sim_settle(struct sim *sim)
{
    uint64_t until_us = sim->now_us + (uint64_t)SETTLE_S * 1000000;
    uint64_t look_us = sim->now_us + 2000000;
    const char *why = "it has not begun";
    while (sim->now_us < until_us) {
        if (!sim_step(sim))
            return false;
        if (sim->now_us < look_us)
            continue;
        look_us = sim->now_us + 250000;
        why = sim_unsettled(sim);
        if (!why)
            break;
    }
    if (why)
        sim_fail(sim, "not settled after %d s: %s", SETTLE_S, why);
    else
        sim_check_promises(sim);
    return !sim->failed;
}

/* ---- For people ------------------------------------------------------------------------------ */

static void describe_member(const struct sim_hub *hub, const struct ph_member *member)
{
    uint64_t now_ms = sim_local_ms(hub->node);
    struct ph_mesh_stats stats;
    ph_mesh_stats(hub->node->mesh, member->info.peer, &stats);
    sim_note(hub->node->sim, hub->node, "link", "to %s: %llu bytes queued, rtt %llu ms, %llu again",
             member->info.name, (unsigned long long)stats.queued_bytes,
             (unsigned long long)stats.rtt_ms, (unsigned long long)stats.retransmits);
    sim_note(
        hub->node->sim, hub->node, "member",
        "%s %s%s%s%s%s%s%s%s%s flags %u hears %u log %llu of %llu, silent %llu ms, echo %llu ms",
        member->info.name, ph_member_state_name(member->info.state),
        member->info.in_view ? " in_view" : "", member->greeted ? " greeted" : "",
        member->repaired ? " repaired" : "", member->caught_up ? " caught_up" : "",
        member->gone ? " gone" : "", member->repairing ? " repairing" : "",
        member->answered ? " answered" : "", member->dropped ? " dropped" : "", member->flags,
        member->hears_count, (unsigned long long)member->log_hi,
        (unsigned long long)member->log_announced, (unsigned long long)(now_ms - member->heard_ms),
        (unsigned long long)(now_ms - member->echoed_ms));
}

static void describe_id(const struct sim_hub *hub, unsigned id)
{
    char name[16];
    sim_id_name(id, name);
    const struct ph_entry *entry = ph_directory_find_rcu(hub->hub.directory, name, strlen(name));
    if (!entry)
        return;
    sim_note(hub->node->sim, hub->node, "entry", "%s %s version %llu, pin %llu, child %s%s%s%s%s",
             name, ph_entry_spec_rcu(entry) ? "wanted" : "stopped",
             (unsigned long long)entry->version.clock, (unsigned long long)entry->pinned.clock,
             entry->child ? ph_state_name(ph_child_state(entry->child)) : "none",
             entry->pending ? ", pending" : "", entry->move ? ", moving" : "",
             entry->mail && entry->mail->waiting.first ? ", mail waits" : "",
             entry->moved_to ? ", on its way" : "");
    sim_note(hub->node->sim, hub->node, "entry", "%s starts on %u, belongs to %u", name,
             ph_cluster_starter(hub->hub.cluster, entry),
             ph_cluster_owner(hub->hub.cluster, entry));
    for (const struct ph_placement *at = ph_entry_first_rcu(entry); at;
         at = ph_placement_next_rcu(at)) {
        struct ph_placed placed;
        ph_placement_read_rcu(at, &placed);
        sim_note(hub->node->sim, hub->node, "placement", "%s on %s: %s epoch %llu%s", name,
                 hub->hub.cluster->members[at->member]->info.name, ph_state_name(placed.state),
                 (unsigned long long)placed.epoch,
                 ph_directory_is_void(hub->hub.directory, at) ? " void" : "");
    }
}

static void describe_drain(const struct sim_hub *hub, unsigned node)
{
    char mark[24];
    int length = snprintf(mark, sizeof mark, "drain n%u", node);
    struct ph_entry *entry = ph_directory_find_rcu(hub->hub.directory, mark, (size_t)length);
    if (entry)
        sim_note(hub->node->sim, hub->node, "entry", "%s: %llu, version %llu of %llx", mark,
                 (unsigned long long)atomic_load_explicit(&entry->mark, memory_order_relaxed),
                 (unsigned long long)entry->version.clock,
                 (unsigned long long)entry->version.author);
}

void sim_describe(struct sim *sim)
{
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *hub = sim->nodes[i].hub;
        if (!hub)
            continue;
        const struct ph_cluster *cluster = hub->hub.cluster;
        sim_note(sim, hub->node, "view", "%016llx of %u%s%s%s%s, epoch %llu, gate %u",
                 (unsigned long long)cluster->view, cluster->in_view,
                 cluster->fenced ? " fenced" : "", cluster->excluded ? " excluded" : "",
                 cluster->view_wanted ? " wanted" : "",
                 cluster->view_queued ? " queued"
                 : cluster->agreed    ? " agreed"
                                      : "",
                 (unsigned long long)hub->hub.last_epoch, hub->hub.gate.level);
        for (uint16_t slot = 1; slot < cluster->count; slot++)
            describe_member(hub, cluster->members[slot]);
        for (unsigned id = 0; id < sim->config.ids; id++)
            describe_id(hub, id);
        for (unsigned n = 0; n < sim->config.nodes; n++)
            describe_drain(hub, n);
    }
}
