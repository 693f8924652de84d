#include "ipc/target.h"

#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/spec.h"

enum { SECTION_IDS = 1024 }; /* named ids that one read section looks up */

static size_t digits_at(const char *text, size_t *zeros)
{
    size_t zero = 0, end;
    while (text[zero] == '0')
        zero++;
    for (end = zero; text[end] >= '0' && text[end] <= '9'; end++)
        ;
    *zeros = zero;
    return end;
}

/* Compares two runs of digits by value; moves both behind their run. */
static int compare_numbers(const char **a, const char **b)
{
    size_t zeros_a, zeros_b;
    size_t end_a = digits_at(*a, &zeros_a), end_b = digits_at(*b, &zeros_b);
    size_t length_a = end_a - zeros_a, length_b = end_b - zeros_b;
    int order = 0;
    if (length_a != length_b)
        order = length_a < length_b ? -1 : 1;
    else
        order = memcmp(*a + zeros_a, *b + zeros_b, length_a);
    *a += end_a;
    *b += end_b;
    return order;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int ph_natural_compare(const char *a, const char *b)
{
    const char *whole_a = a, *whole_b = b;
    while (*a && *b) {
        if (is_digit(*a) && is_digit(*b)) {
            int order = compare_numbers(&a, &b);
            if (order)
                return order;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    if (*a || *b)
        return *a ? 1 : -1;
    return strcmp(whole_a, whole_b); /* 07 and 7 are equal numbers, not equal texts */
}

/* ---- Reading the words ---------------------------------------------------------------------- */

static void list_nodes_rcu(const struct ph_members *members, struct ph_text *out)
{
    for (uint16_t slot = 0; slot < members->count; slot++)
        if (members->list[slot].state != PH_MEMBER_LEFT)
            ph_text_printf(out, "%s%s", out->length ? ", " : "", members->list[slot].name);
}

/* Is that a node of the hub? If not, *known becomes the names of those that are. */
static bool knows_node(struct ph_hub *hub, const char *name, struct ph_text *known)
{
    ph_rcu_enter();
    const struct ph_members *members = hub->directory ? ph_members_rcu(hub) : NULL;
    bool found = members && ph_members_find(members, name, strlen(name)) != PH_NO_MEMBER;
    if (members && !found)
        list_nodes_rcu(members, known);
    ph_rcu_exit();
    const char *self = ph_host_of(hub)->node->name;
    if (!members)
        ph_text_put(known, self);
    return found || strcmp(name, self) == 0;
}

static int check_node(const struct ph_target *target, const struct ph_word *word, const char *name,
                      struct ph_script_error *error)
{
    struct ph_text known = PH_TEXT_INIT;
    int rc = 0;
    if (!knows_node(target->hub, name, &known))
        rc = ph_word_refuse(word, error, PH_ENOTFOUND, "there is no node %s; there is %s",
                            ph_shown(name, strlen(name)).text, ph_text_str(&known));
    ph_text_fini(&known);
    return rc;
}

static int add_ids(struct ph_target *target, const struct ph_word *word, enum ph_target_form form,
                   struct ph_script_error *error)
{
    struct ph_error said = {0};
    int rc = form == PH_TARGET_ID ? ph_ids_add(&target->ids, word->text, word->length)
                                  : ph_ids_add_range(&target->ids, word->text, &said);
    if (rc == 0)
        return 0;
    return ph_word_refuse(word, error, rc, "%s",
                          said.text[0]      ? said.text
                          : rc == PH_EUSAGE ? "an id is 1 to 255 bytes without spaces"
                                            : ph_error_text(rc));
}

static int add_word(struct ph_target *target, const struct ph_word *word,
                    struct ph_script_error *error)
{
    struct ph_target_word *matcher = &target->matchers[target->matcher_count];
    int rc = ph_target_word_read(word, matcher, error);
    if (rc < 0)
        return rc;
    if (matcher->form == PH_TARGET_ID || matcher->form == PH_TARGET_RANGE)
        return add_ids(target, word, matcher->form, error);
    if (matcher->form == PH_TARGET_NODE)
        rc = check_node(target, word, matcher->text, error);
    target->matcher_count += rc == 0;
    return rc;
}

static int compare_ids(const void *a, const void *b)
{
    return ph_natural_compare(*(const char *const *)a, *(const char *const *)b);
}

/* The ids' texts, sorted, without duplicates; `*count` becomes their number. */
static const char **sort_ids(const struct ph_ids *ids, size_t *count)
{
    const char **sorted = ph_alloc((ids->count + 1) * sizeof *sorted);
    size_t cursor = 0, length, filled = 0, unique = 0;
    for (const char *id; (id = ph_ids_next(ids, &cursor, &length));)
        sorted[filled++] = id;
    qsort(sorted, filled, sizeof *sorted, compare_ids);
    for (size_t i = 0; i < filled; i++)
        if (!unique || strcmp(sorted[unique - 1], sorted[i]) != 0)
            sorted[unique++] = sorted[i];
    *count = unique;
    return sorted;
}

int ph_target_init(struct ph_target *target, struct ph_hub *hub, const struct ph_word **words,
                   size_t count, const struct ph_expr *where, struct ph_script_error *error)
{
    *target = (struct ph_target){
        .hub = hub,
        .where = where,
        .matchers = ph_alloc((count + 1) * sizeof *target->matchers),
    };
    for (size_t i = 0; i < count; i++) {
        int rc = add_word(target, words[i], error);
        if (rc < 0) {
            ph_target_fini(target);
            return rc;
        }
    }
    if (count == 0)
        target->matchers[target->matcher_count++].form = PH_TARGET_ALL;
    target->sorted = sort_ids(&target->ids, &target->ids.count);
    return 0;
}

void ph_target_fini(struct ph_target *target)
{
    ph_ids_fini(&target->ids);
    ph_free(target->sorted);
    ph_free(target->matchers);
    target->sorted = NULL;
    target->matchers = NULL;
}

/* ---- Walking -------------------------------------------------------------------------------- */

struct walk {
    const struct ph_target *target;
    ph_subject_fn fn;
    void *arg;
    struct ph_subject subject;
    bool stopped;
};

static bool matches(const struct ph_target_word *matcher, const struct ph_subject *subject)
{
    size_t length;
    if (matcher->form == PH_TARGET_ALL)
        return true;
    if (matcher->form == PH_TARGET_TAG)
        return ph_spec_has_tag(ph_subject_spec_rcu(subject), matcher->text);
    if (matcher->form == PH_TARGET_NODE)
        return ph_subject_is_on_rcu(subject, matcher->text);
    const char *id = ph_subject_id(subject, &length);
    return ph_target_word_matches(matcher, id, length);
}

static bool matches_any(const struct ph_target *target, const struct ph_subject *subject)
{
    for (size_t i = 0; i < target->matcher_count; i++)
        if (matches(&target->matchers[i], subject))
            return true;
    return false;
}

/* Gives the child to `fn` when the condition holds for it. */
static bool visit(struct walk *walk)
{
    if (walk->target->where && !ph_subject_holds_rcu(&walk->subject, walk->target->where))
        return true;
    walk->stopped = !walk->fn(walk->arg, &walk->subject);
    return !walk->stopped;
}

static bool visit_matching(void *arg, struct ph_subject *subject)
{
    struct walk *walk = arg;
    return !matches_any(walk->target, subject) || visit(walk);
}

/* With a scope of this node only what it has counts. */
static bool find_named(struct walk *walk, const char *id)
{
    const struct ph_target *target = walk->target;
    size_t length = strlen(id);
    if (!target->local)
        return ph_subject_find_rcu(&walk->subject, id, length);
    const struct ph_child *child = ph_registry_find_rcu(target->hub->registry, id, length);
    if (child)
        ph_subject_set_child_rcu(&walk->subject, child);
    return child != NULL;
}

/* Named children that no matcher finds as well. */
static void walk_named(struct walk *walk)
{
    const struct ph_target *target = walk->target;
    for (size_t i = 0; i < target->ids.count && !walk->stopped; i++) {
        if (i % SECTION_IDS == 0) {
            ph_rcu_exit();
            ph_rcu_enter();
            ph_subject_open_rcu(&walk->subject, target->hub);
        }
        if (find_named(walk, target->sorted[i]) && !matches_any(target, &walk->subject))
            visit(walk);
    }
}

void ph_target_each(const struct ph_target *target, ph_subject_fn fn, void *arg)
{
    struct walk walk = {.target = target, .fn = fn, .arg = arg, .subject.now_ms = ph_now_ms()};
    ph_rcu_enter();
    walk_named(&walk);
    ph_subject_open_rcu(&walk.subject, target->hub);
    if (!walk.stopped && target->matcher_count)
        ph_subject_each_rcu(&walk.subject, target->local, visit_matching, &walk);
    ph_rcu_exit();
    ph_subject_fini(&walk.subject);
}

struct collection {
    struct ph_ids ids;
    int rc;
};

static bool collect(void *arg, struct ph_subject *subject)
{
    struct collection *collection = arg;
    size_t length;
    const char *id = ph_subject_id(subject, &length);
    collection->rc = ph_ids_add(&collection->ids, id, length);
    return collection->rc == 0;
}

static void collect_missing(const struct ph_target *target, struct collection *collection)
{
    struct ph_subject subject = {0};
    for (size_t i = 0; i < target->ids.count && collection->rc == 0; i++) {
        const char *id = target->sorted[i];
        ph_rcu_enter();
        ph_subject_open_rcu(&subject, target->hub);
        bool found = ph_subject_find_rcu(&subject, id, strlen(id));
        ph_rcu_exit();
        if (!found)
            collection->rc = ph_ids_add(&collection->ids, id, strlen(id));
    }
}

int ph_target_ids(const struct ph_target *target, struct ph_ids *ids)
{
    struct collection collection = {.rc = 0};
    ph_target_each(target, collect, &collection);
    collect_missing(target, &collection);
    size_t count;
    const char **sorted = sort_ids(&collection.ids, &count);
    for (size_t i = 0; i < count && collection.rc == 0; i++)
        collection.rc = ph_ids_add(ids, sorted[i], strlen(sorted[i]));
    ph_free(sorted);
    ph_ids_fini(&collection.ids);
    if (collection.rc < 0)
        ph_ids_fini(ids);
    return collection.rc;
}
