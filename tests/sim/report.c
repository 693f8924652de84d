#include "tests/sim/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "engine/alloc.h"

enum { KEPT = 120, LINE_MAX = 400 };

struct sim_report *sim_report_create(bool narrates, bool keeps)
{
    struct sim_report *report = ph_alloc(sizeof *report);
    report->narrates = narrates;
    report->keeps = keeps;
    report->kept = ph_alloc(KEPT * sizeof *report->kept);
    return report;
}

void sim_report_destroy(struct sim_report *report)
{
    for (size_t i = 0; i < KEPT; i++)
        ph_free(report->kept[i]);
    ph_free(report->kept);
    ph_free(report);
}

void sim_report_print(const struct sim_report *report, size_t lines)
{
    size_t count = report->kept_count;
    size_t at = count > lines ? count - lines : 0;
    for (; at < count; at++)
        puts(report->kept[at % KEPT]);
}

void sim_hash(struct sim *sim, const void *bytes, size_t length)
{
    sim->report->hash = XXH3_64bits_withSeed(bytes, length, sim->report->hash);
}

static void put_line(struct sim_report *report, const char *line)
{
    if (report->narrates)
        puts(line);
    if (!report->keeps)
        return;
    char **slot = &report->kept[report->kept_count++ % KEPT];
    ph_free(*slot);
    *slot = ph_copy_text(line, strlen(line));
}

void sim_note(struct sim *sim, const struct sim_node *node, const char *event, const char *format,
              ...)
{
    char line[LINE_MAX];
    if (!sim->report->narrates && !sim->report->keeps)
        return;
    int length = snprintf(line, sizeof line, "[%.6f] %s > %s", (double)sim->now_us / 1e6,
                          node ? node->name : "world", event);
    char text[LINE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (text[0])
        snprintf(line + length, sizeof line - (size_t)length, " -> %s", text);
    put_line(sim->report, line);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    struct sim_report *report = sim->report;
    va_list args;
    if (sim->failed)
        return;
    sim->failed = true;
    va_start(args, format);
    vsnprintf(report->reason, sizeof report->reason, format, args);
    va_end(args);
    if (report->narrates || report->keeps)
        sim_describe(sim);
    sim_note(sim, NULL, "FAIL", "%s", report->reason);
}
