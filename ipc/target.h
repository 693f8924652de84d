/*
 * TARGET: which children a command means.
 *
 * One or more of an id, a glob `web-*`, a range `web-[1..1000]`, `tag:NAME`, `node:NAME`, `all`,
 * and `where EXPR`, which narrows what the words name (alone it looks at all children). A quoted
 * word is always an id. Any thread; reads the registry or the directory without holding anything
 * up. `words` and `where` are borrowed until fini.
 */
#ifndef PH_IPC_TARGET_H
#define PH_IPC_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/script.h"
#include "ipc/subject.h"
#include "ipc/target_word.h"

struct ph_target {
    struct ph_hub *hub;
    bool local; /* only children that this node has; set after init */
    const struct ph_expr *where;
    struct ph_target_word *matchers; /* of all words that are no ids */
    size_t matcher_count;
    struct ph_ids ids; /* of the words that are: sorted, no duplicates */
    const char **sorted;
};

/* PH_EUSAGE or PH_ENOTFOUND (an unknown node) with the word's position. No words mean all. */
PH_MUST_CHECK int ph_target_init(struct ph_target *, struct ph_hub *, const struct ph_word **words,
                                 size_t count, const struct ph_expr *where,
                                 struct ph_script_error *);
void ph_target_fini(struct ph_target *);

/* Calls `fn` inside a read section for each child meant, once each, in no order, until it returns
 * false. */
void ph_target_each(const struct ph_target *, ph_subject_fn fn, void *arg);

/* The ids meant, in natural order. Named ids that do not exist are among them: whoever acts on them
 * reports each as not found. */
PH_MUST_CHECK int ph_target_ids(const struct ph_target *, struct ph_ids *ids);

/* Order in which people count: w-2 < w-10. Total: equal only for equal texts. */
int ph_natural_compare(const char *a, const char *b);

#endif
