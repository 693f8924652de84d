#include "engine/kind/monitor.h"

#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tests/lib/eventually.h"
#include "tests/lib/place.h"
#include "tests/lib/victim.h"

enum { MANY = 300 };

/* ---- Trees ----------------------------------------------------------------------------------- */

/* A daemon that left parent, session and environment dies with its tree, on kill and on exit. */
static void a_daemonised_descendant_dies_with_its_tree(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    int pids[3];
    place_init(&place, *state);
    LAUNCH(&place, "--", fixture->self, "daemon", fixture->file);
    fixture_await_pids(fixture, pids, 2);
    assert_false(pid_is_gone(&pids[0]) || pid_is_gone(&pids[1]));
    ph_process_kill_any(place.process);
    struct place now = place_await_down(&place);
    assert_true(pid_is_gone(&pids[0]) && pid_is_gone(&pids[1])); /* before it was told */
    assert_string_equal(now.exit.text, "1 leftover process killed");
    unlink(fixture->file);
    LAUNCH(&place, "--", fixture->self, "forker", fixture->file);
    now = place_await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_CODE);
    size_t count = fixture_read_pids(fixture, pids, 3);
    assert_true(count >= 1);
    for (size_t i = 0; i < count; i++)
        assert_true(pid_is_gone(&pids[i]));
    ph_process_destroy_any(place.process);
}

/* One tree's end does not touch another's daemon. */
static void trees_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    struct place one, other;
    int pids[2];
    place_init(&one, *state);
    place_init(&other, *state);
    LAUNCH(&one, "--", fixture->self, "daemon", fixture->file);
    fixture_await_pids(fixture, pids, 2);
    for (int i = 0; i < 10; i++) {
        LAUNCH(&other, "--", "sh", "-c", "setsid sleep 1000 & sleep 1000 & exit 0");
        place_await_down(&other);
    }
    assert_false(pid_is_gone(&pids[0]) || pid_is_gone(&pids[1]));
    place_end(&one);
    assert_true(pid_is_gone(&pids[0]) && pid_is_gone(&pids[1]));
    ph_process_destroy_any(other.process);
}

/* kill -9 of the keeper: everything is told as down and nothing is left; the next start has a new
 * keeper; other children of this program are not touched. */
static void the_keepers_death_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct ph_monitor_stats stats;
    struct place daemon, plain;
    int pids[2];
    pid_t own = fork();
    if (own == 0)
        victim_wait();
    place_init(&daemon, *state);
    place_init(&plain, *state);
    LAUNCH(&daemon, "--", fixture->self, "daemon", fixture->file);
    LAUNCH(&plain, "--", "sleep", "1000");
    place_await_up(&plain);
    fixture_await_pids(fixture, pids, 2);
    kill(keeper_pid(), SIGKILL);
    struct place now = place_await_down(&plain);
    assert_int_equal(now.exit.how, PH_EXIT_FAILED);
    assert_string_equal(now.exit.text, "prochub-keeper died");
    place_await_down(&daemon);
    assert_true(pid_is_gone(&pids[0]) && pid_is_gone(&pids[1]));
    LAUNCH(&plain, "--", "true");
    assert_int_equal(place_await_down(&plain).exit.how, PH_EXIT_CODE);
    ph_monitor_stats_any(fixture->monitor, &stats);
    assert_int_equal(stats.keeper_starts, 2);
    assert_int_equal(stats.alive, 0);
    assert_int_equal(waitpid(own, NULL, WNOHANG), 0);
    kill(own, SIGKILL);
    assert_int_equal(waitpid(own, NULL, 0), own);
    ph_process_destroy_any(daemon.process);
    ph_process_destroy_any(plain.process);
}

/* This executable as a node of its own: two processes, whose pids go into `file`. */
static void be_a_node(char *self, char *file)
{
    struct ph_error error = {0};
    struct fixture own = {0};
    struct place daemon, plain;
    char key[128];
    snprintf(key, sizeof key, "env.FILE=%s", file);
    if (ph_monitor_create(PH_KEEPER_PATH, false, &own.monitor, &error) != 0)
        _exit(1);
    place_init(&daemon, &own);
    place_init(&plain, &own);
    LAUNCH(&daemon, "--", self, "daemon", file);
    LAUNCH(&plain, key, "--", "sh", "-c", "echo $$ >>$FILE; exec sleep 1000");
    victim_wait();
}

/* kill -9 of the node: the keeper ends all trees, and itself. */
static void the_nodes_death_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    int pids[3];
    pid_t node = fork();
    if (node == 0) {
        execl(fixture->self, fixture->self, "node", fixture->file, (char *)NULL);
        _exit(1);
    }
    fixture_await_pids(fixture, pids, 3);
    kill(node, SIGKILL);
    assert_int_equal(waitpid(node, NULL, 0), node);
    for (size_t i = 0; i < PH_COUNT_OF(pids); i++)
        assert_true(eventually(pid_is_gone, &pids[i], SOON_MS));
    int keeper = keeper_pid(); /* it may have come to us, who are a subreaper */
    if (keeper)
        assert_true(eventually(pid_is_gone, &keeper, SOON_MS));
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

/* ---- Many ------------------------------------------------------------------------------------ */

/* 200 starts and ends later there are as many descriptors as before. */
static void restarts_leak_no_descriptors(void **state)
{
    struct place place;
    size_t fds = 0;
    place_init(&place, *state);
    for (int i = 0; i < 201; i++) {
        LAUNCH(&place, "watchdog=60s", "stderr=split", "--", "true");
        place_await_down(&place);
        if (i == 0)
            fds = count_fds();
    }
    assert_int_equal(count_fds(), fds);
    ph_process_destroy_any(place.process);
}

/* Many processes killed from outside at once: each comes down once, and comes up again. */
static void many_killed_at_once_come_down_once_each(void **state)
{
    struct fixture *fixture = *state;
    struct place *places = ph_alloc(MANY * sizeof *places);
    for (int i = 0; i < MANY; i++) {
        place_init(&places[i], fixture);
        LAUNCH(&places[i], "--", "sleep", "1000");
    }
    for (int i = 0; i < MANY; i++)
        place_await_up(&places[i]);
    for (int i = 0; i < MANY; i++)
        kill(place_pid(&places[i]), SIGKILL);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(place_await_down(&places[i]).exit.value, SIGKILL);
        LAUNCH(&places[i], "--", "sleep", "1000");
    }
    for (int i = 0; i < MANY; i++)
        place_await_up(&places[i]);
    for (int i = 0; i < MANY; i++)
        ph_process_kill_any(places[i].process);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(place_await_down(&places[i]).downs, 2);
        ph_process_destroy_any(places[i].process);
    }
    ph_free(places);
}

/* What runs when the monitor is destroyed is ended and told. */
static void destroy_ends_what_is_left(void **state)
{
    struct ph_error error = {0};
    struct fixture own = *(struct fixture *)*state;
    struct place place;
    assert_int_equal(ph_monitor_create(PH_KEEPER_PATH, false, &own.monitor, &error), 0);
    place_init(&place, &own);
    place.destroy_when_down = true;
    LAUNCH(&place, "--", "sleep", "1000");
    place_await_up(&place);
    int pid = place_pid(&place);
    ph_monitor_destroy(own.monitor);
    assert_int_equal(place_snapshot(&place).downs, 1);
    assert_true(pid_is_gone(&pid));
}

/* ---- Runs ------------------------------------------------------------------------------------ */

struct run {
    pthread_mutex_t lock;
    unsigned done;
    struct ph_run_result result;
    char output[256];
};

static void run_done(void *arg, const struct ph_run_result *result)
{
    struct run *run = arg;
    pthread_mutex_lock(&run->lock);
    run->done++;
    run->result = *result;
    snprintf(run->output, sizeof run->output, "%.*s", (int)result->output_length, result->output);
    pthread_mutex_unlock(&run->lock);
}

static bool is_done(void *arg)
{
    struct run *run = arg;
    pthread_mutex_lock(&run->lock);
    bool done = run->done > 0;
    pthread_mutex_unlock(&run->lock);
    return done;
}

static void write_script(const struct fixture *fixture, const char *text)
{
    int fd = open(fixture->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static struct run run_once(struct fixture *fixture, const char *path, uint64_t timeout_ms)
{
    struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER};
    ph_monitor_run_any(fixture->monitor, &(struct ph_run_request){.path = path,
                                                                  .input = "the input",
                                                                  .length = 9,
                                                                  .timeout_ms = timeout_ms,
                                                                  .done = run_done,
                                                                  .arg = &run});
    assert_true(eventually(is_done, &run, SOON_MS));
    return run;
}

/* An executable gets its input and gives its output; too long, and its tree is killed. */
static void an_executable_is_run_once(void **state)
{
    struct fixture *fixture = *state;
    write_script(fixture, "#!/bin/sh\necho got $(cat)\nexit 4\n");
    struct run run = run_once(fixture, fixture->file, 10000);
    assert_string_equal(run.output, "got the input\n");
    assert_int_equal(run.result.exit.how, PH_EXIT_CODE);
    assert_int_equal(run.result.exit.value, 4);
    write_script(fixture, "#!/bin/sh\necho $$\nsetsid sleep 1000\n");
    run = run_once(fixture, fixture->file, 300);
    assert_true(run.result.timed_out);
    assert_true(run.result.elapsed_ms >= 300 && run.result.elapsed_ms < 5000);
    int pid = atoi(run.output);
    assert_true(pid > 1 && pid_is_gone(&pid));
    run = run_once(fixture, "/no/such/hook", 300);
    assert_int_equal(run.result.exit.how, PH_EXIT_EXEC);
    write_script(fixture, "#!/bin/sh\nhead -c 1000000 /dev/zero\n");
    run = run_once(fixture, fixture->file, 10000);
    assert_int_equal(run.result.output_length, 64 * 1024);
    assert_int_equal(run.result.exit.value, 0);
}

int main(int argc, char **argv)
{
    victim_main(argc, argv);
    if (argc > 2 && strcmp(argv[1], "node") == 0)
        be_a_node(argv[0], argv[2]);
    const struct CMUnitTest tests[] = {
        TEST(a_daemonised_descendant_dies_with_its_tree),
        TEST(trees_are_told_apart),
        TEST(the_keepers_death_leaves_nothing),
        TEST(the_nodes_death_leaves_nothing),
        TEST(restarts_leak_no_descriptors),
        TEST(many_killed_at_once_come_down_once_each),
        TEST(destroy_ends_what_is_left),
        TEST(an_executable_is_run_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
