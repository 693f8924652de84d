/*
 * Messages: each is handled once at most; and once, and in the order of its sender's node, when
 * nothing happened that may cost one.
 *
 * What may cost one: the end of a hub, the end of a session between two nodes (declared by either),
 * an end of an instance that has not been saved, a new intent for the child. A message is held
 * against that when it was sent while all were at one: every hub had the newest intent of its
 * child, knew no row from before it, and the child was somewhere, or on its way. Only its order is
 * open when a hub still knew a row of an instance that had ended unsaved, and the child began anew
 * at another place, or of one that had given way: what was sent there may come late.
 */
#include <string.h>

#include "engine/alloc.h"
#include "engine/cluster_inside.h"
#include "tests/sim/oracle.h"
#include "tests/sim/report.h"

/* ---- What may cost a message ----------------------------------------------------------------- */

void sim_mail_lost_any(struct sim *sim)
{
    sim->oracle->losses++;
}

void sim_mail_lost_of(struct sim *sim, unsigned id)
{
    sim->oracle->lost_of[id]++;
}

/* ---- Sending ------------------------------------------------------------------------------- */

/* The oldest row of the id that it has; UINT64_MAX: none. */
static uint64_t oldest_epoch(const struct ph_entry *entry)
{
    uint64_t oldest = UINT64_MAX;
    for (const struct ph_placement *at = ph_entry_first_rcu(entry); at;
         at = ph_placement_next_rcu(at)) {
        struct ph_placed placed;
        ph_placement_read_rcu(at, &placed);
        if (placed.epoch < oldest)
            oldest = placed.epoch;
    }
    return oldest;
}

static const struct ph_entry *entry_of(const struct sim_hub *hub, unsigned id)
{
    char name[16];
    sim_id_name(id, name);
    return ph_directory_find_rcu(hub->hub.directory, name, strlen(name));
}

/* It knows what is wanted of the id, and nothing of what ran before. */
static bool is_up_to_date(const struct sim_hub *hub, unsigned id, struct ph_version newest)
{
    const struct ph_entry *entry = entry_of(hub, id);
    if (!entry || !ph_entry_spec_rcu(entry) || ph_version_compare(entry->version, newest) != 0)
        return false;
    return oldest_epoch(entry) > newest.clock;
}

static const struct sim_instance *only_instance(const struct sim *sim, unsigned id,
                                                unsigned *instances)
{
    const struct sim_instance *only = NULL;
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_instance *at = sim->oracle->acting[id][i];
        if (!at || !at->hub || at->ended)
            continue;
        ++*instances;
        only = at;
    }
    return only;
}

static bool all_at_one(const struct sim *sim, unsigned id)
{
    unsigned instances = 0;
    const struct sim_instance *only = only_instance(sim, id, &instances);
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *hub = sim->nodes[i].hub;
        if (hub && (hub->ending || !is_up_to_date(hub, id, sim->oracle->newest[id])))
            return false;
    }
    return only ? instances == 1 && !only->stopping : sim->oracle->saved[id].waits;
}

/* The epoch of the last instance that has ended unsaved, if any hub knows a row that old; or 0. */
static uint64_t seen_unsaved(const struct sim *sim, unsigned id)
{
    uint64_t unsaved = sim->oracle->unsaved[id];
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *hub = sim->nodes[i].hub;
        const struct ph_entry *entry = hub ? entry_of(hub, id) : NULL;
        if (entry && oldest_epoch(entry) <= unsaved)
            return unsaved;
    }
    return 0;
}

/* Does any hub know a row of an instance that has given way to another one? */
static bool seen_given_way(const struct sim *sim, unsigned id)
{
    for (unsigned i = 0; i < sim->config.nodes; i++) {
        const struct sim_hub *hub = sim->nodes[i].hub;
        const struct ph_entry *entry = hub ? entry_of(hub, id) : NULL;
        for (unsigned other = 0; entry && other < sim->config.nodes; other++) {
            const struct ph_member *member =
                ph_member_by_hash(hub->hub.cluster, sim->nodes[other].name_hash);
            const struct ph_placement *at =
                member ? ph_directory_placement(hub->hub.directory, entry, member->slot) : NULL;
            struct ph_placed placed;
            if (!at)
                continue;
            ph_placement_read_rcu(at, &placed);
            if (placed.epoch <= sim->oracle->gave_way[id][other])
                return true;
        }
    }
    return false;
}

struct sim_letter *sim_letter_of(struct sim_oracle *oracle, uint64_t number)
{
    while (number >= oracle->letter_capacity) {
        size_t before = oracle->letter_capacity;
        oracle->letter_capacity = before ? before * 2 : 1024;
        oracle->letters =
            ph_realloc(oracle->letters, oracle->letter_capacity * sizeof *oracle->letters);
        memset(oracle->letters + before, 0,
               (oracle->letter_capacity - before) * sizeof *oracle->letters);
    }
    return &oracle->letters[number];
}

void sim_check_sent(struct sim_hub *hub, unsigned id, uint64_t number)
{
    struct sim *sim = hub->node->sim;
    struct sim_oracle *oracle = sim->oracle;
    *sim_letter_of(oracle, number) = (struct sim_letter){
        .sent = true,
        .counts = all_at_one(sim, id),
        .id = (uint8_t)id,
        .node = (uint8_t)hub->node->index,
        .sent_us = sim->now_us,
        .losses = oracle->losses,
        .lost_of = oracle->lost_of[id],
        .ended = seen_unsaved(sim, id),
        .given_way = seen_given_way(sim, id),
    };
}

/* ---- Handling ------------------------------------------------------------------------------ */

/* It counts, and nothing has happened since it was sent that may cost it. */
static bool is_owed(const struct sim_oracle *oracle, const struct sim_letter *letter)
{
    return letter->counts && letter->losses == oracle->losses &&
           letter->lost_of == oracle->lost_of[letter->id];
}

/* One that comes after a younger one of the same node; it may have gone where its child was. */
static void check_order(struct sim *sim, const struct sim_instance *instance, uint64_t number)
{
    struct sim_oracle *oracle = sim->oracle;
    const struct sim_letter *letter = &oracle->letters[number];
    uint64_t *last = &oracle->last_handled[letter->id][letter->node];
    bool detoured =
        letter->given_way || (letter->ended && letter->ended <= oracle->anew[letter->id]);
    if (number < *last && is_owed(oracle, letter) && !detoured)
        sim_fail(sim, "c%u handles message %llu of n%u on %s, and has handled %llu before",
                 letter->id, (unsigned long long)number, letter->node, instance->node->name,
                 (unsigned long long)*last);
    *last = number > *last ? number : *last;
}

void sim_check_message(struct sim *sim, const struct sim_instance *instance, uint64_t number)
{
    struct sim_letter *letter = sim_letter_of(sim->oracle, number);
    sim_note(sim, instance->node, "handles", "%llu by c%u", (unsigned long long)number,
             instance->id);
    if (!letter->sent || letter->id != instance->id)
        sim_fail(sim, "message %llu is handled by c%u, and was not sent to it",
                 (unsigned long long)number, instance->id);
    if (letter->handled)
        sim_fail(sim, "message %llu for c%u is handled once more, on %s",
                 (unsigned long long)number, instance->id, instance->node->name);
    letter->handled = true;
    check_order(sim, instance, number);
}

void sim_check_answered(struct sim_hub *hub, uint64_t number, int code)
{
    struct sim *sim = hub->node->sim;
    const struct sim_letter *letter = sim_letter_of(sim->oracle, number);
    struct ph_version newest = sim->oracle->newest[letter->id];
    /* What this very step has written counts, too. */
    bool same = ph_version_compare(sim_version_of(hub, letter->id), newest) == 0;
    if (code && same && is_owed(sim->oracle, letter))
        sim_fail(sim, "call %llu of n%u to c%u fails with %d, and nothing was lost",
                 (unsigned long long)number, letter->node, letter->id, code);
}

uint64_t sim_mail_missing(const struct sim *sim)
{
    const struct sim_oracle *oracle = sim->oracle;
    for (uint64_t number = 1; number <= sim->messages; number++) {
        const struct sim_letter *letter = &oracle->letters[number];
        if (letter->sent && !letter->handled && sim->core[letter->node] && is_owed(oracle, letter))
            return number;
    }
    return 0;
}
