/*
 * Numbered messages between the nodes of a simulated wire: each knows its sender, its number and
 * the time, and the bytes behind follow from the number; so the receiver sees at once what is lost,
 * doubled, out of order or not whole, and fails the test.
 */
#ifndef PH_TESTS_LIB_NUMBERED_H
#define PH_TESTS_LIB_NUMBERED_H

#include "tests/lib/simwire.h"

/* What a node got. */
struct numbered_inbox {
    uint32_t expected[SIM_NODES_MAX]; /* by sender, of streams */
    uint64_t streams, beats, bytes;
    uint64_t worst_beat_ms; /* on the way */
};

struct numbered_head {
    uint32_t number, from;
    uint64_t sent_ms;
};

/* Fails unless all bytes behind the head are those of its number. */
void numbered_check(const void *message, size_t length);

/* A stream of `length` bytes and the head, to the hub "stream" of node `to`. */
void numbered_send(struct sim_net *, unsigned from, unsigned to, uint32_t number, size_t length);
/* A beat to the hub "beat". */
void numbered_beat(struct sim_net *, unsigned from, uint64_t peer);

/* Nodes 0 to count - 1 as one cluster; SIM_NODES_MAX inboxes, cleared. */
struct sim_net *numbered_cluster(unsigned count, uint64_t seed, struct numbered_inbox *inboxes);
/* The net's frame function: its `arg` are the inboxes. */
void numbered_take(void *arg, struct sim_node *, uint64_t peer, const char *hub, size_t hub_length,
                   const void *bytes, size_t length);

#endif
