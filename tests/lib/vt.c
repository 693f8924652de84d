#include "tests/lib/vt.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <cmocka.h>

#include "engine/waiter.h"

enum { DEADLINE_MS = 20000, STEP_MS = 20, ARGUMENTS_MAX = 16 };

static int on_property(VTermProp property, VTermValue *value, void *arg)
{
    struct vt *vt = arg;
    if (property == VTERM_PROP_ALTSCREEN)
        vt->alternate = value->boolean != 0;
    if (property == VTERM_PROP_CURSORVISIBLE)
        vt->cursor = value->boolean != 0;
    return 1;
}

/* The sanitizers' settings go on to the program. */
static void pass_on(const char **environment, size_t count)
{
    static const char *const names[] = {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS",
                                        "UBSAN_OPTIONS"};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && count + 1 < ARGUMENTS_MAX; i++) {
        const char *value = getenv(names[i]);
        char *word = NULL;
        if (value && asprintf(&word, "%s=%s", names[i], value) > 0)
            environment[count++] = word;
    }
}

static void run_program(const char *const *environment, const char *const *arguments)
{
    char path[512];
    const char *argv[ARGUMENTS_MAX] = {"prochub"};
    const char *build = getenv("PH_BUILD_DIR");
    const char *passed[ARGUMENTS_MAX] = {NULL};
    const struct rlimit none = {0};
    size_t count = 0;
    for (; environment[count] && count + 1 < ARGUMENTS_MAX; count++)
        passed[count] = environment[count];
    pass_on(passed, count);
    snprintf(path, sizeof path, "%s/prochub", build ? build : "build");
    for (size_t i = 0; arguments[i] && i + 2 < ARGUMENTS_MAX; i++)
        argv[i + 1] = arguments[i];
    setrlimit(RLIMIT_CORE, &none);
    execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)passed);
    _exit(127);
}

static void start_screen(struct vt *vt)
{
    static const VTermScreenCallbacks callbacks = {.settermprop = on_property};
    vt->vterm = vterm_new(vt->rows, vt->cols);
    vterm_set_utf8(vt->vterm, 1);
    vt->screen = vterm_obtain_screen(vt->vterm);
    vterm_screen_set_callbacks(vt->screen, &callbacks, vt);
    vterm_screen_enable_altscreen(vt->screen, 1);
    vterm_screen_reset(vt->screen, 1);
}

void vt_start(struct vt *vt, int rows, int cols, const char *const *environment,
              const char *const *arguments)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    memset(vt, 0, sizeof *vt);
    vt->rows = rows;
    vt->cols = cols;
    vt->cursor = true;
    vt->raw = malloc(VT_RAW_MAX);
    start_screen(vt);
    int slave;
    assert_int_equal(openpty(&vt->fd, &slave, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(slave, &vt->before), 0);
    vt->pid = fork();
    assert_true(vt->pid >= 0);
    if (vt->pid == 0) {
        close(vt->fd);
        login_tty(slave);
        run_program(environment, arguments);
    }
    close(slave);
}

void vt_stop(struct vt *vt)
{
    if (!vt->raw)
        return;
    if (vt->pid > 0) {
        kill(vt->pid, SIGKILL);
        waitpid(vt->pid, &vt->status, 0);
    }
    close(vt->fd);
    vterm_free(vt->vterm);
    free(vt->raw);
    vt->raw = NULL;
}

static size_t take(struct vt *vt)
{
    char bytes[16384];
    ssize_t count = read(vt->fd, bytes, sizeof bytes);
    if (count <= 0) {
        vt->ended = count == 0 || errno == EIO;
        return 0;
    }
    vterm_input_write(vt->vterm, bytes, (size_t)count);
    if (vt->raw_length + (size_t)count <= VT_RAW_MAX) {
        memcpy(vt->raw + vt->raw_length, bytes, (size_t)count);
        vt->raw_length += (size_t)count;
    }
    return (size_t)count;
}

size_t vt_pump(struct vt *vt, int ms)
{
    uint64_t deadline = ph_now_ms() + (uint64_t)ms;
    size_t bytes = 0;
    while (!vt->ended) {
        uint64_t now = ph_now_ms();
        struct pollfd fd = {.fd = vt->fd, .events = POLLIN};
        if (poll(&fd, 1, now < deadline ? (int)(deadline - now) : 0) <= 0)
            break;
        bytes += take(vt);
    }
    return bytes;
}

/* Reads on while it waits, so that a program which writes much is not stopped by its own output. */
void vt_send(struct vt *vt, const char *keys)
{
    size_t left = strlen(keys);
    while (left && !vt->ended) {
        ssize_t count = write(vt->fd, keys, left);
        if (count > 0) {
            keys += count;
            left -= (size_t)count;
        }
        vt_pump(vt, 0);
    }
}

void vt_resize(struct vt *vt, int rows, int cols)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    vt->rows = rows;
    vt->cols = cols;
    vterm_set_size(vt->vterm, rows, cols);
    ioctl(vt->fd, TIOCSWINSZ, &size);
    vt_pump(vt, 0);
}

static size_t put_row(struct vt *vt, int row, size_t used)
{
    size_t end = used;
    for (int col = 0; col < vt->cols && used + 8 < VT_TEXT_MAX; col++) {
        VTermScreenCell cell;
        VTermRect rect = {
            .start_row = row, .end_row = row + 1, .start_col = col, .end_col = col + 1};
        vterm_screen_get_cell(vt->screen, (VTermPos){.row = row, .col = col}, &cell);
        if (cell.chars[0] == (uint32_t)-1)
            continue;
        size_t length = vterm_screen_get_text(vt->screen, vt->text + used, 8, rect);
        if (!length || !cell.chars[0])
            vt->text[used] = ' ';
        used += length ? length : 1;
        end = vt->text[used - 1] == ' ' ? end : used;
    }
    vt->text[end] = '\n';
    return end + 1;
}

const char *vt_text(struct vt *vt)
{
    size_t used = 0;
    for (int row = 0; row < vt->rows && used + 1 < VT_TEXT_MAX; row++)
        used = put_row(vt, row, used);
    vt->text[used] = '\0';
    return vt->text;
}

bool vt_shows(struct vt *vt, const char *text)
{
    return strstr(vt_text(vt), text) != NULL;
}

static void await(struct vt *vt, const char *text, bool shown)
{
    uint64_t deadline = ph_now_ms() + DEADLINE_MS;
    while (vt_shows(vt, text) != shown && ph_now_ms() < deadline && !vt->ended)
        vt_pump(vt, STEP_MS);
    if (vt_shows(vt, text) == shown)
        return;
    print_error("\"%s\" %s; the screen is:\n%s\n", text, shown ? "does not come" : "stays",
                vt_text(vt));
    fail();
}

void vt_await(struct vt *vt, const char *text)
{
    await(vt, text, true);
}

void vt_await_gone(struct vt *vt, const char *text)
{
    await(vt, text, false);
}

int vt_await_end(struct vt *vt)
{
    uint64_t deadline = ph_now_ms() + DEADLINE_MS;
    while (ph_now_ms() < deadline) {
        vt_pump(vt, STEP_MS);
        if (waitpid(vt->pid, &vt->status, WNOHANG) == vt->pid) {
            vt->pid = 0;
            vt_pump(vt, 0);
            return vt->status;
        }
        if (vt->ended)
            poll(NULL, 0, STEP_MS);
    }
    print_error("the program does not end; the screen is:\n%s\n", vt_text(vt));
    fail();
    return -1;
}

void vt_assert_restored(struct vt *vt)
{
    struct termios now;
    assert_int_equal(tcgetattr(vt->fd, &now), 0);
    assert_int_equal(now.c_lflag, vt->before.c_lflag);
    assert_int_equal(now.c_iflag, vt->before.c_iflag);
    assert_int_equal(now.c_oflag, vt->before.c_oflag);
    assert_true(vt->cursor);
    assert_false(vt->alternate);
}
