/*
 * Hot moves of large states: a copy goes ahead while the child works, in the end only what has
 * changed. Every state that arrives is held against what was saved (tests/lib/ballast.h).
 */
#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/cluster_move.h"
#include "engine/error.h"
#include "engine/op.h"

enum { BALLAST = 300000, MANY = 12 };

/* Three nodes; a child of the first one whose state is large. */
static struct fake_cluster *begin(const char *options, char id[16])
{
    struct fake_cluster *c = fc_create_settled(3, options);
    c->ballast = BALLAST;
    fc_start_one(c, id);
    return c;
}

static struct ph_cluster *half(struct fake_cluster *c, unsigned node)
{
    return fc_hub(c, node)->hub.cluster;
}

static const struct fc_kid *kid_at(struct fake_cluster *c, unsigned node, const char *id)
{
    const struct ph_child *child = fake_child(fc_hub(c, node), id);
    return child ? ph_child_tail(child) : NULL;
}

/* Nothing is under way, nothing is reserved, nothing stands by. */
static void end(struct fake_cluster *c, const char *id, unsigned node, uint64_t heard)
{
    fc_settle(c);
    assert_int_equal(fc_where(c, id), node);
    assert_int_equal(kid_at(c, node, id)->heard, heard);
    assert_int_equal(c->doubled, 0);
    for (unsigned other = 0; other < FC_NODES; other++) {
        if (!c->nodes[other])
            continue;
        assert_int_equal(half(c, other)->moves_in + half(c, other)->moves_out, 0);
        assert_int_equal(half(c, other)->moves_saving + half(c, other)->moves_bytes, 0);
        assert_int_equal(half(c, other)->copies_bytes, 0);
    }
    fc_destroy(c);
}

/* The move of a child as its node shows it. */
static bool is_shown(struct fake_cluster *c, unsigned node, const char *id, const char *phase)
{
    struct ph_text rows = PH_TEXT_INIT;
    char wanted[64];
    ph_moves_inspect(&fc_hub(c, node)->hub, &rows);
    snprintf(wanted, sizeof wanted, "%s\x1fn1\x1fn3\x1f%s\x1fhot", id, phase);
    bool shown = strstr(ph_text_str(&rows), wanted);
    ph_text_fini(&rows);
    return shown;
}

/* A move to n3 whose copy is under way, on a slow line. */
static struct ph_op *begin_copying(struct fake_cluster *c, const char *id)
{
    c->pipes[0][2].late_ms = 20;
    struct ph_op *move = fc_pin(c, 1, id, "n3");
    for (unsigned ms = 0; ms < 200 && half(c, 2)->copies_bytes == 0; ms++)
        fc_run(c, 1);
    assert_true(half(c, 2)->copies_bytes >= BALLAST);
    return move;
}

/* How many bytes of its state came after the copy, as the target says; -1: there was no copy. */
static long last_bytes(struct fake_cluster *c, unsigned node, const char *id)
{
    unsigned long whole, last;
    const struct fake_record *record = fake_last(fc_hub(c, node), "child_moved", id);
    int read =
        sscanf(record->text, "from n%*u, %lu bytes, %lu of them after its copy", &whole, &last);
    assert_true(read >= 1);
    return read == 2 ? (long)last : -1;
}

/* While the copy is under way the child runs where it is, and is answered; people see it on both
 * sides, and it counts among the bytes under way. */
static void child_works_while_its_copy_goes_ahead(void **state)
{
    (void)state;
    char id[16];
    enum ph_state shown;
    struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
    struct ph_op *move = begin_copying(c, id);
    assert_true(is_shown(c, 0, id, "copying") && is_shown(c, 2, id, "copying"));
    assert_true(half(c, 0)->moves_bytes >= BALLAST);
    assert_int_equal(fc_listed(c, 1, id, &shown), 0);
    assert_int_equal(shown, PH_STATE_RUNNING);
    for (unsigned i = 0; i < 20; i++) {
        struct ph_op *call = fc_call(c, 1, id, "who");
        assert_int_equal(fc_wait(c, call, 5), 0);
        assert_string_equal(ph_op_result(call)->reply, "who of n1");
    }
    assert_int_equal(fc_where(c, id), 0);
    assert_int_equal(fc_wait(c, move, 5000), 0);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    assert_int_equal(c->nodes[0]->copies, 1);
    end(c, id, 2, 20);
}

/* In the end only those blocks are sent that have changed since they were copied: none, or some. */
static void only_changed_blocks_go_in_the_end(void **state)
{
    (void)state;
    for (unsigned messages = 0; messages < 8; messages += 7) {
        char id[16];
        struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
        struct ph_op *move = begin_copying(c, id);
        uint64_t before = c->sent_bytes[PH_FRAME_MOVES];
        for (unsigned i = 0; i < messages; i++)
            fc_send(c, 0, id, "more");
        assert_int_equal(fc_wait(c, move, 5000), 0);
        long last = last_bytes(c, 2, id);
        if (messages)
            assert_in_range(last, 4096, BALLAST - 4096);
        else
            assert_int_equal(last, 0);
        assert_true(c->sent_bytes[PH_FRAME_MOVES] - before < BALLAST + (uint64_t)last + 4096);
        end(c, id, 2, messages);
    }
}

/* A small state is its own copy: the child is saved once. Nor is anything copied where that is not
 * wanted, or nothing is handed over. */
static void what_is_small_or_not_wanted_is_not_copied(void **state)
{
    (void)state;
    static const char *const options[] = {"migration=hot hot.precopy=512k",
                                          "migration=hot hot.precopy=0",
                                          "migration=hot hot.precopy=64k hot.handover=false"};
    for (unsigned i = 0; i < PH_COUNT_OF(options); i++) {
        char id[16];
        struct fake_cluster *c = begin(options[i], id);
        fc_send(c, 0, id, "one");
        assert_int_equal(fc_wait(c, fc_pin(c, 1, id, "n3"), 5000), 0);
        assert_int_equal(c->nodes[0]->copies, 0);
        assert_int_equal(last_bytes(c, 2, id), -1);
        assert_string_equal(fc_state(c, id), i < 2 ? "born n1 n3" : "born n3");
        end(c, id, 2, i < 2);
    }
}

/* An instance that is restarted after it was copied: the move is called off, and the next one
 * brings the state of the instance that is there. */
static void copy_of_an_instance_before_is_not_used(void **state)
{
    (void)state;
    char id[16];
    struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
    fc_send(c, 0, id, "forgotten");
    struct ph_op *move = begin_copying(c, id);
    assert_int_equal(fc_wait(c, fake_restart(fc_hub(c, 0), id), 1000), 0);
    fc_send(c, 0, id, "remembered");
    fc_send(c, 0, id, "remembered");
    fc_run(c, 1000);
    assert_string_equal(fake_last(fc_hub(c, 0), "move_aborted", id)->text,
                        "to n3: it was restarted meanwhile");
    assert_int_equal(fc_wait(c, move, 10000), 0);
    assert_int_equal(c->nodes[0]->copies, 2);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    end(c, id, 2, 2);
}

/* A move that people call off while the copy is under way: nothing has happened. */
static void move_can_be_called_off_while_it_copies(void **state)
{
    (void)state;
    for (unsigned all = 0; all < 2; all++) {
        char id[16];
        struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
        begin_copying(c, id);
        if (all) {
            fc_moves(c, 1, PH_MOVES_CANCEL);
        } else {
            struct ph_op *op;
            struct ph_event *event = fake_event(fc_hub(c, 0), PH_EVENT_STEER, &op);
            event->target.ids = fake_ids(id);
            event->target.signal = 1;
            fc_post_event(&fc_hub(c, 0)->hub, event);
            assert_int_equal(fc_wait(c, op, 100), 0);
        }
        fc_run(c, 1000);
        assert_int_equal(fc_where(c, id), 0);
        assert_int_equal(half(c, 0)->moves_bytes + half(c, 2)->copies_bytes, 0);
        assert_null(kid_at(c, 2, id));
        assert_int_equal(fc_wait(c, fc_moves(c, 1, PH_MOVES_RESUME), 1000), 0);
        assert_int_equal(fc_wait(c, fc_pin(c, 1, id, "n1"), 5000), 0);
        assert_string_equal(fc_state(c, id), "born n1");
        end(c, id, 0, 0);
    }
}

/* A stop, a session that breaks, and nodes that die while the copy is under way. */
static void what_crosses_the_copy_leaves_nothing_behind(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 4; what++) {
        char id[16];
        struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
        struct ph_op *move = begin_copying(c, id);
        if (what == 0) {
            fc_cut(c, 2, 0); /* also when the copy does not get on */
            assert_int_equal(fc_wait(c, fake_stop(fc_hub(c, 1), id), 100), 0);
            fc_heal(c);
            fc_settle(c);
            assert_int_equal(fc_where(c, id), FC_NOWHERE);
            assert_int_equal(half(c, 0)->moves_bytes + half(c, 2)->copies_bytes, 0);
            fc_destroy(c);
            continue;
        }
        if (what == 1)
            fc_break(c, 0, 2);
        else
            fc_kill(c, what == 2 ? 0 : 2, false);
        if (what == 1)
            assert_int_equal(fc_wait(c, move, 10000), 0);
        fc_run(c, 12000); /* until what the dead one may have begun is surely over */
        fc_settle(c);
        unsigned where = (unsigned)fc_where(c, id);
        assert_string_equal(fc_state(c, id), what == 1                 ? "born n1 n3"
                                             : what == 3 && where == 0 ? "born n1"
                                             : where == 1              ? "born n2"
                                                                       : "born n3");
        end(c, id, where, 0);
    }
}

/* A target that has no memory for a copy gets the state as a whole. */
static void full_target_takes_the_state_as_a_whole(void **state)
{
    (void)state;
    const uint64_t others = UINT64_C(1) << 40;
    char id[16];
    struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
    half(c, 2)->copies_bytes += others;
    fc_send(c, 0, id, "one");
    assert_int_equal(fc_wait(c, fc_pin(c, 1, id, "n3"), 5000), 0);
    half(c, 2)->copies_bytes -= others;
    assert_int_equal(c->nodes[0]->copies, 1);
    assert_int_equal(last_bytes(c, 2, id), -1);
    assert_string_equal(fc_state(c, id), "born n1 n3");
    end(c, id, 2, 1);
}

/* What the target puts together is not what was saved: it is refused, the child goes on where it
 * was with all that it knew, and the next move sends the state as a whole. */
static void state_with_a_wrong_checksum_is_refused(void **state)
{
    (void)state;
    char id[16];
    struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
    fc_send(c, 0, id, "one");
    struct ph_op *move = begin_copying(c, id);
    fc_send(c, 0, id, "two");
    while (half(c, 2)->moves_first->copy->done < BALLAST / 2)
        fc_run(c, 1);
    for (unsigned block = 0; block < 20; block++)
        half(c, 2)->moves_first->copy->sums.blocks[block].low ^= 1;
    while (half(c, 0)->moves_out)
        fc_run(c, 1);
    assert_string_equal(fake_last(fc_hub(c, 0), "move_aborted", id)->text,
                        "to n3: its state is not the one that was saved: the checksum differs");
    fc_run(c, 500);
    assert_string_equal(fc_state(c, id), "born n1 n1");
    assert_int_equal(kid_at(c, 0, id)->heard, 2);
    assert_int_equal(fc_wait(c, move, 10000), 0);
    assert_int_equal(c->nodes[0]->copies, 1);
    assert_int_equal(last_bytes(c, 2, id), -1);
    assert_string_equal(fc_state(c, id), "born n1 n1 n3");
    end(c, id, 2, 2);
}

/* Many at once, with messages: all of them arrive with what they were when they ended. */
static void many_copies_go_side_by_side(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(3, "migration=hot hot.precopy=64k");
    c->ballast = BALLAST;
    fc_start(c, 0, "m-[1..12]");
    fc_settle(c);
    for (unsigned round = 0; round < 6; round++) {
        struct ph_op *move =
            fc_pin(c, 1, "m-[1..12]", (const char *[]){"n1", "n2", "n3"}[round % 3]);
        for (unsigned i = 0; i < 30; i++) {
            char id[16];
            snprintf(id, sizeof id, "m-%u", i % MANY + 1);
            fc_send(c, i % 3, id, "more");
            fc_run(c, 1);
        }
        assert_int_equal(fc_wait(c, move, 10000), 0);
        fc_settle(c);
    }
    for (unsigned i = 1; i < MANY; i++) {
        char id[16];
        snprintf(id, sizeof id, "m-%u", i);
        assert_int_equal(fc_where(c, id), 2);
        assert_int_equal(kid_at(c, 2, id)->heard, i <= 6 ? 18 : 12);
    }
    assert_true(c->nodes[0]->copies >= MANY);
    end(c, "m-12", 2, 12);
}

/* ---- What a node may say that lies -----------------------------------------------------------
 */

struct lie {
    enum ph_move_verb verb;
    uint64_t number, whole, at;
    size_t length;
    bool refused; /* the frame, with all that is in it */
};

/* A COPY, or a PATCH with one change. */
static void tell(struct fake_cluster *c, const char *id, const struct lie *lie)
{
    static const char bytes[600000];
    struct ph_text frame = PH_TEXT_INIT;
    ph_frame_start(&fc_hub(c, 0)->hub, &frame, PH_FRAME_MOVES, half(c, 2)->generation);
    ph_pack_array(&frame, 1);
    ph_pack_uint(&frame, lie->verb);
    ph_pack_uint(&frame, lie->number);
    ph_pack_str(&frame, id, strlen(id));
    ph_pack_uint(&frame, 1);
    ph_pack_uint(&frame, 1);
    ph_pack_uint(&frame, 1);
    ph_pack_uint(&frame, lie->whole);
    if (lie->verb == PH_MOVE_PATCH) {
        ph_pack_uint(&frame, 0);
        ph_pack_array(&frame, 1);
    }
    ph_pack_uint(&frame, lie->at);
    ph_pack_bin(&frame, bytes, lie->length);
    if (lie->verb == PH_MOVE_PATCH) {
        ph_pack_array(&frame, 0);
        ph_pack_bool(&frame, true);
        ph_pack_array(&frame, 0);
    }
    fc_inject(c, 0, 2, &frame);
}

/* Pieces and changes that cannot be are refused with their frame; those of no move, or that do not
 * belong to what came before, are answered. Nothing of them is kept, the move that they name ends
 * well or not at all, and the child is what it was. */
static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    const uint64_t block = PH_BLOCK_BYTES, most = PH_STATE_BYTES_MAX;
    const struct lie lies[] = {
        {PH_MOVE_COPY, 0, BALLAST, 1, 4096, true},  /* not at a block */
        {PH_MOVE_COPY, 0, BALLAST, 0, 4095, true},  /* no whole block */
        {PH_MOVE_COPY, 0, 4096, 4096, 1, true},     /* behind the end */
        {PH_MOVE_COPY, 0, 4096, 0, 8192, true},     /* beyond it */
        {PH_MOVE_COPY, 0, most + 1, 0, 4096, true}, /* too large */
        {PH_MOVE_COPY, 0, most, 0, 600000, true},   /* a piece that is */
        {PH_MOVE_COPY, 0, 4096, 0, 0, true},        /* none */
        {PH_MOVE_PATCH, 0, BALLAST, BALLAST / block, 8192, true},
        {PH_MOVE_PATCH, 0, BALLAST, 1u << 20, 4096, true},
        {PH_MOVE_PATCH, 0, BALLAST, 0, 5, true},
        {PH_MOVE_PATCH, 0, most + 1, 0, 4096, true},
        {PH_MOVE_COPY, 99, BALLAST, 0, 4096, false}, /* of another move */
        {PH_MOVE_PATCH, 99, BALLAST, 0, 4096, false},
        {PH_MOVE_COPY, 0, BALLAST, 4096, 4096, false}, /* not what comes next */
        {PH_MOVE_PATCH, 0, BALLAST, 0, 4096, false},   /* half a copy */
    };
    for (size_t i = 0; i < PH_COUNT_OF(lies); i++) {
        char id[16];
        struct fake_cluster *c = begin("migration=hot hot.precopy=64k", id);
        struct ph_op *move = begin_copying(c, id);
        uint64_t refused = half(c, 2)->refused_frames;
        struct lie lie = lies[i];
        lie.number += half(c, 0)->moves_first->number;
        tell(c, id, &lie);
        fc_run(c, 25);
        assert_int_equal(half(c, 2)->refused_frames - refused, lie.refused);
        assert_int_equal(fc_wait(c, move, 20000), 0);
        assert_string_equal(fc_state(c, id), "born n1 n3");
        end(c, id, 2, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_works_while_its_copy_goes_ahead),
        cmocka_unit_test(only_changed_blocks_go_in_the_end),
        cmocka_unit_test(what_is_small_or_not_wanted_is_not_copied),
        cmocka_unit_test(copy_of_an_instance_before_is_not_used),
        cmocka_unit_test(move_can_be_called_off_while_it_copies),
        cmocka_unit_test(what_crosses_the_copy_leaves_nothing_behind),
        cmocka_unit_test(full_target_takes_the_state_as_a_whole),
        cmocka_unit_test(state_with_a_wrong_checksum_is_refused),
        cmocka_unit_test(many_copies_go_side_by_side),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
