#include "tests/lib/lang_fake.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "ipc/command.h"

static bool child_known(const char *field)
{
    static const char *const names[] = {"id", "state", "tag", "restarts", "node"};
    for (size_t i = 0; i < PH_COUNT_OF(names); i++) {
        if (strcmp(names[i], field) == 0)
            return true;
    }
    return strncmp(field, "meta.", 5) == 0;
}

static enum ph_value_type child_type(const char *field)
{
    if (strcmp(field, "restarts") == 0)
        return PH_VALUE_NUMBER;
    return strcmp(field, "tag") == 0 ? PH_VALUE_LIST : PH_VALUE_TEXT;
}

static void set_text(struct ph_value *value, enum ph_value_type type, const char *text)
{
    *value = (struct ph_value){.type = type, .text = text, .length = strlen(text)};
}

static void child_value(void *subject, const char *field, struct ph_value *value)
{
    const struct ph_lang_child *child = subject;
    if (strcmp(field, "id") == 0)
        set_text(value, PH_VALUE_TEXT, child->id);
    else if (strcmp(field, "state") == 0)
        set_text(value, PH_VALUE_TEXT, child->state);
    else if (strcmp(field, "tag") == 0)
        set_text(value, PH_VALUE_LIST, child->tags);
    else if (strcmp(field, "node") == 0)
        set_text(value, PH_VALUE_TEXT, "n1");
    else if (strcmp(field, "meta.role") == 0 && child->role)
        set_text(value, PH_VALUE_TEXT, child->role);
    else if (strcmp(field, "restarts") == 0)
        *value = (struct ph_value){.type = PH_VALUE_NUMBER, .number = child->restarts};
}

const struct ph_resolver ph_child_resolver = {
    .known = child_known,
    .fields = "id, state, tag, restarts, node, meta.KEY",
    .type = child_type,
    .value = child_value,
};

static bool hub_known(const char *field)
{
    return strcmp(field, "nodes") == 0 || strcmp(field, "locked") == 0 ||
           strcmp(field, "count") == 0;
}

static enum ph_value_type hub_type(const char *field)
{
    return strcmp(field, "locked") == 0 ? PH_VALUE_BOOL : PH_VALUE_NUMBER;
}

static void hub_value(void *subject, const char *field, struct ph_value *value)
{
    const struct ph_lang_hub *hub = subject;
    if (strcmp(field, "locked") == 0)
        *value = (struct ph_value){.type = PH_VALUE_BOOL, .number = hub->locked};
    else if (strcmp(field, "nodes") == 0)
        *value = (struct ph_value){.type = PH_VALUE_NUMBER, .number = hub->nodes};
    else
        *value = (struct ph_value){.type = PH_VALUE_NUMBER, .number = hub->count};
}

static uint64_t hub_count(void *subject, const struct ph_expr *where)
{
    const struct ph_lang_hub *hub = subject;
    uint64_t count = 0;
    for (size_t i = 0; i < hub->count; i++) {
        struct ph_lang_child child = hub->children[i];
        count += !where || ph_expr_holds(where, &ph_child_resolver, &child);
    }
    return count;
}

static void hub_child(void *subject, const char *id, const char *field, struct ph_value *value)
{
    const struct ph_lang_hub *hub = subject;
    for (size_t i = 0; i < hub->count; i++) {
        struct ph_lang_child child = hub->children[i];
        if (strcmp(child.id, id) == 0)
            child_value(&child, field, value);
    }
}

const struct ph_resolver ph_condition_resolver = {
    .known = hub_known,
    .fields = "nodes, locked, count",
    .type = hub_type,
    .value = hub_value,
    .count = hub_count,
    .child = hub_child,
};

const struct ph_resolver ph_event_resolver = {
    .known = child_known, .fields = "id, state", .value = child_value};

#define FAKE_TIMEOUT                                                  \
    {                                                                 \
        .name = "timeout", .type = PH_OPTION_DURATION, .max = 3600000 \
    }

const struct ph_command ph_commands[] = {
    {.name = "status", .usage = "status", .summary = "one screen", .group = "Hub"},
    {.name = "hub create",
     .usage = "hub create NAME [KEY=VALUE…]",
     .summary = "a new hub",
     .flags = PH_COMMAND_KEYS,
     .min = 1,
     .max = 1},
    {.name = "hub stop", .usage = "hub stop NAME", .summary = "end a hub", .min = 1, .max = 1},
    {.name = "start",
     .usage = "start ID… [SPEC]",
     .summary = "start children",
     .group = "Children",
     .flags = PH_COMMAND_SPEC,
     .min = 1,
     .max = UINT_MAX,
     .options = {{.name = "if_exists", .type = PH_OPTION_WORD, .choices = "same|fail|replace"},
                 FAKE_TIMEOUT}},
    {.name = "stop",
     .usage = "stop TARGET",
     .summary = "stop children",
     .flags = PH_COMMAND_TARGET,
     .min = 1,
     .max = UINT_MAX,
     .options = {FAKE_TIMEOUT}},
    {.name = "signal",
     .usage = "signal TARGET SIG",
     .summary = "send a signal",
     .flags = PH_COMMAND_TARGET,
     .min = 2,
     .max = UINT_MAX},
    {.name = "children",
     .usage = "children [TARGET] [limit=N]",
     .summary = "list children",
     .flags = PH_COMMAND_TARGET,
     .max = UINT_MAX,
     .options = {{.name = "limit", .type = PH_OPTION_UINT, .max = 1000},
                 {.name = "scope", .type = PH_OPTION_WORD, .choices = "local|global"},
                 {.name = "size", .type = PH_OPTION_SIZE},
                 {.name = "sort", .type = PH_OPTION_TEXT}}},
    {.name = "events",
     .usage = "events [follow] [where EXPR]",
     .summary = "what happened",
     .flags = PH_COMMAND_WHERE,
     .options = {{.name = "since", .type = PH_OPTION_TEXT},
                 {.name = "follow", .type = PH_OPTION_FLAG}}},
    {.name = "send",
     .usage = "send ID TEXT",
     .summary = "a message",
     .flags = PH_COMMAND_TEXT,
     .min = 1,
     .max = UINT_MAX},
    {.name = "call",
     .usage = "call ID TEXT [timeout=D]",
     .summary = "a message and its reply",
     .flags = PH_COMMAND_TEXT,
     .min = 1,
     .max = UINT_MAX,
     .options = {FAKE_TIMEOUT}},
    {.name = "wait",
     .usage = "wait EXPR [timeout=D]",
     .summary = "until it holds",
     .flags = PH_COMMAND_EXPR,
     .min = 1,
     .max = UINT_MAX,
     .options = {FAKE_TIMEOUT}},
    {.name = "migrate",
     .usage = "migrate TARGET to NODE",
     .summary = "move children",
     .flags = PH_COMMAND_TARGET,
     .min = 3,
     .max = UINT_MAX},
    {.name = "let",
     .usage = "let NAME VALUE",
     .summary = "set a variable",
     .group = "Scripts",
     .flags = PH_COMMAND_CLIENT | PH_COMMAND_TEXT,
     .min = 1,
     .max = 2},
    {.name = "echo",
     .usage = "echo [TEXT]",
     .summary = "write a line",
     .flags = PH_COMMAND_CLIENT | PH_COMMAND_TEXT,
     .max = UINT_MAX},
    {.name = "sleep",
     .usage = "sleep D",
     .summary = "let time pass",
     .flags = PH_COMMAND_CLIENT,
     .min = 1,
     .max = 1},
    {.name = "source",
     .usage = "source FILE",
     .summary = "run a script",
     .flags = PH_COMMAND_CLIENT,
     .min = 1,
     .max = 1},
    {.name = "watch",
     .usage = "watch COMMAND [every=1s]",
     .summary = "run it again and again",
     .flags = PH_COMMAND_CLIENT | PH_COMMAND_NESTED,
     .min = 1,
     .max = UINT_MAX,
     .options = {{.name = "every", .type = PH_OPTION_DURATION}}},
    {.name = "help",
     .usage = "help [COMMAND]",
     .summary = "this text",
     .flags = PH_COMMAND_CLIENT,
     .max = 2},
    {.name = "exit",
     .usage = "exit [N]",
     .summary = "end the script",
     .flags = PH_COMMAND_CLIENT,
     .max = 1},
};
const size_t ph_command_count = PH_COUNT_OF(ph_commands);

struct ph_script *ph_lang_parse(const char *text)
{
    struct ph_script *script = NULL;
    struct ph_script_error error;
    int rc = ph_script_parse("t", text, strlen(text), &script, &error);
    if (rc)
        fail_msg("%s: %u:%u: %s", text, error.line, error.column, error.error.text);
    return script;
}

void ph_lang_check(const char *text, size_t length, struct ph_text *out)
{
    struct ph_script *script = NULL;
    struct ph_script_error error;
    int rc = ph_script_parse("t", text, length, &script, &error);
    if (rc == 0)
        rc = ph_script_check(script, &error);
    if (rc) {
        assert_true(rc < 0);
        assert_int_equal(rc, error.error.code);
        ph_text_printf(out, "%u:%u: %s", error.line, error.column, error.error.text);
    }
    ph_script_destroy(script);
}

void ph_lang_assert_says(const char *text, const char *expected)
{
    struct ph_text said = PH_TEXT_INIT;
    ph_lang_check(text, strlen(text), &said);
    if (strcmp(ph_text_str(&said), expected) != 0)
        print_error("script: %s\n", text);
    assert_string_equal(ph_text_str(&said), expected);
    ph_text_fini(&said);
}
