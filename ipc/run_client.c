#include "ipc/run_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base.h"
#include "engine/error.h"
#include "engine/waiter.h"
#include "ipc/session.h"
#include "ipc/variables.h"

enum { SOURCE_DEPTH_MAX = 16, WATCH_EVERY_MS = 1000, WATCH_LEAST_MS = 10, READ_BYTES = 65536 };

static int say(struct ph_run *run, struct ph_run_place *place, const struct ph_word *word, int rc,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

static int say(struct ph_run *run, struct ph_run_place *place, const struct ph_word *word, int rc,
               const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ph_say_error(&place->sink, run->form,
                 (struct ph_position){place->script, word->line, word->column}, rc, text);
    return ph_run_exit_code(rc);
}

static const struct ph_word *first_word(const struct ph_args *args)
{
    return &args->statement->words[0];
}

/* One text for people, or an object with it for programs. */
static int write_text(struct ph_run *run, const char *type, const char *text, size_t length,
                      const char *end)
{
    static const struct ph_column column = {.key = "text", .type = PH_COLUMN_TEXT};
    int rc;
    if (run->form == PH_FORM_JSON || run->form == PH_FORM_JSONL) {
        struct ph_rows *rows = ph_rows_begin(run->sink, run->form, type, &column, 1, true);
        ph_rows_text(rows, text, length);
        (void)ph_rows_end_row(rows);
        rc = ph_rows_finish(rows);
    } else {
        rc = run->sink->data(run->sink, text, length);
        if (rc == 0)
            rc = run->sink->data(run->sink, end, strlen(end));
    }
    return ph_run_exit_code(rc < 0 ? rc : 0);
}

/* ---- let, echo ----------------------------------------------------------------------------- */

static int let_check(const struct ph_args *args, bool check, struct ph_script_error *error)
{
    const struct ph_word *name = args->words[0];
    if (args->word_count > 2)
        return ph_word_refuse(args->words[2], error, PH_EUSAGE,
                              "let takes one value: quote a value of several words");
    if (check && name->variable)
        return 0;
    if (ph_variable_name_is_valid(name->text))
        return 0;
    return ph_word_refuse(
        name, error, PH_EUSAGE,
        "%s: a variable's name has letters, digits and _, and begins with no digit",
        ph_word_shown(name).text);
}

static int let_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    int rc = ph_variables_set(run->variables, args->words[0]->text, args->text);
    if (rc)
        return say(run, place, args->words[0], rc,
                   "a script has at most 1024 variables of at most 1 MiB each");
    return 0;
}

static int echo_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    (void)place;
    return write_text(run, "echo", args->text, strlen(args->text), "\n");
}

/* ---- sleep, exit --------------------------------------------------------------------------- */

static int sleep_check(const struct ph_args *args, bool check, struct ph_script_error *error)
{
    uint64_t ms;
    const struct ph_word *word = args->words[0];
    if ((check && word->variable) || ph_parse_duration(word->text, &ms))
        return 0;
    return ph_word_refuse(word, error, PH_EUSAGE, "%s: a duration like 250ms, 5s, 2m, 1h",
                          ph_word_shown(word).text);
}

/* An exit code: 0 when the time is over, 130. */
static int sleep_until(struct ph_run *run, uint64_t deadline_ms)
{
    int rc;
    do {
        rc = ph_waiter_sleep(run->waiter, deadline_ms);
    } while (rc == 0);
    return rc == PH_ETIMEOUT ? 0 : ph_run_exit_code(rc);
}

static int sleep_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    uint64_t ms = 0;
    (void)place;
    (void)ph_parse_duration(args->words[0]->text, &ms);
    return sleep_until(run, ph_now_ms() + ms);
}

static int exit_check(const struct ph_args *args, bool check, struct ph_script_error *error)
{
    uint64_t code;
    if (args->word_count == 0 || (check && args->words[0]->variable) ||
        ph_parse_uint(args->words[0]->text, 255, &code))
        return 0;
    return ph_word_refuse(args->words[0], error, PH_EUSAGE, "%s: an exit code from 0 to 255",
                          ph_word_shown(args->words[0]).text);
}

static int exit_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    uint64_t code = 0;
    (void)place;
    run->exited = true;
    if (args->word_count && ph_parse_uint(args->words[0]->text, 255, &code)) {
        run->exit_given = true;
        run->exit_code = (int)code;
    }
    return 0;
}

/* ---- source -------------------------------------------------------------------------------- */

static int read_all(int fd, struct ph_text *text)
{
    char bytes[READ_BYTES];
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (text->length + (size_t)got > PH_SCRIPT_BYTES_MAX)
            return -EFBIG;
        ph_text_append(text, bytes, (size_t)got);
    }
}

static int read_file(const char *path, struct ph_text *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = read_all(fd, text);
    close(fd);
    return rc;
}

static int source_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    const struct ph_word *path = args->words[0];
    struct ph_text text = PH_TEXT_INIT;
    if (run->depth >= SOURCE_DEPTH_MAX)
        return say(run, place, path, PH_ELIMIT, "%s: source is nested more than 16 deep",
                   ph_word_shown(path).text);
    int rc = read_file(path->text, &text), code;
    if (rc == 0) {
        run->depth++;
        code = ph_run_text(run, path->text, ph_text_str(&text), text.length);
        run->depth--;
    } else {
        code = say(run, place, path, rc, "%s: %s", ph_word_shown(path).text, ph_error_text(rc));
    }
    ph_text_fini(&text);
    return code;
}

/* ---- watch --------------------------------------------------------------------------------- */

/* The value of the row's option `every`, in ms. */
static uint64_t watch_every(const struct ph_args *args, const struct ph_word **word)
{
    for (size_t i = 0; i < PH_OPTIONS_MAX && args->command->options[i].name; i++) {
        if (strcmp(args->command->options[i].name, "every") != 0 || !args->values[i])
            continue;
        *word = args->values[i];
        return args->numbers[i];
    }
    *word = NULL;
    return WATCH_EVERY_MS;
}

static int watch_check(const struct ph_args *args, bool check, struct ph_script_error *error)
{
    const struct ph_word *word, *first = &args->nested.words[0];
    uint64_t every_ms = watch_every(args, &word);
    if (word && every_ms < WATCH_LEAST_MS && !(check && word->variable))
        return ph_word_refuse(word, error, PH_EUSAGE, "%s: at least 10ms",
                              ph_word_shown(word).text);
    if (ph_word_is(first, "watch") || ph_word_is(first, "try"))
        return ph_word_refuse(first, error, PH_EUSAGE, "watch takes another command, not `%s`",
                              first->text);
    return check ? ph_statement_check(&args->nested, error) : 0;
}

static int watch_separate(struct ph_run *run)
{
    if (run->form != PH_FORM_TABLE && run->form != PH_FORM_WIDE)
        return 0;
    struct ph_text line = PH_TEXT_INIT;
    ph_text_put(&line, "--- ");
    ph_text_time(&line, ph_wall_ms());
    ph_text_put(&line, "\n");
    int rc = run->sink->data(run->sink, line.data, line.length);
    ph_text_fini(&line);
    return ph_run_exit_code(rc < 0 ? rc : 0);
}

static int watch_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    const struct ph_word *word;
    uint64_t every_ms = watch_every(args, &word), next_ms = ph_now_ms();
    int code = 0;
    while (code == 0 && !run->exited) {
        code = ph_run_statement(run, place, &args->nested);
        uint64_t now_ms = ph_now_ms();
        next_ms = next_ms + every_ms > now_ms ? next_ms + every_ms : now_ms;
        if (code == 0 && !run->exited)
            code = sleep_until(run, next_ms);
        if (code == 0 && !run->exited)
            code = watch_separate(run);
    }
    return code;
}

/* ---- help ---------------------------------------------------------------------------------- */

static struct ph_statement words_behind(const struct ph_args *args)
{
    const struct ph_statement *statement = args->statement;
    return (struct ph_statement){
        .words = statement->words + 1, .count = statement->count - 1, .argv = statement->count - 1};
}

/* `help hub`: is it the first word of commands of two? */
static bool is_begun(const char *name, const char *word)
{
    size_t length = strlen(word);
    return strncmp(name, word, length) == 0 && name[length] == ' ';
}

static size_t help_begun(const char *word, struct ph_text *out)
{
    size_t count = 0;
    for (size_t i = 0; i < ph_command_count; i++) {
        if (!is_begun(ph_commands[i].name, word))
            continue;
        ph_text_put(out, count++ ? "\n" : "");
        ph_command_help(&ph_commands[i], out);
    }
    return count;
}

/* The help that the words ask for. */
static int find_help(const struct ph_args *args, struct ph_text *out, struct ph_script_error *error)
{
    if (args->word_count == 0) {
        ph_command_help(NULL, out);
        return 0;
    }
    struct ph_statement asked = words_behind(args);
    const struct ph_command *row = ph_command_find(&asked, error);
    if (row && args->word_count == 2 && !strchr(row->name, ' '))
        return ph_word_refuse(args->words[1], error, PH_EUSAGE, "%s: `help %s` is enough",
                              ph_word_shown(args->words[1]).text, row->name);
    if (row)
        ph_command_help(row, out);
    else if (args->word_count > 1 || help_begun(args->words[0]->text, out) == 0)
        return PH_EUSAGE;
    return 0;
}

static int help_check(const struct ph_args *args, bool check, struct ph_script_error *error)
{
    for (size_t i = 0; check && i < args->word_count; i++) {
        if (args->words[i]->variable)
            return 0;
    }
    struct ph_text out = PH_TEXT_INIT;
    int rc = find_help(args, &out, error);
    ph_text_fini(&out);
    return rc;
}

static int help_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    struct ph_text out = PH_TEXT_INIT;
    struct ph_script_error error = {0};
    int rc = find_help(args, &out, &error);
    int code = rc ? say(run, place, first_word(args), rc, "%s", error.error.text)
                  : write_text(run, "help", ph_text_str(&out), out.length, "");
    ph_text_fini(&out);
    return code;
}

/* ---- The table ----------------------------------------------------------------------------- */

static const struct client {
    const char *name;
    int (*check)(const struct ph_args *, bool check, struct ph_script_error *); /* may be NULL */
    int (*run)(struct ph_run *, struct ph_run_place *, const struct ph_args *);
} clients[] = {
    {.name = "let", .check = let_check, .run = let_run},
    {.name = "echo", .run = echo_run},
    {.name = "sleep", .check = sleep_check, .run = sleep_run},
    {.name = "source", .run = source_run},
    {.name = "watch", .check = watch_check, .run = watch_run},
    {.name = "help", .check = help_check, .run = help_run},
    {.name = "exit", .check = exit_check, .run = exit_run},
};

static const struct client *find_client(const char *name)
{
    for (size_t i = 0; i < PH_COUNT_OF(clients); i++) {
        if (strcmp(clients[i].name, name) == 0)
            return &clients[i];
    }
    return NULL;
}

int ph_client_check(const struct ph_args *args, bool check, struct ph_script_error *error)
{
    const struct client *client = find_client(args->command->name);
    return client && client->check ? client->check(args, check, error) : 0;
}

int ph_client_run(struct ph_run *run, struct ph_run_place *place, const struct ph_args *args)
{
    const struct client *client = find_client(args->command->name);
    ph_assert(client);
    return client->run(run, place, args);
}
