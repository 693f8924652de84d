#include "tui/view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base.h"

/* How far back a stream begins, and goes on when it was left behind. */
enum { EVENTS_BACK = 500 };

const struct ph_view *ph_view_at(unsigned index)
{
    static const struct ph_view *const views[PH_VIEWS] = {
        &ph_view_overview, &ph_view_children, &ph_view_moves, &ph_view_events,
        &ph_view_hooks,    &ph_view_logs,     &ph_view_nodes,
    };
    return index < PH_VIEWS ? views[index] : NULL;
}

void ph_want(struct ph_wants *wants, enum ph_slot slot, uint64_t tag, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct ph_want *want = &wants->slot[slot];
    ph_text_clear(&want->command);
    ph_text_clear(&want->key);
    ph_text_put(&want->command, text);
    ph_text_put(&want->key, text);
    want->tag = tag;
}

void ph_wants_fini(struct ph_wants *wants)
{
    for (enum ph_slot slot = 0; slot < PH_SLOTS; slot++) {
        ph_text_fini(&wants->slot[slot].command);
        ph_text_fini(&wants->slot[slot].key);
    }
    *wants = (struct ph_wants){0};
}

/* 0 for no text. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = *text ? 14695981039346656037u : 0;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

void ph_want_events(struct ph_wants *wants, const struct ph_model *model, const char *filter)
{
    uint64_t newest = ph_model_uint(model, "events"), since = model->events.last_seq;
    if (newest > since + PH_EVENTS_KEPT || !since)
        since = newest > EVENTS_BACK ? newest - EVENTS_BACK : 0;
    struct ph_text where = PH_TEXT_INIT;
    ph_put_filter(&where, "type", filter);
    ph_want(wants, PH_SLOT_EVENTS, hash_text(filter), "events since=%llu%s",
            (unsigned long long)since, ph_text_str(&where));
    struct ph_text *key = &wants->slot[PH_SLOT_EVENTS].key;
    ph_text_clear(key);
    ph_text_printf(key, "events%s", ph_text_str(&where));
    ph_text_fini(&where);
}

void ph_put_word(struct ph_text *out, const char *text)
{
    if (!strchr(text, '\'') && !strchr(text, '\n')) {
        ph_text_put(out, "'");
        ph_text_put(out, text);
        ph_text_put(out, "'");
        return;
    }
    ph_text_put(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\' || *text == '$')
            ph_text_put(out, "\\");
        ph_text_append(out, *text == '\n' ? "\\n" : text, *text == '\n' ? 2 : 1);
    }
    ph_text_put(out, "\"");
}

void ph_put_filter(struct ph_text *out, const char *field, const char *typed)
{
    if (!*typed)
        return;
    if (strpbrk(typed, " =<>!~()'\"")) {
        ph_text_printf(out, " where %s", typed);
        return;
    }
    ph_text_printf(out, " where %s =~ ", field);
    ph_put_word(out, typed);
}

const char *ph_human_count(uint64_t value, char *out)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *ph_human_short(uint64_t value, char *out)
{
    static const struct {
        uint64_t unit;
        const char *name;
    } units[] = {{1000000000, "G"}, {1000000, "M"}, {1000, "k"}};
    for (size_t i = 0; i < PH_COUNT_OF(units); i++) {
        if (value < units[i].unit * (units[i].unit == 1000 ? 10 : 1))
            continue;
        bool whole = value % units[i].unit == 0;
        snprintf(out, PH_HUMAN_MAX, "%.*f%s", whole ? 0 : 1, (double)value / (double)units[i].unit,
                 units[i].name);
        return out;
    }
    snprintf(out, PH_HUMAN_MAX, "%llu", (unsigned long long)value);
    return out;
}

const char *ph_human_duration(uint64_t ms, char *out)
{
    unsigned long long s = ms / 1000;
    if (ms < 1000)
        snprintf(out, PH_HUMAN_MAX, "%llu ms", (unsigned long long)ms);
    else if (s < 60)
        snprintf(out, PH_HUMAN_MAX, "%llu.%llu s", s, (unsigned long long)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(out, PH_HUMAN_MAX, "%llum%02llus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, PH_HUMAN_MAX, "%lluh%02llum", s / 3600, s % 3600 / 60);
    else
        snprintf(out, PH_HUMAN_MAX, "%llud%02lluh", s / 86400, s % 86400 / 3600);
    return out;
}

const char *ph_human_clock(const char *time, char *out)
{
    const char *clock = time ? strchr(time, 'T') : NULL;
    snprintf(out, PH_HUMAN_MAX, "%.12s", clock ? clock + 1 : time ? time : "-");
    return out;
}

bool ph_cursor_key(enum ph_action action, uint64_t count, uint64_t page, uint64_t *cursor)
{
    uint64_t last = count ? count - 1 : 0, step = page > 1 ? page - 1 : 1;
    uint64_t at = *cursor < last ? *cursor : last;
    if (action == PH_ACTION_DOWN)
        *cursor = at < last ? at + 1 : last;
    else if (action == PH_ACTION_UP)
        *cursor = at ? at - 1 : 0;
    else if (action == PH_ACTION_PAGE_DOWN)
        *cursor = last - at > step ? at + step : last;
    else if (action == PH_ACTION_PAGE_UP)
        *cursor = at > step ? at - step : 0;
    else if (action == PH_ACTION_TOP)
        *cursor = 0;
    else if (action == PH_ACTION_BOTTOM)
        *cursor = last;
    else
        return false;
    return true;
}

void ph_cursor_settle(uint64_t count, uint64_t page, uint64_t *cursor, uint64_t *top)
{
    if (!page)
        page = 1;
    if (*cursor >= count)
        *cursor = count ? count - 1 : 0;
    if (*top > *cursor)
        *top = *cursor;
    if (*cursor - *top >= page)
        *top = *cursor - page + 1;
    if (*top && count - *top < page)
        *top = count > page ? count - page : 0;
}
