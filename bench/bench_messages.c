/*
 * messages: from a foreign thread to many children, between two children, from many to one.
 *
 * The children are counters and players, a module of this file; they find each other by id, and a
 * game is over when its players have ended. The ceiling are the bare actors of actors.h on one
 * thread, with messages of the same size.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/actors.h"
#include "bench/stage.h"
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/waiter.h"

enum {
    BALL_BYTES = 48,
    SENT_PER_SECOND = 2000000, /* about what is expected, for the length of a measurement */
    PLAYED_PER_SECOND = 4000000,
    SENDERS = 1000,
    BURST = 50, /* what a sender sends in one go: all of them together fit the sink's mailbox */
};

_Static_assert(SENDERS *BURST < 100000, "a mailbox is bounded");

/* ---- The module ---------------------------------------------------------------------------- */

/* `ping PEER N`: sends each ball back, N times. `sender`: sends BURST balls to the sink when told
 * to. `sink N`: tells the senders and takes their balls, N times. */
struct player {
    enum { PING, SENDER, SINK } role;
    char peer[64];
    uint64_t left, taken;
};

static int player_init(struct ph_context *context, const char *args, void **state)
{
    struct player made = {0};
    unsigned long long count = 0;
    if (sscanf(args, "ping %63s %llu", made.peer, &count) == 2) {
        made.role = PING;
    } else if (sscanf(args, "sink %llu", &count) == 1) {
        made.role = SINK;
    } else if (strcmp(args, "sender") == 0) {
        made.role = SENDER;
    } else {
        ph_fail(context, "args: use ping PEER COUNT, sender or sink COUNT");
        return PH_EUSAGE;
    }
    made.left = count;
    struct player *player = ph_alloc(sizeof *player);
    *player = made;
    *state = player;
    return 0;
}

/* The end of a game may find its receiver gone: that is no failure. */
static void throw_ball(struct ph_context *context, const char *to)
{
    static const char ball[BALL_BYTES + 1] = "a ball of forty-eight bytes, as good as any other";
    if (ph_cast(context, to, ball, BALL_BYTES))
        ph_fail(context, "nobody there");
}

static void tell_senders(struct ph_context *context)
{
    char id[32];
    for (unsigned i = 1; i <= SENDERS; i++) {
        snprintf(id, sizeof id, "w-%u", i);
        throw_ball(context, id);
    }
}

static int take_ball(struct ph_context *context, struct player *player)
{
    if (player->taken++ % (SENDERS * BURST) != 0)
        return PH_HANDLER_OK;
    if (player->left-- == 0)
        return PH_HANDLER_STOP;
    tell_senders(context);
    return PH_HANDLER_OK;
}

static int player_handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    struct player *player = state;
    (void)message;
    switch (player->role) {
    case PING:
        throw_ball(context, player->peer);
        return --player->left ? PH_HANDLER_OK : PH_HANDLER_STOP;
    case SENDER:
        for (unsigned i = 0; i < BURST; i++)
            throw_ball(context, "sink");
        return PH_HANDLER_OK;
    case SINK:
        return take_ball(context, player);
    }
    return PH_EFAILED;
}

static void player_terminate(struct ph_context *context, void *state)
{
    (void)context;
    ph_free(state);
}

static const struct ph_module player_module = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "bench-player",
    .summary = "plays ball, for `prochub bench messages`",
    .init = player_init,
    .handle = player_handle,
    .terminate = player_terminate,
};

/* ---- Ours ---------------------------------------------------------------------------------- */

static int start_player(struct ph_stage *stage, const char *id, const char *args,
                        struct ph_error *error)
{
    const char *const keys[] = {"module",  "bench-player", "args", args,
                                "restart", "temporary",    NULL};
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    int rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_ids_add(&ids, id, strlen(id));
    if (rc == 0)
        rc = ph_stage_start(stage, &ids, spec, error);
    return rc;
}

static int start_pair(struct ph_stage *stage, uint64_t number, uint64_t balls,
                      struct ph_error *error)
{
    char left[32], right[32], args[96];
    snprintf(left, sizeof left, "w-%llu", (unsigned long long)number);
    snprintf(right, sizeof right, "v-%llu", (unsigned long long)number);
    snprintf(args, sizeof args, "ping %s %llu", right, (unsigned long long)balls);
    int rc = start_player(stage, left, args, error);
    snprintf(args, sizeof args, "ping %s %llu", left, (unsigned long long)balls);
    return rc ? rc : start_player(stage, right, args, error);
}

/* Balls of each player of each pair. */
static uint64_t balls_of(const struct ph_bench_setup *setup)
{
    return 1 + (uint64_t)(setup->seconds * PLAYED_PER_SECOND) / 2 / setup->children;
}

static int measure_ping_pong(const struct ph_bench_setup *setup, double *values,
                             struct ph_error *error)
{
    struct ph_stage stage;
    uint64_t balls = balls_of(setup);
    int rc = ph_stage_open(&stage, setup, setup->threads, &player_module, error);
    for (uint64_t i = 1; rc == 0 && i <= setup->children; i++)
        rc = start_pair(&stage, i, balls, error);
    uint64_t start_ns = ph_now_ns();
    for (uint64_t i = 1; rc == 0 && i <= setup->children; i++) {
        char id[32];
        snprintf(id, sizeof id, "w-%llu", (unsigned long long)i);
        rc = ph_send(stage.hub, id, "go", 2);
    }
    if (rc == 0)
        rc = ph_stage_wait_fewer(&stage, 1, error);
    *values = (double)(2 * balls * setup->children) / ph_stage_since(start_ns);
    return rc;
}

/* How often all senders send. */
static uint64_t bursts_of(const struct ph_bench_setup *setup)
{
    return 1 + (uint64_t)(setup->seconds * PLAYED_PER_SECOND) / (SENDERS * BURST);
}

static int measure_fan_in(const struct ph_bench_setup *setup, double *values,
                          struct ph_error *error)
{
    static const char *const keys[] = {"module", "bench-player", "args", "sender", NULL};
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    char args[32];
    uint64_t bursts = bursts_of(setup);
    snprintf(args, sizeof args, "sink %llu", (unsigned long long)bursts);
    int rc = ph_stage_open(&stage, setup, setup->threads, &player_module, error);
    if (rc == 0)
        rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, SENDERS, error);
    if (rc == 0)
        rc = ph_stage_start(&stage, &ids, spec, error);
    if (rc == 0)
        rc = start_player(&stage, "sink", args, error);
    uint64_t start_ns = ph_now_ns();
    if (rc == 0)
        rc = ph_send(stage.hub, "sink", "go", 2);
    if (rc == 0)
        rc = ph_stage_wait_fewer(&stage, SENDERS + 1, error);
    *values = (double)(bursts * SENDERS * BURST) / ph_stage_since(start_ns);
    return rc;
}

static int send_all(struct ph_stage *stage, const char *ids, uint64_t children, uint64_t count,
                    struct ph_error *error)
{
    for (uint64_t i = 0; i < count; i++) {
        const char *id = ids + i % children * PH_STAGE_ID_BYTES;
        int rc;
        /* A full mailbox: its owner needs the core. */
        while ((rc = ph_send(stage->hub, id, "inc", 3)) == PH_ELIMIT)
            sched_yield();
        if (rc)
            return ph_error_set(error, rc, "cannot send: %s", ph_error_text(rc));
    }
    return 0;
}

/* Every call stands behind the messages sent before it. */
static int check_counts(struct ph_stage *stage, const char *ids, uint64_t children, uint64_t count,
                        struct ph_error *error)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < children; i++) {
        struct ph_op *op;
        int rc = ph_call(stage->hub, ids + i * PH_STAGE_ID_BYTES, "get", 3, &op);
        if (rc == 0)
            rc = ph_op_wait(op, 60000, NULL);
        if (rc)
            return ph_error_set(error, rc, "a counter does not answer");
        sum += strtoull(ph_op_result(op)->reply, NULL, 10);
        ph_op_put(op);
    }
    return sum == count ? 0 : ph_error_set(error, PH_EFAILED, "messages were lost");
}

static int measure_foreign(const struct ph_bench_setup *setup, double *values,
                           struct ph_error *error)
{
    static const char *const keys[] = {"module", "counter", NULL};
    struct ph_stage stage;
    struct ph_spec *spec;
    struct ph_ids ids = {0};
    uint64_t count = 1 + (uint64_t)(setup->seconds * SENT_PER_SECOND);
    int rc = ph_stage_open(&stage, setup, setup->threads, NULL, error);
    if (rc == 0)
        rc = ph_stage_spec(keys, NULL, &spec, error);
    if (rc == 0)
        rc = ph_stage_ids(&ids, setup->children, error);
    if (rc == 0)
        rc = ph_stage_start(&stage, &ids, spec, error);
    char *shuffled = ph_stage_shuffled_ids(setup->children);
    uint64_t start_ns = ph_now_ns();
    if (rc == 0)
        rc = send_all(&stage, shuffled, setup->children, count, error);
    if (rc == 0)
        rc = check_counts(&stage, shuffled, setup->children, count, error);
    *values = (double)count / ph_stage_since(start_ns);
    ph_free(shuffled);
    return rc;
}

/* ---- The ceiling --------------------------------------------------------------------------- */

/* A new message for every send, as between real actors, but from the freelist. */
static void bare_throw(struct ph_bare_actors *actors, struct ph_bare_actor *to)
{
    struct ph_bare_message *message = ph_bare_message_get(actors);
    memset(message->data, 'b', BALL_BYTES);
    ph_bare_actor_send(actors, to, message);
}

static void bare_ping(struct ph_bare_actors *actors, struct ph_bare_actor *self,
                      struct ph_bare_message *message)
{
    ph_bare_message_put(actors, message);
    actors->left--;
    if (self->count--)
        bare_throw(actors, self->peer);
}

static int bare_ping_pong(const struct ph_bench_setup *setup, double *values,
                          struct ph_error *error)
{
    (void)error;
    struct ph_bare_actors actors;
    uint64_t balls = balls_of(setup), all = setup->children * 2;
    ph_bare_actors_init(&actors, all);
    for (uint64_t i = 0; i < all; i++) {
        actors.actors[i].handle = bare_ping;
        actors.actors[i].peer = &actors.actors[i ^ 1];
        actors.actors[i].count = balls;
    }
    actors.left = all * balls;
    uint64_t start_ns = ph_now_ns();
    for (uint64_t i = 0; i < all; i += 2)
        bare_throw(&actors, &actors.actors[i]);
    ph_bare_actors_run(&actors);
    *values = (double)(all * balls) / ph_stage_since(start_ns);
    return 0;
}

static void bare_burst(struct ph_bare_actors *actors, struct ph_bare_actor *self,
                       struct ph_bare_message *message)
{
    ph_bare_message_put(actors, message);
    for (unsigned i = 0; i < BURST; i++)
        bare_throw(actors, self->peer);
}

static void bare_sink(struct ph_bare_actors *actors, struct ph_bare_actor *self,
                      struct ph_bare_message *message)
{
    ph_bare_message_put(actors, message);
    if (actors->left)
        actors->left--;
    if (self->count++ % (SENDERS * BURST) != 0)
        return;
    for (unsigned i = 0; i < SENDERS; i++)
        bare_throw(actors, &actors->actors[1 + i]);
}

static int bare_fan_in(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    (void)error;
    struct ph_bare_actors actors;
    uint64_t balls = bursts_of(setup) * SENDERS * BURST;
    ph_bare_actors_init(&actors, SENDERS + 1);
    actors.actors[0].handle = bare_sink;
    for (unsigned i = 1; i <= SENDERS; i++) {
        actors.actors[i].handle = bare_burst;
        actors.actors[i].peer = &actors.actors[0];
    }
    actors.left = balls;
    uint64_t start_ns = ph_now_ns();
    bare_throw(&actors, &actors.actors[0]);
    ph_bare_actors_run(&actors);
    *values = (double)balls / ph_stage_since(start_ns);
    return 0;
}

static void bare_count(struct ph_bare_actors *actors, struct ph_bare_actor *self,
                       struct ph_bare_message *message)
{
    self->count += message->data[0] == 'i';
    actors->left--;
}

static void *run_actors(void *arg)
{
    ph_bare_actors_run(arg);
    return NULL;
}

/* The messages lie ready: the sender's freelist never runs dry. */
static int bare_foreign(const struct ph_bench_setup *setup, double *values, struct ph_error *error)
{
    pthread_t thread;
    struct ph_bare_actors actors;
    uint64_t count = 1 + (uint64_t)(setup->seconds * SENT_PER_SECOND);
    struct ph_bare_message *messages = ph_alloc(count * sizeof *messages);
    memset(messages, 1, count * sizeof *messages);
    ph_bare_actors_init(&actors, setup->children);
    for (uint64_t i = 0; i < setup->children; i++)
        actors.actors[i].handle = bare_count;
    actors.left = count;
    if (pthread_create(&thread, NULL, run_actors, &actors))
        return ph_error_set(error, PH_EFAILED, "cannot start a thread");
    uint64_t start_ns = ph_now_ns();
    for (uint64_t i = 0; i < count; i++) {
        memcpy(messages[i].data, "inc", 4);
        ph_bare_actor_send(&actors, &actors.actors[i % setup->children], &messages[i]);
    }
    pthread_join(thread, NULL);
    *values = (double)count / ph_stage_since(start_ns);
    return 0;
}

static const struct ph_bench_case cases[] = {
    {.figures = {{.name = "ping-pong on 1 worker, pairs", .unit = "messages/s"}},
     .ours = measure_ping_pong,
     .ceiling = bare_ping_pong,
     .children = 1,
     .fixed = true,
     .threads = 1},
    {.figures = {{.name = "ping-pong on 1 worker, pairs", .unit = "messages/s"}},
     .ours = measure_ping_pong,
     .ceiling = bare_ping_pong,
     .children = 1000,
     .threads = 1},
    {.figures = {{.name = "ping-pong on 2 workers, pairs", .unit = "messages/s"}},
     .ours = measure_ping_pong,
     .ceiling = bare_ping_pong,
     .children = 1000,
     .threads = 2},
    {.figures = {{.name = "fan-in to 1 on 1 worker, senders", .unit = "messages/s"}},
     .ours = measure_fan_in,
     .ceiling = bare_fan_in,
     .children = SENDERS,
     .fixed = true,
     .threads = 1},
    {.figures = {{.name = "sent by a foreign thread to counters", .unit = "messages/s"}},
     .ours = measure_foreign,
     .ceiling = bare_foreign,
     .children = 1000,
     .threads = 1},
};

const struct ph_bench_suite ph_bench_messages = {
    .name = "messages",
    .summary = "messages to children and between them",
    .cases = cases,
    .case_count = PH_COUNT_OF(cases),
};
