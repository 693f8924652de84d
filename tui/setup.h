/*
 * What a configuration says about the node itself, read before there is one.
 *
 * `node KEY=VALUE…` lines are settings; `hub create` lines mean that no default hub is made.
 * Everything else of the configuration runs later, on the node.
 */
#ifndef PH_TUI_SETUP_H
#define PH_TUI_SETUP_H

#include "ipc/script.h"
#include "ipc/settings.h"

/* PH_EUSAGE or PH_EREFUSED with the position of the word. */
PH_MUST_CHECK int ph_setup_read(const struct ph_script *, struct ph_settings *, bool *creates_hubs,
                                struct ph_script_error *);

/* Creates the hub that --hub NAME[:KEY=VALUE,…] describes. */
PH_MUST_CHECK int ph_setup_hub(struct ph_node *, const char *text, struct ph_error *);

/* Fills in what was neither an option nor configured. */
void ph_setup_defaults(struct ph_settings *, const struct ph_node *, const char *control);

#endif
