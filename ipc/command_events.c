#include "ipc/command_run.h"

#include <stdlib.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"

enum {
    EVENT_BATCH = 256,    /* records copied in one read section */
    EVENTS_FOLLOWED = 10, /* records that `follow` begins with */
    EVENTS_PAUSE_MS = 20, /* between two looks of `follow` at a busy hub */
};

/* ---- Fields of `where` ---------------------------------------------------------------------- */

static bool event_known(const char *field)
{
    static const char *const known[] = {"seq", "type", "id", "priority", "cause", "text"};
    for (size_t i = 0; i < PH_COUNT_OF(known); i++)
        if (strcmp(known[i], field) == 0)
            return true;
    return false;
}

static void event_value(void *subject, const char *field, struct ph_value *value)
{
    const struct ph_record *record = subject;
    const char *text = NULL;
    *value = (struct ph_value){.type = PH_VALUE_NUMBER};
    if (strcmp(field, "seq") == 0)
        value->number = record->seq;
    else if (strcmp(field, "priority") == 0)
        value->number = record->priority;
    else if (strcmp(field, "cause") == 0)
        value->number = record->cause;
    else if (strcmp(field, "type") == 0)
        text = record->type;
    else if (strcmp(field, "id") == 0)
        text = record->id;
    else
        text = record->text;
    if (text)
        *value = (struct ph_value){.type = PH_VALUE_TEXT, .text = text, .length = strlen(text)};
}

const struct ph_resolver ph_event_resolver = {
    .known = event_known,
    .fields = "seq, type, id, priority, cause, text",
    .value = event_value,
};

/* ---- Reading records ------------------------------------------------------------------------ */

/* A batch of records, copied so that nobody writes inside a read section. */
struct batch {
    struct ph_record records[EVENT_BATCH];
    size_t count;
    struct ph_text texts;
    size_t offsets[EVENT_BATCH][3];
    uint64_t seen; /* seq of the last record looked at */
    /* Which ones. */
    const char *id;
    const struct ph_expr *where;
    uint64_t from_ms;
};

static size_t keep_text(struct ph_text *texts, const char *text)
{
    size_t offset = texts->length;
    ph_text_append(texts, text, strlen(text) + 1);
    return offset;
}

static bool take_record(void *arg, const struct ph_record *record)
{
    struct batch *batch = arg;
    batch->seen = record->seq;
    if (record->now_ms < batch->from_ms || (batch->id && strcmp(record->id, batch->id) != 0))
        return true;
    if (batch->where && !ph_expr_holds(batch->where, &ph_event_resolver, (void *)(uintptr_t)record))
        return true;
    size_t *offsets = batch->offsets[batch->count];
    offsets[0] = keep_text(&batch->texts, record->type);
    offsets[1] = keep_text(&batch->texts, record->id);
    offsets[2] = keep_text(&batch->texts, record->text);
    batch->records[batch->count++] = *record;
    return batch->count < EVENT_BATCH;
}

/* The next records after `after`; returns how many were lost because they are no longer kept. */
static uint64_t read_batch(struct batch *batch, const struct ph_hub *hub, uint64_t after)
{
    batch->count = 0;
    batch->seen = after;
    ph_text_clear(&batch->texts);
    ph_rcu_enter();
    uint64_t oldest = ph_history_each_rcu(hub->history, after, take_record, batch);
    ph_rcu_exit();
    for (size_t i = 0; i < batch->count; i++) {
        batch->records[i].type = batch->texts.data + batch->offsets[i][0];
        batch->records[i].id = batch->texts.data + batch->offsets[i][1];
        batch->records[i].text = batch->texts.data + batch->offsets[i][2];
    }
    return after && oldest > after + 1 ? oldest - after - 1 : 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static const struct ph_column event_columns[] = {
    {.key = "seq", .type = PH_COLUMN_UINT},      {.key = "time", .type = PH_COLUMN_TIME},
    {.key = "type", .type = PH_COLUMN_TEXT},     {.key = "id", .type = PH_COLUMN_TEXT},
    {.key = "priority", .type = PH_COLUMN_UINT}, {.key = "cause", .type = PH_COLUMN_NULLABLE},
    {.key = "text", .type = PH_COLUMN_TEXT},
};

static int put_record(struct ph_rows *rows, const struct ph_record *record)
{
    ph_rows_uint(rows, record->seq);
    ph_rows_time(rows, ph_wall_of(record->now_ms));
    ph_rows_str(rows, record->type);
    ph_rows_str(rows, record->id[0] ? record->id : NULL);
    ph_rows_uint(rows, record->priority);
    ph_rows_uint(rows, record->cause ? record->cause : UINT64_MAX);
    ph_rows_str(rows, record->text);
    return ph_rows_end_row(rows);
}

static int put_gap(struct ph_session *session, struct ph_rows *rows, uint64_t lost)
{
    static const struct ph_column column = {.key = "lost", .type = PH_COLUMN_UINT};
    if (!ph_session_is_json(session)) {
        ph_session_note(session, "%llu events are no longer kept", (unsigned long long)lost);
        return 0;
    }
    ph_rows_other(rows, "gap", &column, 1);
    ph_rows_uint(rows, lost);
    return ph_rows_end_row(rows);
}

/* Writes everything after *after that the batch wants; *after becomes the last record looked at. */
static int write_events(struct ph_session *session, struct ph_rows *rows, struct batch *batch,
                        uint64_t *after)
{
    int rc = 0;
    do {
        uint64_t lost = read_batch(batch, session->hub, *after);
        if (lost && !batch->id)
            rc = put_gap(session, rows, lost);
        for (size_t i = 0; i < batch->count && rc == 0; i++)
            rc = put_record(rows, &batch->records[i]);
        *after = batch->seen;
    } while (rc == 0 && batch->count == EVENT_BATCH);
    return rc;
}

static int follow(struct ph_session *session, struct ph_rows *rows, struct batch *batch,
                  uint64_t after)
{
    struct ph_status status;
    int rc = 0, written = 0;
    while (rc == 0) {
        ph_status(session->hub, &status);
        if (ph_history_last(session->hub->history) > after)
            written = write_events(session, rows, batch, &after);
        if (written == 0)
            written = ph_rows_flush(rows);
        if (written < 0)
            return written;
        rc = ph_wait_change(session->hub, status.version, UINT64_MAX, &session->waiter);
        /* Many changes become one look; a wake-up of nobody ends this early at worst. */
        if (rc == 0 &&
            ph_waiter_sleep(&session->waiter, ph_now_ms() + EVENTS_PAUSE_MS) == PH_ECANCELED)
            rc = PH_ECANCELED;
    }
    return rc == PH_ESTOPPING ? 0 : ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
}

/* since=SEQ or since=-5m; without it everything that is kept, or the last few when it goes on. */
static int read_since(struct ph_session *session, const struct ph_args *args, uint64_t *after,
                      uint64_t *from_ms)
{
    const struct ph_word *word = ph_args_value(args, "since");
    uint64_t last = ph_history_last(session->hub->history), newest = EVENTS_FOLLOWED;
    bool limited = ph_args_number(args, "n", &newest);
    *after = 0;
    *from_ms = 0;
    if (!word) {
        if (limited || ph_args_flag(args, "follow"))
            *after = last > newest ? last - newest : 0;
        return 0;
    }
    if (limited)
        return ph_session_error(session, word, PH_EUSAGE, "since= or n=: one of the two");
    const char *since = ph_args_text(args, "since");
    uint64_t ago_ms;
    if (since[0] == '-' && ph_parse_duration(since + 1, &ago_ms)) {
        uint64_t now_ms = ph_now_ms();
        *from_ms = ago_ms < now_ms ? now_ms - ago_ms : 0;
        return 0;
    }
    if (ph_parse_uint(since, UINT64_MAX - 1, after))
        return 0;
    return ph_session_error(session, word, PH_EUSAGE,
                            "since=%s: a sequence number, or how long ago (since=-5m)", since);
}

int ph_command_events(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    uint64_t after;
    const char *node = ph_args_text(args, "node");
    bool here = true;
    int rc = ph_session_hub(session, &hub);
    if (rc == 0 && node)
        rc = ph_session_on_node(session, ph_args_value(args, "node"), node, &here);
    if (rc < 0 || !here)
        return rc;
    struct batch *batch = ph_alloc(sizeof *batch);
    batch->where = args->expr;
    rc = read_since(session, args, &after, &batch->from_ms);
    if (rc == 0) {
        struct ph_rows *rows =
            ph_session_rows(session, "event", event_columns, PH_COUNT_OF(event_columns), false);
        rc = ph_args_flag(args, "follow") ? follow(session, rows, batch, after)
                                          : write_events(session, rows, batch, &after);
        int finished = ph_rows_finish(rows);
        rc = rc < 0 ? rc : finished;
    }
    ph_text_fini(&batch->texts);
    ph_free(batch);
    return rc;
}

int ph_command_history(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    uint64_t after = 0;
    bool here = true;
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = ph_session_elsewhere(session, args->words[0], &here);
    if (rc < 0 || !here)
        return rc;
    struct batch *batch = ph_alloc(sizeof *batch);
    batch->id = args->words[0]->text;
    struct ph_rows *rows =
        ph_session_rows(session, "event", event_columns, PH_COUNT_OF(event_columns), false);
    rc = write_events(session, rows, batch, &after);
    int finished = ph_rows_finish(rows);
    ph_text_fini(&batch->texts);
    ph_free(batch);
    return rc < 0 ? rc : finished;
}

static void record_json(struct ph_text *out, const struct ph_record *record)
{
    ph_text_printf(out, "{\"t\":\"event\",\"seq\":%llu,\"time\":\"",
                   (unsigned long long)record->seq);
    ph_text_time(out, ph_wall_of(record->now_ms));
    ph_text_put(out, "\",\"type\":");
    ph_text_json(out, record->type, strlen(record->type));
    ph_text_put(out, ",\"text\":");
    ph_text_json(out, record->text, strlen(record->text));
    ph_text_put(out, "}");
}

void ph_history_json(struct ph_hub *hub, const char *id, size_t limit, struct ph_text *out)
{
    struct batch *batch = ph_alloc(sizeof *batch);
    struct ph_text *newest = ph_alloc(limit * sizeof *newest);
    uint64_t after = 0;
    size_t count = 0;
    batch->id = id;
    do {
        read_batch(batch, hub, after);
        after = batch->seen;
        for (size_t i = 0; i < batch->count; i++) {
            struct ph_text *slot = &newest[count++ % limit];
            ph_text_clear(slot);
            record_json(slot, &batch->records[i]);
        }
    } while (batch->count == EVENT_BATCH);
    ph_text_put(out, "[");
    for (size_t i = count > limit ? count - limit : 0; i < count; i++) {
        ph_text_put(out, out->data[out->length - 1] == '[' ? "" : ",");
        ph_text_put(out, ph_text_str(&newest[i % limit]));
    }
    ph_text_put(out, "]");
    for (size_t i = 0; i < limit; i++)
        ph_text_fini(&newest[i]);
    ph_free(newest);
    ph_text_fini(&batch->texts);
    ph_free(batch);
}
