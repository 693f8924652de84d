/*
 * What the monitor and prochub-keeper say to each other, over a SOCK_SEQPACKET pair.
 *
 * Both are built from one source tree and start as a pair, so the packets are plain structs; HELLO
 * carries PH_KEEPER_VERSION and the monitor refuses another one. Every packet is bounded and
 * checked on both sides. A program under the keeper is named by its slot and its mark; an answer or
 * a command whose mark does not fit the slot is about an earlier program and is dropped.
 *
 * The mark is a 64-bit number that a whole process tree carries: as its soft RLIMIT_LOCKS (a limit
 * that Linux has not enforced since 2.4.25, inherited over fork, exec, setsid and a cleared
 * environment, readable with prlimit) and as PROCHUB_TOKEN in the environment. It is made of
 * 23 bits of the monitor's salt, 20 bits that count the uses of the slot, and 20 bits of slot.
 *
 * A *lease* has a number and an end, on CLOCK_MONOTONIC, which both sides read. What was spawned
 * under a lease is killed when that is over, whatever the monitor does meanwhile, and nothing more
 * is spawned under it until it is renewed. A keeper begins with leases that never end; 0 is one for
 * good.
 */
#ifndef PH_ENGINE_KIND_KEEPER_WIRE_H
#define PH_ENGINE_KIND_KEEPER_WIRE_H

#include <stdint.h>

enum {
    PH_KEEPER_VERSION = 3,
    PH_KEEPER_FD = 3, /* the keeper's end of the pair */
    PH_KEEPER_PACKET_MAX = 128 * 1024,
    PH_KEEPER_STANDARD_FDS = 3,
    PH_KEEPER_EXTRA_FDS = 130, /* the kernel takes 253 with one packet */
    PH_KEEPER_FDS_MAX = PH_KEEPER_STANDARD_FDS + PH_KEEPER_EXTRA_FDS,
    PH_KEEPER_GROUPS_MAX = 256,
    PH_KEEPER_SLOT_BITS = 20,
    PH_KEEPER_USE_BITS = 20,
    PH_KEEPER_SLOTS_MAX = 1 << PH_KEEPER_SLOT_BITS,
    PH_KEEPER_LEASES = 128,
};

#define PH_KEEPER_SALT_SHIFT (PH_KEEPER_SLOT_BITS + PH_KEEPER_USE_BITS)
#define PH_KEEPER_TOKEN "PROCHUB_TOKEN"
/* What WATCHDOG_PID and LISTEN_PID hold on their way: the child writes its own pid there. */
#define PH_KEEPER_NO_PID "0000000000"

static inline uint32_t ph_keeper_mark_slot(uint64_t mark)
{
    return (uint32_t)(mark & (PH_KEEPER_SLOTS_MAX - 1));
}

static inline uint64_t ph_keeper_mark_salt(uint64_t mark)
{
    return mark >> PH_KEEPER_SALT_SHIFT;
}

/* Monitor to keeper. */
enum ph_keeper_command_type {
    PH_KEEPER_SPAWN = 1, /* struct ph_keeper_spawn, texts, descriptors */
    PH_KEEPER_SIGNAL,    /* struct ph_keeper_command: to the main process */
    PH_KEEPER_STOP,      /* … to the main process's group */
    PH_KEEPER_KILL,      /* … SIGKILL to the whole tree */
    PH_KEEPER_LEASE,     /* `lease` ends at `until_ms`; UINT64_MAX: never */
};

struct ph_keeper_command {
    uint32_t type;
    union {
        int32_t signal_number;
        uint32_t lease;
    };
    union {
        uint64_t mark;
        uint64_t until_ms;
    };
};

/* Which descriptors come along, in this order; what is missing is /dev/null. `extra` others come
 * after them: they become 3, 4, … of the program. */
enum {
    PH_KEEPER_STDIN = 1,
    PH_KEEPER_STDOUT = 2,
    PH_KEEPER_STDERR = 4,
    PH_KEEPER_USER = 8, /* uid, gid and groups are to be set */
    PH_KEEPER_FLAGS = 15,
};

/* Followed by `groups` uint32_t, then NUL-terminated texts: the path to execute, the directory ("":
 * none), argc words, envc environment texts. */
struct ph_keeper_spawn {
    struct ph_keeper_command command;
    uint32_t flags;
    uint32_t uid, gid;
    uint32_t groups;
    uint32_t argc, envc;
    uint32_t bytes; /* of the texts */
    uint32_t lease;
    uint32_t extra;
};

/* Keeper to monitor. */
enum ph_keeper_report_type {
    PH_KEEPER_HELLO = 1,    /* value: PH_KEEPER_VERSION */
    PH_KEEPER_SPAWNED,      /* pid */
    PH_KEEPER_SPAWN_FAILED, /* stage, value: errno. Last word about the mark. */
    PH_KEEPER_ENDED,        /* how, value: its tree is gone. Last word about the mark. */
};

/* What was being done when a spawn failed. */
enum ph_keeper_stage {
    PH_STAGE_NONE,
    PH_STAGE_PACKET, /* the keeper did not understand the packet */
    PH_STAGE_LEASE,  /* it is over */
    PH_STAGE_CLONE,
    PH_STAGE_SESSION,
    PH_STAGE_OUTPUT,
    PH_STAGE_USER,
    PH_STAGE_DIRECTORY,
    PH_STAGE_EXEC,
    PH_STAGES,
};

enum ph_keeper_how { PH_ENDED_CODE, PH_ENDED_SIGNAL, PH_ENDED_CORE };

struct ph_keeper_report {
    uint32_t type;
    int32_t pid;
    uint64_t mark;
    uint32_t stage;
    uint32_t how;
    int32_t value;
    uint32_t leftovers;  /* processes of the tree that outlived the main one and were killed */
    uint32_t survivors;  /* … and could not be killed */
    uint32_t lease_over; /* 1: killed for that */
    uint64_t reaped;     /* totals of this keeper */
    uint64_t strays_killed;
};

#endif
