#include "tui/console.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/base.h"
#include "engine/waiter.h"
#include "ipc/command.h"
#include "tui/plain.h"
#include "tui/runner.h"
#include "tui/screen.h"
#include "tui/source.h"
#include "tui/term.h"

enum {
    FPS_DEFAULT = 2,
    FPS_MAX = 30,
    RESIZE_MS = 30, /* a burst of sizes becomes one frame */
    GATHER_MS = 50, /* rows that belong together become one frame */
    TICK_MS = 1000,
    QUIT_TWICE_MS = 1000,
    LOGS_VIEW = 5,
    NODES_VIEW = 6,
};

/* The eventfd of the running console, + 1; 0: there is none. For ph_console_interrupt only. */
static atomic_int interrupt_fd;
/* The signal that it was called with. */
static atomic_int interrupt_signal;

struct console {
    struct ph_screen screen;
    struct ph_term *term;
    struct ph_source *source;
    struct ph_runner *runner;
    struct ph_grid grid;
    struct ph_text asked[PH_SLOTS]; /* the key of what each slot shows */
    int event_fd, signal_fd;
    bool repaint, ended;
    int code;
    uint64_t draw_at_ms;   /* UINT64_MAX: the screen is clean */
    uint64_t resize_at_ms; /* UINT64_MAX: the size is known */
    uint64_t tick_at_ms;   /* UINT64_MAX: nothing changes by time alone */
    uint64_t canceled_ms;  /* when Ctrl-C was last pressed */
};

void ph_console_interrupt(int signal_number)
{
    uint64_t one = 1;
    /* Release: whoever sees the eventfd's count also sees the number. */
    atomic_store_explicit(&interrupt_signal, signal_number, memory_order_release);
    /* Acquire: pairs with the release in open_console; the eventfd is there. */
    int fd = atomic_load_explicit(&interrupt_fd, memory_order_acquire) - 1;
    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        return;
}

static void draw_within(struct console *console, uint64_t ms)
{
    uint64_t at = console->screen.model.now_ms + ms;
    if (at < console->draw_at_ms)
        console->draw_at_ms = at;
}

/* ---- What is on the screen, and what for ---------------------------------------------------- */

/* Asks for what the views want: other rows at once, newer ones when `refresh`. */
static void ask(struct console *console, bool refresh)
{
    for (enum ph_slot slot = PH_SLOT_STATUS + 1; slot < PH_SLOTS; slot++) {
        const struct ph_want *want = &console->screen.wants.slot[slot];
        struct ph_text *asked = &console->asked[slot];
        bool same = !strcmp(ph_text_str(asked), ph_text_str(&want->key));
        if (same && !(refresh && want->command.length))
            continue;
        ph_text_clear(asked);
        ph_text_put(asked, ph_text_str(&want->key));
        ph_source_ask(console->source, slot, want->command.length ? want->command.data : NULL,
                      want->tag, !same);
    }
}

static void update(struct console *console, bool refresh)
{
    int rows, cols;
    struct ph_screen *screen = &console->screen;
    ph_term_size(console->term, &rows, &cols);
    if (rows != console->grid.rows || cols != console->grid.cols) {
        ph_grid_fini(&console->grid);
        ph_grid_init(&console->grid, rows, cols, ph_term_ascii(console->term));
    }
    ph_screen_update(screen, rows, cols);
    ask(console, refresh);
}

static void draw(struct console *console)
{
    struct ph_cursor cursor;
    console->draw_at_ms = UINT64_MAX;
    ph_screen_draw(&console->screen, &console->grid, &cursor);
    ph_term_show(console->term, &console->grid, cursor.shown ? cursor.row : -1, cursor.col,
                 console->repaint);
    console->repaint = false;
}

/* ---- Data ----------------------------------------------------------------------------------- */

static bool is_wanted(const struct console *console, enum ph_slot slot, const struct ph_data *data)
{
    const struct ph_want *want = &console->screen.wants.slot[slot];
    return slot == PH_SLOT_STATUS || (want->command.length && want->tag == data->tag) ||
           slot == PH_SLOT_CHILDREN || slot == PH_SLOT_COUNT;
}

static void take_data(struct console *console)
{
    bool news = false, any = false;
    struct ph_model *model = &console->screen.model;
    for (enum ph_slot slot = 0; slot < PH_SLOTS; slot++) {
        if (slot == PH_SLOT_STATUS && model->paused)
            continue;
        struct ph_data *data = ph_source_take(console->source, slot);
        if (!data)
            continue;
        if (!is_wanted(console, slot, data)) {
            ph_data_destroy(data);
            continue;
        }
        ph_model_take(model, slot, data);
        news |= slot == PH_SLOT_STATUS;
        any = true;
    }
    if (!any)
        return;
    if (news && model->link == PH_LINK_LOST)
        ph_runner_reopen(console->runner);
    update(console, news);
    draw_within(console, ph_source_busy(console->source) ? GATHER_MS : 0);
}

static void take_output(struct console *console)
{
    struct ph_runner_result result;
    struct ph_screen *screen = &console->screen;
    if (!ph_runner_take(console->runner, &screen->output, &result))
        return;
    if (screen->output.length > PH_RUNNER_OUTPUT_MAX) {
        size_t surplus = screen->output.length - PH_RUNNER_OUTPUT_MAX;
        memmove(screen->output.data, screen->output.data + surplus, PH_RUNNER_OUTPUT_MAX + 1);
        screen->output.length = PH_RUNNER_OUTPUT_MAX;
    }
    if (result.done && result.exited) {
        console->ended = true;
        console->code = result.code;
    } else if (result.done) {
        ph_screen_done(screen, result.code, result.took_ms);
    } else {
        screen->output_open = true;
    }
    update(console, false);
    draw_within(console, result.done ? 0 : GATHER_MS);
}

static void on_event(struct console *console)
{
    uint64_t count;
    if (read(console->event_fd, &count, sizeof count) < 0)
        return;
    /* Acquire: pairs with the release in ph_console_interrupt. */
    int number = atomic_exchange_explicit(&interrupt_signal, 0, memory_order_acquire);
    if (number) {
        console->ended = true;
        console->code = 128 + number;
    }
    take_data(console);
    take_output(console);
}

/* ---- Keys and signals ----------------------------------------------------------------------- */

/* Ctrl-C ends the running command; twice within a second it ends the console. */
static void on_cancel(struct console *console)
{
    uint64_t now = console->screen.model.now_ms;
    if (console->canceled_ms && now - console->canceled_ms < QUIT_TWICE_MS)
        console->ended = true;
    console->canceled_ms = now;
    if (console->screen.running)
        ph_runner_cancel(console->runner);
    else
        ph_screen_say(&console->screen, false, "Ctrl-C once more quits");
}

static void suspend(struct console *console)
{
    ph_term_suspend(console->term);
    console->resize_at_ms = 0;
    console->repaint = true;
}

static void carry_out(struct console *console, unsigned effect)
{
    if (effect & PH_EFFECT_PAUSE)
        ph_source_hold(console->source, console->screen.model.paused);
    if (effect & PH_EFFECT_FETCH)
        update(console, false);
    if (effect & PH_EFFECT_PAUSE)
        take_data(console);
    if (effect & PH_EFFECT_RUN)
        ph_runner_start(console->runner, ph_text_str(&console->screen.command));
    if (effect & PH_EFFECT_CANCEL)
        on_cancel(console);
    if (effect & PH_EFFECT_SUSPEND)
        suspend(console);
    if (effect & PH_EFFECT_REDRAW)
        console->repaint = true;
    if (effect & PH_EFFECT_QUIT)
        console->ended = true;
    if (effect & PH_EFFECT_DRAW)
        draw_within(console, 0);
}

static void on_keys(struct console *console, short revents)
{
    int key;
    bool any = false;
    while (!console->ended && (key = ph_term_key(console->term)) != PH_KEY_NONE) {
        any = true;
        carry_out(console, ph_screen_key(&console->screen, key));
    }
    /* The terminal hung up. */
    if (!any && (revents & (POLLHUP | POLLERR))) {
        console->ended = true;
        console->code = 128 + SIGHUP;
    }
}

static void on_signal(struct console *console)
{
    struct signalfd_siginfo info;
    if (read(console->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    switch (info.ssi_signo) {
    case SIGWINCH:
        if (console->resize_at_ms == UINT64_MAX)
            console->resize_at_ms = console->screen.model.now_ms + RESIZE_MS;
        return;
    case SIGTSTP:
        suspend(console);
        return;
    case SIGCONT:
        ph_term_reclaim(console->term);
        console->repaint = true;
        draw_within(console, 0);
        return;
    default:
        console->ended = true;
        console->code = 128 + (int)info.ssi_signo;
    }
}

/* ---- The loop ------------------------------------------------------------------------------- */

/* What changes although nothing happens is looked at every second while it is under the eyes: a
 * log, the links of nodes. Nothing else is. */
static bool watches(const struct console *console)
{
    const struct ph_screen *screen = &console->screen;
    bool log = screen->view == LOGS_VIEW && *screen->model.selected;
    return (log || screen->view == NODES_VIEW) && !screen->model.paused;
}

static void on_tick(struct console *console)
{
    struct ph_model *model = &console->screen.model;
    console->tick_at_ms = UINT64_MAX;
    ph_model_tick(model);
    if (watches(console))
        update(console, true);
    draw_within(console, 0);
}

/* Does what is due, and says when the next thing is. */
static uint64_t run_due(struct console *console)
{
    uint64_t now = ph_now_ms();
    console->screen.model.now_ms = now;
    if (console->resize_at_ms <= now) {
        console->resize_at_ms = UINT64_MAX;
        update(console, false);
        draw_within(console, 0);
    }
    if (console->tick_at_ms <= now)
        on_tick(console);
    bool ticks = !console->screen.model.paused && ph_model_ticks(&console->screen.model);
    if (console->tick_at_ms == UINT64_MAX && (ticks || watches(console)))
        console->tick_at_ms = now + TICK_MS;
    if (console->draw_at_ms <= now && !ph_term_drain(console->term))
        draw(console);
    uint64_t next = console->resize_at_ms;
    next = console->tick_at_ms < next ? console->tick_at_ms : next;
    /* A frame that waits for the terminal is drawn when the terminal can take it. */
    if (console->draw_at_ms > now && console->draw_at_ms < next)
        next = console->draw_at_ms;
    return next;
}

static int timeout_until(uint64_t deadline_ms)
{
    uint64_t now = ph_now_ms();
    if (deadline_ms == UINT64_MAX)
        return -1;
    return deadline_ms > now ? (int)(deadline_ms - now) : 0;
}

static void loop(struct console *console)
{
    while (!console->ended) {
        uint64_t next = run_due(console);
        bool draining = ph_term_drain(console->term);
        struct pollfd fds[] = {
            {.fd = console->signal_fd, .events = POLLIN},
            {.fd = STDIN_FILENO, .events = POLLIN},
            {.fd = console->event_fd, .events = POLLIN},
            {.fd = ph_term_stderr(console->term), .events = POLLIN},
            {.fd = draining ? ph_term_output(console->term) : -1, .events = POLLOUT},
        };
        if (poll(fds, PH_COUNT_OF(fds), timeout_until(next)) < 0)
            continue;
        console->screen.model.now_ms = ph_now_ms();
        if (fds[0].revents)
            on_signal(console);
        if (fds[1].revents)
            on_keys(console, fds[1].revents);
        if (fds[2].revents)
            on_event(console);
        if (fds[3].revents)
            ph_term_keep_stderr(console->term);
    }
}

/* ---- Opening and closing -------------------------------------------------------------------- */

static const char *command_name(size_t index)
{
    const struct ph_binding *binding;
    if (index < ph_command_count)
        return ph_commands[index].name;
    binding = ph_keys_at((unsigned)(index - ph_command_count));
    return binding ? binding->command : NULL;
}

static int open_signals(sigset_t *before)
{
    static const int numbers[] = {SIGWINCH, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < PH_COUNT_OF(numbers); i++)
        sigaddset(&set, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static unsigned period_of(const struct ph_console_options *options)
{
    unsigned fps = options->fps ? options->fps : FPS_DEFAULT;
    return 1000 / (fps > FPS_MAX ? FPS_MAX : fps);
}

static void run_screen(struct console *console, ph_console_open open_door, void *arg,
                       const struct ph_console_options *options)
{
    ph_screen_init(&console->screen);
    console->screen.command_at = command_name;
    console->screen.model.now_ms = ph_now_ms();
    console->tick_at_ms = console->resize_at_ms = UINT64_MAX;
    console->draw_at_ms = ph_now_ms() + GATHER_MS; /* by then the first picture is there */
    console->source = ph_source_create(open_door, arg, console->event_fd, period_of(options));
    update(console, false);
    loop(console);
    ph_term_close(console->term);
    ph_source_destroy(console->source);
    for (enum ph_slot slot = 0; slot < PH_SLOTS; slot++)
        ph_text_fini(&console->asked[slot]);
    ph_grid_fini(&console->grid);
    ph_screen_fini(&console->screen);
}

/* A first door says in time, and on a sane terminal, that there is no node to look at. */
static int try_door(ph_console_open open_door, void *arg, struct ph_error *error)
{
    struct ph_door *door;
    int rc = open_door(arg, &door, error);
    if (rc == 0)
        door->close(door);
    return rc;
}

static int complain(int code, const struct ph_error *error)
{
    fprintf(stderr, "prochub: %s: %s\n", ph_class_name(ph_error_class(code)),
            error->text[0] ? error->text : ph_error_text(code));
    return (int)ph_error_class(code);
}

int ph_console_run(ph_console_open open_door, void *arg, const struct ph_console_options *options)
{
    struct console console = {0};
    struct ph_error error = {0};
    struct ph_term_options look = {.monochrome = options->monochrome, .ascii = options->ascii};
    sigset_t before;
    int rc = try_door(open_door, arg, &error);
    if (rc < 0)
        return complain(rc, &error);
    console.signal_fd = open_signals(&before);
    console.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    console.runner = ph_runner_create(open_door, arg, console.event_fd);
    rc = ph_term_open(&look, &console.term, &error);
    /* Release: pairs with the acquire in ph_console_interrupt. */
    atomic_store_explicit(&interrupt_fd, console.event_fd + 1, memory_order_release);
    if (rc == 0)
        run_screen(&console, open_door, arg, options);
    else if (rc == PH_EUNSUPPORTED)
        console.code = ph_plain_run(console.runner, console.event_fd, console.signal_fd);
    else
        console.code = complain(rc, &error);
    atomic_store_explicit(&interrupt_fd, 0, memory_order_relaxed);
    ph_runner_destroy(console.runner);
    close(console.event_fd);
    close(console.signal_fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return console.code;
}
