#include "tui/data.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"

enum { NOTE_MAX = 4096 };

struct ph_data *ph_data_create(uint64_t tag)
{
    struct ph_data *data = ph_alloc(sizeof *data);
    data->tag = tag;
    return data;
}

void ph_data_destroy(struct ph_data *data)
{
    if (!data)
        return;
    for (size_t i = 0; i < data->count; i++)
        ph_json_fini(&data->rows[i]);
    ph_free(data->rows);
    ph_text_fini(&data->error);
    ph_free(data);
}

static void fail(struct ph_data *data, int code, const char *text)
{
    data->code = code;
    ph_text_clear(&data->error);
    ph_text_put(&data->error, text);
}

int ph_data_add(struct ph_data *data, const char *line, size_t length)
{
    if (data->count == PH_DATA_ROWS_MAX) {
        data->cut = true;
        return PH_ELIMIT;
    }
    struct ph_json row;
    struct ph_error error;
    int rc = ph_json_read(line, length, &row, &error);
    if (rc) {
        fail(data, rc, error.text);
        return rc;
    }
    if (data->count == data->capacity) {
        data->capacity = data->capacity ? data->capacity * 2 : 16;
        data->rows = ph_realloc(data->rows, data->capacity * sizeof *data->rows);
    }
    data->rows[data->count++] = row;
    return 0;
}

static int collect_line(struct ph_collector *collector)
{
    int rc = 0;
    if (collector->line.length)
        rc = ph_data_add(collector->data, collector->line.data, collector->line.length);
    ph_text_clear(&collector->line);
    return rc;
}

static int collect_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_collector *collector = ph_container_of(sink, struct ph_collector, sink);
    collector->bytes += length;
    if (collector->bytes > PH_DATA_BYTES_MAX) {
        collector->data->cut = true;
        return PH_ELIMIT;
    }
    while (length) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end ? (size_t)(end - bytes) : length;
        ph_text_append(&collector->line, bytes, part);
        if (end) {
            int rc = collect_line(collector);
            if (rc)
                return rc;
            part++;
        }
        bytes += part;
        length -= part;
    }
    return 0;
}

static int collect_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_collector *collector = ph_container_of(sink, struct ph_collector, sink);
    if (collector->note.length + length <= NOTE_MAX)
        ph_text_append(&collector->note, bytes, length);
    return 0;
}

void ph_collector_init(struct ph_collector *collector, struct ph_data *data)
{
    *collector =
        (struct ph_collector){.sink = {.data = collect_data, .note = collect_note}, .data = data};
}

/* The note is an error object in this form; what is none is taken as it is. */
static void explain(struct ph_data *data, int code, const struct ph_text *note)
{
    size_t length = strcspn(ph_text_str(note), "\n");
    struct ph_json object;
    const char *message = NULL;
    if (!ph_json_read(ph_text_str(note), length, &object, NULL))
        message = ph_json_text(&object, "message");
    fail(data, code, message ? message : ph_error_text(code));
    if (!message && length) {
        ph_text_clear(&data->error);
        ph_text_append(&data->error, note->data, length);
    }
    ph_json_fini(&object);
}

void ph_collector_finish(struct ph_collector *collector, int code)
{
    struct ph_data *data = collector->data;
    if (!code && !data->cut && !data->code)
        (void)!collect_line(collector);
    if (code && !data->cut && !data->code)
        explain(data, code, &collector->note);
    ph_text_fini(&collector->line);
    ph_text_fini(&collector->note);
}
