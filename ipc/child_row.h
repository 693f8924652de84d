/*
 * A child as a row: the columns of `children`, `child`, `registry` and `pids`.
 *
 * A row is copied inside one short read section and written outside of it: the reader of a row may
 * be slow, the registry never waits for it. One thread; the buffers are used again from row to row.
 */
#ifndef PH_IPC_CHILD_ROW_H
#define PH_IPC_CHILD_ROW_H

#include "engine/text.h"
#include "ipc/row.h"
#include "ipc/subject.h"

/* Everything that a row of a child says. Lists and maps in the form of PH_COLUMN_LIST and _MAP. */
struct ph_child_row {
    struct ph_child_info info;
    const char *kind;
    char node[65];        /* of the placement that speaks, "" when there is none */
    bool here;            /* it is on this node: what only that knows is known */
    struct ph_text nodes; /* of all placements */
    struct ph_text epoch, module, program, tags, meta;
    struct ph_text spec; /* only when it is wanted */
    bool wants_spec;
    struct ph_text reason;    /* why it failed or waits, "" otherwise */
    struct ph_text last_exit; /* in words, "" when it never ended */
    uint64_t uptime_ms;       /* of the running instance; 0: none runs, or it is not known here */
    uint64_t last_exit_ms;
};

void ph_child_row_fini(struct ph_child_row *);

/* Fills the row, over what it held. In a read section. */
void ph_child_row_read_rcu(struct ph_child_row *, struct ph_subject *);

/* Finds the child and reads its row: false when there is none. */
bool ph_child_row_find(struct ph_child_row *, struct ph_hub *, const char *id, size_t length);

/* The columns that `children` and `child` begin with, and their values in that order. */
enum { PH_CHILD_COLUMNS = 15 };
extern const struct ph_column ph_child_columns[PH_CHILD_COLUMNS];
void ph_child_row_put(struct ph_rows *, const struct ph_child_row *);

#endif
