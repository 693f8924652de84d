#include "engine/members.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/spec.h"

enum { NODES = 4 };

struct fixture {
    struct ph_members *members;
    struct ph_directory *directory;
};

/* Who may have children: a bit per slot. */
static void set_owners(struct ph_members *members, unsigned slots)
{
    uint64_t hashes[NODES];
    uint16_t of[NODES];
    uint32_t order[NODES], count = 0;
    for (uint16_t slot = 0; slot < NODES; slot++) {
        if (!(slots >> slot & 1))
            continue;
        hashes[count] = members->list[slot].name_hash;
        of[count++] = slot;
    }
    ph_owners_init(&members->owners, hashes, NULL, count, order);
    for (uint32_t i = 0; i < count; i++)
        members->owner_slot[i] = of[order[i]];
}

static int set_up(void **state)
{
    struct fixture *f = ph_alloc(sizeof *f);
    f->members = ph_alloc(sizeof *f->members + NODES * sizeof f->members->list[0]);
    f->members->count = f->members->in_view = NODES;
    for (unsigned slot = 0; slot < NODES; slot++) {
        struct ph_member_info *info = &f->members->list[slot];
        snprintf(info->name, sizeof info->name, "n%u", slot + 1);
        info->name_hash = ph_name_hash(info->name, strlen(info->name));
        info->in_view = true;
        info->state = PH_MEMBER_UP;
    }
    set_owners(f->members, 0xf);
    f->directory = ph_directory_create(3);
    ph_rcu_enter();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    ph_rcu_exit();
    ph_directory_destroy(f->directory);
    ph_free(f->members);
    ph_free(f);
    return 0;
}

static struct ph_entry *make(struct fixture *f, const char *id)
{
    struct ph_entry *entry = ph_directory_make(f->directory, id, strlen(id));
    assert_non_null(entry);
    return entry;
}

static void place(struct fixture *f, uint16_t member, enum ph_state state)
{
    const struct ph_placed placed = {.state = state, .epoch = member};
    ph_directory_place(f->directory, make(f, "a"), member, &placed, NULL);
}

static uint16_t owner(const struct fixture *f, const char *id, const struct ph_entry *entry)
{
    return ph_members_owner(f->members, ph_name_hash(id, strlen(id)), entry);
}

static void pin_to(struct fixture *f, const char *id, uint64_t node)
{
    struct ph_entry *entry = make(f, id);
    const struct ph_intent intent = {.pinned = {entry->pinned.clock + 1, 1}, .pin = node};
    ph_directory_want(f->directory, entry, &intent, 0);
}

/* ---- Names --------------------------------------------------------------------------------- */

/* A node is found by its whole name. */
static void member_is_found_by_its_whole_name(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ph_members_find(f->members, "n1", 2), 0);
    assert_int_equal(ph_members_find(f->members, "n4xyz", 2), 3);
    assert_int_equal(ph_members_find(f->members, "n", 1), PH_NO_MEMBER);
    assert_int_equal(ph_members_find(f->members, "n11", 3), PH_NO_MEMBER);
    assert_int_equal(ph_members_find(f->members, "", 0), PH_NO_MEMBER);
}

/* ---- Owners -------------------------------------------------------------------------------- */

/* The owner is the first of the rendezvous order, whether or not the child exists; each node has
 * about its share. */
static void owner_is_the_first_of_the_rendezvous_order(void **state)
{
    struct fixture *f = *state;
    unsigned shares[NODES] = {0};
    for (unsigned i = 0; i < 1000; i++) {
        char id[16];
        uint32_t best;
        snprintf(id, sizeof id, "c-%u", i);
        uint16_t slot = owner(f, id, NULL);
        assert_in_range(slot, 0, NODES - 1);
        ph_owners_of(&f->members->owners, ph_name_hash(id, strlen(id)), 1, &best);
        assert_int_equal(f->members->list[slot].name_hash, f->members->owners.nodes[best]);
        assert_int_equal(owner(f, id, make(f, id)), slot);
        shares[slot]++;
    }
    for (unsigned slot = 0; slot < NODES; slot++)
        assert_in_range(shares[slot], 200, 300);
}

/* A node that may have no children gives its share away; nothing else moves. */
static void only_the_share_of_a_draining_node_moves(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 500; i++) {
        char id[16];
        snprintf(id, sizeof id, "c-%u", i);
        set_owners(f->members, 0xf);
        uint16_t before = owner(f, id, NULL);
        set_owners(f->members, 0xf & ~(1u << 2));
        uint16_t after = owner(f, id, NULL);
        assert_int_not_equal(after, 2);
        if (before != 2)
            assert_int_equal(after, before);
    }
}

/* A pin wins over the order, as long as the pinned node may have children. */
static void pin_wins_while_its_node_may_have_children(void **state)
{
    struct fixture *f = *state;
    uint16_t strategy = owner(f, "a", NULL);
    for (uint16_t slot = 0; slot < NODES; slot++) {
        pin_to(f, "a", f->members->list[slot].name_hash);
        assert_int_equal(owner(f, "a", make(f, "a")), slot);
    }
    uint16_t pinned = (uint16_t)((strategy + 1) % NODES);
    pin_to(f, "a", f->members->list[pinned].name_hash);
    set_owners(f->members, 0xfu & ~(1u << pinned));
    assert_int_equal(owner(f, "a", make(f, "a")), strategy);
    pin_to(f, "a", 0x1234567); /* a node that nobody knows */
    assert_int_equal(owner(f, "a", make(f, "a")), strategy);
}

/* Where no node may have children, no child belongs anywhere, pinned or not. */
static void nothing_belongs_anywhere_when_all_drain(void **state)
{
    struct fixture *f = *state;
    set_owners(f->members, 0);
    pin_to(f, "a", f->members->list[1].name_hash);
    assert_int_equal(owner(f, "a", NULL), PH_NO_MEMBER);
    assert_int_equal(owner(f, "a", make(f, "a")), PH_NO_MEMBER);
}

/* ---- What is shown ------------------------------------------------------------------------- */

static void assert_shown(struct fixture *f, int member, enum ph_state expected)
{
    enum ph_state state = PH_STATES;
    const struct ph_placement *shown = ph_entry_shown_rcu(f->members, make(f, "a"), &state);
    assert_int_equal(shown ? shown->member : -1, member);
    assert_int_equal(state, expected);
}

/* A child that runs nowhere yet is starting. */
static void child_without_placement_is_starting(void **state)
{
    assert_shown(*state, -1, PH_STATE_STARTING);
}

/* The one that runs in the view speaks for the child, whatever else there is. */
static void running_instance_speaks_for_the_child(void **state)
{
    struct fixture *f = *state;
    place(f, 1, PH_STATE_MOVING);
    assert_shown(f, 1, PH_STATE_MOVING);
    place(f, 2, PH_STATE_FAILED);
    assert_shown(f, 2, PH_STATE_FAILED);
    place(f, 0, PH_STATE_RUNNING);
    assert_shown(f, 0, PH_STATE_RUNNING);
    place(f, 3, PH_STATE_STARTING);
    assert_shown(f, 0, PH_STATE_RUNNING);
    f->members->list[0].in_view = false;
    place(f, 3, PH_STATE_RUNNING);
    assert_shown(f, 3, PH_STATE_RUNNING);
}

/* What ran on a node outside the view is unknown; anything in the view says more. */
static void lost_instance_is_unknown(void **state)
{
    struct fixture *f = *state;
    f->members->list[1].in_view = false;
    place(f, 1, PH_STATE_RUNNING);
    assert_shown(f, 1, PH_STATE_UNKNOWN);
    place(f, 2, PH_STATE_MOVING);
    assert_shown(f, 2, PH_STATE_MOVING);
}

/* A placement of a slot that the reader's list has not got yet counts as lost. */
static void slot_beyond_the_list_is_unknown(void **state)
{
    struct fixture *f = *state;
    place(f, NODES, PH_STATE_RUNNING);
    assert_shown(f, NODES, PH_STATE_UNKNOWN);
}

#define MEMBERS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEMBERS_TEST(member_is_found_by_its_whole_name),
        MEMBERS_TEST(owner_is_the_first_of_the_rendezvous_order),
        MEMBERS_TEST(only_the_share_of_a_draining_node_moves),
        MEMBERS_TEST(pin_wins_while_its_node_may_have_children),
        MEMBERS_TEST(nothing_belongs_anywhere_when_all_drain),
        MEMBERS_TEST(child_without_placement_is_starting),
        MEMBERS_TEST(running_instance_speaks_for_the_child),
        MEMBERS_TEST(lost_instance_is_unknown),
        MEMBERS_TEST(slot_beyond_the_list_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
