/*
 * Tables for people: headings in capitals, columns as wide as their widest value of the first 1,000
 * rows, numbers on the right, "-" for nothing. One object alone is a list of "key  value" lines.
 */
#include <locale.h>
#include <string.h>
#include <wchar.h>

#include "engine/alloc.h"
#include "ipc/row_form.h"

enum { ROWS_MEASURED = 1000, WIDTH_MAX = 80 };

/* Cells end with CELL_END and rows with ROW_END, two bytes that printable text never holds. */
enum { CELL_END = '\x1f', ROW_END = '\x1e' };

struct ph_row_table {
    struct ph_text kept; /* rows whose widths are not known yet, or the row in work */
    size_t kept_rows;
    size_t *widths; /* per column */
    bool measured;  /* the heading is written, the widths stay */
    locale_t locale;
};

/* ---- Values for people --------------------------------------------------------------------- */

static void put_duration(struct ph_text *out, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = {
        {.ms = 86400000, .name = "d"},
        {.ms = 3600000, .name = "h"},
        {.ms = 60000, .name = "m"},
        {.ms = 1000, .name = "s"},
    };
    if (ms < 1000) {
        ph_text_printf(out, "%llums", (unsigned long long)ms);
        return;
    }
    if (ms < 10000 && ms % 1000 >= 100) {
        ph_text_printf(out, "%llu.%llus", (unsigned long long)(ms / 1000),
                       (unsigned long long)(ms % 1000 / 100));
        return;
    }
    size_t first = 0;
    while (ms < units[first].ms)
        first++;
    ph_text_printf(out, "%llu%s", (unsigned long long)(ms / units[first].ms), units[first].name);
    uint64_t rest = first < 3 ? ms % units[first].ms / units[first + 1].ms : 0;
    if (rest)
        ph_text_printf(out, "%llu%s", (unsigned long long)rest, units[first + 1].name);
}

static void put_bytes(struct ph_text *out, uint64_t bytes)
{
    static const char units[] = "kMGTPE";
    if (bytes < 1024) {
        ph_text_printf(out, "%llu", (unsigned long long)bytes);
        return;
    }
    unsigned unit = 0;
    while (unit + 1 < sizeof units - 1 && bytes >> (10 * (unit + 2)))
        unit++;
    uint64_t whole = bytes >> (10 * (unit + 1));
    uint64_t tenths = ((bytes >> (10 * unit)) % 1024) * 10 / 1024;
    if (tenths && whole < 100)
        ph_text_printf(out, "%llu.%llu%c", (unsigned long long)whole, (unsigned long long)tenths,
                       units[unit]);
    else
        ph_text_printf(out, "%llu%c", (unsigned long long)whole, units[unit]);
}

static void put_text(struct ph_text *out, enum ph_column_type type, const struct ph_cell *cell)
{
    bool parts = type == PH_COLUMN_LIST || type == PH_COLUMN_MAP;
    if (parts && cell->length == 0)
        ph_text_put(out, "-");
    else if (parts)
        ph_row_put_parts(out, cell, type == PH_COLUMN_MAP, ph_text_printable);
    else if (type == PH_COLUMN_JSON)
        ph_row_put_json(out, cell->text, cell->length);
    else
        ph_text_printable(out, cell->text, cell->length);
}

static void put_value(struct ph_text *out, enum ph_column_type type, const struct ph_cell *cell)
{
    switch (cell->type) {
    case PH_CELL_NULL:
        ph_text_put(out, "-");
        break;
    case PH_CELL_TEXT:
        put_text(out, type, cell);
        break;
    case PH_CELL_NUMBER:
        if (type == PH_COLUMN_DURATION)
            put_duration(out, cell->number);
        else if (type == PH_COLUMN_BYTES)
            put_bytes(out, cell->number);
        else
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

/* ---- Headings and widths ------------------------------------------------------------------- */

/* The key without the unit that only programs need. */
static size_t label_length(const struct ph_column *column)
{
    const char *unit = column->type == PH_COLUMN_DURATION ? "_ms" : "_bytes";
    size_t length = strlen(column->key), tail = strlen(unit);
    bool has_unit = column->type == PH_COLUMN_DURATION || column->type == PH_COLUMN_BYTES;
    if (has_unit && length > tail && strcmp(column->key + length - tail, unit) == 0)
        return length - tail;
    return length;
}

static bool is_number(const struct ph_column *column)
{
    return column->type == PH_COLUMN_UINT || column->type == PH_COLUMN_DURATION ||
           column->type == PH_COLUMN_BYTES || column->type == PH_COLUMN_NULLABLE;
}

static bool is_shown(const struct ph_rows *rows, size_t column)
{
    return rows->wide || !rows->columns[column].wide;
}

/* Terminal cells. Needs a locale that knows UTF-8, whatever the program's is. */
static size_t text_width(const struct ph_row_table *table, const char *text, size_t length)
{
    size_t width = 0;
    locale_t before = table->locale ? uselocale(table->locale) : (locale_t)0;
    for (size_t at = 0; at < length;) {
        uint32_t rune = 0;
        size_t bytes = ph_utf8_next(text + at, length - at, &rune);
        int cells = bytes > 1 ? wcwidth((wchar_t)rune) : 1;
        width += cells < 0 ? 1 : (size_t)cells;
        at += bytes ? bytes : 1;
    }
    if (before)
        uselocale(before);
    return width;
}

static struct ph_row_table *table_of(struct ph_rows *rows)
{
    if (rows->table)
        return rows->table;
    struct ph_row_table *table = ph_alloc(sizeof *table);
    table->widths = ph_alloc((rows->count + 1) * sizeof *table->widths);
    table->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    for (size_t i = 0; i < rows->count; i++)
        table->widths[i] = label_length(&rows->columns[i]);
    rows->table = table;
    return table;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static void put_spaces(struct ph_text *out, size_t count)
{
    static const char spaces[] = "                                ";
    for (size_t some; count; count -= some) {
        some = count < sizeof spaces - 1 ? count : sizeof spaces - 1;
        ph_text_append(out, spaces, some);
    }
}

static bool is_last(const struct ph_rows *rows, size_t column)
{
    for (size_t i = column + 1; i < rows->count; i++) {
        if (is_shown(rows, i))
            return false;
    }
    return true;
}

static void put_padded(struct ph_rows *rows, size_t column, const char *text, size_t length)
{
    const struct ph_row_table *table = rows->table;
    size_t width = text_width(table, text, length), wanted = table->widths[column];
    size_t padding = wanted > width ? wanted - width : 0;
    bool right = is_number(&rows->columns[column]), last = is_last(rows, column);
    if (right)
        put_spaces(&rows->out, padding);
    ph_text_append(&rows->out, text, length);
    if (!right && !last)
        put_spaces(&rows->out, padding);
    ph_text_put(&rows->out, last ? "\n" : "  ");
}

static void put_heading(struct ph_rows *rows)
{
    struct ph_text label = PH_TEXT_INIT;
    for (size_t i = 0; i < rows->count; i++) {
        if (!is_shown(rows, i))
            continue;
        ph_text_clear(&label);
        ph_text_append(&label, rows->columns[i].key, label_length(&rows->columns[i]));
        for (char *at = label.data; at && *at; at++)
            *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        put_padded(rows, i, ph_text_str(&label), label.length);
    }
    ph_text_fini(&label);
}

/* The cells of the row at `cell`; returns where the next row begins. */
static const char *put_row(struct ph_rows *rows, const char *cell)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (!is_shown(rows, i))
            continue;
        const char *end = strchr(cell, CELL_END);
        put_padded(rows, i, cell, (size_t)(end - cell));
        cell = end + 1;
    }
    return cell + 1;
}

/* "key  value" lines of one object. */
static void put_object(struct ph_rows *rows, const char *cell)
{
    size_t width = 0;
    for (size_t i = 0; i < rows->count; i++) {
        size_t length = label_length(&rows->columns[i]);
        width = is_shown(rows, i) && length > width ? length : width;
    }
    for (size_t i = 0; i < rows->count; i++) {
        if (!is_shown(rows, i))
            continue;
        const char *end = strchr(cell, CELL_END);
        size_t length = label_length(&rows->columns[i]);
        ph_text_append(&rows->out, rows->columns[i].key, length);
        put_spaces(&rows->out, width - length + 2);
        ph_text_append(&rows->out, cell, (size_t)(end - cell));
        ph_text_put(&rows->out, "\n");
        cell = end + 1;
    }
}

static void table_flush(struct ph_rows *rows)
{
    struct ph_row_table *table = table_of(rows);
    const char *at = ph_text_str(&table->kept), *end = at + table->kept.length;
    if (!table->measured && !rows->single)
        put_heading(rows);
    table->measured = true;
    if (rows->single && at < end)
        put_object(rows, at);
    while (!rows->single && at < end)
        at = put_row(rows, at);
    ph_text_clear(&table->kept);
    table->kept_rows = 0;
}

static void table_cell(struct ph_rows *rows, const struct ph_column *column,
                       const struct ph_cell *cell)
{
    struct ph_row_table *table = table_of(rows);
    size_t from = table->kept.length;
    put_value(&table->kept, column->type, cell);
    size_t *width = &table->widths[rows->column];
    if (!table->measured && *width < WIDTH_MAX) {
        size_t cells =
            text_width(table, ph_text_str(&table->kept) + from, table->kept.length - from);
        *width = cells > *width ? (cells < WIDTH_MAX ? cells : WIDTH_MAX) : *width;
    }
    ph_text_printf(&table->kept, "%c", CELL_END);
}

static void table_end_row(struct ph_rows *rows)
{
    struct ph_row_table *table = table_of(rows);
    ph_text_printf(&table->kept, "%c", ROW_END);
    table->kept_rows++;
    if (!rows->single && (table->measured || table->kept_rows == ROWS_MEASURED))
        table_flush(rows);
}

static void table_finish(struct ph_rows *rows)
{
    table_flush(rows);
    struct ph_row_table *table = rows->table;
    if (table->locale)
        freelocale(table->locale);
    ph_text_fini(&table->kept);
    ph_free(table->widths);
    ph_free(table);
}

const struct ph_row_form ph_row_table = {
    .cell = table_cell, .end_row = table_end_row, .flush = table_flush, .finish = table_finish};
