/*
 * The monitor's event loop: descriptors (epoll, level-triggered) and alarms.
 *
 * Sources and alarms are embedded in what they belong to. A turn handles at most PH_LOOP_BATCH
 * ready descriptors; a handler does a bounded amount of work, so nobody starves. A source that was
 * removed is not called any more in the same turn, but its memory must stay until the turn is over.
 * Alarms are few and mostly postponed (watchdogs), so they are a list that is looked at when the
 * earliest deadline known has passed. Monitor's thread only.
 */
#ifndef PH_ENGINE_KIND_LOOP_H
#define PH_ENGINE_KIND_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/prochub.h"

enum { PH_LOOP_BATCH = 128 };

struct ph_source {
    int fd; /* -1: none */
    void (*ready)(struct ph_source *, uint32_t events);
};

struct ph_alarm {
    struct ph_alarm *next, **link; /* link is NULL while it is not set */
    uint64_t deadline_ms;
    void (*ring)(struct ph_alarm *);
};

struct ph_loop {
    int epoll;
    struct ph_alarm *alarms;
    uint64_t next_ms; /* no alarm is due before */
};

PH_MUST_CHECK int ph_loop_init(struct ph_loop *);
void ph_loop_fini(struct ph_loop *);

/* Watches source->fd, which the source owns from now on, for `events` (EPOLLIN, EPOLLOUT). -errno:
 * not added, the descriptor is closed. */
PH_MUST_CHECK int ph_loop_add(struct ph_loop *, struct ph_source *source, int fd, uint32_t events);
void ph_loop_modify(struct ph_loop *, struct ph_source *source, uint32_t events);
void ph_loop_remove(struct ph_loop *, struct ph_source *source); /* closes the descriptor */

void ph_alarm_set(struct ph_loop *, struct ph_alarm *alarm, uint64_t deadline_ms);
void ph_alarm_cancel(struct ph_alarm *alarm);

/* Waits for descriptors, alarms or `timeout_ms` (-1: no limit) and calls the handlers. */
void ph_loop_turn(struct ph_loop *, int timeout_ms);

#endif
