/*
 * A journal on disk: a file of records, appended to, and now and then replaced by a new one.
 *
 * "PHJRNL1\n", then for each record its length (32 bits), the XXH3 of its bytes (64 bits; both
 * little-endian) and the bytes. What was synced is there after a crash of the machine; what was
 * written after that may be there in part: reading ends at the first record that is not whole, and
 * what follows is cut off and put beside (PATH.torn). A new one is PATH.new until it is whole and
 * synced; then it is renamed. One thread at a time; calls may block for as long as the disk does.
 */
#ifndef PH_ENGINE_KIND_JOURNAL_FILE_H
#define PH_ENGINE_KIND_JOURNAL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/ports.h"
#include "engine/text.h"

enum { PH_JOURNAL_RECORD_MAX = 64 * 1024 * 1024 };

struct ph_journal_file {
    char *path;
    int fd, new_fd; /* new_fd: -1: it is not being renewed */
    uint64_t bytes, new_bytes;
    bool unsynced;
};

/* Opens it, made when it is missing, and gives each record to `read` (moved). `torn` (appended to):
 * what was cut off, for people. PH_EREFUSED: that is no journal of ours; -errno. The error says
 * which file and what to do. */
PH_MUST_CHECK int ph_journal_file_open(struct ph_journal_file *, const char *path,
                                       void (*read)(void *arg, struct ph_text *record), void *arg,
                                       struct ph_text *torn, struct ph_error *);
void ph_journal_file_close(struct ph_journal_file *);

/* Does what the verb says; an APPEND is sure to be there after the next sync. 0 or -errno; after a
 * failure only a RENEW may follow. */
PH_MUST_CHECK int ph_journal_file_call(struct ph_journal_file *, enum ph_journal_verb,
                                       const struct ph_text *record);
PH_MUST_CHECK int ph_journal_file_sync(struct ph_journal_file *);

/* A name is as durable as the directory that has it: syncs that of a path. 0 or -errno. */
PH_MUST_CHECK int ph_journal_sync_directory(const char *path);

#endif
