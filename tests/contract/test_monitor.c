#include "engine/kind/monitor.h"

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

/* ---- Starts and ends ------------------------------------------------------------------------- */

/* Every way to end is told once, with its value. */
static void ends_are_told_with_their_value(void **state)
{
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "--", "sh", "-c", "exit 0");
    struct place now = place_await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_CODE);
    assert_int_equal(now.exit.value, 0);
    assert_int_equal(now.ups, 1);
    LAUNCH(&place, "--", "/bin/sh", "-c", "exit 3");
    now = place_await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_CODE);
    assert_int_equal(now.exit.value, 3);
    LAUNCH(&place, "--", "/bin/sh", "-c", "kill -USR1 $$");
    now = place_await_down(&place);
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
    place_await_up(&place);
    ph_process_stop_any(place.process);
    assert_int_equal(place_await_down(&place).exit.value, SIGTERM);
    LAUNCH(&place, "stop_signal=INT", "--", "sleep", "1000");
    ph_process_stop_any(place.process); /* may come before it runs */
    assert_int_equal(place_await_down(&place).exit.value, SIGINT);
    LAUNCH(&place, "--", "sleep", "1000");
    place_await_up(&place);
    ph_process_signal_any(place.process, SIGUSR2);
    assert_int_equal(place_await_down(&place).exit.value, SIGUSR2);
    LAUNCH(&place, "--", fixture->self, "stubborn", fixture->file);
    fixture_await_pids(fixture, &pid, 1);
    place_await_up(&place);
    ph_process_stop_any(place.process);
    ph_process_signal_any(place.process, 0); /* refused by the keeper, harmless */
    assert_int_equal(place_pid(&place), pid);
    struct place now = place_end(&place);
    assert_int_equal(now.exit.value, SIGKILL);
    assert_true(pid_is_gone(&pid));
}

/* What cannot be executed says which path and why, and leaves nothing. */
static void exec_failures_name_path_and_reason(void **state)
{
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "--", "/no/such/program");
    struct place now = place_await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_EXEC);
    assert_int_equal(now.exit.value, ENOENT);
    assert_string_equal(now.exit.text,
                        "cannot execute '/no/such/program': No such file or directory");
    LAUNCH(&place, "--", "no-such-program");
    now = place_await_down(&place);
    assert_int_equal(now.exit.value, ENOENT);
    assert_non_null(strstr(now.exit.text, "'no-such-program': not found in PATH"));
    LAUNCH(&place, "--", "/etc/passwd");
    assert_int_equal(place_await_down(&place).exit.value, EACCES);
    LAUNCH(&place, "cwd=/no/such/dir", "--", "true");
    now = place_await_down(&place);
    assert_string_equal(now.exit.text,
                        "cannot change to directory '/no/such/dir': No such file or directory");
    LAUNCH(&place, "user=nobody-of-that-name", "--", "true");
    now = place_await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_EXEC);
    assert_non_null(strstr(now.exit.text, "no user 'nobody-of-that-name'"));
    assert_int_equal(now.ups, 0);
    assert_int_equal(place_pid(&place), 0);
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
        assert_int_equal(ph_monitor_create(paths[i], false, &fixture.monitor, &error), 0);
        place_init(&place, &fixture);
        LAUNCH(&place, "--", "true");
        struct place now = place_await_down(&place);
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
    place_await_down(&place);
    assert_string_equal(place_output(&place).text,
                        "fd 0\nfd 1\nfd 2\nblocked 0 ignored 0 leader 1\nwatchdog 1\n");
    ph_process_destroy_any(place.process);
    place_init(&place, *state);
    LAUNCH(&place, "env.GREETING=hi there", "cwd=/", "--", "sh", "-c",
           "echo $GREETING $PROCHUB_ID $PROCHUB_EPOCH ${SECRET-none} ${PROCHUB_TOKEN:+token} "
           "$(ulimit -Sn) $PWD; cat");
    place_await_down(&place);
    assert_string_equal(place_output(&place).text, "hi there it 7 none token 1024 /\n");
    ph_process_destroy_any(place.process);
    signal(SIGPIPE, SIG_DFL);
    close(leaked);
}

/* The user of the spec is taken on, with its groups and its HOME, by whoever may: root. */
static void a_user_is_taken_on(void **state)
{
    struct place place;
    place_init(&place, *state);
    const char *user = geteuid() == 0 ? "user=nobody" : "user=root";
    LAUNCH(&place, user, "--", "sh", "-c", "echo $(id -un) $(id -Gn) $HOME");
    struct place now = place_await_down(&place);
    if (geteuid() == 0)
        assert_string_equal(place_output(&place).text, "nobody nogroup /nonexistent\n");
    else
        assert_int_equal(now.exit.how, PH_EXIT_EXEC);
    ph_process_destroy_any(place.process);
}

/* ---- Output ---------------------------------------------------------------------------------- */

/* stderr is joined or kept apart; the last unfinished line counts too. */
static void output_is_kept_as_lines(void **state)
{
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "--", "sh", "-c", "echo one; echo two >&2; printf three");
    place_await_down(&place);
    struct lines lines = place_output(&place);
    assert_string_equal(lines.text, "one\ntwo\nthree\n");
    assert_int_equal(lines.errors, 0);
    LAUNCH(&place, "stderr=split", "--", "sh", "-c", "echo four >&2");
    place_await_down(&place);
    lines = place_output(&place);
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
        place_await_down(&place);
    }
    FILE *file = fopen(fixture->file, "re");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text - 1, file), 12);
    fclose(file);
    assert_string_equal(text, "hello\nhello\n");
    LAUNCH(&place, "log=/no/such/dir/log", "--", "true");
    struct place now = place_await_down(&place);
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
        place_await_down(&other);
        assert_true(ph_now_ms() - began_ms < 3000);
    }
    assert_int_equal(place_output(&other).count, 5);
    struct lines lines = {0};
    ph_process_log_any(flood.process, 0, 3, lines_add, &lines);
    assert_string_equal(lines.text, "y\ny\ny\n");
    place_end(&flood);
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
    place_await_down(&place);
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
    fixture_await_pids(fixture, &pid, 1);
    place_await_up(&place);
    assert_int_equal(place_snapshot(&place).downs, 0);
    assert_int_equal(place_pid(&place), pid);
    place_end(&place);
    assert_true(pid_is_gone(&pid));
}

/* ---- Readiness and watchdog ------------------------------------------------------------------ */

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
    place_await_up(&place);
    assert_true(eventually(is_at_work, &place, SOON_MS));
    assert_true(eventually(place_has_note, &place, SOON_MS));
    place_end(&place);
    place_init(&place, *state);
    LAUNCH(&place, "ready=notify", "--", "true");
    assert_int_equal(place_await_down(&place).ups, 0);
    for (uint32_t i = 1; i <= 40; i++) { /* said so, then ended: whatever is seen first */
        LAUNCH(&place, "ready=notify", "--", fixture->self, "quick");
        struct place now = place_await_down(&place);
        assert_int_equal(now.ups, i);
        assert_int_equal(now.exit.value, 5);
    }
    ph_process_destroy_any(place.process);
}

/* Invalid datagrams are counted and noted; the valid one after them still counts. */
static void invalid_datagrams_are_counted(void **state)
{
    struct fixture *fixture = *state;
    struct ph_monitor_stats stats;
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "ready=notify", "--", fixture->self, "babble");
    place_await_up(&place);
    ph_monitor_stats_any(fixture->monitor, &stats);
    assert_int_equal(stats.notify_invalid, 7);
    struct place now = place_snapshot(&place);
    assert_string_equal(now.note_type, "notify_invalid");
    assert_true(now.notes <= 5);
    place_end(&place);
}

/* A missed WATCHDOG=1 kills the tree and says why; one that comes in time does not. */
static void a_missed_watchdog_kills(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, *state);
    LAUNCH(&place, "watchdog=100ms", "--", "sleep", "1000");
    struct place now = place_await_down(&place);
    assert_int_equal(now.ups, 1);
    assert_int_equal(now.exit.how, PH_EXIT_FAILED);
    assert_string_equal(now.exit.text, "watchdog: no WATCHDOG=1 for 100 ms");
    uint64_t began_ms = ph_now_ms();
    LAUNCH(&place, "watchdog=400ms", "ready=notify", "--", fixture->self, "healthy");
    now = place_await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_FAILED);
    assert_true(ph_now_ms() - began_ms >= 900); /* 600 ms of barks and one interval */
    ph_process_destroy_any(place.process);
}

int main(int argc, char **argv)
{
    victim_main(argc, argv);
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
        TEST(invalid_datagrams_are_counted),
        TEST(a_missed_watchdog_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
