/*
 * A row of a node, for the overview and the nodes view: its state with a glyph, its children with a
 * bar, its round trip, its uptime, its endpoint. Pure; UI thread.
 */
#ifndef PH_TUI_NODES_H
#define PH_TUI_NODES_H

#include "tui/cell.h"
#include "tui/data.h"

/* The heading when `node` is NULL. `most` children are a full bar. Narrow grids lose columns. */
void ph_nodes_draw_row(struct ph_grid *, int row, const struct ph_json *node, uint64_t most);
uint64_t ph_nodes_most_children(const struct ph_data *nodes);

#endif
