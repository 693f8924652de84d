#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "engine/kind/modules.h"
#include "tests/lib/realnode.h"

static const char *path_of(const char *name)
{
    static _Thread_local char path[512];
    snprintf(path, sizeof path, "%s/%s.so", PH_TEST_MODULES_DIR, name);
    return path;
}

static struct ph_node *node_without_directory(void)
{
    struct ph_node *node = NULL;
    const struct ph_node_config config = {
        .name = "test", .keeper_path = PH_KEEPER_PATH, .workers = 1};
    assert_int_equal(ph_node_create(&config, &node, NULL), 0);
    return node;
}

/* A request for a child of that module; its code, and the error. */
static int try_start(struct ph_hub *hub, const char *module, struct ph_error *error)
{
    char words[128];
    struct ph_op *op;
    snprintf(words, sizeof words, "module=%s", module);
    struct ph_spec *spec = real_spec(words);
    struct ph_ids ids = real_ids("child");
    int rc = ph_start(hub, &ids, spec, NULL, &op, error);
    ph_spec_put(spec);
    if (rc)
        ph_ids_fini(&ids);
    else
        rc = real_finish(op);
    return rc;
}

/* A module from a shared object works like a built-in one; unknown before it is loaded. */
static void loaded_module_makes_children(void **state)
{
    (void)state;
    struct ph_node *node = node_without_directory();
    struct ph_hub *hub = real_hub(node, "h", "");
    struct ph_error error = {0};
    char answer[16];
    assert_int_equal(try_start(hub, "good", &error), PH_ENOTFOUND);
    assert_string_equal(error.text,
                        "no module named 'good': there are counter, kv, echo, crash, blob");
    assert_int_equal(ph_module_load(node, path_of("good"), &error), 0);
    real_start(hub, "c", real_spec("module=good args=41"));
    assert_int_equal(ph_send(hub, "c", "more", 4), 0);
    assert_int_equal(real_call(hub, "c", "get", answer, sizeof answer), 0);
    assert_string_equal(answer, "42");
    real_end(hub, node);
}

/* A module of the modules' directory is found by its name. */
static void module_of_the_directory_is_found_by_name(void **state)
{
    (void)state;
    struct ph_node *node = real_node(1);
    struct ph_hub *hub = real_hub(node, "h", "");
    struct ph_error error = {0};
    assert_int_equal(try_start(hub, "good", &error), 0);
    assert_int_equal(ph_module_load(node, path_of("good"), &error), PH_EEXISTS);
    real_end(hub, node);
}

/* A name is taken once; the name of a built-in module, too. */
static void taken_names_are_refused(void **state)
{
    (void)state;
    struct ph_node *node = node_without_directory();
    struct ph_error error = {0};
    assert_int_equal(ph_module_load(node, path_of("good"), &error), 0);
    assert_int_equal(ph_module_load(node, path_of("good"), &error), PH_EEXISTS);
    assert_non_null(strstr(error.text, "a module named good is known already"));
    assert_int_equal(ph_module_load(node, path_of("named_counter"), &error), PH_EEXISTS);
    ph_node_destroy(node);
}

struct fault {
    const char *file;
    int code;
    const char *said;
};

static void load_faulty(struct ph_node *node, const struct fault *fault)
{
    struct ph_error error = {0};
    int rc = ph_module_load(node, path_of(fault->file), &error);
    if (rc != fault->code || !strstr(error.text, fault->said))
        fail_msg("%s: %d '%s'", fault->file, rc, error.text);
    if (!strstr(error.text, fault->file))
        fail_msg("%s: the error does not name the file: '%s'", fault->file, error.text);
}

/* A shared object that is no module of ours is refused with an error that names it and says what is
 * wrong; the node goes on. */
static void faulty_modules_are_refused(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {"wrong_abi", PH_EABI, "built for module ABI 99 of"},
        {"wrong_size", PH_EABI, "of 8 bytes, this prochub has ABI 2 of"},
        {"no_symbol", PH_EABI, "exports no `prochub_module`"},
        {"slash_name", PH_EREFUSED, "its name is not 1 to 64 characters"},
        {"no_name", PH_EREFUSED, "its name is not 1 to 64 characters"},
        {"no_init", PH_EREFUSED, "module variant lacks init or handle"},
        {"no_handle", PH_EREFUSED, "module variant lacks init or handle"},
        {"not_there", PH_ENOTFOUND, "no such module file"},
        {"../../engine/libph_engine.a", PH_ENOTFOUND, "no such module file"},
    };
    struct ph_node *node = node_without_directory();
    for (size_t i = 0; i < PH_COUNT_OF(faults); i++)
        load_faulty(node, &faults[i]);
    struct ph_hub *hub = real_hub(node, "h", "");
    real_start(hub, "c", real_spec("module=counter"));
    real_end(hub, node);
}

/* A file that is no shared object at all is an error, not a crash; neither is a directory. */
static void files_that_are_no_objects_are_refused(void **state)
{
    (void)state;
    struct ph_node *node = node_without_directory();
    struct ph_error error = {0};
    FILE *file = fopen("noise.so", "wb");
    assert_non_null(file);
    for (int i = 0; i < 10000; i++)
        fputc(i * 7 % 251, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(ph_module_load(node, "noise.so", &error), PH_EFAILED);
    assert_non_null(strstr(error.text, "noise.so: not a shared object"));
    assert_int_equal(ph_module_load(node, "./noise.so", &error), PH_EFAILED);
    assert_int_equal(ph_module_load(node, ".", &error), PH_EFAILED);
    assert_int_not_equal(ph_module_load(node, "", &error), 0);
    ph_node_destroy(node);
}

/* The error of a faulty module in the directory reaches who starts a child of it. */
static void start_tells_why_a_module_is_refused(void **state)
{
    (void)state;
    struct ph_node *node = real_node(1);
    struct ph_hub *hub = real_hub(node, "h", "");
    struct ph_error error = {0};
    assert_int_equal(try_start(hub, "wrong_abi", &error), PH_EABI);
    assert_non_null(strstr(error.text, "compile it again"));
    assert_int_equal(ph_count(hub), 0);
    real_end(hub, node);
}

/* A module's file must hold the module of its name: what is found by name is not something else. */
static void file_with_a_module_of_another_name_is_not_found(void **state)
{
    (void)state;
    struct ph_node *node = real_node(1);
    struct ph_hub *hub = real_hub(node, "h", "");
    struct ph_error error = {0};
    assert_int_equal(try_start(hub, "other_name", &error), PH_ENOTFOUND);
    assert_non_null(strstr(error.text, "no module named 'other_name'"));
    real_end(hub, node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loaded_module_makes_children),
        cmocka_unit_test(module_of_the_directory_is_found_by_name),
        cmocka_unit_test(taken_names_are_refused),
        cmocka_unit_test(faulty_modules_are_refused),
        cmocka_unit_test(files_that_are_no_objects_are_refused),
        cmocka_unit_test(start_tells_why_a_module_is_refused),
        cmocka_unit_test(file_with_a_module_of_another_name_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
