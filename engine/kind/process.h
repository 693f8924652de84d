/*
 * One place for an OS process: what the monitor knows about it between the commands of its owner
 * and the reports of the keeper. See monitor.h for the promises; this is the inside.
 *
 * The monitor's thread writes everything. What others read (the log ring, the status text) is under
 * `lock`, held for a copy of at most PH_PROCESS_COPY_BYTES.
 */
#ifndef PH_ENGINE_KIND_PROCESS_H
#define PH_ENGINE_KIND_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/kind/fdstore.h"
#include "engine/kind/keeper_client.h"
#include "engine/kind/listen.h"
#include "engine/kind/logring.h"
#include "engine/kind/loop.h"
#include "engine/kind/mailbox.h"
#include "engine/kind/memcopy.h"
#include "engine/kind/monitor.h"
#include "engine/kind/notify.h"
#include "engine/kind/talk.h"
#include "engine/waiter.h"

enum {
    PH_PROCESS_COPY_BYTES = 64 * 1024,
    PH_PROCESS_NOTES_MAX = 5, /* notes in PH_PROCESS_NOTES_MS; the rest is counted */
    PH_PROCESS_NOTES_MS = 10000,
};

/* One of its two output streams. */
struct ph_output {
    struct ph_source source;
    struct ph_process *process;
    bool error;
};

enum ph_process_stage {
    PH_PROCESS_IDLE,
    PH_PROCESS_LOADS, /* its state is being written, it does not run yet */
    PH_PROCESS_RUNS,  /* the ward's */
    PH_PROCESS_SAVES, /* it ended, its state is being read */
};

struct ph_process {
    /* Immutable. */
    struct ph_monitor *monitor;
    const struct ph_process_owner *owner;
    void *arg;
    uint32_t lease; /* it runs under; 0: none */

    /* Monitor's thread: over all instances. */
    struct ph_listen listener;
    struct ph_fdstore store;
    struct ph_text load; /* that the next instance begins with; data is NULL: none */

    /* Monitor's thread: the instance, while the stage is not idle. */
    enum ph_process_stage stage;
    struct ph_ward ward;
    struct ph_spec *spec;
    char *id;
    uint32_t instance;
    uint64_t epoch;
    struct ph_output outputs[PH_LOG_STREAMS];
    struct ph_source notify;
    char notify_address[PH_NOTIFY_ADDRESS_BYTES];
    int log_fd;
    bool log_broken;
    uid_t uid;       /* that the program is started with */
    bool said_ready; /* the datagram may be seen before the keeper's report of the start */
    bool up;         /* told */
    uint64_t watchdog_ms;
    struct ph_alarm watchdog;
    char failed[200]; /* why it is being killed by us; "": it is not */
    enum ph_exit_how failed_how;
    bool passive;             /* it is to stand by */
    bool speaks;              /* the last one did (socket=yes): what it stored is no state */
    bool stood_by;            /* told */
    bool works;               /* it said so */
    struct ph_legacy *legacy; /* that it is to join, referenced; or NULL */
    struct ph_talk talk;      /* closed when it has no socket */
    uint32_t fd_count;        /* LISTEN_FDS … */
    struct ph_text fd_names;
    bool saving; /* it was told to end for that */
    struct ph_memcopy copy;
    struct ph_alarm copying;
    struct ph_exit exit; /* how it ended */
    uint64_t notes_since_ms;
    uint32_t notes, notes_suppressed;

    /* The monitor's thread from a start to its down, else the owner's. */
    struct ph_message_box *unsent; /* before all in the mailbox, or NULL */

    /* Any thread. */
    struct ph_mailbox mail;
    atomic_bool mail_posted; /* the monitor will look */
    atomic_ullong handled;   /* messages that the present or last instance was given */
    atomic_int pid;
    atomic_bool ready;
    pthread_mutex_t lock; /* guards ring and status */
    struct ph_logring ring;
    char status[PH_NOTIFY_STATUS_MAX + 1];
    struct ph_waitlist log_waiters;
    atomic_uint refs; /* the owner's, and one for each who follows its log */
};

/* Monitor's thread: the commands of monitor.h. `id` is moved, `spec` is a reference that is moved,
 * the state is moved. */
void ph_process_load(struct ph_process *, struct ph_text *state);
void ph_process_stop(struct ph_process *);
void ph_process_kill(struct ph_process *);
void ph_process_save(struct ph_process *);
void ph_process_unload(struct ph_process *);
void ph_process_merge(struct ph_process *, struct ph_legacy *); /* the reference is moved */
void ph_process_activate(struct ph_process *, struct ph_text *state, uint64_t epoch);
void ph_process_start(struct ph_process *, char *id, struct ph_spec *spec, uint32_t instance,
                      uint64_t epoch, bool passive);
void ph_process_free(struct ph_process *);

/* process_notify.c: opens the socket if the spec wants one; 0 or -errno. */
PH_MUST_CHECK int ph_process_notify_open(struct ph_process *);
/* Handles what has come, at most `limit` datagrams. */
void ph_process_notify_drain(struct ph_process *, int limit);
void ph_process_watchdog_arm(struct ph_process *);
void ph_process_watchdog_ring(struct ph_alarm *);

/* process.c: begins to run / ends an instance that never ran / tells the end that is in `exit`,
 * with a state or without. */
void ph_process_run(struct ph_process *);
void ph_process_end(struct ph_process *, const struct ph_exit *);
void ph_process_told_saved(struct ph_process *, struct ph_text *state);
void ph_process_told_down(struct ph_process *);
void ph_process_tell_up(struct ph_process *);
/* Tells that it stands by or is up, if it is and that was not told. */
void ph_process_check_ready(struct ph_process *);
/* Kills it; its end will say why. */
void ph_process_fail(struct ph_process *, enum ph_exit_how how, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ph_process_note(struct ph_process *, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* process_output.c */
PH_MUST_CHECK int ph_process_output_open(struct ph_process *, struct ph_packet *,
                                         struct ph_exit *failure);
/* Takes what is still in the pipes, then closes them and the file. */
void ph_process_output_close(struct ph_process *);

/* process_fds.c: takes what a datagram brings; what is stored is taken out of `sender`. */
void ph_process_fds_take(struct ph_process *, const struct ph_notify *, struct ph_notify_sender *);
/* Adds the listening socket and what is stored to the packet, after the output. */
PH_MUST_CHECK int ph_process_fds_open(struct ph_process *, struct ph_packet *,
                                      struct ph_exit *failure);
/* Listens, if the spec says so and it does not yet. */
PH_MUST_CHECK int ph_process_listen(struct ph_process *, struct ph_exit *failure);
/* The child goes for good: closes all. */
void ph_process_fds_drop(struct ph_process *);

/* process_talk.c: adds the program's end of its socket to the packet, after all others, and begins
 * to talk; nothing without socket=yes. */
PH_MUST_CHECK int ph_process_talk_open(struct ph_process *, struct ph_packet *,
                                       struct ph_exit *failure);
void ph_process_talk_close(struct ph_process *);
/* The state that it saved, moved; false: it did not. */
PH_MUST_CHECK bool ph_process_talk_take_saved(struct ph_process *, struct ph_text *state);
/* As ph_message_box_destroy. */
void ph_process_mail_clear(struct ph_process *, int code, const char *text);
extern const struct ph_talk_calls ph_process_talk_calls;

/* process_state.c: begins to write the state to load; false: there is none, or no place for it. */
PH_MUST_CHECK bool ph_process_state_load(struct ph_process *);
/* May its state be saved? True also when it has none. */
PH_MUST_CHECK bool ph_process_state_can_save(struct ph_process *, char *why, size_t size);
/* After its end: begins to read the state; false: it has none. */
PH_MUST_CHECK bool ph_process_state_save(struct ph_process *);
void ph_process_state_piece(struct ph_alarm *);

#endif
