/*
 * Runs the calls of hook handlers, outside the hub: C functions as actors of the user lane,
 * executables through the monitor. Implements the `hook` member of the exec port.
 */
#ifndef PH_ENGINE_HOOKRUN_H
#define PH_ENGINE_HOOKRUN_H

#include "engine/ports.h"

/* `context` is the struct ph_host. Answered by one PH_EVENT_HOOK_DONE. */
void ph_hookrun(void *context, const struct ph_hook_request *);

#endif
