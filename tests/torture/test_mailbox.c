#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/prng.h"
#include "engine/tsan.h"
#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"

#if defined(PH_TSAN) || defined(__SANITIZE_ADDRESS__)
enum { MESSAGES = 60, RESTARTS = 100 };
#else
enum { MESSAGES = 300, RESTARTS = 300 };
#endif
enum { SENDERS = 4, CHILDREN = 100, CRASH_EVERY = 37 };

/* Children count what each sender sent to each; their handlers own a row each. */
struct arena {
    struct probe probe;
    struct ph_hub *hub;
    unsigned last[CHILDREN + 1][SENDERS];
    _Atomic uint64_t handled, out_of_order, crashes, inits, ends, refused;
};

struct sender {
    struct arena *arena;
    unsigned number;
};

static int count_init(struct probe *probe, struct ph_context *context)
{
    (void)context;
    ((struct arena *)probe)->inits++;
    return 0;
}

static void count_end(struct probe *probe, struct ph_context *context)
{
    (void)context;
    ((struct arena *)probe)->ends++;
}

static int count_message(struct probe *probe, struct ph_context *context,
                         const struct ph_message *message)
{
    struct arena *arena = (struct arena *)probe;
    unsigned child = 0, sender = 0, number = 0;
    if (sscanf(ph_self(context), "m-%u", &child) != 1 ||
        sscanf(message->data, "%u %u", &sender, &number) != 2)
        abort();
    if (arena->last[child][sender] + 1 != number)
        arena->out_of_order++;
    arena->last[child][sender] = number;
    arena->handled++;
    if (number % CRASH_EVERY)
        return PH_HANDLER_OK;
    arena->crashes++;
    return -5;
}

/* To every child in turn; what is refused because the child is being restarted is sent again. */
static void *sender_main(void *arg)
{
    const struct sender *sender = arg;
    struct arena *arena = sender->arena;
    for (unsigned number = 1; number <= MESSAGES; number++) {
        for (unsigned child = 1; child <= CHILDREN; child++) {
            char id[16], text[32];
            int length = snprintf(text, sizeof text, "%u %u", sender->number, number);
            snprintf(id, sizeof id, "m-%u", child);
            while (ph_send(arena->hub, id, text, (size_t)length)) {
                arena->refused++;
                sched_yield();
            }
        }
    }
    ph_thread_leave();
    return NULL;
}

static void restart_somebody(struct arena *arena, struct ph_prng *prng)
{
    char id[16];
    struct ph_op *op;
    snprintf(id, sizeof id, "m-%u", 1 + (unsigned)ph_prng_below(prng, CHILDREN));
    struct ph_ids ids = real_ids(id);
    assert_int_equal(ph_restart(arena->hub, &ids, &op), 0);
    assert_int_equal(ph_op_wait(op, REAL_SOON_MS, NULL), 0);
    ph_op_put(op);
}

static bool all_handled(void *arg)
{
    struct arena *arena = arg;
    return arena->handled == (uint64_t)SENDERS * CHILDREN * MESSAGES;
}

/* Four threads send to a hundred children while these crash by themselves and are restarted by
 * request: every message is handled exactly once, in order per sender. */
static void messages_arrive_once_and_in_order_over_restarts(void **state)
{
    (void)state;
    struct arena *arena = test_calloc(1, sizeof *arena);
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    struct ph_prng prng;
    struct ph_node *node = real_node(0);
    arena->probe =
        (struct probe){.init = count_init, .handle = count_message, .terminate = count_end};
    arena->hub = real_hub(node, "mail", "restart.rate=0");
    real_start(arena->hub, "m-[1..100]",
               real_probe_spec(&arena->probe, "backoff=0 max_restarts=1000 max_seconds=1"));
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){arena, i};
        assert_int_equal(pthread_create(&threads[i], NULL, sender_main, &senders[i]), 0);
    }
    ph_prng_init(&prng, 3);
    for (unsigned i = 0; i < RESTARTS; i++)
        restart_somebody(arena, &prng);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(eventually(all_handled, arena, REAL_SOON_MS));
    assert_int_equal(arena->out_of_order, 0);
    assert_int_equal(arena->crashes, SENDERS * CHILDREN * (MESSAGES / CRASH_EVERY));
    assert_int_equal(ph_count(arena->hub), CHILDREN);
    real_stop(arena->hub, "m-[1..100]");
    assert_int_equal(arena->inits, arena->ends);
    real_end(arena->hub, node);
    test_free(arena);
}

static void *incrementer_main(void *arg)
{
    struct ph_hub *hub = arg;
    for (unsigned i = 0; i < MESSAGES; i++) {
        while (ph_send(hub, "counter", "inc 1", 5))
            sched_yield();
    }
    ph_thread_leave();
    return NULL;
}

static bool is_counted(void *arg)
{
    char answer[32], expected[32];
    snprintf(expected, sizeof expected, "%d", SENDERS * MESSAGES);
    assert_int_equal(real_call(arg, "counter", "get", answer, sizeof answer), 0);
    return strcmp(answer, expected) == 0;
}

/* The built-in counter counts what four threads send at once. */
static void counter_counts_messages_of_all_threads(void **state)
{
    (void)state;
    struct ph_node *node = real_node(0);
    struct ph_hub *hub = real_hub(node, "mail", "");
    pthread_t threads[SENDERS];
    real_start(hub, "counter", real_spec("module=counter"));
    for (unsigned i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, incrementer_main, hub), 0);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(eventually(is_counted, hub, REAL_SOON_MS));
    real_end(hub, node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_once_and_in_order_over_restarts),
        cmocka_unit_test(counter_counts_messages_of_all_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
