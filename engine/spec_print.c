#include "engine/spec.h"

#include <string.h>
#include <strings.h>

#include "engine/spec_field.h"
#include "engine/spec_keys.h"

/* ---- Signals ---- */

enum { SIGNALS_FIRST_REALTIME = 32, SIGNALS_LAST = 64 };

int ph_signal_parse(const char *text, int *signal_number)
{
    uint64_t number;
    if (ph_parse_uint(text, SIGNALS_LAST, &number) && number > 0) {
        *signal_number = (int)number;
        return 0;
    }
    const char *name = text;
    if (name && strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; name && i < SIGNALS_FIRST_REALTIME; i++) {
        if (strcasecmp(name, ph_signal_name(i)) != 0)
            continue;
        *signal_number = i;
        return 0;
    }
    return PH_EUSAGE;
}

const char *ph_signal_name(int signal_number)
{
    static const char realtime[][3] = {
        "32", "33", "34", "35", "36", "37", "38", "39", "40", "41", "42",
        "43", "44", "45", "46", "47", "48", "49", "50", "51", "52", "53",
        "54", "55", "56", "57", "58", "59", "60", "61", "62", "63", "64",
    };
    if (signal_number >= SIGNALS_FIRST_REALTIME && signal_number <= SIGNALS_LAST)
        return realtime[signal_number - SIGNALS_FIRST_REALTIME];
    const char *name = sigabbrev_np(signal_number);
    return name ? name : "?";
}

/* ---- Values ---- */

static void put_joined(char *const *texts, size_t count, struct ph_text *out)
{
    for (size_t i = 0; i < count; i++) {
        ph_text_put(out, i ? "," : "");
        ph_text_put(out, texts[i]);
    }
}

/* A value that is no pair: false when there is none. */
static bool put_value(const struct ph_spec *spec, const struct ph_spec_key *row,
                      struct ph_text *out)
{
    if (row->type == PH_KEY_TAGS) {
        put_joined(spec->tags, spec->tag_count, out);
        return spec->tag_count > 0;
    }
    if (row->type == PH_KEY_TEXT) {
        const char *text = ph_spec_text_in(spec, row);
        ph_text_put(out, text ? text : "");
        return text != NULL;
    }
    uint64_t number = ph_spec_load_number(spec, row);
    if (row->offset == offsetof(struct ph_spec, watchdog_ms) && number == 0)
        return false;
    ph_spec_key_write(row, number, out);
    return true;
}

bool ph_spec_text(const struct ph_spec *spec, const char *key, struct ph_text *out)
{
    const char *name;
    const struct ph_spec_key *row = ph_spec_key_find(key, &name);
    if (!row)
        return false;
    if (row->type != PH_KEY_PAIR)
        return put_value(spec, row, out);
    size_t count;
    const struct ph_pair *pairs = ph_spec_pairs_in(spec, row, &count);
    const char *value = ph_spec_pair_value(pairs, count, name);
    ph_text_put(out, value ? value : "");
    return value != NULL;
}

/* ---- Words of the command language ---- */

static bool is_bare(const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "._-/:=,@%+";
    return *text && text[strspn(text, safe)] == '\0';
}

static bool is_raw(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || (unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

static void put_in_double_quotes(const char *text, struct ph_text *out)
{
    ph_text_put(out, "\"");
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            ph_text_printf(out, "\\%c", byte);
        else if (byte == '\n')
            ph_text_put(out, "\\n");
        else if (byte == '\t')
            ph_text_put(out, "\\t");
        else if (byte < 0x20 || byte == 0x7f || byte == '$') /* $NAME must not be replaced */
            ph_text_printf(out, "\\u{%x}", byte);
        else
            ph_text_append(out, text, 1);
    }
    ph_text_put(out, "\"");
}

static void put_word(const char *text, struct ph_text *out)
{
    if (is_bare(text))
        ph_text_put(out, text);
    else if (is_raw(text))
        ph_text_printf(out, "'%s'", text);
    else
        put_in_double_quotes(text, out);
}

static void put_key(const char *key, const char *name, const char *value, struct ph_text *out)
{
    ph_text_printf(out, "%s%s%s=", out->length ? " " : "", key, name);
    put_word(value, out);
}

static void put_pairs(const struct ph_spec *spec, const struct ph_spec_key *row,
                      struct ph_text *out)
{
    size_t count;
    const struct ph_pair *pairs = ph_spec_pairs_in(spec, row, &count);
    for (size_t i = 0; i < count; i++)
        put_key(row->name, pairs[i].key, pairs[i].value, out);
}

static bool is_default(const struct ph_spec *spec, const struct ph_spec_key *row)
{
    if (row->type == PH_KEY_TAGS)
        return spec->tag_count == 0;
    if (row->type == PH_KEY_TEXT)
        return !ph_spec_text_in(spec, row);
    return ph_spec_load_number(spec, row) == row->fallback;
}

static void put_row(const struct ph_spec *spec, const struct ph_spec_key *row, struct ph_text *out)
{
    if (row->type == PH_KEY_PAIR) {
        put_pairs(spec, row, out);
        return;
    }
    if (is_default(spec, row))
        return;
    struct ph_text value = PH_TEXT_INIT;
    put_value(spec, row, &value);
    put_key(row->name, "", ph_text_str(&value), out);
    ph_text_fini(&value);
}

void ph_spec_print(const struct ph_spec *spec, struct ph_text *out)
{
    struct ph_text line = PH_TEXT_INIT;
    for (size_t i = 0; i < ph_spec_key_count(); i++)
        put_row(spec, ph_spec_key_at(i), &line);
    if (spec->argc)
        ph_text_put(&line, line.length ? " --" : "--");
    for (size_t i = 0; i < spec->argc; i++) {
        ph_text_put(&line, " ");
        put_word(spec->argv[i], &line);
    }
    ph_text_append(out, ph_text_str(&line), line.length);
    ph_text_fini(&line);
}

/* ---- Help ------------------------------------------------------------------------------------ */

static void put_form(const struct ph_spec_key *row, struct ph_text *out)
{
    static const char *const forms[] = {
        [PH_KEY_TEXT] = "TEXT", [PH_KEY_NUMBER] = "N",   [PH_KEY_DURATION] = "D",
        [PH_KEY_SIZE] = "SIZE", [PH_KEY_SIGNAL] = "SIG", [PH_KEY_TAGS] = "A,B",
    };
    ph_text_printf(out, "  %s", row->name);
    if (row->type == PH_KEY_PAIR)
        ph_text_put(out, "NAME=TEXT");
    else if (row->type != PH_KEY_CHOICE)
        ph_text_printf(out, "=%s", forms[row->type]);
    for (size_t i = 0; row->type == PH_KEY_CHOICE && row->choices[i]; i++)
        ph_text_printf(out, "%s%s", i ? "|" : "=", row->choices[i]);
}

static bool has_default(const struct ph_spec_key *row)
{
    bool number = row->type == PH_KEY_NUMBER || row->type == PH_KEY_DURATION ||
                  row->type == PH_KEY_SIZE || row->type == PH_KEY_SIGNAL;
    return (number && row->fallback) || row->type == PH_KEY_CHOICE;
}

void ph_spec_help(struct ph_text *out)
{
    static const char *const kinds[] = {
        [PH_KEY_ANY] = "",
        [PH_KEY_MODULE] = "  (module children)",
        [PH_KEY_PROCESS] = "  (OS processes)",
    };
    for (size_t i = 0; i < ph_spec_key_count(); i++) {
        const struct ph_spec_key *row = ph_spec_key_at(i);
        size_t start = out->length;
        put_form(row, out);
        bool more = has_default(row) || row->kind != PH_KEY_ANY;
        while (more && out->length - start < 42)
            ph_text_put(out, " ");
        if (has_default(row)) {
            ph_text_put(out, "  default ");
            ph_spec_key_write(row, row->fallback, out);
        }
        ph_text_printf(out, "%s\n", kinds[row->kind]);
    }
}
