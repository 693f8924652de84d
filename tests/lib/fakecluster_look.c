/* What tests of the cluster ask of their nodes, and what they see of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/op.h"
#include "tests/lib/fakecluster.h"

/* ---- Requests ------------------------------------------------------------------------------ */

struct fake_hub *fc_hub(struct fake_cluster *cluster, unsigned node)
{
    assert_non_null(cluster->nodes[node]);
    return &cluster->nodes[node]->fake;
}

struct ph_op *fc_pin(struct fake_cluster *cluster, unsigned node, const char *ids, const char *to)
{
    return fc_pin_mode(cluster, node, ids, to, PH_MOVE_ANY);
}

struct ph_op *fc_pin_mode(struct fake_cluster *cluster, unsigned node, const char *ids,
                          const char *to, enum ph_move_mode mode)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fc_hub(cluster, node), PH_EVENT_PIN, &op);
    event->place.ids = fake_ids(ids);
    snprintf(event->place.node, sizeof event->place.node, "%s", to);
    event->place.mode = mode;
    fc_post_event(&cluster->nodes[node]->fake.hub, event);
    return op;
}

struct ph_op *fc_drain(struct fake_cluster *cluster, unsigned node, const char *of, bool on)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fc_hub(cluster, node), PH_EVENT_DRAIN, &op);
    snprintf(event->place.node, sizeof event->place.node, "%s", of);
    event->place.on = on;
    fc_post_event(&cluster->nodes[node]->fake.hub, event);
    return op;
}

struct ph_op *fc_moves(struct fake_cluster *cluster, unsigned node, enum ph_moves_order order)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fc_hub(cluster, node), PH_EVENT_MOVES, &op);
    event->place.order = order;
    fc_post_event(&cluster->nodes[node]->fake.hub, event);
    return op;
}

struct ph_op *fc_leave(struct fake_cluster *cluster, unsigned node)
{
    struct ph_op *op;
    fc_post_event(&cluster->nodes[node]->fake.hub,
                  fake_event(fc_hub(cluster, node), PH_EVENT_LEAVE, &op));
    return op;
}

struct ph_op *fc_join(struct fake_cluster *cluster, unsigned node)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fc_hub(cluster, node), PH_EVENT_LEAVE, &op);
    event->place.on = true;
    fc_post_event(&cluster->nodes[node]->fake.hub, event);
    return op;
}

struct ph_op *fc_call(struct fake_cluster *cluster, unsigned node, const char *id, const char *text)
{
    struct ph_op *op;
    struct ph_event *event = fake_event(fc_hub(cluster, node), PH_EVENT_SEND, &op);
    event->send.id = ph_copy_text(id, strlen(id));
    event->send.box = ph_message_box_create(PH_MESSAGE_CALL, text, strlen(text));
    event->send.box->op = event->op;
    event->op = NULL;
    fc_post_event(&cluster->nodes[node]->fake.hub, event);
    return op;
}

void fc_send(struct fake_cluster *cluster, unsigned node, const char *id, const char *text)
{
    struct ph_event *event = ph_event_create(PH_EVENT_SEND);
    event->send.id = ph_copy_text(id, strlen(id));
    event->send.box = ph_message_box_create(PH_MESSAGE_CAST, text, strlen(text));
    fc_post_event(&fc_hub(cluster, node)->hub, event);
}

int fc_wait(struct fake_cluster *cluster, struct ph_op *op, uint64_t ms)
{
    for (uint64_t end_ms = cluster->now_ms + ms; fake_code(op) == 1 && cluster->now_ms < end_ms;)
        fc_run(cluster, 1);
    return fake_code(op);
}

const char *fc_failure(struct ph_op *op)
{
    const struct ph_op_result *result = ph_op_result(op);
    return result->failure_count ? result->failures[0].text : "";
}

void fc_start(struct fake_cluster *cluster, unsigned node, const char *ids)
{
    struct ph_op *op = fake_start(fc_hub(cluster, node), ids, "");
    int code = fc_wait(cluster, op, 10000);
    if (code)
        fail_msg("start %s: %d %s %s", ids, code, ph_op_result(op)->text, fc_failure(op));
}

const char *fc_start_one(struct fake_cluster *cluster, char id[16])
{
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, 16, "c-%u", i);
        if (fc_owner(cluster, 0, id) == 0)
            break;
    }
    fc_start(cluster, 0, id);
    fc_settle(cluster);
    assert_int_equal(fc_where(cluster, id), 0);
    return id;
}

/* ---- Looking ------------------------------------------------------------------------------- */

static struct fc_kid *kid_of(const struct fake_cluster *cluster, unsigned node, const char *id)
{
    struct ph_child *child =
        cluster->nodes[node] ? fake_child(&cluster->nodes[node]->fake, id) : NULL;
    return child ? ph_child_tail(child) : NULL;
}

int fc_where(const struct fake_cluster *cluster, const char *id)
{
    int where = FC_NOWHERE;
    for (unsigned node = 0; node < FC_NODES; node++) {
        const struct fc_kid *kid = kid_of(cluster, node, id);
        if (kid && kid->runs)
            where = where == FC_NOWHERE ? (int)node : FC_DOUBLED;
    }
    return where;
}

void fc_run_until_at(struct fake_cluster *cluster, const char *id, int node)
{
    for (unsigned i = 0; i < 150 && fc_where(cluster, id) != node; i++)
        fc_run(cluster, 1);
    assert_int_equal(fc_where(cluster, id), node);
}

const char *fc_state(const struct fake_cluster *cluster, const char *id)
{
    int where = fc_where(cluster, id);
    return where >= 0 ? kid_of(cluster, (unsigned)where, id)->state : "";
}

const struct ph_members *fc_members(const struct fake_cluster *cluster, unsigned node)
{
    return ph_members_rcu(&cluster->nodes[node]->fake.hub);
}

static int index_of(const struct ph_members *members, uint16_t slot)
{
    return slot == PH_NO_MEMBER ? FC_NOWHERE : members->list[slot].name[1] - '1';
}

int fc_listed(const struct fake_cluster *cluster, unsigned node, const char *id,
              enum ph_state *state)
{
    const struct ph_members *members = fc_members(cluster, node);
    const struct ph_entry *entry =
        ph_directory_find_rcu(cluster->nodes[node]->directory, id, strlen(id));
    *state = PH_STATES;
    if (!entry || !ph_entry_spec_rcu(entry))
        return FC_NOWHERE;
    const struct ph_placement *shown = ph_entry_shown_rcu(members, entry, state);
    return shown ? index_of(members, shown->member) : FC_NOWHERE;
}

int fc_owner(const struct fake_cluster *cluster, unsigned node, const char *id)
{
    const struct ph_members *members = fc_members(cluster, node);
    const struct ph_entry *entry =
        ph_directory_find_rcu(cluster->nodes[node]->directory, id, strlen(id));
    return index_of(members, ph_members_owner(members, ph_name_hash(id, strlen(id)), entry));
}

uint64_t fc_local(const struct fake_cluster *cluster, unsigned node)
{
    return cluster->nodes[node]->fake.hub.picture.children;
}

uint64_t fc_starts(const struct fake_cluster *cluster)
{
    uint64_t starts = 0;
    for (unsigned node = 0; node < FC_NODES; node++)
        starts += cluster->nodes[node] ? cluster->nodes[node]->starts : 0;
    return starts;
}

unsigned fc_heard(const struct fake_cluster *cluster, const char *id, const char *text)
{
    unsigned count = 0;
    for (unsigned index = 0; index < FC_NODES; index++) {
        const struct fc_node *node = cluster->nodes[index];
        for (size_t i = 0; node && i < node->heard_count; i++)
            count += strcmp(node->heard[i].id, id) == 0 && strcmp(node->heard[i].text, text) == 0;
    }
    return count;
}

void fc_assert_listed_everywhere(const struct fake_cluster *cluster, const char *words)
{
    struct ph_ids ids = fake_ids(words);
    size_t cursor = 0, length;
    const char *id;
    enum ph_state state;
    while ((id = ph_ids_next(&ids, &cursor, &length))) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)length, id);
        for (unsigned node = 0; node < FC_NODES; node++) {
            if (!cluster->nodes[node])
                continue;
            int listed = fc_listed(cluster, node, name, &state);
            if (listed != fc_where(cluster, name) || listed < 0 || state != PH_STATE_RUNNING)
                fail_msg("%s is at %d, but n%u lists it at %d, state %d", name,
                         fc_where(cluster, name), node + 1, listed, state);
        }
    }
    ph_ids_fini(&ids);
}

/* ---- Settling ------------------------------------------------------------------------------ */

static bool is_settled(const struct fake_cluster *cluster, unsigned set, unsigned nodes)
{
    struct ph_status status;
    for (unsigned index = 0; index < FC_NODES; index++) {
        if (!cluster->nodes[index] || !(set >> index & 1))
            continue;
        ph_hub_picture(&cluster->nodes[index]->fake.hub, &status);
        if (!status.settled || status.nodes != nodes)
            return false;
    }
    return true;
}

bool fc_settle_some(struct fake_cluster *cluster, unsigned set, unsigned nodes, uint64_t ms)
{
    for (uint64_t end_ms = cluster->now_ms + ms; cluster->now_ms < end_ms;) {
        fc_run(cluster, 10);
        if (is_settled(cluster, set, nodes))
            return true;
    }
    return false;
}

void fc_dump(const struct fake_cluster *cluster)
{
    struct ph_status status;
    for (unsigned index = 0; index < FC_NODES; index++) {
        if (!cluster->nodes[index])
            continue;
        const struct fake_hub *fake = &cluster->nodes[index]->fake;
        ph_hub_picture(&fake->hub, &status);
        print_message("n%u: settled %d, %llu nodes, %llu children, %llu here, %llu misplaced\n",
                      index + 1, status.settled, (unsigned long long)status.nodes,
                      (unsigned long long)status.children, (unsigned long long)status.local,
                      (unsigned long long)status.migrating);
        for (size_t i = fake->record_count > 15 ? fake->record_count - 15 : 0;
             i < fake->record_count; i++)
            print_message("  %6llu %s %s %s\n",
                          (unsigned long long)(fake->records[i].now_ms - FC_MS),
                          fake->records[i].type, fake->records[i].id, fake->records[i].text);
    }
}

void fc_settle(struct fake_cluster *cluster)
{
    unsigned living = 0;
    for (unsigned index = 0; index < FC_NODES; index++)
        living += cluster->nodes[index] != NULL;
    if (fc_settle_some(cluster, ~0u, living, 20000))
        return;
    fc_dump(cluster);
    fail_msg("the nodes do not settle");
}

void fc_assert_at_rest(struct fake_cluster *cluster)
{
    for (unsigned node = 0; node < FC_NODES; node++) {
        if (!cluster->nodes[node])
            continue;
        const struct ph_cluster *of = fc_hub(cluster, node)->hub.cluster;
        assert_int_equal(of->moves_in + of->moves_out, 0);
        assert_int_equal(of->moves_saving + of->moves_bytes, 0);
        for (const struct ph_mail *mail = of->mail.mails; mail; mail = mail->next)
            assert_true(!mail->waiting.first && !mail->early && !mail->entry->parting);
    }
}
