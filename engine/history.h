/*
 * What happened to a hub: an append-only ring of event records with sequence numbers and causes.
 *
 * One writer (the hub's actor), any number of readers that never wait for it. Records lie in
 * chunks; a chunk is written once, from front to back, and `committed` (release) tells readers how
 * far. The oldest chunk is retracted when there are PH_HISTORY_CHUNKS of them and freed after a
 * grace period. No allocation per event. Readers hold an RCU read section (ph_rcu_enter).
 */
#ifndef PH_ENGINE_HISTORY_H
#define PH_ENGINE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"

struct ph_history;

struct ph_history *ph_history_create(void);
void ph_history_destroy(struct ph_history *); /* no reader, no writer left */

/* Hub's actor: copies `record`, gives it the next seq and returns that. A text over 4,000 bytes, a
 * type or id over 255 is cut. A cause that lies in the future reads as none. */
uint64_t ph_history_append(struct ph_history *, const struct ph_record *record);

uint64_t ph_history_last(const struct ph_history *); /* any thread: newest seq, 0 if none */

/* Any thread, in a read section: calls `fn` for the records with seq > `after`, oldest first, until
 * it returns false. The record dies with the section. Returns the oldest seq still kept, so a
 * caller sees what it missed. */
uint64_t ph_history_each_rcu(const struct ph_history *, uint64_t after,
                             bool (*fn)(void *arg, const struct ph_record *), void *arg);

#endif
