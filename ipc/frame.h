/*
 * Frames of the control socket (control.h), both sides: a u32 length (little endian) of what
 * follows, a u8 type and a body. Numbers in bodies are little endian, texts are a u32 length and
 * bytes.
 *
 * A run frame: u8 form, text script name, u32 argv, u8 tolerated, u32 count, and per word text, u32
 * line, u32 column, u32 literal, u32 literal_end, u8 flags (1 quoted).
 */
#ifndef PH_IPC_FRAME_H
#define PH_IPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"
#include "ipc/row.h"
#include "ipc/script.h"

enum ph_frame_type {
    PH_FRAME_RUN = 'R',
    PH_FRAME_CANCEL = 'C',
    PH_FRAME_OUTPUT = 'O',
    PH_FRAME_ERROR = 'E',
    PH_FRAME_EXIT = 'X',
    PH_FRAME_CREDIT = 'T', /* between nodes only, see remote.h: u32 bytes of output were taken */
};

enum { PH_FRAME_HEADER = 5, PH_FRAME_DATA_MAX = 64 * 1024 };

/* The length of the whole frame at `bytes`: 0 when its header is not there yet, SIZE_MAX when it
 * says that it is longer than PH_CONTROL_FRAME_MAX or empty. */
size_t ph_frame_length(const char *bytes, size_t available);

/* Begins a frame; ph_frame_end fills in its length. */
size_t ph_frame_begin(struct ph_text *, enum ph_frame_type);
void ph_frame_end(struct ph_text *, size_t start);

/* Appends a whole run frame. */
void ph_frame_put_run(struct ph_text *, const char *script, const struct ph_statement *,
                      enum ph_form);

/* A statement out of a run frame's body. The words' texts are copies. */
struct ph_frame_run {
    enum ph_form form;
    char *script;
    struct ph_statement statement;
    char *texts; /* of all words, each with a NUL */
};
/* PH_EUSAGE for anything that is not exactly a run frame's body; nothing is left to fini then. */
PH_MUST_CHECK int ph_frame_read_run(const char *body, size_t length, struct ph_frame_run *);
void ph_frame_run_fini(struct ph_frame_run *);

/* The i32 of an exit frame. */
PH_MUST_CHECK int ph_frame_read_exit(const char *body, size_t length, int *code);

/* Writes all of it to a socket; waits when it is full. 0 or -errno (-EPIPE when nobody reads). */
PH_MUST_CHECK int ph_frame_write(int fd, const char *bytes, size_t length);

#endif
