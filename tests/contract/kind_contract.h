/*
 * The contract of struct ph_kind, run against every kind of child: test_kind_module.c and
 * test_kind_process.c each say how to make children that behave in certain ways and how time
 * passes; kind_contract.c holds the tests.
 *
 * There is no hub: the test plays its part, and a recorder stands where a hub's host would be.
 */
#ifndef PH_TESTS_CONTRACT_KIND_CONTRACT_H
#define PH_TESTS_CONTRACT_KIND_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/host.h"
#include "engine/node.h"

/* How a child behaves. */
enum contract_child {
    CONTRACT_RUNS,   /* until it is stopped */
    CONTRACT_ENDS,   /* by itself, well */
    CONTRACT_FAILS,  /* by itself, badly */
    CONTRACT_CANNOT, /* never runs */
};

/* What one kind adds. */
struct contract_kind {
    const struct ph_kind *kind;
    const char *text_of_cannot; /* part of the text of its exit */
    unsigned rounds;            /* of the tests that look for races */
    bool has_states;            /* what runs until it is stopped can be saved */
    struct ph_node *(*create_node)(uint64_t seed);
    struct ph_spec *(*create_spec)(enum contract_child);
    /* Until `condition` holds: true, or false when it does not in time. */
    bool (*run_until)(struct ph_node *, bool (*condition)(void *), void *arg);
    /* Runs what is left to run now. */
    void (*settle)(struct ph_node *);
};

/* What was reported of one child. */
struct contract_reports {
    unsigned ups, downs, notes, late_ups; /* late: after the down of the same instance */
    unsigned saves, kepts, endings;       /* downs with a state; that failed; that were said */
    unsigned copies, sums; /* states of what goes on; downs with hashes that are right */
    unsigned prepares;
    unsigned merges; /* states that were joined, or not; of the last one: */
    int merge_code;
    uint32_t up_instance, down_instance;
    struct ph_exit exit;
    char why_kept[200], why_merged[200];
};

/* A place for children without a hub. */
struct contract_stage {
    struct ph_host host; /* first */
    const struct contract_kind *kind;
    struct ph_node *node;
    pthread_mutex_t lock;            /* guards: */
    struct contract_reports reports; /* of the one child */
    struct ph_text saved;            /* the last state that came with a down, or as a copy */
    struct ph_child *child;
};

struct contract_stage *contract_open(const struct contract_kind *, uint64_t seed);
/* After contract_free_child. */
void contract_close(struct contract_stage *);
/* The child, published; one at a time. */
void contract_make_child(struct contract_stage *, struct ph_spec *spec);
void contract_free_child(struct contract_stage *);
/* What was reported so far. */
struct contract_reports contract_reports(struct contract_stage *);
/* Begins the next instance. */
uint32_t contract_start(struct contract_stage *);
/* Waits for so many reports in all. */
void contract_wait_ups(struct contract_stage *, unsigned ups);
void contract_wait_downs(struct contract_stage *, unsigned downs);
void contract_wait_copies(struct contract_stage *, unsigned copies);
/* The state that came last; moved. */
struct ph_text contract_take_saved(struct contract_stage *);
/* Lets everything settle, as far as one can see. */
void contract_settle(struct contract_stage *);

/* Runs the contract; returns what cmocka does. */
int contract_run(const struct contract_kind *);

#endif
