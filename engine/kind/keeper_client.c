#include "engine/kind/keeper_client.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/kind/proctree.h"
#include "engine/waiter.h"

enum {
    GRACE_MS = 10000, /* for the keeper to kill all trees at the end */
    REPORTS_PER_TURN = 256,
};

static const struct ph_exit node_has_ended = {
    .how = PH_EXIT_SIGNAL, .value = SIGKILL, .text = "the node has ended"};

static void count_up(atomic_ullong *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static void grow_slots(struct ph_keeper_client *client)
{
    size_t count = client->slot_count ? client->slot_count * 2 : 64;
    client->slots = ph_realloc(client->slots, count * sizeof(struct ph_ward *));
    client->uses = ph_realloc(client->uses, count * sizeof *client->uses);
    client->free_slots = ph_realloc(client->free_slots, count * sizeof *client->free_slots);
    for (size_t i = count; i > client->slot_count; i--) {
        client->slots[i - 1] = NULL;
        client->uses[i - 1] = 0;
        client->free_slots[client->free_count++] = (uint32_t)(i - 1);
    }
    client->slot_count = count;
}

static bool take_slot(struct ph_keeper_client *client, struct ph_ward *ward)
{
    if (client->free_count == 0 && client->slot_count == PH_KEEPER_SLOTS_MAX)
        return false;
    if (client->free_count == 0)
        grow_slots(client);
    uint32_t slot = client->free_slots[--client->free_count];
    uint64_t use = client->uses[slot]++ & ((1u << PH_KEEPER_USE_BITS) - 1);
    client->slots[slot] = ward;
    ward->mark = client->salt << PH_KEEPER_SALT_SHIFT | use << PH_KEEPER_SLOT_BITS | slot;
    return true;
}

static void leave_slot(struct ph_keeper_client *client, struct ph_ward *ward)
{
    uint32_t slot = ph_keeper_mark_slot(ward->mark);
    client->slots[slot] = NULL;
    client->free_slots[client->free_count++] = slot;
    ward->mark = 0;
}

static struct ph_ward *find_ward(const struct ph_keeper_client *client, uint64_t mark)
{
    uint32_t slot = ph_keeper_mark_slot(mark);
    struct ph_ward *ward = slot < client->slot_count ? client->slots[slot] : NULL;
    return ward && ward->mark == mark ? ward : NULL;
}

/* ---- Queue ----------------------------------------------------------------------------------- */

static void enqueue(struct ph_keeper_client *client, struct ph_ward *ward)
{
    ward->next = NULL;
    ward->link = client->last;
    *client->last = ward;
    client->last = &ward->next;
    ward->state = PH_WARD_QUEUED;
}

void ph_ward_dequeue(struct ph_keeper_client *client, struct ph_ward *ward)
{
    *ward->link = ward->next;
    if (ward->next)
        ward->next->link = ward->link;
    else
        client->last = ward->link;
    ward->link = NULL;
}

void ph_ward_end(struct ph_keeper_client *client, struct ph_ward *ward, const struct ph_exit *exit)
{
    if (ward->state == PH_WARD_RUNS)
        ward->calls->before_end(ward);
    if (ward->state == PH_WARD_QUEUED)
        ph_ward_dequeue(client, ward);
    if (ward->state == PH_WARD_SENT)
        client->in_flight--;
    if (ward->state == PH_WARD_RUNS)
        atomic_fetch_sub_explicit(&client->alive, 1, memory_order_relaxed);
    if (client->packed == ward) {
        client->packed = NULL;
        ph_packet_empty(&client->packet);
    }
    leave_slot(client, ward);
    ward->state = PH_WARD_IDLE;
    ward->pid = 0;
    ward->calls->ended(ward, exit);
}

void ph_keeper_queue_end(struct ph_keeper_client *client, const struct ph_exit *exit)
{
    while (client->first)
        ph_ward_end(client, client->first, exit);
}

void ph_ward_start(struct ph_keeper_client *client, struct ph_ward *ward)
{
    ph_assert(ward->state == PH_WARD_IDLE);
    if (client->closed) {
        ward->calls->ended(ward, &node_has_ended);
        return;
    }
    if (take_slot(client, ward)) {
        enqueue(client, ward);
        return;
    }
    struct ph_exit full = {.how = PH_EXIT_EXEC, .value = PH_ELIMIT};
    snprintf(full.text, sizeof full.text, "more than %d processes on one node",
             PH_KEEPER_SLOTS_MAX);
    ward->calls->ended(ward, &full);
}

/* ---- The keeper's death ---------------------------------------------------------------------- */

static void collect_sessions(const struct ph_keeper_client *client, struct ph_pids *sessions)
{
    for (size_t i = 0; i < client->slot_count; i++) {
        if (client->slots[i] && client->slots[i]->state == PH_WARD_RUNS)
            ph_pids_add(sessions, client->slots[i]->pid);
    }
}

static void forget_keeper(struct ph_keeper_client *client)
{
    for (size_t lease = 0; lease < PH_KEEPER_LEASES; lease++)
        client->leases_told[lease] = UINT64_MAX; /* what the next one begins with */
    client->leases_due = true;
    ph_loop_remove(client->loop, &client->source);
    ph_alarm_cancel(&client->hello);
    client->command_first = client->command_count = 0;
    client->keeper_reaped = client->keeper_strays = 0;
    client->greeted = false;
    client->blocked = false;
}

static void end_sent(struct ph_keeper_client *client, const struct ph_exit *exit)
{
    for (size_t i = 0; i < client->slot_count; i++) {
        struct ph_ward *ward = client->slots[i];
        if (ward && (ward->state == PH_WARD_SENT || ward->state == PH_WARD_RUNS))
            ph_ward_end(client, ward, exit);
    }
}

/* Whatever happened to it, it is gone for good before its wards are told so. */
static void lose_keeper(struct ph_keeper_client *client, int grace_ms, const struct ph_exit *exit)
{
    struct ph_pids sessions = {0};
    bool greeted = client->greeted;
    forget_keeper(client);
    ph_keeper_bury(client, grace_ms);
    collect_sessions(client, &sessions);
    const struct ph_leftovers leftovers = {
        .all = client->sole_parent,
        .salt = client->salt,
        .sessions = sessions.pid,
        .session_count = sessions.count,
    };
    count_up(&client->strays_killed, ph_leftovers_kill(&leftovers));
    ph_pids_fini(&sessions);
    end_sent(client, exit);
    if (!greeted)
        ph_keeper_queue_end(client, exit); /* it would not fare better with the next one */
}

static void keeper_died(struct ph_keeper_client *client)
{
    struct ph_exit exit = {
        .how = PH_EXIT_FAILED, .value = PH_EFAILED, .text = "prochub-keeper died"};
    if (!client->greeted)
        ph_exec_failure(&exit, PH_EABI, "'%.120s' is not the prochub-keeper of this version",
                        client->started);
    lose_keeper(client, 0, &exit);
}

static void no_hello(struct ph_alarm *alarm)
{
    keeper_died(ph_container_of(alarm, struct ph_keeper_client, hello));
}

/* ---- Reports --------------------------------------------------------------------------------- */

static void translate_end(const struct ph_keeper_report *report, struct ph_exit *exit)
{
    *exit = (struct ph_exit){
        .how = report->how == PH_ENDED_CODE ? PH_EXIT_CODE : PH_EXIT_SIGNAL,
        .value = report->value,
        .core = report->how == PH_ENDED_CORE,
    };
    if (report->survivors)
        snprintf(exit->text, sizeof exit->text, "%" PRIu32 " leftover processes cannot be killed",
                 report->survivors);
    else if (report->lease_over && exit->how == PH_EXIT_SIGNAL)
        snprintf(exit->text, sizeof exit->text, "its node's lease ran out");
    else if (report->leftovers)
        snprintf(exit->text, sizeof exit->text, "%" PRIu32 " leftover process%s killed",
                 report->leftovers, report->leftovers == 1 ? "" : "es");
}

static void take_spawned(struct ph_keeper_client *client, struct ph_ward *ward, pid_t pid)
{
    if (ward->state != PH_WARD_SENT)
        return;
    ward->state = PH_WARD_RUNS;
    ward->pid = pid;
    client->in_flight--;
    count_up(&client->spawned, 1);
    count_up(&client->alive, 1);
    ward->calls->spawned(ward);
}

static void take_totals(struct ph_keeper_client *client, const struct ph_keeper_report *report)
{
    if (report->reaped < client->keeper_reaped || report->strays_killed < client->keeper_strays)
        return;
    count_up(&client->reaped, report->reaped - client->keeper_reaped);
    count_up(&client->strays_killed, report->strays_killed - client->keeper_strays);
    client->keeper_reaped = report->reaped;
    client->keeper_strays = report->strays_killed;
}

static void take_ward_report(struct ph_keeper_client *client, const struct ph_keeper_report *report)
{
    struct ph_ward *ward = find_ward(client, report->mark);
    struct ph_exit exit = {0};
    if (!ward || ward->state == PH_WARD_QUEUED)
        return;
    switch ((enum ph_keeper_report_type)report->type) {
    case PH_KEEPER_HELLO:
        return;
    case PH_KEEPER_SPAWNED:
        take_spawned(client, ward, report->pid);
        return;
    case PH_KEEPER_SPAWN_FAILED:
        ward->calls->explain(ward, report->stage < PH_STAGES ? report->stage : PH_STAGE_NONE,
                             report->value, &exit);
        break;
    case PH_KEEPER_ENDED:
        translate_end(report, &exit);
        break;
    default:
        return;
    }
    ph_ward_end(client, ward, &exit);
}

/* False: this is not our keeper. */
static bool take_report(struct ph_keeper_client *client, const struct ph_keeper_report *report)
{
    if (client->greeted) {
        take_totals(client, report);
        take_ward_report(client, report);
        return true;
    }
    client->greeted = report->type == PH_KEEPER_HELLO && report->value == PH_KEEPER_VERSION;
    if (client->greeted)
        ph_alarm_cancel(&client->hello);
    return client->greeted;
}

static void read_reports(struct ph_keeper_client *client)
{
    for (int i = 0; i < REPORTS_PER_TURN; i++) {
        struct ph_keeper_report report;
        ssize_t got = recv(client->source.fd, &report, sizeof report, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got != (ssize_t)sizeof report || !take_report(client, &report)) {
            keeper_died(client);
            return;
        }
    }
}

static void source_ready(struct ph_source *source, uint32_t events)
{
    struct ph_keeper_client *client = ph_container_of(source, struct ph_keeper_client, source);
    if (events & EPOLLOUT) {
        client->blocked = false;
        ph_loop_modify(client->loop, source, EPOLLIN);
    }
    if (events & ~(uint32_t)EPOLLOUT)
        read_reports(client);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void ph_keeper_client_init(struct ph_keeper_client *client, struct ph_loop *loop, const char *path,
                           bool sole_parent)
{
    *client = (struct ph_keeper_client){
        .loop = loop,
        .source = {.fd = -1, .ready = source_ready},
        .hello = {.ring = no_hello},
        .pidfd = -1,
        .sole_parent = sole_parent,
    };
    client->last = &client->first;
    for (size_t lease = 0; lease < PH_KEEPER_LEASES; lease++)
        client->leases[lease] = client->leases_told[lease] = UINT64_MAX;
    if (path)
        snprintf(client->path, sizeof client->path, "%s", path);
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint32_t)getpid() * 2654435761u;
    client->salt = 1 + random % 0x7ffffe; /* 23 bits, not 0 */
    ph_packet_init(&client->packet);
}

void ph_keeper_client_fini(struct ph_keeper_client *client)
{
    client->closed = true;
    ph_keeper_queue_end(client, &node_has_ended);
    if (client->source.fd >= 0)
        lose_keeper(client, GRACE_MS, &node_has_ended);
    ph_packet_fini(&client->packet);
    ph_free(client->slots);
    ph_free(client->uses);
    ph_free(client->free_slots);
    ph_free(client->commands);
}
