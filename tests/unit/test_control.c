#include "ipc/control.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/node.h"
#include "engine/op.h"
#include "ipc/door.h"
#include "ipc/frame.h"
#include "tests/lib/eventually.h"

enum { SOON_MS = 20000, WAITS = 64 };

struct fixture {
    struct ph_node *node;
    struct ph_hub *hub;
    struct ph_control *control;
    char dir[64], path[96], endpoint[112];
};

/* What a door said. */
struct said {
    struct ph_sink sink;
    struct ph_text out, notes;
};

static int said_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    ph_text_append(&ph_container_of(sink, struct said, sink)->out, bytes, length);
    return 0;
}

static int said_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    ph_text_append(&ph_container_of(sink, struct said, sink)->notes, bytes, length);
    return 0;
}

static void said_init(struct said *said)
{
    *said = (struct said){.sink = {.data = said_data, .note = said_note}};
}

static void said_fini(struct said *said)
{
    ph_text_fini(&said->out);
    ph_text_fini(&said->notes);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct ph_node_config config = {.name = "n1", .workers = 1};
    struct ph_error error = {0};
    snprintf(fixture->dir, sizeof fixture->dir, "/tmp/ph-control-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    snprintf(fixture->path, sizeof fixture->path, "%s/made/n1.sock", fixture->dir);
    snprintf(fixture->endpoint, sizeof fixture->endpoint, "ipc://%s", fixture->path);
    if (ph_node_create(&config, &fixture->node, &error) < 0 ||
        ph_hub_create(fixture->node, "test", NULL, 0, &fixture->hub, &error) < 0 ||
        ph_control_start(fixture->node, fixture->endpoint, &fixture->control, &error) < 0)
        return -1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char made[80];
    ph_control_stop(fixture->control);
    ph_hub_put(fixture->hub);
    ph_node_destroy(fixture->node);
    snprintf(made, sizeof made, "%s/made", fixture->dir);
    int left = rmdir(made) | rmdir(fixture->dir); /* nothing stays behind */
    free(fixture);
    ph_thread_leave();
    return left;
}

static int run_text(struct ph_door *door, const char *text, struct said *said)
{
    struct ph_script *script;
    struct ph_script_error error = {0};
    assert_int_equal(ph_script_parse("test", text, strlen(text), &script, &error), 0);
    int rc = door->run(door, "test", ph_script_at(script, 0), PH_FORM_JSON, &said->sink);
    ph_script_destroy(script);
    return rc;
}

static struct ph_door *open_door(struct fixture *fixture)
{
    struct ph_door *door;
    struct ph_error error = {0};
    assert_int_equal(ph_door_remote(fixture->endpoint, &door, &error), 0);
    return door;
}

/* The socket is for its owner only. */
static void socket_is_private(void **state)
{
    struct fixture *fixture = *state;
    struct stat socket_stat, dir_stat;
    char made[80];
    snprintf(made, sizeof made, "%s/made", fixture->dir);
    assert_int_equal(stat(fixture->path, &socket_stat), 0);
    assert_int_equal(stat(made, &dir_stat), 0);
    assert_int_equal(socket_stat.st_mode & 0777, 0600);
    assert_int_equal(dir_stat.st_mode & 0777, 0700);
}

/* Statements run on the node; output, errors and codes come back. */
static void statements_run_through_the_socket(void **state)
{
    struct ph_door *door = open_door(*state);
    struct said said;
    said_init(&said);
    assert_int_equal(run_text(door, "start 'a b' a module=counter", &said), PH_EUSAGE);
    assert_int_equal(run_text(door, "start a module=counter meta.x='y z'", &said), 0);
    assert_int_equal(run_text(door, "send a inc 7", &said), 0);
    ph_text_clear(&said.out);
    assert_int_equal(run_text(door, "call a get", &said), 0);
    assert_string_equal(ph_text_str(&said.out), "{\"t\":\"reply\",\"id\":\"a\",\"reply\":\"7\"}\n");
    ph_text_clear(&said.notes);
    assert_int_equal(run_text(door, "child nobody", &said), PH_ENOTFOUND);
    assert_non_null(strstr(ph_text_str(&said.notes), "\"class\":\"not-found\",\"exit\":3"));
    said_fini(&said);
    door->close(door);
}

/* A second node does not get the socket, and is told who has it. */
static void second_node_is_told_who_has_the_socket(void **state)
{
    struct fixture *fixture = *state;
    struct ph_control *control;
    struct ph_error error = {0};
    assert_int_equal(ph_control_start(fixture->node, fixture->endpoint, &control, &error),
                     PH_EEXISTS);
    assert_non_null(strstr(error.text, "node n1"));
    assert_int_equal(access(fixture->path, F_OK), 0);
}

/* A file that is no socket is left alone; a socket that nobody holds is replaced. */
static void only_stale_sockets_are_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct ph_control *control;
    struct ph_error error = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char endpoint[160], lock[160];
    snprintf(address.sun_path, sizeof address.sun_path, "%s/stale", fixture->dir);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", address.sun_path);
    snprintf(lock, sizeof lock, "%s.lock", address.sun_path);
    FILE *file = fopen(address.sun_path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(ph_control_start(fixture->node, endpoint, &control, &error), PH_EEXISTS);
    assert_int_equal(unlink(address.sun_path), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(ph_control_start(fixture->node, endpoint, &control, &error), 0);
    ph_control_stop(control);
    assert_int_equal(access(address.sun_path, F_OK), -1);
    assert_int_equal(access(lock, F_OK), -1);
}

/* ---- Malformed frames ----------------------------------------------------------------------- */

static int connect_raw(const struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval limit = {.tv_sec = SOON_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* Sends bytes; the node must answer with one error frame and close. */
static void expect_refusal(const struct fixture *fixture, const char *bytes, size_t length)
{
    char answer[1024];
    size_t got = 0;
    int fd = connect_raw(fixture);
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
    for (ssize_t more = 1; more > 0; got += (size_t)more) {
        more = recv(fd, answer + got, sizeof answer - got, 0);
        assert_true(more >= 0);
    }
    close(fd);
    assert_true(got > PH_FRAME_HEADER);
    assert_int_equal(answer[4], PH_FRAME_ERROR);
    assert_int_equal(ph_frame_length(answer, got), got);
}

/* Whatever comes instead of frames gets an error and loses its connection; others go on. */
static void malformed_frames_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const frames[] = {
        "\0\0\0\0",                              /* empty */
        "\xff\xff\xff\xffR",                     /* longer than any frame */
        "GET / HTTP/1.1\r\n\r\n",                /* another protocol */
        "\1\0\0\0Z",                             /* unknown type */
        "\1\0\0\0R",                             /* a run frame without a body */
        "\2\0\0\0C!",                            /* a cancellation with one */
        "\x0a\0\0\0R\1\xff\xff\xff\x7f\0\0\0\0", /* a text that is longer than its frame */
    };
    static const size_t lengths[] = {4, 5, 18, 5, 5, 6, 14};
    for (size_t i = 0; i < PH_COUNT_OF(frames); i++)
        expect_refusal(fixture, frames[i], lengths[i]);
    struct ph_door *door = open_door(fixture);
    struct said said;
    said_init(&said);
    assert_int_equal(run_text(door, "count", &said), 0);
    said_fini(&said);
    door->close(door);
}

static struct ph_text good_frame(const char *text)
{
    struct ph_script *script;
    struct ph_script_error error = {0};
    struct ph_text frame = PH_TEXT_INIT;
    assert_int_equal(ph_script_parse("test", text, strlen(text), &script, &error), 0);
    ph_frame_put_run(&frame, "test", ph_script_at(script, 0), PH_FORM_JSON);
    ph_script_destroy(script);
    return frame;
}

/* Every run frame that is cut or bent is refused without reading beyond it; the whole one is read.
 */
static void bent_run_frames_are_refused(void **state)
{
    (void)state;
    struct ph_text frame = good_frame("start 'a b' module=x -- y z");
    const char *body = frame.data + PH_FRAME_HEADER;
    size_t length = frame.length - PH_FRAME_HEADER;
    struct ph_frame_run run;
    assert_int_equal(ph_frame_read_run(body, length, &run), 0);
    assert_string_equal(run.script, "test");
    assert_int_equal(run.statement.count, 5);
    assert_int_equal(run.statement.argv, 3);
    assert_true(run.statement.words[1].quoted);
    assert_string_equal(run.statement.words[1].text, "a b");
    ph_frame_run_fini(&run);
    for (size_t cut = 0; cut < length; cut++) {
        char *exact = malloc(cut ? cut : 1); /* a byte too far is seen by the sanitizer */
        memcpy(exact, body, cut);
        assert_int_equal(ph_frame_read_run(exact, cut, &run), PH_EUSAGE);
        free(exact);
    }
    for (size_t at = 0; at < length; at++) {
        for (int bit = 0; bit < 8; bit++) {
            char *bent = malloc(length);
            memcpy(bent, body, length);
            bent[at] = (char)(bent[at] ^ (1 << bit));
            if (ph_frame_read_run(bent, length, &run) == 0)
                ph_frame_run_fini(&run); /* another statement, but a whole one */
            free(bent);
        }
    }
    ph_text_fini(&frame);
}

/* A frame may come byte by byte, and several at once. */
static void frames_may_come_in_any_pieces(void **state)
{
    struct ph_text frame = good_frame("count");
    struct ph_text two = PH_TEXT_INIT;
    char answer[512];
    size_t got = 0;
    ph_text_append(&two, frame.data, frame.length);
    ph_text_append(&two, frame.data, frame.length);
    int fd = connect_raw(*state);
    for (size_t i = 0; i < frame.length; i++)
        assert_int_equal(send(fd, frame.data + i, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(send(fd, two.data, two.length, MSG_NOSIGNAL), two.length);
    unsigned exits = 0;
    while (exits < 3) {
        ssize_t more = recv(fd, answer + got, sizeof answer - got, 0);
        assert_true(more > 0);
        got += (size_t)more;
        for (size_t length; (length = ph_frame_length(answer, got)) && length <= got;) {
            exits += answer[4] == PH_FRAME_EXIT;
            got -= length;
            memmove(answer, answer + length, got);
        }
    }
    close(fd);
    ph_text_fini(&frame);
    ph_text_fini(&two);
}

/* ---- Waits ---------------------------------------------------------------------------------- */

struct waiting {
    struct ph_door *door;
    const char *text;
    pthread_t thread;
    struct said said;
    atomic_int rc;
    atomic_bool done;
};

static void *wait_there(void *arg)
{
    struct waiting *waiting = arg;
    struct ph_script *script;
    struct ph_script_error error;
    int rc = ph_script_parse("test", waiting->text, strlen(waiting->text), &script, &error);
    if (rc == 0)
        rc = waiting->door->run(waiting->door, "test", ph_script_at(script, 0), PH_FORM_JSON,
                                &waiting->said.sink);
    ph_script_destroy(script);
    atomic_store(&waiting->rc, rc);
    atomic_store(&waiting->done, true);
    return NULL;
}

static void begin_wait(struct fixture *fixture, struct waiting *waiting, const char *text)
{
    waiting->door = open_door(fixture);
    waiting->text = text;
    atomic_init(&waiting->rc, 1);
    atomic_init(&waiting->done, false);
    said_init(&waiting->said);
    assert_int_equal(pthread_create(&waiting->thread, NULL, wait_there, waiting), 0);
}

static void end_wait(struct waiting *waiting)
{
    pthread_join(waiting->thread, NULL);
    waiting->door->close(waiting->door);
    said_fini(&waiting->said);
}

static bool waits_are_open(void *arg)
{
    struct fixture *fixture = arg;
    return atomic_load(&fixture->node->waits) == WAITS;
}

static bool no_wait_is_open(void *arg)
{
    struct fixture *fixture = arg;
    return atomic_load(&fixture->node->waits) == 0;
}

static void start_child(struct fixture *fixture, const char *id)
{
    struct ph_door *door = open_door(fixture);
    struct said said;
    char text[80];
    said_init(&said);
    snprintf(text, sizeof text, "start %s module=echo", id);
    assert_int_equal(run_text(door, text, &said), 0);
    said_fini(&said);
    door->close(door);
}

static uint64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* Many open waits cost nothing while nothing changes, hold nobody up, and all end when it is time.
 */
static void many_waits_idle_and_end_together(void **state)
{
    struct fixture *fixture = *state;
    static struct waiting waits[WAITS];
    for (size_t i = 0; i < WAITS; i++)
        begin_wait(fixture, &waits[i], "wait child last state = running");
    assert_true(eventually(waits_are_open, fixture, SOON_MS));
    start_child(fixture, "first");
    /* A second of this process with all its threads: a wait that looked ten times a second would
     * cost far more than the bound. */
    struct ph_waiter *waiter = ph_waiter_create();
    uint64_t deadline_ms = ph_now_ms() + 500;
    assert_int_equal(ph_waiter_sleep(waiter, deadline_ms), PH_ETIMEOUT);
    uint64_t before_ns = cpu_ns();
    assert_int_equal(ph_waiter_sleep(waiter, deadline_ms + 1000), PH_ETIMEOUT);
    assert_in_range(cpu_ns() - before_ns, 0, 100000000);
    ph_waiter_destroy(waiter);
    assert_true(waits_are_open(fixture));
    start_child(fixture, "last");
    for (size_t i = 0; i < WAITS; i++) {
        end_wait(&waits[i]);
        assert_int_equal(atomic_load(&waits[i].rc), 0);
    }
}

static bool one_wait_is_open(void *arg)
{
    struct fixture *fixture = arg;
    return atomic_load(&fixture->node->waits) == 1;
}

/* Cancelling ends a wait at once, and the door serves the next statement. */
static void cancelled_wait_ends_and_the_door_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct waiting waiting;
    begin_wait(fixture, &waiting, "wait count = 12345 timeout=1h");
    assert_true(eventually(one_wait_is_open, fixture, SOON_MS));
    waiting.door->cancel(waiting.door);
    pthread_join(waiting.thread, NULL);
    assert_int_equal(atomic_load(&waiting.rc), PH_ECANCELED);
    assert_int_equal(run_text(waiting.door, "count", &waiting.said), 0);
    waiting.door->close(waiting.door);
    said_fini(&waiting.said);
}

/* A client that goes away takes its wait with it. */
static void wait_ends_when_its_client_is_gone(void **state)
{
    struct fixture *fixture = *state;
    struct ph_text frame = good_frame("wait count = 12345 timeout=1h");
    int fds[WAITS];
    for (size_t i = 0; i < WAITS; i++) {
        fds[i] = connect_raw(fixture);
        assert_int_equal(send(fds[i], frame.data, frame.length, MSG_NOSIGNAL), frame.length);
    }
    assert_true(eventually(waits_are_open, fixture, SOON_MS));
    for (size_t i = 0; i < WAITS; i++)
        close(fds[i]);
    assert_true(eventually(no_wait_is_open, fixture, SOON_MS));
    ph_text_fini(&frame);
}

/* The node's end ends what is open, with an answer. */
static void stop_ends_open_waits(void **state)
{
    struct fixture *fixture = *state;
    static struct waiting waits[WAITS];
    for (size_t i = 0; i < WAITS; i++)
        begin_wait(fixture, &waits[i], "wait count = 12345 timeout=1h");
    assert_true(eventually(waits_are_open, fixture, SOON_MS));
    ph_control_stop(fixture->control);
    fixture->control = NULL;
    for (size_t i = 0; i < WAITS; i++) {
        end_wait(&waits[i]);
        assert_int_equal(atomic_load(&waits[i].rc), PH_ECANCELED);
    }
}

static void told(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

/* `shutdown` tells the program, once. */
static void shutdown_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    atomic_int count = 0;
    struct said said;
    said_init(&said);
    ph_control_on_shutdown(fixture->control, told, &count);
    struct ph_door *door = open_door(fixture);
    assert_int_equal(run_text(door, "shutdown", &said), 0);
    assert_int_equal(run_text(door, "shutdown", &said), 0);
    assert_int_equal(atomic_load(&count), 1);
    said_fini(&said);
    door->close(door);
}

/* Nobody there: the error says what to do. */
static void connecting_to_nobody_says_what_to_do(void **state)
{
    (void)state;
    struct ph_door *door;
    struct ph_error error = {0};
    assert_int_equal(ph_door_remote("ipc:///tmp/ph-nobody-is-here.sock", &door, &error),
                     PH_ECONNECTION);
    assert_non_null(strstr(error.text, "prochub node"));
    assert_int_equal(ph_door_remote("tcp://127.0.0.1:1", &door, &error), PH_EUSAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(socket_is_private),
        TEST(statements_run_through_the_socket),
        TEST(second_node_is_told_who_has_the_socket),
        TEST(only_stale_sockets_are_replaced),
        TEST(malformed_frames_are_refused),
        cmocka_unit_test(bent_run_frames_are_refused),
        TEST(frames_may_come_in_any_pieces),
        TEST(many_waits_idle_and_end_together),
        TEST(cancelled_wait_ends_and_the_door_goes_on),
        TEST(wait_ends_when_its_client_is_gone),
        TEST(stop_ends_open_waits),
        TEST(shutdown_is_told_once),
        cmocka_unit_test(connecting_to_nobody_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
