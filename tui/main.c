#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "engine/error.h"
#include "engine/prochub.h"
#include "ipc/run.h"
#include "tui/options.h"
#include "tui/output.h"
#include "tui/program.h"
#include "tui/signals.h"

static int write_text(const char *text)
{
    struct ph_output_sink output;
    ph_output_init(&output);
    return output.sink.data(&output.sink, text, strlen(text)) < 0 ? PH_CLASS_FAILED : 0;
}

/* `help` of the command language needs no node. */
static int help(const struct ph_options *options)
{
    struct ph_output_sink output;
    struct ph_text statement = PH_TEXT_INIT;
    struct ph_run run;
    ph_output_init(&output);
    ph_text_printf(&statement, "help %s", options->topic ? options->topic : "");
    ph_run_init(&run, NULL, &output.sink, PH_FORM_TABLE, false);
    int code = ph_run_text(&run, "help", statement.data, statement.length);
    ph_run_fini(&run);
    ph_text_fini(&statement);
    return code;
}

static int run(struct ph_options *options)
{
    switch (options->mode) {
    case PH_MODE_VERSION:
        return write_text("prochub " PH_VERSION "\n");
    case PH_MODE_HELP:
        return options->language ? help(options) : write_text(ph_options_help());
    case PH_MODE_EMBEDDED:
    case PH_MODE_NODE:
    case PH_MODE_ATTACH:
        return ph_program_main(options);
    }
    return PH_CLASS_USAGE;
}

int main(int argc, char **argv)
{
    struct ph_options options;
    struct ph_error error = {0};
    setlocale(LC_CTYPE, "");
    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        return ph_bench_main(argc - 1, argv + 1);
    ph_signals_block(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
    int rc = ph_options_read(&options, argc, argv, &error);
    int code;
    if (rc < 0) {
        fprintf(stderr, "prochub: %s: %s\n", ph_class_name(ph_error_class(rc)), error.text);
        code = (int)ph_error_class(rc);
    } else {
        code = run(&options);
    }
    ph_options_fini(&options);
    return code;
}
