/*
 * The command line of prochub, read into one struct.
 *
 * Read once at the start, before any thread; then constant. The texts are those of argv, which
 * lives as long as the program, except the settings, which are copies.
 */
#ifndef PH_TUI_OPTIONS_H
#define PH_TUI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/row.h"
#include "ipc/settings.h"
#include "tui/console.h"

enum ph_mode {
    PH_MODE_EMBEDDED, /* a node in this process, with a script or the console */
    PH_MODE_NODE,     /* a node until a signal comes */
    PH_MODE_ATTACH,   /* somebody else's node */
    PH_MODE_HELP,
    PH_MODE_VERSION,
};

struct ph_options {
    enum ph_mode mode;
    struct ph_settings settings;
    const char *config;
    const char *script;    /* a file; NULL or "-": standard input */
    const char *endpoint;  /* of `attach` */
    bool language;         /* `help`, of the command language, not --help */
    char *topic;           /* of `help`, its words joined; NULL: everything */
    const char **commands; /* of -e */
    size_t command_count;
    const char **hubs; /* of --hub */
    size_t hub_count;
    enum ph_form form;
    bool form_given, keep_going, check, yes;
    struct ph_console_options console;
};

/* PH_EUSAGE with a text that names the option; PH_EREFUSED for what only clusters have. Fini in any
 * case. */
PH_MUST_CHECK int ph_options_read(struct ph_options *, int argc, char **argv, struct ph_error *);
void ph_options_fini(struct ph_options *);

/* The text of --help. */
const char *ph_options_help(void);

#endif
