#include "engine/table.h"

#include "engine/base.h"

/* One that grows at all grows to the second size: on a busy machine a hundred thousand children may
 * come before a thread has grown it, and each step of the hub would look through long chains. */
enum { FIRST = 256, SECOND = 16384, MOST = 1 << 22 };

void ph_table_init(struct ph_table *table)
{
    table->nodes = cds_lfht_new_flavor(FIRST, FIRST, MOST, 0, &urcu_memb_flavor, NULL);
    ph_assert(table->nodes);
    atomic_init(&table->buckets, FIRST);
}

size_t ph_table_wanted(struct ph_table *table, size_t entries)
{
    size_t buckets = atomic_load_explicit(&table->buckets, memory_order_relaxed);
    size_t wanted = SECOND;
    if (entries <= buckets || buckets >= MOST)
        return 0;
    while (wanted < entries + entries / 2 && wanted < MOST)
        wanted *= 2;
    return wanted;
}

void ph_table_grow(struct ph_table *table, size_t buckets)
{
    ph_rcu_join_thread();
    cds_lfht_resize(table->nodes, buckets);
    atomic_store_explicit(&table->buckets, buckets, memory_order_relaxed);
}
