/*
 * Intrusive FIFO queue for many producers and one consumer (liburcu's wait-free concurrent queue,
 * <urcu/wfcqueue.h>, with its non-blocking consumer side).
 *
 * | call            | who                    | blocks                                             |
 * | push, push_many | any thread             | never (wait-free)                                  |
 * | pop, take_all   | one consumer at a time | never: PH_QUEUE_BUSY when a producer is mid-push   |
 * | is_empty        | any thread             | never                                              |
 *
 * A push happens before the pop that returns the node. Bounds are the owner's business (it counts).
 * 16 bytes a queue, 8 a node: a million mailboxes are affordable.
 */
#ifndef PH_ENGINE_QUEUE_H
#define PH_ENGINE_QUEUE_H

#include <stdbool.h>

#include "engine/tsan.h"
#ifndef PH_TSAN
#define _LGPL_SOURCE /* liburcu inlined; prochub is LGPL too */
#endif
#include <urcu/wfcqueue.h>

struct ph_queue_node {
    struct cds_wfcq_node node;
};

struct ph_queue {
    struct __cds_wfcq_head head;
    struct cds_wfcq_tail tail;
};

enum ph_queue_result { PH_QUEUE_OK, PH_QUEUE_EMPTY, PH_QUEUE_BUSY };

void ph_queue_init(struct ph_queue *);

/* Any thread. Returns whether the queue was empty before. */
bool ph_queue_push(struct ph_queue *, struct ph_queue_node *);

/* Consumer. */
enum ph_queue_result ph_queue_pop(struct ph_queue *, struct ph_queue_node **node);

/* Consumer: moves everything to the end of `into`, which belongs to the caller. */
enum ph_queue_result ph_queue_take_all(struct ph_queue *, struct ph_queue *into);

bool ph_queue_is_empty(const struct ph_queue *);

#endif
