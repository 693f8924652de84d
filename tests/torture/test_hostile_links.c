/* A node among strangers that speak TCP, ZMTP and ZeroMQ, and mean no good. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/kind/endpoint.h"
#include "engine/node.h"
#include "engine/prng.h"
#include "ipc/links.h"
#include "ipc/wire.h"
#include "tests/lib/eventually.h"

enum { SOON_MS = 60000, MIB = 1024 * 1024 };

/* Two nodes that are linked; node 0 is the victim. */
struct pair {
    struct ph_node *nodes[2];
    struct ph_links *links[2];
    struct ph_endpoint victim;
    atomic_uint heard; /* by the victim from its peer */
    unsigned said;
};

static void hear(void *arg, uint64_t peer, const void *bytes, size_t length)
{
    struct pair *pair = arg;
    (void)peer;
    if (length == 5 && memcmp(bytes, "hello", 5) == 0)
        atomic_fetch_add(&pair->heard, 1);
}

static bool has_heard(void *arg)
{
    struct pair *pair = arg;
    return atomic_load(&pair->heard) == pair->said;
}

static bool are_linked(void *arg)
{
    const struct pair *pair = arg;
    return ph_links_find_peer(pair->links[0], "n1") && ph_links_find_peer(pair->links[1], "n0");
}

static int set_up(void **state)
{
    struct pair *pair = ph_alloc(sizeof *pair);
    for (int i = 0; i < 2; i++) {
        struct ph_error error = {0};
        struct ph_node_config node = {.name = i ? "n1" : "n0", .workers = 1, .seed = 1};
        const char *joins[] = {i ? ph_links_endpoint(pair->links[0]) : NULL};
        struct ph_links_config config = {.joins = joins, .join_count = (size_t)i};
        assert_int_equal(ph_node_create(&node, &pair->nodes[i], &error), 0);
        if (ph_links_start(pair->nodes[i], &config, &pair->links[i], &error))
            fail_msg("%s", error.text);
    }
    ph_links_on_service(pair->links[0], hear, pair);
    assert_int_equal(
        ph_endpoint_parse(ph_links_endpoint(pair->links[0]), false, &pair->victim, NULL), 0);
    assert_true(eventually(are_linked, pair, SOON_MS));
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    for (int i = 0; i < 2; i++) {
        ph_links_leave(pair->links[i]);
        ph_links_stop(pair->links[i]);
        ph_node_destroy(pair->nodes[i]);
    }
    ph_free(pair);
    return 0;
}

/* The victim's peer gets through to it, in the session that it always had. */
static void assert_linked(struct pair *pair)
{
    struct ph_text frame = PH_TEXT_INIT;
    ph_text_put(&frame, "hello");
    pair->said++;
    ph_links_service_send(pair->links[1], 1, &frame);
    assert_true(eventually(has_heard, pair, SOON_MS));
    assert_int_equal(ph_links_find_peer(pair->links[0], "n1"), 1);
}

static uint64_t refused(struct pair *pair)
{
    struct ph_mesh_stats stats;
    uint64_t count = 0;
    ph_links_stats(pair->links[0], 0, &stats);
    for (int i = 0; i < PH_MESH_REFUSALS; i++)
        count += stats.refused[i];
    assert_int_equal(stats.peers, 1);
    return count;
}

struct refusals {
    struct pair *pair;
    uint64_t wanted;
};

static bool are_refused(void *arg)
{
    const struct refusals *refusals = arg;
    return refused(refusals->pair) >= refusals->wanted;
}

static size_t resident_bytes(void)
{
    size_t size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(file, "%zu %zu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- Raw TCP -------------------------------------------------------------------------------- */

static int dial(const struct pair *pair)
{
    int fd = socket(pair->victim.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval soon = {.tv_sec = 10};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    assert_int_equal(
        connect(fd, (const struct sockaddr *)&pair->victim.address, pair->victim.length), 0);
    return fd;
}

/* Whether it is still taken. */
static bool say(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

static const char greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL";
static const char ready[] = "\4\x29\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0";

/* A connection that has shaken hands as a DEALER. */
static int dial_zmtp(const struct pair *pair)
{
    char answer[64];
    int fd = dial(pair);
    assert_true(say(fd, greeting, sizeof greeting));
    assert_true(say(fd, ready, sizeof ready)); /* the last NUL belongs to it */
    for (size_t got = 0; got < sizeof answer;) {
        ssize_t now = recv(fd, answer + got, sizeof answer - got, 0);
        assert_true(now > 0);
        got += (size_t)now;
    }
    return fd;
}

/* Is the connection closed from the other side, sooner or later? */
static bool is_closed(void *arg)
{
    char bytes[4096];
    ssize_t got;
    do {
        got = recv(*(int *)arg, bytes, sizeof bytes, MSG_DONTWAIT);
    } while (got > 0);
    return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* Bytes that are no ZMTP end a connection and nothing else. */
static void random_bytes_are_hung_up_on(void **state)
{
    struct pair *pair = *state;
    struct ph_prng prng;
    ph_prng_init(&prng, 1);
    for (int i = 0; i < 100; i++) {
        unsigned char bytes[600];
        int fd = dial(pair);
        size_t length = (size_t)ph_prng_below(&prng, sizeof bytes);
        for (size_t at = 0; at < length; at++)
            bytes[at] = (unsigned char)ph_prng_next(&prng);
        if (i % 2 && length > sizeof greeting) /* a good beginning */
            memcpy(bytes, greeting, sizeof greeting);
        say(fd, bytes, length);
        close(fd);
    }
    assert_linked(pair);
}

/* A frame that says that it is huge is not waited for, and takes no memory. */
static void huge_lengths_are_hung_up_on(void **state)
{
    static const char *const lengths[] = {"\2\x7f\xff\xff\xff\xff\xff\xff\xff",
                                          "\2\xff\xff\xff\xff\xff\xff\xff\xff",
                                          "\2\0\0\0\0\x7f\xff\xff\xff", "\3\0\0\0\0\0\2\0\1"};
    struct pair *pair = *state;
    size_t before = resident_bytes();
    for (size_t i = 0; i < PH_COUNT_OF(lengths); i++) {
        int fd = dial_zmtp(pair);
        say(fd, lengths[i], 9);
        assert_true(eventually(is_closed, &fd, SOON_MS));
        close(fd);
    }
    assert_true(resident_bytes() < before + 64 * MIB);
    assert_linked(pair);
}

/* Half a handshake is hung up on after some seconds; many of them stop nobody. */
static void silent_connections_stop_nobody(void **state)
{
    struct pair *pair = *state;
    int fds[100];
    for (size_t i = 0; i < PH_COUNT_OF(fds); i++) {
        fds[i] = dial(pair);
        say(fds[i], greeting, i % 65);
    }
    assert_linked(pair);
    for (size_t i = 0; i < PH_COUNT_OF(fds); i++) {
        assert_true(eventually(is_closed, &fds[i], SOON_MS));
        close(fds[i]);
    }
    assert_linked(pair);
}

/* A message without a last part, which libzmq would collect without end, is cut off. */
static void endless_message_is_cut_off(void **state)
{
    struct pair *pair = *state;
    static char part[9 + 65536] = "\3\0\0\0\0\0\1\0\0"; /* more to come, 64 KiB */
    size_t before = resident_bytes(), sent = 0, most = 0;
    struct refusals refusals = {.pair = pair, .wanted = refused(pair) + 1};
    int fd = dial_zmtp(pair);
    while (sent < 4096ULL * MIB && say(fd, part, sizeof part)) {
        sent += sizeof part;
        size_t now = resident_bytes();
        most = now > most ? now : most;
    }
    close(fd);
    print_message("          %zu MiB were taken, memory grew by %zu MiB at most\n", sent / MIB,
                  most > before ? (most - before) / MIB : 0);
    assert_true(sent < 2048ULL * MIB);
    assert_linked(pair);
    assert_linked(pair);
    assert_true(eventually(are_refused, &refusals, SOON_MS));
}

/* ---- ZeroMQ --------------------------------------------------------------------------------- */

struct stranger {
    void *context, *socket;
};

static struct stranger call_as(const struct pair *pair, int type, const char *identity)
{
    int linger = 1000;
    struct stranger stranger = {.context = zmq_ctx_new()};
    stranger.socket = zmq_socket(stranger.context, type);
    zmq_setsockopt(stranger.socket, ZMQ_LINGER, &linger, sizeof linger);
    if (identity)
        zmq_setsockopt(stranger.socket, ZMQ_ROUTING_ID, identity, strlen(identity));
    assert_int_equal(zmq_connect(stranger.socket, ph_links_endpoint(pair->links[0])), 0);
    return stranger;
}

static void hang_up(struct stranger stranger)
{
    zmq_close(stranger.socket);
    zmq_ctx_term(stranger.context);
}

/* Frames that are none of ours are counted, each, and answered by nothing. */
static void foreign_frames_are_counted(void **state)
{
    struct pair *pair = *state;
    struct ph_prng prng;
    ph_prng_init(&prng, 2);
    uint64_t before = refused(pair);
    struct stranger stranger = call_as(pair, ZMQ_DEALER, NULL);
    for (int i = 0; i < 1000; i++) {
        unsigned char bytes[400];
        size_t length = (size_t)ph_prng_below(&prng, sizeof bytes);
        for (size_t at = 0; at < length; at++)
            bytes[at] = (unsigned char)ph_prng_next(&prng);
        if (i % 2 && length >= PH_WIRE_HEADER)
            ph_wire_seal(bytes, length,
                         (struct ph_wire_header){.class = (uint8_t)(i % 9), .source = 5});
        zmq_send(stranger.socket, bytes, length, 0);
    }
    struct refusals refusals = {.pair = pair, .wanted = before + 1000};
    assert_true(eventually(are_refused, &refusals, SOON_MS));
    char byte;
    assert_int_equal(zmq_recv(stranger.socket, &byte, 1, ZMQ_DONTWAIT), -1);
    hang_up(stranger);
    assert_linked(pair);
}

/* Messages of many parts are one refusal each, also a thousand parts. */
static void many_parts_are_one_refusal(void **state)
{
    struct pair *pair = *state;
    uint64_t before = refused(pair);
    struct stranger stranger = call_as(pair, ZMQ_DEALER, NULL);
    for (int i = 0; i < 20; i++) {
        for (int part = 0; part < 1000; part++)
            zmq_send(stranger.socket, "part", 4, ZMQ_SNDMORE);
        zmq_send(stranger.socket, "", 0, 0);
    }
    struct refusals refusals = {.pair = pair, .wanted = before + 20};
    assert_true(eventually(are_refused, &refusals, SOON_MS));
    hang_up(stranger);
    assert_linked(pair);
}

/* Whoever takes the identity of a connection gets no mail and ends no session: we send nothing by
 * it, and who comes second is not listened to. */
static void stolen_identity_gets_nothing(void **state)
{
    struct pair *pair = *state;
    struct stranger strangers[4];
    for (size_t i = 0; i < PH_COUNT_OF(strangers); i++) {
        strangers[i] = call_as(pair, ZMQ_DEALER, i % 2 ? "n1" : "thief");
        zmq_send(strangers[i].socket, "x", 1, 0);
        assert_linked(pair);
    }
    for (size_t i = 0; i < PH_COUNT_OF(strangers); i++) {
        char byte;
        assert_int_equal(zmq_recv(strangers[i].socket, &byte, 1, ZMQ_DONTWAIT), -1);
        hang_up(strangers[i]);
    }
    assert_linked(pair);
}

/* Other kinds of sockets are not let in. */
static void other_kinds_of_sockets_are_refused(void **state)
{
    static const int kinds[] = {ZMQ_PUSH, ZMQ_PUB, ZMQ_PAIR, ZMQ_SUB};
    struct pair *pair = *state;
    for (size_t i = 0; i < PH_COUNT_OF(kinds); i++) {
        struct stranger stranger = call_as(pair, kinds[i], NULL);
        zmq_send(stranger.socket, "x", 1, ZMQ_DONTWAIT);
        assert_linked(pair);
        int linger = 0;
        zmq_setsockopt(stranger.socket, ZMQ_LINGER, &linger, sizeof linger);
        hang_up(stranger);
    }
    assert_linked(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes_are_hung_up_on),
        cmocka_unit_test(huge_lengths_are_hung_up_on),
        cmocka_unit_test(silent_connections_stop_nobody),
        cmocka_unit_test(endless_message_is_cut_off),
        cmocka_unit_test(foreign_frames_are_counted),
        cmocka_unit_test(many_parts_are_one_refusal),
        cmocka_unit_test(stolen_identity_gets_nothing),
        cmocka_unit_test(other_kinds_of_sockets_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
