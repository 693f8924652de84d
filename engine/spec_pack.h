/*
 * A spec as the bytes that go from node to node: MessagePack, an array of key and value texts (the
 * keys and values of the command language, only what differs from the defaults), then an array of
 * the words of argv.
 *
 * Equal specs give equal bytes. What is read is checked like what a person typed. Any thread.
 */
#ifndef PH_ENGINE_SPEC_PACK_H
#define PH_ENGINE_SPEC_PACK_H

#include "engine/limits.h"
#include "engine/pack.h"
#include "engine/spec.h"

/* No spec takes more: each of its texts has a header of up to 3 bytes, and a pair's key a prefix
 * of 5, where the spec's own bound counts a NUL. */
enum { PH_SPEC_PACKED_MAX = 4 * PH_SPEC_BYTES_MAX };

void ph_spec_pack(const struct ph_spec *, struct ph_text *out);

/* A new spec, or NULL (the cursor is broken then). */
struct ph_spec *ph_spec_unpack(struct ph_unpack *);

#endif
