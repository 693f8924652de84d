#include "engine/kind/monitor.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tests/lib/eventually.h"
#include "tests/lib/victim.h"

enum { SOON_MS = 20000, MANY = 300 };

/* What one process's owner was told. */
struct place {
    struct ph_process *process;
    pthread_mutex_t lock;
    uint32_t instance, ups, downs, up_instance, down_instance, notes;
    struct ph_exit exit;
    char note_type[64], note_text[400];
    bool destroy_when_down;
};

struct fixture {
    struct ph_monitor *monitor;
    char dir[64], file[96], self[256];
};

static void told_up(void *arg, uint32_t instance)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->lock);
    place->ups++;
    place->up_instance = instance;
    pthread_mutex_unlock(&place->lock);
}

static void told_down(void *arg, uint32_t instance, const struct ph_exit *exit)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->lock);
    place->downs++;
    place->down_instance = instance;
    place->exit = *exit;
    if (place->destroy_when_down)
        ph_process_destroy_any(place->process);
    pthread_mutex_unlock(&place->lock);
}

static void told_note(void *arg, const char *type, const char *text)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->lock);
    place->notes++;
    snprintf(place->note_type, sizeof place->note_type, "%s", type);
    snprintf(place->note_text, sizeof place->note_text, "%s", text);
    pthread_mutex_unlock(&place->lock);
}

static const struct ph_process_owner owner = {
    .up = told_up,
    .down = told_down,
    .note = told_note,
};

/* ---- Helpers ------------------------------------------------------------------------------------
 */

static void place_init(struct place *place, struct fixture *fixture)
{
    *place = (struct place){0};
    pthread_mutex_init(&place->lock, NULL);
    place->process = ph_process_create(fixture->monitor, &owner, place);
}

static struct place snapshot(struct place *place)
{
    pthread_mutex_lock(&place->lock);
    struct place copy = *place;
    pthread_mutex_unlock(&place->lock);
    return copy;
}

/* "KEY=VALUE" words, then "--" and the program's. */
static void launch(struct place *place, const char *const *words)
{
    struct ph_error error = {0};
    struct ph_spec *spec = ph_spec_create();
    for (; strcmp(*words, "--") != 0; words++) {
        char key[64];
        const char *equals = strchr(*words, '=');
        snprintf(key, sizeof key, "%.*s", (int)(equals - *words), *words);
        if (ph_spec_set(spec, key, equals + 1, &error) != 0)
            fail_msg("%s", error.text);
    }
    for (words++; *words; words++) {
        if (ph_spec_add_arg(spec, *words, &error) != 0)
            fail_msg("%s", error.text);
    }
    place->instance++;
    ph_process_start_any(place->process, "it", spec, place->instance, 7);
    ph_spec_put(spec);
}

#define LAUNCH(place, ...) launch(place, (const char *const[]){__VA_ARGS__, NULL})

static bool is_up(void *arg)
{
    struct place now = snapshot(arg);
    return now.up_instance == now.instance;
}

static bool is_down(void *arg)
{
    struct place now = snapshot(arg);
    return now.down_instance == now.instance;
}

static bool has_note(void *arg)
{
    return snapshot(arg).notes > 0;
}

static struct place await_down(struct place *place)
{
    assert_true(eventually(is_down, place, SOON_MS));
    struct place now = snapshot(place);
    assert_int_equal(now.downs, now.instance); /* never more than one for an instance */
    return now;
}

static void await_up(struct place *place)
{
    assert_true(eventually(is_up, place, SOON_MS));
}

static int pid_of(const struct place *place)
{
    struct ph_process_info info;
    ph_process_inspect_any(place->process, &info);
    return info.pid;
}

static struct place end(struct place *place)
{
    ph_process_kill_any(place->process);
    struct place now = await_down(place);
    ph_process_destroy_any(place->process);
    return now;
}

/* Not there, or only waiting to be reaped by someone else. */
static bool is_gone(void *arg)
{
    char path[64], text[256] = "";
    int pid = *(int *)arg;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    const char *name_end = strrchr(text, ')');
    return got == 0 || !name_end || name_end[2] == 'Z' || name_end[2] == 'X';
}

/* The pids that victims wrote into the fixture's file. */
static size_t read_pids(const struct fixture *fixture, int *pids, size_t max)
{
    size_t count = 0;
    FILE *file = fopen(fixture->file, "re");
    while (file && count < max && fscanf(file, "%d", &pids[count]) == 1)
        count++;
    if (file)
        fclose(file);
    return count;
}

struct wanted {
    const struct fixture *fixture;
    size_t count;
};

static bool pids_are_written(void *arg)
{
    const struct wanted *wanted = arg;
    int pids[64];
    return read_pids(wanted->fixture, pids, PH_COUNT_OF(pids)) >= wanted->count;
}

static void await_pids(const struct fixture *fixture, int *pids, size_t count)
{
    struct wanted wanted = {.fixture = fixture, .count = count};
    assert_true(eventually(pids_are_written, &wanted, SOON_MS));
    assert_int_equal(read_pids(fixture, pids, count), count);
}

struct lines {
    char text[4096];
    size_t count;
    uint64_t errors;
};

static void add_line(void *arg, const struct ph_log_line *line)
{
    struct lines *lines = arg;
    size_t used = strlen(lines->text);
    snprintf(lines->text + used, sizeof lines->text - used, "%.*s\n", (int)line->length,
             line->text);
    lines->count++;
    lines->errors += line->error;
}

static struct lines output_of(const struct place *place)
{
    struct lines lines = {0};
    ph_process_log_any(place->process, 0, 0, add_line, &lines);
    return lines;
}

static size_t count_fds(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static int keeper_pid(void)
{
    char path[96], name[64];
    int keeper = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)getpid());
    DIR *tasks = opendir(path);
    for (struct dirent *task = readdir(tasks); task; task = readdir(tasks)) {
        snprintf(path, sizeof path, "/proc/self/task/%.20s/children", task->d_name);
        FILE *file = fopen(path, "re");
        int pid;
        while (file && fscanf(file, "%d", &pid) == 1) {
            snprintf(path, sizeof path, "/proc/%d/comm", pid);
            FILE *comm = fopen(path, "re");
            if (comm && fgets(name, sizeof name, comm) && !strcmp(name, "prochub-keeper\n"))
                keeper = pid;
            if (comm)
                fclose(comm);
        }
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return keeper;
}

static int set_up(void **state)
{
    struct ph_error error = {0};
    struct fixture *fixture = ph_alloc(sizeof *fixture);
    snprintf(fixture->dir, sizeof fixture->dir, "/tmp/ph-monitor-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    snprintf(fixture->file, sizeof fixture->file, "%s/pids", fixture->dir);
    ssize_t length = readlink("/proc/self/exe", fixture->self, sizeof fixture->self - 1);
    *state = fixture;
    return length < 0 ? -1 : ph_monitor_create(PH_KEEPER_PATH, &fixture->monitor, &error);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    ph_monitor_destroy(fixture->monitor);
    unlink(fixture->file);
    rmdir(fixture->dir);
    ph_free(fixture);
    return 0;
}

/* ---- Starts and ends ----------------------------------------------------------------------------
 */

/* Every way to end is told once, with its value. */
static void ends_are_told_with_their_value(void **state)
{
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "--", "sh", "-c", "exit 0");
    struct place now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_CODE);
    assert_int_equal(now.exit.value, 0);
    assert_int_equal(now.ups, 1);
    LAUNCH(&place, "--", "/bin/sh", "-c", "exit 3");
    now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_CODE);
    assert_int_equal(now.exit.value, 3);
    LAUNCH(&place, "--", "/bin/sh", "-c", "kill -USR1 $$");
    now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_SIGNAL);
    assert_int_equal(now.exit.value, SIGUSR1);
    ph_process_destroy_any(place.process);
}

/* stop sends the stop signal, signal any one, kill ends what ignores them. */
static void stop_signal_and_kill_reach_the_process(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    int pid;
    place_init(&place, *state);
    LAUNCH(&place, "--", "sleep", "1000");
    await_up(&place);
    ph_process_stop_any(place.process);
    assert_int_equal(await_down(&place).exit.value, SIGTERM);
    LAUNCH(&place, "stop_signal=INT", "--", "sleep", "1000");
    ph_process_stop_any(place.process); /* may come before it runs */
    assert_int_equal(await_down(&place).exit.value, SIGINT);
    LAUNCH(&place, "--", "sleep", "1000");
    await_up(&place);
    ph_process_signal_any(place.process, SIGUSR2);
    assert_int_equal(await_down(&place).exit.value, SIGUSR2);
    LAUNCH(&place, "--", fixture->self, "stubborn", fixture->file);
    await_pids(fixture, &pid, 1);
    await_up(&place);
    ph_process_stop_any(place.process);
    ph_process_signal_any(place.process, 0); /* refused by the keeper, harmless */
    assert_int_equal(pid_of(&place), pid);
    struct place now = end(&place);
    assert_int_equal(now.exit.value, SIGKILL);
    assert_true(is_gone(&pid));
}

/* What cannot be executed says which path and why, and leaves nothing. */
static void exec_failures_name_path_and_reason(void **state)
{
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "--", "/no/such/program");
    struct place now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_EXEC);
    assert_int_equal(now.exit.value, ENOENT);
    assert_string_equal(now.exit.text,
                        "cannot execute '/no/such/program': No such file or directory");
    LAUNCH(&place, "--", "no-such-program");
    now = await_down(&place);
    assert_int_equal(now.exit.value, ENOENT);
    assert_non_null(strstr(now.exit.text, "'no-such-program': not found in PATH"));
    LAUNCH(&place, "--", "/etc/passwd");
    assert_int_equal(await_down(&place).exit.value, EACCES);
    LAUNCH(&place, "cwd=/no/such/dir", "--", "true");
    now = await_down(&place);
    assert_string_equal(now.exit.text,
                        "cannot change to directory '/no/such/dir': No such file or directory");
    LAUNCH(&place, "user=nobody-of-that-name", "--", "true");
    now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_EXEC);
    assert_non_null(strstr(now.exit.text, "no user 'nobody-of-that-name'"));
    assert_int_equal(now.ups, 0);
    assert_int_equal(pid_of(&place), 0);
    ph_process_destroy_any(place.process);
}

/* A keeper that is not there, or is something else, is said with its path. */
static void a_missing_keeper_is_named(void **state)
{
    (void)state;
    static const char *const paths[] = {"/no/such/keeper", "/bin/true"};
    for (size_t i = 0; i < PH_COUNT_OF(paths); i++) {
        struct ph_error error = {0};
        struct fixture fixture = {0};
        struct place place;
        assert_int_equal(ph_monitor_create(paths[i], &fixture.monitor, &error), 0);
        place_init(&place, &fixture);
        LAUNCH(&place, "--", "true");
        struct place now = await_down(&place);
        assert_int_equal(now.exit.how, PH_EXIT_EXEC);
        assert_non_null(strstr(now.exit.text, paths[i]));
        ph_process_destroy_any(place.process);
        ph_monitor_destroy(fixture.monitor);
    }
}

/* A program finds clean descriptors, signals, session and its own environment. */
static void a_program_starts_clean(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    int leaked = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a host program may do */
    setenv("SECRET", "x", 1);
    signal(SIGPIPE, SIG_IGN);
    place_init(&place, *state);
    LAUNCH(&place, "watchdog=60s", "--", fixture->self, "inspect");
    await_down(&place);
    assert_string_equal(output_of(&place).text,
                        "fd 0\nfd 1\nfd 2\nblocked 0 ignored 0 leader 1\nwatchdog 1\n");
    ph_process_destroy_any(place.process);
    place_init(&place, *state);
    LAUNCH(&place, "env.GREETING=hi there", "cwd=/", "--", "sh", "-c",
           "echo $GREETING $PROCHUB_ID $PROCHUB_EPOCH ${SECRET-none} ${PROCHUB_TOKEN:+token} "
           "$(ulimit -Sn) $PWD; cat");
    await_down(&place);
    assert_string_equal(output_of(&place).text, "hi there it 7 none token 1024 /\n");
    ph_process_destroy_any(place.process);
    signal(SIGPIPE, SIG_DFL);
    close(leaked);
}

/* The user of the spec is taken on, with its groups and its HOME. */
static void a_user_is_taken_on(void **state)
{
    struct place place;
    if (geteuid() != 0)
        skip();
    place_init(&place, *state);
    LAUNCH(&place, "user=nobody", "--", "sh", "-c", "echo $(id -un) $(id -Gn) $HOME");
    await_down(&place);
    assert_string_equal(output_of(&place).text, "nobody nogroup /nonexistent\n");
    ph_process_destroy_any(place.process);
}

/* ---- Output -------------------------------------------------------------------------------------
 */

/* stderr is joined or kept apart; the last unfinished line counts too. */
static void output_is_kept_as_lines(void **state)
{
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "--", "sh", "-c", "echo one; echo two >&2; printf three");
    await_down(&place);
    struct lines lines = output_of(&place);
    assert_string_equal(lines.text, "one\ntwo\nthree\n");
    assert_int_equal(lines.errors, 0);
    LAUNCH(&place, "stderr=split", "--", "sh", "-c", "echo four >&2");
    await_down(&place);
    lines = output_of(&place);
    assert_int_equal(lines.count, 4); /* over all instances */
    assert_int_equal(lines.errors, 1);
    ph_process_destroy_any(place.process);
}

/* A log file gets the bytes; one that cannot be opened is a note, not a failure. */
static void a_log_file_is_appended(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    char key[128], text[64] = "";
    snprintf(key, sizeof key, "log=%s", fixture->file);
    place_init(&place, *state);
    for (int i = 0; i < 2; i++) {
        LAUNCH(&place, key, "--", "echo", "hello");
        await_down(&place);
    }
    FILE *file = fopen(fixture->file, "re");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text - 1, file), 12);
    fclose(file);
    assert_string_equal(text, "hello\nhello\n");
    LAUNCH(&place, "log=/no/such/dir/log", "--", "true");
    struct place now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_CODE);
    assert_string_equal(now.note_type, "log_failed");
    ph_process_destroy_any(place.process);
}

static bool has_flooded(void *arg)
{
    struct ph_process_info info;
    ph_process_inspect_any(((struct place *)arg)->process, &info);
    return info.log_seq > 2000000 && info.log_dropped > 1000000;
}

/* A flood is read on, bounded in memory, and others start and end meanwhile. */
static void a_flood_does_not_starve_others(void **state)
{
    struct place flood, other;
    place_init(&flood, *state);
    place_init(&other, *state);
    LAUNCH(&flood, "--", "yes");
    assert_true(eventually(has_flooded, &flood, SOON_MS));
    for (int i = 0; i < 5; i++) {
        uint64_t began_ms = ph_now_ms();
        LAUNCH(&other, "--", "echo", "hello");
        await_down(&other);
        assert_true(ph_now_ms() - began_ms < 3000);
    }
    assert_int_equal(output_of(&other).count, 5);
    struct lines lines = {0};
    ph_process_log_any(flood.process, 0, 3, add_line, &lines);
    assert_string_equal(lines.text, "y\ny\ny\n");
    end(&flood);
    ph_process_destroy_any(other.process);
}

/* A reader of the log is woken by lines and by the end. */
static void log_readers_are_woken(void **state)
{
    struct place place;
    struct ph_waiter waiter;
    struct ph_wait_entry entry;
    place_init(&place, *state);
    ph_waiter_init(&waiter);
    ph_waitlist_join(ph_process_log_waiters(place.process), &entry, &waiter);
    LAUNCH(&place, "--", "echo", "hello");
    assert_int_equal(ph_waiter_sleep(&waiter, ph_now_ms() + SOON_MS), 0);
    await_down(&place);
    ph_waitlist_leave(ph_process_log_waiters(place.process), &entry);
    ph_waiter_fini(&waiter);
    ph_process_destroy_any(place.process);
}

/* A program that closes everything it has goes on and can be ended. */
static void closed_descriptors_are_no_end(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    int pid;
    place_init(&place, *state);
    LAUNCH(&place, "--", fixture->self, "closed", fixture->file);
    await_pids(fixture, &pid, 1);
    await_up(&place);
    assert_int_equal(snapshot(&place).downs, 0);
    assert_int_equal(pid_of(&place), pid);
    end(&place);
    assert_true(is_gone(&pid));
}

/* ---- Readiness and watchdog ---------------------------------------------------------------------
 */

static bool is_at_work(void *arg)
{
    struct ph_process_info info;
    ph_process_inspect_any(((struct place *)arg)->process, &info);
    return info.ready && strcmp(info.status, "at work") == 0;
}

/* ready=notify: up comes with READY=1, not with the start. */
static void readiness_comes_with_the_datagram(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "ready=notify", "--", fixture->self, "ready");
    await_up(&place);
    assert_true(eventually(is_at_work, &place, SOON_MS));
    assert_true(eventually(has_note, &place, SOON_MS));
    end(&place);
    place_init(&place, *state);
    LAUNCH(&place, "ready=notify", "--", "true");
    assert_int_equal(await_down(&place).ups, 0);
    for (uint32_t i = 1; i <= 40; i++) { /* said so, then ended: whatever is seen first */
        LAUNCH(&place, "ready=notify", "--", fixture->self, "quick");
        struct place now = await_down(&place);
        assert_int_equal(now.ups, i);
        assert_int_equal(now.exit.value, 5);
    }
    ph_process_destroy_any(place.process);
}

/* systemd's own tool works, although it is gone when its datagram is read, and waits for nothing.
 */
static void the_systemd_tool_works(void **state)
{
    struct place place;
    if (access("/usr/bin/systemd-notify", X_OK) != 0)
        skip();
    place_init(&place, *state);
    LAUNCH(&place, "ready=notify", "--", "sh", "-c", "systemd-notify --ready; sleep 1000");
    await_up(&place);
    end(&place);
}

/* Invalid datagrams are counted and noted; the valid one after them still counts. */
static void invalid_datagrams_are_counted(void **state)
{
    struct fixture *fixture = *state;
    struct ph_monitor_stats stats;
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "ready=notify", "--", fixture->self, "babble");
    await_up(&place);
    ph_monitor_stats_any(fixture->monitor, &stats);
    assert_int_equal(stats.notify_invalid, 7);
    struct place now = snapshot(&place);
    assert_string_equal(now.note_type, "notify_invalid");
    assert_true(now.notes <= 5);
    end(&place);
}

/* A missed WATCHDOG=1 kills the tree and says why; one that comes in time does not. */
static void a_missed_watchdog_kills(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "watchdog=100ms", "--", "sleep", "1000");
    struct place now = await_down(&place);
    assert_int_equal(now.ups, 1);
    assert_int_equal(now.exit.how, PH_EXIT_FAILED);
    assert_string_equal(now.exit.text, "watchdog: no WATCHDOG=1 for 100 ms");
    uint64_t began_ms = ph_now_ms();
    LAUNCH(&place, "watchdog=400ms", "ready=notify", "--", fixture->self, "healthy");
    now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_FAILED);
    assert_true(ph_now_ms() - began_ms >= 900); /* 600 ms of barks and one interval */
    ph_process_destroy_any(place.process);
}

/* ---- Trees --------------------------------------------------------------------------------------
 */

/* A daemon that left parent, session and environment dies with its tree, on kill and on exit. */
static void a_daemonised_descendant_dies_with_its_tree(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    int pids[3];
    place_init(&place, *state);
    LAUNCH(&place, "--", fixture->self, "daemon", fixture->file);
    await_pids(fixture, pids, 2);
    assert_false(is_gone(&pids[0]) || is_gone(&pids[1]));
    ph_process_kill_any(place.process);
    struct place now = await_down(&place);
    assert_true(is_gone(&pids[0]) && is_gone(&pids[1])); /* before it was told */
    assert_string_equal(now.exit.text, "1 leftover process killed");
    unlink(fixture->file);
    LAUNCH(&place, "--", fixture->self, "forker", fixture->file);
    now = await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_CODE);
    size_t count = read_pids(fixture, pids, 3);
    assert_true(count >= 1);
    for (size_t i = 0; i < count; i++)
        assert_true(is_gone(&pids[i]));
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
    await_pids(fixture, pids, 2);
    for (int i = 0; i < 10; i++) {
        LAUNCH(&other, "--", "sh", "-c", "setsid sleep 1000 & sleep 1000 & exit 0");
        await_down(&other);
    }
    assert_false(is_gone(&pids[0]) || is_gone(&pids[1]));
    end(&one);
    assert_true(is_gone(&pids[0]) && is_gone(&pids[1]));
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
    await_up(&plain);
    await_pids(fixture, pids, 2);
    kill(keeper_pid(), SIGKILL);
    struct place now = await_down(&plain);
    assert_int_equal(now.exit.how, PH_EXIT_FAILED);
    assert_string_equal(now.exit.text, "prochub-keeper died");
    await_down(&daemon);
    assert_true(is_gone(&pids[0]) && is_gone(&pids[1]));
    LAUNCH(&plain, "--", "true");
    assert_int_equal(await_down(&plain).exit.how, PH_EXIT_CODE);
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
    if (ph_monitor_create(PH_KEEPER_PATH, &own.monitor, &error) != 0)
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
    await_pids(fixture, pids, 3);
    kill(node, SIGKILL);
    assert_int_equal(waitpid(node, NULL, 0), node);
    for (size_t i = 0; i < PH_COUNT_OF(pids); i++)
        assert_true(eventually(is_gone, &pids[i], SOON_MS));
    int keeper = keeper_pid(); /* it may have come to us, who are a subreaper */
    if (keeper)
        assert_true(eventually(is_gone, &keeper, SOON_MS));
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

/* ---- Many ---------------------------------------------------------------------------------------
 */

/* 200 starts and ends later there are as many descriptors as before. */
static void restarts_leak_no_descriptors(void **state)
{
    struct place place;
    size_t fds = 0;
    place_init(&place, *state);
    for (int i = 0; i < 201; i++) {
        LAUNCH(&place, "watchdog=60s", "stderr=split", "--", "true");
        await_down(&place);
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
        await_up(&places[i]);
    for (int i = 0; i < MANY; i++)
        kill(pid_of(&places[i]), SIGKILL);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(await_down(&places[i]).exit.value, SIGKILL);
        LAUNCH(&places[i], "--", "sleep", "1000");
    }
    for (int i = 0; i < MANY; i++)
        await_up(&places[i]);
    for (int i = 0; i < MANY; i++)
        ph_process_kill_any(places[i].process);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(await_down(&places[i]).downs, 2);
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
    assert_int_equal(ph_monitor_create(PH_KEEPER_PATH, &own.monitor, &error), 0);
    place_init(&place, &own);
    place.destroy_when_down = true;
    LAUNCH(&place, "--", "sleep", "1000");
    await_up(&place);
    int pid = pid_of(&place);
    ph_monitor_destroy(own.monitor);
    assert_int_equal(snapshot(&place).downs, 1);
    assert_true(is_gone(&pid));
}

/* ---- Runs ---------------------------------------------------------------------------------------
 */

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
    ph_monitor_run_any(fixture->monitor, path, "the input", 9, timeout_ms, run_done, &run);
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
    assert_true(pid > 1 && is_gone(&pid));
    run = run_once(fixture, "/no/such/hook", 300);
    assert_int_equal(run.result.exit.how, PH_EXIT_EXEC);
    write_script(fixture, "#!/bin/sh\nhead -c 1000000 /dev/zero\n");
    run = run_once(fixture, fixture->file, 10000);
    assert_int_equal(run.result.output_length, 64 * 1024);
    assert_int_equal(run.result.exit.value, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    victim_main(argc, argv);
    if (argc > 2 && strcmp(argv[1], "node") == 0)
        be_a_node(argv[0], argv[2]);
    const struct CMUnitTest tests[] = {
        TEST(ends_are_told_with_their_value),
        TEST(stop_signal_and_kill_reach_the_process),
        TEST(exec_failures_name_path_and_reason),
        TEST(a_missing_keeper_is_named),
        TEST(a_program_starts_clean),
        TEST(a_user_is_taken_on),
        TEST(output_is_kept_as_lines),
        TEST(a_log_file_is_appended),
        TEST(a_flood_does_not_starve_others),
        TEST(log_readers_are_woken),
        TEST(closed_descriptors_are_no_end),
        TEST(readiness_comes_with_the_datagram),
        TEST(the_systemd_tool_works),
        TEST(invalid_datagrams_are_counted),
        TEST(a_missed_watchdog_kills),
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
