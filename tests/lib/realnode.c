#include "tests/lib/realnode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/spec.h"

struct ph_node *real_node_with(struct ph_node_config config)
{
    struct ph_node *node = NULL;
    struct ph_error error = {0};
    config.keeper_path = PH_KEEPER_PATH;
    config.modules_dir = PH_TEST_MODULES_DIR;
    if (!config.name)
        config.name = "test";
    if (ph_node_create(&config, &node, &error))
        fail_msg("no node: %s", error.text);
    return node;
}

struct ph_node *real_node(unsigned workers)
{
    return real_node_with((struct ph_node_config){.workers = workers, .seed = 1});
}

struct ph_hub *real_hub(struct ph_node *node, const char *name, const char *options)
{
    struct ph_hub *hub = NULL;
    struct ph_error error = {0};
    const char *texts[16];
    size_t count = 0;
    char *copy = ph_copy_text(options, strlen(options)), *rest = copy, *word;
    while ((word = strsep(&rest, " ")))
        if (*word && count < PH_COUNT_OF(texts))
            texts[count++] = word;
    if (ph_hub_create(node, name, texts, count, &hub, &error))
        fail_msg("no hub: %s", error.text);
    ph_free(copy);
    return hub;
}

void real_end(struct ph_hub *hub, struct ph_node *node)
{
    ph_hub_put(hub);
    ph_node_destroy(node);
}

/* ---- Specs and ids ------------------------------------------------------------------------- */

static void set_words(struct ph_spec *spec, const char *words)
{
    struct ph_error error = {0};
    char *copy = ph_copy_text(words, strlen(words)), *rest = copy, *word;
    while ((word = strsep(&rest, " "))) {
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value = '\0';
        if (ph_spec_set(spec, word, value + 1, &error))
            fail_msg("spec '%s': %s", words, error.text);
    }
    ph_free(copy);
}

struct ph_spec *real_spec(const char *words)
{
    struct ph_spec *spec = ph_spec_create();
    set_words(spec, words);
    return spec;
}

struct ph_spec *real_probe_spec(const struct probe *probe, const char *words)
{
    char args[32];
    struct ph_spec *spec = real_spec("module=probe");
    snprintf(args, sizeof args, "%p", (const void *)probe);
    assert_int_equal(ph_spec_set(spec, "args", args, NULL), 0);
    set_words(spec, words);
    return spec;
}

struct ph_spec *real_shell_spec(const char *script, const char *words)
{
    static const char *const shell[] = {"/bin/sh", "-c"};
    struct ph_spec *spec = ph_spec_create();
    for (size_t i = 0; i < PH_COUNT_OF(shell); i++)
        assert_int_equal(ph_spec_add_arg(spec, shell[i], NULL), 0);
    assert_int_equal(ph_spec_add_arg(spec, script, NULL), 0);
    set_words(spec, words);
    return spec;
}

struct ph_ids real_ids(const char *words)
{
    struct ph_ids ids = {0};
    struct ph_error error = {0};
    char *copy = ph_copy_text(words, strlen(words)), *rest = copy, *word;
    while ((word = strsep(&rest, " ")))
        if (*word && ph_ids_add_range(&ids, word, &error))
            fail_msg("ids '%s': %s", words, error.text);
    ph_free(copy);
    return ids;
}

/* ---- Requests ------------------------------------------------------------------------------ */

int real_finish(struct ph_op *op)
{
    assert_int_equal(ph_op_wait(op, REAL_SOON_MS, NULL), 0);
    int code = ph_op_result(op)->code;
    ph_op_put(op);
    return code;
}

void real_start(struct ph_hub *hub, const char *ids, struct ph_spec *spec)
{
    struct ph_op *op;
    struct ph_error error = {0};
    struct ph_ids set = real_ids(ids);
    if (ph_start(hub, &set, spec, NULL, &op, &error))
        fail_msg("start '%s': %s", ids, error.text);
    ph_spec_put(spec);
    assert_int_equal(real_finish(op), 0);
}

void real_stop(struct ph_hub *hub, const char *ids)
{
    struct ph_op *op;
    struct ph_ids set = real_ids(ids);
    assert_int_equal(ph_stop(hub, &set, &op), 0);
    assert_int_equal(real_finish(op), 0);
}

int real_call(struct ph_hub *hub, const char *id, const char *text, char *answer, size_t size)
{
    struct ph_op *op;
    int rc = ph_call(hub, id, text, strlen(text), &op);
    if (rc)
        return rc;
    assert_int_equal(ph_op_wait(op, REAL_SOON_MS, NULL), 0);
    snprintf(answer, size, "%s", ph_op_result(op)->reply);
    rc = ph_op_result(op)->code;
    ph_op_put(op);
    return rc;
}
