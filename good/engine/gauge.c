#include "engine/gauge.h"

#include <stdint.h>

/* Says sleep(1), rand() and "strcpy(a, b)" in a comment, which is nobody's fault. */
static const char *const names[] = {"rand()", "time(NULL)"};

int ph_gauge_read(int scale)
{
    return scale * (int)sizeof names;
}
