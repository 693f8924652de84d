#include "tui/json.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/prochub.h"

struct reader {
    const char *start, *at, *end;
    struct ph_json *json;
    struct ph_text path; /* key of the value being read: "spec.env.HOME" */
    struct ph_error *error;
};

static int refuse(struct reader *reader, const char *what)
{
    return ph_error_set(reader->error, PH_EUSAGE, "JSON, byte %zu: %s",
                        (size_t)(reader->at - reader->start), what);
}

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at)
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static int hex4(struct reader *reader, uint32_t *value)
{
    *value = 0;
    if (reader->end - reader->at < 4)
        return refuse(reader, "\\u needs four hexadecimal digits");
    for (int i = 0; i < 4; i++) {
        char c = *reader->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return refuse(reader, "\\u needs four hexadecimal digits");
        *value = *value * 16 + (uint32_t)digit;
    }
    return 0;
}

/* NUL and lone surrogates cannot stand in a C text: they become U+FFFD. */
static void append_rune(struct ph_text *out, uint32_t rune)
{
    if (!rune || (rune >= 0xd800 && rune < 0xe000))
        rune = 0xfffd;
    char bytes[4];
    ph_text_append(out, bytes, ph_utf8_put(bytes, rune));
}

static int read_unicode(struct reader *reader, struct ph_text *out)
{
    uint32_t rune, low;
    int rc = hex4(reader, &rune);
    if (rc)
        return rc;
    const char *mark = reader->at;
    if (rune >= 0xd800 && rune < 0xdc00 && reader->end - mark >= 6 && mark[0] == '\\' &&
        mark[1] == 'u') {
        reader->at += 2;
        rc = hex4(reader, &low);
        if (rc)
            return rc;
        if (low >= 0xdc00 && low < 0xe000)
            rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
        else
            reader->at = mark;
    }
    append_rune(out, rune);
    return 0;
}

static int read_escape(struct reader *reader, struct ph_text *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end)
        return refuse(reader, "a string that does not end");
    char c = *reader->at++;
    if (c == 'u')
        return read_unicode(reader, out);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return refuse(reader, "an unknown escape");
    ph_text_append(out, &to[found - from], 1);
    return 0;
}

/* After the opening quote. */
static int read_string(struct reader *reader, struct ph_text *out)
{
    for (;;) {
        const char *from = reader->at;
        while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\' &&
               (unsigned char)*reader->at >= 0x20)
            reader->at++;
        ph_text_append(out, from, (size_t)(reader->at - from));
        if (reader->at == reader->end)
            return refuse(reader, "a string that does not end");
        char c = *reader->at++;
        if (c == '"')
            return 0;
        if (c != '\\')
            return refuse(reader, "a control byte in a string");
        int rc = read_escape(reader, out);
        if (rc)
            return rc;
    }
}

/* Begins a field at the end of the text: its key is the path; its value follows. */
static int begin_field(struct reader *reader, enum ph_json_type type)
{
    struct ph_json *json = reader->json;
    if (json->count == PH_JSON_FIELDS_MAX)
        return refuse(reader, "too many fields");
    if (json->count == json->capacity) {
        json->capacity = json->capacity ? json->capacity * 2 : 16;
        json->fields = ph_realloc(json->fields, json->capacity * sizeof *json->fields);
    }
    struct ph_json_field *field = &json->fields[json->count++];
    field->key = (uint32_t)json->text.length;
    field->type = type;
    ph_text_append(&json->text, ph_text_str(&reader->path), reader->path.length + 1);
    field->value = (uint32_t)json->text.length;
    return 0;
}

static void end_field(struct reader *reader)
{
    ph_text_append(&reader->json->text, "", 1);
}

static int read_number(struct reader *reader)
{
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at && strchr("+-.0123456789eE", *reader->at))
        reader->at++;
    size_t length = (size_t)(reader->at - from);
    if (!length || strspn(from, "+.eE") || length > 40)
        return refuse(reader, "not a value");
    ph_text_append(&reader->json->text, from, length);
    return 0;
}

static int read_literal(struct reader *reader, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length))
        return refuse(reader, "not a value");
    reader->at += length;
    if (strcmp(word, "null"))
        ph_text_put(&reader->json->text, word);
    return 0;
}

static enum ph_json_type scalar_type(char c)
{
    switch (c) {
    case '"':
        return PH_JSON_TEXT;
    case 't':
    case 'f':
        return PH_JSON_BOOL;
    case 'n':
        return PH_JSON_NULL;
    default:
        return PH_JSON_NUMBER;
    }
}

/* The text of a value that is neither object nor array. */
static int read_scalar(struct reader *reader)
{
    switch (*reader->at) {
    case '"':
        reader->at++;
        return read_string(reader, &reader->json->text);
    case 't':
        return read_literal(reader, "true");
    case 'f':
        return read_literal(reader, "false");
    case 'n':
        return read_literal(reader, "null");
    default:
        return read_number(reader);
    }
}

static int read_value(struct reader *reader, unsigned depth);

static void path_push(struct reader *reader, const char *key)
{
    if (reader->path.length)
        ph_text_put(&reader->path, ".");
    ph_text_put(&reader->path, key);
}

static void path_pop(struct reader *reader, size_t length)
{
    if (!reader->path.data)
        return;
    reader->path.length = length;
    reader->path.data[length] = '\0';
}

static int read_member(struct reader *reader, unsigned depth)
{
    size_t length = reader->path.length;
    if (!take(reader, '"'))
        return refuse(reader, "a key is expected");
    if (length)
        ph_text_put(&reader->path, ".");
    int rc = read_string(reader, &reader->path);
    if (!rc && !take(reader, ':'))
        rc = refuse(reader, "':' is expected");
    if (!rc)
        rc = read_value(reader, depth);
    path_pop(reader, length);
    return rc;
}

/* After the opening brace. */
static int read_object(struct reader *reader, unsigned depth)
{
    if (take(reader, '}'))
        return 0;
    for (;;) {
        int rc = read_member(reader, depth);
        if (rc)
            return rc;
        if (take(reader, '}'))
            return 0;
        if (!take(reader, ','))
            return refuse(reader, "',' or '}' is expected");
    }
}

/* An array of objects or arrays: each gets its index as a key. */
static int read_nested(struct reader *reader, unsigned depth)
{
    size_t length = reader->path.length;
    for (unsigned index = 0;; index++) {
        char key[16];
        snprintf(key, sizeof key, "%u", index);
        path_push(reader, key);
        int rc = read_value(reader, depth);
        path_pop(reader, length);
        if (rc)
            return rc;
        if (take(reader, ']'))
            return 0;
        if (!take(reader, ','))
            return refuse(reader, "',' or ']' is expected");
    }
}

/* An array of plain values: one field, joined by commas. */
static int read_list(struct reader *reader)
{
    int rc = begin_field(reader, PH_JSON_LIST);
    for (bool first = true; !rc && !(first && take(reader, ']')); first = false) {
        if (!first)
            ph_text_put(&reader->json->text, ",");
        skip_blanks(reader);
        if (reader->at == reader->end)
            return refuse(reader, "an array that does not end");
        rc = read_scalar(reader);
        if (rc || take(reader, ']'))
            break;
        if (!take(reader, ','))
            return refuse(reader, "',' or ']' is expected");
    }
    end_field(reader);
    return rc;
}

static int read_array(struct reader *reader, unsigned depth)
{
    skip_blanks(reader);
    bool nested = reader->at < reader->end && (*reader->at == '{' || *reader->at == '[');
    return nested ? read_nested(reader, depth) : read_list(reader);
}

static int read_value(struct reader *reader, unsigned depth)
{
    skip_blanks(reader);
    if (reader->at == reader->end)
        return refuse(reader, "a value is expected");
    if (depth == PH_JSON_DEPTH_MAX)
        return refuse(reader, "too deep");
    if (take(reader, '{'))
        return read_object(reader, depth + 1);
    if (take(reader, '['))
        return read_array(reader, depth + 1);
    int rc = begin_field(reader, scalar_type(*reader->at));
    if (!rc)
        rc = read_scalar(reader);
    end_field(reader);
    return rc;
}

int ph_json_read(const char *line, size_t length, struct ph_json *json, struct ph_error *error)
{
    struct reader reader = {
        .start = line, .at = line, .end = line + length, .json = json, .error = error};
    *json = (struct ph_json){0};
    int rc;
    if (length > PH_JSON_LINE_MAX)
        rc = ph_error_set(error, PH_ELIMIT, "JSON: a line of more than %d bytes", PH_JSON_LINE_MAX);
    else if (!take(&reader, '{'))
        rc = refuse(&reader, "an object is expected");
    else
        rc = read_object(&reader, 1);
    skip_blanks(&reader);
    if (!rc && reader.at != reader.end)
        rc = refuse(&reader, "something follows the object");
    ph_text_fini(&reader.path);
    if (rc)
        ph_json_fini(json);
    return rc;
}

void ph_json_fini(struct ph_json *json)
{
    ph_text_fini(&json->text);
    ph_free(json->fields);
    *json = (struct ph_json){0};
}

const char *ph_json_key_at(const struct ph_json *json, size_t index)
{
    return json->text.data + json->fields[index].key;
}

const char *ph_json_value_at(const struct ph_json *json, size_t index)
{
    return json->text.data + json->fields[index].value;
}

static const struct ph_json_field *find(const struct ph_json *json, const char *key)
{
    for (size_t i = 0; i < json->count; i++) {
        if (!strcmp(ph_json_key_at(json, i), key))
            return &json->fields[i];
    }
    return NULL;
}

const char *ph_json_text(const struct ph_json *json, const char *key)
{
    const struct ph_json_field *field = find(json, key);
    return field && field->type != PH_JSON_NULL ? json->text.data + field->value : NULL;
}

uint64_t ph_json_uint(const struct ph_json *json, const char *key, uint64_t fallback)
{
    const struct ph_json_field *field = find(json, key);
    uint64_t value;
    if (!field || field->type != PH_JSON_NUMBER ||
        !ph_parse_uint(json->text.data + field->value, UINT64_MAX, &value))
        return fallback;
    return value;
}

bool ph_json_bool(const struct ph_json *json, const char *key)
{
    const struct ph_json_field *field = find(json, key);
    return field && field->type == PH_JSON_BOOL && json->text.data[field->value] == 't';
}
