#include "tests/contract/link_contract.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"

/* The head of each frame; bytes that follow from the number come behind it. */
struct head {
    uint32_t beat, number, from;
};

/* Written by the threads of links, read by the test; `lock` guards all. */
static struct inbox {
    pthread_mutex_t lock;
    const struct link_net *ops;
    void *net;
    uint32_t next[LINK_NODES_MAX][LINK_NODES_MAX]; /* by receiver and sender */
    uint32_t beats[LINK_NODES_MAX];
    uint64_t bytes[LINK_NODES_MAX];
    unsigned faults;
    uint32_t beats_before_stream; /* of node 1: when its first stream arrived */
} inbox = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned char byte_at(uint32_t number, size_t at)
{
    return (unsigned char)(number * 31 + at * 7);
}

void link_contract_take(unsigned index, const void *bytes, size_t length)
{
    struct head head;
    pthread_mutex_lock(&inbox.lock);
    bool good = length >= sizeof head;
    if (good)
        memcpy(&head, bytes, sizeof head);
    if (good && head.beat) {
        inbox.beats[index]++;
    } else if (good && head.from < LINK_NODES_MAX) {
        const unsigned char *at = bytes;
        good = head.number == inbox.next[index][head.from]++;
        for (size_t i = sizeof head; i < length; i++)
            good &= at[i] == byte_at(head.number, i);
        inbox.bytes[index] += length;
        if (index == 1 && head.number == 0)
            inbox.beats_before_stream = inbox.beats[1];
    }
    inbox.faults += !good;
    pthread_mutex_unlock(&inbox.lock);
}

static uint32_t arrived(unsigned at, unsigned from)
{
    pthread_mutex_lock(&inbox.lock);
    uint32_t count = inbox.next[at][from];
    pthread_mutex_unlock(&inbox.lock);
    return count;
}

static uint64_t peer_of(unsigned index, unsigned other)
{
    char name[8];
    snprintf(name, sizeof name, "n%u", other);
    return inbox.ops->find(inbox.net, index, name);
}

static void send_stream(unsigned from, unsigned to, uint32_t number, size_t length)
{
    struct head head = {.number = number, .from = from};
    length = length < sizeof head ? sizeof head : length;
    unsigned char *bytes = ph_alloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_at(number, i);
    memcpy(bytes, &head, sizeof head);
    inbox.ops->send(inbox.net, from, peer_of(from, to), PH_LINK_STREAM, bytes, length);
    ph_free(bytes);
}

static void send_beat(unsigned from, unsigned to)
{
    struct head head = {.beat = 1, .from = from};
    uint64_t peer = peer_of(from, to);
    if (peer)
        inbox.ops->send(inbox.net, from, peer, PH_LINK_BEAT, &head, sizeof head);
}

/* ---- Conditions ----------------------------------------------------------------------------- */

struct wish {
    unsigned a, b;
    uint64_t value;
};

static bool a_sees_b(void *arg)
{
    const struct wish *wish = arg;
    return peer_of(wish->a, wish->b) != 0;
}

static bool both_see(void *arg)
{
    const struct wish *wish = arg;
    return peer_of(wish->a, wish->b) && peer_of(wish->b, wish->a);
}

static bool a_has_newer_b(void *arg)
{
    const struct wish *wish = arg;
    send_beat(wish->a, wish->b); /* as a hub does all the time */
    return peer_of(wish->a, wish->b) > wish->value;
}

static bool a_lost_b(void *arg)
{
    const struct wish *wish = arg;
    send_beat(wish->a, wish->b);
    return peer_of(wish->a, wish->b) == 0;
}

static bool b_has_all(void *arg)
{
    const struct wish *wish = arg;
    return arrived(wish->b, wish->a) >= wish->value;
}

static bool a_is_in_trouble(void *arg)
{
    const struct wish *wish = arg;
    char text[300];
    inbox.ops->trouble(inbox.net, wish->a, text, sizeof text);
    return text[0];
}

static bool a_has_room(void *arg)
{
    const struct wish *wish = arg;
    return inbox.ops->room(inbox.net, wish->a, peer_of(wish->a, wish->b)) >= wish->value;
}

static bool beats_and_stream(void *arg)
{
    const struct wish *wish = arg;
    send_beat(wish->a, wish->b);
    return b_has_all(arg);
}

static void await(bool (*done)(void *), struct wish wish)
{
    if (!inbox.ops->until(inbox.net, done, &wish, LINK_SOON_MS))
        fail_msg("not within %d ms (nodes %u and %u)", LINK_SOON_MS, wish.a, wish.b);
}

static void begin(unsigned count)
{
    inbox.net = inbox.ops->create();
    memset(inbox.next, 0, sizeof inbox.next);
    memset(inbox.beats, 0, sizeof inbox.beats);
    memset(inbox.bytes, 0, sizeof inbox.bytes);
    inbox.faults = 0;
    for (unsigned i = 0; i < count; i++)
        inbox.ops->start(inbox.net, i, NULL, "test", i ? 0 : -1);
    for (unsigned i = 0; i < count; i++)
        for (unsigned other = 0; other < i; other++)
            await(both_see, (struct wish){.a = i, .b = other});
}

static void finish(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        inbox.ops->end(inbox.net, i, true);
    inbox.ops->destroy(inbox.net);
    assert_int_equal(inbox.faults, 0);
}

/* ---- The promises --------------------------------------------------------------------------- */

/* One seed leads to a full mesh. */
static void one_seed_links_all(void **state)
{
    (void)state;
    begin(LINK_NODES_MAX);
    finish(LINK_NODES_MAX);
}

/* Messages of all sizes arrive once, in order and whole, in both directions at once. */
static void streams_arrive_once_in_order_and_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 100, 1000, 65000, 70000, 300000, 2000000};
    begin(2);
    for (uint32_t i = 0; i < 210; i++) {
        send_stream(0, 1, i, sizes[i % PH_COUNT_OF(sizes)]);
        send_stream(1, 0, i, sizes[(i / 7) % 6]);
    }
    await(b_has_all, (struct wish){.a = 0, .b = 1, .value = 210});
    await(b_has_all, (struct wish){.a = 1, .b = 0, .value = 210});
    finish(2);
}

/* A great many small ones, too. */
static void many_small_messages_arrive(void **state)
{
    (void)state;
    begin(2);
    for (uint32_t i = 0; i < 20000; i++)
        send_stream(0, 1, i, 64);
    await(b_has_all, (struct wish){.a = 0, .b = 1, .value = 20000});
    finish(2);
}

/* A beat that is sent after a message of 64 MiB arrives before it. */
static void beats_pass_a_large_message(void **state)
{
    (void)state;
    begin(2);
    send_stream(0, 1, 0, 64 << 20);
    await(beats_and_stream, (struct wish){.a = 0, .b = 1, .value = 1});
    assert_true(inbox.beats_before_stream > 0);
    assert_int_equal(inbox.bytes[1], 64 << 20);
    finish(2);
}

/* A node that is started again at its place is a new peer, and is spoken to. */
static void restarted_node_is_a_new_peer(void **state)
{
    (void)state;
    begin(2);
    uint64_t old = peer_of(0, 1);
    inbox.ops->end(inbox.net, 1, false);
    inbox.ops->start(inbox.net, 1, NULL, "test", 0);
    await(a_has_newer_b, (struct wish){.a = 0, .b = 1, .value = old});
    await(a_sees_b, (struct wish){.a = 1, .b = 0});
    send_stream(0, 1, 0, 100000);
    await(b_has_all, (struct wish){.a = 0, .b = 1, .value = 1});
    finish(2);
}

/* The same when it calls nobody: it is called. */
static void restarted_node_is_found_by_its_peers(void **state)
{
    (void)state;
    begin(2);
    uint64_t old = peer_of(0, 1);
    inbox.ops->end(inbox.net, 1, false);
    inbox.ops->start(inbox.net, 1, NULL, "test", -1);
    await(a_has_newer_b, (struct wish){.a = 0, .b = 1, .value = old});
    await(a_sees_b, (struct wish){.a = 1, .b = 0});
    finish(2);
}

/* A node that is gone without a goodbye is noticed by those that send to it, without a reset. */
static void killed_node_is_noticed(void **state)
{
    (void)state;
    begin(2);
    inbox.ops->end(inbox.net, 1, false);
    await(a_lost_b, (struct wish){.a = 0, .b = 1});
    finish(1);
}

/* A goodbye comes after what was queued before it. */
static void goodbye_comes_last(void **state)
{
    (void)state;
    begin(2);
    send_stream(1, 0, 0, 3000000);
    inbox.ops->end(inbox.net, 1, true);
    await(a_lost_b, (struct wish){.a = 0, .b = 1});
    assert_int_equal(arrived(0, 1), 1);
    finish(1);
}

/* While nothing arrives at a node its streams wait; then all of them come. */
static void cut_link_loses_nothing(void **state)
{
    (void)state;
    begin(2);
    uint64_t peer = peer_of(0, 1);
    send_stream(0, 1, 0, 100);
    await(b_has_all, (struct wish){.a = 0, .b = 1, .value = 1});
    inbox.ops->deafen(inbox.net, 1, true);
    for (uint32_t i = 1; i < 40; i++)
        send_stream(0, 1, i, 20000);
    send_stream(1, 0, 0, 100); /* the other direction does not care */
    await(b_has_all, (struct wish){.a = 1, .b = 0, .value = 1});
    assert_int_equal(arrived(1, 0), 1);
    inbox.ops->deafen(inbox.net, 1, false);
    await(b_has_all, (struct wish){.a = 0, .b = 1, .value = 40});
    assert_int_equal(peer_of(0, 1), peer);
    finish(2);
}

/* A reset leads to a new peer on both sides, and nothing of the old session arrives in it. */
static void reset_session_comes_back_as_a_new_peer(void **state)
{
    (void)state;
    begin(2);
    uint64_t here = peer_of(0, 1), there = peer_of(1, 0);
    inbox.ops->deafen(inbox.net, 1, true);
    send_stream(0, 1, 99, 100);
    inbox.ops->reset(inbox.net, 0, here);
    inbox.ops->deafen(inbox.net, 1, false);
    await(a_has_newer_b, (struct wish){.a = 0, .b = 1, .value = here});
    await(a_has_newer_b, (struct wish){.a = 1, .b = 0, .value = there});
    send_stream(0, 1, 0, 100);
    await(b_has_all, (struct wish){.a = 0, .b = 1, .value = 1});
    finish(2);
}

/* What is queued takes room, until it has arrived. */
static void queued_bytes_take_room(void **state)
{
    (void)state;
    begin(2);
    uint64_t room = inbox.ops->room(inbox.net, 0, peer_of(0, 1));
    assert_true(room > 0);
    inbox.ops->deafen(inbox.net, 1, true);
    send_stream(0, 1, 0, 1 << 20);
    /* Less what the nodes say to each other when they meet, which was on its way before. */
    assert_true(inbox.ops->room(inbox.net, 0, peer_of(0, 1)) < room - (1 << 20) + 4096);
    inbox.ops->deafen(inbox.net, 1, false);
    await(a_has_room, (struct wish){.a = 0, .b = 1, .value = room});
    assert_int_equal(arrived(1, 0), 1);
    assert_int_equal(inbox.ops->room(inbox.net, 0, 4711), 0);
    finish(2);
}

/* A node of another cluster does not come in and learns why. */
static void other_cluster_stays_out(void **state)
{
    (void)state;
    char text[300];
    begin(1);
    inbox.ops->start(inbox.net, 1, NULL, "other", 0);
    await(a_is_in_trouble, (struct wish){.a = 1});
    inbox.ops->trouble(inbox.net, 1, text, sizeof text);
    assert_string_equal(text, "node 'n0' is of the cluster 'test'");
    assert_int_equal(peer_of(0, 1), 0);
    finish(2);
}

/* A name that is taken is refused, and the text says by whom. */
static void taken_name_stays_out(void **state)
{
    (void)state;
    char text[300];
    begin(2);
    inbox.ops->start(inbox.net, 2, "n1", "test", 0);
    await(a_is_in_trouble, (struct wish){.a = 2});
    inbox.ops->trouble(inbox.net, 2, text, sizeof text);
    assert_memory_equal(text, "another node named 'n1' answers at ", 35);
    finish(3);
}

int link_contract_run(const struct link_net *ops)
{
    inbox.ops = ops;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_links_all),
        cmocka_unit_test(streams_arrive_once_in_order_and_whole),
        cmocka_unit_test(many_small_messages_arrive),
        cmocka_unit_test(beats_pass_a_large_message),
        cmocka_unit_test(restarted_node_is_a_new_peer),
        cmocka_unit_test(restarted_node_is_found_by_its_peers),
        cmocka_unit_test(killed_node_is_noticed),
        cmocka_unit_test(goodbye_comes_last),
        cmocka_unit_test(cut_link_loses_nothing),
        cmocka_unit_test(reset_session_comes_back_as_a_new_peer),
        cmocka_unit_test(queued_bytes_take_room),
        cmocka_unit_test(other_cluster_stays_out),
        cmocka_unit_test(taken_name_stays_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
