#include "ipc/lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/error.h"
#include "engine/text.h"

static int refuse(const struct ph_lexer *lexer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An error at the place the lexer is at. */
static int refuse(const struct ph_lexer *lexer, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lexer->error->line = lexer->line;
    lexer->error->column = lexer->column;
    return ph_error_set(&lexer->error->error, PH_EUSAGE, "%s", text);
}

static bool at_end(const struct ph_lexer *lexer)
{
    return lexer->at >= lexer->end;
}

/* The byte `ahead` of here, or '\0' beyond the end. */
static char peek(const struct ph_lexer *lexer, size_t ahead)
{
    return (size_t)(lexer->end - lexer->at) > ahead ? lexer->at[ahead] : '\0';
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* The length of the line end `ahead` of here: 1, 2 (CR LF) or 0. */
static size_t line_end(const struct ph_lexer *lexer, size_t ahead)
{
    if (peek(lexer, ahead) == '\n')
        return 1;
    return peek(lexer, ahead) == '\r' && peek(lexer, ahead + 1) == '\n' ? 2 : 0;
}

static void step(struct ph_lexer *lexer, size_t bytes)
{
    lexer->at += bytes;
    lexer->column++;
}

static int check_line(const struct ph_lexer *lexer)
{
    size_t rest = (size_t)(lexer->end - lexer->at);
    if (rest <= PH_SCRIPT_LINE_MAX)
        return 0;
    if (memchr(lexer->at, '\n', PH_SCRIPT_LINE_MAX + 1))
        return 0;
    return refuse(lexer, "the line is longer than 1 MiB: split it with \\ at the end of a line");
}

static int next_line(struct ph_lexer *lexer, size_t bytes)
{
    lexer->at += bytes;
    lexer->line++;
    lexer->column = 1;
    return check_line(lexer);
}

static void put(struct ph_lexer *lexer, const char *bytes, size_t length)
{
    memmove(lexer->out, bytes, length);
    lexer->out += length;
    lexer->in_name = false;
}

/* A quote or a joined line ends a variable's name: mark it, for a letter may follow. The mark has
 * the room of the bytes that are left out here. */
static void end_name(struct ph_lexer *lexer)
{
    static const char mark = (char)PH_WORD_VARIABLE_END;
    if (lexer->in_name)
        put(lexer, &mark, 1);
}

static int join_line(struct ph_lexer *lexer)
{
    end_name(lexer);
    return next_line(lexer, 1 + line_end(lexer, 1));
}

/* The characters [from, out) are literal. */
static void mark_literal(struct ph_lexer *lexer, const char *from)
{
    struct ph_word *word = &lexer->word;
    uint32_t first = (uint32_t)(from - word->text), last = (uint32_t)(lexer->out - word->text);
    if (!word->quoted && !word->variable)
        word->literal = first;
    word->literal_end = last;
}

static bool starts_name(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_';
}

static bool at_variable(const struct ph_lexer *lexer)
{
    return peek(lexer, 0) == '$' && starts_name(peek(lexer, 1));
}

/* $NAME: the '$' has the room of the mark. */
static void read_variable(struct ph_lexer *lexer)
{
    static const char mark = (char)PH_WORD_VARIABLE;
    put(lexer, &mark, 1);
    step(lexer, 1);
    while (starts_name(peek(lexer, 0)) || (peek(lexer, 0) >= '0' && peek(lexer, 0) <= '9')) {
        put(lexer, lexer->at, 1);
        step(lexer, 1);
    }
    lexer->in_name = true;
}

/* One character as it is. `where` says what a control byte is refused in, and what to do. */
static int read_character(struct ph_lexer *lexer, const char *where)
{
    unsigned char byte = (unsigned char)*lexer->at;
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
        return refuse(lexer, "control byte 0x%02x in %s", byte, where);
    size_t bytes = ph_utf8_next(lexer->at, (size_t)(lexer->end - lexer->at), NULL);
    if (!bytes)
        return refuse(lexer, "byte 0x%02x is not UTF-8", byte);
    put(lexer, lexer->at, bytes);
    step(lexer, bytes);
    return 0;
}

static int unclosed(struct ph_lexer *lexer, uint32_t line, uint32_t column, char quote)
{
    lexer->line = line;
    lexer->column = column;
    return refuse(lexer, "the quote %c is not closed before the end of the line", quote);
}

static int read_raw(struct ph_lexer *lexer)
{
    uint32_t line = lexer->line, column = lexer->column;
    step(lexer, 1);
    while (peek(lexer, 0) != '\'') {
        if (at_end(lexer) || line_end(lexer, 0))
            return unclosed(lexer, line, column, '\'');
        int rc = read_character(lexer, "'…': write it as \\u{…} in \"…\"");
        if (rc)
            return rc;
    }
    step(lexer, 1);
    return 0;
}

static void put_rune(struct ph_lexer *lexer, uint32_t rune)
{
    char bytes[4];
    size_t length = ph_utf8_put(bytes, rune);
    put(lexer, bytes, length);
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* \u{HEX}: 1 to 6 digits. */
static int read_rune(struct ph_lexer *lexer)
{
    uint32_t rune = 0;
    size_t digits = 0;
    if (peek(lexer, 2) != '{')
        return refuse(lexer, "bad escape \\u: write \\u{2192}");
    while (digits < 6 && hex_digit(peek(lexer, 3 + digits)) >= 0)
        rune = rune << 4 | (uint32_t)hex_digit(peek(lexer, 3 + digits++));
    if (digits == 0 || peek(lexer, 3 + digits) != '}')
        return refuse(lexer, "bad escape \\u{: write 1 to 6 hexadecimal digits and }");
    if (rune == 0)
        return refuse(lexer, "\\u{0}: a word cannot hold a NUL");
    if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return refuse(lexer, "\\u{%x} is no character", (unsigned)rune);
    put_rune(lexer, rune);
    for (size_t i = 0; i < digits + 4; i++)
        step(lexer, 1);
    return 0;
}

static int read_escape(struct ph_lexer *lexer)
{
    static const char names[] = "nt\"\\$", bytes[] = "\n\t\"\\$";
    char name = peek(lexer, 1);
    if (line_end(lexer, 1))
        return join_line(lexer);
    if (name == 'u')
        return read_rune(lexer);
    const char *found = name ? strchr(names, name) : NULL;
    if (!found)
        return refuse(lexer, "bad escape: after \\ comes one of n t \" \\ $ u{…}");
    put(lexer, &bytes[found - names], 1);
    step(lexer, 1);
    step(lexer, 1);
    return 0;
}

static int read_double(struct ph_lexer *lexer)
{
    uint32_t line = lexer->line, column = lexer->column;
    step(lexer, 1);
    while (peek(lexer, 0) != '"') {
        int rc = 0;
        if (at_end(lexer) || line_end(lexer, 0))
            return unclosed(lexer, line, column, '"');
        if (*lexer->at == '\\') {
            rc = read_escape(lexer);
        } else if (at_variable(lexer)) {
            read_variable(lexer);
            lexer->word.variable = true; /* its quote already began the literal part */
        } else {
            rc = read_character(lexer, "\"…\": write it as \\u{…}");
        }
        if (rc)
            return rc;
    }
    step(lexer, 1);
    return 0;
}

/* A part in quotes. */
static int read_quoted(struct ph_lexer *lexer)
{
    end_name(lexer);
    const char *from = lexer->out;
    mark_literal(lexer, from);
    lexer->word.quoted = true;
    int rc = *lexer->at == '"' ? read_double(lexer) : read_raw(lexer);
    if (rc)
        return rc;
    end_name(lexer);
    mark_literal(lexer, from);
    return 0;
}

static int read_part(struct ph_lexer *lexer)
{
    char byte = *lexer->at;
    if (byte == '"' || byte == '\'')
        return read_quoted(lexer);
    if (byte == '\\' && line_end(lexer, 1))
        return join_line(lexer);
    if (!at_variable(lexer))
        return read_character(lexer, "a bare word: quote it, and write it as \\u{…}");
    const char *from = lexer->out;
    read_variable(lexer);
    mark_literal(lexer, from);
    lexer->word.variable = true;
    return 0;
}

static bool has_operator(const char *text, size_t length)
{
    static const char operators[] = {'=', '!', '<', '>', '('};
    for (size_t i = 0; i < length; i++) {
        if (memchr(operators, text[i], sizeof operators))
            return true;
    }
    return false;
}

static int read_word(struct ph_lexer *lexer)
{
    struct ph_word *word = &lexer->word;
    *word = (struct ph_word){.text = lexer->out, .line = lexer->line, .column = lexer->column};
    lexer->in_name = false;
    while (!at_end(lexer) && !is_blank(*lexer->at) && !line_end(lexer, 0)) {
        int rc = read_part(lexer);
        if (rc)
            return rc;
    }
    word->length = (size_t)(lexer->out - word->text);
    *lexer->out++ = '\0';
    if (word->quoted && has_operator(word->text, word->literal))
        word->quoted = false;
    return 0;
}

/* Blanks, joined lines, and a comment up to the end of its line. */
static int skip(struct ph_lexer *lexer)
{
    while (!at_end(lexer)) {
        if (is_blank(*lexer->at)) {
            step(lexer, 1);
        } else if (*lexer->at == '\\' && line_end(lexer, 1)) {
            int rc = next_line(lexer, 1 + line_end(lexer, 1));
            if (rc)
                return rc;
        } else {
            break;
        }
    }
    if (peek(lexer, 0) == '#') {
        const char *end = memchr(lexer->at, '\n', (size_t)(lexer->end - lexer->at));
        lexer->at = end ? end : lexer->end;
    }
    return 0;
}

void ph_lexer_init(struct ph_lexer *lexer, const char *text, size_t length, char *decoded,
                   struct ph_script_error *error)
{
    static const char mark[] = "\xef\xbb\xbf";
    *lexer = (struct ph_lexer){
        .at = text, .end = text + length, .column = 1, .out = decoded, .error = error};
    if (length >= 3 && memcmp(text, mark, 3) == 0) /* of editors that mark UTF-8 */
        lexer->at += 3;
}

int ph_lexer_next(struct ph_lexer *lexer, enum ph_token *token)
{
    int rc = 0;
    if (lexer->line == 0) {
        lexer->line = 1;
        rc = check_line(lexer);
    }
    if (!rc)
        rc = skip(lexer);
    if (rc)
        return rc;
    if (at_end(lexer)) {
        *token = PH_TOKEN_END;
        return 0;
    }
    *token = PH_TOKEN_BREAK;
    if (line_end(lexer, 0))
        return next_line(lexer, line_end(lexer, 0));
    size_t left = (size_t)(lexer->end - lexer->at);
    if (*lexer->at == ';' && (left == 1 || is_blank(lexer->at[1]) || line_end(lexer, 1))) {
        step(lexer, 1);
        return 0;
    }
    *token = PH_TOKEN_WORD;
    return read_word(lexer);
}
