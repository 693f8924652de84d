#include "tests/sim/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/legacy.h"
#include "engine/spec.h"
#include "tests/lib/ballast.h"
#include "tests/sim/disks.h"
#include "tests/sim/oracle.h"
#include "tests/sim/report.h"
#include "tests/sim/workload.h"

enum { RECOUNT_STEPS = 41 };

struct sim_oracle *sim_oracle_create(void)
{
    return ph_alloc(sizeof(struct sim_oracle));
}

void sim_oracle_destroy(struct sim_oracle *oracle)
{
    sim_logs_destroy(oracle);
    ph_free(oracle->written);
    ph_free(oracle->letters);
    ph_free(oracle);
}

static struct ph_entry *entry_of(const struct sim_hub *hub, unsigned id)
{
    char name[16];
    sim_id_name(id, name);
    return ph_directory_find_rcu(hub->hub.directory, name, strlen(name));
}

static unsigned node_of(const struct sim *sim, const char *name)
{
    unsigned i = 0;
    while (i < sim->config.nodes && strcmp(sim->nodes[i].name, name) != 0)
        i++;
    return i == sim->config.nodes ? SIM_NODES_MAX : i;
}

struct ph_version sim_version_of(const struct sim_hub *hub, unsigned id)
{
    const struct ph_entry *entry = entry_of(hub, id);
    return entry ? entry->version : (struct ph_version){0};
}

/* ---- One active instance -------------------------------------------------------------------- */

/* Under a quorum no two act, ever: who has no lease does not act. */
static void check_single(struct sim *sim, const struct sim_instance *instance)
{
    if (!sim->config.strict || !sim_acts(instance))
        return;
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_instance *other = sim->oracle->acting[instance->id][i];
        if (!other || i == instance->node->index || !other->hub || !sim_acts(other))
            continue;
        sim_fail(sim, "c%u acts on %s in epoch %llu and on %s in epoch %llu, and both have a lease",
                 instance->id, instance->node->name, (unsigned long long)instance->epoch,
                 other->node->name, (unsigned long long)other->epoch);
    }
}

/* Of two that know each other only one gives way. */
void sim_check_duplicate(struct sim_hub *hub, const char *id, const char *text)
{
    struct sim *sim = hub->node->sim;
    struct sim_oracle *oracle = sim->oracle;
    char name[16];
    unsigned number = sim_id_of(id), here = hub->node->index;
    if (sscanf(text, "it runs on %15[^,]", name) != 1)
        return;
    unsigned winner = node_of(sim, name);
    const struct sim_instance *loser = oracle->acting[number][here];
    const struct sim_instance *other = oracle->acting[number][winner];
    if (!loser || !other)
        return;
    oracle->gave_way[number][here] = loser->epoch;
    if (oracle->gave_way[number][winner] == other->epoch && other->epoch != loser->epoch &&
        oracle->gave_way_to[number][winner] == loser->epoch)
        sim_fail(sim, "c%u gives way on %s to the one on %s, and that one to this one", number,
                 hub->node->name, name);
    oracle->gave_way_to[number][here] = other->epoch;
}

static void check_epoch(struct sim_instance *instance)
{
    struct sim *sim = instance->node->sim;
    struct sim_seen *seen = &sim->oracle->seen[instance->node->index];
    const struct ph_entry *entry = entry_of(instance->hub, instance->id);
    if (instance->epoch <= seen->epoch)
        sim_fail(sim, "%s starts c%u in epoch %llu after one in epoch %llu", instance->node->name,
                 instance->id, (unsigned long long)instance->epoch,
                 (unsigned long long)seen->epoch);
    seen->epoch = instance->epoch;
    for (const struct ph_placement *at = entry ? ph_entry_first_rcu(entry) : NULL; at;
         at = ph_placement_next_rcu(at)) {
        struct ph_placed placed;
        ph_placement_read_rcu(at, &placed);
        if (at->member != 0 && placed.epoch >= instance->epoch)
            sim_fail(sim, "%s starts c%u in epoch %llu and knows one in epoch %llu",
                     instance->node->name, instance->id, (unsigned long long)instance->epoch,
                     (unsigned long long)placed.epoch);
    }
}

/* ---- State that is handed on ----------------------------------------------------------------- */

static void note_upheaval(const struct sim_hub *hub)
{
    struct sim_oracle *oracle = hub->node->sim->oracle;
    struct sim_seen *seen = &oracle->seen[hub->node->index];
    const struct ph_cluster *cluster = hub->hub.cluster;
    if (cluster->view == seen->view && cluster->fenced == seen->fenced)
        return;
    seen->view = cluster->view;
    seen->fenced = cluster->fenced;
    oracle->upheavals++;
}

void sim_check_saved(const struct sim_instance *instance)
{
    struct sim_oracle *oracle = instance->node->sim->oracle;
    const struct ph_entry *entry = entry_of(instance->hub, instance->id);
    oracle->saved[instance->id] = (struct sim_saved){
        .waits = entry && ph_entry_spec_rcu(entry), /* else nobody is to have it */
        .upheavals = oracle->upheavals,
        .written = sim_version_of(instance->hub, instance->id),
    };
}

/* To the last byte, and not as it was at some time before. */
void sim_check_loaded(const struct sim_hub *hub, unsigned id, const struct ph_text *state)
{
    struct sim *sim = hub->node->sim;
    const char *text = ph_text_str(state);
    const struct sim_instance *from = sim_saver_of(sim, id, text);
    unsigned long long counter = strtoull(text, NULL, 10);
    uint64_t number = counter;
    if (!from)
        sim_fail(sim, "c%u is to begin on %s with what nobody has saved", id, hub->node->name);
    else if (from->counter != counter)
        sim_fail(sim, "c%u is to begin on %s with %llu, and ended on %s with %llu", id,
                 hub->node->name, counter, from->node->name, (unsigned long long)from->counter);
    else if (sim->config.ballast &&
             (!ballast_get(text, state->length, sim->config.ballast, &number) || number != counter))
        sim_fail(sim, "c%u is to begin on %s with a state that is not whole", id, hub->node->name);
}

void sim_check_unsaved(const struct sim_instance *instance)
{
    uint64_t *unsaved = &instance->node->sim->oracle->unsaved[instance->id];
    sim_mail_lost_of(instance->node->sim, instance->id);
    *unsaved = instance->epoch > *unsaved ? instance->epoch : *unsaved;
}

void sim_check_spent(const struct sim_instance *instance)
{
    instance->node->sim->oracle->saved[instance->id].waits = false;
}

/* A child that was moved does not begin anew, whether its move ended well or not. */
static void check_state(const struct sim_instance *instance)
{
    struct sim *sim = instance->node->sim;
    struct sim_oracle *oracle = sim->oracle;
    const struct sim_saved *saved = &oracle->saved[instance->id];
    note_upheaval(instance->hub);
    bool unconfirmed = sim->config.hot && !sim->config.hot_confirm; /* that may lose it */
    if (sim->config.strict && !unconfirmed && saved->waits && !instance->loaded &&
        instance->instance == 1 && saved->upheavals == oracle->upheavals &&
        ph_version_compare(saved->written, oracle->newest[instance->id]) == 0)
        sim_fail(sim, "%s starts c%u without the state that was saved", instance->node->name,
                 instance->id);
}

/* ---- State of instances that give way -------------------------------------------------------- */

/* Once, unless the node that has joined it before is dead. */
void sim_check_joined(const struct sim_instance *instance, const char *state)
{
    struct sim *sim = instance->node->sim;
    struct sim_instance *from = sim_saver_of(sim, instance->id, state);
    if (!from)
        sim_fail(sim, "c%u joins '%s' on %s, which nobody has saved", instance->id, state,
                 instance->node->name);
    else if (from->joined_into && from->joined_into->hub)
        sim_fail(sim, "c%u joins the state of epoch %llu on %s, and it was joined on %s",
                 instance->id, (unsigned long long)from->epoch, instance->node->name,
                 from->joined_into->node->name);
    else
        from->joined_into = instance;
    sim_check_spent(instance);
}

void sim_check_conflict(struct sim_hub *hub, const char *id, const char *text)
{
    unsigned long long number;
    const struct ph_conflict *conflict =
        sscanf(text, "conflict %llu", &number) == 1
            ? ph_conflicts_find(&hub->hub.cluster->merges.conflicts, number)
            : NULL;
    struct sim_instance *from =
        conflict ? sim_saver_of(hub->node->sim, sim_id_of(id), conflict->legacy->state) : NULL;
    if (from) {
        from->stored = true;
        sim_check_spent(from);
        return;
    }
    sim_fail(hub->node->sim, "%s says that it keeps a state of %s, and does not", hub->node->name,
             id);
}

/* Nothing is lost in a collapse: what went to another one is in its state, or in a store. */
void sim_check_gave_way(struct sim_hub *hub, const char *id, const char *text)
{
    struct sim *sim = hub->node->sim;
    const struct sim_instance *from = sim->oracle->acting[sim_id_of(id)][hub->node->index];
    if (!from || strncmp(text, "it gave way to", 14) != 0)
        return;
    if (!from->joined_into && !from->stored)
        sim_fail(sim, "the state of %s in epoch %llu on %s is in no other one and in no store", id,
                 (unsigned long long)from->epoch, hub->node->name);
}

/* ---- Starts and leases ----------------------------------------------------------------------- */

/* The first one after an end without a save: is it a restart at the same place? */
static void note_started(const struct sim_instance *instance)
{
    struct sim_oracle *oracle = instance->node->sim->oracle;
    uint64_t *started = &oracle->started[instance->id];
    if (instance->instance == 1 && *started <= oracle->unsaved[instance->id])
        oracle->anew[instance->id] = oracle->unsaved[instance->id];
    *started = instance->epoch > *started ? instance->epoch : *started;
}

void sim_check_start(struct sim_instance *instance)
{
    struct sim *sim = instance->node->sim;
    const struct ph_hub *hub = &instance->hub->hub;
    uint64_t lease_ms = atomic_load_explicit(&hub->lease_until_ms, memory_order_relaxed);
    if (hub->cluster->fenced)
        sim_fail(sim, "%s is fenced and starts c%u", instance->node->name, instance->id);
    if (lease_ms <= hub->now_ms)
        sim_fail(sim, "%s starts c%u %llu ms after its lease", instance->node->name, instance->id,
                 (unsigned long long)(hub->now_ms - lease_ms));
    sim->oracle->acting[instance->id][instance->node->index] = instance;
    check_single(sim, instance);
    check_epoch(instance);
    check_state(instance);
    note_started(instance);
}

/* A lease that was over and is there again. */
static void check_lease(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    struct sim_seen *seen = &sim->oracle->seen[hub->node->index];
    uint64_t lease_ms = atomic_load_explicit(&hub->hub.lease_until_ms, memory_order_relaxed);
    bool leased = sim_local_ms(hub->node) < lease_ms;
    for (unsigned id = 0; leased && !seen->leased && id < sim->config.ids; id++) {
        const struct sim_instance *here = sim->oracle->acting[id][hub->node->index];
        if (here && here->hub == hub)
            check_single(sim, here);
    }
    seen->leased = leased;
}

/* ---- Intents ------------------------------------------------------------------------------- */

/* Is it, or something younger, on that node's disk? */
static bool is_on_disk(const struct sim_node *node, unsigned id, struct ph_version version)
{
    bool wanted;
    return sim_keeps(node) && ph_version_compare(sim_disk_version(node, id, &wanted), version) >= 0;
}

/* Another hub that has it, or something younger. NULL: none. */
static const struct sim_hub *holder_of(struct sim *sim, unsigned id, struct ph_version version,
                                       const struct sim_hub *but, bool of_core)
{
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *hub = sim->nodes[i].hub;
        if (hub && hub != but && (sim->core[i] || !of_core) &&
            ph_version_compare(sim_version_of(hub, id), version) >= 0)
            return hub;
    }
    return NULL;
}

/* Has a node, or its disk, another intent of the same version? */
static bool contradicts(const struct sim_node *node, const struct ph_entry *written, unsigned id)
{
    const struct ph_entry *have = node->hub ? entry_of(node->hub, id) : NULL;
    bool stopped = !ph_entry_spec_rcu(written), wanted;
    if (have && have != written && !ph_entry_spec_rcu(have) != stopped &&
        ph_version_compare(have->version, written->version) == 0)
        return true;
    struct ph_version kept = sim_disk_version(node, id, &wanted);
    return wanted == stopped && ph_version_compare(kept, written->version) == 0;
}

/* Has a life before written another one of that version? */
static bool was_written(const struct sim_oracle *oracle, const struct ph_entry *written,
                        unsigned id)
{
    for (size_t i = 0; i < oracle->written_count; i++)
        if (oracle->written[i].id == id &&
            oracle->written[i].stopped != !ph_entry_spec_rcu(written) &&
            ph_version_compare(oracle->written[i].version, written->version) == 0)
            return true;
    return false;
}

/* Of two with one version each node would keep its own, for ever: what comes back to a later life
 * is what it was. A life whose clock was lost may begin where another one did; so may one that
 * finds an old journal, because the disk was full: then it counts whether anybody has the other. */
static void check_unwritten(struct sim_hub *hub, const struct ph_entry *entry, unsigned id)
{
    struct sim *sim = hub->node->sim;
    if (sim->config.lost_disks)
        return;
    bool written = !sim->config.journals && was_written(sim->oracle, entry, id);
    for (unsigned i = 0; i < sim->config.nodes; i++)
        written |= contradicts(&sim->nodes[i], entry, id);
    if (written)
        sim_fail(sim, "%s writes version %llu of c%u, and there is or was another one",
                 hub->node->name, (unsigned long long)entry->version.clock, id);
}

static void note_written(struct sim_hub *hub, const struct ph_entry *entry, unsigned id)
{
    struct sim_oracle *oracle = hub->node->sim->oracle;
    check_unwritten(hub, entry, id);
    oracle->written = sim_grow(oracle->written, oracle->written_count, &oracle->written_capacity,
                               sizeof *oracle->written);
    if (ph_version_compare(entry->version, oracle->newest[id]) > 0)
        oracle->newest[id] = entry->version;
    sim_mail_lost_of(hub->node->sim, id);
    oracle->written[oracle->written_count++] = (struct sim_written){
        .version = entry->version,
        .id = id,
        .node = hub->node->index,
        .life = hub->generation,
        .stopped = !ph_entry_spec_rcu(entry),
    };
}

/* When it was: they stand in the order in which they were written. */
static size_t written_at(const struct sim_oracle *oracle, unsigned id, struct ph_version version)
{
    size_t i = oracle->written_count;
    while (i && (oracle->written[i - 1].id != id ||
                 ph_version_compare(oracle->written[i - 1].version, version) != 0))
        i--;
    return i;
}

static bool has_met(const struct sim_hub *hub, const struct sim_hub *other)
{
    const struct ph_member *member = ph_member_by_name(hub->hub.cluster, other->node->name);
    return member && member->info.generation == other->generation && !member->left;
}

/* A node that is gone, that this hub has met in any life, and whose disk wants what was stopped. */
static bool wants_when_it_returns(const struct sim_hub *hub, const struct sim_node *node,
                                  unsigned id, size_t stopped)
{
    const struct ph_member *member = ph_member_by_name(hub->hub.cluster, node->name);
    bool wanted = false;
    if (node->hub || !sim_keeps(node) || !member || !ph_member_may_want(member))
        return false;
    struct ph_version version = sim_disk_version(node, id, &wanted);
    return wanted && written_at(node->sim->oracle, id, version) < stopped;
}

/* Forgotten by all, it may begin anew; but not while one that this hub has met still
 * wants what was stopped. */
static void check_forgotten(struct sim_hub *hub, unsigned id)
{
    struct sim *sim = hub->node->sim;
    size_t stopped = written_at(sim->oracle, id, sim->oracle->promised[id]);
    sim->oracle->promised[id] = (struct ph_version){0};
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *other = sim->nodes[i].hub;
        const struct ph_entry *entry = other ? entry_of(other, id) : NULL;
        if (entry && ph_entry_spec_rcu(entry) && has_met(hub, other) &&
            written_at(sim->oracle, id, entry->version) < stopped)
            sim_fail(sim, "%s forgets that c%u is stopped, and %s still wants it", hub->node->name,
                     id, other->node->name);
        if (wants_when_it_returns(hub, &sim->nodes[i], id, stopped))
            sim_fail(sim, "%s forgets that c%u is stopped, and it is wanted on %s's disk",
                     hub->node->name, id, sim->nodes[i].name);
    }
}

/* Something younger was written, and it says that the child is stopped: it may be forgotten. */
static bool was_stopped_later(const struct sim *sim, unsigned id)
{
    const struct sim_oracle *oracle = sim->oracle;
    for (size_t i = 0; i < oracle->written_count; i++)
        if (oracle->written[i].id == id && oracle->written[i].stopped &&
            ph_version_compare(oracle->written[i].version, oracle->promised[id]) >= 0)
            return true;
    return false;
}

static void check_intents(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    struct sim_oracle *oracle = sim->oracle;
    struct sim_seen *seen = &oracle->seen[hub->node->index];
    for (unsigned id = 0; id < sim->config.ids; id++) {
        const struct ph_entry *entry = entry_of(hub, id);
        struct ph_version now = entry ? entry->version : (struct ph_version){0};
        int order = ph_version_compare(now, seen->version[id]);
        if (order < 0 && entry && now.clock)
            sim_fail(sim, "%s goes back from version %llu of c%u to %llu", hub->node->name,
                     (unsigned long long)seen->version[id].clock, id,
                     (unsigned long long)now.clock);
        bool forgotten = order < 0 && !holder_of(sim, id, oracle->promised[id], NULL, false);
        if (forgotten && oracle->promised_stop[id])
            check_forgotten(hub, id);
        else if (forgotten && was_stopped_later(sim, id)) /* which was promised to nobody */
            oracle->promised[id] = (struct ph_version){0};
        if (order > 0 && now.author == hub->node->name_hash)
            note_written(hub, entry, id);
        seen->version[id] = now;
    }
}

uint64_t sim_oracle_mark(const struct sim *sim)
{
    return sim->oracle->written_count;
}

void sim_check_acknowledged(const struct sim_request *request)
{
    struct sim_hub *hub = request->hub;
    struct sim *sim = request->sim;
    struct sim_oracle *oracle = sim->oracle;
    unsigned id = request->id;
    bool stop = request->verb == PH_EVENT_STOP;
    const struct sim_written *written = NULL;
    for (size_t i = request->mark; i < oracle->written_count && !written; i++) {
        const struct sim_written *at = &oracle->written[i];
        if (at->id == id && at->life == hub->generation && at->node == hub->node->index &&
            at->stopped == stop)
            written = at;
    }
    if (!written)
        return;
    bool alone = hub->hub.cluster->in_view < 2;
    if (sim_keeps(hub->node) && (alone || !hub->hub.cluster->journal.failed) &&
        !hub->hub.cluster->journal.emptied && !is_on_disk(hub->node, id, written->version))
        sim_fail(sim, "%s has acknowledged the %s of c%u (version %llu), and its disk lacks it",
                 hub->node->name, stop ? "stop" : "start", id,
                 (unsigned long long)written->version.clock);
    if (!alone && oracle->crashed_us < request->began_us &&
        !holder_of(sim, id, written->version, hub, false))
        sim_fail(sim, "%s has acknowledged the %s of c%u (version %llu), and nobody else has it",
                 hub->node->name, stop ? "stop" : "start", id,
                 (unsigned long long)written->version.clock);
    if (ph_version_compare(written->version, oracle->promised[id]) <= 0 ||
        !holder_of(sim, id, written->version, NULL, true))
        return;
    oracle->promised[id] = written->version;
    oracle->promised_stop[id] = stop;
}

void sim_check_request(struct sim_request *request)
{
    const struct ph_hub *hub = &request->hub->hub;
    struct ph_entry *entry = entry_of(request->hub, request->id);
    request->version = sim_version_of(request->hub, request->id);
    request->known_on = SIM_NODES_MAX;
    const struct ph_placement *at =
        entry ? ph_cluster_live_placement(hub->cluster, entry, PH_NO_MEMBER) : NULL;
    if (!at)
        return;
    struct ph_placed placed;
    ph_placement_read_rcu(at, &placed);
    request->known_on = node_of(request->sim, hub->cluster->members[at->member]->info.name);
    request->known_epoch = placed.epoch;
}

/* An instance of what it asked for was there since, or one that is younger than what it wrote. One
 * that runs since before, from another spec, is no answer. */
void sim_check_started(const struct sim_request *request)
{
    struct sim *sim = request->sim;
    const struct sim_oracle *oracle = sim->oracle;
    const struct sim_written *written = NULL;
    const struct ph_entry *entry = entry_of(request->hub, request->id);
    struct ph_spec *wanted = entry ? ph_entry_spec_rcu(entry) : NULL;
    for (size_t i = request->mark; i < oracle->written_count && !written; i++)
        if (oracle->written[i].id == request->id && !oracle->written[i].stopped &&
            oracle->written[i].life == request->hub->generation &&
            oracle->written[i].node == request->hub->node->index)
            written = &oracle->written[i];
    if (!written || (wanted && ph_spec_equal(wanted, request->spec)))
        return;
    for (const struct sim_instance *at = sim->instances; at; at = at->next)
        if (at->id == request->id && (at->epoch > written->version.clock ||
                                      (ph_spec_equal(at->spec, request->spec) &&
                                       (!at->ended || at->ended_us >= request->began_us))))
            return;
    sim_fail(sim, "%s has acknowledged the start of c%u, and nothing of what it asked for ran",
             request->hub->node->name, request->id);
}

/* By then the child is not wanted, unless somebody wanted it again; and the instance that the hub
 * knew of has ended, unless its node is out of the view, or was meanwhile. */
void sim_check_stopped(const struct sim_request *request)
{
    struct sim *sim = request->sim;
    const struct ph_hub *hub = &request->hub->hub;
    const struct ph_entry *entry = entry_of(request->hub, request->id);
    bool same =
        ph_version_compare(sim_version_of(request->hub, request->id), request->version) == 0;
    if (entry && ph_entry_spec_rcu(entry) && same)
        sim_fail(sim, "%s has acknowledged the stop of c%u and wants it as before",
                 request->hub->node->name, request->id);
    if (request->known_on == SIM_NODES_MAX)
        return;
    const struct sim_node *node = &sim->nodes[request->known_on];
    const struct sim_instance *instance = sim->oracle->acting[request->id][node->index];
    const struct ph_member *member = ph_member_by_name(hub->cluster, node->name);
    if (instance && instance->hub && !instance->ended && instance->epoch == request->known_epoch &&
        member->info.in_view && member->info.since_ms <= request->began_ms && node->hub &&
        member->info.generation == node->hub->generation)
        sim_fail(sim, "%s has acknowledged the stop of c%u, which still runs on %s",
                 request->hub->node->name, request->id, node->name);
}

/* Of nodes that are gone: one that is there knows more than its disk. */
static bool any_disk_has(const struct sim *sim, const struct sim_hub *gone, unsigned id,
                         struct ph_version version)
{
    bool has = false;
    for (unsigned i = 0; i < sim->config.nodes; i++)
        has |= sim->core[i] && sim->nodes[i].hub == gone && is_on_disk(&sim->nodes[i], id, version);
    return has;
}

/* What only those had who are gone is lost with them, and with their disks. */
static void forget_lost(struct sim *sim, const struct sim_hub *gone)
{
    for (unsigned id = 0; id < sim->config.ids; id++)
        if (sim->oracle->promised[id].clock &&
            !holder_of(sim, id, sim->oracle->promised[id], gone, true) &&
            !any_disk_has(sim, NULL, id, sim->oracle->promised[id]) &&
            !any_disk_has(sim, gone, id, sim->oracle->promised[id]))
            sim->oracle->promised[id] = (struct ph_version){0};
}

void sim_check_lost(struct sim *sim)
{
    forget_lost(sim, NULL);
}

/* The directories agree on what is wanted by now; a tombstone need not be everywhere. */
void sim_check_promises(struct sim *sim)
{
    struct sim_oracle *oracle = sim->oracle;
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *hub = sim->core[i] ? sim->nodes[i].hub : NULL;
        for (unsigned id = 0; hub && id < sim->config.ids; id++) {
            const struct ph_entry *entry = entry_of(hub, id);
            struct ph_version version = sim_version_of(hub, id);
            bool wanted = entry && ph_entry_spec_rcu(entry);
            if (ph_version_compare(version, oracle->promised[id]) >= 0 ||
                (!wanted && was_stopped_later(sim, id)))
                continue;
            sim_fail(sim, "the %s of c%u was acknowledged as version %llu; %s has version %llu",
                     oracle->promised_stop[id] ? "stop" : "start", id,
                     (unsigned long long)oracle->promised[id].clock, hub->node->name,
                     (unsigned long long)version.clock);
        }
    }
}

/* ---- Counters and the gate ------------------------------------------------------------------ */

static void check_counters(struct sim_hub *hub)
{
    const struct ph_cluster *cluster = hub->hub.cluster;
    uint64_t sum = 0, local = 0;
    for (unsigned state = 0; state < PH_STATES; state++) {
        sum += cluster->by_state[state];
        local += hub->hub.picture.by_state[state];
    }
    if (local != hub->hub.picture.children)
        sim_fail(hub->node->sim, "%s has %llu children and %llu by their states", hub->node->name,
                 (unsigned long long)hub->hub.picture.children, (unsigned long long)local);
    if (cluster->scanning || cluster->dirty_first)
        return;
    if (sum != ph_directory_wanted_count(hub->hub.directory))
        sim_fail(hub->node->sim, "%s wants %llu children and counts %llu by their states",
                 hub->node->name, (unsigned long long)ph_directory_wanted_count(hub->hub.directory),
                 (unsigned long long)sum);
}

static void check_gate(struct sim_hub *hub)
{
    const struct ph_gate *gate = &hub->hub.gate;
    uint8_t level = 0;
    for (const struct ph_lock *lock = gate->locks; lock; lock = lock->next)
        level = lock->level > level ? lock->level : level;
    if (level != gate->level)
        sim_fail(hub->node->sim, "%s's gate is at level %u, its locks demand %u", hub->node->name,
                 gate->level, level);
}

/* ---- Steps and lives ------------------------------------------------------------------------ */

void sim_check_losses(struct sim *sim)
{
    sim_mail_lost_any(sim);
}

void sim_check_step(struct sim_hub *hub)
{
    check_lease(hub);
    note_upheaval(hub);
    check_intents(hub);
    sim_logs_note(hub);
    sim_logs_check(hub);
    check_counters(hub);
    check_gate(hub);
    if (++hub->node->sim->oracle->recount_steps % RECOUNT_STEPS == 0)
        sim_recount(hub);
}

void sim_check_hub_begins(struct sim_hub *hub)
{
    struct sim_oracle *oracle = hub->node->sim->oracle;
    struct sim_seen *seen = &oracle->seen[hub->node->index];
    struct sim_log *log = ph_alloc(sizeof *log);
    *seen = (struct sim_seen){.log = log};
    log->node = hub->node->index;
    log->generation = hub->generation;
    log->next = oracle->logs;
    oracle->logs = log;
}

void sim_check_hub_ends(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    sim->oracle->crashed_us = sim->now_us;
    sim->oracle->upheavals++;
    sim_mail_lost_any(sim);
    forget_lost(sim, hub);
    for (unsigned id = 0; id < SIM_IDS_MAX; id++)
        sim->oracle->acting[id][hub->node->index] = NULL;
}
