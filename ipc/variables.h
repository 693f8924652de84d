/*
 * A script's variables, and statements with their variables replaced.
 *
 * `let` sets them; what was not set is looked up in the environment. Bounded: 1,024 variables,
 * values of 1 MiB, statements of 4 MiB. One thread.
 */
#ifndef PH_IPC_VARIABLES_H
#define PH_IPC_VARIABLES_H

#include "engine/text.h"
#include "ipc/script.h"

enum {
    PH_VARIABLES_MAX = 1024,
    PH_VARIABLE_BYTES_MAX = 1024 * 1024,
    PH_REPLACED_BYTES_MAX = 4 * 1024 * 1024,
};

struct ph_variables;

struct ph_variables *ph_variables_create(void);
void ph_variables_destroy(struct ph_variables *); /* NULL is fine */

/* [A-Za-z_][A-Za-z0-9_]{0,63} */
bool ph_variable_name_is_valid(const char *name);

/* Sets or replaces; both copied. PH_ELIMIT beyond the bounds. */
PH_MUST_CHECK int ph_variables_set(struct ph_variables *, const char *name, const char *value);

/* The value, or the environment's, or NULL. Valid until the next set. */
const char *ph_variables_get(const struct ph_variables *, const char *name);

/* A statement without variables. Borrows from the one it was made of. */
struct ph_replaced {
    struct ph_statement statement;
    struct ph_word *words; /* NULL: there was nothing to replace */
    struct ph_text texts;
};

/* PH_EUSAGE at a variable that is not set. After a failure there is nothing to fini. */
PH_MUST_CHECK int ph_statement_replace(const struct ph_statement *, const struct ph_variables *,
                                       struct ph_replaced *, struct ph_script_error *);
void ph_replaced_fini(struct ph_replaced *);

#endif
