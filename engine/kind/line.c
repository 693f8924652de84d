#include "engine/kind/line.h"

#include <string.h>

#include "engine/base.h"

static bool is_plain(unsigned char byte, bool at_the_edge)
{
    return byte > ' ' ? byte < 0x7f && byte != '\\' : byte == ' ' && !at_the_edge;
}

void ph_line_put(struct ph_text *out, const char *verb, const char *text, size_t length)
{
    ph_text_put(out, verb);
    if (length)
        ph_text_put(out, " ");
    for (size_t at = 0; at < length;) {
        size_t plain = at;
        while (plain < length &&
               is_plain((unsigned char)text[plain], plain == 0 || plain + 1 == length))
            plain++;
        ph_text_append(out, text + at, plain - at);
        at = plain;
        if (at == length)
            break;
        unsigned byte = (unsigned char)text[at++];
        const char octal[] = {'\\', '0', (char)('0' + (byte >> 6)), (char)('0' + (byte >> 3 & 7)),
                              (char)('0' + (byte & 7))};
        ph_text_append(out, byte == '\\' ? "\\\\" : octal, byte == '\\' ? 2 : sizeof octal);
    }
    ph_text_put(out, "\n");
}

static bool is_octal(char byte)
{
    return byte >= '0' && byte <= '7';
}

/* Reads the escape behind a backslash: how many bytes it has; 0: it is none. */
static size_t read_escape(const char *from, size_t length, char *byte)
{
    static const char named[][2] = {{'\\', '\\'}, {'n', '\n'}, {'t', '\t'}, {'r', '\r'}};
    for (size_t i = 0; length > 0 && i < PH_COUNT_OF(named); i++) {
        if (*from != named[i][0])
            continue;
        *byte = named[i][1];
        return 1;
    }
    if (length < 4 || from[0] != '0' || from[1] < '0' || from[1] > '3' || !is_octal(from[2]) ||
        !is_octal(from[3]))
        return 0;
    *byte = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
    return 4;
}

/* In place: what an escape stands for is shorter than the escape. */
static const char *unescape(char *text, size_t *length)
{
    size_t to = 0;
    for (size_t from = 0; from < *length;) {
        char byte = text[from++];
        if (byte == '\\') {
            size_t used = read_escape(text + from, *length - from, &byte);
            if (used == 0)
                return "a backslash is not followed by \\, n, t, r or 0 and three octal digits";
            from += used;
        }
        text[to++] = byte;
    }
    text[to] = '\0';
    *length = to;
    return to > PH_LINE_TEXT_MAX ? "a text stands for more than 1 MiB" : NULL;
}

const char *ph_line_parse(char *bytes, size_t length, struct ph_line *line)
{
    static const char *const verbs[PH_LINE_VERBS] = {
        [PH_LINE_OK] = "ok",
        [PH_LINE_ERROR] = "error",
        [PH_LINE_STATE] = "state",
    };
    if (memchr(bytes, '\0', length))
        return "a line holds a NUL";
    bytes[length] = '\0';
    size_t verb = strcspn(bytes, " ");
    for (unsigned i = 0; i < PH_LINE_VERBS; i++) {
        if (strlen(verbs[i]) != verb || memcmp(bytes, verbs[i], verb) != 0)
            continue;
        char *text = bytes + verb + (bytes[verb] == ' ');
        line->verb = (enum ph_line_verb)i;
        line->text = text;
        line->length = length - (size_t)(text - bytes);
        return unescape(text, &line->length);
    }
    return "a line begins with none of ok, error, state";
}
