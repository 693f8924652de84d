/*
 * A module child in one file: counts whom it greeted and remembers it every second.
 *
 *     cc -shared -fPIC -I PROCHUB_SOURCE -o greeter.so greeter.c
 *     prochub --modules . -e 'start g module=greeter args=Hello' -e 'call g Ada'
 */
#include <stdlib.h>
#include <string.h>

#include "engine/prochub.h"

enum { TIMER_SECOND };

struct greeter {
    char word[32];
    unsigned greeted, seconds;
};

static int greeter_init(struct ph_context *context, const char *args, void **state)
{
    struct greeter *greeter = calloc(1, sizeof *greeter);
    if (!greeter || strlen(args) >= sizeof greeter->word) {
        free(greeter);
        ph_fail(context, "args=WORD takes at most %zu bytes", sizeof greeter->word - 1);
        return PH_EUSAGE;
    }
    memcpy(greeter->word, *args ? args : "Hello", *args ? strlen(args) : 5);
    *state = greeter;
    return ph_timer(context, TIMER_SECOND, 1000);
}

static int greeter_handle(struct ph_context *context, void *state,
                          const struct ph_message *message)
{
    struct greeter *greeter = state;
    if (message->type == PH_MESSAGE_TIMER) {
        greeter->seconds++;
        return ph_timer(context, TIMER_SECOND, 1000);
    }
    greeter->greeted++;
    ph_replyf(context, "%s, %s! You are number %u after %u s.", greeter->word, message->data,
              greeter->greeted, greeter->seconds);
    return PH_HANDLER_OK;
}

static void greeter_terminate(struct ph_context *context, void *state)
{
    (void)context;
    free(state);
}

extern const struct ph_module prochub_module;

const struct ph_module prochub_module = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "greeter",
    .summary = "greets: call NAME",
    .init = greeter_init,
    .handle = greeter_handle,
    .terminate = greeter_terminate,
};
