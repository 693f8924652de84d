#include "engine/history.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/rcu.h"

enum { READERS = 2, RECORDS = 200000 };

struct reader {
    const struct ph_history *history;
    atomic_bool *written;
    uint64_t last, seen, missed;
    bool broken;
};

/* Every text follows from the seq, so a torn record shows. */
static void texts_of(uint64_t seq, char *id, char *text)
{
    snprintf(id, 32, "child-%llu", (unsigned long long)seq);
    int length = (int)(seq % 90);
    memset(text, 'a' + (int)(seq % 26), (size_t)length);
    text[length] = '\0';
}

static bool check(void *arg, const struct ph_record *record)
{
    struct reader *reader = arg;
    char id[32], text[128];
    texts_of(record->seq, id, text);
    reader->broken = reader->broken || record->seq <= reader->last ||
                     record->cause != record->seq - 1 || record->now_ms != record->seq * 3 ||
                     strcmp(record->type, "child_started") != 0 || strcmp(record->id, id) != 0 ||
                     strcmp(record->text, text) != 0;
    reader->missed += record->seq - reader->last - 1;
    reader->last = record->seq;
    reader->seen++;
    return !reader->broken;
}

static void *read_all(void *arg)
{
    struct reader *reader = arg;
    bool written;
    do {
        /* acquire: pairs with the release in the test; after it, one more round sees everything. */
        written = atomic_load_explicit(reader->written, memory_order_acquire);
        uint64_t known = ph_history_last(reader->history);
        ph_rcu_enter();
        uint64_t oldest = ph_history_each_rcu(reader->history, reader->last, check, reader);
        ph_rcu_exit();
        reader->broken = reader->broken || reader->last < known || oldest > reader->last + 1;
    } while (!written && !reader->broken);
    ph_rcu_leave_thread();
    return NULL;
}

/* One writer, two readers: every record is whole, seqs ascend, the newest one is found. */
static void readers_see_whole_records_in_order(void **state)
{
    (void)state;
    struct ph_history *history = ph_history_create();
    atomic_bool written = false;
    struct reader readers[READERS];
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.history = history, .written = &written};
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (uint64_t seq = 1; seq <= RECORDS; seq++) {
        char id[32], text[128];
        texts_of(seq, id, text);
        struct ph_record record = {
            .cause = seq - 1, .now_ms = seq * 3, .type = "child_started", .id = id, .text = text};
        assert_int_equal(ph_history_append(history, &record), seq);
    }
    atomic_store_explicit(&written, true, memory_order_release); /* pairs with read_all */
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(readers[i].broken);
        assert_int_equal(readers[i].last, RECORDS);
        assert_int_equal(readers[i].seen + readers[i].missed, RECORDS);
    }
    ph_history_destroy(history);
    ph_rcu_barrier();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_records_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
