/*
 * The modules that a node knows: the built-in ones and those loaded from shared objects.
 *
 * Grows only; a module is never unloaded (its code may be running). Lookups take a short lock: they
 * happen once per request, not per message.
 */
#ifndef PH_ENGINE_KIND_MODULES_H
#define PH_ENGINE_KIND_MODULES_H

#include <stdbool.h>

#include "engine/prochub.h"

struct ph_modules;

struct ph_modules *ph_modules_create(const char *directory); /* NULL: none; copied */
void ph_modules_destroy(struct ph_modules *);

/* The module of that name; looks into the directory for NAME.so. PH_ENOTFOUND with the known
 * names. */
PH_MUST_CHECK int ph_modules_find(struct ph_modules *, const char *name,
                                  const struct ph_module **module, struct ph_error *error);
PH_MUST_CHECK int ph_modules_load(struct ph_modules *, const char *path, struct ph_error *error);
/* One of the program itself; it must outlive the modules. */
PH_MUST_CHECK int ph_modules_add(struct ph_modules *, const struct ph_module *,
                                 struct ph_error *error);

/* In order of loading. `path` is "" for built-in ones and those of the program. */
void ph_modules_each(struct ph_modules *,
                     void (*fn)(void *arg, const struct ph_module *, const char *path), void *arg);

extern const struct ph_module ph_module_counter, ph_module_kv, ph_module_echo, ph_module_crash,
    ph_module_blob;

#endif
