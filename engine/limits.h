/*
 * Every bound of the engine in one place. A bound that is reached is an outcome with a name, never
 * a surprise: the request is refused with a message that names the bound.
 */
#ifndef PH_ENGINE_LIMITS_H
#define PH_ENGINE_LIMITS_H

#include "engine/prochub.h"

enum {
    /* Names and texts, in bytes without the terminating NUL. */
    PH_ID_MAX = 255,               /* child id */
    PH_NAME_MAX = 64,              /* node, hub, lock, hook, module, custom event */
    PH_KEY_MAX = 64,               /* metadata and environment keys */
    PH_ENDPOINT_MAX = 128,         /* "tcp://ADDR:PORT" */
    PH_TAGS_MAX = 32,              /* tags of one child */
    PH_SPEC_BYTES_MAX = 64 * 1024, /* all texts of one spec together */
    PH_MESSAGE_BYTES_MAX = 1024 * 1024,
    PH_STATE_BYTES_MAX = 256 * 1024 * 1024, /* saved state of one child */

    /* Counts. */
    PH_HUBS_MAX = 64,             /* hubs of one node */
    PH_CHILDREN_MAX = 4000000,    /* children of one hub */
    PH_IDS_MAX = PH_CHILDREN_MAX, /* ids of one request */
    PH_MAILBOX_MAX = 100000,      /* unread messages of one child */
    PH_LOCKS_MAX = 256,           /* live locks of one gate */
    PH_GATE_HELD_MAX = 65536,     /* events that wait behind one gate */
    PH_HOOKS_MAX = 256,           /* hook handlers of one hub */
    PH_HOOK_BACKLOG_MAX = 1024,   /* calls that wait for one hook handler */
    PH_FAILURES_MAX = 1000,       /* per-child failures that one result lists */
    PH_QUEUE_MAX = 1000000,       /* requests that wait in one hub's queue */
    PH_MODULE_TIMERS_MAX = 16,    /* timers of one module child */
    PH_RESTARTS_MAX = 1000,       /* largest max_restarts */
    PH_FDSTORE_MAX = 128,         /* descriptors stored for one OS process */

    PH_CONFLICTS_MAX = 1000, /* states that one hub's conflict store keeps */

    /* Slices: what one step does at most before it yields. */
    PH_HUB_BATCH = 256,   /* events of one run of a hub's actor */
    PH_JOB_SLICE = 32,    /* children of one step of a request for many */
    PH_JOB_WINDOW = 4096, /* children of one request under way at a time */
    PH_ACTOR_BATCH = 64,  /* messages of one run of a child's actor */

    /* Times, in milliseconds. */
    PH_HANDLER_SLOW_MS = 10,  /* a handler that runs longer gets its worker replaced */
    PH_HEARTBEAT_MS = 500,    /* of a node that is not told otherwise */
    PH_DEAD_AFTER_MS = 3000,  /* the same */
    PH_LEASE_MS = 2500,       /* the same */
    PH_HEARTBEAT_MIN_MS = 10, /* what the timers can hold */
    PH_DEAD_AFTER_MAX_MS = 3600 * 1000,

    /* Sizes. */
    PH_HISTORY_CHUNK_BYTES = 64 * 1024,
    PH_HISTORY_CHUNKS = 64, /* 4 MiB of events for each hub */

    PH_CONFLICT_BYTES_MAX = 256 * 1024 * 1024, /* … and their bytes together */

    /* Event priorities: 0..PH_PRIORITY_USER_MAX for people, then what no lock can hold. */
    PH_PRIORITY_LOCKED = 10,
    PH_PRIORITY_USER_MAX = 100,
    PH_PRIORITY_SYSTEM = 255,
};

_Static_assert(PH_JOB_SLICE <= PH_JOB_WINDOW, "a slice must fit the window");
_Static_assert(PH_STATE_BYTES_MAX <= PH_CONFLICT_BYTES_MAX, "each state can be kept");
_Static_assert(PH_PRIORITY_LOCKED <= PH_PRIORITY_USER_MAX, "a lock is a user priority");
_Static_assert(PH_PRIORITY_USER_MAX < PH_PRIORITY_SYSTEM, "system events pass every lock");

#endif
