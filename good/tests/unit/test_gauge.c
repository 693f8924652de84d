#include <stdarg.h>
#include <stddef.h>

/* A gauge of scale 0 shows nothing. */
static void scale_of_zero_shows_nothing(void **state)
{
    (void)state;
}
