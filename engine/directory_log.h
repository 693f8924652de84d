/*
 * The own log of a directory: what the other members are told of this node's placements.
 *
 * Each change of an own placement gets the next number; one that changes again moves to the end, so
 * the log holds one entry for each child. Each member that is told has a cursor. A removal stays
 * until every cursor has passed it; who asks for less than the floor gets everything anew.
 *
 * Part of the directory: the hub's actor, in a step.
 */
#ifndef PH_ENGINE_DIRECTORY_LOG_H
#define PH_ENGINE_DIRECTORY_LOG_H

#include "engine/directory.h"

/* The instance here goes to a node (hash of its name, generation): its removal will say so. */
void ph_directory_log_moved(struct ph_entry *, uint64_t to, uint64_t life);

uint64_t ph_directory_log_hi(const struct ph_directory *);
uint64_t ph_directory_log_floor(const struct ph_directory *); /* older removals are forgotten */

/* The member has everything up to `number`. What comes after it is looked for from the end of the
 * log on, by calls of ph_directory_log_find: each passes `limit` entries at most. True: it is
 * found, at once where the member has all or nothing. */
void ph_directory_log_seek(struct ph_directory *, uint16_t member, uint64_t number);
bool ph_directory_log_find(struct ph_directory *, uint16_t member, unsigned limit);
void ph_directory_log_close(struct ph_directory *, uint16_t member);

/* The next entry for that member: false when it has all, or is not found yet. `*placement` NULL: it
 * is gone. */
struct ph_log_entry {
    uint64_t number;
    const struct ph_entry *entry;
    const struct ph_placement *placement;
    uint64_t epoch, moved_to, moved_life; /* of one that is gone */
};
bool ph_directory_log_next(struct ph_directory *, uint16_t member, struct ph_log_entry *);
bool ph_directory_log_at_end(const struct ph_directory *, uint16_t member);
/* Forgets removals that all readers have been told of, at most `limit` of them. True: there are
 * more. */
bool ph_directory_log_purge(struct ph_directory *, unsigned limit);

#endif
