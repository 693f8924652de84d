/*
 * Nodes of one hub on virtual time: real hubs with their cluster half, joined by pipes of the test.
 *
 * No mesh, no threads, no clock. What a hub sends waits one millisecond in a pipe and becomes an
 * event of the other hub. Of a session, streams arrive in order and once; while a pipe is cut they
 * wait, and beats are lost. A session ends when a hub resets it, or the test kills a node; healed
 * pipes without one begin a new one. Children are recorded: they are up at once, end when they are
 * told to, and their state is a text that grows with each node where it was.
 *
 * Nodes are numbered from 0 and called n1, n2, …. What the helpers return is borrowed.
 */
#ifndef PH_TESTS_LIB_FAKECLUSTER_H
#define PH_TESTS_LIB_FAKECLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/cluster_inside.h"
#include "tests/lib/fakedisk.h"
#include "tests/lib/fakehub.h"

enum { FC_NODES = 4, FC_MS = 1000000 /* when the time begins */ };

struct fc_post {
    struct fc_post *next;
    struct ph_event *event;
};

/* What a child was told. */
struct fc_message {
    char id[24], text[64];
    uint64_t order; /* among those of all nodes, from 1 */
};

struct fc_node {
    struct fake_hub fake; /* first: its helpers take it */
    struct fake_cluster *cluster;
    unsigned index;
    struct ph_directory *directory;
    struct fc_post *posts, **posts_last; /* events that were posted in steps */
    const char *fails;                   /* id that cannot be started here; NULL: none */
    bool mute;                           /* children read no messages */
    uint64_t paused_ms;                  /* until then it does nothing, as if it were stopped */
    bool slow;                           /* starts are not answered */
    bool lingers;                        /* children that are to stop or be killed do not end */
    bool busy;                           /* children are not saved, … */
    const char *lazy;                    /* … or the one of that id; NULL: none */
    bool deaf;                           /* merges are not answered */
    size_t joins;                        /* merges that were asked for */
    size_t starts, prepares;             /* of instances, ever; how many of them stood by first */
    size_t copies;                       /* that went ahead of a state */
    struct fc_message *heard;
    size_t heard_count;
};

struct fc_frame {
    struct fc_frame *next;
    uint64_t session, due_ms;
    enum ph_link_class class;
    struct ph_text text;
};

/* From one node to another. */
struct fc_pipe {
    uint64_t peer, session; /* of the sender's end; 0: it has none */
    uint64_t late_ms;       /* on top of the usual millisecond, … */
    uint64_t stream_ms;     /* … and what streams are late on top of that: beats overtake them */
    bool linked;            /* a new session begins when there is none */
    bool cut;
    bool full; /* it says that it has no room: rows, moves and merges wait */
    struct fc_frame *first, **last;
};

struct fake_cluster {
    uint64_t now_ms, numbers, hearings;
    const char *options;
    bool merges;                     /* children join states; else they refuse */
    struct fc_node *nodes[FC_NODES]; /* NULL: dead */
    struct fc_pipe pipes[FC_NODES][FC_NODES];
    bool keeps;                      /* nodes that begin have a journal, … */
    struct fakedisk disks[FC_NODES]; /* … there; they outlive the nodes */
    unsigned stalled;                /* bit set of nodes: nothing is synced */
    uint64_t doubled;                /* starts of a child while another node had an instance */
    unsigned drop[PH_FRAMES];        /* how many frames of a type are still to be lost, … */
    struct ph_text lost;             /* … and the last one of them */
    uint64_t sent[PH_FRAMES];        /* frames of each type, … */
    uint64_t sent_bytes[PH_FRAMES];  /* … and their bytes */
    size_t ballast;                  /* of each state: see ballast.h; 0: none */
};

/* Nodes that are not linked yet. */
struct fake_cluster *fc_create(unsigned nodes, const char *options);
/* The same, linked and settled. */
struct fake_cluster *fc_create_settled(unsigned nodes, const char *options);
void fc_destroy(struct fake_cluster *);

/* ---- Nodes and pipes ----------------------------------------------------------------------- */

/* A node begins (again): not linked; its generation is higher than the one before. */
void fc_begin(struct fake_cluster *, unsigned node, const char *options);
/* It dies, with what its disk has not synced; the others are told that its process is gone, or
 * (`silent`) find out. */
void fc_kill(struct fake_cluster *, unsigned node, bool silent);
void fc_link(struct fake_cluster *, unsigned a, unsigned b);
void fc_link_all(struct fake_cluster *);
void fc_cut(struct fake_cluster *, unsigned from, unsigned to); /* one direction */
/* Their session breaks, with all that is under way, and another one begins at once. */
void fc_break(struct fake_cluster *, unsigned a, unsigned b);
/* Cuts / heals both directions of every pair between the nodes of a bit set and the others. */
void fc_split(struct fake_cluster *, unsigned side);
void fc_heal(struct fake_cluster *);
/* A frame that comes to `to` from `from` as if it had been sent; the text is moved. */
void fc_inject(struct fake_cluster *, unsigned from, unsigned to, struct ph_text *frame);

/* ---- Time ---------------------------------------------------------------------------------- */

void fc_run(struct fake_cluster *, uint64_t ms);
/* Runs until every living node of the set says that it has settled among so many nodes: false when
 * that does not come within `ms`. */
bool fc_settle_some(struct fake_cluster *, unsigned set, unsigned nodes, uint64_t ms);
/* The same for all that live, one view of them all; fails the test otherwise. */
void fc_settle(struct fake_cluster *);

/* Prints what the nodes say and what they recorded last. */
void fc_dump(const struct fake_cluster *);

/* ---- Requests: begun, not waited for -------------------------------------------------------- */

struct fake_hub *fc_hub(struct fake_cluster *, unsigned node);
struct ph_op *fc_pin(struct fake_cluster *, unsigned node, const char *ids, const char *to);
/* The same, in that way. */
struct ph_op *fc_pin_mode(struct fake_cluster *, unsigned node, const char *ids, const char *to,
                          enum ph_move_mode);
struct ph_op *fc_drain(struct fake_cluster *, unsigned node, const char *of, bool on);
struct ph_op *fc_moves(struct fake_cluster *, unsigned node, enum ph_moves_order);
struct ph_op *fc_leave(struct fake_cluster *, unsigned node);
struct ph_op *fc_join(struct fake_cluster *, unsigned node); /* after it has left */
void fc_send(struct fake_cluster *, unsigned node, const char *id, const char *text);
struct ph_op *fc_call(struct fake_cluster *, unsigned node, const char *id, const char *text);
/* Starts and waits until it is done; fails the test unless that went well. */
void fc_start(struct fake_cluster *, unsigned node, const char *ids);
/* The same with one that belongs to the first node, until all have settled; returns its id. */
const char *fc_start_one(struct fake_cluster *, char id[16]);
/* Runs until the op is done; its code, or 1 when that does not come within `ms`. */
int fc_wait(struct fake_cluster *, struct ph_op *, uint64_t ms);
/* Why the first child of an op failed; "" when none did. */
const char *fc_failure(struct ph_op *);

/* ---- Looking ------------------------------------------------------------------------------- */

enum { FC_NOWHERE = -1, FC_DOUBLED = -2 };

/* The node where an instance of the child is, whatever the hubs say. */
int fc_where(const struct fake_cluster *, const char *id);
/* Runs until it is there; fails the test when that takes longer than a move. */
void fc_run_until_at(struct fake_cluster *, const char *id, int node);
/* The same as that node's hub says, and in which state it says it is. */
int fc_listed(const struct fake_cluster *, unsigned node, const char *id, enum ph_state *);
/* Where it belongs by the members that node knows. */
int fc_owner(const struct fake_cluster *, unsigned node, const char *id);
/* The state text of the instance: "born n1", after moves "born n1 n3". */
const char *fc_state(const struct fake_cluster *, const char *id);
uint64_t fc_local(const struct fake_cluster *, unsigned node); /* children there */
uint64_t fc_starts(const struct fake_cluster *);               /* on all living nodes */
unsigned fc_heard(const struct fake_cluster *, const char *id, const char *text);
const struct ph_members *fc_members(const struct fake_cluster *, unsigned node);
/* Does every living node list every id at the node where it is, running? Fails the test if not. */
void fc_assert_listed_everywhere(const struct fake_cluster *, const char *ids);
/* No move is under way, and no message. */
void fc_assert_at_rest(struct fake_cluster *);

/* ---- Shared by the files -------------------------------------------------------------------- */

/* The tail of a child. */
struct fc_kid {
    bool runs; /* an instance is there, up or not */
    bool stands_by;
    char state[128];
    uint64_t heard; /* messages, over all its instances: the number of its ballast */
    struct ph_queue unread;
};

/* Queues an event for a hub. */
void fc_post_event(struct ph_hub *, struct ph_event *);

#endif
