#include "tui/line.h"

#include <string.h>

#include "engine/alloc.h"
#include "tui/keys.h"

enum { HINT_MAX = 400 };

void ph_line_init(struct ph_line *line)
{
    *line = (struct ph_line){0};
}

void ph_line_fini(struct ph_line *line)
{
    for (size_t i = 0; i < line->history_count; i++)
        ph_free(line->history[i]);
    ph_text_fini(&line->text);
    ph_text_fini(&line->draft);
    ph_text_fini(&line->hint);
    *line = (struct ph_line){0};
}

static void set_text(struct ph_line *line, const char *text)
{
    ph_text_clear(&line->text);
    ph_text_put(&line->text, text);
    line->cursor = line->text.length;
}

void ph_line_open(struct ph_line *line, const char *text)
{
    set_text(line, text);
    ph_text_clear(&line->hint);
    ph_text_clear(&line->draft);
    line->history_at = line->history_count;
    line->pasting = false;
}

static void erase(struct ph_line *line, size_t from, size_t to)
{
    struct ph_text *text = &line->text;
    if (from >= to)
        return;
    memmove(text->data + from, text->data + to, text->length - to + 1);
    text->length -= to - from;
    line->cursor = from;
}

static void insert(struct ph_line *line, const char *bytes, size_t length)
{
    struct ph_text *text = &line->text;
    if (text->length + length > PH_LINE_MAX)
        return;
    ph_text_append(text, bytes, length);
    memmove(text->data + line->cursor + length, text->data + line->cursor,
            text->length - length - line->cursor);
    memcpy(text->data + line->cursor, bytes, length);
    line->cursor += length;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t before(const struct ph_line *line, size_t at)
{
    const char *text = ph_text_str(&line->text);
    while (at > 0 && is_continuation(text[at - 1]))
        at--;
    return at ? at - 1 : 0;
}

static size_t after(const struct ph_line *line, size_t at)
{
    const char *text = ph_text_str(&line->text);
    if (at < line->text.length)
        at++;
    while (at < line->text.length && is_continuation(text[at]))
        at++;
    return at;
}

static size_t word_before(const struct ph_line *line)
{
    const char *text = ph_text_str(&line->text);
    size_t at = line->cursor;
    while (at > 0 && text[at - 1] == ' ')
        at--;
    while (at > 0 && text[at - 1] != ' ')
        at--;
    return at;
}

static void show_history(struct ph_line *line, size_t at)
{
    if (line->history_at == line->history_count) {
        ph_text_clear(&line->draft);
        ph_text_put(&line->draft, ph_text_str(&line->text));
    }
    line->history_at = at;
    set_text(line, at == line->history_count ? ph_text_str(&line->draft) : line->history[at]);
}

static void insert_rune(struct ph_line *line, uint32_t rune)
{
    char bytes[4];
    size_t count = ph_utf8_put(bytes, rune);
    insert(line, bytes, count);
}

/* Keys that move the cursor or cut. */
static bool edit(struct ph_line *line, int key)
{
    size_t end = line->text.length;
    switch (key) {
    case PH_KEY_LEFT:
    case PH_CTRL('b'):
        line->cursor = before(line, line->cursor);
        return true;
    case PH_KEY_RIGHT:
    case PH_CTRL('f'):
        line->cursor = after(line, line->cursor);
        return true;
    case PH_KEY_HOME:
    case PH_CTRL('a'):
        line->cursor = 0;
        return true;
    case PH_KEY_END:
    case PH_CTRL('e'):
        line->cursor = end;
        return true;
    case PH_KEY_BACKSPACE:
        erase(line, before(line, line->cursor), line->cursor);
        return true;
    case PH_KEY_DELETE:
    case PH_CTRL('d'):
        erase(line, line->cursor, after(line, line->cursor));
        return true;
    case PH_CTRL('u'):
        erase(line, 0, line->cursor);
        return true;
    case PH_CTRL('k'):
        erase(line, line->cursor, end);
        return true;
    case PH_CTRL('w'):
        erase(line, word_before(line), line->cursor);
        return true;
    default:
        return false;
    }
}

static enum ph_line_result paste_key(struct ph_line *line, int key)
{
    if (key == PH_KEY_PASTE_END)
        line->pasting = false;
    else if (key == PH_KEY_ENTER || key == '\n' || key == PH_KEY_TAB)
        insert_rune(line, ' ');
    else if (key >= ' ' && key < PH_KEY_BASE)
        insert_rune(line, (uint32_t)key);
    return PH_LINE_EDITED;
}

enum ph_line_result ph_line_key(struct ph_line *line, int key)
{
    if (line->pasting)
        return paste_key(line, key);
    ph_text_clear(&line->hint);
    if (key == PH_KEY_PASTE_BEGIN)
        line->pasting = true;
    else if (key == PH_KEY_ENTER || key == '\n')
        return PH_LINE_ACCEPTED;
    else if (key == PH_KEY_ESCAPE || (key == PH_KEY_BACKSPACE && !line->text.length))
        return PH_LINE_CANCELED;
    else if (key == PH_KEY_TAB)
        return PH_LINE_COMPLETE;
    else if ((key == PH_KEY_UP || key == PH_CTRL('p')) && line->history_at > 0)
        show_history(line, line->history_at - 1);
    else if ((key == PH_KEY_DOWN || key == PH_CTRL('n')) && line->history_at < line->history_count)
        show_history(line, line->history_at + 1);
    else if (edit(line, key))
        return PH_LINE_EDITED;
    else if (key >= ' ' && key < 0x110000 && (key < 0x7f || key >= 0xa0))
        insert_rune(line, (uint32_t)key);
    else
        return PH_LINE_IGNORED;
    return PH_LINE_EDITED;
}

void ph_line_remember(struct ph_line *line)
{
    const char *text = ph_text_str(&line->text);
    if (!*text)
        return;
    if (line->history_count && !strcmp(line->history[line->history_count - 1], text))
        return;
    if (line->history_count == PH_LINE_HISTORY) {
        ph_free(line->history[0]);
        memmove(line->history, line->history + 1, (PH_LINE_HISTORY - 1) * sizeof *line->history);
        line->history_count--;
    }
    line->history[line->history_count++] = ph_copy_text(text, line->text.length);
}

static size_t shared_prefix(const char *one, const char *other)
{
    size_t length = 0;
    while (one[length] && one[length] == other[length])
        length++;
    return length;
}

void ph_line_complete(struct ph_line *line, const char *(*name_at)(size_t index))
{
    size_t length = line->cursor, shared = 0, found = 0;
    const char *text = ph_text_str(&line->text), *first = NULL, *name;
    if (line->cursor != line->text.length || !length)
        return;
    for (size_t i = 0; (name = name_at(i)); i++) {
        if (strncmp(name, text, length) || (first && !strcmp(first, name)))
            continue;
        shared = first && shared_prefix(first, name) < shared ? shared_prefix(first, name)
                 : first                                      ? shared
                                                              : strlen(name);
        first = first ? first : name;
        if (line->hint.length < HINT_MAX)
            ph_text_printf(&line->hint, "%s%s", found ? "  " : "", name);
        found++;
    }
    if (found < 2)
        ph_text_clear(&line->hint);
    if (!found)
        ph_text_printf(&line->hint, "no command begins with \"%s\"", text);
    if (first && shared > length)
        insert(line, first + length, shared - length);
    if (found == 1)
        insert(line, " ", 1);
}
