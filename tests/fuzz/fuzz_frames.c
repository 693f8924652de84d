/*
 * Anything at all as what a node hears: frames for its mesh, MessagePack, beacons.
 *
 * The first byte of an input chooses. For the mesh the rest is a list of frames, each a byte of
 * options, a class, a sequence and a length; by the options it is given as it is, or with a header
 * that fits the session that is open, so that what is behind the checksum is reached as well.
 *
 * With -DPH_FUZZ=ON (clang) libFuzzer drives it; otherwise fuzz_replay.c runs the corpus.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/base.h"
#include "engine/pack.h"
#include "ipc/discovery.h"
#include "ipc/mesh.h"
#include "ipc/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NONCE_HERE = 1111, NONCE_THERE = 2222, FRAME_HEAD = 4, OUTBOX_MAX = 64 };

/* ---- Two meshes that met -------------------------------------------------------------------- */

struct end {
    struct ph_mesh *mesh, *other;
    struct ph_text out[OUTBOX_MAX];
    unsigned count;
};

static void fuzz_open(void *context, uint32_t channel, const char *endpoint)
{
    (void)context;
    (void)channel;
    ph_assert(strlen(endpoint) <= PH_ENDPOINT_MAX);
}

static void fuzz_close(void *context, uint32_t channel)
{
    (void)context;
    (void)channel;
}

static void fuzz_transmit(void *context, uint32_t channel, const void *bytes, size_t length)
{
    struct end *end = context;
    (void)channel;
    if (end->count < OUTBOX_MAX)
        ph_text_append(&end->out[end->count++], bytes, length);
}

static void fuzz_up(void *context, const struct ph_peer *peer)
{
    (void)context;
    ph_assert(peer->number && peer->name[0]);
}

static void fuzz_down(void *context, uint64_t peer, enum ph_peer_end why)
{
    (void)context;
    (void)why;
    ph_assert(peer);
}

static void fuzz_frame(void *context, uint64_t peer, const char *hub, size_t hub_length,
                       const void *bytes, size_t length)
{
    (void)context;
    unsigned sum = 0; /* every byte is there */
    for (size_t i = 0; i < hub_length; i++)
        sum += (unsigned char)hub[i];
    for (size_t i = 0; i < length; i++)
        sum += ((const unsigned char *)bytes)[i];
    ph_assert(peer && sum < UINT32_MAX);
}

static void fuzz_text(void *context, const char *a, const char *b)
{
    (void)context;
    ph_assert(strlen(a) + strlen(b) < 4096);
}

static void fuzz_clash(void *context, const char *name, const char *endpoint, bool refused)
{
    (void)refused;
    fuzz_text(context, name, endpoint);
}

static const struct ph_mesh_port port = {
    .open = fuzz_open,
    .close = fuzz_close,
    .transmit = fuzz_transmit,
    .peer_up = fuzz_up,
    .peer_down = fuzz_down,
    .frame = fuzz_frame,
    .clash = fuzz_clash,
    .trouble = fuzz_text,
};

static void begin(struct end *end, const char *name, const char *endpoint, uint64_t nonce)
{
    const struct ph_mesh_setup setup = {
        .name = name,
        .endpoint = endpoint,
        .nonce = nonce,
        .now_ms = 1,
        .message_bytes_max = 1 << 20,
        .port = &port,
        .context = end,
    };
    ph_assert(ph_mesh_create(&setup, &end->mesh, NULL) == 0);
}

/* Carries what each says to the other, until both are silent. */
static void carry(struct end ends[2])
{
    for (int turn = 0; turn < 20; turn++) {
        struct end *from = &ends[turn % 2], *to = &ends[1 - turn % 2];
        ph_mesh_tick(from->mesh, 2);
        for (unsigned i = 0; i < from->count; i++) {
            ph_mesh_receive(to->mesh, from->out[i].data, from->out[i].length, 2);
            ph_text_fini(&from->out[i]);
        }
        from->count = 0;
    }
}

static void feed(struct end *end, const uint8_t *data, size_t size)
{
    uint64_t now_ms = 3;
    while (size >= FRAME_HEAD) {
        struct ph_wire_header header = {
            .class = data[1],
            .flags = data[0] >> 4 & 1,
            .source = data[0] & 2 ? NONCE_THERE : 3333,
            .destination = data[0] & 4 ? NONCE_HERE : 0,
            .session = data[0] & 8 ? 1 : data[2],
            .sequence = data[2],
            .ack = data[0] >> 5 & 3,
            .credit = 65536,
        };
        size_t length = data[3] * 4U;
        bool seal = data[0] & 1;
        data += FRAME_HEAD;
        size -= FRAME_HEAD;
        length = length < size ? length : size;
        struct ph_text frame = PH_TEXT_INIT;
        if (seal) {
            ph_wire_begin(&frame);
            ph_text_append(&frame, data, length);
            /* A hello has its fixed length; what is not there is zero. */
            while (header.class == PH_WIRE_HELLO && frame.length < PH_WIRE_HELLO_BYTES)
                ph_text_append(&frame, "", 1);
            ph_wire_seal(frame.data, frame.length, header);
        } else {
            ph_text_append(&frame, data, length);
        }
        ph_mesh_receive(end->mesh, ph_text_str(&frame), frame.length, now_ms);
        ph_text_fini(&frame);
        now_ms += data[-1];
        ph_mesh_tick(end->mesh, now_ms);
        ph_assert(ph_mesh_next_deadline(end->mesh) > 0);
        data += length;
        size -= length;
    }
}

static void fuzz_mesh(const uint8_t *data, size_t size)
{
    struct end ends[2] = {0};
    begin(&ends[0], "here", "tcp://127.0.0.1:1", NONCE_HERE);
    begin(&ends[1], "there", "tcp://127.0.0.1:2", NONCE_THERE);
    ph_assert(ph_mesh_join(ends[1].mesh, "tcp://127.0.0.1:1", 2) == 0);
    carry(ends);
    ph_assert(ph_mesh_find(ends[0].mesh, "there"));
    feed(&ends[0], data, size);
    for (int i = 0; i < 2; i++) {
        ph_mesh_destroy(ends[i].mesh);
        for (unsigned at = 0; at < ends[i].count; at++)
            ph_text_fini(&ends[i].out[at]);
    }
}

/* ---- MessagePack ---------------------------------------------------------------------------- */

/* Each byte of the first half chooses how to read the second. */
static void fuzz_pack(const uint8_t *data, size_t size)
{
    struct ph_unpack in;
    size_t length;
    char name[40];
    ph_unpack_init(&in, data + size / 2, size - size / 2);
    for (size_t i = 0; i < size / 2; i++) {
        switch (data[i] % 8) {
        case 0:
            ph_unpack_uint(&in, UINT64_MAX);
            break;
        case 1:
            ph_unpack_bool(&in);
            break;
        case 2:
            ph_unpack_name(&in, name, sizeof name);
            break;
        case 3:
            ph_unpack_str(&in, 1 + data[i], &length);
            break;
        case 4:
            ph_unpack_bin(&in, SIZE_MAX, &length);
            break;
        case 5:
            ph_unpack_array(&in, UINT32_MAX);
            break;
        case 6:
            ph_unpack_nil(&in);
            break;
        default:
            ph_unpack_skip(&in);
            break;
        }
        ph_assert(in.at <= in.end && (!in.broken || in.at == in.end));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ph_discovery_beacon beacon;
    if (size < 1)
        return 0;
    switch (data[0] % 3) {
    case 0:
        fuzz_mesh(data + 1, size - 1);
        break;
    case 1:
        fuzz_pack(data + 1, size - 1);
        break;
    default:
        if (ph_discovery_read(data + 1, size - 1, &beacon) == 0)
            ph_assert(beacon.name[0] && beacon.endpoint[0]);
        break;
    }
    return 0;
}
