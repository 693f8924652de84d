#include "ipc/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/kind/endpoint.h"
#include "engine/node.h"
#include "engine/prng.h"
#include "ipc/discovery.h"
#include "ipc/link_loop.h"
#include "tests/lib/eventually.h"

/* ---- Endpoints ------------------------------------------------------------------------------ */

/* Endpoints are read or refused with a text that says what is wrong. */
static void endpoints_are_read_or_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool listen;
        const char *out; /* NULL: refused */
    } cases[] = {
        {"tcp://127.0.0.1:4711", false, "tcp://127.0.0.1:4711"},
        {"tcp://localhost:1", false, "tcp://127.0.0.1:1"},
        {"tcp://[::1]:65535", false, "tcp://[::1]:65535"},
        {"tcp://[0:0::1]:7", false, "tcp://[::1]:7"},
        {"tcp://127.0.0.1:*", true, "tcp://127.0.0.1:0"},
        {"tcp://127.0.0.1:*", false, NULL},
        {"tcp://127.0.0.1:0", false, NULL},
        {"tcp://127.0.0.1:65536", false, NULL},
        {"tcp://127.0.0.1:-1", false, NULL},
        {"tcp://127.0.0.1:1x", false, NULL},
        {"tcp://127.0.0.1", false, NULL},
        {"tcp://127.0.0.1:", false, NULL},
        {"tcp://:1", false, NULL},
        {"tcp://[::1", false, NULL},
        {"tcp://::1:5", false, NULL},
        {"tcp://example.org:1", false, NULL},
        {"udp://127.0.0.1:1", false, NULL},
        {"ipc:///tmp/x", false, NULL},
        {"tcp://", false, NULL},
        {"", false, NULL},
        {"tcp://11111111111111111111111111111111111111111111111111111111:1", false, NULL},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_endpoint endpoint;
        struct ph_error error = {0};
        char text[PH_ENDPOINT_MAX + 1];
        int rc = ph_endpoint_parse(cases[i].text, cases[i].listen, &endpoint, &error);
        assert_int_equal(rc, cases[i].out ? 0 : PH_EUSAGE);
        if (!cases[i].out) {
            assert_true(error.text[0]);
            continue;
        }
        ph_endpoint_format(&endpoint, text);
        assert_string_equal(text, cases[i].out);
    }
}

/* Only 127.0.0.0/8 and ::1 are this machine; anything else needs keys. */
static void links_without_keys_stay_on_this_machine(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"tcp://127.0.0.1:1", true},
        {"tcp://127.9.8.7:1", true},
        {"tcp://[::1]:1", true},
        {"tcp://0.0.0.0:1", false},
        {"tcp://128.0.0.1:1", false},
        {"tcp://[::]:1", false},
        {"tcp://10.0.0.1:1", false},
        {"tcp://[fe80::1]:1", false},
        {"tcp://255.255.255.255:1", false},
        {"tcp://[::ffff:127.0.0.1]:1", false},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_endpoint endpoint;
        struct ph_error error = {0};
        assert_int_equal(ph_endpoint_parse(cases[i].text, false, &endpoint, NULL), 0);
        int rc = ph_endpoint_check_reach(&endpoint, cases[i].text, &error);
        assert_int_equal(rc, cases[i].loopback ? 0 : PH_EREFUSED);
        assert_true(cases[i].loopback || strstr(error.text, "keys"));
    }
}

/* ---- Starting ------------------------------------------------------------------------------- */

static struct ph_node *new_node(const char *name)
{
    struct ph_node *node = NULL;
    struct ph_node_config config = {.name = name, .workers = 1, .seed = 1};
    assert_int_equal(ph_node_create(&config, &node, NULL), 0);
    return node;
}

static void refuse_start(struct ph_links_config config, int code, const char *part)
{
    struct ph_node *node = new_node("n0");
    struct ph_links *links = NULL;
    struct ph_error error = {0};
    assert_int_equal(ph_links_start(node, &config, &links, &error), code);
    assert_null(links);
    if (!strstr(error.text, part))
        fail_msg("'%s' is not in '%s'", part, error.text);
    assert_null(node->links.port);
    ph_node_destroy(node);
}

/* A configuration that cannot work is refused as a whole, with a text, and leaves nothing. */
static void bad_configurations_are_refused(void **state)
{
    (void)state;
    static const char *const far[] = {"loop://a", "tcp://127.0.0.1:1"};
    struct ph_loop_wire *wire = ph_loop_wire_create();
    struct ph_links_config loop = {
        .transport = ph_link_loop(), .transport_context = wire, .listen = "loop://*"};
    struct ph_links_config config = loop;
    config.listen = "tcp://127.0.0.1:*";
    refuse_start(config, PH_EUSAGE, "loop://NAME");
    config = loop;
    config.cluster = "a b";
    refuse_start(config, PH_EUSAGE, "'a b' is no name of a cluster");
    config = loop;
    config.joins = far;
    config.join_count = 2;
    refuse_start(config, PH_EUSAGE, "'tcp://127.0.0.1:1' is no endpoint");
    config = loop;
    config.advertise = "here";
    refuse_start(config, PH_EUSAGE, "'here' is no endpoint");
    config = loop;
    config.beacon = "somewhere";
    refuse_start(config, PH_EUSAGE, "has no port");
    config.beacon = "192.168.1.255:7";
    refuse_start(config, PH_EREFUSED, "keys");
    ph_loop_wire_destroy(wire);
}

/* An endpoint that is in use is refused; a node may join so many endpoints and no more. */
static void second_listener_and_too_many_joins_are_refused(void **state)
{
    (void)state;
    struct ph_loop_wire *wire = ph_loop_wire_create();
    struct ph_links_config config = {
        .transport = ph_link_loop(), .transport_context = wire, .listen = "loop://here"};
    struct ph_node *node = new_node("n0");
    struct ph_links *links = NULL;
    struct ph_error error = {0};
    assert_int_equal(ph_links_start(node, &config, &links, &error), 0);
    assert_string_equal(ph_links_endpoint(links), "loop://here");
    assert_string_equal(node->listen, "loop://here");
    refuse_start(config, -EADDRINUSE, "another node listens at loop://here");
    for (int i = 0; i < PH_LINKS_JOINS_MAX; i++) {
        char endpoint[32];
        snprintf(endpoint, sizeof endpoint, "loop://%d", i);
        assert_int_equal(ph_links_join(links, endpoint, &error), 0);
    }
    assert_int_equal(ph_links_join(links, "loop://more", &error), PH_ELIMIT);
    assert_int_equal(ph_links_find_peer(links, "n1"), 0);
    struct ph_mesh_stats stats = {.peers = 7};
    ph_links_stats(links, 4711, &stats);
    assert_int_equal(stats.peers, 0);
    ph_links_leave(links);
    ph_links_stop(links);
    ph_node_destroy(node);
    ph_loop_wire_destroy(wire);
}

/* ---- The beacon ----------------------------------------------------------------------------- */

/* A datagram is read as it was written; a changed or cut one is malformed or says something else,
 * and never leads out of its bytes. */
static void beacons_are_read_within_bounds(void **state)
{
    (void)state;
    struct ph_prng prng;
    struct ph_discovery_beacon beacon;
    struct ph_text text = PH_TEXT_INIT;
    ph_prng_init(&prng, 1);
    ph_discovery_write(&text, "test", "n1", "tcp://127.0.0.1:4711");
    assert_int_equal(ph_discovery_read(text.data, text.length, &beacon), 0);
    assert_string_equal(beacon.cluster, "test");
    assert_string_equal(beacon.name, "n1");
    assert_string_equal(beacon.endpoint, "tcp://127.0.0.1:4711");
    for (size_t length = 0; length < text.length; length++)
        assert_int_equal(ph_discovery_read(text.data, length, &beacon), PH_EUSAGE);
    for (int i = 0; i < 20000; i++) {
        char changed[128];
        memcpy(changed, text.data, text.length);
        changed[ph_prng_below(&prng, text.length)] ^= (char)(1 + ph_prng_below(&prng, 255));
        if (ph_discovery_read(changed, text.length, &beacon) == 0)
            assert_true(strlen(beacon.name) <= 64 && strlen(beacon.endpoint) <= 128);
    }
    ph_text_fini(&text);
}

enum { FOUND = 3 };

struct found {
    struct ph_node *nodes[FOUND];
    struct ph_links *links[FOUND];
};

static bool all_found(void *arg)
{
    const struct found *found = arg;
    for (int i = 0; i < FOUND; i++) {
        struct ph_mesh_stats stats;
        ph_links_stats(found->links[i], 0, &stats);
        if (stats.peers != FOUND - 1)
            return false;
    }
    return true;
}

static bool junk_is_counted(void *arg)
{
    const struct found *found = arg;
    struct ph_discovery_stats stats;
    assert_true(ph_links_beacon_stats(found->links[0], &stats));
    return stats.malformed > 0;
}

static void send_junk(unsigned port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = inet_addr("127.255.255.255")};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on), 0);
    assert_int_equal(sendto(fd, "junk", 4, 0, (struct sockaddr *)&address, sizeof address), 4);
    close(fd);
}

/* A UDP port that is free. */
static unsigned free_port(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void find_each_other(const char *group, bool junk)
{
    unsigned port = free_port();
    struct found found;
    struct ph_loop_wire *wire = ph_loop_wire_create();
    char beacon[64];
    snprintf(beacon, sizeof beacon, "%s:%u", group, port);
    for (int i = 0; i < FOUND; i++) {
        char name[8];
        struct ph_error error = {0};
        struct ph_links_config config = {.transport = ph_link_loop(),
                                         .transport_context = wire,
                                         .listen = "loop://*",
                                         .beacon = beacon};
        snprintf(name, sizeof name, "n%d", i);
        found.nodes[i] = new_node(name);
        if (ph_links_start(found.nodes[i], &config, &found.links[i], &error))
            fail_msg("%s", error.text);
    }
    assert_true(eventually(all_found, &found, 60000));
    if (junk) {
        send_junk(port);
        assert_true(eventually(junk_is_counted, &found, 60000));
    }
    for (int i = 0; i < FOUND; i++) {
        ph_links_leave(found.links[i]);
        ph_links_stop(found.links[i]);
        ph_node_destroy(found.nodes[i]);
    }
    ph_loop_wire_destroy(wire);
}

/* Nodes with the same beacon find each other without a seed; what is no beacon is counted. */
static void nodes_find_each_other_by_their_beacons(void **state)
{
    (void)state;
    find_each_other("239.255.71.17", false);
    find_each_other("127.255.255.255", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read_or_refused_with_a_reason),
        cmocka_unit_test(links_without_keys_stay_on_this_machine),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(second_listener_and_too_many_joins_are_refused),
        cmocka_unit_test(beacons_are_read_within_bounds),
        cmocka_unit_test(nodes_find_each_other_by_their_beacons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
