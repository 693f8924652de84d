#include "ipc/mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "ipc/wire.h"
#include "tests/lib/simwire.h"

/* ---- What arrives: numbered messages -------------------------------------------------------- */

struct inbox {
    uint32_t expected[SIM_NODES_MAX]; /* by sender, of streams */
    uint64_t streams, beats, bytes;
    uint64_t last_beat_ms, worst_beat_ms;
};

/* A message: its number, the sender, the time, and bytes that follow from the number. */
struct head {
    uint32_t number, from;
    uint64_t sent_ms;
};

static void fill(unsigned char *bytes, size_t length, uint32_t number)
{
    for (size_t i = sizeof(struct head); i < length; i++)
        bytes[i] = (unsigned char)(number * 31 + i);
}

static void take_numbered(void *arg, struct sim_node *node, uint64_t peer, const char *hub,
                          size_t hub_length, const void *bytes, size_t length)
{
    struct inbox *inbox = &((struct inbox *)arg)[node->index];
    struct head head;
    (void)peer;
    assert_true(length >= sizeof head);
    memcpy(&head, bytes, sizeof head);
    if (hub_length == 4 && memcmp(hub, "beat", 4) == 0) {
        uint64_t late = node->net->now_ms - head.sent_ms;
        inbox->worst_beat_ms = late > inbox->worst_beat_ms ? late : inbox->worst_beat_ms;
        inbox->beats++;
        return;
    }
    assert_int_equal(hub_length, 6);
    assert_memory_equal(hub, "stream", 6);
    assert_int_equal(head.number, inbox->expected[head.from]);
    inbox->expected[head.from]++;
    inbox->streams++;
    inbox->bytes += length;
    const unsigned char *at = bytes;
    for (size_t i = sizeof head; i < length; i += i < 64 ? 1 : 997)
        assert_int_equal(at[i], (unsigned char)(head.number * 31 + i));
}

static void send_numbered(struct sim_net *net, unsigned from, unsigned to, uint32_t number,
                          size_t length)
{
    char name[8];
    struct head head = {.number = number, .from = from, .sent_ms = net->now_ms};
    unsigned char *bytes = ph_alloc(length + sizeof head);
    memcpy(bytes, &head, sizeof head);
    fill(bytes, length + sizeof head, number);
    snprintf(name, sizeof name, "n%u", to);
    sim_send(net, from, sim_peer(net, from, name), "stream", PH_LINK_STREAM, bytes,
             length + sizeof head);
    ph_free(bytes);
}

static void send_beat(struct sim_net *net, unsigned from, uint64_t peer)
{
    struct head head = {.from = from, .sent_ms = net->now_ms};
    sim_send(net, from, peer, "beat", PH_LINK_BEAT, &head, sizeof head);
}

/* Nodes 0 to count - 1 as one cluster; `inboxes` one for each. */
static struct sim_net *cluster_of(unsigned count, uint64_t seed, struct inbox *inboxes)
{
    struct sim_net *net = sim_create(seed);
    memset(inboxes, 0, SIM_NODES_MAX * sizeof *inboxes);
    net->frame = take_numbered;
    net->arg = inboxes;
    for (unsigned i = 0; i < count; i++)
        sim_start(net, i, NULL, "test");
    for (unsigned i = 1; i < count; i++)
        sim_join(net, i, 0);
    sim_run(net, 100);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(sim_live(net, i), count - 1);
    return net;
}

/* ---- Sessions ------------------------------------------------------------------------------- */

/* Joining one seed makes a full mesh, within milliseconds. */
static void one_seed_makes_a_full_mesh(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(SIM_NODES_MAX, 1, inboxes);
    assert_string_equal(sim_told(net, 5, sim_peer(net, 5, "n6"))->peer.endpoint,
                        "tcp://127.0.0.1:1006");
    assert_int_equal(sim_peer(net, 5, "n5"), 0);
    sim_destroy(net);
}

/* A mesh in which nothing is sent has nothing to do and sends nothing. */
static void idle_mesh_is_silent(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(3, 2, inboxes);
    sim_run(net, 1000);
    struct ph_mesh_stats before, after;
    ph_mesh_stats(net->nodes[0].mesh, 0, &before);
    assert_int_equal(ph_mesh_next_deadline(net->nodes[0].mesh), UINT64_MAX);
    sim_run(net, 3600 * 1000);
    ph_mesh_stats(net->nodes[0].mesh, 0, &after);
    assert_int_equal(after.frames_out, before.frames_out);
    assert_int_equal(after.peers, 2);
    sim_destroy(net);
}

static bool all_meet(void *arg)
{
    const struct sim_net *net = arg;
    return sim_live(net, 0) == 2 && sim_live(net, 1) == 2 && sim_live(net, 2) == 2;
}

/* Sessions come about however much is lost, doubled and late. */
static void sessions_come_about_on_a_bad_wire(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_net *net = sim_create(seed);
        net->loss = 300;
        net->twice = 300;
        net->late = 300;
        net->late_ms = 200;
        for (unsigned i = 0; i < 3; i++)
            sim_start(net, i, NULL, NULL);
        sim_join(net, 1, 0);
        sim_join(net, 2, 0);
        assert_true(sim_until(net, 60000, all_meet, net));
        sim_destroy(net);
    }
}

/* A node that was started again is a new peer at once, and the old one is REPLACED. */
static void new_life_replaces_the_old_one(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(3, 3, inboxes);
    net->silent_refusals = true;
    uint64_t old = sim_peer(net, 0, "n1");
    sim_kill(net, 1);
    sim_run(net, 10);
    sim_start(net, 1, NULL, "test");
    sim_join(net, 1, 2);
    sim_run(net, 50);
    assert_true(sim_told(net, 0, old)->down);
    assert_int_equal(sim_told(net, 0, old)->why, PH_PEER_REPLACED);
    assert_true(sim_peer(net, 0, "n1") > old);
    assert_int_equal(sim_live(net, 0), 2);
    assert_int_equal(sim_live(net, 1), 2);
    sim_destroy(net);
}

/* A node that was started again and calls nobody is found by those that speak to it. */
static void new_life_that_calls_nobody_is_found(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 4, inboxes);
    net->silent_refusals = true;
    uint64_t old = sim_peer(net, 0, "n1");
    sim_kill(net, 1);
    sim_start(net, 1, NULL, "test");
    send_beat(net, 0, old);
    sim_run(net, 1500);
    assert_int_equal(sim_told(net, 0, old)->why, PH_PEER_REPLACED);
    assert_int_equal(sim_live(net, 1), 1);
    sim_destroy(net);
}

/* A refused connection ends the session at once; the node is called on until it is back. */
static void refused_connection_ends_the_session(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 5, inboxes);
    uint64_t old = sim_peer(net, 0, "n1");
    sim_kill(net, 1);
    send_beat(net, 0, old);
    sim_run(net, 5);
    assert_int_equal(sim_told(net, 0, old)->why, PH_PEER_REFUSED);
    sim_run(net, 60000);
    sim_start(net, 1, NULL, "test");
    sim_run(net, 7000);
    assert_int_equal(sim_live(net, 0), 1);
    sim_destroy(net);
}

/* Goodbye comes after all that was queued, ends the session, and the node is forgotten. */
static void goodbye_comes_after_what_was_queued(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 6, inboxes);
    net->loss = 100;
    uint64_t old = sim_peer(net, 0, "n1");
    send_numbered(net, 1, 0, 0, 1000000);
    ph_mesh_leave(net->nodes[1].mesh, net->now_ms);
    sim_run(net, 3000);
    assert_true(ph_mesh_has_left(net->nodes[1].mesh));
    assert_int_equal(inboxes[0].streams, 1);
    net->loss = 0;
    sim_kill(net, 1);
    sim_run(net, 2000);
    assert_true(sim_told(net, 0, old)->down);
    assert_int_equal(sim_live(net, 0), 0);
    sim_destroy(net);

    net = cluster_of(2, 7, inboxes);
    old = sim_peer(net, 0, "n1");
    ph_mesh_leave(net->nodes[1].mesh, net->now_ms);
    sim_run(net, 5);
    assert_int_equal(sim_told(net, 0, old)->why, PH_PEER_CLOSED);
    sim_kill(net, 1);
    assert_int_equal(ph_mesh_next_deadline(net->nodes[0].mesh), UINT64_MAX);
    sim_destroy(net);
}

/* After a reset nothing of the old session arrives, and the other side is told LOST. */
static void reset_makes_a_new_peer_on_both_sides(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 8, inboxes);
    uint64_t here = sim_peer(net, 0, "n1"), there = sim_peer(net, 1, "n0");
    net->cut[0][1] = true;
    send_numbered(net, 0, 1, 77, 100);
    sim_run(net, 500);
    ph_mesh_reset(net->nodes[0].mesh, here, net->now_ms);
    assert_false(sim_told(net, 0, here)->down);
    assert_int_equal(ph_mesh_room(net->nodes[0].mesh, here), 0);
    sim_forget(net, 0, here);
    sim_run(net, 2000);
    net->cut[0][1] = false;
    sim_run(net, 6000);
    assert_int_equal(sim_told(net, 1, there)->why, PH_PEER_LOST);
    assert_true(sim_peer(net, 0, "n1") > here);
    assert_true(sim_peer(net, 1, "n0") > there);
    assert_int_equal(inboxes[1].streams, 0);
    send_numbered(net, 0, 1, 0, 100);
    sim_run(net, 100);
    assert_int_equal(inboxes[1].streams, 1);
    sim_destroy(net);
}

/* A cut that nobody resets loses nothing: what was sent arrives when it is healed. */
static void cut_and_healed_link_loses_nothing(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 9, inboxes);
    net->cut[0][1] = net->cut[1][0] = true;
    for (uint32_t i = 0; i < 50; i++)
        send_numbered(net, 0, 1, i, 10000);
    sim_run(net, 20000);
    assert_int_equal(inboxes[1].streams, 0);
    net->cut[0][1] = net->cut[1][0] = false;
    sim_run(net, 3000);
    assert_int_equal(inboxes[1].streams, 50);
    assert_int_equal(sim_live(net, 0), 1);
    sim_destroy(net);
}

/* ---- Who is refused ------------------------------------------------------------------------- */

/* A node of another cluster is refused, counted, and told why. */
static void other_cluster_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct sim_net *net = sim_create(10);
    sim_start(net, 0, NULL, "red");
    sim_start(net, 1, NULL, "blue");
    sim_join(net, 1, 0);
    sim_run(net, 30000);
    assert_int_equal(sim_live(net, 0) + sim_live(net, 1), 0);
    assert_true(sim_refused(net, 0, PH_MESH_CLUSTER) > 3);
    assert_string_equal(net->nodes[1].trouble, "node 'n0' is of the cluster 'red'");
    sim_destroy(net);
}

/* A name that a live node elsewhere has is refused, on all sides people are told. */
static void taken_name_is_a_clash(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 11, inboxes);
    sim_start(net, 2, "n1", "test");
    sim_join(net, 2, 0);
    for (int i = 0; i < 40; i++) {
        sim_run(net, 500);
        send_beat(net, 1, sim_peer(net, 1, "n0"));
    }
    assert_int_equal(sim_live(net, 2), 0);
    assert_int_equal(net->nodes[0].peer_count, 1);
    assert_true(net->nodes[0].clashes > 0 && net->nodes[2].clashes > 0);
    assert_string_equal(net->nodes[2].clash_name, "n1");
    assert_string_equal(net->nodes[2].trouble,
                        "another node named 'n1' answers at tcp://127.0.0.1:1001");
    assert_true(sim_refused(net, 0, PH_MESH_CLASH) > 0);
    sim_destroy(net);
}

/* The same with a holder of the name that is alive and has nothing to say: it is asked. */
static void silent_holder_keeps_its_name(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 12, inboxes);
    sim_run(net, 60000);
    sim_start(net, 2, "n1", "test");
    sim_join(net, 2, 0);
    sim_run(net, 30000);
    assert_int_equal(sim_live(net, 2), 0);
    assert_int_equal(net->nodes[0].peer_count, 1);
    assert_int_equal(sim_live(net, 0), 1);
    sim_destroy(net);
}

/* A node that comes back at another endpoint has its name when the old place is silent. */
static void moved_node_has_its_name_once_the_old_place_is_silent(void **state)
{
    (void)state;
    struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 13, inboxes);
    net->silent_refusals = true;
    uint64_t old = sim_peer(net, 0, "n1");
    sim_kill(net, 1);
    sim_start(net, 2, "n1", "test");
    sim_join(net, 2, 0);
    sim_run(net, 1000);
    assert_int_equal(sim_live(net, 2), 0);
    sim_run(net, 15000);
    assert_int_equal(sim_live(net, 2), 1);
    assert_int_equal(sim_told(net, 0, old)->why, PH_PEER_REPLACED);
    assert_string_equal(sim_told(net, 0, sim_peer(net, 0, "n1"))->peer.endpoint,
                        "tcp://127.0.0.1:1002");
    sim_destroy(net);
}

/* Our own name elsewhere is a clash, too; our own endpoint is no peer. */
static void own_name_and_own_endpoint_are_no_peers(void **state)
{
    (void)state;
    struct sim_net *net = sim_create(14);
    sim_start(net, 0, "same", NULL);
    sim_start(net, 1, "same", NULL);
    sim_join(net, 0, 0);
    sim_join(net, 1, 0);
    sim_run(net, 10000);
    assert_int_equal(sim_live(net, 0) + sim_live(net, 1), 0);
    assert_true(net->nodes[0].clashes && net->nodes[1].clashes);
    assert_int_equal(sim_refused(net, 0, PH_MESH_OWN), 0);
    sim_destroy(net);
}

/* A seed that leads to ourselves by another name is called no more; people are told. */
static void seed_that_leads_to_ourselves_is_given_up(void **state)
{
    (void)state;
    struct sim_net *net = sim_create(15);
    sim_start(net, 0, NULL, NULL);
    snprintf(net->alias, sizeof net->alias, "tcp://127.0.0.1:1001");
    sim_join(net, 0, 1);
    sim_run(net, 1000);
    assert_string_equal(net->nodes[0].trouble, "that is this node itself");
    assert_int_equal(sim_refused(net, 0, PH_MESH_OWN), 1);
    assert_int_equal(ph_mesh_next_deadline(net->nodes[0].mesh), UINT64_MAX);
    sim_destroy(net);
}

/* A seed that is another name of a node's endpoint brings one session, over the endpoint that the
 * node gives; when the node has moved, the seed is called again. */
static void seed_by_another_name_finds_the_node_again(void **state)
{
    (void)state;
    struct sim_net *net = sim_create(26);
    snprintf(net->alias, sizeof net->alias, "tcp://127.0.0.1:1005");
    net->alias_to = 1;
    sim_start(net, 0, NULL, NULL);
    sim_start(net, 1, NULL, NULL);
    sim_join(net, 0, 5);
    sim_run(net, 100);
    assert_string_equal(sim_told(net, 0, sim_peer(net, 0, "n1"))->peer.endpoint,
                        "tcp://127.0.0.1:1001");
    assert_int_equal(net->nodes[0].peer_count, 1);
    uint64_t old = sim_peer(net, 0, "n1");
    sim_kill(net, 1);
    send_beat(net, 0, old);
    sim_run(net, 1000);
    sim_start_at(net, 1, "n1", NULL, "tcp://127.0.0.1:1006");
    sim_run(net, 12000);
    assert_string_equal(sim_told(net, 0, sim_peer(net, 0, "n1"))->peer.endpoint,
                        "tcp://127.0.0.1:1006");
    assert_int_equal(sim_live(net, 0), 1);
    sim_destroy(net);
}

/* ---- Streams -------------------------------------------------------------------------------- */

/* Messages of any size arrive exactly once, in order and whole, on a bad wire. */
static void streams_survive_loss_doubles_and_reordering(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 16, inboxes);
    net->loss = 50;
    net->twice = 50;
    net->late = 50;
    net->late_ms = 30;
    for (uint32_t i = 0; i < 400; i++)
        send_numbered(net, 0, 1, i, (size_t)ph_prng_below(&net->prng, 1 << (i % 18)));
    sim_run(net, 600000);
    assert_int_equal(inboxes[1].streams, 400);
    assert_int_equal(sim_live(net, 0), 1);
    struct ph_mesh_stats stats;
    ph_mesh_stats(net->nodes[0].mesh, sim_peer(net, 0, "n1"), &stats);
    assert_int_equal(stats.queued_bytes, 0);
    assert_true(stats.retransmits > 0);
    sim_destroy(net);
}

/* A beat does not wait behind a message of 64 MiB, also when the wire is slow. */
static void beats_pass_a_large_message(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 17, inboxes);
    net->bytes_per_ms = 10000; /* 10 MB/s */
    send_numbered(net, 0, 1, 0, 64 << 20);
    for (int i = 0; i < 40; i++) {
        send_beat(net, 0, sim_peer(net, 0, "n1"));
        sim_run(net, 250);
    }
    assert_int_equal(inboxes[1].streams, 1);
    assert_int_equal(inboxes[1].bytes, (64 << 20) + sizeof(struct head));
    assert_int_equal(inboxes[1].beats, 40);
    assert_true(inboxes[1].worst_beat_ms < 600);
    sim_destroy(net);
}

/* What is sent in one moment travels in few frames. */
static void small_messages_share_frames(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 18, inboxes);
    sim_run(net, 100);
    struct ph_mesh_stats before, after;
    ph_mesh_stats(net->nodes[0].mesh, 0, &before);
    for (uint32_t i = 0; i < 1000; i++)
        send_numbered(net, 0, 1, i, 20);
    sim_run(net, 1000);
    ph_mesh_stats(net->nodes[0].mesh, 0, &after);
    assert_int_equal(inboxes[1].streams, 1000);
    assert_in_range(after.frames_out - before.frames_out, 1, 3);
    assert_int_equal(after.messages_out - before.messages_out, 1000);
    sim_destroy(net);
}

/* In flight is never more than the window, and the queue shows in `room`. */
static void window_and_room_are_held(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 19, inboxes);
    uint64_t peer = sim_peer(net, 0, "n1");
    uint64_t room = ph_mesh_room(net->nodes[0].mesh, peer);
    assert_true(room > 0);
    net->cut[0][1] = true;
    struct ph_mesh_stats before, after;
    ph_mesh_stats(net->nodes[0].mesh, 0, &before);
    send_numbered(net, 0, 1, 0, 20 << 20);
    assert_int_equal(ph_mesh_room(net->nodes[0].mesh, peer), 0);
    ph_mesh_tick(net->nodes[0].mesh, net->now_ms);
    ph_mesh_stats(net->nodes[0].mesh, 0, &after);
    assert_in_range(after.bytes_out - before.bytes_out, 1, 4 << 20);
    net->cut[0][1] = false;
    sim_run(net, 60000);
    assert_int_equal(inboxes[1].streams, 1);
    assert_int_equal(ph_mesh_room(net->nodes[0].mesh, peer), room);
    sim_destroy(net);
}

/* More than may be queued ends the session with LOST; a new one follows by itself. */
static void full_queue_ends_the_session(void **state)
{
    (void)state;
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = sim_create(20);
    net->setup.queue_bytes_max = 1 << 20;
    sim_start(net, 0, NULL, NULL);
    sim_start(net, 1, NULL, NULL);
    net->frame = take_numbered;
    net->arg = inboxes;
    sim_join(net, 0, 1);
    sim_run(net, 100);
    uint64_t peer = sim_peer(net, 0, "n1");
    net->cut[0][1] = net->cut[1][0] = true;
    for (uint32_t i = 0; i < 20; i++)
        send_numbered(net, 0, 1, i, 100000);
    assert_int_equal(ph_mesh_room(net->nodes[0].mesh, peer), 0);
    sim_run(net, 1);
    assert_int_equal(sim_told(net, 0, peer)->why, PH_PEER_LOST);
    net->cut[0][1] = net->cut[1][0] = false;
    sim_run(net, 6000);
    assert_int_equal(sim_live(net, 0), 1);
    assert_int_equal(sim_live(net, 1), 1);
    assert_int_equal(inboxes[1].streams, 0);
    sim_destroy(net);
}

/* ---- Hostile frames ------------------------------------------------------------------------- */

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
    static struct inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = cluster_of(2, 24, inboxes);
    net->tap = corrupt;
    for (uint32_t i = 0; i < 100; i++)
        send_numbered(net, 0, 1, i, 30000);
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

/* ---- Everything at once --------------------------------------------------------------------- */

struct chaos {
    uint32_t sent[SIM_NODES_MAX];                        /* by receiver: of the present session */
    uint32_t expected[SIM_NODES_MAX][SIM_PEERS_MAX + 1]; /* by receiver and peer number */
    uint64_t streams;
};

static void take_chaos(void *arg, struct sim_node *node, uint64_t peer, const char *hub,
                       size_t hub_length, const void *bytes, size_t length)
{
    struct chaos *chaos = arg;
    struct head head;
    (void)hub;
    if (hub_length == 4)
        return;
    assert_true(length >= sizeof head);
    memcpy(&head, bytes, sizeof head);
    /* Within a session from its first message on: each once, in order, whole. */
    assert_int_equal(head.number, chaos->expected[node->index][peer]);
    chaos->expected[node->index][peer]++;
    chaos->streams++;
    const unsigned char *at = bytes;
    for (size_t i = sizeof head; i < length; i++)
        assert_int_equal(at[i], (unsigned char)(head.number * 31 + i));
}

/* Numbers start anew with each session of the sender. */
struct sender {
    uint64_t peer;
    uint32_t number;
};

static void chaos_step(struct sim_net *net, struct sender senders[3][3])
{
    unsigned from = (unsigned)ph_prng_below(&net->prng, 3);
    unsigned to = (from + 1 + (unsigned)ph_prng_below(&net->prng, 2)) % 3;
    char name[8];
    snprintf(name, sizeof name, "n%u", to);
    uint64_t peer = net->nodes[from].mesh ? sim_peer(net, from, name) : 0;
    struct sender *sender = &senders[from][to];
    switch (ph_prng_below(&net->prng, 60)) {
    case 0:
        net->cut[from][to] = !net->cut[from][to];
        break;
    case 1:
        ph_mesh_leave(net->nodes[from].mesh, net->now_ms); /* fall through */
    case 2:
        if (net->nodes[from].lives > 20)
            break;
        sim_kill(net, from);
        sim_start(net, from, NULL, NULL);
        sim_join(net, from, to);
        sim_join(net, from, 3 - from - to);
        memset(senders[from], 0, sizeof senders[from]);
        memset(((struct chaos *)net->arg)->expected[from], 0,
               sizeof((struct chaos *)net->arg)->expected[from]);
        break;
    case 3:
        if (!peer || net->nodes[from].peer_count > SIM_PEERS_MAX / 2)
            break;
        ph_mesh_reset(net->nodes[from].mesh, peer, net->now_ms);
        sim_forget(net, from, peer);
        break;
    default:
        if (!peer)
            break;
        if (sender->peer != peer)
            *sender = (struct sender){.peer = peer};
        send_numbered(net, from, to, sender->number++,
                      (size_t)ph_prng_below(&net->prng, 1 << ph_prng_below(&net->prng, 14)));
        send_beat(net, from, peer);
    }
}

/* For any schedule of faults: what arrives of a session is exactly a prefix of what was sent in
 * it, and when the faults end everybody meets everybody again. */
static void random_faults_never_break_the_streams(void **state)
{
    (void)state;
    static struct chaos chaos;
    uint64_t streams = 0;
    for (uint64_t seed = 0; seed < 2500; seed++) {
        struct sim_net *net = sim_create(1000 + seed);
        struct sender senders[3][3] = {0};
        memset(&chaos, 0, sizeof chaos);
        net->setup.window_bytes = 8192;
        net->setup.chunk_bytes = 1024;
        net->frame = take_chaos;
        net->arg = &chaos;
        net->loss = (unsigned)ph_prng_below(&net->prng, 300);
        net->twice = (unsigned)ph_prng_below(&net->prng, 300);
        net->late = (unsigned)ph_prng_below(&net->prng, 300);
        net->late_ms = ph_prng_below(&net->prng, 500);
        net->silent_refusals = seed & 1;
        for (unsigned i = 0; i < 3; i++)
            sim_start(net, i, NULL, NULL);
        for (unsigned i = 0; i < 6; i++)
            sim_join(net, i % 3, (i + 1 + i / 3) % 3);
        for (unsigned i = 0; i < 300; i++) {
            chaos_step(net, senders);
            sim_run(net, ph_prng_below(&net->prng, 100));
        }
        memset(net->cut, 0, sizeof net->cut);
        net->loss = net->twice = net->late = 0;
        sim_run(net, 3000);
        for (unsigned i = 0; i < 3; i++)
            for (unsigned to = 0; to < 3; to++)
                if (i != to && sim_live(net, i) == 2) {
                    char name[8];
                    snprintf(name, sizeof name, "n%u", to);
                    send_beat(net, i, sim_peer(net, i, name));
                }
        if (!sim_until(net, 60000, all_meet, net))
            fail_msg("seed %llu: the nodes do not meet again", (unsigned long long)seed);
        sim_run(net, 30000);
        assert_true(all_meet(net));
        streams += chaos.streams;
        sim_destroy(net);
    }
    print_message("          %llu messages arrived\n", (unsigned long long)streams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_makes_a_full_mesh),
        cmocka_unit_test(idle_mesh_is_silent),
        cmocka_unit_test(sessions_come_about_on_a_bad_wire),
        cmocka_unit_test(new_life_replaces_the_old_one),
        cmocka_unit_test(new_life_that_calls_nobody_is_found),
        cmocka_unit_test(refused_connection_ends_the_session),
        cmocka_unit_test(goodbye_comes_after_what_was_queued),
        cmocka_unit_test(reset_makes_a_new_peer_on_both_sides),
        cmocka_unit_test(cut_and_healed_link_loses_nothing),
        cmocka_unit_test(other_cluster_is_refused_with_a_reason),
        cmocka_unit_test(taken_name_is_a_clash),
        cmocka_unit_test(silent_holder_keeps_its_name),
        cmocka_unit_test(moved_node_has_its_name_once_the_old_place_is_silent),
        cmocka_unit_test(own_name_and_own_endpoint_are_no_peers),
        cmocka_unit_test(seed_that_leads_to_ourselves_is_given_up),
        cmocka_unit_test(seed_by_another_name_finds_the_node_again),
        cmocka_unit_test(streams_survive_loss_doubles_and_reordering),
        cmocka_unit_test(beats_pass_a_large_message),
        cmocka_unit_test(small_messages_share_frames),
        cmocka_unit_test(window_and_room_are_held),
        cmocka_unit_test(full_queue_ends_the_session),
        cmocka_unit_test(replayed_frames_change_nothing),
        cmocka_unit_test(stolen_nonce_and_name_get_nothing),
        cmocka_unit_test(flood_of_strangers_is_bounded),
        cmocka_unit_test(corrupt_frames_are_dropped_and_come_again),
        cmocka_unit_test(malformed_frames_are_counted),
        cmocka_unit_test(random_faults_never_break_the_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
