/*
 * Tab-separated text: for each row its raw values, in the order of the columns, wide ones too,
 * without a heading. Nothing is the empty text. A tab, newline, carriage return or backslash in a
 * text is \t, \n, \r, \\; other control bytes are \xNN.
 */
#include <string.h>

#include "ipc/row_form.h"

static void put_text(struct ph_text *out, const char *text, size_t length)
{
    static const char special[] = "\t\n\r", names[] = "tnr";
    for (size_t at = 0; at < length;) {
        size_t from = at;
        while (at < length && (text[at] == '\0' || !strchr(special, text[at])))
            at++;
        ph_text_printable(out, text + from, at - from);
        if (at < length)
            ph_text_printf(out, "\\%c", names[strchr(special, text[at]) - special]);
        at++;
    }
}

static void put_value(struct ph_text *out, enum ph_column_type type, const struct ph_cell *cell)
{
    switch (cell->type) {
    case PH_CELL_NULL:
        break;
    case PH_CELL_TEXT:
        if (type == PH_COLUMN_LIST || type == PH_COLUMN_MAP)
            ph_row_put_parts(out, cell, type == PH_COLUMN_MAP, put_text);
        else if (type == PH_COLUMN_JSON)
            ph_row_put_json(out, cell->text, cell->length);
        else
            put_text(out, cell->text, cell->length);
        break;
    case PH_CELL_NUMBER:
        ph_text_printf(out, "%llu", (unsigned long long)cell->number);
        break;
    case PH_CELL_BOOL:
        ph_text_put(out, cell->number ? "true" : "false");
        break;
    case PH_CELL_TIME:
        ph_text_time(out, cell->wall_ms);
        break;
    }
}

static void tsv_cell(struct ph_rows *rows, const struct ph_column *column,
                     const struct ph_cell *cell)
{
    if (rows->column)
        ph_text_put(&rows->out, "\t");
    put_value(&rows->out, column->type, cell);
}

static void tsv_end_row(struct ph_rows *rows)
{
    ph_text_put(&rows->out, "\n");
}

static void tsv_finish(struct ph_rows *rows)
{
    (void)rows;
}

const struct ph_row_form ph_row_tsv = {
    .cell = tsv_cell, .end_row = tsv_end_row, .finish = tsv_finish};
