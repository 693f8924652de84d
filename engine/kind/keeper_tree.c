#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/kind/keeper.h"

enum {
    SWEEP_ROUNDS = 16,       /* of one sweep: a tree may fork while it is being killed */
    TREE_DEADLINE_MS = 5000, /* then an ended tree is reported although something survives */
    LAST_DEADLINE_MS = 5000, /* the same when the keeper ends */
    DESCENDANTS_MAX = 65536,
    COLLECT_MAX = 4096, /* then the socket has its turn, however fast a tree forks and ends */
};

/* ---- Tables ---------------------------------------------------------------------------------- */

static struct ph_known **bucket_of(struct ph_keeper *keeper, pid_t pid)
{
    return &keeper->buckets[(uint32_t)pid % PH_KEEPER_PID_BUCKETS];
}

static struct ph_known *find_known(struct ph_keeper *keeper, pid_t pid)
{
    struct ph_known *known = *bucket_of(keeper, pid);
    while (known && known->pid != pid)
        known = known->next_in_bucket;
    return known;
}

static void link_stray(struct ph_known *known, struct ph_kept *kept)
{
    known->kept = kept;
    known->next = kept->strays;
    known->link = &kept->strays;
    if (known->next)
        known->next->link = &known->next;
    kept->strays = known;
}

static void unlink_stray(struct ph_known *known)
{
    if (known->link) {
        *known->link = known->next;
        if (known->next)
            known->next->link = known->link;
    }
    known->link = NULL;
    known->kept = NULL;
}

static struct ph_known *add_known(struct ph_keeper *keeper, pid_t pid)
{
    struct ph_known **bucket = bucket_of(keeper, pid);
    struct ph_known *known = ph_alloc(sizeof *known);
    known->pid = pid;
    known->next_in_bucket = *bucket;
    *bucket = known;
    return known;
}

static void forget_known(struct ph_keeper *keeper, struct ph_known *known)
{
    struct ph_known **at = bucket_of(keeper, known->pid);
    while (*at != known)
        at = &(*at)->next_in_bucket;
    *at = known->next_in_bucket;
    unlink_stray(known);
    ph_free(known);
}

struct ph_kept *ph_kept_find(const struct ph_keeper *keeper, uint64_t mark)
{
    uint32_t slot = ph_keeper_mark_slot(mark);
    struct ph_kept *kept = slot < keeper->slot_count ? keeper->slots[slot] : NULL;
    return kept && kept->mark == mark ? kept : NULL;
}

static void grow_slots(struct ph_keeper *keeper, uint32_t slot)
{
    size_t count = keeper->slot_count ? keeper->slot_count : 64;
    while (count <= slot)
        count *= 2;
    keeper->slots = ph_realloc(keeper->slots, count * sizeof(struct ph_kept *));
    for (size_t i = keeper->slot_count; i < count; i++)
        keeper->slots[i] = NULL;
    keeper->slot_count = count;
}

struct ph_kept *ph_kept_add(struct ph_keeper *keeper, uint64_t mark, pid_t pid)
{
    uint32_t slot = ph_keeper_mark_slot(mark);
    if (slot >= keeper->slot_count)
        grow_slots(keeper, slot);
    struct ph_kept *kept = ph_alloc(sizeof *kept);
    kept->mark = mark;
    kept->pid = pid;
    keeper->slots[slot] = kept;
    struct ph_known *known = add_known(keeper, pid);
    known->main = true;
    known->kept = kept;
    return kept;
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void begin_end(struct ph_keeper *keeper, struct ph_kept *kept, const siginfo_t *info)
{
    kept->ending = true;
    kept->ended_ms = ph_keeper_now_ms();
    kept->end = (struct ph_keeper_report){
        .type = PH_KEEPER_ENDED,
        .pid = kept->pid,
        .mark = kept->mark,
        .how = info->si_code == CLD_EXITED   ? PH_ENDED_CODE
               : info->si_code == CLD_DUMPED ? PH_ENDED_CORE
                                             : PH_ENDED_SIGNAL,
        .value = info->si_status,
        .lease_over = kept->lease_over,
    };
    kept->next = keeper->ending;
    kept->link = &keeper->ending;
    if (kept->next)
        kept->next->link = &kept->next;
    keeper->ending = kept;
}

static void finish_end(struct ph_keeper *keeper, struct ph_kept *kept)
{
    while (kept->strays) {
        kept->end.survivors++;
        unlink_stray(kept->strays);
    }
    *kept->link = kept->next;
    if (kept->next)
        kept->next->link = kept->link;
    keeper->slots[ph_keeper_mark_slot(kept->mark)] = NULL;
    ph_keeper_report(keeper, &kept->end);
    ph_free(kept);
}

static void reap(struct ph_keeper *keeper, const siginfo_t *info)
{
    struct ph_known *known = find_known(keeper, info->si_pid);
    if (known && known->main) {
        /* The zombie still holds its number, so the group can be no one else's. */
        kill(-info->si_pid, SIGKILL);
        begin_end(keeper, known->kept, info);
        known->kept = NULL;
    }
    if (known)
        forget_known(keeper, known);
    siginfo_t ignored;
    waitid(P_PID, (id_t)info->si_pid, &ignored, WEXITED | WNOHANG);
    keeper->reaped++;
}

/* Signals coalesce: one SIGCHLD may stand for a thousand ends. */
void ph_keeper_collect(struct ph_keeper *keeper)
{
    keeper->collect_due = true;
    for (int i = 0; i < COLLECT_MAX; i++) {
        siginfo_t info = {0};
        int rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc < 0 || info.si_pid == 0) {
            keeper->collect_due = false;
            return;
        }
        reap(keeper, &info);
        keeper->sweep_due = true; /* what it left behind is ours now */
    }
}

/* ---- Trees ----------------------------------------------------------------------------------- */

static struct ph_kept *find_session(struct ph_keeper *keeper, pid_t session)
{
    struct ph_known *known = session > 0 ? find_known(keeper, session) : NULL;
    if (known && known->main)
        return known->kept;
    for (struct ph_kept *kept = keeper->ending; kept; kept = kept->next) {
        if (kept->pid == session)
            return kept;
    }
    return NULL;
}

/* Puts a new direct child under the program it came from. A tree that has been reported already may
 * still send someone: that one is killed at once. */
static void attribute(struct ph_keeper *keeper, pid_t pid)
{
    uint64_t mark = ph_proctree_mark(pid, keeper->salt);
    struct ph_kept *kept = mark ? ph_kept_find(keeper, mark) : find_session(keeper, getsid(pid));
    struct ph_known *known = add_known(keeper, pid);
    if (kept)
        link_stray(known, kept);
    if (mark && !kept && kill(pid, SIGKILL) == 0)
        keeper->strays_killed++;
}

/* Returns how many are new. */
static size_t discover(struct ph_keeper *keeper)
{
    size_t found = 0;
    keeper->children.count = 0;
    ph_proctree_children(keeper->self, &keeper->children);
    for (size_t i = 0; i < keeper->children.count; i++) {
        if (find_known(keeper, keeper->children.pid[i]))
            continue;
        attribute(keeper, keeper->children.pid[i]);
        found++;
    }
    return found;
}

/* Kills those below `top` who bear no mark and left its session, while their ancestors still show
 * whose they are. Those with a mark or in the session are found afterwards in any case. */
static void kill_unmarked(struct ph_keeper *keeper, pid_t top)
{
    struct ph_pids below = {0};
    pid_t session = getsid(top);
    ph_proctree_children(top, &below);
    for (size_t i = 0; i < below.count && below.count < DESCENDANTS_MAX; i++) {
        pid_t pid = below.pid[i];
        ph_proctree_children(pid, &below);
        if (getsid(pid) != session && !ph_proctree_mark(pid, keeper->salt) &&
            kill(pid, SIGKILL) == 0)
            keeper->strays_killed++;
    }
    ph_pids_fini(&below);
}

static void kill_stray(struct ph_keeper *keeper, struct ph_known *stray)
{
    if (!stray->killed)
        kill_unmarked(keeper, stray->pid);
    pid_t group = getpgid(stray->pid);
    /* Its group was made inside its tree. As one call it also gets those who are forking. */
    if (group > 1 && group != keeper->self)
        kill(-group, SIGKILL);
    if (kill(stray->pid, SIGKILL) < 0 && errno == EPERM) {
        stray->kept->end.survivors++;
        unlink_stray(stray);
        return;
    }
    if (!stray->killed) {
        stray->kept->end.leftovers++;
        keeper->strays_killed++;
    }
    stray->killed = true;
}

static void kill_strays(struct ph_keeper *keeper, struct ph_kept *kept)
{
    struct ph_known *stray = kept->strays;
    while (stray) {
        struct ph_known *next = stray->next;
        kill_stray(keeper, stray);
        stray = next;
    }
}

static void sweep_once(struct ph_keeper *keeper)
{
    struct ph_kept *kept = keeper->ending;
    uint64_t now_ms = ph_keeper_now_ms();
    while (kept) {
        struct ph_kept *next = kept->next;
        kill_strays(keeper, kept);
        if (!kept->strays || now_ms - kept->ended_ms > TREE_DEADLINE_MS)
            finish_end(keeper, kept);
        kept = next;
    }
}

/* One look at the keeper's children serves all trees that ended since the last one. */
void ph_keeper_sweep(struct ph_keeper *keeper)
{
    keeper->sweep_due = false;
    for (int round = 0; round < SWEEP_ROUNDS && keeper->ending; round++) {
        size_t found = discover(keeper);
        sweep_once(keeper);
        if (found == 0)
            return;
        ph_keeper_collect(keeper);
    }
}

void ph_kept_kill(struct ph_keeper *keeper, struct ph_kept *kept)
{
    if (kept->ending)
        return;
    kill_unmarked(keeper, kept->pid);
    kill(-kept->pid, SIGKILL);
    kill(kept->pid, SIGKILL);
}

static void kill_children(struct ph_keeper *keeper)
{
    keeper->children.count = 0;
    ph_proctree_children(keeper->self, &keeper->children);
    for (size_t i = 0; i < keeper->children.count; i++) {
        pid_t group = getpgid(keeper->children.pid[i]);
        if (group > 1 && group != keeper->self)
            kill(-group, SIGKILL);
        kill(keeper->children.pid[i], SIGKILL);
    }
}

static bool has_children(void)
{
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

void ph_keeper_kill_all(struct ph_keeper *keeper)
{
    uint64_t deadline_ms = ph_keeper_now_ms() + LAST_DEADLINE_MS;
    while (has_children() && ph_keeper_now_ms() < deadline_ms) {
        kill_children(keeper);
        ph_keeper_collect(keeper);
        if (has_children())
            poll(NULL, 0, 1);
    }
}
