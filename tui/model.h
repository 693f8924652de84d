/*
 * The model: everything that views may look at.
 *
 * It belongs to the UI thread. Data comes in whole (ph_model_take); views only read, so a screen is
 * a function of the model, the view's state and the size. Bounded: the rows on the screen and a few
 * pages around them, PH_RATES seconds of throughput, PH_EVENTS_KEPT events.
 */
#ifndef PH_TUI_MODEL_H
#define PH_TUI_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/limits.h"
#include "tui/data.h"

/* What the console asks a node for. */
enum ph_slot {
    PH_SLOT_STATUS,
    PH_SLOT_LOCKS,
    PH_SLOT_CHILDREN,
    PH_SLOT_COUNT,
    PH_SLOT_EVENTS,
    PH_SLOT_ROWS,
    PH_SLOT_DETAIL,
    PH_SLOT_NODES,
    PH_SLOT_MOVES,
    PH_SLOTS,
};

enum { PH_RATES = 300, PH_EVENTS_KEPT = 1000 };

/* Events a second, the newest at `last_s`. */
struct ph_rates {
    uint32_t rate[PH_RATES];
    uint64_t last_s; /* second of the newest column; 0: none yet */
    uint64_t events; /* the counter at the last picture */
    uint64_t at_ms;  /* when that was */
};

struct ph_event_log {
    struct ph_json rows[PH_EVENTS_KEPT];
    size_t first, count;
    uint64_t last_seq; /* newest seq seen */
    uint64_t tag;      /* of the filter that they passed */
};

enum ph_link { PH_LINK_OPENING, PH_LINK_LIVE, PH_LINK_LOST };

struct ph_model {
    struct ph_data *data[PH_SLOTS]; /* NULL: nothing yet */
    struct ph_rates rates;
    struct ph_event_log events;
    enum ph_link link;
    struct ph_text problem; /* of PH_LINK_LOST */
    bool paused;
    uint64_t now_ms;        /* monotonic, set before drawing */
    uint64_t status_ms;     /* when the newest picture came */
    uint64_t lock_whole_ms; /* the longest time left seen of the lock that holds the gate */
    char lock_holder[PH_NAME_MAX + 1];
    char selected[PH_ID_MAX + 1]; /* the child under the cursor of the children view */
};

void ph_model_init(struct ph_model *);
void ph_model_fini(struct ph_model *);

/* Moves `data` in. */
void ph_model_take(struct ph_model *, enum ph_slot, struct ph_data *data);
/* Forgets the data of a slot, or all events. */
void ph_model_drop(struct ph_model *, enum ph_slot);

/* Values of the newest picture; 0, "" and false when there is none. */
uint64_t ph_model_uint(const struct ph_model *, const char *key);
const char *ph_model_text(const struct ph_model *, const char *key);
bool ph_model_flag(const struct ph_model *, const char *key);

/* Time that the lock which holds the gate has left; UINT64_MAX: no deadline. */
uint64_t ph_model_lock_left(const struct ph_model *);

/* `back` 0 is the newest. NULL beyond the oldest. */
const struct ph_json *ph_model_event(const struct ph_model *, size_t back);
/* The kept event with that seq, or NULL. */
const struct ph_json *ph_model_event_seq(const struct ph_model *, uint64_t seq);

/* A second went by without a picture: the throughput graph moves on. */
void ph_model_tick(struct ph_model *);
/* Whether the screen changes by time alone: a countdown runs, or the graph has not come to rest. */
bool ph_model_ticks(const struct ph_model *);

/* Events in second `back` before the newest one, which is not over yet. */
uint32_t ph_model_rate(const struct ph_model *, unsigned back);

#endif
