#include "ipc/settings.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/nearest.h"
#include "engine/node.h"

enum { JOIN_MAX = 64 }; /* seeds */

typedef int (*check_fn)(const char *key, const char *value, struct ph_error *error);

static int check_name(const char *key, const char *value, struct ph_error *error)
{
    if (ph_name_is_valid(value))
        return 0;
    return ph_error_set(error, PH_EUSAGE, "%s '%.80s': 1 to 64 of the characters A-Z a-z 0-9 . _ -",
                        key, value);
}

static int check_workers(const char *key, const char *value, struct ph_error *error)
{
    uint64_t number;
    if (ph_parse_uint(value, 64, &number) && number)
        return 0;
    return ph_error_set(error, PH_EUSAGE, "%s '%.80s': a number from 1 to 64", key, value);
}

static int check_control(const char *key, const char *value, struct ph_error *error)
{
    if (strcmp(value, "none") == 0 || (strncmp(value, "ipc://", 6) == 0 && value[6]))
        return 0;
    return ph_error_set(error, PH_EUSAGE, "%s '%.80s': ipc://PATH, or none", key, value);
}

/* ADDR and PORT of "tcp://ADDR:PORT"; ADDR without brackets. */
struct address {
    char host[PH_ENDPOINT_MAX + 1];
    const char *port;
};

/* The brackets of an IPv6 address are taken off; it may not stand without. */
static bool read_host(const char *text, size_t length, char *host)
{
    bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
    text += bracketed;
    length -= bracketed ? 2 : 0;
    if (length == 0 || length > PH_ENDPOINT_MAX || (!bracketed && memchr(text, ':', length)))
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    return strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_*") ==
           length;
}

/* Takes "ADDR:PORT" apart. */
static bool read_address(const char *text, struct address *address)
{
    const char *colon = strrchr(text, ':');
    if (!colon || strlen(text) > PH_ENDPOINT_MAX)
        return false;
    address->port = colon + 1;
    return read_host(text, (size_t)(colon - text), address->host);
}

static bool is_port(const char *text)
{
    uint64_t port;
    return ph_parse_uint(text, 65535, &port) && port > 0;
}

static bool is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    if (inet_pton(AF_INET, host, &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    return strcmp(host, "localhost") == 0;
}

/* Without keys everybody who reaches the port could start programs. */
static int check_listen(const char *key, const char *value, struct ph_error *error)
{
    struct address address;
    bool tcp = strncmp(value, "tcp://", 6) == 0;
    if (!tcp || !read_address(value + 6, &address) ||
        (!is_port(address.port) && strcmp(address.port, "*") != 0))
        return ph_error_set(error, PH_EUSAGE,
                            "%s '%.80s': tcp://ADDR:PORT, where the port * picks a free one", key,
                            value);
    if (is_loopback(address.host))
        return 0;
    return ph_error_set(error, PH_EREFUSED,
                        "%s '%.80s': beyond loopback links need keys, which this build does not "
                        "have yet; use an address of 127.0.0.0/8 or [::1]",
                        key, value);
}

static int check_endpoint(const char *key, const char *value, struct ph_error *error)
{
    struct address address;
    bool tcp = strncmp(value, "tcp://", 6) == 0;
    if (tcp && read_address(value + 6, &address) && is_port(address.port) &&
        !strchr(address.host, '*'))
        return 0;
    return ph_error_set(error, PH_EUSAGE, "%s '%.80s': tcp://ADDR:PORT", key, value);
}

static int check_join(const char *key, const char *value, struct ph_error *error)
{
    char endpoint[PH_ENDPOINT_MAX + 1];
    unsigned count = 0;
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        if (length >= sizeof endpoint)
            return ph_error_set(error, PH_EUSAGE, "%s: an endpoint has at most %d characters", key,
                                PH_ENDPOINT_MAX);
        memcpy(endpoint, at, length);
        endpoint[length] = '\0';
        int rc = check_endpoint(key, endpoint, error);
        if (rc < 0)
            return rc;
        if (++count > JOIN_MAX)
            return ph_error_set(error, PH_EUSAGE, "%s: at most %d endpoints", key, JOIN_MAX);
        at += length;
        if (!*at)
            return 0;
    }
}

static int check_beacon(const char *key, const char *value, struct ph_error *error)
{
    struct address address;
    if (read_address(value, &address) && is_port(address.port) && !strchr(address.host, '*'))
        return 0;
    return ph_error_set(error, PH_EUSAGE, "%s '%.80s': ADDR:PORT", key, value);
}

static const struct {
    const char *name, *unit;
    check_fn check; /* NULL: any text, or a duration where the unit is ms */
} keys[PH_SETTINGS] = {
    [PH_SETTING_NAME] = {"name", "", check_name},
    [PH_SETTING_CONTROL] = {"control", "", check_control},
    [PH_SETTING_MODULES] = {"modules", "", NULL},
    [PH_SETTING_STATE] = {"state", "", NULL},
    [PH_SETTING_WORKERS] = {"workers", "threads", check_workers},
    [PH_SETTING_KEEPER] = {"keeper", "", NULL},
    [PH_SETTING_CONFIG] = {"config", "", NULL},
    [PH_SETTING_CLUSTER] = {"cluster", "", check_name},
    [PH_SETTING_LISTEN] = {"listen", "", check_listen},
    [PH_SETTING_ADVERTISE] = {"advertise", "", check_endpoint},
    [PH_SETTING_JOIN] = {"join", "", check_join},
    [PH_SETTING_BEACON] = {"beacon", "", check_beacon},
    [PH_SETTING_HEARTBEAT] = {"heartbeat", "ms", NULL},
    [PH_SETTING_DEAD_AFTER] = {"dead-after", "ms", NULL},
    [PH_SETTING_LEASE] = {"lease", "ms", NULL},
};

void ph_settings_fini(struct ph_settings *settings)
{
    for (size_t i = 0; i < PH_SETTINGS; i++)
        ph_free(settings->list[i].value);
}

const char *ph_setting_name(enum ph_setting_key key)
{
    return keys[key].name;
}

const char *ph_setting_unit(enum ph_setting_key key)
{
    return keys[key].unit;
}

const char *ph_settings_refusal(const char *key)
{
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"keys", "links have no keys in this build yet; they stay on loopback"},
        {"weight", "nodes have no weights in this build yet"},
        {"label", "nodes have no labels in this build yet"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(refused); i++)
        if (strcmp(refused[i].key, key) == 0)
            return refused[i].why;
    return NULL;
}

void ph_settings_names(struct ph_text *out)
{
    for (int key = 0; key < PH_SETTINGS; key++)
        if (key != PH_SETTING_CONFIG)
            ph_text_printf(out, "%s%s", key ? ", " : "", keys[key].name);
}

static bool find(const char *name, enum ph_setting_key *found)
{
    if (strcmp(name, "dead_after") == 0)
        name = "dead-after";
    for (size_t i = 0; i < PH_SETTINGS; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            *found = (enum ph_setting_key)i;
            return true;
        }
    }
    return false;
}

static int unknown(const char *key, struct ph_error *error)
{
    struct ph_nearest nearest = {0};
    const char *refusal = ph_settings_refusal(key);
    if (refusal)
        return ph_error_set(error, PH_EREFUSED, "%s: %s", key, refusal);
    for (size_t i = 0; i < PH_SETTINGS; i++)
        ph_nearest_offer(&nearest, key, keys[i].name);
    struct ph_text names = PH_TEXT_INIT;
    ph_settings_names(&names);
    int rc = ph_error_set(error, PH_EUSAGE, "%.80s: no such setting%s%s%s (%s)", key,
                          nearest.word ? ", did you mean " : "", nearest.word ? nearest.word : "",
                          nearest.word ? "?" : "", ph_text_str(&names));
    ph_text_fini(&names);
    return rc;
}

/* Finds the key and checks the value, which is `shown` as it is kept. */
static int read_setting(const char *name, const char *value, enum ph_setting_key *key,
                        struct ph_text *kept, struct ph_error *error)
{
    uint64_t ms;
    if (!find(name, key))
        return unknown(name, error);
    if (!*value)
        return ph_error_set(error, PH_EUSAGE, "%s: a value is missing", name);
    if (keys[*key].check) {
        int rc = keys[*key].check(keys[*key].name, value, error);
        if (rc < 0)
            return rc;
    } else if (strcmp(keys[*key].unit, "ms") == 0) {
        if (!ph_parse_duration(value, &ms) || ms == 0)
            return ph_error_set(error, PH_EUSAGE, "%s '%.80s': a duration like 250ms or 5s", name,
                                value);
        ph_text_printf(kept, "%llu", (unsigned long long)ms);
        return 0;
    }
    ph_text_put(kept, value);
    return 0;
}

int ph_settings_set(struct ph_settings *settings, const char *name, const char *value,
                    const char *source, struct ph_error *error)
{
    enum ph_setting_key key;
    struct ph_text kept = PH_TEXT_INIT;
    int rc = read_setting(name, value, &key, &kept, error);
    if (rc == 0 && !settings->list[key].value)
        settings->list[key] =
            (struct ph_setting){.value = ph_copy_text(kept.data, kept.length), .source = source};
    ph_text_fini(&kept);
    return rc;
}

int ph_settings_differ(const struct ph_settings *settings, const char *name, const char *value,
                       bool *differ, const char **have, struct ph_error *error)
{
    enum ph_setting_key key;
    struct ph_text kept = PH_TEXT_INIT;
    int rc = read_setting(name, value, &key, &kept, error);
    if (rc == 0) {
        const struct ph_setting *setting = &settings->list[key];
        bool overruled = setting->source && strcmp(setting->source, "option") == 0;
        *have = setting->value;
        *differ = !overruled && (!setting->value || strcmp(setting->value, kept.data) != 0);
    }
    ph_text_fini(&kept);
    return rc;
}

int ph_settings_check(const struct ph_settings *settings, struct ph_error *error)
{
    static const enum ph_setting_key linked[] = {PH_SETTING_JOIN, PH_SETTING_ADVERTISE,
                                                 PH_SETTING_BEACON};
    for (size_t i = 0; i < PH_COUNT_OF(linked); i++)
        if (settings->list[linked[i]].value && !settings->list[PH_SETTING_LISTEN].value)
            return ph_error_set(error, PH_EUSAGE,
                                "%s without listen: the others have to reach this node, too; add "
                                "--listen 'tcp://127.0.0.1:*'",
                                keys[linked[i]].name);
    return ph_node_check_times(ph_settings_ms(settings, PH_SETTING_HEARTBEAT),
                               ph_settings_ms(settings, PH_SETTING_DEAD_AFTER),
                               ph_settings_ms(settings, PH_SETTING_LEASE), error);
}

const char *ph_settings_get(const struct ph_settings *settings, enum ph_setting_key key)
{
    return settings->list[key].value;
}

uint64_t ph_settings_ms(const struct ph_settings *settings, enum ph_setting_key key)
{
    uint64_t ms = 0;
    const char *value = settings->list[key].value;
    return value && ph_parse_uint(value, UINT64_MAX, &ms) ? ms : 0;
}
