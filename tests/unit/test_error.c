/* Codes, their texts and their classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "engine/base.h"
#include "engine/error.h"

static const int own_codes[] = {
#define OWN_CODE(name, value, class, text) name,
    PH_ERROR_MAP(OWN_CODE)
#undef OWN_CODE
};

/* Our codes start under the largest errno of Linux and are all different. */
static void own_codes_never_meet_an_errno(void **state)
{
    (void)state;
    for (size_t i = 0; i < PH_COUNT_OF(own_codes); i++) {
        assert_true(own_codes[i] <= -4096);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(own_codes[i], own_codes[j]);
    }
}

/* Any code has a text for people, also one that nobody knows. */
static void every_code_has_a_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < PH_COUNT_OF(own_codes); i++)
        assert_string_not_equal(ph_error_text(own_codes[i]), "unknown error");
    assert_string_equal(ph_error_text(0), "ok");
    assert_string_equal(ph_error_text(-ENOENT), "No such file or directory");
    assert_string_equal(ph_error_text(-100000), "unknown error");
}

/* The class of a code is what a script's exit code follows from (docs/commands.md). */
static void class_of_a_code_is_its_exit_code(void **state)
{
    (void)state;
    assert_int_equal(ph_error_class(0), 0);
    assert_int_equal(ph_error_class(PH_EFAILED), 1);
    assert_int_equal(ph_error_class(PH_EUSAGE), 2);
    assert_int_equal(ph_error_class(-ENOENT), 3);
    assert_int_equal(ph_error_class(PH_ELIMIT), 4);
    assert_int_equal(ph_error_class(-ETIMEDOUT), 5);
    assert_int_equal(ph_error_class(-EPIPE), 6);
    assert_int_equal(ph_error_class(PH_EPARTIAL), 7);
    assert_int_equal(ph_error_class(-EIO), 1);
}

/* A message that is too long for its record says so at its end. */
static void long_message_ends_in_dots(void **state)
{
    (void)state;
    char word[1024];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    struct ph_error error = {0};
    assert_int_equal(ph_error_set(&error, PH_EUSAGE, "%s", word), PH_EUSAGE);
    assert_int_equal(error.code, PH_EUSAGE);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    assert_string_equal(error.text + sizeof error.text - 4, "...");
}

/* Who does not want the message passes NULL and still gets the code. */
static void record_of_an_error_is_optional(void **state)
{
    (void)state;
    assert_int_equal(ph_error_set(NULL, -EIO, "%d", 1), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_codes_never_meet_an_errno),
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(class_of_a_code_is_its_exit_code),
        cmocka_unit_test(long_message_ends_in_dots),
        cmocka_unit_test(record_of_an_error_is_optional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
