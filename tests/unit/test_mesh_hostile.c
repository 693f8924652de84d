/* A mesh among frames that are forged, replayed, stolen, corrupt or no frames at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "ipc/mesh.h"
#include "ipc/wire.h"
#include "tests/lib/numbered.h"
#include "tests/lib/simwire.h"

struct recorder {
    struct ph_text frames[400];
    unsigned count;
};

static bool record(void *arg, struct sim_node *from, unsigned to, void *bytes, size_t length)
{
    struct recorder *recorder = arg;
    (void)from;
    if (to == 0 && recorder->count < PH_COUNT_OF(recorder->frames))
        ph_text_append(&recorder->frames[recorder->count++], bytes, length);
    return true;
}

static void free_record(struct recorder *recorder)
{
    for (unsigned i = 0; i < recorder->count; i++)
        ph_text_fini(&recorder->frames[i]);
    recorder->count = 0;
}

/* What was overheard changes nothing when it comes again, in the same life or in the next. */
static void replayed_frames_change_nothing(void **state)
{
    (void)state;
    static struct recorder recorder;
    struct sim_net *net = sim_create(21);
    net->tap = record;
    net->arg = &recorder;
    sim_start(net, 0, NULL, NULL);
    sim_start(net, 1, NULL, NULL);
    sim_join(net, 1, 0);
    sim_run(net, 100);
    uint64_t first = sim_peer(net, 1, "n0");
    ph_mesh_reset(net->nodes[1].mesh, first, net->now_ms);
    sim_forget(net, 1, first);
    sim_run(net, 100);
    uint64_t peer = sim_peer(net, 0, "n1");
    assert_true(peer != 0);
    unsigned count = recorder.count, told = net->nodes[0].peer_count;
    for (unsigned i = 0; i < count; i++) {
        sim_inject(net, 0, recorder.frames[i].data, recorder.frames[i].length);
        sim_run(net, 50);
    }
    assert_int_equal(sim_peer(net, 0, "n1"), peer);
    assert_int_equal(net->nodes[0].peer_count, told);
    assert_int_equal(sim_live(net, 1), 1);
    /* The next life of the other node, to which the old hellos are those of a stranger. */
    sim_kill(net, 1);
    sim_start(net, 1, NULL, NULL);
    sim_join(net, 1, 0);
    sim_run(net, 100);
    peer = sim_peer(net, 0, "n1");
    told = net->nodes[0].peer_count;
    for (unsigned i = 0; i < count; i++) {
        sim_inject(net, 0, recorder.frames[i].data, recorder.frames[i].length);
        sim_run(net, 50);
    }
    assert_int_equal(sim_peer(net, 0, "n1"), peer);
    assert_int_equal(net->nodes[0].peer_count, told);
    sim_run(net, 20000);
    assert_int_equal(sim_peer(net, 0, "n1"), peer);
    free_record(&recorder);
    sim_destroy(net);
}

/* A sealed hello as anyone could write it. */
static void forge_hello(struct ph_text *frame, uint64_t source, uint64_t session, const char *name,
                        const char *endpoint)
{
    struct ph_wire_hello hello = {
        .protocol_min = 1, .protocol_max = 1, .token = 99, .asks = true, .incarnation = 1};
    snprintf(hello.name, sizeof hello.name, "%s", name);
    snprintf(hello.endpoint, sizeof hello.endpoint, "%s", endpoint);
    ph_wire_begin(frame);
    ph_wire_put_hello(frame, &hello);
    ph_wire_seal(
        frame->data, frame->length,
        (struct ph_wire_header){.class = PH_WIRE_HELLO, .source = source, .session = session});
}

/* Who takes the nonce or the name of a live node gets neither its session nor its end. */
static void stolen_nonce_and_name_get_nothing(void **state)
{
    (void)state;
    static struct recorder recorder;
    struct sim_net *net = sim_create(22);
    net->tap = record;
    net->arg = &recorder;
    sim_start(net, 0, NULL, NULL);
    sim_start(net, 1, NULL, NULL);
    sim_join(net, 1, 0);
    sim_run(net, 100);
    struct ph_wire_header seen;
    assert_int_equal(ph_wire_read(recorder.frames[0].data, recorder.frames[0].length, &seen), 0);
    uint64_t peer = sim_peer(net, 0, "n1");
    struct ph_text forged = PH_TEXT_INIT;
    static const char *const endpoints[] = {"tcp://127.0.0.1:1001", "tcp://127.0.0.1:1007"};
    for (unsigned i = 0; i < 8; i++) {
        forge_hello(&forged, i & 1 ? seen.source : 4711, i & 2 ? 1000 : 1, i & 4 ? "n1" : "n7",
                    endpoints[i & 1]);
        sim_inject(net, 0, forged.data, forged.length);
        sim_run(net, 100);
        forge_hello(&forged, i & 1 ? seen.source : 4711, i & 2 ? 1000 : 1, i & 4 ? "n1" : "n7",
                    endpoints[0]);
        sim_inject(net, 0, forged.data, forged.length);
        sim_run(net, 100);
    }
    sim_run(net, 30000);
    assert_int_equal(sim_peer(net, 0, "n1"), peer);
    assert_int_equal(net->nodes[0].peer_count, 1);
    assert_int_equal(sim_live(net, 1), 1);
    assert_true(sim_refused(net, 0, PH_MESH_NONCE) > 0);
    ph_text_fini(&forged);
    free_record(&recorder);
    sim_destroy(net);
}

/* Strangers without end fill their share of the table and no more, and are forgotten. */
static void flood_of_strangers_is_bounded(void **state)
{
    (void)state;
    struct sim_net *net = sim_create(23);
    net->silent_refusals = true;
    sim_start(net, 0, NULL, NULL);
    struct ph_mesh_stats before, after;
    ph_mesh_stats(net->nodes[0].mesh, 0, &before);
    struct ph_text forged = PH_TEXT_INIT;
    for (unsigned i = 0; i < 400; i++) {
        char name[16], endpoint[64];
        snprintf(name, sizeof name, "x%u", i);
        snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", 2000 + i);
        forge_hello(&forged, 5000 + i, 1, name, endpoint);
        sim_inject(net, 0, forged.data, forged.length);
    }
    sim_run(net, 5000);
    ph_mesh_stats(net->nodes[0].mesh, 0, &after);
    assert_int_equal(after.refused[PH_MESH_LIMIT], 400 - PH_MESH_STRANGERS_MAX);
    assert_true(after.bytes_out - before.bytes_out <= after.bytes_in - before.bytes_in);
    sim_run(net, 10000);
    assert_int_equal(ph_mesh_next_deadline(net->nodes[0].mesh), UINT64_MAX);
    sim_start(net, 1, NULL, NULL);
    sim_join(net, 1, 0);
    sim_run(net, 100);
    assert_int_equal(sim_live(net, 0), 1);
    ph_text_fini(&forged);
    sim_destroy(net);
}

static bool corrupt(void *arg, struct sim_node *from, unsigned to, void *bytes, size_t length)
{
    struct sim_net *net = from->net;
    (void)arg;
    (void)to;
    unsigned char *at = bytes;
    if (ph_prng_below(&net->prng, 4) == 0)
        at[ph_prng_below(&net->prng, length)] ^=
            (unsigned char)(1 + ph_prng_below(&net->prng, 255));
    return true;
}

/* One wrong bit anywhere in a frame, and it is not taken; the streams arrive all the same. */
static void corrupt_frames_are_dropped_and_come_again(void **state)
{
    (void)state;
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 24, inboxes);
    net->tap = corrupt;
    for (uint32_t i = 0; i < 100; i++)
        numbered_send(net, 0, 1, i, 30000);
    sim_run(net, 300000);
    assert_int_equal(inboxes[1].streams, 100);
    assert_true(sim_refused(net, 1, PH_MESH_CHECKSUM) > 0);
    sim_destroy(net);
}

/* Random bytes, cut and changed frames are counted and answered by nothing. */
static void malformed_frames_are_counted(void **state)
{
    (void)state;
    struct sim_net *net = sim_create(25);
    sim_start(net, 0, NULL, NULL);
    struct ph_text forged = PH_TEXT_INIT;
    unsigned char bytes[600];
    for (unsigned i = 0; i < 20000; i++) {
        size_t length = (size_t)ph_prng_below(&net->prng, sizeof bytes);
        for (size_t at = 0; at < length; at++)
            bytes[at] = (unsigned char)ph_prng_next(&net->prng);
        if (i & 1) { /* a good header with a body that makes no sense */
            length = length < PH_WIRE_HEADER ? PH_WIRE_HEADER : length;
            ph_wire_seal(bytes, length,
                         (struct ph_wire_header){.class = (uint8_t)(i / 2 % 9),
                                                 .source = 1 + ph_prng_below(&net->prng, 3),
                                                 .session = 1});
        }
        sim_inject(net, 0, bytes, length);
    }
    struct ph_mesh_stats stats;
    ph_mesh_stats(net->nodes[0].mesh, 0, &stats);
    assert_int_equal(stats.frames_out, 0);
    assert_int_equal(stats.peers, 0);
    uint64_t refused = 0;
    for (unsigned i = 0; i < PH_MESH_REFUSALS; i++)
        refused += stats.refused[i];
    assert_int_equal(refused, 20000);
    ph_text_fini(&forged);
    sim_destroy(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replayed_frames_change_nothing),
        cmocka_unit_test(stolen_nonce_and_name_get_nothing),
        cmocka_unit_test(flood_of_strangers_is_bounded),
        cmocka_unit_test(corrupt_frames_are_dropped_and_come_again),
        cmocka_unit_test(malformed_frames_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
