#include "tui/program.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/waiter.h"
#include "ipc/door.h"
#include "tui/console.h"

/* ---- Signals -------------------------------------------------------------------------------- */

static int code_of(int signal_number)
{
    return 128 + signal_number;
}

static void call_off(struct ph_program *program)
{
    pthread_mutex_lock(&program->lock);
    if (program->running)
        ph_run_cancel(program->running);
    pthread_mutex_unlock(&program->lock);
    ph_waiter_wake(program->waiter);
}

static void on_signal(void *arg, int signal_number)
{
    struct ph_program *program = arg;
    if (signal_number == SIGHUP && program->options->mode == PH_MODE_NODE) {
        atomic_store_explicit(&program->reload, true, memory_order_release);
        ph_waiter_wake(program->waiter);
        return;
    }
    pthread_mutex_lock(&program->lock);
    bool reading = program->reading;
    pthread_mutex_unlock(&program->lock);
    int none = 0;
    bool first = atomic_compare_exchange_strong_explicit(
        &program->signal, &none, signal_number, memory_order_acq_rel, memory_order_acquire);
    /* Nothing has begun, or somebody is tired of waiting for a graceful end. The keeper kills the
     * processes of a node that ends like this. */
    if (reading || !first)
        _exit(code_of(signal_number));
    call_off(program);
}

static int signal_of(struct ph_program *program)
{
    /* Acquire: pairs with the exchange in on_signal. */
    return atomic_load_explicit(&program->signal, memory_order_acquire);
}

/* ---- What is said, read and run -------------------------------------------------------------- */

int ph_program_fail(struct ph_program *program, const struct ph_error *error)
{
    struct ph_sink *sink = &program->output.sink;
    struct ph_text line = PH_TEXT_INIT;
    enum ph_form form = program->run.form;
    if (form == PH_FORM_JSON || form == PH_FORM_JSONL) {
        ph_say_error(sink, form, (struct ph_position){"prochub", 0, 0}, error->code, error->text);
    } else {
        ph_text_printf(&line, "prochub: %s: ", ph_class_name(ph_error_class(error->code)));
        ph_text_printable(&line, error->text, strlen(error->text));
        ph_text_put(&line, "\n");
        sink->note(sink, line.data, line.length);
        ph_text_fini(&line);
    }
    return ph_run_exit_code(error->code);
}

int ph_program_read(struct ph_program *program, const char *path, struct ph_script **script)
{
    struct ph_text text = PH_TEXT_INIT;
    struct ph_error error = {0};
    int rc = ph_input_read(path, &text, &error);
    int code = rc < 0 ? ph_program_fail(program, &error)
                      : ph_run_parse(&program->run, path ? path : "-", ph_text_str(&text),
                                     text.length, script);
    ph_text_fini(&text);
    return code;
}

int ph_program_run(struct ph_program *program, struct ph_run *run, const struct ph_script *script)
{
    pthread_mutex_lock(&program->lock);
    program->running = run;
    if (signal_of(program))
        ph_run_cancel(run);
    pthread_mutex_unlock(&program->lock);
    int code = ph_run_script(run, script);
    pthread_mutex_lock(&program->lock);
    program->running = NULL;
    pthread_mutex_unlock(&program->lock);
    return code;
}

static int read_commands(struct ph_program *program)
{
    const struct ph_options *options = program->options;
    for (size_t i = 0; i < options->command_count; i++) {
        const char *text = options->commands[i];
        char name[32] = "-e"; /* "-e2" is the second of several */
        if (options->command_count > 1)
            snprintf(name, sizeof name, "-e%zu", i + 1);
        int code = ph_run_parse(&program->run, name, text, strlen(text),
                                &program->scripts[program->script_count]);
        if (code)
            return code;
        program->script_count++;
    }
    return 0;
}

/* Everything that will be run. A configuration's errors come first, then the script's. */
static int read_all(struct ph_program *program)
{
    const struct ph_options *options = program->options;
    int code = options->config ? ph_program_read(program, options->config, &program->config) : 0;
    if (code == 0)
        code = read_commands(program);
    if (code || program->console || options->command_count || options->mode == PH_MODE_NODE)
        return code;
    code = ph_program_read(program, options->script, &program->scripts[0]);
    program->script_count = code == 0;
    return code;
}

static int read_scripts(struct ph_program *program)
{
    pthread_mutex_lock(&program->lock);
    program->reading = true;
    pthread_mutex_unlock(&program->lock);
    int code = read_all(program);
    pthread_mutex_lock(&program->lock);
    program->reading = false;
    pthread_mutex_unlock(&program->lock);
    return code;
}

/* ---- Attaching ------------------------------------------------------------------------------- */

/* An attached session uses the hub that --hub names. */
static int use_hub(struct ph_program *program, struct ph_door *door)
{
    const struct ph_options *options = program->options;
    if (options->mode != PH_MODE_ATTACH || options->hub_count == 0)
        return 0;
    struct ph_word words[] = {
        {.text = "use", .length = 3, .line = 1, .column = 1},
        {.text = options->hubs[0],
         .length = strlen(options->hubs[0]),
         .line = 1,
         .column = 5,
         .quoted = true,
         .literal_end = (uint32_t)strlen(options->hubs[0])},
    };
    struct ph_statement statement = {.words = words, .count = 2, .argv = 2};
    return door->run(door, "--hub", &statement, PH_FORM_TSV, &program->output.sink);
}

void ph_program_shutdown(void *arg)
{
    struct ph_program *program = arg;
    atomic_store_explicit(&program->shutdown, true, memory_order_release);
    if (program->console) {
        ph_console_interrupt(SIGTERM);
    } else if (program->options->mode == PH_MODE_EMBEDDED &&
               pthread_equal(pthread_self(), program->thread)) {
        program->run.exited = true; /* the script itself said so: it ends behind this command */
    } else {
        call_off(program);
    }
}

struct ph_session_place ph_program_place(struct ph_program *program)
{
    return (struct ph_session_place){
        .settings = &program->options->settings,
        .links = program->links,
        .remote = program->remote,
        .shutdown = ph_program_shutdown,
        .arg = program,
    };
}

int ph_program_open_door(struct ph_program *program, struct ph_door **door, struct ph_error *error)
{
    int rc;
    if (program->options->mode == PH_MODE_ATTACH)
        return ph_door_remote(ph_text_str(&program->endpoint), door, error);
    rc = ph_door_local(program->node, NULL, door);
    if (rc < 0)
        return ph_error_set(error, rc, "no session: %s", ph_error_text(rc));
    struct ph_session_place place = ph_program_place(program);
    ph_door_local_place(*door, &place);
    return 0;
}

static int find_endpoint(struct ph_program *program)
{
    const struct ph_options *options = program->options;
    const char *control = ph_settings_get(&options->settings, PH_SETTING_CONTROL);
    struct ph_error error = {0};
    if (options->endpoint || control) {
        ph_text_put(&program->endpoint, options->endpoint ? options->endpoint : control);
        return 0;
    }
    int rc = ph_control_default(ph_settings_get(&options->settings, PH_SETTING_NAME),
                                &program->endpoint, &error);
    return rc < 0 ? ph_program_fail(program, &error) : 0;
}

/* ---- The two ways to be used ------------------------------------------------------------------
 */

static int run_scripts(struct ph_program *program)
{
    struct ph_error error = {0};
    struct ph_door *door;
    int rc = ph_program_open_door(program, &door, &error);
    if (rc < 0)
        return ph_program_fail(program, &error);
    int first = ph_run_exit_code(use_hub(program, door));
    program->run.door = door;
    for (size_t i = 0; i < program->script_count && !program->run.exited; i++) {
        if (first && !program->options->keep_going)
            break;
        int code = ph_program_run(program, &program->run, program->scripts[i]);
        first = first ? first : code;
    }
    door->close(door);
    if (program->run.exited)
        first = program->run.exit_code;
    return signal_of(program) ? code_of(signal_of(program)) : first;
}

static int open_for_console(void *arg, struct ph_door **door, struct ph_error *error)
{
    struct ph_program *program = arg;
    int rc = ph_program_open_door(program, door, error);
    if (rc < 0)
        return rc;
    rc = use_hub(program, *door);
    if (rc < 0) {
        (*door)->close(*door);
        ph_error_set(error, rc, "--hub: %s", ph_error_text(rc));
    }
    return rc;
}

static int run_console(struct ph_program *program)
{
    int code = ph_console_run(open_for_console, program, &program->options->console);
    /* Acquire: pairs with the release in ph_program_shutdown. */
    return atomic_load_explicit(&program->shutdown, memory_order_acquire) ? 0 : code;
}

static int act(struct ph_program *program)
{
    enum ph_mode mode = program->options->mode;
    int code = mode == PH_MODE_ATTACH ? find_endpoint(program) : ph_program_start_node(program);
    if (code)
        return code;
    if (mode == PH_MODE_NODE) {
        code = program->script_count ? run_scripts(program) : 0;
        if (code == 0 || (program->options->keep_going && !program->run.exited))
            ph_program_serve(program);
        return signal_of(program) ? 0 : code;
    }
    if (!program->console)
        return run_scripts(program);
    ph_signals_stop(&program->signals); /* they are the console's now */
    code = run_console(program);
    ph_signals_start(&program->signals, on_signal, program);
    return code;
}

static void init(struct ph_program *program, struct ph_options *options)
{
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    bool has_script = options->script || options->command_count || options->check;
    enum ph_form form = options->form_given     ? options->form
                        : isatty(STDOUT_FILENO) ? PH_FORM_TABLE
                                                : PH_FORM_TSV;
    *program = (struct ph_program){
        .options = options,
        .scripts = ph_alloc((options->command_count + 1) * sizeof *program->scripts),
        .console = terminal && !has_script && options->mode != PH_MODE_NODE,
        .waiter = ph_waiter_create(),
        .thread = pthread_self(),
    };
    pthread_mutex_init(&program->lock, NULL);
    ph_output_init(&program->output);
    ph_run_init(&program->run, NULL, &program->output.sink, form, options->keep_going);
    program->run.caret = isatty(STDERR_FILENO);
}

static void fini(struct ph_program *program)
{
    for (size_t i = 0; i < program->script_count; i++)
        ph_script_destroy(program->scripts[i]);
    ph_script_destroy(program->config);
    ph_free(program->scripts);
    ph_run_fini(&program->run);
    ph_text_fini(&program->endpoint);
    ph_waiter_destroy(program->waiter);
    pthread_mutex_destroy(&program->lock);
}

int ph_program_main(struct ph_options *options)
{
    struct ph_program program;
    init(&program, options);
    ph_signals_start(&program.signals, on_signal, &program);
    int code = read_scripts(&program);
    if (code == 0 && !options->check)
        code = act(&program);
    ph_program_stop_node(&program);
    ph_signals_stop(&program.signals);
    fini(&program);
    return code;
}
