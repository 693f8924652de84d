/* What nodes keep: the disk under each hub's journal, its faults, and what it is sure to have. */
#include "tests/sim/disks.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "tests/sim/children.h"
#include "tests/sim/report.h"
#include "tests/sim/sim.h"

enum { RENEW_BYTES = 2000, UNSYNCED_MAX = 8 };

bool sim_keeps(const struct sim_node *node)
{
    return node->sim->config.journals && !sim_is_rival(node);
}

/* ---- Calls and answers ----------------------------------------------------------------------- */

struct sync {
    struct sim_item item; /* first */
    struct sim_node *node;
    uint64_t generation; /* of the hub that is to be answered */
};

static void answer(struct sim *sim, struct sim_item *item)
{
    struct sync *sync = ph_container_of(item, struct sync, item);
    struct sim_node *node = sync->node;
    (void)sim;
    if (node->hub && node->hub->generation == sync->generation) {
        node->disk.syncing = false;
        struct ph_event *event = fakedisk_sync(&node->disk.journal);
        if (event)
            sim_post(node->hub, event);
    }
    ph_free(sync);
}

static void begin_sync(struct sim_hub *hub)
{
    struct sim *sim = hub->node->sim;
    struct sync *sync = ph_alloc(sizeof *sync);
    sync->item.act = answer;
    sync->node = hub->node;
    sync->generation = hub->generation;
    hub->node->disk.syncing = true;
    sim_at(sim, sim->now_us + sim_exponential(&sim->disks, sim->config.sync_us), &sync->item);
}

static void call(void *context, enum ph_journal_verb verb, struct ph_journal_mark mark,
                 struct ph_text *record)
{
    struct sim_hub *hub = context;
    fakedisk_call(&hub->node->disk.journal, verb, mark, record);
    if (!hub->node->disk.syncing)
        begin_sync(hub);
}

const struct ph_journal_port sim_journal_port = {.call = call};

void sim_disk_read(struct sim_hub *hub)
{
    struct ph_event *event;
    hub->node->disk.syncing = false;
    hub->hub.cluster->journal.renew_bytes = RENEW_BYTES;
    for (size_t i = 0; (event = fakedisk_read(&hub->node->disk.journal, i)); i++)
        sim_post(hub, event);
}

/* ---- Faults ---------------------------------------------------------------------------------- */

void sim_disk_crash(struct sim_node *node)
{
    fakedisk_crash(&node->disk.journal, ph_prng_below(&node->sim->disks, UNSYNCED_MAX));
}

void sim_disk_lose(struct sim_node *node)
{
    fakedisk_lose(&node->disk.journal);
    node->disk.incarnation = 0;
}

void sim_disk_fill(struct sim_node *node, bool full)
{
    if (node->disk.journal.fails == full)
        return;
    sim_note(node->sim, node, "fault", full ? "its disk is full" : "its disk has room again");
    node->disk.journal.fails = full;
}

/* ---- What is sure ---------------------------------------------------------------------------- */

/* Of one record: see cluster_intents.c. */
static void look(const struct ph_text *text, const char *name, struct ph_version *version,
                 bool *wanted)
{
    struct ph_unpack record;
    size_t length;
    ph_unpack_init(&record, text->data, text->length);
    if (ph_unpack_uint(&record, 1) != 0)
        return; /* about the hub */
    for (uint32_t specs = ph_unpack_array(&record, UINT32_MAX); specs; specs--)
        ph_unpack_skip(&record);
    for (uint32_t count = ph_unpack_array(&record, UINT32_MAX); count; count--) {
        const char *id = ph_unpack_str(&record, PH_ID_MAX, &length);
        bool same = length == strlen(name) && memcmp(id, name, length) == 0;
        struct ph_version at = {.clock = ph_unpack_uint(&record, UINT64_MAX)};
        at.author = ph_unpack_uint(&record, UINT64_MAX);
        bool wants = ph_unpack_uint(&record, UINT64_MAX) != 0;
        for (unsigned rest = 0; rest < 4; rest++)
            ph_unpack_skip(&record);
        if (same && ph_version_compare(at, *version) > 0) {
            *version = at;
            *wanted = wants;
        }
    }
    ph_assert(ph_unpack_end(&record) == 0);
}

struct ph_version sim_disk_version(const struct sim_node *node, unsigned id, bool *wanted)
{
    struct ph_version version = {0};
    char name[16];
    sim_id_name(id, name);
    *wanted = false;
    for (size_t i = 0; i < node->disk.journal.synced; i++)
        look(&node->disk.journal.kept.records[i], name, &version, wanted);
    return version;
}
