#include "engine/wheel.h"

#include <stddef.h>
#include <string.h>

#include "engine/base.h"

enum { LEVEL_BITS = 8, SLOT_MASK = PH_WHEEL_SLOTS - 1, SCAN_MAX = 64 };

#define REACH_MS (UINT64_C(1) << (LEVEL_BITS * PH_WHEEL_LEVELS))

/*
 * Order. A timer's level follows from how far ahead its deadline is, so of two timers with the same
 * deadline the one on the higher level was armed earlier. Lists keep the order of arming; a slot
 * that turns is put in front of what its lower slots hold. So equal deadlines come out as they were
 * armed.
 *
 * A slot of level 1 and above that has the index of the present time was emptied when the time
 * entered it: what is in it now is one whole turn (256 slots) ahead.
 */

/* ---- Lists ---- */

static void list_init(struct ph_wheel_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

/* Puts `timer` where `link` points to. */
static void list_insert(struct ph_wheel_list *list, struct ph_wheel_timer **link,
                        struct ph_wheel_timer *timer)
{
    timer->next = *link;
    timer->link = link;
    *link = timer;
    if (timer->next)
        timer->next->link = &timer->next;
    else
        list->last = &timer->next;
}

/* The timer before `timer`, NULL when it is the first. */
static struct ph_wheel_timer *list_before(const struct ph_wheel_list *list,
                                          const struct ph_wheel_timer *timer)
{
    if (timer->link == &list->first)
        return NULL;
    return ph_container_of(timer->link, struct ph_wheel_timer, next);
}

static struct ph_wheel_timer *list_newest(const struct ph_wheel_list *list)
{
    if (!list->first)
        return NULL;
    return ph_container_of(list->last, struct ph_wheel_timer, next);
}

/* Moves everything to `into`, which was empty. */
static void list_take(struct ph_wheel_list *list, struct ph_wheel_list *into)
{
    *into = *list;
    if (into->first)
        into->first->link = &into->first;
    else
        into->last = &into->first;
    list_init(list);
}

/* ---- Slots ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static unsigned slot_index(uint64_t time_ms, unsigned level)
{
    return (unsigned)(time_ms >> (LEVEL_BITS * level)) & SLOT_MASK;
}

static void mark(struct ph_wheel *wheel, unsigned level, unsigned index)
{
    wheel->used[level][index / 64] |= UINT64_C(1) << (index % 64);
}

static void unmark(struct ph_wheel *wheel, unsigned level, unsigned index)
{
    wheel->used[level][index / 64] &= ~(UINT64_C(1) << (index % 64));
}

/* The list for a deadline after now; marks its slot. */
static struct ph_wheel_list *list_for(struct ph_wheel *wheel, uint64_t deadline_ms)
{
    uint64_t ahead = deadline_ms - wheel->now_ms;
    if (ahead >= REACH_MS) {
        wheel->far_turn_ms = least(wheel->far_turn_ms, deadline_ms / REACH_MS * REACH_MS);
        return &wheel->far;
    }
    unsigned level = 0;
    while (ahead >> (LEVEL_BITS * (level + 1)))
        level++;
    unsigned index = slot_index(deadline_ms, level);
    mark(wheel, level, index);
    return &wheel->slot[level][index];
}

/* After the last one that is not later. */
static void insert_due(struct ph_wheel *wheel, struct ph_wheel_timer *timer)
{
    struct ph_wheel_timer *before = list_newest(&wheel->due);
    while (before && before->deadline_ms > timer->deadline_ms)
        before = list_before(&wheel->due, before);
    list_insert(&wheel->due, before ? &before->next : &wheel->due.first, timer);
}

/* Distance (1..256) from `from` to the next used slot of a level; 0: none. */
static unsigned next_used(const struct ph_wheel *wheel, unsigned level, unsigned from)
{
    for (unsigned distance = 1; distance <= PH_WHEEL_SLOTS;) {
        unsigned index = (from + distance) & SLOT_MASK;
        uint64_t word = wheel->used[level][index / 64] >> (index % 64);
        if (word)
            return distance + (unsigned)__builtin_ctzll(word);
        distance += 64 - index % 64;
    }
    return 0;
}

/* When the next used slot of a level turns; PH_NEVER: none. */
static uint64_t next_turn(const struct ph_wheel *wheel, unsigned level)
{
    unsigned distance = next_used(wheel, level, slot_index(wheel->now_ms, level));
    if (!distance)
        return PH_NEVER;
    unsigned shift = LEVEL_BITS * level;
    return ((wheel->now_ms >> shift) + distance) << shift;
}

/* ---- Time ---- */

/* Spreads a list that turned over the lower levels, in front of what they hold. */
static void cascade(struct ph_wheel *wheel, struct ph_wheel_list *list)
{
    struct ph_wheel_list turned;
    list_take(list, &turned);
    for (struct ph_wheel_timer *timer = list_newest(&turned), *before; timer; timer = before) {
        before = list_before(&turned, timer);
        struct ph_wheel_list *lower = list_for(wheel, timer->deadline_ms);
        list_insert(lower, &lower->first, timer);
    }
}

/* The time is `now_ms`: turns every slot that begins there, the lower ones first, so that the older
 * timers of the higher ones come to stand in front. */
static void turn(struct ph_wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    for (unsigned level = 1; level < PH_WHEEL_LEVELS; level++) {
        if (now_ms & ((UINT64_C(1) << (LEVEL_BITS * level)) - 1))
            break;
        unmark(wheel, level, slot_index(now_ms, level));
        cascade(wheel, &wheel->slot[level][slot_index(now_ms, level)]);
    }
    if (now_ms >= wheel->far_turn_ms) {
        wheel->far_turn_ms = PH_NEVER;
        cascade(wheel, &wheel->far);
    }
    unsigned index = slot_index(now_ms, 0);
    unmark(wheel, 0, index);
    list_take(&wheel->slot[0][index], &wheel->due);
}

void ph_wheel_init(struct ph_wheel *wheel, uint64_t now_ms)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->now_ms = now_ms;
    for (unsigned level = 0; level < PH_WHEEL_LEVELS; level++) {
        for (unsigned index = 0; index < PH_WHEEL_SLOTS; index++)
            list_init(&wheel->slot[level][index]);
    }
    list_init(&wheel->due);
    list_init(&wheel->far);
    wheel->far_turn_ms = PH_NEVER;
}

void ph_wheel_add(struct ph_wheel *wheel, struct ph_wheel_timer *timer, uint64_t deadline_ms)
{
    ph_wheel_cancel(wheel, timer);
    timer->deadline_ms = deadline_ms;
    wheel->armed++;
    if (deadline_ms <= wheel->now_ms) {
        insert_due(wheel, timer);
        return;
    }
    struct ph_wheel_list *list = list_for(wheel, deadline_ms);
    list_insert(list, list->last, timer);
}

/* `timer` leaves the end of its list. */
static void leave_end(struct ph_wheel *wheel, const struct ph_wheel_timer *timer)
{
    if (wheel->due.last == &timer->next) {
        wheel->due.last = timer->link;
        return;
    }
    for (unsigned level = 0; level < PH_WHEEL_LEVELS; level++) {
        unsigned index = slot_index(timer->deadline_ms, level);
        struct ph_wheel_list *list = &wheel->slot[level][index];
        if (list->last != &timer->next)
            continue;
        list->last = timer->link;
        if (timer->link == &list->first)
            unmark(wheel, level, index);
        return;
    }
    ph_assert(wheel->far.last == &timer->next);
    wheel->far.last = timer->link;
}

void ph_wheel_cancel(struct ph_wheel *wheel, struct ph_wheel_timer *timer)
{
    if (!timer->link)
        return;
    ph_assert(*timer->link == timer);
    if (timer->next)
        timer->next->link = timer->link;
    else
        leave_end(wheel, timer);
    *timer->link = timer->next;
    timer->next = NULL;
    timer->link = NULL;
    wheel->armed--;
}

bool ph_wheel_is_armed(const struct ph_wheel_timer *timer)
{
    return timer->link != NULL;
}

struct ph_wheel_timer *ph_wheel_expire(struct ph_wheel *wheel, uint64_t now_ms)
{
    while (!wheel->due.first) {
        uint64_t next = wheel->far_turn_ms;
        for (unsigned level = 0; level < PH_WHEEL_LEVELS; level++)
            next = least(next, next_turn(wheel, level));
        if (next > now_ms || next == PH_NEVER) {
            wheel->now_ms = now_ms > wheel->now_ms ? now_ms : wheel->now_ms;
            return NULL;
        }
        turn(wheel, next);
    }
    struct ph_wheel_timer *timer = wheel->due.first;
    ph_wheel_cancel(wheel, timer);
    return timer;
}

/* The earliest deadline of a list, or `turn_ms` when the list is long. */
static uint64_t earliest(const struct ph_wheel_list *list, uint64_t turn_ms)
{
    uint64_t deadline_ms = PH_NEVER;
    unsigned scanned = 0;
    for (const struct ph_wheel_timer *timer = list->first; timer; timer = timer->next) {
        if (++scanned > SCAN_MAX)
            return turn_ms;
        deadline_ms = least(deadline_ms, timer->deadline_ms);
    }
    return deadline_ms;
}

uint64_t ph_wheel_next(const struct ph_wheel *wheel)
{
    if (wheel->due.first)
        return wheel->due.first->deadline_ms;
    uint64_t next = earliest(&wheel->far, wheel->far_turn_ms);
    for (unsigned level = 0; level < PH_WHEEL_LEVELS; level++) {
        uint64_t turn_ms = next_turn(wheel, level);
        if (turn_ms == PH_NEVER)
            continue;
        const struct ph_wheel_list *list = &wheel->slot[level][slot_index(turn_ms, level)];
        next = least(next, level ? earliest(list, turn_ms) : turn_ms); /* level 0 is exact */
    }
    return next;
}
