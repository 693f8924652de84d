/*
 * Intents as records: what members tell each other, and what the journal keeps.
 *
 * The hub's actor only, inside a step.
 */
#ifndef PH_ENGINE_CLUSTER_INTENTS_H
#define PH_ENGINE_CLUSTER_INTENTS_H

#include "engine/cluster_inside.h"

enum { PH_INTENTS_MAX = PH_JOB_SLICE };

/* Entries on their way into one record, and the specs that they share; zeroed at first. */
struct ph_intents {
    struct ph_text entries;
    uint32_t count;
    const struct ph_spec *specs[PH_INTENTS_MAX];
    uint32_t spec_count;
};

/* Adds what is wanted of an entry; PH_INTENTS_MAX at most. */
void ph_intents_add(struct ph_intents *, const struct ph_entry *);
/* Appends the record, specs and entries, and empties the list. */
void ph_intents_pack(struct ph_intents *, struct ph_text *record);

/* Reads a record and takes over what is newer than what is known. It sticks to `record` when
 * something in it is malformed; what came before that is taken. */
void ph_intents_read(struct ph_hub *, struct ph_unpack *record);

#endif
