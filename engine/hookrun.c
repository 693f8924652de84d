#include "engine/hookrun.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/node.h"
#include "engine/spec.h"

/* One call on its way. */
struct task {
    struct ph_actor actor; /* of a C function */
    struct ph_host *host;
    uint64_t handler;
    char name[PH_NAME_MAX + 1];
    char *json;
    struct ph_spec *alter;
    ph_hook_fn function;
    void *arg;
    uint64_t started_ms;
    int code; /* what the C function returned */
};

/* The event as one JSON object: what every call has, then the hook's own members. */
static char *make_json(const struct ph_host *host, const struct ph_hook_request *request)
{
    struct ph_text json = PH_TEXT_INIT;
    ph_text_put(&json, "{\"t\":\"hook\",\"hook\":");
    ph_text_json(&json, request->hook, strlen(request->hook));
    ph_text_put(&json, ",\"time\":\"");
    ph_text_time(&json, ph_wall_ms());
    ph_text_put(&json, "\",\"node\":");
    ph_text_json(&json, host->node->name, strlen(host->node->name));
    ph_text_put(&json, ",\"hub\":");
    ph_text_json(&json, host->hub.name, strlen(host->hub.name));
    ph_text_printf(&json, "%s%s}", request->fields[0] ? "," : "", request->fields);
    return json.data; /* the text's memory, which is the task's now */
}

/* Reports the outcome to the hub and frees the task. */
static void finish(struct task *task, int code, const char *why)
{
    struct ph_event *event = ph_event_create(PH_EVENT_HOOK_DONE);
    event->hook_done.handler = task->handler;
    event->hook_done.code = code;
    event->hook_done.text = why ? ph_copy_text(why, strlen(why)) : NULL;
    event->hook_done.spec = task->alter;
    event->hook_done.elapsed_ms = ph_now_ms() - task->started_ms;
    ph_host_post_system(task->host, event);
    ph_host_put(task->host);
    ph_free(task->json);
    ph_free(task);
}

/* ---- C functions --------------------------------------------------------------------------- */

static bool run_function(struct ph_actor *actor)
{
    struct task *task = ph_container_of(actor, struct task, actor);
    const struct ph_hook_call call = {
        .hook = task->name,
        .json = task->json,
        .alter = task->alter,
    };
    task->code = task->function(task->arg, &call);
    ph_sched_kill(task->host->node->sched, actor); /* one run, and finish_function */
    return false;
}

static void finish_function(struct ph_actor *actor)
{
    struct task *task = ph_container_of(actor, struct task, actor);
    int rc = task->code;
    char why[128];
    snprintf(why, sizeof why, "returned %d (%s)", rc, rc < 0 ? ph_error_text(rc) : "not a code");
    finish(task, rc > 0 ? PH_EFAILED : rc, rc ? why : NULL);
}

static const struct ph_actor_class function_class = {
    .lane = PH_LANE_USER,
    .run = run_function,
    .dead = finish_function,
};

/* ---- Executables --------------------------------------------------------------------------- */

/* The lines KEY=VALUE that an alter hook's executable printed. */
static int apply_lines(struct ph_spec *spec, const char *output, size_t length,
                       struct ph_error *error)
{
    char *text = ph_copy_text(output, length);
    int rc = 0;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line && rc == 0; line = strsep(&rest, "\n")) {
        char *equals = strchr(line, '=');
        if (!line[0])
            continue;
        if (equals)
            *equals = 0;
        rc = equals ? ph_spec_set(spec, line, equals + 1, error)
                    : ph_error_set(error, PH_EUSAGE, "printed '%.80s': use KEY=VALUE lines", line);
    }
    ph_free(text);
    return rc;
}

static void executable_done(void *arg, const struct ph_run_result *result)
{
    struct task *task = arg;
    struct ph_error error = {0};
    struct ph_text why = PH_TEXT_INIT;
    bool good = result->exit.how == PH_EXIT_CODE && result->exit.value == 0;
    if (result->timed_out)
        ph_text_put(&why, "killed: its time limit passed");
    else if (!good)
        ph_exit_describe(&result->exit, &why);
    else if (task->alter && apply_lines(task->alter, result->output, result->output_length, &error))
        ph_text_put(&why, error.text);
    finish(task, why.length ? PH_EFAILED : 0, why.length ? ph_text_str(&why) : NULL);
    ph_text_fini(&why);
}

void ph_hookrun(void *context, const struct ph_hook_request *request)
{
    struct ph_host *host = context;
    struct task *task = ph_alloc(sizeof *task);
    ph_host_get(host);
    task->host = host;
    task->handler = request->handler;
    task->json = make_json(host, request);
    task->alter = request->alter;
    task->function = request->function;
    task->arg = request->arg;
    task->started_ms = ph_now_ms();
    memcpy(task->name, request->hook, strnlen(request->hook, PH_NAME_MAX));
    if (request->function) {
        ph_actor_init(&task->actor, &function_class);
        ph_sched_wake(host->node->sched, &task->actor);
    } else {
        ph_monitor_run_any(host->node->monitor,
                           &(struct ph_run_request){.path = request->exec,
                                                    .input = task->json,
                                                    .length = strlen(task->json),
                                                    .timeout_ms = request->timeout_ms,
                                                    .done = executable_done,
                                                    .arg = task});
    }
}
