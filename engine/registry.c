#include "engine/registry.h"

#include <string.h>

#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/spec.h"
#include "engine/table.h"
#include "engine/tsan.h"

struct ph_registry {
    struct ph_table table;
    uint64_t secret;
    _Atomic bool open; /* inside a hub step */
    _Atomic uint64_t stray_writes;
    struct ph_child *retracted; /* since the last reclaim */
};

/* An id as the table's match function gets it. */
struct key {
    const char *id;
    size_t length;
};

static int matches(struct cds_lfht_node *node, const void *key_pointer)
{
    const struct key *key = key_pointer;
    const struct ph_child *child = ph_container_of(node, struct ph_child, node);
    PH_TSAN_ACQUIRE(child);
    return child->id_length == key->length && memcmp(child->id, key->id, key->length) == 0;
}

static unsigned long hash_of(const struct ph_registry *registry, const char *id, size_t length)
{
    return (unsigned long)XXH3_64bits_withSeed(id, length, registry->secret);
}

struct ph_registry *ph_registry_create(uint64_t secret)
{
    ph_rcu_join_thread();
    struct ph_registry *registry = ph_alloc(sizeof *registry);
    registry->secret = secret;
    ph_table_init(&registry->table);
    return registry;
}

void ph_registry_destroy(struct ph_registry *registry)
{
    if (!registry)
        return;
    ph_rcu_join_thread();
    ph_registry_open(registry);
    struct cds_lfht_iter iterator;
    struct cds_lfht_node *node;
    ph_rcu_enter();
    cds_lfht_for_each (registry->table.nodes, &iterator, node) {
        PH_TSAN_ACQUIRE(node);
        ph_registry_retract(registry, ph_container_of(node, struct ph_child, node));
    }
    ph_rcu_exit();
    ph_registry_reclaim(registry);
    ph_rcu_barrier();
    cds_lfht_destroy(registry->table.nodes, NULL);
    ph_free(registry);
}

struct ph_child *ph_registry_find_rcu(const struct ph_registry *registry, const char *id,
                                      size_t length)
{
    struct key key = {.id = id, .length = length};
    struct cds_lfht_iter iterator;
    cds_lfht_lookup(registry->table.nodes, hash_of(registry, id, length), matches, &key, &iterator);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iterator);
    if (!node)
        return NULL;
    struct ph_child *child = ph_container_of(node, struct ph_child, node);
    PH_TSAN_ACQUIRE(child);
    return child;
}

void ph_registry_each_rcu(const struct ph_registry *registry,
                          bool (*fn)(void *arg, struct ph_child *), void *arg)
{
    struct cds_lfht_iter iterator;
    struct cds_lfht_node *node;
    cds_lfht_for_each (registry->table.nodes, &iterator, node) {
        struct ph_child *child = ph_container_of(node, struct ph_child, node);
        PH_TSAN_ACQUIRE(child);
        if (!fn(arg, child))
            return;
    }
}

static size_t aligned(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

struct ph_child *ph_child_create(struct ph_hub *hub, const struct ph_kind *kind, const char *id,
                                 size_t length, struct ph_spec *spec)
{
    size_t tail = aligned(offsetof(struct ph_child, id) + length + 1);
    struct ph_child *child = ph_alloc(tail + kind->child_bytes);
    child->hub = hub;
    child->kind = kind;
    child->id_length = (uint8_t)length;
    child->tail_offset = (uint16_t)tail;
    memcpy(child->id, id, length);
    atomic_init(&child->spec, ph_spec_get(spec));
    kind->init(child);
    return child;
}

void ph_child_free(struct ph_child *child)
{
    ph_spec_put(ph_child_spec_rcu(child));
    ph_free(atomic_load_explicit(&child->last_exit, memory_order_relaxed));
    ph_free(child);
}

struct old_spec {
    struct rcu_head rcu;
    struct ph_spec *spec;
};

static void put_old_spec(struct rcu_head *head)
{
    ph_rcu_callback_begin();
    struct old_spec *old = ph_container_of(head, struct old_spec, rcu);
    PH_TSAN_ACQUIRE(head);
    ph_spec_put(old->spec);
    ph_free(old);
    ph_rcu_callback_end();
}

void ph_child_replace_spec(struct ph_child *child, struct ph_spec *spec)
{
    struct old_spec *old = ph_alloc(sizeof *old);
    old->spec = atomic_exchange_explicit(&child->spec, spec, memory_order_acq_rel);
    ph_rcu_call(&old->rcu, put_old_spec);
}

static void note_write(struct ph_registry *registry)
{
    if (!atomic_load_explicit(&registry->open, memory_order_relaxed))
        atomic_fetch_add_explicit(&registry->stray_writes, 1, memory_order_relaxed);
}

int ph_registry_publish(struct ph_registry *registry, struct ph_child *child)
{
    note_write(registry);
    struct key key = {.id = child->id, .length = child->id_length};
    cds_lfht_node_init(&child->node);
    PH_TSAN_RELEASE(child);
    ph_rcu_enter();
    struct cds_lfht_node *there =
        cds_lfht_add_unique(registry->table.nodes, hash_of(registry, child->id, child->id_length),
                            matches, &key, &child->node);
    ph_rcu_exit();
    return there == &child->node ? 0 : PH_EEXISTS;
}

void ph_registry_remove(struct ph_registry *registry, struct ph_child *child)
{
    note_write(registry);
    ph_rcu_enter();
    int rc = cds_lfht_del(registry->table.nodes, &child->node);
    ph_rcu_exit();
    ph_assert(rc == 0);
}

void ph_registry_release(struct ph_registry *registry, struct ph_child *child)
{
    child->next_retracted = registry->retracted;
    registry->retracted = child;
}

void ph_registry_retract(struct ph_registry *registry, struct ph_child *child)
{
    ph_registry_remove(registry, child);
    ph_registry_release(registry, child);
}

static void reclaim(struct rcu_head *head)
{
    ph_rcu_callback_begin();
    struct ph_child *child = ph_container_of(head, struct ph_child, rcu);
    PH_TSAN_ACQUIRE(head);
    while (child) {
        struct ph_child *next = child->next_retracted;
        PH_TSAN_ACQUIRE(child);
        child->kind->fini(child);
        child = next;
    }
    ph_rcu_callback_end();
}

void ph_registry_reclaim(struct ph_registry *registry)
{
    struct ph_child *first = registry->retracted;
    if (!first)
        return;
    registry->retracted = NULL;
    for (struct ph_child *child = first; child; child = child->next_retracted)
        PH_TSAN_RELEASE(child);
    ph_rcu_call(&first->rcu, reclaim);
}

size_t ph_registry_wanted(const struct ph_registry *registry, size_t children)
{
    return ph_table_wanted(&((struct ph_registry *)(uintptr_t)registry)->table, children);
}

void ph_registry_grow(struct ph_registry *registry, size_t buckets)
{
    ph_table_grow(&registry->table, buckets);
}

void ph_registry_open(struct ph_registry *registry)
{
    atomic_store_explicit(&registry->open, true, memory_order_relaxed);
}

void ph_registry_close(struct ph_registry *registry)
{
    atomic_store_explicit(&registry->open, false, memory_order_relaxed);
}

uint64_t ph_registry_stray_writes(const struct ph_registry *registry)
{
    return atomic_load_explicit(&((struct ph_registry *)(uintptr_t)registry)->stray_writes,
                                memory_order_relaxed);
}

void ph_child_inspect_rcu(const struct ph_child *child_const, struct ph_child_info *info)
{
    struct ph_child *child = (struct ph_child *)(uintptr_t)child_const;
    *info = (struct ph_child_info){
        .state = ph_child_state(child),
        .instance = atomic_load_explicit(&child->instance, memory_order_relaxed),
        .epoch = atomic_load_explicit(&child->epoch, memory_order_relaxed),
        .restarts = atomic_load_explicit(&child->restarts, memory_order_relaxed),
        .since_ms = atomic_load_explicit(&child->since_ms, memory_order_relaxed),
    };
    memcpy(info->id, child->id, child->id_length + 1u);
    child->kind->inspect(child, info);
}
