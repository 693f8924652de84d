/*
 * engine/sched.h without threads: the test calls ph_sched_step, which runs one actor that a seeded
 * generator picks from those that are queued. The same seed and the same wakes give the same order;
 * ph_sched_signature is a hash of it. Wakes and kills may come from any thread (timers, reclaim);
 * steps come from one. Linked instead of engine/sched.c.
 */
#include "tests/lib/sched_seeded.h"

#include <pthread.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/prng.h"

/* An actor's state: bits, and above them its number in order of its first wake. */
enum { ACTOR_QUEUED = 1, ACTOR_RUNNING = 2, ACTOR_WOKEN = 4, ACTOR_DEAD = 8, ACTOR_NUMBER = 16 };

struct ph_sched {
    pthread_mutex_t lock; /* guards everything, and the state of the actors */
    struct ph_prng prng;
    struct ph_actor **queued;
    size_t count, capacity;
    unsigned next_number;
    uint64_t signature, runs, wakes;
};

static _Thread_local int worker = -1;

int ph_sched_create(unsigned workers, uint64_t seed, struct ph_sched **result)
{
    (void)workers;
    struct ph_sched *sched = ph_alloc(sizeof *sched);
    pthread_mutex_init(&sched->lock, NULL);
    ph_prng_init(&sched->prng, seed);
    sched->signature = UINT64_C(0xcbf29ce484222325);
    *result = sched;
    return 0;
}

void ph_sched_destroy(struct ph_sched *sched)
{
    if (!sched)
        return;
    while (ph_sched_step(sched))
        continue;
    pthread_mutex_destroy(&sched->lock);
    ph_free(sched->queued);
    ph_free(sched);
}

void ph_actor_init(struct ph_actor *actor, const struct ph_actor_class *class)
{
    actor->class = class;
    atomic_init(&actor->state, 0);
}

/* ---- Under the lock ------------------------------------------------------------------------ */

static unsigned state_of(struct ph_actor *actor)
{
    return atomic_load_explicit(&actor->state, memory_order_relaxed);
}

static void set_state(struct ph_actor *actor, unsigned state)
{
    atomic_store_explicit(&actor->state, state, memory_order_relaxed);
}

static void enqueue_locked(struct ph_sched *sched, struct ph_actor *actor)
{
    if (sched->count == sched->capacity) {
        sched->capacity = sched->capacity ? sched->capacity * 2 : 64;
        sched->queued = ph_realloc(sched->queued, sched->capacity * sizeof(struct ph_actor *));
    }
    sched->queued[sched->count++] = actor;
    set_state(actor, state_of(actor) | ACTOR_QUEUED);
}

static void wake_locked(struct ph_sched *sched, struct ph_actor *actor)
{
    sched->wakes++;
    if (state_of(actor) & ACTOR_DEAD)
        return;
    if (state_of(actor) < ACTOR_NUMBER)
        set_state(actor, state_of(actor) + ++sched->next_number * ACTOR_NUMBER);
    if (state_of(actor) & ACTOR_RUNNING)
        set_state(actor, state_of(actor) | ACTOR_WOKEN);
    else if (!(state_of(actor) & ACTOR_QUEUED))
        enqueue_locked(sched, actor);
}

/* Takes one of the queued actors, in order of their waking otherwise. */
static struct ph_actor *pick_locked(struct ph_sched *sched)
{
    if (!sched->count)
        return NULL;
    size_t at = (size_t)ph_prng_below(&sched->prng, sched->count);
    struct ph_actor *actor = sched->queued[at];
    for (size_t i = at + 1; i < sched->count; i++)
        sched->queued[i - 1] = sched->queued[i];
    sched->count--;
    set_state(actor, (state_of(actor) & ~(unsigned)ACTOR_QUEUED) | ACTOR_RUNNING);
    sched->runs++;
    sched->signature =
        (sched->signature ^ state_of(actor) / ACTOR_NUMBER) * UINT64_C(0x100000001b3);
    return actor;
}

/* After a run: is the actor to be freed? */
static bool settle_locked(struct ph_sched *sched, struct ph_actor *actor, bool more)
{
    unsigned state = state_of(actor);
    set_state(actor, state & ~(unsigned)(ACTOR_RUNNING | ACTOR_WOKEN));
    if (state & ACTOR_DEAD)
        return true;
    if (more || (state & ACTOR_WOKEN))
        enqueue_locked(sched, actor);
    return false;
}

/* ---- Anybody ------------------------------------------------------------------------------- */

void ph_sched_wake(struct ph_sched *sched, struct ph_actor *actor)
{
    pthread_mutex_lock(&sched->lock);
    wake_locked(sched, actor);
    pthread_mutex_unlock(&sched->lock);
}

void ph_sched_kill(struct ph_sched *sched, struct ph_actor *actor)
{
    pthread_mutex_lock(&sched->lock);
    unsigned state = state_of(actor);
    set_state(actor, state | ACTOR_DEAD);
    pthread_mutex_unlock(&sched->lock);
    if (!(state & (ACTOR_QUEUED | ACTOR_RUNNING)))
        actor->class->dead(actor);
}

bool ph_sched_step(struct ph_sched *sched)
{
    pthread_mutex_lock(&sched->lock);
    struct ph_actor *actor = pick_locked(sched);
    bool dead = actor && (state_of(actor) & ACTOR_DEAD);
    pthread_mutex_unlock(&sched->lock);
    if (!actor)
        return false;
    worker = actor->class->lane == PH_LANE_SYSTEM ? 0 : 1;
    bool more = !dead && actor->class->run(actor);
    worker = -1;
    pthread_mutex_lock(&sched->lock);
    dead = settle_locked(sched, actor, more);
    pthread_mutex_unlock(&sched->lock);
    if (dead)
        actor->class->dead(actor);
    return true;
}

uint64_t ph_sched_signature(const struct ph_sched *sched)
{
    return sched->signature;
}

int ph_sched_worker(void)
{
    return worker;
}

void ph_sched_stats(const struct ph_sched *sched, struct ph_sched_stats *stats)
{
    *stats = (struct ph_sched_stats){
        .workers = 1,
        .runs = sched->runs,
    };
}

uint64_t ph_sched_seeded_wakes(struct ph_sched *sched)
{
    pthread_mutex_lock(&sched->lock);
    uint64_t wakes = sched->wakes;
    pthread_mutex_unlock(&sched->lock);
    return wakes;
}
