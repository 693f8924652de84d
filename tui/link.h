/*
 * A door and the thread behind it: how the console's threads open, use, cancel and leave doors.
 *
 * The thread opens the door when it needs it and again when the connection was lost. Any other
 * thread may cancel what runs; the mutex makes sure that the door is still there. Ending a thread
 * means cancelling until it has ended, because a cancel that comes between two commands ends none.
 */
#ifndef PH_TUI_LINK_H
#define PH_TUI_LINK_H

#include <pthread.h>
#include <stdbool.h>

#include "tui/console.h"
#include "tui/data.h"

struct ph_door_link {
    ph_console_open open;
    void *arg;
    pthread_mutex_t lock; /* around `door` */
    struct ph_door *door; /* NULL: not open */
};

void ph_door_link_init(struct ph_door_link *, ph_console_open open, void *arg);
void ph_door_link_fini(struct ph_door_link *);

/* The thread of the link. Opens the door if it is not. */
PH_MUST_CHECK int ph_door_link_open(struct ph_door_link *, struct ph_error *);
void ph_door_link_close(struct ph_door_link *);
/* Runs one command in JSON lines into `data`. A lost connection closes the door. */
void ph_door_link_run(struct ph_door_link *, const char *command, struct ph_data *data);

/* Any thread. */
void ph_door_link_cancel(struct ph_door_link *);
/* Cancels until the thread has ended; false when it has not within a second. */
bool ph_door_link_join(struct ph_door_link *, pthread_t);

#endif
