/*
 * The forms of output: one vtable each. Private to row.c and form_*.c.
 *
 * row.c takes the values and hands them on as cells; a form appends to `out`, which row.c gives to
 * the sink when it is large enough, after a row, on a flush and at the end.
 */
#ifndef PH_IPC_ROW_FORM_H
#define PH_IPC_ROW_FORM_H

#include "ipc/row.h"

enum ph_cell_type { PH_CELL_NULL, PH_CELL_TEXT, PH_CELL_NUMBER, PH_CELL_BOOL, PH_CELL_TIME };

struct ph_cell {
    enum ph_cell_type type;
    const char *text;
    size_t length;
    uint64_t number; /* BOOL, too */
    int64_t wall_ms;
};

struct ph_row_table;

struct ph_row_form {
    void (*cell)(struct ph_rows *, const struct ph_column *, const struct ph_cell *);
    void (*end_row)(struct ph_rows *); /* all cells of the row were given */
    void (*flush)(struct ph_rows *);   /* appends what it keeps back; may be NULL */
    void (*finish)(struct ph_rows *);  /* the end; frees what it keeps */
    bool other;                        /* rows of ph_rows_other are shown */
};

struct ph_rows {
    struct ph_sink *sink;
    const struct ph_row_form *form;
    const char *type;
    const struct ph_column *columns;
    size_t count;
    bool single;
    bool wide; /* wide columns are shown */

    bool other; /* the row in work has a type and columns of its own */
    const char *row_type;
    const struct ph_column *row_columns;
    size_t row_count;
    size_t column; /* of the next value */
    uint64_t rows; /* that have ended */

    struct ph_text out;
    struct ph_row_table *table;
    int error; /* what the sink said */
};

extern const struct ph_row_form ph_row_json, ph_row_jsonl, ph_row_table, ph_row_tsv;

/* Splits text joined by '\x1f' in place of strtok: moves *at, false at the end. */
bool ph_row_part(const char **at, const char *end, const char **part, size_t *length);

/* A list "a,b" or a map "k=v,l=w", each part through `put`. */
void ph_row_put_parts(struct ph_text *, const struct ph_cell *, bool map,
                      void (*put)(struct ph_text *, const char *text, size_t length));

/* JSON text with its control bytes, which valid JSON has none of, made spaces. */
void ph_row_put_json(struct ph_text *, const char *text, size_t length);

#endif
