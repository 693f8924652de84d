#include <string.h>

#include "ipc/row_form.h"

static void put_number(struct ph_text *out, uint64_t number)
{
    ph_text_printf(out, "%llu", (unsigned long long)number);
}

static void put_list(struct ph_text *out, const struct ph_cell *cell)
{
    const char *at = cell->text, *end = at + cell->length, *part;
    size_t length;
    const char *between = "";
    ph_text_put(out, "[");
    while (cell->length && ph_row_part(&at, end, &part, &length)) {
        ph_text_put(out, between);
        ph_text_json(out, part, length);
        between = ",";
    }
    ph_text_put(out, "]");
}

static void put_map(struct ph_text *out, const struct ph_cell *cell)
{
    const char *at = cell->text, *end = at + cell->length, *part;
    size_t length;
    const char *between = "";
    ph_text_put(out, "{");
    while (cell->length && ph_row_part(&at, end, &part, &length)) {
        ph_text_put(out, between);
        ph_text_json(out, part, length);
        ph_text_put(out, ":");
        if (!ph_row_part(&at, end, &part, &length))
            length = 0;
        ph_text_json(out, part, length);
        between = ",";
    }
    ph_text_put(out, "}");
}

static void put_text(struct ph_text *out, enum ph_column_type type, const struct ph_cell *cell)
{
    if (type == PH_COLUMN_LIST)
        put_list(out, cell);
    else if (type == PH_COLUMN_MAP)
        put_map(out, cell);
    else if (type == PH_COLUMN_JSON && cell->length)
        ph_row_put_json(out, cell->text, cell->length);
    else if (type == PH_COLUMN_JSON)
        ph_text_put(out, "null");
    else
        ph_text_json(out, cell->text, cell->length);
}

static void put_value(struct ph_text *out, enum ph_column_type type, const struct ph_cell *cell)
{
    switch (cell->type) {
    case PH_CELL_NULL:
        ph_text_put(out, type == PH_COLUMN_LIST ? "[]" : type == PH_COLUMN_MAP ? "{}" : "null");
        break;
    case PH_CELL_TEXT:
        put_text(out, type, cell);
        break;
    case PH_CELL_NUMBER:
        put_number(out, cell->number);
        break;
    case PH_CELL_BOOL:
        ph_text_put(out, cell->number ? "true" : "false");
        break;
    case PH_CELL_TIME:
        ph_text_put(out, "\"");
        ph_text_time(out, cell->wall_ms);
        ph_text_put(out, "\"");
        break;
    }
}

/* "t" comes before the first value. */
static void begin_object(struct ph_rows *rows)
{
    ph_text_put(&rows->out, "{\"t\":");
    ph_text_json(&rows->out, rows->row_type, strlen(rows->row_type));
}

static void lines_cell(struct ph_rows *rows, const struct ph_column *column,
                       const struct ph_cell *cell)
{
    if (rows->column == 0)
        begin_object(rows);
    ph_text_put(&rows->out, ",");
    ph_text_json(&rows->out, column->key, strlen(column->key));
    ph_text_put(&rows->out, ":");
    put_value(&rows->out, column->type, cell);
}

static void lines_end_row(struct ph_rows *rows)
{
    if (rows->row_count == 0)
        begin_object(rows);
    ph_text_put(&rows->out, "}\n");
}

static void lines_finish(struct ph_rows *rows)
{
    (void)rows;
}

const struct ph_row_form ph_row_jsonl = {
    .cell = lines_cell, .end_row = lines_end_row, .finish = lines_finish, .other = true};

/* A list is one array, which begins with its first row. */
static void separate(struct ph_rows *rows)
{
    if (!rows->single)
        ph_text_put(&rows->out, rows->rows == 0 ? "[" : ",");
}

static void value_cell(struct ph_rows *rows, const struct ph_column *column,
                       const struct ph_cell *cell)
{
    if (rows->column == 0)
        separate(rows);
    lines_cell(rows, column, cell);
}

static void value_end_row(struct ph_rows *rows)
{
    if (rows->row_count == 0) {
        separate(rows);
        begin_object(rows);
    }
    ph_text_put(&rows->out, "}");
}

static void value_finish(struct ph_rows *rows)
{
    if (!rows->single)
        ph_text_put(&rows->out, rows->rows == 0 ? "[]\n" : "]\n");
    else if (rows->rows)
        ph_text_put(&rows->out, "\n");
}

const struct ph_row_form ph_row_json = {
    .cell = value_cell, .end_row = value_end_row, .finish = value_finish, .other = true};
