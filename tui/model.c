#include "tui/model.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"

void ph_model_init(struct ph_model *model)
{
    *model = (struct ph_model){.link = PH_LINK_OPENING};
}

static void drop_events(struct ph_event_log *log)
{
    for (size_t i = 0; i < log->count; i++)
        ph_json_fini(&log->rows[(log->first + i) % PH_EVENTS_KEPT]);
    *log = (struct ph_event_log){0};
}

void ph_model_drop(struct ph_model *model, enum ph_slot slot)
{
    ph_data_destroy(model->data[slot]);
    model->data[slot] = NULL;
    if (slot == PH_SLOT_EVENTS)
        drop_events(&model->events);
}

void ph_model_fini(struct ph_model *model)
{
    for (enum ph_slot slot = 0; slot < PH_SLOTS; slot++)
        ph_model_drop(model, slot);
    ph_text_fini(&model->problem);
}

static const struct ph_json *picture(const struct ph_model *model)
{
    const struct ph_data *data = model->data[PH_SLOT_STATUS];
    return data && data->count ? &data->rows[0] : NULL;
}

uint64_t ph_model_uint(const struct ph_model *model, const char *key)
{
    const struct ph_json *row = picture(model);
    return row ? ph_json_uint(row, key, 0) : 0;
}

const char *ph_model_text(const struct ph_model *model, const char *key)
{
    const struct ph_json *row = picture(model);
    const char *text = row ? ph_json_text(row, key) : NULL;
    return text ? text : "";
}

bool ph_model_flag(const struct ph_model *model, const char *key)
{
    const struct ph_json *row = picture(model);
    return row && ph_json_bool(row, key);
}

/* ---- Throughput ---- */

static void rates_advance(struct ph_rates *rates, uint64_t second)
{
    if (!rates->last_s)
        rates->last_s = second;
    if (second > rates->last_s + PH_RATES)
        rates->last_s = second - PH_RATES;
    while (rates->last_s < second)
        rates->rate[++rates->last_s % PH_RATES] = 0;
}

/* Spreads what was counted since the last picture over the seconds since then, five minutes at
 * most. */
static void rates_add(struct ph_rates *rates, uint64_t events, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000 + 1, from = rates->at_ms / 1000 + 1;
    bool first = !rates->at_ms || events < rates->events;
    uint64_t delta = first ? 0 : events - rates->events;
    rates->events = events;
    rates->at_ms = now_ms;
    rates_advance(rates, second);
    if (!delta)
        return;
    if (from < second && from + PH_RATES > second)
        from++; /* the second in which the last picture came has had its share */
    else
        from = second;
    uint64_t columns = second - from + 1;
    for (uint64_t i = 0; i < columns; i++) {
        uint64_t share = delta / columns + (i < delta % columns ? 1 : 0);
        uint32_t *rate = &rates->rate[(from + i) % PH_RATES];
        *rate = share > UINT32_MAX - *rate ? UINT32_MAX : *rate + (uint32_t)share;
    }
}

uint32_t ph_model_rate(const struct ph_model *model, unsigned back)
{
    const struct ph_rates *rates = &model->rates;
    if (back >= PH_RATES || back >= rates->last_s)
        return 0;
    return rates->rate[(rates->last_s - back) % PH_RATES];
}

void ph_model_tick(struct ph_model *model)
{
    if (model->rates.last_s)
        rates_advance(&model->rates, model->now_ms / 1000 + 1);
}

bool ph_model_ticks(const struct ph_model *model)
{
    bool counting = ph_model_uint(model, "level") && ph_model_lock_left(model) != UINT64_MAX &&
                    ph_model_lock_left(model) > 0;
    return counting || ph_model_rate(model, 0) || ph_model_rate(model, 1);
}

/* ---- Pictures ---- */

static void note_lock(struct ph_model *model)
{
    const char *holder = ph_model_text(model, "holder");
    uint64_t left = ph_model_uint(model, "lock_left_ms");
    if (strcmp(holder, model->lock_holder)) {
        snprintf(model->lock_holder, sizeof model->lock_holder, "%s", holder);
        model->lock_whole_ms = 0;
    }
    if (left > model->lock_whole_ms)
        model->lock_whole_ms = left;
}

uint64_t ph_model_lock_left(const struct ph_model *model)
{
    const struct ph_json *row = picture(model);
    uint64_t left = row ? ph_json_uint(row, "lock_left_ms", UINT64_MAX) : UINT64_MAX;
    uint64_t age = model->now_ms > model->status_ms ? model->now_ms - model->status_ms : 0;
    if (left == UINT64_MAX)
        return left;
    return left > age ? left - age : 0;
}

/* A picture that failed leaves the last good one on the screen, with the reason in the title bar.
 */
static void take_status(struct ph_model *model, struct ph_data *data)
{
    if (data->code || !data->count) {
        model->link = PH_LINK_LOST;
        ph_text_clear(&model->problem);
        ph_text_put(&model->problem, data->code ? ph_text_str(&data->error) : "no status");
        ph_data_destroy(data);
        return;
    }
    bool restarted = model->link == PH_LINK_LOST &&
                     ph_json_uint(&data->rows[0], "events", 0) < model->events.last_seq;
    model->link = PH_LINK_LIVE;
    ph_data_destroy(model->data[PH_SLOT_STATUS]);
    model->data[PH_SLOT_STATUS] = data;
    model->status_ms = model->now_ms;
    if (restarted)
        ph_model_drop(model, PH_SLOT_EVENTS);
    note_lock(model);
    rates_add(&model->rates, ph_model_uint(model, "events"), model->now_ms);
}

/* ---- Events ---- */

static void push_event(struct ph_event_log *log, struct ph_json *row)
{
    uint64_t seq = ph_json_uint(row, "seq", 0);
    if (seq <= log->last_seq) {
        ph_json_fini(row);
        return;
    }
    log->last_seq = seq;
    if (log->count == PH_EVENTS_KEPT) {
        ph_json_fini(&log->rows[log->first]);
        log->first = (log->first + 1) % PH_EVENTS_KEPT;
        log->count--;
    }
    log->rows[(log->first + log->count++) % PH_EVENTS_KEPT] = *row;
}

/* The rows move into the log; what stays in the slot is the error, if there is one. */
static void take_events(struct ph_model *model, struct ph_data *data)
{
    for (size_t i = 0; i < data->count; i++)
        push_event(&model->events, &data->rows[i]);
    data->count = 0;
    ph_data_destroy(model->data[PH_SLOT_EVENTS]);
    model->data[PH_SLOT_EVENTS] = data;
}

const struct ph_json *ph_model_event(const struct ph_model *model, size_t back)
{
    const struct ph_event_log *log = &model->events;
    if (back >= log->count)
        return NULL;
    return &log->rows[(log->first + log->count - 1 - back) % PH_EVENTS_KEPT];
}

const struct ph_json *ph_model_event_seq(const struct ph_model *model, uint64_t seq)
{
    size_t low = 0, high = model->events.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct ph_json *row = ph_model_event(model, middle);
        uint64_t found = ph_json_uint(row, "seq", 0);
        if (found == seq)
            return row;
        if (found > seq)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void ph_model_take(struct ph_model *model, enum ph_slot slot, struct ph_data *data)
{
    if (slot == PH_SLOT_STATUS) {
        take_status(model, data);
        return;
    }
    if (slot == PH_SLOT_EVENTS) {
        take_events(model, data);
        return;
    }
    ph_data_destroy(model->data[slot]);
    model->data[slot] = data;
}
