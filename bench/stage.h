/*
 * What the suites play on: one node with one hub, and a few measuring tools.
 *
 * For measuring processes only (measure.h): a stage is left open, its process ends anyway. All
 * waits are bounded; the error says what did not come.
 */
#ifndef PH_BENCH_STAGE_H
#define PH_BENCH_STAGE_H

#include "bench/suite.h"

struct ph_stage {
    struct ph_node *node;
    struct ph_hub *hub;
};

/* `workers`: as in struct ph_node_config. `module` (or NULL) is added to the node's. */
PH_MUST_CHECK int ph_stage_open(struct ph_stage *, const struct ph_bench_setup *, unsigned workers,
                                const struct ph_module *module, struct ph_error *error);

/* Ends the node and everything on it: where OS processes must not be left to the keeper. */
void ph_stage_close(struct ph_stage *);

/* A spec from KEY, VALUE, …, NULL; and the words of its program, if it has one, until NULL. */
PH_MUST_CHECK int ph_stage_spec(const char *const *keys, const char *const *argv,
                                struct ph_spec **spec, struct ph_error *error);

/* Starts `ids` (moved) with `spec` and waits until all of them run. */
PH_MUST_CHECK int ph_stage_start(struct ph_stage *, struct ph_ids *ids, struct ph_spec *spec,
                                 struct ph_error *error);

/* Waits for a request and puts it; its failure is ours. */
PH_MUST_CHECK int ph_stage_wait(struct ph_op *op, struct ph_error *error);

/* Waits until the hub has fewer children than that. */
PH_MUST_CHECK int ph_stage_wait_fewer(struct ph_stage *, uint64_t children, struct ph_error *error);

/* The ids "w-1" … "w-COUNT". */
PH_MUST_CHECK int ph_stage_ids(struct ph_ids *ids, uint64_t count, struct ph_error *error);

/* Seconds since `start_ns` of ph_now_ns(). */
double ph_stage_since(uint64_t start_ns);

/* Memory of this process that is resident. */
double ph_stage_resident_bytes(void);

/* `count` ids of the kind "w-N", each once, in an order of chance; ID_BYTES apart, NUL-terminated.
 * From ph_alloc. */
enum { PH_STAGE_ID_BYTES = 16 };
char *ph_stage_shuffled_ids(uint64_t count);

#endif
