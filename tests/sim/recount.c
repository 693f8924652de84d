/*
 * Counting anew: what a hub keeps up to date in small steps, against a naive look at everything.
 *
 * Counters, lists, hashes and cross references of the directory, the registry, the own log and the
 * cluster half, and what the fake exec port really runs. Every few steps of a hub, since it looks
 * at all there is.
 */
#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/cluster_move.h"
#include "engine/cluster_requests.h"
#include "engine/directory_inside.h"
#include "tests/sim/oracle.h"
#include "tests/sim/report.h"

#define EXPECT(hub, ok, ...)                         \
    do {                                             \
        if (!(ok))                                   \
            sim_fail((hub)->node->sim, __VA_ARGS__); \
    } while (0)

typedef unsigned long long wide;

/* Which entry it is, when the hub has nothing to do for it yet. */
static bool is_reconciled(const struct sim_hub *hub, const struct ph_entry *entry)
{
    return !entry->queued && !hub->hub.cluster->scanning;
}

static bool is_in_hash(const struct ph_entry *entry)
{
    return ph_entry_spec_rcu(entry) ||
           atomic_load_explicit(&((struct ph_entry *)(uintptr_t)entry)->mark, memory_order_relaxed);
}

/* ---- Entries ------------------------------------------------------------------------------- */

/* Sums over all entries. */
struct sums {
    uint64_t entries, wanted, misplaced, moves, children, pendings;
    uint64_t queued, pushing, waiting, stones;
    uint64_t placed[PH_MEMBERS_MAX], by_state[PH_STATES];
};

static void add_placements(const struct sim_hub *hub, const struct ph_entry *entry,
                           struct sums *sums)
{
    bool seen[PH_MEMBERS_MAX] = {0};
    for (const struct ph_placement *at = ph_entry_first_rcu(entry); at;
         at = ph_placement_next_rcu(at)) {
        EXPECT(hub, at->entry == entry && at->member < hub->hub.cluster->count,
               "%s: a placement of %s belongs elsewhere", hub->node->name, entry->id);
        EXPECT(hub, !seen[at->member], "%s has two placements of %s on one member", hub->node->name,
               entry->id);
        seen[at->member] = true;
        sums->placed[at->member]++;
    }
}

static void add_entry(const struct sim_hub *hub, const struct ph_entry *entry, struct sums *sums)
{
    sums->entries++;
    sums->wanted += ph_entry_spec_rcu(entry) != NULL;
    sums->misplaced += entry->misplaced;
    sums->moves += entry->move != NULL;
    sums->children += entry->child != NULL;
    sums->queued += entry->queued;
    sums->pushing += entry->pushing;
    sums->waiting += entry->waiting;
    sums->stones += entry->in_stones;
    if (entry->shown != PH_STATES)
        sums->by_state[entry->shown]++;
    for (const struct ph_pending *at = entry->pending; at; at = at->next)
        sums->pendings++;
    add_placements(hub, entry, sums);
}

/* What it is counted under, once all is looked at. */
static void check_shown(const struct sim_hub *hub, const struct ph_entry *entry)
{
    const struct ph_cluster *cluster = hub->hub.cluster;
    const struct ph_placement *best = ph_cluster_live_placement(cluster, entry, PH_NO_MEMBER);
    struct ph_placed placed;
    unsigned shown = ph_entry_first_rcu(entry) ? PH_STATE_UNKNOWN : PH_STATE_STARTING;
    if (!is_reconciled(hub, entry))
        return;
    if (best) {
        ph_placement_read_rcu(best, &placed);
        shown = placed.state;
    }
    if (!ph_entry_spec_rcu(entry))
        shown = PH_STATES;
    EXPECT(hub, entry->shown == shown, "%s counts %s under state %u, and it is in %u",
           hub->node->name, entry->id, entry->shown, shown);
}

/* The row of the own log, and the child. */
static void check_own(const struct sim_hub *hub, const struct ph_entry *entry)
{
    const struct ph_placement *here = ph_entry_first_rcu(entry);
    struct ph_placed placed;
    while (here && here->member != 0)
        here = ph_placement_next_rcu(here);
    EXPECT(hub, !here || (entry->own && entry->own->placement == here),
           "%s has a placement of %s that is not in its log", hub->node->name, entry->id);
    EXPECT(hub, here || !entry->own || !entry->own->placement,
           "%s has %s in its log and no placement of it", hub->node->name, entry->id);
    EXPECT(hub, !entry->child || entry->child->entry == entry, "%s: %s and its child are apart",
           hub->node->name, entry->id);
    if (!is_reconciled(hub, entry))
        return;
    bool runs = entry->child && !ph_move_stands_by(entry);
    EXPECT(hub, runs == (here != NULL), "%s has %s of %s and %s", hub->node->name,
           runs ? "a child" : "no child", entry->id, here ? "a row" : "no row");
    if (!entry->child || !here)
        return;
    ph_placement_read_rcu(here, &placed);
    EXPECT(hub,
           placed.state == ph_child_state(entry->child) &&
               placed.epoch == atomic_load_explicit(&entry->child->epoch, memory_order_relaxed),
           "%s's row of %s says %s in epoch %llu, and it is %s", hub->node->name, entry->id,
           ph_state_name(placed.state), (wide)placed.epoch,
           ph_state_name(ph_child_state(entry->child)));
}

/* A tombstone that is in no list is never purged. */
static void check_stone(const struct sim_hub *hub, const struct ph_entry *entry)
{
    bool stopped = !is_in_hash(entry) && (entry->version.clock || entry->pinned.clock);
    EXPECT(hub, !stopped || entry->in_stones, "%s: the tombstone of %s is in no list",
           hub->node->name, entry->id);
}

static void sum_entries(const struct sim_hub *hub, struct sums *sums)
{
    const struct ph_directory *directory = hub->hub.directory;
    for (size_t i = 0; i < directory->all_count; i++) {
        const struct ph_entry *entry = *ph_directory_slot(directory, i);
        EXPECT(hub,
               ph_directory_find_rcu(directory, entry->id, entry->id_length) == entry &&
                   entry->index == i,
               "%s does not find %s in its table", hub->node->name, entry->id);
        add_entry(hub, entry, sums);
        check_shown(hub, entry);
        check_own(hub, entry);
        check_stone(hub, entry);
    }
}

/* ---- Lists --------------------------------------------------------------------------------- */

static void compare(const struct sim_hub *hub, const char *what, uint64_t kept, uint64_t counted)
{
    EXPECT(hub, kept == counted, "%s keeps %llu as the number of %s, and there are %llu",
           hub->node->name, (wide)kept, what, (wide)counted);
}

static void check_sums(const struct sim_hub *hub, const struct sums *sums)
{
    const struct ph_cluster *cluster = hub->hub.cluster;
    const struct ph_directory *directory = hub->hub.directory;
    compare(hub, "entries", ph_directory_entries(directory), sums->entries);
    compare(hub, "wanted children", ph_directory_wanted_count(directory), sums->wanted);
    compare(hub, "children that are misplaced", cluster->misplaced, sums->misplaced);
    compare(hub, "moves", cluster->moves_in + cluster->moves_out, sums->moves);
    for (uint16_t slot = 0; slot < cluster->count; slot++)
        compare(hub, "placements of a member", ph_directory_placed(directory, slot),
                sums->placed[slot]);
    for (unsigned state = 0; state < PH_STATES; state++)
        compare(hub, "children in a state", cluster->by_state[state], sums->by_state[state]);
}

/* Bytes that some move has reserved, and each at most once. */
static void check_bytes(const struct sim_hub *hub)
{
    const struct ph_cluster *cluster = hub->hub.cluster;
    uint64_t out = 0, in = 0, copies = 0;
    for (const struct ph_transfer *at = cluster->moves_first; at; at = at->next) {
        *(at->incoming ? &in : &out) += at->reserved;
        copies += at->copy && at->reserved < at->copy->length;
    }
    compare(hub, "bytes that are under way", cluster->moves_bytes, out);
    compare(hub, "bytes that came ahead", cluster->copies_bytes, in);
    compare(hub, "copies without memory", 0, copies);
}

static void check_lists(const struct sim_hub *hub, const struct sums *sums)
{
    const struct ph_cluster *cluster = hub->hub.cluster;
    uint64_t dirty = 0, push = 0, waiting = 0, pendings = 0, stones = 0;
    for (const struct ph_entry *at = cluster->dirty_first; at; at = at->next_dirty)
        dirty++;
    for (const struct ph_entry *at = cluster->push_first; at; at = at->next_push)
        push++;
    for (const struct ph_entry *at = cluster->waiting_first; at; at = at->next_waiting)
        waiting++;
    for (const struct ph_pending *at = cluster->pendings; at; at = at->after)
        pendings++;
    for (const struct ph_entry *at = hub->hub.directory->stones; at; at = at->stone_next)
        stones++;
    compare(hub, "entries to look at", dirty, sums->queued);
    compare(hub, "intents to push", push, sums->pushing);
    compare(hub, "intents that were queued and not sent", cluster->push_queued - cluster->push_sent,
            push);
    compare(hub, "moves that wait", waiting, sums->waiting);
    compare(hub, "requests that wait", pendings, sums->pendings);
    compare(hub, "tombstones", stones, sums->stones);
}

static void check_log(const struct sim_hub *hub)
{
    const struct ph_directory *directory = hub->hub.directory;
    uint64_t last = 0, placed = 0, gone = 0, in_gone = 0;
    for (const struct ph_own *own = directory->log_first; own; own = own->next) {
        EXPECT(hub, own->number > last && own->number <= directory->log_hi,
               "%s's log is out of order at %llu", hub->node->name, (wide)own->number);
        EXPECT(hub, own->entry->own == own, "%s's log has a row of %s that is not its last",
               hub->node->name, own->entry->id);
        last = own->number;
        placed += own->placement != NULL;
        gone += own->placement == NULL;
    }
    for (const struct ph_own *own = directory->gone_first; own; own = own->gone_next)
        in_gone++;
    compare(hub, "rows in its log", ph_directory_placed(directory, 0), placed);
    compare(hub, "removals in its log", in_gone, gone);
}

/* ---- Members ------------------------------------------------------------------------------- */

static void check_members(const struct sim_hub *hub)
{
    const struct ph_cluster *cluster = hub->hub.cluster;
    uint64_t in_view = 0;
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        char mark[PH_NAME_MAX + 8];
        int length = snprintf(mark, sizeof mark, "drain %s", member->info.name);
        struct ph_entry *entry = ph_directory_find_rcu(hub->hub.directory, mark, (size_t)length);
        bool drains = entry && atomic_load_explicit(&entry->mark, memory_order_relaxed);
        in_view += member->info.in_view;
        EXPECT(hub, !member->info.in_view || member->info.draining == drains,
               "%s takes %s for one that is %sdrained, and %s", hub->node->name, member->info.name,
               drains ? "not " : "", drains ? "it is" : "it is not");
    }
    compare(hub, "members of its view", cluster->in_view, in_view);
}

/* ---- The registry and what really runs ------------------------------------------------------- */

struct local {
    const struct sim_hub *hub;
    uint64_t children, by_state[PH_STATES];
};

static const struct sim_instance *instance_of(const struct sim_hub *hub,
                                              const struct ph_child *child)
{
    const struct sim_instance *at = hub->node->sim->instances;
    while (at && (at->hub != hub || at->child != child || at->ended))
        at = at->next;
    return at;
}

static bool check_child(void *arg, struct ph_child *child)
{
    struct local *local = arg;
    const struct sim_hub *hub = local->hub;
    enum ph_state state = ph_child_state(child);
    local->children++;
    local->by_state[state]++;
    EXPECT(hub, child->entry && child->entry->child == child,
           "%s has %s in its registry, and the directory has another one", hub->node->name,
           child->id);
    if (!ph_queue_is_empty((struct ph_queue *)(uintptr_t)&hub->inbox) || hub->batch)
        return true; /* it may be about to hear of its end */
    const struct sim_instance *instance = instance_of(hub, child);
    EXPECT(hub, instance || (state != PH_STATE_STARTING && state != PH_STATE_RUNNING),
           "%s has %s as %s, and nothing runs", hub->node->name, child->id, ph_state_name(state));
    EXPECT(hub, !instance || state != PH_STATE_RUNNING || instance->up,
           "%s has %s as running, and it has not come up", hub->node->name, child->id);
    return true;
}

static void check_registry(const struct sim_hub *hub, const struct sums *sums)
{
    const struct ph_status *picture = &hub->hub.picture;
    struct local local = {.hub = hub};
    ph_registry_each_rcu(hub->hub.registry, check_child, &local);
    compare(hub, "its children", picture->children, local.children);
    compare(hub, "its children", sums->children, local.children);
    for (unsigned state = 0; state < PH_STATES; state++)
        compare(hub, "its children in a state", picture->by_state[state], local.by_state[state]);
}

static void check_instances(const struct sim_hub *hub)
{
    for (const struct sim_instance *at = hub->node->sim->instances; at; at = at->next) {
        if (at->hub != hub || at->ended)
            continue;
        char name[16];
        sim_id_name(at->id, name);
        const struct ph_child *child = ph_registry_find_rcu(hub->hub.registry, name, strlen(name));
        EXPECT(hub, child == at->child, "%s runs %s, which its registry does not have",
               hub->node->name, name);
        if (child != at->child)
            return;
        enum ph_state state = ph_child_state(child);
        EXPECT(hub,
               atomic_load_explicit(&child->instance, memory_order_relaxed) == at->instance &&
                   state != PH_STATE_BACKOFF && state != PH_STATE_FAILED,
               "%s runs instance %u of %s, and has it as %s", hub->node->name, at->instance, name,
               ph_state_name(state));
    }
}

/* ---- Hashes of what is wanted ---------------------------------------------------------------- */

/* Marks the buckets in which `one` has something that `other` has not, or another version of it. */
static void mark_differences(const struct ph_directory *one, const struct ph_directory *other,
                             bool *differs)
{
    for (size_t i = 0; i < one->all_count; i++) {
        const struct ph_entry *entry = *ph_directory_slot(one, i);
        if (!is_in_hash(entry))
            continue;
        const struct ph_entry *twin = ph_directory_find_rcu(other, entry->id, entry->id_length);
        if (!twin || !is_in_hash(twin) || ph_version_compare(twin->version, entry->version) != 0 ||
            ph_version_compare(twin->pinned, entry->pinned) != 0)
            differs[ph_entry_bucket(entry)] = true;
    }
}

/* Two maps have the same hash when they are the same, and only then; and so has each bucket. */
static void check_hashes(const struct sim_hub *hub, const struct sim_hub *other)
{
    const struct ph_directory *one = hub->hub.directory, *two = other->hub.directory;
    bool differs[PH_BUCKETS] = {0}, any = false;
    mark_differences(one, two, differs);
    mark_differences(two, one, differs);
    for (unsigned bucket = 0; bucket < PH_BUCKETS; bucket++) {
        bool same = ph_directory_bucket(one, bucket) == ph_directory_bucket(two, bucket);
        any |= differs[bucket];
        EXPECT(hub, same == !differs[bucket],
               "%s and %s want %s in bucket %u, and its hashes are %s", hub->node->name,
               other->node->name, differs[bucket] ? "different things" : "the same", bucket,
               same ? "the same" : "different");
    }
    EXPECT(hub, (ph_directory_hash(one) == ph_directory_hash(two)) == !any,
           "%s and %s want %s, and their hashes do not say so", hub->node->name, other->node->name,
           any ? "different things" : "the same");
}

void sim_recount(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    struct sums sums = {0};
    sum_entries(hub, &sums);
    check_sums(hub, &sums);
    check_lists(hub, &sums);
    check_bytes(hub);
    check_log(hub);
    check_members(hub);
    check_registry(hub, &sums);
    check_instances(hub);
    for (unsigned i = 0; i < sim->config.nodes; i++)
        if (sim->nodes[i].hub && sim->nodes[i].hub != hub)
            check_hashes(hub, sim->nodes[i].hub);
}
