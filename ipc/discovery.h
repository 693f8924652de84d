/*
 * Finding the nodes of a cluster without a seed: each says where it is by a small datagram to one
 * UDP address, and calls whom it hears of. The address is a multicast one (on the loopback device:
 * links without keys do not leave this machine either) or the loopback's broadcast 127.255.255.255.
 *
 * A datagram is a MessagePack array: "prochub", version, cluster, name, endpoint. Anyone can write
 * one, so hearing one leads to a call and to nothing else: at most PH_DISCOVERY_CALLS in a second,
 * and a node that is known is not called. A beacon of ours goes out every ten seconds, in the first
 * ten seconds every second, each with jitter. Belongs to the links' thread.
 */
#ifndef PH_IPC_DISCOVERY_H
#define PH_IPC_DISCOVERY_H

#include <stdint.h>

#include "engine/prochub.h"
#include "ipc/mesh.h"

enum { PH_DISCOVERY_VERSION = 1, PH_DISCOVERY_BYTES_MAX = 400, PH_DISCOVERY_CALLS = 8 };

struct ph_discovery;

struct ph_discovery_setup {
    const char *address; /* "ADDR:PORT" */
    const char *cluster, *name, *endpoint;
    uint64_t seed;
};

/* Datagrams: ours, all that came (our own among them), those that were not read, those of other
 * clusters; calls that were made, and those that were too many in a second. */
struct ph_discovery_stats {
    uint64_t sent, heard, malformed, foreign, called, limited;
};

/* Copies the setup. PH_EUSAGE, or -errno of the socket, with a text. */
PH_MUST_CHECK int ph_discovery_create(const struct ph_discovery_setup *, struct ph_discovery **,
                                      struct ph_error *);
void ph_discovery_destroy(struct ph_discovery *);

/* Readable when a datagram is there. */
int ph_discovery_fd(const struct ph_discovery *);

/* Takes what was heard, says what is due; milliseconds until something is due again. */
int ph_discovery_turn(struct ph_discovery *, struct ph_mesh *, uint64_t now_ms);

/* The datagram of a node, and its way back: PH_EUSAGE for anything else. */
void ph_discovery_write(struct ph_text *, const char *cluster, const char *name,
                        const char *endpoint);
struct ph_discovery_beacon {
    char cluster[65], name[65], endpoint[129];
};
PH_MUST_CHECK int ph_discovery_read(const void *bytes, size_t length, struct ph_discovery_beacon *);

void ph_discovery_get_stats(const struct ph_discovery *, struct ph_discovery_stats *);

#endif
