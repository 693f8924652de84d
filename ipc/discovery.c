#include "ipc/discovery.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/kind/endpoint.h"
#include "engine/node.h"
#include "engine/pack.h"
#include "engine/prng.h"
#include "ipc/wire.h"

enum {
    FIELDS = 5,
    FIELDS_MAX = 16,
    EARLY_BEACONS = 10,
    EARLY_MS = 1000,
    LATER_MS = 10000,
    DATAGRAMS_PER_TURN = 64,
};

static const char magic[] = "prochub";

struct ph_discovery {
    int fd;
    struct ph_endpoint to;
    char cluster[PH_NAME_MAX + 1], name[PH_NAME_MAX + 1];
    struct ph_text beacon;
    struct ph_prng prng;
    uint64_t beacon_at;
    uint64_t second_ms; /* the second in which `calls` were made */
    unsigned calls;
    struct ph_discovery_stats stats;
};

void ph_discovery_write(struct ph_text *out, const char *cluster, const char *name,
                        const char *endpoint)
{
    ph_pack_array(out, FIELDS);
    ph_pack_str(out, magic, strlen(magic));
    ph_pack_uint(out, PH_DISCOVERY_VERSION);
    ph_pack_str(out, cluster, strlen(cluster));
    ph_pack_str(out, name, strlen(name));
    ph_pack_str(out, endpoint, strlen(endpoint));
}

int ph_discovery_read(const void *bytes, size_t length, struct ph_discovery_beacon *beacon)
{
    struct ph_unpack in;
    char word[sizeof magic];
    ph_unpack_init(&in, bytes, length);
    uint32_t count = ph_unpack_array(&in, FIELDS_MAX);
    ph_unpack_name(&in, word, sizeof word);
    uint64_t version = ph_unpack_uint(&in, PH_DISCOVERY_VERSION);
    ph_unpack_name(&in, beacon->cluster, sizeof beacon->cluster);
    ph_unpack_name(&in, beacon->name, sizeof beacon->name);
    ph_unpack_name(&in, beacon->endpoint, sizeof beacon->endpoint);
    for (uint32_t i = FIELDS; i < count; i++)
        ph_unpack_skip(&in);
    bool good = count >= FIELDS && ph_unpack_end(&in) == 0 && version == PH_DISCOVERY_VERSION &&
                strcmp(word, magic) == 0 && ph_name_is_valid(beacon->name) &&
                ph_wire_endpoint_is_valid(beacon->endpoint);
    return good ? 0 : PH_EUSAGE;
}

/* ---- The socket ----------------------------------------------------------------------------- */

static bool is_multicast(const struct ph_endpoint *to)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&to->address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&to->address;
    return to->address.ss_family == AF_INET ? IN_MULTICAST(ntohl(v4->sin_addr.s_addr))
                                            : IN6_IS_ADDR_MULTICAST(&v6->sin6_addr);
}

static int set_option(int fd, int level, int option, const void *value, socklen_t size)
{
    return setsockopt(fd, level, option, value, size) < 0 ? -errno : 0;
}

/* Like links, groups do not leave this machine. */
static int join_group(int fd, const struct ph_endpoint *to)
{
    if (to->address.ss_family == AF_INET) {
        const struct ip_mreqn group = {
            .imr_multiaddr = ((const struct sockaddr_in *)&to->address)->sin_addr,
            .imr_address.s_addr = htonl(INADDR_LOOPBACK),
        };
        int rc = set_option(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
        return rc ? rc : set_option(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group);
    }
    const struct ipv6_mreq group = {
        .ipv6mr_multiaddr = ((const struct sockaddr_in6 *)&to->address)->sin6_addr,
        .ipv6mr_interface = if_nametoindex("lo"),
    };
    int index = (int)group.ipv6mr_interface;
    int rc = set_option(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &group, sizeof group);
    return rc ? rc : set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
}

/* Several nodes of one machine share the port. */
static int set_options(int fd, const struct ph_endpoint *to)
{
    const int on = 1;
    int rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (rc == 0)
        rc = set_option(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    return rc == 0 && is_multicast(to) ? join_group(fd, to) : rc;
}

static int open_socket(struct ph_discovery *discovery)
{
    int family = discovery->to.address.ss_family;
    discovery->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (discovery->fd < 0)
        return -errno;
    int rc = set_options(discovery->fd, &discovery->to);
    if (rc != 0)
        return rc;
    return bind(discovery->fd, (const struct sockaddr *)&discovery->to.address,
                discovery->to.length) < 0
               ? -errno
               : 0;
}

int ph_discovery_create(const struct ph_discovery_setup *setup, struct ph_discovery **out,
                        struct ph_error *error)
{
    struct ph_discovery *discovery = ph_alloc(sizeof *discovery);
    discovery->fd = -1;
    int rc = ph_endpoint_parse_udp(setup->address, &discovery->to, error);
    if (rc == 0 && !is_multicast(&discovery->to))
        rc = ph_endpoint_check_reach(&discovery->to, setup->address, error);
    if (rc == 0) {
        rc = open_socket(discovery);
        if (rc != 0)
            ph_error_set(error, rc, "no beacon at '%s': %s", setup->address, ph_error_text(rc));
    }
    if (rc != 0) {
        ph_discovery_destroy(discovery);
        return rc;
    }
    memcpy(discovery->cluster, setup->cluster, strnlen(setup->cluster, PH_NAME_MAX));
    memcpy(discovery->name, setup->name, strnlen(setup->name, PH_NAME_MAX));
    ph_discovery_write(&discovery->beacon, discovery->cluster, discovery->name, setup->endpoint);
    ph_prng_init(&discovery->prng, setup->seed);
    *out = discovery;
    return 0;
}

void ph_discovery_destroy(struct ph_discovery *discovery)
{
    if (!discovery)
        return;
    if (discovery->fd >= 0)
        close(discovery->fd);
    ph_text_fini(&discovery->beacon);
    ph_free(discovery);
}

int ph_discovery_fd(const struct ph_discovery *discovery)
{
    return discovery->fd;
}

/* ---- Hearing and saying --------------------------------------------------------------------- */

/* Calls a node that is not known, unless too many were called in this second. */
static void call_node(struct ph_discovery *discovery, struct ph_mesh *mesh,
                      const struct ph_discovery_beacon *beacon, uint64_t now_ms)
{
    if (ph_mesh_find(mesh, beacon->name))
        return;
    if (now_ms - discovery->second_ms >= 1000) {
        discovery->second_ms = now_ms;
        discovery->calls = 0;
    }
    if (discovery->calls >= PH_DISCOVERY_CALLS) {
        discovery->stats.limited++;
        return;
    }
    discovery->calls++;
    discovery->stats.called++;
    ph_mesh_meet(mesh, beacon->name, beacon->endpoint, now_ms);
}

static void hear(struct ph_discovery *discovery, struct ph_mesh *mesh, uint64_t now_ms)
{
    char bytes[PH_DISCOVERY_BYTES_MAX];
    for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
        ssize_t length = recv(discovery->fd, bytes, sizeof bytes, MSG_TRUNC);
        if (length < 0)
            return;
        struct ph_discovery_beacon beacon;
        discovery->stats.heard++;
        if ((size_t)length > sizeof bytes || ph_discovery_read(bytes, (size_t)length, &beacon) != 0)
            discovery->stats.malformed++;
        else if (strcmp(beacon.cluster, discovery->cluster) != 0)
            discovery->stats.foreign++;
        else if (strcmp(beacon.name, discovery->name) != 0)
            call_node(discovery, mesh, &beacon, now_ms);
    }
}

int ph_discovery_turn(struct ph_discovery *discovery, struct ph_mesh *mesh, uint64_t now_ms)
{
    hear(discovery, mesh, now_ms);
    if (now_ms >= discovery->beacon_at) {
        ssize_t sent =
            sendto(discovery->fd, discovery->beacon.data, discovery->beacon.length, 0,
                   (const struct sockaddr *)&discovery->to.address, discovery->to.length);
        (void)sent; /* the next one may get through */
        uint64_t pause = discovery->stats.sent++ < EARLY_BEACONS ? EARLY_MS : LATER_MS;
        discovery->beacon_at =
            now_ms + pause - pause / 4 + ph_prng_below(&discovery->prng, pause / 2);
    }
    return (int)(discovery->beacon_at - now_ms);
}

void ph_discovery_get_stats(const struct ph_discovery *discovery, struct ph_discovery_stats *stats)
{
    *stats = discovery->stats;
}
