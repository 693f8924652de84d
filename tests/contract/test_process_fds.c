#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base.h"
#include "engine/limits.h"
#include "tests/lib/eventually.h"
#include "tests/lib/fd_victim.h"
#include "tests/lib/place.h"

/* What the node holds for an OS process over its restarts: its listening socket, the descriptors it
 * stored, and a state. */

#define LISTEN "listen=tcp://127.0.0.1:*"

/* ---- The listening socket -------------------------------------------------------------------- */

static bool is_listening(void *arg)
{
    return strcmp(place_snapshot(arg).note_type, "listening") == 0;
}

static struct sockaddr_in await_address(struct place *place)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    assert_true(eventually(is_listening, place, SOON_MS));
    struct place now = place_snapshot(place);
    address.sin_port = htons((uint16_t)atoi(strrchr(now.note_text, ':') + 1));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* A client's answer: its length, or -errno. */
static ssize_t ask(const void *address, socklen_t length, char *answer, size_t size)
{
    const struct sockaddr *name = address;
    int fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t got = connect(fd, name, length) < 0 ? -errno : 0;
    while (got == 0) {
        got = read(fd, answer, size - 1);
        if (got < 0 && errno == EINTR)
            got = 0;
        else
            break;
    }
    answer[got > 0 ? got : 0] = '\0';
    close(fd);
    return got;
}

/* The program gets it by the LISTEN_FDS convention, and nothing else with it. */
static void listening_socket_is_handed_over(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, LISTEN, "--", fixture->self, "list");
    place_await_down(&place);
    assert_string_equal(place_output(&place).text, "1 mine listen\n0: \nnext free\n");
    place_destroy(&place);
}

enum { RESTARTS = 100 };

struct clients {
    struct sockaddr_in address;
    pthread_t thread;
    unsigned served, refused;
};

/* One after the other; each is answered by the next instance. */
static void *run_clients(void *arg)
{
    struct clients *clients = arg;
    char answer[16];
    for (int i = 0; i < RESTARTS; i++) {
        ssize_t got = ask(&clients->address, sizeof clients->address, answer, sizeof answer);
        if (got > 0)
            clients->served++;
        else
            clients->refused++;
    }
    return NULL;
}

/* Over 100 restarts no client is refused, and no descriptor is left. */
static void no_client_is_refused_over_100_restarts(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    struct clients clients = {0};
    place_init(&place, fixture);
    LAUNCH(&place, LISTEN, "--", fixture->self, "serve");
    clients.address = await_address(&place);
    place_await_up(&place);
    size_t fds = count_fds();
    assert_int_equal(pthread_create(&clients.thread, NULL, run_clients, &clients), 0);
    for (int i = 1; i < RESTARTS; i++) {
        place_await_down(&place);
        LAUNCH(&place, LISTEN, "--", fixture->self, "serve");
    }
    pthread_join(clients.thread, NULL);
    place_await_down(&place);
    assert_int_equal(clients.served, RESTARTS);
    assert_int_equal(clients.refused, 0);
    assert_true(count_fds() <= fds);
    place_destroy(&place);
}

static bool is_refused(void *arg)
{
    const struct sockaddr_in *address = arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused =
        connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* It goes with the child, or when the spec has another one. */
static void listening_socket_goes_with_its_child(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, LISTEN, "--", fixture->self, "list");
    struct sockaddr_in address = await_address(&place);
    place_await_down(&place);
    assert_false(is_refused(&address)); /* it waits for the next instance */
    LAUNCH(&place, "--", fixture->self, "list");
    place_await_down(&place);
    assert_true(is_refused(&address));
    assert_string_equal(place_output(&place).text,
                        "1 mine listen\n0: \nnext free\n0 not mine -\nnext free\n");
    LAUNCH(&place, LISTEN, "--", "true");
    place_await_down(&place);
    address = await_address(&place);
    place_destroy(&place);
    assert_true(eventually(is_refused, &address, SOON_MS));
}

/* An address that is taken is said, and the program does not run. */
static void taken_address_fails_the_start(void **state)
{
    struct fixture *fixture = *state;
    struct place first, second;
    char key[64], why[128];
    place_init(&first, fixture);
    place_init(&second, fixture);
    LAUNCH(&first, LISTEN, "--", "true");
    struct sockaddr_in address = await_address(&first);
    place_await_down(&first);
    snprintf(key, sizeof key, "listen=tcp://127.0.0.1:%u", ntohs(address.sin_port));
    snprintf(why, sizeof why, "cannot listen on '%s': Address already in use", key + 7);
    LAUNCH(&second, key, "--", "true");
    struct place now = place_await_down(&second);
    assert_int_equal(now.exit.how, PH_EXIT_EXEC);
    assert_string_equal(now.exit.text, why);
    place_destroy(&first);
    assert_true(eventually(is_refused, &address, SOON_MS));
    LAUNCH(&second, key, "--", "true");
    assert_int_equal(place_await_down(&second).exit.how, PH_EXIT_CODE);
    place_destroy(&second);
}

static bool is_no_file(void *arg)
{
    struct stat status;
    return lstat(arg, &status) < 0;
}

/* A path is made, taken over from who died, never from who lives or from a file, and removed. */
static void paths_are_made_and_removed(void **state)
{
    struct fixture *fixture = *state;
    struct place place, other;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char key[160], answer[16];
    snprintf(name.sun_path, sizeof name.sun_path, "%s/socket", fixture->dir);
    snprintf(key, sizeof key, "listen=ipc://%s", name.sun_path);
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&name, sizeof name), 0);
    close(stale);
    place_init(&place, fixture);
    place_init(&other, fixture);
    LAUNCH(&place, key, "--", fixture->self, "serve");
    place_await_up(&place);
    assert_true(ask(&name, sizeof name, answer, sizeof answer) > 0);
    place_await_down(&place);
    LAUNCH(&other, key, "--", "true");
    assert_int_equal(place_await_down(&other).exit.value, EADDRINUSE);
    place_destroy(&place);
    assert_true(eventually(is_no_file, name.sun_path, SOON_MS));
    FILE *file = fopen(name.sun_path, "we");
    fclose(file);
    LAUNCH(&other, key, "--", "true");
    assert_int_equal(place_await_down(&other).exit.value, EADDRINUSE);
    assert_int_equal(unlink(name.sun_path), 0);
    place_destroy(&other);
}

/* ---- Stored descriptors ---------------------------------------------------------------------- */

/* The next instance gets them under their names, in their order, after the listening socket; what
 * is removed is gone; a second copy of one is none. */
static void stored_descriptors_survive_a_restart(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, LISTEN, "fdstore=4", "ready=notify", "--", fixture->self, "keep",
           "FDSTORE=1\nFDNAME=one", "1", "first", "FDSTORE=1", "2", "second",
           "FDSTORE=1\nFDNAME=gone", "1", "third", "FDSTOREREMOVE=1\nFDNAME=gone", "0", "",
           "FDSTORE=1\nFDNAME=two", "1", "fourth");
    place_await_up(&place);
    ph_process_kill_any(place.process);
    place_await_down(&place);
    LAUNCH(&place, LISTEN, "fdstore=4", "--", fixture->self, "list");
    place_await_down(&place);
    const char wanted[] =
        "4 mine listen:one:stored:two\n0: \n1: first\n2: second\n3: fourth\nnext free\n";
    assert_string_equal(place_output(&place).text, wanted);
    place_destroy(&place);
}

static bool is_noted(void *arg)
{
    return strcmp(place_snapshot(arg).note_type, "fd_refused") == 0;
}

/* Not more than the spec allows: what is refused is closed, and said. */
static void store_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "fdstore=1", "ready=notify", "--", fixture->self, "keep", "FDSTORE=1", "1", "a");
    place_await_up(&place);
    size_t fds = count_fds();
    ph_process_kill_any(place.process);
    place_await_down(&place);
    LAUNCH(&place, "fdstore=1", "ready=notify", "--", fixture->self, "keep", "FDSTORE=1", "1", "b",
           "FDSTORE=1\nFDNAME=c", "9", "c");
    place_await_up(&place);
    assert_true(eventually(is_noted, &place, SOON_MS));
    struct place now = place_snapshot(&place);
    assert_string_equal(now.note_text, "9 descriptors 'c' refused: the store is full");
    assert_int_equal(count_fds(), fds);
    ph_process_kill_any(place.process);
    place_await_down(&place);
    LAUNCH(&place, "ready=notify", "--", fixture->self, "keep", "FDSTORE=1\nFDNAME=d", "1", "d");
    place_await_up(&place);
    now = place_snapshot(&place);
    assert_string_equal(now.note_text, "1 descriptor 'd' refused: its spec has no fdstore=N");
    assert_int_equal(count_fds(), fds - 1); /* what was stored went with the room for it */
    place_end(&place);
}

/* What comes without FDSTORE=1, or with nonsense, is closed. */
static void other_descriptors_are_closed(void **state)
{
    struct fixture *fixture = *state;
    struct ph_monitor_stats stats;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "fdstore=9", "ready=notify", "--", fixture->self, "keep", "READY=1", "0", "");
    place_await_up(&place);
    size_t fds = count_fds();
    ph_process_kill_any(place.process);
    place_await_down(&place);
    LAUNCH(&place, "fdstore=9", "ready=notify", "--", fixture->self, "keep", "BARRIER=1", "9", "a",
           "FDSTORE=1\nFDNAME=a:b", "9", "b", "FDSTORE=1\nFDNAME=", "9", "c", "FDSTORE=2", "9", "d",
           "FDSTOREREMOVE=1", "9", "e");
    place_await_up(&place);
    assert_int_equal(count_fds(), fds);
    ph_monitor_stats_any(fixture->monitor, &stats);
    assert_int_equal(stats.notify_invalid, 3);
    place_end(&place);
}

/* One whose peer is gone is dropped before the next instance, unless it asked for no watch. */
static void dead_descriptors_are_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "fdstore=9", "--", fixture->self, "pipes");
    place_await_down(&place);
    LAUNCH(&place, "fdstore=9", "--", fixture->self, "list");
    place_await_down(&place);
    assert_string_equal(place_output(&place).text, "1 mine kept\n0: \nnext free\n");
    place_destroy(&place);
}

static bool is_saved(void *arg)
{
    return place_snapshot(arg).saves == 1;
}

/* It has said so twice, as of an instance or of a save, and says it once more. */
static bool is_down_again(void *arg)
{
    return place_snapshot(arg).downs == 3;
}

/* ---- The state ------------------------------------------------------------------------------- */

static void load(struct place *place, const char *text)
{
    struct ph_text state = PH_TEXT_INIT;
    ph_text_put(&state, text);
    ph_process_load_any(place->process, &state);
}

/* The newest memfd named `state` is what a save carries; the stored descriptors go with it. */
static void stored_state_is_saved(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, LISTEN, "fdstore=2", "ready=notify", "--", fixture->self, "keep",
           "FDSTORE=1\nFDNAME=state", "1", "old", "FDSTORE=1\nFDNAME=other", "1", "x",
           "FDSTORE=1\nFDNAME=state", "1", "new");
    struct sockaddr_in address = await_address(&place);
    place_await_up(&place);
    ph_process_save_any(place.process);
    struct place now = place_await_down(&place);
    assert_int_equal(now.saves, 1);
    assert_string_equal(ph_text_str(&now.saved), "new");
    assert_true(is_refused(&address));
    LAUNCH(&place, "fdstore=2", "--", fixture->self, "list");
    now = place_await_down(&place);
    assert_int_equal(now.saves, 1);
    assert_string_equal(place_output(&place).text, "0 not mine -\nnext free\n");
    place_destroy(&place);
}

/* A state that is loaded is handed over as if it had been stored, once; the last one counts. */
static void loaded_state_is_handed_over(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    load(&place, "wrong");
    load(&place, "right");
    LAUNCH(&place, "fdstore=1", "--", fixture->self, "list");
    place_await_down(&place);
    load(&place, "nobody wants it");
    LAUNCH(&place, "--", fixture->self, "list");
    place_await_down(&place);
    LAUNCH(&place, "fdstore=1", "--", fixture->self, "list");
    place_await_down(&place);
    assert_string_equal(place_output(&place).text,
                        "1 mine state\n0: right\nnext free\n0 not mine -\nnext free\n"
                        "0 not mine -\nnext free\n");
    load(&place, "never used");
    place_destroy(&place);
}

/* What no program could begin with comes back, unless it is stored already. */
static void state_comes_back_from_what_cannot_begin(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    load(&place, "41");
    LAUNCH(&place, "socket=yes", "--", "/no/such/program");
    struct place now = place_await_down(&place);
    assert_int_equal(now.exit.how, PH_EXIT_EXEC);
    assert_string_equal(ph_text_str(&now.unused), "41");
    load(&place, "42");
    LAUNCH(&place, "fdstore=1", "--", "/no/such/program");
    assert_null(place_await_down(&place).unused.data);
    LAUNCH(&place, "fdstore=1", "--", fixture->self, "list");
    place_await_down(&place);
    assert_string_equal(place_output(&place).text, "1 mine state\n0: 42\nnext free\n");
    place_destroy(&place);
}

/* One that does not run hands out what it has stored, once. */
static void stored_state_is_unloaded(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "fdstore=2", "ready=notify", "--", fixture->self, "keep",
           "FDSTORE=1\nFDNAME=state", "1", "kept", "FDSTORE=1\nFDNAME=other", "1", "x");
    place_await_up(&place);
    ph_process_kill_any(place.process);
    place_await_down(&place);
    ph_process_unload_any(place.process);
    assert_true(eventually(is_saved, &place, SOON_MS));
    assert_string_equal(ph_text_str(&place.saved), "kept");
    ph_process_unload_any(place.process);
    assert_true(eventually(is_down_again, &place, SOON_MS));
    assert_int_equal(place_snapshot(&place).saves, 1);
    place_destroy(&place);
}

/* Of one that speaks it is what it says that counts: what it has stored is no state. */
static void speaking_program_has_no_stored_state(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "fdstore=1", "ready=notify", "--", fixture->self, "keep",
           "FDSTORE=1\nFDNAME=state", "1", "kept");
    place_await_up(&place);
    ph_process_kill_any(place.process);
    place_await_down(&place);
    LAUNCH(&place, "fdstore=1", "socket=yes", "--", "/no/such/program");
    place_await_down(&place);
    ph_process_unload_any(place.process);
    assert_true(eventually(is_down_again, &place, SOON_MS));
    assert_int_equal(place_snapshot(&place).saves, 0);
    place_destroy(&place);
}

/* A large one, in pieces: out and in again, byte by byte. */
static void large_states_are_carried(void **state)
{
    enum { BYTES = 9 * 1024 * 1024 + 7 };
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "fdstore=1", "ready=notify", "--", fixture->self, "grow", "9437191");
    place_await_up(&place);
    ph_process_save_any(place.process);
    struct place now = place_await_down(&place);
    assert_int_equal(now.saves, 1);
    assert_int_equal(now.saved.length, BYTES);
    assert_memory_equal(now.saved.data, "first", 5);
    assert_memory_equal(now.saved.data + BYTES - 4, "last", 4);
    ph_process_load_any(place.process, &place.saved);
    LAUNCH(&place, "fdstore=1", "ready=notify", "--", fixture->self, "keep", "READY=1", "0", "");
    place_await_up(&place);
    ph_process_save_any(place.process);
    now = place_await_down(&place);
    assert_int_equal(now.saves, 2);
    assert_int_equal(now.saved.length, BYTES);
    assert_memory_equal(now.saved.data + BYTES - 4, "last", 4);
    place_destroy(&place);
}

/* What cannot be read keeps the instance going; without a state the end is an ordinary one. */
static void unreadable_state_is_not_saved(void **state)
{
    struct fixture *fixture = *state;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "fdstore=1", "ready=notify", "--", fixture->self, "grow", "268435457");
    place_await_up(&place);
    ph_process_save_any(place.process);
    ph_process_signal_any(place.process, SIGUSR1);
    struct place now = place_await_down(&place);
    assert_int_equal(now.exit.value, SIGUSR1); /* it was not told to end */
    assert_int_equal(now.kepts, 1);
    assert_string_equal(now.why_kept, "the descriptor stored as 'state' cannot be read: it is "
                                      "larger than 256 MiB");
    LAUNCH(&place, "--", "sleep", "1000");
    place_await_up(&place);
    ph_process_save_any(place.process);
    now = place_await_down(&place);
    assert_int_equal(now.saves, 0);
    assert_int_equal(now.exit.value, SIGTERM);
    place_destroy(&place);
}

/* Stop, kill and save while a state is written or read: one end, and nothing is left open. */
static void ends_may_cross_the_copying(void **state)
{
    static void (*const ends[])(struct ph_process *) = {ph_process_stop_any, ph_process_kill_any,
                                                        ph_process_save_any};
    struct fixture *fixture = *state;
    struct ph_text large = PH_TEXT_INIT;
    struct place place;
    place_init(&place, fixture);
    LAUNCH(&place, "--", "true");
    place_await_down(&place);
    size_t fds = count_fds();
    for (size_t i = 0; i < 12; i++) {
        for (size_t bytes = 0; bytes < 3 * 1024 * 1024; bytes += 1024)
            ph_text_append(&large, (char[1024]){0}, 1024);
        ph_process_load_any(place.process, &large);
        LAUNCH(&place, "fdstore=1", "--", "sleep", "1000");
        if (i & 1)
            place_await_up(&place);
        ends[i % PH_COUNT_OF(ends)](place.process);
        ends[(i / 2) % PH_COUNT_OF(ends)](place.process);
        place_await_down(&place);
        LAUNCH(&place, "--", "true");
        assert_int_equal(place_await_down(&place).exit.how, PH_EXIT_CODE);
    }
    assert_int_equal(count_fds(), fds);
    place_destroy(&place);
}

int main(int argc, char **argv)
{
    fd_victim_main(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(listening_socket_is_handed_over),
        TEST(no_client_is_refused_over_100_restarts),
        TEST(listening_socket_goes_with_its_child),
        TEST(taken_address_fails_the_start),
        TEST(paths_are_made_and_removed),
        TEST(stored_descriptors_survive_a_restart),
        TEST(store_is_bounded),
        TEST(other_descriptors_are_closed),
        TEST(dead_descriptors_are_dropped),
        TEST(stored_state_is_saved),
        TEST(loaded_state_is_handed_over),
        TEST(state_comes_back_from_what_cannot_begin),
        TEST(stored_state_is_unloaded),
        TEST(speaking_program_has_no_stored_state),
        TEST(large_states_are_carried),
        TEST(unreadable_state_is_not_saved),
        TEST(ends_may_cross_the_copying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
