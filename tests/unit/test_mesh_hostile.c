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

/* A frame of the session that node 1 has with node 0, as only node 1 could write it. */
static void forge_frame(struct ph_text *frame, const struct ph_wire_header *seen,
                        enum ph_wire_class class, uint64_t sequence, uint64_t ack)
{
    ph_wire_seal(frame->data, frame->length,
                 (struct ph_wire_header){
                     .class = (uint8_t) class,
                     .source = seen->source,
                     .destination = seen->destination,
                     .session = seen->session,
                     .sequence = sequence,
                     .ack = ack,
                     .credit = 1 << 20,
                 });
}

/* The last stream frame that was recorded. */
static struct ph_wire_header last_stream(const struct recorder *recorder)
{
    struct ph_wire_header seen = {0}, last = {0};
    for (unsigned i = 0; i < recorder->count; i++) {
        const struct ph_text *frame = &recorder->frames[i];
        assert_int_equal(ph_wire_read(frame->data, frame->length, &seen), 0);
        if (seen.class == PH_WIRE_STREAM)
            last = seen;
    }
    assert_int_equal(last.class, PH_WIRE_STREAM);
    return last;
}

/* Also a peer in its session is held to the bounds: pieces fit their message, messages do not
 * overlap, nothing is acknowledged that was not sent. What makes no sense ends the session. */
static void frames_of_a_session_are_held_to_its_bounds(void **state)
{
    (void)state;
    static const struct {
        struct ph_wire_record first, second;
        bool good;
    } cases[] = {
        {{.flags = 1, .total = 6, .length = 4}, {.flags = 2, .length = 2}, true},
        {{.flags = 1, .total = 6, .length = 4}, {.flags = 2, .length = 3}, false},
        {{.flags = 1, .total = 6, .length = 4}, {.flags = 2, .length = 1}, false},
        {{.flags = 1, .total = 6, .length = 7}, {.flags = 0, .length = 1}, false},
        {{.flags = 1, .total = 6, .length = 4}, {.flags = 1, .total = 6, .length = 1}, false},
        {{.flags = 1, .total = 6, .length = 4}, {.flags = 3, .total = 2, .length = 2}, false},
        {{.flags = 1, .total = 6, .length = 4}, {.flags = 6, .length = 2}, false},
        {{.flags = 3, .total = 6, .length = 4}, {.flags = 3, .total = 2, .length = 2}, false},
        {{.flags = 0, .length = 4}, {.flags = 3, .total = 2, .length = 2}, false},
        {{.flags = 1, .total = UINT64_MAX, .length = 4}, {.flags = 2, .length = 2}, false},
        {{.flags = 7, .total = 4, .length = 4}, {.flags = 3, .total = 2, .length = 2}, false},
    };
    static struct recorder recorder;
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct sim_net *net = sim_create(27);
        net->tap = record;
        net->arg = &recorder;
        sim_start(net, 0, NULL, NULL);
        sim_start(net, 1, NULL, NULL);
        sim_join(net, 1, 0);
        sim_run(net, 100);
        struct ph_wire_header seen = last_stream(&recorder);
        uint64_t peer = sim_peer(net, 0, "n1");
        struct ph_text frame = PH_TEXT_INIT;
        ph_wire_begin(&frame);
        forge_frame(&frame, &seen, PH_WIRE_ACK, 0, 1000);
        sim_inject(net, 0, frame.data, frame.length);
        assert_int_equal(sim_refused(net, 0, PH_MESH_WINDOW), 1);
        const struct ph_wire_record *records[] = {&cases[i].first, &cases[i].second};
        for (unsigned at = 0; at < 2; at++) {
            struct ph_wire_record whole = *records[at];
            whole.hub = "";
            whole.bytes = "12345678";
            ph_wire_begin(&frame);
            ph_wire_put_record(&frame, &whole);
            forge_frame(&frame, &seen, PH_WIRE_STREAM, seen.sequence + 1 + at, 0);
            sim_inject(net, 0, frame.data, frame.length);
        }
        sim_run(net, 1);
        assert_int_equal(sim_told(net, 0, peer)->down, !cases[i].good);
        assert_int_equal(sim_refused(net, 0, PH_MESH_MALFORMED), !cases[i].good);
        ph_text_fini(&frame);
        free_record(&recorder);
        sim_destroy(net);
    }
}

/* A refusal that does not carry our question, or is meant for another life, tells us nothing. */
static void forged_refusal_is_ignored(void **state)
{
    (void)state;
    static struct recorder recorder;
    struct sim_net *net = sim_create(28);
    sim_start(net, 0, NULL, NULL);
    sim_start(net, 1, NULL, NULL);
    net->tap = record;
    net->arg = &recorder;
    sim_join(net, 1, 0);
    net->cut[0][1] = true;
    sim_run(net, 100);
    struct ph_wire_header asked;
    struct ph_wire_hello question;
    assert_int_equal(ph_wire_read(recorder.frames[0].data, recorder.frames[0].length, &asked), 0);
    assert_int_equal(
        ph_wire_read_hello(recorder.frames[0].data + PH_WIRE_HEADER, asked.body_length, &question),
        0);
    for (unsigned i = 0; i < 3; i++) { /* wrong question, wrong life, right */
        struct ph_text frame = PH_TEXT_INIT;
        struct ph_wire_refuse refuse = {.echo = i ? question.token : 7, .text = "go away"};
        ph_wire_begin(&frame);
        ph_wire_put_refuse(&frame, &refuse);
        ph_wire_seal(frame.data, frame.length,
                     (struct ph_wire_header){.class = PH_WIRE_REFUSE,
                                             .source = 5,
                                             .destination = i == 1 ? 6 : asked.source});
        sim_inject(net, 1, frame.data, frame.length);
        assert_string_equal(net->nodes[1].trouble, i == 2 ? "go away" : "");
        ph_text_fini(&frame);
    }
    assert_int_equal(sim_refused(net, 1, PH_MESH_TOKEN), 2);
    free_record(&recorder);
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
        cmocka_unit_test(frames_of_a_session_are_held_to_its_bounds),
        cmocka_unit_test(forged_refusal_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
