#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/suite.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/limits.h"
#include "engine/text.h"
#include "ipc/row.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, ROUNDS = 5, SECONDS_MAX = 60 };

static const struct ph_bench_suite *const suites[] = {
    &ph_bench_start, &ph_bench_registry, &ph_bench_gate,    &ph_bench_messages, &ph_bench_owners,
    &ph_bench_spawn, &ph_bench_migrate,  &ph_bench_recover, &ph_bench_sync,     &ph_bench_steps,
#ifdef PH_BENCH_LINK
    &ph_bench_link,
#endif
};

struct options {
    const char *suite; /* NULL: list them */
    unsigned rounds;
    uint64_t children; /* 0: those of the case */
    double seconds;
    const char *mode; /* NULL: cold */
    enum ph_form form;
    const char *keeper_path;
};

/* ---- Output -------------------------------------------------------------------------------- */

static int write_data(struct ph_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    if (fwrite(bytes, 1, length, stdout) != length || fflush(stdout))
        return PH_EFAILED;
    return 0;
}

static int write_note(struct ph_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    return fwrite(bytes, 1, length, stderr) == length ? 0 : PH_EFAILED;
}

static struct ph_sink standard_sink(void)
{
    return (struct ph_sink){.data = write_data, .note = write_note};
}

/* Numbers with a fraction are JSON: bare in every form. */
static const struct ph_column row_columns[] = {
    {.key = "suite", .type = PH_COLUMN_TEXT},
    {.key = "case", .type = PH_COLUMN_TEXT},
    {.key = "value", .type = PH_COLUMN_JSON},
    {.key = "unit", .type = PH_COLUMN_TEXT},
    {.key = "ceiling", .type = PH_COLUMN_JSON},
    {.key = "ratio", .type = PH_COLUMN_JSON},
    {.key = "min", .type = PH_COLUMN_JSON},
    {.key = "median", .type = PH_COLUMN_JSON, .wide = true},
    {.key = "max", .type = PH_COLUMN_JSON},
    {.key = "ceiling_min", .type = PH_COLUMN_JSON, .wide = true},
    {.key = "ceiling_max", .type = PH_COLUMN_JSON, .wide = true},
    {.key = "rounds", .type = PH_COLUMN_UINT, .wide = true},
};

static void put_number(struct ph_rows *rows, double number)
{
    char text[64];
    int digits = number >= 100 ? 0 : number >= 10 ? 1 : number >= 1 ? 2 : 4;
    snprintf(text, sizeof text, "%.*f", digits, number);
    ph_rows_str(rows, text);
}

static int put_row(struct ph_rows *rows, const struct options *options, const char *suite,
                   const char *name, const struct ph_bench_figure *figure,
                   const struct ph_bench_result *result)
{
    ph_rows_str(rows, suite);
    ph_rows_str(rows, name);
    put_number(rows, result->value);
    ph_rows_str(rows, figure->unit);
    put_number(rows, result->ceiling);
    put_number(rows, result->ratio);
    put_number(rows, result->min);
    put_number(rows, result->value);
    put_number(rows, result->max);
    put_number(rows, result->ceiling_min);
    put_number(rows, result->ceiling_max);
    ph_rows_uint(rows, options->rounds);
    int rc = ph_rows_end_row(rows);
    /* A table waits for its last row: its widths are not known before. */
    bool at_once = options->form == PH_FORM_JSONL || options->form == PH_FORM_TSV;
    return rc == 0 && at_once ? ph_rows_flush(rows) : rc;
}

/* ---- Running ------------------------------------------------------------------------------- */

static void name_case(const struct ph_bench_figure *figure, uint64_t children, struct ph_text *name)
{
    ph_text_clear(name);
    ph_text_put(name, figure->name);
    if (children)
        ph_text_printf(name, " %llu", (unsigned long long)children);
}

/* People who wait see what is being measured. */
static void note_progress(const char *suite, const char *name)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s%s%s", suite, *suite ? ": " : "", name);
}

static int run_case(const struct options *options, const struct ph_bench_suite *suite,
                    const struct ph_bench_case *which, struct ph_rows *rows)
{
    uint64_t children =
        options->children && which->children && !which->fixed ? options->children : which->children;
    const struct ph_bench_setup setup = {
        .children = children,
        .threads = which->threads,
        .seconds = options->seconds,
        .keeper_path = options->keeper_path,
    };
    struct ph_bench_result results[PH_BENCH_FIGURES_MAX];
    struct ph_error error = {0};
    struct ph_text name = PH_TEXT_INIT;
    name_case(&which->figures[0], children, &name);
    note_progress(suite->name, ph_text_str(&name));
    int rc = ph_bench_measure(which, &setup, options->rounds, results, &error);
    note_progress("", "");
    if (rc)
        fprintf(stderr, "prochub bench: %s, %s: %s\n", suite->name, ph_text_str(&name),
                error.text[0] ? error.text : ph_error_text(rc));
    for (size_t i = 0; rc == 0 && i < PH_BENCH_FIGURES_MAX && which->figures[i].name; i++) {
        name_case(&which->figures[i], children, &name);
        rc = put_row(rows, options, suite->name, ph_text_str(&name), &which->figures[i],
                     &results[i]);
    }
    ph_text_fini(&name);
    return rc;
}

static bool has_modes(const struct ph_bench_suite *suite)
{
    for (size_t i = 0; i < suite->case_count; i++)
        if (suite->cases[i].mode)
            return true;
    return false;
}

static int run_suite(const struct options *options, const struct ph_bench_suite *suite,
                     struct ph_rows *rows)
{
    const char *mode = options->mode ? options->mode : "cold";
    int first = 0;
    for (size_t i = 0; i < suite->case_count; i++) {
        const struct ph_bench_case *which = &suite->cases[i];
        if ((options->children && which->repeated) ||
            (which->mode && strcmp(which->mode, mode) != 0))
            continue;
        int rc = run_case(options, suite, which, rows);
        first = first ? first : rc;
    }
    return first;
}

static int run_suites(const struct options *options)
{
    struct ph_sink sink = standard_sink();
    struct ph_rows *rows =
        ph_rows_begin(&sink, options->form, "bench", row_columns, PH_COUNT_OF(row_columns), false);
    int first = 0;
    for (size_t i = 0; i < PH_COUNT_OF(suites); i++) {
        if (strcmp(options->suite, "all") != 0 && strcmp(options->suite, suites[i]->name) != 0)
            continue;
        int rc = run_suite(options, suites[i], rows);
        first = first ? first : rc;
    }
    int rc = ph_rows_finish(rows);
    return first || rc ? EXIT_FAILED : 0;
}

static int list_suites(const struct options *options)
{
    static const struct ph_column columns[] = {
        {.key = "suite", .type = PH_COLUMN_TEXT},
        {.key = "summary", .type = PH_COLUMN_TEXT},
    };
    struct ph_sink sink = standard_sink();
    struct ph_rows *rows =
        ph_rows_begin(&sink, options->form, "bench_suite", columns, PH_COUNT_OF(columns), false);
    for (size_t i = 0; i < PH_COUNT_OF(suites); i++) {
        ph_rows_str(rows, suites[i]->name);
        ph_rows_str(rows, suites[i]->summary);
        if (ph_rows_end_row(rows))
            break;
    }
    return ph_rows_finish(rows) ? EXIT_FAILED : 0;
}

/* ---- Options ------------------------------------------------------------------------------- */

static bool read_rounds(struct options *options, const char *text)
{
    uint64_t rounds;
    if (!ph_parse_uint(text, PH_BENCH_ROUNDS_MAX, &rounds) || rounds == 0)
        return false;
    options->rounds = (unsigned)rounds;
    return true;
}

static bool read_children(struct options *options, const char *text)
{
    return ph_parse_uint(text, PH_CHILDREN_MAX, &options->children) && options->children > 0;
}

static bool read_seconds(struct options *options, const char *text)
{
    char *end;
    options->seconds = strtod(text, &end);
    return end != text && !*end && options->seconds > 0 && options->seconds <= SECONDS_MAX;
}

static bool read_mode(struct options *options, const char *text)
{
    options->mode = text;
    return strcmp(text, "cold") == 0 || strcmp(text, "hot") == 0;
}

static bool read_form(struct options *options, const char *text)
{
    return ph_form_parse(text, &options->form);
}

static bool read_keeper(struct options *options, const char *text)
{
    options->keeper_path = text;
    return *text != '\0';
}

static const struct option {
    const char *name;
    bool (*read)(struct options *, const char *text);
    const char *use;
} option_table[] = {
    {.name = "--rounds", .read = read_rounds, .use = "N  rounds of every case, 1 to 100 (5)"},
    {.name = "--children", .read = read_children, .use = "N  children instead of a case's own"},
    {.name = "--seconds", .read = read_seconds, .use = "S  length of a measurement, to 60 (0.5)"},
    {.name = "--mode", .read = read_mode, .use = "cold|hot  how children move, in migrate (cold)"},
    {.name = "-o", .read = read_form, .use = "FORM  table, wide, json, jsonl or tsv"},
    {.name = "--keeper", .read = read_keeper, .use = "PATH  prochub-keeper, if it is elsewhere"},
};

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < PH_COUNT_OF(option_table); i++)
        if (strcmp(option_table[i].name, name) == 0)
            return &option_table[i];
    return NULL;
}

static const struct ph_bench_suite *find_suite(const char *name)
{
    for (size_t i = 0; i < PH_COUNT_OF(suites); i++)
        if (strcmp(name, suites[i]->name) == 0)
            return suites[i];
    return NULL;
}

static bool is_suite(const char *name)
{
    return strcmp(name, "all") == 0 || find_suite(name);
}

static int refuse(const char *what, const char *why)
{
    fprintf(stderr, "prochub bench: '%s': %s\nusage: prochub bench [SUITE|all] [OPTIONS]\n", what,
            why);
    for (size_t i = 0; i < PH_COUNT_OF(option_table); i++)
        fprintf(stderr, "  %s %s\n", option_table[i].name, option_table[i].use);
    return EXIT_USAGE;
}

static int read_arguments(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct option *option = find_option(argv[i]);
        if (!option && argv[i][0] == '-')
            return refuse(argv[i], "no such option");
        if (!option && options->suite)
            return refuse(argv[i], "one suite at a time, or all");
        if (!option && !is_suite(argv[i]))
            return refuse(argv[i], "no such suite: `prochub bench` lists them");
        if (!option) {
            options->suite = argv[i];
            continue;
        }
        if (i + 1 == argc)
            return refuse(argv[i], "needs a value");
        if (!option->read(options, argv[i + 1]))
            return refuse(argv[i + 1], option->use);
        i++;
    }
    const struct ph_bench_suite *suite = options->suite ? find_suite(options->suite) : NULL;
    if (options->mode && suite && !has_modes(suite))
        return refuse(suite->name, "nothing of it has a --mode");
    return 0;
}

int ph_bench_main(int argc, char **argv)
{
    struct options options = {.rounds = ROUNDS, .seconds = 0.5, .form = PH_FORM_TABLE};
    int rc = read_arguments(&options, argc, argv);
    if (rc)
        return rc;
    return options.suite ? run_suites(&options) : list_suites(&options);
}
