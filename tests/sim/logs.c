/* Exact prefixes: what a member has of another's log is what that one had at that number. */
#include <string.h>

#include "engine/alloc.h"
#include "engine/cluster_inside.h"
#include "engine/directory_inside.h"
#include "tests/sim/oracle.h"
#include "tests/sim/report.h"

void *sim_grow(void *array, size_t count, size_t *capacity, size_t bytes)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 32;
    return ph_realloc(array, *capacity * bytes);
}

static struct ph_entry *entry_of(const struct sim_hub *hub, unsigned id)
{
    char name[16];
    sim_id_name(id, name);
    return ph_directory_find_rcu(hub->hub.directory, name, strlen(name));
}

/* ---- The owner's side ----------------------------------------------------------------------- */

static void note_row(struct sim_log *log, const struct ph_entry *entry, unsigned id)
{
    const struct ph_own *own = entry->own;
    struct sim_rows *rows = &log->rows[id];
    struct ph_placed placed = {.state = PH_STATES};
    if (!own || (rows->count && rows->rows[rows->count - 1].number == own->number))
        return;
    if (own->placement)
        ph_placement_read_rcu(own->placement, &placed);
    rows->rows = sim_grow(rows->rows, rows->count, &rows->capacity, sizeof *rows->rows);
    rows->rows[rows->count++] = (struct sim_row){
        .number = own->number,
        .epoch = placed.epoch,
        .instance = placed.instance,
        .gone = !own->placement,
        .state = placed.state,
    };
}

void sim_logs_note(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    struct sim_log *log = sim->oracle->seen[hub->node->index].log;
    uint64_t hi = ph_directory_log_hi(hub->hub.directory);
    if (log->end_count && log->ends[log->end_count - 1] == hi)
        return;
    for (unsigned id = 0; id < sim->config.ids; id++) {
        const struct ph_entry *entry = entry_of(hub, id);
        if (entry)
            note_row(log, entry, id);
    }
    log->ends = sim_grow(log->ends, log->end_count, &log->end_capacity, sizeof *log->ends);
    log->ends[log->end_count++] = hi;
}

/* ---- The others' side ----------------------------------------------------------------------- */

static const struct sim_log *find_log(const struct sim *sim, const char *name, uint64_t generation)
{
    const struct sim_log *log = sim->oracle->logs;
    while (log && (log->generation != generation || strcmp(sim->nodes[log->node].name, name) != 0))
        log = log->next;
    return log;
}

static bool is_end(const struct sim_log *log, uint64_t number)
{
    size_t low = 0, high = log->end_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (log->ends[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < log->end_count && log->ends[low] == number;
}

static const struct sim_row *row_at(const struct sim_rows *rows, uint64_t number)
{
    size_t i = rows->count;
    while (i && rows->rows[i - 1].number > number)
        i--;
    return i ? &rows->rows[i - 1] : NULL;
}

static void check_row(struct sim_hub *hub, const struct ph_member *member,
                      const struct sim_row *row, unsigned id)
{
    const struct ph_entry *entry = entry_of(hub, id);
    const struct ph_placement *have =
        entry ? ph_directory_placement(hub->hub.directory, entry, member->slot) : NULL;
    struct ph_placed placed = {.state = PH_STATES};
    bool expected = row && !row->gone;
    if (have)
        ph_placement_read_rcu(have, &placed);
    if (!have && !expected)
        return;
    if (have && expected && placed.state == row->state && placed.epoch == row->epoch &&
        placed.instance == row->instance)
        return;
    sim_fail(hub->node->sim,
             "%s has of %s's log up to %llu that c%u is %s in epoch %llu; it was %s in epoch %llu",
             hub->node->name, member->info.name, (unsigned long long)member->log_hi, id,
             have ? ph_state_name(placed.state) : "not there", (unsigned long long)placed.epoch,
             expected ? ph_state_name(row->state) : "not there",
             expected ? (unsigned long long)row->epoch : 0);
}

static void check_member(struct sim_hub *hub, const struct ph_member *member)
{
    struct sim *sim = hub->node->sim;
    struct sim_seen *seen = &sim->oracle->seen[hub->node->index];
    uint64_t generation = member->info.generation, hi = member->log_hi;
    bool same = seen->logs[member->slot].generation == generation;
    uint64_t before = same ? seen->logs[member->slot].hi : 0;
    if ((same && before == hi) || member->log_round)
        return;
    if (hi < before)
        sim_fail(sim, "%s had %s's log up to %llu, and now up to %llu", hub->node->name,
                 member->info.name, (unsigned long long)before, (unsigned long long)hi);
    seen->logs[member->slot].generation = generation;
    seen->logs[member->slot].hi = hi;
    const struct sim_log *log = find_log(sim, member->info.name, generation);
    if (!log) {
        sim_fail(sim, "%s knows a generation %llx of %s that never was", hub->node->name,
                 (unsigned long long)generation, member->info.name);
        return;
    }
    for (unsigned id = 0; is_end(log, hi) && id < sim->config.ids; id++)
        check_row(hub, member, row_at(&log->rows[id], hi), id);
}

void sim_logs_check(struct sim_hub *hub)
{
    const struct ph_cluster *cluster = hub->hub.cluster;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (cluster->members[slot]->info.generation)
            check_member(hub, cluster->members[slot]);
}

void sim_logs_destroy(struct sim_oracle *oracle)
{
    while (oracle->logs) {
        struct sim_log *log = oracle->logs;
        oracle->logs = log->next;
        for (unsigned id = 0; id < SIM_IDS_MAX; id++)
            ph_free(log->rows[id].rows);
        ph_free(log->ends);
        ph_free(log);
    }
}
