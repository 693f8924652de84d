/* What a node sends to a child is handled in that order, and once, wherever the child is. */
#include "tests/lib/fakecluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/op.h"

static int set_up(void **state)
{
    *state = fc_create_settled(3, "migration=hot");
    return 0;
}

static int tear_down(void **state)
{
    fc_destroy(*state);
    return 0;
}

/* Every message of that sender ("nK NUMBER", from 1) was heard once, and in order, wherever the
 * child was. */
static void assert_in_order(const struct fake_cluster *c, unsigned sender, unsigned count)
{
    unsigned next = 1;
    for (uint64_t order = 1; order <= c->hearings; order++)
        for (unsigned node = 0; node < FC_NODES; node++)
            for (size_t i = 0; c->nodes[node] && i < c->nodes[node]->heard_count; i++) {
                unsigned from, number;
                const struct fc_message *message = &c->nodes[node]->heard[i];
                if (message->order == order &&
                    sscanf(message->text, "n%u %u", &from, &number) == 2 && from == sender)
                    assert_int_equal(number, next++);
            }
    assert_int_equal(next, count + 1);
}

static void send_numbered(struct fake_cluster *c, const char *id, unsigned number)
{
    char text[32];
    for (unsigned node = 0; node < 3; node++) {
        snprintf(text, sizeof text, "n%u %u", node + 1, number);
        fc_send(c, node, id, text);
    }
}

static void move_under_traffic(struct fake_cluster *c, const char *id, unsigned moves)
{
    unsigned number = 0;
    for (unsigned move = 0; move < moves; move++) {
        char to[4];
        snprintf(to, sizeof to, "n%u", (move * 7 + 1) % 3 + 1);
        fc_pin(c, move % 3, id, to);
        for (unsigned i = 0; i < 15; i++) {
            send_numbered(c, id, ++number);
            fc_run(c, 1);
        }
    }
    fc_settle(c);
    for (unsigned sender = 1; sender <= 3; sender++)
        assert_in_order(c, sender, number);
    fc_assert_at_rest(c);
}

/* What a node sends to a child is handled in that order and once, while the child moves back and
 * forth, hot or cold. */
static void messages_of_each_node_keep_their_order(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    move_under_traffic(c, fc_start_one(c, id), 40);
    struct fake_cluster *cold = fc_create_settled(3, "");
    move_under_traffic(cold, fc_start_one(cold, id), 40);
    fc_destroy(cold);
}

/* Also where one way is much slower than the other: the fast letters wait for the slow ones. */
static void slow_links_do_not_change_the_order(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    c->pipes[0][2].late_ms = 40;
    c->pipes[1][0].late_ms = 25;
    move_under_traffic(c, fc_start_one(c, id), 30);
}

static bool detour_is_closed(struct fake_cluster *c, unsigned node, const char *id)
{
    struct ph_child *child =
        ph_registry_find_rcu(c->nodes[node]->fake.hub.registry, id, strlen(id));
    return (uint32_t)atomic_load(&child->detour);
}

/* A node's own messages do not overtake those that it sent while the child was elsewhere. */
static void own_messages_wait_for_those_on_their_way(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    fc_settle(c);
    c->pipes[0][2].late_ms = 200;
    fc_send(c, 0, id, "n1 1"); /* on its way for long */
    fc_run(c, 1);
    fc_pin(c, 2, id, "n2");
    fc_run_until_at(c, id, 1);
    fc_pin(c, 1, id, "n1");
    fc_run_until_at(c, id, 0);
    assert_true(detour_is_closed(c, 0, id));
    fc_send(c, 0, id, "n1 2");
    fc_settle(c);
    fc_run(c, 500);
    assert_in_order(c, 1, 2);
    assert_false(detour_is_closed(c, 0, id));
}

/* A message that n2 sends to the child is lost with the session; the next one is heard. */
static void lose_one(struct fake_cluster *c, const char *id)
{
    unsigned at = (unsigned)fc_where(c, id);
    fc_cut(c, 1, at);
    fc_send(c, 1, id, "lost");
    fc_run(c, 10);
    fc_break(c, 1, at); /* with the message on its way */
    fc_heal(c);
    fc_run(c, 500);
    fc_send(c, 1, id, "later");
    fc_run(c, 100);
    assert_int_equal(fc_heard(c, id, "lost"), 0);
    assert_int_equal(fc_heard(c, id, "later"), 1);
}

/* What was lost with a node is not waited for for ever: later messages of the same sender come. */
static void lost_messages_do_not_hold_up_later_ones(void **state)
{
    char id[16];
    lose_one(*state, fc_start_one(*state, id));
}

/* Nor where the child has moved to, which has not heard of the stream that began with it. */
static void lost_messages_are_not_waited_for_after_a_move(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    fc_settle(c);
    lose_one(c, id);
}

/* Two sides have sent to a child of their own each: when they have met again, what is sent to the
 * one that stays does not wait for what the other one has got. */
static void messages_flow_at_once_after_a_heal(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    for (unsigned i = 0; i < 3; i++)
        fc_send(c, 1, id, "before");
    fc_run(c, 10);
    fc_split(c, 1u << 0); /* n1 alone */
    fc_run(c, 8000);
    for (unsigned i = 0; i < 5; i++)
        fc_send(c, 1, id, "apart");
    fc_run(c, 10);
    assert_int_equal(fc_heard(c, id, "apart"), 5);
    assert_int_equal(fc_wait(c, fake_restart(fc_hub(c, 0), id), 1000), 0); /* so this one stays */
    fc_run(c, 100);
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 0);
    for (unsigned node = 0; node < 3; node++)
        fc_send(c, node, id, "after");
    fc_run(c, 50);
    assert_int_equal(fc_heard(c, id, "after"), 3);
}

/* What a sender has sent since it began anew. */
struct stream {
    uint64_t origin, number;
    uint64_t after; /* the one before; 0: none */
    unsigned sent;  /* letters before its own, one a stream */
};

/* A letter that comes to n1 from n2, with the text "n7 NUMBER": counted over all streams. */
static void inject_letter(struct fake_cluster *c, const char *id, struct stream of, unsigned number)
{
    char text[16];
    int length = snprintf(text, sizeof text, "n7 %u", of.sent + number);
    const struct ph_letter letter = {.origin = of.origin,
                                     .stream = of.number,
                                     .number = number,
                                     .after = of.after,
                                     .after_sent = of.after ? 1 : 0};
    struct ph_text frame = PH_TEXT_INIT;
    ph_frame_start(&fc_hub(c, 1)->hub, &frame, PH_FRAME_MAIL,
                   fc_hub(c, 0)->hub.cluster->generation);
    ph_pack_array(&frame, 1);
    ph_letter_pack_head(&frame, &letter, id, strlen(id));
    ph_pack_uint(&frame, 0);
    ph_pack_bin(&frame, text, (size_t)length);
    fc_inject(c, 1, 0, &frame);
    fc_run(c, 2);
}

static unsigned heard_of_n7(const struct fake_cluster *c, const char *id)
{
    unsigned heard = 0;
    for (unsigned number = 1; number <= 9; number++) {
        char text[16];
        snprintf(text, sizeof text, "n7 %u", number);
        heard += fc_heard(c, id, text);
    }
    return heard;
}

/* A letter that is late although nothing was lost (its link is slow, or full) is waited for, also
 * for longer than a node may be silent; half a minute at most. When a session breaks it may have
 * been lost: then the others wait for no longer than that, unless they come much later. */
static void late_letters_are_waited_for_until_something_is_lost(void **state)
{
    static const struct stream stream = {.origin = 77, .number = 1},
                               next = {.origin = 77, .number = 2};
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    inject_letter(c, id, stream, 1);
    inject_letter(c, id, stream, 3);
    fc_run(c, 10000);
    assert_int_equal(heard_of_n7(c, id), 1);
    inject_letter(c, id, stream, 2);
    assert_in_order(c, 7, 3);
    inject_letter(c, id, stream, 5);
    fc_run(c, 29000);
    assert_int_equal(heard_of_n7(c, id), 3);
    fc_run(c, 2000);
    assert_int_equal(heard_of_n7(c, id), 4);
    inject_letter(c, id, next, 1);
    inject_letter(c, id, next, 3);
    fc_run(c, 5000);
    fc_break(c, 0, 2);
    fc_run(c, 2000);
    assert_int_equal(heard_of_n7(c, id), 5);
    fc_run(c, 2000);
    assert_int_equal(heard_of_n7(c, id), 6);
    fc_run(c, 31000);
    inject_letter(c, id, next, 5);
    fc_run(c, 10000);
    assert_int_equal(heard_of_n7(c, id), 6);
}

/* The same for what a node has sent to a child that has come back to it meanwhile: its own later
 * messages do not overtake that. */
static void own_letters_that_are_late_are_not_overtaken(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    fc_settle(c);
    c->drop[PH_FRAME_MAIL] = 1; /* it comes later */
    fc_send(c, 0, id, "n7 1");
    fc_run(c, 2);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n1"), 5000), 0);
    fc_send(c, 0, id, "n7 2");
    fc_run(c, 10000);
    assert_true(detour_is_closed(c, 0, id));
    assert_int_equal(heard_of_n7(c, id), 0);
    const struct ph_mail *mail =
        ph_directory_find_rcu(c->nodes[0]->directory, id, strlen(id))->mail;
    inject_letter(c, id, (struct stream){.origin = mail->tracks->origin, .number = mail->stream},
                  1);
    assert_in_order(c, 7, 2);
    fc_run(c, 1);
    assert_false(detour_is_closed(c, 0, id));
}

/* Also when it has begun anew since: it comes back to the letters of both streams. */
static void own_letters_of_the_stream_before_are_not_overtaken(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    c->drop[PH_FRAME_MAIL] = 2; /* they come later */
    fc_send(c, 0, id, "n7 1");
    fc_run(c, 10);
    fc_kill(c, 3, false);
    fc_run(c, 20);
    fc_send(c, 0, id, "n7 2");
    fc_run(c, 10);
    assert_int_equal(c->drop[PH_FRAME_MAIL], 0);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n1"), 5000), 0);
    fc_send(c, 0, id, "n7 3");
    fc_run(c, 10);
    const struct ph_mail *mail =
        ph_directory_find_rcu(c->nodes[0]->directory, id, strlen(id))->mail;
    const struct stream before = {.origin = mail->tracks->origin, .number = mail->after},
                        now = {before.origin, mail->stream, .after = mail->after, .sent = 1};
    inject_letter(c, id, now, 1);
    assert_int_equal(heard_of_n7(c, id), 0);
    inject_letter(c, id, before, 1);
    assert_in_order(c, 7, 3);
    fc_settle(c);
    assert_false(detour_is_closed(c, 0, id));
    fc_assert_at_rest(c);
    fc_destroy(c);
}

/* A letter says what was before it, whichever of its stream it is: the first may be late, too. */
static void second_letter_of_the_next_stream_waits_as_well(void **state)
{
    static const struct stream before = {.origin = 77, .number = 1},
                               now = {.origin = 77, .number = 2, .after = 1, .sent = 1};
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n1"), 5000), 0);
    inject_letter(c, id, now, 2);
    inject_letter(c, id, now, 1);
    assert_int_equal(heard_of_n7(c, id), 0);
    inject_letter(c, id, before, 1);
    assert_in_order(c, 7, 3);
}

/* A letter that comes once more, early or late, is not handled again; nor does it hold up others.
 */
static void doubled_letters_are_dropped(void **state)
{
    static const struct stream stream = {.origin = 77, .number = 1};
    struct fake_cluster *c = *state;
    /* Which number is first is learnt from the first that comes. */
    static const unsigned numbers[] = {2, 2, 4, 5, 4, 5, 3, 3, 4, 6};
    char id[16], text[16];
    fc_start_one(c, id);
    for (unsigned i = 0; i < PH_COUNT_OF(numbers); i++)
        inject_letter(c, id, stream, numbers[i]);
    fc_run(c, 10000);
    for (unsigned number = 2; number <= 6; number++) {
        snprintf(text, sizeof text, "n7 %u", number);
        assert_int_equal(fc_heard(c, id, text), 1);
    }
    assert_true(fc_hub(c, 0)->hub.cluster->mail.doubled > 0);
}

/* Where a child was started anew a message that has taken another way is handled when it comes.
 */
static void straggler_is_handled_where_its_child_began_anew(void **state)
{
    static const struct stream stream = {.origin = 77, .number = 1};
    static const unsigned numbers[] = {3, 2, 4, 3};
    struct fake_cluster *c = *state;
    char id[16], text[16];
    fc_start_one(c, id);
    for (unsigned i = 0; i < PH_COUNT_OF(numbers); i++)
        inject_letter(c, id, stream, numbers[i]);
    for (unsigned number = 2; number <= 4; number++) {
        snprintf(text, sizeof text, "n7 %u", number);
        assert_int_equal(fc_heard(c, id, text), 1);
    }
}

/* Also when the child has moved on meanwhile: it is not taken for one that came twice. */
static void straggler_is_handled_where_its_child_moved_to(void **state)
{
    static const struct stream stream = {.origin = 77, .number = 1};
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    inject_letter(c, id, stream, 3);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    inject_letter(c, id, stream, 2);
    inject_letter(c, id, stream, 3);
    fc_run(c, 10);
    assert_int_equal(fc_heard(c, id, "n7 2"), 1);
    assert_int_equal(fc_heard(c, id, "n7 3"), 1);
}

/* Unread calls go with the child and are answered there; those of a move that fails are handled
 * where it stays, once. */
static void unread_calls_are_answered_once(void **state)
{
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    c->nodes[0]->mute = true;
    struct ph_op *call = fc_call(c, 1, id, "a");
    struct ph_op *own = fc_call(c, 0, id, "b");
    fc_run(c, 10);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    assert_int_equal(fc_wait(c, call, 100), 0);
    assert_int_equal(fc_wait(c, own, 100), 0);
    assert_string_equal(ph_op_result(call)->reply, "a of n3");
    assert_int_equal(fc_heard(c, id, "a") + fc_heard(c, id, "b"), 2);
    fc_assert_at_rest(c);
}

/* ---- Streams that begin anew ------------------------------------------------------------------
 */

/* All streams begin anew, because another node has died: n2's second message takes a fast way to
 * where the child has moved to, and waits for the first one, of which nothing is known there. */
static void late_letter_is_not_overtaken_by_the_next_stream(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    c->pipes[1][0].late_ms = 1000;
    fc_send(c, 1, id, "n2 1");
    fc_run(c, 2);
    fc_kill(c, 3, false);
    fc_run(c, 20);
    fc_pin(c, 0, id, "n3");
    fc_run_until_at(c, id, 2);
    fc_run(c, 20); /* n2 has heard of it */
    fc_send(c, 1, id, "n2 2");
    fc_run(c, 100);
    assert_int_equal(fc_heard(c, id, "n2 1") + fc_heard(c, id, "n2 2"), 0);
    fc_run(c, 1000);
    assert_in_order(c, 2, 2);
    fc_settle(c);
    fc_assert_at_rest(c);
    fc_destroy(c);
}

/* The same where the first message was handled before the child moved: its track says so. */
static void next_stream_follows_at_once_what_a_track_speaks_of(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    fc_send(c, 1, id, "n2 1");
    fc_run(c, 10);
    fc_kill(c, 3, false);
    fc_run(c, 20);
    fc_pin(c, 0, id, "n3");
    fc_run_until_at(c, id, 2);
    fc_run(c, 20); /* n2 has heard of it */
    fc_send(c, 1, id, "n2 2");
    fc_run(c, 20);
    assert_in_order(c, 2, 2);
    fc_destroy(c);
}

/* A node has died, and may have had what is missing: it is waited for no longer than for that. */
static void next_stream_waits_not_long_for_what_may_be_lost(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    c->drop[PH_FRAME_MAIL] = 1;
    fc_send(c, 1, id, "n2 0");
    fc_run(c, 10);
    fc_kill(c, 3, false);
    fc_run(c, 20);
    fc_send(c, 1, id, "n2 1");
    fc_run(c, 1000);
    assert_int_equal(fc_heard(c, id, "n2 1"), 0);
    fc_run(c, 4000);
    assert_in_order(c, 2, 1);
    fc_destroy(c);
}

/* The same where the child has a track of the sender, which came with it after that death. */
static void moved_track_waits_not_long_for_what_may_be_lost(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    fc_send(c, 1, id, "n2 1");
    fc_run(c, 10);
    c->drop[PH_FRAME_MAIL] = 1;
    fc_send(c, 1, id, "n2 0");
    fc_run(c, 10);
    fc_kill(c, 3, false);
    fc_run(c, 20);
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n3"), 5000), 0);
    fc_send(c, 1, id, "n2 2");
    fc_run(c, 5000);
    assert_in_order(c, 2, 2);
    fc_destroy(c);
}

/* The link between both sides of the move is full: the source is still shown as running when the
 * target has begun. That is no other instance, and late letters are waited for as ever. */
static void move_over_a_full_link_keeps_the_order(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    c->pipes[1][0].late_ms = 1000;
    fc_send(c, 1, id, "n2 1");
    fc_run(c, 2);
    fc_kill(c, 3, false);
    fc_run(c, 20);
    fc_pin(c, 0, id, "n3");
    fc_run(c, 1);
    c->pipes[0][2].full = true;
    fc_run_until_at(c, id, 2);
    fc_run(c, 20);
    c->pipes[0][2].full = false;
    fc_send(c, 1, id, "n2 2");
    fc_run(c, 1200);
    assert_in_order(c, 2, 2);
    fc_destroy(c);
}

/* Streams begin anew twice while a letter is on its way: the third one does not overtake it. */
static void late_letter_is_not_overtaken_by_the_one_after_the_next(void **state)
{
    static const struct stream first = {.origin = 77, .number = 1},
                               second = {.origin = 77, .number = 2, .after = 1, .sent = 1},
                               third = {.origin = 77, .number = 3, .after = 2, .sent = 2};
    struct fake_cluster *c = *state;
    char id[16];
    fc_start_one(c, id);
    inject_letter(c, id, first, 1);
    inject_letter(c, id, third, 1); /* of a stream of one letter each */
    assert_int_equal(heard_of_n7(c, id), 1);
    inject_letter(c, id, second, 1);
    assert_in_order(c, 7, 3);
}

static void assert_heard_at_once(struct fake_cluster *c, unsigned sender, const char *id)
{
    fc_send(c, sender, id, "moved");
    fc_run(c, 20);
    assert_int_equal(fc_heard(c, id, "moved"), 1);
}

/* The child is moved to n4, and hears at once what is sent to it then. */
static void assert_heard_after_a_move(struct fake_cluster *c, unsigned sender, const char *id)
{
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n4"), 5000), 0);
    assert_int_equal(fc_where(c, id), 3);
    assert_heard_at_once(c, sender, id);
}

/* Nodes are apart for a while: a child runs on n1, which is one of them, and on the other side,
 * where it has messages. Returns who sent them. The one on n1 is younger, and so the one to stay.
 */
static unsigned part(struct fake_cluster *c, const char *id, unsigned side)
{
    enum ph_state shown;
    fc_split(c, side);
    fc_run(c, 8000);
    unsigned sender = fc_listed(c, 1, id, &shown) == 1 ? 2 : 1;
    for (unsigned i = 0; i < 3; i++)
        fc_send(c, sender, id, "apart");
    fc_run(c, 10);
    assert_int_equal(fc_heard(c, id, "apart"), 3);
    assert_int_equal(fc_wait(c, fake_restart(fc_hub(c, 0), id), 1000), 0);
    fc_run(c, 100);
    return sender;
}

/* `saved`: the one that gives way leaves its state to the one that stays. */
static void assert_nothing_waits_after_a_heal(bool saved)
{
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    unsigned sender = part(c, id, 1u << 0);
    for (unsigned node = 1; node < 4; node++)
        c->nodes[node]->busy = !saved;
    fc_heal(c);
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 0);
    assert_heard_after_a_move(c, sender, id);
    fc_destroy(c);
}

/* Messages that went to an instance that gave way after a heal are not waited for by the one that
 * stays, where it moves to then. */
static void child_that_stays_and_is_moved_waits_for_no_message_of_the_other(void **state)
{
    (void)state;
    assert_nothing_waits_after_a_heal(true);
    assert_nothing_waits_after_a_heal(false);
}

static void assert_nothing_waits_after_a_heal_in_a_move(bool saved)
{
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    c->merges = true;
    fc_start_one(c, id);
    unsigned sender = part(c, id, 1u << 0 | 1u << 3);
    c->nodes[1]->busy = c->nodes[2]->busy = !saved;
    c->nodes[3]->slow = true;
    fc_pin(c, 0, id, "n4");
    fc_run(c, 10);
    fc_heal(c);
    for (unsigned i = 0; i < 100 && fc_where(c, id) != 0; i++)
        fc_run(c, 100);
    assert_int_equal(fc_where(c, id), 0);
    assert_int_equal(fc_hub(c, 0)->hub.cluster->merges.joined, saved);
    c->nodes[3]->slow = false;
    fc_settle(c);
    assert_int_equal(fc_where(c, id), 3);
    assert_heard_at_once(c, sender, id);
    fc_destroy(c);
}

/* The same for one that is about to move when the other one is seen. */
static void child_that_moves_meanwhile_waits_for_no_message_of_the_other(void **state)
{
    (void)state;
    assert_nothing_waits_after_a_heal_in_a_move(true);
    assert_nothing_waits_after_a_heal_in_a_move(false);
}

/* A child that was started anew, because its node had died, does not wait for what was handled
 * there; nor where it moves to then. */
static void child_begun_anew_and_moved_waits_for_no_message_of_its_former_life(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(4, "migration=hot");
    char id[16];
    fc_start_one(c, id);
    fc_send(c, 2, id, "before"); /* in a session that will not break */
    assert_int_equal(fc_wait(c, fc_pin(c, 0, id, "n2"), 5000), 0);
    fc_kill(c, 1, false);
    fc_run(c, 5000);
    assert_int_equal(fc_where(c, id), 0);
    assert_heard_after_a_move(c, 2, id);
    fc_destroy(c);
}

/* The target takes what the child has not read, and dies with its answer; its next life knows
 * nothing of it. The source, which has no quorum until then, goes on: without what may have been
 * handled. */
static void unread_messages_of_a_target_that_begins_anew_are_not_read_again(void **state)
{
    (void)state;
    struct fake_cluster *c = fc_create_settled(2, "partition=majority");
    char id[16];
    fc_start_one(c, id);
    c->nodes[0]->mute = true;
    fc_send(c, 0, id, "once");
    fc_run(c, 2);
    c->drop[PH_FRAME_MOVED] = 1;
    fc_pin(c, 0, id, "n2");
    fc_run_until_at(c, id, 1);
    fc_run(c, 5);
    assert_int_equal(fc_heard(c, id, "once"), 1);
    assert_int_equal(c->drop[PH_FRAME_MOVED], 0);
    fc_kill(c, 1, true);
    c->nodes[0]->mute = false;
    fc_run(c, 5000);
    fc_begin(c, 1, "partition=majority");
    fc_link_all(c);
    fc_settle(c);
    assert_int_equal(fc_heard(c, id, "once"), 0); /* that was in the life before */
    fc_assert_at_rest(c);
    fc_destroy(c);
}
/* A node that leaves asks the others for their last letters, and is through when they have
 * answered: at once where there are none. */
static void farewell_is_answered_at_once(void **state)
{
    struct fake_cluster *c = *state;
    assert_int_equal(fc_wait(c, fc_leave(c, 2), 100), 0);
    for (unsigned node = 0; node < 2; node++)
        assert_int_equal(fc_hub(c, node)->hub.cluster->refused_frames, 0);
}

#define ORDER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ORDER_TEST(messages_of_each_node_keep_their_order),
        ORDER_TEST(slow_links_do_not_change_the_order),
        ORDER_TEST(own_messages_wait_for_those_on_their_way),
        ORDER_TEST(lost_messages_do_not_hold_up_later_ones),
        ORDER_TEST(lost_messages_are_not_waited_for_after_a_move),
        ORDER_TEST(messages_flow_at_once_after_a_heal),
        ORDER_TEST(late_letters_are_waited_for_until_something_is_lost),
        ORDER_TEST(own_letters_that_are_late_are_not_overtaken),
        cmocka_unit_test(own_letters_of_the_stream_before_are_not_overtaken),
        ORDER_TEST(second_letter_of_the_next_stream_waits_as_well),
        ORDER_TEST(farewell_is_answered_at_once),
        ORDER_TEST(doubled_letters_are_dropped),
        ORDER_TEST(straggler_is_handled_where_its_child_began_anew),
        ORDER_TEST(straggler_is_handled_where_its_child_moved_to),
        ORDER_TEST(unread_calls_are_answered_once),
        cmocka_unit_test(late_letter_is_not_overtaken_by_the_next_stream),
        cmocka_unit_test(next_stream_follows_at_once_what_a_track_speaks_of),
        cmocka_unit_test(next_stream_waits_not_long_for_what_may_be_lost),
        cmocka_unit_test(moved_track_waits_not_long_for_what_may_be_lost),
        cmocka_unit_test(move_over_a_full_link_keeps_the_order),
        ORDER_TEST(late_letter_is_not_overtaken_by_the_one_after_the_next),
        cmocka_unit_test(child_that_stays_and_is_moved_waits_for_no_message_of_the_other),
        cmocka_unit_test(child_that_moves_meanwhile_waits_for_no_message_of_the_other),
        cmocka_unit_test(child_begun_anew_and_moved_waits_for_no_message_of_its_former_life),
        cmocka_unit_test(unread_messages_of_a_target_that_begins_anew_are_not_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
