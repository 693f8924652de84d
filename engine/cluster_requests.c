#include "engine/cluster_requests.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/op.h"
#include "engine/spec.h"

enum { TEXT_MAX = 300, RECORDS_MAX = 4 * PH_JOB_WINDOW };

/* ---- Who waits here ------------------------------------------------------------------------- */

/* What the answer names: a start and a stop are known by the intent that they wrote; what is asked
 * of one node gets a number of its own, apart from those; a pin is not answered, but seen. */
static uint64_t token_of(struct ph_cluster *cluster, const struct ph_entry *entry,
                         enum ph_event_type verb)
{
    if (verb == PH_EVENT_PIN)
        return 0;
    if (verb == PH_EVENT_START || verb == PH_EVENT_STOP)
        return entry->version.clock;
    return ++cluster->next_token | UINT64_C(1) << 63;
}

static struct ph_pending *wait_for(struct ph_hub *hub, struct ph_entry *entry, struct ph_job *job,
                                   enum ph_event_type verb, uint16_t member)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_pending *pending = ph_alloc(sizeof *pending);
    *pending = (struct ph_pending){
        .next = entry->pending,
        .after = cluster->pendings,
        .link = &cluster->pendings,
        .entry = entry,
        .job = job,
        .verb = verb,
        .token = token_of(cluster, entry, verb),
        .member = member,
    };
    entry->pending = pending;
    if (pending->after)
        pending->after->link = &pending->after;
    cluster->pendings = pending;
    return pending;
}

static void drop(struct ph_pending *pending)
{
    struct ph_pending **link = &pending->entry->pending;
    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
    *pending->link = pending->after;
    if (pending->after)
        pending->after->link = pending->link;
    ph_spec_put(pending->spec);
    ph_free(pending);
}

static void settle(struct ph_hub *hub, struct ph_pending *pending, enum ph_outcome outcome,
                   int code, const char *text)
{
    struct ph_entry *entry = pending->entry;
    struct ph_job *job = pending->job;
    drop(pending);
    ph_job_settle(hub, job, entry->id, outcome, code, text);
}

static enum ph_state state_of(const struct ph_placement *placement)
{
    struct ph_placed placed;
    ph_placement_read_rcu(placement, &placed);
    return placed.state;
}

/* It runs since the intent of the request was written, where the request wants it. */
static bool has_started(const struct ph_cluster *cluster, const struct ph_pending *pending)
{
    struct ph_placed placed;
    const struct ph_placement *placement =
        ph_cluster_live_placement(cluster, pending->entry, PH_NO_MEMBER);
    if (!placement)
        return false;
    ph_placement_read_rcu(placement, &placed);
    if (pending->verb == PH_EVENT_PIN)
        return placement->member == pending->member &&
               !ph_cluster_live_placement(cluster, pending->entry, pending->member) &&
               (placed.state == PH_STATE_RUNNING || placed.state == PH_STATE_FAILED);
    return placed.state == PH_STATE_RUNNING && placed.epoch > pending->token;
}

/* Another request has written what is wanted, and it is not what this start asked for. */
static bool is_overtaken(const struct ph_pending *pending)
{
    struct ph_spec *wanted = ph_entry_spec_rcu(pending->entry);
    return pending->spec && wanted && wanted != pending->spec &&
           !ph_spec_equal(wanted, pending->spec);
}

/* Why nothing can move there now, or NULL. */
static const char *why_no_target(const struct ph_member *member)
{
    if (!member->info.in_view)
        return "that node is not up, or does not run the hub";
    if (member->info.draining)
        return "that node is drained";
    return member->leaving ? "that node is leaving" : NULL;
}

/* Why a child will not come to the node that it was pinned to, or 0. */
static int pin_refusal(const struct ph_cluster *cluster, const struct ph_pending *pending,
                       const char **why)
{
    const struct ph_placement *placement =
        ph_cluster_live_placement(cluster, pending->entry, PH_NO_MEMBER);
    const struct ph_member *target = cluster->members[pending->member];
    uint64_t pin = atomic_load_explicit(&pending->entry->pin, memory_order_relaxed);
    *why = "another request moved it, or called it off";
    if (!ph_pin_is_to(pin, target->info.name_hash))
        return PH_ESUPERSEDED;
    *why = why_no_target(target);
    if (*why)
        return PH_EREFUSED;
    *why = "it has given up and stays where it is: start it again";
    if (placement && placement->member != pending->member && state_of(placement) == PH_STATE_FAILED)
        return PH_EGAVEUP;
    return 0;
}

static void ask(struct ph_member *member, enum ph_event_type verb, int signal,
                const struct ph_pending *pending)
{
    struct ph_text *records = &member->requests.records;
    ph_pack_uint(records, verb);
    ph_pack_uint(records, (uint64_t)signal);
    ph_pack_str(records, pending->entry->id, pending->entry->id_length);
    ph_pack_uint(records, pending->token);
    member->requests.count++;
}

/* It has been there since before the start was asked for: what its node makes of the intent, only
 * that node can tell. Once it has the intent it is asked, once in a session. */
static void ask_whether_up(struct ph_hub *hub, struct ph_pending *pending)
{
    struct ph_cluster *cluster = hub->cluster;
    const struct ph_placement *placement =
        ph_cluster_live_placement(cluster, pending->entry, PH_NO_MEMBER);
    if (pending->verb != PH_EVENT_START || !placement || placement->member == 0 ||
        placement->member == pending->member || pending->entry->pushing)
        return;
    struct ph_member *member = cluster->members[placement->member];
    enum ph_state state = state_of(placement);
    if (!ph_member_is_linked(member) || (state != PH_STATE_RUNNING && state != PH_STATE_FAILED))
        return;
    pending->member = placement->member;
    ask(member, PH_EVENT_CHILD_UP, 0, pending);
}

static bool try_settle(struct ph_hub *hub, struct ph_pending *pending)
{
    const struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry = pending->entry;
    bool wanted = ph_entry_spec_rcu(entry) != NULL;
    bool starts = pending->verb == PH_EVENT_START || pending->verb == PH_EVENT_PIN;
    const char *why;
    int refusal = pending->verb == PH_EVENT_PIN ? pin_refusal(cluster, pending, &why) : 0;
    if (pending->verb == PH_EVENT_STOP && wanted)
        settle(hub, pending, PH_OUTCOME_FAILED, PH_ESUPERSEDED, "started again by another request");
    else if (pending->verb == PH_EVENT_STOP && !entry->child &&
             !ph_cluster_live_placement(cluster, entry, PH_NO_MEMBER))
        settle(hub, pending, PH_OUTCOME_CHANGED, 0, NULL);
    else if (starts && !wanted)
        settle(hub, pending, PH_OUTCOME_FAILED, PH_ESUPERSEDED, "stopped by another request");
    else if (starts && has_started(cluster, pending))
        settle(hub, pending, PH_OUTCOME_CHANGED, 0, NULL);
    else if (refusal)
        settle(hub, pending, PH_OUTCOME_FAILED, refusal, why);
    else if (is_overtaken(pending))
        settle(hub, pending, PH_OUTCOME_FAILED, PH_ESUPERSEDED, "another request changed its spec");
    else
        return false;
    return true;
}

void ph_cluster_settle(struct ph_hub *hub, struct ph_entry *entry)
{
    struct ph_pending *next;
    for (struct ph_pending *pending = entry->pending; pending; pending = next) {
        next = pending->next;
        if (!try_settle(hub, pending))
            ask_whether_up(hub, pending);
    }
}

void ph_cluster_fail_waiting(struct ph_hub *hub, struct ph_entry *entry, enum ph_event_type verb,
                             int code, const char *why)
{
    struct ph_pending *next;
    for (struct ph_pending *pending = entry->pending; pending; pending = next) {
        next = pending->next;
        if (pending->verb == verb)
            settle(hub, pending, PH_OUTCOME_FAILED, code, why);
    }
}

/* Starts are done by whoever owns the child next, and a stop is done when nobody in the view has
 * it: only what was asked of that node alone has failed. */
void ph_cluster_requests_lost(struct ph_hub *hub, uint16_t member)
{
    struct ph_pending *after;
    for (struct ph_pending *pending = hub->cluster->pendings; pending; pending = after) {
        after = pending->after;
        if (pending->verb == PH_EVENT_STOP)
            ph_cluster_touch(hub, pending->entry);
        else if (pending->member == member && pending->verb == PH_EVENT_START)
            pending->member = PH_NO_MEMBER; /* asked again when it is back: its answer is lost */
        else if (pending->member == member)
            settle(hub, pending, PH_OUTCOME_FAILED, PH_ECONNECTION, "its node was lost meanwhile");
    }
}

void ph_cluster_session_lost(struct ph_hub *hub, uint16_t member)
{
    struct ph_pending *after;
    for (struct ph_pending *pending = hub->cluster->pendings; pending; pending = after) {
        after = pending->after;
        if (pending->member == member && pending->verb == PH_EVENT_START)
            pending->member = PH_NO_MEMBER; /* asked again by the next session */
        else if (pending->member == member &&
                 (pending->verb == PH_EVENT_RESTART || pending->verb == PH_EVENT_SIGNAL))
            settle(hub, pending, PH_OUTCOME_FAILED, PH_ECONNECTION,
                   "the link to its node broke meanwhile");
    }
}

void ph_cluster_session_begun(struct ph_hub *hub)
{
    for (struct ph_pending *pending = hub->cluster->pendings; pending; pending = pending->after)
        if (pending->verb == PH_EVENT_START)
            ph_cluster_touch(hub, pending->entry);
}

void ph_cluster_requests_end(struct ph_hub *hub)
{
    while (hub->cluster->pendings)
        settle(hub, hub->cluster->pendings, PH_OUTCOME_FAILED, PH_ESTOPPING, "the hub is ending");
}

void ph_cluster_requests_fini(struct ph_hub *hub)
{
    while (hub->cluster->pendings)
        drop(hub->cluster->pendings);
}

/* ---- Asking --------------------------------------------------------------------------------- */

static void start_new(struct ph_hub *hub, struct ph_job *job, struct ph_entry *entry,
                      struct ph_spec *spec)
{
    struct ph_cluster *cluster = hub->cluster;
    if (ph_directory_wanted_count(cluster->directory) >= PH_CHILDREN_MAX) {
        char full[64];
        snprintf(full, sizeof full, "the hub has %d children already", PH_CHILDREN_MAX);
        ph_job_settle(hub, job, entry->id, PH_OUTCOME_FAILED, PH_ELIMIT, full);
        return;
    }
    if (!ph_job_note_begun(hub, job, entry->id, entry->id_length))
        return;
    entry->ran = false;
    ph_cluster_want(hub, entry, spec, 0);
    if (atomic_load_explicit(&entry->pin, memory_order_relaxed))
        ph_cluster_pin(hub, entry, 0); /* of a child of that id before */
    if (!entry->child && !hub->stopping && !entry->moved_to && cluster->agreed &&
        ph_cluster_may_run(hub) && ph_cluster_owner(cluster, entry) == 0 &&
        !ph_cluster_live_placement(cluster, entry, 0))
        ph_cluster_launch(hub, entry, &(struct ph_launch){.job = job});
    else
        wait_for(hub, entry, job, PH_EVENT_START, PH_NO_MEMBER)->spec = ph_spec_get(spec);
}

/* It has given up and is asked for again. */
static void start_failed(struct ph_hub *hub, struct ph_job *job, struct ph_entry *entry,
                         const struct ph_placement *placement)
{
    struct ph_super_call call = {.event = PH_SUPER_START, .job = job};
    if (!ph_job_note_begun(hub, job, entry->id, entry->id_length))
        return;
    if (entry->child)
        ph_super_handle(hub, entry->child, &call);
    else if (!ph_member_is_linked(hub->cluster->members[placement->member]))
        ph_job_settle(hub, job, entry->id, PH_OUTCOME_FAILED, PH_ECONNECTION,
                      "its node is not linked");
    else
        ask(hub->cluster->members[placement->member], PH_EVENT_START, 0,
            wait_for(hub, entry, job, PH_EVENT_RESTART, placement->member));
}

static void replace(struct ph_hub *hub, struct ph_job *job, struct ph_entry *entry,
                    struct ph_spec *spec)
{
    if (!ph_job_note_begun(hub, job, entry->id, entry->id_length))
        return;
    struct ph_super_call call = {.event = PH_SUPER_START, .job = job, .spec = ph_spec_get(spec)};
    ph_cluster_want(hub, entry, spec, 0);
    if (entry->child && ph_child_state(entry->child) != PH_STATE_MOVING &&
        !ph_super_ends(entry->child)) {
        ph_super_handle(hub, entry->child, &call);
        return;
    }
    /* Whoever has it next. */
    wait_for(hub, entry, job, PH_EVENT_START, PH_NO_MEMBER)->spec = call.spec;
}

static void start_existing(struct ph_hub *hub, struct ph_job *job,
                           const struct ph_start_options *options, struct ph_spec *spec,
                           struct ph_entry *entry)
{
    struct ph_spec *wanted = ph_entry_spec_rcu(entry);
    bool equal = ph_spec_equal(wanted, spec);
    const struct ph_placement *placement =
        ph_cluster_live_placement(hub->cluster, entry, PH_NO_MEMBER);
    bool failed = placement && state_of(placement) == PH_STATE_FAILED;
    if (entry->child && !failed)
        failed = ph_child_state(entry->child) == PH_STATE_FAILED;
    if (options->if_exists == PH_IF_EXISTS_FAIL)
        ph_job_settle(hub, job, entry->id, PH_OUTCOME_FAILED, PH_EEXISTS, "already exists");
    else if (equal && failed)
        start_failed(hub, job, entry, placement);
    else if (equal)
        ph_job_settle(hub, job, entry->id, PH_OUTCOME_SAME, 0, NULL);
    else if (options->if_exists != PH_IF_EXISTS_REPLACE)
        ph_job_settle(hub, job, entry->id, PH_OUTCOME_FAILED, PH_EEXISTS,
                      "already exists with another spec: use if_exists=replace, or stop it first");
    else if (hub->kind_of(wanted) != hub->kind_of(spec))
        ph_job_settle(hub, job, entry->id, PH_OUTCOME_FAILED, PH_EREFUSED,
                      "exists as another kind of child: stop it first");
    else
        replace(hub, job, entry, spec);
}

void ph_cluster_start_one(struct ph_hub *hub, struct ph_job *job,
                          const struct ph_start_options *options, struct ph_spec *spec,
                          const char *id, size_t length)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry = NULL;
    if (cluster->fenced) {
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_EREFUSED,
                      "this node is partitioned (`status` says why): start it on another one");
        return;
    }
    entry = ph_directory_make(cluster->directory, id, length);
    if (!entry)
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ELIMIT, "the directory is full");
    else if (ph_entry_spec_rcu(entry))
        start_existing(hub, job, options, spec, entry);
    else if (entry->child && !ph_super_ends(entry->child))
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ESTOPPING, "is being stopped");
    else
        start_new(hub, job, entry, spec);
}

void ph_cluster_stop_one(struct ph_hub *hub, struct ph_job *job, const char *id, size_t length)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry = ph_directory_find_rcu(cluster->directory, id, length);
    bool wanted = entry && ph_entry_spec_rcu(entry);
    struct ph_placement *placement =
        entry ? ph_cluster_live_placement(cluster, entry, PH_NO_MEMBER) : NULL;
    if (!entry || (!wanted && !entry->child && !placement)) {
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ENOTFOUND, "no such child");
        return;
    }
    if (wanted)
        ph_cluster_want(hub, entry, NULL, 0);
    /* Done when nobody has it: also not the target of a move, or a duplicate. */
    bool here = entry->child && !ph_move_is_sent(entry);
    bool only_here = here && !ph_cluster_live_placement(cluster, entry, 0);
    struct ph_super_call call = {.event = PH_SUPER_STOP, .job = only_here ? job : NULL};
    if (!only_here && (entry->child || placement))
        wait_for(hub, entry, job, PH_EVENT_STOP, placement ? placement->member : 0);
    if (here)
        ph_super_handle(hub, entry->child, &call);
    else if (!entry->child && !placement)
        ph_job_settle(hub, job, id, PH_OUTCOME_CHANGED, 0, NULL);
}

void ph_cluster_forward_one(struct ph_hub *hub, struct ph_job *job, enum ph_event_type verb,
                            int signal, const char *id, size_t length)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry = ph_directory_find_rcu(cluster->directory, id, length);
    struct ph_placement *placement =
        entry ? ph_cluster_live_placement(cluster, entry, PH_NO_MEMBER) : NULL;
    if (!entry || !ph_entry_spec_rcu(entry))
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ENOTFOUND, "no such child");
    else if (!placement || placement->member == 0)
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_EREFUSED, "runs nowhere at the moment");
    else if (!ph_member_is_linked(cluster->members[placement->member]))
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ECONNECTION, "its node is not linked");
    else
        ask(cluster->members[placement->member], verb, signal,
            wait_for(hub, entry, job, verb, placement->member));
}

void ph_cluster_pin_one(struct ph_hub *hub, struct ph_job *job, const char *node,
                        enum ph_move_mode mode, const char *id, size_t length)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_entry *entry = ph_directory_find_rcu(cluster->directory, id, length);
    struct ph_spec *spec = entry ? ph_entry_spec_rcu(entry) : NULL;
    struct ph_member *member = *node ? ph_member_by_name(cluster, node) : NULL;
    uint64_t pin = member ? ph_pin(member->info.name_hash, mode) : 0;
    const char *why = member ? why_no_target(member) : NULL;
    if (!spec || why) {
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, spec ? PH_EREFUSED : PH_ENOTFOUND,
                      spec ? why : "no such child");
        return;
    }
    bool same = atomic_load_explicit(&entry->pin, memory_order_relaxed) == pin;
    if (!same)
        ph_cluster_pin(hub, entry, pin);
    struct ph_placement *placement = ph_cluster_live_placement(cluster, entry, PH_NO_MEMBER);
    if (!member || (placement && placement->member == member->slot))
        ph_job_settle(hub, job, id, same ? PH_OUTCOME_SAME : PH_OUTCOME_CHANGED, 0, NULL);
    else
        wait_for(hub, entry, job, PH_EVENT_PIN, member->slot);
    ph_cluster_touch(hub, entry);
}

/* ---- Outcomes for others -------------------------------------------------------------------- */

/* One frame of them. */
struct ph_outcomes {
    struct ph_outcomes *next;
    struct ph_batch batch;
    uint64_t after; /* of our log: what the member is to be sent before */
};

static struct ph_outcomes *outcomes_for(struct ph_member *member)
{
    struct ph_outcomes *last = member->outcomes_last;
    if (last && last->batch.count < PH_JOB_SLICE)
        return last;
    struct ph_outcomes *outcomes = ph_alloc(sizeof *outcomes);
    *(last ? &last->next : &member->outcomes_first) = outcomes;
    member->outcomes_last = outcomes;
    return outcomes;
}

static void drop_outcomes(struct ph_member *member, struct ph_outcomes *first)
{
    member->outcomes_first = first->next;
    if (!first->next)
        member->outcomes_last = NULL;
    ph_text_fini(&first->batch.records);
    ph_free(first);
}

void ph_cluster_drop_outcomes(struct ph_member *member)
{
    while (member->outcomes_first)
        drop_outcomes(member, member->outcomes_first);
}

static bool is_ready(const struct ph_member *member, const struct ph_outcomes *outcomes)
{
    return member->sent_hi >= outcomes->after;
}

void ph_cluster_flush_outcomes(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_outcomes *first;
    if (!ph_member_is_linked(member))
        ph_cluster_drop_outcomes(member);
    while ((first = member->outcomes_first) && is_ready(member, first)) {
        ph_member_flush(hub, member, PH_FRAME_OUTCOMES, &first->batch);
        drop_outcomes(member, first);
    }
}

bool ph_cluster_has_full_outcomes(const struct ph_member *member)
{
    const struct ph_outcomes *first = member->outcomes_first;
    return first && first->batch.count == PH_JOB_SLICE && is_ready(member, first);
}

struct outcome {
    uint64_t token;
    enum ph_outcome what;
    int code;
};

static void put_outcome(struct ph_batch *batch, const char *id, size_t length,
                        const struct outcome *outcome, const char *text)
{
    struct ph_text *records = &batch->records;
    ph_pack_str(records, id, length);
    ph_pack_uint(records, outcome->token);
    ph_pack_uint(records, outcome->what);
    ph_pack_uint(records, (uint64_t)-outcome->code);
    ph_pack_str(records, text ? text : "", text ? strnlen(text, TEXT_MAX) : 0);
    batch->count++;
}

/* ---- Being asked ---------------------------------------------------------------------------- */

void ph_cluster_outcome(struct ph_hub *hub, struct ph_asker asker, const struct ph_child *child,
                        enum ph_outcome outcome, int code, const char *text)
{
    struct ph_member *member = hub->cluster->members[asker.member];
    if (!ph_member_is_linked(member))
        return;
    struct ph_outcomes *outcomes = outcomes_for(member);
    /* Whoever hears that it runs must find it running. */
    if (child->entry) {
        ph_cluster_note_own(hub, child->entry);
        outcomes->after = ph_directory_log_hi(hub->directory);
    }
    put_outcome(&outcomes->batch, child->id, child->id_length,
                &(struct outcome){asker.token, outcome, code}, text);
}

static void refuse_request(struct ph_member *member, const char *id, size_t length, uint64_t token,
                           int code, const char *text)
{
    const struct outcome outcome = {token, code ? PH_OUTCOME_FAILED : PH_OUTCOME_CHANGED, code};
    put_outcome(&outcomes_for(member)->batch, id, length, &outcome, text);
}

static void obey(struct ph_hub *hub, struct ph_member *member, struct ph_child *child,
                 enum ph_event_type verb, uint64_t token)
{
    struct ph_super_call call = {
        .event = verb == PH_EVENT_START ? PH_SUPER_START : PH_SUPER_RESTART,
        .member = member->slot,
        .token = token,
    };
    ph_super_handle(hub, child, &call);
}

/* A start elsewhere met the child that is here. One that will get a younger instance needs no
 * answer: that one is seen. What has been asked for since, by a third node, the asker has to know
 * before it hears that all is well. */
static void answer_whether_up(struct ph_hub *hub, struct ph_member *member, struct ph_child *child,
                              uint64_t token)
{
    enum ph_state state = ph_child_state(child);
    struct ph_super_call call = {.event = PH_SUPER_START, .member = member->slot, .token = token};
    if (!child->entry || !ph_entry_spec_rcu(child->entry) ||
        ph_cluster_has_other_spec(child->entry))
        return;
    if (child->entry->version.clock > token)
        ph_cluster_tell(member, child->entry);
    if (state == PH_STATE_RUNNING)
        ph_cluster_outcome(hub, (struct ph_asker){member->slot, token}, child, PH_OUTCOME_SAME, 0,
                           NULL);
    else if (state == PH_STATE_STARTING)
        ph_super_await_remote(child, member->slot, token);
    else if (state == PH_STATE_FAILED)
        ph_super_handle(hub, child, &call);
}

static void read_one_request(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    size_t length;
    enum ph_event_type verb = (enum ph_event_type)ph_unpack_uint(frame, PH_EVENT_TYPES - 1);
    int signal = (int)ph_unpack_uint(frame, 64);
    const char *id = ph_unpack_str(frame, PH_ID_MAX, &length);
    uint64_t token = ph_unpack_uint(frame, UINT64_MAX);
    bool known = verb == PH_EVENT_CHILD_UP || verb == PH_EVENT_START || verb == PH_EVENT_RESTART ||
                 verb == PH_EVENT_SIGNAL || verb == PH_EVENT_STEER;
    if (!known || !ph_id_is_valid(id, length))
        ph_unpack_fail(frame);
    if (frame->broken)
        return;
    struct ph_child *child = ph_registry_find_rcu(hub->registry, id, length);
    if (verb == PH_EVENT_CHILD_UP) {
        if (child)
            answer_whether_up(hub, member, child, token);
    } else if (!child || ph_cluster_child_stands_by(child)) {
        refuse_request(member, id, length, token, PH_EGONE, "it has just left that node");
    } else if (verb == PH_EVENT_SIGNAL || verb == PH_EVENT_STEER) {
        const char *why = "";
        int rc = verb == PH_EVENT_SIGNAL ? ph_hub_signal_child(hub, child, signal, &why)
                                         : ph_hub_steer_child(hub, child, signal, &why);
        refuse_request(member, id, length, token, rc, why);
    } else {
        obey(hub, member, child, verb, token);
    }
}

void ph_cluster_read_request(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    for (uint32_t i = 0; i < count && !frame->broken; i++)
        read_one_request(hub, member, frame);
}

static struct ph_pending *find_pending(const struct ph_hub *hub, const char *id, size_t length,
                                       uint64_t token)
{
    struct ph_entry *entry = ph_directory_find_rcu(hub->directory, id, length);
    struct ph_pending *pending = entry ? entry->pending : NULL;
    while (pending && pending->token != token)
        pending = pending->next;
    return pending;
}

/* One node has stopped it: another may have it, too. One ends: another will start it. */
static bool goes_on_elsewhere(struct ph_pending *pending, enum ph_outcome outcome, int code)
{
    if (pending->verb == PH_EVENT_START && code == PH_ESTOPPING)
        pending->member = PH_NO_MEMBER; /* whoever has it next is asked */
    return pending->verb == PH_EVENT_STOP ? outcome != PH_OUTCOME_FAILED
                                          : pending->verb == PH_EVENT_START && code == PH_ESTOPPING;
}

void ph_cluster_read_outcomes(struct ph_hub *hub, struct ph_member *member, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, RECORDS_MAX);
    (void)member;
    for (uint32_t i = 0; i < count; i++) {
        size_t length, text_length;
        char text[TEXT_MAX + 1];
        const char *id = ph_unpack_str(frame, PH_ID_MAX, &length);
        uint64_t token = ph_unpack_uint(frame, UINT64_MAX);
        enum ph_outcome outcome = (enum ph_outcome)ph_unpack_uint(frame, PH_OUTCOME_FAILED);
        int code = -(int)ph_unpack_uint(frame, 1 << 16);
        const char *why = ph_unpack_str(frame, TEXT_MAX, &text_length);
        if (frame->broken)
            return;
        memcpy(text, why, text_length);
        text[text_length] = '\0';
        if (outcome == PH_OUTCOME_FAILED && code == 0)
            code = PH_EFAILED;
        struct ph_pending *pending = find_pending(hub, id, length, token);
        if (!pending)
            continue;
        if (goes_on_elsewhere(pending, outcome, code))
            ph_cluster_touch(hub, pending->entry);
        else if (code == 0 && is_overtaken(pending))
            ph_cluster_settle(hub, pending->entry);
        else
            settle(hub, pending, outcome, code, text);
    }
}

/* ---- Drains --------------------------------------------------------------------------------- */

static int check_drain(struct ph_hub *hub, const struct ph_event *event, struct ph_member **member,
                       const char **why)
{
    struct ph_cluster *cluster = hub->cluster;
    *member = cluster ? ph_member_by_name(cluster, event->place.node) : NULL;
    *why = "no node of that name is known; `nodes` lists them";
    if (!*member)
        return PH_ENOTFOUND;
    *why = "that node is not up, or does not run the hub: it has no children to give away";
    if (event->place.on && !(*member)->info.in_view)
        return PH_EREFUSED;
    *why = "there is no other node that could take its children";
    const struct ph_owners *owners = &ph_rcu_load(&cluster->published)->owners;
    bool last =
        owners->count == 0 || (owners->count == 1 && owners->nodes[0] == (*member)->info.name_hash);
    return event->place.on && last ? PH_EREFUSED : 0;
}

static void end_drain(struct ph_hub *hub, struct ph_member *member, int code, const char *why)
{
    ph_hub_finish_op(hub, member->drain, code, why);
    member->drain = NULL;
}

/* Counts the children that have left since it was looked the last time. */
static void count_drained(struct ph_member *member, uint64_t placed)
{
    if (placed < member->undrained)
        atomic_fetch_add_explicit(&member->drain->changed, member->undrained - placed,
                                  memory_order_relaxed);
    member->undrained = placed;
}

/* Answers those whose node has no child left. */
void ph_cluster_check_drains(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    for (uint16_t slot = 0; slot < cluster->count; slot++) {
        struct ph_member *member = cluster->members[slot];
        if (!member->drain)
            continue;
        uint64_t placed = ph_directory_placed(cluster->directory, slot);
        if (!member->info.in_view) {
            end_drain(hub, member, PH_ECONNECTION,
                      "the node is gone: what was left there begins anew elsewhere");
            continue;
        }
        count_drained(member, placed);
        if (placed == 0 && !cluster->scanning)
            end_drain(hub, member, 0, NULL);
        else if (!member->info.draining)
            end_drain(hub, member, PH_ESUPERSEDED, "taken back by another request");
    }
}

void ph_cluster_on_drain(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_member *member;
    const char *why;
    char mark[PH_NAME_MAX + 8];
    int rc = check_drain(hub, event, &member, &why);
    struct ph_op *op = event->op;
    event->op = NULL;
    int length = snprintf(mark, sizeof mark, "drain %s", event->place.node);
    struct ph_entry *entry = rc ? NULL : ph_directory_make(hub->directory, mark, (size_t)length);
    if (!entry) {
        ph_hub_finish_op(hub, op, rc ? rc : PH_ELIMIT, rc ? why : "the directory is full");
        return;
    }
    ph_cluster_want(hub, entry, NULL, event->place.on);
    ph_hub_record(hub, event->place.on ? "drain" : "undrain", "", 0, "%s", member->info.name);
    ph_cluster_owners_changed(hub);
    end_drain(hub, member, PH_ESUPERSEDED, "another request took its place");
    if (op && event->place.on) {
        member->drain = op;
        member->undrained = ph_directory_placed(hub->directory, member->slot);
    } else if (op) {
        atomic_fetch_add_explicit(&op->changed, 1, memory_order_relaxed);
        ph_hub_finish_op(hub, op, 0, NULL);
    }
}

/* ---- Leaving -------------------------------------------------------------------------------- */

static void join_again(struct ph_hub *hub, struct ph_op *op)
{
    struct ph_cluster *cluster = hub->cluster;
    bool leaving = cluster && (cluster->leaving || cluster->forgetting);
    if (cluster && cluster->away && !leaving)
        ph_cluster_meet_all(hub);
    ph_hub_finish_op(hub, op, leaving ? PH_ESTOPPING : 0, leaving ? "it is leaving" : NULL);
}

void ph_cluster_on_leave(struct ph_hub *hub, struct ph_event *event)
{
    struct ph_cluster *cluster = hub->cluster;
    struct ph_op *op = event->op;
    event->op = NULL;
    if (event->place.on) {
        join_again(hub, op);
        return;
    }
    if (!cluster || cluster->leaving || cluster->in_view < 2) {
        ph_hub_finish_op(hub, op, cluster && cluster->leaving ? PH_ESTOPPING : 0,
                         cluster && cluster->leaving ? "it is leaving already" : NULL);
        return;
    }
    if (!ph_cluster_hand_over(hub)) {
        ph_hub_finish_op(hub, op, PH_EREFUSED, "this node is partitioned: nobody takes over");
        return;
    }
    cluster->leave_op = op;
    cluster->leave_asked = true;
}
