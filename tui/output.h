/*
 * The program's sink: standard output and standard error, without a buffer of its own.
 *
 * When nobody reads any more, the program ends quietly; why else nothing can be written is said
 * once.
 */
#ifndef PH_TUI_OUTPUT_H
#define PH_TUI_OUTPUT_H

#include <stdbool.h>

#include "ipc/row.h"

struct ph_output_sink {
    struct ph_sink sink;
    bool broken; /* it was said */
};

void ph_output_init(struct ph_output_sink *);

/* Reads all of a file (NULL or "-": standard input), up to the size that a script may have. */
struct ph_error;
int ph_input_read(const char *path, struct ph_text *text, struct ph_error *error);

#endif
