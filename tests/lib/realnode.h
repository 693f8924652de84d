/*
 * Real nodes for tests: threads, the real clock, the real keeper. Failures fail the test. Main
 * thread only, unless a function says otherwise.
 */
#ifndef PH_TESTS_LIB_REALNODE_H
#define PH_TESTS_LIB_REALNODE_H

#include "engine/prochub.h"
#include "tests/lib/probe.h"

enum { REAL_SOON_MS = 60000 }; /* long enough under a sanitizer on a busy machine */

/* With the modules of tests/modules/. `workers` 0: one per core. */
struct ph_node *real_node(unsigned workers);
/* The same, with a configuration of the test's own; the keeper and the modules are filled in. */
struct ph_node *real_node_with(struct ph_node_config config);
/* `options` are words KEY=VALUE between blanks. */
struct ph_hub *real_hub(struct ph_node *, const char *name, const char *options);
/* Puts the hub and destroys the node. */
void real_end(struct ph_hub *, struct ph_node *);

/* A spec from words KEY=VALUE ("module=counter restart=transient"). */
struct ph_spec *real_spec(const char *words);
/* A spec of a child whose functions are those of `probe`. */
struct ph_spec *real_probe_spec(const struct probe *probe, const char *words);
/* A spec of a program, run by /bin/sh. */
struct ph_spec *real_shell_spec(const char *script, const char *words);
struct ph_ids real_ids(const char *words);

/* Waits for the op and puts it; its code. */
int real_finish(struct ph_op *);
/* Starts children, waits until they run; `spec` is put. */
void real_start(struct ph_hub *, const char *ids, struct ph_spec *spec);
void real_stop(struct ph_hub *, const char *ids);
/* Calls a child and copies its answer, cut to `size`; the call's code. */
int real_call(struct ph_hub *, const char *id, const char *text, char *answer, size_t size);

#endif
