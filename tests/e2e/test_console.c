/* The console of the real program in a terminal: what a person sees, and what stays when it ends.
 */
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/waiter.h"
#include "tests/lib/eventually.h"
#include "tests/lib/vt.h"

static const char *const usual[] = {"TERM=xterm-256color", "LANG=C.UTF-8", "HOME=/nonexistent",
                                    NULL};
static const char *const embedded[] = {"--name", "n1", NULL};

static int set_up(void **state)
{
    struct vt *vt = malloc(sizeof *vt);
    vt_start(vt, 24, 80, usual, embedded);
    vt_await(vt, "LIVE");
    *state = vt;
    return 0;
}

/* A terminal in which the test starts the program itself. */
static int set_up_closed(void **state)
{
    *state = calloc(1, sizeof(struct vt));
    return 0;
}

static int tear_down(void **state)
{
    vt_stop(*state);
    free(*state);
    return 0;
}

/* ---- What is seen ---- */

/* The first screen is the overview of the node; quitting leaves nothing behind. */
static void it_opens_and_quits(void **state)
{
    struct vt *vt = *state;
    assert_true(vt->alternate);
    vt_await(vt, "n1/default [1Overview]");
    vt_await(vt, "Gate open");
    vt_send(vt, "Q");
    int status = vt_await_end(vt);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    vt_assert_restored(vt);
}

/* What is typed after a colon runs, and its effect is on the screen. */
static void typed_commands_run(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, ":start x module=echo\r");
    vt_await(vt, "Children 1 ");
    vt_send(vt, ":sta\t");
    vt_await(vt, "start  ");
    vt_send(vt, "\x1b");
    vt_await_gone(vt, ":sta ");
    vt_send(vt, ":nonsense\r");
    vt_await(vt, "failed (2)");
    vt_send(vt, ":exit 7\r");
    int status = vt_await_end(vt);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    vt_assert_restored(vt);
}

/* Keys 1 to 7 show seven views, and ? their keys. */
static void digits_choose_the_view(void **state)
{
    static const char *const titles[] = {"[1Overview]", "[2Children]", "[3Moves]", "[4Events]",
                                         "[5Hooks]",    "[6Logs]",     "[7Nodes]"};
    struct vt *vt = *state;
    for (size_t i = 0; i < PH_COUNT_OF(titles); i++) {
        char key[2] = {(char)('7' - (int)i), 0};
        vt_send(vt, key);
        vt_await(vt, titles[PH_COUNT_OF(titles) - 1 - i]);
    }
    vt_send(vt, "2?");
    vt_await(vt, "HELP for Children");
    vt_send(vt, "q");
    vt_await_gone(vt, "HELP");
}

/* The node filters and sorts; the count is its count. */
static void children_are_listed_filtered_and_sorted(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, ":start w-[1..500] module=counter\r2");
    vt_await(vt, "500 of 500");
    vt_await(vt, "> w-1 ");
    vt_send(vt, "\x1bG");
    vt_await(vt, "> w-500 ");
    vt_send(vt, "/w-49\r");
    vt_await(vt, "11 of 500");
    vt_await(vt, "> w-49 ");
    vt_send(vt, "r");
    vt_await(vt, "> w-499 ");
    vt_send(vt, "/state = failed\r");
    vt_await(vt, "no child matches");
    vt_send(vt, "/no such field = 1\r");
    vt_await(vt, "? of 500");
    vt_send(vt, "/\r");
    vt_await(vt, "500 of 500");
}

/* Stopping asks; Enter alone cancels. The detail of a child opens and closes. */
static void stopping_needs_consent(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, ":start x module=echo\r2");
    vt_await(vt, "> x ");
    vt_send(vt, "\r");
    vt_await(vt, "child x ");
    vt_await(vt, "module=echo");
    vt_send(vt, "\x1b");
    vt_await_gone(vt, "child x ");
    vt_send(vt, "K");
    vt_await(vt, "stop 'x'");
    vt_await(vt, "It works on 1 child.");
    vt_send(vt, "\r");
    vt_await(vt, "canceled");
    vt_await(vt, "1 of 1");
    vt_send(vt, "K\t\r");
    vt_await(vt, "0 of 0");
}

/* A raised gate shows who holds it and counts down without any news from the node. */
static void a_lock_counts_down(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, ":lock name=deploy for=60s\r");
    vt_await(vt, "Gate at level 10  held by deploy");
    vt_await(vt, "opens in 57.");
    vt_send(vt, ":unlock name=deploy\r");
    vt_await(vt, "Gate open");
}

/* Events come newest first, with what led to them. */
static void events_are_streamed(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, "4:start x module=echo\r");
    vt_await(vt, "child_started");
    vt_send(vt, ":stop x\r");
    vt_await(vt, "child_stopped");
    vt_await(vt, "cause  ");
}

/* ---- Cost ---- */

/* While nothing changes nothing is written. */
static void an_idle_console_is_silent(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, ":start w-[1..100] module=counter\r2");
    vt_await(vt, "100 of 100");
    uint64_t deadline = ph_now_ms() + 20000;
    while (vt_pump(vt, 1500) && ph_now_ms() < deadline)
        continue;
    assert_int_equal(vt_pump(vt, 2500), 0);
}

/* Waits until the screen is another one. */
static bool changes_within(struct vt *vt, uint64_t ms)
{
    char *before = strdup(vt_text(vt));
    uint64_t deadline = ph_now_ms() + ms;
    while (strcmp(before, vt_text(vt)) == 0 && ph_now_ms() < deadline)
        vt_pump(vt, 100);
    bool changed = strcmp(before, vt_text(vt)) != 0;
    free(before);
    return changed;
}

/* The nodes are looked at also when nothing happens: links and times go on. */
static void nodes_are_live(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, "7");
    vt_await(vt, "RTT    UPTIME");
    for (unsigned i = 0; i < 3; i++) /* the first may still be the new view */
        assert_true(changes_within(vt, 20000));
}

/* A burst of sizes is one frame or few. */
static void a_burst_of_sizes_is_few_frames(void **state)
{
    struct vt *vt = *state;
    vt_pump(vt, 300);
    size_t before = vt->raw_length;
    for (int i = 0; i < 60; i++)
        vt_resize(vt, 20 + i % 10, 70 + i % 20);
    vt_pump(vt, 1000);
    assert_true(vt->raw_length - before < 15000);
}

/* ---- Sizes and terminals ---- */

/* Any size is survived, and no cell is stale: Ctrl-L changes nothing. */
static void every_size_is_survived(void **state)
{
    struct vt *vt = *state;
    uint64_t seed = 5;
    vt_send(vt, ":start w-[1..300] module=counter\r");
    for (int i = 0; i < 150; i++) {
        char key[2] = {"1234562?qjkG"[i % 12], 0};
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        vt_resize(vt, 1 + (int)((seed >> 33) % 60), 1 + (int)((seed >> 45) % 200));
        vt_send(vt, key);
        vt_pump(vt, i % 4 ? 0 : 60);
    }
    vt_resize(vt, 1, 1);
    vt_pump(vt, 100);
    vt_resize(vt, 30, 100);
    vt_send(vt, "qq2");
    vt_await(vt, "300 of 300");
    while (vt_pump(vt, 1500))
        continue;
    char *before = strdup(vt_text(vt));
    vt_send(vt, "\x0c");
    vt_pump(vt, 500);
    assert_string_equal(vt_text(vt), before);
    free(before);
}

/* A sequence like "\x1b[0;31m" that sets one of the eight colours. */
static bool raw_has_colour(const struct vt *vt)
{
    for (size_t i = 0; i + 2 < vt->raw_length; i++) {
        char sequence[32] = "";
        if (vt->raw[i] != '\x1b' || vt->raw[i + 1] != '[')
            continue;
        size_t left = vt->raw_length - i - 2;
        memcpy(sequence, vt->raw + i + 2, left < 31 ? left : 31);
        size_t length = strspn(sequence, "0123456789;");
        char *next = sequence;
        if (sequence[length] != 'm')
            continue;
        sequence[length] = '\0';
        for (char *part; next && (part = strsep(&next, ";"));) {
            if (strlen(part) == 2 && part[0] == '3' && part[1] < '8')
                return true;
        }
    }
    return false;
}

static void open_with(struct vt *vt, const char *term, const char *lang, const char *more)
{
    const char *const environment[] = {term, lang, "HOME=/nonexistent", more, NULL};
    vt_start(vt, 24, 80, environment, embedded);
}

static void fail_a_child(struct vt *vt)
{
    vt_send(vt, ":start x module=crash restart=temporary\r");
    vt_await(vt, "Children 1 ");
}

/* NO_COLOR and terminals without colours: the same words, no colours. */
static void monochrome_needs_no_colours(void **state)
{
    struct vt *vt = *state;
    static const char *const cases[][2] = {{"TERM=xterm-256color", "NO_COLOR=1"},
                                           {"TERM=vt100", "X=1"}};
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        open_with(vt, cases[i][0], "LANG=C.UTF-8", cases[i][1]);
        vt_await(vt, "LIVE");
        fail_a_child(vt);
        vt_send(vt, "2");
        vt_await(vt, "1 of 1");
        assert_false(raw_has_colour(vt));
        vt_send(vt, "Q");
        assert_int_equal(vt_await_end(vt), 0);
        vt_assert_restored(vt);
        vt_stop(vt);
    }
    open_with(vt, "TERM=xterm-256color", "LANG=C.UTF-8", NULL);
    vt_await(vt, "LIVE");
    fail_a_child(vt);
    vt_send(vt, "2");
    vt_await(vt, "1 of 1");
    assert_true(raw_has_colour(vt));
    vt_stop(vt);
}

/* Without UTF-8 every byte is ASCII. */
static void other_locales_get_ascii(void **state)
{
    struct vt *vt = *state;
    open_with(vt, "TERM=xterm", "LANG=C", NULL);
    vt_await(vt, "LIVE");
    fail_a_child(vt);
    vt_send(vt, "2?");
    vt_await(vt, "HELP");
    for (size_t i = 0; i < vt->raw_length; i++)
        assert_true((unsigned char)vt->raw[i] < 0x80);
    vt_stop(vt);
}

/* A terminal that cannot move its cursor gets lines. */
static void a_dumb_terminal_gets_lines(void **state)
{
    struct vt *vt = *state;
    open_with(vt, "TERM=dumb", "LANG=C.UTF-8", NULL);
    vt_await(vt, "prochub>");
    vt_send(vt, "start x module=echo\n");
    vt_await(vt, "changed");
    vt_send(vt, "count\n");
    vt_await(vt, "\n1\n");
    vt_send(vt, "exit 3\n");
    int status = vt_await_end(vt);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_null(memchr(vt->raw, '\x1b', vt->raw_length));
    vt_stop(vt);
}

/* ---- What stays ---- */

/* However it ends, the terminal is as before. */
static void every_end_restores_the_terminal(void **state)
{
    struct vt *vt = *state;
    static const int numbers[] = {SIGSEGV, SIGABRT, SIGBUS,  SIGFPE, SIGILL,
                                  SIGTERM, SIGHUP,  SIGQUIT, SIGINT};
    for (size_t i = 0; i < PH_COUNT_OF(numbers); i++) {
        vt_start(vt, 24, 80, usual, embedded);
        vt_await(vt, "LIVE");
        assert_true(vt->alternate && !vt->cursor);
        kill(vt->pid, numbers[i]);
        int status = vt_await_end(vt);
        if (WIFSIGNALED(status))
            assert_int_equal(WTERMSIG(status), numbers[i]);
        else
            assert_int_not_equal(WEXITSTATUS(status), 0);
        vt_assert_restored(vt);
        vt_stop(vt);
    }
}

/* Without a job control shell Ctrl-Z comes straight back; the screen is whole. */
static void suspending_comes_back_whole(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, "\x1a");
    vt_pump(vt, 300);
    vt_send(vt, "2");
    vt_await(vt, "[2Children]");
    assert_true(vt->alternate);
}

/* Ctrl-C ends a command that waits, and twice the console. */
static void control_c_ends_what_runs(void **state)
{
    struct vt *vt = *state;
    vt_send(vt, ":sleep 1h\r");
    vt_await(vt, "running  (Ctrl-C ends it)");
    vt_send(vt, "2");
    vt_await(vt, "[2Children]");
    vt_send(vt, "\x03");
    vt_await(vt, "failed (130)");
    vt_send(vt, "\x03");
    vt_pump(vt, 50);
    vt_send(vt, "\x03");
    int status = vt_await_end(vt);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    vt_assert_restored(vt);
}

/* ---- Another process's node ---- */

struct far {
    struct vt vt;
    pid_t pid;
    char dir[32], path[64], endpoint[80];
};

static void start_node(struct far *far)
{
    char path[512];
    const char *build = getenv("PH_BUILD_DIR");
    const char *argv[] = {"prochub", "node", "--name", "far", "--control", far->endpoint, NULL};
    snprintf(path, sizeof path, "%s/prochub", build ? build : "build");
    assert_int_equal(
        posix_spawn(&far->pid, path, NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
}

static void end_node(struct far *far)
{
    if (far->pid <= 0)
        return;
    kill(far->pid, SIGKILL);
    waitpid(far->pid, NULL, 0);
    far->pid = 0;
}

static bool answers(void *arg)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", ((struct far *)arg)->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return connected;
}

static int set_up_far(void **state)
{
    struct far *far = calloc(1, sizeof *far);
    *state = far;
    snprintf(far->dir, sizeof far->dir, "/tmp/console-XXXXXX");
    if (!mkdtemp(far->dir))
        return -1;
    snprintf(far->path, sizeof far->path, "%s/far.sock", far->dir);
    snprintf(far->endpoint, sizeof far->endpoint, "ipc://%s", far->path);
    return 0;
}

static int tear_down_far(void **state)
{
    char lock[80];
    struct far *far = *state;
    vt_stop(&far->vt);
    end_node(far);
    snprintf(lock, sizeof lock, "%s.lock", far->path);
    unlink(far->path);
    unlink(lock);
    rmdir(far->dir);
    free(far);
    return 0;
}

/* A node that dies is said to be gone, what was known stays, and a new one is found by itself. */
static void a_lost_node_is_found_again(void **state)
{
    struct far *far = *state;
    struct vt *vt = &far->vt;
    const char *const arguments[] = {"attach", far->endpoint, NULL};
    start_node(far);
    assert_true(eventually(answers, far, 20000));
    vt_start(vt, 24, 80, usual, arguments);
    vt_await(vt, "far/default");
    vt_await(vt, "LIVE");
    vt_send(vt, ":start w-[1..7] module=echo\r");
    vt_await(vt, "Children 7 ");
    end_node(far);
    vt_await(vt, "DISCONNECTED");
    assert_true(vt_shows(vt, "Children 7 "));
    start_node(far);
    vt_await(vt, "LIVE");
    vt_await(vt, "Children 0 ");
    vt_send(vt, ":start x module=echo\r2");
    vt_await(vt, "> x ");
    vt_send(vt, "Q");
    assert_int_equal(vt_await_end(vt), 0);
    vt_assert_restored(vt);
}

/* A node that did not answer for some time is looked at again soon, not only after nine times that.
 */
static void a_node_that_hung_is_looked_at_again(void **state)
{
    struct far *far = *state;
    struct vt *vt = &far->vt;
    const char *const arguments[] = {"attach", far->endpoint, NULL};
    start_node(far);
    assert_true(eventually(answers, far, 20000));
    vt_start(vt, 24, 80, usual, arguments);
    vt_await(vt, "LIVE");
    vt_send(vt, "7");
    vt_await(vt, "RTT    UPTIME");
    assert_int_equal(kill(far->pid, SIGSTOP), 0);
    while (changes_within(vt, 3000)) { /* now a question is under way */
    }
    assert_int_equal(kill(far->pid, SIGCONT), 0);
    assert_true(changes_within(vt, 20000)); /* its answer, … */
    assert_true(changes_within(vt, 15000)); /* … and that of the next one */
}

#define IN_TERMINAL(test) cmocka_unit_test_setup_teardown(test, set_up_closed, tear_down)
#define IN_CONSOLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CONSOLE(it_opens_and_quits),
        IN_CONSOLE(typed_commands_run),
        IN_CONSOLE(digits_choose_the_view),
        IN_CONSOLE(children_are_listed_filtered_and_sorted),
        IN_CONSOLE(stopping_needs_consent),
        IN_CONSOLE(a_lock_counts_down),
        IN_CONSOLE(events_are_streamed),
        IN_CONSOLE(an_idle_console_is_silent),
        IN_CONSOLE(nodes_are_live),
        IN_CONSOLE(a_burst_of_sizes_is_few_frames),
        IN_CONSOLE(every_size_is_survived),
        IN_TERMINAL(monochrome_needs_no_colours),
        IN_TERMINAL(other_locales_get_ascii),
        IN_TERMINAL(a_dumb_terminal_gets_lines),
        IN_TERMINAL(every_end_restores_the_terminal),
        IN_CONSOLE(suspending_comes_back_whole),
        IN_CONSOLE(control_c_ends_what_runs),
        cmocka_unit_test_setup_teardown(a_lost_node_is_found_again, set_up_far, tear_down_far),
        cmocka_unit_test_setup_teardown(a_node_that_hung_is_looked_at_again, set_up_far,
                                        tear_down_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
