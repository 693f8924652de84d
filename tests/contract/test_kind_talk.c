#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/kind/kind_process.h"
#include "engine/kind/process.h"
#include "engine/legacy.h"
#include "engine/op.h"
#include "engine/waiter.h"
#include "tests/contract/kind_contract.h"
#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"

/* OS processes with socket=yes as children: messages, calls, states, standing by. The samples of
 * docs/examples are the programs. */

static struct ph_node *create_node(uint64_t seed)
{
    return real_node_with((struct ph_node_config){.workers = 1, .seed = seed});
}

static bool run_until(struct ph_node *node, bool (*condition)(void *), void *arg)
{
    (void)node;
    return eventually(condition, arg, REAL_SOON_MS);
}

static void no_settling(struct ph_node *node)
{
    (void)node;
}

static const struct contract_kind talking = {
    .kind = &ph_kind_process,
    .create_node = create_node,
    .run_until = run_until,
    .settle = no_settling,
};

static int set_up(void **state)
{
    *state = contract_open(&talking, 1);
    return 0;
}

static int tear_down(void **state)
{
    contract_close(*state);
    return 0;
}

static const char *const samples[] = {
    "sh " PH_EXAMPLES_DIR "/counter_child.sh",
    "python3 " PH_EXAMPLES_DIR "/counter_child.py",
    PH_COUNTER_CHILD,
};

static struct ph_spec *sample_spec(size_t number, const char *words)
{
    char script[512];
    snprintf(script, sizeof script, "exec %s", samples[number]);
    return real_shell_spec(script, words);
}

static uint32_t prepare(struct contract_stage *stage)
{
    uint32_t instance =
        1 + atomic_fetch_add_explicit(&stage->child->instance, 1, memory_order_relaxed);
    ph_kind_process.prepare(stage->child, instance);
    return instance;
}

static int deliver(struct contract_stage *stage, struct ph_message_box *box)
{
    ph_rcu_enter();
    int rc = ph_kind_process.deliver(stage->child, box);
    ph_rcu_exit();
    return rc;
}

static void cast(struct contract_stage *stage, const char *text)
{
    struct ph_message_box *box = ph_message_box_create(PH_MESSAGE_CAST, text, strlen(text));
    assert_int_equal(deliver(stage, box), 0);
}

static struct ph_op *call(struct contract_stage *stage, const char *text)
{
    struct ph_message_box *box = ph_message_box_create(PH_MESSAGE_CALL, text, strlen(text));
    struct ph_op *op = ph_op_create();
    box->op = op;
    assert_int_equal(deliver(stage, box), 0);
    return op;
}

static bool is_done(void *arg)
{
    return ph_op_is_done(arg);
}

static void assert_answer(struct ph_op *op, int code, const char *text)
{
    assert_true(eventually(is_done, op, REAL_SOON_MS));
    assert_int_equal(ph_op_result(op)->code, code);
    assert_string_equal(code ? ph_op_result(op)->text : ph_op_result(op)->reply, text);
    ph_op_put(op);
}

static void end(struct contract_stage *stage)
{
    unsigned downs = contract_reports(stage).downs;
    ph_kind_process.kill(stage->child);
    contract_wait_downs(stage, downs + 1);
    contract_free_child(stage);
}

struct counted {
    struct contract_stage *stage;
    unsigned kepts, prepares, notes, merges;
};

static bool is_counted(void *arg)
{
    const struct counted *counted = arg;
    struct contract_reports now = contract_reports(counted->stage);
    return now.kepts >= counted->kepts && now.prepares >= counted->prepares &&
           now.notes >= counted->notes && now.merges >= counted->merges;
}

static void await_count(struct counted counted)
{
    assert_true(eventually(is_counted, &counted, REAL_SOON_MS));
}

/* ---- The samples ----------------------------------------------------------------------------- */

/* Casts, calls and errors; what one saves the next one loads, twice. */
static void samples_move_with_their_count(void **state)
{
    struct contract_stage *stage = *state;
    for (size_t i = 0; i < PH_COUNT_OF(samples); i++) {
        struct ph_text text = PH_TEXT_INIT;
        for (unsigned life = 0; life < 3; life++) {
            contract_make_child(stage, sample_spec(i, "socket=yes"));
            if (life)
                ph_kind_process.load(stage->child, &text);
            contract_start(stage);
            contract_wait_ups(stage, 1);
            if (!life) {
                cast(stage, "inc 40");
                cast(stage, "nonsense \x01\xff\\");
                cast(stage, "inc");
                assert_answer(call(stage, "inc 2"), 0, "43");
            }
            assert_answer(call(stage, "get"), 0, "43");
            ph_kind_process.save(stage->child);
            contract_wait_downs(stage, 1);
            assert_int_equal(contract_reports(stage).saves, 1);
            text = contract_take_saved(stage);
            assert_string_equal(ph_text_str(&text), "43");
            contract_free_child(stage);
        }
        ph_text_fini(&text);
    }
}

/* One stands by without its mail, gets the state, and works on from there. */
static void samples_stand_by_and_go_to_work(void **state)
{
    struct contract_stage *stage = *state;
    for (size_t i = 0; i < PH_COUNT_OF(samples); i++) {
        struct ph_text text = PH_TEXT_INIT;
        contract_make_child(stage, sample_spec(i, "socket=yes"));
        assert_true(ph_kind_process.can_prepare(ph_child_spec_rcu(stage->child)));
        prepare(stage);
        await_count((struct counted){.stage = stage, .prepares = 1});
        struct ph_op *op = call(stage, "inc");
        assert_int_equal(contract_reports(stage).ups, 0);
        ph_text_put(&text, "41");
        ph_kind_process.activate(stage->child, &text);
        contract_wait_ups(stage, 1);
        assert_answer(op, 0, "42");
        assert_int_equal(contract_reports(stage).prepares, 1);
        end(stage);
    }
}

/* A state that is none fails the start and the activation, with the program's words. */
static void samples_refuse_what_is_no_state(void **state)
{
    struct contract_stage *stage = *state;
    for (size_t i = 0; i < PH_COUNT_OF(samples); i++) {
        struct ph_text text = PH_TEXT_INIT;
        contract_make_child(stage, sample_spec(i, "socket=yes"));
        ph_text_put(&text, "forty");
        ph_kind_process.load(stage->child, &text);
        contract_start(stage);
        contract_wait_downs(stage, 1);
        prepare(stage);
        await_count((struct counted){.stage = stage, .prepares = 1});
        ph_text_put(&text, "two");
        ph_kind_process.activate(stage->child, &text);
        contract_wait_downs(stage, 2);
        struct contract_reports reports = contract_reports(stage);
        assert_int_equal(reports.ups, 0);
        assert_int_equal(reports.exit.how, PH_EXIT_EXEC);
        assert_string_equal(reports.exit.text, "it cannot load its state: that is no count");
        contract_start(stage); /* neither is given to the next one */
        contract_wait_ups(stage, 1);
        assert_answer(call(stage, "get"), 0, "0");
        end(stage);
    }
}

static void merge(struct contract_stage *stage, const char *state, int code, const char *why)
{
    struct ph_legacy *legacy = ph_legacy_create("n9", state, strlen(state));
    unsigned merges = contract_reports(stage).merges;
    ph_kind_process.merge(stage->child, legacy);
    ph_legacy_put(legacy);
    await_count((struct counted){.stage = stage, .merges = merges + 1});
    assert_int_equal(contract_reports(stage).merge_code, code);
    assert_string_equal(contract_reports(stage).why_merged, why);
}

/* Another one's count is added; what is none leaves it as it was, and how many messages it had is
 * known. */
static void samples_join_their_counts(void **state)
{
    struct contract_stage *stage = *state;
    for (size_t i = 0; i < PH_COUNT_OF(samples); i++) {
        struct ph_child_info info;
        contract_make_child(stage, sample_spec(i, "socket=yes"));
        contract_start(stage);
        contract_wait_ups(stage, 1);
        assert_answer(call(stage, "inc 2"), 0, "2");
        merge(stage, "40", 0, "");
        merge(stage, "forty", PH_EFAILED, "that is no count");
        assert_answer(call(stage, "get"), 0, "42");
        ph_rcu_enter();
        ph_child_inspect_rcu(stage->child, &info);
        ph_rcu_exit();
        assert_int_equal(info.handled, 2);
        end(stage);
    }
    contract_make_child(stage, real_shell_spec("exec sleep 1000", ""));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    merge(stage, "1", PH_EUNSUPPORTED, "an OS process without socket=yes cannot merge states");
    end(stage);
}

/* One that ends while it joins a state has ended, and the next one is not asked. */
static void end_is_the_answer_to_a_merge(void **state)
{
    static const char script[] = "while read -r verb text; do "
                                 "[ $verb != merge ] || kill -9 $$; [ $verb = state ] || echo ok; "
                                 "done <&3 >&3";
    struct contract_stage *stage = *state;
    struct ph_legacy *legacy = ph_legacy_create("n9", "1", 1);
    contract_make_child(stage, real_shell_spec(script, "socket=yes"));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    ph_kind_process.merge(stage->child, legacy);
    contract_wait_downs(stage, 1);
    contract_start(stage);
    contract_wait_ups(stage, 2);
    assert_answer(call(stage, "hello"), 0, "");
    assert_int_equal(contract_reports(stage).merges, 0);
    ph_legacy_put(legacy);
    end(stage);
}

/* A state is used up by the instance that it was given to, also when that never went to work. */
static void state_is_of_one_instance(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_text text = PH_TEXT_INIT;
    contract_make_child(stage, sample_spec(0, "socket=yes"));
    ph_text_put(&text, "41");
    ph_kind_process.load(stage->child, &text);
    prepare(stage);
    await_count((struct counted){.stage = stage, .prepares = 1});
    ph_kind_process.stop(stage->child);
    contract_wait_downs(stage, 1);
    contract_start(stage);
    contract_wait_ups(stage, 1);
    assert_answer(call(stage, "get"), 0, "0");
    ph_kind_process.kill(stage->child);
    contract_wait_downs(stage, 2);
    ph_text_put(&text, "41");
    ph_kind_process.load(stage->child, &text);
    prepare(stage);
    ph_kind_process.activate(stage->child, &text); /* empty: with the one from before */
    await_count((struct counted){.stage = stage, .prepares = 2});
    ph_kind_process.activate(stage->child, &text);
    contract_wait_ups(stage, 2);
    assert_answer(call(stage, "get"), 0, "41");
    end(stage);
}

/* ---- Mail ------------------------------------------------------------------------------------ */

/* What was written and not answered is not repeated; what was not stays, in its order. */
static void crash_costs_at_most_the_message_in_hand(void **state)
{
    static const char script[] = "read -r role <&3; echo ok >&3; read -r mail <&3; kill -9 $$";
    struct contract_stage *stage = *state;
    struct ph_op *ops[4];
    char text[8];
    contract_make_child(stage, real_shell_spec(script, "socket=yes"));
    for (unsigned i = 0; i < PH_COUNT_OF(ops); i++) {
        snprintf(text, sizeof text, "m%u", i);
        ops[i] = call(stage, text);
    }
    for (unsigned i = 0; i + 1 < PH_COUNT_OF(ops); i++) {
        contract_start(stage);
        contract_wait_downs(stage, i + 1);
        assert_answer(ops[i], PH_EFAILED, "the child ended before it answered");
        assert_false(ph_op_is_done(ops[i + 1]));
    }
    contract_free_child(stage);
    assert_answer(ops[3], PH_EGONE, "the child was stopped before it read the message");
}

/* Without an instance the unread messages can be taken, in their order. */
static void unread_mail_is_forwarded(void **state)
{
    static const char script[] = "read -r role <&3; echo ok >&3; read -r mail <&3; exit 0";
    struct contract_stage *stage = *state;
    struct ph_queue queue;
    struct ph_queue_node *node;
    struct ph_child_info info;
    char text[8];
    ph_queue_init(&queue);
    contract_make_child(stage, real_shell_spec(script, "socket=yes"));
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "m%d", i);
        cast(stage, text);
    }
    contract_start(stage);
    contract_wait_downs(stage, 1);
    ph_rcu_enter();
    ph_child_inspect_rcu(stage->child, &info);
    ph_rcu_exit();
    assert_int_equal(info.queue, 99);
    ph_kind_process.forward(stage->child, &queue);
    for (int i = 1; i < 100; i++) {
        assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_OK);
        struct ph_message_box *box = ph_container_of(node, struct ph_message_box, link);
        snprintf(text, sizeof text, "m%d", i);
        assert_string_equal(box->data, text);
        ph_message_box_destroy(box, 0, NULL);
    }
    assert_true(ph_queue_is_empty(&queue));
    contract_free_child(stage);
}

/* One that was given back, because nothing of it went out, comes before all others. */
static void message_that_was_given_back_comes_first(void **state)
{
    struct contract_stage *stage = *state;
    struct ph_queue queue;
    struct ph_queue_node *node;
    struct ph_message_box *first = ph_message_box_create(PH_MESSAGE_CAST, "m0", 2);
    ph_queue_init(&queue);
    contract_make_child(stage, sample_spec(0, "socket=yes"));
    cast(stage, "m1");
    ph_child_process_rcu(stage->child)->unsent = first;
    ph_kind_process.forward(stage->child, &queue);
    assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_OK);
    assert_ptr_equal(ph_container_of(node, struct ph_message_box, link), first);
    assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_OK);
    ph_message_box_destroy(ph_container_of(node, struct ph_message_box, link), 0, NULL);
    assert_true(ph_queue_is_empty(&queue));
    ph_child_process_rcu(stage->child)->unsent = first;
    struct ph_op *op = first->op = ph_op_create();
    first->type = PH_MESSAGE_CALL;
    contract_start(stage);
    assert_answer(op, PH_EFAILED, "use: inc [N], get");
    end(stage);
}

/* A message of the largest size, of any bytes, goes and comes back. */
static void largest_message_is_answered(void **state)
{
    struct contract_stage *stage = *state;
    static const char script[] = "import os\n"
                                 "s = os.fdopen(os.dup(3), 'r+b', buffering=0)\n"
                                 "for line in os.fdopen(3, 'rb'):\n"
                                 "    verb, _, text = line[:-1].partition(b' ')\n"
                                 "    out = b'ok ' + (text if verb == b'call' else b'') + b'\\n'\n"
                                 "    while out:\n"
                                 "        out = out[s.write(out):]\n";
    struct ph_spec *spec = real_spec("socket=yes");
    static const char *const words[] = {"python3", "-c", script};
    for (size_t i = 0; i < PH_COUNT_OF(words); i++)
        assert_int_equal(ph_spec_add_arg(spec, words[i], NULL), 0);
    char *bytes = malloc(PH_MESSAGE_BYTES_MAX + 1);
    for (size_t i = 0; i < PH_MESSAGE_BYTES_MAX; i++)
        bytes[i] = (char)(1 + i % 255);
    bytes[PH_MESSAGE_BYTES_MAX] = '\0';
    contract_make_child(stage, spec);
    contract_start(stage);
    assert_answer(call(stage, bytes), 0, bytes);
    free(bytes);
    end(stage);
}

/* Without socket=yes a message is refused; with a spec that has it no more, what waits is. */
static void messages_need_the_socket(void **state)
{
    struct contract_stage *stage = *state;
    contract_make_child(stage, real_shell_spec("exec sleep 1000", "socket=yes"));
    struct ph_op *op = call(stage, "early");
    ph_child_replace_spec(stage->child, real_shell_spec("exec sleep 1000", ""));
    struct ph_message_box *box = ph_message_box_create(PH_MESSAGE_CAST, "late", 4);
    assert_int_equal(deliver(stage, box), PH_EUNSUPPORTED);
    ph_message_box_destroy(box, 0, NULL);
    assert_false(ph_kind_process.can_prepare(ph_child_spec_rcu(stage->child)));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    assert_answer(op, PH_EUNSUPPORTED, "the child takes no messages any more");
    end(stage);
}

/* ---- Saving and failing ---------------------------------------------------------------------- */

/* One that says that it cannot be saved goes on, with its mail. */
static void child_that_cannot_be_saved_goes_on(void **state)
{
    static const char script[] = "while read -r verb text; do case $verb in "
                                 "save) echo error not now ;; *) echo ok here ;; "
                                 "esac; done <&3 >&3";
    struct contract_stage *stage = *state;
    contract_make_child(stage, real_shell_spec(script, "socket=yes"));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    ph_kind_process.save(stage->child);
    struct ph_op *op = call(stage, "are you there?");
    await_count((struct counted){.stage = stage, .kepts = 1});
    assert_string_equal(contract_reports(stage).why_kept, "not now");
    assert_answer(op, 0, "here");
    assert_int_equal(contract_reports(stage).downs, 0);
    end(stage);
}

static bool has_said_something(void *arg)
{
    struct ph_process_info info;
    ph_process_inspect_any(ph_child_process_rcu(arg), &info);
    return info.log_seq > 0;
}

/* Its state is the last word, whatever it does then; stopping it needs no more of it. */
static void saved_child_is_ended(void **state)
{
    static const char script[] = "trap '' TERM; while read -r verb text; do "
                                 "[ $verb != save ] || echo state fine; echo ok; "
                                 "done <&3 >&3; echo over; exec sleep 1000";
    struct contract_stage *stage = *state;
    contract_make_child(stage, real_shell_spec(script, "socket=yes"));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    ph_kind_process.save(stage->child);
    cast(stage, "too late");
    assert_true(eventually(has_said_something, stage->child, REAL_SOON_MS));
    end(stage); /* as the hub does when its time is up */
    assert_int_equal(contract_reports(stage).saves, 1);
    assert_int_equal(contract_reports(stage).endings, 1);
    struct ph_text text = contract_take_saved(stage);
    assert_string_equal(ph_text_str(&text), "fine");
    ph_text_fini(&text);
}

/* A part of a state is none, and one that ends while it saves has ended. */
static void half_a_state_is_none(void **state)
{
    static const char script[] = "while read -r verb text; do "
                                 "[ $verb != save ] || { echo state half; kill -9 $$; }; echo ok; "
                                 "done <&3 >&3";
    struct contract_stage *stage = *state;
    contract_make_child(stage, real_shell_spec(script, "socket=yes"));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    ph_kind_process.save(stage->child);
    contract_wait_downs(stage, 1);
    assert_int_equal(contract_reports(stage).saves, 0);
    assert_int_equal(contract_reports(stage).exit.how, PH_EXIT_SIGNAL);
    contract_free_child(stage);
}

/* One that is stopped while it saves is not said to go on. */
static void stop_wins_over_a_save(void **state)
{
    static const char script[] =
        "trap 'echo error no >&3; exit 0' TERM; while read -r verb text; do "
        "[ $verb != save ] || { echo asked; sleep 1000 & wait; }; echo ok >&3; done <&3";
    struct contract_stage *stage = *state;
    contract_make_child(stage, real_shell_spec(script, "socket=yes"));
    contract_start(stage);
    contract_wait_ups(stage, 1);
    ph_kind_process.save(stage->child);
    assert_true(eventually(has_said_something, stage->child, REAL_SOON_MS));
    ph_kind_process.stop(stage->child);
    contract_wait_downs(stage, 1);
    assert_int_equal(contract_reports(stage).saves, 0);
    assert_int_equal(contract_reports(stage).kepts, 0);
    assert_int_equal(contract_reports(stage).exit.how, PH_EXIT_CODE);
    contract_free_child(stage);
}

/* Nonsense is an end with its reason. */
static void nonsense_is_an_end_with_its_reason(void **state)
{
    struct contract_stage *stage = *state;
    contract_make_child(stage, real_shell_spec("echo hello >&3; exec sleep 1000", "socket=yes"));
    contract_start(stage);
    contract_wait_downs(stage, 1);
    struct contract_reports reports = contract_reports(stage);
    assert_int_equal(reports.ups, 0);
    assert_int_equal(reports.exit.how, PH_EXIT_FAILED);
    assert_string_equal(reports.exit.text,
                        "PROCHUB_SOCKET: a line begins with none of ok, error, state");
    assert_int_equal(reports.notes, 1);
    contract_free_child(stage);
}

/* What a cast could not do is a note, and no end. */
static void refused_cast_is_noted(void **state)
{
    struct contract_stage *stage = *state;
    contract_make_child(stage, sample_spec(0, "socket=yes"));
    contract_start(stage);
    cast(stage, "dance");
    await_count((struct counted){.stage = stage, .notes = 1});
    assert_answer(call(stage, "get"), 0, "0");
    end(stage);
}

/* ---- Beside the other conventions ------------------------------------------------------------ */

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static bool connects(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return connected;
}

/* One that stands by has its listening socket and does not listen, so that it may stand by beside
 * the one that does; readiness counts, too. */
static void standing_by_is_not_listening(void **state)
{
    static const char script[] = "while read -r verb text; do echo ok; done <&4 >&4";
    struct contract_stage *stage = *state;
    struct ph_text none = PH_TEXT_INIT;
    char words[96];
    uint16_t port = free_port();
    snprintf(words, sizeof words, "socket=yes listen=tcp://127.0.0.1:%u", port);
    contract_make_child(stage, real_shell_spec(script, words));
    prepare(stage);
    await_count((struct counted){.stage = stage, .prepares = 1});
    assert_false(connects(port));
    ph_kind_process.activate(stage->child, &none);
    contract_wait_ups(stage, 1);
    assert_true(connects(port));
    ph_kind_process.save(stage->child);
    contract_wait_downs(stage, 1);
    assert_false(connects(port));
    contract_free_child(stage);
}

#define KIND(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIND(samples_move_with_their_count),
        KIND(samples_stand_by_and_go_to_work),
        KIND(samples_refuse_what_is_no_state),
        KIND(samples_join_their_counts),
        KIND(end_is_the_answer_to_a_merge),
        KIND(state_is_of_one_instance),
        KIND(crash_costs_at_most_the_message_in_hand),
        KIND(unread_mail_is_forwarded),
        KIND(message_that_was_given_back_comes_first),
        KIND(largest_message_is_answered),
        KIND(messages_need_the_socket),
        KIND(child_that_cannot_be_saved_goes_on),
        KIND(saved_child_is_ended),
        KIND(half_a_state_is_none),
        KIND(stop_wins_over_a_save),
        KIND(nonsense_is_an_end_with_its_reason),
        KIND(refused_cast_is_noted),
        KIND(standing_by_is_not_listening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
