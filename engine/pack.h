/*
 * MessagePack, written into a growing buffer and read by a bounded cursor.
 *
 * The format of every frame between nodes (https://github.com/msgpack/msgpack/blob/master/spec.md),
 * so that any language can speak to us. The writer chooses the shortest form. The reader trusts
 * nothing: a declared length is held against what is there before it is used, nothing is allocated,
 * nesting is bounded, and the first fault sticks: after it every read returns zero or "" and
 * ph_unpack_end tells. So a decoder reads a whole record and asks once. Any thread; texts that come
 * out are borrowed from the bytes that went in and are not NUL-terminated.
 */
#ifndef PH_ENGINE_PACK_H
#define PH_ENGINE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"

enum { PH_UNPACK_DEPTH_MAX = 8 };

void ph_pack_nil(struct ph_text *);
void ph_pack_bool(struct ph_text *, bool value);
void ph_pack_uint(struct ph_text *, uint64_t value);
void ph_pack_str(struct ph_text *, const char *text, size_t length);
void ph_pack_bin(struct ph_text *, const void *bytes, size_t length);
void ph_pack_array(struct ph_text *, uint32_t count); /* `count` values follow */

struct ph_unpack {
    const unsigned char *at, *end;
    bool broken;
};

void ph_unpack_init(struct ph_unpack *, const void *bytes, size_t length);

/* An unsigned number of at most `max`. */
uint64_t ph_unpack_uint(struct ph_unpack *, uint64_t max);
bool ph_unpack_bool(struct ph_unpack *);
/* A text (str) or bytes (bin) of at most `max` bytes. NULL never comes out: "" when broken. */
const char *ph_unpack_str(struct ph_unpack *, size_t max, size_t *length);
const void *ph_unpack_bin(struct ph_unpack *, size_t max, size_t *length);
/* Copies a str of at most `size` - 1 bytes and a NUL; a NUL inside is a fault. */
void ph_unpack_name(struct ph_unpack *, char *name, size_t size);
/* The number of elements that follow; more than `max`, or more than there are bytes left, is a
 * fault. */
uint32_t ph_unpack_array(struct ph_unpack *, uint32_t max);
/* Is the next value nil? Then it is consumed. */
bool ph_unpack_nil(struct ph_unpack *);
/* Steps over one value of any type, nested at most PH_UNPACK_DEPTH_MAX deep. */
void ph_unpack_skip(struct ph_unpack *);
/* Marks it as broken: a value that was read makes no sense. */
void ph_unpack_fail(struct ph_unpack *);
/* PH_EUSAGE when something was broken or bytes are left over. */
PH_MUST_CHECK int ph_unpack_end(const struct ph_unpack *);

#endif
