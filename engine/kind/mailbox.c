#include "engine/kind/mailbox.h"

#include <sched.h>

#include "engine/base.h"
#include "engine/limits.h"

enum { FORWARD_TRIES = 1000 }; /* while a sender is half-way in */

void ph_mailbox_init(struct ph_mailbox *mailbox)
{
    ph_queue_init(&mailbox->queue);
    atomic_init(&mailbox->count, 0);
}

/* The count is relaxed: it bounds, and is shown to people; the queue orders. */
int ph_mailbox_put(struct ph_mailbox *mailbox, struct ph_message_box *box)
{
    if (atomic_fetch_add_explicit(&mailbox->count, 1, memory_order_relaxed) >= PH_MAILBOX_MAX) {
        atomic_fetch_sub_explicit(&mailbox->count, 1, memory_order_relaxed);
        return PH_ELIMIT;
    }
    ph_queue_push(&mailbox->queue, &box->link);
    return 0;
}

unsigned ph_mailbox_count(const struct ph_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->count, memory_order_relaxed);
}

static enum ph_queue_result take(struct ph_mailbox *mailbox, struct ph_queue_node **node)
{
    enum ph_queue_result result = ph_queue_pop(&mailbox->queue, node);
    if (result == PH_QUEUE_OK)
        atomic_fetch_sub_explicit(&mailbox->count, 1, memory_order_relaxed);
    return result;
}

struct ph_message_box *ph_mailbox_take(struct ph_mailbox *mailbox)
{
    struct ph_queue_node *node;
    return take(mailbox, &node) == PH_QUEUE_OK ? ph_container_of(node, struct ph_message_box, link)
                                               : NULL;
}

void ph_mailbox_forward(struct ph_mailbox *mailbox, struct ph_queue *into)
{
    struct ph_queue_node *node;
    enum ph_queue_result result;
    unsigned tries = 0;
    while ((result = take(mailbox, &node)) != PH_QUEUE_EMPTY) {
        if (result == PH_QUEUE_OK)
            ph_queue_push(into, node);
        else if (++tries == FORWARD_TRIES)
            break; /* its sender has no processor: nobody waits for it */
        else
            sched_yield();
    }
}

void ph_mailbox_clear(struct ph_mailbox *mailbox, int code, const char *text)
{
    struct ph_message_box *box;
    while ((box = ph_mailbox_take(mailbox)))
        ph_message_box_destroy(box, code, text);
}
