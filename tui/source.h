/*
 * The source: what a node says, brought to the UI thread without making it wait.
 *
 * Two threads, each with a door of its own. One waits for a picture newer than the last
 * (`status after=…`), so an idle node costs nothing; at most one picture a period. The other runs
 * the commands that the UI thread asks for, newest request of a slot first come. Results are handed
 * over whole; the eventfd says that there is one. A lost connection is opened again every second.
 * A slot is fetched again for new data only after nine times the time its last fetch took, so that
 * the console never takes more than a tenth of a core of the node. UI thread only, unless it says
 * otherwise.
 */
#ifndef PH_TUI_SOURCE_H
#define PH_TUI_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "tui/console.h"
#include "tui/model.h"

struct ph_source;

/* `event_fd` (a duplicate is kept) is written whenever there is something to take. */
struct ph_source *ph_source_create(ph_console_open open_door, void *arg, int event_fd,
                                   unsigned period_ms);
/* Ends both threads; one that a door does not give back within a second is left behind. */
void ph_source_destroy(struct ph_source *);

/* Runs `command` for the slot; an older request that has not begun is forgotten. `urgent`: a person
 * waits for it. NULL: forget the request. */
void ph_source_ask(struct ph_source *, enum ph_slot, const char *command, uint64_t tag,
                   bool urgent);
/* What was fetched for the slot (PH_SLOT_STATUS: the newest picture), or NULL. The caller's. */
struct ph_data *ph_source_take(struct ph_source *, enum ph_slot);
/* Whether a request is under way or about to be. */
bool ph_source_busy(struct ph_source *);
/* No more pictures until it is called with false. */
void ph_source_hold(struct ph_source *, bool hold);

#endif
