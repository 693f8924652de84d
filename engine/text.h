/*
 * A growing text buffer, with the escapes that make foreign text safe.
 *
 * Caller's memory, one thread. The text is always NUL-terminated; it may hold NULs when bytes were
 * appended raw, so use `length`. Grows by doubling; allocation failure aborts (ph_alloc), so a
 * caller bounds what comes from outside before it appends.
 */
#ifndef PH_ENGINE_TEXT_H
#define PH_ENGINE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ph_text {
    char *data; /* NULL until the first append */
    size_t length;
    size_t capacity;
};

#define PH_TEXT_INIT \
    (struct ph_text) \
    {                \
        0            \
    }

void ph_text_fini(struct ph_text *);
void ph_text_clear(struct ph_text *);            /* keeps the memory */
const char *ph_text_str(const struct ph_text *); /* never NULL */

void ph_text_append(struct ph_text *, const void *bytes, size_t length);
void ph_text_reserve(struct ph_text *, size_t more);  /* room for so many bytes */
void ph_text_resize(struct ph_text *, size_t length); /* bytes that are new are 0 */
void ph_text_put(struct ph_text *, const char *text);
void ph_text_printf(struct ph_text *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD; control bytes \u00XX. */
void ph_text_json(struct ph_text *, const char *text, size_t length);

/* Text for a terminal or a one-line field: control bytes, DEL and bytes that are not UTF-8 become
 * \xNN, bidirectional and zero-width controls \u{XXXX}, a backslash \\. One line stays one line. */
void ph_text_printable(struct ph_text *, const char *text, size_t length);

/* RFC 3339 in UTC with milliseconds, from milliseconds since 1970: 2026-11-22T19:12:00.123Z */
void ph_text_time(struct ph_text *, int64_t wall_ms);

/* "10 s", or "1500 ms" when it is no whole number of seconds. */
void ph_text_duration(struct ph_text *, uint64_t ms);

/* The UTF-8 sequence at `text`: its length in bytes (1..4) and, if `rune` is not NULL, its code
 * point; 0 when it is malformed, overlong, a surrogate or cut off by `length`. */
size_t ph_utf8_next(const char *text, size_t length, uint32_t *rune);

/* The UTF-8 bytes of a code point (up to 0x10ffff): how many. */
size_t ph_utf8_put(char bytes[4], uint32_t rune);

/* Reads a duration ("250ms", "5s", "2m", "1h" or a bare number of ms): false if malformed or more
 * than 10 years. */
bool ph_parse_duration(const char *text, uint64_t *ms);

/* Reads a size ("64k", "10M", "1G" or a bare number of bytes, powers of 1024). */
bool ph_parse_size(const char *text, uint64_t *bytes);

/* Reads an unsigned decimal number of at most `max`. No sign, no space, no empty text. */
bool ph_parse_uint(const char *text, uint64_t max, uint64_t *value);

/* The same of `length` bytes, which need not end in a NUL. */
bool ph_parse_digits(const char *text, size_t length, uint64_t *value);

#endif
