#include "engine/spec_field.h"

#include <string.h>

char **ph_spec_field_text(struct ph_spec *spec, const struct ph_spec_key *row)
{
    return (void *)((char *)spec + row->offset);
}

const char *ph_spec_text_in(const struct ph_spec *spec, const struct ph_spec_key *row)
{
    char *text;
    memcpy(&text, (const char *)spec + row->offset, sizeof text);
    return text;
}

void ph_spec_store_number(struct ph_spec *spec, const struct ph_spec_key *row, uint64_t number)
{
    void *field = (char *)spec + row->offset;
    bool flag = number != 0;
    uint32_t narrow = (uint32_t)number;
    if (row->size == sizeof flag)
        memcpy(field, &flag, sizeof flag);
    else if (row->size == sizeof narrow)
        memcpy(field, &narrow, sizeof narrow);
    else if (row->size == sizeof number)
        memcpy(field, &number, sizeof number);
}

uint64_t ph_spec_load_number(const struct ph_spec *spec, const struct ph_spec_key *row)
{
    const void *field = (const char *)spec + row->offset;
    bool flag;
    uint32_t narrow;
    uint64_t number = row->fallback;
    if (row->size == sizeof flag) {
        memcpy(&flag, field, sizeof flag);
        number = flag;
    } else if (row->size == sizeof narrow) {
        memcpy(&narrow, field, sizeof narrow);
        number = narrow;
    } else if (row->size == sizeof number) {
        memcpy(&number, field, sizeof number);
    }
    return number;
}

const struct ph_pair *ph_spec_pairs_in(const struct ph_spec *spec, const struct ph_spec_key *row,
                                       size_t *count)
{
    bool env = row->offset == offsetof(struct ph_spec, env);
    *count = env ? spec->env_count : spec->meta_count;
    return env ? spec->env : spec->meta;
}

size_t ph_spec_pair_place(const struct ph_pair *pairs, size_t count, const char *key, bool *found)
{
    size_t low = 0, high = count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(pairs[middle].key, key);
        *found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return *found ? high : low;
}

const char *ph_spec_pair_value(const struct ph_pair *pairs, size_t count, const char *key)
{
    bool found;
    size_t place = ph_spec_pair_place(pairs, count, key, &found);
    return found ? pairs[place].value : NULL;
}
