/*
 * A child's spec: what to run and how to supervise it.
 *
 * Built by one thread with ph_spec_set and ph_spec_add_arg, then frozen at its first use and shared
 * by reference between the children of a request, the registry and readers. The table in
 * spec_keys.c says for every key of commands.md its type, default, range and kind of child; errors
 * are made from it.
 */
#ifndef PH_ENGINE_SPEC_H
#define PH_ENGINE_SPEC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"

enum ph_restart { PH_RESTART_PERMANENT, PH_RESTART_TRANSIENT, PH_RESTART_TEMPORARY };

struct ph_pair {
    char *key, *value;
};

struct ph_spec {
    atomic_uint refs;
    size_t bytes;  /* of all texts, bounded by PH_SPEC_BYTES_MAX */
    uint64_t keys; /* bit per row of the key table that was set explicitly */

    char *module; /* exactly one of module and argv */
    char *args;
    char **argv; /* argc words and a NULL */
    size_t argc;

    enum ph_restart restart;
    uint32_t max_restarts;
    uint64_t max_seconds_ms;
    uint64_t backoff_ms, backoff_max_ms;
    uint64_t shutdown_ms;
    int stop_signal;

    struct ph_pair *env; /* sorted by key */
    size_t env_count;
    char *cwd, *user, *log;
    uint64_t log_bytes;
    bool stderr_split;
    bool ready_notify;
    uint64_t watchdog_ms; /* 0: none */
    uint32_t fdstore;     /* descriptors that are kept at most */
    char *listen;         /* endpoint, or NULL */
    bool socket;          /* it speaks on PROCHUB_SOCKET */

    char **tags; /* sorted, no duplicates */
    size_t tag_count;
    struct ph_pair *meta; /* sorted by key */
    size_t meta_count;
    char *on; /* nodes joined by commas, or NULL */

    struct ph_spec
        *asked; /* what this was altered from by hooks; NULL: it is as it was asked for */
};

/* The spec as a request asked for it, before the alter hooks. */
static inline struct ph_spec *ph_spec_asked(struct ph_spec *spec)
{
    return spec->asked ? spec->asked : spec;
}

/* Text of a key's effective value for people and rows: false when the spec has no such key. Keys:
 * module args restart max_restarts max_seconds backoff backoff_max shutdown stop_signal cwd user
 * log log_bytes stderr ready watchdog fdstore listen socket tags on, env.NAME, meta.KEY. */
bool ph_spec_text(const struct ph_spec *, const char *key, struct ph_text *out);

/* Appends the spec as the words of a `start` command ("module=counter restart=transient"), quoted
 * so that the command language reads them back; only what differs from the defaults. */
void ph_spec_print(const struct ph_spec *, struct ph_text *out);

/* Appends a line per key: how it is written, its default, and which kind of child takes it. */
void ph_spec_help(struct ph_text *out);

/* A private copy to alter (reference count 1). */
struct ph_spec *ph_spec_copy(const struct ph_spec *);

const char *ph_spec_meta(const struct ph_spec *, const char *key); /* NULL: not there */
bool ph_spec_has_tag(const struct ph_spec *, const char *tag);
const char *ph_restart_name(enum ph_restart);

/* "TERM", "SIGTERM", "term" or "15": the number, or PH_EUSAGE. And back ("TERM", static). */
PH_MUST_CHECK int ph_signal_parse(const char *text, int *signal_number);
const char *ph_signal_name(int signal_number);

#endif
