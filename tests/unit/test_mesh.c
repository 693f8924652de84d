#include "ipc/mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/tsan.h"
#include "tests/lib/numbered.h"
#include "tests/lib/simwire.h"

#ifdef PH_TSAN
enum { RANDOM_SEEDS = 250 }; /* one thread, and ten times as slow */
#else
enum { RANDOM_SEEDS = 2500 };
#endif

/* ---- Sessions ------------------------------------------------------------------------------- */

/* Joining one seed makes a full mesh, within milliseconds. */
static void one_seed_makes_a_full_mesh(void **state)
{
    (void)state;
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(SIM_NODES_MAX, 1, inboxes);
    assert_string_equal(sim_told(net, 5, sim_peer(net, 5, "n6"))->peer.endpoint,
                        "tcp://127.0.0.1:1006");
    assert_int_equal(sim_peer(net, 5, "n5"), 0);
    sim_destroy(net);
}

/* A mesh in which nothing is sent has nothing to do and sends nothing. */
static void idle_mesh_is_silent(void **state)
{
    (void)state;
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(3, 2, inboxes);
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
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(3, 3, inboxes);
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
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 4, inboxes);
    net->silent_refusals = true;
    uint64_t old = sim_peer(net, 0, "n1");
    sim_kill(net, 1);
    sim_start(net, 1, NULL, "test");
    numbered_beat(net, 0, old);
    sim_run(net, 1500);
    assert_int_equal(sim_told(net, 0, old)->why, PH_PEER_REPLACED);
    assert_int_equal(sim_live(net, 1), 1);
    sim_destroy(net);
}

/* A refused connection ends the session at once; the node is called on until it is back. */
static void refused_connection_ends_the_session(void **state)
{
    (void)state;
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 5, inboxes);
    uint64_t old = sim_peer(net, 0, "n1");
    sim_kill(net, 1);
    numbered_beat(net, 0, old);
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
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 6, inboxes);
    net->loss = 100;
    uint64_t old = sim_peer(net, 0, "n1");
    numbered_send(net, 1, 0, 0, 1000000);
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

    net = numbered_cluster(2, 7, inboxes);
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
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 8, inboxes);
    uint64_t here = sim_peer(net, 0, "n1"), there = sim_peer(net, 1, "n0");
    net->cut[0][1] = true;
    numbered_send(net, 0, 1, 77, 100);
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
    numbered_send(net, 0, 1, 0, 100);
    sim_run(net, 100);
    assert_int_equal(inboxes[1].streams, 1);
    sim_destroy(net);
}

/* A cut that nobody resets loses nothing: what was sent arrives when it is healed. */
static void cut_and_healed_link_loses_nothing(void **state)
{
    (void)state;
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 9, inboxes);
    net->cut[0][1] = net->cut[1][0] = true;
    for (uint32_t i = 0; i < 50; i++)
        numbered_send(net, 0, 1, i, 10000);
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
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 11, inboxes);
    sim_start(net, 2, "n1", "test");
    sim_join(net, 2, 0);
    for (int i = 0; i < 40; i++) {
        sim_run(net, 500);
        numbered_beat(net, 1, sim_peer(net, 1, "n0"));
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
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 12, inboxes);
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
    struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 13, inboxes);
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
    numbered_beat(net, 0, old);
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
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 16, inboxes);
    net->loss = 50;
    net->twice = 50;
    net->late = 50;
    net->late_ms = 30;
    for (uint32_t i = 0; i < 400; i++)
        numbered_send(net, 0, 1, i, (size_t)ph_prng_below(&net->prng, 1 << (i % 18)));
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
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 17, inboxes);
    net->bytes_per_ms = 10000; /* 10 MB/s */
    numbered_send(net, 0, 1, 0, 64 << 20);
    for (int i = 0; i < 40; i++) {
        numbered_beat(net, 0, sim_peer(net, 0, "n1"));
        sim_run(net, 250);
    }
    assert_int_equal(inboxes[1].streams, 1);
    assert_int_equal(inboxes[1].bytes, (64 << 20) + sizeof(struct numbered_head));
    assert_int_equal(inboxes[1].beats, 40);
    assert_true(inboxes[1].worst_beat_ms < 600);
    sim_destroy(net);
}

/* What is sent in one moment travels in few frames. */
static void small_messages_share_frames(void **state)
{
    (void)state;
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 18, inboxes);
    sim_run(net, 100);
    struct ph_mesh_stats before, after;
    ph_mesh_stats(net->nodes[0].mesh, 0, &before);
    for (uint32_t i = 0; i < 1000; i++)
        numbered_send(net, 0, 1, i, 20);
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
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = numbered_cluster(2, 19, inboxes);
    uint64_t peer = sim_peer(net, 0, "n1");
    uint64_t room = ph_mesh_room(net->nodes[0].mesh, peer);
    assert_true(room > 0);
    net->cut[0][1] = true;
    struct ph_mesh_stats before, after;
    ph_mesh_stats(net->nodes[0].mesh, 0, &before);
    numbered_send(net, 0, 1, 0, 20 << 20);
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
    static struct numbered_inbox inboxes[SIM_NODES_MAX];
    struct sim_net *net = sim_create(20);
    net->setup.queue_bytes_max = 1 << 20;
    sim_start(net, 0, NULL, NULL);
    sim_start(net, 1, NULL, NULL);
    net->frame = numbered_take;
    net->arg = inboxes;
    sim_join(net, 0, 1);
    sim_run(net, 100);
    uint64_t peer = sim_peer(net, 0, "n1");
    net->cut[0][1] = net->cut[1][0] = true;
    for (uint32_t i = 0; i < 20; i++)
        numbered_send(net, 0, 1, i, 100000);
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
    struct numbered_head head;
    (void)hub;
    if (hub_length == 4)
        return;
    assert_true(length >= sizeof head);
    memcpy(&head, bytes, sizeof head);
    /* Within a session from its first message on: each once, in order, whole. */
    assert_int_equal(head.number, chaos->expected[node->index][peer]);
    chaos->expected[node->index][peer]++;
    chaos->streams++;
    numbered_check(bytes, length);
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
        numbered_send(net, from, to, sender->number++,
                      (size_t)ph_prng_below(&net->prng, 1 << ph_prng_below(&net->prng, 14)));
        numbered_beat(net, from, peer);
    }
}

/* For any schedule of faults: what arrives of a session is exactly a prefix of what was sent in
 * it, and when the faults end everybody meets everybody again. */
static void random_faults_never_break_the_streams(void **state)
{
    (void)state;
    static struct chaos chaos;
    uint64_t streams = 0;
    for (uint64_t seed = 0; seed < RANDOM_SEEDS; seed++) {
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
                    numbered_beat(net, i, sim_peer(net, i, name));
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
        cmocka_unit_test(random_faults_never_break_the_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
