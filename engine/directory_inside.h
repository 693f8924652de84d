/* What the files of the directory share; nobody else looks in here. */
#ifndef PH_ENGINE_DIRECTORY_INSIDE_H
#define PH_ENGINE_DIRECTORY_INSIDE_H

#include "engine/directory.h"
#include "engine/limits.h"
#include "engine/table.h"

struct garbage;

/* A child of this node in the own log. */
struct ph_own {
    struct ph_entry *entry;
    struct ph_placement *placement; /* NULL: it is gone */
    uint64_t number;
    uint64_t epoch;                         /* of its last instance here, with: */
    uint64_t moved_to, moved_life;          /* where that went, as in the entry; 0: nowhere */
    struct ph_own *next, *before;           /* the log, oldest first */
    struct ph_own *gone_next, *gone_before; /* of those that are gone, oldest first */
};

/* All entries stand in slots without gaps. They are in chunks, so that no step copies them. */
enum {
    PH_DIRECTORY_CHUNK = 4096,
    PH_DIRECTORY_CHUNKS = 2 * PH_CHILDREN_MAX / PH_DIRECTORY_CHUNK + 2,
};

struct ph_directory {
    struct ph_table table;
    uint64_t secret;
    struct ph_entry **chunks[PH_DIRECTORY_CHUNKS]; /* all entries, for walks; see slots */
    size_t all_count;
    _Atomic uint64_t wanted, entries;
    _Atomic uint64_t placed[PH_MEMBERS_MAX];
    uint64_t hash, bucket[PH_BUCKETS];
    uint32_t round[PH_MEMBERS_MAX], valid_from[PH_MEMBERS_MAX];
    struct ph_entry *stones, **stones_last;
    struct garbage *garbage;

    struct ph_own *log_first, *log_last, *gone_first, *gone_last;
    uint64_t log_hi, log_floor;
    struct ph_own *cursor[PH_MEMBERS_MAX]; /* next one to send; NULL: at the end */
    uint64_t sought[PH_MEMBERS_MAX];       /* the cursor is on its way back to it; 0: it is there */
    uint16_t readers[PH_MEMBERS_MAX];      /* members with a cursor */
    unsigned reader_count;
};

static inline struct ph_entry **ph_directory_slot(const struct ph_directory *directory,
                                                  size_t index)
{
    return &directory->chunks[index / PH_DIRECTORY_CHUNK][index % PH_DIRECTORY_CHUNK];
}

/* An own placement changed; NULL: it is gone. */
void ph_directory_log_change(struct ph_directory *, struct ph_entry *, struct ph_placement *);

#endif
