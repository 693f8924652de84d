#include "engine/kind/kind.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/host.h"
#include "engine/op.h"
#include "engine/spec.h"

struct ph_message_box *ph_message_box_create(enum ph_message_type type, const void *data,
                                             size_t length)
{
    struct ph_message_box *box = ph_try_alloc(sizeof *box + length + 1);
    if (!box)
        return NULL;
    box->type = type;
    box->length = length;
    if (length)
        memcpy(box->data, data, length);
    return box;
}

void ph_message_box_destroy(struct ph_message_box *box, int code, const char *text)
{
    ph_op_complete(box->op, code, text);
    ph_free(box);
}

static void post_child(struct ph_child *child, struct ph_event *event, uint32_t instance)
{
    event->child.child = child;
    event->child.instance = instance;
    ph_host_post_system(ph_host_of(child->hub), event);
}

void ph_kind_up(struct ph_child *child, uint32_t instance)
{
    post_child(child, ph_event_create(PH_EVENT_CHILD_UP), instance);
}

void ph_kind_prepared(struct ph_child *child, uint32_t instance)
{
    post_child(child, ph_event_create(PH_EVENT_CHILD_PREPARED), instance);
}

void ph_kind_ending(struct ph_child *child, uint32_t instance)
{
    post_child(child, ph_event_create(PH_EVENT_CHILD_ENDING), instance);
}

void ph_kind_down(struct ph_child *child, uint32_t instance, const struct ph_exit *exit,
                  struct ph_text *unused)
{
    struct ph_event *event = ph_event_create(PH_EVENT_CHILD_DOWN);
    bool plain = !exit || (exit->how == PH_EXIT_CODE && exit->value == 0 && !exit->text[0]);
    if (!plain) {
        event->child.exit = ph_alloc(sizeof *exit);
        *event->child.exit = *exit;
    }
    event->child.saved = *unused;
    *unused = PH_TEXT_INIT;
    post_child(child, event, instance);
}

void ph_kind_note(struct ph_child *child, const char *type, const char *text)
{
    struct ph_event *event = ph_event_create(PH_EVENT_CHILD_NOTE);
    event->note.id = ph_copy_text(child->id, child->id_length);
    event->note.type = ph_copy_text(type, strlen(type));
    event->note.text = ph_copy_text(text, strlen(text));
    ph_host_post_system(ph_host_of(child->hub), event);
}

void ph_kind_not_saved(struct ph_child *child, uint32_t instance, const char *why)
{
    struct ph_event *event = ph_event_create(PH_EVENT_CHILD_KEPT);
    event->child.child = child;
    event->child.instance = instance;
    event->child.exit = ph_alloc(sizeof *event->child.exit);
    snprintf(event->child.exit->text, sizeof event->child.exit->text, "%s", why);
    ph_host_post_system(ph_host_of(child->hub), event);
}

void ph_kind_merged(struct ph_child *child, uint32_t instance, int code, const char *why)
{
    struct ph_event *event = ph_event_create(PH_EVENT_CHILD_MERGED);
    event->child.exit = ph_alloc(sizeof *event->child.exit);
    event->child.exit->value = code;
    snprintf(event->child.exit->text, sizeof event->child.exit->text, "%s", why);
    post_child(child, event, instance);
}

static void post_state(struct ph_child *child, struct ph_event *event, uint32_t instance,
                       struct ph_text *state)
{
    ph_text_put(state, "");
    event->child.saved = *state;
    *state = PH_TEXT_INIT;
    post_child(child, event, instance);
}

void ph_kind_down_saved(struct ph_child *child, uint32_t instance, struct ph_text *state,
                        struct ph_sums *sums)
{
    struct ph_event *event = ph_event_create(PH_EVENT_CHILD_DOWN);
    event->child.sums = *sums;
    *sums = (struct ph_sums){0};
    post_state(child, event, instance, state);
}

void ph_kind_copied(struct ph_child *child, uint32_t instance, struct ph_text *state)
{
    post_state(child, ph_event_create(PH_EVENT_CHILD_COPIED), instance, state);
}

void ph_exit_reason(const struct ph_exit *exit, bool gave_up, struct ph_text *out)
{
    if (gave_up) {
        ph_text_printf(out, "gave up after %u restart%s in ", exit->restarts,
                       exit->restarts == 1 ? "" : "s");
        ph_text_duration(out, exit->window_ms);
        ph_text_put(out, ": ");
    }
    ph_exit_describe(exit, out);
}

void ph_exit_describe(const struct ph_exit *exit, struct ph_text *out)
{
    static const struct ph_exit fine = {.how = PH_EXIT_CODE};
    if (!exit)
        exit = &fine;
    switch (exit->how) {
    case PH_EXIT_CODE:
        ph_text_printf(out, "exited with code %d", exit->value);
        break;
    case PH_EXIT_SIGNAL:
        ph_text_printf(out, "killed by SIG%s%s", ph_signal_name(exit->value),
                       exit->core ? " (core dumped)" : "");
        break;
    case PH_EXIT_FAILED:
        ph_text_put(out, exit->text[0] ? "failed" : "handler failed");
        break;
    case PH_EXIT_EXEC:
        ph_text_put(out, exit->text[0] ? exit->text : "cannot be started");
        return;
    }
    if (exit->text[0])
        ph_text_printf(out, ": %s", exit->text);
}
