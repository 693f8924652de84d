#include "engine/event.h"

#include "engine/alloc.h"
#include "engine/op.h"

static const struct {
    const char *name;
    uint8_t priority;
} types[] = {
#define PH_EVENT_ROW(type, text, default_priority) \
    [type] = {.name = text, .priority = default_priority},
    PH_EVENT_MAP(PH_EVENT_ROW)
#undef PH_EVENT_ROW
};

const char *ph_event_name(enum ph_event_type type)
{
    return types[type].name;
}

struct ph_event *ph_event_create(enum ph_event_type type)
{
    struct ph_event *event = ph_alloc(sizeof *event);
    event->type = type;
    event->gated.priority = types[type].priority;
    return event;
}

static void release_dispatch(struct ph_event *event)
{
    ph_free(event->dispatch.payload);
    ph_free(event->dispatch.nodes);
    if (event->dispatch.lock)
        ph_event_destroy(event->dispatch.lock);
}

static void release_answer(char **text, struct ph_text *bytes)
{
    ph_free(*text);
    ph_text_fini(bytes);
}

static void release_note(struct ph_event *event)
{
    ph_free(event->note.id);
    ph_free(event->note.type);
    ph_free(event->note.text);
}

static void release_send(struct ph_event *event)
{
    ph_free(event->send.id);
    if (event->send.box)
        ph_message_box_destroy(event->send.box, PH_ESTOPPING, "the hub is stopping");
}

static void release_child(struct ph_event *event)
{
    ph_free(event->child.exit);
    ph_text_fini(&event->child.saved);
    ph_sums_fini(&event->child.sums);
}

static void release_content(struct ph_event *event)
{
    switch (event->type) {
    case PH_EVENT_START:
        ph_ids_fini(&event->start.ids);
        ph_spec_put(event->start.spec);
        break;
    case PH_EVENT_STOP:
    case PH_EVENT_RESTART:
    case PH_EVENT_SIGNAL:
    case PH_EVENT_STEER:
        ph_ids_fini(&event->target.ids);
        break;
    case PH_EVENT_DISPATCH:
        release_dispatch(event);
        break;
    case PH_EVENT_HOOK_ADD:
    case PH_EVENT_HOOK_REMOVE:
        ph_free(event->hook.exec);
        break;
    case PH_EVENT_HOOK_DONE:
        ph_free(event->hook_done.text);
        ph_spec_put(event->hook_done.spec);
        break;
    case PH_EVENT_CHILD_DOWN:
    case PH_EVENT_CHILD_KEPT:
    case PH_EVENT_CHILD_COPIED:
    case PH_EVENT_CHILD_MERGED:
        release_child(event);
        break;
    case PH_EVENT_CHILD_NOTE:
        release_note(event);
        break;
    case PH_EVENT_FRAME:
        ph_text_fini(&event->frame.bytes);
        break;
    case PH_EVENT_PIN:
    case PH_EVENT_DRAIN:
    case PH_EVENT_QUORUM:
    case PH_EVENT_MOVES:
        ph_ids_fini(&event->place.ids);
        break;
    case PH_EVENT_SEND:
        release_send(event);
        break;
    case PH_EVENT_ANSWER:
        release_answer(&event->answer.text, &event->answer.reply);
        break;
    case PH_EVENT_JOURNAL:
        release_answer(&event->journal.text, &event->journal.record);
        break;
    case PH_EVENT_PEER_UP:
    case PH_EVENT_PEER_DOWN:
    case PH_EVENT_NAME_TAKEN:
    case PH_EVENT_VIEW:
    case PH_EVENT_LEAVE:
    case PH_EVENT_LOCK:
    case PH_EVENT_UNLOCK:
    case PH_EVENT_CHILD_UP:
    case PH_EVENT_CHILD_PREPARED:
    case PH_EVENT_CHILD_ENDING:
    case PH_EVENT_WORK_DONE:
    case PH_EVENT_INSPECT:
    case PH_EVENT_TICK:
    case PH_EVENT_JOB:
    case PH_EVENT_CONFLICT:
    case PH_EVENT_SHUTDOWN:
    case PH_EVENT_TYPES:
        break;
    }
}

void ph_event_destroy(struct ph_event *event)
{
    ph_op_complete(event->op, PH_ESTOPPING, "the hub is stopping");
    release_content(event);
    ph_free(event);
}
