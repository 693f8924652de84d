/*
 * Rows: what commands say, in every output form.
 *
 * A command describes its columns once (a const table), then puts values row by row; the writer
 * turns them into a table, wide table, JSON, JSON lines or tab-separated text. Values are raw in
 * JSON (numbers, RFC 3339 times) and made for people in tables (units, "-" for nothing). Text from
 * children is escaped in every form. Output goes to a sink in bounded pieces: a million rows do not
 * become one buffer, except in tables (their widths are taken from the first 1,000 rows).
 */
#ifndef PH_IPC_ROW_H
#define PH_IPC_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/text.h"

/* Where output goes: `data` is standard output, `note` standard error. Negative: it is gone,
 * stop. */
struct ph_sink {
    int (*data)(struct ph_sink *, const char *bytes, size_t length);
    int (*note)(struct ph_sink *, const char *bytes, size_t length);
};

enum ph_form { PH_FORM_TABLE, PH_FORM_WIDE, PH_FORM_JSON, PH_FORM_JSONL, PH_FORM_TSV };

/* "table", "wide", …; false when it is none. */
bool ph_form_parse(const char *text, enum ph_form *form);

enum ph_column_type {
    PH_COLUMN_TEXT, /* text; NULL is JSON null and "-" */
    PH_COLUMN_UINT,
    PH_COLUMN_BOOL,
    PH_COLUMN_TIME,     /* int64_t wall-clock ms */
    PH_COLUMN_DURATION, /* uint64_t ms; JSON key ends in _ms; "1m20s" for people */
    PH_COLUMN_BYTES,    /* uint64_t; "1.5M" for people */
    PH_COLUMN_NULLABLE, /* uint64_t where UINT64_MAX is null */
    PH_COLUMN_LIST,     /* text joined by '\x1f'; JSON array of strings; commas for people */
    PH_COLUMN_MAP,      /* "key\x1fvalue\x1f…"; JSON object; key=value for people */
    PH_COLUMN_JSON,     /* text that is JSON already; as it is in every form */
};

struct ph_column {
    const char *key; /* JSON key and, in capitals, the heading */
    enum ph_column_type type;
    bool wide; /* only in wide tables, JSON and TSV */
};

struct ph_rows; /* one output of one command */

/* `type` is the "t" of the objects. `single`: exactly one row (an object, not an array; in tables
 * it is printed as "key  value" lines). */
struct ph_rows *ph_rows_begin(struct ph_sink *, enum ph_form, const char *type,
                              const struct ph_column *columns, size_t count, bool single);

/* The values of the next row, in the order of the columns; the call must fit the column's type. */
void ph_rows_text(struct ph_rows *, const char *text, size_t length);
void ph_rows_str(struct ph_rows *, const char *text); /* NULL is null */
void ph_rows_uint(struct ph_rows *, uint64_t value);  /* UINT, DURATION, BYTES, NULLABLE */
void ph_rows_bool(struct ph_rows *, bool value);
void ph_rows_time(struct ph_rows *, int64_t wall_ms);
/* Negative: the sink is gone. */
int ph_rows_end_row(struct ph_rows *);

/* The next row, up to its end, is another object of `type` with these columns, in JSON and JSON
 * lines (a gap among events). Nothing of it is shown in the other forms. */
void ph_rows_other(struct ph_rows *, const char *type, const struct ph_column *columns,
                   size_t count);

/* Writes all rows so far to the sink, for commands that follow. Negative: the sink is gone. */
int ph_rows_flush(struct ph_rows *);

/* Writes what is left and frees. Returns 0, or what the sink said. */
int ph_rows_finish(struct ph_rows *);

#endif
