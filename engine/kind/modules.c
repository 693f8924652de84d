#include "engine/kind/modules.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/kind/elf_check.h"
#include "engine/limits.h"
#include "engine/text.h"

enum { MODULES_MAX = 256 };

struct entry {
    const struct ph_module *module;
    char *path;
};

struct ph_modules {
    pthread_mutex_t lock;
    char *directory; /* or NULL */
    struct entry entries[MODULES_MAX];
    size_t count; /* the first `count` entries are constant; read and grown under the lock */
};

static const char own_module[] = "a module of the program"; /* where errors have no path */

static const struct ph_module *const built_in[] = {
    &ph_module_counter, &ph_module_kv, &ph_module_echo, &ph_module_crash, &ph_module_blob,
};

struct ph_modules *ph_modules_create(const char *directory)
{
    struct ph_modules *modules = ph_alloc(sizeof *modules);
    pthread_mutex_init(&modules->lock, NULL);
    if (directory)
        modules->directory = ph_copy_text(directory, strlen(directory));
    for (size_t i = 0; i < PH_COUNT_OF(built_in); i++)
        modules->entries[modules->count++] = (struct entry){
            .module = built_in[i],
            .path = ph_copy_text("", 0),
        };
    return modules;
}

void ph_modules_destroy(struct ph_modules *modules)
{
    if (!modules)
        return;
    for (size_t i = 0; i < modules->count; i++)
        ph_free(modules->entries[i].path);
    pthread_mutex_destroy(&modules->lock);
    ph_free(modules->directory);
    ph_free(modules);
}

static const struct ph_module *find_locked(const struct ph_modules *modules, const char *name)
{
    for (size_t i = 0; i < modules->count; i++)
        if (strcmp(modules->entries[i].module->name, name) == 0)
            return modules->entries[i].module;
    return NULL;
}

/* ---- Loading --------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = name ? strnlen(name, PH_NAME_MAX + 1) : 0;
    return length >= 1 && length <= PH_NAME_MAX && strspn(name, allowed) == length;
}

static int check_module(const struct ph_module *module, const char *path, struct ph_error *error)
{
    if (module->abi != PH_MODULE_ABI || module->size != sizeof *module)
        return ph_error_set(error, PH_EABI,
                            "%s: built for module ABI %u of %u bytes, this prochub has ABI %u of "
                            "%zu bytes: compile it again with this prochub.h",
                            path, module->abi, module->size, PH_MODULE_ABI, sizeof *module);
    if (!is_name(module->name))
        return ph_error_set(error, PH_EREFUSED,
                            "%s: its name is not 1 to 64 characters of "
                            "A-Z a-z 0-9 . _ -",
                            path);
    if (!module->init || !module->handle)
        return ph_error_set(error, PH_EREFUSED, "%s: module %s lacks init or handle", path,
                            module->name);
    return 0;
}

static int add_locked(struct ph_modules *modules, const struct ph_module *module, const char *path,
                      struct ph_error *error)
{
    const char *what = *path ? path : own_module;
    if (find_locked(modules, module->name))
        return ph_error_set(error, PH_EEXISTS, "%s: a module named %s is known already", what,
                            module->name);
    if (modules->count == MODULES_MAX)
        return ph_error_set(error, PH_ELIMIT, "%s: %d modules are loaded already", what,
                            MODULES_MAX);
    modules->entries[modules->count++] = (struct entry){
        .module = module,
        .path = ph_copy_text(path, strlen(path)),
    };
    return 0;
}

static int open_object(const char *path, void **object, const struct ph_module **module,
                       struct ph_error *error)
{
    int rc = ph_elf_check(path, error);
    if (rc)
        return rc;
    struct ph_text place = PH_TEXT_INIT; /* without a '/' it would be looked for elsewhere */
    ph_text_printf(&place, "%s%s", strchr(path, '/') ? "" : "./", path);
    *object = dlopen(ph_text_str(&place), RTLD_NOW | RTLD_LOCAL);
    ph_text_fini(&place);
    if (!*object)
        return ph_error_set(error, PH_EFAILED, "cannot load a module: %s", dlerror());
    *module = dlsym(*object, "prochub_module");
    if (*module)
        return 0;
    dlclose(*object);
    return ph_error_set(error, PH_EABI, "%s: exports no `prochub_module`", path);
}

/* Checks it and adds it. `path` is "" for one of the program itself. */
static int admit(struct ph_modules *modules, const struct ph_module *module, const char *path,
                 struct ph_error *error)
{
    int rc = check_module(module, *path ? path : own_module, error);
    if (rc)
        return rc;
    pthread_mutex_lock(&modules->lock);
    rc = add_locked(modules, module, path, error);
    pthread_mutex_unlock(&modules->lock);
    return rc;
}

int ph_modules_add(struct ph_modules *modules, const struct ph_module *module,
                   struct ph_error *error)
{
    return admit(modules, module, "", error);
}

int ph_modules_load(struct ph_modules *modules, const char *path, struct ph_error *error)
{
    void *object = NULL;
    const struct ph_module *module;
    int rc = open_object(path, &object, &module, error);
    if (rc)
        return rc;
    rc = admit(modules, module, path, error);
    if (rc)
        dlclose(object); /* a loaded one stays: its code may run as long as the node */
    return rc;
}

/* ---- Looking up ------------------------------------------------------------------------------ */

static int not_found(struct ph_modules *modules, const char *name, struct ph_error *error)
{
    struct ph_text known = PH_TEXT_INIT;
    pthread_mutex_lock(&modules->lock);
    for (size_t i = 0; i < modules->count; i++)
        ph_text_printf(&known, "%s%s", i ? ", " : "", modules->entries[i].module->name);
    pthread_mutex_unlock(&modules->lock);
    int rc = ph_error_set(error, PH_ENOTFOUND, "no module named '%s': there are %s", name,
                          ph_text_str(&known));
    ph_text_fini(&known);
    return rc;
}

int ph_modules_find(struct ph_modules *modules, const char *name, const struct ph_module **module,
                    struct ph_error *error)
{
    pthread_mutex_lock(&modules->lock);
    const struct ph_module *found = find_locked(modules, name);
    pthread_mutex_unlock(&modules->lock);
    if (!found && modules->directory && is_name(name)) {
        struct ph_text path = PH_TEXT_INIT;
        ph_text_printf(&path, "%s/%s.so", modules->directory, name);
        int rc = access(ph_text_str(&path), F_OK) == 0
                     ? ph_modules_load(modules, ph_text_str(&path), error)
                     : 0;
        ph_text_fini(&path);
        if (rc && rc != PH_EEXISTS) /* somebody else may just have loaded it */
            return rc;
        pthread_mutex_lock(&modules->lock);
        found = find_locked(modules, name);
        pthread_mutex_unlock(&modules->lock);
    }
    if (!found)
        return not_found(modules, name, error);
    *module = found;
    return 0;
}

void ph_modules_each(struct ph_modules *modules,
                     void (*fn)(void *arg, const struct ph_module *, const char *path), void *arg)
{
    pthread_mutex_lock(&modules->lock);
    size_t count = modules->count;
    pthread_mutex_unlock(&modules->lock);
    for (size_t i = 0; i < count; i++)
        fn(arg, modules->entries[i].module, modules->entries[i].path);
}
