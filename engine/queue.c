#include "engine/queue.h"

#include <stdint.h>

#include "engine/base.h"
#include "engine/tsan.h"

void ph_queue_init(struct ph_queue *queue)
{
    __cds_wfcq_init(&queue->head, &queue->tail);
}

bool ph_queue_push(struct ph_queue *queue, struct ph_queue_node *node)
{
    cds_wfcq_node_init(&node->node);
    PH_TSAN_RELEASE(node);
    return !cds_wfcq_enqueue(&queue->head, &queue->tail, &node->node);
}

enum ph_queue_result ph_queue_pop(struct ph_queue *queue, struct ph_queue_node **node)
{
    struct cds_wfcq_node *first = __cds_wfcq_dequeue_nonblocking(&queue->head, &queue->tail);
    if (!first)
        return PH_QUEUE_EMPTY;
    if (first == CDS_WFCQ_WOULDBLOCK)
        return PH_QUEUE_BUSY;
    *node = ph_container_of(first, struct ph_queue_node, node);
    PH_TSAN_ACQUIRE(*node);
    return PH_QUEUE_OK;
}

enum ph_queue_result ph_queue_take_all(struct ph_queue *queue, struct ph_queue *into)
{
    enum cds_wfcq_ret result =
        __cds_wfcq_splice_nonblocking(&into->head, &into->tail, &queue->head, &queue->tail);
    switch (result) {
    case CDS_WFCQ_RET_WOULDBLOCK:
        return PH_QUEUE_BUSY;
    case CDS_WFCQ_RET_SRC_EMPTY:
        return PH_QUEUE_EMPTY;
    case CDS_WFCQ_RET_DEST_EMPTY:
    case CDS_WFCQ_RET_DEST_NON_EMPTY:
        return PH_QUEUE_OK;
    }
    return PH_QUEUE_EMPTY;
}

bool ph_queue_is_empty(const struct ph_queue *queue)
{
    /* liburcu takes no const. */
    struct ph_queue *mutable_queue = (struct ph_queue *)(uintptr_t)queue;
    return cds_wfcq_empty(&mutable_queue->head, &mutable_queue->tail);
}
