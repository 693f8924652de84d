#include "engine/sched.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/limits.h"
#include "engine/rcu.h"
#include "engine/waiter.h"

/* An actor's state: bits. BUSY: in a run queue or running. WOKEN: there is work that its next run
 * will see. DEAD: free it instead of running it. */
enum { ACTOR_BUSY = 1, ACTOR_WOKEN = 2, ACTOR_DEAD = 4 };

enum {
    WORKERS_MAX = 64,
    SPARES_MAX = 256,
    STEAL_BITE = 16,
    SPINS = 300,       /* looks for work before parking: about 10 us */
    WATCH_TICK_MS = 4, /* the watchdog's samples; slow is seen after 10 to 14 ms */
    SLOW_TICKS = (PH_HANDLER_SLOW_MS + WATCH_TICK_MS - 1) / WATCH_TICK_MS,
};

struct worker;

/* A place to run actors: a run queue and the thread that serves it now. A slow thread loses its
 * slot to a spare one; the slot and what waits in it stay. */
struct slot {
    _Alignas(PH_CACHE_LINE) struct ph_queue queue;
    atomic_flag consuming; /* held for one pop or one bite */
    _Atomic(struct worker *) owner;
    enum ph_lane lane;
    uint64_t seen_seq; /* the watchdog's last sample of the owner */
    unsigned seen_ticks;
};

struct worker {
    struct ph_sched *sched;
    struct slot *slot; /* its own thread only */
    pthread_t thread;
    unsigned number;
    _Atomic(struct ph_actor *) running;
    _Atomic uint64_t seq;  /* counts runs; the watchdog compares */
    atomic_bool inspected; /* the watchdog looks at `running`: stay in the run until it is done */
    _Atomic uint64_t parks;
    /* Futex words of this thread alone: while one that lost its slot is still about to sleep on it,
     * the new owner may do so too, and a wake must not find the wrong one. */
    atomic_uint parked; /* 1 while it sleeps, owner of a slot without work */
    atomic_uint hired;  /* of a spare: 1 when it got a slot */
    struct worker *next_spare;
    uint64_t owed; /* system lane's own: user slots to unpark after the run, a bit each */
};

_Static_assert(WORKERS_MAX <= 64, "`owed` has a bit for each user slot");

struct ph_sched {
    unsigned slot_count; /* slot 0 is the system lane */
    struct slot *slots;
    struct worker *workers[WORKERS_MAX + 1 + SPARES_MAX];
    atomic_uint worker_count;
    atomic_bool stopping;
    atomic_uint searching; /* user workers that look for work right now */
    _Atomic uint64_t slow;
    pthread_t watchdog;
    atomic_uint watching; /* futex word: 1 while the watchdog samples */
    pthread_mutex_t spares_lock;
    struct worker *spares; /* parked without a slot */
    unsigned spare_count;
};

static _Thread_local struct worker *current_worker;

static void futex_wait(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int ph_sched_worker(void)
{
    return current_worker ? (int)current_worker->number : -1;
}

void ph_actor_init(struct ph_actor *actor, const struct ph_actor_class *class)
{
    actor->class = class;
    atomic_init(&actor->state, 0);
}

/* ---- Run queues ---------------------------------------------------------------------------- */

static void lock_consumer(struct slot *slot)
{
    for (unsigned spins = 0;
         atomic_flag_test_and_set_explicit(&slot->consuming, memory_order_acquire); spins++)
        if (spins % 64 == 63)
            sched_yield();
}

static void unlock_consumer(struct slot *slot)
{
    atomic_flag_clear_explicit(&slot->consuming, memory_order_release);
}

static struct ph_actor *pop(struct slot *slot)
{
    struct ph_queue_node *node;
    if (ph_queue_is_empty(&slot->queue))
        return NULL;
    lock_consumer(slot);
    enum ph_queue_result result = ph_queue_pop(&slot->queue, &node);
    unlock_consumer(slot);
    return result == PH_QUEUE_OK ? ph_container_of(node, struct ph_actor, link) : NULL;
}

/* Takes a bite from another slot: one actor to run, the others into our own queue. */
static struct ph_actor *steal_from(struct slot *victim, struct slot *own)
{
    struct ph_queue_node *bite[STEAL_BITE];
    unsigned count = 0;
    if (ph_queue_is_empty(&victim->queue) ||
        atomic_flag_test_and_set_explicit(&victim->consuming, memory_order_acquire))
        return NULL;
    while (count < STEAL_BITE && ph_queue_pop(&victim->queue, &bite[count]) == PH_QUEUE_OK)
        count++;
    unlock_consumer(victim);
    for (unsigned i = 1; i < count; i++)
        ph_queue_push(&own->queue, bite[i]);
    return count ? ph_container_of(bite[0], struct ph_actor, link) : NULL;
}

static struct ph_actor *find_work(struct ph_sched *sched, struct slot *own)
{
    struct ph_actor *actor = pop(own);
    if (actor || own->lane == PH_LANE_SYSTEM)
        return actor;
    unsigned first = (unsigned)(own - sched->slots);
    for (unsigned i = 1; !actor && i < sched->slot_count; i++) {
        struct slot *victim = &sched->slots[1 + (first - 1 + i) % (sched->slot_count - 1)];
        if (victim != own)
            actor = steal_from(victim, own);
    }
    return actor;
}

static bool has_work(struct ph_sched *sched, const struct slot *own)
{
    if (own->lane == PH_LANE_SYSTEM)
        return !ph_queue_is_empty(&own->queue);
    for (unsigned i = 1; i < sched->slot_count; i++)
        if (!ph_queue_is_empty(&sched->slots[i].queue))
            return true;
    return false;
}

/* ---- Waking -------------------------------------------------------------------------------- */

static bool unpark_worker(struct worker *worker)
{
    if (atomic_load_explicit(&worker->parked, memory_order_relaxed) == 0 ||
        atomic_exchange_explicit(&worker->parked, 0, memory_order_acq_rel) == 0)
        return false;
    futex_wake(&worker->parked);
    return true;
}

static bool unpark(struct slot *slot)
{
    return unpark_worker(atomic_load_explicit(&slot->owner, memory_order_acquire));
}

static void unpark_any(struct ph_sched *sched)
{
    if (atomic_load_explicit(&sched->searching, memory_order_relaxed))
        return;
    for (unsigned i = 1; i < sched->slot_count; i++)
        if (unpark(&sched->slots[i]))
            return;
}

static bool is_own(const struct slot *slot, const struct worker *worker)
{
    return atomic_load_explicit(&((struct slot *)(uintptr_t)slot)->owner, memory_order_relaxed) ==
           worker;
}

/* A woken actor goes to the waker's queue, so that talkers stay on one worker; from elsewhere to a
 * slot of its own choice, always the same, for its cache. */
static struct slot *slot_for(struct ph_sched *sched, const struct ph_actor *actor)
{
    if (actor->class->lane == PH_LANE_SYSTEM)
        return &sched->slots[0];
    struct worker *worker = current_worker;
    if (worker && worker->sched == sched && worker->slot && worker->slot->lane == PH_LANE_USER &&
        is_own(worker->slot, worker))
        return worker->slot;
    uint64_t mixed = ((uint64_t)(uintptr_t)actor >> 4) * UINT64_C(0x9E3779B97F4A7C15);
    return &sched->slots[1 + (mixed >> 32) % (sched->slot_count - 1)];
}

/* A hub that starts a thousand children would pay a thousand wake-ups, each dearer than the start:
 * what it wakes runs when its batch is done, with one wake-up a slot. */
static bool unpark_later(struct ph_sched *sched, const struct slot *slot)
{
    struct worker *worker = current_worker;
    if (!worker || worker->sched != sched || !worker->slot ||
        worker->slot->lane != PH_LANE_SYSTEM || slot->lane != PH_LANE_USER)
        return false;
    worker->owed |= UINT64_C(1) << (slot - sched->slots - 1);
    return true;
}

static void unpark_owed(struct worker *worker)
{
    if (!worker->owed)
        return;
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in park, see enqueue */
    for (; worker->owed; worker->owed &= worker->owed - 1)
        if (!unpark(&worker->sched->slots[1 + __builtin_ctzll(worker->owed)]))
            unpark_any(worker->sched);
}

static void enqueue(struct ph_sched *sched, struct ph_actor *actor)
{
    struct slot *slot = slot_for(sched, actor);
    bool was_empty = ph_queue_push(&slot->queue, &actor->link);
    if (unpark_later(sched, slot))
        return;
    /* Pairs with the fence in park: either we see the worker parked, or it sees the actor. So does
     * a worker that gets the slot after we looked who has it. */
    atomic_thread_fence(memory_order_seq_cst);
    if (unpark(slot) || slot->lane == PH_LANE_SYSTEM)
        return;
    if (!was_empty)
        unpark_any(sched);
}

void ph_sched_wake(struct ph_sched *sched, struct ph_actor *actor)
{
    /* acq_rel: what the caller did before is seen by the run that clears WOKEN. */
    unsigned before =
        atomic_fetch_or_explicit(&actor->state, ACTOR_BUSY | ACTOR_WOKEN, memory_order_acq_rel);
    if (before & (ACTOR_BUSY | ACTOR_DEAD))
        return;
    enqueue(sched, actor);
}

void ph_sched_kill(struct ph_sched *sched, struct ph_actor *actor)
{
    (void)sched;
    unsigned before = atomic_fetch_or_explicit(&actor->state, ACTOR_DEAD, memory_order_acq_rel);
    if (!(before & ACTOR_BUSY))
        actor->class->dead(actor);
}

/* ---- Running ------------------------------------------------------------------------------- */

/* After a run that left nothing: idle, unless somebody woke or killed the actor meanwhile. */
static void settle(struct ph_sched *sched, struct ph_actor *actor)
{
    unsigned expected = ACTOR_BUSY;
    if (atomic_compare_exchange_strong_explicit(&actor->state, &expected, 0, memory_order_acq_rel,
                                                memory_order_acquire))
        return;
    if (expected & ACTOR_DEAD)
        actor->class->dead(actor);
    else
        enqueue(sched, actor);
}

static void run_actor(struct worker *worker, struct ph_actor *actor)
{
    unsigned state =
        atomic_fetch_and_explicit(&actor->state, ~(unsigned)ACTOR_WOKEN, memory_order_acq_rel);
    if (state & ACTOR_DEAD) {
        actor->class->dead(actor);
        return;
    }
    uint64_t seq = atomic_load_explicit(&worker->seq, memory_order_relaxed);
    atomic_store_explicit(&worker->seq, seq + 1, memory_order_relaxed);
    /* Release: the watchdog that sees the actor sees it whole. */
    atomic_store_explicit(&worker->running, actor, memory_order_release);
    bool more = actor->class->run(actor);
    /* seq_cst, with report_slow: either it sees NULL, or we see `inspected` and wait for it. */
    atomic_exchange_explicit(&worker->running, NULL, memory_order_seq_cst);
    while (atomic_load_explicit(&worker->inspected, memory_order_seq_cst))
        sched_yield();
    if (more)
        enqueue(worker->sched, actor);
    else
        settle(worker->sched, actor);
}

static void start_watchdog(struct ph_sched *sched)
{
    /* seq_cst, with watchdog_main: it sees us unparked, or we see that it stopped. */
    if (atomic_load_explicit(&sched->watching, memory_order_seq_cst) == 0 &&
        atomic_exchange_explicit(&sched->watching, 1, memory_order_acq_rel) == 0)
        futex_wake(&sched->watching);
}

static void park(struct worker *worker, struct slot *slot)
{
    struct ph_sched *sched = worker->sched;
    atomic_store_explicit(&worker->parked, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with enqueue */
    if (has_work(sched, slot) || !is_own(slot, worker) ||
        atomic_load_explicit(&sched->stopping, memory_order_acquire)) {
        atomic_store_explicit(&worker->parked, 0, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&worker->parks, 1, memory_order_relaxed);
    while (atomic_load_explicit(&worker->parked, memory_order_acquire) == 1)
        futex_wait(&worker->parked, 1);
    if (slot->lane == PH_LANE_USER)
        start_watchdog(sched);
}

/* Looks around for a while before it gives up the core: a wake-up costs 500 times a look. */
static struct ph_actor *search(struct worker *worker, struct slot *slot)
{
    struct ph_sched *sched = worker->sched;
    bool user = slot->lane == PH_LANE_USER;
    struct ph_actor *actor = NULL;
    if (user)
        atomic_fetch_add_explicit(&sched->searching, 1, memory_order_relaxed);
    for (unsigned i = 0; !actor && i < SPINS; i++) {
        actor = find_work(sched, slot);
        if (!actor)
            __builtin_ia32_pause();
    }
    if (user)
        atomic_fetch_sub_explicit(&sched->searching, 1, memory_order_relaxed);
    return actor;
}

static bool serve_slot(struct worker *worker, struct slot *slot)
{
    struct ph_sched *sched = worker->sched;
    while (is_own(slot, worker)) {
        struct ph_actor *actor = find_work(sched, slot);
        if (!actor)
            actor = search(worker, slot);
        if (actor) {
            run_actor(worker, actor);
            unpark_owed(worker);
        } else if (atomic_load_explicit(&sched->stopping, memory_order_acquire)) {
            return false;
        } else {
            park(worker, slot);
        }
    }
    return true;
}

/* Waits until it has got a slot: false when the scheduler stops and it has none. */
static bool await_slot(struct worker *worker)
{
    struct ph_sched *sched = worker->sched;
    while (atomic_load_explicit(&worker->hired, memory_order_acquire) == 0 &&
           !atomic_load_explicit(&sched->stopping, memory_order_acquire))
        futex_wait(&worker->hired, 0);
    /* With a slot also when it stops: what is queued there is run. Acquire: pairs with hire. */
    return atomic_exchange_explicit(&worker->hired, 0, memory_order_acquire) && worker->slot;
}

/* Waits, without a slot, until the watchdog needs a replacement. */
static bool wait_hired(struct worker *worker)
{
    struct ph_sched *sched = worker->sched;
    worker->slot = NULL;
    pthread_mutex_lock(&sched->spares_lock);
    worker->next_spare = sched->spares;
    sched->spares = worker;
    sched->spare_count++;
    pthread_mutex_unlock(&sched->spares_lock);
    return await_slot(worker);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    current_worker = worker;
    ph_rcu_join_thread();
    bool hired = await_slot(worker);
    if (hired)
        start_watchdog(worker->sched);
    while (hired)
        hired = serve_slot(worker, worker->slot) && wait_hired(worker);
    ph_rcu_leave_thread();
    return NULL;
}

/* ---- The watchdog -------------------------------------------------------------------------- */

/* A thread without a slot. NULL: there are as many as there may be. */
static struct worker *create_worker(struct ph_sched *sched)
{
    unsigned number = atomic_load_explicit(&sched->worker_count, memory_order_relaxed);
    if (number == PH_COUNT_OF(sched->workers))
        return NULL;
    struct worker *worker = ph_alloc(sizeof *worker);
    worker->sched = sched;
    worker->number = number;
    if (pthread_create(&worker->thread, NULL, worker_main, worker)) {
        ph_free(worker);
        return NULL;
    }
    pthread_setname_np(worker->thread, number ? "ph-worker" : "ph-hub"); /* 0: the system lane */
    sched->workers[number] = worker;
    atomic_store_explicit(&sched->worker_count, number + 1, memory_order_release);
    return worker;
}

static void hire(struct slot *slot, struct worker *worker)
{
    worker->slot = slot;
    atomic_store_explicit(&slot->owner, worker, memory_order_release);
    atomic_store_explicit(&worker->hired, 1, memory_order_release);
    futex_wake(&worker->hired);
}

static struct worker *take_spare(struct ph_sched *sched)
{
    pthread_mutex_lock(&sched->spares_lock);
    struct worker *spare = sched->spares;
    if (spare) {
        sched->spares = spare->next_spare;
        sched->spare_count--;
    }
    pthread_mutex_unlock(&sched->spares_lock);
    return spare;
}

/* False: there is no other thread, the slot waits for its owner. */
static bool replace_owner(struct ph_sched *sched, struct slot *slot, struct worker *slow)
{
    struct worker *spare = take_spare(sched);
    if (!spare)
        spare = create_worker(sched);
    if (!spare)
        return false;
    hire(slot, spare);
    /* If it came back meanwhile and parked, it must learn that it is a spare now. Pairs with park.
     */
    atomic_thread_fence(memory_order_seq_cst);
    unpark_worker(slow);
    return true;
}

static void report_slow(struct ph_sched *sched, struct worker *worker, uint64_t seq)
{
    atomic_fetch_add_explicit(&sched->slow, 1, memory_order_relaxed);
    /* seq_cst, with run_actor: the actor that we see cannot leave its run, so it lives. */
    atomic_store_explicit(&worker->inspected, true, memory_order_seq_cst);
    struct ph_actor *actor = atomic_load_explicit(&worker->running, memory_order_seq_cst);
    if (actor && atomic_load_explicit(&worker->seq, memory_order_relaxed) == seq &&
        actor->class->slow)
        actor->class->slow(actor, PH_HANDLER_SLOW_MS);
    atomic_store_explicit(&worker->inspected, false, memory_order_release);
}

/* One sample of a slot: true while its owner is busy. */
static bool sample(struct ph_sched *sched, struct slot *slot)
{
    struct worker *worker = atomic_load_explicit(&slot->owner, memory_order_acquire);
    uint64_t seq = atomic_load_explicit(&worker->seq, memory_order_relaxed);
    bool running = atomic_load_explicit(&worker->running, memory_order_acquire) != NULL;
    if (!running || seq != slot->seen_seq) {
        slot->seen_seq = seq;
        slot->seen_ticks = 0;
        return running || atomic_load_explicit(&worker->parked, memory_order_seq_cst) == 0;
    }
    if (++slot->seen_ticks < SLOW_TICKS)
        return true;
    bool first = slot->seen_ticks == SLOW_TICKS;
    if (replace_owner(sched, slot, worker)) {
        slot->seen_ticks = 0;
        slot->seen_seq = 0;
    }
    if (first)
        report_slow(sched, worker, seq);
    return true;
}

static bool sample_all(struct ph_sched *sched)
{
    bool busy = false;
    for (unsigned i = 1; i < sched->slot_count; i++)
        busy |= sample(sched, &sched->slots[i]);
    return busy;
}

static void *watchdog_main(void *arg)
{
    struct ph_sched *sched = arg;
    const struct timespec tick = {.tv_nsec = WATCH_TICK_MS * 1000000};
    while (!atomic_load_explicit(&sched->stopping, memory_order_acquire)) {
        if (atomic_load_explicit(&sched->watching, memory_order_acquire) == 0) {
            futex_wait(&sched->watching, 0);
            continue;
        }
        if (!sample_all(sched)) {
            /* Look again once it is known that nobody watches: see start_watchdog. */
            atomic_store_explicit(&sched->watching, 0, memory_order_seq_cst);
            if (sample_all(sched))
                atomic_store_explicit(&sched->watching, 1, memory_order_seq_cst);
        } else {
            nanosleep(&tick, NULL);
        }
    }
    ph_rcu_leave_thread();
    return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------- */

static void init_slot(struct slot *slot, enum ph_lane lane)
{
    ph_queue_init(&slot->queue);
    atomic_flag_clear(&slot->consuming);
    slot->lane = lane;
}

static void wake_all(struct ph_sched *sched)
{
    unsigned count = atomic_load_explicit(&sched->worker_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++)
        unpark_worker(sched->workers[i]);
    struct worker *spare;
    while ((spare = take_spare(sched))) {
        atomic_store_explicit(&spare->hired, 1, memory_order_release);
        futex_wake(&spare->hired);
    }
}

/* The last actors run, the threads end. */
static void end_workers(struct ph_sched *sched)
{
    atomic_store_explicit(&sched->stopping, true, memory_order_release);
    unsigned count = atomic_load_explicit(&sched->worker_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        wake_all(sched);
        pthread_join(sched->workers[i]->thread, NULL);
    }
    for (unsigned i = 0; i < count; i++)
        ph_free(sched->workers[i]);
    pthread_mutex_destroy(&sched->spares_lock);
    free(sched->slots);
    ph_free(sched);
}

static int add_worker(struct ph_sched *sched, struct slot *slot)
{
    struct worker *worker = create_worker(sched);
    if (!worker)
        return -EAGAIN;
    hire(slot, worker);
    return 0;
}

int ph_sched_create(unsigned workers, uint64_t seed, struct ph_sched **result)
{
    (void)seed; /* of the seeded scheduler */
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (workers == 0)
        workers = cores > 0 ? (unsigned)cores : 1;
    if (workers > WORKERS_MAX)
        workers = WORKERS_MAX;
    struct ph_sched *sched = ph_alloc(sizeof *sched);
    sched->slot_count = workers + 1;
    sched->slots = aligned_alloc(PH_CACHE_LINE, sched->slot_count * sizeof *sched->slots);
    ph_assert(sched->slots);
    pthread_mutex_init(&sched->spares_lock, NULL);
    int rc = 0;
    for (unsigned i = 0; i < sched->slot_count; i++) {
        sched->slots[i] = (struct slot){0};
        init_slot(&sched->slots[i], i ? PH_LANE_USER : PH_LANE_SYSTEM);
    }
    for (unsigned i = 0; i < sched->slot_count && rc == 0; i++)
        rc = add_worker(sched, &sched->slots[i]);
    if (rc == 0)
        rc = -pthread_create(&sched->watchdog, NULL, watchdog_main, sched);
    if (rc) {
        end_workers(sched);
        return rc;
    }
    pthread_setname_np(sched->watchdog, "ph-watchdog");
    *result = sched;
    return 0;
}

void ph_sched_destroy(struct ph_sched *sched)
{
    if (!sched)
        return;
    atomic_store_explicit(&sched->stopping, true, memory_order_release);
    atomic_store_explicit(&sched->watching, 1, memory_order_release);
    futex_wake(&sched->watching);
    pthread_join(sched->watchdog, NULL);
    end_workers(sched);
}

void ph_sched_stats(const struct ph_sched *sched_const, struct ph_sched_stats *stats)
{
    struct ph_sched *sched = (struct ph_sched *)(uintptr_t)sched_const;
    unsigned count = atomic_load_explicit(&sched->worker_count, memory_order_acquire);
    *stats = (struct ph_sched_stats){
        .workers = sched->slot_count,
        .spares = count - sched->slot_count,
        .slow = atomic_load_explicit(&sched->slow, memory_order_relaxed),
    };
    for (unsigned i = 0; i < count; i++) {
        stats->runs += atomic_load_explicit(&sched->workers[i]->seq, memory_order_relaxed);
        stats->parks += atomic_load_explicit(&sched->workers[i]->parks, memory_order_relaxed);
    }
}
