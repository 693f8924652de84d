#include "engine/kind/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "engine/error.h"
#include "engine/text.h"

static const char scheme[] = "tcp://";

/* A numeric address or localhost; false for anything else. */
static bool set_host(struct ph_endpoint *endpoint, const char *host, bool bracketed)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&endpoint->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&endpoint->address;
    memset(endpoint, 0, sizeof *endpoint);
    if (bracketed) {
        v6->sin6_family = AF_INET6;
        endpoint->length = sizeof *v6;
        return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
    }
    v4->sin_family = AF_INET;
    endpoint->length = sizeof *v4;
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) ==
           1;
}

static void set_port(struct ph_endpoint *endpoint, uint16_t port)
{
    if (endpoint->address.ss_family == AF_INET)
        ((struct sockaddr_in *)&endpoint->address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)&endpoint->address)->sin6_port = htons(port);
}

/* "HOST:PORT"; `text` is the whole, for messages. */
static int parse_host_port(const char *at, const char *text, bool listen,
                           struct ph_endpoint *endpoint, struct ph_error *error)
{
    bool bracketed = *at == '[';
    const char *host = bracketed ? at + 1 : at;
    const char *end = bracketed ? strstr(host, "]:") : strrchr(host, ':');
    char copy[INET6_ADDRSTRLEN + 1];
    struct ph_endpoint parsed;
    if (!end || end == host)
        return ph_error_set(error, PH_EUSAGE, "'%s' has no port: write tcp://ADDRESS:PORT", text);
    size_t length = (size_t)(end - host);
    if (length >= sizeof copy)
        return ph_error_set(error, PH_EUSAGE, "the address of '%s' is too long", text);
    memcpy(copy, host, length);
    copy[length] = '\0';
    if (!set_host(&parsed, copy, bracketed))
        return ph_error_set(error, PH_EUSAGE,
                            "'%s' is no numeric address (127.0.0.1, [::1] or localhost)", copy);
    const char *port_text = end + (bracketed ? 2 : 1);
    uint64_t port = 0;
    if (!(listen && strcmp(port_text, "*") == 0) &&
        (!ph_parse_uint(port_text, UINT16_MAX, &port) || port == 0))
        return ph_error_set(error, PH_EUSAGE, "'%s' is no port (1 to 65535%s)", port_text,
                            listen ? ", or * for any" : "");
    set_port(&parsed, (uint16_t)port);
    *endpoint = parsed;
    return 0;
}

int ph_endpoint_parse(const char *text, bool listen, struct ph_endpoint *endpoint,
                      struct ph_error *error)
{
    if (strlen(text) > PH_ENDPOINT_MAX)
        return ph_error_set(error, PH_EUSAGE, "an endpoint has at most %d bytes", PH_ENDPOINT_MAX);
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return ph_error_set(error, PH_EUSAGE, "'%s' is no endpoint: write tcp://ADDRESS:PORT",
                            text);
    return parse_host_port(text + sizeof scheme - 1, text, listen, endpoint, error);
}

int ph_endpoint_parse_udp(const char *text, struct ph_endpoint *endpoint, struct ph_error *error)
{
    if (strlen(text) > PH_ENDPOINT_MAX)
        return ph_error_set(error, PH_EUSAGE, "an address has at most %d bytes", PH_ENDPOINT_MAX);
    return parse_host_port(text, text, false, endpoint, error);
}

bool ph_endpoint_is_loopback(const struct ph_endpoint *endpoint)
{
    if (endpoint->address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&endpoint->address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&endpoint->address;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

int ph_endpoint_check_reach(const struct ph_endpoint *endpoint, const char *text,
                            struct ph_error *error)
{
    if (ph_endpoint_is_loopback(endpoint))
        return 0;
    return ph_error_set(error, PH_EREFUSED,
                        "'%s' reaches beyond this machine; that needs keys, which this build does "
                        "not have (use 127.0.0.1 or [::1])",
                        text);
}

void ph_endpoint_format(const struct ph_endpoint *endpoint, char text[PH_ENDPOINT_MAX + 1])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool v4 = endpoint->address.ss_family == AF_INET;
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)&endpoint->address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&endpoint->address;
    const void *address = v4 ? (const void *)&in4->sin_addr : (const void *)&in6->sin6_addr;
    inet_ntop(endpoint->address.ss_family, address, host, sizeof host);
    snprintf(text, PH_ENDPOINT_MAX + 1, v4 ? "tcp://%s:%u" : "tcp://[%s]:%u", host,
             (unsigned)ntohs(v4 ? in4->sin_port : in6->sin6_port));
}
