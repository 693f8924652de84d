#include "ipc/remote.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/prng.h"
#include "engine/waiter.h"
#include "ipc/remote_inside.h"
#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"

/* Two nodes of one process; what one sends the other receives at once, unless the link is cut. Who
 * has cut it knows that nothing is on its way any more. */
struct end {
    struct ph_node *node;
    struct ph_hub *hub;
    struct ph_remote *remote;
    struct end *other;
    struct ph_sink sink;
    struct ph_text out, notes; /* what came to the sink */
    _Atomic uint64_t bytes;    /* of `out` */
    pthread_rwlock_t link;
    bool cut; /* with `link` */
};

static void set_cut(struct end *end, bool cut)
{
    pthread_rwlock_wrlock(&end->link);
    end->cut = cut;
    pthread_rwlock_unlock(&end->link);
}

static const char *name_of(const struct end *end)
{
    return ph_node_name(end->node);
}

/* A session's number is 1 for n1 and 2 for n2. */
static uint64_t number_of(const struct end *end)
{
    return (uint64_t)(name_of(end)[1] - '0');
}

static uint64_t end_find(void *context, const char *node)
{
    struct end *end = context;
    pthread_rwlock_rdlock(&end->link);
    bool cut = end->cut;
    pthread_rwlock_unlock(&end->link);
    return cut || strcmp(node, name_of(end->other)) != 0 ? 0 : number_of(end->other);
}

static void end_send(void *context, uint64_t peer, struct ph_text *frame)
{
    struct end *end = context;
    pthread_rwlock_rdlock(&end->link); /* again by an answer from inside */
    if (!end->cut) {
        assert_int_equal(peer, number_of(end->other));
        ph_remote_receive(end->other->remote, number_of(end), frame->data, frame->length);
    }
    pthread_rwlock_unlock(&end->link);
    ph_text_fini(frame);
}

static const struct ph_remote_port port = {.find = end_find, .send = end_send};

static int take_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct end *end = ph_container_of(sink, struct end, sink);
    ph_text_append(&end->out, bytes, length);
    atomic_fetch_add_explicit(&end->bytes, length, memory_order_release);
    return 0;
}

static int take_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct end *end = ph_container_of(sink, struct end, sink);
    ph_text_append(&end->notes, bytes, length);
    return 0;
}

static void open_end(struct end *end, const char *name)
{
    *end = (struct end){
        .node = real_node_with((struct ph_node_config){.name = name, .workers = 1}),
        .sink = {.data = take_data, .note = take_note},
        .link = PTHREAD_RWLOCK_INITIALIZER,
    };
    end->hub = real_hub(end->node, "h", "");
    assert_int_equal(ph_remote_start(end->node, &port, end, &end->remote), 0);
}

static int set_up(void **state)
{
    static struct end ends[2];
    open_end(&ends[0], "n1");
    open_end(&ends[1], "n2");
    ends[0].other = &ends[1];
    ends[1].other = &ends[0];
    *state = ends;
    return 0;
}

static int tear_down(void **state)
{
    struct end *ends = *state;
    for (int i = 0; i < 2; i++)
        set_cut(&ends[i], true);
    for (int i = 0; i < 2; i++)
        ph_remote_stop(ends[i].remote); /* it may still ask for the other's name */
    for (int i = 0; i < 2; i++) {
        real_end(ends[i].hub, ends[i].node);
        ph_text_fini(&ends[i].out);
        ph_text_fini(&ends[i].notes);
    }
    return 0;
}

/* The code of a statement that this end asks the other one to run in its hub. */
static int ask_in(struct end *end, const char *hub, const char *text, struct ph_waiter *waiter)
{
    struct ph_script *script;
    struct ph_script_error error;
    assert_int_equal(ph_script_parse("t", text, strlen(text), &script, &error), 0);
    struct ph_remote_question question = {
        .node = name_of(end->other),
        .hub = hub,
        .script = "t",
        .statement = ph_script_at(script, 0),
        .form = PH_FORM_JSONL,
        .sink = &end->sink,
        .waiter = waiter,
    };
    int rc = ph_remote_run(end->remote, &question);
    ph_script_destroy(script);
    return rc;
}

static int ask(struct end *end, const char *text)
{
    struct ph_waiter *waiter = ph_waiter_create();
    int rc = ask_in(end, "h", text, waiter);
    ph_waiter_destroy(waiter);
    return rc;
}

/* An asker on a thread of its own, for statements that go on. */
struct asker {
    struct end *end;
    const char *text;
    struct ph_waiter *waiter;
    pthread_t thread;
    int rc;
};

static void *run_asker(void *arg)
{
    struct asker *asker = arg;
    asker->rc = ask_in(asker->end, "h", asker->text, asker->waiter);
    return NULL;
}

static void begin(struct asker *asker, struct end *end, const char *text)
{
    *asker = (struct asker){.end = end, .text = text, .waiter = ph_waiter_create()};
    assert_int_equal(pthread_create(&asker->thread, NULL, run_asker, asker), 0);
}

static int join(struct asker *asker)
{
    pthread_join(asker->thread, NULL);
    ph_waiter_destroy(asker->waiter);
    return asker->rc;
}

static bool has_output(void *arg)
{
    struct end *end = arg;
    return atomic_load_explicit(&end->bytes, memory_order_acquire) > 0;
}

static bool has_no_runs(void *arg)
{
    struct end *end = arg;
    pthread_mutex_lock(&end->remote->lock);
    bool none = !end->remote->runs;
    pthread_mutex_unlock(&end->remote->lock);
    return none;
}

/* What a statement says on the other node comes to the asker's sink, with its code. */
static void output_and_code_come_back(void **state)
{
    struct end *end = *state;
    real_start(end->other->hub, "a", real_spec("module=echo"));
    assert_int_equal(ask(end, "child a"), 0);
    assert_non_null(strstr(ph_text_str(&end->out), "\"t\":\"child\",\"id\":\"a\""));
    assert_non_null(strstr(ph_text_str(&end->out), "\"nodes\":[\"n2\"]"));
    ph_text_clear(&end->out);
    assert_int_equal(ask(end, "history a"), 0);
    assert_non_null(strstr(ph_text_str(&end->out), "\"type\":\"child_started\""));
    assert_int_equal(ask(end, "events since=x"), PH_EUSAGE);
    assert_non_null(strstr(ph_text_str(&end->notes), "since=x: a sequence number"));
}

/* Only commands that read one child or the events are run for others. */
static void other_commands_are_refused(void **state)
{
    static const char *const commands[] = {"stop all",   "shutdown",   "send a inc",
                                           "call a get", "hub stop h", "module load /tmp/x.so",
                                           "status"};
    struct end *end = *state;
    real_start(end->other->hub, "a", real_spec("module=counter"));
    for (size_t i = 0; i < PH_COUNT_OF(commands); i++) {
        assert_int_equal(ask(end, commands[i]), PH_EREFUSED);
        assert_non_null(strstr(ph_text_str(&end->notes), "only what reads one child"));
        ph_text_clear(&end->notes);
    }
    assert_int_equal(ph_count(end->other->hub), 1);
}

/* A hub that does not run there, and a node that is not linked, are told apart. */
static void missing_hub_and_missing_node_are_told_apart(void **state)
{
    struct end *end = *state;
    struct ph_waiter *waiter = ph_waiter_create();
    assert_int_equal(ask_in(end, "nohub", "events", waiter), PH_ENOTFOUND);
    assert_non_null(strstr(ph_text_str(&end->notes), "node n2 runs no hub nohub"));
    set_cut(end, true);
    assert_int_equal(ask_in(end, "h", "events", waiter), PH_ECONNECTION);
    ph_waiter_destroy(waiter);
}

/* More output than may be under way comes whole and in order. */
static void large_output_comes_whole(void **state)
{
    struct end *end = *state;
    real_start(end->other->hub, "w-[1..6000]", real_spec("module=echo"));
    assert_int_equal(ask(end, "events"), 0);
    assert_true(end->out.length > 2 * PH_REMOTE_WINDOW);
    uint64_t seq = 0, found;
    for (const char *at = end->out.data; at && *at; at = strchr(at, '\n') + 1) {
        assert_int_equal(sscanf(at, "{\"t\":\"event\",\"seq\":%lu,", &found), 1);
        assert_int_equal(found, ++seq);
    }
    assert_true(seq >= 6000);
}

/* A statement that goes on shows what happens there, and ends when it is called off. */
static void following_shows_news_until_it_is_called_off(void **state)
{
    struct end *end = *state;
    struct asker asker;
    begin(&asker, end, "events follow where type = child_started");
    real_start(end->other->hub, "a", real_spec("module=echo"));
    assert_true(eventually(has_output, end, REAL_SOON_MS));
    ph_waiter_cancel(asker.waiter);
    assert_int_equal(join(&asker), PH_ECANCELED);
    assert_non_null(strstr(ph_text_str(&end->out), "\"id\":\"a\""));
}

static bool is_full(void *arg)
{
    struct end *end = arg;
    pthread_mutex_lock(&end->remote->lock);
    bool full = end->remote->run_count == PH_REMOTE_RUNS_MAX;
    pthread_mutex_unlock(&end->remote->lock);
    return full;
}

/* As many statements as the other node takes; none of them ends by itself. */
static void begin_all(struct asker *askers, struct end *end)
{
    for (int i = 0; i < PH_REMOTE_RUNS_MAX; i++)
        begin(&askers[i], end, "events follow where type = none");
    assert_true(eventually(is_full, end->other, REAL_SOON_MS));
}

/* When the link is gone the askers are told so, and the other node ends what it ran for them: it
 * takes new statements. */
static void both_sides_end_when_the_link_is_gone(void **state)
{
    struct end *end = *state;
    struct asker askers[PH_REMOTE_RUNS_MAX];
    begin_all(askers, end);
    set_cut(end, true);
    set_cut(end->other, true);
    for (int i = 0; i < PH_REMOTE_RUNS_MAX; i++)
        assert_int_equal(join(&askers[i]), PH_ECONNECTION);
    assert_true(eventually(has_no_runs, end->other, REAL_SOON_MS));
}

/* More statements than a node takes at a time are refused, and those that run go on. */
static void statements_beyond_the_bound_are_refused(void **state)
{
    struct end *end = *state;
    struct asker askers[PH_REMOTE_RUNS_MAX];
    begin_all(askers, end);
    assert_int_equal(ask(end, "events"), PH_ELIMIT);
    for (int i = 0; i < PH_REMOTE_RUNS_MAX; i++) {
        ph_waiter_cancel(askers[i].waiter);
        assert_int_equal(join(&askers[i]), PH_ECANCELED);
    }
}

/* Bytes that are no message of the protocol do nothing. */
static void noise_is_dropped(void **state)
{
    struct end *end = *state;
    unsigned char noise[64];
    struct ph_prng prng;
    ph_prng_init(&prng, 7);
    for (int round = 0; round < 20000; round++) {
        size_t length = ph_prng_next(&prng) % sizeof noise;
        for (size_t i = 0; i < length; i++)
            noise[i] = (unsigned char)ph_prng_next(&prng);
        if (length > 14 && round % 2) { /* looks better */
            noise[0] = 1;
            memset(noise + 9, 0, 4);
            noise[9] = (unsigned char)(length - 13);
            noise[13] = (unsigned char)"RCOEXT"[round / 2 % 6];
        }
        ph_remote_receive(end->remote, 2, noise, length);
    }
    assert_true(eventually(has_no_runs, end, REAL_SOON_MS));
    assert_int_equal(ask(end, "events"), 0);
    assert_int_equal(ask(end->other, "events"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(output_and_code_come_back),
        TEST(other_commands_are_refused),
        TEST(missing_hub_and_missing_node_are_told_apart),
        TEST(large_output_comes_whole),
        TEST(following_shows_news_until_it_is_called_off),
        TEST(both_sides_end_when_the_link_is_gone),
        TEST(statements_beyond_the_bound_are_refused),
        TEST(noise_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
