/*
 * A module whose functions are the test's: tests/modules/probe.c finds a struct probe by the
 * address that is its args, and calls it. So a handler of a test can count, block, fail and look
 * around without a shared object of its own.
 */
#ifndef PH_TESTS_LIB_PROBE_H
#define PH_TESTS_LIB_PROBE_H

#include "engine/prochub.h"

/* Functions may be NULL: then all goes well. They run where a module's do. */
struct probe {
    int (*init)(struct probe *, struct ph_context *);
    int (*handle)(struct probe *, struct ph_context *, const struct ph_message *);
    void (*terminate)(struct probe *, struct ph_context *);
    int (*save)(struct probe *, struct ph_context *);
    int (*load)(struct probe *, struct ph_context *, const void *data, size_t length);
    int (*merge)(struct probe *, struct ph_context *, const void *data, size_t length,
                 const struct ph_merge_info *);
    void (*role)(struct probe *, struct ph_context *, bool active);
};

#endif
