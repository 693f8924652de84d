/* The screen as text: every view at several sizes against tests/golden, and what keys do to it.
 * GENERATE=1 writes the golden files anew. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"
#include "tui/screen.h"

enum { NOW_MS = 1000000 };

static void feed(struct ph_screen *screen, enum ph_slot slot, uint64_t tag, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Lets the model take rows: one JSON line, or several separated by newlines. */
static void feed(struct ph_screen *screen, enum ph_slot slot, uint64_t tag, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct ph_data *data = ph_data_create(tag);
    char *next = text;
    for (char *line; (line = strsep(&next, "\n"));)
        if (*line)
            assert_int_equal(ph_data_add(data, line, strlen(line)), 0);
    ph_model_take(&screen->model, slot, data);
}

static void feed_status(struct ph_screen *screen, unsigned events, unsigned children, bool locked)
{
    feed(screen, PH_SLOT_STATUS, 0,
         "{\"t\":\"status\",\"version\":%u,\"node\":\"n1\",\"hub\":\"default\",\"nodes\":1,"
         "\"children\":%u,\"running\":%u,\"backoff\":2,\"failed\":1,\"restarts\":7,\"level\":%d,"
         "\"holder\":%s,\"reason\":%s,\"lock_left_ms\":%s,\"held\":%d,\"events\":%u,"
         "\"settled\":%s,\"uptime_ms\":11000000}",
         events, children, children - 3, locked ? 10 : 0, locked ? "\"deploy\"" : "null",
         locked ? "\"lock\"" : "null", locked ? "42000" : "null", locked ? 49 : 0, events,
         locked ? "false" : "true");
}

/* Five minutes of pictures with a burst in each. */
static void feed_history(struct ph_screen *screen)
{
    unsigned events = 100;
    for (unsigned s = 0; s < 200; s++) {
        events += s % 50 < 20 ? s % 50 * 12 : 3;
        screen->model.now_ms = NOW_MS - (200 - s) * 1000;
        feed_status(screen, events, 1204, false);
    }
    screen->model.now_ms = NOW_MS;
    feed_status(screen, events + 40, 1204, true);
    feed(screen, PH_SLOT_LOCKS, 0, "%s\n%s",
         "{\"t\":\"lock\",\"name\":\"deploy\",\"priority\":10,\"reason\":\"lock\",\"left_ms\":"
         "42000}",
         "{\"t\":\"lock\",\"name\":\"nightly\",\"priority\":5,\"reason\":\"backup\",\"left_ms\":"
         "null}");
}

static void feed_events(struct ph_screen *screen)
{
    static const char *const types[] = {"child_started", "lock_set", "child_exited",
                                        "child_backoff"};
    for (unsigned i = 0; i < 40; i++)
        feed(screen, PH_SLOT_EVENTS, 0,
             "{\"t\":\"event\",\"seq\":%u,\"time\":\"2026-11-22T14:02:%02u.%03uZ\",\"type\":\"%s\","
             "\"id\":%s,\"priority\":%u,\"cause\":%u,\"text\":\"%s\"}",
             9900 + i, i, i * 17 % 1000, types[i % 4], i % 4 == 1 ? "null" : "\"pay-eu-0017\"",
             i % 4 == 1 ? 10 : 0, i % 4 == 3 ? 9899 + i : 0, i % 4 == 2 ? "killed by SIGKILL" : "");
}

static void feed_children(struct ph_screen *screen, uint64_t tag, unsigned first, unsigned count)
{
    static const char *const states[] = {"running", "running", "starting", "backoff", "failed"};
    char rows[8000] = "";
    size_t used = 0;
    for (unsigned i = first; i < first + count && used + 300 < sizeof rows; i++)
        used += (size_t)snprintf(
            rows + used, sizeof rows - used,
            "{\"t\":\"child\",\"id\":\"worker-%05u\",\"kind\":\"%s\",\"nodes\":[\"n1\"],"
            "\"state\":\"%s\",\"pid\":%s,\"restarts\":%u,\"queue\":%u,\"uptime_ms\":%u,"
            "\"tags\":[\"web\",\"eu\"]}\n",
            i, i % 3 ? "module" : "process", states[i % 5], i % 3 ? "null" : "31007", i % 7,
            i * 37 % 2000, i * 100000);
    feed(screen, PH_SLOT_CHILDREN, tag, "%s", rows);
}

/* Four nodes: one drains, one is gone; children move. */
static void feed_cluster(struct ph_screen *screen)
{
    feed(screen, PH_SLOT_STATUS, 0,
         "{\"t\":\"status\",\"version\":9999,\"node\":\"n1\",\"hub\":\"default\",\"nodes\":3,"
         "\"children\":1204,\"local\":402,\"running\":1180,\"moving\":24,\"failed\":1,"
         "\"migrating\":310,\"restarts\":7,\"level\":0,\"events\":9700,\"settled\":false,"
         "\"uptime_ms\":11000000}");
    feed(
        screen, PH_SLOT_NODES, 0, "%s\n%s\n%s\n%s",
        "{\"t\":\"node\",\"name\":\"n1\",\"endpoint\":\"tcp://127.0.0.1:41001\",\"state\":\"up\","
        "\"self\":true,\"children\":402,\"uptime_ms\":11000000,\"rtt_us\":null,\"draining\":false}",
        "{\"t\":\"node\",\"name\":\"n2\",\"endpoint\":\"tcp://127.0.0.1:41002\",\"state\":"
        "\"draining\",\"self\":false,\"children\":310,\"uptime_ms\":7200000,\"rtt_us\":412,"
        "\"draining\":true}",
        "{\"t\":\"node\",\"name\":\"n3\",\"endpoint\":\"tcp://127.0.0.1:41003\",\"state\":"
        "\"suspect\",\"self\":false,\"children\":492,\"uptime_ms\":61000,\"rtt_us\":12500,"
        "\"draining\":false}",
        "{\"t\":\"node\",\"name\":\"n4\",\"endpoint\":\"tcp://127.0.0.1:41004\",\"state\":\"down\","
        "\"self\":false,\"children\":0,\"uptime_ms\":0,\"rtt_us\":null,\"draining\":false}");
}

static void feed_moves(struct ph_screen *screen)
{
    static const char *const phases[] = {"preparing", "standby",  "saving", "sent",
                                         "failed",    "starting", "done"};
    char rows[8000] = "";
    size_t used = 0;
    for (unsigned i = 0; i < 20; i++)
        used += (size_t)snprintf(
            rows + used, sizeof rows - used,
            "{\"t\":\"migration\",\"id\":\"worker-%05u\",\"from\":\"n2\",\"to\":\"n%u\","
            "\"phase\":\"%s\",\"mode\":\"%s\",\"bytes\":%u,\"age_ms\":%u,\"error\":%s}\n",
            i, i % 2 ? 1 : 3, phases[i % 7], i % 7 < 4 ? "hot" : "cold", i * 4096, i * 137,
            i % 7 == 4 ? "\"n3 did not answer in time\"" : "null");
    feed(screen, PH_SLOT_MOVES, 0, "%s", rows);
}

static void open_screen(struct ph_screen *screen)
{
    ph_screen_init(screen);
    screen->model.now_ms = NOW_MS;
}

static void press(struct ph_screen *screen, const char *keys)
{
    for (; *keys; keys++)
        if (ph_screen_key(screen, *keys) & PH_EFFECT_FETCH)
            ph_screen_update(screen, screen->rows, screen->cols);
}

/* ---- Golden files ---- */

static void dump(const struct ph_screen *screen, int rows, int cols, bool ascii,
                 struct ph_text *out)
{
    struct ph_grid grid;
    struct ph_cursor cursor;
    ph_grid_init(&grid, rows, cols, ascii);
    ph_screen_draw(screen, &grid, &cursor);
    ph_text_clear(out);
    ph_grid_dump(&grid, out);
    ph_grid_fini(&grid);
}

static void compare_file(const char *name, const struct ph_text *text)
{
    char path[512];
    const char *root = getenv("PH_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/golden/%s.txt", root ? root : ".", name);
    bool generate = getenv("GENERATE") != NULL;
    FILE *file = fopen(path, generate ? "w" : "r");
    if (!file)
        fail_msg("%s cannot be opened: run with GENERATE=1 to write it", path);
    char *golden = calloc(1, 200000);
    size_t length =
        generate ? fwrite(text->data, 1, text->length, file) : fread(golden, 1, 199999, file);
    fclose(file);
    if (!generate && (length != text->length || memcmp(golden, text->data, length)))
        print_error("%s differs; the screen is now:\n%s", path, ph_text_str(text));
    assert_true(generate || (length == text->length && !memcmp(golden, text->data, length)));
    free(golden);
}

static const struct {
    int rows, cols;
} sizes[] = {{24, 80}, {10, 40}, {40, 120}};

/* Settles the screen at a size as the console does: twice, because rows lead to other wants. */
static void settle(struct ph_screen *screen, int rows, int cols, unsigned view)
{
    ph_screen_update(screen, rows, cols);
    if (view == 1) {
        const struct ph_want *want = &screen->wants.slot[PH_SLOT_CHILDREN];
        feed_children(screen, want->tag, (unsigned)(want->tag & 0xffffffff), 36);
        ph_screen_update(screen, rows, cols);
    }
}

static void check_view_with(const char *name, const char *keys, unsigned view,
                            void (*more)(struct ph_screen *))
{
    struct ph_text text = PH_TEXT_INIT;
    for (size_t i = 0; i < PH_COUNT_OF(sizes); i++) {
        struct ph_screen screen;
        char file[64];
        open_screen(&screen);
        feed_history(&screen);
        feed_events(&screen);
        if (more)
            more(&screen);
        ph_screen_update(&screen, sizes[i].rows, sizes[i].cols);
        press(&screen, keys);
        settle(&screen, sizes[i].rows, sizes[i].cols, view);
        dump(&screen, sizes[i].rows, sizes[i].cols, true, &text);
        snprintf(file, sizeof file, "%s_%dx%d", name, sizes[i].cols, sizes[i].rows);
        compare_file(file, &text);
        ph_screen_fini(&screen);
    }
    ph_text_fini(&text);
}

static void check_view(const char *name, const char *keys, unsigned view)
{
    check_view_with(name, keys, view, NULL);
}

/* The node, its gate, its throughput, its locks and its last events, small screens less. */
static void overview_looks_as_drawn(void **state)
{
    (void)state;
    check_view("overview", "1", 0);
}

/* Columns go by priority when there is less room; the id stays. */
static void children_look_as_drawn(void **state)
{
    (void)state;
    check_view("children", "2", 1);
}

/* The newest event is first; the one under the cursor is explained. */
static void events_look_as_drawn(void **state)
{
    (void)state;
    check_view("events", "4jjjj", 3);
}

/* With several nodes the overview lists them and says what moves. */
static void overview_of_several_nodes_looks_as_drawn(void **state)
{
    (void)state;
    check_view_with("overview_nodes", "1", 0, feed_cluster);
}

/* With several nodes every child has its node; the queue makes room for it. */
static void children_of_several_nodes_look_as_drawn(void **state)
{
    (void)state;
    check_view_with("children_nodes", "2", 1, feed_cluster);
}

/* Each node with its state, its share of the children and its distance. */
static void nodes_look_as_drawn(void **state)
{
    (void)state;
    check_view_with("nodes", "7j", 6, feed_cluster);
}

static void feed_cluster_and_moves(struct ph_screen *screen)
{
    feed_cluster(screen);
    feed_moves(screen);
}

/* What is left to move, each move with its phase, and why one failed. */
static void moves_look_as_drawn(void **state)
{
    (void)state;
    check_view_with("moves", "3jjjj", 2, feed_cluster_and_moves);
}

/* Every key of the view with its command. */
static void help_looks_as_drawn(void **state)
{
    (void)state;
    check_view("help", "2?", 1);
}

/* ---- What keys do ---- */

struct fixture {
    struct ph_screen screen;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    open_screen(&fixture->screen);
    feed_status(&fixture->screen, 100, 1000, false);
    ph_screen_update(&fixture->screen, 24, 80);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    ph_screen_fini(&fixture->screen);
    free(fixture);
    return 0;
}

static const char *want_of(const struct ph_screen *screen, enum ph_slot slot)
{
    return ph_text_str(&screen->wants.slot[slot].command);
}

/* Only a window of the list is asked for, and the end of the list is a window, too. */
static void children_are_fetched_by_the_window(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "2");
    assert_string_equal(want_of(screen, PH_SLOT_CHILDREN), "children sort=id limit=57 offset=0");
    press(screen, "G");
    assert_string_equal(want_of(screen, PH_SLOT_CHILDREN), "children sort=id limit=57 offset=962");
    press(screen, "ssr");
    assert_string_equal(want_of(screen, PH_SLOT_CHILDREN), "children sort=-kind limit=57 offset=0");
}

/* A word is looked for in ids; what has an operator is an expression. Both go to the node. */
static void filters_are_the_nodes_work(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "2/web\r");
    assert_string_equal(want_of(screen, PH_SLOT_COUNT), "count where id =~ 'web'");
    press(screen, "/state != running\r");
    assert_string_equal(want_of(screen, PH_SLOT_CHILDREN),
                        "children sort=id limit=57 offset=0 where state != running");
    press(screen, "/\r");
    assert_string_equal(want_of(screen, PH_SLOT_COUNT), "");
}

/* The row under the cursor stays the same child when others come in above it. */
static void the_cursor_sticks_to_its_child(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "2");
    uint64_t tag = screen->wants.slot[PH_SLOT_CHILDREN].tag;
    feed_children(screen, tag, 100, 30);
    ph_screen_update(screen, 24, 80);
    press(screen, "jjj");
    assert_string_equal(screen->wants.selected, "worker-00103");
    feed_children(screen, tag, 98, 30);
    ph_screen_update(screen, 24, 80);
    assert_string_equal(screen->wants.selected, "worker-00103");
}

/* Nothing is stopped without consent, and Cancel is what Enter means at first. */
static void stopping_asks_first(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "2K");
    assert_int_equal(screen->overlay, PH_OVERLAY_NONE);
    feed_children(screen, screen->wants.slot[PH_SLOT_CHILDREN].tag, 5, 3);
    ph_screen_update(screen, 24, 80);
    press(screen, "K");
    assert_int_equal(screen->overlay, PH_OVERLAY_CONFIRM);
    assert_string_equal(ph_text_str(&screen->command), "stop 'worker-00005'");
    assert_false(ph_screen_key(screen, '\r') & PH_EFFECT_RUN);
    press(screen, "K\t");
    assert_true(ph_screen_key(screen, '\r') & PH_EFFECT_RUN);
    assert_string_equal(ph_text_str(&screen->command), "stop 'worker-00005'");
    assert_true(screen->running);
    ph_screen_done(screen, 0, 12);
    assert_string_equal(ph_text_str(&screen->message), "ok  12 ms  ");
}

/* A move is given its node, then asked about; a pin is taken away after a question. */
static void moving_asks_where_and_then_whether(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "2");
    feed_children(screen, screen->wants.slot[PH_SLOT_CHILDREN].tag, 5, 3);
    ph_screen_update(screen, 24, 80);
    press(screen, "Mn2\r");
    assert_int_equal(screen->overlay, PH_OVERLAY_CONFIRM);
    assert_string_equal(ph_text_str(&screen->command), "migrate 'worker-00005' to n2");
    press(screen, "n");
    press(screen, "U\t");
    assert_true(ph_screen_key(screen, '\r') & PH_EFFECT_RUN);
    assert_string_equal(ph_text_str(&screen->command), "unpin 'worker-00005'");
}

/* All moves are held up and go on with one key; others try the one under the cursor again, or call
 * it off. All of them ask. */
static void moves_are_held_retried_and_aborted_with_consent(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "3");
    feed_cluster_and_moves(screen);
    ph_screen_update(screen, 24, 80);
    press(screen, "W");
    assert_int_equal(screen->overlay, PH_OVERLAY_CONFIRM);
    assert_string_equal(ph_text_str(&screen->command), "migrations pause");
    assert_int_equal(screen->children, 310);
    press(screen, "nX");
    assert_int_equal(screen->overlay, PH_OVERLAY_CONFIRM);
    assert_string_equal(ph_text_str(&screen->command), "migrations abort 'worker-00000'");
    assert_int_equal(screen->children, 1);
    press(screen, "nR");
    assert_string_equal(ph_text_str(&screen->command), "migrations retry 'worker-00000'");
    feed(screen, PH_SLOT_STATUS, 0, "%s", "{\"t\":\"status\",\"migrating\":310,\"paused\":true}");
    press(screen, "nW");
    assert_string_equal(ph_text_str(&screen->command), "migrations resume");
}

/* On a node: its children, the plan of a drain at once, the drain itself after a question, and back
 * again. */
static void nodes_are_planned_at_once_and_drained_with_consent(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "7");
    assert_string_equal(want_of(screen, PH_SLOT_NODES), "nodes");
    press(screen, "D");
    assert_int_equal(screen->overlay, PH_OVERLAY_NONE);
    feed_cluster(screen);
    ph_screen_update(screen, 24, 80);
    assert_true(ph_screen_key(screen, 'P') & PH_EFFECT_RUN);
    assert_string_equal(ph_text_str(&screen->command), "plan drain 'n1'");
    ph_screen_done(screen, 0, 1);
    press(screen, "D");
    assert_int_equal(screen->overlay, PH_OVERLAY_CONFIRM);
    assert_string_equal(ph_text_str(&screen->command), "drain 'n1'");
    assert_int_equal(screen->children, 402);
    press(screen, "njD");
    assert_string_equal(ph_text_str(&screen->command), "undrain 'n2'");
    press(screen, "n\r");
    assert_int_equal(screen->view, 1);
    assert_string_equal(want_of(screen, PH_SLOT_COUNT), "count where node = 'n2'");
}

/* A signal can be changed before the question is asked. */
static void signals_are_edited_first(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "2");
    feed_children(screen, screen->wants.slot[PH_SLOT_CHILDREN].tag, 5, 3);
    ph_screen_update(screen, 24, 80);
    press(screen, "S");
    ph_screen_key(screen, PH_CTRL('w'));
    press(screen, "HUP\r\t");
    assert_string_equal(ph_text_str(&screen->command), "signal 'worker-00005' HUP");
    assert_true(ph_screen_key(screen, '\r') & PH_EFFECT_RUN);
}

static const char *command_at(size_t index)
{
    static const char *const names[] = {"start", "status", "stop", "wait", NULL};
    return names[index];
}

/* The command line completes, remembers, and keeps a pasted newline from running anything. */
static void the_line_completes_and_remembers(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    screen->command_at = command_at;
    press(screen, ":sta\t");
    assert_string_equal(ph_text_str(&screen->line.hint), "start  status");
    press(screen, "r\t");
    assert_string_equal(ph_text_str(&screen->line.text), "start ");
    ph_screen_key(screen, PH_KEY_PASTE_BEGIN);
    press(screen, "x\ry");
    ph_screen_key(screen, PH_KEY_PASTE_END);
    assert_int_equal(screen->prompt, PH_PROMPT_COMMAND);
    assert_true(ph_screen_key(screen, '\r') & PH_EFFECT_RUN);
    assert_string_equal(ph_text_str(&screen->command), "start x y");
    ph_screen_done(screen, 0, 1);
    press(screen, ":");
    ph_screen_key(screen, PH_KEY_UP);
    assert_string_equal(ph_text_str(&screen->line.text), "start x y");
}

/* The name of a key's action works on the command line: every key is a command. */
static void actions_are_commands(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, ":view events\r");
    assert_int_equal(screen->view, 3);
    press(screen, ":filter type = lock_set\r");
    assert_string_equal(want_of(screen, PH_SLOT_EVENTS), "events since=0 where type = lock_set");
    press(screen, ":");
    press(screen, "quit");
    assert_true(ph_screen_key(screen, '\r') & PH_EFFECT_QUIT);
}

/* The log view shows the child that is under the cursor of the children. */
static void logs_are_of_the_selected_child(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    press(screen, "2");
    feed_children(screen, screen->wants.slot[PH_SLOT_CHILDREN].tag, 5, 3);
    ph_screen_update(screen, 24, 80);
    press(screen, "jl");
    assert_int_equal(screen->view, 5);
    assert_string_equal(want_of(screen, PH_SLOT_ROWS), "logs 'worker-00006' n=200");
}

/* A lost connection says so and keeps the last picture. */
static void a_lost_connection_is_said(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    struct ph_text text = PH_TEXT_INIT;
    struct ph_data *data = ph_data_create(0);
    data->code = PH_ECONNECTION;
    ph_text_put(&data->error, "no node answers");
    ph_model_take(&screen->model, PH_SLOT_STATUS, data);
    dump(screen, 24, 80, true, &text);
    assert_non_null(strstr(ph_text_str(&text), "DISCONNECTED"));
    assert_non_null(strstr(ph_text_str(&text), "no node answers"));
    assert_non_null(strstr(ph_text_str(&text), "Children 1,000"));
    ph_text_fini(&text);
}

/* A million children in two seconds of pictures: rates stay sums of what was counted. */
static void throughput_counts_every_event_once(void **state)
{
    (void)state;
    struct ph_screen screen;
    open_screen(&screen);
    unsigned events = 500;
    for (unsigned ms = 0; ms <= 20000; ms += 370) {
        screen.model.now_ms = NOW_MS + ms;
        feed_status(&screen, events, 10, false);
        events += 1000;
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < PH_RATES; i++)
        sum += ph_model_rate(&screen.model, i);
    assert_int_equal(sum, events - 1000 - 500);
    screen.model.now_ms = NOW_MS + 600000;
    ph_model_tick(&screen.model);
    for (unsigned i = 0; i < PH_RATES; i++)
        assert_int_equal(ph_model_rate(&screen.model, i), 0);
    ph_screen_fini(&screen);
}

/* Any key in any state at any size: it draws, and no cell outside the grid is touched. */
static void random_keys_at_random_sizes_are_survived(void **state)
{
    struct ph_screen *screen = &((struct fixture *)*state)->screen;
    static const int keys[] = {'1',
                               '2',
                               '3',
                               '4',
                               '5',
                               '6',
                               '7',
                               'M',
                               'U',
                               'P',
                               'D',
                               'W',
                               'X',
                               'j',
                               'k',
                               'g',
                               'G',
                               's',
                               'r',
                               '/',
                               ':',
                               '?',
                               'K',
                               'R',
                               'S',
                               'l',
                               'f',
                               'Z',
                               'o',
                               'q',
                               27,
                               '\r',
                               '\t',
                               PH_KEY_PAGE_DOWN,
                               PH_KEY_PAGE_UP,
                               PH_KEY_UP,
                               PH_KEY_LEFT,
                               PH_KEY_BACKSPACE,
                               0xe9,
                               0x4e2d,
                               PH_KEY_PASTE_BEGIN,
                               PH_KEY_PASTE_END};
    struct ph_text text = PH_TEXT_INIT;
    uint64_t seed = 11;
    feed_events(screen);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned effect = ph_screen_key(screen, keys[(seed >> 33) % PH_COUNT_OF(keys)]);
        int rows = (int)(seed >> 40) % 60, cols = (int)(seed >> 48) % 200;
        if (effect & PH_EFFECT_RUN) {
            ph_text_put(&screen->output, "one\ntwo\nthree\n");
            ph_screen_done(screen, (int)(seed % 3), 5);
        }
        ph_screen_update(screen, rows, cols);
        if (i % 7 == 0)
            feed_children(screen, screen->wants.slot[PH_SLOT_CHILDREN].tag, (unsigned)i, 20);
        if (i % 5 == 0)
            feed_cluster_and_moves(screen);
        if (i % 11 == 0)
            feed(screen, PH_SLOT_DETAIL, 0, "{\"t\":\"child\",\"id\":\"x\",\"state\":\"failed\"}");
        dump(screen, rows, cols, i % 2, &text);
    }
    ph_text_fini(&text);
}

#define WITH_SCREEN(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overview_looks_as_drawn),
        cmocka_unit_test(children_look_as_drawn),
        cmocka_unit_test(events_look_as_drawn),
        cmocka_unit_test(overview_of_several_nodes_looks_as_drawn),
        cmocka_unit_test(children_of_several_nodes_look_as_drawn),
        cmocka_unit_test(nodes_look_as_drawn),
        cmocka_unit_test(moves_look_as_drawn),
        cmocka_unit_test(help_looks_as_drawn),
        WITH_SCREEN(children_are_fetched_by_the_window),
        WITH_SCREEN(filters_are_the_nodes_work),
        WITH_SCREEN(the_cursor_sticks_to_its_child),
        WITH_SCREEN(stopping_asks_first),
        WITH_SCREEN(moving_asks_where_and_then_whether),
        WITH_SCREEN(moves_are_held_retried_and_aborted_with_consent),
        WITH_SCREEN(nodes_are_planned_at_once_and_drained_with_consent),
        WITH_SCREEN(signals_are_edited_first),
        WITH_SCREEN(the_line_completes_and_remembers),
        WITH_SCREEN(actions_are_commands),
        WITH_SCREEN(logs_are_of_the_selected_child),
        WITH_SCREEN(a_lost_connection_is_said),
        cmocka_unit_test(throughput_counts_every_event_once),
        WITH_SCREEN(random_keys_at_random_sizes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
