#include <stdio.h>

#include "bench/bench.h"

int ph_bench_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fputs("prochub: refused: this prochub was built without the benchmarks\n", stderr);
    return 4;
}
