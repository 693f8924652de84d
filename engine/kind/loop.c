#include "engine/kind/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/waiter.h"

int ph_loop_init(struct ph_loop *loop)
{
    *loop = (struct ph_loop){.next_ms = UINT64_MAX};
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll < 0 ? -errno : 0;
}

void ph_loop_fini(struct ph_loop *loop)
{
    close(loop->epoll);
}

int ph_loop_add(struct ph_loop *loop, struct ph_source *source, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        int rc = -errno;
        close(fd);
        source->fd = -1;
        return rc;
    }
    source->fd = fd;
    return 0;
}

void ph_loop_modify(struct ph_loop *loop, struct ph_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event);
}

void ph_loop_remove(struct ph_loop *loop, struct ph_source *source)
{
    if (source->fd < 0)
        return;
    /* Said explicitly: a copy of the descriptor elsewhere would keep it in the set. */
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
    close(source->fd);
    source->fd = -1;
}

void ph_alarm_set(struct ph_loop *loop, struct ph_alarm *alarm, uint64_t deadline_ms)
{
    alarm->deadline_ms = deadline_ms;
    if (deadline_ms < loop->next_ms)
        loop->next_ms = deadline_ms;
    if (alarm->link)
        return;
    alarm->next = loop->alarms;
    alarm->link = &loop->alarms;
    if (alarm->next)
        alarm->next->link = &alarm->next;
    loop->alarms = alarm;
}

void ph_alarm_cancel(struct ph_alarm *alarm)
{
    if (!alarm->link)
        return;
    *alarm->link = alarm->next;
    if (alarm->next)
        alarm->next->link = alarm->link;
    alarm->link = NULL;
}

/* One that is due, taken out; else notes when the next one is. A handler may set and cancel any
 * alarm, so the walk begins anew after each. */
static struct ph_alarm *take_due(struct ph_loop *loop, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    for (struct ph_alarm *alarm = loop->alarms; alarm; alarm = alarm->next) {
        if (alarm->deadline_ms <= now_ms) {
            ph_alarm_cancel(alarm);
            return alarm;
        }
        if (alarm->deadline_ms < next_ms)
            next_ms = alarm->deadline_ms;
    }
    loop->next_ms = next_ms;
    return NULL;
}

static void ring_alarms(struct ph_loop *loop)
{
    uint64_t now_ms = ph_now_ms();
    if (now_ms < loop->next_ms)
        return;
    struct ph_alarm *alarm;
    while ((alarm = take_due(loop, now_ms)))
        alarm->ring(alarm);
}

static int wait_time(const struct ph_loop *loop, int timeout_ms)
{
    if (loop->next_ms == UINT64_MAX)
        return timeout_ms;
    uint64_t now_ms = ph_now_ms();
    uint64_t left_ms = loop->next_ms > now_ms ? loop->next_ms - now_ms : 0;
    if (timeout_ms >= 0 && left_ms > (uint64_t)timeout_ms)
        return timeout_ms;
    return left_ms > 60000 ? 60000 : (int)left_ms;
}

void ph_loop_turn(struct ph_loop *loop, int timeout_ms)
{
    struct epoll_event events[PH_LOOP_BATCH];
    int count = epoll_wait(loop->epoll, events, PH_LOOP_BATCH, wait_time(loop, timeout_ms));
    for (int i = 0; i < count; i++) {
        struct ph_source *source = events[i].data.ptr;
        if (source->fd >= 0)
            source->ready(source, events[i].events);
    }
    ring_alarms(loop);
}
