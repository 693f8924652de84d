/*
 * The frames between nodes as bytes: a fixed header and the bodies that the mesh itself reads.
 * docs/wire.md has the tables.
 *
 * Reading trusts nothing: the checksum, the lengths and every field are checked before they come
 * out, and nothing is allocated. Texts that come out are copies in the structure, bytes of records
 * are borrowed from the frame. Any thread.
 */
#ifndef PH_IPC_WIRE_H
#define PH_IPC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/limits.h"
#include "engine/pack.h"
#include "engine/text.h"

enum {
    PH_WIRE_VERSION = 1, /* of the header; what follows is agreed on by hellos */
    PH_WIRE_PROTOCOL_MIN = 1,
    PH_WIRE_PROTOCOL_MAX = 1,
    PH_WIRE_HEADER = 64,
    PH_WIRE_HELLO_BYTES = 512, /* every hello is that long, so that no answer is longer */
    PH_WIRE_TEXT_MAX = 160,    /* of a refusal */
};

/* Sessions above make no sense: nobody counts that far. */
#define PH_WIRE_SESSION_MAX (UINT64_C(1) << 62)

enum ph_wire_class {
    PH_WIRE_HELLO = 1,
    PH_WIRE_REFUSE = 2,
    PH_WIRE_STREAM = 3,
    PH_WIRE_ACK = 4,
    PH_WIRE_BEAT = 5,
    PH_WIRE_GOODBYE = 6,
};

enum { PH_WIRE_GAP = 1 }; /* flag of an acknowledgement: something is missing behind it */

struct ph_wire_header {
    uint8_t class, flags;
    uint64_t source, destination; /* nonces; the destination 0: not yet known */
    uint64_t session;
    uint64_t sequence; /* of a stream frame; 0 otherwise */
    uint64_t ack;      /* the last stream frame up to which all have come */
    uint32_t credit;   /* how many bytes of stream the sender takes in flight to it */
    uint32_t body_length;
};

enum ph_wire_fault {
    PH_WIRE_GOOD,
    PH_WIRE_MALFORMED,
    PH_WIRE_OTHER_VERSION,
    PH_WIRE_BAD_CHECKSUM,
};

/* Reads the header of a whole frame; the body is behind it, `body_length` bytes. */
enum ph_wire_fault ph_wire_read(const void *bytes, size_t length, struct ph_wire_header *);

/* Room for a header at the start of a frame that ph_wire_seal completes. */
void ph_wire_begin(struct ph_text *);
/* Fills in the header of a frame of `length` bytes; the body length is taken from it. May be done
 * again with another header. */
void ph_wire_seal(void *frame, size_t length, struct ph_wire_header);

/* Who speaks, what it asks and whose question it answers. */
struct ph_wire_hello {
    uint64_t protocol_min, protocol_max;
    char cluster[PH_NAME_MAX + 1];
    char name[PH_NAME_MAX + 1];
    char endpoint[PH_ENDPOINT_MAX + 1];
    uint64_t incarnation;
    uint64_t token; /* the sender's question; the answer carries it as `echo` */
    uint64_t echo;  /* the question that this answers; 0: none */
    bool asks;      /* wants an answer */
    bool up;        /* its session is open */
};

/* Appends the body with what fills it up to PH_WIRE_HELLO_BYTES to a frame that has its header. */
void ph_wire_put_hello(struct ph_text *, const struct ph_wire_hello *);
/* PH_EUSAGE: malformed. Fields of later versions are stepped over. A hello whose texts are no names
 * and endpoints is malformed, too. */
PH_MUST_CHECK int ph_wire_read_hello(const void *body, size_t length, struct ph_wire_hello *);

struct ph_wire_refuse {
    uint64_t echo; /* the question that is refused */
    bool clash;
    char endpoint[PH_ENDPOINT_MAX + 1]; /* of a clash: where the other one is */
    char text[PH_WIRE_TEXT_MAX + 1];    /* for people; not yet safe for a terminal */
};

void ph_wire_put_refuse(struct ph_text *, const struct ph_wire_refuse *);
PH_MUST_CHECK int ph_wire_read_refuse(const void *body, size_t length, struct ph_wire_refuse *);

/* A stream frame's body is one or more records, each a piece of a message. */
enum {
    PH_WIRE_FIRST = 1, /* hub and total follow */
    PH_WIRE_LAST = 2,
    PH_WIRE_NODES = 4, /* of the mesh itself: the nodes that the sender knows */
    PH_WIRE_RECORD_FLAGS = 7,
    PH_WIRE_RECORD_OVERHEAD = 96, /* a record's bytes beside its piece, at most */
};

struct ph_wire_record {
    unsigned flags;
    const char *hub; /* of a first piece */
    size_t hub_length;
    uint64_t total; /* of a first piece: the length of the whole message */
    const void *bytes;
    size_t length;
};

void ph_wire_put_record(struct ph_text *, const struct ph_wire_record *);
/* Reads the next; false at the end, or when the cursor broke. */
bool ph_wire_next_record(struct ph_unpack *, struct ph_wire_record *);

/* A body of BEAT. */
void ph_wire_put_beat(struct ph_text *, const char *hub, size_t hub_length, const void *bytes,
                      size_t length);
PH_MUST_CHECK int ph_wire_read_beat(const void *body, size_t length, struct ph_wire_record *);

/* Printable ASCII without spaces, 1 to PH_ENDPOINT_MAX bytes. */
bool ph_wire_endpoint_is_valid(const char *endpoint);

#endif
