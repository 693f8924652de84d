#include "tests/lib/numbered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"

static unsigned char byte_at(uint32_t number, size_t at)
{
    return (unsigned char)(number * 31 + at);
}

void numbered_check(const void *message, size_t length)
{
    struct numbered_head head;
    const unsigned char *at = message;
    assert_true(length >= sizeof head);
    memcpy(&head, message, sizeof head);
    for (size_t i = sizeof head; i < length; i++)
        if (at[i] != byte_at(head.number, i))
            fail_msg("message %u is wrong at %zu", head.number, i);
}

void numbered_take(void *arg, struct sim_node *node, uint64_t peer, const char *hub,
                   size_t hub_length, const void *bytes, size_t length)
{
    struct numbered_inbox *inbox = &((struct numbered_inbox *)arg)[node->index];
    struct numbered_head head;
    (void)peer;
    numbered_check(bytes, length);
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
}

void numbered_send(struct sim_net *net, unsigned from, unsigned to, uint32_t number, size_t length)
{
    char name[8];
    struct numbered_head head = {.number = number, .from = from, .sent_ms = net->now_ms};
    unsigned char *bytes = ph_alloc(length + sizeof head);
    memcpy(bytes, &head, sizeof head);
    for (size_t i = sizeof head; i < length + sizeof head; i++)
        bytes[i] = byte_at(number, i);
    snprintf(name, sizeof name, "n%u", to);
    sim_send(net, from, sim_peer(net, from, name), "stream", PH_LINK_STREAM, bytes,
             length + sizeof head);
    ph_free(bytes);
}

void numbered_beat(struct sim_net *net, unsigned from, uint64_t peer)
{
    struct numbered_head head = {.from = from, .sent_ms = net->now_ms};
    sim_send(net, from, peer, "beat", PH_LINK_BEAT, &head, sizeof head);
}

struct sim_net *numbered_cluster(unsigned count, uint64_t seed, struct numbered_inbox *inboxes)
{
    struct sim_net *net = sim_create(seed);
    memset(inboxes, 0, SIM_NODES_MAX * sizeof *inboxes);
    net->frame = numbered_take;
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
