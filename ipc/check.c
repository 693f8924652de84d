#include "ipc/command.h"
#include "ipc/run_client.h"
#include "ipc/script.h"

int ph_statement_check(const struct ph_statement *statement, struct ph_script_error *error)
{
    struct ph_args args;
    int rc = ph_command_read(statement, true, &args, error);
    if (rc)
        return rc;
    if (args.command && (args.command->flags & PH_COMMAND_CLIENT))
        rc = ph_client_check(&args, true, error);
    ph_args_fini(&args);
    return rc;
}

int ph_script_check(const struct ph_script *script, struct ph_script_error *error)
{
    for (size_t i = 0; i < ph_script_count(script); i++) {
        int rc = ph_statement_check(ph_script_at(script, i), error);
        if (rc)
            return rc;
    }
    return 0;
}
