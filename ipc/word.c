#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/error.h"
#include "engine/text.h"
#include "ipc/script.h"

/* How many bytes at the start of the word are bare. */
static size_t bare_length(const struct ph_word *word)
{
    if (word->quoted)
        return 0;
    /* An empty literal part is one, too: `a=""`. Only in a word that is all bare both are 0. */
    return word->literal_end ? word->literal : word->variable ? 0 : word->length;
}

bool ph_word_is(const struct ph_word *word, const char *keyword)
{
    return bare_length(word) == word->length && !word->quoted && strcmp(word->text, keyword) == 0;
}

static bool in_key(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '.' || byte == '-';
}

size_t ph_word_key(const struct ph_word *word)
{
    size_t bare = bare_length(word), at = 0;
    bool letter = bare && in_key(word->text[0]) && !strchr("0123456789_.-", word->text[0]);
    while (letter && at < bare && in_key(word->text[at]))
        at++;
    return at < bare && word->text[at] == '=' ? at : 0;
}

/* Appends the text with its variables as they were written. */
static void put_variables(struct ph_text *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == PH_WORD_VARIABLE)
            ph_text_put(out, "$");
        else if (byte != PH_WORD_VARIABLE_END)
            ph_text_append(out, text + i, 1);
    }
}

static struct ph_shown shorten(const char *text, size_t length)
{
    struct ph_shown shown;
    enum { SHOWN_MAX = 60 };
    size_t kept = 0;
    while (kept < length) {
        size_t bytes = ph_utf8_next(text + kept, length - kept, NULL);
        bytes = bytes ? bytes : 1;
        if (kept + bytes > SHOWN_MAX)
            break;
        kept += bytes;
    }
    snprintf(shown.text, sizeof shown.text, "%.*s%s", (int)kept, text, kept < length ? "..." : "");
    return shown;
}

struct ph_shown ph_shown(const char *text, size_t length)
{
    struct ph_text printable = PH_TEXT_INIT;
    ph_text_printable(&printable, text, length < 256 ? length : 256);
    struct ph_shown shown = shorten(ph_text_str(&printable), printable.length);
    ph_text_fini(&printable);
    return shown;
}

struct ph_shown ph_word_shown(const struct ph_word *word)
{
    if (!word->variable)
        return ph_shown(word->text, word->length);
    struct ph_text text = PH_TEXT_INIT;
    put_variables(&text, word->text, word->length < 256 ? word->length : 256);
    struct ph_shown shown = ph_shown(ph_text_str(&text), text.length);
    ph_text_fini(&text);
    return shown;
}

int ph_word_refuse(const struct ph_word *word, struct ph_script_error *error, int code,
                   const char *format, ...)
{
    char text[sizeof error->error.text + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error->line = word->line;
    error->column = word->column;
    return ph_error_set(&error->error, code, "%s", text);
}
