/*
 * A child that knows whether its messages came once and in order: "SENDER NUMBER", where each
 * sender counts from 1. `get` answers "messages=N faults=N".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/prochub.h"

enum { SENDERS = 16, NAME = 32 };

struct ledger {
    struct {
        char name[NAME];
        unsigned long last;
    } senders[SENDERS];
    unsigned long messages, faults;
    char first_fault[96];
};

static int init(struct ph_context *context, const char *args, void **state)
{
    (void)args;
    *state = calloc(1, sizeof(struct ledger));
    if (*state)
        return 0;
    ph_fail(context, "no memory");
    return -12;
}

static void note(struct ledger *ledger, const char *name, unsigned long number)
{
    unsigned i = 0;
    while (i < SENDERS - 1 && ledger->senders[i].name[0] &&
           strcmp(ledger->senders[i].name, name) != 0)
        i++;
    if (!ledger->senders[i].name[0])
        snprintf(ledger->senders[i].name, NAME, "%s", name);
    ledger->messages++;
    if (number != ledger->senders[i].last + 1 && ledger->faults++ == 0)
        snprintf(ledger->first_fault, sizeof ledger->first_fault, "%s: %lu after %lu", name, number,
                 ledger->senders[i].last);
    ledger->senders[i].last = number;
}

static int handle(struct ph_context *context, void *state, const struct ph_message *message)
{
    struct ledger *ledger = state;
    char name[NAME];
    unsigned long number;
    if (strcmp(message->data, "get") == 0)
        ph_replyf(context, "messages=%lu faults=%lu %s", ledger->messages, ledger->faults,
                  ledger->first_fault);
    else if (sscanf(message->data, "%31s %lu", name, &number) == 2)
        note(ledger, name, number);
    return PH_HANDLER_OK;
}

static int save(struct ph_context *context, void *state)
{
    ph_save(context, state, sizeof(struct ledger));
    return 0;
}

static int load(struct ph_context *context, void *state, const void *data, size_t length)
{
    if (length != sizeof(struct ledger)) {
        ph_fail(context, "%zu bytes are no ledger", length);
        return PH_EUSAGE;
    }
    memcpy(state, data, length);
    return 0;
}

static void terminate(struct ph_context *context, void *state)
{
    (void)context;
    free(state);
}

extern const struct ph_module prochub_module;

const struct ph_module prochub_module = {
    .abi = PH_MODULE_ABI,
    .size = sizeof(struct ph_module),
    .name = "ledger",
    .summary = "counts messages of numbered senders",
    .init = init,
    .handle = handle,
    .terminate = terminate,
    .save = save,
    .load = load,
};
