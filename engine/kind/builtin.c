/*
 * The built-in modules counter, kv, echo and crash, so that everything can be tried without writing
 * C. They are also the samples to read before writing one: see prochub.h. The fifth is
 * builtin_blob.c.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/alloc.h"
#include "engine/kind/modules.h"
#include "engine/limits.h"
#include "engine/text.h"

/* If `text` begins with `word` and a blank (or ends there), what follows it; else NULL. */
static const char *after(const char *text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(text, word, length) != 0 || (text[length] && text[length] != ' '))
        return NULL;
    return text + length + (text[length] == ' ');
}

static void unknown(struct ph_context *context, const char *what, const char *usage)
{
    ph_reply_error(context, "'%.80s': use %s", what, usage);
}

static void free_state(struct ph_context *context, void *state)
{
    (void)context;
    ph_free(state);
}

/* ---- counter: `inc [N]`, `get`; with args=merge=sum counts are added when they meet ---- */

struct counter {
    int64_t count;
    bool sum;
};

static int counter_init(struct ph_context *context, const char *args, void **state)
{
    if (args[0] && strcmp(args, "merge=sum") != 0) {
        ph_fail(context, "args=%s: use args=merge=sum or none", args);
        return PH_EUSAGE;
    }
    struct counter *counter = ph_alloc(sizeof *counter);
    counter->sum = args[0] != 0;
    *state = counter;
    return 0;
}

static int counter_handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    struct counter *counter = state;
    const char *amount = after(message->data, "inc");
    uint64_t number = 1;
    if (amount && (!*amount || ph_parse_uint(amount, INT32_MAX, &number))) {
        counter->count += (int64_t)number;
        ph_replyf(context, "%lld", (long long)counter->count);
    } else if (strcmp(message->data, "get") == 0) {
        ph_replyf(context, "%lld", (long long)counter->count);
    } else {
        unknown(context, message->data, "inc [N] or get");
    }
    return PH_HANDLER_OK;
}

static int counter_save(struct ph_context *context, void *state)
{
    const struct counter *counter = state;
    ph_save(context, &counter->count, sizeof counter->count);
    return 0;
}

static int counter_load(struct ph_context *context, void *state, const void *data, size_t length)
{
    (void)context;
    struct counter *counter = state;
    if (length != sizeof counter->count)
        return PH_EUSAGE;
    memcpy(&counter->count, data, length);
    return 0;
}

static int counter_merge(struct ph_context *context, void *state, const void *data, size_t length,
                         const struct ph_merge_info *info)
{
    (void)info;
    struct counter *counter = state;
    int64_t other;
    if (!counter->sum) {
        ph_fail(context, "it was not started with args=merge=sum");
        return PH_EUNSUPPORTED;
    }
    if (length != sizeof other)
        return PH_EUSAGE;
    memcpy(&other, data, length);
    counter->count += other;
    return 0;
}

const struct ph_module ph_module_counter = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "counter",
    .summary = "counts: send inc [N], call get",
    .init = counter_init,
    .handle = counter_handle,
    .terminate = free_state,
    .save = counter_save,
    .load = counter_load,
    .merge = counter_merge,
};

/* ---- kv: `set K V`, `get K`, `size` ---- */

enum { KV_ENTRIES_MAX = 10000 };

struct kv {
    struct pair {
        char *key, *value;
    } * pairs; /* sorted by key */
    size_t count, capacity;
};

static int kv_init(struct ph_context *context, const char *args, void **state)
{
    (void)context;
    (void)args;
    *state = ph_alloc(sizeof(struct kv));
    return 0;
}

static size_t kv_position(const struct kv *kv, const char *key, bool *found)
{
    size_t low = 0, high = kv->count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(kv->pairs[middle].key, key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void kv_insert(struct kv *kv, size_t at, const char *key, const char *value)
{
    if (kv->count == kv->capacity) {
        kv->capacity = kv->capacity ? kv->capacity * 2 : 8;
        kv->pairs = ph_realloc(kv->pairs, kv->capacity * sizeof *kv->pairs);
    }
    memmove(kv->pairs + at + 1, kv->pairs + at, (kv->count - at) * sizeof *kv->pairs);
    kv->pairs[at] = (struct pair){
        .key = ph_copy_text(key, strlen(key)),
        .value = ph_copy_text(value, strlen(value)),
    };
    kv->count++;
}

static void kv_set(struct ph_context *context, struct kv *kv, const char *rest)
{
    const char *blank = strchr(rest, ' ');
    if (!blank || blank == rest) {
        unknown(context, rest, "set KEY VALUE");
        return;
    }
    char *key = ph_copy_text(rest, (size_t)(blank - rest));
    bool found;
    size_t at = kv_position(kv, key, &found);
    if (found) {
        ph_free(kv->pairs[at].value);
        kv->pairs[at].value = ph_copy_text(blank + 1, strlen(blank + 1));
        ph_replyf(context, "ok");
    } else if (kv->count == KV_ENTRIES_MAX) {
        ph_reply_error(context, "full: %d keys", KV_ENTRIES_MAX);
    } else {
        kv_insert(kv, at, key, blank + 1);
        ph_replyf(context, "ok");
    }
    ph_free(key);
}

static void kv_get(struct ph_context *context, const struct kv *kv, const char *key)
{
    bool found;
    size_t at = kv_position(kv, key, &found);
    if (found)
        ph_reply(context, kv->pairs[at].value, strlen(kv->pairs[at].value));
    else
        ph_reply_error(context, "no key '%.80s'", key);
}

static int kv_handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    const char *rest;
    if ((rest = after(message->data, "set")))
        kv_set(context, state, rest);
    else if ((rest = after(message->data, "get")) && *rest)
        kv_get(context, state, rest);
    else if (strcmp(message->data, "size") == 0)
        ph_replyf(context, "%zu", ((struct kv *)state)->count);
    else
        unknown(context, message->data, "set KEY VALUE, get KEY or size");
    return PH_HANDLER_OK;
}

/* Keys and values in turn, each with its NUL. */
static int kv_save(struct ph_context *context, void *state)
{
    const struct kv *kv = state;
    for (size_t i = 0; i < kv->count; i++) {
        ph_save(context, kv->pairs[i].key, strlen(kv->pairs[i].key) + 1);
        ph_save(context, kv->pairs[i].value, strlen(kv->pairs[i].value) + 1);
    }
    return 0;
}

/* The text at *at, which moves behind it; NULL when no NUL ends it. */
static const char *next_text(const char **at, const char *end)
{
    const char *text = *at, *nul = memchr(text, 0, (size_t)(end - text));
    if (nul)
        *at = nul + 1;
    return nul ? text : NULL;
}

static int kv_load(struct ph_context *context, void *state, const void *data, size_t length)
{
    struct kv *kv = state;
    const char *at = data, *end = at + length;
    while (at < end) {
        bool found = false;
        const char *key = next_text(&at, end), *value = key ? next_text(&at, end) : NULL;
        size_t place = value ? kv_position(kv, key, &found) : 0;
        if (!value || found || kv->count == KV_ENTRIES_MAX) {
            ph_fail(context, "the %zu bytes are no pairs", length);
            return PH_EUSAGE;
        }
        kv_insert(kv, place, key, value);
    }
    return 0;
}

/* How many of the pairs of a saved state have a key that `kv` lacks; false: they are no pairs. */
static bool kv_count_new(const struct kv *kv, const char *at, const char *end, size_t *count)
{
    *count = 0;
    while (at < end) {
        bool found;
        const char *key = next_text(&at, end), *value = key ? next_text(&at, end) : NULL;
        if (!value)
            return false;
        kv_position(kv, key, &found);
        *count += !found;
    }
    return true;
}

/* Takes the keys that only the other one has; of those that both have this one's value stays. */
static int kv_merge(struct ph_context *context, void *state, const void *data, size_t length,
                    const struct ph_merge_info *info)
{
    struct kv *kv = state;
    const char *at = data, *end = at + length;
    size_t count;
    (void)info;
    if (!kv_count_new(kv, at, end, &count)) {
        ph_fail(context, "the %zu bytes are no pairs", length);
        return PH_EUSAGE;
    }
    if (count > KV_ENTRIES_MAX - kv->count) {
        ph_fail(context, "both together have more than %d keys", KV_ENTRIES_MAX);
        return PH_ELIMIT;
    }
    while (at < end) {
        bool found;
        const char *key = next_text(&at, end), *value = next_text(&at, end);
        size_t place = kv_position(kv, key, &found);
        if (!found)
            kv_insert(kv, place, key, value);
    }
    return 0;
}

static void kv_terminate(struct ph_context *context, void *state)
{
    struct kv *kv = state;
    for (size_t i = 0; i < kv->count; i++) {
        ph_free(kv->pairs[i].key);
        ph_free(kv->pairs[i].value);
    }
    ph_free(kv->pairs);
    free_state(context, kv);
}

const struct ph_module ph_module_kv = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "kv",
    .summary = "a small key-value store: call set K V, get K, size",
    .init = kv_init,
    .handle = kv_handle,
    .terminate = kv_terminate,
    .save = kv_save,
    .load = kv_load,
    .merge = kv_merge,
};

/* ---- echo: answers what it is told ---- */

static int stateless_init(struct ph_context *context, const char *args, void **state)
{
    (void)context;
    (void)args;
    *state = NULL;
    return 0;
}

static int echo_handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    (void)state;
    ph_reply(context, message->data, message->length);
    return PH_HANDLER_OK;
}

const struct ph_module ph_module_echo = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "echo",
    .summary = "answers every call with its text",
    .init = stateless_init,
    .handle = echo_handle,
};

/* ---- crash: `crash` fails its handler, `stop` ends it, `block D` blocks it ---- */

static int crash_init(struct ph_context *context, const char *args, void **state)
{
    if (strcmp(args, "init") == 0) {
        ph_fail(context, "it was told to fail in init");
        return PH_EFAILED;
    }
    return stateless_init(context, args, state);
}

static void block(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

static int crash_handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    (void)state;
    const char *rest = after(message->data, "block");
    uint64_t ms;
    if (strcmp(message->data, "crash") == 0) {
        ph_fail(context, "it was told to crash");
        return PH_EFAILED;
    }
    if (strcmp(message->data, "stop") == 0)
        return PH_HANDLER_STOP;
    if (strcmp(message->data, "odd") == 0)
        return 42; /* no code of the module interface: must be contained */
    if (rest && ph_parse_duration(rest, &ms)) {
        block(ms);
        ph_replyf(context, "blocked");
    } else {
        unknown(context, message->data, "crash, stop or block DURATION");
    }
    return PH_HANDLER_OK;
}

const struct ph_module ph_module_crash = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "crash",
    .summary = "for trying failures: send crash, stop, block DURATION",
    .init = crash_init,
    .handle = crash_handle,
};
