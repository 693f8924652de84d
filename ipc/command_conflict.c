#include "ipc/command_run.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base.h"
#include "engine/cluster.h"
#include "engine/host.h"

/* The conflict store: conflicts, conflict show, conflict drop. */

enum { HEX_BYTES = 32 /* of one line */ };

#define CONFLICT_COLUMNS                                                                          \
    {.key = "number", .type = PH_COLUMN_UINT}, {.key = "id", .type = PH_COLUMN_TEXT},             \
        {.key = "from", .type = PH_COLUMN_TEXT}, {.key = "time", .type = PH_COLUMN_TIME},         \
        {.key = "bytes", .type = PH_COLUMN_BYTES}, {.key = "ran_ms", .type = PH_COLUMN_DURATION}, \
        {.key = "updates", .type = PH_COLUMN_UINT},                                               \
        {.key = "checksum", .type = PH_COLUMN_TEXT, .wide = true},                                \
    {                                                                                             \
        .key = "why", .type = PH_COLUMN_TEXT                                                      \
    }

static const struct ph_column list_columns[] = {CONFLICT_COLUMNS};
static const struct ph_column show_columns[] = {
    CONFLICT_COLUMNS,
    {.key = "text", .type = PH_COLUMN_TEXT},
    {.key = "hex", .type = PH_COLUMN_TEXT},
};

enum { FIELDS = PH_COUNT_OF(list_columns) };

static uint64_t number_of(const char *field)
{
    return strtoull(field, NULL, 10);
}

static void put_fields(struct ph_rows *rows, const char *const *fields)
{
    ph_rows_uint(rows, number_of(fields[0]));
    ph_rows_str(rows, fields[1]);
    ph_rows_str(rows, fields[2]);
    ph_rows_time(rows, ph_wall_of(number_of(fields[3])));
    for (size_t i = 4; i < 7; i++)
        ph_rows_uint(rows, number_of(fields[i]));
    ph_rows_str(rows, fields[7]);
    ph_rows_str(rows, fields[8]);
}

/* The hub in use, when the statement is for this node; else it has been run there. */
static int find_hub(struct ph_session *session, const struct ph_args *args, struct ph_hub **hub,
                    bool *here)
{
    const char *node = ph_args_text(args, "node");
    int rc = ph_session_hub(session, hub);
    *here = true;
    if (rc == 0 && node)
        rc = ph_session_on_node(session, ph_args_value(args, "node"), node, here);
    return rc;
}

int ph_command_conflicts(struct ph_session *session, const struct ph_args *args)
{
    struct ph_hub *hub;
    struct ph_text text = PH_TEXT_INIT;
    const char *fields[FIELDS];
    bool here;
    int rc = find_hub(session, args, &hub, &here);
    if (rc < 0 || !here)
        return rc;
    rc = ph_session_inspect(session, hub, ph_conflicts_inspect, &text);
    if (rc == 0) {
        struct ph_rows *rows = ph_session_rows(session, "conflict", list_columns, FIELDS, false);
        char *cursor = text.data;
        while (rc == 0 && ph_field_next(&cursor, fields, FIELDS)) {
            put_fields(rows, fields);
            rc = ph_rows_end_row(rows);
        }
        int finished = ph_rows_finish(rows);
        rc = rc < 0 ? rc : finished;
    }
    ph_text_fini(&text);
    return rc;
}

/* ---- conflict show -------------------------------------------------------------------------- */

static bool is_text(const char *bytes, size_t length)
{
    uint32_t rune;
    for (size_t at = 0, step; at < length; at += step) {
        step = ph_utf8_next(bytes + at, length - at, &rune);
        if (step == 0 || (rune < ' ' && rune != '\n' && rune != '\t') || rune == 0x7f)
            return false;
    }
    return true;
}

static void put_hex(struct ph_text *out, const char *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        ph_text_append(out, (const char[]){digits[byte >> 4], digits[byte & 15]}, 2);
    }
}

static int say_object(struct ph_session *session, const char *const *fields, const char *state,
                      size_t length)
{
    struct ph_text hex = PH_TEXT_INIT;
    bool text = is_text(state, length);
    struct ph_rows *rows =
        ph_session_rows(session, "conflict", show_columns, PH_COUNT_OF(show_columns), true);
    put_fields(rows, fields);
    if (text) {
        ph_rows_text(rows, state, length);
        ph_rows_str(rows, NULL);
    } else {
        put_hex(&hex, state, length);
        ph_rows_str(rows, NULL);
        ph_rows_text(rows, hex.data, hex.length);
    }
    ph_rows_end_row(rows);
    ph_text_fini(&hex);
    return ph_rows_finish(rows);
}

static int say_lines(struct ph_session *session, const char *state, size_t length)
{
    struct ph_text hex = PH_TEXT_INIT;
    bool text = is_text(state, length);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < length;) {
        const char *end = text ? memchr(state + at, '\n', length - at) : NULL;
        size_t step = end ? (size_t)(end - state) - at : length - at;
        if (text) {
            rc = ph_session_line(session, state + at, step);
            at += step + 1;
            continue;
        }
        step = step < HEX_BYTES ? step : HEX_BYTES;
        ph_text_clear(&hex);
        put_hex(&hex, state + at, step);
        rc = ph_session_line(session, hex.data, hex.length);
        at += step;
    }
    ph_text_fini(&hex);
    return rc;
}

static int no_such(struct ph_session *session, const struct ph_word *word)
{
    return ph_session_error(session, word, PH_ENOTFOUND,
                            "there is no conflict %s on this node; `conflicts` lists them",
                            word->text);
}

/* Finds the row of that number in what was inspected. */
static bool find_row(struct ph_text *text, uint64_t number, const char **fields)
{
    char *cursor = text->data;
    while (ph_field_next(&cursor, fields, FIELDS))
        if (number_of(fields[0]) == number)
            return true;
    return false;
}

static int show(struct ph_session *session, struct ph_hub *hub, const struct ph_word *word,
                uint64_t number)
{
    struct ph_text text = PH_TEXT_INIT;
    const char *fields[FIELDS];
    struct ph_op *op = NULL;
    int rc = ph_session_inspect(session, hub, ph_conflicts_inspect, &text);
    if (rc == 0 && !find_row(&text, number, fields))
        rc = no_such(session, word);
    else if (rc == 0 && (rc = ph_conflict_read(hub, number, &op)) < 0)
        rc = ph_session_error(session, word, rc, "%s", ph_error_text(rc));
    if (rc == 0)
        rc = ph_session_wait(session, op, UINT64_MAX);
    if (rc == 0) {
        const struct ph_op_result *result = ph_op_result(op);
        rc = ph_session_is_json(session)
                 ? say_object(session, fields, result->reply, result->reply_length)
                 : say_lines(session, result->reply, result->reply_length);
    }
    ph_op_put(op);
    ph_text_fini(&text);
    return rc;
}

static int read_number(struct ph_session *session, const struct ph_word *word, uint64_t *number)
{
    if (ph_parse_uint(word->text, UINT64_MAX, number) && *number)
        return 0;
    return ph_session_error(session, word, PH_EUSAGE,
                            "'%s' is no number of a conflict; `conflicts` lists them", word->text);
}

int ph_command_conflict_show(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *word = args->words[0];
    struct ph_hub *hub;
    uint64_t number;
    bool here;
    int rc = read_number(session, word, &number);
    if (rc == 0)
        rc = find_hub(session, args, &hub, &here);
    return rc < 0 || !here ? rc : show(session, hub, word, number);
}

/* ---- conflict drop -------------------------------------------------------------------------- */

int ph_command_conflict_drop(struct ph_session *session, const struct ph_args *args)
{
    const struct ph_word *word = args->words[0];
    struct ph_hub *hub;
    struct ph_op *op;
    uint64_t number = 0;
    int rc = ph_word_is(word, "all") ? 0 : read_number(session, word, &number);
    if (rc == 0)
        rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    rc = ph_conflict_drop(hub, number, &op);
    if (rc < 0)
        return ph_session_error(session, word, rc, "%s", ph_error_text(rc));
    return ph_session_report(session, op, "dropped", false, UINT64_MAX);
}
