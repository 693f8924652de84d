/*
 * The journal: what a hub wants to know again after the death of its node. Part of a hub's cluster
 * half (cluster.h): the hub's actor only.
 *
 * What is kept are intents, tombstones among them; who was a member; the hub's clock and the size
 * that a quorum counts from. Not kept are placements (nothing runs after a death) and the states of
 * children. All of it merges by versions, so a record may be read twice, late, or in any order.
 *
 *   changed     an intent is noted: it waits in a list, once
 *   written     a record of some of that list is on its way to the disk (struct ph_journal_port)
 *   kept        the disk has it: requests that promised it are answered (ph_cluster_is_held)
 *
 * When the journal has become much longer than what it is about, it is *renewed*: all entries are
 * copied into a new one in slices, changes go into both meanwhile, then the new one takes the place
 * of the old. When the disk fails, what is wanted goes on changing and nothing is refused: requests
 * that nobody else holds are answered with the fault, and a renewal is tried every second.
 *
 * A node that begins with a journal waits for those that it knew: what it wants may run there. It
 * starts nothing of what it has read until as many as it knew last are with it, or
 * PH_JOURNAL_AWAIT times dead-after is over.
 *
 * A tombstone may be forgotten when every member that may still want its child has been seen
 * without it (compare_intents); of one with a journal that counts only while its disk has all that
 * it knows. One that hands everything over and leaves empties its journal first; one that
 * has nobody to hand over to keeps it, and says so in its goodbye.
 */
#ifndef PH_ENGINE_CLUSTER_JOURNAL_H
#define PH_ENGINE_CLUSTER_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/directory.h"
#include "engine/hub.h"
#include "engine/text.h"

enum { PH_JOURNAL_AWAIT = 2 };

struct ph_journal {
    bool on;        /* the node keeps one */
    bool restoring; /* it is being read */
    bool failed;    /* the disk lacks something, until it has been renewed */
    bool idle;      /* nothing is written until then: the renewal will have it */
    bool renewing;
    bool walked;  /* all entries are in the new one */
    bool emptied; /* the hub leaves, and has asked for that */
    struct ph_cursor walk;
    struct ph_entry *first, **last; /* entries that changed */
    uint64_t noted, written, kept;  /* changes so far */
    uint64_t calls, done;           /* of the port; answered ones */
    uint64_t voided;                /* calls up to then do not count: one of them failed */
    uint64_t replaced_call;         /* the last REPLACE */
    uint64_t bytes, renewed_bytes;  /* its length now, and when it was new */
    uint64_t renew_bytes;           /* it is renewed at twice its new length and that */
    uint64_t restored_clock;        /* of the youngest intent that was read */
    uint64_t reserved_clock;        /* the hub's clock may go so far before that is written again */
    uint64_t told;                  /* digest of the last record about the hub */
    uint64_t await_nodes, await_until_ms;
    struct ph_hub_timer retry;
};

/* `on` from the setup; before anything else happens to the hub. */
void ph_journal_begin(struct ph_hub *, bool on);

/* An intent of that entry has changed. */
void ph_journal_note(struct ph_hub *, struct ph_entry *);
/* Is what was noted up to that number on the disk, or is it in vain to wait for that? */
bool ph_journal_has(const struct ph_journal *, uint64_t noted);
/* Is the child's start to wait for the nodes that it may run on? */
bool ph_journal_holds(struct ph_hub *, const struct ph_entry *);

bool ph_journal_has_work(const struct ph_hub *);
void ph_journal_work(struct ph_hub *); /* one slice */

/* The hub ends, or leaves: when others have what is wanted the journal is emptied, else it stays.
 * True: that is on the disk. */
bool ph_journal_has_ended(struct ph_hub *);
bool ph_journal_stays(const struct ph_hub *);
/* It has left and forgotten everything: what is wanted from now on is another cluster's. */
void ph_journal_begin_anew(struct ph_hub *);

/* For `stats`. */
void ph_journal_inspect(const struct ph_journal *, struct ph_text *);

#endif
