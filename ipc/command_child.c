#include "ipc/command_run.h"

#include <stdio.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/kind/kind_process.h"
#include "engine/kind/monitor.h"
#include "ipc/child_row.h"

enum { CHILD_HISTORY = 10, LOG_LINES = 100, LOG_BATCH = 1000, LINES_BYTES = 32 * 1024 };

/* ---- child ---------------------------------------------------------------------------------- */

static const struct ph_column detail_columns[] = {
    {.key = "instance", .type = PH_COLUMN_UINT},
    {.key = "program", .type = PH_COLUMN_TEXT},
    {.key = "spec", .type = PH_COLUMN_TEXT},
    {.key = "placements", .type = PH_COLUMN_JSON},
    {.key = "why", .type = PH_COLUMN_TEXT},
    {.key = "last_exit", .type = PH_COLUMN_TEXT},
    {.key = "last_exit_time", .type = PH_COLUMN_TEXT},
    {.key = "status", .type = PH_COLUMN_TEXT},
    {.key = "ready", .type = PH_COLUMN_BOOL},
    {.key = "cpu_ms", .type = PH_COLUMN_DURATION},
    {.key = "memory_bytes", .type = PH_COLUMN_BYTES},
    {.key = "log_lines", .type = PH_COLUMN_UINT},
    {.key = "log_dropped", .type = PH_COLUMN_UINT},
    {.key = "history", .type = PH_COLUMN_JSON},
};

static void put_placement_rcu(struct ph_text *out, struct ph_subject *subject)
{
    struct ph_child_info info;
    struct ph_text epoch = PH_TEXT_INIT;
    const char *node = ph_subject_node_rcu(subject);
    ph_subject_info_rcu(subject, &info);
    ph_subject_put_epoch(subject, info.epoch, &epoch);
    ph_text_put(out, out->length > 1 ? ",{\"node\":" : "{\"node\":");
    ph_text_json(out, node ? node : "", node ? strlen(node) : 0);
    ph_text_printf(out,
                   ",\"state\":\"%s\",\"mode\":\"active\",\"pid\":", ph_state_name(info.state));
    if (info.pid)
        ph_text_printf(out, "%llu", (unsigned long long)info.pid);
    else
        ph_text_put(out, "null");
    ph_text_printf(out, ",\"instance\":%llu,\"epoch\":", (unsigned long long)info.instance);
    ph_text_json(out, ph_text_str(&epoch), epoch.length);
    ph_text_put(out, "}");
    ph_text_fini(&epoch);
}

static void put_placements(struct ph_text *out, struct ph_hub *hub, const char *id)
{
    struct ph_subject subject = {0};
    ph_text_put(out, "[");
    ph_rcu_enter();
    ph_subject_open_rcu(&subject, hub);
    bool more = ph_subject_find_rcu(&subject, id, strlen(id));
    for (more = more && ph_subject_first_rcu(&subject); more; more = ph_subject_next_rcu(&subject))
        put_placement_rcu(out, &subject);
    ph_rcu_exit();
    ph_subject_fini(&subject);
    ph_text_put(out, "]");
}

/* Why it is where it is. */
static void put_why(struct ph_hub *hub, const struct ph_child_row *row, struct ph_text *out)
{
    ph_rcu_enter();
    const struct ph_members *members = hub->directory ? ph_members_rcu(hub) : NULL;
    struct ph_entry *entry =
        members ? ph_directory_find_rcu(hub->directory, row->info.id, strlen(row->info.id)) : NULL;
    if (!entry) {
        ph_text_put(out, "this is the only node");
        ph_rcu_exit();
        return;
    }
    uint16_t slot = ph_members_owner(members, entry->hash, entry);
    const struct ph_member_info *owner = slot < members->count ? &members->list[slot] : NULL;
    /* Relaxed: for people. */
    uint64_t pin = atomic_load_explicit(&entry->pin, memory_order_relaxed);
    if (!owner)
        ph_text_put(out, "no node may have it");
    else if (ph_pin_is_to(pin, owner->name_hash))
        ph_text_printf(out, "it is pinned to %s", owner->name);
    else
        ph_text_printf(out, "the distribution gives it to %s", owner->name);
    if (owner && strcmp(owner->name, row->node) != 0)
        ph_text_put(out, ", where it is not yet");
    else if (owner && pin && !ph_pin_is_to(pin, owner->name_hash))
        ph_text_put(out, ", for the node that it is pinned to may have none");
    ph_rcu_exit();
}

/* What only OS processes have; a module child's row stays zeroed. */
static void read_process(struct ph_hub *hub, const char *id, struct ph_process_info *info)
{
    ph_rcu_enter();
    const struct ph_child *child = ph_registry_find_rcu(hub->registry, id, strlen(id));
    struct ph_process *process = child ? ph_child_process_rcu(child) : NULL;
    if (process)
        ph_process_inspect_any(process, info);
    ph_rcu_exit();
}

static void put_str_or_null(struct ph_rows *rows, const char *text)
{
    ph_rows_str(rows, *text ? text : NULL);
}

static void put_detail(struct ph_session *session, struct ph_rows *rows,
                       const struct ph_child_row *row)
{
    struct ph_process_info process = {0};
    struct ph_text placements = PH_TEXT_INIT, history = PH_TEXT_INIT, time = PH_TEXT_INIT;
    struct ph_text why = PH_TEXT_INIT;
    read_process(session->hub, row->info.id, &process);
    put_placements(&placements, session->hub, row->info.id);
    ph_history_json(session->hub, row->info.id, CHILD_HISTORY, &history);
    if (row->last_exit.length)
        ph_text_time(&time, ph_wall_of(row->last_exit_ms));
    ph_rows_uint(rows, row->info.instance);
    put_str_or_null(rows, ph_text_str(&row->program));
    ph_rows_str(rows, ph_text_str(&row->spec));
    ph_rows_str(rows, placements.data);
    put_why(session->hub, row, &why);
    ph_rows_str(rows, why.data);
    put_str_or_null(rows, ph_text_str(&row->last_exit));
    put_str_or_null(rows, ph_text_str(&time));
    put_str_or_null(rows, process.status);
    ph_rows_bool(rows, row->info.pid ? process.ready : row->info.state == PH_STATE_RUNNING);
    ph_rows_uint(rows, process.cpu_ms);
    ph_rows_uint(rows, process.rss_bytes);
    ph_rows_uint(rows, process.log_seq);
    ph_rows_uint(rows, process.log_dropped);
    ph_rows_str(rows, history.data);
    ph_text_fini(&placements);
    ph_text_fini(&history);
    ph_text_fini(&time);
    ph_text_fini(&why);
}

int ph_command_child(struct ph_session *session, const struct ph_args *args)
{
    struct ph_column columns[PH_CHILD_COLUMNS + PH_COUNT_OF(detail_columns)];
    memcpy(columns, ph_child_columns, sizeof ph_child_columns);
    memcpy(columns + PH_CHILD_COLUMNS, detail_columns, sizeof detail_columns);
    struct ph_child_row row = {.wants_spec = true};
    struct ph_hub *hub;
    bool here = true;
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = ph_session_elsewhere(session, args->words[0], &here);
    if (rc < 0 || !here)
        return rc;
    rc = ph_session_child(session, args->words[0], &row);
    if (rc == 0) {
        struct ph_rows *rows =
            ph_session_rows(session, "child", columns, PH_COUNT_OF(columns), true);
        ph_child_row_put(rows, &row);
        put_detail(session, rows, &row);
        ph_rows_end_row(rows);
        rc = ph_rows_finish(rows);
    }
    ph_child_row_fini(&row);
    return rc;
}

/* ---- logs ----------------------------------------------------------------------------------- */

static const struct ph_column log_columns[] = {
    {.key = "id", .type = PH_COLUMN_TEXT},   {.key = "seq", .type = PH_COLUMN_UINT},
    {.key = "time", .type = PH_COLUMN_TIME}, {.key = "stream", .type = PH_COLUMN_TEXT},
    {.key = "text", .type = PH_COLUMN_TEXT}, {.key = "partial", .type = PH_COLUMN_BOOL},
};

struct log_reader {
    struct ph_session *session;
    struct ph_rows *rows; /* NULL: plain lines, for people and pipes */
    struct ph_text lines; /* the plain lines of one look */
    const char *id;
    int rc; /* of the sink */
};

/* Hands on what has come together. */
static void show(struct log_reader *reader)
{
    struct ph_sink *sink = reader->session->sink;
    if (reader->rc == 0 && reader->rows)
        reader->rc = ph_rows_flush(reader->rows);
    else if (reader->rc == 0 && reader->lines.length)
        reader->rc = sink->data(sink, reader->lines.data, reader->lines.length);
    ph_text_clear(&reader->lines);
}

static void put_line(void *arg, const struct ph_log_line *line)
{
    struct log_reader *reader = arg;
    if (reader->rc < 0)
        return;
    if (!reader->rows) {
        ph_text_printable(&reader->lines, line->text, line->length);
        ph_text_put(&reader->lines, "\n");
        if (reader->lines.length >= LINES_BYTES)
            show(reader);
        return;
    }
    ph_rows_str(reader->rows, reader->id);
    ph_rows_uint(reader->rows, line->seq);
    ph_rows_time(reader->rows, line->wall_ms);
    ph_rows_str(reader->rows, line->error ? "stderr" : "stdout");
    ph_rows_text(reader->rows, line->text, line->length);
    ph_rows_bool(reader->rows, line->partial);
    reader->rc = ph_rows_end_row(reader->rows);
}

/* Is it still the process of the child with that id? */
static bool is_current(struct ph_hub *hub, const char *id, const struct ph_process *process)
{
    ph_rcu_enter();
    const struct ph_child *child = ph_registry_find_rcu(hub->registry, id, strlen(id));
    bool current = child && ph_child_process_rcu(child) == process;
    ph_rcu_exit();
    return current;
}

/* Shows what comes until the child is gone, the session is cancelled or nobody reads. */
static int follow(struct log_reader *reader, struct ph_process *process, uint64_t seen)
{
    struct ph_session *session = reader->session;
    struct ph_wait_entry entry;
    int rc = 0;
    ph_waitlist_join(ph_process_log_waiters(process), &entry, &session->waiter);
    while (rc == 0 && reader->rc == 0) {
        uint64_t last = ph_process_log_any(process, seen, LOG_BATCH, put_line, reader);
        if (last > seen + LOG_BATCH)
            ph_session_note(session, "%llu lines were too fast to show",
                            (unsigned long long)(last - seen - LOG_BATCH));
        seen = last;
        show(reader);
        if (!is_current(session->hub, reader->id, process))
            break;
        if (reader->rc == 0)
            rc = ph_waiter_sleep(&session->waiter, UINT64_MAX);
    }
    ph_waitlist_leave(ph_process_log_waiters(process), &entry);
    return rc < 0 ? ph_session_error(session, NULL, rc, "%s", ph_error_text(rc)) : 0;
}

static struct ph_process *hold_process(struct ph_hub *hub, const struct ph_word *word, int *rc)
{
    struct ph_process *process = NULL;
    ph_rcu_enter();
    const struct ph_child *child = ph_registry_find_rcu(hub->registry, word->text, word->length);
    *rc = child ? PH_EUNSUPPORTED : PH_ENOTFOUND;
    if (child)
        process = ph_child_process_rcu(child);
    if (process)
        ph_process_hold_rcu(process);
    ph_rcu_exit();
    return process;
}

static int no_process(struct ph_session *session, const struct ph_word *word, int rc)
{
    struct ph_child_row row = {0};
    bool wanted = ph_child_row_find(&row, session->hub, word->text, word->length);
    ph_child_row_fini(&row);
    if (rc == PH_ENOTFOUND && wanted)
        return ph_session_error(session, word, PH_EREFUSED, "%s runs nowhere yet", word->text);
    return ph_session_error(session, word, rc,
                            rc == PH_ENOTFOUND
                                ? "there is no child %s"
                                : "%s is a module child: it has no output of its own",
                            word->text);
}

int ph_command_logs(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *word = args->words[0];
    uint64_t limit = LOG_LINES;
    struct ph_hub *hub;
    bool here = true;
    int rc = ph_session_hub(session, &hub);
    if (rc == 0)
        rc = ph_session_elsewhere(session, word, &here);
    if (rc < 0 || !here)
        return rc;
    struct ph_process *process = hold_process(hub, word, &rc);
    if (!process)
        return no_process(session, word, rc);
    struct log_reader reader = {.session = session, .id = word->text};
    if (session->form != PH_FORM_TABLE && session->form != PH_FORM_TSV)
        reader.rows = ph_session_rows(session, "log", log_columns, PH_COUNT_OF(log_columns), false);
    ph_args_number(args, "n", &limit);
    struct ph_process_info info;
    ph_process_inspect_any(process, &info);
    uint64_t seen = info.log_seq;
    if (limit)
        seen = ph_process_log_any(process, 0, (size_t)limit, put_line, &reader);
    if (!reader.rows)
        show(&reader);
    rc = ph_args_flag(args, "follow") ? follow(&reader, process, seen) : 0;
    ph_text_fini(&reader.lines);
    int finished = reader.rows ? ph_rows_finish(reader.rows) : 0;
    ph_process_release_any(process);
    return rc < 0 ? rc : reader.rc < 0 ? reader.rc : finished;
}
