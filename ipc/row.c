#include "ipc/row.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "ipc/row_form.h"

enum { PIECE_BYTES = 16 * 1024 };

static const struct {
    const char *name;
    enum ph_form form;
} form_names[] = {
    {.name = "table", .form = PH_FORM_TABLE}, {.name = "wide", .form = PH_FORM_WIDE},
    {.name = "json", .form = PH_FORM_JSON},   {.name = "jsonl", .form = PH_FORM_JSONL},
    {.name = "tsv", .form = PH_FORM_TSV},
};

bool ph_form_parse(const char *text, enum ph_form *form)
{
    for (size_t i = 0; i < PH_COUNT_OF(form_names); i++) {
        if (strcmp(text, form_names[i].name) != 0)
            continue;
        *form = form_names[i].form;
        return true;
    }
    return false;
}

bool ph_row_part(const char **at, const char *end, const char **part, size_t *length)
{
    if (*at >= end)
        return false;
    const char *mark = memchr(*at, '\x1f', (size_t)(end - *at));
    *part = *at;
    *length = (size_t)((mark ? mark : end) - *at);
    *at += *length + 1;
    return true;
}

void ph_row_put_parts(struct ph_text *out, const struct ph_cell *cell, bool map,
                      void (*put)(struct ph_text *, const char *text, size_t length))
{
    const char *at = cell->text, *end = at + cell->length, *part;
    size_t length;
    for (size_t i = 0; ph_row_part(&at, end, &part, &length); i++) {
        ph_text_put(out, i ? "," : "");
        put(out, part, length);
        if (!map)
            continue;
        ph_text_put(out, "=");
        if (ph_row_part(&at, end, &part, &length))
            put(out, part, length);
    }
}

void ph_row_put_json(struct ph_text *out, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t from = at;
        while (at < length && (unsigned char)text[at] >= 0x20 && text[at] != 0x7f)
            at++;
        ph_text_append(out, text + from, at - from);
        ph_text_put(out, at < length ? " " : "");
        at++;
    }
}

/* ---- The sink ------------------------------------------------------------------------------ */

static int write_out(struct ph_rows *rows)
{
    if (rows->error == 0 && rows->out.length)
        rows->error = rows->sink->data(rows->sink, rows->out.data, rows->out.length);
    ph_text_clear(&rows->out);
    return rows->error;
}

/* ---- Rows ---------------------------------------------------------------------------------- */

static void begin_row(struct ph_rows *rows)
{
    rows->other = false;
    rows->row_type = rows->type;
    rows->row_columns = rows->columns;
    rows->row_count = rows->count;
    rows->column = 0;
}

struct ph_rows *ph_rows_begin(struct ph_sink *sink, enum ph_form form, const char *type,
                              const struct ph_column *columns, size_t count, bool single)
{
    static const struct ph_row_form *const forms[] = {
        [PH_FORM_TABLE] = &ph_row_table, [PH_FORM_WIDE] = &ph_row_table,
        [PH_FORM_JSON] = &ph_row_json,   [PH_FORM_JSONL] = &ph_row_jsonl,
        [PH_FORM_TSV] = &ph_row_tsv,
    };
    struct ph_rows *rows = ph_alloc(sizeof *rows);
    rows->sink = sink;
    rows->form = forms[form];
    rows->type = type;
    rows->columns = columns;
    rows->count = count;
    rows->single = single;
    rows->wide = form != PH_FORM_TABLE;
    begin_row(rows);
    return rows;
}

static void put_cell(struct ph_rows *rows, const struct ph_cell *cell)
{
    ph_assert(rows->column < rows->row_count);
    const struct ph_column *column = &rows->row_columns[rows->column];
    if ((!column->wide || rows->wide) && (!rows->other || rows->form->other))
        rows->form->cell(rows, column, cell);
    rows->column++;
}

void ph_rows_text(struct ph_rows *rows, const char *text, size_t length)
{
    struct ph_cell cell = {
        .type = text ? PH_CELL_TEXT : PH_CELL_NULL, .text = text, .length = length};
    put_cell(rows, &cell);
}

void ph_rows_str(struct ph_rows *rows, const char *text)
{
    ph_rows_text(rows, text, text ? strlen(text) : 0);
}

void ph_rows_uint(struct ph_rows *rows, uint64_t value)
{
    ph_assert(rows->column < rows->row_count);
    struct ph_cell cell = {.type = PH_CELL_NUMBER, .number = value};
    if (value == UINT64_MAX && rows->row_columns[rows->column].type == PH_COLUMN_NULLABLE)
        cell.type = PH_CELL_NULL;
    put_cell(rows, &cell);
}

void ph_rows_bool(struct ph_rows *rows, bool value)
{
    struct ph_cell cell = {.type = PH_CELL_BOOL, .number = value};
    put_cell(rows, &cell);
}

void ph_rows_time(struct ph_rows *rows, int64_t wall_ms)
{
    struct ph_cell cell = {.type = PH_CELL_TIME, .wall_ms = wall_ms};
    put_cell(rows, &cell);
}

void ph_rows_other(struct ph_rows *rows, const char *type, const struct ph_column *columns,
                   size_t count)
{
    ph_assert(rows->column == 0);
    rows->other = true;
    rows->row_type = type;
    rows->row_columns = columns;
    rows->row_count = count;
}

int ph_rows_end_row(struct ph_rows *rows)
{
    while (rows->column < rows->row_count)
        ph_rows_str(rows, NULL);
    if (!rows->other || rows->form->other) {
        rows->form->end_row(rows);
        rows->rows++;
    }
    begin_row(rows);
    return rows->out.length >= PIECE_BYTES ? write_out(rows) : rows->error;
}

int ph_rows_flush(struct ph_rows *rows)
{
    if (rows->form->flush)
        rows->form->flush(rows);
    return write_out(rows);
}

int ph_rows_finish(struct ph_rows *rows)
{
    rows->form->finish(rows);
    int error = write_out(rows);
    ph_text_fini(&rows->out);
    ph_free(rows);
    return error;
}
