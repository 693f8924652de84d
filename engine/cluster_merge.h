/*
 * Merges: what becomes of the state of an instance that gives way to another one, for the other
 * files of the cluster half (see cluster.h; cluster_merge.c shows how it goes).
 *
 * The hub's actor only. Bounded: numbers of merges under way on a node lie within PH_MERGE_WINDOW;
 * the conflict store has its own bounds.
 */
#ifndef PH_ENGINE_CLUSTER_MERGE_H
#define PH_ENGINE_CLUSTER_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/conflicts.h"
#include "engine/text.h"

struct ph_child;
struct ph_entry;
struct ph_hub;
struct ph_legacy;
struct ph_merge;

enum { PH_MERGE_WINDOW = 1024 };

struct ph_merge_list {
    struct ph_merge *first, *last;
};

/* States of instances that give way, in the order of their numbers, and of those that are joined
 * here. */
struct ph_merges {
    struct ph_merge_list leaving, joining;
    uint64_t next_number;
    uint64_t joined, stored; /* ever */
    struct ph_conflicts conflicts;
};

/* May one more give way now? Else it is looked at again soon. */
bool ph_merge_has_room(struct ph_hub *, struct ph_entry *);
/* The running child here gives way to another one: it is ended, and its state goes there. */
void ph_merge_begin(struct ph_hub *, struct ph_entry *);
/* The state of a child that is moving, and that another node runs already, goes there; moved. */
void ph_merge_adopt(struct ph_hub *, struct ph_entry *, struct ph_text *state);
/* Did the save (or its failure) belong to a merge? Then it was dealt with. */
bool ph_merge_saved(struct ph_hub *, struct ph_child *, struct ph_text *state);
bool ph_merge_kept(struct ph_hub *, struct ph_child *, const char *why);
/* The child here gives way / another one's state is being joined into its. */
bool ph_merge_gives_way(const struct ph_entry *);
bool ph_merge_joins(const struct ph_entry *);
void ph_merge_look(struct ph_hub *, struct ph_entry *);  /* of one that gives way */
void ph_merge_check(struct ph_hub *, struct ph_entry *); /* has an instance that joins ended? */
void ph_merge_child_gone(struct ph_hub *, struct ph_entry *);
void ph_merges_lost(struct ph_hub *, uint16_t member); /* it is out of the view */
void ph_merges_fini(struct ph_hub *);

/* ---- cluster_conflict.c ---------------------------------------------------------------------- */

/* What is told of an instance: how long it has run, and how many messages it has handled. */
struct ph_figures {
    uint64_t ran_ms, updates;
};

/* A state that nobody joined goes into the store: recorded, and hooks are told. Referenced. */
void ph_conflict_store(struct ph_hub *, const char *id, struct ph_legacy *, const char *why);
/* The same for one that this node has and nobody can be given; copied. An empty one is none. */
void ph_conflict_keep(struct ph_hub *, const struct ph_entry *, const struct ph_text *state,
                      const struct ph_figures *, const char *why);

#endif
