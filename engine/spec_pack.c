#include "engine/spec_pack.h"

#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/limits.h"
#include "engine/spec_field.h"

/* A text takes one byte of the spec's bound at least: its NUL. */
enum { TEXTS_MAX = PH_SPEC_BYTES_MAX };

static void put_pair(struct ph_text *out, uint32_t *count, const char *prefix, const char *name,
                     const char *value)
{
    struct ph_text key = PH_TEXT_INIT;
    ph_text_printf(&key, "%s%s", prefix, name);
    ph_pack_str(out, ph_text_str(&key), key.length);
    ph_pack_str(out, value, strlen(value));
    ph_text_fini(&key);
    *count += 1;
}

static void put_pairs(const struct ph_spec *spec, const struct ph_spec_key *row,
                      struct ph_text *out, uint32_t *count)
{
    size_t pairs_count;
    const struct ph_pair *pairs = ph_spec_pairs_in(spec, row, &pairs_count);
    for (size_t i = 0; i < pairs_count; i++)
        put_pair(out, count, row->name, pairs[i].key, pairs[i].value);
}

static bool is_default(const struct ph_spec *spec, const struct ph_spec_key *row)
{
    bool text = row->type == PH_KEY_TEXT || row->type == PH_KEY_TAGS;
    return !text && ph_spec_load_number(spec, row) == row->fallback;
}

static void put_row(const struct ph_spec *spec, const struct ph_spec_key *row, struct ph_text *out,
                    uint32_t *count)
{
    struct ph_text value = PH_TEXT_INIT;
    if (row->type == PH_KEY_PAIR)
        put_pairs(spec, row, out, count);
    else if (!is_default(spec, row) && ph_spec_text(spec, row->name, &value))
        put_pair(out, count, row->name, "", ph_text_str(&value));
    ph_text_fini(&value);
}

void ph_spec_pack(const struct ph_spec *spec, struct ph_text *out)
{
    struct ph_text pairs = PH_TEXT_INIT;
    uint32_t count = 0;
    for (size_t i = 0; i < ph_spec_key_count(); i++)
        put_row(spec, ph_spec_key_at(i), &pairs, &count);
    ph_pack_array(out, count * 2);
    ph_text_append(out, ph_text_str(&pairs), pairs.length);
    ph_text_fini(&pairs);
    ph_pack_array(out, (uint32_t)spec->argc);
    for (size_t i = 0; i < spec->argc; i++)
        ph_pack_str(out, spec->argv[i], strlen(spec->argv[i]));
}

/* A text with a NUL after it; a NUL inside is a fault. */
static char *read_text(struct ph_unpack *in)
{
    size_t length;
    const char *text = ph_unpack_str(in, PH_SPEC_BYTES_MAX, &length);
    if (memchr(text, 0, length))
        ph_unpack_fail(in);
    return ph_copy_text(text, length);
}

static void read_pair(struct ph_unpack *in, struct ph_spec *spec)
{
    char *key = read_text(in), *value = read_text(in);
    if (!in->broken && ph_spec_set(spec, key, value, NULL))
        ph_unpack_fail(in);
    ph_free(key);
    ph_free(value);
}

static void read_word(struct ph_unpack *in, struct ph_spec *spec)
{
    char *word = read_text(in);
    if (!in->broken && ph_spec_add_arg(spec, word, NULL))
        ph_unpack_fail(in);
    ph_free(word);
}

struct ph_spec *ph_spec_unpack(struct ph_unpack *in)
{
    struct ph_spec *spec = ph_spec_create();
    uint32_t count = ph_unpack_array(in, TEXTS_MAX);
    if (count % 2)
        ph_unpack_fail(in);
    for (uint32_t i = 0; i < count / 2 && !in->broken; i++)
        read_pair(in, spec);
    count = ph_unpack_array(in, TEXTS_MAX);
    for (uint32_t i = 0; i < count && !in->broken; i++)
        read_word(in, spec);
    if (!in->broken && ph_spec_check(spec, NULL))
        ph_unpack_fail(in);
    if (!in->broken)
        return spec;
    ph_spec_put(spec);
    return NULL;
}
