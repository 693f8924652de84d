#include "tests/lib/place.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "tests/lib/eventually.h"

static void told_up(void *arg, uint32_t instance)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->lock);
    place->ups++;
    place->up_instance = instance;
    pthread_mutex_unlock(&place->lock);
}

static void told_down(void *arg, uint32_t instance, const struct ph_exit *exit,
                      struct ph_text *unused)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->lock);
    place->downs++;
    place->down_instance = instance;
    place->exit = *exit;
    ph_text_fini(&place->unused);
    place->unused = *unused;
    *unused = PH_TEXT_INIT;
    if (place->destroy_when_down)
        ph_process_destroy_any(place->process);
    pthread_mutex_unlock(&place->lock);
}

static void told_saved(void *arg, uint32_t instance, struct ph_text *state)
{
    struct place *place = arg;
    const struct ph_exit fine = {.how = PH_EXIT_CODE};
    pthread_mutex_lock(&place->lock);
    place->saves++;
    ph_text_fini(&place->saved);
    place->saved = *state;
    *state = PH_TEXT_INIT;
    pthread_mutex_unlock(&place->lock);
    struct ph_text none = PH_TEXT_INIT;
    told_down(arg, instance, &fine, &none);
}

static void told_kept(void *arg, uint32_t instance, const char *why)
{
    struct place *place = arg;
    (void)instance;
    pthread_mutex_lock(&place->lock);
    place->kepts++;
    snprintf(place->why_kept, sizeof place->why_kept, "%s", why);
    pthread_mutex_unlock(&place->lock);
}

static void told_stands_by(void *arg, uint32_t instance)
{
    struct place *place = arg;
    (void)instance;
    pthread_mutex_lock(&place->lock);
    place->stood_by++;
    pthread_mutex_unlock(&place->lock);
}

static void told_ending(void *arg, uint32_t instance)
{
    (void)arg;
    (void)instance;
}

static void told_merged(void *arg, uint32_t instance, int code, const char *why)
{
    (void)arg;
    (void)instance;
    (void)code;
    (void)why;
}

static void told_note(void *arg, const char *type, const char *text)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->lock);
    place->notes++;
    snprintf(place->note_type, sizeof place->note_type, "%s", type);
    snprintf(place->note_text, sizeof place->note_text, "%s", text);
    pthread_mutex_unlock(&place->lock);
}

static const struct ph_process_owner place_owner = {
    .up = told_up,
    .stands_by = told_stands_by,
    .down = told_down,
    .ending = told_ending,
    .saved = told_saved,
    .kept = told_kept,
    .merged = told_merged,
    .note = told_note,
};

/* ---- Helpers --------------------------------------------------------------------------------- */

void place_init_leased(struct place *place, struct fixture *fixture, uint32_t lease)
{
    *place = (struct place){0};
    pthread_mutex_init(&place->lock, NULL);
    place->process = ph_process_create(fixture->monitor, &place_owner, place, lease);
}

void place_init(struct place *place, struct fixture *fixture)
{
    place_init_leased(place, fixture, 0);
}

struct place place_snapshot(struct place *place)
{
    pthread_mutex_lock(&place->lock);
    struct place copy = *place;
    pthread_mutex_unlock(&place->lock);
    return copy;
}

/* "KEY=VALUE" words, then "--" and the program's. */
void place_launch(struct place *place, const char *const *words)
{
    struct ph_error error = {0};
    struct ph_spec *spec = ph_spec_create();
    for (; strcmp(*words, "--") != 0; words++) {
        char key[64];
        const char *equals = strchr(*words, '=');
        snprintf(key, sizeof key, "%.*s", (int)(equals - *words), *words);
        if (ph_spec_set(spec, key, equals + 1, &error) != 0)
            fail_msg("%s", error.text);
    }
    for (words++; *words; words++) {
        if (ph_spec_add_arg(spec, *words, &error) != 0)
            fail_msg("%s", error.text);
    }
    place->instance++;
    ph_process_start_any(place->process, "it", spec, place->instance, 7);
    ph_spec_put(spec);
}

bool place_is_up(void *arg)
{
    struct place now = place_snapshot(arg);
    return now.up_instance == now.instance;
}

bool place_is_down(void *arg)
{
    struct place now = place_snapshot(arg);
    return now.down_instance == now.instance;
}

bool place_has_note(void *arg)
{
    return place_snapshot(arg).notes > 0;
}

struct place place_await_down(struct place *place)
{
    assert_true(eventually(place_is_down, place, SOON_MS));
    struct place now = place_snapshot(place);
    assert_int_equal(now.downs, now.instance); /* never more than one for an instance */
    return now;
}

void place_await_up(struct place *place)
{
    assert_true(eventually(place_is_up, place, SOON_MS));
}

int place_pid(const struct place *place)
{
    struct ph_process_info info;
    ph_process_inspect_any(place->process, &info);
    return info.pid;
}

void place_destroy(struct place *place)
{
    ph_process_destroy_any(place->process);
    ph_text_fini(&place->saved);
    ph_text_fini(&place->unused);
}

struct place place_end(struct place *place)
{
    ph_process_kill_any(place->process);
    struct place now = place_await_down(place);
    place_destroy(place);
    return now;
}

/* Not there, or only waiting to be reaped by someone else. */
bool pid_is_gone(void *arg)
{
    char path[64], text[256] = "";
    int pid = *(int *)arg;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    const char *name_end = strrchr(text, ')');
    return got == 0 || !name_end || name_end[2] == 'Z' || name_end[2] == 'X';
}

/* The pids that victims wrote into the fixture's file. */
size_t fixture_read_pids(const struct fixture *fixture, int *pids, size_t max)
{
    size_t count = 0;
    FILE *file = fopen(fixture->file, "re");
    while (file && count < max && fscanf(file, "%d", &pids[count]) == 1)
        count++;
    if (file)
        fclose(file);
    return count;
}

struct wanted {
    const struct fixture *fixture;
    size_t count;
};

static bool pids_are_written(void *arg)
{
    const struct wanted *wanted = arg;
    int pids[64];
    return fixture_read_pids(wanted->fixture, pids, PH_COUNT_OF(pids)) >= wanted->count;
}

void fixture_await_pids(const struct fixture *fixture, int *pids, size_t count)
{
    struct wanted wanted = {.fixture = fixture, .count = count};
    assert_true(eventually(pids_are_written, &wanted, SOON_MS));
    assert_int_equal(fixture_read_pids(fixture, pids, count), count);
}

void lines_add(void *arg, const struct ph_log_line *line)
{
    struct lines *lines = arg;
    size_t used = strlen(lines->text);
    snprintf(lines->text + used, sizeof lines->text - used, "%.*s\n", (int)line->length,
             line->text);
    lines->count++;
    lines->errors += line->error;
}

struct lines place_output(const struct place *place)
{
    struct lines lines = {0};
    ph_process_log_any(place->process, 0, 0, lines_add, &lines);
    return lines;
}

size_t count_fds(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

int keeper_pid(void)
{
    char path[96], name[64];
    int keeper = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)getpid());
    DIR *tasks = opendir(path);
    for (struct dirent *task = readdir(tasks); task; task = readdir(tasks)) {
        snprintf(path, sizeof path, "/proc/self/task/%.20s/children", task->d_name);
        FILE *file = fopen(path, "re");
        int pid;
        while (file && fscanf(file, "%d", &pid) == 1) {
            snprintf(path, sizeof path, "/proc/%d/comm", pid);
            FILE *comm = fopen(path, "re");
            if (comm && fgets(name, sizeof name, comm) && !strcmp(name, "prochub-keeper\n"))
                keeper = pid;
            if (comm)
                fclose(comm);
        }
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return keeper;
}

int fixture_set_up(void **state)
{
    struct ph_error error = {0};
    struct fixture *fixture = ph_alloc(sizeof *fixture);
    snprintf(fixture->dir, sizeof fixture->dir, "/tmp/ph-monitor-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    snprintf(fixture->file, sizeof fixture->file, "%s/pids", fixture->dir);
    ssize_t length = readlink("/proc/self/exe", fixture->self, sizeof fixture->self - 1);
    *state = fixture;
    return length < 0 ? -1 : ph_monitor_create(PH_KEEPER_PATH, false, &fixture->monitor, &error);
}

int fixture_tear_down(void **state)
{
    struct fixture *fixture = *state;
    ph_monitor_destroy(fixture->monitor);
    unlink(fixture->file);
    rmdir(fixture->dir);
    ph_free(fixture);
    return 0;
}
