/*
 * The OS processes among the children: how the monitor's processes (monitor.h) become a kind.
 */
#ifndef PH_ENGINE_KIND_KIND_PROCESS_H
#define PH_ENGINE_KIND_KIND_PROCESS_H

#include "engine/kind/monitor.h"
#include "engine/registry.h"

/* The process of a child of kind `process`; it lives at least as long as the read section. */
struct ph_process *ph_child_process_rcu(const struct ph_child *);

#endif
