/*
 * The oracle: it sees all nodes at once and knows what was promised.
 *
 * After every step of a hub it looks at what that step may have changed, with costs that do not
 * grow with the run: the rows and intents of the few ids, the lease, the instances. Every few steps
 * it counts everything anew.
 *
 *   checks.c  leases, epochs, states, intents, promises     logs.c     copies of logs
 *   groups.c  one instance on each side of a split          mail.c     messages
 *   recount.c counters, lists and hashes against a naive look
 */
#ifndef PH_TESTS_SIM_CHECKS_H
#define PH_TESTS_SIM_CHECKS_H

#include "tests/sim/children.h"
#include "tests/sim/sim.h"

struct sim_oracle *sim_oracle_create(void);
void sim_oracle_destroy(struct sim_oracle *);

void sim_check_hub_begins(struct sim_hub *);
/* The hub's process dies; it is still whole. */
void sim_check_hub_ends(struct sim_hub *);
void sim_check_step(struct sim_hub *);
void sim_check_start(struct sim_instance *);
/* It has ended and left its state, which another one is to begin with. */
void sim_check_saved(const struct sim_instance *);
/* A state comes to a node that is to begin with it: it is what its last instance left. */
void sim_check_loaded(const struct sim_hub *, unsigned id, const struct ph_text *state);
/* It ends, or has ended, and is not saved. */
void sim_check_unsaved(const struct sim_instance *);
/* That state is in use, or gone with an instance. */
void sim_check_spent(const struct sim_instance *);
/* An instance has joined a state that another one had saved. */
void sim_check_joined(const struct sim_instance *, const char *state);
/* The hub has put a state into its conflict store; `text` begins with its number. */
void sim_check_conflict(struct sim_hub *, const char *id, const char *text);
/* An instance is gone that gave way to another one; `text` says what became of its state. */
void sim_check_gave_way(struct sim_hub *, const char *id, const char *text);
/* A session between two nodes is over, in the eyes of one of them, or a hub is asked to end: that
 * may cost messages. */
void sim_check_losses(struct sim *);
/* Every 100 ms of the world. */
void sim_check_groups(struct sim *);
/* A message is sent, handled by an instance; a call is answered. */
void sim_check_sent(struct sim_hub *, unsigned id, uint64_t number);
void sim_check_answered(struct sim_hub *, uint64_t number, int code);
/* One that has to be handled, or 0. */
uint64_t sim_mail_missing(const struct sim *);
void sim_check_message(struct sim *, const struct sim_instance *, uint64_t number);

/* The version of an id that the hub has; 0: none. */
struct ph_version sim_version_of(const struct sim_hub *, unsigned id);

/* Where the oracle stands in the list of what was written. */
uint64_t sim_oracle_mark(const struct sim *);
struct sim_request;
/* A request for an id begins: notes what its hub knows. */
void sim_check_request(struct sim_request *);
/* A start or stop is answered: what it wrote is promised now. */
void sim_check_acknowledged(const struct sim_request *);
/* A start is answered with success: what it asked for ran. */
void sim_check_started(const struct sim_request *);
/* A stop is answered: what its hub knew of is stopped. */
void sim_check_stopped(const struct sim_request *);
/* A hub gives way to another instance of a child; `text` says on which node. */
void sim_check_duplicate(struct sim_hub *, const char *id, const char *text);
/* Only the core is left, or a disk is lost: what nobody else has is lost. */
void sim_check_lost(struct sim *);
/* In the end: is every promise kept? Fails the run if not. */
void sim_check_promises(struct sim *);

#endif
