#include "tests/lib/probe.h"

#include <stdint.h>
#include <stdlib.h>

static int init(struct ph_context *context, const char *args, void **state)
{
    struct probe *probe = (struct probe *)(uintptr_t)strtoull(
        args, NULL,
        0); /* NOLINT(performance-no-int-to-ptr): the test passes its own address as text */
    *state = probe;
    return probe && probe->init ? probe->init(probe, context) : 0;
}

static int handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    struct probe *probe = state;
    return probe && probe->handle ? probe->handle(probe, context, message) : 0;
}

static void terminate(struct ph_context *context, void *state)
{
    struct probe *probe = state;
    if (probe && probe->terminate)
        probe->terminate(probe, context);
}

static int save(struct ph_context *context, void *state)
{
    struct probe *probe = state;
    return probe && probe->save ? probe->save(probe, context) : 0;
}

static int load(struct ph_context *context, void *state, const void *data, size_t length)
{
    struct probe *probe = state;
    return probe && probe->load ? probe->load(probe, context, data, length) : 0;
}

static int merge(struct ph_context *context, void *state, const void *data, size_t length,
                 const struct ph_merge_info *info)
{
    struct probe *probe = state;
    return probe && probe->merge ? probe->merge(probe, context, data, length, info)
                                 : PH_EUNSUPPORTED;
}

static void role(struct ph_context *context, void *state, bool active)
{
    struct probe *probe = state;
    if (probe && probe->role)
        probe->role(probe, context, active);
}

extern const struct ph_module prochub_module;

const struct ph_module prochub_module = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "probe",
    .summary = "hands everything to the test",
    .init = init,
    .handle = handle,
    .terminate = terminate,
    .save = save,
    .load = load,
    .merge = merge,
    .role = role,
};
