/*
 * The state directory of a node: what it keeps on disk, crash-safe, and the thread that writes it.
 *
 *   lock             held while a node uses the directory
 *   node             the node's name, and the incarnation of its last start
 *   hub-NAME.journal what that hub wants (journal_file.h, cluster_journal.h)
 *
 * One thread writes for all hubs, so that nobody else ever waits for a disk: it takes all calls
 * that have gathered, does them in order, syncs once and answers. Bounded by what the hubs have
 * under way (cluster_journal.c). `lock` is held for a few instructions, never across a call.
 */
#ifndef PH_ENGINE_KIND_STATE_DIR_H
#define PH_ENGINE_KIND_STATE_DIR_H

#include <stdint.h>

#include "engine/ports.h"
#include "engine/text.h"

struct ph_state_dir;
struct ph_journal_writer;

/* Takes the directory for that node, makes it when it is missing (mode 0700) and starts the thread.
 * `incarnation` is what the node would take; what it is to take is at least that, and higher than
 * all before: ph_state_dir_incarnation. PH_EREFUSED: another node uses it, or it is another node's;
 * -errno. */
PH_MUST_CHECK int ph_state_dir_open(const char *path, const char *node, uint64_t incarnation,
                                    struct ph_state_dir **, struct ph_error *);
uint64_t ph_state_dir_incarnation(const struct ph_state_dir *);
/* No journal is open. NULL is fine. Waits for the disk. */
void ph_state_dir_close(struct ph_state_dir *);

/* What became of calls, all up to `done`: on the directory's thread; must not block. */
struct ph_journal_answer {
    struct ph_journal_mark done;
    int code;         /* 0, or why that one was not done */
    const char *text; /* the same for people; borrowed */
    bool renewed;     /* a REPLACE was among them */
    uint64_t bytes;   /* how long the journal is now */
};

struct ph_journal_owner {
    void (*read)(void *reader, struct ph_text *record); /* in ph_journal_open; moved */
    void *reader;
    void (*done)(void *arg, const struct ph_journal_answer *);
    void *arg;
};

/* Reads the journal of a hub. `torn` and errors: see ph_journal_file_open. */
PH_MUST_CHECK int ph_journal_open(struct ph_state_dir *, const char *hub,
                                  const struct ph_journal_owner *, struct ph_text *torn,
                                  struct ph_journal_writer **, struct ph_error *);
uint64_t ph_journal_bytes(const struct ph_journal_writer *); /* before the first call */
/* Any thread; the record is moved. */
void ph_journal_call(struct ph_journal_writer *, enum ph_journal_verb, struct ph_journal_mark,
                     struct ph_text *record);
/* Waits until all calls were done. NULL is fine. */
void ph_journal_close(struct ph_journal_writer *);

#endif
