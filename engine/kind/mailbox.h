/*
 * The unread messages of a child: many senders, one reader at a time, bounded by PH_MAILBOX_MAX.
 */
#ifndef PH_ENGINE_KIND_MAILBOX_H
#define PH_ENGINE_KIND_MAILBOX_H

#include <stdatomic.h>

#include "engine/kind/kind.h"
#include "engine/queue.h"

struct ph_mailbox {
    struct ph_queue queue;
    atomic_uint count;
};

void ph_mailbox_init(struct ph_mailbox *);

/* Any thread: takes the box, or PH_ELIMIT. What the sender did before is seen by who takes it. */
PH_MUST_CHECK int ph_mailbox_put(struct ph_mailbox *, struct ph_message_box *);

/* Any thread. */
unsigned ph_mailbox_count(const struct ph_mailbox *);

/* The reader: the oldest message; NULL: none, or its sender is half-way into the mailbox. */
struct ph_message_box *ph_mailbox_take(struct ph_mailbox *);

/* The reader: moves all to the end of `into`. One whose sender is half-way in may stay. */
void ph_mailbox_forward(struct ph_mailbox *, struct ph_queue *into);

/* The reader: destroys all, as ph_message_box_destroy does. */
void ph_mailbox_clear(struct ph_mailbox *, int code, const char *text);

#endif
