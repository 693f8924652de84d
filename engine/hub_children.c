#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/hub.h"
#include "engine/spec.h"
#include "engine/super.h"

enum { IDS_LISTED = 100 }; /* ids that a hook is told */

/* One request for many children. It is walked in slices; `under_way` children have not reported
 * yet. */
struct ph_job {
    struct ph_job *next, **link; /* in the hub's list of runnable or of parked jobs */
    bool parked;
    enum ph_event_type verb;
    struct ph_op *op;
    struct ph_ids ids;
    size_t cursor;
    bool walked; /* every id was looked at */
    uint32_t under_way;
    uint64_t cause; /* seq of the request's record */

    struct ph_spec *spec; /* of a start */
    const struct ph_kind *kind;
    struct ph_start_options options;
    struct ph_ids changed_ids; /* of a start: the first IDS_LISTED of what runs now */
    size_t changed_count;      /* … and how many there are */
    struct ph_ids begun_ids;   /* what to stop when a start is rolled back */
    bool failed, rolling_back;
    int signal;
    char node[PH_NAME_MAX + 1]; /* of a pin; "": unpin */
    enum ph_move_mode mode;     /* of a pin */
    struct ph_promise promised; /* what others, or the disk, have to hold before this is done */
    bool held_back;             /* done but for that; in the hub's list `unheld` */
};

static bool is_runnable(const struct ph_job *job)
{
    return !job->walked && job->under_way < PH_JOB_WINDOW;
}

/* Into the list where it belongs: thousands may wait for results, and none of them is looked at
 * until it is their turn. */
static void link_job(struct ph_hub *hub, struct ph_job *job)
{
    job->parked = !is_runnable(job);
    job->link = job->parked ? &hub->parked_jobs : hub->jobs_last;
    job->next = *job->link;
    *job->link = job;
    if (job->next)
        job->next->link = &job->next;
    if (!job->parked)
        hub->jobs_last = &job->next;
}

static void unlink_job(struct ph_hub *hub, struct ph_job *job)
{
    *job->link = job->next;
    if (job->next)
        job->next->link = job->link;
    else if (!job->parked)
        hub->jobs_last = job->link;
}

/* After a change of `walked` or `under_way`. */
static void relink_job(struct ph_hub *hub, struct ph_job *job)
{
    if (job->parked == !is_runnable(job))
        return;
    unlink_job(hub, job);
    link_job(hub, job);
}

static struct ph_job *create_job(struct ph_hub *hub, enum ph_event_type verb, struct ph_ids *ids)
{
    struct ph_job *job = ph_alloc(sizeof *job);
    job->verb = verb;
    job->ids = *ids;
    *ids = (struct ph_ids){0};
    link_job(hub, job);
    return job;
}

static void destroy_job(struct ph_job *job)
{
    ph_ids_fini(&job->ids);
    ph_ids_fini(&job->changed_ids);
    ph_ids_fini(&job->begun_ids);
    ph_spec_put(job->spec);
    ph_free(job);
}

void ph_hub_jobs_fini(struct ph_hub *hub)
{
    struct ph_job *job;
    while ((job = hub->jobs ? hub->jobs : hub->parked_jobs ? hub->parked_jobs : hub->unheld)) {
        if (job->held_back)
            hub->unheld = job->next;
        else
            unlink_job(hub, job);
        ph_hub_finish_op(hub, job->op, PH_ESTOPPING, "the hub is ending");
        destroy_job(job);
    }
}

/* ---- Hooks of a start ---------------------------------------------------------------------- */

/* "count":N,"ids":[…] with the first ids: a hook's input stays small however many there are. */
static void fire_with_ids(struct ph_hub *hub, enum ph_hook hook, size_t count,
                          const struct ph_ids *ids)
{
    if (!ph_hooks_wanted(hub, hook))
        return;
    struct ph_text fields = PH_TEXT_INIT;
    ph_text_printf(&fields, "\"count\":%zu,\"ids\":[", count);
    size_t cursor = 0, length, listed = 0;
    const char *id;
    while (listed < IDS_LISTED && (id = ph_ids_next(ids, &cursor, &length))) {
        if (listed++)
            ph_text_put(&fields, ",");
        ph_text_json(&fields, id, length);
    }
    ph_text_put(&fields, "]");
    ph_hooks_fire(hub, hook, ph_text_str(&fields));
    ph_text_fini(&fields);
}

/* ---- The end of a job ---------------------------------------------------------------------- */

/* A start failed and its caller wants all or nothing: the job becomes a stop of what it started. */
static void roll_back(struct ph_job *job)
{
    ph_ids_fini(&job->ids);
    job->ids = job->begun_ids;
    job->begun_ids = (struct ph_ids){0};
    job->verb = PH_EVENT_STOP;
    job->cursor = 0;
    job->walked = job->ids.count == 0;
    job->rolling_back = true;
}

static void end_job(struct ph_hub *hub, struct ph_job *job)
{
    const char *unkept = ph_cluster_unkept(hub, job->promised);
    ph_hub_finish_op(hub, job->op, unkept ? PH_EFAILED : 0, unkept);
    destroy_job(job);
}

static void finish_job(struct ph_hub *hub, struct ph_job *job)
{
    if (job->verb == PH_EVENT_START)
        fire_with_ids(hub, PH_HOOK_POST_CHILDREN_START, job->changed_count, &job->changed_ids);
    if (job->verb == PH_EVENT_START && job->failed && job->options.rollback) {
        roll_back(job);
        relink_job(hub, job);
        if (!job->walked)
            return;
    }
    if (job->op)
        job->op->result.rolled_back = job->rolling_back && job->ids.count;
    unlink_job(hub, job);
    bool promises = job->verb != PH_EVENT_RESTART && job->verb != PH_EVENT_SIGNAL;
    job->promised = promises ? ph_cluster_promised(hub) : (struct ph_promise){0};
    if (!ph_cluster_is_held(hub, job->promised)) {
        job->held_back = true;
        job->next = hub->unheld;
        hub->unheld = job;
        return;
    }
    end_job(hub, job);
}

void ph_hub_jobs_held(struct ph_hub *hub)
{
    struct ph_job **link = &hub->unheld;
    while (*link) {
        struct ph_job *job = *link;
        if (!ph_cluster_is_held(hub, job->promised)) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        end_job(hub, job);
    }
}

/* Also when nobody listens now: a hook may be added before the last child runs. */
static void note_changed(struct ph_job *job, const char *id)
{
    job->changed_count++;
    if (job->changed_ids.count < IDS_LISTED && ph_ids_add(&job->changed_ids, id, strlen(id)))
        job->failed = true;
}

static void count_outcome(struct ph_job *job, const char *id, enum ph_outcome outcome, int code,
                          const char *text)
{
    if (job->rolling_back)
        return; /* the result stays that of the start */
    switch (outcome) {
    case PH_OUTCOME_CHANGED:
        ph_op_changed(job->op);
        if (job->verb == PH_EVENT_START)
            note_changed(job, id);
        break;
    case PH_OUTCOME_SAME:
        ph_op_same(job->op);
        break;
    case PH_OUTCOME_FAILED:
        ph_op_fail(job->op, id, code, text);
        job->failed = true;
        break;
    }
}

void ph_job_settle(struct ph_hub *hub, struct ph_job *job, const char *id, enum ph_outcome outcome,
                   int code, const char *text)
{
    ph_assert(job->under_way > 0);
    count_outcome(job, id, outcome, code, text);
    job->under_way--;
    if (job->walked && job->under_way == 0)
        finish_job(hub, job);
    else
        relink_job(hub, job);
}

/* ---- One child ----------------------------------------------------------------------------- */

bool ph_job_note_begun(struct ph_hub *hub, struct ph_job *job, const char *id, size_t length)
{
    if (!job->options.rollback || ph_ids_add(&job->begun_ids, id, length) == 0)
        return true;
    ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, -ENOMEM, "no memory to note it for a roll-back");
    return false;
}

static void start_new(struct ph_hub *hub, struct ph_job *job, const char *id, size_t length)
{
    if (hub->picture.children >= PH_CHILDREN_MAX) {
        char full[64];
        snprintf(full, sizeof full, "the hub has %d children already", PH_CHILDREN_MAX);
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ELIMIT, full);
        return;
    }
    if (!ph_job_note_begun(hub, job, id, length))
        return;
    struct ph_child *child = ph_child_create(hub, job->kind, id, length, job->spec);
    int rc = ph_registry_publish(hub->registry, child);
    ph_assert(rc == 0); /* it was looked up in this step, and only steps write */
    ph_super_begin(hub, child, job, job->cause);
}

static void start_existing(struct ph_hub *hub, struct ph_job *job, struct ph_child *child)
{
    bool equal = ph_spec_equal(ph_spec_asked(ph_child_spec_rcu(child)), job->spec);
    enum ph_state state = ph_child_state(child);
    if (job->options.if_exists == PH_IF_EXISTS_FAIL) {
        ph_job_settle(hub, job, child->id, PH_OUTCOME_FAILED, PH_EEXISTS, "already exists");
    } else if (state == PH_STATE_STOPPING) {
        ph_job_settle(hub, job, child->id, PH_OUTCOME_FAILED, PH_ESTOPPING, "is being stopped");
    } else if (equal && state != PH_STATE_FAILED) {
        ph_job_settle(hub, job, child->id, PH_OUTCOME_SAME, 0, NULL);
    } else if (!equal && job->options.if_exists != PH_IF_EXISTS_REPLACE) {
        ph_job_settle(hub, job, child->id, PH_OUTCOME_FAILED, PH_EEXISTS,
                      "already exists with another spec: use if_exists=replace, or stop it first");
    } else if (child->kind != job->kind) {
        ph_job_settle(hub, job, child->id, PH_OUTCOME_FAILED, PH_EREFUSED,
                      "exists as another kind of child: stop it first");
    } else if (ph_job_note_begun(hub, job, child->id, child->id_length)) {
        struct ph_super_call call = {
            .event = PH_SUPER_START,
            .job = job,
            .spec = equal ? NULL : ph_spec_get(job->spec),
            .cause = job->cause,
        };
        ph_super_handle(hub, child, &call);
    }
}

static void start_one(struct ph_hub *hub, struct ph_job *job, const char *id, size_t length)
{
    struct ph_child *child = ph_registry_find_rcu(hub->registry, id, length);
    if (hub->stopping)
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ESTOPPING, "the hub is stopping");
    else if (hub->cluster)
        ph_cluster_start_one(hub, job, &job->options, job->spec, id, length);
    else if (child)
        start_existing(hub, job, child);
    else
        start_new(hub, job, id, length);
}

int ph_hub_signal_child(struct ph_hub *hub, struct ph_child *child, int signal, const char **why)
{
    int rc = PH_EREFUSED;
    if (ph_child_state(child) == PH_STATE_RUNNING || ph_child_state(child) == PH_STATE_STARTING)
        rc = hub->ports.exec->signal(hub->ports.context, child, signal);
    *why = rc == 0                 ? ""
           : rc == PH_EUNSUPPORTED ? "a module child takes no signals"
                                   : "does not run";
    return rc;
}

static void signal_one(struct ph_hub *hub, struct ph_job *job, struct ph_child *child)
{
    const char *why;
    int rc = ph_hub_signal_child(hub, child, job->signal, &why);
    ph_job_settle(hub, job, child->id, rc ? PH_OUTCOME_FAILED : PH_OUTCOME_CHANGED, rc, why);
}

int ph_hub_steer_child(struct ph_hub *hub, struct ph_child *child, bool abort, const char **why)
{
    *why = "this node has no links: nothing moves";
    return child->entry ? ph_cluster_steer(hub, child, abort, why) : PH_EREFUSED;
}

static void steer_one(struct ph_hub *hub, struct ph_job *job, struct ph_child *child)
{
    const char *why;
    int rc = ph_hub_steer_child(hub, child, job->signal, &why);
    ph_job_settle(hub, job, child->id, rc ? PH_OUTCOME_FAILED : PH_OUTCOME_CHANGED, rc, why);
}

/* Requests that are not this node's alone to fulfil: true when it is under way. */
static bool target_in_cluster(struct ph_hub *hub, struct ph_job *job, const char *id, size_t length,
                              bool here)
{
    if (!hub->cluster || job->verb == PH_EVENT_SHUTDOWN)
        return false;
    if (job->verb == PH_EVENT_PIN)
        ph_cluster_pin_one(hub, job, job->node, job->mode, id, length);
    else if (job->verb == PH_EVENT_STOP)
        ph_cluster_stop_one(hub, job, id, length);
    else if (!here)
        ph_cluster_forward_one(hub, job, job->verb, job->signal, id, length);
    else
        return false;
    return true;
}

static void target_one(struct ph_hub *hub, struct ph_job *job, const char *id, size_t length)
{
    struct ph_child *child = ph_registry_find_rcu(hub->registry, id, length);
    if (child && ph_cluster_child_stands_by(child))
        child = NULL;
    if (target_in_cluster(hub, job, id, length, child != NULL))
        return;
    if (!child) {
        ph_job_settle(hub, job, id, PH_OUTCOME_FAILED, PH_ENOTFOUND, "no such child");
        return;
    }
    if (job->verb == PH_EVENT_SIGNAL) {
        signal_one(hub, job, child);
        return;
    }
    if (job->verb == PH_EVENT_STEER) {
        steer_one(hub, job, child);
        return;
    }
    if (job->verb == PH_EVENT_PIN) {
        ph_job_settle(hub, job, id, PH_OUTCOME_SAME, 0, NULL); /* there is no other node */
        return;
    }
    struct ph_super_call call = {
        .event = job->verb == PH_EVENT_RESTART ? PH_SUPER_RESTART : PH_SUPER_STOP,
        .job = job,
        .cause = job->cause,
    };
    ph_super_handle(hub, child, &call);
}

/* ---- Slices -------------------------------------------------------------------------------- */

bool ph_hub_jobs_runnable(const struct ph_hub *hub)
{
    return hub->jobs != NULL;
}

bool ph_hub_jobs_active(const struct ph_hub *hub)
{
    return hub->jobs || hub->parked_jobs;
}

static void maybe_grow(struct ph_hub *hub, size_t children)
{
    size_t buckets = hub->growing ? 0 : ph_registry_wanted(hub->registry, children);
    if (!buckets)
        return;
    hub->growing = true;
    hub->ports.work->submit(hub->ports.context, PH_WORK_GROW, buckets);
}

static void maybe_grow_directory(struct ph_hub *hub, size_t more)
{
    if (!hub->directory || hub->directory_growing)
        return;
    size_t buckets =
        ph_directory_wanted(hub->directory, (size_t)ph_directory_entries(hub->directory) + more);
    if (!buckets)
        return;
    hub->directory_growing = true;
    hub->ports.work->submit(hub->ports.context, PH_WORK_GROW_DIRECTORY, buckets);
}

void ph_hub_grow_tables(struct ph_hub *hub)
{
    maybe_grow(hub, hub->picture.children);
    maybe_grow_directory(hub, 0);
}

/* One slice. An id of its own keeps the job alive while its children report within the slice. */
static void run_slice(struct ph_hub *hub, struct ph_job *job)
{
    for (unsigned i = 0; i < PH_JOB_SLICE && is_runnable(job); i++) {
        size_t length;
        const char *id = ph_ids_next(&job->ids, &job->cursor, &length);
        job->walked = job->cursor >= job->ids.length;
        if (!id)
            break;
        bool last = job->walked;
        job->under_way++;
        relink_job(hub, job);
        if (job->verb == PH_EVENT_START)
            start_one(hub, job, id, length);
        else
            target_one(hub, job, id, length);
        if (last)
            return; /* the job may be gone */
    }
}

void ph_hub_jobs_run(struct ph_hub *hub)
{
    struct ph_job *job = hub->jobs;
    maybe_grow_directory(hub, 0);
    if (!job)
        return;
    /* To the end of the list, so that jobs take turns. */
    unlink_job(hub, job);
    link_job(hub, job);
    run_slice(hub, job);
    maybe_grow(hub, hub->picture.children);
}

/* ---- Requests ------------------------------------------------------------------------------ */

/* A job without ids is done at once. */
static void begin_job(struct ph_hub *hub, struct ph_job *job)
{
    job->walked = job->ids.count == 0;
    if (job->walked)
        finish_job(hub, job);
}

void ph_hub_on_start(struct ph_hub *hub, struct ph_event *event)
{
    size_t count = event->start.ids.count;
    struct ph_job *job = create_job(hub, PH_EVENT_START, &event->start.ids);
    job->op = event->op;
    event->op = NULL;
    job->spec = event->start.spec;
    event->start.spec = NULL;
    job->kind = event->start.kind;
    job->options = event->start.options;
    size_t cursor = 0, length;
    const char *first = ph_ids_next(&job->ids, &cursor, &length);
    job->cause = ph_hub_record(hub, "start", count == 1 ? first : "", 0, "%zu %s", count,
                               count == 1 ? "child" : "children");
    fire_with_ids(hub, PH_HOOK_PRE_CHILDREN_START, count, &job->ids);
    maybe_grow(hub, hub->picture.children + count);
    maybe_grow_directory(hub, count);
    begin_job(hub, job);
}

void ph_hub_on_target(struct ph_hub *hub, struct ph_event *event)
{
    bool pin = event->type == PH_EVENT_PIN;
    struct ph_ids *ids = pin ? &event->place.ids : &event->target.ids;
    size_t count = ids->count;
    struct ph_job *job = create_job(hub, event->type, ids);
    job->op = event->op;
    event->op = NULL;
    if (pin) {
        memcpy(job->node, event->place.node, sizeof job->node);
        job->mode = event->place.mode;
    } else
        job->signal = event->target.signal;
    size_t cursor = 0, length;
    const char *first = ph_ids_next(&job->ids, &cursor, &length);
    job->cause = ph_hub_record(hub, ph_event_name(event->type), count == 1 ? first : "", 0,
                               "%zu %s", count, count == 1 ? "child" : "children");
    begin_job(hub, job);
}

static bool collect_id(void *arg, struct ph_child *child)
{
    return ph_ids_add(arg, child->id, child->id_length) == 0;
}

void ph_hub_stop_all(struct ph_hub *hub)
{
    struct ph_ids ids = {0};
    ph_rcu_enter();
    ph_registry_each_rcu(hub->registry, collect_id, &ids);
    ph_rcu_exit();
    begin_job(hub, create_job(hub, PH_EVENT_SHUTDOWN, &ids));
}
