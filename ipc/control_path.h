/*
 * Where control sockets lie: $XDG_RUNTIME_DIR/prochub/NAME.sock, else /run/prochub/ for root, else
 * ~/.prochub/. An endpoint is "ipc://PATH".
 */
#ifndef PH_IPC_CONTROL_PATH_H
#define PH_IPC_CONTROL_PATH_H

#include <sys/un.h>

#include "engine/prochub.h"
#include "engine/text.h"

/* The directory of the default endpoints. */
PH_MUST_CHECK int ph_control_directory(struct ph_text *path, struct ph_error *);

/* The endpoint of the node `name` in it. */
PH_MUST_CHECK int ph_control_endpoint(const char *name, struct ph_text *endpoint,
                                      struct ph_error *);

/* The address of an endpoint; PH_EUSAGE when it is none, or longer than an address takes. */
PH_MUST_CHECK int ph_control_address(const char *endpoint, struct sockaddr_un *, struct ph_error *);

/* Does somebody answer at that address? */
bool ph_control_answers(const struct sockaddr_un *);

#endif
