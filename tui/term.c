#include "tui/term.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tui/theme.h"

enum {
    RESTORE_MAX = 256,
    KEPT_MAX = 64 * 1024, /* of stderr */
    ESCAPE_DELAY_MS = 25,
    CLOSE_WAIT_MS = 500,
    CODE_PASTE_BEGIN = 600, /* codes of our own for define_key */
    CODE_PASTE_END = 601,
};

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

struct ph_term {
    struct ph_term_options options;
    SCREEN *screen;
    WINDOW *keys; /* a pad: reading a key from it never repaints */
    FILE *frame;  /* the memfd that ncurses writes to */
    int frame_fd, output;
    struct termios before, during;
    bool pastes; /* knows bracketed paste */
    int rows, cols;
    struct ph_cell *shown;
    cchar_t *run;
    struct ph_text pending;
    size_t written;
    int stderr_before, stderr_pipe;
    struct ph_text kept;
    void *alternate_stack;
};

/* What a handler needs to put the terminal back. Filled before `armed` is set, by the one thread
 * that opens a terminal; a handler on any thread reads it. */
static struct {
    volatile sig_atomic_t armed;
    int output, input, stderr_before, stderr_pipe;
    char bytes[RESTORE_MAX];
    size_t length;
    struct termios before;
    struct sigaction old[PH_COUNT_OF(fatal_signals)];
} guard;

/* ---- Putting the terminal back -------------------------------------------------------------- */

/* Async-signal-safe. */
static void write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t count = write(fd, bytes, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return;
        bytes += count;
        length -= (size_t)count;
    }
}

static void on_fatal(int number)
{
    int saved = errno;
    if (guard.armed) {
        guard.armed = 0;
        fcntl(guard.output, F_SETFL, fcntl(guard.output, F_GETFL) & ~O_NONBLOCK);
        write_all(guard.output, guard.bytes, guard.length);
        tcsetattr(guard.input, TCSANOW, &guard.before);
        if (guard.stderr_pipe >= 0) {
            char bytes[1024];
            ssize_t count;
            dup2(guard.stderr_before, STDERR_FILENO);
            while ((count = read(guard.stderr_pipe, bytes, sizeof bytes)) > 0)
                write_all(STDERR_FILENO, bytes, (size_t)count);
        }
    }
    for (size_t i = 0; i < PH_COUNT_OF(fatal_signals); i++) {
        if (fatal_signals[i] == number)
            sigaction(number, &guard.old[i], NULL);
    }
    errno = saved;
    raise(number); /* delivered when this handler returns, to whoever was there before */
}

/* Terminfo strings may hold padding "$<20/>", which no terminal of today wants. */
static void add_restore(const char *text)
{
    if (!text || text == (const char *)-1)
        return;
    while (*text) {
        const char *end = text[0] == '$' && text[1] == '<' ? strchr(text, '>') : NULL;
        if (end)
            text = end + 1;
        else if (guard.length < sizeof guard.bytes)
            guard.bytes[guard.length++] = *text++;
        else
            return;
    }
}

static void prepare_restore(const struct ph_term *term)
{
    guard.length = 0;
    if (term->pastes)
        add_restore("\x1b[?2004l");
    add_restore(tigetstr("sgr0"));
    add_restore(tigetstr("cnorm"));
    add_restore(tigetstr("rmkx"));
    if (tigetstr("rmcup") && tigetstr("rmcup") != (char *)-1)
        add_restore(tigetstr("rmcup"));
    else
        add_restore("\r\n");
    guard.output = term->output;
    guard.input = STDIN_FILENO;
    guard.before = term->before;
    guard.stderr_before = term->stderr_before;
    guard.stderr_pipe = term->stderr_pipe;
}

static void arm(struct ph_term *term)
{
    stack_t stack = {.ss_size = 64 * 1024};
    struct sigaction action = {.sa_handler = on_fatal, .sa_flags = SA_ONSTACK};
    sigset_t set;
    sigemptyset(&set);
    sigemptyset(&action.sa_mask);
    term->alternate_stack = ph_alloc(stack.ss_size);
    stack.ss_sp = term->alternate_stack;
    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < PH_COUNT_OF(fatal_signals); i++) {
        sigaddset(&set, fatal_signals[i]);
        sigaction(fatal_signals[i], &action, &guard.old[i]);
    }
    guard.armed = 1;
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void disarm(struct ph_term *term)
{
    stack_t none = {.ss_flags = SS_DISABLE};
    guard.armed = 0;
    for (size_t i = 0; i < PH_COUNT_OF(fatal_signals); i++)
        sigaction(fatal_signals[i], &guard.old[i], NULL);
    sigaltstack(&none, NULL);
    ph_free(term->alternate_stack);
}

/* ---- stderr --------------------------------------------------------------------------------- */

/* Without a reader that keeps up the writer must not wait, so the pipe does not block. */
static void divert_stderr(struct ph_term *term)
{
    int ends[2];
    term->stderr_before = term->stderr_pipe = -1;
    if (!isatty(STDERR_FILENO) || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return;
    term->stderr_before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    term->stderr_pipe = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

void ph_term_keep_stderr(struct ph_term *term)
{
    char bytes[4096];
    ssize_t count;
    if (term->stderr_pipe < 0)
        return;
    while ((count = read(term->stderr_pipe, bytes, sizeof bytes)) > 0) {
        ph_text_append(&term->kept, bytes, (size_t)count);
        if (term->kept.length <= KEPT_MAX)
            continue;
        size_t surplus = term->kept.length - KEPT_MAX;
        memmove(term->kept.data, term->kept.data + surplus, KEPT_MAX + 1);
        term->kept.length = KEPT_MAX;
    }
}

static void replay_stderr(struct ph_term *term)
{
    if (term->stderr_pipe < 0)
        return;
    ph_term_keep_stderr(term);
    dup2(term->stderr_before, STDERR_FILENO);
    close(term->stderr_before);
    close(term->stderr_pipe);
    write_all(STDERR_FILENO, ph_text_str(&term->kept), term->kept.length);
}

/* ---- Frames --------------------------------------------------------------------------------- */

bool ph_term_drain(struct ph_term *term)
{
    while (term->written < term->pending.length) {
        ssize_t count = write(term->output, term->pending.data + term->written,
                              term->pending.length - term->written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return true;
        if (count <= 0)
            break; /* the terminal is gone; SIGHUP says so, too */
        term->written += (size_t)count;
    }
    term->written = 0;
    ph_text_clear(&term->pending);
    return false;
}

/* Moves what ncurses wrote out of the memfd. */
static void collect(struct ph_term *term)
{
    char bytes[8192];
    off_t at = 0;
    ssize_t count;
    fflush(term->frame);
    while ((count = pread(term->frame_fd, bytes, sizeof bytes, at)) > 0) {
        ph_text_append(&term->pending, bytes, (size_t)count);
        at += count;
    }
    if (ftruncate(term->frame_fd, 0) == 0)
        lseek(term->frame_fd, 0, SEEK_SET);
}

/* Waits a moment for a slow terminal, then gives up: it must not keep the process from ending. */
static void drain_all(struct ph_term *term)
{
    struct pollfd fd = {.fd = term->output, .events = POLLOUT};
    for (int i = 0; i < 10 && ph_term_drain(term); i++)
        poll(&fd, 1, CLOSE_WAIT_MS / 10);
}

static attr_t attributes(struct ph_look look)
{
    attr_t attrs = A_NORMAL;
    attrs |= look.flags & PH_LOOK_BOLD ? A_BOLD : 0;
    attrs |= look.flags & PH_LOOK_DIM ? A_DIM : 0;
    attrs |= look.flags & PH_LOOK_REVERSE ? A_REVERSE : 0;
    attrs |= look.flags & PH_LOOK_UNDERLINE ? A_UNDERLINE : 0;
    return attrs;
}

static void put_row(struct ph_term *term, const struct ph_grid *grid, int row)
{
    const struct ph_cell *cells = grid->cells + (ptrdiff_t)row * grid->stride;
    int count = 0;
    for (int col = 0; col < grid->cols; col++) {
        wchar_t text[2] = {(wchar_t)cells[col].rune, 0};
        struct ph_look look = ph_theme_look(cells[col].style, term->options.monochrome);
        short pair = look.foreground > 0 ? look.foreground : 0;
        if (text[0])
            setcchar(&term->run[count++], text, attributes(look), pair, NULL);
    }
    mvadd_wchnstr(row, 0, term->run, count);
}

static void follow_size(struct ph_term *term, const struct ph_grid *grid)
{
    if (term->rows == grid->rows && term->cols == grid->cols)
        return;
    term->rows = grid->rows;
    term->cols = grid->cols;
    resize_term(grid->rows, grid->cols);
    size_t cells = (size_t)grid->rows * (size_t)grid->cols;
    term->shown = ph_realloc(term->shown, (cells + 1) * sizeof *term->shown);
    memset(term->shown, 0xff, cells * sizeof *term->shown);
    term->run = ph_realloc(term->run, ((size_t)grid->cols + 1) * sizeof *term->run);
    clearok(stdscr, TRUE);
}

void ph_term_show(struct ph_term *term, const struct ph_grid *grid, int cursor_row, int cursor_col,
                  bool repaint)
{
    if (ph_term_drain(term) || grid->rows < 1 || grid->cols < 1)
        return;
    follow_size(term, grid);
    if (repaint)
        clearok(stdscr, TRUE);
    size_t bytes = (size_t)grid->cols * sizeof *grid->cells;
    for (int row = 0; row < grid->rows; row++) {
        const struct ph_cell *cells = grid->cells + (ptrdiff_t)row * grid->stride;
        struct ph_cell *shown = term->shown + (ptrdiff_t)row * grid->cols;
        if (!memcmp(shown, cells, bytes))
            continue;
        memcpy(shown, cells, bytes);
        put_row(term, grid, row);
    }
    bool inside =
        cursor_row >= 0 && cursor_row < grid->rows && cursor_col >= 0 && cursor_col < grid->cols;
    curs_set(inside ? 1 : 0);
    if (inside)
        move(cursor_row, cursor_col);
    wnoutrefresh(stdscr);
    doupdate();
    collect(term);
    ph_term_drain(term);
}

void ph_term_size(const struct ph_term *term, int *rows, int *cols)
{
    struct winsize size = {0};
    bool known = ioctl(term->output, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col;
    *rows = known ? size.ws_row : 24;
    *cols = known ? size.ws_col : 80;
    *rows = *rows > PH_GRID_MAX ? PH_GRID_MAX : *rows;
    *cols = *cols > PH_GRID_MAX ? PH_GRID_MAX : *cols;
}

int ph_term_output(const struct ph_term *term)
{
    return term->output;
}

int ph_term_stderr(const struct ph_term *term)
{
    return term->stderr_pipe;
}

bool ph_term_ascii(const struct ph_term *term)
{
    return term->options.ascii;
}

/* ---- Keys ----------------------------------------------------------------------------------- */

static int translate(int code)
{
    static const struct {
        int code, key;
    } keys[] = {
        {KEY_UP, PH_KEY_UP},
        {KEY_DOWN, PH_KEY_DOWN},
        {KEY_LEFT, PH_KEY_LEFT},
        {KEY_RIGHT, PH_KEY_RIGHT},
        {KEY_PPAGE, PH_KEY_PAGE_UP},
        {KEY_NPAGE, PH_KEY_PAGE_DOWN},
        {KEY_HOME, PH_KEY_HOME},
        {KEY_END, PH_KEY_END},
        {KEY_DC, PH_KEY_DELETE},
        {KEY_BACKSPACE, PH_KEY_BACKSPACE},
        {KEY_ENTER, PH_KEY_ENTER},
        {CODE_PASTE_BEGIN, PH_KEY_PASTE_BEGIN},
        {CODE_PASTE_END, PH_KEY_PASTE_END},
    };
    for (size_t i = 0; i < PH_COUNT_OF(keys); i++) {
        if (keys[i].code == code)
            return keys[i].key;
    }
    if (code >= KEY_F(1) && code <= KEY_F(10))
        return PH_KEY_F1 + (code - KEY_F(1));
    return 0;
}

int ph_term_key(struct ph_term *term)
{
    wint_t code;
    int rc = wget_wch(term->keys, &code);
    if (rc == ERR)
        return PH_KEY_NONE;
    if (rc == KEY_CODE_YES)
        return translate((int)code);
    return code == 127 || code == 8 ? PH_KEY_BACKSPACE : (int)code;
}

/* Terminals send what their terminfo entry does not say. */
static void define_keys(void)
{
    static const struct {
        const char *sequence;
        int code;
    } keys[] = {
        {"\033[A", KEY_UP},
        {"\033OA", KEY_UP},
        {"\033[B", KEY_DOWN},
        {"\033OB", KEY_DOWN},
        {"\033[C", KEY_RIGHT},
        {"\033OC", KEY_RIGHT},
        {"\033[D", KEY_LEFT},
        {"\033OD", KEY_LEFT},
        {"\033[H", KEY_HOME},
        {"\033OH", KEY_HOME},
        {"\033[1~", KEY_HOME},
        {"\033[F", KEY_END},
        {"\033OF", KEY_END},
        {"\033[4~", KEY_END},
        {"\033[5~", KEY_PPAGE},
        {"\033[6~", KEY_NPAGE},
        {"\033[3~", KEY_DC},
        {"\033OP", KEY_F(1)},
        {"\033[11~", KEY_F(1)},
        {"\033[[A", KEY_F(1)},
        {"\033[21~", KEY_F(10)},
        {"\033OM", KEY_ENTER},
        {"\033[200~", CODE_PASTE_BEGIN},
        {"\033[201~", CODE_PASTE_END},
    };
    for (size_t i = 0; i < PH_COUNT_OF(keys); i++)
        define_key(keys[i].sequence, keys[i].code);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

/* Characters as they come: no echo, no lines, no signals from keys (Ctrl-C is a key here). */
static void set_raw(struct ph_term *term)
{
    term->during = term->before;
    term->during.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    term->during.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR);
    term->during.c_cc[VMIN] = 1;
    term->during.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &term->during);
}

static int check_terminal(struct ph_term *term, struct ph_error *error)
{
    int problem = 0;
    const char *name = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return ph_error_set(error, PH_EUSAGE, "the console needs a terminal on stdin and stdout");
    if (tcgetattr(STDIN_FILENO, &term->before) < 0)
        return ph_error_set(error, -errno, "the terminal's settings: %s", strerrordesc_np(errno));
    if (setupterm(NULL, STDOUT_FILENO, &problem) == ERR)
        return ph_error_set(
            error, PH_EUNSUPPORTED,
            "TERM=%s is not in the terminal database: set TERM, to xterm if in doubt",
            name ? name : "");
    const char *cup = tigetstr("cup");
    bool moves = cup && cup != (const char *)-1;
    term->pastes = tigetflag("XT") > 0;
    del_curterm(cur_term);
    return moves ? 0
                 : ph_error_set(error, PH_EUNSUPPORTED, "TERM=%s cannot move its cursor",
                                name ? name : "");
}

/* A descriptor of our own, because the shell's must keep its flags. */
static int open_output(void)
{
    const char *path = ttyname(STDOUT_FILENO);
    int fd = path ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

/* newterm installs handlers for these; they are the console's. */
static SCREEN *make_screen(FILE *frame)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
    struct sigaction old[PH_COUNT_OF(numbers)];
    for (size_t i = 0; i < PH_COUNT_OF(numbers); i++)
        sigaction(numbers[i], NULL, &old[i]);
    use_env(FALSE);
    SCREEN *screen = newterm(NULL, frame, stdin);
    for (size_t i = 0; i < PH_COUNT_OF(numbers); i++)
        sigaction(numbers[i], &old[i], NULL);
    return screen;
}

static void prepare_screen(struct ph_term *term)
{
    set_term(term->screen);
    if (!getenv("ESCDELAY"))
        set_escdelay(ESCAPE_DELAY_MS);
    term->keys = newpad(1, 1);
    keypad(term->keys, TRUE);
    nodelay(term->keys, TRUE);
    nonl();
    define_keys();
    const char *no_color = getenv("NO_COLOR");
    if (!has_colors() || (no_color && *no_color))
        term->options.monochrome = true;
    if (term->options.monochrome)
        return;
    start_color();
    use_default_colors();
    for (short color = COLOR_RED; color <= COLOR_WHITE; color++)
        init_pair(color, color, -1);
}

static bool locale_is_utf8(void)
{
    return !strcmp(nl_langinfo(CODESET), "UTF-8") && wcwidth(0x2588) == 1;
}

static void switch_pastes(struct ph_term *term, bool on)
{
    if (term->pastes)
        ph_text_put(&term->pending, on ? "\x1b[?2004h" : "\x1b[?2004l");
}

int ph_term_open(const struct ph_term_options *options, struct ph_term **out,
                 struct ph_error *error)
{
    struct ph_term *term = ph_alloc(sizeof *term);
    setlocale(LC_CTYPE, "");
    term->options = *options;
    term->options.ascii |= !locale_is_utf8();
    int rc = check_terminal(term, error);
    if (rc)
        goto err_free;
    term->output = open_output();
    term->frame_fd = memfd_create("prochub-frame", MFD_CLOEXEC);
    term->frame = term->frame_fd < 0 ? NULL : fdopen(term->frame_fd, "w");
    term->screen = term->frame ? make_screen(term->frame) : NULL;
    if (!term->screen || term->output < 0) {
        rc = ph_error_set(error, PH_EFAILED, "the terminal cannot be used: %s",
                          strerrordesc_np(errno));
        goto err_close;
    }
    prepare_screen(term);
    divert_stderr(term);
    prepare_restore(term);
    arm(term);
    set_raw(term);
    switch_pastes(term, true);
    *out = term;
    return 0;
err_close:
    if (term->screen)
        delscreen(term->screen);
    if (term->frame)
        fclose(term->frame);
    if (term->output >= 0)
        close(term->output);
err_free:
    ph_free(term);
    return rc;
}

/* Gives the terminal back. */
static void leave(struct ph_term *term)
{
    drain_all(term);
    switch_pastes(term, false);
    curs_set(1);
    endwin();
    collect(term);
    drain_all(term);
    tcsetattr(STDIN_FILENO, TCSANOW, &term->before);
    guard.armed = 0;
}

void ph_term_reclaim(struct ph_term *term)
{
    set_raw(term);
    switch_pastes(term, true);
    clearok(stdscr, TRUE);
}

void ph_term_suspend(struct ph_term *term)
{
    sigset_t set, before;
    struct sigaction stop = {.sa_handler = SIG_DFL}, old;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    leave(term);
    /* The whole job stops, as for any program that Ctrl-Z stops; blocked in all other threads. */
    sigaction(SIGTSTP, &stop, &old);
    kill(0, SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &set, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGTSTP, &old, NULL);
    tcgetattr(STDIN_FILENO, &term->before);
    guard.before = term->before;
    guard.armed = 1;
    ph_term_reclaim(term);
}

void ph_term_close(struct ph_term *term)
{
    if (!term)
        return;
    leave(term);
    disarm(term);
    replay_stderr(term);
    delwin(term->keys);
    delscreen(term->screen);
    fclose(term->frame);
    close(term->output);
    ph_text_fini(&term->pending);
    ph_text_fini(&term->kept);
    ph_free(term->shown);
    ph_free(term->run);
    ph_free(term);
}
