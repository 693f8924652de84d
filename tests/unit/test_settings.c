#include "ipc/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base.h"

/* A value that a setting cannot have is refused with a text that names the setting and says what it
 * takes. */
static void bad_values_are_refused_with_what_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *said;
        int code;
    } cases[] = {
        {"name", "a b", "name 'a b': 1 to 64", PH_EUSAGE},
        {"cluster", "", "cluster: a value is missing", PH_EUSAGE},
        {"workers", "0", "workers '0': a number from 1", PH_EUSAGE},
        {"listen", "127.0.0.1:4000", "listen '127.0.0.1:4000': tcp://ADDR:PORT", PH_EUSAGE},
        {"listen", "tcp://127.0.0.1", "listen 'tcp://127.0.0.1': tcp://ADDR:PORT", PH_EUSAGE},
        {"listen", "tcp://127.0.0.1:0", "listen 'tcp://127.0.0.1:0': tcp://ADDR:PORT", PH_EUSAGE},
        {"listen", "tcp://127.0.0.1:65536", "listen 'tcp://127.0.0.1:65536': tcp", PH_EUSAGE},
        {"listen", "tcp://:4000", "listen 'tcp://:4000': tcp://ADDR:PORT", PH_EUSAGE},
        {"listen", "tcp://::1:4000", "listen 'tcp://::1:4000': tcp://ADDR:PORT", PH_EUSAGE},
        {"listen", "tcp://0.0.0.0:4000", "listen 'tcp://0.0.0.0:4000': beyond", PH_EREFUSED},
        {"listen", "tcp://*:4000", "listen 'tcp://*:4000': beyond loopback", PH_EREFUSED},
        {"listen", "tcp://example.org:1", "listen 'tcp://example.org:1': beyond", PH_EREFUSED},
        {"join", "tcp://127.0.0.1:*", "join 'tcp://127.0.0.1:*': tcp://ADDR:PORT", PH_EUSAGE},
        {"join", "tcp://127.0.0.1:1,", "join '': tcp://ADDR:PORT", PH_EUSAGE},
        {"join", "tcp://127.0.0.1:1,x", "join 'x': tcp://ADDR:PORT", PH_EUSAGE},
        {"advertise", "tcp://*:4000", "advertise 'tcp://*:4000': tcp://ADDR:PORT", PH_EUSAGE},
        {"beacon", "239.0.0.1", "beacon '239.0.0.1': ADDR:PORT", PH_EUSAGE},
        {"heartbeat", "soon", "heartbeat 'soon': a duration", PH_EUSAGE},
        {"lease", "0", "lease '0': a duration", PH_EUSAGE},
        {"state", "", "state: a value is missing", PH_EUSAGE},
        {"keys", "/tmp", "keys: links have no keys in this build", PH_EREFUSED},
        {"jion", "x", "jion: no such setting, did you mean join? (name, control", PH_EUSAGE},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_settings settings = {0};
        struct ph_error error = {0};
        int rc = ph_settings_set(&settings, cases[i].key, cases[i].value, "option", &error);
        if (rc != cases[i].code || strncmp(error.text, cases[i].said, strlen(cases[i].said)) != 0)
            fail_msg("%s=%s: %d '%s'", cases[i].key, cases[i].value, rc, error.text);
        ph_settings_fini(&settings);
    }
}

/* What a setting takes is kept, durations as milliseconds; the first source wins. */
static void good_values_are_kept_and_the_first_source_wins(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"listen", "tcp://127.0.0.1:*"},
        {"join", "tcp://127.0.0.1:1,tcp://[::1]:65535"},
        {"advertise", "tcp://host-1.lan:9"},
        {"beacon", "239.1.2.3:9000"},
        {"cluster", "blue"},
        {"heartbeat", "100ms"},
        {"dead_after", "1s"},
        {"lease", "800"},
    };
    struct ph_settings settings = {0};
    struct ph_error error = {0};
    for (size_t i = 0; i < PH_COUNT_OF(pairs); i++)
        assert_int_equal(ph_settings_set(&settings, pairs[i][0], pairs[i][1], "option", &error), 0);
    assert_int_equal(ph_settings_set(&settings, "cluster", "red", "config", &error), 0);
    assert_string_equal(ph_settings_get(&settings, PH_SETTING_CLUSTER), "blue");
    assert_string_equal(ph_settings_get(&settings, PH_SETTING_DEAD_AFTER), "1000");
    assert_int_equal(ph_settings_ms(&settings, PH_SETTING_HEARTBEAT), 100);
    assert_int_equal(ph_settings_ms(&settings, PH_SETTING_LEASE), 800);
    assert_int_equal(ph_settings_check(&settings, &error), 0);
    ph_settings_fini(&settings);
}

/* Settings that make no sense together are refused when all sources were read. */
static void settings_that_do_not_fit_each_other_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *said;
    } cases[] = {
        {"join", "tcp://127.0.0.1:1", "join without listen"},
        {"beacon", "239.1.2.3:9000", "beacon without listen"},
        {"heartbeat", "1s", "heartbeat 1000 ms and dead-after 3000 ms"},
        {"lease", "3s", "lease 3000 ms and dead-after 3000 ms"},
    };
    for (size_t i = 0; i < PH_COUNT_OF(cases); i++) {
        struct ph_settings settings = {0};
        struct ph_error error = {0};
        assert_int_equal(ph_settings_set(&settings, cases[i].key, cases[i].value, "config", &error),
                         0);
        assert_int_equal(ph_settings_check(&settings, &error), PH_EUSAGE);
        if (strncmp(error.text, cases[i].said, strlen(cases[i].said)) != 0)
            fail_msg("%s: '%s'", cases[i].key, error.text);
        ph_settings_fini(&settings);
    }
}

/* A configuration that is run again differs only where it says something else, and the command line
 * wins over it. */
static void differences_are_those_of_meaning(void **state)
{
    (void)state;
    struct ph_settings settings = {0};
    struct ph_error error = {0};
    const char *have = NULL;
    bool differ = true;
    assert_int_equal(ph_settings_set(&settings, "heartbeat", "500ms", "config", &error), 0);
    assert_int_equal(ph_settings_set(&settings, "cluster", "blue", "option", &error), 0);
    assert_int_equal(ph_settings_differ(&settings, "heartbeat", "500", &differ, &have, &error), 0);
    assert_false(differ);
    assert_int_equal(ph_settings_differ(&settings, "heartbeat", "1s", &differ, &have, &error), 0);
    assert_true(differ);
    assert_string_equal(have, "500");
    assert_int_equal(ph_settings_differ(&settings, "cluster", "red", &differ, &have, &error), 0);
    assert_false(differ);
    assert_int_equal(ph_settings_differ(&settings, "lease", "1s", &differ, &have, &error), 0);
    assert_true(differ);
    assert_null(have);
    assert_int_equal(ph_settings_differ(&settings, "lease", "x", &differ, &have, &error),
                     PH_EUSAGE);
    ph_settings_fini(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_values_are_refused_with_what_is_taken),
        cmocka_unit_test(good_values_are_kept_and_the_first_source_wins),
        cmocka_unit_test(settings_that_do_not_fit_each_other_are_refused),
        cmocka_unit_test(differences_are_those_of_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
