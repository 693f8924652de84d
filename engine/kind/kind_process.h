/*
 * OS processes as children: the glue between a child and its place in the monitor.
 */
#ifndef PH_ENGINE_KIND_KIND_PROCESS_H
#define PH_ENGINE_KIND_KIND_PROCESS_H

#include "engine/kind/monitor.h"
#include "engine/registry.h"

/* The process of a child, or NULL when it is of another kind. In a read section. */
struct ph_process *ph_child_process_rcu(const struct ph_child *);

#endif
