/*
 * The built-in module blob: as much state as its argument says, checked by a checksum, so that
 * moves of large states can be tried. `stir N` changes N bytes of it; which, and to what, depends
 * on nothing but the state, so two blobs of one id that were stirred alike are alike.
 */
#include <stdbool.h>
#include <string.h>

#include <xxhash.h>

#include "engine/alloc.h"
#include "engine/kind/modules.h"
#include "engine/prng.h"
#include "engine/text.h"

enum { BLOB_BYTES_MAX = 256 * 1024 * 1024, STIRRED_MAX = 1000000 };

struct blob {
    uint64_t checksum;
    size_t length;
    unsigned char bytes[];
};

static int blob_init(struct ph_context *context, const char *args, void **state)
{
    uint64_t size = 1024;
    if (args[0] && (!ph_parse_size(args, &size) || size > BLOB_BYTES_MAX)) {
        ph_fail(context, "args=%s: use a size up to 256M", args);
        return PH_EUSAGE;
    }
    struct blob *blob = ph_try_alloc(sizeof *blob + size);
    if (!blob) {
        ph_fail(context, "no memory for %llu bytes", (unsigned long long)size);
        return PH_EFAILED;
    }
    const char *self = ph_self(context);
    struct ph_prng prng;
    ph_prng_init(&prng, XXH3_64bits(self, strlen(self)));
    for (size_t i = 0; i < size; i++)
        blob->bytes[i] = (unsigned char)ph_prng_next(&prng);
    blob->length = size;
    blob->checksum = XXH3_64bits(blob->bytes, blob->length);
    *state = blob;
    return 0;
}

static void stir(struct blob *blob, uint64_t count)
{
    struct ph_prng prng;
    ph_prng_init(&prng, blob->checksum);
    for (; count && blob->length; count--)
        blob->bytes[ph_prng_below(&prng, blob->length)] = (unsigned char)ph_prng_next(&prng);
    blob->checksum = XXH3_64bits(blob->bytes, blob->length);
}

static int blob_handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    struct blob *blob = state;
    uint64_t count = 1;
    bool stirs = strncmp(message->data, "stir ", 5) == 0 &&
                 ph_parse_uint(message->data + 5, STIRRED_MAX, &count);
    if (stirs || strcmp(message->data, "stir") == 0)
        stir(blob, count);
    else if (strcmp(message->data, "check") != 0) {
        ph_reply_error(context, "'%.80s': use check, or stir N with N up to %d", message->data,
                       STIRRED_MAX);
        return PH_HANDLER_OK;
    }
    if (XXH3_64bits(blob->bytes, blob->length) != blob->checksum)
        ph_reply_error(context, "the checksum of %zu bytes is wrong", blob->length);
    else
        ph_replyf(context, "ok %zu %016llx", blob->length, (unsigned long long)blob->checksum);
    return PH_HANDLER_OK;
}

static int blob_save(struct ph_context *context, void *state)
{
    const struct blob *blob = state;
    ph_save(context, blob->bytes, blob->length);
    return 0;
}

static int blob_load(struct ph_context *context, void *state, const void *data, size_t length)
{
    struct blob *blob = state;
    if (length != blob->length) {
        ph_fail(context, "%zu bytes were saved, %zu are wanted", length, blob->length);
        return PH_EUSAGE;
    }
    memcpy(blob->bytes, data, length);
    blob->checksum = XXH3_64bits(blob->bytes, blob->length);
    return 0;
}

static void blob_terminate(struct ph_context *context, void *state)
{
    (void)context;
    ph_free(state);
}

const struct ph_module ph_module_blob = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "blob",
    .summary = "args=SIZE of state: call check, stir N",
    .init = blob_init,
    .handle = blob_handle,
    .terminate = blob_terminate,
    .save = blob_save,
    .load = blob_load,
};
