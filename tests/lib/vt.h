/*
 * A terminal for a program under test: a pty on one side, libvterm's screen on the other.
 *
 * What the program writes is parsed as a terminal would, so a test sees what a person would see.
 * All waiting has a deadline and fails the test when it passes; the test's main thread only.
 */
#ifndef PH_TESTS_LIB_VT_H
#define PH_TESTS_LIB_VT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

#include <vterm.h>

enum { VT_RAW_MAX = 4 * 1024 * 1024, VT_TEXT_MAX = 200 * 1000 };

struct vt {
    pid_t pid;
    int fd;
    bool ended; /* the program closed the terminal */
    int status; /* of waitpid, when it was reaped */
    VTerm *vterm;
    VTermScreen *screen;
    int rows, cols;
    bool alternate, cursor;
    struct termios before;
    char *raw; /* everything that was written */
    size_t raw_length;
    char text[VT_TEXT_MAX];
};

/* Starts PH_BUILD_DIR/prochub; `environment` are "KEY=VALUE" words, then NULL, on top of an empty
 * environment; `arguments` begin with argv[1]. */
void vt_start(struct vt *, int rows, int cols, const char *const *environment,
              const char *const *arguments);
/* Ends the program if it still runs, and frees. Nothing for one that was not started (all zero). */
void vt_stop(struct vt *);

void vt_send(struct vt *, const char *keys);
void vt_resize(struct vt *, int rows, int cols);

/* Reads what comes for `ms`, or until the program is gone. Returns the bytes read. */
size_t vt_pump(struct vt *, int ms);
/* The screen as text, rows separated by newlines. */
const char *vt_text(struct vt *);
bool vt_shows(struct vt *, const char *text);
/* Wait until the screen shows the text, or no longer does. */
void vt_await(struct vt *, const char *text);
void vt_await_gone(struct vt *, const char *text);
/* Wait for its end; returns the status of waitpid. */
int vt_await_end(struct vt *);
/* The terminal is as it was before: cursor shown, first screen, settings. */
void vt_assert_restored(struct vt *);

#endif
