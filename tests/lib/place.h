/*
 * A place for an OS process and what its owner was told, for tests that drive the real keeper. Each
 * test has a monitor and a directory of its own (struct fixture). What asserts is for the test's
 * main thread. The keeper is the one in PH_KEEPER_PATH.
 */
#ifndef PH_TESTS_LIB_PLACE_H
#define PH_TESTS_LIB_PLACE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/kind/monitor.h"

enum { SOON_MS = 20000 };

/* What one process's owner was told. */
struct place {
    struct ph_process *process;
    pthread_mutex_t lock;
    uint32_t instance, ups, downs, up_instance, down_instance, notes;
    struct ph_exit exit;
    char note_type[64], note_text[400];
    uint32_t saves, kepts, stood_by;
    char why_kept[200];
    struct ph_text saved;  /* the last state; freed by place_destroy */
    struct ph_text unused; /* that the last instance could not begin with; the same */
    bool destroy_when_down;
};

struct fixture {
    struct ph_monitor *monitor;
    char dir[64], file[96], self[256];
};

struct lines {
    char text[4096];
    size_t count;
    uint64_t errors;
};

void place_init(struct place *place, struct fixture *fixture);
void place_init_leased(struct place *place, struct fixture *fixture, uint32_t lease);
/* A copy, taken under the lock. */
struct place place_snapshot(struct place *place);
/* "KEY=VALUE" words of the spec, then "--" and the program's, then NULL. */
void place_launch(struct place *place, const char *const *words);
/* For eventually(); `arg` is the place. */
bool place_is_up(void *arg);
bool place_is_down(void *arg);
bool place_has_note(void *arg);
/* Wait; fail the test when it takes too long or was told twice. */
struct place place_await_down(struct place *place);
void place_await_up(struct place *place);
int place_pid(const struct place *place);
/* Of one without an instance. */
void place_destroy(struct place *place);
/* Kills it, waits for its end and destroys it. */
struct place place_end(struct place *place);
/* Not there, or only waiting to be reaped by someone else; `arg` is an int. */
bool pid_is_gone(void *arg);
/* The pids that victims wrote into the fixture's file. */
size_t fixture_read_pids(const struct fixture *fixture, int *pids, size_t max);
void fixture_await_pids(const struct fixture *fixture, int *pids, size_t count);
/* For ph_process_log_any; `arg` is a struct lines. */
void lines_add(void *arg, const struct ph_log_line *line);
/* All its output. */
struct lines place_output(const struct place *place);
size_t count_fds(void);
/* Of the keeper that is a child of this program; 0: none. */
int keeper_pid(void);
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

#define LAUNCH(place, ...) place_launch(place, (const char *const[]){__VA_ARGS__, NULL})
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

#endif
