/*
 * Expressions: `state != running and (restarts > 3 or not tag = web)`, and the conditions of `wait`
 * and `assert`.
 *
 * Parsed from words into a small tree of bounded depth (64) and size (1,024 nodes); evaluated
 * against a resolver, which knows the fields. Numbers compare as numbers, durations and sizes too
 * when the field is one, everything else as text; `=~` is a POSIX extended regular expression. A
 * quoted word is always a literal. Of a list, one entry that fits is enough (`!=`: none may be
 * equal). A missing value equals the empty text and is not less or greater than anything.
 *
 * Conditions also know `count(TARGET… or where EXPR)` and `child ID FIELD`, whose EXPR and FIELD
 * are of the resolver `children`. A boolean stands alone or is compared with true or false.
 */
#ifndef PH_IPC_EXPR_H
#define PH_IPC_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/prochub.h"
#include "engine/text.h"
#include "ipc/script.h"

struct ph_expr;

enum ph_value_type { PH_VALUE_NONE, PH_VALUE_NUMBER, PH_VALUE_TEXT, PH_VALUE_LIST, PH_VALUE_BOOL };

struct ph_value {
    enum ph_value_type type;
    uint64_t number;  /* NUMBER, BOOL */
    const char *text; /* TEXT: NUL-terminated; LIST: strings joined by '\x1f' (any may match) */
    size_t length;
};

/* What may stand on the left of a comparison. */
struct ph_resolver {
    /* At parse time: is this a field? Else an error that lists `fields`. */
    bool (*known)(const char *field);
    const char *fields; /* for messages: "id, node, state, …" */
    /* At evaluation: the field's value. */
    void (*value)(void *subject, const char *field, struct ph_value *value);
    /* At parse time, may be NULL: what will the field's value be? PH_VALUE_NONE: any. With it
     * `count = abc` is an error at once. */
    enum ph_value_type (*type)(const char *field);
    /* Conditions only (NULL otherwise): `count(where EXPR)`, `count(TARGET…)` and `child ID FIELD`.
     * A TARGET is given as an expression over id, tag and node. */
    const struct ph_resolver *children; /* of EXPR and FIELD; NULL: ph_child_resolver */
    uint64_t (*count)(void *subject, const struct ph_expr *where);
    void (*child)(void *subject, const char *id, const char *field, struct ph_value *value);
};

/* `words` up to `count`; all must be consumed. Errors carry the position of the token. What hangs
 * on a variable that is not replaced yet is not checked. */
PH_MUST_CHECK int ph_expr_parse(const struct ph_word *words, size_t count,
                                const struct ph_resolver *, struct ph_expr **,
                                struct ph_script_error *);
void ph_expr_destroy(struct ph_expr *);
bool ph_expr_holds(const struct ph_expr *, const struct ph_resolver *, void *subject);

/* "count = 1000 is false: count is 998": what the comparisons saw, for `assert` and time-outs. */
void ph_expr_explain(const struct ph_expr *, const struct ph_resolver *, void *subject,
                     struct ph_text *out);

/* The fields of a child, as EXPR sees them: id node state kind mode tag restarts epoch queue pid
 * module uptime meta.KEY. Subject: struct ph_subject (ipc/subject.h) in a read section. */
extern const struct ph_resolver ph_child_resolver;

/* What `wait` and `assert` compare (ipc/condition.c) and the fields of `events` (command_events.c).
 */
extern const struct ph_resolver ph_condition_resolver, ph_event_resolver;

#endif
