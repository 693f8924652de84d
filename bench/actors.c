#include "bench/actors.h"

#include <sched.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"

enum { BATCH = 64, SPINS = 300 };

void ph_bare_actors_init(struct ph_bare_actors *actors, uint64_t count)
{
    *actors = (struct ph_bare_actors){.count = count};
    ph_queue_init(&actors->ready);
    actors->actors = ph_alloc(count * sizeof *actors->actors);
    for (uint64_t i = 0; i < count; i++)
        ph_queue_init(&actors->actors[i].mail);
}

struct ph_bare_message *ph_bare_message_get(struct ph_bare_actors *actors)
{
    struct ph_bare_message *message = actors->free_messages;
    if (!message)
        return ph_alloc(sizeof *message);
    memcpy(&actors->free_messages, message->data, sizeof actors->free_messages);
    return message;
}

void ph_bare_message_put(struct ph_bare_actors *actors, struct ph_bare_message *message)
{
    memcpy(message->data, &actors->free_messages, sizeof actors->free_messages);
    actors->free_messages = message;
}

void ph_bare_actor_send(struct ph_bare_actors *actors, struct ph_bare_actor *actor,
                        struct ph_bare_message *message)
{
    ph_queue_push(&actor->mail, &message->link);
    /* acq_rel, with run_one: the run that clears it sees the message, or we queue the actor. */
    if (!atomic_exchange_explicit(&actor->queued, true, memory_order_acq_rel))
        ph_queue_push(&actors->ready, &actor->link);
}

static void run_one(struct ph_bare_actors *actors, struct ph_bare_actor *actor)
{
    struct ph_queue_node *node;
    atomic_exchange_explicit(&actor->queued, false, memory_order_acq_rel); /* see send */
    for (unsigned i = 0; i < BATCH; i++) {
        if (ph_queue_pop(&actor->mail, &node) != PH_QUEUE_OK)
            break;
        actor->handle(actors, actor, ph_container_of(node, struct ph_bare_message, link));
    }
    if (!ph_queue_is_empty(&actor->mail) &&
        !atomic_exchange_explicit(&actor->queued, true, memory_order_acq_rel))
        ph_queue_push(&actors->ready, &actor->link);
}

void ph_bare_actors_run(struct ph_bare_actors *actors)
{
    struct ph_queue_node *node;
    for (unsigned idle = 0; actors->left;) {
        if (ph_queue_pop(&actors->ready, &node) == PH_QUEUE_OK) {
            run_one(actors, ph_container_of(node, struct ph_bare_actor, link));
            idle = 0;
        } else if (++idle % SPINS == 0) {
            sched_yield();
        }
    }
}
