/*
 * The packet that asks the keeper to run a program: path, arguments, environment, user,
 * descriptors.
 *
 * Everything that may fail before the program runs and needs libc's tables (the search in PATH, the
 * user's name) is done here, on the monitor's thread; what is left for the child is plain system
 * calls. The environment is made anew: some of the node's own variables (PH_ENVIRON_KEYS), the
 * spec's, then ours.
 */
#ifndef PH_ENGINE_KIND_PROGRAM_H
#define PH_ENGINE_KIND_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/kind/keeper_wire.h"
#include "engine/kind/kind.h"
#include "engine/spec.h"

/* The part of the node's environment that every program gets. */
struct ph_environ {
    struct ph_pair *pairs;
    size_t count;
};

void ph_environ_init(struct ph_environ *); /* copies from the environment of this process */
void ph_environ_fini(struct ph_environ *);

/* All borrowed. */
struct ph_program {
    char *const *argv;
    size_t argc;
    const char *cwd, *user; /* or NULL */
    const struct ph_pair *env;
    size_t env_count;
    const struct ph_environ *base;
    const char *id; /* NULL: a hook's executable, without PROCHUB_ID and PROCHUB_EPOCH */
    uint64_t epoch;
    const char *notify_address; /* NULL: none */
    uint64_t watchdog_ms;       /* 0: none */
    uint32_t listen_fds;        /* the extra descriptors that are LISTEN_FDS … */
    const char *listen_names;   /* … and their names, joined by colons */
    bool socket;                /* one more extra descriptor is PROCHUB_SOCKET */
    uint32_t lease;             /* 0: none */
};

/* A packet on its way. Its descriptors are closed when it is emptied. */
struct ph_packet {
    char *bytes; /* PH_KEEPER_PACKET_MAX */
    size_t length;
    int fds[PH_KEEPER_FDS_MAX];
    size_t fd_count;
};

void ph_packet_init(struct ph_packet *);
void ph_packet_empty(struct ph_packet *);
void ph_packet_fini(struct ph_packet *);

/* The packet takes `fd` over: PH_KEEPER_STDIN before PH_KEEPER_STDOUT before PH_KEEPER_STDERR. */
void ph_packet_add_fd(struct ph_packet *, int flag, int fd);
/* The same, after those: one that becomes 3, 4, … of the program. */
void ph_packet_add_extra(struct ph_packet *, int fd);

/* Fills an emptied packet (or one that has its descriptors). On failure returns a negative code and
 * fills `failure` as PH_EXIT_EXEC with a text for people. */
PH_MUST_CHECK int ph_packet_build(struct ph_packet *, const struct ph_program *, uint64_t mark,
                                  struct ph_exit *failure);

/* The user that the program of a built packet will run as. */
uid_t ph_packet_uid(const struct ph_packet *);

/* Fills `failure` (PH_EXIT_EXEC, value `code`) with a formatted text and returns -code. */
int ph_exec_failure(struct ph_exit *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same from the keeper's report of a failed spawn. */
void ph_program_explain(const struct ph_program *, enum ph_keeper_stage stage, int error,
                        struct ph_exit *failure);

#endif
