/* Who should form this side. See cluster_decide.h. */
#include "engine/cluster_decide.h"

#include <string.h>

#include "engine/base.h"

enum {
    NOTICED_BEATS = 4, /* after so many all have noticed who is silent, or back */
    AWAKE_BEATS = 2,   /* who was paused for so long hears the others again after as many */
};

/* The nodes of the matrix, in the order of their hashes. */
struct nodes {
    uint32_t count, self;
    uint64_t hashes[PH_VIEW_MAX];
    const struct ph_member *members[PH_VIEW_MAX]; /* NULL: known by hearsay only */
};

/* ---- The matrix ---------------------------------------------------------------------------- */

/* Its beats come: its row counts. */
static bool has_row(const struct ph_cluster *cluster, const struct ph_member *member,
                    uint64_t now_ms)
{
    return member->greeted && !member->gone && member->beat_heard_ms &&
           now_ms - member->heard_ms < ph_cluster_suspect_ms(cluster);
}

bool ph_member_lists(const struct ph_member *member, uint64_t hash)
{
    for (uint32_t i = 0; i < member->hears_count; i++)
        if (member->hears[i] == hash)
            return true;
    return false;
}

static void add_node(struct nodes *nodes, uint64_t hash, const struct ph_member *member)
{
    for (uint32_t i = 0; i < nodes->count; i++)
        if (nodes->hashes[i] == hash)
            return;
    if (nodes->count == PH_VIEW_MAX)
        return;
    nodes->hashes[nodes->count] = hash;
    nodes->members[nodes->count++] = member;
}

/* Gone a moment ago: others who have not noticed do not bring it back. */
static bool is_surely_gone(const struct ph_cluster *cluster, const struct ph_member *member,
                           uint64_t now_ms)
{
    return member->gone && now_ms - member->gone_ms < cluster->dead_after_ms;
}

static void add_hearsay(struct ph_cluster *cluster, const struct ph_member *member, uint64_t now_ms,
                        struct nodes *nodes)
{
    for (uint32_t i = 0; i < member->hears_count; i++) {
        const struct ph_member *known = ph_member_by_hash(cluster, member->hears[i]);
        if (!known || !is_surely_gone(cluster, known, now_ms))
            add_node(nodes, member->hears[i], known);
    }
}

static void sort_nodes(struct nodes *nodes)
{
    for (uint32_t i = 1; i < nodes->count; i++) {
        uint64_t hash = nodes->hashes[i];
        const struct ph_member *member = nodes->members[i];
        uint32_t at = i;
        for (; at > 0 && nodes->hashes[at - 1] > hash; at--) {
            nodes->hashes[at] = nodes->hashes[at - 1];
            nodes->members[at] = nodes->members[at - 1];
        }
        nodes->hashes[at] = hash;
        nodes->members[at] = member;
    }
}

static void gather_nodes(struct ph_cluster *cluster, uint64_t now_ms, struct nodes *nodes)
{
    const struct ph_member *self = cluster->members[0];
    nodes->count = 0;
    add_node(nodes, self->info.name_hash, self);
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (ph_member_is_heard(cluster, cluster->members[slot], now_ms))
            add_node(nodes, cluster->members[slot]->info.name_hash, cluster->members[slot]);
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        if (has_row(cluster, cluster->members[slot], now_ms))
            add_hearsay(cluster, cluster->members[slot], now_ms, nodes);
    sort_nodes(nodes);
    for (nodes->self = 0; nodes->members[nodes->self] != self;)
        nodes->self++;
}

/* Does node a hear node b, as far as we know? Whose row we have not got is believed to hear those
 * that hear it. */
static bool hears(const struct ph_cluster *cluster, const struct nodes *nodes, uint32_t a,
                  uint32_t b, uint64_t now_ms)
{
    const struct ph_member *from = nodes->members[a], *to = nodes->members[b];
    if (from && from->info.self)
        return to && ph_member_is_heard(cluster, to, now_ms);
    if (from && has_row(cluster, from, now_ms))
        return ph_member_lists(from, nodes->hashes[b]);
    if (to && to->info.self)
        return from && ph_member_is_heard(cluster, from, now_ms);
    return to && has_row(cluster, to, now_ms) && ph_member_lists(to, nodes->hashes[a]);
}

/* Fills the matrix; true when every two nodes are linked. */
static bool fill_matrix(const struct ph_cluster *cluster, const struct nodes *nodes,
                        uint64_t now_ms, struct ph_view_matrix *matrix)
{
    bool complete = true;
    memset(matrix, 0, sizeof *matrix);
    matrix->count = nodes->count;
    for (uint32_t a = 0; a < nodes->count; a++) {
        for (uint32_t b = 0; b < nodes->count; b++) {
            if (a == b)
                continue;
            if (hears(cluster, nodes, a, b, now_ms))
                ph_view_add(&matrix->hears[a], b);
            else
                complete = false;
        }
    }
    return complete;
}

/* ---- The decision -------------------------------------------------------------------------- */

static uint64_t pause_ms(const struct ph_cluster *cluster)
{
    return AWAKE_BEATS * cluster->heartbeat_ms;
}

/* A node that did not run (it was stopped, its machine slept or had no processor for it) heard
 * nobody meanwhile, which says nothing of the others: what they sent is yet to be read. */
void ph_cluster_note_pause(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool paused = cluster->reviewed_ms && hub->now_ms - cluster->reviewed_ms >= pause_ms(cluster);
    bool again = cluster->awake_ms && hub->now_ms - cluster->awake_ms < cluster->dead_after_ms;
    if (paused && !again) /* who never runs for long has to decide at some time */
        cluster->awake_ms = hub->now_ms;
    cluster->reviewed_ms = hub->now_ms;
}

static void decide_again(struct ph_cluster *cluster, uint64_t when_ms)
{
    if (when_ms < cluster->decide_ms)
        cluster->decide_ms = when_ms;
}

/* A member of the view that is silent, but not long enough to be dead: nothing is decided until it
 * is one or the other, so that those that vanish together are one change. */
static bool anyone_suspect(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t awake_ms = cluster->awake_ms ? cluster->awake_ms + pause_ms(cluster) : 0;
    bool suspect = false;
    for (uint16_t slot = 1; slot < cluster->count; slot++) {
        const struct ph_member *member = cluster->members[slot];
        if (!member->info.in_view || member->gone ||
            ph_member_is_heard(cluster, member, hub->now_ms))
            continue;
        uint64_t dead_ms = member->heard_ms + cluster->dead_after_ms;
        uint64_t deaf_ms = ph_member_deaf_ms(cluster, member);
        dead_ms = deaf_ms < dead_ms ? deaf_ms : dead_ms;
        dead_ms = dead_ms < awake_ms ? awake_ms : dead_ms;
        if (hub->now_ms < dead_ms) {
            suspect = true;
            decide_again(cluster, dead_ms);
        }
    }
    return suspect;
}

/* For some time those of the view are preferred: not all may have noticed yet who is silent, or
 * back. If it lasts, all decide by the matrix alone, and agree; so does who is alone. */
static void prefer_present(struct ph_hub *hub, const struct nodes *nodes,
                           struct ph_view_matrix *matrix)
{
    struct ph_cluster *cluster = hub->cluster;
    uint64_t until_ms = cluster->matrix_since_ms + NOTICED_BEATS * cluster->heartbeat_ms;
    if (hub->now_ms >= until_ms || cluster->in_view < 2)
        return;
    decide_again(cluster, until_ms);
    for (uint32_t i = 0; i < nodes->count; i++)
        if (nodes->members[i] && nodes->members[i]->info.in_view)
            ph_view_add(&matrix->preferred, i);
}

bool ph_cluster_decide(struct ph_hub *hub, bool *keep)
{
    struct ph_cluster *cluster = hub->cluster;
    struct nodes nodes;
    struct ph_view_matrix matrix;
    struct ph_view_set view = {{0}};
    if (anyone_suspect(hub))
        return false;
    gather_nodes(cluster, hub->now_ms, &nodes);
    bool complete = fill_matrix(cluster, &nodes, hub->now_ms, &matrix);
    uint64_t settled_ms = cluster->matrix_since_ms + cluster->heartbeat_ms;
    cluster->undecided = !complete && hub->now_ms < settled_ms;
    if (!complete && hub->now_ms < settled_ms) {
        decide_again(cluster, settled_ms);
        return false;
    }
    if (!complete)
        prefer_present(hub, &nodes, &matrix);
    bool excluded = ph_view_compute(&matrix, nodes.self, &view);
    if (excluded && !cluster->excluded)
        cluster->excluded_ms = hub->now_ms;
    cluster->excluded = excluded;
    memset(keep, 0, PH_MEMBERS_MAX * sizeof *keep);
    for (uint32_t i = 0; i < nodes.count; i++)
        if (ph_view_has(&view, i) && nodes.members[i])
            keep[nodes.members[i]->slot] = true;
    return true;
}
