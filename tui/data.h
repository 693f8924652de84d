/*
 * What one command said: its rows, or why it failed.
 *
 * A sink collects the command's JSON lines and reads each into an object; what is not an object is
 * an error with its text. Bounded: PH_DATA_ROWS_MAX rows and PH_DATA_BYTES_MAX bytes; a command
 * that says more is stopped and the data is marked as cut. Made by one thread, then handed over as
 * a whole.
 */
#ifndef PH_TUI_DATA_H
#define PH_TUI_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/row.h"
#include "tui/json.h"

enum { PH_DATA_ROWS_MAX = 5000, PH_DATA_BYTES_MAX = 16 * 1024 * 1024 };

struct ph_data {
    struct ph_json *rows;
    size_t count, capacity;
    int code;             /* of the command: 0, or negative and `error` says why */
    bool cut;             /* it had more to say */
    uint64_t tag;         /* the asker's own */
    struct ph_text error; /* one line */
};

struct ph_data *ph_data_create(uint64_t tag);
void ph_data_destroy(struct ph_data *); /* NULL is fine */

/* Adds one JSON line. Negative when it is refused or the bound is reached. */
PH_MUST_CHECK int ph_data_add(struct ph_data *, const char *line, size_t length);

/* The sink that fills `data`: ph_collector_init, run the command, ph_collector_finish with what the
 * command returned. */
struct ph_collector {
    struct ph_sink sink;
    struct ph_data *data;
    struct ph_text line, note;
    size_t bytes;
};

void ph_collector_init(struct ph_collector *, struct ph_data *data);
void ph_collector_finish(struct ph_collector *, int code);

#endif
