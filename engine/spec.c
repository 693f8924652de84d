#include "engine/spec.h"

#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/limits.h"
#include "engine/spec_field.h"
#include "engine/spec_keys.h"

/* ---- The fields behind the rows of the key table ---- */

struct pairs {
    struct ph_pair **list;
    size_t *count;
};

static struct pairs pairs_of(struct ph_spec *spec, const struct ph_spec_key *row)
{
    if (row->offset == offsetof(struct ph_spec, env))
        return (struct pairs){.list = &spec->env, .count = &spec->env_count};
    return (struct pairs){.list = &spec->meta, .count = &spec->meta_count};
}

/* ---- Life ---- */

struct ph_spec *ph_spec_create(void)
{
    struct ph_spec *spec = ph_alloc(sizeof *spec);
    atomic_init(&spec->refs, 1);
    for (size_t i = 0; i < ph_spec_key_count(); i++)
        ph_spec_store_number(spec, ph_spec_key_at(i), ph_spec_key_at(i)->fallback);
    return spec;
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ph_free(texts[i]);
    ph_free(texts);
}

static void free_pairs(struct ph_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ph_free(pairs[i].key);
        ph_free(pairs[i].value);
    }
    ph_free(pairs);
}

static void destroy(struct ph_spec *spec)
{
    for (size_t i = 0; i < ph_spec_key_count(); i++) {
        const struct ph_spec_key *row = ph_spec_key_at(i);
        if (row->type == PH_KEY_TEXT)
            ph_free(*ph_spec_field_text(spec, row));
    }
    free_texts(spec->argv, spec->argc);
    free_texts(spec->tags, spec->tag_count);
    free_pairs(spec->env, spec->env_count);
    free_pairs(spec->meta, spec->meta_count);
    ph_spec_put(spec->asked);
    ph_free(spec);
}

struct ph_spec *ph_spec_get(struct ph_spec *spec)
{
    atomic_fetch_add_explicit(&spec->refs, 1, memory_order_relaxed);
    return spec;
}

void ph_spec_put(struct ph_spec *spec)
{
    /* acq_rel: pairs with the puts of the others, whose reads come before the free. */
    if (spec && atomic_fetch_sub_explicit(&spec->refs, 1, memory_order_acq_rel) == 1)
        destroy(spec);
}

static char *copy_of(const char *text)
{
    return text ? ph_copy_text(text, strlen(text)) : NULL;
}

static char **copy_texts(char *const *texts, size_t count)
{
    if (!count)
        return NULL;
    char **copy = ph_alloc((count + 1) * sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = copy_of(texts[i]);
    return copy;
}

static struct ph_pair *copy_pairs(const struct ph_pair *pairs, size_t count)
{
    if (!count)
        return NULL;
    struct ph_pair *copy = ph_alloc(count * sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = (struct ph_pair){.key = copy_of(pairs[i].key), .value = copy_of(pairs[i].value)};
    return copy;
}

struct ph_spec *ph_spec_copy(const struct ph_spec *spec)
{
    struct ph_spec *copy = ph_spec_create();
    copy->bytes = spec->bytes;
    copy->keys = spec->keys;
    for (size_t i = 0; i < ph_spec_key_count(); i++) {
        const struct ph_spec_key *row = ph_spec_key_at(i);
        if (row->type == PH_KEY_TEXT)
            *ph_spec_field_text(copy, row) = copy_of(ph_spec_text_in(spec, row));
        else if (row->type != PH_KEY_TAGS && row->type != PH_KEY_PAIR)
            ph_spec_store_number(copy, row, ph_spec_load_number(spec, row));
    }
    copy->argv = copy_texts(spec->argv, spec->argc);
    copy->argc = spec->argc;
    copy->tags = copy_texts(spec->tags, spec->tag_count);
    copy->tag_count = spec->tag_count;
    copy->env = copy_pairs(spec->env, spec->env_count);
    copy->env_count = spec->env_count;
    copy->meta = copy_pairs(spec->meta, spec->meta_count);
    copy->meta_count = spec->meta_count;
    return copy;
}

/* ---- Writing ---- */

/* Books a text of `in` bytes in place of `out` bytes. */
static int account(struct ph_spec *spec, const char *key, size_t out, size_t in,
                   struct ph_error *error)
{
    size_t kept = spec->bytes - out;
    if (in > PH_SPEC_BYTES_MAX - kept)
        return ph_error_set(error, PH_ELIMIT,
                            "%s: all texts of one spec together are at most %d bytes", key,
                            PH_SPEC_BYTES_MAX);
    spec->bytes = kept + in;
    return 0;
}

static size_t bytes_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static int set_text(struct ph_spec *spec, const struct ph_spec_key *row, const char *value,
                    struct ph_error *error)
{
    if (!row->valid(value))
        return ph_spec_key_refuse(row, row->name, value, error);
    char **field = ph_spec_field_text(spec, row);
    const char *kept = *value ? value : NULL; /* empty and absent are the same */
    int rc = account(spec, row->name, bytes_of(*field), bytes_of(kept), error);
    if (rc)
        return rc;
    ph_free(*field);
    *field = copy_of(kept);
    return 0;
}

static int set_number(struct ph_spec *spec, const struct ph_spec_key *row, const char *value,
                      struct ph_error *error)
{
    uint64_t number = 0;
    if (!ph_spec_key_read(row, value, &number))
        return ph_spec_key_refuse(row, row->name, value, error);
    ph_spec_store_number(spec, row, number);
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts and drops duplicates; returns how many are left. */
static size_t unique(char **texts, size_t count)
{
    size_t kept = 0;
    if (count)
        qsort(texts, count, sizeof *texts, compare_texts);
    for (size_t i = 0; i < count; i++) {
        if (kept && strcmp(texts[kept - 1], texts[i]) == 0)
            ph_free(texts[i]);
        else
            texts[kept++] = texts[i];
    }
    return kept;
}

/* Splits at commas into at most PH_TAGS_MAX valid tags: false when that does not work. */
static bool split_tags(const struct ph_spec_key *row, const char *value, char **tags, size_t *count)
{
    while (*value) {
        size_t length = strcspn(value, ",");
        if (*count == PH_TAGS_MAX)
            return false;
        tags[*count] = ph_copy_text(value, length);
        if (!row->valid(tags[(*count)++]))
            return false;
        value += length;
        if (*value == ',' && *++value == '\0')
            return false;
    }
    return true;
}

static size_t bytes_of_all(char *const *texts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += bytes_of(texts[i]);
    return bytes;
}

static int set_tags(struct ph_spec *spec, const struct ph_spec_key *row, const char *value,
                    struct ph_error *error)
{
    char **tags = ph_alloc((PH_TAGS_MAX + 1) * sizeof *tags);
    size_t count = 0;
    int rc = 0;
    if (!split_tags(row, value, tags, &count)) {
        rc = ph_spec_key_refuse(row, row->name, value, error);
        goto err_free_tags;
    }
    count = unique(tags, count);
    rc = account(spec, row->name, bytes_of_all(spec->tags, spec->tag_count),
                 bytes_of_all(tags, count), error);
    if (rc)
        goto err_free_tags;
    free_texts(spec->tags, spec->tag_count);
    spec->tags = tags;
    spec->tag_count = count;
    return 0;
err_free_tags:
    free_texts(tags, count);
    return rc;
}

static int set_pair(struct ph_spec *spec, const struct ph_spec_key *row, const char *key,
                    const char *value, struct ph_error *error)
{
    const char *name = key + strlen(row->name);
    if (!row->valid(name))
        return ph_spec_key_refuse(row, key, value, error);
    struct pairs pairs = pairs_of(spec, row);
    bool found;
    size_t place = ph_spec_pair_place(*pairs.list, *pairs.count, name, &found);
    size_t old = found ? bytes_of(name) + bytes_of((*pairs.list)[place].value) : 0;
    int rc = account(spec, key, old, bytes_of(name) + bytes_of(value), error);
    if (rc)
        return rc;
    if (found) {
        ph_free((*pairs.list)[place].value);
        (*pairs.list)[place].value = copy_of(value);
        return 0;
    }
    struct ph_pair *list = ph_realloc(*pairs.list, (*pairs.count + 1) * sizeof *list);
    memmove(&list[place + 1], &list[place], (*pairs.count - place) * sizeof *list);
    list[place] = (struct ph_pair){.key = copy_of(name), .value = copy_of(value)};
    *pairs.list = list;
    *pairs.count += 1;
    return 0;
}

static int set_value(struct ph_spec *spec, const struct ph_spec_key *row, const char *key,
                     const char *value, struct ph_error *error)
{
    switch (row->type) {
    case PH_KEY_TEXT:
        return set_text(spec, row, value, error);
    case PH_KEY_TAGS:
        return set_tags(spec, row, value, error);
    case PH_KEY_PAIR:
        return set_pair(spec, row, key, value, error);
    case PH_KEY_CHOICE:
    case PH_KEY_NUMBER:
    case PH_KEY_DURATION:
    case PH_KEY_SIZE:
    case PH_KEY_SIGNAL:
        break;
    }
    return set_number(spec, row, value, error);
}

/* A spec that more than its maker holds is shared with readers and never changes again. */
static bool is_frozen(const struct ph_spec *spec)
{
    return atomic_load_explicit(&spec->refs, memory_order_relaxed) > 1;
}

int ph_spec_set(struct ph_spec *spec, const char *key, const char *value, struct ph_error *error)
{
    if (!key || !*key)
        return ph_error_set(error, PH_EUSAGE, "a key is missing: write KEY=VALUE");
    if (!value)
        return ph_error_set(error, PH_EUSAGE, "%s: a value is missing", key);
    if (is_frozen(spec))
        return ph_error_set(error, PH_EREFUSED, "%s: the spec is in use and cannot change", key);
    const char *name;
    const struct ph_spec_key *row = ph_spec_key_find(key, &name);
    if (!row)
        return ph_spec_key_unknown(key, error);
    int rc = set_value(spec, row, key, value, error);
    if (rc == 0)
        spec->keys |= UINT64_C(1) << ph_spec_key_index(row);
    return rc;
}

int ph_spec_add_arg(struct ph_spec *spec, const char *arg, struct ph_error *error)
{
    if (!arg)
        return ph_error_set(error, PH_EUSAGE, "a word of the program is missing");
    if (is_frozen(spec))
        return ph_error_set(error, PH_EREFUSED, "program: the spec is in use and cannot change");
    if (spec->argc == 0 && !*arg)
        return ph_error_set(error, PH_EUSAGE, "program: the first word after -- is empty");
    int rc = account(spec, "program", 0, bytes_of(arg), error);
    if (rc)
        return rc;
    spec->argv = ph_realloc(spec->argv, (spec->argc + 2) * sizeof *spec->argv);
    spec->argv[spec->argc++] = copy_of(arg);
    spec->argv[spec->argc] = NULL;
    return 0;
}

/* ---- Questions ---- */

static int check_kind(const struct ph_spec *spec, const struct ph_spec_key *row,
                      struct ph_error *error)
{
    if (!(spec->keys >> ph_spec_key_index(row) & 1))
        return 0;
    const char *tail = row->type == PH_KEY_PAIR ? "NAME" : "";
    if (row->kind == PH_KEY_MODULE && !spec->module)
        return ph_error_set(
            error, PH_EUSAGE,
            "%s%s: only for module children, a program's arguments follow it after --", row->name,
            tail);
    if (row->kind == PH_KEY_PROCESS && spec->module)
        return ph_error_set(error, PH_EUSAGE,
                            "%s%s: only for OS processes (-- PROGRAM ARG...), not with module=%s",
                            row->name, tail, spec->module);
    return 0;
}

int ph_spec_check(const struct ph_spec *spec, struct ph_error *error)
{
    if (!spec->module && spec->argc == 0)
        return ph_error_set(error, PH_EUSAGE,
                            "module: say what to run, module=NAME or -- PROGRAM ARG...");
    if (spec->module && spec->argc > 0)
        return ph_error_set(error, PH_EUSAGE,
                            "module=%s and a program after --: use one of them, not both",
                            spec->module);
    for (size_t i = 0; i < ph_spec_key_count(); i++) {
        int rc = check_kind(spec, ph_spec_key_at(i), error);
        if (rc)
            return rc;
    }
    if (spec->backoff_ms > spec->backoff_max_ms)
        return ph_error_set(
            error, PH_EUSAGE, "backoff=%llums: use at most backoff_max, which is %llums",
            (unsigned long long)spec->backoff_ms, (unsigned long long)spec->backoff_max_ms);
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_texts(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
    bool same = a_count == b_count;
    for (size_t i = 0; same && i < a_count; i++)
        same = strcmp(a[i], b[i]) == 0;
    return same;
}

static bool same_pairs(const struct ph_spec *a, const struct ph_spec *b,
                       const struct ph_spec_key *row)
{
    size_t a_count, b_count;
    const struct ph_pair *a_pairs = ph_spec_pairs_in(a, row, &a_count);
    const struct ph_pair *b_pairs = ph_spec_pairs_in(b, row, &b_count);
    bool same = a_count == b_count;
    for (size_t i = 0; same && i < a_count; i++)
        same = strcmp(a_pairs[i].key, b_pairs[i].key) == 0 &&
               strcmp(a_pairs[i].value, b_pairs[i].value) == 0;
    return same;
}

static bool same_value(const struct ph_spec *a, const struct ph_spec *b,
                       const struct ph_spec_key *row)
{
    if (row->type == PH_KEY_TEXT)
        return same_text(ph_spec_text_in(a, row), ph_spec_text_in(b, row));
    if (row->type == PH_KEY_TAGS)
        return same_texts(a->tags, a->tag_count, b->tags, b->tag_count);
    if (row->type == PH_KEY_PAIR)
        return same_pairs(a, b, row);
    return ph_spec_load_number(a, row) == ph_spec_load_number(b, row);
}

bool ph_spec_equal(const struct ph_spec *a, const struct ph_spec *b)
{
    if (a == b)
        return true;
    for (size_t i = 0; i < ph_spec_key_count(); i++) {
        if (!same_value(a, b, ph_spec_key_at(i)))
            return false;
    }
    return same_texts(a->argv, a->argc, b->argv, b->argc);
}

const char *ph_spec_meta(const struct ph_spec *spec, const char *key)
{
    return ph_spec_pair_value(spec->meta, spec->meta_count, key);
}

bool ph_spec_has_tag(const struct ph_spec *spec, const char *tag)
{
    for (size_t i = 0; i < spec->tag_count; i++) {
        if (strcmp(spec->tags[i], tag) == 0)
            return true;
    }
    return false;
}

const char *ph_restart_name(enum ph_restart restart)
{
    switch (restart) {
    case PH_RESTART_PERMANENT:
        return "permanent";
    case PH_RESTART_TRANSIENT:
        return "transient";
    case PH_RESTART_TEMPORARY:
        return "temporary";
    }
    return "permanent";
}
