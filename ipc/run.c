#include "ipc/run.h"

#include <string.h>
#include <wchar.h>

#include "engine/base.h"
#include "engine/error.h"
#include "ipc/run_client.h"
#include "ipc/session.h"
#include "ipc/variables.h"

enum { EXIT_INTERRUPTED = 130, CARET_BEFORE = 60, CARET_LINE = 100 };

int ph_run_exit_code(int code)
{
    return code == PH_ECANCELED ? EXIT_INTERRUPTED : (int)ph_error_class(code);
}

/* ---- The caret ----------------------------------------------------------------------------- */

/* Appends up to `count` characters of a line as one cell or more each, and their number of cells.
 */
static const char *put_characters(struct ph_text *out, const char *at, const char *end,
                                  size_t count, size_t *cells)
{
    for (; at < end && count; count--) {
        uint32_t rune = 0;
        size_t bytes = ph_utf8_next(at, (size_t)(end - at), &rune);
        int width = bytes > 1 ? wcwidth((wchar_t)rune) : 1;
        if (bytes == 0 || rune == 0x7f || (bytes > 1 && width < 0 && rune < 0xa0))
            ph_text_put(out, "?");
        else if (rune < 0x20)
            ph_text_put(out, " ");
        else
            ph_text_append(out, at, bytes);
        *cells += width < 0 ? 1 : (size_t)width;
        at += bytes ? bytes : 1;
    }
    return at;
}

/* The source line, cut around the column, and a caret below it. */
static void put_caret(struct ph_text *out, const char *line, size_t length, uint32_t column)
{
    const char *at = line, *end = line + length;
    uint32_t first = column > CARET_BEFORE ? column - CARET_BEFORE : 1;
    for (uint32_t i = 1; i < first && at < end; i++) {
        size_t bytes = ph_utf8_next(at, (size_t)(end - at), NULL);
        at += bytes ? bytes : 1;
    }
    size_t cells = 0, ignored = 0;
    ph_text_put(out, "  ");
    at = put_characters(out, at, end, column - first, &cells);
    put_characters(out, at, end, CARET_LINE - CARET_BEFORE, &ignored);
    ph_text_printf(out, "\n  %*s^\n", (int)cells, "");
}

/* Reads "DIGITS:" and moves behind it. */
static bool read_position(const char **at, const char *end, uint32_t *number)
{
    const char *from = *at;
    uint32_t value = 0;
    while (*at < end && **at >= '0' && **at <= '9' && value < 100000000)
        value = value * 10 + (uint32_t)(*(*at)++ - '0');
    if (*at == from || *at >= end || **at != ':')
        return false;
    ++*at;
    *number = value;
    return true;
}

/* Is it an error of this script? "SCRIPT:LINE:COLUMN: …", wherever it was made. */
static bool find_position(const struct ph_run_place *place, const char *bytes, size_t length,
                          uint32_t *line, uint32_t *column)
{
    size_t name = strlen(place->script);
    const char *at = bytes + name + 1, *end = bytes + length;
    if (length <= name + 1 || memcmp(bytes, place->script, name) != 0 || bytes[name] != ':')
        return false;
    return read_position(&at, end, line) && read_position(&at, end, column) && *line && *column;
}

static int place_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_sink *outer = ph_container_of(sink, struct ph_run_place, sink)->run->sink;
    return outer->data(outer, bytes, length);
}

static int place_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    struct ph_run_place *place = ph_container_of(sink, struct ph_run_place, sink);
    struct ph_sink *outer = place->run->sink;
    uint32_t line, column;
    int rc = outer->note(outer, bytes, length);
    if (rc || !place->run->caret || place->shown ||
        !find_position(place, bytes, length, &line, &column))
        return rc;
    size_t line_length;
    const char *text = ph_script_text_line(place->text, place->length, line, &line_length);
    if (line_length == 0)
        return 0;
    struct ph_text out = PH_TEXT_INIT;
    put_caret(&out, text, line_length, column);
    rc = outer->note(outer, out.data, out.length);
    ph_text_fini(&out);
    place->shown = true;
    return rc;
}

static struct ph_run_place make_place(struct ph_run *run, const char *script, const char *text,
                                      size_t length)
{
    return (struct ph_run_place){
        .sink = {.data = place_data, .note = place_note},
        .run = run,
        .script = script,
        .text = text,
        .length = length,
    };
}

/* ---- Statements ---------------------------------------------------------------------------- */

static int say(struct ph_run *run, struct ph_run_place *place, int rc,
               const struct ph_script_error *error)
{
    ph_say_error(&place->sink, run->form,
                 (struct ph_position){place->script, error->line, error->column}, rc,
                 error->error.text);
    return ph_run_exit_code(rc);
}

static int run_client(struct ph_run *run, struct ph_run_place *place,
                      const struct ph_statement *statement)
{
    struct ph_script_error error = {.line = 1, .column = 1};
    struct ph_args args;
    int rc = ph_command_read(statement, false, &args, &error);
    if (rc)
        return say(run, place, rc, &error);
    rc = ph_client_check(&args, false, &error);
    int code = rc ? say(run, place, rc, &error) : ph_client_run(run, place, &args);
    ph_args_fini(&args);
    return code;
}

int ph_run_statement(struct ph_run *run, struct ph_run_place *place,
                     const struct ph_statement *statement)
{
    struct ph_script_error error = {.line = 1, .column = 1};
    const struct ph_command *row = ph_command_find(statement, &error);
    place->shown = false;
    if (!row)
        return say(run, place, PH_EUSAGE, &error);
    if (row->flags & PH_COMMAND_CLIENT)
        return run_client(run, place, statement);
    return ph_run_exit_code(
        run->door->run(run->door, place->script, statement, run->form, &place->sink));
}

static int replace_and_run(struct ph_run *run, struct ph_run_place *place,
                           const struct ph_statement *statement)
{
    struct ph_script_error error = {.line = 1, .column = 1};
    struct ph_replaced replaced;
    place->shown = false;
    int rc = ph_statement_replace(statement, run->variables, &replaced, &error);
    if (rc)
        return say(run, place, rc, &error);
    int code = ph_run_statement(run, place, &replaced.statement);
    ph_replaced_fini(&replaced);
    return code;
}

static bool is_canceled(struct ph_run *run)
{
    /* Pairs with the release in ph_run_cancel; it only has to be seen soon. */
    return atomic_load_explicit(&run->canceled, memory_order_acquire);
}

static int run_all(struct ph_run *run, struct ph_run_place *place, const struct ph_script *script)
{
    int first = 0;
    for (size_t i = 0; i < ph_script_count(script) && !run->exited; i++) {
        const struct ph_statement *statement = ph_script_at(script, i);
        int code = is_canceled(run) ? EXIT_INTERRUPTED : replace_and_run(run, place, statement);
        if (code == EXIT_INTERRUPTED)
            return code;
        if (code == 0 || statement->tolerated)
            continue;
        first = first ? first : code;
        if (!run->keep_going)
            break;
    }
    return first;
}

/* The exit code of what was run at the outermost level. */
static int finish(struct ph_run *run, int code)
{
    if (run->depth)
        return code;
    if (code && !run->exit_given && run->exit_code == 0)
        run->exit_code = code;
    return run->exited ? run->exit_code : code;
}

void ph_run_init(struct ph_run *run, struct ph_door *door, struct ph_sink *sink, enum ph_form form,
                 bool keep_going)
{
    *run = (struct ph_run){
        .door = door,
        .sink = sink,
        .form = form,
        .keep_going = keep_going,
        .variables = ph_variables_create(),
        .waiter = ph_waiter_create(),
    };
}

void ph_run_fini(struct ph_run *run)
{
    ph_variables_destroy(run->variables);
    ph_waiter_destroy(run->waiter);
}

int ph_run_script(struct ph_run *run, const struct ph_script *script)
{
    size_t length;
    const char *text = ph_script_text(script, &length);
    struct ph_run_place place = make_place(run, ph_script_name(script), text, length);
    return finish(run, run_all(run, &place, script));
}

int ph_run_parse(struct ph_run *run, const char *name, const char *text, size_t length,
                 struct ph_script **script)
{
    struct ph_script_error error = {.line = 1, .column = 1};
    struct ph_run_place place = make_place(run, name, text, length);
    *script = NULL;
    int rc = ph_script_parse(name, text, length, script, &error);
    if (!rc)
        rc = ph_script_check(*script, &error);
    if (!rc)
        return 0;
    ph_script_destroy(*script);
    *script = NULL;
    return say(run, &place, rc, &error);
}

int ph_run_text(struct ph_run *run, const char *name, const char *text, size_t length)
{
    struct ph_script *script;
    int code = ph_run_parse(run, name, text, length, &script);
    code = code ? finish(run, code) : ph_run_script(run, script);
    ph_script_destroy(script);
    return code;
}

void ph_run_cancel(struct ph_run *run)
{
    /* Pairs with the acquire in is_canceled. */
    atomic_store_explicit(&run->canceled, true, memory_order_release);
    ph_waiter_cancel(run->waiter);
    run->door->cancel(run->door);
}

void ph_run_reset(struct ph_run *run)
{
    /* The owner thread reads it next; nothing is published with it. */
    atomic_store_explicit(&run->canceled, false, memory_order_relaxed);
    ph_waiter_reset(run->waiter);
}
