/*
 * Which members should form this side of the hub: who hears whom, and the set that follows from it
 * (view.h). cluster_view.c makes it the view.
 *
 * Part of a hub's cluster half (cluster.h): the hub's actor only.
 */
#ifndef PH_ENGINE_CLUSTER_DECIDE_H
#define PH_ENGINE_CLUSTER_DECIDE_H

#include "engine/cluster_inside.h"

/* Fills `keep`, PH_MEMBERS_MAX of them, by slot: who should be in the view. False while it is too
 * early to tell; `decide_ms` of the cluster is when to ask again. Notes since when this node is
 * left out by nodes that it reaches (`excluded`). */
PH_MUST_CHECK bool ph_cluster_decide(struct ph_hub *, bool *keep);

/* To be called before each review: a time in which this node did not run is no silence of others.
 */
void ph_cluster_note_pause(struct ph_hub *);

/* Does its newest beat say that it hears the node of that name hash? */
bool ph_member_lists(const struct ph_member *, uint64_t hash);

#endif
