#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/node.h"
#include "engine/text.h"
#include "engine/waiter.h"
#include "ipc/control_path.h"
#include "ipc/links.h"
#include "ipc/remote.h"
#include "ipc/session.h"
#include "tui/program.h"
#include "tui/setup.h"

/* Connections and children need descriptors; the keeper gives its children the usual limit. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int read_setup(struct ph_program *program)
{
    struct ph_script_error error = {0};
    if (!program->config)
        return 0;
    int rc = ph_setup_read(program->config, &program->options->settings,
                           &program->config_creates_hubs, &error);
    if (rc < 0)
        ph_say_error(
            &program->output.sink, program->run.form,
            (struct ph_position){ph_script_name(program->config), error.line, error.column}, rc,
            error.error.text);
    return ph_run_exit_code(rc);
}

static int create_node(struct ph_program *program, struct ph_error *error)
{
    const struct ph_settings *settings = &program->options->settings;
    const char *workers = ph_settings_get(settings, PH_SETTING_WORKERS);
    uint64_t count = 0;
    if (workers && !ph_parse_uint(workers, 64, &count))
        count = 0;
    struct ph_node_config config = {
        .name = ph_settings_get(settings, PH_SETTING_NAME),
        .sole_parent = true,
        .keeper_path = ph_settings_get(settings, PH_SETTING_KEEPER),
        .modules_dir = ph_settings_get(settings, PH_SETTING_MODULES),
        .state_dir = ph_settings_get(settings, PH_SETTING_STATE),
        .workers = (unsigned)count,
        .heartbeat_ms = ph_settings_ms(settings, PH_SETTING_HEARTBEAT),
        .dead_after_ms = ph_settings_ms(settings, PH_SETTING_DEAD_AFTER),
        .lease_ms = ph_settings_ms(settings, PH_SETTING_LEASE),
    };
    int rc = ph_settings_check(settings, error);
    if (rc < 0)
        return rc;
    return ph_node_create(&config, &program->node, error);
}

/* "A,B,C" taken apart in place. */
static size_t split(char *text, const char **parts, size_t most)
{
    size_t count = 0;
    char *state = NULL;
    for (char *part = strtok_r(text, ",", &state); part && count < most;
         part = strtok_r(NULL, ",", &state))
        parts[count++] = part;
    return count;
}

/* Before the first hub: a hub is made for a node with links or for one without. */
static int start_links(struct ph_program *program, struct ph_error *error)
{
    const struct ph_settings *settings = &program->options->settings;
    const char *cluster = ph_settings_get(settings, PH_SETTING_CLUSTER);
    const char *seeds = ph_settings_get(settings, PH_SETTING_JOIN);
    const char *joins[PH_LINKS_JOINS_MAX];
    if (!ph_settings_get(settings, PH_SETTING_LISTEN))
        return 0;
    char *copy = ph_copy_text(seeds ? seeds : "", seeds ? strlen(seeds) : 0);
    struct ph_links_config config = {
        .listen = ph_settings_get(settings, PH_SETTING_LISTEN),
        .advertise = ph_settings_get(settings, PH_SETTING_ADVERTISE),
        .joins = joins,
        .join_count = split(copy, joins, PH_LINKS_JOINS_MAX),
        .cluster = cluster ? cluster : PH_CLUSTER_DEFAULT,
        .beacon = ph_settings_get(settings, PH_SETTING_BEACON),
    };
    int rc = ph_links_start(program->node, &config, &program->links, error);
    ph_free(copy);
    if (rc < 0)
        return rc;
    rc = ph_remote_start_links(program->node, program->links, &program->remote);
    return rc < 0 ? ph_error_set(error, rc, "cannot serve other nodes: %s", ph_error_text(rc)) : 0;
}

static int create_hubs(struct ph_program *program, struct ph_error *error)
{
    const struct ph_options *options = program->options;
    int rc = 0;
    for (size_t i = 0; i < options->hub_count && rc == 0; i++)
        rc = ph_setup_hub(program->node, options->hubs[i], error);
    if (options->hub_count == 0 && !program->config_creates_hubs)
        rc = ph_setup_hub(program->node, "default", error);
    return rc;
}

/* Where the control socket is to be: an empty endpoint for none. */
static int choose_endpoint(struct ph_program *program, struct ph_error *error)
{
    const char *control = ph_settings_get(&program->options->settings, PH_SETTING_CONTROL);
    if (control && strcmp(control, "none") == 0)
        return 0;
    if (control)
        ph_text_put(&program->endpoint, control);
    else if (program->options->mode == PH_MODE_NODE)
        return ph_control_endpoint(ph_node_name(program->node), &program->endpoint, error);
    return 0;
}

static int start_control(struct ph_program *program, struct ph_error *error)
{
    int rc = choose_endpoint(program, error);
    if (rc < 0)
        return rc;
    const char *endpoint = program->endpoint.length ? program->endpoint.data : NULL;
    ph_setup_defaults(&program->options->settings, program->node, endpoint);
    if (!endpoint)
        return 0;
    rc = ph_control_start(program->node, endpoint, &program->control, error);
    if (rc < 0)
        return rc;
    ph_control_on_shutdown(program->control, ph_program_shutdown, program);
    struct ph_session_place place = ph_program_place(program);
    ph_control_set_place(program->control, &place);
    return 0;
}

/* Each run has its own variables and begins with the first hub in use. */
static int run_config(struct ph_program *program, const struct ph_script *script)
{
    struct ph_error error = {0};
    struct ph_door *door;
    struct ph_run run;
    int rc = ph_program_open_door(program, &door, &error);
    if (rc < 0)
        return ph_program_fail(program, &error);
    ph_run_init(&run, door, &program->output.sink, program->run.form, program->run.keep_going);
    run.caret = program->run.caret;
    int code = ph_program_run(program, &run, script);
    ph_run_fini(&run);
    door->close(door);
    return code;
}

int ph_program_start_node(struct ph_program *program)
{
    struct ph_error error = {0};
    int code = read_setup(program);
    if (code)
        return code;
    raise_descriptors();
    int rc = create_node(program, &error);
    if (rc == 0)
        rc = start_links(program, &error);
    if (rc == 0)
        rc = create_hubs(program, &error);
    if (rc == 0)
        rc = start_control(program, &error);
    if (rc < 0)
        return ph_program_fail(program, &error);
    if (!program->config)
        return 0;
    code = run_config(program, program->config);
    return program->run.keep_going && code != ph_run_exit_code(PH_ECANCELED) ? 0 : code;
}

/* The hubs hand their children over and say goodbye, then the links do. A hub that cannot end still
 * speaks over the links: then they stay. */
void ph_program_stop_node(struct ph_program *program)
{
    ph_control_stop(program->control);
    program->control = NULL;
    ph_remote_stop(program->remote);
    program->remote = NULL;
    if (program->links && ph_node_stop(program->node)) {
        ph_links_leave(program->links);
        ph_links_stop(program->links);
    }
    program->links = NULL;
    ph_node_destroy(program->node);
    program->node = NULL;
}

static void note(struct ph_program *program, const char *text)
{
    struct ph_sink *sink = &program->output.sink;
    sink->note(sink, text, strlen(text));
}

static void say_ready(struct ph_program *program)
{
    struct ph_text line = PH_TEXT_INIT;
    ph_text_printf(&line, "prochub: node %s is ready, %s%s%scontrol %s, pid %d\n",
                   ph_node_name(program->node), program->links ? "listen " : "",
                   program->links ? ph_links_endpoint(program->links) : "",
                   program->links ? ", " : "",
                   program->endpoint.length ? program->endpoint.data : "none", (int)getpid());
    note(program, line.data);
    ph_text_fini(&line);
}

static void reload(struct ph_program *program)
{
    struct ph_script *script = NULL;
    if (!program->options->config) {
        note(program, "prochub: SIGHUP: there is no configuration file (-c) to run again\n");
        return;
    }
    if (ph_program_read(program, program->options->config, &script)) {
        note(program, "prochub: SIGHUP: the configuration is broken, nothing was changed\n");
        return;
    }
    int code = run_config(program, script);
    note(program, code ? "prochub: SIGHUP: the configuration ran and failed\n"
                       : "prochub: SIGHUP: the configuration ran\n");
    ph_script_destroy(script);
}

void ph_program_serve(struct ph_program *program)
{
    say_ready(program);
    /* Acquire: pairs with whoever set the flag and woke us. */
    while (!atomic_load_explicit(&program->signal, memory_order_acquire) &&
           !atomic_load_explicit(&program->shutdown, memory_order_acquire)) {
        if (atomic_exchange_explicit(&program->reload, false, memory_order_acq_rel)) {
            reload(program);
            continue;
        }
        int rc = ph_waiter_sleep(program->waiter, UINT64_MAX);
        (void)rc; /* whatever woke us, the flags say why */
    }
}
