#include "ipc/wire.h"

#include <string.h>

#include <xxhash.h>

#include "engine/node.h"

enum { HELLO_FIELDS = 10, REFUSE_FIELDS = 4, FIELDS_MAX = 32 };

/* Where the fields of the header are; numbers are little endian. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_CLASS = 5,
    AT_FLAGS = 6,
    AT_RESERVED = 7,
    AT_CHECKSUM = 8,
    AT_SOURCE = 16,
    AT_DESTINATION = 24,
    AT_SESSION = 32,
    AT_SEQUENCE = 40,
    AT_ACK = 48,
    AT_CREDIT = 56,
    AT_BODY_LENGTH = 60,
};

static const char magic[4] = {'p', 'h', 'l', 'k'};

static void put(unsigned char *at, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *at, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = width; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

/* Of everything: what stands before the checksum is its seed. */
static uint64_t checksum(const unsigned char *frame, size_t length)
{
    return XXH3_64bits_withSeed(frame + AT_SOURCE, length - AT_SOURCE, get(frame, AT_CHECKSUM));
}

enum ph_wire_fault ph_wire_read(const void *bytes, size_t length, struct ph_wire_header *header)
{
    const unsigned char *at = bytes;
    if (length < PH_WIRE_HEADER || memcmp(at, magic, sizeof magic) != 0)
        return PH_WIRE_MALFORMED;
    if (at[AT_VERSION] != PH_WIRE_VERSION)
        return PH_WIRE_OTHER_VERSION;
    if (get(at + AT_CHECKSUM, 8) != checksum(at, length))
        return PH_WIRE_BAD_CHECKSUM;
    *header = (struct ph_wire_header){
        .class = at[AT_CLASS],
        .flags = at[AT_FLAGS],
        .source = get(at + AT_SOURCE, 8),
        .destination = get(at + AT_DESTINATION, 8),
        .session = get(at + AT_SESSION, 8),
        .sequence = get(at + AT_SEQUENCE, 8),
        .ack = get(at + AT_ACK, 8),
        .credit = (uint32_t)get(at + AT_CREDIT, 4),
        .body_length = (uint32_t)get(at + AT_BODY_LENGTH, 4),
    };
    if (header->body_length != length - PH_WIRE_HEADER || header->source == 0 ||
        header->session > PH_WIRE_SESSION_MAX)
        return PH_WIRE_MALFORMED;
    return PH_WIRE_GOOD;
}

void ph_wire_begin(struct ph_text *frame)
{
    static const char room[PH_WIRE_HEADER];
    ph_text_clear(frame);
    ph_text_append(frame, room, sizeof room);
}

void ph_wire_seal(void *frame, size_t length, struct ph_wire_header header)
{
    unsigned char *at = frame;
    memcpy(at + AT_MAGIC, magic, sizeof magic);
    at[AT_VERSION] = PH_WIRE_VERSION;
    at[AT_CLASS] = header.class;
    at[AT_FLAGS] = header.flags;
    at[AT_RESERVED] = 0;
    put(at + AT_SOURCE, header.source, 8);
    put(at + AT_DESTINATION, header.destination, 8);
    put(at + AT_SESSION, header.session, 8);
    put(at + AT_SEQUENCE, header.sequence, 8);
    put(at + AT_ACK, header.ack, 8);
    put(at + AT_CREDIT, header.credit, 4);
    put(at + AT_BODY_LENGTH, length - PH_WIRE_HEADER, 4);
    put(at + AT_CHECKSUM, checksum(at, length), 8);
}

/* ---- Hello and refusal ---------------------------------------------------------------------- */

static void put_text(struct ph_text *out, const char *text)
{
    ph_pack_str(out, text, strlen(text));
}

void ph_wire_put_hello(struct ph_text *out, const struct ph_wire_hello *hello)
{
    static const char padding[PH_WIRE_HELLO_BYTES];
    ph_pack_array(out, HELLO_FIELDS);
    ph_pack_uint(out, hello->protocol_min);
    ph_pack_uint(out, hello->protocol_max);
    put_text(out, hello->cluster);
    put_text(out, hello->name);
    put_text(out, hello->endpoint);
    ph_pack_uint(out, hello->incarnation);
    ph_pack_uint(out, hello->token);
    ph_pack_uint(out, hello->echo);
    ph_pack_bool(out, hello->asks);
    ph_pack_bool(out, hello->up);
    ph_text_append(out, padding, PH_WIRE_HELLO_BYTES - out->length);
}

bool ph_wire_endpoint_is_valid(const char *endpoint)
{
    size_t length = strnlen(endpoint, PH_ENDPOINT_MAX + 1);
    if (length == 0 || length > PH_ENDPOINT_MAX)
        return false;
    for (const char *at = endpoint; *at; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return true;
}

int ph_wire_read_hello(const void *body, size_t length, struct ph_wire_hello *hello)
{
    struct ph_unpack in;
    ph_unpack_init(&in, body, length);
    if (length != PH_WIRE_HELLO_BYTES - PH_WIRE_HEADER)
        return PH_EUSAGE;
    uint32_t count = ph_unpack_array(&in, FIELDS_MAX);
    hello->protocol_min = ph_unpack_uint(&in, UINT32_MAX);
    hello->protocol_max = ph_unpack_uint(&in, UINT32_MAX);
    ph_unpack_name(&in, hello->cluster, sizeof hello->cluster);
    ph_unpack_name(&in, hello->name, sizeof hello->name);
    ph_unpack_name(&in, hello->endpoint, sizeof hello->endpoint);
    hello->incarnation = ph_unpack_uint(&in, UINT64_MAX);
    hello->token = ph_unpack_uint(&in, UINT64_MAX);
    hello->echo = ph_unpack_uint(&in, UINT64_MAX);
    hello->asks = ph_unpack_bool(&in);
    hello->up = ph_unpack_bool(&in);
    for (uint32_t i = HELLO_FIELDS; i < count; i++)
        ph_unpack_skip(&in);
    bool good = !in.broken && count >= HELLO_FIELDS && hello->token != 0 &&
                hello->protocol_min <= hello->protocol_max &&
                (hello->cluster[0] == '\0' || ph_name_is_valid(hello->cluster)) &&
                ph_name_is_valid(hello->name) && ph_wire_endpoint_is_valid(hello->endpoint);
    return good ? 0 : PH_EUSAGE;
}

void ph_wire_put_refuse(struct ph_text *out, const struct ph_wire_refuse *refuse)
{
    ph_pack_array(out, REFUSE_FIELDS);
    ph_pack_uint(out, refuse->echo);
    ph_pack_bool(out, refuse->clash);
    put_text(out, refuse->endpoint);
    put_text(out, refuse->text);
}

int ph_wire_read_refuse(const void *body, size_t length, struct ph_wire_refuse *refuse)
{
    struct ph_unpack in;
    ph_unpack_init(&in, body, length);
    uint32_t count = ph_unpack_array(&in, FIELDS_MAX);
    refuse->echo = ph_unpack_uint(&in, UINT64_MAX);
    refuse->clash = ph_unpack_bool(&in);
    ph_unpack_name(&in, refuse->endpoint, sizeof refuse->endpoint);
    ph_unpack_name(&in, refuse->text, sizeof refuse->text);
    for (uint32_t i = REFUSE_FIELDS; i < count; i++)
        ph_unpack_skip(&in);
    bool good = count >= REFUSE_FIELDS && ph_unpack_end(&in) == 0 && refuse->echo != 0 &&
                (refuse->endpoint[0] == '\0' || ph_wire_endpoint_is_valid(refuse->endpoint));
    return good ? 0 : PH_EUSAGE;
}

/* ---- Streams and beats ---------------------------------------------------------------------- */

void ph_wire_put_record(struct ph_text *out, const struct ph_wire_record *record)
{
    ph_pack_uint(out, record->flags);
    if (record->flags & PH_WIRE_FIRST) {
        ph_pack_str(out, record->hub, record->hub_length);
        ph_pack_uint(out, record->total);
    }
    ph_pack_bin(out, record->bytes, record->length);
}

bool ph_wire_next_record(struct ph_unpack *in, struct ph_wire_record *record)
{
    if (in->at == in->end)
        return false;
    *record = (struct ph_wire_record){
        .flags = (unsigned)ph_unpack_uint(in, PH_WIRE_RECORD_FLAGS),
        .hub = "",
    };
    if (record->flags & PH_WIRE_FIRST) {
        record->hub = ph_unpack_str(in, PH_NAME_MAX, &record->hub_length);
        record->total = ph_unpack_uint(in, UINT64_MAX);
    }
    record->bytes = ph_unpack_bin(in, SIZE_MAX, &record->length);
    return !in->broken;
}

void ph_wire_put_beat(struct ph_text *out, const char *hub, size_t hub_length, const void *bytes,
                      size_t length)
{
    ph_pack_str(out, hub, hub_length);
    ph_pack_bin(out, bytes, length);
}

int ph_wire_read_beat(const void *body, size_t length, struct ph_wire_record *record)
{
    struct ph_unpack in;
    ph_unpack_init(&in, body, length);
    record->hub = ph_unpack_str(&in, PH_NAME_MAX, &record->hub_length);
    record->bytes = ph_unpack_bin(&in, SIZE_MAX, &record->length);
    return ph_unpack_end(&in);
}
