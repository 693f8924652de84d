#include "engine/queue.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/waiter.h"

enum { PRODUCERS = 4, MESSAGES = 50000, DEADLINE_MS = 60000 };

struct message {
    struct ph_queue_node link;
    int producer, number;
};

struct producer {
    struct ph_queue *queue;
    struct message *messages; /* MESSAGES of them */
    int index;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;
    for (int i = 0; i < MESSAGES; i++) {
        producer->messages[i].producer = producer->index;
        producer->messages[i].number = i;
        ph_queue_push(producer->queue, &producer->messages[i].link);
    }
    return NULL;
}

struct consumer {
    struct ph_queue *queue;
    int next[PRODUCERS]; /* the number expected from each */
    int total;
    bool disordered;
};

static void consume(struct consumer *consumer, struct ph_queue_node *node)
{
    struct message *message = ph_container_of(node, struct message, link);
    if (message->number != consumer->next[message->producer]++)
        consumer->disordered = true;
    consumer->total++;
}

static void consume_one(struct consumer *consumer)
{
    struct ph_queue_node *node;
    if (ph_queue_pop(consumer->queue, &node) == PH_QUEUE_OK)
        consume(consumer, node);
    else
        sched_yield();
}

/* Moves what there is to a queue of its own and empties that. */
static void consume_batch(struct consumer *consumer)
{
    struct ph_queue batch;
    struct ph_queue_node *node;
    ph_queue_init(&batch);
    if (ph_queue_take_all(consumer->queue, &batch) != PH_QUEUE_OK)
        sched_yield();
    enum ph_queue_result result;
    while ((result = ph_queue_pop(&batch, &node)) != PH_QUEUE_EMPTY) {
        if (result == PH_QUEUE_OK)
            consume(consumer, node);
        else
            sched_yield(); /* a producer is between its two steps */
    }
}

static void run(void (*step)(struct consumer *))
{
    struct ph_queue queue;
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    struct consumer consumer = {.queue = &queue};
    uint64_t deadline_ms = ph_now_ms() + DEADLINE_MS;
    ph_queue_init(&queue);
    assert_true(ph_queue_is_empty(&queue));
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){
            .queue = &queue, .messages = calloc(MESSAGES, sizeof(struct message)), .index = i};
        assert_non_null(producers[i].messages);
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    while (consumer.total < PRODUCERS * MESSAGES && ph_now_ms() < deadline_ms)
        step(&consumer);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(consumer.total, PRODUCERS * MESSAGES);
    assert_false(consumer.disordered);
    assert_true(ph_queue_is_empty(&queue));
    for (int i = 0; i < PRODUCERS; i++)
        free(producers[i].messages);
}

/* Four producers, one consumer: nothing is lost and each producer's order is kept. */
static void popped_messages_keep_their_producers_order(void **state)
{
    (void)state;
    run(consume_one);
}

/* The same when the consumer takes everything at once. */
static void taken_messages_keep_their_producers_order(void **state)
{
    (void)state;
    run(consume_batch);
}

/* The first push into an empty queue says so, later ones do not. */
static void push_tells_whether_the_queue_was_empty(void **state)
{
    (void)state;
    struct ph_queue queue;
    struct message messages[2] = {{.number = 1}, {.number = 2}};
    struct ph_queue_node *node;
    ph_queue_init(&queue);
    assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_EMPTY);
    assert_true(ph_queue_push(&queue, &messages[0].link));
    assert_false(ph_queue_push(&queue, &messages[1].link));
    assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_OK);
    assert_ptr_equal(node, &messages[0].link);
    assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_OK);
    assert_ptr_equal(node, &messages[1].link);
    assert_int_equal(ph_queue_pop(&queue, &node), PH_QUEUE_EMPTY);
    assert_true(ph_queue_push(&queue, &messages[0].link));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_tells_whether_the_queue_was_empty),
        cmocka_unit_test(popped_messages_keep_their_producers_order),
        cmocka_unit_test(taken_messages_keep_their_producers_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
