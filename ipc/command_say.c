#include "ipc/command_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/host.h"
#include "engine/op.h"

enum { INSPECT_TIMEOUT_MS = 30000 };

static size_t option_index(const struct ph_args *args, const char *name)
{
    for (size_t i = 0; i < PH_OPTIONS_MAX && args->command->options[i].name; i++)
        if (strcmp(args->command->options[i].name, name) == 0)
            return i;
    return PH_OPTIONS_MAX;
}

const struct ph_word *ph_args_value(const struct ph_args *args, const char *option)
{
    size_t index = option_index(args, option);
    return index < PH_OPTIONS_MAX ? args->values[index] : NULL;
}

const char *ph_args_text(const struct ph_args *args, const char *option)
{
    return ph_args_value(args, option) ? args->texts[option_index(args, option)] : NULL;
}

bool ph_args_number(const struct ph_args *args, const char *option, uint64_t *number)
{
    if (!ph_args_value(args, option))
        return false;
    *number = args->numbers[option_index(args, option)];
    return true;
}

bool ph_args_flag(const struct ph_args *args, const char *option)
{
    return ph_args_value(args, option) != NULL;
}

uint64_t ph_args_timeout(const struct ph_args *args, uint64_t fallback_ms)
{
    uint64_t timeout_ms = fallback_ms;
    ph_args_number(args, "timeout", &timeout_ms);
    return timeout_ms;
}

struct ph_rows *ph_session_rows(struct ph_session *session, const char *type,
                                const struct ph_column *columns, size_t count, bool single)
{
    return ph_rows_begin(session->sink, session->form, type, columns, count, single);
}

bool ph_session_is_json(const struct ph_session *session)
{
    return session->form == PH_FORM_JSON || session->form == PH_FORM_JSONL;
}

int ph_session_line(struct ph_session *session, const char *text, size_t length)
{
    struct ph_text out = PH_TEXT_INIT;
    ph_text_printable(&out, text, length);
    ph_text_put(&out, "\n");
    int rc = session->sink->data(session->sink, out.data, out.length);
    ph_text_fini(&out);
    return rc;
}

void ph_session_note(struct ph_session *session, const char *format, ...)
{
    char note[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(note, sizeof note, format, list);
    va_end(list);
    struct ph_text out = PH_TEXT_INIT;
    ph_text_printable(&out, note, strlen(note));
    ph_text_put(&out, "\n");
    session->sink->note(session->sink, out.data, out.length);
    ph_text_fini(&out);
}

int ph_session_wait(struct ph_session *session, struct ph_op *op, uint64_t timeout_ms)
{
    int rc = ph_op_wait(op, timeout_ms, &session->waiter);
    if (rc == PH_ETIMEOUT)
        return ph_session_error(session, NULL, rc, "no answer within %llu ms; the request goes on",
                                (unsigned long long)timeout_ms);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    const struct ph_op_result *result = ph_op_result(op);
    if (result->code < 0)
        return ph_session_error(session, NULL, result->code, "%s",
                                result->text[0] ? result->text : ph_error_text(result->code));
    return 0;
}

int ph_session_inspect(struct ph_session *session, struct ph_hub *hub, ph_inspect_fn fn,
                       struct ph_text *out)
{
    struct ph_op *op;
    int rc = ph_hub_inspect(hub, fn, &op);
    if (rc < 0)
        return ph_session_error(session, NULL, rc, "%s", ph_error_text(rc));
    rc = ph_session_wait(session, op, INSPECT_TIMEOUT_MS);
    if (rc == 0) {
        const struct ph_op_result *result = ph_op_result(op);
        ph_text_append(out, result->reply, result->reply_length);
    }
    ph_op_put(op);
    return rc;
}

void ph_field_put(struct ph_text *out, const char *text)
{
    for (; text && *text; text++)
        if (*text != PH_FIELD_END && *text != PH_ROW_END)
            ph_text_append(out, text, 1);
    ph_text_append(out, &(char){PH_FIELD_END}, 1);
}

void ph_field_uint(struct ph_text *out, uint64_t number)
{
    ph_text_printf(out, "%llu%c", (unsigned long long)number, PH_FIELD_END);
}

void ph_field_row(struct ph_text *out)
{
    ph_text_append(out, &(char){PH_ROW_END}, 1);
}

bool ph_field_next(char **cursor, const char **fields, size_t count)
{
    char *end = *cursor ? strchr(*cursor, PH_ROW_END) : NULL;
    if (!end)
        return false;
    *end = '\0';
    char *field = *cursor;
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(field, (const char[]){PH_FIELD_END, '\0'});
        bool more = field[length] != '\0';
        fields[i] = field;
        field[length] = '\0';
        field += length + more; /* behind the last one, all are empty */
    }
    *cursor = end + 1;
    return true;
}
