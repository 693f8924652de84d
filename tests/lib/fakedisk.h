/*
 * The disk of one hub's journal, in memory: what struct ph_journal_port asks for is done at once
 * and is sure to be there after the next fakedisk_sync, as in engine/kind/journal_file.h.
 */
#ifndef PH_TESTS_LIB_FAKEDISK_H
#define PH_TESTS_LIB_FAKEDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/event.h"

struct fakedisk_list {
    struct ph_text *records;
    size_t count, capacity;
};

struct fakedisk {
    struct fakedisk_list kept, fresh; /* fresh: the new one, while it is renewed */
    size_t synced;                    /* records of `kept` that are sure */
    size_t emptied;                   /* … and how many of them the next sync forgets */
    uint64_t bytes;                   /* of `kept` but for the emptied ones */
    bool fails;                       /* nothing can be written */
    bool failed;                      /* something was not: a RENEW has to come */
    bool owes;                        /* calls wait for their answer */
    bool renewed;
    int code;
    struct ph_journal_mark done;
};

void fakedisk_fini(struct fakedisk *);
/* The record is moved. */
void fakedisk_call(struct fakedisk *, enum ph_journal_verb, struct ph_journal_mark,
                   struct ph_text *record);
/* Syncs what was done so far: the answer, for the hub; NULL: none is owed. */
struct ph_event *fakedisk_sync(struct fakedisk *);
/* Its machine dies: what was not synced is there up to `unsynced` records more, or all. */
void fakedisk_crash(struct fakedisk *, size_t unsynced);
void fakedisk_lose(struct fakedisk *); /* all of it */
/* The events by which a new hub reads it, in order: number 0, 1, …; NULL: that was all. */
struct ph_event *fakedisk_read(const struct fakedisk *, size_t number);

#endif
