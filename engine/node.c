#include "engine/node.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/rcu.h"

enum { DESTROY_GRACE_MS = 10000 }; /* beyond the hubs' own shutdown time-outs */

struct ph_node_peer {
    struct ph_node_peer *next;
    struct ph_peer peer;
};

bool ph_name_is_valid(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strnlen(name, PH_NAME_MAX + 1);
    return length >= 1 && length <= PH_NAME_MAX && strspn(name, allowed) == length;
}

static int choose_name(const char *wanted, char *name, struct ph_error *error)
{
    char host[PH_NAME_MAX + 1] = "";
    if (!wanted) {
        if (gethostname(host, sizeof host - 1))
            memcpy(host, "localhost", 10);
        wanted = host;
    }
    if (!ph_name_is_valid(wanted))
        return ph_error_set(error, PH_EUSAGE,
                            "node name '%s': use 1 to 64 characters of A-Z a-z 0-9 . _ -", wanted);
    memcpy(name, wanted, strlen(wanted) + 1);
    return 0;
}

static uint64_t or_default(uint64_t value_ms, uint64_t default_ms)
{
    return value_ms ? value_ms : default_ms;
}

int ph_node_check_times(uint64_t heartbeat_ms, uint64_t dead_after_ms, uint64_t lease_ms,
                        struct ph_error *error)
{
    unsigned long long heartbeat = or_default(heartbeat_ms, PH_HEARTBEAT_MS);
    unsigned long long dead_after = or_default(dead_after_ms, PH_DEAD_AFTER_MS);
    unsigned long long lease = or_default(lease_ms, PH_LEASE_MS);
    if (heartbeat < PH_HEARTBEAT_MIN_MS)
        return ph_error_set(error, PH_EUSAGE, "heartbeat %llu ms: use at least %d ms", heartbeat,
                            PH_HEARTBEAT_MIN_MS);
    if (dead_after > PH_DEAD_AFTER_MAX_MS)
        return ph_error_set(error, PH_EUSAGE, "dead-after %llu ms: use at most %d ms", dead_after,
                            PH_DEAD_AFTER_MAX_MS);
    if (heartbeat >= (dead_after + 2) / 3)
        return ph_error_set(error, PH_EUSAGE,
                            "heartbeat %llu ms and dead-after %llu ms: three heartbeats must be "
                            "shorter than dead-after, or one lost frame kills a node",
                            heartbeat, dead_after);
    if (lease >= dead_after)
        return ph_error_set(error, PH_EUSAGE,
                            "lease %llu ms and dead-after %llu ms: the lease must be shorter, or "
                            "the others start children that still run here",
                            lease, dead_after);
    return 0;
}

static void set_times(struct ph_node *node, const struct ph_node_config *config)
{
    node->heartbeat_ms = or_default(config->heartbeat_ms, PH_HEARTBEAT_MS);
    node->dead_after_ms = or_default(config->dead_after_ms, PH_DEAD_AFTER_MS);
    node->lease_ms = or_default(config->lease_ms, PH_LEASE_MS);
}

/* By the time of day; and past all before, when they are known. */
static int take_incarnation(struct ph_node *node, const char *state_dir, uint64_t random,
                            struct ph_error *error)
{
    node->incarnation = ph_incarnation((uint64_t)ph_wall_ms(), random);
    if (!state_dir)
        return 0;
    int rc = ph_state_dir_open(state_dir, node->name, node->incarnation, &node->state, error);
    if (rc == 0)
        node->incarnation = ph_state_dir_incarnation(node->state);
    return rc;
}

static uint64_t system_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = ph_now_ns();
    return seed;
}

static void init_lock(struct ph_node *node)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&node->released, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&node->lock, NULL);
    pthread_mutex_init(&node->creating, NULL);
}

static void destroy_parts(struct ph_node *node)
{
    ph_monitor_destroy(node->monitor);
    ph_sched_destroy(node->sched);
    ph_rcu_barrier();
    ph_timers_destroy(node->timers);
    ph_modules_destroy(node->modules);
    ph_state_dir_close(node->state);
    for (struct ph_node_peer *known = node->peers, *next; known; known = next) {
        next = known->next;
        ph_free(known);
    }
    pthread_cond_destroy(&node->released);
    pthread_mutex_destroy(&node->creating);
    pthread_mutex_destroy(&node->lock);
    ph_free(node);
}

int ph_node_create(const struct ph_node_config *config, struct ph_node **result,
                   struct ph_error *error)
{
    struct ph_node *node = ph_alloc(sizeof *node);
    int rc = choose_name(config->name, node->name, error);
    if (rc == 0)
        rc = ph_node_check_times(config->heartbeat_ms, config->dead_after_ms, config->lease_ms,
                                 error);
    if (rc) {
        ph_free(node);
        return rc;
    }
    set_times(node, config);
    ph_rcu_join_thread();
    ph_rcu_start();
    node->started_ms = ph_now_ms();
    uint64_t seed = config->seed ? config->seed : system_seed();
    ph_prng_init(&node->prng, seed);
    node->trace = config->trace;
    node->trace_arg = config->trace_arg;
    init_lock(node);
    node->modules = ph_modules_create(config->modules_dir);
    rc = ph_timers_create(&node->timers);
    if (rc == 0)
        rc = ph_sched_create(config->workers, seed, &node->sched);
    if (rc)
        ph_error_set(error, rc, "cannot start the node's threads: %s", ph_error_text(rc));
    if (rc == 0)
        rc = take_incarnation(node, config->state_dir, ph_prng_next(&node->prng), error);
    if (rc == 0)
        rc = ph_monitor_create(config->keeper_path, config->sole_parent, &node->monitor, error);
    if (rc) {
        destroy_parts(node);
        return rc;
    }
    *result = node;
    return 0;
}

const char *ph_node_name(const struct ph_node *node)
{
    return node->name;
}

uint64_t ph_node_incarnation(const struct ph_node *node)
{
    return node->incarnation;
}

uint64_t ph_node_uptime_ms(const struct ph_node *node)
{
    return ph_now_ms() - node->started_ms;
}

int ph_module_load(struct ph_node *node, const char *path, struct ph_error *error)
{
    return ph_modules_load(node->modules, path, error);
}

int ph_module_add(struct ph_node *node, const struct ph_module *module, struct ph_error *error)
{
    return ph_modules_add(node->modules, module, error);
}

/* ---- Peers ---------------------------------------------------------------------------------- */

void ph_node_bind_links(struct ph_node *node, struct ph_links_port_binding binding,
                        const char *listen, uint64_t incarnation)
{
    node->links = binding;
    node->incarnation = incarnation;
    memcpy(node->listen, listen, strnlen(listen, PH_ENDPOINT_MAX));
}

static struct ph_event *peer_up_event(const struct ph_peer *peer)
{
    struct ph_event *event = ph_event_create(PH_EVENT_PEER_UP);
    event->peer.peer = *peer;
    return event;
}

void ph_node_peer_up(struct ph_node *node, const struct ph_peer *peer)
{
    struct ph_node_peer *known = ph_alloc(sizeof *known);
    known->peer = *peer;
    pthread_mutex_lock(&node->lock);
    known->next = node->peers;
    node->peers = known;
    for (struct ph_host *host = node->hubs; host; host = host->next)
        ph_host_post_system(host, peer_up_event(peer));
    pthread_mutex_unlock(&node->lock);
}

void ph_node_name_taken(struct ph_node *node)
{
    pthread_mutex_lock(&node->lock);
    for (struct ph_host *host = node->hubs; host; host = host->next)
        ph_host_post_system(host, ph_event_create(PH_EVENT_NAME_TAKEN));
    pthread_mutex_unlock(&node->lock);
}

/* Takes it off the list; NULL: it is not on it. */
static struct ph_node_peer *take_peer_locked(struct ph_node *node, uint64_t peer)
{
    struct ph_node_peer **link = &node->peers;
    while (*link && (*link)->peer.number != peer)
        link = &(*link)->next;
    struct ph_node_peer *known = *link;
    if (known)
        *link = known->next;
    return known;
}

void ph_node_peer_down(struct ph_node *node, uint64_t peer, enum ph_peer_end why)
{
    pthread_mutex_lock(&node->lock);
    struct ph_node_peer *known = take_peer_locked(node, peer);
    for (struct ph_host *host = known ? node->hubs : NULL; host; host = host->next) {
        struct ph_event *event = ph_event_create(PH_EVENT_PEER_DOWN);
        event->peer.peer = known->peer;
        event->peer.why = why;
        ph_host_post_system(host, event);
    }
    pthread_mutex_unlock(&node->lock);
    ph_free(known);
}

void ph_node_peer_forget(struct ph_node *node, uint64_t peer)
{
    pthread_mutex_lock(&node->lock);
    struct ph_node_peer *known = take_peer_locked(node, peer);
    pthread_mutex_unlock(&node->lock);
    ph_free(known);
}

static bool has_name(const struct ph_host *host, const char *name, size_t length)
{
    return strlen(host->hub.name) == length && memcmp(host->hub.name, name, length) == 0;
}

bool ph_node_frame(struct ph_node *node, uint64_t peer, const char *hub, size_t hub_length,
                   const void *bytes, size_t length)
{
    pthread_mutex_lock(&node->lock);
    struct ph_host *host = node->hubs;
    while (host && !has_name(host, hub, hub_length))
        host = host->next;
    if (host) {
        struct ph_event *event = ph_event_create(PH_EVENT_FRAME);
        event->frame.peer = peer;
        ph_text_append(&event->frame.bytes, bytes, length);
        ph_host_post_system(host, event);
    }
    pthread_mutex_unlock(&node->lock);
    return host != NULL;
}

/* A hub that comes later is told of the peers that are there. */
static void tell_peers_locked(struct ph_node *node, struct ph_host *host)
{
    for (struct ph_node_peer *known = node->peers; known; known = known->next)
        ph_host_post_system(host, peer_up_event(&known->peer));
}

/* ---- Hubs ---------------------------------------------------------------------------------- */

static struct ph_host *find_locked(struct ph_node *node, const char *name)
{
    struct ph_host *host = node->hubs;
    while (host && strcmp(host->hub.name, name) != 0)
        host = host->next;
    return host;
}

struct ph_hub *ph_hub_get(struct ph_node *node, const char *name)
{
    pthread_mutex_lock(&node->lock);
    struct ph_host *host = find_locked(node, name);
    if (host)
        ph_host_get(host);
    pthread_mutex_unlock(&node->lock);
    return host ? &host->hub : NULL;
}

void ph_hub_put(struct ph_hub *hub)
{
    if (hub)
        ph_host_put(ph_host_of(hub));
}

const char *ph_hub_name(const struct ph_hub *hub)
{
    return hub->name;
}

/* 0: all are taken. Hubs that have ended keep theirs until they are freed. */
static uint32_t take_lease_locked(struct ph_node *node)
{
    _Static_assert((int)PH_KEEPER_LEASES > (int)PH_HUBS_MAX, "there is one for every hub");
    uint32_t number = 1;
    while (number < PH_KEEPER_LEASES && node->lease_numbers[number])
        number++;
    if (number == PH_KEEPER_LEASES)
        return 0;
    node->lease_numbers[number] = true;
    return number;
}

static int check_name_locked(struct ph_node *node, const char *name, struct ph_error *error)
{
    if (find_locked(node, name))
        return ph_error_set(error, PH_EEXISTS, "a hub named '%s' runs on this node", name);
    if (node->hub_count == PH_HUBS_MAX)
        return ph_error_set(error, PH_ELIMIT, "the node has %d hubs already", PH_HUBS_MAX);
    return 0;
}

static void list_locked(struct ph_node *node, struct ph_host *host)
{
    struct ph_host **link = &node->hubs;
    while (*link)
        link = &(*link)->next;
    ph_host_get(host);
    *link = host;
    node->hub_count++;
    tell_peers_locked(node, host);
}

/* The host, unknown to others, with a lease of its own. */
static int create_host(struct ph_node *node, const char *name, const struct ph_hub_options *options,
                       struct ph_host **host, struct ph_error *error)
{
    pthread_mutex_lock(&node->lock);
    int rc = check_name_locked(node, name, error);
    uint32_t lease = rc ? 0 : take_lease_locked(node);
    uint64_t seed = ph_prng_next(&node->prng); /* every hub has jitter of its own */
    node->host_count += lease != 0;
    pthread_mutex_unlock(&node->lock);
    if (rc)
        return rc;
    if (lease == 0)
        return ph_error_set(error, PH_ELIMIT, "%d hubs of the node have not quite ended",
                            PH_KEEPER_LEASES - 1);
    ph_host_create(node, name, options, seed, host);
    (*host)->hub.lease_number = lease;
    return 0;
}

static int create_hub(struct ph_node *node, const char *name, const struct ph_hub_options *options,
                      struct ph_host **host, struct ph_error *error)
{
    int rc = create_host(node, name, options, host, error);
    if (rc)
        return rc;
    rc = ph_host_read_journal(*host, error);
    if (rc) {
        ph_host_put(*host);
        return rc;
    }
    pthread_mutex_lock(&node->lock);
    list_locked(node, *host);
    ph_sched_wake(node->sched, &(*host)->actor); /* it may have to look at what it read */
    pthread_mutex_unlock(&node->lock);
    return 0;
}

int ph_hub_create(struct ph_node *node, const char *name, const char *const *texts, size_t count,
                  struct ph_hub **hub, struct ph_error *error)
{
    struct ph_hub_options options;
    struct ph_host *host;
    if (!ph_name_is_valid(name))
        return ph_error_set(error, PH_EUSAGE,
                            "hub name '%s': use 1 to 64 characters of A-Z a-z 0-9 . _ -", name);
    int rc = ph_hub_options_parse(&options, texts, count, error);
    if (rc)
        return rc;
    pthread_mutex_lock(&node->creating);
    rc = create_hub(node, name, &options, &host, error);
    pthread_mutex_unlock(&node->creating);
    if (rc == 0)
        *hub = &host->hub;
    return rc;
}

void ph_node_each_hub(struct ph_node *node, bool (*fn)(void *arg, struct ph_hub *), void *arg)
{
    struct ph_host *hosts[PH_HUBS_MAX];
    unsigned count = 0;
    pthread_mutex_lock(&node->lock);
    for (struct ph_host *host = node->hubs; host; host = host->next) {
        ph_host_get(host);
        hosts[count++] = host;
    }
    pthread_mutex_unlock(&node->lock);
    bool go_on = true;
    for (unsigned i = 0; i < count; i++) {
        go_on = go_on && fn(arg, &hosts[i]->hub);
        ph_host_put(hosts[i]);
    }
}

void ph_node_forget(struct ph_node *node, struct ph_host *host)
{
    pthread_mutex_lock(&node->lock);
    struct ph_host **link = &node->hubs;
    while (*link && *link != host)
        link = &(*link)->next;
    bool listed = *link != NULL;
    if (listed) {
        *link = host->next;
        node->hub_count--;
    }
    pthread_mutex_unlock(&node->lock);
    if (listed)
        ph_host_put(host);
}

void ph_node_release(struct ph_node *node, uint32_t lease_number)
{
    pthread_mutex_lock(&node->lock);
    node->host_count--;
    node->lease_numbers[lease_number] = false;
    pthread_cond_broadcast(&node->released);
    pthread_mutex_unlock(&node->lock);
}

/* ---- The end ------------------------------------------------------------------------------- */

static bool stop_hub(void *arg, struct ph_hub *hub)
{
    uint64_t *longest_ms = arg;
    struct ph_error error;
    if (hub->options.shutdown_timeout_ms > *longest_ms)
        *longest_ms = hub->options.shutdown_timeout_ms;
    return ph_hub_stop(hub, NULL, &error) == 0;
}

/* False: some child's handler does not return, and its hub cannot end. */
static bool wait_released(struct ph_node *node, uint64_t deadline_ms)
{
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ms / 1000),
        .tv_nsec = (long)(deadline_ms % 1000) * 1000000,
    };
    int rc = 0;
    pthread_mutex_lock(&node->lock);
    while (node->host_count && rc == 0)
        rc = pthread_cond_timedwait(&node->released, &node->lock, &deadline);
    bool released = node->host_count == 0;
    pthread_mutex_unlock(&node->lock);
    return released;
}

bool ph_node_stop(struct ph_node *node)
{
    uint64_t longest_ms = 0;
    ph_node_each_hub(node, stop_hub, &longest_ms);
    return wait_released(node, ph_now_ms() + longest_ms + DESTROY_GRACE_MS);
}

void ph_node_destroy(struct ph_node *node)
{
    if (!node)
        return;
    if (ph_node_stop(node))
        destroy_parts(node);
    else
        ph_monitor_destroy(node->monitor); /* threads in handlers keep the rest */
}
