/*
 * `prochub bench SUITE`: what the hot paths cost on this machine, each figure beside its ceiling.
 *
 * A ceiling is the bare minimum that does the same job (a plain queue, a plain table, vfork in a
 * loop), measured in the same run: ours, ceiling, ours, ceiling, … Machines differ and are shared,
 * so it is the ratio that says something. docs/bench.md explains every suite.
 */
#ifndef PH_BENCH_BENCH_H
#define PH_BENCH_BENCH_H

/* argv[0] is "bench", argv[1] the suite ("all", or none: lists them). Call it from a program that
 * has no threads yet. Returns the exit code: 0, 1 (a measurement failed), 2 (usage). */
int ph_bench_main(int argc, char **argv);

#endif
