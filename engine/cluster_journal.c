/* What a hub wants to know again after the death of its node. See cluster_journal.h. */
#include "engine/cluster_journal.h"

#include <string.h>

#include "engine/base.h"
#include "engine/cluster_inside.h"
#include "engine/cluster_intents.h"
#include "engine/prng.h"

enum {
    CALLS_MAX = 64, /* under way */
    RETRY_MS = 1000,
    RENEW_BYTES = 1024 * 1024,
    /* A life's clock begins at the time of day, or that far beyond what the one before wrote. It is
     * short so that clocks do not run ahead of the time: then a life that finds no journal begins
     * after all before it, too. */
    CLOCK_STEP = 1000,
};

/* What a record is about. */
enum { RECORD_INTENTS, RECORD_HUB, RECORDS };

static struct ph_journal *journal_of(const struct ph_hub *hub)
{
    return &hub->cluster->journal;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void call(struct ph_hub *hub, enum ph_journal_verb verb, struct ph_text *record)
{
    struct ph_journal *journal = journal_of(hub);
    const struct ph_journal_mark mark = {.call = ++journal->calls, .changes = journal->written};
    hub->ports.journal->call(hub->ports.context, verb, mark, record);
}

/* INTENTS: the record of cluster_intents.h. */
static void write_intents(struct ph_hub *hub, enum ph_journal_verb verb, struct ph_intents *intents)
{
    struct ph_text record = PH_TEXT_INIT;
    ph_pack_uint(&record, RECORD_INTENTS);
    ph_intents_pack(intents, &record);
    call(hub, verb, &record);
}

/* HUB: how far its clock may go, size that a quorum counts from and the clock of that, nodes in the
 * view; members: name, endpoint, generation, may it still want something. */
static void write_hub(struct ph_hub *hub, enum ph_journal_verb verb)
{
    const struct ph_cluster *cluster = hub->cluster;
    struct ph_text record = PH_TEXT_INIT;
    ph_pack_uint(&record, RECORD_HUB);
    ph_pack_uint(&record, cluster->journal.reserved_clock);
    ph_pack_uint(&record, cluster->quorum_max);
    ph_pack_uint(&record, cluster->quorum_clock);
    ph_pack_uint(&record, cluster->in_view);
    ph_pack_array(&record, cluster->count - 1u);
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        ph_pack_str(&record, member->info.name, strlen(member->info.name));
        ph_pack_str(&record, member->info.endpoint, strlen(member->info.endpoint));
        ph_pack_uint(&record, member->info.generation);
        ph_pack_bool(&record, ph_member_may_want(member));
    }
    call(hub, verb, &record);
}

static uint64_t hub_digest(const struct ph_cluster *cluster)
{
    uint64_t digest = ph_mix(cluster->quorum_max, cluster->quorum_clock);
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        digest = ph_mix(digest, member->info.generation * 2 + ph_member_may_want(member));
    }
    return ph_mix(digest, cluster->in_view + 1u);
}

/* ---- Changes --------------------------------------------------------------------------------- */

static bool is_written(const struct ph_journal *journal)
{
    return journal->on && !journal->restoring && !journal->idle;
}

void ph_journal_note(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_journal *journal = journal_of(hub);
    if (!journal->on || journal->restoring || entry->noted)
        return;
    journal->noted++;
    if (!is_written(journal)) {
        journal->written++;
        return;
    }
    entry->noted = true;
    entry->next_noted = NULL;
    *journal->last = entry;
    journal->last = &entry->next_noted;
}

static struct ph_entry *take_noted(struct ph_journal *journal)
{
    struct ph_entry *entry = journal->first;
    if (!entry)
        return NULL;
    journal->first = entry->next_noted;
    if (!journal->first)
        journal->last = &journal->first;
    entry->noted = false;
    journal->written++;
    return entry;
}

static void append_noted(struct ph_hub *hub)
{
    struct ph_journal *journal = journal_of(hub);
    struct ph_intents intents = {.count = 0};
    while (journal->first && intents.count < PH_INTENTS_MAX)
        ph_intents_add(&intents, take_noted(journal));
    write_intents(hub, PH_JOURNAL_APPEND, &intents);
}

static bool hub_changed(const struct ph_hub *hub)
{
    const struct ph_journal *journal = journal_of(hub);
    return hub->last_epoch >= journal->reserved_clock || hub_digest(hub->cluster) != journal->told;
}

static void append_hub(struct ph_hub *hub)
{
    struct ph_journal *journal = journal_of(hub);
    journal->reserved_clock = hub->last_epoch + CLOCK_STEP;
    journal->told = hub_digest(hub->cluster);
    write_hub(hub, PH_JOURNAL_APPEND);
}

/* ---- Renewal --------------------------------------------------------------------------------- */

static void begin_renewal(struct ph_hub *hub)
{
    struct ph_journal *journal = journal_of(hub);
    journal->renewing = true;
    journal->walked = journal->idle = false;
    journal->walk = (struct ph_cursor){0};
    call(hub, PH_JOURNAL_RENEW, NULL);
}

static void copy_entries(struct ph_hub *hub)
{
    struct ph_journal *journal = journal_of(hub);
    struct ph_entry *entries[PH_INTENTS_MAX];
    struct ph_intents intents = {.count = 0};
    unsigned got = ph_directory_walk(hub->directory, &journal->walk, entries, PH_INTENTS_MAX);
    for (unsigned i = 0; i < got; i++)
        if (entries[i]->version.clock || entries[i]->pinned.clock)
            ph_intents_add(&intents, entries[i]);
    if (intents.count)
        write_intents(hub, PH_JOURNAL_COPY, &intents);
    journal->walked = got < PH_INTENTS_MAX;
}

static void finish_renewal(struct ph_hub *hub)
{
    struct ph_journal *journal = journal_of(hub);
    journal->renewing = false;
    write_hub(hub, PH_JOURNAL_COPY);
    call(hub, PH_JOURNAL_REPLACE, NULL);
    journal->replaced_call = journal->calls;
}

static bool is_due(const struct ph_journal *journal)
{
    return !journal->renewing && !journal->failed && !journal->emptied &&
           journal->done >= journal->replaced_call &&
           journal->bytes > 2 * journal->renewed_bytes + journal->renew_bytes;
}

static void retry_fired(struct ph_hub *hub, struct ph_hub_timer *timer)
{
    (void)timer;
    if (!hub->stopped)
        begin_renewal(hub);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void fail(struct ph_hub *hub, const char *why)
{
    struct ph_journal *journal = journal_of(hub);
    if (!journal->failed)
        ph_hub_record(hub, "journal_failed", "", 0,
                      "%s; what is wanted from now on is lost with this node", why);
    journal->failed = journal->idle = true;
    journal->renewing = false;
    journal->done = journal->voided = journal->calls; /* whatever becomes of them */
    while (take_noted(journal)) {
        /* The renewal will have it. */
    }
    ph_wheel_add(&hub->wheel, &journal->retry.timer, hub->now_ms + RETRY_MS);
}

/* What the disk lacked is in the new journal. */
static void renewed(struct ph_hub *hub, uint64_t bytes)
{
    struct ph_journal *journal = journal_of(hub);
    journal->renewed_bytes = bytes;
    if (journal->failed)
        ph_hub_record(hub, "journal_kept", "", 0, "all that is wanted is on the disk again");
    journal->failed = false;
}

static void answered(struct ph_hub *hub, const struct ph_event *event)
{
    struct ph_journal *journal = journal_of(hub);
    if (event->journal.done.call <= journal->voided)
        return;
    journal->done = event->journal.done.call;
    if (event->journal.code) {
        fail(hub, event->journal.text);
    } else {
        if (event->journal.renewed)
            renewed(hub, event->journal.bytes);
        if (!journal->failed) /* else what was dropped is there after the renewal only */
            journal->kept = event->journal.done.changes;
        journal->bytes = event->journal.bytes;
    }
    ph_hub_jobs_held(hub);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void read_member(struct ph_hub *hub, struct ph_unpack *record)
{
    char name[PH_NAME_MAX + 1], endpoint[PH_ENDPOINT_MAX + 1];
    ph_unpack_name(record, name, sizeof name);
    ph_unpack_name(record, endpoint, sizeof endpoint);
    uint64_t generation = ph_unpack_uint(record, UINT64_MAX);
    bool may_want = ph_unpack_bool(record);
    if (record->broken)
        return;
    ph_member_recall(hub, name, endpoint, generation);
    struct ph_member *member = ph_member_by_name(hub->cluster, name);
    if (member && !member->info.self && member->info.generation == generation)
        member->left = !may_want;
}

static void read_hub(struct ph_hub *hub, struct ph_unpack *record)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t clock = ph_unpack_uint(record, UINT64_MAX / 2);
    uint64_t size = ph_unpack_uint(record, PH_MEMBERS_MAX);
    uint64_t size_clock = ph_unpack_uint(record, UINT64_MAX / 2);
    uint64_t nodes = ph_unpack_uint(record, PH_MEMBERS_MAX);
    uint32_t count = ph_unpack_array(record, PH_MEMBERS_MAX);
    if (record->broken)
        return;
    if (clock > hub->last_epoch)
        hub->last_epoch = clock;
    ph_cluster_note_quorum(cluster, size, size_clock);
    cluster->journal.await_nodes = nodes;
    for (uint32_t i = 0; i < count && !record->broken; i++)
        read_member(hub, record);
}

/* Its checksum was right: what is malformed was written by another version. */
static void read_record(struct ph_hub *hub, const struct ph_text *bytes)
{
    struct ph_unpack record;
    ph_unpack_init(&record, bytes->data, bytes->length);
    if (ph_unpack_uint(&record, RECORDS - 1) == RECORD_HUB)
        read_hub(hub, &record);
    else if (!record.broken)
        ph_intents_read(hub, &record);
    if (ph_unpack_end(&record) < 0)
        ph_hub_record(hub, "journal_refused", "", 0,
                      "a record of %zu bytes is not of this version: it is left out",
                      bytes->length);
}

/* Others may run what it wants. */
static void await_others(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool linked = cluster->members[0]->info.endpoint[0];
    if (linked && cluster->journal.await_nodes > 1)
        cluster->journal.await_until_ms = hub->now_ms + PH_JOURNAL_AWAIT * cluster->dead_after_ms;
}

static void read_all(struct ph_hub *hub, const struct ph_event *event)
{
    struct ph_journal *journal = journal_of(hub);
    journal->restoring = false;
    journal->bytes = journal->renewed_bytes = event->journal.bytes;
    journal->restored_clock = hub->last_epoch;
    if (event->journal.text)
        ph_hub_record(hub, "journal_torn", "", 0, "%s", event->journal.text);
    if (ph_directory_entries(hub->directory))
        ph_hub_record(hub, "journal_read", "", 0, "%llu children are wanted",
                      (unsigned long long)ph_directory_wanted_count(hub->directory));
    await_others(hub);
    ph_cluster_owners_changed(hub);
    ph_cluster_review(hub);
}

void ph_cluster_on_journal(struct ph_hub *hub, struct ph_event *event)
{
    if (event->journal.record.length)
        read_record(hub, &event->journal.record);
    if (event->journal.last)
        read_all(hub, event);
    else if (!event->journal.record.length)
        answered(hub, event);
}

bool ph_journal_holds(struct ph_hub *hub, const struct ph_entry *entry)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_journal *journal = &cluster->journal;
    if (journal->restoring)
        return true;
    if (hub->now_ms >= journal->await_until_ms || cluster->in_view >= journal->await_nodes ||
        entry->version.clock > journal->restored_clock)
        return false;
    if (cluster->retry_ms > journal->await_until_ms)
        cluster->retry_ms = journal->await_until_ms;
    return true;
}

/* ---- Life ------------------------------------------------------------------------------------ */

void ph_journal_begin(struct ph_hub *hub, bool on)
{
    struct ph_journal *journal = journal_of(hub);
    journal->on = journal->restoring = on;
    journal->last = &journal->first;
    journal->renew_bytes = RENEW_BYTES;
    journal->retry.fire = retry_fired;
}

bool ph_journal_has(const struct ph_journal *journal, uint64_t noted)
{
    return journal->kept >= noted || journal->failed || journal->emptied;
}

const char *ph_cluster_unkept(const struct ph_hub *hub, struct ph_promise promise)
{
    const struct ph_cluster *cluster = hub->cluster;
    if (!cluster || cluster->in_view > 1 || cluster->journal.kept >= promise.noted)
        return NULL;
    return "done, but neither on this node's disk nor on another node: see event journal_failed";
}

bool ph_journal_has_work(const struct ph_hub *hub)
{
    const struct ph_journal *journal = journal_of(hub);
    return is_written(journal) && !journal->emptied && journal->calls - journal->done < CALLS_MAX &&
           (journal->first || journal->renewing || is_due(journal) || hub_changed(hub));
}

void ph_journal_work(struct ph_hub *hub)
{
    struct ph_journal *journal = journal_of(hub);
    if (!ph_journal_has_work(hub))
        return;
    if (hub_changed(hub))
        append_hub(hub);
    if (journal->first)
        append_noted(hub);
    if (is_due(journal))
        begin_renewal(hub);
    else if (journal->renewing && !journal->walked)
        copy_entries(hub);
    else if (journal->renewing)
        finish_renewal(hub);
}

bool ph_journal_has_ended(struct ph_hub *hub)
{
    const struct ph_cluster *cluster = hub->cluster;
    struct ph_journal *journal = journal_of(hub);
    bool heirs = cluster->in_view > 1 && ph_members_rcu(hub)->owners.count > 0;
    if (!journal->on || journal->failed)
        return true;
    if (heirs && cluster->push_taken < cluster->push_queued)
        return false;
    if (heirs && !journal->emptied) {
        journal->emptied = true;
        journal->renewing = false;
        call(hub, PH_JOURNAL_EMPTY, NULL);
    }
    return journal->done == journal->calls && (journal->emptied || !journal->first);
}

bool ph_journal_stays(const struct ph_hub *hub)
{
    const struct ph_journal *journal = journal_of(hub);
    return journal->on && (!journal->emptied || journal->failed);
}

void ph_journal_begin_anew(struct ph_hub *hub)
{
    struct ph_journal *journal = journal_of(hub);
    while (take_noted(journal)) {
        /* It was forgotten. */
    }
    journal->kept = journal->written;
    journal->emptied = false;
    journal->told = 0;
}

void ph_journal_inspect(const struct ph_journal *journal, struct ph_text *out)
{
    if (!journal->on)
        return;
    ph_text_printf(out, "journal_bytes\x1f%llu\x1e", (unsigned long long)journal->bytes);
    ph_text_printf(out, "journal_behind\x1f%llu\x1e",
                   (unsigned long long)(journal->noted - journal->kept));
    ph_text_printf(out, "journal_failed\x1f%d\x1e", journal->failed);
}
