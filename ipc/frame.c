#include "ipc/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/alloc.h"
#include "ipc/control.h"

enum { FLAG_QUOTED = 1, WORD_BYTES_MIN = 4 + 4 * 4 + 1 };

/* ---- Writing -------------------------------------------------------------------------------- */

static void encode_u32(unsigned char *bytes, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(number >> (8 * i));
}

static void put_u32(struct ph_text *out, uint32_t number)
{
    unsigned char bytes[4];
    encode_u32(bytes, number);
    ph_text_append(out, bytes, sizeof bytes);
}

static void put_u8(struct ph_text *out, unsigned number)
{
    ph_text_append(out, &(unsigned char){(unsigned char)number}, 1);
}

static void put_text(struct ph_text *out, const char *text, size_t length)
{
    put_u32(out, (uint32_t)length);
    ph_text_append(out, text, length);
}

size_t ph_frame_begin(struct ph_text *out, enum ph_frame_type type)
{
    size_t start = out->length;
    put_u32(out, 0);
    put_u8(out, type);
    return start;
}

void ph_frame_end(struct ph_text *out, size_t start)
{
    encode_u32((unsigned char *)out->data + start, (uint32_t)(out->length - start - 4));
}

void ph_frame_put_run(struct ph_text *out, const char *script, const struct ph_statement *statement,
                      enum ph_form form)
{
    size_t start = ph_frame_begin(out, PH_FRAME_RUN);
    put_u8(out, form);
    put_text(out, script, strlen(script));
    put_u32(out, (uint32_t)statement->argv);
    put_u8(out, statement->tolerated);
    put_u32(out, (uint32_t)statement->count);
    for (size_t i = 0; i < statement->count; i++) {
        const struct ph_word *word = &statement->words[i];
        put_text(out, word->text, word->length);
        put_u32(out, word->line);
        put_u32(out, word->column);
        put_u32(out, word->literal);
        put_u32(out, word->literal_end);
        put_u8(out, word->quoted ? FLAG_QUOTED : 0);
    }
    ph_frame_end(out, start);
}

int ph_frame_write(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

/* ---- Reading -------------------------------------------------------------------------------- */

struct cursor {
    const unsigned char *at, *end;
    bool bad; /* something was not there; what was read since is 0 */
};

static uint32_t decode_u32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static const unsigned char *take(struct cursor *cursor, size_t length)
{
    if (cursor->bad || (size_t)(cursor->end - cursor->at) < length) {
        cursor->bad = true;
        return NULL;
    }
    const unsigned char *bytes = cursor->at;
    cursor->at += length;
    return bytes;
}

static uint32_t take_u32(struct cursor *cursor)
{
    const unsigned char *bytes = take(cursor, 4);
    return bytes ? decode_u32(bytes) : 0;
}

static unsigned take_u8(struct cursor *cursor)
{
    const unsigned char *byte = take(cursor, 1);
    return byte ? *byte : 0;
}

size_t ph_frame_length(const char *bytes, size_t available)
{
    if (available < 4)
        return 0;
    uint32_t length = decode_u32((const unsigned char *)bytes);
    return length == 0 || length > PH_CONTROL_FRAME_MAX ? SIZE_MAX : (size_t)length + 4;
}

/* A text without NULs, as the words of a script are; copied to *to with a NUL, which moves on. */
static size_t take_text(struct cursor *cursor, char **to)
{
    uint32_t length = take_u32(cursor);
    const unsigned char *bytes = take(cursor, length);
    if (!bytes || memchr(bytes, '\0', length)) {
        cursor->bad = true;
        return 0;
    }
    memcpy(*to, bytes, length);
    (*to)[length] = '\0';
    *to += length + 1;
    return length;
}

static void take_word(struct cursor *cursor, struct ph_word *word, char **to)
{
    word->text = *to;
    word->length = take_text(cursor, to);
    word->line = take_u32(cursor);
    word->column = take_u32(cursor);
    word->literal = take_u32(cursor);
    word->literal_end = take_u32(cursor);
    unsigned flags = take_u8(cursor);
    word->quoted = flags & FLAG_QUOTED;
    if (flags & ~(unsigned)FLAG_QUOTED || word->literal > word->literal_end ||
        word->literal_end > word->length)
        cursor->bad = true;
}

/* Whatever the frame says, `count` words take at least WORD_BYTES_MIN bytes each, so the memory for
 * them is bounded by the frame. */
static void take_statement(struct cursor *cursor, struct ph_frame_run *run, char *to)
{
    run->statement.argv = take_u32(cursor);
    run->statement.tolerated = take_u8(cursor) != 0;
    uint32_t count = take_u32(cursor);
    if (cursor->bad || count == 0 || count > (size_t)(cursor->end - cursor->at) / WORD_BYTES_MIN ||
        run->statement.argv == 0 || run->statement.argv > count) {
        cursor->bad = true;
        return;
    }
    run->statement.words = ph_try_alloc(count * sizeof *run->statement.words);
    if (!run->statement.words) {
        cursor->bad = true;
        return;
    }
    run->statement.count = count;
    for (uint32_t i = 0; i < count && !cursor->bad; i++)
        take_word(cursor, &run->statement.words[i], &to);
}

int ph_frame_read_run(const char *body, size_t length, struct ph_frame_run *run)
{
    struct cursor cursor = {.at = (const unsigned char *)body,
                            .end = (const unsigned char *)body + length};
    /* Every text is shorter than what carries it: its NUL fits where its length stood. */
    *run = (struct ph_frame_run){.texts = ph_try_alloc(length + 1)};
    if (!run->texts)
        return -ENOMEM;
    char *to = run->texts;
    unsigned form = take_u8(&cursor);
    run->form = (enum ph_form)form;
    run->script = to;
    take_text(&cursor, &to);
    take_statement(&cursor, run, to);
    if (!cursor.bad && form <= PH_FORM_TSV && cursor.at == cursor.end)
        return 0;
    ph_frame_run_fini(run);
    return PH_EUSAGE;
}

void ph_frame_run_fini(struct ph_frame_run *run)
{
    ph_free(run->statement.words);
    ph_free(run->texts);
    *run = (struct ph_frame_run){0};
}

int ph_frame_read_exit(const char *body, size_t length, int *code)
{
    struct cursor cursor = {.at = (const unsigned char *)body,
                            .end = (const unsigned char *)body + length};
    uint32_t number = take_u32(&cursor);
    if (cursor.bad || cursor.at != cursor.end)
        return PH_EUSAGE;
    memcpy(code, &number, sizeof *code);
    return 0;
}
