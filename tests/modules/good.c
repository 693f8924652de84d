/* A module as others write them: it counts, and takes the engine's functions from the program. */
#include <stdlib.h>
#include <string.h>

#include "engine/prochub.h"

static int init(struct ph_context *context, const char *args, void **state)
{
    long *count = calloc(1, sizeof *count);
    if (!count) {
        ph_fail(context, "no memory");
        return -12;
    }
    *count = strtol(args, NULL, 10);
    *state = count;
    return 0;
}

static int handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    long *count = state;
    if (strcmp(message->data, "get") == 0)
        ph_replyf(context, "%ld", *count);
    else
        ++*count;
    return PH_HANDLER_OK;
}

static void terminate(struct ph_context *context, void *state)
{
    (void)context;
    free(state);
}

extern const struct ph_module prochub_module;

const struct ph_module prochub_module = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "good",
    .summary = "counts",
    .init = init,
    .handle = handle,
    .terminate = terminate,
};
