#include <stdio.h>

#include "tui/console.h"

int ph_console_run(ph_console_open open_door, void *arg, const struct ph_console_options *options)
{
    (void)open_door;
    (void)arg;
    (void)options;
    fputs("prochub: refused: this prochub was built without its console\n", stderr);
    return 4;
}

void ph_console_interrupt(int signal_number)
{
    (void)signal_number;
}
