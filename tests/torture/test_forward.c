#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/tsan.h"
#include "tests/contract/kind_contract.h"
#include "tests/lib/eventually.h"
#include "tests/lib/realnode.h"

#if defined(PH_TSAN) || defined(__SANITIZE_ADDRESS__)
enum { MESSAGES = 3000 };
#else
enum { MESSAGES = 30000 };
#endif
enum { SENDERS = 3, BATCH = 50 };

/* One child and what was read of its mail: by its instances, and between them by the hub. */
struct arena {
    struct probe probe; /* first */
    struct contract_stage *stage;
    unsigned last[SENDERS];
    unsigned handled, forwarded, out_of_order;
};

struct sender {
    struct arena *arena;
    unsigned number;
};

static void note(struct arena *arena, const char *text)
{
    unsigned sender = 0, number = 0;
    if (sscanf(text, "%u %u", &sender, &number) != 2 || sender >= SENDERS)
        abort();
    arena->out_of_order += number != arena->last[sender] + 1;
    arena->last[sender] = number;
}

/* No lock and no atomics: the instance and the hub never read at the same time, or ThreadSanitizer
 * would say so. */
static int handle(struct probe *probe, struct ph_context *context, const struct ph_message *message)
{
    (void)context;
    struct arena *arena = (struct arena *)probe;
    note(arena, message->data);
    arena->handled++;
    return PH_HANDLER_OK;
}

static void *sender_main(void *arg)
{
    const struct sender *sender = arg;
    for (unsigned number = 1; number <= MESSAGES; number++) {
        char text[32];
        int length = snprintf(text, sizeof text, "%u %u", sender->number, number), rc;
        struct ph_message_box *box = ph_message_box_create(PH_MESSAGE_CAST, text, (size_t)length);
        do {
            ph_rcu_enter();
            rc = ph_kind_module.deliver(sender->arena->stage->child, box);
            ph_rcu_exit();
        } while (rc && sched_yield() == 0);
        if (number % BATCH == 0)
            sched_yield();
    }
    ph_thread_leave();
    return NULL;
}

static struct ph_node *create_node(uint64_t seed)
{
    return real_node_with((struct ph_node_config){.workers = 2, .seed = seed});
}

static bool run_until(struct ph_node *node, bool (*condition)(void *), void *arg)
{
    (void)node;
    return eventually(condition, arg, REAL_SOON_MS);
}

static void settle(struct ph_node *node)
{
    (void)node; /* what is left of a run says nothing more */
}

static const struct contract_kind kind = {
    .kind = &ph_kind_module,
    .create_node = create_node,
    .run_until = run_until,
    .settle = settle,
};

/* What the hub does between two instances. */
static void forward(struct arena *arena)
{
    struct ph_queue queue;
    struct ph_queue_node *node;
    ph_queue_init(&queue);
    ph_kind_module.forward(arena->stage->child, &queue);
    while (ph_queue_pop(&queue, &node) == PH_QUEUE_OK) {
        struct ph_message_box *box = ph_container_of(node, struct ph_message_box, link);
        note(arena, box->data);
        arena->forwarded++;
        ph_message_box_destroy(box, 0, NULL);
    }
}

/* As a move of a large state does: a copy while it works, then a save into the memory of that. */
static void copy_and_save(struct contract_stage *stage)
{
    unsigned copies = contract_reports(stage).copies;
    struct ph_text room = PH_TEXT_INIT;
    ph_kind_module.copy(stage->child, 0, &room);
    contract_wait_copies(stage, copies + 1);
    room = contract_take_saved(stage);
    ph_text_clear(&room);
    ph_kind_module.copy(stage->child, UINT64_MAX, &room);
}

/* Instances come and go by save and stop, some after a copy, while senders send; between them the
 * mail is forwarded: each message is read once and in the order of its sender, whoever reads it. */
static void mail_is_read_once_whoever_reads_it(void **state)
{
    (void)state;
    struct arena *arena = test_calloc(1, sizeof *arena);
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    arena->probe.handle = handle;
    arena->stage = contract_open(&kind, 1);
    contract_make_child(arena->stage, real_probe_spec(&arena->probe, ""));
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){arena, i};
        assert_int_equal(pthread_create(&threads[i], NULL, sender_main, &senders[i]), 0);
    }
    unsigned lives = 0;
    while (arena->handled + arena->forwarded < SENDERS * MESSAGES) {
        unsigned ups = contract_reports(arena->stage).ups;
        contract_start(arena->stage);
        if (lives % 3)
            contract_wait_ups(arena->stage, ups + 1);
        bool worked = lives % 3 == 1;
        if (lives++ % 2)
            ph_kind_module.save(arena->stage->child);
        else if (worked)
            copy_and_save(arena->stage);
        else
            ph_kind_module.stop(arena->stage->child);
        contract_wait_downs(arena->stage, lives);
        forward(arena);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    print_message("%u instances, %u handled, %u forwarded\n", lives, arena->handled,
                  arena->forwarded);
    assert_int_equal(arena->out_of_order, 0);
    assert_int_equal(arena->handled + arena->forwarded, SENDERS * MESSAGES);
    contract_free_child(arena->stage);
    contract_close(arena->stage);
    test_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_is_read_once_whoever_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
