/* What a node keeps on disk: files that are torn, replaced, full or somebody else's. */
#include "engine/kind/state_dir.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/alloc.h"
#include "engine/kind/journal_file.h"
#include "tests/lib/eventually.h"

enum { SOON_MS = 20000, ANSWERS = 16 };

struct fixture {
    char dir[64], path[96];
    struct ph_journal_file file;
    struct ph_text read, torn; /* records that were read, each ended by a comma */
    struct ph_error error;
};

static void note_record(void *arg, struct ph_text *record)
{
    struct fixture *f = arg;
    ph_text_append(&f->read, record->data, record->length);
    ph_text_put(&f->read, ",");
    ph_text_fini(record);
}

static int set_up(void **state)
{
    struct fixture *f = ph_alloc(sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/prochub-journal-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/journal", f->dir);
    f->file.fd = f->file.new_fd = -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];
    ph_journal_file_close(&f->file);
    ph_text_fini(&f->read);
    ph_text_fini(&f->torn);
    const char *const names[] = {"journal", "journal.new",   "journal.torn",      "lock",
                                 "node",    "hub-a.journal", "hub-a.journal.new", "hub-b.journal"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(command, sizeof command, "%s/%s", f->dir, names[i]);
        remove(command);
    }
    assert_int_equal(rmdir(f->dir), 0);
    ph_free(f);
    return 0;
}

static int open_file(struct fixture *f)
{
    ph_journal_file_close(&f->file);
    ph_text_clear(&f->read);
    ph_text_clear(&f->torn);
    return ph_journal_file_open(&f->file, f->path, note_record, f, &f->torn, &f->error);
}

static int do_call(struct fixture *f, enum ph_journal_verb verb, const char *record)
{
    struct ph_text text = PH_TEXT_INIT;
    ph_text_put(&text, record);
    int rc = ph_journal_file_call(&f->file, verb, &text);
    ph_text_fini(&text);
    return rc;
}

static void append(struct fixture *f, const char *record)
{
    assert_int_equal(do_call(f, PH_JOURNAL_APPEND, record), 0);
}

static void assert_reads(struct fixture *f, const char *records)
{
    assert_int_equal(open_file(f), 0);
    assert_string_equal(ph_text_str(&f->read), records);
}

/* ---- Files --------------------------------------------------------------------------------- */

/* What was appended is read in order, by any later opening; a new file has nothing. */
static void records_come_back_in_order(void **state)
{
    struct fixture *f = *state;
    assert_reads(f, "");
    append(f, "one");
    append(f, "two");
    assert_int_equal(ph_journal_file_sync(&f->file), 0);
    assert_reads(f, "one,two,");
    append(f, "three");
    assert_reads(f, "one,two,three,");
    assert_int_equal(f->torn.length, 0);
}

/* Wherever a crash cuts the file, what was whole before is there, and it can be written again. */
static void file_cut_anywhere_keeps_what_is_whole(void **state)
{
    struct fixture *f = *state;
    assert_reads(f, "");
    append(f, "one");
    uint64_t first = f->file.bytes;
    append(f, "two");
    for (uint64_t cut = f->file.bytes - 1; cut > first; cut--) {
        assert_int_equal(truncate(f->path, (off_t)cut), 0);
        assert_reads(f, "one,");
        assert_non_null(strstr(ph_text_str(&f->torn), "journal.torn"));
        append(f, "two");
        assert_reads(f, "one,two,");
        assert_int_equal(f->torn.length, 0);
    }
    for (off_t cut = 7; cut >= 0; cut--) { /* it was not even begun */
        assert_int_equal(truncate(f->path, cut), 0);
        assert_reads(f, "");
    }
}

/* A changed byte ends the reading before its record; what follows is kept beside. */
static void changed_byte_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct stat beside;
    char torn[128];
    assert_reads(f, "");
    append(f, "one");
    uint64_t first = f->file.bytes;
    append(f, "two");
    append(f, "three");
    uint64_t all = f->file.bytes;
    FILE *stream = fopen(f->path, "r+");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, (long)first + 13, SEEK_SET), 0);
    assert_int_equal(fputc('x', stream), 'x');
    assert_int_equal(fclose(stream), 0);
    assert_reads(f, "one,");
    snprintf(torn, sizeof torn, "%s.torn", f->path);
    assert_int_equal(stat(torn, &beside), 0);
    assert_int_equal(beside.st_size, all - first);
}

/* A length that cannot be is no reason to reserve memory or to read on. */
static void absurd_length_is_the_end(void **state)
{
    struct fixture *f = *state;
    assert_reads(f, "");
    append(f, "one");
    FILE *stream = fopen(f->path, "a");
    assert_non_null(stream);
    static const char absurd[] = "\xff\xff\xff\xff 8 bytes and more";
    assert_int_equal(fwrite(absurd, sizeof absurd, 1, stream), 1);
    assert_int_equal(fclose(stream), 0);
    assert_reads(f, "one,");
}

/* The new one has the copies and what was appended meanwhile, and takes the place of the old. */
static void new_journal_takes_the_place_of_the_old(void **state)
{
    struct fixture *f = *state;
    assert_reads(f, "");
    append(f, "old");
    assert_int_equal(do_call(f, PH_JOURNAL_RENEW, ""), 0);
    assert_int_equal(do_call(f, PH_JOURNAL_COPY, "copy"), 0);
    append(f, "meanwhile");
    assert_int_equal(do_call(f, PH_JOURNAL_REPLACE, ""), 0);
    append(f, "after");
    assert_reads(f, "copy,meanwhile,after,");
}

/* A crash before that leaves the old one, with all that was appended. */
static void unfinished_new_journal_counts_for_nothing(void **state)
{
    struct fixture *f = *state;
    char left[128];
    assert_reads(f, "");
    append(f, "old");
    assert_int_equal(do_call(f, PH_JOURNAL_RENEW, ""), 0);
    assert_int_equal(do_call(f, PH_JOURNAL_COPY, "copy"), 0);
    append(f, "meanwhile");
    assert_reads(f, "old,meanwhile,");
    snprintf(left, sizeof left, "%s.new", f->path);
    assert_int_equal(access(left, F_OK), -1);
}

/* Emptied, it has what is appended afterwards. */
static void emptied_journal_begins_anew(void **state)
{
    struct fixture *f = *state;
    assert_reads(f, "");
    append(f, "old");
    assert_int_equal(do_call(f, PH_JOURNAL_EMPTY, ""), 0);
    append(f, "new");
    assert_reads(f, "new,");
}

/* A file that is no journal is not touched, and named. */
static void other_files_are_refused(void **state)
{
    struct fixture *f = *state;
    char text[16] = "";
    FILE *stream = fopen(f->path, "w");
    assert_non_null(stream);
    assert_true(fputs("my dear diary", stream) >= 0);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(open_file(f), PH_EREFUSED);
    assert_non_null(strstr(f->error.text, f->path));
    assert_non_null(strstr(f->error.text, "move it away"));
    stream = fopen(f->path, "r");
    assert_non_null(stream);
    assert_non_null(fgets(text, sizeof text, stream));
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(text, "my dear diary");
}

/* ---- The directory ------------------------------------------------------------------------- */

struct answers {
    pthread_mutex_t lock;
    struct ph_journal_answer list[ANSWERS];
    char text[200];
    unsigned count;
};

static void note_answer(void *arg, const struct ph_journal_answer *answer)
{
    struct answers *answers = arg;
    pthread_mutex_lock(&answers->lock);
    if (answers->count < ANSWERS)
        answers->list[answers->count++] = *answer;
    if (answer->text)
        snprintf(answers->text, sizeof answers->text, "%s", answer->text);
    pthread_mutex_unlock(&answers->lock);
}

static void forget_record(void *arg, struct ph_text *record)
{
    (void)arg;
    ph_text_fini(record);
}

static struct ph_journal_answer last_answer(struct answers *answers)
{
    struct ph_journal_answer last = {0};
    pthread_mutex_lock(&answers->lock);
    if (answers->count)
        last = answers->list[answers->count - 1];
    pthread_mutex_unlock(&answers->lock);
    return last;
}

struct awaited {
    struct answers *answers;
    uint64_t call;
};

static bool is_answered(void *arg)
{
    struct awaited *awaited = arg;
    return last_answer(awaited->answers).done.call >= awaited->call;
}

static void write_record(struct ph_journal_writer *writer, uint64_t call, const char *text)
{
    struct ph_text record = PH_TEXT_INIT;
    ph_text_put(&record, text);
    ph_journal_call(writer, PH_JOURNAL_APPEND,
                    (struct ph_journal_mark){.call = call, .changes = 10 * call}, &record);
}

static struct ph_state_dir *open_dir(struct fixture *f, const char *node, uint64_t incarnation)
{
    struct ph_state_dir *dir = NULL;
    if (ph_state_dir_open(f->dir, node, incarnation, &dir, &f->error))
        return NULL;
    return dir;
}

static struct ph_journal_writer *open_journal(struct fixture *f, struct ph_state_dir *dir,
                                              const char *hub, struct answers *answers)
{
    struct ph_journal_writer *writer;
    const struct ph_journal_owner owner = {
        .read = forget_record, .done = note_answer, .arg = answers};
    pthread_mutex_init(&answers->lock, NULL);
    assert_int_equal(ph_journal_open(dir, hub, &owner, &f->torn, &writer, &f->error), 0);
    return writer;
}

/* Calls are answered in order, when they are on the disk; each hub has a journal of its own. */
static void calls_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    struct answers a = {.count = 0}, b = {.count = 0};
    struct ph_state_dir *dir = open_dir(f, "n1", 7);
    assert_non_null(dir);
    struct ph_journal_writer *for_a = open_journal(f, dir, "a", &a);
    struct ph_journal_writer *for_b = open_journal(f, dir, "b", &b);
    for (uint64_t call = 1; call <= 100; call++) {
        write_record(for_a, call, "x");
        if (call % 10 == 0)
            write_record(for_b, call / 10, "y");
    }
    ph_journal_close(for_a);
    ph_journal_close(for_b);
    assert_int_equal(last_answer(&a).done.call, 100);
    assert_int_equal(last_answer(&a).done.changes, 1000);
    assert_int_equal(last_answer(&b).done.call, 10);
    assert_int_equal(last_answer(&a).bytes, 8 + 100 * 13);
    for (unsigned i = 1; i < a.count; i++)
        assert_true(a.list[i].done.call > a.list[i - 1].done.call);
    ph_state_dir_close(dir);
}

/* A failure is told once, with the file and why; what follows is dropped until a renewal. */
static void failure_is_told_and_a_renewal_ends_it(void **state)
{
    struct fixture *f = *state;
    struct answers a = {.count = 0};
    struct rlimit before, tight = {0};
    struct ph_state_dir *dir = open_dir(f, "n1", 7);
    assert_non_null(dir);
    struct ph_journal_writer *writer = open_journal(f, dir, "a", &a);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){.rlim_cur = 10, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    write_record(writer, 1, "too much");
    assert_true(eventually(is_answered, &(struct awaited){&a, 1}, SOON_MS));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(last_answer(&a).code, 0);
    assert_non_null(strstr(a.text, "hub-a.journal"));
    write_record(writer, 2, "dropped");
    ph_journal_call(writer, PH_JOURNAL_RENEW, (struct ph_journal_mark){3, 30}, NULL);
    ph_journal_call(writer, PH_JOURNAL_REPLACE, (struct ph_journal_mark){4, 40}, NULL);
    assert_true(eventually(is_answered, &(struct awaited){&a, 4}, SOON_MS));
    assert_int_equal(last_answer(&a).code, 0);
    assert_true(last_answer(&a).renewed);
    for (unsigned i = 0; i < a.count; i++)
        assert_int_not_equal(a.list[i].done.call, 2);
    ph_journal_close(writer);
    ph_state_dir_close(dir);
}

/* One node at a time, and always the same; its incarnation rises whatever the clock says. */
static void directory_is_one_nodes(void **state)
{
    struct fixture *f = *state;
    struct ph_state_dir *dir = open_dir(f, "n1", UINT64_C(5) << 32);
    assert_non_null(dir);
    uint64_t first = ph_state_dir_incarnation(dir);
    assert_int_equal(first, UINT64_C(5) << 32);
    assert_null(open_dir(f, "n1", UINT64_C(6) << 32));
    assert_non_null(strstr(f->error.text, "another node uses it"));
    ph_state_dir_close(dir);
    assert_null(open_dir(f, "n2", UINT64_C(6) << 32));
    assert_non_null(strstr(f->error.text, "that of node n1"));
    dir = open_dir(f, "n1", UINT64_C(3) << 32); /* the clock was set back */
    assert_non_null(dir);
    assert_true(ph_state_dir_incarnation(dir) > first);
    ph_state_dir_close(dir);
}

/* A node file of something else is refused, and named. */
static void other_directories_are_refused(void **state)
{
    struct fixture *f = *state;
    char path[96];
    snprintf(path, sizeof path, "%s/node", f->dir);
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    assert_true(fputs("something else\n", stream) >= 0);
    assert_int_equal(fclose(stream), 0);
    assert_null(open_dir(f, "n1", 7));
    assert_non_null(strstr(f->error.text, "move the directory away"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(records_come_back_in_order),
        TEST(file_cut_anywhere_keeps_what_is_whole),
        TEST(changed_byte_is_noticed),
        TEST(absurd_length_is_the_end),
        TEST(new_journal_takes_the_place_of_the_old),
        TEST(unfinished_new_journal_counts_for_nothing),
        TEST(emptied_journal_begins_anew),
        TEST(other_files_are_refused),
        TEST(calls_are_answered_in_order),
        TEST(failure_is_told_and_a_renewal_ends_it),
        TEST(directory_is_one_nodes),
        TEST(other_directories_are_refused),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
