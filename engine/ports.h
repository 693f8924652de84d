/*
 * The hub's only way out: five small vtables.
 *
 * Port calls are commands: they never block, never call back into the hub, and copy or own what
 * they keep; results come back as later events. All are called on the thread that runs the hub's
 * step. Production implements them in host.c, tests with recorders.
 */
#ifndef PH_ENGINE_PORTS_H
#define PH_ENGINE_PORTS_H

#include <stdint.h>

#include "engine/history.h"
#include "engine/links.h"
#include "engine/prochub.h"

struct ph_child;
struct ph_legacy;
struct ph_queue;

/* One call of a hook handler. */
struct ph_hook_request {
    uint64_t handler; /* its number, for the answer (PH_EVENT_HOOK_DONE) */
    const char *hook;
    const char *fields;    /* the JSON members of the event, without braces; borrowed */
    struct ph_spec *alter; /* an alter hook's private copy; moved */
    const char *exec;      /* borrowed; or NULL and: */
    ph_hook_fn function;
    void *arg;
    uint64_t timeout_ms;
};

/* Children and hook handlers. All but `lease` and `hook` are those of struct ph_kind. */
struct ph_exec_port {
    void (*start)(void *context, struct ph_child *, uint32_t instance);
    void (*load)(void *context, struct ph_child *, struct ph_text *state);
    void (*prepare)(void *context, struct ph_child *, uint32_t instance);
    void (*activate)(void *context, struct ph_child *, struct ph_text *state);
    void (*stop)(void *context, struct ph_child *);
    void (*save)(void *context, struct ph_child *);
    void (*unload)(void *context, struct ph_child *); /* of kinds that have it */
    void (*copy)(void *context, struct ph_child *, uint64_t from, struct ph_text *room);
    void (*merge)(void *context, struct ph_child *, struct ph_legacy *);
    void (*forward)(void *context, struct ph_child *, struct ph_queue *into);
    void (*kill)(void *context, struct ph_child *);
    int (*signal)(void *context, struct ph_child *, int signal_number);
    /* ph_hub.lease_until_ms has changed: what runs ends at that time by itself, also when this
     * thread does not get there. What is started later finds it. */
    void (*lease)(void *context, uint64_t until_ms);
    void (*hook)(void *context, const struct ph_hook_request *); /* answered by one HOOK_DONE */
};

enum ph_work {
    PH_WORK_GROW, /* grow the registry's table to `amount` buckets */
    PH_WORK_GROW_DIRECTORY,
    PH_WORK_GRACE, /* wait until no thread reads what it may have found before */
};

/* Bulk computation on the pool, answered by one WORK_DONE of that kind. */
struct ph_work_port {
    void (*submit)(void *context, enum ph_work, uint64_t amount);
};

/* The same hub on other nodes: see struct ph_links_port, which also gets the hub's name. A hub
 * whose node has no links never calls it. */
struct ph_link_port {
    void (*send)(void *context, uint64_t peer, enum ph_link_class, struct ph_text *frame);
    uint64_t (*room)(void *context, uint64_t peer);
    void (*reset)(void *context, uint64_t peer);
};

/* What is to become of the journal: see cluster_journal.h. */
enum ph_journal_verb {
    PH_JOURNAL_APPEND,  /* a record, also to the new one while it is renewed */
    PH_JOURNAL_RENEW,   /* a new one is begun */
    PH_JOURNAL_COPY,    /* a record only for the new one */
    PH_JOURNAL_REPLACE, /* the new one takes the place of the old one */
    PH_JOURNAL_EMPTY,   /* all that was written so far is forgotten */
};

/* Comes back with the answer. */
struct ph_journal_mark {
    uint64_t call;    /* 1, 2, 3, … */
    uint64_t changes; /* that are on the disk when it is done */
};

/* The disk. Calls are done in order; each that is done is answered by a JOURNAL event, or several
 * by one of the last. One that fails is answered by its code, and all that follow are dropped until
 * the next RENEW. A hub whose node keeps nothing never calls it. */
struct ph_journal_port {
    void (*call)(void *context, enum ph_journal_verb, struct ph_journal_mark,
                 struct ph_text *record); /* moved; NULL: none */
};

/* People: every record that goes into the history also goes here. */
struct ph_trace_port {
    void (*record)(void *context, const struct ph_record *);
};

struct ph_ports {
    const struct ph_exec_port *exec;
    const struct ph_work_port *work;
    const struct ph_link_port *link;
    const struct ph_journal_port *journal;
    const struct ph_trace_port *trace;
    void *context; /* given to all of them */
};

#endif
