#include "engine/kind/talk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/op.h"

/* The node's side of PROCHUB_SOCKET, with the test as the program. */

enum { TURNS = 200 };

struct stage {
    struct ph_talk talk;
    struct ph_loop loop;
    int program; /* its end */
    struct ph_queue mail;
    char heard[256]; /* what the talk told its owner, joined by blanks */
    enum ph_exit_how how;
};

static struct stage *of(struct ph_talk *talk)
{
    return ph_container_of(talk, struct stage, talk);
}

static void note(struct ph_talk *talk, const char *word, const char *why)
{
    struct stage *stage = of(talk);
    size_t used = strlen(stage->heard);
    snprintf(stage->heard + used, sizeof stage->heard - used, "%s%s%s%s", used ? " " : "", word,
             why ? ":" : "", why ? why : "");
}

static void told_stands_by(struct ph_talk *talk)
{
    note(talk, "stands-by", NULL);
}

static void told_works(struct ph_talk *talk)
{
    note(talk, "works", NULL);
}

static void told_saved(struct ph_talk *talk)
{
    note(talk, "saved", NULL);
}

static void told_not_saved(struct ph_talk *talk, const char *why)
{
    note(talk, "kept", why);
}

static void told_merged(struct ph_talk *talk, int code, const char *why)
{
    note(talk, code ? "not-merged" : "merged", code ? why : NULL);
}

static void told_failed(struct ph_talk *talk, enum ph_exit_how how, const char *why)
{
    of(talk)->how = how;
    note(talk, "failed", why);
}

static void told_refused(struct ph_talk *talk, const char *why)
{
    note(talk, "refused", why);
}

static struct ph_message_box *next(struct ph_talk *talk)
{
    struct ph_queue_node *node;
    if (ph_queue_pop(&of(talk)->mail, &node) != PH_QUEUE_OK)
        return NULL;
    return ph_container_of(node, struct ph_message_box, link);
}

static const struct ph_talk_calls calls = {
    .stands_by = told_stands_by,
    .works = told_works,
    .next = next,
    .saved = told_saved,
    .not_saved = told_not_saved,
    .merged = told_merged,
    .failed = told_failed,
    .refused = told_refused,
};

static void open_talk(struct stage *stage)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(ph_talk_open(&stage->talk, pair[0]), 0);
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    stage->program = pair[1];
}

static int set_up(void **state)
{
    struct stage *stage = ph_alloc(sizeof *stage);
    assert_int_equal(ph_loop_init(&stage->loop), 0);
    ph_queue_init(&stage->mail);
    ph_talk_init(&stage->talk, &stage->loop, &calls);
    open_talk(stage);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    struct ph_message_box *box = ph_talk_close(&stage->talk);
    if (box)
        ph_message_box_destroy(box, PH_EGONE, "");
    ph_text_fini(&stage->talk.saved);
    ph_loop_fini(&stage->loop);
    close(stage->program);
    ph_free(stage);
    return 0;
}

static void turn(struct stage *stage)
{
    for (int i = 0; i < 4; i++)
        ph_loop_turn(&stage->loop, 0);
}

static void say(struct stage *stage, const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t sent = send(stage->program, bytes + at, length - at, MSG_NOSIGNAL);
        if (sent > 0)
            at += (size_t)sent;
        turn(stage);
        if (stage->talk.source.fd < 0)
            return; /* it does not listen any more */
    }
}

static void say_text(struct stage *stage, const char *text)
{
    say(stage, text, strlen(text));
}

/* What came since the last time is that. */
static void assert_asked(struct stage *stage, const char *wanted)
{
    char bytes[512] = "";
    turn(stage);
    ssize_t got = read(stage->program, bytes, sizeof bytes - 1);
    assert_string_equal(got > 0 ? bytes : "", wanted);
}

static void work(struct stage *stage)
{
    struct ph_text none = PH_TEXT_INIT;
    ph_talk_work(&stage->talk, &none, 17);
    assert_asked(stage, "role active 17\n");
    say_text(stage, "ok\n");
    assert_string_equal(stage->heard, "works");
    stage->heard[0] = '\0';
}

static struct ph_op *send_message(struct stage *stage, enum ph_message_type type, const char *text)
{
    struct ph_message_box *box = ph_message_box_create(type, text, strlen(text));
    struct ph_op *op = type == PH_MESSAGE_CALL ? ph_op_create() : NULL;
    box->op = op;
    ph_queue_push(&stage->mail, &box->link);
    ph_talk_pump(&stage->talk);
    return op;
}

static void assert_answer(struct ph_op *op, int code, const char *text)
{
    assert_true(ph_op_is_done(op));
    assert_int_equal(ph_op_result(op)->code, code);
    assert_string_equal(code ? ph_op_result(op)->text : ph_op_result(op)->reply, text);
    ph_op_put(op);
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* Messages go out one at a time, in their order; an answer belongs to what was asked last. */
static void messages_go_out_one_at_a_time(void **state)
{
    struct stage *stage = *state;
    work(stage);
    send_message(stage, PH_MESSAGE_CAST, "one");
    struct ph_op *call = send_message(stage, PH_MESSAGE_CALL, "two\n");
    struct ph_op *bad = send_message(stage, PH_MESSAGE_CALL, "");
    send_message(stage, PH_MESSAGE_CAST, "four");
    assert_asked(stage, "cast one\n");
    assert_asked(stage, "");
    say_text(stage, "ok\n");
    assert_asked(stage, "call two\\0012\n");
    say_text(stage, "ok here\\0040\n");
    assert_answer(call, 0, "here ");
    assert_asked(stage, "call\n");
    say_text(stage, "error no\\nway\n");
    assert_answer(bad, PH_EFAILED, "no\nway");
    assert_asked(stage, "cast four\n");
    say_text(stage, "error what?\n");
    assert_string_equal(stage->heard, "refused:what?");
}

/* One that stands by is asked nothing; then it gets its state, and goes to work. */
static void state_comes_before_work(void **state)
{
    struct stage *stage = *state;
    struct ph_text text = PH_TEXT_INIT;
    ph_talk_stand_by(&stage->talk);
    send_message(stage, PH_MESSAGE_CAST, "mail");
    assert_asked(stage, "role passive\n");
    say_text(stage, "ok\n");
    assert_asked(stage, "");
    assert_string_equal(stage->heard, "stands-by");
    ph_text_put(&text, "4\n2");
    ph_talk_work(&stage->talk, &text, 3);
    assert_null(text.data);
    assert_asked(stage, "state 4\\00122\nload\n");
    say_text(stage, "ok\n");
    assert_asked(stage, "role active 3\n");
    say_text(stage, "ok\n");
    assert_asked(stage, "cast mail\n");
    assert_string_equal(stage->heard, "stands-by works");
}

/* A save waits for the message that is out, comes before the others, and is the last word. */
static void save_comes_before_unread_mail(void **state)
{
    struct stage *stage = *state;
    work(stage);
    send_message(stage, PH_MESSAGE_CAST, "one");
    send_message(stage, PH_MESSAGE_CAST, "two");
    assert_asked(stage, "cast one\n");
    assert_true(ph_talk_save(&stage->talk));
    assert_asked(stage, "");
    say_text(stage, "ok\n");
    assert_asked(stage, "save\n");
    say_text(stage, "error busy\n");
    assert_string_equal(stage->heard, "kept:busy");
    assert_asked(stage, "cast two\n");
    say_text(stage, "ok\n");
    assert_true(ph_talk_save(&stage->talk));
    assert_asked(stage, "save\n");
    say_text(stage, "state a\\0000\nstate\nstate b\nok\n");
    assert_string_equal(stage->heard, "kept:busy saved");
    assert_int_equal(stage->talk.saved.length, 3);
    assert_memory_equal(stage->talk.saved.data, "a\0b", 3);
    assert_false(ph_talk_save(&stage->talk));
    assert_int_equal(read(stage->program, (char[1]){0}, 1), 0); /* nothing more will come */
}

/* A merge waits for the message that is out, and comes before the others and before a save. */
static void merge_comes_between_messages(void **state)
{
    struct stage *stage = *state;
    work(stage);
    send_message(stage, PH_MESSAGE_CAST, "one");
    send_message(stage, PH_MESSAGE_CAST, "two");
    assert_asked(stage, "cast one\n");
    ph_talk_merge(&stage->talk, "4\n2", 3);
    assert_true(ph_talk_save(&stage->talk));
    assert_asked(stage, "");
    say_text(stage, "ok\n");
    assert_asked(stage, "state 4\\00122\nmerge\n");
    say_text(stage, "error never\n");
    assert_asked(stage, "save\n");
    say_text(stage, "error later\n");
    assert_asked(stage, "cast two\n");
    say_text(stage, "ok\n");
    ph_talk_merge(&stage->talk, "", 0);
    assert_asked(stage, "merge\n");
    say_text(stage, "ok\n");
    assert_string_equal(stage->heard, "not-merged:never kept:later merged");
}

/* A message of which nothing went out is given back; one that did is failed, and not repeated. */
static void only_unwritten_messages_are_given_back(void **state)
{
    struct stage *stage = *state;
    work(stage);
    struct ph_op *call = send_message(stage, PH_MESSAGE_CALL, "one");
    assert_asked(stage, "call one\n");
    assert_null(ph_talk_close(&stage->talk));
    assert_answer(call, PH_EFAILED, "the child ended before it answered");
    close(stage->program);
    open_talk(stage);
    work(stage);
    close(stage->program);
    stage->program = -1;
    send_message(stage, PH_MESSAGE_CAST, "two");
    struct ph_message_box *back = ph_talk_close(&stage->talk);
    assert_non_null(back);
    assert_string_equal(back->data, "two");
    ph_message_box_destroy(back, 0, NULL);
}

/* The last words of one that ended count, and nothing is asked of it any more. */
static void last_words_count(void **state)
{
    struct stage *stage = *state;
    work(stage);
    struct ph_op *call = send_message(stage, PH_MESSAGE_CALL, "one");
    send_message(stage, PH_MESSAGE_CAST, "two");
    assert_int_equal(send(stage->program, "ok bye\n", 7, 0), 7);
    ph_talk_hear_out(&stage->talk);
    assert_answer(call, 0, "bye");
    assert_asked(stage, "call one\n");
    assert_null(ph_talk_close(&stage->talk));
    struct ph_message_box *left = next(&stage->talk);
    assert_string_equal(left->data, "two");
    ph_message_box_destroy(left, 0, NULL);
}

/* A large state goes through a small socket, in lines that a program can hold, both ways. */
static void large_states_are_cut(void **state)
{
    enum { BYTES = 3 * 1024 * 1024 + 5 };
    struct stage *stage = *state;
    struct ph_text text = PH_TEXT_INIT, lines = PH_TEXT_INIT, whole = PH_TEXT_INIT;
    for (size_t i = 0; i < BYTES; i++)
        ph_text_append(&text, &(char){(char)(i * 7)}, 1);
    ph_text_append(&whole, text.data, BYTES);
    ph_talk_work(&stage->talk, &text, 1);
    for (int i = 0;
         i < 10000 && !(lines.length > 5 && !memcmp(lines.data + lines.length - 5, "load\n", 5));
         i++) {
        static char bytes[65536];
        turn(stage);
        ssize_t got = read(stage->program, bytes, sizeof bytes);
        if (got > 0)
            ph_text_append(&lines, bytes, (size_t)got);
    }
    lines.length -= 5;
    say_text(stage, "ok\n");
    assert_asked(stage, "role active 1\n");
    say_text(stage, "ok\n");
    assert_true(ph_talk_save(&stage->talk));
    assert_asked(stage, "save\n");
    say(stage, lines.data, lines.length);
    say_text(stage, "ok\n");
    assert_string_equal(stage->heard, "works saved");
    assert_int_equal(stage->talk.saved.length, BYTES);
    assert_memory_equal(stage->talk.saved.data, whole.data, BYTES);
    ph_text_fini(&lines);
    ph_text_fini(&whole);
}

/* ---- What fails it --------------------------------------------------------------------------- */

enum asked {
    ASKED_NOTHING,
    ASKED_TO_STAND_BY,
    ASKED_TO_LOAD,
    ASKED_TO_WORK,
    ASKED_CAST,
    ASKED_SAVE
};

static void ask(struct stage *stage, enum asked asked)
{
    struct ph_text text = PH_TEXT_INIT;
    if (asked == ASKED_TO_STAND_BY) {
        ph_talk_stand_by(&stage->talk);
    } else if (asked == ASKED_TO_LOAD) {
        ph_text_put(&text, "state");
        ph_talk_work(&stage->talk, &text, 1);
    } else if (asked == ASKED_TO_WORK) {
        ph_talk_work(&stage->talk, &text, 1);
    } else {
        work(stage);
        if (asked == ASKED_CAST)
            send_message(stage, PH_MESSAGE_CAST, "text");
        if (asked == ASKED_SAVE)
            assert_true(ph_talk_save(&stage->talk));
    }
    turn(stage);
}

/* What answers nothing, or is no answer, fails the program with the reason, and nothing of it is
 * heard any more. */
static void nonsense_fails_the_program(void **state)
{
    static const char unasked[] = "failed:PROCHUB_SOCKET: it answers what it was not asked";
    static const struct {
        enum asked asked;
        const char *said, *heard;
        enum ph_exit_how how;
    } cases[] = {
        {ASKED_NOTHING, "ok\n", unasked, PH_EXIT_FAILED},
        {ASKED_NOTHING, "state x\n", unasked, PH_EXIT_FAILED},
        {ASKED_NOTHING, "error\n", unasked, PH_EXIT_FAILED},
        {ASKED_CAST, "state x\n", unasked, PH_EXIT_FAILED},
        {ASKED_CAST, "ok\nok\n", unasked, PH_EXIT_FAILED},
        {ASKED_CAST, "hello\n",
         "failed:PROCHUB_SOCKET: a line begins with none of ok, error, state", PH_EXIT_FAILED},
        {ASKED_CAST, "ok \\q\n",
         "failed:PROCHUB_SOCKET: a backslash is not followed by \\, n, t, r or 0 and three octal "
         "digits",
         PH_EXIT_FAILED},
        {ASKED_TO_STAND_BY, "error never\n", "failed:it refused its role: never", PH_EXIT_FAILED},
        {ASKED_TO_WORK, "error never\n", "failed:it refused its role: never", PH_EXIT_FAILED},
        {ASKED_TO_WORK, "state x\n", unasked, PH_EXIT_FAILED},
        {ASKED_TO_LOAD, "error bad\n", "failed:it cannot load its state: bad", PH_EXIT_EXEC},
        {ASKED_SAVE, "state x\nok\nok\n", "saved", PH_EXIT_CODE}, /* the last one is not heard */
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct stage *stage = *state;
        ask(stage, cases[i].asked);
        say_text(stage, cases[i].said);
        say_text(stage, "ok\nrubbish\n");
        assert_string_equal(stage->heard, cases[i].heard);
        assert_int_equal(stage->how, cases[i].how);
        tear_down(state);
        set_up(state);
    }
}

/* A line without an end, a state without an end: bounded. */
static void floods_are_bounded(void **state)
{
    struct stage *stage = *state;
    char *flood = ph_alloc(PH_MESSAGE_BYTES_MAX + 8);
    memset(flood, 'x', PH_MESSAGE_BYTES_MAX + 6);
    work(stage);
    for (int i = 0; i < 8; i++)
        say(stage, flood, PH_MESSAGE_BYTES_MAX);
    assert_string_equal(stage->heard, "failed:PROCHUB_SOCKET: a line is longer than 5 MiB");
    tear_down(state);
    set_up(state);
    stage = *state;
    work(stage);
    assert_true(ph_talk_save(&stage->talk));
    memcpy(flood, "state ", 6);
    flood[PH_MESSAGE_BYTES_MAX + 6] = '\n';
    for (int i = 0; i < 260; i++)
        say(stage, flood, PH_MESSAGE_BYTES_MAX + 7);
    assert_string_equal(stage->heard, "failed:PROCHUB_SOCKET: it saves more than 256 MiB");
    ph_free(flood);
}

/* One that closes its end, and goes on all the same, is failed; but not at once: it may be about to
 * end. */
static void closed_socket_fails_the_program_later(void **state)
{
    struct stage *stage = *state;
    work(stage);
    close(stage->program);
    stage->program = -1;
    turn(stage);
    assert_string_equal(stage->heard, "");
    for (int i = 0; i < TURNS && !*stage->heard; i++)
        ph_loop_turn(&stage->loop, 100);
    assert_string_equal(stage->heard, "failed:PROCHUB_SOCKET: it closed it and goes on");
}

#define TALK(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK(messages_go_out_one_at_a_time),
        TALK(state_comes_before_work),
        TALK(save_comes_before_unread_mail),
        TALK(merge_comes_between_messages),
        TALK(only_unwritten_messages_are_given_back),
        TALK(last_words_count),
        TALK(large_states_are_cut),
        TALK(nonsense_fails_the_program),
        TALK(floods_are_bounded),
        TALK(closed_socket_fails_the_program_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
