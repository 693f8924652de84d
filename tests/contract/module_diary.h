/*
 * Module children for contract tests, on the seeded serial scheduler (tests/lib/sched_seeded.c):
 * the kind as kind_contract.h wants it, and a child whose handlers write down what they see.
 */
#ifndef PH_TESTS_CONTRACT_MODULE_DIARY_H
#define PH_TESTS_CONTRACT_MODULE_DIARY_H

#include "tests/contract/kind_contract.h"
#include "tests/lib/probe.h"

extern const struct contract_kind diary_kind;

/* A child whose handlers write down what they see; what they return is the test's. */
struct diary {
    struct probe probe; /* first */
    struct contract_stage *stage;
    char text[256]; /* one word per event */
    unsigned inits, ends;
    int next_code;         /* of the next message */
    uint64_t wakes_before; /* the timers fired */
};

/* Fixture of one test: *state is the diary, its child published and not started. The diary's end
 * fails unless every init had its terminate. */
int diary_set_up(void **state);
int diary_tear_down(void **state);
void diary_free_child(struct diary *);

/* Functions of the probe. */
int diary_init(struct probe *, struct ph_context *);
void diary_end(struct probe *, struct ph_context *);
int diary_message(struct probe *, struct ph_context *, const struct ph_message *);
/* Timers 0 and 1 have fired before the first handler runs. */
int diary_init_two_timers(struct probe *, struct ph_context *);

/* One more word. */
void diary_write(struct diary *, const char *word);

/* Sends to the child; the op of a call. */
struct ph_op *diary_deliver(struct diary *, enum ph_message_type, const char *text);
void diary_cast(struct diary *, const char *text);
/* The op is done and answered so; puts it. */
void diary_assert_answer(struct ph_op *, int code, const char *text, const char *reply);

#endif
