/*
 * A child of prochub that takes messages, in C: include this, fill in a struct prochub_child, call
 * prochub_child_run from main. Start it with `socket=yes`. The protocol is in docs/processes.md.
 *
 * No library is needed. One thread. All functions but `call` and `cast` may be left out.
 */
#ifndef PROCHUB_CHILD_H
#define PROCHUB_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a function writes: a reply, a state, or why it failed. */
struct prochub_out {
    char *data;
    size_t length, capacity;
};

/* Each returns 0, or another number: it failed, and `out` says why. Texts end in a NUL that
 * `length` does not count. `self` is what prochub_child_run was given. */
struct prochub_child {
    /* A message; one that wants the reply in `out`. */
    int (*cast)(void *self, const char *text, size_t length, struct prochub_out *out);
    int (*call)(void *self, const char *text, size_t length, struct prochub_out *out);
    /* Write the state to `out` / take over a state / join another one's state into one's own. */
    int (*save)(void *self, struct prochub_out *out);
    int (*load)(void *self, const char *state, size_t length, struct prochub_out *out);
    int (*merge)(void *self, const char *state, size_t length, struct prochub_out *out);
    /* From now on it works / it stands by. `epoch` numbers the activations of this child. */
    void (*role)(void *self, int active, unsigned long long epoch);
};

static inline void prochub_put(struct prochub_out *out, const void *bytes, size_t length)
{
    if (out->length + length + 1 > out->capacity) {
        out->capacity = 2 * (out->length + length + 1);
        out->data = realloc(out->data, out->capacity);
        if (!out->data)
            abort();
    }
    memcpy(out->data + out->length, bytes, length);
    out->length += length;
    out->data[out->length] = '\0';
}

static inline void prochub_say(struct prochub_out *out, const char *text)
{
    prochub_put(out, text, strlen(text));
}

/* What stands for anything but printable ASCII is \0ooo in octal. */
static inline void prochub_write(FILE *to, const char *verb, const char *text, size_t length)
{
    fputs(verb, to);
    if (length)
        putc(' ', to);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        int edge = i == 0 || i + 1 == length;
        if (byte == '\\')
            fputs("\\\\", to);
        else if (byte < ' ' || byte > '~' || (byte == ' ' && edge))
            fprintf(to, "\\0%03o", byte);
        else
            putc(byte, to);
    }
    putc('\n', to);
}

/* In place; the length of what it stands for. */
static inline size_t prochub_unescape(char *text)
{
    size_t to = 0;
    for (char *from = text; *from;) {
        char byte = *from++;
        if (byte == '\\' && from[0] == '0' && from[1] && from[2] && from[3]) {
            char octal[4] = {from[1], from[2], from[3], '\0'};
            byte = (char)strtol(octal, NULL, 8);
            from += 4;
        } else if (byte == '\\' && *from) {
            byte = *from++;
        }
        text[to++] = byte;
    }
    text[to] = '\0';
    return to;
}

static inline void prochub_write_state(FILE *to, const struct prochub_out *out)
{
    enum { PIECE = 32768 }; /* a line stands for 1 MiB at most */
    for (size_t at = 0; at < out->length; at += PIECE) {
        size_t left = out->length - at;
        prochub_write(to, "state", out->data + at, left < PIECE ? left : PIECE);
    }
}

static inline int prochub_cannot(struct prochub_out *out)
{
    prochub_say(out, "it cannot do that");
    return 1;
}

/* Does what a line says: 0, or 1 with the reason in `out`. `state` holds the pieces so far. */
static inline int prochub_do(const struct prochub_child *child, void *self, const char *verb,
                             const char *text, size_t length, struct prochub_out *state,
                             struct prochub_out *out)
{
    if (!strcmp(verb, "cast"))
        return child->cast ? child->cast(self, text, length, out) : prochub_cannot(out);
    if (!strcmp(verb, "call"))
        return child->call ? child->call(self, text, length, out) : prochub_cannot(out);
    if (!strcmp(verb, "save"))
        return child->save ? child->save(self, out) : prochub_cannot(out);
    if (!strcmp(verb, "role")) {
        int active = !strncmp(text, "active", 6);
        if (child->role)
            child->role(self, active, active ? strtoull(text + 6, NULL, 10) : 0);
        return 0;
    }
    const char *bytes = state->data ? state->data : "";
    if (!strcmp(verb, "load") && child->load)
        return child->load(self, bytes, state->length, out);
    if (!strcmp(verb, "merge") && child->merge)
        return child->merge(self, bytes, state->length, out);
    return prochub_cannot(out);
}

static inline void prochub_answer(FILE *to, const char *verb, int failed, struct prochub_out *out)
{
    int saved = !failed && !strcmp(verb, "save");
    if (saved)
        prochub_write_state(to, out);
    int text = failed || !strcmp(verb, "call");
    prochub_write(to, failed ? "error" : "ok", out->data, text ? out->length : 0);
    fflush(to);
}

/* Serves until the node has nothing more to say (0). -1: this was not started with socket=yes. */
static inline int prochub_child_run(const struct prochub_child *child, void *self)
{
    const char *fd = getenv("PROCHUB_SOCKET");
    FILE *from = fd ? fdopen(atoi(fd), "r") : NULL, *to = fd ? fdopen(atoi(fd), "w") : NULL;
    struct prochub_out state = {0};
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    if (!from || !to)
        return -1;
    while ((length = getline(&line, &size, from)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        struct prochub_out out = {0};
        char *text = line + strcspn(line, " ");
        if (*text)
            *text++ = '\0';
        size_t bytes = prochub_unescape(text);
        if (!strcmp(line, "state")) {
            prochub_put(&state, text, bytes);
            continue;
        }
        int failed = prochub_do(child, self, line, text, bytes, &state, &out) != 0;
        if (!strcmp(line, "load") || !strcmp(line, "merge"))
            state.length = 0;
        prochub_answer(to, line, failed, &out);
        free(out.data);
    }
    free(state.data);
    free(line);
    return 0;
}

#endif
