/*
 * Endpoints of links: "tcp://HOST:PORT" with a numeric address ("[…]" around IPv6) or localhost.
 *
 * No names are looked up: libzmq would do it in its I/O thread at every reconnect, where one dead
 * server of names stalls the links to all peers. Any thread.
 */
#ifndef PH_ENGINE_KIND_ENDPOINT_H
#define PH_ENGINE_KIND_ENDPOINT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "engine/limits.h"
#include "engine/prochub.h"

struct ph_endpoint {
    struct sockaddr_storage address; /* the port 0 for "*" */
    socklen_t length;
};

/* PH_EUSAGE with a text that says what is wrong. The port "*" (one of the kernel's choice) is only
 * for listening: `listen`. */
PH_MUST_CHECK int ph_endpoint_parse(const char *text, bool listen, struct ph_endpoint *,
                                    struct ph_error *);

/* "ADDR:PORT" of a UDP socket, the same rules. */
PH_MUST_CHECK int ph_endpoint_parse_udp(const char *text, struct ph_endpoint *, struct ph_error *);

/* 127.0.0.0/8 or ::1. */
bool ph_endpoint_is_loopback(const struct ph_endpoint *);

/* Links without keys stay on this machine: PH_EREFUSED with a text for any other address. */
PH_MUST_CHECK int ph_endpoint_check_reach(const struct ph_endpoint *, const char *text,
                                          struct ph_error *);

/* "tcp://127.0.0.1:4711": the form in which endpoints are compared and sent to others. */
void ph_endpoint_format(const struct ph_endpoint *, char text[PH_ENDPOINT_MAX + 1]);

#endif
