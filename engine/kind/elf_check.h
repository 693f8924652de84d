/*
 * Is a file a whole shared object?
 *
 * dlopen maps what the program headers say and touches it: a file that was cut short (a copy under
 * way) then ends the program with SIGBUS. So this is asked before. It is no proof: who changes the
 * file while it is loaded still breaks it.
 */
#ifndef PH_ENGINE_KIND_ELF_CHECK_H
#define PH_ENGINE_KIND_ELF_CHECK_H

#include "engine/prochub.h"

/* 0, PH_ENOTFOUND when there is no such file, PH_EFAILED for anything but a whole shared object;
 * never waits (also not for a FIFO). */
PH_MUST_CHECK int ph_elf_check(const char *path, struct ph_error *error);

#endif
