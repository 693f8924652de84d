/*
 * A child is handed over from n1 to n3, and something happens meanwhile: every millisecond of the
 * move, each fault, each place of it; with a copy of its state ahead or without. After that the
 * child runs once, with its state unless the node that had it died, and what was sent to it was
 * handled once, or at most once where a node died or a session broke.
 */
#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/error.h"
#include "engine/op.h"

enum { SOURCE = 0, BYSTANDER = 1, TARGET = 2, STEPS_MS = 16, COPY_MS = 10, MESSAGES = 30 };

enum fault {
    SOURCE_CRASHES,
    TARGET_CRASHES,
    SOURCE_PAUSES,
    TARGET_PAUSES,
    SOURCE_PAUSES_LONG,
    TARGET_PAUSES_LONG,
    LINK_IS_CUT,
    LINK_IS_CUT_ONE_WAY,
    LINK_BREAKS,
    FAULTS
};

struct run {
    struct fake_cluster *c;
    char id[16];
    bool hot;
    size_t ballast; /* of the state, which is copied ahead; 0: it is not */
    enum fault fault;
    unsigned delay_ms, sent;
};

#define CHECK(run, condition)                                                                     \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fc_dump((run)->c);                                                                    \
            fail_msg("%s move%s, fault %d after %u ms: " #condition, (run)->hot ? "hot" : "cold", \
                     (run)->ballast ? " with a copy" : "", (int)(run)->fault, (run)->delay_ms);   \
        }                                                                                         \
    } while (0)

static void send_next(struct run *run)
{
    char text[16];
    snprintf(text, sizeof text, "m%u", ++run->sent);
    fc_send(run->c, BYSTANDER, run->id, text);
}

static void strike(struct run *run)
{
    struct fake_cluster *c = run->c;
    switch (run->fault) {
    case SOURCE_CRASHES:
        fc_kill(c, SOURCE, false);
        break;
    case TARGET_CRASHES:
        fc_kill(c, TARGET, false);
        break;
    case SOURCE_PAUSES:
        c->nodes[SOURCE]->paused_ms = c->now_ms + 700;
        break;
    case TARGET_PAUSES:
        c->nodes[TARGET]->paused_ms = c->now_ms + 700;
        break;
    case SOURCE_PAUSES_LONG:
        c->nodes[SOURCE]->paused_ms = c->now_ms + 9000;
        break;
    case TARGET_PAUSES_LONG:
        c->nodes[TARGET]->paused_ms = c->now_ms + 9000;
        break;
    case LINK_IS_CUT_ONE_WAY:
    case LINK_IS_CUT:
        fc_cut(c, TARGET, SOURCE);
        if (run->fault == LINK_IS_CUT)
            fc_cut(c, SOURCE, TARGET);
        break;
    case LINK_BREAKS:
        fc_break(c, SOURCE, TARGET);
        break;
    case FAULTS:
        break;
    }
}

/* Does the fault cost nothing but time? */
static bool is_harmless(enum fault fault)
{
    return fault == SOURCE_PAUSES || fault == TARGET_PAUSES || fault == LINK_IS_CUT ||
           fault == LINK_IS_CUT_ONE_WAY;
}

static void start(struct run *run)
{
    run->c = fc_create_settled(3, run->hot ? "migration=hot hot.precopy=64k partition=majority"
                                           : "partition=majority");
    run->c->ballast = run->ballast;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(run->id, sizeof run->id, "c-%u", i);
        if (fc_owner(run->c, 0, run->id) == SOURCE)
            break;
    }
    fc_start(run->c, SOURCE, run->id);
    fc_settle(run->c);
}

static void hand_over(struct run *run)
{
    start(run);
    send_next(run);
    fc_pin(run->c, BYSTANDER, run->id, "n3");
    for (unsigned ms = 0; ms < MESSAGES; ms++) {
        if (ms == run->delay_ms)
            strike(run);
        send_next(run);
        fc_run(run->c, 1);
    }
    if (run->fault == LINK_IS_CUT || run->fault == LINK_IS_CUT_ONE_WAY) {
        fc_run(run->c, 800);
        fc_heal(run->c);
    }
    fc_run(run->c, 12000);
    fc_settle(run->c);
}

static void check(struct run *run)
{
    bool source_died = run->fault == SOURCE_CRASHES || run->fault == SOURCE_PAUSES_LONG;
    bool target_died = run->fault == TARGET_CRASHES || run->fault == TARGET_PAUSES_LONG;
    CHECK(run, fc_where(run->c, run->id) >= 0);
    /* What a node that stands still has does nothing: its lease is over before others start it. */
    if (run->fault != SOURCE_PAUSES_LONG && run->fault != TARGET_PAUSES_LONG)
        CHECK(run, run->c->doubled == 0);
    /* Whoever dies with it takes its state along. */
    if (!source_died && !target_died)
        CHECK(run, strncmp(fc_state(run->c, run->id), "born n1", 7) == 0);
    for (unsigned number = 1; number <= run->sent; number++) {
        char text[16];
        snprintf(text, sizeof text, "m%u", number);
        unsigned heard = fc_heard(run->c, run->id, text);
        CHECK(run, heard <= 1);
        if (is_harmless(run->fault))
            CHECK(run, heard == 1);
    }
    for (unsigned node = 0; node < FC_NODES; node++) {
        if (!run->c->nodes[node])
            continue;
        const struct ph_cluster *cluster = fc_hub(run->c, node)->hub.cluster;
        CHECK(run, cluster->moves_in + cluster->moves_out == 0);
        CHECK(run, cluster->moves_saving + cluster->moves_bytes + cluster->copies_bytes == 0);
        for (const struct ph_mail *mail = cluster->mail.mails; mail; mail = mail->next)
            CHECK(run, !mail->waiting.first && !mail->early);
    }
}

static void try_all(bool hot, size_t ballast)
{
    unsigned steps_ms = STEPS_MS + (ballast ? COPY_MS : 0);
    size_t copies = 0;
    for (enum fault fault = 0; fault < FAULTS; fault++)
        for (unsigned delay_ms = 0; delay_ms < steps_ms; delay_ms++) {
            struct run run = {.hot = hot, .ballast = ballast, .fault = fault, .delay_ms = delay_ms};
            hand_over(&run);
            check(&run);
            copies += run.c->nodes[SOURCE] ? run.c->nodes[SOURCE]->copies : 0;
            fc_destroy(run.c);
        }
    assert_true(ballast ? copies > steps_ms * FAULTS / 2 : copies == 0);
}

/* Start before stop: while the target makes its instance, while the child holds still, after it has
 * gone. */
static void hot_move_survives_every_fault_at_every_step(void **state)
{
    (void)state;
    try_all(true, 0);
}

/* A copy of its state goes ahead: also while that is under way, and what the child begins with is
 * what it ended with. */
static void hot_move_with_a_copy_survives_every_fault_at_every_step(void **state)
{
    (void)state;
    try_all(true, 100000);
}

/* Stop before start: there is a time when the child runs nowhere. */
static void cold_move_survives_every_fault_at_every_step(void **state)
{
    (void)state;
    try_all(false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hot_move_survives_every_fault_at_every_step),
        cmocka_unit_test(hot_move_with_a_copy_survives_every_fault_at_every_step),
        cmocka_unit_test(cold_move_survives_every_fault_at_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
