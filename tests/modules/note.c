/* A module whose state is the last message: text, which two instances cannot merge. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/prochub.h"

struct note {
    char text[256];
};

static int init(struct ph_context *context, const char *args, void **state)
{
    struct note *note = calloc(1, sizeof *note);
    if (!note) {
        ph_fail(context, "no memory");
        return -12;
    }
    snprintf(note->text, sizeof note->text, "%s", args);
    *state = note;
    return 0;
}

static int handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    struct note *note = state;
    if (strcmp(message->data, "get") == 0)
        ph_reply(context, note->text, strlen(note->text));
    else
        snprintf(note->text, sizeof note->text, "%s", message->data);
    return PH_HANDLER_OK;
}

static void terminate(struct ph_context *context, void *state)
{
    (void)context;
    free(state);
}

static int save(struct ph_context *context, void *state)
{
    const struct note *note = state;
    ph_save(context, note->text, strlen(note->text));
    return 0;
}

static int load(struct ph_context *context, void *state, const void *data, size_t length)
{
    struct note *note = state;
    (void)context;
    snprintf(note->text, sizeof note->text, "%.*s", (int)length, (const char *)data);
    return 0;
}

extern const struct ph_module prochub_module;

const struct ph_module prochub_module = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "note",
    .summary = "keeps its last message",
    .init = init,
    .handle = handle,
    .terminate = terminate,
    .save = save,
    .load = load,
};
