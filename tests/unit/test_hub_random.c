#include "engine/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "tests/lib/fakehub.h"

enum { CHILDREN = 40, STEPS = 50000, HANDLERS = 3 };

/* A hub under random events, and what the test knows about the world outside of it. */
struct world {
    struct fake_hub *fake;
    struct ph_prng prng;
    size_t seen;                /* port calls that the world has taken note of */
    uint32_t running[CHILDREN]; /* the instance that exists, 0: none */
    bool was_up[CHILDREN];
    uint64_t called[HANDLERS * 64]; /* handlers whose call is to be answered */
    size_t called_count;
};

static uint64_t pick(struct world *world, uint64_t bound)
{
    return ph_prng_below(&world->prng, bound);
}

static void id_of(uint64_t number, char id[8])
{
    snprintf(id, 8, "c%u", (unsigned)number);
}

/* Takes note of what the hub asked for since the last look. */
static void look(struct world *world)
{
    struct fake_hub *fake = world->fake;
    for (; world->seen < fake->call_count; world->seen++) {
        const struct fake_call *call = &fake->calls[world->seen];
        if (call->verb == FAKE_START) {
            unsigned number = 0;
            assert_int_equal(sscanf(call->id, "c%u", &number), 1);
            assert_int_equal(world->running[number], 0); /* never two instances of one child */
            world->running[number] = call->instance;
            world->was_up[number] = false;
        } else if (call->verb == FAKE_HOOK) {
            assert_true(world->called_count < PH_COUNT_OF(world->called));
            world->called[world->called_count++] = call->number;
        }
    }
}

static void random_start(struct world *world)
{
    static const char *const specs[] = {
        "",
        "restart=transient backoff=0",
        "restart=temporary",
        "max_restarts=1 backoff=50",
        "max_restarts=0",
    };
    char id[8], other[8], ids[20];
    const struct ph_start_options options = {
        .if_exists = (enum ph_if_exists)pick(world, 3),
        .rollback = pick(world, 4) == 0,
    };
    id_of(pick(world, CHILDREN), id);
    id_of(pick(world, CHILDREN), other);
    snprintf(ids, sizeof ids, "%s %s", id, other);
    fake_start_with(world->fake, ids, specs[pick(world, PH_COUNT_OF(specs))], options);
}

static void random_request(struct world *world)
{
    static struct ph_op *(*const requests[])(struct fake_hub *, const char *) = {fake_stop,
                                                                                 fake_restart};
    char id[8];
    id_of(pick(world, CHILDREN), id);
    requests[pick(world, PH_COUNT_OF(requests))](world->fake, id);
}

/* Some instance is up, or ends somehow. */
static void random_report(struct world *world)
{
    static const enum ph_exit_how hows[] = {PH_EXIT_CODE, PH_EXIT_SIGNAL, PH_EXIT_FAILED,
                                            PH_EXIT_EXEC};
    uint64_t number = pick(world, CHILDREN);
    uint32_t instance = world->running[number];
    char id[8];
    id_of(number, id);
    if (!instance)
        return;
    assert_non_null(fake_child(world->fake, id)); /* it lives as long as its instance */
    if (!world->was_up[number] && pick(world, 4)) {
        world->was_up[number] = true;
        fake_up(world->fake, id);
        return;
    }
    world->running[number] = 0;
    fake_down_of(world->fake, id, instance, hows[pick(world, PH_COUNT_OF(hows))],
                 (int)pick(world, 2) * 9);
}

static void random_gate(struct world *world)
{
    static const char *const names[] = {"x", "y", "z"};
    const char *name = names[pick(world, PH_COUNT_OF(names))];
    if (pick(world, 2))
        fake_unlock(world->fake, name);
    else
        fake_lock(world->fake, name, (uint8_t)(1 + pick(world, 30)), 1 + pick(world, 3000));
}

static void random_hook(struct world *world)
{
    static const char *const hooks[] = {"child_data_alter", "process_startups", "child_failed"};
    uint64_t number = pick(world, HANDLERS);
    char id[8];
    id_of(number, id);
    if (pick(world, 2))
        fake_hook_add(world->fake, hooks[number], id, (int)pick(world, 5), 1 + pick(world, 400));
    else
        fake_hook_remove(world->fake, id);
}

static void answer_hook(struct world *world, int code)
{
    if (!world->called_count)
        return;
    uint64_t handler = world->called[0];
    memmove(world->called, world->called + 1, --world->called_count * sizeof *world->called);
    fake_hook_done(world->fake, handler, code, NULL);
}

static void random_step(struct world *world)
{
    switch (pick(world, 16)) {
    case 0:
    case 1:
    case 2:
        random_start(world);
        break;
    case 3:
    case 4:
        random_request(world);
        break;
    case 5:
        random_gate(world);
        break;
    case 6:
        random_hook(world);
        break;
    case 7:
        answer_hook(world, pick(world, 3) ? 0 : PH_EFAILED);
        break;
    case 8:
        fake_dispatch(world->fake, "note", (uint8_t)pick(world, 20));
        break;
    case 9:
        fake_advance(world->fake, pick(world, 2000));
        break;
    default:
        random_report(world);
        break;
    }
    look(world);
}

static struct world *create_world(uint64_t seed)
{
    struct world *world = test_calloc(1, sizeof *world);
    world->fake = fake_create("", seed);
    world->fake->quiet = true;
    ph_prng_init(&world->prng, seed);
    return world;
}

/* Lets everything come to its end: the gate opens, hooks answer, instances end as asked. */
static void shut_down(struct world *world)
{
    struct ph_op *op = fake_shutdown(world->fake);
    for (int rounds = 0; rounds < 10000 && fake_code(op) == 1; rounds++) {
        char id[8];
        look(world);
        while (world->called_count) {
            answer_hook(world, 0);
            look(world);
        }
        for (unsigned i = 0; i < CHILDREN; i++) {
            id_of(i, id);
            if (!world->running[i])
                continue;
            uint32_t instance = world->running[i];
            world->running[i] = 0;
            fake_down_of(world->fake, id, instance, PH_EXIT_CODE, 0);
        }
    }
    assert_int_equal(fake_code(op), 0);
}

static void destroy_world(struct world *world)
{
    fake_destroy(world->fake);
    test_free(world);
}

/* Whatever happens in whatever order: the picture says what the registry holds, one child has one
 * instance at a time, nothing is written outside a step, and in the end everything has ended. */
static void picture_always_equals_a_recount(void **state)
{
    (void)state;
    struct world *world = create_world(20231);
    for (unsigned i = 0; i < STEPS; i++) {
        random_step(world);
        if (!fake_is_consistent(world->fake))
            fail_msg("seed 20231: the picture is wrong after step %u", i);
    }
    shut_down(world);
    assert_int_equal(world->fake->hub.picture.children, 0);
    assert_true(fake_is_consistent(world->fake));
    destroy_world(world);
}

/* Requests that nothing holds up any more have all been answered. */
static void every_request_is_answered_in_the_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *world = create_world(seed);
        for (unsigned i = 0; i < 1000; i++)
            random_step(world);
        fake_unlock(world->fake, "");
        shut_down(world);
        for (size_t i = 0; i < world->fake->op_count; i++) {
            if (!ph_op_is_done(world->fake->ops[i]))
                fail_msg("seed %u: request %zu waits for ever", (unsigned)seed, i);
        }
        destroy_world(world);
    }
}

static uint64_t hash_of_run(uint64_t seed)
{
    struct world *world = create_world(seed);
    for (unsigned i = 0; i < 5000; i++)
        random_step(world);
    uint64_t hash = world->fake->hash;
    destroy_world(world);
    return hash;
}

/* The same seed and the same events make the same hub: record by record, call by call. */
static void same_seed_makes_the_same_sequence(void **state)
{
    (void)state;
    assert_int_equal(hash_of_run(5), hash_of_run(5));
    assert_int_not_equal(hash_of_run(5), hash_of_run(6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picture_always_equals_a_recount),
        cmocka_unit_test(every_request_is_answered_in_the_end),
        cmocka_unit_test(same_seed_makes_the_same_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
