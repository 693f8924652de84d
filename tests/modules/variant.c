/*
 * A module with one fault. Compiled once per fault: VARIANT_SYMBOL, VARIANT_ABI, VARIANT_SIZE,
 * VARIANT_NAME, VARIANT_INIT and VARIANT_HANDLE replace what would be right.
 */
#include "engine/prochub.h"

#ifndef VARIANT_SYMBOL
#define VARIANT_SYMBOL prochub_module
#endif
#ifndef VARIANT_ABI
#define VARIANT_ABI PH_MODULE_ABI
#endif
#ifndef VARIANT_SIZE
#define VARIANT_SIZE sizeof(struct ph_module)
#endif
#ifndef VARIANT_NAME
#define VARIANT_NAME "variant"
#endif
#ifndef VARIANT_INIT
#define VARIANT_INIT init
#endif
#ifndef VARIANT_HANDLE
#define VARIANT_HANDLE handle
#endif

__attribute__((unused)) static int init(struct ph_context *context, const char *args, void **state)
{
    (void)context;
    (void)args;
    (void)state;
    return 0;
}

__attribute__((unused)) static int handle(struct ph_context *context, void *state,
                                          const struct ph_message *message)
{
    (void)context;
    (void)state;
    (void)message;
    return 0;
}

extern const struct ph_module VARIANT_SYMBOL;

const struct ph_module VARIANT_SYMBOL = {
    .abi = VARIANT_ABI,
    .size = VARIANT_SIZE,
    .name = VARIANT_NAME,
    .summary = "has a fault",
    .init = VARIANT_INIT,
    .handle = VARIANT_HANDLE,
};
