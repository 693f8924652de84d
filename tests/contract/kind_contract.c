#include "tests/contract/kind_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/event.h"
#include "engine/legacy.h"
#include "engine/spec.h"

/* The kind under test; set before the tests run. */
static const struct contract_kind *tested;

/* ---- The recorder in the hub's place ------------------------------------------------------- */

static bool are_right(const struct ph_sums *sums, const struct ph_text *state)
{
    struct ph_sums made;
    if (!sums->blocks)
        return false;
    ph_sums_init(&made, state->length);
    ph_sums_read(&made, ph_text_str(state), 0, state->length);
    bool right = made.length == sums->length && ph_sums_checksum(&made) == ph_sums_checksum(sums);
    ph_sums_fini(&made);
    return right;
}

static void keep_state(struct contract_stage *stage, struct ph_event *event)
{
    ph_text_fini(&stage->saved);
    stage->saved = event->child.saved;
    event->child.saved = PH_TEXT_INIT;
}

static void take_note(struct contract_stage *stage, struct ph_event *event)
{
    static const struct ph_exit fine = {.how = PH_EXIT_CODE};
    struct contract_reports *reports = &stage->reports;
    if (event->type == PH_EVENT_CHILD_UP) {
        reports->ups++;
        reports->late_ups += reports->down_instance == event->child.instance;
        reports->up_instance = event->child.instance;
    } else if (event->type == PH_EVENT_CHILD_DOWN) {
        reports->downs++;
        reports->exit = event->child.exit ? *event->child.exit : fine;
        reports->down_instance = event->child.instance;
        reports->saves += event->child.saved.data && !event->child.exit;
        reports->sums += are_right(&event->child.sums, &event->child.saved);
        keep_state(stage, event);
    } else if (event->type == PH_EVENT_CHILD_COPIED) {
        reports->copies++;
        keep_state(stage, event);
    } else if (event->type == PH_EVENT_CHILD_PREPARED) {
        reports->prepares++;
    } else if (event->type == PH_EVENT_CHILD_ENDING) {
        reports->endings++;
    } else if (event->type == PH_EVENT_CHILD_KEPT) {
        reports->kepts++;
        memcpy(reports->why_kept, event->child.exit->text, sizeof reports->why_kept);
    } else if (event->type == PH_EVENT_CHILD_MERGED) {
        reports->merges++;
        reports->merge_code = event->child.exit->value;
        memcpy(reports->why_merged, event->child.exit->text, sizeof reports->why_merged);
    } else {
        reports->notes++;
    }
}

static bool run_recorder(struct ph_actor *actor)
{
    struct ph_host *host = ph_container_of(actor, struct ph_host, actor);
    struct contract_stage *stage = (struct contract_stage *)host;
    struct ph_queue_node *node;
    pthread_mutex_lock(&stage->lock);
    while (ph_queue_pop(&host->queue, &node) == PH_QUEUE_OK) {
        struct ph_event *event = ph_container_of(node, struct ph_event, link);
        take_note(stage, event);
        ph_event_destroy(event);
    }
    pthread_mutex_unlock(&stage->lock);
    return !ph_queue_is_empty(&host->queue);
}

static void recorder_dead(struct ph_actor *actor)
{
    (void)actor;
}

static const struct ph_actor_class recorder_class = {
    .lane = PH_LANE_SYSTEM,
    .run = run_recorder,
    .dead = recorder_dead,
};

struct contract_stage *contract_open(const struct contract_kind *kind, uint64_t seed)
{
    struct contract_stage *stage = ph_alloc(sizeof *stage);
    stage->kind = kind;
    stage->node = kind->create_node(seed);
    pthread_mutex_init(&stage->lock, NULL);
    stage->host.node = stage->host.hub.node = stage->node;
    stage->host.hub.registry = ph_registry_create(seed);
    ph_registry_open(stage->host.hub.registry);
    atomic_store(&stage->host.hub.lease_until_ms, UINT64_MAX);
    ph_queue_init(&stage->host.queue);
    ph_actor_init(&stage->host.actor, &recorder_class);
    return stage;
}

struct contract_reports contract_reports(struct contract_stage *stage)
{
    pthread_mutex_lock(&stage->lock);
    struct contract_reports reports = stage->reports;
    pthread_mutex_unlock(&stage->lock);
    return reports;
}

struct ph_text contract_take_saved(struct contract_stage *stage)
{
    pthread_mutex_lock(&stage->lock);
    struct ph_text saved = stage->saved;
    stage->saved = PH_TEXT_INIT;
    pthread_mutex_unlock(&stage->lock);
    return saved;
}

/* ---- Children ------------------------------------------------------------------------------ */

void contract_make_child(struct contract_stage *stage, struct ph_spec *spec)
{
    struct ph_error error = {0};
    if (ph_spec_check(spec, &error) || stage->kind->kind->check(stage->node, spec, &error))
        fail_msg("bad spec: %s", error.text);
    stage->child = ph_child_create(&stage->host.hub, stage->kind->kind, "child", 5, spec);
    ph_spec_put(spec);
    stage->reports = (struct contract_reports){0};
    assert_int_equal(ph_registry_publish(stage->host.hub.registry, stage->child), 0);
}

void contract_free_child(struct contract_stage *stage)
{
    ph_registry_retract(stage->host.hub.registry, stage->child);
    ph_registry_reclaim(stage->host.hub.registry);
    ph_rcu_barrier();
    stage->child = NULL;
}

uint32_t contract_start(struct contract_stage *stage)
{
    uint32_t instance =
        1 + atomic_fetch_add_explicit(&stage->child->instance, 1, memory_order_relaxed);
    stage->kind->kind->start(stage->child, instance);
    return instance;
}

void contract_close(struct contract_stage *stage)
{
    ph_registry_destroy(stage->host.hub.registry);
    contract_settle(stage);
    ph_node_destroy(stage->node);
    pthread_mutex_destroy(&stage->lock);
    ph_text_fini(&stage->saved);
    ph_free(stage);
}

/* ---- Waiting ------------------------------------------------------------------------------- */

struct wanted {
    struct contract_stage *stage;
    unsigned ups, downs, copies;
};

static bool is_reported(void *arg)
{
    const struct wanted *wanted = arg;
    struct contract_reports reports = contract_reports(wanted->stage);
    return reports.ups >= wanted->ups && reports.downs >= wanted->downs &&
           reports.copies >= wanted->copies;
}

static void wait_for(struct wanted wanted)
{
    struct contract_stage *stage = wanted.stage;
    if (!stage->kind->run_until(stage->node, is_reported, &wanted)) {
        struct contract_reports reports = contract_reports(stage);
        fail_msg("%u ups, %u downs and %u copies were reported, not %u, %u and %u", reports.ups,
                 reports.downs, reports.copies, wanted.ups, wanted.downs, wanted.copies);
    }
}

void contract_wait_ups(struct contract_stage *stage, unsigned ups)
{
    wait_for((struct wanted){.stage = stage, .ups = ups});
}

void contract_wait_downs(struct contract_stage *stage, unsigned downs)
{
    wait_for((struct wanted){.stage = stage, .downs = downs});
}

void contract_wait_copies(struct contract_stage *stage, unsigned copies)
{
    wait_for((struct wanted){.stage = stage, .copies = copies});
}

/* The kind has nothing more to say of an instance: what it says of the next one comes after it. */
void contract_settle(struct contract_stage *stage)
{
    stage->kind->settle(stage->node);
}

/* ---- The contract -------------------------------------------------------------------------- */

static int set_up(void **state)
{
    *state = contract_open(tested, 1);
    return 0;
}

static int tear_down(void **state)
{
    contract_close(*state);
    return 0;
}

static void make(struct contract_stage *stage, enum contract_child behaviour)
{
    contract_make_child(stage, tested->create_spec(behaviour));
}

/* A start is answered by one up, a stop by one down; both name the instance; nothing follows. */
static void start_is_answered_by_up_and_stop_by_down(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_RUNS);
    assert_int_equal(contract_start(stage), 1);
    contract_wait_ups(stage, 1);
    assert_int_equal(contract_reports(stage).downs, 0);
    tested->kind->stop(stage->child);
    contract_wait_downs(stage, 1);
    contract_settle(stage);
    struct contract_reports reports = contract_reports(stage);
    assert_int_equal(reports.ups, 1);
    assert_int_equal(reports.downs, 1);
    assert_int_equal(reports.up_instance, 1);
    assert_int_equal(reports.down_instance, 1);
    contract_free_child(stage);
}

/* A child that ends well by itself says so: exit code 0. */
static void own_end_is_reported_as_code_zero(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_ENDS);
    contract_start(stage);
    contract_wait_downs(stage, 1);
    assert_int_equal(contract_reports(stage).exit.how, PH_EXIT_CODE);
    assert_int_equal(contract_reports(stage).exit.value, 0);
    contract_free_child(stage);
}

/* A child that fails by itself says how, in words for people. */
static void own_failure_is_reported_with_its_reason(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_text text = PH_TEXT_INIT;
    make(stage, CONTRACT_FAILS);
    contract_start(stage);
    contract_wait_downs(stage, 1);
    struct ph_exit exit = contract_reports(stage).exit;
    assert_true(exit.how != PH_EXIT_CODE || exit.value != 0);
    assert_int_not_equal(exit.how, PH_EXIT_EXEC);
    ph_exit_describe(&exit, &text);
    assert_true(text.length > 0);
    ph_text_fini(&text);
    contract_free_child(stage);
}

/* What cannot run is never up; its one down says why. */
static void instance_that_cannot_run_is_never_up(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_CANNOT);
    for (unsigned i = 1; i <= 3; i++) {
        contract_start(stage);
        contract_wait_downs(stage, i);
    }
    contract_settle(stage);
    struct contract_reports reports = contract_reports(stage);
    assert_int_equal(reports.ups, 0);
    assert_int_equal(reports.downs, 3);
    assert_int_equal(reports.exit.how, PH_EXIT_EXEC);
    assert_non_null(strstr(reports.exit.text, tested->text_of_cannot));
    contract_free_child(stage);
}

/* A stop right behind the start: at most one up, exactly one down, never the other way round. */
static void stop_may_cross_the_start(void **state)
{
    (void)state;
    for (unsigned round = 0; round < tested->rounds; round++) {
        struct contract_stage *stage = contract_open(tested, round + 1);
        make(stage, CONTRACT_RUNS);
        contract_start(stage);
        if (round % 2)
            tested->kind->stop(stage->child);
        tested->kind->kill(stage->child);
        contract_wait_downs(stage, 1);
        contract_settle(stage);
        struct contract_reports reports = contract_reports(stage);
        assert_true(reports.ups <= 1);
        assert_int_equal(reports.downs, 1);
        assert_int_equal(reports.late_ups, 0);
        contract_free_child(stage);
        contract_close(stage);
    }
}

/* Stop and kill that cross the instance's own end do nothing: neither a second down, nor anything
 * to the next instance. */
static void stop_may_cross_the_end(void **state)
{
    (void)state;
    for (unsigned round = 0; round < tested->rounds; round++) {
        struct contract_stage *stage = contract_open(tested, round + 1);
        make(stage, round % 2 ? CONTRACT_FAILS : CONTRACT_ENDS);
        contract_start(stage);
        contract_wait_downs(stage, 1);
        tested->kind->stop(stage->child);
        tested->kind->kill(stage->child);
        contract_start(stage);
        contract_wait_downs(stage, 2);
        contract_settle(stage);
        struct contract_reports reports = contract_reports(stage);
        assert_int_equal(reports.downs, 2);
        assert_int_equal(reports.down_instance, 2);
        assert_int_equal(reports.ups, 2); /* the stop was of the first one */
        contract_free_child(stage);
        contract_close(stage);
    }
}

/* Stop and kill of a child without an instance do nothing. */
static void stop_of_nothing_does_nothing(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_RUNS);
    tested->kind->stop(stage->child);
    tested->kind->kill(stage->child);
    contract_settle(stage);
    assert_int_equal(contract_reports(stage).downs, 0);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    tested->kind->kill(stage->child);
    contract_wait_downs(stage, 1);
    contract_free_child(stage);
}

/* One instance after the other: each is reported under its own number. */
static void instances_follow_each_other(void **state)
{
    enum { INSTANCES = 10 };
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_RUNS);
    for (unsigned i = 1; i <= INSTANCES; i++) {
        contract_start(stage);
        contract_wait_ups(stage, i);
        assert_int_equal(contract_reports(stage).up_instance, i);
        if (i % 2)
            tested->kind->stop(stage->child);
        else
            tested->kind->kill(stage->child);
        contract_wait_downs(stage, i);
        assert_int_equal(contract_reports(stage).down_instance, i);
    }
    contract_settle(stage);
    assert_int_equal(contract_reports(stage).ups, INSTANCES);
    assert_int_equal(contract_reports(stage).downs, INSTANCES);
    assert_int_equal(contract_reports(stage).late_ups, 0);
    contract_free_child(stage);
}

/* A signal is taken, or refused by name; a message is taken, or refused by name. */
static void what_a_kind_cannot_do_is_refused(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_RUNS);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    int rc = tested->kind->signal(stage->child, 18);
    assert_true(rc == 0 || rc == PH_EUNSUPPORTED);
    struct ph_message_box *box = ph_message_box_create(PH_MESSAGE_CAST, "hello", 5);
    ph_rcu_enter();
    rc = tested->kind->deliver(stage->child, box);
    ph_rcu_exit();
    assert_true(rc == 0 || rc == PH_EUNSUPPORTED);
    if (rc)
        ph_message_box_destroy(box, rc, "");
    tested->kind->kill(stage->child);
    contract_wait_downs(stage, 1);
    contract_free_child(stage);
}

/* What a child shows of itself: a process its pid while it runs, and nothing afterwards. */
static void inspection_shows_what_runs(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_child_info info;
    make(stage, CONTRACT_RUNS);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    ph_rcu_enter();
    ph_child_inspect_rcu(stage->child, &info);
    ph_rcu_exit();
    assert_string_equal(info.id, "child");
    assert_int_equal(info.pid != 0, tested->kind == &ph_kind_process);
    assert_int_equal(info.queue, 0);
    tested->kind->kill(stage->child);
    contract_wait_downs(stage, 1);
    contract_settle(stage);
    ph_rcu_enter();
    ph_child_inspect_rcu(stage->child, &info);
    ph_rcu_exit();
    assert_int_equal(info.pid, 0);
    contract_free_child(stage);
}

/* Ends whatever the save left running. */
static void end_rest(struct contract_stage *stage, unsigned downs)
{
    contract_settle(stage);
    tested->kind->kill(stage->child);
    contract_wait_downs(stage, downs);
    contract_settle(stage);
}

/* A save ends the instance: one down, with a state if the kind has states. */
static void save_is_answered_by_one_down(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_RUNS);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    tested->kind->save(stage->child);
    contract_wait_downs(stage, 1);
    contract_settle(stage);
    struct contract_reports reports = contract_reports(stage);
    assert_int_equal(reports.downs, 1);
    assert_int_equal(reports.down_instance, 1);
    assert_int_equal(reports.kepts, 0);
    assert_int_equal(reports.saves, tested->has_states);
    contract_free_child(stage);
}

/* A copy of a state that is smaller than what is asked for is a save. */
static void copy_of_what_is_small_is_a_save(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_text room = PH_TEXT_INIT;
    make(stage, CONTRACT_RUNS);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    tested->kind->copy(stage->child, 1000, &room);
    contract_wait_downs(stage, 1);
    contract_settle(stage);
    assert_int_equal(contract_reports(stage).copies, 0);
    assert_int_equal(contract_reports(stage).saves, tested->has_states);
    assert_int_equal(contract_reports(stage).sums, 0);
    contract_free_child(stage);
}

/* A save that crosses the start, a stop or a kill, on either side: exactly one down. */
static void save_may_cross_everything(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 16; round++) {
        struct contract_stage *stage = contract_open(tested, round + 1);
        struct ph_text room = PH_TEXT_INIT;
        ph_text_reserve(&room, 100);
        make(stage, CONTRACT_RUNS);
        contract_start(stage);
        if (round & 1)
            contract_wait_ups(stage, 1);
        if (round & 2)
            tested->kind->stop(stage->child);
        if (round & 8)
            tested->kind->copy(stage->child, 1000, &room);
        else
            tested->kind->save(stage->child);
        if (round & 4)
            contract_settle(stage);
        tested->kind->kill(stage->child);
        contract_wait_downs(stage, 1);
        contract_settle(stage);
        struct contract_reports reports = contract_reports(stage);
        assert_true(reports.ups <= 1);
        assert_int_equal(reports.downs, 1);
        assert_int_equal(reports.late_ups, 0);
        assert_int_equal(reports.kepts, 0);
        assert_int_equal(reports.copies, 0);
        ph_text_fini(&room);
        contract_free_child(stage);
        contract_close(stage);
    }
}

/* A save that crosses the instance's own end does nothing: the down is the ordinary one, and the
 * next instance is not saved. */
static void save_may_cross_the_end(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_ENDS);
    for (unsigned i = 1; i <= 3; i++) {
        contract_start(stage);
        contract_wait_downs(stage, i);
        tested->kind->save(stage->child);
    }
    contract_settle(stage);
    assert_int_equal(contract_reports(stage).ups, 3);
    assert_int_equal(contract_reports(stage).downs, 3);
    assert_int_equal(contract_reports(stage).saves, 0);
    assert_int_equal(contract_reports(stage).kepts, 0);
    contract_free_child(stage);
}

/* A state is taken by every kind, once or twice, whether an instance follows or not. */
static void load_takes_the_state(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_text text = PH_TEXT_INIT;
    make(stage, CONTRACT_RUNS);
    for (unsigned i = 1; i <= 3; i++) {
        for (unsigned times = 0; times < i; times++) {
            ph_text_put(&text, "a state");
            tested->kind->load(stage->child, &text);
            assert_null(text.data);
        }
        contract_start(stage);
        end_rest(stage, i);
    }
    assert_int_equal(contract_reports(stage).downs, 3);
    ph_text_put(&text, "never used");
    tested->kind->load(stage->child, &text);
    contract_free_child(stage);
}

/* Without mail nothing is forwarded. */
static void no_mail_is_forwarded_as_none(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_queue queue;
    ph_queue_init(&queue);
    make(stage, CONTRACT_RUNS);
    tested->kind->forward(stage->child, &queue);
    assert_true(ph_queue_is_empty(&queue));
    contract_free_child(stage);
}

/* Resuming is harmless when nothing was held: no instance, or one that runs. */
static void resuming_what_runs_does_nothing(void **state)
{
    struct contract_stage *stage = *state;
    make(stage, CONTRACT_RUNS);
    tested->kind->resume(stage->child);
    contract_settle(stage);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    tested->kind->resume(stage->child);
    contract_settle(stage);
    assert_int_equal(contract_reports(stage).downs, 0);
    end_rest(stage, 1);
    contract_free_child(stage);
}

static bool is_merged(void *arg)
{
    const struct wanted *wanted = arg;
    return contract_reports(wanted->stage).merges >= wanted->ups;
}

/* A running instance answers a merge once; what it cannot join leaves it as it was. */
static void merge_is_answered_once(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_legacy *legacy = ph_legacy_create("n9", "what it left", 12);
    make(stage, CONTRACT_RUNS);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    for (unsigned i = 1; i <= 3; i++) {
        tested->kind->merge(stage->child, legacy);
        struct wanted wanted = {.stage = stage, .ups = i};
        assert_true(tested->run_until(stage->node, is_merged, &wanted));
        contract_settle(stage);
        assert_int_equal(contract_reports(stage).merges, i);
        assert_true(contract_reports(stage).merge_code < 0);
        assert_true(contract_reports(stage).why_merged[0]);
    }
    assert_int_equal(contract_reports(stage).downs, 0);
    ph_legacy_put(legacy);
    end_rest(stage, 1);
    contract_free_child(stage);
}

#define CONTRACT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int contract_run(const struct contract_kind *kind)
{
    const struct CMUnitTest tests[] = {
        CONTRACT(start_is_answered_by_up_and_stop_by_down),
        CONTRACT(own_end_is_reported_as_code_zero),
        CONTRACT(own_failure_is_reported_with_its_reason),
        CONTRACT(instance_that_cannot_run_is_never_up),
        cmocka_unit_test(stop_may_cross_the_start),
        cmocka_unit_test(stop_may_cross_the_end),
        CONTRACT(stop_of_nothing_does_nothing),
        CONTRACT(instances_follow_each_other),
        CONTRACT(what_a_kind_cannot_do_is_refused),
        CONTRACT(inspection_shows_what_runs),
        CONTRACT(save_is_answered_by_one_down),
        CONTRACT(copy_of_what_is_small_is_a_save),
        cmocka_unit_test(save_may_cross_everything),
        CONTRACT(save_may_cross_the_end),
        CONTRACT(merge_is_answered_once),
        CONTRACT(load_takes_the_state),
        CONTRACT(no_mail_is_forwarded_as_none),
        CONTRACT(resuming_what_runs_does_nothing),
    };
    tested = kind;
    return cmocka_run_group_tests_name(kind->kind->name, tests, NULL, NULL);
}
